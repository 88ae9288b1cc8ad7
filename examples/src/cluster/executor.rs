//! Carrying out what the rotation machine asks for, on the real components.

use std::net::IpAddr;
use std::sync::Arc;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, LeafKind, Path, Plane, SubjectAltName, TrustSlot};
use rotation_fsm::{Action, Address, ConsumerId, ConsumerTarget, Event, Reload, VersionRange};
use rotation_runtime::Executor;
use rustls_pki_types::CertificateDer;
use time::UtcDateTime;

use super::api::{At, ClusterService};
use super::{ClusterError, MiniCluster, api, holder_of, token_subject};
use crate::authorities::{AuthorityError, Enrolment, HeldLeaf, Holder};
use crate::component::Component;
use crate::dial::{NoAnswer, exchange, way};
use crate::fault::Fault;
use crate::server::Service;
use crate::wire::Request;

/// Carries a rotation out on the miniature cluster, and stands in for its operator.
#[derive(Debug)]
pub struct ClusterExecutor<'a> {
    cluster: &'a MiniCluster,
}

impl<'a> ClusterExecutor<'a> {
    /// The executor of this cluster.
    #[must_use]
    pub const fn new(cluster: &'a MiniCluster) -> Self {
        Self { cluster }
    }
}

impl Executor for ClusterExecutor<'_> {
    type Error = ClusterError;

    fn now(&mut self) -> UtcDateTime {
        self.cluster.now()
    }

    /// Two controllers must not take two members of etcd down, so each says it first and waits for the answer.
    fn prepare(&mut self, action: &Action) -> Vec<Event> {
        let restarts = |target: &&ConsumerTarget| target.reload >= Reload::Restart;
        let targets = targets_of(action).iter().filter(restarts);
        let components = targets.filter_map(|target| self.cluster.shared.component(&target.consumer));
        let there = components.filter(|component| component.is_running() && !component.is_asleep());
        there.map(|it| Event::TakenDown { consumer: it.id.clone(), after: it.last_report() }).collect()
    }

    fn execute(&mut self, action: &Action) -> Result<Vec<Event>, ClusterError> {
        // Whoever cannot be reached is given nothing, and reports nothing.
        let asleep = |target: &ConsumerTarget| {
            self.cluster.shared.component(&target.consumer).is_some_and(|component| component.is_asleep())
        };
        if targets_of(action).iter().any(asleep) {
            return Ok(Vec::new());
        }
        let authorities = &self.cluster.shared.authorities;
        Ok(vec![match action {
            Action::RecreateNode { targets, .. } => {
                let bring_up = |target: &ConsumerTarget| {
                    self.cluster.bring_up(target)?;
                    Ok(Event::Observed(self.cluster.component(&target.consumer)?.observe()))
                };
                return targets.iter().map(bring_up).collect();
            }
            Action::EnsureDelivered { delivery, version, .. } => {
                Event::Delivered { delivery: *delivery, version: *version }
            }
            Action::EnsureAuthority { role, version, .. } => {
                let record = authorities.ensure(*role, *version, self.cluster.now())?;
                Event::AuthorityMinted { role: *role, record }
            }
            Action::EnsureCrossCertificate { role, version, by, .. } => {
                let record = authorities.cross_certify(*role, *version, *by, self.cluster.now())?;
                Event::CrossSigned { role: *role, record }
            }
            Action::EnsureAddress { .. } => Event::AddressAllocated { address: self.cluster.allocate_address()? },
            Action::EnsureConsumer { target, .. } => {
                self.cluster.bring_up(target)?;
                Event::Observed(self.cluster.component(&target.consumer)?.observe())
            }
            Action::AwaitAcknowledgement { target, unit, to, stage, .. } => {
                // Here the operator is at hand: a new kubeconfig, and the word that it is in use.
                self.cluster.bring_up(target)?;
                let consumer = target.consumer.clone();
                let (stage, by) = (stage.clone(), "operator".to_owned());
                Event::Acknowledged { consumer, unit: *unit, to: *to, stage, by }
            }
            Action::EnsureKeyDestroyed { role, version, .. } => {
                authorities.destroy_key(*role, *version)?;
                Event::KeyDestroyed { role: *role, version: *version }
            }
            // An action of a later version of the machine; undone, it stays pending and the run says so.
            _ => return Ok(Vec::new()),
        }])
    }
}

