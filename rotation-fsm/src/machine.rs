//! The rotation machine: state, events, derived actions.

mod actions;
mod expectation;
mod loaded;
mod waiting;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, CaVersion, ClusterId, ComponentKind, Plane};
use time::{Duration, UtcDateTime};

use self::loaded::{Authority, Loaded};
use self::waiting::Waiting;
use crate::event::{AuthorityRecord, Event, Observation, ReportId};
use crate::plan::{Plan, Stage, Step, VersionRange};
use crate::policy::{Trigger, Unit, UnitPolicy, units};
use crate::rejected::{Rejected, SetupError, Unreadable};
use crate::status::Status;
use crate::strategy::Strategy;
use crate::topology::{ConsumerId, Topology};

/// The authorities of one cluster and whatever rotation of them is running.
///
/// A pure value: [`apply`](Self::apply) takes an event and the time, [`pending_actions`](Self::pending_actions)
/// derives what is to be done. Nothing to be done is remembered anywhere else, so a crash loses nothing.
#[derive(Clone, Debug)]
pub struct Machine {
    cluster: ClusterId,
    topology: Topology,
    strategy: Strategy,
    authorities: BTreeMap<AuthorityRole, Authority>,
    /// What each consumer was last seen to run with.
    seen: BTreeMap<ConsumerId, Seen>,
    /// The consumers that do not run with what they should, kept so that one report costs O(log n).
    waiting: Waiting,
    phase: Phase,
    /// The latest time ever given: a clock that steps back shortens no wait and begins nothing twice.
    clock: UtcDateTime,
    completed: Option<Completed>,
}

/// Where the cluster stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// No rotation is running.
    Stable,
    /// A unit is being rotated.
    Rotating(Rotating),
}

/// A rotation that is running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotating {
    policy: UnitPolicy,
    from: CaVersion,
    to: CaVersion,
    plan: Plan,
    stage: usize,
    /// Authorities whose part of the stage is open: to be minted, or their old key to be destroyed.
    open: BTreeSet<AuthorityRole>,
}

impl Rotating {
    /// The unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.policy.unit
    }

    /// The authorities of the unit.
    #[must_use]
    pub fn roles(&self) -> &[AuthorityRole] {
        &self.policy.roles
    }

    /// The generation that is replaced.
    #[must_use]
    pub const fn from(&self) -> CaVersion {
        self.from
    }

    /// The generation that replaces it.
    #[must_use]
    pub const fn to(&self) -> CaVersion {
        self.to
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The stage that runs.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.plan.stages().get(self.stage)
    }

    const fn versions(&self) -> (CaVersion, CaVersion) {
        (self.from, self.to)
    }

    fn step(&self) -> Option<Step> {
        self.stage().map(Stage::step)
    }
}

/// The last rotation that completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The unit.
    pub unit: Unit,
    /// The authorities of the unit.
    pub roles: Cow<'static, [AuthorityRole]>,
    /// Their generation since.
    pub to: CaVersion,
}

/// The last report of a consumer.
#[derive(Clone, Debug, Default)]
struct Seen {
    id: ReportId,
    /// What it runs with; `None` while it is unseen, or said something that could not be read.
    loaded: Option<Loaded>,
}

/// What an event changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// A rotation began, to this generation.
    pub started: Option<CaVersion>,
    /// Stages that ended, in order.
    pub stages_ended: Vec<Stage>,
    /// The rotation completed.
    pub completed: bool,
    /// Reports that were taken as saying that their consumer runs with something wrong, and why.
    pub unreadable: Vec<(ConsumerId, Unreadable)>,
    /// Automatic rotations that are due and not begun, because this consumer is not in order.
    pub blocked: Vec<(Unit, ConsumerId)>,
}

impl Applied {
    /// Takes in what a later event changed.
    pub fn merge(&mut self, later: Self) {
        self.started = later.started.or(self.started);
        self.stages_ended.extend(later.stages_ended);
        self.completed |= later.completed;
        self.unreadable.extend(later.unreadable);
        self.blocked.extend(later.blocked);
    }
}

