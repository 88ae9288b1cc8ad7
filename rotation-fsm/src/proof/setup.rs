//! The small clusters that are searched.

use core::fmt;
use std::collections::BTreeMap;

use pki_core::verify::SubjectPublicKey;
use pki_core::{
    AuthorityId, AuthorityRole, BundleHash, CaVersion, ComponentKind, Fingerprint, Hierarchy, LeafKind, Plane, Storage,
};
use time::{Duration, UtcDateTime};

use super::Fault;
use super::fault::Faults;
use crate::event::AuthorityRecord;
use crate::facet::{Facet, Track};
use crate::machine::Machine;
use crate::maintenance::{Calendar, ExclusionScope, MaintenanceExclusion, MaintenancePolicy};
use crate::plan::{Loss, Plan};
use crate::policy::{Trigger, Unit, units};
use crate::schedule::Thresholds;
use crate::settings::{Completion, Release, Settings};
use crate::strategy::Strategy;
use crate::topology::{Address, ConsumerId, PoolName, Topology};

/// What a proof's own preparations can fail with: nothing that a correct crate does.
pub type Failure = Box<dyn core::error::Error + Send + Sync>;

/// What is rotated in a searched cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The cluster CA alone.
    Cluster,
    /// The authority of all of etcd, alone.
    Etcd,
    /// GKE's etcd API authority.
    EtcdApi,
    /// GKE's etcd peer authority.
    EtcdPeer,
    /// GKE's front-proxy authority.
    FrontProxy,
    /// GKE's Konnectivity authority.
    Konnectivity,
    /// The service-account keys alone.
    ServiceAccount,
    /// The cluster CA and the service-account keys in one rotation: the pair that interacts.
    Credentials,
}

impl Subject {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Cluster,
        Self::Etcd,
        Self::EtcdApi,
        Self::EtcdPeer,
        Self::FrontProxy,
        Self::Konnectivity,
        Self::ServiceAccount,
        Self::Credentials,
    ];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Etcd => "etcd",
            Self::EtcdApi => "etcd-api",
            Self::EtcdPeer => "etcd-peer",
            Self::FrontProxy => "front-proxy",
            Self::Konnectivity => "konnectivity",
            Self::ServiceAccount => "service-account",
            Self::Credentials => "cluster+service-account",
        }
    }

    /// The strategies whose plans differ for it: a second address is the cluster CA's affair, and key sets are not
    /// cross-signed.
    #[must_use]
    pub const fn strategies(self) -> &'static [Strategy] {
        match self {
            Self::Cluster | Self::Credentials => &Strategy::ALL,
            Self::ServiceAccount => &[Strategy::Staged],
            _ => &[Strategy::Staged, Strategy::CrossSigned],
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Cluster | Self::Etcd => Unit::Ca,
            Self::EtcdApi => Unit::EtcdApi,
            Self::EtcdPeer => Unit::EtcdPeer,
            Self::FrontProxy => Unit::FrontProxy,
            Self::Konnectivity => Unit::Konnectivity,
            Self::ServiceAccount => Unit::ServiceAccount,
            Self::Credentials => Unit::Credentials,
        }
    }

    /// Of hierarchies whose authorities rotate together, the kinds that stand on a path of this one. The scheduler stands
    /// on its paths as kube-controller-manager does, which signs besides, and an aggregated API server as a webhook does.
    const fn concerns(self, kind: ComponentKind) -> bool {
        match self {
            Self::Etcd => {
                matches!(kind, ComponentKind::Etcd | ComponentKind::KubeApiServer | ComponentKind::EtcdProbe)
            }
            Self::Cluster | Self::Credentials => {
                !matches!(kind, ComponentKind::Scheduler | ComponentKind::AggregatedApiServer)
            }
            _ => true,
        }
    }

    fn hierarchy(self) -> Result<Hierarchy, Failure> {
        let custom = || {
            let cluster = [
                LeafKind::ApiServer,
                LeafKind::ApiServerKubeletClient,
                LeafKind::KubeletClient,
                LeafKind::KubeletServing,
                LeafKind::ControllerManager,
                LeafKind::Scheduler,
                LeafKind::Admin,
                LeafKind::Webhook,
            ];
            Hierarchy::builder(Duration::days(1_825), Duration::days(365))
                .authority(AuthorityRole::Cluster, cluster)
                .authority(AuthorityRole::ServiceAccount, [LeafKind::ServiceAccountToken])
        };
        Ok(match self {
            Self::Cluster => custom().build(),
            Self::Etcd => custom()
                .authority(
                    AuthorityRole::Etcd,
                    [
                        LeafKind::EtcdServer,
                        LeafKind::EtcdPeer,
                        LeafKind::ApiServerEtcdClient,
                        LeafKind::EtcdHealthcheckClient,
                    ],
                )
                .build(),
            Self::ServiceAccount => return Ok(Hierarchy::gdc()),
            _ => return Ok(Hierarchy::gke(Storage::Etcd)),
        }?)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What happens to a cluster besides what should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// A report or a word is lost.
    Loss,
    /// A report or a word arrives a second time, whenever it likes.
    Duplication,
    /// A report or a word arrives whenever it likes: late, stale, after later ones.
    Delay,
    /// A report cannot be read.
    Garbling,
    /// The process dies and comes back with its journal. Whatever was under way to it is lost.
    Crash,
    /// A node joins.
    Join,
    /// A pool is added, and a node may join it.
    Pool,
    /// A node leaves, and may be followed by another under its name.
    Leave,
    /// A node is lost and given up, and may come back by joining anew.
    Abandonment,
    /// A node, or a replica, sleeps through whatever happens and wakes up with what it had.
    Sleep,
    /// A node restarts by itself and renews its certificates.
    Restart,
    /// The maintenance window closes and opens.
    Window,
    /// The clock steps to a threshold, or back.
    Clock,
    /// A second controller carries out what it decided on an older state, or submits to the journal.
    Controllers,
    /// The operator pauses, or turns back.
    Operator,
    /// Somebody errs: a false word, an unfit cross-certificate, a second key, a disk image from before.
    Mistake,
}

