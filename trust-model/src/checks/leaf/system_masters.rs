//! A component or administrator is in system:masters.

use std::sync::Arc;

use pki_core::LeafKind;
use pki_core::kubernetes::MASTERS_GROUP;

use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.system_masters",
    severity: Severity::Warn,
    summary: "a certificate is in the group `system:masters`, which no authorizer restricts",
    applies_to: "leaves that were read, except the break-glass kubeconfig",
    rationale: "Nothing but a rotation of the authority takes the right away again. An API server that is tricked \
                to call itself with such a certificate lets the caller do everything.",
    remediation: "Issue the certificate without the group and bind a role to its name: `kubeadm:cluster-admins` \
                  for administrators, `system:kubelet-api-admin` for the API server as client of kubelets.",
    source: "NCC-E003660-JAV; kubernetes/kubernetes#119270; Kubernetes documentation, Role based access control \
             good practices",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(_: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    if leaf.kind == LeafKind::SuperAdmin {
        return Judged::Skip;
    }
    let organizations = &certificate.view().subject.organizations;
    if organizations.iter().any(|organization| organization.as_str() == MASTERS_GROUP) {
        let found = certificate.view().subject.text.to_string();
        return Judged::Fail(format!("no `O={MASTERS_GROUP}`"), found);
    }
    Judged::Pass
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::Case;

    fn case(kind: LeafKind, group: &str) -> Case {
        let mut case = Case::default();
        let draft = Draft { organizations: vec![group.to_owned()], ..Draft::of(kind) };
        case.api_server().leaves.insert(kind, chain(vec![Ca::new("ca").issue(&draft)]));
        case
    }

    #[test]
    fn fails_for_a_client_certificate_of_the_api_server() {
        assert_eq!(
            findings(&CHECK, &case(LeafKind::ApiServerKubeletClient, "system:masters")),
            ["kube-apiserver cp-1 apiserver-kubelet-client: expected no `O=system:masters`, \
              found O=system:masters,CN=kube-apiserver-kubelet-client"]
        );
    }

    #[test]
    fn passes_for_a_group_that_is_bound_and_for_the_break_glass() {
        assert!(findings(&CHECK, &case(LeafKind::ApiServerKubeletClient, "system:master")).is_empty());
        assert!(findings(&CHECK, &case(LeafKind::SuperAdmin, "system:masters")).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
