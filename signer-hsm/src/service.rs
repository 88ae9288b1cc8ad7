//! A service that holds the keys, takes certification requests and gives certificates. For Linux.
//!
//! It enforces profiles, names, lifetimes and the isolation of clusters itself, by `pki-core`'s rules and its own policy
//! ([`policy`]): whoever owns an API server gets nothing that the policy does not have, nothing of another cluster, and
//! nothing once the epoch that it knows is fenced off ([`epoch`]). Who signs is changed by an operator of the cluster, who gets no
//! certificates for it. Every certificate, every refusal and every order stands in a hash-chained log before it is answered
//! ([`log`]).
//!
//! It signs no octets for anybody; that is the [`agent`](crate::agent). It starts no clock and draws no entropy: both are
//! given. It retries nothing; a [`client`] does, with the same identifier, and receives the same octets.
//!
//! | module | holds |
//! | --- | --- |
//! | [`protocol`] | frames and messages, pure |
//! | [`policy`] | what a cluster may have |
//! | [`epoch`] | which generation signs |
//! | [`log`] | the issuance log, and its verification |
//! | [`limits`] | rates, sizes, deadlines, the clock |
//! | [`server`] | sockets, callers, threads, draining |
//! | [`client`] | asking, checking the answer, trying again |

use core::error::Error;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use pki_core::verify::Verifiers;
use pki_core::{
    AuthorityId, AuthorityRole, CaCertificate, CaVersion, ClusterId, DecodeError, Issuer, LeafKind, SelfCheck, Serial,
    Signer,
};

pub mod client;
pub mod epoch;
mod index;
mod issue;
pub mod limits;
mod lock;
pub mod log;
mod operate;
mod owners;
pub mod policy;
pub mod protocol;
pub mod server;
pub(crate) mod stream;
pub(crate) mod wire;

pub use client::Client;
pub use server::Server;

use epoch::{CurrentSigner, SignerEpoch};
use index::Index;
use limits::{Clock, Rate, TokenBucket};
use log::{Durability, Entry, Head, IssuanceLog, LogError, TornEntry};
use operate::signer_entry;
use owners::{Owner, Owners};
use policy::ClusterPolicy;

/// Who asks, as the transport has proven it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(String);

impl CallerId {
    /// A caller by name. Names are the embedder's; they stand in the log.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where serials come from: [`Serial::generate`] over the embedder's entropy.
pub type Serials = Box<dyn Fn() -> Result<Serial, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// What a service is made of beside its clusters.
pub struct ServiceConfig {
    clock: Arc<dyn Clock>,
    serials: Serials,
    verifiers: Verifiers<'static>,
    durability: Durability,
    self_check: SelfCheck,
    remembered: usize,
    helpers: usize,
}

impl ServiceConfig {
    /// How many requests of each cluster are remembered for a retry, where nothing else is said.
    pub const REMEMBERED: usize = 1 << 16;

    /// A service that takes time, serials and verification algorithms from these, and syncs its log.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, serials: Serials, verifiers: Verifiers<'static>) -> Self {
        let (durability, self_check) = (Durability::Synced, SelfCheck::Always);
        let helpers = thread::available_parallelism().map_or(0, |cores| cores.get().saturating_sub(1));
        Self { clock, serials, verifiers, durability, self_check, remembered: Self::REMEMBERED, helpers }
    }

    /// With another durability of the log.
    #[must_use]
    pub const fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// With another choice of the check of fresh signatures.
    #[must_use]
    pub const fn with_self_check(mut self, self_check: SelfCheck) -> Self {
        self.self_check = self_check;
        self
    }

    /// With so many threads in all for requests that are made together, beside the one of their connection, shared by all
    /// connections: as many as the machine has cores but one where nothing else is said.
    #[must_use]
    pub const fn with_helpers(mut self, helpers: usize) -> Self {
        self.helpers = helpers;
        self
    }

    /// Remembering so many certificates of each cluster. A retry of an older one is a new request, and gets a new
    /// certificate.
    #[must_use]
    pub const fn remembering(mut self, certificates: usize) -> Self {
        self.remembered = certificates;
        self
    }
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { durability, self_check, remembered, helpers, .. } = self;
        f.debug_struct("ServiceConfig")
            .field("durability", durability)
            .field("self_check", self_check)
            .field("remembered", remembered)
            .field("helpers", helpers)
            .finish_non_exhaustive()
    }
}

/// One cluster of a service: who may ask, for what, how often.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    id: ClusterId,
    policy: ClusterPolicy,
    callers: BTreeSet<CallerId>,
    operators: BTreeSet<CallerId>,
    rate: Rate,
    refusals: Rate,
    operations: Rate,
}

