//! A process that dies at any moment and comes back from its last snapshot and the events since: nothing is lost, and
//! nothing is other than it was.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod tests {
    use pki_core::{CaVersion, ComponentKind, Hierarchy, LeafKind, Preset};
    use proptest::prelude::*;
    use rotation_fsm::{
        Completion, Event, Machine, Part, PoolName, Record, Rejected, ReplayError, RestoreError, Settings, Snapshot,
        Strategy, Trigger, Unit, replay, units,
    };
    use time::Duration;

    use super::cluster::Cluster;

    /// What fate does with the next report.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Delivered,
        Lost,
        Late,
        Twice,
        /// The clock is read, as it is every minute.
        Tick,
        /// A node goes away for good, and another comes up under its name.
        Replaced,
        /// A snapshot is taken, and what came before it is dropped.
        Snapshot,
        /// The process dies and comes back.
        Crash,
    }

    fn fates() -> impl proptest::strategy::Strategy<Value = Vec<(Fate, prop::sample::Index)>> {
        let fate = prop_oneof![
            8 => Just(Fate::Delivered),
            1 => Just(Fate::Lost),
            1 => Just(Fate::Late),
            1 => Just(Fate::Twice),
            2 => Just(Fate::Tick),
            1 => Just(Fate::Replaced),
            1 => Just(Fate::Snapshot),
            1 => Just(Fate::Crash),
        ];
        prop::collection::vec((fate, any::<prop::sample::Index>()), 300)
    }

    /// A journal that leaves out what changed nothing.
    struct Journal {
        snapshot: Snapshot,
        records: Vec<Record>,
        left_out: usize,
    }

    impl Journal {
        fn new(cluster: &Cluster) -> Self {
            Self { snapshot: cluster.machine.snapshot(), records: Vec::new(), left_out: 0 }
        }

        fn deliver(&mut self, cluster: &mut Cluster, event: &Event) {
            let before = cluster.machine.snapshot();
            let record = cluster.machine.record_of(event.clone(), cluster.now);
            match cluster.apply(event) {
                Ok(applied) if applied.changed => self.records.push(record),
                Ok(_) => {
                    self.left_out += 1;
                    assert_eq!(without_clock(&cluster.machine.snapshot()), without_clock(&before), "{event:?}");
                }
                Err(
                    Rejected::Stale { .. }
                    | Rejected::NotInStage { .. }
                    | Rejected::WrongVersion { .. }
                    | Rejected::NotAwaited
                    | Rejected::NotReady { .. }
                    | Rejected::InProgress { .. },
                ) => assert_eq!(cluster.machine.snapshot(), before, "{event:?}"),
                Err(rejected) => panic!("{rejected}: {event:?}"),
            }
            cluster.check_paths();
        }

        /// The machine that comes back, whose clock has not been read since the last record.
        fn restart(&mut self, cluster: &mut Cluster) {
            let replayed = replay(self.snapshot.clone(), &self.records).unwrap();
            let expected = without_clock(&cluster.machine.snapshot());
            assert_eq!(without_clock(&replayed.snapshot()), expected);
            #[cfg(feature = "serde")]
            {
                let snapshot = super::json::through(&self.snapshot);
                let records: Vec<_> = self.records.iter().map(super::json::through).collect();
                assert_eq!(replay(snapshot, records).unwrap().snapshot(), replayed.snapshot());
            }
            let exact = Machine::restore(cluster.machine.snapshot()).unwrap();
            assert_eq!(exact.snapshot(), cluster.machine.snapshot());
            assert_eq!(derived(&exact), derived(&cluster.machine));
            // Read at once, as whoever comes back does; a reading that moves nothing else is nothing new.
            let mut replayed = replayed;
            if replayed.stage().is_some() {
                replayed.apply(&Event::Tick, cluster.now).unwrap();
            }
            assert_eq!(derived(&replayed), derived(&cluster.machine));
            cluster.machine = replayed;
            *self = Self { left_out: self.left_out, ..Self::new(cluster) };
        }
    }

    /// Everything that follows from the state.
    fn derived(machine: &Machine) -> (Vec<String>, String, String) {
        let waiting: Vec<_> = machine.waiting().chain(machine.released()).map(ToString::to_string).collect();
        let pending: Vec<_> = machine.pending_actions().collect();
        (waiting, format!("{pending:?}"), format!("{:?} {:?}", machine.status(), machine.stage()))
    }

    /// A snapshot prints its whole state, the clock in its own place.
    fn without_clock(snapshot: &Snapshot) -> String {
        let text = format!("{snapshot:?}");
        let (before, rest) = text.split_once("clock: ClockState").unwrap();
        format!("{before}{}", rest.split_once('}').unwrap().1)
    }

    fn carry_out(
        cluster: &mut Cluster,
        journal: &mut Journal,
        index: Option<&prop::sample::Index>,
    ) -> Option<Vec<Event>> {
        let actions: Vec<_> = cluster.machine.pending_actions().collect();
        if actions.is_empty() {
            journal.deliver(cluster, &Event::Tick);
            return None;
        }
        let action = index.map_or(&actions[0], |index| index.get(&actions)).clone();
        let events = cluster.carry_out_all(&action);
        cluster.check_paths();
        Some(events)
    }

    fn begin(cluster: &mut Cluster, journal: &mut Journal, unit: Unit, trigger: Trigger) {
        match trigger {
            Trigger::User => journal.deliver(cluster, &Event::RotationRequested { unit }),
            _ => {
                let expiry = cluster.machine.facts(unit).unwrap().expiry();
                cluster.now = cluster.now.max(expiry - Duration::days(29));
                journal.deliver(cluster, &Event::Tick);
            }
        }
        assert!(cluster.machine.stage().is_some(), "{unit}: {:?}", cluster.machine.waiting().collect::<Vec<_>>());
    }

    /// Every unit of a preset by one strategy, with a fate for every report.
    fn rotate(preset: Preset, strategy: Strategy, fates: Vec<(Fate, prop::sample::Index)>) -> Journal {
        let hierarchy = Hierarchy::preset(preset);
        let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
        let mut journal = Journal::new(&cluster);
        let (mut late, mut fates) = (Vec::new(), fates.into_iter());
        for policy in units(&hierarchy).iter() {
            while !cluster.machine.is_at_rest() {
                for event in carry_out(&mut cluster, &mut journal, None).unwrap_or_default() {
                    journal.deliver(&mut cluster, &event);
                }
            }
            begin(&mut cluster, &mut journal, policy.unit, policy.trigger);
            while cluster.machine.stage().is_some() {
                cluster.now += Duration::minutes(7);
                let (fate, index) = fates.next().unzip();
                let Some(events) = carry_out(&mut cluster, &mut journal, index.as_ref()) else { continue };
                match fate.unwrap_or(Fate::Delivered) {
                    Fate::Delivered => events.iter().for_each(|event| journal.deliver(&mut cluster, event)),
                    Fate::Lost => {}
                    Fate::Late => late.extend(events),
                    Fate::Twice => {
                        events.iter().chain(&events).for_each(|event| journal.deliver(&mut cluster, event));
                    }
                    Fate::Tick => journal.deliver(&mut cluster, &Event::Tick),
                    Fate::Replaced => {
                        for event in cluster.replace_node("node-1") {
                            journal.deliver(&mut cluster, &event);
                        }
                    }
                    Fate::Snapshot => journal = Journal { left_out: journal.left_out, ..Journal::new(&cluster) },
                    Fate::Crash => journal.restart(&mut cluster),
                }
                if late.len() > 3 {
                    let overtaken = late.remove(0);
                    journal.deliver(&mut cluster, &overtaken);
                }
            }
            journal.restart(&mut cluster);
        }
        journal
    }

    fn strategies() -> Vec<(Preset, Strategy)> {
        let pairs = Preset::ALL.into_iter().flat_map(|preset| Strategy::ALL.map(|strategy| (preset, strategy)));
        pairs.filter(|(preset, strategy)| strategy.is_allowed(Hierarchy::preset(*preset).origin())).collect()
    }

    #[test]
    fn every_stage_of_every_strategy_comes_back_from_its_snapshot() {
        for (preset, strategy) in strategies() {
            let hierarchy = Hierarchy::preset(preset);
            let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
            let mut journal = Journal::new(&cluster);
            for policy in units(&hierarchy).iter() {
                begin(&mut cluster, &mut journal, policy.unit, policy.trigger);
                let mut stage = None;
                while cluster.machine.stage().is_some() {
                    let current = cluster.machine.stage().map(ToString::to_string);
                    if current != stage {
                        journal.restart(&mut cluster);
                        stage = current;
                    }
                    for event in carry_out(&mut cluster, &mut journal, None).unwrap_or_default() {
                        journal.deliver(&mut cluster, &event);
                    }
                }
                journal.restart(&mut cluster);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_machine_that_dies_at_any_moment_comes_back_as_it_was(
            (preset, strategy) in prop::sample::select(strategies()),
            fates in fates(),
        ) {
            rotate(preset, strategy, fates);
        }
    }

    #[test]
    fn ticks_that_begin_nothing_need_not_be_kept() {
        let mut cluster = Cluster::new(Hierarchy::kubeadm());
        let mut journal = Journal::new(&cluster);
        cluster.start(Unit::Ca);
        journal.snapshot = cluster.machine.snapshot();
        // Three days of ticks, and nobody does anything.
        for _ in 0..72 {
            cluster.now += Duration::HOUR;
            journal.deliver(&mut cluster, &Event::Tick);
        }
        assert_eq!((journal.records.len(), journal.left_out), (0, 72));
        // What is kept next carries the clock, or the three days would be a jump that nobody believes.
        let action = cluster.machine.pending_actions().next().unwrap();
        let event = cluster.carry_out(&action);
        let bare = Record::new(event.clone(), cluster.now);
        let begun = journal.snapshot.clone();
        journal.deliver(&mut cluster, &event);
        let replayed = replay(begun.clone(), &journal.records).unwrap();
        assert_eq!(replayed.snapshot(), cluster.machine.snapshot());
        assert_ne!(replay(begun, [bare]).unwrap().snapshot(), cluster.machine.snapshot());
    }

    #[test]
    fn what_changes_nothing_says_so() {
        let mut cluster = Cluster::new(Hierarchy::kubeadm());
        cluster.start(Unit::Ca);
        let mut changed = |event: &Event| cluster.apply(event).unwrap().changed;
        let by = || "operator".to_owned();
        for event in [Event::PauseRequested { by: by() }, Event::ResumeRequested { by: by() }] {
            assert!(changed(&event), "{event:?}");
            assert!(!changed(&event), "{event:?}");
        }
        for frozen in [true, false] {
            assert!(changed(&Event::FreezeChanged { frozen }));
            assert!(!changed(&Event::FreezeChanged { frozen }));
        }
        let pool = || PoolName::new("pool-a".parse().unwrap());
        assert!(changed(&Event::PoolUpgradeRequested { pool: pool() }));
        assert!(!changed(&Event::PoolUpgradeRequested { pool: pool() }));
        assert!(!changed(&Event::Tick));
        // A jump is doubted, which is news; that it still is, is none; that it is believed, is.
        cluster.now += Duration::days(3);
        assert!(cluster.apply(&Event::Tick).unwrap().changed);
        cluster.now += Duration::MINUTE;
        assert!(!cluster.apply(&Event::Tick).unwrap().changed);
        cluster.now += Duration::HOUR;
        assert!(cluster.apply(&Event::Tick).unwrap().changed);
        // A report always is: the next one must be later.
        let node = cluster.consumer(ComponentKind::Kubelet, "node-0");
        let report = cluster.observation(&node);
        assert!(cluster.apply(&Event::Observed(report)).unwrap().changed);
        // A failed attempt to complete is counted.
        let gke = Hierarchy::preset(Preset::ALL[0]);
        let settings = Settings::of(&gke).with_completion(Completion::OnRequest);
        let mut cluster = Cluster::with(gke, settings);
        cluster.start(Unit::Credentials);
        for day in 1..=7 {
            cluster.now += Duration::DAY;
            assert_eq!(cluster.apply(&Event::Tick).unwrap().changed, day == 7, "{day}");
            assert!(!cluster.apply(&Event::Tick).unwrap().changed, "{day}");
        }
    }

    #[test]
    fn a_journal_that_does_not_fit_names_its_record() {
        let mut cluster = Cluster::new(Hierarchy::kubeadm());
        let snapshot = cluster.machine.snapshot();
        let start = Record::new(Event::RotationRequested { unit: Unit::Ca }, cluster.now);
        cluster.start(Unit::Ca);
        let twice = replay(snapshot.clone(), [&start, &start]).unwrap_err();
        assert!(matches!(twice, ReplayError::Rejected { index: 1, why: Rejected::InProgress { .. } }), "{twice}");
        let back = cluster.machine.record_of(Event::Tick, cluster.now);
        let mut back = back;
        back.clock = Some(cluster.now - Duration::SECOND);
        let error = replay(snapshot.clone(), [start.clone(), back]).unwrap_err();
        assert!(matches!(error, ReplayError::Clock { index: 1, .. }), "{error}");
        // While a jump is doubted the clock stands, and no record says otherwise.
        let doubted = Record::new(Event::Tick, cluster.now + Duration::days(3));
        let mut later = Record::new(Event::Tick, cluster.now);
        later.clock = Some(cluster.now + Duration::SECOND);
        let error = replay(snapshot, [start, doubted, later]).unwrap_err();
        assert!(matches!(error, ReplayError::Clock { index: 2, .. }), "{error}");
    }

    #[test]
    fn fractions_of_a_second_are_nothing_that_is_kept() {
        let mut cluster = Cluster::new(Hierarchy::kubeadm());
        let snapshot = cluster.machine.snapshot();
        let now = cluster.now + Duration::milliseconds(1_500);
        let event = Event::RotationRequested { unit: Unit::Ca };
        cluster.machine.apply(&event, now).unwrap();
        let replayed = replay(snapshot, [Record::new(event, now)]).unwrap();
        assert_eq!(replayed.snapshot(), cluster.machine.snapshot());
        assert_eq!(replayed.next_change(), cluster.machine.next_change());
    }

    /// The tree of parts, the reloads that differ, the holes of who left, an emergency, a way back.
    #[test]
    fn states_that_no_preset_has_come_back_too() {
        let mut cluster = Cluster::new(split());
        let mut journal = Journal::new(&cluster);
        cluster.start(Unit::Ca);
        for event in cluster.replace_node("node-0").into_iter().take(1) {
            journal.deliver(&mut cluster, &event);
        }
        journal = Journal::new(&cluster);
        journal.restart(&mut cluster);
        cluster.run_until("signer");
        journal = Journal::new(&cluster);
        journal.deliver(&mut cluster, &Event::RollbackRequested { by: "operator".to_owned() });
        journal.restart(&mut cluster);
        cluster.run();
        journal = Journal::new(&cluster);
        journal.deliver(
            &mut cluster,
            &Event::EmergencyDeclared { unit: Unit::Ca, suspect: CaVersion::FIRST, by: "operator".to_owned() },
        );
        journal.restart(&mut cluster);
        let gke = Cluster::with_strategy(Hierarchy::preset(Preset::ALL[0]), Strategy::DualEndpoint);
        let mut topology = gke.machine.snapshot();
        let restored = Machine::restore(topology.clone()).unwrap();
        assert_eq!(restored.address(), gke.machine.address());
        topology = restored.snapshot();
        assert_eq!(topology, gke.machine.snapshot());
    }

    fn split() -> Hierarchy {
        use pki_core::AuthorityRole::{Client, Cluster as Root, ServiceAccount};
        Hierarchy::builder(Duration::days(3_650), Duration::days(365))
            .authority(Root, [LeafKind::ApiServer])
            .authority(Client, [LeafKind::KubeletClient, LeafKind::ControllerManager])
            .authority(Client, [LeafKind::Scheduler, LeafKind::Admin])
            .authority(ServiceAccount, [LeafKind::ServiceAccountToken])
            .external_serving()
            .build()
            .unwrap()
    }

    #[test]
    fn errors_say_what_was_expected() {
        let error = RestoreError::Mismatch { part: Part::Stage, expected: "below 9".into(), found: "12".into() };
        assert_eq!(error.to_string(), "the stage: expected below 9, found 12");
    }
}

#[cfg(test)]
#[cfg(feature = "serde")]
mod json {
    use std::collections::{BTreeMap, BTreeSet};

    use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy, LeafKind, Preset};
    use rotation_fsm::{
        Calendar, CrossRecord, Delivery, EVENT_VERSION, Event, ExclusionScope, Machine, MaintenanceExclusion,
        MaintenanceWindow, PoolName, Record, ReportId, RestoreError, SNAPSHOT_VERSION, Snapshot, StepKind, Strategy,
        Unit, UnknownVersion, Versioned, parse_instant,
    };
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use time::Duration;

    use super::cluster::{Cluster, address, golden};

    /// Written and read again.
    pub(crate) fn through<T: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(value: &T) -> T {
        let text = serde_json::to_string(value).unwrap();
        let read = serde_json::from_str(&text).unwrap();
        assert_eq!(value, &read);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        read
    }

    /// The same JSON with a line for everything down to this depth.
    fn in_lines(json: &str, depth: usize) -> String {
        let (mut lines, mut level, mut quoted, mut escaped) = (String::new(), 0, false, false);
        for c in json.chars() {
            let closes = !quoted && matches!(c, '}' | ']');
            if closes {
                if level <= depth && !lines.ends_with(['{', '[']) {
                    lines.push_str(&format!("\n{}", "  ".repeat(level - 1)));
                }
                level -= 1;
            } else if !quoted && (1..=depth).contains(&level) && lines.ends_with(['{', '[', ',']) {
                lines.push_str(&format!("\n{}", "  ".repeat(level)));
            }
            lines.push(c);
            if quoted {
                (quoted, escaped) = (escaped || c != '"', !escaped && c == '\\');
            } else if c == '"' {
                quoted = true;
            } else if matches!(c, '{' | '[') {
                level += 1;
            }
        }
        lines + "\n"
    }

    /// What is written is what stands in the file, and the file is read as what was written.
    fn frozen<T: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(name: &str, value: &T, depth: usize) {
        let text = in_lines(&serde_json::to_string(value).unwrap(), depth);
        golden(&format!("journal/{name}.json"), &text);
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{name}");
    }

    fn calendar() -> Calendar {
        let at = |text| parse_instant(text).unwrap();
        let (start, end) = (at("2023-11-18T00:00:00Z"), at("2023-11-18T06:00:00Z"));
        let window = MaintenanceWindow::new(start, end, "FREQ=WEEKLY;BYDAY=SA,SU".parse().unwrap()).unwrap();
        let (start, end) = (at("2023-12-20T00:00:00Z"), at("2024-01-03T00:00:00Z"));
        let exclusion =
            MaintenanceExclusion::new("holidays".parse().unwrap(), start, end, ExclusionScope::NoUpgrades).unwrap();
        Calendar::within([window]).unwrap().with_exclusions([exclusion]).unwrap()
    }

    fn events() -> Vec<Event> {
        let by = || "operator@example.com".to_owned();
        let pool = || PoolName::new("pool-a".parse().unwrap());
        let mut cluster = Cluster::with_strategy(Hierarchy::preset(Preset::ALL[0]), Strategy::DualEndpoint);
        cluster.start(Unit::Credentials);
        cluster.run_until("open-address");
        let server = cluster.consumer(ComponentKind::KubeApiServer, "0");
        let node = cluster.consumer(ComponentKind::Kubelet, "node-0");
        let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
        let observed = cluster.observation(&server);
        let (role, v2) = (AuthorityRole::Cluster, CaVersion::FIRST.next());
        let record = cluster.record(role, v2);
        let (not_before, not_after) = (cluster.now, record.not_after.unwrap());
        let cross = CrossRecord { version: v2, by: CaVersion::FIRST, not_before, not_after };
        let version = "1.16.0-gke.0".parse().unwrap();
        let stage = cluster.machine.stage().unwrap().id().clone();
        let mut chained = cluster.observation(&node);
        chained.leaves[0].through = Some(cluster.authority_id(role, CaVersion::FIRST));
        vec![
            Event::RotationRequested { unit: Unit::Ca },
            Event::EmergencyDeclared { unit: Unit::Credentials, suspect: CaVersion::FIRST, by: by() },
            Event::CompletionRequested { unit: Unit::Credentials },
            Event::PoolUpgradeRequested { pool: pool() },
            Event::MaintenanceOverridden { step: StepKind::RecreateNodes, by: by() },
            Event::CalendarChanged { calendar: calendar() },
            Event::FreezeChanged { frozen: true },
            Event::PauseRequested { by: by() },
            Event::ResumeRequested { by: by() },
            Event::RollbackRequested { by: by() },
            Event::Tick,
            Event::ClockConfirmed { by: by() },
            Event::AuthorityMinted { role, record },
            Event::CrossSigned { role, record: cross },
            Event::AddressAllocated { address: address(2) },
            Event::Observed(observed),
            Event::Observed(chained),
            Event::TakenDown { consumer: node.clone(), after: ReportId { incarnation: 1, sequence: 7 } },
            Event::Acknowledged { consumer: outside, unit: Unit::Credentials, to: v2, stage, by: by() },
            Event::PoolAdded { pool: pool(), max_unavailable: 3 },
            Event::ConsumerJoined { consumer: node.clone(), pool: Some(pool()), incarnation: 2 },
            Event::ConsumerRemoved { consumer: node.clone() },
            Event::ConsumerAbandoned { consumer: node, by: by(), reason: "its disk is gone".to_owned() },
            Event::KeyDestroyed { role, version: CaVersion::FIRST },
            Event::Delivered { delivery: Delivery::AdminKubeconfig, version: v2 },
            Event::ClusterUpgraded { version },
            Event::LeavesRenewed { version: "1.16.0-gke.0".parse().unwrap() },
        ]
    }

    fn snapshots() -> BTreeMap<&'static str, Snapshot> {
        let by = || "operator@example.com".to_owned();
        let mut snapshots = BTreeMap::new();
        let mut take = |name, cluster: &Cluster| snapshots.insert(name, cluster.machine.snapshot());
        let rotating = |preset, strategy, unit, stage: &str| {
            let mut cluster = Cluster::with_strategy(Hierarchy::preset(preset), strategy);
            cluster.start(unit);
            cluster.run_until(stage);
            cluster
        };
        let [gke, _, gdc, kubeadm] = Preset::ALL;
        take("stable", &Cluster::new(Hierarchy::preset(kubeadm)));
        let mut staged = rotating(gdc, Strategy::Staged, Unit::Ca, "control-plane-leaves");
        staged.apply(&Event::ClusterUpgraded { version: "1.16.0-gke.0".parse().unwrap() }).unwrap();
        take("rotating-staged", &staged);
        let mut dual = rotating(gke, Strategy::DualEndpoint, Unit::Credentials, "open-address");
        dual.apply(&Event::FreezeChanged { frozen: true }).unwrap();
        dual.now += Duration::days(3);
        dual.apply(&Event::Tick).unwrap();
        take("rotating-dual-endpoint", &dual);
        let mut cross = rotating(kubeadm, Strategy::CrossSigned, Unit::Ca, "cross-sign");
        let action = cross.machine.pending_actions().next().unwrap();
        let event = cross.carry_out(&action);
        cross.apply(&event).unwrap();
        cross.apply(&Event::PauseRequested { by: by() }).unwrap();
        take("rotating-cross-signed", &cross);
        let mut back = rotating(kubeadm, Strategy::Staged, Unit::Ca, "control-plane-trust");
        back.apply(&Event::RollbackRequested { by: by() }).unwrap();
        let gone = back.consumer(ComponentKind::Kubelet, "node-0");
        back.apply(&Event::ConsumerAbandoned { consumer: gone, by: by(), reason: "gone".to_owned() }).unwrap();
        take("rolling-back", &back);
        let mut emergency = Cluster::new(split());
        emergency.apply(&Event::EmergencyDeclared { unit: Unit::Ca, suspect: CaVersion::FIRST, by: by() }).unwrap();
        take("emergency", &emergency);
        staged.run();
        take("completed", &staged);
        snapshots
    }

    fn split() -> Hierarchy {
        use AuthorityRole::{Client, Cluster as Root, ServiceAccount};
        Hierarchy::builder(Duration::days(3_650), Duration::days(365))
            .authority(Root, [LeafKind::ApiServer])
            .authority(Client, [LeafKind::KubeletClient, LeafKind::ControllerManager])
            .authority(Client, [LeafKind::Scheduler, LeafKind::Admin])
            .authority(ServiceAccount, [LeafKind::ServiceAccountToken])
            .external_serving()
            .build()
            .unwrap()
    }

    #[test]
    fn the_form_of_every_event_is_frozen() {
        let now = Cluster::new(Hierarchy::kubeadm()).now;
        let mut named = BTreeSet::new();
        for event in events() {
            let record = Record::new(event, now);
            let value = serde_json::to_value(&record.event).unwrap();
            let name =
                value.as_str().map_or_else(|| value.as_object().unwrap().keys().next().unwrap().clone(), str::to_owned);
            let again = if named.insert(name.clone()) { "" } else { "-2" };
            frozen(&format!("event-{name}{again}"), &record, 3);
        }
        let mut late = Record::new(Event::Tick, now);
        late.clock = Some(now - Duration::SECOND);
        frozen("event-with-clock", &late, 3);
        // serde names every variant when it meets one that it does not know.
        let error = serde_json::from_str::<Event>("\"none\"").unwrap_err().to_string();
        let known: BTreeSet<_> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert_eq!(named, known);
    }

    #[test]
    fn the_form_of_snapshots_is_frozen() {
        for (name, snapshot) in snapshots() {
            frozen(&format!("snapshot-{name}"), &snapshot, 3);
            assert_eq!(Machine::restore(snapshot.clone()).unwrap().snapshot(), snapshot, "{name}");
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let found = |version: u64, what, known| UnknownVersion { what, found: version, known };
        // What follows an unknown version may be anything.
        let text = r#"{"version":2,"state":{"of":["another","form"]}}"#;
        let read: Versioned<Snapshot> = serde_json::from_str(text).unwrap();
        assert_eq!(read.known(), Err(found(2, "snapshot", SNAPSHOT_VERSION)));
        let error = serde_json::from_str::<Snapshot>(text).unwrap_err().to_string();
        assert!(error.starts_with("the snapshot has version 2, and 1 is known"), "{error}");
        let text = r#"{"version":0,"event":"tick"}"#;
        let read: Versioned<Record> = serde_json::from_str(text).unwrap();
        assert_eq!(read.known(), Err(found(0, "event", EVENT_VERSION)));
        // The order of the fields is nobody's business.
        let text = r#"{"event":"tick","now":"2026-11-22T03:00:00Z","version":1}"#;
        let read: Versioned<Record> = serde_json::from_str(text).unwrap();
        assert_eq!(read.known().unwrap().event, Event::Tick);
    }

    #[test]
    fn an_envelope_has_its_fields_once_and_no_others() {
        for (text, word) in [
            (r#"{"now":"2026-11-22T03:00:00Z","event":"tick"}"#, "missing field `version`"),
            (r#"{"version":1,"event":"tick"}"#, "missing field `now`"),
            (r#"{"version":1,"now":"2026-11-22T03:00:00Z"}"#, "missing field `event`"),
            (r#"{"version":1,"version":1,"now":"2026-11-22T03:00:00Z","event":"tick"}"#, "duplicate field `version`"),
            (r#"{"version":1,"now":"2026-11-22T03:00:00Z","event":"tick","why":1}"#, "unknown field `why`"),
            (r#"{"version":1,"now":"2026-11-22 03:00","event":"tick"}"#, "expected `T`"),
            (r#"{"version":1,"now":"2026-11-22T03:00:00Z","event":{"freeze-changed":{"frozen":true,"by":1}}}"#, "by"),
            (r#"{"version":-1,"now":"2026-11-22T03:00:00Z","event":"tick"}"#, "u64"),
        ] {
            let error = serde_json::from_str::<Record>(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        let mut value = serde_json::to_value(&snapshots()["stable"]).unwrap();
        value["snapshot"]["colour"] = json!("blue");
        let error = serde_json::from_value::<Snapshot>(value).unwrap_err().to_string();
        assert!(error.contains("unknown field `colour`"), "{error}");
    }

    #[test]
    fn what_would_not_come_back_as_it_was_is_not_written() {
        let cluster = Cluster::new(Hierarchy::kubeadm());
        let mut record = cluster.record(AuthorityRole::Cluster, CaVersion::FIRST.next());
        record.not_after = record.not_after.map(|end| end + Duration::MILLISECOND);
        let event = Event::AuthorityMinted { role: AuthorityRole::Cluster, record };
        let error = serde_json::to_string(&Record::new(event, cluster.now)).unwrap_err().to_string();
        assert!(error.contains("expected a whole second"), "{error}");
    }

    /// One thing is changed in a snapshot that is well, and the error names it.
    #[test]
    fn a_damaged_snapshot_is_refused_with_what_is_wrong() {
        let snapshots = snapshots();
        type Edit = fn(&mut Value);
        let cases: &[(&str, Edit, &str)] = &[
            ("stable", |s| s["epoch"] = json!(u64::MAX), "stages that were ever begun, limit 9007199254740992"),
            (
                "rotating-dual-endpoint",
                |s| s["clock"]["doubted"] = s["clock"]["mark"].clone(),
                "the clock: expected a doubt",
            ),
            ("stable", |s| s["pools"][1] = s["pools"][0].clone(), "the pool `pool-a` is there already"),
            (
                "stable",
                |s| s["pools"][1]["max_unavailable"] = json!(0),
                "how many nodes of `pool-b` may be away: expected one",
            ),
            ("stable", |s| s["pools"] = json!([]), "cannot be in the pool `pool-a`"),
            ("stable", |s| s["pools"] = many_pools(), "257 pools, limit 256"),
            ("stable", |s| s["consumers"][1] = s["consumers"][0].clone(), "is there already"),
            ("stable", |s| s["consumers"].as_array_mut().unwrap().push(Value::Null), "the list of consumers"),
            ("stable", |s| s["consumers"][0]["holds"] = json!("2"), "the number of things that `etcd/0` holds"),
            ("stable", |s| s["consumers"][0]["holds"] = json!("4222"), "which no report can have said"),
            ("stable", |s| s["consumers"][0]["holds"] = json!("1222"), "which no report can have said"),
            ("stable", |s| s["consumers"][0]["holds"] = json!("a222"), "which no report can have said"),
            ("completed", |s| s["consumers"][0]["holds"] = json!("2223"), "which no report can have said"),
            (
                "stable",
                |s| s["consumers"][0]["released"] = json!(true),
                "`etcd/0`, which was left behind: expected a client",
            ),
            ("stable", |s| s["facets"]["etcd"] = json!([]), "etcd holds 4 things"),
            ("stable", |s| s["facets"]["konnectivity-server"] = json!(["dials"]), "konnectivity-server holds nothing"),
            (
                "stable",
                |s| s["authorities"]["konnectivity"] = s["authorities"]["etcd"].clone(),
                "`konnectivity` is not of the",
            ),
            ("stable", |s| s["authorities"]["etcd"] = s["authorities"]["cluster"].clone(), "share a key"),
            (
                "stable",
                |s| s["authorities"]["etcd"]["previous"] = s["authorities"]["etcd"]["active"].clone(),
                "share a key",
            ),
            (
                "stable",
                |s| drop(s["authorities"].as_object_mut().unwrap().remove("etcd")),
                "the authority `etcd` of the hierarchy is missing",
            ),
            (
                "completed",
                |s| s["authorities"]["etcd"]["previous"]["version"] = json!(2),
                "the generations of `etcd`: expected other than 2",
            ),
            (
                "completed",
                |s| {
                    let etcd = &mut s["authorities"]["etcd"];
                    (etcd["active"]["version"], etcd["attempted"]) = (json!(3), json!(3));
                },
                "the last rotation: expected 2, found 3",
            ),
            (
                "completed",
                |s| s["completed"]["at"] = json!("2099-01-01T00:00:00Z"),
                "the last rotation: expected no later",
            ),
            ("completed", |s| s["completed"]["unit"] = json!("etcd-api"), "the hierarchy has no unit `etcd-api`"),
            ("stable", |s| s["deliveries"] = json!(["oidc"]), "what is to be handed out"),
            (
                "stable",
                |s| s["overrides"]["pools"] = json!(["pool-z"]),
                "the orders by hand: expected pools of the topology, found pool-z",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["unit"] = json!("konnectivity"),
                "the hierarchy has no unit `konnectivity`",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["from"] = json!(2),
                "the CAVersion that is replaced: expected 1, found 2",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["to"] = json!(3),
                "the CAVersion that replaces it: expected 2, found 3",
            ),
            (
                "rotating-staged",
                |s| (s["rotating"]["to"], s["authorities"]["etcd"]["attempted"]) = (json!(3), json!(3)),
                "the CAVersion that replaces it: expected 2, found 3",
            ),
            ("stable", |s| s["authorities"]["etcd"]["attempted"] = json!(0), "expected a nonzero u32"),
            (
                "completed",
                |s| s["authorities"]["etcd"]["attempted"] = json!(1),
                "the generations of `etcd`: expected no version above 1, found 2",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["started"] = json!("2099-01-01T00:00:00Z"),
                "the start of the rotation",
            ),
            ("rotating-staged", |s| s["rotating"]["stage"] = json!(99), "the stage: expected below"),
            (
                "rotating-staged",
                |s| s["rotating"]["open"] = json!(["etcd"]),
                "what is open in the stage: expected what `control-plane-leaves`",
            ),
            ("rotating-staged", |s| s["rotating"]["paused"] = json!(true), "the pause: expected none"),
            ("rolling-back", |s| s["settings"]["rollback"] = json!(false), "the way back: expected none"),
            ("rolling-back", |s| s["rotating"]["plan"]["history"] = json!([]), "the way back: expected what was begun"),
            ("rotating-staged", |s| s["rotating"]["commanded"] = json!(true), "overrides the calendar: expected none"),
            (
                "rotating-staged",
                |s| s["overrides"]["steps"] = json!(["start"]),
                "the orders by hand: expected none to begin, since it has, found start",
            ),
            (
                "stable",
                |s| s["overrides"]["steps"] = json!(["complete"]),
                "the orders by hand: expected none but to begin, found complete",
            ),
            (
                "rotating-staged",
                |s| (s["rotating"]["stage"], s["rotating"]["may_complete"]) = (json!(11), json!(false)),
                "the point of no return",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["plan"]["pools"] = json!(["pool-b"]),
                "the plan: expected the first pools of the topology, found pool-b",
            ),
            ("rotating-staged", |s| s["rotating"]["plan"]["stages"] = many_stages(s), "stages, limit"),
            (
                "rotating-staged",
                |s| drop(s["rotating"]["plan"]["stages"].as_array_mut().unwrap().remove(1)),
                "the plan breaks a path",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["plan"]["stages"][1]["changes"] = repeated(s),
                "the plan: expected every change of a stage once",
            ),
            (
                "rotating-staged",
                |s| s["rotating"]["plan"]["stages"][2]["id"]["scope"]["pool"] = json!("pool-c"),
                "the plan: expected stages of its pools",
            ),
            (
                "rotating-staged",
                |s| drop(s["authorities"]["etcd"].as_object_mut().unwrap().remove("next")),
                "the generations of `etcd`: expected next 2",
            ),
            (
                "rotating-staged",
                |s| s["authorities"]["etcd"]["next"]["version"] = json!(3),
                "the generations of `etcd`: expected no version above 2, found 3",
            ),
            (
                "rotating-cross-signed",
                |s| s["rotating"]["open"] = json!(["cluster", "etcd", "front-proxy"]),
                "the cross-certificate of `cluster`: expected none",
            ),
            (
                "rotating-cross-signed",
                |s| s["rotating"]["open"] = json!([]),
                "the cross-certificate of `etcd`: expected one",
            ),
            (
                "rotating-cross-signed",
                |s| s["authorities"]["cluster"]["cross"]["by"] = json!(2),
                "the cross-certificate of `cluster`: expected 2 by 1",
            ),
            (
                "rotating-cross-signed",
                |s| s["authorities"]["cluster"]["cross"]["not_after"] = json!("2199-01-01T00:00:00Z"),
                "the cross-certificate of `cluster`",
            ),
            (
                "rotating-dual-endpoint",
                |s| drop(s.as_object_mut().unwrap().remove("addresses")),
                "kube-apiserver holds 15 things",
            ),
            (
                "rotating-dual-endpoint",
                |s| s["addresses"]["next"] = s["addresses"]["active"].clone(),
                "every address once",
            ),
            (
                "rotating-dual-endpoint",
                |s| drop(s["addresses"].as_object_mut().unwrap().remove("next")),
                "a second one",
            ),
            (
                "stable",
                |s| s["reloads"] = json!([{"kind":"etcd","facet":"dials","reload":"live"},{"kind":"etcd","facet":"dials","reload":"restart"}]),
                "the reloads that differ",
            ),
            (
                "emergency",
                |s| {
                    drop(
                        s["hierarchy"]["parts"]["authorities"]["client"].as_object_mut().unwrap().remove("ca_lifetime"),
                    )
                },
                "the hierarchy: expected every leaf once",
            ),
            ("emergency", |s| s["rotating"]["emergency"] = json!(false), "the plan breaks a path"),
            ("emergency", |s| s["hierarchy"]["parts"]["authorities"]["client"]["leaves"] = json!([]), "client"),
        ];
        for (name, edit, word) in cases {
            let mut value = serde_json::to_value(&snapshots[name]).unwrap();
            edit(&mut value["snapshot"]);
            let error = match serde_json::from_value::<Snapshot>(value).map(Machine::restore) {
                Ok(Ok(_)) => panic!("{name} is restored without {word}"),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(word), "{name}: {error}, expected {word}");
        }
    }

    fn many_pools() -> Value {
        (0..257).map(|number| json!({"name": format!("pool-{number}"), "max_unavailable": 1})).collect()
    }

    fn many_stages(snapshot: &Value) -> Value {
        let stage = snapshot["rotating"]["plan"]["stages"][0].clone();
        std::iter::repeat_n(stage, 1_000).collect()
    }

    fn repeated(snapshot: &Value) -> Value {
        let change = snapshot["rotating"]["plan"]["stages"][1]["changes"][0].clone();
        json!([change, change])
    }

    /// A sequence of numbers without end, the same in every run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
        }
    }

    /// Whatever is accepted is a machine like any other: it says what is to be done, takes events, and is written as it
    /// was read.
    fn use_it(snapshot: Snapshot, events: &[Event]) -> Result<(), RestoreError> {
        let mut machine = Machine::restore(snapshot.clone())?;
        assert_eq!(machine.snapshot(), snapshot);
        for event in events {
            let _ = machine.pending_actions().count();
            let _ = (machine.status(), machine.next_change(), machine.blocked(), machine.health().count());
            let _ = machine.apply(event, machine.completed().map_or_else(rotation_start, |completed| completed.at));
        }
        let after = machine.snapshot();
        assert_eq!(Machine::restore(after.clone()).unwrap().snapshot(), after);
        Ok(())
    }

    fn rotation_start() -> time::UtcDateTime {
        super::cluster::at(86_400)
    }

    /// Everything in a document that is no list and no object.
    fn leaves(value: &Value) -> Vec<Value> {
        match value {
            Value::Array(items) => items.iter().flat_map(leaves).collect(),
            Value::Object(fields) => fields.values().flat_map(leaves).collect(),
            leaf => vec![leaf.clone()],
        }
    }

    fn disturb(value: &mut Value, dice: &mut Dice, leaves: &[Value]) {
        let deeper = dice.below(8) > 0;
        match value {
            Value::Array(items) if !items.is_empty() => {
                let at = dice.below(items.len());
                match dice.below(8) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    2 => items.swap(at, 0),
                    _ if deeper => disturb(&mut items[at], dice, leaves),
                    _ => items[at] = leaves[dice.below(leaves.len())].clone(),
                }
            }
            Value::Object(fields) if !fields.is_empty() => {
                let key = fields.keys().nth(dice.below(fields.len())).unwrap().clone();
                match dice.below(16) {
                    0 => drop(fields.remove(&key)),
                    _ => disturb(fields.get_mut(&key).unwrap(), dice, leaves),
                }
            }
            leaf => {
                *leaf = match (dice.below(3), leaf.as_u64()) {
                    (0, Some(number)) => json!(number.wrapping_add(1)),
                    (1, Some(_)) => json!(u64::MAX >> dice.below(64)),
                    _ => {
                        let alike: Vec<_> = leaves
                            .iter()
                            .filter(|other| core::mem::discriminant(*other) == core::mem::discriminant(leaf))
                            .collect();
                        alike.get(dice.below(alike.len())).map_or(Value::Null, |other| (*other).clone())
                    }
                }
            }
        }
    }

    #[test]
    fn no_damage_panics_and_what_is_accepted_is_whole() {
        let (mut dice, events) = (Dice(4), events());
        let (mut accepted, mut refused, mut unread) = (0, 0, 0);
        for snapshot in snapshots().values() {
            let sound = serde_json::to_value(snapshot).unwrap();
            let leaves = leaves(&sound);
            for _ in 0..250 {
                let mut damaged = sound.clone();
                for _ in 0..=dice.below(2) {
                    disturb(&mut damaged["snapshot"], &mut dice, &leaves);
                }
                match serde_json::from_value::<Snapshot>(damaged).map(|snapshot| use_it(snapshot, &events)) {
                    Ok(Ok(())) => accepted += 1,
                    Ok(Err(_)) => refused += 1,
                    Err(_) => unread += 1,
                }
            }
        }
        // All three ways are taken, or this shows little.
        assert!(accepted > 50 && refused > 200 && unread > 200, "{accepted} {refused} {unread}");
    }

    #[test]
    fn octets_that_are_no_journal_are_refused() {
        let mut dice = Dice(7);
        let mut texts: Vec<String> = events()
            .into_iter()
            .map(|event| serde_json::to_string(&Record::new(event, rotation_start())).unwrap())
            .collect();
        texts.extend(snapshots().values().map(|snapshot| serde_json::to_string(snapshot).unwrap()));
        for text in &texts {
            for _ in 0..100 {
                let mut octets = text.clone().into_bytes();
                let at = dice.below(octets.len());
                match dice.below(4) {
                    0 => octets.truncate(at),
                    1 => octets[at] ^= 1 << dice.below(8),
                    2 => drop(octets.remove(at)),
                    _ => octets.insert(at, b"0\"{}[],:"[dice.below(8)]),
                }
                let _ = serde_json::from_slice::<Record>(&octets);
                let _ = serde_json::from_slice::<Snapshot>(&octets).map(Machine::restore);
            }
        }
    }
}
