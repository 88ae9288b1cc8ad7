//! Another cluster has the same authority.

use std::collections::BTreeMap;

use pki_core::{Path, TrustSlot};

use super::issuing;
use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "authority.shared_with_other_cluster",
    severity: Severity::Error,
    summary: "another cluster has an authority with the same key",
    applies_to: "authorities, anchors and the authorities of other clusters",
    rationale: "A certificate of one cluster is let in by the other. A node that answers the API server of one \
                with a redirect has its credentials replayed in the other.",
    remediation: "Give every cluster authorities with keys of its own: rotate all but one of them.",
    source: "CVE-2020-8559; kubernetes/kubernetes#92914",
    channels: &[Channel::Tls(Path::ApiKubelet), Channel::Tls(Path::NodeApi), Channel::Tls(Path::AdminApi)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let Some((clusters, _)) = outcomes.need(&context.model.other_clusters, "the authorities of other clusters") else {
        return;
    };
    let pairs = clusters.iter().flat_map(|(cluster, all)| all.iter().map(move |one| (one, cluster.as_str())));
    let others: BTreeMap<_, _> = pairs.map(|(one, cluster)| (one.view().key_fingerprint(), cluster)).collect();
    let mut own: BTreeMap<_, _> =
        issuing(context).into_iter().map(|(subject, one)| (one.fingerprint(), (subject, one))).collect();
    for (bundle, anchor) in context.chains.anchors() {
        // Those of webhooks and aggregated APIs are their owners'.
        if !matches!(bundle.slot, TrustSlot::WebhookCaBundle | TrustSlot::ApiServiceCaBundle) {
            let subject = || (format!("{} {}", bundle.subject(), anchor.view().subject.text), anchor);
            own.entry(anchor.fingerprint()).or_insert_with(subject);
        }
    }
    if own.is_empty() {
        outcomes.missing("the certificates of the authorities");
    }
    for (subject, certificate) in own.into_values() {
        match others.get(&certificate.view().key_fingerprint()) {
            None => outcomes.pass(),
            Some(cluster) => {
                let found = format!("the key of an authority of the cluster {cluster}");
                let origin = Origin::Observed(certificate.place().clone());
                outcomes.fail(subject, &origin, "a key of this cluster alone", found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pki_core::AuthorityRole;

    use super::*;
    use crate::checks::pki::{Ca, bundle, findings};
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::Authority;

    fn case(own: &Ca, other: &Ca) -> Case {
        let mut case = Case::default();
        let authority = Authority { live: vec![own.certificate()], retired: Vec::new() };
        case.model.authorities.insert(AuthorityRole::Cluster, Fact::declared(authority, "somebody"));
        case.model.other_clusters = Fact::declared(vec![("green".to_owned(), vec![other.certificate()])], "somebody");
        case
    }

    #[test]
    fn fails_for_the_same_key_in_another_certificate() {
        let blue = Ca::new("blue");
        let found = findings(&CHECK, &case(&blue, &blue.again("green")));
        assert_eq!(
            found,
            ["authority cluster CN=blue: expected a key of this cluster alone, \
              found the key of an authority of the cluster green"]
        );
    }

    /// kubeadm calls the authority of every cluster the same.
    #[test]
    fn passes_for_the_same_name() {
        assert!(findings(&CHECK, &case(&Ca::new("kubernetes"), &Ca::new("kubernetes"))).is_empty());
    }

    #[test]
    fn fails_for_an_anchor_that_no_leaf_leads_to() {
        let green = Ca::new("green");
        let mut case = case(&Ca::new("blue"), &green);
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[&green]));
        assert_eq!(findings(&CHECK, &case).len(), 1);
    }

    #[test]
    fn is_not_evaluated_without_the_other_clusters() {
        let mut case = case(&Ca::new("blue"), &Ca::new("green"));
        case.model.other_clusters = Fact::Missing;
        assert_eq!(run(&CHECK, &case), ["not evaluated: the authorities of other clusters"]);
    }
}
