//! The staged order, driven by an honest cluster that reports what it was told to run with.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

use cluster::{Cluster, at, golden};
use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, LeafKind, Preset, Storage, TrustSlot};
use rotation_fsm::{
    Action, AdmissionDenied, ConsumerId, Event, Machine, Observation, Phase, PoolName, Rejected, ReportId,
    RotationStarted, Settings, SetupError, Step, Unit, Unreadable,
};
use time::Duration;

const V1: CaVersion = CaVersion::FIRST;
const V2: CaVersion = V1.next();

#[test]
fn gdcs_status_is_worded_as_documented() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    let started = cluster.start(Unit::Ca);
    assert_eq!(
        RotationStarted(started).to_string(),
        "successfully started the CA rotation with CAVersion 2, use gkectl update credentials certificate-authorities \
         status command to view the current state of CA rotation"
    );
    let second = cluster.apply(&Event::RotationRequested { unit: Unit::Ca });
    assert_eq!(second, Err(Rejected::InProgress { to: V2 }));
    assert_eq!(
        AdmissionDenied.to_string(),
        "Exit with error: admission webhook \"vonpremusercluster.onprem.cluster.gke.io\" denied the request: requests \
         must not modify CAVersion when cluster is not ready: ready condition is not true: ClusterCreateOrUpdate: \
         Creating or updating user cluster control plane workloads"
    );
    let lines = cluster.run();
    // The form of a rotation in progress, between the control plane's leaves and the CSR signer.
    assert!(lines.iter().any(|(_, line)| line
        == "State of CARotation with CAVersion 2 is - status: False, reason: CARotationProgressed, message: Control \
            plane has CA bundle [1 2], certs from CA 2, CA 1 is CSR signer. Data plane has CA bundle [1 2], CA 1 was \
            CSR signer at last restart."));
    // The form of a completed one.
    assert_eq!(
        lines.last().unwrap().1,
        "State of CARotation with CAVersion 2 is - status: True, reason: CARotationCompleted, message: Control plane \
         has CA bundle [2], certs from CA 2, CA 2 is CSR signer. Data plane has CA bundle [2], CA 2 was CSR signer at \
         last restart."
    );
}

#[test]
fn every_preset_rotates_every_authority_stage_by_stage() {
    for preset in Preset::ALL {
        let hierarchy = Hierarchy::preset(preset);
        let mut cluster = Cluster::new(hierarchy.clone());
        let mut lines = String::new();
        for policy in rotation_fsm::units(&hierarchy).iter() {
            match policy.trigger {
                rotation_fsm::Trigger::User => {
                    cluster.start(policy.unit);
                }
                _ => {
                    cluster.now = at(0) + Duration::days(5 * 365 - 29);
                    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2), "{preset} {}", policy.unit);
                }
            }
            for (stage, line) in cluster.run() {
                lines.push_str(&format!("{}/{stage}\n    {line}\n", policy.unit));
            }
        }
        for role in hierarchy.roles() {
            assert_eq!(cluster.machine.authority(*role).unwrap().version, V2, "{preset} {role}");
        }
        assert!(cluster.machine.is_at_rest());
        assert_eq!(cluster.machine.pending_actions().count(), 0);
        golden(&format!("staged-{preset}.txt"), &lines);
    }
}

#[test]
fn trust_comes_before_use_and_use_ends_before_retirement() {
    for preset in Preset::ALL {
        let hierarchy = Hierarchy::preset(preset);
        let mut cluster = Cluster::new(hierarchy.clone());
        for policy in rotation_fsm::units(&hierarchy).iter() {
            if policy.trigger != rotation_fsm::Trigger::User {
                continue;
            }
            cluster.start(policy.unit);
            // The cluster asserts both laws on every path, both directions, after every single report.
            cluster.run();
            assert!(cluster.paths_checked > 1000, "{preset}: {}", cluster.paths_checked);
        }
    }
}

#[test]
fn signers_switch_before_nodes_are_restarted_for_their_leaves() {
    for preset in Preset::ALL {
        let mut cluster = Cluster::new(Hierarchy::preset(preset));
        let unit = if matches!(preset, Preset::Gke(_)) { Unit::Credentials } else { Unit::Ca };
        cluster.start(unit);
        let Phase::Rotating(rotating) = cluster.machine.phase() else { panic!("not rotating") };
        let position =
            |wanted: &dyn Fn(&rotation_fsm::Stage) -> bool| rotating.plan().stages().iter().position(wanted).unwrap();
        let signer = position(&|stage| stage.step() == Step::SwitchSigner);
        let nodes = position(&|stage| stage.step() == Step::Leaves && stage.to_string().starts_with("node-"));
        assert!(signer < nodes, "{preset}");
    }
}

