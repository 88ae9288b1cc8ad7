//! Numbers that look random and come again with the same seed.

/// `SplitMix64` (Steele, Lea and Flood, 2014): enough to vary a simulation, and of no use for keys.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `from..to`; `from` where that is empty.
    pub(super) fn between(&mut self, from: u32, to: u32) -> u32 {
        let width = u64::from(to.saturating_sub(from)).max(1);
        from.saturating_add(u32::try_from(self.next() % width).unwrap_or_default())
    }

    pub(super) fn percent(&mut self, chance: u32) -> bool {
        self.between(0, 100) < chance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_sequence() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(7);
        let found: std::collections::BTreeSet<_> = (0..200).map(|_| random.between(3, 8)).collect();
        assert!(found.into_iter().eq(3..8));
        assert_eq!(random.between(5, 5), 5);
        assert!((0..100).all(|_| !random.percent(0)) && (0..100).all(|_| random.percent(100)));
    }
}
