//! The communication paths of a cluster that use TLS, and what stands at each end.
//!
//! This is the one table of paths. `rotation-fsm` derives from it who verifies whom;
//! `trust-model` adds identity rules, verdicts and configurations.

use core::fmt;

use crate::{AuthorityRole, Hierarchy, LeafKind};

/// A kind of component that presents or verifies certificates.
///
/// With the feature `serde` it is written as it prints: `kube-apiserver`, as upstream calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ComponentKind {
    /// An etcd member, or one endpoint of the etcd API where the database is elsewhere.
    Etcd,
    /// kube-apiserver.
    KubeApiServer,
    /// kube-controller-manager, which also holds the CSR signer.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// The Konnectivity server, in the control plane's network.
    KonnectivityServer,
    /// An aggregated (extension) API server.
    AggregatedApiServer,
    /// An admission webhook.
    Webhook,
    /// Whoever probes the health of etcd with a certificate of its own.
    EtcdProbe,
    /// A kubelet.
    Kubelet,
    /// A Konnectivity agent, one per node.
    KonnectivityAgent,
    /// A pod that calls the Kubernetes API with its service account.
    Pod,
    /// A client outside the cluster, such as kubectl on a laptop.
    ExternalClient,
}

/// Where a component runs, which is what decides when a rotation reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Plane {
    /// With the API server, or configured by whoever configures it.
    Control,
    /// On a node.
    Data,
    /// Outside; nobody can observe it.
    External,
}

