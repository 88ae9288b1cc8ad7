//! The drive loop on a journal: crashes, lost reports, two controllers, a store that fails.

#[cfg(test)]
#[path = "support/honest.rs"]
mod honest;

#[cfg(test)]
mod driving {
    use std::convert::Infallible;

    use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy};
    use rotation_fsm::{ConsumerId, Event, Machine, Record, Rejected, ReplayError, Unit, Unreadable};
    use rotation_runtime::{
        DriveError, Driver, Durable, FormatError, Journal, JournalError, MemoryStore, OpenError, Revision, Store,
        StoreError, SubmitError,
    };
    use time::Duration;

    use super::honest::{Honest, machine, now};

    type Loop = Driver<MemoryStore>;

    fn open(store: &MemoryStore) -> Loop {
        Driver::open(store.clone(), machine).unwrap()
    }

    fn install(driver: &mut Loop, cluster: &mut Honest) {
        while !driver.machine().unwrap().is_at_rest() {
            driver.step(cluster).unwrap();
        }
    }

    fn start(driver: &mut Loop) {
        let event = Event::RotationRequested { unit: Unit::Ca };
        assert_eq!(driver.submit(event, now()).unwrap().unwrap().started, CaVersion::new(2));
    }

    fn is_rotated(machine: &Machine) -> bool {
        let version = |role: &AuthorityRole| machine.authority(*role).unwrap().version;
        machine.is_at_rest() && Hierarchy::kubeadm().roles().iter().all(|role| Some(version(role)) == CaVersion::new(2))
    }

    #[test]
    fn a_rotation_is_driven_to_its_end_and_replays_to_the_same_state() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        while driver.machine().unwrap().stage().is_some() {
            driver.step(&mut cluster).unwrap();
        }
        assert!(is_rotated(driver.machine().unwrap()));
        assert_eq!(state(open(&store).machine().unwrap()), state(driver.machine().unwrap()));
    }

    #[test]
    fn every_stage_is_seen_by_the_caller() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        let mut ended = Vec::new();
        while driver.machine().unwrap().stage().is_some() {
            let stepped = driver.step(&mut cluster).unwrap();
            ended.extend(stepped.applied.stages_ended.iter().map(ToString::to_string));
        }
        assert_eq!(ended.first().map(String::as_str), Some("mint"));
        assert_eq!(ended.last().map(String::as_str), Some("destroy-keys"));
        let position = |stage: &str| ended.iter().position(|name| name == stage).unwrap();
        assert!(position("control-plane-trust") < position("control-plane-leaves"));
        assert!(position("signer") < position("node-leaves/pool-a"));
    }

    #[test]
    fn a_crash_after_any_event_loses_nothing() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        let mut crashes = 0;
        while driver.machine().unwrap().stage().is_some() {
            // The process dies with an action carried out and its report unseen; the cluster lives on.
            let action = driver.machine().unwrap().pending_actions().next().unwrap();
            rotation_runtime::Executor::execute(&mut cluster, &action).unwrap();
            driver = open(&store);
            crashes += 1;
            driver.step(&mut cluster).unwrap();
            driver = open(&store);
        }
        assert!(crashes > 10 && is_rotated(driver.machine().unwrap()), "{crashes}");
    }

    #[test]
    fn lost_reports_are_asked_for_again() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        cluster.lose_every = Some(3);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        while driver.machine().unwrap().stage().is_some() {
            driver.step(&mut cluster).unwrap();
        }
        assert!(is_rotated(driver.machine().unwrap()));
        let mut keys = cluster.executed.clone();
        keys.sort();
        let all = keys.len();
        keys.dedup();
        assert!(keys.len() < all, "nothing was asked for twice");
    }

    /// The honest cluster, with its reports changed.
    struct Changed<F>(Honest, F);

    impl<F: FnMut(Vec<Event>) -> Vec<Event>> rotation_runtime::Executor for Changed<F> {
        type Error = Infallible;
        fn now(&mut self) -> time::UtcDateTime {
            now()
        }
        fn execute(&mut self, action: &rotation_fsm::Action) -> Result<Vec<Event>, Infallible> {
            let events = self.0.execute(action)?;
            Ok((self.1)(events))
        }
    }

    #[test]
    fn what_the_machine_rejects_or_cannot_read_is_told() {
        let foreign = |mut events: Vec<Event>| {
            for event in &mut events {
                if let Event::Observed(observation) = event {
                    observation.bundles.iter_mut().for_each(|(_, hash)| *hash = pki_core::BundleHash::of([]));
                }
            }
            let repeated = events.clone();
            events.into_iter().chain(repeated).collect()
        };
        let mut driver = open(&MemoryStore::new());
        let stepped = driver.step(&mut Changed(Honest::default(), foreign)).unwrap();
        assert!(matches!(stepped.applied.unreadable.as_slice(), [(_, Unreadable::UnknownBundle(_)), ..]));
        assert!(stepped.rejected.iter().any(|rejected| matches!(rejected, Rejected::Stale { .. })));
        assert!(!driver.machine().unwrap().is_at_rest());
    }

    #[test]
    fn everything_that_came_with_the_end_of_a_stage_is_kept() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        let newcomer = ConsumerId::new(ComponentKind::Scheduler, "late".parse().unwrap());
        let joined = Event::ConsumerJoined { consumer: newcomer.clone(), pool: None, incarnation: 0 };
        let mut minted = 0;
        let joining = |mut events: Vec<Event>| {
            minted += 1;
            if minted == Hierarchy::kubeadm().roles().len() {
                events.push(joined.clone());
            }
            events
        };
        let stepped = driver.step(&mut Changed(cluster, joining)).unwrap();
        assert_eq!(stepped.applied.stages_ended.len(), 1);
        assert!(driver.machine().unwrap().waiting().any(|waiting| *waiting == newcomer));
        assert!(open(&store).machine().unwrap().waiting().any(|waiting| *waiting == newcomer));
    }

    #[test]
    fn of_two_controllers_one_wins_and_the_other_must_look_again() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut first = open(&store);
        install(&mut first, &mut cluster);
        let mut second = open(&store);
        start(&mut first);
        let request = || Event::RotationRequested { unit: Unit::Ca };
        let conflict = second.submit(request(), now());
        assert!(matches!(conflict, Err(SubmitError::Store(StoreError::Conflict { .. }))), "{conflict:?}");
        // It is ahead of the journal by an event that never happened: it does nothing any more.
        let executed = cluster.executed.len();
        assert!(matches!(second.step(&mut cluster), Err(DriveError::Submit(SubmitError::Failed(_)))));
        assert!(matches!(second.submit(request(), now()), Err(SubmitError::Failed(_))));
        assert!(matches!(second.compact(), Err(SubmitError::Failed(_))));
        assert!(second.machine().is_err());
        assert_eq!(cluster.executed.len(), executed);
        // Opened again it sees what the winner did.
        let mut second = open(&store);
        let denied = second.submit(request(), now()).unwrap();
        assert_eq!(denied, Err(Rejected::InProgress { to: CaVersion::new(2).unwrap() }));
    }

    #[test]
    fn whoever_is_late_to_compact_must_look_again_too() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut first = open(&store);
        install(&mut first, &mut cluster);
        let mut second = open(&store);
        start(&mut first);
        let executed = cluster.executed.len();
        assert!(matches!(second.compact(), Err(SubmitError::Store(StoreError::Conflict { .. }))));
        assert!(second.machine().is_err());
        assert!(matches!(second.step(&mut cluster), Err(DriveError::Submit(SubmitError::Failed(_)))));
        assert_eq!(cluster.executed.len(), executed);
    }

    fn octets(record: &Record) -> Vec<u8> {
        serde_json::to_vec(record).unwrap()
    }

    /// The records of a journal.
    fn records(store: &MemoryStore) -> Vec<Record> {
        let journal = store.clone().load().unwrap().unwrap();
        journal.records.iter().map(|record| serde_json::from_slice(record).unwrap()).collect()
    }

    /// A store that takes so many appends and then fails, once for all or until there is room.
    #[derive(Debug)]
    struct Failing {
        inner: MemoryStore,
        left: usize,
        full: bool,
    }

    impl Store for Failing {
        fn create(&mut self, snapshot: &[u8]) -> Result<Durable, StoreError> {
            self.inner.create(snapshot)
        }
        fn load(&mut self) -> Result<Option<Journal>, StoreError> {
            self.inner.load()
        }
        fn append(&mut self, expected: Revision, record: &[u8]) -> Result<Durable, StoreError> {
            if self.left == 0 && core::mem::take(&mut self.full) {
                return Err(StoreError::Full("no room".into()));
            }
            self.left = self.left.checked_sub(1).ok_or(StoreError::Lost)?;
            self.inner.append(expected, record)
        }
        fn snapshot(&mut self, revision: Revision, snapshot: &[u8]) -> Result<Durable, StoreError> {
            if core::mem::take(&mut self.full) {
                return Err(StoreError::Full("no room".into()));
            }
            self.inner.snapshot(revision, snapshot)
        }
    }

    #[test]
    fn nothing_is_done_on_a_state_that_is_not_durable() {
        let (inner, mut cluster) = (MemoryStore::new(), Honest::default());
        let store = Failing { inner: inner.clone(), left: 4, full: false };
        let mut driver = Driver::open(store, machine).unwrap();
        assert!(matches!(driver.step(&mut cluster), Err(DriveError::Submit(SubmitError::Store(StoreError::Lost)))));
        // Four reports were kept, the fifth was not, and no sixth action was carried out.
        assert_eq!(cluster.executed.len(), 5);
        assert!(matches!(driver.step(&mut cluster), Err(DriveError::Submit(SubmitError::Failed(_)))));
        assert_eq!(cluster.executed.len(), 5);
        // From the journal it goes on where it was: the fifth is asked for again.
        let mut driver = open(&inner);
        assert_eq!(driver.revision().number(), 4);
        install(&mut driver, &mut cluster);
        let fifth = cluster.executed[4].clone();
        assert_eq!(cluster.executed.iter().filter(|key| **key == fifth).count(), 2);
    }

    /// The honest cluster, which says beforehand whom it takes down.
    struct Announcing<F>(Honest, F);

    impl<F: FnMut(&rotation_fsm::Action) -> Vec<Event>> rotation_runtime::Executor for Announcing<F> {
        type Error = Infallible;
        fn now(&mut self) -> time::UtcDateTime {
            now()
        }
        fn prepare(&mut self, action: &rotation_fsm::Action) -> Vec<Event> {
            (self.1)(action)
        }
        fn execute(&mut self, action: &rotation_fsm::Action) -> Result<Vec<Event>, Infallible> {
            self.0.execute(action)
        }
    }

    fn etcd(member: &str) -> ConsumerId {
        ConsumerId::new(ComponentKind::Etcd, member.parse().unwrap())
    }

    fn taken_down(consumer: ConsumerId) -> Event {
        Event::TakenDown { consumer, after: rotation_fsm::ReportId::default() }
    }

    fn restarts(action: &rotation_fsm::Action) -> Vec<Event> {
        match action {
            rotation_fsm::Action::EnsureConsumer { target, .. } if target.reload >= rotation_fsm::Reload::Restart => {
                vec![taken_down(target.consumer.clone())]
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn whoever_is_taken_down_is_on_record_before_it_is() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        let mut cluster = Announcing(cluster, restarts);
        while driver.machine().unwrap().stage().is_some() {
            driver.step(&mut cluster).unwrap();
        }
        assert!(is_rotated(driver.machine().unwrap()));
        let mut taken = 0;
        for pair in records(&store).windows(2) {
            // The next thing that is known after it was taken down is what it came back with.
            if let Event::TakenDown { consumer, .. } = &pair[0].event {
                assert!(matches!(&pair[1].event, Event::Observed(seen) if seen.consumer == *consumer), "{pair:?}");
                taken += 1;
            }
        }
        assert!(taken > 10, "{taken}");
    }

    #[test]
    fn nobody_is_taken_down_whose_turn_it_is_not() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        let executed = cluster.executed.len();
        // Another controller takes the other member down in the last moment, every time.
        let mut cluster = Announcing(cluster, |action: &rotation_fsm::Action| match action {
            rotation_fsm::Action::EnsureConsumer { target, .. } if target.consumer == etcd("0") => {
                vec![taken_down(etcd("1")), taken_down(etcd("0"))]
            }
            _ => Vec::new(),
        });
        let mut rejected = Vec::new();
        for _ in 0..4 {
            rejected.extend(driver.step(&mut cluster).unwrap().rejected);
        }
        let not_its_turn = |why: &Rejected| matches!(why, Rejected::NotItsTurn { consumer, away: 1, room: 1 } if *consumer == etcd("0"));
        assert!(rejected.iter().any(not_its_turn), "{rejected:?}");
        let later = &cluster.0.executed[executed..];
        assert!(later.iter().any(|key| key.ends_with("control-plane-trust/etcd/1")), "{later:?}");
        assert!(!later.iter().any(|key| key.ends_with("control-plane-trust/etcd/0")), "{later:?}");
    }

    #[test]
    fn nothing_is_done_before_the_journal_knows_who_is_taken_down() {
        let (inner, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&inner);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        while driver.machine().unwrap().stage().unwrap().to_string() == "mint" {
            driver.step(&mut cluster).unwrap();
        }
        let executed = cluster.executed.len();
        let mut cluster = Announcing(cluster, restarts);
        let mut driver = Driver::open(Failing { inner, left: 0, full: false }, machine).unwrap();
        assert!(matches!(driver.step(&mut cluster), Err(DriveError::Submit(SubmitError::Store(StoreError::Lost)))));
        let live = &cluster.0.executed[executed..];
        assert!(live.is_empty(), "{live:?}");
    }

    #[test]
    fn a_rejected_event_is_not_journaled() {
        let store = MemoryStore::new();
        let mut driver = open(&store);
        let before = driver.revision();
        let request = Event::RotationRequested { unit: Unit::Ca };
        assert!(matches!(driver.submit(request, now()).unwrap(), Err(Rejected::NotReady { .. })));
        assert_eq!(driver.revision(), before);
        assert_eq!(open(&store).revision(), before);
    }

    #[test]
    fn compacting_keeps_revision_and_state() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        let (revision, before) = (driver.revision(), state(driver.machine().unwrap()));
        driver.compact().unwrap();
        assert_eq!(driver.revision(), revision);
        let journal = store.clone().load().unwrap().unwrap();
        assert!(journal.records.is_empty() && journal.snapshot_revision == revision);
        assert_eq!(state(open(&store).machine().unwrap()), before);
        start(&mut driver);
    }

    #[test]
    fn a_foreign_journal_does_not_replay() {
        let mut store = MemoryStore::new();
        drop(open(&store));
        let foreign = Record::new(Event::RotationRequested { unit: Unit::EtcdApi }, now());
        let _durable = store.append(Revision::default(), &octets(&foreign)).unwrap();
        let opened = Driver::open(store, machine);
        assert!(matches!(
            opened,
            Err(OpenError::Journal(JournalError::Replay(ReplayError::Rejected {
                index: 0,
                why: Rejected::UnknownUnit(Unit::EtcdApi)
            })))
        ));
    }

    fn state(machine: &Machine) -> rotation_fsm::Snapshot {
        machine.snapshot()
    }

    #[test]
    fn where_there_is_no_room_nothing_has_happened_and_it_can_be_tried_again() {
        let inner = MemoryStore::new();
        let mut cluster = Honest::default();
        let mut driver = open(&inner);
        install(&mut driver, &mut cluster);
        let mut driver = Driver::open(Failing { inner: inner.clone(), left: 0, full: true }, machine).unwrap();
        let before = state(driver.machine().unwrap());
        let request = || Event::RotationRequested { unit: Unit::Ca };
        let late = now() + Duration::DAY;
        assert!(matches!(driver.submit(request(), late), Err(SubmitError::Store(StoreError::Full(_)))));
        assert_eq!(state(driver.machine().unwrap()), before);
        assert_eq!(state(open(&inner).machine().unwrap()), before);
        // The next failure is one after which nothing is known.
        assert!(matches!(driver.submit(request(), late), Err(SubmitError::Store(StoreError::Lost))));
        assert!(driver.machine().is_err());
        // With room, the same event is taken.
        let mut driver = Driver::open(Failing { inner: inner.clone(), left: 9, full: true }, machine).unwrap();
        assert!(matches!(driver.compact(), Err(SubmitError::Store(StoreError::Full(_)))));
        assert_eq!(driver.submit(request(), late).unwrap().unwrap().started, CaVersion::new(2));
        assert_eq!(state(open(&inner).machine().unwrap()), state(driver.machine().unwrap()));
    }

    #[test]
    fn another_version_is_refused_by_its_number_and_the_journal_is_left_as_it_is() {
        for snapshot in [true, false] {
            let mut store = MemoryStore::new();
            drop(open(&store));
            let later = br#"{"version":2,"of":["another","form"]}"#;
            let _durable = match snapshot {
                true => store.snapshot(Revision::default(), later).unwrap(),
                false => store.append(Revision::default(), later).unwrap(),
            };
            let before = store.load().unwrap();
            let found = match Driver::open(store.clone(), machine).map(drop).unwrap_err() {
                OpenError::Journal(JournalError::Snapshot(FormatError::Unknown(version))) if snapshot => version,
                OpenError::Journal(JournalError::Record { revision, why: FormatError::Unknown(version) }) => {
                    assert_eq!(revision.number(), 1);
                    version
                }
                other => panic!("{other}"),
            };
            assert_eq!((found.found, found.known), (2, 1));
            assert_eq!(store.load().unwrap(), before);
        }
    }

    #[test]
    fn octets_that_are_no_record_are_refused_and_not_repeated_at_length() {
        for damage in
            [br#"{"version":1"#.to_vec(), vec![0xff; 9], format!("{{\"{}\":1}}", "\u{1b}".repeat(9_999)).into()]
        {
            let mut store = MemoryStore::new();
            drop(open(&store));
            let _durable = store.append(Revision::default(), &damage).unwrap();
            let error = Driver::open(store, machine).map(drop).unwrap_err();
            let is_refused =
                matches!(error, OpenError::Journal(JournalError::Record { why: FormatError::Unreadable(_), .. }));
            assert!(is_refused && error.to_string().len() < 500 && !error.to_string().contains('\u{1b}'), "{error}");
        }
    }

    /// Reads the clock every so often for so long; how many events were written.
    fn tick(driver: &mut Loop, from: time::UtcDateTime, every: Duration, long: Duration) -> u64 {
        let before = driver.revision().number();
        let mut at = from;
        while at <= from + long {
            driver.submit(Event::Tick, at).unwrap().unwrap();
            at += every;
        }
        driver.revision().number() - before
    }

    #[test]
    fn years_of_ticks_at_rest_write_nothing() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        assert_eq!(tick(&mut driver, now(), Duration::hours(1), Duration::days(3 * 365)), 0);
        // Later events are read with the clock that they were applied with.
        let late = now() + Duration::days(3 * 365);
        driver.submit(Event::RotationRequested { unit: Unit::Ca }, late).unwrap().unwrap();
        assert_eq!(state(open(&store).machine().unwrap()), state(driver.machine().unwrap()));
    }

    #[test]
    fn years_of_ticks_in_a_rotation_stay_few_and_no_reading_is_doubted_after_a_crash() {
        let (store, mut cluster) = (MemoryStore::new(), Honest::default());
        let mut driver = open(&store);
        install(&mut driver, &mut cluster);
        start(&mut driver);
        let (days, every) = (3 * 365, Duration::minutes(30));
        let written = tick(&mut driver, now(), every, Duration::days(days));
        // Two in a day, and each of a hundred octets or so.
        assert!((days..=2 * days + 2).contains(&i64::try_from(written).unwrap()), "{written}");
        let octets: usize = store.clone().load().unwrap().unwrap().records.iter().map(Vec::len).sum();
        assert!(octets < 400_000, "{octets}");
        let step = driver.machine().unwrap().settings().clock.step;
        let mut at = now() + Duration::days(days);
        for _ in 0..100 {
            // The process dies after any reading, is away for less than half a step, and reads the clock.
            at += every;
            driver.submit(Event::Tick, at).unwrap().unwrap();
            let read = open(&copy(&store)).submit(Event::Tick, at + step / 2 - Duration::SECOND);
            assert_eq!(read.unwrap().unwrap().doubted, None);
        }
        // What is written next has the clock with it.
        driver.submit(Event::PauseRequested { by: "operator".to_owned() }, at).unwrap().unwrap();
        assert_eq!(state(open(&store).machine().unwrap()), state(driver.machine().unwrap()));
    }

    /// Another store with the same journal.
    fn copy(store: &MemoryStore) -> MemoryStore {
        let (journal, mut copy) = (store.clone().load().unwrap().unwrap(), MemoryStore::new());
        let mut revision = copy.create(&journal.snapshot).unwrap().revision();
        for record in &journal.records {
            revision = copy.append(revision, record).unwrap().revision();
        }
        copy
    }

    #[cfg(unix)]
    #[test]
    fn a_rotation_goes_on_from_a_file_after_every_event() {
        use rotation_runtime::FileStore;
        let directory = tempfile::tempdir().unwrap();
        let open = || Driver::open(FileStore::open(directory.path()).unwrap(), machine).unwrap();
        let mut cluster = Honest::default();
        let mut driver = open();
        while !driver.machine().unwrap().is_at_rest() {
            driver.step(&mut cluster).unwrap();
        }
        driver.submit(Event::RotationRequested { unit: Unit::Ca }, now()).unwrap().unwrap();
        while driver.machine().unwrap().stage().is_some() {
            let (before, revision) = (state(driver.machine().unwrap()), driver.revision());
            drop(driver);
            driver = open();
            assert_eq!((state(driver.machine().unwrap()), driver.revision()), (before, revision));
            driver.step(&mut cluster).unwrap();
            if driver.revision().number() % 3 == 0 {
                driver.compact().unwrap();
            }
        }
        assert!(is_rotated(driver.machine().unwrap()));
    }
}
