//! A write: one version for all that is dirty, and the fragment of it.

use super::fragment::Write;
use super::registers::{Few, Join, Registers, Seen, SlotRef, ValueRef};
use super::state::{Rules, State};
use super::value::{Slot, Value};
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::{Dot, Incarnation, Version};

/// Who commits, and what it knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Writer {
    /// This process.
    pub incarnation: Incarnation,
    /// How many members it has declared gone after a failed probe, so far.
    pub gone: u32,
    /// The highest revision that it ever gave out in a copy which it then dropped while a member
    /// was missing: a dot is never used twice.
    pub floor: u64,
}

/// How much of the session a commit sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// What has changed, if anything has.
    Changes,
    /// The entire session, changed or not (`useDirtyFlag="false"`). A value whose bytes are the
    /// same keeps its version: otherwise every request would undo other nodes' writes.
    Entire,
}

impl State {
    /// Stamps all that is dirty with one version, and makes the fragment of it; `None` if there
    /// is nothing to send.
    ///
    /// The caller holds the session's lock until the fragment is in the queue of every holder, so
    /// that the order in the queues is the order of revisions. It has made sure that the entry is
    /// still in the table, with the same birth, and not ended: a commit never inserts.
    pub fn commit(
        &mut self,
        now: Time,
        by: &Writer,
        extent: Extent,
        rules: &Rules,
    ) -> Option<Write> {
        let mut dirty = self.take_dirty();
        if extent == Extent::Entire {
            dirty.retain(|(slot, value)| self.changes(slot, value.as_ref()));
        }
        if dirty.is_empty() {
            return (extent == Extent::Entire && self.is_committed()).then(|| self.whole(now));
        }
        let before = std::mem::take(&mut self.registers);
        let here = before.seen();
        let version = self.stamp(by, &here);
        let is_first = self.seen.is_empty();
        let since = Dot {
            writer: by.incarnation,
            revision: self.seen.revision(by.incarnation),
        };
        let new = dirty.iter().map(|(slot, value)| Seen {
            slot: SlotRef::of(slot),
            version,
            value: value.as_ref().map(ValueRef::Shared),
        });
        let new: Few<_> = new.collect();
        let registers = Registers::pack(&new);
        let all: Few<_> = Join::new(&here, &new).put().collect();
        let removals = all.iter().filter(|register| register.is_removal()).count();
        self.registers = Registers::pack(&all);
        self.seen.raise(version.dot());
        self.tally = by.gone;
        self.forget_removals(removals, rules);
        // Nobody has anything before the first write that this copy knows all about. All its
        // registers go, for it may have some of writes that it does not know all about.
        if is_first || extent == Extent::Entire {
            return Some(self.whole(now));
        }
        Some(Write {
            birth: self.birth,
            seen: self.seen.clone(),
            since: Some(since),
            registers,
            age: now.since(self.last_access),
            lived: now.since(self.created),
        })
    }

    /// Forgets what was set since the last commit.
    pub fn discard(&mut self) {
        self.take_dirty();
        self.weigh();
    }

    /// Makes a session of another key with the same live values, dirty ones included, under one
    /// version: what a change of id leaves behind stays behind. What it holds is as old as it was.
    pub(super) fn reborn(&self, birth: super::Birth, now: Time) -> Self {
        let mut reborn = Self::new(birth, now);
        (reborn.last_access, reborn.created) = (self.last_access, self.created);
        for (slot, value) in self.present() {
            reborn.put_dirty(slot.to_slot(), Some(value.to_value()));
        }
        reborn.weigh();
        reborn
    }

    /// Keeps the newest removals, of `count`, ties by name; a vector remembers that there were
    /// others.
    pub(super) fn forget_removals(&mut self, count: usize, rules: &Rules) {
        let removals_kept = if is_planted(Bug::ForgetsRemovals) {
            0
        } else {
            rules.removals_kept
        };
        let Some(excess) = count
            .checked_sub(removals_kept)
            .filter(|&excess| excess > 0)
        else {
            return;
        };
        let removals = self.registers.iter().filter(Seen::is_removal);
        let mut removals: Vec<_> = removals
            .map(|register| (register.version, register.slot.to_slot()))
            .collect();
        removals.sort_unstable();
        let (oldest, kept) = removals.split_at(excess);
        let newest_forgotten = oldest.last();
        let noted = oldest.iter().filter(|_| !is_planted(Bug::ForgetsRemovals));
        for (version, _) in noted {
            self.forgotten_mut().raise(version.dot());
        }
        let is_kept = |register: &Seen<'_>| {
            register.value.is_some()
                || newest_forgotten.is_none_or(|(version, slot)| {
                    (register.version, register.slot) > (*version, SlotRef::of(slot))
                })
        };
        let before = std::mem::take(&mut self.registers);
        let registers: Few<_> = before.iter().filter(is_kept).collect();
        debug_assert_eq!(
            registers
                .iter()
                .filter(|register| register.is_removal())
                .count(),
            kept.len(),
            "what is kept is what comes after the last that is not"
        );
        self.registers = Registers::pack(&registers);
    }

    fn changes(&self, slot: &Slot, value: Option<&Value>) -> bool {
        let here = self.registers.find(slot).and_then(|here| here.value);
        here != value.map(ValueRef::Shared)
    }

    /// The version after all that is `here`.
    fn stamp(&self, by: &Writer, here: &[Seen<'_>]) -> Version {
        let (mut highest, mut revision) = (None, self.seen.highest().max(by.floor));
        for register in here {
            highest = highest.max(Some(register.version));
            revision = revision.max(register.version.revision);
        }
        let revision = revision + 1;
        let revision = if is_planted(Bug::CountsOwnWritesAlone) {
            self.seen.revision(by.incarnation) + 1
        } else {
            revision
        };
        let fence = highest.map_or(0, |version: Version| version.fence);
        let raise = u32::from(self.tally != by.gone && !is_planted(Bug::NeverRaisesFences));
        Version {
            fence: fence + raise,
            revision,
            writer: by.incarnation,
        }
    }

    pub(super) fn settle_told(&mut self) {
        if self.told().is_within(&self.seen) {
            self.tell_nothing();
        }
    }
}
