//! Whether anybody lived on who held something.

use std::time::Duration;

use crate::history::{Happened, History, Process};

/// The lives of processes, and who learned from whom.
#[derive(Debug)]
pub(super) struct Survival<'a> {
    /// What decides about it, in order.
    turns: Vec<Turn<'a>>,
}

/// Something that happened, and happened again before anything else did: once is enough for who
/// has seen it.
#[derive(Debug)]
struct Turn<'a> {
    event: &'a Happened,
    first: Duration,
    again: Vec<Duration>,
}

impl<'a> Survival<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut turns: Vec<Turn<'a>> = Vec::new();
        for &(at, ref event) in &history.events {
            match event {
                Happened::Ended(_) | Happened::Ready(..) | Happened::Whole(_) => {}
                Happened::Started(_)
                | Happened::Gone(..)
                | Happened::Met(..)
                | Happened::Lagged(..)
                | Happened::Destroyed(..)
                | Happened::Broken(..) => continue,
            }
            match turns.last_mut().filter(|before| before.event == event) {
                Some(before) => before.again.push(at),
                None => turns.push(Turn {
                    event,
                    first: at,
                    again: Vec::new(),
                }),
            }
        }
        Self { turns }
    }

    /// Whether at `until` a process lives that holds what `holders` held at `since`.
    pub(super) fn holds(&self, holders: &[Process], since: Duration, until: Duration) -> bool {
        !self.holders(holders, since, until).is_empty()
    }

    /// The processes that live at `until` and hold what `holders` held at `since`. Who becomes ready
    /// has what those have that it sees ready; when all are equal all have it.
    pub(super) fn holders(
        &self,
        holders: &[Process],
        since: Duration,
        until: Duration,
    ) -> Vec<Process> {
        let mut holders = holders.to_vec();
        let first = self.turns.partition_point(|turn| turn.last() < since);
        for turn in &self.turns[first..] {
            if turn.next(since).is_none_or(|at| at > until) {
                break;
            }
            match turn.event {
                Happened::Ended(process) => holders.retain(|holder| holder != process),
                Happened::Ready(process, seen) => {
                    if seen.iter().any(|it| it != process && holders.contains(it)) {
                        add(&mut holders, &[*process]);
                    }
                }
                Happened::Whole(all) => {
                    if all.iter().any(|it| holders.contains(it)) {
                        add(&mut holders, all);
                    }
                }
                Happened::Started(_)
                | Happened::Gone(..)
                | Happened::Met(..)
                | Happened::Lagged(..)
                | Happened::Destroyed(..)
                | Happened::Broken(..) => unreachable!("these decide nothing"),
            }
            if holders.is_empty() {
                break;
            }
        }
        holders
    }
}

impl Turn<'_> {
    fn last(&self) -> Duration {
        self.again.last().copied().unwrap_or(self.first)
    }

    /// When it happened first, not before `since`.
    fn next(&self, since: Duration) -> Option<Duration> {
        if self.first >= since {
            return Some(self.first);
        }
        let next = self.again.partition_point(|at| *at < since);
        self.again.get(next).copied()
    }
}

fn add(holders: &mut Vec<Process>, more: &[Process]) {
    for process in more {
        if !holders.contains(process) {
            holders.push(*process);
        }
    }
}
