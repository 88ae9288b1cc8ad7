//! A cluster of any number of nodes that takes up whatever its machine asks for.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::{
    AuthorityId, AuthorityRole, CaVersion, ComponentKind, Fingerprint, Hierarchy, LeafKind, Plane, Storage,
    verify::SubjectPublicKey,
};
use rotation_fsm::{
    Action, AuthorityRecord, Completion, ConsumerId, ConsumerTarget, Event, Machine, Observation, PoolName,
    PresentedLeaf, ReportId, Scope, Settings, Step, Topology, Unit,
};
use time::{Duration, UtcDateTime};

use crate::Setup;

/// A GKE cluster with etcd: a control plane of three replicas, and on every node a kubelet, a Konnectivity
/// agent and a pod.
#[derive(Clone, Debug)]
pub struct Fleet {
    machine: Machine,
    hierarchy: Hierarchy,
    /// The last report of every consumer that can be observed.
    reports: BTreeMap<ConsumerId, Observation>,
    now: UtcDateTime,
}

impl Fleet {
    const REPLICAS: usize = 3;

    /// Every consumer is seen and runs with the first generation; no rotation is running.
    ///
    /// # Errors
    /// When the machine refuses something.
    pub fn at_rest(nodes: usize, pools: usize) -> Setup<Self> {
        let hierarchy = Hierarchy::gke(Storage::Etcd);
        let mut topology = Topology::new(hierarchy.clone());
        let pools = (0..pools).map(pool).collect::<Setup<Vec<_>>>()?;
        for pool in &pools {
            topology.add_pool(pool.clone(), 1)?;
        }
        for kind in ComponentKind::ALL {
            match kind.plane() {
                Plane::Data => {
                    for (node, pool) in (0..nodes).zip(pools.iter().cycle()) {
                        topology.add(ConsumerId::new(kind, format!("node-{node}").parse()?), Some(pool.clone()))?;
                    }
                }
                _ => {
                    for replica in 0..Self::REPLICAS {
                        topology.add(ConsumerId::new(kind, replica.to_string().parse()?), None)?;
                    }
                }
            }
        }
        let now = UtcDateTime::from_unix_timestamp(1_800_000_000)?;
        let authorities = hierarchy
            .roles()
            .iter()
            .map(|role| Ok((*role, record(&hierarchy, *role, CaVersion::FIRST, now)?)))
            .collect::<Setup<Vec<_>>>()?;
        let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic);
        let machine = Machine::new("bench".parse()?, topology, settings, authorities, now)?;
        let mut fleet = Self { machine, hierarchy, reports: BTreeMap::new(), now };
        fleet.end_stage()?;
        if fleet.machine.is_at_rest() { Ok(fleet) } else { Err("the cluster is not at rest".into()) }
    }

    /// In the middle of a rotation: the pool in the middle is to trust the next generation as well, and none
    /// of its nodes does yet.
    ///
    /// # Errors
    /// When the machine refuses something, or there is no such moment.
    pub fn in_mid_rotation(nodes: usize, pools: usize) -> Setup<(Self, Reports)> {
        let mut fleet = Self::at_rest(nodes, pools)?;
        fleet.begin()?;
        let middle = Scope::Pool(pool(pools / 2)?);
        let is_there = |fleet: &Self| {
            fleet.machine.stage().is_some_and(|stage| stage.step() == Step::TrustBoth && stage.scope() == Some(&middle))
        };
        while !is_there(&fleet) {
            if fleet.machine.stage().is_none() {
                return Err("the plan has no such stage".into());
            }
            fleet.end_stage()?;
        }
        let reports = Reports::of(&fleet)?;
        Ok((fleet, reports))
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Applies what was reported.
    ///
    /// # Errors
    /// When the machine refuses it.
    pub fn apply(&mut self, event: &Event) -> Setup<()> {
        self.machine.apply(event, self.now)?;
        Ok(())
    }

    /// Starts a rotation of the cluster root and the service-account keys.
    ///
    /// # Errors
    /// When the machine refuses.
    pub fn begin(&mut self) -> Setup<()> {
        self.apply(&Event::RotationRequested { unit: Unit::Credentials })
    }

    /// Rotates as a controller does: asks for everything pending, does it and reports it, one action at a
    /// time, and asks again. Gives every event in order.
    ///
    /// # Errors
    /// When the machine refuses something.
    pub fn rotate(&mut self) -> Setup<Vec<Event>> {
        let mut events = Vec::new();
        while self.machine.stage().is_some() {
            let actions: Vec<_> = self.machine.pending_actions().collect();
            if actions.is_empty() {
                return Err("nothing is pending and the rotation runs".into());
            }
            'round: for action in actions {
                for event in self.carry_out(&action)? {
                    let applied = self.machine.apply(&event, self.now)?;
                    events.push(event);
                    if !applied.stages_ended.is_empty() {
                        break 'round;
                    }
                }
            }
        }
        Ok(events)
    }

    /// Has everybody who is waited for take up what one of their kind is asked to: however many they are,
    /// the actions are asked for once.
    fn end_stage(&mut self) -> Setup<()> {
        let mut targets = BTreeMap::new();
        for action in self.machine.pending_actions().collect::<Vec<_>>() {
            match action {
                Action::EnsureConsumer { target, .. } => {
                    targets.entry(target.consumer.kind()).or_insert(target);
                }
                Action::RecreateNode { targets: on_node, .. } => {
                    for target in on_node {
                        targets.entry(target.consumer.kind()).or_insert(target);
                    }
                }
                other => {
                    for event in self.carry_out(&other)? {
                        self.apply(&event)?;
                    }
                }
            }
        }
        for consumer in self.machine.waiting().cloned().collect::<Vec<_>>() {
            if let Some(target) = targets.get_mut(&consumer.kind()) {
                target.consumer = consumer;
                let event = Event::Observed(self.take_up(target)?);
                self.apply(&event)?;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, action: &Action) -> Setup<Vec<Event>> {
        Ok(vec![match action {
            Action::EnsureAuthority { role, version, .. } => {
                Event::AuthorityMinted { role: *role, record: record(&self.hierarchy, *role, *version, self.now)? }
            }
            Action::EnsureKeyDestroyed { role, version, .. } => Event::KeyDestroyed { role: *role, version: *version },
            Action::EnsureConsumer { target, .. } => Event::Observed(self.take_up(target)?),
            Action::RecreateNode { targets, .. } => {
                return targets.iter().map(|target| Ok(Event::Observed(self.take_up(target)?))).collect();
            }
            Action::AwaitAcknowledgement { target, unit, to, stage, .. } => Event::Acknowledged {
                consumer: target.consumer.clone(),
                unit: *unit,
                to: *to,
                stage: stage.clone(),
                by: "operator".to_owned(),
            },
            _ => return Err("an action that this cluster does not know".into()),
        }])
    }

    /// The consumer's next report, after taking up the target.
    fn take_up(&mut self, target: &ConsumerTarget) -> Setup<Observation> {
        let id = |role, version| record(&self.hierarchy, role, version, self.now).map(|record| record.id);
        let mut leaves = Vec::new();
        for target_leaf in &target.leaves {
            let issuer = self.machine.issuer_of(&target.consumer, target_leaf.leaf);
            let (role, version) = issuer.ok_or("a leaf that nobody issues")?;
            leaves.push(PresentedLeaf::alone(target_leaf.leaf, id(role, version)?));
        }
        let signs_with = target.signs.map(|(role, version)| id(role, version)).transpose()?;
        // The signer of a kubelet's client certificate is the CSR signer of the moment it restarts.
        let csr_signer = leaves.iter().find(|held| held.leaf == LeafKind::KubeletClient).map(|held| held.issuer);

        let report = self
            .reports
            .entry(target.consumer.clone())
            .or_insert_with(|| Observation::new(target.consumer.clone(), ReportId::default()));
        report.id.sequence += 1;
        report.epoch = report.epoch.max(target.epoch);
        for bundle in &target.bundles {
            report.bundles.retain(|(slot, _)| *slot != bundle.slot);
            report.bundles.push((bundle.slot, bundle.hash));
        }
        for leaf in leaves {
            report.leaves.retain(|held| held.leaf != leaf.leaf);
            report.leaves.push(leaf);
        }
        report.signs_with = signs_with.or(report.signs_with);
        report.csr_signer_at_restart = csr_signer.or(report.csr_signer_at_restart);
        Ok(report.clone())
    }
}

fn pool(number: usize) -> Setup<PoolName> {
    Ok(PoolName::new(format!("pool-{number}").parse()?))
}

/// A generation with a key of its own: 32 octets that name it, in the form of an Ed25519 key. Nobody
/// verifies with it.
fn record(hierarchy: &Hierarchy, role: AuthorityRole, version: CaVersion, now: UtcDateTime) -> Setup<AuthorityRecord> {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut key = format!("{role}/{version}").into_bytes();
    key.resize(32, 0);
    spki.extend(key);
    let lifetime: Option<Duration> = hierarchy.ca_lifetime(role);
    Ok(AuthorityRecord {
        version,
        id: AuthorityId::of(&SubjectPublicKey::parse(&spki)?),
        anchor: Fingerprint::of(&spki),
        not_after: lifetime.map(|lifetime| now + lifetime),
    })
}

/// Reports from the nodes of the pool that a stage waits for, without end and without ever ending it.
///
/// The first pass over the nodes says that each has taken up what the stage asks, the second that each
/// runs with what it had before, and so on: every report changes who is waited for. The order is mixed,
/// so that neighbours in memory are not neighbours in time.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Before and after, of every consumer but one.
    pairs: Vec<(Observation, Observation)>,
    next: usize,
    sequence: u64,
}

impl Reports {
    fn of(fleet: &Fleet) -> Setup<Self> {
        let mut told = fleet.clone();
        let waiting: BTreeSet<_> = told.machine.waiting().cloned().collect();
        told.end_stage()?;
        let mut pairs = Vec::with_capacity(waiting.len());
        // One node stays behind, which keeps the stage open.
        for consumer in waiting.iter().skip(1) {
            let report = |fleet: &Fleet| fleet.reports.get(consumer).cloned().ok_or("a consumer that was never seen");
            pairs.push((report(fleet)?, report(&told)?));
        }
        pairs.sort_by_cached_key(|(report, _)| Fingerprint::of(report.consumer.to_string().as_bytes()));
        Ok(Self { pairs, next: 0, sequence: 1 << 20 })
    }

    /// The next report.
    pub fn next_event(&mut self) -> Option<Event> {
        let (pass, index) = (self.next.checked_div(self.pairs.len())?, self.next.checked_rem(self.pairs.len())?);
        self.next += 1;
        self.sequence += 1;
        let (before, after) = self.pairs.get(index)?;
        let mut report = if pass % 2 == 0 { after } else { before }.clone();
        report.id.sequence = self.sequence;
        Some(Event::Observed(report))
    }
}
