//! Random numbers that a seed decides.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): small, well spread, and **for tests only**, for whoever
/// has seen one of its numbers knows all that follow.
#[derive(Clone, Debug)]
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator of its own for whatever `of` names, so that what one host draws does not depend
    /// on what others draw.
    pub(super) fn derived(seed: u64, of: &[u64]) -> Self {
        let mut seed = Self(seed);
        for part in of {
            seed = Self(seed.next() ^ part);
        }
        Self(seed.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// True with the given probability, 0 to 1. Draws nothing where the answer is certain, so that
    /// a fault that is switched off does not change a run.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        // 53 bits are what a double holds exactly.
        let drawn = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        drawn < probability
    }

    /// A time from zero to `most`, to the nanosecond.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        match u64::try_from(most.as_nanos()).unwrap_or(u64::MAX) {
            0 => Duration::ZERO,
            u64::MAX => Duration::from_nanos(self.next()),
            nanos => Duration::from_nanos(self.next() % (nanos + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn derived_generators_differ() {
        let first = SplitMix64::derived(7, &[1, 0]).next();
        assert_ne!(first, SplitMix64::derived(7, &[2, 0]).next());
        assert_ne!(first, SplitMix64::derived(7, &[1, 1]).next());
        assert_eq!(first, SplitMix64::derived(7, &[1, 0]).next());
    }

    #[test]
    fn chances_are_about_right_and_certainties_exact() {
        let mut random = SplitMix64(1);
        let hits = (0..10_000).filter(|_| random.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..100).all(|_| random.chance(1.0) && !random.chance(0.0)));
        let most = Duration::from_millis(3);
        assert!((0..100).all(|_| random.up_to(most) <= most));
    }
}
