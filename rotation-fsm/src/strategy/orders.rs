//! The order of the stages, and why each stands where it does.

use pki_core::{AuthorityRole, ComponentKind, LeafKind, Origin, Preset, TrustSlot};

use super::draft::{Draft, Movable};
use super::{Method, Strategy, dials};
use crate::facet::{Facet, Holding};
use crate::plan::{Plan, Step};
use crate::topology::{Reload, Topology, is_signed_at_run_time};

pub(super) fn plan(strategy: Strategy, topology: &Topology, roles: &[AuthorityRole]) -> Plan {
    let dual = strategy.method_of_serving(topology, roles) == Method::DualEndpoint;
    let order = Order { strategy, topology, dual };
    let mut draft = Draft::new(topology, roles);

    draft.everywhere(Step::Mint);
    if roles.iter().any(|role| strategy.method(topology, *role) == Method::CrossSigned) {
        draft.everywhere(Step::CrossSign);
    }
    // Trust before use: every bundle, the clients outside included, before any leaf of the next authority.
    draft.control_plane(Step::TrustBoth, |movable| order.trusts_both(movable));
    draft.pools(Step::TrustBoth, |movable| order.trusts_both(movable));
    draft.external(Step::TrustBoth, |movable| order.trusts_both(movable));
    if dual {
        draft.control_plane(Step::OpenAddress, |movable| to(movable.facet == Facet::Serves, Holding::BOTH));
    }
    draft.control_plane(Step::Leaves, |movable| order.leaves_of_control_plane(movable));
    // Presented in both directions, so both directions must have loaded: a stage of its own.
    draft.control_plane(Step::DualRoleLeaves, |movable| match movable.facet {
        Facet::Presents(leaf) => order.reissued(movable, leaf).filter(|_| leaf.is_dual_role()),
        _ => None,
    });
    // Before the nodes: one that comes back while the old key signs would come back with an old certificate.
    draft.control_plane(Step::SwitchSigner, |movable| to(matches!(movable.facet, Facet::Signs(_)), Holding::NEXT));
    draft.pools(Step::Leaves, |movable| order.leaves_of_nodes(movable));
    if dual {
        // Pods dial the Service, so all of them must know what its new address shows.
        draft.control_plane(Step::MoveService, |movable| to(movable.facet == Facet::Service, Holding::NEXT));
        // Now every kubelet knows who issued it.
        draft.control_plane(Step::KubeletClientLeaf, |movable| {
            to(
                movable.facet == Facet::Presents(LeafKind::ApiServerKubeletClient) && movable.role.is_some(),
                Holding::NEXT,
            )
        });
    }
    draft.external(Step::Leaves, |movable| order.leaves_of_clients_outside(movable));
    // Use before retirement: nothing presents an old leaf any more, and nobody dials the old address.
    if dual {
        draft.control_plane(Step::CloseAddress, |movable| {
            let closed = matches!(movable.facet, Facet::Serves | Facet::Presents(LeafKind::ApiServer));
            to(closed, Holding::NEXT)
        });
    }
    let retired = |movable: Movable| to(matches!(movable.facet, Facet::Trusts(_)), Holding::NEXT);
    draft.control_plane(Step::TrustNext, retired);
    draft.pools(Step::TrustNext, retired);
    draft.external(Step::TrustNext, retired);
    // At rest nobody shows a certificate that the retired key signed.
    let unchained = |movable: Movable| to(movable.holds == Holding::NEXT_CHAINED, Holding::NEXT);
    draft.control_plane(Step::DropCrossCertificate, unchained);
    draft.pools(Step::DropCrossCertificate, unchained);
    draft.everywhere(Step::DestroyKeys);
    draft.finish()
}

fn to(moves: bool, holding: Holding) -> Option<Holding> {
    moves.then_some(holding)
}

struct Order<'a> {
    strategy: Strategy,
    topology: &'a Topology,
    /// Whether the address is replaced too.
    dual: bool,
}

