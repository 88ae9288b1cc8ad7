//! Broken plans: by hand, and made from every shipped plan by leaving a stage out or by exchanging two.

use pki_core::{AuthorityRole, ComponentKind, Hierarchy, LeafKind, Preset, TrustSlot};

use super::*;
use crate::plan::Scope;
use crate::policy::units;
use crate::strategy::Strategy;
use crate::topology::{PoolName, Reload};

const API: ComponentKind = ComponentKind::KubeApiServer;
const MANAGER: ComponentKind = ComponentKind::ControllerManager;

fn topology(hierarchy: &Hierarchy, strategy: Strategy) -> Topology {
    let mut topology = match strategy {
        Strategy::DualEndpoint => Topology::with_address(hierarchy.clone(), "192.0.2.1".parse().unwrap()),
        _ => Topology::new(hierarchy.clone()),
    };
    for name in ["pool-a", "pool-b"] {
        topology.add_pool(PoolName::new(name.parse().unwrap()), 1).unwrap();
    }
    topology
}

fn kubeadm(strategy: Strategy) -> (Topology, Vec<AuthorityRole>, Plan) {
    let topology = topology(&Hierarchy::kubeadm(), strategy);
    let roles = Hierarchy::kubeadm().roles().to_vec();
    let plan = strategy.plan(&topology, &roles).unwrap();
    (topology, roles, plan)
}

fn place(plan: &Plan, name: &str) -> usize {
    plan.stages.iter().position(|stage| stage.to_string() == name).unwrap()
}

/// What the checker says of kubeadm's plan, changed like this.
fn refused(strategy: Strategy, change: impl FnOnce(&mut Plan)) -> PlanError {
    let (topology, roles, mut plan) = kubeadm(strategy);
    change(&mut plan);
    plan.check(&topology, &roles).unwrap_err()
}

fn add(plan: &mut Plan, name: &str, change: Change) -> StageId {
    let at = place(plan, name);
    plan.stages[at].changes.push(change);
    plan.stages[at].id.clone()
}

#[test]
fn broken_plans_are_refused_by_what_is_wrong_with_them() {
    let staged = |change: fn(&mut Plan)| refused(Strategy::Staged, change);
    assert_eq!(staged(|plan| drop(plan.stages.remove(0))), PlanError::Ends { step: Step::Mint });
    assert_eq!(staged(|plan| drop(plan.stages.pop())), PlanError::Ends { step: Step::DestroyKeys });
    assert_eq!(staged(|plan| plan.stages.clear()), PlanError::Ends { step: Step::Mint });
    for (from, step) in [(0, Step::Mint), (usize::MAX, Step::DestroyKeys)] {
        let twice = |plan: &mut Plan| {
            let mut again = plan.stages[from.min(plan.stages.len() - 1)].clone();
            again.id.part = 1;
            plan.stages.insert(3, again);
        };
        assert_eq!(refused(Strategy::Staged, twice), PlanError::Ends { step });
    }
    let repeated = staged(|plan| {
        let again = plan.stages[1].clone();
        plan.stages.insert(2, again);
    });
    assert!(matches!(repeated, PlanError::Repeated(stage) if stage.to_string() == "control-plane-trust"));
}

#[test]
fn a_stage_asks_only_for_what_somebody_has_and_can_hold() {
    let cases: [(ComponentKind, Facet, Holding); 3] = [
        // Nothing of the kind.
        (ComponentKind::Etcd, Facet::Presents(LeafKind::Scheduler), Holding::NEXT),
        (ComponentKind::Etcd, Facet::Signs(AuthorityRole::Cluster), Holding::NEXT),
        // No address is followed.
        (MANAGER, Facet::Dials, Holding::NEXT),
    ];
    for (kind, facet, to) in cases {
        let mut stage = None;
        let error = refused(Strategy::Staged, |plan| {
            stage = Some(add(plan, "control-plane-trust", Change { kind, facet, to }));
        });
        assert_eq!(error, PlanError::UnknownFacet { stage: stage.unwrap(), kind, facet });
    }
    // Of an authority that is not replaced.
    let (topology, _, plan) = kubeadm(Strategy::Staged);
    let error = plan.check(&topology, &[AuthorityRole::Cluster]).unwrap_err();
    assert!(matches!(error, PlanError::UnknownFacet { .. }));

    let impossible: [(&str, ComponentKind, Facet, Holding); 6] = [
        ("control-plane-leaves", API, Facet::Trusts(TrustSlot::ApiServerClientCa), Holding::PREVIOUS),
        ("control-plane-leaves", API, Facet::Trusts(TrustSlot::ApiServerClientCa), Holding::UNKNOWN),
        ("control-plane-trust", MANAGER, Facet::Presents(LeafKind::ControllerManager), Holding::BOTH),
        // A signer at run time hands out no chain.
        (
            "control-plane-leaves",
            ComponentKind::Kubelet,
            Facet::Presents(LeafKind::KubeletClient),
            Holding::NEXT_CHAINED,
        ),
        // Only the step of the signers switches one.
        ("control-plane-leaves", MANAGER, Facet::Signs(AuthorityRole::Cluster), Holding::NEXT),
        // Twice in one stage.
        ("control-plane-trust", API, Facet::Trusts(TrustSlot::ApiServerClientCa), Holding::NEXT),
    ];
    for (name, kind, facet, to) in impossible {
        let error = refused(Strategy::Staged, |plan| drop(add(plan, name, Change { kind, facet, to })));
        assert!(
            matches!(&error, PlanError::Impossible { kind: found, facet: of, .. } if (*found, *of) == (kind, facet)),
            "{name}: {error}"
        );
    }
}

