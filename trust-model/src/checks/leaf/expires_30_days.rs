//! A certificate should have been renewed by now.

use std::sync::Arc;

use super::{Left, judge_left};
use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.expires_30_days",
    severity: Severity::Warn,
    summary: "a certificate expires within 30 days, or within a tenth of its life",
    applies_to: "leaves that were read",
    rationale: "A kubelet renews its certificates before that, and whoever renews by hand has a month to do it. \
                That nobody has says that the renewal does not work.",
    remediation: "Renew the certificate (kubeadm: `kubeadm certs renew`), or see why the kubelet does not: \
                  `rotateCertificates`, and requests that nobody approves.",
    source: "Kubernetes documentation, Certificate management with kubeadm; client-go certificate manager",
    channels: &[],
    run: Run::Leaf(run),
};

const EXPECTED: &str = "more than 30 days, or a tenth of its life";

fn run(context: &Context<'_>, _: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    judge_left(context, certificate, Left::Days30, EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::leaf::testing;

    #[test]
    fn fails_within_30_days_or_a_tenth() {
        let line = format!("kubelet node-1 kubelet-client: expected {EXPECTED}, found `notAfter` 2026-01-31T00:00:00Z");
        testing::fails_with_left(&CHECK, 30 * 86_400, 8_640, &line);
    }

    #[test]
    fn leaves_what_has_less_to_another() {
        testing::passes_with_left(&CHECK, 7 * 86_400);
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
