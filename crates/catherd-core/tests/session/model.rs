//! A few nodes, what they sent, and a record of every write, driven by random operations.
//!
//! After each operation the model checks what must hold at all times; see [`Cluster::check`].

use std::collections::BTreeMap;

use catherd_core::key::Key;
use catherd_core::session::{
    Birth, Content, DigestKey, Entry, Extent, Fragment, Merged, Outcome, Register, Rules, Slot,
    State, Value, Write, Writer,
};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::version::{Dot, Vector, Version};
use proptest::prelude::*;

use crate::support::*;

/// One step of a history. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Set { node: usize, name: u8 },
    Remove { node: usize, name: u8 },
    Commit { node: usize, entire: bool },
    Discard { node: usize },
    DeclareGone { node: usize },
    Deliver { node: usize, sent: usize },
    SendWhole { from: usize, to: usize },
    SendSince { from: usize, to: usize, back: u64 },
    End { node: usize },
    ChangeId { node: usize },
    CreateTwin { node: usize },
}

/// 256 cases, or as many as `PROPTEST_CASES` says. A case that fails is printed in full and
/// becomes a test with a name; it is in no file of its own.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Histories of writes and deliveries.
pub(crate) fn writes(len: usize) -> BoxedStrategy<Vec<Step>> {
    prop::collection::vec(write_step(), 1..len).boxed()
}

/// Histories with ends, changes of id and twins too.
pub(crate) fn everything(len: usize) -> BoxedStrategy<Vec<Step>> {
    let end = prop_oneof![
        (0..4_usize).prop_map(|node| Step::End { node }),
        (0..4_usize).prop_map(|node| Step::ChangeId { node }),
        (0..4_usize).prop_map(|node| Step::CreateTwin { node }),
    ];
    prop::collection::vec(prop_oneof![30 => write_step(), 1 => end], 1..len).boxed()
}

fn write_step() -> BoxedStrategy<Step> {
    let node = 0..4_usize;
    prop_oneof![
        4 => (node.clone(), 0..4_u8).prop_map(|(node, name)| Step::Set { node, name }),
        3 => (node.clone(), 0..4_u8).prop_map(|(node, name)| Step::Remove { node, name }),
        5 => (node.clone(), prop::bool::weighted(0.1))
            .prop_map(|(node, entire)| Step::Commit { node, entire }),
        1 => node.clone().prop_map(|node| Step::Discard { node }),
        1 => node.clone().prop_map(|node| Step::DeclareGone { node }),
        8 => (node.clone(), any::<usize>())
            .prop_map(|(node, sent)| Step::Deliver { node, sent }),
        1 => (node.clone(), node.clone()).prop_map(|(from, to)| Step::SendWhole { from, to }),
        1 => (node.clone(), node, 0..5_u64)
            .prop_map(|(from, to, back)| Step::SendSince { from, to, back }),
    ]
    .boxed()
}

/// A node of the model.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) by: Writer,
    pub(crate) table: PlainTable,
}

/// What a write did to one name, for ever on record.
#[derive(Clone, Debug)]
struct Record {
    version: Version,
    value: Option<Value>,
}

/// The nodes and all that they ever sent.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) rules: Rules,
    pub(crate) sites: Vec<Site>,
    pub(crate) sent: Vec<Fragment>,
    records: BTreeMap<(Key, Birth, Slot), Vec<Record>>,
    serial: u64,
}

