//! Which authorities a cluster has, and which of them issues what.

mod builder;
mod error;
mod lifetime;
mod presets;

use std::collections::BTreeMap;

use time::Duration;

pub use builder::HierarchyBuilder;
pub use error::HierarchyError;
pub use lifetime::{LifetimeCondition, LifetimeRule, Minted};
pub use presets::{Preset, Storage, UnknownPreset};

use crate::{AuthorityRole, LeafKind};

/// Where a hierarchy comes from, and so who has written the rules of its rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A kind of cluster that this crate knows, with that kind's own rules.
    Preset(Preset),
    /// Built from parts: everything is the embedder's word.
    Custom,
}

/// The authorities of one cluster, valid by construction.
///
/// A preset or [`HierarchyBuilder::build`] constructs one, so a hierarchy has no hole: whatever
/// [`issuer_of`](Self::issuer_of) names is in [`roles`](Self::roles), every path that a cluster must have has an issuer
/// at both ends, and no [`TrustSlot`](crate::TrustSlot) has to hold two authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    origin: Origin,
    roles: Vec<AuthorityRole>,
    issuers: BTreeMap<LeafKind, AuthorityRole>,
    ca_lifetimes: BTreeMap<AuthorityRole, Duration>,
    ca_backdate: Duration,
    leaf_lifetime: Duration,
    external_serving: bool,
}

impl Hierarchy {
    /// Where this hierarchy comes from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The authorities of the cluster, service-account keys included, in the order of [`AuthorityRole::ALL`].
    #[must_use]
    pub fn roles(&self) -> &[AuthorityRole] {
        &self.roles
    }

    /// The authority that issues a leaf, or `None` where the cluster has no such leaf.
    #[must_use]
    pub fn issuer_of(&self, leaf: LeafKind) -> Option<AuthorityRole> {
        self.issuers.get(&leaf).copied()
    }

    /// The leaves that an authority issues.
    pub fn leaves_of(&self, role: AuthorityRole) -> impl Iterator<Item = LeafKind> + use<'_> {
        self.issuers.iter().filter(move |(_, issuer)| **issuer == role).map(|(leaf, _)| *leaf)
    }

    /// Whether clients outside the cluster are served by a certificate (selected by SNI) of a CA that its owner manages.
    ///
    /// That CA is known here and is in no other list: it is not one of [`roles`](Self::roles), so no rotation replaces
    /// it, no trust slot of a rotation holds it, and nothing here issues or renews its certificates.
    #[must_use]
    pub const fn external_serving(&self) -> bool {
        self.external_serving
    }

    /// How long a new CA of this role is valid, or `None` for a key set and for an authority that the cluster does not
    /// have. How long one is valid that was minted earlier is [`ca_lifetime_of`](Self::ca_lifetime_of)'s to say.
    #[must_use]
    pub fn ca_lifetime(&self, role: AuthorityRole) -> Option<Duration> {
        self.ca_lifetimes.get(&role).copied()
    }

    /// How long a leaf is valid: 8,760 hours in every preset, kubeadm's default and kube-controller-manager's.
    #[must_use]
    pub const fn leaf_lifetime(&self) -> Duration {
        self.leaf_lifetime
    }

    /// How far notBefore lies before the moment at which a CA is minted, to forgive skewed clocks: an hour for GKE's
    /// CAs, five minutes in the other presets as kubeadm and kube-controller-manager do.
    #[must_use]
    pub const fn ca_backdate(&self) -> Duration {
        self.ca_backdate
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
    fn every_preset_passes_what_the_builder_asks() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            assert_eq!(builder::check(&hierarchy), Ok(()), "{preset}");
            assert_eq!(hierarchy.origin(), Origin::Preset(preset));
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
