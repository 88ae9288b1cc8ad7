//! How kubelets are reached.

pub(super) mod always_allow;
pub(super) mod anonymous_auth;
pub(super) mod client_ca_missing;
pub(super) mod client_rotation_off;
pub(super) mod read_only_port;
pub(super) mod serving_self_signed;
pub(super) mod serving_unverified;
