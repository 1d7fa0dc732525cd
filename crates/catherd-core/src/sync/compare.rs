//! Digests against digests: what differs.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Marks;
use crate::key::Key;
use crate::session::Bucket;
use crate::table::Table;

/// The digests of a range of buckets, or of some of them, as the asker has them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Comparison {
    /// How many buckets the asker's table was folded into: a power of two.
    pub size: u32,
    /// The first bucket.
    pub from: u32,
    /// The digests of the buckets from there on, or of [`only`](Self::only) some.
    pub digests: Vec<u64>,
    /// Which buckets the digests are of, ascending, the first one being `from`; empty if they
    /// follow one another. At most [`Marks::SIZE`].
    pub only: Vec<u32>,
    /// Whether the asker wants the other side to pull as well.
    pub is_mutual: bool,
}

/// A session or a tombstone, by its digest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Summary {
    /// The key.
    pub key: Key,
    /// Its digest; never 0.
    pub digest: u64,
}

/// What is under the keys of the buckets that are unequal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summaries {
    /// The first bucket that was not looked at, because there was enough to say; `None` if the
    /// whole range was.
    pub next: Option<u32>,
    /// By bucket, then by key.
    pub sessions: Vec<Summary>,
}

impl Comparison {
    /// A comparison has at most this many buckets.
    pub const BUCKETS_MAX: usize = 1 << 16;
    /// An answer names at most this many sessions, and those that share the last one's bucket.
    pub const SESSIONS_MAX: usize = 8192;
    /// And never more than this: beyond it is what shares a bucket with so many others, as happens
    /// only where the table was folded smaller than anybody folds it.
    pub const ANSWER_MAX: usize = 1 << 16;

    /// The asker's side: the digests of `buckets`, with the table folded into `size`.
    ///
    /// # Panics
    ///
    /// `size` is no power of two, or the range is not within it.
    pub fn of(table: &impl Table, size: u32, buckets: Range<u32>, is_mutual: bool) -> Self {
        assert!(
            size.is_power_of_two() && buckets.end <= size,
            "a range of the table"
        );
        let digests = table.digests(size as usize);
        let range = buckets.start as usize..buckets.end as usize;
        Self {
            size,
            from: buckets.start,
            digests: digests[range].to_vec(),
            only: Vec::new(),
            is_mutual,
        }
    }

    /// The same for those of the marked buckets that are not below `from`.
    pub fn of_marked(table: &impl Table, marks: &Marks, from: u32, is_mutual: bool) -> Self {
        let digests = table.digests(Marks::SIZE as usize);
        let only: Vec<_> = marks.iter().filter(|&bucket| bucket >= from).collect();
        Self {
            size: Marks::SIZE,
            from: only.first().copied().unwrap_or(from),
            digests: only.iter().map(|&at| digests[at as usize]).collect(),
            only,
            is_mutual,
        }
    }

    /// The range of buckets in which all are.
    pub fn buckets(&self) -> Range<u32> {
        let len = u32::try_from(self.digests.len()).unwrap_or(u32::MAX);
        let end = self
            .only
            .last()
            .map_or(self.from.saturating_add(len), |last| last.saturating_add(1));
        self.from..end
    }

    /// Whether it can be: bad ones are refused by the decoder.
    pub fn is_sane(&self) -> bool {
        self.size.is_power_of_two()
            && self.size as usize <= Self::BUCKETS_MAX
            && self.digests.len() <= Self::BUCKETS_MAX
            && self.buckets().end <= self.size
            && (self.only.is_empty() || self.names_its_buckets())
    }

    fn names_its_buckets(&self) -> bool {
        self.only.len() == self.digests.len()
            && self.only.len() <= Marks::SIZE as usize
            && self.only.first() == Some(&self.from)
            && self.only.is_sorted_by(|one, next| one < next)
    }

    /// Whether any of the buckets is otherwise here.
    pub fn is_unequal(&self, table: &impl Table) -> bool {
        !self.unequal(table).is_empty()
    }

