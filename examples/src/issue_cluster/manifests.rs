//! The static pods and the kubelet's configuration as kubeadm 1.36 writes them.
//!
//! The flags are those of `cmd/kubeadm/app/phases/{controlplane/manifests.go,controlplane/volumes.go,etcd/local.go}`,
//! the pods those of `cmd/kubeadm/app/util/staticpod/utils.go`, the kubelet's fields those of
//! `cmd/kubeadm/app/componentconfigs/kubelet.go`. Fields that kubeadm writes as zeros, which mean the default, are
//! left out, and so are mounts that depend on the directories of the machine.

use core::fmt;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pki_core::{
    ApiServerEndpoint, ArtifactKind, AuthorityRole, ClusterNames, ComponentKind, Hierarchy, Layout, LeafKind,
};
use serde::Serialize;

use super::pod::{Container, Pod, Probe, Probes, Scheme, Volume};

/// The version of Kubernetes whose kubeadm these files follow.
const KUBERNETES_VERSION: &str = "v1.36.2";
/// The etcd that goes with it (`DefaultEtcdVersion`, `cmd/kubeadm/app/constants/constants.go`).
const ETCD_VERSION: &str = "3.6.8-0";
const REGISTRY: &str = "registry.k8s.io";

const ETCD_DATA: &str = "/var/lib/etcd";
const ETCD_CLIENT_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;
const ETCD_METRICS_PORT: u16 = 2381;
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SCHEDULER_PORT: u16 = 10259;
const KUBELET_HEALTHZ_PORT: u16 = 10248;
/// Where the Konnectivity server listens for kube-apiserver, on the same machine.
const KONNECTIVITY_SERVER_PORT: u16 = 8131;

/// Flags by name, in the order in which kubeadm writes them.
type Flags = BTreeMap<&'static str, String>;

/// The files of one node that say how its components are run.
pub(super) struct Manifests<'a> {
    hierarchy: &'a Hierarchy,
    layout: &'a Layout,
    names: &'a ClusterNames,
}

impl<'a> Manifests<'a> {
    pub(super) const fn new(hierarchy: &'a Hierarchy, layout: &'a Layout, names: &'a ClusterNames) -> Self {
        Self { hierarchy, layout, names }
    }

    /// The content of such a file; `None` for files that say something else.
    pub(super) fn render(&self, kind: ArtifactKind) -> Option<Result<String, fmt::Error>> {
        Some(match kind {
            ArtifactKind::Manifest(ComponentKind::KubeApiServer) => yaml(&self.api_server()),
            ArtifactKind::Manifest(ComponentKind::ControllerManager) => yaml(&self.controller_manager()),
            ArtifactKind::Manifest(ComponentKind::Scheduler) => yaml(&self.scheduler()),
            ArtifactKind::Manifest(ComponentKind::Etcd) => yaml(&self.etcd()),
            ArtifactKind::EgressSelector => yaml(&self.egress_selector()),
            ArtifactKind::KubeletConfiguration => yaml(&self.kubelet_configuration()),
            _ => return None,
        })
    }

