//! Key files that are encrypted with a passphrase: PKCS#8 `EncryptedPrivateKeyInfo` (RFC 5958 3) with PBES2 (RFC 8018).
//!
//! How long the passphrase is stretched stands in the file, so a file can ask for hours and gigabytes. It is
//! read first, and refused over a limit before any of it is done.

use pkcs5::EncryptionScheme;
use pkcs5::pbes2::Kdf;
use pki_core::Limits;
use pki_core::pem::decode_single_pem;
use zeroize::Zeroizing;

use super::file::ENCRYPTED_PRIVATE_KEY;
use super::{KeyError, KeyFileError, Provider, SoftwareKey};
use crate::der::{Elements, OCTET_STRING, SEQUENCE};

/// How much work an encrypted key file may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KdfLimits {
    /// Iterations of PBKDF2.
    pub pbkdf2_iterations: u32,
    /// Octets of memory that scrypt takes, which is 128 * N * r (RFC 7914 2).
    pub scrypt_memory: u64,
    /// Times that scrypt goes through its memory: its parameter p.
    pub scrypt_parallelization: u16,
}

impl KdfLimits {
    /// Two million iterations, 64 MiB, four times. OpenSSL writes 2,048 iterations, or 16 MiB once, where it is not told
    /// otherwise; what is advised for passwords is 600,000 iterations.
    pub const DEFAULT: Self =
        Self { pbkdf2_iterations: 2_000_000, scrypt_memory: 64 * 1024 * 1024, scrypt_parallelization: 4 };

    fn admit(&self, kdf: &Kdf) -> Result<(), KeyError> {
        match kdf {
            Kdf::Pbkdf2(pbkdf2) => {
                within("pbkdf2_iterations", self.pbkdf2_iterations.into(), pbkdf2.iteration_count.into())
            }
            // RFC 7914 2 asks for a power of two above one, and the library panics at zero.
            Kdf::Scrypt(scrypt) if scrypt.cost_parameter < 2 || !scrypt.cost_parameter.is_power_of_two() => {
                Err(KeyError::UnsupportedEncryption)
            }
            Kdf::Scrypt(scrypt) => {
                let memory = scrypt.cost_parameter.saturating_mul(128).saturating_mul(scrypt.block_size.into());
                within("scrypt_memory", self.scrypt_memory, memory)?;
                let times = scrypt.parallelization.into();
                within("scrypt_parallelization", self.scrypt_parallelization.into(), times)
            }
            _ => Err(KeyError::UnsupportedEncryption),
        }
    }
}

impl Default for KdfLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const fn within(parameter: &'static str, limit: u64, found: u64) -> Result<(), KeyError> {
    if found > limit { Err(KeyError::KdfLimit { parameter, limit, found }) } else { Ok(()) }
}

impl SoftwareKey {
    /// Takes in the key of an encrypted key file: exactly one PEM block with nothing around it, labelled
    /// `ENCRYPTED PRIVATE KEY`. [`from_encrypted_pkcs8_der`](Self::from_encrypted_pkcs8_der) says the rest.
    ///
    /// # Errors
    /// [`KeyFileError`]: what is wrong with the text, the label, the encryption or the key.
    pub fn from_encrypted_pem(
        provider: Provider,
        text: &[u8],
        passphrase: &[u8],
        limits: &KdfLimits,
    ) -> Result<Self, KeyFileError> {
        let der = decode_single_pem(text, ENCRYPTED_PRIVATE_KEY, &Limits::DEFAULT)?;
        Ok(Self::from_encrypted_pkcs8_der(provider, &der, passphrase, limits)?)
    }

    /// Takes in a key from a PKCS#8 `EncryptedPrivateKeyInfo`: PBES2 with PBKDF2 (HMAC of SHA-2) or scrypt, and AES in CBC
    /// or GCM mode. What OpenSSL 3 writes is that; what it wrote before 1.1 (HMAC of SHA-1, DES, RC2) is refused.
    ///
    /// The decrypted octets are wiped before this returns. Wiping `passphrase` is the caller's.
    ///
    /// # Errors
    /// [`KeyError::KdfLimit`] before any work that goes beyond `limits`; [`KeyError::NotDecrypted`] for
    /// another passphrase; [`KeyError::UnsupportedEncryption`]; or what is wrong with the key inside.
    pub fn from_encrypted_pkcs8_der(
        provider: Provider,
        der: &[u8],
        passphrase: &[u8],
        limits: &KdfLimits,
    ) -> Result<Self, KeyError> {
        let mut outer = Elements::new(der);
        let mut fields = Elements::new(outer.take(SEQUENCE).ok_or(KeyError::Malformed)?);
        if !outer.is_empty() {
            return Err(KeyError::TrailingData);
        }
        let (Some(scheme), Some(octets), true) =
            (fields.take_whole(SEQUENCE), fields.take(OCTET_STRING), fields.is_empty())
        else {
            return Err(KeyError::Malformed);
        };
        let scheme = EncryptionScheme::try_from(scheme).map_err(|_unknown| KeyError::UnsupportedEncryption)?;
        limits.admit(&scheme.pbes2().ok_or(KeyError::UnsupportedEncryption)?.kdf)?;

        let mut octets = Zeroizing::new(octets.to_vec());
        let plain = scheme.decrypt_in_place(passphrase, &mut octets).map_err(|error| match error {
            pkcs5::Error::DecryptFailed => KeyError::NotDecrypted,
            _ => KeyError::UnsupportedEncryption,
        })?;
        // CBC has no checksum: another passphrase gives noise, and one time in 256 noise with a proper end.
        Self::from_pkcs8_der_with(provider, plain).map_err(|error| match error {
            KeyError::Malformed | KeyError::TrailingData => KeyError::NotDecrypted,
            other => other,
        })
    }
}
