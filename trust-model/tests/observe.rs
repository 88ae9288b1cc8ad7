//! What is read from the files of a cluster.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[path = "support/render.rs"]
mod render;
#[path = "support/tree.rs"]
mod tree;

use pki_core::{AuthorityRole, LeafKind, TrustSlot};
use trust_model::model::{
    ApiAccess, AuthorizationMode, ClusterModel, Egress, InsecurePort, Leaf, SshTunnels, Transport, Trust,
};
use trust_model::observe::{ObserveLimits, observe, observe_command_line};
use trust_model::{Fact, Origin};

use self::render::render;
use self::tree::{Ca, Tree, kubeconfig, private_key};

fn read(tree: &Tree) -> ClusterModel {
    observe(&tree.files(), &ObserveLimits::DEFAULT)
}

fn broken(model: &ClusterModel) -> Vec<String> {
    model.broken.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect()
}

fn golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/observe").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), found, "{name}: UPDATE_GOLDEN=1 writes it anew");
}

/// A value and where it was read.
fn seen<T: PartialEq + Clone>(fact: &Fact<T>) -> Option<(T, String)> {
    match fact {
        Fact::Known { value, origin } => Some((value.clone(), origin.to_string())),
        Fact::Missing => None,
    }
}

#[test]
fn the_tree_of_kubeadm_is_read_field_by_field() {
    golden("kubeadm.txt", &render(&read(&Tree::kubeadm())));
}

#[test]
fn konnectivity_nodes_objects_and_strays_are_read() {
    let mut tree = Tree::kubeadm();
    tree.put("manifests/konnectivity-server.yaml", include_str!("data/observe/konnectivity-server.yaml"));
    tree.put("egress-selector.yaml", include_str!("data/observe/egress-selector.yaml"));
    tree.flag("kube-apiserver", "--egress-selector-config-file=/etc/kubernetes/egress-selector.yaml");
    let konnectivity = tree.cluster.issue("system:konnectivity-server", None);
    tree.put("pki/konnectivity-server.crt", &konnectivity);
    tree.put(
        "konnectivity-server.conf",
        &kubeconfig(&tree.cluster.pem, "konnectivity", &tree.cluster.issue("system:konnectivity-server", None)),
    );
    // By hand, for a monitoring system; a stranger's; and what kubeadm and a kubelet keep of former times.
    tree.put("pki/monitoring.crt", &tree.cluster.issue("monitoring", None));
    tree.put("monitoring.kubeconfig", &kubeconfig(&tree.cluster.pem, "ops", &tree.cluster.issue("ops", None)));
    tree.put("pki/stranger.crt", &Ca::new("other").issue("stranger", None));
    tree.put("tmp/kubeadm-backup/apiserver.crt", &tree.cluster.issue("kube-apiserver", None));
    tree.put("tmp/kubeadm-backup/kube-apiserver.yaml", tree::API_SERVER);
    let node = tree.cluster.issue("system:node:worker-1", Some("system:nodes"));
    tree.put("nodes/worker-1/kubelet/pki/kubelet-client-2026-01-01.pem", &node);
    let current = tree.cluster.issue("system:node:worker-1", Some("system:nodes"));
    tree.put("nodes/worker-1/kubelet/pki/kubelet-client-current.pem", &format!("{current}{}", private_key()));
    let serving = tree.cluster.issue("system:node:worker-1", Some("system:nodes"));
    tree.put("nodes/worker-1/kubelet/pki/kubelet-server-current.pem", &serving);
    tree.put("nodes/worker-1/pki/ca.crt", &tree.cluster.pem.clone());
    tree.put(
        "nodes/worker-1/kubelet.conf",
        "kind: Config\nclusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443', certificate-authority: pki/ca.crt}}]\n\
         users: [{name: u, user: {client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem}}]\n\
         contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n",
    );
    tree.put("nodes/worker-1/kubelet/config.yaml", &format!("{}serverTLSBootstrap: true\n", tree::KUBELET));
    tree.put(
        "nodes/worker-2/kubelet.cmdline",
        "kubelet\0--kubeconfig=/etc/kubernetes/kubelet.conf\0--tls-min-version=VersionTLS13\0",
    );
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&tree.cluster.pem);
    tree.put(
        "objects/webhooks.json",
        &format!(
            r#"{{"kind": "List", "items": [
              {{"kind": "ValidatingWebhookConfiguration", "metadata": {{"name": "policy"}}, "webhooks": [
                {{"name": "a.example", "clientConfig": {{"caBundle": "{bundle}"}}}}, {{"name": "b.example", "clientConfig": {{"url": "https://b"}}}}]}},
              {{"kind": "APIService", "metadata": {{"name": "v1beta1.metrics.k8s.io"}}, "spec": {{"service": {{"name": "m"}}, "insecureSkipTLSVerify": true}}}},
              {{"kind": "APIService", "metadata": {{"name": "v1.apps"}}, "spec": {{}}}}]}}"#
        ),
    );
    golden("konnectivity-and-nodes.txt", &render(&read(&tree)));
}

