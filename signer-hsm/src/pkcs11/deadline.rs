//! Until when a call may take. No decision but this one depends on the clock.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a call that may never return is given up by the monotonic clock")]
    pub(super) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// The time that is left, none if it has passed.
    #[expect(clippy::disallowed_methods, reason = "a call that may never return is given up by the monotonic clock")]
    pub(super) fn left(self) -> Option<Duration> {
        let left = self.0.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        (!left.is_zero()).then_some(left)
    }

    /// A deadline at half the time that is left.
    pub(super) fn half(self) -> Self {
        self.left().map_or(self, |left| Self::after(left / 2))
    }
}
