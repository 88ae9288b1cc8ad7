//! Where accepted events are kept.

#[cfg(unix)]
mod file;
mod memory;

use core::error::Error;
use core::fmt;

use rotation_fsm::UnknownVersion;

#[cfg(unix)]
pub use self::file::{FileStore, TornTail};
pub use self::memory::MemoryStore;

/// How many events a journal holds: the version that compare-and-set compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision after so many events, for implementations of [`Store`].
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of events.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision after one more event.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    fn after(self, events: usize) -> Self {
        Self(self.0.saturating_add(u64::try_from(events).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a store holds: a snapshot, and the records since, in octets that it does not look into.
///
/// [`Journal::machine`] reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Journal {
    /// The [`Snapshot`](rotation_fsm::Snapshot) at [`snapshot_revision`](Self::snapshot_revision).
    pub snapshot: Vec<u8>,
    /// How many events the snapshot has taken in.
    pub snapshot_revision: Revision,
    /// Each [`Record`](rotation_fsm::Record) since, in order.
    pub records: Vec<Vec<u8>>,
}

impl Journal {
    /// A journal that begins with this state.
    #[must_use]
    pub const fn new(snapshot: Vec<u8>, snapshot_revision: Revision, records: Vec<Vec<u8>>) -> Self {
        Self { snapshot, snapshot_revision, records }
    }

    /// The revision after the last record.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.snapshot_revision.after(self.records.len())
    }
}

/// That a record is durable, on the word of a store. What is done next is done on the strength of it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Durable(Revision);

impl Durable {
    /// Attests that everything up to `revision` survives a loss of power. For implementations of [`Store`].
    pub const fn attest(revision: Revision) -> Self {
        Self(revision)
    }

    /// Up to where.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.0
    }
}

/// A journal with compare-and-set.
///
/// Of several controllers that append at one revision, one succeeds. Missing or older state after a
/// first success is [`StoreError::Lost`]: a store fails closed.
pub trait Store {
    /// Begins the journal with a first snapshot.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one already.
    fn create(&mut self, snapshot: &[u8]) -> Result<Durable, StoreError>;

    /// Everything, or `None` before [`create`](Self::create). What it returns is durable.
    ///
    /// # Errors
    /// When it cannot be read, or not be trusted.
    fn load(&mut self) -> Result<Option<Journal>, StoreError>;

    /// Appends one record if the journal is at `expected`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not: somebody else moved, so load again.
    fn append(&mut self, expected: Revision, record: &[u8]) -> Result<Durable, StoreError>;

    /// Replaces the records up to `revision` by the state they lead to, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the journal is not at `revision`.
    fn snapshot(&mut self, revision: Revision, snapshot: &[u8]) -> Result<Durable, StoreError>;
}

/// What a medium said.
type Cause = Box<dyn Error + Send + Sync>;

/// Why a store did not do it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The journal is at another revision: another controller was first.
    Conflict {
        /// Where the caller believed it to be.
        expected: Revision,
        /// Where it is.
        found: Revision,
    },
    /// The journal was there and is not any more, or is older than before.
    Lost,
    /// Another process has the journal.
    Locked,
    /// There is no room. Nothing was kept.
    Full(Cause),
    /// It is not permitted. Nothing was kept.
    Denied(Cause),
    /// More than would be read again. Nothing was kept.
    TooLarge {
        /// What is: a record, or the journal.
        what: &'static str,
        /// How many octets it would have.
        found: u64,
        /// How many it may have.
        max: u64,
    },
    /// Something is there that this store did not write, or not so. It is left as it is.
    Damaged {
        /// The octet at which it begins.
        at: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// The journal has a form that is not known. It is left as it is.
    Unknown(UnknownVersion),
    /// The medium failed: a disk with an error, a server that does not answer. Whether the record was kept is unknown.
    Medium(Cause),
}

impl StoreError {
    /// Whether opening the journal again may help without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Locked | Self::Medium(_))
    }

    /// Whether the journal is for certain what it was before, so that the same may be tried again.
    #[must_use]
    pub const fn kept_nothing(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Denied(_) | Self::TooLarge { .. })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { expected, found } => {
                write!(f, "the journal is at revision {found}, expected {expected}: another controller moved it")
            }
            Self::Lost => f.write_str("the journal is gone or older than it was"),
            Self::Locked => f.write_str("another process has the journal"),
            Self::Full(error) => write!(f, "there is no room for the journal: {error}"),
            Self::Denied(error) => write!(f, "the journal is not permitted: {error}"),
            Self::TooLarge { what, found, max } => write!(f, "the {what} would have {found} octets, limit {max}"),
            Self::Damaged { at, why } => write!(f, "the journal is damaged at octet {at}: {why}"),
            Self::Unknown(version) => write!(f, "{version}"),
            Self::Medium(error) => write!(f, "the journal's medium failed: {error}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Medium(error) | Self::Full(error) | Self::Denied(error) => Some(&**error),
            Self::Unknown(version) => Some(version),
            Self::Conflict { .. } | Self::Lost | Self::Locked | Self::TooLarge { .. } | Self::Damaged { .. } => None,
        }
    }
}
