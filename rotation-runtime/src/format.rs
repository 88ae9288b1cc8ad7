//! What a journal's octets say: the versioned JSON of `rotation-fsm`, written and read here and nowhere else.

use core::fmt;

use rotation_fsm::{Machine, Record, ReplayError, Snapshot, UnknownVersion, Versioned, replay};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Journal, Revision};

/// How much of a reader's complaint is repeated: it may quote a stranger's text.
const WHY_MAX: usize = 200;

/// Why octets are no snapshot and no record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// A form that is not known, of a later version perhaps.
    Unknown(UnknownVersion),
    /// They cannot be read.
    Unreadable(String),
    /// They cannot be written, because they would not be read again as they were.
    Unwritable(String),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(version) => write!(f, "{version}"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Unwritable(why) => write!(f, "cannot be written: {why}"),
        }
    }
}

impl core::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unknown(version) => Some(version),
            Self::Unreadable(_) | Self::Unwritable(_) => None,
        }
    }
}

/// Why a journal leads to no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// The snapshot is none.
    Snapshot(FormatError),
    /// A record is none.
    Record {
        /// The revision to which it would lead.
        revision: Revision,
        /// Why.
        why: FormatError,
    },
    /// They do not lead from one to the next: the journal is not this machine's.
    Replay(ReplayError),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(why) => write!(f, "the journal's snapshot: {why}"),
            Self::Record { revision, why } => write!(f, "the journal's record to revision {revision}: {why}"),
            Self::Replay(why) => write!(f, "the journal does not replay: {why}"),
        }
    }
}

impl core::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Snapshot(why) | Self::Record { why, .. } => Some(why),
            Self::Replay(why) => Some(why),
        }
    }
}

impl Journal {
    /// The machine that the snapshot and the records since lead to.
    ///
    /// # Errors
    /// When some of it is of another version or cannot be read, or when it does not replay.
    pub fn machine(&self) -> Result<Machine, JournalError> {
        let snapshot = read::<Snapshot>(&self.snapshot).map_err(JournalError::Snapshot)?;
        let (mut records, mut revision) = (Vec::new(), self.snapshot_revision);
        for octets in &self.records {
            revision = revision.next();
            records.push(read::<Record>(octets).map_err(|why| JournalError::Record { revision, why })?);
        }
        replay(snapshot, records).map_err(JournalError::Replay)
    }
}

/// The octets of a snapshot or a record.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, FormatError> {
    serde_json::to_vec(value).map_err(|error| FormatError::Unwritable(beginning(&error)))
}

/// The snapshot or record of these octets.
fn read<T>(octets: &[u8]) -> Result<T, FormatError>
where
    Versioned<T>: DeserializeOwned,
{
    let versioned: Versioned<T> =
        serde_json::from_slice(octets).map_err(|error| FormatError::Unreadable(beginning(&error)))?;
    versioned.known().map_err(FormatError::Unknown)
}

fn beginning(error: &serde_json::Error) -> String {
    error.to_string().chars().flat_map(char::escape_debug).take(WHY_MAX).collect()
}
