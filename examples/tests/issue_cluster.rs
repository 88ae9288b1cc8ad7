//! The tree of `issue_cluster`, judged by openssl: complete, well-formed, of one piece, and kubeadm's.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use examples::{Clock, ClusterTree, TreeSpec};
use pki_core::{
    ArtifactKind, ClusterNames, ClusterNamesSpec, ComponentKind, ExtendedKeyUsage, Hierarchy, KeyAlgorithm, Layout,
    LeafKind, Preset,
};
use serde_json::Value;

/// What `openssl` says; whether it was content.
fn openssl(arguments: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("openssl does not run: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

fn said(arguments: &[&str], input: &[u8]) -> String {
    let (content, said) = openssl(arguments, input);
    assert!(content, "{arguments:?}: {said}");
    said
}

fn names(change: impl FnOnce(&mut ClusterNamesSpec)) -> ClusterNames {
    let mut spec = ClusterNamesSpec::new("cp-1.example.com".parse().unwrap(), "192.0.2.10".parse().unwrap());
    change(&mut spec);
    ClusterNames::new(spec).unwrap()
}

/// A tree on disk, which goes with this value.
struct Tree {
    room: tempfile::TempDir,
    hierarchy: Hierarchy,
    layout: Layout,
}

impl Tree {
    fn issue(preset: Preset, algorithm: KeyAlgorithm, names: ClusterNames) -> Self {
        let room = tempfile::tempdir().unwrap();
        let mut spec = TreeSpec::new(preset, names);
        spec.algorithm = algorithm;
        let tree = ClusterTree::issue(&spec, Clock::default().now()).unwrap();
        tree.publish(&room.path().join("kubernetes")).unwrap();
        let hierarchy = Hierarchy::preset(preset);
        Self { room, layout: Layout::of(&hierarchy), hierarchy }
    }

    fn path(&self, kind: ArtifactKind) -> String {
        let path = self.layout.path_of(kind).unwrap_or_else(|| panic!("no {kind}"));
        self.room.path().join("kubernetes").join(path).to_str().unwrap().to_owned()
    }

    fn issuer(&self, leaf: LeafKind) -> String {
        self.path(ArtifactKind::AuthorityCertificate(self.hierarchy.issuer_of(leaf).unwrap()))
    }

    fn yaml(&self, kind: ArtifactKind) -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(self.path(kind)).unwrap()).unwrap()
    }

    /// The octets behind a `-data` field of a kubeconfig's only user or cluster.
    fn embedded(&self, leaf: LeafKind, list: &str, field: &str) -> Vec<u8> {
        let config = self.yaml(ArtifactKind::Kubeconfig(leaf));
        let entry = &config[list][0][list.strip_suffix('s').unwrap()];
        STANDARD.decode(entry[field].as_str().unwrap()).unwrap()
    }

    /// The leaf, wherever it stands.
    fn certificate(&self, leaf: LeafKind) -> Vec<u8> {
        match self.layout.path_of(ArtifactKind::Certificate(leaf)) {
            Some(_) => std::fs::read(self.path(ArtifactKind::Certificate(leaf))).unwrap(),
            None => self.embedded(leaf, "users", "client-certificate-data"),
        }
    }

    fn key(&self, leaf: LeafKind) -> Vec<u8> {
        match self.layout.path_of(ArtifactKind::Key(leaf)) {
            Some(_) => std::fs::read(self.path(ArtifactKind::Key(leaf))).unwrap(),
            None => self.embedded(leaf, "users", "client-key-data"),
        }
    }

    /// The leaves that stand in the tree, in files of their own or in kubeconfigs.
    fn leaves(&self) -> Vec<LeafKind> {
        let kinds = self.layout.artifacts().iter().filter_map(|artifact| match artifact.kind() {
            ArtifactKind::Certificate(leaf) | ArtifactKind::Kubeconfig(leaf) => Some(leaf),
            _ => None,
        });
        kinds.collect()
    }

    fn judge(&self) {
        self.judge_files();
        for artifact in self.layout.artifacts() {
            if let ArtifactKind::AuthorityKey(role) = artifact.kind() {
                let root = std::fs::read(self.path(ArtifactKind::AuthorityCertificate(role))).unwrap();
                assert_fits(&root, &std::fs::read(self.path(artifact.kind())).unwrap(), artifact.path());
            }
        }
        for leaf in self.leaves() {
            let (certificate, key) = (self.certificate(leaf), self.key(leaf));
            assert_fits(&certificate, &key, leaf.id());
            for (purpose, usage) in
                [("sslserver", ExtendedKeyUsage::ServerAuth), ("sslclient", ExtendedKeyUsage::ClientAuth)]
            {
                let issuer = self.issuer(leaf);
                let verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", &issuer];
                let (content, said) = openssl(&verify, &certificate);
                assert_eq!(content, leaf.extended_key_usage().contains(&usage), "{leaf} as {purpose}: {said}");
            }
        }
        let tokens = std::fs::read(self.path(ArtifactKind::TokenSigningKey)).unwrap();
        let public = std::fs::read_to_string(self.path(ArtifactKind::TokenVerificationKey)).unwrap();
        assert_eq!(said(&["pkey", "-pubout"], &tokens), public);
    }

    /// Every file of the layout and no other, each with its mode.
    fn judge_files(&self) {
        let mut found = BTreeMap::new();
        collect(&self.room.path().join("kubernetes"), Path::new(""), &mut found);
        let expected = self.layout.artifacts().iter().map(|artifact| (PathBuf::from(artifact.path()), artifact.mode()));
        assert_eq!(found, expected.collect());
    }
}

