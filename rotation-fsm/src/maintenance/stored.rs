//! Calendar and policy as they are stored: plain text and numbers, judged by the same constructors when they are read.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use time::{Duration, UtcDateTime};

use super::StepKind;
use super::calendar::CalendarError;
use super::exclusion::{ExclusionError, ExclusionName, ExclusionScope, MaintenanceExclusion};
use super::instant::{InstantError, Rfc3339, parse_instant};
use super::policy::{MaintenancePolicy, MaintenanceRule};
use super::recurrence::{Recurrence, RecurrenceError};
use super::window::{MaintenanceWindow, WindowError};

/// An instant, written as RFC 3339 has it and read as [`parse_instant`] does.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Instant(UtcDateTime);

impl Clone for Instant {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl TryFrom<String> for Instant {
    type Error = InstantError;

    fn try_from(text: String) -> Result<Self, InstantError> {
        parse_instant(&text).map(Self)
    }
}

impl From<Instant> for String {
    fn from(instant: Instant) -> Self {
        Rfc3339(instant.0).to_string()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    start: Instant,
    end: Instant,
    recurrence: Recurrence,
}

impl From<MaintenanceWindow> for Window {
    fn from(window: MaintenanceWindow) -> Self {
        Self { start: Instant(window.start()), end: Instant(window.end()), recurrence: window.recurrence() }
    }
}

impl TryFrom<Window> for MaintenanceWindow {
    type Error = WindowError;

    fn try_from(window: Window) -> Result<Self, WindowError> {
        Self::new(window.start.0, window.end.0, window.recurrence)
    }
}

impl TryFrom<String> for Recurrence {
    type Error = RecurrenceError;

    fn try_from(text: String) -> Result<Self, RecurrenceError> {
        text.parse()
    }
}

impl From<Recurrence> for String {
    fn from(recurrence: Recurrence) -> Self {
        recurrence.to_string()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exclusion {
    name: ExclusionName,
    start: Instant,
    end: Instant,
    scope: ExclusionScope,
}

impl From<MaintenanceExclusion> for Exclusion {
    fn from(exclusion: MaintenanceExclusion) -> Self {
        let (start, end) = (Instant(exclusion.start()), Instant(exclusion.end()));
        Self { name: exclusion.name().clone(), start, end, scope: exclusion.scope() }
    }
}

impl TryFrom<Exclusion> for MaintenanceExclusion {
    type Error = ExclusionError;

    fn try_from(exclusion: Exclusion) -> Result<Self, ExclusionError> {
        Self::new(exclusion.name, exclusion.start.0, exclusion.end.0, exclusion.scope)
    }
}

impl TryFrom<String> for ExclusionName {
    type Error = ExclusionError;

    fn try_from(text: String) -> Result<Self, ExclusionError> {
        text.parse()
    }
}

impl From<ExclusionName> for String {
    fn from(name: ExclusionName) -> Self {
        name.as_str().to_owned()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calendar {
    windows: Windows,
    exclusions: AtMost<MaintenanceExclusion, { super::Calendar::MAX_EXCLUSIONS }>,
}

/// `"always"`, or `{"within": […]}`: a list that was forgotten does not open a cluster.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Windows {
    Always,
    Within(AtMost<MaintenanceWindow, { super::Calendar::MAX_WINDOWS }>),
}

impl From<super::Calendar> for Calendar {
    fn from(calendar: super::Calendar) -> Self {
        let windows = calendar.windows().to_vec();
        let windows = if calendar.has_windows() { Windows::Within(AtMost(windows)) } else { Windows::Always };
        Self { windows, exclusions: AtMost(calendar.exclusions().to_vec()) }
    }
}

impl TryFrom<Calendar> for super::Calendar {
    type Error = CalendarError;

    fn try_from(calendar: Calendar) -> Result<Self, CalendarError> {
        let open = match calendar.windows {
            Windows::Always => Self::always(),
            Windows::Within(windows) => Self::within(windows.0)?,
        };
        open.with_exclusions(calendar.exclusions.0)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Policy {
    start: Rule,
    control_plane: Rule,
    recreate_nodes: Rule,
    complete: Rule,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Rule {
    Respect,
    IgnoreWithinSeconds(u64),
    Ignore,
}

impl From<MaintenancePolicy> for Policy {
    fn from(policy: MaintenancePolicy) -> Self {
        let rule = |step| match policy.rule(step) {
            MaintenanceRule::Respect => Rule::Respect,
            // Never negative in a policy.
            MaintenanceRule::IgnoreWithin(within) => Rule::IgnoreWithinSeconds(within.whole_seconds().unsigned_abs()),
            MaintenanceRule::Ignore => Rule::Ignore,
        };
        let [start, control_plane, recreate_nodes, complete] = StepKind::ALL.map(rule);
        Self { start, control_plane, recreate_nodes, complete }
    }
}

impl TryFrom<Policy> for MaintenancePolicy {
    type Error = TooFarFromExpiry;

    fn try_from(policy: Policy) -> Result<Self, TooFarFromExpiry> {
        let rules = [policy.start, policy.control_plane, policy.recreate_nodes, policy.complete];
        StepKind::ALL.into_iter().zip(rules).try_fold(Self::respect(), |policy, (step, rule)| {
            let rule = match rule {
                Rule::Respect => MaintenanceRule::Respect,
                Rule::IgnoreWithinSeconds(within) => {
                    let seconds = i64::try_from(within).map_err(|_| TooFarFromExpiry { found: within })?;
                    MaintenanceRule::IgnoreWithin(Duration::seconds(seconds))
                }
                Rule::Ignore => MaintenanceRule::Ignore,
            };
            Ok(policy.with(step, rule))
        })
    }
}

/// A duration before the expiry that no duration of time holds.
pub(super) struct TooFarFromExpiry {
    found: u64,
}

impl fmt::Display for TooFarFromExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`ignoreWithinSeconds` is {}, limit {}", self.found, i64::MAX)
    }
}

/// A list that is refused as soon as it is too long, before the rest of it is read.
#[derive(Serialize)]
#[serde(transparent)]
struct AtMost<T, const N: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
            type Value = AtMost<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {N}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == N {
                        return Err(A::Error::invalid_length(N + 1, &self));
                    }
                    items.push(item);
                }
                Ok(AtMost(items))
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}
