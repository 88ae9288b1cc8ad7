//! Large clusters over years, with whatever goes wrong drawn from a seed. `CAROUSEL_SEED` runs one seed alone.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod simulation {
    use pki_core::{CaVersion, Hierarchy, Preset, Storage};
    use rotation_fsm::{Action, Completion, Event, Machine, Rejected, Settings, Strategy, Trigger, UnitPolicy, units};
    use time::Duration;

    use super::cluster::Cluster;

    const NODES: usize = 5_000;
    const POOLS: usize = 40;

    /// `SplitMix64`, by Sebastiano Vigna: a sequence that a seed repeats.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn one_in(&mut self, n: u64) -> bool {
            self.next().is_multiple_of(n)
        }

        fn below(&mut self, n: usize) -> usize {
            usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
        }
    }

    struct World {
        cluster: Cluster,
        random: Random,
        late: Vec<Event>,
        events: u64,
    }

    impl World {
        /// What the machine may reject: a report that is stale, or of a stage or consumer that is over.
        fn deliver(&mut self, event: &Event) {
            self.events += 1;
            match self.cluster.apply(event) {
                Ok(applied) => {
                    if !applied.stages_ended.is_empty() || self.random.one_in(4_000) {
                        self.cluster.check_distinct_paths();
                    }
                }
                Err(
                    Rejected::Stale { .. }
                    | Rejected::NotInStage { .. }
                    | Rejected::WrongVersion { .. }
                    | Rejected::NotAwaited,
                ) => {}
                Err(rejected) => panic!("{rejected}: {event:?}"),
            }
        }

        /// One action, and what fate does with each report of it.
        fn carry_out(&mut self, action: &Action) {
            for event in self.cluster.carry_out_all(action) {
                match self.random.below(40) {
                    0 => {}
                    1 => self.late.push(event),
                    2 => {
                        self.deliver(&event);
                        self.deliver(&event);
                    }
                    _ => self.deliver(&event),
                }
            }
            if self.late.len() > 5 {
                let chosen = self.random.below(self.late.len());
                let overtaken = self.late.swap_remove(chosen);
                self.deliver(&overtaken);
            }
        }

        /// Things that happen to nobody's order.
        fn disturb(&mut self) {
            match self.random.below(12) {
                0 => {
                    // The process dies, and comes back with what it had stored.
                    let restored = Machine::restore(self.cluster.machine.snapshot()).unwrap();
                    self.cluster.machine = restored;
                }
                1 => {
                    let node = format!("node-{}", self.random.below(NODES));
                    for event in self.cluster.replace_node(&node) {
                        self.deliver(&event);
                    }
                }
                2 => {
                    let node = format!("node-{}", self.random.below(NODES));
                    for event in self.cluster.restart_by_itself(&node) {
                        self.deliver(&event);
                    }
                }
                3 => {
                    // An hour on, or some hours back, which is no news.
                    let hours = i64::try_from(self.random.below(6)).unwrap() - 2;
                    self.cluster.now += Duration::hours(hours);
                    self.deliver(&Event::Tick);
                }
                _ => {}
            }
        }

        fn settle(&mut self, done: impl Fn(&Machine) -> bool) {
            for _round in 0..200_000 {
                if done(&self.cluster.machine) {
                    return;
                }
                let actions: Vec<_> = self.cluster.machine.pending_actions().take(200).collect();
                assert!(
                    !actions.is_empty(),
                    "nothing to do in {:?}",
                    self.cluster.machine.stage().map(ToString::to_string)
                );
                let stage = self.cluster.machine.stage().map(|stage| stage.id().clone());
                for action in &actions {
                    self.carry_out(action);
                    // What was asked for in a stage that is over is not asked for any more.
                    if self.cluster.machine.stage().map(|stage| stage.id()) != stage.as_ref() {
                        break;
                    }
                }
                if self.random.one_in(8) {
                    self.disturb();
                }
            }
            panic!("no end in sight in {:?}", self.cluster.machine.stage().map(ToString::to_string));
        }

        fn rotate(&mut self, policy: &UnitPolicy, version: u32) {
            self.settle(Machine::is_at_rest);
            // Years pass.
            let years = i64::try_from(1 + self.random.below(2)).unwrap();
            self.cluster.now += Duration::days(365 * years);
            self.deliver(&Event::Tick);
            self.cluster.start(policy.unit);
            self.settle(|machine| machine.stage().is_none());
            for role in policy.roles.iter() {
                assert_eq!(self.cluster.machine.authority(*role).unwrap().version, CaVersion::new(version).unwrap());
            }
        }
    }

    fn simulate(preset: Preset, strategy: Strategy, seed: u64) {
        let hierarchy = Hierarchy::preset(preset);
        let settings = Settings::of(&hierarchy).with_strategy(strategy).with_completion(Completion::Automatic);
        let cluster = Cluster::large(hierarchy.clone(), settings, NODES, POOLS);
        let mut world = World { cluster, random: Random(seed), late: Vec::new(), events: 0 };
        let units = units(&hierarchy);
        let policy = units.iter().find(|policy| policy.trigger == Trigger::User).unwrap();
        // Whatever breaks, this line says how to see it again.
        println!("{preset} {strategy}: CAROUSEL_SEED={seed}");
        for version in [2, 3] {
            world.rotate(policy, version);
        }
        for event in std::mem::take(&mut world.late) {
            world.deliver(&event);
        }
        world.settle(Machine::is_at_rest);
        world.cluster.check_distinct_paths();
        println!("{} events, {} paths checked", world.events, world.cluster.paths_checked);
        assert!(world.events > 10_000 && world.cluster.paths_checked > 1_000);
    }

    #[expect(clippy::disallowed_methods, reason = "whoever sees a seed fail runs it alone")]
    fn seeds() -> Vec<u64> {
        match std::env::var("CAROUSEL_SEED") {
            Ok(seed) => vec![seed.parse().unwrap()],
            Err(_) => vec![1],
        }
    }

    #[test]
    fn five_thousand_nodes_are_rotated_in_stages_whatever_goes_wrong() {
        seeds().into_iter().for_each(|seed| simulate(Preset::Kubeadm, Strategy::Staged, seed));
    }

    #[test]
    fn five_thousand_nodes_move_to_a_second_address_whatever_goes_wrong() {
        seeds().into_iter().for_each(|seed| simulate(Preset::Gke(Storage::Etcd), Strategy::DualEndpoint, seed));
    }

    #[test]
    fn five_thousand_nodes_are_rotated_cross_signed_whatever_goes_wrong() {
        seeds().into_iter().for_each(|seed| simulate(Preset::Kubeadm, Strategy::CrossSigned, seed));
    }
}