impl ClusterConfig {
    /// A cluster that nobody may ask for yet.
    #[must_use]
    pub const fn new(id: ClusterId, policy: ClusterPolicy) -> Self {
        let (rate, refusals, operations) = (Rate::DEFAULT, Rate::REFUSALS, Rate::OPERATIONS);
        Self { id, policy, callers: BTreeSet::new(), operators: BTreeSet::new(), rate, refusals, operations }
    }

    /// This caller may ask for it.
    #[must_use]
    pub fn with_caller(mut self, caller: CallerId) -> Self {
        self.callers.insert(caller);
        self
    }

    /// This caller may say which generation signs: [`Ask::Switch`](protocol::Ask::Switch) and
    /// [`Ask::Retire`](protocol::Ask::Retire). He gets no certificates for it, unless he is a caller of
    /// [`with_caller`](Self::with_caller), too.
    #[must_use]
    pub fn with_operator(mut self, operator: CallerId) -> Self {
        self.operators.insert(operator);
        self
    }

    /// With another rate.
    #[must_use]
    pub const fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// With another rate of refusals, each of which takes less than 1 KiB of the log beside the caller's name. What would be
    /// refused above this rate is turned away unwritten as [`Refusal::RateLimited`](protocol::Refusal::RateLimited), so that no
    /// cluster fills the disk with what it does not get. What is granted is not touched by it, and what the signer refuses was
    /// prepared before, and is always written: [`with_rate`](Self::with_rate) bounds that.
    #[must_use]
    pub const fn with_refusal_rate(mut self, refusals: Rate) -> Self {
        self.refusals = refusals;
        self
    }

    /// With another rate of what operators ask. It is their own, so that a caller who is to be fenced off cannot use it up; and
    /// each of their refusals is written.
    #[must_use]
    pub const fn with_operation_rate(mut self, operations: Rate) -> Self {
        self.operations = operations;
        self
    }

    fn knows(&self, caller: &CallerId) -> bool {
        self.callers.contains(caller) || self.operators.contains(caller)
    }
}

/// One generation of one authority: its certificate, its leaves, its key.
#[derive(Debug)]
pub struct Generation {
    version: CaVersion,
    issuer: Issuer,
    signer: Arc<dyn Signer>,
}

impl Generation {
    /// A generation that issues these leaves and no others.
    ///
    /// # Errors
    /// When the certificate's key is not of an accepted kind.
    pub fn new(
        version: CaVersion,
        certificate: CaCertificate,
        leaves: impl IntoIterator<Item = LeafKind>,
        signer: Arc<dyn Signer>,
    ) -> Result<Self, DecodeError> {
        Ok(Self { version, issuer: Issuer::new(certificate, leaves)?, signer })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        self.issuer.certificate()
    }

    fn key(&self) -> [u8; 20] {
        *self.certificate().id().as_bytes()
    }
}

/// Why a service was not set up, or its signer not switched. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceError {
    /// The log.
    Log(LogError),
    /// The service has no such cluster.
    UnknownCluster(ClusterId),
    /// The cluster is there already.
    ClusterExists(ClusterId),
    /// The cluster has no such authority, or none of this generation.
    UnknownGeneration {
        /// The authority.
        role: AuthorityRole,
        /// The generation, where one was named.
        version: Option<CaVersion>,
    },
    /// The key serves another generation, authority or cluster already, as the log says or as it was installed.
    KeyReuse {
        /// The key.
        key: AuthorityId,
        /// The cluster that it serves.
        cluster: String,
        /// The authority, by the identifier of its role.
        role: String,
        /// The generation.
        version: u32,
    },
    /// The signer holds another key than the certificate.
    ForeignKey,
    /// The epoch is another than the one that was to be followed.
    StaleEpoch {
        /// The current one.
        expected: SignerEpoch,
        /// The one that was given.
        found: SignerEpoch,
    },
    /// The generation has another key already, as the log says or as it was installed.
    OtherKey {
        /// The generation.
        version: CaVersion,
        /// The key that was given.
        found: AuthorityId,
    },
    /// The generation was retired, and signs no more.
    Retired {
        /// The authority.
        role: AuthorityRole,
        /// The generation.
        version: CaVersion,
    },
    /// The generation signs, and is not retired before another one does.
    Signing {
        /// The authority.
        role: AuthorityRole,
        /// The generation.
        version: CaVersion,
    },
    /// There is no epoch after this one.
    LastEpoch,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "{error}"),
            Self::UnknownCluster(cluster) => write!(f, "there is no cluster `{cluster}`"),
            Self::ClusterExists(cluster) => write!(f, "the cluster `{cluster}` is there already"),
            Self::UnknownGeneration { role, version: Some(version) } => {
                write!(f, "the authority `{role}` has no generation {version}")
            }
            Self::UnknownGeneration { role, version: None } => write!(f, "there is no authority `{role}`"),
            Self::KeyReuse { key, cluster, role, version } => {
                let (cluster, role) = (cluster.escape_debug(), role.escape_debug());
                write!(f, "the key {key} serves generation {version} of the authority `{role}` of `{cluster}` already")
            }
            Self::ForeignKey => f.write_str("the signer holds another key than the certificate"),
            Self::StaleEpoch { expected, found } => write!(f, "the signer's epoch is {expected}, found {found}"),
            Self::OtherKey { version, found } => {
                write!(f, "generation {version} has another key already than {found}")
            }
            Self::Retired { role, version } => write!(f, "generation {version} of the authority `{role}` was retired"),
            Self::Signing { role, version } => write!(f, "generation {version} of the authority `{role}` signs"),
            Self::LastEpoch => f.write_str("there is no epoch after this one"),
        }
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Log(error) => Some(error),
            _ => None,
        }
    }
}

