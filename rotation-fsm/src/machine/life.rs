//! What the time and the calendar have to say.

use std::sync::Arc;

use pki_core::Plane;
use time::{Duration, UtcDateTime};

use super::{Applied, Machine, Phase};
use crate::delivery::ClusterVersion;
use crate::maintenance::{Blocker, Calendar, Permit, StepKind, Work};
use crate::policy::{Unit, UnitPolicy, units};
use crate::rejected::Rejected;
use crate::schedule::{Due, Facts, Progress, Standing};
use crate::settings::Settings;
use crate::topology::{Class, Index, PoolName, Reload};

/// Within so long after an upgrade the leaves of a cluster are renewed (GDC).
const LEAF_RENEWAL: Duration = Duration::hours(10);

/// A stage that asks for something which the calendar does not allow now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Which kind of step.
    pub step: StepKind,
    /// Of which pool.
    pub pool: Option<PoolName>,
    /// What is in the way.
    pub why: Blocker,
    /// Until when, if waiting helps.
    pub until: Option<UtcDateTime>,
}

/// How well the credentials of one unit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterHealth {
    /// The unit.
    pub unit: Unit,
    /// Where its credentials stand.
    pub standing: Standing,
    /// When they expire: those of the generation that is replaced, until a rotation completes.
    pub expiry: UtcDateTime,
}

impl Machine {
    /// Begins the first automatic unit that is due and whose consumers are in order, or attempts to complete what runs.
    /// What cannot be begun now is told, and asked again at the next tick.
    pub(super) fn tick(&mut self, applied: &mut Applied) {
        let policies = units(self.topology.hierarchy());
        if let Some(rotating) = self.rotating() {
            if let Some(Due::Completion { attempt }) = self.standing(&rotating.policy).and_then(|standing| standing.due)
            {
                self.attempt_completion(attempt, applied);
            }
            return;
        }
        let due = |policy: &&UnitPolicy| {
            let standing = self.standing(policy);
            standing.is_some_and(|standing| matches!(standing.due, Some(Due::Start { .. })))
        };
        for policy in policies.iter().filter(due).cloned().collect::<Vec<_>>() {
            let unit = policy.unit;
            let expiry = self.expiry(&policy);
            let permit = expiry.map(|expiry| self.decide(Work::step(StepKind::Start), expiry));
            let started = match permit {
                Some(Permit::Blocked { why, .. }) => Err(Rejected::Maintenance(why)),
                _ => self.start(policy, false),
            };
            match started {
                Ok(to) => {
                    applied.started = Some(to);
                    return;
                }
                Err(rejected) => applied.blocked.push((unit, rejected)),
            }
        }
    }

    /// How well the credentials of every unit are, as of the latest time that is believed.
    pub fn health(&self) -> impl Iterator<Item = ClusterHealth> {
        let policies = units(self.topology.hierarchy()).into_owned();
        policies.into_iter().filter_map(|policy| {
            let (standing, expiry) = (self.standing(&policy)?, self.expiry(&policy)?);
            Some(ClusterHealth { unit: policy.unit, standing, expiry })
        })
    }

    /// What there is to know about the life of a unit's credentials.
    #[must_use]
    pub fn facts(&self, unit: Unit) -> Option<Facts> {
        let policy = self.policy(unit).ok()?;
        let progress = match (&self.phase, &self.completed) {
            (Phase::Rotating(rotating), _) if rotating.unit() == unit => {
                Progress::Running { started: rotating.started }
            }
            (_, Some(completed)) if completed.unit == unit && !completed.rolled_back => {
                Progress::Completed { at: completed.at }
            }
            _ => Progress::Idle,
        };
        Some(Facts::new(self.expiry(&policy)?, progress))
    }

    fn standing(&self, policy: &UnitPolicy) -> Option<Standing> {
        let thresholds = self.settings.thresholds(self.topology.hierarchy(), policy);
        Some(thresholds.standing(&self.facts(policy.unit)?, self.clock.now()))
    }

    /// The next instant at which the time alone changes something, or might.
    #[must_use]
    pub fn next_change(&self) -> Option<UtcDateTime> {
        let policies = units(self.topology.hierarchy());
        let opening = self.blocked().and_then(|blocked| blocked.until);
        let attempts = policies.iter().filter_map(|policy| self.attempt_allowed_from(policy));
        // A doubted clock has passed what lies before its reading: that comes when it is believed.
        let passed = |change: &UtcDateTime| self.clock.doubt().is_none_or(|doubt| *change > doubt.to);
        self.next_threshold().into_iter().chain(opening.into_iter().chain(attempts).filter(passed)).min()
    }

    /// The same but for the calendar.
    pub(crate) fn next_threshold(&self) -> Option<UtcDateTime> {
        let policies = units(self.topology.hierarchy());
        let of_unit = |policy: &UnitPolicy| {
            let thresholds = self.settings.thresholds(self.topology.hierarchy(), policy);
            thresholds.next_change(&self.facts(policy.unit)?, self.clock.now())
        };
        // A doubted clock has passed what lies before its reading: that comes when it is believed.
        let doubt = self.clock.doubt();
        let doubted = doubt.map(|doubt| doubt.to.saturating_add(self.settings.clock.stand));
        let changes = policies.iter().filter_map(of_unit);
        changes.filter(|change| doubt.is_none_or(|doubt| *change > doubt.to)).chain(doubted).min()
    }

