//! Who is pulled from, in which order, and when that is enough.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::planted::{Bug, is_planted};
use crate::version::Incarnation;

/// Brings one context of a starting node up to date.
///
/// First the bulk: the buckets are shared out among the donors, side by side, in parts; a donor
/// that fails gives its part back, and another one does it again, that part and nothing else. Then
/// **every** donor is verified with, not those alone that gave something: one may still lack what
/// waits in another's queue.
///
/// Tell it who the donors are with [`handle_donors`](Self::handle_donors) whenever that changes,
/// and how pulls went with [`handle_pulled`](Self::handle_pulled); drain
/// [`poll`](Self::poll) after each. It is over when [`is_verified`](Self::is_verified) says so.
#[derive(Debug)]
pub struct Join {
    parts: u32,
    todo: VecDeque<Range<u32>>,
    size: u32,
    /// What each donor is being asked for: a part, or the whole of it to verify. What is not in here
    /// any more says nothing when it comes.
    under_way: BTreeMap<Incarnation, Pull>,
    /// The number of the last pull.
    pulls: u64,
    verified: BTreeSet<Incarnation>,
    /// How often pulling from a donor failed since it last worked.
    failures: BTreeMap<Incarnation, u32>,
    donors: BTreeSet<Incarnation>,
}

/// Compare these buckets with that member, and fetch what differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pull {
    /// Counts the pulls of a join, from 1.
    pub number: u64,
    /// Whom to pull from.
    pub from: Incarnation,
    /// Which buckets.
    pub buckets: Range<u32>,
    /// Whether it is of all of them: who has pulled so has verified. Any other is a part of the bulk.
    pub verifies: bool,
}

impl Join {
    /// Into how many parts the buckets are cut.
    pub const PARTS: u32 = 16;
    /// A donor that failed this often in a row is not asked again until
    /// [`handle_patience`](Self::handle_patience) says so, or it comes anew.
    pub const FAILURES_MAX: u32 = 3;

    /// A join over a table of `size` buckets, a power of two of at least [`PARTS`](Self::PARTS).
    pub fn new(size: u32) -> Self {
        assert!(
            size.is_power_of_two() && size >= Self::PARTS,
            "parts of equal size"
        );
        let width = size / Self::PARTS;
        let todo = (0..Self::PARTS)
            .map(|part| part * width..(part + 1) * width)
            .collect();
        Self {
            parts: Self::PARTS,
            todo,
            size,
            under_way: BTreeMap::new(),
            pulls: 0,
            verified: BTreeSet::new(),
            failures: BTreeMap::new(),
            donors: BTreeSet::new(),
        }
    }

    /// The members to get the state from at present: those that are ready or, if none is, all.
    pub fn handle_donors(&mut self, donors: impl IntoIterator<Item = Incarnation>) {
        let donors: BTreeSet<_> = donors.into_iter().collect();
        let gone = |member: &Incarnation| !donors.contains(member);
        let lost: Vec<_> = self.under_way.keys().copied().filter(gone).collect();
        for member in lost {
            self.give_up(member);
        }
        self.verified.retain(|member| !gone(member));
        self.failures.retain(|member, _| !gone(member));
        self.donors = donors;
    }

    /// The connection with a donor was lost, and perhaps opened again: what it sent meanwhile may
    /// be lost as well, so it has to be verified with anew.
    pub fn handle_lost(&mut self, donor: Incarnation) {
        self.verified.remove(&donor);
        // A pull under way may have begun on the connection before. A part of the bulk is as good
        // as ever.
        if self.is_verifying(donor) {
            self.under_way.remove(&donor);
        }
    }

    /// Some time has passed: donors that failed are asked again.
    pub fn handle_patience(&mut self) {
        self.failures.clear();
    }

