//! Connections that are held while the cluster is rotated: what keeps them, and what closes them.

#[cfg(test)]
mod connections {
    use std::collections::BTreeMap;

    use examples::{Fault, HeldReport, Options, Outcome, PathReport, StageReport, run};
    use pki_core::{Preset, Storage};
    use rotation_fsm::Strategy;

    const GKE: Preset = Preset::Gke(Storage::Etcd);

    fn outcome(preset: Preset, strategy: Strategy, fault: Option<Fault>) -> Outcome {
        let mut options = Options::new(preset);
        options.nodes = 2.try_into().unwrap();
        options.dwell = std::time::Duration::ZERO;
        (options.strategy, options.fault) = (strategy, fault);
        run(&options, &mut |_| {}).unwrap_or_else(|error| panic!("{preset}: {error}"))
    }

    type Edges<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a PathReport>;

    fn edges(stage: &StageReport) -> Edges<'_> {
        stage
            .paths
            .iter()
            .map(|path| ((path.path.as_str(), path.client.as_str(), path.server.as_str()), path))
            .collect()
    }

    fn held(path: &PathReport) -> &HeldReport {
        path.held.as_ref().unwrap_or_else(|| panic!("no connection is held: {path:?}"))
    }

    fn stands_on(path: &PathReport, authority: &str) -> bool {
        let HeldReport { server_anchor, client_anchor, .. } = held(path);
        [server_anchor, client_anchor].into_iter().flatten().any(|anchor| anchor == authority)
    }

    /// The edges before and after a stage.
    fn around<'a>(outcome: &'a Outcome, id: &str) -> Vec<(&'a PathReport, &'a PathReport)> {
        let stages = &outcome.report.stages;
        let index = stages.iter().position(|stage| stage.id == id).unwrap_or_else(|| panic!("no stage `{id}`"));
        let (before, after) = (edges(&stages[index - 1]), edges(&stages[index]));
        before.into_iter().map(|(edge, path)| (path, after[&edge])).collect()
    }

    #[test]
    fn more_trust_and_new_leaves_keep_every_connection_whose_processes_go_on() {
        let outcome = outcome(GKE, Strategy::Staged, None);
        for stage in ["front-proxy/mint", "front-proxy/control-plane-trust", "front-proxy/control-plane-leaves"] {
            let mut kept = 0;
            for (before, after) in around(&outcome, stage) {
                assert_eq!(after.retired, 0, "{stage} {after:?}");
                let same = held(before).port == held(after).port;
                assert_eq!(same, after.stopped == 0, "{stage} {before:?} {after:?}");
                kept += usize::from(same && stands_on(after, "front-proxy/1"));
            }
            // Both API servers at each other and at the extension server.
            assert_eq!(kept, 4, "{stage}");
        }
        assert!(outcome.report.connections.kept >= 4, "{:?}", outcome.report.connections);
    }

    #[test]
    fn a_retired_authority_closes_exactly_the_connections_that_stand_on_it() {
        let outcome = outcome(GKE, Strategy::Staged, None);
        let mut closed = 0;
        for (before, after) in around(&outcome, "front-proxy/control-plane-retire") {
            assert_eq!(after.retired, u64::from(stands_on(before, "front-proxy/1")), "{before:?} {after:?}");
            closed += after.retired;
            let same = held(before).port == held(after).port;
            assert_eq!(same, after.retired + after.stopped == 0, "{before:?} {after:?}");
            assert!(!stands_on(after, "front-proxy/1"), "{after:?}");
            assert!(after.handshakes > 0 && after.failed == 0, "{after:?}");
        }
        assert_eq!(closed, 4);
    }

    #[test]
    fn in_every_stage_a_connection_is_another_one_only_for_a_reason_that_is_told() {
        for (preset, strategy) in
            [(GKE, Strategy::DualEndpoint), (Preset::Kubeadm, Strategy::CrossSigned), (Preset::Gdc, Strategy::Staged)]
        {
            let outcome = outcome(preset, strategy, None);
            assert!(outcome.is_clean(), "{preset} {:?}", outcome.broken);
            for pair in outcome.report.stages.windows(2) {
                let after = edges(&pair[1]);
                for (edge, before) in edges(&pair[0]) {
                    let after = after[&edge];
                    let same = held(before).port == held(after).port;
                    assert_eq!(
                        same,
                        after.retired + after.stopped == 0,
                        "{preset} {} {before:?} {after:?}",
                        pair[1].id
                    );
                    let anchors = |path| {
                        let HeldReport { server_anchor, client_anchor, .. } = held(path);
                        (server_anchor.clone(), client_anchor.clone())
                    };
                    // What was closed for its authority stands on another one now, at one end at least.
                    assert!(
                        after.retired == 0 || anchors(before) != anchors(after),
                        "{preset} {} {after:?}",
                        pair[1].id
                    );
                }
            }
            // Every generation was followed by one other.
            for path in &outcome.report.stages.last().unwrap().paths {
                let HeldReport { server_anchor, client_anchor, .. } = held(path);
                for anchor in [server_anchor, client_anchor].into_iter().flatten() {
                    assert!(anchor.ends_with("/2") || anchor == "external", "{preset} {path:?}");
                }
            }
        }
    }

    #[test]
    fn connections_that_nobody_closes_are_found_on_the_authority_that_was_retired() {
        let outcome = outcome(GKE, Strategy::Staged, Some(Fault::KeepOrphaned));
        assert_eq!(outcome.broken, []);
        assert_eq!(outcome.report.connections.retired, 0);
        assert_eq!(
            outcome.lingering,
            [
                "cp-internal: `kube-apiserver/0` holds a connection whose other end `front-proxy/1` vouches for",
                "cp-internal: `kube-apiserver/1` holds a connection whose other end `front-proxy/1` vouches for",
                "front-proxy: `aggregated-apiserver/0` holds a connection whose other end `front-proxy/1` vouches for",
                "front-proxy: `aggregated-apiserver/0` holds a connection whose other end `front-proxy/1` vouches for",
            ]
        );
        assert!(!outcome.is_clean());
    }
}