    /// The buckets that are otherwise here.
    pub fn unequal(&self, table: &impl Table) -> Marks {
        let here = table.digests(self.size as usize);
        let mut unequal = Marks::none();
        for bucket in self.buckets() {
            let asked = self.digest(bucket);
            if asked.is_some_and(|asked| asked != here[bucket as usize]) {
                unequal.mark_bucket(bucket, self.size);
            }
        }
        unequal
    }

    /// The digest of a bucket as the asker has it, if it has said so.
    fn digest(&self, bucket: u32) -> Option<u64> {
        let at = if self.only.is_empty() {
            bucket.checked_sub(self.from)? as usize
        } else {
            self.only.binary_search(&bucket).ok()?
        };
        self.digests.get(at).copied()
    }

    /// The other side: what is here in the buckets that are unequal.
    pub fn answer(&self, table: &impl Table) -> Summaries {
        let here = table.digests(self.size as usize);
        let unequal = |bucket: u32| {
            let asked = self.digest(bucket);
            asked.is_some_and(|asked| asked != here[bucket as usize])
        };
        if !self.buckets().any(unequal) {
            return Summaries::default();
        }
        let mut by_bucket: BTreeMap<u32, Vec<Summary>> = BTreeMap::new();
        let (mut count, mut next) = (0, None);
        table.summaries(
            self.size as usize,
            &mut |Bucket(bucket)| unequal(bucket),
            &mut |summary| {
                let Bucket(bucket) = Bucket::of(summary.key, self.size as usize);
                if next.is_some_and(|next| bucket >= next) {
                    return;
                }
                let sessions = by_bucket.entry(bucket).or_default();
                if sessions.len() < Self::ANSWER_MAX - Self::SESSIONS_MAX {
                    sessions.push(summary);
                    count += 1;
                }
                // What is not going to be named is not kept either, however large the table is.
                while let Some(last) = by_bucket.last_entry() {
                    if count - last.get().len() < Self::SESSIONS_MAX {
                        break;
                    }
                    next = Some(*last.key());
                    count -= last.remove().len();
                }
            },
        );
        let mut sessions = Vec::with_capacity(count);
        for mut of_one in by_bucket.into_values() {
            of_one.sort_unstable();
            sessions.append(&mut of_one);
        }
        Summaries { next, sessions }
    }
}

impl Summaries {
    /// What the asker lacks, or has otherwise: to be fetched. A key that has ended here is not:
    /// its tombstone beats whatever is there, and is for the other side to pull.
    pub fn wanted(&self, table: &impl Table) -> Vec<Key> {
        let differs = |summary: &&Summary| {
            let (digest, is_ended) = table.summary(summary.key);
            digest != summary.digest && !is_ended
        };
        self.sessions
            .iter()
            .filter(differs)
            .map(|summary| summary.key)
            .collect()
    }
}

/// What two looks at the same member have in common: a session counts as different only if both
/// sides have it as they had it before, and still not alike. What changed meanwhile is in use, and
/// its fragments are under way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Look(BTreeMap<Key, (u64, u64)>);

impl Look {
    /// What differs in these summaries at present.
    pub fn at(summaries: &Summaries, table: &impl Table) -> Self {
        let differing = summaries.sessions.iter().filter_map(|summary| {
            let (here, _) = table.summary(summary.key);
            (here != summary.digest).then_some((summary.key, (here, summary.digest)))
        });
        Self(differing.collect())
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The buckets in which something differs.
    pub fn buckets(&self) -> Marks {
        self.0.keys().copied().collect()
    }

    /// Adds what another part of the same look found.
    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many sessions differ now as they did before.
    pub fn still_differing(&self, before: &Self) -> u64 {
        let same = |(key, digests): &(&Key, &(u64, u64))| before.0.get(key) == Some(digests);
        self.0.iter().filter(same).count() as u64
    }
}
