//! A rotation, gone through before it begins.
//!
//! The real machine is copied and driven to the end, with a cluster that does what it is told and a clock that jumps from
//! one thing that happens to the next. So a rehearsal knows nothing of its own about plans, windows or turns: what it says
//! is what the machine would do if every restart took as long as is assumed, and nothing went wrong.

mod assumptions;
mod calendar;
mod honest;
mod latest;
mod record;
mod run;
mod text;
mod timeline;

use core::fmt;
use std::sync::Arc;

use pki_core::{AuthorityRole, TrustSlot};
use time::{Duration, UtcDateTime};

use self::run::{Run, Until};
use crate::facet::Facet;
use crate::insight::Insight;
use crate::machine::{Blocked, Machine, Phase};
use crate::maintenance::{Calendar, CalendarError, MaintenancePolicy, Rfc3339};
use crate::plan::{Plan, StageId, Step};
use crate::policy::{Unit, units};
use crate::rejected::Rejected;
use crate::settings::Settings;
use crate::strategy::Strategy;
use crate::topology::ConsumerId;

pub use self::assumptions::{Assumptions, HardCoded};
pub use self::timeline::{BlockedTime, ComponentWork, NodeWork, Outage, StageSpan, Timeline};

/// What is rehearsed: a unit of a cluster, as it is set up or otherwise.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    unit: Unit,
    settings: Settings,
    emergency: bool,
}

impl Rehearsal {
    /// A rotation of this unit as the cluster is set up.
    #[must_use]
    pub fn of(machine: &Machine, unit: Unit) -> Self {
        Self { unit, settings: machine.settings().clone(), emergency: false }
    }

    /// The same under other settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The same in another order.
    #[must_use]
    pub fn with_strategy(self, strategy: Strategy) -> Self {
        Self { settings: self.settings.with_strategy(strategy), ..self }
    }

    /// The same with other windows and exclusions.
    #[must_use]
    pub fn with_calendar(self, calendar: Calendar) -> Self {
        Self { settings: Settings { calendar, ..self.settings }, ..self }
    }

    /// The same with another say of the calendar.
    #[must_use]
    pub fn with_maintenance(self, maintenance: MaintenancePolicy) -> Self {
        Self { settings: Settings { maintenance, ..self.settings }, ..self }
    }

    /// The emergency order, as if the keys were suspect.
    #[must_use]
    pub fn in_an_emergency(self) -> Self {
        Self { emergency: true, ..self }
    }