fn collect(directory: &Path, relative: &Path, found: &mut BTreeMap<PathBuf, u32>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (metadata, relative) = (entry.metadata().unwrap(), relative.join(entry.file_name()));
        if metadata.is_dir() {
            assert_eq!(metadata.permissions().mode() & 0o022, 0, "others may write to {}", relative.display());
            collect(&entry.path(), &relative, found);
        } else {
            found.insert(relative, metadata.permissions().mode() & 0o7777);
        }
    }
}

fn assert_fits(certificate: &[u8], key: &[u8], what: &str) {
    let (certified, held) = (said(&["x509", "-noout", "-pubkey"], certificate), said(&["pkey", "-pubout"], key));
    assert_eq!(certified, held, "{what}");
}

#[test]
fn every_preset_gets_a_complete_tree_that_openssl_accepts() {
    for preset in Preset::ALL {
        Tree::issue(preset, KeyAlgorithm::P256, names(|_| {})).judge();
    }
}

#[test]
fn every_kind_of_key_gives_a_tree_that_openssl_accepts() {
    for algorithm in KeyAlgorithm::ALL.into_iter().filter(|algorithm| *algorithm != KeyAlgorithm::P256) {
        let tree = Tree::issue(Preset::Kubeadm, algorithm, names(|_| {}));
        tree.judge();
        let kind = match algorithm {
            KeyAlgorithm::P384 => "ASN1 OID: secp384r1",
            KeyAlgorithm::Ed25519 => "ED25519 Private-Key:",
            KeyAlgorithm::Rsa2048 => "Private-Key: (2048 bit",
            KeyAlgorithm::Rsa3072 => "Private-Key: (3072 bit",
            KeyAlgorithm::Rsa4096 => "Private-Key: (4096 bit",
            other => panic!("{other}"),
        };
        for key in [tree.key(LeafKind::ApiServer), tree.key(LeafKind::Admin)] {
            let described = said(&["pkey", "-noout", "-text"], &key);
            assert!(described.contains(kind), "{algorithm}: {}", described.lines().next().unwrap_or_default());
        }
    }
}

