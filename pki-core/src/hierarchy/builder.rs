//! Hierarchies from parts, with every contradiction refused.

use std::collections::BTreeMap;

use time::Duration;

use super::lifetime::BACKDATE;
use super::{Hierarchy, HierarchyError, Origin};
use crate::{AuthorityRole, ExtendedKeyUsage, LeafKind, Path, TrustSlot};

/// A hierarchy in the making: which authority issues what, and for how long.
///
/// Gardener splits its cluster CA, so that servers and clients can be rotated apart:
///
/// ```
/// use pki_core::AuthorityRole::{
///     AggregatedApi, Client, Cluster, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, Kubelet, ServiceAccount,
/// };
/// use pki_core::{Hierarchy, LeafKind, Path, ServerAuthority, TrustSlot};
/// use time::Duration;
///
/// let (ten_years, a_year) = (Duration::days(3_650), Duration::days(365));
/// let gardener = Hierarchy::builder(ten_years, a_year)
///     // `ca`, which stands in kubeconfigs: servers only.
///     .authority(Cluster, [LeafKind::ApiServer, LeafKind::Webhook])
///     // `ca-client`
///     .authority(Client, [
///         LeafKind::KubeletClient, LeafKind::ControllerManager, LeafKind::Scheduler, LeafKind::Admin,
///     ])
///     // `ca-kubelet`
///     .authority(Kubelet, [LeafKind::KubeletServing, LeafKind::ApiServerKubeletClient])
///     // `ca-metrics-server`
///     .authority(AggregatedApi, [LeafKind::AggregatedApiServer])
///     // `ca-etcd`, `ca-etcd-peer`
///     .authority(EtcdApi, [LeafKind::EtcdServer, LeafKind::ApiServerEtcdClient, LeafKind::EtcdHealthcheckClient])
///     .authority(EtcdPeer, [LeafKind::EtcdPeer])
///     // `ca-front-proxy`
///     .authority(FrontProxy, [LeafKind::FrontProxyClient])
///     // `ca-vpn`
///     .authority(Konnectivity, [
///         LeafKind::KonnectivityServer, LeafKind::KonnectivityClient, LeafKind::KonnectivityAgent,
///     ])
///     .authority(ServiceAccount, [LeafKind::ServiceAccountToken])
///     .ca_backdate(Duration::MINUTE)
///     .build()?;
///
/// // A kubelet trusts one authority in the API server and is trusted through another.
/// assert_eq!(Path::NodeApi.server_authority(&gardener), ServerAuthority::Role(Cluster));
/// assert_eq!(Path::NodeApi.server_trusts(&gardener), Some((TrustSlot::ApiServerClientCa, Client)));
/// # Ok::<(), pki_core::HierarchyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HierarchyBuilder {
    issuers: Vec<(AuthorityRole, Vec<LeafKind>)>,
    ca_lifetime: Duration,
    ca_lifetimes: Vec<(AuthorityRole, Duration)>,
    ca_backdate: Duration,
    leaf_lifetime: Duration,
    external_serving: bool,
}

impl Hierarchy {
    /// The hierarchy of a cluster that is none of the presets. Its CAs are valid for `ca_lifetime` and its leaves for
    /// `leaf_lifetime`; see [`HierarchyBuilder`] for an example.
    #[must_use]
    pub const fn builder(ca_lifetime: Duration, leaf_lifetime: Duration) -> HierarchyBuilder {
        HierarchyBuilder {
            issuers: Vec::new(),
            ca_lifetime,
            ca_lifetimes: Vec::new(),
            ca_backdate: BACKDATE,
            leaf_lifetime,
            external_serving: false,
        }
    }
}

impl HierarchyBuilder {
    /// An authority and the leaves that it issues. A role that is named again issues these leaves too.
    #[must_use]
    pub fn authority(mut self, role: AuthorityRole, leaves: impl IntoIterator<Item = LeafKind>) -> Self {
        self.issuers.push((role, leaves.into_iter().collect()));
        self
    }

