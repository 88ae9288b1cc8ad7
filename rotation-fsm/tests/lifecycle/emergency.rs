//! Keys that somebody else may have.

use std::collections::BTreeSet;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, Preset, Storage, TrustSlot};
use rotation_fsm::{
    Action, Calendar, ConsumerId, Event, ExclusionScope, Holding, Machine, MaintenanceExclusion, Offence, Phase, Plan,
    Rejected, Scope, Step, StepKind, Strategy, Topology, Trigger, Unit, units,
};
use time::Duration;

use crate::cluster::{Cluster, golden};
use crate::parts::{of_many_authorities, rotating, stage};

const V1: CaVersion = CaVersion::FIRST;
const V2: CaVersion = V1.next();
const V3: CaVersion = V2.next();

fn declared(unit: Unit) -> Event {
    suspected(unit, V1)
}

fn suspected(unit: Unit, suspect: CaVersion) -> Event {
    Event::EmergencyDeclared { unit, suspect, by: "operator".to_owned() }
}

fn hierarchies() -> Vec<(String, Hierarchy)> {
    let presets = Preset::ALL.map(|preset| (preset.to_string(), Hierarchy::preset(preset)));
    presets.into_iter().chain([("parts".to_owned(), of_many_authorities())]).collect()
}

#[test]
fn only_clients_outside_are_lost_and_they_are_named_beforehand() {
    let mut lines = String::new();
    for (name, hierarchy) in hierarchies() {
        let topology = Cluster::new(hierarchy.clone()).machine.topology().clone();
        for policy in units(&hierarchy).iter() {
            let plan = Plan::emergency(&topology, &policy.roles).unwrap();
            lines.push_str(&format!("{name} {}\n", policy.unit));
            for stage in plan.stages() {
                lines.push_str(&format!("  {stage}\n"));
            }
            for loss in plan.losses(&topology, &policy.roles).unwrap() {
                lines.push_str(&format!("  lost {loss}\n"));
                let ends = match &loss.offence {
                    Offence::Unverified { verifier, presenter, .. } => [*verifier, *presenter],
                    other => panic!("{other}"),
                };
                assert!(ends.contains(&ComponentKind::ExternalClient), "{name}: {loss}");
            }
        }
    }
    golden("emergency.txt", &lines);
}

#[test]
fn the_suspect_key_signs_nothing_and_goes_first_where_no_node_needs_it() {
    for (name, hierarchy) in hierarchies() {
        let topology = Topology::new(hierarchy.clone());
        for policy in units(&hierarchy).iter() {
            let plan = Plan::emergency(&topology, &policy.roles).unwrap();
            assert!(plan.stages().iter().all(|stage| stage.step() != Step::CrossSign), "{name}");
            let changes = || plan.stages().iter().flat_map(|stage| stage.changes());
            assert!(changes().all(|change| change.to != Holding::NEXT_CHAINED), "{name}");
            let nodes =
                plan.stages().iter().position(|stage| matches!(stage.scope(), Some(Scope::Nodes | Scope::Pool(_))));
            for slot in [TrustSlot::EtcdTrustedCa, TrustSlot::EtcdPeerTrustedCa, TrustSlot::ApiServerRequestheaderCa] {
                let dropped = plan.stages().iter().position(|stage| {
                    stage
                        .changes()
                        .iter()
                        .any(|change| change.facet == rotation_fsm::Facet::Trusts(slot) && change.to == Holding::NEXT)
                });
                let (Some(nodes), Some(dropped)) = (nodes, dropped) else { continue };
                assert!(dropped < nodes, "{name} {}: {slot:?}", policy.unit);
            }
        }
    }
}

