//! The distances at which something changes in the life of a set of credentials.

use core::fmt;

use pki_core::{Origin, Preset};
use time::Duration;

use crate::policy::Trigger;

/// Distances to check: what [`Thresholds`] is made from.
///
/// `None` means that this never happens. Begin with one of the presets, `GKE_CREDENTIALS.into()`, or with
/// [`preset`](Self::preset), and change what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct ThresholdsSpec {
    /// So long before the expiry an insight is raised.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds::option"))]
    pub insight: Option<Duration>,
    /// So long before the expiry a rotation is begun without a user.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds::option"))]
    pub automatic_start: Option<Duration>,
    /// So long after the start of a rotation, whoever began it, its completion is attempted without a user.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds::option"))]
    pub completion_attempt_after_start: Option<Duration>,
    /// So long after an automatic start or completion that did not succeed it is attempted again.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds"))]
    pub retry: Duration,
    /// So long before the expiry the cluster is DEGRADED.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds::option"))]
    pub degraded: Option<Duration>,
    /// So long after a completion the insight of before may still be shown.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds"))]
    pub insight_settles: Duration,
}

impl ThresholdsSpec {
    /// What the origin of a hierarchy states for a unit that is begun in this way.
    #[must_use]
    pub const fn preset(origin: Origin, trigger: Trigger) -> Self {
        match (trigger, origin) {
            (Trigger::Automatic { before_expiry }, _) => {
                Self { automatic_start: Some(before_expiry), ..Thresholds::GKE_MANAGED.0 }
            }
            (Trigger::User, Origin::Preset(Preset::Gke(_))) => Thresholds::GKE_CREDENTIALS.0,
            (Trigger::User, Origin::Preset(Preset::Gdc)) => Thresholds::GDC.0,
            (Trigger::User, _) => Thresholds::EMBEDDER.0,
        }
    }
}

impl From<Thresholds> for ThresholdsSpec {
    fn from(thresholds: Thresholds) -> Self {
        thresholds.0
    }
}

impl TryFrom<ThresholdsSpec> for Thresholds {
    type Error = ThresholdsError;

    fn try_from(spec: ThresholdsSpec) -> Result<Self, ThresholdsError> {
        Self::new(spec)
    }
}

/// The distances at which something changes in the life of a set of credentials, in whole seconds and in an order
/// that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "ThresholdsSpec", into = "ThresholdsSpec"))]
pub struct Thresholds(ThresholdsSpec);

/// GKE states that a completion which failed is attempted again until the credentials expire, and not how often. Once
/// a day is ours: twenty-two attempts fit between the first and the expiry, and a maintenance window that opens
/// every week meets one each time.
const RETRY: Duration = Duration::days(1);

/// GKE states 36 hours as the longest that its insight takes to follow a completion.
const INSIGHT_SETTLES: Duration = Duration::hours(36);

/// As far as a threshold can lie from its expiry. No authority of a cluster lives longer.
const LONGEST: Duration = Duration::days(36_525);

impl Thresholds {
    /// GKE's credential rotation, as GKE states it: an insight from 180 days before the expiry, an automatic start from
    /// 30 days before it, attempts to complete from 7 days after any start, DEGRADED from 7 days before the expiry.
    pub const GKE_CREDENTIALS: Self = Self(ThresholdsSpec {
        insight: Some(Duration::days(180)),
        automatic_start: Some(Duration::days(30)),
        completion_attempt_after_start: Some(Duration::days(7)),
        retry: RETRY,
        degraded: Some(Duration::days(7)),
        insight_settles: INSIGHT_SETTLES,
    });

    /// What GKE rotates by itself, such as its etcd authorities: begun automatically, never the user's concern. GKE
    /// states that they rotate before they expire and not when; 30 days is when it begins that of a cluster root.
    /// There is no completion to be asked for: such a rotation runs to its end.
    pub const GKE_MANAGED: Self = Self(ThresholdsSpec {
        insight: None,
        automatic_start: Some(Duration::days(30)),
        completion_attempt_after_start: None,
        retry: RETRY,
        degraded: None,
        insight_settles: INSIGHT_SETTLES,
    });

    /// GDC's CAs, which nothing rotates by itself: an insight and no more. The 180 days are GKE's; GDC states none.
    pub const GDC: Self = Self(ThresholdsSpec {
        insight: Some(Duration::days(180)),
        automatic_start: None,
        completion_attempt_after_start: None,
        retry: RETRY,
        degraded: None,
        insight_settles: INSIGHT_SETTLES,
    });

    /// kubeadm, and hierarchies built from parts: nobody states anything, so the distances are a proposal to the
    /// embedder, and nothing is automatic unless the embedder says so.
    pub const EMBEDDER: Self = Self(ThresholdsSpec { degraded: Some(Duration::days(7)), ..Self::GDC.0 });

