//! What is to be done: a desired end, derived from the state as often as one asks.

use core::fmt;

use pki_core::{AuthorityRole, BundleHash, CaVersion, LeafKind, TrustSlot};

use crate::plan::{Stage, VersionRange};
use crate::policy::Unit;
use crate::topology::{ConsumerId, Reload};

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
    /// What it takes: one restart for all of it.
    pub reload: Reload,
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
        stage: Stage,
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
}

impl Action {
    /// The action's name.
    #[must_use]
    pub const fn key(&self) -> &ActionKey {
        match self {
            Self::EnsureAuthority { key, .. }
            | Self::EnsureConsumer { key, .. }
            | Self::AwaitAcknowledgement { key, .. }
            | Self::EnsureKeyDestroyed { key, .. } => key,
        }
    }
}
