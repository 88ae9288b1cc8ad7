//! Which authorities rotate together, and who may begin.

use core::fmt;
use std::borrow::Cow;

use pki_core::{AuthorityRole, Hierarchy, Origin, Preset, Storage};
use time::Duration;

/// A set of authorities that rotates as one, under one CAVersion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Unit {
    /// The certificate authorities of the cluster (GDC: exactly etcd, cluster and front-proxy; of a hierarchy built from
    /// parts, all of them but one that only etcd's members use among themselves), and in kubeadm's preset the
    /// service-account keys with them.
    Ca,
    /// GKE's credential rotation: the cluster root and the service-account keys.
    Credentials,
    /// The service-account keys alone.
    ServiceAccount,
    /// GKE's etcd API authority.
    EtcdApi,
    /// The etcd peer authority where it is apart (GKE, Gardener).
    EtcdPeer,
    /// GKE's front-proxy authority.
    FrontProxy,
    /// GKE's Konnectivity authority.
    Konnectivity,
}

impl Unit {
    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Credentials => "credentials",
            Self::ServiceAccount => "service-account",
            Self::EtcdApi => "etcd-api",
            Self::EtcdPeer => "etcd-peer",
            Self::FrontProxy => "front-proxy",
            Self::Konnectivity => "konnectivity",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Who begins the rotation of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trigger {
    /// A user, at any time.
    User,
    /// The clock alone, so long before the earliest expiry in the unit. A user's request is refused.
    Automatic {
        /// The distance to the expiry.
        before_expiry: Duration,
    },
}

/// One unit of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnitPolicy {
    /// Which unit.
    pub unit: Unit,
    /// The authorities in it.
    pub roles: Cow<'static, [AuthorityRole]>,
    /// Who begins.
    pub trigger: Trigger,
}

impl UnitPolicy {
    /// Whether people and outside systems are given something anew when the unit was rotated: GDC's certificate
    /// authorities.
    pub(crate) fn hands_out(&self) -> bool {
        self.unit == Unit::Ca && *self.roles == *GDC_CAS
    }
}

/// GDC's three certificate authorities.
const GDC_CAS: &[AuthorityRole] = &[AuthorityRole::Cluster, AuthorityRole::Etcd, AuthorityRole::FrontProxy];

/// GKE rotates what it manages by itself: so long before its expiry.
///
/// GKE states that etcd's authorities rotate before they expire and not when; thirty days is when it begins
/// the automatic rotation of a cluster root.
const GKE_AUTOMATIC: Trigger = Trigger::Automatic { before_expiry: Duration::days(30) };

const fn unit(unit: Unit, roles: &'static [AuthorityRole], trigger: Trigger) -> UnitPolicy {
    UnitPolicy { unit, roles: Cow::Borrowed(roles), trigger }
}

/// The units of a hierarchy, in the order in which they are taken when several are due. Every
/// authority is in exactly one; a CA that somebody else manages is in none.
///
/// A hierarchy built from parts has its certificate authorities, which trust each other's servers and clients and so
/// change together; apart from them the authority of etcd's peers, since the two of etcd restart the same members; and
/// the service-account keys, as GDC and Gardener have it. A user begins them all.
#[must_use]
pub fn units(hierarchy: &Hierarchy) -> Cow<'static, [UnitPolicy]> {
    use AuthorityRole as R;
    const GKE_ETCD: &[UnitPolicy] = &[
        unit(Unit::Credentials, &[R::Cluster, R::ServiceAccount], Trigger::User),
        unit(Unit::EtcdApi, &[R::EtcdApi], GKE_AUTOMATIC),
        unit(Unit::EtcdPeer, &[R::EtcdPeer], GKE_AUTOMATIC),
        unit(Unit::FrontProxy, &[R::FrontProxy], GKE_AUTOMATIC),
        unit(Unit::Konnectivity, &[R::Konnectivity], GKE_AUTOMATIC),
    ];
    const GKE_SPANNER: &[UnitPolicy] = &[
        unit(Unit::Credentials, &[R::Cluster, R::ServiceAccount], Trigger::User),
        unit(Unit::EtcdApi, &[R::EtcdApi], GKE_AUTOMATIC),
        unit(Unit::FrontProxy, &[R::FrontProxy], GKE_AUTOMATIC),
        unit(Unit::Konnectivity, &[R::Konnectivity], GKE_AUTOMATIC),
    ];
    // GDC's CA rotation is limited to its three CAs; the service-account keys are an operation of their own.
    const GDC: &[UnitPolicy] =
        &[unit(Unit::Ca, GDC_CAS, Trigger::User), unit(Unit::ServiceAccount, &[R::ServiceAccount], Trigger::User)];
    const KUBEADM: &[UnitPolicy] =
        &[unit(Unit::Ca, &[R::Cluster, R::Etcd, R::FrontProxy, R::ServiceAccount], Trigger::User)];
    Cow::Borrowed(match hierarchy.origin() {
        Origin::Preset(Preset::Gke(Storage::Spanner)) => GKE_SPANNER,
        Origin::Preset(Preset::Gke(_)) => GKE_ETCD,
        Origin::Preset(Preset::Gdc) => GDC,
        Origin::Preset(Preset::Kubeadm) => KUBEADM,
        _ => return Cow::Owned(units_from_parts(hierarchy)),
    })
}

fn units_from_parts(hierarchy: &Hierarchy) -> Vec<UnitPolicy> {
    let of_user = |unit, roles: Vec<_>| UnitPolicy { unit, roles: roles.into(), trigger: Trigger::User };
    let (authorities, key_sets) =
        hierarchy.roles().iter().copied().partition::<Vec<_>, _>(|role| role.is_certificate_authority());
    let both = authorities.contains(&AuthorityRole::EtcdApi);
    let (peers, others) =
        authorities.into_iter().partition::<Vec<_>, _>(|role| both && *role == AuthorityRole::EtcdPeer);
    let peers = (!peers.is_empty()).then(|| of_user(Unit::EtcdPeer, peers));
    [of_user(Unit::Ca, others)].into_iter().chain(peers).chain([of_user(Unit::ServiceAccount, key_sets)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_authority_of_a_preset_is_in_exactly_one_unit() {
        for hierarchy in Preset::ALL.map(Hierarchy::preset) {
            let mut roles: Vec<_> = units(&hierarchy).iter().flat_map(|unit| unit.roles.to_vec()).collect();
            roles.sort_unstable();
            assert_eq!(roles, hierarchy.roles(), "{:?}", hierarchy.origin());
        }
    }

    #[test]
    fn gdcs_ca_rotation_is_limited_to_etcd_cluster_and_front_proxy() {
        let units = units(&Hierarchy::gdc());
        let ca = units.iter().find(|policy| policy.unit == Unit::Ca).unwrap();
        assert_eq!(*ca.roles, [AuthorityRole::Cluster, AuthorityRole::Etcd, AuthorityRole::FrontProxy]);
    }

    #[test]
    fn gkes_etcd_authorities_rotate_by_themselves_and_apart() {
        for policy in units(&Hierarchy::gke(Storage::Etcd)).iter() {
            let etcd = policy.roles.iter().any(|role| matches!(role, AuthorityRole::EtcdApi | AuthorityRole::EtcdPeer));
            assert_eq!(etcd, matches!(policy.unit, Unit::EtcdApi | Unit::EtcdPeer));
            if etcd {
                assert_eq!(policy.roles.len(), 1);
                assert!(matches!(policy.trigger, Trigger::Automatic { .. }));
            }
        }
    }
}
