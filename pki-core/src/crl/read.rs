//! Reading a list: strict, bounded, and of no worth before its signature is checked.

use core::fmt;

use rustls_pki_types::CertificateRevocationListDer;

use super::{CrlIssuer, CrlNumber, RevocationList, RevocationReason, RevokedCertificate};
use crate::certificate::{Extension, oids};
use crate::decode::{DecodeError, Elements};
use crate::encode::tag;
use crate::serial::Unsigned;
use crate::time::{Validity, decode_time};
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{Limits, SerialNumber, SignatureAlgorithm};

/// A list as it was read. Nothing is proven, so it says nothing yet.
#[derive(Clone, Debug)]
pub struct CertificateList<'a> {
    der: &'a [u8],
    tbs_der: &'a [u8],
    tbs: TbsCertList<'a>,
    signature: &'a [u8],
}

impl<'a> CertificateList<'a> {
    /// Reads a `CertificateList` (RFC 5280 5.1): v2, with nextUpdate, authority key identifier and number, each serial
    /// number once.
    ///
    /// # Errors
    /// [`CrlError`], with the reason.
    pub fn parse(der: &'a [u8], limits: &Limits) -> Result<Self, CrlError> {
        if der.len() > limits.crl_len_max {
            return Err(CrlError::TooLong { found: der.len(), max: limits.crl_len_max });
        }
        let mut list = Elements::of("CertificateList", tag::SEQUENCE, der)?;
        let tbs_der = list.element(tag::SEQUENCE)?;
        let algorithm = list.content(tag::SEQUENCE)?;
        let signature = list.bit_string()?;
        list.finish()?;
        let tbs = TbsCertList::parse(tbs_der, limits)?;
        if tbs.signature != algorithm {
            return Err(DecodeError::value("CertificateList", "two signature algorithms (RFC 5280 5.1.1.2)").into());
        }
        Ok(Self { der, tbs_der, tbs, signature })
    }

    /// The issuer's `Name`, as encoded: whose certificate to look for.
    #[must_use]
    pub const fn issuer_der(&self) -> &'a [u8] {
        self.tbs.issuer
    }

    /// Checks that the list is this issuer's.
    ///
    /// # Errors
    /// [`CrlError::OtherIssuer`] for another name or key identifier, [`CrlError::BadSignature`] for another key.
    pub fn verify(self, issuer: &CrlIssuer<'_>, verifiers: Verifiers<'_>) -> Result<RevocationList, CrlError> {
        let Self { der, tbs_der, tbs, signature } = self;
        let certificate = issuer.certificate();
        if tbs.issuer != certificate.subject_der() || tbs.authority_key_id != certificate.subject_key_id() {
            return Err(CrlError::OtherIssuer);
        }
        let key = SubjectPublicKey::parse(certificate.public_key())?;
        let algorithm = SignatureAlgorithm::CERTIFICATES
            .into_iter()
            .find(|candidate| *candidate.identifier() == *tbs.signature)
            .ok_or(CrlError::BadSignature(VerifyError::AlgorithmMismatch))?;
        verifiers.verify(&key, algorithm, tbs_der, signature).map_err(CrlError::BadSignature)?;
        Ok(tbs.into_list(CertificateRevocationListDer::from(der.to_vec()), issuer))
    }
}

/// A `TBSCertList`, its entries sorted.
#[derive(Clone, Debug)]
pub(super) struct TbsCertList<'a> {
    pub(super) signature: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) period: Validity,
    pub(super) entries: Vec<RevokedCertificate>,
    pub(super) authority_key_id: &'a [u8],
    pub(super) number: CrlNumber,
}

