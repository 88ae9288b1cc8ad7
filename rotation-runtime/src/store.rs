//! Where accepted events are kept.

use core::error::Error;
use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rotation_fsm::{Event, Machine};
use time::UtcDateTime;

/// How many events a journal holds: the version that compare-and-set compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
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
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One accepted event and the time at which it was applied: what replay needs, and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// What happened.
    pub event: Event,
    /// When it was applied.
    pub now: UtcDateTime,
}

impl Record {
    /// An event that was applied at `now`.
    #[must_use]
    pub const fn new(event: Event, now: UtcDateTime) -> Self {
        Self { event, now }
    }
}

/// What a store holds: a snapshot, and the events since.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Journal {
    /// The state at [`snapshot_revision`](Self::snapshot_revision).
    pub snapshot: Machine,
    /// How many events the snapshot has taken in.
    pub snapshot_revision: Revision,
    /// The events since, in order.
    pub events: Vec<Record>,
}

impl Journal {
    /// A journal that begins with this state.
    #[must_use]
    pub const fn new(snapshot: Machine, snapshot_revision: Revision, events: Vec<Record>) -> Self {
        Self { snapshot, snapshot_revision, events }
    }

    /// The revision after the last event.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.events.iter().fold(self.snapshot_revision, |revision, _| revision.next())
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
    fn create(&mut self, snapshot: &Machine) -> Result<Durable, StoreError>;

    /// Everything, or `None` before [`create`](Self::create).
    ///
    /// # Errors
    /// When it cannot be read, or not be trusted.
    fn load(&mut self) -> Result<Option<Journal>, StoreError>;

    /// Appends one event if the journal is at `expected`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not: somebody else moved, so load again.
    fn append(&mut self, expected: Revision, record: &Record) -> Result<Durable, StoreError>;

    /// Replaces the events up to `revision` by the state they lead to.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the journal is not at `revision`.
    fn snapshot(&mut self, revision: Revision, machine: &Machine) -> Result<Durable, StoreError>;
}

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
    /// The medium failed: a full disk, a server that does not answer. Whether the record was kept is unknown.
    Medium(Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Whether opening the journal again may help without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Medium(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { expected, found } => {
                write!(f, "the journal is at revision {found}, expected {expected}: another controller moved it")
            }
            Self::Lost => f.write_str("the journal is gone or older than it was"),
            Self::Medium(error) => write!(f, "the journal's medium failed: {error}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Medium(error) => Some(&**error),
            Self::Conflict { .. } | Self::Lost => None,
        }
    }
}

/// A store in memory, shared by its clones: for tests, rehearsals and clusters that live as long as the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Option<Journal>>>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn at<T>(&self, expected: Revision, change: impl FnOnce(&mut Journal) -> T) -> Result<T, StoreError> {
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = journal.as_mut().ok_or(StoreError::Lost)?;
        let found = journal.revision();
        if found == expected { Ok(change(journal)) } else { Err(StoreError::Conflict { expected, found }) }
    }
}

impl Store for MemoryStore {
    fn create(&mut self, snapshot: &Machine) -> Result<Durable, StoreError> {
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = journal.as_ref() {
            return Err(StoreError::Conflict { expected: Revision::default(), found: journal.revision() });
        }
        *journal = Some(Journal::new(snapshot.clone(), Revision::default(), Vec::new()));
        Ok(Durable::attest(Revision::default()))
    }

    fn load(&mut self) -> Result<Option<Journal>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn append(&mut self, expected: Revision, record: &Record) -> Result<Durable, StoreError> {
        self.at(expected, |journal| journal.events.push(record.clone()))?;
        Ok(Durable::attest(expected.next()))
    }

    fn snapshot(&mut self, revision: Revision, machine: &Machine) -> Result<Durable, StoreError> {
        self.at(revision, |journal| *journal = Journal::new(machine.clone(), revision, Vec::new()))?;
        Ok(Durable::attest(revision))
    }
}
