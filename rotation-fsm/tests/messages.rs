//! The messages that GKE and GDC document, word for word, as typed values print them.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod tests {
    use pki_core::{CaVersion, Hierarchy, Preset, Storage};
    use rotation_fsm::{
        Action, AdmissionDenied, CompletionBlocked, Delivery, Event, PoolBehind, PoolName, Rejected, RotationStarted,
        Settings, Unit,
    };
    use time::Duration;

    use super::cluster::{Cluster, golden};

    fn operator() -> String {
        "operator@example.com".to_owned()
    }

    /// GKE: completion while a pool still uses the old credentials.
    #[test]
    fn a_completion_that_comes_too_early_names_the_pool() {
        let pool = PoolName::new("test-pool-1".parse().unwrap());
        let error = Rejected::NotComplete(CompletionBlocked::Pool(pool)).to_string();
        assert_eq!(
            error,
            "ERROR: (gcloud.container.clusters.update) ResponseError: code=400, message=Node pool \"test-pool-1\" \
             requires recreation."
        );
        golden("message-gke-requires-recreation.txt", &format!("{error}\n"));
        // The machine says it of its own pool, and is as it was.
        let gke = Hierarchy::gke(Storage::Etcd);
        let mut cluster = Cluster::with(gke.clone(), Settings::of(&gke));
        cluster.start(Unit::Credentials);
        let before = cluster.machine.snapshot();
        let refused = cluster.apply(&Event::CompletionRequested { unit: Unit::Credentials }).unwrap_err();
        assert_eq!(refused.to_string(), error.replace("test-pool-1", "pool-a"));
        assert_eq!(cluster.machine.snapshot(), before);
        // So does the attempt of the seventh day, which nobody is there to read: it is told, and counted.
        let mut told = None;
        for _ in 0..7 {
            cluster.now += Duration::DAY;
            told = cluster.apply(&Event::Tick).unwrap().completion_blocked;
        }
        assert_eq!(told.unwrap().to_string(), "Node pool \"pool-a\" requires recreation.");
    }

    /// Only GKE has words of gcloud's; elsewhere the pools are named, and what is missing in each.
    #[test]
    fn a_completion_that_comes_too_early_elsewhere_names_the_pools_and_what_is_missing() {
        let mut lines = String::new();
        for hierarchy in [Hierarchy::kubeadm(), Hierarchy::gdc()] {
            let settings = Settings::of(&hierarchy).with_completion(rotation_fsm::Completion::OnRequest);
            let mut cluster = Cluster::with(hierarchy, settings);
            cluster.start(Unit::Ca);
            for until in
                ["mint", "node-trust/pool-a", "control-plane-leaves", "node-leaves/pool-a", "node-leaves/pool-b"]
            {
                cluster.run_until(until);
                if until == "node-leaves/pool-b" {
                    let consumer = cluster.consumer(pki_core::ComponentKind::Kubelet, "node-1");
                    let after = cluster.observation(&consumer).id;
                    cluster.apply(&Event::TakenDown { consumer, after }).unwrap();
                }
                let refused = cluster.apply(&Event::CompletionRequested { unit: Unit::Ca }).unwrap_err();
                lines.push_str(&format!("{until}\n    {refused}\n"));
            }
        }
        assert!(!lines.contains("gcloud"), "{lines}");
        let pools = (0..5).map(|number| PoolBehind {
            pool: PoolName::new(format!("pool-{number}").parse().unwrap()),
            consumers: 0,
            first: None,
        });
        let many = Rejected::NotComplete(CompletionBlocked::Pools(pools.collect()));
        lines.push_str(&format!("many pools\n    {many}\n"));
        golden("message-not-complete.txt", &lines);
    }

    #[test]
    fn the_start_and_a_second_request_are_worded_as_gkectl_does() {
        let mut cluster = Cluster::new(Hierarchy::gdc());
        let started = RotationStarted(cluster.start(Unit::Ca)).to_string();
        let second = cluster.apply(&Event::RotationRequested { unit: Unit::Ca }).unwrap_err();
        // One at a time, whoever asks; what gkectl prints is the admission webhook's.
        assert_eq!(second, Rejected::InProgress { to: CaVersion::FIRST.next() });
        golden("message-gdc-start.txt", &format!("{started}\n{AdmissionDenied}\n"));
    }

    /// GDC: once started, a rotation is neither paused nor rolled back.
    #[test]
    fn gdcs_rotation_has_no_pause_and_no_way_back() {
        let mut cluster = Cluster::new(Hierarchy::gdc());
        cluster.start(Unit::Ca);
        for stage in ["mint", "control-plane-trust", "signer"] {
            cluster.run_until(stage);
            let before = cluster.machine.snapshot();
            let pause = cluster.apply(&Event::PauseRequested { by: operator() });
            assert_eq!(pause, Err(Rejected::NoPause), "{stage}");
            let resume = cluster.apply(&Event::ResumeRequested { by: operator() });
            assert_eq!(resume, Err(Rejected::NoPause), "{stage}");
            let back = cluster.apply(&Event::RollbackRequested { by: operator() });
            assert_eq!(back, Err(Rejected::NoRollback), "{stage}");
            assert_eq!(cluster.machine.snapshot(), before, "{stage}");
        }
        assert_eq!(Rejected::NoPause.to_string(), "a rotation cannot be paused once it has started");
        assert_eq!(Rejected::NoRollback.to_string(), "a rotation cannot be rolled back once it has started");
    }

    /// GDC's status: in progress, completed, and with the tail that an upgrade adds within ten hours.
    #[test]
    fn the_status_is_worded_as_gkectl_does_and_tells_of_renewed_leaves() {
        const TAIL: &str = " Last Leaf Certificates Rotation Version: 1.16.0-gke.0.";
        let mut cluster = Cluster::new(Hierarchy::gdc());
        let (old, new) = ("1.15.0-gke.0".parse().unwrap(), "1.16.0-gke.0".parse().unwrap());
        cluster.start(Unit::Ca);
        cluster.run_until("signer");
        let progressed = cluster.machine.status().unwrap().to_string();
        cluster.run();
        let completed = cluster.machine.status().unwrap().to_string();
        assert!(!completed.contains("Last Leaf"), "{completed}");
        // The deadline stands in the action, and the tail comes when it is done and not before.
        let upgraded = cluster.now;
        cluster.apply(&Event::ClusterUpgraded { version: new }).unwrap();
        let renewal = cluster.machine.pending_actions().find_map(|action| match action {
            Action::EnsureLeavesRenewed { by, version, key } => Some((by, version, key.to_string())),
            _ => None,
        });
        let (by, version, key) = renewal.unwrap();
        assert_eq!((by, key.as_str()), (upgraded + Duration::hours(10), "test/renew-leaves/1.16.0-gke.0"));
        assert_eq!(cluster.machine.status().unwrap().to_string(), completed);
        assert_eq!(cluster.apply(&Event::LeavesRenewed { version: old }), Err(Rejected::NotAwaited));
        cluster.now += Duration::hours(9);
        cluster.apply(&Event::LeavesRenewed { version: version.clone() }).unwrap();
        let status = cluster.machine.status().unwrap();
        assert_eq!((status.to_string(), status.last_leaf_renewal()), (format!("{completed}{TAIL}"), Some(&version)));
        golden("message-gdc-status.txt", &format!("{progressed}\n{completed}\n{status}\n"));
    }

    #[test]
    fn the_tail_is_gdcs_alone() {
        for preset in Preset::ALL.into_iter().filter(|preset| *preset != Preset::Gdc) {
            let hierarchy = Hierarchy::preset(preset);
            let mut cluster = Cluster::new(hierarchy.clone());
            cluster.start(if preset == Preset::Kubeadm { Unit::Ca } else { Unit::Credentials });
            let version = || "1.16.0-gke.0".parse().unwrap();
            cluster.apply(&Event::ClusterUpgraded { version: version() }).unwrap();
            cluster.apply(&Event::LeavesRenewed { version: version() }).unwrap();
            let status = cluster.machine.status().unwrap();
            assert!(!status.to_string().contains("Last Leaf") && status.last_leaf_renewal().is_none(), "{preset}");
        }
    }

    /// GDC: the administrator's kubeconfig and the three authentication files are handed out anew.
    #[test]
    fn what_is_handed_out_afterwards_has_gdcs_names() {
        let mut cluster = Cluster::new(Hierarchy::gdc());
        cluster.start(Unit::Ca);
        cluster.run();
        let asked: Vec<_> = cluster
            .machine
            .pending_actions()
            .filter_map(|action| match action {
                Action::EnsureDelivered { delivery, .. } => Some(delivery),
                _ => None,
            })
            .collect();
        assert_eq!(asked, Delivery::ALL);
        assert_eq!((Delivery::ADMIN_SECRET, Delivery::ADMIN_SECRET_KEY), ("admin", "admin.conf"));
    }
}
