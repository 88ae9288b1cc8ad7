//! Writing a list: read back before the key is asked, its fresh signature checked before it leaves.

use core::fmt;

use rustls_pki_types::CertificateRevocationListDer;

use super::read::TbsCertList;
use super::{CrlError, CrlIssuer, CrlNumber, RevocationList, RevokedCertificate};
use crate::certificate::oids;
use crate::encode::{self, tag};
use crate::signer::{SignError, Signer, sign_to_vec};
use crate::tbs::{assemble, authority_key_identifier, extension};
use crate::time::{Validity, push_time};
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{DecodeError, Limits, SerialNumber};

/// Issues the complete list of an authority, valid from the first second of `period` (thisUpdate) to the last
/// (nextUpdate). Entries are sorted; equal ones count once.
///
/// `number` must be greater than that of every list before: the caller keeps that record.
///
/// # Errors
/// [`IssueCrlError`]: with nothing signed when the entries, period or key do not fit; when the signer fails; when the
/// fresh signature is not the issuer's.
pub fn issue_crl(
    issuer: &CrlIssuer<'_>,
    entries: impl IntoIterator<Item = RevokedCertificate>,
    number: CrlNumber,
    period: Validity,
    limits: &Limits,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<RevocationList, IssueCrlError> {
    let certificate = issuer.certificate();
    if period.not_before() == period.not_after() {
        return Err(IssueCrlError::Period(period));
    }
    if !certificate.validity().contains(period.not_before()) {
        return Err(IssueCrlError::IssuerNotValid { validity: certificate.validity() });
    }
    if signer.public_key() != certificate.public_key() {
        return Err(IssueCrlError::ForeignKey);
    }
    let key = SubjectPublicKey::parse(certificate.public_key()).map_err(IssueCrlError::Issuer)?;
    let algorithm = key.algorithm().certificate_signature();
    let entries = sorted(entries, limits)?;
    let signature_algorithm = algorithm.identifier();
    let tbs = encode_tbs(issuer, &signature_algorithm, period, &entries, number);
    // The signature is still to come, and its length counts too.
    let len = tbs.len() + algorithm.signature_len_max() + OUTER_LEN_MAX;
    if len > limits.crl_len_max {
        return Err(IssueCrlError::Unreadable(CrlError::TooLong { found: len, max: limits.crl_len_max }));
    }
    let read = TbsCertList::parse(&tbs, limits).map_err(IssueCrlError::Unreadable)?;
    let signature = sign_to_vec(signer, &tbs).map_err(IssueCrlError::Sign)?;
    verifiers.verify(&key, algorithm, &tbs, &signature).map_err(IssueCrlError::BadSignature)?;
    let der = assemble(&tbs, &signature_algorithm, &signature);
    Ok(read.into_list(CertificateRevocationListDer::from(der.to_vec()), issuer))
}

/// No limit lets more entries in: an entry has at most 55 octets, and [`encode`] writes less than 16 MiB.
const ENTRIES_MAX: usize = 1 << 18;
/// More than the headers, algorithm and bit string around a `TBSCertList` and a signature.
const OUTER_LEN_MAX: usize = 64;

fn sorted(
    entries: impl IntoIterator<Item = RevokedCertificate>,
    limits: &Limits,
) -> Result<Vec<RevokedCertificate>, IssueCrlError> {
    let mut sorted = Vec::new();
    let max = limits.crl_entries_max.min(ENTRIES_MAX);
    for entry in entries {
        if sorted.len() == max {
            return Err(IssueCrlError::Unreadable(CrlError::TooManyEntries { max }));
        }
        if !(1950..=9999).contains(&entry.revoked_at.year()) {
            return Err(IssueCrlError::RevocationDate(entry.serial));
        }
        sorted.push(entry);
    }
    sorted.sort_unstable();
    sorted.dedup();
    Ok(sorted)
}

fn encode_tbs(
    issuer: &CrlIssuer<'_>,
    signature_algorithm: &[u8],
    period: Validity,
    entries: &[RevokedCertificate],
    number: CrlNumber,
) -> Vec<u8> {
    /// `INTEGER 1`: v2.
    const VERSION: &[u8] = &[tag::INTEGER, 1, 1];
    let mut times = Vec::new();
    push_time(&mut times, period.not_before());
    push_time(&mut times, period.not_after());
    let mut revoked = Vec::new();
    for entry in entries {
        push_entry(&mut revoked, entry);
    }
    let certificate = issuer.certificate();
    let number = extension(oids::CRL_NUMBER, &[], &encode::element(tag::INTEGER, number.0.content()));
    let extensions = [authority_key_identifier(certificate.subject_key_id()), number].concat();
    encode::wrap(
        tag::SEQUENCE,
        &[
            VERSION,
            &encode::element(tag::SEQUENCE, signature_algorithm),
            certificate.subject_der(),
            &times,
            // No entries are no sequence (RFC 5280 5.1.2.6).
            &if revoked.is_empty() { Vec::new() } else { encode::element(tag::SEQUENCE, &revoked) },
            &encode::element(tag::CONTEXT_0, &encode::element(tag::SEQUENCE, &extensions)),
        ],
    )
}

fn push_entry(out: &mut Vec<u8>, entry: &RevokedCertificate) {
    let mut content = encode::element(tag::INTEGER, entry.serial.content());
    push_time(&mut content, entry.revoked_at);
    if let Some(reason) = entry.reason {
        let reason = extension(oids::CRL_REASONS, &[], &[tag::ENUMERATED, 1, reason.code()]);
        encode::push_element(&mut content, tag::SEQUENCE, &reason);
    }
    encode::push_element(out, tag::SEQUENCE, &content);
}

/// Why no list was issued.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueCrlError {
    /// nextUpdate does not lie after thisUpdate.
    Period(Validity),
    /// The issuer has expired or is not valid yet at thisUpdate.
    IssuerNotValid {
        /// When it is.
        validity: Validity,
    },
    /// The date of this entry cannot be encoded (RFC 5280 5.1.2.6).
    RevocationDate(SerialNumber),
    /// The list could not be read by its readers: it is too long, or two entries of one serial number differ.
    Unreadable(CrlError),
    /// The issuer's key is not of an accepted kind.
    Issuer(DecodeError),
    /// The signer holds another key than the issuer's certificate.
    ForeignKey,
    /// The signer failed.
    Sign(SignError),
    /// The fresh signature is not the issuer's.
    BadSignature(VerifyError),
}

impl fmt::Display for IssueCrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period(period) => {
                let (this_update, next_update) = (period.not_before(), period.not_after());
                write!(f, "nextUpdate {next_update} does not lie after thisUpdate {this_update} (RFC 5280 5.1.2.5)")
            }
            Self::IssuerNotValid { validity } => {
                write!(f, "the issuer is valid from {} to {}", validity.not_before(), validity.not_after())
            }
            Self::RevocationDate(serial) => {
                write!(f, "the year in which {serial} was revoked is outside 1950 to 9999 (RFC 5280 4.1.2.5)")
            }
            Self::Unreadable(error) => write!(f, "the list would not be read: {error}"),
            Self::Issuer(error) => write!(f, "the issuer is not usable: {error}"),
            Self::ForeignKey => f.write_str("the signer holds another key than the issuer's certificate"),
            Self::Sign(error) => error.fmt(f),
            Self::BadSignature(error) => write!(f, "the fresh signature is not the issuer's: {error}"),
        }
    }
}

impl core::error::Error for IssueCrlError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Issuer(error) => Some(error),
            Self::Sign(error) => Some(error),
            Self::BadSignature(error) => Some(error),
            _ => None,
        }
    }
}
