//! The links between the nodes, and what becomes of what they carry.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catherd_core::key::Key;
use catherd_core::link::{
    Ack, Applied, Confirm, ContextId, Frame, Inbox, Joining, Outbox, OutboxConfig, OutboxEffect,
    Outcome, Ticket,
};
use catherd_core::message::{FrameReader, Message, encode_fragments};
use catherd_core::session::{Content, Entry, Fetched, Fragment, Slot};
use catherd_core::table::Table as _;
use catherd_core::time::Time;
use catherd_core::version::Dot;

use crate::Random;
use crate::node::{Made, Node};

const CONTEXT: ContextId = ContextId(0);
const NODES: usize = 3;
const POOL: usize = 2;

/// How often what happened.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) gaps: u32,
    pub(crate) breaks: u32,
    pub(crate) repeats: u32,
    pub(crate) shed: u32,
    pub(crate) ends: u32,
    pub(crate) changes: u32,
    pub(crate) discarded: u32,
}

pub(crate) struct Bed {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Time,
    pub(crate) seen: Seen,
    /// Every register that was ever written.
    pub(crate) written: Vec<(Key, Dot, Slot, Option<u64>)>,
    pub(crate) acknowledged_too_early: Vec<(usize, usize, Ticket)>,
    config: OutboxConfig,
    connections: Vec<Connection>,
    keys: Vec<Key>,
    old: Vec<Vec<Fragment>>,
    /// Who may lack something of which session: marks, and acknowledgements that never came.
    marked: BTreeSet<(usize, usize, Key)>,
}

struct Connection {
    from: usize,
    to: usize,
    outbox: Outbox,
    inbox: Inbox,
    wire: VecDeque<Bytes>,
    acks: VecDeque<Ack>,
    /// What each ticket carried, to be compared with what is acknowledged.
    carried: Vec<(Ticket, Vec<Fragment>)>,
}

impl Bed {
    pub(crate) fn new(random: &mut Random) -> Self {
        let removals_kept = [2, 64][random.below(2)];
        let joining = [Joining::Join, Joining::Keep][random.below(2)];
        let frames = [Some(3), Some(50), None][random.below(3)];
        let nodes = (1..=NODES as u64)
            .map(|number| Node::new(number, removals_kept))
            .collect();
        let config = OutboxConfig {
            joining,
            confirm: Confirm::Applied,
            queue_bytes_max: 1 << 16,
            queue_frames_max: frames,
            ack_timeout: Duration::from_secs(15),
            write_ahead_bytes: 1 << 12,
        };
        let mut connections = Vec::new();
        for from in 0..NODES {
            for to in (0..NODES).filter(|&to| to != from) {
                for _ in 0..POOL {
                    connections.push(Connection::new(from, to, config));
                }
            }
        }
        Self {
            nodes,
            now: Time::START,
            seen: Seen::default(),
            written: Vec::new(),
            acknowledged_too_early: Vec::new(),
            config,
            connections,
            keys: Vec::new(),
            old: Vec::new(),
            marked: BTreeSet::new(),
        }
    }

    pub(crate) fn step(&mut self, random: &mut Random) {
        self.now += Duration::from_millis(random.next() % 5);
        match random.below(100) {
            0..40 => self.request(random),
            40..70 => self.deliver(random),
            70..88 => self.acknowledge(random),
            88..94 => self.repeat(random),
            94..97 => self.time_out(),
            _ => self.break_one(random),
        }
    }

