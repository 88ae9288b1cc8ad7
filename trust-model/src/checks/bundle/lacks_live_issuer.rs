//! A leaf is presented to somebody who does not trust its issuer.

use crate::chains::{Found, Link, Side};
use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "bundle.lacks_live_issuer",
    severity: Severity::Error,
    summary: "a leaf leads to no anchor of the bundle that it is verified with",
    applies_to: "pairs of a leaf and a bundle that meet on a path",
    rationale: "The handshake fails, at the latest when the connections of today end. In a rotation it means that \
                a leaf was issued anew before everybody trusts its issuer, or that an old authority was removed \
                too early.",
    remediation: "Add the issuer to the bundle, wait until whoever reads it has loaded it, and only then present \
                  the leaf.",
    source: "Kubernetes documentation, Manual rotation of CA certificates; RFC 5280 6.1",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let chains = &context.chains;
    outcomes.missing.extend(chains.unread_leaves.union(&chains.unread_bundles).cloned());
    outcomes.missing.extend(chains.unjudged.iter().cloned());
    for link in &chains.links {
        let (Some(leaf), Some(bundle)) = (chains.leaves.get(link.leaf), chains.bundles.get(link.bundle)) else {
            continue;
        };
        let found = match link.found {
            Found::Anchor(_) | Found::Itself | Found::Asserted => {
                outcomes.pass();
                continue;
            }
            Found::Invalid(anchor) => format!(
                "{} alone, valid from {} to {}",
                anchor.view().subject.text,
                crate::moment(anchor.view().not_before),
                crate::moment(anchor.view().not_after)
            ),
            Found::Nobody => "none".to_owned(),
        };
        let expected = match leaf.certificate() {
            Some(certificate) => format!("an anchor that is `{}`", certificate.view().issuer.text),
            None => "an anchor of its issuer".to_owned(),
        };
        for seat in &leaf.seats {
            let mut origin = seat.origin();
            if matches!(bundle.origin, Origin::Declared(_)) {
                origin = bundle.origin.clone();
            }
            let (leaf, bundle) = (leaf.subject_of(seat), bundle.subject());
            let path = Channel::Tls(link.path);
            outcomes.fail_on([path], subject(link, &leaf, &bundle), &origin, expected.clone(), found.clone());
        }
    }
}

/// The path, and on each end who presents or verifies with what.
fn subject(link: &Link<'_>, leaf: &str, bundle: &str) -> String {
    match link.side {
        Side::Server => format!("{}: server {leaf}, client {bundle}", link.path),
        Side::Client => format!("{}: client {leaf}, server {bundle}", link.path),
    }
}

#[cfg(test)]
mod tests {
    use pki_core::{AuthorityRole, LeafKind, TrustSlot};

    use super::*;
    use crate::checks::pki::{Ca, Draft, bundle, chain, findings};
    use crate::checks::testing::{Case, NOW, run};
    use crate::fact::Fact;
    use crate::model::{Leaf, Trust};

    fn case(issuer: &Ca, trusted: &[&Ca]) -> Case {
        let mut case = Case::default();
        let api = case.api_server();
        api.leaves.insert(LeafKind::ApiServer, chain(vec![issuer.issue(&Draft::of(LeafKind::ApiServer))]));
        case.kubelet().trusts.insert(TrustSlot::KubeletKubeconfigCa, bundle(trusted));
        case
    }

