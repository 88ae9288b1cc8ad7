//! An authority has expired.

use super::{Left, judge};
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "authority.expired",
    severity: Severity::Error,
    summary: "an authority has expired",
    applies_to: "the authorities of the cluster",
    rationale: "Verifiers refuse every certificate under it, so that the paths of the authority are broken.",
    remediation: "Recover the authority: mint the next generation, hand it to every verifier by hand, and issue \
                  the leaves anew.",
    source: "RFC 5280 6.1.3 (a) (2)",
    channels: &[],
    run: Run::Cluster(run),
};

const EXPECTED: &str = "an authority that is valid";

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    judge(context, outcomes, Left::Nothing, EXPECTED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::authority::testing;

    #[test]
    fn fails_once_the_last_second_has_passed() {
        testing::fails_from(&CHECK, -1, "2025-12-31T23:59:59Z", EXPECTED);
    }

    #[test]
    fn is_not_evaluated_without_authorities() {
        testing::is_not_evaluated_without_authorities(&CHECK);
    }
}
