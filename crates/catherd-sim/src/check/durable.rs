//! P-DUR-SYNC and P-MERGE: what was confirmed is there in the end, or something that was written
//! over it, or something that was written beside it and won.

use std::collections::BTreeMap;

use super::Violation;
use super::lineage::{Lineages, Seen};
use super::survival::Survival;
use crate::history::{History, Operation, READER, Subject};
use crate::plan::Plan;

///
/// In an asynchronous mode a write is where it was made, until it has gone out: what its process
/// takes with it is not held against the cluster.
pub(super) fn check(
    plan: &Plan,
    history: &History,
    (lineages, survival): (&Lineages, &Survival<'_>),
    found: &mut Vec<Violation>,
) {
    let mut finals: BTreeMap<Subject, Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        if operation.client == READER && operation.answer().is_some() {
            finals.entry(operation.subject).or_default().push(operation);
        }
    }
    for operation in &history.operations {
        let Some((flags, copies)) = operation.answer() else {
            continue;
        };
        let Some(ran) = &operation.ran else { continue };
        let lineage = &lineages.subjects[&operation.subject];
        if ran.wrote.is_empty() || lineage.idle_limit.is_some() {
            continue;
        }
        let copies = if flags.durability || !plan.settings.mode.is_synchronous() {
            &[operation.process][..]
        } else {
            copies
        };
        let Some(reads) = finals.get(&operation.subject) else {
            continue;
        };
        let end = reads[0].began;
        if !survival.holds(copies, operation.ended, end) {
            continue;
        }
        let shown: Vec<_> = reads
            .iter()
            .filter_map(|read| read.ran.as_ref().filter(|ran| ran.key.is_some()))
            .collect();
        if shown.is_empty() {
            if !lineage.has_ends() {
                found.push(Violation {
                    promise: "P-DUR-SYNC",
                    operation: Some(operation.number),
                    what: "the session is gone, and nobody ended it".to_owned(),
                });
            }
            continue;
        }
        if shown.iter().any(|ran| ran.key != shown[0].key) {
            // A change of id that nobody heard the answer of: which one counts is not known.
            continue;
        }
        for wrote in &ran.wrote {
            let mine = Seen::Write(operation.number);
            for read in &shown {
                let now = match read.found.get(&wrote.name).and_then(|value| value.last()) {
                    Some(&number) => Seen::Write(number),
                    None => Seen::Nothing,
                };
                if now != mine
                    && lineage.is_older(&wrote.name, now, mine)
                    && !lineage.is_left_behind(&wrote.name, operation.number)
                {
                    found.push(Violation {
                        promise: "P-DUR-SYNC",
                        operation: Some(operation.number),
                        what: format!(
                            "it wrote `{}`, was confirmed, and in the end there is {now:?}, which \
                             it had replaced",
                            wrote.name
                        ),
                    });
                    break;
                }
            }
        }
    }
}
