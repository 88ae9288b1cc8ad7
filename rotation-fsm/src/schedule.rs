//! Where a set of credentials stands in its life, and when that changes next. It reads no clock, remembers nothing and
//! begins nothing.

mod thresholds;

use core::fmt;

use time::{Duration, UtcDateTime};

pub use self::thresholds::{Threshold, Thresholds, ThresholdsError, ThresholdsSpec};

/// What there is to know about a set of credentials, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    expiry: UtcDateTime,
    progress: Progress,
}

/// How far the rotation of a set of credentials is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// None is running, and none has completed that is known of.
    Idle,
    /// One is running. The credentials that expire are those that it replaces, until it completes.
    Running {
        /// Since when.
        started: UtcDateTime,
    },
    /// None is running. The last one completed.
    Completed {
        /// When.
        at: UtcDateTime,
    },
}

impl Facts {
    /// Credentials of which the first ends with `expiry`: the earliest notAfter among the active generation.
    ///
    /// A fraction of a second is cut from the expiry and rounds any other moment up: nothing expires late, and no wait
    /// is shortened.
    #[must_use]
    pub fn new(expiry: UtcDateTime, progress: Progress) -> Self {
        let progress = match progress {
            Progress::Idle => Progress::Idle,
            Progress::Running { started } => Progress::Running { started: whole_second_from(started) },
            Progress::Completed { at } => Progress::Completed { at: whole_second_from(at) },
        };
        Self { expiry: expiry.truncate_to_second(), progress }
    }

    /// The earliest last second (notAfter) among the active generation.
    #[must_use]
    pub const fn expiry(&self) -> UtcDateTime {
        self.expiry
    }

    /// How far a rotation is.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// A rotation began.
    ///
    /// # Errors
    /// When one is running already, or the credentials have expired.
    pub fn started(self, at: UtcDateTime) -> Result<Self, FactsError> {
        if let Progress::Running { started } = self.progress {
            return Err(FactsError::AlreadyRunning { since: started });
        }
        self.before_expiry(at)?;
        Ok(Self::new(self.expiry, Progress::Running { started: at }))
    }

    /// The rotation completed, and the new generation ends with `expiry`.
    ///
    /// # Errors
    /// When none is running, it would complete before it began, the replaced credentials had expired, or the new ones
    /// have.
    pub fn completed(self, at: UtcDateTime, expiry: UtcDateTime) -> Result<Self, FactsError> {
        let Progress::Running { started } = self.progress else { return Err(FactsError::NotRunning) };
        let completed = Self::new(expiry, Progress::Completed { at });
        if whole_second_from(at) < started {
            return Err(FactsError::CompletedBeforeStart { started });
        }
        self.before_expiry(at)?;
        completed.before_expiry(at)?;
        Ok(completed)
    }

    fn before_expiry(&self, at: UtcDateTime) -> Result<(), FactsError> {
        if at >= self.expiry { Err(FactsError::Expired { expiry: self.expiry }) } else { Ok(()) }
    }
}

fn whole_second_from(moment: UtcDateTime) -> UtcDateTime {
    let whole = moment.truncate_to_second();
    if whole == moment { whole } else { whole.saturating_add(Duration::SECOND) }
}

/// Why what happened does not fit what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactsError {
    /// A rotation is running.
    AlreadyRunning {
        /// Since when.
        since: UtcDateTime,
    },
    /// No rotation is running.
    NotRunning,
    /// A rotation ends after it begins.
    CompletedBeforeStart {
        /// When it began.
        started: UtcDateTime,
    },
    /// The credentials have expired: what comes after that is recovery, and no rotation.
    Expired {
        /// When.
        expiry: UtcDateTime,
    },
}

impl fmt::Display for FactsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyRunning { since } => write!(f, "a rotation is running since {since}"),
            Self::NotRunning => f.write_str("no rotation is running that could complete"),
            Self::CompletedBeforeStart { started } => write!(f, "the rotation began only at {started}"),
            Self::Expired { expiry } => {
                write!(f, "the credentials have expired at {expiry}; a rotation begins and completes before")
            }
        }
    }
}

impl core::error::Error for FactsError {}

/// How well a set of credentials is. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Nothing to be told.
    Healthy,
    /// They expire soon, and the user is told. The insight stays up while health is any worse.
    Insight,
    /// They are about to expire (GKE's state DEGRADED).
    Degraded,
    /// They have expired.
    ///
    /// GKE states both that such a cluster may be unrecoverable and that it is. It is, as far as a rotation goes.
    Unrecoverable,
}

impl Health {
    /// Every one, from best to worst.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Insight, Self::Degraded, Self::Unrecoverable];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Insight => "insight",
            Self::Degraded => "degraded",
            Self::Unrecoverable => "unrecoverable",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What is to be attempted now without a user.
///
/// Both stay due until they have happened. The attempts count from one and follow from the time alone, so one that
/// was slept through is not made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A rotation is to begin.
    Start {
        /// The number of the attempt.
        attempt: u32,
    },
    /// The running rotation is to complete.
    Completion {
        /// The number of the attempt.
        attempt: u32,
    },
}

