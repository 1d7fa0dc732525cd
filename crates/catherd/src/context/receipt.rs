//! Who has to acknowledge a write, and who has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use catherd_core::version::Incarnation;

use crate::channel::{Channel, Outcome, Ticket, View};

/// Waits for the acknowledgements of one write, or of one end. Cheap to clone; dropping it is
/// harmless.
#[derive(Clone, Debug)]
pub(crate) struct Receipt(Arc<Waits>);

#[derive(Debug)]
struct Waits {
    tickets: Vec<(Incarnation, Ticket)>,
    /// Whether the write must be on another member before it counts as durable.
    copy_wanted: bool,
    /// Whether it is the end of a session, which every member has to know.
    is_end: bool,
    /// Whether a member was missing, or not met, when it went out, and how many had been declared
    /// gone by then.
    missing: (bool, u32),
    /// What has been confirmed need not be asked again. What was missed must be: a member that
    /// acknowledges late ends the degradation.
    confirmed: AtomicBool,
}

impl Receipt {
    /// For a write that went out under `tickets`.
    pub(crate) fn new(tickets: Vec<(Incarnation, Ticket)>, copy_wanted: bool) -> Self {
        Self(Arc::new(Waits {
            tickets,
            copy_wanted,
            is_end: false,
            missing: (false, 0),
            confirmed: AtomicBool::new(false),
        }))
    }

    /// For the end of a session that went out to the members of `view`.
    pub(crate) fn of_an_end(tickets: Vec<(Incarnation, Ticket)>, view: &View) -> Self {
        Self(Arc::new(Waits {
            tickets,
            copy_wanted: false,
            is_end: true,
            missing: gone(view),
            confirmed: AtomicBool::new(false),
        }))
    }

    /// The same frame seen as a write: a change of id carries the session to its new key.
    pub(crate) fn of_a_write(&self, copy_wanted: bool) -> Self {
        Self::new(self.0.tickets.clone(), copy_wanted)
    }

    /// Whether the end that went out may be unknown to a member that is missing, or was at any time
    /// since: one that came back meanwhile learns of it in its sync, and serves until then.
    pub(crate) fn is_pending(&self, view: &View) -> bool {
        let (was_missing, declared_gone) = self.0.missing;
        was_missing || (false, declared_gone) != gone(view)
    }

    /// Whether all who had to have acknowledged; if not, the answer says "degraded".
    pub(crate) fn poll(&self, channel: &dyn Channel, cx: &mut Context<'_>) -> Poll<bool> {
        if self.0.confirmed.load(Ordering::Relaxed) {
            return Poll::Ready(true);
        }
        let (mut acknowledged, mut missed, mut open) = (0, 0, false);
        for &(_, ticket) in &self.0.tickets {
            match channel.poll_acknowledged(ticket, cx) {
                Poll::Pending => open = true,
                Poll::Ready(Outcome::Acknowledged | Outcome::Ended | Outcome::Twin) => {
                    acknowledged += 1;
                }
                // For an end it does not count that somebody else knows of it: who is cut off from
                // this node may still serve the session.
                Poll::Ready(Outcome::Gone) if self.0.is_end => missed += 1,
                // Neither is a miss of its own: what counts is that somebody else has it.
                Poll::Ready(Outcome::Gone | Outcome::Unheld) => {}
                Poll::Ready(Outcome::Unacknowledged) => missed += 1,
            }
        }
        if open {
            return Poll::Pending;
        }
        let confirmed = missed == 0 && (acknowledged > 0 || !self.0.copy_wanted);
        self.0.confirmed.store(confirmed, Ordering::Relaxed);
        Poll::Ready(confirmed)
    }

    /// Waits likewise, for an end; gives the members that have not acknowledged.
    pub(crate) fn poll_missed(
        &self,
        channel: &dyn Channel,
        cx: &mut Context<'_>,
    ) -> Poll<Vec<Incarnation>> {
        let (mut missed, mut open) = (Vec::new(), false);
        for &(member, ticket) in &self.0.tickets {
            match channel.poll_acknowledged(ticket, cx) {
                Poll::Pending => open = true,
                Poll::Ready(Outcome::Unacknowledged | Outcome::Gone) => missed.push(member),
                Poll::Ready(
                    Outcome::Acknowledged | Outcome::Ended | Outcome::Twin | Outcome::Unheld,
                ) => {}
            }
        }
        if open {
            return Poll::Pending;
        }
        Poll::Ready(missed)
    }
}

fn gone(view: &View) -> (bool, u32) {
    (
        view.is_any_missing() || view.is_any_unmet,
        view.declared_gone,
    )
}
