//! The older tunnel to the nodes.

pub(super) mod deprecated;
pub(super) mod host_key_unchecked;
