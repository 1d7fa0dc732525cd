//! Which buckets a pair of members has to compare.

use std::fmt;

use crate::key::Key;
use crate::session::{Bucket, Digests};

/// A set of the [`SIZE`](Self::SIZE) buckets that a context's table is folded into to be compared:
/// half a kilobyte, whatever is in it.
#[derive(Clone, Eq, PartialEq)]
pub struct Marks(Box<[u64; Self::WORDS]>);

impl Marks {
    /// How many buckets there are: a power of two.
    pub const SIZE: u32 = 4096;
    const WORDS: usize = Self::SIZE as usize / 64;

    /// None.
    pub fn none() -> Self {
        Self(Box::new([0; Self::WORDS]))
    }

    /// All of them.
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; Self::WORDS]))
    }

    /// Adds the bucket of a key.
    pub fn mark(&mut self, key: Key) {
        self.add(Bucket::of(key, Self::SIZE as usize).0);
    }

    /// Adds what a bucket of a table of `size`, a power of two, has in common with these: one
    /// bucket of a larger table, several of a smaller one.
    pub fn mark_bucket(&mut self, bucket: u32, size: u32) {
        let step = size.clamp(1, Self::SIZE);
        let first = bucket & (step - 1);
        for at in (first..Self::SIZE).step_by(step as usize) {
            self.add(at);
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(other.0.iter()) {
            *word |= other;
        }
    }

    /// How many buckets are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether this one is.
    pub fn contains(&self, bucket: u32) -> bool {
        self.0
            .get(bucket as usize / 64)
            .is_some_and(|word| word & (1 << (bucket % 64)) != 0)
    }

    /// The buckets in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..)
            .step_by(64)
            .zip(self.0.iter())
            .flat_map(|(first, &word)| {
                let bits =
                    std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
                let set = bits.take_while(|&word| word != 0);
                set.map(move |word| first + word.trailing_zeros())
            })
    }

    fn add(&mut self, bucket: u32) {
        self.0[bucket as usize / 64] |= 1 << (bucket % 64);
    }
}

/// A table folds into as many.
const _: () = assert!(
    Marks::SIZE as usize <= Digests::SIZE,
    "tables fold by halves"
);

impl Default for Marks {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marks({} of {})", self.len(), Self::SIZE)
    }
}

impl FromIterator<Key> for Marks {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        let mut marks = Self::none();
        keys.into_iter().for_each(|key| marks.mark(key));
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_bucket_that_a_comparison_has_for_the_key() {
        let keys = [5, 4096 + 5, 4095, u128::MAX - 1].map(Key::from_bits);
        let marks: Marks = keys.into_iter().collect();
        assert_eq!(marks.iter().collect::<Vec<_>>(), [5, 4094, 4095]);
        assert_eq!((marks.len(), marks.is_empty()), (3, false));
        assert!(marks.contains(5) && !marks.contains(6) && !marks.contains(4096));
        assert_eq!((Marks::all().len(), Marks::none().len()), (4096, 0));
    }

    #[test]
    fn a_bucket_of_another_size_marks_all_that_may_be_in_it() {
        let mut marks = Marks::none();
        marks.mark_bucket(8192 + 7, 16_384);
        assert_eq!(marks.iter().collect::<Vec<_>>(), [7]);
        let mut marks = Marks::none();
        marks.mark_bucket(3, 1024);
        assert_eq!(marks.iter().collect::<Vec<_>>(), [3, 1027, 2051, 3075]);
        let mut marks = Marks::none();
        marks.mark_bucket(0, 1);
        assert_eq!(marks, Marks::all());
    }
}