    fn api_server(&self) -> Pod {
        let (address, port) = (self.names.advertise_address(), ApiServerEndpoint::DEFAULT_PORT.get());
        let mut flags = Flags::from([
            ("advertise-address", address.to_string()),
            ("allow-privileged", "true".to_owned()),
            ("authorization-mode", "Node,RBAC".to_owned()),
            ("enable-admission-plugins", "NodeRestriction".to_owned()),
            ("enable-bootstrap-token-auth", "true".to_owned()),
            ("etcd-servers", url("https", self.loopback(), ETCD_CLIENT_PORT)),
            ("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname".to_owned()),
            ("requestheader-allowed-names", "front-proxy-client".to_owned()),
            ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
            ("requestheader-group-headers", "X-Remote-Group".to_owned()),
            ("requestheader-username-headers", "X-Remote-User".to_owned()),
            ("secure-port", port.to_string()),
            ("service-account-issuer", format!("https://kubernetes.default.svc.{}", self.names.dns_domain())),
            ("service-cluster-ip-range", self.names.service_cidrs().to_string()),
        ]);
        self.files(
            &mut flags,
            [
                ("client-ca-file", ArtifactKind::AuthorityCertificate(AuthorityRole::Cluster)),
                ("etcd-certfile", ArtifactKind::Certificate(LeafKind::ApiServerEtcdClient)),
                ("etcd-keyfile", ArtifactKind::Key(LeafKind::ApiServerEtcdClient)),
                ("kubelet-client-certificate", ArtifactKind::Certificate(LeafKind::ApiServerKubeletClient)),
                ("kubelet-client-key", ArtifactKind::Key(LeafKind::ApiServerKubeletClient)),
                ("proxy-client-cert-file", ArtifactKind::Certificate(LeafKind::FrontProxyClient)),
                ("proxy-client-key-file", ArtifactKind::Key(LeafKind::FrontProxyClient)),
                ("requestheader-client-ca-file", ArtifactKind::AuthorityCertificate(AuthorityRole::FrontProxy)),
                ("service-account-key-file", ArtifactKind::TokenVerificationKey),
                ("service-account-signing-key-file", ArtifactKind::TokenSigningKey),
                ("tls-cert-file", ArtifactKind::Certificate(LeafKind::ApiServer)),
                ("tls-private-key-file", ArtifactKind::Key(LeafKind::ApiServer)),
                ("egress-selector-config-file", ArtifactKind::EgressSelector),
            ],
        );
        self.issuer_file(&mut flags, "etcd-cafile", LeafKind::EtcdServer);
        let mut volumes = vec![Volume::host_certificates(), Volume::cluster_certificates(&self.pki())];
        if let Some(path) = self.path(ArtifactKind::EgressSelector) {
            volumes.push(Volume::file("egress-selector", path));
        }
        let endpoint = socket(address, port);
        Container {
            name: "kube-apiserver",
            image: format!("{REGISTRY}/kube-apiserver:{KUBERNETES_VERSION}"),
            flags,
            volumes,
            cpu: "250m",
            memory: None,
            probes: Probes {
                port,
                liveness: Probe::liveness(address, "/livez", Scheme::Https),
                readiness: Some(Probe::readiness(address, "/readyz", Scheme::Https)),
                startup: Probe::startup(address, "/livez", Scheme::Https),
            },
        }
        .into_pod(Some(("kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint", endpoint)))
    }

    fn controller_manager(&self) -> Pod {
        let mut flags = Flags::from([
            ("bind-address", Ipv4Addr::LOCALHOST.to_string()),
            ("cluster-name", "kubernetes".to_owned()),
            ("controllers", "*,bootstrapsigner,tokencleaner".to_owned()),
            ("leader-elect", "true".to_owned()),
            ("use-service-account-credentials", "true".to_owned()),
        ]);
        let root = ArtifactKind::AuthorityCertificate(AuthorityRole::Cluster);
        let kubeconfig = ArtifactKind::Kubeconfig(LeafKind::ControllerManager);
        self.files(
            &mut flags,
            [
                ("authentication-kubeconfig", kubeconfig),
                ("authorization-kubeconfig", kubeconfig),
                ("client-ca-file", root),
                // One certificate: kube-controller-manager refuses a bundle here.
                ("cluster-signing-cert-file", root),
                ("cluster-signing-key-file", ArtifactKind::AuthorityKey(AuthorityRole::Cluster)),
                ("kubeconfig", kubeconfig),
                ("requestheader-client-ca-file", ArtifactKind::AuthorityCertificate(AuthorityRole::FrontProxy)),
                ("root-ca-file", root),
                ("service-account-private-key-file", ArtifactKind::TokenSigningKey),
            ],
        );
        let mut volumes =
            vec![Volume::host_certificates(), Volume::flexvolume_plugins(), Volume::cluster_certificates(&self.pki())];
        volumes.extend(self.path(kubeconfig).map(|path| Volume::file("kubeconfig", path)));
        let host = Ipv4Addr::LOCALHOST.into();
        Container {
            name: "kube-controller-manager",
            image: format!("{REGISTRY}/kube-controller-manager:{KUBERNETES_VERSION}"),
            flags,
            volumes,
            cpu: "200m",
            memory: None,
            probes: Probes {
                port: CONTROLLER_MANAGER_PORT,
                liveness: Probe::liveness(host, "/healthz", Scheme::Https),
                readiness: None,
                startup: Probe::startup(host, "/healthz", Scheme::Https),
            },
        }
        .into_pod(None)
    }

