//! After the expiry: a recovery brings the cluster back in its order, on evidence, and gives back a machine at rest.

#[cfg(test)]
#[path = "support/small.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod small;

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

use std::collections::BTreeSet;

use cluster::{Cluster, golden};
use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, LeafKind, Plane, Preset, Storage};
use rotation_fsm::{
    AuthorityRecord, ConsumerId, ConsumerTarget, Delivery, Event, Machine, Observation, PresentedLeaf, Recovery,
    RecoveryAction, RecoveryError, RecoveryEvent, RecoveryStep, Rejected, Reload, ReportId, ServedAddress, Settings,
    Unit,
};
use small::{BORN, Size, at, machine, pool};
use time::{Duration, UtcDateTime};

const OLD: CaVersion = CaVersion::FIRST;
const EXPIRY: &str = "2031-01-01T00:00:00Z";

#[cfg(test)]
fn now() -> UtcDateTime {
    at(EXPIRY) + Duration::DAY
}

#[cfg(test)]
fn minted(machine: &Machine, role: AuthorityRole, version: CaVersion) -> AuthorityRecord {
    small::record(machine.topology().hierarchy(), role, version, at("2041-01-01T00:00:00Z"))
}

#[cfg(test)]
/// A cluster that has expired; of its machine only the topology is known, and nothing that anybody said.
fn expired(hierarchy: Hierarchy) -> (Machine, Recovery) {
    let machine = machine(&hierarchy, &Size::SMALL, Settings::of(&hierarchy), at(EXPIRY));
    let recovery = Recovery::begin(&machine, now()).unwrap();
    (machine, recovery)
}

#[cfg(test)]
/// What an honest consumer says once it runs with what it was given.
fn report(machine: &Machine, target: &ConsumerTarget, sequence: u64) -> Observation {
    let id = |role, version| match machine.authority(role).filter(|record| record.version == version) {
        Some(record) => record.id,
        None => minted(machine, role, version).id,
    };
    let issued = |wanted: LeafKind| {
        let leaf = target.leaves.iter().find(|leaf| leaf.leaf == wanted);
        leaf.map(|leaf| id(leaf.role, leaf.issuer))
    };
    Observation {
        bundles: target.bundles.iter().map(|bundle| (bundle.slot, bundle.hash)).collect(),
        leaves: target.leaves.iter().map(|leaf| PresentedLeaf::alone(leaf.leaf, id(leaf.role, leaf.issuer))).collect(),
        signs_with: target.signs.map(|(role, version)| id(role, version)),
        csr_signer_at_restart: issued(LeafKind::KubeletClient),
        serves: target
            .serves
            .iter()
            .map(|address| ServedAddress { address: address.clone(), issuer: issued(LeafKind::ApiServer).unwrap() })
            .collect(),
        service: target.service.clone(),
        dials: target.dials.clone(),
        ..Observation::new(target.consumer.clone(), ReportId { incarnation: 1, sequence })
    }
}

#[cfg(test)]
fn events(machine: &Machine, action: &RecoveryAction) -> Vec<RecoveryEvent> {
    match action {
        RecoveryAction::EnsureAuthority { role, version, .. } => {
            vec![RecoveryEvent::AuthorityMinted { role: *role, record: minted(machine, *role, *version) }]
        }
        RecoveryAction::EnsureConsumer { target, .. } => vec![RecoveryEvent::Observed(report(machine, target, 1))],
        RecoveryAction::RecreateNode { targets, .. } => {
            targets.iter().map(|target| RecoveryEvent::Observed(report(machine, target, 1))).collect()
        }
        RecoveryAction::AwaitAcknowledgement { target, .. } => {
            vec![RecoveryEvent::Acknowledged { consumer: target.consumer.clone(), by: "somebody".to_owned() }]
        }
        RecoveryAction::EnsureKeyDestroyed { role, version, .. } => {
            vec![RecoveryEvent::KeyDestroyed { role: *role, version: *version }]
        }
        other => panic!("unknown action {other:?}"),
    }
}

