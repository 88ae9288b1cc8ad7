//! The transition function.

use pki_core::{AuthorityRole, CaVersion, Plane};
use time::UtcDateTime;

use super::seen::{self, Held, Seen};
use super::{Applied, Machine};
use crate::clock::HighWater;
use crate::delivery::Delivery;
use crate::event::{Event, Observation, ReportId};
use crate::plan::StageId;
use crate::policy::Unit;
use crate::rejected::{Rejected, Unreadable};
use crate::topology::{ConsumerId, Index, PoolName};

impl Machine {
    /// Applies an event that happened at `now`.
    ///
    /// # Errors
    /// [`Rejected`], and nothing has changed.
    pub fn apply(&mut self, event: &Event, now: UtcDateTime) -> Result<Applied, Rejected> {
        let now = now.truncate_to_second();
        // Not for reports, which are nearly all events and always news.
        let (before, footprint) = (self.clock, may_be_idle(event).then(|| self.footprint()));
        // While nothing is rotated nothing depends on the time but that something is begun, which does no harm.
        self.clock.read(now, self.rotating().map(|_| self.settings.clock));
        if skips!(self, JumpsBelieved) {
            self.clock.believe(now);
        }
        if skips!(self, ClockStepsBack) && now < self.clock.now() {
            self.clock = HighWater::new(now);
        }
        let mut applied = Applied::default();
        if let Err(rejected) = self.take(event, now, &mut applied) {
            self.clock = before;
            return Err(rejected);
        }
        applied.doubted = self.clock.doubt();
        self.settle(&mut applied);
        let idle = footprint.is_some_and(|before| before == self.footprint()) && applied.released.is_empty();
        applied.changed = !idle;
        Ok(applied)
    }

    /// Everything but the clock that an event changes which is no report: of a few words, and shared data.
    fn footprint(&self) -> impl PartialEq + use<> {
        let rotating = self.rotating().map(|rotating| {
            let (paused, may_complete) = (rotating.paused, rotating.may_complete);
            (rotating.stage, rotating.open.len(), paused, may_complete, rotating.commanded, rotating.attempts)
        });
        let next = self.tracks.addresses.as_ref().and_then(|addresses| addresses.next.clone());
        (self.epoch, rotating, self.clock.doubt(), self.overrides.clone(), next, std::sync::Arc::as_ptr(&self.settings))
    }

    /// Either changes nothing and says why, or succeeds.
    fn take(&mut self, event: &Event, now: UtcDateTime, applied: &mut Applied) -> Result<(), Rejected> {
        match event {
            Event::RotationRequested { unit } => applied.started = Some(self.request(*unit)?),
            Event::EmergencyDeclared { unit, suspect, .. } => {
                applied.started = self.declare_emergency(*unit, *suspect)?;
            }
            Event::CompletionRequested { unit } => self.complete(*unit, applied)?,
            Event::PoolUpgradeRequested { pool } => self.upgrade(pool)?,
            Event::MaintenanceOverridden { step, .. } => self.override_step(*step)?,
            Event::CalendarChanged { calendar } => self.change_calendar(calendar),
            Event::FreezeChanged { frozen } => self.overrides.set_frozen(*frozen),
            Event::PauseRequested { .. } => self.pause(true)?,
            Event::ResumeRequested { .. } => self.pause(false)?,
            Event::RollbackRequested { .. } => self.roll_back()?,
            Event::Tick => self.tick(applied),
            Event::ClockConfirmed { .. } => self.clock.confirm(now),
            Event::AuthorityMinted { role, record } => self.mint(*role, *record)?,
            Event::CrossSigned { role, record } => self.cross_sign(*role, *record)?,
            Event::AddressAllocated { address } => self.allocate(address)?,
            Event::Observed(observation) => {
                let unreadable = self.observe(observation)?;
                applied.unreadable.extend(unreadable.map(|why| (observation.consumer.clone(), why)));
            }
            Event::TakenDown { consumer, after } => self.take_down(consumer, *after)?,
            Event::Acknowledged { consumer, unit, to, stage, .. } => self.acknowledge(consumer, (*unit, *to), stage)?,
            Event::PoolAdded { pool, max_unavailable } => self.add_pool(pool, *max_unavailable)?,
            Event::ConsumerJoined { consumer, pool, incarnation } => {
                let index = self.topology.admit(consumer.clone(), pool.clone()).map_err(Rejected::Topology)?;
                self.admit(index, *incarnation);
            }
            Event::ConsumerRemoved { consumer } => self.remove(consumer)?,
            Event::ConsumerAbandoned { consumer, .. } => {
                self.remove(consumer)?;
                // At rest nothing is retired over anybody's head, and nodes come and go for years.
                if self.rotating().is_some() {
                    self.abandoned.push(consumer.clone());
                }
            }
            Event::KeyDestroyed { role, version } => self.destroy(*role, *version)?,
            Event::Delivered { delivery, version } => self.delivered(*delivery, *version)?,
            Event::ClusterUpgraded { version } => self.upgraded(version),
            Event::LeavesRenewed { version } => self.renewed(version)?,
        }
        Ok(())
    }

