//! What bounds a caller: rates, sizes, times, numbers of connections. The clock is the embedder's.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use time::UtcDateTime;

/// Where the service and its clients take the time from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day, for certificates and for the log.
    fn now(&self) -> UtcDateTime;

    /// Time since some fixed moment, which never steps back: for rates and deadlines.
    fn monotonic(&self) -> Duration;
}

/// How much one cluster may ask for: so many requests at once, and so many per second in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    burst: u32,
    interval: Duration,
}

impl Rate {
    /// At most `burst` at once and `per_second` in the long run; `None` when one of them is zero.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Option<Self> {
        (burst > 0).then_some(())?;
        Some(Self { burst, interval: Duration::from_secs(1).checked_div(per_second)? })
    }

    /// What GKE's signer is asked at most: 200 at once, 100 per second.
    pub const DEFAULT: Self = Self { burst: 200, interval: Duration::from_millis(10) };

    /// How many refusals are written into a log: 1,000 at once and one per second, which is less than 100 MB in a day.
    pub const REFUSALS: Self = Self { burst: 1000, interval: Duration::from_secs(1) };

    /// What operators of one cluster may ask: 100 at once and two per second.
    pub const OPERATIONS: Self = Self { burst: 100, interval: Duration::from_millis(500) };
}

impl Default for Rate {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A token bucket. It counts time that was saved up, so that nothing is lost by rounding.
#[derive(Debug)]
pub struct TokenBucket {
    rate: Rate,
    state: Mutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    credit: Duration,
    seen: Duration,
}

impl TokenBucket {
    /// A full bucket, at this time of the clock.
    #[must_use]
    pub fn new(rate: Rate, monotonic: Duration) -> Self {
        let credit = rate.interval.saturating_mul(rate.burst);
        Self { rate, state: Mutex::new(Saved { credit, seen: monotonic }) }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long to wait for the next one, when there is none.
    pub fn take(&self, monotonic: Duration) -> Result<(), Duration> {
        let mut saved = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that steps back saves nothing up.
        let gained = monotonic.saturating_sub(saved.seen);
        saved.seen = saved.seen.max(monotonic);
        let full = self.rate.interval.saturating_mul(self.rate.burst);
        saved.credit = saved.credit.saturating_add(gained).min(full);
        match saved.credit.checked_sub(self.rate.interval) {
            Some(left) => {
                saved.credit = left;
                Ok(())
            }
            None => Err(self.rate.interval.saturating_sub(saved.credit)),
        }
    }
}

/// What bounds the connections of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// The most octets of a frame, without its length.
    pub frame_len_max: usize,
    /// How many connections of one caller are served at once. Whoever has as many is told so, and nobody else: no caller can
    /// use up what another one has.
    pub connections_max: usize,
    /// How many TLS handshakes go on at once; when there are more, the oldest one is cut off. And how many strangers are told
    /// at once that they are denied; more are not told.
    pub strangers_max: usize,
    /// How long a frame may take to arrive once it began, and an answer to be taken, from the first octet to the last. A TLS
    /// handshake has as long.
    pub frame_deadline: Duration,
    /// How long a connection may be silent between two frames.
    pub idle_deadline: Duration,
    /// How many requests of one connection are worked on together.
    pub batch_max: usize,
}

impl ServerLimits {
    /// 128 KiB, 32 connections of each caller, 32 strangers, 10 seconds for a frame, 5 minutes of silence, 64 requests together.
    pub const DEFAULT: Self = Self {
        frame_len_max: 128 << 10,
        connections_max: 32,
        strangers_max: 32,
        frame_deadline: Duration::from_secs(10),
        idle_deadline: Duration::from_secs(300),
        batch_max: 64,
    };

    /// For an agent, of which a message to be signed may be long: 4 MiB for a frame.
    pub const AGENT: Self = Self { frame_len_max: 4 << 20, ..Self::DEFAULT };
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_as_time_passes() {
        let second = Duration::from_secs(1);
        let bucket = TokenBucket::new(Rate::new(3, 2).unwrap(), second);
        for _ in 0..3 {
            bucket.take(second).unwrap();
        }
        assert_eq!(bucket.take(second), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(second + Duration::from_millis(499)), Err(Duration::from_millis(1)));
        bucket.take(second + Duration::from_millis(500)).unwrap();
        // However long nobody asked, there is no more than the burst; and a clock that steps back gives nothing.
        for _ in 0..3 {
            bucket.take(second * 1000).unwrap();
        }
        assert_eq!(bucket.take(second), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(second * 1000), Err(Duration::from_millis(500)));
    }

    #[test]
    fn a_rate_of_nothing_is_none() {
        assert_eq!(Rate::new(0, 1), None);
        assert_eq!(Rate::new(1, 0), None);
        assert_eq!(Rate::new(200, 100), Some(Rate::DEFAULT));
    }
}