#[test]
fn the_order_of_files_does_not_matter() {
    let tree = Tree::kubeadm();
    let mut paths: Vec<_> = tree.files.keys().cloned().collect();
    let expected = render(&observe(&tree.in_order(paths.clone()), &ObserveLimits::DEFAULT));
    // Every rotation, forth and back, and an order in which neighbours are far apart.
    for _ in 0..paths.len() {
        paths.rotate_left(1);
        let backwards = paths.iter().rev().cloned().collect();
        for order in [paths.clone(), backwards] {
            assert_eq!(render(&observe(&tree.in_order(order), &ObserveLimits::DEFAULT)), expected);
        }
    }
    paths.sort_by_key(|path| path.bytes().rev().map(u32::from).sum::<u32>() % 7);
    assert_eq!(render(&observe(&tree.in_order(paths), &ObserveLimits::DEFAULT)), expected);
}

#[test]
fn what_is_not_set_is_what_upstream_does_by_default() {
    let api = observe_command_line("kube-apiserver", "unit", &ObserveLimits::DEFAULT).api_servers.remove(0);
    let settings = &api.settings;
    assert_eq!(settings.authorization_modes, Fact::default_of(vec![AuthorizationMode::AlwaysAllow]));
    // Anonymous requests are refused where everything is allowed.
    assert_eq!(settings.anonymous_auth, Fact::default_of(false));
    assert_eq!(settings.insecure_port, Fact::default_of(InsecurePort::Closed));
    assert_eq!(settings.requestheader_allowed_names, Fact::default_of(Vec::new()));
    assert_eq!(settings.egress, Fact::default_of(Egress::Direct));
    assert_eq!(settings.bootstrap_tokens, Fact::default_of(false));
    assert_eq!(settings.calls_peers, Fact::default_of(false));
    assert_eq!(settings.etcd_transport, Fact::Missing);
    assert_eq!(*api.leaf(LeafKind::ApiServer), Fact::default_of(Leaf::SelfSigned));
    assert_eq!(*api.trust(TrustSlot::ApiServerKubeletCa), Fact::default_of(Trust::Nothing));
    assert_eq!(*api.trust(TrustSlot::ServiceAccountKeys), Fact::Missing);
    let etcd = observe_command_line("etcd", "unit", &ObserveLimits::DEFAULT).etcd.remove(0).settings;
    assert_eq!(etcd.client_transport, Fact::default_of(Transport::Loopback));
    assert_eq!(etcd.client_cert_auth, Fact::default_of(false));
    // A kubelet without a file has the defaults of its flags, which are the old ones.
    let kubelet = observe_command_line("kubelet", "unit", &ObserveLimits::DEFAULT).kubelets.remove(0).settings;
    assert_eq!(kubelet.anonymous_auth, Fact::default_of(true));
    assert_eq!(kubelet.authorization_mode, Fact::default_of(AuthorizationMode::AlwaysAllow));
    assert_eq!(kubelet.read_only_port, Fact::default_of(10255));
    let kubelet = observe_command_line("kubelet --config /x", "unit", &ObserveLimits::DEFAULT).kubelets.remove(0);
    assert_eq!((&kubelet.settings.anonymous_auth, &kubelet.tls), (&Fact::Missing, &Fact::Missing));
    let mut tree = Tree::kubeadm();
    tree.put("kubelet/config.yaml", "kind: KubeletConfiguration\n");
    let kubelet = read(&tree).kubelets.remove(0);
    assert_eq!(kubelet.settings.anonymous_auth, Fact::default_of(false));
    assert_eq!(kubelet.settings.read_only_port, Fact::default_of(0));
}

