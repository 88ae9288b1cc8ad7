//! Where a caller waits for a call that another thread makes, and gives it up at its deadline.

use core::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::deadline::Deadline;
use super::error::Pkcs11Error;
use super::module::Pkcs11Module;

/// Shared by the caller and the thread that calls.
pub(super) struct Ticket<T>(Arc<(Mutex<Phase<T>>, Condvar)>);

enum Phase<T> {
    Queued,
    Running,
    Done(Result<T, Pkcs11Error>),
    /// The caller is gone.
    Abandoned,
}

impl<T> Ticket<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(Phase::Queued), Condvar::new())))
    }

    pub(super) fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Whether the call is still wanted; from now on its outcome is unknown until it is finished.
    pub(super) fn begin(&self) -> bool {
        let mut phase = self.lock();
        let wanted = matches!(*phase, Phase::Queued);
        if wanted {
            *phase = Phase::Running;
        }
        wanted
    }

    /// Puts a call that was begun and has asked nothing of the module back; false if nobody wants it any more.
    pub(super) fn postpone(&self, module: &Pkcs11Module) -> bool {
        let mut phase = self.lock();
        match *phase {
            Phase::Abandoned => {
                module.note_returned();
                false
            }
            _ => {
                *phase = Phase::Queued;
                true
            }
        }
    }

    pub(super) fn finish(&self, outcome: Result<T, Pkcs11Error>, module: &Pkcs11Module) {
        let mut phase = self.lock();
        if matches!(*phase, Phase::Abandoned) {
            module.note_returned();
            return;
        }
        *phase = Phase::Done(outcome);
        drop(phase);
        self.0.1.notify_one();
    }

    /// Waits for the outcome. A call that has begun and does not return by `deadline` counts as stuck from then on.
    pub(super) fn wait(&self, deadline: Deadline, module: &Pkcs11Module) -> Result<T, Pkcs11Error> {
        let mut phase = self.lock();
        loop {
            match mem::replace(&mut *phase, Phase::Abandoned) {
                Phase::Done(outcome) => return outcome,
                waiting => match deadline.left() {
                    Some(left) => {
                        *phase = waiting;
                        (phase, _) = self.0.1.wait_timeout(phase, left).unwrap_or_else(PoisonError::into_inner);
                    }
                    None if matches!(waiting, Phase::Running) => {
                        module.note_stuck();
                        return Err(Pkcs11Error::NoAnswer);
                    }
                    None => return Err(Pkcs11Error::NotAsked),
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase<T>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
