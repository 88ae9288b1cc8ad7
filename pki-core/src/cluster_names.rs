//! What a control-plane node and its cluster are called, and which alternative names follow from it.
//!
//! The rules are kubeadm 1.36's: `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` for the names,
//! `cmd/kubeadm/app/constants/constants.go` for the defaults.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::name::{DnsName, NameError, NodeName, SubjectAltName};
use crate::{LeafKind, Limits};

mod endpoint;
mod service;

pub use endpoint::{ApiServerEndpoint, EndpointError};
pub use service::{ServiceCidrError, ServiceCidrErrorKind, ServiceCidrs};

/// kubeadm's default for the cluster's DNS domain.
const DNS_DOMAIN: &str = "cluster.local";

/// What names are derived from, not compared with each other yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterNamesSpec {
    /// The control-plane node, which is also the name of its etcd member.
    pub node: NodeName,
    /// The address at which other nodes reach this API server and etcd member.
    pub advertise_address: IpAddr,
    /// Where services get their virtual addresses from; by default 10.96.0.0/12.
    pub service_cidrs: ServiceCidrs,
    /// The domain of services; `cluster.local` unless given.
    pub dns_domain: Option<DnsName>,
    /// Where clients find the API servers, if that is not this node.
    pub endpoint: Option<ApiServerEndpoint>,
    /// More names of the API server.
    pub api_server_names: Vec<SubjectAltName>,
    /// More names of the etcd member on its client port.
    pub etcd_server_names: Vec<SubjectAltName>,
    /// More names of the etcd member on its peer port.
    pub etcd_peer_names: Vec<SubjectAltName>,
}

impl ClusterNamesSpec {
    /// A node and its address, and kubeadm's defaults for everything else.
    #[must_use]
    pub fn new(node: NodeName, advertise_address: IpAddr) -> Self {
        Self {
            node,
            advertise_address,
            service_cidrs: ServiceCidrs::default(),
            dns_domain: None,
            endpoint: None,
            api_server_names: Vec::new(),
            etcd_server_names: Vec::new(),
            etcd_peer_names: Vec::new(),
        }
    }
}

/// The names of a control-plane node and its cluster, which do not contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNames {
    node: NodeName,
    advertise_address: IpAddr,
    service_cidrs: ServiceCidrs,
    dns_domain: DnsName,
    endpoint: ApiServerEndpoint,
    local_endpoint: ApiServerEndpoint,
    api_server: Vec<SubjectAltName>,
    etcd_server: Vec<SubjectAltName>,
    etcd_peer: Vec<SubjectAltName>,
    konnectivity_server: Vec<SubjectAltName>,
    kubelet_serving: Vec<SubjectAltName>,
}