impl Cluster {
    /// `nodes` nodes; the first has a session under [`KEY`].
    pub(crate) fn new(nodes: usize, rules: Rules) -> Self {
        let site = |n: usize| Site {
            by: Writer {
                incarnation: incarnation(A + n as u64),
                gone: 0,
                floor: 0,
            },
            table: PlainTable::new(DigestKey::new("model")),
        };
        let mut cluster = Self {
            rules,
            sites: (0..nodes).map(site).collect(),
            sent: Vec::new(),
            records: BTreeMap::new(),
            serial: 1,
        };
        cluster.create(0, KEY, birth());
        cluster.set(0, KEY, 0, true);
        cluster.commit(0, KEY, Extent::Changes);
        cluster
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let count = self.sites.len();
        match *step {
            Step::Set { node, name } => self.on_newest(node % count, |cluster, node, key| {
                cluster.set(node, key, name, true);
            }),
            Step::Remove { node, name } => self.on_newest(node % count, |cluster, node, key| {
                cluster.set(node, key, name, false);
            }),
            Step::Commit { node, entire } => self.on_newest(node % count, |cluster, node, key| {
                let extent = if entire {
                    Extent::Entire
                } else {
                    Extent::Changes
                };
                cluster.commit(node, key, extent);
            }),
            Step::Discard { node } => self.on_newest(node % count, |cluster, node, key| {
                cluster.on_state(node, key, State::discard);
            }),
            Step::DeclareGone { node } => self.sites[node % count].by.gone += 1,
            Step::Deliver { node, sent } => {
                if !self.sent.is_empty() {
                    let fragment = self.sent[sent % self.sent.len()].clone();
                    self.deliver(node % count, &fragment);
                }
            }
            Step::SendWhole { from, to } => {
                for key in self.sites[from % count].table.keys() {
                    if let Some(whole) = self.whole(from % count, key) {
                        self.deliver(to % count, &whole);
                    }
                }
            }
            Step::SendSince { from, to, back } => {
                self.on_newest(from % count, |cluster, from, key| {
                    if let Some(write) = cluster.since(from, key, back) {
                        cluster.sent.push(write.clone());
                        cluster.deliver(to % count, &write);
                    }
                });
            }
            Step::End { node } => self.on_newest(node % count, |cluster, node, key| {
                let table = &cluster.sites[node].table;
                let end = table.change(key, now(), |entry| Entry::end(entry, key, now(), DAY));
                cluster.sent.extend(end);
            }),
            Step::ChangeId { node } => self.on_newest(node % count, Self::change_id),
            Step::CreateTwin { node } => {
                let node = node % count;
                if self.sites[node].table.entry(KEY).is_none() {
                    let birth = self.next_birth(node);
                    self.create(node, KEY, birth);
                    self.set(node, KEY, 0, true);
                    self.commit(node, KEY, Extent::Changes);
                }
            }
        }
    }

    fn on_newest(&mut self, node: usize, f: impl FnOnce(&mut Self, usize, Key)) {
        let table = &self.sites[node].table;
        let live = |key: &Key| table.entry(*key).is_some_and(|e| e.live().is_some());
        if let Some(key) = table.keys().into_iter().rev().find(live) {
            f(self, node, key);
        }
    }

    fn on_state<R>(&self, node: usize, key: Key, f: impl FnOnce(&mut State) -> R) -> R {
        self.sites[node].table.change(key, now(), |entry| {
            f(entry
                .as_mut()
                .and_then(Entry::live_mut)
                .expect("steps look for live sessions"))
        })
    }

    fn next_birth(&mut self, node: usize) -> Birth {
        self.serial += 1;
        Birth {
            incarnation: self.sites[node].by.incarnation,
            serial: self.serial,
        }
    }

    fn create(&self, node: usize, key: Key, birth: Birth) {
        self.sites[node].table.change(key, now(), |entry| {
            *entry = Some(Entry::Live(State::new(birth, now())));
        });
    }

    fn set(&mut self, node: usize, key: Key, name: u8, is_set: bool) {
        self.serial += 1;
        let value = is_set.then(|| value(&self.serial.to_string()));
        let rules = self.rules;
        self.on_state(node, key, |state| {
            state
                .set(attribute(&format!("n{name}")), value, &rules)
                .expect("values of the model are small");
        });
    }

    /// Commits, and sends to everybody what the commit made: it arrives if and when a step says.
    pub(crate) fn commit(&mut self, node: usize, key: Key, extent: Extent) {
        let (by, rules) = (self.sites[node].by, self.rules);
        let before = self.seen(node, key);
        let changed = self.on_state(node, key, |state| unlike_registers(state));
        let write = self.on_state(node, key, |state| state.commit(now(), &by, extent, &rules));
        let Some(write) = write else { return };
        if write.seen != before {
            self.record(key, &write, &changed, &by);
        }
        self.sent.push(Fragment {
            key,
            content: Content::Write(write),
        });
        self.check(node, key, &before);
    }

