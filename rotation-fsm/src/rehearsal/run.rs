//! Going through it: what happens next, and when.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, CaVersion, Plane};
use time::{Duration, UtcDateTime};

use super::record::Record;
use super::{Assumptions, Rehearsal, RehearsalError, honest};
use crate::action::{Action, ConsumerTarget};
use crate::event::{Event, Operator};
use crate::machine::{Blocked, Machine, Phase, Rotating};
use crate::maintenance::{Permit, StepKind, Work};
use crate::plan::StageId;
use crate::policy::{Trigger, Unit, units};
use crate::rejected::Rejected;
use crate::settings::Release;
use crate::topology::{ConsumerId, Reload};

/// So often in a row the clock may bring nothing at all. A calendar that opens every day does so for more than a century.
const IDLE_MAX: u32 = 50_000;

/// How far it is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Completed,
    /// Completed, or this is reached.
    Instant(UtcDateTime),
}

/// Something that is being done.
#[derive(Debug)]
enum Job {
    Mint(AuthorityRole, CaVersion),
    CrossSign(AuthorityRole, CaVersion, CaVersion),
    Address,
    Destroy(AuthorityRole, CaVersion),
    /// Consumers come up with what they were given.
    TakeUp(Vec<ConsumerTarget>),
    Word(ConsumerId, Unit, CaVersion, StageId),
}

/// Whom a job is about: nobody is worked on twice at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Authority(AuthorityRole),
    Address,
    Consumer(ConsumerId),
}

pub(super) struct Run<'a> {
    pub(super) machine: Machine,
    what: &'a Rehearsal,
    assumptions: &'a Assumptions,
    start: UtcDateTime,
    now: UtcDateTime,
    /// By when each is done, and then by the order in which they were begun.
    in_hand: BTreeMap<(UtcDateTime, u64), (Vec<Subject>, Job)>,
    begun: u64,
    busy: BTreeSet<Subject>,
    /// When a user will ask to complete.
    request: Option<UtcDateTime>,
    pub(super) record: Record,
}

impl<'a> Run<'a> {
    pub(super) fn new(machine: Machine, what: &'a Rehearsal, assumptions: &'a Assumptions, start: UtcDateTime) -> Self {
        Self {
            machine,
            what,
            assumptions,
            start,
            now: start,
            in_hand: BTreeMap::new(),
            begun: 0,
            busy: BTreeSet::new(),
            request: None,
            record: Record::default(),
        }
    }

    /// Whether the unit completed, as far as it was gone through.
    pub(super) fn drive(&mut self, until: Until) -> Result<bool, RehearsalError> {
        self.begin()?;
        let mut idle = 0;
        loop {
            self.begin_pending();
            if self.record.completes.is_some() {
                return Ok(true);
            }
            let blocked = self.machine.blocked();
            let next = self.next_instant(blocked.as_ref()).ok_or_else(|| self.stuck(blocked.clone()))?;
            if matches!(until, Until::Instant(end) if next >= end) {
                return Ok(false);
            }
            self.account(blocked.as_ref(), next);
            self.now = next;
            idle = if self.finish_due() { 0 } else { idle + 1 };
            if idle > IDLE_MAX {
                return Err(RehearsalError::Stuck { stage: self.stage(), since: self.now });
            }
            self.read_clock();
        }
    }

    fn begin(&mut self) -> Result<(), RehearsalError> {
        if self.machine.rotating().is_some() {
            self.record.begins = Some(self.now);
            return Ok(());
        }
        let unit = self.what.unit;
        let policies = units(self.machine.topology.hierarchy());
        let trigger = policies.iter().find(|policy| policy.unit == unit).map(|policy| policy.trigger);
        let event = match trigger {
            _ if self.what.emergency => {
                let policy = policies.iter().find(|policy| policy.unit == unit);
                let role = policy.and_then(|policy| policy.roles.first().copied());
                let active = role.and_then(|role| self.machine.authority(role));
                let suspect = active.map_or(CaVersion::FIRST, |record| record.version);
                Event::EmergencyDeclared { unit, suspect, by: rehearsal() }
            }
            Some(Trigger::Automatic { .. }) => Event::Tick,
            _ => Event::RotationRequested { unit },
        };
        self.apply(&event).map_err(RehearsalError::Rejected)
    }

    /// Applies an event, and writes down what it meant for the rotation that is rehearsed.
    fn apply(&mut self, event: &Event) -> Result<(), Rejected> {
        let before = self.is_own();
        let applied = self.machine.apply(event, self.now)?;
        if !before && self.is_own() {
            self.record.begins = Some(self.now);
        }
        if before {
            applied.stages_ended.iter().for_each(|stage| self.record.stage_ended(stage, self.now));
            self.record.left_behind.extend(applied.released);
            if applied.completed {
                self.record.completes = Some(self.now);
            }
        }
        Ok(())
    }

    /// Whether the rotation that runs is the one that is rehearsed: another may be due before it.
    fn is_own(&self) -> bool {
        self.machine.rotating().is_some_and(|rotating| rotating.unit() == self.what.unit)
    }

