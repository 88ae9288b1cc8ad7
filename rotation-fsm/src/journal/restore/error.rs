//! Why a snapshot is no state of a machine.

use core::fmt;

use pki_core::{AuthorityRole, ComponentKind, HierarchyError};

use crate::facet::{Facet, Holding};
use crate::plan::PlanError;
use crate::policy::Unit;
use crate::rejected::SetupError;
use crate::topology::{ConsumerId, PoolName, TopologyError};

/// Why a snapshot is no state of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The parts of its hierarchy do not fit together.
    Hierarchy(HierarchyError),
    /// A consumer or pool cannot be part of its topology.
    Topology(TopologyError),
    /// Its authorities are not those of its hierarchy, or share a key.
    Authorities(SetupError),
    /// The hierarchy has no such unit.
    UnknownUnit(Unit),
    /// The plan of its rotation breaks a law.
    Plan(PlanError),
    /// There is more of something than a machine keeps.
    TooMany {
        /// Of what.
        what: Counted,
        /// How many.
        found: usize,
        /// How many at most.
        limit: u64,
    },
    /// What a component holds is not what the paths of the hierarchy say.
    Facets {
        /// Which component.
        kind: ComponentKind,
        /// What the paths say.
        expected: Vec<Facet>,
        /// What the snapshot says.
        found: Vec<Facet>,
    },
    /// No report can have said that.
    Holding {
        /// Of whom.
        consumer: ConsumerId,
        /// Of what.
        facet: Facet,
        /// What it is said to hold.
        found: Holding,
    },
    /// One part contradicts the others.
    Mismatch {
        /// Which part.
        part: Part,
        /// What the others call for.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// What a snapshot has a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// Consumers, with the numbers that are free.
    Consumers,
    /// Node pools.
    Pools,
    /// Stages of a plan, or of what it undoes.
    Stages,
    /// Stages that were ever begun.
    Epoch,
    /// Consumers that were given up.
    Abandoned,
}

/// One part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The clock.
    Clock,
    /// The parts of a hierarchy that is no preset.
    Hierarchy,
    /// What differs from the reloads that are assumed.
    Reloads,
    /// How many nodes of a pool may be away at once.
    Room(PoolName),
    /// The list of consumers.
    Consumers,
    /// How many holdings a consumer has.
    Holdings(ConsumerId),
    /// Who was left behind.
    Released(ConsumerId),
    /// The generations of an authority.
    Generation(AuthorityRole),
    /// A cross-certificate.
    Cross(AuthorityRole),
    /// The addresses of the control plane.
    Address,
    /// The generation that a rotation replaces.
    From,
    /// The generation that replaces it.
    To,
    /// When the rotation began.
    Started,
    /// The stage that runs.
    Stage,
    /// What is open in that stage.
    Open,
    /// The point of no return.
    Gate,
    /// The pause.
    Pause,
    /// The way back.
    Rollback,
    /// The command of a user that overrides the calendar.
    Command,
    /// The plan.
    Plan,
    /// The last rotation that came to its end.
    Completed,
    /// The orders by hand.
    Overrides,
    /// What is to be handed out.
    Deliveries,
}

impl RestoreError {
    pub(super) fn mismatch(part: Part, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::Mismatch { part, expected: expected.to_string(), found: found.to_string() }
    }
}

pub(super) fn expect<T: PartialEq + fmt::Display>(part: Part, expected: T, found: T) -> Result<(), RestoreError> {
    if expected == found { Ok(()) } else { Err(RestoreError::mismatch(part, expected, found)) }
}

pub(super) fn at_most(what: Counted, found: usize, limit: u64) -> Result<(), RestoreError> {
    if u64::try_from(found).is_ok_and(|found| found <= limit) {
        Ok(())
    } else {
        Err(RestoreError::TooMany { what, found, limit })
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hierarchy(error) => write!(f, "{error}"),
            Self::Topology(error) => write!(f, "{error}"),
            Self::Authorities(error) => write!(f, "{error}"),
            Self::UnknownUnit(unit) => write!(f, "the hierarchy has no unit `{unit}`"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::TooMany { what, found, limit } => write!(f, "{found} {what}, limit {limit}"),
            Self::Facets { kind, expected, found } => {
                let (expected, found) = (Listed(expected), Listed(found));
                write!(f, "{kind} holds {expected} by the paths of the hierarchy, and {found} here")
            }
            Self::Holding { consumer, facet, found } => {
                write!(f, "`{consumer}` {facet} {found}, which no report can have said")
            }
            Self::Mismatch { part, expected, found } => write!(f, "{part}: expected {expected}, found {found}"),
        }
    }
}

/// The first of them, and how many there are.
struct Listed<'a>(&'a [Facet]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nothing"),
            [first, ..] => write!(f, "{} things ({first}, …)", self.0.len()),
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumers => "consumers",
            Self::Pools => "pools",
            Self::Stages => "stages",
            Self::Epoch => "stages that were ever begun",
            Self::Abandoned => "consumers that were given up",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Room(pool) => return write!(f, "how many nodes of `{pool}` may be away"),
            Self::Holdings(consumer) => return write!(f, "the number of things that `{consumer}` holds"),
            Self::Released(consumer) => return write!(f, "`{consumer}`, which was left behind"),
            Self::Generation(role) => return write!(f, "the generations of `{role}`"),
            Self::Cross(role) => return write!(f, "the cross-certificate of `{role}`"),
            Self::Clock => "the clock",
            Self::Hierarchy => "the hierarchy",
            Self::Reloads => "the reloads that differ",
            Self::Consumers => "the list of consumers",
            Self::Address => "the addresses of the control plane",
            Self::From => "the CAVersion that is replaced",
            Self::To => "the CAVersion that replaces it",
            Self::Started => "the start of the rotation",
            Self::Stage => "the stage",
            Self::Open => "what is open in the stage",
            Self::Gate => "the point of no return",
            Self::Pause => "the pause",
            Self::Rollback => "the way back",
            Self::Command => "the command that overrides the calendar",
            Self::Plan => "the plan",
            Self::Completed => "the last rotation",
            Self::Overrides => "the orders by hand",
            Self::Deliveries => "what is to be handed out",
        })
    }
}

impl core::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Hierarchy(error) => Some(error),
            Self::Topology(error) => Some(error),
            Self::Authorities(error) => Some(error),
            Self::Plan(error) => Some(error),
            _ => None,
        }
    }
}