#[test]
fn a_machine_without_command_lines_has_leaves_and_no_defaults() {
    let mut tree = Tree::kubeadm();
    tree.files.retain(|path, _| !path.starts_with("manifests/") && !path.starts_with("kubelet/"));
    let model = read(&tree);
    assert_eq!(broken(&model), [""; 0]);
    assert!(model.unclaimed.as_ref().unwrap().is_empty());
    // Nobody's leaves can be told from the cluster's.
    tree.files.clear();
    assert!(read(&tree).unclaimed.is_none());
    assert!(model.api_servers[0].leaf(LeafKind::ApiServer).value().is_some());
    assert_eq!(model.api_servers[0].settings.anonymous_auth, Fact::Missing);
    assert_eq!(*model.api_servers[0].trust(TrustSlot::ApiServerKubeletCa), Fact::Missing);
    assert_eq!(model.kubelets[0].settings.anonymous_auth, Fact::Missing);
    assert_eq!(*model.kubelets[0].leaf(LeafKind::KubeletServing), Fact::Missing);
    assert_eq!(model.ssh_tunnels, Fact::Missing);
    assert_eq!(seen(&model.schedulers[0].settings.access).unwrap().0, ApiAccess::Secure);
}

#[test]
fn flags_of_old_releases_open_ports_and_tunnels() {
    let port = |line: &str| {
        let model = observe_command_line(line, "unit", &ObserveLimits::DEFAULT);
        model.api_servers[0].settings.insecure_port.clone()
    };
    let known = |line| seen(&port(line)).unwrap();
    assert_eq!(known("kube-apiserver --insecure-port=8080").0, InsecurePort::Loopback(8080));
    assert_eq!(
        known("kube-apiserver --insecure-port 8080 --insecure-bind-address 0.0.0.0"),
        (InsecurePort::Network(8080), "unit --insecure-port".to_owned())
    );
    assert_eq!(known("kube-apiserver --insecure-bind-address=::").0, InsecurePort::Network(8080));
    assert_eq!(known("kube-apiserver --insecure-port=8080 --insecure-port=0").0, InsecurePort::Closed);
    assert_eq!(port("kube-apiserver --insecure-port=many"), Fact::Missing);
    let mut tree = Tree::kubeadm();
    tree.change("manifests/kube-apiserver.yaml", "v1.34.1", "v1.19.3");
    tree.flag("kube-apiserver", "--ssh-user=core");
    let model = read(&tree);
    assert_eq!(model.api_servers[0].settings.insecure_port, Fact::default_of(InsecurePort::Loopback(8080)));
    assert_eq!(seen(&model.ssh_tunnels).unwrap().0, SshTunnels::Used { checks_host_key: false });
    // What 1.20 and later do not start with is no port that they open.
    let mut tree = Tree::kubeadm();
    tree.change("manifests/kube-apiserver.yaml", "v1.34.1", "v1.20.0");
    tree.flag("kube-apiserver", "--insecure-port=8080");
    assert_eq!(read(&tree).api_servers[0].settings.insecure_port, Fact::Missing);
    tree.change("manifests/kube-apiserver.yaml", "--insecure-port=8080", "--insecure-port=0");
    assert_eq!(seen(&read(&tree).api_servers[0].settings.insecure_port).unwrap().0, InsecurePort::Closed);
}