impl ClusterNames {
    /// Derives the names.
    ///
    /// # Errors
    /// [`ClusterNamesError`], when a name is not a name of its kind, two of them exclude each other, or a leaf would have
    /// more names than are ever signed.
    pub fn new(spec: ClusterNamesSpec) -> Result<Self, ClusterNamesError> {
        let ClusterNamesSpec { node, advertise_address, service_cidrs, .. } = spec;
        check_advertise_address(advertise_address, &service_cidrs)?;
        let dns_domain = spec.dns_domain.map_or_else(|| DNS_DOMAIN.parse(), Ok)?;
        let node_name = SubjectAltName::dns(node.as_str())?;
        let advertised = SubjectAltName::ip(advertise_address)?;
        let local_endpoint = ApiServerEndpoint::new(advertised.clone(), ApiServerEndpoint::DEFAULT_PORT);
        let endpoint = spec.endpoint.unwrap_or_else(|| local_endpoint.clone());
        if let SubjectAltName::Ip(address) = endpoint.host() {
            check_not_virtual(*address, &service_cidrs)?;
        }

        let mut api_server = vec![node_name.clone()];
        let service = "kubernetes.default.svc";
        for name in ["kubernetes", "kubernetes.default", service, &format!("{service}.{dns_domain}")] {
            api_server.push(SubjectAltName::dns(name)?);
        }
        for address in service_cidrs.api_server_addresses() {
            api_server.push(SubjectAltName::ip(address)?);
        }
        api_server.extend([advertised.clone(), endpoint.host().clone()]);
        api_server.extend(spec.api_server_names);

        let kubelet_serving = vec![node_name, advertised];
        let mut member = kubelet_serving.clone();
        member.push(SubjectAltName::dns("localhost")?);
        for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            member.push(SubjectAltName::ip(loopback)?);
        }
        let member_and = |leaf, more: Vec<_>| distinct(leaf, member.iter().cloned().chain(more));
        Ok(Self {
            node,
            advertise_address,
            service_cidrs,
            dns_domain,
            api_server: distinct(LeafKind::ApiServer, api_server)?,
            etcd_server: member_and(LeafKind::EtcdServer, spec.etcd_server_names)?,
            etcd_peer: member_and(LeafKind::EtcdPeer, spec.etcd_peer_names)?,
            konnectivity_server: member_and(LeafKind::KonnectivityServer, vec![endpoint.host().clone()])?,
            kubelet_serving,
            endpoint,
            local_endpoint,
        })
    }

    /// The control-plane node.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.node
    }

    /// The address at which other nodes reach this node.
    #[must_use]
    pub const fn advertise_address(&self) -> IpAddr {
        self.advertise_address
    }

    /// Where services get their virtual addresses from.
    #[must_use]
    pub const fn service_cidrs(&self) -> &ServiceCidrs {
        &self.service_cidrs
    }

    /// The domain of services.
    #[must_use]
    pub const fn dns_domain(&self) -> &DnsName {
        &self.dns_domain
    }

    /// Where administrators and the kubelets of workers find the API servers: the control plane's endpoint, or this node.
    #[must_use]
    pub const fn endpoint(&self) -> &ApiServerEndpoint {
        &self.endpoint
    }

    /// Where kube-controller-manager, kube-scheduler and the kubelet of this node find the node's own API server.
    #[must_use]
    pub const fn local_endpoint(&self) -> &ApiServerEndpoint {
        &self.local_endpoint
    }

    /// The node's name where a leaf's subject has one, for [`LeafKind::subject`].
    #[must_use]
    pub fn node_of(&self, leaf: LeafKind) -> Option<&NodeName> {
        leaf.subject(None).is_none().then_some(&self.node)
    }

    /// The alternative names of a leaf of this node, each once: none for clients, and none for servers that are no
    /// part of a control-plane node (webhooks, aggregated API servers).
    ///
    /// The Konnectivity server has those of an etcd member and the control plane's endpoint, at which agents dial it.
    #[must_use]
    pub fn subject_alt_names(&self, leaf: LeafKind) -> Vec<SubjectAltName> {
        match leaf {
            LeafKind::ApiServer => self.api_server.clone(),
            LeafKind::EtcdServer => self.etcd_server.clone(),
            LeafKind::EtcdPeer => self.etcd_peer.clone(),
            LeafKind::KonnectivityServer => self.konnectivity_server.clone(),
            LeafKind::KubeletServing => self.kubelet_serving.clone(),
            _ => Vec::new(),
        }
    }
}

/// Keeps the first of equal names, of as many as a request may hold.
fn distinct(
    leaf: LeafKind,
    names: impl IntoIterator<Item = SubjectAltName>,
) -> Result<Vec<SubjectAltName>, ClusterNamesError> {
    let max = Limits::DEFAULT.subject_alt_names_max;
    let mut distinct: Vec<SubjectAltName> = Vec::new();
    for name in names {
        if distinct.contains(&name) {
            continue;
        }
        if distinct.len() == max {
            return Err(ClusterNamesError::TooManyNames { leaf, max });
        }
        distinct.push(name);
    }
    Ok(distinct)
}

/// kubeadm advertises global unicast addresses only; kube-apiserver does not start when the first service range is of
/// another family than its public address (`cmd/kube-apiserver/app/options/validation.go`).
fn check_advertise_address(address: IpAddr, services: &ServiceCidrs) -> Result<(), ClusterNamesError> {
    let is_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if is_local || address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Err(ClusterNamesError::AdvertiseAddress(address));
    }
    let primary = services.primary();
    if address.is_ipv4() != primary.addr().is_ipv4() {
        return Err(ClusterNamesError::AddressFamily { address, primary });
    }
    check_not_virtual(address, services)
}

fn check_not_virtual(address: IpAddr, services: &ServiceCidrs) -> Result<(), ClusterNamesError> {
    match services.iter().find(|range| range.contains(&address)) {
        Some(range) => Err(ClusterNamesError::VirtualAddress { address, range }),
        None => Ok(()),
    }
}

