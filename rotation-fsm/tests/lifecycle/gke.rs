//! GKE's schedule: begun at 30 days, completion attempted from the seventh day on, clients outside left behind then.

use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, Storage};
use rotation_fsm::{
    Action, Behind, Calendar, CompletionBlocked, ConsumerId, Due, Event, Health, MaintenanceWindow, Phase, Progress,
    Rejected, Settings, Strategy, Unit,
};
use time::{Duration, Time, UtcDateTime};

use crate::cluster::Cluster;
use crate::parts::{rotating, stage};

const V2: CaVersion = CaVersion::FIRST.next();
const CREDENTIALS: Unit = Unit::Credentials;

fn gke(strategy: Strategy) -> Cluster {
    let hierarchy = Hierarchy::gke(Storage::Spanner);
    let settings = Settings::of(&hierarchy).with_strategy(strategy);
    Cluster::with(hierarchy, settings)
}

fn expiry(cluster: &Cluster) -> UtcDateTime {
    cluster.machine.authority(AuthorityRole::Cluster).unwrap().not_after.unwrap()
}

/// So many days before the cluster CA expires, with the authorities that rotate by themselves out of the way.
fn before_expiry(strategy: Strategy, days: i64) -> Cluster {
    let mut cluster = gke(strategy);
    let expiry = expiry(&cluster);
    loop {
        cluster.now = cluster.now.max(expiry - Duration::days(31));
        if cluster.apply(&Event::Tick).unwrap().started.is_none() {
            break;
        }
        cluster.run();
    }
    cluster.now = expiry - Duration::days(days);
    cluster
}

fn complete() -> Event {
    Event::CompletionRequested { unit: CREDENTIALS }
}

fn pool(name: &str) -> rotation_fsm::PoolName {
    name.to_owned().try_into().unwrap()
}

fn four_hours_from(hour: u8) -> Calendar {
    Calendar::within([MaintenanceWindow::daily(Time::from_hms(hour, 0, 0).unwrap()).unwrap()]).unwrap()
}

/// In the night, when `four_hours_from(12)` is closed.
fn at_midnight(day: UtcDateTime) -> UtcDateTime {
    day.replace_time(Time::MIDNIGHT)
}

/// Every hour a reading of the clock, and whatever is pending done at once, until that moment.
fn live_until(cluster: &mut Cluster, end: UtcDateTime) -> Vec<(UtcDateTime, rotation_fsm::Applied)> {
    let mut news = Vec::new();
    while cluster.now < end && cluster.machine.stage().is_some() {
        cluster.now += Duration::HOUR;
        let applied = cluster.apply(&Event::Tick).unwrap();
        if applied.completion_blocked.is_some() || !applied.released.is_empty() || !applied.stages_ended.is_empty() {
            news.push((cluster.now, applied.clone()));
        }
        for left in &applied.released {
            cluster.forget(left);
        }
        cluster.exhaust();
    }
    news
}

#[test]
fn a_rotation_begins_thirty_days_before_expiry_whatever_the_windows_say() {
    let mut cluster = before_expiry(Strategy::Staged, 31);
    cluster.apply(&Event::CalendarChanged { calendar: four_hours_from(12) }).unwrap();
    let due = expiry(&cluster) - Duration::days(30);
    cluster.now = due - Duration::SECOND;
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, None);
    assert_eq!(cluster.machine.next_change(), Some(due));
    cluster.now = due;
    let applied = cluster.apply(&Event::Tick).unwrap();
    assert_eq!((applied.started, applied.blocked), (Some(V2), vec![]));
    assert_eq!(rotating(&cluster.machine).unit(), CREDENTIALS);
    assert_eq!(rotating(&cluster.machine).started(), due);
    // Within the 30 days nothing is held up by the windows.
    live_until(&mut cluster, due + Duration::days(1));
    assert_eq!(stage(&cluster.machine), "external-leaves");
    assert_eq!(cluster.machine.blocked(), None);
}

