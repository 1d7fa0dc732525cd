//! Where the cells of the sessions are: a map in shards that follow the buckets.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use catherd_core::key::Key;
use catherd_core::session::Bucket;
use hashbrown::HashTable;
use parking_lot::RwLock;

use super::table::Cell;

/// All cells of a context, by key.
///
/// The key of a cell is in the cell, and the map has no second copy of it. To go over the map is
/// therefore to look at every cell, which is seldom near: so there is a shard for each bucket that
/// is compared, and whoever looks for some of them goes over those.
///
/// A lock is held for the length of a call, and nothing that is given in waits for a lock.
#[derive(Debug)]
pub(super) struct Cells {
    hasher: RandomState,
    shards: Box<[RwLock<HashTable<Arc<Cell>>>]>,
}

impl Cells {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    /// The cell of `key`, if there is one.
    pub(super) fn find(&self, key: Key) -> Option<Arc<Cell>> {
        let shard = self.shards[shard_of(key)].read();
        shard.find(self.hash(key), |cell| cell.key == key).cloned()
    }

    /// The cell of the key of `new`, which is that one if there was none.
    pub(super) fn find_or_put(&self, new: Arc<Cell>) -> Arc<Cell> {
        let key = new.key;
        let mut shard = self.shards[shard_of(key)].write();
        let is_it = |cell: &Arc<Cell>| cell.key == key;
        let entry = shard.entry(self.hash(key), is_it, |cell| self.hash(cell.key));
        Arc::clone(entry.or_insert(new).get())
    }

    /// Takes this cell out, if it is there.
    pub(super) fn remove(&self, cell: &Arc<Cell>) {
        let mut shard = self.shards[shard_of(cell.key)].write();
        let is_it = |held: &Arc<Cell>| Arc::ptr_eq(held, cell);
        if let Ok(found) = shard.find_entry(self.hash(cell.key), is_it) {
            found.remove();
        }
    }

    /// All cells, in any order.
    pub(super) fn all(&self) -> Vec<Arc<Cell>> {
        self.filtered(|_| true, |_| true)
    }

    /// The cells in those buckets of a table of `size` that are wanted, in any order.
    pub(super) fn in_buckets(
        &self,
        size: usize,
        wanted: &mut dyn FnMut(Bucket) -> bool,
    ) -> Vec<Arc<Cell>> {
        let Ok(size_here) = u32::try_from(size) else {
            return Vec::new();
        };
        let wanted_here: Vec<bool> = (0..size_here)
            .map(|bucket| wanted(Bucket(bucket)))
            .collect();
        let is_wanted = |bucket: usize| wanted_here[bucket & (size - 1)];
        self.filtered(
            // Of the low bits of the keys a shard has those that its number says, and all others.
            |shard| {
                let mut buckets = (shard..size.max(SHARDS)).step_by(SHARDS);
                buckets.any(is_wanted)
            },
            |key| {
                let Bucket(bucket) = Bucket::of(key, size);
                is_wanted(bucket as usize)
            },
        )
    }

    /// The cells in one bucket of a table of `size`, in any order.
    pub(super) fn in_bucket(&self, size: usize, bucket: Bucket) -> Vec<Arc<Cell>> {
        let Bucket(number) = bucket;
        let first = number as usize % SHARDS;
        let shards = self.shards.iter().skip(first).step_by(size.min(SHARDS));
        let is_in = |cell: &&Arc<Cell>| size <= SHARDS || Bucket::of(cell.key, size) == bucket;
        let mut found = Vec::new();
        for shard in shards {
            found.extend(shard.read().iter().filter(is_in).cloned());
        }
        found
    }

    fn filtered(
        &self,
        has_some: impl Fn(usize) -> bool,
        is_wanted: impl Fn(Key) -> bool,
    ) -> Vec<Arc<Cell>> {
        let mut found = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            if has_some(number) {
                let shard = shard.read();
                found.extend(shard.iter().filter(|cell| is_wanted(cell.key)).cloned());
            }
        }
        found
    }

    /// With a key of this process: members name keys, and must not be able to crowd a place.
    fn hash(&self, key: Key) -> u64 {
        self.hasher.hash_one(key.bits())
    }
}

/// The shard of a key.
fn shard_of(key: Key) -> usize {
    let Bucket(bucket) = Bucket::of(key, SHARDS);
    bucket as usize
}

/// One for each bucket of the tables that are compared.
const SHARDS: usize = catherd_core::sync::Marks::SIZE as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(count: u128) -> Cells {
        let cells = Cells::new();
        for number in 0..count {
            // Spread over the buckets, and above them.
            let key = Key::from_bits(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            cells.find_or_put(Arc::new(Cell::of(key)));
        }
        cells
    }

    #[test]
    fn what_was_put_is_found_until_it_is_removed() {
        let cells = cells(1000);
        let all = cells.all();
        assert_eq!(all.len(), 1000);
        for cell in &all {
            assert!(Arc::ptr_eq(
                &cells.find(cell.key).expect("it was put"),
                cell
            ));
            let again = cells.find_or_put(Arc::new(Cell::of(cell.key)));
            assert!(Arc::ptr_eq(&again, cell), "one cell for a key");
        }
        cells.remove(&Arc::new(Cell::of(all[0].key)));
        assert!(cells.find(all[0].key).is_some(), "another cell of its key");
        cells.remove(&all[0]);
        assert!(cells.find(all[0].key).is_none());
        assert_eq!(cells.all().len(), 999);
    }

    #[test]
    fn the_cells_of_buckets_are_found_whatever_the_size_of_the_table() {
        let cells = cells(5000);
        for size in [1, 16, SHARDS, 4 * SHARDS] {
            let wanted = |Bucket(bucket)| bucket % 3 == 1 || bucket == 0;
            let mut found: Vec<_> = cells
                .in_buckets(size, &mut |bucket| wanted(bucket))
                .iter()
                .map(|cell| cell.key)
                .collect();
            let all = cells.all();
            let mut expected: Vec<_> = all
                .iter()
                .map(|cell| cell.key)
                .filter(|key| wanted(Bucket::of(*key, size)))
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "a table of {size}");
            assert!(!found.is_empty());
            let one_by_one: usize = (0..u32::try_from(size).unwrap())
                .map(|bucket| cells.in_bucket(size, Bucket(bucket)).len())
                .sum();
            assert_eq!(one_by_one, all.len(), "each in one bucket of {size}");
        }
    }
}
