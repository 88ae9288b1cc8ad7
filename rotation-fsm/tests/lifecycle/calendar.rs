//! Windows, exclusions, the freeze, and orders by hand.

use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, Storage};
use rotation_fsm::{
    Action, Blocker, Calendar, Completion, Event, ExclusionScope, Machine, MaintenanceExclusion, MaintenancePolicy,
    MaintenanceWindow, PoolName, Recurrence, Rejected, Settings, StepKind, Strategy, Unit,
};
use time::{Duration, UtcDateTime};

use crate::cluster::{Cluster, at};
use crate::parts::{rotating, stage};

const V2: CaVersion = CaVersion::FIRST.next();

/// An hour every day from `start` on.
fn an_hour_from(start: UtcDateTime) -> Calendar {
    Calendar::within([MaintenanceWindow::lasting(start, Duration::HOUR, Recurrence::Daily).unwrap()]).unwrap()
}

fn closed_between(start: UtcDateTime, end: UtcDateTime, scope: ExclusionScope) -> Calendar {
    let name = "holidays".to_owned().parse().unwrap();
    let exclusion = MaintenanceExclusion::new(name, start, end, scope).unwrap();
    Calendar::always().with_exclusions([exclusion]).unwrap()
}

fn cluster(calendar: Calendar) -> Cluster {
    let hierarchy = Hierarchy::kubeadm();
    let settings = Settings { calendar, ..Settings::of(&hierarchy).with_completion(Completion::Automatic) };
    let mut cluster = Cluster::with(hierarchy, settings);
    cluster.start(Unit::Ca);
    cluster
}

fn pool(name: &str) -> PoolName {
    name.to_owned().try_into().unwrap()
}

fn overridden(step: StepKind) -> Event {
    Event::MaintenanceOverridden { step, by: "operator".to_owned() }
}

fn upgrade(name: &str) -> Event {
    Event::PoolUpgradeRequested { pool: pool(name) }
}

fn frozen(frozen: bool) -> Event {
    Event::FreezeChanged { frozen }
}

fn touched(cluster: &Cluster) -> Vec<ComponentKind> {
    let kinds = cluster.machine.pending_actions().filter_map(|action| match action {
        Action::EnsureConsumer { target, .. } => Some(target.consumer.kind()),
        Action::RecreateNode { .. } => Some(ComponentKind::Kubelet),
        _ => None,
    });
    kinds.collect()
}

