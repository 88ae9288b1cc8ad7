//! What a relying party trusts, as a value with a content hash.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use rustls_pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use crate::certificate::hexadecimal;
use crate::decode::DecodeError;
use crate::pem::{self, PemError};
use crate::{CaCertificate, CaVersion, Fingerprint, Limits};

/// Which anchors a bundle holds: SHA-256 over their fingerprints, sorted. Order and
/// repetition do not change what is trusted, so they do not change the hash.
///
/// With the feature `serde` it is written in lower-case hexadecimal, as it prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
///
/// A bundle of generations ([`of_generations`](Self::of_generations)) also says which ones it holds; that is what
/// people and status lines speak of, and no part of the hash.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    certificates: Vec<CaCertificate>,
    anchors: Vec<TrustAnchor<'static>>,
    versions: Vec<CaVersion>,
    hash: BundleHash,
}

impl TrustBundle {
    /// A bundle of these CA certificates, in this order; repetitions are dropped.
    ///
    /// # Errors
    /// When webpki cannot take one of them as an anchor.
    pub fn new(certificates: impl IntoIterator<Item = CaCertificate>) -> Result<Self, BundleError> {
        let mut seen = BTreeSet::new();
        let (mut unique, mut anchors) = (Vec::new(), Vec::new());
        for (index, certificate) in certificates.into_iter().enumerate() {
            if !seen.insert(certificate.fingerprint()) {
                continue;
            }
            let anchor = webpki::anchor_from_trusted_cert(certificate.der()).map_err(|_| BundleError::Certificate {
                position: index + 1,
                line: None,
                cause: DecodeError::value("trust anchor", "webpki cannot use it"),
            })?;
            anchors.push(anchor.to_owned());
            unique.push(certificate);
        }
        let hash = BundleHash::of(seen);
        Ok(Self { certificates: unique, anchors, versions: Vec::new(), hash })
    }

    /// A bundle of these generations of one authority, the oldest first; the same generation again is dropped.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`BundleError::Generation`] when two certificates claim one generation, or one
    /// certificate two.
    pub fn of_generations(
        generations: impl IntoIterator<Item = (CaVersion, CaCertificate)>,
    ) -> Result<Self, BundleError> {
        let mut by_version: BTreeMap<CaVersion, CaCertificate> = BTreeMap::new();
        for (version, certificate) in generations {
            let is_clear = by_version.iter().all(|(other, known)| (*other == version) == (*known == certificate));
            if !is_clear {
                return Err(BundleError::Generation(version));
            }
            by_version.insert(version, certificate);
        }
        let versions = by_version.keys().copied().collect();
        Ok(Self { versions, ..Self::new(by_version.into_values())? })
    }

    /// The generations in it, ascending; empty for a bundle that was not made of generations.
    #[must_use]
    pub fn versions(&self) -> &[CaVersion] {
        &self.versions
    }

    /// A bundle of certificates as they were sent or stored.
    ///
    /// # Errors
    /// When there are more than [`Limits::anchors_max`], or one of them is not a CA certificate.
    pub fn from_der(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        limits: &Limits,
    ) -> Result<Self, BundleError> {
        let mut parsed = Vec::new();
        for (index, der) in certificates.into_iter().enumerate() {
            if index == limits.anchors_max {
                return Err(BundleError::TooMany { max: limits.anchors_max });
            }
            let unfit = |cause| BundleError::Certificate { position: index + 1, line: None, cause };
            parsed.push(CaCertificate::parse_within(der, limits).map_err(unfit)?);
        }
        Self::new(parsed)
    }

