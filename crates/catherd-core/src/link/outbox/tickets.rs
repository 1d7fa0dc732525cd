//! What has become of the frames of a link, for whoever asks, however late.
//!
//! Only frames under way have a record. Of those that are settled for good the exceptions are
//! kept, the newest [`EXCEPTIONS_MAX`]: a frame that was acknowledged needs no memory at all.
//! Where exceptions had to be forgotten, every settled frame of that time counts as
//! unacknowledged: an answer may then be flagged needlessly, and never the other way round.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::key::Key;
use crate::link::frame::{ContextId, FrameClass, Outcome, Ticket};
use crate::planted::{Bug, is_planted};
use crate::time::Time;

/// How many frames with another end than an acknowledgement are remembered: 16 bytes and the
/// map's own each.
pub(super) const EXCEPTIONS_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Tickets {
    ack_timeout: Duration,
    last: Ticket,
    /// Frames that are queued or unacknowledged. Their instants ascend as their tickets do.
    under_way: BTreeMap<Ticket, Record>,
    /// The payloads of those that are given out.
    written_bytes: usize,
    exceptions: BTreeMap<Ticket, Outcome>,
    /// Exceptions up to this ticket have been forgotten.
    forgotten: Ticket,
    /// Frames under way up to this ticket have had their deadline.
    overdue: Ticket,
    /// The clock as it was last seen, since callers may read it in one order and come in another.
    now: Time,
    is_closed: bool,
    /// After the closing: frames up to this ticket have been marked.
    marked: Ticket,
}

/// A frame under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) context: ContextId,
    pub(super) key: Key,
    pub(super) class: FrameClass,
    /// Listed as behind: the peer has it, and answers.
    pub(super) is_behind: bool,
    pushed: Time,
    /// The length of its payload once it is given out; 0 before.
    written_bytes: usize,
    /// Settled before its end is known, since nobody is to wait longer.
    settled: Option<Outcome>,
}

impl Tickets {
    pub(super) fn new(ack_timeout: Duration) -> Self {
        Self {
            ack_timeout,
            last: Ticket(0),
            under_way: BTreeMap::new(),
            written_bytes: 0,
            exceptions: BTreeMap::new(),
            forgotten: Ticket(0),
            overdue: Ticket(0),
            now: Time::START,
            is_closed: false,
            marked: Ticket(0),
        }
    }

    /// The ticket that the next frame gets, if it gets one.
    pub(super) fn next(&self) -> Ticket {
        Ticket(self.last.0 + 1)
    }

    /// The ticket of the last frame, under way or not; that of no frame if there was none.
    pub(super) fn last(&self) -> Ticket {
        self.last
    }

    /// The next frame is under way; it may be settled already.
    pub(super) fn begin(
        &mut self,
        now: Time,
        (context, key): (ContextId, Key),
        class: FrameClass,
        settled: Option<Outcome>,
    ) {
        self.now = self.now.max(now);
        self.last = self.next();
        let pushed = self.now;
        let record = Record {
            context,
            key,
            class,
            is_behind: false,
            pushed,
            written_bytes: 0,
            settled,
        };
        self.under_way.insert(self.last, record);
    }

    /// The next frame will not be under way.
    pub(super) fn drop_next(&mut self, outcome: Outcome) {
        self.last = self.next();
        self.except(self.last, outcome);
    }

    pub(super) fn outcome(&self, ticket: Ticket) -> Option<Outcome> {
        if let Some(record) = self.under_way.get(&ticket) {
            return record.settled.or(self.is_closed.then_some(Outcome::Gone));
        }
        if ticket == Ticket(0) || ticket > self.last {
            return Some(Outcome::Gone);
        }
        let cautious = if ticket <= self.forgotten {
            Outcome::Unacknowledged
        } else {
            Outcome::Acknowledged
        };
        Some(self.exceptions.get(&ticket).copied().unwrap_or(cautious))
    }

    /// Nobody waits for the frame any longer, whose end is still open.
    pub(super) fn settle(&mut self, ticket: Ticket, outcome: Outcome) -> bool {
        let Some(record) = self.under_way.get_mut(&ticket) else {
            return false;
        };
        let is_first = record.settled.is_none();
        record.settled.get_or_insert(outcome);
        is_first
    }

