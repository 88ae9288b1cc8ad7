//! Who verifies whom in one cluster, and what it takes for each consumer to load something new.
//!
//! Everything here is derived from the table of paths in `pki-core`; a topology adds the instances.

use core::fmt;
use std::collections::BTreeMap;

use pki_core::{AuthorityRole, ComponentKind, Hierarchy, LeafKind, NodeName, Origin, Path, Plane, Preset, TrustSlot};

/// One replica of a component, or one node's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId {
    kind: ComponentKind,
    instance: NodeName,
}

impl ConsumerId {
    /// The replica or node `instance` of a component.
    #[must_use]
    pub const fn new(kind: ComponentKind, instance: NodeName) -> Self {
        Self { kind, instance }
    }

    /// Which component.
    #[must_use]
    pub const fn kind(&self) -> ComponentKind {
        self.kind
    }

    /// Which replica, or which node.
    #[must_use]
    pub const fn instance(&self) -> &NodeName {
        &self.instance
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.instance)
    }
}

/// A node pool. Pools are worked on one at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName(NodeName);

impl PoolName {
    /// The pool of this name.
    #[must_use]
    pub const fn new(name: NodeName) -> Self {
        Self(name)
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What it takes until a consumer runs with what was written for it, from cheap to dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reload {
    /// It watches the file or object.
    Live,
    /// Its process must restart.
    Restart,
    /// Its node must be recreated.
    Recreate,
    /// Nobody can see it: somebody must say that it is done.
    Unobservable,
}

/// How a consumer takes up a new bundle. Kubernetes 1.36 and etcd 3.4 to 3.6 as measured;
/// where older versions of a component need a restart, a restart is planned.
const fn bundle_reload(slot: TrustSlot) -> Reload {
    match slot {
        // Watched, and polled once a minute; caBundle fields are objects of the API.
        TrustSlot::ApiServerClientCa
        | TrustSlot::ApiServerRequestheaderCa
        | TrustSlot::ApiServiceCaBundle
        | TrustSlot::WebhookCaBundle
        | TrustSlot::AggregatedRequestheaderCa
        | TrustSlot::KubeletClientCa => Reload::Live,
        TrustSlot::AdminKubeconfigCa => Reload::Unobservable,
        // `--etcd-cafile`, etcd's two CA files and `--service-account-key-file` are read once. A kubeconfig's CA is
        // re-read by files only, and only since 1.36; an inline one never is. Most pods read once.
        _ => Reload::Restart,
    }
}

/// How a consumer takes up a new leaf.
const fn leaf_reload(leaf: LeafKind) -> Reload {
    match leaf {
        // Files that the API server watches, or that are read at every handshake.
        LeafKind::ApiServer
        | LeafKind::ApiServerKubeletClient
        | LeafKind::ApiServerEtcdClient
        | LeafKind::FrontProxyClient
        | LeafKind::EtcdServer
        | LeafKind::EtcdPeer
        | LeafKind::EtcdHealthcheckClient
        | LeafKind::AggregatedApiServer
        | LeafKind::Webhook
        // The kubelet replaces a projected token before it expires.
        | LeafKind::ServiceAccountToken => Reload::Live,
        LeafKind::Admin => Reload::Unobservable,
        // A kubelet cannot be told to renew: its process must come up without the old certificate.
        _ => Reload::Restart,
    }
}

/// How the holder of a signing key takes up another: kube-controller-manager watches its signing
/// files; kube-apiserver reads `--service-account-signing-key-file` once.
const fn signer_reload(role: AuthorityRole) -> Reload {
    match role {
        AuthorityRole::ServiceAccount => Reload::Restart,
        _ => Reload::Live,
    }
}

/// What every instance of a component loads, presents and signs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) trust: Vec<(TrustSlot, AuthorityRole)>,
    pub(crate) leaves: Vec<(LeafKind, AuthorityRole)>,
    pub(crate) signs: Option<AuthorityRole>,
}

impl Uses {
    fn of(kind: ComponentKind, hierarchy: &Hierarchy) -> Self {
        let mut uses = Self { signs: signs(kind, hierarchy), ..Self::default() };
        for path in Path::of(hierarchy) {
            if path.client() == kind {
                uses.add(path.client_trusts(hierarchy), path.client_credential().leaf(), hierarchy);
            }
            if path.server() == kind {
                uses.add(path.server_trusts(hierarchy), path.endpoint().leaf(), hierarchy);
            }
        }
        uses.trust.sort_unstable();
        uses.trust.dedup();
        uses.leaves.sort_unstable();
        uses.leaves.dedup();
        uses
    }

