//! The repair that runs on: members compare what they hold, and each pulls what it lacks. When, and
//! which of it, is decided by the [`Schedule`]; here it is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::ContextId;
use catherd_core::sync::{Due, Look, Marks, Schedule, Scope};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::events::Event;
use super::node::Node;
use super::pull::{BUCKETS, Buckets, Meter};
use crate::channel::Unanswered;
use crate::context::ContextInner;

/// When to compare with whom, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    schedule: Mutex<Schedule>,
    /// Something may be due earlier than it was.
    stirred: Notify,
}

impl Repair {
    pub(super) fn set_interval(&self, interval: Duration) {
        self.schedule.lock().set_interval(interval);
    }

    /// Compare everything with this member soon: it may lack what came to life here.
    pub(super) fn soon(&self, with: Incarnation, now: Time) {
        self.stir(|schedule| schedule.soon(now, with));
    }

    /// A member is connected again, and may have missed anything.
    pub(super) fn reopened(&self, with: Incarnation, now: Time) {
        self.stir(|schedule| schedule.reopened(now, with));
    }

    /// A member may lack what is in these buckets.
    pub(super) fn mark(&self, at: Incarnation, context: ContextId, buckets: &Marks) {
        self.schedule.lock().mark(at, context, buckets);
    }

    /// The queue to a member has drained.
    pub(super) fn link_free(&self, to: Incarnation, now: Time) {
        self.stir(|schedule| schedule.link_free(now, to));
    }

    /// A member has these buckets otherwise.
    pub(super) fn pull_from(
        &self,
        from: Incarnation,
        now: Time,
        context: ContextId,
        buckets: &Marks,
    ) {
        self.stir(|schedule| schedule.pull_from(now, from, context, buckets));
    }

    /// How many sessions differ from what members hold, by the last looks; `None` while there was
    /// none.
    pub(super) fn differing(&self) -> Option<u64> {
        self.schedule.lock().differing()
    }

    /// How many buckets a member may lack something of.
    pub(super) fn marked(&self, at: Incarnation) -> u64 {
        self.schedule.lock().marked(at) as u64
    }

    fn stir(&self, change: impl FnOnce(&mut Schedule)) {
        change(&mut self.schedule.lock());
        self.stirred.notify_one();
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
            let (due, next) = {
                let mut schedule = self.repair.schedule.lock();
                schedule.members(now, &members);
                // Until it has its own state a node has nothing to compare.
                let due = view.am_ready().then(|| schedule.take_due(now)).flatten();
                (due, schedule.poll_timeout().filter(|_| view.am_ready()))
            };
            if let Some(due) = due {
                let differing = self.compare_with(&due).await.ok();
                let now = self.surroundings.now();
                self.repair.schedule.lock().note(now, due, differing);
                continue;
            }
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

    /// A frame was not delivered to a member. Of a change of id only one of the two keys is known
    /// here, so that may be anywhere; it is rare.
    pub(super) fn mark(&self, at: Incarnation, context: &ContextInner, key: Key, is_end: bool) {
        self.counters.marked_for_repair.add(1);
        let is_change_of_id = is_end && !context.has_ended(key);
        let buckets = if is_change_of_id {
            Marks::all()
        } else {
            [key].into_iter().collect()
        };
        self.repair.mark(at, context.id, &buckets);
    }

    /// Pulls from a member in every context that is to be compared, and looks again at what
    /// differed: how much of it still does.
    async fn compare_with(self: &Arc<Self>, due: &Due) -> Result<u64, Unanswered> {
        let mut differing = 0;
        for context in self.contexts() {
            let buckets = match &due.scope {
                Scope::Everything => Some(Buckets::Range(0..BUCKETS)),
                Scope::Marked(marked) => marked.get(&context.id).cloned().map(Buckets::Marked),
            };
            let Some(buckets) = buckets.filter(|_| context.manager.is_replicated()) else {
                continue;
            };
            let (meter, mut look) = (Meter::default(), Look::default());
            let first = Some(&mut look);
            self.pull(&context, due.with, &buckets, due.is_mutual, first, &meter)
                .await?;
            if look.is_empty() {
                continue;
            }
            differing += self.look_again(&context, due.with, &look).await?;
            self.tell_repaired(&context, due.with, &meter);
        }
        Ok(differing)
    }

    fn tell_repaired(&self, context: &ContextInner, with: Incarnation, meter: &Meter) {
        let repaired = meter.sessions.load(Ordering::Relaxed);
        self.counters.sessions_repaired.add(repaired);
        if repaired > 0 {
            let view = self.channel().view();
            let name = view.member(with).map(|member| member.name.clone());
            self.emit(Event::Repaired {
                context: context.name.clone(),
                member: name.unwrap_or_default(),
                sessions: repaired,
            });
        }
    }
}
