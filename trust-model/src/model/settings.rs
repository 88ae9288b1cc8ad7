//! How components are configured, as far as it decides about a path.

use core::fmt;

use pki_core::Printable;

use crate::channel::Protection;
use crate::fact::Fact;
use crate::model::Trust;
use crate::rule::TlsVersion;

/// The versions of TLS that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsRange {
    /// The lowest that it negotiates. `None`: below TLS 1.2.
    pub minimum: Option<TlsVersion>,
    /// The highest. `None`: below TLS 1.2.
    pub maximum: Option<TlsVersion>,
}

impl TlsRange {
    /// What every Kubernetes component does by default: TLS 1.2 and 1.3.
    pub const DEFAULT: Self = Self { minimum: Some(TlsVersion::Tls12), maximum: Some(TlsVersion::Tls13) };
}

impl fmt::Display for TlsRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |version: Option<TlsVersion>| version.map_or_else(|| "below TLS 1.2".to_owned(), |v| v.to_string());
        write!(f, "{} to {}", name(self.minimum), name(self.maximum))
    }
}

/// How bytes get from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TLS.
    Tls,
    /// A socket of the machine itself.
    UnixSocket,
    /// Nothing that encrypts, on the machine's own loopback interface only.
    Loopback,
    /// Nothing that encrypts.
    Plain,
}

/// How kube-apiserver authorizes (`--authorization-mode`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AuthorizationMode {
    /// Everything is allowed.
    AlwaysAllow,
    /// Nothing is allowed.
    AlwaysDeny,
    /// A file of attributes.
    Abac,
    /// Roles and bindings.
    Rbac,
    /// What a kubelet needs for its own node.
    Node,
    /// Somebody else is asked.
    Webhook,
    /// One that is not known.
    Other(Printable),
}

/// The API server's port without TLS. Kubernetes 1.20 and later serve none, and 1.24 has no flags for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InsecurePort {
    /// Closed.
    Closed,
    /// Open on the machine's own loopback interface only.
    Loopback(u16),
    /// Open to the network.
    Network(u16),
}

/// How kube-apiserver sends what goes to nodes (EgressSelectorConfiguration, selection `cluster`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Egress {
    /// Directly.
    Direct,
    /// Through a Konnectivity server.
    Konnectivity(Transport),
}

/// kube-apiserver.
#[derive(Clone, Debug, Default)]
pub struct ApiServer {
    /// `--anonymous-auth`.
    pub anonymous_auth: Fact<bool>,
    /// `--authorization-mode`.
    pub authorization_modes: Fact<Vec<AuthorizationMode>>,
    /// `--insecure-port`, with `--insecure-bind-address`.
    pub insecure_port: Fact<InsecurePort>,
    /// `--requestheader-allowed-names`; empty means any.
    pub requestheader_allowed_names: Fact<Vec<Printable>>,
    /// How `--etcd-servers` are reached.
    pub etcd_transport: Fact<Transport>,
    /// `--egress-selector-config-file`.
    pub egress: Fact<Egress>,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap_tokens: Fact<bool>,
    /// Whether another replica is called, with the front-proxy's certificate (`--peer-ca-file`).
    pub calls_peers: Fact<bool>,
}

/// How a control-plane component calls the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiAccess {
    /// With a kubeconfig, on the secure port.
    Secure,
    /// On the insecure port.
    Insecure,
}

/// kube-controller-manager.
#[derive(Clone, Debug, Default)]
pub struct ControllerManager {
    /// `--kubeconfig`, or `--master` without TLS.
    pub access: Fact<ApiAccess>,
    /// How many certificates stand in `--cluster-signing-cert-file`. It must be one: the signer refuses more.
    pub signing_certificates: Fact<usize>,
}

/// kube-scheduler.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    /// `--kubeconfig`, or `--master` without TLS.
    pub access: Fact<ApiAccess>,
}

/// etcd.
#[derive(Clone, Debug, Default)]
pub struct Etcd {
    /// `--listen-client-urls`.
    pub client_transport: Fact<Transport>,
    /// `--listen-peer-urls`.
    pub peer_transport: Fact<Transport>,
    /// Whether clients must show a certificate: `--client-cert-auth`, or `--trusted-ca-file` alone.
    pub client_cert_auth: Fact<bool>,
    /// Whether peers must show one: `--peer-client-cert-auth`, or `--peer-trusted-ca-file` alone.
    pub peer_client_cert_auth: Fact<bool>,
    /// `--auto-tls`: without `--cert-file` the member signs its own server certificate.
    pub auto_tls: Fact<bool>,
    /// `--peer-auto-tls`: without `--peer-cert-file` the member signs its own peer certificate.
    pub peer_auto_tls: Fact<bool>,
}

/// A kubelet.
#[derive(Clone, Debug, Default)]
pub struct Kubelet {
    /// `authentication.anonymous.enabled`.
    pub anonymous_auth: Fact<bool>,
    /// `authorization.mode`.
    pub authorization_mode: Fact<AuthorizationMode>,
    /// `readOnlyPort`: zero is closed.
    pub read_only_port: Fact<u16>,
    /// `serverTLSBootstrap`.
    pub server_tls_bootstrap: Fact<bool>,
    /// `rotateCertificates`.
    pub rotate_certificates: Fact<bool>,
}

/// A Konnectivity server.
#[derive(Clone, Debug, Default)]
pub struct KonnectivityServer {
    /// Whether an agent must prove who it is, by certificate or token.
    pub authenticates_agents: Fact<bool>,
    /// How API servers reach it.
    pub server_transport: Fact<Transport>,
    /// Whether an API server must prove who it is where that is TLS.
    pub authenticates_api_servers: Fact<bool>,
}

/// A Konnectivity agent.
#[derive(Clone, Debug, Default)]
pub struct KonnectivityAgent {
    /// Whether it sends a service-account token.
    pub sends_token: Fact<bool>,
}

/// What all pods have in common.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// Whether a pod gets the root certificate and a token by itself.
    pub automount: Fact<bool>,
}

/// How the API server calls one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookClient {
    /// `ValidatingWebhookConfiguration` or `MutatingWebhookConfiguration`, and the name.
    pub name: Printable,
    /// `clientConfig.caBundle`.
    pub trust: Trust,
}

/// How the API server calls one aggregated API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServiceClient {
    /// The name of the `APIService`.
    pub name: Printable,
    /// `spec.caBundle`; [`Trust::Nothing`] with `insecureSkipTLSVerify`.
    pub trust: Trust,
}

/// Who holds the key that signs certificate requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CsrSigning {
    /// kube-controller-manager itself: nothing travels.
    InProcess,
    /// A service that is called with this protection.
    Service(Protection),
}

/// SSH tunnels from the API server to the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SshTunnels {
    /// There are none.
    None,
    /// There are, and the host key of the node is compared or not.
    Used {
        /// Whether it is compared.
        checks_host_key: bool,
    },
}