impl FaultKind {
    /// Every one.
    pub const ALL: [Self; 16] = [
        Self::Loss,
        Self::Duplication,
        Self::Delay,
        Self::Garbling,
        Self::Crash,
        Self::Join,
        Self::Pool,
        Self::Leave,
        Self::Abandonment,
        Self::Sleep,
        Self::Restart,
        Self::Window,
        Self::Clock,
        Self::Controllers,
        Self::Operator,
        Self::Mistake,
    ];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::Delay => "delay",
            Self::Garbling => "garbling",
            Self::Crash => "crash",
            Self::Join => "join",
            Self::Pool => "pool",
            Self::Leave => "leave",
            Self::Abandonment => "abandonment",
            Self::Sleep => "sleep",
            Self::Restart => "restart",
            Self::Window => "window",
            Self::Clock => "clock",
            Self::Controllers => "controllers",
            Self::Operator => "operator",
            Self::Mistake => "mistake",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// One search.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is rotated.
    pub subject: Subject,
    /// How.
    pub strategy: Strategy,
    /// How many nodes there are, in two pools.
    pub nodes: usize,
    /// What may happen, and how often each.
    pub budgets: Vec<(FaultKind, u8)>,
    /// How many of these things may happen altogether.
    pub total: u8,
    /// The guard that is missing.
    pub fault: Option<Fault>,
    /// How many rotations there are to be, one after the other.
    pub rotations: u8,
    /// Whether it is an emergency, whose plan declares what it breaks.
    pub emergency: bool,
    /// So many states at most, or the search gives up.
    pub limit: usize,
}

impl Config {
    /// The states that a search looks at, unless it is told otherwise.
    pub const LIMIT: usize = 20_000_000;

    /// Nothing may happen.
    #[must_use]
    pub const fn new(subject: Subject, strategy: Strategy, nodes: usize) -> Self {
        Self {
            subject,
            strategy,
            nodes,
            budgets: Vec::new(),
            total: 0,
            fault: None,
            rotations: 1,
            emergency: false,
            limit: Self::LIMIT,
        }
    }

    /// One more kind of thing may happen, so often.
    #[must_use]
    pub fn with(mut self, kind: FaultKind, times: u8) -> Self {
        self.budgets.push((kind, times));
        self.total = self.total.saturating_add(times);
        self
    }

    /// Every kind may happen once, and so many things altogether.
    #[must_use]
    pub fn with_any(mut self, total: u8) -> Self {
        self.budgets = FaultKind::ALL.map(|kind| (kind, 1)).to_vec();
        self.total = total;
        self
    }

