//! What each leaf of a cluster looks like: subject, usages, names.
//!
//! A profile is the only source of a certificate's subject form, key usage and extended key
//! usage. The facts are kubeadm's certificate list, etcd's two-sided certificates
//! (etcd-io/etcd#9785) and the Kubernetes node authorizer.

use core::fmt;

use crate::certificate::ExtendedKeyUsage;
use crate::name::{DecidedSubject, NodeName, Subject};

/// Every kind of leaf that an authority of a cluster issues.
///
/// With the feature `serde` it is written as it prints: `apiserver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeafKind {
    /// kube-apiserver's serving certificate.
    ApiServer,
    /// kube-apiserver as a client of kubelets.
    ApiServerKubeletClient,
    /// kube-apiserver as a client of etcd.
    ApiServerEtcdClient,
    /// kube-apiserver as the aggregating proxy.
    FrontProxyClient,
    /// etcd on its client port, and its JSON gateway's client: both usages.
    EtcdServer,
    /// etcd to etcd: both usages.
    EtcdPeer,
    /// The health probe of etcd.
    EtcdHealthcheckClient,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// The administrator's kubeconfig: a group that a binding makes an administrator, so it can be taken away again.
    Admin,
    /// The break-glass kubeconfig: `system:masters`, which no authorizer asks about and nothing but a rotation of the
    /// cluster root takes away. It is on no [`Path`](crate::Path), so that a rotation does not wait for it: whoever keeps
    /// it has it issued anew together with the administrator's.
    SuperAdmin,
    /// A kubelet as a client of the API server.
    KubeletClient,
    /// A kubelet's serving certificate.
    KubeletServing,
    /// The Konnectivity server, towards agents and API servers.
    KonnectivityServer,
    /// kube-apiserver as a client of the Konnectivity server.
    KonnectivityClient,
    /// A Konnectivity agent.
    KonnectivityAgent,
    /// An aggregated API server's serving certificate.
    AggregatedApiServer,
    /// An admission webhook's serving certificate.
    Webhook,
    /// A service-account token: a leaf of the service-account keys, not a certificate.
    ServiceAccountToken,
}