#[test]
fn outside_of_windows_nothing_is_disturbed_and_it_is_said_until_when() {
    let opens = at(36_000);
    let mut cluster = cluster(an_hour_from(opens));
    while cluster.step() {}
    // What is loaded live is loaded; whatever restarts waits.
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
    assert_eq!(touched(&cluster), []);
    let blocked = cluster.machine.blocked().unwrap();
    assert_eq!((blocked.step, blocked.pool, blocked.until), (StepKind::ControlPlane, None, Some(opens)));
    assert_eq!((blocked.why, cluster.machine.next_change()), (Blocker::OutsideWindow, Some(opens)));
    // The window opens in mid-stage, closes in mid-stage, and opens again.
    cluster.now = opens;
    cluster.apply(&Event::Tick).unwrap();
    assert_eq!(cluster.machine.blocked(), None);
    assert!(cluster.step() && cluster.step());
    cluster.now = opens + Duration::HOUR;
    cluster.apply(&Event::Tick).unwrap();
    assert!(!cluster.step());
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
    assert_eq!(cluster.machine.blocked().unwrap().until, Some(opens + Duration::DAY));
    cluster.now = opens + Duration::DAY;
    cluster.apply(&Event::Tick).unwrap();
    cluster.run();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn whoever_is_away_comes_back_whatever_the_calendar_says() {
    let mut cluster = cluster(an_hour_from(at(0)));
    cluster.run_until("control-plane-trust");
    let etcd = cluster.consumer(ComponentKind::Etcd, "1");
    let after = cluster.observation(&etcd).id;
    cluster.apply(&Event::TakenDown { consumer: etcd.clone(), after }).unwrap();
    cluster.now = at(3_600);
    cluster.apply(&Event::Tick).unwrap();
    // Beside it only what is loaded live.
    assert_eq!(touched(&cluster), [ComponentKind::Etcd, ComponentKind::AggregatedApiServer]);
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
    assert!(cluster.machine.waiting().all(|waiting| *waiting != etcd));
}

#[test]
fn an_order_for_a_pool_holds_for_that_pool_and_this_rotation() {
    let far = at(0) + Duration::days(60);
    let mut cluster = cluster(closed_between(at(0), far, ExclusionScope::NoMinorOrNodeUpgrades));
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "node-trust/pool-a");
    let blocked = cluster.machine.blocked().unwrap();
    assert_eq!((blocked.step, blocked.pool), (StepKind::RecreateNodes, Some(pool("pool-a"))));
    assert_eq!(blocked.until, Some(far));
    assert!(matches!(blocked.why, Blocker::Exclusion(_)));
    assert_eq!(cluster.apply(&upgrade("pool-z")), Err(Rejected::UnknownPool(pool("pool-z"))));
    // Of another pool it is no order.
    cluster.apply(&upgrade("pool-b")).unwrap();
    assert!(!cluster.step());
    cluster.apply(&upgrade("pool-a")).unwrap();
    assert_eq!(cluster.machine.blocked(), None);
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    // It ended with the rotation.
    cluster.start(Unit::Ca);
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "node-trust/pool-a");
    assert!(cluster.machine.blocked().is_some());
    cluster.apply(&upgrade("pool-a")).unwrap();
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "node-trust/pool-b");
    // At rest there is nothing to be ordered.
    let mut resting = Cluster::new(Hierarchy::kubeadm());
    assert_eq!(resting.apply(&upgrade("pool-a")), Err(Rejected::NotInStage { current: None }));
}

#[test]
fn an_order_for_a_step_holds_for_that_step_and_this_rotation() {
    let far = at(0) + Duration::days(60);
    let mut cluster = cluster(closed_between(at(0), far, ExclusionScope::NoUpgrades));
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
    cluster.apply(&overridden(StepKind::RecreateNodes)).unwrap();
    assert!(!cluster.step());
    cluster.apply(&overridden(StepKind::ControlPlane)).unwrap();
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    cluster.start(Unit::Ca);
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
}

/// An order that nothing could follow from is refused, and none is lost unseen: the start can be ordered until it has
/// happened, and the other steps from then on.
#[test]
fn an_order_that_could_have_no_effect_is_refused() {
    let mut resting = Cluster::new(Hierarchy::kubeadm());
    for step in StepKind::ALL {
        let expected = if step == StepKind::Start { None } else { Some(Rejected::NotInStage { current: None }) };
        assert_eq!(resting.apply(&overridden(step)).err(), expected, "{step}");
    }
    resting.start(Unit::Ca);
    let current = resting.machine.stage().map(|stage| stage.id().clone());
    for step in StepKind::ALL {
        let expected = (step == StepKind::Start).then(|| Rejected::NotInStage { current: current.clone() });
        assert_eq!(resting.apply(&overridden(step)).err(), expected, "{step}");
    }
}

