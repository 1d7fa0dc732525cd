//! The sending half: frames queue, are numbered and written, and wait for acknowledgements.
//!
//! | file | what it holds |
//! |---|---|
//! | `queue` | fragments that wait to be written: the bound, joining, shrinking |
//! | `tickets` | what has become of each frame; deadlines |
//! | `acknowledged` | what an acknowledgement does |
//! | `snapshot` | the state in figures |

mod acknowledged;
mod queue;
mod snapshot;
#[cfg(test)]
mod tests;
mod tickets;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use self::queue::{Queue, Queued};
use self::tickets::Tickets;
use super::frame::{ContextId, Frame, FrameClass, Outcome, Ticket};
use crate::key::Key;
use crate::message::put_fragments_head;
use crate::planted::{Bug, is_planted};
use crate::time::Time;

pub use self::queue::ENTRY_BYTES;
pub use self::snapshot::{Counters, OutboxSnapshot};

/// One write gives out at most this many bytes of frames and then completes its last frame.
///
/// What is given out cannot be overtaken by a tombstone nor be dropped any more, and it is no
/// longer in the queue's bound: the rest follows in the next write.
pub const WRITE_BYTES_MAX: usize = 1 << 20;

/// No more frames than this are written and unacknowledged.
///
/// A peer that reads and never acknowledges must not make this node remember more: past it frames
/// stay in the queue, which is bounded.
pub const UNACKNOWLEDGED_MAX: usize = 65_536;

/// How an outbox behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutboxConfig {
    /// Whether writes of one session join in the queue (HOW-TO, "Replication modes":
    /// `asynchronous`).
    pub joining: Joining,
    /// What a fragment is waited for (`waitForAck`).
    pub confirm: Confirm,
    /// The bound of the queue, in bytes: payloads and [`ENTRY_BYTES`] a frame
    /// (`maxQueueBytes`). Control frames have the same bound for themselves.
    pub queue_bytes_max: usize,
    /// The bound of the queue, in frames (`maxQueueLength`).
    pub queue_frames_max: Option<usize>,
    /// How long a frame waits for its acknowledgement, from its push (`ackTimeout`).
    pub ack_timeout: Duration,
    /// Frames are written although something is unacknowledged once this many bytes of payload
    /// are queued. Greater gathers more in one write, smaller keeps large sessions flowing.
    pub write_ahead_bytes: usize,
}

/// Whether writes of one session join in the queue.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Joining {
    /// A write joins the queued entry of its session: `asynchronous`.
    Join,
    /// Each write keeps its own frame while there is room: all other modes.
    Keep,
}

/// What a fragment is waited for. A tombstone is always waited for until it is applied.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Confirm {
    /// Until the peer has applied it (`waitForAck="true"`).
    Applied,
    /// Until its bytes are handed to the operating system (`waitForAck="false"`).
    Written,
}

