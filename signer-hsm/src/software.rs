//! Keys in the memory of this process, on aws-lc-rs. They come in and do not go out again, but for an
//! [`ExportableKey`](crate::ExportableKey), which is made to be written to a file.

use core::error::Error;
use core::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use pki_core::{Custody, KeyAlgorithm, SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::der::PublicKeyParts;

pub(crate) mod export;
pub(crate) mod file;
mod pkcs8;
pub(crate) mod store;

/// A private key in the memory of this process.
///
/// It signs and tells its public key; it cannot be cloned, compared, printed or
/// exported, whether it was generated here or taken in. The backend wipes the key's memory when the last use of it ends.
///
/// Signing compiles:
///
/// ```
/// # use pki_core::{KeyAlgorithm, sign_to_vec};
/// # use signer_hsm::SoftwareKey;
/// let key = SoftwareKey::generate(KeyAlgorithm::Ed25519)?;
/// assert_eq!(sign_to_vec(&key, b"message")?.len(), 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A copy does not:
///
/// ```compile_fail,E0277
/// # use pki_core::KeyAlgorithm;
/// # use signer_hsm::SoftwareKey;
/// fn copy<T: Clone>(key: &T) -> T {
///     key.clone()
/// }
/// let key = SoftwareKey::generate(KeyAlgorithm::Ed25519)?;
/// let second = copy(&key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Nor does reaching for the backend's key, which could be exported:
///
/// ```compile_fail,E0616
/// # use pki_core::KeyAlgorithm;
/// # use signer_hsm::SoftwareKey;
/// let key = SoftwareKey::generate(KeyAlgorithm::Ed25519)?;
/// let pair = &key.pair;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SoftwareKey {
    pair: Pair,
    key_algorithm: KeyAlgorithm,
    algorithm: SignatureAlgorithm,
    public_key: SubjectPublicKeyInfoDer<'static>,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let ecdsa = |curve| EcdsaKeyPair::generate(curve).map(Self::Ecdsa);
        let rsa = |size| RsaKeyPair::generate(size).map(Self::Rsa);
        let pair = match algorithm {
            KeyAlgorithm::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096),
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519),
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        pair.map_err(|Unspecified| KeyError::GenerationFailed)
    }
}

impl SoftwareKey {
    /// A new key, from the backend's own entropy. It signs as
    /// [`KeyAlgorithm::certificate_signature`] says.
    ///
    /// # Errors
    /// [`KeyError::GenerationFailed`] when the backend failed,
    /// [`KeyError::UnsupportedAlgorithm`] for a kind of key that this backend does not know.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        Self::new(algorithm, Pair::generate(algorithm)?)
    }

    /// Takes in a key from an unencrypted PKCS#8 `PrivateKeyInfo` or
    /// `OneAsymmetricKey` (RFC 5958), and keeps no copy of `der`. Wiping `der` is
    /// the caller's.
    ///
    /// The kind of key is what `der` says: P-256 and P-384 as named curves, RSA
    /// with 2048, 3072 or 4096 bits and the public exponent 65537, Ed25519.
    ///
    /// # Errors
    /// What is wrong with `der`; see [`KeyError`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let algorithm = pkcs8::key_algorithm(der)?;
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(curve, der).map(Pair::Ecdsa);
        let pair = match algorithm {
            KeyAlgorithm::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                RsaKeyPair::from_pkcs8(der).map(Pair::Rsa)
            }
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(der).map(Pair::Ed25519),
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        Self::new(algorithm, pair.map_err(|_rejected| KeyError::Inconsistent)?)
    }

    fn new(key_algorithm: KeyAlgorithm, pair: Pair) -> Result<Self, KeyError> {
        let spki = match &pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        let spki: PublicKeyX509Der<'static> = spki.map_err(|Unspecified| KeyError::Inconsistent)?;
        let algorithm = key_algorithm.certificate_signature();
        if !is_canonical(spki.as_ref(), algorithm) {
            return Err(KeyError::Inconsistent);
        }
        let public_key = SubjectPublicKeyInfoDer::from(spki.as_ref().to_vec());
        Ok(Self { pair, key_algorithm, algorithm, public_key })
    }

    /// Turns an RSA key into one that signs with
    /// [`SignatureAlgorithm::RsaPssSha256`], for TLS 1.3.
    ///
    /// # Errors
    /// [`KeyError::NotRsa`] for any other kind of key, which is dropped.
    pub fn into_pss(self) -> Result<Self, KeyError> {
        match self.pair {
            Pair::Rsa(_) => Ok(Self { algorithm: SignatureAlgorithm::RsaPssSha256, ..self }),
            Pair::Ecdsa(_) | Pair::Ed25519(_) => Err(KeyError::NotRsa),
        }
    }

    /// What kind of key this is.
    #[must_use]
    pub const fn key_algorithm(&self) -> KeyAlgorithm {
        self.key_algorithm
    }
}

