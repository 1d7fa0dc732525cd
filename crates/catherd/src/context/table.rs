//! The sessions of a context: a sharded map, and a short lock for each session.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::session::{Bucket, DigestKey, Digests, Entry};
use catherd_core::sync::Summary;
use catherd_core::table::Table;
use catherd_core::time::Time;
use parking_lot::Mutex;

use super::cells::Cells;
use super::receipt::Receipt;
use super::users::{Filed, Users};
use super::wheel::Wheel;

/// What this node holds under the keys of one context.
///
/// A lock is held for the length of a closure, never over an await, and at most two at once: those
/// of a change of id, in the order of the keys.
#[derive(Debug)]
pub(crate) struct SessionTable {
    with: DigestKey,
    /// How old a session may become.
    lifetime: Option<Duration>,
    cells: Cells,
    digests: Mutex<Digests>,
    users: Users,
    wheel: Mutex<Wheel>,
    live: AtomicUsize,
    ended: AtomicUsize,
    kept: AtomicUsize,
    kept_bytes: AtomicUsize,
}

/// The place of one key. It stays the same as long as there is something under the key, so a
/// request holds on to it and does not look it up again.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) key: Key,
    slot: Mutex<Slot>,
}

/// What is under a key, and what this process alone knows of it.
///
/// There are as many as sessions: what few of them have is in a box.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) entry: Option<Entry>,
    /// Who has to acknowledge the latest write of this node; `None` when all have.
    pub(crate) receipt: Option<Receipt>,
    /// Whether this process has shown the session to a client.
    pub(crate) served: bool,
    /// How many requests are in it: then it is not idle.
    pub(crate) requests: u32,
    /// It was made here and used by that one request, for all that is known here.
    pub(crate) used_once: bool,
    /// The application has stored nothing in it, and nobody hears of it before it does, or before
    /// the session is used again.
    pub(crate) is_held_back: bool,
    /// Members are being asked whether anybody uses it.
    pub(crate) is_asked_about: bool,
    /// It has ended here, and stays unserved for a missing member: its bytes, at least one.
    kept: Option<NonZeroU32>,
    /// What the entry adds to its bucket at present.
    digest: u64,
    /// When the wheel looks at the entry. What it has for another time is out of date.
    filed: Option<Time>,
    /// The principal under which the session is filed.
    pub(super) filed_under: Option<Box<Filed>>,
    /// The cell is no longer in the map: look the key up again.
    detached: bool,
}

impl SessionTable {
    pub(crate) fn new(with: DigestKey, lifetime: Option<Duration>) -> Self {
        Self {
            with,
            lifetime,
            cells: Cells::new(),
            digests: Mutex::default(),
            users: Users::new(with),
            wheel: Mutex::default(),
            live: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            kept_bytes: AtomicUsize::new(0),
        }
    }

    /// The cell of `key`, if anything is under it.
    pub(crate) fn find(&self, key: Key) -> Option<Arc<Cell>> {
        self.cells.find(key)
    }

    /// Looks at what is under a key, without the power to change it.
    pub(crate) fn look<R>(&self, key: Key, f: impl FnOnce(&Slot) -> R) -> Option<R> {
        self.find(key)?.look(f)
    }

    /// Gives what is under a key to `f`, for what changes neither digest nor kind.
    pub(crate) fn look_mut(&self, key: Key, f: impl FnOnce(&mut Slot)) {
        if let Some(cell) = self.find(key) {
            cell.slot(f);
        }
    }

    /// Gives what is under `key` to `f`, be it nothing, and keeps digests, counts and the wheel.
    pub(crate) fn with<R>(
        &self,
        key: Key,
        now: Time,
        f: impl FnOnce(&Arc<Cell>, &mut Slot) -> R,
    ) -> R {
        loop {
            let cell = self.find(key).unwrap_or_else(|| {
                // Somebody else may have put one there meanwhile.
                self.cells.find_or_put(Arc::new(Cell::of(key)))
            });
            let mut slot = cell.slot.lock();
            if slot.detached {
                continue;
            }
            let before = self.before(&slot);
            let result = f(&cell, &mut slot);
            self.settle(&cell, &mut slot, before, now);
            return result;
        }
    }

