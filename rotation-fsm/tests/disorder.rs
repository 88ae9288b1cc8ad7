//! Reports that are lost, late, repeated or out of order, and a process that dies in between: no path ever
//! breaks, and the rotation ends where it should.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod disorder {
    use pki_core::{Hierarchy, Preset};
    use proptest::prelude::*;
    use rotation_fsm::{Event, Machine, Rejected, Trigger, units};
    use time::UtcDateTime;

    use super::cluster::Cluster;

    /// What fate does with the next report.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Delivered,
        Lost,
        /// Kept back, to arrive when others have overtaken it.
        Late,
        Twice,
        /// The process dies and comes back with the events that it had accepted.
        Crash,
        /// A node goes away for good, and another comes up under its name.
        Replaced,
    }

    fn fates() -> impl Strategy<Value = Vec<(Fate, prop::sample::Index)>> {
        let fate = prop_oneof![
            6 => Just(Fate::Delivered),
            2 => Just(Fate::Lost),
            2 => Just(Fate::Late),
            1 => Just(Fate::Twice),
            1 => Just(Fate::Crash),
            1 => Just(Fate::Replaced),
        ];
        prop::collection::vec((fate, any::<prop::sample::Index>()), 400)
    }

    /// The events that were accepted, and the state that they began from.
    struct Journal {
        begun: Machine,
        accepted: Vec<(Event, UtcDateTime)>,
    }

    impl Journal {
        /// Delivers what the machine may reject: a report that is stale, or of a stage or consumer that is over.
        fn deliver(&mut self, cluster: &mut Cluster, event: &Event) {
            match cluster.apply(event) {
                Ok(_) => self.accepted.push((event.clone(), cluster.now)),
                Err(
                    Rejected::Stale { .. }
                    | Rejected::NotInStage { .. }
                    | Rejected::WrongVersion { .. }
                    | Rejected::NotAwaited,
                ) => {}
                Err(rejected) => panic!("{rejected}: {event:?}"),
            }
            cluster.check_paths();
        }

        fn replay(&self) -> Machine {
            let mut machine = self.begun.clone();
            for (event, now) in &self.accepted {
                machine.apply(event, *now).unwrap();
            }
            machine
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_path_breaks_and_rotations_end(preset in prop::sample::select(&Preset::ALL), fates in fates()) {
            let hierarchy = Hierarchy::preset(preset);
            let mut cluster = Cluster::new(hierarchy.clone());
            let mut journal = Journal { begun: cluster.machine.clone(), accepted: Vec::new() };
            let units = units(&hierarchy);
            let policy = units.iter().find(|policy| policy.trigger == Trigger::User).unwrap();
            let (mut late, mut fates) = (Vec::new(), fates.into_iter());
            for version in 2..=3 {
                while !cluster.machine.is_at_rest() {
                    let action = cluster.machine.pending_actions().next().unwrap();
                    let event = cluster.carry_out(&action);
                    journal.deliver(&mut cluster, &event);
                }
                journal.deliver(&mut cluster, &Event::RotationRequested { unit: policy.unit });
                while cluster.machine.stage().is_some() {
                    let actions: Vec<_> = cluster.machine.pending_actions().collect();
                    prop_assert!(!actions.is_empty(), "nothing to do in {:?}", cluster.machine.stage());
                    // When fate has run out the network is well, and everything must end.
                    let (fate, index) = fates.next().map_or((Fate::Delivered, None), |(fate, index)| (fate, Some(index)));
                    let action = index.map_or(&actions[0], |index| index.get(&actions));
                    let event = cluster.carry_out(action);
                    cluster.check_paths();
                    match fate {
                        Fate::Delivered => journal.deliver(&mut cluster, &event),
                        Fate::Lost => {}
                        Fate::Late => late.push(event),
                        Fate::Twice => {
                            journal.deliver(&mut cluster, &event);
                            journal.deliver(&mut cluster, &event);
                        }
                        Fate::Crash => {
                            let replayed = journal.replay();
                            prop_assert_eq!(format!("{replayed:?}"), format!("{:?}", cluster.machine));
                            cluster.machine = replayed;
                        }
                        Fate::Replaced => {
                            for event in cluster.replace_node("node-1") {
                                journal.deliver(&mut cluster, &event);
                            }
                        }
                    }
                    if late.len() > 3 {
                        let overtaken = late.remove(0);
                        journal.deliver(&mut cluster, &overtaken);
                    }
                }
                for role in policy.roles.iter() {
                    prop_assert_eq!(cluster.machine.authority(*role).unwrap().version.number(), version);
                }
            }
            late.iter().for_each(|event| journal.deliver(&mut cluster, event));
            // What came late may have told of a state that is over; the next look sets it right.
            while !cluster.machine.is_at_rest() {
                cluster.take_up_everything_pending();
            }
        }
    }
}
