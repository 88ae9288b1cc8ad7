//! What was read.

pub(super) mod broken;
pub(super) mod unknown_setting;
