//! A certificate is not what it should be.

use pki_core::inspect::{Remark, Severity as RemarkSeverity};

use super::each;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "certificate.fault",
    severity: Severity::Error,
    summary: "a certificate has a fault for which verifiers refuse it",
    applies_to: "certificates that were read",
    rationale: "Verifiers refuse it, or do not agree about what it says: the one lets in what the other keeps out.",
    remediation: "Issue the certificate anew.",
    source: "RFC 5280 4",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    outcomes.missing.extend(context.chains.unread_leaves.union(&context.chains.unread_bundles).cloned());
    each(context, |certificate, subject| {
        let mut faults = certificate.view().remarks.iter().filter(|remark| is_fault(remark)).peekable();
        if faults.peek().is_none() {
            outcomes.pass();
        }
        for fault in faults {
            let origin = Origin::Observed(certificate.place().clone());
            let (subject, paths) = subject();
            outcomes.fail_on(paths, subject, &origin, "a certificate without faults", fault.to_string());
        }
    });
}

/// Of other remarks other checks speak; and those on the validity at the time of reading are of no time that counts.
fn is_fault(remark: &Remark) -> bool {
    remark.severity() == RemarkSeverity::Fault
        && !matches!(
            remark,
            Remark::Expired { .. }
                | Remark::NotYetValid { .. }
                | Remark::WeakKey { .. }
                | Remark::WeakSignature { .. }
                | Remark::ServerWithoutNames
        )
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::{Case, NOW, run};

    fn case(first: i64, last: i64) -> Case {
        let mut case = Case::default();
        let leaf = Ca::new("ca").issue(&Draft { first, last, ..Draft::of(LeafKind::KubeletClient) });
        case.kubelet().leaves.insert(LeafKind::KubeletClient, chain(vec![leaf]));
        case
    }

    #[test]
    fn fails_for_a_validity_that_ends_before_it_begins() {
        assert_eq!(
            findings(&CHECK, &case(NOW, NOW - 1)),
            ["kubelet node-1 kubelet-client: expected a certificate without faults, \
              found never valid: notAfter lies before notBefore (RFC 5280 4.1.2.5)"]
        );
    }

    /// At the time at which certificates are read, which is none that counts, it is not valid yet.
    #[test]
    fn passes_for_one_that_is_valid() {
        assert!(findings(&CHECK, &case(NOW - 1, NOW)).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        let mut case = Case::default();
        case.kubelet();
        assert!(run(&CHECK, &case).contains(&"not evaluated: certificate kubelet-client of kubelet".to_owned()));
    }
}
