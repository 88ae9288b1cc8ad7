//! The registry: every check there is, one file each.

mod anchor;
mod api_server;
mod api_service;
mod authority;
mod bootstrap;
mod bundle;
mod certificate;
mod common;
mod controller_manager;
mod etcd;
mod front_proxy;
mod input;
mod key;
mod konnectivity;
mod kubelet;
mod leaf;
mod network;
#[cfg(test)]
mod pki;
mod proxy;
mod ssh;
mod tls;
mod waiver;
mod webhook;

use crate::check::Check;

pub(crate) use self::waiver::stale::CHECK as STALE_WAIVER;

/// Every check, by family. One a line, in the order of their names.
pub(crate) static REGISTRY: &[&Check] = &[
    &anchor::expired::CHECK,
    &anchor::not_a_ca::CHECK,
    &anchor::retired_still_trusted::CHECK,
    &api_server::always_allow::CHECK,
    &api_server::anonymous_without_authorization::CHECK,
    &api_server::insecure_clients::CHECK,
    &api_server::insecure_port_loopback::CHECK,
    &api_server::insecure_port_network::CHECK,
    &api_server::no_client_ca::CHECK,
    &api_server::no_node_authorizer::CHECK,
    &api_service::insecure_skip_tls_verify::CHECK,
    &authority::expired::CHECK,
    &authority::expires_180_days::CHECK,
    &authority::expires_30_days::CHECK,
    &authority::expires_7_days::CHECK,
    &authority::shared_with_other_cluster::CHECK,
    &bootstrap::secret_readable_by_pods::CHECK,
    &bundle::lacks_authority::CHECK,
    &bundle::lacks_live_issuer::CHECK,
    &certificate::fault::CHECK,
    &controller_manager::signing_bundle::CHECK,
    &controller_manager::signing_unprotected::CHECK,
    &etcd::auto_tls::CHECK,
    &etcd::ca_is_cluster_ca::CHECK,
    &etcd::client_cert_auth_off::CHECK,
    &etcd::client_plaintext::CHECK,
    &etcd::peer_auto_tls::CHECK,
    &etcd::peer_client_cert_auth_off::CHECK,
    &etcd::peer_plaintext::CHECK,
    &front_proxy::ca_is_client_ca::CHECK,
    &front_proxy::no_requestheader_ca::CHECK,
    &input::broken::CHECK,
    &input::unknown_setting::CHECK,
    &key::readable_by_others::CHECK,
    &key::shared::CHECK,
    &key::weak::CHECK,
    &konnectivity::agents_unauthenticated::CHECK,
    &konnectivity::api_server_unauthenticated::CHECK,
    &konnectivity::plaintext::CHECK,
    &kubelet::always_allow::CHECK,
    &kubelet::anonymous_auth::CHECK,
    &kubelet::client_ca_missing::CHECK,
    &kubelet::client_rotation_off::CHECK,
    &kubelet::read_only_port::CHECK,
    &kubelet::serving_self_signed::CHECK,
    &kubelet::serving_unverified::CHECK,
    &leaf::bad_signature::CHECK,
    &leaf::expired::CHECK,
    &leaf::expires_30_days::CHECK,
    &leaf::expires_7_days::CHECK,
    &leaf::not_yet_valid::CHECK,
    &leaf::outlives_issuer::CHECK,
    &leaf::system_masters::CHECK,
    &leaf::unmanaged::CHECK,
    &leaf::unusual_identity::CHECK,
    &leaf::weak_signature::CHECK,
    &leaf::wrong_identity::CHECK,
    &leaf::wrong_name::CHECK,
    &leaf::wrong_usage::CHECK,
    &network::control_plane_unconfined::CHECK,
    &network::nodes_unprotected::CHECK,
    &network::pods_across_nodes_plaintext::CHECK,
    &network::pods_on_node_plaintext::CHECK,
    &network::pods_unauthenticated::CHECK,
    &proxy::https_unverified::CHECK,
    &proxy::plaintext::CHECK,
    &ssh::deprecated::CHECK,
    &ssh::host_key_unchecked::CHECK,
    &tls::minimum_below_1_2::CHECK,
    &tls::no_1_3::CHECK,
    &STALE_WAIVER,
    &webhook::system_roots::CHECK,
    &webhook::unverified::CHECK,
];