    fn scheduler(&self) -> Pod {
        let mut flags =
            Flags::from([("bind-address", Ipv4Addr::LOCALHOST.to_string()), ("leader-elect", "true".to_owned())]);
        let kubeconfig = ArtifactKind::Kubeconfig(LeafKind::Scheduler);
        for name in ["authentication-kubeconfig", "authorization-kubeconfig", "kubeconfig"] {
            self.files(&mut flags, [(name, kubeconfig)]);
        }
        let host = Ipv4Addr::LOCALHOST.into();
        Container {
            name: "kube-scheduler",
            image: format!("{REGISTRY}/kube-scheduler:{KUBERNETES_VERSION}"),
            flags,
            volumes: self.path(kubeconfig).map(|path| Volume::file("kubeconfig", path)).into_iter().collect(),
            cpu: "100m",
            memory: None,
            probes: Probes {
                port: SCHEDULER_PORT,
                liveness: Probe::liveness(host, "/livez", Scheme::Https),
                readiness: Some(Probe::readiness(host, "/readyz", Scheme::Https)),
                startup: Probe::startup(host, "/livez", Scheme::Https),
            },
        }
        .into_pod(None)
    }

    fn etcd(&self) -> Pod {
        let (node, address, loopback) = (self.names.node(), self.names.advertise_address(), self.loopback());
        let (client, peer) = (url("https", address, ETCD_CLIENT_PORT), url("https", address, ETCD_PEER_PORT));
        let mut flags = Flags::from([
            ("advertise-client-urls", client.clone()),
            ("client-cert-auth", "true".to_owned()),
            ("data-dir", ETCD_DATA.to_owned()),
            ("feature-gates", "InitialCorruptCheck=true".to_owned()),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", format!("{node}={peer}")),
            ("listen-client-urls", format!("{},{client}", url("https", loopback, ETCD_CLIENT_PORT))),
            ("listen-metrics-urls", url("http", loopback, ETCD_METRICS_PORT)),
            ("listen-peer-urls", peer),
            ("name", node.to_string()),
            ("peer-client-cert-auth", "true".to_owned()),
            ("snapshot-count", "10000".to_owned()),
            ("watch-progress-notify-interval", "5s".to_owned()),
        ]);
        self.files(
            &mut flags,
            [
                ("cert-file", ArtifactKind::Certificate(LeafKind::EtcdServer)),
                ("key-file", ArtifactKind::Key(LeafKind::EtcdServer)),
                ("peer-cert-file", ArtifactKind::Certificate(LeafKind::EtcdPeer)),
                ("peer-key-file", ArtifactKind::Key(LeafKind::EtcdPeer)),
            ],
        );
        self.issuer_file(&mut flags, "trusted-ca-file", LeafKind::EtcdServer);
        self.issuer_file(&mut flags, "peer-trusted-ca-file", LeafKind::EtcdPeer);
        Container {
            name: "etcd",
            image: format!("{REGISTRY}/etcd:{ETCD_VERSION}"),
            flags,
            volumes: vec![
                Volume::directory("etcd-certs", format!("{}/etcd", self.pki())),
                Volume::directory("etcd-data", ETCD_DATA.to_owned()),
            ],
            cpu: "100m",
            memory: Some("100Mi"),
            probes: Probes {
                port: ETCD_METRICS_PORT,
                liveness: Probe::liveness(loopback, "/livez", Scheme::Http),
                readiness: Some(Probe::readiness(loopback, "/readyz", Scheme::Http)),
                startup: Probe::startup(loopback, "/readyz", Scheme::Http),
            },
        }
        .into_pod(Some(("kubeadm.kubernetes.io/etcd.advertise-client-urls", client)))
    }

    /// Cluster traffic of kube-apiserver goes through the Konnectivity server by mutual TLS
    /// (`apiserver/pkg/apis/apiserver/v1beta1`; a TCP transport speaks HTTP CONNECT).
    fn egress_selector(&self) -> EgressSelectorConfiguration {
        let file = |kind| self.path(kind).unwrap_or_default();
        let tls_config = TlsConfig {
            ca_bundle: self.issuer_path(LeafKind::KonnectivityServer).unwrap_or_default(),
            client_cert: file(ArtifactKind::Certificate(LeafKind::KonnectivityClient)),
            client_key: file(ArtifactKind::Key(LeafKind::KonnectivityClient)),
        };
        let url = url("https", self.loopback(), KONNECTIVITY_SERVER_PORT);
        let connection = Connection {
            proxy_protocol: "HTTPConnect",
            transport: Transport { tcp: TcpTransport { tls_config, url } },
        };
        EgressSelectorConfiguration {
            api_version: "apiserver.k8s.io/v1beta1",
            egress_selections: [EgressSelection { connection, name: "cluster" }],
            kind: "EgressSelectorConfiguration",
        }
    }