    /// A pull has come to its end, well or not. One that was given up meanwhile says nothing.
    pub fn handle_pulled(&mut self, pull: &Pull, is_done: bool) {
        let is_given_up = self.under_way.get(&pull.from) != Some(pull);
        if is_given_up && !is_planted(Bug::CountsPullsGivenUp) {
            return;
        }
        if !is_done {
            self.give_up(pull.from);
            *self.failures.entry(pull.from).or_insert(0) += 1;
            return;
        }
        if self.is_verifying(pull.from) || is_planted(Bug::TakesPartsForAll) {
            self.verified.insert(pull.from);
        }
        self.under_way.remove(&pull.from);
        self.failures.remove(&pull.from);
    }

    /// The next pull to begin; several go side by side, one a donor.
    pub fn poll(&mut self) -> Option<Pull> {
        let failures = &self.failures;
        let is_asked = |member: &Incarnation| {
            let failures = failures.get(member).copied().unwrap_or(0);
            !self.under_way.contains_key(member) && failures < Self::FAILURES_MAX
        };
        let mut idle = self.donors.iter().copied().filter(is_asked);
        let verifies = self.todo.is_empty();
        let (from, buckets) = if verifies {
            if self.parts_under_way() > 0 {
                return None;
            }
            let from = idle.find(|member| !self.verified.contains(member))?;
            (from, 0..self.size)
        } else {
            let from = idle.next()?;
            (from, self.todo.pop_front()?)
        };
        self.pulls += 1;
        let pull = Pull {
            number: self.pulls,
            from,
            buckets,
            verifies,
        };
        self.under_way.insert(from, pull.clone());
        Some(pull)
    }

    /// Whether this node has verified with every donor; with none there is nothing to get.
    pub fn is_verified(&self) -> bool {
        if is_planted(Bug::VerifiesWithOne) && !self.verified.is_empty() {
            return true;
        }
        self.donors.is_subset(&self.verified)
    }

    /// How much of the bulk is done, from 0 to 1.
    pub fn progress(&self) -> f64 {
        let left = self.todo.len() + self.parts_under_way();
        1.0 - left as f64 / f64::from(self.parts)
    }

    /// The donor is not asked for it any more; a part is left to the others.
    fn give_up(&mut self, donor: Incarnation) {
        let was_verifying = self.is_verifying(donor);
        if let Some(pull) = self.under_way.remove(&donor)
            && !was_verifying
        {
            self.todo.push_front(pull.buckets);
        }
    }

    fn is_verifying(&self, donor: Incarnation) -> bool {
        let pull = self.under_way.get(&donor);
        pull.is_some_and(|pull| pull.verifies)
    }

    fn parts_under_way(&self) -> usize {
        let under_way = self.under_way.keys();
        under_way
            .filter(|&&donor| !self.is_verifying(donor))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u64) -> Incarnation {
        Incarnation::from_bits(number)
    }

    /// Does pulls in the order in which they are wanted; `fails` says which do not work.
    fn drive(join: &mut Join, mut fails: impl FnMut(&Pull) -> bool) -> Vec<Pull> {
        let (mut log, mut open) = (Vec::new(), VecDeque::new());
        loop {
            while let Some(pull) = join.poll() {
                log.push(pull.clone());
                open.push_back(pull);
            }
            let Some(pull) = open.pop_front() else {
                return log;
            };
            let is_done = !fails(&pull);
            join.handle_pulled(&pull, is_done);
        }
    }

    #[test]
    fn without_donors_there_is_nothing_to_get() {
        let mut join = Join::new(4096);
        join.handle_donors([]);
        assert!(join.is_verified());
        assert_eq!(join.poll(), None);
    }