#[test]
fn a_node_that_restarted_under_the_old_signer_holds_the_rotation_up() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::Ca);
    cluster.run_until("node-leaves/pool-a");
    let kubelet = cluster.consumer(ComponentKind::Kubelet, "node-0");
    // It has new leaves, and says that CA 1 was CSR signer when it restarted: not good enough.
    cluster.take_up_everything_pending();
    let mut report = cluster.observation(&kubelet);
    report.csr_signer_at_restart = Some(cluster.authority_id(AuthorityRole::Cluster, V1));
    cluster.apply(&Event::Observed(report)).unwrap();
    assert!(cluster.machine.waiting().any(|waiting| *waiting == kubelet));
    let asked = cluster.machine.pending_actions().find_map(|action| match action {
        Action::EnsureConsumer { target, .. } if target.consumer == kubelet => Some(target),
        _ => None,
    });
    assert!(asked.unwrap().leaves.iter().any(|leaf| leaf.leaf == LeafKind::KubeletClient));
}

/// The nodes of such a pool count to the last one, on the way back too: their trust goes after the leaves that need it.
#[test]
fn a_pool_that_was_added_in_mid_rotation_is_rolled_back_in_its_turn() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    let pool = PoolName::new("pool-c".parse().unwrap());
    cluster.apply(&Event::PoolAdded { pool: pool.clone(), max_unavailable: 1 }).unwrap();
    let node = cluster.consumer(ComponentKind::Kubelet, "node-9");
    let joined = Event::ConsumerJoined { consumer: node.clone(), pool: Some(pool), incarnation: 0 };
    cluster.apply(&joined).unwrap();
    cluster.run_until("signer");
    cluster.apply(&Event::RollbackRequested { by: "operator".to_owned() }).unwrap();
    let asked = cluster
        .machine
        .pending_actions()
        .any(|action| matches!(action, Action::EnsureConsumer { target, .. } if target.consumer == node));
    assert!(!asked, "{:?}", cluster.machine.stage());
    cluster.run();
    while !cluster.machine.is_at_rest() {
        cluster.take_up_everything_pending();
    }
    assert!(cluster.machine.completed().unwrap().rolled_back);
}

#[test]
fn what_is_late_stale_or_not_in_order_changes_nothing() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-trust");
    let before = format!("{:?}", cluster.machine);
    let scheduler = cluster.consumer(ComponentKind::Scheduler, "0");

    let mut stale = cluster.observation(&scheduler);
    stale.id.sequence = 1;
    assert!(matches!(cluster.apply(&Event::Observed(stale)), Err(Rejected::Stale { .. })));

    let nobody = ConsumerId::new(ComponentKind::Kubelet, "nobody".parse().unwrap());
    let mut unknown = cluster.observation(&scheduler);
    unknown.consumer = nobody.clone();
    assert_eq!(cluster.apply(&Event::Observed(unknown)), Err(Rejected::UnknownConsumer(nobody.clone())));
    assert_eq!(
        cluster.apply(&Event::ConsumerRemoved { consumer: nobody.clone() }),
        Err(Rejected::UnknownConsumer(nobody))
    );

    let stage = cluster.machine.stage().unwrap().id().clone();
    let (unit, to) = (Unit::Ca, V2);
    let word = Event::Acknowledged { consumer: scheduler.clone(), unit, to, stage, by: "somebody".to_owned() };
    assert_eq!(cluster.apply(&word), Err(Rejected::Observable(scheduler)));

    let early = Event::KeyDestroyed { role: AuthorityRole::Cluster, version: V1 };
    assert!(matches!(cluster.apply(&early), Err(Rejected::NotInStage { .. })));

    let shared = cluster.record(AuthorityRole::Cluster, V2);
    let minted = Event::AuthorityMinted { role: AuthorityRole::FrontProxy, record: shared };
    assert_eq!(cluster.apply(&minted), Err(Rejected::MintedTwice { role: AuthorityRole::FrontProxy }));

    assert_eq!(format!("{:?}", cluster.machine), before);
    // A duplicate of what is known is accepted and changes nothing either.
    let again = cluster.record(AuthorityRole::Cluster, V2);
    cluster.apply(&Event::AuthorityMinted { role: AuthorityRole::Cluster, record: again }).unwrap();
    assert_eq!(format!("{:?}", cluster.machine), before);
}