    /// Begins whatever is pending and not begun.
    fn begin_pending(&mut self) {
        let pending: Vec<Action> = self.machine.pending_actions().collect();
        for action in pending {
            self.begin_action(action);
        }
    }

    fn begin_action(&mut self, action: Action) {
        let quick = self.assumptions.authority;
        match action {
            Action::EnsureAuthority { role, version, .. } => {
                self.hand_out(vec![Subject::Authority(role)], Job::Mint(role, version), quick);
            }
            Action::EnsureCrossCertificate { role, version, by, .. } => {
                self.hand_out(vec![Subject::Authority(role)], Job::CrossSign(role, version, by), quick);
            }
            Action::EnsureAddress { .. } => self.hand_out(vec![Subject::Address], Job::Address, quick),
            Action::EnsureKeyDestroyed { role, version, .. } => {
                self.hand_out(vec![Subject::Authority(role)], Job::Destroy(role, version), quick);
            }
            Action::RecreateNode { targets, .. } => self.disturb(targets, Reload::Recreate),
            Action::EnsureConsumer { target, .. } => {
                let reload = target.reload;
                self.disturb(vec![target], reload);
            }
            Action::AwaitAcknowledgement { unit, to, stage, target, .. } => {
                let Some(word) = self.assumptions.word else { return };
                let subject = Subject::Consumer(target.consumer.clone());
                if !self.busy.contains(&subject) {
                    if self.is_own() {
                        self.record.asked();
                    }
                    self.hand_out(vec![subject], Job::Word(target.consumer, unit, to, stage), word);
                }
            }
            // What is handed out after a rotation, and renewed after an upgrade, holds nothing up.
            Action::EnsureDelivered { .. } | Action::EnsureLeavesRenewed { .. } => {}
        }
    }

    /// Has consumers load something: at once, or after each was taken down in its turn.
    fn disturb(&mut self, targets: Vec<ConsumerTarget>, reload: Reload) {
        let subjects: Vec<_> = targets.iter().map(|target| Subject::Consumer(target.consumer.clone())).collect();
        if subjects.iter().any(|subject| self.busy.contains(subject)) {
            return;
        }
        let takes = match reload {
            Reload::Restart => self.assumptions.restart,
            Reload::Recreate => self.assumptions.recreation,
            _ => self.assumptions.reload,
        };
        if matches!(reload, Reload::Restart | Reload::Recreate) {
            for (place, target) in targets.iter().enumerate() {
                let consumer = &target.consumer;
                let last = self.machine.topology.index(consumer).and_then(|index| self.machine.seen(index));
                let after = last.map(|seen| seen.id).unwrap_or_default();
                let down = self.apply(&Event::TakenDown { consumer: consumer.clone(), after });
                // Not its turn. What goes down with its node is not asked.
                if down.is_err() && place == 0 {
                    return;
                }
                if self.is_own() {
                    self.record.disturbed(consumer, self.machine.topology.pool_of(consumer), reload);
                }
            }
        }
        self.hand_out(subjects, Job::TakeUp(targets), takes);
    }

    fn hand_out(&mut self, subjects: Vec<Subject>, job: Job, takes: Duration) {
        if subjects.iter().any(|subject| self.busy.contains(subject)) {
            return;
        }
        self.busy.extend(subjects.iter().cloned());
        // Nothing takes no time, or the clock would stand still.
        let done = self.now.saturating_add(takes.max(Duration::SECOND));
        self.in_hand.insert((done, self.begun), (subjects, job));
        self.begun += 1;
    }

