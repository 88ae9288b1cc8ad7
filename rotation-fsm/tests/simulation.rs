//! Large clusters over years, with whatever goes wrong drawn from a seed.
//!
//! `CAROUSEL_SEED=7` runs one seed alone, `CAROUSEL_SEEDS=1..200` those from the first up to the last, of every shape.
//! `CAROUSEL_NODES=200` makes the clusters of either smaller.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;
#[cfg(test)]
#[path = "simulation/consumers.rs"]
mod consumers;
#[cfg(test)]
#[path = "simulation/life.rs"]
mod life;
#[cfg(test)]
#[path = "simulation/planted.rs"]
mod planted;
#[cfg(test)]
#[path = "simulation/random.rs"]
mod random;
#[cfg(test)]
#[path = "simulation/store.rs"]
mod store;
#[cfg(test)]
#[path = "simulation/world.rs"]
mod world;

#[cfg(test)]
mod simulation {
    use pki_core::{Preset, Storage};
    use rotation_fsm::Strategy;
    use rotation_fsm::proof::Fault;

    use crate::life::{Shape, live};
    use crate::planted::Planted;

    const NODES: usize = 5_000;
    const POOLS: usize = 40;

    /// What was asked for in the environment, if anything was.
    #[expect(clippy::disallowed_methods, reason = "whoever sees a seed fail runs it alone")]
    fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
        std::env::var(name).ok().and_then(|value| value.parse().ok())
    }

    fn seeds(default: &[u64]) -> Vec<u64> {
        let range = asked::<String>("CAROUSEL_SEEDS");
        let range = range.as_deref().and_then(|range| range.split_once(".."));
        match (asked("CAROUSEL_SEED"), range) {
            (Some(seed), _) => vec![seed],
            (_, Some((first, last))) => (first.parse().unwrap()..=last.parse().unwrap()).collect(),
            _ => default.to_vec(),
        }
    }

    /// Whatever breaks, the line that is printed says how to see it again.
    fn simulate(preset: Preset, strategy: Strategy, nodes: usize, pools: usize, default: &[u64]) {
        let nodes = asked("CAROUSEL_NODES").unwrap_or(nodes);
        let shape = Shape { preset, strategy, nodes, pools: pools.min(nodes) };
        for seed in seeds(default) {
            println!("{shape}: CAROUSEL_SEED={seed}");
            let counts = live(shape, seed, None).unwrap_or_else(|broken| panic!("{broken}"));
            println!("{counts:?}");
        }
    }

    #[test]
    fn five_thousand_nodes_are_rotated_in_stages_whatever_goes_wrong() {
        simulate(Preset::Kubeadm, Strategy::Staged, NODES, POOLS, &[1]);
    }

    #[test]
    fn five_thousand_nodes_move_to_a_second_address_whatever_goes_wrong() {
        simulate(Preset::Gke(Storage::Etcd), Strategy::DualEndpoint, NODES, POOLS, &[1]);
    }

    #[test]
    fn five_thousand_nodes_are_rotated_cross_signed_whatever_goes_wrong() {
        simulate(Preset::Kubeadm, Strategy::CrossSigned, NODES, POOLS, &[1]);
    }

    #[test]
    fn small_clusters_of_every_preset_live_through_other_seeds() {
        for preset in Preset::ALL {
            for strategy in Strategy::ALL {
                if strategy.is_allowed(pki_core::Hierarchy::preset(preset).origin()) {
                    simulate(preset, strategy, 30, 3, &[2, 3]);
                }
            }
        }
    }

    #[test]
    fn a_mistake_that_is_planted_is_found_and_its_seed_is_told() {
        let shape = |preset, strategy| Shape { preset, strategy, nodes: 30, pools: 3 };
        let kubeadm = shape(Preset::Kubeadm, Strategy::Staged);
        let gke = shape(Preset::Gke(Storage::Etcd), Strategy::DualEndpoint);
        for (shape, mistake) in [
            (kubeadm, Planted::TrustDroppedEarly),
            (kubeadm, Planted::EpochsIgnored),
            (kubeadm, Planted::NoCompareAndSet),
            (kubeadm, Planted::NobodyAsks),
            (kubeadm, Planted::Machine(Fault::NobodyIsWaitedFor)),
            (kubeadm, Planted::Machine(Fault::UnreadableIsFine)),
            (kubeadm, Planted::Machine(Fault::OnWhilePaused)),
            (kubeadm, Planted::Machine(Fault::WindowIgnored)),
            (kubeadm, Planted::Machine(Fault::LeavesBeforeTrust)),
            (kubeadm, Planted::Machine(Fault::TrustDroppedFirst)),
            (kubeadm, Planted::Machine(Fault::KeysDestroyedFirst)),
            (gke, Planted::Machine(Fault::NoGate)),
        ] {
            let found = (1..=20).find_map(|seed| Some((seed, live(shape, seed, Some(mistake)).err()?)));
            let (seed, told) = found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
            println!("{mistake:?} is found: {told}");
            // It is the mistake that is found, and nothing else.
            live(shape, seed, None).unwrap_or_else(|broken| panic!("{broken}"));
            assert!(told.contains(&format!("CAROUSEL_SEED={seed}: ")), "{told}");
        }
    }
}
