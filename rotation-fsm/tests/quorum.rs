//! Who may be down at once.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod quorum {
    use std::time::Instant;

    use pki_core::{CaVersion, ComponentKind, Hierarchy, Storage};
    use rotation_fsm::{
        Action, Completion, ConsumerId, Event, Machine, Observation, PoolName, Rejected, Reload, ReportId, Settings,
        Strategy, Topology, Unit,
    };

    use super::cluster::{Cluster, address};

    fn etcd(name: &str) -> ConsumerId {
        ConsumerId::new(ComponentKind::Etcd, name.parse().unwrap())
    }

    fn taken_down(consumer: &ConsumerId, after: ReportId) -> Event {
        Event::TakenDown { consumer: consumer.clone(), after }
    }

    fn asked(cluster: &Cluster, kind: ComponentKind) -> Vec<ConsumerId> {
        let pending = cluster.machine.pending_actions().filter_map(|action| match action {
            Action::EnsureConsumer { target, .. } => Some(target.consumer),
            Action::RecreateNode { targets, .. } => targets.into_iter().next().map(|target| target.consumer),
            _ => None,
        });
        pending.filter(|consumer| consumer.kind() == kind).collect()
    }

    fn rotating() -> Cluster {
        let mut cluster = Cluster::new(Hierarchy::kubeadm());
        cluster.start(Unit::Ca);
        cluster.run_until("control-plane-trust");
        cluster
    }

    #[test]
    fn members_of_etcd_are_taken_down_one_at_a_time() {
        let mut cluster = rotating();
        assert_eq!(asked(&cluster, ComponentKind::Etcd), [etcd("0")]);
        let after = cluster.observation(&etcd("0")).id;
        cluster.apply(&taken_down(&etcd("0"), after)).unwrap();
        // Its own turn again, for a restart that was not reported; and nobody else's.
        cluster.apply(&taken_down(&etcd("0"), after)).unwrap();
        let before = format!("{:?}", cluster.machine);
        for other in ["1", "2"] {
            let after = cluster.observation(&etcd(other)).id;
            let refused = Rejected::NotItsTurn { consumer: etcd(other), away: 1, room: 1 };
            assert_eq!(cluster.apply(&taken_down(&etcd(other), after)), Err(refused));
        }
        assert_eq!(format!("{:?}", cluster.machine), before);
        assert_eq!(asked(&cluster, ComponentKind::Etcd), [etcd("0")]);
        // A report from before it went down says nothing.
        let mut late = cluster.observation(&etcd("0"));
        late.id = after;
        assert!(matches!(cluster.apply(&Event::Observed(late)), Err(Rejected::Stale { .. })));
        assert_eq!(asked(&cluster, ComponentKind::Etcd), [etcd("0")]);
        // Other components have turns of their own.
        let server = cluster.consumer(ComponentKind::KubeApiServer, "1");
        let after = cluster.observation(&server).id;
        cluster.apply(&taken_down(&server, after)).unwrap();
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }

    #[test]
    fn a_member_that_is_unavailable_blocks_the_others_and_is_asked_first() {
        let mut cluster = rotating();
        let mut report = cluster.observation(&etcd("2"));
        report.available = false;
        cluster.apply(&Event::Observed(report)).unwrap();
        assert_eq!(asked(&cluster, ComponentKind::Etcd), [etcd("2")]);
        // Back, and still without both generations: its turn has passed.
        let report = cluster.observation(&etcd("2"));
        cluster.apply(&Event::Observed(report)).unwrap();
        assert_eq!(asked(&cluster, ComponentKind::Etcd), [etcd("0")]);
        // One that runs with everything and is cut off holds the stage as well.
        cluster.run_until("control-plane-leaves");
        let mut report = cluster.observation(&etcd("1"));
        report.available = false;
        cluster.apply(&Event::Observed(report)).unwrap();
        cluster.ignore(&etcd("1"));
        cluster.exhaust();
        assert_eq!(cluster.machine.stage().unwrap().to_string(), "control-plane-leaves");
        assert_eq!(cluster.machine.waiting().collect::<Vec<_>>(), [&etcd("1")]);
        cluster.heed(&etcd("1"));
        cluster.run();
        assert!(cluster.machine.is_at_rest());
    }

    #[test]
    fn two_that_are_away_are_both_brought_back_and_nobody_else_goes_down() {
        let mut cluster = rotating();
        for name in ["0", "1"] {
            let mut report = cluster.observation(&etcd(name));
            report.available = false;
            cluster.apply(&Event::Observed(report)).unwrap();
        }
        assert_eq!(asked(&cluster, ComponentKind::Etcd), [etcd("0"), etcd("1")]);
        let after = cluster.observation(&etcd("2")).id;
        let refused = Rejected::NotItsTurn { consumer: etcd("2"), away: 2, room: 1 };
        assert_eq!(cluster.apply(&taken_down(&etcd("2"), after)), Err(refused));
    }

    fn nodes(count: usize, room: usize) -> (Machine, Vec<ConsumerId>) {
        let hierarchy = Hierarchy::gke(Storage::Spanner);
        let mut topology = Topology::with_address(hierarchy.clone(), address(1));
        let pool: PoolName = "large".to_owned().try_into().unwrap();
        topology.add_pool(pool.clone(), room).unwrap();
        let mut consumers = Vec::new();
        for number in 0..count {
            let kubelet = ConsumerId::new(ComponentKind::Kubelet, format!("node-{number}").parse().unwrap());
            topology.add(kubelet.clone(), Some(pool.clone())).unwrap();
            consumers.push(kubelet);
        }
        let small = Cluster::new(hierarchy.clone());
        let records = hierarchy.roles().iter().map(|role| (*role, small.record(*role, CaVersion::FIRST)));
        let records: Vec<_> = records.collect();
        let settings =
            Settings::of(&hierarchy).with_completion(Completion::Automatic).with_strategy(Strategy::DualEndpoint);
        let mut machine = Machine::new("large".parse().unwrap(), topology, settings, records, small.now).unwrap();
        // Everybody comes up with what there is.
        let targets: Vec<_> = small.machine.topology().pools().cloned().collect();
        assert_eq!(targets.len(), 2);
        let sample = small.machine.topology().consumers().map(|(id, _)| id.clone());
        let sample = sample.into_iter().find(|id| id.kind() == ComponentKind::Kubelet).unwrap();
        let mut dual = Cluster::with_strategy(hierarchy, Strategy::DualEndpoint);
        let report = dual.observation(&sample);
        for kubelet in &consumers {
            let id = ReportId { incarnation: 0, sequence: 1 };
            let report = Observation { consumer: kubelet.clone(), id, ..report.clone() };
            machine.apply(&Event::Observed(report), small.now).unwrap();
        }
        assert!(machine.is_at_rest());
        (machine, consumers)
    }

    /// The stages up to the nodes, in a cluster that has nodes and nothing else.
    fn up_to_the_nodes(machine: &mut Machine) {
        let mut small = Cluster::with_strategy(Hierarchy::gke(Storage::Spanner), Strategy::DualEndpoint);
        let now = small.now;
        machine.apply(&Event::RotationRequested { unit: Unit::Credentials }, now).unwrap();
        while machine.stage().unwrap().to_string() != "node-leaves/large" {
            let action = machine.pending_actions().next().unwrap();
            let event = small.carry_out(&action);
            machine.apply(&event, now).unwrap();
        }
    }

    #[test]
    fn of_a_pool_as_many_nodes_are_away_as_it_allows() {
        for room in [1, 3] {
            let (mut machine, consumers) = nodes(10, room);
            up_to_the_nodes(&mut machine);
            let now = Cluster::new(Hierarchy::kubeadm()).now;
            let recreated = |machine: &Machine| {
                let nodes = machine.pending_actions().filter_map(|action| match action {
                    Action::RecreateNode { targets, .. } => Some(targets[0].consumer.clone()),
                    _ => None,
                });
                nodes.collect::<Vec<_>>()
            };
            assert_eq!(recreated(&machine), &consumers[..room]);
            for node in &consumers[..room] {
                machine.apply(&taken_down(node, ReportId { incarnation: 0, sequence: 1 }), now).unwrap();
            }
            let refused = Rejected::NotItsTurn { consumer: consumers[room].clone(), away: room, room };
            let next = taken_down(&consumers[room], ReportId { incarnation: 0, sequence: 1 });
            assert_eq!(machine.apply(&next, now), Err(refused));
            assert_eq!(recreated(&machine), &consumers[..room]);
            // One leaves for good: there is room for the next.
            machine.apply(&Event::ConsumerRemoved { consumer: consumers[0].clone() }, now).unwrap();
            assert_eq!(machine.apply(&next, now).map(|applied| applied.completed), Ok(false));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    fn what_is_next_is_found_without_looking_at_every_node() {
        let (mut machine, consumers) = nodes(65_000, 1);
        up_to_the_nodes(&mut machine);
        let now = Cluster::new(Hierarchy::kubeadm()).now;
        let begun = Instant::now();
        for _ in 0..2_000 {
            let next = machine.pending_actions().next();
            assert!(matches!(next, Some(Action::RecreateNode { .. })));
            // All of it is no more than one node.
            assert_eq!(machine.pending_actions().count(), 1);
            assert!(machine.waiting().next().is_some() && machine.blocked().is_none());
        }
        for (number, node) in consumers.iter().enumerate().take(1_000) {
            let down = taken_down(node, ReportId { incarnation: 0, sequence: 1 });
            assert_eq!(machine.apply(&down, now).is_ok(), number == 0);
        }
        assert_eq!(machine.waiting().count(), 65_000);
        // Looking at every node takes milliseconds each time; this is far from both.
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        let target = machine.pending_actions().find_map(|action| match action {
            Action::RecreateNode { targets, .. } => Some(targets[0].reload),
            _ => None,
        });
        assert_eq!(target, Some(Reload::Recreate));
    }
}