/// The consumers that an action sees to itself.
fn targets_of(action: &Action) -> &[ConsumerTarget] {
    match action {
        Action::RecreateNode { targets, .. } => targets,
        Action::EnsureConsumer { target, .. } => core::slice::from_ref(target),
        _ => &[],
    }
}

impl MiniCluster {
    fn component(&self, id: &ConsumerId) -> Result<&Arc<Component>, ClusterError> {
        self.shared.component(id).ok_or_else(|| ClusterError::Unknown(id.clone()))
    }

    /// Writes what is missing, and has the component load it in the way that it needs.
    pub(crate) fn bring_up(&self, target: &ConsumerTarget) -> Result<(), ClusterError> {
        let component = self.component(&target.consumer)?;
        let late = component.write(|material| {
            let late = target.epoch < material.epoch;
            material.epoch = material.epoch.max(target.epoch);
            late
        });
        if late {
            return Ok(());
        }
        self.switch_late(target)?;
        self.write_bundles(component, target)?;
        self.write_addresses(component, target)?;
        self.write_leaves(component, target)?;
        self.write_signer(component, target)?;
        let joins = component.id.kind() == ComponentKind::Kubelet
            && (target.reload == Reload::Recreate
                || target.leaves.iter().any(|leaf| leaf.leaf == LeafKind::KubeletClient));
        let was_running = component.is_running();
        let stops = was_running && matches!(target.reload, Reload::Restart | Reload::Recreate);
        if stops {
            component.set_running(false);
            component.end();
            component.count_restart(target.reload == Reload::Recreate);
        }
        // A client outside watches nothing. Whoever has a new kubeconfig begins with it, address and trust at once.
        if was_running && component.id.kind().plane() == Plane::External {
            component.end();
        }
        if component.id.kind() == ComponentKind::Kubelet && (stops || !was_running) {
            self.note_csr_signer(component, target)?;
        }
        if joins {
            self.join(component)?;
            self.claim_leaves(component, target)?;
        }
        close_left_addresses(component);
        component.load(self.shared.environment())?;
        if stops || !was_running {
            self.open_sockets(component)?;
            component.set_running(true);
        } else {
            self.open_addresses(component)?;
        }
        self.log(component);
        Ok(())
    }

    fn write_bundles(&self, component: &Component, target: &ConsumerTarget) -> Result<(), ClusterError> {
        for bundle in &target.bundles {
            let both = bundle.versions.first() != bundle.versions.last();
            let versions = match self.fault {
                Some(Fault::SkipTrustDistribution) if both => None,
                Some(Fault::RetireOldCaEarly) if both => Some(VersionRange::only(bundle.versions.last())),
                _ => Some(bundle.versions),
            };
            if versions != Some(bundle.versions) {
                component.claim(|claims| claims.bundles.insert(bundle.slot, bundle.hash));
            }
            let Some(versions) = versions else { continue };
            let anchors = self.shared.authorities.anchors(bundle.role, versions)?;
            if versions == bundle.versions && anchors.hash() != bundle.hash {
                return Err(ClusterError::WrongBundle(component.id.clone()));
            }
            component.write(|material| material.bundles.insert(bundle.slot, (bundle.role, versions, anchors)));
        }
        Ok(())
    }

    /// Leaves that whoever runs the rotation has issued; what nodes ask for themselves is not among them.
    fn write_leaves(&self, component: &Component, target: &ConsumerTarget) -> Result<(), ClusterError> {
        for wanted in &target.leaves {
            let held = match wanted.leaf {
                LeafKind::KubeletClient | LeafKind::KubeletServing => continue,
                LeafKind::ServiceAccountToken => {
                    let version = self.token_signer(wanted.issuer);
                    self.shared.authorities.token(version, &token_subject(component), self.now())?
                }
                leaf => {
                    let mut holder = holder_of(component, leaf);
                    if leaf == LeafKind::ApiServer {
                        component.write(|material| add_addresses(&mut holder, &material.serves))?;
                    }
                    let authorities = &self.shared.authorities;
                    match wanted.through {
                        Some(_) => authorities.enrol_chained(leaf, wanted.issuer, &holder, self.now())?,
                        None => authorities.enrol(leaf, wanted.issuer, &holder, self.now())?,
                    }
                }
            };
            component.write(|material| material.leaves.insert(wanted.leaf, held));
        }
        Ok(())
    }

