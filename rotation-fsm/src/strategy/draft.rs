//! A plan in the making: what everybody holds after the stages so far.

use std::collections::BTreeMap;

use pki_core::{AuthorityRole, ComponentKind, Plane};

use crate::facet::{Facet, Holding, Track};
use crate::plan::{Change, Direction, Plan, Scope, Stage, StageId, Step};
use crate::topology::{PoolName, Topology};

/// A facet that the plan may move: whose it is, and what it holds so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Movable {
    pub(super) kind: ComponentKind,
    pub(super) facet: Facet,
    /// The authority, or `None` for addresses.
    pub(super) role: Option<AuthorityRole>,
    pub(super) holds: Holding,
}

#[derive(Debug)]
pub(super) struct Draft<'a> {
    topology: &'a Topology,
    roles: &'a [AuthorityRole],
    held: BTreeMap<(ComponentKind, Facet), Holding>,
    stages: Vec<Stage>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(topology: &'a Topology, roles: &'a [AuthorityRole]) -> Self {
        Self { topology, roles, held: BTreeMap::new(), stages: Vec::new() }
    }

    pub(super) fn everywhere(&mut self, step: Step) {
        let id = StageId { step, scope: None, undo: false, part: 0 };
        self.stages.push(Stage { id, changes: Vec::new() });
    }

    /// A stage of the control plane, if it asks anything of anybody.
    pub(super) fn control_plane(&mut self, step: Step, to: impl Fn(Movable) -> Option<Holding>) {
        self.stage(step, Plane::Control, &[Scope::ControlPlane], to);
    }

    /// A stage of the clients outside, if it asks anything of them.
    pub(super) fn external(&mut self, step: Step, to: impl Fn(Movable) -> Option<Holding>) {
        self.stage(step, Plane::External, &[Scope::External], to);
    }

    /// A stage per pool, of kinds and not of nodes: a pool without nodes today keeps its stage for those of tomorrow.
    pub(super) fn pools(&mut self, step: Step, to: impl Fn(Movable) -> Option<Holding>) {
        let pools: Vec<_> = self.topology.pools().cloned().map(Scope::Pool).collect();
        let scopes = if pools.is_empty() { vec![Scope::Nodes] } else { pools };
        self.stage(step, Plane::Data, &scopes, to);
    }

    /// One stage of the nodes of all pools.
    pub(super) fn nodes(&mut self, step: Step, to: impl Fn(Movable) -> Option<Holding>) {
        self.stage(step, Plane::Data, &[Scope::Nodes], to);
    }

    fn stage(&mut self, step: Step, plane: Plane, scopes: &[Scope], to: impl Fn(Movable) -> Option<Holding>) {
        let movable = self.movable(plane);
        let moved = movable.filter_map(|movable| Some((movable, to(movable)?)));
        let changes: Vec<_> = moved
            .filter(|(movable, to)| movable.holds != *to)
            .map(|(movable, to)| Change { kind: movable.kind, facet: movable.facet, to })
            .collect();
        if changes.is_empty() {
            return;
        }
        self.held.extend(changes.iter().map(|change| ((change.kind, change.facet), change.to)));
        for scope in scopes {
            let same = |stage: &&Stage| stage.step() == step && stage.scope() == Some(scope);
            let part = u8::try_from(self.stages.iter().filter(same).count()).unwrap_or(u8::MAX);
            let id = StageId { step, scope: Some(scope.clone()), undo: false, part };
            self.stages.push(Stage { id, changes: changes.clone() });
        }
    }

    fn movable(&self, plane: Plane) -> impl Iterator<Item = Movable> + '_ {
        let kinds = ComponentKind::ALL.into_iter().filter(move |kind| kind.plane() == plane);
        let of_kind = |kind| {
            self.topology
                .uses(kind)
                .into_iter()
                .flat_map(move |uses| uses.facets.iter().map(move |facet| (kind, facet)))
        };
        kinds.flat_map(of_kind).filter_map(|(kind, (facet, track))| {
            let role = match track {
                Track::Authority(role) if self.roles.contains(role) => Some(*role),
                Track::Authority(_) => return None,
                Track::Address => None,
            };
            let holds = self.held.get(&(kind, *facet)).copied().unwrap_or(Holding::CURRENT);
            Some(Movable { kind, facet: *facet, role, holds })
        })
    }

    pub(super) fn finish(self) -> Plan {
        let pools: Vec<PoolName> = self.topology.pools().cloned().collect();
        Plan { direction: Direction::Forward, pools, history: Vec::new(), stages: self.stages }
    }
}
