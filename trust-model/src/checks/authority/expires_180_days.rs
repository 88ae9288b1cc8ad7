//! An authority expires within 180 days.

use super::{Left, judge};
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "authority.expires_180_days",
    severity: Severity::Notice,
    summary: "an authority expires within 180 days",
    applies_to: "the authorities of the cluster",
    rationale: "A rotation takes weeks: every node is recreated and every client outside gets a new kubeconfig. \
                This is when to plan it.",
    remediation: "Plan a rotation of the authority.",
    source: "GKE documentation, Rotate your cluster credentials; GKE documentation, Certificate authority expiry \
             insights",
    channels: &[],
    run: Run::Cluster(run),
};

const EXPECTED: &str = "more than 180 days";

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    judge(context, outcomes, Left::Days180, EXPECTED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::authority::testing;

    #[test]
    fn fails_to_the_second() {
        testing::fails_exactly_between(&CHECK, 180 * 86_400, 30 * 86_400 + 1, "2026-06-30T00:00:00Z", EXPECTED);
    }

    #[test]
    fn is_not_evaluated_without_authorities() {
        testing::is_not_evaluated_without_authorities(&CHECK);
    }
}