    /// Another lifetime for the CA of one role.
    #[must_use]
    pub fn ca_lifetime(mut self, role: AuthorityRole, lifetime: Duration) -> Self {
        self.ca_lifetimes.push((role, lifetime));
        self
    }

    /// How far notBefore of a CA lies before its minting; five minutes unless said, as kubeadm has it.
    #[must_use]
    pub const fn ca_backdate(mut self, backdate: Duration) -> Self {
        self.ca_backdate = backdate;
        self
    }

    /// Clients outside are served by a certificate of a CA that its owner manages. See
    /// [`Hierarchy::external_serving`].
    #[must_use]
    pub const fn external_serving(mut self) -> Self {
        self.external_serving = true;
        self
    }

    /// The hierarchy, if its parts fit together.
    ///
    /// # Errors
    /// [`HierarchyError`]: the first contradiction that was found.
    pub fn build(self) -> Result<Hierarchy, HierarchyError> {
        let mut issuers = BTreeMap::new();
        for (role, leaves) in &self.issuers {
            if leaves.is_empty() {
                return Err(HierarchyError::IssuesNothing(*role));
            }
            for leaf in leaves {
                if let Some(other) = issuers.insert(*leaf, *role).filter(|other| other != role) {
                    return Err(HierarchyError::TwoIssuers { leaf: *leaf, roles: [other, *role] });
                }
            }
        }
        let mut roles: Vec<_> = issuers.values().copied().collect();
        roles.sort_unstable();
        roles.dedup();
        let authorities = roles.iter().filter(|role| role.is_certificate_authority());
        let mut ca_lifetimes: BTreeMap<_, _> = authorities.map(|role| (*role, self.ca_lifetime)).collect();
        for (role, lifetime) in self.ca_lifetimes {
            *ca_lifetimes.get_mut(&role).ok_or(HierarchyError::NoSuchAuthority(role))? = lifetime;
        }
        let hierarchy = Hierarchy {
            origin: Origin::Custom,
            roles,
            issuers,
            ca_lifetimes,
            ca_backdate: self.ca_backdate,
            leaf_lifetime: self.leaf_lifetime,
            external_serving: self.external_serving,
        };
        check(&hierarchy)?;
        Ok(hierarchy)
    }
}

/// Everything that must hold of a hierarchy beyond what its form ensures.
pub(super) fn check(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    check_lifetimes(hierarchy)?;
    check_kinds(hierarchy)?;
    check_etcd(hierarchy)?;
    check_separation(hierarchy)?;
    check_paths(hierarchy)?;
    check_slots(hierarchy)
}

fn check_lifetimes(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    let leaf = hierarchy.leaf_lifetime;
    if !leaf.is_positive() {
        return Err(HierarchyError::LeafLifetime(leaf));
    }
    if hierarchy.ca_backdate.is_negative() {
        return Err(HierarchyError::Backdate(hierarchy.ca_backdate));
    }
    // A lifetime that is not positive is shorter than every leaf's.
    match hierarchy.ca_lifetimes.iter().find(|(_, lifetime)| **lifetime < leaf) {
        Some((&role, &lifetime)) => Err(HierarchyError::CaLifetime { role, lifetime, leaf }),
        None => Ok(()),
    }
}

/// Certificates come from certificate authorities and tokens from the key set.
fn check_kinds(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    let fits = |leaf: LeafKind, role: AuthorityRole| {
        (leaf != LeafKind::ServiceAccountToken) == role.is_certificate_authority()
    };
    match hierarchy.issuers.iter().find(|(leaf, role)| !fits(**leaf, **role)) {
        Some((&leaf, &role)) => Err(HierarchyError::WrongKind { role, leaf }),
        None => Ok(()),
    }
}

/// etcd has one authority for all of it, or one for its API and one for its peers.
fn check_etcd(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    let roles = &hierarchy.roles;
    let is_part = |role: &&AuthorityRole| matches!(role, AuthorityRole::EtcdApi | AuthorityRole::EtcdPeer);
    match roles.iter().find(is_part) {
        Some(part) if roles.contains(&AuthorityRole::Etcd) => Err(HierarchyError::PartOfEtcd(*part)),
        _ => Ok(()),
    }
}

