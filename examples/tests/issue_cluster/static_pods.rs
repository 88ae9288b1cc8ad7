//! The static pods and the kubelet's configuration: kubeadm's flags, and nothing named that is not there.

use std::path::Path;

use pki_core::{ArtifactKind, ClusterNames, ClusterNamesSpec, ComponentKind, KeyAlgorithm, LeafKind, Preset};

use crate::tree::{Tree, names};

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
