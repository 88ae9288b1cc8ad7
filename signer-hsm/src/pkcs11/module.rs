//! A loaded module: one per path in the whole process, and the gate that every call into it passes.

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Raw, RvError};

use super::deadline::Deadline;
use super::error::Pkcs11Error;
use super::ticket::Ticket;

/// Two contexts over one module would finalize it under each other's feet. What is in here stays: a module that is
/// unloaded while threads of its own or an exit handler still run takes the process with it.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Shared>>> = Mutex::new(BTreeMap::new());

/// A restart tears down every session of every token that the module serves, so a token that stays away must not cause
/// one with each call.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// A PKCS#11 module. Loading one path twice gives the same module, and it is never unloaded.
///
/// Nobody else in the process may load it: PKCS#11 knows no owners, and who finalizes it does so for all.
#[derive(Clone)]
pub struct Pkcs11Module(Arc<Shared>);

struct Shared {
    path: PathBuf,
    context: Pkcs11,
    gate: Mutex<Gate>,
    changed: Condvar,
    /// Counts logins and destroyed keys.
    objects: AtomicU64,
}

#[derive(Default)]
struct Gate {
    /// Counts initializations. A handle of another epoch may by now be the number of something else.
    epoch: u64,
    initialized: bool,
    /// Somebody finalizes or initializes, or waits to: nobody enters.
    closed: bool,
    inside: usize,
    stuck: usize,
    logins: u64,
    /// No restart before this one passes.
    pause: Option<Deadline>,
}

/// The state of a module, for monitoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleHealth {
    /// How often the module was initialized. More than once means that it was restarted.
    pub initializations: u64,
    /// How often a login was sent.
    pub logins: u64,
    /// Threads that are in the module.
    pub calls_inside: usize,
    /// Calls that are past their deadline and have not returned. While there is one, the module is asked for nothing.
    pub calls_stuck: usize,
}