/// Why there are no [`ClusterNames`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterNamesError {
    /// A text is not the name it should be, such as a node's name that is an address.
    Name(NameError),
    /// The address to advertise is not one that other nodes can reach.
    AdvertiseAddress(IpAddr),
    /// The address to advertise and the first service range are of two families.
    AddressFamily {
        /// The address.
        address: IpAddr,
        /// The first service range.
        primary: IpNet,
    },
    /// A leaf would have more names than the default of [`Limits::subject_alt_names_max`], which no issuer would sign.
    TooManyNames {
        /// The leaf, for which more names were given than there is room for beside those of every cluster.
        leaf: LeafKind,
        /// The limit.
        max: usize,
    },
    /// The address of a machine lies in a range of virtual addresses.
    VirtualAddress {
        /// The address.
        address: IpAddr,
        /// The service range.
        range: IpNet,
    },
}

impl fmt::Display for ClusterNamesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "{error}"),
            Self::AdvertiseAddress(address) => {
                write!(f, "`{address}` cannot be advertised: kubeadm takes global unicast addresses only")
            }
            Self::AddressFamily { address, primary } => write!(
                f,
                "the advertised address `{address}` and the first service range `{primary}` are of two IP families: kube-apiserver does not start with them"
            ),
            Self::TooManyNames { leaf, max } => {
                write!(f, "the certificate `{leaf}` would have more than {max} alternative names, the limit")
            }
            Self::VirtualAddress { address, range } => {
                write!(f, "`{address}` lies in the service range `{range}`, whose addresses belong to no machine")
            }
        }
    }
}

impl core::error::Error for ClusterNamesError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Name(error) => Some(error),
            _ => None,
        }
    }
}

