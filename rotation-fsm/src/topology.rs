//! Who verifies whom in one cluster, and what it takes for each consumer to load something new.
//!
//! Everything here is derived from the table of paths in `pki-core`; a topology adds the instances.

mod reload;
mod uses;

use core::fmt;
use core::str::FromStr;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use pki_core::{ComponentKind, Hierarchy, NodeName, Plane};

pub use self::reload::Reload;
pub(crate) use self::uses::{Edge, MAX_FACETS, Uses, is_signed_at_run_time};
use crate::facet::Facet;

/// One replica of a component, or one node's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
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

/// Not `kind/instance`, such as `kubelet/node-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerIdError(String);

impl fmt::Display for ConsumerIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no consumer, expected a component and an instance, such as `kubelet/node-1`", self.0)
    }
}

impl core::error::Error for ConsumerIdError {}

impl FromStr for ConsumerId {
    type Err = ConsumerIdError;

    fn from_str(text: &str) -> Result<Self, ConsumerIdError> {
        // Enough to recognise it; a hostile megabyte does not travel in an error.
        let error = || ConsumerIdError(text.chars().take(64).collect());
        let (kind, instance) = text.split_once('/').ok_or_else(error)?;
        let kind = ComponentKind::ALL.into_iter().find(|known| known.id() == kind).ok_or_else(error)?;
        Ok(Self::new(kind, instance.parse().map_err(|_| error())?))
    }
}

impl TryFrom<String> for ConsumerId {
    type Error = ConsumerIdError;

    fn try_from(text: String) -> Result<Self, ConsumerIdError> {
        text.parse()
    }
}

impl From<ConsumerId> for String {
    fn from(consumer: ConsumerId) -> Self {
        consumer.to_string()
    }
}

/// A node pool. Pools are worked on one at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct PoolName(NodeName);

impl TryFrom<String> for PoolName {
    type Error = pki_core::NameError;

    fn try_from(text: String) -> Result<Self, pki_core::NameError> {
        text.parse().map(Self)
    }
}

impl From<PoolName> for String {
    fn from(pool: PoolName) -> Self {
        pool.0.as_str().to_owned()
    }
}

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

/// An address of the control plane, as clients dial it: a host name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct Address(String);

/// Not an address: empty, longer than 255 octets, or with anything but graphic ASCII in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError(());

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address has 1 to 255 graphic ASCII characters")
    }
}

impl core::error::Error for AddressError {}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(AddressError(())) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.to_owned().try_into()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node pool and how many of its nodes may be away at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pool {
    name: PoolName,
    max_unavailable: usize,
}

/// The consumers of one kind in one pool, or outside of pools: plans ask the same of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) kind: ComponentKind,
    pub(crate) pool: Option<PoolName>,
}

/// A consumer by number. The number of one that left is given again.
pub(crate) type Index = u32;

/// One consumer.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: ConsumerId,
    pub(crate) class: usize,
}

/// The consumers of one cluster, by path table and instance.
///
/// Clones share what does not change.
#[derive(Clone, Debug)]
pub struct Topology {
    fixed: Arc<Fixed>,
    members: Arc<Members>,
}

/// Who is there.
#[derive(Clone, Debug, Default)]
struct Members {
    /// A consumer that left leaves a hole, so that the numbers of the others stay.
    all: Vec<Option<Member>>,
    /// The lowest is given again first: which number is next follows from who is there, and not from who left when.
    holes: BTreeSet<Index>,
    by_id: HashMap<ConsumerId, Index>,
    by_class: Vec<BTreeSet<Index>>,
}

impl Members {
    fn insert(&mut self, member: Member) -> Option<Index> {
        let index = match self.holes.pop_first() {
            Some(index) => index,
            None => self.leave_hole()?,
        };
        self.put(index, member)
    }

    /// A number more, for nobody yet.
    fn leave_hole(&mut self) -> Option<Index> {
        let index = Index::try_from(self.all.len()).ok()?;
        let room = self.all.len() < Topology::MAX_CONSUMERS;
        room.then(|| self.all.push(None))?;
        Some(index)
    }

    fn put(&mut self, index: Index, member: Member) -> Option<Index> {
        self.by_id.insert(member.id.clone(), index);
        if self.by_class.len() <= member.class {
            self.by_class.resize(member.class + 1, BTreeSet::new());
        }
        if let Some(class) = self.by_class.get_mut(member.class) {
            class.insert(index);
        }
        *self.all.get_mut(usize::try_from(index).ok()?)? = Some(member);
        Some(index)
    }

