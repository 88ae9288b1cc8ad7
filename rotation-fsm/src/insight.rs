//! What a user is told about credentials that expire. It changes nothing and begins nothing.

use core::fmt;

use pki_core::ClusterId;
use time::{Duration, UtcDateTime};

use crate::maintenance::Rfc3339;
use crate::schedule::{Facts, Health, Thresholds};

/// The credentials of a cluster expire soon or have expired: insight and recommendation in one.
///
/// Its [`Display`](fmt::Display) is the text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insight {
    cluster: ClusterId,
    expiry: UtcDateTime,
    expired: bool,
    feasibility: Feasibility,
    settles: Duration,
    completed: Option<UtcDateTime>,
}

/// Whether a rotation that begins now would complete before the credentials expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feasibility {
    /// Nobody has rehearsed it.
    #[default]
    Unknown,
    /// It would.
    Fits,
    /// It would not.
    AtRisk {
        /// When it would complete.
        completes_at: UtcDateTime,
    },
}

impl Insight {
    /// The subtype by which GKE's Recommender API lists it.
    pub const SUBTYPE: &'static str = "CLUSTER_CA_EXPIRATION";

    /// What is to be told about a cluster at `now`: something from the threshold on, after the expiry as well.
    ///
    /// `None` where there is nothing to tell, and always for units whose thresholds have no insight.
    #[must_use]
    pub fn of(cluster: &ClusterId, thresholds: &Thresholds, facts: &Facts, now: UtcDateTime) -> Option<Self> {
        thresholds.spec().insight?;
        let health = thresholds.standing(facts, now).health;
        (health >= Health::Insight).then(|| Self {
            cluster: cluster.clone(),
            expiry: facts.expiry(),
            expired: health == Health::Unrecoverable,
            feasibility: Feasibility::Unknown,
            settles: thresholds.spec().insight_settles,
            completed: None,
        })
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The last second of the credentials that expire first.
    #[must_use]
    pub const fn expiry(&self) -> UtcDateTime {
        self.expiry
    }

    /// Whether that was over when the insight was made.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        self.expired
    }

    /// What a rehearsal found.
    #[must_use]
    pub const fn feasibility(&self) -> Feasibility {
        self.feasibility
    }

    /// The same insight, with when a rotation that begins now would complete.
    ///
    /// A rotation that completes when the last second begins, or later, is at risk: see [`Thresholds::standing`].
    #[must_use]
    pub fn rehearsed(mut self, completes_at: UtcDateTime) -> Self {
        let late = completes_at >= self.expiry;
        self.feasibility = if late { Feasibility::AtRisk { completes_at } } else { Feasibility::Fits };
        self
    }

    /// The same insight, once the rotation it asks for has completed.
    #[must_use]
    pub const fn resolved(mut self, completed: UtcDateTime) -> Self {
        self.completed = Some(completed);
        self
    }

    /// Whether a surface may show this insight at `now`.
    ///
    /// Always while it is unresolved. GKE states that an insight may take up to 36 hours to follow a completion; at
    /// 36 hours to the second whoever shows it is wrong.
    #[must_use]
    pub fn is_current(&self, now: UtcDateTime) -> bool {
        self.completed.is_none_or(|completed| now < completed.saturating_add(self.settles))
    }
}

