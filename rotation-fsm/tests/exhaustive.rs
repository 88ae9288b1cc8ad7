//! Every state of small clusters, and every guard missed by them when it is removed.

#[cfg(test)]
mod exhaustive {
    use core::fmt::Write;

    use rotation_fsm::Strategy;
    use rotation_fsm::proof::{Config, Fault, FaultKind, Report, Subject, search, search_watched};

    /// Compares with a file under `tests/golden/proof`, or writes it when `UPDATE_GOLDEN` is set.
    fn golden(name: &str, found: &str) {
        let path = format!("{}/tests/golden/proof/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, found).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            found,
            "{name}: run with UPDATE_GOLDEN=1 and read the diff"
        );
    }

    #[track_caller]
    fn proved(config: &Config) -> Report {
        let report = search_watched(config, |progress| {
            // Of a search that takes long, a line for every so many moves.
            if progress.states > 1_000_000 {
                eprintln!("depth {}: {} states, {} of them open", progress.depth, progress.states, progress.open);
            }
        })
        .unwrap();
        if let Some(counterexample) = report.counterexample() {
            panic!("{report}\n{counterexample}");
        }
        assert!(report.is_complete(), "{report}");
        println!("{report}");
        report
    }

    /// Searches all of these and compares the counts with the golden file.
    fn prove(name: &str, configs: impl IntoIterator<Item = Config>) {
        let mut lines = String::new();
        let mut states = 0;
        for config in configs {
            let report = proved(&config);
            states += report.states();
            writeln!(lines, "{report}").unwrap();
        }
        writeln!(lines, "{states} states altogether").unwrap();
        golden(name, &lines);
    }

    /// Nothing amiss, and then each kind of fault alone.
    fn one_by_one(subject: Subject, strategy: Strategy, nodes: usize) -> impl Iterator<Item = Config> {
        let calm = Config::new(subject, strategy, nodes);
        core::iter::once(calm.clone()).chain(FaultKind::ALL.map(move |kind| calm.clone().with(kind, 1)))
    }

    /// The cases in which each guard is missed soonest: what is rotated, how, and what has to happen for it.
    fn planted(fault: Fault) -> Config {
        use FaultKind as K;
        let with = |subject, strategy, kinds: &[(K, u8)]| {
            let config = Config::new(subject, strategy, 2).without(fault);
            kinds.iter().fold(config, |config, (kind, times)| config.with(*kind, *times))
        };
        let peers = |kinds: &[(K, u8)]| with(Subject::EtcdPeer, Strategy::Staged, kinds);
        let cluster = |kinds: &[(K, u8)]| with(Subject::Cluster, Strategy::Staged, kinds);
        match fault {
            Fault::TrustDroppedFirst => with(Subject::FrontProxy, Strategy::Staged, &[]),
            Fault::NobodyIsWaitedFor | Fault::LeavesBeforeTrust | Fault::KeysDestroyedFirst | Fault::AwayIsFine => {
                peers(&[])
            }
            Fault::UnreadableIsFine | Fault::BegunUnready => peers(&[(K::Garbling, 1)]),
            // Whoever is down is believed to be up, and on the way back one before it is to go down.
            Fault::StaleCounts => with(Subject::ServiceAccount, Strategy::Staged, &[(K::Delay, 1), (K::Operator, 1)]),
            Fault::OutOfTurn => peers(&[(K::Controllers, 1), (K::Operator, 1)]),
            // What is on a node comes back with the node.
            Fault::AwayForGood => cluster(&[(K::Window, 1), (K::Controllers, 1)]),
            Fault::AnybodyLeftBehind => cluster(&[(K::Clock, 1)]),
            Fault::WordForAnotherStage => cluster(&[(K::Delay, 1)]),
            Fault::WordForTheObservable => peers(&[(K::Mistake, 1)]),
            Fault::OnWhilePaused | Fault::WordOfBefore => peers(&[(K::Operator, 1)]),
            Fault::BackFromAnywhere => peers(&[(K::Operator, 1)]),
            Fault::NoGate => cluster(&[(K::Clock, 1)]),
            Fault::JumpsBelieved | Fault::ClockStepsBack => cluster(&[(K::Clock, 1)]),
            Fault::SameIncarnation => with(Subject::Cluster, Strategy::Staged, &[(K::Delay, 1), (K::Leave, 1)]),
            Fault::WindowIgnored => peers(&[(K::Window, 1)]),
            Fault::SecondKey | Fault::RetiredIsFine => peers(&[(K::Mistake, 1)]),
            Fault::CrossCertificateOutlives => with(Subject::EtcdPeer, Strategy::CrossSigned, &[(K::Mistake, 1)]),
            Fault::NodesBeforeSigner => cluster(&[]),
            Fault::EpochsIgnored => peers(&[(K::Controllers, 1), (K::Operator, 1)]),
            Fault::NoCompareAndSet => peers(&[(K::Controllers, 1)]),
            Fault::ActBeforeDurable => peers(&[(K::Crash, 1)]),
            Fault::NothingDeclared => cluster(&[]).in_emergency(),
            other => panic!("{other} has no case"),
        }
    }

