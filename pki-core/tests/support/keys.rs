//! Keys of this process, and the algorithms that judge what they sign.

use pki_core::KeyAlgorithm;
use pki_core::verify::Verifiers;
use rustls_pki_types::SignatureVerificationAlgorithm;
use signer_hsm::SoftwareKey;
use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};

static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] =
    [ECDSA_P256_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256, ED25519];

pub(crate) const VERIFIERS: Verifiers<'static> = Verifiers::new(&ALGORITHMS);

pub(crate) fn key(algorithm: KeyAlgorithm) -> SoftwareKey {
    SoftwareKey::generate(algorithm).unwrap()
}
