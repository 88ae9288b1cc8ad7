//! Node pools as GKE lists them: one operation each, one after the other, and which version nodes come back with.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

use cluster::Cluster;
use pki_core::{Hierarchy, Preset, Storage};
use rotation_fsm::{Action, Event, NodeVersion, Operation, PoolName, Strategy, Unit};

#[test]
fn each_pool_has_an_operation_and_one_runs_at_a_time() {
    let mut cluster = Cluster::with_strategy(Hierarchy::gke(Storage::Etcd), Strategy::DualEndpoint);
    assert_eq!(cluster.machine.operations().count(), 0);
    cluster.start(Unit::Credentials);
    let mut told: Vec<Vec<String>> = Vec::new();
    cluster.run_with(|cluster| {
        let lines: Vec<_> = cluster.machine.operations().map(|operation| operation.to_string()).collect();
        if !lines.is_empty() && told.last() != Some(&lines) {
            told.push(lines);
        }
    });
    let line = |pool: &str, status: &str| format!("operation-test-credentials-2-{pool} UPGRADE_NODES {pool} {status}");
    let lines = |a: &str, b: &str| vec![line("pool-a", a), line("pool-b", b)];
    assert_eq!(
        told,
        [lines("PENDING", "PENDING"), lines("RUNNING", "PENDING"), lines("DONE", "RUNNING"), lines("DONE", "DONE")]
    );
    assert_eq!(Operation::TYPE, "UPGRADE_NODES");
    assert_eq!(cluster.machine.operations().count(), 0);
}

#[test]
fn nodes_come_back_with_the_closest_supported_version_or_by_hand_with_the_very_same() {
    let mut cluster = Cluster::with_strategy(Hierarchy::preset(Preset::Gke(Storage::Etcd)), Strategy::DualEndpoint);
    cluster.start(Unit::Credentials);
    cluster.run_until("node-leaves/pool-a");
    let versions = |cluster: &Cluster| {
        let actions = cluster.machine.pending_actions();
        let versions = actions.filter_map(|action| match action {
            Action::RecreateNode { version, .. } => Some(version),
            _ => None,
        });
        versions.collect::<Vec<_>>()
    };
    assert_eq!(versions(&cluster), [NodeVersion::ClosestSupported]);
    let pool = PoolName::new("pool-a".parse().unwrap());
    cluster.apply(&Event::PoolUpgradeRequested { pool }).unwrap();
    assert_eq!(versions(&cluster), [NodeVersion::Same]);
    // The other pool's turn comes by itself.
    cluster.run_until("node-leaves/pool-b");
    assert_eq!(versions(&cluster), [NodeVersion::ClosestSupported]);
}
