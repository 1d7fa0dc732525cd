//! The simulator proves itself: a rule is left out of the product, and a seed must find it.
//!
//! What can be left out, and at which line, is in [`catherd::core::planted`]. What was found, and
//! how many seeds it took, is recorded in the table of `docs/simulator.md`, and nowhere else.

use catherd::Mode;
use catherd::core::planted::{Bug, plant};

use crate::campaign::{Kind, Report, run_plan_of, run_seed_of};
use crate::check::Violation;
use crate::plan::name_of;

/// A rule that can be left out, and where that shows.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Which one.
    pub bug: Bug,
    /// Its name on the command line.
    pub name: &'static str,
    /// What the product does then.
    pub what: &'static str,
    /// The engine that finds it.
    pub engine: Kind,
    /// The mode in which it is found.
    pub mode: Mode,
}

/// A seed that breaks a promise with the bug, and keeps all of them without it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// How many seeds were run until then, this one included.
    pub seeds: u64,
    /// How many of them fail without it too.
    pub failing_without: u64,
    /// What was broken; never empty.
    pub violations: Vec<Violation>,
}

/// What the table says of a bug.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recorded {
    /// The seed that found it, counted from 1: so many seeds it took.
    pub seed: u64,
    /// The promise that was broken first.
    pub promise: String,
}

/// All of them.
pub fn all() -> &'static [Planted] {
    &ALL
}

/// The bug of this name.
pub fn named(name: &str) -> Option<&'static Planted> {
    ALL.iter().find(|planted| planted.name == name)
}

/// Runs seeds from `first` on, `seeds_max` at most, until one finds the bug. A seed that fails
/// without it too finds nothing.
pub fn find(planted: &Planted, first: u64, seeds_max: u64) -> Option<Found> {
    let mut failing_without = 0;
    for at in 0..seeds_max {
        let seed = first + at;
        let Some(violations) = planted.violations(seed) else {
            continue;
        };
        if planted.is_kept_without(seed) {
            return Some(Found {
                seed,
                seeds: at + 1,
                failing_without,
                violations,
            });
        }
        failing_without += 1;
    }
    None
}

/// Runs one seed with the bug, and shows what happens.
pub fn replay(planted: &Planted, seed: u64) -> Report {
    let plan = planted.engine.plan(seed, planted.mode);
    planted.with(|| run_plan_of(planted.engine, &plan, true, false).0)
}

/// What the table in the text of [`DOCS`] says of a bug, if its row is as [`Planted::row`] writes it.
pub fn recorded(docs: &str, planted: &Planted) -> Option<Recorded> {
    docs.lines().find_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, .., seeds, promise, _] = cells[..] else {
            return None;
        };
        if name != format!("`{}`", planted.name) {
            return None;
        }
        let recorded = Recorded {
            seed: seeds.parse().ok()?,
            promise: promise.to_owned(),
        };
        (line == planted.row(&recorded)).then_some(recorded)
    })
}

