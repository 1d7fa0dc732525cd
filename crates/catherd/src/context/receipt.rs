//! Who has to acknowledge a write, and who has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

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
    /// So many of the tickets, the first ones, have come to their end.
    settled: AtomicUsize,
}

impl Receipt {
    /// For what went out under `tickets` to the members of `view`.
    pub(crate) fn new(tickets: Vec<(Incarnation, Ticket)>, awaited: Awaited, view: &View) -> Self {
        Self(Arc::new(Waits {
            tickets,
            awaited,
            absence: view.absence(),
            confirmed: AtomicBool::new(false),
            settled: AtomicUsize::new(0),
        }))
    }

    /// The same frame seen as a write: a change of id carries the session to its new key.
    pub(crate) fn of_a_write(&self, awaited: Awaited) -> Self {
        Self(Arc::new(Waits {
            tickets: self.0.tickets.clone(),
            awaited,
            absence: self.0.absence,
            confirmed: AtomicBool::new(false),
            settled: AtomicUsize::new(0),
        }))
    }

    /// Whether both are of the same frame and wait alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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
        if self.0.awaited != Awaited::Nothing {
            ready!(self.poll_settled(channel, cx));
        }
        let outcomes = self.outcomes(channel, cx);
        let confirmed = self
            .0
            .awaited
            .is_confirmed(outcomes.map(|(_, outcome)| outcome));
        // None is open that is waited for.
        let confirmed = confirmed.unwrap_or(false);
        self.0.confirmed.store(confirmed, Ordering::Relaxed);
        Poll::Ready(confirmed)
    }

    /// Waits likewise; gives the members that keep it from being confirmed.
    pub(crate) fn poll_missed(
        &self,
        channel: &dyn Channel,
        cx: &mut Context<'_>,
    ) -> Poll<Vec<Incarnation>> {
        ready!(self.poll_settled(channel, cx));
        let is_missed =
            |outcome: Option<Outcome>| outcome.is_some_and(|it| self.0.awaited.is_missed(it));
        let outcomes = self.outcomes(channel, cx);
        let missed = outcomes.filter(|(_, outcome)| is_missed(*outcome));
        Poll::Ready(missed.map(|(member, _)| member).collect())
    }

    /// Waits for one member after the other: whoever waited for all at once would be woken by each.
    fn poll_settled(&self, channel: &dyn Channel, cx: &mut Context<'_>) -> Poll<()> {
        let tickets = &self.0.tickets;
        loop {
            let settled = self.0.settled.load(Ordering::Relaxed);
            let Some(&(_, ticket)) = tickets.get(settled) else {
                return Poll::Ready(());
            };
            let _ = ready!(channel.poll_acknowledged(ticket, cx));
            self.0.settled.fetch_max(settled + 1, Ordering::Relaxed);
        }
    }

    /// What has become of it at each member; `None` where that is open.
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
