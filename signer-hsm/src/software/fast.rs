//! Keys of aws-lc-rs, which wipes them itself.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use pki_core::{KeyAlgorithm, SignError, SignErrorKind, SignatureAlgorithm};
use zeroize::Zeroizing;

use super::{Form, KeyError, KeyPair, Library, place};

pub(super) struct AwsLcRs;

impl Library for AwsLcRs {
    fn generate(&self, algorithm: KeyAlgorithm) -> Result<Box<dyn KeyPair>, KeyError> {
        let ecdsa = |curve| EcdsaKeyPair::generate(curve).map(boxed);
        let rsa = |size| RsaKeyPair::generate(size).map(boxed);
        let pair = match algorithm {
            KeyAlgorithm::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096),
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(boxed),
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        pair.map_err(|Unspecified| KeyError::GenerationFailed)
    }

    fn read(&self, algorithm: KeyAlgorithm, form: Form, der: &[u8]) -> Result<Box<dyn KeyPair>, KeyError> {
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| -> Result<Box<dyn KeyPair>, KeyRejected> {
            match form {
                Form::Sec1 => EcdsaKeyPair::from_private_key_der(curve, der).map(boxed),
                Form::Pkcs8 | Form::Pkcs1 => EcdsaKeyPair::from_pkcs8(curve, der).map(boxed),
            }
        };
        let pair = match algorithm {
            KeyAlgorithm::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => match form {
                Form::Pkcs1 => RsaKeyPair::from_der(der).map(boxed),
                Form::Pkcs8 | Form::Sec1 => RsaKeyPair::from_pkcs8(der).map(boxed),
            },
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(der).map(boxed),
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        pair.map_err(|_rejected| KeyError::Inconsistent)
    }
}

fn boxed(pair: impl KeyPair + 'static) -> Box<dyn KeyPair> {
    Box::new(pair)
}

impl KeyPair for EcdsaKeyPair {
    fn spki(&self) -> Option<Vec<u8>> {
        spki(self.public_key())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.to_pkcs8v1().ok()?.as_ref().to_vec()))
    }

    fn sign(&self, _: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        // The library draws its own entropy; the argument is there for another library's sake.
        let signed = self.sign(&SystemRandom::new(), message).map_err(failed)?;
        place(signed.as_ref(), signature)
    }
}

impl KeyPair for Ed25519KeyPair {
    fn spki(&self) -> Option<Vec<u8>> {
        spki(self.public_key())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.to_pkcs8v1().ok()?.as_ref().to_vec()))
    }

    fn sign(&self, _: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let signed = self.try_sign(message).map_err(failed)?;
        place(signed.as_ref(), signature)
    }
}

impl KeyPair for RsaKeyPair {
    fn spki(&self) -> Option<Vec<u8>> {
        spki(self.public_key())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(AsDer::<Pkcs8V1Der<'_>>::as_der(self).ok()?.as_ref().to_vec()))
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let padding: &'static dyn RsaEncoding = match algorithm {
            SignatureAlgorithm::RsaPssSha256 => &RSA_PSS_SHA256,
            _ => &RSA_PKCS1_SHA256,
        };
        // The library insists on a slice of exactly the modulus' length.
        let len = self.public_modulus_len();
        let exact = signature.get_mut(..len).ok_or_else(|| SignError::new(SignErrorKind::BufferTooSmall))?;
        self.sign(padding, &SystemRandom::new(), message, exact).map_err(failed)?;
        Ok(len)
    }
}

fn spki(public_key: &impl AsDer<PublicKeyX509Der<'static>>) -> Option<Vec<u8>> {
    Some(public_key.as_der().ok()?.as_ref().to_vec())
}

fn failed(error: Unspecified) -> SignError {
    SignError::with_source(SignErrorKind::Other, error)
}