#[test]
fn with_more_than_thirty_days_left_nodes_are_recreated_in_windows_only() {
    let mut cluster = gke(Strategy::DualEndpoint);
    cluster.now = at_midnight(cluster.now + Duration::DAY);
    cluster.apply(&Event::CalendarChanged { calendar: four_hours_from(12) }).unwrap();
    cluster.now += Duration::hours(12);
    cluster.start(CREDENTIALS);
    cluster.run_until("node-leaves/pool-a");
    cluster.now += Duration::hours(4);
    cluster.apply(&Event::Tick).unwrap();
    assert!(!cluster.step());
    let blocked = cluster.machine.blocked().unwrap();
    assert_eq!((blocked.pool, blocked.until), (Some(pool("pool-a")), Some(cluster.now + Duration::hours(20))));
    assert_eq!(cluster.machine.next_change(), Some(cluster.now + Duration::hours(20)));
    cluster.now += Duration::hours(20);
    cluster.apply(&Event::Tick).unwrap();
    assert!(cluster.step());
}

#[test]
fn completion_is_attempted_on_the_seventh_day_and_every_day_after_and_names_the_pool() {
    for strategy in [Strategy::Staged, Strategy::DualEndpoint, Strategy::CrossSigned] {
        let mut cluster = gke(strategy);
        let begin = cluster.now;
        cluster.start(CREDENTIALS);
        let slow = cluster.consumer(ComponentKind::Kubelet, "node-1");
        let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
        cluster.ignore(&slow);
        cluster.ignore(&outside);
        let news = live_until(&mut cluster, begin + Duration::days(9) + Duration::HOUR);
        let attempts: Vec<_> = news.iter().filter(|(_, applied)| applied.completion_blocked.is_some()).collect();
        let at: Vec<_> = attempts.iter().map(|(at, _)| (*at - begin).whole_days()).collect();
        assert_eq!(at, [7, 8, 9], "{strategy}");
        // In stages the slow node has not even loaded both generations, and no pool shows leaves of the next yet.
        let name = if strategy == Strategy::Staged { "pool-a" } else { "pool-b" };
        let of_slow = || CompletionBlocked::Pool(pool(name));
        assert!(attempts.iter().all(|(_, applied)| applied.completion_blocked == Some(of_slow())), "{strategy}");
        assert_eq!(rotating(&cluster.machine).failed_attempts(), 3);
        // A user is told the same, in GKE's words.
        let refused = cluster.apply(&complete());
        assert_eq!(refused, Err(Rejected::NotComplete(of_slow())));
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!(
                "ERROR: (gcloud.container.clusters.update) ResponseError: code=400, message=Node pool \"{name}\" requires \
                 recreation."
            )
        );
        // Nobody outside is left behind before the first attempt.
        for (at, applied) in &news {
            assert!(applied.released.is_empty() || *at - begin >= Duration::days(7), "{strategy}");
        }
        cluster.heed(&slow);
        cluster.exhaust();
        let news = live_until(&mut cluster, begin + Duration::days(12));
        assert!(cluster.machine.is_at_rest(), "{strategy} {}", stage(&cluster.machine));
        assert_eq!(cluster.machine.released().collect::<Vec<_>>(), [&outside], "{strategy} {news:?}");
        assert_eq!(cluster.machine.completed().unwrap().to, V2);
    }
}

#[test]
fn clients_outside_are_waited_for_until_the_attempt_and_told_then() {
    let mut cluster = gke(Strategy::DualEndpoint);
    let begin = cluster.now;
    cluster.start(CREDENTIALS);
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    let news = live_until(&mut cluster, begin + Duration::days(7) - Duration::HOUR);
    assert!(news.is_empty(), "{news:?}");
    assert_eq!(stage(&cluster.machine), "external-leaves");
    assert_eq!(cluster.machine.released().count(), 0);
    assert!(cluster.machine.pending_actions().any(|action| matches!(action, Action::AwaitAcknowledgement { .. })));
    cluster.now = begin + Duration::days(7);
    let applied = cluster.apply(&Event::Tick).unwrap();
    assert_eq!(applied.released, std::slice::from_ref(&outside));
    assert_eq!(applied.completion_blocked, None);
    assert_eq!(cluster.machine.released().collect::<Vec<_>>(), [&outside]);
    assert_eq!(stage(&cluster.machine), "close-address");
    cluster.forget(&outside);
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    assert_eq!(cluster.machine.released().collect::<Vec<_>>(), [&outside]);
}

