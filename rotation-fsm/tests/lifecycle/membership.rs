//! Consumers and pools that come and go while a rotation runs.

use std::time::Instant;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, Preset};
use rotation_fsm::{
    Action, Completion, ConsumerId, Delivery, Event, Machine, Observation, PoolName, Rejected, ReportId, Settings,
    Strategy, Topology, TopologyError, Unit, units,
};

use time::Duration;

use crate::cluster::{Cluster, address, at};
use crate::parts::stage;

const V1: CaVersion = CaVersion::FIRST;
const V2: CaVersion = V1.next();

fn abandoned(consumer: &ConsumerId) -> Event {
    Event::ConsumerAbandoned { consumer: consumer.clone(), by: "operator".to_owned(), reason: "no answer".to_owned() }
}

/// Whatever happens whenever a stage begins, up to the end.
fn in_every_stage(cluster: &mut Cluster, mut happens: impl FnMut(&mut Cluster, usize)) {
    let mut last = String::new();
    let mut number = 0;
    while cluster.machine.stage().is_some() {
        let current = stage(&cluster.machine);
        if current != last {
            happens(cluster, number);
            number += 1;
            last = current;
            continue;
        }
        assert!(cluster.step(), "nothing to do in {last}");
    }
    assert!(number > 4, "{number} stages");
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn a_newcomer_is_in_order_from_its_first_report_on_in_every_stage() {
    for (preset, strategy) in [
        (Preset::Kubeadm, Strategy::Staged),
        (Preset::Kubeadm, Strategy::DualEndpoint),
        (Preset::Kubeadm, Strategy::CrossSigned),
        (Preset::Gdc, Strategy::Staged),
    ] {
        let mut cluster = Cluster::with_strategy(Hierarchy::preset(preset), strategy);
        let pools: Vec<_> = cluster.machine.topology().pools().cloned().collect();
        cluster.start(Unit::Ca);
        let mut last: Vec<ConsumerId> = Vec::new();
        in_every_stage(&mut cluster, |cluster, number| {
            // The newcomers of the stage before leave again.
            for gone in last.drain(..) {
                cluster.apply(&Event::ConsumerRemoved { consumer: gone.clone() }).unwrap();
                cluster.forget(&gone);
                cluster.check_paths();
            }
            let name = format!("new-{number}");
            for kind in [
                ComponentKind::Kubelet,
                ComponentKind::Pod,
                ComponentKind::KubeApiServer,
                ComponentKind::ControllerManager,
                ComponentKind::Etcd,
            ] {
                let newcomer = cluster.consumer(kind, &name);
                let on_a_node = matches!(kind, ComponentKind::Kubelet | ComponentKind::Pod);
                let Ok(_) = cluster.machine.provision(&newcomer, on_a_node.then(|| &pools[number % 2])) else {
                    continue;
                };
                let before = stage(&cluster.machine);
                cluster.join(&newcomer, on_a_node.then(|| pools[number % 2].clone()), 7);
                assert!(
                    cluster.machine.waiting().all(|waiting| *waiting != newcomer),
                    "{preset} {strategy}: {newcomer} in {before}"
                );
                last.push(newcomer);
            }
        });
        // GDC's service-account keys are a unit of their own.
        let mut old = cluster.holding(V1);
        old.retain(|line| preset != Preset::Gdc || !line.contains("ServiceAccount"));
        assert_eq!(old, Vec::<String>::new(), "{preset} {strategy}");
    }
}

#[test]
fn a_pool_that_is_added_in_any_stage_is_rotated_with_the_others() {
    for strategy in Strategy::ALL {
        let mut cluster = Cluster::with_strategy(Hierarchy::kubeadm(), strategy);
        cluster.start(Unit::Ca);
        in_every_stage(&mut cluster, |cluster, number| {
            let pool: PoolName = format!("pool-{number}").try_into().unwrap();
            cluster.apply(&Event::PoolAdded { pool: pool.clone(), max_unavailable: 2 }).unwrap();
            let again = Event::PoolAdded { pool: pool.clone(), max_unavailable: 2 };
            let duplicate = Rejected::Topology(TopologyError::DuplicatePool(pool.clone()));
            assert_eq!(cluster.apply(&again), Err(duplicate));
            let kubelet = cluster.consumer(ComponentKind::Kubelet, &format!("late-{number}"));
            cluster.join(&kubelet, Some(pool), 0);
        });
        assert_eq!(cluster.generations().into_iter().collect::<Vec<_>>(), [V2], "{strategy}");
        cluster.start(Unit::Ca);
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }
}

#[test]
fn whoever_does_not_answer_is_given_up_in_any_stage_and_joins_anew() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    let pool = cluster.machine.topology().pools().next().cloned();
    let kubelet = cluster.consumer(ComponentKind::Kubelet, "node-0");
    let mut given_up = 0;
    in_every_stage(&mut cluster, |cluster, number| {
        let late = cluster.observation(&kubelet);
        cluster.apply(&abandoned(&kubelet)).unwrap();
        given_up += 1;
        assert_eq!(cluster.machine.abandoned().len(), given_up);
        cluster.forget(&kubelet);
        assert_eq!(cluster.apply(&abandoned(&kubelet)), Err(Rejected::UnknownConsumer(kubelet.clone())));
        // What it says afterwards counts for nothing, then and when another has its name.
        let unknown = Rejected::UnknownConsumer(kubelet.clone());
        assert_eq!(cluster.apply(&Event::Observed(late.clone())), Err(unknown));
        cluster.join(&kubelet, pool.clone(), u64::try_from(number).unwrap() + 1);
        assert!(matches!(cluster.apply(&Event::Observed(late)), Err(Rejected::Stale { .. })));
    });
    // A new rotation, a new list; and at rest nothing is kept.
    cluster.start(Unit::Ca);
    assert!(cluster.machine.abandoned().is_empty());
    cluster.run();
    for number in 0..100 {
        let churned = cluster.consumer(ComponentKind::Kubelet, &format!("churned-{number}"));
        cluster.join(&churned, pool.clone(), 0);
        cluster.apply(&abandoned(&churned)).unwrap();
        cluster.forget(&churned);
    }
    assert!(cluster.machine.abandoned().is_empty());
}