impl Machine {
    /// A cluster at rest, with the active generation of each of its authorities.
    ///
    /// Consumers count as unseen until they are observed, but for those nobody can observe: they
    /// were given what is valid now.
    ///
    /// # Errors
    /// When an authority of the hierarchy is missing, one too many is given, or one key serves two roles.
    pub fn new(
        cluster: ClusterId,
        topology: Topology,
        strategy: Strategy,
        authorities: impl IntoIterator<Item = (AuthorityRole, AuthorityRecord)>,
        now: UtcDateTime,
    ) -> Result<Self, SetupError> {
        let mut known: BTreeMap<AuthorityRole, Authority> = BTreeMap::new();
        for (role, record) in authorities {
            if let Some(other) = shares_key(&known, &record) {
                return Err(SetupError::SharedKey(role, other));
            }
            if !topology.hierarchy().roles().contains(&role) || known.contains_key(&role) {
                return Err(SetupError::Unexpected(role));
            }
            known.insert(role, Authority::new(record));
        }
        if let Some(&role) = topology.hierarchy().roles().iter().find(|role| !known.contains_key(role)) {
            return Err(SetupError::Missing(role));
        }
        let mut machine = Self {
            cluster,
            strategy,
            authorities: known,
            seen: BTreeMap::new(),
            waiting: Waiting::default(),
            phase: Phase::Stable,
            clock: now,
            completed: None,
            topology,
        };
        let consumers: Vec<_> = machine.topology.consumers().map(|(consumer, _)| consumer.clone()).collect();
        consumers.into_iter().for_each(|consumer| machine.admit(consumer, 0));
        Ok(machine)
    }

    /// Applies an event that happened at `now`.
    ///
    /// # Errors
    /// [`Rejected`], and nothing has changed.
    pub fn apply(&mut self, event: &Event, now: UtcDateTime) -> Result<Applied, Rejected> {
        let clock = self.clock.max(now);
        let mut applied = Applied::default();
        match event {
            Event::RotationRequested { unit } => applied.started = Some(self.request(*unit)?),
            Event::Tick => self.tick(clock, &mut applied),
            Event::AuthorityMinted { role, record } => self.mint(*role, *record, clock)?,
            Event::Observed(observation) => {
                let unreadable = self.observe(observation)?;
                applied.unreadable.extend(unreadable.map(|why| (observation.consumer.clone(), why)));
            }
            Event::Acknowledged { consumer, unit, to, stage, .. } => self.acknowledge(consumer, (*unit, *to), stage)?,
            Event::ConsumerJoined { consumer, pool, incarnation } => {
                self.topology.add(consumer.clone(), pool.clone()).map_err(Rejected::Topology)?;
                self.admit(consumer.clone(), *incarnation);
            }
            Event::ConsumerRemoved { consumer } => {
                if !self.topology.contains(consumer) {
                    return Err(Rejected::UnknownConsumer(consumer.clone()));
                }
                self.topology.remove(consumer);
                self.seen.remove(consumer);
                self.waiting.remove(consumer);
            }
            Event::KeyDestroyed { role, version } => self.destroy(*role, *version)?,
        }
        self.clock = clock;
        self.settle(&mut applied);
        Ok(applied)
    }

    fn request(&mut self, unit: Unit) -> Result<CaVersion, Rejected> {
        if let Phase::Rotating(rotating) = &self.phase {
            return Err(Rejected::InProgress { to: rotating.to });
        }
        let policies = units(self.topology.hierarchy());
        let policy = policies.iter().find(|policy| policy.unit == unit).ok_or(Rejected::UnknownUnit(unit))?;
        match policy.trigger {
            Trigger::User => self.start(policy.clone()),
            Trigger::Automatic { .. } => Err(Rejected::AutomaticOnly(unit)),
        }
    }

