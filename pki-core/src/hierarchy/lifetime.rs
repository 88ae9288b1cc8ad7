//! How long authorities are valid: each platform's rules, as data.
//!
//! GKE states its dates as "about October 2021" and "about January 2022". The first day of the month, in UTC, is the
//! reading chosen here; a root minted within weeks of either may be either kind, and its certificate decides.

use time::{Duration, UtcDateTime};

use super::{Hierarchy, Origin, Preset};
use crate::AuthorityRole;

const YEAR: Duration = Duration::days(365);

/// 2021-10-01T00:00:00Z: GKE clusters created since have a root of thirty years.
const GKE_CREATION: UtcDateTime = UtcDateTime::UNIX_EPOCH.saturating_add(Duration::seconds(1_633_046_400));
/// 2022-01-01T00:00:00Z: GKE clusters rotated since have a root of thirty years, whenever they were created.
const GKE_ROTATION: UtcDateTime = UtcDateTime::UNIX_EPOCH.saturating_add(Duration::seconds(1_640_995_200));

/// kubeadm's default for leaves (`constants.CertificateValidityPeriod`), and that of kube-controller-manager's
/// `--cluster-signing-duration`.
pub(super) const LEAF_LIFETIME: Duration = Duration::hours(8_760);

/// What kubeadm and kube-controller-manager take off notBefore.
pub(super) const BACKDATE: Duration = Duration::minutes(5);

/// When the CA of a cluster came to be, as far as the rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minted {
    cluster_created: UtcDateTime,
    last_rotated: Option<UtcDateTime>,
}

impl Minted {
    /// With its cluster, and not rotated since.
    #[must_use]
    pub const fn with_cluster(created: UtcDateTime) -> Self {
        Self { cluster_created: created, last_rotated: None }
    }

    /// By the last rotation of its cluster.
    #[must_use]
    pub const fn by_rotation(cluster_created: UtcDateTime, last_rotated: UtcDateTime) -> Self {
        Self { cluster_created, last_rotated: Some(last_rotated) }
    }
}

/// When a [`LifetimeRule`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LifetimeCondition {
    /// For every CA.
    Always,
    /// For the CA of a cluster that was created then or later.
    CreatedSince(UtcDateTime),
    /// For the CA of a cluster that was last rotated then or later.
    RotatedSince(UtcDateTime),
}

impl LifetimeCondition {
    fn holds(self, minted: Minted) -> bool {
        match self {
            Self::Always => true,
            Self::CreatedSince(date) => minted.cluster_created >= date,
            Self::RotatedSince(date) => minted.last_rotated.is_some_and(|rotated| rotated >= date),
        }
    }
}

/// How long the CAs of a platform are valid: one line of [`Preset::lifetime_rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifetimeRule {
    /// Which authority; `None` for every one that no earlier rule names.
    pub role: Option<AuthorityRole>,
    /// When it holds.
    pub condition: LifetimeCondition,
    /// How long after its minting the CA is valid.
    pub lifetime: Duration,
    /// Who says so.
    pub source: &'static str,
}

const fn rule(
    role: Option<AuthorityRole>,
    condition: LifetimeCondition,
    lifetime: Duration,
    source: &'static str,
) -> LifetimeRule {
    LifetimeRule { role, condition, lifetime, source }
}

const GKE: &[LifetimeRule] = &[
    // 10,950 days: a root of notBefore 2023-03-17 16:45:34 has notAfter 2053-03-09 17:45:34, an hour of it backdated.
    rule(
        Some(AuthorityRole::Cluster),
        LifetimeCondition::RotatedSince(GKE_ROTATION),
        YEAR.saturating_mul(30),
        "GKE, Rotate your cluster credentials: rotated after about January 2022",
    ),
    rule(
        Some(AuthorityRole::Cluster),
        LifetimeCondition::CreatedSince(GKE_CREATION),
        YEAR.saturating_mul(30),
        "GKE, Rotate your cluster credentials: created after about October 2021",
    ),
    rule(
        Some(AuthorityRole::Cluster),
        LifetimeCondition::Always,
        YEAR.saturating_mul(5),
        "GKE, Rotate your cluster credentials: created before about October 2021",
    ),
    rule(
        None,
        LifetimeCondition::Always,
        YEAR.saturating_mul(5),
        "GKE, Cluster trust: the etcd CAs. Front-proxy and Konnectivity, of which it says nothing, follow them",
    ),
];

const GDC: &[LifetimeRule] = &[rule(
    None,
    LifetimeCondition::Always,
    YEAR.saturating_mul(5),
    "Google Distributed Cloud, Rotate user cluster certificate authorities",
)];

const KUBEADM: &[LifetimeRule] = &[rule(
    None,
    LifetimeCondition::Always,
    Duration::hours(87_600),
    "kubernetes/kubernetes cmd/kubeadm/app/constants: CACertificateValidityPeriod",
)];

impl Preset {
    /// How long the CAs of this platform are valid. Of the rules that name an authority and hold, the first decides.
    #[must_use]
    pub const fn lifetime_rules(self) -> &'static [LifetimeRule] {
        match self {
            Self::Gke(_) => GKE,
            Self::Gdc => GDC,
            Self::Kubeadm => KUBEADM,
        }
    }

    fn ca_lifetime_of(self, role: AuthorityRole, minted: Minted) -> Option<Duration> {
        let names = |rule: &&LifetimeRule| rule.role.is_none_or(|named| named == role);
        self.lifetime_rules().iter().filter(names).find(|rule| rule.condition.holds(minted)).map(|rule| rule.lifetime)
    }

    /// Of a CA minted after every date of the rules.
    pub(super) fn newest_ca_lifetime(self, role: AuthorityRole) -> Option<Duration> {
        self.ca_lifetime_of(role, Minted::with_cluster(UtcDateTime::MAX))
    }
}

