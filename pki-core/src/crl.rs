//! Certificate revocation lists (RFC 5280 5): complete, direct, signed by the authority whose leaves they revoke.
//!
//! Kubernetes reads none; etcd does (`--client-crl-file`), anew for each connection. Delta, indirect and partitioned
//! lists are refused by name.
//!
//! ```text
//! issue_crl(issuer, entries, number, period, ..)  ->  RevocationList
//! CertificateList::parse(der, limits)  ->  CertificateList::verify(issuer, ..)  ->  RevocationList
//! ```

mod issue;
mod read;

use core::fmt;

use rustls_pki_types::CertificateRevocationListDer;
use time::UtcDateTime;

pub use self::issue::{IssueCrlError, issue_crl};
pub use self::read::{CertificateList, CrlError};
use crate::chain::VerifiedChain;
use crate::pem::{X509_CRL, encode_pem};
use crate::serial::Unsigned;
use crate::time::Validity;
use crate::{AuthorityId, CaCertificate, SerialNumber};

/// An authority as the issuer of revocation lists.
#[derive(Clone, Copy, Debug)]
pub struct CrlIssuer<'a>(&'a CaCertificate);

impl<'a> CrlIssuer<'a> {
    /// The authority, if readers must take its lists: its key usage has cRLSign, or it has no key usage.
    ///
    /// # Errors
    /// [`CrlError::NotACrlIssuer`], which is what a CA of kubeadm is.
    pub const fn new(certificate: &'a CaCertificate) -> Result<Self, CrlError> {
        if certificate.signs_crls() { Ok(Self(certificate)) } else { Err(CrlError::NotACrlIssuer) }
    }

    /// The authority, even if its key usage forbids it lists (RFC 5280 4.2.1.3).
    ///
    /// For readers that are known not to look: etcd takes the list of any issuer of its clients, and checks neither
    /// key usage nor signature. OpenSSL refuses such a list, and so does every reader that follows RFC 5280 6.3.3 (f).
    /// The lasting cure is a CA with cRLSign, which [`mint_root`](crate::mint_root) makes.
    #[must_use]
    pub const fn despite_key_usage(certificate: &'a CaCertificate) -> Self {
        Self(certificate)
    }

    /// The authority's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &'a CaCertificate {
        self.0
    }
}

/// The number of a list, greater for each list of an issuer than for all before it (RFC 5280 5.2.3).
///
/// Which number was the last is the issuer's record to keep, durably and before the list is handed out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlNumber(Unsigned);

impl CrlNumber {
    /// Of an issuer's first list.
    pub const FIRST: Self = Self(Unsigned::ZERO);

    /// This number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(Unsigned::padded(&number.to_be_bytes()))
    }

    /// The number of the next list; none after the last one of 20 octets.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.next().map(Self)
    }
}

impl fmt::Display for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrlNumber({self})")
    }
}

/// Why a certificate was revoked (RFC 5280 5.3.1). No reason is no entry extension, never `unspecified`; and
/// `removeFromCRL` belongs to delta lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RevocationReason {
    /// keyCompromise.
    KeyCompromise,
    /// cACompromise.
    CaCompromise,
    /// affiliationChanged.
    AffiliationChanged,
    /// superseded.
    Superseded,
    /// cessationOfOperation.
    CessationOfOperation,
    /// certificateHold: a later list may leave the certificate out again.
    CertificateHold,
    /// privilegeWithdrawn.
    PrivilegeWithdrawn,
    /// aACompromise.
    AaCompromise,
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The value of the `CRLReason`.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        })
    }
}

/// One entry of a list. Entries are ordered by serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevokedCertificate {
    serial: SerialNumber,
    revoked_at: UtcDateTime,
    reason: Option<RevocationReason>,
}

impl RevokedCertificate {
    /// The certificate of this serial number, revoked at this second for no stated reason.
    #[must_use]
    pub fn new(serial: impl Into<SerialNumber>, revoked_at: UtcDateTime) -> Self {
        Self { serial: serial.into(), revoked_at: revoked_at.truncate_to_second(), reason: None }
    }

