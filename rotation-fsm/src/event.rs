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

/// The order of a consumer's reports: by incarnation first, since a node that is recreated under its old name
/// has no counter to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportId {
    /// Grows whenever the consumer comes up without memory of its counter, such as the time of its creation.
    pub incarnation: u64,
    /// Counts up with every report of one incarnation, from one.
    pub sequence: u64,
}

/// What one consumer runs with: what it has loaded, not what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who.
    pub consumer: ConsumerId,
    /// Which report this is. One that is not later than the last is stale.
    pub id: ReportId,
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
        /// The unit whose rotation asked.
        unit: Unit,
        /// The CAVersion that it leads to.
        to: CaVersion,
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
        /// Its first incarnation. Reports of earlier ones under the same name no longer count.
        incarnation: u64,
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