    fn remove(&mut self, consumer: &ConsumerId) -> Option<(Index, Member)> {
        let index = self.by_id.remove(consumer)?;
        let member = self.all.get_mut(usize::try_from(index).ok()?)?.take()?;
        if let Some(class) = self.by_class.get_mut(member.class) {
            class.remove(&index);
        }
        self.holes.insert(index);
        Some((index, member))
    }
}

/// What changes only while a cluster is set up, or when a pool comes.
#[derive(Clone, Debug)]
struct Fixed {
    hierarchy: Hierarchy,
    address: Option<Address>,
    uses: BTreeMap<ComponentKind, Uses>,
    edges: Vec<Edge>,
    reload: BTreeMap<(ComponentKind, Facet), Reload>,
    pools: Vec<Pool>,
    classes: Vec<Class>,
}

impl Fixed {
    /// Every kind of the control plane and outside once, and every kind of the nodes once per pool.
    fn index_classes(&mut self) {
        let mut known = core::mem::take(&mut self.classes);
        let pools = || self.pools.iter().map(|pool| Some(pool.name.clone()));
        for kind in self.uses.iter().filter(|(_, uses)| !uses.facets.is_empty()).map(|(kind, _)| *kind) {
            let places: Vec<_> = if kind.plane() == Plane::Data { pools().collect() } else { vec![None] };
            for pool in places {
                let class = Class { kind, pool };
                // Known classes keep their number.
                if !known.contains(&class) {
                    known.push(class);
                }
            }
        }
        self.classes = known;
    }
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
    /// There are as many consumers as there can be: [`Topology::MAX_CONSUMERS`].
    Full,
    /// There are as many pools as there can be: [`Topology::MAX_POOLS`].
    TooManyPools,
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
            Self::Full => write!(f, "the topology has room for {} consumers and no more", Topology::MAX_CONSUMERS),
            Self::TooManyPools => write!(f, "the topology has room for {} pools and no more", Topology::MAX_POOLS),
        }
    }
}

impl core::error::Error for TopologyError {}

impl Topology {
    /// The most consumers at a time. Ours: GKE states 65,000 nodes and Kubernetes 5,000, and a node has three.
    pub const MAX_CONSUMERS: usize = 1 << 22;
    /// The most pools. Ours: a plan has stages for each of them, and each stage is checked for all.
    pub const MAX_POOLS: usize = 256;

    /// A cluster of this hierarchy, without any instance yet.
    #[must_use]
    pub fn new(hierarchy: Hierarchy) -> Self {
        Self::with(hierarchy, None)
    }

    /// The same, where reports say which address of the control plane everybody serves and dials: what a rotation needs
    /// that replaces the address together with the CA.
    #[must_use]
    pub fn with_address(hierarchy: Hierarchy, address: Address) -> Self {
        Self::with(hierarchy, Some(address))
    }

    fn with(hierarchy: Hierarchy, address: Option<Address>) -> Self {
        let of_kind = |kind| (kind, Uses::of(kind, &hierarchy, address.is_some()));
        let uses = ComponentKind::ALL.into_iter().map(of_kind).collect();
        let edges = Edge::all(&hierarchy);
        let (reload, pools, classes) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut fixed = Fixed { hierarchy, address, uses, edges, reload, pools, classes };
        fixed.index_classes();
        Self { fixed: Arc::new(fixed), members: Arc::default() }
    }

    /// Says what it takes in this cluster until consumers of a kind run with something new, where that differs from
    /// what is [assumed](Reload). Clients outside stay unobservable.
    #[must_use]
    pub fn with_reload(mut self, kind: ComponentKind, facet: Facet, reload: Reload) -> Self {
        Arc::make_mut(&mut self.fixed).reload.insert((kind, facet), reload);
        self
    }

    /// Kubernetes 1.36 and later with every CA in a file of its own: kubeconfigs and `--kubelet-certificate-authority`
    /// are read again while the component runs (gate `ClientsAllowCARotation`, on by default since 1.36; up to five
    /// minutes as measured).
    #[must_use]
    pub fn with_ca_files_reloaded(self) -> Self {
        reload::CA_FILES
            .into_iter()
            .fold(self, |topology, (kind, slot)| topology.with_reload(kind, Facet::Trusts(slot), Reload::Live))
    }

