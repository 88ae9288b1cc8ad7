//! The life of a rotation: time, calendars, people who change their minds, keys that are suspect, and consumers that come
//! and go.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
#[path = "lifecycle/calendar.rs"]
mod calendar;
#[cfg(test)]
#[path = "lifecycle/clock.rs"]
mod clock;
#[cfg(test)]
#[path = "lifecycle/emergency.rs"]
mod emergency;
#[cfg(test)]
#[path = "lifecycle/gke.rs"]
mod gke;
#[cfg(test)]
#[path = "lifecycle/membership.rs"]
mod membership;
#[cfg(test)]
#[path = "lifecycle/refusals.rs"]
mod refusals;
#[cfg(test)]
#[path = "lifecycle/way_back.rs"]
mod way_back;

#[cfg(test)]
mod parts {
    use pki_core::{AuthorityRole, Hierarchy, LeafKind};
    use rotation_fsm::{Machine, Phase, Rotating};
    use time::Duration;

    /// Gardener's shape: servers, clients and kubelets each have an authority of their own.
    pub(crate) fn of_many_authorities() -> Hierarchy {
        use AuthorityRole as R;
        let clients = [LeafKind::KubeletClient, LeafKind::ControllerManager, LeafKind::Scheduler, LeafKind::Admin];
        Hierarchy::builder(Duration::days(3_650), Duration::days(365))
            .authority(R::Cluster, [LeafKind::ApiServer, LeafKind::Webhook])
            .authority(R::Client, clients)
            .authority(R::Kubelet, [LeafKind::KubeletServing, LeafKind::ApiServerKubeletClient])
            .authority(R::AggregatedApi, [LeafKind::AggregatedApiServer])
            .authority(
                R::EtcdApi,
                [LeafKind::EtcdServer, LeafKind::ApiServerEtcdClient, LeafKind::EtcdHealthcheckClient],
            )
            .authority(R::EtcdPeer, [LeafKind::EtcdPeer])
            .authority(R::FrontProxy, [LeafKind::FrontProxyClient])
            .authority(R::ServiceAccount, [LeafKind::ServiceAccountToken])
            .build()
            .unwrap()
    }

    pub(crate) fn rotating(machine: &Machine) -> &Rotating {
        match machine.phase() {
            Phase::Rotating(rotating) => rotating,
            phase => panic!("not rotating: {phase:?}"),
        }
    }

    pub(crate) fn stage(machine: &Machine) -> String {
        machine.stage().map(ToString::to_string).unwrap_or_default()
    }
}