/// The sending half of a link. It lives as long as the connection.
///
/// Under the link's lock, and in this order:
///
/// - [`push`](Self::push) a frame, while its session is locked, and keep the ticket;
///   [`push_control`](Self::push_control) for messages without a number.
/// - Whenever the socket takes bytes, and after every push and acknowledgement:
///   [`to_write`](Self::to_write) until it says `false`; [`written`](Self::written) when the
///   operating system has all of it. Then [`take_joined`](Self::take_joined): if that gives
///   entries, encode them **without** the link's lock (the session's lock comes before it),
///   [`fill`](Self::fill) each, and begin again with `to_write`.
/// - [`acknowledged`](Self::acknowledged) for what comes back,
///   [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout),
///   [`close`](Self::close) at the end.
/// - After any of these, [`poll`](Self::poll) until `None`. After
///   [`OutboxEffect::Settled`], ask for the [`outcome`](Self::outcome) of every ticket that
///   somebody waits for.
#[derive(Debug)]
pub struct Outbox {
    config: OutboxConfig,
    control: VecDeque<Bytes>,
    control_bytes: usize,
    /// Ahead of the queue, without bound.
    tombstones: VecDeque<(Ticket, Bytes)>,
    tombstone_bytes: usize,
    queue: Queue,
    tickets: Tickets,
    /// The number of the last frame that was given out.
    last_number: u64,
    /// Everything up to this number is acknowledged, but for what is behind.
    acknowledged: u64,
    /// Frames `acknowledged + 1 ..= last_number`, in order.
    written: VecDeque<Ticket>,
    /// Frames up to `acknowledged` of sessions that lack an earlier write at the peer.
    behind: BTreeMap<u64, Ticket>,
    /// Everything up to this number is in the hands of the operating system.
    handed: u64,
    is_suspect: bool,
    /// The peer is suspect for what is overdue here, and not only elsewhere.
    is_silent: bool,
    /// The peer has acknowledged something since it became suspect.
    answers_again: bool,
    is_closed: bool,
    effects: VecDeque<OutboxEffect>,
    is_settled: bool,
    /// The number whose acknowledgement ends a measurement, and when that began.
    measured: Option<(u64, Time)>,
    round_trip: Option<Duration>,
    queued_for: Duration,
    /// Several numbered frames were given out together at last.
    gathers: bool,
    counters: Counters,
}

/// A queued entry that is to be encoded from its session's copy: everything since `since`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ToEncode {
    /// Names the entry to [`Outbox::fill`].
    pub ticket: Ticket,
    /// The context of the session.
    pub context: ContextId,
    /// The session.
    pub key: Key,
    /// The writer's revision before the first write; `None` for the whole session.
    pub since: Option<u64>,
}

/// What an outbox wants its owner to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutboxEffect {
    /// The outcome of some ticket is known, or has changed: wake whoever waits.
    Settled,
    /// The peer did not acknowledge in time: nobody waits for fragments any more. Said also where
    /// another connection had found it suspect before.
    Suspect,
    /// The peer acknowledges again, and nothing is overdue: it is waited for.
    Recovered,
    /// A write may be missing at the peer: the bucket of this key needs repair.
    Marked {
        /// The context of the session.
        context: ContextId,
        /// The session; for a change of id the new one, and the old one is missing as well.
        key: Key,
        /// What kind of frame was not delivered.
        class: FrameClass,
    },
    /// The key has ended at the peer: fetch its tombstone.
    Ended {
        /// The context of the session.
        context: ContextId,
        /// The session.
        key: Key,
    },
}

/// The peer does not read: as many bytes of control frames wait as may. Close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ControlFull;

impl fmt::Display for ControlFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many control frames wait to be written")
    }
}

impl std::error::Error for ControlFull {}

impl Outbox {
    /// The outbox of a connection that has just been opened.
    pub fn new(config: OutboxConfig) -> Self {
        Self::one_of(config, 1)
    }

    /// The same for one of so many connections to a peer, which share the bounds of the queue: each
    /// has an equal part, and room for one frame at least. Control frames have the whole bound,
    /// since they take one connection.
    pub fn one_of(config: OutboxConfig, connections: usize) -> Self {
        Self {
            config,
            control: VecDeque::new(),
            control_bytes: 0,
            tombstones: VecDeque::new(),
            tombstone_bytes: 0,
            queue: Queue::new(&config, connections),
            tickets: Tickets::new(config.ack_timeout),
            last_number: 0,
            acknowledged: 0,
            written: VecDeque::new(),
            behind: BTreeMap::new(),
            handed: 0,
            is_suspect: false,
            is_silent: false,
            answers_again: false,
            is_closed: false,
            effects: VecDeque::new(),
            is_settled: false,
            measured: None,
            round_trip: None,
            queued_for: Duration::ZERO,
            gathers: false,
            counters: Counters::default(),
        }
    }