    /// Adds a node pool. Pools are worked on in the order in which they are added, and of one pool
    /// at most `max_unavailable` (at least one) consumers of a kind at a time.
    ///
    /// # Errors
    /// When there is a pool of that name, or no room for another.
    pub fn add_pool(&mut self, name: PoolName, max_unavailable: usize) -> Result<(), TopologyError> {
        if self.fixed.pools.iter().any(|pool| pool.name == name) {
            return Err(TopologyError::DuplicatePool(name));
        }
        if self.fixed.pools.len() >= Self::MAX_POOLS {
            return Err(TopologyError::TooManyPools);
        }
        let fixed = Arc::make_mut(&mut self.fixed);
        fixed.pools.push(Pool { name, max_unavailable: max_unavailable.max(1) });
        fixed.index_classes();
        Ok(())
    }

    /// Adds an instance: in a pool when it runs on a node, in none otherwise.
    ///
    /// # Errors
    /// When it is there already, the pool does not fit, or the hierarchy has no path for it.
    pub fn add(&mut self, consumer: ConsumerId, pool: Option<PoolName>) -> Result<(), TopologyError> {
        self.admit(consumer, pool).map(|_| ())
    }

    /// The class in which a consumer would be that is not there yet.
    pub(crate) fn place(&self, id: &ConsumerId, pool: Option<&PoolName>) -> Result<usize, TopologyError> {
        let in_pool = pool.is_some_and(|name| self.fixed.pools.iter().any(|pool| pool.name == *name));
        let on_a_node = id.kind.plane() == Plane::Data;
        if pool.is_some() != on_a_node || in_pool != on_a_node {
            return Err(TopologyError::Pool { consumer: id.clone(), pool: pool.cloned() });
        }
        if self.contains(id) {
            return Err(TopologyError::Duplicate(id.clone()));
        }
        let place = |class: &Class| class.kind == id.kind && class.pool.as_ref() == pool;
        self.fixed.classes.iter().position(place).ok_or_else(|| TopologyError::NoPath(id.clone()))
    }

    pub(crate) fn admit(&mut self, id: ConsumerId, pool: Option<PoolName>) -> Result<Index, TopologyError> {
        let class = self.place(&id, pool.as_ref())?;
        Arc::make_mut(&mut self.members).insert(Member { id, class }).ok_or(TopologyError::Full)
    }

    /// Gives the next number to a consumer, or to nobody, whatever numbers are free before it.
    pub(crate) fn append(&mut self, consumer: Option<(ConsumerId, Option<PoolName>)>) -> Result<(), TopologyError> {
        let member =
            consumer.map(|(id, pool)| Ok(Member { class: self.place(&id, pool.as_ref())?, id })).transpose()?;
        let members = Arc::make_mut(&mut self.members);
        let index = members.leave_hole().ok_or(TopologyError::Full)?;
        match member {
            Some(member) => members.put(index, member).map(|_| ()).ok_or(TopologyError::Full),
            None => {
                members.holes.insert(index);
                Ok(())
            }
        }
    }

    /// What is [different](Self::with_reload) in this cluster.
    pub(crate) fn reloads(&self) -> impl Iterator<Item = (ComponentKind, Facet, Reload)> {
        self.fixed.reload.iter().map(|((kind, facet), reload)| (*kind, *facet, *reload))
    }

    /// The pools, and how many of the nodes of each may be away at once.
    pub(crate) fn pool_rooms(&self) -> impl Iterator<Item = (&PoolName, usize)> {
        self.fixed.pools.iter().map(|pool| (&pool.name, pool.max_unavailable))
    }

    pub(crate) fn remove(&mut self, consumer: &ConsumerId) -> Option<(Index, Member)> {
        Arc::make_mut(&mut self.members).remove(consumer)
    }

