//! A bundle holds a generation that a rotation has retired.

use std::collections::BTreeMap;

use super::each;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "anchor.retired_still_trusted",
    severity: Severity::Error,
    summary: "a bundle holds an authority that was retired",
    applies_to: "bundles that were read",
    rationale: "Retiring an authority is the only revocation that Kubernetes has. Whoever trusts it longer accepts \
                every certificate that its key ever signed, or will sign for whoever has a copy of the key.",
    remediation: "Remove the certificate from the bundle, and restart whoever reads the bundle at its start only.",
    source: "Kubernetes documentation, Manual rotation of CA certificates; kubernetes/kubernetes#18982",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let authorities = &context.model.authorities;
    let known = || authorities.iter().filter_map(|(role, fact)| fact.value().map(|authority| (role, authority)));
    if authorities.is_empty() || known().count() < authorities.len() {
        outcomes.missing("which generations of the authorities were retired");
    }
    if known().next().is_none() {
        return;
    }
    let retired: BTreeMap<_, _> =
        known().flat_map(|(role, authority)| authority.retired.iter().map(move |id| (*id, *role))).collect();
    each(context, outcomes, |_, anchor| {
        let role = retired.get(&anchor.view().authority_id())?;
        Some((format!("no retired generation of the authority {role}"), "one of them".to_owned()))
    });
}

#[cfg(test)]
mod tests {
    use pki_core::{AuthorityRole, TrustSlot};

    use super::*;
    use crate::checks::pki::{Ca, bundle, findings};
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::Authority;

    fn case(trusted: &[&Ca], retired: &[&Ca]) -> Case {
        let mut case = Case::default();
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, bundle(trusted));
        let retired = retired.iter().map(|ca| ca.certificate().view().authority_id()).collect();
        let authority = Authority { live: Vec::new(), retired };
        case.model.authorities.insert(AuthorityRole::Cluster, Fact::declared(authority, "the journal"));
        case
    }

    #[test]
    fn fails_for_a_retired_generation() {
        let (old, new) = (Ca::new("kubernetes"), Ca::new("kubernetes"));
        assert_eq!(
            findings(&CHECK, &case(&[&old, &new], &[&old])),
            ["kube-apiserver cp-1 --client-ca-file CN=kubernetes: \
              expected no retired generation of the authority cluster, found one of them"]
        );
    }

    /// The same name, and another key.
    #[test]
    fn passes_for_the_next_generation() {
        let (old, new) = (Ca::new("kubernetes"), Ca::new("kubernetes"));
        assert!(findings(&CHECK, &case(&[&new], &[&old])).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows_what_was_retired() {
        let mut case = case(&[&Ca::new("kubernetes")], &[]);
        case.model.authorities.clear();
        let missing = "not evaluated: which generations of the authorities were retired";
        assert_eq!(run(&CHECK, &case), [missing]);
        case.model.authorities.insert(AuthorityRole::Cluster, Fact::Missing);
        assert_eq!(run(&CHECK, &case), [missing]);
    }
}
