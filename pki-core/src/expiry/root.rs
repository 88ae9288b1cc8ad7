//! The root that a cluster's API shows, and many clusters at once.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use time::UtcDateTime;

use crate::pem::{self, PemError, pem_blocks};
use crate::{CaCertificate, DecodeError, Limits, Printable, Validity, calendar};

/// Both ends of a validity, as `openssl x509 -noout -dates` writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidityDates(pub Validity);

impl fmt::Display for ValidityDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [not_before, not_after] = [self.0.not_before(), self.0.not_after()].map(calendar::openssl);
        write!(f, "notBefore={not_before}\nnotAfter={not_after}")
    }
}

/// The cluster root as the API of the cluster shows it.
///
/// While a rotation is under way, the original is shown: its validity is what clients depend on until the completion.
/// From the completion on it is the successor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActiveRoot {
    /// No rotation is under way.
    Settled(CaCertificate),
    /// A rotation was started and is not completed.
    Rotating {
        /// The root that the rotation replaces.
        original: CaCertificate,
        /// The root that replaces it.
        successor: CaCertificate,
    },
}

impl ActiveRoot {
    /// Reads the field `masterAuth.clusterCaCertificate` of a GKE cluster: base64 (RFC 4648 4) around PEM or DER.
    /// Line ends are skipped. Of several certificates the first counts, as it does for openssl.
    ///
    /// # Errors
    /// When it is longer than base64 makes of [`Limits::pem_len_max`] octets, no base64, or no CA certificate.
    pub fn decode(field: &str, limits: &Limits) -> Result<Self, ActiveRootError> {
        let max = limits.pem_len_max.saturating_mul(4) / 3 + 4;
        if field.len() > max {
            return Err(ActiveRootError::TooLong { found: field.len(), max });
        }
        let encoded: Vec<u8> = field.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
        let octets = STANDARD.decode(encoded).map_err(|_| ActiveRootError::Encoding)?;
        let der = match pem_blocks(&octets, limits).map_err(ActiveRootError::Pem)?.first() {
            Some(block) => block.decode_as(pem::CERTIFICATE).map_err(ActiveRootError::Pem)?,
            None => octets,
        };
        CaCertificate::parse(CertificateDer::from(der)).map(Self::Settled).map_err(ActiveRootError::Certificate)
    }

    /// A rotation to `successor` starts.
    ///
    /// # Errors
    /// [`ActiveRootError::RotationUnderWay`] when one has started before.
    pub fn start(self, successor: CaCertificate) -> Result<Self, ActiveRootError> {
        match self {
            Self::Settled(original) => Ok(Self::Rotating { original, successor }),
            Self::Rotating { .. } => Err(ActiveRootError::RotationUnderWay),
        }
    }

    /// The rotation completes. Without one, nothing changes.
    #[must_use]
    pub fn complete(self) -> Self {
        match self {
            Self::Rotating { successor, .. } => Self::Settled(successor),
            settled @ Self::Settled(_) => settled,
        }
    }

    /// The certificate that is shown.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        match self {
            Self::Settled(certificate) | Self::Rotating { original: certificate, .. } => certificate,
        }
    }

    /// The validity that is shown.
    #[must_use]
    pub const fn dates(&self) -> ValidityDates {
        ValidityDates(self.certificate().validity())
    }
}

/// Why there is no root to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActiveRootError {
    /// Longer than the limit, unread.
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// Not base64.
    Encoding,
    /// PEM inside, and not sound.
    Pem(PemError),
    /// Not the certificate of a CA.
    Certificate(DecodeError),
    /// A rotation cannot start before the last one is completed.
    RotationUnderWay,
}

impl ActiveRootError {
    /// The stable name of the error, for logs and counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "active_root.too_long",
            Self::Encoding => "active_root.encoding",
            Self::Pem(_) => "active_root.pem",
            Self::Certificate(_) => "active_root.certificate",
            Self::RotationUnderWay => "active_root.rotation_under_way",
        }
    }
}

impl fmt::Display for ActiveRootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found, max } => write!(f, "the cluster's CA has {found} octets of base64, limit {max}"),
            Self::Encoding => f.write_str("the cluster's CA is not base64 (RFC 4648 4)"),
            Self::Pem(error) => write!(f, "the cluster's CA: {error}"),
            Self::Certificate(error) => write!(f, "the cluster's CA: {error}"),
            Self::RotationUnderWay => f.write_str("a rotation is under way and has to complete before the next starts"),
        }
    }
}

impl core::error::Error for ActiveRootError {}

/// The root expiry of many clusters, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetTable(Vec<(Printable, UtcDateTime)>);

impl FleetTable {
    /// The heading.
    pub const HEADING: &'static str = "Cluster Name | Certificate Expiry Date";

    /// The clusters by name, each with the root that its API shows.
    pub fn new<'a>(clusters: impl IntoIterator<Item = (&'a str, &'a ActiveRoot)>) -> Self {
        let row = |(name, root): (&str, &ActiveRoot)| (name.into(), root.certificate().validity().not_after());
        Self(clusters.into_iter().map(row).collect())
    }

    /// The clusters by name, each with the last second of what expires first, for callers that know no more of them.
    pub fn of_expiries<'a>(clusters: impl IntoIterator<Item = (&'a str, UtcDateTime)>) -> Self {
        Self(clusters.into_iter().map(|(name, expiry)| (name.into(), expiry)).collect())
    }
}

impl fmt::Display for FleetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Self::HEADING)?;
        self.0.iter().try_for_each(|(name, not_after)| writeln!(f, "{name:<40} | {}", calendar::openssl(*not_after)))
    }
}
