//! Saying of a path that both of its ends have what the hierarchy gives them.

use std::collections::BTreeMap;

use pki_core::{ClientCredential, ComponentKind, Hierarchy, LeafKind, Path, ServerAuthority, TrustSlot};

use crate::fact::Fact;
use crate::model::{ClusterModel, Component, Leaf, Trust};

type Leaves = BTreeMap<LeafKind, Fact<Leaf>>;
type Trusts = BTreeMap<TrustSlot, Fact<Trust>>;

/// A model that grows by what one document says.
pub(super) struct Declared {
    pub(super) model: ClusterModel,
    document: &'static str,
    hierarchy: Hierarchy,
}

impl Declared {
    pub(super) fn by(document: &'static str, hierarchy: Hierarchy) -> Self {
        Self { model: ClusterModel::default(), document, hierarchy }
    }

    /// A fact that the document states.
    pub(super) fn fact<T>(&self, value: T) -> Fact<T> {
        Fact::declared(value, self.document)
    }

    /// TLS authenticates both ends of these paths, with the authorities of the hierarchy.
    pub(super) fn authenticated(&mut self, paths: &[Path]) {
        for path in paths {
            self.server_of(*path);
            self.client_of(*path);
        }
    }

    /// The server shows a leaf, and the client verifies it.
    fn server_of(&mut self, path: Path) {
        let issuer = |leaf| self.hierarchy.issuer_of(leaf);
        let shown = path.endpoint().leaf().and_then(|leaf| Some((leaf, self.fact(Leaf::IssuedBy(issuer(leaf)?)))));
        let trust = match path.server_authority(&self.hierarchy) {
            ServerAuthority::Role(role) => Trust::Authority(role),
            ServerAuthority::External => {
                Trust::Foreign("org CA, which signs the certificate of `authentication.sni`".into())
            }
            _ => Trust::Nothing,
        };
        let trusted = path.client_trust().map(|slot| (slot, self.fact(trust)));
        if let Some((leaves, _)) = ends(&mut self.model, path.server()) {
            leaves.extend(shown);
        }
        if let Some((_, trusts)) = ends(&mut self.model, path.client()) {
            trusts.extend(trusted);
        }
    }

    /// The client shows a leaf, and the server verifies it.
    fn client_of(&mut self, path: Path) {
        let issuer = |leaf| self.hierarchy.issuer_of(leaf);
        let shown = match path.client_credential() {
            ClientCredential::Certificate(leaf) => issuer(leaf).map(|role| (leaf, self.fact(Leaf::IssuedBy(role)))),
            _ => None,
        };
        let trusted = path.server_trusts(&self.hierarchy).map(|(slot, role)| (slot, self.fact(Trust::Authority(role))));
        if let Some((leaves, _)) = ends(&mut self.model, path.client()) {
            leaves.extend(shown);
        }
        if let Some((_, trusts)) = ends(&mut self.model, path.server()) {
            trusts.extend(trusted);
        }
    }
}

/// The one component of a kind that stands for all of them.
fn ends(model: &mut ClusterModel, kind: ComponentKind) -> Option<(&mut Leaves, &mut Trusts)> {
    fn one<S: Default>(components: &mut Vec<Component<S>>) -> Option<(&mut Leaves, &mut Trusts)> {
        let Component { leaves, trusts, .. } = any(components)?;
        Some((leaves, trusts))
    }
    match kind {
        ComponentKind::KubeApiServer => one(&mut model.api_servers),
        ComponentKind::ControllerManager => one(&mut model.controller_managers),
        ComponentKind::Scheduler => one(&mut model.schedulers),
        ComponentKind::Etcd => one(&mut model.etcd),
        ComponentKind::Kubelet => one(&mut model.kubelets),
        ComponentKind::KonnectivityServer => one(&mut model.konnectivity_servers),
        ComponentKind::KonnectivityAgent => one(&mut model.konnectivity_agents),
        ComponentKind::EtcdProbe => one(&mut model.etcd_probes),
        ComponentKind::ExternalClient => one(&mut model.external_clients),
        ComponentKind::Pod => Some((&mut model.pods.leaves, &mut model.pods.trusts)),
        _ => None,
    }
}

/// The component that stands for all of its kind.
pub(super) fn any<S: Default>(components: &mut Vec<Component<S>>) -> Option<&mut Component<S>> {
    if components.is_empty() {
        components.push(Component { name: "any".to_owned(), ..Component::default() });
    }
    components.first_mut()
}
