//! The verification of p256, p384, ed25519-dalek and rsa, behind the trait that webpki takes.

use p256::ecdsa::signature::Verifier;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use crate::SignatureAlgorithm;

/// Says which key and signature a unit struct is for, and hands the octets to its function.
macro_rules! algorithm {
    ($name:ident, $algorithm:expr, $verified:expr) => {
        #[derive(Debug)]
        pub(super) struct $name;

        impl SignatureVerificationAlgorithm for $name {
            fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
                let verified: fn(&[u8], &[u8], &[u8]) -> Option<()> = $verified;
                verified(key, message, signature).ok_or(InvalidSignature)
            }

            fn public_key_alg_id(&self) -> AlgorithmIdentifier {
                $algorithm.public_key_identifier()
            }

            fn signature_alg_id(&self) -> AlgorithmIdentifier {
                $algorithm.identifier()
            }
        }
    };
}

/// A point is uncompressed here (RFC 5480 2.2), though the crates would take it compressed too.
const UNCOMPRESSED: u8 = 4;

algorithm!(P256Sha256, SignatureAlgorithm::EcdsaP256Sha256, |key, message, signature| {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.starts_with(&[UNCOMPRESSED]).then_some(key)?).ok()?;
    key.verify(message, &p256::ecdsa::DerSignature::try_from(signature).ok()?).ok()
});

algorithm!(P384Sha384, SignatureAlgorithm::EcdsaP384Sha384, |key, message, signature| {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key.starts_with(&[UNCOMPRESSED]).then_some(key)?).ok()?;
    key.verify(message, &p384::ecdsa::DerSignature::try_from(signature).ok()?).ok()
});

// The strict form refuses keys of small order, for which one signature may fit any message.
algorithm!(Ed25519, SignatureAlgorithm::Ed25519, |key, message, signature| {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_slice(signature).ok()?).ok()
});

#[cfg(feature = "rsa")]
algorithm!(RsaPkcs1Sha256, SignatureAlgorithm::RsaPkcs1Sha256, |key, message, signature| {
    use rsa::pkcs1::DecodeRsaPublicKey;
    use rsa::pkcs1v15;
    // The crate takes 1024 bits and the exponent 3.
    super::rsa_algorithm(key).ok()?;
    let key = rsa::RsaPublicKey::from_pkcs1_der(key).ok()?;
    let key = pkcs1v15::VerifyingKey::<sha2::Sha256>::new(key);
    key.verify(message, &pkcs1v15::Signature::try_from(signature).ok()?).ok()
});
