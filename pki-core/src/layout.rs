//! Which files an `/etc/kubernetes` of a hierarchy consists of.
//!
//! kubeadm's names, places and modes (`cmd/kubeadm/app/constants/constants.go`, `util/pkiutil/pki_helpers.go`,
//! `util/staticpod/utils.go`, each under `cmd/kubeadm/app`). Where a hierarchy has an authority that kubeadm does not
//! know, its files are named in kubeadm's manner.

use core::fmt;

use crate::{AuthorityRole, ComponentKind, Hierarchy, LeafKind};

/// Only the owner reads and writes it.
const SECRET: u32 = 0o600;
/// Everybody reads it.
const PUBLIC: u32 = 0o644;

/// What one file of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// The certificate of an authority, which is also the bundle that its verifiers load.
    AuthorityCertificate(AuthorityRole),
    /// The private key of an authority.
    AuthorityKey(AuthorityRole),
    /// A leaf.
    Certificate(LeafKind),
    /// The private key of a leaf.
    Key(LeafKind),
    /// The private key that signs service-account tokens.
    TokenSigningKey,
    /// The public key that verifies service-account tokens.
    TokenVerificationKey,
    /// A leaf, its key and the cluster root, as a client of the Kubernetes API takes them.
    Kubeconfig(LeafKind),
    /// The static pod of a component.
    Manifest(ComponentKind),
    /// How kube-apiserver reaches the Konnectivity server.
    EgressSelector,
    /// The configuration of the node's kubelet. kubeadm keeps it in `/var/lib/kubelet`.
    KubeletConfiguration,
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthorityCertificate(role) => write!(f, "certificate of the {role} authority"),
            Self::AuthorityKey(role) => write!(f, "key of the {role} authority"),
            Self::Certificate(leaf) => write!(f, "certificate {leaf}"),
            Self::Key(leaf) => write!(f, "key {leaf}"),
            Self::TokenSigningKey => f.write_str("key that signs service-account tokens"),
            Self::TokenVerificationKey => f.write_str("key that verifies service-account tokens"),
            Self::Kubeconfig(leaf) => write!(f, "kubeconfig {leaf}"),
            Self::Manifest(component) => write!(f, "static pod {component}"),
            Self::EgressSelector => f.write_str("egress selector"),
            Self::KubeletConfiguration => f.write_str("kubelet configuration"),
        }
    }
}

/// One file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    path: String,
    kind: ArtifactKind,
    mode: u32,
}

impl Artifact {
    const fn new(path: String, kind: ArtifactKind, mode: u32) -> Self {
        Self { path, kind, mode }
    }

    /// Where it stands, relative to [`Layout::ROOT`], with `/` between the parts.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ArtifactKind {
        self.kind
    }

    /// Who may read it: POSIX permission bits.
    #[must_use]
    pub const fn mode(&self) -> u32 {
        self.mode
    }
}

/// The files of one control-plane node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    artifacts: Vec<Artifact>,
}

impl Layout {
    /// Where the tree stands on a node.
    pub const ROOT: &'static str = "/etc/kubernetes";

    /// The files of a hierarchy: authorities first, then what they issue, then what names these files.
    ///
    /// kube-apiserver is a client of etcd even where the database is elsewhere, so that its manifest and leaves
    /// exist in every hierarchy; a static pod of etcd, and leaves for its peers, only where etcd runs on the node.
    #[must_use]
    pub fn of(hierarchy: &Hierarchy) -> Self {
        let mut artifacts = Vec::new();
        for role in hierarchy.roles().iter().copied() {
            if let Some(stem) = authority_stem(role) {
                let (certificate, key) = (format!("{stem}.crt"), format!("{stem}.key"));
                artifacts.push(Artifact::new(certificate, ArtifactKind::AuthorityCertificate(role), PUBLIC));
                artifacts.push(Artifact::new(key, ArtifactKind::AuthorityKey(role), SECRET));
            }
        }
        let issued = || LeafKind::ALL.into_iter().filter(|leaf| hierarchy.issuer_of(*leaf).is_some());
        for (leaf, stem) in issued().filter_map(|leaf| Some((leaf, leaf_stem(leaf)?))) {
            artifacts.push(Artifact::new(format!("{stem}.crt"), ArtifactKind::Certificate(leaf), PUBLIC));
            artifacts.push(Artifact::new(format!("{stem}.key"), ArtifactKind::Key(leaf), SECRET));
        }
        // kubeadm writes the public half with the mode of the private one.
        for (path, kind) in
            [("pki/sa.key", ArtifactKind::TokenSigningKey), ("pki/sa.pub", ArtifactKind::TokenVerificationKey)]
        {
            artifacts.push(Artifact::new(path.to_owned(), kind, SECRET));
        }
        for (leaf, path) in issued().filter_map(|leaf| Some((leaf, kubeconfig_path(leaf)?))) {
            artifacts.push(Artifact::new(path.to_owned(), ArtifactKind::Kubeconfig(leaf), SECRET));
        }
        for (component, path) in [
            (ComponentKind::KubeApiServer, "manifests/kube-apiserver.yaml"),
            (ComponentKind::ControllerManager, "manifests/kube-controller-manager.yaml"),
            (ComponentKind::Scheduler, "manifests/kube-scheduler.yaml"),
            (ComponentKind::Etcd, "manifests/etcd.yaml"),
        ] {
            if component != ComponentKind::Etcd || hierarchy.issuer_of(LeafKind::EtcdPeer).is_some() {
                artifacts.push(Artifact::new(path.to_owned(), ArtifactKind::Manifest(component), SECRET));
            }
        }
        if hierarchy.issuer_of(LeafKind::KonnectivityClient).is_some() {
            let path = "egress-selector-configuration.yaml".to_owned();
            artifacts.push(Artifact::new(path, ArtifactKind::EgressSelector, SECRET));
        }
        let path = "kubelet/config.yaml".to_owned();
        artifacts.push(Artifact::new(path, ArtifactKind::KubeletConfiguration, PUBLIC));
        Self { artifacts }
    }