    /// Queues a frame; the ticket says what has become of it.
    ///
    /// Without room a fragment gives up its bytes, then is dropped and marked. A tombstone goes
    /// ahead of all fragments and always has room.
    pub fn push(&mut self, now: Time, frame: Frame) -> Ticket {
        let ticket = self.tickets.next();
        let Frame {
            context,
            key,
            class,
            ..
        } = frame;
        self.counters.pushed += 1;
        if self.is_closed {
            self.tickets.drop_next(Outcome::Gone);
            self.effect(OutboxEffect::Marked {
                context,
                key,
                class,
            });
            return ticket;
        }
        if class == FrameClass::Tombstone && !is_planted(Bug::QueuesTombstones) {
            self.counters.tombstones += 1;
            self.tickets.begin(now, (context, key), class, None);
            self.tombstone_bytes += ENTRY_BYTES + frame.payload.len();
            self.tombstones.push_back((ticket, frame.payload));
            return ticket;
        }
        match self.queue.push(ticket, frame) {
            Queued::Joined(earlier) => {
                self.counters.joined += 1;
                if self.is_suspect {
                    self.is_settled |= self.tickets.settle(earlier, Outcome::Unacknowledged);
                }
                return earlier;
            }
            Queued::Shed => {
                self.counters.shed += 1;
                self.tickets.drop_next(Outcome::Unacknowledged);
                if is_planted(Bug::DropsMarks) {
                    return ticket;
                }
                self.effect(OutboxEffect::Marked {
                    context,
                    key,
                    class,
                });
                return ticket;
            }
            Queued::Shrunk => self.counters.shrunk += 1,
            Queued::Whole => {}
        }
        // Whoever pushes asks before it waits, so what is settled at once wakes nobody.
        let settled = self.is_suspect.then_some(Outcome::Unacknowledged);
        self.tickets.begin(now, (context, key), class, settled);
        ticket
    }

    /// Queues a whole encoded frame of any kind but fragments: it goes ahead of everything, is
    /// never held back and has no number.
    ///
    /// # Errors
    ///
    /// As many bytes as the queue may have wait already, since the peer does not read. The frame
    /// is dropped; the connection must be closed.
    pub fn push_control(&mut self, frame: Bytes) -> Result<(), ControlFull> {
        if self.is_closed {
            return Ok(());
        }
        // The first frame has room however large it is.
        let bytes = self.control_bytes + frame.len();
        if bytes > self.config.queue_bytes_max && !self.control.is_empty() {
            return Err(ControlFull);
        }
        self.control_bytes = bytes;
        self.control.push_back(frame);
        Ok(())
    }

    /// Entries without bytes that would be written next: encode them from their copies, without
    /// the link's lock, and [`fill`](Self::fill) each.
    pub fn take_joined(&mut self) -> Vec<ToEncode> {
        if !self.may_write() {
            return Vec::new();
        }
        self.queue.take_shrunk(WRITE_BYTES_MAX)
    }

    /// The payload of an entry that [`take_joined`](Self::take_joined) gave out; `None` if there
    /// is nothing to send any more, which counts as acknowledged.
    ///
    /// If it finds no room and is not the next frame, it is dropped, and the entry is given out
    /// again when it is the next. A ticket that waits for no payload is ignored.
    pub fn fill(&mut self, ticket: Ticket, payload: Option<Bytes>) {
        if self.queue.fill(ticket, payload) {
            self.tickets.end(ticket, Outcome::Acknowledged);
            self.is_settled = true;
            // It may have been the last one that was overdue.
            self.recover();
        }
    }

