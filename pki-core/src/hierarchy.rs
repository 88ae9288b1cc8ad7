//! Which authorities a cluster has, and which of them issues what.

use core::fmt;
use core::str::FromStr;

use time::Duration;

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

/// The authorities of one cluster, valid by construction.
///
/// Only presets construct one, so a hierarchy has no hole: whatever
/// [`issuer_of`](Self::issuer_of) names is in [`roles`](Self::roles).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    preset: Preset,
    roles: &'static [AuthorityRole],
    etcd_api: AuthorityRole,
    etcd_peer: Option<AuthorityRole>,
    konnectivity: Option<AuthorityRole>,
    external_serving: bool,
}

impl Hierarchy {
    /// The hierarchy of a preset.
    #[must_use]
    pub const fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Gke(storage) => Self::gke(storage),
            Preset::Gdc => Self::gdc(),
            Preset::Kubeadm => Self::kubeadm(),
        }
    }

    /// GKE: a cluster root, an etcd API authority in every cluster, an etcd peer
    /// authority where etcd runs on the control plane, front-proxy, Konnectivity.
    #[must_use]
    pub const fn gke(storage: Storage) -> Self {
        use AuthorityRole::{Cluster, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, ServiceAccount};
        let (roles, etcd_peer): (&'static [AuthorityRole], _) = match storage {
            Storage::Etcd => (&[Cluster, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, ServiceAccount], Some(EtcdPeer)),
            Storage::Spanner => (&[Cluster, EtcdApi, FrontProxy, Konnectivity, ServiceAccount], None),
        };
        Self {
            preset: Preset::Gke(storage),
            roles,
            etcd_api: EtcdApi,
            etcd_peer,
            konnectivity: Some(Konnectivity),
            external_serving: false,
        }
    }

    /// GDC: exactly three self-signed authorities (cluster, etcd, front-proxy), and an
    /// optional org CA for clients outside, which is known and never rotated.
    #[must_use]
    pub const fn gdc() -> Self {
        use AuthorityRole::{Cluster, Etcd, FrontProxy, ServiceAccount};
        Self {
            preset: Preset::Gdc,
            roles: &[Cluster, Etcd, FrontProxy, ServiceAccount],
            etcd_api: Etcd,
            etcd_peer: Some(Etcd),
            konnectivity: Some(Cluster),
            external_serving: true,
        }
    }

    /// kubeadm with local etcd: `ca`, `etcd/ca`, `front-proxy-ca`; no Konnectivity.
    #[must_use]
    pub const fn kubeadm() -> Self {
        use AuthorityRole::{Cluster, Etcd, FrontProxy, ServiceAccount};
        Self {
            preset: Preset::Kubeadm,
            roles: &[Cluster, Etcd, FrontProxy, ServiceAccount],
            etcd_api: Etcd,
            etcd_peer: Some(Etcd),
            konnectivity: None,
            external_serving: false,
        }
    }

    /// The preset this hierarchy came from.
    #[must_use]
    pub const fn origin(&self) -> Preset {
        self.preset
    }

    /// The authorities of the cluster, service-account keys included.
    #[must_use]
    pub const fn roles(&self) -> &'static [AuthorityRole] {
        self.roles
    }

    /// The authority that issues a leaf, or `None` where the cluster has no such leaf.
    #[must_use]
    pub const fn issuer_of(&self, leaf: LeafKind) -> Option<AuthorityRole> {
        match leaf {
            LeafKind::ApiServer
            | LeafKind::ApiServerKubeletClient
            | LeafKind::ControllerManager
            | LeafKind::Scheduler
            | LeafKind::Admin
            | LeafKind::KubeletClient
            | LeafKind::KubeletServing
            | LeafKind::AggregatedApiServer
            | LeafKind::Webhook => Some(AuthorityRole::Cluster),
            LeafKind::ApiServerEtcdClient | LeafKind::EtcdServer | LeafKind::EtcdHealthcheckClient => {
                Some(self.etcd_api)
            }
            LeafKind::EtcdPeer => self.etcd_peer,
            LeafKind::FrontProxyClient => Some(AuthorityRole::FrontProxy),
            LeafKind::KonnectivityServer | LeafKind::KonnectivityClient | LeafKind::KonnectivityAgent => {
                self.konnectivity
            }
            LeafKind::ServiceAccountToken => Some(AuthorityRole::ServiceAccount),
        }
    }

    /// The leaves that an authority issues.
    pub fn leaves_of(&self, role: AuthorityRole) -> impl Iterator<Item = LeafKind> + use<'_> {
        LeafKind::ALL.into_iter().filter(move |leaf| self.issuer_of(*leaf) == Some(role))
    }

    /// Whether clients outside the cluster are served by a certificate (selected by
    /// SNI) of a CA that its owner manages and no rotation touches.
    #[must_use]
    pub const fn external_serving(&self) -> bool {
        self.external_serving
    }

    /// How long a new CA of this role is valid, or `None` for a key set.
    ///
    /// GKE's cluster root of today: 10,950 days, which is what its certificates show
    /// (notBefore 2023-03-17 16:45:34, notAfter 2053-03-09 17:45:34, an hour of it backdated).
    /// GKE's etcd authorities and all of GDC's: five years. kubeadm: 87,600 hours. GKE states
    /// nothing about front-proxy and Konnectivity; they follow the etcd authorities, which are
    /// likewise managed for the user.
    #[must_use]
    pub const fn ca_lifetime(&self, role: AuthorityRole) -> Option<Duration> {
        if !role.is_certificate_authority() {
            return None;
        }
        Some(match (self.preset, role) {
            (Preset::Gke(_), AuthorityRole::Cluster) => Duration::days(30 * 365),
            (Preset::Gke(_) | Preset::Gdc, _) => Duration::days(5 * 365),
            (Preset::Kubeadm, _) => Duration::hours(87_600),
        })
    }

    /// How long a leaf is valid: 8,760 hours, kubeadm's default and kube-controller-manager's.
    #[must_use]
    pub const fn leaf_lifetime(&self) -> Duration {
        Duration::hours(8_760)
    }

    /// How far notBefore lies before the moment of issuing, to forgive skewed clocks: an hour
    /// for GKE's CAs (see [`ca_lifetime`](Self::ca_lifetime)), five minutes for all others
    /// as kubeadm and kube-controller-manager do.
    #[must_use]
    pub const fn ca_backdate(&self) -> Duration {
        match self.preset {
            Preset::Gke(_) => Duration::hours(1),
            Preset::Gdc | Preset::Kubeadm => Duration::minutes(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthorityRole::{Cluster, Etcd, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, ServiceAccount};

    #[test]
    fn gke_with_etcd_has_both_etcd_authorities() {
        let gke = Hierarchy::gke(Storage::Etcd);
        assert_eq!(gke.roles(), [Cluster, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, ServiceAccount]);
        assert_eq!(gke.issuer_of(LeafKind::EtcdServer), Some(EtcdApi));
        assert_eq!(gke.issuer_of(LeafKind::ApiServerEtcdClient), Some(EtcdApi));
        assert_eq!(gke.issuer_of(LeafKind::EtcdPeer), Some(EtcdPeer));
    }

    #[test]
    fn gke_with_spanner_has_an_etcd_api_but_no_peers() {
        let spanner = Hierarchy::gke(Storage::Spanner);
        assert_eq!(spanner.roles(), [Cluster, EtcdApi, FrontProxy, Konnectivity, ServiceAccount]);
        assert_eq!(spanner.issuer_of(LeafKind::EtcdServer), Some(EtcdApi));
        assert_eq!(spanner.issuer_of(LeafKind::EtcdPeer), None);
    }

    #[test]
    fn gdc_has_exactly_three_certificate_authorities() {
        let gdc = Hierarchy::gdc();
        let authorities: Vec<_> = gdc.roles().iter().copied().filter(|role| role.is_certificate_authority()).collect();
        assert_eq!(authorities, [Cluster, Etcd, FrontProxy]);
        // One etcd authority for the API server's connections and the replicas' own.
        assert_eq!(gdc.issuer_of(LeafKind::EtcdServer), Some(Etcd));
        assert_eq!(gdc.issuer_of(LeafKind::EtcdPeer), Some(Etcd));
        assert_eq!(gdc.issuer_of(LeafKind::KonnectivityAgent), Some(Cluster));
        assert!(gdc.external_serving());
    }

    #[test]
    fn kubeadm_has_no_konnectivity() {
        let kubeadm = Hierarchy::kubeadm();
        assert_eq!(kubeadm.roles(), [Cluster, Etcd, FrontProxy, ServiceAccount]);
        assert_eq!(kubeadm.issuer_of(LeafKind::KonnectivityServer), None);
    }

    #[test]
    fn a_hierarchy_has_no_hole() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            for leaf in LeafKind::ALL {
                if let Some(role) = hierarchy.issuer_of(leaf) {
                    assert!(hierarchy.roles().contains(&role), "{preset}: {leaf:?} from {role}");
                }
            }
        }
    }

    #[test]
    fn the_cluster_root_issues_the_api_server_and_the_kubelets() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            for leaf in [LeafKind::ApiServer, LeafKind::KubeletClient] {
                assert_eq!(hierarchy.issuer_of(leaf), Some(Cluster), "{preset}");
            }
        }
    }

    #[test]
    fn authorities_live_five_ten_or_thirty_years() {
        let gke = Hierarchy::gke(Storage::Etcd);
        assert_eq!(gke.ca_lifetime(Cluster), Some(Duration::days(10_950)));
        assert_eq!(gke.ca_lifetime(EtcdApi), Some(Duration::days(1_825)));
        assert_eq!(gke.ca_lifetime(EtcdPeer), Some(Duration::days(1_825)));
        assert_eq!(Hierarchy::gdc().ca_lifetime(Cluster), Some(Duration::days(1_825)));
        assert_eq!(Hierarchy::kubeadm().ca_lifetime(Cluster), Some(Duration::days(3_650)));
        assert_eq!(gke.ca_lifetime(ServiceAccount), None);
    }

    #[test]
    fn presets_are_known_by_their_names() {
        for preset in Preset::ALL {
            assert_eq!(preset.id().parse(), Ok(preset));
        }
        let error = "k3s".parse::<Preset>().unwrap_err().to_string();
        for preset in Preset::ALL {
            assert!(error.contains(&format!("`{preset}`")), "{error}");
        }
    }
}
