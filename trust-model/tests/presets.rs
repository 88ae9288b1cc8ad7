//! What the documents say of each path, and what no change of facts may do.

#[cfg(test)]
#[path = "support/golden.rs"]
mod golden;

#[cfg(test)]
mod presets {
    use super::golden::golden;
    use pki_core::{AuthorityRole, ComponentKind, LeafKind, TrustSlot};
    use time::UtcDateTime;
    use trust_model::model::{
        AuthorizationMode, ClusterModel, Component, Egress, InsecurePort, Leaf, SshTunnels, Transport, Trust,
    };
    use trust_model::{
        AuditOptions, Channel, Direction, Fact, Fitness, Party, PathStatus, Preset, Protection, Report, Verdict, audit,
    };

    fn report(model: &ClusterModel) -> Report {
        audit(model, &AuditOptions::default(), UtcDateTime::from_unix_timestamp(1_767_225_600).unwrap())
    }

    type Change = fn(&mut ClusterModel);

    /// One documented behaviour: the row of `docs/requirements.md`, in which cluster, on which path, and what follows.
    type Row = (u32, Preset, Change, &'static str, Verdict, bool, &'static str);

    const AS_IS: Change = |_| {};
    const VERIFIED: Change = |model| {
        let verified = Fact::declared(Trust::Authority(AuthorityRole::Cluster), "operator");
        model.api_servers[0].trusts.insert(TrustSlot::ApiServerKubeletCa, verified.clone());
        let client = Fact::declared(Leaf::IssuedBy(AuthorityRole::Cluster), "operator");
        model.api_servers[0].leaves.insert(LeafKind::ApiServerKubeletClient, client);
        let kubelet = &mut model.kubelets[0];
        kubelet.trusts.insert(TrustSlot::KubeletClientCa, verified);
        let serving = Fact::declared(Leaf::IssuedBy(AuthorityRole::Cluster), "operator");
        kubelet.leaves.insert(LeafKind::KubeletServing, serving);
        kubelet.settings.anonymous_auth = Fact::declared(false, "operator");
        kubelet.settings.authorization_mode = Fact::declared(AuthorizationMode::Webhook, "operator");
    };
    const ANONYMOUS: Change = |model| {
        VERIFIED(model);
        model.kubelets[0].settings.anonymous_auth = Fact::declared(true, "operator");
    };
    const SSH: Change =
        |model| model.ssh_tunnels = Fact::declared(SshTunnels::Used { checks_host_key: true }, "operator");
    const SSH_BLIND: Change =
        |model| model.ssh_tunnels = Fact::declared(SshTunnels::Used { checks_host_key: false }, "operator");
    const KONNECTIVITY: Change = |model| {
        let gke = Gke.model();
        model.konnectivity_agents = gke.konnectivity_agents;
        model.konnectivity_servers = gke.konnectivity_servers;
        let (api, theirs) = (&mut model.api_servers[0], &gke.api_servers[0]);
        api.settings.egress = theirs.settings.egress.clone();
        api.leaves.insert(LeafKind::KonnectivityClient, theirs.leaf(LeafKind::KonnectivityClient).clone());
        api.trusts.insert(TrustSlot::ApiServerEgressCa, theirs.trust(TrustSlot::ApiServerEgressCa).clone());
    };
    const OPEN_TUNNEL: Change = |model| {
        KONNECTIVITY(model);
        model.konnectivity_servers[0].settings.authenticates_agents = Fact::declared(false, "operator");
    };
    const OPEN_PORT: Change =
        |model| model.api_servers[0].settings.insecure_port = Fact::declared(InsecurePort::Network(8080), "operator");
    const POLICIES: Change = |model| model.infrastructure.network_policies = Fact::declared(true, "operator");
    const MESH: Change = |model| {
        model.infrastructure.pod_pod_on_node = Fact::declared(Protection::FULL, "operator");
        model.infrastructure.pod_pod_across_nodes = Fact::declared(Protection::FULL, "operator");
    };
    const NO_REPLICATION: Change = |model| model.infrastructure.etcd_replicates = Fact::declared(false, "operator");

