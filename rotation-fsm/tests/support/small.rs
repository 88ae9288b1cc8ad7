//! Clusters of a chosen size that nobody has seen yet, and their authorities.

use pki_core::verify::SubjectPublicKey;
use pki_core::{AuthorityId, AuthorityRole, CaVersion, ComponentKind, Fingerprint, Hierarchy, Plane};
use rotation_fsm::{
    Address, AuthorityRecord, ConsumerId, Machine, MaintenanceWindow, PoolName, Settings, Topology, parse_instant,
};
use time::{Duration, UtcDateTime};

pub(crate) fn at(text: &str) -> UtcDateTime {
    parse_instant(text).unwrap()
}

/// When every cluster here begins its life: a Thursday.
pub(crate) const BORN: &str = "2026-01-01T00:00:00Z";

pub(crate) fn address(name: &str) -> Address {
    name.parse().unwrap()
}

pub(crate) fn pool(number: usize) -> PoolName {
    PoolName::new(format!("pool-{number}").parse().unwrap())
}

/// So many nodes, spread evenly over so many pools, of each of which one may be away; two API servers, three members of
/// etcd, one of everything else. No node has a pod, unless `pods` says so.
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) pools: usize,
    pub(crate) max_unavailable: usize,
    pub(crate) pods: bool,
}

impl Size {
    pub(crate) const SMALL: Self = Self { nodes: 4, pools: 2, max_unavailable: 1, pods: true };
}

pub(crate) fn topology(hierarchy: &Hierarchy, size: &Size) -> Topology {
    let mut topology = Topology::with_address(hierarchy.clone(), address("192.0.2.1"));
    (0..size.pools).for_each(|number| topology.add_pool(pool(number), size.max_unavailable).unwrap());
    for kind in ComponentKind::ALL {
        let count = match kind {
            ComponentKind::KubeApiServer => 2,
            ComponentKind::Etcd => 3,
            ComponentKind::Pod if !size.pods => 0,
            _ if kind.plane() == Plane::Data => size.nodes,
            _ => 1,
        };
        for index in 0..count {
            let on_a_node = kind.plane() == Plane::Data;
            let name = if on_a_node { format!("node-{index}") } else { index.to_string() };
            // What the hierarchy has no path for is not part of its clusters.
            let place = on_a_node.then(|| pool(index * size.pools / size.nodes));
            let _ = topology.add(ConsumerId::new(kind, name.parse().unwrap()), place);
        }
    }
    topology
}

pub(crate) fn record(
    hierarchy: &Hierarchy,
    role: AuthorityRole,
    version: CaVersion,
    expiry: UtcDateTime,
) -> AuthorityRecord {
    let mut key = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    key.extend_from_slice(Fingerprint::of(format!("{role}/{version}").as_bytes()).as_bytes());
    AuthorityRecord {
        version,
        id: AuthorityId::of(&SubjectPublicKey::parse(&key).unwrap()),
        anchor: Fingerprint::of(&key),
        not_after: hierarchy.ca_lifetime(role).map(|_| expiry),
    }
}

/// A cluster that nobody has seen yet, all of whose CAs expire at once.
pub(crate) fn machine(hierarchy: &Hierarchy, size: &Size, settings: Settings, expiry: UtcDateTime) -> Machine {
    let authorities = hierarchy.roles().iter().map(|role| (*role, record(hierarchy, *role, CaVersion::FIRST, expiry)));
    let topology = topology(hierarchy, size);
    Machine::new("prod-1".parse().unwrap(), topology, settings, authorities.collect::<Vec<_>>(), at(BORN)).unwrap()
}

/// Saturdays and Sundays, from two in the morning on, for so many hours.
pub(crate) fn weekends(hours: i64) -> MaintenanceWindow {
    let start = at("2026-01-03T02:00:00Z");
    MaintenanceWindow::lasting(start, Duration::hours(hours), "FREQ=WEEKLY;BYDAY=SA,SU".parse().unwrap()).unwrap()
}
