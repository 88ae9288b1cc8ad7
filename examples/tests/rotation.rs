//! Whole runs on real sockets: every preset holds, every planted fault breaks exactly what it must.

#[cfg(test)]
mod runs {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use examples::{ConnectionReport, Fault, Options, Outcome, Progress, RunError, run};
    use pki_core::{Hierarchy, Preset, Storage};
    use rotation_fsm::{Rejected, Strategy};

    fn options(preset: Preset, nodes: usize) -> Options {
        let mut options = Options::new(preset);
        options.nodes = nodes.try_into().unwrap();
        options.dwell = Duration::ZERO;
        options
    }

    fn outcome(preset: Preset, nodes: usize, fault: Option<Fault>) -> Outcome {
        let mut options = options(preset, nodes);
        options.fault = fault;
        told(&options).0
    }

    /// What a run came to, and what it said on the way.
    fn told(options: &Options) -> (Outcome, Vec<String>) {
        let mut notes = Vec::new();
        let outcome = run(options, &mut |progress| {
            if let Progress::Note(note) = progress {
                notes.push(note);
            }
        });
        (outcome.unwrap_or_else(|error| panic!("{}: {error}", options.preset)), notes)
    }

    fn assert_clean(outcome: &Outcome) {
        assert_eq!(outcome.broken, []);
        assert_eq!(outcome.accepted, []);
        assert_eq!(outcome.lingering, [""; 0]);
        for unit in &outcome.report.units {
            assert_eq!(unit.mismatches().next(), None, "{}", unit.unit);
        }
        assert!(outcome.is_clean(), "{:?}", outcome.report.probes);
        assert_eq!(outcome.sum(|row| row.failed), 0);
        // Every client holds a connection to every server, and each came to an end that it may come to.
        let ConnectionReport { held, retired, stopped, broken, remained, .. } = outcome.report.connections;
        assert_eq!((held, broken), (retired + stopped + remained, 0));
        let edges = outcome.report.stages.last().unwrap().paths.len();
        assert_eq!(remained, u64::try_from(edges).unwrap());
    }