#[test]
fn peers_are_called_with_a_bundle_and_an_open_gate() {
    let calls = |version: &str, flags: &[&str]| {
        let mut tree = Tree::kubeadm();
        tree.change("manifests/kube-apiserver.yaml", "v1.34.1", version);
        flags.iter().for_each(|flag| tree.flag("kube-apiserver", flag));
        read(&tree).api_servers[0].settings.calls_peers.clone()
    };
    let (bundle, gate) =
        ("--peer-ca-file=/etc/kubernetes/pki/ca.crt", "--feature-gates=UnknownVersionInteroperabilityProxy");
    assert_eq!(calls("v1.36.0", &[]), Fact::default_of(false));
    assert_eq!(calls("v1.36.0", &[&format!("{gate}=true")]), Fact::default_of(false));
    let known = |version, flags: &[&str]| seen(&calls(version, flags)).unwrap().0;
    assert!(known("v1.36.0", &[bundle]));
    assert!(!known("v1.35.0", &[bundle]));
    assert!(known("v1.35.0", &[bundle, &format!("{gate}=true")]));
    assert!(!known("v1.36.0", &[bundle, &format!("{gate}=false")]));
}

#[test]
fn a_bundle_of_etcd_makes_certificates_a_must() {
    let etcd = |flags: &str| {
        let line = format!("etcd {flags}");
        let settings = observe_command_line(&line, "unit", &ObserveLimits::DEFAULT).etcd.remove(0).settings;
        (seen(&settings.client_cert_auth), seen(&settings.peer_client_cert_auth))
    };
    let at = |on: bool, flag: &str| Some((on, format!("unit {flag}")));
    let (client, peer) = etcd("--trusted-ca-file=/ca.crt --peer-client-cert-auth=true");
    assert_eq!((client, peer), (at(true, "--trusted-ca-file"), at(true, "--peer-client-cert-auth")));
    let (client, peer) = etcd("--client-cert-auth=false --trusted-ca-file=/ca.crt --peer-trusted-ca-file=/ca.crt");
    assert_eq!((client, peer), (at(true, "--trusted-ca-file"), at(true, "--peer-trusted-ca-file")));
    assert_eq!(etcd("--client-cert-auth=false").0, at(false, "--client-cert-auth"));
}

#[test]
fn an_agent_of_konnectivity_without_a_bundle_says_nothing_of_what_it_trusts() {
    let line = "proxy-agent --proxy-server-host=konnectivity";
    let agent = observe_command_line(line, "unit", &ObserveLimits::DEFAULT).konnectivity_agents.remove(0);
    assert_eq!(*agent.trust(TrustSlot::KonnectivityAgentCa), Fact::Missing);
    let line = "proxy-server --tls-min-version=VersionTLS13";
    let server = observe_command_line(line, "unit", &ObserveLimits::DEFAULT).konnectivity_servers.remove(0);
    assert_eq!(seen(&server.tls).unwrap().1, "unit --tls-min-version");
    assert!(server.unknown.is_empty());
}

#[test]
fn transports_are_as_good_as_the_worst_url() {
    for (urls, expected) in [
        ("https://a:2379,https://b:2379", Transport::Tls),
        ("https://a:2379,http://127.0.0.1:2379", Transport::Loopback),
        ("https://a:2379,http://[::1]:2379/", Transport::Loopback),
        ("http://127.0.0.1.example.com:2379", Transport::Plain),
        ("http://10.0.0.1:2379,http://localhost:2379", Transport::Plain),
        ("unix://localhost:1", Transport::UnixSocket),
        ("localhost:2379", Transport::Plain),
    ] {
        let line = format!("kube-apiserver --etcd-servers={urls}");
        let model = observe_command_line(&line, "unit", &ObserveLimits::DEFAULT);
        assert_eq!(seen(&model.api_servers[0].settings.etcd_transport).unwrap().0, expected, "{urls}");
    }
}