    /// Checks distances.
    ///
    /// # Errors
    /// When one is not of whole seconds, is not above zero (the settling may be zero) or is longer than a hundred
    /// years; or when two are in an order in which the later could never do its work.
    pub fn new(spec: ThresholdsSpec) -> Result<Self, ThresholdsError> {
        use Threshold as T;
        let given = [
            (T::Insight, spec.insight),
            (T::AutomaticStart, spec.automatic_start),
            (T::CompletionAttempt, spec.completion_attempt_after_start),
            (T::Retry, Some(spec.retry)),
            (T::Degraded, spec.degraded),
            // Zero is as good as any here, so it is checked as if it were a second longer.
            (T::InsightSettles, Some(spec.insight_settles.saturating_add(Duration::SECOND))),
        ];
        for (threshold, distance) in given {
            if let Some(found) = distance.filter(|distance| !is_usable(*distance)) {
                return Err(ThresholdsError::OutOfRange { threshold, found });
            }
        }
        let farther = |first: (T, Option<Duration>), second: (T, Option<Duration>)| match (first.1, second.1) {
            (Some(far), Some(near)) if far <= near => Err(ThresholdsError::Order { first: first.0, second: second.0 }),
            _ => Ok(()),
        };
        let (insight, start) = ((T::Insight, spec.insight), (T::AutomaticStart, spec.automatic_start));
        let degraded = (T::Degraded, spec.degraded);
        farther(insight, start)?;
        farther(insight, degraded)?;
        farther(start, degraded)?;
        farther(start, (T::CompletionAttempt, spec.completion_attempt_after_start))?;
        Ok(Self(spec))
    }

    /// What the origin of a hierarchy states for a unit that is begun in this way.
    ///
    /// # Errors
    /// When the distance in the trigger cannot be used.
    pub fn preset(origin: Origin, trigger: Trigger) -> Result<Self, ThresholdsError> {
        Self::new(ThresholdsSpec::preset(origin, trigger))
    }

    /// The distances.
    #[must_use]
    pub const fn spec(&self) -> &ThresholdsSpec {
        &self.0
    }
}

fn is_usable(distance: Duration) -> bool {
    distance.subsec_nanoseconds() == 0 && distance >= Duration::SECOND && distance <= LONGEST
}

/// One of the distances of [`ThresholdsSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threshold {
    /// [`ThresholdsSpec::insight`].
    Insight,
    /// [`ThresholdsSpec::automatic_start`].
    AutomaticStart,
    /// [`ThresholdsSpec::completion_attempt_after_start`].
    CompletionAttempt,
    /// [`ThresholdsSpec::retry`].
    Retry,
    /// [`ThresholdsSpec::degraded`].
    Degraded,
    /// [`ThresholdsSpec::insight_settles`].
    InsightSettles,
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insight => "insight",
            Self::AutomaticStart => "automatic start",
            Self::CompletionAttempt => "completion attempt",
            Self::Retry => "retry",
            Self::Degraded => "degraded",
            Self::InsightSettles => "insight settles",
        })
    }
}

/// Why distances are no thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThresholdsError {
    /// Not of whole seconds, not above zero, or longer than a hundred years.
    OutOfRange {
        /// Which one.
        threshold: Threshold,
        /// Its length.
        found: Duration,
    },
    /// The first has to be longer than the second.
    Order {
        /// The one that has to be longer.
        first: Threshold,
        /// The one that is not shorter.
        second: Threshold,
    },
}

impl fmt::Display for ThresholdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { threshold, found } => {
                write!(f, "the threshold `{threshold}` is {found}; expected whole seconds from one to a hundred years")
            }
            Self::Order { first, second } => {
                write!(f, "the threshold `{first}` has to be longer than `{second}`, or one of them comes to nothing")
            }
        }
    }
}

impl core::error::Error for ThresholdsError {}

#[cfg(test)]
mod tests {
    use pki_core::{Hierarchy, Storage};

    use super::*;
    use crate::policy::{Unit, units};

    const DAY: Duration = Duration::DAY;

    fn spec() -> ThresholdsSpec {
        Thresholds::GKE_CREDENTIALS.into()
    }

    #[test]
    fn the_presets_keep_their_own_rules() {
        for preset in [Thresholds::GKE_CREDENTIALS, Thresholds::GKE_MANAGED, Thresholds::GDC, Thresholds::EMBEDDER] {
            assert_eq!(Thresholds::new(preset.into()), Ok(preset));
        }
    }

