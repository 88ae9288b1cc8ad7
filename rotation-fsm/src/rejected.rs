//! Why an event changed nothing.

use core::fmt;

use pki_core::{AuthorityRole, CaVersion, LeafKind, TrustSlot};
use time::UtcDateTime;

use crate::event::ReportId;
use crate::plan::Stage;
use crate::policy::Unit;
use crate::topology::{ConsumerId, TopologyError};

/// Why an event was not applied. The machine is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// A rotation is running; there is one at a time.
    InProgress {
        /// The CAVersion it leads to.
        to: CaVersion,
    },
    /// The hierarchy has no such unit.
    UnknownUnit(Unit),
    /// The unit rotates by itself before it expires; nobody starts it.
    AutomaticOnly(Unit),
    /// Not everybody who has a part in the unit runs with what they should, so nothing is begun.
    NotReady {
        /// A consumer that does not, or was never seen.
        consumer: ConsumerId,
    },
    /// The authorities of the unit are not at one version.
    MixedVersions(Unit),
    /// The consumer is not part of the topology.
    UnknownConsumer(ConsumerId),
    /// The report is older than one that was applied. Normal: log it and go on.
    Stale {
        /// Whose report.
        consumer: ConsumerId,
        /// The last report applied.
        applied: ReportId,
        /// This report.
        found: ReportId,
    },
    /// The event belongs to no rotation that runs, or to another stage of it.
    NotInStage {
        /// The stage that runs, if any.
        current: Option<Stage>,
    },
    /// The generation is not the one that is expected.
    WrongVersion {
        /// Which authority.
        role: AuthorityRole,
        /// The generation of the event.
        found: CaVersion,
    },
    /// The new generation ends before it could serve: it has expired, or would be due for rotation at once.
    ShortLived {
        /// Which authority.
        role: AuthorityRole,
        /// Its last second.
        not_after: UtcDateTime,
    },
    /// Another key was already minted for this generation.
    MintedTwice {
        /// Which authority.
        role: AuthorityRole,
    },
    /// The new generation shares its key or its anchor with another authority.
    SharedKey {
        /// The new generation's authority.
        role: AuthorityRole,
        /// The authority that has the key.
        other: AuthorityRole,
    },
    /// The consumer can be observed, so nobody's word counts.
    Observable(ConsumerId),
    /// The consumer does not fit the topology.
    Topology(TopologyError),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress { to } => write!(f, "a rotation to CAVersion {to} is running"),
            Self::UnknownUnit(unit) => write!(f, "the hierarchy has no unit `{unit}`"),
            Self::AutomaticOnly(unit) => write!(f, "`{unit}` rotates automatically before it expires"),
            Self::NotReady { consumer } => write!(f, "`{consumer}` does not run with what it should"),
            Self::MixedVersions(unit) => write!(f, "the authorities of `{unit}` are not at one version"),
            Self::UnknownConsumer(consumer) => write!(f, "the consumer `{consumer}` is not part of the topology"),
            Self::Stale { consumer, applied, found } => {
                let (a, b) = (found, applied);
                write!(
                    f,
                    "report {}.{} of `{consumer}` is not later than the applied {}.{}",
                    a.incarnation, a.sequence, b.incarnation, b.sequence
                )
            }
            Self::NotInStage { current: Some(stage) } => write!(f, "not in this stage, which is `{stage}`"),
            Self::NotInStage { current: None } => f.write_str("no rotation is running"),
            Self::WrongVersion { role, found } => write!(f, "CAVersion {found} of `{role}` is not the expected one"),
            Self::ShortLived { role, not_after } => {
                write!(f, "the new generation of `{role}` ends at {not_after}, too early to serve")
            }
            Self::MintedTwice { role } => write!(f, "another key was already minted for `{role}`"),
            Self::SharedKey { role, other } => write!(f, "the new key of `{role}` is also a key of `{other}`"),
            Self::Observable(consumer) => write!(f, "`{consumer}` can be observed; an acknowledgement does not count"),
            Self::Topology(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Rejected {}

/// Why a report says nothing that could release its consumer: it counts as running with something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// It lacks a bundle, leaf or signing key that the consumer must have.
    Incomplete,
    /// The consumer runs with a bundle that is no bundle of this cluster's authorities.
    UnknownBundle(TrustSlot),
    /// The consumer presents a leaf that none of this cluster's authorities issued.
    UnknownIssuer(LeafKind),
    /// The consumer signs with a key, or restarted under a CSR signer, that is none of this cluster's authorities.
    UnknownSigner,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the report is incomplete"),
            Self::UnknownBundle(slot) => write!(f, "a foreign bundle in `{slot:?}`"),
            Self::UnknownIssuer(leaf) => write!(f, "a `{leaf}` of a foreign issuer"),
            Self::UnknownSigner => f.write_str("a foreign signing key"),
        }
    }
}

/// Why a machine cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// An authority of the hierarchy is missing.
    Missing(AuthorityRole),
    /// An authority is not of the hierarchy, or is given twice.
    Unexpected(AuthorityRole),
    /// Two authorities share a key or an anchor.
    SharedKey(AuthorityRole, AuthorityRole),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(role) => write!(f, "the authority `{role}` of the hierarchy is missing"),
            Self::Unexpected(role) => write!(f, "the authority `{role}` is not of the hierarchy, or is given twice"),
            Self::SharedKey(role, other) => write!(f, "the authorities `{role}` and `{other}` share a key"),
        }
    }
}

impl core::error::Error for SetupError {}