    /// Where it serves, where the Service leads as it says, and which address it dials. The only address shows the
    /// certificate that everything else of the API server shows; beside it a second one shows the next generation's.
    fn write_addresses(&self, component: &Component, target: &ConsumerTarget) -> Result<(), ClusterError> {
        let known = component.write(|material| {
            material.service = target.service.clone().or_else(|| material.service.take());
            material.dials = target.dials.clone().or_else(|| material.dials.take());
            material.serves.clone()
        });
        let Some((first, others)) = target.serves.split_first() else { return Ok(()) };
        let mut serves = vec![(first.clone(), None)];
        for address in others {
            let own = known.iter().find(|(served, _)| served == address).and_then(|(_, own)| own.clone());
            let own = own.map_or_else(|| self.next_serving_leaf(component, address), Ok)?;
            serves.push((address.clone(), Some(own)));
        }
        component.write(|material| material.serves = serves);
        Ok(())
    }

    fn next_serving_leaf(&self, component: &Component, address: &Address) -> Result<HeldLeaf, ClusterError> {
        let (leaf, authorities) = (LeafKind::ApiServer, &self.shared.authorities);
        let mut holder = holder_of(component, leaf);
        add_addresses(&mut holder, &[(address.clone(), None)])?;
        let role = self.shared.hierarchy().issuer_of(leaf).unwrap_or(AuthorityRole::Cluster);
        let newest = authorities.versions(role).last().copied().unwrap_or(CaVersion::FIRST);
        Ok(authorities.enrol(leaf, newest, &holder, self.now())?)
    }

    /// With which generation the API servers sign tokens now.
    fn token_signer(&self, fallback: CaVersion) -> CaVersion {
        let signing =
            self.shared.of_kind(ComponentKind::KubeApiServer).filter_map(|server| server.loaded().material.signs);
        signing.map(|(version, _)| version).min().unwrap_or(fallback)
    }

    fn write_signer(&self, component: &Component, target: &ConsumerTarget) -> Result<(), ClusterError> {
        let Some((role, version)) = target.signs else { return Ok(()) };
        let id = self.shared.authorities.id(role, version)?;
        if self.fault == Some(Fault::SwitchSignerAfterNodes)
            && role == AuthorityRole::Cluster
            && version != CaVersion::FIRST
        {
            component.claim(|claims| claims.signs = Some(id));
        } else {
            // Before anybody hears of it: what is asked of the one before is refused from then on.
            self.shared.authorities.switch(role, version)?;
            component.write(|material| material.signs = Some((version, id)));
        }
        Ok(())
    }

    /// Under the fault, the CSR signer switches when the API servers are to drop the old generation of clients: the nodes
    /// are done.
    fn switch_late(&self, target: &ConsumerTarget) -> Result<(), ClusterError> {
        let retires = |bundle: &&rotation_fsm::BundleTarget| {
            bundle.slot == TrustSlot::ApiServerClientCa && bundle.versions.first() != CaVersion::FIRST
        };
        if let (Some(Fault::SwitchSignerAfterNodes), Some(bundle), Some(signer)) =
            (self.fault, target.bundles.iter().find(retires), api::csr_signer(&self.shared))
        {
            let version = bundle.versions.first();
            let id = self.shared.authorities.id(AuthorityRole::Cluster, version)?;
            self.shared.authorities.switch(AuthorityRole::Cluster, version)?;
            signer.write(|material| material.signs = Some((version, id)));
            signer.load(self.shared.environment())?;
        }
        Ok(())
    }

    /// A node that starts takes note of who signs requests then: its certificates come from there.
    fn note_csr_signer(&self, component: &Component, target: &ConsumerTarget) -> Result<(), ClusterError> {
        let signer = api::csr_signer(&self.shared).and_then(|signer| signer.loaded().material.signs);
        component.write(|material| material.csr_signer_at_restart = signer.map(|(_, id)| id));
        if let (Some(Fault::SwitchSignerAfterNodes), Some(leaf)) = (self.fault, target.leaves.first()) {
            let id = self.shared.authorities.id(AuthorityRole::Cluster, leaf.issuer)?;
            component.claim(|claims| claims.csr_signer_at_restart = Some(id));
        }
        Ok(())
    }

