//! A certificate has expired.

use std::sync::Arc;

use super::{Left, judge_left};
use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.expired",
    severity: Severity::Error,
    summary: "a certificate has expired",
    applies_to: "leaves that were read",
    rationale: "Everybody refuses it. A kubelet whose client certificate has expired cannot ask for another one \
                and has to bootstrap anew.",
    remediation: "Renew the certificate; have the kubelet bootstrap anew with a token.",
    source: "RFC 5280 6.1.3 (a) (2); kubernetes/kubernetes#65991",
    channels: &[],
    run: Run::Leaf(run),
};

const EXPECTED: &str = "a certificate that is valid";

fn run(context: &Context<'_>, _: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    judge_left(context, certificate, Left::Nothing, EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::leaf::testing;

    #[test]
    fn fails_once_the_last_second_has_passed() {
        let line = format!("kubelet node-1 kubelet-client: expected {EXPECTED}, found `notAfter` 2025-12-31T23:59:59Z");
        testing::fails_with_left(&CHECK, -1, -1, &line);
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
