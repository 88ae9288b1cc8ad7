//! What only somebody's word says of the networks.

pub(super) mod control_plane_unconfined;
pub(super) mod nodes_unprotected;
pub(super) mod pods_across_nodes_plaintext;
pub(super) mod pods_on_node_plaintext;
pub(super) mod pods_unauthenticated;