    /// Under the fault, a node says that its leaves come from where they should.
    fn claim_leaves(&self, component: &Component, target: &ConsumerTarget) -> Result<(), ClusterError> {
        if self.fault == Some(Fault::SwitchSignerAfterNodes) {
            for leaf in &target.leaves {
                let id = self.shared.authorities.id(leaf.role, leaf.issuer)?;
                component.claim(|claims| claims.leaves.insert(leaf.leaf, id));
            }
        }
        Ok(())
    }

    /// A node joins: without a certificate it asks the API server for one with its bootstrap token, and with that
    /// one for a serving certificate.
    fn join(&self, kubelet: &Component) -> Result<(), ClusterError> {
        kubelet.write(|material| material.leaves.clear());
        for (leaf, path, signer_name) in [
            (LeafKind::KubeletClient, Path::NodeBootstrap, "kube-apiserver-client-kubelet"),
            (LeafKind::KubeletServing, Path::NodeApi, "kubelet-serving"),
        ] {
            kubelet.load(self.shared.environment())?;
            let enrolment = Enrolment::new(leaf, &holder_of(kubelet, leaf))?;
            let request = Request {
                method: "POST".to_owned(),
                target: format!("/certificatesigningrequests/{signer_name}/{}", kubelet.id.instance()),
                bearer: (path == Path::NodeBootstrap).then(|| self.shared.bootstrap_token().to_owned()),
                once: true,
                body: enrolment.request().to_vec(),
            };
            let certificate = self.ask_api_server(kubelet, path, &request)?;
            let held = self.shared.authorities.hold(leaf, enrolment.finish(vec![certificate])?)?;
            kubelet.write(|material| material.leaves.insert(leaf, held));
        }
        Ok(())
    }

    fn ask_api_server(
        &self,
        kubelet: &Component,
        path: Path,
        request: &Request,
    ) -> Result<CertificateDer<'static>, ClusterError> {
        let failed = |reason: NoAnswer| ClusterError::Join { node: kubelet.id.to_string(), reason: reason.into() };
        let loaded = kubelet.loaded();
        let config = loaded.client(path).ok_or_else(|| failed(NoAnswer::Unavailable))?;
        let mut last = NoAnswer::Unavailable;
        for server in self.shared.of_kind(ComponentKind::KubeApiServer) {
            let answer =
                way(&self.shared, path, &loaded, server).and_then(|way| exchange(Arc::clone(config), &way, request));
            match answer {
                Ok(response) if response.status == 200 => return Ok(response.body.into()),
                Ok(response) => {
                    let reason = String::from_utf8_lossy(&response.body);
                    return Err(failed(NoAnswer::Failed(format!("{} {reason}", response.status))));
                }
                Err(reason) => last = reason,
            }
        }
        Err(failed(last))
    }

    pub(super) fn open_sockets(&self, component: &Arc<Component>) -> Result<(), ClusterError> {
        for (&endpoint, listener) in &component.listeners {
            if component.loaded().server(endpoint).is_some() {
                listener.start(self.service(component, At::Endpoint(endpoint)))?;
            }
        }
        self.open_addresses(component)
    }

    /// Opens the sockets on addresses of the control plane that are not open yet.
    fn open_addresses(&self, component: &Arc<Component>) -> Result<(), ClusterError> {
        for (address, _) in &component.loaded().material.serves {
            let listener = component.listener_for(address);
            if !listener.is_open() {
                listener.start(self.service(component, At::Address(address.clone())))?;
            }
        }
        Ok(())
    }

    fn service(&self, component: &Arc<Component>, at: At) -> Arc<dyn Service> {
        Arc::new(ClusterService { shared: Arc::clone(&self.shared), component: Arc::clone(component), at })
    }
}

/// Closes the sockets on addresses of the control plane that the component is to leave, before it loses what it shows
/// there.
fn close_left_addresses(component: &Component) {
    let serves: Vec<_> =
        component.write(|material| material.serves.iter().map(|(address, _)| address.clone()).collect());
    let left = component.listeners_at().into_iter().filter(|(address, _)| !serves.contains(address));
    left.for_each(|(_, listener)| listener.stop());
}

/// Has a certificate name the addresses on which it is shown.
fn add_addresses(holder: &mut Holder, serves: &[(Address, Option<HeldLeaf>)]) -> Result<(), ClusterError> {
    for (address, _) in serves.iter().filter(|(_, own)| own.is_none()) {
        if let Ok(address) = address.to_string().parse::<IpAddr>() {
            holder.names.push(SubjectAltName::ip(address).map_err(AuthorityError::Name)?);
        }
    }
    Ok(())
}
