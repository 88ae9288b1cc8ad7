//! A rotation, gone through before it begins: what it says is what the machine does.

#[cfg(test)]
#[path = "support/small.rs"]
mod small;

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

use cluster::golden;
use pki_core::{ComponentKind, Hierarchy, Preset, Storage};
use rotation_fsm::{
    Assumptions, Calendar, CalendarError, Completion, Event, ExclusionScope, Feasibility, HardCoded, Machine,
    MaintenanceExclusion, MaintenancePolicy, Outage, Rehearsal, RehearsalError, Rejected, Settings, StepKind, Strategy,
    Timeline, Trigger, Unit, rehearse, units,
};
use small::{BORN, Size, address, at, machine, pool, weekends};
use time::Duration;

const EXPIRY: &str = "2030-01-01T00:00:00Z";
/// A Monday.
const START: &str = "2026-02-02T00:00:00Z";

#[cfg(test)]
fn kubeadm(change: impl FnOnce(Settings) -> Settings) -> Machine {
    let hierarchy = Hierarchy::kubeadm();
    let settings = change(Settings::of(&hierarchy));
    machine(&hierarchy, &Size::SMALL, settings, at(EXPIRY))
}

#[cfg(test)]
fn gke(change: impl FnOnce(Settings) -> Settings) -> Machine {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let settings = change(Settings::of(&hierarchy));
    machine(&hierarchy, &Size::SMALL, settings, at(EXPIRY))
}

#[cfg(test)]
fn on_weekends(settings: Settings) -> Settings {
    Settings { calendar: Calendar::within([weekends(6)]).unwrap(), ..settings }
}

#[cfg(test)]
fn assumed(machine: &Machine) -> Assumptions {
    Assumptions::of(machine.settings())
}

#[cfg(test)]
fn rehearsed(machine: &Machine, unit: Unit, start: &str) -> Timeline {
    rehearse(machine, &Rehearsal::of(machine, unit), &assumed(machine), at(start)).unwrap()
}

#[cfg(test)]
fn refused(machine: &Machine, unit: Unit) -> RehearsalError {
    rehearse(machine, &Rehearsal::of(machine, unit), &assumed(machine), at(START)).unwrap_err()
}

#[cfg(test)]
fn begins(timeline: &Timeline, stage: &str) -> time::UtcDateTime {
    timeline.stages.iter().find(|span| span.id.to_string() == stage).unwrap().begins
}

#[test]
fn the_tables() {
    let with_places = |machine: &Machine| {
        let mut assumptions = assumed(machine);
        assumptions.static_tokens = vec!["ci/deployer".to_owned()];
        let place = |place: &str, address| HardCoded { place: place.to_owned(), address };
        assumptions.hard_coded =
            vec![place("firewall rule 7", address("192.0.2.1")), place("another cluster's", address("198.51.100.1"))];
        assumptions
    };
    for (name, machine, unit) in [
        ("kubeadm-staged", kubeadm(on_weekends), Unit::Ca),
        (
            "gke-dual-endpoint",
            gke(|settings| on_weekends(settings.with_strategy(Strategy::DualEndpoint))),
            Unit::Credentials,
        ),
        ("gdc-staged", machine(&Hierarchy::gdc(), &Size::SMALL, Settings::of(&Hierarchy::gdc()), at(EXPIRY)), Unit::Ca),
    ] {
        let timeline = rehearse(&machine, &Rehearsal::of(&machine, unit), &with_places(&machine), at(START)).unwrap();
        golden(&format!("rehearse-{name}.txt"), &timeline.to_string());
    }
    let machine = kubeadm(on_weekends);
    let emergency = Rehearsal::of(&machine, Unit::Ca).in_an_emergency();
    let timeline = rehearse(&machine, &emergency, &with_places(&machine), at(START)).unwrap();
    golden("rehearse-kubeadm-emergency.txt", &timeline.to_string());
}

