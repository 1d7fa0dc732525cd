//! Gets from one member what differs in one context.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::message::Answer;
use catherd_core::session::Fragment;
use catherd_core::sync::{Bulk, Comparison, GivenUp, Look, Marks, Pace, Stretch, Summaries};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt as _};

use super::node::Node;
use crate::channel::{Fetch, Fetched, Unanswered, Wanted};
use crate::context::ContextInner;

/// Into how many buckets the tables are folded to be compared.
pub(super) const BUCKETS: u32 = Marks::SIZE;

/// How long a member has for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

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

impl Meter {
    /// Whether anything has come.
    fn has_any(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) > 0
    }
}

impl Node {
    /// Gets all that a member has in those of the buckets in which there is nothing here; whether
    /// those are all, so that there is nothing left to compare.
    pub(super) async fn pull_everything(
        &self,
        context: &Arc<ContextInner>,
        from: Incarnation,
        buckets: Range<u32>,
        meter: &Meter,
    ) -> Result<bool, Unanswered> {
        let mut bulk = Bulk::of(&context.table, BUCKETS, buckets, meter.has_any());
        let mut asked = FuturesUnordered::new();
        loop {
            while let Some(stretch) = bulk.poll() {
                asked.push(self.fetch_stretch(context, from, stretch));
            }
            let Some((stretch, fetched)) = asked.next().await else {
                return Ok(bulk.is_whole());
            };
            match fetched {
                Ok(Fetched {
                    answers, is_cut, ..
                }) => {
                    let last = answers.last().map(|answer| answer.key);
                    bulk.handle_answer(&stretch, (answers.len(), last), is_cut)?;
                    merge(context, self.surroundings.now(), answers, meter);
                }
                Err(Unanswered) => bulk.handle_failure(stretch)?,
            }
        }
    }

    async fn fetch_stretch(
        &self,
        context: &ContextInner,
        from: Incarnation,
        stretch: Stretch,
    ) -> (Stretch, Result<Fetched, Unanswered>) {
        let wanted = Wanted::Everything(stretch.clone());
        let fetched = self.fetch(context, from, wanted).await;
        (stretch, fetched)
    }

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
        let mut pace = Pace::new(meter.has_any());
        loop {
            while pace.may_ask(asked.len()) && !keys.is_empty() {
                let batch = keys.drain(..keys.len().min(pace.most())).collect();
                asked.push_back(self.fetch_batch(context, from, batch));
            }
            let Some((batch, fetched)) = asked.next().await else {
                return Ok(());
            };
            let answers = match fetched {
                Ok(fetched) if fetched.answers.is_empty() => return Err(Unanswered),
                Ok(fetched) => fetched.answers,
                Err(Unanswered) => {
                    pace.failed(batch.len())?;
                    put_back(&mut keys, &batch);
                    continue;
                }
            };
            pace.answered();
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
        let held = batch.iter().map(|&key| (key, context.seen(key))).collect();
        let route = String::new();
        let wanted = Wanted::Sessions { held, route };
        let fetched = self.fetch(context, from, wanted).await;
        (batch, fetched)
    }

    async fn fetch(
        &self,
        context: &ContextInner,
        from: Incarnation,
        wanted: Wanted,
    ) -> Result<Fetched, Unanswered> {
        let deadline = self.surroundings.now() + ANSWER_TIME;
        let fetch = Fetch {
            context: context.name.clone(),
            wanted,
        };
        self.channel().fetch(from, fetch, deadline).await
    }
}

impl From<GivenUp> for Unanswered {
    fn from(GivenUp: GivenUp) -> Self {
        Self
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
