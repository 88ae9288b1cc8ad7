//! A fleet tells every change once, in order, and forgets nobody.

use proptest::prelude::*;

use super::*;
use crate::schedule::{Due, FactsError, Progress, ThresholdsSpec};

const DAY: Duration = Duration::DAY;
const SECOND: Duration = Duration::SECOND;
const GKE: Thresholds = Thresholds::GKE_CREDENTIALS;

fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_700_000_000 + seconds).unwrap()
}

fn idle(expiry: UtcDateTime) -> Facts {
    Facts::new(expiry, Progress::Idle)
}

fn name(text: &str) -> ClusterId {
    text.parse().unwrap()
}

/// A fleet with one cluster whose credentials last a year.
fn one() -> (Fleet, ClusterHandle, UtcDateTime) {
    let mut fleet = Fleet::new(at(0));
    let expiry = at(0) + DAY * 365;
    let cluster = fleet.insert(&name("one"), GKE, idle(expiry), at(0)).unwrap();
    (fleet, cluster, expiry)
}

/// What may be compared of a fleet: everything.
fn state(fleet: &Fleet) -> String {
    format!("{fleet:?}")
}

fn counts(fleet: &Fleet) -> [usize; 4] {
    Health::ALL.map(|health| fleet.health().of(health))
}

#[test]
fn each_threshold_is_told_once_at_its_second() {
    let (mut fleet, cluster, expiry) = one();
    assert_eq!(counts(&fleet), [1, 0, 0, 0]);
    let insight = expiry - DAY * 180;
    assert_eq!(fleet.next_change(), Some(insight));
    assert_eq!(fleet.next_due(insight - SECOND), None);
    let due = fleet.next_due(insight).unwrap();
    assert_eq!((due.cluster, due.at, due.standing.health), (cluster, insight, Health::Insight));
    assert_eq!(counts(&fleet), [0, 1, 0, 0]);
    assert_eq!(fleet.next_due(insight), None);
    assert_eq!(fleet.next_due(insight + DAY), None);

    // Nobody begins: asked thirty times, told DEGRADED in between.
    let mut told = Vec::new();
    while let Some(now) = fleet.next_change() {
        told.extend(fleet.due(now).map(|due| (due.at, due.standing.health, due.standing.due)));
    }
    let starts: Vec<_> = told.iter().filter_map(|(at, _, due)| due.map(|due| (*at, due))).collect();
    let expected = (0..30_u8).map(|day| (expiry - DAY * (30 - day), Due::Start { attempt: u32::from(day) + 1 }));
    assert_eq!(starts, expected.collect::<Vec<_>>());
    let degraded = told.iter().find(|(_, health, _)| *health == Health::Degraded).unwrap();
    assert_eq!(degraded.0, expiry - DAY * 7);
    assert_eq!(told.last().unwrap(), &(expiry, Health::Unrecoverable, None));
    assert_eq!(counts(&fleet), [0, 0, 0, 1]);
    assert_eq!(fleet.next_due(expiry + DAY * 1_000), None);
}

#[test]
fn a_rotation_goes_from_its_start_over_its_attempts_to_the_next_generation() {
    let (mut fleet, cluster, expiry) = one();
    let start = expiry - DAY * 30;
    assert!(matches!(fleet.due(start).last().unwrap().standing.due, Some(Due::Start { .. })));
    fleet.rotation_started(cluster, start).unwrap();
    assert!(fleet.standing(cluster).unwrap().rotating);
    assert_eq!(fleet.next_change(), Some(start + DAY * 7));
    let now = start + DAY * 8;
    let due = fleet.next_due(now).unwrap();
    // The first attempt was slept through and is not made up for.
    assert_eq!((due.at, due.standing.due), (start + DAY * 7, Some(Due::Completion { attempt: 2 })));
    assert_eq!(fleet.next_due(now), None);

    let next = now + DAY * 10_950;
    fleet.rotation_completed(cluster, next, now).unwrap();
    assert_eq!(counts(&fleet), [1, 0, 0, 0]);
    let settled = fleet.next_change().unwrap();
    assert_eq!(settled, now + Duration::hours(36));
    assert!(fleet.standing(cluster).unwrap().settling);
    assert!(!fleet.next_due(settled).unwrap().standing.settling);
    assert_eq!(fleet.next_change(), Some(next - DAY * 180));
}

