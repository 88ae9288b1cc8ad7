//! Rotations of the simulated fleet that are run in earnest, on a machine with consumers.

use core::error::Error;

use pki_core::verify::SubjectPublicKey;
use pki_core::{
    AuthorityId, AuthorityRole, CaVersion, ClusterId, ComponentKind, Fingerprint, Hierarchy, Plane, Storage,
};
use rotation_fsm::{
    Address, Assumptions, AuthorityRecord, ConsumerId, Machine, PoolName, Rehearsal, Settings, Strategy, Topology,
    TopologyError, Unit, rehearse,
};
use time::UtcDateTime;

use super::Kind;

/// A rotation that completed in the simulation, picked out of a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Whose.
    pub cluster: ClusterId,
    /// What kind of credentials.
    pub kind: Kind,
    /// When it began.
    pub started: UtcDateTime,
    /// When it completed.
    pub completed: UtcDateTime,
    /// When the credentials that it replaced would have expired.
    pub expiry: UtcDateTime,
    /// For whatever the rehearsal draws.
    pub seed: u64,
}

/// Runs one rotation on the real machine, from the request to its end, on a cluster of two API servers, three etcd members
/// and a few nodes in two pools, and says how much of it was not as it should be: its plan is checked against every order
/// of events, every stage of the plan is gone through once and in order, and nothing is lost that was not declared.
///
/// # Errors
/// When there is no such cluster, or the machine does not take it to the end.
pub fn rehearse_on_machine(sample: &Sample) -> Result<u64, Box<dyn Error>> {
    let (hierarchy, unit) = match sample.kind {
        Kind::Gke => (Hierarchy::gke(Storage::Etcd), Unit::Credentials),
        Kind::GkeManaged => (Hierarchy::gke(Storage::Etcd), Unit::EtcdApi),
        Kind::Gdc => (Hierarchy::gdc(), Unit::Ca),
        Kind::Kubeadm => (Hierarchy::kubeadm(), Unit::Ca),
    };
    let allowed = || Strategy::ALL.into_iter().filter(|strategy| strategy.is_allowed(hierarchy.origin()));
    let drawn = usize::try_from(sample.seed).unwrap_or_default().checked_rem(allowed().count()).unwrap_or_default();
    let mut settings = Settings::of(&hierarchy).with_strategy(allowed().nth(drawn).unwrap_or(Strategy::Staged));
    if sample.expiry - sample.started <= settings.cross_margin {
        settings = settings.with_strategy(Strategy::Staged);
    }
    let topology = topology(&hierarchy, settings.strategy, sample.seed)?;
    let records = hierarchy.roles().iter().map(|role| Ok((*role, record(*role, sample.expiry)?)));
    let records = records.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let machine = Machine::new(sample.cluster.clone(), topology, settings, records, sample.started)?;

    let rehearsal = Rehearsal::of(&machine, unit);
    let mut assumptions = Assumptions::of(machine.settings());
    assumptions.completion = Some(time::Duration::HOUR);
    let timeline = rehearse(&machine, &rehearsal, &assumptions, sample.started)?;
    let plan = machine.plan(unit, machine.settings().strategy);
    let stages = plan.map(|plan| plan.stages().iter().map(ToString::to_string).collect::<Vec<_>>());
    let gone_through: Vec<_> = timeline.stages.iter().map(|span| span.id.to_string()).collect();
    let faults = [stages.ok() != Some(gone_through), !timeline.losses.is_empty(), timeline.completes < timeline.begins];
    Ok(faults.into_iter().map(u64::from).sum())
}

fn topology(hierarchy: &Hierarchy, strategy: Strategy, seed: u64) -> Result<Topology, Box<dyn Error>> {
    let mut topology = match strategy {
        Strategy::DualEndpoint => Topology::with_address(hierarchy.clone(), "192.0.2.1".parse::<Address>()?),
        _ => Topology::new(hierarchy.clone()),
    };
    let pools = [PoolName::new("pool-a".parse()?), PoolName::new("pool-b".parse()?)];
    for pool in &pools {
        topology.add_pool(pool.clone(), 1)?;
    }
    let nodes = 2 + usize::try_from(seed >> 32).unwrap_or_default() % 6;
    for kind in ComponentKind::ALL {
        let count = match kind {
            ComponentKind::KubeApiServer => 2,
            ComponentKind::Etcd => 3,
            _ if kind.plane() == Plane::Data => nodes,
            _ => 1,
        };
        for (index, pool) in (0..count).zip(pools.iter().cycle()) {
            let pool = (kind.plane() == Plane::Data).then(|| pool.clone());
            match topology.add(ConsumerId::new(kind, format!("node-{index}").parse()?), pool) {
                // What the hierarchy has no path for is not part of its clusters.
                Ok(()) | Err(TopologyError::NoPath(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(topology)
}

/// The first generation of an authority: a key of 32 octets that name it, which nobody signs with.
fn record(role: AuthorityRole, expiry: UtcDateTime) -> Result<AuthorityRecord, Box<dyn Error>> {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend_from_slice(Fingerprint::of(role.id().as_bytes()).as_bytes());
    let id = AuthorityId::of(&SubjectPublicKey::parse(&spki)?);
    let not_after = role.is_certificate_authority().then_some(expiry);
    Ok(AuthorityRecord { version: CaVersion::FIRST, id, anchor: Fingerprint::of(&spki), not_after })
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn every_kind_of_rotation_runs_as_planned() {
        let started = UtcDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        for kind in [Kind::Gke, Kind::GkeManaged, Kind::Gdc, Kind::Kubeadm] {
            for seed in 0..3 {
                let cluster = "sample".parse().unwrap();
                // What rotates by itself begins thirty days before the end.
                let expiry = started + Duration::days(30);
                let sample = Sample { cluster, kind, started, completed: expiry, expiry, seed };
                assert_eq!(rehearse_on_machine(&sample).unwrap(), 0, "{sample:?}");
            }
        }
    }
}