#[test]
fn what_a_component_would_refuse_is_broken_and_missing() {
    let line = "kube-apiserver --anonymous-auth=maybe --tls-min-version=SSL3 --etcd-servers=ftp://a --new-flag=1";
    let model = observe_command_line(line, "unit", &ObserveLimits::DEFAULT);
    assert_eq!(
        broken(&model),
        [
            "unit --anonymous-auth: expected true or false, found `maybe`",
            "unit --etcd-servers: expected http, https or unix URLs, found `ftp://a`",
            "unit --tls-min-version: expected a version of TLS, found `SSL3`",
        ]
    );
    let api = &model.api_servers[0];
    assert_eq!((&api.settings.anonymous_auth, &api.tls), (&Fact::Missing, &Fact::Missing));
    assert_eq!(api.unknown.iter().map(|one| one.name.to_string()).collect::<Vec<_>>(), ["new-flag"]);
}

#[test]
fn a_file_that_is_not_there_is_missing_and_named() {
    let mut tree = Tree::kubeadm();
    tree.change(
        "manifests/kube-apiserver.yaml",
        "--client-ca-file=/etc/kubernetes/pki/ca.crt",
        "--client-ca-file=/srv/ca.crt",
    );
    tree.files.remove("pki/front-proxy-client.crt");
    let model = read(&tree);
    let place = "manifests/kube-apiserver.yaml";
    assert_eq!(
        broken(&model),
        [
            format!("{place} --client-ca-file: names `/srv/ca.crt`, which is not among the files"),
            format!(
                "{place} --proxy-client-cert-file: names `/etc/kubernetes/pki/front-proxy-client.crt`, which is not among the files"
            ),
        ]
    );
    assert_eq!(*model.api_servers[0].trust(TrustSlot::ApiServerClientCa), Fact::Missing);
    assert_eq!(*model.api_servers[0].leaf(LeafKind::FrontProxyClient), Fact::Missing);
    // Where the tree has it, whatever its place on the machine.
    tree.put("srv/ca.crt", &tree.cluster.pem.clone());
    assert!(read(&tree).api_servers[0].trust(TrustSlot::ApiServerClientCa).value().is_some());
}

/// A container sees files elsewhere than the machine has them.
#[test]
fn names_are_resolved_through_the_mounts_of_the_container() {
    let mut tree = Tree::kubeadm();
    for (from, to) in [
        ("mountPath: /etc/kubernetes/pki\n", "mountPath: /certs\n"),
        ("--client-ca-file=/etc/kubernetes/pki/ca.crt", "--client-ca-file=/certs/ca.crt"),
    ] {
        tree.change("manifests/kube-apiserver.yaml", from, to);
    }
    let model = read(&tree);
    assert!(model.api_servers[0].trust(TrustSlot::ApiServerClientCa).value().is_some());
    assert_eq!(broken(&model), [""; 0]);
}

#[test]
fn a_program_is_found_behind_a_shell_or_in_the_name_of_its_image() {
    let pod = |container: &str| {
        let mut tree = Tree::kubeadm();
        tree.files.retain(|path, _| !path.starts_with("manifests/"));
        tree.put("manifests/x.yaml", &format!("kind: Pod\nspec:\n  containers:\n  - {container}\n"));
        read(&tree)
    };
    let script = r#"{name: x, command: [/bin/sh, -ec], args: ["exec /usr/local/bin/kube-apiserver --anonymous-auth=false 1>>/var/log/x 2>&1"]}"#;
    assert!(!seen(&pod(script).api_servers[0].settings.bootstrap_tokens).unwrap().0);
    let image = r#"{name: member, image: "quay.io/etcd:v3.6", args: [--client-cert-auth, --name, etcd], env: [{name: ETCD_PEER_CLIENT_CERT_AUTH, value: "true"}, {name: ETCD_CLIENT_CERT_AUTH, value: "false"}]}"#;
    let etcd = pod(image).etcd.remove(0).settings;
    assert_eq!((seen(&etcd.client_cert_auth).unwrap().0, seen(&etcd.peer_client_cert_auth).unwrap().0), (true, true));
    // It copies the program and starts nothing.
    let model = pod("{name: x, command: [cp, /usr/local/bin/kube-scheduler, /out]}");
    assert!(model.schedulers.iter().all(|one| one.tls == Fact::Missing));
}

