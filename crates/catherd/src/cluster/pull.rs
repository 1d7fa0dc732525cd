//! Gets from one member what differs in one context.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::sync::{Comparison, Look};
use catherd_core::version::Incarnation;

use super::node::Node;
use crate::channel::{Fetch, Unanswered};
use crate::context::ContextInner;

/// Into how many buckets the tables are folded to be compared.
pub(super) const BUCKETS: u32 = 4096;

/// How long a member has for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// One fetch asks for at most this many sessions.
const FETCH_MAX: usize = 256;

/// What has been pulled so far, for whoever wants to see it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) sessions: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Node {
    /// Compares `buckets` with a member, and fetches and merges what differs. Gives what differed
    /// at the first look.
    pub(super) async fn pull(
        &self,
        context: &Arc<ContextInner>,
        from: Incarnation,
        buckets: Range<u32>,
        is_mutual: bool,
        meter: &Meter,
    ) -> Result<Look, Unanswered> {
        let mut look = Look::default();
        let mut first = buckets.start;
        loop {
            let range = first..buckets.end;
            let comparison = Comparison::of(&context.table, BUCKETS, range, is_mutual);
            let deadline = self.surroundings.now() + ANSWER_TIME;
            let compared = self
                .channel()
                .compare(from, context.name.clone(), comparison, deadline);
            let summaries = compared.await?;
            look.add(Look::at(&summaries, &context.table));
            self.fetch_all(context, from, summaries.wanted(&context.table), meter)
                .await?;
            match summaries.next {
                // A member that names the same bucket for ever gives nothing new.
                Some(next) if next > first && next < buckets.end => first = next,
                Some(_) => return Err(Unanswered),
                None => return Ok(look),
            }
        }
    }

    /// How many sessions differ from what a member has, as they did at a look before.
    pub(super) async fn look_again(
        &self,
        context: &Arc<ContextInner>,
        at: Incarnation,
        before: &Look,
    ) -> Result<u64, Unanswered> {
        let comparison = Comparison::of(&context.table, BUCKETS, 0..BUCKETS, false);
        let deadline = self.surroundings.now() + ANSWER_TIME;
        let compared = self
            .channel()
            .compare(at, context.name.clone(), comparison, deadline);
        let summaries = compared.await?;
        Ok(Look::at(&summaries, &context.table).still_differing(before))
    }

    /// Fetches sessions that a member has and this node lacks, in the background: one list of a
    /// member and a context at a time, however many it names. What is in none is found by the next
    /// touch, or by the repair.
    pub(crate) fn fill_gaps(
        self: &Arc<Self>,
        context: Arc<ContextInner>,
        from: Incarnation,
        keys: Vec<Key>,
    ) {
        let gaps = (from, context.id);
        if !self.filling.lock().insert(gaps) {
            self.counters.gaps_left.add(keys.len() as u64);
            return;
        }
        let node = Arc::clone(self);
        self.surroundings.spawn(Box::pin(async move {
            // Without an answer the next touch, or the repair, finds the same gap.
            let _ = node
                .fetch_all(&context, from, keys, &Meter::default())
                .await;
            node.filling.lock().remove(&gaps);
        }));
    }

    async fn fetch_all(
        &self,
        context: &Arc<ContextInner>,
        from: Incarnation,
        mut keys: Vec<Key>,
        meter: &Meter,
    ) -> Result<(), Unanswered> {
        while !keys.is_empty() {
            let batch = &keys[..keys.len().min(FETCH_MAX)];
            let wanted = batch.iter().map(|&key| (key, context.seen(key))).collect();
            let deadline = self.surroundings.now() + ANSWER_TIME;
            let fetch = Fetch {
                context: context.name.clone(),
                wanted,
                route: String::new(),
            };
            let answers = self.channel().fetch(from, fetch, deadline).await?.answers;
            if answers.is_empty() {
                return Err(Unanswered);
            }
            // Members answer in the order of the question, as far as a message goes.
            let answered = answers.len().min(batch.len());
            for answer in answers {
                let Some(fragment) = answer.fragment else {
                    continue;
                };
                context.apply(&[fragment]);
                meter.sessions.fetch_add(1, Ordering::Relaxed);
                let bytes = context.bytes(answer.key) as u64;
                meter.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            keys.drain(..answered);
        }
        Ok(())
    }
}
