//! What processes use: those that are measured, and all others, which disturb.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Processor time so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Of the measured processes.
    pub(super) theirs: Duration,
    /// Of everything but these and this process.
    pub(super) foreign: Duration,
}

impl Look {
    pub(super) fn at(processes: &[u32]) -> Self {
        let theirs = used(processes);
        let own = used(&[std::process::id()]);
        Self {
            theirs,
            foreign: everybody().saturating_sub(theirs + own),
        }
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            theirs: self.theirs.saturating_sub(before.theirs),
            foreign: self.foreign.saturating_sub(before.foreign),
        }
    }
}

/// The processor time of these processes together, in user and system mode.
pub(super) fn used(processes: &[u32]) -> Duration {
    let ticks = processes.iter().map(|id| ticks(&id.to_string(), 2)).sum();
    of_ticks(ticks)
}

/// The same to the nanosecond, for processes whose threads do not end: a node at rest uses less
/// than a tick in many seconds.
pub(super) fn used_exactly(processes: &[u32]) -> Duration {
    let of_thread = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    };
    let of = |id: &u32| {
        let threads = fs::read_dir(format!("/proc/{id}/task"));
        let threads = threads.into_iter().flatten().flatten();
        threads.filter_map(of_thread).sum::<u64>()
    };
    Duration::from_nanos(processes.iter().map(of).sum())
}

/// Their resident memory together, in bytes.
pub(super) fn resident(processes: &[u32]) -> u64 {
    let of = |id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    processes.iter().filter_map(of).sum::<u64>() * 1024
}

/// What everybody has used but this process and those that it has started, directly or not.
pub(super) fn foreign() -> Duration {
    let parse = |id: String| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let parent: u32 = fields(&stat).nth(1)?.parse().ok()?;
        let used = fields(&stat).skip(11).take(4);
        let used = used.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Some((id.parse().ok()?, (parent, used)))
    };
    let all: BTreeMap<u32, (u32, u64)> = ids().filter_map(parse).collect();
    of_ticks(foreign_to(std::process::id(), &all))
}

/// Of processes with their parents and ticks: the ticks of those that do not descend from `this`.
fn foreign_to(this: u32, all: &BTreeMap<u32, (u32, u64)>) -> u64 {
    let is_foreign = |mut id: u32| {
        while let Some((parent, _)) = all.get(&id) {
            if id == this {
                return false;
            }
            id = *parent;
        }
        true
    };
    let theirs = all.iter().filter(|(id, _)| is_foreign(**id));
    theirs.map(|(_, (_, used))| used).sum()
}

/// The processes that `parent` has started and that still run.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let is_child = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        fields(&stat).nth(1) == Some(parent.to_string().as_str())
    };
    ids()
        .filter_map(|id| id.parse().ok())
        .filter(is_child)
        .collect()
}

/// That of children whose end was seen counts too: a compiler that comes and goes within a window
/// disturbs it.
fn everybody() -> Duration {
    of_ticks(ids().map(|id| ticks(&id, 4)).sum())
}

fn ids() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
}

/// The first `count` of: user, system, and both of children that have ended.
fn ticks(id: &str, count: usize) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let times = fields(&stat).skip(11).take(count);
    times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The fields from the state on. The name of the program stands in parentheses, and may hold
/// anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace()
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_with_anything_in_it() {
        let stat = "12 (a) (b c) S 7 0 0 0 0 0 0 0 0 0 3 4 5 6 0";
        assert_eq!(fields(stat).nth(1), Some("7"));
        assert_eq!(fields(stat).nth(11), Some("3"));
    }

    #[test]
    fn this_process_has_used_less_than_a_tick_exactly() {
        assert!(used_exactly(&[std::process::id()]) > Duration::ZERO);
    }

    #[test]
    fn what_was_started_from_here_is_not_foreign() {
        let all = [
            (1, (0, 1)),
            (7, (1, 10)),
            (8, (7, 100)),
            (9, (8, 1000)),
            (5, (1, 10_000)),
        ];
        assert_eq!(foreign_to(7, &all.into()), 10_001);
    }

    #[test]
    fn this_process_has_memory_and_a_child_that_it_started() {
        let this = std::process::id();
        assert!(resident(&[this]) > 0);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(children(this).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
