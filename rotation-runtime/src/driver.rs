//! The drive loop: load, ask what is to be done, do it, observe, append, again.

use core::fmt;

use rotation_fsm::{Action, Applied, Event, Machine, Rejected};
use time::UtcDateTime;

use crate::store::{Durable, Journal, Record, Revision, Store, StoreError};

/// Whoever carries actions out and sees what came of them.
///
/// Every action is a desired end: carried out twice, late or after a crash it does no harm, and one
/// that is not carried out is asked for again.
pub trait Executor {
    /// Why an action could not be carried out, in the embedder's terms.
    type Error;

    /// The time. The loop has no clock of its own.
    fn now(&mut self) -> UtcDateTime;

    /// Carries out one action and reports what was observed since.
    ///
    /// # Errors
    /// The executor's own; the loop stops and the state stays as it was.
    fn execute(&mut self, action: &Action) -> Result<Vec<Event>, Self::Error>;
}

/// One cluster's machine on its journal.
///
/// The machine is only reached through here, so nobody asks for actions of a state that is not durable.
#[derive(Debug)]
pub struct Driver<S> {
    store: S,
    machine: Machine,
    durable: Durable,
    /// Set when an event was applied that the store did not take: the machine is ahead of its journal.
    failed: Option<StoreError>,
}

/// What one round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stepped {
    /// What the last accepted event changed: the stages that it ended, if any.
    pub applied: Applied,
    /// What the machine did not accept. A stale report or one of another stage is normal; a consumer that runs with a
    /// foreign bundle is a matter for an operator, since its stage will not end.
    pub rejected: Vec<Rejected>,
}

/// Why the loop stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriveError<E> {
    /// The store failed. After a conflict, [`Driver::open`] again: another controller has moved on.
    Store(StoreError),
    /// A journaled event is refused by the machine that once accepted it: the journal is not this machine's.
    Replay(Rejected),
    /// An action could not be carried out.
    Execute(E),
}

impl<E: fmt::Display> fmt::Display for DriveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Replay(rejected) => write!(f, "the journal does not replay: {rejected}"),
            Self::Execute(error) => write!(f, "{error}"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for DriveError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Replay(rejected) => Some(rejected),
            Self::Execute(error) => Some(error),
        }
    }
}

impl<S: Store> Driver<S> {
    /// Takes up a journal, or begins one with `initial`.
    ///
    /// # Errors
    /// When the store fails, or its events do not replay.
    pub fn open<E>(mut store: S, initial: impl FnOnce() -> Machine) -> Result<Self, DriveError<E>> {
        match store.load().map_err(DriveError::Store)? {
            Some(journal) => {
                let durable = Durable::attest(journal.revision());
                let machine = replay(journal).map_err(DriveError::Replay)?;
                Ok(Self { store, machine, durable, failed: None })
            }
            None => {
                let machine = initial();
                let durable = store.create(&machine).map_err(DriveError::Store)?;
                Ok(Self { store, machine, durable, failed: None })
            }
        }
    }

    /// Applies an event and makes it durable; the answer to both at once.
    ///
    /// # Errors
    /// When the store fails, now or before: the event counts as not happened, and nothing more is done until
    /// the journal is opened again.
    pub fn submit<E>(&mut self, event: Event, now: UtcDateTime) -> Result<Result<Applied, Rejected>, DriveError<E>> {
        self.check_store()?;
        let applied = match self.machine.apply(&event, now) {
            Ok(applied) => applied,
            Err(rejected) => return Ok(Err(rejected)),
        };
        match self.store.append(self.durable.revision(), &Record::new(event, now)) {
            Ok(durable) => self.durable = durable,
            Err(error) => {
                self.failed = Some(error);
                return Err(DriveError::Store(error));
            }
        }
        Ok(Ok(applied))
    }

    fn check_store<E>(&self) -> Result<(), DriveError<E>> {
        self.failed.map_or(Ok(()), |error| Err(DriveError::Store(error)))
    }

    /// Carries out what is to be done now, once, and applies what was observed.
    ///
    /// It returns after the first action that ends a stage, so that the caller sees every stage;
    /// call again until nothing is pending.
    ///
    /// # Errors
    /// When the store or an action fails.
    pub fn step<X: Executor>(&mut self, executor: &mut X) -> Result<Stepped, DriveError<X::Error>> {
        self.check_store()?;
        let mut stepped = Stepped::default();
        let actions: Vec<_> = self.machine.pending_actions().collect();
        for action in actions {
            for event in executor.execute(&action).map_err(DriveError::Execute)? {
                let now = executor.now();
                match self.submit(event, now)? {
                    Ok(applied) if applied.stages_ended.is_empty() => stepped.applied = applied,
                    Ok(applied) => return Ok(Stepped { applied, ..stepped }),
                    Err(rejected) => stepped.rejected.push(rejected),
                }
            }
        }
        Ok(stepped)
    }

    /// The machine, to be asked. After a failure of the store it is ahead of the journal by one event.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// How many events are durable.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.durable.revision()
    }

    /// Replaces the journal's events by the state they led to.
    ///
    /// # Errors
    /// When the store fails; the journal is as it was.
    pub fn compact<E>(&mut self) -> Result<(), DriveError<E>> {
        self.check_store()?;
        self.durable = self.store.snapshot(self.durable.revision(), &self.machine).map_err(DriveError::Store)?;
        Ok(())
    }
}

/// The state that a journal's events lead to.
fn replay(journal: Journal) -> Result<Machine, Rejected> {
    let mut machine = journal.snapshot;
    for record in &journal.events {
        machine.apply(&record.event, record.now)?;
    }
    Ok(machine)
}
