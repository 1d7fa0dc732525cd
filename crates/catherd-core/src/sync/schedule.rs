//! When this node compares what it holds with whom, and which of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Marks;
use crate::link::ContextId;
use crate::time::Time;
use crate::version::Incarnation;

/// The repair of every pair that this node is one of.
///
/// A pair compares everything when its members meet, and at every interval from then on. Between,
/// it compares the buckets of which one is known to lack something, and no others:
///
/// - a write for the member was shed: its bucket is [marked](Self::mark), and the marks are
///   compared when the link is [free](Self::link_free) again, not while it sheds. The member is
///   asked to pull.
/// - a member found buckets to be unequal, and [wants them pulled](Self::pull_from) here.
///
/// Marks die with their connection: what [comes anew](Self::reopened) is compared as a whole.
///
/// Keep the [`members`](Self::members) up to date, [take](Self::take_due) what is due at
/// [`poll_timeout`](Self::poll_timeout), and [note](Self::note) what came of it.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval: Duration,
    pairs: BTreeMap<Incarnation, Pair>,
}

/// A comparison to be made now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// With whom.
    pub with: Incarnation,
    /// Whether the member is asked to pull as well.
    pub is_mutual: bool,
    /// What.
    pub scope: Scope,
}

/// What is compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// All buckets of all contexts.
    Everything,
    /// These and no others.
    Marked(BTreeMap<ContextId, Marks>),
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new(Self::INTERVAL)
    }
}

#[derive(Clone, Debug)]
struct Pair {
    /// When everything is compared next.
    due: Time,
    /// What the member may lack.
    marked: Buckets,
    /// What this node may lack.
    to_pull: Buckets,
    /// How many sessions differed when everything was compared; `None` before the first time.
    differing: Option<u64>,
    /// And how many of what was compared since.
    differing_in_part: u64,
}

/// Buckets that wait to be compared.
#[derive(Clone, Debug, Default)]
struct Buckets {
    of: BTreeMap<ContextId, Marks>,
    /// `None` until the link is free.
    due: Option<Time>,
}

impl Schedule {
    /// How often everything is compared if nothing else was said.
    pub const INTERVAL: Duration = Duration::from_secs(30);
    /// What still differs is looked at again after this.
    pub const AGAIN: Duration = Duration::from_secs(1);
    /// A member that did not answer is asked again after this: what is slow is not to be asked
    /// more often for that.
    pub const AFTER_NO_ANSWER: Duration = Duration::from_secs(10);

