//! Keys as the libraries hold them, bare: what the floors are made of.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as aws;
use pki_core::KeyAlgorithm;
use ring::signature as ring_signature;

use crate::Setup;

/// Room for the longest signature, of RSA-4096.
pub type SignatureBuffer = [u8; 512];

/// A private key of aws-lc-rs.
#[derive(Debug)]
pub enum AwsKey {
    /// P-256 or P-384.
    Ecdsa(aws::EcdsaKeyPair),
    /// Ed25519.
    Ed25519(aws::Ed25519KeyPair),
    /// RSA, signing with PKCS#1 v1.5 and SHA-256.
    Rsa(aws::RsaKeyPair),
}

impl AwsKey {
    pub(crate) fn from_pkcs8(algorithm: KeyAlgorithm, pkcs8: &[u8]) -> Setup<Self> {
        let ecdsa = |algorithm| aws::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map(Self::Ecdsa);
        Ok(match algorithm {
            KeyAlgorithm::P256 => ecdsa(&aws::ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeyAlgorithm::P384 => ecdsa(&aws::ECDSA_P384_SHA384_ASN1_SIGNING)?,
            KeyAlgorithm::Ed25519 => Self::Ed25519(aws::Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)?),
            _ => Self::Rsa(aws::RsaKeyPair::from_pkcs8(pkcs8)?),
        })
    }

    /// Signs into `buffer`, as a certificate's issuer does, and gives what it wrote.
    ///
    /// # Errors
    /// When the library does.
    pub fn sign<'b>(&self, message: &[u8], buffer: &'b mut SignatureBuffer) -> Setup<&'b [u8]> {
        let entropy = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => written(key.sign(&entropy, message)?.as_ref(), buffer),
            Self::Ed25519(key) => written(key.sign(message).as_ref(), buffer),
            Self::Rsa(key) => {
                let signature = buffer.get_mut(..key.public_modulus_len()).ok_or("a modulus of up to 4096 bits")?;
                key.sign(&aws::RSA_PKCS1_SHA256, &entropy, message, signature)?;
                Ok(signature)
            }
        }
    }
}

/// A private key of ring.
#[derive(Debug)]
pub enum RingKey {
    /// P-256 or P-384.
    Ecdsa(ring_signature::EcdsaKeyPair),
    /// Ed25519.
    Ed25519(ring_signature::Ed25519KeyPair),
    /// RSA, signing with PKCS#1 v1.5 and SHA-256.
    Rsa(ring_signature::RsaKeyPair),
}

impl RingKey {
    pub(crate) fn from_pkcs8(algorithm: KeyAlgorithm, pkcs8: &[u8]) -> Setup<Self> {
        let entropy = ring::rand::SystemRandom::new();
        let ecdsa = |algorithm| ring_signature::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &entropy).map(Self::Ecdsa);
        let key = match algorithm {
            KeyAlgorithm::P256 => ecdsa(&ring_signature::ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::P384 => ecdsa(&ring_signature::ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::Ed25519 => {
                ring_signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(Self::Ed25519)
            }
            _ => ring_signature::RsaKeyPair::from_pkcs8(pkcs8).map(Self::Rsa),
        };
        Ok(key.map_err(|error| error.to_string())?)
    }

    /// Signs into `buffer`, and gives what it wrote.
    ///
    /// # Errors
    /// When the library does.
    pub fn sign<'b>(&self, message: &[u8], buffer: &'b mut SignatureBuffer) -> Setup<&'b [u8]> {
        let entropy = ring::rand::SystemRandom::new();
        let failed = "ring does not sign";
        match self {
            Self::Ecdsa(key) => written(key.sign(&entropy, message).map_err(|_opaque| failed)?.as_ref(), buffer),
            Self::Ed25519(key) => written(key.sign(message).as_ref(), buffer),
            Self::Rsa(key) => {
                let signature = buffer.get_mut(..key.public().modulus_len()).ok_or("a modulus of up to 4096 bits")?;
                let signed = key.sign(&ring_signature::RSA_PKCS1_SHA256, &entropy, message, signature);
                signed.map_err(|_opaque| failed)?;
                Ok(signature)
            }
        }
    }
}

fn written<'b>(signature: &[u8], buffer: &'b mut SignatureBuffer) -> Setup<&'b [u8]> {
    let room = buffer.get_mut(..signature.len()).ok_or("a signature that fits")?;
    room.copy_from_slice(signature);
    Ok(room)
}

pub(crate) const fn aws_verification(algorithm: KeyAlgorithm) -> &'static dyn aws::VerificationAlgorithm {
    match algorithm {
        KeyAlgorithm::P256 => &aws::ECDSA_P256_SHA256_ASN1,
        KeyAlgorithm::P384 => &aws::ECDSA_P384_SHA384_ASN1,
        KeyAlgorithm::Ed25519 => &aws::ED25519,
        _ => &aws::RSA_PKCS1_2048_8192_SHA256,
    }
}

pub(crate) const fn ring_verification(algorithm: KeyAlgorithm) -> &'static dyn ring_signature::VerificationAlgorithm {
    match algorithm {
        KeyAlgorithm::P256 => &ring_signature::ECDSA_P256_SHA256_ASN1,
        KeyAlgorithm::P384 => &ring_signature::ECDSA_P384_SHA384_ASN1,
        KeyAlgorithm::Ed25519 => &ring_signature::ED25519,
        _ => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
    }
}
