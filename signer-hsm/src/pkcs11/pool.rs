//! The threads that call the module, each with a session of its own, and the queue in front of them.

use core::num::NonZeroUsize;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Loss, Pkcs11Error};
use super::module::Pkcs11Module;
use super::sessions::{Connection, Login};
use super::ticket::Ticket;
use super::uri::Pkcs11Uri;

/// How long a worker that got no session leaves the work to those that have one.
const REST: Duration = Duration::from_secs(1);
/// How long a worker that is done looks for more.
const LOOK: Duration = Duration::from_micros(20);
/// How often a session is asked for while another process has them all.
const SESSION_RETRY: Duration = Duration::from_millis(20);
/// How long the end of a pool waits for its threads. One that is stuck in the module ends when it returns.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Pool(Arc<Shared>);

pub(super) struct Shared {
    pub(super) module: Pkcs11Module,
    pub(super) token: Pkcs11Uri,
    pub(super) login: Login,
    pub(super) accept_imported: bool,
    connected: AtomicUsize,
    /// Calls that somebody waits for.
    calls: AtomicUsize,
    cores: usize,
    queue: Mutex<Queue>,
    work: Condvar,
    rest: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    idle: usize,
    threads: usize,
    closed: bool,
}

trait Job: Send {
    /// Does the job; gives it back if another worker has to do it.
    fn run(self: Box<Self>, worker: &mut Worker) -> Option<Box<dyn Job>>;
}

struct Task<T, F> {
    ticket: Ticket<T>,
    deadline: Deadline,
    work: F,
}

impl<T, F> Job for Task<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Connection) -> Result<T, Pkcs11Error> + Send + 'static,
{
    fn run(mut self: Box<Self>, worker: &mut Worker) -> Option<Box<dyn Job>> {
        if !self.ticket.begin() {
            return None;
        }
        // A module may give lengths that no memory has. Whoever waits is told, and the thread goes on.
        let attempt = AssertUnwindSafe(|| worker.perform(self.deadline, &mut self.work));
        let outcome = panic::catch_unwind(attempt).unwrap_or_else(|_panic| {
            worker.forsake();
            Err(Pkcs11Error::NoAnswer)
        });
        match outcome {
            Err(Pkcs11Error::SessionLimit(_)) if worker.others_are_connected() => {
                let wanted = self.ticket.postpone(&worker.shared.module);
                let job: Box<dyn Job> = self;
                wanted.then_some(job)
            }
            outcome => {
                self.ticket.finish(outcome, &worker.shared.module);
                None
            }
        }
    }
}

