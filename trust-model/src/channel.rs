//! The table of communication paths: what protects each when everything is configured as it should be.
//!
//! The paths that TLS of the cluster's own authorities protects are `pki-core`'s [`Path`], and everything about them
//! follows from it. The others stand beside them here, because whoever asks whether a cluster may run over an untrusted
//! network has to be told about them too.

use core::fmt;

use pki_core::{ClientCredential, ComponentKind, LeafKind, Path, TrustSlot};

use crate::rule::{PathRule, ServerRule, TlsVersion};

/// A communication path of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// One that TLS protects, with certificates that the cluster's authorities issue.
    Tls(Path),
    /// Control-plane components to the API server's insecure port: no encryption, no authentication (before Kubernetes 1.20).
    LocalInsecurePort,
    /// API server to nodes, pods and services through the proxy verb, without `https:`.
    ApiProxyHttp,
    /// API server to nodes through SSH tunnels: port 22 of each node.
    SshTunnel,
    /// The CSR controller to whoever holds the signing key, where that is not kube-controller-manager itself.
    CsrSigning,
    /// Node to node, below Kubernetes.
    NodeNode,
    /// Pod to pod on another node.
    PodPodAcrossNodes,
    /// Pod to pod on the same node.
    PodPodOnNode,
}

/// Which way a path goes, seen from the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// From nodes, pods and clients outside to the control plane.
    ToControlPlane,
    /// From the control plane to nodes, pods and services.
    FromControlPlane,
    /// Between components of the control plane.
    WithinControlPlane,
    /// Between nodes and between pods.
    WithinDataPlane,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 4] =
        [Self::ToControlPlane, Self::FromControlPlane, Self::WithinControlPlane, Self::WithinDataPlane];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::ToControlPlane => "to-control-plane",
            Self::FromControlPlane => "from-control-plane",
            Self::WithinControlPlane => "within-control-plane",
            Self::WithinDataPlane => "within-data-plane",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToControlPlane => "to the control plane",
            Self::FromControlPlane => "from the control plane",
            Self::WithinControlPlane => "within the control plane",
            Self::WithinDataPlane => "among nodes and pods",
        })
    }
}

impl Channel {
    /// Every path, in the order of the table.
    pub const ALL: [Self; 24] = [
        Self::Tls(Path::NodeApi),
        Self::Tls(Path::NodeBootstrap),
        Self::Tls(Path::PodApi),
        Self::Tls(Path::KcmApi),
        Self::Tls(Path::SchedApi),
        Self::LocalInsecurePort,
        Self::Tls(Path::AdminApi),
        Self::Tls(Path::ApiKubelet),
        Self::ApiProxyHttp,
        Self::Tls(Path::ApiProxyHttps),
        Self::SshTunnel,
        Self::Tls(Path::KonnAgent),
        Self::Tls(Path::KonnKas),
        Self::Tls(Path::ApiEtcd),
        Self::Tls(Path::EtcdPeer),
        Self::Tls(Path::EtcdHealth),
        Self::Tls(Path::EtcdGateway),
        Self::Tls(Path::FrontProxy),
        Self::Tls(Path::Webhook),
        Self::Tls(Path::CpInternal),
        Self::CsrSigning,
        Self::NodeNode,
        Self::PodPodAcrossNodes,
        Self::PodPodOnNode,
    ];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Tls(path) => path.id(),
            Self::LocalInsecurePort => "local-insecure-port",
            Self::ApiProxyHttp => "api-proxy-http",
            Self::SshTunnel => "ssh-tunnel",
            Self::CsrSigning => "csr-signing",
            Self::NodeNode => "node-node",
            Self::PodPodAcrossNodes => "pod-pod-x",
            Self::PodPodOnNode => "pod-pod-same",
        }
    }

    /// The path of an identifier.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.id() == id)
    }

    /// The path that TLS protects, if it is one.
    #[must_use]
    pub const fn path(self) -> Option<Path> {
        match self {
            Self::Tls(path) => Some(path),
            _ => None,
        }
    }

    /// Its row of the table.
    #[must_use]
    pub const fn spec(self) -> PathSpec {
        PathSpec { channel: self }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl From<Path> for Channel {
    fn from(path: Path) -> Self {
        Self::Tls(path)
    }
}

/// Where a path begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Party {
    /// A component that holds certificates.
    Component(ComponentKind),
    /// Whatever runs on the machines of the control plane.
    ControlPlane,
    /// The machine of a node.
    Node,
    /// A pod, a node or a service behind the proxy verb.
    Proxied,
    /// Whoever holds the key that signs certificate requests.
    SigningService,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(kind) => kind.fmt(f),
            Self::ControlPlane => f.write_str("control-plane components"),
            Self::Node => f.write_str("node"),
            Self::Proxied => f.write_str("node, pod or service"),
            Self::SigningService => f.write_str("CSR signing service"),
        }
    }
}