#[test]
fn nodes_that_come_back_before_the_signer_has_switched_are_the_trap() {
    for strategy in Strategy::ALL {
        let error = refused(strategy, |plan| {
            let signer = plan.stages.remove(place(plan, "signer"));
            let after = place(plan, "node-leaves/pool-b") + 1;
            plan.stages.insert(after, signer);
        });
        assert!(
            matches!(&error, PlanError::SignerNotSwitched { stage } if stage.to_string() == "node-leaves/pool-a"),
            "{strategy}: {error}"
        );
    }
}

#[test]
fn a_chain_is_presented_when_its_certificate_is_signed() {
    for late in [true, false] {
        let error = refused(Strategy::CrossSigned, |plan| {
            let cross = plan.stages.remove(place(plan, "cross-sign"));
            if late {
                let after = place(plan, "etcd-leaves");
                plan.stages.insert(after, cross);
            }
        });
        assert!(matches!(&error, PlanError::NotCrossSigned { stage } if stage.to_string() == "control-plane-leaves"));
    }
}

#[test]
fn etcds_authorities_are_never_replaced_at_once() {
    let hierarchy = Hierarchy::gke(pki_core::Storage::Etcd);
    let topology = topology(&hierarchy, Strategy::Staged);
    let roles = [AuthorityRole::EtcdApi, AuthorityRole::EtcdPeer];
    let error = Strategy::Staged.plan(&topology, &roles).unwrap_err();
    assert_eq!(error, crate::strategy::StrategyError::Unlawful(PlanError::EtcdTogether));
}

/// A plan with one stage less, or with two exchanged, by what was done to it.
fn mutants(plan: &Plan) -> Vec<(String, Plan)> {
    let mut found = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let mut without = plan.clone();
        without.stages.remove(index);
        found.push((format!("without {stage}"), without));
        for other in index + 1..plan.stages.len() {
            let mut exchanged = plan.clone();
            exchanged.stages.swap(index, other);
            found.push((format!("{stage} <-> {}", plan.stages[other]), exchanged));
        }
    }
    found
}

/// What a step does to trust: what only adds to it, what uses it, and what takes from it. Within one of these no order
/// takes away what another stage still needs.
fn nature(stage: &Stage) -> u8 {
    match stage.step() {
        Step::Mint => 0,
        Step::CrossSign | Step::TrustBoth | Step::OpenAddress => 1,
        Step::Leaves | Step::DualRoleLeaves | Step::SwitchSigner | Step::MoveService | Step::KubeletClientLeaf => 2,
        Step::CloseAddress => 3,
        Step::TrustNext | Step::DropCrossCertificate => 4,
        Step::DestroyKeys => 5,
    }
}

#[test]
fn a_plan_with_a_stage_less_or_with_two_exchanged_is_refused_or_no_worse() {
    let (mut harmless, mut refused) = (String::new(), 0);
    for preset in Preset::ALL {
        let hierarchy = Hierarchy::preset(preset);
        for strategy in Strategy::ALL.into_iter().filter(|strategy| strategy.is_allowed(hierarchy.origin())) {
            let topology = topology(&hierarchy, strategy);
            for policy in units(&hierarchy).iter() {
                let plan = strategy.plan(&topology, &policy.roles).unwrap();
                for (what, mutant) in mutants(&plan) {
                    match mutant.check(&topology, &policy.roles) {
                        Err(_) => refused += 1,
                        Ok(()) => {
                            // Nothing is left out without being missed.
                            assert!(!what.starts_with("without"), "{preset} {strategy} {}: {what}", policy.unit);
                            let moved: Vec<_> = plan
                                .stages
                                .iter()
                                .zip(&mutant.stages)
                                .filter(|(before, after)| before != after)
                                .map(|(before, _)| before)
                                .collect();
                            assert_eq!(
                                nature(moved[0]),
                                nature(moved[1]),
                                "{preset} {strategy} {}: {what}",
                                policy.unit
                            );
                            harmless.push_str(&format!("{preset} {strategy} {}: {what}\n", policy.unit));
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/harmless.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &harmless).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), harmless, "run with UPDATE_GOLDEN=1 and read the diff");
}

#[test]
fn a_plan_is_for_one_topology() {
    // Where the webhooks' bundle is read once, the plan that takes it for live is still lawful: cost is no law.
    let (topology, roles, plan) = kubeadm(Strategy::Staged);
    let dear = topology.clone().with_reload(API, Facet::Trusts(TrustSlot::WebhookCaBundle), Reload::Restart);
    assert_eq!(plan.check(&dear, &roles), Ok(()));
    // A pool that came since goes with the last one; a plan for other pools leaves it out.
    let mut more = topology;
    more.add_pool(PoolName::new("pool-c".parse().unwrap()), 1).unwrap();
    assert_eq!(plan.check(&more, &roles), Ok(()));
    let mut blind = plan;
    blind.pools.push(PoolName::new("pool-c".parse().unwrap()));
    assert!(matches!(blind.check(&more, &roles), Err(PlanError::Lingering { .. })));
    assert!(blind.stages.iter().all(|stage| stage.scope() != Some(&Scope::Nodes)));
}
