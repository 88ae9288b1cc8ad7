//! Keys that are made to be written to a file.

use core::fmt;

use pki_core::pem::{PRIVATE_KEY, encode_pem};
use pki_core::{KeyAlgorithm, Signer};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use zeroize::Zeroizing;

use super::{KeyError, Provider, SoftwareKey};

/// A new key that its holder may write to a file, until it becomes [a signer only](Self::into_signer).
///
/// Some keys of a cluster are distributed by design: kubeadm keeps its CA keys on the disk of every control-plane
/// node, and a component reads its leaf's key from a file. Such a key is born exportable and says so by its type. A
/// [`SoftwareKey`] never becomes one, so a key that was not made for a file cannot end in one.
///
/// It cannot be cloned or printed, and its PKCS#8 form is wiped when it is dropped or becomes a signer:
///
/// ```
/// use pki_core::KeyAlgorithm;
/// use signer_hsm::{ExportableKey, SoftwareKey};
///
/// let key = ExportableKey::generate(KeyAlgorithm::P256)?;
/// let file = key.to_pem();
/// assert!(file.starts_with("-----BEGIN PRIVATE KEY-----\n"));
/// let read = SoftwareKey::from_pem(file.as_bytes())?;
/// # use pki_core::Signer;
/// assert_eq!(read.public_key(), key.into_signer().public_key());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0277
/// # use signer_hsm::ExportableKey;
/// fn copy<T: Clone>(key: &T) -> T {
///     key.clone()
/// }
/// let key = ExportableKey::generate(pki_core::KeyAlgorithm::P256)?;
/// let second = copy(&key);
/// # Ok::<(), signer_hsm::KeyError>(())
/// ```
pub struct ExportableKey {
    pkcs8: Zeroizing<Vec<u8>>,
    signer: SoftwareKey,
}

impl ExportableKey {
    /// A new key on aws-lc-rs.
    ///
    /// # Errors
    /// As [`SoftwareKey::generate_with`].
    #[cfg(feature = "aws-lc-rs")]
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        Self::generate_with(Provider::AwsLcRs, algorithm)
    }

    /// A new key, from the provider's own entropy.
    ///
    /// # Errors
    /// As [`SoftwareKey::generate_with`].
    pub fn generate_with(provider: Provider, algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let pair = provider.library().generate(algorithm)?;
        let pkcs8 = pair.to_pkcs8().ok_or(KeyError::GenerationFailed)?;
        Ok(Self { pkcs8, signer: SoftwareKey::new(provider, algorithm, pair)? })
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        self.signer.public_key()
    }

    /// The key as a signer, such as for a request that is sent before the file is written.
    #[must_use]
    pub const fn signer(&self) -> &SoftwareKey {
        &self.signer
    }

    /// The content of a key file: one `PRIVATE KEY` block (RFC 7468 10) of PKCS#8 version 1, which every reader of
    /// Kubernetes and etcd takes.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(encode_pem(PRIVATE_KEY, &self.pkcs8))
    }

    /// The key as a signer only: from here on it does not go out any more.
    #[must_use]
    pub fn into_signer(self) -> SoftwareKey {
        self.signer
    }
}

impl fmt::Debug for ExportableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportableKey").field("key_algorithm", &self.signer.key_algorithm).finish_non_exhaustive()
    }
}