/// What etcd and the aggregation layer believe of a client, they believe of every client of that authority.
fn check_separation(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    let beside = |leaf: LeafKind, harms: &dyn Fn(LeafKind) -> bool| {
        let role = hierarchy.issuer_of(leaf)?;
        let other = hierarchy.leaves_of(role).find(|other| harms(*other))?;
        Some((role, other))
    };
    for leaf in LeafKind::ALL.into_iter().filter(|leaf| is_etcds(*leaf)) {
        if let Some((role, other)) = beside(leaf, &|other| !is_etcds(other)) {
            return Err(HierarchyError::SharedWithEtcd { role, leaf: other });
        }
    }
    let is_another_client = |other: LeafKind| {
        other != LeafKind::FrontProxyClient && other.extended_key_usage().contains(&ExtendedKeyUsage::ClientAuth)
    };
    match beside(LeafKind::FrontProxyClient, &is_another_client) {
        Some((role, leaf)) => Err(HierarchyError::SharedWithFrontProxy { role, leaf }),
        None => Ok(()),
    }
}

const fn is_etcds(leaf: LeafKind) -> bool {
    matches!(
        leaf,
        LeafKind::ApiServerEtcdClient | LeafKind::EtcdServer | LeafKind::EtcdPeer | LeafKind::EtcdHealthcheckClient
    )
}

/// Every path has an issuer at both ends, or need not be there.
fn check_paths(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    let is_issued = |leaf: LeafKind| hierarchy.issuer_of(leaf).is_some();
    // No cluster is without its API server, and where a server is, those who must reach it are.
    for path in Path::ALL {
        let server = path.endpoint().leaf().filter(|leaf| !is_issued(*leaf));
        let missing = match server {
            Some(leaf) => (path == Path::NodeApi).then_some(leaf),
            None if is_optional(path) => None,
            None => path.client_credential().leaf().filter(|leaf| !is_issued(*leaf)),
        };
        if let Some(leaf) = missing {
            return Err(HierarchyError::Hole { path, leaf });
        }
    }
    // A client needs one server at least.
    for client in LeafKind::ALL.into_iter().filter(|leaf| is_issued(*leaf)) {
        let paths = || Path::ALL.into_iter().filter(|path| path.client_credential().leaf() == Some(client));
        let missing = |path: Path| path.endpoint().leaf().filter(|leaf| !is_issued(*leaf)).map(|leaf| (path, leaf));
        if let Some((path, leaf)) = paths().find_map(missing).filter(|_| paths().all(|path| missing(path).is_some())) {
            return Err(HierarchyError::Hole { path, leaf });
        }
    }
    Ok(())
}

/// Whether a cluster may have the server of this path and not its client: administrators may come with tokens, probes
/// may stay away, the Konnectivity server may listen on a Unix socket, and one API server replica has no peer.
const fn is_optional(path: Path) -> bool {
    matches!(path, Path::AdminApi | Path::EtcdHealth | Path::KonnKas | Path::CpInternal)
}

fn check_slots(hierarchy: &Hierarchy) -> Result<(), HierarchyError> {
    let mut owners: BTreeMap<TrustSlot, AuthorityRole> = BTreeMap::new();
    for path in Path::of(hierarchy) {
        for (slot, role) in path.client_trusts(hierarchy).into_iter().chain(path.server_trusts(hierarchy)) {
            let owner = *owners.entry(slot).or_insert(role);
            if owner != role {
                return Err(HierarchyError::TwoInOneSlot { path, slot, roles: [owner, role] });
            }
        }
    }
    // The break-glass kubeconfig is on no path, and is verified from the administrator's slot all the same.
    let slot = TrustSlot::ApiServerClientCa;
    match (owners.get(&slot), hierarchy.issuer_of(LeafKind::SuperAdmin)) {
        (Some(&owner), Some(role)) if owner != role => {
            Err(HierarchyError::TwoInOneSlot { path: Path::AdminApi, slot, roles: [owner, role] })
        }
        _ => Ok(()),
    }
}