#[test]
fn a_report_that_cannot_be_read_counts_against_its_consumer() {
    type Spoil = fn(&Cluster, &mut Observation);
    let spoil: [(Spoil, Unreadable); 4] = [
        (
            |_, report| report.bundles[0].1 = pki_core::BundleHash::of([]),
            Unreadable::UnknownBundle(TrustSlot::SchedulerKubeconfigCa),
        ),
        (
            |cluster, report| report.leaves[0].issuer = cluster.authority_id(AuthorityRole::Etcd, V1),
            Unreadable::UnknownIssuer(LeafKind::Scheduler),
        ),
        (|_, report| report.bundles.clear(), Unreadable::Incomplete),
        (|_, report| report.leaves.clear(), Unreadable::Incomplete),
    ];
    for (spoil, expected) in spoil {
        let mut cluster = Cluster::new(Hierarchy::kubeadm());
        cluster.start(Unit::Ca);
        cluster.run_until("control-plane-leaves");
        // It was in order for this stage's predecessor, and restarts with something else.
        let scheduler = cluster.consumer(ComponentKind::Scheduler, "0");
        cluster.take_up_everything_pending();
        let mut report = cluster.observation(&scheduler);
        spoil(&cluster, &mut report);
        let applied = cluster.apply(&Event::Observed(report)).unwrap();
        assert_eq!(applied.unreadable, [(scheduler.clone(), expected)]);
        assert!(cluster.machine.waiting().any(|waiting| *waiting == scheduler));
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }
}

#[test]
fn a_signer_that_reports_a_foreign_key_is_waited_for() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    let manager = cluster.consumer(ComponentKind::ControllerManager, "0");
    let mut report = cluster.observation(&manager);
    report.signs_with = Some(cluster.authority_id(AuthorityRole::Etcd, V1));
    let unreadable = cluster.apply(&Event::Observed(report)).unwrap().unreadable;
    assert_eq!(unreadable, [(manager.clone(), Unreadable::UnknownSigner)]);
    let request = Event::RotationRequested { unit: Unit::Ca };
    assert_eq!(cluster.apply(&request), Err(Rejected::NotReady { consumer: manager }));
}

#[test]
fn a_word_given_in_one_rotation_does_not_count_in_the_next() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("external-trust");
    let action = cluster.machine.pending_actions().next().unwrap();
    let word = cluster.carry_out(&action);
    cluster.apply(&word).unwrap();
    cluster.run();
    cluster.start(Unit::Ca);
    cluster.run_until("external-trust");
    assert!(matches!(cluster.apply(&word), Err(Rejected::NotInStage { .. })));
    assert_eq!(cluster.machine.stage().unwrap().to_string(), "external-trust");
}

#[test]
fn a_client_outside_that_joins_in_mid_rotation_needs_somebodys_word() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-leaves");
    let newcomer = ConsumerId::new(ComponentKind::ExternalClient, "laptop".parse().unwrap());
    cluster.apply(&Event::ConsumerJoined { consumer: newcomer.clone(), pool: None, incarnation: 0 }).unwrap();
    let asked = cluster
        .machine
        .pending_actions()
        .any(|action| matches!(action, Action::AwaitAcknowledgement { target, .. } if target.consumer == newcomer));
    assert!(asked);
    cluster.run();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn a_client_outside_that_joins_a_rotation_without_a_part_in_it_is_in_order() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::ServiceAccount);
    let newcomer = ConsumerId::new(ComponentKind::ExternalClient, "laptop".parse().unwrap());
    cluster.apply(&Event::ConsumerJoined { consumer: newcomer, pool: None, incarnation: 0 }).unwrap();
    cluster.run();
    assert!(cluster.machine.is_at_rest());
    cluster.start(Unit::Ca);
}

