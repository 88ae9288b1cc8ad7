//! What kind of key a PKCS#8 structure holds, decided before the backend sees it.
//!
//! The backend accepts more than this crate does (trailing data, explicit curve
//! parameters, any RSA exponent and size), so the envelope is read strictly here
//! and the key itself is checked there.

use pki_core::{KeyAlgorithm, SignatureAlgorithm};

use super::{KeyError, RsaModulus};
use crate::der::{Elements, INTEGER, OCTET_STRING, SEQUENCE, positive_bits};

/// The kind of key in `der`, which is exactly one unencrypted `PrivateKeyInfo`
/// or `OneAsymmetricKey` (RFC 5958 2).
pub(super) fn key_algorithm(der: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let mut outer = Elements::new(der);
    let mut fields = Elements::new(outer.take(SEQUENCE).ok_or(KeyError::Malformed)?);
    if !outer.is_empty() {
        return Err(KeyError::TrailingData);
    }
    // An `EncryptedPrivateKeyInfo` has an algorithm where a version is due (RFC 5958 3).
    if fields.take(SEQUENCE).is_some() {
        let is_encrypted = fields.take(OCTET_STRING).is_some() && fields.is_empty();
        return Err(if is_encrypted { KeyError::Encrypted } else { KeyError::Malformed });
    }
    let (Some([0 | 1]), Some(algorithm), Some(key)) =
        (fields.take(INTEGER), fields.take(SEQUENCE), fields.take(OCTET_STRING))
    else {
        return Err(KeyError::Malformed);
    };

    let is = |signature: SignatureAlgorithm| algorithm == signature.public_key_identifier().as_ref();
    if is(SignatureAlgorithm::EcdsaP256Sha256) {
        Ok(KeyAlgorithm::P256)
    } else if is(SignatureAlgorithm::EcdsaP384Sha384) {
        Ok(KeyAlgorithm::P384)
    } else if is(SignatureAlgorithm::Ed25519) {
        Ok(KeyAlgorithm::Ed25519)
    } else if is(SignatureAlgorithm::RsaPkcs1Sha256) {
        rsa_key_algorithm(key)
    } else {
        Err(KeyError::UnsupportedAlgorithm)
    }
}

/// The kind of RSA key in an `RSAPrivateKey` (RFC 8017 A.1.2), by its public half.
pub(super) fn rsa_key_algorithm(der: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    const EXPONENT: [u8; 3] = [1, 0, 1];

    let mut fields = Elements::new(Elements::new(der).take(SEQUENCE).ok_or(KeyError::Malformed)?);
    let (Some([0]), Some(modulus), Some(exponent)) = (fields.take(INTEGER), fields.take(INTEGER), fields.take(INTEGER))
    else {
        return Err(KeyError::Malformed);
    };
    let algorithm = match positive_bits(modulus).ok_or(KeyError::Malformed)? {
        2048 => KeyAlgorithm::Rsa2048,
        3072 => KeyAlgorithm::Rsa3072,
        4096 => KeyAlgorithm::Rsa4096,
        bits => return Err(KeyError::UnsupportedRsaModulus(RsaModulus { bits })),
    };
    if exponent != EXPONENT {
        return Err(KeyError::UnsupportedRsaExponent);
    }
    Ok(algorithm)
}
