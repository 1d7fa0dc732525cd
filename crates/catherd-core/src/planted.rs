//! Bugs that can be put into the product, to see whether the simulator finds them.
//!
//! Each is a rule that is left out at the very line that keeps it. They exist only in builds with
//! the feature `planted`, which nothing but the simulator's own tests turns on; in any other build
//! [`is_planted`] is the constant `false`, and nothing is left of it.

/// A rule that is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Bug {
    /// A node that hears of an end forgets it at once, and keeps no tombstone.
    ForgetsTombstones,
    /// Versions are compared without their fence.
    IgnoresFences,
    /// A commit never raises the fence.
    NeverRaisesFences,
    /// Of two values the one that arrives last wins, whatever their versions.
    LastArrivalWins,
    /// A fragment that does not fit raises `seen` all the same.
    SeesOverGaps,
    /// A commit counts its own writes alone, and not those of others.
    CountsOwnWritesAlone,
    /// A removal is forgotten as soon as it is committed, and nothing tells that there was one.
    ForgetsRemovals,
    /// A register that was removed here is taken when it comes again.
    RevivesRemoved,
    /// A generation of a user that a node knows of does not rise any more.
    KeepsGenerations,
    /// The generation of a user is taken for final: where it differs it is not fetched.
    TakesGenerationsForFinal,
    /// A login is of no generation, whatever its node knows.
    LogsInAsOfOld,
    /// A change of id tells nobody of the end of the old key.
    MovesWithoutTombstone,
    /// A copy that is idle beyond its limit is taken by a node that has none.
    TakesIdleCopies,
    /// A frame whose session lacks an earlier write is acknowledged like any other.
    AcknowledgesOverGaps,
    /// A member that does not acknowledge in time counts as one that has.
    CountsTimeoutsAsCopies,
    /// A member that is gone counts as one that has heard of an end.
    CountsTheGoneAsTold,
    /// A write that finds no room is dropped without a mark for the repair.
    DropsMarks,
    /// A session changes its link though something is under way over the one before.
    SwitchesWithoutWaiting,
    /// Of a queued entry that stands for several writes the last alone is sent.
    SendsTheLastOfJoined,
    /// A tombstone stands in the queue like a fragment: it can be joined, and shed.
    QueuesTombstones,
    /// A joining node is ready when it has verified with one member.
    VerifiesWithOne,
    /// To have pulled a part from a member counts as verifying with it.
    TakesPartsForAll,
    /// A pull that was given up counts when it ends after all.
    CountsPullsGivenUp,
    /// The node of the route is not asked for what is newer.
    ServesWithoutAsking,
    /// An answer does not say that it is a takeover.
    TakesOverInSilence,
    /// A process that has the name of the route is trusted, though it never showed the session.
    TrustsNamesakes,
    /// A session that is idle here ends without asking the others.
    ExpiresWithoutAsking,
    /// A process that does not answer a probe counts as one that did.
    NeverForgetsTheDead,
    /// A machine that was put back in time goes on as the process that it was.
    KeepsItsIncarnation,
    /// The connections of a member that was declared gone stay open.
    ReadsTheGone,
    /// A node that was stopped goes on as if nothing had happened.
    SleepsThroughPauses,
    /// A logout does not mind that a member is missing.
    ForgetsTheMissing,
    /// A frame is acknowledged when it has come, and merged with the next read.
    AcknowledgesBeforeMerging,
    /// A response does not wait for acknowledgements.
    AnswersWithoutWaiting,
}

/// Whether this build can have bugs planted in it.
pub const CAN_BE_PLANTED: bool = cfg!(feature = "planted");

/// Whether the rule is left out: never.
#[cfg(not(feature = "planted"))]
pub const fn is_planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use switch::{is_planted, plant};

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    // A run of the simulator is one thread, and others beside it have other bugs.
    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether the rule is left out in this thread.
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Leaves a rule out in this thread, until another is left out or none; gives the one before.
    pub fn plant(bug: Option<Bug>) -> Option<Bug> {
        PLANTED.replace(bug)
    }
}
