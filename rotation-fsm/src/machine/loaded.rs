//! Generations and what consumers hold of them, read from reports by content.

use std::collections::BTreeMap;

use pki_core::{AuthorityId, AuthorityRole, BundleHash, CaVersion};

use crate::event::{AuthorityRecord, Observation};
use crate::plan::VersionRange;
use crate::rejected::Unreadable;
use crate::topology::Topology;

/// The generations of one authority that may still be met.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    /// Retired, and recognised if somebody still runs with it.
    previous: Option<AuthorityRecord>,
    pub(super) active: AuthorityRecord,
    pub(super) next: Option<AuthorityRecord>,
    /// Every bundle of these generations, by content.
    bundles: Vec<(BundleHash, VersionRange)>,
}

impl Authority {
    pub(super) fn new(active: AuthorityRecord) -> Self {
        let mut authority = Self { previous: None, active, next: None, bundles: Vec::new() };
        authority.index_bundles();
        authority
    }

    pub(super) fn generations(&self) -> impl Iterator<Item = &AuthorityRecord> {
        self.previous.iter().chain([&self.active]).chain(&self.next)
    }

    /// The next generation becomes the active one.
    pub(super) fn promote(&mut self) {
        if let Some(next) = self.next.take() {
            self.previous = Some(self.active);
            self.active = next;
            self.index_bundles();
        }
    }

    pub(super) fn index_bundles(&mut self) {
        let one = |record: &AuthorityRecord| (BundleHash::of([record.anchor]), VersionRange::only(record.version));
        let two = |(a, b): (&AuthorityRecord, &AuthorityRecord)| {
            (BundleHash::of([a.anchor, b.anchor]), VersionRange::between(a.version, b.version))
        };
        let ones = self.generations().map(one);
        let twos = self.generations().zip(self.generations().skip(1)).map(two);
        self.bundles = ones.chain(twos).collect();
    }

    fn versions_of(&self, hash: BundleHash) -> Option<VersionRange> {
        self.bundles.iter().find(|(known, _)| *known == hash).map(|(_, versions)| *versions)
    }

    pub(super) fn hash_of(&self, versions: VersionRange) -> Option<BundleHash> {
        self.bundles.iter().find(|(_, known)| *known == versions).map(|(hash, _)| *hash)
    }

    fn version_of(&self, id: AuthorityId) -> Option<CaVersion> {
        self.generations().find(|record| record.id == id).map(|record| record.version)
    }
}

/// What one consumer runs with, in the order of its component's uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) bundles: Vec<VersionRange>,
    pub(super) leaves: Vec<CaVersion>,
    pub(super) signs: Option<CaVersion>,
    pub(super) csr_signer_at_restart: Option<CaVersion>,
}

impl Loaded {
    /// Reads a report: every bundle, leaf and key that the component has must be in it, and be of
    /// this cluster.
    pub(super) fn read(
        observation: &Observation,
        topology: &Topology,
        authorities: &BTreeMap<AuthorityRole, Authority>,
    ) -> Result<Self, Unreadable> {
        let uses = topology.uses(observation.consumer.kind()).ok_or(Unreadable::Incomplete)?;
        let mut loaded = Self::default();
        for (slot, role) in &uses.trust {
            let found = observation.bundles.iter().find(|(found, _)| found == slot);
            let (_, hash) = found.ok_or(Unreadable::Incomplete)?;
            let versions = authorities.get(role).and_then(|authority| authority.versions_of(*hash));
            loaded.bundles.push(versions.ok_or(Unreadable::UnknownBundle(*slot))?);
        }
        let version = |role: &AuthorityRole, id: &AuthorityId| authorities.get(role)?.version_of(*id);
        for (leaf, role) in &uses.leaves {
            let found = observation.leaves.iter().find(|(found, _)| found == leaf);
            let (_, id) = found.ok_or(Unreadable::Incomplete)?;
            loaded.leaves.push(version(role, id).ok_or(Unreadable::UnknownIssuer(*leaf))?);
        }
        let signer = |role: &AuthorityRole, id: &Option<AuthorityId>| {
            let id = id.as_ref().ok_or(Unreadable::Incomplete)?;
            version(role, id).ok_or(Unreadable::UnknownSigner)
        };
        if let Some(role) = &uses.signs {
            loaded.signs = Some(signer(role, &observation.signs_with)?);
        }
        if let Some(role) = uses.csr_signer() {
            loaded.csr_signer_at_restart = Some(signer(&role, &observation.csr_signer_at_restart)?);
        }
        Ok(loaded)
    }
}
