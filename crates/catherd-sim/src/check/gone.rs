//! P-GONE: once a logout or a change of id is confirmed without "pending", no node yields the old
//! key again, as long as one node lives that knew of it. What was confirmed as pending is gone
//! everywhere when the cluster is whole.

use std::collections::BTreeMap;

use super::Violation;
use super::survival::Survival;
use crate::history::{History, Operation, READER};

pub(super) fn check(history: &History, survival: &Survival<'_>, found: &mut Vec<Violation>) {
    let mut shows: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        let shown = operation.ran.as_ref().and_then(|ran| ran.key.as_deref());
        if let Some(key) = shown
            && operation.key.as_deref() == Some(key)
        {
            shows.entry(key).or_default().push(operation);
        }
    }
    for end in &history.operations {
        let Some((flags, copies)) = end.answer() else {
            continue;
        };
        let Some(ran) = &end.ran else { continue };
        if !ran.ended && ran.moved_to.is_none() {
            continue;
        }
        let Some(key) = &ran.key else { continue };
        let yields = |later: &&&Operation| {
            // Pending: only when all is whole again, which is when everything is read.
            later.began > end.ended && (!flags.pending || later.client == READER)
        };
        // Who did not answer may not have heard of it.
        let knew = if flags.pending {
            &[end.process][..]
        } else {
            copies
        };
        let later = shows
            .get(key.as_str())
            .and_then(|all| all.iter().find(yields));
        if let Some(later) = later
            && survival.holds(knew, end.ended, later.began)
        {
            let pending = if flags.pending { "as pending" } else { "" };
            found.push(Violation {
                promise: "P-GONE",
                operation: Some(later.number),
                what: format!(
                    "it found a session that #{} had ended, confirmed {pending}",
                    end.number
                ),
            });
        }
    }
}
