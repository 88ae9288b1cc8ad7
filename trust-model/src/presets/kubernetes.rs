//! Kubernetes 1.28.

use pki_core::{Hierarchy, LeafKind, Path, TrustSlot};

use super::declare::{Declared, any};
use crate::fact::Fact;
use crate::model::{ApiAccess, ClusterModel, Egress, InsecurePort, Leaf, SshTunnels, TlsRange, Trust};

pub(super) fn model(document: &'static str) -> ClusterModel {
    let mut say = Declared::by(document, Hierarchy::kubeadm());
    say.authenticated(&[
        Path::NodeApi,
        Path::NodeBootstrap,
        Path::PodApi,
        Path::KcmApi,
        Path::SchedApi,
        Path::AdminApi,
    ]);
    let (automount, bootstraps) = (say.fact(true), say.fact(true));
    let (secure, unverified) = (say.fact(ApiAccess::Secure), say.fact(Trust::Nothing));
    let mut model = say.model;
    model.pods.settings.automount = automount;
    if let Some(api) = any(&mut model.api_servers) {
        api.tls = Fact::default_of(TlsRange::DEFAULT);
        // Not served since 1.20; its flags were removed in 1.24.
        api.settings.insecure_port = Fact::default_of(InsecurePort::Closed);
        // Konnectivity is a task of its own.
        api.settings.egress = Fact::default_of(Egress::Direct);
        api.settings.bootstrap_tokens = bootstraps;
        api.settings.calls_peers = Fact::default_of(false);
        api.trusts.insert(TrustSlot::ApiServerKubeletCa, unverified);
    }
    if let Some(manager) = any(&mut model.controller_managers) {
        manager.settings.access = secure.clone();
    }
    if let Some(scheduler) = any(&mut model.schedulers) {
        scheduler.settings.access = secure;
    }
    if let Some(kubelet) = any(&mut model.kubelets) {
        kubelet.tls = Fact::default_of(TlsRange::DEFAULT);
        kubelet.leaves.insert(LeafKind::KubeletServing, Fact::default_of(Leaf::SelfSigned));
    }
    model.ssh_tunnels = Fact::default_of(SshTunnels::None);
    model
}
