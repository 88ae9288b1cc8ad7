//! Where a caller waits for a call that another thread makes, and gives it up at its deadline.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use core::{hint, mem};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::deadline::Deadline;
use super::error::Pkcs11Error;
use super::module::Pkcs11Module;

/// Shared by the caller and the thread that calls.
pub(super) struct Ticket<T>(Arc<Shared<T>>);

struct Shared<T> {
    phase: Mutex<Phase<T>>,
    changed: Condvar,
    /// Says what `phase` does, to those who look without the lock.
    is_done: AtomicBool,
}

/// How long a caller looks for the outcome before it sleeps. A token in software answers in less, and to be woken would cost
/// it a tenth more; one in hardware takes so long that it makes no difference.
const LOOK: Duration = Duration::from_micros(100);
/// How many looks there are for one at the clock.
const LOOKS: u32 = 32;

enum Phase<T> {
    Queued,
    Running,
    Done(Result<T, Pkcs11Error>),
    /// The caller is gone.
    Abandoned,
}

impl<T> Ticket<T> {
    pub(super) fn new() -> Self {
        let (phase, changed, is_done) = (Mutex::new(Phase::Queued), Condvar::new(), AtomicBool::new(false));
        Self(Arc::new(Shared { phase, changed, is_done }))
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
        self.0.is_done.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }

    /// Looks for the outcome for a moment, where there is a core to do it on.
    pub(super) fn look(&self) {
        let until = Deadline::after(LOOK);
        while until.left().is_some() {
            for _ in 0..LOOKS {
                if self.0.is_done.load(Ordering::Acquire) {
                    return;
                }
                hint::spin_loop();
            }
        }
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
                        (phase, _) = self.0.changed.wait_timeout(phase, left).unwrap_or_else(PoisonError::into_inner);
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
        self.0.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