    /// Whether anything of these authorities is loaded, presented or signed with.
    pub(crate) fn touches(&self, roles: &[AuthorityRole]) -> bool {
        let trusts = self.trust.iter().map(|(_, role)| role);
        let presents = self.leaves.iter().map(|(_, role)| role);
        trusts.chain(presents).chain(&self.signs).any(|role| roles.contains(role))
    }

    /// The CSR signer, of a component that restarts under one: a kubelet, whose client certificate it signs.
    pub(crate) fn csr_signer(&self) -> Option<AuthorityRole> {
        self.leaves.iter().find(|(leaf, _)| *leaf == LeafKind::KubeletClient).map(|(_, role)| *role)
    }

    fn add(&mut self, trust: Option<(TrustSlot, AuthorityRole)>, leaf: Option<LeafKind>, hierarchy: &Hierarchy) {
        self.trust.extend(trust);
        self.leaves.extend(leaf.and_then(|leaf| Some((leaf, hierarchy.issuer_of(leaf)?))));
    }
}

/// The authority with whose key a component signs at run time: the CSR signer of
/// kube-controller-manager, the token signer of kube-apiserver.
///
/// Where kubelets have their serving certificates from another authority, kube-controller-manager has a second key. That
/// one shows in what the kubelets serve with, on which the nodes' stages wait.
fn signs(kind: ComponentKind, hierarchy: &Hierarchy) -> Option<AuthorityRole> {
    match kind {
        ComponentKind::ControllerManager => hierarchy.issuer_of(LeafKind::KubeletClient),
        ComponentKind::KubeApiServer => hierarchy.issuer_of(LeafKind::ServiceAccountToken),
        _ => None,
    }
}

/// Whether a leaf is signed at run time by such a component, not by whoever runs the rotation.
pub(crate) const fn is_signed_at_run_time(leaf: LeafKind) -> bool {
    matches!(leaf, LeafKind::KubeletClient | LeafKind::KubeletServing | LeafKind::ServiceAccountToken)
}

/// A node pool and how many of its nodes may be away at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pool {
    name: PoolName,
    max_unavailable: usize,
}

/// The consumers of one cluster, by path table and instance.
#[derive(Clone, Debug)]
pub struct Topology {
    hierarchy: Hierarchy,
    uses: BTreeMap<ComponentKind, Uses>,
    pools: Vec<Pool>,
    consumers: BTreeMap<ConsumerId, Option<PoolName>>,
}

/// Why a consumer or pool cannot be part of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyError {
    /// It is there already.
    Duplicate(ConsumerId),
    /// The pool is there already.
    DuplicatePool(PoolName),
    /// It is not there.
    Unknown(ConsumerId),
    /// A consumer of the data plane needs a pool of the topology; others have none.
    Pool {
        /// The consumer.
        consumer: ConsumerId,
        /// The pool that was named.
        pool: Option<PoolName>,
    },
    /// The hierarchy has no path on which this component stands.
    NoPath(ConsumerId),
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(consumer) => write!(f, "the consumer `{consumer}` is there already"),
            Self::DuplicatePool(pool) => write!(f, "the pool `{pool}` is there already"),
            Self::Unknown(consumer) => write!(f, "the consumer `{consumer}` is not part of the topology"),
            Self::Pool { consumer, pool: Some(pool) } => write!(f, "`{consumer}` cannot be in the pool `{pool}`"),
            Self::Pool { consumer, pool: None } => write!(f, "`{consumer}` is on a node and needs a pool"),
            Self::NoPath(consumer) => write!(f, "the hierarchy has no path for `{consumer}`"),
        }
    }
}

impl core::error::Error for TopologyError {}

