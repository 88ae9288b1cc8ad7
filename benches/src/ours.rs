//! The pipeline of this workspace, in the ways in which it is measured.

use std::borrow::Cow;
use std::hint::black_box;
use std::num::NonZeroUsize;

use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::verify::{Verifiers, aws_lc_rs};
use pki_core::{
    Approval, Batch, BatchOrder, CertificationRequest, IssuedCertificate, Issuer, LeafKind, Limits, SelfCheck, Serial,
    Signer, VerifiedRequest, request_der,
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

/// So many certificates through a batch, each a request of its own until they come round.
///
/// # Errors
/// When one was refused.
pub fn issue_batch(authority: &Authority, cases: &[Case], count: usize, threads: NonZeroUsize) -> Setup<()> {
    let batch = Batch::new(&authority.signer, aws_lc_rs(), authority.now)
        .on_threads(threads)
        .with_self_check(SelfCheck::ExceptInProcess);
    let mut entropy = Ok(());
    let orders = cases.iter().cycle().take(count).map_while(|case| {
        let serial = Serial::generate(&mut SysRng).map_err(|error| entropy = Err(error)).ok()?;
        let (request, approval) = (Cow::Borrowed(&*case.request), case.approval.clone());
        Some(BatchOrder { leaf: LEAF, request, approval, serial })
    });
    let (mut issued, mut refused) = (0, Ok(()));
    authority.issuer.issue_batch(&batch, orders, |outcome| match outcome {
        Ok(certificate) => issued += usize::from(!black_box(certificate).der().is_empty()),
        Err(error) => refused = Err(error),
    });
    entropy?;
    refused?;
    if issued == count { Ok(()) } else { Err("not every certificate was issued".into()) }
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