    /// Puts what a commit wrote on record: a dot names one set of bytes, for ever.
    fn record(&mut self, key: Key, write: &Write, changed: &[(Slot, Option<Value>)], by: &Writer) {
        let is_new = |version: &Version| {
            version.writer == by.incarnation
                && version.revision == write.seen.revision(by.incarnation)
        };
        let versions = write
            .registers
            .into_iter()
            .map(|(_, register)| register.version);
        let version = versions
            .filter(is_new)
            .max()
            .expect("a commit that stamps keeps at least one of its registers");
        let stamped = write
            .registers
            .into_iter()
            .filter(|(_, register)| register.version == version)
            .map(|(slot, register)| (slot, register.value));
        // A whole fragment has forgotten removals, even its own.
        let written: BTreeMap<_, _> = changed.iter().cloned().chain(stamped).collect();
        for (slot, value) in written {
            let records = self.records.entry((key, write.birth, slot)).or_default();
            assert!(
                records.iter().all(|r| r.version.dot() != version.dot()),
                "a dot is used once"
            );
            records.push(Record { version, value });
        }
    }

    fn change_id(&mut self, node: usize, key: Key) {
        let birth = self.next_birth(node);
        let new_key = Key::from_bits(KEY.bits() + u128::from(self.serial));
        let (by, rules) = (self.sites[node].by, self.rules);
        let table = &self.sites[node].table;
        let changed = table.change_two((key, new_key), now(), |old, new| {
            Entry::change_id((key, old), (new_key, new), birth, now(), &by, DAY, &rules)
        });
        let Some(changed) = changed else { return };
        self.record(new_key, write_of(&changed.new), &[], &by);
        self.sent.push(changed.new);
        self.sent.extend(changed.old);
        self.check(node, new_key, &Vector::new());
    }

    pub(crate) fn deliver(&mut self, node: usize, fragment: &Fragment) -> Merged {
        let key = fragment.key;
        let rules = self.rules;
        let before = self.sites[node].table.entry(key);
        let seen_before = self.seen(node, key);
        let table = &self.sites[node].table;
        let merged = table.change(key, now(), |entry| {
            Entry::merge(entry, now(), fragment, &rules)
        });
        assert_eq!(merged.corrupt, 0, "equal versions have equal bytes");
        let after = self.sites[node].table.entry(key);
        match (before, after.as_ref()) {
            (Some(Entry::Ended { .. }), Some(Entry::Ended { .. })) | (None, _) => {}
            (Some(Entry::Live(_)), Some(Entry::Ended { .. })) => return merged,
            (Some(Entry::Live(before)), Some(Entry::Live(after))) => {
                versions_never_fall(&before, after);
                assert_eq!(before.is_dirty(), after.is_dirty());
            }
            (Some(_), None) => panic!("a merge never removes an entry"),
            (Some(Entry::Ended { .. }), Some(Entry::Live(_))) => {
                panic!("a merge never brings an ended key back")
            }
        }
        if let (Content::Write(write), Some(Entry::Live(state))) = (&fragment.content, after) {
            let is_covered = write.seen.is_within(state.seen());
            assert_eq!(
                is_covered,
                merged.outcome == Outcome::Complete,
                "a fragment is acknowledged if and only if the copy covers it"
            );
            assert!(is_covered || state.is_behind(), "and asked for otherwise");
        }
        self.check(node, key, &seen_before);
        merged
    }

    /// What must hold of a copy at all times: `seen` never falls and is true, registers are on
    /// record, the digest kept is the digest computed anew.
    fn check(&self, node: usize, key: Key, before: &Vector) {
        let table = &self.sites[node].table;
        assert_eq!(table.digests(), table.digests_anew(now()));
        let Some(Entry::Live(state)) = table.entry(key) else {
            return;
        };
        assert!(before.is_within(state.seen()), "`seen` never falls");
        for (slot, register) in state.registers() {
            let record = self.records[&(key, state.birth(), slot.clone())]
                .iter()
                .find(|record| record.version == register.version)
                .expect("a register has a version that a commit made");
            assert_eq!(record.value, register.value, "a dot names one set of bytes");
        }
        for ((of, birth, slot), records) in &self.records {
            if (*of, *birth) == (key, state.birth()) {
                self.seen_is_true(&state, slot, records);
            }
        }
    }