/// What GKE begins by itself nobody may request: the order by hand is how it begins outside of a window.
#[test]
fn a_start_that_is_ordered_at_rest_holds_until_something_begins() {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let settings = Settings { maintenance: MaintenancePolicy::respect(), ..Settings::of(&hierarchy) };
    let mut cluster = Cluster::with(hierarchy, settings);
    let expiry = cluster.machine.authority(AuthorityRole::EtcdApi).unwrap().not_after.unwrap();
    cluster.now = expiry - Duration::days(20);
    let calendar = closed_between(cluster.now, expiry, ExclusionScope::NoUpgrades);
    cluster.apply(&Event::CalendarChanged { calendar }).unwrap();
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, None);
    cluster.apply(&overridden(StepKind::Start)).unwrap();
    cluster.machine = Machine::restore(cluster.machine.snapshot()).unwrap();
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2));
    // It was for one, and for its start alone.
    while cluster.step() {}
    assert_eq!(cluster.machine.blocked().unwrap().step, StepKind::ControlPlane);
    cluster.apply(&overridden(StepKind::ControlPlane)).unwrap();
    cluster.run();
    let started = cluster.apply(&Event::Tick).unwrap();
    assert!(started.started.is_none() && !started.blocked.is_empty(), "{started:?}");
}

fn closed_gke(strategy: Strategy) -> Cluster {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let calendar = closed_between(at(0), at(0) + Duration::days(60), ExclusionScope::NoUpgrades);
    let settings = Settings { calendar, strategy, ..Settings::of(&hierarchy) };
    Cluster::with(hierarchy, settings)
}

/// GKE: a user's command overrides maintenance blockers in its phase. Start and completion are the control plane's, and
/// the nodes have a command of their own.
#[test]
fn a_users_commands_override_the_calendar_phase_by_phase() {
    for strategy in [Strategy::Staged, Strategy::DualEndpoint] {
        let mut cluster = closed_gke(strategy);
        cluster.start(Unit::Credentials);
        assert!(rotating(&cluster.machine).is_commanded());
        cluster.exhaust();
        let blocked = cluster.machine.blocked().unwrap();
        assert_eq!((blocked.step, blocked.pool), (StepKind::RecreateNodes, Some(pool("pool-a"))), "{strategy}");
        for name in ["pool-a", "pool-b"] {
            cluster.apply(&upgrade(name)).unwrap();
            cluster.exhaust();
        }
        // Everybody is done but for what comes after the completion, which is the user's to ask for.
        assert_eq!(cluster.machine.blocked(), None);
        cluster.apply(&Event::CompletionRequested { unit: Unit::Credentials }).unwrap();
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }
    // Other presets' windows hold for whoever asks.
    let mut other = cluster(closed_between(at(0), at(0) + Duration::days(60), ExclusionScope::NoUpgrades));
    assert!(!rotating(&other.machine).is_commanded());
    other.exhaust();
    assert_eq!(other.machine.blocked().unwrap().step, StepKind::ControlPlane);
}

/// What nobody asked for obeys the calendar, and a user may still ask.
#[test]
fn a_completion_that_is_attempted_waits_where_a_users_does_not() {
    for asks in [false, true] {
        let mut cluster = closed_gke(Strategy::Staged);
        cluster.start(Unit::Credentials);
        for name in ["pool-a", "pool-b"] {
            cluster.apply(&upgrade(name)).unwrap();
        }
        cluster.exhaust();
        // The attempt of the seventh day finds the calendar open, and what is then to be done finds it closed.
        for _ in 0..7 {
            cluster.now += Duration::DAY;
            assert_eq!(cluster.apply(&Event::Tick).unwrap().doubted, None);
        }
        for calendar in
            [Calendar::always(), closed_between(at(0), at(0) + Duration::days(60), ExclusionScope::NoUpgrades)]
        {
            cluster.apply(&Event::CalendarChanged { calendar }).unwrap();
            cluster.apply(&Event::Tick).unwrap();
        }
        assert!(!rotating(&cluster.machine).is_commanded());
        cluster.exhaust();
        assert_eq!(cluster.machine.blocked().unwrap().step, StepKind::ControlPlane);
        if asks {
            assert!(cluster.apply(&Event::CompletionRequested { unit: Unit::Credentials }).unwrap().changed);
            cluster.machine = Machine::restore(cluster.machine.snapshot()).unwrap();
            cluster.run();
            assert!(cluster.machine.is_at_rest());
        }
    }
}

