//! The drive loop: load, ask what is to be done, do it, observe, append, again.

use core::fmt;

use rotation_fsm::{Action, Applied, Event, Machine, Phase, Record, Rejected};
use time::{Duration, UtcDateTime};

use crate::format::{self, FormatError, JournalError};
use crate::store::{Durable, Revision, Store, StoreError};

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
/// The machine is only reached through here, so nobody asks for actions of a state that is not durable. Only its clock may
/// be ahead of the journal: an event that moved nothing else is not written.
#[derive(Debug)]
pub struct Driver<S> {
    store: S,
    machine: Machine,
    /// The same machine without the event that is being stored, to go back to. An event is applied to each, since a copy for
    /// every event would cost more in a large cluster.
    before: Machine,
    durable: Durable,
    /// Where the journal leaves the clock.
    durable_clock: UtcDateTime,
    /// Set when it is unknown whether the store took an event: the machine is perhaps ahead of its journal, or behind it.
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
    /// The journal leads to no machine: another version, damage, or another machine's. It is left as it is.
    Journal(JournalError),
    /// The state to begin with cannot be written.
    Unwritable(FormatError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Journal(error) => write!(f, "{error}"),
            Self::Unwritable(why) => write!(f, "the state to begin with {why}"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Journal(error) => Some(error),
            Self::Unwritable(why) => Some(why),
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

/// Whether the store took an event is unknown, so nothing more is done or shown until the journal is opened again.
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

impl From<JournalError> for OpenError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Why an event was not made durable. It counts as not happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubmitError {
    /// The store failed. Where it [kept nothing](StoreError::kept_nothing) the driver goes on as before; else the journal must
    /// be opened again.
    Store(StoreError),
    /// The event or the state has no written form. The driver goes on as before.
    Unwritable(FormatError),
    /// The store failed before; the journal must be opened again.
    Failed(Failed),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Unwritable(why) => write!(f, "the event or the state {why}"),
            Self::Failed(failed) => write!(f, "{failed}"),
        }
    }
}

impl core::error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Unwritable(why) => Some(why),
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
    /// When the store fails, or what it holds is of another version, damaged, or does not replay. The store is then as it was.
    pub fn open(mut store: S, initial: impl FnOnce() -> Machine) -> Result<Self, OpenError> {
        let (machine, durable) = match store.load()? {
            Some(journal) => (journal.machine()?, Durable::attest(journal.revision())),
            None => {
                let machine = initial();
                let snapshot = format::write(&machine.snapshot()).map_err(OpenError::Unwritable)?;
                (machine, store.create(&snapshot)?)
            }
        };
        let durable_clock = clock_of(&machine);
        Ok(Self { store, before: machine.clone(), machine, durable, durable_clock, failed: false })
    }

    /// Applies an event and makes it durable; the answer to both at once.
    ///
    /// An event that [changed](Applied::changed) nothing is not written, but for one in every half
    /// [`ClockRule::step`](rotation_fsm::ClockRule::step) of a rotation: so a machine that comes back doubts no reading within
    /// the other half.
    ///
    /// # Errors
    /// When the store fails, now or before: the event counts as not happened. Where the store
    /// [kept nothing](StoreError::kept_nothing) the machine is what it was, and the event may be submitted again; else nothing
    /// more is done until the journal is opened again.
    pub fn submit(&mut self, event: Event, now: UtcDateTime) -> Result<Result<Applied, Rejected>, SubmitError> {
        self.check()?;
        let record = self.machine.record_of(event, now);
        let applied = match self.machine.apply(&record.event, record.now) {
            Ok(applied) => applied,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if applied.changed || self.clock_is_ahead() {
            self.append(&record)?;
        }
        if self.before.apply(&record.event, record.now).as_ref() != Ok(&applied) {
            self.before = self.machine.clone();
        }
        Ok(Ok(applied))
    }

    /// Makes the event durable that was just applied, or takes it back.
    fn append(&mut self, record: &Record) -> Result<(), SubmitError> {
        let stored = match format::write(record) {
            Ok(octets) => self.store.append(self.durable.revision(), &octets).map_err(SubmitError::Store),
            Err(why) => Err(SubmitError::Unwritable(why)),
        };
        match stored {
            Ok(durable) => {
                self.durable = durable;
                self.durable_clock = clock_of(&self.machine);
                Ok(())
            }
            Err(error) => {
                self.machine = self.before.clone();
                self.fail(error)
            }
        }
    }

    /// Goes on only where the journal is for certain what it was.
    fn fail<T>(&mut self, error: SubmitError) -> Result<T, SubmitError> {
        self.failed = match &error {
            SubmitError::Store(error) => !error.kept_nothing(),
            SubmitError::Unwritable(_) => false,
            SubmitError::Failed(_) => true,
        };
        Err(error)
    }

    /// Whether a machine that came back from the journal would be so far behind that it might doubt the next reading. At rest
    /// no reading is doubted.
    fn clock_is_ahead(&self) -> bool {
        let ahead = clock_of(&self.machine) - self.durable_clock;
        let half = self.machine.settings().clock.step.checked_div(2).unwrap_or(Duration::ZERO);
        matches!(self.machine.phase(), Phase::Rotating(_)) && ahead.is_positive() && ahead >= half
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
    /// After the store has failed in a way that leaves open what the journal holds.
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
    /// When the store fails, now or before. Where it [kept nothing](StoreError::kept_nothing) the journal is what it was; else
    /// nothing more is done until it is opened again.
    pub fn compact(&mut self) -> Result<(), SubmitError> {
        self.check()?;
        let stored = match format::write(&self.machine.snapshot()) {
            Ok(octets) => self.store.snapshot(self.durable.revision(), &octets).map_err(SubmitError::Store),
            Err(why) => Err(SubmitError::Unwritable(why)),
        };
        match stored {
            Ok(durable) => {
                self.durable = durable;
                self.durable_clock = clock_of(&self.machine);
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }
}

/// The latest time that a machine believes.
fn clock_of(machine: &Machine) -> UtcDateTime {
    let record = machine.record_of(Event::Tick, UtcDateTime::UNIX_EPOCH);
    record.clock.unwrap_or(UtcDateTime::UNIX_EPOCH)
}
