//! Reports that are lost, late, repeated or out of order, and a process that dies in between: no path ever
//! breaks, and the rotation ends where it should.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod disorder {
    use pki_core::{CaVersion, Hierarchy, Preset};
    use proptest::prelude::*;
    use rotation_fsm::{Event, Rejected, Trigger, units};

    use super::cluster::Cluster;

    /// What fate does with the next report.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Delivered,
        Lost,
        /// Kept back, to arrive when others have overtaken it.
        Late,
        Twice,
        /// The process dies and comes back with what was durable, which is the state itself.
        Crash,
    }

    fn fates() -> impl Strategy<Value = Vec<(Fate, prop::sample::Index)>> {
        let fate = prop_oneof![
            6 => Just(Fate::Delivered),
            2 => Just(Fate::Lost),
            2 => Just(Fate::Late),
            1 => Just(Fate::Twice),
            1 => Just(Fate::Crash),
        ];
        prop::collection::vec((fate, any::<prop::sample::Index>()), 200)
    }

    /// A report that the machine may reject: stale, or of a stage that is over. Nothing else is in order.
    fn deliver(cluster: &mut Cluster, event: &Event) {
        match cluster.apply(event) {
            Ok(_) | Err(Rejected::Stale { .. } | Rejected::NotInStage { .. } | Rejected::WrongVersion { .. }) => {}
            Err(rejected) => panic!("{rejected}: {event:?}"),
        }
        cluster.check_paths();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_path_breaks_and_the_rotation_ends(preset in prop::sample::select(&Preset::ALL), fates in fates()) {
            let hierarchy = Hierarchy::preset(preset);
            let mut cluster = Cluster::new(hierarchy.clone());
            let policy = units(&hierarchy).iter().find(|policy| policy.trigger == Trigger::User).unwrap();
            cluster.start(policy.unit);
            let (mut late, mut fates) = (Vec::new(), fates.into_iter());
            while cluster.machine.stage().is_some() {
                let actions: Vec<_> = cluster.machine.pending_actions().collect();
                prop_assert!(!actions.is_empty(), "nothing to do in {:?}", cluster.machine.stage());
                // When fate has run out the network is well, and everything must end.
                let (fate, index) = fates.next().map_or((Fate::Delivered, None), |(fate, index)| (fate, Some(index)));
                let action = index.map_or(&actions[0], |index| index.get(&actions));
                let event = cluster.carry_out(action);
                cluster.check_paths();
                match fate {
                    Fate::Delivered => deliver(&mut cluster, &event),
                    Fate::Lost => {}
                    Fate::Late => late.push(event),
                    Fate::Twice => {
                        deliver(&mut cluster, &event);
                        deliver(&mut cluster, &event);
                    }
                    Fate::Crash => cluster.machine = cluster.machine.clone(),
                }
                if late.len() > 3 {
                    let overtaken = late.remove(0);
                    deliver(&mut cluster, &overtaken);
                }
            }
            late.iter().for_each(|event| deliver(&mut cluster, event));
            for role in policy.roles {
                prop_assert_eq!(Some(cluster.machine.authority(*role).unwrap().version), CaVersion::new(2));
            }
            // What came late may have told of a state that is over; the next look sets it right.
            while !cluster.machine.is_at_rest() {
                cluster.take_up_everything_pending();
            }
        }
    }
}
