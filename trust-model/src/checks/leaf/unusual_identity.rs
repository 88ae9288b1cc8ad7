//! A client is not who its path expects.

use std::sync::Arc;

use pki_core::LeafKind;
use pki_core::kubernetes::MASTERS_GROUP;

use super::is_known_by_name;
use crate::chains::{Presented, Side};
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;
use crate::rule::IdentityRule;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.unusual_identity",
    severity: Severity::Warn,
    summary: "a client certificate does not have the subject that is issued for its path",
    applies_to: "client certificates of paths on which no name is built into Kubernetes, except those of \
                 administrators",
    rationale: "Whatever tells clients of the path apart (`--requestheader-allowed-names`, roles of etcd, role \
                bindings) has to know this name, and an etcd member is dialled by the name that it dials with.",
    remediation: "Issue the certificate anew with the subject that is expected, or have the server ask for this \
                  one.",
    source: "Kubernetes documentation, PKI certificates and requirements; etcd-io/etcd#9785",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(context: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    let is_client = leaf.paths.iter().any(|(_, side)| *side == Side::Client);
    let subject = &certificate.view().subject;
    // People have names of their own; and of this group another check speaks.
    let is_judged_elsewhere = leaf.kind == LeafKind::Admin
        || is_known_by_name(leaf)
        || subject.organizations.iter().any(|organization| organization.as_str() == MASTERS_GROUP);
    if !is_client || is_judged_elsewhere {
        return Judged::Skip;
    }
    let allowed = || {
        let apis = context.model.api_servers.iter();
        let names = apis.filter_map(|api| api.settings.requestheader_allowed_names.value()).flatten();
        leaf.kind == LeafKind::FrontProxyClient
            && names.into_iter().any(|name| Some(name) == subject.common_name.as_ref())
    };
    let rule = IdentityRule::of(leaf.kind);
    match certificate.identity() {
        Ok(identity) if rule.check(identity).is_ok() || allowed() => Judged::Pass,
        Ok(_) => Judged::Fail(rule.to_string(), subject.text.to_string()),
        Err(error) => Judged::Fail(rule.to_string(), format!("{} ({error})", subject.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::Case;
    use crate::fact::Fact;

    fn case(kind: LeafKind, change: impl FnOnce(&mut Draft)) -> Case {
        let mut draft = Draft::of(kind);
        change(&mut draft);
        let mut case = Case::default();
        let leaf = chain(vec![Ca::new("ca").issue(&draft)]);
        match kind {
            LeafKind::EtcdPeer => case.etcd().leaves.insert(kind, leaf),
            _ => case.api_server().leaves.insert(kind, leaf),
        };
        case
    }

    #[test]
    fn fails_for_another_name() {
        assert_eq!(
            findings(&CHECK, &case(LeafKind::ApiServerEtcdClient, |draft| draft.common_name = "etcd".to_owned())),
            ["kube-apiserver cp-1 apiserver-etcd-client: \
              expected the subject of `apiserver-etcd-client`, `CN=kube-apiserver-etcd-client`, found CN=etcd"]
        );
    }

    #[test]
    fn fails_for_an_etcd_member_that_is_not_among_its_own_names() {
        let found = findings(&CHECK, &case(LeafKind::EtcdPeer, |draft| draft.names = vec!["other".to_owned()]));
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|line| line.contains("with the common name among the dNSNames")), "{found:?}");
    }

    #[test]
    fn passes_for_the_one_that_is_issued() {
        for kind in [LeafKind::EtcdPeer, LeafKind::ApiServerEtcdClient, LeafKind::FrontProxyClient] {
            assert!(findings(&CHECK, &case(kind, |_| {})).is_empty(), "{kind}");
        }
    }

    /// k3s calls it `system:auth-proxy`, and says so to the API server.
    #[test]
    fn passes_for_a_front_proxy_whose_name_is_allowed() {
        let mut case = case(LeafKind::FrontProxyClient, |draft| draft.common_name = "system:auth-proxy".to_owned());
        assert_eq!(findings(&CHECK, &case).len(), 1);
        let api = case.model.api_servers.first_mut().unwrap();
        api.settings.requestheader_allowed_names = Fact::declared(vec!["system:auth-proxy".into()], "somebody");
        assert!(findings(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
