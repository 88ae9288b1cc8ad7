//! For rcgen.

use core::fmt;

use crate::{SignatureAlgorithm, Signer, sign_to_vec};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};

use super::adapter::{UnsupportedSigner, public_key};

/// A signer as rcgen's [`SigningKey`](rcgen::SigningKey), with which it issues certificates, requests and lists.
///
/// ```
/// use pki_core::{KeyAlgorithm, RcgenSigner};
/// use rcgen::{CertificateParams, KeyIdMethod, SerialNumber};
/// use signer_hsm::SoftwareKey;
///
/// let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
/// let mut params = CertificateParams::new(["node-1.example".to_owned()])?;
/// params.serial_number = Some(SerialNumber::from(1));
/// params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20]);
/// let certificate = params.self_signed(&RcgenSigner::new(&key)?)?;
/// # assert!(!certificate.der().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What this crate guarantees of a certificate holds for none that is made this way.
#[derive(Clone, Copy)]
pub struct RcgenSigner<'a> {
    signer: &'a dyn Signer,
    algorithm: &'static rcgen::SignatureAlgorithm,
    key: &'a [u8],
}

impl<'a> RcgenSigner<'a> {
    /// The signer for rcgen.
    ///
    /// # Errors
    /// [`UnsupportedSigner`] for RSASSA-PSS, with which rcgen signs nothing.
    pub fn new(signer: &'a dyn Signer) -> Result<Self, UnsupportedSigner> {
        const LIBRARY: &str = "rcgen";
        let algorithm = match signer.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => &PKCS_ECDSA_P256_SHA256,
            SignatureAlgorithm::EcdsaP384Sha384 => &PKCS_ECDSA_P384_SHA384,
            SignatureAlgorithm::RsaPkcs1Sha256 => &PKCS_RSA_SHA256,
            SignatureAlgorithm::Ed25519 => &PKCS_ED25519,
            algorithm @ SignatureAlgorithm::RsaPssSha256 => {
                return Err(UnsupportedSigner { library: LIBRARY, algorithm });
            }
        };
        let key = public_key(signer, LIBRARY)?.bits();
        Ok(Self { signer, algorithm, key })
    }
}

impl rcgen::PublicKeyData for RcgenSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for RcgenSigner<'_> {
    /// rcgen has one error for keys that are not its own, so what the signer said is lost here.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        sign_to_vec(self.signer, message).map_err(|_said| rcgen::Error::RemoteKeyError)
    }
}

impl fmt::Debug for RcgenSigner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcgenSigner").field("signer", &self.signer).finish_non_exhaustive()
    }
}