impl Topology {
    /// A cluster of this hierarchy, without any instance yet.
    #[must_use]
    pub fn new(hierarchy: Hierarchy) -> Self {
        let uses = ComponentKind::ALL.into_iter().map(|kind| (kind, Uses::of(kind, &hierarchy))).collect();
        Self { hierarchy, uses, pools: Vec::new(), consumers: BTreeMap::new() }
    }

    /// Adds a node pool. Pools are worked on in the order in which they are added, and of one pool
    /// at most `max_unavailable` (at least one) consumers of a kind at a time.
    ///
    /// # Errors
    /// When there is a pool of that name.
    pub fn add_pool(&mut self, name: PoolName, max_unavailable: usize) -> Result<(), TopologyError> {
        if self.pools.iter().any(|pool| pool.name == name) {
            return Err(TopologyError::DuplicatePool(name));
        }
        self.pools.push(Pool { name, max_unavailable: max_unavailable.max(1) });
        Ok(())
    }

    /// Adds an instance: in a pool when it runs on a node, in none otherwise.
    ///
    /// # Errors
    /// When it is there already, the pool does not fit, or the hierarchy has no path for it.
    pub fn add(&mut self, consumer: ConsumerId, pool: Option<PoolName>) -> Result<(), TopologyError> {
        let in_pool = pool.as_ref().is_some_and(|name| self.pools.iter().any(|pool| pool.name == *name));
        let on_a_node = consumer.kind.plane() == Plane::Data;
        if pool.is_some() != on_a_node || in_pool != on_a_node {
            return Err(TopologyError::Pool { consumer, pool });
        }
        if self.uses(consumer.kind).is_none_or(|uses| uses.trust.is_empty() && uses.leaves.is_empty()) {
            return Err(TopologyError::NoPath(consumer));
        }
        if self.consumers.contains_key(&consumer) {
            return Err(TopologyError::Duplicate(consumer));
        }
        self.consumers.insert(consumer, pool);
        Ok(())
    }

    pub(crate) fn remove(&mut self, consumer: &ConsumerId) {
        self.consumers.remove(consumer);
    }

    /// The hierarchy.
    #[must_use]
    pub const fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The instances, with the pool of each that runs on a node.
    pub fn consumers(&self) -> impl Iterator<Item = (&ConsumerId, Option<&PoolName>)> {
        self.consumers.iter().map(|(consumer, pool)| (consumer, pool.as_ref()))
    }

    /// The pools, in the order in which they are worked on.
    pub fn pools(&self) -> impl Iterator<Item = &PoolName> {
        self.pools.iter().map(|pool| &pool.name)
    }

    /// Whether there is such an instance.
    #[must_use]
    pub fn contains(&self, consumer: &ConsumerId) -> bool {
        self.consumers.contains_key(consumer)
    }

    pub(crate) fn pool_of(&self, consumer: &ConsumerId) -> Option<&PoolName> {
        self.consumers.get(consumer).and_then(Option::as_ref)
    }

    pub(crate) fn uses(&self, kind: ComponentKind) -> Option<&Uses> {
        self.uses.get(&kind)
    }

    /// How many consumers of one kind may be away at once: one replica of a control-plane component
    /// (etcd keeps its quorum, the API server its second replica), and what a pool says of its nodes.
    pub(crate) fn max_unavailable(&self, consumer: &ConsumerId) -> usize {
        let pool = self.pool_of(consumer);
        self.pools.iter().find(|candidate| Some(&candidate.name) == pool).map_or(1, |pool| pool.max_unavailable)
    }

