//! Kubeconfig files: what is embedded, under which names, and that a reader of YAML finds it again.
#![cfg(feature = "yaml")]

#[cfg(test)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use pki_core::pem::{CERTIFICATE, PRIVATE_KEY, decode_pem, encode_pem};
    use pki_core::{
        ApiServerEndpoint, AuthorityRole, CaVersion, KeyAlgorithm, Kubeconfig, KubeconfigError, LeafKind, Limits,
        TrustBundle,
    };
    use serde_json::Value;
    use time::Duration;

    use crate::authority::{Authority, NOW, at, node_of};

    const SECRET: &str = "not a key, but as secret as one";

    fn endpoint() -> ApiServerEndpoint {
        "api.example.com".parse().unwrap()
    }

    /// A kubeconfig of this leaf that trusts two generations of the cluster root.
    fn kubeconfig(leaf: LeafKind) -> (Kubeconfig, [Authority; 2], Vec<u8>) {
        let mint = |version| Authority::mint(AuthorityRole::Cluster, version, KeyAlgorithm::P256);
        let authorities = [CaVersion::FIRST, CaVersion::FIRST.next()].map(mint);
        let bundle = TrustBundle::new(authorities.iter().map(|one| one.issuer.certificate().clone())).unwrap();
        let issued = authorities[1].issue(leaf, Duration::days(1), at(NOW));
        let subject = leaf.subject(node_of(leaf).as_ref()).unwrap();
        let key = encode_pem(PRIVATE_KEY, SECRET.as_bytes());
        let chain = [issued.der().clone()];
        let kubeconfig = Kubeconfig::new(&endpoint(), &bundle, &subject, &chain, &key).unwrap();
        (kubeconfig, authorities, issued.der().to_vec())
    }

    fn embedded(value: &Value, label: &'static str) -> Vec<Vec<u8>> {
        decode_pem(&STANDARD.decode(value.as_str().unwrap()).unwrap(), label, &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn a_reader_finds_both_authorities_the_leaf_and_its_key_under_kubeadms_names() {
        let (kubeconfig, authorities, leaf) = kubeconfig(LeafKind::Admin);
        let yaml = kubeconfig.to_yaml().unwrap();
        let read: Value = serde_saphyr::from_str(&yaml).unwrap();

        assert_eq!((&read["apiVersion"], &read["kind"]), (&"v1".into(), &"Config".into()));
        assert_eq!(read["current-context"], "kubernetes-admin@kubernetes");
        let context = &read["contexts"][0];
        assert_eq!(context["name"], "kubernetes-admin@kubernetes");
        assert_eq!(context["context"], serde_json::json!({ "cluster": "kubernetes", "user": "kubernetes-admin" }));
        let cluster = &read["clusters"][0];
        assert_eq!(
            (&cluster["name"], &cluster["cluster"]["server"]),
            (&"kubernetes".into(), &"https://api.example.com:6443".into())
        );
        let anchors = embedded(&cluster["cluster"]["certificate-authority-data"], CERTIFICATE);
        assert_eq!(anchors, authorities.map(|authority| authority.issuer.certificate().der().to_vec()));
        let user = &read["users"][0];
        assert_eq!(user["name"], "kubernetes-admin");
        assert_eq!(embedded(&user["user"]["client-certificate-data"], CERTIFICATE), [leaf]);
        assert_eq!(embedded(&user["user"]["client-key-data"], PRIVATE_KEY), [SECRET.as_bytes()]);
        for (list, more) in [("clusters", 1), ("contexts", 1), ("users", 1)] {
            assert_eq!(read[list].as_array().unwrap().len(), more);
        }
    }

    #[test]
    fn a_name_with_colons_survives() {
        let (kubeconfig, ..) = kubeconfig(LeafKind::KubeletClient);
        assert_eq!(kubeconfig.user(), "system:node:node-1");
        let read: Value = serde_saphyr::from_str(&kubeconfig.to_yaml().unwrap()).unwrap();
        assert_eq!(read["current-context"], "system:node:node-1@kubernetes");
        assert_eq!(read["contexts"][0]["context"]["user"], "system:node:node-1");
    }

    #[test]
    fn the_longest_names_still_fit_into_the_memory_that_is_wiped() {
        // The longest host and node name (253 octets), and a key too short to make room for them.
        let name = ["a"; 127].join(".");
        let node = name.parse().unwrap();
        let server: ApiServerEndpoint = format!("{name}:65535").parse().unwrap();
        let (_, [authority, _], leaf) = kubeconfig(LeafKind::Admin);
        let bundle = TrustBundle::new([authority.issuer.certificate().clone()]).unwrap();
        let subject = LeafKind::KubeletClient.subject(Some(&node)).unwrap();
        let kubeconfig = Kubeconfig::new(&server, &bundle, &subject, &[leaf.into()], "").unwrap();
        assert!(kubeconfig.to_yaml().unwrap().contains(&format!("system:node:{name}@kubernetes")));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?}", kubeconfig(LeafKind::Admin).0);
        assert_eq!(printed, r#"Kubeconfig { server: "https://api.example.com:6443", user: "kubernetes-admin", .. }"#);
    }

    #[test]
    fn a_kubeconfig_that_trusts_nobody_or_presents_nothing_is_refused() {
        let authority = Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::P256);
        let bundle = TrustBundle::new([authority.issuer.certificate().clone()]).unwrap();
        let chain = [authority.issue(LeafKind::Admin, Duration::days(1), at(NOW)).der().clone()];
        let subject = LeafKind::Admin.subject(None).unwrap();
        let empty = TrustBundle::new([]).unwrap();
        let refused = Kubeconfig::new(&endpoint(), &empty, &subject, &chain, "").unwrap_err();
        assert_eq!(refused, KubeconfigError::NoAnchor);
        let refused = Kubeconfig::new(&endpoint(), &bundle, &subject, &[], "").unwrap_err();
        assert_eq!(refused, KubeconfigError::NoCertificate);
    }
}
