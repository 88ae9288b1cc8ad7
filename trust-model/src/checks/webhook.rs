//! How the API server calls admission webhooks.

pub(super) mod system_roots;
pub(super) mod unverified;
