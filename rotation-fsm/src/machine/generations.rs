//! The generations that may still be met, and what a report names of them.

use std::collections::BTreeMap;

use pki_core::{AuthorityId, AuthorityRole, BundleHash, CaVersion};

use crate::event::{AuthorityRecord, CrossRecord};
use crate::facet::{Holding, Track};
use crate::plan::VersionRange;
use crate::topology::Address;

/// The generations of one authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Authority {
    /// Retired or given up last, and recognised if somebody still runs with it.
    pub(crate) previous: Option<AuthorityRecord>,
    pub(crate) active: AuthorityRecord,
    pub(crate) next: Option<AuthorityRecord>,
    /// The next generation's certificate by the active one.
    pub(crate) cross: Option<CrossRecord>,
    /// The highest version that a rotation ever led to, whether or not it was minted: somebody may have minted it and not
    /// have said so, and no version stands for two keys.
    pub(crate) attempted: CaVersion,
    /// Every bundle of these generations, by content. Derived.
    bundles: Vec<(BundleHash, Holding)>,
}

impl Authority {
    pub(crate) fn new(active: AuthorityRecord) -> Self {
        Self::restored(None, active, None, None, active.version)
    }

    pub(crate) fn restored(
        previous: Option<AuthorityRecord>,
        active: AuthorityRecord,
        next: Option<AuthorityRecord>,
        cross: Option<CrossRecord>,
        attempted: CaVersion,
    ) -> Self {
        let mut authority = Self { previous, active, next, cross, attempted, bundles: Vec::new() };
        authority.index_bundles();
        authority
    }

    fn held(&self) -> impl Iterator<Item = (Holding, &AuthorityRecord)> {
        let previous = self.previous.iter().map(|record| (Holding::PREVIOUS, record));
        let next = self.next.iter().map(|record| (Holding::NEXT, record));
        previous.chain([(Holding::CURRENT, &self.active)]).chain(next)
    }

    pub(crate) fn generations(&self) -> impl Iterator<Item = &AuthorityRecord> {
        self.held().map(|(_, record)| record)
    }

    pub(crate) fn mint(&mut self, record: AuthorityRecord) {
        self.next = Some(record);
        self.index_bundles();
    }

    /// The next generation becomes the active one.
    pub(crate) fn promote(&mut self) {
        if let Some(next) = self.next.take() {
            self.previous = Some(self.active);
            self.active = next;
            self.cross = None;
            self.index_bundles();
        }
    }

    /// The next generation is given up.
    pub(crate) fn give_up(&mut self) {
        if let Some(next) = self.next.take() {
            self.previous = Some(next);
            self.cross = None;
            self.index_bundles();
        }
    }

    fn index_bundles(&mut self) {
        let one = |(holding, record): (Holding, &AuthorityRecord)| (BundleHash::of([record.anchor]), holding);
        let two = |((a, first), (b, second)): ((Holding, &AuthorityRecord), (Holding, &AuthorityRecord))| {
            (BundleHash::of([first.anchor, second.anchor]), a.union(b))
        };
        let twos = self.held().zip(self.held().skip(1)).map(two);
        self.bundles = self.held().map(one).chain(twos).collect();
    }

    pub(crate) fn bundle(&self, hash: BundleHash) -> Option<Holding> {
        self.bundles.iter().find(|(known, _)| *known == hash).map(|(_, holding)| *holding)
    }

    pub(crate) fn hash_of(&self, holding: Holding) -> Option<BundleHash> {
        self.bundles.iter().find(|(_, known)| *known == holding).map(|(hash, _)| *hash)
    }

    pub(crate) fn issuer(&self, id: AuthorityId) -> Option<Holding> {
        self.held().find(|(_, record)| record.id == id).map(|(holding, _)| holding)
    }

    /// A leaf of one generation that is shown with a certificate of its issuer by another.
    pub(crate) fn leaf(&self, issuer: AuthorityId, through: Option<AuthorityId>) -> Option<Holding> {
        let holding = self.issuer(issuer)?;
        let Some(through) = through else { return Some(holding) };
        match (holding, self.issuer(through)?) {
            (Holding::NEXT, Holding::CURRENT) | (Holding::CURRENT, Holding::PREVIOUS) => Some(holding.chained()),
            _ => None,
        }
    }

    pub(crate) fn versions(&self, holding: Holding) -> Option<VersionRange> {
        let version = |record: &AuthorityRecord| record.version;
        holding.versions(self.previous.as_ref().map(version), self.active.version, self.next.as_ref().map(version))
    }

    pub(crate) fn version(&self, holding: Holding) -> Option<CaVersion> {
        self.versions(holding).map(VersionRange::first)
    }
}

/// The addresses of the control plane, which move on with a rotation that replaces them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Addresses {
    pub(crate) previous: Option<Address>,
    pub(crate) active: Address,
    pub(crate) next: Option<Address>,
}

impl Addresses {
    pub(crate) const fn new(active: Address) -> Self {
        Self { previous: None, active, next: None }
    }

    pub(crate) fn holding(&self, address: &Address) -> Option<Holding> {
        let held = [
            (Holding::CURRENT, Some(&self.active)),
            (Holding::NEXT, self.next.as_ref()),
            (Holding::PREVIOUS, self.previous.as_ref()),
        ];
        held.into_iter().find(|(_, known)| *known == Some(address)).map(|(holding, _)| holding)
    }

    /// The addresses of a holding, oldest first.
    pub(crate) fn of(&self, holding: Holding) -> impl Iterator<Item = &Address> {
        let held = [
            (Holding::PREVIOUS, self.previous.as_ref()),
            (Holding::CURRENT, Some(&self.active)),
            (Holding::NEXT, self.next.as_ref()),
        ];
        held.into_iter().filter(move |(known, _)| holding.contains(*known)).filter_map(|(_, address)| address)
    }

    pub(crate) fn promote(&mut self) {
        if let Some(next) = self.next.take() {
            self.previous = Some(core::mem::replace(&mut self.active, next));
        }
    }

    pub(crate) fn give_up(&mut self) {
        if let Some(next) = self.next.take() {
            self.previous = Some(next);
        }
    }
}

/// Everything that has generations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tracks {
    pub(crate) authorities: BTreeMap<AuthorityRole, Authority>,
    pub(crate) addresses: Option<Addresses>,
}

impl Tracks {
    pub(crate) fn authority(&self, role: AuthorityRole) -> Option<&Authority> {
        self.authorities.get(&role)
    }

    pub(crate) fn versions(&self, track: Track, holding: Holding) -> Option<VersionRange> {
        match track {
            Track::Authority(role) => self.authority(role)?.versions(holding),
            Track::Address => None,
        }
    }
}
