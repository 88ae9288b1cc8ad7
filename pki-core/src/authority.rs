//! Authorities: their names, and how their certificates come into being.

use crate::issuance::IssueError;
use crate::lint::{Expected, lint};
use crate::name::Subject;
use crate::signer::{Signer, sign_to_vec};
use crate::tbs::{
    CA_KEY_USAGE, Tbs, assemble, authority_key_identifier, basic_constraints, encode_subject, key_usage,
    subject_key_identifier,
};
use crate::time::Validity;
use crate::verify::{SubjectPublicKey, Verifiers};
use crate::{AuthorityId, AuthorityRole, CaCertificate, CaVersion, Serial};

/// The subject of a CA: kubeadm's names for the first version, and a subject of its own for each
/// later one, so that a verifier's error names the right authority and path building never tries
/// the wrong key.
#[must_use]
pub fn ca_subject(role: AuthorityRole, version: CaVersion) -> Option<Subject> {
    let name = match role {
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
    };
    Some(if version == CaVersion::FIRST {
        Subject::new(name, &[])
    } else {
        Subject::new(format!("{name}-v{version}"), &[])
    })
}

/// Mints the self-signed root of an authority.
///
/// # Errors
/// When the role is a key set, the signer's key is of no accepted kind, or the signer fails.
pub fn mint_root(
    role: AuthorityRole,
    version: CaVersion,
    validity: Validity,
    serial: Serial,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    let subject = ca_subject(role, version).ok_or(IssueError::KeySet(role))?;
    mint_self_signed(&subject, validity, serial, signer, verifiers)
}

/// Mints the self-signed root of a CA outside the hierarchy, such as an organization's own CA.
///
/// # Errors
/// As [`mint_root`]; a name that is not a DNS-1123 subdomain cannot be passed.
pub fn mint_external_root(
    name: &crate::DnsName,
    validity: Validity,
    serial: Serial,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    mint_self_signed(&Subject::new(name.as_str(), &[]), validity, serial, signer, verifiers)
}

fn mint_self_signed(
    subject: &Subject,
    validity: Validity,
    serial: Serial,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    let key = SubjectPublicKey::parse(signer.public_key()).map_err(IssueError::Issuer)?;
    let algorithm = key.algorithm().certificate_signature();
    let signature_algorithm = algorithm.identifier();
    let subject = encode_subject(subject);
    let id = AuthorityId::of(&key);
    let tbs = Tbs {
        serial,
        signature_algorithm: &signature_algorithm,
        issuer: &subject,
        validity,
        subject: &subject,
        public_key: key.as_der(),
        extensions: &[
            &key_usage(CA_KEY_USAGE),
            &basic_constraints(true),
            &subject_key_identifier(id),
            &authority_key_identifier(id.as_bytes()),
        ],
    }
    .encode();
    let faults = lint(
        &tbs,
        &Expected {
            issuer_name: &subject,
            issuer_key_id: id.as_bytes(),
            signature_algorithm: &signature_algorithm,
            validity,
            ca: true,
            key_usage: CA_KEY_USAGE,
            extended_key_usage: &[],
            subject_alt_names: &[],
        },
    );
    if !faults.is_empty() {
        return Err(IssueError::Lint(faults));
    }
    let signature = sign_to_vec(signer, &tbs).map_err(IssueError::Sign)?;
    verifiers.verify(&key, algorithm, &tbs, &signature).map_err(IssueError::BadSignature)?;
    CaCertificate::parse(assemble(&tbs, &signature_algorithm, &signature)).map_err(IssueError::Issuer)
}
