//! Requests: what is accepted asks for the same when it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pki_core::verify::Verifiers;
use pki_core::{CertificationRequest, Limits, UnusedExtensions};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

/// A fuzzer cannot sign: everything verifies, so that what stands behind the signature is reached.
#[derive(Debug)]
struct Believe(AlgorithmIdentifier, AlgorithmIdentifier);

impl SignatureVerificationAlgorithm for Believe {
    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.1
    }
}

static BELIEVE: [&dyn SignatureVerificationAlgorithm; 4] = [
    &Believe(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
    &Believe(alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
    &Believe(alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256),
    &Believe(alg_id::ED25519, alg_id::ED25519),
];

fuzz_target!(|der: &[u8]| {
    let Ok(request) = CertificationRequest::parse(der, &Limits::DEFAULT) else { return };
    let Ok(proven) = request.prove(Verifiers::new(&BELIEVE)) else { return };
    let presented = proven.presented_names();
    let Ok(strict) = proven.clone().read(UnusedExtensions::Refuse) else { return };
    let dropping = proven.read(UnusedExtensions::Drop).expect("what nothing is dropped from is read either way");
    assert_eq!(strict.subject(), dropping.subject());
    assert_eq!(strict.subject_alt_names(), dropping.subject_alt_names());
    assert_eq!(strict.extended_key_usage(), dropping.extended_key_usage());
    let presented = presented.expect("what a strict reader takes, upstream's takes too");
    assert_eq!(presented.common_name, strict.subject().common_name());
    assert!(strict.subject().organizations().eq(&presented.organizations));
    assert_eq!(presented.dns_names.len() + presented.ip_addresses.len(), strict.subject_alt_names().len());
    assert!(presented.email_addresses.is_empty() && presented.uris.is_empty());
});
