//! The tree of `issue_cluster`, judged by openssl: complete, well-formed, of one piece, and kubeadm's.

#[cfg(test)]
#[path = "issue_cluster/static_pods.rs"]
mod static_pods;
#[cfg(test)]
#[path = "support/tree.rs"]
mod tree;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pki_core::{ArtifactKind, KeyAlgorithm, LeafKind, Preset, SubjectAltName};

    use crate::tree::{Tree, names, said};

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
            spec.api_server_names = vec![SubjectAltName::dns("more.example.com").unwrap()];
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
            (LeafKind::KubeletClient, "system:node:cp-1.example.com", local),
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
}