    /// The hierarchy.
    #[must_use]
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.fixed.hierarchy
    }

    /// The address of the control plane with which the cluster was set up, where addresses are followed.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        self.fixed.address.as_ref()
    }

    /// The instances, with the pool of each that runs on a node, in the order in which they were added.
    pub fn consumers(&self) -> impl Iterator<Item = (&ConsumerId, Option<&PoolName>)> {
        self.members().map(|(_, member)| (&member.id, self.class(member.class).and_then(|class| class.pool.as_ref())))
    }

    /// The pools, in the order in which they are worked on.
    pub fn pools(&self) -> impl Iterator<Item = &PoolName> {
        self.fixed.pools.iter().map(|pool| &pool.name)
    }

    /// Whether there is such an instance.
    #[must_use]
    pub fn contains(&self, consumer: &ConsumerId) -> bool {
        self.members.by_id.contains_key(consumer)
    }

    /// The pool of an instance that runs on a node.
    #[must_use]
    pub fn pool_of(&self, consumer: &ConsumerId) -> Option<&PoolName> {
        self.class(self.member(self.index(consumer)?)?.class)?.pool.as_ref()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (Index, &Member)> {
        (0..).zip(self.members.all.iter()).filter_map(|(index, member)| Some((index, member.as_ref()?)))
    }

    pub(crate) fn index(&self, consumer: &ConsumerId) -> Option<Index> {
        self.members.by_id.get(consumer).copied()
    }

    pub(crate) fn member(&self, index: Index) -> Option<&Member> {
        self.members.all.get(usize::try_from(index).ok()?)?.as_ref()
    }

    pub(crate) fn members_of(&self, class: usize) -> impl Iterator<Item = Index> + '_ {
        self.members.by_class.get(class).into_iter().flatten().copied()
    }

    pub(crate) fn classes(&self) -> &[Class] {
        &self.fixed.classes
    }

    pub(crate) fn class(&self, class: usize) -> Option<&Class> {
        self.fixed.classes.get(class)
    }

    pub(crate) fn edges(&self) -> &[Edge] {
        &self.fixed.edges
    }

    pub(crate) fn uses(&self, kind: ComponentKind) -> Option<&Uses> {
        self.fixed.uses.get(&kind)
    }

    /// How many consumers of one class may be away at once: one replica of a control-plane component
    /// (etcd keeps its quorum, the API server its second replica), and what a pool says of its nodes.
    pub(crate) fn max_unavailable(&self, class: &Class) -> usize {
        let pool = self.fixed.pools.iter().find(|pool| Some(&pool.name) == class.pool.as_ref());
        pool.map_or(1, |pool| pool.max_unavailable)
    }

    /// What it takes until consumers of `kind` run with something new of `facet`.
    #[must_use]
    pub fn reload(&self, kind: ComponentKind, facet: Facet) -> Reload {
        if kind.plane() == Plane::External {
            return Reload::Unobservable;
        }
        let said = self.fixed.reload.get(&(kind, facet)).copied();
        said.unwrap_or_else(|| reload::assumed(self.hierarchy().origin(), kind, facet))
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
    fn numbers_of_those_who_left_are_given_again() {
        let mut topology = Topology::new(Hierarchy::kubeadm());
        for round in 0..3 {
            for name in ["0", "1"] {
                topology.add(id(ComponentKind::Etcd, name), None).unwrap();
            }
            assert_eq!(topology.index(&id(ComponentKind::Etcd, "1")), Some(1), "{round}");
            for name in ["1", "0"] {
                topology.remove(&id(ComponentKind::Etcd, name));
            }
        }
        assert_eq!(topology.consumers().count(), 0);
    }

    #[test]
    fn the_lowest_free_number_is_given_again_whoever_left_last() {
        let mut topology = Topology::new(Hierarchy::kubeadm());
        for name in ["0", "1", "2"] {
            topology.add(id(ComponentKind::Etcd, name), None).unwrap();
        }
        for name in ["0", "1"] {
            topology.remove(&id(ComponentKind::Etcd, name));
        }
        assert_eq!(topology.admit(id(ComponentKind::Etcd, "3"), None), Ok(0));
    }

    #[test]
    fn pools_are_limited() {
        let mut topology = Topology::new(Hierarchy::kubeadm());
        let pool = |number: usize| PoolName::new(format!("pool-{number}").parse().unwrap());
        for number in 0..Topology::MAX_POOLS {
            topology.add_pool(pool(number), 1).unwrap();
        }
        assert_eq!(topology.add_pool(pool(Topology::MAX_POOLS), 1), Err(TopologyError::TooManyPools));
    }

    #[test]
    fn consumers_are_known_by_component_and_instance() {
        let kubelet = id(ComponentKind::Kubelet, "node-0");
        assert_eq!(kubelet.to_string().parse(), Ok(kubelet));
        for text in ["kubelet", "kubelet/", "kubelet/No", "cubelet/node-0", "", "/"] {
            assert!(text.parse::<ConsumerId>().is_err(), "{text}");
        }
    }
}
