//! The consumers that do not run with what they should.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::ComponentKind;

use crate::topology::ConsumerId;

/// By kind, so that asking after some kinds does not count the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(BTreeMap<ComponentKind, BTreeSet<ConsumerId>>);

impl Waiting {
    pub(super) fn insert(&mut self, consumer: ConsumerId) {
        self.0.entry(consumer.kind()).or_default().insert(consumer);
    }

    pub(super) fn remove(&mut self, consumer: &ConsumerId) {
        if let Some(kind) = self.0.get_mut(&consumer.kind()) {
            kind.remove(consumer);
        }
    }

    pub(super) fn first_of(&self, kind: ComponentKind) -> Option<&ConsumerId> {
        self.0.get(&kind)?.first()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ConsumerId> {
        self.0.values().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }
}

impl FromIterator<ConsumerId> for Waiting {
    fn from_iter<I: IntoIterator<Item = ConsumerId>>(consumers: I) -> Self {
        let mut waiting = Self::default();
        consumers.into_iter().for_each(|consumer| waiting.insert(consumer));
        waiting
    }
}
