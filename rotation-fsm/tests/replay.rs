//! A process that dies at any moment and comes back from its last snapshot and the events since: nothing is lost, and
//! nothing is other than it was.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod tests {
    use pki_core::{ComponentKind, Hierarchy, LeafKind, Preset};
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
        journal.deliver(&mut cluster, &Event::EmergencyDeclared { unit: Unit::Ca, by: "operator".to_owned() });
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
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    /// Written and read again.
    pub(crate) fn through<T: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(value: &T) -> T {
        let text = serde_json::to_string(value).unwrap();
        let read = serde_json::from_str(&text).unwrap();
        assert_eq!(value, &read);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        read
    }
}
