//! What is to be done: a desired end, derived from the state as often as one asks.

use core::fmt;

use pki_core::{AuthorityRole, BundleHash, CaVersion, LeafKind, NodeName, TrustSlot};
use time::UtcDateTime;

use crate::delivery::{ClusterVersion, Delivery};
use crate::plan::{StageId, VersionRange};
use crate::policy::Unit;
use crate::topology::{Address, ConsumerId, PoolName, Reload, is_signed_at_run_time};

/// Names an action by cluster, unit, CAVersion, stage and whom it concerns.
///
/// The same state gives the same key, after a restart too. A key that comes again says that the end it names has not
/// been seen yet: carry it out again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionKey(pub(crate) String);

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bundle that a consumer shall run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleTarget {
    /// Where it loads it from.
    pub slot: TrustSlot,
    /// Whose generations.
    pub role: AuthorityRole,
    /// Which generations.
    pub versions: VersionRange,
    /// The content.
    pub hash: BundleHash,
}

/// A leaf that a consumer shall present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafTarget {
    /// Which leaf.
    pub leaf: LeafKind,
    /// Whose.
    pub role: AuthorityRole,
    /// From which generation, at least.
    pub issuer: CaVersion,
    /// The generation whose cross-certificate for the issuer is presented with it, if one is.
    pub through: Option<CaVersion>,
    /// Whose key it is for.
    pub key_pair: KeyPair,
}

/// Which version a node comes back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum NodeVersion {
    /// The very version that its pool runs (GKE, when a user recreates the nodes by hand).
    Same,
    /// The closest one that is supported (GKE, in the rotation's own turn).
    ClosestSupported,
}

/// Where the key of a leaf is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyPair {
    /// Whoever runs the rotation makes the key and delivers it with the certificate (GDC: the admin cluster distributes
    /// the leaf key pairs of the system components).
    Delivered,
    /// The holder makes its key and asks for a certificate; for a token there is no key.
    OfHolder,
}

impl KeyPair {
    pub(crate) const fn of(leaf: LeafKind) -> Self {
        if is_signed_at_run_time(leaf) { Self::OfHolder } else { Self::Delivered }
    }
}

/// What one consumer shall run with and does not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerTarget {
    /// Who.
    pub consumer: ConsumerId,
    /// Bundles to load.
    pub bundles: Vec<BundleTarget>,
    /// Leaves to take up.
    pub leaves: Vec<LeafTarget>,
    /// The key to sign with.
    pub signs: Option<(AuthorityRole, CaVersion)>,
    /// The addresses to serve on, all of them. Empty where nothing changes.
    pub serves: Vec<Address>,
    /// The address to which the `kubernetes` Service is to lead.
    pub service: Option<Address>,
    /// The address to dial, in the same kubeconfig as the bundle and the certificate for it.
    pub dials: Option<Address>,
    /// What it takes: one restart for all of it.
    pub reload: Reload,
    /// The [epoch](crate::Machine::epoch). A consumer that was given something of a higher one leaves this alone.
    pub epoch: u64,
}

impl ConsumerTarget {
    pub(crate) const fn new(consumer: ConsumerId, epoch: u64) -> Self {
        Self {
            consumer,
            bundles: Vec::new(),
            leaves: Vec::new(),
            signs: None,
            serves: Vec::new(),
            service: None,
            dials: None,
            reload: Reload::Live,
            epoch,
        }
    }
}

/// A desired end. Carrying it out twice, late or in another order does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The next generation of an authority shall exist. Find its key by label before generating one.
    EnsureAuthority {
        /// The action's name.
        key: ActionKey,
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
    /// The next generation of an authority shall also be certified by the one that it replaces. The certificate has a
    /// serial number of its own, names the signing key by identifier alone, begins no later than any leaf that is shown
    /// with it and ends no later than the root that signs.
    EnsureCrossCertificate {
        /// The action's name.
        key: ActionKey,
        /// Which authority.
        role: AuthorityRole,
        /// The generation that is certified.
        version: CaVersion,
        /// The generation that signs.
        by: CaVersion,
    },
    /// The control plane shall have a second address. Nobody serves there yet.
    EnsureAddress {
        /// The action's name.
        key: ActionKey,
    },
    /// A node shall be recreated, once, with everything on it.
    RecreateNode {
        /// The action's name.
        key: ActionKey,
        /// The node.
        node: NodeName,
        /// Its pool.
        pool: PoolName,
        /// With which version it comes back.
        version: NodeVersion,
        /// Its kubelet, and whatever else on it is to run with something new.
        targets: Vec<ConsumerTarget>,
    },
    /// A consumer shall run with something.
    EnsureConsumer {
        /// The action's name.
        key: ActionKey,
        /// Who, and with what.
        target: ConsumerTarget,
    },
    /// Somebody shall see to an unobservable consumer and say so.
    AwaitAcknowledgement {
        /// The action's name.
        key: ActionKey,
        /// The unit whose rotation asks.
        unit: Unit,
        /// The CAVersion that it leads to.
        to: CaVersion,
        /// The stage that asks.
        stage: StageId,
        /// Who, and with what.
        target: ConsumerTarget,
    },
    /// The private key of a retired generation shall not exist. Absent is success.
    EnsureKeyDestroyed {
        /// The action's name.
        key: ActionKey,
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
    /// Something that people or outside systems hold shall be made anew and handed out.
    EnsureDelivered {
        /// The action's name.
        key: ActionKey,
        /// What.
        delivery: Delivery,
        /// Of which generation of the cluster's CA it speaks.
        version: CaVersion,
    },
    /// The leaves of the cluster shall be renewed, since it was upgraded.
    EnsureLeavesRenewed {
        /// The action's name.
        key: ActionKey,
        /// To which version it was upgraded.
        version: ClusterVersion,
        /// Until when.
        by: UtcDateTime,
    },
}

impl Action {
    /// The action's name.
    #[must_use]
    pub const fn key(&self) -> &ActionKey {
        match self {
            Self::EnsureAuthority { key, .. }
            | Self::EnsureCrossCertificate { key, .. }
            | Self::EnsureAddress { key }
            | Self::RecreateNode { key, .. }
            | Self::EnsureConsumer { key, .. }
            | Self::AwaitAcknowledgement { key, .. }
            | Self::EnsureKeyDestroyed { key, .. }
            | Self::EnsureDelivered { key, .. }
            | Self::EnsureLeavesRenewed { key, .. } => key,
        }
    }
}