impl fmt::Display for Insight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cluster, expiry) = (&self.cluster, Rfc3339(self.expiry));
        let verb = if self.expired { "have expired" } else { "expire" };
        write!(f, "{}: the credentials of cluster `{cluster}` {verb} at {expiry}", Self::SUBTYPE)?;
        f.write_str("; credential rotation must be done for this cluster")?;
        if !self.expired {
            f.write_str(", and be complete by then")?;
        }
        match self.feasibility {
            Feasibility::AtRisk { completes_at } => {
                write!(f, "; at risk: a rotation that begins now completes at {}", Rfc3339(completes_at))
            }
            Feasibility::Unknown | Feasibility::Fits => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::{Date, Month, Time};

    use super::*;
    use crate::schedule::Progress;

    const DAY: Duration = Duration::DAY;
    const SECOND: Duration = Duration::SECOND;
    const EXPIRY: UtcDateTime = date(2024, Month::January, 6);

    const fn date(year: i32, month: Month, day: u8) -> UtcDateTime {
        match Date::from_calendar_date(year, month, day) {
            Ok(date) => UtcDateTime::new(date, Time::MIDNIGHT),
            Err(_) => panic!("no such day"),
        }
    }

    fn insight(thresholds: Thresholds, now: UtcDateTime) -> Option<Insight> {
        Insight::of(&"prod-1".parse().unwrap(), &thresholds, &Facts::new(EXPIRY, Progress::Idle), now)
    }

    #[test]
    fn it_is_raised_at_180_days_and_stays_after_the_expiry() {
        assert_eq!(insight(Thresholds::GKE_CREDENTIALS, EXPIRY - DAY * 180 - SECOND), None);
        for now in [EXPIRY - DAY * 180, EXPIRY - DAY * 7, EXPIRY - SECOND] {
            let insight = insight(Thresholds::GKE_CREDENTIALS, now).unwrap();
            assert_eq!((insight.expiry(), insight.is_expired()), (EXPIRY, false));
            assert_eq!(insight.cluster().as_str(), "prod-1");
        }
        for now in [EXPIRY, EXPIRY + DAY * 1_000] {
            assert!(insight(Thresholds::GKE_CREDENTIALS, now).unwrap().is_expired());
        }
    }

    #[test]
    fn what_is_managed_for_the_user_is_never_told() {
        for now in [EXPIRY - SECOND, EXPIRY, EXPIRY + DAY] {
            assert_eq!(insight(Thresholds::GKE_MANAGED, now), None);
        }
    }

    #[test]
    fn the_texts() {
        let soon = insight(Thresholds::GKE_CREDENTIALS, EXPIRY - DAY * 32).unwrap();
        assert_eq!(
            soon.to_string(),
            "CLUSTER_CA_EXPIRATION: the credentials of cluster `prod-1` expire at 2024-01-06T00:00:00Z; credential \
             rotation must be done for this cluster, and be complete by then"
        );
        assert_eq!(
            soon.rehearsed(EXPIRY).to_string(),
            "CLUSTER_CA_EXPIRATION: the credentials of cluster `prod-1` expire at 2024-01-06T00:00:00Z; credential \
             rotation must be done for this cluster, and be complete by then; at risk: a rotation that begins now \
             completes at 2024-01-06T00:00:00Z"
        );
        assert_eq!(
            insight(Thresholds::GKE_CREDENTIALS, EXPIRY).unwrap().to_string(),
            "CLUSTER_CA_EXPIRATION: the credentials of cluster `prod-1` have expired at 2024-01-06T00:00:00Z; \
             credential rotation must be done for this cluster"
        );
    }

    #[test]
    fn a_rehearsal_that_ends_in_the_last_second_or_later_is_at_risk() {
        let soon = insight(Thresholds::GDC, EXPIRY - DAY).unwrap();
        assert_eq!(soon.feasibility(), Feasibility::Unknown);
        assert_eq!(soon.clone().rehearsed(EXPIRY - SECOND).feasibility(), Feasibility::Fits);
        for completes_at in [EXPIRY, EXPIRY + DAY] {
            let feasibility = soon.clone().rehearsed(completes_at).feasibility();
            assert_eq!(feasibility, Feasibility::AtRisk { completes_at });
        }
    }

    #[test]
    fn it_may_be_shown_for_36_hours_after_the_completion_and_not_a_second_longer() {
        let soon = insight(Thresholds::GKE_CREDENTIALS, EXPIRY - DAY * 32).unwrap();
        assert!(soon.is_current(EXPIRY + DAY * 1_000));
        let completed = EXPIRY - DAY * 10;
        let resolved = soon.resolved(completed);
        assert!(resolved.is_current(completed));
        assert!(resolved.is_current(completed + Duration::hours(36) - SECOND));
        assert!(!resolved.is_current(completed + Duration::hours(36)));
    }
}
