//! Two that should be told apart have one key.

use std::collections::BTreeSet;

use pki_core::{ComponentKind, Fingerprint, LeafKind};

use crate::chains::{Presented, Seat};
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::rule::IdentityRule;

pub(in crate::checks) static CHECK: Check = Check {
    id: "key.shared",
    severity: Severity::Error,
    summary: "one key stands in the certificates of two that should be told apart",
    applies_to: "leaves and authorities that were read",
    rationale: "Whoever holds it is both. A node speaks for another, a server acts as a client; and a leaf that \
                has the key of an authority issues whatever it likes.",
    remediation: "Issue all but one of the certificates anew, each with a key of its own.",
    source: "NIST SP 800-57 part 1, 5.2; Kubernetes documentation, PKI certificates and requirements",
    channels: &[],
    run: Run::Cluster(run),
};

/// Whose a key is. Replicas of one component have one identity where it does not name the node.
type Owner<'a> = (LeafKind, Option<(ComponentKind, &'a str)>);

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    outcomes.missing.extend(context.chains.unread_leaves.iter().cloned());
    let anchors = context.chains.anchors().into_iter().map(|(_, anchor)| anchor);
    let authorities = context.model.authorities.values().filter_map(|fact| fact.value());
    let all = anchors.chain(authorities.flat_map(|authority| &authority.live));
    let issuing: BTreeSet<Fingerprint> =
        all.filter(|one| one.view().is_ca()).map(|one| one.view().key_fingerprint()).collect();
    let mut leaves: Vec<_> =
        context.chains.read_leaves().map(|(leaf, one)| (one.view().key_fingerprint(), leaf)).collect();
    // Stable: the holders of one key stay in the order of the cluster.
    leaves.sort_by_key(|(key, _)| *key);
    for of_one_key in leaves.chunk_by(|(one, _), (other, _)| one == other) {
        let Some((key, _)) = of_one_key.first() else { continue };
        let holders = || of_one_key.iter().flat_map(|(_, leaf)| leaf.seats.iter().map(move |seat| (*leaf, seat)));
        let found = if issuing.contains(key) {
            Some("the key of an authority".to_owned())
        } else {
            let mut owners = holders().map(|(leaf, seat)| owner(leaf, seat));
            let first = owners.next();
            owners.any(|other| Some(other) != first).then(|| of_several(holders()))
        };
        let Some(found) = found else {
            outcomes.pass();
            continue;
        };
        for (leaf, seat) in holders() {
            outcomes.fail_on(leaf.channels(), leaf.subject_of(seat), &seat.origin(), "a key of its own", found.clone());
        }
    }
}

fn owner<'a>(leaf: &Presented<'a>, seat: &Seat<'a>) -> Owner<'a> {
    match IdentityRule::of(leaf.kind) {
        IdentityRule::Fixed(kind) => (kind, None),
        IdentityRule::PerNode(kind) | IdentityRule::EtcdMember(kind) => (kind, Some((leaf.component, seat.name))),
    }
}

/// The same text for all of them, so that they are one finding.
fn of_several<'a>(mut holders: impl Iterator<Item = (&'a Presented<'a>, &'a Seat<'a>)>) -> String {
    let Some((leaf, seat)) = holders.next() else { return String::new() };
    format!("one of {} with the key of {}", holders.count() + 1, leaf.subject_of(seat))
}

#[cfg(test)]
mod tests {
    use pki_core::TrustSlot;

    use super::*;
    use crate::checks::pki::{Ca, Draft, bundle, chain, findings};
    use crate::checks::testing::{Case, run};
    use rcgen::KeyPair;

    #[test]
    fn fails_for_two_nodes() {
        let (ca, key) = (Ca::new("kubernetes"), KeyPair::generate().unwrap());
        let mut case = Case::default();
        for node in ["node-1", "node-2"] {
            let draft = Draft { common_name: format!("system:node:{node}"), ..Draft::of(LeafKind::KubeletClient) };
            let kubelet = case.kubelet();
            kubelet.name = node.to_owned();
            kubelet.leaves.insert(LeafKind::KubeletClient, chain(vec![ca.issue_for(&draft, &key)]));
        }
        let found = "expected a key of its own, found one of 2 with the key of kubelet node-1 kubelet-client";
        assert_eq!(
            findings(&CHECK, &case),
            [format!("kubelet node-1 kubelet-client: {found}"), format!("kubelet node-2 kubelet-client: {found}")]
        );
    }

    #[test]
    fn fails_for_two_kinds_of_one_holder() {
        let (ca, key) = (Ca::new("kubernetes"), KeyPair::generate().unwrap());
        let mut case = Case::default();
        let api = case.api_server();
        for kind in [LeafKind::ApiServer, LeafKind::ApiServerKubeletClient] {
            api.leaves.insert(kind, chain(vec![ca.issue_for(&Draft::of(kind), &key)]));
        }
        assert_eq!(findings(&CHECK, &case).len(), 2);
    }

    #[test]
    fn fails_for_the_key_of_an_authority() {
        let ca = Ca::new("kubernetes");
        let mut case = Case::default();
        let api = case.api_server();
        let leaf = ca.issue_for(&Draft::of(LeafKind::ApiServer), ca.key());
        api.leaves.insert(LeafKind::ApiServer, chain(vec![leaf]));
        api.trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[&ca]));
        assert_eq!(
            findings(&CHECK, &case),
            ["kube-apiserver cp-1 apiserver: expected a key of its own, found the key of an authority"]
        );
    }

    /// Whoever hands one secret to all replicas does nothing wrong.
    #[test]
    fn passes_for_replicas_of_one_component() {
        let leaf = Ca::new("kubernetes").issue(&Draft::of(LeafKind::ApiServer));
        let mut case = Case::default();
        for name in ["cp-1", "cp-2"] {
            let api = case.api_server();
            api.name = name.to_owned();
            api.leaves.insert(LeafKind::ApiServer, chain(vec![leaf.clone()]));
        }
        assert!(findings(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        let mut case = Case::default();
        case.kubelet();
        assert!(run(&CHECK, &case).contains(&"not evaluated: certificate kubelet-client of kubelet".to_owned()));
    }
}