    use Preset::{Gdc, Gke, Kubernetes128, Legacy};
    use Verdict::{Asserted, Contained, EncryptedUnverified, Plaintext, Secure, ServerAuthOnly};

    const TO_THE_CONTROL_PLANE: &[Row] = &[
        (102, Gke, AS_IS, "node-api", Secure, true, "the client shows kubelet-client of the authority `cluster`"),
        (
            102,
            Gke,
            AS_IS,
            "node-api",
            Secure,
            true,
            "kubelet kubeconfig certificate-authority holds the authority `cluster`",
        ),
        (104, Legacy, AS_IS, "node-api", Secure, true, "kube-apiserver --client-ca-file holds the authority `cluster`"),
        (104, Kubernetes128, AS_IS, "node-api", Secure, true, "kube-apiserver --client-ca-file holds the authority"),
        (106, Legacy, AS_IS, "node-api", Secure, true, "the client shows kubelet-client"),
        (106, Kubernetes128, AS_IS, "node-bootstrap", Secure, true, "the client shows a bootstrap token"),
        (107, Legacy, AS_IS, "pod-api", Secure, true, "the client shows a service-account token"),
        (107, Kubernetes128, AS_IS, "pod-api", Secure, true, "pod kube-root-ca.crt holds the authority `cluster`"),
        (109, Legacy, AS_IS, "local-insecure-port", Contained, true, "on the machine's own loopback interface only"),
        (109, Legacy, AS_IS, "kcm-api", Contained, true, "kube-controller-manager calls the insecure port"),
        (109, Legacy, AS_IS, "sched-api", Contained, true, "kube-scheduler calls the insecure port"),
        (109, Legacy, AS_IS, "kcm-api", Contained, true, "loopback interface only"),
        (109, Legacy, OPEN_PORT, "local-insecure-port", Plaintext, false, "lets everybody in, from the network too"),
        (109, Legacy, OPEN_PORT, "sched-api", Plaintext, false, "call the secure port with a kubeconfig"),
        (110, Kubernetes128, AS_IS, "kcm-api", Secure, true, "kube-controller-manager calls the secure port"),
        (110, Kubernetes128, AS_IS, "sched-api", Secure, true, "kube-scheduler calls the secure port"),
        (111, Gke, AS_IS, "kcm-api", Secure, true, "stays in a network that nobody else reaches"),
        (111, Gke, AS_IS, "sched-api", Secure, true, "stays in a network that nobody else reaches"),
        (111, Gke, AS_IS, "api-etcd", Secure, true, "stays in a network that nobody else reaches"),
        (113, Gke, AS_IS, "api-etcd", Secure, true, "--etcd-cafile holds the authority `etcd-api`"),
        (113, Gke, AS_IS, "etcd-peer", Secure, true, "--peer-trusted-ca-file holds the authority `etcd-peer`"),
        (114, Gdc, AS_IS, "api-etcd", Secure, true, "--etcd-cafile holds the authority `etcd`"),
        (114, Gdc, AS_IS, "etcd-peer", Secure, true, "--peer-trusted-ca-file holds the authority `etcd`"),
        (
            114,
            Gdc,
            AS_IS,
            "front-proxy",
            Secure,
            true,
            "the client shows front-proxy-client of the authority `front-proxy`",
        ),
        (
            115,
            Gdc,
            AS_IS,
            "admin-api",
            Secure,
            true,
            "holds the org CA, which signs the certificate of `authentication.sni`",
        ),
    ];