/// The text of [`DOCS`] with this table in place of the one there; `None` if there is none.
pub fn recorded_anew(docs: &str, rows: &[String]) -> Option<String> {
    let (before, rest) = docs.split_once(HEAD)?;
    let (old, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let rows = rows.join("\n");
    (!old.is_empty()).then(|| format!("{before}{HEAD}{rows}\n\n{after}"))
}

/// The head of the table.
pub const HEAD: &str = "\
| name | what it does | engine | mode | seeds | broken first |
|---|---|---|---|---:|---|
";

/// Where the table is.
pub const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulator.md");

impl Planted {
    /// The row of the table.
    pub fn row(&self, recorded: &Recorded) -> String {
        let Self {
            name, what, mode, ..
        } = self;
        let engine = match self.engine {
            Kind::Nodes => "nodes",
            Kind::Cores => "cores",
        };
        let mode = name_of(*mode);
        let Recorded { seed, promise } = recorded;
        format!("| `{name}` | {what} | {engine} | `{mode}` | {seed} | {promise} |")
    }

    /// What this seed breaks with the bug; `None` if nothing.
    pub fn violations(&self, seed: u64) -> Option<Vec<Violation>> {
        let run = || run_seed_of(self.engine, seed, self.mode, true).0;
        Some(self.with(run).failure?.violations)
    }

    /// Whether the same seed keeps every promise without the bug.
    pub fn is_kept_without(&self, seed: u64) -> bool {
        let (report, _) = run_seed_of(self.engine, seed, self.mode, true);
        report.failure.is_none()
    }

    /// Does something with the bug in it. A run is in the thread that began it.
    fn with<R>(&self, run: impl FnOnce() -> R) -> R {
        let before = plant(Some(self.bug));
        let result = run();
        plant(before);
        result
    }
}

/// A bug that the cores alone show in the mode `synchronous`.
const fn planted(bug: Bug, name: &'static str, what: &'static str) -> Planted {
    Planted {
        bug,
        name,
        what,
        engine: Kind::Cores,
        mode: Mode::Synchronous,
    }
}

/// The same in the mode `asynchronous`.
const fn in_asynchronous(planted: Planted) -> Planted {
    Planted {
        mode: Mode::Asynchronous,
        ..planted
    }
}

/// The same in the mode `pooled`.
const fn in_pooled(planted: Planted) -> Planted {
    Planted {
        mode: Mode::Pooled,
        ..planted
    }
}

/// The same on whole nodes.
const fn on_nodes(planted: Planted) -> Planted {
    Planted {
        engine: Kind::Nodes,
        ..planted
    }
}

const ALL: [Planted; 34] = [
    planted(
        Bug::ForgetsTombstones,
        "forgets-tombstones",
        "a node that hears of an end keeps no tombstone",
    ),
    planted(
        Bug::IgnoresFences,
        "ignores-fences",
        "versions are compared without their fence",
    ),
    planted(
        Bug::NeverRaisesFences,
        "never-raises-fences",
        "a commit never raises the fence",
    ),
    planted(
        Bug::LastArrivalWins,
        "last-arrival-wins",
        "of two values the one that arrives last wins",
    ),
    planted(
        Bug::SeesOverGaps,
        "sees-over-gaps",
        "a fragment that does not fit raises `seen` all the same",
    ),
    planted(
        Bug::CountsOwnWritesAlone,
        "counts-own-writes-alone",
        "a revision counts the writer's own writes, and not those of others",
    ),
    in_asynchronous(planted(
        Bug::ForgetsRemovals,
        "forgets-removals",
        "a removal is forgotten when it is committed, and nothing tells that there was one",
    )),
    planted(
        Bug::RevivesRemoved,
        "revives-removed",
        "a late fragment brings back what was removed",
    ),
    planted(
        Bug::KeepsGenerations,
        "keeps-generations",
        "the generation of a user does not rise where a node knows of one",
    ),
    planted(
        Bug::TakesGenerationsForFinal,
        "takes-generations-for-final",
        "the generation of a user is not fetched where it differs",
    ),
    planted(
        Bug::LogsInAsOfOld,
        "logs-in-as-of-old",
        "a login is of no generation, whatever its node knows",
    ),
    planted(
        Bug::MovesWithoutTombstone,
        "moves-without-tombstone",
        "a change of id tells nobody of the end of the old key",
    ),
    planted(
        Bug::TakesIdleCopies,
        "takes-idle-copies",
        "a node that has no copy takes one that is idle beyond its limit",
    ),
    planted(
        Bug::AcknowledgesOverGaps,
        "acknowledges-over-gaps",
        "a frame is acknowledged though an earlier write is missing",
    ),
    planted(
        Bug::CountsTimeoutsAsCopies,
        "counts-timeouts-as-copies",
        "a member that does not acknowledge in time counts as one that has",
    ),
    planted(
        Bug::CountsTheGoneAsTold,
        "counts-the-gone-as-told",
        "a member whose connection broke counts as one that has heard of an end",
    ),
    planted(
        Bug::DropsMarks,
        "drops-marks",
        "a write that found no room in a queue leaves no mark for the repair",
    ),
    in_pooled(planted(
        Bug::SwitchesWithoutWaiting,
        "switches-without-waiting",
        "a session changes its link though something is under way over the one before",
    )),
    in_asynchronous(planted(
        Bug::SendsTheLastOfJoined,
        "sends-the-last-of-joined",
        "of several writes that joined in a queue the last alone is sent",
    )),
    in_asynchronous(planted(
        Bug::QueuesTombstones,
        "queues-tombstones",
        "a tombstone stands in the queue like a fragment: it is joined, and shed",
    )),
    planted(
        Bug::VerifiesWithOne,
        "verifies-with-one",
        "a joining node is ready when it has verified with one member",
    ),
    planted(
        Bug::TakesPartsForAll,
        "takes-parts-for-all",
        "to have pulled a part from a member counts as verifying with it",
    ),
    planted(
        Bug::CountsPullsGivenUp,
        "counts-pulls-given-up",
        "a pull that was given up counts when it ends after all",
    ),
    in_asynchronous(planted(
        Bug::ServesWithoutAsking,
        "serves-without-asking",
        "the node of the route is not asked for what is newer",
    )),
    in_asynchronous(planted(
        Bug::TakesOverInSilence,
        "takes-over-in-silence",
        "an answer does not say that it is a takeover",
    )),
    in_asynchronous(planted(
        Bug::TrustsNamesakes,
        "trusts-namesakes",
        "a new process is trusted to know what the one before it of its name had shown",
    )),
    planted(
        Bug::ExpiresWithoutAsking,
        "expires-without-asking",
        "a session that is idle here ends without asking the others",
    ),
    planted(
        Bug::NeverForgetsTheDead,
        "never-forgets-the-dead",
        "a process that does not answer a probe counts as one that did",
    ),
    planted(
        Bug::KeepsItsIncarnation,
        "keeps-its-incarnation",
        "a machine that was put back in time goes on as the process that it was",
    ),
    planted(
        Bug::ReadsTheGone,
        "reads-the-gone",
        "the connections of a member that was declared gone stay open",
    ),
    planted(
        Bug::SleepsThroughPauses,
        "sleeps-through-pauses",
        "a node that was stopped goes on as if nothing had happened",
    ),
    planted(
        Bug::ForgetsTheMissing,
        "forgets-the-missing",
        "a logout is confirmed without a word though a member is missing",
    ),
    on_nodes(planted(
        Bug::AcknowledgesBeforeMerging,
        "acknowledges-before-merging",
        "a frame is acknowledged when it has come, and merged with the next read",
    )),
    on_nodes(planted(
        Bug::AnswersWithoutWaiting,
        "answers-without-waiting",
        "a response does not wait for acknowledgements",
    )),
];
