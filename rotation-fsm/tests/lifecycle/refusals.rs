//! Everything that the machine refuses, and that it is as it was afterwards.

use std::collections::BTreeSet;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, LeafKind, Storage};
use rotation_fsm::{
    Calendar, ConsumerId, CrossRecord, Delivery, Event, Machine, MaintenancePolicy, MaintenanceWindow, Rejected,
    ReportId, Settings, Strategy, StrategyError, Topology, Unit,
};
use time::{Duration, Time};

use crate::cluster::{Cluster, address};

const V1: CaVersion = CaVersion::FIRST;
const V2: CaVersion = V1.next();
const CLUSTER: AuthorityRole = AuthorityRole::Cluster;

fn request(unit: Unit) -> Event {
    Event::RotationRequested { unit }
}

fn by_operator() -> String {
    "operator".to_owned()
}

/// The variants of [`Rejected`], as they stand in the source.
fn variants() -> BTreeSet<String> {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rejected.rs")).unwrap();
    let body = source.split("pub enum Rejected {").nth(1).unwrap().split("\n}").next().unwrap();
    let lines =
        body.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase));
    lines.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    #[track_caller]
    fn refuses(&mut self, cluster: &mut Cluster, event: &Event, expected: &Rejected) {
        let before = format!("{:?}", cluster.machine);
        // Time passes with every event, and must not with this one.
        let now = cluster.now;
        cluster.now += Duration::MINUTE;
        let error = cluster.apply(event).unwrap_err();
        cluster.now = now;
        assert_eq!(error, *expected);
        assert_eq!(format!("{:?}", cluster.machine), before, "{event:?}");
        self.note(&error);
    }

    fn note(&mut self, error: &Rejected) {
        assert!(!error.to_string().is_empty());
        self.0.insert(format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect());
    }
}

fn kubeadm(strategy: Strategy, stage: &str) -> Cluster {
    let mut cluster = Cluster::with_strategy(Hierarchy::kubeadm(), strategy);
    cluster.start(Unit::Ca);
    if stage != "mint" {
        cluster.run_until(stage);
    }
    cluster
}