impl Hierarchy {
    /// How long a CA of this role is valid that was minted then, by the rules of its platform; `None` as for
    /// [`ca_lifetime`](Self::ca_lifetime). A hierarchy built from parts has one lifetime for all times.
    #[must_use]
    pub fn ca_lifetime_of(&self, role: AuthorityRole, minted: Minted) -> Option<Duration> {
        let newest = self.ca_lifetime(role)?;
        match self.origin {
            Origin::Preset(preset) => preset.ca_lifetime_of(role, minted),
            Origin::Custom => Some(newest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeafKind, Storage};
    use AuthorityRole::{Cluster, Etcd, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, ServiceAccount};

    const FIVE_YEARS: Option<Duration> = Some(Duration::days(1_825));
    const THIRTY_YEARS: Option<Duration> = Some(Duration::days(10_950));
    const SECOND: Duration = Duration::SECOND;

    #[test]
    fn the_dates_of_gke_are_the_first_of_the_month() {
        assert_eq!(GKE_CREATION.to_string(), "2021-10-01 0:00:00.0 +00");
        assert_eq!(GKE_ROTATION.to_string(), "2022-01-01 0:00:00.0 +00");
    }

    #[test]
    fn a_gke_root_lives_five_years_until_the_date_of_creation_and_thirty_from_it_on() {
        let gke = Hierarchy::gke(Storage::Etcd);
        let lifetime = |created| gke.ca_lifetime_of(Cluster, Minted::with_cluster(created));
        assert_eq!(lifetime(GKE_CREATION - SECOND), FIVE_YEARS);
        assert_eq!(lifetime(GKE_CREATION), THIRTY_YEARS);
        // The date of the other rule has no part in a cluster that was never rotated.
        assert_eq!(lifetime(GKE_ROTATION - SECOND), THIRTY_YEARS);
    }

    #[test]
    fn a_rotation_gives_an_old_gke_cluster_a_root_of_thirty_years_from_its_date_on() {
        let gke = Hierarchy::gke(Storage::Spanner);
        let old = GKE_CREATION - SECOND;
        let lifetime = |created, rotated| gke.ca_lifetime_of(Cluster, Minted::by_rotation(created, rotated));
        assert_eq!(lifetime(old, GKE_CREATION), FIVE_YEARS);
        assert_eq!(lifetime(old, GKE_ROTATION - SECOND), FIVE_YEARS);
        assert_eq!(lifetime(old, GKE_ROTATION), THIRTY_YEARS);
        // Creation or rotation: either suffices.
        assert_eq!(lifetime(GKE_CREATION, GKE_ROTATION - SECOND), THIRTY_YEARS);
    }

    #[test]
    fn every_other_authority_of_gke_and_all_of_gdc_live_five_years_whenever_minted() {
        for created in [UtcDateTime::UNIX_EPOCH, GKE_CREATION, UtcDateTime::MAX] {
            let gke = Hierarchy::gke(Storage::Etcd);
            for role in [EtcdApi, EtcdPeer, FrontProxy, Konnectivity] {
                assert_eq!(gke.ca_lifetime_of(role, Minted::with_cluster(created)), FIVE_YEARS, "{role}");
            }
            let gdc = Hierarchy::gdc();
            for role in [Cluster, Etcd, FrontProxy] {
                assert_eq!(gdc.ca_lifetime_of(role, Minted::with_cluster(created)), FIVE_YEARS, "{role}");
            }
        }
    }

    #[test]
    fn kubeadms_authorities_live_ten_years_and_every_presets_leaves_one() {
        let kubeadm = Hierarchy::kubeadm();
        let epoch = Minted::with_cluster(UtcDateTime::UNIX_EPOCH);
        for role in [Cluster, Etcd, FrontProxy] {
            assert_eq!(kubeadm.ca_lifetime_of(role, epoch), Some(Duration::hours(87_600)));
        }
        for preset in Preset::ALL {
            assert_eq!(Hierarchy::preset(preset).leaf_lifetime(), Duration::hours(8_760), "{preset}");
        }
    }

    #[test]
    fn neither_a_key_set_nor_an_absent_authority_has_a_lifetime() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            let now = Minted::with_cluster(GKE_CREATION);
            for role in AuthorityRole::ALL {
                let expected = hierarchy.roles().contains(&role) && role != ServiceAccount;
                assert_eq!(hierarchy.ca_lifetime(role).is_some(), expected, "{preset} {role}");
                assert_eq!(hierarchy.ca_lifetime_of(role, now).is_some(), expected, "{preset} {role}");
            }
        }
    }

    #[test]
    fn a_built_hierarchy_has_one_lifetime_for_all_times() {
        let role = Cluster;
        let built = super::super::builder::smallest().ca_lifetime(role, Duration::days(700)).build().unwrap();
        assert_eq!(built.issuer_of(LeafKind::ApiServer), Some(role));
        for created in [UtcDateTime::UNIX_EPOCH, UtcDateTime::MAX] {
            assert_eq!(built.ca_lifetime_of(role, Minted::with_cluster(created)), Some(Duration::days(700)));
        }
    }
}