/// kubeadm 1.36's certificates: leaf, subject, extended key usages, alternative names.
const KUBEADM: [(LeafKind, &str, &str, &[&str]); 12] = {
    const MEMBER: &[&str] =
        &["DNS:cp-1.example.com", "DNS:localhost", "IP:127.0.0.1", "IP:192.0.2.10", "IP:0:0:0:0:0:0:0:1"];
    const SERVER: &str = "TLS Web Server Authentication";
    const CLIENT: &str = "TLS Web Client Authentication";
    const BOTH: &str = "TLS Web Server Authentication, TLS Web Client Authentication";
    [
        (
            LeafKind::ApiServer,
            "CN=kube-apiserver",
            SERVER,
            &[
                "DNS:cp-1.example.com",
                "DNS:kubernetes",
                "DNS:kubernetes.default",
                "DNS:kubernetes.default.svc",
                "DNS:kubernetes.default.svc.cluster.local",
                "DNS:api.example.com",
                "DNS:more.example.com",
                "IP:10.96.0.1",
                "IP:192.0.2.10",
            ],
        ),
        (LeafKind::ApiServerKubeletClient, "CN=kube-apiserver-kubelet-client", CLIENT, &[]),
        (LeafKind::FrontProxyClient, "CN=front-proxy-client", CLIENT, &[]),
        (LeafKind::EtcdServer, "CN=cp-1.example.com", BOTH, MEMBER),
        (LeafKind::EtcdPeer, "CN=cp-1.example.com", BOTH, MEMBER),
        (LeafKind::EtcdHealthcheckClient, "CN=kube-etcd-healthcheck-client", CLIENT, &[]),
        (LeafKind::ApiServerEtcdClient, "CN=kube-apiserver-etcd-client", CLIENT, &[]),
        (LeafKind::Admin, "CN=kubernetes-admin,O=kubeadm:cluster-admins", CLIENT, &[]),
        (LeafKind::SuperAdmin, "CN=kubernetes-super-admin,O=system:masters", CLIENT, &[]),
        (LeafKind::KubeletClient, "CN=system:node:cp-1.example.com,O=system:nodes", CLIENT, &[]),
        (LeafKind::ControllerManager, "CN=system:kube-controller-manager", CLIENT, &[]),
        (LeafKind::Scheduler, "CN=system:kube-scheduler", CLIENT, &[]),
    ]
};

