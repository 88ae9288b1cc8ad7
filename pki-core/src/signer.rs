//! The one thing that the rest of the workspace may ask of a private key: sign.

#[cfg(any(feature = "rcgen", feature = "rustls", feature = "signature"))]
mod adapter;
#[cfg(feature = "rcgen")]
mod rcgen;
#[cfg(feature = "rustls")]
mod rustls;
#[cfg(feature = "signature")]
mod x509;

use core::error::Error;
use core::fmt;

use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::SignatureAlgorithm;

#[cfg(any(feature = "rcgen", feature = "rustls", feature = "signature"))]
pub use self::adapter::UnsupportedSigner;
#[cfg(feature = "rcgen")]
pub use self::rcgen::RcgenSigner;
#[cfg(feature = "rustls")]
pub use self::rustls::RustlsSigner;
#[cfg(feature = "signature")]
pub use self::x509::{SignerPublicKey, X509Signature, X509Signer};

/// A private key that can sign and cannot be exported.
///
/// Blocking, object safe, callable from many threads. It offers no key bytes, no
/// clone and no generic digest. It never verifies what it produced:
/// the issuing pipeline checks the fresh signature, once.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public key, known since the handle was opened: no I/O, cannot fail.
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static>;

    /// How this handle signs. It fits [`public_key`](Self::public_key) and never changes.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Where the key is. A backend whose key is in this process says so; every other answer is
    /// [`Custody::Elsewhere`], which is the default.
    fn custody(&self) -> Custody {
        Custody::Elsewhere
    }

    /// Signs `message` and writes the signature to the front of `signature`,
    /// returning its length in octets.
    ///
    /// `message` is not hashed: the implementation hashes as
    /// [`algorithm`](Self::algorithm) says. What is written is the content of an X.509
    /// `BIT STRING`, for ECDSA a DER `Ecdsa-Sig-Value` and not r||s.
    ///
    /// # Errors
    /// [`SignErrorKind::BufferTooSmall`] when `signature` is shorter than
    /// [`SignatureAlgorithm::signature_len_max`]; any other kind when the backend
    /// failed. Nothing in `signature` means anything then.
    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError>;

    /// Signs each message, in order, each with its own outcome.
    ///
    /// Backends that pay per call override this.
    fn sign_batch(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        messages.iter().map(|message| sign_to_vec(self, message)).collect()
    }
}

/// Where a private key is, which decides whether the check of its fresh signature may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Custody {
    /// In the memory of this process, used by a library that was linked to it.
    InProcess,
    /// In a token, a service, another process or machine: what comes back may be anybody's.
    Elsewhere,
}

/// Signs into a fresh vector of exactly the signature's length.
///
/// # Errors
/// As [`Signer::sign`].
pub fn sign_to_vec<S: Signer + ?Sized>(signer: &S, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let mut signature = vec![0; signer.algorithm().signature_len_max()];
    let written = signer.sign(message, &mut signature)?;
    if written > signature.len() {
        return Err(SignError::new(SignErrorKind::Other));
    }
    signature.truncate(written);
    Ok(signature)
}

/// Why a signature was not made. It never holds the message or anything of the key.
#[derive(Debug)]
pub struct SignError {
    kind: SignErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The classes of [`SignError`], as a caller must tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignErrorKind {
    /// The backend cannot be reached now.
    Unavailable,
    /// The backend did not answer in time: whether it signed is unknown.
    TimedOut,
    /// The key is not there, or was destroyed.
    KeyNotFound,
    /// The backend refuses this caller.
    AccessDenied,
    /// The backend cannot sign with the algorithm of the handle.
    UnsupportedAlgorithm,
    /// The backend's own policy refuses this message.
    Rejected,
    /// The caller's buffer is shorter than the algorithm's longest signature.
    BufferTooSmall,
    /// Anything else; the source says what.
    Other,
}

impl SignError {
    /// An error without a cause worth telling.
    #[must_use]
    pub const fn new(kind: SignErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// An error of `kind` that was caused by `source`.
    #[must_use]
    pub fn with_source(kind: SignErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The class.
    #[must_use]
    pub const fn kind(&self) -> SignErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, SignErrorKind::Unavailable | SignErrorKind::TimedOut)
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SignErrorKind::Unavailable => "the signing backend is unavailable",
            SignErrorKind::TimedOut => "the signing backend did not answer in time",
            SignErrorKind::KeyNotFound => "the signing key was not found",
            SignErrorKind::AccessDenied => "the signing backend denied access",
            SignErrorKind::UnsupportedAlgorithm => "the signing backend does not support the algorithm",
            SignErrorKind::Rejected => "the signing backend's policy refused the message",
            SignErrorKind::BufferTooSmall => "the signature buffer is shorter than the algorithm's longest signature",
            SignErrorKind::Other => "signing failed",
        })
    }
}

impl Error for SignError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| -> &(dyn Error + 'static) { source })
    }
}
