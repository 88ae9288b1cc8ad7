//! A handle to one key on a token.

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use pki_core::{SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::error::Pkcs11Error;
use super::mechanism::Scheme;
use super::pool::Pool;
use super::sessions::KeyIdentity;

/// How many messages of a batch are signed as one job, within the time of one call.
const BATCH: usize = 32;

pub(super) struct TokenKey {
    pub(super) pool: Arc<Pool>,
    pub(super) key: Arc<KeyIdentity>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) scheme: Scheme,
    pub(super) timeout: Duration,
}

impl Signer for TokenKey {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.key.public.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        if signature.len() < self.algorithm.signature_len_max() {
            return Err(SignError::new(SignErrorKind::BufferTooSmall));
        }
        let (key, scheme) = (Arc::clone(&self.key), self.scheme);
        let input = scheme.input(message);
        let signed = self
            .pool
            .run(self.timeout, move |connection| connection.sign(&key, scheme, &input))
            .map_err(Pkcs11Error::sign_error)?;
        signature
            .get_mut(..signed.len())
            .ok_or_else(|| Pkcs11Error::MalformedSignature.sign_error())?
            .copy_from_slice(&signed);
        Ok(signed.len())
    }

    fn sign_batch(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        messages.chunks(BATCH).flat_map(|chunk| self.sign_chunk(chunk)).collect()
    }
}

impl TokenKey {
    fn sign_chunk(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        let (key, scheme) = (Arc::clone(&self.key), self.scheme);
        let inputs: Vec<_> = messages.iter().map(|message| scheme.input(message)).collect();
        let outcome = self.pool.run(self.timeout, move |connection| {
            inputs.iter().map(|input| connection.sign(&key, scheme, input)).collect::<Result<Vec<_>, _>>()
        });
        match outcome {
            Ok(signatures) => signatures.into_iter().map(Ok).collect(),
            Err(error) => messages.iter().map(|_| Err(error.clone().sign_error())).collect(),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.key.label.as_deref().map(String::from_utf8_lossy);
        f.debug_struct("TokenKey").field("label", &label).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
