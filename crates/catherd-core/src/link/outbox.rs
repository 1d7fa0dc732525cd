//! The sending half of a link: queue, bound, numbers, deadlines.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::ledger::Ledger;
use super::{Ack, ContextId, Frame, FrameClass, Outcome, Ticket};
use crate::key::Key;
use crate::message::put_fragments_head;
use crate::time::Time;

/// Whether queued writes of one session become one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Joining {
    /// They do (`asynchronous`).
    Join,
    /// They do not, unless the queue is full.
    Keep,
}

/// When a write counts as acknowledged (`waitForAck`). The end of a session always has to be
/// applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Confirm {
    /// When the member has applied it.
    Applied,
    /// When it is handed to the operating system.
    Written,
}

/// What holds for a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboxConfig {
    /// Whether queued writes of one session become one.
    pub joining: Joining,
    /// When a write counts as acknowledged.
    pub confirm: Confirm,
    /// How many bytes may be queued (`maxQueueBytes`). Ends of sessions come on top.
    pub queue_bytes_max: usize,
    /// How many writes may be queued (`maxQueueLength`).
    pub queue_frames_max: Option<usize>,
    /// How long an acknowledgement is waited for (`ackTimeout`).
    pub ack_timeout: Duration,
    /// With so many bytes queued, they are written although something is unacknowledged.
    pub write_ahead_bytes: usize,
}

/// The sending half of a link: a state machine without a socket.
///
/// After every call of another method, drain [`poll`](Self::poll); after
/// [`push`](Self::push), [`acknowledged`](Self::acknowledged) and [`fill`](Self::fill), write what
/// [`to_write`](Self::to_write) gives and encode what [`take_joined`](Self::take_joined) names.
#[derive(Debug)]
pub struct Outbox {
    config: OutboxConfig,
    ledger: Ledger,
    control: VecDeque<Bytes>,
    tombstones: VecDeque<Queued>,
    writes: VecDeque<Queued>,
    queued_bytes: usize,
    /// Queued entries that a later write of their session may join.
    joinable: BTreeMap<(ContextId, Key), Ticket>,
    /// Frames that were written and are neither acknowledged nor given up.
    flying: VecDeque<Flying>,
    written: u64,
    acknowledged: u64,
    /// Given out, and not yet known to be with the operating system.
    unwritten: Vec<Ticket>,
    suspect: bool,
    closed: bool,
    effects: VecDeque<OutboxEffect>,
    shed: u64,
    joined: u64,
    timeouts: u64,
}

#[derive(Debug)]
struct Queued {
    at: Time,
    context: ContextId,
    key: Key,
    since: Option<u64>,
    class: FrameClass,
    /// The first of them names the entry; a joined one has several.
    tickets: Vec<Ticket>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Encoded(Bytes),
    /// To be encoded from the copy when its turn comes.
    Joined,
    /// The shell is encoding it; nothing joins it any more.
    Encoding,
}

#[derive(Debug)]
struct Flying {
    number: u64,
    deadline: Time,
    context: ContextId,
    key: Key,
    tickets: Vec<Ticket>,
    /// Covered by an acknowledgement, and listed as behind.
    behind: bool,
}

/// A joined entry whose turn has come: to be encoded from the copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ToEncode {
    /// Names the entry, for [`Outbox::fill`].
    pub ticket: Ticket,
    /// The context.
    pub context: ContextId,
    /// The session.
    pub key: Key,
    /// From which revision of this node on; `None` for a whole session.
    pub since: Option<u64>,
}

/// What a link wants done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutboxEffect {
    /// Frames have settled: wake who waits for them.
    Settled,
    /// The member did not acknowledge in time; it is not waited for until it does.
    Suspect,
    /// A suspect member has acknowledged something.
    Recovered,
    /// The member may lack something of this session: its bucket needs repair.
    Marked {
        /// The context.
        context: ContextId,
        /// The session.
        key: Key,
    },
    /// A write met a tombstone at the member: this node does not know yet that the session ended.
    Ended {
        /// The context.
        context: ContextId,
        /// The session.
        key: Key,
    },
}