impl Pkcs11Module {
    /// Loads the module at `path`, which runs its code. It is initialized with the first call that needs it.
    ///
    /// # Errors
    /// [`Pkcs11Error::NotLoaded`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Pkcs11Error> {
        let path = path.as_ref();
        let not_loaded = |reason| Pkcs11Error::NotLoaded { path: path.to_owned(), reason };
        let canonical = path.canonicalize().map_err(|error| not_loaded(Arc::new(error)))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = loaded.get(&canonical) {
            return Ok(Self(Arc::clone(shared)));
        }
        let context = Pkcs11::new(&canonical).map_err(|error| not_loaded(Arc::new(error)))?;
        let shared = Shared {
            path: canonical.clone(),
            context,
            gate: Mutex::default(),
            changed: Condvar::new(),
            objects: AtomicU64::new(0),
        };
        let module = Self(Arc::new(shared));
        loaded.insert(canonical, Arc::clone(&module.0));
        Ok(module)
    }

    /// Where it was loaded from, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> ModuleHealth {
        let gate = self.lock();
        ModuleHealth {
            initializations: gate.epoch,
            logins: gate.logins,
            calls_inside: gate.inside,
            calls_stuck: gate.stuck,
        }
    }

    /// Finalizes the module, once no call is in it any more. The next call initializes it again.
    ///
    /// Call it before the process ends: modules that clean up in an exit handler are known to crash there.
    ///
    /// # Errors
    /// [`Pkcs11Error::NotAsked`] if calls were still in the module after `timeout`, [`Pkcs11Error::NoAnswer`] if the
    /// module was still at it.
    pub fn finalize(&self, timeout: Duration) -> Result<(), Pkcs11Error> {
        let deadline = Deadline::after(timeout);
        let ticket = Ticket::new();
        let (module, done) = (self.clone(), ticket.clone());
        thread::Builder::new()
            .name("pkcs11-finalize".to_owned())
            .spawn(move || {
                if done.begin() {
                    let outcome = module.shut(module.lock(), None, deadline);
                    done.finish(outcome, &module);
                }
            })
            .map_err(|error| Pkcs11Error::NoThread(Arc::new(error)))?;
        ticket.wait(deadline, self)
    }

    pub(super) fn context(&self) -> &Pkcs11 {
        &self.0.context
    }

    /// Lets the calling thread into the module, initialized.
    pub(super) fn enter(&self, deadline: Deadline) -> Result<Pass, Pkcs11Error> {
        let mut gate = self.lock();
        loop {
            if gate.stuck > 0 {
                return Err(Pkcs11Error::Stuck { calls: gate.stuck });
            }
            if gate.closed {
                gate = self.wait(gate, deadline)?;
            } else if gate.initialized {
                gate.inside = gate.inside.saturating_add(1);
                return Ok(Pass { module: self.clone(), epoch: gate.epoch });
            } else {
                gate.closed = true;
                drop(gate);
                let outcome = self.0.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
                gate = self.lock();
                gate.closed = false;
                self.0.changed.notify_all();
                match outcome {
                    Ok(()) | Err(Raw::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                        gate.initialized = true;
                        gate.epoch = gate.epoch.saturating_add(1);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Lets the calling thread in if nothing has to be done or awaited for it.
    pub(super) fn enter_if_initialized(&self) -> Result<Pass, Pkcs11Error> {
        let mut gate = self.lock();
        if gate.stuck > 0 || gate.closed || !gate.initialized {
            return Err(Pkcs11Error::NotAsked);
        }
        gate.inside = gate.inside.saturating_add(1);
        Ok(Pass { module: self.clone(), epoch: gate.epoch })
    }

    /// Finalizes the module if it is still in the epoch in which something was lost: the next to enter initializes it.
    /// False if the last restart was a moment ago.
    pub(super) fn restart(&self, lost_in: u64, deadline: Deadline) -> Result<bool, Pkcs11Error> {
        let mut gate = self.lock();
        // Once it is closed somebody restarts this epoch already, which is as good as a restart of one's own.
        if gate.initialized && gate.epoch == lost_in && !gate.closed {
            if gate.pause.is_some_and(|pause| pause.left().is_some()) {
                return Ok(false);
            }
            gate.pause = Some(Deadline::after(RESTART_PAUSE));
        }
        self.shut(gate, Some(lost_in), deadline).map(|()| true)
    }

    /// Waits until nobody is in the module, and finalizes it.
    fn shut<'a>(
        &'a self,
        mut gate: MutexGuard<'a, Gate>,
        only_in: Option<u64>,
        deadline: Deadline,
    ) -> Result<(), Pkcs11Error> {
        loop {
            if !gate.initialized || only_in.is_some_and(|epoch| epoch != gate.epoch) {
                return Ok(());
            }
            if !gate.closed {
                break;
            }
            gate = self.wait(gate, deadline)?;
        }
        gate.closed = true;
        while gate.inside > 0 {
            gate = match self.wait(gate, deadline) {
                Ok(gate) => gate,
                Err(late) => {
                    self.lock().closed = false;
                    self.0.changed.notify_all();
                    return Err(late);
                }
            };
        }
        drop(gate);
        // Whatever it answers, there is nothing else to do but to initialize it again, which then tells.
        let _answer = self.0.context.clone().finalize();
        let mut gate = self.lock();
        gate.closed = false;
        gate.initialized = false;
        drop(gate);
        self.0.changed.notify_all();
        Ok(())
    }

    pub(super) fn refuse_if_stuck(&self) -> Result<(), Pkcs11Error> {
        match self.lock().stuck {
            0 => Ok(()),
            calls => Err(Pkcs11Error::Stuck { calls }),
        }
    }

    pub(super) fn note_stuck(&self) {
        let mut gate = self.lock();
        gate.stuck = gate.stuck.saturating_add(1);
    }

    pub(super) fn note_returned(&self) {
        let mut gate = self.lock();
        gate.stuck = gate.stuck.saturating_sub(1);
        drop(gate);
        self.0.changed.notify_all();
    }

    /// Changes whenever a handle to a private object may have become that of another: with each login, and each key that
    /// was destroyed through this module.
    pub(super) fn objects(&self) -> u64 {
        self.0.objects.load(Ordering::Acquire)
    }

    pub(super) fn note_destruction(&self) {
        self.0.objects.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn note_login(&self) {
        self.0.objects.fetch_add(1, Ordering::AcqRel);
        let mut gate = self.lock();
        gate.logins = gate.logins.saturating_add(1);
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, gate: MutexGuard<'a, Gate>, deadline: Deadline) -> Result<MutexGuard<'a, Gate>, Pkcs11Error> {
        let left = deadline.left().ok_or(Pkcs11Error::NotAsked)?;
        let (gate, _timeout) = self.0.changed.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner);
        Ok(gate)
    }
}

impl fmt::Debug for Pkcs11Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Module").field("path", &self.0.path).field("health", &self.health()).finish()
    }
}

/// The right to be in the module. While it is held the module is not finalized.
pub(super) struct Pass {
    module: Pkcs11Module,
    pub(super) epoch: u64,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut gate = self.module.lock();
        gate.inside = gate.inside.saturating_sub(1);
        let awaited = gate.closed;
        drop(gate);
        if awaited {
            self.module.0.changed.notify_all();
        }
    }
}
