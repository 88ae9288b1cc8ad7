//! What a completed rotation promises, looked at again: every deviation alone is found, and none on a clean cluster.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

use cluster::{Cluster, address};
use pki_core::{AuthorityRole, BundleHash, CaVersion, ComponentKind, Hierarchy, LeafKind, Storage, TrustSlot};
use rotation_fsm::{
    Action, CompletionFacts, ConsumerId, Delivery, Deviation, Event, Facet, Observation, PresentedLeaf, Probe,
    Settings, Strategy, Topology, Unit, Unknown, Unreadable, VersionRange, verify_completion,
};

const OLD: CaVersion = CaVersion::FIRST;

#[cfg(test)]
/// A cluster that has completed a rotation, and everything that there is to know about it.
fn completed(hierarchy: Hierarchy, strategy: Strategy, unit: Unit) -> (Cluster, CompletionFacts) {
    let mut cluster = Cluster::with_strategy(hierarchy, strategy);
    cluster.start(unit);
    cluster.run();
    let facts = facts(&mut cluster);
    (cluster, facts)
}

#[cfg(test)]
fn kubeadm() -> (Cluster, CompletionFacts) {
    completed(Hierarchy::kubeadm(), Strategy::Staged, Unit::Ca)
}

#[cfg(test)]
fn everybody(topology: &Topology) -> Vec<ConsumerId> {
    topology.consumers().map(|(consumer, _)| consumer.clone()).collect()
}

#[cfg(test)]
fn facts(cluster: &mut Cluster) -> CompletionFacts {
    let topology = cluster.machine.topology().clone();
    let observations = everybody(&topology).iter().map(|consumer| cluster.observation(consumer)).collect();
    let active = |role: &AuthorityRole| (*role, cluster.machine.authority(*role).unwrap().version);
    let keys: Vec<_> = topology.hierarchy().roles().iter().map(active).collect();
    let mut probes = Vec::new();
    for verifier in everybody(&topology).into_iter().filter(|one| one.kind() == ComponentKind::KubeApiServer) {
        for slot in [TrustSlot::ApiServerClientCa, TrustSlot::ServiceAccountKeys] {
            for (issued_by, accepted) in [(OLD, false), (OLD.next(), true)] {
                probes.push(Probe { verifier: verifier.clone(), slot, issued_by, accepted });
            }
        }
    }
    CompletionFacts {
        observations,
        keys: Some(keys),
        addresses: Some(cluster.machine.address().into_iter().cloned().collect()),
        delivered: Some(Delivery::ALL.to_vec()),
        probes,
    }
}

#[cfg(test)]
fn report<'a>(facts: &'a mut CompletionFacts, consumer: &ConsumerId) -> &'a mut Observation {
    facts.observations.iter_mut().find(|report| report.consumer == *consumer).unwrap()
}

#[cfg(test)]
fn id(kind: ComponentKind, name: &str) -> ConsumerId {
    ConsumerId::new(kind, name.parse().unwrap())
}

#[test]
fn a_clean_cluster_has_no_deviation() {
    for (hierarchy, strategy, unit) in [
        (Hierarchy::kubeadm(), Strategy::Staged, Unit::Ca),
        (Hierarchy::kubeadm(), Strategy::DualEndpoint, Unit::Ca),
        (Hierarchy::kubeadm(), Strategy::CrossSigned, Unit::Ca),
        (Hierarchy::gke(Storage::Etcd), Strategy::DualEndpoint, Unit::Credentials),
    ] {
        let (cluster, facts) = completed(hierarchy, strategy, unit);
        assert_eq!(verify_completion(&cluster.machine, &facts), [], "{strategy} {unit}");
    }
    let (cluster, mut facts) = completed(Hierarchy::gdc(), Strategy::Staged, Unit::Ca);
    // The service-account keys are a unit of their own there.
    facts.probes.retain(|probe| probe.slot == TrustSlot::ApiServerClientCa);
    assert_eq!(verify_completion(&cluster.machine, &facts), []);
}

