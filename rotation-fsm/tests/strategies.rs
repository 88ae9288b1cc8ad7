//! Every strategy on every preset that allows it: no path breaks, and the cost is what the plan said.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod strategies {
    use super::cluster::{Cluster, at, golden};
    use pki_core::{ComponentKind, Hierarchy, Preset};
    use rotation_fsm::{Event, Strategy, Trigger, Unit, units};
    use time::Duration;

    /// Runs every unit of a preset; what each plan is and costs, and what the status says after each stage.
    fn rotate(preset: Preset, strategy: Strategy) -> String {
        let hierarchy = Hierarchy::preset(preset);
        let mut cluster = Cluster::with_strategy(hierarchy.clone(), strategy);
        let mut lines = String::new();
        for policy in units(&hierarchy).iter() {
            let plan = cluster.machine.plan(policy.unit, strategy).unwrap();
            let cost = plan.cost(cluster.machine.topology());
            for kind in ComponentKind::ALL {
                cluster.restarts(kind);
            }
            match policy.trigger {
                Trigger::User => {
                    cluster.start(policy.unit);
                }
                _ => {
                    cluster.now = at(0) + Duration::days(5 * 365 - 29);
                    assert!(cluster.apply(&Event::Tick).unwrap().started.is_some(), "{preset} {}", policy.unit);
                }
            }
            lines.push_str(&format!("{}: {cost}\n", policy.unit));
            for stage in plan.stages() {
                lines.push_str(&format!("  {stage}\n"));
                for change in stage.changes() {
                    lines.push_str(&format!("      {change}\n"));
                }
            }
            let ended: Vec<_> = cluster.run().into_iter().map(|(stage, _)| stage).collect();
            let planned: Vec<_> = plan.stages().iter().map(ToString::to_string).collect();
            assert_eq!(ended, planned);
            for kind in ComponentKind::ALL {
                let restarts = cluster.restarts(kind);
                let word = (cost.restarts(kind), if kind == ComponentKind::Kubelet { cost.recreations() } else { 0 });
                let none_there = restarts.is_empty();
                assert!(
                    none_there || restarts.iter().all(|found| *found == word),
                    "{preset} {strategy} {kind}: {restarts:?}, planned {word:?}"
                );
            }
        }
        assert!(cluster.machine.is_at_rest());
        assert!(cluster.paths_checked > 1000);
        lines
    }

    /// Whoever joins is told everything that it needs, in a rotation as at rest, and be it one that nobody can see.
    #[test]
    fn what_is_provided_for_newcomers_is_everything() {
        let mut cluster = Cluster::with_strategy(Hierarchy::kubeadm(), Strategy::DualEndpoint);
        let outside = cluster.consumer(ComponentKind::ExternalClient, "late");
        for rotating in [false, true] {
            if rotating {
                cluster.start(Unit::Ca);
            }
            let target = cluster.machine.provision(&outside, None).unwrap();
            assert_eq!((target.bundles.len(), target.leaves.len()), (1, 1), "{rotating}");
            assert_eq!(target.dials.as_ref(), cluster.machine.address(), "{rotating}");
        }
        assert!(!cluster.machine.topology().contains(&outside));
    }

    #[test]
    fn every_strategy_rotates_every_preset_that_allows_it_at_the_cost_it_states() {
        for preset in Preset::ALL {
            let origin = Hierarchy::preset(preset).origin();
            for strategy in Strategy::ALL.into_iter().filter(|strategy| strategy.is_allowed(origin)) {
                golden(&format!("plan-{preset}-{strategy}.txt"), &rotate(preset, strategy));
            }
        }
    }
}