fn at_rest(seen: &mut Seen) {
    let mut cluster = Cluster::new(Hierarchy::kubeadm());
    let nobody = cluster.consumer(ComponentKind::Kubelet, "nobody");
    let none = Rejected::NotInStage { current: None };
    let record = cluster.record(CLUSTER, V2);
    let cross = CrossRecord { version: V2, by: V1, not_before: cluster.now, not_after: cluster.now };
    for event in [
        Event::CompletionRequested { unit: Unit::Ca },
        Event::PauseRequested { by: by_operator() },
        Event::ResumeRequested { by: by_operator() },
        Event::RollbackRequested { by: by_operator() },
        Event::AuthorityMinted { role: CLUSTER, record },
        Event::CrossSigned { role: CLUSTER, record: cross },
        Event::AddressAllocated { address: address(2) },
        Event::KeyDestroyed { role: CLUSTER, version: V1 },
    ] {
        seen.refuses(&mut cluster, &event, &none);
    }
    seen.refuses(&mut cluster, &request(Unit::EtcdApi), &Rejected::UnknownUnit(Unit::EtcdApi));
    let declared = Event::EmergencyDeclared { unit: Unit::Credentials, suspect: V1, by: by_operator() };
    seen.refuses(&mut cluster, &declared, &Rejected::UnknownUnit(Unit::Credentials));
    let declared = Event::EmergencyDeclared { unit: Unit::Ca, suspect: V2, by: by_operator() };
    seen.refuses(&mut cluster, &declared, &Rejected::WrongVersion { role: CLUSTER, found: V2 });
    let unknown = Rejected::UnknownConsumer(nobody.clone());
    seen.refuses(&mut cluster, &Event::ConsumerRemoved { consumer: nobody.clone() }, &unknown);
    let down = Event::TakenDown { consumer: nobody.clone(), after: ReportId::default() };
    seen.refuses(&mut cluster, &down, &unknown);
    let given_up = Event::ConsumerAbandoned { consumer: nobody, by: by_operator(), reason: String::new() };
    seen.refuses(&mut cluster, &given_up, &unknown);
    let delivered = |version| Event::Delivered { delivery: Delivery::Oidc, version };
    seen.refuses(&mut cluster, &delivered(V1), &Rejected::NotAwaited);
    seen.refuses(&mut cluster, &delivered(V2), &Rejected::WrongVersion { role: CLUSTER, found: V2 });
    let version: rotation_fsm::ClusterVersion = "1.16.0-gke.0".parse().unwrap();
    let renewed = Event::LeavesRenewed { version: version.clone() };
    seen.refuses(&mut cluster, &renewed, &Rejected::NotAwaited);
    cluster.apply(&Event::ClusterUpgraded { version }).unwrap();
    let other = Event::LeavesRenewed { version: "1.17".parse().unwrap() };
    seen.refuses(&mut cluster, &other, &Rejected::NotAwaited);
    cluster.apply(&renewed).unwrap();
    seen.refuses(&mut cluster, &renewed, &Rejected::NotAwaited);

    let there = cluster.consumer(ComponentKind::Etcd, "0");
    let duplicate = Rejected::Topology(rotation_fsm::TopologyError::Duplicate(there.clone()));
    let joined = Event::ConsumerJoined { consumer: there.clone(), pool: None, incarnation: 9 };
    seen.refuses(&mut cluster, &joined, &duplicate);
    let mut stale = cluster.observation(&there);
    stale.id = ReportId { incarnation: 0, sequence: 1 };
    let applied = ReportId { incarnation: 0, sequence: 1 };
    seen.refuses(&mut cluster, &Event::Observed(stale), &Rejected::Stale { consumer: there, applied, found: applied });
    let pool: rotation_fsm::PoolName = "pool-z".to_owned().try_into().unwrap();
    cluster.start(Unit::Ca);
    let upgrade = Event::PoolUpgradeRequested { pool: pool.clone() };
    seen.refuses(&mut cluster, &upgrade, &Rejected::UnknownPool(pool));
}

fn while_minting(seen: &mut Seen) {
    let mut cluster = kubeadm(Strategy::DualEndpoint, "mint");
    let minted = |record| Event::AuthorityMinted { role: CLUSTER, record };
    let right = cluster.record(CLUSTER, V2);
    seen.refuses(&mut cluster, &request(Unit::Ca), &Rejected::InProgress { to: V2 });
    let mut wrong = right;
    wrong.version = V2.next();
    let version = Rejected::WrongVersion { role: CLUSTER, found: V2.next() };
    seen.refuses(&mut cluster, &minted(wrong), &version);
    let mut short = right;
    short.not_after = Some(cluster.now);
    let too_short = Rejected::ShortLived { role: CLUSTER, not_after: cluster.now };
    seen.refuses(&mut cluster, &minted(short), &too_short);
    let mut shared = right;
    shared.id = cluster.authority_id(AuthorityRole::Etcd, V1);
    let other = Rejected::SharedKey { role: CLUSTER, other: AuthorityRole::Etcd };
    seen.refuses(&mut cluster, &minted(shared), &other);
    cluster.apply(&minted(right)).unwrap();
    let mut second = right;
    second.id = cluster.authority_id(CLUSTER, V2.next());
    seen.refuses(&mut cluster, &minted(second), &Rejected::MintedTwice { role: CLUSTER });
    let used = Event::AddressAllocated { address: address(1) };
    seen.refuses(&mut cluster, &used, &Rejected::AddressInUse(address(1)));
    cluster.apply(&Event::AddressAllocated { address: address(2) }).unwrap();
    cluster.apply(&Event::AddressAllocated { address: address(2) }).unwrap();
    let another = Event::AddressAllocated { address: address(3) };
    seen.refuses(&mut cluster, &another, &Rejected::AddressInUse(address(3)));
    cluster.run_until("destroy-keys");
    let early = Event::KeyDestroyed { role: CLUSTER, version: V2 };
    seen.refuses(&mut cluster, &early, &Rejected::WrongVersion { role: CLUSTER, found: V2 });
    let stage = cluster.machine.stage().map(|stage| stage.id().clone());
    let back = Event::RollbackRequested { by: by_operator() };
    seen.refuses(&mut cluster, &back, &Rejected::NoWayBack { stage });
}

