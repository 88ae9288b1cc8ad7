//! etcd.

pub(super) mod client_cert_auth_off;