    pub(crate) fn index_of(&self, consumer: &ConsumerId) -> Result<Index, Rejected> {
        self.topology.index(consumer).ok_or_else(|| Rejected::UnknownConsumer(consumer.clone()))
    }

    fn last(&self, index: Index) -> Seen {
        self.seen(index).cloned().unwrap_or_default()
    }

    /// A report that cannot be read is evidence too: whatever its consumer runs with, it is not what it should be.
    fn observe(&mut self, observation: &Observation) -> Result<Option<Unreadable>, Rejected> {
        let (consumer, id) = (&observation.consumer, observation.id);
        let index = self.index_of(consumer)?;
        let last = self.seen(index).map(|seen| seen.id).unwrap_or_default();
        if id <= last && !skips!(self, StaleCounts) {
            return Err(Rejected::Stale { consumer: consumer.clone(), applied: last, found: id });
        }
        let uses = self.topology.uses(consumer.kind());
        let read = uses.ok_or(Unreadable::Incomplete).and_then(|uses| seen::read(observation, uses, &self.tracks));
        let unreadable = read.as_ref().err().cloned();
        let held = match read {
            Ok(held) => held,
            Err(_) if skips!(self, UnreadableIsFine) => {
                self.expected_of(index).map(|fine| fine.want).unwrap_or_default()
            }
            Err(_) => Held::default(),
        };
        let (available, epoch) = (observation.available, observation.epoch);
        self.record(index, Seen { id, held, available, epoch, released: false });
        Ok(unreadable)
    }

    /// One at a time, or as many as its pool allows: whoever takes a consumer down asks first, and the answer is durable
    /// before it is done.
    fn take_down(&mut self, consumer: &ConsumerId, after: ReportId) -> Result<(), Rejected> {
        let index = self.index_of(consumer)?;
        if consumer.kind().plane() == Plane::External {
            return Err(Rejected::Outside(consumer.clone()));
        }
        let last = self.last(index);
        if !may_follow(last.id, after) {
            return Err(Rejected::TooFarAhead { consumer: consumer.clone(), applied: last.id, found: after });
        }
        let class = self.topology.member(index).map(|member| member.class).unwrap_or_default();
        if last.available {
            let away = self.waiting.of(class).map_or(0, |lacking| lacking.away.len());
            let room = self.topology.class(class).map_or(0, |class| self.topology.max_unavailable(class));
            if away >= room && !skips!(self, OutOfTurn) {
                return Err(Rejected::NotItsTurn { consumer: consumer.clone(), away, room });
            }
        }
        // Whoever is away is not disturbed once more, unless it has spoken since: then it may be back.
        if last.available || (after > last.id && !skips!(self, AwayForGood)) {
            // The window may have closed since whoever asks was told to.
            let blocker = self.topology.class(class).and_then(|class| self.blocker(class));
            if let Some(blocker) = blocker {
                return Err(Rejected::Maintenance(blocker));
            }
        }
        self.record(index, Seen { id: last.id.max(after), available: false, ..last });
        Ok(())
    }

    /// What was handed out for an earlier generation is no longer what is to be handed out.
    fn delivered(&mut self, delivery: Delivery, version: CaVersion) -> Result<(), Rejected> {
        if version != self.handed_out() {
            return Err(Rejected::WrongVersion { role: AuthorityRole::Cluster, found: version });
        }
        if self.deliveries.remove(&delivery) { Ok(()) } else { Err(Rejected::NotAwaited) }
    }