    /// Appends what is to be written now; whether that is anything.
    ///
    /// Control frames always. Frames of fragments if nothing is unacknowledged, or if
    /// [`write_ahead_bytes`](OutboxConfig::write_ahead_bytes) are queued: then all that is queued,
    /// tombstones first, up to [`WRITE_BYTES_MAX`] and up to the first entry without bytes.
    pub fn to_write(&mut self, now: Time, out: &mut BytesMut) -> bool {
        let before = out.len();
        out.reserve(self.control_bytes);
        for frame in self.control.drain(..) {
            out.extend_from_slice(&frame);
        }
        self.control_bytes = 0;
        if self.may_write() {
            let first = out.len();
            let written_before = self.written.len();
            let mut queued_for = None;
            while out.len() - first < WRITE_BYTES_MAX && self.written.len() < UNACKNOWLEDGED_MAX {
                let Some((ticket, payload)) = self.next_frame() else {
                    break;
                };
                self.last_number += 1;
                self.written.push_back(ticket);
                put_fragments_head(out, self.last_number, payload.len());
                out.extend_from_slice(&payload);
                queued_for = queued_for.max(self.tickets.age(now, ticket));
                self.tickets.set_written(ticket, payload.len());
            }
            self.queued_for = queued_for.unwrap_or(self.queued_for);
            let frames = self.written.len() - written_before;
            if frames > 0 {
                self.gathers = frames > 1;
            }
        }
        let len = out.len() - before;
        self.counters.written_bytes += len as u64;
        self.counters.writes += u64::from(len > 0);
        len > 0
    }

    /// From now on nothing is held back for an acknowledgement: this node is about to end, and what
    /// the operating system has reaches the peer all the same. Write again afterwards.
    pub fn hold_nothing_back(&mut self) {
        self.config.write_ahead_bytes = 0;
    }

    /// Everything that was given out is in the hands of the operating system.
    pub fn written(&mut self, now: Time) {
        let from = self.handed.max(self.acknowledged);
        self.handed = self.last_number;
        if from == self.handed {
            return;
        }
        self.measured.get_or_insert((self.handed, now));
        if self.config.confirm == Confirm::Applied {
            return;
        }
        let acknowledged_since = usize::try_from(from - self.acknowledged)
            .expect("no more numbers than frames in memory");
        for &ticket in self.written.iter().skip(acknowledged_since) {
            let fragment = |ticket| {
                self.tickets
                    .record(ticket)
                    .is_some_and(|it| it.class == FrameClass::Fragment)
            };
            if fragment(ticket) {
                self.is_settled |= self.tickets.settle(ticket, Outcome::Acknowledged);
            }
        }
    }

    /// Whether the last write that had numbered frames had several: then it is worth a moment to
    /// let others queue theirs before the next one.
    pub fn gathers(&self) -> bool {
        self.gathers
    }

    /// What has become of a frame; `None` while it is to be waited for.
    ///
    /// It may be asked at any time later. A ticket of no frame is [`Outcome::Gone`]. Of frames
    /// that ended otherwise than acknowledged the newest 65 536 are remembered; frames older than
    /// one that was forgotten are [`Outcome::Unacknowledged`].
    pub fn outcome(&self, ticket: Ticket) -> Option<Outcome> {
        self.tickets.outcome(ticket)
    }