#[test]
fn an_emergency_runs_to_its_end_and_leaves_clients_outside_behind() {
    for (name, hierarchy) in hierarchies() {
        let mut cluster = Cluster::new(hierarchy.clone());
        // Whatever they reach is not asked about here: they are the loss.
        let outside: Vec<ConsumerId> = cluster
            .machine
            .topology()
            .consumers()
            .map(|(id, _)| id.clone())
            .filter(|id| id.kind() == ComponentKind::ExternalClient)
            .collect();
        for gone in &outside {
            cluster.forget(gone);
        }
        for policy in units(&hierarchy).iter() {
            assert_eq!(cluster.apply(&declared(policy.unit)).unwrap().started, Some(V2), "{name}");
            assert!(rotating(&cluster.machine).is_emergency());
            let mut released = BTreeSet::new();
            while cluster.machine.stage().is_some() {
                let action = cluster.machine.pending_actions().next().unwrap_or_else(|| panic!("{name} stuck"));
                assert!(!matches!(action, Action::AwaitAcknowledgement { .. }), "{name}");
                for event in cluster.carry_out_all(&action) {
                    released.extend(cluster.apply(&event).unwrap().released);
                    cluster.check_paths();
                }
            }
            let in_part = cluster.machine.plan(policy.unit, Strategy::Staged).unwrap();
            let outside_asked = in_part.stages().iter().any(|stage| stage.scope() == Some(&Scope::External));
            assert_eq!(!released.is_empty(), outside_asked, "{name} {}: {released:?}", policy.unit);
            assert!(released.iter().all(|gone| outside.contains(gone)));
            for role in policy.roles.iter() {
                assert_eq!(cluster.machine.authority(*role).unwrap().version, V2);
            }
        }
        assert!(cluster.machine.is_at_rest(), "{name}");
    }
}

#[test]
fn who_is_broken_holds_nothing_up_before_its_own_turn() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.forget(&outside);
    let dead = cluster.consumer(ComponentKind::Kubelet, "dead");
    let pool = cluster.machine.topology().pools().next().cloned();
    cluster.apply(&Event::ConsumerJoined { consumer: dead.clone(), pool, incarnation: 0 }).unwrap();
    assert!(matches!(cluster.apply(&Event::RotationRequested { unit: Unit::Ca }), Err(Rejected::NotReady { .. })));
    cluster.apply(&declared(Unit::Ca)).unwrap();
    cluster.ignore(&dead);
    // The control plane is out of reach of the suspect keys before anybody asks about a node.
    cluster.run_until("node-leaves");
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "node-leaves");
    // Of its own pool one node may be away, and that is this one.
    let pool = |id: &ConsumerId| cluster.machine.topology().pool_of(id).map(ToString::to_string);
    assert!(cluster.machine.waiting().all(|waiting| pool(waiting).as_deref() == Some("pool-a")));
    let given_up =
        Event::ConsumerAbandoned { consumer: dead.clone(), by: "operator".to_owned(), reason: "dead".to_owned() };
    cluster.apply(&given_up).unwrap();
    assert_eq!(cluster.machine.abandoned(), [dead]);
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    assert_eq!(cluster.machine.completed().unwrap().to, V2);
}

#[test]
fn there_is_no_way_back_from_an_emergency_and_a_user_completes_nothing() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.apply(&declared(Unit::Ca)).unwrap();
    let back = Event::RollbackRequested { by: "operator".to_owned() };
    assert!(matches!(cluster.apply(&back), Err(Rejected::NoWayBack { stage: Some(_) })));
    // An automatic unit that no user may begin can be declared.
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let mut cluster = Cluster::new(hierarchy.clone());
    let automatic = units(&hierarchy).iter().find(|policy| policy.trigger != Trigger::User).unwrap().unit;
    assert_eq!(cluster.apply(&declared(automatic)).unwrap().started, Some(V2));
    assert_eq!(cluster.apply(&declared(automatic)), Err(Rejected::InProgress { to: V2 }));
    let other = suspected(Unit::Credentials, V1);
    assert_eq!(cluster.apply(&other), Err(Rejected::EmergencyAfter { unit: automatic, to: V2 }));
    assert_eq!(cluster.apply(&suspected(Unit::Ca, V1)), Err(Rejected::UnknownUnit(Unit::Ca)));
}