/// What a path gives to those who talk on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protection {
    /// Nobody else reads along.
    pub encrypts: bool,
    /// The client knows that it talks to the server that it means. Only with it does encryption give integrity: without
    /// it whoever stands between both ends decrypts, reads, changes and encrypts anew.
    pub authenticates_server: bool,
    /// The server knows who the client is, by certificate or by token.
    pub authenticates_client: bool,
}

impl Protection {
    /// Everything: what mutual TLS gives, or TLS with a token inside.
    pub const FULL: Self = Self { encrypts: true, authenticates_server: true, authenticates_client: true };
    /// Nothing at all.
    pub const NONE: Self = Self { encrypts: false, authenticates_server: false, authenticates_client: false };

    /// Whether what arrives is what was sent: encrypted, to a server that is known.
    #[must_use]
    pub const fn protects_integrity(self) -> bool {
        self.encrypts && self.authenticates_server
    }
}

/// One row of the table: a path as it is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathSpec {
    channel: Channel,
}

/// Every row, in the order of [`Channel::ALL`].
pub fn paths() -> impl Iterator<Item = PathSpec> {
    Channel::ALL.into_iter().map(Channel::spec)
}

impl PathSpec {
    /// Which path.
    #[must_use]
    pub const fn channel(self) -> Channel {
        self.channel
    }

    /// What it is for.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self.channel {
            Channel::Tls(path) => tls_summary(path),
            Channel::LocalInsecurePort => "control-plane components call the API server on its insecure port",
            Channel::ApiProxyHttp => "the API server forwards a request to a node, pod or service in plain HTTP",
            Channel::SshTunnel => "the API server reaches nodes through an SSH tunnel",
            Channel::CsrSigning => "certificate requests go to the service that holds the key",
            Channel::NodeNode => "nodes talk to each other",
            Channel::PodPodAcrossNodes => "pods on different nodes talk to each other",
            Channel::PodPodOnNode => "pods on one node talk to each other",
        }
    }

    /// Who dials.
    #[must_use]
    pub const fn client(self) -> Party {
        match self.channel {
            Channel::Tls(path) => Party::Component(path.client()),
            Channel::LocalInsecurePort => Party::ControlPlane,
            Channel::ApiProxyHttp | Channel::SshTunnel => Party::Component(ComponentKind::KubeApiServer),
            Channel::CsrSigning => Party::Component(ComponentKind::ControllerManager),
            Channel::NodeNode => Party::Node,
            Channel::PodPodAcrossNodes | Channel::PodPodOnNode => Party::Component(ComponentKind::Pod),
        }
    }

    /// Who answers.
    #[must_use]
    pub const fn server(self) -> Party {
        match self.channel {
            Channel::Tls(Path::ApiProxyHttps) | Channel::ApiProxyHttp => Party::Proxied,
            Channel::Tls(path) => Party::Component(path.server()),
            Channel::LocalInsecurePort => Party::Component(ComponentKind::KubeApiServer),
            Channel::SshTunnel | Channel::NodeNode => Party::Node,
            Channel::CsrSigning => Party::SigningService,
            Channel::PodPodAcrossNodes | Channel::PodPodOnNode => Party::Component(ComponentKind::Pod),
        }
    }

    /// Which way it goes.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self.channel {
            Channel::Tls(Path::NodeApi | Path::NodeBootstrap | Path::PodApi | Path::AdminApi | Path::KonnAgent) => {
                Direction::ToControlPlane
            }
            Channel::Tls(Path::ApiKubelet | Path::ApiProxyHttps) | Channel::ApiProxyHttp | Channel::SshTunnel => {
                Direction::FromControlPlane
            }
            Channel::NodeNode | Channel::PodPodAcrossNodes | Channel::PodPodOnNode => Direction::WithinDataPlane,
            _ => Direction::WithinControlPlane,
        }
    }

    /// What both ends must prove, where TLS of the cluster's own is spoken.
    #[must_use]
    pub const fn rule(self) -> Option<PathRule> {
        match self.channel {
            Channel::Tls(path) => Some(PathRule::of(path)),
            _ => None,
        }
    }

    /// The leaf that the server presents.
    #[must_use]
    pub const fn server_leaf(self) -> Option<LeafKind> {
        match self.channel {
            Channel::Tls(path) => path.endpoint().leaf(),
            _ => None,
        }
    }

    /// What the client shows of itself.
    #[must_use]
    pub const fn client_credential(self) -> ClientCredential {
        match self.channel {
            Channel::Tls(path) => path.client_credential(),
            _ => ClientCredential::Anonymous,
        }
    }

    /// Where the client loads from what it verifies the server with.
    #[must_use]
    pub const fn client_trust(self) -> Option<TrustSlot> {
        match self.channel {
            Channel::Tls(path) => path.client_trust(),
            _ => None,
        }
    }

    /// Where the server loads from what it verifies the client with.
    #[must_use]
    pub const fn server_trust(self) -> Option<TrustSlot> {
        match self.channel {
            Channel::Tls(path) => path.server_trust(),
            _ => None,
        }
    }

    /// The lowest version of TLS that may be negotiated, and the one that is offered first.
    #[must_use]
    pub const fn tls(self) -> Option<(TlsVersion, TlsVersion)> {
        match self.channel {
            Channel::Tls(_) | Channel::CsrSigning => Some((PathRule::TLS_MINIMUM, PathRule::TLS_OFFERED)),
            _ => None,
        }
    }

    /// What it gives when both ends are configured as the table says: the best that the path can be.
    #[must_use]
    pub const fn protection(self) -> Protection {
        match self.channel {
            Channel::Tls(path) => Protection {
                encrypts: true,
                authenticates_server: matches!(PathRule::of(path).server(), ServerRule::DialledName),
                authenticates_client: !matches!(path.client_credential(), ClientCredential::Anonymous),
            },
            Channel::SshTunnel | Channel::CsrSigning | Channel::NodeNode => Protection::FULL,
            // The network layer encrypts between nodes where the infrastructure does; who a pod is it does not say.
            Channel::PodPodAcrossNodes => {
                Protection { encrypts: true, authenticates_server: false, authenticates_client: false }
            }
            Channel::LocalInsecurePort | Channel::ApiProxyHttp | Channel::PodPodOnNode => Protection::NONE,
        }
    }

    /// Whether only somebody's word says what protects it: no certificate of the cluster shows it.
    #[must_use]
    pub const fn is_declared(self) -> bool {
        matches!(self.channel, Channel::NodeNode | Channel::PodPodAcrossNodes | Channel::PodPodOnNode)
    }

    /// Where this is stated.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self.channel {
            Channel::LocalInsecurePort | Channel::SshTunnel => "Kubernetes documentation, Master-Node communication",
            Channel::NodeNode | Channel::PodPodAcrossNodes | Channel::PodPodOnNode | Channel::CsrSigning => {
                "GKE documentation, Cluster trust"
            }
            Channel::Tls(Path::NodeBootstrap) => "Kubernetes documentation, TLS bootstrapping",
            Channel::Tls(Path::KonnAgent | Path::KonnKas) => "Kubernetes documentation, Set up Konnectivity service",
            Channel::Tls(Path::ApiEtcd | Path::EtcdPeer | Path::EtcdHealth | Path::EtcdGateway) => {
                "etcd documentation, Transport security model"
            }
            Channel::Tls(Path::FrontProxy | Path::CpInternal) => {
                "Kubernetes documentation, Configure the aggregation layer"
            }
            Channel::Tls(Path::Webhook) => "Kubernetes documentation, Dynamic admission control",
            _ => "Kubernetes documentation, Communication between nodes and the control plane",
        }
    }
}