#[test]
fn a_clock_that_steps_back_tells_nothing_twice_and_shortens_no_wait() {
    let (mut fleet, cluster, expiry) = one();
    let start = expiry - DAY * 30;
    assert_eq!(fleet.due(start).count(), 1);
    for back in [SECOND, DAY, DAY * 300] {
        assert_eq!(fleet.next_due(start - back), None);
    }
    // Begun, by a clock that is ten days behind: the wait counts from the latest time that was seen.
    fleet.rotation_started(cluster, start - DAY * 10).unwrap();
    assert_eq!(fleet.next_change(), Some(start + DAY * 7));
    assert_eq!(fleet.facts(cluster).unwrap().progress(), Progress::Running { started: start });
    // A cluster that comes in meanwhile is judged by the latest time as well.
    fleet.insert(&name("two"), GKE, idle(start + DAY * 180), start - DAY).unwrap();
    assert_eq!(fleet.next_due(start - DAY).unwrap().standing.health, Health::Insight);
}

#[test]
fn a_cluster_that_comes_in_late_is_told_at_once_and_once() {
    let now = at(0);
    for (left, health, due) in [
        (DAY * 181, Health::Healthy, None),
        (DAY * 100, Health::Insight, None),
        (DAY * 30, Health::Insight, Some(Due::Start { attempt: 1 })),
        (DAY, Health::Degraded, Some(Due::Start { attempt: 30 })),
        (Duration::ZERO, Health::Unrecoverable, None),
        (-DAY, Health::Unrecoverable, None),
    ] {
        let mut fleet = Fleet::new(now);
        fleet.insert(&name("late"), GKE, idle(now + left), now).unwrap();
        let told = fleet.next_due(now).map(|told| (told.at, told.standing.health, told.standing.due));
        assert_eq!(told, (health != Health::Healthy).then_some((now, health, due)), "{left}");
        assert_eq!(fleet.next_due(now), None);
        assert_eq!(fleet.health().of(health), 1, "{left}");
    }
}

#[test]
fn what_makes_nothing_worse_and_nothing_due_is_not_told() {
    let (mut fleet, cluster, expiry) = one();
    let now = expiry - DAY * 5;
    assert_eq!(fleet.due(now).count(), 1);
    fleet.rotation_started(cluster, now).unwrap();
    assert_eq!(fleet.next_due(now), None, "it is as DEGRADED as it was told to be");
    let (again, facts) = (state(&fleet), fleet.facts(cluster).unwrap());
    fleet.restate(cluster, &facts, now).unwrap();
    assert_eq!(state(&fleet), again);
    let due = fleet.insert(&name("due"), GKE, idle(now + DAY * 20), now).unwrap();
    assert!(fleet.next_due(now).unwrap().standing.due.is_some());
    fleet.restate(due, &idle(now + DAY * 20), now).unwrap();
    assert_eq!(fleet.next_due(now), None, "what is known is not due again before the next attempt");
    fleet.remove(due).unwrap();
    // A look that finds an earlier expiry is news.
    fleet.restate(cluster, &idle(now), now).unwrap();
    assert_eq!(fleet.next_due(now).unwrap().standing.health, Health::Unrecoverable);
    fleet.restate(cluster, &idle(now + DAY * 1_000), now).unwrap();
    assert_eq!((counts(&fleet), fleet.next_due(now)), ([1, 0, 0, 0], None));
}

#[test]
fn what_is_refused_changes_nothing() {
    let (mut fleet, cluster, expiry) = one();
    let gone = fleet.insert(&name("gone"), GKE, idle(expiry), at(0)).unwrap();
    fleet.remove(gone).unwrap();
    let before = state(&fleet);
    let (later, beyond) = (at(5), ClusterHandle { slot: 9, generation: 0 });
    let known = fleet.insert(&name("one"), GKE, idle(expiry), later);
    assert_eq!(known, Err(FleetError::AlreadyKnown(name("one"))));
    for handle in [gone, beyond] {
        let unknown = FleetError::UnknownCluster(handle);
        assert_eq!(fleet.remove(handle), Err(unknown.clone()));
        assert_eq!(fleet.rotation_started(handle, later), Err(unknown.clone()));
        assert_eq!(fleet.rotation_completed(handle, expiry, later), Err(unknown.clone()));
        assert_eq!(fleet.restate(handle, &idle(expiry), later), Err(unknown.clone()));
        assert_eq!(fleet.facts(handle), Err(unknown.clone()));
        assert_eq!(fleet.standing(handle), Err(unknown.clone()));
        assert_eq!(fleet.cluster(handle), Err(unknown));
    }
    let refused = FleetError::Facts(FactsError::NotRunning);
    assert_eq!(fleet.rotation_completed(cluster, expiry, later), Err(refused));
    let refused = FleetError::Facts(FactsError::Expired { expiry });
    assert_eq!(fleet.rotation_started(cluster, expiry), Err(refused));
    assert_eq!(state(&fleet), before);
}

