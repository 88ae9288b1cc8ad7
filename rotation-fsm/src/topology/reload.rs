//! What it takes until a consumer runs with what was written for it.

use pki_core::{AuthorityRole, ComponentKind, LeafKind, Origin, Plane, Preset, TrustSlot};

use crate::facet::Facet;

/// What it takes until a consumer runs with what was written for it, from cheap to dear.
///
/// Assumed are Kubernetes and etcd 3.4 to 3.6 as measured; where versions of a component differ, the dearer. In GDC every
/// stage is like an upgrade, so whatever it touches restarts; in GKE a node takes up credentials only by being recreated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Reload {
    /// It watches the file or object.
    Live,
    /// Its process must restart.
    Restart,
    /// Its node must be recreated.
    Recreate,
    /// Nobody can see it: somebody must say that it is done.
    Unobservable,
}

/// What client-go reads again since Kubernetes 1.36 where the CA is a file and not inline.
pub(super) const CA_FILES: [(ComponentKind, TrustSlot); 4] = [
    (ComponentKind::KubeApiServer, TrustSlot::ApiServerKubeletCa),
    (ComponentKind::ControllerManager, TrustSlot::ControllerManagerKubeconfigCa),
    (ComponentKind::Scheduler, TrustSlot::SchedulerKubeconfigCa),
    (ComponentKind::Kubelet, TrustSlot::KubeletKubeconfigCa),
];

/// What it takes where nobody says otherwise.
pub(super) fn assumed(origin: Origin, kind: ComponentKind, facet: Facet) -> Reload {
    let least = match (origin, kind) {
        // Where the API servers listen, and where the Service leads, is no matter of their process.
        _ if matches!(facet, Facet::Serves | Facet::Service) => return Reload::Live,
        (Origin::Preset(Preset::Gdc), _) => Reload::Restart,
        // The clientCAFile is watched; a kubeconfig or a client certificate comes with a new node. Agents and pods are
        // workloads: they are rolled out.
        (Origin::Preset(Preset::Gke(_)), ComponentKind::Kubelet)
            if facet != Facet::Trusts(TrustSlot::KubeletClientCa) =>
        {
            Reload::Recreate
        }
        _ => Reload::Live,
    };
    let needed = match facet {
        Facet::Trusts(slot) => of_bundle(slot),
        Facet::Presents(leaf) => of_leaf(leaf),
        // kube-controller-manager watches its signing files; kube-apiserver reads `--service-account-signing-key-file` once.
        Facet::Signs(AuthorityRole::ServiceAccount) => Reload::Restart,
        Facet::Signs(_) | Facet::Serves | Facet::Service => Reload::Live,
        // A node restarts to have restarted, and client-go dials what its kubeconfig said when it began.
        Facet::RestartedUnder | Facet::Dials => Reload::Restart,
    };
    debug_assert!(kind.plane() != Plane::External, "nobody can see a client outside");
    needed.max(least)
}

const fn of_bundle(slot: TrustSlot) -> Reload {
    match slot {
        // Watched, and polled once a minute; caBundle fields are objects of the API.
        TrustSlot::ApiServerClientCa
        | TrustSlot::ApiServerRequestheaderCa
        | TrustSlot::ApiServiceCaBundle
        | TrustSlot::WebhookCaBundle
        | TrustSlot::AggregatedRequestheaderCa
        | TrustSlot::KubeletClientCa => Reload::Live,
        TrustSlot::AdminKubeconfigCa => Reload::Unobservable,
        // `--etcd-cafile`, etcd's two CA files and `--service-account-key-file` are read once. A kubeconfig's CA is
        // re-read by files only, and only since 1.36; an inline one never is. Most pods read once.
        _ => Reload::Restart,
    }
}

const fn of_leaf(leaf: LeafKind) -> Reload {
    match leaf {
        // Files that the API server watches, or that are read at every handshake.
        LeafKind::ApiServer
        | LeafKind::ApiServerKubeletClient
        | LeafKind::ApiServerEtcdClient
        | LeafKind::FrontProxyClient
        | LeafKind::EtcdServer
        | LeafKind::EtcdPeer
        | LeafKind::EtcdHealthcheckClient
        | LeafKind::AggregatedApiServer
        | LeafKind::Webhook
        // The kubelet replaces a projected token before it expires.
        | LeafKind::ServiceAccountToken => Reload::Live,
        LeafKind::Admin => Reload::Unobservable,
        // A kubelet cannot be told to renew: its process must come up without the old certificate.
        _ => Reload::Restart,
    }
}

#[cfg(test)]
mod tests {
    use pki_core::Storage;

    use super::*;

    #[test]
    fn presets_decide_what_a_stage_costs() {
        let gke = Origin::Preset(Preset::Gke(Storage::Etcd));
        let (gdc, kubeadm) = (Origin::Preset(Preset::Gdc), Origin::Preset(Preset::Kubeadm));
        let (client_ca, kubeconfig) =
            (Facet::Trusts(TrustSlot::KubeletClientCa), Facet::Trusts(TrustSlot::KubeletKubeconfigCa));
        for (origin, live, read_once) in [
            (gke, Reload::Live, Reload::Recreate),
            (gdc, Reload::Restart, Reload::Restart),
            (kubeadm, Reload::Live, Reload::Restart),
        ] {
            assert_eq!(assumed(origin, ComponentKind::Kubelet, client_ca), live, "{origin:?}");
            assert_eq!(assumed(origin, ComponentKind::Kubelet, kubeconfig), read_once, "{origin:?}");
        }
        let etcd = Facet::Trusts(TrustSlot::EtcdTrustedCa);
        assert_eq!(assumed(kubeadm, ComponentKind::Etcd, etcd), Reload::Restart);
        let etcd_ca = Facet::Trusts(TrustSlot::ApiServerEtcdCa);
        assert_eq!(assumed(kubeadm, ComponentKind::KubeApiServer, etcd_ca), Reload::Restart);
    }
}
