//! The pipeline of this workspace, in the ways in which it is measured.

use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::verify::Verifiers;
use pki_core::{
    Approval, CertificationRequest, IssuedCertificate, Issuer, LeafKind, Limits, SelfCheck, Serial, Signer,
    VerifiedRequest, request_der,
};
use time::UtcDateTime;

use crate::requests::{Answering, Authority, Case, believing};
use crate::{Der, Setup};

/// What everybody issues.
pub const LEAF: LeafKind = LeafKind::KubeletServing;

/// Reads a request and verifies its signature.
///
/// # Errors
/// When the request is not in order.
pub fn verify<'c>(request: &'c [u8], verifiers: Verifiers<'_>) -> Setup<VerifiedRequest<'c>> {
    Ok(CertificationRequest::parse(request, &Limits::DEFAULT)?.verify(verifiers)?)
}

/// From the DER of a request to that of a certificate.
///
/// # Errors
/// When the request is not in order, or nothing can be signed.
pub fn issue(
    authority: &Authority,
    case: &Case,
    request: &[u8],
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
    check: SelfCheck,
) -> Setup<IssuedCertificate> {
    let (request, serial) = (verify(request, verifiers)?, Serial::generate(&mut SysRng)?);
    let prepared = authority.issuer.prepare(LEAF, request, &case.approval, serial, authority.now)?;
    Ok(prepared.sign_with(signer, verifiers, check)?)
}

/// From the PEM of a request to that of a certificate.
///
/// # Errors
/// As [`issue`].
pub fn issue_pem(authority: &Authority, case: &Case, verifiers: Verifiers<'_>, check: SelfCheck) -> Setup<String> {
    let request = request_der(case.pem.as_bytes(), &Limits::DEFAULT)?;
    let issued = issue(authority, case, &request, &authority.signer, verifiers, check)?;
    Ok(encode_pem(CERTIFICATE, issued.der()))
}

/// The whole way with a verifier that believes and a signer that answers: what is left is this workspace's own work.
///
/// # Errors
/// As [`issue`].
pub fn issue_without_cryptography(
    issuer: &Issuer,
    answering: &Answering,
    request: &[u8],
    approval: &Approval,
    serial: Serial,
    now: UtcDateTime,
) -> Setup<IssuedCertificate> {
    let prepared = issuer.prepare(LEAF, verify(request, believing())?, approval, serial, now)?;
    Ok(prepared.sign(answering, believing())?)
}

impl Der for IssuedCertificate {
    fn into_der(self) -> Setup<Vec<u8>> {
        Ok(self.der().to_vec())
    }
}
