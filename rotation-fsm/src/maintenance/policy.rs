//! Who obeys the calendar, and from when on no longer: policy as data, and the decision.

use core::fmt;
use std::collections::BTreeSet;

use time::{Duration, UtcDateTime};

use super::calendar::{Availability, Calendar, Closure};
use super::exclusion::ExclusionName;
use super::instant::{instant, second_of};
use super::{StepKind, Work};
use crate::topology::PoolName;

/// So near to its expiry GKE no longer lets maintenance keep a cluster from its new credentials.
const GKE_NEAR_EXPIRY: Duration = Duration::days(30);

/// Whether a kind of step obeys the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaintenanceRule {
    /// Always.
    Respect,
    /// Until so long before the expiry, and from that instant on no longer, after the expiry neither.
    ///
    /// GKE's page on credential rotation says in one translation that the calendar may be ignored in the days *after* the
    /// expiry. Before it is meant: the same sentence wants to save the cluster, which nothing can once it has expired.
    IgnoreWithin(Duration),
    /// Never.
    Ignore,
}

/// For each kind of step whether it obeys the calendar. The durations are whole seconds and not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "super::stored::Policy", into = "super::stored::Policy"))]
pub struct MaintenancePolicy {
    start: MaintenanceRule,
    control_plane: MaintenanceRule,
    recreate_nodes: MaintenanceRule,
    complete: MaintenanceRule,
}

impl MaintenancePolicy {
    /// Every step obeys the calendar, however near the expiry. The embedder decides what happens then.
    #[must_use]
    pub const fn respect() -> Self {
        Self::all(MaintenanceRule::Respect)
    }

    /// As GKE's page on cluster trust has it: the automatic rotation, which begins 30 days before the expiry, ignores
    /// maintenance windows. So every step does within those 30 days; before them every step obeys.
    #[must_use]
    pub const fn gke_000() -> Self {
        Self::all(MaintenanceRule::IgnoreWithin(GKE_NEAR_EXPIRY))
    }

    /// As GKE's page on credential rotation has it: with more than 30 days to the expiry every step obeys. Within them the
    /// start ignores the calendar; the right to do so with the other steps is reserved, and `override_others` says
    /// whether it is used. If it is, this is [`gke_000`](Self::gke_000).
    #[must_use]
    pub const fn gke_001(override_others: bool) -> Self {
        let near = MaintenanceRule::IgnoreWithin(GKE_NEAR_EXPIRY);
        let others = if override_others { near } else { MaintenanceRule::Respect };
        Self { start: near, control_plane: others, recreate_nodes: others, complete: others }
    }

    const fn all(rule: MaintenanceRule) -> Self {
        Self { start: rule, control_plane: rule, recreate_nodes: rule, complete: rule }
    }

    /// The same policy with another rule for one kind of step. A duration is cut to whole seconds, a negative one to none.
    #[must_use]
    pub const fn with(mut self, step: StepKind, rule: MaintenanceRule) -> Self {
        let rule = match rule {
            MaintenanceRule::IgnoreWithin(within) if within.is_negative() => {
                MaintenanceRule::IgnoreWithin(Duration::ZERO)
            }
            MaintenanceRule::IgnoreWithin(within) => {
                MaintenanceRule::IgnoreWithin(Duration::seconds(within.whole_seconds()))
            }
            rule => rule,
        };
        match step {
            StepKind::Start => self.start = rule,
            StepKind::ControlPlane => self.control_plane = rule,
            StepKind::RecreateNodes => self.recreate_nodes = rule,
            StepKind::Complete => self.complete = rule,
        }
        self
    }

    /// The rule for a kind of step.
    #[must_use]
    pub const fn rule(&self, step: StepKind) -> MaintenanceRule {
        match step {
            StepKind::Start => self.start,
            StepKind::ControlPlane => self.control_plane,
            StepKind::RecreateNodes => self.recreate_nodes,
            StepKind::Complete => self.complete,
        }
    }

