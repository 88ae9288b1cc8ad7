//! A certificate may not be used as it is used.

use std::sync::Arc;

use pki_core::ExtendedKeyUsage;

use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.wrong_usage",
    severity: Severity::Error,
    summary: "a certificate lacks the extended key usage of a path on which it is presented",
    applies_to: "leaves that were read, on the paths on which they are presented",
    rationale: "The other end refuses it: the API server a client without clientAuth, every client a server \
                without serverAuth. etcd calls itself with its server certificate and needs both. A certificate \
                that says nothing is fit for either side, so that a stolen server certificate is a client too.",
    remediation: "Issue the certificate anew with the usages that are expected.",
    source: "RFC 5280 4.2.1.12; etcd-io/etcd#9785",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(_: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    let found = certificate.view().extensions.extended_key_usage.as_deref();
    let has = |usage: &ExtendedKeyUsage| found.is_some_and(|found| found.iter().any(|one| one == usage.id()));
    let mut asked = leaf.paths.iter().filter_map(|(path, side)| side.usage(*path)).peekable();
    if asked.peek().is_none() {
        return Judged::Skip;
    }
    if asked.all(|usage| has(&usage)) {
        return Judged::Pass;
    }
    let usages = leaf.usages();
    let lacking = usages.iter().filter(|(usage, _)| !has(usage)).map(|(usage, paths)| {
        let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        format!("{usage} on {}", paths.join(", "))
    });
    let expected = lacking.collect::<Vec<_>>().join("; ");
    Judged::Fail(expected, found.map_or_else(|| "no extended key usage".to_owned(), |found| found.join(", ")))
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::Case;

    #[test]
    fn fails_for_a_client_that_may_only_serve() {
        let draft = Draft { usages: vec![ExtendedKeyUsage::ServerAuth], ..Draft::of(LeafKind::KubeletClient) };
        assert_eq!(
            findings(&CHECK, &testing::kubelet(&draft)),
            ["kubelet node-1 kubelet-client: expected clientAuth on node-api, found serverAuth"]
        );
    }

    #[test]
    fn fails_for_a_certificate_that_does_not_say() {
        let draft = Draft { usages: Vec::new(), ..Draft::of(LeafKind::KubeletClient) };
        let found = findings(&CHECK, &testing::kubelet(&draft));
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|line| line.ends_with("found no extended key usage")), "{found:?}");
    }

    fn etcd(usages: &[ExtendedKeyUsage]) -> Vec<String> {
        let draft = Draft { usages: usages.to_vec(), ..Draft::of(LeafKind::EtcdServer) };
        let mut case = Case::default();
        case.etcd().leaves.insert(LeafKind::EtcdServer, chain(vec![Ca::new("etcd-ca").issue(&draft)]));
        findings(&CHECK, &case)
    }

    /// Its JSON gateway is a client of its own.
    #[test]
    fn etcd_needs_both() {
        use ExtendedKeyUsage::{ClientAuth, ServerAuth};
        assert_eq!(
            etcd(&[ServerAuth]),
            ["etcd cp-1 etcd-server: expected clientAuth on etcd-gateway, found serverAuth"]
        );
        assert!(etcd(&[ServerAuth, ClientAuth]).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
