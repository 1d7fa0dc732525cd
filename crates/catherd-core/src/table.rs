//! What a node holds under its keys, seen from a state machine.

use std::collections::BTreeMap;

use crate::key::Key;
use crate::session::{Bucket, DigestKey, Digests, Entry, State};
use crate::sync::Summary;
use crate::time::Time;

/// The entries of one context.
///
/// Core and shell meet here: the shell has a sharded map with a lock a session, tests and
/// simulations have [`PlainTable`]. Whatever the lock is, it is held for the length of the closure
/// and no longer.
pub trait Table {
    /// The one way in: gives the entry under `key` to `f`, and keeps the digests.
    fn change<R>(&self, key: Key, now: Time, f: impl FnOnce(&mut Option<Entry>) -> R) -> R;

    /// The same for two different keys at once, for a change of id.
    fn change_two<R>(
        &self,
        keys: (Key, Key),
        now: Time,
        f: impl FnOnce(&mut Option<Entry>, &mut Option<Entry>) -> R,
    ) -> R;

    /// The digest of a bucket.
    fn digest(&self, bucket: Bucket) -> u64;

    /// The digests of all buckets, of a table of `size`: a power of two.
    fn digests(&self, size: usize) -> Vec<u64>;

    /// The digest of what is under `key`, 0 for what is in no digest, and whether it has ended for
    /// good ([`Entry::is_final`]).
    fn summary(&self, key: Key) -> (u64, bool);

    /// Gives each entry that is in a digest to `out`, of those buckets of a table of `size` that
    /// `wanted` names, in any order.
    fn summaries(
        &self,
        size: usize,
        wanted: &mut dyn FnMut(Bucket) -> bool,
        out: &mut dyn FnMut(Summary),
    );

    /// Appends the keys of the entries that are in a digest, of one bucket of a table of `size`, in
    /// any order.
    fn keys_in(&self, size: usize, bucket: Bucket, out: &mut Vec<Key>);
}

/// A table without locks, for one thread; iterates in the order of keys.
#[derive(Clone, Debug)]
pub struct PlainTable {
    with: DigestKey,
    inner: std::cell::RefCell<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    entries: BTreeMap<Key, Held>,
    digests: Digests,
    /// The digests as they were folded last, kept with each change: who compares tables folds them
    /// alike every time.
    folded: Option<Digests>,
}

#[derive(Clone, Debug)]
struct Held {
    /// `None` only while it is changed.
    entry: Option<Entry>,
    /// What the entry adds to its bucket at present.
    digest: u64,
}

impl PlainTable {
    /// An empty table of the cluster whose digests `with` makes.
    pub fn new(with: DigestKey) -> Self {
        Self {
            with,
            inner: std::cell::RefCell::default(),
        }
    }

    /// The keys of all entries, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.inner.borrow().entries.keys().copied().collect()
    }

    /// A copy of the entry under `key`.
    pub fn entry(&self, key: Key) -> Option<Entry> {
        self.look(key, |entry| entry.cloned())
    }

    /// Gives the entry under `key` to `f`, which does not change the table meanwhile.
    pub fn look<R>(&self, key: Key, f: impl FnOnce(Option<&Entry>) -> R) -> R {
        let inner = self.inner.borrow();
        f(inner.entries.get(&key).and_then(|held| held.entry.as_ref()))
    }

    /// Gives the live session under `key` to `f`, which does no more to it than any request does
    /// that changes nothing: it is accessed, and what is set is not committed. No digest shows that,
    /// except that of one which was idle or was never committed: `None`, as if there were none.
    pub fn touch<R>(&self, key: Key, f: impl FnOnce(&mut State) -> R) -> Option<R> {
        let inner = &mut *self.inner.borrow_mut();
        let held = inner.entries.get_mut(&key).filter(|it| it.digest != 0)?;
        held.entry.as_mut()?.live_mut().map(f)
    }

    /// The digests, as kept with each change.
    pub fn digests(&self) -> Digests {
        self.inner.borrow().digests.clone()
    }

    /// The digests, computed from scratch.
    pub fn digests_anew(&self, now: Time) -> Digests {
        let inner = self.inner.borrow();
        let digest = |(key, held): (&Key, &Held)| (*key, self.digest_of(*key, held, now));
        Digests::of(inner.digests.size(), inner.entries.iter().map(digest))
    }

    /// Whether the digests that are kept are those that are computed from scratch.
    pub fn has_true_digests(&self, now: Time) -> bool {
        let anew = self.digests_anew(now);
        let inner = self.inner.borrow();
        let is_so = |it: &Digests| it.folded(it.size()) == anew.folded(it.size());
        inner.digests == anew && inner.folded.as_ref().is_none_or(is_so)
    }

    fn digest_of(&self, key: Key, held: &Held, now: Time) -> u64 {
        let entry = held.entry.as_ref();
        entry.map_or(0, |entry| entry.digest(key, now, &self.with))
    }
}

impl Inner {
    fn replace(&mut self, key: Key, before: u64, after: u64) {
        if before != after {
            self.digests.replace(key, before, after);
            if let Some(folded) = &mut self.folded {
                folded.replace(key, before, after);
            }
        }
    }
}