    /// Begins the first automatic unit that is due and whose consumers are in order. What is not in order now is
    /// told, and asked again at the next tick.
    fn tick(&mut self, clock: UtcDateTime, applied: &mut Applied) {
        if self.phase != Phase::Stable {
            return;
        }
        let policies = units(self.topology.hierarchy());
        let due: Vec<_> = policies.iter().filter(|policy| self.is_due(policy, clock)).cloned().collect();
        for policy in due {
            let unit = policy.unit;
            match self.start(policy) {
                Ok(to) => {
                    applied.started = Some(to);
                    return;
                }
                Err(Rejected::NotReady { consumer }) => applied.blocked.push((unit, consumer)),
                Err(_) => {}
            }
        }
    }

    fn is_due(&self, policy: &UnitPolicy, clock: UtcDateTime) -> bool {
        let Trigger::Automatic { before_expiry } = policy.trigger else { return false };
        let expiries = policy.roles.iter().filter_map(|role| self.authorities.get(role)?.active.not_after);
        expiries.min().is_some_and(|expiry| clock >= expiry.saturating_sub(before_expiry))
    }

    fn start(&mut self, policy: UnitPolicy) -> Result<CaVersion, Rejected> {
        let mut versions = policy.roles.iter().filter_map(|role| Some(self.authorities.get(role)?.active.version));
        let from = versions.next().ok_or(Rejected::UnknownUnit(policy.unit))?;
        if versions.any(|version| version != from) {
            return Err(Rejected::MixedVersions(policy.unit));
        }
        if let Some(consumer) = self.blocking(&policy.roles) {
            return Err(Rejected::NotReady { consumer: consumer.clone() });
        }
        let (plan, to) = (self.strategy.plan(&self.topology, &policy.roles), from.next());
        let open = policy.roles.iter().copied().collect();
        self.phase = Phase::Rotating(Rotating { policy, from, to, plan, stage: 0, open });
        Ok(to)
    }

    fn has_part(&self, kind: ComponentKind, roles: &[AuthorityRole]) -> bool {
        self.topology.uses(kind).is_some_and(|uses| uses.touches(roles))
    }

    /// A consumer that has a part in these authorities and is not in order, if there is one. Looked for kind by kind:
    /// however many without a part are waiting, they cost nothing.
    fn blocking(&self, roles: &[AuthorityRole]) -> Option<&ConsumerId> {
        let concerned = ComponentKind::ALL.into_iter().filter(|kind| self.has_part(*kind, roles));
        concerned.filter_map(|kind| self.waiting.first_of(kind)).next()
    }

    fn mint(&mut self, role: AuthorityRole, record: AuthorityRecord, clock: UtcDateTime) -> Result<(), Rejected> {
        let Phase::Rotating(rotating) = &mut self.phase else { return Err(Rejected::NotInStage { current: None }) };
        if !rotating.policy.roles.contains(&role) || record.version != rotating.to {
            return Err(Rejected::WrongVersion { role, found: record.version });
        }
        if let Some(minted) = self.authorities.get(&role).and_then(|authority| authority.next.as_ref()) {
            // A duplicate of what is known changes nothing; another key for the same generation is an error.
            return if *minted == record { Ok(()) } else { Err(Rejected::MintedTwice { role }) };
        }
        if let Some(other) = shares_key(&self.authorities, &record) {
            return Err(Rejected::SharedKey { role, other });
        }
        let margin = match rotating.policy.trigger {
            Trigger::Automatic { before_expiry } => before_expiry,
            Trigger::User => Duration::ZERO,
        };
        if let Some(not_after) = record.not_after.filter(|end| *end <= clock.saturating_add(margin)) {
            return Err(Rejected::ShortLived { role, not_after });
        }
        if let Some(authority) = self.authorities.get_mut(&role) {
            authority.next = Some(record);
            authority.index_bundles();
        }
        rotating.open.remove(&role);
        Ok(())
    }

