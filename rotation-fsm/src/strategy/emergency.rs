//! The order for keys that somebody else may have.

use pki_core::{AuthorityRole, ComponentKind, LeafKind, Plane, TrustSlot};

use super::draft::{Draft, Movable};
use crate::facet::{Facet, Holding};
use crate::plan::{Plan, Step};
use crate::topology::Topology;

pub(super) fn plan(topology: &Topology, roles: &[AuthorityRole]) -> Plan {
    let mut draft = Draft::new(topology, roles);
    draft.everywhere(Step::Mint);
    let both = |movable: Movable| matches!(movable.facet, Facet::Trusts(_)).then_some(Holding::BOTH);
    draft.control_plane(Step::TrustBoth, both);
    // At once: from here on nobody is given anything that the suspect key signed.
    draft
        .control_plane(Step::SwitchSigner, |movable| matches!(movable.facet, Facet::Signs(_)).then_some(Holding::NEXT));
    draft.control_plane(Step::Leaves, |movable| match movable.facet {
        Facet::Presents(leaf) if !leaf.is_dual_role() && !meets_nodes(topology, movable.kind, leaf) => {
            Some(Holding::NEXT)
        }
        _ => None,
    });
    draft.control_plane(Step::DualRoleLeaves, |movable| match movable.facet {
        Facet::Presents(leaf) if leaf.is_dual_role() => Some(Holding::NEXT),
        _ => None,
    });
    // The old key goes first out of what only the control plane shows something to: etcd, the front proxy, webhooks.
    draft.control_plane(Step::TrustNext, |movable| match movable.facet {
        Facet::Trusts(slot) if !meets_others(topology, movable.kind, slot) => Some(Holding::NEXT),
        _ => None,
    });
    // One restart for every node: its own leaves, and trust in both for what the API servers still show.
    draft.nodes(Step::Leaves, |movable| match movable.facet {
        Facet::Trusts(_) => Some(Holding::BOTH),
        Facet::Presents(_) | Facet::RestartedUnder => Some(Holding::NEXT),
        _ => None,
    });
    // Whoever could forge a client is shut out here. So are clients outside that were not given anything new yet.
    draft.control_plane(Step::TrustNext, |movable| match movable.facet {
        Facet::Trusts(slot) if verifies_clients_of_api(slot) => Some(Holding::NEXT),
        _ => None,
    });
    draft.control_plane(Step::Leaves, |movable| matches!(movable.facet, Facet::Presents(_)).then_some(Holding::NEXT));
    let retired = |movable: Movable| matches!(movable.facet, Facet::Trusts(_)).then_some(Holding::NEXT);
    draft.control_plane(Step::TrustNext, retired);
    draft.nodes(Step::TrustNext, retired);
    draft.external(Step::Leaves, |movable| movable.role.map(|_| Holding::NEXT));
    draft.everywhere(Step::DestroyKeys);
    draft.finish()
}

/// Whether somebody on a node verifies this leaf.
fn meets_nodes(topology: &Topology, kind: ComponentKind, leaf: LeafKind) -> bool {
    let mut edges = topology.edges().iter().filter(|edge| edge.presenter == kind && edge.leaf == leaf);
    edges.any(|edge| edge.verifier.plane() == Plane::Data)
}

/// Whether a bundle verifies what is shown from a node or from outside, or what is shown to nodes and so comes late.
fn meets_others(topology: &Topology, kind: ComponentKind, slot: TrustSlot) -> bool {
    let mut edges = topology.edges().iter().filter(|edge| edge.verifier == kind && edge.slot == slot);
    edges.any(|edge| edge.presenter.plane() != Plane::Control || meets_nodes(topology, edge.presenter, edge.leaf))
}

const fn verifies_clients_of_api(slot: TrustSlot) -> bool {
    matches!(slot, TrustSlot::ApiServerClientCa | TrustSlot::ServiceAccountKeys)
}