/// The least that a cluster needs: an API server and those who must reach it.
#[cfg(test)]
pub(super) fn smallest() -> HierarchyBuilder {
    let clients = [LeafKind::KubeletClient, LeafKind::ControllerManager, LeafKind::Scheduler];
    Hierarchy::builder(Duration::days(3_650), Duration::days(365))
        .authority(AuthorityRole::Cluster, [LeafKind::ApiServer])
        .authority(AuthorityRole::Cluster, clients)
        .authority(AuthorityRole::ServiceAccount, [LeafKind::ServiceAccountToken])
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthorityRole::{Client, Cluster, Etcd, EtcdPeer, FrontProxy, Konnectivity, Kubelet, ServiceAccount};

    const ETCD_API: [LeafKind; 2] = [LeafKind::EtcdServer, LeafKind::ApiServerEtcdClient];

    #[track_caller]
    fn refused(builder: HierarchyBuilder, expected: HierarchyError, message: &str) {
        let error = builder.build().unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn the_least_cluster_has_its_two_authorities_and_says_that_it_is_custom() {
        let least = smallest().build().unwrap();
        assert_eq!(least.roles(), [Cluster, ServiceAccount]);
        assert_eq!(least.origin(), Origin::Custom);
        assert_eq!(least.ca_lifetime(Cluster), Some(Duration::days(3_650)));
        assert_eq!(least.leaf_lifetime(), Duration::days(365));
        assert_eq!(least.ca_backdate(), Duration::minutes(5));
        assert!(!least.external_serving());
        assert!(smallest().external_serving().build().unwrap().external_serving());
        // Reached through nothing but tokens and the two clients of the control plane.
        let paths: Vec<_> = Path::of(&least).collect();
        let reached = [Path::NodeApi, Path::NodeBootstrap, Path::PodApi, Path::KcmApi, Path::SchedApi];
        assert_eq!(paths, [&reached[..], &[Path::ApiProxyHttps]].concat());
    }

    #[test]
    fn each_authority_may_have_a_lifetime_of_its_own() {
        let built = smallest()
            .authority(Etcd, ETCD_API)
            .ca_lifetime(Etcd, Duration::days(1_825))
            .ca_backdate(Duration::MINUTE)
            .build()
            .unwrap();
        assert_eq!(built.ca_lifetime(Cluster), Some(Duration::days(3_650)));
        assert_eq!(built.ca_lifetime(Etcd), Some(Duration::days(1_825)));
        assert_eq!(built.ca_backdate(), Duration::MINUTE);
    }

    #[test]
    fn an_authority_that_issues_nothing_is_refused() {
        let message = "`konnectivity` has no leaf to issue";
        refused(smallest().authority(Konnectivity, []), HierarchyError::IssuesNothing(Konnectivity), message);
    }

    #[test]
    fn a_lifetime_of_an_authority_that_is_not_there_is_refused() {
        for role in [Etcd, ServiceAccount] {
            let message =
                format!("a lifetime is given for `{role}`, which is no certificate authority of the hierarchy");
            let builder = smallest().ca_lifetime(role, Duration::days(3_650));
            refused(builder, HierarchyError::NoSuchAuthority(role), &message);
        }
    }

    #[test]
    fn a_leaf_of_two_authorities_is_refused_and_one_named_twice_is_not() {
        let leaf = LeafKind::Scheduler;
        let message = "`scheduler` is given to two authorities: `cluster`, `client`";
        let expected = HierarchyError::TwoIssuers { leaf, roles: [Cluster, Client] };
        refused(smallest().authority(Client, [leaf]), expected, message);
        assert!(smallest().authority(Cluster, [leaf]).build().is_ok());
    }

    #[test]
    fn certificates_and_tokens_have_different_issuers() {
        let expected = HierarchyError::WrongKind { role: ServiceAccount, leaf: LeafKind::Admin };
        let message = "`service-account` is a key set and cannot issue `admin`";
        refused(smallest().authority(ServiceAccount, [LeafKind::Admin]), expected, message);

        let clients = [LeafKind::KubeletClient, LeafKind::ControllerManager, LeafKind::Scheduler];
        let builder = Hierarchy::builder(Duration::days(2), Duration::DAY)
            .authority(Cluster, clients)
            .authority(Cluster, [LeafKind::ApiServer, LeafKind::ServiceAccountToken]);
        let expected = HierarchyError::WrongKind { role: Cluster, leaf: LeafKind::ServiceAccountToken };
        refused(builder, expected, "`cluster` is a certificate authority and cannot issue `service-account-token`");
    }

    #[test]
    fn a_cluster_without_its_api_server_or_those_who_must_reach_it_is_refused() {
        let empty = Hierarchy::builder(Duration::days(2), Duration::DAY);
        let expected = HierarchyError::Hole { path: Path::NodeApi, leaf: LeafKind::ApiServer };
        refused(empty, expected, "the path `node-api` needs a `apiserver`, and nobody issues it");

        let needed = [
            (Path::NodeApi, LeafKind::KubeletClient),
            (Path::PodApi, LeafKind::ServiceAccountToken),
            (Path::KcmApi, LeafKind::ControllerManager),
            (Path::SchedApi, LeafKind::Scheduler),
        ];
        for (path, leaf) in needed {
            let mut builder = smallest();
            builder.issuers.iter_mut().for_each(|(_, leaves)| leaves.retain(|issued| *issued != leaf));
            builder.issuers.retain(|(_, leaves)| !leaves.is_empty());
            assert_eq!(builder.build().unwrap_err(), HierarchyError::Hole { path, leaf });
        }
    }

    #[test]
    fn a_server_without_its_client_and_a_client_without_its_server_are_holes() {
        let holes = [
            (Etcd, LeafKind::EtcdServer, Path::ApiEtcd, LeafKind::ApiServerEtcdClient),
            (Etcd, LeafKind::ApiServerEtcdClient, Path::ApiEtcd, LeafKind::EtcdServer),
            (Etcd, LeafKind::EtcdHealthcheckClient, Path::EtcdHealth, LeafKind::EtcdServer),
            (Kubelet, LeafKind::KubeletServing, Path::ApiKubelet, LeafKind::ApiServerKubeletClient),
            (Kubelet, LeafKind::ApiServerKubeletClient, Path::ApiKubelet, LeafKind::KubeletServing),
            (Konnectivity, LeafKind::KonnectivityServer, Path::KonnAgent, LeafKind::KonnectivityAgent),
            (Konnectivity, LeafKind::KonnectivityAgent, Path::KonnAgent, LeafKind::KonnectivityServer),
            (Konnectivity, LeafKind::KonnectivityClient, Path::KonnKas, LeafKind::KonnectivityServer),
            (Cluster, LeafKind::AggregatedApiServer, Path::FrontProxy, LeafKind::FrontProxyClient),
        ];
        for (role, issued, path, leaf) in holes {
            let error = smallest().authority(role, [issued]).build().unwrap_err();
            assert_eq!(error, HierarchyError::Hole { path, leaf }, "{issued}");
        }
        // Replicas of the API server reach each other with it.
        assert!(smallest().authority(FrontProxy, [LeafKind::FrontProxyClient]).build().is_ok());
        assert!(smallest().authority(EtcdPeer, [LeafKind::EtcdPeer]).build().is_ok());
    }

    #[test]
    fn one_slot_cannot_hold_two_authorities() {
        // An administrator and a kubelet are verified from one file.
        let expected = HierarchyError::TwoInOneSlot {
            path: Path::AdminApi,
            slot: TrustSlot::ApiServerClientCa,
            roles: [Cluster, Client],
        };
        let message = "a trust slot on the path `admin-api` would have to hold two authorities: `cluster`, `client`";
        refused(smallest().authority(Client, [LeafKind::Admin]), expected, message);
    }

    #[test]
    fn the_break_glass_leaf_is_of_the_authority_that_the_api_server_verifies_clients_with() {
        let leaf = LeafKind::SuperAdmin;
        let expected = HierarchyError::TwoInOneSlot {
            path: Path::AdminApi,
            slot: TrustSlot::ApiServerClientCa,
            roles: [Cluster, Konnectivity],
        };
        let message =
            "a trust slot on the path `admin-api` would have to hold two authorities: `cluster`, `konnectivity`";
        refused(smallest().authority(Konnectivity, [leaf]), expected, message);
        // With the administrator or without.
        assert!(smallest().authority(Cluster, [leaf]).build().is_ok());
        assert!(smallest().authority(Cluster, [leaf, LeafKind::Admin]).build().is_ok());
    }

    #[test]
    fn etcd_shares_its_authority_with_nobody() {
        let expected = HierarchyError::SharedWithEtcd { role: Cluster, leaf: LeafKind::ApiServer };
        let message = "`cluster` vouches for etcd's clients and cannot issue `apiserver` as well";
        refused(smallest().authority(Cluster, ETCD_API), expected, message);
        refused(smallest().authority(Cluster, [LeafKind::EtcdPeer]), expected, message);
        let both = smallest().authority(Etcd, ETCD_API).authority(Etcd, [LeafKind::EtcdPeer]);
        assert!(both.build().is_ok());
    }

    #[test]
    fn etcd_has_one_authority_or_one_for_each_of_its_ports() {
        use AuthorityRole::EtcdApi;
        let peers = [LeafKind::EtcdPeer];
        let message =
            |part: AuthorityRole| format!("`{part}` stands beside `etcd`, which is the authority of all of etcd");
        let beside = smallest().authority(Etcd, ETCD_API).authority(EtcdPeer, peers);
        refused(beside, HierarchyError::PartOfEtcd(EtcdPeer), &message(EtcdPeer));
        let beside = smallest().authority(EtcdApi, ETCD_API).authority(Etcd, peers);
        refused(beside, HierarchyError::PartOfEtcd(EtcdApi), &message(EtcdApi));
        assert!(smallest().authority(EtcdApi, ETCD_API).authority(EtcdPeer, peers).build().is_ok());
    }

    #[test]
    fn the_front_proxy_shares_its_authority_with_no_other_client() {
        let shared = smallest().authority(Cluster, [LeafKind::FrontProxyClient]);
        let expected = HierarchyError::SharedWithFrontProxy { role: Cluster, leaf: LeafKind::ControllerManager };
        let message = "`cluster` vouches for the front proxy and cannot issue `controller-manager` as well";
        refused(shared, expected, message);
        // A server's certificate names no user.
        let aggregated = [LeafKind::FrontProxyClient, LeafKind::AggregatedApiServer];
        assert!(smallest().authority(FrontProxy, aggregated).build().is_ok());
    }

    #[test]
    fn lifetimes_are_positive_and_no_leaf_is_meant_to_outlive_its_authority() {
        let builder = |ca: Duration, leaf: Duration| {
            let parts = smallest();
            HierarchyBuilder { issuers: parts.issuers, ..Hierarchy::builder(ca, leaf) }
        };
        let year = Duration::days(365);
        for leaf in [Duration::ZERO, -Duration::DAY] {
            assert_eq!(builder(year, leaf).build().unwrap_err(), HierarchyError::LeafLifetime(leaf));
        }
        assert!(builder(year, year).build().is_ok());
        for ca in [year - Duration::SECOND, Duration::ZERO, -year] {
            let expected = HierarchyError::CaLifetime { role: Cluster, lifetime: ca, leaf: year };
            assert_eq!(builder(ca, year).build().unwrap_err(), expected);
            assert_eq!(builder(year, year).ca_lifetime(Cluster, ca).build().unwrap_err(), expected);
        }
        let message = "the lifetime of `cluster` is shorter than its leaves': 1d of 2d";
        let expected = HierarchyError::CaLifetime { role: Cluster, lifetime: Duration::DAY, leaf: 2 * Duration::DAY };
        refused(builder(Duration::DAY, 2 * Duration::DAY), expected, message);
    }

    #[test]
    fn the_backdating_does_not_lie_ahead() {
        let expected = HierarchyError::Backdate(-Duration::SECOND);
        refused(smallest().ca_backdate(-Duration::SECOND), expected, "the backdating is negative: -1s");
        assert!(smallest().ca_backdate(Duration::ZERO).build().is_ok());
    }
}