    /// Whether a step may be done in the second of `now`, where the credentials end at `expiry`.
    ///
    /// The first that holds decides:
    ///
    /// 1. the calendar is open, and no freeze holds that concerns the step;
    /// 2. somebody ordered the step by hand;
    /// 3. a freeze holds that concerns the step: blocked, however near the expiry;
    /// 4. the rule of the step ignores the calendar, always or so near to the expiry. The instant that lies exactly so
    ///    long before the expiry is near enough: GKE begins on or after the day 30 days before it;
    /// 5. the step is blocked, until the calendar opens or the rule begins to ignore it.
    #[must_use]
    pub fn decide(
        &self,
        calendar: &Calendar,
        work: Work<'_>,
        now: UtcDateTime,
        expiry: UtcDateTime,
        overrides: &Overrides,
    ) -> Permit {
        let step = work.kind();
        let frozen = overrides.is_frozen() && step == StepKind::RecreateNodes;
        let availability = calendar.is_open(step, now);
        if !frozen && matches!(availability, Availability::Open { .. }) {
            let windows = calendar.has_windows();
            return Permit::Allowed(if windows { AllowedBecause::InWindow } else { AllowedBecause::NoCalendar });
        }
        if overrides.is_ordered(work) {
            return Permit::Allowed(AllowedBecause::ManualOverride);
        }
        let (until, why) = match availability {
            Availability::Closed { until, why } if !frozen => (until, why),
            _ => return Permit::Blocked { why: Blocker::Frozen, until: None },
        };
        let ignored_from = match self.rule(step) {
            MaintenanceRule::Respect => None,
            MaintenanceRule::Ignore => return Permit::Allowed(AllowedBecause::Ignored),
            MaintenanceRule::IgnoreWithin(within) => {
                let near = second_of(expiry).saturating_sub(within.whole_seconds());
                if second_of(now) >= near {
                    return Permit::Allowed(AllowedBecause::NearExpiry);
                }
                instant(near)
            }
        };
        Permit::Blocked { why: why.into(), until: until.into_iter().chain(ignored_from).min() }
    }
}

/// What people said over the head of calendar and policy: orders by hand, and the freeze.
///
/// Both hold until they are taken back. GKE lets manual commands override what maintenance blocks, phase by phase; and it
/// can pause the automatic recreation of nodes everywhere during a major event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Overrides {
    frozen: bool,
    steps: BTreeSet<StepKind>,
    pools: BTreeSet<PoolName>,
}

impl Overrides {
    /// Nothing was said.
    #[must_use]
    pub const fn none() -> Self {
        Self { frozen: false, steps: BTreeSet::new(), pools: BTreeSet::new() }
    }

    /// Orders a kind of step; of [`StepKind::RecreateNodes`] that of every pool.
    pub fn order_step(&mut self, step: StepKind) {
        self.steps.insert(step);
    }

    /// Orders the recreation of one pool's nodes.
    pub fn order_pool(&mut self, pool: PoolName) {
        self.pools.insert(pool);
    }

    /// Takes back the order of a kind of step. Orders of single pools stay.
    pub fn withdraw_step(&mut self, step: StepKind) {
        self.steps.remove(&step);
    }

    /// Takes back the order of one pool. An order of every pool stays.
    pub fn withdraw_pool(&mut self, pool: &PoolName) {
        self.pools.remove(pool);
    }

    /// Begins or ends the freeze: while it lasts, nodes are recreated by hand only.
    pub const fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// What outlasts a rotation: orders by hand hold for one, a freeze until it is ended.
    pub(crate) fn frozen_only(&self) -> Self {
        Self { frozen: self.frozen, ..Self::none() }
    }

