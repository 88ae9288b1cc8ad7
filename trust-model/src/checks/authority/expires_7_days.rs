//! An authority expires within 7 days.

use super::{Left, judge};
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "authority.expires_7_days",
    severity: Severity::Error,
    summary: "an authority expires within 7 days",
    applies_to: "the authorities of the cluster",
    rationale: "What is left may not suffice for a rotation, and a cluster whose authority has expired may be \
                unrecoverable.",
    remediation: "Rotate the authority now, and do not wait for maintenance windows.",
    source: "GKE documentation, Rotate your cluster credentials; GKE documentation, Certificate authority expiry \
             insights",
    channels: &[],
    run: Run::Cluster(run),
};

const EXPECTED: &str = "more than 7 days";

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    judge(context, outcomes, Left::Days7, EXPECTED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::authority::testing;

    #[test]
    fn fails_to_the_second() {
        testing::fails_exactly_between(&CHECK, 7 * 86_400, 0, "2026-01-08T00:00:00Z", EXPECTED);
    }

    #[test]
    fn is_not_evaluated_without_authorities() {
        testing::is_not_evaluated_without_authorities(&CHECK);
    }
}