/// A link at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutboxSnapshot {
    /// Frames that are not given out yet.
    pub queued_frames: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// The age of the oldest frame that is not settled.
    pub oldest: Option<Duration>,
    /// Frames that are written and not acknowledged.
    pub unacknowledged_frames: usize,
    /// Whether the member is not waited for at present.
    pub is_suspect: bool,
    /// Frames written so far.
    pub written_frames: u64,
    /// Writes that were dropped and marked because the queue was full.
    pub shed: u64,
    /// Writes that joined one that was queued.
    pub joined: u64,
    /// Frames that were not acknowledged in time.
    pub timeouts: u64,
}

/// A member acknowledges what it cannot have: close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AckError {
    /// It acknowledges a frame that was never written.
    NeverSent {
        /// The number that it names.
        number: u64,
        /// The number of the last frame written.
        written: u64,
    },
    /// It takes back what it had acknowledged.
    Backwards,
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverSent { number, written } => {
                write!(
                    f,
                    "acknowledges frame {number}; the last one sent is {written}"
                )
            }
            Self::Backwards => f.write_str("takes back an acknowledgement"),
        }
    }
}

impl std::error::Error for AckError {}

impl Outbox {
    /// The outbox of a new connection.
    pub fn new(config: OutboxConfig) -> Self {
        Self {
            config,
            ledger: Ledger::default(),
            control: VecDeque::new(),
            tombstones: VecDeque::new(),
            writes: VecDeque::new(),
            queued_bytes: 0,
            joinable: BTreeMap::new(),
            flying: VecDeque::new(),
            written: 0,
            acknowledged: 0,
            unwritten: Vec::new(),
            suspect: false,
            closed: false,
            effects: VecDeque::new(),
            shed: 0,
            joined: 0,
            timeouts: 0,
        }
    }

    /// Queues a frame.
    pub fn push(&mut self, now: Time, frame: Frame) -> Ticket {
        let ticket = self.ledger.open();
        if self.closed {
            self.mark(frame.context, frame.key);
            return ticket;
        }
        let session = (frame.context, frame.key);
        match frame.class {
            FrameClass::Tombstone => {
                // Writes of the session behind it would only meet it.
                self.joinable.remove(&session);
                self.tombstones.push_back(Queued::new(now, frame, ticket));
            }
            FrameClass::Fragment => {
                if self.suspect {
                    // Sent all the same; nobody waits for it.
                    self.ledger.settle(ticket, Outcome::Unacknowledged);
                    self.mark(frame.context, frame.key);
                }
                if self.config.joining == Joining::Join && self.join(session, ticket) {
                    return ticket;
                }
                self.queued_bytes += frame.payload.len();
                self.joinable.insert(session, ticket);
                self.writes.push_back(Queued::new(now, frame, ticket));
                self.shrink();
            }
        }
        ticket
    }

    /// Queues a frame that has no number, ahead of all others; never held back.
    pub fn push_control(&mut self, frame: Bytes) {
        if !self.closed {
            self.control.push_back(frame);
        }
    }

    /// The joined entries that could be written now, were they encoded. Encode them without the
    /// link's lock, and give them back with [`fill`](Self::fill).
    pub fn take_joined(&mut self) -> Vec<ToEncode> {
        let mut turn = Vec::new();
        if !self.may_write() {
            return turn;
        }
        for entry in &mut self.writes {
            if matches!(entry.body, Body::Joined) {
                entry.body = Body::Encoding;
                self.joinable.remove(&(entry.context, entry.key));
                turn.push(ToEncode {
                    ticket: entry.tickets[0],
                    context: entry.context,
                    key: entry.key,
                    since: entry.since,
                });
            }
        }
        turn
    }

