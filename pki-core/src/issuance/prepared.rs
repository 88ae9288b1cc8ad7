//! What lacks its signature, and what has it.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::{IssuanceRecord, IssueError, Issuer, Purpose};
use crate::name::{DecidedSubject, SubjectAltName};
use crate::signer::{Custody, SignError, SignErrorKind, Signer};
use crate::tbs::Unsigned;
use crate::time::Validity;
use crate::verify::{SubjectPublicKey, Verifiers};
use crate::{AuthorityId, Fingerprint, Serial, SignatureAlgorithm};

/// A certificate that only lacks its signature: compared, encoded, linted, bound to its issuer,
/// to be used once.
#[derive(Debug)]
pub struct PreparedIssuance<'i> {
    pub(super) issuer: &'i Issuer,
    pub(super) unsigned: Unsigned,
    pub(super) purpose: Purpose,
    pub(super) subject: DecidedSubject,
    pub(super) subject_alt_names: Arc<[SubjectAltName]>,
    pub(super) key: AuthorityId,
    pub(super) serial: Serial,
    pub(super) validity: Validity,
}

/// Whether the fresh signature is verified before a certificate leaves.
///
/// It guards against a wrong slot, a faulty computation and an answer of somebody else. A signature costs more
/// to verify than to make on P-256, so for a key of this process, where the same library would do both, it may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelfCheck {
    /// Always.
    #[default]
    Always,
    /// Unless the signer says that its key is in this process ([`Custody::InProcess`]). A signature
    /// of a token, a service or a remote signer is verified all the same.
    ExceptInProcess,
}

impl PreparedIssuance<'_> {
    /// The octets to sign.
    #[must_use]
    pub fn tbs_der(&self) -> &[u8] {
        self.unsigned.as_der()
    }

    /// The serial.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// What is about to be signed, for a log that is written before anything is signed.
    #[must_use]
    pub fn record(&self) -> IssuanceRecord {
        IssuanceRecord::new(self)
    }

    /// Signs with the issuer's key and checks the fresh signature.
    ///
    /// # Errors
    /// When the signer holds another key, fails, or returns a signature that does not verify.
    pub fn sign(self, signer: &dyn Signer, verifiers: Verifiers<'_>) -> Result<IssuedCertificate, IssueError> {
        self.sign_with(signer, verifiers, SelfCheck::Always)
    }

    /// [`sign`](Self::sign), with the embedder's choice for keys of this process.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn sign_with(
        self,
        signer: &dyn Signer,
        verifiers: Verifiers<'_>,
        check: SelfCheck,
    ) -> Result<IssuedCertificate, IssueError> {
        let key = self.issuer.certificate().public_key();
        let mut space = [0; SignatureAlgorithm::LEN_MAX];
        let signature = sign_as(key, self.issuer.signature_algorithm(), signer, self.tbs_der(), &mut space)?;
        match (check, signer.custody()) {
            (SelfCheck::ExceptInProcess, Custody::InProcess) => Ok(self.finish(signature)),
            _ => self.attach_signature(signature, verifiers),
        }
    }

    /// Finishes with a signature that was made elsewhere over [`tbs_der`](Self::tbs_der), after checking it.
    ///
    /// This is the way of an embedder whose signer is asynchronous: keep the preparation, send its octets, attach
    /// the answer.
    ///
    /// # Errors
    /// [`IssueError::BadSignature`] when it is not the issuer's: a wrong slot, a fault, r||s sent as DER.
    pub fn attach_signature(self, signature: &[u8], verifiers: Verifiers<'_>) -> Result<IssuedCertificate, IssueError> {
        let key = SubjectPublicKey::parse(self.issuer.certificate().public_key()).map_err(IssueError::Issuer)?;
        verifiers
            .verify(&key, self.issuer.signature_algorithm(), self.tbs_der(), signature)
            .map_err(IssueError::BadSignature)?;
        Ok(self.finish(signature))
    }

    fn finish(self, signature: &[u8]) -> IssuedCertificate {
        let Self { issuer, unsigned, purpose, serial, validity, .. } = self;
        let der = unsigned.sign(issuer.signature_algorithm(), signature).into();
        IssuedCertificate { der, purpose, serial, validity, issuer: issuer.certificate().id() }
    }
}

/// Asks a signer, if it holds this key and signs in this way; gives the signature, which stands in `space` then.
pub(crate) fn sign_as<'s>(
    key: &[u8],
    expected: SignatureAlgorithm,
    signer: &dyn Signer,
    tbs: &[u8],
    space: &'s mut [u8; SignatureAlgorithm::LEN_MAX],
) -> Result<&'s [u8], IssueError> {
    if **signer.public_key() != *key {
        return Err(IssueError::ForeignKey);
    }
    let found = signer.algorithm();
    if found != expected {
        return Err(IssueError::SignerAlgorithm { expected, found });
    }
    let space = space.get_mut(..expected.signature_len_max()).unwrap_or_default();
    let written = signer.sign(tbs, space).map_err(IssueError::Sign)?;
    space.get(..written).ok_or_else(|| IssueError::Sign(SignError::new(SignErrorKind::Other)))
}

/// A certificate as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    der: CertificateDer<'static>,
    purpose: Purpose,
    serial: Serial,
    validity: Validity,
    issuer: AuthorityId,
}

impl IssuedCertificate {
    /// The certificate.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What it is for.
    #[must_use]
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Its serial.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// When it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whose key signed it.
    #[must_use]
    pub const fn issuer(&self) -> AuthorityId {
        self.issuer
    }

    /// SHA-256 over the certificate, under which a log finds it again.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }
}