#[test]
fn kubeconfigs_are_read_as_client_go_reads_them() {
    let client = |server: &str, cluster: &str, user: &str| {
        let mut tree = Tree::kubeadm();
        tree.put("admin.conf", &format!(
            "clusters: [{{name: c, cluster: {{server: '{server}'{cluster}}}}}, {{name: d, cluster: {{server: 'http://d'}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
        ));
        let model = read(&tree);
        let admin = model.external_clients.iter().find(|one| one.name == "admin").unwrap();
        (admin.leaf(LeafKind::Admin).clone(), admin.trust(TrustSlot::AdminKubeconfigCa).clone())
    };
    let (leaf, trust) = client("https://c", "", "token: secret");
    assert_eq!(trust, Fact::default_of(Trust::SystemRoots));
    assert_eq!(seen(&leaf).unwrap(), (Leaf::Nothing, "admin.conf token".to_owned()));
    let (_, trust) = client("https://c", ", insecure-skip-tls-verify: true, certificate-authority: pki/ca.crt", "");
    assert_eq!(seen(&trust).unwrap(), (Trust::Nothing, "admin.conf insecure-skip-tls-verify".to_owned()));
    let (leaf, trust) = client("http://c", "", "client-certificate: pki/apiserver.crt");
    assert_eq!(seen(&trust).unwrap().0, Trust::Nothing);
    assert_eq!(seen(&leaf).unwrap(), (Leaf::Nothing, "admin.conf server".to_owned()));
    let (leaf, trust) = client(
        "https://c",
        ", certificate-authority: /etc/kubernetes/pki/ca.crt",
        "client-certificate: pki/apiserver.crt",
    );
    assert!(matches!(trust.value(), Some(Trust::Bundle(_))) && leaf.value().unwrap().certificate().is_some());
    let (leaf, _) = client("https://c", "", "exec: {command: aws}");
    assert_eq!(leaf, Fact::Missing);
}

#[test]
fn a_component_on_the_insecure_port_is_told_from_one_on_the_secure_port() {
    let mut tree = Tree::kubeadm();
    tree.flag("kube-controller-manager", "--master=http://127.0.0.1:8080");
    tree.change("scheduler.conf", "https://10.0.0.1:6443", "http://10.0.0.1:8080");
    let model = read(&tree);
    assert_eq!(
        seen(&model.controller_managers[0].settings.access).unwrap(),
        (ApiAccess::Insecure, "manifests/kube-controller-manager.yaml --master".to_owned())
    );
    assert_eq!(seen(&model.schedulers[0].settings.access).unwrap().0, ApiAccess::Insecure);
}

#[test]
fn authorization_and_anonymous_requests_are_read_from_files_too() {
    let mut tree = Tree::kubeadm();
    tree.unflag("kube-apiserver", "authorization-mode");
    tree.flag("kube-apiserver", "--authorization-config=/etc/kubernetes/authz.yaml");
    tree.flag("kube-apiserver", "--authentication-config=/etc/kubernetes/authn.yaml");
    tree.put(
        "authz.yaml",
        "kind: AuthorizationConfiguration\nauthorizers: [{type: Node}, {type: Webhook}, {type: Mine}]\n",
    );
    tree.put("authn.yaml", "kind: AuthenticationConfiguration\nanonymous: {enabled: false}\n");
    let settings = read(&tree).api_servers.remove(0).settings;
    let modes = vec![AuthorizationMode::Node, AuthorizationMode::Webhook, AuthorizationMode::Other("Mine".into())];
    assert_eq!(seen(&settings.authorization_modes).unwrap().0, modes);
    let place = "manifests/kube-apiserver.yaml --authentication-config".to_owned();
    assert_eq!(seen(&settings.anonymous_auth), Some((false, place)));
}

