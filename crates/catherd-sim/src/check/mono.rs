//! P-MONO: a client that sends the cookie back with its route never reads a session older than the
//! one it last saw, unless the answer says so.
//!
//! Older is what had been replaced: a value is older than another if that one was written by
//! somebody who found it there, or who found what had been written over it. Two writes that did not
//! know of each other are neither older nor younger, and which of them counts is settled when they
//! meet; so a client may see either after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use super::lineage::{Lineage, Lineages, Seen};
use super::survival::Survival;
use crate::history::{History, Operation, Process, READER, Ran, Subject};
use crate::nodes::OWNER;
use crate::plan::Plan;

/// What a client saw last of a session.
#[derive(Debug, Default)]
struct Last {
    names: BTreeMap<String, Seen>,
    /// The key that the session had then; `None` if it was ended.
    key: Option<String>,
    /// Who alone held it, if the answer said that it was not replicated: what its client saw there
    /// is not promised to be known anywhere else.
    only_at: Option<Process>,
    /// Who showed it.
    shown_by: Option<Process>,
    /// Who held what it saw then, and when that was.
    held: (Vec<Process>, Duration),
}

pub(super) fn check(
    plan: &Plan,
    history: &History,
    lineages: &Lineages,
    survival: &Survival<'_>,
    found: &mut Vec<Violation>,
) {
    let mut clients: BTreeMap<(usize, Subject), Last> = BTreeMap::new();
    let may_lose = !plan.settings.mode.is_synchronous();
    let (told, showings) = (Told::of(history), Showings::of(history));
    for operation in &history.operations {
        if operation.client == READER {
            continue;
        }
        let Some((flags, copies)) = operation.answer() else {
            continue;
        };
        let Some(ran) = &operation.ran else { continue };
        let lineage = &lineages.subjects[&operation.subject];
        let client = (operation.client, operation.subject);
        // A key that has ended is tried again: what comes of that is not for here to say.
        if clients
            .get(&client)
            .is_some_and(|last| last.key != operation.key)
        {
            continue;
        }
        let Some(_) = &ran.key else {
            let is_flagged = flags.stale || flags.takeover;
            if let Some(last) = clients.get(&client)
                && !is_flagged
                && !may_be_absent(operation, lineage)
                && last.only_at.is_none_or(|only| only == operation.process)
                // A cluster that has lost all that it knew does not know that either.
                && survival.holds(&last.held.0, last.held.1, operation.began)
            {
                found.push(Violation {
                    promise: "P-MONO",
                    operation: Some(operation.number),
                    what: "the session is not there, nobody ended it, and the answer does not say \
                           that anything is amiss"
                        .to_owned(),
                });
            }
            if let Some(last) = clients.get_mut(&client) {
                last.key = None;
            }
            continue;
        };
        let last = clients.entry(client).or_default();
        let is_held = last.only_at.is_none_or(|only| only == operation.process);
        let may_be_lost =
            || may_lose || !survival.holds(&last.held.0, last.held.1, operation.began);
        let is_told = (told.is_told(operation, last.held.1)
            || last
                .shown_by
                .is_some_and(|by| showings.hide(by, operation, last.held.1)))
            && may_be_lost();
        if !flags.stale && !flags.takeover && is_held && !is_told {
            compare(operation, ran, last, lineage, found);
        }
        *last = Last {
            names: after(operation, ran),
            key: ran
                .moved_to
                .clone()
                .or_else(|| ran.key.clone())
                .filter(|_| !ran.ended),
            only_at: flags.durability.then_some(operation.process),
            shown_by: Some(operation.process),
            held: (copies.to_vec(), operation.ended),
        };
    }
}

/// When it was said of a session that what a dead node had confirmed cannot be known.
///
/// A write may be lost where nobody waits for copies, or where all died that had it. Of several
/// clients of a session the first one that comes after it is told.
struct Told(BTreeMap<Subject, Vec<Duration>>);

impl Told {
    fn of(history: &History) -> Self {
        let mut told: BTreeMap<Subject, Vec<Duration>> = BTreeMap::new();
        for operation in &history.operations {
            // Who left before the answer may have been the one who was told.
            if operation.answer().is_none_or(|(flags, _)| flags.takeover) {
                let of = told.entry(operation.subject).or_default();
                of.push(operation.began);
            }
        }
        Self(told)
    }

    /// Whether a client was told between these two, or at the same time.
    fn is_told(&self, operation: &Operation, since: Duration) -> bool {
        let mut told = self.0.get(&operation.subject).into_iter().flatten();
        told.any(|at| (since..=operation.ended).contains(at))
    }
}

/// Which processes have shown a session, and when.
///
/// A route is a name. Once a later process of that name has shown the session to another of its
/// clients, nothing tells their cookies apart.
struct Showings<'a>(BTreeMap<Subject, Vec<&'a Operation>>);

impl<'a> Showings<'a> {
    fn of(history: &'a History) -> Self {
        let mut showings: BTreeMap<Subject, Vec<&Operation>> = BTreeMap::new();
        for operation in &history.operations {
            if operation.ran.as_ref().is_some_and(|ran| ran.key.is_some()) {
                showings
                    .entry(operation.subject)
                    .or_default()
                    .push(operation);
            }
        }
        Self(showings)
    }

    /// Whether a later process of the same name as `by` has shown it since to another request, and
    /// before the answer to this one.
    fn hide(&self, by: Process, operation: &Operation, since: Duration) -> bool {
        let mut showings = self.0.get(&operation.subject).into_iter().flatten();
        showings.any(|other| {
            let is_namesake = other.process.node == by.node && other.process != by;
            let is_between = (since..=operation.ended).contains(&other.began);
            is_namesake && is_between && other.number != operation.number
        })
    }
}

fn compare(
    operation: &Operation,
    ran: &Ran,
    last: &Last,
    lineage: &Lineage,
    found: &mut Vec<Violation>,
) {
    for (name, &before) in &last.names {
        let now = match ran.found.get(name).and_then(|value| value.last()) {
            Some(&number) => Seen::Write(number),
            None => Seen::Nothing,
        };
        if now != before && name != OWNER && lineage.is_older(name, now, before) {
            found.push(Violation {
                promise: "P-MONO",
                operation: Some(operation.number),
                what: format!("`{name}` is {now:?}, and this client had seen {before:?}"),
            });
        }
    }
}

/// What the client knows of the session when it has the answer.
fn after(operation: &Operation, ran: &Ran) -> BTreeMap<String, Seen> {
    let mut names = BTreeMap::new();
    for (name, value) in &ran.found {
        if let Some(&number) = value.last() {
            names.insert(name.clone(), Seen::Write(number));
        }
    }
    for wrote in &ran.wrote {
        names.insert(wrote.name.clone(), Seen::Write(operation.number));
    }
    names
}

/// Whether somebody may have ended the session, or it itself by being idle.
fn may_be_absent(operation: &Operation, lineage: &Lineage) -> bool {
    lineage.may_have_ended(operation.key.as_deref(), operation.ended)
        || lineage.idle_limit.is_some()
}