    /// When the calendar lets something be attempted that is due and that it does not allow now.
    fn attempt_allowed_from(&self, policy: &UnitPolicy) -> Option<UtcDateTime> {
        match (self.rotating(), self.standing(policy)?.due?) {
            (None, Due::Start { .. }) => match self.decide(Work::step(StepKind::Start), self.expiry(policy)?) {
                Permit::Blocked { until, .. } => until,
                Permit::Allowed(_) => None,
            },
            (Some(rotating), Due::Completion { attempt })
                if rotating.unit() == policy.unit && !rotating.may_complete && rotating.attempts < attempt =>
            {
                self.permit_until(Work::step(StepKind::Complete))?.1
            }
            _ => None,
        }
    }

    pub(super) fn decide(&self, work: Work<'_>, expiry: UtcDateTime) -> Permit {
        self.settings.maintenance.decide(&self.settings.calendar, work, self.clock.now(), expiry, &self.overrides)
    }

    /// What keeps a step of the rotation that runs from being done now.
    pub(super) fn permit(&self, work: Work<'_>) -> Option<Blocker> {
        self.permit_until(work).map(|(why, _)| why)
    }

    /// What keeps a consumer of this class from being disturbed by the rotation that runs.
    pub(super) fn blocker(&self, class: &Class) -> Option<Blocker> {
        if skips!(self, WindowIgnored) {
            return None;
        }
        match &class.pool {
            Some(pool) => self.permit(Work::pool(pool)),
            None => self.permit(Work::step(StepKind::ControlPlane)),
        }
    }

    fn permit_until(&self, work: Work<'_>) -> Option<(Blocker, Option<UtcDateTime>)> {
        let rotating = self.rotating().filter(|rotating| !rotating.emergency)?;
        if rotating.commanded && work.kind() == StepKind::ControlPlane {
            return None;
        }
        // Keys do not expire, so nothing is near.
        let expiry = self.expiry(&rotating.policy).unwrap_or(UtcDateTime::MAX);
        match self.decide(work, expiry) {
            Permit::Blocked { why, until } => Some((why, until)),
            Permit::Allowed(_) => None,
        }
    }

    /// What the stage that runs asks for and the calendar does not allow now.
    #[must_use]
    pub fn blocked(&self) -> Option<Blocked> {
        self.topology.classes().iter().enumerate().find_map(|(number, class)| {
            let behind = &self.waiting.of(number)?.behind;
            let work = work_of(class)?;
            let (why, until) = self.permit_until(work)?;
            let disturbed = |index: &Index| self.reload_needed(*index).is_some_and(disturbs);
            let blocked = Blocked { step: work.kind(), pool: class.pool.clone(), why, until };
            behind.iter().any(disturbed).then_some(blocked)
        })
    }

    /// A calendar that says the same changes nothing; another one comes with settings of their own, so that the change
    /// shows without comparing what is in them.
    pub(super) fn change_calendar(&mut self, calendar: &Calendar) {
        if self.settings.calendar != *calendar {
            self.settings = Arc::new(Settings { calendar: calendar.clone(), ..Settings::clone(&self.settings) });
        }
    }

    /// A user recreates the nodes of a pool: whatever the calendar says, and in its turn.
    pub(super) fn upgrade(&mut self, pool: &PoolName) -> Result<(), Rejected> {
        if !self.topology.pools().any(|known| known == pool) {
            return Err(Rejected::UnknownPool(pool.clone()));
        }
        if self.rotating().is_none() {
            return Err(Rejected::NotInStage { current: None });
        }
        self.overrides.order_pool(pool.clone());
        Ok(())
    }

    /// An order that nothing could follow from is refused: while nothing is rotated one to begin can be given, and while
    /// something is all others.
    pub(super) fn override_step(&mut self, step: StepKind) -> Result<(), Rejected> {
        if (step == StepKind::Start) == self.rotating().is_some() {
            return Err(Rejected::NotInStage { current: self.stage().map(|stage| stage.id.clone()) });
        }
        self.overrides.order_step(step);
        Ok(())
    }

    pub(super) fn upgraded(&mut self, version: &ClusterVersion) {
        self.leaf_renewal.due = Some((version.clone(), self.clock.now().saturating_add(LEAF_RENEWAL)));
    }

    pub(super) fn renewed(&mut self, version: &ClusterVersion) -> Result<(), Rejected> {
        if self.leaf_renewal.due.as_ref().is_none_or(|(due, _)| due != version) {
            return Err(Rejected::NotAwaited);
        }
        self.leaf_renewal.due = None;
        self.leaf_renewal.last = Some(version.clone());
        Ok(())
    }
}

pub(crate) fn disturbs(reload: Reload) -> bool {
    matches!(reload, Reload::Restart | Reload::Recreate)
}

/// As what it counts with the calendar to disturb a consumer of this class, whichever stage runs.
pub(crate) fn work_of(class: &Class) -> Option<Work<'_>> {
    match class.kind.plane() {
        Plane::Control => Some(Work::step(StepKind::ControlPlane)),
        Plane::Data => class.pool.as_ref().map(Work::pool),
        _ => None,
    }
}