/// A rotation in the stage with this number, some of it done, with the calendar closed and nodes frozen from then on.
fn in_stage(hierarchy: &Hierarchy, strategy: Strategy, unit: Unit, index: usize) -> Option<Cluster> {
    let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
    cluster.start(unit);
    let plan = rotating(&cluster.machine).plan().clone();
    let wanted = plan.stages().get(index)?.to_string();
    cluster.run_until(&wanted);
    for _ in 0..index % 3 {
        if cluster.machine.waiting().count() > 1 {
            cluster.step();
        }
    }
    // One step may have been the last of the stage.
    if stage(&cluster.machine) != wanted {
        return in_stage(hierarchy, strategy, unit, index + 1);
    }
    let name = "no time".parse().unwrap();
    let end = cluster.now + Duration::days(90);
    let exclusion = MaintenanceExclusion::new(name, cluster.now, end, ExclusionScope::NoUpgrades).unwrap();
    let calendar = Calendar::always().with_exclusions([exclusion]).unwrap();
    cluster.apply(&Event::CalendarChanged { calendar }).unwrap();
    cluster.apply(&Event::FreezeChanged { frozen: true }).unwrap();
    Some(cluster)
}

/// Whatever clients outside reach is not asked about any more: they are the loss.
fn leave_outside(cluster: &mut Cluster) {
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.forget(&outside);
}

fn index_of_stage(cluster: &Cluster) -> usize {
    let plan = rotating(&cluster.machine).plan();
    plan.stages().iter().position(|one| Some(one) == cluster.machine.stage()).unwrap()
}