    /// Without members; `interval` is how often everything is compared with each.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            pairs: BTreeMap::new(),
        }
    }

    /// From their next turn on, everything is compared this often.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// The members to compare with at present. With who is new everything is compared at once; of
    /// who is gone nothing is kept.
    pub fn members(&mut self, now: Time, members: &[Incarnation]) {
        self.pairs.retain(|member, _| members.contains(member));
        for &member in members {
            self.pairs.entry(member).or_insert(Pair {
                due: now,
                marked: Buckets::default(),
                to_pull: Buckets::default(),
                differing: None,
                differing_in_part: 0,
            });
        }
    }

    /// Compare everything with this member soon.
    pub fn soon(&mut self, now: Time, with: Incarnation) {
        if let Some(pair) = self.pairs.get_mut(&with) {
            pair.due = pair.due.min(now);
        }
    }

    /// The connection with a member was lost and opened again: anything may be missing.
    pub fn reopened(&mut self, now: Time, with: Incarnation) {
        if let Some(pair) = self.pairs.get_mut(&with) {
            pair.forget_parts();
            pair.due = pair.due.min(now);
        }
    }

    /// The member may lack what is in these buckets. They wait until the link is free.
    pub fn mark(&mut self, at: Incarnation, context: ContextId, buckets: &Marks) {
        if let Some(pair) = self.pairs.get_mut(&at) {
            pair.marked.add(context, buckets);
        }
    }

    /// The queue to a member has drained: now what was shed can be made good.
    pub fn link_free(&mut self, now: Time, to: Incarnation) {
        if let Some(pair) = self.pairs.get_mut(&to) {
            pair.marked.set_due(now);
        }
    }

    /// A member says that it has these buckets otherwise, and that this node is to pull them.
    pub fn pull_from(&mut self, now: Time, from: Incarnation, context: ContextId, buckets: &Marks) {
        if let Some(pair) = self.pairs.get_mut(&from) {
            pair.to_pull.add(context, buckets);
            pair.to_pull.set_due(now);
        }
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.pairs.values().map(Pair::next_due).min()
    }

    /// What has been due for the longest, if anything is. It is filed for its next turn.
    pub fn take_due(&mut self, now: Time) -> Option<Due> {
        let pairs = self.pairs.iter_mut();
        let (&with, pair) = pairs.min_by_key(|(_, pair)| pair.next_due())?;
        if pair.due <= now {
            // It covers whatever was to be looked at in part.
            pair.forget_parts();
            pair.due = now + self.interval;
            return Some(Due {
                with,
                is_mutual: true,
                scope: Scope::Everything,
            });
        }
        let marked = pair.marked.take_due(now);
        let is_mutual = marked.is_some();
        let mut parts = Buckets {
            of: marked.unwrap_or_default(),
            due: None,
        };
        for (context, buckets) in pair.to_pull.take_due(now).unwrap_or_default() {
            parts.add(context, &buckets);
        }
        (!parts.of.is_empty()).then_some(Due {
            with,
            is_mutual,
            scope: Scope::Marked(parts.of),
        })
    }

    /// What came of a comparison: how many sessions differ after it; `None` if the member did not
    /// answer.
    pub fn note(&mut self, now: Time, due: Due, differing: Option<u64>) {
        let Some(pair) = self.pairs.get_mut(&due.with) else {
            return;
        };
        match (due.scope, differing) {
            (Scope::Everything, Some(differing)) => {
                pair.differing = Some(differing);
                pair.differing_in_part = 0;
                if differing > 0 {
                    pair.due = pair.due.min(now + Self::AGAIN);
                }
            }
            (Scope::Everything, None) => pair.due = pair.due.min(now + Self::AFTER_NO_ANSWER),
            (Scope::Marked(of), Some(differing)) => {
                pair.differing_in_part = differing;
                if differing > 0 {
                    // What the member lacks it knows by now; this is about what is here.
                    pair.to_pull.put_back(of, now + Self::AGAIN);
                }
            }
            (Scope::Marked(of), None) if due.is_mutual => {
                pair.marked.put_back(of, now + Self::AFTER_NO_ANSWER);
            }
            (Scope::Marked(of), None) => {
                pair.to_pull.put_back(of, now + Self::AFTER_NO_ANSWER);
            }
        }
    }

    /// How many sessions differ from what members hold, by the last looks; `None` while there was
    /// none.
    pub fn differing(&self) -> Option<u64> {
        let by_pair = |pair: &Pair| Some(pair.differing? + pair.differing_in_part);
        self.pairs.values().filter_map(by_pair).reduce(|a, b| a + b)
    }

    /// How many buckets a member may lack something of, in all contexts.
    pub fn marked(&self, at: Incarnation) -> usize {
        let pair = self.pairs.get(&at);
        pair.map_or(0, |pair| pair.marked.of.values().map(Marks::len).sum())
    }
}

impl Pair {
    fn next_due(&self) -> Time {
        let parts = [self.marked.due, self.to_pull.due];
        parts.into_iter().flatten().fold(self.due, Time::min)
    }

    fn forget_parts(&mut self) {
        self.marked = Buckets::default();
        self.to_pull = Buckets::default();
    }
}

impl Buckets {
    fn add(&mut self, context: ContextId, buckets: &Marks) {
        if !buckets.is_empty() {
            self.of.entry(context).or_default().add_all(buckets);
        }
    }

    fn set_due(&mut self, at: Time) {
        if !self.of.is_empty() {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    fn take_due(&mut self, now: Time) -> Option<BTreeMap<ContextId, Marks>> {
        self.due.filter(|due| *due <= now)?;
        Some(std::mem::take(self).of)
    }

    fn put_back(&mut self, of: BTreeMap<ContextId, Marks>, due: Time) {
        for (context, buckets) in of {
            self.add(context, &buckets);
        }
        self.set_due(due);
    }
}
