//! A certificate says that it is valid for longer than its issuer.

use std::sync::Arc;

use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.outlives_issuer",
    severity: Severity::Warn,
    summary: "a certificate is valid for longer than its issuer",
    applies_to: "leaves whose issuer was read",
    rationale: "It ends when its issuer ends, earlier than it says: whoever watches the dates of leaves alone is \
                surprised, and all of them end at once.",
    remediation: "Rotate the authority before its end; issue leaves no longer than their issuer.",
    source: "RFC 5280 6.1; kubernetes/kubeadm#2027",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(context: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, outcomes: &mut Outcomes) -> Judged {
    let view = certificate.view();
    match context.chains.issuers.issuer_of(view) {
        Some(issuer) if issuer.not_after < view.not_after => Judged::Fail(
            format!("`notAfter` until {}, as `{}`", crate::moment(issuer.not_after), issuer.subject.text),
            crate::moment(view.not_after),
        ),
        Some(_) => Judged::Pass,
        None => {
            outcomes.missing(format!("the issuer of {} of {}", leaf.kind, leaf.component));
            Judged::Skip
        }
    }
}

#[cfg(test)]
mod tests {
    use pki_core::{LeafKind, TrustSlot};

    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, bundle, chain, findings};
    use crate::checks::testing::{Case, NOW, run};

    fn case(ca: &Ca, last: i64) -> Case {
        let mut case = Case::default();
        let leaf = ca.issue(&Draft { last, ..Draft::of(LeafKind::KubeletClient) });
        case.kubelet().leaves.insert(LeafKind::KubeletClient, chain(vec![leaf]));
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[ca]));
        case
    }

    #[test]
    fn fails_by_a_second() {
        let ca = Ca::between("ca", NOW - 100, NOW + 100);
        assert_eq!(
            findings(&CHECK, &case(&ca, NOW + 101)),
            ["kubelet node-1 kubelet-client: expected `notAfter` until 2026-01-01T00:01:40Z, as `CN=ca`, \
              found 2026-01-01T00:01:41Z"]
        );
    }

    #[test]
    fn passes_when_both_end_together() {
        assert!(findings(&CHECK, &case(&Ca::between("ca", NOW - 100, NOW + 100), NOW + 100)).is_empty());
    }

    #[test]
    fn is_not_evaluated_without_the_issuer() {
        let mut case = case(&Ca::new("ca"), NOW + 100);
        case.model.api_servers.clear();
        assert!(run(&CHECK, &case).contains(&"not evaluated: the issuer of kubelet-client of kubelet".to_owned()));
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