    const FROM_THE_CONTROL_PLANE: &[Row] = &[
        (116, Gke, AS_IS, "api-kubelet", Secure, true, "it runs inside the Konnectivity tunnel"),
        (116, Gke, AS_IS, "konn-agent", Secure, true, "agents are authenticated"),
        (116, Gke, AS_IS, "konn-kas", Secure, true, "`EgressSelectorConfiguration` speaks TLS"),
        (116, Gke, AS_IS, "api-proxy-http", Contained, true, "it runs inside the Konnectivity tunnel"),
        (119, Legacy, AS_IS, "api-kubelet", EncryptedUnverified, false, "holds nothing: nobody is verified"),
        (
            119,
            Kubernetes128,
            AS_IS,
            "api-kubelet",
            EncryptedUnverified,
            false,
            "--kubelet-certificate-authority holds nothing",
        ),
        (
            120,
            Legacy,
            AS_IS,
            "api-kubelet",
            EncryptedUnverified,
            false,
            "set kube-apiserver `--kubelet-certificate-authority`",
        ),
        (
            120,
            Legacy,
            AS_IS,
            "api-kubelet",
            EncryptedUnverified,
            false,
            "`--kubelet-client-certificate` and `--kubelet-client-key`",
        ),
        (121, Kubernetes128, VERIFIED, "api-kubelet", Secure, true, "`authentication.anonymous.enabled: false`"),
        (
            121,
            Kubernetes128,
            ANONYMOUS,
            "api-kubelet",
            ServerAuthOnly,
            false,
            "`authentication.anonymous.enabled: true`",
        ),
        (121, Kubernetes128, SSH, "api-kubelet", Contained, true, "it runs inside an SSH tunnel"),
        (122, Legacy, AS_IS, "api-proxy-http", Plaintext, false, "plain HTTP by default, and shows nothing"),
        (122, Kubernetes128, AS_IS, "api-proxy-http", Plaintext, false, "plain HTTP by default, and shows nothing"),
        (123, Legacy, AS_IS, "api-proxy-https", EncryptedUnverified, false, "verifies no certificate towards `https:`"),
        (
            123,
            Kubernetes128,
            AS_IS,
            "api-proxy-https",
            EncryptedUnverified,
            false,
            "the client shows nothing of itself",
        ),
        (124, Legacy, SSH, "ssh-tunnel", Secure, true, "SSH encrypts, to port 22 of each node"),
        (124, Legacy, SSH, "api-kubelet", Contained, true, "it runs inside an SSH tunnel"),
        (124, Legacy, SSH, "api-proxy-http", Contained, true, "it runs inside an SSH tunnel"),
        (124, Legacy, SSH, "api-proxy-https", Contained, true, "it runs inside an SSH tunnel"),
        (124, Legacy, SSH_BLIND, "ssh-tunnel", EncryptedUnverified, false, "nobody compares the node's host key"),
        (124, Legacy, SSH_BLIND, "api-proxy-http", Plaintext, false, "Konnectivity, formerly SSH"),
        (125, Kubernetes128, KONNECTIVITY, "konn-agent", Secure, true, "agents are authenticated"),
        (125, Kubernetes128, KONNECTIVITY, "api-kubelet", Contained, true, "it runs inside the Konnectivity tunnel"),
        (125, Kubernetes128, KONNECTIVITY, "api-proxy-http", Contained, true, "it runs inside the Konnectivity tunnel"),
        (
            125,
            Kubernetes128,
            KONNECTIVITY,
            "api-proxy-https",
            Contained,
            true,
            "it runs inside the Konnectivity tunnel",
        ),
        (125, Kubernetes128, OPEN_TUNNEL, "konn-agent", ServerAuthOnly, false, "anybody may be an agent"),
        (125, Kubernetes128, OPEN_TUNNEL, "api-proxy-http", Plaintext, false, "plain HTTP"),
    ];

    const AMONG_NODES_AND_PODS: &[Row] = &[
        (126, Gke, AS_IS, "node-node", Asserted, true, "encrypted"),
        (127, Gke, AS_IS, "pod-pod-x", Contained, true, "nobody knows the client"),
        (127, Gke, AS_IS, "pod-pod-same", Contained, true, "nobody knows the client"),
        (128, Gke, AS_IS, "pod-pod-x", Contained, true, "it runs inside what the network gives to nodes"),
        (129, Gke, AS_IS, "pod-pod-same", Contained, true, "not encrypted"),
        (129, Gke, AS_IS, "pod-pod-same", Contained, true, "it never leaves the node"),
        (130, Gke, AS_IS, "pod-pod-x", Contained, true, "a NetworkPolicy restricts who talks"),
        (130, Gke, POLICIES, "pod-pod-same", Contained, true, "NetworkPolicies restrict who talks"),
        (131, Gke, AS_IS, "pod-pod-same", Contained, true, "a service mesh or TLS of the application"),
        (131, Gke, MESH, "pod-pod-same", Asserted, true, "the client is known"),
        (131, Gke, MESH, "pod-pod-x", Asserted, true, "the server is known"),
    ];