#[test]
fn a_handle_is_never_given_to_another_cluster() {
    let (mut fleet, first, expiry) = one();
    fleet.remove(first).unwrap();
    assert!(fleet.is_empty() && fleet.next_change().is_none() && fleet.find(&name("one")).is_none());
    let second = fleet.insert(&name("two"), GKE, idle(expiry), at(0)).unwrap();
    assert_eq!(fleet.slots.len(), 1, "its slot is");
    assert_ne!(first, second);
    assert_eq!((first.slot(), second.slot()), (0, 0));
    assert_eq!(FleetError::UnknownCluster(second).to_string(), "no cluster of the fleet has the handle 0.1");
    assert_eq!(fleet.facts(first), Err(FleetError::UnknownCluster(first)));
    assert_eq!((fleet.find(&name("two")), fleet.cluster(second)), (Some(second), Ok(name("two"))));
    // Not even when the generations of its slot are used up: such a slot is left alone.
    fleet.slots[0].generation = u32::MAX - 1;
    let last = fleet.find(&name("two")).unwrap();
    fleet.remove(last).unwrap();
    let third = fleet.insert(&name("three"), GKE, idle(expiry), at(0)).unwrap();
    assert_eq!((third.slot, fleet.len()), (1, 1));
}

#[test]
fn a_fleet_holds_256_different_thresholds() {
    let mut fleet = Fleet::new(at(0));
    let thresholds = |number: i64| {
        let spec = ThresholdsSpec { insight: Some(Duration::seconds(1_000 + number)), ..Thresholds::GDC.into() };
        Thresholds::new(spec).unwrap()
    };
    let mut insert = |number: i64, thresholds| {
        fleet.insert(&name(&format!("c{number}")), thresholds, idle(at(0) + DAY), at(0)).map(|_| ())
    };
    for number in 0..256 {
        assert_eq!(insert(number, thresholds(number)), Ok(()));
    }
    assert_eq!(insert(256, thresholds(256)), Err(FleetError::TooManyThresholds { max: 256 }));
    assert_eq!(insert(256, thresholds(7)), Ok(()));
    assert_eq!(fleet.len(), 257);
    // Each is judged by its own.
    let told: Vec<_> = core::iter::from_fn(|| fleet.next_change().and_then(|now| fleet.next_due(now))).collect();
    assert_eq!(told.first().unwrap().at, at(0) + DAY - Duration::seconds(1_255));
}

#[test]
fn insights_come_by_name_and_as_gkes_table() {
    let mut fleet = Fleet::new(at(0));
    for (cluster, days) in [("zeta", 10), ("alpha", 179), ("fine", 181), ("over", -1)] {
        fleet.insert(&name(cluster), GKE, idle(at(0) + DAY * days), at(0)).unwrap();
    }
    fleet.insert(&name("managed"), Thresholds::GKE_MANAGED, idle(at(0) + DAY), at(0)).unwrap();
    let insights: Vec<_> = fleet.insights().map(|insight| (insight.cluster().clone(), insight.is_expired())).collect();
    assert_eq!(insights, [(name("alpha"), false), (name("over"), true), (name("zeta"), false)]);
    assert_eq!(
        fleet.insight_table().to_string(),
        "\
Cluster Name | Certificate Expiry Date
alpha                                    | May 11 22:13:20 2024 GMT
over                                     | Nov 13 22:13:20 2023 GMT
zeta                                     | Nov 24 22:13:20 2023 GMT
"
    );
}

#[test]
fn a_freeze_is_the_embedders_to_ask_about_and_moves_no_deadline() {
    let (mut fleet, _, expiry) = one();
    assert!(!fleet.is_frozen());
    fleet.set_frozen(true);
    assert!(fleet.is_frozen());
    assert!(fleet.next_due(expiry - DAY * 30).unwrap().standing.due.is_some());
    fleet.set_frozen(false);
    assert!(!fleet.is_frozen());
}

/// Names as long as they can be, in an order that leaves every chunk of the index half full, or in the order of a list;
/// measured at every size at which something has just grown.
#[test]
fn an_idle_cluster_costs_at_most_128_octets() {
    const COUNT: usize = 60_000;
    for mixed in [false, true] {
        let mut fleet = Fleet::new(at(0));
        for number in 0..COUNT {
            let number = if mixed { number * 7_919 % COUNT } else { number };
            let expiry = at(0) + DAY * 1_000 + Duration::seconds(number.try_into().unwrap());
            fleet.insert(&name(&format!("c{number:0>62}")), GKE, idle(expiry), at(0)).unwrap();
            let len = fleet.len();
            if len >= 10_000 && len.is_multiple_of(500) {
                let each = fleet.memory() / len;
                assert!(each <= 128, "{each} octets for each of {len}");
            }
        }
        // All leave, and as many come: nothing piles up.
        let before = fleet.memory();
        for _ in 0..2 {
            for number in 0..COUNT {
                let cluster = fleet.find(&name(&format!("c{number:0>62}"))).unwrap();
                fleet.remove(cluster).unwrap();
                fleet.insert(&name(&format!("c{number:0>62}")), GKE, idle(at(0) + DAY * 900), at(0)).unwrap();
            }
        }
        assert!(fleet.memory() <= before + before / 8, "{} after {before}", fleet.memory());
    }
}

