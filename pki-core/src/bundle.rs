//! What a relying party trusts, as a value with a content hash.

use core::fmt;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use crate::certificate::hexadecimal;
use crate::decode::DecodeError;
use crate::{CaCertificate, Fingerprint};

/// Which anchors a bundle holds: SHA-256 over their fingerprints, sorted. Order and
/// repetition do not change what is trusted, so they do not change the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BundleHash([u8; 32]);

hexadecimal!(BundleHash);

impl BundleHash {
    /// The hash of a bundle of these anchors.
    pub fn of(anchors: impl IntoIterator<Item = Fingerprint>) -> Self {
        let mut anchors: Vec<_> = anchors.into_iter().collect();
        anchors.sort_unstable();
        anchors.dedup();
        let mut hash = Sha256::new();
        anchors.iter().for_each(|anchor| hash.update(anchor.as_bytes()));
        Self(hash.finalize().into())
    }
}

/// Trust anchors, in order, each once.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    certificates: Vec<CaCertificate>,
    anchors: Vec<TrustAnchor<'static>>,
    hash: BundleHash,
}

impl TrustBundle {
    /// A bundle of these CA certificates, in this order; repetitions are dropped.
    ///
    /// # Errors
    /// When webpki cannot take one of them as an anchor.
    pub fn new(certificates: impl IntoIterator<Item = CaCertificate>) -> Result<Self, DecodeError> {
        let mut unique: Vec<CaCertificate> = Vec::new();
        for certificate in certificates {
            if !unique.contains(&certificate) {
                unique.push(certificate);
            }
        }
        let anchor = |certificate: &CaCertificate| {
            webpki::anchor_from_trusted_cert(certificate.der())
                .map(|anchor| anchor.to_owned())
                .map_err(|_| DecodeError::value("trust anchor", "webpki cannot use it"))
        };
        let anchors = unique.iter().map(anchor).collect::<Result<_, _>>()?;
        let hash = BundleHash::of(unique.iter().map(CaCertificate::fingerprint));
        Ok(Self { certificates: unique, anchors, hash })
    }

    /// A bundle from certificates as they stand in a file.
    ///
    /// # Errors
    /// When one of them is not a CA certificate.
    pub fn from_der(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, DecodeError> {
        let parsed: Result<Vec<_>, _> = certificates.into_iter().map(CaCertificate::parse).collect();
        Self::new(parsed?)
    }

    /// The certificates, in order.
    #[must_use]
    pub fn certificates(&self) -> &[CaCertificate] {
        &self.certificates
    }

    /// Which anchors these are.
    #[must_use]
    pub const fn hash(&self) -> BundleHash {
        self.hash
    }

    /// Whether nothing is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The anchors that are valid at `now`, as webpki takes them.
    ///
    /// webpki forgets an anchor's validity, so an expired root would stay trusted for ever.
    pub(crate) fn anchors_at(&self, now: UtcDateTime) -> std::borrow::Cow<'_, [TrustAnchor<'static>]> {
        let valid = |certificate: &CaCertificate| certificate.validity().contains(now);
        if self.certificates.iter().all(valid) {
            return (&self.anchors).into();
        }
        let pairs = self.certificates.iter().zip(&self.anchors);
        pairs.filter(|(certificate, _)| valid(certificate)).map(|(_, anchor)| anchor.clone()).collect()
    }

    /// The certificate of an anchor that webpki chose.
    pub(crate) fn certificate_of(&self, chosen: &TrustAnchor<'_>) -> Option<&CaCertificate> {
        let pairs = self.certificates.iter().zip(&self.anchors);
        let same = |anchor: &TrustAnchor<'_>| {
            anchor.subject == chosen.subject && anchor.subject_public_key_info == chosen.subject_public_key_info
        };
        pairs.into_iter().find(|(_, anchor)| same(anchor)).map(|(certificate, _)| certificate)
    }
}

impl fmt::Display for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} anchors, {}", self.certificates.len(), self.hash)
    }
}