    /// The payload of an entry that was taken to be encoded; `None` if there is nothing to send
    /// any more, because the session has ended.
    pub fn fill(&mut self, ticket: Ticket, payload: Option<Bytes>) {
        let is_it =
            |entry: &Queued| entry.tickets[0] == ticket && matches!(entry.body, Body::Encoding);
        let Some(at) = self.writes.iter().position(is_it) else {
            return;
        };
        match payload {
            Some(payload) => {
                self.queued_bytes += payload.len();
                self.writes[at].body = Body::Encoded(payload);
            }
            None => {
                if let Some(entry) = self.writes.remove(at) {
                    self.settle_all(&entry.tickets, Outcome::Acknowledged);
                }
            }
        }
    }

    /// Appends what is to be written now; `false` if nothing is.
    ///
    /// Control frames always; then, if nothing is unacknowledged or enough is queued, all frames:
    /// tombstones first, writes in their order up to one that is still to be encoded.
    pub fn to_write(&mut self, now: Time, out: &mut BytesMut) -> bool {
        let before = out.len();
        for frame in self.control.drain(..) {
            out.put_slice(&frame);
        }
        if self.may_write() {
            while let Some(entry) = self.tombstones.pop_front() {
                self.put(now, entry, out);
            }
            while let Some(Queued {
                body: Body::Encoded(payload),
                ..
            }) = self.writes.front()
            {
                self.queued_bytes -= payload.len();
                let entry = self.writes.pop_front().expect("looked at above");
                self.joinable.remove(&(entry.context, entry.key));
                self.put(now, entry, out);
            }
        }
        out.len() > before
    }

    /// All that was given out is with the operating system.
    pub fn written(&mut self, _now: Time) {
        let unwritten = std::mem::take(&mut self.unwritten);
        if self.config.confirm == Confirm::Written {
            self.settle_all(&unwritten, Outcome::Acknowledged);
        }
    }

    /// The member acknowledges.
    ///
    /// # Errors
    ///
    /// It acknowledges what it cannot have. Nothing was changed; close the connection.
    pub fn acknowledged(&mut self, _now: Time, ack: &Ack) -> Result<(), AckError> {
        let named = ack
            .behind
            .iter()
            .chain(&ack.ended)
            .chain(&ack.twins)
            .copied();
        let highest = named.chain([ack.up_to]).max().unwrap_or(0);
        if highest > self.written {
            return Err(AckError::NeverSent {
                number: highest,
                written: self.written,
            });
        }
        if ack.up_to < self.acknowledged {
            return Err(AckError::Backwards);
        }
        let progress = ack.up_to > self.acknowledged;
        self.acknowledged = ack.up_to;
        let mut behind: Vec<u64> = ack.behind.clone();
        behind.sort_unstable();
        let mut kept = VecDeque::with_capacity(behind.len());
        let mut closed_gap = false;
        for mut flying in std::mem::take(&mut self.flying) {
            if flying.number > ack.up_to {
                kept.push_back(flying);
            } else if behind.binary_search(&flying.number).is_ok() {
                flying.behind = true;
                kept.push_back(flying);
            } else {
                closed_gap |= flying.behind;
                self.settle_flying(&flying, ack);
            }
        }
        self.flying = kept;
        if self.suspect && (progress || closed_gap) {
            self.suspect = false;
            self.effects.push_back(OutboxEffect::Recovered);
        }
        Ok(())
    }

    /// What became of a frame; `None` while that is open.
    pub fn outcome(&self, ticket: Ticket) -> Option<Outcome> {
        self.ledger.outcome(ticket)
    }