#[test]
fn who_was_left_behind_holds_up_no_start_and_is_asked_in_its_turn() {
    let mut cluster = gke(Strategy::Staged);
    cluster.start(CREDENTIALS);
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    let begin = cluster.now;
    live_until(&mut cluster, begin + Duration::days(9));
    assert!(cluster.machine.is_at_rest(), "{}", stage(&cluster.machine));
    cluster.start(CREDENTIALS);
    cluster.run_until("node-trust/pool-a");
    assert_eq!(cluster.machine.released().count(), 1);
    cluster.run_until("external-trust");
    assert_eq!(cluster.machine.released().count(), 0);
    let asked = cluster.machine.pending_actions().find_map(|action| match action {
        Action::AwaitAcknowledgement { target, .. } => Some(target),
        _ => None,
    });
    let asked = asked.unwrap();
    assert_eq!(asked.consumer, outside);
    // It lacks everything, not only what the stage asks for.
    assert_eq!(asked.bundles[0].versions.to_string(), "[2 3]");
    assert_eq!(asked.leaves[0].issuer, V2);
    // It stays asked for in the stages to come, and is left behind at the next attempt.
    let begin = rotating(&cluster.machine).started();
    live_until(&mut cluster, begin + Duration::days(9));
    assert!(cluster.machine.is_at_rest());
    assert_eq!(cluster.machine.released().collect::<Vec<_>>(), [&outside]);
}

#[test]
fn a_user_completes_when_all_pools_are_done_and_not_before() {
    let mut cluster = gke(Strategy::DualEndpoint);
    cluster.start(CREDENTIALS);
    for (until, named) in
        [("mint", "pool-a"), ("signer", "pool-a"), ("node-leaves/pool-a", "pool-b"), ("node-leaves/pool-b", "pool-b")]
    {
        cluster.run_until(until);
        let before = format!("{:?}", cluster.machine);
        let expected = Err(Rejected::NotComplete(CompletionBlocked::Pool(pool(named))));
        assert_eq!(cluster.apply(&complete()), expected, "{until}");
        assert_eq!(format!("{:?}", cluster.machine), before);
    }
    cluster.run_until("service");
    // Something of the control plane is left, and runs by itself; whoever is outside is not waited for when it comes.
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    assert!(matches!(
        cluster.apply(&complete()),
        Err(Rejected::NotComplete(CompletionBlocked::Consumer(Behind { consumer, .. }))) if consumer.kind() == ComponentKind::KubeApiServer
    ));
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "external-leaves");
    let applied = cluster.apply(&complete()).unwrap();
    assert_eq!(applied.released, std::slice::from_ref(&outside));
    cluster.forget(&outside);
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    assert_eq!(cluster.apply(&complete()), Err(Rejected::NotInStage { current: None }));
}

#[test]
fn clients_whose_turn_comes_after_the_word_to_complete_are_not_waited_for() {
    // A cluster without API servers to move: the stages between the pools and the clients outside end at once.
    let mut cluster = gke(Strategy::Staged);
    cluster.start(CREDENTIALS);
    cluster.run_until("node-leaves/pool-b");
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    // The last node is slow; the attempt of the seventh day fails, that of the eighth finds the clients outside waiting.
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "external-leaves");
    let late = ConsumerId::new(ComponentKind::ExternalClient, "late".parse().unwrap());
    cluster.now += Duration::days(1);
    cluster.apply(&complete()).unwrap();
    // A newcomer outside past the word is not waited for either.
    cluster.apply(&Event::ConsumerJoined { consumer: late.clone(), pool: None, incarnation: 0 }).unwrap();
    for gone in [&outside, &late] {
        cluster.forget(gone);
    }
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    assert!(cluster.machine.released().any(|released| *released == late));
}

