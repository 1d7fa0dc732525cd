//! Whether anybody lived on who held something.

use std::time::Duration;

use crate::history::{Happened, History, Process};

/// The lives of processes, and who learned from whom.
#[derive(Debug)]
pub(super) struct Survival<'a> {
    events: &'a [(Duration, Happened)],
}

impl<'a> Survival<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        Self {
            events: &history.events,
        }
    }

    /// Whether at `until` a process lives that holds what `holders` held at `since`. Who becomes
    /// ready has what those have that it sees ready; when all are equal all have it.
    pub(super) fn holds(&self, holders: &[Process], since: Duration, until: Duration) -> bool {
        let mut holders = holders.to_vec();
        let first = self.events.partition_point(|(at, _)| *at < since);
        for (at, event) in &self.events[first..] {
            if *at > until {
                break;
            }
            match event {
                Happened::Ended(process) => holders.retain(|holder| holder != process),
                Happened::Ready(process, seen) => {
                    if seen.iter().any(|it| it != process && holders.contains(it)) {
                        holders.push(*process);
                    }
                }
                Happened::Whole(all) => {
                    if all.iter().any(|it| holders.contains(it)) {
                        holders.extend(all);
                    }
                }
                Happened::Started(_)
                | Happened::Gone(..)
                | Happened::Met(..)
                | Happened::Destroyed(..)
                | Happened::Broken(..) => {}
            }
            if holders.is_empty() {
                return false;
            }
        }
        !holders.is_empty()
    }
}