impl ComponentKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Etcd,
        Self::KubeApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::KonnectivityServer,
        Self::AggregatedApiServer,
        Self::Webhook,
        Self::EtcdProbe,
        Self::Kubelet,
        Self::KonnectivityAgent,
        Self::Pod,
        Self::ExternalClient,
    ];

    /// The name, as instances carry it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::KonnectivityServer => "konnectivity-server",
            Self::AggregatedApiServer => "aggregated-apiserver",
            Self::Webhook => "webhook",
            Self::EtcdProbe => "etcd-probe",
            Self::Kubelet => "kubelet",
            Self::KonnectivityAgent => "konnectivity-agent",
            Self::Pod => "pod",
            Self::ExternalClient => "kubectl",
        }
    }

    /// Where it runs.
    #[must_use]
    pub const fn plane(self) -> Plane {
        match self {
            Self::Etcd
            | Self::KubeApiServer
            | Self::ControllerManager
            | Self::Scheduler
            | Self::KonnectivityServer
            | Self::AggregatedApiServer
            | Self::Webhook
            | Self::EtcdProbe => Plane::Control,
            Self::Kubelet | Self::KonnectivityAgent | Self::Pod => Plane::Data,
            Self::ExternalClient => Plane::External,
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A place where a component loads trust from: one file, flag or field.
///
/// A slot is named after the configuration that fills it, because slots of one
/// component reload differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum TrustSlot {
    /// kube-apiserver `--client-ca-file`.
    ApiServerClientCa,
    /// kube-apiserver `--requestheader-client-ca-file`.
    ApiServerRequestheaderCa,
    /// kube-apiserver `--kubelet-certificate-authority`.
    ApiServerKubeletCa,
    /// kube-apiserver `--etcd-cafile`.
    ApiServerEtcdCa,
    /// kube-apiserver `--peer-ca-file`: the other replicas.
    ApiServerPeerCa,
    /// The CA in kube-apiserver's EgressSelectorConfiguration.
    ApiServerEgressCa,
    /// `caBundle` of the APIService objects.
    ApiServiceCaBundle,
    /// `caBundle` of the webhook configurations.
    WebhookCaBundle,
    /// kube-apiserver `--service-account-key-file`, a list of public keys.
    ServiceAccountKeys,
    /// etcd `--trusted-ca-file`.
    EtcdTrustedCa,
    /// etcd `--peer-trusted-ca-file`.
    EtcdPeerTrustedCa,
    /// The CA of the etcd health probe.
    EtcdProbeCa,
    /// The CA in kube-controller-manager's kubeconfig.
    ControllerManagerKubeconfigCa,
    /// The CA in kube-scheduler's kubeconfig.
    SchedulerKubeconfigCa,
    /// Konnectivity server `--cluster-ca-cert`: the agents.
    KonnectivityServerAgentCa,
    /// Konnectivity server `--server-ca-cert`: the API servers.
    KonnectivityServerClientCa,
    /// `requestheader-client-ca-file` of the aggregated API server, from
    /// `kube-system/extension-apiserver-authentication`.
    AggregatedRequestheaderCa,
    /// The CA in the kubelet's kubeconfig, bootstrap kubeconfig included.
    KubeletKubeconfigCa,
    /// `authentication.x509.clientCAFile` of the KubeletConfiguration.
    KubeletClientCa,
    /// Konnectivity agent `--ca-cert`.
    KonnectivityAgentCa,
    /// `kube-root-ca.crt` in a pod's projected volume.
    PodRootCa,
    /// The CA in the kubeconfig of a client outside.
    AdminKubeconfigCa,
}

/// A listening socket of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// kube-apiserver's secure port.
    ApiServer,
    /// etcd's client port.
    EtcdClient,
    /// etcd's peer port.
    EtcdPeer,
    /// The kubelet's port.
    Kubelet,
    /// The Konnectivity server's port for agents.
    KonnectivityAgent,
    /// The Konnectivity server's port for API servers.
    KonnectivityServer,
    /// The aggregated API server's port.
    AggregatedApiServer,
    /// The webhook's port.
    Webhook,
    /// A pod's own HTTPS port, whose certificate nobody vouches for.
    Pod,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 9] = [
        Self::ApiServer,
        Self::EtcdClient,
        Self::EtcdPeer,
        Self::Kubelet,
        Self::KonnectivityAgent,
        Self::KonnectivityServer,
        Self::AggregatedApiServer,
        Self::Webhook,
        Self::Pod,
    ];

    /// The component that listens.
    #[must_use]
    pub const fn component(self) -> ComponentKind {
        match self {
            Self::ApiServer => ComponentKind::KubeApiServer,
            Self::EtcdClient | Self::EtcdPeer => ComponentKind::Etcd,
            Self::Kubelet => ComponentKind::Kubelet,
            Self::KonnectivityAgent | Self::KonnectivityServer => ComponentKind::KonnectivityServer,
            Self::AggregatedApiServer => ComponentKind::AggregatedApiServer,
            Self::Webhook => ComponentKind::Webhook,
            Self::Pod => ComponentKind::Pod,
        }
    }

    /// The leaf that is served, or `None` for a certificate that nobody vouches for.
    #[must_use]
    pub const fn leaf(self) -> Option<LeafKind> {
        match self {
            Self::ApiServer => Some(LeafKind::ApiServer),
            Self::EtcdClient => Some(LeafKind::EtcdServer),
            Self::EtcdPeer => Some(LeafKind::EtcdPeer),
            Self::Kubelet => Some(LeafKind::KubeletServing),
            Self::KonnectivityAgent | Self::KonnectivityServer => Some(LeafKind::KonnectivityServer),
            Self::AggregatedApiServer => Some(LeafKind::AggregatedApiServer),
            Self::Webhook => Some(LeafKind::Webhook),
            Self::Pod => None,
        }
    }
}

/// What a client shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClientCredential {
    /// A client certificate: mutual TLS.
    Certificate(LeafKind),
    /// A service-account token, inside server-authenticated TLS.
    ServiceAccountToken,
    /// The bootstrap token of a node that has no certificate yet.
    BootstrapToken,
    /// Nothing.
    Anonymous,
}

impl ClientCredential {
    /// The leaf whose issuer a rotation replaces, tokens included.
    #[must_use]
    pub const fn leaf(self) -> Option<LeafKind> {
        match self {
            Self::Certificate(leaf) => Some(leaf),
            Self::ServiceAccountToken => Some(LeafKind::ServiceAccountToken),
            Self::BootstrapToken | Self::Anonymous => None,
        }
    }
}

/// Who vouches for a server on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServerAuthority {
    /// An authority of the hierarchy.
    Role(AuthorityRole),
    /// A CA that somebody else manages and no rotation touches.
    External,
    /// Nobody: the client verifies nothing.
    Unverified,
}

