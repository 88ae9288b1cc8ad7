//! A certificate is about to expire.

use std::sync::Arc;

use super::{Left, judge_left};
use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.expires_7_days",
    severity: Severity::Error,
    summary: "a certificate expires within 7 days, or within a fiftieth of its life",
    applies_to: "leaves that were read",
    rationale: "Its paths break within the week, and whatever was to renew it has not.",
    remediation: "Renew the certificate now, and restart whoever reads it at its start only.",
    source: "Kubernetes documentation, Certificate management with kubeadm; client-go certificate manager",
    channels: &[],
    run: Run::Leaf(run),
};

const EXPECTED: &str = "more than 7 days, or a fiftieth of its life";

fn run(context: &Context<'_>, _: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    judge_left(context, certificate, Left::Days7, EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::leaf::testing;

    #[test]
    fn fails_within_7_days_or_a_fiftieth() {
        let line = format!("kubelet node-1 kubelet-client: expected {EXPECTED}, found `notAfter` 2026-01-08T00:00:00Z");
        testing::fails_with_left(&CHECK, 7 * 86_400, 1_728, &line);
    }

    #[test]
    fn leaves_what_has_less_to_another() {
        testing::passes_with_left(&CHECK, -1);
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