#[test]
fn the_number_of_one_who_left_says_nothing_of_the_next() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    let pool = cluster.machine.topology().pools().next().cloned();
    let gone = cluster.consumer(ComponentKind::Kubelet, "node-0");
    let report = cluster.observation(&gone);
    cluster.apply(&Event::ConsumerRemoved { consumer: gone.clone() }).unwrap();
    cluster.forget(&gone);
    assert!(cluster.machine.is_at_rest());
    let next = cluster.consumer(ComponentKind::Kubelet, "node-next");
    cluster.apply(&Event::ConsumerJoined { consumer: next.clone(), pool, incarnation: 0 }).unwrap();
    // It has the number, and was not seen.
    assert_eq!(cluster.machine.waiting().collect::<Vec<_>>(), [&next]);
    assert_eq!(cluster.apply(&Event::Observed(report.clone())), Err(Rejected::UnknownConsumer(gone)));
    // Its counter begins anew.
    let first = Observation { consumer: next, id: ReportId { incarnation: 0, sequence: 1 }, ..report };
    cluster.apply(&Event::Observed(first)).unwrap();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn a_client_outside_is_provisioned_with_everything_at_rest_too() {
    let cluster = Cluster::new(Hierarchy::kubeadm());
    let laptop = cluster.consumer(ComponentKind::ExternalClient, "laptop");
    let target = cluster.machine.provision(&laptop, None).unwrap();
    assert_eq!((target.bundles.len(), target.leaves.len()), (1, 1));
    // As it would be rejected if it joined.
    let there = cluster.consumer(ComponentKind::ExternalClient, "0");
    let duplicate = Rejected::Topology(TopologyError::Duplicate(there.clone()));
    assert_eq!(cluster.machine.provision(&there, None), Err(duplicate));
    let kubelet = cluster.consumer(ComponentKind::Kubelet, "node-9");
    let homeless = Rejected::Topology(TopologyError::Pool { consumer: kubelet.clone(), pool: None });
    assert_eq!(cluster.machine.provision(&kubelet, None), Err(homeless));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn provisioning_costs_the_same_in_a_large_cluster() {
    let hierarchy = Hierarchy::kubeadm();
    let mut topology = Topology::with_address(hierarchy.clone(), address(1));
    let pool: PoolName = "large".to_owned().try_into().unwrap();
    topology.add_pool(pool.clone(), 10).unwrap();
    for number in 0..20_000 {
        let kubelet = ConsumerId::new(ComponentKind::Kubelet, format!("node-l-{number}").parse().unwrap());
        topology.add(kubelet, Some(pool.clone())).unwrap();
    }
    let roles = hierarchy.roles().to_vec();
    let small = Cluster::new(hierarchy.clone());
    let records = roles.into_iter().map(|role| (role, small.record(role, V1)));
    let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic);
    let machine = Machine::new("large".parse().unwrap(), topology, settings, records, small.now).unwrap();
    let begun = Instant::now();
    for number in 0..5_000 {
        let newcomer = ConsumerId::new(ComponentKind::Kubelet, format!("new-{number}").parse().unwrap());
        machine.provision(&newcomer, Some(&pool)).unwrap();
    }
    // A clone of the machine takes milliseconds each; this is far from both.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

/// What everybody shall run with is worked out stage by stage for those whom the stage touches: with as many pools as
/// there may be, it is what it would be if it were worked out anew.
#[test]
fn with_as_many_pools_as_may_be_a_stage_costs_what_it_touches_and_forgets_nobody() {
    let ends = Some(at(0) + Duration::days(3_650));
    for strategy in [Strategy::Staged, Strategy::CrossSigned] {
        let hierarchy = Hierarchy::kubeadm();
        let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic).with_strategy(strategy);
        let mut cluster = Cluster::large(hierarchy, settings, Topology::MAX_POOLS, Topology::MAX_POOLS, |_| ends);
        let mut stages = 0;
        cluster.start(Unit::Ca);
        while cluster.machine.stage().is_some() {
            cluster.take_up_everything_pending();
            stages += 1;
            if stages % 100 == 0 {
                let restored = Machine::restore(cluster.machine.snapshot()).unwrap();
                assert!(restored.waiting().eq(cluster.machine.waiting()));
                assert!(restored.pending_actions().eq(cluster.machine.pending_actions()));
            }
        }
        assert!(cluster.machine.is_at_rest());
        assert!(stages > 2 * Topology::MAX_POOLS, "{strategy}: {stages}");
    }
}