    /// The pools that somebody ordered, one by one.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &PoolName> {
        self.pools.iter()
    }

    /// Whether the freeze lasts.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Whether somebody ordered this by hand. The order of one pool is none of the step as a whole.
    #[must_use]
    pub fn is_ordered(&self, work: Work<'_>) -> bool {
        self.steps.contains(&work.step) || work.pool.is_some_and(|pool| self.pools.contains(pool))
    }
}

/// Whether a step may be done now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Permit {
    /// It may.
    Allowed(AllowedBecause),
    /// It may not.
    Blocked {
        /// What is in the way.
        why: Blocker,
        /// The first instant at which it may if nobody says otherwise; `None` when waiting alone does not help.
        until: Option<UtcDateTime>,
    },
}

impl Permit {
    /// Whether the step may be done.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Why a step may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AllowedBecause {
    /// A maintenance window is open.
    InWindow,
    /// The calendar has no windows and no exclusion holds: maintenance may happen at any time.
    NoCalendar,
    /// The calendar is closed, but the expiry is too near to wait.
    NearExpiry,
    /// The calendar is closed, but the policy ignores it for this kind of step.
    Ignored,
    /// The calendar is closed or a freeze lasts, but somebody ordered the step by hand.
    ManualOverride,
}

impl fmt::Display for AllowedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InWindow => "in a maintenance window",
            Self::NoCalendar => "maintenance may happen at any time",
            Self::NearExpiry => "the expiry is too near to wait for maintenance",
            Self::Ignored => "the policy ignores maintenance for this step",
            Self::ManualOverride => "ordered by hand",
        })
    }
}

/// What keeps a step from being done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blocker {
    /// No maintenance window is open.
    OutsideWindow,
    /// This maintenance exclusion holds.
    Exclusion(ExclusionName),
    /// The automatic recreation of nodes is frozen.
    Frozen,
}