#[test]
fn attempts_wait_for_a_window_at_another_hour_of_the_day() {
    let mut cluster = gke(Strategy::DualEndpoint);
    cluster.now = at_midnight(cluster.now + Duration::DAY);
    let begin = cluster.now;
    cluster.start(CREDENTIALS);
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    cluster.exhaust();
    cluster.apply(&Event::CalendarChanged { calendar: four_hours_from(12) }).unwrap();
    // Whoever sleeps until something changes meets the window.
    let mut wakes = Vec::new();
    while cluster.machine.released().count() == 0 {
        cluster.now = cluster.machine.next_change().unwrap();
        let applied = cluster.apply(&Event::Tick).unwrap();
        wakes.push((cluster.now - begin, applied.completion_blocked.is_some()));
        assert!(wakes.len() < 20, "{wakes:?}");
    }
    // The first time it has slept for so long that its clock is not believed yet.
    let week = Duration::days(7);
    assert_eq!(wakes, [(week, false), (week + Duration::HOUR, true), (week + Duration::hours(12), false)]);
    assert_eq!(stage(&cluster.machine), "close-address");
}

#[test]
fn a_start_that_the_calendar_holds_up_begins_when_it_opens() {
    let hierarchy = Hierarchy::gke(Storage::Spanner);
    let mut settings = Settings::of(&hierarchy);
    settings.maintenance = rotation_fsm::MaintenancePolicy::respect();
    let mut cluster = Cluster::with(hierarchy, settings);
    let not_after = cluster.machine.authority(AuthorityRole::EtcdApi).unwrap().not_after.unwrap();
    cluster.now = at_midnight(not_after - Duration::days(29));
    cluster.apply(&Event::CalendarChanged { calendar: four_hours_from(12) }).unwrap();
    let applied = cluster.apply(&Event::Tick).unwrap();
    assert_eq!(applied.started, None);
    assert!(
        applied.blocked.iter().all(|(_, why)| matches!(why, Rejected::Maintenance(_))) && !applied.blocked.is_empty()
    );
    let opens = cluster.now + Duration::hours(12);
    assert_eq!(cluster.machine.next_change(), Some(opens));
    cluster.now = opens;
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2));
}

#[test]
fn what_cannot_complete_is_attempted_until_the_credentials_expire() {
    let mut cluster = before_expiry(Strategy::DualEndpoint, 30);
    let begin = cluster.now;
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2));
    let slow = cluster.consumer(ComponentKind::Kubelet, "node-0");
    cluster.ignore(&slow);
    let end = begin + Duration::days(40);
    let mut attempts = Vec::new();
    for (at, applied) in live_until(&mut cluster, end) {
        attempts.extend(applied.completion_blocked.map(|_| (at - begin).whole_days()));
    }
    assert_eq!(attempts, (7..30).collect::<Vec<_>>());
    let health = cluster.machine.health().find(|health| health.unit == CREDENTIALS).unwrap();
    assert_eq!((health.standing.health, health.standing.due), (Health::Unrecoverable, None));
}

#[test]
fn after_the_expiry_nothing_begins() {
    let mut cluster = before_expiry(Strategy::Staged, 0);
    let expiry = expiry(&cluster);
    assert_eq!(cluster.now, expiry);
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, None);
    let refused = cluster.apply(&Event::RotationRequested { unit: CREDENTIALS });
    assert_eq!(refused, Err(Rejected::TooLate { unit: CREDENTIALS, expiry, margin: Duration::ZERO }));
    cluster.now = expiry - Duration::SECOND;
    let mut cluster = before_expiry(Strategy::Staged, 1);
    cluster.now = expiry - Duration::SECOND;
    cluster.start(CREDENTIALS);
}