impl From<LogError> for ServiceError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// The service: keys, policies, epochs and the log, without a socket. [`Server`] puts it behind one.
#[derive(Debug)]
pub struct IssuingService {
    clock: Arc<dyn Clock>,
    config: ServiceConfig,
    log: IssuanceLog,
    /// What the log said when it was opened, of clusters that are not there yet.
    history: Mutex<History>,
    owners: Mutex<Owners>,
    /// Of requests that reach no cluster, so that they cannot fill the log.
    strays: TokenBucket,
    /// Threads that nobody has taken for requests that are made together.
    helpers: AtomicUsize,
    clusters: RwLock<BTreeMap<ClusterId, Arc<Cluster>>>,
}

#[derive(Debug, Default)]
struct History {
    signers: BTreeMap<(String, String), (SignerEpoch, u32)>,
    indices: BTreeMap<String, Index>,
}

#[derive(Debug)]
struct Cluster {
    config: ClusterConfig,
    bucket: TokenBucket,
    /// Of refusals that are written.
    refusals: TokenBucket,
    operations: TokenBucket,
    index: Mutex<Index>,
    authorities: RwLock<BTreeMap<AuthorityRole, Arc<Authority>>>,
}

#[derive(Debug, Default)]
struct Authority {
    /// Held by whoever installs, switches or retires: one after another, and without holding up whoever issues.
    changing: Mutex<()>,
    generations: RwLock<BTreeMap<CaVersion, Arc<Generation>>>,
    /// Read while a certificate is made, written to switch: after a switch no certificate of the one before is begun or
    /// finished. None where the log names a generation that is not known yet.
    current: RwLock<Option<Current>>,
}

#[derive(Clone, Debug)]
struct Current {
    epoch: SignerEpoch,
    generation: Arc<Generation>,
}

