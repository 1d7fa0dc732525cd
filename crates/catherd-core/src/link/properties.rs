//! An outbox and an inbox against each other: whatever happens, what the outbox says is true.
//!
//! Sessions are reduced to a revision. The sender writes, the peer merges as the protocol says
//! (a fragment fits if nothing before it is missing), and every step may be delayed: writing,
//! reading, acknowledging, encoding, closing a gap.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::key::Key;
use crate::message::{FrameKind, FrameReader, put_frame};
use crate::time::Time;

const KEYS: usize = 6;
/// Under this key the peer holds another session.
const TWIN: usize = 5;
const ACK_TIMEOUT: Duration = Duration::from_millis(100);
const ENCODED_MAX: usize = 400;
const CONTEXT: ContextId = ContextId(3);

#[derive(Clone, Debug)]
enum Step {
    Write { key: usize, len: usize },
    End { key: usize },
    Control,
    Give,
    Hand,
    Take,
    Fill,
    Deliver { frames: usize },
    CloseGap,
    Acknowledge,
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..KEYS, 0..ENCODED_MAX).prop_map(|(key, len)| Step::Write { key, len }),
        1 => (0..KEYS).prop_map(|key| Step::End { key }),
        1 => Just(Step::Control),
        4 => Just(Step::Give),
        4 => Just(Step::Hand),
        4 => Just(Step::Take),
        4 => Just(Step::Fill),
        4 => (1_usize..5).prop_map(|frames| Step::Deliver { frames }),
        2 => Just(Step::CloseGap),
        4 => Just(Step::Acknowledge),
        1 => (1_u64..60).prop_map(|millis| Step::Wait { millis }),
    ]
}

fn config() -> impl Strategy<Value = OutboxConfig> {
    let bound = prop_oneof![Just(ENTRY_BYTES * 3), Just(ENTRY_BYTES * 8), Just(1 << 20)];
    let frames = prop_oneof![3 => Just(None), 1 => Just(Some(3_usize))];
    let ahead = prop_oneof![Just(0_usize), Just(500), Just(1 << 20)];
    (any::<bool>(), any::<bool>(), bound, frames, ahead).prop_map(
        |(join, applied, queue_bytes_max, queue_frames_max, write_ahead_bytes)| OutboxConfig {
            joining: if join { Joining::Join } else { Joining::Keep },
            confirm: if applied {
                Confirm::Applied
            } else {
                Confirm::Written
            },
            queue_bytes_max,
            queue_frames_max,
            ack_timeout: ACK_TIMEOUT,
            write_ahead_bytes,
        },
    )
}

/// The peer's copy of a session.
#[derive(Clone, Copy, Debug, Default)]
struct Copy {
    seen: u64,
    told: u64,
    is_ended: bool,
    /// The order of the last fragment that came.
    order: u64,
}

#[derive(Clone, Copy, Debug)]
struct Push {
    ticket: Ticket,
    key: usize,
    revision: u64,
    class: FrameClass,
    at: Time,
}

struct World {
    config: OutboxConfig,
    now: Time,
    outbox: Outbox,
    inbox: Inbox,
    /// The sender's sessions: their revision, and whether they have ended.
    sessions: [(u64, bool); KEYS],
    copies: [Copy; KEYS],
    pushes: Vec<Push>,
    encoding: VecDeque<ToEncode>,
    given: BytesMut,
    wire: BytesMut,
    acks: VecDeque<Ack>,
    marked: BTreeSet<Key>,
    /// Sessions of which a fragment was shed: only they may have gaps.
    shed: BTreeSet<usize>,
}

fn key_of(key: usize) -> Key {
    Key::from_bits(key as u128)
}

/// Key, order, `since` and revision, and then as many bytes as are wanted.
fn payload(key: usize, order: u64, since: Option<u64>, revision: u64, len: usize) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_u64(key as u64);
    payload.put_u64(order);
    payload.put_u64(since.unwrap_or(u64::MAX));
    payload.put_u64(revision);
    payload.put_bytes(0, len);
    payload.freeze()
}