/// A communication path: which kind of client speaks TLS to which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Path {
    /// Kubelet to API server, mutual TLS.
    NodeApi,
    /// A kubelet without a certificate to the API server, with a bootstrap token.
    NodeBootstrap,
    /// Pod to API server, with a service-account token.
    PodApi,
    /// kube-controller-manager to API server.
    KcmApi,
    /// kube-scheduler to API server.
    SchedApi,
    /// A client outside the cluster to the API server.
    AdminApi,
    /// API server to kubelet: logs, exec, port-forward.
    ApiKubelet,
    /// API server to `https:` pods and services through the proxy verb: encrypted, nothing verified.
    ApiProxyHttps,
    /// Konnectivity agent to Konnectivity server.
    KonnAgent,
    /// API server to Konnectivity server.
    KonnKas,
    /// API server to etcd API.
    ApiEtcd,
    /// etcd member to etcd member.
    EtcdPeer,
    /// Health probe to etcd.
    EtcdHealth,
    /// etcd's JSON gateway to its own client port, with its server certificate as client.
    EtcdGateway,
    /// API server to aggregated API server.
    FrontProxy,
    /// API server to admission webhook.
    Webhook,
    /// API server replica to API server replica (`--peer-ca-file`).
    CpInternal,
}

impl Path {
    /// Every path.
    pub const ALL: [Self; 17] = [
        Self::NodeApi,
        Self::NodeBootstrap,
        Self::PodApi,
        Self::KcmApi,
        Self::SchedApi,
        Self::AdminApi,
        Self::ApiKubelet,
        Self::ApiProxyHttps,
        Self::KonnAgent,
        Self::KonnKas,
        Self::ApiEtcd,
        Self::EtcdPeer,
        Self::EtcdHealth,
        Self::EtcdGateway,
        Self::FrontProxy,
        Self::Webhook,
        Self::CpInternal,
    ];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::NodeApi => "node-api",
            Self::NodeBootstrap => "node-bootstrap",
            Self::PodApi => "pod-api",
            Self::KcmApi => "kcm-api",
            Self::SchedApi => "sched-api",
            Self::AdminApi => "admin-api",
            Self::ApiKubelet => "api-kubelet",
            Self::ApiProxyHttps => "api-proxy-https",
            Self::KonnAgent => "konn-agent",
            Self::KonnKas => "konn-kas",
            Self::ApiEtcd => "api-etcd",
            Self::EtcdPeer => "etcd-peer",
            Self::EtcdHealth => "etcd-health",
            Self::EtcdGateway => "etcd-gateway",
            Self::FrontProxy => "front-proxy",
            Self::Webhook => "webhook",
            Self::CpInternal => "cp-internal",
        }
    }

    /// The path of an identifier.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.id() == id)
    }

    /// The kind of component that dials.
    #[must_use]
    pub const fn client(self) -> ComponentKind {
        match self {
            Self::NodeApi | Self::NodeBootstrap => ComponentKind::Kubelet,
            Self::PodApi => ComponentKind::Pod,
            Self::KcmApi => ComponentKind::ControllerManager,
            Self::SchedApi => ComponentKind::Scheduler,
            Self::AdminApi => ComponentKind::ExternalClient,
            Self::ApiKubelet
            | Self::ApiProxyHttps
            | Self::KonnKas
            | Self::ApiEtcd
            | Self::FrontProxy
            | Self::Webhook
            | Self::CpInternal => ComponentKind::KubeApiServer,
            Self::KonnAgent => ComponentKind::KonnectivityAgent,
            Self::EtcdPeer | Self::EtcdGateway => ComponentKind::Etcd,
            Self::EtcdHealth => ComponentKind::EtcdProbe,
        }
    }

    /// The socket that is dialled.
    #[must_use]
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::NodeApi
            | Self::NodeBootstrap
            | Self::PodApi
            | Self::KcmApi
            | Self::SchedApi
            | Self::AdminApi
            | Self::CpInternal => Endpoint::ApiServer,
            Self::ApiKubelet => Endpoint::Kubelet,
            Self::ApiProxyHttps => Endpoint::Pod,
            Self::KonnAgent => Endpoint::KonnectivityAgent,
            Self::KonnKas => Endpoint::KonnectivityServer,
            Self::ApiEtcd | Self::EtcdHealth | Self::EtcdGateway => Endpoint::EtcdClient,
            Self::EtcdPeer => Endpoint::EtcdPeer,
            Self::FrontProxy => Endpoint::AggregatedApiServer,
            Self::Webhook => Endpoint::Webhook,
        }
    }

    /// The kind of component that answers.
    #[must_use]
    pub const fn server(self) -> ComponentKind {
        self.endpoint().component()
    }

    /// What the client shows of itself.
    #[must_use]
    pub const fn client_credential(self) -> ClientCredential {
        match self {
            Self::NodeApi => ClientCredential::Certificate(LeafKind::KubeletClient),
            Self::NodeBootstrap => ClientCredential::BootstrapToken,
            Self::PodApi => ClientCredential::ServiceAccountToken,
            Self::KcmApi => ClientCredential::Certificate(LeafKind::ControllerManager),
            Self::SchedApi => ClientCredential::Certificate(LeafKind::Scheduler),
            Self::AdminApi => ClientCredential::Certificate(LeafKind::Admin),
            Self::ApiKubelet => ClientCredential::Certificate(LeafKind::ApiServerKubeletClient),
            Self::ApiProxyHttps | Self::Webhook => ClientCredential::Anonymous,
            Self::KonnAgent => ClientCredential::Certificate(LeafKind::KonnectivityAgent),
            Self::KonnKas => ClientCredential::Certificate(LeafKind::KonnectivityClient),
            Self::ApiEtcd => ClientCredential::Certificate(LeafKind::ApiServerEtcdClient),
            Self::EtcdPeer => ClientCredential::Certificate(LeafKind::EtcdPeer),
            Self::EtcdHealth => ClientCredential::Certificate(LeafKind::EtcdHealthcheckClient),
            Self::EtcdGateway => ClientCredential::Certificate(LeafKind::EtcdServer),
            Self::FrontProxy | Self::CpInternal => ClientCredential::Certificate(LeafKind::FrontProxyClient),
        }
    }

    /// The slot from which the client verifies the server, or `None` where it verifies nothing.
    #[must_use]
    pub const fn client_trust(self) -> Option<TrustSlot> {
        Some(match self {
            Self::NodeApi | Self::NodeBootstrap => TrustSlot::KubeletKubeconfigCa,
            Self::PodApi => TrustSlot::PodRootCa,
            Self::KcmApi => TrustSlot::ControllerManagerKubeconfigCa,
            Self::SchedApi => TrustSlot::SchedulerKubeconfigCa,
            Self::AdminApi => TrustSlot::AdminKubeconfigCa,
            Self::ApiKubelet => TrustSlot::ApiServerKubeletCa,
            Self::ApiProxyHttps => return None,
            Self::KonnAgent => TrustSlot::KonnectivityAgentCa,
            Self::KonnKas => TrustSlot::ApiServerEgressCa,
            Self::ApiEtcd => TrustSlot::ApiServerEtcdCa,
            Self::EtcdPeer => TrustSlot::EtcdPeerTrustedCa,
            Self::EtcdHealth => TrustSlot::EtcdProbeCa,
            Self::EtcdGateway => TrustSlot::EtcdTrustedCa,
            Self::FrontProxy => TrustSlot::ApiServiceCaBundle,
            Self::Webhook => TrustSlot::WebhookCaBundle,
            Self::CpInternal => TrustSlot::ApiServerPeerCa,
        })
    }

    /// The slot from which the server verifies the client, or `None` where no rotated
    /// credential is shown.
    #[must_use]
    pub const fn server_trust(self) -> Option<TrustSlot> {
        Some(match self {
            Self::NodeApi | Self::KcmApi | Self::SchedApi | Self::AdminApi => TrustSlot::ApiServerClientCa,
            Self::PodApi => TrustSlot::ServiceAccountKeys,
            Self::NodeBootstrap | Self::ApiProxyHttps | Self::Webhook => return None,
            Self::ApiKubelet => TrustSlot::KubeletClientCa,
            Self::KonnAgent => TrustSlot::KonnectivityServerAgentCa,
            Self::KonnKas => TrustSlot::KonnectivityServerClientCa,
            Self::ApiEtcd | Self::EtcdHealth | Self::EtcdGateway => TrustSlot::EtcdTrustedCa,
            Self::EtcdPeer => TrustSlot::EtcdPeerTrustedCa,
            Self::FrontProxy => TrustSlot::AggregatedRequestheaderCa,
            Self::CpInternal => TrustSlot::ApiServerRequestheaderCa,
        })
    }

    /// Whether a cluster of this hierarchy has the path.
    #[must_use]
    pub fn exists_in(self, hierarchy: &Hierarchy) -> bool {
        let is_issued = |leaf| hierarchy.issuer_of(leaf).is_some();
        self.endpoint().leaf().is_none_or(is_issued) && self.client_credential().leaf().is_none_or(is_issued)
    }

    /// The paths of a hierarchy.
    pub fn of(hierarchy: &Hierarchy) -> impl Iterator<Item = Self> + use<'_> {
        Self::ALL.into_iter().filter(|path| path.exists_in(hierarchy))
    }

    /// Who vouches for the server on this path.
    #[must_use]
    pub fn server_authority(self, hierarchy: &Hierarchy) -> ServerAuthority {
        if matches!(self, Self::AdminApi) && hierarchy.external_serving() {
            return ServerAuthority::External;
        }
        let issuer = self.endpoint().leaf().and_then(|leaf| hierarchy.issuer_of(leaf));
        issuer.map_or(ServerAuthority::Unverified, ServerAuthority::Role)
    }

    /// The authority whose generations the client's slot holds, if a rotation may touch it.
    #[must_use]
    pub fn client_trusts(self, hierarchy: &Hierarchy) -> Option<(TrustSlot, AuthorityRole)> {
        match (self.client_trust(), self.server_authority(hierarchy)) {
            (Some(slot), ServerAuthority::Role(role)) => Some((slot, role)),
            _ => None,
        }
    }

    /// The authority whose generations the server's slot holds.
    #[must_use]
    pub fn server_trusts(self, hierarchy: &Hierarchy) -> Option<(TrustSlot, AuthorityRole)> {
        let (slot, leaf) = (self.server_trust()?, self.client_credential().leaf()?);
        Some((slot, hierarchy.issuer_of(leaf)?))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Preset, Storage};

    #[test]
    fn a_slot_belongs_to_one_component_and_one_authority() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            let mut owners = BTreeMap::new();
            for path in Path::of(&hierarchy) {
                let client = path.client_trusts(&hierarchy).map(|trust| (path.client(), trust));
                let server = path.server_trusts(&hierarchy).map(|trust| (path.server(), trust));
                for (component, (slot, role)) in client.into_iter().chain(server) {
                    assert_eq!(*owners.entry(slot).or_insert((component, role)), (component, role), "{preset} {path}");
                }
            }
        }
    }

    #[test]
    fn presets_have_the_paths_of_their_components() {
        let count = |hierarchy: &Hierarchy| Path::of(hierarchy).count();
        assert_eq!(count(&Hierarchy::gke(Storage::Etcd)), 17);
        assert_eq!(count(&Hierarchy::gdc()), 17);
        let spanner = Hierarchy::gke(Storage::Spanner);
        assert_eq!(count(&spanner), 16);
        assert!(!Path::EtcdPeer.exists_in(&spanner));
        let kubeadm = Hierarchy::kubeadm();
        assert_eq!(count(&kubeadm), 15);
        assert!(!Path::KonnAgent.exists_in(&kubeadm) && !Path::KonnKas.exists_in(&kubeadm));
    }

    #[test]
    fn etcd_is_reached_through_the_etcd_authorities_only() {
        let gke = Hierarchy::gke(Storage::Etcd);
        let api = Some((TrustSlot::ApiServerEtcdCa, AuthorityRole::EtcdApi));
        assert_eq!(Path::ApiEtcd.client_trusts(&gke), api);
        let peer = Some((TrustSlot::EtcdPeerTrustedCa, AuthorityRole::EtcdPeer));
        assert_eq!(Path::EtcdPeer.client_trusts(&gke), peer);
        assert_eq!(Path::EtcdPeer.server_trusts(&gke), peer);
        let gdc = Hierarchy::gdc();
        assert_eq!(Path::EtcdPeer.server_trusts(&gdc), Some((TrustSlot::EtcdPeerTrustedCa, AuthorityRole::Etcd)));
    }

    #[test]
    fn the_org_ca_serves_clients_outside_and_stands_outside_the_rotation() {
        let gdc = Hierarchy::gdc();
        assert_eq!(Path::AdminApi.server_authority(&gdc), ServerAuthority::External);
        assert_eq!(Path::AdminApi.client_trusts(&gdc), None);
        let client_ca = Some((TrustSlot::ApiServerClientCa, AuthorityRole::Cluster));
        assert_eq!(Path::AdminApi.server_trusts(&gdc), client_ca);
    }

    #[test]
    fn identifiers_are_unique_and_found_again() {
        for path in Path::ALL {
            assert_eq!(Path::from_id(path.id()), Some(path));
        }
        assert_eq!(Path::from_id("nonsense"), None);
    }
}
