//! Keys that somebody else may have.

use std::collections::BTreeSet;

use pki_core::{CaVersion, ComponentKind, Hierarchy, Preset, Storage, TrustSlot};
use rotation_fsm::{
    Action, ConsumerId, Event, Holding, Offence, Plan, Rejected, Scope, Step, Strategy, Topology, Trigger, Unit, units,
};

use crate::cluster::{Cluster, golden};
use crate::parts::{of_many_authorities, rotating, stage};

const V2: CaVersion = CaVersion::FIRST.next();

fn declared(unit: Unit) -> Event {
    Event::EmergencyDeclared { unit, by: "operator".to_owned() }
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
    assert_eq!(cluster.apply(&declared(Unit::Ca)), Err(Rejected::InProgress { to: V2 }));
}
