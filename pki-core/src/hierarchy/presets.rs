//! The hierarchies that real clusters have.

use core::fmt;
use core::str::FromStr;

use time::Duration;

use super::lifetime::{BACKDATE, LEAF_LIFETIME};
use super::{Hierarchy, Origin};
use crate::{AuthorityRole, LeafKind};

/// Where a GKE cluster keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Storage {
    /// etcd instances on the control-plane machines: both etcd authorities exist.
    Etcd,
    /// Spanner, outside the control-plane machines. The etcd API is still served,
    /// so its authority exists; there are no peers and no peer authority.
    Spanner,
}

/// The hierarchies that real clusters have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// Google Kubernetes Engine.
    Gke(Storage),
    /// Google Distributed Cloud user clusters.
    Gdc,
    /// kubeadm, with etcd on the control-plane nodes.
    Kubeadm,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Gke(Storage::Etcd), Self::Gke(Storage::Spanner), Self::Gdc, Self::Kubeadm];

    /// The name used on command lines and in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Gke(Storage::Etcd) => "gke",
            Self::Gke(Storage::Spanner) => "gke-spanner",
            Self::Gdc => "gdc",
            Self::Kubeadm => "kubeadm",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        Self::ALL.into_iter().find(|preset| preset.id() == text).ok_or(UnknownPreset(()))
    }
}

/// A name that is not one of [`Preset::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPreset(());

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown preset, expected one of `gke`, `gke-spanner`, `gdc`, `kubeadm`")
    }
}

impl core::error::Error for UnknownPreset {}

/// What a cluster root issues where nothing is split off.
const CLUSTER_LEAVES: &[LeafKind] = &[
    LeafKind::ApiServer,
    LeafKind::ApiServerKubeletClient,
    LeafKind::ControllerManager,
    LeafKind::Scheduler,
    LeafKind::Admin,
    LeafKind::SuperAdmin,
    LeafKind::KubeletClient,
    LeafKind::KubeletServing,
    LeafKind::AggregatedApiServer,
    LeafKind::Webhook,
];
const ETCD_API_LEAVES: &[LeafKind] =
    &[LeafKind::ApiServerEtcdClient, LeafKind::EtcdServer, LeafKind::EtcdHealthcheckClient];
const ETCD_PEER_LEAVES: &[LeafKind] = &[LeafKind::EtcdPeer];
const FRONT_PROXY_LEAVES: &[LeafKind] = &[LeafKind::FrontProxyClient];
const KONNECTIVITY_LEAVES: &[LeafKind] =
    &[LeafKind::KonnectivityServer, LeafKind::KonnectivityClient, LeafKind::KonnectivityAgent];
const TOKENS: &[LeafKind] = &[LeafKind::ServiceAccountToken];

impl Hierarchy {
    /// The hierarchy of a preset.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Gke(storage) => Self::gke(storage),
            Preset::Gdc => Self::gdc(),
            Preset::Kubeadm => Self::kubeadm(),
        }
    }

    /// GKE: a cluster root, an etcd API authority in every cluster, an etcd peer
    /// authority where etcd runs on the control plane, front-proxy, Konnectivity.
    #[must_use]
    pub fn gke(storage: Storage) -> Self {
        use AuthorityRole::{Cluster, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, ServiceAccount};
        let peers = match storage {
            Storage::Etcd => ETCD_PEER_LEAVES,
            Storage::Spanner => &[],
        };
        let issuers = [
            (Cluster, CLUSTER_LEAVES),
            (EtcdApi, ETCD_API_LEAVES),
            (EtcdPeer, peers),
            (FrontProxy, FRONT_PROXY_LEAVES),
            (Konnectivity, KONNECTIVITY_LEAVES),
            (ServiceAccount, TOKENS),
        ];
        Self { ca_backdate: Duration::HOUR, ..Self::of_preset(Preset::Gke(storage), &issuers) }
    }

    /// GDC: exactly three self-signed authorities (cluster, etcd, front-proxy), and an
    /// optional org CA for clients outside, which is known and never rotated.
    #[must_use]
    pub fn gdc() -> Self {
        use AuthorityRole::{Cluster, Etcd, FrontProxy, ServiceAccount};
        let issuers = [
            (Cluster, CLUSTER_LEAVES),
            (Cluster, KONNECTIVITY_LEAVES),
            (Etcd, ETCD_API_LEAVES),
            (Etcd, ETCD_PEER_LEAVES),
            (FrontProxy, FRONT_PROXY_LEAVES),
            (ServiceAccount, TOKENS),
        ];
        Self { external_serving: true, ..Self::of_preset(Preset::Gdc, &issuers) }
    }

    /// kubeadm with local etcd: `ca`, `etcd/ca`, `front-proxy-ca`; no Konnectivity.
    #[must_use]
    pub fn kubeadm() -> Self {
        use AuthorityRole::{Cluster, Etcd, FrontProxy, ServiceAccount};
        let issuers = [
            (Cluster, CLUSTER_LEAVES),
            (Etcd, ETCD_API_LEAVES),
            (Etcd, ETCD_PEER_LEAVES),
            (FrontProxy, FRONT_PROXY_LEAVES),
            (ServiceAccount, TOKENS),
        ];
        Self::of_preset(Preset::Kubeadm, &issuers)
    }

    fn of_preset(preset: Preset, issuers: &[(AuthorityRole, &'static [LeafKind])]) -> Self {
        let of_role = |(role, leaves): &(AuthorityRole, &'static [LeafKind])| {
            let role = *role;
            leaves.iter().map(move |leaf| (*leaf, role))
        };
        let issuers: std::collections::BTreeMap<_, _> = issuers.iter().flat_map(of_role).collect();
        let mut roles: Vec<_> = issuers.values().copied().collect();
        roles.sort_unstable();
        roles.dedup();
        let authorities = roles.iter().filter(|role| role.is_certificate_authority());
        let ca_lifetimes = authorities.filter_map(|role| Some((*role, preset.newest_ca_lifetime(*role)?))).collect();
        Self {
            origin: Origin::Preset(preset),
            roles,
            issuers,
            ca_lifetimes,
            ca_backdate: BACKDATE,
            leaf_lifetime: LEAF_LIFETIME,
            external_serving: false,
        }
    }
}
