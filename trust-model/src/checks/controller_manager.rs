//! Who signs certificate requests.

pub(super) mod signing_bundle;
pub(super) mod signing_unprotected;
