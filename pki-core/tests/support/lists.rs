//! Revocation lists of an authority of this process.

use std::sync::LazyLock;

use pki_core::{
    AuthorityRole, CaCertificate, CaVersion, CrlIssuer, CrlNumber, IssueCrlError, KeyAlgorithm, Limits, RevocationList,
    RevokedCertificate, SerialNumber, Validity, issue_crl,
};
use signer_hsm::SoftwareKey;

use crate::authority::{Authority, NOW, at};
use crate::drafts::{Draft, ca, key_usage};
use crate::keys::{VERIFIERS, key};

pub(crate) static ETCD: LazyLock<Authority> =
    LazyLock::new(|| Authority::mint(AuthorityRole::Etcd, CaVersion::FIRST, KeyAlgorithm::P256));
pub(crate) const DAY: i64 = 86_400;

pub(crate) fn issuer() -> CrlIssuer<'static> {
    CrlIssuer::new(ETCD.issuer.certificate()).unwrap()
}

pub(crate) fn period(from: i64, to: i64) -> Validity {
    Validity::new(at(from), at(to)).unwrap()
}

pub(crate) fn issue_within(
    entries: &[RevokedCertificate],
    number: CrlNumber,
    period: Validity,
    limits: &Limits,
) -> Result<RevocationList, IssueCrlError> {
    issue_crl(&issuer(), entries.iter().copied(), number, period, limits, &ETCD.key, VERIFIERS)
}

pub(crate) fn issue(entries: &[RevokedCertificate]) -> RevocationList {
    issue_within(entries, CrlNumber::new(7), period(NOW, NOW + 7 * DAY), &Limits::DEFAULT).unwrap()
}

pub(crate) fn number(content: &[u8]) -> SerialNumber {
    SerialNumber::from_content(content).unwrap()
}

/// A CA as kubeadm makes it: digitalSignature, keyEncipherment, keyCertSign, and no cRLSign.
pub(crate) fn kubeadm_ca() -> (SoftwareKey, CaCertificate) {
    let key = key(KeyAlgorithm::P256);
    let root = Draft::authority("etcd-ca", "etcd-ca").with(&[ca(), key_usage(2, 0xa4)]).sign(&key, &key);
    (key, CaCertificate::parse(root).unwrap())
}