    #[test]
    fn the_buckets_are_shared_out_and_every_donor_is_verified_with() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1), member(2)]);
        let log = drive(&mut join, |_| false);
        assert!(join.is_verified());
        assert!((join.progress() - 1.0).abs() < f64::EPSILON);
        let whole = |pull: &&Pull| pull.buckets == (0..4096);
        assert_eq!(log.iter().filter(whole).count(), 2, "verified with both");
        let parts: BTreeSet<_> = log
            .iter()
            .filter(|pull| !whole(pull))
            .map(|pull| pull.buckets.start)
            .collect();
        assert_eq!(parts.len(), 16, "each part once");
        assert_eq!(log.len(), 18);
        for donor in [member(1), member(2)] {
            assert_eq!(log.iter().filter(|pull| pull.from == donor).count(), 9);
        }
    }

    #[test]
    fn a_donor_that_dies_gives_its_part_back_and_no_other() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1), member(2)]);
        let first = join.poll().unwrap();
        let second = join.poll().unwrap();
        assert_ne!(first.from, second.from);
        assert_eq!(join.poll(), None, "one pull a donor");
        join.handle_donors([second.from]);
        join.handle_pulled(&first, false);
        join.handle_pulled(&second, true);
        let log = drive(&mut join, |_| false);
        assert!(join.is_verified());
        let again = log
            .iter()
            .filter(|pull| pull.buckets == first.buckets)
            .count();
        assert_eq!(again, 1);
        assert!(
            log.iter().all(|pull| pull.buckets != second.buckets),
            "done is done"
        );
    }

    #[test]
    fn a_donor_that_always_fails_is_given_up_and_the_join_is_not_verified() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1), member(2)]);
        let log = drive(&mut join, |pull| pull.from == member(1));
        assert!(!join.is_verified(), "the failing one is still a member");
        let failed = log.iter().filter(|pull| pull.from == member(1)).count();
        assert_eq!(failed, Join::FAILURES_MAX as usize);
        join.handle_donors([member(2)]);
        drive(&mut join, |_| false);
        assert!(join.is_verified(), "gone, it is no donor any more");
    }

    #[test]
    fn a_donor_that_failed_is_asked_again_after_a_while() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1)]);
        drive(&mut join, |_| true);
        assert!(!join.is_verified());
        assert_eq!(join.poll(), None, "given up for now");
        join.handle_patience();
        drive(&mut join, |_| false);
        assert!(join.is_verified());
    }

    #[test]
    fn a_connection_that_was_lost_is_verified_anew() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1), member(2)]);
        drive(&mut join, |_| false);
        join.handle_lost(member(2));
        assert!(!join.is_verified());
        let verifies = |pull: Pull| (pull.from, pull.buckets);
        let again = join.poll().unwrap();
        assert_eq!(verifies(again.clone()), (member(2), 0..4096));
        join.handle_lost(member(2));
        let anew = join.poll().unwrap();
        assert_eq!(verifies(anew.clone()), (member(2), 0..4096));
        join.handle_pulled(&again, true);
        assert!(!join.is_verified(), "that pull began before the loss");
        join.handle_lost(member(2));
        join.handle_pulled(&anew, true);
        assert!(!join.is_verified(), "so did that one");
        drive(&mut join, |_| false);
        assert!(join.is_verified());
    }

    /// A donor that was none for a moment still answers the part that it was asked for before.
    #[test]
    fn a_part_that_comes_late_is_no_verification() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1), member(2)]);
        let first = join.poll().unwrap();
        let late = join.poll().unwrap();
        assert_eq!((first.from, late.from), (member(1), member(2)));
        join.handle_donors([member(1)]);
        join.handle_pulled(&first, true);
        drive(&mut join, |_| false);
        join.handle_donors([member(1), member(2)]);
        let verifies = join.poll().unwrap();
        assert_eq!(
            (verifies.from, verifies.buckets.clone()),
            (member(2), 0..4096)
        );
        join.handle_pulled(&late, true);
        assert!(!join.is_verified(), "a part is not the whole");
        join.handle_pulled(&verifies, true);
        assert!(join.is_verified());
    }

    #[test]
    fn a_member_that_comes_meanwhile_is_verified_with_as_well() {
        let mut join = Join::new(4096);
        join.handle_donors([member(1)]);
        drive(&mut join, |_| false);
        join.handle_donors([member(1), member(3)]);
        assert!(!join.is_verified());
        let log = drive(&mut join, |_| false);
        let asked: Vec<_> = log
            .into_iter()
            .map(|pull| (pull.from, pull.buckets))
            .collect();
        assert_eq!(asked, [(member(3), 0..4096)]);
        assert!(join.is_verified());
    }
}
