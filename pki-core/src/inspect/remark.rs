//! What a reader should know about a certificate, beyond what it says.

use core::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use time::{Duration, UtcDateTime};

use super::Weakness;
use crate::DecodeError;
use crate::calendar::rfc3339;

/// Days before expiry at which a notice is due: 180, when an insight is produced, and 30, when a rotation is started
/// whatever the maintenance windows say (GKE's thresholds).
pub const EXPIRY_NOTICES: [i64; 2] = [30, 180];

/// How much a [`Remark`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Notice,
    /// Verifiers refuse the certificate, or it protects nothing.
    Fault,
}

/// One thing to know about a certificate or request.
///
/// Serializes as its code, its severity and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// The last second has passed.
    Expired {
        /// The last second.
        not_after: UtcDateTime,
    },
    /// The first second is to come.
    NotYetValid {
        /// The first second.
        not_before: UtcDateTime,
    },
    /// The last second lies before the first.
    NeverValid,
    /// Valid, but not for long.
    ExpiresSoon {
        /// The last second.
        not_after: UtcDateTime,
        /// Which of [`EXPIRY_NOTICES`] is the tightest that holds.
        within_days: i64,
    },
    /// Valid for longer than its issuer, which ends it earlier than it says.
    OutlivesIssuer {
        /// The issuer's last second.
        issuer_not_after: UtcDateTime,
    },
    /// The key protects nothing.
    WeakKey {
        /// Why.
        weakness: Weakness,
    },
    /// Signed with MD5 or SHA-1.
    WeakSignature {
        /// What the algorithm is called.
        algorithm: String,
    },
    /// Two signature algorithms that differ.
    SignatureAlgorithms,
    /// A server certificate without an alternative name: clients compare nothing else.
    ServerWithoutNames,
    /// A CA that may not sign certificates.
    CaWithoutKeyCertSign,
    /// May sign certificates, and is no CA.
    KeyCertSignWithoutCa,
    /// Asks to become a CA.
    AsksForCa,
    /// In the group that no authorizer can restrict.
    SystemMasters,
    /// A serial number that is not positive, or longer than 20 octets.
    Serial,
    /// No version 3, so that nothing says what the certificate is for.
    Version {
        /// The version.
        version: u8,
    },
    /// One extension stands twice.
    RepeatedExtension {
        /// Which one.
        oid: String,
    },
    /// An extension is not what RFC 5280 says it is.
    UnreadableExtension {
        /// Which one.
        oid: String,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The signature of a request is not that of its key.
    PossessionRefuted,
}

impl Remark {
    /// The stable name, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::NeverValid => "never_valid",
            Self::ExpiresSoon { .. } => "expires_soon",
            Self::OutlivesIssuer { .. } => "outlives_issuer",
            Self::WeakKey { .. } => "weak_key",
            Self::WeakSignature { .. } => "weak_signature",
            Self::SignatureAlgorithms => "signature_algorithms",
            Self::ServerWithoutNames => "server_without_names",
            Self::CaWithoutKeyCertSign => "ca_without_key_cert_sign",
            Self::KeyCertSignWithoutCa => "key_cert_sign_without_ca",
            Self::AsksForCa => "asks_for_ca",
            Self::SystemMasters => "system_masters",
            Self::Serial => "serial",
            Self::Version { .. } => "version",
            Self::RepeatedExtension { .. } => "repeated_extension",
            Self::UnreadableExtension { .. } => "unreadable_extension",
            Self::PossessionRefuted => "possession_refuted",
        }
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ExpiresSoon { .. }
            | Self::OutlivesIssuer { .. }
            | Self::AsksForCa
            | Self::SystemMasters
            | Self::Serial
            | Self::Version { .. } => Severity::Notice,
            _ => Severity::Fault,
        }
    }

    /// What there is to say about these two times at `now`, if anything.
    pub(super) fn on_validity(not_before: UtcDateTime, not_after: UtcDateTime, now: UtcDateTime) -> Option<Self> {
        let now = now.truncate_to_second();
        if not_after < not_before {
            return Some(Self::NeverValid);
        }
        if not_after < now {
            return Some(Self::Expired { not_after });
        }
        if now < not_before {
            return Some(Self::NotYetValid { not_before });
        }
        let left = not_after - now;
        let within_days = EXPIRY_NOTICES.into_iter().find(|days| left <= Duration::days(*days))?;
        Some(Self::ExpiresSoon { not_after, within_days })
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { not_after } => write!(f, "expired at {}", rfc3339(*not_after)),
            Self::NotYetValid { not_before } => write!(f, "not valid before {}", rfc3339(*not_before)),
            Self::NeverValid => f.write_str("never valid: notAfter lies before notBefore (RFC 5280 4.1.2.5)"),
            Self::ExpiresSoon { not_after, within_days } => {
                write!(f, "expires within {within_days} days, at {}", rfc3339(*not_after))
            }
            Self::OutlivesIssuer { issuer_not_after } => {
                write!(f, "valid beyond its issuer, which expires at {}", rfc3339(*issuer_not_after))
            }
            Self::WeakKey { weakness: Weakness::Short } => {
                f.write_str("the key gives less than 112 bits of security (NIST SP 800-131A)")
            }
            Self::WeakKey { weakness: Weakness::Exponent } => {
                f.write_str("the RSA exponent is 1 or even, which is no RSA (RFC 8017 3.1)")
            }
            Self::WeakKey { weakness: Weakness::Unreadable } => {
                f.write_str("the public key is not one of its algorithm (RFC 8017 A.1.1)")
            }
            Self::WeakSignature { algorithm } => {
                write!(f, "signed with {algorithm}, which proves nothing (NIST SP 800-131A)")
            }
            Self::SignatureAlgorithms => f.write_str("two signature algorithms that differ (RFC 5280 4.1.1.2)"),
            Self::ServerWithoutNames => f.write_str(
                "a server certificate without subject alternative names, which clients refuse (RFC 9525 6.3)",
            ),
            Self::CaWithoutKeyCertSign => f.write_str("a CA without keyCertSign (RFC 5280 4.2.1.3)"),
            Self::KeyCertSignWithoutCa => f.write_str("keyCertSign without the CA bit (RFC 5280 4.2.1.9)"),
            Self::AsksForCa => f.write_str("asks to become a CA, which no leaf is (RFC 5280 4.2.1.9)"),
            Self::SystemMasters => f.write_str("in the group system:masters, which no authorizer restricts"),
            Self::Serial => f.write_str("the serial number is not 1 to 20 octets and positive (RFC 5280 4.1.2.2)"),
            Self::Version { version } => write!(f, "version {version}, which has no extensions (RFC 5280 4.1.2.1)"),
            Self::RepeatedExtension { oid } => write!(f, "the extension {oid} stands twice (RFC 5280 4.2)"),
            Self::UnreadableExtension { oid, error } => write!(f, "the extension {oid} is not readable: {error}"),
            Self::PossessionRefuted => f.write_str("possession of the key is not proven (RFC 2986 4.2)"),
        }
    }
}

impl Serialize for Remark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut remark = serializer.serialize_struct("Remark", 3)?;
        remark.serialize_field("code", self.code())?;
        remark.serialize_field("severity", &self.severity())?;
        remark.serialize_field("text", &self.to_string())?;
        remark.end()
    }
}