    fn assert_rows(rows: &[Row]) {
        for (line, preset, change, path, verdict, fit, says) in rows {
            let mut model = preset.model();
            change(&mut model);
            let report = report(&model);
            let found = report.paths.iter().find(|one| one.channel.id() == *path).unwrap();
            let what = format!("{line} {preset} {found:#?}");
            assert_eq!(found.status, PathStatus::Judged(*verdict), "{what}");
            assert_eq!(found.fitness, if *fit { Fitness::FitAsAsserted } else { Fitness::Unfit }, "{what}");
            let said = found.reasons.iter().map(String::as_str).chain(found.hardening);
            assert!(said.clone().any(|one| one.contains(says)), "{says}: {what}");
        }
    }

    #[test]
    fn paths_to_and_within_the_control_plane_are_worth_what_the_documents_say() {
        assert_rows(TO_THE_CONTROL_PLANE);
    }

    #[test]
    fn paths_from_the_control_plane_are_worth_what_the_documents_say() {
        assert_rows(FROM_THE_CONTROL_PLANE);
    }

    #[test]
    fn paths_among_nodes_and_pods_are_worth_what_the_documents_say() {
        assert_rows(AMONG_NODES_AND_PODS);
    }

    #[test]
    fn what_comes_from_the_cluster_ends_at_the_api_server() {
        for preset in [Legacy, Kubernetes128] {
            let report = report(&preset.model());
            let ends: Vec<_> = report
                .paths
                .iter()
                .filter(|path| path.channel.spec().direction() == Direction::ToControlPlane)
                .filter(|path| path.status != PathStatus::Absent)
                .map(|path| path.channel.spec().server())
                .collect();
            assert!(ends.len() >= 3, "{preset}");
            assert!(ends.iter().all(|end| *end == Party::Component(ComponentKind::KubeApiServer)), "{preset} {ends:?}");
        }
    }

    #[test]
    fn to_the_control_plane_any_network_will_do_and_from_it_none() {
        for preset in [Legacy, Kubernetes128] {
            let report = report(&preset.model());
            assert_eq!(report.fitness(Direction::ToControlPlane).0, Fitness::FitAsAsserted, "{preset}");
            for (fitness, paths) in [report.fitness(Direction::FromControlPlane), report.cluster_fitness()] {
                let paths: Vec<_> = paths.iter().map(|path| path.channel.id()).collect();
                assert_eq!(fitness, Fitness::Unfit, "{preset}");
                assert_eq!(paths, ["api-kubelet", "api-proxy-http", "api-proxy-https"], "{preset}");
            }
        }
    }

    #[test]
    fn the_api_server_reaches_into_the_cluster_on_two_kinds_of_path() {
        for preset in [Legacy, Kubernetes128] {
            let report = report(&preset.model());
            let from = |path: &&trust_model::PathReport| {
                path.channel.spec().direction() == Direction::FromControlPlane && path.status != PathStatus::Absent
            };
            let paths: Vec<_> = report.paths.iter().filter(from).map(|path| path.channel.id()).collect();
            assert_eq!(paths, ["api-kubelet", "api-proxy-http", "api-proxy-https"], "{preset}");
        }
        let kubelet = Channel::from_id("api-kubelet").unwrap().spec().summary();
        assert_eq!(kubelet, "the API server fetches logs, attaches, executes and forwards ports through a kubelet");
    }

    #[test]
    fn a_database_that_does_not_replicate_has_no_peers() {
        let mut model = Gke.model();
        NO_REPLICATION(&mut model);
        let report = report(&model);
        let peer = report.paths.iter().find(|path| path.channel.id() == "etcd-peer").unwrap();
        assert_eq!((peer.status, peer.fitness), (PathStatus::Absent, Fitness::FitAsAsserted));
    }