    fn acknowledge(
        &mut self,
        consumer: &ConsumerId,
        rotation: (Unit, CaVersion),
        stage: &StageId,
    ) -> Result<(), Rejected> {
        let index = self.index_of(consumer)?;
        if consumer.kind().plane() != Plane::External && !skips!(self, WordForTheObservable) {
            return Err(Rejected::Observable(consumer.clone()));
        }
        let running = self.rotating().map(|rotating| (rotating.unit(), rotating.to));
        let current = self.stage().map(|stage| &stage.id);
        if (running != Some(rotation) || current != Some(stage)) && !skips!(self, WordForAnotherStage) {
            return Err(Rejected::NotInStage { current: current.cloned() });
        }
        self.give(index);
        Ok(())
    }

    /// Takes as given that a consumer which nobody can see runs with what it should.
    pub(crate) fn give(&mut self, index: Index) {
        let held = self.expected_of(index).map(|expected| expected.want).unwrap_or_default();
        let id = self.last(index).id;
        self.record(index, Seen { id, held, available: true, epoch: self.epoch, released: false });
    }

    /// Takes a consumer in: to be seen, or, where nobody can see it, given what is valid now. During a rotation in
    /// which it has a part, that too takes somebody's word.
    pub(super) fn admit(&mut self, index: Index, incarnation: u64) {
        let incarnation = if skips!(self, SameIncarnation) { 0 } else { incarnation };
        let Some(kind) = self.topology.member(index).map(|member| member.id.kind()) else { return };
        // Nobody sees whether a client outside is there: it is, and may lack everything.
        let outside = kind.plane() == Plane::External;
        let id = ReportId { incarnation, sequence: 0 };
        self.record(index, Seen { id, available: outside, ..Seen::default() });
        if outside && !self.rotating().is_some_and(|rotating| self.has_part(kind, rotating.roles())) {
            self.give(index);
        }
    }

    fn add_pool(&mut self, pool: &PoolName, max_unavailable: u32) -> Result<(), Rejected> {
        let room = usize::try_from(max_unavailable).unwrap_or(usize::MAX);
        self.topology.add_pool(pool.clone(), room).map_err(Rejected::Topology)?;
        self.expect_anew();
        Ok(())
    }

    fn remove(&mut self, consumer: &ConsumerId) -> Result<(), Rejected> {
        let removed = self.topology.remove(consumer);
        let (index, member) = removed.ok_or_else(|| Rejected::UnknownConsumer(consumer.clone()))?;
        self.waiting.set(member.class, index, super::Want::Nothing);
        if let Some(slot) = usize::try_from(index).ok().and_then(|at| self.seen.get_mut(at)) {
            *slot = Seen::default();
        }
        Ok(())
    }
}

/// So many reports of a consumer may be on their way at most when it is taken down: ours, and more than any has in a day.
const MAX_LEAD: u64 = 1 << 20;

/// Whether what a consumer is said to have reported last leaves room for what it reports next: else one wrong number
/// would silence it. Of an incarnation that was not heard of yet nothing else is known.
const fn may_follow(applied: ReportId, found: ReportId) -> bool {
    let heard = if found.incarnation > applied.incarnation { 0 } else { applied.sequence };
    found.incarnation < u64::MAX && found.sequence <= heard.saturating_add(MAX_LEAD)
}

/// Whether an event that is taken may change nothing but the clock: if nobody was released, and it left no footprint.
const fn may_be_idle(event: &Event) -> bool {
    matches!(
        event,
        Event::Tick
            | Event::MaintenanceOverridden { .. }
            | Event::CalendarChanged { .. }
            | Event::FreezeChanged { .. }
            | Event::PauseRequested { .. }
            | Event::ResumeRequested { .. }
            | Event::PoolUpgradeRequested { .. }
            | Event::CompletionRequested { .. }
            | Event::AuthorityMinted { .. }
            | Event::CrossSigned { .. }
            | Event::AddressAllocated { .. }
            | Event::KeyDestroyed { .. }
    )
}