impl World {
    fn new(config: OutboxConfig) -> Self {
        Self {
            config,
            now: Time::START,
            outbox: Outbox::new(config),
            inbox: Inbox::new(),
            sessions: [(0, false); KEYS],
            copies: [Copy::default(); KEYS],
            pushes: Vec::new(),
            encoding: VecDeque::new(),
            given: BytesMut::new(),
            wire: BytesMut::new(),
            acks: VecDeque::new(),
            marked: BTreeSet::new(),
            shed: BTreeSet::new(),
        }
    }

    fn take_step(&mut self, step: &Step) {
        match *step {
            Step::Write { key, len } => self.write(key, len),
            Step::End { key } => self.end(key),
            Step::Control => {
                let mut frame = BytesMut::new();
                put_frame(&mut frame, FrameKind::Touch, b"ages");
                self.outbox.push_control(frame.freeze()).unwrap();
            }
            Step::Give => self.give(),
            Step::Hand => self.hand(),
            Step::Take => self.encoding.extend(self.outbox.take_joined()),
            Step::Fill => self.fill(),
            Step::Deliver { frames } => self.deliver(frames),
            Step::CloseGap => self.close_gap(),
            Step::Acknowledge => self.acknowledge(),
            Step::Wait { millis } => self.wait(millis),
        }
        self.drain_effects();
        self.check();
    }

    fn write(&mut self, key: usize, len: usize) {
        let (revision, is_ended) = &mut self.sessions[key];
        if *is_ended {
            return;
        }
        let since = (*revision > 0).then_some(*revision);
        *revision += 1;
        let revision = *revision;
        let order = self.pushes.len() as u64 + 1;
        let payload = payload(key, order, since, revision, len);
        self.push(key, revision, payload, since, FrameClass::Fragment);
    }

    fn end(&mut self, key: usize) {
        let (revision, is_ended) = &mut self.sessions[key];
        if std::mem::replace(is_ended, true) || *revision == 0 {
            return;
        }
        let payload = payload(key, 0, None, u64::MAX, 0);
        self.push(key, u64::MAX, payload, None, FrameClass::Tombstone);
    }

    fn push(
        &mut self,
        key: usize,
        revision: u64,
        payload: Bytes,
        since: Option<u64>,
        class: FrameClass,
    ) {
        let shed = self.outbox.snapshot(self.now).counters.shed;
        let frame = Frame {
            context: CONTEXT,
            key: key_of(key),
            payload,
            since,
            class,
        };
        let ticket = self.outbox.push(self.now, frame);
        self.pushes.push(Push {
            ticket,
            key,
            revision,
            class,
            at: self.now,
        });
        let outcome = self.outbox.outcome(ticket);
        if class == FrameClass::Tombstone {
            assert_eq!(outcome, None, "a tombstone is always waited for");
        } else if self.outbox.is_suspect() {
            assert_eq!(outcome, Some(Outcome::Unacknowledged));
        }
        let effects: Vec<_> = std::iter::from_fn(|| self.outbox.poll()).collect();
        if self.outbox.snapshot(self.now).counters.shed > shed {
            self.shed.insert(key);
            assert_eq!(class, FrameClass::Fragment, "a tombstone is never shed");
            assert_eq!(outcome, Some(Outcome::Unacknowledged));
            assert!(
                effects.contains(&marked(key)),
                "a shed fragment has its mark"
            );
        }
        effects.into_iter().for_each(|effect| self.note(effect));
    }

    /// The group commit: with something unacknowledged only control frames leave, unless enough
    /// is queued.
    fn give(&mut self) {
        if !self.given.is_empty() {
            return;
        }
        let before = self.outbox.snapshot(self.now);
        let payloads = before.queued_bytes - ENTRY_BYTES * before.queued_frames;
        let is_held = self.outbox.awaits_ack() && payloads < self.config.write_ahead_bytes;
        self.outbox.to_write(self.now, &mut self.given);
        let after = self.outbox.snapshot(self.now);
        assert_eq!(after.control_bytes, 0, "control frames are never held back");
        if is_held {
            assert_eq!(before.written_frames, after.written_frames);
        }
    }