#[test]
fn reports_of_an_earlier_incarnation_do_not_speak_for_a_node_that_joined_anew() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    let kubelet = cluster.consumer(ComponentKind::Kubelet, "node-0");
    let pool = cluster.machine.topology().pools().next().cloned();
    let late = cluster.observation(&kubelet);
    cluster.apply(&Event::ConsumerRemoved { consumer: kubelet.clone() }).unwrap();
    cluster.apply(&Event::ConsumerJoined { consumer: kubelet.clone(), pool, incarnation: 1 }).unwrap();
    assert!(matches!(cluster.apply(&Event::Observed(late.clone())), Err(Rejected::Stale { .. })));
    assert!(!cluster.machine.is_at_rest());
    // Its own first report counts, however low its counter.
    let first = Observation { id: ReportId { incarnation: 1, sequence: 1 }, ..late };
    cluster.apply(&Event::Observed(first)).unwrap();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn a_leaf_that_comes_before_its_trust_is_to_be_taken_back() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-trust");
    let scheduler = cluster.consumer(ComponentKind::Scheduler, "0");
    let mut early = cluster.observation(&scheduler);
    early.leaves[0].issuer = cluster.authority_id(AuthorityRole::Cluster, V2);
    cluster.apply(&Event::Observed(early)).unwrap();
    let target = cluster.machine.pending_actions().find_map(|action| match action {
        Action::EnsureConsumer { target, .. } if target.consumer == scheduler => Some(target),
        _ => None,
    });
    assert!(target.unwrap().leaves.iter().any(|leaf| leaf.issuer == V1));

    let manager = cluster.consumer(ComponentKind::ControllerManager, "0");
    let mut early = cluster.observation(&manager);
    early.signs_with = Some(cluster.authority_id(AuthorityRole::Cluster, V2));
    cluster.apply(&Event::Observed(early)).unwrap();
    let target = cluster.machine.pending_actions().find_map(|action| match action {
        Action::EnsureConsumer { target, .. } if target.consumer == manager => Some(target),
        _ => None,
    });
    assert_eq!(target.unwrap().signs, Some((AuthorityRole::Cluster, V1)));
}

#[test]
fn a_generation_that_ends_before_it_could_serve_is_refused() {
    let mut cluster = Cluster::new(Hierarchy::gke(Storage::Etcd));
    let due = cluster.record(AuthorityRole::EtcdApi, V1).not_after.unwrap() - Duration::days(30);
    cluster.now = due;
    cluster.apply(&Event::Tick).unwrap();
    let mut short = cluster.record(AuthorityRole::EtcdApi, V2);
    // Due again at once: the rotation would begin anew for ever.
    short.not_after = Some(due + Duration::days(30));
    let minted = Event::AuthorityMinted { role: AuthorityRole::EtcdApi, record: short };
    assert!(matches!(cluster.apply(&minted), Err(Rejected::ShortLived { .. })));
    short.not_after = Some(due + Duration::days(30) + Duration::SECOND);
    cluster.apply(&Event::AuthorityMinted { role: AuthorityRole::EtcdApi, record: short }).unwrap();
}

#[test]
fn a_consumer_without_a_part_in_the_unit_holds_nothing_up() {
    let mut cluster = Cluster::new(Hierarchy::gke(Storage::Etcd));
    let pool = cluster.machine.topology().pools().next().cloned();
    let dead = ConsumerId::new(ComponentKind::Kubelet, "dead".parse().unwrap());
    cluster.apply(&Event::ConsumerJoined { consumer: dead.clone(), pool, incarnation: 0 }).unwrap();
    cluster.now = cluster.record(AuthorityRole::EtcdApi, V1).not_after.unwrap() - Duration::days(30);
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2));
    cluster.ignore(&dead);
    cluster.run();
    assert_eq!(cluster.machine.authority(AuthorityRole::EtcdApi).unwrap().version, V2);
    // What it has a part in does not begin, and says so.
    let request = Event::RotationRequested { unit: Unit::Credentials };
    assert_eq!(cluster.apply(&request), Err(Rejected::NotReady { consumer: dead }));
}

#[test]
fn a_due_rotation_that_cannot_begin_says_who_holds_it_up() {
    let mut cluster = Cluster::new(Hierarchy::gke(Storage::Etcd));
    let dead = ConsumerId::new(ComponentKind::Etcd, "dead".parse().unwrap());
    cluster.apply(&Event::ConsumerJoined { consumer: dead.clone(), pool: None, incarnation: 0 }).unwrap();
    cluster.now = cluster.record(AuthorityRole::EtcdApi, V1).not_after.unwrap() - Duration::days(30);
    let applied = cluster.apply(&Event::Tick).unwrap();
    // Not etcd's authorities, in which it has a part; the next unit that is due, in which it has none.
    let not_ready = || Rejected::NotReady { consumer: dead.clone() };
    assert_eq!(applied.blocked, [(Unit::EtcdApi, not_ready()), (Unit::EtcdPeer, not_ready())]);
    let Phase::Rotating(rotating) = cluster.machine.phase() else { panic!("not rotating") };
    assert_eq!(rotating.unit(), Unit::FrontProxy);
}