impl Pool {
    pub(super) fn start(
        module: Pkcs11Module,
        token: Pkcs11Uri,
        login: Login,
        accept_imported: bool,
        threads: usize,
    ) -> Result<Self, Pkcs11Error> {
        let pool = Self(Arc::new(Shared {
            module,
            token,
            login,
            accept_imported,
            connected: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            cores: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queue: Mutex::default(),
            work: Condvar::new(),
            rest: Condvar::new(),
            ended: Condvar::new(),
        }));
        for _ in 0..threads {
            pool.0.lock().threads += 1;
            let mut worker = Worker { shared: Arc::clone(&pool.0), connection: None, epoch: 0 };
            thread::Builder::new().name("pkcs11".to_owned()).spawn(move || worker.work()).map_err(|error| {
                pool.0.lock().threads -= 1;
                Pkcs11Error::NoThread(Arc::new(error))
            })?;
        }
        Ok(pool)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Has a worker do `work`, twice if the first time the session or the token was lost.
    pub(super) fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnMut(&mut Connection) -> Result<T, Pkcs11Error> + Send + 'static,
    ) -> Result<T, Pkcs11Error> {
        let module = &self.0.module;
        module.refuse_if_stuck()?;
        let deadline = Deadline::after(timeout);
        let ticket = Ticket::new();
        let task = Box::new(Task { ticket: ticket.clone(), deadline, work });
        let calls = self.0.calls.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut queue = self.0.lock();
        queue.jobs.push_back(task);
        let somebody_sleeps = queue.idle > 0;
        drop(queue);
        if somebody_sleeps {
            self.0.work.notify_one();
        }
        // Each call keeps two threads busy: the one that looks and the one that works.
        if calls.saturating_mul(2) <= self.0.cores {
            ticket.look();
        }
        let outcome = ticket.wait(deadline, module);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
        outcome
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        self.0.work.notify_all();
        self.0.rest.notify_all();
        let deadline = Deadline::after(FAREWELL);
        while let Some(left) = deadline.left()
            && queue.threads > 0
        {
            (queue, _) = self.0.ended.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the next job for a moment: whoever has got an answer often asks again at once, and to be woken takes longer.
    fn look(&self) {
        let until = Deadline::after(LOOK);
        while self.lock().jobs.is_empty() && until.left().is_some() {
            thread::yield_now();
        }
    }

    /// The next job; none when the pool ends.
    fn next(&self) -> Option<Box<dyn Job>> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    /// Leaves `job` to the others, for a while.
    fn leave(&self, job: Box<dyn Job>) {
        let mut queue = self.lock();
        queue.jobs.push_front(job);
        self.work.notify_one();
        let deadline = Deadline::after(REST);
        while let Some(left) = deadline.left()
            && !queue.closed
        {
            (queue, _) = self.rest.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pause(&self, time: Duration) {
        let queue = self.lock();
        drop(self.rest.wait_timeout(queue, time));
    }
}

struct Worker {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    /// Of the module, when this worker was last in it.
    epoch: u64,
}

impl Worker {
    fn work(&mut self) {
        while let Some(job) = self.shared.next() {
            if let Some(left) = job.run(self) {
                self.shared.leave(left);
            }
            self.shared.look();
        }
        if let Ok(pass) = self.shared.module.enter_if_initialized() {
            self.disconnect(pass.epoch);
        }
        self.shared.lock().threads -= 1;
        self.shared.ended.notify_all();
    }

    fn perform<T>(
        &mut self,
        deadline: Deadline,
        work: &mut dyn FnMut(&mut Connection) -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        let mut retried = false;
        // Half the time is for getting a session, the rest for telling that there was none.
        let patience = deadline.half();
        loop {
            let error = match self.attempt(deadline, work) {
                Err(error) => error,
                done => return done,
            };
            if matches!(error, Pkcs11Error::SessionLimit(_)) {
                if self.others_are_connected() || patience.left().is_none() {
                    return Err(error);
                }
                self.shared.pause(SESSION_RETRY);
                continue;
            }
            let loss = error.loss();
            if retried || loss == Loss::Nothing || deadline.left().is_none() {
                return Err(error);
            }
            retried = true;
            if loss == Loss::Module && !self.shared.module.restart(self.epoch, deadline)? {
                return Err(error);
            }
        }
    }

    fn attempt<T>(
        &mut self,
        deadline: Deadline,
        work: &mut dyn FnMut(&mut Connection) -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        let pass = self.shared.module.enter(deadline)?;
        self.epoch = pass.epoch;
        if self.connection.as_ref().is_none_or(|connection| connection.epoch != pass.epoch) {
            self.disconnect(pass.epoch);
            let shared = &self.shared;
            let opened =
                Connection::open(&shared.module, pass.epoch, &shared.token, &shared.login, shared.accept_imported)?;
            self.connection = Some(opened);
            self.shared.connected.fetch_add(1, Ordering::Relaxed);
            // Whoever asked has been told by now that it took too long.
            deadline.left().ok_or(Pkcs11Error::NotAsked)?;
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err(Pkcs11Error::TokenNotFound);
        };
        connection.forget_stale();
        let outcome = work(connection);
        // After an error nobody knows what the session still has in hand.
        if let Err(Pkcs11Error::Call(_) | Pkcs11Error::GenerationUnknown(_)) = outcome {
            self.disconnect(pass.epoch);
        }
        outcome
    }

    /// Lets the session go. In another epoch than its own its number may be another's, and is not closed.
    fn disconnect(&mut self, epoch: u64) {
        if let Some(connection) = self.connection.take() {
            self.shared.connected.fetch_sub(1, Ordering::Relaxed);
            if connection.epoch == epoch {
                connection.close();
            }
        }
    }

    /// Leaves the session as it is: nobody knows what it has in hand.
    fn forsake(&mut self) {
        if self.connection.take().is_some() {
            self.shared.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn others_are_connected(&self) -> bool {
        let own = usize::from(self.connection.is_some());
        self.shared.connected.load(Ordering::Relaxed) > own
    }
}