impl LeafKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::ApiServer,
        Self::ApiServerKubeletClient,
        Self::ApiServerEtcdClient,
        Self::FrontProxyClient,
        Self::EtcdServer,
        Self::EtcdPeer,
        Self::EtcdHealthcheckClient,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Admin,
        Self::SuperAdmin,
        Self::KubeletClient,
        Self::KubeletServing,
        Self::KonnectivityServer,
        Self::KonnectivityClient,
        Self::KonnectivityAgent,
        Self::AggregatedApiServer,
        Self::Webhook,
        Self::ServiceAccountToken,
    ];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::ApiServer => "apiserver",
            Self::ApiServerKubeletClient => "apiserver-kubelet-client",
            Self::ApiServerEtcdClient => "apiserver-etcd-client",
            Self::FrontProxyClient => "front-proxy-client",
            Self::EtcdServer => "etcd-server",
            Self::EtcdPeer => "etcd-peer",
            Self::EtcdHealthcheckClient => "etcd-healthcheck-client",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Admin => "admin",
            Self::SuperAdmin => "super-admin",
            Self::KubeletClient => "kubelet-client",
            Self::KubeletServing => "kubelet-serving",
            Self::KonnectivityServer => "konnectivity-server",
            Self::KonnectivityClient => "konnectivity-client",
            Self::KonnectivityAgent => "konnectivity-agent",
            Self::AggregatedApiServer => "aggregated-apiserver",
            Self::Webhook => "webhook",
            Self::ServiceAccountToken => "service-account-token",
        }
    }

    /// Whether one certificate is presented as server and as client, so that both
    /// directions must trust a new issuer before it is used.
    #[must_use]
    pub fn is_dual_role(self) -> bool {
        self.extended_key_usage().len() > 1
    }

    /// The extended key usages; empty for a token.
    #[must_use]
    pub const fn extended_key_usage(self) -> &'static [ExtendedKeyUsage] {
        use ExtendedKeyUsage::{ClientAuth, ServerAuth};
        match self {
            Self::EtcdServer | Self::EtcdPeer => &[ServerAuth, ClientAuth],
            Self::ApiServer
            | Self::KubeletServing
            | Self::KonnectivityServer
            | Self::AggregatedApiServer
            | Self::Webhook => &[ServerAuth],
            Self::ApiServerKubeletClient
            | Self::ApiServerEtcdClient
            | Self::FrontProxyClient
            | Self::EtcdHealthcheckClient
            | Self::ControllerManager
            | Self::Scheduler
            | Self::Admin
            | Self::SuperAdmin
            | Self::KubeletClient
            | Self::KonnectivityClient
            | Self::KonnectivityAgent => &[ClientAuth],
            Self::ServiceAccountToken => &[],
        }
    }

    /// Whether the certificate must carry subject alternative names (a server is known by
    /// nothing else, RFC 9525 6.3) or must not (a Kubernetes client is known by its subject).
    #[must_use]
    pub fn has_subject_alt_names(self) -> bool {
        self.extended_key_usage().contains(&ExtendedKeyUsage::ServerAuth)
    }

    /// The subject of the leaf, or `None` when a node's name is missing or does not belong.
    #[must_use]
    pub fn subject(self, node: Option<&NodeName>) -> Option<Subject> {
        self.decided_subject(node).map(|subject| subject.parts().to_subject())
    }

    pub(crate) fn decided_subject(self, node: Option<&NodeName>) -> Option<DecidedSubject> {
        let fixed = |common_name, groups| match node {
            None => Some(DecidedSubject::Fixed { common_name, groups }),
            Some(_) => None,
        };
        let of_node = |prefix, groups| node.map(|node| DecidedSubject::Node { prefix, node: node.clone(), groups });
        match self {
            Self::ApiServer => fixed("kube-apiserver", &[]),
            Self::ApiServerKubeletClient => fixed("kube-apiserver-kubelet-client", &[]),
            Self::ApiServerEtcdClient => fixed("kube-apiserver-etcd-client", &[]),
            Self::FrontProxyClient => fixed("front-proxy-client", &[]),
            Self::EtcdHealthcheckClient => fixed("kube-etcd-healthcheck-client", &[]),
            Self::ControllerManager => fixed("system:kube-controller-manager", &[]),
            Self::Scheduler => fixed("system:kube-scheduler", &[]),
            Self::Admin => fixed("kubernetes-admin", &["kubeadm:cluster-admins"]),
            Self::SuperAdmin => fixed("kubernetes-super-admin", &["system:masters"]),
            Self::KonnectivityServer => fixed("konnectivity-server", &[]),
            Self::KonnectivityClient => fixed("kube-apiserver-konnectivity-client", &[]),
            Self::AggregatedApiServer => fixed("aggregated-apiserver", &[]),
            Self::Webhook => fixed("webhook", &[]),
            Self::EtcdServer | Self::EtcdPeer => of_node("", &[]),
            Self::KonnectivityAgent => of_node("system:konnectivity-agent:", &["system:konnectivity-agents"]),
            Self::KubeletClient | Self::KubeletServing => of_node("system:node:", &["system:nodes"]),
            Self::ServiceAccountToken => None,
        }
    }
}

impl fmt::Display for LeafKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_certificates_serve_both_directions() {
        let dual: Vec<_> = LeafKind::ALL.into_iter().filter(|leaf| leaf.is_dual_role()).collect();
        assert_eq!(dual, [LeafKind::EtcdServer, LeafKind::EtcdPeer]);
    }

    #[test]
    fn a_kubelet_is_a_node_and_nothing_else_is() {
        let node: NodeName = "node-1".parse().unwrap();
        for leaf in LeafKind::ALL {
            let subject = leaf.subject(Some(&node)).or_else(|| leaf.subject(None));
            let is_node = subject.is_some_and(|subject| subject.organizations() == ["system:nodes"]);
            assert_eq!(is_node, matches!(leaf, LeafKind::KubeletClient | LeafKind::KubeletServing), "{leaf}");
        }
        assert_eq!(
            LeafKind::KubeletClient.subject(Some(&node)).unwrap().to_string(),
            "O=system:nodes,CN=system:node:node-1"
        );
        assert_eq!(LeafKind::KubeletClient.subject(None), None);
        assert_eq!(LeafKind::Scheduler.subject(Some(&node)), None);
    }

    #[test]
    fn only_the_break_glass_leaf_is_a_cluster_superuser() {
        let node: NodeName = "n".parse().unwrap();
        for leaf in LeafKind::ALL {
            for subject in [leaf.subject(None), leaf.subject(Some(&node))].into_iter().flatten() {
                let is_superuser = subject.organizations().iter().any(|group| group == "system:masters");
                assert_eq!(is_superuser, leaf == LeafKind::SuperAdmin, "{leaf}");
            }
        }
    }
}
