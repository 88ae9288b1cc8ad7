//! Software keys under labels. Nothing outlives the process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use pki_core::{SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::{KeyError, Provider, SoftwareKey};
use crate::key_store::{KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};

/// Keys in the memory of this process, by label. It writes nothing anywhere.
///
/// [`destroy`](KeyStore::destroy) waits for the signatures that are being made
/// with the key; when it returns, the key's memory has been wiped.
#[derive(Debug)]
pub struct SoftwareKeyStore {
    provider: Provider,
    keys: Mutex<BTreeMap<KeyLabel, Arc<StoredKey>>>,
}

#[cfg(feature = "aws-lc-rs")]
impl Default for SoftwareKeyStore {
    fn default() -> Self {
        Self::new()
    }
}

impl SoftwareKeyStore {
    /// A store without keys, which makes them on aws-lc-rs.
    #[cfg(feature = "aws-lc-rs")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_provider(Provider::AwsLcRs)
    }

    /// A store without keys, which makes them on `provider`.
    #[must_use]
    pub fn with_provider(provider: Provider) -> Self {
        Self { provider, keys: Mutex::default() }
    }

    /// Keeps a key that exists already, of any provider, such as the CA key of a cluster that is taken over.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::AlreadyExists`] when the label is taken; `key` is
    /// dropped, and the key that has the label is left alone.
    pub fn import(&self, label: &KeyLabel, key: SoftwareKey) -> Result<Arc<dyn Signer>, KeyStoreError> {
        match self.lock().entry(label.clone()) {
            Entry::Occupied(_) => Err(already_exists(label)),
            Entry::Vacant(entry) => {
                let stored: Arc<StoredKey> = Arc::clone(entry.insert(Arc::new(StoredKey::new(key))));
                Ok(stored)
            }
        }
    }

    /// The map. Nothing under this lock can fail half-way, so a thread that
    /// panicked elsewhere while holding it left the map whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyLabel, Arc<StoredKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for SoftwareKeyStore {
    fn find(&self, label: &KeyLabel) -> Result<bool, KeyStoreError> {
        Ok(self.lock().contains_key(label))
    }

    fn generate(&self, label: &KeyLabel, spec: KeySpec) -> Result<Arc<dyn Signer>, KeyStoreError> {
        if self.lock().contains_key(label) {
            return Err(already_exists(label));
        }
        // An RSA key takes seconds: made outside the lock, then kept only if the label is still free.
        let key = SoftwareKey::generate_with(self.provider, spec.algorithm).map_err(|error| {
            let kind = match error {
                KeyError::UnsupportedAlgorithm => KeyStoreErrorKind::UnsupportedAlgorithm,
                _ => KeyStoreErrorKind::Other,
            };
            KeyStoreError::with_source(kind, label.clone(), error)
        })?;
        self.import(label, key)
    }

    fn open(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError> {
        match self.lock().get(label) {
            Some(stored) => {
                let stored: Arc<StoredKey> = Arc::clone(stored);
                Ok(stored)
            }
            None => Err(KeyStoreError::new(KeyStoreErrorKind::NotFound, label.clone())),
        }
    }

    fn destroy(&self, label: &KeyLabel) -> Result<(), KeyStoreError> {
        let removed = self.lock().remove(label);
        if let Some(stored) = removed {
            stored.wipe();
        }
        Ok(())
    }
}

fn already_exists(label: &KeyLabel) -> KeyStoreError {
    KeyStoreError::new(KeyStoreErrorKind::AlreadyExists, label.clone())
}

/// The handle itself: shared by the store and by everyone who opened the key,
/// and empty once the key was destroyed.
#[derive(Debug)]
struct StoredKey {
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithm: SignatureAlgorithm,
    key: RwLock<Option<SoftwareKey>>,
}

impl StoredKey {
    fn new(key: SoftwareKey) -> Self {
        Self { public_key: key.public_key().clone(), algorithm: key.algorithm(), key: RwLock::new(Some(key)) }
    }

    fn wipe(&self) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Signer for StoredKey {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        match &*self.key.read().unwrap_or_else(PoisonError::into_inner) {
            Some(key) => key.sign(message, signature),
            None => Err(SignError::new(SignErrorKind::KeyNotFound)),
        }
    }
}