fn run_to_rest(cluster: &mut Cluster, what: &str) {
    while cluster.machine.stage().is_some() {
        // What a crash forgets is nothing.
        let restored = Machine::restore(cluster.machine.snapshot()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(restored.pending_actions().eq(cluster.machine.pending_actions()), "{what}");
        assert!(cluster.step(), "{what}: nothing to do in {}", stage(&cluster.machine));
    }
    assert!(cluster.machine.is_at_rest(), "{what}: {:?}", cluster.machine.waiting().collect::<Vec<_>>());
}

/// From every stage of every strategy: the old keys are suspect, so what runs goes on and waits for nothing any more.
#[test]
fn a_rotation_away_from_suspect_keys_goes_on_as_an_emergency_from_every_stage() {
    let mut stages = 0;
    for hierarchy in [Hierarchy::kubeadm(), Hierarchy::gke(Storage::Etcd)] {
        let unit = units(&hierarchy)[0].unit;
        for strategy in Strategy::ALL {
            for index in 0.. {
                let Some(mut cluster) = in_stage(&hierarchy, strategy, unit, index) else { break };
                let what = format!("{strategy} in {}", stage(&cluster.machine));
                leave_outside(&mut cluster);
                let applied = cluster.apply(&declared(unit)).unwrap();
                assert!(applied.changed && applied.started.is_none(), "{what}");
                if cluster.machine.stage().is_some() {
                    assert!(rotating(&cluster.machine).is_emergency(), "{what}");
                    assert_eq!(cluster.apply(&declared(unit)), Err(Rejected::InProgress { to: V2 }), "{what}");
                }
                assert_eq!(cluster.machine.blocked(), None, "{what}");
                run_to_rest(&mut cluster, &what);
                assert_eq!(cluster.machine.completed().unwrap().to, V2, "{what}");
                stages += 1;
            }
        }
    }
    assert!(stages > 60, "{stages}");
}

/// From every stage of every strategy: the next keys are suspect. Before the point of no return what runs turns back, in
/// presets too in which no user may ask for that; past it, it has to end, and the emergency is declared then.
#[test]
fn a_rotation_towards_suspect_keys_turns_back_from_every_stage_from_which_it_can() {
    let (mut turned, mut ended) = (0, 0);
    for hierarchy in [Hierarchy::kubeadm(), Hierarchy::gke(Storage::Etcd)] {
        let unit = units(&hierarchy)[0].unit;
        for strategy in Strategy::ALL {
            for index in 0.. {
                let Some(mut cluster) = in_stage(&hierarchy, strategy, unit, index) else { break };
                let what = format!("{strategy} in {}", stage(&cluster.machine));
                let past = rotating(&cluster.machine).plan().point_of_no_return().unwrap() <= index_of_stage(&cluster);
                let outcome = cluster.apply(&suspected(unit, V2));
                if !past {
                    leave_outside(&mut cluster);
                    outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(cluster.machine.blocked(), None, "{what}");
                    run_to_rest(&mut cluster, &what);
                    let completed = cluster.machine.completed().unwrap();
                    assert!(completed.rolled_back && completed.to == V1, "{what}");
                    // The number is not given again, and neither are the keys.
                    assert_eq!(cluster.start(unit), V3, "{what}");
                    turned += 1;
                    continue;
                }
                assert_eq!(outcome, Err(Rejected::EmergencyAfter { unit, to: V2 }), "{what}");
                finish_by_hand(&mut cluster, &what);
                assert_eq!(cluster.machine.completed().unwrap().to, V2, "{what}");
                leave_outside(&mut cluster);
                assert_eq!(cluster.apply(&suspected(unit, V2)).unwrap().started, Some(V3), "{what}");
                run_to_rest(&mut cluster, &what);
                ended += 1;
            }
        }
    }
    assert!(turned > 30 && ended > 15, "{turned} {ended}");
}

/// What an operator does where an emergency has to come after: orders every step, so that nothing waits.
fn finish_by_hand(cluster: &mut Cluster, what: &str) {
    for step in StepKind::ALL.into_iter().filter(|step| *step != StepKind::Start) {
        cluster.apply(&Event::MaintenanceOverridden { step, by: "operator".to_owned() }).unwrap();
    }
    run_to_rest(cluster, what);
}

/// The way back leads to the old keys: while they are suspect it has to end first, from every stage of it.
#[test]
fn a_way_back_to_suspect_keys_ends_first_and_goes_on_for_the_others() {
    let hierarchy = Hierarchy::kubeadm();
    for strategy in Strategy::ALL {
        for index in 0.. {
            let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
            cluster.start(Unit::Ca);
            let plan = rotating(&cluster.machine).plan().clone();
            if plan.point_of_no_return().unwrap() <= index {
                break;
            }
            cluster.run_until(&plan.stages()[index].to_string());
            let what = format!("{strategy} back from {}", stage(&cluster.machine));
            cluster.apply(&Event::RollbackRequested { by: "operator".to_owned() }).unwrap();
            let after = Rejected::EmergencyAfter { unit: Unit::Ca, to: V2 };
            assert_eq!(cluster.apply(&suspected(Unit::Ca, V1)), Err(after), "{what}");
            let unknown = Rejected::WrongVersion { role: AuthorityRole::Cluster, found: V3 };
            assert_eq!(cluster.apply(&suspected(Unit::Ca, V3)), Err(unknown), "{what}");
            let mut other = cluster.machine.clone();
            finish_by_hand(&mut cluster, &what);
            assert_eq!(cluster.apply(&suspected(Unit::Ca, V1)).unwrap().started, Some(V3), "{what}");
            // What is given up is suspect: the same way, which waits for nothing any more.
            other.apply(&suspected(Unit::Ca, V2), cluster.now).unwrap();
            assert!(
                matches!(other.phase(), Phase::Rotating(it) if it.is_emergency() && it.is_rolling_back()),
                "{what}"
            );
        }
    }
}

/// Clients outside are left behind on the way back; a node that nobody has seen is not, though it was asked for nothing.
#[test]
fn a_way_back_in_an_emergency_still_waits_for_nodes() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-trust");
    leave_outside(&mut cluster);
    let dead = cluster.consumer(ComponentKind::Kubelet, "dead");
    let pool = cluster.machine.topology().pools().next().cloned();
    cluster.apply(&Event::ConsumerJoined { consumer: dead.clone(), pool, incarnation: 0 }).unwrap();
    cluster.ignore(&dead);
    cluster.apply(&suspected(Unit::Ca, V2)).unwrap();
    cluster.exhaust();
    assert_eq!(cluster.machine.waiting().collect::<Vec<_>>(), [&dead]);
    assert!(cluster.machine.stage().is_some());
    let given_up = Event::ConsumerAbandoned { consumer: dead, by: "operator".to_owned(), reason: "dead".to_owned() };
    cluster.apply(&given_up).unwrap();
    cluster.run();
    assert!(cluster.machine.is_at_rest() && cluster.machine.completed().unwrap().rolled_back);
}
