//! Pausing, and the way back from every stage that has one.

use std::collections::BTreeSet;

use pki_core::{CaVersion, ComponentKind, Hierarchy, Preset};
use rotation_fsm::{
    Action, AuthorityRecord, Completion, Event, Machine, Rejected, Settings, Strategy, Topology, Unit, units,
};

use crate::cluster::{Cluster, address};
use crate::parts::{of_many_authorities, rotating, stage};

const V1: CaVersion = CaVersion::FIRST;
const V2: CaVersion = V1.next();
const V3: CaVersion = V2.next();

fn back() -> Event {
    Event::RollbackRequested { by: "operator".to_owned() }
}

fn pause() -> Event {
    Event::PauseRequested { by: "operator".to_owned() }
}

fn resume() -> Event {
    Event::ResumeRequested { by: "operator".to_owned() }
}

/// How far the stage that runs has got when somebody turns back.
const STEPS: [usize; 4] = [0, 1, 3, usize::MAX];

/// Turns back in the stage with this number, after so many steps of it, and says whether there is one.
fn turn_back(
    hierarchy: &Hierarchy,
    strategy: Strategy,
    unit: Unit,
    index: usize,
    steps: usize,
    restarts: bool,
) -> bool {
    let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
    cluster.start(unit);
    let plan = rotating(&cluster.machine).plan().clone();
    if plan.point_of_no_return().is_none_or(|end| index >= end) {
        return false;
    }
    let place = |cluster: &Cluster| {
        let current = cluster.machine.stage().map(|stage| stage.id().clone());
        plan.stages()
            .iter()
            .position(|stage| Some(stage.id()) == current.as_ref())
            .unwrap_or_else(|| plan.stages().len())
    };
    while place(&cluster) < index {
        assert!(cluster.step());
    }
    let wanted = stage(&cluster.machine);
    for _ in 0..steps.min(40) {
        // The last step would end the stage.
        let left = cluster.machine.waiting().count();
        if (steps == usize::MAX && left <= 1) || !cluster.step() || stage(&cluster.machine) != wanted {
            break;
        }
    }
    if restarts {
        for event in cluster.restart_by_itself("node-2") {
            cluster.apply(&event).unwrap();
            cluster.check_paths();
        }
    }
    let turned = stage(&cluster.machine);
    if Some(place(&cluster)) >= plan.point_of_no_return() {
        assert!(matches!(cluster.apply(&back()), Err(Rejected::NoWayBack { .. })));
        return true;
    }
    cluster.apply(&back()).unwrap();
    cluster.check_paths();
    if cluster.machine.stage().is_some() {
        assert!(rotating(&cluster.machine).is_rolling_back());
        assert_eq!(
            cluster.apply(&back()),
            Err(Rejected::NoWayBack { stage: cluster.machine.stage().map(|s| s.id().clone()) })
        );
    }
    let what = format!("{strategy} {unit} back from {turned} ({steps})");
    while cluster.machine.stage().is_some() {
        assert!(cluster.step(), "{what}: nothing to do in {}", stage(&cluster.machine));
    }
    assert!(cluster.machine.is_at_rest(), "{what}: {:?}", cluster.machine.waiting().collect::<Vec<_>>());
    assert_eq!(cluster.generations().into_iter().collect::<Vec<_>>(), [V1], "{what}");
    let completed = cluster.machine.completed().unwrap();
    assert!(completed.rolled_back && completed.to == V1, "{what}");
    true
}

#[test]
fn there_is_a_way_back_from_every_stage_before_the_point_of_no_return() {
    for hierarchy in [Hierarchy::kubeadm(), of_many_authorities()] {
        for strategy in Strategy::ALL {
            for policy in units(&hierarchy).iter() {
                let mut turned = 0;
                for index in 0.. {
                    let (steps, restarts) = (STEPS[index % STEPS.len()], index % 2 == 1);
                    if !turn_back(&hierarchy, strategy, policy.unit, index, steps, restarts) {
                        break;
                    }
                    turned += 1;
                }
                assert!(turned >= 3, "{strategy} {}", policy.unit);
            }
        }
    }
}

#[test]
fn a_stage_that_is_half_done_goes_back_from_every_point_in_it() {
    for strategy in Strategy::ALL {
        for index in 0..14 {
            for steps in STEPS {
                for restarts in [false, true] {
                    turn_back(&Hierarchy::kubeadm(), strategy, Unit::Ca, index, steps, restarts);
                }
            }
        }
    }
}

