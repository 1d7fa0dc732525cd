//! The one operation that changes a copy from outside.

use super::fragment::Write;
use super::registers::{Few, Join, Registers, Seen, ValueRef};
use super::state::{Rules, State};
use crate::planted::{Bug, is_planted};
use crate::version::Version;

/// What a merge did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Merged {
    /// What the copy is now, with regard to the fragment.
    pub outcome: Outcome,
    /// How many registers met one that neither side had seen: the higher version won.
    pub concurrent: u32,
    /// How many registers had equal versions and different bytes: a bug, or rot. An alarm.
    pub corrupt: u32,
}

/// What a copy is after a merge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It holds the fragment and all that belongs to it, or the end that the fragment told of.
    Complete,
    /// A write is missing here; it must be fetched before the fragment is acknowledged.
    Behind,
    /// The session has ended here: the fragment was dropped.
    Ended,
    /// Two sessions claim the key: both have ended. An alarm.
    Twin,
    /// There was no copy, and the fragment is idle beyond its limit: it was not taken.
    Idle,
}

impl Merged {
    pub(super) const fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            concurrent: 0,
            corrupt: 0,
        }
    }
}

/// What came of the registers of a fragment.
struct Taken {
    merged: Merged,
    /// Some are gone that a whole copy no longer has.
    is_any_gone: bool,
    /// How many removals there are now.
    removals: usize,
}

impl State {
    /// Merges a fragment of the same birth.
    pub(super) fn merge(&mut self, write: &Write, rules: &Rules) -> Merged {
        debug_assert_eq!(
            self.birth, write.birth,
            "the caller has compared the births"
        );
        let fits = write.fits(&self.seen) || is_planted(Bug::SeesOverGaps);
        let taken = self.take(write, fits);
        if taken.is_any_gone {
            // What was dropped may have been a removal of which somebody has yet to hear: whatever
            // starts before now and goes out later is whole. (What others removed and was never
            // here needs no such care: who has not seen it lacks a part of `before`, and will ask.)
            let seen = self.seen.clone();
            self.forgotten_mut().merge(&seen);
        }
        if fits {
            self.seen.merge(&write.seen);
        } else {
            self.hear_of(write);
        }
        self.settle_told();
        self.forget_removals(taken.removals, rules);
        let is_behind = self.is_behind() && !write.seen.is_within(&self.seen);
        let outcome = if is_behind {
            Outcome::Behind
        } else {
            Outcome::Complete
        };
        Merged {
            outcome,
            ..taken.merged
        }
    }

    /// Takes the registers that win.
    fn take(&mut self, write: &Write, fits: bool) -> Taken {
        let mut taken = Taken {
            merged: Merged::plain(Outcome::Complete),
            is_any_gone: false,
            removals: 0,
        };
        let before = std::mem::take(&mut self.registers);
        let (here, theirs) = (before.seen(), write.registers.seen());
        let is_first = here.is_empty() && self.seen.is_empty();
        let mut is_changed = false;
        let mut all = Few::new();
        for pair in Join::new(&here, &theirs) {
            match pair {
                // A register that the whole copy knows of and does not have was removed there.
                (Some(&ours), None) => {
                    if fits && write.is_whole() && write.seen.covers(ours.version.dot()) {
                        taken.is_any_gone = true;
                    } else {
                        all.push(ours);
                    }
                }
                // Absent, yet its write is known here: it was removed.
                (None, Some(&theirs)) => {
                    let is_known = self.seen.covers(theirs.version.dot());
                    if !is_known || is_planted(Bug::RevivesRemoved) {
                        is_changed = true;
                        all.push(theirs);
                    }
                }
                (Some(&ours), Some(&theirs)) => {
                    let wins = self.wins((ours, theirs), write, &mut taken.merged);
                    is_changed |= wins;
                    all.push(if wins { theirs } else { ours });
                }
                (None, None) => {}
            }
        }
        taken.removals = all.iter().filter(|register| register.is_removal()).count();
        self.bytes = self.weight_over(all.iter().copied());
        self.registers = if is_first {
            write.registers.clone()
        } else if is_changed || taken.is_any_gone {
            Registers::pack(&all)
        } else {
            before.clone()
        };
        taken
    }

    /// Whether their register takes the place of ours.
    fn wins(
        &self,
        (ours, theirs): (Seen<'_>, Seen<'_>),
        write: &Write,
        merged: &mut Merged,
    ) -> bool {
        let unknown_here = !self.seen.covers(theirs.version.dot());
        let unknown_there = !write.seen.covers(ours.version.dot());
        if unknown_here && unknown_there && ours.version != theirs.version {
            merged.concurrent += 1;
        }
        if ours.version == theirs.version && theirs.value != ours.value {
            merged.corrupt += 1;
            let hash = |register: Seen<'_>| register.value.map(ValueRef::hash);
            return hash(theirs) > hash(ours);
        }
        is_higher(theirs.version, ours.version)
    }
}

fn is_higher(theirs: Version, ours: Version) -> bool {
    if is_planted(Bug::LastArrivalWins) {
        return theirs != ours;
    }
    if is_planted(Bug::IgnoresFences) {
        return (theirs.revision, theirs.writer) > (ours.revision, ours.writer);
    }
    theirs > ours
}
