//! Keys in the memory of this process. They come in and do not go out again, but for an
//! [`ExportableKey`](crate::ExportableKey), which is made to be written to a file.

use core::error::Error;
use core::fmt;

use pki_core::{Custody, KeyAlgorithm, SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use zeroize::Zeroizing;

use crate::der::PublicKeyParts;
#[cfg(feature = "encrypted-keys")]
use crate::software::file::KeyFileError;

#[cfg(feature = "encrypted-keys")]
pub(crate) mod encrypted;
pub(crate) mod export;
#[cfg(feature = "aws-lc-rs")]
mod fast;
pub(crate) mod file;
mod pkcs8;
#[cfg(feature = "rustcrypto")]
mod rustcrypto;
pub(crate) mod store;

/// The library that does a software key's arithmetic: chosen by the embedder for each key, and never by which features
/// are enabled. A feature only adds a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// aws-lc-rs: the fast one, in C and assembly, and the one of every call that names no provider.
    #[cfg(feature = "aws-lc-rs")]
    AwsLcRs,
    /// p256, p384 and ed25519-dalek: pure Rust. ECDSA signatures are deterministic (RFC 6979).
    ///
    /// RSA keys need the feature `rsa-software-signing` besides, and are
    /// [`KeyError::UnsupportedAlgorithm`] without it: how long the crate `rsa` takes may tell of the private key
    /// (RUSTSEC-2023-0071). Every signature is blinded, which makes that harder and not impossible. Leave an RSA key of a
    /// CA to `AwsLcRs` or to a token.
    #[cfg(feature = "rustcrypto")]
    RustCrypto,
}

impl Provider {
    /// Every provider of this build, for tests that go through them.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "aws-lc-rs")]
        Self::AwsLcRs,
        #[cfg(feature = "rustcrypto")]
        Self::RustCrypto,
    ];

    fn library(self) -> &'static dyn Library {
        match self {
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => &fast::AwsLcRs,
            #[cfg(feature = "rustcrypto")]
            Self::RustCrypto => &rustcrypto::RustCrypto,
        }
    }
}

/// What makes and reads key pairs. `algorithm` is one of [`KeyAlgorithm::ALL`], and the structure around a key that is
/// read has been judged before.
trait Library {
    fn generate(&self, algorithm: KeyAlgorithm) -> Result<Box<dyn KeyPair>, KeyError>;
    fn read(&self, algorithm: KeyAlgorithm, form: Form, der: &[u8]) -> Result<Box<dyn KeyPair>, KeyError>;
}

/// The structure in which a key comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Pkcs8,
    /// `ECPrivateKey`, RFC 5915.
    Sec1,
    /// `RSAPrivateKey`, RFC 8017.
    Pkcs1,
}

/// One key of one library, which wipes it when it is dropped.
trait KeyPair: Send + Sync {
    /// The `SubjectPublicKeyInfo`; `None` when the library gives none.
    fn spki(&self) -> Option<Vec<u8>>;

    /// The PKCS#8 form, version 1: OpenSSL 3.0 does not read the Ed25519 keys of version 2.
    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>>;

    /// Signs as `algorithm` says, into a buffer of at least its `signature_len_max`.
    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError>;
}

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
    pair: Box<dyn KeyPair>,
    provider: Provider,
    key_algorithm: KeyAlgorithm,
    algorithm: SignatureAlgorithm,
    public_key: SubjectPublicKeyInfoDer<'static>,
}

impl SoftwareKey {
    /// A new key on aws-lc-rs. [`generate_with`](Self::generate_with) says the rest.
    ///
    /// # Errors
    /// As [`generate_with`](Self::generate_with).
    #[cfg(feature = "aws-lc-rs")]
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        Self::generate_with(Provider::AwsLcRs, algorithm)
    }

    /// A new key, from the provider's own entropy. It signs as
    /// [`KeyAlgorithm::certificate_signature`] says.
    ///
    /// # Errors
    /// [`KeyError::GenerationFailed`] when the provider failed,
    /// [`KeyError::UnsupportedAlgorithm`] for a kind of key that it does not know.
    pub fn generate_with(provider: Provider, algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        Self::new(provider, algorithm, provider.library().generate(algorithm)?)
    }

    /// Takes in a key on aws-lc-rs. [`from_pkcs8_der_with`](Self::from_pkcs8_der_with) says the rest.
    ///
    /// # Errors
    /// What is wrong with `der`; see [`KeyError`].
    #[cfg(feature = "aws-lc-rs")]
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8_der_with(Provider::AwsLcRs, der)
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
    pub fn from_pkcs8_der_with(provider: Provider, der: &[u8]) -> Result<Self, KeyError> {
        Self::read(provider, pkcs8::key_algorithm(der)?, Form::Pkcs8, der)
    }

    fn read(provider: Provider, algorithm: KeyAlgorithm, form: Form, der: &[u8]) -> Result<Self, KeyError> {
        Self::new(provider, algorithm, provider.library().read(algorithm, form, der)?)
    }

    fn new(provider: Provider, key_algorithm: KeyAlgorithm, pair: Box<dyn KeyPair>) -> Result<Self, KeyError> {
        let spki = pair.spki().ok_or(KeyError::Inconsistent)?;
        let algorithm = key_algorithm.certificate_signature();
        if !is_canonical(&spki, algorithm) {
            return Err(KeyError::Inconsistent);
        }
        let public_key = SubjectPublicKeyInfoDer::from(spki);
        Ok(Self { pair, provider, key_algorithm, algorithm, public_key })
    }

    /// Turns an RSA key into one that signs with
    /// [`SignatureAlgorithm::RsaPssSha256`], for TLS 1.3.
    ///
    /// # Errors
    /// [`KeyError::NotRsa`] for any other kind of key, which is dropped.
    pub fn into_pss(self) -> Result<Self, KeyError> {
        match self.key_algorithm {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                Ok(Self { algorithm: SignatureAlgorithm::RsaPssSha256, ..self })
            }
            _ => Err(KeyError::NotRsa),
        }
    }

    /// The library that this key is on.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        self.provider
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
        self.pair.sign(self.algorithm, message, signature)
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
    /// The PKCS#8 structure is encrypted, and no passphrase was given.
    Encrypted,
    /// The encryption is not PBES2 with a key derivation and a cipher that are supported.
    UnsupportedEncryption,
    /// Deriving the key from the passphrase would cost more than the caller allows.
    KdfLimit {
        /// The field of `KdfLimits`.
        parameter: &'static str,
        /// What it allows.
        limit: u64,
        /// What the file asks for.
        found: u64,
    },
    /// The passphrase is not the one, or the encrypted octets are damaged.
    NotDecrypted,
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
            Self::UnsupportedEncryption => f.write_str("private key is encrypted otherwise than by PBES2 with AES"),
            Self::KdfLimit { parameter, limit, found } => {
                write!(f, "encrypted private key has a limit of {limit} for `{parameter}`, found {found}")
            }
            Self::NotDecrypted => f.write_str("encrypted private key does not decrypt with this passphrase"),
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