    /// Every file, each path once.
    #[must_use]
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// Where a file stands, relative to [`ROOT`](Self::ROOT); `None` where the hierarchy has no such file.
    #[must_use]
    pub fn path_of(&self, kind: ArtifactKind) -> Option<&str> {
        self.artifacts.iter().find(|artifact| artifact.kind == kind).map(Artifact::path)
    }
}

/// The path of an authority's certificate and key without their endings; a key set has none.
const fn authority_stem(role: AuthorityRole) -> Option<&'static str> {
    Some(match role {
        AuthorityRole::Cluster => "pki/ca",
        AuthorityRole::Client => "pki/client-ca",
        AuthorityRole::Kubelet => "pki/kubelet-ca",
        AuthorityRole::AggregatedApi => "pki/aggregated-api-ca",
        // What etcd's clients verify keeps the name that they know.
        AuthorityRole::Etcd | AuthorityRole::EtcdApi => "pki/etcd/ca",
        AuthorityRole::EtcdPeer => "pki/etcd/peer-ca",
        AuthorityRole::FrontProxy => "pki/front-proxy-ca",
        AuthorityRole::Konnectivity => "pki/konnectivity-ca",
        AuthorityRole::ServiceAccount => return None,
    })
}

/// The path of a leaf and its key without their endings, for leaves that stand in files of their own.
const fn leaf_stem(leaf: LeafKind) -> Option<&'static str> {
    Some(match leaf {
        LeafKind::ApiServer => "pki/apiserver",
        LeafKind::ApiServerKubeletClient => "pki/apiserver-kubelet-client",
        LeafKind::ApiServerEtcdClient => "pki/apiserver-etcd-client",
        LeafKind::FrontProxyClient => "pki/front-proxy-client",
        LeafKind::EtcdServer => "pki/etcd/server",
        LeafKind::EtcdPeer => "pki/etcd/peer",
        LeafKind::EtcdHealthcheckClient => "pki/etcd/healthcheck-client",
        LeafKind::KonnectivityServer => "pki/konnectivity-server",
        LeafKind::KonnectivityClient => "pki/konnectivity-client",
        LeafKind::KonnectivityAgent => "pki/konnectivity-agent",
        // These stand in kubeconfig files.
        LeafKind::ControllerManager
        | LeafKind::Scheduler
        | LeafKind::Admin
        | LeafKind::SuperAdmin
        | LeafKind::KubeletClient
        // A kubelet makes its serving certificate itself or asks the API for it; the others live in pods.
        | LeafKind::KubeletServing
        | LeafKind::AggregatedApiServer
        | LeafKind::Webhook
        | LeafKind::ServiceAccountToken => return None,
    })
}