#[test]
fn a_machine_has_every_authority_once_and_with_its_own_key() {
    let cluster = Cluster::new(Hierarchy::kubeadm());
    let record = |role| (role, cluster.record(role, V1));
    let setup = |authorities: Vec<_>| {
        let topology = cluster.machine.topology().clone();
        let settings = Settings::of(topology.hierarchy());
        Machine::new("test".parse().unwrap(), topology, settings, authorities, at(0)).map(drop)
    };
    let all: Vec<_> = Hierarchy::kubeadm().roles().iter().map(|role| record(*role)).collect();
    assert_eq!(setup(all.clone()), Ok(()));
    assert_eq!(setup(all[1..].to_vec()), Err(SetupError::Missing(all[0].0)));
    let extra = [all.clone(), vec![record(AuthorityRole::Konnectivity)]].concat();
    assert_eq!(setup(extra), Err(SetupError::Unexpected(AuthorityRole::Konnectivity)));
    let mut shared = all.clone();
    shared[1].1 = shared[0].1;
    assert_eq!(setup(shared), Err(SetupError::SharedKey(all[1].0, all[0].0)));
}

#[test]
fn a_key_serves_one_role() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    cluster.start(Unit::Ca);
    let mut shared = cluster.record(AuthorityRole::Etcd, V1);
    shared.version = V2;
    assert_eq!(
        cluster.apply(&Event::AuthorityMinted { role: AuthorityRole::Cluster, record: shared }),
        Err(Rejected::SharedKey { role: AuthorityRole::Cluster, other: AuthorityRole::Etcd })
    );
}

#[test]
fn a_cluster_rotates_again_and_again() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    for version in 2..=4 {
        assert_eq!(cluster.start(Unit::Ca).number(), version);
        let lines = cluster.run();
        assert!(lines.last().unwrap().1.starts_with(&format!("State of CARotation with CAVersion {version} is")));
        assert!(lines.iter().any(|(_, line)| line.contains(&format!("CA bundle [{} {version}]", version - 1))));
        assert!(cluster.machine.is_at_rest());
    }
}

#[test]
fn a_rotation_replaces_the_key_and_not_only_the_certificate() {
    let mut cluster = Cluster::new(Hierarchy::gke(Storage::Etcd));
    cluster.start(Unit::Credentials);
    let mut renewed = cluster.record(AuthorityRole::Cluster, V1);
    renewed.version = V2;
    renewed.anchor = cluster.record(AuthorityRole::Cluster, V2).anchor;
    assert_eq!(
        cluster.apply(&Event::AuthorityMinted { role: AuthorityRole::Cluster, record: renewed }),
        Err(Rejected::SharedKey { role: AuthorityRole::Cluster, other: AuthorityRole::Cluster })
    );
}

#[test]
fn nobody_starts_what_rotates_by_itself_or_does_not_exist() {
    let mut cluster = Cluster::new(Hierarchy::gke(Storage::Etcd));
    for unit in [Unit::EtcdApi, Unit::EtcdPeer] {
        assert_eq!(cluster.apply(&Event::RotationRequested { unit }), Err(Rejected::AutomaticOnly(unit)));
    }
    assert_eq!(cluster.apply(&Event::RotationRequested { unit: Unit::Ca }), Err(Rejected::UnknownUnit(Unit::Ca)));
}

#[test]
fn automatic_rotation_begins_thirty_days_before_expiry_and_not_a_second_earlier() {
    let mut cluster = Cluster::new(Hierarchy::gke(Storage::Etcd));
    let due = cluster.record(AuthorityRole::EtcdApi, V1).not_after.unwrap() - Duration::days(30);
    cluster.now = due - Duration::SECOND;
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, None);
    cluster.now = due;
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2));
    // The two etcd authorities never overlap: the peer's is due as well, and waits.
    let Phase::Rotating(rotating) = cluster.machine.phase() else { panic!("not rotating") };
    assert_eq!(rotating.roles(), [AuthorityRole::EtcdApi]);
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, None);
    cluster.run();
    assert_eq!(cluster.apply(&Event::Tick).unwrap().started, Some(V2));
    let Phase::Rotating(rotating) = cluster.machine.phase() else { panic!("not rotating") };
    assert_eq!(rotating.roles(), [AuthorityRole::EtcdPeer]);
}