    /// A bundle from a file of `CERTIFICATE` blocks (RFC 7468 5). Text between the blocks is allowed, a block of any
    /// other kind is not: a private key has no place in a file that is handed to everybody.
    ///
    /// # Errors
    /// When the file is not such a file, holds no certificate or more than [`Limits::anchors_max`], or one of them is
    /// not a CA certificate; the error names the block and its line.
    pub fn from_pem(text: &[u8], limits: &Limits) -> Result<Self, BundleError> {
        let blocks = pem::pem_blocks(text, limits).map_err(BundleError::Pem)?;
        if blocks.is_empty() {
            return Err(BundleError::Empty);
        }
        if blocks.len() > limits.anchors_max {
            return Err(BundleError::TooMany { max: limits.anchors_max });
        }
        let mut parsed = Vec::with_capacity(blocks.len());
        for (index, block) in blocks.iter().enumerate() {
            let der = block.decode_as(pem::CERTIFICATE).map_err(BundleError::Pem)?;
            let unfit = |cause| BundleError::Certificate { position: index + 1, line: Some(block.line()), cause };
            parsed.push(CaCertificate::parse_within(der.into(), limits).map_err(unfit)?);
        }
        Self::new(parsed)
    }

    /// The bundle as a file of `CERTIFICATE` blocks, in order and without repetitions: the Kubernetes API refuses a
    /// ClusterTrustBundle in which a certificate stands twice.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(|certificate| pem::encode_pem(pem::CERTIFICATE, certificate.der())).collect()
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

    /// The certificates, valid at `now`, that are the anchor which webpki chose: more than one where an authority was
    /// renewed. What they differ in, webpki forgets; a path needs one of them to allow all of it.
    pub(crate) fn certificates_of<'a>(
        &'a self,
        chosen: &'a TrustAnchor<'_>,
        now: UtcDateTime,
    ) -> impl Iterator<Item = &'a CaCertificate> {
        let pairs = self.certificates.iter().zip(&self.anchors);
        // Name constraints too: webpki has judged by those of the anchor that it chose, and by no other's.
        let is_chosen = move |(certificate, anchor): &(&CaCertificate, &TrustAnchor<'_>)| {
            certificate.validity().contains(now) && *anchor == chosen
        };
        pairs.filter(is_chosen).map(|(certificate, _)| certificate)
    }
}

/// Why certificates make no trust bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// A file without a certificate: whoever trusts nobody says so with [`TrustBundle::new`] and no certificates.
    Empty,
    /// More certificates than [`Limits::anchors_max`].
    TooMany {
        /// Certificates allowed.
        max: usize,
    },
    /// Two certificates of one generation, or one of two.
    Generation(CaVersion),
    /// Not a file of certificates.
    Pem(PemError),
    /// One of the certificates is no anchor.
    Certificate {
        /// Which one, counted from 1.
        position: usize,
        /// The line of the file on which its block begins, where it comes from a file.
        line: Option<usize>,
        /// What is wrong with it.
        cause: DecodeError,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no certificate, expected at least one"),
            Self::TooMany { max } => write!(f, "more than {max} certificates"),
            Self::Generation(version) => {
                write!(f, "CAVersion {version}: one generation has one certificate, and no other has the same")
            }
            Self::Pem(error) => error.fmt(f),
            Self::Certificate { position, line: None, cause } => write!(f, "certificate {position}: {cause}"),
            Self::Certificate { position, line: Some(line), cause } => {
                write!(f, "certificate {position}, line {line}: {cause}")
            }
        }
    }
}

impl core::error::Error for BundleError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Empty | Self::TooMany { .. } | Self::Generation(_) => None,
            Self::Pem(error) => Some(error),
            Self::Certificate { cause, .. } => Some(cause),
        }
    }
}

/// As GDC's status lines write it, `CA bundle [1 2]`, and the hash.
impl fmt::Display for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.versions.is_empty() {
            return write!(f, "{} anchors, {}", self.certificates.len(), self.hash);
        }
        f.write_str("CA bundle [")?;
        for (index, version) in self.versions.iter().enumerate() {
            write!(f, "{}{version}", if index > 0 { " " } else { "" })?;
        }
        write!(f, "], {}", self.hash)
    }
}