/// One thing that is wrong, and what is to be said of it.
type Case = (&'static str, fn(&Cluster, &mut CompletionFacts), fn() -> Deviation);

#[test]
fn every_deviation_alone_is_found() {
    fn api_server() -> ConsumerId {
        id(ComponentKind::KubeApiServer, "0")
    }
    fn manager() -> ConsumerId {
        id(ComponentKind::ControllerManager, "0")
    }
    fn kubelet() -> ConsumerId {
        id(ComponentKind::Kubelet, "node-1")
    }
    fn probe(slot: TrustSlot, issued_by: CaVersion, accepted: bool) -> Probe {
        Probe { verifier: api_server(), slot, issued_by, accepted }
    }
    fn set_probe(facts: &mut CompletionFacts, slot: TrustSlot, issued_by: CaVersion) {
        let of =
            |probe: &&mut Probe| (&probe.verifier, probe.slot, probe.issued_by) == (&api_server(), slot, issued_by);
        let probe = facts.probes.iter_mut().find(of).unwrap();
        probe.accepted = !probe.accepted;
    }
    fn bundle(cluster: &Cluster, facts: &mut CompletionFacts, versions: [CaVersion; 2]) {
        let hash = BundleHash::of(versions.map(|version| cluster.record(AuthorityRole::Cluster, version).anchor));
        let bundles = &mut report(facts, &kubelet()).bundles;
        bundles.iter_mut().find(|(slot, _)| *slot == TrustSlot::KubeletClientCa).unwrap().1 = hash;
    }
    fn leaf(facts: &mut CompletionFacts, consumer: &ConsumerId, change: impl Fn(&mut PresentedLeaf)) {
        change(report(facts, consumer).leaves.first_mut().unwrap());
    }
    let cases: [Case; 23] = [
        (
            "a bundle of both",
            |cluster, facts| bundle(cluster, facts, [OLD, OLD.next()]),
            || Deviation::Bundle {
                consumer: kubelet(),
                slot: TrustSlot::KubeletClientCa,
                expected: OLD.next(),
                found: VersionRange::between(OLD, OLD.next()),
            },
        ),
        (
            "a bundle of the old one",
            |cluster, facts| bundle(cluster, facts, [OLD, OLD]),
            || Deviation::Bundle {
                consumer: kubelet(),
                slot: TrustSlot::KubeletClientCa,
                expected: OLD.next(),
                found: VersionRange::only(OLD),
            },
        ),
        (
            "an old leaf",
            |cluster, facts| {
                let old = cluster.authority_id(AuthorityRole::Cluster, OLD);
                leaf(facts, &kubelet(), |leaf| leaf.issuer = old);
            },
            || Deviation::Leaf { consumer: kubelet(), leaf: LeafKind::KubeletClient, expected: OLD.next(), found: OLD },
        ),
        (
            "a chain",
            |cluster, facts| {
                let old = cluster.authority_id(AuthorityRole::Cluster, OLD);
                leaf(facts, &kubelet(), |leaf| leaf.through = Some(old));
            },
            || Deviation::Chain { consumer: kubelet(), leaf: LeafKind::KubeletClient },
        ),
        (
            "the old CSR signer",
            |cluster, facts| {
                report(facts, &manager()).signs_with = Some(cluster.authority_id(AuthorityRole::Cluster, OLD));
            },
            || Deviation::Signer {
                consumer: manager(),
                role: AuthorityRole::Cluster,
                expected: OLD.next(),
                found: OLD,
            },
        ),
        (
            "a node that did not restart",
            |cluster, facts| {
                let old = cluster.authority_id(AuthorityRole::Cluster, OLD);
                report(facts, &kubelet()).csr_signer_at_restart = Some(old);
            },
            || Deviation::NotRestarted { consumer: kubelet(), expected: OLD.next(), found: OLD },
        ),
        ("somebody away", |_, facts| report(facts, &kubelet()).available = false, || Deviation::Away(kubelet())),
        (
            "an incomplete report",
            |_, facts| report(facts, &manager()).signs_with = None,
            || Deviation::Unreadable {
                consumer: manager(),
                facet: Facet::Signs(AuthorityRole::Cluster),
                why: Unreadable::Incomplete,
            },
        ),
        (
            "a stranger",
            |_, facts| {
                let mut stranger = report(facts, &kubelet()).clone();
                stranger.consumer = id(ComponentKind::Kubelet, "node-9");
                facts.observations.push(stranger);
            },
            || Deviation::Stranger(id(ComponentKind::Kubelet, "node-9")),
        ),
        (
            "nobody looked at a node",
            |_, facts| facts.observations.retain(|report| report.consumer != kubelet()),
            || Deviation::NotEvaluated(Unknown::Consumer(kubelet())),
        ),
        (
            "a report from before",
            |_, facts| report(facts, &kubelet()).id.sequence = 1,
            || Deviation::NotEvaluated(Unknown::Consumer(kubelet())),
        ),
        (
            "the old key",
            |_, facts| facts.keys.as_mut().unwrap().push((AuthorityRole::Etcd, OLD)),
            || Deviation::LingeringKey { role: AuthorityRole::Etcd, version: OLD },
        ),
        (
            "no new key",
            |_, facts| facts.keys.as_mut().unwrap().retain(|(role, _)| *role != AuthorityRole::Etcd),
            || Deviation::MissingKey { role: AuthorityRole::Etcd, version: OLD.next() },
        ),
        ("nobody looked for keys", |_, facts| facts.keys = None, || Deviation::NotEvaluated(Unknown::Keys)),
        (
            "the old address",
            |_, facts| facts.addresses.as_mut().unwrap().push(address(1)),
            || Deviation::AddressOpen(address(1)),
        ),
        ("a silent address", |_, facts| facts.addresses = Some(Vec::new()), || Deviation::AddressSilent(address(2))),
        ("nobody dialled", |_, facts| facts.addresses = None, || Deviation::NotEvaluated(Unknown::Addresses)),
        (
            "who dials the old address",
            |_, facts| report(facts, &kubelet()).dials = Some(address(1)),
            || Deviation::WrongAddress { consumer: kubelet(), facet: Facet::Dials, expected: address(2) },
        ),
        (
            "an old certificate is accepted",
            |_, facts| set_probe(facts, TrustSlot::ApiServerClientCa, OLD),
            || Deviation::OldAccepted(probe(TrustSlot::ApiServerClientCa, OLD, true)),
        ),
        (
            "an old token is accepted",
            |_, facts| set_probe(facts, TrustSlot::ServiceAccountKeys, OLD),
            || Deviation::OldAccepted(probe(TrustSlot::ServiceAccountKeys, OLD, true)),
        ),
        (
            "a new token is refused",
            |_, facts| set_probe(facts, TrustSlot::ServiceAccountKeys, OLD.next()),
            || Deviation::NewRefused(probe(TrustSlot::ServiceAccountKeys, OLD.next(), false)),
        ),
        (
            "nobody tried an old token",
            |_, facts| {
                let tried = probe(TrustSlot::ServiceAccountKeys, OLD, false);
                facts.probes.retain(|probe| *probe != tried);
            },
            || {
                let (verifier, slot) = (api_server(), TrustSlot::ServiceAccountKeys);
                Deviation::NotEvaluated(Unknown::Probe { verifier, slot, issued_by: OLD })
            },
        ),
        (
            "a later report counts",
            |cluster, facts| {
                let mut later = report(facts, &kubelet()).clone();
                later.id.sequence += 1;
                later.csr_signer_at_restart = Some(cluster.authority_id(AuthorityRole::Cluster, OLD));
                facts.observations.insert(0, later);
            },
            || Deviation::NotRestarted { consumer: kubelet(), expected: OLD.next(), found: OLD },
        ),
    ];
    let (cluster, clean) = completed(Hierarchy::kubeadm(), Strategy::DualEndpoint, Unit::Ca);
    for (name, spoil, expected) in cases {
        let mut facts = clean.clone();
        spoil(&cluster, &mut facts);
        let found = verify_completion(&cluster.machine, &facts);
        assert_eq!(found, [expected()], "{name}");
        let said = expected().to_string();
        assert!(
            said.contains("expected") || said.starts_with("not evaluated") || name.contains("incomplete"),
            "{said}"
        );
    }
}

#[test]
fn what_gdc_hands_out_was_handed_out() {
    let (cluster, mut facts) = completed(Hierarchy::gdc(), Strategy::Staged, Unit::Ca);
    facts.probes.retain(|probe| probe.slot == TrustSlot::ApiServerClientCa);
    facts.delivered = Some(vec![Delivery::AdminKubeconfig, Delivery::Oidc, Delivery::OidcAdFs]);
    let found = verify_completion(&cluster.machine, &facts);
    assert_eq!(found, [Deviation::NotDelivered(Delivery::OidcGoogle)]);
    facts.delivered = None;
    let found = verify_completion(&cluster.machine, &facts);
    assert_eq!(found, [Deviation::NotEvaluated(Unknown::Deliveries)]);
    // Nobody else hands anything out.
    let (cluster, mut facts) = kubeadm();
    facts.delivered = None;
    assert_eq!(verify_completion(&cluster.machine, &facts), []);
}

#[test]
fn who_was_left_behind_or_given_up_is_listed() {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let mut cluster = Cluster::with(hierarchy.clone(), Settings::of(&hierarchy));
    let outside = id(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    cluster.start(Unit::Credentials);
    cluster.run_until("external-trust");
    let lost = id(ComponentKind::Kubelet, "node-1");
    let gone =
        Event::ConsumerAbandoned { consumer: lost.clone(), by: "somebody".to_owned(), reason: "gone".to_owned() };
    cluster.apply(&gone).unwrap();
    for consumer in ["konnectivity-agent/node-1", "pod/node-1"].map(|name| name.parse::<ConsumerId>().unwrap()) {
        let _ = cluster.apply(&Event::ConsumerRemoved { consumer });
    }
    // Day by day, without a look at the paths: some are meant to break.
    while cluster.machine.stage().is_some() {
        cluster.now += time::Duration::DAY;
        cluster.apply(&Event::Tick).unwrap();
        let pending: Vec<_> = cluster.machine.pending_actions().collect();
        for action in pending.iter().filter(|action| !matches!(action, Action::AwaitAcknowledgement { .. })) {
            for event in cluster.carry_out_all(action) {
                let _late = cluster.apply(&event);
            }
        }
    }
    let mut facts = facts(&mut cluster);
    facts.observations.retain(|report| report.consumer != outside);
    let found = verify_completion(&cluster.machine, &facts);
    assert_eq!(found, [Deviation::LeftBehind(outside), Deviation::Abandoned(lost)]);
}

#[test]
fn nothing_is_promised_before_a_rotation_has_completed() {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    let nothing = CompletionFacts::default();
    assert_eq!(verify_completion(&cluster.machine, &nothing), [Deviation::NotCompleted]);
    cluster.start(Unit::Ca);
    cluster.run_until("node-leaves/pool-b");
    assert_eq!(verify_completion(&cluster.machine, &nothing), [Deviation::NotCompleted]);
    cluster.apply(&Event::RollbackRequested { by: "somebody".to_owned() }).unwrap();
    cluster.run();
    assert_eq!(verify_completion(&cluster.machine, &nothing), [Deviation::NotCompleted]);
    // Knowing nothing is not knowing that all is well.
    let (cluster, _) = kubeadm();
    let found = verify_completion(&cluster.machine, &nothing);
    assert!(found.len() > 20 && found.iter().all(|one| matches!(one, Deviation::NotEvaluated(_))), "{found:?}");
}
