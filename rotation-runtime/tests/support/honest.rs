//! A cluster in memory that does what it is told and reports what it holds.

use std::collections::BTreeMap;
use std::convert::Infallible;

use pki_core::verify::SubjectPublicKey;
use pki_core::{
    AuthorityId, AuthorityRole, BundleHash, CaVersion, ComponentKind, Fingerprint, Hierarchy, LeafKind, Plane,
    TrustSlot,
};
use rotation_fsm::{
    Action, AuthorityRecord, ConsumerId, ConsumerTarget, Event, Machine, Observation, PoolName, PresentedLeaf,
    ReportId, Settings, Topology,
};
use rotation_runtime::Executor;
use time::UtcDateTime;

pub(crate) fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

/// A kubeadm cluster in which nothing was seen yet.
pub(crate) fn machine() -> Machine {
    let hierarchy = Hierarchy::kubeadm();
    let mut topology = Topology::new(hierarchy.clone());
    let pool = PoolName::new("pool-a".parse().unwrap());
    topology.add_pool(pool.clone(), 1).unwrap();
    for kind in ComponentKind::ALL {
        for index in 0..2 {
            let pool = (kind.plane() == Plane::Data).then(|| pool.clone());
            // kubeadm has no Konnectivity.
            let _ = topology.add(ConsumerId::new(kind, index.to_string().parse().unwrap()), pool);
        }
    }
    let authorities = hierarchy.roles().iter().map(|role| (*role, record(*role, CaVersion::FIRST)));
    let settings = Settings::of(&hierarchy);
    Machine::new("test".parse().unwrap(), topology, settings, authorities, now()).unwrap()
}

/// A generation, under a key that is 32 octets of its name.
fn record(role: AuthorityRole, version: CaVersion) -> AuthorityRecord {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut key = format!("{role}/{version}").into_bytes();
    key.resize(32, 0);
    spki.extend(key);
    let id = AuthorityId::of(&SubjectPublicKey::parse(&spki).unwrap());
    AuthorityRecord { version, id, anchor: Fingerprint::of(&spki), not_after: None }
}

#[derive(Clone, Default)]
struct Held {
    sequence: u64,
    bundles: BTreeMap<TrustSlot, BundleHash>,
    leaves: BTreeMap<LeafKind, AuthorityId>,
    signs: Option<AuthorityId>,
    csr_signer_at_restart: Option<AuthorityId>,
}

/// The cluster, and how much of what it did got reported.
#[derive(Clone, Default)]
pub(crate) struct Honest {
    held: BTreeMap<ConsumerId, Held>,
    /// Every action that was carried out, by its key.
    pub(crate) executed: Vec<String>,
    /// Reports that get lost before the loop sees them: every n-th.
    pub(crate) lose_every: Option<usize>,
}

impl Honest {
    fn take_up(&mut self, target: &ConsumerTarget) -> &mut Held {
        let signing = |held: &BTreeMap<ConsumerId, Held>, kind| {
            held.iter().filter(|(id, _)| id.kind() == kind).find_map(|(_, held)| held.signs)
        };
        let csr_signer = signing(&self.held, ComponentKind::ControllerManager);
        let held = self.held.entry(target.consumer.clone()).or_default();
        held.bundles.extend(target.bundles.iter().map(|bundle| (bundle.slot, bundle.hash)));
        for leaf in &target.leaves {
            let issuer = record(leaf.role, leaf.issuer).id;
            let run_time = matches!(leaf.leaf, LeafKind::KubeletClient | LeafKind::KubeletServing);
            held.leaves.insert(leaf.leaf, csr_signer.filter(|_| run_time).unwrap_or(issuer));
        }
        held.signs = target.signs.map(|(role, version)| record(role, version).id).or(held.signs);
        held.csr_signer_at_restart = csr_signer;
        held.sequence += 1;
        held
    }
}

impl Executor for Honest {
    type Error = Infallible;

    fn now(&mut self) -> UtcDateTime {
        now()
    }

    fn execute(&mut self, action: &Action) -> Result<Vec<Event>, Infallible> {
        self.executed.push(action.key().to_string());
        let event = match action {
            Action::EnsureAuthority { role, version, .. } => {
                Event::AuthorityMinted { role: *role, record: record(*role, *version) }
            }
            Action::EnsureKeyDestroyed { role, version, .. } => Event::KeyDestroyed { role: *role, version: *version },
            Action::AwaitAcknowledgement { target, unit, to, stage, .. } => {
                self.take_up(target);
                let consumer = target.consumer.clone();
                let (stage, by) = (stage.clone(), "operator".to_owned());
                Event::Acknowledged { consumer, unit: *unit, to: *to, stage, by }
            }
            Action::EnsureConsumer { target, .. } => {
                let held = self.take_up(target).clone();
                let report = ReportId { incarnation: 0, sequence: held.sequence };
                Event::Observed(Observation {
                    bundles: held.bundles.into_iter().collect(),
                    leaves: held.leaves.into_iter().map(|(leaf, issuer)| PresentedLeaf::alone(leaf, issuer)).collect(),
                    signs_with: held.signs,
                    csr_signer_at_restart: held.csr_signer_at_restart,
                    epoch: target.epoch,
                    ..Observation::new(target.consumer.clone(), report)
                })
            }
            other => panic!("unknown action {other:?}"),
        };
        let lost = self.lose_every.is_some_and(|every| self.executed.len().is_multiple_of(every));
        Ok(if lost { Vec::new() } else { vec![event] })
    }
}
