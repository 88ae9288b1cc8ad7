//! A cluster as far as it is known: who holds which certificates, trusts which bundles, and is configured how.
//!
//! Every statement is a [`Fact`], so that a report can say for each whether it was read, is what a component does by
//! default, or is only asserted. The model checks nothing; [`audit`](crate::audit()) does.

mod certificate;
mod settings;

use std::collections::BTreeMap;

use pki_core::{AuthorityId, AuthorityRole, ComponentKind, LeafKind, Printable, TrustSlot};

use crate::channel::Protection;
use crate::fact::{Fact, Place};

pub use self::certificate::{Bundle, Certificate, KeyFile, Leaf, Trust};
pub use self::settings::{
    ApiAccess, ApiServer, ApiServiceClient, AuthorizationMode, ControllerManager, CsrSigning, Egress, Etcd,
    InsecurePort, KonnectivityAgent, KonnectivityServer, Kubelet, Pods, Scheduler, SshTunnels, TlsRange, Transport,
    WebhookClient,
};

/// One running instance of a component.
#[derive(Clone, Debug, Default)]
pub struct Component<S> {
    /// What it is called: of a kubelet the node, else whatever tells replicas apart.
    pub name: String,
    /// The leaves that it presents. A kind that does not stand here is [`Fact::Missing`].
    pub leaves: BTreeMap<LeafKind, Fact<Leaf>>,
    /// What it verifies others with. A slot that does not stand here is [`Fact::Missing`].
    pub trusts: BTreeMap<TrustSlot, Fact<Trust>>,
    /// The versions of TLS that its server speaks.
    pub tls: Fact<TlsRange>,
    /// How it is configured besides.
    pub settings: S,
    /// Settings that this crate does not know.
    pub unknown: Vec<UnknownSetting>,
}

impl<S> Component<S> {
    /// The leaf of a kind, or what is shown in its place.
    pub fn leaf(&self, kind: LeafKind) -> &Fact<Leaf> {
        shown_as(&self.leaves, kind)
    }

    /// What it verifies others with.
    pub fn trust(&self, slot: TrustSlot) -> &Fact<Trust> {
        self.trusts.get(&slot).unwrap_or(&Fact::Missing)
    }
}

/// In whose place a leaf is shown: whoever has kubeadm's `super-admin.conf` calls as whoever has its `admin.conf`.
pub(crate) const fn shown_for(kind: LeafKind) -> LeafKind {
    match kind {
        LeafKind::SuperAdmin => LeafKind::Admin,
        kind => kind,
    }
}

fn shown_as(leaves: &BTreeMap<LeafKind, Fact<Leaf>>, kind: LeafKind) -> &Fact<Leaf> {
    let instead = || leaves.iter().find(|(other, _)| shown_for(**other) == kind).map(|(_, leaf)| leaf);
    leaves.get(&kind).or_else(instead).unwrap_or(&Fact::Missing)
}

/// A setting that was found and is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSetting {
    /// What it is called.
    pub name: Printable,
    /// Where it stands.
    pub place: Place,
}

/// An input that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenInput {
    /// Which one.
    pub place: Place,
    /// What is wrong with it.
    pub reason: String,
}

/// An authority of the cluster: the certificates that sign now, and those that were retired.
#[derive(Clone, Debug, Default)]
pub struct Authority {
    /// The certificates under which leaves are issued now: several in the middle of a rotation.
    pub live: Vec<std::sync::Arc<Certificate>>,
    /// Generations that a rotation has retired. Nobody may trust them any more.
    pub retired: Vec<AuthorityId>,
}

/// What only somebody's word says: no certificate or setting of the cluster shows it.
#[derive(Clone, Debug, Default)]
pub struct Infrastructure {
    /// What the network below gives to nodes.
    pub node_node: Fact<Protection>,
    /// What it gives to pods on different nodes.
    pub pod_pod_across_nodes: Fact<Protection>,
    /// What pods on one node have.
    pub pod_pod_on_node: Fact<Protection>,
    /// Whether the control plane's own traffic stays in a network that nobody else reaches.
    pub control_plane_is_confined: Fact<bool>,
    /// Whether a pod can read the secret with which a node bootstraps (node metadata, a file of the host).
    pub bootstrap_secret_is_readable_by_pods: Fact<bool>,
    /// Whether the proxy verb is used towards nodes, pods or services.
    pub proxy_is_used: Fact<bool>,
    /// Whether the database has members that replicate to each other: not where it is Spanner behind the etcd API.
    pub etcd_replicates: Fact<bool>,
    /// Whether any `NetworkPolicy` restricts which pods talk to each other.
    pub network_policies: Fact<bool>,
}