const fn tls_summary(path: Path) -> &'static str {
    match path {
        Path::NodeApi => "a kubelet calls the API server",
        Path::NodeBootstrap => "a kubelet that has no certificate yet asks the API server for one",
        Path::PodApi => "a pod calls the API server with its service account",
        Path::KcmApi => "kube-controller-manager calls the API server",
        Path::SchedApi => "kube-scheduler calls the API server",
        Path::AdminApi => "a client outside calls the API server",
        Path::ApiKubelet => "the API server fetches logs, attaches, executes and forwards ports through a kubelet",
        Path::ApiProxyHttps => "the API server forwards a request to `https:` of a node, pod or service",
        Path::KonnAgent => "a Konnectivity agent keeps a tunnel to the Konnectivity server",
        Path::KonnKas => "the API server sends through the Konnectivity server what goes to nodes",
        Path::ApiEtcd => "the API server reads and writes etcd",
        Path::EtcdPeer => "etcd members replicate to each other",
        Path::EtcdHealth => "a probe asks etcd whether it is well",
        Path::EtcdGateway => "etcd's JSON gateway calls its own member",
        Path::FrontProxy => "the API server forwards a request to an aggregated API server",
        Path::Webhook => "the API server asks an admission webhook",
        Path::CpInternal => "an API server forwards a request to another replica",
        _ => "a path",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_vocabulary_has_its_row() {
        let tls: Vec<_> = Channel::ALL.into_iter().filter_map(Channel::path).collect();
        assert_eq!(tls.len(), Path::ALL.len());
        for path in Path::ALL {
            assert!(tls.contains(&path), "{path}");
        }
    }

    #[test]
    fn identifiers_are_unique_and_found_again() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_id(channel.id()), Some(channel));
        }
        assert_eq!(Channel::from_id("nonsense"), None);
    }
}
