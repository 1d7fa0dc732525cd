//! A write: one version for all that is dirty, and the fragment of it.

use super::fragment::Write;
use super::state::{Rules, State, find};
use super::value::{Register, Slot, Value};
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::{Dot, Incarnation, Vector, Version};

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
        let mut dirty = std::mem::take(&mut self.dirty);
        if extent == Extent::Entire {
            dirty.retain(|(slot, value)| self.changes(slot, value.as_ref()));
        }
        if dirty.is_empty() {
            return (extent == Extent::Entire && self.is_committed()).then(|| self.whole(now));
        }
        let version = self.stamp(by);
        let is_first = self.seen.is_empty();
        let since = Dot {
            writer: by.incarnation,
            revision: self.seen.revision(by.incarnation),
        };
        let mut registers = Vec::with_capacity(dirty.len());
        for (slot, value) in dirty {
            let register = Register { version, value };
            registers.push((slot.clone(), register.clone()));
            self.put(slot, register);
        }
        self.seen.raise(version.dot());
        self.tally = by.gone;
        self.forget_removals(rules);
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
        self.dirty.clear();
        self.bytes = self.weigh();
    }

    /// Makes a session of another key with the same live values, dirty ones included, under one
    /// version: what a change of id leaves behind stays behind. What it holds is as old as it was.
    pub(super) fn reborn(&self, birth: super::Birth, now: Time) -> Self {
        let mut reborn = Self::new(birth, now);
        (reborn.last_access, reborn.created) = (self.last_access, self.created);
        let clean = self
            .registers
            .iter()
            .filter(|(slot, _)| find(&self.dirty, slot).is_err());
        reborn.dirty = clean
            .map(|(slot, register)| (slot.clone(), register.value.clone()))
            .chain(self.dirty.iter().cloned())
            .filter(|(_, value)| value.is_some())
            .collect();
        reborn.dirty.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        reborn.bytes = reborn.weigh();
        reborn
    }

    pub(super) fn put(&mut self, slot: Slot, register: Register) {
        match find(&self.registers, &slot) {
            Ok(at) => self.registers[at].1 = register,
            Err(at) => self.registers.insert(at, (slot, register)),
        }
    }

    /// Keeps the newest removals, ties by name; a vector remembers that there were others.
    pub(super) fn forget_removals(&mut self, rules: &Rules) {
        let is_removal = |(_, register): &&(Slot, Register)| register.value.is_none();
        let count = self.registers.iter().filter(is_removal).count();
        let Some(excess) = count
            .checked_sub(rules.removals_kept)
            .filter(|&excess| excess > 0)
        else {
            return;
        };
        let mut removals: Vec<(Version, Slot)> = self
            .registers
            .iter()
            .filter(is_removal)
            .map(|(slot, register)| (register.version, slot.clone()))
            .collect();
        removals.sort_unstable();
        for (version, slot) in removals.into_iter().take(excess) {
            self.forgotten.raise(version.dot());
            if let Ok(at) = find(&self.registers, &slot) {
                self.registers.remove(at);
            }
        }
    }

    fn changes(&self, slot: &Slot, value: Option<&Value>) -> bool {
        self.register(slot)
            .and_then(|register| register.value.as_ref())
            != value
    }

    fn stamp(&self, by: &Writer) -> Version {
        let highest = self.highest();
        let registers = self
            .registers
            .iter()
            .map(|(_, register)| register.version.revision);
        let revision = registers
            .max()
            .unwrap_or(0)
            .max(self.seen.highest())
            .max(by.floor)
            + 1;
        let revision = if is_planted(Bug::CountsOwnWritesAlone) {
            self.seen.revision(by.incarnation) + 1
        } else {
            revision
        };
        let fence = highest.map_or(0, |version| version.fence);
        let raise = u32::from(self.tally != by.gone && !is_planted(Bug::NeverRaisesFences));
        Version {
            fence: fence + raise,
            revision,
            writer: by.incarnation,
        }
    }

    pub(super) fn settle_told(&mut self) {
        if self.told.is_within(&self.seen) {
            self.told = Vector::new();
        }
    }
}