    /// The same for a cell that a request holds; `None` if the cell is no longer that of its key.
    pub(crate) fn within<R>(
        &self,
        cell: &Arc<Cell>,
        now: Time,
        f: impl FnOnce(&mut Slot) -> R,
    ) -> Option<R> {
        let mut slot = cell.slot.lock();
        if slot.detached {
            return None;
        }
        let before = self.before(&slot);
        let result = f(&mut slot);
        self.settle(cell, &mut slot, before, now);
        Some(result)
    }

    /// The same for two different keys, for a change of id.
    pub(crate) fn with_two<R>(
        &self,
        keys: (Key, Key),
        now: Time,
        f: impl FnOnce((&Arc<Cell>, &mut Slot), (&Arc<Cell>, &mut Slot)) -> R,
    ) -> R {
        assert_ne!(keys.0, keys.1, "a session moves to another key");
        if keys.0 < keys.1 {
            self.with(keys.0, now, |a, first| {
                self.with(keys.1, now, |b, second| f((a, first), (b, second)))
            })
        } else {
            self.with(keys.1, now, |b, second| {
                self.with(keys.0, now, |a, first| f((a, first), (b, second)))
            })
        }
    }

    /// Looks at the entries that are due; `judge` says what becomes of each.
    pub(crate) fn sweep(&self, now: Time, mut judge: impl FnMut(Key, &mut Slot) -> Look) {
        let due = self.wheel.lock().due(now);
        for key in due {
            let Some(cell) = self.find(key) else { continue };
            self.within(&cell, now, |slot| {
                if slot.filed.is_none_or(|filed| filed > now) {
                    return;
                }
                slot.filed = None;
                match judge(key, slot) {
                    Look::Again(at) => self.file(&cell, slot, at),
                    Look::Never => {}
                    Look::Drop => slot.entry = None,
                }
            });
        }
    }

    /// Whose the sessions are.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// Forgets the `count` tombstones that ended first, generations of users last; says how many
    /// there were to forget.
    pub(crate) fn forget_oldest_tombstones(&self, count: usize, now: Time) -> usize {
        let ended = |cell: &Cell| match cell.slot.lock().entry {
            Some(Entry::Ended { at, generation, .. }) => Some((generation > 0, at, cell.key)),
            Some(Entry::Live(_)) | None => None,
        };
        let cells = self.cells.all();
        let mut all: Vec<_> = cells.iter().filter_map(|cell| ended(cell)).collect();
        all.sort_unstable();
        all.truncate(count);
        for &(_, _, key) in &all {
            self.with(key, now, |_, slot| {
                if matches!(slot.entry, Some(Entry::Ended { .. })) {
                    slot.entry = None;
                }
            });
        }
        all.len()
    }

    /// Forgets everything, without a word to anybody. Requests that are in a session find that
    /// theirs is no more.
    pub(crate) fn clear(&self, now: Time) {
        for cell in self.cells.all() {
            self.with(cell.key, now, |_, slot| slot.entry = None);
        }
    }

    /// How many live sessions there are, without those that are kept unserved.
    pub(crate) fn live(&self) -> usize {
        let kept = self.kept.load(Ordering::Relaxed);
        self.live.load(Ordering::Relaxed).saturating_sub(kept)
    }

    /// Keeps an idle copy unserved, of so many bytes; `false` if there is no room for it within
    /// `bytes_max`. It is kept until it is used again or dropped.
    pub(crate) fn keep(&self, slot: &mut Slot, bytes: usize, bytes_max: usize) -> bool {
        if slot.kept.is_some() {
            return true;
        }
        // Concurrent calls may go beyond the limit by a session each.
        if self
            .kept_bytes
            .load(Ordering::Relaxed)
            .saturating_add(bytes)
            > bytes_max
        {
            return false;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN);
        slot.kept = Some(bytes);
        self.kept.fetch_add(1, Ordering::Relaxed);
        self.kept_bytes
            .fetch_add(bytes.get() as usize, Ordering::Relaxed);
        true
    }