    #[test]
    fn fails_on_every_path_on_which_the_issuer_is_missing() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        let pair = "server kube-apiserver cp-1 apiserver, client kubelet node-1 kubeconfig certificate-authority";
        let rest = "expected an anchor that is `CN=new`, found none";
        assert_eq!(
            findings(&CHECK, &case(&new, &[&old])),
            [format!("node-api: {pair}: {rest}"), format!("node-bootstrap: {pair}: {rest}")]
        );
    }

    #[test]
    fn fails_for_another_generation_of_the_same_name() {
        let (old, new) = (Ca::new("kubernetes"), Ca::new("kubernetes"));
        assert_eq!(findings(&CHECK, &case(&new, &[&old])).len(), 2);
    }

    #[test]
    fn fails_when_the_only_anchor_has_expired() {
        let ca = Ca::between("ca", NOW - 100, NOW - 1);
        let found = findings(&CHECK, &case(&ca, &[&ca]));
        let rest = "expected an anchor that is `CN=ca`, \
                    found CN=ca alone, valid from 2025-12-31T23:58:20Z to 2025-12-31T23:59:59Z";
        assert!(found.len() == 2 && found.iter().all(|line| line.ends_with(rest)), "{found:?}");
    }

    #[test]
    fn passes_while_both_are_trusted() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        assert!(findings(&CHECK, &case(&new, &[&old, &new])).is_empty());
    }

    #[test]
    fn passes_through_what_is_sent_along_and_fails_without() {
        let root = Ca::new("root");
        let middle = root.authority("middle");
        let leaf = middle.issue(&Draft::of(LeafKind::ApiServer));
        let mut case = case(&root, &[&root]);
        let api = case.model.api_servers.first_mut().unwrap();
        api.leaves.insert(LeafKind::ApiServer, chain(vec![leaf.clone(), middle.certificate()]));
        assert!(findings(&CHECK, &case).is_empty());
        let api = case.model.api_servers.first_mut().unwrap();
        api.leaves.insert(LeafKind::ApiServer, chain(vec![leaf]));
        assert_eq!(findings(&CHECK, &case).len(), 2);
    }

    /// Whoever signs itself is known to nobody, unless the certificate itself is in the bundle.
    #[test]
    fn fails_for_a_kubelet_that_signs_itself() {
        let mut case = Case::default();
        case.kubelet().leaves.insert(LeafKind::KubeletServing, Fact::default_of(Leaf::SelfSigned));
        case.api_server().trusts.insert(TrustSlot::ApiServerKubeletCa, bundle(&[&Ca::new("ca")]));
        assert_eq!(
            findings(&CHECK, &case),
            ["api-kubelet: server kubelet node-1 kubelet-serving, \
              client kube-apiserver cp-1 --kubelet-certificate-authority: expected an anchor of its issuer, found none"]
        );
    }

    #[test]
    fn compares_what_is_only_asserted() {
        let of = |role| {
            let mut case = Case::default();
            let leaf = Fact::declared(Leaf::IssuedBy(AuthorityRole::Etcd), "a document");
            case.api_server().leaves.insert(LeafKind::ApiServerEtcdClient, leaf);
            let trust = Fact::declared(Trust::Authority(role), "a document");
            case.etcd().trusts.insert(TrustSlot::EtcdTrustedCa, trust);
            findings(&CHECK, &case)
        };
        assert!(of(AuthorityRole::Etcd).is_empty());
        assert_eq!(of(AuthorityRole::Cluster).len(), 1);
    }

    #[test]
    fn an_etcd_member_calls_itself_alone_through_its_gateway() {
        let (one, two) = (Ca::new("one"), Ca::new("two"));
        let mut case = Case::default();
        for (name, ca) in [("cp-1", &one), ("cp-2", &two)] {
            let etcd = case.etcd();
            etcd.name = name.to_owned();
            etcd.leaves.insert(LeafKind::EtcdServer, chain(vec![ca.issue(&Draft::of(LeafKind::EtcdServer))]));
            etcd.trusts.insert(TrustSlot::EtcdTrustedCa, bundle(&[ca]));
        }
        assert!(findings(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_one_side_is_unknown() {
        let ca = Ca::new("ca");
        let mut case = case(&ca, &[&ca]);
        case.model.kubelets.clear();
        case.kubelet();
        let lines = run(&CHECK, &case);
        assert!(lines.contains(&"not evaluated: kubelet kubeconfig certificate-authority".to_owned()));
        assert!(lines.contains(&"not evaluated: certificate kubelet-client of kubelet".to_owned()));
        case.model.kubelets.clear();
        case.kubelet().trusts.insert(TrustSlot::KubeletKubeconfigCa, Fact::declared(Trust::SystemRoots, "somebody"));
        assert!(run(&CHECK, &case).contains(&"not evaluated: what the system of kubelet trusts".to_owned()));
    }
}
