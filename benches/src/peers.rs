//! Other libraries on the same way, with the same extensions, serials of the same length and the same validity.
//!
//! They verify the request's signature. They compare the request with no approval, lint nothing, and do not verify what was signed.

#[cfg(feature = "openssl")]
pub mod openssl;
pub mod x509_cert;

use getrandom::SysRng;
use pki_core::{KeyAlgorithm, Serial};
use time::{Duration, OffsetDateTime};

use crate::requests::{Authority, Case};
use crate::{Der, Setup};

/// Beginning and end of what is issued now, as the pipeline decides them.
fn validity(authority: &Authority) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::from(authority.now);
    (now - Duration::minutes(5), now + Duration::hours(8_760))
}

/// Whether a server with this key gets `keyEncipherment` as well.
const fn is_rsa(algorithm: KeyAlgorithm) -> bool {
    matches!(algorithm, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096)
}

/// rcgen on aws-lc-rs, from DER.
///
/// # Errors
/// When rcgen refuses something.
pub fn rcgen(authority: &Authority, case: &Case) -> Setup<rcgen::Certificate> {
    rcgen_of(authority, case, rcgen::CertificateSigningRequestParams::from_der(&case.request)?)
}

/// The same, from PEM to PEM.
///
/// # Errors
/// As [`rcgen`](fn@rcgen).
pub fn rcgen_pem(authority: &Authority, case: &Case) -> Setup<String> {
    Ok(rcgen_of(authority, case, rcgen::CertificateSigningRequestParams::from_pem(&case.pem)?)?.pem())
}

fn rcgen_of(
    authority: &Authority,
    case: &Case,
    mut request: rcgen::CertificateSigningRequestParams,
) -> Setup<rcgen::Certificate> {
    let params = &mut request.params;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    if is_rsa(case.algorithm) {
        params.key_usages.push(rcgen::KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(Serial::generate(&mut SysRng)?.as_bytes()));
    (params.not_before, params.not_after) = validity(authority);
    Ok(request.signed_by(&authority.rcgen)?)
}

impl Der for rcgen::Certificate {
    fn into_der(self) -> Setup<Vec<u8>> {
        Ok(self.der().to_vec())
    }
}
