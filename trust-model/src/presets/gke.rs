//! GKE.

use pki_core::{Hierarchy, Path, Storage};

use super::declare::{Declared, any};
use crate::channel::Protection;
use crate::fact::Fact;
use crate::model::{ApiAccess, ClusterModel, CsrSigning, Egress, InsecurePort, SshTunnels, TlsRange, Transport};

/// A cluster whose database is etcd on the machines of the control plane.
pub(super) fn model(document: &'static str, pods_read_the_bootstrap_secret: bool) -> ClusterModel {
    let mut say = Declared::by(document, Hierarchy::gke(Storage::Etcd));
    say.authenticated(&[
        Path::NodeApi,
        Path::NodeBootstrap,
        Path::KcmApi,
        Path::SchedApi,
        Path::ApiKubelet,
        Path::KonnAgent,
        Path::KonnKas,
        Path::ApiEtcd,
        Path::EtcdPeer,
    ]);
    // What Kubernetes does by itself: the document does not speak of it.
    let mut by_default = Declared::by(document, Hierarchy::gke(Storage::Etcd));
    by_default.authenticated(&[Path::PodApi]);
    let tls = say.fact(TlsRange::DEFAULT);
    let (yes, secure) = (say.fact(true), say.fact(ApiAccess::Secure));
    let (through_tls, no_authority) = (say.fact(Transport::Tls), say.fact(false));
    let (egress, no_tunnels) = (say.fact(Egress::Konnectivity(Transport::Tls)), say.fact(SshTunnels::None));
    let service = say.fact(CsrSigning::Service(Protection::FULL));
    let nodes = say.fact(Protection::FULL);
    let pods = say.fact(Protection { encrypts: true, ..Protection::NONE });
    let pods_on_node = say.fact(Protection::NONE);
    let readable = say.fact(pods_read_the_bootstrap_secret);
    let mut model = say.model;
    model.pods.trusts =
        by_default.model.pods.trusts.into_iter().map(|(slot, fact)| (slot, as_default(&fact))).collect();
    model.pods.settings.automount = Fact::default_of(true);
    if let Some(api) = any(&mut model.api_servers) {
        api.tls = tls.clone();
        api.settings.insecure_port = Fact::default_of(InsecurePort::Closed);
        api.settings.egress = egress;
        api.settings.bootstrap_tokens = yes.clone();
        api.settings.calls_peers = Fact::default_of(false);
        api.settings.etcd_transport = through_tls.clone();
    }
    if let Some(manager) = any(&mut model.controller_managers) {
        manager.settings.access = secure.clone();
    }
    if let Some(scheduler) = any(&mut model.schedulers) {
        scheduler.settings.access = secure;
    }
    if let Some(etcd) = any(&mut model.etcd) {
        etcd.settings.client_transport = through_tls.clone();
        etcd.settings.peer_transport = through_tls.clone();
        etcd.settings.client_cert_auth = yes.clone();
        etcd.settings.peer_client_cert_auth = yes.clone();
    }
    if let Some(kubelet) = any(&mut model.kubelets) {
        kubelet.tls = tls;
        kubelet.settings.anonymous_auth = no_authority;
        kubelet.settings.authorization_mode = Fact::default_of(crate::model::AuthorizationMode::Webhook);
    }
    if let Some(server) = any(&mut model.konnectivity_servers) {
        server.settings.server_transport = through_tls;
        server.settings.authenticates_agents = yes.clone();
        server.settings.authenticates_api_servers = yes.clone();
    }
    model.csr_signing = service;
    model.ssh_tunnels = no_tunnels;
    model.infrastructure.node_node = nodes;
    model.infrastructure.pod_pod_across_nodes = pods;
    model.infrastructure.pod_pod_on_node = pods_on_node;
    model.infrastructure.control_plane_is_confined = yes.clone();
    model.infrastructure.etcd_replicates = yes;
    model.infrastructure.bootstrap_secret_is_readable_by_pods = readable;
    model
}

fn as_default<T: Clone>(fact: &Fact<T>) -> Fact<T> {
    fact.value().cloned().map_or(Fact::Missing, Fact::default_of)
}
