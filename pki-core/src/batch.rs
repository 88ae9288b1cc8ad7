//! Many certificates at once: a node storm after a rotation, when every kubelet of a cluster asks for a new one.

use core::fmt;
use core::num::NonZeroUsize;
use std::borrow::Cow;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use time::UtcDateTime;

use crate::issuance::{Approval, IssueError, IssuedCertificate, Issuer, SelfCheck};
use crate::request::{CertificationRequest, RequestError, request_der};
use crate::signer::Signer;
use crate::verify::Verifiers;
use crate::{LeafKind, Limits, Serial};

/// One certificate of a batch.
#[derive(Clone, Debug)]
pub struct BatchOrder<'a> {
    /// The profile.
    pub leaf: LeafKind,
    /// The request, DER or PEM.
    pub request: Cow<'a, [u8]>,
    /// What was approved for it.
    pub approval: Approval,
    /// The certificate's serial, from the caller's entropy.
    pub serial: Serial,
}

/// Why one order of a batch has no certificate. The others have theirs.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchError {
    /// The request is refused.
    Request(RequestError),
    /// Nothing was issued for it.
    Issue(IssueError),
}

impl BatchError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::Issue(error) => error.code(),
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Issue(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Request(error) => Some(error),
            Self::Issue(error) => Some(error),
        }
    }
}

impl From<RequestError> for BatchError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<IssueError> for BatchError {
    fn from(error: IssueError) -> Self {
        Self::Issue(error)
    }
}

/// With what, when and on how many threads the orders of a batch are issued.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    signer: &'a dyn Signer,
    verifiers: Verifiers<'a>,
    now: UtcDateTime,
    self_check: SelfCheck,
    limits: Limits,
    threads: NonZeroUsize,
}

impl<'a> Batch<'a> {
    /// How many orders of each thread are on their way at once: what bounds the memory of a batch, however long it is.
    pub const ORDERS_PER_THREAD: usize = 256;

    /// Signed by this key at this time, on the calling thread alone, with every fresh signature checked.
    #[must_use]
    pub const fn new(signer: &'a dyn Signer, verifiers: Verifiers<'a>, now: UtcDateTime) -> Self {
        let (self_check, limits, threads) = (SelfCheck::Always, Limits::DEFAULT, NonZeroUsize::MIN);
        Self { signer, verifiers, now, self_check, limits, threads }
    }

    /// On so many threads, the calling one among them: as many as there are cores for a key of this process, as many as
    /// there are sessions for one in a token.
    #[must_use]
    pub const fn on_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// With the embedder's choice for keys of this process.
    #[must_use]
    pub const fn with_self_check(mut self, self_check: SelfCheck) -> Self {
        self.self_check = self_check;
        self
    }

    /// With other limits for requests.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn issue(&self, issuer: &Issuer, order: &BatchOrder<'_>) -> Result<IssuedCertificate, BatchError> {
        let der = request_der(&order.request, &self.limits)?;
        let request = CertificationRequest::parse(&der, &self.limits)?.verify(self.verifiers)?;
        let prepared = issuer.prepare(order.leaf, request, &order.approval, order.serial, self.now)?;
        Ok(prepared.sign_with(self.signer, self.verifiers, self.self_check)?)
    }
}

impl Issuer {
    /// Issues for every order, and gives each outcome to `take` in the order of the orders.
    ///
    /// Each order goes the whole way of a single one, with all its checks, and one that is refused stops no other. At most
    /// [`Batch::ORDERS_PER_THREAD`] orders of each thread and their outcomes are held at once; the next ones are asked of
    /// the iterator when `take` has those. A panic of the signer or of a verification algorithm is passed on when the other
    /// threads have done what is held; outcomes that `take` has not got are lost with it.
    pub fn issue_batch<'o>(
        &self,
        batch: &Batch<'_>,
        orders: impl IntoIterator<Item = BatchOrder<'o>>,
        mut take: impl FnMut(Result<IssuedCertificate, BatchError>),
    ) {
        let mut orders = orders.into_iter().fuse();
        loop {
            let held: Vec<_> =
                orders.by_ref().take(batch.threads.get().saturating_mul(Batch::ORDERS_PER_THREAD)).collect();
            if held.is_empty() {
                return;
            }
            spread(batch.threads, held, |order| batch.issue(self, &order)).into_iter().for_each(&mut take);
        }
    }
}

/// For crates of this workspace.
///
/// Does the same work for every item, on so many threads at most, of which the calling one is one; gives the outcomes in the
/// order of the items. Where a thread cannot be begun the others do its work. A panic of `work` is passed on.
#[doc(hidden)]
pub fn spread<T: Send, R: Send>(threads: NonZeroUsize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let helpers = threads.get().min(items.len()).saturating_sub(1);
    if helpers == 0 {
        return items.into_iter().map(work).collect();
    }
    let mut outcomes = Vec::with_capacity(items.len());
    let items = Mutex::new(items.into_iter().enumerate());
    let run = || {
        let mut done = Vec::new();
        loop {
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            match next {
                Some((place, item)) => done.push((place, work(item))),
                None => return done,
            }
        }
    };
    thread::scope(|scope| {
        let begin = |_| thread::Builder::new().name("batch".into()).spawn_scoped(scope, run).ok();
        let helpers: Vec<_> = (0..helpers).map_while(begin).collect();
        outcomes.extend(run());
        for helper in helpers {
            match helper.join() {
                Ok(done) => outcomes.extend(done),
                Err(panic) => resume_unwind(panic),
            }
        }
    });
    outcomes.sort_unstable_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;

    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn work_is_done_once_for_each_item_and_its_outcomes_stand_in_order() {
        for count in [1, 2, 3, 8] {
            for items in [0_usize, 1, 2, 100] {
                let outcomes = spread(threads(count), (0..items).collect(), |item| item * 2);
                assert_eq!(outcomes, (0..items).map(|item| item * 2).collect::<Vec<_>>(), "{count} threads");
            }
        }
    }

    #[test]
    fn every_thread_works() {
        let (all, seen) = (Barrier::new(3), Mutex::new(BTreeSet::new()));
        // None gets past the barrier before all have an item.
        spread(threads(3), vec![(); 3], |()| {
            all.wait();
            seen.lock().unwrap().insert(format!("{:?}", thread::current().id()))
        });
        assert_eq!(seen.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_panic_is_passed_on() {
        for at in [0, 50, 99] {
            let work = || spread(threads(2), (0..100).collect(), |item: usize| assert_ne!(item, at, "item {at}"));
            let panic = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
            assert!(panic.downcast_ref::<String>().unwrap().contains(&format!("item {at}")));
        }
    }
}