    fn hand(&mut self) {
        self.wire.extend_from_slice(&self.given.split());
        self.outbox.written(self.now);
    }

    fn fill(&mut self) {
        let Some(entry) = self.encoding.pop_front() else {
            return;
        };
        let key = usize::try_from(entry.key.bits()).unwrap();
        let (revision, is_ended) = self.sessions[key];
        let order = self
            .pushes
            .iter()
            .position(|push| push.ticket == entry.ticket)
            .unwrap()
            + 1;
        let len = usize::try_from(revision * 31).unwrap() % ENCODED_MAX;
        let payload = payload(key, order as u64, entry.since, revision, len);
        self.outbox
            .fill(entry.ticket, (!is_ended).then_some(payload));
    }

    fn deliver(&mut self, frames: usize) {
        let reader = FrameReader::new(1 << 20);
        for _ in 0..frames {
            let Some((head, payload)) = reader.next(&mut self.wire).unwrap() else {
                break;
            };
            if head.kind == FrameKind::Fragments {
                self.inbox.receive(head.number).unwrap();
                let (key, applied) = self.apply(payload);
                let has_gap = applied == Applied::Behind;
                assert!(
                    !has_gap || self.shed.contains(&key),
                    "joining makes no gaps"
                );
                self.inbox
                    .applied(head.number, CONTEXT, key_of(key), applied);
            }
        }
        self.acks
            .extend(std::iter::from_fn(|| self.inbox.poll_ack()));
    }

    fn apply(&mut self, mut payload: Bytes) -> (usize, Applied) {
        let key = usize::try_from(payload.get_u64()).unwrap();
        let (order, since) = (payload.get_u64(), payload.get_u64());
        let revision = payload.get_u64();
        let copy = &mut self.copies[key];
        if revision == u64::MAX {
            copy.is_ended = true;
            return (key, Applied::Complete);
        }
        assert!(order > copy.order, "frames of one session keep their order");
        copy.order = order;
        if copy.is_ended {
            return (key, Applied::Ended);
        }
        if key == TWIN {
            copy.is_ended = true;
            return (key, Applied::Twin);
        }
        if since == u64::MAX || since <= copy.seen {
            copy.seen = copy.seen.max(revision);
        } else {
            copy.told = copy.told.max(revision);
        }
        (
            key,
            if copy.told <= copy.seen {
                Applied::Complete
            } else {
                Applied::Behind
            },
        )
    }

    /// The peer fetches a session that is behind.
    fn close_gap(&mut self) {
        let Some((context, key)) = self.inbox.behind().next() else {
            return;
        };
        let key = usize::try_from(key.bits()).unwrap();
        let (revision, is_ended) = self.sessions[key];
        self.copies[key].seen = revision;
        self.copies[key].is_ended |= is_ended;
        self.inbox.gap_closed(context, key_of(key));
        self.acks.extend(self.inbox.poll_ack());
    }

