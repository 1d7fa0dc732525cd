//! Who has to acknowledge a write, and who has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use crate::channel::{Channel, Outcome, Ticket};

/// Waits for the acknowledgements of one write, or of one end. Cheap to clone; dropping it is
/// harmless.
#[derive(Clone, Debug)]
pub(crate) struct Receipt(Arc<Waits>);

#[derive(Debug)]
struct Waits {
    tickets: Vec<Ticket>,
    /// Whether the write must be on another member before it counts as durable.
    copy_wanted: bool,
    /// [`OPEN`], [`CONFIRMED`] or [`MISSED`]: what has been settled need not be asked again.
    settled: AtomicU8,
}

const OPEN: u8 = 0;
const CONFIRMED: u8 = 1;
const MISSED: u8 = 2;

impl Receipt {
    /// For a write that went out under `tickets`.
    pub(crate) fn new(tickets: Vec<Ticket>, copy_wanted: bool) -> Self {
        Self(Arc::new(Waits {
            tickets,
            copy_wanted,
            settled: AtomicU8::new(OPEN),
        }))
    }

    /// Whether all who had to have acknowledged; if not, the answer says "degraded".
    pub(crate) fn poll(&self, channel: &dyn Channel, cx: &mut Context<'_>) -> Poll<bool> {
        match self.0.settled.load(Ordering::Relaxed) {
            CONFIRMED => return Poll::Ready(true),
            MISSED => return Poll::Ready(false),
            _ => {}
        }
        let (mut acknowledged, mut missed, mut open) = (0, 0, false);
        for &ticket in &self.0.tickets {
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
        let settled = if confirmed { CONFIRMED } else { MISSED };
        self.0.settled.store(settled, Ordering::Relaxed);
        Poll::Ready(confirmed)
    }
}
