//! A cluster that takes up what it is told to, reports what it runs with, and after every report checks
//! every path in both directions against what both ends have loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pki_core::{
    AuthorityId, AuthorityRole, BundleHash, CaVersion, ComponentKind, Endpoint, Fingerprint, Hierarchy, LeafKind, Path,
    Plane, TrustSlot, verify::SubjectPublicKey,
};
use rotation_fsm::{
    Action, Address, Applied, AuthorityRecord, Completion, ConsumerId, ConsumerTarget, CrossRecord, Event, Machine,
    Observation, Phase, PoolName, PresentedLeaf, Rejected, Reload, ReportId, ServedAddress, Settings, StageId,
    Strategy, Topology, Unit, VersionRange,
};
use time::{Duration, UtcDateTime};

pub(crate) fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_700_000_000 + seconds).unwrap()
}

/// Compares with a file under `tests/golden`, or writes it when `UPDATE_GOLDEN` is set.
pub(crate) fn golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), found, "{name}: run with UPDATE_GOLDEN=1 and read the diff");
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    pub(crate) bundles: BTreeMap<TrustSlot, (AuthorityRole, VersionRange)>,
    pub(crate) leaves: BTreeMap<LeafKind, Leaf>,
    pub(crate) signs: Option<(AuthorityRole, CaVersion)>,
    pub(crate) csr_signer_at_restart: Option<CaVersion>,
    pub(crate) serves: Vec<Address>,
    pub(crate) service: Option<Address>,
    pub(crate) dials: Option<Address>,
    /// How often it restarted, and how often its node was recreated.
    pub(crate) restarts: u32,
    pub(crate) recreations: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaf {
    pub(crate) role: AuthorityRole,
    pub(crate) issuer: CaVersion,
    /// The generation that signed the cross-certificate that is shown with it.
    pub(crate) through: Option<CaVersion>,
}

/// A path on which one end shows what the other has no anchor for, or dials where nobody serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) path: Path,
    /// Who verifies, or dials.
    pub(crate) verifier: ConsumerId,
    pub(crate) presenter: ConsumerId,
    /// What is shown; nothing where nobody serves.
    pub(crate) leaf: Option<LeafKind>,
}

/// Records and hashes that were made before: of a large cluster the same few, over and over.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) records: HashMap<(AuthorityRole, CaVersion), AuthorityRecord>,
    hashes: HashMap<(AuthorityRole, CaVersion, CaVersion), BundleHash>,
}

impl Known {
    pub(crate) fn record(&mut self, hierarchy: &Hierarchy, role: AuthorityRole, version: CaVersion) -> AuthorityRecord {
        *self.records.entry((role, version)).or_insert_with(|| record(hierarchy, role, version))
    }

    fn hash(&mut self, hierarchy: &Hierarchy, role: AuthorityRole, versions: VersionRange) -> BundleHash {
        let (first, last) = (versions.first(), versions.last());
        if let Some(hash) = self.hashes.get(&(role, first, last)) {
            return *hash;
        }
        let hash = BundleHash::of([first, last].map(|version| self.record(hierarchy, role, version).anchor));
        self.hashes.insert((role, first, last), hash);
        hash
    }
}

pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    pub(crate) now: UtcDateTime,
    pub(crate) paths_checked: usize,
    /// Which replica of kube-controller-manager signs.
    pub(crate) leader: usize,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) known: Known,
    pub(crate) held: BTreeMap<ConsumerId, Held>,
    ignored: BTreeSet<ConsumerId>,
    /// How many addresses the control plane was ever given.
    addresses: u32,
    /// Whether paths are checked by whoever drives it, not after every event.
    sparse: bool,
}

/// How many nodes of a pool of a large cluster may be away at once.
pub(crate) const AT_ONCE: usize = 25;

pub(crate) fn address(number: u32) -> Address {
    format!("192.0.2.{number}").parse().unwrap()
}

