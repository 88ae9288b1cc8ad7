//! An authority expires within 30 days.

use super::{Left, judge};
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "authority.expires_30_days",
    severity: Severity::Warn,
    summary: "an authority expires within 30 days",
    applies_to: "the authorities of the cluster",
    rationale: "At its end every certificate under it ends too, at once. This is when GKE starts a rotation \
                whatever the maintenance windows say.",
    remediation: "Start a rotation of the authority now.",
    source: "GKE documentation, Rotate your cluster credentials; GKE documentation, Certificate authority expiry \
             insights",
    channels: &[],
    run: Run::Cluster(run),
};

const EXPECTED: &str = "more than 30 days";

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    judge(context, outcomes, Left::Days30, EXPECTED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::authority::testing;

    #[test]
    fn fails_to_the_second() {
        testing::fails_exactly_between(&CHECK, 30 * 86_400, 7 * 86_400 + 1, "2026-01-31T00:00:00Z", EXPECTED);
    }

    #[test]
    fn is_not_evaluated_without_authorities() {
        testing::is_not_evaluated_without_authorities(&CHECK);
    }
}
