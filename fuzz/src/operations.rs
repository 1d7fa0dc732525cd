//! Bytes as a history: writes, ends, changes of id, deliveries, losses on three nodes.

use catherd_core::key::Key;
use catherd_core::message::Message;
use catherd_core::session::{
    Birth, Content, DigestKey, Entry, Extent, Fetched, Fragment, Name, Rules, Slot, State, Value,
    Writer,
};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::time::Time;
use catherd_core::version::{Dot, Incarnation, Vector};

use crate::messages::{decode, frames, to_frame};

const NODES: usize = 3;
const KEY: Key = Key::from_bits(1);
const LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
const OPERATIONS_MAX: usize = 400;

/// Two bytes are one operation: which, on which node, and with what. At the end the nodes send
/// each other all that they have; twice, and they are equal.
pub fn session_operations(data: &[u8]) {
    let mut nodes = Nodes::new();
    let (operations, _) = data.as_chunks::<2>();
    for &[operation, with] in operations.iter().take(OPERATIONS_MAX) {
        nodes.operate(usize::from(operation >> 4) % NODES, operation & 0xf, with);
    }
    nodes.exchange();
    nodes.exchange();
    nodes.are_equal();
}

struct Nodes {
    nodes: Vec<(Writer, PlainTable)>,
    sent: Vec<Fragment>,
    serial: u64,
}

const RULES: Rules = Rules {
    removals_kept: 2,
    session_bytes_max: 1 << 16,
};

fn now() -> Time {
    Time::START
}

impl Nodes {
    fn new() -> Self {
        let node = |bits| {
            let writer = Writer {
                incarnation: Incarnation::from_bits(bits),
                gone: 0,
                floor: 0,
            };
            (writer, PlainTable::new(DigestKey::new("fuzz")))
        };
        Self {
            nodes: (1..=NODES as u64).map(node).collect(),
            sent: Vec::new(),
            serial: 0,
        }
    }

    fn operate(&mut self, node: usize, operation: u8, with: u8) {
        match operation {
            0 => self.create(node),
            1..=3 => self.set(node, with, true),
            4 => self.set(node, with, false),
            5..=7 => self.commit(node, Extent::Changes),
            8 => self.commit(node, Extent::Entire),
            9..=11 => self.deliver_sent(node, with),
            12 => self.send_whole(node, usize::from(with) % NODES),
            13 => self.send_since(node, with),
            14 => self.nodes[node].0.gone += 1,
            _ if with < 64 => self.end(node),
            _ if with < 128 => self.change_id(node),
            _ => {
                self.on_live(node, |state, _| state.discard());
            }
        }
    }

    /// A session under the key of all; where somebody else has created one, they are twins.
    fn create(&mut self, node: usize) {
        let birth = self.next_birth(node);
        let created = self.nodes[node].1.change(KEY, now(), |entry| {
            let is_new = entry.is_none();
            entry.get_or_insert_with(|| Entry::Live(State::new(birth, now())));
            is_new
        });
        if created {
            self.set(node, 0, true);
            self.commit(node, Extent::Changes);
        }
    }

    fn next_birth(&mut self, node: usize) -> Birth {
        self.serial += 1;
        Birth {
            incarnation: self.nodes[node].0.incarnation,
            serial: self.serial,
        }
    }

    fn live(&self, node: usize) -> Option<Key> {
        let table = &self.nodes[node].1;
        let is_live = |key: &Key| table.entry(*key).is_some_and(|e| e.live().is_some());
        table.keys().into_iter().rev().find(is_live)
    }

    fn on_live<R>(
        &self,
        node: usize,
        f: impl FnOnce(&mut State, &Writer) -> R,
    ) -> Option<(Key, R)> {
        let key = self.live(node)?;
        let (writer, table) = &self.nodes[node];
        let result = table.change(key, now(), |entry| {
            let state = entry.as_mut().and_then(Entry::live_mut);
            f(state.expect("a live key was looked for"), writer)
        });
        Some((key, result))
    }

    fn set(&mut self, node: usize, name: u8, is_set: bool) {
        self.serial += 1;
        let name = Name::new(&format!("n{}", name % 5)).expect("a short name");
        let value = is_set.then(|| Value::new(&self.serial.to_le_bytes()));
        self.on_live(node, |state, _| {
            state
                .set(Slot::Attribute(name), value, &RULES)
                .expect("five small values");
        });
    }

