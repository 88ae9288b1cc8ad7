//! The miniature cluster: every component of a hierarchy on real sockets, installed and rotated by one executor.

mod api;
mod executor;

use core::fmt;
use core::num::NonZeroUsize;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use getrandom::SysRng;
use pki_core::{
    AuthorityRole, CaVersion, ClusterId, ComponentKind, DnsName, Hierarchy, LeafKind, NodeName, Path, Plane,
    SubjectAltName,
};
use rand_core::TryRng as _;
use rotation_fsm::{
    Address, AddressError, AuthorityRecord, ConsumerId, PoolName, SetupError, Strategy, Topology, TopologyError,
    VersionRange,
};
use rustls::crypto::aws_lc_rs;
use signer_hsm::KeyStore;
use time::Duration;
use trust_model::tls::ConfigError;

use crate::authorities::{Authorities, AuthorityError, Credential, HeldLeaf, Holder};
use crate::clock::{Clock, Stopwatch};
use crate::component::{Component, Environment};
use crate::dial::NoAnswer;
use crate::fault::Fault;
use crate::keys::{self, Issuing};
use crate::timeline::{Change, Holding};

pub use self::executor::ClusterExecutor;

/// The pools of the miniature cluster. Nodes are put into them in turn.
const POOLS: [&str; 2] = ["pool-a", "pool-b"];
const ETCD_MEMBERS: usize = 3;
const API_SERVERS: usize = 2;

/// How large a cluster is to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterSpec {
    /// Its authorities and paths.
    pub hierarchy: Hierarchy,
    /// Its nodes.
    pub nodes: NonZeroUsize,
    /// How it is to be rotated: with a second address only where addresses are followed.
    pub strategy: Strategy,
    /// How old its authorities are when the run begins.
    pub age: Duration,
    /// Where the keys of its authorities are.
    pub keys: Arc<dyn KeyStore>,
    /// Who signs what nodes ask for, where it is not this process.
    pub issuing: Option<Arc<Issuing>>,
    /// What is done wrong, if anything.
    pub fault: Option<Fault>,
}

impl ClusterSpec {
    /// A new cluster of this hierarchy with so many nodes, and its keys in this store.
    #[must_use]
    pub const fn new(hierarchy: Hierarchy, nodes: NonZeroUsize, keys: Arc<dyn KeyStore>) -> Self {
        Self { hierarchy, nodes, strategy: Strategy::Staged, age: Duration::ZERO, keys, issuing: None, fault: None }
    }

    /// The consumers, as the rotation machine sees them.
    ///
    /// # Errors
    /// When a consumer does not fit the hierarchy.
    pub fn topology(&self) -> Result<Topology, ClusterError> {
        let mut topology = match self.strategy {
            Strategy::DualEndpoint => Topology::with_address(self.hierarchy.clone(), address(1)?),
            _ => Topology::new(self.hierarchy.clone()),
        };
        for pool in POOLS {
            topology.add_pool(pool_name(pool)?, 1)?;
        }
        for (kind, instance, pool, _) in instances(&self.hierarchy, self.nodes.get()) {
            let name: NodeName = instance.parse().map_err(AuthorityError::Name)?;
            topology.add(ConsumerId::new(kind, name), pool.map(pool_name).transpose()?)?;
        }
        Ok(topology)
    }
}

/// Why the cluster does not stand, or an action could not be carried out.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterError {
    /// The authorities refused.
    Authority(AuthorityError),
    /// A TLS configuration does not fit its path.
    Config(ConfigError),
    /// A consumer does not fit the topology.
    Topology(TopologyError),
    /// The rotation machine cannot be set up.
    Setup(SetupError),
    /// A socket or thread failed.
    Io(io::Error),
    /// A node could not join.
    Join {
        /// The node.
        node: String,
        /// Why, in the words of the side that refused.
        reason: String,
    },
    /// There is no such component.
    Unknown(ConsumerId),
    /// There is no such node.
    UnknownNode(NodeName),
    /// The control plane has no further address.
    Address(AddressError),
    /// What was written is not what was asked for.
    WrongBundle(ConsumerId),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(error) => write!(f, "{error}"),
            Self::Config(error) => write!(f, "{error}"),
            Self::Topology(error) => write!(f, "{error}"),
            Self::Setup(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Join { node, reason } => write!(f, "`{node}` could not join: {reason}"),
            Self::Unknown(consumer) => write!(f, "there is no `{consumer}`"),
            Self::UnknownNode(node) => write!(f, "there is no node `{node}`"),
            Self::Address(error) => write!(f, "{error}"),
            Self::WrongBundle(consumer) => write!(f, "the bundle written for `{consumer}` is not the one asked for"),
        }
    }
}

