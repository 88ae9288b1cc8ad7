//! Private keys and public ones.

pub(super) mod readable_by_others;
pub(super) mod shared;
pub(super) mod weak;