    /// For each write that the copy claims to hold: it is here, or a higher version of its name,
    /// or a removal has replaced it. Where nothing is forgotten that removal is here too.
    fn seen_is_true(&self, state: &State, slot: &Slot, records: &[Record]) {
        let here = state.register(slot).map(|register| register.version);
        for record in records {
            if !state.seen().covers(record.version.dot()) || here >= Some(record.version) {
                continue;
            }
            let may_forget = self.rules.removals_kept != usize::MAX;
            let was_removed = records
                .iter()
                .any(|other| other.value.is_none() && other.version >= record.version);
            assert!(
                may_forget && was_removed,
                "{slot:?}: {:?} is claimed, {here:?} is here",
                record.version
            );
        }
    }

    pub(crate) fn seen(&self, node: usize, key: Key) -> Vector {
        let entry = self.sites[node].table.entry(key);
        let state = entry.as_ref().and_then(Entry::live);
        state.map_or_else(Vector::new, |state| state.seen().clone())
    }

    /// What the copy of `node` says of `key`, if it says anything.
    pub(crate) fn whole(&self, node: usize, key: Key) -> Option<Fragment> {
        whole(self.sites[node].table.entry(key).as_ref()?, key)
    }

    /// What a queue would send in place of the writes of `node` after revision `back` before its
    /// last.
    fn since(&self, node: usize, key: Key, back: u64) -> Option<Fragment> {
        let entry = self.sites[node].table.entry(key)?;
        let state = entry.live()?;
        let writer = self.sites[node].by.incarnation;
        let last = state.seen().revision(writer);
        let since = Dot {
            writer,
            revision: last.saturating_sub(back),
        };
        (last > 0).then(|| Fragment {
            key,
            content: Content::Write(state.since(now(), since)),
        })
    }

    /// Every node sends every other all that it has, as whole fragments.
    pub(crate) fn exchange(&mut self) {
        for from in 0..self.sites.len() {
            for to in 0..self.sites.len() {
                for key in self.sites[from].table.keys() {
                    if let (true, Some(whole)) = (from != to, self.whole(from, key)) {
                        self.deliver(to, &whole);
                    }
                }
            }
        }
    }
}

/// An entry as a whole fragment or a tombstone; `None` if there is nothing to tell.
pub(crate) fn whole(entry: &Entry, key: Key) -> Option<Fragment> {
    use catherd_core::session::Fetched;

    match Entry::fetch(Some(entry), key, now(), &Vector::new()) {
        Fetched::Fragment(fragment) => Some(fragment),
        Fetched::Unknown => None,
        Fetched::Same => panic!("whoever holds nothing lacks what is here"),
    }
}

/// What the application sees and the registers do not say.
fn unlike_registers(state: &State) -> Vec<(Slot, Option<Value>)> {
    (0..4)
        .map(|name| attribute(&format!("n{name}")))
        .filter_map(|slot| {
            let value = state.value(&slot);
            let register = state.register(&slot).and_then(|r| r.value.clone());
            (value != register).then_some((slot, value))
        })
        .collect()
}

fn versions_never_fall(before: &State, after: &State) {
    for (slot, register) in before.registers() {
        if let Some(after) = after.register(&slot) {
            assert!(after.version >= register.version, "{slot:?} fell");
        }
    }
}

/// What the laws speak of: what an entry is, without ages and lives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    Absent,
    Live(Birth, Vec<(Slot, Register)>, Vector),
    Ended,
}

pub(crate) fn shown(entry: Option<&Entry>) -> Shown {
    match entry {
        None => Shown::Absent,
        Some(Entry::Ended { .. }) => Shown::Ended,
        Some(Entry::Live(state)) => {
            Shown::Live(state.birth(), state.registers(), state.seen().clone())
        }
    }
}
