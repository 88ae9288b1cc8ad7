//! Which authority of a cluster, and which generation of it.

use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;

/// The job of one authority within one cluster.
///
/// No key ever serves two roles or two clusters. Which roles a cluster has is
/// decided by its [`Hierarchy`](crate::Hierarchy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum AuthorityRole {
    /// The cluster root: API server, kubelets, and every client of the Kubernetes API, as far as no authority of their
    /// own issues them.
    Cluster,
    /// Every client of the Kubernetes API, kubelets included, where servers have another authority (Gardener's
    /// `ca-client`, the client CA of k3s).
    Client,
    /// Both directions of API server to kubelet: the kubelet's serving certificate and the API server as its client
    /// (Gardener's `ca-kubelet`).
    Kubelet,
    /// The servers of aggregated APIs (Gardener's `ca-metrics-server`).
    AggregatedApi,
    /// One CA for etcd clients and peers alike (GDC, kubeadm).
    Etcd,
    /// Clients and servers of the etcd API (GKE; Gardener's `ca-etcd`).
    EtcdApi,
    /// etcd member to etcd member (GKE, absent where the database is Spanner; Gardener's `ca-etcd-peer`).
    EtcdPeer,
    /// The aggregation layer: who may assert `X-Remote-User`.
    FrontProxy,
    /// The control plane to node tunnel, where it has a CA of its own (GKE; Gardener's `ca-vpn`).
    Konnectivity,
    /// The service-account signing keys: a key set, not a CA. Its bundle holds
    /// public keys and its leaves are tokens.
    ServiceAccount,
}

impl AuthorityRole {
    /// Every role, in the order in which they are defined.
    pub const ALL: [Self; 10] = [
        Self::Cluster,
        Self::Client,
        Self::Kubelet,
        Self::AggregatedApi,
        Self::Etcd,
        Self::EtcdApi,
        Self::EtcdPeer,
        Self::FrontProxy,
        Self::Konnectivity,
        Self::ServiceAccount,
    ];

    /// The stable identifier, as it stands in labels and reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Client => "client",
            Self::Kubelet => "kubelet",
            Self::AggregatedApi => "aggregated-api",
            Self::Etcd => "etcd",
            Self::EtcdApi => "etcd-api",
            Self::EtcdPeer => "etcd-peer",
            Self::FrontProxy => "front-proxy",
            Self::Konnectivity => "konnectivity",
            Self::ServiceAccount => "service-account",
        }
    }

    /// Whether the authority issues X.509 certificates.
    #[must_use]
    pub const fn is_certificate_authority(self) -> bool {
        !matches!(self, Self::ServiceAccount)
    }
}

impl fmt::Display for AuthorityRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The generation of an authority: an integer that counts up by one per
/// rotation and tells the authority before a rotation from the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct CaVersion(NonZeroU32);

impl CaVersion {
    /// The version of a cluster that was never rotated.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// A version by number; `None` for zero, which no authority has.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for CaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one cluster. It binds keys, requests and events to it.
///
/// A DNS-1123 label: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with
/// a letter or digit (RFC 1123 2.1, as the Kubernetes API uses it).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ClusterId(String);

impl ClusterId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClusterId {
    type Error = crate::name::NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.0
    }
}

impl FromStr for ClusterId {
    type Err = crate::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::name::check_dns_label(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