    /// No more faults and requests: everything arrives, and what was marked is repaired.
    pub(crate) fn quiet(&mut self) {
        loop {
            let busy = self.connections.iter().any(|connection| {
                !connection.wire.is_empty()
                    || !connection.acks.is_empty()
                    || connection.outbox.snapshot(self.now).queued_frames > 0
            });
            if !busy {
                break;
            }
            for at in 0..self.connections.len() {
                self.deliver_all(at);
            }
        }
        for (from, to, key) in std::mem::take(&mut self.marked) {
            self.pull(from, to, key);
            self.pull(to, from, key);
        }
        // Marks lead from one node to another; a second round carries them to the third.
        for key in self.keys.clone() {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
                if self.nodes.iter().any(|node| self.differs(node, key)) {
                    self.pull(from, to, key);
                    self.pull(to, from, key);
                }
            }
        }
    }

    fn differs(&self, node: &Node, key: Key) -> bool {
        let digest = |node: &Node| {
            let entry = node.table.entry(key);
            entry.map(|entry| {
                entry.digest(key, self.now, &catherd_core::session::DigestKey::new("bed"))
            })
        };
        digest(node) != digest(&self.nodes[0])
    }

    fn request(&mut self, random: &mut Random) {
        let from = random.below(NODES);
        let (now, node) = (self.now, &mut self.nodes[from]);
        let made = if self.keys.len() < 3 || random.chance(8) {
            Some(node.create(now, random))
        } else {
            let key = self.keys[random.below(self.keys.len())];
            match random.below(100) {
                0..90 => node.write(key, now, random),
                90..96 => {
                    self.seen.ends += 1;
                    node.end(key, now)
                }
                _ => {
                    self.seen.changes += 1;
                    node.change_id(key, now, random)
                }
            }
        };
        let Some(made) = made else { return };
        if !self.keys.contains(&made.key) {
            self.keys.push(made.key);
        }
        self.note(&made.fragments);
        self.send(from, &made, random);
        self.old.push(made.fragments);
    }

    fn note(&mut self, fragments: &[Fragment]) {
        for fragment in fragments {
            let Content::Write(write) = &fragment.content else {
                continue;
            };
            for (slot, register) in &write.registers {
                let hash = register.value.as_ref().map(|value| value.hash());
                self.written
                    .push((fragment.key, register.version.dot(), slot.clone(), hash));
            }
        }
    }

    fn send(&mut self, from: usize, made: &Made, random: &mut Random) {
        let payload = encode_fragments("bed", &made.fragments);
        for to in (0..NODES).filter(|&to| to != from) {
            // Not by the key, as the product does: so frames of one session overtake each other.
            let pick = random.below(POOL);
            let at = self
                .connections
                .iter()
                .enumerate()
                .filter(|(_, connection)| (connection.from, connection.to) == (from, to))
                .nth(pick)
                .unwrap()
                .0;
            let frame = Frame {
                context: CONTEXT,
                key: made.key,
                payload: payload.clone(),
                since: made.since,
                class: made.class,
            };
            let connection = &mut self.connections[at];
            let ticket = connection.outbox.push(self.now, frame);
            connection.carried.push((ticket, made.fragments.clone()));
            self.pump(at);
        }
    }

    /// Writes what the outbox allows, and encodes what it has joined.
    fn pump(&mut self, at: usize) {
        loop {
            let connection = &mut self.connections[at];
            let mut out = BytesMut::new();
            if connection.outbox.to_write(self.now, &mut out) {
                connection.outbox.written(self.now);
                connection.wire.push_back(out.freeze());
            }
            let joined = connection.outbox.take_joined();
            if joined.is_empty() {
                break;
            }
            let node = &self.nodes[connection.from];
            for entry in joined {
                let live = node
                    .table
                    .entry(entry.key)
                    .and_then(|entry| entry.live().cloned());
                let payload = live.map(|state| {
                    let write = match entry.since {
                        Some(revision) => state.since(
                            self.now,
                            Dot {
                                writer: node.me,
                                revision,
                            },
                        ),
                        None => state.whole(self.now),
                    };
                    let fragment = Fragment {
                        key: entry.key,
                        content: Content::Write(write),
                    };
                    encode_fragments("bed", &[fragment])
                });
                connection.outbox.fill(entry.ticket, payload);
            }
        }
        self.attend(at);
    }

    fn attend(&mut self, at: usize) {
        while let Some(effect) = self.connections[at].outbox.poll() {
            let (from, to) = (self.connections[at].from, self.connections[at].to);
            match effect {
                OutboxEffect::Marked { key, .. } => {
                    self.seen.shed += 1;
                    self.marked.insert((from, to, key));
                }
                OutboxEffect::Ended { key, .. } => self.pull(to, from, key),
                OutboxEffect::Settled => self.compare(at),
                OutboxEffect::Suspect | OutboxEffect::Recovered => {}
            }
        }
    }

    /// What is acknowledged must be held: in the copy's `seen`, or ended.
    fn compare(&mut self, at: usize) {
        let connection = &self.connections[at];
        let node = &self.nodes[connection.to];
        for (ticket, fragments) in &connection.carried {
            if connection.outbox.outcome(*ticket) != Some(Outcome::Acknowledged) {
                continue;
            }
            let held = fragments.iter().all(|fragment| {
                // An entry that was joined, and whose session has ended here since, is settled
                // without being sent: its tombstone is on its way.
                let own = self.nodes[connection.from].table.entry(fragment.key);
                let ended_here = own.is_none_or(|entry| entry.live().is_none());
                match (&fragment.content, node.table.entry(fragment.key)) {
                    (_, Some(Entry::Ended { .. })) => true,
                    (Content::Write(write), Some(Entry::Live(state))) => {
                        write.seen.is_within(state.seen()) || ended_here
                    }
                    (Content::Write(_), None) => ended_here,
                    (Content::Tombstone(_), _) => false,
                }
            });
            if !held {
                self.acknowledged_too_early
                    .push((connection.to, connection.from, *ticket));
            }
        }
        let outbox = &self.connections[at].outbox;
        let open: Vec<_> = self.connections[at]
            .carried
            .iter()
            .filter(|(ticket, _)| outbox.outcome(*ticket).is_none())
            .cloned()
            .collect();
        self.connections[at].carried = open;
    }

    fn deliver(&mut self, random: &mut Random) {
        let at = random.below(self.connections.len());
        self.receive(at);
        self.give_ack(at);
    }

    fn deliver_all(&mut self, at: usize) {
        while !self.connections[at].wire.is_empty() {
            self.receive(at);
        }
        self.give_ack(at);
        while !self.connections[at].acks.is_empty() {
            self.take_ack(at);
        }
        self.pump(at);
    }

    /// Applies what one read brings.
    fn receive(&mut self, at: usize) {
        let Some(bytes) = self.connections[at].wire.pop_front() else {
            return;
        };
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Some((head, payload)) = FrameReader::new(1 << 20).next(&mut buffer).unwrap() {
            let message = Message::decode(head.kind, &payload, None, 1 << 20)
                .unwrap()
                .unwrap();
            let Message::Fragments { fragments, .. } = message else {
                panic!("only fragments")
            };
            self.connections[at].inbox.receive(head.number).unwrap();
            let (from, to) = (self.connections[at].from, self.connections[at].to);
            let mut applied = (Applied::Complete, fragments[0].key);
            for fragment in &fragments {
                let outcome = self.merge(to, fragment);
                if outcome == Applied::Behind {
                    self.seen.gaps += 1;
                    self.pull(from, to, fragment.key);
                }
                if outcome == Applied::Ended {
                    self.seen.discarded += 1;
                }
                if outcome != Applied::Complete {
                    applied = (outcome, fragment.key);
                }
            }
            self.connections[at]
                .inbox
                .applied(head.number, CONTEXT, applied.1, applied.0);
        }
    }

    fn give_ack(&mut self, at: usize) {
        let to = self.connections[at].to;
        let behind: Vec<_> = self.connections[at].inbox.behind().collect();
        for (context, key) in behind {
            let entry = self.nodes[to].table.entry(key);
            if !entry.is_some_and(|entry| entry.live().is_some_and(|state| state.is_behind())) {
                self.connections[at].inbox.gap_closed(context, key);
            }
        }
        if let Some(ack) = self.connections[at].inbox.poll_ack() {
            self.connections[at].acks.push_back(ack);
        }
    }

    fn acknowledge(&mut self, random: &mut Random) {
        let at = random.below(self.connections.len());
        self.take_ack(at);
    }

    fn take_ack(&mut self, at: usize) {
        let Some(ack) = self.connections[at].acks.pop_front() else {
            return;
        };
        self.connections[at]
            .outbox
            .acknowledged(self.now, &ack)
            .unwrap();
        self.pump(at);
    }

    /// What arrived once arrives again, at any node.
    fn repeat(&mut self, random: &mut Random) {
        if self.old.is_empty() {
            return;
        }
        let fragments = self.old[random.below(self.old.len())].clone();
        let to = random.below(NODES);
        for fragment in &fragments {
            self.seen.repeats += 1;
            if self.merge(to, fragment) == Applied::Behind {
                let from = (to + 1) % NODES;
                self.pull(from, to, fragment.key);
                self.marked.insert((from, to, fragment.key));
            }
        }
    }

    fn time_out(&mut self) {
        self.now += Duration::from_secs(1);
        for at in 0..self.connections.len() {
            self.connections[at].outbox.handle_timeout(self.now);
            self.pump(at);
        }
    }

    /// A connection breaks, with what is on it; another takes its place.
    fn break_one(&mut self, random: &mut Random) {
        self.seen.breaks += 1;
        let at = random.below(self.connections.len());
        self.connections[at].outbox.close();
        self.attend(at);
        let (from, to) = (self.connections[at].from, self.connections[at].to);
        self.connections[at] = Connection::new(from, to, self.config);
    }

    /// `to` asks `from` for a session, and merges what it gets.
    fn pull(&mut self, from: usize, to: usize, key: Key) {
        let held = self.nodes[to].table.entry(key);
        let held = held.and_then(|entry| entry.live().map(|state| state.seen().clone()));
        let entry = self.nodes[from].table.entry(key);
        let held = held.unwrap_or_default();
        if let Fetched::Fragment(fragment) = Entry::fetch(entry.as_ref(), key, self.now, &held) {
            self.merge(to, &fragment);
        }
    }

    fn merge(&self, at: usize, fragment: &Fragment) -> Applied {
        let node = &self.nodes[at];
        let merged = node.table.change(fragment.key, self.now, |entry| {
            Entry::merge(entry, self.now, fragment, &node.rules)
        });
        assert_eq!(merged.corrupt, 0, "one dot, two values");
        use catherd_core::session::Outcome as Merge;
        match merged.outcome {
            Merge::Complete | Merge::Idle => Applied::Complete,
            Merge::Behind => Applied::Behind,
            Merge::Ended => Applied::Ended,
            Merge::Twin => Applied::Twin,
        }
    }
}

impl Connection {
    fn new(from: usize, to: usize, config: OutboxConfig) -> Self {
        Self {
            from,
            to,
            outbox: Outbox::new(config),
            inbox: Inbox::new(),
            wire: VecDeque::new(),
            acks: VecDeque::new(),
            carried: Vec::new(),
        }
    }
}
