//! RSA of the crate `rsa`. The private key is never used without blinding, nor its result without the check against
//! faults that the crate does itself.

use getrandom::SysRng;
use pki_core::{SignError, SignErrorKind, SignatureAlgorithm};
use rand_core::{TryRng, UnwrapErr};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::sha2::{Digest, Sha256};
use rsa::traits::SignatureScheme;
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey};
use zeroize::Zeroizing;

use super::super::{Form, KeyError, KeyPair, place};
use super::pkcs8;

pub(super) struct Rsa(RsaPrivateKey);

impl Rsa {
    pub(super) fn generate(bits: usize) -> Result<Self, KeyError> {
        // The crate takes no source of entropy that can fail, so one that does not work is found out before.
        SysRng.try_next_u64()?;
        let key = RsaPrivateKey::new(&mut UnwrapErr(SysRng), bits).map_err(|_failed| KeyError::GenerationFailed)?;
        Ok(Self(key))
    }

    /// The crate computes the exponents and the coefficient of the Chinese remainder theorem itself, and believes those
    /// of `der` nothing.
    pub(super) fn read(form: Form, der: &[u8]) -> Result<Self, KeyError> {
        let key = match form {
            Form::Pkcs1 => RsaPrivateKey::from_pkcs1_der(der).ok(),
            Form::Pkcs8 | Form::Sec1 => RsaPrivateKey::from_pkcs8_der(der).ok(),
        };
        key.map(Self).ok_or(KeyError::Inconsistent)
    }

    fn signed(&self, padding: impl SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        padding
            .sign(Some(&mut SysRng), &self.0, &Sha256::digest(message))
            .map_err(|error| SignError::with_source(SignErrorKind::Other, error))
    }
}

impl KeyPair for Rsa {
    fn spki(&self) -> Option<Vec<u8>> {
        Some(self.0.to_public_key().to_public_key_der().ok()?.into_vec())
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        pkcs8(&self.0)
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let signed = match algorithm {
            SignatureAlgorithm::RsaPssSha256 => self.signed(Pss::<Sha256>::new(), message)?,
            _ => self.signed(Pkcs1v15Sign::new::<Sha256>(), message)?,
        };
        place(&signed, signature)
    }
}
