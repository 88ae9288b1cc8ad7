//! A certificate is not valid yet.

use std::sync::Arc;

use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.not_yet_valid",
    severity: Severity::Error,
    summary: "a certificate is not valid yet",
    applies_to: "leaves that were read",
    rationale: "Everybody refuses it until then. Mostly the clock of whoever signed it is wrong, or that of \
                whoever audits.",
    remediation: "Set the clocks right, and issue the certificate anew.",
    source: "RFC 5280 6.1.3 (a) (2)",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(context: &Context<'_>, _: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    let not_before = certificate.view().not_before;
    if not_before <= context.now {
        return Judged::Pass;
    }
    Judged::Fail("a certificate that is valid".to_owned(), format!("`notBefore` {}", crate::moment(not_before)))
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Draft, findings};
    use crate::checks::testing::NOW;

    fn from(first: i64) -> Draft {
        Draft { first, ..Draft::of(LeafKind::KubeletClient) }
    }

    #[test]
    fn fails_before_the_first_second() {
        assert_eq!(
            findings(&CHECK, &testing::kubelet(&from(NOW + 1))),
            ["kubelet node-1 kubelet-client: expected a certificate that is valid, \
              found `notBefore` 2026-01-01T00:00:01Z"]
        );
    }

    #[test]
    fn passes_in_the_first_second() {
        assert!(findings(&CHECK, &testing::kubelet(&from(NOW))).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