impl Order<'_> {
    fn method(&self, role: AuthorityRole) -> Method {
        self.strategy.method(self.topology, role)
    }

    /// Whether bundles take the next generation together with the next leaf where that saves a restart. GDC documents
    /// its order: the data plane holds both generations until the control plane has dropped the old one.
    fn merges(&self) -> bool {
        self.topology.hierarchy().origin() != Origin::Preset(Preset::Gdc)
    }

    /// Bundles that must hold both generations before anybody shows a leaf of the next.
    fn trusts_both(&self, movable: Movable) -> Option<Holding> {
        let (Facet::Trusts(slot), Some(role)) = (movable.facet, movable.role) else { return None };
        let both = match self.method(role) {
            Method::Staged => true,
            Method::CrossSigned => self.verifies_leaves_alone(movable.kind, slot),
            // Nodes are recreated with it. Whoever dials moves to the second address, and trusts what serves there.
            Method::DualEndpoint => {
                movable.kind.plane() == pki_core::Plane::Control && !self.follows_address(movable.kind, slot)
            }
        };
        to(both, Holding::BOTH)
    }

    /// Whether a bundle verifies leaves that come without the cross-certificate.
    fn verifies_leaves_alone(&self, kind: ComponentKind, slot: TrustSlot) -> bool {
        let edges = self.topology.edges().iter();
        edges.clone().any(|edge| edge.verifier == kind && edge.slot == slot && is_signed_at_run_time(edge.leaf))
    }

    /// Whether a bundle verifies what serves at the address that its holder dials, and nothing else.
    fn follows_address(&self, kind: ComponentKind, slot: TrustSlot) -> bool {
        let mut edges = self.topology.edges().iter().filter(|edge| edge.verifier == kind && edge.slot == slot);
        dials(self.topology, kind) && edges.all(|edge| edge.by_address)
    }

    /// How a leaf of the next generation is presented: with the cross-certificate while somebody who verifies it has not
    /// heard of that generation.
    fn reissued(&self, movable: Movable, leaf: LeafKind) -> Option<Holding> {
        let role = movable.role?;
        let unaware = || {
            let edges = self.topology.edges().iter().filter(|edge| edge.presenter == movable.kind && edge.leaf == leaf);
            edges.clone().any(|edge| !self.verifies_leaves_alone(edge.verifier, edge.slot))
        };
        Some(match self.method(role) {
            Method::CrossSigned if !is_signed_at_run_time(leaf) && unaware() => Holding::NEXT_CHAINED,
            _ => Holding::NEXT,
        })
    }

    fn leaves_of_control_plane(&self, movable: Movable) -> Option<Holding> {
        let dual = movable.role.is_some_and(|role| self.method(role) == Method::DualEndpoint);
        match movable.facet {
            Facet::Presents(leaf) if leaf.is_dual_role() => None,
            // At the first address the first certificate is served to the end, and kubelets come first.
            Facet::Presents(LeafKind::ApiServer | LeafKind::ApiServerKubeletClient) if dual => None,
            Facet::Presents(leaf) => self.reissued(movable, leaf),
            Facet::Trusts(slot) if dual => to(self.follows_address(movable.kind, slot), Holding::NEXT),
            Facet::Dials => to(self.dual, Holding::NEXT),
            _ => None,
        }
    }

    /// What nodes come back with: their leaves, and the bundles that need a restart anyway.
    fn leaves_of_nodes(&self, movable: Movable) -> Option<Holding> {
        match (movable.facet, movable.role) {
            (Facet::Presents(leaf), Some(_)) => self.reissued(movable, leaf),
            (Facet::RestartedUnder, Some(_)) => Some(Holding::NEXT),
            (Facet::Dials, None) => to(self.dual, Holding::NEXT),
            (Facet::Trusts(slot), Some(role)) => match self.method(role) {
                Method::DualEndpoint if self.follows_address(movable.kind, slot) => Some(Holding::NEXT),
                // The API server still shows them what the first generation issued.
                Method::DualEndpoint => Some(Holding::BOTH),
                _ => {
                    let dear = self.topology.reload(movable.kind, movable.facet) > Reload::Live;
                    to(self.merges() && dear, Holding::NEXT)
                }
            },
            _ => None,
        }
    }

    /// Somebody gives clients outside a new kubeconfig: once, with everything that is in it.
    fn leaves_of_clients_outside(&self, movable: Movable) -> Option<Holding> {
        match (movable.facet, movable.role) {
            // The API servers know the next generation by now: no cross-certificate stays in a kubeconfig.
            (Facet::Presents(_), Some(_)) => Some(Holding::NEXT),
            (Facet::Dials, None) => to(self.dual, Holding::NEXT),
            (Facet::Trusts(_), Some(_)) => to(self.merges(), Holding::NEXT),
            _ => None,
        }
    }
}
