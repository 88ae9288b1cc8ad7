//! Keys of p256, p384, ed25519-dalek and rsa, which wipe them when they are dropped.

use ed25519_dalek::pkcs8::{EncodePublicKey, KeypairBytes};
use getrandom::SysRng;
use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use pki_core::{KeyAlgorithm, SignError, SignErrorKind, SignatureAlgorithm};
use zeroize::Zeroizing;

use super::{Form, KeyError, KeyPair, Library, place};

#[cfg(feature = "rsa-software-signing")]
mod rsa;

pub(super) struct RustCrypto;

impl Library for RustCrypto {
    fn generate(&self, algorithm: KeyAlgorithm) -> Result<Box<dyn KeyPair>, KeyError> {
        Ok(match algorithm {
            KeyAlgorithm::P256 => Box::new(P256(p256::SecretKey::try_generate_from_rng(&mut SysRng)?.into())),
            KeyAlgorithm::P384 => Box::new(P384(p384::SecretKey::try_generate_from_rng(&mut SysRng)?.into())),
            KeyAlgorithm::Ed25519 => {
                let seed = Zeroizing::new(<[u8; 32]>::try_generate_from_rng(&mut SysRng)?);
                Box::new(Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed)))
            }
            #[cfg(feature = "rsa-software-signing")]
            KeyAlgorithm::Rsa2048 => Box::new(rsa::Rsa::generate(2048)?),
            #[cfg(feature = "rsa-software-signing")]
            KeyAlgorithm::Rsa3072 => Box::new(rsa::Rsa::generate(3072)?),
            #[cfg(feature = "rsa-software-signing")]
            KeyAlgorithm::Rsa4096 => Box::new(rsa::Rsa::generate(4096)?),
            _ => return Err(KeyError::UnsupportedAlgorithm),
        })
    }

    fn read(&self, algorithm: KeyAlgorithm, form: Form, der: &[u8]) -> Result<Box<dyn KeyPair>, KeyError> {
        Ok(match algorithm {
            KeyAlgorithm::P256 => Box::new(P256(match form {
                Form::Sec1 => p256::SecretKey::from_sec1_der(der).map_err(|_rejected| KeyError::Inconsistent)?.into(),
                Form::Pkcs8 | Form::Pkcs1 => p256::SecretKey::from_pkcs8_der(der).map_err(rejected)?.into(),
            })),
            KeyAlgorithm::P384 => Box::new(P384(match form {
                Form::Sec1 => p384::SecretKey::from_sec1_der(der).map_err(|_rejected| KeyError::Inconsistent)?.into(),
                Form::Pkcs8 | Form::Pkcs1 => p384::SecretKey::from_pkcs8_der(der).map_err(rejected)?.into(),
            })),
            KeyAlgorithm::Ed25519 => {
                Box::new(Ed25519(ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(rejected)?))
            }
            #[cfg(feature = "rsa-software-signing")]
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                Box::new(rsa::Rsa::read(form, der)?)
            }
            _ => return Err(KeyError::UnsupportedAlgorithm),
        })
    }
}

impl From<getrandom::Error> for KeyError {
    fn from(_: getrandom::Error) -> Self {
        Self::GenerationFailed
    }
}

fn rejected(_: p256::pkcs8::Error) -> KeyError {
    KeyError::Inconsistent
}

/// Newtypes, because the keys' own `Debug` and `Clone` stay behind them.
struct P256(p256::ecdsa::SigningKey);
struct P384(p384::ecdsa::SigningKey);
struct Ed25519(ed25519_dalek::SigningKey);

/// `KeypairBytes`, through which a seed goes to and from PKCS#8, wipes it only with `ed25519/zeroize`. It has no trait that says
/// so; a signature has, with the same feature, so that without it this is not compiled.
const _: fn() = || {
    fn is_wiped<T: zeroize::Zeroize>() {}
    is_wiped::<ed25519_dalek::Signature>();
};

impl KeyPair for P256 {
    fn spki(&self) -> Option<Vec<u8>> {
        spki(self.0.verifying_key())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        pkcs8(&p256::SecretKey::from(&self.0))
    }

    fn sign(&self, _: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let signed: p256::ecdsa::DerSignature = self.0.try_sign(message).map_err(failed)?;
        place(signed.as_bytes(), signature)
    }
}

impl KeyPair for P384 {
    fn spki(&self) -> Option<Vec<u8>> {
        spki(self.0.verifying_key())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        pkcs8(&p384::SecretKey::from(&self.0))
    }

    fn sign(&self, _: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let signed: p384::ecdsa::DerSignature = self.0.try_sign(message).map_err(failed)?;
        place(signed.as_bytes(), signature)
    }
}

impl KeyPair for Ed25519 {
    fn spki(&self) -> Option<Vec<u8>> {
        spki(&self.0.verifying_key())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        // Without the public key it is version 1.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        pkcs8(&bytes)
    }

    fn sign(&self, _: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let signed = self.0.try_sign(message).map_err(failed)?;
        place(&signed.to_bytes(), signature)
    }
}

fn spki(public_key: &impl EncodePublicKey) -> Option<Vec<u8>> {
    Some(public_key.to_public_key_der().ok()?.into_vec())
}

fn pkcs8(key: &impl EncodePrivateKey) -> Option<Zeroizing<Vec<u8>>> {
    Some(key.to_pkcs8_der().ok()?.to_bytes())
}

fn failed(error: p256::ecdsa::Error) -> SignError {
    SignError::with_source(SignErrorKind::Other, error)
}
