//! Everything that is counted on a node, apart from what its channel counts.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::layer::Degraded;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// The counters of a node.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])+ pub(crate) $name: Counter,)+
        }

        /// The counters of a node at one moment; each counts since the start of the process.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
        #[non_exhaustive]
        pub struct CountersStatus {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counters {
            pub(crate) fn status(&self) -> CountersStatus {
                CountersStatus { $($name: self.$name.value(),)+ }
            }
        }
    };
}

counters! {
    /// Sessions made here.
    sessions_created,
    /// Sessions that were not made because the table was full.
    sessions_refused,
    /// Sessions that ended early, because the table was full: each was used once, and nobody was
    /// logged in.
    sessions_ended_early,
    /// Sessions that ended here: invalidated, idle, past their lifetime,
    /// abandoned, early, or logged out with their user.
    sessions_ended,
    /// Copies of sessions that ended because all sessions of their user were ended.
    sessions_logged_out,
    /// Copies that were dropped because nobody used them.
    sessions_expired,
    /// Batches of idle sessions that this node asked the members about.
    expiry_batches,
    /// Sessions that had ended here while a member was missing, and that a member has used since:
    /// alive again.
    sessions_revived,
    /// Copies kept for a missing member that were dropped for want of room.
    kept_copies_dropped,
    /// Fragments of other members that were merged.
    fragments_applied,
    /// Fragments that came before something that belongs to them; it was fetched.
    gaps,
    /// Unknown sessions named by touches that were not fetched, since others of the same member were
    /// being fetched.
    gaps_left,
    /// Registers that two nodes wrote without knowing of each other; the higher version won.
    conflicts,
    /// Writes to sessions that had ended.
    writes_discarded,
    /// Two values of one version, or two sessions under one key. Should be 0.
    alarms,
    /// Tombstones dropped because there were more than `maxTombstones`.
    tombstones_forgotten,
    /// Sessions that were fetched from a member because they differed, besides the transfer at the
    /// start.
    sessions_repaired,
    /// Buckets whose digests were sent to a member to be compared: 4096 for a whole context.
    buckets_compared,
    /// Requests whose session was taken over from a node that is gone.
    takeovers,
    /// Answers that said `Catherd-Degraded: durability`.
    degraded_durability,
    /// Answers that said `Catherd-Degraded: pending`.
    degraded_pending,
    /// Answers that said `Catherd-Degraded: takeover`.
    degraded_takeover,
    /// Answers for which a member did not say in time whether it has newer data.
    stale_answers,
    /// Datagrams that were no heartbeat of this cluster: truncated, oversized, foreign, noise.
    bad_datagrams,
    /// Connections closed because of what came over them.
    bad_connections,
    /// Lines that were not logged because the same was said within the last minute.
    log_lines_left_out,
    /// Frames for a context that is not here, or not replicated here: dropped, and no copy.
    unknown_context,
    /// Sessions whose latest write a member may lack: their buckets are marked for repair.
    marked_for_repair,
}

impl Counters {
    pub(crate) fn degraded(&self, degraded: Degraded) {
        self.degraded_durability.add(u64::from(degraded.durability));
        self.degraded_pending.add(u64::from(degraded.pending));
        self.degraded_takeover.add(u64::from(degraded.takeover));
    }
}