fn while_cross_signing(seen: &mut Seen) {
    let mut cluster = kubeadm(Strategy::CrossSigned, "cross-sign");
    let end = cluster.machine.authority(CLUSTER).unwrap().not_after.unwrap();
    let right = CrossRecord { version: V2, by: V1, not_before: cluster.now, not_after: end };
    let signed = |record| Event::CrossSigned { role: CLUSTER, record };
    let unfit = Rejected::UnfitCrossCertificate { role: CLUSTER, signer_ends: Some(end) };
    let (hour, week) = (Duration::HOUR, Duration::days(7));
    for wrong in [
        CrossRecord { not_before: cluster.now + hour, ..right },
        CrossRecord { not_after: end + Duration::SECOND, ..right },
        // Over already, or before the rotation could be.
        CrossRecord { not_after: cluster.now - hour, ..right },
        CrossRecord { not_after: cluster.now, ..right },
        CrossRecord { not_after: cluster.now + week - hour, ..right },
    ] {
        seen.refuses(&mut cluster, &signed(wrong), &unfit);
    }
    let by_itself = CrossRecord { by: V2, ..right };
    seen.refuses(&mut cluster, &signed(by_itself), &Rejected::WrongVersion { role: CLUSTER, found: V2 });
    let of_nobody = Event::CrossSigned { role: AuthorityRole::Konnectivity, record: right };
    let nobody = Rejected::WrongVersion { role: AuthorityRole::Konnectivity, found: V2 };
    seen.refuses(&mut cluster, &of_nobody, &nobody);
    cluster.apply(&signed(CrossRecord { not_after: cluster.now + week, ..right })).unwrap();
}

fn of_presets(seen: &mut Seen) {
    let mut gke = Cluster::with(Hierarchy::gke(Storage::Etcd), Settings::of(&Hierarchy::gke(Storage::Etcd)));
    seen.refuses(&mut gke, &request(Unit::EtcdApi), &Rejected::AutomaticOnly(Unit::EtcdApi));
    gke.start(Unit::Credentials);
    seen.refuses(&mut gke, &Event::PauseRequested { by: by_operator() }, &Rejected::NoPause);
    seen.refuses(&mut gke, &Event::RollbackRequested { by: by_operator() }, &Rejected::NoRollback);
    let pool = gke.machine.topology().pools().next().cloned().unwrap();
    let blocked = Rejected::NotComplete(rotation_fsm::CompletionBlocked::Pool(pool));
    seen.refuses(&mut gke, &Event::CompletionRequested { unit: Unit::Credentials }, &blocked);
    let stage = gke.machine.stage().map(|stage| stage.id().clone());
    let other = Event::CompletionRequested { unit: Unit::EtcdApi };
    seen.refuses(&mut gke, &other, &Rejected::NotInStage { current: stage });

    // Paused is in the way too, where there is a pause.
    let hierarchy = Hierarchy::kubeadm();
    let settings = Settings { completion: rotation_fsm::Completion::OnRequest, ..Settings::of(&hierarchy) };
    let mut cluster = Cluster::with(hierarchy, settings);
    cluster.start(Unit::Ca);
    cluster.exhaust();
    cluster.apply(&Event::PauseRequested { by: by_operator() }).unwrap();
    let paused = Rejected::NotComplete(rotation_fsm::CompletionBlocked::Paused);
    seen.refuses(&mut cluster, &Event::CompletionRequested { unit: Unit::Ca }, &paused);

    let mut gdc = Cluster::with_strategy(Hierarchy::gdc(), Strategy::CrossSigned);
    let expiry = gdc.machine.authority(CLUSTER).unwrap().not_after.unwrap();
    let now = gdc.now;
    gdc.now = expiry - Duration::days(7);
    let late = Rejected::TooLate { unit: Unit::Ca, expiry, margin: Duration::days(7) };
    seen.refuses(&mut gdc, &request(Unit::Ca), &late);
    gdc.now = now;
    let mut unseen = Cluster::new(Hierarchy::gdc());
    let consumer = unseen.consumer(ComponentKind::Etcd, "new");
    unseen.apply(&Event::ConsumerJoined { consumer: consumer.clone(), pool: None, incarnation: 0 }).unwrap();
    seen.refuses(&mut unseen, &request(Unit::Ca), &Rejected::NotReady { consumer });
}

