//! When a cluster lets itself be disturbed: maintenance windows, exclusions, and the policy that may ignore them.
//!
//! Pure data and arithmetic in UTC: there is no time zone and no daylight saving. Instants count in whole seconds. Every
//! stretch of time holds its start and not its end. Nothing here acts: the machine asks, and the answer says why.

mod calendar;
mod exclusion;
mod instant;
mod policy;
mod recurrence;
#[cfg(feature = "serde")]
mod stored;
mod timetable;
mod window;

use core::fmt;

use crate::topology::PoolName;

pub(crate) use self::instant::Rfc3339;
#[cfg(feature = "serde")]
pub(crate) use self::instant::is_writable;

pub use self::calendar::{Availability, Calendar, CalendarError, Closure, OpenInterval, OpenIntervals};
pub use self::exclusion::{ExclusionError, ExclusionName, ExclusionScope, MaintenanceExclusion, UnknownScope};
pub use self::instant::{InstantError, parse_instant};
pub use self::policy::{AllowedBecause, Blocker, MaintenancePolicy, MaintenanceRule, Overrides, Permit};
pub use self::recurrence::{Recurrence, RecurrenceError, Weekdays};
pub use self::window::{MaintenanceWindow, WindowError};

/// What a rotation is about to do, as far as maintenance is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum StepKind {
    /// To begin.
    Start,
    /// To change or restart components of the control plane.
    ControlPlane,
    /// To recreate nodes at the minor version that they run.
    RecreateNodes,
    /// To complete: the old credentials are revoked.
    Complete,
}

impl StepKind {
    /// All of them, in the order of a rotation.
    pub const ALL: [Self; 4] = [Self::Start, Self::ControlPlane, Self::RecreateNodes, Self::Complete];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::ControlPlane => "control-plane",
            Self::RecreateNodes => "recreate-nodes",
            Self::Complete => "complete",
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// One step that asks for permission; of a recreation of nodes perhaps that of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Work<'a> {
    step: StepKind,
    pool: Option<&'a PoolName>,
}

impl<'a> Work<'a> {
    /// A step as a whole.
    #[must_use]
    pub const fn step(step: StepKind) -> Self {
        Self { step, pool: None }
    }

    /// The recreation of one pool's nodes.
    #[must_use]
    pub const fn pool(pool: &'a PoolName) -> Self {
        Self { step: StepKind::RecreateNodes, pool: Some(pool) }
    }

    /// The kind of step.
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        self.step
    }
}

impl From<StepKind> for Work<'_> {
    fn from(step: StepKind) -> Self {
        Self::step(step)
    }
}