    fn keep_no_longer(&self, slot: &mut Slot) {
        if let Some(bytes) = slot.kept.take() {
            self.kept.fetch_sub(1, Ordering::Relaxed);
            self.kept_bytes
                .fetch_sub(bytes.get() as usize, Ordering::Relaxed);
        }
    }

    /// How many tombstones there are.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// One number for all that is held: equal on two nodes if nothing differs.
    pub(crate) fn total(&self) -> u64 {
        self.digests.lock().total()
    }

    /// What a change is compared with; by what is committed, for what is not may have been set
    /// without a word to the table.
    fn before(&self, slot: &Slot) -> Before {
        let entry = slot.entry.as_ref();
        Before {
            kind: Kind::of(entry),
            generation: entry.map_or(0, Entry::generation),
            limit: entry.and_then(|entry| entry.live()?.committed_idle_limit()),
            lifetime_end: entry.and_then(|entry| self.lifetime_end(entry)),
        }
    }

    fn settle(&self, cell: &Arc<Cell>, slot: &mut Slot, before: Before, now: Time) {
        let entry = slot.entry.as_ref();
        let limit = entry.and_then(Entry::idle_limit);
        let digest = entry.map_or(0, |entry| {
            entry.digest_at_limit(limit, cell.key, now, &self.with)
        });
        if digest != slot.digest {
            self.digests.lock().replace(cell.key, slot.digest, digest);
            slot.digest = digest;
        }
        self.users.note(cell.key, entry, &mut slot.filed_under);
        let generation = entry.map_or(0, Entry::generation);
        if generation != before.generation {
            self.users.note_generation(cell.key, generation);
        }
        let after = Kind::of(entry);
        let is_idle = entry
            .and_then(Entry::live)
            .is_some_and(|state| state.is_idle_at(limit, now));
        if !is_idle {
            self.keep_no_longer(slot);
        }
        let entry = slot.entry.as_ref();
        self.count(before.kind, after);
        let lifetime_end = entry.and_then(|entry| self.lifetime_end(entry));
        if (after, limit, lifetime_end) != (before.kind, before.limit, before.lifetime_end) {
            // A limit that grew is noticed at the look that was planned; one that shrank is not.
            let at = entry.and_then(|entry| entry.next_look(now));
            let at = at.into_iter().chain(lifetime_end).min();
            if let Some(at) = at.filter(|at| slot.filed.is_none_or(|filed| *at < filed)) {
                self.file(cell, slot, at);
            }
        }
        if after == Kind::Nothing {
            slot.detached = true;
            self.cells.remove(cell);
        }
    }

    fn lifetime_end(&self, entry: &Entry) -> Option<Time> {
        Some(entry.live()?.created() + self.lifetime?)
    }

    fn file(&self, cell: &Cell, slot: &mut Slot, at: Time) {
        slot.filed = Some(at);
        self.wheel.lock().file(at, cell.key);
    }

    fn count(&self, before: Kind, after: Kind) {
        if before == after {
            return;
        }
        let counter = |kind| match kind {
            Kind::Nothing => None,
            Kind::Live => Some(&self.live),
            Kind::Ended => Some(&self.ended),
        };
        if let Some(counter) = counter(before) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(counter) = counter(after) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Slot {
    /// Whether it has ended here and is kept unserved.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// All who have to have acknowledged the write: nobody need ask for it again.
    pub(crate) fn confirmed(&mut self, receipt: &Receipt) {
        if self.receipt.as_ref().is_some_and(|it| it.is(receipt)) {
            self.receipt = None;
        }
    }
}

impl Cell {
    /// With nothing under its key.
    pub(super) fn of(key: Key) -> Self {
        Self {
            key,
            slot: Mutex::default(),
        }
    }

    /// Looks at the slot, without the power to change it; `None` if the cell is no longer that of
    /// its key.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&Slot) -> R) -> Option<R> {
        let slot = self.slot.lock();
        (!slot.detached).then(|| f(&slot))
    }

    /// Gives the slot to `f` for what changes neither digest nor kind: reading, setting, touching.
    pub(crate) fn slot<R>(&self, f: impl FnOnce(&mut Slot) -> R) -> R {
        f(&mut self.slot.lock())
    }
}

/// What becomes of an entry that was due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Look {
    /// It is due again at this time.
    Again(Time),
    /// It has no end, unless it is given one.
    Never,
    /// It is over.
    Drop,
}