#[test]
fn every_unit_of_every_preset_comes_to_its_end_at_the_cost_of_its_plan() {
    for preset in Preset::ALL {
        let hierarchy = Hierarchy::preset(preset);
        for strategy in Strategy::ALL.into_iter().filter(|one| one.is_allowed(hierarchy.origin())) {
            let settings = Settings::of(&hierarchy).with_strategy(strategy);
            let machine = machine(&hierarchy, &Size::SMALL, settings, at(EXPIRY));
            for policy in units(&hierarchy).iter() {
                let timeline = rehearsed(&machine, policy.unit, START);
                let plan = machine.plan(policy.unit, strategy).unwrap();
                let planned: Vec<_> = plan.stages().iter().map(|stage| stage.id().clone()).collect();
                let went: Vec<_> = timeline.stages.iter().map(|span| span.id.clone()).collect();
                assert_eq!(went, planned, "{preset} {strategy} {}", policy.unit);
                let cost = plan.cost(machine.topology());
                for work in &timeline.components {
                    let context = format!("{preset} {strategy} {} {}", policy.unit, work.kind);
                    assert_eq!(work.most, cost.restarts(work.kind), "{context}");
                    assert_eq!(work.restarts, work.most * work.instances, "{context}");
                }
                let recreated = timeline.nodes.iter().map(|node| node.recreations).max().unwrap_or_default();
                assert_eq!(recreated, cost.recreations());
                let mut ends = timeline.stages.iter().map(|span| span.ends);
                assert!(ends.clone().is_sorted() && ends.next_back() == Some(timeline.completes));
                assert!(timeline.blocked.is_empty(), "the calendar is always open");
                if let Trigger::Automatic { before_expiry } = policy.trigger {
                    // The clock begins it, one unit at a time.
                    assert!(timeline.begins >= at(EXPIRY) - before_expiry, "{preset} {}", policy.unit);
                    assert_eq!(timeline.latest_start, None);
                }
            }
        }
    }
}

#[test]
fn a_rehearsal_changes_nothing_and_says_the_same_twice() {
    let machine = kubeadm(on_weekends);
    let once = rehearsed(&machine, Unit::Ca, START).to_string();
    let fraction = at(START) - Duration::milliseconds(1);
    let what = Rehearsal::of(&machine, Unit::Ca);
    let rounded = rehearse(&machine, &what, &assumed(&machine), fraction).unwrap();
    assert_eq!(rounded.to_string(), once, "seconds are whole, and none before what was asked for");
    assert_eq!(rehearsed(&machine, Unit::Ca, START).to_string(), once);
    assert!(machine.stage().is_none() && machine.waiting().count() > 10 && machine.epoch() == 0);
}

#[test]
fn a_stage_takes_as_long_as_its_restarts_one_after_the_other() {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    for (nodes, max_unavailable, rounds) in [(12, 1, 12), (12, 5, 3), (1, 5, 1)] {
        let size = Size { nodes, pools: 1, max_unavailable, pods: false };
        let settings = Settings::of(&hierarchy).with_strategy(Strategy::DualEndpoint);
        let machine = machine(&hierarchy, &size, settings, at(EXPIRY));
        let timeline = rehearsed(&machine, Unit::Credentials, START);
        let stage = timeline.stages.iter().find(|span| span.id.to_string() == "node-leaves/pool-0").unwrap();
        assert_eq!(stage.takes(), assumed(&machine).recreation * rounds, "{nodes} nodes, {max_unavailable} at once");
        assert_eq!(usize::try_from(stage.recreations).unwrap(), nodes);
        assert_eq!(timeline.nodes.len(), nodes);
    }
}

#[test]
fn nodes_wait_for_the_window_and_the_wait_is_counted() {
    let machine = gke(|settings| on_weekends(settings.with_strategy(Strategy::DualEndpoint)));
    let mut assumptions = assumed(&machine);
    // Two nodes of a pool take ten hours, and a window has six.
    assumptions.recreation = Duration::hours(5);
    let what = Rehearsal::of(&machine, Unit::Credentials);
    let timeline = rehearse(&machine, &what, &assumptions, at("2026-02-07T02:00:00Z")).unwrap();
    let stage = |name: &str| timeline.stages.iter().find(|span| span.id.to_string() == name).unwrap();
    let first = stage("node-leaves/pool-0");
    // The first begins on Saturday and is back at 07:21, so the second begins then; the window closes at 08:00.
    assert_eq!((first.takes(), first.blocked), (Duration::hours(10), Duration::ZERO));
    let second = stage("node-leaves/pool-1");
    let opens = at("2026-02-08T02:00:00Z");
    assert_eq!(second.blocked, opens - second.begins);
    let blocked = timeline.blocked.iter().find(|blocked| blocked.pool == Some(pool(1))).unwrap();
    assert_eq!((blocked.step, blocked.first, blocked.total), (StepKind::RecreateNodes, second.begins, second.blocked));
    assert!(timeline.blocked.iter().all(|blocked| blocked.pool != Some(pool(0))));
}