impl<'a> TbsCertList<'a> {
    pub(super) fn parse(encoded: &'a [u8], limits: &Limits) -> Result<Self, CrlError> {
        const WHAT: &str = "TBSCertList";
        let mut tbs = Elements::of(WHAT, tag::SEQUENCE, encoded)?;
        if tbs.peek() != Some(tag::INTEGER) || tbs.content(tag::INTEGER)? != [1] {
            return Err(DecodeError::value("Version", "not v2 (RFC 5280 5.1.2.1)").into());
        }
        let signature = tbs.content(tag::SEQUENCE)?;
        let issuer = tbs.element(tag::SEQUENCE)?;
        let this_update = decode_time(&mut tbs)?;
        if !matches!(tbs.peek(), Some(tag::UTC_TIME | tag::GENERALIZED_TIME)) {
            return Err(DecodeError::value(WHAT, "no nextUpdate (RFC 5280 5.1.2.5)").into());
        }
        let next_update = decode_time(&mut tbs)?;
        let period = Validity::new(this_update, next_update).ok().filter(|_| this_update < next_update);
        let period = period.ok_or(DecodeError::value(WHAT, "nextUpdate does not lie after thisUpdate"))?;
        let entries = match tbs.peek() {
            Some(tag::SEQUENCE) => parse_entries(tbs.enter("revokedCertificates", tag::SEQUENCE)?, limits)?,
            _ => Vec::new(),
        };
        if tbs.is_empty() {
            return Err(CrlError::MissingExtension("authorityKeyIdentifier"));
        }
        let mut explicit = tbs.enter("Extensions", tag::CONTEXT_0)?;
        let extensions = Extension::parse_all(explicit.enter("Extensions", tag::SEQUENCE)?)?;
        explicit.finish()?;
        tbs.finish()?;
        let (authority_key_id, number) = parse_extensions(&extensions)?;
        Ok(Self { signature, issuer, period, entries, authority_key_id, number })
    }

    pub(super) fn into_list(
        self,
        der: CertificateRevocationListDer<'static>,
        issuer: &CrlIssuer<'_>,
    ) -> RevocationList {
        let Self { period, entries, number, .. } = self;
        RevocationList { der, issuer: issuer.certificate().id(), number, period, entries }
    }
}

fn parse_extensions<'a>(extensions: &[Extension<'a>]) -> Result<(&'a [u8], CrlNumber), CrlError> {
    let (mut authority_key_id, mut number) = (None, None);
    for extension in extensions {
        match extension.oid {
            oids::AUTHORITY_KEY_IDENTIFIER => {
                let mut id = Elements::of("authorityKeyIdentifier", tag::SEQUENCE, extension.value)?;
                authority_key_id = Some(id.content(tag::KEY_IDENTIFIER)?);
            }
            oids::CRL_NUMBER if extension.critical => {
                return Err(DecodeError::value("cRLNumber", "critical (RFC 5280 5.2.3)").into());
            }
            oids::CRL_NUMBER => {
                let mut value = Elements::new("cRLNumber", extension.value)?;
                number = Some(Unsigned::from_content("cRLNumber", value.content(tag::INTEGER)?)?);
                value.finish()?;
            }
            oids::DELTA_CRL_INDICATOR => return Err(CrlError::Delta),
            oids::ISSUING_DISTRIBUTION_POINT => return Err(CrlError::Partial),
            oid if extension.critical => return Err(CrlError::CriticalExtension(oid.to_string())),
            _ => {}
        }
    }
    let authority_key_id = authority_key_id.ok_or(CrlError::MissingExtension("authorityKeyIdentifier"))?;
    let number = number.ok_or(CrlError::MissingExtension("cRLNumber"))?;
    Ok((authority_key_id, CrlNumber(number)))
}

fn parse_entries(mut list: Elements<'_>, limits: &Limits) -> Result<Vec<RevokedCertificate>, CrlError> {
    let mut entries = Vec::new();
    while !list.is_empty() {
        if entries.len() == limits.crl_entries_max {
            return Err(CrlError::TooManyEntries { max: limits.crl_entries_max });
        }
        let mut entry = list.enter("revokedCertificate", tag::SEQUENCE)?;
        let serial = SerialNumber::from_content(entry.content(tag::INTEGER)?)?;
        let mut revoked = RevokedCertificate::new(serial, decode_time(&mut entry)?);
        if !entry.is_empty() {
            revoked.reason = parse_entry_extensions(&mut entry)?;
        }
        entry.finish()?;
        entries.push(revoked);
    }
    if entries.is_empty() {
        return Err(DecodeError::value("revokedCertificates", "present and empty (RFC 5280 5.1.2.6)").into());
    }
    entries.sort_unstable();
    let twice = entries.windows(2).find_map(|pair| match pair {
        [first, second] if first.serial == second.serial => Some(first.serial),
        _ => None,
    });
    match twice {
        Some(serial) => Err(CrlError::SerialTwice(serial)),
        None => Ok(entries),
    }
}