impl core::error::Error for ClusterError {}

wraps! {
    ClusterError:
    AuthorityError => Authority,
    ConfigError => Config,
    TopologyError => Topology,
    SetupError => Setup,
    AddressError => Address,
    io::Error => Io,
}

/// What all components and their clients can reach.
#[derive(Debug)]
pub(crate) struct Shared {
    environment: Environment,
    authorities: Authorities,
    bootstrap_token: String,
    external_name: DnsName,
    components: OnceLock<BTreeMap<ConsumerId, Arc<Component>>>,
}

impl Shared {
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.environment.hierarchy
    }

    pub(crate) const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    pub(crate) fn bootstrap_token(&self) -> &str {
        &self.bootstrap_token
    }

    /// The name under which clients outside dial the API server.
    pub(crate) fn external_name(&self) -> &str {
        self.external_name.as_str()
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &Arc<Component>> {
        self.components.get().into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn component(&self, id: &ConsumerId) -> Option<&Arc<Component>> {
        self.components.get()?.get(id)
    }

    pub(crate) fn of_kind(&self, kind: ComponentKind) -> impl Iterator<Item = &Arc<Component>> {
        self.components().filter(move |component| component.id.kind() == kind)
    }
}

/// A cluster of real TLS endpoints on loopback.
#[derive(Debug)]
pub struct MiniCluster {
    shared: Arc<Shared>,
    topology: Topology,
    authorities: Vec<(AuthorityRole, AuthorityRecord)>,
    watch: Stopwatch,
    changes: Mutex<Vec<Change>>,
    fault: Option<Fault>,
    /// Leaves of a generation that is to be gone in the end, to be tried then.
    old_leaves: Mutex<BTreeMap<(ConsumerId, LeafKind), HeldLeaf>>,
    /// How many addresses the control plane was given.
    addresses: AtomicU8,
}

impl MiniCluster {
    /// Makes the authorities and the components. Nothing runs yet: the rotation machine's first actions, for a
    /// cluster in which nothing was ever seen, install everything.
    ///
    /// # Errors
    /// When keys, certificates or names cannot be made.
    pub fn new(spec: &ClusterSpec, clock: Arc<Clock>, watch: Stopwatch) -> Result<Self, ClusterError> {
        let hierarchy = spec.hierarchy.clone();
        let born = clock.now().saturating_sub(spec.age);
        let cluster: ClusterId = keys::CLUSTER.parse().map_err(AuthorityError::Name)?;
        let (keys, issuing) = (Arc::clone(&spec.keys), spec.issuing.clone());
        let authorities = Authorities::with_issuing(cluster, hierarchy.clone(), keys, issuing, born)?;
        let shared = Arc::new(Shared {
            authorities,
            environment: Environment {
                hierarchy: hierarchy.clone(),
                clock,
                provider: Arc::new(aws_lc_rs::default_provider()),
                closes_orphaned: spec.fault != Some(Fault::KeepOrphaned),
            },
            bootstrap_token: bootstrap_token()?,
            external_name: "api.example.com".parse().map_err(AuthorityError::Name)?,
            components: OnceLock::new(),
        });
        let topology = spec.topology()?;
        let mut components = BTreeMap::new();
        for (kind, instance, _, host) in instances(&hierarchy, spec.nodes.get()) {
            let name: NodeName = instance.parse().map_err(AuthorityError::Name)?;
            let id = ConsumerId::new(kind, name.clone());
            let own = own_name(kind, name)?;
            let holder = Holder { names: server_names(kind, &own, host)?, node: Some(own) };
            components.insert(id.clone(), Arc::new(Component::new(id, host, holder)));
        }
        let _first = shared.components.set(components);
        let records = hierarchy
            .roles()
            .iter()
            .map(|role| shared.authorities.ensure(*role, CaVersion::FIRST, born).map(|record| (*role, record)));
        let authorities = records.collect::<Result<_, _>>()?;
        let cluster = Self {
            shared,
            topology,
            authorities,
            watch,
            changes: Mutex::default(),
            fault: spec.fault,
            old_leaves: Mutex::default(),
            addresses: AtomicU8::new(1),
        };
        cluster.prepare()?;
        Ok(cluster)
    }

    /// What no rotation touches: certificates of the organization's CA, what nobody vouches for, and the first
    /// credentials of clients outside.
    fn prepare(&self) -> Result<(), ClusterError> {
        let (authorities, hierarchy) = (&self.shared.authorities, self.shared.hierarchy());
        let now = self.now();
        let name = SubjectAltName::Dns(self.shared.external_name.clone());
        for server in self.shared.of_kind(ComponentKind::KubeApiServer) {
            let identity = authorities.external_identity(vec![name.clone()], now)?;
            let served = identity.map(|identity| (self.shared.external_name.clone(), identity));
            server.write(|material| material.by_server_name = served);
        }
        for pod in self.shared.of_kind(ComponentKind::Pod) {
            let names = vec![SubjectAltName::ip(pod.host).map_err(AuthorityError::Name)?];
            let identity = authorities.unvouched_identity(names, now)?;
            pod.write(|material| material.unvouched = Some(identity));
        }
        for client in self.shared.of_kind(ComponentKind::ExternalClient) {
            let bundle = authorities.external_bundle()?;
            let dials = self.topology.address().cloned();
            client.write(|material| (material.external_bundle, material.dials) = (bundle, dials));
            for path in Path::of(hierarchy).filter(|path| path.client() == client.id.kind()) {
                if let Some((slot, role)) = path.client_trusts(hierarchy) {
                    let versions = VersionRange::only(CaVersion::FIRST);
                    let anchors = authorities.anchors(role, versions)?;
                    client.write(|material| material.bundles.insert(slot, (role, versions, anchors)));
                }
                if let Some(leaf) = path.client_credential().leaf() {
                    let held = authorities.enrol(leaf, CaVersion::FIRST, &holder_of(client, leaf), now)?;
                    client.write(|material| material.leaves.insert(leaf, held));
                }
            }
            client.load(self.shared.environment())?;
            client.set_running(true);
            self.log(client);
        }
        Ok(())
    }

    fn now(&self) -> time::UtcDateTime {
        self.shared.environment.clock.now()
    }

    /// The consumers, as the rotation machine sees them.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The first generation of every authority.
    #[must_use]
    pub fn authorities(&self) -> &[(AuthorityRole, AuthorityRecord)] {
        &self.authorities
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How often each component has restarted.
    #[must_use]
    pub fn restarts(&self) -> BTreeMap<String, u64> {
        self.shared.components().map(|component| (component.id.to_string(), component.restarts())).collect()
    }

    /// What each component held, from when on.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often nodes were recreated, by their kubelets.
    pub(crate) fn recreations(&self) -> BTreeMap<String, u64> {
        let kubelets = self.shared.of_kind(ComponentKind::Kubelet);
        kubelets.map(|kubelet| (kubelet.id.to_string(), kubelet.recreations())).collect()
    }

    /// Keeps the leaves of now, which are the first, to be tried when the rotation is over.
    pub(crate) fn remember_first_leaves(&self) {
        let leaves = self.shared.components().flat_map(|component| {
            let loaded = component.loaded();
            let held: Vec<_> = loaded.material.leaves.iter().map(|(leaf, held)| (*leaf, held.clone())).collect();
            held.into_iter().map(|(leaf, held)| ((component.id.clone(), leaf), held))
        });
        *self.old_leaves.lock().unwrap_or_else(PoisonError::into_inner) = leaves.collect();
    }

    /// Has a generation that is about to be given up issue a leaf for everybody, to be tried when it is gone.
    pub(crate) fn forge_leaves(&self, roles: &[AuthorityRole], version: CaVersion) -> Result<(), ClusterError> {
        let authorities = &self.shared.authorities;
        for role in roles {
            authorities.ensure(*role, version, self.now())?;
        }
        let mut old = self.old_leaves.lock().unwrap_or_else(PoisonError::into_inner);
        for ((consumer, leaf), held) in old.iter_mut() {
            let role = self.shared.hierarchy().issuer_of(*leaf).filter(|role| roles.contains(role));
            let (Some(_), Some(component)) = (role, self.shared.component(consumer)) else { continue };
            *held = match held.credential {
                Credential::Token(_) => authorities.token(version, &token_subject(component), self.now())?,
                Credential::Certificate(_) => {
                    authorities.enrol(*leaf, version, &holder_of(component, *leaf), self.now())?
                }
            };
        }
        Ok(())
    }

    pub(crate) fn old_leaf(&self, consumer: &ConsumerId, leaf: LeafKind) -> Option<HeldLeaf> {
        self.old_leaves.lock().unwrap_or_else(PoisonError::into_inner).get(&(consumer.clone(), leaf)).cloned()
    }

    /// Nobody reaches this node any more, and nothing on it does anything.
    pub(crate) fn put_to_sleep(&self, node: &NodeName) -> Result<(), ClusterError> {
        for component in self.on_node(node)? {
            component.set_asleep(true);
            component.close();
        }
        Ok(())
    }

    /// The node is there again, with what was on its disk.
    pub(crate) fn wake(&self, node: &NodeName) -> Result<(), ClusterError> {
        for component in self.on_node(node)? {
            self.open_sockets(component)?;
            component.set_asleep(false);
        }
        Ok(())
    }

    fn on_node(&self, node: &NodeName) -> Result<Vec<&Arc<Component>>, ClusterError> {
        let is_on =
            |component: &&Arc<Component>| component.id.kind().plane() == Plane::Data && component.id.instance() == node;
        let found: Vec<_> = self.shared.components().filter(is_on).collect();
        if found.is_empty() { Err(ClusterError::UnknownNode(node.clone())) } else { Ok(found) }
    }

    /// The next address of the control plane.
    fn allocate_address(&self) -> Result<Address, ClusterError> {
        address(self.addresses.fetch_add(1, Ordering::SeqCst).saturating_add(1))
    }

    /// Writes down what a component holds now, by what it has loaded.
    fn log(&self, component: &Component) {
        let loaded = component.loaded();
        let mut holdings: BTreeMap<AuthorityRole, Holding> = BTreeMap::new();
        for (role, versions, _) in loaded.material.bundles.values() {
            holdings.entry(*role).or_default().trusts(*versions);
        }
        for (leaf, held) in &loaded.material.leaves {
            if let Some(role) = self.shared.hierarchy().issuer_of(*leaf) {
                holdings.entry(role).or_default().presents(held.version, held.through.is_some());
            }
        }
        let at_ms = self.watch.elapsed_ms();
        let change = |(role, holding)| Change { at_ms, component: component.id.clone(), role, holding };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(holdings.into_iter().map(change));
    }
}

impl Drop for MiniCluster {
    fn drop(&mut self) {
        for component in self.shared.components() {
            component.close();
        }
    }
}

/// For whom one leaf of a component is: a node's name where the profile has one, names where it serves.
fn holder_of(component: &Component, leaf: LeafKind) -> Holder {
    let bound = leaf.subject(None).is_none();
    Holder {
        node: component.holder.node.clone().filter(|_| bound),
        names: if leaf.has_subject_alt_names() { component.holder.names.clone() } else { Vec::new() },
    }
}

/// The account of a pod's token.
fn token_subject(component: &Component) -> String {
    format!("system:serviceaccount:default:{}", component.id.instance())
}

/// An address of the control plane: every API server listens on it, on a port of its own.
fn address(number: u8) -> Result<Address, ClusterError> {
    Ok(Ipv4Addr::new(127, 201, 0, number).to_string().parse()?)
}

type Instance = (ComponentKind, String, Option<&'static str>, IpAddr);

/// Every instance, with its pool and address: each machine of the cluster has one of its own.
fn instances(hierarchy: &Hierarchy, nodes: usize) -> Vec<Instance> {
    let exists = |kind| Path::of(hierarchy).any(|path| path.client() == kind || path.server() == kind);
    let machine = |network: u8, index: usize| {
        let (high, low) = (index / 250, index % 250);
        let octet = |value: usize, base: u8| base.saturating_add(u8::try_from(value).unwrap_or(u8::MAX));
        IpAddr::V4(Ipv4Addr::new(127, network, octet(high, 0), octet(low, 1)))
    };
    let mut instances: Vec<Instance> = Vec::new();
    let control_plane = ComponentKind::ALL.into_iter().filter(|kind| kind.plane() != Plane::Data && exists(*kind));
    for (network, kind) in (1..).zip(control_plane) {
        let count = match kind {
            ComponentKind::Etcd => ETCD_MEMBERS,
            ComponentKind::KubeApiServer => API_SERVERS,
            _ => 1,
        };
        instances.extend((0..count).map(|index| (kind, index.to_string(), None, machine(network, index))));
    }
    for (index, pool) in (0..nodes).zip(POOLS.into_iter().cycle()) {
        let name = format!("node-{index}");
        let host = machine(100, index);
        // One pod per pool calls the API; every node has a kubelet and, where there is Konnectivity, its agent.
        let kinds = [
            (ComponentKind::Kubelet, true),
            (ComponentKind::KonnectivityAgent, exists(ComponentKind::KonnectivityAgent)),
            (ComponentKind::Pod, index < POOLS.len()),
        ];
        let present = kinds.into_iter().filter(|(_, present)| *present);
        instances.extend(present.map(|(kind, _)| (kind, name.clone(), Some(pool), host)));
    }
    instances
}

/// What an instance is called on its machine. Outside the nodes instances are counted, and a bare number would be read
/// as an address.
fn own_name(kind: ComponentKind, name: NodeName) -> Result<NodeName, AuthorityError> {
    if kind.plane() != Plane::Data { Ok(format!("{kind}-{name}").parse()?) } else { Ok(name) }
}

/// The names by which clients know a server: its address, and what it is called.
fn server_names(kind: ComponentKind, name: &NodeName, host: IpAddr) -> Result<Vec<SubjectAltName>, AuthorityError> {
    let dns: &[&str] = match kind {
        ComponentKind::KubeApiServer => {
            &["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        }
        ComponentKind::Etcd => &["localhost"],
        ComponentKind::AggregatedApiServer => &["metrics-server.kube-system.svc"],
        ComponentKind::Webhook => &["webhook.default.svc"],
        _ => &[],
    };
    let named = dns.iter().copied().chain([name.as_str()]).map(SubjectAltName::dns);
    Ok(named.chain([SubjectAltName::ip(host)]).collect::<Result<_, _>>()?)
}

fn pool_name(name: &str) -> Result<PoolName, AuthorityError> {
    Ok(PoolName::new(name.parse()?))
}

/// A secret that every node is given, and with which it may ask for a certificate.
fn bootstrap_token() -> Result<String, AuthorityError> {
    let mut secret = [0; 16];
    SysRng.try_fill_bytes(&mut secret)?;
    Ok(secret.iter().map(|octet| format!("{octet:02x}")).collect())
}

impl From<NoAnswer> for String {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Unavailable => "no API server is available".to_owned(),
            NoAnswer::Failed(reason) => reason,
        }
    }
}
