//! What is made durable: the state at one moment, and every event since.
//!
//! Both are versioned. A form that is not known is refused by its number, and what is read is judged by the rules that
//! made it: a snapshot that no machine could have written is no machine.

#[cfg(feature = "serde")]
pub(crate) mod instant;
mod restore;
#[cfg(feature = "serde")]
pub(crate) mod seconds;
mod snapshot;
#[cfg(feature = "serde")]
mod versioned;

use core::borrow::Borrow;
use core::fmt;

use time::UtcDateTime;

pub use self::restore::{Counted, Part, RestoreError};
pub use self::snapshot::Snapshot;
#[cfg(feature = "serde")]
pub use self::versioned::Versioned;
use crate::event::Event;
use crate::machine::Machine;
use crate::rejected::Rejected;

/// The form of snapshots that is written and read.
pub const SNAPSHOT_VERSION: u32 = 1;
/// The form of events that is written and read.
pub const EVENT_VERSION: u32 = 1;

/// An event that was applied, and when: what replay needs, and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// When it was applied, in whole seconds.
    pub now: UtcDateTime,
    /// The latest time that was believed before, where events are left out that moved nothing else; `None` for what the
    /// events before lead to.
    pub clock: Option<UtcDateTime>,
    /// What happened.
    pub event: Event,
}

impl Record {
    /// An event that was applied at `now`, for a journal that leaves none out.
    #[must_use]
    pub const fn new(event: Event, now: UtcDateTime) -> Self {
        Self { now: now.truncate_to_second(), clock: None, event }
    }
}

impl Machine {
    /// The record of an event that is about to be applied at `now`, for a journal that leaves out what did not
    /// [change](crate::Applied::changed) anything.
    ///
    /// After a crash the clock is where the last record left it, so such a journal does well to keep a
    /// [`Tick`](Event::Tick) within every [`ClockRule::step`](crate::ClockRule::step) of a rotation: else the first
    /// reading afterwards is doubted.
    #[must_use]
    pub fn record_of(&self, event: Event, now: UtcDateTime) -> Record {
        Record { clock: Some(self.clock.now()), ..Record::new(event, now) }
    }
}

/// The machine that a snapshot and the events since lead to.
///
/// # Errors
/// When the snapshot is none, or at the first record that was not applied after those before it.
pub fn replay<R: Borrow<Record>>(
    snapshot: Snapshot,
    records: impl IntoIterator<Item = R>,
) -> Result<Machine, ReplayError> {
    let mut machine = Machine::restore(snapshot).map_err(ReplayError::Snapshot)?;
    for (index, record) in records.into_iter().enumerate() {
        let Record { now, clock, event } = record.borrow();
        if let Some(found) = clock {
            let expected = machine.clock.now();
            machine.clock.advance(*found).map_err(|()| ReplayError::Clock { index, expected, found: *found })?;
        }
        machine.apply(event, *now).map_err(|why| ReplayError::Rejected { index, why })?;
    }
    Ok(machine)
}

/// Why a journal leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// The snapshot is none.
    Snapshot(RestoreError),
    /// A record was never applied here.
    Rejected {
        /// Which record, counted from zero.
        index: usize,
        /// Why it is not applied.
        why: Rejected,
    },
    /// The clock of a record is not one to which the records before it lead.
    Clock {
        /// Which record, counted from zero.
        index: usize,
        /// Where the records before it leave the clock: a record's is no earlier, and the same while a jump is doubted.
        expected: UtcDateTime,
        /// Where the record has it.
        found: UtcDateTime,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(why) => write!(f, "the snapshot: {why}"),
            Self::Rejected { index, why } => write!(f, "record {index} is not applied: {why}"),
            Self::Clock { index, expected, found } => {
                write!(f, "record {index} has the clock at {found}, expected from {expected} on")
            }
        }
    }
}

impl core::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Snapshot(why) => Some(why),
            Self::Rejected { why, .. } => Some(why),
            Self::Clock { .. } => None,
        }
    }
}

/// A form that this version of the crate does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownVersion {
    /// Of what: `snapshot` or `event`.
    pub what: &'static str,
    /// Its number.
    pub found: u64,
    /// The number that is known.
    pub known: u32,
}

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} has version {}, and {} is known", self.what, self.found, self.known)
    }
}

impl core::error::Error for UnknownVersion {}