impl From<Closure> for Blocker {
    fn from(closure: Closure) -> Self {
        match closure {
            Closure::OutsideWindow => Self::OutsideWindow,
            Closure::Exclusion(name) => Self::Exclusion(name),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideWindow => Closure::OutsideWindow.fmt(f),
            Self::Exclusion(name) => write!(f, "in the maintenance exclusion `{name}`"),
            Self::Frozen => f.write_str("the automatic recreation of nodes is frozen"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::instant::parse_instant;
    use super::super::{MaintenanceExclusion, MaintenanceWindow};
    use super::*;

    const EXPIRY: &str = "2024-01-06T00:00:00Z";
    const STEPS: [StepKind; 4] = StepKind::ALL;

    fn at(text: &str) -> UtcDateTime {
        parse_instant(text).unwrap()
    }

    fn pool(name: &str) -> PoolName {
        PoolName::new(name.parse().unwrap())
    }

    /// Open for the first four hours of each Sunday. The days looked at here begin on a Wednesday, Thursday and Friday.
    fn sundays() -> Calendar {
        let (start, end) = ("2023-12-03T00:00:00Z", "2023-12-03T04:00:00Z");
        Calendar::within([MaintenanceWindow::parse(start, end, "FREQ=WEEKLY").unwrap()]).unwrap()
    }

    fn ordered(steps: impl IntoIterator<Item = StepKind>) -> Overrides {
        let mut overrides = Overrides::none();
        steps.into_iter().for_each(|step| overrides.order_step(step));
        overrides
    }

    /// GKE's example: a CA that ends on 2024-01-06 rotates by itself on or after 2023-12-07.
    #[test]
    fn the_presets_of_gke_by_days_step_calendar_and_order() {
        use AllowedBecause::{InWindow, ManualOverride, NearExpiry, NoCalendar};
        let (respect, strict, lenient, cluster_trust) = (
            MaintenancePolicy::respect(),
            MaintenancePolicy::gke_001(false),
            MaintenancePolicy::gke_001(true),
            MaintenancePolicy::gke_000(),
        );
        let near = "2023-12-07T00:00:00Z";
        let sunday = "2023-12-10T00:00:00Z";
        let blocked = |until: &str| Permit::Blocked { why: Blocker::OutsideWindow, until: Some(at(until)) };
        // The window of 2023-12-03 lies before all of them.
        for (now, is_near) in [
            ("2023-12-06T00:00:00Z", false), // 31 days
            ("2023-12-06T23:59:59Z", false), // 30 days and a second
            ("2023-12-07T00:00:00Z", true),  // 30 days
            ("2023-12-08T00:00:00Z", true),  // 29 days
        ] {
            for step in STEPS {
                for policy in [respect, strict, lenient, cluster_trust] {
                    let decide = |calendar: &Calendar, overrides: &Overrides| {
                        policy.decide(calendar, step.into(), at(now), at(EXPIRY), overrides)
                    };
                    // Whether the calendar is ignored near the expiry.
                    let ignores = match policy {
                        _ if policy == respect => false,
                        _ if policy == strict => step == StepKind::Start,
                        _ => true,
                    };
                    let closed = match (ignores, is_near) {
                        (true, true) => Permit::Allowed(NearExpiry),
                        (true, false) => blocked(near),
                        (false, _) => blocked(sunday),
                    };
                    let case = format!("{now} {step} {policy:?}");
                    assert_eq!(decide(&sundays(), &Overrides::none()), closed, "{case}");
                    let others = ordered(STEPS.into_iter().filter(|other| *other != step));
                    assert_eq!(decide(&sundays(), &others), closed, "{case}");
                    assert_eq!(decide(&sundays(), &ordered([step])), Permit::Allowed(ManualOverride), "{case}");
                    let any_time = Calendar::always();
                    assert_eq!(decide(&any_time, &ordered([step])), Permit::Allowed(NoCalendar), "{case}");
                    let daily = Calendar::within([MaintenanceWindow::lasting(
                        at("2023-12-01T00:00:00Z"),
                        Duration::DAY,
                        "FREQ=DAILY".parse().unwrap(),
                    )
                    .unwrap()]);
                    assert_eq!(decide(&daily.unwrap(), &Overrides::none()), Permit::Allowed(InWindow), "{case}");
                }
            }
        }
        assert_eq!(lenient, cluster_trust);
    }

    #[test]
    fn near_is_before_the_expiry_and_lasts_beyond_it() {
        let policy = MaintenancePolicy::gke_001(false);
        let decide =
            |now: &str, step: StepKind| policy.decide(&sundays(), step.into(), at(now), at(EXPIRY), &Overrides::none());
        // 2024-01-06 is a Saturday.
        for now in ["2024-01-05T23:59:59Z", EXPIRY, "2024-01-06T00:00:01Z", "2031-01-01T00:00:00Z"] {
            assert_eq!(decide(now, StepKind::Start), Permit::Allowed(AllowedBecause::NearExpiry), "{now}");
            assert!(!decide(now, StepKind::Complete).is_allowed(), "{now}");
        }
    }

    #[test]
    fn a_rule_that_ignores_needs_no_expiry() {
        let policy = MaintenancePolicy::respect().with(StepKind::Complete, MaintenanceRule::Ignore);
        let (now, far) = (at("2023-12-06T00:00:00Z"), UtcDateTime::MAX);
        let decide = |step: StepKind| policy.decide(&sundays(), step.into(), now, far, &Overrides::none());
        assert_eq!(decide(StepKind::Complete), Permit::Allowed(AllowedBecause::Ignored));
        assert!(STEPS[..3].iter().all(|step| !decide(*step).is_allowed()));
    }

    #[test]
    fn a_freeze_stops_the_recreation_of_nodes_unless_it_is_ordered() {
        let frozen = Permit::Blocked { why: Blocker::Frozen, until: None };
        let by_hand = Permit::Allowed(AllowedBecause::ManualOverride);
        let mut overrides = Overrides::none();
        overrides.set_frozen(true);
        let (a, b) = (pool("pool-a"), pool("pool-b"));
        let recreate = Work::step(StepKind::RecreateNodes);
        // Open and closed, far and near, any rule.
        for calendar in [Calendar::always(), sundays()] {
            for (now, policy) in [
                ("2023-12-03T01:00:00Z", MaintenancePolicy::respect()),
                ("2023-12-06T00:00:00Z", MaintenancePolicy::gke_000()),
                ("2024-01-05T00:00:00Z", MaintenancePolicy::gke_001(true)),
                ("2024-01-05T00:00:00Z", MaintenancePolicy::all(MaintenanceRule::Ignore)),
            ] {
                let decide =
                    |work, overrides: &Overrides| policy.decide(&calendar, work, at(now), at(EXPIRY), overrides);
                for work in [recreate, Work::pool(&a), Work::pool(&b)] {
                    assert_eq!(decide(work, &overrides), frozen, "{now}");
                }
                for step in [StepKind::Start, StepKind::ControlPlane, StepKind::Complete] {
                    assert_eq!(decide(step.into(), &overrides), decide(step.into(), &Overrides::none()));
                }
                let mut one = overrides.clone();
                one.order_pool(a.clone());
                assert_eq!(
                    [decide(Work::pool(&a), &one), decide(Work::pool(&b), &one)],
                    [by_hand.clone(), frozen.clone()]
                );
                assert_eq!(decide(recreate, &one), frozen);
                one.withdraw_pool(&a);
                assert_eq!(one, overrides);
                let mut all = overrides.clone();
                all.order_step(StepKind::RecreateNodes);
                assert!([recreate, Work::pool(&a), Work::pool(&b)].iter().all(|work| decide(*work, &all) == by_hand));
                all.withdraw_step(StepKind::RecreateNodes);
                assert_eq!(decide(Work::pool(&a), &all), frozen);
                all.set_frozen(false);
                assert_eq!(all, Overrides::none());
            }
        }
    }

    #[test]
    fn an_exclusion_is_named_and_ends_by_itself_or_by_the_expiry() {
        let excluded = |end: &str| {
            let exclusion = MaintenanceExclusion::parse("sale", "2023-11-20T00:00:00Z", end, "NO_UPGRADES").unwrap();
            Calendar::always().with_exclusions([exclusion]).unwrap()
        };
        let now = at("2023-11-24T00:00:00Z");
        for (end, until) in [
            ("2023-11-27T00:00:00Z", "2023-11-27T00:00:00Z"),
            ("2023-12-07T00:00:00Z", "2023-12-07T00:00:00Z"),
            ("2024-02-01T00:00:00Z", "2023-12-07T00:00:00Z"),
        ] {
            let none = Overrides::none();
            let decide = |now| {
                MaintenancePolicy::gke_000().decide(&excluded(end), StepKind::Start.into(), now, at(EXPIRY), &none)
            };
            let why = Blocker::Exclusion("sale".parse().unwrap());
            assert_eq!(decide(now), Permit::Blocked { why, until: Some(at(until)) });
            assert!(!decide(at(until) - Duration::SECOND).is_allowed() && decide(at(until)).is_allowed());
        }
    }

    #[test]
    fn a_rule_has_whole_seconds_and_no_debt() {
        let within = |within| MaintenancePolicy::respect().with(StepKind::Start, MaintenanceRule::IgnoreWithin(within));
        assert_eq!(within(Duration::days(-1)), within(Duration::ZERO));
        assert_eq!(within(Duration::milliseconds(1_999)), within(Duration::SECOND));
        let now = at("2023-12-06T00:00:00Z");
        let decide = |policy: MaintenancePolicy| {
            policy.decide(&sundays(), StepKind::Start.into(), now, at(EXPIRY), &Overrides::none())
        };
        assert!(decide(within(Duration::MAX)).is_allowed());
        assert!(!decide(within(Duration::MIN)).is_allowed());
    }
}
