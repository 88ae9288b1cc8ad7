//! The tunnel to the nodes.

pub(super) mod agents_unauthenticated;
pub(super) mod api_server_unauthenticated;
pub(super) mod plaintext;
