//! A certificate names an issuer that has not signed it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pki_core::{BundleError, ChainError, ExtendedKeyUsage, Fingerprint, TrustBundle, verify_chain};
use rustls_pki_types::CertificateDer;

use crate::chains::{Found, Presented, Trusted};
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.bad_signature",
    severity: Severity::Error,
    summary: "a certificate names an issuer that has not signed it, or may not vouch for it",
    applies_to: "leaves that lead by their names to an anchor, if signatures are checked",
    rationale: "Names can be written by anybody, and two generations of one authority often have the same. \
                Verifiers refuse the certificate.",
    remediation: "Issue the certificate anew; see where this one comes from.",
    source: "RFC 5280 6.1.3 (a) (1)",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let chains = &context.chains;
    outcomes.missing.extend(chains.unread_leaves.union(&chains.unread_bundles).cloned());
    let anchored = chains.links.iter().filter_map(|link| match link.found {
        Found::Anchor(anchor) => Some((link, anchor)),
        _ => None,
    });
    let mut judged: HashSet<(Fingerprint, Fingerprint)> = HashSet::new();
    let mut anchors = Anchors { context, read: HashMap::new() };
    for (link, anchor) in anchored {
        if context.verifiers.is_none() {
            outcomes.missing("the signatures of certificates: no means to verify them were given");
            return;
        }
        let (Some(leaf), Some(bundle)) = (chains.leaves.get(link.leaf), chains.bundles.get(link.bundle)) else {
            continue;
        };
        let (Some(certificate), Some(usage)) = (leaf.certificate(), link.side.usage(link.path)) else { continue };
        // A leaf that lacks the usage is another check's; on another path it may have the one that is asked for there.
        let usages = certificate.view().extensions.extended_key_usage.as_deref().unwrap_or_default();
        let has_usage = usages.iter().any(|one| one == usage.id());
        if has_usage && judged.insert((certificate.fingerprint(), anchor.fingerprint())) {
            match anchors.verify(leaf, certificate, bundle, anchor, usage) {
                Ok(()) => outcomes.pass(),
                Err(error) => conclude(outcomes, leaf, anchor, &error),
            }
        }
    }
}

fn conclude(outcomes: &mut Outcomes, leaf: &Presented<'_>, anchor: &Certificate, refused: &Refused) {
    let error = match refused {
        Refused::Chain(error) => error,
        Refused::Anchor(error) => {
            outcomes.missing(format!("the signature of {} of {}: anchor: {error}", leaf.kind, leaf.component));
            return;
        }
    };
    match error {
        ChainError::BadSignature
        | ChainError::UnknownIssuer
        | ChainError::Intermediate(_)
        | ChainError::TooManyIntermediates { .. }
        | ChainError::PathTooLong { .. }
        | ChainError::ExtendedKeyUsage => {
            for seat in &leaf.seats {
                let expected = format!("a chain to `{}`", anchor.view().subject.text);
                outcomes.fail_on(leaf.channels(), leaf.subject_of(seat), &seat.origin(), expected, error.to_string());
            }
        }
        // Times are other checks'; and what this verifier does not know may be in order.
        _ => outcomes.missing(format!("the signature of {} of {}: {error}", leaf.kind, leaf.component)),
    }
}

/// Why a chain is not accepted.
enum Refused {
    Chain(ChainError),
    /// The verifier does not take the anchor as one, which says nothing of the leaf.
    Anchor(String),
}

/// The anchors as the verifier takes them, each read once.
struct Anchors<'c, 'a> {
    context: &'c Context<'a>,
    read: HashMap<Fingerprint, Result<TrustBundle, BundleError>>,
}

