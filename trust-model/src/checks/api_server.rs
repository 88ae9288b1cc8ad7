//! How the API server lets callers in.

pub(super) mod always_allow;
pub(super) mod anonymous_without_authorization;
pub(super) mod insecure_clients;
pub(super) mod insecure_port_loopback;
pub(super) mod insecure_port_network;
pub(super) mod no_client_ca;
pub(super) mod no_node_authorizer;

use crate::model::AuthorizationMode;

/// The flag as it stands.
fn modes(modes: &[AuthorizationMode]) -> String {
    let name = |mode: &AuthorizationMode| match mode {
        AuthorizationMode::AlwaysAllow => "AlwaysAllow".to_owned(),
        AuthorizationMode::AlwaysDeny => "AlwaysDeny".to_owned(),
        AuthorizationMode::Abac => "ABAC".to_owned(),
        AuthorizationMode::Rbac => "RBAC".to_owned(),
        AuthorizationMode::Node => "Node".to_owned(),
        AuthorizationMode::Webhook => "Webhook".to_owned(),
        AuthorizationMode::Other(name) => name.to_string(),
    };
    format!("`--authorization-mode={}`", modes.iter().map(name).collect::<Vec<_>>().join(","))
}
