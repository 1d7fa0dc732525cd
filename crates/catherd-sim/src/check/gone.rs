//! P-GONE: once a logout or a change of id is confirmed without "pending", no node yields the old
//! key again, as long as one node lives that knew of it. What was confirmed as pending is gone
//! everywhere when the cluster is whole.

use super::Violation;
use super::survival::Survival;
use crate::history::{History, Operation};
use crate::nodes::READER;

pub(super) fn check(history: &History, survival: &Survival<'_>, found: &mut Vec<Violation>) {
    for end in &history.operations {
        let Some((flags, copies)) = end.answer() else {
            continue;
        };
        let Some(ran) = &end.ran else { continue };
        if !ran.ended && ran.moved_to.is_none() {
            continue;
        }
        let Some(key) = &ran.key else { continue };
        // Pending: nobody else is known to have heard of it.
        let copies = if flags.pending {
            &[end.process][..]
        } else {
            copies
        };
        let yields = |later: &&Operation| {
            let sent = later.key.as_ref() == Some(key);
            let shown = later.ran.as_ref().and_then(|ran| ran.key.as_ref()) == Some(key);
            // Pending: only when all is whole again, which is when everything is read.
            sent && shown && later.began > end.ended && (!flags.pending || later.client == READER)
        };
        let shown = history.operations.iter().find(yields);
        if let Some(later) = shown
            && survival.holds(copies, end.ended, later.began)
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