/// A rotation in its middle: the bundle has both generations, and the signer one.
#[test]
fn live_authorities_are_those_of_the_bundle_and_of_the_signer() {
    let mut tree = Tree::kubeadm();
    let next = Ca::new("kubernetes");
    tree.put("pki/signer.crt", &next.pem);
    tree.put("pki/old-and-new.crt", &format!("{}{}", tree.cluster.pem, next.pem));
    let flag = "--cluster-signing-cert-file=/etc/kubernetes/pki/";
    tree.change("manifests/kube-controller-manager.yaml", &format!("{flag}ca.crt"), &format!("{flag}signer.crt"));
    let model = read(&tree);
    assert_eq!(model.authority(AuthorityRole::Cluster).value().unwrap().live.len(), 2);
    assert_eq!(seen(&model.controller_managers[0].settings.signing_certificates).unwrap().0, 1);
    tree.change("manifests/kube-controller-manager.yaml", "signer.crt", "old-and-new.crt");
    let model = read(&tree);
    assert_eq!(model.authority(AuthorityRole::Cluster).value().unwrap().live.len(), 2);
    assert_eq!(seen(&model.controller_managers[0].settings.signing_certificates).unwrap().0, 2);
}

#[test]
fn etcd_with_a_file_has_nothing_from_its_flags() {
    let mut tree = Tree::kubeadm();
    tree.flag("etcd", "--config-file=/etc/kubernetes/etcd.conf.yml");
    let etcd = read(&tree).etcd.remove(0);
    assert_eq!((&etcd.settings.client_cert_auth, &etcd.settings.client_transport), (&Fact::Missing, &Fact::Missing));
    tree.put(
        "etcd.conf.yml",
        "listen-client-urls: http://0.0.0.0:2379\npeer-transport-security: {client-cert-auth: true, auto-tls: true}\n",
    );
    let etcd = read(&tree).etcd.remove(0);
    assert_eq!(etcd.settings.client_cert_auth, Fact::default_of(false));
    assert_eq!(
        seen(&etcd.settings.client_transport).unwrap(),
        (Transport::Plain, "etcd.conf.yml --listen-client-urls".to_owned())
    );
    assert!(seen(&etcd.settings.peer_client_cert_auth).unwrap().0);
    assert_eq!(seen(etcd.leaf(LeafKind::EtcdPeer)).unwrap().0, Leaf::SelfSigned);
    assert_eq!(*etcd.leaf(LeafKind::EtcdServer), Fact::default_of(Leaf::Nothing));
}

#[test]
fn a_webhook_whose_bundle_cannot_be_read_leaves_all_of_them_unknown() {
    let mut tree = Tree::kubeadm();
    tree.put("w.yaml", "kind: MutatingWebhookConfiguration\nmetadata: {name: m}\nwebhooks: [{name: a, clientConfig: {caBundle: '%'}}, {name: b}]\n");
    let model = read(&tree);
    assert_eq!(model.webhooks, Fact::Missing);
    assert_eq!(broken(&model), ["w.yaml MutatingWebhookConfiguration m/a caBundle: not base64 (RFC 4648 4)"]);
    // There are none only where both kinds were looked for.
    tree.put("w.yaml", "kind: MutatingWebhookConfigurationList\nitems: []\n");
    assert_eq!(read(&tree).webhooks, Fact::Missing);
    tree.put("v.yaml", "kind: ValidatingWebhookConfigurationList\nitems: []\n");
    assert_eq!(seen(&read(&tree).webhooks).unwrap().0.len(), 0);
}

#[test]
fn nothing_that_was_read_is_only_asserted() {
    let model = read(&Tree::kubeadm());
    for holder in model.all_holders() {
        let origins =
            holder.leaves.values().filter_map(Fact::origin).chain(holder.trusts.values().filter_map(Fact::origin));
        assert!(origins.into_iter().all(|origin| !matches!(origin, Origin::Declared(_))));
    }
}
