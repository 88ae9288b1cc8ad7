//! Signers and key stores that fail as told, for the tests of whoever embeds them.
//!
//! What goes wrong stands in a script: the first call meets its first entry, and when it is used up everything goes well
//! again. Nothing is drawn at random, and nothing here belongs into a program that is shipped.
//!
//! ```
//! # #[cfg(feature = "aws-lc-rs")] {
//! use std::sync::Arc;
//!
//! use pki_core::{KeyAlgorithm, sign_to_vec};
//! use signer_hsm::SoftwareKey;
//! use signer_hsm::testing::{FaultySigner, SignFault};
//!
//! let key = Arc::new(SoftwareKey::generate(KeyAlgorithm::P256)?);
//! let signer = FaultySigner::new(key, SignFault::unavailable(2));
//! assert!(sign_to_vec(&signer, b"message").unwrap_err().is_retryable());
//! assert!(sign_to_vec(&signer, b"message").unwrap_err().is_retryable());
//! assert!(sign_to_vec(&signer, b"message").is_ok());
//! assert_eq!(signer.signed(), 1);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pki_core::{Custody, SignError, SignErrorKind, SignatureAlgorithm, Signer, sign_to_vec};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::der::{Elements, INTEGER, SEQUENCE};
use crate::key_store::{KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};

/// What goes wrong in one signature.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SignFault {
    /// Nothing.
    None,
    /// It fails with this class, and nothing is signed.
    Fails(SignErrorKind),
    /// It is signed, and the answer is lost: [`SignErrorKind::TimedOut`].
    TimedOutAfterSigning,
    /// It takes as long as this, or until [`FaultySigner::release`], and then goes well.
    Delayed(Duration),
    /// Another key signs, as from the wrong slot of a token.
    OtherKey(Arc<dyn Signer>),
    /// One bit of the signature is another.
    WrongBytes,
    /// An ECDSA signature as r and s side by side (PKCS#11's form) and not as DER. Of another algorithm it
    /// is [`SignErrorKind::UnsupportedAlgorithm`].
    RawEcdsa,
    /// The last octet of the signature is missing.
    Short,
    /// No octet, and no error.
    Empty,
}

impl SignFault {
    /// A backend that is unavailable for this many signatures.
    #[must_use]
    pub fn unavailable(times: usize) -> Vec<Self> {
        vec![Self::Fails(SignErrorKind::Unavailable); times]
    }
}

/// A signer with a script of faults in front of it.
///
/// Each signature takes one entry, each message of a batch its own. Public key and algorithm are those of the
/// signer behind. It says of itself [`Custody::Elsewhere`], whatever the signer behind says: what is faulty must be
/// checked.
#[derive(Debug)]
pub struct FaultySigner {
    signer: Arc<dyn Signer>,
    script: Mutex<Script>,
    released: Condvar,
}

#[derive(Debug)]
struct Script {
    faults: VecDeque<SignFault>,
    asked: usize,
    signed: usize,
    released: bool,
}

impl FaultySigner {
    /// `signer`, with these faults in this order.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>, faults: impl IntoIterator<Item = SignFault>) -> Self {
        let faults = faults.into_iter().collect();
        let script = Script { faults, asked: 0, signed: 0, released: false };
        Self { signer, script: Mutex::new(script), released: Condvar::new() }
    }

    /// How many signatures were asked for.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    /// How many signatures the key behind was made to give, those among them that nobody received.
    #[must_use]
    pub fn signed(&self) -> usize {
        self.lock().signed
    }

    /// Ends every delay, those to come as well.
    pub fn release(&self) {
        self.lock().released = true;
        self.released.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signature as the script has it.
    fn faulty(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let fault = {
            let mut script = self.lock();
            script.asked = script.asked.saturating_add(1);
            script.faults.pop_front().unwrap_or(SignFault::None)
        };
        if let SignFault::Fails(kind) = fault {
            return Err(SignError::new(kind));
        }
        if let SignFault::OtherKey(other) = fault {
            return sign_to_vec(&*other, message);
        }
        if let SignFault::Delayed(delay) = fault {
            let script = self.lock();
            drop(self.released.wait_timeout_while(script, delay, |script| !script.released));
        }
        let mut signature = sign_to_vec(&*self.signer, message)?;
        {
            let mut script = self.lock();
            script.signed = script.signed.saturating_add(1);
        }
        match fault {
            SignFault::TimedOutAfterSigning => return Err(SignError::new(SignErrorKind::TimedOut)),
            // The last octet belongs to a number in every form, so the form stays whole.
            SignFault::WrongBytes => {
                if let Some(last) = signature.last_mut() {
                    *last ^= 1;
                }
            }
            SignFault::RawEcdsa => {
                let unsupported = || SignError::new(SignErrorKind::UnsupportedAlgorithm);
                signature = raw_ecdsa(self.algorithm(), &signature).ok_or_else(unsupported)?;
            }
            SignFault::Short => drop(signature.pop()),
            SignFault::Empty => signature.clear(),
            _ => {}
        }
        Ok(signature)
    }
}

