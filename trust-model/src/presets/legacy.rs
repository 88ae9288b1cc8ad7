//! Kubernetes of the time of masters.

use pki_core::{Hierarchy, Path, TrustSlot};

use super::declare::{Declared, any};
use crate::fact::Fact;
use crate::model::{ApiAccess, ClusterModel, Egress, InsecurePort, Leaf, SshTunnels, Trust};

/// `--insecure-port` of that time.
const INSECURE_PORT: u16 = 8080;

pub(super) fn model(document: &'static str) -> ClusterModel {
    let mut say = Declared::by(document, Hierarchy::kubeadm());
    say.authenticated(&[Path::NodeApi, Path::PodApi, Path::AdminApi]);
    let (automount, insecure) = (say.fact(true), say.fact(ApiAccess::Insecure));
    let port = say.fact(InsecurePort::Loopback(INSECURE_PORT));
    let (unverified, self_signed) = (say.fact(Trust::Nothing), say.fact(Leaf::SelfSigned));
    let mut model = say.model;
    model.pods.settings.automount = automount;
    if let Some(api) = any(&mut model.api_servers) {
        api.settings.insecure_port = port;
        api.settings.egress = Fact::default_of(Egress::Direct);
        api.settings.bootstrap_tokens = Fact::default_of(false);
        api.settings.calls_peers = Fact::default_of(false);
        api.trusts.insert(TrustSlot::ApiServerKubeletCa, unverified);
    }
    if let Some(manager) = any(&mut model.controller_managers) {
        manager.settings.access = insecure.clone();
    }
    if let Some(scheduler) = any(&mut model.schedulers) {
        scheduler.settings.access = insecure;
    }
    if let Some(kubelet) = any(&mut model.kubelets) {
        kubelet.leaves.insert(pki_core::LeafKind::KubeletServing, self_signed);
    }
    // Google Container Engine used them; nobody else has them by default.
    model.ssh_tunnels = Fact::default_of(SshTunnels::None);
    model
}
