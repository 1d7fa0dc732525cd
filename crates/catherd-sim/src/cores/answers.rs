//! What must be true of an answer at the moment when it is given.

use catherd::core::key::Key;
use catherd::core::link::Outcome;
use catherd::core::session::Entry;
use catherd::core::version::{Incarnation, Vector};

use super::node::{Node, Receipt};
use super::requests::{Shown, Work};
use super::world::World;
use crate::history::{Flags, Process};

impl World {
    /// What a client is shown covers what it was shown before, or the answer says so.
    pub(super) fn check_shown(&mut self, process: Process, key: Key, work: &Work, flags: Flags) {
        let Some(Shown {
            seen: shown,
            by,
            is_held_by_one,
        }) = &work.shown
        else {
            return;
        };
        let is_held = !is_held_by_one || *by == process;
        if flags.takeover {
            self.takeovers_told.insert(key);
        }
        let is_excused = (self.takeovers_told.contains(&key) || self.is_namesake_known(key, *by))
            && self.may_be_lost(key, shown);
        if flags.stale || flags.takeover || !is_held || is_excused {
            return;
        }
        let seen = self.live(process, key, |state| state.seen().clone());
        if !seen.is_some_and(|seen| shown.is_within(&seen)) {
            let what = format!(
                "{process}, request #{}: a client that had seen {shown:?} is shown less",
                work.number
            );
            self.broken("7: nobody is shown less than before", what);
        }
    }

    /// Whether a later process of the same name has shown the session: a route is a name, so nothing
    /// tells the cookies of its clients from those of the one before.
    fn is_namesake_known(&self, key: Key, by: Process) -> bool {
        let node = self.places[by.node].node.as_deref();
        node.is_some_and(|node| {
            node.process != by && node.sides.get(&key).is_some_and(|beside| beside.served)
        })
    }

    /// What was confirmed may be lost where nobody waits for copies, or where all died that had it. Of
    /// several clients of a session the first one that comes after it is told.
    fn may_be_lost(&self, key: Key, shown: &Vector) -> bool {
        let may_lose = !self.plan.settings.mode.is_synchronous();
        let has_it = |entry: Option<&Entry>| {
            let live = entry.and_then(Entry::live);
            live.is_some_and(|state| shown.is_within(state.seen()))
        };
        let mut running = self.places.iter().filter_map(|it| it.node.as_deref());
        may_lose || !running.any(|node| node.table.look(key, has_it))
    }

    /// Who has acknowledged holds what was written, unless it has ended since.
    pub(super) fn check_copies(&mut self, process: Process, key: Key, receipt: &Receipt) {
        let Some(me) = self.look(process) else { return };
        let writer = me.incarnation;
        let Some(written) = self.live(process, key, |state| state.seen().revision(writer)) else {
            return;
        };
        let mut lacking = Vec::new();
        for (holder, ticket) in &receipt.tickets {
            let outcome = me.outcome(*ticket);
            let there = self.processes.get(holder).and_then(|it| self.look(*it));
            // A machine that was put back has lost it, and will hear so.
            let is_it = |it: &&Node| it.incarnation == *holder && !it.clock.has_stood();
            let Some(there) = there.filter(is_it) else {
                continue;
            };
            if outcome != Some(Outcome::Acknowledged) {
                continue;
            }
            // A request beside this one may have committed more, which nobody waits for here.
            let held = there.table.look(key, |entry| match entry {
                Some(Entry::Live(state)) => state.seen().revision(writer),
                Some(Entry::Ended { .. }) => u64::MAX,
                None => 0,
            });
            let is_last = me
                .sides
                .get(&key)
                .and_then(|beside| beside.receipt.as_ref())
                .is_some_and(|last| last.tickets == receipt.tickets);
            if held < written && is_last {
                lacking.push((*holder, held));
            }
        }
        let is_idle = !self.is_shown(process, key);
        if !lacking.is_empty() && !is_idle {
            let what = format!("{process}: {key} up to {written} is not at {lacking:?}");
            self.broken("5: what is confirmed is held", what);
        }
    }

    /// An end that is not said to be pending is known to all that it went to.
    pub(super) fn check_ended(&mut self, process: Process, receipt: &Receipt) {
        let Some((key, generation)) = receipt.ended else {
            return;
        };
        let is_unaware = |holder: &Incarnation| {
            let there = self.processes.get(holder).and_then(|it| self.look(*it));
            // A machine that was put back has lost it, and will hear so.
            let is_it = |it: &&Node| it.incarnation == *holder && !it.clock.has_stood();
            let entry = there.filter(is_it).map(|it| it.table.entry(key));
            let is_it = |it: &Entry| it.live().is_none() && it.generation() >= generation;
            entry.is_some_and(|entry| !entry.as_ref().is_some_and(is_it))
        };
        let holders = receipt.tickets.iter().map(|(holder, _)| *holder);
        let unaware: Vec<_> = holders.clone().filter(is_unaware).collect();
        if generation > 0 {
            let of = holders.filter_map(|holder| self.processes.get(&holder).copied());
            let of: Vec<Process> = of.collect();
            self.check_none_is_over(process, &of);
        }
        if !unaware.is_empty() {
            let what = format!("{process}: the end of {key} is not known to {unaware:?}");
            self.broken("5: what is confirmed is held", what);
        }
    }
}