fn of_consumers(seen: &mut Seen) {
    let mut cluster = kubeadm(Strategy::Staged, "control-plane-trust");
    let stage = cluster.machine.stage().unwrap().id().clone();
    let (unit, to, by) = (Unit::Ca, V2, by_operator());
    let observable = cluster.consumer(ComponentKind::Scheduler, "0");
    let word = Event::Acknowledged { consumer: observable.clone(), unit, to, stage: stage.clone(), by: by.clone() };
    seen.refuses(&mut cluster, &word, &Rejected::Observable(observable));
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    let current = Rejected::NotInStage { current: Some(stage.clone()) };
    for (unit, to) in [(Unit::ServiceAccount, to), (unit, V1), (unit, V2.next())] {
        let (stage, by) = (stage.clone(), by.clone());
        let word = Event::Acknowledged { consumer: outside.clone(), unit, to, stage, by };
        seen.refuses(&mut cluster, &word, &current);
    }
    let etcd = |name: &str| ConsumerId::new(ComponentKind::Etcd, name.parse().unwrap());
    cluster.apply(&Event::TakenDown { consumer: etcd("0"), after: ReportId::default() }).unwrap();
    let turn = Rejected::NotItsTurn { consumer: etcd("1"), away: 1, room: 1 };
    let down = Event::TakenDown { consumer: etcd("1"), after: ReportId::default() };
    seen.refuses(&mut cluster, &down, &turn);
    let down = Event::TakenDown { consumer: outside.clone(), after: ReportId::default() };
    seen.refuses(&mut cluster, &down, &Rejected::Outside(outside));
    // A wrong number silences nobody: what is reported next must still be heard.
    let applied = cluster.observation(&etcd("0")).id;
    cluster.apply(&Event::TakenDown { consumer: etcd("0"), after: applied }).unwrap();
    for (incarnation, sequence) in
        [(0, u64::MAX), (0, applied.sequence + (1 << 20) + 1), (u64::MAX, 1), (1, (1 << 20) + 1)]
    {
        let found = ReportId { incarnation, sequence };
        let ahead = Rejected::TooFarAhead { consumer: etcd("0"), applied, found };
        seen.refuses(&mut cluster, &Event::TakenDown { consumer: etcd("0"), after: found }, &ahead);
    }
    let far = ReportId { incarnation: 0, sequence: applied.sequence + (1 << 20) };
    cluster.apply(&Event::TakenDown { consumer: etcd("0"), after: far }).unwrap();
}

fn of_setups(seen: &mut Seen) {
    let hierarchy = Hierarchy::kubeadm();
    seen.note(&Rejected::NoVersionLeft(Unit::Ca));
    seen.note(&Rejected::EmergencyAfter { unit: Unit::Ca, to: V2 });
    let cluster = Cluster::new(hierarchy.clone());
    // One of the unit's authorities is a generation ahead.
    let records =
        hierarchy.roles().iter().map(|role| (*role, cluster.record(*role, if *role == CLUSTER { V2 } else { V1 })));
    let topology = Topology::new(hierarchy.clone());
    let settings = Settings::of(&hierarchy);
    let mut mixed = Machine::new("mixed".parse().unwrap(), topology, settings, records, cluster.now).unwrap();
    let before = format!("{mixed:?}");
    let error = mixed.apply(&request(Unit::Ca), cluster.now).unwrap_err();
    assert_eq!((error.clone(), format!("{mixed:?}")), (Rejected::MixedVersions(Unit::Ca), before));
    seen.note(&error);

    let settings = Settings::of(&hierarchy).with_strategy(Strategy::DualEndpoint);
    let mut blind = Cluster::on(Topology::new(hierarchy), settings);
    seen.refuses(&mut blind, &request(Unit::Ca), &Rejected::Strategy(StrategyError::NoAddress));
}

