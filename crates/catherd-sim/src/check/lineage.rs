//! Where every value comes from: a tree of writes for each name of each session.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{History, Number, Operation, READER, Step, Subject};

/// All sessions, by what they are to their clients.
#[derive(Debug, Default)]
pub(super) struct Lineages {
    pub(super) subjects: BTreeMap<Subject, Lineage>,
}

/// One session, over all its keys.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    writes: BTreeMap<String, BTreeMap<Number, Write>>,
    /// Operations that may have ended it, or moved it: when each began, and the key that it ended.
    ends: Vec<(Duration, Option<String>)>,
    /// How long it may be idle.
    pub(super) idle_limit: Option<Duration>,
    /// When anything used it: beginning and end of each operation that found it.
    pub(super) uses: Vec<(Duration, Duration)>,
    /// What changes of id found: what they had not seen is not carried over.
    moved: Vec<BTreeMap<String, Seen>>,
    /// Whether somebody does not know what became of a request in it.
    pub(super) has_unknown: bool,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    parent: Option<Number>,
    removed: bool,
}

/// What is under a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    Nothing,
    /// The write of this operation, which may be a removal.
    Write(Number),
}

impl Lineages {
    pub(super) fn of(history: &History) -> Self {
        let mut all = Self::default();
        for operation in &history.operations {
            all.add(operation);
        }
        all
    }

    fn add(&mut self, operation: &Operation) {
        let lineage = self.subjects.entry(operation.subject).or_default();
        for step in &operation.steps {
            if let Step::CreateIdle(_, limit) = step {
                lineage.idle_limit = Some(*limit);
            }
        }
        let Some(ran) = &operation.ran else { return };
        if operation.answer().is_none() {
            lineage.has_unknown = true;
        }
        if ran.key.is_some() && operation.client != READER {
            lineage.uses.push((operation.began, operation.ended));
        }
        for wrote in &ran.wrote {
            let write = Write {
                parent: wrote.parent,
                removed: wrote.removed,
            };
            let of_name = lineage.writes.entry(wrote.name.clone()).or_default();
            of_name.insert(operation.number, write);
        }
        if ran.moved_to.is_some() {
            let last = |(name, value): (&String, &Vec<Number>)| {
                Some((name.clone(), Seen::Write(*value.last()?)))
            };
            lineage
                .moved
                .push(ran.found.iter().filter_map(last).collect());
        }
        // Who asked for an end and died on the way may have made it.
        let asked = operation
            .steps
            .iter()
            .any(|step| matches!(step, Step::Login | Step::Logout));
        if ran.ended || ran.moved_to.is_some() || (asked && operation.answer().is_none()) {
            lineage.ends.push((operation.began, operation.key.clone()));
        }
    }
}

impl Lineage {
    /// From here on the session may have ended, whatever its key: all sessions of a user ended.
    pub(super) fn may_end(&mut self, at: Duration) {
        self.ends.push((at, None));
    }

    /// Whether the key may have ended by then, because somebody wanted it.
    pub(super) fn may_have_ended(&self, key: Option<&str>, by: Duration) -> bool {
        self.ends
            .iter()
            .any(|(began, ended)| *began <= by && (ended.as_deref() == key || ended.is_none()))
    }

    /// Whether anything ever wanted to end the session as a whole or move it.
    pub(super) fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Whether a change of id had not seen this write, and so left it behind.
    pub(super) fn is_left_behind(&self, name: &str, number: Number) -> bool {
        self.moved.iter().any(|found| {
            let seen = found.get(name).copied().unwrap_or(Seen::Nothing);
            seen != Seen::Write(number) && self.is_older(name, seen, Seen::Write(number))
        })
    }

    /// Whether an operation wrote this name.
    pub(super) fn is_write(&self, name: &str, number: Number) -> bool {
        self.writes
            .get(name)
            .is_some_and(|writes| writes.get(&number).is_some_and(|write| !write.removed))
    }

    /// The writes that `number` replaced, the latest first, as far as they are known.
    pub(super) fn ancestors(&self, name: &str, number: Number) -> Vec<Number> {
        let Some(writes) = self.writes.get(name) else {
            return Vec::new();
        };
        let (mut found, mut at) = (Vec::new(), number);
        while let Some(parent) = writes.get(&at).and_then(|write| write.parent) {
            found.push(parent);
            at = parent;
        }
        found
    }

    /// Whether `now` is what somebody would see who has lost what `before` is: something that
    /// `before` had replaced.
    pub(super) fn is_older(&self, name: &str, now: Seen, before: Seen) -> bool {
        let Seen::Write(before) = before else {
            return false;
        };
        match now {
            Seen::Write(now) => self.ancestors(name, before).contains(&now),
            Seen::Nothing => {
                let Some(writes) = self.writes.get(name) else {
                    return true;
                };
                let ancestors = self.ancestors(name, before);
                let mut removals = writes.iter().filter(|(_, write)| write.removed);
                // A removal that `before` had not replaced may have come after it, or be it.
                !removals.any(|(number, _)| !ancestors.contains(number))
            }
        }
    }
}