/// Whether `spki` carries the algorithm's own identifier, and an EC point uncompressed:
/// the only form that every verifier reads (RFC 5480 2.2).
fn is_canonical(spki: &[u8], algorithm: SignatureAlgorithm) -> bool {
    const UNCOMPRESSED: u8 = 0x04;

    PublicKeyParts::of(spki).is_some_and(|parts| {
        let is_ecdsa = matches!(algorithm, SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha384);
        parts.algorithm == algorithm.public_key_identifier().as_ref()
            && (!is_ecdsa || parts.key.first() == Some(&UNCOMPRESSED))
    })
}

impl Signer for SoftwareKey {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn custody(&self) -> Custody {
        Custody::InProcess
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        if signature.len() < self.algorithm.signature_len_max() {
            return Err(SignError::new(SignErrorKind::BufferTooSmall));
        }
        // The backend draws its own entropy; the argument is there for another library's sake.
        let entropy = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signed = pair.sign(&entropy, message).map_err(backend)?;
                place(signed.as_ref(), signature)
            }
            Pair::Ed25519(pair) => {
                let signed = pair.try_sign(message).map_err(backend)?;
                place(signed.as_ref(), signature)
            }
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match self.algorithm {
                    SignatureAlgorithm::RsaPssSha256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                // The backend insists on a slice of exactly the modulus' length.
                let len = pair.public_modulus_len();
                let exact = signature.get_mut(..len).ok_or_else(|| SignError::new(SignErrorKind::BufferTooSmall))?;
                pair.sign(padding, &entropy, message, exact).map_err(backend)?;
                Ok(len)
            }
        }
    }
}

/// Copies a finished signature to the front of the caller's buffer.
fn place(signed: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
    signature
        .get_mut(..signed.len())
        .ok_or_else(|| SignError::new(SignErrorKind::BufferTooSmall))?
        .copy_from_slice(signed);
    Ok(signed.len())
}

fn backend(error: Unspecified) -> SignError {
    SignError::with_source(SignErrorKind::Other, error)
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKey")
            .field("key_algorithm", &self.key_algorithm)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Why there is no [`SoftwareKey`]. It holds nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The input is not DER, is cut off, or is not a private key of the expected structure.
    Malformed,
    /// Octets follow the structure.
    TrailingData,
    /// The PKCS#8 structure is encrypted: this crate takes no passphrases.
    Encrypted,
    /// The kind of key, its curve, or the form of its parameters is not supported.
    UnsupportedAlgorithm,
    /// The RSA modulus has a length that is not supported.
    UnsupportedRsaModulus(RsaModulus),
    /// The RSA public exponent is not 65537.
    UnsupportedRsaExponent,
    /// The parts of the key do not belong together.
    Inconsistent,
    /// The backend made no key.
    GenerationFailed,
    /// Only an RSA key can do this.
    NotRsa,
}

/// The RSA modulus that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsaModulus {
    bits: usize,
}

impl RsaModulus {
    /// Its length in bits.
    #[must_use]
    pub const fn bits(self) -> usize {
        self.bits
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("private key is not a PKCS#8, SEC 1 or PKCS#1 structure in DER"),
            Self::TrailingData => f.write_str("private key is followed by other data"),
            Self::Encrypted => f.write_str("private key is encrypted, expected a plain PKCS#8 structure"),
            Self::UnsupportedAlgorithm => f.write_str("private key has an unsupported algorithm or curve"),
            Self::UnsupportedRsaModulus(RsaModulus { bits }) => {
                write!(f, "RSA modulus must have `2048`, `3072` or `4096` bits, found `{bits}`")
            }
            Self::UnsupportedRsaExponent => f.write_str("RSA public exponent must be `65537`"),
            Self::Inconsistent => f.write_str("parts of the private key do not belong together"),
            Self::GenerationFailed => f.write_str("private key could not be generated"),
            Self::NotRsa => f.write_str("RSASSA-PSS needs an RSA key"),
        }
    }
}

impl Error for KeyError {}
