//! A bundle holds a certificate that is no authority.

use super::each;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "anchor.not_a_ca",
    severity: Severity::Warn,
    summary: "a bundle holds a certificate that is no authority",
    applies_to: "bundles that were read",
    rationale: "Nothing chains to it. At best a verifier takes it for that one leaf (Go does), so the leaf cannot \
                be renewed without a change of the bundle; strict verifiers refuse the whole bundle.",
    remediation: "Put the certificate of the issuing authority into the bundle instead.",
    source: "RFC 5280 4.2.1.9",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    each(context, outcomes, |_, anchor| {
        let found = || "a certificate without it".to_owned();
        (!anchor.view().is_ca()).then(|| ("the CA bit of the basic constraints".to_owned(), found()))
    });
}

#[cfg(test)]
mod tests {
    use pki_core::{LeafKind, TrustSlot};

    use super::*;
    use crate::checks::pki::{Ca, Draft, bundle, bundle_of, findings};
    use crate::checks::testing::{Case, run};

    #[test]
    fn fails_for_a_leaf() {
        let ca = Ca::new("ca");
        let leaf = ca.issue(&Draft::of(LeafKind::ApiServer));
        let mut case = Case::default();
        case.kubelet().trusts.insert(TrustSlot::KubeletKubeconfigCa, bundle_of(vec![ca.certificate(), leaf]));
        let found = findings(&CHECK, &case);
        assert_eq!(
            found,
            ["kubelet node-1 kubeconfig certificate-authority CN=kube-apiserver: \
              expected the CA bit of the basic constraints, found a certificate without it"]
        );
    }

    #[test]
    fn passes_for_authorities() {
        let mut case = Case::default();
        case.kubelet().trusts.insert(TrustSlot::KubeletKubeconfigCa, bundle(&[&Ca::new("a"), &Ca::new("b")]));
        assert!(findings(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_bundle_was_not_read() {
        let mut case = Case::default();
        case.kubelet();
        assert!(run(&CHECK, &case).contains(&"not evaluated: kubelet authentication.x509.clientCAFile".to_owned()));
    }
}