    /// A report that cannot be read is evidence too: whatever its consumer runs with, it is not what it should be.
    fn observe(&mut self, observation: &Observation) -> Result<Option<Unreadable>, Rejected> {
        let (consumer, id) = (&observation.consumer, observation.id);
        let last = self.seen.get(consumer).ok_or_else(|| Rejected::UnknownConsumer(consumer.clone()))?;
        if id <= last.id {
            return Err(Rejected::Stale { consumer: consumer.clone(), applied: last.id, found: id });
        }
        let read = Loaded::read(observation, &self.topology, &self.authorities);
        let unreadable = read.as_ref().err().cloned();
        self.record(consumer.clone(), Seen { id, loaded: read.ok() });
        Ok(unreadable)
    }

    fn acknowledge(
        &mut self,
        consumer: &ConsumerId,
        rotation: (Unit, CaVersion),
        stage: &Stage,
    ) -> Result<(), Rejected> {
        let last = self.seen.get(consumer).ok_or_else(|| Rejected::UnknownConsumer(consumer.clone()))?;
        if consumer.kind().plane() != Plane::External {
            return Err(Rejected::Observable(consumer.clone()));
        }
        let running = match &self.phase {
            Phase::Rotating(rotating) => Some((rotating.unit(), rotating.to)),
            Phase::Stable => None,
        };
        let current = self.stage();
        if running != Some(rotation) || current != Some(stage) {
            return Err(Rejected::NotInStage { current: current.cloned() });
        }
        let seen = Seen { id: last.id, loaded: Some(self.expected(consumer)) };
        self.record(consumer.clone(), seen);
        Ok(())
    }

    fn destroy(&mut self, role: AuthorityRole, version: CaVersion) -> Result<(), Rejected> {
        let current = self.stage().cloned();
        let Phase::Rotating(rotating) = &mut self.phase else { return Err(Rejected::NotInStage { current }) };
        if rotating.step() != Some(Step::DestroyKeys) {
            return Err(Rejected::NotInStage { current });
        }
        if !rotating.policy.roles.contains(&role) || version != rotating.from {
            return Err(Rejected::WrongVersion { role, found: version });
        }
        rotating.open.remove(&role);
        Ok(())
    }

    /// Takes a consumer in: to be seen, or, where nobody can see it, given what is valid now. During a rotation in
    /// which it has a part, that too takes somebody's word.
    fn admit(&mut self, consumer: ConsumerId, incarnation: u64) {
        let concerned = match &self.phase {
            Phase::Rotating(rotating) => self.has_part(consumer.kind(), &rotating.policy.roles),
            Phase::Stable => false,
        };
        let given = consumer.kind().plane() == Plane::External && !concerned;
        let loaded = given.then(|| self.expected(&consumer));
        self.record(consumer, Seen { id: ReportId { incarnation, sequence: 0 }, loaded });
    }

    fn record(&mut self, consumer: ConsumerId, seen: Seen) {
        if seen.loaded.as_ref().is_some_and(|loaded| self.is_satisfied(&consumer, loaded)) {
            self.waiting.remove(&consumer);
        } else {
            self.waiting.insert(consumer.clone());
        }
        self.seen.insert(consumer, seen);
    }

    /// Ends every stage whose gate is open. A stage that asks nothing of anybody ends at once.
    fn settle(&mut self, applied: &mut Applied) {
        loop {
            let Phase::Rotating(rotating) = &self.phase else { return };
            if !rotating.open.is_empty() || self.blocking(&rotating.policy.roles).is_some() {
                return;
            }
            let Phase::Rotating(rotating) = &mut self.phase else { return };
            applied.stages_ended.extend(rotating.stage().cloned());
            rotating.stage += 1;
            match rotating.step() {
                Some(Step::DestroyKeys) => rotating.open = rotating.policy.roles.iter().copied().collect(),
                Some(_) => {}
                None => {
                    let Rotating { policy: UnitPolicy { unit, roles, .. }, to, .. } = rotating.clone();
                    for role in roles.iter() {
                        self.authorities.entry(*role).and_modify(Authority::promote);
                    }
                    self.completed = Some(Completed { unit, roles, to });
                    self.phase = Phase::Stable;
                    applied.completed = true;
                }
            }
            self.recount();
        }
    }