impl Signer for FaultySigner {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        self.signer.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    fn custody(&self) -> Custody {
        Custody::Elsewhere
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let too_small = || SignError::new(SignErrorKind::BufferTooSmall);
        if signature.len() < self.algorithm().signature_len_max() {
            return Err(too_small());
        }
        let signed = self.faulty(message)?;
        signature.get_mut(..signed.len()).ok_or_else(too_small)?.copy_from_slice(&signed);
        Ok(signed.len())
    }
}

/// r and s of an `Ecdsa-Sig-Value` (RFC 3279 2.2.3), each as long as a field element.
fn raw_ecdsa(algorithm: SignatureAlgorithm, der: &[u8]) -> Option<Vec<u8>> {
    let len = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => 32,
        SignatureAlgorithm::EcdsaP384Sha384 => 48,
        _ => return None,
    };
    let mut numbers = Elements::new(Elements::new(der).take(SEQUENCE)?);
    let mut raw = Vec::with_capacity(2 * len);
    for number in [numbers.take(INTEGER)?, numbers.take(INTEGER)?] {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        raw.resize(raw.len().checked_add(len.checked_sub(number.len())?)?, 0);
        raw.extend_from_slice(number);
    }
    Some(raw)
}

/// What goes wrong in one call of a key store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// Nothing.
    None,
    /// It fails with this class, and nothing is done.
    Fails(KeyStoreErrorKind),
    /// It is done, and the answer is lost: [`KeyStoreErrorKind::Unavailable`].
    UnavailableAfterwards,
}

/// A key store with a script of faults in front of it.
///
/// Each call takes one entry. The handles that it gives out are [`FaultySigner`]s, each with a script of its own, in the
/// order in which they are given out; when those are used up, they are as the store behind gives them.
#[derive(Debug)]
pub struct FaultyKeyStore {
    store: Arc<dyn KeyStore>,
    faults: Mutex<VecDeque<StoreFault>>,
    handles: Mutex<VecDeque<Vec<SignFault>>>,
}

impl FaultyKeyStore {
    /// `store`, with these faults in this order.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>, faults: impl IntoIterator<Item = StoreFault>) -> Self {
        Self { store, faults: Mutex::new(faults.into_iter().collect()), handles: Mutex::default() }
    }

    /// The same, with a script for each of the handles that it gives out first.
    #[must_use]
    pub fn with_handles(self, scripts: impl IntoIterator<Item = Vec<SignFault>>) -> Self {
        Self { handles: Mutex::new(scripts.into_iter().collect()), ..self }
    }

    fn call<T>(
        &self,
        label: &KeyLabel,
        call: impl FnOnce(&dyn KeyStore) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault.unwrap_or(StoreFault::None) {
            StoreFault::None => call(&*self.store),
            StoreFault::Fails(kind) => Err(KeyStoreError::new(kind, label.clone())),
            StoreFault::UnavailableAfterwards => {
                call(&*self.store)?;
                Err(KeyStoreError::new(KeyStoreErrorKind::Unavailable, label.clone()))
            }
        }
    }

    fn handle(&self, signer: Arc<dyn Signer>) -> Arc<dyn Signer> {
        let script = self.handles.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match script {
            Some(faults) => Arc::new(FaultySigner::new(signer, faults)),
            None => signer,
        }
    }
}

impl KeyStore for FaultyKeyStore {
    fn find(&self, label: &KeyLabel) -> Result<bool, KeyStoreError> {
        self.call(label, |store| store.find(label))
    }

    fn generate(&self, label: &KeyLabel, spec: KeySpec) -> Result<Arc<dyn Signer>, KeyStoreError> {
        self.call(label, |store| store.generate(label, spec)).map(|signer| self.handle(signer))
    }

    fn open(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError> {
        self.call(label, |store| store.open(label)).map(|signer| self.handle(signer))
    }

    fn destroy(&self, label: &KeyLabel) -> Result<(), KeyStoreError> {
        self.call(label, |store| store.destroy(label))
    }
}