impl Cluster {
    /// Two API servers, three etcd members, three nodes in two pools, one of everything else; rotated in stages, and
    /// completed without being asked.
    pub(crate) fn new(hierarchy: Hierarchy) -> Self {
        let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic);
        Self::with(hierarchy, settings)
    }

    pub(crate) fn with_strategy(hierarchy: Hierarchy, strategy: Strategy) -> Self {
        let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic).with_strategy(strategy);
        Self::with(hierarchy, settings)
    }

    pub(crate) fn with(hierarchy: Hierarchy, settings: Settings) -> Self {
        let topology = match settings.strategy {
            Strategy::DualEndpoint => Topology::with_address(hierarchy, address(1)),
            _ => Topology::new(hierarchy),
        };
        Self::on(topology, settings)
    }

    /// The same on a topology without any instance yet.
    pub(crate) fn on(mut topology: Topology, settings: Settings) -> Self {
        let pools = ["pool-a", "pool-b"].map(|name| PoolName::new(name.parse().unwrap()));
        for pool in &pools {
            topology.add_pool(pool.clone(), 1).unwrap();
        }
        Self::of_size(topology, settings, 2, 3, Known::default())
    }

    /// A large one: three replicas of everything in the control plane, and so many nodes in so many pools. Its paths are
    /// checked when its driver says so.
    ///
    /// Its authorities end when `ends` says so.
    pub(crate) fn large(
        hierarchy: Hierarchy,
        settings: Settings,
        nodes: usize,
        pools: usize,
        mut ends: impl FnMut(AuthorityRole) -> Option<UtcDateTime>,
    ) -> Self {
        let mut topology = match settings.strategy {
            Strategy::DualEndpoint => Topology::with_address(hierarchy.clone(), address(1)),
            _ => Topology::new(hierarchy.clone()),
        };
        for pool in 0..pools {
            topology.add_pool(PoolName::new(format!("pool-{pool}").parse().unwrap()), AT_ONCE).unwrap();
        }
        let mut known = Known::default();
        for role in hierarchy.roles() {
            let first = record(&hierarchy, *role, CaVersion::FIRST);
            known.records.insert((*role, CaVersion::FIRST), AuthorityRecord { not_after: ends(*role), ..first });
        }
        Self::of_size(topology, settings, 3, nodes, known)
    }

    fn of_size(mut topology: Topology, settings: Settings, replicas: usize, nodes: usize, mut known: Known) -> Self {
        let hierarchy = topology.hierarchy().clone();
        let pools: Vec<_> = topology.pools().cloned().collect();
        for kind in ComponentKind::ALL {
            let count = match kind {
                ComponentKind::KubeApiServer => replicas,
                ComponentKind::Etcd => 3,
                ComponentKind::ControllerManager | ComponentKind::Scheduler if nodes > 3 => replicas,
                ComponentKind::Kubelet | ComponentKind::KonnectivityAgent => nodes,
                ComponentKind::Pod if nodes > 3 => nodes,
                _ => 1,
            };
            for index in 0..count {
                let on_a_node = kind.plane() == Plane::Data;
                let name = if on_a_node { format!("node-{index}") } else { index.to_string() };
                let pool = on_a_node.then(|| pools[index % pools.len()].clone());
                // What the hierarchy has no path for is not part of its clusters.
                let _ = topology.add(ConsumerId::new(kind, name.parse().unwrap()), pool);
            }
        }
        let now = at(0);
        let authorities = hierarchy
            .roles()
            .iter()
            .map(|role| (*role, known.record(&hierarchy, *role, CaVersion::FIRST)))
            .collect::<Vec<_>>();
        let machine = Machine::new("test".parse().unwrap(), topology, settings, authorities, now).unwrap();
        let mut cluster = Self {
            machine,
            now,
            paths_checked: 0,
            leader: 0,
            hierarchy,
            known,
            held: BTreeMap::new(),
            ignored: BTreeSet::new(),
            addresses: 1,
            sparse: nodes > 3,
        };
        let outside = cluster.machine.topology().consumers().map(|(id, _)| id.clone());
        for consumer in outside.filter(|id| id.kind().plane() == Plane::External).collect::<Vec<_>>() {
            cluster.held.insert(consumer.clone(), cluster.fresh(&consumer));
        }
        while !cluster.machine.is_at_rest() {
            cluster.take_up_everything_pending();
        }
        cluster
    }

    pub(crate) fn apply(&mut self, event: &Event) -> Result<Applied, Rejected> {
        self.machine.apply(event, self.now)
    }

    pub(crate) fn start(&mut self, unit: Unit) -> CaVersion {
        self.apply(&Event::RotationRequested { unit }).unwrap().started.unwrap()
    }

    pub(crate) fn consumer(&self, kind: ComponentKind, name: &str) -> ConsumerId {
        ConsumerId::new(kind, name.parse().unwrap())
    }

    pub(crate) fn record(&self, role: AuthorityRole, version: CaVersion) -> AuthorityRecord {
        let known = self.known.records.get(&(role, version)).copied();
        known.unwrap_or_else(|| record(&self.hierarchy, role, version))
    }

    pub(crate) fn authority_id(&self, role: AuthorityRole, version: CaVersion) -> AuthorityId {
        self.record(role, version).id
    }

    pub(crate) fn holder_of(&self, leaf: LeafKind) -> Option<ConsumerId> {
        self.held.iter().find(|(_, held)| held.leaves.contains_key(&leaf)).map(|(consumer, _)| consumer.clone())
    }

    /// A node goes away for good, and another comes up under its name, with nothing.
    pub(crate) fn replace_node(&mut self, name: &str) -> Vec<Event> {
        let consumer = self.consumer(ComponentKind::Kubelet, name);
        let pool = self.machine.topology().consumers().find(|(id, _)| **id == consumer).and_then(|(_, pool)| pool);
        let pool = pool.cloned();
        let incarnation = self.held.remove(&consumer).map_or(0, |held| held.incarnation) + 1;
        self.held.insert(consumer.clone(), Held { incarnation, ..Held::default() });
        vec![
            Event::ConsumerRemoved { consumer: consumer.clone() },
            Event::ConsumerJoined { consumer, pool, incarnation },
        ]
    }

    /// From now on this consumer does nothing and says nothing.
    pub(crate) fn ignore(&mut self, consumer: &ConsumerId) {
        self.ignored.insert(consumer.clone());
    }

    /// It does what it is told again.
    pub(crate) fn heed(&mut self, consumer: &ConsumerId) {
        self.ignored.remove(consumer);
    }

    pub(crate) fn restore_bundles(&mut self, consumer: &ConsumerId, first: CaVersion, last: CaVersion) {
        for (_, versions) in self.held.get_mut(consumer).unwrap().bundles.values_mut() {
            *versions = VersionRange::between(first, last);
        }
    }

    /// How often the consumers of a kind restarted, and how often their nodes were recreated, since the last call.
    pub(crate) fn restarts(&mut self, kind: ComponentKind) -> BTreeSet<(u32, u32)> {
        let of_kind = self.held.iter_mut().filter(|(consumer, _)| consumer.kind() == kind);
        let taken =
            of_kind.map(|(_, held)| (core::mem::take(&mut held.restarts), core::mem::take(&mut held.recreations)));
        taken.collect()
    }

    /// Until the rotation completes: each stage as it ends, with the status line then.
    pub(crate) fn run(&mut self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        while self.machine.stage().is_some() {
            for (stage, line) in self.advance() {
                lines.push((stage, line));
            }
        }
        lines
    }

    pub(crate) fn run_with(&mut self, mut observe: impl FnMut(&mut Self)) {
        observe(self);
        while self.machine.stage().is_some() {
            if !self.advance().is_empty() {
                observe(self);
            }
        }
    }

    pub(crate) fn run_until(&mut self, stage: &str) {
        while self.machine.stage().is_some_and(|current| current.to_string() != stage) {
            self.advance();
        }
        assert!(self.machine.stage().is_some(), "the plan has no stage {stage}");
    }

    pub(crate) fn take_up_everything_pending(&mut self) {
        self.advance();
    }

    /// Carries out what is pending, up to the first action that ends a stage.
    fn advance(&mut self) -> Vec<(String, String)> {
        let mut actions: Vec<_> = self.machine.pending_actions().collect();
        actions.retain(|action| match action {
            Action::EnsureConsumer { target, .. } => !self.ignored.contains(&target.consumer),
            Action::RecreateNode { targets, .. } => {
                !targets.iter().any(|target| self.ignored.contains(&target.consumer))
            }
            _ => true,
        });
        assert!(!actions.is_empty(), "nothing to do in {:?}", self.machine.stage());
        for action in actions {
            for event in self.carry_out_all(&action) {
                let applied = self.apply(&event).unwrap();
                self.check_paths();
                if !applied.stages_ended.is_empty() {
                    let line = self.machine.status().unwrap().to_string();
                    return applied.stages_ended.iter().map(|stage| (stage.to_string(), line.clone())).collect();
                }
            }
        }
        Vec::new()
    }

    /// The first event of an action that has one.
    pub(crate) fn carry_out(&mut self, action: &Action) -> Event {
        self.carry_out_all(action).remove(0)
    }

    pub(crate) fn carry_out_all(&mut self, action: &Action) -> Vec<Event> {
        vec![match action {
            Action::EnsureAuthority { role, version, .. } => {
                Event::AuthorityMinted { role: *role, record: self.record(*role, *version) }
            }
            Action::EnsureCrossCertificate { role, version, by, .. } => {
                let not_after = self.record(*role, *by).not_after.unwrap();
                let record = CrossRecord { version: *version, by: *by, not_before: self.now, not_after };
                Event::CrossSigned { role: *role, record }
            }
            Action::EnsureAddress { .. } => {
                self.addresses += 1;
                Event::AddressAllocated { address: address(self.addresses) }
            }
            Action::EnsureKeyDestroyed { role, version, .. } => Event::KeyDestroyed { role: *role, version: *version },
            Action::RecreateNode { targets, .. } => {
                return targets
                    .iter()
                    .map(|target| {
                        self.take_up(target);
                        Event::Observed(self.observation(&target.consumer))
                    })
                    .collect();
            }
            Action::EnsureConsumer { target, .. } => {
                self.take_up(target);
                Event::Observed(self.observation(&target.consumer))
            }
            Action::AwaitAcknowledgement { target, unit, to, stage, .. } => {
                self.take_up(target);
                self.acknowledgement(target, *unit, *to, stage)
            }
            Action::EnsureDelivered { delivery, version, .. } => {
                Event::Delivered { delivery: *delivery, version: *version }
            }
            Action::EnsureLeavesRenewed { version, .. } => Event::LeavesRenewed { version: version.clone() },
            other => panic!("unknown action {other:?}"),
        }]
    }

    /// Carries out the first thing that is pending, or says that nothing is.
    pub(crate) fn step(&mut self) -> bool {
        let mut pending = self.machine.pending_actions();
        let Some(action) = pending.find(|action| !self.is_ignored(action)) else { return false };
        drop(pending);
        for event in self.carry_out_all(&action) {
            self.apply(&event).unwrap();
            self.check_paths();
        }
        true
    }

    /// Until nothing is pending.
    pub(crate) fn exhaust(&mut self) {
        while self.step() {}
    }

    fn is_ignored(&self, action: &Action) -> bool {
        match action {
            Action::EnsureConsumer { target, .. } | Action::AwaitAcknowledgement { target, .. } => {
                self.ignored.contains(&target.consumer)
            }
            Action::RecreateNode { targets, .. } => targets.iter().any(|it| self.ignored.contains(&it.consumer)),
            _ => false,
        }
    }

    /// It is gone, and so are its paths.
    pub(crate) fn forget(&mut self, consumer: &ConsumerId) {
        self.held.remove(consumer);
    }

    /// Comes up with what the machine says that a newcomer is to be given, and reports it.
    pub(crate) fn join(&mut self, consumer: &ConsumerId, pool: Option<PoolName>, incarnation: u64) {
        let target = self.machine.provision(consumer, pool.as_ref()).unwrap();
        self.apply(&Event::ConsumerJoined { consumer: consumer.clone(), pool, incarnation }).unwrap();
        self.held.insert(consumer.clone(), Held { incarnation, ..Held::default() });
        self.take_up(&target);
        let report = self.observation(consumer);
        self.apply(&Event::Observed(report)).unwrap();
        self.check_paths();
    }

    /// A node restarts because it likes to: what is signed at run time comes from whoever signs now.
    pub(crate) fn restart_by_itself(&mut self, node: &str) -> Vec<Event> {
        let signs = |kind| self.held.iter().find(|(id, _)| id.kind() == kind).and_then(|(_, held)| held.signs);
        let (certificates, tokens) = (signs(ComponentKind::ControllerManager), signs(ComponentKind::KubeApiServer));
        let mut events = Vec::new();
        for kind in [ComponentKind::Kubelet, ComponentKind::Pod] {
            let consumer = self.consumer(kind, node);
            let Some(held) = self.held.get_mut(&consumer) else { continue };
            for (leaf, held) in &mut held.leaves {
                let signer = match leaf {
                    LeafKind::KubeletClient | LeafKind::KubeletServing => certificates,
                    LeafKind::ServiceAccountToken => tokens,
                    _ => None,
                };
                if let Some((_, version)) = signer.filter(|(role, _)| *role == held.role) {
                    held.issuer = version;
                }
            }
            if kind == ComponentKind::Kubelet {
                held.csr_signer_at_restart = certificates.map(|(_, version)| version);
            }
            events.push(Event::Observed(self.observation(&consumer)));
        }
        events
    }

    /// The generations in the bundles and leaves of everybody.
    pub(crate) fn generations(&self) -> BTreeSet<CaVersion> {
        let bundles = self.held.values().flat_map(|held| held.bundles.values());
        let leaves = self.held.values().flat_map(|held| held.leaves.values()).map(|leaf| leaf.issuer);
        bundles.flat_map(|(_, versions)| versions.versions()).chain(leaves).collect()
    }

    /// Who has anything of a generation.
    pub(crate) fn holding(&self, version: CaVersion) -> Vec<String> {
        let has = |held: &Held| {
            let mut bundles =
                held.bundles.iter().filter(|(_, (_, versions))| versions.contains(VersionRange::only(version)));
            let mut leaves = held.leaves.iter().filter(|(_, leaf)| leaf.issuer == version);
            let (bundle, leaf) = (bundles.next().map(|(slot, _)| *slot), leaves.next().map(|(leaf, _)| *leaf));
            (bundle.is_some() || leaf.is_some()).then(|| format!("{bundle:?} {leaf:?}"))
        };
        self.held.iter().filter_map(|(id, held)| Some(format!("{id} {}", has(held)?))).collect()
    }

    fn acknowledgement(&self, target: &ConsumerTarget, unit: Unit, to: CaVersion, stage: &StageId) -> Event {
        let consumer = target.consumer.clone();
        Event::Acknowledged { consumer, unit, to, stage: stage.clone(), by: "operator".to_owned() }
    }

    /// What a consumer is given when it is installed: everything of the active generation.
    fn fresh(&self, consumer: &ConsumerId) -> Held {
        let mut held = Held::default();
        for path in Path::of(&self.hierarchy) {
            let (client, server) = (path.client() == consumer.kind(), path.server() == consumer.kind());
            let trust = [
                path.client_trusts(&self.hierarchy).filter(|_| client),
                path.server_trusts(&self.hierarchy).filter(|_| server),
            ];
            for (slot, role) in trust.into_iter().flatten() {
                held.bundles.insert(slot, (role, VersionRange::only(CaVersion::FIRST)));
            }
            let leaves =
                [path.client_credential().leaf().filter(|_| client), path.endpoint().leaf().filter(|_| server)];
            for leaf in leaves.into_iter().flatten() {
                let role = self.hierarchy.issuer_of(leaf).unwrap();
                held.leaves.insert(leaf, Leaf { role, issuer: CaVersion::FIRST, through: None });
            }
        }
        held.dials = self.machine.address().cloned();
        held
    }

    fn take_up(&mut self, target: &ConsumerTarget) {
        let issued: Vec<_> = target
            .leaves
            .iter()
            .map(|leaf| {
                let (role, issuer) = self.machine.issuer_of(&target.consumer, leaf.leaf).unwrap();
                assert!(leaf.through.is_none() || issuer == leaf.issuer, "a chain for a leaf of another generation");
                (leaf.leaf, Leaf { role, issuer, through: leaf.through })
            })
            .collect();
        let signer = self.hierarchy.issuer_of(LeafKind::KubeletClient).unwrap();
        let csr_signer = self.held.values().find_map(|held| held.signs.filter(|(role, _)| *role == signer));
        let held = self.held.entry(target.consumer.clone()).or_default();
        held.epoch = held.epoch.max(target.epoch);
        held.restarts += u32::from(matches!(target.reload, Reload::Restart | Reload::Recreate));
        held.recreations += u32::from(target.reload == Reload::Recreate);
        held.bundles.extend(target.bundles.iter().map(|bundle| (bundle.slot, (bundle.role, bundle.versions))));
        held.leaves.extend(issued);
        held.signs = target.signs.or(held.signs);
        if !target.serves.is_empty() {
            held.serves = target.serves.clone();
        }
        held.service = target.service.clone().or_else(|| held.service.take());
        held.dials = target.dials.clone().or_else(|| held.dials.take());
        if target.consumer.kind() == ComponentKind::Kubelet {
            held.csr_signer_at_restart = csr_signer.map(|(_, version)| version);
        }
    }

    pub(crate) fn observation(&mut self, consumer: &ConsumerId) -> Observation {
        let next = self.next();
        let (hierarchy, known) = (&self.hierarchy, &mut self.known);
        let signer = hierarchy.issuer_of(LeafKind::KubeletClient).unwrap();
        let mut id = |role, version| known.record(hierarchy, role, version).id;
        let held = self.held.get_mut(consumer).unwrap();
        held.sequence += 1;
        let mut leaves = Vec::with_capacity(held.leaves.len());
        for (leaf, held) in &held.leaves {
            let (issuer, through) = (id(held.role, held.issuer), held.through.map(|by| id(held.role, by)));
            leaves.push(PresentedLeaf { leaf: *leaf, issuer, through });
        }
        let served = held.leaves.get(&LeafKind::ApiServer).copied();
        let serves = held.serves.iter().zip(served.into_iter().cycle()).enumerate().map(|(index, (address, leaf))| {
            // The second address shows the next generation from the start.
            let issuer = if index > 0 { next } else { leaf.issuer };
            ServedAddress { address: address.clone(), issuer: id(leaf.role, issuer) }
        });
        let report = ReportId { incarnation: held.incarnation, sequence: held.sequence };
        Observation {
            epoch: held.epoch,
            leaves,
            serves: serves.collect(),
            signs_with: held.signs.map(|(role, version)| id(role, version)),
            csr_signer_at_restart: held.csr_signer_at_restart.map(|version| id(signer, version)),
            service: held.service.clone(),
            dials: held.dials.clone(),
            bundles: held
                .bundles
                .iter()
                .map(|(slot, (role, versions))| (*slot, known.hash(hierarchy, *role, *versions)))
                .collect(),
            ..Observation::new(consumer.clone(), report)
        }
    }

    /// Trust before use, and use before retirement: on every path whatever one end presents, the other
    /// has an anchor for.
    pub(crate) fn check_paths(&mut self) {
        if !self.sparse {
            let (checked, breaks) = self.breaks_among(&self.held.iter().collect::<Vec<_>>());
            let stage = self.machine.stage().map(ToString::to_string);
            assert_eq!(breaks, [], "in {stage:?}");
            self.paths_checked += checked;
        }
    }

    /// The paths that are broken among consumers of which no two hold the same: of a large cluster few do not. Those
    /// `apart` are looked at one by one.
    pub(crate) fn breaks(&mut self, apart: impl Fn(&ConsumerId) -> bool) -> Vec<Break> {
        let mut known = HashSet::new();
        let distinct = self.held.iter().filter(|(consumer, held)| {
            let address = (&held.serves, &held.service, &held.dials);
            apart(consumer) || known.insert((consumer.kind(), &held.bundles, &held.leaves, address))
        });
        let (checked, breaks) = self.breaks_among(&distinct.collect::<Vec<_>>());
        self.paths_checked += checked;
        breaks
    }

    fn breaks_among(&self, held: &[(&ConsumerId, &Held)]) -> (usize, Vec<Break>) {
        let (mut checked, mut breaks) = (0, Vec::new());
        for path in Path::of(&self.hierarchy) {
            let of = |kind| held.iter().copied().filter(move |(consumer, _)| consumer.kind() == kind);
            for (client_id, client) in of(path.client()) {
                for (server_id, server) in of(path.server()) {
                    let broken = |verifier: &ConsumerId, presenter: &ConsumerId, leaf| Break {
                        path,
                        verifier: verifier.clone(),
                        presenter: presenter.clone(),
                        leaf,
                    };
                    let trusts = path.client_trusts(&self.hierarchy);
                    if let (Some((slot, _)), Some(leaf)) = (trusts, path.endpoint().leaf())
                        && let Some(shown) = server.leaves.get(&leaf)
                    {
                        match self.shown_to(path, client, server, *shown) {
                            None => breaks.push(broken(client_id, server_id, None)),
                            Some(shown) if !covers(client, slot, shown) => {
                                breaks.push(broken(client_id, server_id, Some(leaf)));
                            }
                            Some(_) => {}
                        }
                    }
                    if let (Some((slot, _)), Some(leaf)) =
                        (path.server_trusts(&self.hierarchy), path.client_credential().leaf())
                        && let Some(shown) = client.leaves.get(&leaf)
                        && !covers(server, slot, *shown)
                    {
                        breaks.push(broken(server_id, client_id, Some(leaf)));
                    }
                    checked += 1;
                }
            }
        }
        (checked, breaks)
    }

    /// The generation that a rotation leads to.
    fn next(&self) -> CaVersion {
        match self.machine.phase() {
            Phase::Rotating(rotating) => rotating.to(),
            _ => CaVersion::FIRST,
        }
    }

    /// What the server shows at the address that the client dials, where addresses are followed; nothing if it does not
    /// serve there.
    fn shown_to(&self, path: Path, client: &Held, server: &Held, shown: Leaf) -> Option<Leaf> {
        if path.endpoint() != Endpoint::ApiServer || path.client() == ComponentKind::KubeApiServer {
            return Some(shown);
        }
        let dialled = if path.client() == ComponentKind::Pod { &server.service } else { &client.dials };
        let Some(dialled) = dialled else { return Some(shown) };
        let place = server.serves.iter().position(|served| served == dialled)?;
        Some(if place > 0 { Leaf { issuer: self.next(), through: None, ..shown } } else { shown })
    }
}

/// Whether the holder's bundle has an anchor for the leaf, or for what signed the cross-certificate it comes with.
fn covers(holder: &Held, slot: TrustSlot, leaf: Leaf) -> bool {
    holder.bundles.get(&slot).is_none_or(|(role, versions)| {
        let trusted = |version| versions.contains(VersionRange::only(version));
        *role == leaf.role && (trusted(leaf.issuer) || leaf.through.is_some_and(trusted))
    })
}

/// A generation that differs from every other in key and anchor. The key is 32 octets that name it, in
/// the form of an Ed25519 key; nobody verifies with it here.
fn record(hierarchy: &Hierarchy, role: AuthorityRole, version: CaVersion) -> AuthorityRecord {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut key = format!("{role}/{version}").into_bytes();
    key.resize(32, 0);
    spki.extend(key);
    let born = at(0) + Duration::days(i64::from(version.number() - 1) * 5 * 365);
    AuthorityRecord {
        version,
        id: AuthorityId::of(&SubjectPublicKey::parse(&spki).unwrap()),
        anchor: Fingerprint::of(&spki),
        not_after: hierarchy.ca_lifetime(role).map(|lifetime| born + lifetime),
    }
}
