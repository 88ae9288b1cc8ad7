//! Keys as they stand in files: PEM of PKCS#8, and of the two older forms that kubeadm writes.

use core::error::Error;
use core::fmt;

use pki_core::pem::{PRIVATE_KEY, PemError, decode_single_pem, pem_blocks};
use pki_core::{KeyAlgorithm, Limits};
use zeroize::Zeroizing;

use super::{Form, KeyError, Provider, SoftwareKey, pkcs8};
use crate::der::{CONTEXT_0, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// An `ECPrivateKey` (RFC 5915 4).
const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";
/// An `RSAPrivateKey` (RFC 8017 A.1.2).
const RSA_PRIVATE_KEY: &str = "RSA PRIVATE KEY";
/// An `EncryptedPrivateKeyInfo` (RFC 7468 11).
pub(super) const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// How much of a foreign label travels in an error.
const LABEL_LEN_MAX: usize = 64;

impl SoftwareKey {
    /// Takes in the key of a key file on aws-lc-rs. [`from_pem_with`](Self::from_pem_with) says the rest.
    ///
    /// # Errors
    /// As [`from_pem_with`](Self::from_pem_with).
    #[cfg(feature = "aws-lc-rs")]
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyFileError> {
        Self::from_pem_with(Provider::AwsLcRs, text)
    }

    /// Takes in the key of a key file: exactly one PEM block with nothing around it, labelled `PRIVATE KEY`
    /// (PKCS#8), `EC PRIVATE KEY` (RFC 5915, named curve) or `RSA PRIVATE KEY` (RFC 8017), the last two being what
    /// kubeadm writes. The kinds of key are those of [`from_pkcs8_der_with`](Self::from_pkcs8_der_with).
    ///
    /// The decoded octets are wiped before this returns. Wiping `text` is the caller's.
    ///
    /// # Errors
    /// [`KeyFileError`]: what is wrong with the text, the label, or the key.
    pub fn from_pem_with(provider: Provider, text: &[u8]) -> Result<Self, KeyFileError> {
        let limits = &Limits::DEFAULT;
        let label = pem_blocks(text, limits)?.first().map_or(PRIVATE_KEY, |block| block.label());
        let decode = |label| decode_single_pem(text, label, limits).map(Zeroizing::new);
        match label {
            PRIVATE_KEY => Ok(Self::from_pkcs8_der_with(provider, &decode(PRIVATE_KEY)?)?),
            EC_PRIVATE_KEY => {
                let der = decode(EC_PRIVATE_KEY)?;
                Ok(Self::read(provider, ec_key_algorithm(&der)?, Form::Sec1, &der)?)
            }
            RSA_PRIVATE_KEY => {
                let der = decode(RSA_PRIVATE_KEY)?;
                only_sequence(&der)?;
                Ok(Self::read(provider, pkcs8::rsa_key_algorithm(&der)?, Form::Pkcs1, &der)?)
            }
            ENCRYPTED_PRIVATE_KEY => Err(KeyError::Encrypted.into()),
            _ => Err(KeyFileError::Label { found: label.chars().take(LABEL_LEN_MAX).collect() }),
        }
    }
}

/// The content of the sequence that `der` is, with nothing after it.
fn only_sequence(der: &[u8]) -> Result<Elements<'_>, KeyError> {
    let mut outer = Elements::new(der);
    let content = outer.take(SEQUENCE).ok_or(KeyError::Malformed)?;
    if outer.is_empty() { Ok(Elements::new(content)) } else { Err(KeyError::TrailingData) }
}

/// The kind of key in an `ECPrivateKey`, which must name its curve: without the file around it nothing else does.
fn ec_key_algorithm(der: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let mut fields = only_sequence(der)?;
    let (Some([1]), Some(_)) = (fields.take(INTEGER), fields.take(OCTET_STRING)) else {
        return Err(KeyError::Malformed);
    };
    let mut parameters = Elements::new(fields.take(CONTEXT_0).ok_or(KeyError::UnsupportedAlgorithm)?);
    let curve = parameters.take(OBJECT_IDENTIFIER).ok_or(KeyError::UnsupportedAlgorithm)?;
    let is = |algorithm: &KeyAlgorithm| {
        let identifier = algorithm.certificate_signature().public_key_identifier();
        let mut identifiers = Elements::new(identifier.as_ref());
        identifiers.take(OBJECT_IDENTIFIER).and_then(|_| identifiers.take(OBJECT_IDENTIFIER)) == Some(curve)
    };
    [KeyAlgorithm::P256, KeyAlgorithm::P384].into_iter().find(is).ok_or(KeyError::UnsupportedAlgorithm)
}

/// Why a key file gave no [`SoftwareKey`]. It holds nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is not one PEM block with nothing around it.
    Pem(PemError),
    /// The block is of another kind.
    Label {
        /// The label that stands there, cut.
        found: String,
    },
    /// The key inside is not accepted.
    Key(KeyError),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => write!(f, "{error}"),
            Self::Label { found } => write!(
                f,
                "expected `{PRIVATE_KEY}`, `{EC_PRIVATE_KEY}` or `{RSA_PRIVATE_KEY}`, found `{}`",
                found.escape_debug()
            ),
            Self::Key(error) => write!(f, "{error}"),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pem(error) => Some(error),
            Self::Label { .. } => None,
            Self::Key(error) => Some(error),
        }
    }
}

impl From<PemError> for KeyFileError {
    fn from(error: PemError) -> Self {
        Self::Pem(error)
    }
}

impl From<KeyError> for KeyFileError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}