#[test]
fn a_calendar_without_a_window_is_a_typed_error() {
    let exclusion = |scope| {
        let end = at("2031-01-01T00:00:00Z");
        MaintenanceExclusion::new("freeze".parse().unwrap(), at(BORN), end, scope).unwrap()
    };
    let everything = Calendar::always().with_exclusions([exclusion(ExclusionScope::NoUpgrades)]).unwrap();
    let nodes = Calendar::always().with_exclusions([exclusion(ExclusionScope::NoMinorOrNodeUpgrades)]).unwrap();
    let once = rotation_fsm::MaintenanceWindow::lasting(
        at("2030-06-01T00:00:00Z"),
        Duration::hours(6),
        "FREQ=WEEKLY;BYDAY=SA".parse().unwrap(),
    );
    let too_late = Calendar::within([once.unwrap()]).unwrap();
    for (calendar, step, excluded) in [
        (everything, StepKind::ControlPlane, true),
        (nodes, StepKind::RecreateNodes, true),
        (too_late, StepKind::ControlPlane, false),
    ] {
        let machine = kubeadm(|settings| Settings { calendar, ..settings });
        let RehearsalError::NoWindow(CalendarError::NoWindow { step: found, deadline, excluded_by, .. }) =
            refused(&machine, Unit::Ca)
        else {
            panic!("{step}: there is no window")
        };
        assert_eq!((found, deadline, excluded_by.is_some()), (step, at(EXPIRY), excluded));
        // Near the expiry GKE no longer lets the calendar keep it.
        let near = Rehearsal::of(&machine, Unit::Ca).with_maintenance(MaintenancePolicy::gke_000());
        let timeline = rehearse(&machine, &near, &assumed(&machine), at(START)).unwrap();
        assert!(timeline.completes >= at(EXPIRY) - Duration::days(30));
        // And an emergency never does.
        let emergency = Rehearsal::of(&machine, Unit::Ca).in_an_emergency();
        assert!(rehearse(&machine, &emergency, &assumed(&machine), at(START)).is_ok());
    }
}

#[test]
fn the_risk_is_raised_from_the_insight_on_and_not_before() {
    let machine = kubeadm(on_weekends);
    let mut assumptions = assumed(&machine);
    // Two words: more than half a year.
    assumptions.word = Some(Duration::days(120));
    let what = Rehearsal::of(&machine, Unit::Ca);
    for (days, raised) in [(181, false), (180, true), (20, true)] {
        let timeline = rehearse(&machine, &what, &assumptions, at(EXPIRY) - Duration::days(days)).unwrap();
        assert_eq!(timeline.feasibility(), Feasibility::AtRisk { completes_at: timeline.completes }, "{days}");
        assert!(timeline.margin().unwrap() < Duration::ZERO);
        assert_eq!((timeline.is_at_risk(), timeline.latest_start), (raised, None), "{days}");
    }
    let timeline = rehearsed(&machine, Unit::Ca, "2029-12-01T00:00:00Z");
    assert_eq!((timeline.feasibility(), timeline.is_at_risk()), (Feasibility::Fits, false));
    assert!(timeline.insight.is_some_and(|insight| insight.feasibility() == Feasibility::Fits));
}

