//! One node: a table, and what it writes.

use catherd_core::key::Key;
use catherd_core::link::FrameClass;
use catherd_core::session::{
    Birth, Content, DigestKey, Entry, Extent, Fragment, Rules, State, Tombstone, Value, Writer,
};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;

use crate::{Random, slot};

pub(crate) struct Node {
    pub(crate) me: Incarnation,
    pub(crate) table: PlainTable,
    pub(crate) rules: Rules,
    serial: u64,
}

/// What one request made: fragments for one frame.
pub(crate) struct Made {
    pub(crate) key: Key,
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) since: Option<u64>,
    pub(crate) class: FrameClass,
}

impl Node {
    pub(crate) fn new(number: u64, removals_kept: usize) -> Self {
        Self {
            me: Incarnation::from_bits(number),
            table: PlainTable::new(DigestKey::new("bed")),
            rules: Rules {
                removals_kept,
                ..Rules::default()
            },
            serial: 0,
        }
    }

    fn writer(&self) -> Writer {
        Writer {
            incarnation: self.me,
            gone: 0,
            floor: 0,
        }
    }

    fn birth(&mut self) -> Birth {
        self.serial += 1;
        Birth {
            incarnation: self.me,
            serial: self.serial,
        }
    }

    /// A request that begins a session.
    pub(crate) fn create(&mut self, now: Time, random: &mut Random) -> Made {
        let key = Key::from_bits(u128::from(random.next()) << 64 | u128::from(random.next()));
        let birth = self.birth();
        self.table.change(key, now, |entry| {
            *entry = Some(Entry::Live(State::new(birth, now)))
        });
        self.write(key, now, random)
            .expect("the first write of a session")
    }

    /// A request that sets or removes some attributes.
    pub(crate) fn write(&self, key: Key, now: Time, random: &mut Random) -> Option<Made> {
        let rules = self.rules;
        let by = self.writer();
        let (write, key) = self.table.change(key, now, |entry| {
            let state = entry.as_mut()?.live_mut()?;
            for _ in 0..=random.below(2) {
                let value = (!state.is_committed() || random.chance(75))
                    .then(|| Value::new(&random.next().to_le_bytes()));
                state
                    .set(slot(random.below(4)), value, &rules)
                    .expect("small values");
            }
            Some((state.commit(now, &by, Extent::Changes, &rules)?, key))
        })?;
        let since = write.since.map(|since| since.revision);
        let fragments = vec![Fragment {
            key,
            content: Content::Write(write),
        }];
        Some(Made {
            key,
            fragments,
            since,
            class: FrameClass::Fragment,
        })
    }

    /// A logout.
    pub(crate) fn end(&self, key: Key, now: Time) -> Option<Made> {
        let life = Tombstone::LIFE_MIN;
        let end = self
            .table
            .change(key, now, |entry| Entry::end(entry, key, now, life))?;
        Some(Made {
            key,
            fragments: vec![end],
            since: None,
            class: FrameClass::Tombstone,
        })
    }

    /// A login.
    pub(crate) fn change_id(&mut self, key: Key, now: Time, random: &mut Random) -> Option<Made> {
        let to = Key::from_bits(u128::from(random.next()) << 64 | u128::from(random.next()));
        let (birth, by, rules) = (self.birth(), self.writer(), self.rules);
        let changed = self.table.change_two((key, to), now, |old, new| {
            let life = Tombstone::LIFE_MIN;
            Entry::change_id((key, old), (to, new), birth, now, &by, life, &rules)
        })?;
        let fragments = [Some(changed.new), changed.old]
            .into_iter()
            .flatten()
            .collect();
        Some(Made {
            key: to,
            fragments,
            since: None,
            class: FrameClass::Tombstone,
        })
    }
}