fn parse_entry_extensions(entry: &mut Elements<'_>) -> Result<Option<RevocationReason>, CrlError> {
    let mut reason = None;
    for extension in Extension::parse_all(entry.enter("crlEntryExtensions", tag::SEQUENCE)?)? {
        match extension.oid {
            oids::CRL_REASONS => reason = parse_reason(extension.value)?,
            oids::CERTIFICATE_ISSUER => return Err(CrlError::Indirect),
            oid if extension.critical => return Err(CrlError::CriticalExtension(oid.to_string())),
            _ => {}
        }
    }
    Ok(reason)
}

/// `unspecified` is read as what it should have been: no reason (RFC 5280 5.3.1).
fn parse_reason(value: &[u8]) -> Result<Option<RevocationReason>, DecodeError> {
    const UNSPECIFIED: u8 = 0;
    let mut reason = Elements::new("reasonCode", value)?;
    let code = match reason.content(tag::ENUMERATED)? {
        [code] => *code,
        _ => return Err(DecodeError::value("reasonCode", "not of one octet")),
    };
    reason.finish()?;
    match RevocationReason::ALL.into_iter().find(|reason| reason.code() == code) {
        None if code != UNSPECIFIED => {
            Err(DecodeError::value("reasonCode", "not one of a complete list (RFC 5280 5.3.1)"))
        }
        reason => Ok(reason),
    }
}

/// Why a revocation list is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrlError {
    /// Longer than [`Limits::crl_len_max`], unread.
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// More entries than [`Limits::crl_entries_max`].
    TooManyEntries {
        /// Entries allowed.
        max: usize,
    },
    /// Not a v2 `CertificateList`.
    Malformed(DecodeError),
    /// An extension that every list has to have (RFC 5280 5.2.1, 5.2.3).
    MissingExtension(&'static str),
    /// A critical extension of the list or of an entry that is not understood.
    CriticalExtension(String),
    /// A delta list (RFC 5280 5.2.4), which says only what has changed.
    Delta,
    /// A list with an issuing distribution point (RFC 5280 5.2.5), which says only a part, or is indirect.
    Partial,
    /// An entry of another issuer's certificate (RFC 5280 5.3.3).
    Indirect,
    /// Two entries of one serial number.
    SerialTwice(SerialNumber),
    /// The authority's key usage has no cRLSign (RFC 5280 4.2.1.3).
    NotACrlIssuer,
    /// The list names another issuer, or another key of it.
    OtherIssuer,
    /// The signature is not the issuer's.
    BadSignature(VerifyError),
}

impl From<DecodeError> for CrlError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found, max } => write!(f, "the revocation list has {found} octets, limit {max}"),
            Self::TooManyEntries { max } => write!(f, "the revocation list has more than {max} entries"),
            Self::Malformed(error) => write!(f, "malformed revocation list: {error}"),
            Self::MissingExtension(name) => {
                write!(f, "the revocation list has no `{name}` (RFC 5280 5.2.1, 5.2.3)")
            }
            Self::CriticalExtension(oid) => {
                write!(
                    f,
                    "the revocation list has the critical extension {oid}, which is not understood (RFC 5280 5.2)"
                )
            }
            Self::Delta => f.write_str("a delta revocation list, expected a complete one (RFC 5280 5.2.4)"),
            Self::Partial => f.write_str(
                "a revocation list with an issuing distribution point, expected a complete one (RFC 5280 5.2.5)",
            ),
            Self::Indirect => f.write_str("an indirect revocation list, expected the issuer's own (RFC 5280 5.3.3)"),
            Self::SerialTwice(serial) => write!(f, "the revocation list has two entries for {serial}"),
            Self::NotACrlIssuer => f.write_str("the authority's key usage has no cRLSign (RFC 5280 4.2.1.3)"),
            Self::OtherIssuer => {
                f.write_str("the revocation list names another issuer or key (RFC 5280 5.1.2.3, 5.2.1)")
            }
            Self::BadSignature(error) => write!(f, "the revocation list is not its issuer's: {error}"),
        }
    }
}

impl core::error::Error for CrlError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::BadSignature(error) => Some(error),
            _ => None,
        }
    }
}
