//! The keys of all states that were reached, each with its number, in some twenty octets a state.

/// Open addressing over the numbers: the keys lie one behind the other, so that growing moves none of them.
#[derive(Debug, Default)]
pub(super) struct Known {
    keys: Vec<u128>,
    /// One more than the number of the state; none is zero.
    slots: Vec<u32>,
}

impl Known {
    /// The number of this key, and whether it is new. `None` when there are more than can be numbered.
    pub(super) fn enter(&mut self, key: u128) -> Option<(u32, bool)> {
        // At most three quarters are taken, so every probe ends.
        if self.keys.len() * 4 >= self.slots.len() * 3 {
            self.grow()?;
        }
        let at = self.place_of(key)?;
        match *self.slots.get(at)? {
            0 => {
                let number = u32::try_from(self.keys.len()).ok()?;
                *self.slots.get_mut(at)? = number.checked_add(1)?;
                self.keys.push(key);
                Some((number, true))
            }
            taken => Some((taken - 1, false)),
        }
    }

    /// Where a key is, or is to be put.
    fn place_of(&self, key: u128) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = usize::try_from(key & u128::try_from(mask).ok()?).ok()?;
        loop {
            let slot = *self.slots.get(at)?;
            let Some(number) = slot.checked_sub(1) else { return Some(at) };
            if self.keys.get(usize::try_from(number).ok()?) == Some(&key) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) -> Option<()> {
        let slots = (self.slots.len() * 2).max(1 << 10);
        // The old ones go before the new ones come.
        self.slots = Vec::new();
        self.slots = vec![0; slots];
        for number in 0..self.keys.len() {
            let at = self.place_of(*self.keys.get(number)?)?;
            *self.slots.get_mut(at)? = u32::try_from(number + 1).ok()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn every_key_keeps_its_number_while_the_table_grows() {
        let mut known = Known::default();
        // In the low bits that choose the place, many share one.
        let key = |number: u32| u128::from(number) << 64 | u128::from(number % 7);
        for number in 0..5_000 {
            assert_eq!(known.enter(key(number)), Some((number, true)));
        }
        for number in (0..5_000).rev() {
            assert_eq!(known.enter(key(number)), Some((number, false)));
        }
    }
}
