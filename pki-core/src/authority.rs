//! Authorities: their names, and how their certificates come into being.

mod cross;

pub use cross::{CrossCertificate, CrossSignError, RootLimit, cross_sign};

use rustls_pki_types::CertificateDer;

use crate::issuance::{IssueError, sign_as};
use crate::lint::{Decided, Expected, Lint, lint};
use crate::name::Subject;
use crate::separation::{AdmittedExternalKey, AdmittedKey};
use crate::signer::Signer;
use crate::tbs::{
    CA_KEY_USAGE, Part, Tbs, assemble, authority_key_identifier, basic_constraints, encode_subject, key_usage,
};
use crate::time::Validity;
use crate::verify::{IdentifiedKey, SubjectPublicKey, Verifiers};
use crate::{AuthorityRole, CaCertificate, CaVersion, Serial, SignatureAlgorithm};

/// The subject of a CA: kubeadm's names for the first version, and a subject of its own for each
/// later one, so that a verifier's error names the right authority and path building never tries
/// the wrong key.
#[must_use]
pub fn ca_subject(role: AuthorityRole, version: CaVersion) -> Option<Subject> {
    let name = base_name(role)?;
    Some(if version == CaVersion::FIRST {
        Subject::new(name, &[])
    } else {
        Subject::new(format!("{name}-v{version}"), &[])
    })
}

/// The common name of the first version, or `None` for a key set, which has no certificate.
const fn base_name(role: AuthorityRole) -> Option<&'static str> {
    Some(match role {
        AuthorityRole::Cluster => "kubernetes",
        AuthorityRole::Client => "client-ca",
        AuthorityRole::Kubelet => "kubelet-ca",
        AuthorityRole::AggregatedApi => "aggregated-api-ca",
        AuthorityRole::Etcd => "etcd-ca",
        AuthorityRole::EtcdApi => "etcd-api-ca",
        AuthorityRole::EtcdPeer => "etcd-peer-ca",
        AuthorityRole::FrontProxy => "front-proxy-ca",
        AuthorityRole::Konnectivity => "konnectivity-ca",
        AuthorityRole::ServiceAccount => return None,
    })
}

/// Mints the self-signed root of an authority, whose key was admitted for it alone.
///
/// A key that no ledger has admitted does not fit:
///
/// ```compile_fail,E0308
/// use pki_core::verify::Verifiers;
/// use pki_core::{Serial, Signer, Validity, mint_root};
///
/// fn mint(signer: &dyn Signer, validity: Validity, serial: Serial, verifiers: Verifiers<'_>) {
///     let root = mint_root(signer, validity, serial, verifiers);
/// }
/// ```
///
/// # Errors
/// When the role is a key set, or the signer fails.
pub fn mint_root(
    key: &AdmittedKey<'_>,
    validity: Validity,
    serial: Serial,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    let subject = ca_subject(key.role, key.version).ok_or(IssueError::KeySet(key.role))?;
    mint_self_signed(&subject, &key.key, key.signer, validity, serial, verifiers)
}

/// Mints the self-signed root of a CA outside the hierarchy, such as an organization's own CA, under the name for which
/// its key was admitted.
///
/// # Errors
/// When the signer fails.
pub fn mint_external_root(
    key: &AdmittedExternalKey<'_>,
    validity: Validity,
    serial: Serial,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    mint_self_signed(&Subject::new(key.name.as_str(), &[]), &key.key, key.signer, validity, serial, verifiers)
}

fn mint_self_signed(
    subject: &Subject,
    key: &SubjectPublicKey<'_>,
    signer: &dyn Signer,
    validity: Validity,
    serial: Serial,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    let signature_algorithm = key.algorithm().certificate_signature().identifier();
    let (decided, subject) = (subject, encode_subject(subject));
    let identified = IdentifiedKey::new(*key);
    let id = identified.id();
    let tbs = Tbs {
        serial,
        signature_algorithm: &signature_algorithm,
        issuer: &subject,
        validity,
        subject: Part::Encoded(&subject),
        public_key: key.as_der(),
        extensions: &[
            Part::Encoded(&key_usage(CA_KEY_USAGE)),
            Part::Encoded(&basic_constraints(true)),
            Part::SubjectKeyId(id.as_bytes()),
            Part::Encoded(&authority_key_identifier(id.as_bytes())),
        ],
    }
    .encode();
    let mut expected = expected_ca(&subject, id.as_bytes(), &signature_algorithm, validity);
    let serial = serial.as_bytes();
    expected.decided = Some(Decided { serial, validity, subject: decided.into(), key: &identified });
    let der = finish(&tbs, lint(&tbs, &expected), key, signer, verifiers)?;
    CaCertificate::parse(der).map_err(IssueError::Issuer)
}

const fn expected_ca<'a>(
    issuer_name: &'a [u8],
    issuer_key_id: &'a [u8],
    signature_algorithm: &'a [u8],
    validity: Validity,
) -> Expected<'a> {
    Expected {
        issuer_name,
        issuer_key_id,
        signature_algorithm,
        validity,
        ca: true,
        key_usage: CA_KEY_USAGE,
        extended_key_usage: &[],
        subject_alt_names: &[],
        decided: None,
    }
}

/// Signs what has no fault with `key`, which the signer must hold, and checks the fresh signature.
fn finish(
    tbs: &[u8],
    faults: Vec<Lint>,
    key: &SubjectPublicKey<'_>,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CertificateDer<'static>, IssueError> {
    if !faults.is_empty() {
        return Err(IssueError::Lint(faults));
    }
    let algorithm = key.algorithm().certificate_signature();
    let mut space = [0; SignatureAlgorithm::LEN_MAX];
    let signature = sign_as(key.as_der(), algorithm, signer, tbs, &mut space)?;
    verifiers.verify(key, algorithm, tbs, signature).map_err(IssueError::BadSignature)?;
    Ok(assemble(tbs, &algorithm.identifier(), signature))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_generation_of_every_authority_has_a_name_of_its_own() {
        let versions = [1, 2, 3, 10].map(|number| CaVersion::new(number).unwrap());
        let authorities = || AuthorityRole::ALL.into_iter().filter(|role| role.is_certificate_authority());
        let subject = |role| versions.map(|version| ca_subject(role, version).unwrap());
        let names: BTreeSet<_> = authorities().flat_map(subject).collect();
        assert_eq!(names.len(), authorities().count() * versions.len());
        assert_eq!(ca_subject(AuthorityRole::ServiceAccount, CaVersion::FIRST), None);
    }
}
