//! Whether the calendar is ever open for what a rotation needs.

use std::collections::BTreeSet;

use time::{Duration, UtcDateTime};

use super::{Rehearsal, RehearsalError};
use crate::machine::{Machine, disturbs, work_of};
use crate::maintenance::{MaintenanceRule, StepKind};
use crate::plan::Plan;

/// Every step that the plan needs and that obeys the calendar must find it open before the expiry.
///
/// The rotation may still not fit: that is seen by going through it.
pub(super) fn check(
    machine: &Machine,
    what: &Rehearsal,
    plan: &Plan,
    (start, expiry): (UtcDateTime, Option<UtcDateTime>),
) -> Result<(), RehearsalError> {
    if what.emergency {
        return Ok(());
    }
    // Keys do not expire: any window will do.
    let deadline = expiry.unwrap_or(UtcDateTime::MAX);
    for step in needed(machine, plan) {
        let obeys = match what.settings.maintenance.rule(step) {
            MaintenanceRule::Respect => true,
            MaintenanceRule::IgnoreWithin(within) => within.is_zero(),
            MaintenanceRule::Ignore => false,
        };
        if obeys && !machine.overrides.is_ordered(step.into()) {
            let calendar = &what.settings.calendar;
            calendar.check_fits(step, start, deadline, Duration::ZERO).map_err(RehearsalError::NoWindow)?;
        }
    }
    Ok(())
}

/// The kinds of steps that disturb somebody who is there.
fn needed(machine: &Machine, plan: &Plan) -> BTreeSet<StepKind> {
    let mut needed = BTreeSet::new();
    for stage in plan.stages() {
        for (number, class) in machine.topology.classes().iter().enumerate() {
            let disturbing = plan.reload(stage, class, &machine.topology).is_some_and(disturbs);
            if disturbing && machine.topology.members_of(number).next().is_some() {
                let work = work_of(class);
                needed.extend(work.map(|work| work.kind()));
            }
        }
    }
    needed
}