impl Current {
    fn told(&self) -> CurrentSigner {
        let (version, key) = (self.generation.version, self.generation.certificate().id());
        CurrentSigner { epoch: self.epoch, version, key }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

impl IssuingService {
    /// A service without clusters, whose log is in a directory that is there.
    ///
    /// # Errors
    /// [`ServiceError::Log`].
    pub fn open(directory: &Path, config: ServiceConfig) -> Result<Self, ServiceError> {
        let (mut history, mut owners) = (History::default(), Owners::default());
        let log = IssuanceLog::open(directory, config.durability, |entry, position| match entry {
            Entry::Signer { cluster, role, epoch, version, key, .. } => {
                owners.learn(&Owner { cluster: cluster.clone(), role: role.clone(), version }, key);
                history.signers.insert((cluster, role), (epoch, version));
            }
            Entry::Retired { cluster, role, version, key, .. } => {
                let owner = Owner { cluster, role, version };
                owners.learn(&owner, key);
                owners.retire(owner);
            }
            Entry::Issued { of, .. } => {
                let index = history.indices.entry(of.cluster).or_insert_with(|| Index::new(config.remembered));
                index.remember(index::key(&of.caller, of.request), of.digest, position);
            }
            _ => {}
        })?;
        let strays = TokenBucket::new(Rate::REFUSALS, config.clock.monotonic());
        Ok(Self {
            clock: Arc::clone(&config.clock),
            helpers: AtomicUsize::new(config.helpers),
            config,
            log,
            history: Mutex::new(history),
            owners: Mutex::new(owners),
            strays,
            clusters: RwLock::default(),
        })
    }

    /// What was taken off the log when it was opened.
    #[must_use]
    pub const fn torn(&self) -> Option<TornEntry> {
        self.log.torn()
    }

    /// How far the log has come, as [`IssuanceLog::head`] says it: to be kept elsewhere.
    #[must_use]
    pub fn head(&self) -> Head {
        self.log.head()
    }

    /// Serves a cluster from now on.
    ///
    /// # Errors
    /// [`ServiceError::ClusterExists`].
    pub fn add_cluster(&self, config: ClusterConfig) -> Result<(), ServiceError> {
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        if clusters.contains_key(&config.id) {
            return Err(ServiceError::ClusterExists(config.id));
        }
        let index = locked(&self.history).indices.remove(config.id.as_str());
        let index = Mutex::new(index.unwrap_or_else(|| Index::new(self.config.remembered)));
        let now = self.clock.monotonic();
        let bucket = |rate| TokenBucket::new(rate, now);
        let (bucket, refusals, operations) = (bucket(config.rate), bucket(config.refusals), bucket(config.operations));
        let (id, authorities) = (config.id.clone(), RwLock::default());
        clusters.insert(id, Arc::new(Cluster { config, bucket, refusals, operations, index, authorities }));
        Ok(())
    }

    /// Makes a generation known, which signs from the next [`switch`](Self::switch) on; at once when it is the one that the
    /// log names, or when the log names none: then it is in the log before it signs. After a restart the one that the log names
    /// has to be given again: until then nobody signs. Says who signs now. Nobody who issues waits for it. A generation that is
    /// given again while it signs signs as it was given first until the next switch.
    ///
    /// # Errors
    /// [`ServiceError`], and nothing is known that was not before. A key that is another's, of another generation, role or
    /// cluster, is [`ServiceError::KeyReuse`], also when that one signed before a restart; a generation that was retired is
    /// [`ServiceError::Retired`].
    pub fn install(
        &self,
        cluster: &ClusterId,
        role: AuthorityRole,
        generation: Generation,
    ) -> Result<Option<CurrentSigner>, ServiceError> {
        let (version, key) = (generation.version, generation.certificate().id());
        if *generation.signer.public_key() != *generation.certificate().public_key() {
            return Err(ServiceError::ForeignKey);
        }
        let served = self.cluster(cluster)?;
        let authority = {
            let mut authorities = served.authorities.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(authorities.entry(role).or_default())
        };
        let _changing = locked(&authority.changing);
        let owner = Owner { cluster: cluster.to_string(), role: role.id().to_owned(), version: version.number() };
        if locked(&self.owners).is_retired(&owner) {
            return Err(ServiceError::Retired { role, version });
        }
        let claim = owners::claim(&self.owners, owner, version, key)?;
        let generation = Arc::new(generation);
        let mut signing = read(&authority.current).clone();
        if signing.is_none() {
            let named = locked(&self.history).signers.get(&(cluster.to_string(), role.id().to_owned())).copied();
            let generation = Arc::clone(&generation);
            signing = match named {
                Some((epoch, number)) => (number == version.number()).then_some(Current { epoch, generation }),
                None => {
                    let now = self.clock.now();
                    self.log.append_synced(&[signer_entry(now, cluster, role, SignerEpoch::FIRST, &generation)])?;
                    Some(Current { epoch: SignerEpoch::FIRST, generation })
                }
            };
            authority.current.write().unwrap_or_else(PoisonError::into_inner).clone_from(&signing);
        }
        claim.keep();
        authority.generations.write().unwrap_or_else(PoisonError::into_inner).insert(version, generation);
        Ok(signing.as_ref().map(Current::told))
    }

    /// Who signs for an authority.
    ///
    /// # Errors
    /// [`ServiceError`] when there is none.
    pub fn current(&self, cluster: &ClusterId, role: AuthorityRole) -> Result<CurrentSigner, ServiceError> {
        let told = read(&self.authority(cluster, role)?.current).as_ref().map(Current::told);
        told.ok_or(ServiceError::UnknownGeneration { role, version: None })
    }

    /// Whether this is a caller or an operator of any cluster.
    fn is_caller(&self, caller: &CallerId) -> bool {
        read(&self.clusters).values().any(|cluster| cluster.config.knows(caller))
    }

    fn cluster(&self, cluster: &ClusterId) -> Result<Arc<Cluster>, ServiceError> {
        let found = read(&self.clusters).get(cluster).map(Arc::clone);
        found.ok_or_else(|| ServiceError::UnknownCluster(cluster.clone()))
    }

    fn authority(&self, cluster: &ClusterId, role: AuthorityRole) -> Result<Arc<Authority>, ServiceError> {
        let found = read(&self.cluster(cluster)?.authorities).get(&role).map(Arc::clone);
        found.ok_or(ServiceError::UnknownGeneration { role, version: None })
    }
}