    /// The settings under which it is rehearsed.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Goes through a rotation that somebody asks for at `start`, or, where the unit rotates by itself, that the clock begins
/// from then on. One that is running already is gone through to its end.
///
/// One that is late is gone through all the same, past the expiry, as if it could go on and a user completed it: so one
/// sees by how much. Consumers that are not in order when it begins are taken to be by then, and [listed](Timeline::assumed_in_order). A
/// rehearsal asks nobody and changes nothing; the same arguments give the same timeline.
///
/// The [latest start](Timeline::latest_start) that still completes in time is looked for with the same rehearsal: from the
/// time that this one takes, then by halves down to the hour. Each half is sound as far as whoever begins later does not
/// complete earlier; that can fail by one interval between two attempts to complete, which count from the start. The start
/// that is given was itself rehearsed and completes in time, so it is safe; a later one may be so too by luck.
///
/// # Errors
/// When the rotation could not begin, or would never come to its end; [`RehearsalError::NoWindow`] when the calendar is
/// never open before the expiry for a step that the rotation needs.
pub fn rehearse(
    machine: &Machine,
    what: &Rehearsal,
    assumptions: &Assumptions,
    start: UtcDateTime,
) -> Result<Timeline, RehearsalError> {
    // Up to a whole second: never before what the machine has seen.
    let whole = start.truncate_to_second();
    let start = if whole == start { whole } else { whole.saturating_add(Duration::SECOND) };
    let known = machine.clock.now();
    if start < known {
        return Err(RehearsalError::BeforeSnapshot { start, known });
    }
    let policies = units(machine.topology.hierarchy());
    let policy = policies.iter().find(|policy| policy.unit == what.unit);
    let policy = policy.ok_or(RehearsalError::Rejected(Rejected::UnknownUnit(what.unit)))?;
    let (rehearsed, assumed_in_order) = prepared(machine, what, start)?;
    let facts = rehearsed.facts(what.unit);
    let expiry = facts.map(|facts| facts.expiry());
    let plan = plan(&rehearsed, what, &policy.roles)?;
    calendar::check(&rehearsed, what, &plan, (start, expiry))?;

    let mut run = Run::new(rehearsed.clone(), what, assumptions, start);
    run.drive(Until::Completed)?;
    let thresholds = what.settings.thresholds(rehearsed.topology.hierarchy(), policy);
    let told = facts.and_then(|facts| Insight::of(&rehearsed.cluster, &thresholds, &facts, start));
    let mut timeline = timeline::of(run, what, &plan, (start, expiry), told)?;
    timeline.losses = match what.emergency {
        true => plan.losses(&rehearsed.topology, &policy.roles).map_err(|error| {
            RehearsalError::Rejected(Rejected::Strategy(crate::strategy::StrategyError::Unlawful(error)))
        })?,
        false => Vec::new(),
    };
    timeline.outages.extend(timeline::announced(machine, assumptions, &plan, &policy.roles, &timeline.stages));
    timeline.assumed_in_order = assumed_in_order;
    let takes = timeline.completes - timeline.begins;
    timeline.latest_start = latest::start(&rehearsed, what, assumptions, (start, expiry), takes);
    Ok(timeline)
}

/// A copy of the machine under the settings of the rehearsal, with everybody in order who will have to be, and who was
/// not.
fn prepared(
    machine: &Machine,
    what: &Rehearsal,
    start: UtcDateTime,
) -> Result<(Machine, Vec<ConsumerId>), RehearsalError> {
    let mut copy = machine.clone();
    let mut settings = what.settings.clone();
    // A simulated clock is right however far it jumps.
    settings.clock.step = Duration::MAX;
    copy.settings = Arc::new(settings);
    if let Phase::Rotating(rotating) = &copy.phase {
        let to = rotating.to;
        return if rotating.unit() == what.unit && rotating.is_emergency() == what.emergency {
            Ok((copy, Vec::new()))
        } else {
            Err(RehearsalError::Rejected(Rejected::InProgress { to }))
        };
    }
    let lacking: Vec<ConsumerId> = copy.waiting().cloned().collect();
    for consumer in &lacking {
        let target = copy.topology.index(consumer).and_then(|index| copy.target(index));
        if let Some(report) = target.and_then(|target| honest::report(&copy, &target)) {
            copy.apply(&crate::event::Event::Observed(report), start).map_err(RehearsalError::Rejected)?;
        }
    }
    Ok((copy, lacking))
}

fn plan(machine: &Machine, what: &Rehearsal, roles: &[AuthorityRole]) -> Result<Plan, RehearsalError> {
    let planned = match &machine.phase {
        Phase::Rotating(rotating) => return Ok(rotating.plan().clone()),
        Phase::Stable if what.emergency => Plan::emergency(&machine.topology, roles),
        Phase::Stable => what.settings.strategy.plan(&machine.topology, roles),
    };
    planned.map_err(|error| RehearsalError::Rejected(Rejected::Strategy(error)))
}

/// The stage from which on a bundle holds the next generation only.
fn drops(plan: &Plan, slot: TrustSlot) -> Option<&StageId> {
    let drops = |stage: &&crate::plan::Stage| {
        stage.step() == Step::TrustNext && stage.changes().iter().any(|change| change.facet == Facet::Trusts(slot))
    };
    plan.stages().iter().find(drops).map(crate::plan::Stage::id)
}

/// Why there is no timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RehearsalError {
    /// The machine knows of a later time.
    BeforeSnapshot {
        /// When the rotation was to begin.
        start: UtcDateTime,
        /// The latest time that the machine believes.
        known: UtcDateTime,
    },
    /// The rotation would not begin.
    Rejected(Rejected),
    /// The calendar is never open before the expiry for a step that the rotation needs, and the step obeys it.
    NoWindow(CalendarError),
    /// A step is blocked, and waiting does not help: an endless exclusion, or a freeze.
    NeverOpen(Blocked),
    /// Somebody outside must be given something, and nobody is assumed to say that it was done.
    NobodySays {
        /// Who waits for it.
        consumer: ConsumerId,
        /// Since when.
        since: UtcDateTime,
    },
    /// Everything is ready to complete; nobody is assumed to ask, and no attempt is to come.
    NobodyCompletes {
        /// Since when.
        since: UtcDateTime,
    },
    /// The rotation is paused.
    Paused,
    /// The unit is not rotated: nothing to be done is left, and nothing is running.
    NeverBegins,
    /// It does not come to its end, in the stage that is named.
    Stuck {
        /// The stage.
        stage: Option<StageId>,
        /// When nothing went on any more.
        since: UtcDateTime,
    },
}

impl fmt::Display for RehearsalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeSnapshot { start, known } => {
                write!(f, "{} lies before {}, which the machine has seen", Rfc3339(*start), Rfc3339(*known))
            }
            Self::Rejected(rejected) => write!(f, "the rotation would not begin: {rejected}"),
            Self::NoWindow(error) => write!(f, "{error}"),
            Self::NeverOpen(Blocked { step, pool, why, .. }) => {
                write!(f, "`{step}`")?;
                pool.iter().try_for_each(|pool| write!(f, " of the pool `{pool}`"))?;
                write!(f, " would wait for ever: {why}")
            }
            Self::NobodySays { consumer, since } => {
                write!(f, "`{consumer}` waits from {} on for what nobody is assumed to give it", Rfc3339(*since))
            }
            Self::NobodyCompletes { since } => write!(
                f,
                "from {} on everything is ready to complete; nobody is assumed to ask for it, and no attempt is due",
                Rfc3339(*since)
            ),
            Self::Paused => f.write_str("the rotation is paused, and nobody is assumed to resume it"),
            Self::NeverBegins => f.write_str("the unit expires never, so the clock never begins its rotation"),
            Self::Stuck { stage: Some(stage), since } => {
                write!(f, "nothing goes on in `{stage}` from {} on", Rfc3339(*since))
            }
            Self::Stuck { stage: None, since } => write!(f, "nothing goes on from {} on", Rfc3339(*since)),
        }
    }
}

impl core::error::Error for RehearsalError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::NoWindow(error) => Some(error),
            _ => None,
        }
    }
}
