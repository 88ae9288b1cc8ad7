//! Which key each generation of each authority has: one key never serves two of them, and none of them has two.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use pki_core::{AuthorityId, CaVersion};

use super::{ServiceError, locked};

/// A generation of an authority of a cluster, in the words of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) cluster: String,
    pub(super) role: String,
    pub(super) version: u32,
}

#[derive(Debug, Default)]
pub(super) struct Owners {
    owners: BTreeMap<[u8; 20], Owner>,
    keys: BTreeMap<Owner, [u8; 20]>,
    retired: BTreeSet<Owner>,
}

impl Owners {
    /// What the log says. Of two owners of one key the first one has it.
    pub(super) fn learn(&mut self, owner: &Owner, key: [u8; 20]) {
        self.owners.entry(key).or_insert_with(|| owner.clone());
        self.keys.entry(owner.clone()).or_insert(key);
    }

    pub(super) fn key_of(&self, owner: &Owner) -> Option<[u8; 20]> {
        self.keys.get(owner).copied()
    }

    /// It keeps its key, which is nobody else's, and never signs again.
    pub(super) fn retire(&mut self, owner: Owner) {
        self.retired.insert(owner);
    }

    pub(super) fn is_retired(&self, owner: &Owner) -> bool {
        self.retired.contains(owner)
    }
}

/// A key that was given an owner, until this is dropped and not kept.
#[must_use]
pub(super) struct Claim<'o> {
    owners: &'o Mutex<Owners>,
    taken: Option<(Owner, [u8; 20])>,
}

/// Gives a key to an owner, who may have it already.
pub(super) fn claim(
    owners: &Mutex<Owners>,
    owner: Owner,
    version: CaVersion,
    key: AuthorityId,
) -> Result<Claim<'_>, ServiceError> {
    let mut known = locked(owners);
    if known.keys.get(&owner).is_some_and(|other| other != key.as_bytes()) {
        return Err(ServiceError::OtherKey { version, found: key });
    }
    let taken = match known.owners.entry(*key.as_bytes()) {
        Entry::Occupied(found) if *found.get() != owner => {
            let Owner { cluster, role, version } = found.get().clone();
            return Err(ServiceError::KeyReuse { key, cluster, role, version });
        }
        Entry::Occupied(_) => None,
        Entry::Vacant(vacant) => {
            vacant.insert(owner.clone());
            known.keys.insert(owner.clone(), *key.as_bytes());
            Some((owner, *key.as_bytes()))
        }
    };
    Ok(Claim { owners, taken })
}

impl Claim<'_> {
    pub(super) fn keep(mut self) {
        self.taken = None;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some((owner, key)) = self.taken.take() {
            let mut known = locked(self.owners);
            known.owners.remove(&key);
            known.keys.remove(&owner);
        }
    }
}