#[test]
fn a_cross_certificate_needs_a_root_that_lasts() {
    let mut cluster = before_expiry(Strategy::CrossSigned, 7);
    let expiry = expiry(&cluster);
    let refused = cluster.apply(&Event::RotationRequested { unit: CREDENTIALS });
    assert_eq!(refused, Err(Rejected::TooLate { unit: CREDENTIALS, expiry, margin: Duration::days(7) }));
    cluster.now = expiry - Duration::days(7) - Duration::SECOND;
    let mut cluster = before_expiry(Strategy::CrossSigned, 8);
    cluster.start(CREDENTIALS);
}

#[test]
fn a_second_start_is_refused_while_one_runs_automatic_or_not() {
    let mut cluster = gke(Strategy::Staged);
    cluster.start(CREDENTIALS);
    for unit in [CREDENTIALS, Unit::EtcdApi, Unit::FrontProxy] {
        let refused = cluster.apply(&Event::RotationRequested { unit });
        assert_eq!(refused, Err(Rejected::InProgress { to: V2 }));
    }
    let emergency = Event::EmergencyDeclared { unit: Unit::EtcdApi, suspect: V2, by: "operator".to_owned() };
    assert_eq!(cluster.apply(&emergency), Err(Rejected::EmergencyAfter { unit: CREDENTIALS, to: V2 }));
}

#[test]
fn health_facts_and_the_next_change_tell_one_story() {
    let mut cluster = before_expiry(Strategy::Staged, 200);
    let expiry = expiry(&cluster);
    cluster.apply(&Event::ClockConfirmed { by: "operator".to_owned() }).unwrap();
    let standing =
        |cluster: &Cluster| cluster.machine.health().find(|health| health.unit == CREDENTIALS).unwrap().standing;
    for (days, health, due) in [
        (200, Health::Healthy, None),
        (180, Health::Insight, None),
        (30, Health::Insight, Some(Due::Start { attempt: 1 })),
        (28, Health::Insight, Some(Due::Start { attempt: 3 })),
        (7, Health::Degraded, Some(Due::Start { attempt: 24 })),
        (0, Health::Unrecoverable, None),
    ] {
        cluster.now = expiry - Duration::days(days);
        cluster.apply(&Event::ClockConfirmed { by: "operator".to_owned() }).unwrap();
        assert_eq!((standing(&cluster).health, standing(&cluster).due), (health, due), "{days}");
        assert_eq!(cluster.machine.facts(CREDENTIALS).unwrap().progress(), Progress::Idle);
        // Nothing is said to change that does not.
        if let Some(next) = cluster.machine.next_change() {
            assert!(next > cluster.now, "{days}");
        }
    }
    cluster.now = expiry - Duration::days(25);
    cluster.apply(&Event::ClockConfirmed { by: "operator".to_owned() }).unwrap();
    cluster.apply(&Event::Tick).unwrap();
    let started = cluster.now;
    assert_eq!(cluster.machine.facts(CREDENTIALS).unwrap().progress(), Progress::Running { started });
    assert_eq!(cluster.machine.facts(CREDENTIALS).unwrap().expiry(), expiry);
    assert!(standing(&cluster).rotating);
    assert_eq!(cluster.machine.next_change(), Some(started + Duration::days(7)));
    live_until(&mut cluster, started + Duration::days(8));
    let at = cluster.machine.completed().unwrap().at;
    assert_eq!(cluster.machine.facts(CREDENTIALS).unwrap().progress(), Progress::Completed { at });
    assert!(cluster.machine.facts(CREDENTIALS).unwrap().expiry() > expiry);
    assert!(standing(&cluster).settling && standing(&cluster).health == Health::Healthy);
    assert_eq!(cluster.machine.next_change(), Some(at + Duration::hours(36)));
    // A unit of keys alone never expires.
    assert!(matches!(cluster.machine.phase(), Phase::Stable));
}
