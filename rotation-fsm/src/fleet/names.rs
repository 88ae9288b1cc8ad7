//! Clusters by name: slot numbers in the order of the names that the slots hold.

use super::slot::Slot;

/// As many numbers as one chunk holds: few enough to move when one is put between, many enough that the list of
/// chunks stays short.
const CHUNK_LEN_MAX: usize = 512;

/// Numbers of slots, sorted by name, in chunks of which none is empty.
///
/// A tree of names would hold each name a second time, and a hash table needs a secret, or names can be made that
/// collide. Here a cluster costs four to eight octets, and a search is some twenty comparisons whoever chose the
/// names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<Vec<u32>>);

/// A chunk, and a place in it.
type Place = (usize, usize);

impl Names {
    /// The slot with this name; or where its number belongs.
    fn search(&self, slots: &[Slot], name: &[u8]) -> Result<(u32, Place), Place> {
        let name_of = |number: u32| Slot::at(slots, number).map(Slot::name).unwrap_or_default();
        let begins_by = |chunk: &Vec<u32>| chunk.first().is_some_and(|first| name_of(*first) <= name);
        let chunk = self.0.partition_point(begins_by).saturating_sub(1);
        let numbers = self.0.get(chunk).map(Vec::as_slice).unwrap_or_default();
        match numbers.binary_search_by(|number| name_of(*number).cmp(name)) {
            Ok(place) => numbers.get(place).map(|number| (*number, (chunk, place))).ok_or((chunk, place)),
            Err(place) => Err((chunk, place)),
        }
    }

    pub(super) fn find(&self, slots: &[Slot], name: &[u8]) -> Option<u32> {
        self.search(slots, name).ok().map(|(number, _)| number)
    }

    /// Puts in a slot whose name is not in yet.
    pub(super) fn insert(&mut self, slots: &[Slot], name: &[u8], number: u32) {
        let Err((mut index, mut place)) = self.search(slots, name) else { return };
        if self.0.is_empty() {
            self.0.push(Vec::with_capacity(CHUNK_LEN_MAX));
        }
        let last = self.0.len() - 1;
        let Some(chunk) = self.0.get_mut(index) else { return };
        if chunk.len() == CHUNK_LEN_MAX {
            // Names that come in order, as from a list, leave full chunks behind.
            let keep = if index == last && place == CHUNK_LEN_MAX { CHUNK_LEN_MAX } else { CHUNK_LEN_MAX / 2 };
            let mut rest = Vec::with_capacity(CHUNK_LEN_MAX);
            rest.extend(chunk.drain(keep..));
            self.0.insert(index + 1, rest);
            if place > keep || keep == CHUNK_LEN_MAX {
                (index, place) = (index + 1, place - keep);
            }
        }
        if let Some(chunk) = self.0.get_mut(index) {
            chunk.insert(place, number);
        }
    }

    /// Takes a name out, and joins what has become short with what follows.
    pub(super) fn remove(&mut self, slots: &[Slot], name: &[u8]) {
        let Ok((_, (index, place))) = self.search(slots, name) else { return };
        let Some(chunk) = self.0.get_mut(index) else { return };
        chunk.remove(place);
        if chunk.is_empty() {
            self.0.remove(index);
            return;
        }
        self.join(index);
        if let Some(before) = index.checked_sub(1) {
            self.join(before);
        }
    }

    /// Two neighbours that fit into half a chunk become one, so removals leave no list of crumbs.
    fn join(&mut self, index: usize) {
        let len = |index: usize| self.0.get(index).map(Vec::len);
        let (Some(here), Some(next)) = (len(index), len(index + 1)) else { return };
        if here + next <= CHUNK_LEN_MAX / 2 {
            let moved = self.0.remove(index + 1);
            if let Some(chunk) = self.0.get_mut(index) {
                chunk.extend(moved);
            }
        }
    }

    /// Every slot, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flatten().copied()
    }

    /// Octets on the heap.
    pub(super) fn memory(&self) -> usize {
        let numbers: usize = self.0.iter().map(|chunk| chunk.capacity() * size_of::<u32>()).sum();
        self.0.capacity() * size_of::<Vec<u32>>() + numbers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pki_core::ClusterId;

    use super::*;
    use crate::fleet::slot::tests::slot;

    /// A walk through as many names as fill several chunks, compared at every step with a map.
    #[test]
    fn names_are_found_and_ordered_as_a_map_would_have_them() {
        const COUNT: u32 = 4_001;
        let name = |number: u32| -> ClusterId { format!("c{}", number * 7_919 % COUNT).parse().unwrap() };
        let slots: Vec<_> = (0..COUNT).map(|number| slot(&name(number))).collect();
        let (mut names, mut expected) = (Names::default(), BTreeMap::new());
        for round in 0..3 {
            for number in 0..COUNT {
                names.insert(&slots, name(number).as_str().as_bytes(), number);
                expected.insert(name(number), number);
            }
            assert!(names.iter().eq(expected.values().copied()));
            assert!(names.0.iter().all(|chunk| !chunk.is_empty() && chunk.capacity() == CHUNK_LEN_MAX));
            for number in (0..COUNT).filter(|number| number % 3 != round) {
                names.remove(&slots, name(number).as_str().as_bytes());
                expected.remove(&name(number));
                assert_eq!(names.find(&slots, name(number).as_str().as_bytes()), None);
            }
            assert!(names.iter().eq(expected.values().copied()));
            for (name, number) in &expected {
                assert_eq!(names.find(&slots, name.as_str().as_bytes()), Some(*number));
            }
        }
        for number in 0..COUNT {
            names.remove(&slots, name(number).as_str().as_bytes());
        }
        assert!(names.0.is_empty());
    }

    #[test]
    fn what_is_removed_leaves_no_list_of_crumbs() {
        const COUNT: u32 = 10_240;
        let slots: Vec<_> = (0..COUNT).map(|number| slot(&format!("c{number:05}").parse().unwrap())).collect();
        for backwards in [false, true] {
            let mut names = Names::default();
            slots.iter().zip(0..).for_each(|(slot, number)| names.insert(&slots, slot.name(), number));
            assert_eq!(names.0.len(), 20, "names in order fill their chunks");
            let gone = (0..COUNT).filter(|number| number % 100 != 0);
            let gone: Vec<_> = if backwards { gone.rev().collect() } else { gone.collect() };
            for number in gone {
                names.remove(&slots, Slot::at(&slots, number).unwrap().name());
            }
            assert_eq!(names.iter().count(), 103);
            assert!(names.0.len() <= 2, "{}", names.0.len());
        }
    }
}
