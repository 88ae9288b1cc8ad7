//! What plans cost, and that no lawful order costs a node less.

#[cfg(test)]
mod plans {
    use std::collections::{BTreeMap, VecDeque};

    use pki_core::{AuthorityRole, ComponentKind, Hierarchy, Storage, TrustSlot};
    use rotation_fsm::{Facet, PoolName, Reload, Strategy, Topology, units};

    fn topology(hierarchy: Hierarchy, address: bool) -> Topology {
        let mut topology = match address {
            true => Topology::with_address(hierarchy, "192.0.2.1".parse().unwrap()),
            false => Topology::new(hierarchy),
        };
        topology.add_pool(PoolName::new("pool-a".parse().unwrap()), 1).unwrap();
        topology
    }

    // A search that shares nothing with the crate but the question. It looks at one path, kubelets and API servers, and
    // whoever signs for kubelets. Every other path is a further condition, so what it finds is a lower bound.

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Leaf {
        Old,
        New,
        Chained,
    }

    /// A set of generations: bit 0 the old one, bit 1 the new one.
    type Set = u8;
    const OLD: Set = 1;
    const BOTH: Set = 3;
    const NEW: Set = 2;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Kubelet {
        trusts: Set,
        leaf: Leaf,
        /// On the second address.
        moved: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct ApiServer {
        trusts: Set,
        leaf: Leaf,
        serves: Set,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct State {
        kubelet: Kubelet,
        server: ApiServer,
        signer: Leaf,
    }

    /// What a cluster can do besides the staged order.
    #[derive(Clone, Copy)]
    struct Means {
        second_address: bool,
        cross_certificate: bool,
        /// The kubelet reads its kubeconfig's CA again by itself.
        live_bundle: bool,
    }

    const STAGED: Means = Means { second_address: false, cross_certificate: false, live_bundle: false };

    fn verifies(trusts: Set, leaf: Leaf) -> bool {
        match leaf {
            Leaf::Old => trusts & OLD != 0,
            Leaf::New => trusts & NEW != 0,
            Leaf::Chained => trusts != 0,
        }
    }

    fn connects(kubelet: Kubelet, server: ApiServer) -> bool {
        let address = if kubelet.moved { NEW } else { OLD };
        let shown = if kubelet.moved { Leaf::New } else { server.leaf };
        server.serves & address != 0 && verifies(kubelet.trusts, shown) && verifies(server.trusts, kubelet.leaf)
    }

    fn kubelets(means: Means, state: State) -> impl Iterator<Item = (Kubelet, u32)> {
        let bundles = [OLD, BOTH, NEW].into_iter();
        let all = bundles.flat_map(move |trusts| {
            [false, true].into_iter().filter(move |moved| means.second_address || !moved).map(move |moved| {
                // Whoever comes up anew has a certificate of whoever signs then.
                (Kubelet { trusts, leaf: state.signer, moved }, 1)
            })
        });
        let live = [OLD, BOTH, NEW].map(|trusts| (Kubelet { trusts, ..state.kubelet }, 0));
        all.chain(live.into_iter().filter(move |_| means.live_bundle))
    }

    fn servers(means: Means) -> Vec<ApiServer> {
        let mut all = Vec::new();
        for trusts in [OLD, BOTH, NEW] {
            for leaf in [Leaf::Old, Leaf::New, Leaf::Chained] {
                for serves in [OLD, BOTH, NEW] {
                    let has = means.cross_certificate || leaf != Leaf::Chained;
                    if has && (means.second_address || serves == OLD) {
                        all.push(ApiServer { trusts, leaf, serves });
                    }
                }
            }
        }
        all
    }

    /// The fewest times that a kubelet comes up anew on the way. While one side moves, those before and those after both
    /// meet the other side; an instance moves as a whole, which allows more than the checker does.
    fn fewest(means: Means) -> u32 {
        let kubelet = Kubelet { trusts: OLD, leaf: Leaf::Old, moved: false };
        let begin =
            State { kubelet, server: ApiServer { trusts: OLD, leaf: Leaf::Old, serves: OLD }, signer: Leaf::Old };
        let mut known = BTreeMap::from([(begin, 0)]);
        let mut next = VecDeque::from([begin]);
        let mut ends = Vec::new();
        while let Some(state) = next.pop_front() {
            let cost = known[&state];
            let served = if means.second_address { NEW } else { OLD };
            let server = ApiServer { trusts: NEW, leaf: Leaf::New, serves: served };
            let end = Kubelet { trusts: NEW, leaf: Leaf::New, moved: means.second_address };
            if (state.server, state.kubelet, state.signer) == (server, end, Leaf::New) {
                ends.push(cost);
            }
            let signers = [Leaf::Old, Leaf::New].map(|signer| (State { signer, ..state }, 0));
            let moved = kubelets(means, state).map(|(kubelet, one)| (State { kubelet, ..state }, one));
            let served = servers(means).into_iter().map(|server| (State { server, ..state }, 0));
            for (after, more) in signers.into_iter().chain(moved).chain(served) {
                let lawful = connects(state.kubelet, state.server) && connects(after.kubelet, after.server);
                if lawful && known.get(&after).is_none_or(|found| *found > cost + more) {
                    known.insert(after, cost + more);
                    // Free steps first, so that the first visit is mostly the cheapest.
                    if more == 0 { next.push_front(after) } else { next.push_back(after) }
                }
            }
        }
        ends.into_iter().min().unwrap()
    }

    /// What a strategy's plan for the cluster CA alone costs a node.
    fn planned(topology: &Topology, strategy: Strategy) -> (u32, u32) {
        let cost = strategy.plan(topology, &[AuthorityRole::Cluster]).unwrap().cost(topology);
        (cost.recreations(), cost.restarts(ComponentKind::Kubelet))
    }

    #[test]
    fn no_lawful_order_brings_nodes_up_anew_less_often_than_the_strategies_do() {
        let dual = Means { second_address: true, ..STAGED };
        let cross = Means { cross_certificate: true, ..STAGED };
        for (strategy, means, expected) in
            [(Strategy::Staged, STAGED, 2), (Strategy::DualEndpoint, dual, 1), (Strategy::CrossSigned, cross, 1)]
        {
            assert_eq!(fewest(means), expected, "{strategy}");
            let address = strategy == Strategy::DualEndpoint;
            let gke = topology(Hierarchy::gke(Storage::Etcd), address);
            assert_eq!(planned(&gke, strategy), (expected, expected), "{strategy}");
            let kubeadm = topology(Hierarchy::kubeadm(), address);
            assert_eq!(planned(&kubeadm, strategy), (0, expected), "{strategy}");
        }
        // A kubelet that reads its kubeconfig's CA again needs no second start for it.
        assert_eq!(fewest(Means { live_bundle: true, ..STAGED }), 1);
        let kubeadm = topology(Hierarchy::kubeadm(), false).with_ca_files_reloaded();
        assert_eq!(planned(&kubeadm, Strategy::Staged), (0, 1));
    }

    #[test]
    fn the_cheapest_strategy_is_as_cheap_as_the_bound() {
        for hierarchy in [Hierarchy::gke(Storage::Etcd), Hierarchy::kubeadm()] {
            for address in [false, true] {
                let topology = topology(hierarchy.clone(), address);
                let (strategy, plan) = Strategy::cheapest(&topology, &[AuthorityRole::Cluster]).unwrap();
                assert_ne!(strategy, Strategy::Staged);
                assert_eq!(plan.cost(&topology).restarts(ComponentKind::Kubelet), 1);
                for other in Strategy::ALL {
                    let Ok(other) = other.plan(&topology, &[AuthorityRole::Cluster]) else { continue };
                    assert!(other.cost(&topology).recreations() >= plan.cost(&topology).recreations());
                }
            }
        }
        // Without a lawful plan it says why.
        let both = [AuthorityRole::EtcdApi, AuthorityRole::EtcdPeer];
        assert!(Strategy::cheapest(&topology(Hierarchy::gke(Storage::Etcd), false), &both).is_err());
    }

    #[test]
    fn a_cross_certificate_saves_etcd_one_rolling_restart() {
        let topology = topology(Hierarchy::kubeadm(), false);
        for roles in [vec![AuthorityRole::Etcd], Hierarchy::kubeadm().roles().to_vec()] {
            let restarts = |strategy: Strategy| {
                strategy.plan(&topology, &roles).unwrap().cost(&topology).restarts(ComponentKind::Etcd)
            };
            assert_eq!((restarts(Strategy::Staged), restarts(Strategy::CrossSigned)), (2, 1));
        }
    }

    #[test]
    fn what_is_reloaded_live_is_not_restarted() {
        let topology = topology(Hierarchy::kubeadm(), false).with_ca_files_reloaded();
        let plan = Strategy::CrossSigned.plan(&topology, &[AuthorityRole::Cluster]).unwrap();
        let cost = plan.cost(&topology);
        for kind in [ComponentKind::Etcd, ComponentKind::EtcdProbe] {
            assert_eq!(cost.restarts(kind), 0, "{kind}");
        }
        // One is for the CA of its peers, which an API server reads once (`--peer-ca-file`); without one there is none.
        assert_eq!(cost.restarts(ComponentKind::KubeApiServer), 1);
        let peers = Facet::Trusts(TrustSlot::ApiServerPeerCa);
        let alone = topology.with_reload(ComponentKind::KubeApiServer, peers, Reload::Live);
        let plan = Strategy::CrossSigned.plan(&alone, &[AuthorityRole::Cluster]).unwrap();
        assert_eq!(plan.cost(&alone).restarts(ComponentKind::KubeApiServer), 0);
    }

    #[test]
    fn every_strategy_plans_every_unit_of_every_preset_that_allows_it() {
        for preset in pki_core::Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            for strategy in Strategy::ALL.into_iter().filter(|strategy| strategy.is_allowed(hierarchy.origin())) {
                let topology = topology(hierarchy.clone(), strategy == Strategy::DualEndpoint);
                for policy in units(&hierarchy).iter() {
                    let plan = strategy.plan(&topology, &policy.roles).unwrap();
                    assert_eq!(plan.check(&topology, &policy.roles), Ok(()));
                    // A way back exists from every stage before the point of no return, and is lawful.
                    let end = plan.point_of_no_return().unwrap();
                    for index in 0..plan.stages().len() {
                        let back = plan.rollback(index, &topology, &policy.roles).unwrap();
                        assert_eq!(back.is_some(), index < end, "{preset} {strategy} {} {index}", policy.unit);
                    }
                }
            }
        }
    }
}
