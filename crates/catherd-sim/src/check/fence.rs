//! P-FENCE: a node that was declared gone, and had declared nobody gone itself, loses every conflict
//! to those who had noticed, with all that it wrote before it heard from them again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use super::lineage::{Lineage, Lineages};
use super::survival::Survival;
use crate::history::{Happened, History, Number, Operation, Process, READER, Subject};

pub(super) fn check(
    history: &History,
    (lineages, survival): (&Lineages, &Survival<'_>),
    found: &mut Vec<Violation>,
) {
    in_the_end(history, (lineages, survival), found);
    at_all_times(history, (lineages, survival), found);
}

/// Whether a process lived until `until` that had what was written: else it did not lose, it was
/// lost.
fn lives(survival: &Survival<'_>, written: &Operation, until: Duration) -> bool {
    let copies = written.answer().map(|(_, copies)| copies);
    copies.is_none_or(|copies| survival.holds(copies, written.ended, until))
}

/// What a client saw on a node that had it is not replaced, for that client, by what loses to it.
fn at_all_times(
    history: &History,
    (lineages, survival): (&Lineages, &Survival<'_>),
    found: &mut Vec<Violation>,
) {
    let mut clients: BTreeMap<(usize, Subject), Last<'_>> = BTreeMap::new();
    for operation in &history.operations {
        let (Some((flags, _)), Some(ran)) = (operation.answer(), &operation.ran) else {
            continue;
        };
        let last = clients
            .entry((operation.client, operation.subject))
            .or_default();
        let is_promised = !flags.stale && !flags.takeover && !last.is_held_by_one;
        if operation.key.as_ref() == last.key && is_promised {
            let lineage = &lineages.subjects[&operation.subject];
            for (name, value) in &ran.found {
                let winner = value.last().and_then(|&number| history.operation(number));
                let loser = last.names.get(name.as_str());
                let loser = loser.and_then(|&number| history.operation(number));
                let (Some(winner), Some(loser)) = (winner, loser) else {
                    continue;
                };
                let is_before = |one: &Operation, other: &Operation| {
                    let ancestors = lineage.ancestors(name, other.number);
                    one.number == other.number || ancestors.contains(&one.number)
                };
                let is_either = is_before(winner, loser) || is_before(loser, winner);
                let is_ours = winner.subject == loser.subject && winner.process != loser.process;
                let is_there = || lives(survival, loser, operation.began);
                if is_ours
                    && !is_either
                    && should_lose(history, lineage, winner, loser)
                    && is_there()
                {
                    found.push(won(winner, loser, name));
                }
            }
        }
        let seen = ran.found.iter().filter_map(|(name, value)| {
            let number = value.last()?;
            Some((name.as_str(), *number))
        });
        let wrote = ran.wrote.iter().filter(|wrote| !wrote.removed);
        let wrote = wrote.map(|wrote| (wrote.name.as_str(), operation.number));
        *last = Last {
            names: seen.chain(wrote).collect(),
            key: ran.moved_to.as_ref().or(ran.key.as_ref()),
            is_held_by_one: flags.durability,
        };
    }
}

/// What a client saw last of a session.
#[derive(Default)]
struct Last<'a> {
    names: BTreeMap<&'a str, Number>,
    key: Option<&'a String>,
    /// The answer said that what it showed may be nowhere else.
    is_held_by_one: bool,
}

fn won(winner: &Operation, loser: &Operation, name: &str) -> Violation {
    Violation {
        promise: "P-FENCE",
        operation: Some(winner.number),
        what: format!(
            "it was written to `{name}` on {}, which was declared gone, and won over #{} of {}, \
             which had noticed",
            winner.process, loser.number, loser.process
        ),
    }
}

fn in_the_end(
    history: &History,
    (lineages, survival): (&Lineages, &Survival<'_>),
    found: &mut Vec<Violation>,
) {
    let reads = history
        .operations
        .iter()
        .filter(|operation| operation.client == READER);
    let mut looked = None;
    for read in reads {
        let Some(ran) = &read.ran else { continue };
        // All nodes hold the same by now.
        let key = ran.key.as_ref().map(|key| (read.subject, key));
        if key.is_none() || key == looked {
            continue;
        }
        looked = key;
        let lineage = &lineages.subjects[&read.subject];
        if lineage.has_ends() {
            // What a change of id had not seen did not lose: it was left behind.
            continue;
        }
        for (name, value) in &ran.found {
            let Some(winner) = value.last().and_then(|&number| history.operation(number)) else {
                continue;
            };
            if winner.subject != read.subject {
                continue;
            }
            let before = lineage.ancestors(name, winner.number);
            let losers = history.operations.iter().filter(|loser| {
                loser.subject == read.subject
                    && loser.process != winner.process
                    && loser.answer().is_some()
                    && wrote(loser, name)
                    && !before.contains(&loser.number)
                    && !lineage
                        .ancestors(name, loser.number)
                        .contains(&winner.number)
            });
            for loser in losers {
                if should_lose(history, lineage, winner, loser)
                    && !is_removed(history, lineage, loser, name)
                    && lives(survival, loser, read.began)
                {
                    found.push(won(winner, loser, name));
                }
            }
        }
    }
}

/// Whether what was written was removed later: a removal is forgotten in time, and whoever lost to
/// it has nothing to lose to any more.
fn is_removed(history: &History, lineage: &Lineage, written: &Operation, name: &str) -> bool {
    let removes = |operation: &Operation| {
        let mut wrote = operation.ran.iter().flat_map(|ran| &ran.wrote);
        wrote.any(|wrote| wrote.removed && wrote.name == name)
    };
    let of_it = history
        .operations
        .iter()
        .filter(|operation| operation.subject == written.subject && removes(operation));
    of_it
        .map(|operation| lineage.ancestors(name, operation.number))
        .any(|before| before.contains(&written.number))
}

fn wrote(operation: &Operation, name: &str) -> bool {
    let ran = operation.ran.as_ref();
    ran.is_some_and(|ran| ran.wrote.iter().any(|wrote| wrote.name == name))
}

/// Whether the process of `winner` was gone for that of `loser` when it wrote, had not heard of
/// anybody since, and had declared nobody gone.
fn should_lose(
    history: &History,
    lineage: &Lineage,
    winner: &Operation,
    loser: &Operation,
) -> bool {
    let (late, noticed) = (winner.process, loser.process);
    if has_fence_of_another(history, lineage, winner, loser) {
        return false;
    }
    let Some(gone_at) = gone_before(history, noticed, late, loser.began) else {
        return false;
    };
    let is_of_before = |at: Duration| at >= gone_at && at <= winner.ended.max(loser.ended);
    // A machine that is put back in time lost what it held, and knows still whom it had declared
    // gone: it raises the fence with its first write.
    let mut events = history.events.iter();
    let was_put_back =
        events.any(|(at, event)| *event == Happened::Ended(late) && *at <= winner.began);
    let is_late = |by: Process| by == late || (was_put_back && by.node == late.node);
    // Whose client has left may have run at any time since.
    let ran_by = winner.answer().map_or(Duration::MAX, |_| winner.ended);
    !history.events.iter().any(|(at, event)| match event {
        Happened::Gone(by, _) => is_late(*by) && *at <= ran_by,
        Happened::Met(by, who) => (*by == late || *who == late) && is_of_before(*at),
        Happened::Started(_)
        | Happened::Ready(..)
        | Happened::Ended(_)
        | Happened::Whole(_)
        | Happened::Lagged(..)
        | Happened::Destroyed(..)
        | Happened::Broken(..) => false,
    })
}

/// Whether a third process, which had declared somebody gone, wrote what the winner had found and
/// the loser had not: its fence may be as high as the loser's.
fn has_fence_of_another(
    history: &History,
    lineage: &Lineage,
    winner: &Operation,
    loser: &Operation,
) -> bool {
    let has_declared = |by: Process, until: Duration| {
        let mut events = history.events.iter();
        events.any(|(at, event)| {
            matches!(event, Happened::Gone(one, _) if *one == by) && *at <= until
        })
    };
    let has_found = |finder: &Operation, write: &Operation| {
        let (Some(found), Some(ran)) = (&finder.ran, &write.ran) else {
            return false;
        };
        let mut names = ran.wrote.iter().map(|wrote| wrote.name.as_str());
        names.any(|name| {
            let last = found.found.get(name).and_then(|value| value.last());
            last.is_some_and(|&last| {
                last == write.number || lineage.ancestors(name, last).contains(&write.number)
            })
        })
    };
    let writes = history.operations.iter().filter(|write| {
        let is_third = write.process != winner.process && write.process != loser.process;
        is_third && write.subject == winner.subject && write.began <= winner.ended
    });
    writes
        .filter(|write| has_found(winner, write) && !has_found(loser, write))
        .any(|write| has_declared(write.process, write.ended))
}

/// When `by` last declared `who` gone before `when`.
fn gone_before(history: &History, by: Process, who: Process, when: Duration) -> Option<Duration> {
    let gone = |(at, event): &(Duration, Happened)| {
        (*event == Happened::Gone(by, who) && *at < when).then_some(*at)
    };
    history.events.iter().rev().find_map(gone)
}
