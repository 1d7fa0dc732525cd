//! Tables of a few nodes, what is done to them, and the pull of one from another.

use std::ops::Range;
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::session::{
    Birth, Content, DigestKey, Entry, Extent, Fetched, Fragment, Name, Rules, Slot, State, Value,
    Writer,
};
use catherd_core::sync::{Comparison, Look};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::time::Time;
use catherd_core::version::{Incarnation, Vector};
use proptest::prelude::*;

/// Into how many buckets tables are folded here: few, so that keys share them.
pub(crate) const SIZE: u32 = 64;

/// How many keys there are.
pub(crate) const KEYS: u32 = 200;

const LIFE: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn now() -> Time {
    Time::since_start(Duration::from_secs(1000))
}

/// Keys all over the range, as random ones are: an odd multiplier spreads consecutive numbers.
pub(crate) fn key(number: u32) -> Key {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Key::from_bits(spread ^ (spread >> 64))
}

pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What is done to one session on one node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Write { key: u32, name: u8, value: u16 },
    End { key: u32 },
}

impl Change {
    pub(crate) fn strategy() -> impl Strategy<Value = Self> + Clone {
        prop_oneof![
            6 => (0..KEYS, 0..3_u8, any::<u16>())
                .prop_map(|(key, name, value)| Self::Write { key, name, value }),
            1 => (0..KEYS).prop_map(|key| Self::End { key }),
        ]
    }
}

/// A node: its table, and the name that it writes under.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) incarnation: Incarnation,
    pub(crate) table: PlainTable,
}

impl Node {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            incarnation: Incarnation::from_bits(number),
            table: PlainTable::new(DigestKey::new("sync")),
        }
    }

    /// A node that has made these changes, and has not told anybody.
    pub(crate) fn after(number: u64, changes: &[Change]) -> Self {
        let node = Self::new(number);
        for change in changes {
            node.make(*change);
        }
        node
    }

    /// Makes a change, and gives what the members are told of it. A session that is not there is
    /// begun; it has one birth, wherever its first write is seen first.
    pub(crate) fn make(&self, change: Change) -> Option<Fragment> {
        match change {
            Change::Write {
                key: number,
                name,
                value,
            } => self.write(number, name, value),
            Change::End { key: number } => {
                let key = key(number);
                let end = |entry: &mut Option<Entry>| Entry::end(entry, key, now(), LIFE);
                self.table.change(key, now(), end)
            }
        }
    }

    fn write(&self, number: u32, name: u8, value: u16) -> Option<Fragment> {
        let (key, rules) = (key(number), Rules::default());
        let by = Writer {
            incarnation: self.incarnation,
            gone: 0,
            floor: 0,
        };
        let write = self.table.change(key, now(), |entry| {
            let birth = Birth {
                incarnation: Incarnation::from_bits(1),
                serial: u64::from(number) + 1,
            };
            let new = || Entry::Live(State::new(birth, now()));
            let state = entry.get_or_insert_with(new).live_mut()?;
            let name = Name::new(&format!("n{name}")).expect("a short name");
            let value = Value::new(value.to_string().as_bytes());
            let set = state.set(Slot::Attribute(name), Some(value), &rules);
            set.expect("a small value");
            state.commit(now(), &by, Extent::Changes, &rules)
        })?;
        Some(Fragment {
            key,
            content: Content::Write(write),
        })
    }

    pub(crate) fn merge(&self, fragment: &Fragment) {
        let merge =
            |entry: &mut Option<Entry>| Entry::merge(entry, now(), fragment, &Rules::default());
        let merged = self.table.change(fragment.key, now(), merge);
        assert_eq!(merged.corrupt, 0);
    }

    /// Compares `buckets` with another node, and fetches and merges what differs: the pull of
    /// `docs/sync.md`. Gives what differed at first.
    pub(crate) fn pull(&self, from: &Self, buckets: Range<u32>) -> Look {
        let mut look = Look::default();
        let mut first = buckets.start;
        loop {
            let comparison = Comparison::of(&self.table, SIZE, first..buckets.end, false);
            let summaries = comparison.answer(&from.table);
            look.add(Look::at(&summaries, &self.table));
            for key in summaries.wanted(&self.table) {
                self.fetch(from, key);
            }
            match summaries.next {
                Some(next) => {
                    assert!(next > first && next < buckets.end, "it goes on, and ends");
                    first = next;
                }
                None => return look,
            }
        }
    }

    /// The same for everything.
    pub(crate) fn pull_all(&self, from: &Self) -> Look {
        self.pull(from, 0..SIZE)
    }

    pub(crate) fn fetch(&self, from: &Self, key: Key) {
        if let Fetched::Fragment(fragment) = self.newer(from, key) {
            self.merge(&fragment);
        }
    }

    /// What another node has under a key that is not here.
    fn newer(&self, from: &Self, key: Key) -> Fetched {
        let here = self.table.entry(key);
        let held = here.as_ref().and_then(Entry::live).map(State::seen);
        let held = held.cloned().unwrap_or_else(Vector::new);
        Entry::fetch(from.table.entry(key).as_ref(), key, now(), &held)
    }

    pub(crate) fn digests(&self) -> Vec<u64> {
        self.table.digests().folded(SIZE as usize)
    }

    pub(crate) fn has_ended(&self, key: Key) -> bool {
        matches!(self.table.entry(key), Some(Entry::Ended { .. }))
    }

    /// Whether this node holds all that the other one holds, session by session.
    pub(crate) fn holds_all_of(&self, other: &Self) -> bool {
        let holds = |key: Key| self.has_ended(key) || self.newer(other, key) == Fetched::Same;
        other.table.keys().into_iter().all(holds)
    }
}
