//! Whether bundles hold what they must.

pub(super) mod lacks_authority;
pub(super) mod lacks_live_issuer;