impl Table for PlainTable {
    fn change<R>(&self, key: Key, now: Time, f: impl FnOnce(&mut Option<Entry>) -> R) -> R {
        let inner = &mut *self.inner.borrow_mut();
        let Some(held) = inner.entries.get_mut(&key) else {
            let mut held = Held {
                entry: None,
                digest: 0,
            };
            let result = f(&mut held.entry);
            held.digest = self.digest_of(key, &held, now);
            inner.replace(key, 0, held.digest);
            if held.entry.is_some() {
                inner.entries.insert(key, held);
            }
            return result;
        };
        let result = f(&mut held.entry);
        let digest = self.digest_of(key, held, now);
        let before = std::mem::replace(&mut held.digest, digest);
        if held.entry.is_none() {
            inner.entries.remove(&key);
        }
        inner.replace(key, before, digest);
        result
    }

    fn change_two<R>(
        &self,
        keys: (Key, Key),
        now: Time,
        f: impl FnOnce(&mut Option<Entry>, &mut Option<Entry>) -> R,
    ) -> R {
        assert_ne!(keys.0, keys.1, "a session moves to another key");
        let mut second = self.change(keys.1, now, Option::take);
        let result = self.change(keys.0, now, |first| f(first, &mut second));
        self.change(keys.1, now, |entry| *entry = second);
        result
    }

    fn digest(&self, bucket: Bucket) -> u64 {
        self.inner.borrow().digests.digest(bucket)
    }

    fn digests(&self, size: usize) -> Vec<u64> {
        let inner = &mut *self.inner.borrow_mut();
        if size == inner.digests.size() {
            let buckets = (0..).map(Bucket).take(size);
            return buckets.map(|it| inner.digests.digest(it)).collect();
        }
        let folded = inner.folded.take().filter(|it| it.size() == size);
        let folded = folded.unwrap_or_else(|| {
            let digest = |(key, held): (&Key, &Held)| (*key, held.digest);
            Digests::of(size, inner.entries.iter().map(digest))
        });
        inner.folded.insert(folded).folded(size)
    }

    fn summary(&self, key: Key) -> (u64, bool) {
        let inner = self.inner.borrow();
        let held = inner.entries.get(&key);
        let is_final = |held: &Held| held.entry.as_ref().is_some_and(Entry::is_final);
        held.map_or((0, false), |held| (held.digest, is_final(held)))
    }

    fn summaries(
        &self,
        size: usize,
        wanted: &mut dyn FnMut(Bucket) -> bool,
        out: &mut dyn FnMut(Summary),
    ) {
        for (&key, held) in &self.inner.borrow().entries {
            if held.digest != 0 && wanted(Bucket::of(key, size)) {
                out(Summary {
                    key,
                    digest: held.digest,
                });
            }
        }
    }

    fn keys_in(&self, size: usize, bucket: Bucket, out: &mut Vec<Key>) {
        let inner = self.inner.borrow();
        let is_in =
            |(key, held): &(&Key, &Held)| held.digest != 0 && Bucket::of(**key, size) == bucket;
        out.extend(inner.entries.iter().filter(is_in).map(|(key, _)| *key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Birth, Extent, Rules, Slot, Value, Writer};
    use crate::version::Incarnation;

    const KEY: Key = Key::from_bits(77);
    const WRITER: Writer = Writer {
        incarnation: Incarnation::from_bits(1),
        gone: 0,
        floor: 0,
    };

    fn write(table: &PlainTable, value: u8) {
        table.change(KEY, Time::START, |entry| {
            let birth = Birth {
                incarnation: WRITER.incarnation,
                serial: 1,
            };
            let new = || Entry::Live(State::new(birth, Time::START));
            let state = entry.get_or_insert_with(new).live_mut().unwrap();
            let value = Some(Value::new(&[value]));
            state
                .set(Slot::Principal, value, &Rules::default())
                .unwrap();
            state.commit(Time::START, &WRITER, Extent::Changes, &Rules::default());
        });
    }

    #[test]
    fn digests_that_were_folded_are_kept_with_each_change() {
        let table = PlainTable::new(DigestKey::new("test"));
        assert_eq!(Table::digests(&table, 64), [0; 64]);
        for value in [1, 2] {
            write(&table, value);
            let folded = table.digests().folded(64);
            assert_eq!(Table::digests(&table, 64), folded);
            assert_ne!(folded, [0; 64]);
            assert!(table.has_true_digests(Time::START));
        }
        table.change(KEY, Time::START, |entry| *entry = None);
        assert_eq!(Table::digests(&table, 64), [0; 64]);
        assert!(table.keys().is_empty());
    }

    #[test]
    fn only_what_a_digest_shows_already_is_touched() {
        let table = PlainTable::new(DigestKey::new("test"));
        assert_eq!(table.touch(KEY, |_| ()), None);
        write(&table, 1);
        let later = Time::START + std::time::Duration::from_secs(1);
        assert_eq!(table.touch(KEY, |state| state.touch(later)), Some(()));
        let touched = table.look(KEY, |entry| entry?.live().map(State::last_access));
        assert_eq!(touched, Some(later));
        assert!(table.has_true_digests(later));
    }
}