    fn stages(outcome: &Outcome) -> Vec<&str> {
        outcome.report.stages.iter().map(|stage| stage.id.as_str()).collect()
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
            Preset::Gke(Storage::Spanner) => &["konn-agent", "konn-kas"],
            _ => &["etcd-peer", "konn-agent", "konn-kas"],
        };
        everywhere.iter().chain(more).map(|id| (*id).to_owned()).collect()
    }

    fn holds(preset: Preset, strategy: Strategy) {
        let mut options = options(preset, 3);
        options.strategy = strategy;
        let (outcome, _) = told(&options);
        assert_clean(&outcome);

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
        // Every authority that the preset has was rotated, in whichever unit, at the planner's price.
        for policy in rotation_fsm::units(&Hierarchy::preset(preset)).iter() {
            let last = format!("{}/destroy-keys", policy.unit);
            assert!(stages(&outcome).contains(&last.as_str()), "{preset} {last}");
            let unit = outcome.report.units.iter().find(|unit| unit.unit == policy.unit.id()).unwrap();
            assert_eq!(unit.order, strategy.id());
            assert_eq!(unit.recreations.found.len(), 3);
        }
        let restarted =
            |prefix: &str| outcome.report.restarts.iter().any(|(name, n)| name.starts_with(prefix) && *n > 0);
        assert!(restarted("kube-apiserver/") && restarted("etcd/") && restarted("kubelet/"), "{preset}");
        // Both ends of every path were asked what they send.
        let edges = outcome.report.stages.first().unwrap().paths.len();
        assert_eq!(outcome.report.probes.chains, 2 * u64::try_from(edges).unwrap());
        // Two API servers, each with one socket on the address that was left.
        let left = if strategy == Strategy::DualEndpoint { 2 } else { 0 };
        assert_eq!(outcome.report.probes.closed_sockets, left, "{preset} {strategy}");
        let crossed = stages(&outcome).iter().any(|stage| stage.ends_with("/control-plane-unchain"));
        assert_eq!(crossed, strategy == Strategy::CrossSigned, "{preset} {strategy}");
        let picture = outcome.timeline.to_svg();
        assert_eq!(picture.matches("class=\"chained\"").count() > 1, strategy == Strategy::CrossSigned);
    }

    #[test]
    fn gdc_rotates_in_stages_without_a_failed_handshake() {
        holds(Preset::Gdc, Strategy::Staged);
    }

    #[test]
    fn gdc_rotates_cross_signed_without_a_failed_handshake() {
        holds(Preset::Gdc, Strategy::CrossSigned);
    }

    #[test]
    fn gke_rotates_in_stages_without_a_failed_handshake() {
        holds(Preset::Gke(Storage::Etcd), Strategy::Staged);
    }

    #[test]
    fn gke_rotates_on_a_second_address_without_a_failed_handshake() {
        holds(Preset::Gke(Storage::Etcd), Strategy::DualEndpoint);
    }

    #[test]
    fn gke_rotates_cross_signed_without_a_failed_handshake() {
        holds(Preset::Gke(Storage::Etcd), Strategy::CrossSigned);
    }

    #[test]
    fn gke_on_spanner_rotates_in_stages_without_a_failed_handshake() {
        holds(Preset::Gke(Storage::Spanner), Strategy::Staged);
    }

    #[test]
    fn gke_on_spanner_rotates_on_a_second_address_without_a_failed_handshake() {
        holds(Preset::Gke(Storage::Spanner), Strategy::DualEndpoint);
    }

    #[test]
    fn gke_on_spanner_rotates_cross_signed_without_a_failed_handshake() {
        holds(Preset::Gke(Storage::Spanner), Strategy::CrossSigned);
    }

    #[test]
    fn kubeadm_rotates_in_stages_without_a_failed_handshake() {
        holds(Preset::Kubeadm, Strategy::Staged);
    }

    #[test]
    fn kubeadm_rotates_on_a_second_address_without_a_failed_handshake() {
        holds(Preset::Kubeadm, Strategy::DualEndpoint);
    }

    #[test]
    fn kubeadm_rotates_cross_signed_without_a_failed_handshake() {
        holds(Preset::Kubeadm, Strategy::CrossSigned);
    }

    /// How often each node restarted in the rotation of the first unit.
    fn node_restarts(preset: Preset, strategy: Strategy) -> (u64, u64) {
        let mut options = options(preset, 2);
        options.strategy = strategy;
        let (outcome, _) = told(&options);
        let unit = outcome.report.units.first().unwrap();
        let kubelets = unit.components.iter().find(|cost| cost.of == "kubelet").unwrap();
        let one = |counts: &std::collections::BTreeMap<String, u64>| {
            let different: BTreeSet<_> = counts.values().copied().collect();
            assert_eq!(different.len(), 1, "{preset} {strategy}: {counts:?}");
            different.into_iter().next().unwrap()
        };
        (one(&kubelets.found), one(&unit.recreations.found))
    }

    #[test]
    fn a_second_address_or_a_cross_certificate_saves_every_node_a_recreation() {
        let gke = Preset::Gke(Storage::Etcd);
        assert_eq!(node_restarts(gke, Strategy::Staged), (2, 2));
        assert_eq!(node_restarts(gke, Strategy::DualEndpoint), (1, 1));
        assert_eq!(node_restarts(gke, Strategy::CrossSigned), (1, 1));
    }

    #[test]
    fn an_emergency_breaks_what_it_declares_and_nothing_else() {
        for (preset, units) in [(Preset::Kubeadm, 1), (Preset::Gdc, 2), (Preset::Gke(Storage::Etcd), 1)] {
            let mut options = options(preset, 2);
            options.emergency = true;
            let (outcome, notes) = told(&options);
            assert_clean(&outcome);
            let of_emergency: Vec<_> = outcome.report.units.iter().filter(|unit| unit.order == "emergency").collect();
            assert_eq!(of_emergency.len(), units, "{preset}");
            // Said before it began, and then lost: by clients outside alone.
            let first = of_emergency.first().unwrap();
            assert!(
                !first.losses.is_empty() && first.losses.iter().all(|loss| loss.contains("admin-api: ")),
                "{preset}"
            );
            let said = notes.iter().position(|note| note.starts_with("  declared loss in `control-plane-retire"));
            let begun = notes.iter().position(|note| note.ends_with("in an emergency"));
            assert!(said.is_some() && said < begun, "{preset}: {notes:?}");
            assert!(outcome.sum(|row| row.declared_losses) > 0, "{preset}");
            for path in outcome.report.stages.iter().flat_map(|stage| &stage.paths) {
                assert!(path.declared_losses == 0 || path.path == "admin-api", "{preset} {path:?}");
            }
            // Clients outside were given new credentials in the end.
            let last = outcome.report.stages.last().unwrap();
            let mut outside = last.paths.iter().filter(|path| path.path == "admin-api");
            assert!(outside.all(|path| path.handshakes > 0 && path.declared_losses == 0), "{preset}");
        }
    }

    #[test]
    fn a_rotation_that_turns_back_leaves_nothing_of_the_next_generation() {
        for (strategy, stage) in [
            (Strategy::Staged, "ca/node-leaves/pool-b"),
            (Strategy::Staged, "mint"),
            (Strategy::DualEndpoint, "external-leaves"),
            (Strategy::CrossSigned, "node-leaves/pool-a"),
        ] {
            let mut options = options(Preset::Kubeadm, 2);
            (options.strategy, options.rollback_at) = (strategy, Some(stage.to_owned()));
            let (outcome, notes) = told(&options);
            assert_clean(&outcome);
            let full = if stage.starts_with("ca/") { stage.to_owned() } else { format!("ca/{stage}") };
            assert_eq!(outcome.report.rolled_back_at.as_deref(), Some(full.as_str()));
            assert!(!stages(&outcome).contains(&full.as_str()), "{strategy} {stage}");
            assert_eq!(stages(&outcome).last(), Some(&"ca/undo-destroy-keys"), "{strategy} {stage}");
            assert!(notes.iter().any(|note| note == "`ca` turns back from CAVersion 2"), "{notes:?}");
            // Forged leaves of the generation that was given up were tried everywhere, and it left no address behind.
            assert!(outcome.report.probes.total > 50, "{strategy} {stage}");
            let left = if strategy == Strategy::DualEndpoint { 2 } else { 0 };
            assert_eq!(outcome.report.probes.closed_sockets, left, "{strategy} {stage}");
            let restarted = outcome.report.units.iter().flat_map(|unit| &unit.components);
            assert_eq!(restarted.count() > 0, stage != "mint", "{strategy} {stage}");
        }
    }

    #[test]
    fn a_node_that_sleeps_is_waited_for() {
        for (preset, strategy, slept, gate) in [
            (Preset::Gke(Storage::Etcd), Strategy::DualEndpoint, 5, "credentials/node-leaves/pool-a"),
            (Preset::Kubeadm, Strategy::CrossSigned, 6, "ca/node-leaves/pool-a"),
            (Preset::Gdc, Strategy::Staged, 2, "ca/node-trust/pool-a"),
        ] {
            let mut options = options(preset, 3);
            (options.strategy, options.sleeping_node) = (strategy, Some("node-0".parse().unwrap()));
            let (outcome, notes) = told(&options);
            assert_clean(&outcome);
            let sleep = outcome.report.slept.as_ref().unwrap();
            assert_eq!((sleep.node.as_str(), sleep.waited_in.as_deref()), ("node-0", Some(gate)), "{preset}");
            assert_eq!(sleep.through.len(), slept, "{preset} {:?}", sleep.through);
            let waits = format!("`{gate}` waits for `kubelet/node-0`");
            assert!(notes.iter().any(|note| note.starts_with(&waits)), "{notes:?}");
            for stage in &outcome.report.stages {
                // It falls asleep in the first of them.
                let asleep = sleep.through.iter().skip(1).any(|id| *id == stage.id);
                let falls_asleep = sleep.through.first() == Some(&stage.id);
                for path in stage.paths.iter().filter(|_| !falls_asleep) {
                    let on_it = |name: &String| name.ends_with("/node-0");
                    let silent = asleep && (on_it(&path.client) || on_it(&path.server));
                    assert_eq!(path.handshakes == 0, silent, "{preset} {} {path:?}", stage.id);
                }
            }
        }
    }

    #[test]
    fn what_a_preset_does_not_allow_is_refused_before_anything_begins() {
        let refused = |change: fn(&mut Options)| {
            let mut options = options(Preset::Gdc, 1);
            change(&mut options);
            let error = run(&options, &mut |progress| panic!("{progress:?}")).unwrap_err();
            assert!(error.is_misuse(), "{error}");
            error
        };
        let error = refused(|options| options.strategy = Strategy::DualEndpoint);
        assert!(matches!(error, RunError::Refused(Rejected::Strategy(_))), "{error:?}");
        let error = refused(|options| options.rollback_at = Some("signer".to_owned()));
        assert!(matches!(error, RunError::Refused(Rejected::NoRollback)), "{error:?}");
        let error = refused(|options| {
            options.preset = Preset::Kubeadm;
            options.rollback_at = Some("control-plane-retire".to_owned());
        });
        assert!(matches!(error, RunError::Refused(Rejected::NoWayBack { stage: Some(_) })), "{error:?}");
        let error = refused(|options| {
            options.preset = Preset::Kubeadm;
            options.rollback_at = Some("signer/".to_owned());
        });
        assert!(matches!(error, RunError::NoSuchStage { .. }), "{error:?}");
        let error = refused(|options| options.sleeping_node = Some("node-1".parse().unwrap()));
        assert_eq!(error.to_string(), "there is no node `node-1`");
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
        let gke = Preset::Gke(Storage::Etcd);
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
        assert_eq!((report.version, report.preset.as_str(), report.strategy.as_str()), (4, "kubeadm", "staged"));
        let found = serde_json::to_string_pretty(&shape(&serde_json::to_value(&report).unwrap())).unwrap() + "\n";
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/report-shape.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(golden, &found).unwrap();
        }
        assert_eq!(std::fs::read_to_string(golden).unwrap(), found);
    }
}