/// The path of a kubeconfig file.
const fn kubeconfig_path(leaf: LeafKind) -> Option<&'static str> {
    Some(match leaf {
        LeafKind::Admin => "admin.conf",
        LeafKind::SuperAdmin => "super-admin.conf",
        LeafKind::KubeletClient => "kubelet.conf",
        LeafKind::ControllerManager => "controller-manager.conf",
        LeafKind::Scheduler => "scheduler.conf",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn paths(layout: &Layout) -> Vec<&str> {
        let mut paths: Vec<_> = layout.artifacts().iter().map(Artifact::path).collect();
        paths.sort_unstable();
        paths
    }

    /// What `kubeadm init phase certs all`, `kubeconfig all`, `control-plane all`, `etcd local` and `kubelet-start`
    /// of 1.36 leave behind.
    const KUBEADM: [&str; 32] = [
        "admin.conf",
        "controller-manager.conf",
        "kubelet.conf",
        "kubelet/config.yaml",
        "manifests/etcd.yaml",
        "manifests/kube-apiserver.yaml",
        "manifests/kube-controller-manager.yaml",
        "manifests/kube-scheduler.yaml",
        "pki/apiserver-etcd-client.crt",
        "pki/apiserver-etcd-client.key",
        "pki/apiserver-kubelet-client.crt",
        "pki/apiserver-kubelet-client.key",
        "pki/apiserver.crt",
        "pki/apiserver.key",
        "pki/ca.crt",
        "pki/ca.key",
        "pki/etcd/ca.crt",
        "pki/etcd/ca.key",
        "pki/etcd/healthcheck-client.crt",
        "pki/etcd/healthcheck-client.key",
        "pki/etcd/peer.crt",
        "pki/etcd/peer.key",
        "pki/etcd/server.crt",
        "pki/etcd/server.key",
        "pki/front-proxy-ca.crt",
        "pki/front-proxy-ca.key",
        "pki/front-proxy-client.crt",
        "pki/front-proxy-client.key",
        "pki/sa.key",
        "pki/sa.pub",
        "scheduler.conf",
        "super-admin.conf",
    ];

    #[test]
    fn the_tree_of_kubeadm_is_kubeadms() {
        assert_eq!(paths(&Layout::of(&Hierarchy::kubeadm())), KUBEADM);
    }

    #[test]
    fn other_hierarchies_have_kubeadms_tree_and_their_own_authorities() {
        let konnectivity = [
            "egress-selector-configuration.yaml",
            "pki/konnectivity-agent.crt",
            "pki/konnectivity-agent.key",
            "pki/konnectivity-client.crt",
            "pki/konnectivity-client.key",
            "pki/konnectivity-server.crt",
            "pki/konnectivity-server.key",
        ];
        let authority = ["pki/konnectivity-ca.crt", "pki/konnectivity-ca.key"];
        let peer_authority = ["pki/etcd/peer-ca.crt", "pki/etcd/peer-ca.key"];
        let no_peers = ["manifests/etcd.yaml", "pki/etcd/peer.crt", "pki/etcd/peer.key"];
        let nothing: &[&str] = &[];
        for (preset, more, less) in [
            ("gdc", konnectivity.to_vec(), nothing),
            ("gke", [konnectivity.as_slice(), &authority, &peer_authority].concat(), nothing),
            ("gke-spanner", [konnectivity.as_slice(), &authority].concat(), &no_peers),
        ] {
            let preset: Preset = preset.parse().unwrap();
            let mut expected: Vec<_> = KUBEADM.into_iter().filter(|path| !less.contains(path)).chain(more).collect();
            expected.sort_unstable();
            assert_eq!(paths(&Layout::of(&Hierarchy::preset(preset))), expected, "{preset}");
        }
    }

    /// Gardener's split, which has every authority but the one that is all of etcd.
    fn gardener() -> Hierarchy {
        let leaves_of = |role| match role {
            AuthorityRole::Cluster => vec![LeafKind::ApiServer, LeafKind::Webhook],
            AuthorityRole::Client => vec![
                LeafKind::KubeletClient,
                LeafKind::ControllerManager,
                LeafKind::Scheduler,
                LeafKind::Admin,
                LeafKind::SuperAdmin,
            ],
            AuthorityRole::Kubelet => vec![LeafKind::KubeletServing, LeafKind::ApiServerKubeletClient],
            AuthorityRole::AggregatedApi => vec![LeafKind::AggregatedApiServer],
            // As GKE, which splits the rest as Gardener does.
            _ => Hierarchy::gke(crate::Storage::Etcd).leaves_of(role).collect(),
        };
        let day = time::Duration::DAY;
        AuthorityRole::ALL
            .into_iter()
            .filter(|role| *role != AuthorityRole::Etcd)
            .fold(Hierarchy::builder(day, day), |builder, role| builder.authority(role, leaves_of(role)))
            .build()
            .unwrap()
    }

    #[test]
    fn every_key_is_its_owners_alone_and_no_two_files_share_a_path() {
        let built = gardener();
        assert_eq!(built.roles().len(), AuthorityRole::ALL.len() - 1);
        for hierarchy in Preset::ALL.map(Hierarchy::preset).into_iter().chain([built]) {
            let layout = Layout::of(&hierarchy);
            for artifact in layout.artifacts() {
                let holds_key = matches!(
                    artifact.kind(),
                    ArtifactKind::AuthorityKey(_)
                        | ArtifactKind::Key(_)
                        | ArtifactKind::TokenSigningKey
                        | ArtifactKind::Kubeconfig(_)
                );
                assert!(!holds_key || artifact.mode() == 0o600, "{}", artifact.path());
                assert_eq!(
                    artifact.path().ends_with(".crt"),
                    matches!(artifact.kind(), ArtifactKind::AuthorityCertificate(_) | ArtifactKind::Certificate(_))
                );
                assert_eq!(layout.path_of(artifact.kind()), Some(artifact.path()));
            }
            let mut unique = paths(&layout);
            unique.dedup();
            assert_eq!(unique.len(), layout.artifacts().len(), "{:?}", hierarchy.origin());
        }
    }

    #[test]
    fn every_leaf_that_a_node_starts_with_stands_in_exactly_one_place() {
        let elsewhere =
            [LeafKind::KubeletServing, LeafKind::AggregatedApiServer, LeafKind::Webhook, LeafKind::ServiceAccountToken];
        for leaf in LeafKind::ALL {
            let places = usize::from(leaf_stem(leaf).is_some()) + usize::from(kubeconfig_path(leaf).is_some());
            assert_eq!(places, usize::from(!elsewhere.contains(&leaf)), "{leaf}");
        }
    }
}