/// What the calendar holds up is told, not returned: the clock was read all the same.
fn of_calendars(seen: &mut Seen) {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let settings = Settings { maintenance: MaintenancePolicy::respect(), ..Settings::of(&hierarchy) };
    let mut cluster = Cluster::with(hierarchy, settings);
    let window = MaintenanceWindow::daily(Time::from_hms(12, 0, 0).unwrap()).unwrap();
    cluster.apply(&Event::CalendarChanged { calendar: Calendar::within([window]).unwrap() }).unwrap();
    let not_after = cluster.machine.authority(AuthorityRole::EtcdApi).unwrap().not_after.unwrap();
    cluster.now = (not_after - Duration::days(3)).replace_time(Time::MIDNIGHT);
    let applied = cluster.apply(&Event::Tick).unwrap();
    assert_eq!(applied.started, None);
    assert!(applied.blocked.iter().any(|(unit, _)| *unit == Unit::EtcdApi));
    for (_, why) in &applied.blocked {
        assert!(matches!(why, Rejected::Maintenance(_)));
        seen.note(why);
    }
}

#[test]
fn whatever_is_refused_has_changed_nothing() {
    let mut seen = Seen::default();
    at_rest(&mut seen);
    while_minting(&mut seen);
    while_cross_signing(&mut seen);
    of_presets(&mut seen);
    of_consumers(&mut seen);
    of_setups(&mut seen);
    of_calendars(&mut seen);
    assert_eq!(seen.0, variants());
    assert!(variants().len() > 20);
}

#[test]
fn a_report_from_elsewhere_counts_against_its_consumer_and_not_for_it() {
    let mut cluster = kubeadm(Strategy::DualEndpoint, "control-plane-leaves");
    let scheduler = cluster.consumer(ComponentKind::Scheduler, "0");
    let mut report = cluster.observation(&scheduler);
    report.dials = Some(address(99));
    let applied = cluster.apply(&Event::Observed(report)).unwrap();
    assert_eq!(applied.unreadable, [(scheduler.clone(), rotation_fsm::Unreadable::UnknownAddress)]);
    let server = cluster.consumer(ComponentKind::KubeApiServer, "0");
    let mut report = cluster.observation(&server);
    // The second address is worth nothing while it shows the first certificate.
    let old = cluster.authority_id(CLUSTER, V1);
    report.serves.iter_mut().for_each(|served| served.issuer = old);
    assert_eq!(report.serves.len(), 2);
    let applied = cluster.apply(&Event::Observed(report)).unwrap();
    assert_eq!(applied.unreadable, [(server.clone(), rotation_fsm::Unreadable::UnknownAddress)]);
    let mut report = cluster.observation(&server);
    report.signs_with = Some(cluster.authority_id(AuthorityRole::Etcd, V1));
    let applied = cluster.apply(&Event::Observed(report)).unwrap();
    assert_eq!(applied.unreadable, [(server, rotation_fsm::Unreadable::UnknownSigner)]);
    // A chain that nobody signed.
    let mut report = cluster.observation(&scheduler);
    report.leaves[0].through = Some(cluster.authority_id(CLUSTER, V2));
    let applied = cluster.apply(&Event::Observed(report)).unwrap();
    assert_eq!(applied.unreadable, [(scheduler, rotation_fsm::Unreadable::UnknownIssuer(LeafKind::Scheduler))]);
    cluster.run();
    assert!(cluster.machine.is_at_rest());
}