    /// The same, for this reason.
    #[must_use]
    pub const fn because(mut self, reason: RevocationReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Which certificate.
    #[must_use]
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// Since when.
    #[must_use]
    pub const fn revoked_at(&self) -> UtcDateTime {
        self.revoked_at
    }

    /// Why, if it is said.
    #[must_use]
    pub const fn reason(&self) -> Option<RevocationReason> {
        self.reason
    }
}

/// A list whose signature is its issuer's: issued here, or read and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    der: CertificateRevocationListDer<'static>,
    issuer: AuthorityId,
    number: CrlNumber,
    period: Validity,
    entries: Vec<RevokedCertificate>,
}

impl RevocationList {
    /// The list, for a file or a `RevocationOptions` of webpki.
    #[must_use]
    pub const fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.der
    }

    /// The list as an `X509 CRL` block (RFC 7468 6).
    #[must_use]
    pub fn to_pem(&self) -> String {
        encode_pem(X509_CRL, &self.der)
    }

    /// Whose leaves it revokes, and whose key signed it.
    #[must_use]
    pub const fn issuer(&self) -> AuthorityId {
        self.issuer
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> CrlNumber {
        self.number
    }

    /// When it was issued.
    #[must_use]
    pub const fn this_update(&self) -> UtcDateTime {
        self.period.not_before()
    }

    /// By when the next one is there.
    #[must_use]
    pub const fn next_update(&self) -> UtcDateTime {
        self.period.not_after()
    }

    /// Whether the next list should be there by `now`, so that this one no longer says who is not revoked.
    #[must_use]
    pub fn is_stale(&self, now: UtcDateTime) -> bool {
        self.next_update() < now.truncate_to_second()
    }

    /// Whether it takes the place of `other`: the same issuer, and a greater number.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.number > other.number
    }

    /// Its entries, by serial number, each once.
    #[must_use]
    pub fn entries(&self) -> &[RevokedCertificate] {
        &self.entries
    }

    /// The entry of a certificate of this issuer.
    #[must_use]
    pub fn entry(&self, serial: impl Into<SerialNumber>) -> Option<&RevokedCertificate> {
        let serial = serial.into();
        let found = self.entries.binary_search_by_key(&serial, RevokedCertificate::serial);
        found.ok().and_then(|index| self.entries.get(index))
    }

    /// Whether a certificate of this issuer is revoked.
    #[must_use]
    pub fn is_revoked(&self, serial: impl Into<SerialNumber>) -> bool {
        self.entry(serial).is_some()
    }

    /// Judges the leaf of a chain that verified.
    ///
    /// # Errors
    /// When the leaf is revoked; when it is another issuer's, of which this list says nothing; when the list is stale
    /// or not valid yet. A revoked leaf is reported as such by a stale list too.
    pub fn check(&self, chain: &VerifiedChain, now: UtcDateTime) -> Result<(), RevocationError> {
        if chain.issuer() != self.issuer {
            return Err(RevocationError::OtherIssuer);
        }
        if let Some(entry) = self.entry(chain.serial()) {
            return Err(RevocationError::Revoked(*entry));
        }
        if self.is_stale(now) {
            return Err(RevocationError::Stale { next_update: self.next_update() });
        }
        if now < self.this_update() {
            return Err(RevocationError::NotYetValid { this_update: self.this_update() });
        }
        Ok(())
    }
}

/// Why a list does not clear a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationError {
    /// The leaf is revoked.
    Revoked(RevokedCertificate),
    /// The list is not of the authority that issued the leaf.
    OtherIssuer,
    /// The next list is overdue.
    Stale {
        /// When it was due.
        next_update: UtcDateTime,
    },
    /// The list is of the future.
    NotYetValid {
        /// When it begins.
        this_update: UtcDateTime,
    },
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked(entry) => {
                write!(f, "the certificate {} was revoked on {}", entry.serial, entry.revoked_at)?;
                entry.reason.map_or(Ok(()), |reason| write!(f, " for {reason} (RFC 5280 5.3.1)"))
            }
            Self::OtherIssuer => f.write_str("the revocation list is of another authority than the certificate"),
            Self::Stale { next_update } => {
                write!(f, "the revocation list is stale: the next was due on {next_update} (RFC 5280 5.1.2.5)")
            }
            Self::NotYetValid { this_update } => {
                write!(f, "the revocation list is not valid before {this_update} (RFC 5280 5.1.2.4)")
            }
        }
    }
}

impl core::error::Error for RevocationError {}