impl From<NameError> for ClusterNamesError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ClusterNamesSpec {
        ClusterNamesSpec::new("control-plane-1".parse().unwrap(), "192.0.2.10".parse().unwrap())
    }

    fn names(names: &ClusterNames, leaf: LeafKind) -> Vec<String> {
        names.subject_alt_names(leaf).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_names_of_the_default_cluster_are_kubeadms() {
        let cluster = ClusterNames::new(spec()).unwrap();
        assert_eq!(
            names(&cluster, LeafKind::ApiServer),
            [
                "DNS:control-plane-1",
                "DNS:kubernetes",
                "DNS:kubernetes.default",
                "DNS:kubernetes.default.svc",
                "DNS:kubernetes.default.svc.cluster.local",
                "IP:10.96.0.1",
                "IP:192.0.2.10",
            ]
        );
        let member = ["DNS:control-plane-1", "IP:192.0.2.10", "DNS:localhost", "IP:127.0.0.1", "IP:::1"];
        for leaf in [LeafKind::EtcdServer, LeafKind::EtcdPeer, LeafKind::KonnectivityServer] {
            assert_eq!(names(&cluster, leaf), member, "{leaf}");
        }
        assert_eq!(names(&cluster, LeafKind::KubeletServing), ["DNS:control-plane-1", "IP:192.0.2.10"]);
        assert_eq!(cluster.endpoint().to_string(), "https://192.0.2.10:6443");
    }

    #[test]
    fn only_servers_have_alternative_names() {
        let cluster = ClusterNames::new(spec()).unwrap();
        let elsewhere = [LeafKind::Webhook, LeafKind::AggregatedApiServer];
        for leaf in LeafKind::ALL.into_iter().filter(|leaf| !elsewhere.contains(leaf)) {
            assert_eq!(cluster.subject_alt_names(leaf).is_empty(), !leaf.has_subject_alt_names(), "{leaf}");
        }
    }

    #[test]
    fn a_leaf_gets_the_node_exactly_where_its_subject_needs_one() {
        let cluster = ClusterNames::new(spec()).unwrap();
        for leaf in LeafKind::ALL.into_iter().filter(|leaf| *leaf != LeafKind::ServiceAccountToken) {
            assert!(leaf.subject(cluster.node_of(leaf)).is_some(), "{leaf}");
        }
    }

    #[test]
    fn more_names_go_to_their_own_leaf_and_repeat_nothing() {
        let mut spec = spec();
        spec.dns_domain = Some("example.internal".parse().unwrap());
        spec.endpoint = Some("api.example.com:443".parse().unwrap());
        spec.api_server_names = vec![SubjectAltName::dns("kubernetes").unwrap(), SubjectAltName::dns("a").unwrap()];
        spec.etcd_server_names = vec![SubjectAltName::dns("b").unwrap()];
        spec.etcd_peer_names = vec![SubjectAltName::dns("c").unwrap()];
        let cluster = ClusterNames::new(spec).unwrap();
        assert_eq!(
            names(&cluster, LeafKind::ApiServer)[4..],
            [
                "DNS:kubernetes.default.svc.example.internal",
                "IP:10.96.0.1",
                "IP:192.0.2.10",
                "DNS:api.example.com",
                "DNS:a"
            ]
        );
        assert_eq!(names(&cluster, LeafKind::EtcdServer).last().unwrap(), "DNS:b");
        assert_eq!(names(&cluster, LeafKind::EtcdPeer).last().unwrap(), "DNS:c");
        assert_eq!(names(&cluster, LeafKind::KonnectivityServer).last().unwrap(), "DNS:api.example.com");
        assert_eq!(cluster.endpoint().to_string(), "https://api.example.com:443");
        assert_eq!(cluster.local_endpoint().to_string(), "https://192.0.2.10:6443");
    }

    #[test]
    fn two_families_give_the_api_server_two_virtual_addresses() {
        let mut spec = spec();
        spec.service_cidrs = "10.96.0.0/16,fd00:1::/112".parse().unwrap();
        let cluster = ClusterNames::new(spec).unwrap();
        let names = names(&cluster, LeafKind::ApiServer);
        assert!(names.contains(&"IP:10.96.0.1".to_owned()) && names.contains(&"IP:fd00:1::1".to_owned()), "{names:?}");
    }

    #[test]
    fn a_leaf_gets_as_many_names_as_a_request_may_hold_and_not_one_more() {
        type Extend = fn(&mut ClusterNamesSpec, Vec<SubjectAltName>);
        let lists: [(LeafKind, Extend); 3] = [
            (LeafKind::ApiServer, |spec, names| spec.api_server_names = names),
            (LeafKind::EtcdServer, |spec, names| spec.etcd_server_names = names),
            (LeafKind::EtcdPeer, |spec, names| spec.etcd_peer_names = names),
        ];
        for (leaf, extend) in lists {
            let max = Limits::DEFAULT.subject_alt_names_max;
            let room = max - ClusterNames::new(spec()).unwrap().subject_alt_names(leaf).len();
            let with = |count: usize| {
                let mut spec = spec();
                // Each one twice: a name that is there already takes no room.
                let more = (0..count).map(|number| SubjectAltName::dns(&format!("n{number}")).unwrap());
                extend(&mut spec, more.clone().chain(more).collect());
                ClusterNames::new(spec)
            };
            assert_eq!(with(room).unwrap().subject_alt_names(leaf).len(), max, "{leaf}");
            assert_eq!(with(room + 1).unwrap_err(), ClusterNamesError::TooManyNames { leaf, max });
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |change: &dyn Fn(&mut ClusterNamesSpec)| {
            let mut spec = spec();
            change(&mut spec);
            ClusterNames::new(spec).unwrap_err()
        };
        for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.1.1", "255.255.255.255", "::1", "fe80::1"] {
            let address = address.parse().unwrap();
            assert_eq!(
                refused(&|spec| spec.advertise_address = address),
                ClusterNamesError::AdvertiseAddress(address),
                "{address}"
            );
        }
        let family = refused(&|spec| spec.advertise_address = "2001:db8::1".parse().unwrap());
        assert!(matches!(family, ClusterNamesError::AddressFamily { .. }), "{family}");
        let inside = refused(&|spec| spec.advertise_address = "10.96.0.7".parse().unwrap());
        assert!(matches!(inside, ClusterNamesError::VirtualAddress { .. }), "{inside}");
        let inside = refused(&|spec| spec.endpoint = Some("10.96.0.1".parse().unwrap()));
        assert!(matches!(inside, ClusterNamesError::VirtualAddress { .. }), "{inside}");
        let address = refused(&|spec| spec.node = "10.0.0.1".parse().unwrap());
        assert!(matches!(address, ClusterNamesError::Name(_)), "{address}");
        let long = refused(&|spec| spec.dns_domain = Some(["a"; 120].join(".").parse().unwrap()));
        assert!(matches!(long, ClusterNamesError::Name(_)), "{long}");
    }
}