    /// Nobody waits for any fragment that is under way; whether somebody did.
    pub(super) fn settle_fragments(&mut self, outcome: Outcome) -> bool {
        let mut is_any = false;
        for record in self.under_way.values_mut() {
            if record.class == FrameClass::Fragment && record.settled.is_none() {
                record.settled = Some(outcome);
                is_any = true;
            }
        }
        is_any
    }

    /// The end of a frame is known.
    pub(super) fn end(&mut self, ticket: Ticket, outcome: Outcome) -> Option<Record> {
        let record = self.under_way.remove(&ticket)?;
        self.written_bytes -= record.written_bytes;
        if outcome != Outcome::Acknowledged {
            self.except(ticket, outcome);
        }
        Some(record)
    }

    pub(super) fn record(&self, ticket: Ticket) -> Option<&Record> {
        self.under_way.get(&ticket)
    }

    /// The frame is given out, with so long a payload.
    pub(super) fn set_written(&mut self, ticket: Ticket, bytes: usize) {
        if let Some(record) = self.under_way.get_mut(&ticket) {
            record.written_bytes = bytes;
            self.written_bytes += bytes;
        }
    }

    /// The payloads of frames that are given out and unacknowledged.
    pub(super) fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    pub(super) fn set_behind(&mut self, ticket: Ticket) {
        if let Some(record) = self.under_way.get_mut(&ticket) {
            record.is_behind = true;
        }
    }

    pub(super) fn age(&self, now: Time, ticket: Ticket) -> Option<Duration> {
        self.under_way
            .get(&ticket)
            .map(|record| now.since(record.pushed))
    }

    /// How long ago the oldest frame under way was pushed.
    pub(super) fn oldest_age(&self, now: Time) -> Option<Duration> {
        let (_, record) = self.under_way.first_key_value()?;
        (!self.is_closed).then(|| now.since(record.pushed))
    }

    /// Whether no frame up to this one is under way any more.
    pub(super) fn is_past(&self, ticket: Ticket) -> bool {
        let first = self.under_way.first_key_value();
        self.is_closed || first.is_none_or(|(&first, _)| first > ticket)
    }

    /// When the next frame under way is overdue.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.is_closed || self.under_way.is_empty() {
            return None;
        }
        let mut waiting = self.under_way.range(self.overdue.following()..);
        waiting
            .next()
            .map(|(_, record)| record.pushed + self.ack_timeout)
    }

    /// The next frame that is overdue since this was last asked. It is settled.
    pub(super) fn next_overdue(&mut self, now: Time) -> Option<Record> {
        self.now = self.now.max(now);
        let due = self.deadline().is_some_and(|deadline| deadline <= self.now);
        let mut waiting = self
            .under_way
            .range_mut(self.overdue.following()..)
            .take(due.into());
        let (&ticket, record) = waiting.next()?;
        self.overdue = ticket;
        record
            .settled
            .get_or_insert(if is_planted(Bug::CountsTimeoutsAsCopies) {
                Outcome::Acknowledged
            } else {
                Outcome::Unacknowledged
            });
        Some(*record)
    }

    /// Whether a frame is overdue that the peer has not even said to be behind.
    pub(super) fn is_any_unanswered(&self) -> bool {
        self.under_way
            .range(..=self.overdue)
            .any(|(_, record)| !record.is_behind)
    }

    /// No frame under way will come to its end.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.written_bytes = 0;
        for record in self.under_way.values_mut() {
            record.written_bytes = 0;
        }
    }

    /// After the closing, one by one: the frames that were under way.
    pub(super) fn next_lost(&mut self) -> Option<Record> {
        if !self.is_closed {
            return None;
        }
        let (&ticket, record) = self.under_way.range(self.marked.following()..).next()?;
        self.marked = ticket;
        Some(*record)
    }

    fn except(&mut self, ticket: Ticket, outcome: Outcome) {
        self.exceptions.insert(ticket, outcome);
        if self.exceptions.len() > EXCEPTIONS_MAX
            && let Some((oldest, _)) = self.exceptions.pop_first()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
    }
}

impl Ticket {
    fn following(self) -> Self {
        Self(self.0 + 1)
    }
}
