//! What an endpoint shows of itself: a chain, and the key of its leaf.

use core::fmt;
use std::sync::Arc;

use pki_core::{Fingerprint, RustlsSigner, Signer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use crate::tls::{IdentityError, TlsRefusal};

/// A certificate chain, leaf first, with a signer that holds the leaf's key.
#[derive(Clone)]
pub struct TlsIdentity {
    certified_key: Arc<CertifiedKey>,
}

impl TlsIdentity {
    /// The identity of a chain, leaf first, and the signer of its leaf.
    ///
    /// # Errors
    /// [`IdentityError`] when the chain is empty or its leaf unreadable, when the leaf was issued for
    /// another key than the signer's, or when TLS cannot use the signer.
    pub fn new(chain: Vec<CertificateDer<'static>>, signer: Arc<dyn Signer>) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| IdentityError::Leaf(TlsRefusal(error)))?;
        let (expected, found) = (parsed.subject_public_key_info(), signer.public_key());
        if expected != *found {
            let (expected, found) = (Fingerprint::of(&expected), Fingerprint::of(found));
            return Err(IdentityError::KeyMismatch { expected, found });
        }
        let key = RustlsSigner::new(signer).map_err(IdentityError::Signer)?;
        Ok(Self { certified_key: Arc::new(CertifiedKey::new(chain, Arc::new(key))) })
    }

    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified_key.cert
    }

    /// The identity as `rustls` takes it.
    #[must_use]
    pub const fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("leaf", &self.chain().first().map(|leaf| Fingerprint::of(leaf)))
            .finish_non_exhaustive()
    }
}