#[test]
fn a_freeze_keeps_nodes_alone_until_it_is_ended_or_somebody_orders_them() {
    let mut cluster = cluster(Calendar::always());
    cluster.apply(&frozen(true)).unwrap();
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "node-trust/pool-a");
    let blocked = cluster.machine.blocked().unwrap();
    assert_eq!((blocked.why, blocked.until), (Blocker::Frozen, None));
    // A node that lacks something is left alone in a stage of the control plane too.
    cluster.apply(&upgrade("pool-a")).unwrap();
    cluster.apply(&upgrade("pool-b")).unwrap();
    cluster.run_until("node-leaves/pool-b");
    cluster.run();
    // The orders ended with the rotation, and the freeze did not.
    cluster.start(Unit::Ca);
    cluster.exhaust();
    assert_eq!(cluster.machine.blocked().unwrap().why, Blocker::Frozen);
    cluster.apply(&frozen(false)).unwrap();
    cluster.run();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn a_node_that_lacks_something_in_a_stage_of_the_control_plane_waits_like_in_its_own() {
    let mut cluster = cluster(Calendar::always());
    cluster.run_until("control-plane-leaves");
    cluster.apply(&frozen(true)).unwrap();
    let kubelet = cluster.consumer(ComponentKind::Kubelet, "node-0");
    // It says that it came up with something foreign.
    let mut report = cluster.observation(&kubelet);
    report.bundles[0].1 = pki_core::BundleHash::of([]);
    cluster.apply(&Event::Observed(report)).unwrap();
    assert!(!touched(&cluster).contains(&ComponentKind::Kubelet));
    cluster.ignore(&kubelet);
    cluster.exhaust();
    cluster.heed(&kubelet);
    assert_eq!(stage(&cluster.machine), "control-plane-leaves");
    let blocked = cluster.machine.blocked().unwrap();
    assert_eq!(
        (blocked.step, blocked.pool, blocked.why),
        (StepKind::RecreateNodes, Some(pool("pool-a")), Blocker::Frozen)
    );
    cluster.apply(&frozen(false)).unwrap();
    cluster.run();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn the_calendar_may_change_in_mid_rotation() {
    let far = at(0) + Duration::days(60);
    let mut cluster = cluster(closed_between(at(0), far, ExclusionScope::NoUpgrades));
    cluster.exhaust();
    assert!(cluster.machine.blocked().is_some());
    cluster.apply(&Event::CalendarChanged { calendar: Calendar::always() }).unwrap();
    assert_eq!(cluster.machine.blocked(), None);
    cluster.run_until("node-leaves/pool-a");
    let closed = closed_between(at(0), far, ExclusionScope::NoMinorOrNodeUpgrades);
    cluster.apply(&Event::CalendarChanged { calendar: closed.clone() }).unwrap();
    assert_eq!(cluster.machine.settings().calendar, closed);
    assert!(!cluster.step());
    cluster.apply(&Event::CalendarChanged { calendar: Calendar::always() }).unwrap();
    cluster.run();
    assert_eq!(cluster.machine.completed().unwrap().to, V2);
}

#[test]
fn an_emergency_ignores_the_calendar_and_the_freeze() {
    let far = at(0) + Duration::days(60);
    let hierarchy = Hierarchy::kubeadm();
    let calendar = closed_between(at(0), far, ExclusionScope::NoUpgrades);
    let mut cluster = Cluster::with(hierarchy.clone(), Settings { calendar, ..Settings::of(&hierarchy) });
    cluster.apply(&frozen(true)).unwrap();
    cluster
        .apply(&Event::EmergencyDeclared { unit: Unit::Ca, suspect: CaVersion::FIRST, by: "operator".to_owned() })
        .unwrap();
    assert!(rotating(&cluster.machine).is_emergency());
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.forget(&outside);
    cluster.run();
    assert_eq!(cluster.machine.completed().unwrap().to, V2);
}