#[test]
fn nothing_begins_while_a_consumer_is_unseen() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    let newcomer = ConsumerId::new(ComponentKind::Kubelet, "node-9".parse().unwrap());
    let pool = cluster.machine.topology().pools().next().cloned();
    cluster.apply(&Event::ConsumerJoined { consumer: newcomer.clone(), pool, incarnation: 0 }).unwrap();
    assert_eq!(
        cluster.apply(&Event::RotationRequested { unit: Unit::Ca }),
        Err(Rejected::NotReady { consumer: newcomer.clone() })
    );
    cluster.apply(&Event::ConsumerRemoved { consumer: newcomer }).unwrap();
    cluster.start(Unit::Ca);
}

#[test]
fn a_node_that_joins_in_mid_rotation_is_waited_for() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-leaves");
    let newcomer = ConsumerId::new(ComponentKind::Kubelet, "node-9".parse().unwrap());
    let pool = cluster.machine.topology().pools().next().cloned();
    cluster.apply(&Event::ConsumerJoined { consumer: newcomer.clone(), pool, incarnation: 0 }).unwrap();
    assert!(cluster.machine.waiting().any(|waiting| *waiting == newcomer));
    // It comes up with both generations in its bundles, since that is what its pool has by now.
    let target = cluster.machine.pending_actions().find_map(|action| match action {
        Action::EnsureConsumer { target, .. } if target.consumer == newcomer => Some(target),
        _ => None,
    });
    assert!(target.unwrap().bundles.iter().all(|bundle| bundle.versions.to_string() == "[1 2]"));
    cluster.run();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn a_retired_authority_that_is_still_trusted_somewhere_is_not_at_rest() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::Ca);
    cluster.run();
    let kubelet = cluster.consumer(ComponentKind::Kubelet, "node-0");
    cluster.restore_bundles(&kubelet, V1, V2);
    let report = cluster.observation(&kubelet);
    cluster.apply(&Event::Observed(report)).unwrap();
    assert!(!cluster.machine.is_at_rest());
    let asked = |action: &Action| matches!(action, Action::EnsureConsumer { .. });
    assert_eq!(cluster.machine.pending_actions().filter(asked).count(), 1);
    cluster.take_up_everything_pending();
    assert!(cluster.machine.is_at_rest());
}

#[test]
fn restarts_go_one_replica_at_a_time() {
    let mut cluster = Cluster::new(Hierarchy::gdc());
    cluster.start(Unit::Ca);
    cluster.run_until("control-plane-trust");
    let mut kinds: Vec<_> = cluster
        .machine
        .pending_actions()
        .filter_map(|action| match action {
            Action::EnsureConsumer { target, .. } => Some(target.consumer.kind()),
            _ => None,
        })
        .collect();
    let all = kinds.len();
    kinds.dedup();
    assert_eq!(kinds.len(), all);
    assert!(kinds.contains(&ComponentKind::Etcd) && kinds.contains(&ComponentKind::KubeApiServer));
}

#[test]
fn the_totality_rule_answers_for_every_leaf_in_every_stage() {
    for preset in Preset::ALL {
        let hierarchy = Hierarchy::preset(preset);
        let mut cluster = Cluster::new(hierarchy.clone());
        for policy in rotation_fsm::units(&hierarchy).iter().filter(|p| p.trigger == rotation_fsm::Trigger::User) {
            cluster.start(policy.unit);
            let mut table = String::new();
            cluster.run_with(|cluster| {
                let stage = cluster.machine.stage().map_or_else(|| "rest".to_owned(), ToString::to_string);
                let mut row = format!("{stage:<24}");
                for leaf in LeafKind::ALL {
                    let consumers: Vec<_> = cluster.machine.topology().consumers().map(|(id, _)| id.clone()).collect();
                    for consumer in consumers {
                        let answer = cluster.machine.issuer_of(&consumer, leaf);
                        assert_eq!(answer.map(|(role, _)| role), hierarchy.issuer_of(leaf));
                    }
                    if let Some(holder) = cluster.holder_of(leaf) {
                        let (_, version) = cluster.machine.issuer_of(&holder, leaf).unwrap();
                        row.push_str(&format!(" {leaf}={version}"));
                    }
                }
                table.push_str(&row);
                table.push('\n');
            });
            golden(&format!("issuer-{preset}-{}.txt", policy.unit), &table);
        }
    }
}
