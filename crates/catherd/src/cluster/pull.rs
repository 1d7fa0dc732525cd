//! Gets from one member what differs in one context.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::message::Answer;
use catherd_core::session::Fragment;
use catherd_core::sync::{Comparison, Look, Marks, Summaries};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::stream::{FuturesOrdered, StreamExt as _};

use super::node::Node;
use crate::channel::{Fetch, Fetched, Unanswered};
use crate::context::ContextInner;

/// Into how many buckets the tables are folded to be compared.
pub(super) const BUCKETS: u32 = Marks::SIZE;

/// How long a member has for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// One fetch asks for at most this many sessions.
const FETCH_MAX: usize = 256;

/// So many fetches of one member are under way at most: one is being encoded there, one is on its
/// way, one is being merged here.
const FETCHES_MAX: usize = 3;

/// How often in a row less is asked for before a member has failed.
const RETRIES: u32 = 2;

/// A fetch without an answer is followed by one of this part of it: an answer may have been too
/// large for the link.
const RETRY_SHARE: usize = 8;

/// Which buckets of a context are compared.
#[derive(Clone, Debug)]
pub(super) enum Buckets {
    Range(Range<u32>),
    Marked(Marks),
}

impl Buckets {
    /// A comparison of those from `first` on.
    fn compare(&self, context: &ContextInner, first: u32, is_mutual: bool) -> Comparison {
        match self {
            Self::Range(range) => {
                Comparison::of(&context.table, BUCKETS, first..range.end, is_mutual)
            }
            Self::Marked(marks) => Comparison::of_marked(&context.table, marks, first, is_mutual),
        }
    }

    fn first(&self) -> u32 {
        match self {
            Self::Range(range) => range.start,
            Self::Marked(_) => 0,
        }
    }
}

/// What has been pulled so far, for whoever wants to see it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) sessions: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Node {
    /// Compares `buckets` with a member, and fetches and merges what differs. What differed at the
    /// first look is added to `look`, if anybody wants it.
    pub(super) async fn pull(
        &self,
        context: &Arc<ContextInner>,
        from: Incarnation,
        buckets: &Buckets,
        is_mutual: bool,
        mut look: Option<&mut Look>,
        meter: &Meter,
    ) -> Result<(), Unanswered> {
        let mut first = buckets.first();
        loop {
            let comparison = buckets.compare(context, first, is_mutual);
            let end = comparison.buckets().end;
            let summaries = self.compare_at(context, from, comparison).await?;
            if let Some(look) = &mut look {
                look.add(Look::at(&summaries, &context.table));
            }
            self.fetch_all(context, from, summaries.wanted(&context.table), meter)
                .await?;
            match summaries.next {
                // A member that names the same bucket for ever gives nothing new.
                Some(next) if next > first && next < end => first = next,
                Some(_) => return Err(Unanswered),
                None => return Ok(()),
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
        let buckets = Buckets::Marked(before.buckets());
        let comparison = buckets.compare(context, 0, false);
        let summaries = self.compare_at(context, at, comparison).await?;
        Ok(Look::at(&summaries, &context.table).still_differing(before))
    }

    async fn compare_at(
        &self,
        context: &ContextInner,
        at: Incarnation,
        comparison: Comparison,
    ) -> Result<Summaries, Unanswered> {
        let deadline = self.surroundings.now() + ANSWER_TIME;
        let buckets = comparison.digests.len() as u64;
        self.counters.buckets_compared.add(buckets);
        self.channel()
            .compare(at, context.name.clone(), comparison, deadline)
            .await
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
                .fetch_all(&context, from, keys.clone(), &Meter::default())
                .await;
            context.used_elsewhere(&keys);
            node.filling.lock().remove(&gaps);
        }));
    }

    /// Fetches and merges these sessions, with several questions under way: so the member encodes
    /// while this node decodes and merges.
    async fn fetch_all(
        &self,
        context: &Arc<ContextInner>,
        from: Incarnation,
        keys: Vec<Key>,
        meter: &Meter,
    ) -> Result<(), Unanswered> {
        let mut keys = VecDeque::from(keys);
        let mut asked = FuturesOrdered::new();
        // Before a member has answered once, its link may be too slow for more than one.
        let has_answered = meter.sessions.load(Ordering::Relaxed) > 0;
        let side_by_side = if has_answered { FETCHES_MAX } else { 1 };
        let (mut most, mut side_by_side, mut failures) = (FETCH_MAX, side_by_side, 0);
        loop {
            while asked.len() < side_by_side && !keys.is_empty() {
                let batch = keys.drain(..keys.len().min(most)).collect();
                asked.push_back(self.fetch_batch(context, from, batch));
            }
            let Some((batch, fetched)) = asked.next().await else {
                return Ok(());
            };
            let answers = match fetched {
                Ok(fetched) if fetched.answers.is_empty() => return Err(Unanswered),
                Ok(fetched) => fetched.answers,
                // Asked for before it was known that less must be asked for.
                Err(Unanswered) if batch.len() > most => {
                    put_back(&mut keys, &batch);
                    continue;
                }
                Err(Unanswered) if failures < RETRIES && batch.len() > 1 => {
                    failures += 1;
                    most = (batch.len() / RETRY_SHARE).max(1);
                    side_by_side = 1;
                    put_back(&mut keys, &batch);
                    continue;
                }
                Err(Unanswered) => return Err(Unanswered),
            };
            failures = 0;
            most = (most * 2).min(FETCH_MAX);
            side_by_side = FETCHES_MAX;
            // Members answer in the order of the question, as far as a message goes.
            put_back(&mut keys, &batch[answers.len().min(batch.len())..]);
            merge(context, self.surroundings.now(), answers, meter);
        }
    }

    async fn fetch_batch(
        &self,
        context: &ContextInner,
        from: Incarnation,
        batch: Vec<Key>,
    ) -> (Vec<Key>, Result<Fetched, Unanswered>) {
        let wanted = batch.iter().map(|&key| (key, context.seen(key))).collect();
        let deadline = self.surroundings.now() + ANSWER_TIME;
        let fetch = Fetch {
            context: context.name.clone(),
            wanted,
            route: String::new(),
        };
        let fetched = self.channel().fetch(from, fetch, deadline).await;
        (batch, fetched)
    }
}

fn put_back(keys: &mut VecDeque<Key>, batch: &[Key]) {
    for &key in batch.iter().rev() {
        keys.push_front(key);
    }
}

fn merge(context: &ContextInner, now: Time, mut answers: Vec<Answer>, meter: &Meter) {
    // Generations before the ends that they led to there: so that the application of this node
    // hears of those of its own sessions.
    answers.sort_by_key(|answer| {
        let fragment = answer.fragment.as_ref();
        !fragment.is_some_and(Fragment::is_generation)
    });
    let (mut sessions, mut bytes) = (0, 0);
    for fragment in answers.into_iter().filter_map(|answer| answer.fragment) {
        bytes += context.take_answer(now, &fragment) as u64;
        sessions += 1;
    }
    meter.sessions.fetch_add(sessions, Ordering::Relaxed);
    meter.bytes.fetch_add(bytes, Ordering::Relaxed);
}