    #[test]
    fn every_guard_is_missed_when_it_is_removed() {
        let mut summary = String::new();
        let mut traces = String::new();
        let mut missed = Vec::new();
        for fault in Fault::ALL {
            let report = search(&Config { limit: 1_500_000, ..planted(*fault) }).unwrap();
            let Some(counterexample) = report.counterexample() else {
                missed.push(format!("{fault}: {report}"));
                continue;
            };
            writeln!(summary, "{fault}: {} moves, {}", counterexample.moves(), counterexample.law()).unwrap();
            writeln!(traces, "{fault}\n{counterexample}").unwrap();
        }
        println!("{summary}");
        assert!(missed.is_empty(), "not caught: {missed:#?}\n{traces}");
        golden("planted.txt", &summary);
        golden("traces.txt", &traces);
    }

    /// Each authority alone, every strategy, one fault kind at a time: two control-plane replicas, three nodes in two pools, a
    /// client outside.
    fn alone(subject: Subject) {
        let configs = subject.strategies().iter().flat_map(|strategy| one_by_one(subject, *strategy, 3));
        prove(&format!("alone-{subject}.txt"), configs);
    }

    #[test]
    fn the_cluster_ca_alone() {
        alone(Subject::Cluster);
    }

    #[test]
    fn etcds_authority_alone() {
        alone(Subject::Etcd);
    }

    #[test]
    fn the_smaller_authorities_alone() {
        let smaller = [Subject::EtcdApi, Subject::EtcdPeer, Subject::FrontProxy, Subject::Konnectivity];
        smaller.into_iter().chain([Subject::ServiceAccount]).for_each(alone);
    }

    /// The pair of authorities that interacts. The two of etcd are never rotated at once: their plan is refused.
    #[test]
    fn the_cluster_ca_together_with_the_service_account_keys() {
        alone(Subject::Credentials);
    }

    /// Any two things that may go wrong, of two kinds, in any order.
    fn any_two(subject: Subject) {
        let configs = subject.strategies().iter().map(|strategy| Config::new(subject, *strategy, 2).with_any(2));
        prove(&format!("pairs-{subject}.txt"), configs);
    }

    #[test]
    fn every_pair_of_faults_while_a_small_authority_is_rotated() {
        [Subject::EtcdPeer, Subject::FrontProxy, Subject::ServiceAccount].into_iter().for_each(any_two);
    }

    /// Two rotations, one after the other: what the first leaves is what the second begins with.
    #[test]
    fn a_second_rotation_after_the_first() {
        let configs = [Subject::FrontProxy, Subject::EtcdPeer].into_iter().flat_map(|subject| {
            subject.strategies().iter().flat_map(move |strategy| one_by_one(subject, *strategy, 2).map(Config::twice))
        });
        prove("twice.txt", configs);
    }

    /// Nothing breaks but what the plan says beforehand.
    #[test]
    fn an_emergency_breaks_what_its_plan_declares() {
        let configs = [Subject::FrontProxy, Subject::Konnectivity, Subject::Cluster]
            .into_iter()
            .flat_map(|subject| one_by_one(subject, Strategy::Staged, 2).map(Config::in_emergency));
        prove("emergency.txt", configs);
    }

    /// The same for the larger ones.
    fn any_two_deep(subject: Subject, strategy: Strategy) {
        let limit = std::env::var_os("CAROUSEL_PROOF_LIMIT");
        let limit = limit.map_or(200_000_000, |limit| limit.to_str().unwrap().parse().unwrap());
        let report = proved(&Config { limit, ..Config::new(subject, strategy, 2).with_any(2) });
        golden(&format!("pairs-{subject}-{strategy}.txt"), &format!("{report}\n"));
    }

    /// Minutes to hours each. All of them, one after the other, with a line for every move further:
    ///
    /// ```sh
    /// cargo test --release -p rotation-fsm --test exhaustive deep -- --ignored --nocapture --test-threads 1
    /// ```
    ///
    /// `UPDATE_GOLDEN=1` writes `pairs-<subject>-<strategy>.txt`, `CAROUSEL_PROOF_LIMIT` gives up at so many states.
    mod deep {
        use rotation_fsm::Strategy;
        use rotation_fsm::proof::Subject;

        macro_rules! pairs {
            ($($name:ident: $subject:ident $strategy:ident),+ $(,)?) => {
                $(
                    #[test]
                    #[ignore = "minutes to hours in the release profile"]
                    fn $name() {
                        super::any_two_deep(Subject::$subject, Strategy::$strategy);
                    }
                )+

                #[test]
                fn every_strategy_has_its_golden() {
                    let searched = [$((Subject::$subject, Strategy::$strategy)),+];
                    for (subject, _) in searched {
                        for strategy in subject.strategies() {
                            assert!(searched.contains(&(subject, *strategy)), "{subject} {strategy}");
                            let golden = format!("tests/golden/proof/pairs-{subject}-{strategy}.txt");
                            assert!(std::path::Path::new(&golden).exists(), "{golden}");
                        }
                    }
                }
            };
        }

        pairs! {
            konnectivity_staged: Konnectivity Staged,
            konnectivity_cross_signed: Konnectivity CrossSigned,
            etcd_api_staged: EtcdApi Staged,
            etcd_api_cross_signed: EtcdApi CrossSigned,
            etcd_staged: Etcd Staged,
            etcd_cross_signed: Etcd CrossSigned,
            cluster_staged: Cluster Staged,
            cluster_dual_endpoint: Cluster DualEndpoint,
            cluster_cross_signed: Cluster CrossSigned,
            credentials_staged: Credentials Staged,
            credentials_dual_endpoint: Credentials DualEndpoint,
            credentials_cross_signed: Credentials CrossSigned,
        }
    }
}