    #[test]
    fn whatever_must_not_run_says_why_and_what_to_do() {
        let mut unfit = 0;
        for preset in Preset::ALL {
            for change in [AS_IS, SSH_BLIND, OPEN_TUNNEL, OPEN_PORT, ANONYMOUS] {
                let mut model = preset.model();
                change(&mut model);
                let report = report(&model);
                for path in &report.paths {
                    let is_secure = path.status == PathStatus::Judged(Secure);
                    assert!(is_secure || !path.reasons.is_empty() || !path.missing.is_empty(), "{preset} {path:?}");
                    if path.fitness == Fitness::Unfit {
                        unfit += 1;
                        assert!(path.hardening.is_some() && !path.reasons.is_empty(), "{preset} {path:?}");
                    }
                }
            }
        }
        assert!(unfit > 50, "{unfit}");
    }

    /// A document that says nothing of a path lets nothing pass.
    #[test]
    fn an_empty_model_lets_nothing_pass() {
        let report = report(&ClusterModel::default());
        for path in &report.paths {
            assert!(path.fitness >= Fitness::Unknown, "{path:?}");
        }
        assert!(report.checks.iter().all(|check| check.passed == 0));
    }

    #[test]
    fn everything_that_a_preset_knows_is_asserted_or_default() {
        for preset in Preset::ALL {
            let report = report(&preset.model());
            assert!(
                report.findings.iter().flat_map(|finding| &finding.subjects).all(|one| one.place.is_none()),
                "{preset}"
            );
            assert!(report.paths.iter().any(|path| path.asserted), "{preset}");
            assert_eq!(report.cluster, preset.id());
            assert_eq!(Preset::from_id(preset.id()), Some(preset));
        }
        assert_eq!(Preset::from_id("nonsense"), None);
    }

    /// Both ends see what an agent shows: a certificate or a token.
    #[test]
    fn an_agent_shows_a_certificate_or_a_token() {
        let status = |change: fn(&mut ClusterModel)| {
            let mut model = Gke.model();
            change(&mut model);
            report(&model).paths.into_iter().find(|path| path.channel.id() == "konn-agent").unwrap().status
        };
        const NO_CERTIFICATE: Change = |model| {
            model.konnectivity_agents[0].leaves.insert(LeafKind::KonnectivityAgent, Fact::default_of(Leaf::Nothing));
        };
        assert_eq!(status(NO_CERTIFICATE), PathStatus::NotEvaluated);
        assert_eq!(
            status(|model| {
                NO_CERTIFICATE(model);
                model.konnectivity_agents[0].settings.sends_token = Fact::default_of(true);
            }),
            PathStatus::Judged(Secure)
        );
        assert_eq!(
            status(|model| {
                NO_CERTIFICATE(model);
                model.konnectivity_agents[0].settings.sends_token = Fact::default_of(false);
            }),
            PathStatus::Judged(ServerAuthOnly)
        );
    }

    #[test]
    fn a_socket_of_the_machine_needs_no_certificates() {
        let mut model = Gke.model();
        model.api_servers[0].settings.egress = Fact::default_of(Egress::Konnectivity(Transport::UnixSocket));
        model.konnectivity_servers[0].settings.server_transport = Fact::default_of(Transport::UnixSocket);
        model.konnectivity_servers[0].settings.authenticates_api_servers = Fact::Missing;
        model.api_servers[0].trusts.remove(&TrustSlot::ApiServerEgressCa);
        model.api_servers[0].leaves.remove(&LeafKind::KonnectivityClient);
        let status = |model: &ClusterModel| {
            report(model).paths.into_iter().find(|path| path.channel.id() == "konn-kas").unwrap().status
        };
        assert_eq!(status(&model), PathStatus::Judged(Secure));
        // Of two replicas one still goes over the network.
        let mut second = model.api_servers[0].clone();
        second.settings.egress = Fact::default_of(Egress::Konnectivity(Transport::Plain));
        model.api_servers.push(second);
        assert_eq!(status(&model), PathStatus::Judged(Plaintext));
    }

