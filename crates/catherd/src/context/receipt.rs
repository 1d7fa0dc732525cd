//! Who has to acknowledge a write, and who has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use catherd_core::link::Awaited;
use catherd_core::membership::Absence;
use catherd_core::planted::{Bug, is_planted};
use catherd_core::version::Incarnation;

use crate::channel::{Channel, Outcome, Ticket, View};

/// Waits for the acknowledgements of one write, or of one end. Cheap to clone; dropping it is
/// harmless.
#[derive(Clone, Debug)]
pub(crate) struct Receipt(Arc<Waits>);

#[derive(Debug)]
struct Waits {
    tickets: Vec<(Incarnation, Ticket)>,
    awaited: Awaited,
    /// Who could not hear of it when it went out.
    absence: Absence,
    /// What has been confirmed need not be asked again. What was missed must be: a member that
    /// acknowledges late ends the degradation.
    confirmed: AtomicBool,
}

impl Receipt {
    /// For what went out under `tickets` to the members of `view`.
    pub(crate) fn new(tickets: Vec<(Incarnation, Ticket)>, awaited: Awaited, view: &View) -> Self {
        Self(Arc::new(Waits {
            tickets,
            awaited,
            absence: view.absence(),
            confirmed: AtomicBool::new(false),
        }))
    }

    /// The same frame seen as a write: a change of id carries the session to its new key.
    pub(crate) fn of_a_write(&self, awaited: Awaited) -> Self {
        Self(Arc::new(Waits {
            tickets: self.0.tickets.clone(),
            awaited,
            absence: self.0.absence,
            confirmed: AtomicBool::new(false),
        }))
    }

    /// Whether the end that went out may be unknown to somebody who could not hear of it.
    pub(crate) fn is_pending(&self, view: &View) -> bool {
        self.0.absence.is_pending(view.absence())
    }

    /// Whether all who had to have acknowledged; if not, the answer says "degraded".
    pub(crate) fn poll(&self, channel: &dyn Channel, cx: &mut Context<'_>) -> Poll<bool> {
        if self.0.confirmed.load(Ordering::Relaxed) || is_planted(Bug::AnswersWithoutWaiting) {
            return Poll::Ready(true);
        }
        let outcomes = self.outcomes(channel, cx);
        match self
            .0
            .awaited
            .is_confirmed(outcomes.map(|(_, outcome)| outcome))
        {
            Some(confirmed) => {
                self.0.confirmed.store(confirmed, Ordering::Relaxed);
                Poll::Ready(confirmed)
            }
            None => Poll::Pending,
        }
    }

    /// Waits likewise; gives the members that keep it from being confirmed.
    pub(crate) fn poll_missed(
        &self,
        channel: &dyn Channel,
        cx: &mut Context<'_>,
    ) -> Poll<Vec<Incarnation>> {
        let (mut missed, mut is_open) = (Vec::new(), false);
        for (member, outcome) in self.outcomes(channel, cx) {
            is_open |= outcome.is_none();
            if outcome.is_some_and(|outcome| self.0.awaited.is_missed(outcome)) {
                missed.push(member);
            }
        }
        if is_open {
            return Poll::Pending;
        }
        Poll::Ready(missed)
    }

    /// What has become of it at each member; `None` where that is open, and the task is woken.
    fn outcomes<'a>(
        &'a self,
        channel: &'a dyn Channel,
        cx: &'a mut Context<'_>,
    ) -> impl Iterator<Item = (Incarnation, Option<Outcome>)> + 'a {
        self.0.tickets.iter().map(move |&(member, ticket)| {
            let outcome = match channel.poll_acknowledged(ticket, cx) {
                Poll::Ready(outcome) => Some(outcome),
                Poll::Pending => None,
            };
            (member, outcome)
        })
    }
}
