//! A control-plane node as kubeadm leaves it, with certificates made for the test.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki_core::pem;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use trust_model::observe::Files;

pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn params(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: pem::encode_pem(pem::CERTIFICATE, certificate.der()), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, common_name: &str, organization: Option<&str>) -> String {
        let mut params = params(common_name, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap();
        pem::encode_pem(pem::CERTIFICATE, certificate.der())
    }
}

/// Not a key; nothing looks inside.
pub(crate) fn private_key() -> String {
    pem::encode_pem(pem::PRIVATE_KEY, b"octets that are nobody's key")
}

pub(crate) fn kubeconfig(ca: &str, user: &str, certificate: &str) -> String {
    let [ca, certificate, key] = [ca, certificate, &private_key()].map(|text| STANDARD.encode(text));
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: https://10.0.0.1:6443\n  \
         name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: {user}\n  name: {user}@kubernetes\n\
         current-context: {user}@kubernetes\nkind: Config\npreferences: {{}}\nusers:\n- name: {user}\n  user:\n    \
         client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
}

/// The files of a tree, to be changed before they are read.
pub(crate) struct Tree {
    pub(crate) cluster: Ca,
    pub(crate) files: BTreeMap<String, String>,
}

pub(crate) const API_SERVER: &str = include_str!("../data/observe/kube-apiserver.yaml");
pub(crate) const CONTROLLER_MANAGER: &str = include_str!("../data/observe/kube-controller-manager.yaml");
pub(crate) const SCHEDULER: &str = include_str!("../data/observe/kube-scheduler.yaml");
pub(crate) const ETCD: &str = include_str!("../data/observe/etcd.yaml");
pub(crate) const KUBELET: &str = include_str!("../data/observe/kubelet-config.yaml");

impl Tree {
    pub(crate) fn kubeadm() -> Self {
        let [cluster, etcd, front_proxy] = ["kubernetes", "etcd-ca", "front-proxy-ca"].map(Ca::new);
        let mut tree = Self { cluster, files: BTreeMap::new() };
        for (path, ca, common_name) in [
            ("apiserver", None, "kube-apiserver"),
            ("apiserver-kubelet-client", None, "kube-apiserver-kubelet-client"),
            ("apiserver-etcd-client", Some(&etcd), "kube-apiserver-etcd-client"),
            ("front-proxy-client", Some(&front_proxy), "front-proxy-client"),
            ("etcd/server", Some(&etcd), "cp-1"),
            ("etcd/peer", Some(&etcd), "cp-1"),
            ("etcd/healthcheck-client", Some(&etcd), "kube-etcd-healthcheck-client"),
        ] {
            let certificate = ca.unwrap_or(&tree.cluster).issue(common_name, None);
            tree.put(&format!("pki/{path}.crt"), &certificate);
            tree.put(&format!("pki/{path}.key"), &private_key());
        }
        let cluster = tree.cluster.pem.clone();
        for (path, certificate) in [("ca", &cluster), ("etcd/ca", &etcd.pem), ("front-proxy-ca", &front_proxy.pem)] {
            tree.put(&format!("pki/{path}.crt"), certificate);
            tree.put(&format!("pki/{path}.key"), &private_key());
        }
        let token_key = KeyPair::generate().unwrap().subject_public_key_info();
        tree.put("pki/sa.pub", &pem::encode_pem(pem::PUBLIC_KEY, &token_key));
        tree.put("pki/sa.key", &private_key());
        for (name, user, organization) in [
            ("admin", "kubernetes-admin", Some("kubeadm:cluster-admins")),
            ("super-admin", "kubernetes-super-admin", Some("system:masters")),
            ("controller-manager", "system:kube-controller-manager", None),
            ("scheduler", "system:kube-scheduler", None),
            ("kubelet", "system:node:cp-1", Some("system:nodes")),
        ] {
            let certificate = tree.cluster.issue(user, organization);
            tree.put(&format!("{name}.conf"), &kubeconfig(&cluster, user, &certificate));
        }
        for (name, content) in [
            ("kube-apiserver", API_SERVER),
            ("kube-controller-manager", CONTROLLER_MANAGER),
            ("kube-scheduler", SCHEDULER),
            ("etcd", ETCD),
        ] {
            tree.put(&format!("manifests/{name}.yaml"), content);
        }
        tree.put("kubelet/config.yaml", KUBELET);
        tree
    }

    pub(crate) fn put(&mut self, path: &str, content: &str) {
        self.files.insert(path.to_owned(), content.to_owned());
    }

    /// Changes a text that must be there.
    pub(crate) fn change(&mut self, path: &str, from: &str, to: &str) {
        let file = self.files.get_mut(path).unwrap();
        assert!(file.contains(from), "{path} holds no `{from}`");
        *file = file.replace(from, to);
    }

    /// Adds a flag to a manifest, before the first that is there.
    pub(crate) fn flag(&mut self, component: &str, flag: &str) {
        let (path, first) = (format!("manifests/{component}.yaml"), format!("    - {component}\n"));
        self.change(&path, &first, &format!("{first}    - {flag}\n"));
    }

    pub(crate) fn unflag(&mut self, component: &str, flag: &str) {
        let file = self.files.get_mut(&format!("manifests/{component}.yaml")).unwrap();
        let kept: Vec<_> =
            file.lines().filter(|line| !line.trim_start().starts_with(&format!("- --{flag}="))).collect();
        assert_ne!(kept.len(), file.lines().count(), "{flag}");
        *file = kept.join("\n");
    }

    pub(crate) fn files(&self) -> Files {
        self.in_order(self.files.keys().cloned().collect())
    }

    pub(crate) fn in_order(&self, paths: Vec<String>) -> Files {
        let mut files = Files::new();
        for path in paths {
            let mode = if path.ends_with(".crt") || path.ends_with("config.yaml") { 0o644 } else { 0o600 };
            files.insert(&path, self.files[&path].as_bytes(), Some(mode)).unwrap();
        }
        files
    }
}