/// What was under a key before a change.
#[derive(Clone, Copy)]
struct Before {
    kind: Kind,
    /// 0 if the key is not a user's.
    generation: u64,
    limit: Option<Duration>,
    /// When it would have been as old as a session may become.
    lifetime_end: Option<Time>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Nothing,
    Live,
    Ended,
}

impl Kind {
    fn of(entry: Option<&Entry>) -> Self {
        match entry {
            None => Self::Nothing,
            Some(Entry::Live(_)) => Self::Live,
            Some(Entry::Ended { .. }) => Self::Ended,
        }
    }
}

impl Table for SessionTable {
    fn change<R>(&self, key: Key, now: Time, f: impl FnOnce(&mut Option<Entry>) -> R) -> R {
        self.with(key, now, |_, slot| f(&mut slot.entry))
    }

    fn change_two<R>(
        &self,
        keys: (Key, Key),
        now: Time,
        f: impl FnOnce(&mut Option<Entry>, &mut Option<Entry>) -> R,
    ) -> R {
        self.with_two(keys, now, |(_, a), (_, b)| f(&mut a.entry, &mut b.entry))
    }

    fn digest(&self, bucket: Bucket) -> u64 {
        self.digests.lock().digest(bucket)
    }

    fn digests(&self, size: usize) -> Vec<u64> {
        self.digests.lock().folded(size)
    }

    fn summary(&self, key: Key) -> (u64, bool) {
        let ended = |slot: &Slot| slot.entry.as_ref().is_some_and(Entry::is_final);
        self.look(key, |slot| (slot.digest, ended(slot)))
            .unwrap_or((0, false))
    }

    fn summaries(
        &self,
        size: usize,
        wanted: &mut dyn FnMut(Bucket) -> bool,
        out: &mut dyn FnMut(Summary),
    ) {
        for cell in self.cells.in_buckets(size, wanted) {
            let digest = cell.slot(|slot| slot.digest);
            if digest != 0 {
                out(Summary {
                    key: cell.key,
                    digest,
                });
            }
        }
    }

    fn keys_in(&self, size: usize, bucket: Bucket, out: &mut Vec<Key>) {
        let cells = self.cells.in_bucket(size, bucket);
        let is_in_digest = |cell: &&Arc<Cell>| cell.slot(|slot| slot.digest != 0);
        out.extend(cells.iter().filter(is_in_digest).map(|cell| cell.key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// Who goes over the table must not wait for a session whose owner waits for the table.
    #[test]
    fn a_session_can_be_dropped_while_somebody_goes_over_the_table() {
        let table = Arc::new(SessionTable::new(DigestKey::new("test"), None));
        let (key, now) = (Key::from_bits(1), Time::START);
        let end = |slot: &mut Slot, life| {
            slot.entry = Some(Entry::Ended {
                at: now,
                life,
                generation: 0,
            });
        };
        table.with(key, now, |_, slot| end(slot, Duration::from_secs(60)));
        let (held, is_held) = channel();
        let (go, may_go) = channel();
        let (done, is_done) = channel();
        let dropping = Arc::clone(&table);
        thread::spawn(move || {
            dropping.with(key, now, |_, slot| {
                held.send(()).unwrap();
                may_go.recv().unwrap();
                slot.entry = None;
            });
        });
        is_held.recv().unwrap();
        let going = Arc::clone(&table);
        thread::spawn(move || {
            let wanted = &mut |_| {
                go.send(()).unwrap();
                true
            };
            going.summaries(1, wanted, &mut |_| {});
            done.send(()).unwrap();
        });
        let waited = is_done.recv_timeout(Duration::from_secs(60));
        assert!(waited.is_ok(), "both wait for each other");
        assert_eq!(table.ended(), 0);
    }
}
