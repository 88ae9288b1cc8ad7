//! A key protects nothing.

use pki_core::inspect::{KeyView, Remark};

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::checks::certificate::each;
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "key.weak",
    severity: Severity::Error,
    summary: "a key gives less than 112 bits of security, or its curve is not known",
    applies_to: "certificates that were read",
    rationale: "Whoever computes the private key from the public one is its holder.",
    remediation: "Issue the certificate anew with a key of P-256, P-384, Ed25519, or RSA of 2048 bits or more and \
                  the exponent 65537.",
    source: "NIST SP 800-131A revision 2; RFC 8017 3.1",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    outcomes.missing.extend(context.chains.unread_leaves.union(&context.chains.unread_bundles).cloned());
    each(context, |certificate, subject| match weakness(&certificate.view().public_key) {
        None => outcomes.pass(),
        Some(found) => {
            let origin = Origin::Observed(certificate.place().clone());
            let (subject, paths) = subject();
            outcomes.fail_on(paths, subject, &origin, "a key of 112 bits of security or more", found);
        }
    });
}

/// Why a key is too weak, with what it is.
fn weakness(key: &KeyView) -> Option<String> {
    let size = || key.bits.map_or_else(String::new, |bits| format!(" of {bits} bits"));
    match key.weakness {
        Some(weakness) => Some(format!("{}{}: {}", key.algorithm, size(), Remark::WeakKey { weakness })),
        // How strong it is nobody here can say.
        None if key.bits.is_none() => {
            Some(format!("{} {}, which is not known", key.algorithm, key.curve.as_deref().unwrap_or_default()))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::{Case, run};

    /// A key that somebody shows, without its private half.
    struct Shown(Vec<u8>, &'static rcgen::SignatureAlgorithm);

    impl rcgen::PublicKeyData for Shown {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }

        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            self.1
        }
    }

    /// An `RSAPublicKey` of this many octets and this exponent.
    fn rsa(octets: usize, exponent: u8) -> Shown {
        let element = |tag: u8, content: &[u8]| {
            let mut der = match u8::try_from(content.len()) {
                Ok(len) => vec![tag, 0x81, len],
                Err(_) => [&[tag, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes()].concat(),
            };
            der.extend(content);
            der
        };
        let mut modulus = vec![0x01; octets + 1];
        (modulus[0], modulus[1]) = (0x00, 0x80);
        let integers = [element(0x02, &modulus), vec![0x02, 0x01, exponent]].concat();
        Shown(element(0x30, &integers), &rcgen::PKCS_RSA_SHA256)
    }

    fn of(key: &Shown) -> Vec<String> {
        let leaf = Ca::new("ca").issue_for(&Draft::of(LeafKind::KubeletClient), key);
        let mut case = Case::default();
        case.kubelet().leaves.insert(LeafKind::KubeletClient, chain(vec![leaf]));
        findings(&CHECK, &case)
    }

    #[test]
    fn fails_for_a_short_modulus_and_for_an_exponent_of_one() {
        let expected = "kubelet node-1 kubelet-client: expected a key of 112 bits of security or more, found RSA of";
        assert_eq!(
            of(&rsa(128, 3)),
            [format!("{expected} 1024 bits: the key gives less than 112 bits of security (NIST SP 800-131A)")]
        );
        let found = of(&rsa(256, 1));
        assert!(found.len() == 1 && found.iter().all(|line| line.contains("exponent is 1")), "{found:?}");
    }

    #[test]
    fn fails_for_a_curve_that_is_not_known() {
        let mut unknown = view();
        (unknown.curve, unknown.bits) = (Some("1.2.3".to_owned()), None);
        assert_eq!(weakness(&unknown).as_deref(), Some("ECDSA 1.2.3, which is not known"));
        assert_eq!(weakness(&view()), None);
    }

    fn view() -> KeyView {
        Ca::new("ca").certificate().view().public_key.clone()
    }

    #[test]
    fn passes_for_2048_bits() {
        assert!(of(&rsa(256, 3)).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        let mut case = Case::default();
        case.kubelet();
        assert!(run(&CHECK, &case).contains(&"not evaluated: certificate kubelet-client of kubelet".to_owned()));
    }
}