    /// Time has passed: gives up what was not acknowledged in time. Early calls are harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        let mut late = Vec::new();
        for flying in self.flying.iter().filter(|flying| flying.deadline <= now) {
            late.push((flying.tickets.clone(), flying.context, flying.key));
        }
        for entry in self.tombstones.iter().chain(&self.writes) {
            if entry.at + self.config.ack_timeout <= now {
                late.push((entry.tickets.clone(), entry.context, entry.key));
            }
        }
        for (tickets, context, key) in late {
            let open: Vec<_> = tickets
                .into_iter()
                .filter(|ticket| self.outcome(*ticket).is_none())
                .collect();
            if open.is_empty() {
                continue;
            }
            self.timeouts += open.len() as u64;
            self.settle_all(&open, Outcome::Unacknowledged);
            self.mark(context, key);
            if !self.suspect {
                self.suspect = true;
                self.effects.push_back(OutboxEffect::Suspect);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let open =
            |tickets: &[Ticket]| tickets.iter().any(|ticket| self.outcome(*ticket).is_none());
        let flying = self
            .flying
            .iter()
            .filter(|f| open(&f.tickets))
            .map(|f| f.deadline);
        let first = |queue: &VecDeque<Queued>| {
            let entry = queue.iter().find(|entry| open(&entry.tickets));
            entry.map(|entry| entry.at + self.config.ack_timeout)
        };
        flying
            .chain(first(&self.tombstones))
            .chain(first(&self.writes))
            .min()
    }

    /// The connection has ended: whoever waits learns that it is gone, and what was on its way is
    /// marked. A queue that outlived its member's absence would deliver writes older than a
    /// tombstone's life.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.ledger.close();
        self.control.clear();
        self.joinable.clear();
        self.queued_bytes = 0;
        let flying = std::mem::take(&mut self.flying)
            .into_iter()
            .map(|f| (f.context, f.key));
        let queued = std::mem::take(&mut self.tombstones)
            .into_iter()
            .chain(std::mem::take(&mut self.writes))
            .map(|entry| (entry.context, entry.key));
        let lost: Vec<_> = flying.chain(queued).collect();
        for (context, key) in lost {
            self.mark(context, key);
        }
        self.effects.push_back(OutboxEffect::Settled);
    }

    /// The next thing that the link wants done.
    pub fn poll(&mut self) -> Option<OutboxEffect> {
        self.effects.pop_front()
    }

    /// The link at this moment.
    pub fn snapshot(&self, now: Time) -> OutboxSnapshot {
        let queued = self
            .tombstones
            .iter()
            .chain(&self.writes)
            .map(|entry| entry.at);
        let flying = self
            .flying
            .iter()
            .map(|f| f.deadline.ago(self.config.ack_timeout));
        OutboxSnapshot {
            queued_frames: self.tombstones.len() + self.writes.len(),
            queued_bytes: self.queued_bytes,
            oldest: queued.chain(flying).min().map(|at| now.since(at)),
            unacknowledged_frames: self.flying.len(),
            is_suspect: self.suspect,
            written_frames: self.written,
            shed: self.shed,
            joined: self.joined,
            timeouts: self.timeouts,
        }
    }

    /// Whether the acknowledgement that is the clock has come, or too much is queued to wait.
    fn may_write(&self) -> bool {
        self.acknowledged == self.written || self.queued_bytes >= self.config.write_ahead_bytes
    }

    fn put(&mut self, now: Time, entry: Queued, out: &mut BytesMut) {
        let Body::Encoded(payload) = entry.body else {
            unreachable!("what is still to be encoded stays in the queue")
        };
        self.written += 1;
        put_fragments_head(out, self.written, payload.len());
        out.put_slice(&payload);
        if entry.class == FrameClass::Fragment {
            self.unwritten.extend(&entry.tickets);
        }
        self.flying.push_back(Flying {
            number: self.written,
            deadline: now + self.config.ack_timeout,
            context: entry.context,
            key: entry.key,
            tickets: entry.tickets,
            behind: false,
        });
    }

    fn settle_flying(&mut self, flying: &Flying, ack: &Ack) {
        let outcome = if ack.ended.contains(&flying.number) {
            let (context, key) = (flying.context, flying.key);
            self.effects.push_back(OutboxEffect::Ended { context, key });
            Outcome::Ended
        } else if ack.twins.contains(&flying.number) {
            Outcome::Twin
        } else {
            Outcome::Acknowledged
        };
        self.settle_all(&flying.tickets, outcome);
    }

