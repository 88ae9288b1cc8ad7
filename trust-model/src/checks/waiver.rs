//! Waivers.

pub(crate) mod stale;