    /// Without this guard.
    #[must_use]
    pub const fn without(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Two rotations, one after the other.
    #[must_use]
    pub const fn twice(mut self) -> Self {
        self.rotations = 2;
        self
    }

    /// An emergency.
    #[must_use]
    pub const fn in_emergency(mut self) -> Self {
        self.emergency = true;
        self
    }

    pub(super) fn allows(&self, kind: FaultKind) -> bool {
        self.budgets.iter().any(|(known, times)| *known == kind && *times > 0)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.emergency {
            true => write!(f, "{} emergency {} nodes", self.subject, self.nodes)?,
            false => write!(f, "{} {} {} nodes", self.subject, self.strategy, self.nodes)?,
        }
        if self.rotations > 1 {
            write!(f, " {} rotations", self.rotations)?;
        }
        if self.budgets.len() == FaultKind::ALL.len() {
            return write!(f, " any {}", self.total);
        }
        self.budgets.iter().try_for_each(|(kind, times)| match times {
            1 => write!(f, " {kind}"),
            _ => write!(f, " {kind}x{times}"),
        })
    }
}

/// A consumer that may be there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: ConsumerId,
    pub(super) pool: Option<PoolName>,
    pub(super) facets: Vec<(Facet, Track)>,
    /// The others on the same node.
    pub(super) mates: Vec<usize>,
    /// Not there in the beginning.
    pub(super) spare: bool,
    /// In the pool that is not there in the beginning.
    pub(super) new_pool: bool,
    pub(super) external: bool,
}

impl Place {
    pub(super) fn position(&self, facet: Facet) -> Option<usize> {
        self.facets.iter().position(|(known, _)| *known == facet)
    }
}

/// One direction of a path between two consumers: where each has its part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meeting {
    pub(super) path: pki_core::Path,
    pub(super) verifier: usize,
    pub(super) trusts: usize,
    pub(super) presenter: usize,
    pub(super) presents: usize,
    /// Where addresses are followed: whose facet says which one is dialled, and where the presenter serves.
    pub(super) dialled: Option<((usize, usize), usize)>,
}

/// What does not change in a search.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) config: Config,
    pub(super) unit: Unit,
    pub(super) automatic: bool,
    pub(super) gated: bool,
    pub(super) roles: Vec<AuthorityRole>,
    pub(super) hierarchy: Hierarchy,
    pub(super) places: Vec<Place>,
    pub(super) meetings: Vec<Meeting>,
    records: BTreeMap<(AuthorityRole, u8), AuthorityRecord>,
    bundles: BTreeMap<(AuthorityRole, u8), BundleHash>,
    /// The readings that the clock may show; the first is where it stands in the beginning.
    pub(super) instants: Vec<UtcDateTime>,
    pub(super) new_pool: PoolName,
    /// What an emergency breaks.
    pub(super) losses: Vec<Loss>,
    pub(super) calendars: [Calendar; 2],
    pub(super) machine: Machine,
}

/// So much later the next generation is born.
const GENERATION: Duration = Duration::days(1_700);

/// A generation that no rotation comes to: a key that nobody asked for.
pub(super) const SPARE: u8 = 8;

/// The bit of a generation. Four are as many as a search meets.
pub(super) const fn bit(version: CaVersion) -> u8 {
    match version.number() {
        1 => 1,
        2 => 2,
        3 => 4,
        _ => 8,
    }
}

/// The bits of a leaf that is shown with a cross-certificate: of the generation that signed it.
pub(super) const CHAINED: u8 = 0xf0;

/// Shown with a cross-certificate that this generation signed.
pub(super) const fn chained(by: u8) -> u8 {
    by << 4
}

/// The generation whose cross-certificate is shown, if one is.
pub(super) const fn through(held: u8) -> u8 {
    held >> 4
}

