//! Whole runs on real sockets: every preset holds, every planted fault breaks exactly what it must.

#[cfg(test)]
mod runs {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use examples::{Fault, Options, Outcome, run};
    use pki_core::{Hierarchy, Preset};

    fn outcome(preset: Preset, nodes: usize, fault: Option<Fault>) -> Outcome {
        let mut options = Options::new(preset);
        options.nodes = nodes.try_into().unwrap();
        options.fault = fault;
        options.dwell = Duration::ZERO;
        run(&options, &mut |_| {}).unwrap_or_else(|error| panic!("{preset}: {error}"))
    }

    /// The rows of each preset that use TLS, written out: what a component serves or dials in a real cluster.
    fn paths_of(preset: Preset) -> BTreeSet<String> {
        let everywhere = [
            "node-api",
            "node-bootstrap",
            "pod-api",
            "kcm-api",
            "sched-api",
            "admin-api",
            "api-kubelet",
            "api-proxy-https",
            "api-etcd",
            "etcd-health",
            "etcd-gateway",
            "front-proxy",
            "webhook",
            "cp-internal",
        ];
        let more: &[&str] = match preset {
            Preset::Kubeadm => &["etcd-peer"],
            Preset::Gke(pki_core::Storage::Spanner) => &["konn-agent", "konn-kas"],
            _ => &["etcd-peer", "konn-agent", "konn-kas"],
        };
        everywhere.iter().chain(more).map(|id| (*id).to_owned()).collect()
    }

    fn holds(preset: Preset) {
        let outcome = outcome(preset, 3, None);
        assert_eq!(outcome.broken, [], "{preset}");
        assert_eq!(outcome.accepted, [], "{preset}");
        assert!(outcome.is_clean(), "{preset}: {:?}", outcome.report.probes);

        let expected = paths_of(preset);
        for stage in &outcome.report.stages {
            let found: BTreeSet<_> = stage.paths.iter().map(|path| path.path.clone()).collect();
            assert_eq!(found, expected, "{preset} {}", stage.id);
            for path in &stage.paths {
                assert!(path.handshakes > 0 && path.failed == 0, "{preset} {} {path:?}", stage.id);
                let replicated = path.server.starts_with("kube-apiserver/") && path.path != "cp-internal";
                if replicated || path.path == "api-etcd" {
                    assert_eq!(path.unavailable, 0, "{preset} {} {path:?}", stage.id);
                }
            }
        }
        // Every authority that the preset has was rotated, in whichever unit.
        for policy in rotation_fsm::units(&Hierarchy::preset(preset)).iter() {
            let last = format!("{}/destroy-keys", policy.unit);
            assert!(outcome.report.stages.iter().any(|stage| stage.id == last), "{preset} {last}");
        }
        let restarted =
            |prefix: &str| outcome.report.restarts.iter().any(|(name, n)| name.starts_with(prefix) && *n > 1);
        assert!(restarted("kube-apiserver/") && restarted("etcd/") && restarted("kubelet/"), "{preset}");
    }

    #[test]
    fn gdc_rotates_without_a_failed_handshake() {
        holds(Preset::Gdc);
    }

    #[test]
    fn gke_rotates_without_a_failed_handshake() {
        holds(Preset::Gke(pki_core::Storage::Etcd));
    }

    #[test]
    fn gke_on_spanner_rotates_without_a_failed_handshake() {
        holds(Preset::Gke(pki_core::Storage::Spanner));
    }

    #[test]
    fn kubeadm_rotates_without_a_failed_handshake() {
        holds(Preset::Kubeadm);
    }

    #[test]
    fn one_node_is_enough_and_leaves_a_pool_empty() {
        assert!(outcome(Preset::Kubeadm, 1, None).is_clean());
    }

    /// The paths that a fault breaks, and in which stage.
    fn breaks(preset: Preset, fault: Fault) -> (BTreeSet<String>, BTreeSet<String>) {
        let outcome = outcome(preset, 2, Some(fault));
        assert!(!outcome.is_clean());
        for (_, broken) in &outcome.broken {
            assert!(broken.error.contains("UnknownIssuer"), "{broken:?}");
        }
        let stages = outcome.broken.iter().map(|(stage, _)| stage.clone()).collect();
        (stages, outcome.broken.iter().map(|(_, broken)| broken.path.id().to_owned()).collect())
    }

    fn set<const N: usize>(items: [&str; N]) -> BTreeSet<String> {
        items.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn leaves_before_trust_break_every_path_with_a_control_plane_leaf() {
        let (stages, paths) = breaks(Preset::Gdc, Fault::SkipTrustDistribution);
        assert_eq!(stages, set(["ca/control-plane-leaves"]));
        // Not those of etcd's own certificates, which come a stage later; not the clients outside, whom the org CA
        // serves and whose certificate is still the old one; not the proxy verb, which verifies nothing.
        assert_eq!(
            paths,
            set([
                "node-api",
                "node-bootstrap",
                "pod-api",
                "kcm-api",
                "sched-api",
                "api-kubelet",
                "konn-agent",
                "konn-kas",
                "api-etcd",
                "etcd-health",
                "front-proxy",
                "webhook",
                "cp-internal",
            ])
        );
    }

    #[test]
    fn retiring_early_breaks_every_path_that_the_control_plane_verifies() {
        let (stages, paths) = breaks(Preset::Gdc, Fault::RetireOldCaEarly);
        assert_eq!(stages, set(["ca/control-plane-trust"]));
        // Not those on which only a node or a pod verifies: their bundles come a stage later.
        assert_eq!(
            paths,
            set([
                "node-api",
                "kcm-api",
                "sched-api",
                "admin-api",
                "api-kubelet",
                "konn-agent",
                "konn-kas",
                "api-etcd",
                "etcd-peer",
                "etcd-health",
                "etcd-gateway",
                "front-proxy",
                "webhook",
                "cp-internal",
            ])
        );
    }

    #[test]
    fn nodes_that_restart_under_the_old_signer_break_when_it_is_retired() {
        let (stages, paths) = breaks(Preset::Gdc, Fault::SwitchSignerAfterNodes);
        assert_eq!(stages, set(["ca/control-plane-retire"]));
        assert_eq!(paths, set(["node-api", "api-kubelet"]));
    }

    #[test]
    fn faults_break_the_same_way_where_nodes_are_recreated() {
        let gke = Preset::Gke(pki_core::Storage::Etcd);
        let (stages, paths) = breaks(gke, Fault::SwitchSignerAfterNodes);
        assert_eq!(stages, set(["credentials/control-plane-retire"]));
        assert_eq!(paths, set(["node-api", "api-kubelet"]));
    }

    /// The shape of a JSON value: keys and kinds, the first element of each array.
    fn shape(value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
            Value::Array(items) => items.iter().take(1).map(shape).collect(),
            Value::String(_) => "string".into(),
            Value::Number(_) => "number".into(),
            Value::Bool(_) => "bool".into(),
            Value::Null => "null".into(),
        }
    }

    #[test]
    fn the_report_has_the_documented_shape() {
        let report = outcome(Preset::Kubeadm, 1, None).report;
        assert_eq!((report.version, report.preset.as_str(), report.strategy.as_str()), (1, "kubeadm", "staged"));
        let found = serde_json::to_string_pretty(&shape(&serde_json::to_value(&report).unwrap())).unwrap() + "\n";
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/report-shape.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(golden, &found).unwrap();
        }
        assert_eq!(std::fs::read_to_string(golden).unwrap(), found);
    }
}
