//! What the instances of a component load, present and sign with, and who verifies whom: read from the table of paths.

use pki_core::{AuthorityRole, ComponentKind, Endpoint, Hierarchy, LeafKind, Path, TrustSlot};

use crate::facet::{Facet, Track};

/// The most facets that a component has, kube-apiserver's included.
pub(crate) const MAX_FACETS: usize = 20;

/// What every instance of a component loads, presents, signs with, serves and dials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) facets: Vec<(Facet, Track)>,
}

impl Uses {
    pub(super) fn of(kind: ComponentKind, hierarchy: &Hierarchy, addresses: bool) -> Self {
        let mut facets = Vec::new();
        for path in Path::of(hierarchy) {
            let (client, server) = (path.client() == kind, path.server() == kind);
            let trusts =
                [path.client_trusts(hierarchy).filter(|_| client), path.server_trusts(hierarchy).filter(|_| server)];
            facets
                .extend(trusts.into_iter().flatten().map(|(slot, role)| (Facet::Trusts(slot), Track::Authority(role))));
            let leaves =
                [path.client_credential().leaf().filter(|_| client), path.endpoint().leaf().filter(|_| server)];
            for leaf in leaves.into_iter().flatten() {
                facets.extend(hierarchy.issuer_of(leaf).map(|role| (Facet::Presents(leaf), Track::Authority(role))));
            }
        }
        if facets.is_empty() {
            return Self::default();
        }
        facets.extend(signs(kind, hierarchy).map(|role| (Facet::Signs(role), Track::Authority(role))));
        // A kubelet's client certificate comes from whoever signs requests when its node starts.
        if kind == ComponentKind::Kubelet {
            let signer = hierarchy.issuer_of(LeafKind::KubeletClient);
            facets.extend(signer.map(|role| (Facet::RestartedUnder, Track::Authority(role))));
        }
        if addresses {
            let serves = kind == ComponentKind::KubeApiServer;
            let of_address: &[Facet] = match kind {
                _ if serves => &[Facet::Serves, Facet::Service],
                // Pods dial the `kubernetes` Service, whose address stays and leads elsewhere.
                ComponentKind::Pod => &[],
                _ if Path::of(hierarchy)
                    .any(|path| path.client() == kind && path.endpoint() == Endpoint::ApiServer) =>
                {
                    &[Facet::Dials]
                }
                _ => &[],
            };
            facets.extend(of_address.iter().map(|facet| (*facet, Track::Address)));
        }
        facets.sort_unstable();
        facets.dedup();
        facets.truncate(MAX_FACETS);
        Self { facets }
    }

    /// Where a facet stands in the list.
    pub(crate) fn position(&self, facet: Facet) -> Option<usize> {
        self.facets.iter().position(|(known, _)| *known == facet)
    }

    /// Whether anything of these authorities is loaded, presented or signed with.
    pub(crate) fn touches(&self, roles: &[AuthorityRole]) -> bool {
        self.facets.iter().any(|(_, track)| matches!(track, Track::Authority(role) if roles.contains(role)))
    }

    /// The facets of these authorities.
    pub(crate) fn of_role(&self, role: AuthorityRole) -> impl Iterator<Item = Facet> + '_ {
        self.facets.iter().filter(move |(_, track)| *track == Track::Authority(role)).map(|(facet, _)| *facet)
    }
}

/// The authority with whose key a component signs at run time: the CSR signer of
/// kube-controller-manager, the token signer of kube-apiserver.
///
/// Where kubelets have their serving certificates from another authority, kube-controller-manager has a second key. That
/// one shows in what the kubelets serve with, on which the nodes' stages wait.
fn signs(kind: ComponentKind, hierarchy: &Hierarchy) -> Option<AuthorityRole> {
    match kind {
        ComponentKind::ControllerManager => hierarchy.issuer_of(LeafKind::KubeletClient),
        ComponentKind::KubeApiServer => hierarchy.issuer_of(LeafKind::ServiceAccountToken),
        _ => None,
    }
}