/// Every check, by family.
#[must_use]
pub fn checks() -> &'static [&'static Check] {
    REGISTRY
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing {
    use pki_core::Limits;
    use pki_core::verify::Verifiers;
    use time::UtcDateTime;

    use super::Check;
    use crate::check::{Context, Outcomes};
    use crate::model::{
        ApiServer, ClusterModel, Component, ControllerManager, Etcd, KonnectivityServer, Kubelet, Scheduler,
    };

    /// 2026-01-01.
    pub(crate) const NOW: i64 = 1_767_225_600;

    /// A cluster of what a test puts there.
    #[derive(Debug, Default)]
    pub(crate) struct Case {
        pub(crate) model: ClusterModel,
    }

    impl Case {
        /// One of every component, and nothing known about any.
        pub(crate) fn bare() -> Self {
            let mut case = Self::default();
            case.api_server();
            case.controller_manager();
            case.scheduler();
            case.konnectivity_server();
            case.etcd();
            case.kubelet();
            add(&mut case.model.konnectivity_agents, "node-1");
            add(&mut case.model.etcd_probes, "cp-1");
            add(&mut case.model.external_clients, "admin");
            case
        }

        pub(crate) fn api_server(&mut self) -> &mut Component<ApiServer> {
            add(&mut self.model.api_servers, "cp-1")
        }

        pub(crate) fn controller_manager(&mut self) -> &mut Component<ControllerManager> {
            add(&mut self.model.controller_managers, "cp-1")
        }

        pub(crate) fn scheduler(&mut self) -> &mut Component<Scheduler> {
            add(&mut self.model.schedulers, "cp-1")
        }

        pub(crate) fn konnectivity_server(&mut self) -> &mut Component<KonnectivityServer> {
            add(&mut self.model.konnectivity_servers, "cp-1")
        }

        pub(crate) fn etcd(&mut self) -> &mut Component<Etcd> {
            add(&mut self.model.etcd, "cp-1")
        }

        pub(crate) fn kubelet(&mut self) -> &mut Component<Kubelet> {
            add(&mut self.model.kubelets, "node-1")
        }
    }

    fn add<'a, S: Default>(to: &'a mut Vec<Component<S>>, name: &str) -> &'a mut Component<S> {
        to.push(Component { name: name.to_owned(), ..Component::default() });
        to.last_mut().unwrap()
    }

    /// What a check has found and what it misses.
    pub(crate) fn outcomes(check: &Check, model: &ClusterModel, verifiers: Option<Verifiers<'_>>) -> Outcomes {
        let limits = Limits::DEFAULT;
        let now = UtcDateTime::from_unix_timestamp(NOW).unwrap();
        let context = Context::new(model, now, &limits, verifiers);
        Check::run_all(&[check], &context).pop().unwrap()
    }

    /// What a check says, a line each: findings, then what it misses.
    pub(crate) fn run(check: &Check, case: &Case) -> Vec<String> {
        run_with(check, case, None)
    }

    /// The same, with or without the means to check signatures.
    pub(crate) fn run_with(check: &Check, case: &Case, verifiers: Option<Verifiers<'_>>) -> Vec<String> {
        let outcomes = outcomes(check, &case.model, verifiers);
        let mut lines = Vec::new();
        for (evidence, subjects) in &outcomes.failed {
            for subject in subjects {
                lines.push(format!("{}: expected {}, found {}", subject.name, evidence.expected, evidence.found));
            }
        }
        lines.extend(outcomes.missing.iter().map(|what| format!("not evaluated: {what}")));
        lines
    }
}