    fn acknowledge(&mut self) {
        if let Some(ack) = self.acks.pop_front() {
            self.outbox.acknowledged(self.now, &ack).unwrap();
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.outbox.handle_timeout(self.now);
        for push in &self.pushes {
            if self.now.since(push.at) >= ACK_TIMEOUT {
                assert_ne!(
                    self.outbox.outcome(push.ticket),
                    None,
                    "nobody waits longer"
                );
            }
        }
    }

    fn drain_effects(&mut self) {
        while let Some(effect) = self.outbox.poll() {
            self.note(effect);
        }
    }

    fn note(&mut self, effect: OutboxEffect) {
        match effect {
            OutboxEffect::Marked { context, key, .. } => {
                assert_eq!(context, CONTEXT);
                self.marked.insert(key);
            }
            OutboxEffect::Ended { key, .. } => {
                assert!(self.copies[usize::try_from(key.bits()).unwrap()].is_ended);
            }
            OutboxEffect::Settled | OutboxEffect::Suspect | OutboxEffect::Recovered => {}
        }
    }

    fn check(&self) {
        let snapshot = self.outbox.snapshot(self.now);
        let bytes = snapshot.queued_bytes - snapshot.tombstone_bytes;
        // One entry that had to be encoded at the front may stand out.
        let stands_out = 32 + ENCODED_MAX;
        assert!(
            bytes <= self.config.queue_bytes_max + stands_out,
            "{bytes} bytes are queued"
        );
        for push in &self.pushes {
            self.check_outcome(push);
        }
    }

    fn check_outcome(&self, push: &Push) {
        let copy = &self.copies[push.key];
        let is_ended = self.sessions[push.key].1;
        match self.outbox.outcome(push.ticket) {
            Some(Outcome::Acknowledged) if push.class == FrameClass::Tombstone => {
                assert!(copy.is_ended, "{push:?}");
            }
            Some(Outcome::Acknowledged) if self.config.confirm == Confirm::Applied => {
                // What has ended meanwhile needs not be sent.
                assert!(
                    copy.seen >= push.revision || copy.is_ended || is_ended,
                    "{push:?}"
                );
            }
            Some(Outcome::Ended) => assert!(copy.is_ended, "{push:?}"),
            Some(Outcome::Twin) => assert!(copy.is_ended && push.key == TWIN, "{push:?}"),
            Some(Outcome::Unheld) => panic!("the peer has every context: {push:?}"),
            Some(Outcome::Acknowledged | Outcome::Unacknowledged | Outcome::Gone) | None => {}
        }
    }

    /// Everything that was delayed happens.
    fn settle(&mut self) {
        // Each round gets at least one entry through, however small the queue.
        for _ in 0..=self.pushes.len() + KEYS {
            for step in [
                Step::Hand,
                Step::Give,
                Step::Hand,
                Step::Deliver { frames: 1000 },
                Step::CloseGap,
                Step::Take,
                Step::Fill,
            ] {
                self.take_step(&step);
            }
            while !self.acks.is_empty() {
                self.take_step(&Step::Acknowledge);
            }
            let snapshot = self.outbox.snapshot(self.now);
            if snapshot.queued_frames + snapshot.unacknowledged_frames == 0 {
                break;
            }
        }
        let snapshot = self.outbox.snapshot(self.now);
        assert_eq!(
            (snapshot.queued_frames, snapshot.queued_bytes),
            (0, 0),
            "{snapshot:?}"
        );
        assert_eq!(snapshot.unacknowledged_frames, 0);
        assert!(!snapshot.is_suspect, "it has recovered");
        let tombstones = self
            .pushes
            .iter()
            .filter(|push| push.class == FrameClass::Tombstone);
        for push in tombstones {
            assert_eq!(
                self.outbox.outcome(push.ticket),
                Some(Outcome::Acknowledged),
                "{push:?}"
            );
        }
    }

    fn check_end(&self) {
        for push in &self.pushes {
            assert_ne!(
                self.outbox.outcome(push.ticket),
                None,
                "every ticket is settled: {push:?}"
            );
        }
        for (key, &(revision, is_ended)) in self.sessions.iter().enumerate() {
            let copy = &self.copies[key];
            let is_equal = copy.is_ended || (!is_ended && copy.seen == revision) || revision == 0;
            let is_marked = self.marked.contains(&key_of(key));
            assert!(
                is_equal || is_marked,
                "session {key} differs and has no mark: {copy:?}"
            );
        }
    }
}

fn marked(key: usize) -> OutboxEffect {
    OutboxEffect::Marked {
        context: CONTEXT,
        key: key_of(key),
        class: FrameClass::Fragment,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_an_outbox_says_is_true_and_everything_is_settled(
        config in config(),
        steps in proptest::collection::vec(step(), 0..120),
        closes in any::<bool>(),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.take_step(step);
        }
        if closes {
            world.outbox.close();
            world.drain_effects();
        } else {
            world.settle();
        }
        world.check_end();
    }
}