    fn judged(model: &ClusterModel, path: &str) -> PathStatus {
        report(model).paths.into_iter().find(|one| one.channel.id() == path).unwrap().status
    }

    #[test]
    fn one_replica_without_protection_decides_for_all() {
        let mut model = Legacy.model();
        let mut second = model.api_servers[0].clone();
        second.settings.insecure_port = Fact::default_of(InsecurePort::Network(8080));
        model.api_servers.push(second);
        assert_eq!(judged(&model, "local-insecure-port"), PathStatus::Judged(Plaintext));
        assert_eq!(judged(&model, "kcm-api"), PathStatus::Judged(Plaintext));

        // One goes through a socket of its machine, the other through TLS with nothing that it verifies.
        let mut model = Gke.model();
        model.konnectivity_servers[0].settings.server_transport = Fact::default_of(Transport::UnixSocket);
        model.api_servers[0].trusts.insert(TrustSlot::ApiServerEgressCa, Fact::default_of(Trust::Nothing));
        let mut second = model.api_servers[0].clone();
        second.settings.egress = Fact::default_of(Egress::Konnectivity(Transport::UnixSocket));
        model.api_servers.push(second);
        assert_eq!(judged(&model, "konn-kas"), PathStatus::Judged(EncryptedUnverified));
    }

    /// That nodes are protected says nothing of pods whose traffic is known to be plain.
    #[test]
    fn plain_pods_are_not_contained_by_what_nodes_have() {
        let mut model = Gke.model();
        model.infrastructure.pod_pod_across_nodes = Fact::declared(Protection::NONE, "operator");
        assert_eq!(judged(&model, "pod-pod-x"), PathStatus::Judged(Plaintext));
    }

