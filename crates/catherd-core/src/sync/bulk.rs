//! Everything of buckets in which the asker has nothing.
//!
//! Who has nothing under the keys of a bucket need not be told what there is to ask for it: the
//! member sends what it has there, in the order of buckets and keys, an answer's worth at a time.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use crate::key::Key;
use crate::session::Bucket;
use crate::sync::Comparison;
use crate::table::Table;

/// A row of buckets of which everything is asked for.
///
/// The order of the answer is that of the buckets, and of the keys in each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stretch {
    /// How many buckets the table is folded into: a power of two.
    pub size: u32,
    /// The buckets; at least one.
    pub buckets: Range<u32>,
    /// Only what comes after this key, which is of the first bucket; `None` for everything.
    pub after: Option<Key>,
    /// How many sessions an answer may have: 1 to [`SESSIONS_MAX`](Self::SESSIONS_MAX).
    pub most: usize,
}

impl Stretch {
    /// An answer has at most so many sessions.
    pub const SESSIONS_MAX: usize = 256;

    /// Whether it can be: bad ones are refused by the decoder.
    pub fn is_sane(&self) -> bool {
        let is_of_the_first = |key| self.bucket_of(key) == self.buckets.start;
        self.size.is_power_of_two()
            && self.size as usize <= Comparison::BUCKETS_MAX
            && self.buckets.start < self.buckets.end
            && self.buckets.end <= self.size
            && self.after.is_none_or(is_of_the_first)
            && (1..=Self::SESSIONS_MAX).contains(&self.most)
    }

    /// The member's side: gives the keys of what is here to `take`, one after another, until there
    /// are enough or `take` has no room for one. Says whether there are more.
    pub fn answer(&self, table: &impl Table, mut take: impl FnMut(Key) -> bool) -> bool {
        let (mut taken, mut keys) = (0, Vec::new());
        for bucket in self.buckets.clone() {
            table.keys_in(self.size as usize, Bucket(bucket), &mut keys);
            keys.sort_unstable();
            for key in keys.drain(..).filter(|&key| self.is_to_come(key)) {
                if taken == self.most || !take(key) {
                    return true;
                }
                taken += 1;
            }
        }
        false
    }

    /// Whether an entry with this key, of one of the buckets, is still to come.
    fn is_to_come(&self, key: Key) -> bool {
        let is_later = |after| self.place(after) < self.place(key);
        self.after.is_none_or(is_later)
    }

    /// What is left after an answer that ended with this key. `None` if the answer was none, for
    /// it did not come any further.
    fn rest(&self, last: Key) -> Option<Run> {
        let bucket = self.bucket_of(last);
        let is_further = self.buckets.contains(&bucket) && self.is_to_come(last);
        is_further.then_some(Run {
            buckets: bucket..self.buckets.end,
            after: Some(last),
        })
    }

    fn place(&self, key: Key) -> (u32, Key) {
        (self.bucket_of(key), key)
    }

    fn bucket_of(&self, key: Key) -> u32 {
        let Bucket(bucket) = Bucket::of(key, self.size as usize);
        bucket
    }
}

/// A member did not answer, and is not asked again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the member did not give what it has, and is not asked again")
    }
}

impl std::error::Error for GivenUp {}

/// How much a member is asked for at a time.
///
/// An answer that does not come may have been too large for the link.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    most: usize,
    side_by_side: usize,
    failures: u32,
}

impl Pace {
    /// So many questions are under way at most: one is being encoded there, one is on its way, one
    /// is being merged here.
    const SIDE_BY_SIDE: usize = 3;

    /// How often in a row less is asked for before a member has failed.
    const RETRIES: u32 = 2;

    /// A question without an answer is followed by one of this part of it.
    const RETRY_SHARE: usize = 8;

    /// Before a member has answered once, its link may be too slow for more than one question.
    pub fn new(has_answered: bool) -> Self {
        Self {
            most: Stretch::SESSIONS_MAX,
            side_by_side: if has_answered { Self::SIDE_BY_SIDE } else { 1 },
            failures: 0,
        }
    }

    /// How many sessions to ask for at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether another question may be under way beside so many.
    pub fn may_ask(&self, under_way: usize) -> bool {
        under_way < self.side_by_side
    }

