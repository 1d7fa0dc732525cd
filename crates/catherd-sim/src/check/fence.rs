//! P-FENCE: a node that was declared gone, and had declared nobody gone itself, loses every conflict
//! to those who had noticed, with all that it wrote before it heard from them again.

use std::time::Duration;

use super::Violation;
use super::lineage::Lineages;
use crate::history::{Happened, History, Number, Operation, Process, READER};

pub(super) fn check(history: &History, lineages: &Lineages, found: &mut Vec<Violation>) {
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
            let Some(winner) = value.last().and_then(|&number| by_number(history, number)) else {
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
                if should_lose(history, winner, loser) {
                    found.push(Violation {
                        promise: "P-FENCE",
                        operation: Some(winner.number),
                        what: format!(
                            "it was written to `{name}` on {}, which was declared gone, and won \
                             over #{} of {}, which had noticed",
                            winner.process, loser.number, loser.process
                        ),
                    });
                }
            }
        }
    }
}

fn by_number(history: &History, number: Number) -> Option<&Operation> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    history.operations.get(at)
}

fn wrote(operation: &Operation, name: &str) -> bool {
    let ran = operation.ran.as_ref();
    ran.is_some_and(|ran| ran.wrote.iter().any(|wrote| wrote.name == name))
}

/// Whether the process of `winner` was gone for that of `loser` when it wrote, had not heard of
/// anybody since, and had declared nobody gone.
fn should_lose(history: &History, winner: &Operation, loser: &Operation) -> bool {
    let (late, noticed) = (winner.process, loser.process);
    let Some(gone_at) = gone_before(history, noticed, late, loser.began) else {
        return false;
    };
    let is_of_before = |at: Duration| at >= gone_at && at <= winner.ended.max(loser.ended);
    !history.events.iter().any(|(at, event)| match event {
        Happened::Gone(by, _) => *by == late && *at <= winner.ended,
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

/// When `by` last declared `who` gone before `when`.
fn gone_before(history: &History, by: Process, who: Process, when: Duration) -> Option<Duration> {
    let gone = |(at, event): &(Duration, Happened)| {
        (*event == Happened::Gone(by, who) && *at < when).then_some(*at)
    };
    history.events.iter().rev().find_map(gone)
}