    /// Compares every consumer with what the new stage asks of it: once per stage, not per report.
    fn recount(&mut self) {
        let satisfied = |(consumer, seen): &(&ConsumerId, &Seen)| {
            seen.loaded.as_ref().is_some_and(|loaded| self.is_satisfied(consumer, loaded))
        };
        self.waiting =
            self.seen.iter().filter(|entry| !satisfied(entry)).map(|(consumer, _)| consumer.clone()).collect();
    }

    /// Whether every consumer runs with what it should and no rotation is running.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Stable && self.waiting.is_empty()
    }

    /// The consumers that do not run with what they should.
    pub fn waiting(&self) -> impl Iterator<Item = &ConsumerId> {
        self.waiting.iter()
    }

    /// Where the cluster stands.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The stage that runs.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        match &self.phase {
            Phase::Stable => None,
            Phase::Rotating(rotating) => rotating.stage(),
        }
    }

    /// The last rotation that completed.
    #[must_use]
    pub const fn completed(&self) -> Option<&Completed> {
        self.completed.as_ref()
    }

    /// The cluster's name.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Where the rotation stands that is running, or else the last one that completed.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        Status::of(self)
    }

    /// The consumers.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The active generation of an authority.
    #[must_use]
    pub fn authority(&self, role: AuthorityRole) -> Option<&AuthorityRecord> {
        self.authorities.get(&role).map(|authority| &authority.active)
    }

    /// What the consumers of a plane were seen to run with, as far as it belongs to `roles`.
    pub(crate) fn seen<'a>(&'a self, plane: Plane, roles: &'a [AuthorityRole]) -> impl Iterator<Item = SeenState> + 'a {
        let on_plane = self.seen.iter().filter(move |(consumer, _)| consumer.kind().plane() == plane);
        on_plane.filter_map(move |(consumer, seen)| {
            let (loaded, uses) = (seen.loaded.as_ref()?, self.topology.uses(consumer.kind())?);
            let bundles = uses.trust.iter().zip(&loaded.bundles);
            let leaves = uses.leaves.iter().zip(&loaded.leaves);
            Some(SeenState {
                bundles: bundles.filter(|((_, role), _)| roles.contains(role)).map(|(_, range)| *range).collect(),
                oldest_leaf: leaves.filter(|((_, role), _)| roles.contains(role)).map(|(_, version)| *version).min(),
                signs: loaded.signs.filter(|_| uses.signs.is_some_and(|role| roles.contains(&role))),
                csr_signer_at_restart: loaded
                    .csr_signer_at_restart
                    .filter(|_| uses.csr_signer().is_some_and(|role| roles.contains(&role))),
            })
        })
    }
}

/// What one consumer was seen to run with.
pub(crate) struct SeenState {
    pub(crate) bundles: Vec<VersionRange>,
    pub(crate) oldest_leaf: Option<CaVersion>,
    pub(crate) signs: Option<CaVersion>,
    pub(crate) csr_signer_at_restart: Option<CaVersion>,
}

/// The authority, its own other generations included, that has the key or anchor of `record` already. No key serves
/// two roles, or each authority could speak for the other; and a rotation replaces the key.
fn shares_key(known: &BTreeMap<AuthorityRole, Authority>, record: &AuthorityRecord) -> Option<AuthorityRole> {
    let shares = |other: &AuthorityRecord| other.id == record.id || other.anchor == record.anchor;
    known.iter().find(|(_, authority)| authority.generations().any(shares)).map(|(role, _)| *role)
}
