//! P-EXPIRE: a session ends when it was idle for its limit, and not before. Looked at where nothing
//! goes wrong meanwhile: a delayed message makes an age look younger by its delay.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use super::lineage::{Lineage, Lineages};
use crate::fault::Fault;
use crate::history::{Happened, History, Operation, READER};
use crate::plan::Plan;

/// Accesses travel in batches of a second, and whoever decides waits for two.
const MARGIN: Duration = Duration::from_secs(4);

pub(super) fn check(
    plan: &Plan,
    history: &History,
    lineages: &Lineages,
    found: &mut Vec<Violation>,
) {
    for operation in &history.operations {
        let lineage = &lineages.subjects[&operation.subject];
        let (Some(limit), Some(_), Some(ran)) =
            (lineage.idle_limit, operation.answer(), &operation.ran)
        else {
            continue;
        };
        if operation.key.is_none() || lineage.has_unknown || operation.client == READER {
            continue;
        }
        let Some((idle_since, at_most)) = idle(lineage, operation) else {
            continue;
        };
        if is_disturbed(plan, idle_since, operation.ended) {
            continue;
        }
        let is_there = ran.key.is_some();
        let problem = if is_there && at_most > limit + MARGIN {
            format!("it was served after {at_most:?}, and its limit is {limit:?}")
        } else if !is_there && at_most + MARGIN < limit {
            format!("it was gone after {at_most:?}, and its limit is {limit:?}")
        } else {
            continue;
        };
        found.push(Violation {
            promise: "P-EXPIRE",
            operation: Some(operation.number),
            what: problem,
        });
    }
    once(plan, history, found);
}

/// Since when, and for how long, nobody had used the session when this operation came.
fn idle(lineage: &Lineage, operation: &Operation) -> Option<(Duration, Duration)> {
    let before = lineage
        .uses
        .iter()
        .filter(|(began, _)| *began < operation.began);
    let (began, ended) = before.max_by_key(|(_, ended)| *ended)?;
    Some((*began, operation.began.saturating_sub(*ended)))
}

/// Whether anything went wrong within this time, or shortly before. What was sent over a slow way
/// arrives long after the way is fast again.
fn is_disturbed(plan: &Plan, from: Duration, to: Duration) -> bool {
    let from = from.saturating_sub(plan.settings.drop_time + Duration::from_secs(30));
    let since = |fault: &Fault| match fault {
        Fault::OneWay(..) => from.saturating_sub(Duration::from_secs(60)),
        _ => from,
    };
    let mut schedule = plan.schedule.iter();
    schedule.any(|(at, fault)| (since(fault)..=to).contains(at))
}

/// The destroy event of an idle session fires once where nothing went wrong meanwhile.
fn once(plan: &Plan, history: &History, found: &mut Vec<Violation>) {
    let mut fired: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
    for (at, event) in &history.events {
        if let Happened::Destroyed(_, session, "expired") = event {
            fired.entry(*session).or_default().push(*at);
        }
    }
    for (session, times) in fired {
        let (first, last) = (times[0], times[times.len() - 1]);
        let before = first.saturating_sub(Duration::from_secs(60));
        if times.len() > 1 && !is_disturbed(plan, before, last) {
            found.push(Violation {
                promise: "P-EXPIRE",
                operation: None,
                what: format!("session {session:016x} was destroyed at {times:?}"),
            });
        }
    }
}
