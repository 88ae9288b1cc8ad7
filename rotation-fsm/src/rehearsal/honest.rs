//! A cluster that does what it is told, and says so: what it would report, read off the machine that asks it.

use pki_core::verify::SubjectPublicKey;
use pki_core::{AuthorityId, AuthorityRole, CaVersion, ClusterId, ComponentKind, Fingerprint, LeafKind};
use time::UtcDateTime;

use crate::action::{ConsumerTarget, LeafTarget};
use crate::event::{AuthorityRecord, CrossRecord, Observation, PresentedLeaf, ReportId, ServedAddress};
use crate::facet::{Facet, Holding, Track};
use crate::machine::{Authority, Machine};
use crate::topology::{Address, ConsumerId, Index, Reload};

/// The record of a generation that nobody has minted: a key that nobody holds, told from every other by its name.
pub(super) fn record(
    cluster: &ClusterId,
    role: AuthorityRole,
    version: CaVersion,
    not_after: Option<UtcDateTime>,
) -> Option<AuthorityRecord> {
    let name = Fingerprint::of(format!("rehearsal/{cluster}/{role}/{version}").as_bytes());
    // 32 octets in the form of an Ed25519 key (RFC 8410 4).
    let mut key = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    key.extend_from_slice(name.as_bytes());
    let id = AuthorityId::of(&SubjectPublicKey::parse(&key).ok()?);
    Some(AuthorityRecord { version, id, anchor: Fingerprint::of(&key), not_after })
}

/// A cross-certificate as the machine wants it.
pub(super) fn cross_record(machine: &Machine, role: AuthorityRole, versions: (CaVersion, CaVersion)) -> CrossRecord {
    let not_after = machine.authority(role).and_then(|record| record.not_after).unwrap_or(UtcDateTime::MAX);
    CrossRecord { version: versions.0, by: versions.1, not_before: machine.clock.now(), not_after }
}

/// A second address: of a name that is never one (RFC 2606 2, `.invalid`).
pub(super) fn address(machine: &Machine) -> Option<Address> {
    let names = ["next.invalid", "after-next.invalid", "another.invalid"];
    let addresses = machine.tracks.addresses.as_ref()?;
    names.into_iter().filter_map(|name| name.parse().ok()).find(|address| addresses.holding(address).is_none())
}

/// What a consumer reports once it runs with everything that `target` asks for, and with what it had besides.
pub(super) fn report(machine: &Machine, target: &ConsumerTarget) -> Option<Observation> {
    let index = machine.topology.index(&target.consumer)?;
    let mut report = as_seen(machine, index, &target.consumer)?;
    for bundle in &target.bundles {
        report.bundles.retain(|(slot, _)| *slot != bundle.slot);
        report.bundles.push((bundle.slot, bundle.hash));
    }
    for wanted in &target.leaves {
        report.leaves.retain(|leaf| leaf.leaf != wanted.leaf);
        report.leaves.push(issued(machine, &target.consumer, wanted)?);
    }
    if let Some((role, version)) = target.signs {
        report.signs_with = generation(machine.tracks.authority(role)?, version);
    }
    // A node that restarts has its certificate from whoever signs then.
    if target.consumer.kind() == ComponentKind::Kubelet && target.reload >= Reload::Restart {
        let (role, version) = machine.issuer_of(&target.consumer, LeafKind::KubeletClient)?;
        report.csr_signer_at_restart = generation(machine.tracks.authority(role)?, version);
    }
    if !target.serves.is_empty() {
        report.serves = target.serves.iter().filter_map(|address| served(machine, address)).collect();
    }
    report.service = target.service.clone().or(report.service);
    report.dials = target.dials.clone().or(report.dials);
    report.epoch = report.epoch.max(target.epoch);
    Some(report)
}

/// What it said last, said once more.
fn as_seen(machine: &Machine, index: Index, consumer: &ConsumerId) -> Option<Observation> {
    let seen = machine.seen(index)?;
    let uses = machine.topology.uses(consumer.kind())?;
    let id = ReportId { sequence: seen.id.sequence.saturating_add(1), ..seen.id };
    let mut report = Observation { epoch: seen.epoch, ..Observation::new(consumer.clone(), id) };
    for ((facet, track), held) in uses.facets.iter().zip(seen.held).filter(|(_, held)| *held != Holding::UNKNOWN) {
        match (facet, track) {
            (Facet::Trusts(slot), Track::Authority(role)) => {
                report.bundles.push((*slot, machine.tracks.authority(*role)?.hash_of(held)?));
            }
            (Facet::Presents(leaf), Track::Authority(role)) => {
                report.leaves.push(presented(machine.tracks.authority(*role)?, *leaf, held)?);
            }
            (Facet::Signs(_), Track::Authority(role)) => report.signs_with = id_of(machine, *role, held),
            (_, Track::Authority(role)) => report.csr_signer_at_restart = id_of(machine, *role, held),
            (facet, Track::Address) => {
                let mut addresses = machine.tracks.addresses.as_ref()?.of(held);
                match facet {
                    Facet::Serves => report.serves = addresses.filter_map(|one| served(machine, one)).collect(),
                    Facet::Service => report.service = addresses.next().cloned(),
                    _ => report.dials = addresses.next().cloned(),
                }
            }
        }
    }
    Some(report)
}

fn id_of(machine: &Machine, role: AuthorityRole, held: Holding) -> Option<AuthorityId> {
    let authority = machine.tracks.authority(role)?;
    generation(authority, authority.version(held)?)
}

fn generation(authority: &Authority, version: CaVersion) -> Option<AuthorityId> {
    authority.generations().find(|record| record.version == version).map(|record| record.id)
}

fn presented(authority: &Authority, leaf: LeafKind, held: Holding) -> Option<PresentedLeaf> {
    let issuer = generation(authority, authority.version(held.generations())?)?;
    Some(PresentedLeaf { leaf, issuer, through: held.is_chained().then_some(authority.active.id) })
}

/// Whoever signs the leaf signs it now.
fn issued(machine: &Machine, consumer: &ConsumerId, wanted: &LeafTarget) -> Option<PresentedLeaf> {
    let (role, version) = machine.issuer_of(consumer, wanted.leaf)?;
    let authority = machine.tracks.authority(role)?;
    let through = wanted.through.map(|by| generation(authority, by));
    Some(PresentedLeaf {
        leaf: wanted.leaf,
        issuer: generation(authority, version)?,
        through: match through {
            Some(by) => Some(by?),
            None => None,
        },
    })
}

/// What clients are shown at an address: at the second one the next generation.
fn served(machine: &Machine, address: &Address) -> Option<ServedAddress> {
    let role = machine.topology.hierarchy().issuer_of(LeafKind::ApiServer)?;
    let authority = machine.tracks.authority(role)?;
    let second = machine.tracks.addresses.as_ref()?.holding(address)? == Holding::NEXT;
    let record = authority.next.as_ref().filter(|_| second).unwrap_or(&authority.active);
    Some(ServedAddress { address: address.clone(), issuer: record.id })
}