    /// What it takes until `consumer` runs with these bundles, leaves and signing keys.
    ///
    /// In GDC every stage is like an upgrade: whatever it touches restarts. In GKE a node takes up
    /// credentials only by being recreated. Everywhere else it takes what the components themselves need.
    pub(crate) fn reload(
        &self,
        consumer: &ConsumerId,
        slots: impl Iterator<Item = TrustSlot>,
        leaves: impl Iterator<Item = LeafKind>,
        signs: Option<AuthorityRole>,
    ) -> Reload {
        let least = match (self.hierarchy.origin(), consumer.kind.plane()) {
            (_, Plane::External) => Reload::Unobservable,
            (Origin::Preset(Preset::Gdc), _) => Reload::Restart,
            (Origin::Preset(Preset::Gke(_)), Plane::Data) => Reload::Recreate,
            _ => Reload::Live,
        };
        slots.map(bundle_reload).chain(leaves.map(leaf_reload)).chain(signs.map(signer_reload)).fold(least, Ord::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: ComponentKind, name: &str) -> ConsumerId {
        ConsumerId::new(kind, name.parse().unwrap())
    }

    #[test]
    fn a_topology_takes_each_consumer_once_and_in_its_place() {
        let mut topology = Topology::new(Hierarchy::kubeadm());
        let pool = PoolName::new("pool-a".parse().unwrap());
        topology.add_pool(pool.clone(), 1).unwrap();
        assert_eq!(topology.add_pool(pool.clone(), 1), Err(TopologyError::DuplicatePool(pool.clone())));

        let etcd = id(ComponentKind::Etcd, "0");
        topology.add(etcd.clone(), None).unwrap();
        assert_eq!(topology.add(etcd.clone(), None), Err(TopologyError::Duplicate(etcd.clone())));
        let misplaced = TopologyError::Pool { consumer: etcd.clone(), pool: Some(pool.clone()) };
        assert_eq!(topology.add(etcd, Some(pool)), Err(misplaced));

        let kubelet = id(ComponentKind::Kubelet, "node-0");
        for pool in [None, Some(PoolName::new("pool-z".parse().unwrap()))] {
            let error = TopologyError::Pool { consumer: kubelet.clone(), pool: pool.clone() };
            assert_eq!(topology.add(kubelet.clone(), pool), Err(error));
        }
        let agent = id(ComponentKind::KonnectivityServer, "0");
        assert_eq!(topology.add(agent.clone(), None), Err(TopologyError::NoPath(agent)));
    }

    #[test]
    fn uses_follow_from_the_path_table() {
        let topology = Topology::new(Hierarchy::gdc());
        let etcd = topology.uses(ComponentKind::Etcd).unwrap();
        assert_eq!(
            etcd.trust.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
            [TrustSlot::EtcdTrustedCa, TrustSlot::EtcdPeerTrustedCa]
        );
        assert_eq!(
            etcd.leaves.iter().map(|(leaf, _)| *leaf).collect::<Vec<_>>(),
            [LeafKind::EtcdServer, LeafKind::EtcdPeer]
        );
        // GDC's clients outside trust the org CA, which no rotation touches.
        let outside = topology.uses(ComponentKind::ExternalClient).unwrap();
        assert_eq!((outside.trust.len(), outside.leaves.len()), (0, 1));
    }

    #[test]
    fn every_etcd_ca_file_and_the_api_servers_need_a_restart() {
        for slot in [TrustSlot::EtcdTrustedCa, TrustSlot::EtcdPeerTrustedCa, TrustSlot::ApiServerEtcdCa] {
            assert_eq!(bundle_reload(slot), Reload::Restart);
        }
        assert_eq!(bundle_reload(TrustSlot::ApiServerClientCa), Reload::Live);
        assert_eq!(leaf_reload(LeafKind::EtcdPeer), Reload::Live);
    }

    #[test]
    fn presets_decide_what_a_stage_costs() {
        let kubelet = id(ComponentKind::Kubelet, "node-0");
        let api_server = id(ComponentKind::KubeApiServer, "0");
        let reload = |hierarchy: Hierarchy, consumer: &ConsumerId| {
            Topology::new(hierarchy).reload(consumer, [TrustSlot::KubeletClientCa].into_iter(), [].into_iter(), None)
        };
        assert_eq!(reload(Hierarchy::kubeadm(), &kubelet), Reload::Live);
        assert_eq!(reload(Hierarchy::gdc(), &kubelet), Reload::Restart);
        assert_eq!(reload(Hierarchy::gke(pki_core::Storage::Etcd), &kubelet), Reload::Recreate);
        assert_eq!(reload(Hierarchy::gke(pki_core::Storage::Etcd), &api_server), Reload::Live);
    }
}