#[cfg(test)]
fn consumers_of(action: &RecoveryAction) -> Vec<&ConsumerId> {
    match action {
        RecoveryAction::EnsureConsumer { target, .. } | RecoveryAction::AwaitAcknowledgement { target, .. } => {
            vec![&target.consumer]
        }
        RecoveryAction::RecreateNode { targets, .. } => targets.iter().map(|target| &target.consumer).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
/// Does everything that is pending, and tells what happened.
fn advance(machine: &Machine, recovery: &mut Recovery) -> Vec<RecoveryEvent> {
    let pending = recovery.pending_actions();
    assert!(!pending.is_empty(), "nothing to do in {}", recovery.step());
    let happened: Vec<_> = pending.iter().flat_map(|action| events(machine, action)).collect();
    for event in &happened {
        recovery.apply(event, now()).unwrap();
    }
    happened
}

#[cfg(test)]
fn run_to(machine: &Machine, recovery: &mut Recovery, step: RecoveryStep) {
    while recovery.step() < step {
        advance(machine, recovery);
    }
}

#[test]
fn it_is_refused_before_the_expiry() {
    let hierarchy = Hierarchy::kubeadm();
    let machine = machine(&hierarchy, &Size::SMALL, Settings::of(&hierarchy), at(EXPIRY));
    let error = Recovery::begin(&machine, at(EXPIRY) - Duration::SECOND).unwrap_err();
    assert_eq!(error, RecoveryError::NotExpired { expiry: Some(at(EXPIRY)) });
    assert_eq!(Recovery::begin(&machine, at(EXPIRY)).unwrap().step(), RecoveryStep::Mint);
    // From then on no rotation begins.
    let mut late = machine;
    assert!(late.apply(&Event::RotationRequested { unit: Unit::Ca }, at(EXPIRY)).is_err());
}

#[test]
fn every_preset_comes_back_in_the_order_of_the_steps() {
    for preset in Preset::ALL {
        let (machine, mut recovery) = expired(Hierarchy::preset(preset));
        let mut asked = BTreeSet::new();
        let mut most = 0;
        while !recovery.is_over() {
            let step = recovery.step();
            let pending = recovery.pending_actions();
            for consumer in pending.iter().flat_map(consumers_of) {
                assert_eq!(RecoveryStep::of(consumer.kind()), step, "{preset} {consumer}");
                assert!(asked.insert(consumer.clone()), "{preset} {consumer}: asked once, and done");
            }
            match step {
                // None can talk to another, so there is nothing to keep.
                RecoveryStep::Etcd => {
                    let members = pending.iter().flat_map(consumers_of).filter(|id| id.kind() == ComponentKind::Etcd);
                    assert_eq!(members.count(), 3, "{preset}");
                }
                // Workloads run on them: one of each pool.
                RecoveryStep::Nodes => {
                    let recreated = |action: &&RecoveryAction| matches!(action, RecoveryAction::RecreateNode { .. });
                    most = most.max(pending.iter().filter(recreated).count());
                    let anew = |action: &RecoveryAction| match action {
                        RecoveryAction::RecreateNode { targets, .. } => {
                            targets.iter().all(|target| target.reload == Reload::Recreate)
                        }
                        _ => false,
                    };
                    assert!(pending.iter().all(anew), "{preset}: {pending:?}");
                }
                _ => {}
            }
            advance(&machine, &mut recovery);
        }
        assert_eq!(most, 2, "{preset}");
        assert_eq!(recovery.down(), []);
        assert_eq!(asked.len(), machine.topology().consumers().count(), "{preset}");
        let mut machine = recovery.into_machine().unwrap();
        assert!(machine.is_at_rest(), "{preset}: {:?}", machine.waiting().collect::<Vec<_>>());
        for role in machine.topology().hierarchy().roles().to_vec() {
            let untouched = preset == Preset::Gdc && role == AuthorityRole::ServiceAccount;
            let expected = if untouched { OLD } else { OLD.next() };
            assert_eq!(machine.authority(role).unwrap().version, expected, "{preset} {role}");
        }
        let handed = machine.pending_actions().count();
        assert_eq!(handed, if preset == Preset::Gdc { Delivery::ALL.len() } else { 0 });
        // It is a cluster like any other.
        let unit = if matches!(preset, Preset::Gke(_)) { Unit::Credentials } else { Unit::Ca };
        let started = machine.apply(&Event::RotationRequested { unit }, now()).unwrap().started;
        assert_eq!(started, Some(OLD.next().next()), "{preset}");
    }
}

#[test]
fn what_is_down_is_stated_before_anything_is_done() {
    let (machine, mut recovery) = expired(Hierarchy::kubeadm());
    let stated: String = recovery.down().iter().map(|down| format!("{down}\n")).collect();
    golden("recovery-kubeadm.txt", &stated);
    // Less and less of it.
    for step in [RecoveryStep::ApiServers, RecoveryStep::Nodes, RecoveryStep::Clients] {
        run_to(&machine, &mut recovery, step);
        assert!(recovery.down().iter().all(|down| down.until >= step), "{step}");
        assert!(recovery.down().iter().any(|down| down.until == RecoveryStep::Clients));
    }
}

#[test]
fn only_what_was_seen_to_run_with_the_next_generation_counts() {
    let (machine, mut recovery) = expired(Hierarchy::kubeadm());
    run_to(&machine, &mut recovery, RecoveryStep::Etcd);
    let target = recovery.pending_actions().into_iter().find_map(|action| match action {
        RecoveryAction::EnsureConsumer { target, .. } if target.consumer.kind() == ComponentKind::Etcd => Some(target),
        _ => None,
    });
    let target = target.unwrap();
    let waits = |recovery: &Recovery| recovery.waiting().any(|consumer| *consumer == target.consumer);
    let mut honest = report(&machine, &target, 1);
    let (old, new) =
        (machine.authority(AuthorityRole::Etcd).unwrap(), minted(&machine, AuthorityRole::Etcd, OLD.next()));
    let both = pki_core::BundleHash::of([old.anchor, new.anchor]);
    let spoils: [&dyn Fn(&mut Observation); 4] = [
        &|report| report.bundles.iter_mut().for_each(|(_, hash)| *hash = both),
        &|report| report.leaves.iter_mut().for_each(|leaf| leaf.issuer = old.id),
        &|report| report.leaves.clear(),
        &|report| report.available = false,
    ];
    for spoil in spoils {
        let mut report = honest.clone();
        spoil(&mut report);
        recovery.apply(&RecoveryEvent::Observed(report.clone()), now()).unwrap();
        assert!(waits(&recovery), "{report:?}");
        // The same once more is no news.
        let again = recovery.apply(&RecoveryEvent::Observed(report), now());
        assert!(matches!(again, Err(Rejected::Stale { .. })));
        honest.id.sequence += 1;
    }
    recovery.apply(&RecoveryEvent::Observed(honest.clone()), now()).unwrap();
    assert!(!waits(&recovery));

    // Whoever falls back is asked again, and holds up the end.
    run_to(&machine, &mut recovery, RecoveryStep::DestroyKeys);
    honest.id.sequence += 1;
    honest.available = false;
    recovery.apply(&RecoveryEvent::Observed(honest.clone()), now()).unwrap();
    for event in recovery.pending_actions().iter().flat_map(|action| events(&machine, action)) {
        if matches!(event, RecoveryEvent::KeyDestroyed { .. }) {
            recovery.apply(&event, now()).unwrap();
        }
    }
    assert!(!recovery.is_over() && recovery.clone().into_machine().is_err());
    assert_eq!(recovery.pending_actions().iter().flat_map(consumers_of).collect::<Vec<_>>(), [&target.consumer]);
    honest.id.sequence += 1;
    honest.available = true;
    let recovered = recovery.apply(&RecoveryEvent::Observed(honest), now()).unwrap();
    assert!(recovered.completed && recovery.is_over());
}

#[test]
fn a_word_counts_for_clients_outside_alone_and_in_their_step() {
    let (machine, mut recovery) = expired(Hierarchy::kubeadm());
    let word = |kind, name: &str| RecoveryEvent::Acknowledged {
        consumer: ConsumerId::new(kind, name.parse().unwrap()),
        by: "somebody".to_owned(),
    };
    run_to(&machine, &mut recovery, RecoveryStep::Nodes);
    let kubelet = recovery.apply(&word(ComponentKind::Kubelet, "node-0"), now());
    assert!(matches!(kubelet, Err(Rejected::Observable(_))), "{kubelet:?}");
    let early = recovery.apply(&word(ComponentKind::ExternalClient, "0"), now());
    assert!(matches!(early, Err(Rejected::NotInStage { .. })), "{early:?}");
    run_to(&machine, &mut recovery, RecoveryStep::Clients);
    assert!(recovery.waiting().all(|consumer| consumer.kind().plane() == Plane::External));
    let recovered = recovery.apply(&word(ComponentKind::ExternalClient, "0"), now()).unwrap();
    assert_eq!(recovered.steps_ended, [RecoveryStep::Clients]);
}

#[test]
fn keys_are_minted_first_and_destroyed_last() {
    let (machine, mut recovery) = expired(Hierarchy::kubeadm());
    let (etcd, cluster) = (AuthorityRole::Etcd, AuthorityRole::Cluster);
    let mint = |recovery: &mut Recovery, role, record| {
        recovery.apply(&RecoveryEvent::AuthorityMinted { role, record }, now()).map(|recovered| recovered.steps_ended)
    };
    let good = minted(&machine, etcd, OLD.next());
    let wrong = mint(&mut recovery, etcd, minted(&machine, etcd, OLD.next().next()));
    assert!(matches!(wrong, Err(Rejected::WrongVersion { .. })));
    let old = AuthorityRecord { version: OLD.next(), ..*machine.authority(cluster).unwrap() };
    assert!(matches!(mint(&mut recovery, etcd, old), Err(Rejected::SharedKey { .. })));
    let dead = AuthorityRecord { not_after: Some(now()), ..good };
    assert!(matches!(mint(&mut recovery, etcd, dead), Err(Rejected::ShortLived { .. })));
    assert_eq!(mint(&mut recovery, etcd, good), Ok(vec![]));
    assert_eq!(mint(&mut recovery, etcd, good), Ok(vec![]), "once more is no news");
    let other = minted(&machine, cluster, OLD.next());
    assert!(matches!(mint(&mut recovery, etcd, other), Err(Rejected::MintedTwice { .. })));
    assert!(matches!(mint(&mut recovery, cluster, good), Err(Rejected::SharedKey { .. })));

    let destroyed = RecoveryEvent::KeyDestroyed { role: etcd, version: OLD };
    run_to(&machine, &mut recovery, RecoveryStep::Clients);
    assert!(matches!(recovery.apply(&destroyed, now()), Err(Rejected::NotInStage { .. })));
    run_to(&machine, &mut recovery, RecoveryStep::DestroyKeys);
    let new = RecoveryEvent::KeyDestroyed { role: etcd, version: OLD.next() };
    assert!(matches!(recovery.apply(&new, now()), Err(Rejected::WrongVersion { .. })));
    recovery.apply(&destroyed, now()).unwrap();
    recovery.apply(&destroyed, now()).unwrap();
    assert_eq!(recovery.pending_actions().len(), 3);
}

#[test]
fn the_same_events_lead_to_the_same_recovery() {
    let (machine, mut recovery) = expired(Hierarchy::gke(Storage::Etcd));
    let mut replayed = recovery.clone();
    while !recovery.is_over() {
        for event in advance(&machine, &mut recovery) {
            replayed.apply(&event, now()).unwrap();
            // What is told twice is either no news or no change.
            let before = replayed.pending_actions();
            let _told = replayed.apply(&event, now());
            assert_eq!(replayed.pending_actions(), before);
        }
        assert_eq!(replayed.pending_actions(), recovery.pending_actions());
        assert_eq!(replayed.step(), recovery.step());
    }
    assert!(replayed.is_over());
}

#[test]
fn nodes_that_are_gone_or_new_are_no_matter() {
    let (machine, mut recovery) = expired(Hierarchy::kubeadm());
    let node = |name: &str| ConsumerId::new(ComponentKind::Kubelet, name.parse().unwrap());
    let gone = RecoveryEvent::ConsumerRemoved { consumer: node("node-3") };
    assert!(matches!(recovery.apply(&gone, now()), Err(Rejected::NotInStage { .. })), "not while keys are minted");
    run_to(&machine, &mut recovery, RecoveryStep::Nodes);
    recovery.apply(&gone, now()).unwrap();
    let given_up = RecoveryEvent::ConsumerAbandoned {
        consumer: "pod/node-3".parse().unwrap(),
        by: "somebody".to_owned(),
        reason: "gone".to_owned(),
    };
    recovery.apply(&given_up, now()).unwrap();
    let joined = RecoveryEvent::ConsumerJoined { consumer: node("node-7"), pool: Some(pool(0)), incarnation: 1 };
    recovery.apply(&joined, now()).unwrap();
    assert!(recovery.waiting().any(|consumer| *consumer == node("node-7")));
    assert!(!recovery.waiting().any(|consumer| *consumer == node("node-3")));
    run_to(&machine, &mut recovery, RecoveryStep::DestroyKeys);
}

#[test]
fn a_rotation_that_the_expiry_caught_leaves_no_key_behind() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("node-leaves/pool-b");
    let ca = cluster.record(AuthorityRole::FrontProxy, OLD);
    let end = ca.not_after.unwrap().max(cluster.record(AuthorityRole::Cluster, OLD).not_after.unwrap());
    let recovery = Recovery::begin(&cluster.machine, end).unwrap();
    assert_eq!(recovery.units().collect::<Vec<_>>(), [Unit::Ca]);
    for action in recovery.pending_actions() {
        let RecoveryAction::EnsureAuthority { version, .. } = action else { panic!("{action:?}") };
        assert_eq!(version, OLD.next().next(), "what was begun is not used again");
    }
    let mut recovery = recovery;
    run_to(&cluster.machine, &mut recovery, RecoveryStep::DestroyKeys);
    let keys: BTreeSet<_> = recovery
        .pending_actions()
        .into_iter()
        .filter_map(|action| match action {
            RecoveryAction::EnsureKeyDestroyed { role, version, .. } => Some((role, version)),
            _ => None,
        })
        .collect();
    assert_eq!(keys.len(), 8, "{keys:?}");
    assert!(keys.contains(&(AuthorityRole::Etcd, OLD)) && keys.contains(&(AuthorityRole::Etcd, OLD.next())));
}

#[test]
fn a_unit_that_has_not_expired_is_left_alone() {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let topology = small::topology(&hierarchy, &Size::SMALL);
    let later = at(EXPIRY) + Duration::days(900);
    let authorities = hierarchy.roles().iter().map(|role| {
        let expiry = if *role == AuthorityRole::Konnectivity { at(EXPIRY) } else { later };
        (*role, small::record(&hierarchy, *role, OLD, expiry))
    });
    let settings = Settings::of(&hierarchy);
    let mut machine =
        Machine::new("prod-1".parse().unwrap(), topology, settings, authorities.collect::<Vec<_>>(), at(BORN)).unwrap();
    while !machine.is_at_rest() {
        for action in machine.pending_actions().collect::<Vec<_>>() {
            let targets = match action {
                rotation_fsm::Action::EnsureConsumer { target, .. } => vec![target],
                rotation_fsm::Action::RecreateNode { targets, .. } => targets,
                other => panic!("{other:?}"),
            };
            for target in targets {
                let mut seen = report(&machine, &target, 1);
                seen.id.incarnation = 0;
                machine.apply(&Event::Observed(seen), at(BORN)).unwrap();
            }
        }
    }
    let mut recovery = Recovery::begin(&machine, now()).unwrap();
    assert_eq!(recovery.units().collect::<Vec<_>>(), [Unit::Konnectivity]);
    for (step, kind) in [
        (RecoveryStep::ApiServers, ComponentKind::KubeApiServer),
        (RecoveryStep::ControlPlane, ComponentKind::KonnectivityServer),
        (RecoveryStep::Nodes, ComponentKind::KonnectivityAgent),
    ] {
        run_to(&machine, &mut recovery, step);
        assert!(recovery.waiting().all(|consumer| consumer.kind() == kind), "{step}");
        assert!(recovery.waiting().next().is_some(), "{step}");
    }
    // Etcd and clients outside have no part in it.
    run_to(&machine, &mut recovery, RecoveryStep::DestroyKeys);
    assert!(recovery.pending_actions().iter().all(|action| {
        matches!(action, RecoveryAction::EnsureKeyDestroyed { role: AuthorityRole::Konnectivity, .. })
    }));
}
