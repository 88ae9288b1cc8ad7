//! Who is to be woken next: a heap in which every entry knows its place, so that it can be moved and taken out.

use super::{grow, index};

/// Children per node. Four keys lie side by side in one line of the cache, and the heap is half as deep as a binary one.
const ARITY: usize = 4;

/// The place of a slot that is not in the heap.
const ABSENT: u32 = u32::MAX;

/// Instants (Unix seconds) and the slots that wake then, the earliest first and equals by number.
///
/// Nothing stale is kept: a slot has one entry or none, so the heap is never longer than the fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct Wakes {
    instants: Vec<i64>,
    slots: Vec<u32>,
    /// By slot, its place in the other two.
    places: Vec<u32>,
}

impl Wakes {
    /// The earliest.
    pub(super) fn first(&self) -> Option<(i64, u32)> {
        self.entry(0)
    }

    /// When a slot wakes.
    pub(super) fn instant(&self, slot: u32) -> Option<i64> {
        self.instants.get(self.place(slot)?).copied()
    }

    /// Lets a slot wake at another instant, or no longer.
    pub(super) fn set(&mut self, slot: u32, instant: Option<i64>) {
        match (self.place(slot), instant) {
            (Some(place), Some(instant)) => {
                if let Some(found) = self.instants.get_mut(place) {
                    *found = instant;
                }
                self.settle(place);
            }
            (None, Some(instant)) => self.push(slot, instant),
            (Some(place), None) => self.remove(place),
            (None, None) => {}
        }
    }

    fn push(&mut self, slot: u32, instant: i64) {
        grow(&mut self.instants);
        grow(&mut self.slots);
        while self.places.len() <= index(slot) {
            grow(&mut self.places);
            self.places.push(ABSENT);
        }
        let place = self.slots.len();
        self.instants.push(instant);
        self.slots.push(slot);
        self.note(place);
        self.settle(place);
    }

    fn remove(&mut self, place: usize) {
        let last = self.slots.len().saturating_sub(1);
        self.swap(place, last);
        self.instants.pop();
        if let Some(slot) = self.slots.pop()
            && let Some(place) = self.places.get_mut(index(slot))
        {
            *place = ABSENT;
        }
        self.settle(place);
    }

    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while let Some(parent) = place.checked_sub(1).map(|before| before / ARITY)
            && self.is_before(place, parent)
        {
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = place * ARITY + 1..(place * ARITY + 1 + ARITY).min(self.slots.len());
            let Some(first) = children.min_by_key(|child| self.entry(*child)) else { return };
            if !self.is_before(first, place) {
                return;
            }
            self.swap(place, first);
            place = first;
        }
    }

    fn is_before(&self, one: usize, other: usize) -> bool {
        match (self.entry(one), self.entry(other)) {
            (Some(one), Some(other)) => one < other,
            _ => false,
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        if one != other && one < self.slots.len() && other < self.slots.len() {
            self.instants.swap(one, other);
            self.slots.swap(one, other);
            self.note(one);
            self.note(other);
        }
    }

    /// Writes down where an entry has come to stand.
    fn note(&mut self, place: usize) {
        if let Some(slot) = self.slots.get(place)
            && let Some(noted) = self.places.get_mut(index(*slot))
        {
            *noted = u32::try_from(place).unwrap_or(ABSENT);
        }
    }

    fn place(&self, slot: u32) -> Option<usize> {
        self.places.get(index(slot)).filter(|place| **place != ABSENT).map(|place| index(*place))
    }

    fn entry(&self, place: usize) -> Option<(i64, u32)> {
        Some((*self.instants.get(place)?, *self.slots.get(place)?))
    }

    /// Octets on the heap.
    pub(super) fn memory(&self) -> usize {
        self.instants.capacity() * size_of::<i64>()
            + (self.slots.capacity() + self.places.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set that is sorted: the same first, whatever was moved or taken out before.
        #[test]
        fn the_first_is_always_the_earliest(
            steps in proptest::collection::vec((0_u32..40, proptest::option::of(0_i64..50)), 1..400),
        ) {
            let (mut wakes, mut expected) = (Wakes::default(), BTreeMap::new());
            for (slot, instant) in steps {
                wakes.set(slot, instant);
                match instant {
                    Some(instant) => expected.insert(slot, instant),
                    None => expected.remove(&slot),
                };
                let sorted: BTreeSet<_> = expected.iter().map(|(slot, instant)| (*instant, *slot)).collect();
                prop_assert_eq!(wakes.first(), sorted.first().copied());
                prop_assert_eq!(wakes.slots.len(), expected.len());
                for slot in 0..40 {
                    prop_assert_eq!(wakes.instant(slot), expected.get(&slot).copied());
                }
            }
            let mut drained = Vec::new();
            while let Some((instant, slot)) = wakes.first() {
                drained.push((instant, slot));
                wakes.set(slot, None);
            }
            prop_assert!(drained.is_sorted());
            prop_assert_eq!(drained.len(), expected.len());
        }
    }
}