impl Layout {
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let hierarchy = config.subject.hierarchy()?;
        let unit = config.subject.unit();
        let policies = units(&hierarchy);
        let policy = policies.iter().find(|policy| policy.unit == unit).ok_or("no such unit")?;
        let automatic = policy.trigger != Trigger::User;
        let gated = !automatic && config.allows(FaultKind::Clock);
        let mut topology = match config.strategy {
            Strategy::DualEndpoint => Topology::with_address(hierarchy.clone(), address(1)?),
            _ => Topology::new(hierarchy.clone()),
        };
        let pools = [PoolName::new("pool-a".parse()?), PoolName::new("pool-b".parse()?)];
        for pool in &pools {
            topology.add_pool(pool.clone(), 1)?;
        }
        let new_pool = PoolName::new("pool-c".parse()?);
        let mut places = Vec::new();
        let (joins, added) = (config.allows(FaultKind::Join), config.allows(FaultKind::Pool));
        let spares = usize::from(joins) + usize::from(added);
        for kind in ComponentKind::ALL {
            let has_part = |uses: &&crate::topology::Uses| uses.touches(&policy.roles) && config.subject.concerns(kind);
            let Some(uses) = topology.uses(kind).filter(has_part) else { continue };
            let facets = uses.facets.clone();
            for number in 0..count(config, kind) + if kind.plane() == Plane::Data { spares } else { 0 } {
                let on_node = kind.plane() == Plane::Data;
                // One pod stands for those of all nodes: the second pool's last node carries it.
                let spare = on_node && number >= count(config, kind);
                // The last one is the new pool's.
                let in_new = spare && added && number + 1 == count(config, kind) + spares;
                let node = match (spare, in_new) {
                    (true, true) => config.nodes + 1,
                    (true, false) => config.nodes,
                    (false, _) => number,
                };
                let name = if on_node { format!("node-{node}") } else { number.to_string() };
                let id = ConsumerId::new(kind, name.parse()?);
                let pool = on_node.then(|| pools.get(usize::from(node == 1)).cloned()).flatten();
                let pool = if in_new { Some(new_pool.clone()) } else { pool };
                let external = kind.plane() == Plane::External;
                let (facets, mates) = (facets.clone(), Vec::new());
                places.push(Place { id, pool, facets, mates, spare, new_pool: in_new, external });
            }
        }
        let ids: Vec<_> = places.iter().map(|place| (place.id.clone(), place.pool.is_some())).collect();
        for (index, place) in places.iter_mut().enumerate().filter(|(_, place)| place.pool.is_some()) {
            let mates = ids
                .iter()
                .enumerate()
                .filter(|(other, (id, on_node))| *on_node && *other != index && id.instance() == place.id.instance());
            place.mates = mates.map(|(other, _)| other).collect();
        }
        for place in places.iter().filter(|place| !place.spare) {
            topology.add(place.id.clone(), place.pool.clone())?;
        }
        let born = UtcDateTime::from_unix_timestamp(1_700_000_000)?;
        let mut records = BTreeMap::new();
        let mut bundles = BTreeMap::new();
        for role in hierarchy.roles() {
            // Nothing else is due while this is rotated.
            let others = Duration::days(200) + GENERATION * i32::from(config.rotations.saturating_sub(1));
            let born = if policy.roles.contains(role) { born } else { born + others };
            for version in core::iter::successors(Some(CaVersion::FIRST), |version| Some(version.next())).take(4) {
                records.insert((*role, bit(version)), record(&hierarchy, *role, version, born)?);
            }
            let anchors =
                |bits: u8| records.range((*role, 0)..=(*role, SPARE)).filter(move |((_, own), _)| bits & own != 0);
            for bits in 1..2 * SPARE {
                bundles.insert((*role, bits), BundleHash::of(anchors(bits).map(|(_, record)| record.anchor)));
            }
        }
        let expiry_of = |generation: u8| {
            let of_role = |role: &AuthorityRole| records.get(&(*role, generation)).and_then(|record| record.not_after);
            policy.roles.iter().filter_map(of_role).min()
        };
        let expiry = expiry_of(1);
        let start = expiry.map_or(born, |expiry| expiry - Duration::days(29));
        let mut instants = instants(start, expiry, config, gated || automatic);
        // When the next rotation is due.
        instants.extend(expiry_of(2).filter(|_| config.rotations > 1).map(|expiry| expiry - Duration::days(29)));
        let settings = Settings {
            strategy: config.strategy,
            completion: if gated { Completion::OnRequest } else { Completion::Automatic },
            release: if gated { Release::AtCompletion } else { Release::ByWord },
            pause: true,
            rollback: true,
            thresholds: gated.then_some(Thresholds::GKE_CREDENTIALS),
            maintenance: MaintenancePolicy::respect(),
            ..Settings::of(&hierarchy)
        };
        let losses = match config.emergency && config.fault != Some(Fault::NothingDeclared) {
            true => Plan::emergency(&topology, &policy.roles)?.losses(&topology, &policy.roles)?,
            false => Vec::new(),
        };
        let authorities: Vec<_> =
            hierarchy.roles().iter().filter_map(|role| Some((*role, *records.get(&(*role, 1))?))).collect();
        let mut machine = Machine::new("proof".parse()?, topology, settings, authorities, start)?;
        machine.faults = Faults::of(config.fault);
        let closed = MaintenanceExclusion::new(
            "closed".parse()?,
            start - Duration::days(400),
            start + Duration::days(400) + GENERATION * i32::from(config.rotations.saturating_sub(1)),
            ExclusionScope::NoUpgrades,
        )?;
        let calendars = [Calendar::always(), Calendar::always().with_exclusions([closed])?];
        let roles = policy.roles.to_vec();
        let mut layout = Self {
            config: config.clone(),
            unit,
            automatic,
            gated,
            roles,
            hierarchy: hierarchy.clone(),
            places,
            meetings: Vec::new(),
            records,
            bundles,
            instants,
            new_pool,
            losses,
            calendars,
            machine,
        };
        layout.meetings = layout.all_meetings();
        Ok(layout)
    }

    fn all_meetings(&self) -> Vec<Meeting> {
        let mut meetings = Vec::new();
        for edge in self.machine.topology().edges() {
            let of = |kind| self.places.iter().enumerate().filter(move |(_, place)| place.id.kind() == kind);
            for (verifier, v) in of(edge.verifier) {
                for (presenter, p) in of(edge.presenter) {
                    let (trusts, presents) =
                        (v.position(Facet::Trusts(edge.slot)), p.position(Facet::Presents(edge.leaf)));
                    let (Some(trusts), Some(presents)) = (trusts, presents) else { continue };
                    let dialled = p.position(Facet::Serves).filter(|_| edge.by_address).and_then(|serves| {
                        let dials = match edge.verifier {
                            ComponentKind::Pod => (presenter, p.position(Facet::Service)?),
                            _ => (verifier, v.position(Facet::Dials)?),
                        };
                        Some((dials, serves))
                    });
                    meetings.push(Meeting { path: edge.path, verifier, trusts, presenter, presents, dialled });
                }
            }
        }
        meetings
    }

    pub(super) fn place(&self, index: usize) -> Option<&Place> {
        self.places.get(index)
    }

    pub(super) fn index_of(&self, consumer: &ConsumerId) -> Option<usize> {
        self.places.iter().position(|place| place.id == *consumer)
    }

    pub(super) fn record(&self, role: AuthorityRole, generation: u8) -> Option<AuthorityRecord> {
        self.records.get(&(role, generation)).copied()
    }

    pub(super) fn issuer(&self, role: AuthorityRole, generation: u8) -> Option<AuthorityId> {
        Some(self.records.get(&(role, generation))?.id)
    }

    pub(super) fn bundle(&self, role: AuthorityRole, generations: u8) -> Option<BundleHash> {
        self.bundles.get(&(role, generations)).copied()
    }

    /// Who signs for a role at run time: the consumers, with the place of the facet.
    pub(super) fn signers(&self, role: AuthorityRole) -> impl Iterator<Item = (usize, usize)> + '_ {
        let places = self.places.iter().enumerate();
        places.filter_map(move |(index, place)| Some((index, place.position(Facet::Signs(role))?)))
    }
}