    /// Whether a frame was given out that is neither acknowledged nor listed as behind.
    pub fn awaits_ack(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether the peer did not acknowledge in time, and fragments are not waited for.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Time has passed: every frame that has waited for `ack_timeout` is settled as
    /// unacknowledged and marked, though it stays under way.
    ///
    /// The peer becomes suspect, unless it has said of all of them that they are behind.
    ///
    /// Calling this early or often is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(record) = self.tickets.next_overdue(now) {
            self.counters.timeouts += 1;
            self.is_settled = true;
            self.effect(OutboxEffect::Marked {
                context: record.context,
                key: record.key,
                class: record.class,
            });
            if !record.is_behind && !self.is_silent {
                self.is_silent = true;
                self.is_suspect = true;
                self.answers_again = false;
                self.counters.suspected += 1;
                self.effects.push_back(OutboxEffect::Suspect);
            }
        }
    }

    /// Another connection to the same peer found it suspect: nobody waits for fragments here
    /// either, so that a silent peer costs its time-out once and not once a connection.
    pub fn suspect(&mut self) {
        if self.is_closed || self.is_suspect {
            return;
        }
        self.is_suspect = true;
        self.answers_again = false;
        self.is_settled |= self.tickets.settle_fragments(Outcome::Unacknowledged);
    }

    /// Another connection to the same peer found that it answers again: here it is waited for as
    /// soon as nothing is overdue.
    pub fn relieve(&mut self) {
        self.answers_again = true;
        self.recover();
    }

    /// Whether nothing is queued, and all that was written is acknowledged.
    pub fn is_drained(&self) -> bool {
        let is_queued = !self.tombstones.is_empty() || self.queue.frames() > 0;
        !is_queued && self.control.is_empty() && self.written.is_empty() && self.behind.is_empty()
    }

    /// Whether every frame up to this one has come to its end: what is pushed to another connection
    /// now cannot overtake them. One that is merely [settled](Self::outcome), for nobody is to wait
    /// longer for it, may still be under way.
    pub fn is_past(&self, ticket: Ticket) -> bool {
        self.tickets.is_past(ticket) || is_planted(Bug::SwitchesWithoutWaiting)
    }

    /// The ticket of the frame that was pushed last.
    pub fn last_ticket(&self) -> Ticket {
        self.tickets.last()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.tickets.deadline()
    }

    /// The connection has ended: nothing is given out any more, what is pending becomes
    /// [`Outcome::Gone`], and whatever was queued or unacknowledged is marked.
    ///
    /// A frame that is pushed later is gone and marked too.
    pub fn close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.is_settled = true;
        self.is_suspect = false;
        self.is_silent = false;
        self.tickets.close();
        self.control = VecDeque::new();
        self.control_bytes = 0;
        self.tombstones = VecDeque::new();
        self.tombstone_bytes = 0;
        self.queue = Queue::new(&self.config, 1);
        self.written = VecDeque::new();
        self.behind = BTreeMap::new();
    }

    /// The next thing to do; call it until `None`.
    pub fn poll(&mut self) -> Option<OutboxEffect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        // One by one, since a queue may hold a hundred thousand.
        if let Some(lost) = self.tickets.next_lost() {
            return Some(OutboxEffect::Marked {
                context: lost.context,
                key: lost.key,
                class: lost.class,
            });
        }
        std::mem::take(&mut self.is_settled).then_some(OutboxEffect::Settled)
    }

    /// The payloads of all frames that are queued, or given out and unacknowledged, in bytes.
    pub fn bytes_under_way(&self) -> usize {
        self.queued_payload_bytes() + self.tickets.written_bytes()
    }

    /// How long ago the oldest frame was pushed that is queued or unacknowledged.
    pub fn oldest_age(&self, now: Time) -> Option<Duration> {
        self.tickets.oldest_age(now)
    }

    /// The state in figures.
    pub fn snapshot(&self, now: Time) -> OutboxSnapshot {
        OutboxSnapshot {
            queued_frames: self.tombstones.len() + self.queue.frames(),
            queued_bytes: self.tombstone_bytes + self.queue.bytes(),
            tombstone_bytes: self.tombstone_bytes,
            control_bytes: self.control_bytes,
            oldest: self.tickets.oldest_age(now),
            unacknowledged_frames: self.written.len() + self.behind.len(),
            unacknowledged_bytes: self.tickets.written_bytes(),
            behind_frames: self.behind.len(),
            is_suspect: self.is_suspect,
            round_trip: self.round_trip,
            queued_for: self.queued_for,
            counters: self.counters,
            written_frames: self.last_number,
        }
    }

    /// The rule of the group commit.
    fn may_write(&self) -> bool {
        self.written.is_empty() || self.queued_payload_bytes() >= self.config.write_ahead_bytes
    }

    fn queued_payload_bytes(&self) -> usize {
        let tombstones = self.tombstone_bytes - ENTRY_BYTES * self.tombstones.len();
        tombstones + self.queue.payload_bytes()
    }

    fn next_frame(&mut self) -> Option<(Ticket, Bytes)> {
        if let Some((ticket, payload)) = self.tombstones.pop_front() {
            self.tombstone_bytes -= ENTRY_BYTES + payload.len();
            return Some((ticket, payload));
        }
        self.queue.pop()
    }

    /// Adds an effect unless it repeats the last.
    fn effect(&mut self, effect: OutboxEffect) {
        if self.effects.back() != Some(&effect) {
            self.effects.push_back(effect);
        }
    }
}