/// Where a set of credentials stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// How well it is.
    pub health: Health,
    /// What is to be attempted.
    pub due: Option<Due>,
    /// Whether a rotation is running.
    pub rotating: bool,
    /// Whether what is shown of it elsewhere may still be what was true before the last completion.
    pub settling: bool,
    /// What is left until the expiry; negative after it.
    pub left: Duration,
}

impl Standing {
    /// The whole days that are left. `-1` in the first day after the expiry.
    #[must_use]
    pub const fn days_left(&self) -> i64 {
        self.left.whole_seconds().div_euclid(Duration::DAY.whole_seconds())
    }
}

impl Thresholds {
    /// Where credentials stand at `now`, which a caller with a clock that may step back takes as the latest it has seen.
    ///
    /// Each threshold belongs to what it begins: at 30 days to the second a start is due. The credentials have expired
    /// when their last second begins. RFC 5280 4.1.2.5 counts that second as valid and webpki follows; OpenSSL 3 counts
    /// it as over, and Go whatever follows its first instant. A path holds while both of its ends accept.
    #[must_use]
    pub fn standing(&self, facts: &Facts, now: UtcDateTime) -> Standing {
        let left = facts.expiry - now;
        let within = |threshold: Option<Duration>| threshold.is_some_and(|distance| left <= distance);
        let health = match () {
            () if left <= Duration::ZERO => Health::Unrecoverable,
            () if within(self.spec().degraded) => Health::Degraded,
            () if within(self.spec().insight) => Health::Insight,
            () => Health::Healthy,
        };
        let attempts = self.attempts(facts).filter(|attempts| attempts.first <= now && now < facts.expiry);
        let due = attempts.map(|attempts| attempts.due(now));
        let settles = self.settles(facts);
        Standing {
            health,
            due,
            rotating: matches!(facts.progress, Progress::Running { .. }),
            settling: settles.is_some_and(|until| now < until),
            left,
        }
    }

    /// The first instant after `now` at which [`standing`](Self::standing) says something else, but for the time that
    /// is left. `None` when nothing is to come.
    #[must_use]
    pub fn next_change(&self, facts: &Facts, now: UtcDateTime) -> Option<UtcDateTime> {
        let before_expiry = |distance: Option<Duration>| Some(facts.expiry.saturating_sub(distance?));
        let attempt = self.attempts(facts).map(|attempts| attempts.after(now)).filter(|next| *next < facts.expiry);
        let changes = [
            before_expiry(self.spec().insight),
            before_expiry(self.spec().degraded),
            Some(facts.expiry),
            attempt,
            self.settles(facts),
        ];
        changes.into_iter().flatten().filter(|change| *change > now).min()
    }

    /// What is attempted without a user as the facts are, whether or not it is time.
    fn attempts(&self, facts: &Facts) -> Option<Attempts> {
        let retry = self.spec().retry;
        match facts.progress {
            Progress::Running { started } => {
                let first = started.saturating_add(self.spec().completion_attempt_after_start?);
                Some(Attempts { first, retry, of: |attempt| Due::Completion { attempt } })
            }
            Progress::Idle | Progress::Completed { .. } => {
                let first = facts.expiry.saturating_sub(self.spec().automatic_start?);
                Some(Attempts { first, retry, of: |attempt| Due::Start { attempt } })
            }
        }
    }

    fn settles(&self, facts: &Facts) -> Option<UtcDateTime> {
        match facts.progress {
            Progress::Completed { at } => Some(at.saturating_add(self.spec().insight_settles)),
            Progress::Idle | Progress::Running { .. } => None,
        }
    }
}

/// The first attempt, and one more each time `retry` has passed.
struct Attempts {
    first: UtcDateTime,
    retry: Duration,
    of: fn(u32) -> Due,
}

impl Attempts {
    /// How many intervals have passed since the first attempt. `retry` is a second or more.
    fn passed(&self, now: UtcDateTime) -> i64 {
        (now - self.first).whole_seconds() / self.retry.whole_seconds().max(1)
    }

    fn due(&self, now: UtcDateTime) -> Due {
        (self.of)(u32::try_from(self.passed(now).saturating_add(1)).unwrap_or(u32::MAX))
    }

    fn after(&self, now: UtcDateTime) -> UtcDateTime {
        if now < self.first {
            return self.first;
        }
        let seconds = self.passed(now).saturating_add(1).saturating_mul(self.retry.whole_seconds());
        self.first.saturating_add(Duration::seconds(seconds))
    }
}

#[cfg(test)]
#[path = "schedule/tests.rs"]
mod tests;