#[test]
fn a_generation_that_was_given_up_is_destroyed_and_its_number_not_used_again() {
    for strategy in Strategy::ALL {
        let mut cluster = Cluster::with_strategy(Hierarchy::kubeadm(), strategy);
        cluster.start(Unit::Ca);
        cluster.run_until("control-plane-leaves");
        cluster.apply(&back()).unwrap();
        let mut destroyed = Vec::new();
        while cluster.machine.stage().is_some() {
            destroyed.extend(cluster.machine.pending_actions().filter_map(|action| match action {
                Action::EnsureKeyDestroyed { role, version, .. } => Some((role, version)),
                _ => None,
            }));
            assert!(cluster.step());
        }
        assert!(destroyed.iter().all(|(_, version)| *version == V2));
        for role in Hierarchy::kubeadm().roles() {
            assert!(destroyed.contains(&(*role, V2)), "{role}");
            assert_eq!(cluster.machine.authority(*role).unwrap().version, V1);
        }
        assert_eq!(cluster.start(Unit::Ca), V3);
        let lines = cluster.run();
        let both = lines.iter().any(|(_, line)| line.contains("has CA bundle [1 3]"));
        assert_eq!(both, strategy != Strategy::CrossSigned, "{strategy}: {lines:#?}");
        assert!(!lines.iter().any(|(_, line)| line.contains("[1 2]") || line.contains("[2 3]")), "{lines:#?}");
        assert!(cluster.machine.is_at_rest());
        assert_eq!(cluster.generations().into_iter().collect::<Vec<_>>(), [V3]);
        // And on from there, over the gap.
        assert_eq!(cluster.start(Unit::Ca), V3.next());
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }
}

#[test]
fn turning_back_twice_gives_up_two_numbers() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    for version in [V2, V3] {
        assert_eq!(cluster.start(Unit::Ca), version);
        cluster.run_until("external-trust");
        cluster.apply(&back()).unwrap();
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }
    assert_eq!(cluster.start(Unit::Ca), V3.next());
}

/// Another replica may have minted it and not have said so: no number is given to two keys.
#[test]
fn a_number_is_not_used_again_although_nothing_was_minted() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    for version in [V2, V3] {
        assert_eq!(cluster.start(Unit::Ca), version);
        assert_eq!(stage(&cluster.machine), "mint");
        cluster.apply(&back()).unwrap();
        // Whoever minted it none the less finds that it is to be destroyed.
        let destroyed: BTreeSet<_> = cluster
            .machine
            .pending_actions()
            .map(|action| match action {
                Action::EnsureKeyDestroyed { role, version, .. } => (role, version),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(destroyed, Hierarchy::kubeadm().roles().iter().map(|role| (*role, version)).collect());
        cluster.run();
        assert!(cluster.machine.is_at_rest());
        // And a crash forgets none.
        cluster.machine = Machine::restore(cluster.machine.snapshot()).unwrap();
    }
    assert_eq!(cluster.start(Unit::Ca), V3.next());
    cluster.run();
    assert_eq!(cluster.generations().into_iter().collect::<Vec<_>>(), [V3.next()]);
}

#[test]
fn the_last_number_is_given_once() {
    let hierarchy = Hierarchy::kubeadm();
    let last = CaVersion::new(u32::MAX).unwrap();
    let cluster = Cluster::new(hierarchy.clone());
    let authorities = hierarchy.roles().iter().map(|role| (*role, cluster.record(*role, V1)));
    let at_last = authorities.map(|(role, record)| (role, AuthorityRecord { version: last, ..record }));
    let topology = Topology::new(hierarchy.clone());
    let settings = Settings::of(&hierarchy);
    let mut machine =
        Machine::new("test".parse().unwrap(), topology, settings, at_last.collect::<Vec<_>>(), cluster.now).unwrap();
    let declared = Event::EmergencyDeclared { unit: Unit::Ca, suspect: last, by: "operator".to_owned() };
    for event in [Event::RotationRequested { unit: Unit::Ca }, declared] {
        assert_eq!(machine.apply(&event, cluster.now), Err(Rejected::NoVersionLeft(Unit::Ca)));
    }
}

#[test]
fn there_is_no_way_back_past_the_point_of_no_return_nor_where_the_preset_has_none() {
    for strategy in Strategy::ALL {
        let mut cluster = Cluster::with_strategy(Hierarchy::kubeadm(), strategy);
        cluster.start(Unit::Ca);
        let plan = rotating(&cluster.machine).plan().clone();
        let end = plan.point_of_no_return().unwrap();
        for past in &plan.stages()[end..] {
            cluster.run_until(&past.to_string());
            let before = format!("{:?}", cluster.machine);
            assert_eq!(cluster.apply(&back()), Err(Rejected::NoWayBack { stage: Some(past.id().clone()) }));
            assert_eq!(format!("{:?}", cluster.machine), before);
        }
    }
    for preset in [Preset::Gdc, Preset::Gke(pki_core::Storage::Etcd)] {
        let mut cluster = Cluster::new(Hierarchy::preset(preset));
        cluster.start(units(&Hierarchy::preset(preset))[0].unit);
        assert_eq!(cluster.apply(&back()), Err(Rejected::NoRollback));
        assert_eq!(cluster.apply(&pause()), Err(Rejected::NoPause));
        assert_eq!(cluster.apply(&resume()), Err(Rejected::NoPause));
    }
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    for event in [back(), pause(), resume()] {
        assert_eq!(cluster.apply(&event), Err(Rejected::NotInStage { current: None }));
    }
}

#[test]
fn nodes_of_a_pool_that_was_added_since_go_back_with_the_others() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-leaves");
    let pool: rotation_fsm::PoolName = "pool-c".to_owned().try_into().unwrap();
    cluster.apply(&Event::PoolAdded { pool: pool.clone(), max_unavailable: 1 }).unwrap();
    let newcomer = cluster.consumer(ComponentKind::Kubelet, "node-9");
    cluster.join(&newcomer, Some(pool), 0);
    for _ in 0..4 {
        assert!(cluster.step());
    }
    cluster.apply(&back()).unwrap();
    // The control plane still shows leaves of the next generation: whoever verifies them keeps both.
    assert!(!cluster.machine.waiting().any(|waiting| *waiting == newcomer));
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    assert_eq!(cluster.generations().into_iter().collect::<Vec<_>>(), [V1]);
}