    fn settle_all(&mut self, tickets: &[Ticket], outcome: Outcome) {
        let mut any = false;
        for &ticket in tickets {
            any |= self.ledger.settle(ticket, outcome);
        }
        if any && self.effects.back() != Some(&OutboxEffect::Settled) {
            self.effects.push_back(OutboxEffect::Settled);
        }
    }

    /// A second write of a session that is still queued turns its entry into "from here on".
    fn join(&mut self, session: (ContextId, Key), ticket: Ticket) -> bool {
        let Some(first) = self.joinable.get(&session) else {
            return false;
        };
        let Some(entry) = self
            .writes
            .iter_mut()
            .rfind(|entry| entry.tickets[0] == *first)
        else {
            return false;
        };
        self.queued_bytes -= entry.body.len();
        entry.body = Body::Joined;
        entry.tickets.push(ticket);
        self.joined += 1;
        true
    }

    /// Over the bound, entries shrink to "from here on"; over it still, they are dropped and
    /// marked, the newest first: what is older has waited longer.
    fn shrink(&mut self) {
        if self.queued_bytes > self.config.queue_bytes_max {
            for entry in self.writes.iter_mut().rev() {
                if self.queued_bytes <= self.config.queue_bytes_max {
                    break;
                }
                if matches!(entry.body, Body::Encoded(_)) {
                    self.queued_bytes -= entry.body.len();
                    entry.body = Body::Joined;
                }
            }
            self.join_the_shrunk();
        }
        let entries_max = self.config.queue_bytes_max / ENTRY_BYTES;
        let max = self
            .config
            .queue_frames_max
            .unwrap_or(usize::MAX)
            .min(entries_max.max(1));
        while self.writes.len() > max {
            let Some(entry) = self.writes.pop_back() else {
                break;
            };
            self.queued_bytes -= entry.body.len();
            self.joinable.remove(&(entry.context, entry.key));
            self.shed += 1;
            self.settle_all(&entry.tickets, Outcome::Unacknowledged);
            self.mark(entry.context, entry.key);
        }
    }

    /// Of several shrunk entries of a session the first stands for all.
    fn join_the_shrunk(&mut self) {
        let mut first: BTreeMap<(ContextId, Key), usize> = BTreeMap::new();
        let mut kept: VecDeque<Queued> = VecDeque::with_capacity(self.writes.len());
        for entry in std::mem::take(&mut self.writes) {
            let session = (entry.context, entry.key);
            match (&entry.body, first.get(&session)) {
                (Body::Joined, Some(&at)) => {
                    kept[at].tickets.extend(entry.tickets);
                    self.joined += 1;
                    continue;
                }
                (Body::Joined, None) => {
                    first.insert(session, kept.len());
                }
                (Body::Encoded(_) | Body::Encoding, _) => {}
            }
            kept.push_back(entry);
        }
        self.writes = kept;
        self.joinable = self
            .writes
            .iter()
            .filter(|entry| !matches!(entry.body, Body::Encoding))
            .map(|entry| ((entry.context, entry.key), entry.tickets[0]))
            .collect();
    }

    fn mark(&mut self, context: ContextId, key: Key) {
        let mark = OutboxEffect::Marked { context, key };
        if self.effects.back() != Some(&mark) {
            self.effects.push_back(mark);
        }
    }
}

/// What an entry costs whose bytes were dropped: it counts against the bound as well.
const ENTRY_BYTES: usize = 128;

impl Queued {
    fn new(at: Time, frame: Frame, ticket: Ticket) -> Self {
        Self {
            at,
            context: frame.context,
            key: frame.key,
            since: frame.since,
            class: frame.class,
            tickets: vec![ticket],
            body: Body::Encoded(frame.payload),
        }
    }
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Encoded(payload) => payload.len(),
            Self::Joined | Self::Encoding => 0,
        }
    }
}
