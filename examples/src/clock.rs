//! The one clock of the miniature cluster: real time, and what the run has skipped.

use std::sync::atomic::{AtomicI64, Ordering};

use pki_core::unix_time;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use time::{Duration, UtcDateTime};

/// Real time plus an offset. Every verifier, issuer and state machine of a run reads this one.
#[derive(Debug, Default)]
pub struct Clock {
    skipped_seconds: AtomicI64,
}

impl Clock {
    /// The cluster's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the examples read the time")]
    pub fn now(&self) -> UtcDateTime {
        UtcDateTime::now().saturating_add(Duration::seconds(self.skipped_seconds.load(Ordering::SeqCst)))
    }

    /// Moves the cluster's time forward, for everybody at once.
    pub fn skip(&self, duration: Duration) {
        self.skipped_seconds.fetch_add(duration.whole_seconds(), Ordering::SeqCst);
    }
}

impl Clock {
    /// How many seconds the cluster's time is ahead.
    pub(crate) fn skipped(&self) -> i64 {
        self.skipped_seconds.load(Ordering::SeqCst)
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.now()))
    }
}

/// Time since the run began, for reports and the timeline. It never skips.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "reports tell how long things took")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Milliseconds since the start.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "reports tell how long things took")]
    pub fn elapsed_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Real time, for a service: the time of day, and what has passed since it began.
#[derive(Debug)]
pub struct ServiceClock {
    day: Clock,
    began: Stopwatch,
}

impl ServiceClock {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { day: Clock::default(), began: Stopwatch::start() }
    }

    /// Is so many seconds ahead from now on, as the cluster is that it serves.
    pub(crate) fn set_skipped(&self, seconds: i64) {
        self.day.skipped_seconds.store(seconds, Ordering::SeqCst);
    }
}

impl signer_hsm::service::limits::Clock for ServiceClock {
    fn now(&self) -> UtcDateTime {
        self.day.now()
    }

    #[expect(clippy::disallowed_methods, reason = "the service's own deadlines end in real time")]
    fn monotonic(&self) -> core::time::Duration {
        self.began.0.elapsed()
    }
}

/// Waits, for a server to be polled again or traffic to flow.
#[expect(clippy::disallowed_methods, reason = "threads of the miniature cluster wait for each other")]
pub(crate) fn pause(duration: core::time::Duration) {
    std::thread::sleep(duration);
}
