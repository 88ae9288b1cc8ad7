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

    /// What must be durable before the action is carried out: [`Event::TakenDown`] for every consumer that it takes down,
    /// so that no other controller takes down the next one meanwhile. When one of these events is rejected the action is
    /// left alone, and asked for again as long as it is pending.
    fn prepare(&mut self, action: &Action) -> Vec<Event> {
        let _nobody_is_taken_down = action;
        Vec::new()
    }

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
    failed: bool,
}

/// What one round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stepped {
    /// What the accepted events changed.
    pub applied: Applied,
    /// What the machine did not accept: a stale report, one of a stage that is over, or that somebody is taken down whose
    /// turn it is not.
    pub rejected: Vec<Rejected>,
}

/// Why a journal cannot be taken up.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The store failed.
    Store(StoreError),
    /// A journaled event is refused by the machine that once accepted it: the journal is not this machine's.
    Replay(Rejected),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Replay(rejected) => write!(f, "the journal does not replay: {rejected}"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Replay(rejected) => Some(rejected),
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why the loop stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriveError<E> {
    /// An event could not be made durable, or one before could not. After a conflict, [`Driver::open`] again: another
    /// controller has moved on.
    Submit(SubmitError),
    /// An action could not be carried out.
    Execute(E),
}

/// The store did not take an event, so nothing more is done or shown until the journal is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(());

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store failed before: open the journal again")
    }
}

impl core::error::Error for Failed {}

impl<E: fmt::Display> fmt::Display for DriveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit(error) => write!(f, "{error}"),
            Self::Execute(error) => write!(f, "{error}"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for DriveError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Submit(error) => Some(error),
            Self::Execute(error) => Some(error),
        }
    }
}

impl<E> From<SubmitError> for DriveError<E> {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

/// Why an event was not made durable. It counts as not happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubmitError {
    /// The store failed.
    Store(StoreError),
    /// The store failed before; the journal must be opened again.
    Failed(Failed),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Failed(failed) => write!(f, "{failed}"),
        }
    }
}

impl core::error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Failed(failed) => Some(failed),
        }
    }
}

impl From<Failed> for SubmitError {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl<S: Store> Driver<S> {
    /// Takes up a journal, or begins one with `initial`.
    ///
    /// # Errors
    /// When the store fails, or its events do not replay.
    pub fn open(mut store: S, initial: impl FnOnce() -> Machine) -> Result<Self, OpenError> {
        let (machine, durable) = match store.load()? {
            Some(journal) => {
                let durable = Durable::attest(journal.revision());
                (replay(journal).map_err(OpenError::Replay)?, durable)
            }
            None => {
                let machine = initial();
                let durable = store.create(&machine)?;
                (machine, durable)
            }
        };
        Ok(Self { store, machine, durable, failed: false })
    }

    /// Applies an event and makes it durable; the answer to both at once.
    ///
    /// # Errors
    /// When the store fails, now or before: the event counts as not happened, and nothing more is done until
    /// the journal is opened again.
    pub fn submit(&mut self, event: Event, now: UtcDateTime) -> Result<Result<Applied, Rejected>, SubmitError> {
        self.check()?;
        let applied = match self.machine.apply(&event, now) {
            Ok(applied) => applied,
            Err(rejected) => return Ok(Err(rejected)),
        };
        match self.store.append(self.durable.revision(), &Record::new(event, now)) {
            Ok(durable) => self.durable = durable,
            Err(error) => {
                self.failed = true;
                return Err(SubmitError::Store(error));
            }
        }
        Ok(Ok(applied))
    }

    const fn check(&self) -> Result<(), Failed> {
        if self.failed { Err(Failed(())) } else { Ok(()) }
    }

    /// Carries out what is to be done now, once, and applies what was observed.
    ///
    /// It returns after the first action that ends a stage, with all that was observed of it, so that the caller
    /// sees every stage; call again until nothing is pending.
    ///
    /// # Errors
    /// When the store or an action fails.
    pub fn step<X: Executor>(&mut self, executor: &mut X) -> Result<Stepped, DriveError<X::Error>> {
        let mut stepped = Stepped::default();
        let actions: Vec<_> = self.machine().map_err(SubmitError::Failed)?.pending_actions().collect();
        for action in actions {
            if !self.prepare(executor, &action, &mut stepped)? {
                continue;
            }
            for event in executor.execute(&action).map_err(DriveError::Execute)? {
                let now = executor.now();
                match self.submit(event, now)? {
                    Ok(applied) => stepped.applied.merge(applied),
                    Err(rejected) => stepped.rejected.push(rejected),
                }
            }
            if !stepped.applied.stages_ended.is_empty() {
                break;
            }
        }
        Ok(stepped)
    }

    /// Whether everything that must be durable before the action is.
    fn prepare<E: Executor>(
        &mut self,
        executor: &mut E,
        action: &Action,
        stepped: &mut Stepped,
    ) -> Result<bool, SubmitError> {
        for event in executor.prepare(action) {
            let now = executor.now();
            match self.submit(event, now)? {
                Ok(applied) => stepped.applied.merge(applied),
                Err(rejected) => {
                    stepped.rejected.push(rejected);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The machine, to be asked.
    ///
    /// # Errors
    /// After the store has failed: the machine is ahead of its journal by an event that did not happen.
    pub const fn machine(&self) -> Result<&Machine, Failed> {
        match self.check() {
            Ok(()) => Ok(&self.machine),
            Err(failed) => Err(failed),
        }
    }

    /// How many events are durable.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.durable.revision()
    }

    /// Replaces the journal's events by the state they led to.
    ///
    /// # Errors
    /// When the store fails, now or before: nothing more is done until the journal is opened again.
    pub fn compact(&mut self) -> Result<(), SubmitError> {
        self.check()?;
        match self.store.snapshot(self.durable.revision(), &self.machine) {
            Ok(durable) => self.durable = durable,
            Err(error) => {
                self.failed = true;
                return Err(SubmitError::Store(error));
            }
        }
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