    #[test]
    fn reports_of_presets() {
        for preset in Preset::ALL {
            golden(&format!("report/{preset}.txt"), &report(&preset.model()).to_string());
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Level {
        Good,
        Missing,
        Bad,
    }

    impl Level {
        fn of<T>(self, good: T, bad: T) -> Fact<T> {
            match self {
                Self::Good => Fact::default_of(good),
                Self::Missing => Fact::Missing,
                Self::Bad => Fact::default_of(bad),
            }
        }
    }

    fn trust<S>(components: &mut [Component<S>], slot: TrustSlot, level: Level) {
        // Two slots with one authority would be a finding of its own.
        let role = match slot {
            TrustSlot::ApiServerEtcdCa => AuthorityRole::EtcdApi,
            TrustSlot::EtcdPeerTrustedCa => AuthorityRole::EtcdPeer,
            _ => AuthorityRole::Cluster,
        };
        components[0].trusts.insert(slot, level.of(Trust::Authority(role), Trust::Nothing));
    }

    fn leaf<S>(components: &mut [Component<S>], kind: LeafKind, level: Level) {
        components[0].leaves.insert(kind, level.of(Leaf::IssuedBy(AuthorityRole::Cluster), Leaf::SelfSigned));
    }

    /// Facts that are good or bad for what depends on them, whatever the others are.
    const KNOBS: &[fn(&mut ClusterModel, Level)] = &[
        |m, l| trust(&mut m.api_servers, TrustSlot::ApiServerKubeletCa, l),
        |m, l| trust(&mut m.api_servers, TrustSlot::ApiServerClientCa, l),
        |m, l| trust(&mut m.api_servers, TrustSlot::ApiServerEgressCa, l),
        |m, l| trust(&mut m.api_servers, TrustSlot::ApiServerEtcdCa, l),
        |m, l| trust(&mut m.kubelets, TrustSlot::KubeletKubeconfigCa, l),
        |m, l| trust(&mut m.kubelets, TrustSlot::KubeletClientCa, l),
        |m, l| trust(&mut m.konnectivity_agents, TrustSlot::KonnectivityAgentCa, l),
        |m, l| trust(&mut m.konnectivity_servers, TrustSlot::KonnectivityServerAgentCa, l),
        |m, l| trust(&mut m.etcd, TrustSlot::EtcdPeerTrustedCa, l),
        |m, l| leaf(&mut m.kubelets, LeafKind::KubeletClient, l),
        |m, l| leaf(&mut m.konnectivity_agents, LeafKind::KonnectivityAgent, l),
        |m, l| leaf(&mut m.api_servers, LeafKind::KonnectivityClient, l),
        |m, l| m.konnectivity_agents[0].settings.sends_token = l.of(true, false),
        |m, l| m.kubelets[0].settings.anonymous_auth = l.of(false, true),
        |m, l| {
            m.kubelets[0].settings.authorization_mode =
                l.of(AuthorizationMode::Webhook, AuthorizationMode::AlwaysAllow);
        },
        |m, l| m.etcd[0].settings.client_cert_auth = l.of(true, false),
        |m, l| m.etcd[0].settings.peer_client_cert_auth = l.of(true, false),
        |m, l| m.etcd[0].settings.client_transport = l.of(Transport::Tls, Transport::Plain),
        |m, l| m.etcd[0].settings.peer_transport = l.of(Transport::Tls, Transport::Plain),
        |m, l| m.api_servers[0].settings.etcd_transport = l.of(Transport::Tls, Transport::Plain),
        |m, l| {
            m.api_servers[0].settings.egress =
                l.of(Egress::Konnectivity(Transport::Tls), Egress::Konnectivity(Transport::Plain));
        },
        |m, l| m.konnectivity_servers[0].settings.server_transport = l.of(Transport::Tls, Transport::Plain),
        |m, l| m.konnectivity_servers[0].settings.authenticates_agents = l.of(true, false),
        |m, l| m.konnectivity_servers[0].settings.authenticates_api_servers = l.of(true, false),
        |m, l| {
            m.ssh_tunnels =
                l.of(SshTunnels::Used { checks_host_key: true }, SshTunnels::Used { checks_host_key: false });
        },
        |m, l| {
            m.api_servers[0].settings.insecure_port = l.of(InsecurePort::Loopback(8080), InsecurePort::Network(8080));
        },
        |m, l| m.infrastructure.node_node = l.of(Protection::FULL, Protection::NONE),
        |m, l| m.infrastructure.pod_pod_across_nodes = l.of(Protection::FULL, Protection::NONE),
        |m, l| m.infrastructure.pod_pod_on_node = l.of(Protection::FULL, Protection::NONE),
        |m, l| m.infrastructure.proxy_is_used = l.of(false, true),
    ];

    /// What the report answers to every question about fitness.
    fn answers(levels: &[Level]) -> Vec<(String, Fitness)> {
        let mut model = Gke.model();
        for (knob, level) in KNOBS.iter().zip(levels) {
            knob(&mut model, *level);
        }
        let report = report(&model);
        let mut answers: Vec<_> = report.paths.iter().map(|path| (path.channel.to_string(), path.fitness)).collect();
        answers.extend(Direction::ALL.map(|direction| (direction.to_string(), report.fitness(direction).0)));
        answers.push(("cluster".to_owned(), report.cluster_fitness().0));
        answers
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn worse_facts_never_make_anything_better(
            levels in proptest::collection::vec(
                proptest::sample::select(vec![Level::Good, Level::Good, Level::Good, Level::Missing, Level::Bad]),
                KNOBS.len(),
            ),
            knob in 0..KNOBS.len(),
        ) {
            let at = |level| {
                let mut levels = levels.clone();
                levels[knob] = level;
                answers(&levels)
            };
            let (good, missing, bad) = (at(Level::Good), at(Level::Missing), at(Level::Bad));
            for ((good, missing), bad) in good.iter().zip(&missing).zip(&bad) {
                let passes = |answer: &(String, Fitness)| answer.1 <= Fitness::FitAsAsserted;
                proptest::prop_assert!(passes(good) || !passes(bad), "knob {} {:?} {:?}", knob, good, bad);
                proptest::prop_assert!(passes(good) || !passes(missing), "knob {} {:?} {:?}", knob, good, missing);
                proptest::prop_assert!(passes(bad) || !passes(missing), "knob {} {:?} {:?}", knob, bad, missing);
            }
        }
    }
}
