//! Hierarchies that are no preset: they rotate like the others, and what is not theirs stays out of every plan.

#[cfg(test)]
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod cluster;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pki_core::AuthorityRole::{
        AggregatedApi, Client, Cluster as ClusterRoot, EtcdApi, EtcdPeer, FrontProxy, Konnectivity, Kubelet,
        ServiceAccount,
    };
    use pki_core::{CaVersion, ComponentKind, Hierarchy, LeafKind, Path, Preset, ServerAuthority, TrustSlot};
    use rotation_fsm::{Action, Event, Rejected, Trigger, Unit, units};
    use time::Duration;

    use crate::cluster::Cluster;

    /// Gardener's split: servers, API clients and kubelets have authorities of their own.
    fn gardener() -> Hierarchy {
        Hierarchy::builder(Duration::days(3_650), Duration::days(365))
            .authority(ClusterRoot, [LeafKind::ApiServer, LeafKind::Webhook])
            .authority(Client, [LeafKind::KubeletClient, LeafKind::ControllerManager])
            .authority(Client, [LeafKind::Scheduler, LeafKind::Admin])
            .authority(Kubelet, [LeafKind::KubeletServing, LeafKind::ApiServerKubeletClient])
            .authority(AggregatedApi, [LeafKind::AggregatedApiServer])
            .authority(EtcdApi, [LeafKind::EtcdServer, LeafKind::ApiServerEtcdClient, LeafKind::EtcdHealthcheckClient])
            .authority(EtcdPeer, [LeafKind::EtcdPeer])
            .authority(FrontProxy, [LeafKind::FrontProxyClient])
            .authority(Konnectivity, [LeafKind::KonnectivityServer, LeafKind::KonnectivityAgent])
            .authority(Konnectivity, [LeafKind::KonnectivityClient])
            .authority(ServiceAccount, [LeafKind::ServiceAccountToken])
            .build()
            .unwrap()
    }

    #[test]
    fn authorities_from_parts_rotate_together_and_the_keys_apart() {
        let hierarchy = gardener();
        let units = units(&hierarchy);
        let [ca, peers, keys] = &units[..] else { panic!("{units:?}") };
        assert_eq!((ca.unit, ca.trigger), (Unit::Ca, Trigger::User));
        let authorities = hierarchy.roles().iter().copied().filter(|role| role.is_certificate_authority());
        assert_eq!(*ca.roles, authorities.filter(|role| *role != EtcdPeer).collect::<Vec<_>>());
        // Both of etcd's restart the same members, so they are never rotated at once.
        assert_eq!((peers.unit, peers.trigger), (Unit::EtcdPeer, Trigger::User));
        assert_eq!(*peers.roles, [EtcdPeer]);
        assert_eq!((keys.unit, keys.trigger), (Unit::ServiceAccount, Trigger::User));
        assert_eq!(*keys.roles, [ServiceAccount]);
    }

    /// The simulation checks every path after every event.
    #[test]
    fn a_split_cluster_rotates_without_breaking_a_path() {
        let mut cluster = Cluster::new(gardener());
        for unit in [Unit::Ca, Unit::EtcdPeer, Unit::ServiceAccount] {
            let to = cluster.start(unit);
            cluster.run();
            let completed = cluster.machine.completed().unwrap();
            assert_eq!((completed.unit, completed.to), (unit, to));
        }
        assert!(cluster.machine.is_at_rest());
        for role in gardener().roles() {
            assert_eq!(cluster.machine.authority(*role).unwrap().version, CaVersion::FIRST.next(), "{role}");
        }
        assert!(cluster.paths_checked > 0);
    }

    #[test]
    fn the_csr_signer_of_a_split_cluster_is_the_authority_of_its_clients() {
        let mut cluster = Cluster::new(gardener());
        cluster.start(Unit::Ca);
        cluster.run_until("signer");
        let manager = cluster.consumer(ComponentKind::ControllerManager, "0");
        let asked = cluster.machine.pending_actions().find_map(|action| match action {
            Action::EnsureConsumer { target, .. } if target.consumer == manager => target.signs,
            _ => None,
        });
        assert_eq!(asked, Some((Client, CaVersion::FIRST.next())));
        // A node that says it restarted under the servers' authority said nothing of worth.
        let node = cluster.consumer(ComponentKind::Kubelet, "node-0");
        let mut report = cluster.observation(&node);
        report.csr_signer_at_restart = Some(cluster.authority_id(ClusterRoot, CaVersion::FIRST));
        let applied = cluster.apply(&Event::Observed(report)).unwrap();
        assert_eq!(applied.unreadable.len(), 1);
    }

    /// GDC's org CA signs the certificate that clients outside see; its owner manages it.
    #[test]
    fn no_unit_and_no_plan_names_a_ca_that_somebody_else_manages() {
        let gdc = Hierarchy::gdc();
        let split = Hierarchy::builder(Duration::days(3_650), Duration::days(365))
            .authority(ClusterRoot, [LeafKind::ApiServer])
            .authority(Client, [LeafKind::KubeletClient, LeafKind::ControllerManager])
            .authority(Client, [LeafKind::Scheduler, LeafKind::Admin])
            .authority(ServiceAccount, [LeafKind::ServiceAccountToken])
            .external_serving()
            .build()
            .unwrap();
        for hierarchy in [gdc, split] {
            assert!(hierarchy.external_serving());
            assert_eq!(Path::AdminApi.server_authority(&hierarchy), ServerAuthority::External);
            let units = units(&hierarchy);
            let named: Vec<_> = units.iter().flat_map(|policy| policy.roles.to_vec()).collect();
            assert_eq!(BTreeSet::from_iter(named.clone()), BTreeSet::from_iter(hierarchy.roles().to_vec()));
            assert_eq!(named.len(), hierarchy.roles().len());

            let mut cluster = Cluster::new(hierarchy.clone());
            let (mut minted, mut slots) = (BTreeSet::new(), BTreeSet::new());
            for policy in units.iter() {
                cluster.start(policy.unit);
                cluster.run_with(|cluster| {
                    for action in cluster.machine.pending_actions() {
                        match action {
                            Action::EnsureAuthority { role, .. } => {
                                minted.insert(role);
                            }
                            Action::EnsureConsumer { target, .. } | Action::AwaitAcknowledgement { target, .. } => {
                                slots.extend(target.bundles.iter().map(|bundle| bundle.slot));
                            }
                            _ => {}
                        }
                    }
                });
            }
            // Every authority of the hierarchy and nothing else; and the file in which clients outside trust the org CA
            // is never written, while the one from which they are verified is.
            assert_eq!(minted, BTreeSet::from_iter(hierarchy.roles().to_vec()));
            assert!(!slots.contains(&TrustSlot::AdminKubeconfigCa));
            assert!(slots.contains(&TrustSlot::ApiServerClientCa));
        }
    }

    #[test]
    fn without_an_org_ca_clients_outside_are_given_the_new_authority() {
        let mut cluster = Cluster::new(Hierarchy::preset(Preset::Kubeadm));
        cluster.start(Unit::Ca);
        let mut asked = false;
        cluster.run_with(|cluster| {
            asked |= cluster.machine.pending_actions().any(|action| match action {
                Action::AwaitAcknowledgement { target, .. } => {
                    target.bundles.iter().any(|bundle| bundle.slot == TrustSlot::AdminKubeconfigCa)
                }
                _ => false,
            });
        });
        assert!(asked);
    }

    #[test]
    fn a_unit_of_a_preset_is_unknown_to_a_hierarchy_from_parts() {
        let mut cluster = Cluster::new(gardener());
        for unit in [Unit::Credentials, Unit::EtcdApi] {
            assert_eq!(cluster.apply(&Event::RotationRequested { unit }), Err(Rejected::UnknownUnit(unit)));
        }
    }
}
