//! What an issuance log holds.

use core::fmt;

use sha2::{Digest, Sha256};

use super::{PreparedIssuance, Purpose};
use crate::certificate::hexadecimal;
use crate::name::{Subject, SubjectAltName};
use crate::time::Validity;
use crate::{AuthorityId, Serial};

/// SHA-256 over the octets that are signed: what ties a log entry to a certificate before there is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TbsHash([u8; 32]);

hexadecimal!(TbsHash);

impl TbsHash {
    /// The 256 bits.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// One certificate that is about to be signed: who gets what, from whom, for how long.
///
/// Recorded before the signature is asked for, so that no certificate exists that the log does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuanceRecord {
    /// The certificate's serial.
    pub serial: Serial,
    /// Whose key is to sign.
    pub issuer: AuthorityId,
    /// What the certificate is for.
    pub purpose: Purpose,
    /// The user and the groups.
    pub subject: Subject,
    /// The alternative names.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// The key that is certified, as the subject key identifier names it.
    pub subject_key_id: AuthorityId,
    /// When the certificate is valid.
    pub validity: Validity,
    /// Over the octets that are signed.
    pub tbs_sha256: TbsHash,
}

impl IssuanceRecord {
    pub(super) fn new(prepared: &PreparedIssuance<'_>) -> Self {
        Self {
            serial: prepared.serial,
            issuer: prepared.issuer.certificate().id(),
            purpose: prepared.purpose.clone(),
            subject: prepared.subject.parts().to_subject(),
            subject_alt_names: prepared.subject_alt_names.to_vec(),
            subject_key_id: prepared.key,
            validity: prepared.validity,
            tbs_sha256: TbsHash(Sha256::digest(prepared.tbs_der()).into()),
        }
    }
}

/// One line, each field named, hostile characters escaped.
impl fmt::Display for IssuanceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (not_before, not_after) = (self.validity.not_before(), self.validity.not_after());
        write!(
            f,
            "serial={} issuer={} purpose={} subject=\"{}\"",
            self.serial, self.issuer, self.purpose, self.subject
        )?;
        write!(f, " key={} not_before={}", self.subject_key_id, not_before.unix_timestamp())?;
        write!(f, " not_after={} tbs_sha256={}", not_after.unix_timestamp(), self.tbs_sha256)?;
        self.subject_alt_names.iter().try_for_each(|name| write!(f, " san={name}"))
    }
}
