//! When the certificates of a cluster expire, and who renews them: tables for people, as pure data.
//!
//! Certificates that nobody renews are listed like all others and say so: the CA of an organization and the serving
//! certificate it signs, and what an administrator issued by hand, even where a system CA signed it.

mod root;
mod table;

// The public interface is:
pub use self::root::{ActiveRoot, ActiveRootError, FleetTable, ValidityDates};
pub use self::table::{AuthorityRow, CertificateRow, ExpiryTable, Renewal, ResidualTime};

use crate::{AuthorityRole, Hierarchy, LeafKind, Origin, Preset};

/// What is worth nothing once a root has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub enum Dependent {
    /// Every certificate of this kind.
    Leaf(LeafKind),
    /// The client certificate in the cluster object of GKE's API, field `masterAuth.clientCertificate`.
    MasterAuthClient,
}

/// What becomes invalid when the root of `role` expires: all that it signed. Nothing for a key set, which does not expire.
#[must_use]
pub fn dependents(hierarchy: &Hierarchy, role: AuthorityRole) -> Vec<Dependent> {
    if !role.is_certificate_authority() {
        return Vec::new();
    }
    let master_auth = role == AuthorityRole::Cluster && matches!(hierarchy.origin(), Origin::Preset(Preset::Gke(_)));
    let leaves = hierarchy.leaves_of(role).map(Dependent::Leaf);
    leaves.chain(master_auth.then_some(Dependent::MasterAuthClient)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Storage;

    #[test]
    fn an_expired_gke_root_takes_the_api_server_the_kubelets_and_the_master_auth_client_with_it() {
        let gke = Hierarchy::gke(Storage::Etcd);
        let cluster = dependents(&gke, AuthorityRole::Cluster);
        for dependent in [
            Dependent::MasterAuthClient,
            Dependent::Leaf(LeafKind::ApiServer),
            Dependent::Leaf(LeafKind::KubeletClient),
            Dependent::Leaf(LeafKind::KubeletServing),
        ] {
            assert!(cluster.contains(&dependent), "{dependent:?}");
        }
        assert!(!cluster.contains(&Dependent::Leaf(LeafKind::EtcdPeer)));
        assert!(!dependents(&Hierarchy::gdc(), AuthorityRole::Cluster).contains(&Dependent::MasterAuthClient));
        assert_eq!(dependents(&gke, AuthorityRole::EtcdPeer), [Dependent::Leaf(LeafKind::EtcdPeer)]);
    }

    #[test]
    fn every_leaf_with_an_expiry_depends_on_exactly_one_root() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            for leaf in LeafKind::ALL {
                let roots = hierarchy
                    .roles()
                    .iter()
                    .filter(|role| dependents(&hierarchy, **role).contains(&Dependent::Leaf(leaf)));
                let issuer = hierarchy.issuer_of(leaf).filter(|role| role.is_certificate_authority());
                assert_eq!(roots.copied().collect::<Vec<_>>(), Vec::from_iter(issuer), "{preset} {leaf}");
            }
        }
    }

    #[test]
    fn a_key_set_does_not_expire() {
        assert_eq!(dependents(&Hierarchy::kubeadm(), AuthorityRole::ServiceAccount), []);
    }
}