    fn commit(&mut self, node: usize, extent: Extent) {
        let committed = self.on_live(node, |state, by| state.commit(now(), by, extent, &RULES));
        if let Some((key, Some(write))) = committed {
            self.send(Fragment {
                key,
                content: Content::Write(write),
            });
        }
    }

    /// What is sent is what a decoder makes of the bytes.
    fn send(&mut self, fragment: Fragment) {
        let message = Message::Fragments {
            context: "/".to_owned(),
            fragments: vec![fragment],
        };
        let frame = to_frame(&message);
        let (frames, _) = frames(&frame, frame.len());
        let decoded = frames
            .first()
            .and_then(|(head, payload)| decode(head.kind, payload));
        assert_eq!(decoded.as_ref(), Some(&message));
        if let Some(Message::Fragments { fragments, .. }) = decoded {
            self.sent.extend(fragments);
        }
    }

    fn deliver_sent(&self, node: usize, which: u8) {
        let mut newest_first = self.sent.iter().rev();
        let count = self.sent.len().max(1);
        if let Some(fragment) = newest_first.nth(usize::from(which) % count) {
            self.deliver(node, fragment);
        }
    }

    fn deliver(&self, node: usize, fragment: &Fragment) {
        let table = &self.nodes[node].1;
        let merged = table.change(fragment.key, now(), |entry| {
            Entry::merge(entry, now(), fragment, &RULES)
        });
        assert_eq!(merged.corrupt, 0);
        assert_eq!(table.digests(), table.digests_anew(now()));
    }

    fn whole(&self, node: usize, key: Key) -> Option<Fragment> {
        let entry = self.nodes[node].1.entry(key);
        match Entry::fetch(entry.as_ref(), key, now(), &Vector::new()) {
            Fetched::Fragment(fragment) => Some(fragment),
            Fetched::Same | Fetched::Unknown => None,
        }
    }

    fn send_whole(&self, from: usize, to: usize) {
        for key in self.nodes[from].1.keys() {
            if let Some(whole) = self.whole(from, key) {
                self.deliver(to, &whole);
            }
        }
    }

    fn send_since(&mut self, node: usize, back: u8) {
        let since = self.on_live(node, |state, by| {
            let writer = by.incarnation;
            let last = state.seen().revision(writer);
            let revision = last.saturating_sub(u64::from(back % 8));
            (last > 0).then(|| state.since(now(), Dot { writer, revision }))
        });
        if let Some((key, Some(write))) = since {
            self.send(Fragment {
                key,
                content: Content::Write(write),
            });
        }
    }

    fn end(&mut self, node: usize) {
        let Some(key) = self.live(node) else { return };
        let table = &self.nodes[node].1;
        if let Some(end) = table.change(key, now(), |entry| Entry::end(entry, key, now(), LIFE)) {
            self.send(end);
        }
    }

    fn change_id(&mut self, node: usize) {
        let Some(key) = self.live(node) else { return };
        let birth = self.next_birth(node);
        let new_key = Key::from_bits(KEY.bits() + u128::from(self.serial));
        let (by, table) = &self.nodes[node];
        let changed = table.change_two((key, new_key), now(), |old, new| {
            Entry::change_id((key, old), (new_key, new), birth, now(), by, LIFE, &RULES)
        });
        if let Some(changed) = changed {
            self.send(changed.new);
            if let Some(old) = changed.old {
                self.send(old);
            }
        }
    }

    fn exchange(&self) {
        for from in 0..NODES {
            for to in (0..NODES).filter(|to| *to != from) {
                self.send_whole(from, to);
            }
        }
    }

    fn are_equal(&self) {
        for (_, table) in &self.nodes {
            for key in table.keys() {
                let entry = table.entry(key);
                let is_behind = entry.and_then(|e| e.live().map(State::is_behind));
                assert_ne!(is_behind, Some(true), "{key:?}: every writer is here");
            }
        }
        let first = self.nodes[0].1.digests();
        assert!(self.nodes.iter().all(|(_, table)| table.digests() == first));
    }
}
