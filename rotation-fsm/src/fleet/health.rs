//! A fleet in four numbers.

use crate::schedule::Health;

/// How many clusters are how well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCounts {
    /// [`Health::Healthy`].
    pub healthy: usize,
    /// [`Health::Insight`].
    pub insight: usize,
    /// [`Health::Degraded`].
    pub degraded: usize,
    /// [`Health::Unrecoverable`].
    pub unrecoverable: usize,
}

impl HealthCounts {
    /// How many are that well.
    #[must_use]
    pub const fn of(&self, health: Health) -> usize {
        match health {
            Health::Healthy => self.healthy,
            Health::Insight => self.insight,
            Health::Degraded => self.degraded,
            Health::Unrecoverable => self.unrecoverable,
        }
    }

    /// Every cluster is counted once.
    pub(super) const fn sum(&self) -> usize {
        self.healthy + self.insight + self.degraded + self.unrecoverable
    }

    pub(super) const fn count(&mut self, health: Health) -> &mut usize {
        match health {
            Health::Healthy => &mut self.healthy,
            Health::Insight => &mut self.insight,
            Health::Degraded => &mut self.degraded,
            Health::Unrecoverable => &mut self.unrecoverable,
        }
    }
}