/// What a walk may do to a fleet.
#[derive(Clone, Debug)]
enum Step {
    Insert { cluster: usize, days: i64, running: Option<i64> },
    Remove { cluster: usize },
    Start { cluster: usize },
    Complete { cluster: usize, days: i64 },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    const CLUSTERS: usize = 6;
    const DAY: i64 = 86_400;
    prop_oneof![
        (0..CLUSTERS, -20_i64..250, proptest::option::of(-20_i64..0))
            .prop_map(|(cluster, days, running)| Step::Insert { cluster, days, running }),
        (0..CLUSTERS).prop_map(|cluster| Step::Remove { cluster }),
        (0..CLUSTERS).prop_map(|cluster| Step::Start { cluster }),
        (0..CLUSTERS, 1_i64..400).prop_map(|(cluster, days)| Step::Complete { cluster, days }),
        (-DAY..DAY * 12).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    /// After any walk, what the fleet has told of each cluster is where it stands, its counts agree, and it sleeps
    /// exactly until the first of their next changes.
    #[test]
    fn nobody_is_forgotten_and_nothing_is_told_twice(steps in proptest::collection::vec(step(), 1..120)) {
        let clusters: Vec<_> = (0..6).map(|number| name(&format!("c{number}"))).collect();
        let thresholds = [GKE, Thresholds::GDC, Thresholds::EMBEDDER, Thresholds::GKE_MANAGED];
        let (mut fleet, mut latest) = (Fleet::new(at(0)), at(0));
        let mut told = std::collections::BTreeMap::new();
        let mut now = at(0);
        for step in steps {
            match step {
                Step::Insert { cluster, days, running } => {
                    let started = |days| Progress::Running { started: latest + DAY * i32::try_from(days).unwrap() };
                    let facts = Facts::new(now + Duration::days(days), running.map_or(Progress::Idle, started));
                    let rules = thresholds[cluster % thresholds.len()];
                    if let Ok(handle) = fleet.insert(&clusters[cluster], rules, facts, now) {
                        told.insert(handle, (rules, Health::Healthy, None, None));
                    }
                }
                Step::Remove { cluster } => {
                    if let Some(handle) = fleet.find(&clusters[cluster]) {
                        fleet.remove(handle).unwrap();
                        told.remove(&handle);
                    }
                }
                Step::Start { cluster } => {
                    if let Some(handle) = fleet.find(&clusters[cluster])
                        && fleet.rotation_started(handle, now).is_ok()
                    {
                        let entry = told.get_mut(&handle).unwrap();
                        (entry.2, entry.3) = (None, None);
                    }
                }
                Step::Complete { cluster, days } => {
                    if let Some(handle) = fleet.find(&clusters[cluster])
                        && fleet.rotation_completed(handle, latest + Duration::days(days), now).is_ok()
                    {
                        let entry = told.get_mut(&handle).unwrap();
                        entry.1 = entry.1.min(fleet.standing(handle).unwrap().health);
                        (entry.2, entry.3) = (None, None);
                    }
                }
                Step::Pass { seconds } => now += Duration::seconds(seconds),
            }
            latest = latest.max(now);
            let mut last = UtcDateTime::MIN;
            while let Some(due) = fleet.next_due(now) {
                prop_assert!(due.at >= last && due.at <= latest);
                last = due.at;
                let entry = told.get_mut(&due.cluster).unwrap();
                prop_assert!(entry.3.is_none_or(|before| before < due.at), "told twice: {:?}", due);
                (entry.1, entry.2, entry.3) = (due.standing.health, due.standing.due, Some(due.at));
            }
            let mut expected = HealthCounts::default();
            let mut next = None;
            for (handle, (rules, health, due, _)) in &told {
                let facts = fleet.facts(*handle).unwrap();
                let standing = rules.standing(&facts, latest);
                prop_assert_eq!((*health, *due), (standing.health, standing.due));
                *expected.count(*health) += 1;
                next = [next, rules.next_change(&facts, latest)].into_iter().flatten().min();
            }
            prop_assert_eq!(fleet.health(), expected);
            prop_assert_eq!(fleet.next_change(), next);
            prop_assert_eq!(fleet.len(), told.len());
        }
    }
}
