//! A certificate of the cluster that nothing of the cluster uses.

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.unmanaged",
    severity: Severity::Warn,
    summary: "a certificate of the cluster's authorities that nothing of the cluster uses",
    applies_to: "certificates that no component was seen to use",
    rationale: "No rotation renews it: with the authority it ends, and whoever uses it stops. Nobody knows who \
                that is.",
    remediation: "Find out who uses it and have it issued by whoever manages that; remove it if nobody does.",
    source: "Kubernetes documentation, Certificate management with kubeadm",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let Some(unclaimed) = &context.model.unclaimed else {
        outcomes.missing("which certificates there are");
        return;
    };
    if unclaimed.is_empty() {
        outcomes.pass();
    }
    for leaf in unclaimed {
        let Some(certificate) = leaf.certificate() else { continue };
        let view = certificate.view();
        let subject = format!("certificate {}", view.subject.text);
        let found = format!("none; of `{}`", view.issuer.text);
        outcomes.fail(subject, &Origin::Observed(certificate.place().clone()), "a component that uses it", found);
    }
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, findings};
    use crate::checks::testing::{outcomes, run};
    use crate::model::Leaf;

    #[test]
    fn fails_for_each() {
        let mut case = testing::kubelet(&Draft::of(LeafKind::KubeletClient));
        let leaf = Ca::new("ca").issue(&Draft { common_name: "prometheus".to_owned(), ..Draft::of(LeafKind::Admin) });
        case.model.unclaimed = Some(vec![Leaf::Chain(vec![leaf])]);
        let subject = "certificate O=kubeadm:cluster-admins,CN=prometheus";
        let line = format!("{subject}: expected a component that uses it, found none; of `CN=ca`");
        assert_eq!(findings(&CHECK, &case), [line]);
    }

    #[test]
    fn passes_for_leaves_of_components() {
        let mut case = testing::kubelet(&Draft::of(LeafKind::KubeletClient));
        case.model.unclaimed = Some(Vec::new());
        let outcomes = outcomes(&CHECK, &case.model, None);
        assert_eq!((outcomes.passed, outcomes.failed.len(), outcomes.missing.len()), (1, 0, 0));
    }

    #[test]
    fn is_not_evaluated_when_nobody_looked() {
        let case = testing::kubelet(&Draft::of(LeafKind::KubeletClient));
        assert_eq!(run(&CHECK, &case), ["not evaluated: which certificates there are"]);
    }
}
