//! Keys on a token, by label.

use core::fmt;
use core::num::NonZeroU8;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use pki_core::{SignatureAlgorithm, Signer};

use super::deadline::Deadline;
use super::error::Pkcs11Error;
use super::module::Pkcs11Module;
use super::pool::Pool;
use super::probe::{self, ExportProbe};
use super::sessions::{KeyIdentity, Login, Pin};
use super::signer::TokenKey;
use super::uri::{ObjectType, Pkcs11Uri};
use crate::key_store::{KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};

const ID_LEN: usize = 16;

/// How a [`Pkcs11KeyStore`] uses its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenOptions {
    /// How many sessions are open at most, each with a thread. Tokens lock, so more than two sign no faster. Two.
    pub sessions: NonZeroU8,
    /// How long a call may take, the generation of a key excepted. Five seconds.
    pub call_timeout: Duration,
    /// How long the generation of a key may take. Two minutes: small tokens take long over RSA.
    pub generate_timeout: Duration,
    /// Whether keys are opened that were brought to the token, of which nobody knows where else they are. No.
    pub accept_imported: bool,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            sessions: const { NonZeroU8::MIN.saturating_add(1) },
            call_timeout: Duration::from_secs(5),
            generate_timeout: Duration::from_secs(120),
            accept_imported: false,
        }
    }
}

/// Keys on a token behind PKCS#11, by `CKA_LABEL`.
///
/// Every call into the module is made by a thread of the store and given up at its deadline; a call that does not
/// return keeps its thread, and until it returns the module is asked for nothing more.
/// See [`ModuleHealth`](super::ModuleHealth). After a lost session or token a call is repeated once, on a new session
/// and with the module finalized and initialized if need be. A refused PIN is never sent twice.
pub struct Pkcs11KeyStore {
    pool: Arc<Pool>,
    options: TokenOptions,
    /// One generation at a time: between looking for the label and taking it, nobody else in this store takes it.
    generation: Turn,
}

impl Pkcs11KeyStore {
    /// A store on the one token that fits `token`. Nothing is asked of the module yet; [`check`](Self::check) does.
    ///
    /// `pin` is asked once for each login, on a thread of the store, and must not call back into it.
    /// The PIN is wiped after the login.
    ///
    /// # Errors
    /// [`Pkcs11Error::NoThread`].
    pub fn new(
        module: &Pkcs11Module,
        token: Pkcs11Uri,
        pin: impl Fn() -> Option<Pin> + Send + Sync + 'static,
        options: TokenOptions,
    ) -> Result<Self, Pkcs11Error> {
        let threads = usize::from(options.sessions.get());
        let pool = Pool::start(module.clone(), token, Login::new(pin), options.accept_imported, threads)?;
        Ok(Self { pool: Arc::new(pool), options, generation: Turn::default() })
    }

