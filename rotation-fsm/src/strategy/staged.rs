//! The staged order, and why each stage stands where it does.

use pki_core::{AuthorityRole, ComponentKind, LeafKind, Plane};

use crate::plan::{Plan, Scope, Stage, Step};
use crate::topology::{Topology, Uses};

pub(super) fn plan(topology: &Topology, roles: &[AuthorityRole]) -> Plan {
    let mut stages = vec![Stage::everywhere(Step::Mint)];
    let mut add = |step, scopes: Vec<Scope>| {
        let needed = scopes.into_iter().filter(|scope| is_needed(topology, roles, step, scope));
        stages.extend(needed.map(|scope| Stage::within(step, scope)));
    };
    let pools = || topology.pools().cloned().map(Scope::Pool);
    let everyone = || [Scope::ControlPlane].into_iter().chain(pools()).chain([Scope::External]).collect();

    // Trust before use: every bundle, the clients outside included, before any leaf of the next authority.
    add(Step::TrustBoth, everyone());
    add(Step::Leaves, vec![Scope::ControlPlane]);
    // Presented in both directions, so both directions must have loaded: a stage of its own.
    add(Step::DualRoleLeaves, vec![Scope::ControlPlane]);
    // Before the nodes: one that comes back while the old key signs would come back with an old certificate.
    add(Step::SwitchSigner, vec![Scope::ControlPlane]);
    add(Step::Leaves, pools().chain([Scope::External]).collect());
    // Use before retirement: nothing presents an old leaf any more.
    add(Step::TrustNext, everyone());
    stages.push(Stage::everywhere(Step::DestroyKeys));
    Plan::new(stages)
}

/// Whether the stage would ask anything of anybody. Of a pool it is asked by kinds, so that a pool without
/// nodes today keeps its stage for those of tomorrow.
fn is_needed(topology: &Topology, roles: &[AuthorityRole], step: Step, scope: &Scope) -> bool {
    let plane = match scope {
        Scope::ControlPlane => Plane::Control,
        Scope::Pool(_) => Plane::Data,
        Scope::External => Plane::External,
    };
    let kinds = ComponentKind::ALL.into_iter().filter(|kind| kind.plane() == plane);
    kinds.filter_map(|kind| topology.uses(kind)).any(|uses| is_asked(uses, roles, step))
}

fn is_asked(uses: &Uses, roles: &[AuthorityRole], step: Step) -> bool {
    let leaf = |wanted: &dyn Fn(LeafKind) -> bool| {
        uses.leaves.iter().any(|(leaf, role)| roles.contains(role) && wanted(*leaf))
    };
    match step {
        Step::TrustBoth | Step::TrustNext => uses.trust.iter().any(|(_, role)| roles.contains(role)),
        Step::Leaves => leaf(&|leaf| !leaf.is_dual_role()),
        Step::DualRoleLeaves => leaf(&LeafKind::is_dual_role),
        Step::SwitchSigner => uses.signs.is_some_and(|role| roles.contains(&role)),
        Step::Mint | Step::DestroyKeys => true,
    }
}