impl Anchors<'_, '_> {
    fn verify(
        &mut self,
        leaf: &Presented<'_>,
        certificate: &Certificate,
        bundle: &Trusted<'_>,
        anchor: &Arc<Certificate>,
        usage: ExtendedKeyUsage,
    ) -> Result<(), Refused> {
        let Context { verifiers: Some(verifiers), limits, now, .. } = self.context else {
            return Err(Refused::Anchor("no verifiers".to_owned()));
        };
        let sent: Vec<CertificateDer<'_>> =
            leaf.intermediates().iter().map(|one| CertificateDer::from(&**one.der())).collect();
        let mut verify = |anchor: &Arc<Certificate>| {
            let read = self
                .read
                .entry(anchor.fingerprint())
                .or_insert_with(|| TrustBundle::from_der([anchor.der().clone()], limits));
            match read {
                Ok(anchor) => verify_chain(certificate.der(), &sent, anchor, usage, limits, *verifiers, *now)
                    .map(drop)
                    .map_err(Refused::Chain),
                Err(error) => Err(Refused::Anchor(error.to_string())),
            }
        };
        let result = verify(anchor);
        if !matches!(result, Err(Refused::Chain(ChainError::BadSignature | ChainError::UnknownIssuer))) {
            return result;
        }
        // Authorities of one name that do not say which key they have: any of them may be the one.
        let is_other = |other: &&&Arc<Certificate>| {
            other.fingerprint() != anchor.fingerprint()
                && other.view().has_subject_of(anchor.view())
                && other.view().authority_id() != anchor.view().authority_id()
        };
        let others = bundle.anchors.iter().filter(is_other).take(OTHERS_MAX);
        others.map(|other| verify(other)).find(Result::is_ok).unwrap_or(result)
    }
}

/// How many authorities of one name are tried for one leaf: more generations at once than any rotation has.
const OTHERS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use pki_core::verify::aws_lc_rs;
    use pki_core::{LeafKind, TrustSlot};

    use super::*;
    use crate::checks::pki::{Ca, Draft, bundle, bundle_of, chain, read};
    use crate::checks::testing::{Case, NOW, run, run_with};

    fn case(leaf: Arc<Certificate>, anchors: Vec<Arc<Certificate>>) -> Case {
        let mut case = Case::default();
        case.kubelet().leaves.insert(LeafKind::KubeletClient, chain(vec![leaf]));
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, bundle_of(anchors));
        case
    }

    fn draft() -> Draft {
        Draft::of(LeafKind::KubeletClient)
    }

    /// The last octet of a certificate is its signature's.
    fn tampered(certificate: &Certificate) -> Arc<Certificate> {
        let mut der = certificate.der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        read(der.into(), "leaf.crt")
    }

    fn findings(case: &Case) -> Vec<String> {
        let lines = run_with(&CHECK, case, Some(aws_lc_rs()));
        lines.into_iter().filter(|line| !line.starts_with("not evaluated")).collect()
    }

    #[test]
    fn fails_for_a_signature_of_nobody() {
        let ca = Ca::new("kubernetes");
        let found = findings(&case(tampered(&ca.issue(&draft())), vec![ca.certificate()]));
        assert_eq!(
            found,
            ["kubelet node-1 kubelet-client: expected a chain to `CN=kubernetes`, \
              found a signature of the chain does not verify"]
        );
    }

    #[test]
    fn passes_for_the_signature_of_the_issuer() {
        let ca = Ca::new("kubernetes");
        assert!(findings(&case(ca.issue(&draft()), vec![ca.certificate()])).is_empty());
    }

    /// Neither says which key it has, and the first in the file is not the issuer.
    #[test]
    fn passes_for_one_of_two_authorities_of_one_name() {
        let (old, new) = (Ca::anonymous("kubernetes"), Ca::anonymous("kubernetes"));
        let leaf = new.issue(&draft());
        assert!(findings(&case(Arc::clone(&leaf), vec![old.certificate(), new.certificate()])).is_empty());
        assert_eq!(findings(&case(leaf, vec![old.certificate()])).len(), 1);
    }

    #[test]
    fn is_not_evaluated_without_verifiers_nor_out_of_time() {
        let ca = Ca::new("kubernetes");
        let lines = run(&CHECK, &case(tampered(&ca.issue(&draft())), vec![ca.certificate()]));
        let missing = "not evaluated: the signatures of certificates: no means to verify them were given";
        assert!(lines.contains(&missing.to_owned()), "{lines:?}");
        let expired = ca.issue(&Draft { last: NOW - 1, ..draft() });
        let lines = run_with(&CHECK, &case(expired, vec![ca.certificate()]), Some(aws_lc_rs()));
        let missing =
            "not evaluated: the signature of kubelet-client of kubelet: the certificate has expired".to_owned();
        assert!(lines.contains(&missing), "{lines:?}");
    }

    #[test]
    fn a_leaf_of_two_bundles_is_verified_once() {
        let ca = Ca::new("kubernetes");
        let mut case = case(tampered(&ca.issue(&draft())), vec![ca.certificate()]);
        let other = case.api_server();
        other.name = "cp-2".to_owned();
        other.trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[&ca, &Ca::new("next")]));
        assert_eq!(findings(&case).len(), 1);
    }
}