    fn kubelet_configuration(&self) -> KubeletConfiguration {
        let root = self.path(ArtifactKind::AuthorityCertificate(AuthorityRole::Cluster));
        KubeletConfiguration {
            api_version: "kubelet.config.k8s.io/v1beta1",
            authentication: KubeletAuthentication {
                anonymous: Enabled { enabled: false },
                webhook: Enabled { enabled: true },
                x509: X509Authentication { client_ca_file: root.unwrap_or_default() },
            },
            authorization: KubeletAuthorization { mode: "Webhook" },
            cgroup_driver: "systemd",
            cluster_dns: [self.names.service_cidrs().dns_server()],
            cluster_domain: self.names.dns_domain().to_string(),
            healthz_bind_address: Ipv4Addr::LOCALHOST,
            healthz_port: KUBELET_HEALTHZ_PORT,
            kind: "KubeletConfiguration",
            rotate_certificates: true,
            static_pod_path: format!("{}/manifests", Layout::ROOT),
        }
    }

    /// Where a file stands on the node.
    fn path(&self, kind: ArtifactKind) -> Option<String> {
        self.layout.path_of(kind).map(|path| format!("{}/{path}", Layout::ROOT))
    }

    /// Where the certificate of a leaf's issuer stands on the node.
    fn issuer_path(&self, leaf: LeafKind) -> Option<String> {
        self.path(ArtifactKind::AuthorityCertificate(self.hierarchy.issuer_of(leaf)?))
    }

    /// Adds a flag for each file that the hierarchy has.
    fn files<const N: usize>(&self, flags: &mut Flags, files: [(&'static str, ArtifactKind); N]) {
        flags.extend(files.into_iter().filter_map(|(flag, kind)| Some((flag, self.path(kind)?))));
    }

    fn issuer_file(&self, flags: &mut Flags, flag: &'static str, leaf: LeafKind) {
        flags.extend(self.issuer_path(leaf).map(|path| (flag, path)));
    }

    fn pki(&self) -> String {
        format!("{}/pki", Layout::ROOT)
    }

    /// The loopback address of the family in which the node advertises itself.
    const fn loopback(&self) -> IpAddr {
        match self.names.advertise_address() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        }
    }
}

fn socket(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn url(scheme: &str, address: IpAddr, port: u16) -> String {
    format!("{scheme}://{}", socket(address, port))
}

/// A document of plain scalars, as Kubernetes writes it.
fn yaml(document: &impl Serialize) -> Result<String, fmt::Error> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, document, options).map_err(|_infallible| fmt::Error)?;
    Ok(text)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EgressSelectorConfiguration {
    api_version: &'static str,
    egress_selections: [EgressSelection; 1],
    kind: &'static str,
}

#[derive(Serialize)]
struct EgressSelection {
    connection: Connection,
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    proxy_protocol: &'static str,
    transport: Transport,
}

#[derive(Serialize)]
struct Transport {
    tcp: TcpTransport,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TcpTransport {
    tls_config: TlsConfig,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TlsConfig {
    ca_bundle: String,
    client_cert: String,
    client_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfiguration {
    api_version: &'static str,
    authentication: KubeletAuthentication,
    authorization: KubeletAuthorization,
    cgroup_driver: &'static str,
    #[serde(rename = "clusterDNS")]
    cluster_dns: [IpAddr; 1],
    cluster_domain: String,
    healthz_bind_address: Ipv4Addr,
    healthz_port: u16,
    kind: &'static str,
    rotate_certificates: bool,
    static_pod_path: String,
}

#[derive(Serialize)]
struct KubeletAuthentication {
    anonymous: Enabled,
    webhook: Enabled,
    x509: X509Authentication,
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct X509Authentication {
    #[serde(rename = "clientCAFile")]
    client_ca_file: String,
}

#[derive(Serialize)]
struct KubeletAuthorization {
    mode: &'static str,
}
