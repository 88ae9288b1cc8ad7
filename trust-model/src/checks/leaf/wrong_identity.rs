//! A client is not who Kubernetes takes it for.

use std::sync::Arc;

use pki_core::{ComponentKind, NodeName};

use super::is_known_by_name;
use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;
use crate::rule::IdentityRule;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.wrong_identity",
    severity: Severity::Error,
    summary: "a client of the API server does not have the name that Kubernetes gives to its component",
    applies_to: "client certificates of kubelets, kube-controller-manager and kube-scheduler",
    rationale: "The node authorizer lets `system:node:<name>` of `system:nodes` at what belongs to that node, and \
                the roles of kube-controller-manager and kube-scheduler are bound to their names. Under another \
                name the component may not do its work, or may do that of another.",
    remediation: "Issue the certificate anew with the subject that is expected.",
    source: "Kubernetes documentation, Using Node Authorization; PKI certificates and requirements",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(_: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    if !is_known_by_name(leaf) {
        return Judged::Skip;
    }
    let rule = IdentityRule::of(leaf.kind);
    let found = || certificate.view().subject.text.to_string();
    let identity = match certificate.identity() {
        Ok(identity) => identity,
        Err(error) => return Judged::Fail(rule.to_string(), format!("{} ({error})", found())),
    };
    if rule.check(identity).is_err() {
        return Judged::Fail(rule.to_string(), found());
    }
    // Instances of a kubelet are called after their nodes.
    let nodes = leaf.seats.iter().filter(|_| leaf.component == ComponentKind::Kubelet);
    for node in nodes.filter_map(|seat| seat.name.parse::<NodeName>().ok()) {
        if leaf.kind.subject(Some(&node)).as_ref() != Some(identity.subject()) {
            return Judged::Fail("the name of its own node".to_owned(), found());
        }
    }
    Judged::Pass
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Draft, findings};

    fn with(change: impl FnOnce(&mut Draft)) -> Vec<String> {
        let mut draft = Draft::of(LeafKind::KubeletClient);
        change(&mut draft);
        findings(&CHECK, &testing::kubelet(&draft))
    }

    #[test]
    fn fails_without_the_prefix_or_the_group() {
        let rule = "expected the subject of `kubelet-client`, one like `O=system:nodes,CN=system:node:node-1`, found";
        assert_eq!(
            with(|draft| draft.common_name = "node-1".to_owned()),
            [format!("kubelet node-1 kubelet-client: {rule} O=system:nodes,CN=node-1")]
        );
        assert_eq!(with(|draft| draft.organizations.clear()).len(), 1);
    }

    #[test]
    fn fails_for_the_name_of_another_node() {
        assert_eq!(
            with(|draft| draft.common_name = "system:node:node-2".to_owned()),
            ["kubelet node-1 kubelet-client: expected the name of its own node, \
              found O=system:nodes,CN=system:node:node-2"]
        );
    }

    #[test]
    fn passes_for_its_own() {
        assert!(with(|_| {}).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
