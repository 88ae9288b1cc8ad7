//! A bundle holds an anchor that has expired.

use super::each;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "anchor.expired",
    severity: Severity::Warn,
    summary: "a bundle holds an anchor that has expired",
    applies_to: "bundles that were read",
    rationale: "Some verifiers do not look at the validity of an anchor (rustls-webpki keeps its name and key only) and go on \
                to accept what it signed; others refuse, and the path breaks.",
    remediation: "Remove the certificate from the bundle once no live certificate chains to it.",
    source: "RFC 5280 6.1.1 (d)",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    each(context, outcomes, |_, anchor| {
        let not_after = anchor.view().not_after;
        let expired = not_after < context.now;
        expired.then(|| ("an anchor that is valid".to_owned(), format!("`notAfter` {}", crate::moment(not_after))))
    });
}

#[cfg(test)]
mod tests {
    use pki_core::TrustSlot;

    use super::*;
    use crate::checks::pki::{Ca, bundle, findings};
    use crate::checks::testing::{Case, NOW, run};

    fn case(ca: &Ca) -> Case {
        let mut case = Case::default();
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[ca]));
        case
    }

    #[test]
    fn fails_when_the_last_second_has_passed() {
        let ca = Ca::between("old", NOW - 100, NOW - 1);
        let found = findings(&CHECK, &case(&ca));
        assert_eq!(
            found,
            ["kube-apiserver cp-1 --client-ca-file CN=old: expected an anchor that is valid, \
              found `notAfter` 2025-12-31T23:59:59Z"]
        );
    }

    #[test]
    fn passes_in_the_last_second() {
        assert!(findings(&CHECK, &case(&Ca::between("old", NOW - 100, NOW))).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_bundle_was_not_read() {
        let mut case = Case::default();
        case.api_server();
        assert!(run(&CHECK, &case).contains(&"not evaluated: kube-apiserver --client-ca-file".to_owned()));
    }
}
