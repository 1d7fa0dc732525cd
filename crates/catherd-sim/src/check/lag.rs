//! P-DUR-ASYNC: where nobody waits for a write, the end of a process loses no more than what it had
//! under way when it ended, as it published that.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Violation;
use super::durable::{Finals, finals, loss};
use super::lineage::Lineages;
use super::survival::Survival;
use crate::history::{Happened, History, Lag, Operation, Process, Subject};
use crate::plan::Plan;

/// A frame under way is of one session and may stand for several of its writes. So what is counted
/// are the sessions of which something is lost that went to a member which lives on.
pub(super) fn check(
    plan: &Plan,
    history: &History,
    (lineages, survival): (&Lineages, &Survival<'_>),
    found: &mut Vec<Violation>,
) {
    if plan.settings.mode.is_synchronous() {
        return;
    }
    let finals = finals(history);
    for (at, event) in &history.events {
        let Happened::Lagged(process, lags) = event else {
            continue;
        };
        for lag in lags
            .iter()
            .filter(|lag| !has_ended(history, lag.member, *at))
        {
            let went = |it: &&Operation| went(it, *process, lag, *at);
            let is_lost = |operation: &&Operation| {
                let lineage = &lineages.subjects[&operation.subject];
                let reads = &finals[&operation.subject];
                loss(plan, operation, lineage, reads).is_some()
                    && survival.holds(&[lag.member], *at, reads[0].began)
            };
            let read = |it: &&Operation| is_read(&finals, it);
            let operations = history.operations.iter().filter(went).filter(read);
            let lost: BTreeSet<Subject> = operations.filter(is_lost).map(|it| it.subject).collect();
            if lost.len() > lag.frames {
                found.push(Violation {
                    promise: "P-DUR-ASYNC",
                    operation: None,
                    what: format!(
                        "{process} ended at {:.3} s with {} frames under way to {}, and writes of \
                         {} sessions are lost: {lost:?}",
                        at.as_secs_f64(),
                        lag.frames,
                        lag.member,
                        lost.len(),
                    ),
                });
            }
        }
    }
}

/// Whether a member was no more when another ended, though that one had not heard of it yet. A
/// machine that was put back in time counts as one that has: it held nothing then.
fn has_ended(history: &History, member: Process, by: Duration) -> bool {
    let mut events = history.events.iter();
    events.any(|(at, event)| *at <= by && *event == Happened::Ended(member))
}

/// Whether the operation was confirmed by the process before its end, and went to this member.
fn went(operation: &Operation, process: Process, lag: &Lag, end: Duration) -> bool {
    operation.process == process
        && operation.answer().is_some()
        && operation.began >= lag.since
        && operation.ended <= end
}

fn is_read(finals: &Finals<'_>, operation: &Operation) -> bool {
    finals.contains_key(&operation.subject)
}
