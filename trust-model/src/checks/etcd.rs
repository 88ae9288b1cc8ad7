//! How etcd is reached.

pub(super) mod auto_tls;
pub(super) mod ca_is_cluster_ca;
pub(super) mod client_cert_auth_off;
pub(super) mod client_plaintext;
pub(super) mod peer_auto_tls;
pub(super) mod peer_client_cert_auth_off;
pub(super) mod peer_plaintext;
