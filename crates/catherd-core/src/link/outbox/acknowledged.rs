//! What an acknowledgement does to the frames that wait for it.

use super::{Outbox, OutboxEffect};
use crate::link::ack::{Ack, AckError};
use crate::link::frame::{Outcome, Ticket};
use crate::time::Time;

impl Outbox {
    /// The peer acknowledges. Write again afterwards: what has gathered may go now.
    ///
    /// A frame that is listed as behind stays open until an acknowledgement no longer lists it.
    ///
    /// # Errors
    ///
    /// It cannot be true. Nothing has changed; the connection must be closed.
    pub fn acknowledged(&mut self, now: Time, ack: &Ack) -> Result<(), AckError> {
        if self.is_closed {
            return Ok(());
        }
        self.check(ack)?;
        let mut progress = ack.up_to > self.acknowledged;
        let behind_before: Vec<_> = self
            .behind
            .iter()
            .map(|(&number, &ticket)| (number, ticket))
            .collect();
        for (number, ticket) in behind_before {
            if ack.behind.binary_search(&number).is_err() {
                self.behind.remove(&number);
                self.end(ticket, number, ack);
                progress = true;
            }
        }
        while self.acknowledged < ack.up_to {
            self.acknowledged += 1;
            let ticket = self
                .written
                .pop_front()
                .expect("every number above the last is here");
            if ack.behind.binary_search(&self.acknowledged).is_ok() {
                self.behind.insert(self.acknowledged, ticket);
                self.tickets.set_behind(ticket);
            } else {
                self.end(ticket, self.acknowledged, ack);
            }
        }
        self.measure(now);
        self.answers_again |= progress;
        self.recover();
        Ok(())
    }

    /// The peer is waited for again once it has acknowledged something and nothing is overdue.
    ///
    /// To recover at the first acknowledgement would make a peer that is merely too slow suspect
    /// and not suspect by turns, and each turn would cost somebody the time-out.
    pub(super) fn recover(&mut self) {
        if self.is_suspect && self.answers_again && !self.tickets.is_any_unanswered() {
            self.is_suspect = false;
            self.is_silent = false;
            self.effects.push_back(OutboxEffect::Recovered);
        }
    }

    fn check(&self, ack: &Ack) -> Result<(), AckError> {
        let Ack { up_to, .. } = *ack;
        if up_to > self.last_number {
            return Err(AckError::NeverSent {
                up_to,
                last: self.last_number,
            });
        }
        if up_to < self.acknowledged {
            return Err(AckError::Backwards {
                up_to,
                before: self.acknowledged,
            });
        }
        ack.check_lists()?;
        let is_settled =
            |number: &u64| *number <= self.acknowledged && !self.behind.contains_key(number);
        match ack.listed().find(is_settled) {
            Some(number) => Err(AckError::Revoked { number }),
            None => Ok(()),
        }
    }

    fn end(&mut self, ticket: Ticket, number: u64, ack: &Ack) {
        let (outcome, count) = if ack.ended.binary_search(&number).is_ok() {
            (Outcome::Ended, &mut self.counters.ended)
        } else if ack.twins.binary_search(&number).is_ok() {
            (Outcome::Twin, &mut self.counters.twins)
        } else if ack.unheld.binary_search(&number).is_ok() {
            (Outcome::Unheld, &mut self.counters.unheld)
        } else {
            (Outcome::Acknowledged, &mut self.counters.acknowledged)
        };
        *count += 1;
        self.is_settled = true;
        let Some(record) = self.tickets.end(ticket, outcome) else {
            return;
        };
        if matches!(outcome, Outcome::Ended | Outcome::Twin) {
            let (context, key) = (record.context, record.key);
            self.effect(OutboxEffect::Ended { context, key });
        }
    }

    fn measure(&mut self, now: Time) {
        if let Some((number, at)) = self.measured
            && number <= self.acknowledged
        {
            self.round_trip = Some(now.since(at));
            self.measured = None;
        }
    }
}