    /// Whether the token is there and lets us in. It logs in if nobody is, and recovers what can be recovered.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self) -> Result<(), Pkcs11Error> {
        self.pool.run(self.options.call_timeout, |connection| connection.confirm())
    }

    /// Allows logins again: one after a refused PIN, or two after two in a row that failed for another reason.
    pub fn allow_login(&self) {
        self.pool.shared().login.allow();
    }

    /// The module of the token.
    #[must_use]
    pub fn module(&self) -> &Pkcs11Module {
        &self.pool.shared().module
    }

    /// A handle to the RSA key of this label that signs with RSASSA-PSS, for TLS 1.3.
    ///
    /// # Errors
    /// As [`open`](KeyStore::open), and [`KeyStoreErrorKind::UnsupportedAlgorithm`] for any other kind of key.
    pub fn open_pss(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError> {
        self.open_as(Some(octets(label)), None, None, Some(SignatureAlgorithm::RsaPssSha256))
            .map_err(|error| error.key_store_error(label))
    }

    /// A handle to a key that others named: by `object`, `id` or both, on this store's token.
    ///
    /// # Errors
    /// [`Pkcs11Error::ObjectNotNamed`] if `object` names no private key, [`Pkcs11Error::KeyNotFound`] if it names another token;
    /// else as for [`open`](KeyStore::open).
    pub fn open_object(&self, object: &Pkcs11Uri) -> Result<Arc<dyn Signer>, Pkcs11Error> {
        let is_private = matches!(object.object_type(), None | Some(ObjectType::Private));
        if !is_private || (object.object().is_none() && object.id().is_none()) {
            return Err(Pkcs11Error::ObjectNotNamed);
        }
        let label = object.object().map(|label| label.as_bytes().to_vec());
        self.open_as(label, object.id().map(<[u8]>::to_vec), Some(object.clone()), None)
    }

    /// Tries to get the private key of this label out; see [`ExportProbe`]. The key is not judged before.
    ///
    /// # Errors
    /// If there is no such key, or the token failed before anything could be tried.
    pub fn probe_export(&self, label: &KeyLabel) -> Result<ExportProbe, Pkcs11Error> {
        let label = octets(label);
        self.pool.run(self.options.call_timeout, move |connection| {
            let key = connection.private_key(Some(&label), None)?.ok_or(Pkcs11Error::KeyNotFound)?;
            Ok(probe::export(connection, key))
        })
    }

    fn open_as(
        &self,
        label: Option<Vec<u8>>,
        id: Option<Vec<u8>>,
        object: Option<Pkcs11Uri>,
        algorithm: Option<SignatureAlgorithm>,
    ) -> Result<Arc<dyn Signer>, Pkcs11Error> {
        let (key, algorithm, scheme) = self.pool.run(self.options.call_timeout, move |connection| {
            if object.as_ref().is_some_and(|object| !connection.is_on(object)) {
                return Err(Pkcs11Error::KeyNotFound);
            }
            let key = connection.open_key(label.clone(), id.as_deref())?;
            let usual = key.public.algorithm.certificate_signature();
            let algorithm = algorithm.unwrap_or(usual);
            if algorithm.public_key_identifier() != usual.public_key_identifier() {
                return Err(Pkcs11Error::Mechanism { needed: "an RSA key" });
            }
            let scheme = connection.scheme(algorithm)?;
            Ok((key, algorithm, scheme))
        })?;
        Ok(self.handle(key, algorithm, scheme))
    }

    fn handle(
        &self,
        key: Arc<KeyIdentity>,
        algorithm: SignatureAlgorithm,
        scheme: super::mechanism::Scheme,
    ) -> Arc<dyn Signer> {
        let pool = Arc::clone(&self.pool);
        Arc::new(TokenKey { pool, key, algorithm, scheme, timeout: self.options.call_timeout })
    }
}

/// Whose turn it is, for those who wait no longer than they may.
#[derive(Default)]
struct Turn {
    taken: Mutex<bool>,
    given_back: Condvar,
}

struct Taken<'a>(&'a Turn);

impl Turn {
    fn take(&self, deadline: Deadline) -> Result<Taken<'_>, Pkcs11Error> {
        let mut taken = self.lock();
        while *taken {
            let left = deadline.left().ok_or(Pkcs11Error::NotAsked)?;
            (taken, _) = self.given_back.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        Ok(Taken(self))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.given_back.notify_one();
    }
}

fn octets(label: &KeyLabel) -> Vec<u8> {
    label.as_str().as_bytes().to_vec()
}

impl KeyStore for Pkcs11KeyStore {
    fn find(&self, label: &KeyLabel) -> Result<bool, KeyStoreError> {
        let sought = octets(label);
        self.pool
            .run(self.options.call_timeout, move |connection| connection.private_key(Some(&sought), None))
            .map(|found| found.is_some())
            .map_err(|error| error.key_store_error(label))
    }

    fn generate(&self, label: &KeyLabel, spec: KeySpec) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let mut id = vec![0; ID_LEN];
        aws_lc_rs::rand::fill(&mut id)
            .map_err(|Unspecified| KeyStoreError::new(KeyStoreErrorKind::Other, label.clone()))?;
        let taken = octets(label);
        let deadline = Deadline::after(self.options.generate_timeout);
        let _only_one = self.generation.take(deadline).map_err(|error| error.key_store_error(label))?;
        let (key, algorithm, scheme) = self
            .pool
            .run(self.options.generate_timeout, move |connection| {
                let algorithm = spec.algorithm.certificate_signature();
                let scheme = connection.scheme(algorithm)?;
                let key = connection.generate(&taken, spec.algorithm, &id)?;
                Ok((key, algorithm, scheme))
            })
            .map_err(|error| error.key_store_error(label))?;
        Ok(self.handle(key, algorithm, scheme))
    }

    fn open(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError> {
        self.open_as(Some(octets(label)), None, None, None).map_err(|error| error.key_store_error(label))
    }

    fn destroy(&self, label: &KeyLabel) -> Result<(), KeyStoreError> {
        let doomed = octets(label);
        self.pool
            .run(self.options.call_timeout, move |connection| connection.destroy(&doomed))
            .map_err(|error| error.key_store_error(label))
    }
}

impl fmt::Debug for Pkcs11KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.pool.shared();
        f.debug_struct("Pkcs11KeyStore")
            .field("module", &shared.module)
            .field("token", &shared.token)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
