//! Who has to acknowledge a write, and who has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use catherd_core::version::Incarnation;

use crate::channel::{Channel, Outcome, Ticket};

/// Waits for the acknowledgements of one write, or of one end. Cheap to clone; dropping it is
/// harmless.
#[derive(Clone, Debug)]
pub(crate) struct Receipt(Arc<Waits>);

#[derive(Debug)]
struct Waits {
    tickets: Vec<(Incarnation, Ticket)>,
    /// Whether the write must be on another member before it counts as durable.
    copy_wanted: bool,
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
            confirmed: AtomicBool::new(false),
        }))
    }

    /// The same frame seen as a write: a change of id carries the session to its new key.
    pub(crate) fn of_a_write(&self, copy_wanted: bool) -> Self {
        Self::new(self.0.tickets.clone(), copy_wanted)
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
                // Gone is no miss of its own: what counts is that somebody else has it.
                Poll::Ready(Outcome::Gone) => {}
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

    /// Waits likewise; gives the members that have not acknowledged.
    pub(crate) fn poll_missed(
        &self,
        channel: &dyn Channel,
        cx: &mut Context<'_>,
    ) -> Poll<Vec<Incarnation>> {
        let (mut missed, mut open) = (Vec::new(), false);
        for &(member, ticket) in &self.0.tickets {
            match channel.poll_acknowledged(ticket, cx) {
                Poll::Pending => open = true,
                Poll::Ready(Outcome::Unacknowledged) => missed.push(member),
                Poll::Ready(_) => {}
            }
        }
        if open {
            return Poll::Pending;
        }
        Poll::Ready(missed)
    }
}
