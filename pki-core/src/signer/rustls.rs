//! For rustls.

use core::fmt;
use std::sync::Arc;

use crate::{SignatureAlgorithm as Algorithm, Signer, sign_to_vec};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::adapter::{UnsupportedSigner, public_key};

/// A signer as rustls' [`SigningKey`](rustls::sign::SigningKey): a TLS key that stays where it is.
///
/// A handle signs with one algorithm, so it has one scheme (RFC 8446 4.2.3), and a peer that does not offer it gets no
/// signature. An RSA handle for PKCS#1 serves TLS 1.2 only, since TLS 1.3 asks RSA keys for RSASSA-PSS: that is a handle of
/// its own, which serves both.
#[derive(Clone)]
pub struct RustlsSigner {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
    algorithm: SignatureAlgorithm,
}

impl RustlsSigner {
    /// The signer for rustls.
    ///
    /// # Errors
    /// [`UnsupportedSigner`] when its public key is of another algorithm than its signatures.
    pub fn new(signer: Arc<dyn Signer>) -> Result<Self, UnsupportedSigner> {
        let (scheme, algorithm) = match signer.algorithm() {
            Algorithm::EcdsaP256Sha256 => (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::ECDSA),
            Algorithm::EcdsaP384Sha384 => (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::ECDSA),
            Algorithm::RsaPkcs1Sha256 => (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RSA),
            Algorithm::RsaPssSha256 => (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::RSA),
            Algorithm::Ed25519 => (SignatureScheme::ED25519, SignatureAlgorithm::ED25519),
        };
        public_key(&*signer, "rustls")?;
        Ok(Self { signer, scheme, algorithm })
    }
}

impl rustls::sign::SigningKey for RustlsSigner {
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

impl rustls::sign::Signer for RustlsSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        sign_to_vec(&*self.signer, message).map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for RustlsSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsSigner").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}
