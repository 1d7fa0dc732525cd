//! What became of each frame, for those who wait.

use std::collections::{BTreeMap, VecDeque};

/// Names a frame that was queued; later ones are higher. The default is of no frame.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub(super) u64);

/// What became of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is in the member's table; or, where nobody waits for that, handed to the operating
    /// system.
    Acknowledged,
    /// The session has ended at the member; the frame was dropped there.
    Ended,
    /// The member had another session under the key; both have ended.
    Twin,
    /// It is not known to be there: the member did not acknowledge in time, or the frame was shed.
    Unacknowledged,
    /// The connection ended first.
    Gone,
}

/// The outcomes of all frames of a link.
///
/// Frames settle nearly in the order of their tickets. So those still open stand in a short queue
/// with a state each, and of those before it only the outcomes that are not the usual one are
/// kept: the latest [`EXCEPTIONS_MAX`] of them, for a waiter that asks late.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The ticket of the first entry of `recent` is one more than this.
    base: u64,
    recent: VecDeque<Option<Outcome>>,
    exceptions: BTreeMap<u64, Outcome>,
    closed: bool,
}

impl Ledger {
    pub(super) fn open(&mut self) -> Ticket {
        self.recent.push_back(if self.closed {
            Some(Outcome::Gone)
        } else {
            None
        });
        let ticket = Ticket(self.base + self.recent.len() as u64);
        self.advance();
        ticket
    }

    /// Settles a frame that is open; `false` if it was settled before.
    pub(super) fn settle(&mut self, ticket: Ticket, outcome: Outcome) -> bool {
        let Some(at) = self.at(ticket) else {
            return false;
        };
        if self.recent[at].is_some() {
            return false;
        }
        self.recent[at] = Some(outcome);
        self.advance();
        true
    }

    /// `None` while the frame is open.
    pub(super) fn outcome(&self, ticket: Ticket) -> Option<Outcome> {
        if ticket == Ticket::default() {
            return Some(Outcome::Gone);
        }
        match self.at(ticket) {
            Some(at) => self.recent[at],
            None => Some(
                self.exceptions
                    .get(&ticket.0)
                    .copied()
                    .unwrap_or(Outcome::Acknowledged),
            ),
        }
    }

    /// Everything that is open settles as gone, and so does what comes later.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for state in &mut self.recent {
            state.get_or_insert(Outcome::Gone);
        }
        self.advance();
    }

    fn at(&self, ticket: Ticket) -> Option<usize> {
        let at = usize::try_from(ticket.0.checked_sub(self.base + 1)?).ok()?;
        (at < self.recent.len()).then_some(at)
    }

    fn advance(&mut self) {
        while let Some(Some(outcome)) = self.recent.front().copied() {
            self.recent.pop_front();
            self.base += 1;
            if outcome != Outcome::Acknowledged {
                self.exceptions.insert(self.base, outcome);
                if self.exceptions.len() > EXCEPTIONS_MAX {
                    self.exceptions.pop_first();
                }
            }
        }
    }
}

/// Waiters ask within microseconds of being woken; this many frames later nobody asks any more.
const EXCEPTIONS_MAX: usize = 16_384;
