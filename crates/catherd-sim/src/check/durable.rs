//! P-DUR-SYNC and P-MERGE: what was confirmed is there in the end, or something that was written
//! over it, or something that was written beside it and won.

use std::collections::BTreeMap;

use super::Violation;
use super::lineage::{Lineage, Lineages, Seen};
use super::survival::Survival;
use crate::history::{History, Operation, READER, Subject};
use crate::plan::Plan;

/// What is read of each session when all is over.
pub(super) type Finals<'a> = BTreeMap<Subject, Vec<&'a Operation>>;

/// The reads of the end, by session.
pub(super) fn finals(history: &History) -> Finals<'_> {
    let mut finals = Finals::new();
    for operation in &history.operations {
        if operation.client == READER && operation.answer().is_some() {
            finals.entry(operation.subject).or_default().push(operation);
        }
    }
    finals
}

/// In an asynchronous mode a write is where it was made, until it has gone out: what its process
/// takes with it is not held against the cluster here, but in [`super::lag`].
pub(super) fn check(
    plan: &Plan,
    history: &History,
    (lineages, survival): (&Lineages, &Survival<'_>),
    found: &mut Vec<Violation>,
) {
    let finals = finals(history);
    for operation in &history.operations {
        let Some((flags, copies)) = operation.answer() else {
            continue;
        };
        let Some(reads) = finals.get(&operation.subject) else {
            continue;
        };
        let copies = if flags.durability || !plan.settings.mode.is_synchronous() {
            &[operation.process][..]
        } else {
            copies
        };
        let lineage = &lineages.subjects[&operation.subject];
        if let Some(what) = loss(plan, operation, lineage, reads)
            && survival.holds(copies, operation.ended, reads[0].began)
        {
            found.push(Violation {
                promise: "P-DUR-SYNC",
                operation: Some(operation.number),
                what,
            });
        }
    }
}

/// How the end shows that what an operation wrote is lost, if it is.
pub(super) fn loss(
    plan: &Plan,
    operation: &Operation,
    lineage: &Lineage,
    reads: &[&Operation],
) -> Option<String> {
    let ran = operation.ran.as_ref()?;
    if ran.wrote.is_empty() || lineage.idle_limit.is_some() {
        return None;
    }
    let shown: Vec<_> = reads
        .iter()
        .filter_map(|read| read.ran.as_ref().filter(|ran| ran.key.is_some()))
        .collect();
    if shown.is_empty() {
        let used = lineage.uses.iter().map(|(_, ended)| *ended).max();
        let idle_for = reads[0].began.saturating_sub(used.unwrap_or_default());
        let is_explained = lineage.has_ends() || idle_for >= plan.settings.idle_limit;
        return (!is_explained).then(|| "the session is gone, and nobody ended it".to_owned());
    }
    if shown.iter().any(|ran| ran.key != shown[0].key) {
        // A change of id that nobody heard the answer of: which one counts is not known.
        return None;
    }
    let mine = Seen::Write(operation.number);
    for wrote in &ran.wrote {
        let name = &wrote.name;
        for read in &shown {
            let now = match read.found.get(name).and_then(|value| value.last()) {
                Some(&number) => Seen::Write(number),
                None => Seen::Nothing,
            };
            if now != mine
                && lineage.is_older(name, now, mine)
                && !lineage.is_left_behind(name, operation.number)
            {
                return Some(format!(
                    "it wrote `{name}`, was confirmed, and in the end there is {now:?}, which it \
                     had replaced"
                ));
            }
        }
    }
    None
}