#[test]
fn subjects_usages_and_alternative_names_are_kubeadms() {
    let names = names(|spec| {
        spec.endpoint = Some("api.example.com:443".parse().unwrap());
        spec.api_server_names = vec![pki_core::SubjectAltName::dns("more.example.com").unwrap()];
    });
    let tree = Tree::issue(Preset::Kubeadm, KeyAlgorithm::P256, names);
    let listed: BTreeSet<_> = KUBEADM.iter().map(|(leaf, ..)| *leaf).collect();
    assert_eq!(tree.leaves().into_iter().collect::<BTreeSet<_>>(), listed);
    for (leaf, subject, usages, alternative) in KUBEADM {
        let certificate = tree.certificate(leaf);
        let found = said(&["x509", "-noout", "-subject", "-nameopt", "RFC2253"], &certificate);
        assert_eq!(found.trim(), format!("subject={subject}"));
        let extension = |name| {
            let said = said(&["x509", "-noout", "-ext", name], &certificate);
            said.lines().nth(1).map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        assert_eq!(extension("extendedKeyUsage"), usages, "{leaf}");
        let found = extension("subjectAltName").replace("IP Address:", "IP:");
        let found: BTreeSet<_> = found.split(", ").filter(|name| !name.is_empty()).collect();
        assert_eq!(found, alternative.iter().copied().collect(), "{leaf}");
    }
}

#[test]
fn kubeconfigs_name_users_and_servers_as_kubeadm_does_and_trust_the_cluster_root() {
    let tree = Tree::issue(
        Preset::Kubeadm,
        KeyAlgorithm::P256,
        names(|spec| spec.endpoint = Some("api.example.com:443".parse().unwrap())),
    );
    let (shared, local) = ("https://api.example.com:443", "https://192.0.2.10:6443");
    for (leaf, user, server) in [
        (LeafKind::Admin, "kubernetes-admin", shared),
        (LeafKind::SuperAdmin, "kubernetes-super-admin", shared),
        (LeafKind::KubeletClient, "system:node:cp-1.example.com", shared),
        (LeafKind::ControllerManager, "system:kube-controller-manager", local),
        (LeafKind::Scheduler, "system:kube-scheduler", local),
    ] {
        let config = tree.yaml(ArtifactKind::Kubeconfig(leaf));
        assert_eq!(config["users"][0]["name"], user);
        assert_eq!(config["current-context"], format!("{user}@kubernetes"));
        assert_eq!(config["clusters"][0]["cluster"]["server"], server);
        let root = tree.embedded(leaf, "clusters", "certificate-authority-data");
        assert_eq!(root, std::fs::read(tree.issuer(leaf)).unwrap(), "{leaf}");
    }
}

/// The command of a static pod, without the program's name.
fn flags(tree: &Tree, component: ComponentKind) -> Vec<String> {
    let pod = tree.yaml(ArtifactKind::Manifest(component));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(pod["metadata"]["name"], container["name"]);
    let mut command = container["command"].as_array().unwrap().iter().map(|part| part.as_str().unwrap().to_owned());
    assert_eq!(command.next().as_deref(), container["name"].as_str());
    command.collect()
}

const COMPONENTS: [ComponentKind; 4] =
    [ComponentKind::KubeApiServer, ComponentKind::ControllerManager, ComponentKind::Scheduler, ComponentKind::Etcd];

#[test]
fn the_flags_of_the_static_pods_are_kubeadms() {
    let tree = Tree::issue(Preset::Kubeadm, KeyAlgorithm::P256, names(|_| {}));
    let expected: [&[&str]; 4] = [
        &[
            "--advertise-address=192.0.2.10",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            "--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt",
            "--etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key",
            "--etcd-servers=https://127.0.0.1:2379",
            "--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            "--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt",
            "--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--secure-port=6443",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
            "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt",
            "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
        ],
        &[
            "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--bind-address=127.0.0.1",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-name=kubernetes",
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
            "--controllers=*,bootstrapsigner,tokencleaner",
            "--kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--leader-elect=true",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--root-ca-file=/etc/kubernetes/pki/ca.crt",
            "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
            "--use-service-account-credentials=true",
        ],
        &[
            "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--bind-address=127.0.0.1",
            "--kubeconfig=/etc/kubernetes/scheduler.conf",
            "--leader-elect=true",
        ],
        &[
            "--advertise-client-urls=https://192.0.2.10:2379",
            "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
            "--client-cert-auth=true",
            "--data-dir=/var/lib/etcd",
            "--feature-gates=InitialCorruptCheck=true",
            "--initial-advertise-peer-urls=https://192.0.2.10:2380",
            "--initial-cluster=cp-1.example.com=https://192.0.2.10:2380",
            "--key-file=/etc/kubernetes/pki/etcd/server.key",
            "--listen-client-urls=https://127.0.0.1:2379,https://192.0.2.10:2379",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--listen-peer-urls=https://192.0.2.10:2380",
            "--name=cp-1.example.com",
            "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt",
            "--peer-client-cert-auth=true",
            "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
            "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
            "--snapshot-count=10000",
            "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
            "--watch-progress-notify-interval=5s",
        ],
    ];
    for (component, expected) in COMPONENTS.into_iter().zip(expected) {
        assert_eq!(flags(&tree, component), expected, "{component}");
    }
}

#[test]
fn other_hierarchies_name_their_own_authorities() {
    let gke = Tree::issue("gke".parse().unwrap(), KeyAlgorithm::P256, names(|_| {}));
    let etcd = flags(&gke, ComponentKind::Etcd);
    for flag in [
        "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/peer-ca.crt",
    ] {
        assert!(etcd.iter().any(|found| found == flag), "{flag}: {etcd:?}");
    }
    let gdc = Tree::issue(Preset::Gdc, KeyAlgorithm::P256, names(|_| {}));
    for (tree, authority) in [(&gke, "konnectivity-ca"), (&gdc, "ca")] {
        let selector = "--egress-selector-config-file=/etc/kubernetes/egress-selector-configuration.yaml";
        assert!(flags(tree, ComponentKind::KubeApiServer).iter().any(|flag| flag == selector));
        let selector = tree.yaml(ArtifactKind::EgressSelector);
        let tls = &selector["egressSelections"][0]["connection"]["transport"]["tcp"]["tlsConfig"];
        assert_eq!(tls["caBundle"], format!("/etc/kubernetes/pki/{authority}.crt"));
        assert_eq!(tls["clientCert"], "/etc/kubernetes/pki/konnectivity-client.crt");
        assert_eq!(tls["clientKey"], "/etc/kubernetes/pki/konnectivity-client.key");
    }
}

#[test]
fn what_a_pod_or_the_kubelet_names_exists_and_is_mounted() {
    for preset in Preset::ALL {
        let tree = Tree::issue(preset, KeyAlgorithm::P256, names(|_| {}));
        let exists = |path: &str| {
            let relative = path.strip_prefix("/etc/kubernetes/").unwrap();
            tree.layout.artifacts().iter().any(|artifact| artifact.path() == relative)
        };
        let kinds = tree.layout.artifacts().iter().filter_map(|artifact| match artifact.kind() {
            ArtifactKind::Manifest(component) => Some(component),
            _ => None,
        });
        let components: Vec<_> = kinds.collect();
        assert_eq!(components.len(), if preset.id() == "gke-spanner" { 3 } else { 4 });
        for component in components {
            let pod = tree.yaml(ArtifactKind::Manifest(component));
            let container = &pod["spec"]["containers"][0];
            let mounts: Vec<_> = container["volumeMounts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|mount| mount["mountPath"].as_str().unwrap())
                .collect();
            let volumes = pod["spec"]["volumes"].as_array().unwrap();
            let hosts: Vec<_> = volumes.iter().map(|volume| volume["hostPath"]["path"].as_str().unwrap()).collect();
            assert_eq!(mounts, hosts, "{preset}: {component}");
            let flags = flags(&tree, component);
            let files: Vec<_> = flags
                .iter()
                .filter_map(|flag| flag.split_once('='))
                .filter(|(_, value)| value.starts_with("/etc/kubernetes/"))
                .collect();
            assert!(!files.is_empty());
            for (flag, path) in files {
                assert!(exists(path), "{preset}: {component} {flag} names {path}");
                let is_mounted = mounts.iter().any(|mount| Path::new(path).starts_with(mount));
                assert!(is_mounted, "{preset}: {component} {flag} names {path}, which is not mounted");
            }
            for probe in ["livenessProbe", "startupProbe"] {
                assert_eq!(container[probe]["httpGet"]["port"], container["ports"][0]["name"], "{component}");
            }
        }
        let kubelet = tree.yaml(ArtifactKind::KubeletConfiguration);
        let root = kubelet["authentication"]["x509"]["clientCAFile"].as_str().unwrap();
        assert!(exists(root), "{root}");
        assert_eq!(kubelet["authentication"]["anonymous"]["enabled"], false);
        assert_eq!(kubelet["authentication"]["webhook"]["enabled"], true);
        assert_eq!(kubelet["authorization"]["mode"], "Webhook");
        assert_eq!(kubelet["rotateCertificates"], true);
        assert_eq!(kubelet["clusterDNS"], serde_json::json!(["10.96.0.10"]));
    }
}

#[test]
fn a_node_of_the_other_family_listens_and_probes_on_its_own_loopback() {
    let mut spec = ClusterNamesSpec::new("cp-1".parse().unwrap(), "2001:db8::10".parse().unwrap());
    spec.service_cidrs = "fd00::/112".parse().unwrap();
    let tree = Tree::issue(Preset::Kubeadm, KeyAlgorithm::P256, ClusterNames::new(spec).unwrap());
    let etcd = flags(&tree, ComponentKind::Etcd);
    let listen = "--listen-client-urls=https://[::1]:2379,https://[2001:db8::10]:2379";
    assert!(etcd.iter().any(|flag| flag == listen), "{etcd:?}");
    let pod = tree.yaml(ArtifactKind::Manifest(ComponentKind::KubeApiServer));
    assert_eq!(pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["host"], "2001:db8::10");
    let config = tree.yaml(ArtifactKind::Kubeconfig(LeafKind::Admin));
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://[2001:db8::10]:6443");
}
