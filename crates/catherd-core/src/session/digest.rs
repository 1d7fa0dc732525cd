//! One number for a session, one for a bucket of sessions: how two nodes find what differs.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128 as _};

use super::registers::SlotRef;
use super::state::State;
use crate::key::Key;

/// The key of a cluster's digests, made from its id: two clusters have different digests of the
/// same session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DigestKey {
    low: u64,
    high: u64,
}

impl DigestKey {
    /// The key of the cluster with this id.
    pub fn new(cluster: &str) -> Self {
        let half = |salt: u64| {
            let mut hasher = SipHasher13::new_with_keys(salt, 0);
            hasher.write(cluster.as_bytes());
            hasher.finish()
        };
        Self {
            low: half(1),
            high: half(2),
        }
    }

    /// The digest of a live session: key, birth, `seen`, and of each register with a value its
    /// slot, version and hash. Never 0.
    ///
    /// Integers are hashed little endian, lists of varying length begin with it. Not in it:
    /// removals, ages, what is dirty.
    pub fn session(&self, key: Key, state: &State) -> u64 {
        let mut hasher = self.hasher(1, key);
        hasher.write_u64(state.birth().incarnation.bits().to_le());
        hasher.write_u64(state.birth().serial.to_le());
        hasher.write_u64((state.seen().len() as u64).to_le());
        for dot in state.seen().iter() {
            hasher.write_u64(dot.writer.bits().to_le());
            hasher.write_u64(dot.revision.to_le());
        }
        for register in state.registers.iter() {
            let Some(value) = register.value else {
                continue;
            };
            match register.slot {
                SlotRef::Property(number) => {
                    hasher.write_u8(1);
                    hasher.write_u32(number.to_le());
                }
                SlotRef::Principal => hasher.write_u8(2),
                SlotRef::Attribute(name) => {
                    hasher.write_u8(3);
                    hasher.write_u64((name.len() as u64).to_le());
                    hasher.write(name);
                }
            }
            hasher.write_u32(register.version.fence.to_le());
            hasher.write_u64(register.version.revision.to_le());
            hasher.write_u64(register.version.writer.bits().to_le());
            hasher.write_u64(value.hash().to_le());
        }
        hasher.finish().max(1)
    }

    /// The digest of a tombstone. Never 0.
    ///
    /// Of that of a user it is one of the generation too: unlike an end it can change.
    pub fn tombstone(&self, key: Key, generation: u64) -> u64 {
        let mut hasher = self.hasher(2, key);
        if generation > 0 {
            hasher.write(&generation.to_le_bytes());
        }
        hasher.finish().max(1)
    }

    /// The key under which the generation of a user is kept: a hash, so that names stand neither
    /// in tables nor in messages about them. It hides a name from whoever sees it by chance, and
    /// not from whoever knows the cluster's id and has a list of names to try.
    pub fn user(&self, name: &str) -> Key {
        let mut hasher = sip128::SipHasher13::new_with_keys(self.low, self.high);
        hasher.write(&[4]);
        hasher.write(name.as_bytes());
        Key::from_bits(hasher.finish128().as_u128())
    }

    /// A number that stands for the key in logs and figures: it tells two sessions apart and
    /// gives no access to either.
    pub fn pseudonym(&self, key: Key) -> u64 {
        self.hasher(3, key).finish()
    }

    fn hasher(&self, kind: u8, key: Key) -> SipHasher13 {
        let mut hasher = SipHasher13::new_with_keys(self.low, self.high);
        hasher.write(&[kind]);
        hasher.write(&key.bits().to_le_bytes());
        hasher
    }
}

/// One of the buckets that the keys of a context fall into.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bucket(pub u32);

impl Bucket {
    /// The bucket of a key in a table of `size`: a power of two, at most 2^24.
    pub fn of(key: Key, size: usize) -> Self {
        let mask = size as u128 - 1;
        Self(u32::try_from(key.bits() & mask).expect("at most 2^24 buckets"))
    }
}

/// The digests of a context: of each bucket, the exclusive or of what its entries add.
///
/// Sizes are powers of two and buckets go by the low bits of the key, so that a table of any size
/// folds into each smaller one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Digests {
    buckets: Vec<u64>,
}

impl Digests {
    /// The size of a new table.
    pub const SIZE: usize = 4096;
    /// A table is doubled while a bucket has more entries than this on average.
    pub const CROWD: usize = 64;

    /// A table with nothing in it.
    pub fn new() -> Self {
        Self {
            buckets: vec![0; Self::SIZE],
        }
    }

    /// The size for `entries` entries.
    pub fn size_for(entries: usize) -> usize {
        entries
            .div_ceil(Self::CROWD)
            .next_power_of_two()
            .clamp(Self::SIZE, 1 << 24)
    }

    /// A table of `size` buckets, a power of two, with these digests.
    pub fn of(size: usize, entries: impl IntoIterator<Item = (Key, u64)>) -> Self {
        assert!(size.is_power_of_two(), "a table is folded by halves");
        let mut digests = Self {
            buckets: vec![0; size],
        };
        for (key, digest) in entries {
            digests.replace(key, 0, digest);
        }
        digests
    }

    /// An entry added `before` and adds `after` now.
    pub fn replace(&mut self, key: Key, before: u64, after: u64) {
        let bucket = self.bucket(key).0 as usize;
        self.buckets[bucket] ^= before ^ after;
    }

    /// The bucket of a key.
    pub fn bucket(&self, key: Key) -> Bucket {
        Bucket::of(key, self.buckets.len())
    }

    /// The digest of a bucket; 0 beyond the table.
    pub fn digest(&self, bucket: Bucket) -> u64 {
        self.buckets.get(bucket.0 as usize).copied().unwrap_or(0)
    }

    /// All digests, folded into `size` buckets: a power of two, not above the table's own size.
    pub fn folded(&self, size: usize) -> Vec<u64> {
        assert!(
            size.is_power_of_two() && size <= self.buckets.len(),
            "tables fold by halves"
        );
        let mut folded = vec![0; size];
        for (at, digest) in self.buckets.iter().enumerate() {
            folded[at & (size - 1)] ^= digest;
        }
        folded
    }

    /// One number for the whole table.
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |total, digest| total ^ digest)
    }

    /// How many buckets there are.
    pub fn size(&self) -> usize {
        self.buckets.len()
    }
}

impl Default for Digests {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_table_folds_into_a_smaller_one() {
        let entries: Vec<_> = (0..20_000_u128)
            .map(|n| (Key::from_bits(n * 0x9e37_79b9_7f4a_7c15), n as u64))
            .collect();
        let large = Digests::of(8192, entries.iter().copied());
        let small = Digests::of(4096, entries.iter().copied());
        assert_eq!(large.folded(4096), small.folded(4096));
        assert_eq!(large.total(), small.total());
    }

    #[test]
    fn what_comes_and_goes_leaves_no_trace() {
        let mut digests = Digests::new();
        let key = Key::from_bits(77);
        digests.replace(key, 0, 5);
        assert_eq!(digests.digest(Bucket(77)), 5);
        digests.replace(key, 5, 9);
        digests.replace(key, 9, 0);
        assert_eq!(digests, Digests::new());
    }

    #[test]
    fn the_table_grows_with_its_entries() {
        assert_eq!(Digests::size_for(0), 4096);
        assert_eq!(Digests::size_for(4096 * 64), 4096);
        assert_eq!(Digests::size_for(4096 * 64 + 1), 8192);
    }
}
