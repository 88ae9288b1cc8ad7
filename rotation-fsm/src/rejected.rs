//! Why an event changed nothing.

use core::fmt;

use pki_core::{AuthorityRole, CaVersion, LeafKind, TrustSlot};
use time::{Duration, UtcDateTime};

use crate::event::ReportId;
use crate::machine::CompletionBlocked;
use crate::maintenance::Blocker;
use crate::plan::StageId;
use crate::policy::Unit;
use crate::strategy::StrategyError;
use crate::topology::{Address, ConsumerId, PoolName, TopologyError};

/// Why an event was not applied. The machine is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// A rotation is running; there is one at a time.
    InProgress {
        /// The CAVersion it leads to.
        to: CaVersion,
    },
    /// The rotation that runs is of another unit than the emergency that is declared, or leads to the keys that are suspect
    /// and cannot be turned. It has to end first: a rollback, or every step ordered by hand, is how that waits for no window.
    EmergencyAfter {
        /// The unit that is rotated.
        unit: Unit,
        /// The CAVersion that its rotation is about.
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
    /// The last CAVersion was given to a rotation of the unit already.
    NoVersionLeft(Unit),
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
        current: Option<StageId>,
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
    /// There is no plan for this.
    Strategy(StrategyError),
    /// The credentials have expired, or do not last for what is asked.
    TooLate {
        /// Of which unit.
        unit: Unit,
        /// When they expire.
        expiry: UtcDateTime,
        /// How long before that it can be begun at the latest.
        margin: Duration,
    },
    /// The rotation cannot complete yet.
    NotComplete(CompletionBlocked),
    /// The preset has no pause.
    NoPause,
    /// The preset has no way back.
    NoRollback,
    /// The rotation is past its point of no return, on its way back already, or replaces keys that are suspect.
    NoWayBack {
        /// The stage that runs.
        stage: Option<StageId>,
    },
    /// The cross-certificate is not valid yet, ends before it could serve, or outlives the root that signed it.
    UnfitCrossCertificate {
        /// Which authority.
        role: AuthorityRole,
        /// The last second of the root that signed.
        signer_ends: Option<UtcDateTime>,
    },
    /// The address is one of the control plane's already, or another was allocated.
    AddressInUse(Address),
    /// The pool is not part of the topology.
    UnknownPool(PoolName),
    /// The calendar does not allow it now.
    Maintenance(Blocker),
    /// Others of its kind are away: it must stay up until they are seen again.
    NotItsTurn {
        /// Who is to stay up.
        consumer: ConsumerId,
        /// How many are away.
        away: usize,
        /// How many may be.
        room: usize,
    },
    /// The consumer is a client outside: nobody takes it down.
    Outside(ConsumerId),
    /// What is said to be the last report of a consumer lies so far ahead that its next ones would not be heard.
    TooFarAhead {
        /// Whose report.
        consumer: ConsumerId,
        /// The last report applied.
        applied: ReportId,
        /// The report that is named.
        found: ReportId,
    },
    /// Nobody waits for it.
    NotAwaited,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress { to } => write!(f, "a rotation to CAVersion {to} is running"),
            Self::EmergencyAfter { unit, to } => {
                write!(
                    f,
                    "the rotation of `{unit}` with CAVersion {to} has to end first: roll it back, or order every step of it \
                     by hand, and declare the emergency then"
                )
            }
            Self::UnknownUnit(unit) => write!(f, "the hierarchy has no unit `{unit}`"),
            Self::AutomaticOnly(unit) => write!(f, "`{unit}` rotates automatically before it expires"),
            Self::NotReady { consumer } => write!(f, "`{consumer}` does not run with what it should"),
            Self::MixedVersions(unit) => write!(f, "the authorities of `{unit}` are not at one version"),
            Self::NoVersionLeft(unit) => write!(f, "every CAVersion of `{unit}` has been used"),
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
            Self::Strategy(error) => write!(f, "{error}"),
            Self::TooLate { unit, expiry, margin } if margin.is_zero() => {
                write!(f, "the credentials of `{unit}` expired at {expiry}: what is left is recovery")
            }
            Self::TooLate { unit, expiry, margin } => {
                let days = margin.whole_days();
                write!(f, "the credentials of `{unit}` expire at {expiry}, which must be more than {days} days away")
            }
            // GKE documents this one, and in its words it is given.
            Self::NotComplete(blocked @ CompletionBlocked::Pool(_)) => {
                write!(f, "ERROR: (gcloud.container.clusters.update) ResponseError: code=400, message={blocked}")
            }
            Self::NotComplete(blocked) => write!(f, "the rotation cannot complete yet: {blocked}"),
            Self::NoPause => f.write_str("a rotation cannot be paused once it has started"),
            Self::NoRollback => f.write_str("a rotation cannot be rolled back once it has started"),
            Self::NoWayBack { stage: Some(stage) } => write!(f, "there is no way back from `{stage}`"),
            Self::NoWayBack { stage: None } => f.write_str("there is no way back"),
            Self::UnfitCrossCertificate { role, signer_ends: Some(end) } => {
                write!(
                    f,
                    "the cross-certificate of `{role}` must be valid now and for long enough, and end by {end}, as the root \
                     that signed it"
                )
            }
            Self::UnfitCrossCertificate { role, signer_ends: None } => {
                write!(f, "the cross-certificate of `{role}` must be valid now and for long enough")
            }
            Self::AddressInUse(address) => write!(f, "`{address}` is no new address of the control plane"),
            Self::UnknownPool(pool) => write!(f, "the pool `{pool}` is not part of the topology"),
            Self::Maintenance(blocker) => write!(f, "not now: {blocker}"),
            Self::NotItsTurn { consumer, away, room } => {
                write!(f, "`{consumer}` must stay up: {away} of its kind are away, and {room} may be")
            }
            Self::Outside(consumer) => write!(f, "`{consumer}` is a client outside, which nobody takes down"),
            Self::TooFarAhead { consumer, applied, found } => {
                let (a, b) = (found, applied);
                write!(
                    f,
                    "report {}.{} of `{consumer}` is too far ahead of the applied {}.{}",
                    a.incarnation, a.sequence, b.incarnation, b.sequence
                )
            }
            Self::NotAwaited => f.write_str("nobody waits for it"),
        }
    }
}

impl core::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Topology(error) => Some(error),
            Self::Strategy(error) => Some(error),
            _ => None,
        }
    }
}

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
    /// The consumer serves on or dials an address that is none of the control plane's, or the second address shows a
    /// certificate that is not of the next generation.
    UnknownAddress,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the report is incomplete"),
            Self::UnknownBundle(slot) => write!(f, "a foreign bundle in `{slot:?}`"),
            Self::UnknownIssuer(leaf) => write!(f, "a `{leaf}` of a foreign issuer"),
            Self::UnknownSigner => f.write_str("a foreign signing key"),
            Self::UnknownAddress => f.write_str("a foreign address, or one that does not show what it should"),
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