    /// An answer has come.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.most = (self.most * 2).min(Stretch::SESSIONS_MAX);
        self.side_by_side = Self::SIDE_BY_SIDE;
    }

    /// None has come to a question for so many sessions. It is asked again, perhaps for fewer.
    ///
    /// # Errors
    ///
    /// Less would not help, or has not helped.
    pub fn failed(&mut self, asked: usize) -> Result<(), GivenUp> {
        // Asked for before it was known that less must be asked for.
        if asked > self.most {
            return Ok(());
        }
        if self.failures == Self::RETRIES || asked <= 1 {
            return Err(GivenUp);
        }
        self.failures += 1;
        self.most = (asked / Self::RETRY_SHARE).max(1);
        self.side_by_side = 1;
        Ok(())
    }
}

/// Gets everything of those buckets of a range in which there is nothing here.
///
/// Ask [`poll`](Self::poll) until `None`, after the start and after each answer. It has come to its
/// end when it has nothing to ask and nothing is under way.
#[derive(Clone, Debug)]
pub struct Bulk {
    size: u32,
    is_whole: bool,
    wanted: VecDeque<Run>,
    /// So many buckets are asked for at once: about as many as fit into an answer.
    width: u32,
    pace: Pace,
    under_way: usize,
}

/// Buckets of which everything is wanted that comes after a key of the first.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Run {
    buckets: Range<u32>,
    after: Option<Key>,
}

/// Fewer buckets in a row are not worth a question, unless they are all: a comparison finds what is
/// in them.
const RUN_MIN: usize = 32;

impl Bulk {
    /// Of the table folded into `size`, the buckets `range`.
    ///
    /// # Panics
    ///
    /// `size` is no power of two, or the range is not within it.
    pub fn of(table: &impl Table, size: u32, range: Range<u32>, has_answered: bool) -> Self {
        let digests = table.digests(size as usize);
        let mut wanted = VecDeque::new();
        let mut at = range.start;
        let here = &digests[range.start as usize..range.end as usize];
        for run in here.chunk_by(|&one, &next| (one == 0) == (next == 0)) {
            let end = at + u32::try_from(run.len()).expect("no more than the table has");
            if run[0] == 0 && run.len() >= RUN_MIN.min(here.len()) {
                wanted.push_back(Run {
                    buckets: at..end,
                    after: None,
                });
            }
            at = end;
        }
        Self {
            size,
            is_whole: here.iter().all(|&digest| digest == 0),
            wanted,
            width: size,
            pace: Pace::new(has_answered),
            under_way: 0,
        }
    }

    /// Whether it gets all that there is in the range, so that there is nothing left to compare.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What to ask for next; then it is under way.
    pub fn poll(&mut self) -> Option<Stretch> {
        if !self.pace.may_ask(self.under_way) {
            return None;
        }
        let Run { buckets, after } = self.wanted.pop_front()?;
        let end = buckets.end.min(buckets.start.saturating_add(self.width));
        if end < buckets.end {
            self.wanted.push_front(Run {
                buckets: end..buckets.end,
                after: None,
            });
        }
        self.under_way += 1;
        Some(Stretch {
            size: self.size,
            buckets: buckets.start..end,
            after,
            most: self.pace.most(),
        })
    }

    /// So many sessions have come, the last one with this key; `is_cut`: there are more.
    ///
    /// # Errors
    ///
    /// There are said to be more, and the answer has not come any further: a member could keep the
    /// asker busy for ever.
    pub fn handle_answer(
        &mut self,
        asked: &Stretch,
        (sessions, last): (usize, Option<Key>),
        is_cut: bool,
    ) -> Result<(), GivenUp> {
        self.under_way -= 1;
        self.pace.answered();
        if is_cut {
            let rest = last.and_then(|last| asked.rest(last)).ok_or(GivenUp)?;
            self.width = (rest.buckets.start - asked.buckets.start).max(1);
            self.wanted.push_front(rest);
        } else if sessions < self.pace.most() / 2 {
            self.width = self.width.saturating_mul(2).min(self.size);
        }
        Ok(())
    }

    /// No answer came.
    ///
    /// # Errors
    ///
    /// The member is not to be asked again.
    pub fn handle_failure(&mut self, asked: Stretch) -> Result<(), GivenUp> {
        self.under_way -= 1;
        self.pace.failed(asked.most)?;
        self.wanted.push_front(Run {
            buckets: asked.buckets,
            after: asked.after,
        });
        Ok(())
    }
}