#[test]
fn while_it_is_paused_nothing_is_begun_and_what_was_taken_down_comes_back() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-trust");
    let etcd = cluster.consumer(ComponentKind::Etcd, "1");
    let after = cluster.observation(&etcd).id;
    cluster.apply(&Event::TakenDown { consumer: etcd.clone(), after }).unwrap();
    cluster.apply(&pause()).unwrap();
    assert!(rotating(&cluster.machine).is_paused());
    let pending: Vec<_> = cluster.machine.pending_actions().collect();
    assert!(
        matches!(pending.as_slice(), [Action::EnsureConsumer { target, .. }] if target.consumer == etcd),
        "{pending:?}"
    );
    // It comes back with what it was taken down for, and a stage does not end while paused.
    cluster.exhaust();
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
    cluster.apply(&pause()).unwrap();
    cluster.apply(&resume()).unwrap();
    assert!(!rotating(&cluster.machine).is_paused());
    cluster.run();
    assert!(cluster.machine.is_at_rest());

    // Turning back ends a pause.
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-leaves");
    cluster.apply(&pause()).unwrap();
    assert!(!cluster.step());
    cluster.apply(&back()).unwrap();
    cluster.run();
    assert_eq!(cluster.machine.completed().unwrap().to, V2);
    assert!(cluster.machine.completed().unwrap().rolled_back);
}

#[test]
fn the_address_moves_with_every_rotation_and_stays_when_it_is_rolled_back() {
    let mut cluster = Cluster::with_strategy(Hierarchy::kubeadm(), Strategy::DualEndpoint);
    for (number, version) in [(2, V2), (3, V3)] {
        assert_eq!(cluster.start(Unit::Ca), version);
        cluster.run();
        assert!(cluster.machine.is_at_rest());
        assert_eq!(cluster.machine.address(), Some(&address(number)));
    }
    cluster.start(Unit::Ca);
    cluster.run_until("node-leaves/pool-b");
    cluster.apply(&back()).unwrap();
    cluster.run();
    assert_eq!(cluster.machine.address(), Some(&address(3)));
    assert!(cluster.machine.is_at_rest());
    cluster.start(Unit::Ca);
    cluster.run();
    assert_eq!(cluster.machine.address(), Some(&address(5)));
}

#[test]
fn where_addresses_are_followed_the_other_strategies_leave_them_alone() {
    for strategy in [Strategy::Staged, Strategy::CrossSigned] {
        let hierarchy = Hierarchy::kubeadm();
        let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic).with_strategy(strategy);
        let mut cluster = Cluster::on(Topology::with_address(hierarchy, address(1)), settings);
        for version in [V2, V3] {
            assert_eq!(cluster.start(Unit::Ca), version);
            cluster.run();
            assert!(cluster.machine.is_at_rest());
            assert_eq!(cluster.machine.address(), Some(&address(1)));
        }
    }
}