    /// Finishes what is done by now; whether there was anything.
    fn finish_due(&mut self) -> bool {
        let mut any = false;
        while let Some(entry) = self.in_hand.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (subjects, job) = entry.remove();
            subjects.iter().for_each(|subject| {
                self.busy.remove(subject);
            });
            self.finish(job);
            any = true;
        }
        any
    }

    /// An honest cluster is never refused but where the machine has moved on without it, which is no harm.
    fn finish(&mut self, job: Job) {
        let event = match job {
            Job::Mint(role, version) => {
                let lifetime = self.machine.topology.hierarchy().ca_lifetime(role);
                let not_after = lifetime.map(|lifetime| self.now.saturating_add(lifetime));
                honest::record(&self.machine.cluster, role, version, not_after)
                    .map(|record| Event::AuthorityMinted { role, record })
            }
            Job::CrossSign(role, version, by) => {
                let record = honest::cross_record(&self.machine, role, (version, by));
                Some(Event::CrossSigned { role, record })
            }
            Job::Address => honest::address(&self.machine).map(|address| Event::AddressAllocated { address }),
            Job::Destroy(role, version) => Some(Event::KeyDestroyed { role, version }),
            Job::Word(consumer, unit, to, stage) => {
                Some(Event::Acknowledged { consumer, unit, to, stage, by: rehearsal() })
            }
            Job::TakeUp(targets) => {
                for target in targets {
                    if let Some(report) = honest::report(&self.machine, &target) {
                        let _late = self.apply(&Event::Observed(report));
                    }
                }
                None
            }
        };
        if let Some(event) = event {
            let _late = self.apply(&event);
        }
    }

    /// What the time alone brings, and a user who asks to complete.
    fn read_clock(&mut self) {
        let _never_refused = self.apply(&Event::Tick);
        let Some(rotating) = self.machine.rotating().filter(|rotating| rotating.is_at_gate()) else { return };
        let Some(after) = self.assumptions.completion.or_else(|| self.too_late(rotating)) else { return };
        let due = *self.request.get_or_insert_with(|| self.now.saturating_add(after));
        if self.now >= due {
            let _not_yet = self.apply(&Event::CompletionRequested { unit: self.what.unit });
        }
    }

    /// No attempt is made after the expiry. To say by how much it is late, it is gone on with as if a user completed it.
    fn too_late(&self, rotating: &Rotating) -> Option<Duration> {
        let thresholds = self.what.settings.thresholds(self.machine.topology.hierarchy(), &rotating.policy);
        let attempted = thresholds.spec().completion_attempt_after_start.is_some();
        let expired = self.machine.expiry(&rotating.policy).is_some_and(|expiry| expiry <= self.now);
        (attempted && expired).then_some(Duration::ZERO)
    }

    /// The next instant at which anything happens.
    fn next_instant(&self, blocked: Option<&Blocked>) -> Option<UtcDateTime> {
        let done = self.in_hand.keys().next().map(|(done, _)| *done);
        let by_clock = [
            self.machine.next_threshold(),
            blocked.and_then(|blocked| blocked.until),
            self.completion_blocked().and_then(|blocked| blocked.until),
            self.request,
        ];
        let by_clock = by_clock.into_iter().flatten().filter(|instant| *instant > self.now).min();
        done.into_iter().chain(by_clock.map(|instant| self.read_at(instant))).min()
    }

    /// When the clock is read next, at `instant` or later.
    fn read_at(&self, instant: UtcDateTime) -> UtcDateTime {
        let tick = self.assumptions.tick.whole_seconds().max(1);
        let passed = (instant - self.start).whole_seconds();
        let readings = passed.div_euclid(tick) + i64::from(passed.rem_euclid(tick) > 0);
        self.start.saturating_add(Duration::seconds(readings.saturating_mul(tick)))
    }

    /// What keeps an attempt to complete waiting for the calendar. One that finds it open and fails still leaves behind
    /// whom nobody has given anything, so it matters before everything is ready too.
    fn completion_blocked(&self) -> Option<Blocked> {
        let rotating = self.machine.rotating().filter(|rotating| !rotating.may_complete && !rotating.is_paused())?;
        let thresholds = self.what.settings.thresholds(self.machine.topology.hierarchy(), &rotating.policy);
        let first = rotating.started().saturating_add(thresholds.spec().completion_attempt_after_start?);
        let expiry = self.machine.expiry(&rotating.policy)?;
        if self.now < first {
            return None;
        }
        let settings = self.machine.settings();
        let work = Work::step(StepKind::Complete);
        match settings.maintenance.decide(&settings.calendar, work, self.now, expiry, &self.machine.overrides) {
            Permit::Blocked { why, until } => Some(Blocked { step: StepKind::Complete, pool: None, why, until }),
            Permit::Allowed(_) => None,
        }
    }

    /// Writes down what the calendar blocks until `next`.
    fn account(&mut self, blocked: Option<&Blocked>, next: UtcDateTime) {
        if !self.is_own() {
            return;
        }
        if let Some(blocked) = blocked {
            self.record.blocked(blocked, self.now, next);
        } else if self.in_hand.is_empty()
            && let Some(blocked) = self.completion_blocked()
        {
            self.record.blocked(&blocked, self.now, next);
        }
    }

    fn stage(&self) -> Option<StageId> {
        self.machine.stage().map(|stage| stage.id().clone())
    }

    /// Why nothing is to come any more.
    fn stuck(&self, blocked: Option<Blocked>) -> RehearsalError {
        let since = self.now;
        let Phase::Rotating(rotating) = &self.machine.phase else { return RehearsalError::NeverBegins };
        if rotating.is_paused() {
            return RehearsalError::Paused;
        }
        if let Some(blocked) = blocked {
            return RehearsalError::NeverOpen(blocked);
        }
        let mut waiting = self.machine.waiting();
        let outside = waiting.find(|consumer| consumer.kind().plane() == Plane::External);
        match outside {
            Some(consumer) if self.machine.settings.release == Release::ByWord => {
                RehearsalError::NobodySays { consumer: consumer.clone(), since }
            }
            Some(_) => RehearsalError::NobodyCompletes { since },
            None if rotating.is_at_gate() => RehearsalError::NobodyCompletes { since },
            None => RehearsalError::Stuck { stage: self.stage(), since },
        }
    }
}

fn rehearsal() -> Operator {
    "rehearsal".to_owned()
}