#[test]
fn the_latest_start_completes_in_time_and_an_hour_later_none_does() {
    for settings in [|settings| settings, on_weekends] {
        let machine = kubeadm(settings);
        let latest = rehearsed(&machine, Unit::Ca, START).latest_start.unwrap();
        let what = Rehearsal::of(&machine, Unit::Ca);
        let fits = |start| {
            let timeline = rehearse(&machine, &what, &assumed(&machine), start);
            timeline.is_ok_and(|timeline| timeline.feasibility() == Feasibility::Fits)
        };
        assert!(fits(latest), "{latest}");
        assert!((1..48).all(|hours| !fits(latest + Duration::hours(hours))), "{latest}");
    }
}

#[test]
fn who_is_given_nothing_is_left_behind_where_the_preset_says_so() {
    let machine = gke(|settings| settings.with_strategy(Strategy::DualEndpoint));
    let timeline = rehearsed(&machine, Unit::Credentials, START);
    let closes = begins(&timeline, "close-address");
    assert_eq!(timeline.point_of_no_return, Some(closes));
    // Attempts from the seventh day on.
    assert_eq!(closes, at(START) + Duration::days(7));
    let left = |timeline: &Timeline| {
        let left = |outage: &&Outage| matches!(outage, Outage::LeftBehind { from, .. } if *from == closes);
        timeline.outages.iter().filter(left).count()
    };
    assert_eq!(left(&timeline), 1);
    let retires = begins(&timeline, "control-plane-retire");
    assert!(timeline.outages.iter().any(|outage| matches!(
        outage,
        Outage::StaticTokens { from, renew_from, .. } if *from == retires && *renew_from == timeline.completes
    )));
    let original = address("192.0.2.1");
    assert!(timeline.outages.iter().any(
        |outage| matches!(outage, Outage::Address { address, from, .. } if *address == original && *from == closes)
    ));

    // Somebody who sees to it in time is not.
    let mut assumptions = assumed(&machine);
    assumptions.word = Some(Duration::days(2));
    assumptions.completion = Some(Duration::DAY);
    let what = Rehearsal::of(&machine, Unit::Credentials);
    let timeline = rehearse(&machine, &what, &assumptions, at(START)).unwrap();
    assert_eq!(left(&timeline), 0);
    assert!(timeline.completes < at(START) + Duration::days(7), "a user completes before the first attempt");
    // The address stays where the order does not replace it.
    let staged = rehearse(&machine, &what.with_strategy(Strategy::Staged), &assumed(&machine), at(START)).unwrap();
    assert!(!staged.outages.iter().any(|outage| matches!(outage, Outage::Address { .. })));
    // Staged, it fails earlier: from the first certificate that it does not know.
    let shown = begins(&staged, "control-plane-leaves");
    assert!(staged.outages.iter().any(|outage| matches!(outage, Outage::LeftBehind { from, .. } if *from == shown)));
    assert!(Some(shown) < staged.point_of_no_return);
    // An attempt leaves it behind as soon as the calendar lets one be made, long before everything is ready.
    let windowed = gke(on_weekends);
    let waits = rehearsed(&windowed, Unit::Credentials, START);
    let waits = waits.stages.iter().find(|span| span.id.to_string() == "external-trust").unwrap();
    assert_eq!(waits.ends, at("2026-02-14T02:00:00Z"), "the first window after the seventh day");
    // And no token dies with a unit that has no part in them.
    let etcd = rehearsed(&machine, Unit::EtcdApi, START);
    assert!(!etcd.outages.iter().any(|outage| matches!(outage, Outage::StaticTokens { .. })));
}

