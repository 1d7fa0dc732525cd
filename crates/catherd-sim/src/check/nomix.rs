//! P-NOMIX: what is in a session was written into it, and nothing else ever was.

use super::Violation;
use super::lineage::Lineages;
use crate::history::History;
use crate::nodes::OWNER;

pub(super) fn check(history: &History, lineages: &Lineages, found: &mut Vec<Violation>) {
    for operation in &history.operations {
        let Some(ran) = &operation.ran else { continue };
        let lineage = &lineages.subjects[&operation.subject];
        for (name, value) in &ran.found {
            let mut problem = None;
            if name == OWNER {
                if *value != [operation.subject.0] {
                    problem = Some(format!("found the session of {value:?}"));
                }
            } else {
                match value.split_last() {
                    None => problem = Some(format!("`{name}` is empty")),
                    Some((last, _)) if !lineage.is_write(name, *last) => {
                        problem = Some(format!("nobody wrote {last} to `{name}`"));
                    }
                    Some((last, before)) if !before.is_empty() => {
                        let mut written = lineage.ancestors(name, *last);
                        written.reverse();
                        if written != before {
                            problem = Some(format!(
                                "the list `{name}` is {value:?}, and {written:?} was appended \
                                 before {last}"
                            ));
                        }
                    }
                    Some(_) => {}
                }
            }
            if let Some(what) = problem {
                found.push(Violation {
                    promise: "P-NOMIX",
                    operation: Some(operation.number),
                    what,
                });
            }
        }
    }
}