/// A cluster as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct ClusterModel {
    /// What it is called.
    pub name: String,
    /// kube-apiserver.
    pub api_servers: Vec<Component<ApiServer>>,
    /// kube-controller-manager.
    pub controller_managers: Vec<Component<ControllerManager>>,
    /// kube-scheduler.
    pub schedulers: Vec<Component<Scheduler>>,
    /// etcd.
    pub etcd: Vec<Component<Etcd>>,
    /// Kubelets.
    pub kubelets: Vec<Component<Kubelet>>,
    /// Konnectivity servers.
    pub konnectivity_servers: Vec<Component<KonnectivityServer>>,
    /// Konnectivity agents.
    pub konnectivity_agents: Vec<Component<KonnectivityAgent>>,
    /// Health probes of etcd.
    pub etcd_probes: Vec<Component<()>>,
    /// Clients outside, by their kubeconfigs.
    pub external_clients: Vec<Component<()>>,
    /// What all pods have in common.
    pub pods: Component<Pods>,
    /// How the API server calls each webhook.
    pub webhooks: Fact<Vec<WebhookClient>>,
    /// How the API server calls each aggregated API.
    pub api_services: Fact<Vec<ApiServiceClient>>,
    /// Who holds the key that signs certificate requests.
    pub csr_signing: Fact<CsrSigning>,
    /// SSH tunnels to the nodes.
    pub ssh_tunnels: Fact<SshTunnels>,
    /// The authorities. A role that does not stand here is unknown.
    pub authorities: BTreeMap<AuthorityRole, Fact<Authority>>,
    /// The certificates of other clusters' authorities, by cluster.
    pub other_clusters: Fact<Vec<(String, Vec<std::sync::Arc<Certificate>>)>>,
    /// Leaves of the cluster's authorities that nothing of the cluster uses: whoever issued them by hand renews them by hand.
    /// `None` where nobody looked for them.
    pub unclaimed: Option<Vec<Leaf>>,
    /// Private keys that lie in files.
    pub keys: Vec<KeyFile>,
    /// What only somebody's word says.
    pub infrastructure: Infrastructure,
    /// Inputs that could not be used.
    pub broken: Vec<BrokenInput>,
}

/// What every component has, whatever its settings.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// What kind it is.
    pub kind: ComponentKind,
    /// What it is called.
    pub name: &'a str,
    /// The leaves that it presents.
    pub leaves: &'a BTreeMap<LeafKind, Fact<Leaf>>,
    /// What it verifies others with.
    pub trusts: &'a BTreeMap<TrustSlot, Fact<Trust>>,
    /// The versions of TLS that its server speaks.
    pub tls: &'a Fact<TlsRange>,
    /// Settings that are not known.
    pub unknown: &'a [UnknownSetting],
}

impl<'a> Holder<'a> {
    fn of<S>(kind: ComponentKind, component: &'a Component<S>) -> Self {
        let Component { name, leaves, trusts, tls, unknown, .. } = component;
        Self { kind, name, leaves, trusts, tls, unknown }
    }

    /// The leaf of a kind, or what is shown in its place.
    #[must_use]
    pub fn leaf(&self, kind: LeafKind) -> &'a Fact<Leaf> {
        shown_as(self.leaves, kind)
    }

    /// What it verifies others with.
    #[must_use]
    pub fn trust(&self, slot: TrustSlot) -> &'a Fact<Trust> {
        self.trusts.get(&slot).unwrap_or(&Fact::Missing)
    }
}

impl ClusterModel {
    /// The instances of a kind. Aggregated API servers and webhooks are known by how they are called, and have none.
    #[must_use]
    pub fn holders(&self, kind: ComponentKind) -> Box<dyn Iterator<Item = Holder<'_>> + '_> {
        fn all<S>(kind: ComponentKind, of: &[Component<S>]) -> Box<dyn Iterator<Item = Holder<'_>> + '_> {
            Box::new(of.iter().map(move |component| Holder::of(kind, component)))
        }
        match kind {
            ComponentKind::KubeApiServer => all(kind, &self.api_servers),
            ComponentKind::ControllerManager => all(kind, &self.controller_managers),
            ComponentKind::Scheduler => all(kind, &self.schedulers),
            ComponentKind::Etcd => all(kind, &self.etcd),
            ComponentKind::Kubelet => all(kind, &self.kubelets),
            ComponentKind::KonnectivityServer => all(kind, &self.konnectivity_servers),
            ComponentKind::KonnectivityAgent => all(kind, &self.konnectivity_agents),
            ComponentKind::EtcdProbe => all(kind, &self.etcd_probes),
            ComponentKind::ExternalClient => all(kind, &self.external_clients),
            ComponentKind::Pod => all(kind, core::slice::from_ref(&self.pods)),
            _ => Box::new(core::iter::empty()),
        }
    }

    /// Every instance of every kind.
    pub fn all_holders(&self) -> impl Iterator<Item = Holder<'_>> {
        ComponentKind::ALL.into_iter().flat_map(|kind| self.holders(kind))
    }

    /// An authority, as far as it is known.
    #[must_use]
    pub fn authority(&self, role: AuthorityRole) -> &Fact<Authority> {
        self.authorities.get(&role).unwrap_or(&Fact::Missing)
    }
}
