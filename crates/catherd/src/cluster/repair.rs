//! The repair that runs on: every pair of members compares what it holds, after a split at once
//! and every half minute in any case, and each pulls what it lacks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::events::Event;
use super::node::Node;
use super::pull::Meter;
use crate::channel::Unanswered;

/// When to compare with whom, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    schedule: Mutex<Schedule>,
    stirred: Notify,
}

#[derive(Debug, Default)]
struct Schedule {
    pairs: BTreeMap<Incarnation, Pair>,
    interval: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    due: Time,
    /// Whether the member is asked to pull as well.
    is_mutual: bool,
    /// How many sessions differed at the last two looks.
    differing: u64,
    /// Whether there was a look at all.
    is_compared: bool,
}

/// A pair that still differs is looked at again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// A pair that could not be compared is tried again after this: what is slow is not to be asked
/// more often for that.
const AFTER_NO_ANSWER: Duration = Duration::from_secs(10);

impl Repair {
    pub(super) fn set_interval(&self, interval: Duration) {
        self.schedule.lock().interval = Some(interval);
    }

    /// Compare with this member soon: it has come, come back, or may lack something.
    pub(crate) fn soon(&self, with: Incarnation, now: Time, is_mutual: bool) {
        let mut schedule = self.schedule.lock();
        if let Some(pair) = schedule.pairs.get_mut(&with) {
            // What the pair was to do at its next round is not what is wanted now. Otherwise two
            // that still differ would ask each other for ever, without a pause.
            pair.is_mutual = is_mutual || (pair.is_mutual && pair.due <= now);
            pair.due = pair.due.min(now);
            self.stirred.notify_one();
        }
    }

    /// How many sessions differ from what members hold, by the last looks; `None` while there was
    /// none.
    pub(super) fn differing(&self) -> Option<u64> {
        let schedule = self.schedule.lock();
        let compared = schedule.pairs.values().filter(|pair| pair.is_compared);
        compared.map(|pair| pair.differing).reduce(|a, b| a + b)
    }

    /// Keeps one pair for each of `members`; who is new is due at once.
    fn keep(&self, members: &[Incarnation], now: Time) {
        let mut schedule = self.schedule.lock();
        schedule.pairs.retain(|member, _| members.contains(member));
        for &member in members {
            schedule.pairs.entry(member).or_insert(Pair {
                due: now,
                is_mutual: true,
                differing: 0,
                is_compared: false,
            });
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.schedule
            .lock()
            .pairs
            .values()
            .map(|pair| pair.due)
            .min()
    }

    /// Takes the pair that is due, and files it for its next turn.
    fn take_due(&self, now: Time) -> Option<(Incarnation, bool)> {
        let mut schedule = self.schedule.lock();
        let interval = schedule.interval.unwrap_or(Duration::from_secs(30));
        let due = schedule.pairs.iter_mut().find(|(_, pair)| pair.due <= now);
        let (&member, pair) = due?;
        pair.due = now + interval;
        // The next round asks again, unless somebody wants it sooner and alone.
        Some((member, std::mem::replace(&mut pair.is_mutual, true)))
    }

    fn note(&self, with: Incarnation, now: Time, outcome: Result<u64, Unanswered>) {
        let mut schedule = self.schedule.lock();
        let Some(pair) = schedule.pairs.get_mut(&with) else {
            return;
        };
        match outcome {
            Ok(differing) => {
                pair.differing = differing;
                pair.is_compared = true;
                if differing > 0 {
                    pair.due = pair.due.min(now + AGAIN);
                }
            }
            Err(Unanswered) => pair.due = pair.due.min(now + AFTER_NO_ANSWER),
        }
    }
}

impl Node {
    /// Compares with whoever is due, until this node leaves.
    pub(super) async fn repair_forever(self: Arc<Self>) {
        let mut views = self.channel().watch();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            if view.is_leaving {
                return;
            }
            let near = view
                .members
                .iter()
                .filter(|member| member.domain == view.myself.domain);
            let members: Vec<_> = near.map(|member| member.incarnation).collect();
            let now = self.surroundings.now();
            self.repair.keep(&members, now);
            // Until it has its own state a node has nothing to compare.
            if view.am_ready()
                && let Some((member, is_mutual)) = self.repair.take_due(now)
            {
                let outcome = self.compare_all(member, is_mutual).await;
                self.repair.note(member, self.surroundings.now(), outcome);
                continue;
            }
            let next = self.repair.next_due().filter(|_| view.am_ready());
            let surroundings = Arc::clone(&self.surroundings);
            let due = async move {
                match next {
                    Some(at) => surroundings.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The sender lives as long as the channel.
                _ = views.changed() => {}
                () = self.repair.stirred.notified() => {}
                () = due => {}
            }
        }
    }

    /// Pulls from a member in every context, and looks again at what differed.
    async fn compare_all(
        self: &Arc<Self>,
        with: Incarnation,
        is_mutual: bool,
    ) -> Result<u64, Unanswered> {
        let mut differing = 0;
        for context in self.contexts() {
            if !context.manager.is_replicated() {
                continue;
            }
            let meter = Meter::default();
            let whole = 0..super::pull::BUCKETS;
            let look = self.pull(&context, with, whole, is_mutual, &meter).await?;
            if look.is_empty() {
                continue;
            }
            differing += self.look_again(&context, with, &look).await?;
            let repaired = meter.sessions.load(std::sync::atomic::Ordering::Relaxed);
            self.counters.sessions_repaired.add(repaired);
            if repaired > 0 {
                let name = self
                    .channel()
                    .view()
                    .member(with)
                    .map(|member| member.name.clone());
                self.emit(Event::Repaired {
                    context: context.name.clone(),
                    member: name.unwrap_or_default(),
                    sessions: repaired,
                });
            }
        }
        Ok(differing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_asked_to_compare_does_not_ask_back() {
        let (repair, with, now) = (Repair::default(), Incarnation::from_bits(1), Time::START);
        repair.set_interval(Duration::from_secs(30));
        repair.keep(&[with], now);
        assert_eq!(
            repair.take_due(now),
            Some((with, true)),
            "who is new is asked"
        );
        repair.soon(with, now, false);
        assert_eq!(repair.take_due(now), Some((with, false)));
        repair.soon(with, now, false);
        repair.soon(with, now, true);
        repair.soon(with, now, false);
        assert_eq!(
            repair.take_due(now),
            Some((with, true)),
            "a wish is not taken back"
        );
        let next = now + Duration::from_secs(30);
        assert_eq!(
            repair.take_due(next),
            Some((with, true)),
            "the next round asks again"
        );
    }
}
