//! The one operation that changes a copy from outside.

use super::fragment::Write;
use super::state::{Rules, State, find};
use super::value::{Register, Slot};
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

impl State {
    /// Merges a fragment of the same birth.
    pub(super) fn merge(&mut self, write: &Write, rules: &Rules) -> Merged {
        debug_assert_eq!(
            self.birth, write.birth,
            "the caller has compared the births"
        );
        let mut merged = Merged::plain(Outcome::Complete);
        for (slot, register) in &write.registers {
            self.merge_register(slot, register, write, &mut merged);
        }
        if write.fits(&self.seen) || is_planted(Bug::SeesOverGaps) {
            if write.is_whole() {
                self.drop_what_is_gone_there(write);
            }
            self.seen.merge(&write.seen);
        } else {
            self.told.merge(&write.seen);
            for (_, register) in &write.registers {
                self.told.raise(register.version.dot());
            }
        }
        self.settle_told();
        self.forget_removals(rules);
        self.bytes = self.weigh();
        if self.is_behind() && !write.seen.is_within(&self.seen) {
            merged.outcome = Outcome::Behind;
        }
        merged
    }

    fn merge_register(
        &mut self,
        slot: &Slot,
        theirs: &Register,
        write: &Write,
        merged: &mut Merged,
    ) {
        let Ok(at) = find(&self.registers, slot) else {
            // Absent, yet its write is known here: it was removed.
            if !self.seen.covers(theirs.version.dot()) {
                self.put(slot.clone(), theirs.clone());
            }
            return;
        };
        let ours = &mut self.registers[at].1;
        let unknown_here = !self.seen.covers(theirs.version.dot());
        let unknown_there = !write.seen.covers(ours.version.dot());
        if unknown_here && unknown_there && ours.version != theirs.version {
            merged.concurrent += 1;
        }
        if is_higher(theirs.version, ours.version) {
            *ours = theirs.clone();
        } else if theirs.version == ours.version && theirs.value != ours.value {
            merged.corrupt += 1;
            let hash = |register: &Register| register.value.as_ref().map(|value| value.hash());
            if hash(theirs) > hash(ours) {
                *ours = theirs.clone();
            }
        }
    }

    /// A register that the whole copy knows of and does not have was removed there.
    fn drop_what_is_gone_there(&mut self, write: &Write) {
        let had = self.registers.len();
        self.registers.retain(|(slot, register)| {
            find(&write.registers, slot).is_ok() || !write.seen.covers(register.version.dot())
        });
        // What was dropped may have been a removal of which somebody has yet to hear: whatever
        // starts before now and goes out later is whole. (What others removed and was never here
        // needs no such care: who has not seen it lacks a part of `before`, and will ask.)
        if self.registers.len() < had {
            self.forgotten.merge(&self.seen);
        }
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