pub(super) fn address(number: u8) -> Result<Address, Failure> {
    Ok(format!("192.0.2.{number}").parse()?)
}

/// How many of a kind there are. The kinds that stand on a path in the same way are there once.
const fn count(config: &Config, kind: ComponentKind) -> usize {
    match kind {
        ComponentKind::KubeApiServer => 2,
        ComponentKind::Etcd => 3,
        ComponentKind::Kubelet => config.nodes,
        ComponentKind::KonnectivityAgent | ComponentKind::Pod => match config.subject {
            Subject::Konnectivity | Subject::ServiceAccount => config.nodes,
            _ => 1,
        },
        ComponentKind::ControllerManager | ComponentKind::KonnectivityServer => 2,
        _ => 1,
    }
}

/// A generation that differs from every other in key and anchor. The key is 32 octets that name it.
fn record(
    hierarchy: &Hierarchy,
    role: AuthorityRole,
    version: CaVersion,
    born: UtcDateTime,
) -> Result<AuthorityRecord, Failure> {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut key = format!("{role}/{version}").into_bytes();
    key.resize(32, 0);
    spki.extend(key);
    let lifetime = hierarchy.ca_lifetime(role);
    let born = born + GENERATION * i32::try_from(version.number() - 1)?;
    Ok(AuthorityRecord {
        version,
        id: AuthorityId::of(&SubjectPublicKey::parse(&spki)?),
        anchor: Fingerprint::of(&spki),
        not_after: lifetime.map(|lifetime| born + lifetime),
    })
}

/// Where the time changes something: completion attempts, degraded, expiry; each with the hour by which it is believed.
fn instants(start: UtcDateTime, expiry: Option<UtcDateTime>, config: &Config, timed: bool) -> Vec<UtcDateTime> {
    let mut instants = vec![start];
    if config.allows(FaultKind::Clock) {
        let mut thresholds = vec![start - Duration::days(10)];
        if timed {
            thresholds.push(start + Duration::days(7));
            thresholds.extend(expiry.map(|expiry| expiry - Duration::days(7)));
        }
        thresholds.extend(expiry);
        for threshold in thresholds {
            instants.push(threshold);
            if threshold > start {
                instants.push(threshold + Duration::HOUR);
            }
        }
    }
    instants
}