#[test]
fn what_would_never_end_says_what_it_waits_for() {
    let machine = kubeadm(|settings| settings);
    let mut nobody = assumed(&machine);
    nobody.word = None;
    let what = Rehearsal::of(&machine, Unit::Ca);
    let error = rehearse(&machine, &what, &nobody, at(START)).unwrap_err();
    assert!(matches!(error, RehearsalError::NobodySays { .. }), "{error}");

    let gated = kubeadm(|settings| settings.with_completion(Completion::OnRequest));
    let error = refused(&gated, Unit::Ca);
    assert!(matches!(error, RehearsalError::NobodyCompletes { .. }), "{error}");
    let mut asked = assumed(&gated);
    asked.completion = Some(Duration::HOUR);
    let timeline = rehearse(&gated, &Rehearsal::of(&gated, Unit::Ca), &asked, at(START)).unwrap();
    let gate = timeline.point_of_no_return.unwrap();
    let free = rehearsed(&machine, Unit::Ca, START).point_of_no_return.unwrap();
    // The last word before the gate is what everybody waits for.
    assert!(gate >= free, "{gate} {free}");

    let mut frozen = gke(|settings| settings.with_strategy(Strategy::DualEndpoint));
    frozen.apply(&Event::FreezeChanged { frozen: true }, at(BORN)).unwrap();
    let error = refused(&frozen, Unit::Credentials);
    assert!(matches!(&error, RehearsalError::NeverOpen(blocked) if blocked.pool == Some(pool(0))), "{error}");

    let mut unending = gke(|settings| settings);
    unending.apply(&Event::Tick, at("2026-06-01T00:00:00Z")).unwrap();
    let error = refused(&unending, Unit::Credentials);
    assert!(matches!(error, RehearsalError::BeforeSnapshot { .. }), "{error}");
    let error = refused(&machine, Unit::Konnectivity);
    assert_eq!(error, RehearsalError::Rejected(Rejected::UnknownUnit(Unit::Konnectivity)));
}

#[test]
fn a_rotation_that_runs_is_gone_through_to_its_end() {
    let mut cluster = cluster::Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("node-leaves/pool-b");
    let what = Rehearsal::of(&cluster.machine, Unit::Ca);
    let timeline = rehearse(&cluster.machine, &what, &assumed(&cluster.machine), cluster.now).unwrap();
    assert_eq!(timeline.stages.first().unwrap().id.to_string(), "node-leaves/pool-b");
    assert_eq!((timeline.latest_start, timeline.assumed_in_order.len()), (None, 0));
    let emergency = Rehearsal::of(&cluster.machine, Unit::Ca).in_an_emergency();
    let error = rehearse(&cluster.machine, &emergency, &assumed(&cluster.machine), cluster.now).unwrap_err();
    assert!(matches!(error, RehearsalError::Rejected(Rejected::InProgress { .. })), "{error}");

    cluster.apply(&Event::PauseRequested { by: "somebody".to_owned() }).unwrap();
    let what = Rehearsal::of(&cluster.machine, Unit::Ca);
    let error = rehearse(&cluster.machine, &what, &assumed(&cluster.machine), cluster.now).unwrap_err();
    assert_eq!(error, RehearsalError::Paused);
}

#[test]
fn an_emergency_states_its_losses_and_leaves_everybody_outside_behind() {
    let machine = kubeadm(on_weekends);
    let what = Rehearsal::of(&machine, Unit::Ca).in_an_emergency();
    let timeline = rehearse(&machine, &what, &assumed(&machine), at(START)).unwrap();
    assert!(!timeline.losses.is_empty() && timeline.emergency && timeline.latest_start.is_none());
    assert!(timeline.outages.iter().any(|outage| matches!(outage, Outage::LeftBehind { .. })));
    assert!(timeline.takes() < Duration::DAY && timeline.blocked.is_empty(), "it waits for no window");
    assert_eq!(rehearsed(&machine, Unit::Ca, START).losses, []);
}

#[test]
fn sixty_five_thousand_nodes() {
    let hierarchy = Hierarchy::gke(Storage::Spanner);
    let settings = Settings::of(&hierarchy).with_strategy(Strategy::DualEndpoint);
    let size = Size { nodes: 65_000, pools: 65, max_unavailable: 10, pods: false };
    // One that does not fit is gone through once: no later start is looked for.
    let machine = machine(&hierarchy, &size, settings, at(START) + Duration::days(40));
    let timeline = rehearsed(&machine, Unit::Credentials, START);
    assert!(timeline.is_at_risk());
    let kubelets = timeline.components.iter().find(|work| work.kind == ComponentKind::Kubelet).unwrap();
    assert_eq!((kubelets.instances, kubelets.restarts, kubelets.most), (65_000, 65_000, 1));
    assert_eq!(timeline.nodes.len(), 65_000);
    assert!(timeline.takes() > Duration::minutes(10) * 6_500);
}