    #[test]
    fn gke_states_180_30_7_and_36_hours() {
        let gke = Thresholds::GKE_CREDENTIALS.spec();
        assert_eq!(gke.insight, Some(DAY * 180));
        assert_eq!(gke.automatic_start, Some(DAY * 30));
        assert_eq!(gke.completion_attempt_after_start, Some(DAY * 7));
        assert_eq!(gke.degraded, Some(DAY * 7));
        assert_eq!(gke.insight_settles, Duration::hours(36));
    }

    #[test]
    fn each_unit_of_a_preset_has_the_thresholds_of_its_origin() {
        for hierarchy in Preset::ALL.map(Hierarchy::preset) {
            for policy in units(&hierarchy).iter() {
                let expected = match (hierarchy.origin(), policy.unit) {
                    (Origin::Preset(Preset::Gke(_)), Unit::Credentials) => Thresholds::GKE_CREDENTIALS,
                    (Origin::Preset(Preset::Gke(_)), _) => Thresholds::GKE_MANAGED,
                    (Origin::Preset(Preset::Gdc), _) => Thresholds::GDC,
                    _ => Thresholds::EMBEDDER,
                };
                assert_eq!(Thresholds::preset(hierarchy.origin(), policy.trigger), Ok(expected), "{}", policy.unit);
            }
        }
        assert_eq!(Thresholds::preset(Origin::Custom, Trigger::User), Ok(Thresholds::EMBEDDER));
    }

    #[test]
    fn nothing_is_automatic_in_gdc_and_by_default_nowhere_but_in_gke() {
        for thresholds in [Thresholds::GDC, Thresholds::EMBEDDER] {
            assert_eq!(thresholds.spec().automatic_start, None);
            assert_eq!(thresholds.spec().completion_attempt_after_start, None);
        }
    }

    #[test]
    fn a_trigger_that_cannot_be_used_is_an_error() {
        let origin = Origin::Preset(Preset::Gke(Storage::Etcd));
        let trigger = |before_expiry| Trigger::Automatic { before_expiry };
        let found = Duration::ZERO;
        let error = ThresholdsError::OutOfRange { threshold: Threshold::AutomaticStart, found };
        assert_eq!(Thresholds::preset(origin, trigger(found)), Err(error));
        let ten = Thresholds::preset(origin, trigger(DAY * 10)).unwrap();
        assert_eq!(ten.spec().automatic_start, Some(DAY * 10));
    }

    #[test]
    fn a_distance_is_of_whole_seconds_from_one_to_a_hundred_years() {
        type Change = fn(&mut ThresholdsSpec, Duration);
        let fields: [(Threshold, Change); 6] = [
            (Threshold::Insight, |spec, value| spec.insight = Some(value)),
            (Threshold::AutomaticStart, |spec, value| spec.automatic_start = Some(value)),
            (Threshold::CompletionAttempt, |spec, value| spec.completion_attempt_after_start = Some(value)),
            (Threshold::Retry, |spec, value| spec.retry = value),
            (Threshold::Degraded, |spec, value| spec.degraded = Some(value)),
            (Threshold::InsightSettles, |spec, value| spec.insight_settles = value),
        ];
        for (threshold, set) in fields {
            for bad in [Duration::MIN, -DAY, Duration::seconds(-1), Duration::milliseconds(1_500), Duration::MAX] {
                let mut spec = spec();
                set(&mut spec, bad);
                let error = Thresholds::new(spec).unwrap_err();
                assert!(matches!(error, ThresholdsError::OutOfRange { threshold: found, .. } if found == threshold));
                assert!(error.to_string().contains(&format!("`{threshold}`")), "{error}");
            }
            let mut spec = spec();
            set(&mut spec, Duration::ZERO);
            assert_eq!(Thresholds::new(spec).is_ok(), threshold == Threshold::InsightSettles, "{threshold}");
        }
        let longest = ThresholdsSpec { insight: Some(LONGEST), ..spec() };
        assert!(Thresholds::new(longest).is_ok());
        assert!(Thresholds::new(ThresholdsSpec { insight: Some(LONGEST + Duration::SECOND), ..spec() }).is_err());
    }

    #[test]
    fn thresholds_lie_in_the_order_in_which_they_help() {
        let order = |spec, first, second| {
            assert_eq!(Thresholds::new(spec), Err(ThresholdsError::Order { first, second }));
        };
        let (insight, start, degraded) = (Threshold::Insight, Threshold::AutomaticStart, Threshold::Degraded);
        order(ThresholdsSpec { insight: Some(DAY * 30), ..spec() }, insight, start);
        order(ThresholdsSpec { insight: Some(DAY * 7), automatic_start: None, ..spec() }, insight, degraded);
        order(ThresholdsSpec { degraded: Some(DAY * 30), ..spec() }, start, degraded);
        let late = ThresholdsSpec { completion_attempt_after_start: Some(DAY * 30), ..spec() };
        order(late, start, Threshold::CompletionAttempt);
    }
}
