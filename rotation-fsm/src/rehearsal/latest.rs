//! The latest start that still completes before the expiry.

use time::{Duration, UtcDateTime};

use super::run::{Run, Until};
use super::{Assumptions, Rehearsal};
use crate::machine::Machine;
use crate::policy::{Trigger, units};

const HOUR: i64 = 3_600;

/// By halves, between a start that fits and one that does not. The first guess lies as long before the expiry as the
/// rotation takes when it begins at `start`; how far to either side the other end lies is found by doubling.
pub(super) fn start(
    machine: &Machine,
    what: &Rehearsal,
    assumptions: &Assumptions,
    (start, expiry): (UtcDateTime, Option<UtcDateTime>),
    takes: Duration,
) -> Option<UtcDateTime> {
    let expiry = expiry?;
    let policies = units(machine.topology.hierarchy());
    let by_user = policies.iter().any(|policy| policy.unit == what.unit && policy.trigger == Trigger::User);
    if !by_user || what.emergency || machine.rotating().is_some() || start.saturating_add(takes) >= expiry {
        return None;
    }
    // Hours after the start that was rehearsed, which fits.
    let last = (expiry - start).whole_seconds() / HOUR + 1;
    let fits = |hours: i64| {
        let begin = start.saturating_add(Duration::seconds(hours * HOUR));
        begin < expiry && Run::new(machine.clone(), what, assumptions, begin).drive(Until::Instant(expiry)) == Ok(true)
    };
    let guess = ((expiry - takes - start).whole_seconds() / HOUR).clamp(0, last);
    let (mut fit, mut late) = (0, last);
    let mut stride = 24;
    if fits(guess) {
        fit = guess;
        while fit + stride < late && fits(fit + stride) {
            (fit, stride) = (fit + stride, stride * 2);
        }
        late = late.min(fit + stride);
    } else {
        late = guess;
        while late - stride > fit && !fits(late - stride) {
            (late, stride) = (late - stride, stride * 2);
        }
        fit = fit.max(late - stride);
    }
    while late - fit > 1 {
        let middle = fit + (late - fit) / 2;
        if fits(middle) { fit = middle } else { late = middle }
    }
    Some(start.saturating_add(Duration::seconds(fit * HOUR)))
}
