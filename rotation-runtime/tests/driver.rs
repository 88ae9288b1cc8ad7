//! The drive loop on a journal: crashes, lost reports, two controllers, a store that fails.

#[cfg(test)]
#[path = "support/honest.rs"]
mod honest;

#[cfg(test)]
mod driving {
    use std::convert::Infallible;

    use pki_core::{AuthorityRole, CaVersion, ComponentKind, Hierarchy};
    use rotation_fsm::{ConsumerId, Event, Machine, Rejected, Unit, Unreadable};
    use rotation_runtime::{
        DriveError, Driver, Durable, Journal, MemoryStore, OpenError, Record, Revision, Store, StoreError, SubmitError,
    };

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
        assert_eq!(format!("{:?}", open(&store).machine().unwrap()), format!("{:?}", driver.machine().unwrap()));
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

    /// A store that takes so many appends and then fails.
    #[derive(Debug)]
    struct Failing {
        inner: MemoryStore,
        left: usize,
    }

    impl Store for Failing {
        fn create(&mut self, snapshot: &Machine) -> Result<Durable, StoreError> {
            self.inner.create(snapshot)
        }
        fn load(&mut self) -> Result<Option<Journal>, StoreError> {
            self.inner.load()
        }
        fn append(&mut self, expected: Revision, record: &Record) -> Result<Durable, StoreError> {
            self.left = self.left.checked_sub(1).ok_or(StoreError::Lost)?;
            self.inner.append(expected, record)
        }
        fn snapshot(&mut self, revision: Revision, machine: &Machine) -> Result<Durable, StoreError> {
            self.inner.snapshot(revision, machine)
        }
    }

    #[test]
    fn nothing_is_done_on_a_state_that_is_not_durable() {
        let (inner, mut cluster) = (MemoryStore::new(), Honest::default());
        let store = Failing { inner: inner.clone(), left: 4 };
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
        let journal = store.clone().load().unwrap().unwrap();
        let mut taken = 0;
        for pair in journal.events.windows(2) {
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
        let mut driver = Driver::open(Failing { inner, left: 0 }, machine).unwrap();
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
        let (revision, state) = (driver.revision(), format!("{:?}", driver.machine().unwrap()));
        driver.compact().unwrap();
        assert_eq!(driver.revision(), revision);
        let journal = store.clone().load().unwrap().unwrap();
        assert!(journal.events.is_empty() && journal.snapshot_revision == revision);
        assert_eq!(format!("{:?}", open(&store).machine().unwrap()), state);
        start(&mut driver);
    }

    #[test]
    fn a_foreign_journal_does_not_replay() {
        let mut store = MemoryStore::new();
        drop(open(&store));
        let foreign = Record::new(Event::RotationRequested { unit: Unit::EtcdApi }, now());
        let _durable = store.append(Revision::default(), &foreign).unwrap();
        let opened = Driver::open(store, machine);
        assert!(matches!(opened, Err(OpenError::Replay(Rejected::UnknownUnit(Unit::EtcdApi)))));
    }

    #[test]
    fn the_memory_store_keeps_the_contract_of_a_store() {
        let mut store = MemoryStore::new();
        assert!(store.load().unwrap().is_none());
        let record = Record::new(Event::Tick, now());
        assert!(matches!(store.append(Revision::default(), &record), Err(StoreError::Lost)));
        let first = store.create(&machine()).unwrap().revision();
        assert!(matches!(store.create(&machine()), Err(StoreError::Conflict { .. })));
        let second = store.append(first, &record).unwrap().revision();
        assert_eq!(second, first.next());
        let late = store.append(first, &record);
        assert!(matches!(late, Err(StoreError::Conflict { expected, found }) if (expected, found) == (first, second)));
        assert!(matches!(store.snapshot(first, &machine()), Err(StoreError::Conflict { .. })));
        let journal = store.load().unwrap().unwrap();
        assert_eq!((journal.events.len(), journal.revision()), (1, second));
    }
}
