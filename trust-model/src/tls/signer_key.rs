//! A [`Signer`] as a key of `rustls`, so that keys that never leave their token serve TLS.

use core::fmt;
use std::sync::Arc;

use pki_core::{Signer, sign_to_vec};
use rustls::sign::SigningKey;
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::tls::IdentityError;

/// A key that signs handshakes through a [`Signer`].
///
/// A handle signs with one algorithm, so it has one signature scheme (RFC 8446 4.2.3). A handle for RSA
/// PKCS#1 serves TLS 1.2 only, because TLS 1.3 asks RSA keys for PSS; a PSS handle serves both.
#[derive(Clone)]
pub struct SignerKey {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
    algorithm: SignatureAlgorithm,
}

impl SignerKey {
    /// The key behind a signer.
    ///
    /// # Errors
    /// [`IdentityError::UnsupportedAlgorithm`] when TLS has no scheme for its signatures.
    pub fn new(signer: Arc<dyn Signer>) -> Result<Self, IdentityError> {
        use pki_core::SignatureAlgorithm as A;
        let (scheme, algorithm) = match signer.algorithm() {
            A::EcdsaP256Sha256 => (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::ECDSA),
            A::EcdsaP384Sha384 => (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::ECDSA),
            A::RsaPkcs1Sha256 => (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RSA),
            A::RsaPssSha256 => (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::RSA),
            A::Ed25519 => (SignatureScheme::ED25519, SignatureAlgorithm::ED25519),
            other => return Err(IdentityError::UnsupportedAlgorithm(other)),
        };
        Ok(Self { signer, scheme, algorithm })
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerKey").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl SigningKey for SignerKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        if offered.contains(&self.scheme) { Some(Box::new(self.clone())) } else { None }
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.signer.public_key().as_ref()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl rustls::sign::Signer for SignerKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        sign_to_vec(&*self.signer, message).map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
