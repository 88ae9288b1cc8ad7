//! What happened: the only input of the machine besides the time.

use pki_core::{AuthorityId, AuthorityRole, BundleHash, CaVersion, Fingerprint, LeafKind, TrustSlot};
use time::UtcDateTime;

use crate::plan::Stage;
use crate::policy::Unit;
use crate::topology::{ConsumerId, PoolName};

/// One generation of an authority, as the machine knows it: no key, no certificate, only which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityRecord {
    /// Its generation.
    pub version: CaVersion,
    /// Its key.
    pub id: AuthorityId,
    /// Its anchor in bundles: the fingerprint of the certificate, or of the public key in a key set.
    pub anchor: Fingerprint,
    /// The last second of its certificate; a key set has none.
    pub not_after: Option<UtcDateTime>,
}

/// What one consumer runs with: what it has loaded, not what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who.
    pub consumer: ConsumerId,
    /// Counts up with every report of this consumer, restarts included. A lower one is stale.
    pub sequence: u64,
    /// Every bundle it has loaded, by content.
    pub bundles: Vec<(TrustSlot, BundleHash)>,
    /// The issuer of every leaf it presents.
    pub leaves: Vec<(LeafKind, AuthorityId)>,
    /// The key with which it signs, where it signs.
    pub signs_with: Option<AuthorityId>,
    /// For a kubelet: who was CSR signer when its node last restarted.
    pub csr_signer_at_restart: Option<AuthorityId>,
}

/// What happened, in the past tense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A user asked to rotate a unit.
    RotationRequested {
        /// Which.
        unit: Unit,
    },
    /// The clock was read. It may begin an automatic rotation; it ends nothing.
    Tick,
    /// An authority's next generation exists.
    AuthorityMinted {
        /// Which authority.
        role: AuthorityRole,
        /// Its next generation.
        record: AuthorityRecord,
    },
    /// A consumer was seen to run with something.
    Observed(Observation),
    /// Somebody says that an unobservable consumer has taken up what a stage asks of it.
    Acknowledged {
        /// Who.
        consumer: ConsumerId,
        /// The stage that asked.
        stage: Stage,
        /// Who says so.
        by: String,
    },
    /// A consumer joined the cluster.
    ConsumerJoined {
        /// Who.
        consumer: ConsumerId,
        /// The pool it is in, on a node.
        pool: Option<PoolName>,
    },
    /// A consumer left the cluster for good: seen, not assumed.
    ConsumerRemoved {
        /// Who.
        consumer: ConsumerId,
    },
    /// The private key of a retired generation no longer exists.
    KeyDestroyed {
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
}
