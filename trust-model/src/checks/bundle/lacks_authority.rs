//! A bundle holds one generation of an authority, and not all that are live.

use std::collections::BTreeSet;

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "bundle.lacks_authority",
    severity: Severity::Warn,
    summary: "a bundle holds one generation of an authority, and lacks another that is live",
    applies_to: "bundles with an authority that has several live generations",
    rationale: "In the middle of a rotation everybody must trust both generations before the first leaf of the new \
                one is presented, and until the last leaf of the old one is gone. Whoever lacks one of them is who \
                will break.",
    remediation: "Add the missing generation to the bundle before the rotation goes on.",
    source: "Kubernetes documentation, Manual rotation of CA certificates",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let authorities = &context.model.authorities;
    if authorities.is_empty() || authorities.values().any(|fact| fact.value().is_none()) {
        outcomes.missing("the certificates of the authorities");
    }
    let rotating = || {
        let known = authorities.iter().filter_map(|(role, fact)| fact.value().map(|authority| (role, &authority.live)));
        known.filter(|(_, live)| live.len() > 1)
    };
    if rotating().next().is_none() {
        return;
    }
    outcomes.missing.extend(context.chains.unread_bundles.iter().cloned());
    for bundle in context.chains.bundles.iter().filter(|bundle| matches!(bundle.trust, Trust::Bundle(_))) {
        // A renewed certificate of the same key is the same generation.
        let held: BTreeSet<_> = bundle.anchors.iter().map(|anchor| anchor.view().key_fingerprint()).collect();
        for (role, live) in rotating() {
            let (present, absent): (Vec<_>, Vec<_>) =
                live.iter().partition(|certificate| held.contains(&certificate.view().key_fingerprint()));
            let Some(first) = present.first() else { continue };
            if absent.is_empty() {
                outcomes.pass();
                continue;
            }
            let place = bundle.anchors.first().map_or_else(|| first.place(), |anchor| anchor.place());
            let expected = format!("every live generation of the authority {role}");
            let found = format!("{} of {}", present.len(), live.len());
            for holder in &bundle.holders {
                let subject = format!("{} {holder} {}", bundle.component, crate::flag::of_slot(bundle.slot));
                outcomes.fail(subject, &Origin::Observed(place.clone()), expected.clone(), found.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pki_core::{AuthorityRole, TrustSlot};

    use super::*;
    use crate::checks::pki::{Ca, bundle, findings};
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::Authority;

    fn case(live: &[&Ca], trusted: &[&Ca]) -> Case {
        let mut case = Case::default();
        let live = live.iter().map(|ca| ca.certificate()).collect();
        let authority = Authority { live, retired: Vec::new() };
        case.model.authorities.insert(AuthorityRole::Cluster, Fact::declared(authority, "the journal"));
        case.kubelet().trusts.insert(TrustSlot::KubeletKubeconfigCa, bundle(trusted));
        case
    }

    #[test]
    fn fails_for_one_of_two() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        assert_eq!(
            findings(&CHECK, &case(&[&old, &new], &[&old])),
            ["kubelet node-1 kubeconfig certificate-authority: \
              expected every live generation of the authority cluster, found 1 of 2"]
        );
    }

    #[test]
    fn passes_for_both_and_for_a_bundle_of_others() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        assert!(findings(&CHECK, &case(&[&old, &new], &[&new, &old])).is_empty());
        assert!(findings(&CHECK, &case(&[&old, &new], &[&Ca::new("org")])).is_empty());
    }

    #[test]
    fn does_not_apply_while_nothing_rotates() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        assert!(run(&CHECK, &case(&[&new], &[&old, &new])).is_empty());
    }

    #[test]
    fn is_not_evaluated_without_authorities() {
        assert_eq!(run(&CHECK, &Case::default()), ["not evaluated: the certificates of the authorities"]);
    }
}