#[test]
fn what_is_to_be_handed_out_holds_up_no_rotation_and_keeps_its_name() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::Ca);
    cluster.run();
    let deliveries = |cluster: &Cluster| {
        let pending = cluster.machine.pending_actions();
        let keys = pending.filter_map(|action| match action {
            Action::EnsureDelivered { key, .. } => Some(key.to_string()),
            _ => None,
        });
        keys.collect::<Vec<_>>()
    };
    let names = deliveries(&cluster);
    assert_eq!(names.len(), 4);
    assert!(cluster.machine.is_at_rest());
    // The keys of service accounts are an operation of their own, and have nothing to do with it.
    cluster.start(Unit::ServiceAccount);
    assert_eq!(deliveries(&cluster), names);
    assert!(cluster.step());
    assert_eq!(stage(&cluster.machine), "control-plane-trust");
    assert_eq!(deliveries(&cluster), names);
    cluster.run();
    cluster.start(Unit::Ca);
    cluster.run();
    let again = deliveries(&cluster);
    // What was handed out of the generation before, and is reported late, is not what is asked for now.
    let delivered = |version| Event::Delivered { delivery: Delivery::Oidc, version };
    let late = Rejected::WrongVersion { role: AuthorityRole::Cluster, found: V2 };
    assert_eq!(cluster.apply(&delivered(V2)), Err(late));
    assert_eq!(deliveries(&cluster), again);
    assert!(again.len() == 4 && again.iter().all(|name| !names.contains(name)), "{again:?}");
    cluster.exhaust();
    assert_eq!(cluster.machine.pending_actions().count(), 0);
}

#[test]
fn service_account_keys_are_accepted_before_they_sign_and_dropped_after_the_last_token() {
    for preset in [Preset::Gdc, Preset::Kubeadm] {
        let hierarchy = Hierarchy::preset(preset);
        let policies = units(&hierarchy);
        let policy = policies.iter().find(|policy| policy.roles.contains(&AuthorityRole::ServiceAccount)).unwrap();
        let mut cluster = Cluster::new(hierarchy.clone());
        cluster.start(policy.unit);
        let keys = |cluster: &mut Cluster| {
            let server = cluster.consumer(ComponentKind::KubeApiServer, "0");
            let pod = cluster.consumer(ComponentKind::Pod, "node-0");
            let slot = pki_core::TrustSlot::ServiceAccountKeys;
            let accepted = |versions: &[CaVersion]| {
                let anchors =
                    versions.iter().map(|version| cluster.record(AuthorityRole::ServiceAccount, *version).anchor);
                pki_core::BundleHash::of(anchors)
            };
            let sets = [accepted(&[V1]), accepted(&[V1, V2]), accepted(&[V2])];
            let ids = [V1, V2].map(|version| cluster.authority_id(AuthorityRole::ServiceAccount, version));
            let of_id = |id| ids.iter().position(|known| Some(*known) == id).unwrap() + 1;
            let report = cluster.observation(&server);
            let hash = report.bundles.iter().find(|(found, _)| *found == slot).unwrap().1;
            let token = cluster.observation(&pod).leaves[0].issuer;
            let set = sets.iter().position(|known| *known == hash).unwrap();
            (["1", "1 2", "2"][set], of_id(report.signs_with), of_id(Some(token)))
        };
        let mut seen = Vec::new();
        while cluster.machine.stage().is_some() {
            let now = keys(&mut cluster);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            cluster.step();
        }
        seen.push(keys(&mut cluster));
        seen.dedup();
        assert_eq!(seen, [("1", 1, 1), ("1 2", 1, 1), ("1 2", 2, 1), ("1 2", 2, 2), ("2", 2, 2)], "{preset}");
        if preset == Preset::Gdc {
            let status = cluster.machine.status().unwrap().to_string();
            assert_eq!(
                status,
                "State of KeyRotation with CAVersion 2 is - status: True, reason: KeyRotationCompleted, message: Control \
                 plane has key set [2], key 2 is token signer. Data plane has tokens from key 2."
            );
        }
    }
}