/// Whether a leaf is signed at run time by such a component, not by whoever runs the rotation. Such a leaf comes alone,
/// without the cross-certificate: the signer knows one certificate.
pub(crate) const fn is_signed_at_run_time(leaf: LeafKind) -> bool {
    matches!(leaf, LeafKind::KubeletClient | LeafKind::KubeletServing | LeafKind::ServiceAccountToken)
}

/// One direction of a path: who verifies what whom presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) path: Path,
    pub(crate) verifier: ComponentKind,
    pub(crate) slot: TrustSlot,
    pub(crate) presenter: ComponentKind,
    pub(crate) leaf: LeafKind,
    pub(crate) role: AuthorityRole,
    /// Whether the presenter is the API server on one of its addresses, and the verifier dials it.
    pub(crate) by_address: bool,
}

impl Edge {
    pub(super) fn all(hierarchy: &Hierarchy) -> Vec<Self> {
        let mut edges = Vec::new();
        for path in Path::of(hierarchy) {
            let (client, server) = (path.client(), path.server());
            if let (Some((slot, role)), Some(leaf)) = (path.client_trusts(hierarchy), path.endpoint().leaf()) {
                // Replicas reach each other by their own addresses, not by the control plane's.
                let by_address = path.endpoint() == Endpoint::ApiServer && client != ComponentKind::KubeApiServer;
                edges.push(Self { path, verifier: client, slot, presenter: server, leaf, role, by_address });
            }
            if let (Some((slot, role)), Some(leaf)) = (path.server_trusts(hierarchy), path.client_credential().leaf()) {
                edges.push(Self { path, verifier: server, slot, presenter: client, leaf, role, by_address: false });
            }
        }
        edges
    }
}

#[cfg(test)]
mod tests {
    use pki_core::Preset;

    use super::*;

    #[test]
    fn uses_follow_from_the_path_table() {
        let etcd = Uses::of(ComponentKind::Etcd, &Hierarchy::gdc(), false);
        let facets: Vec<_> = etcd.facets.iter().map(|(facet, _)| *facet).collect();
        assert_eq!(
            facets,
            [
                Facet::Trusts(TrustSlot::EtcdTrustedCa),
                Facet::Trusts(TrustSlot::EtcdPeerTrustedCa),
                Facet::Presents(LeafKind::EtcdServer),
                Facet::Presents(LeafKind::EtcdPeer),
            ]
        );
        // GDC's clients outside trust the org CA, which no rotation touches.
        let outside = Uses::of(ComponentKind::ExternalClient, &Hierarchy::gdc(), false);
        assert_eq!(outside.facets, [(Facet::Presents(LeafKind::Admin), Track::Authority(AuthorityRole::Cluster))]);
    }

    #[test]
    fn only_whoever_talks_to_the_api_server_has_an_address() {
        let facets = |kind| Uses::of(kind, &Hierarchy::kubeadm(), true);
        assert!(facets(ComponentKind::KubeApiServer).position(Facet::Serves).is_some());
        for kind in [ComponentKind::Kubelet, ComponentKind::Scheduler, ComponentKind::ExternalClient] {
            assert!(facets(kind).position(Facet::Dials).is_some(), "{kind}");
        }
        for kind in [ComponentKind::Etcd, ComponentKind::Pod, ComponentKind::Webhook] {
            assert!(facets(kind).facets.iter().all(|(_, track)| *track != Track::Address), "{kind}");
        }
    }

    #[test]
    fn no_component_has_more_facets_than_there_is_room_for() {
        for preset in Preset::ALL {
            for kind in ComponentKind::ALL {
                let facets = Uses::of(kind, &Hierarchy::preset(preset), true).facets;
                assert!(facets.len() < MAX_FACETS, "{preset} {kind}: {}", facets.len());
            }
        }
    }
}
