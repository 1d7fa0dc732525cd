//! One plain snapshot of everything on a node that has a figure.

use std::net::SocketAddr;

use serde::Serialize;

use super::counters::CountersStatus;

/// A node at one moment. Status pages, metrics and tests read this.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The node's name: its `jvmRoute`.
    pub node: String,
    /// The process, in 16 hexadecimal digits.
    pub incarnation: String,
    /// `joining`, `ready`, `leaving`, or `local` without a cluster.
    pub state: &'static str,
    /// The other members in the view, sorted by name.
    pub members: Vec<MemberStatus>,
    /// Names of members that were declared gone and have not said goodbye.
    pub missing: Vec<String>,
    /// The contexts, in the order in which they were made.
    pub contexts: Vec<ContextStatus>,
    /// Sessions that differ from what other members hold, by the last comparison with each; absent
    /// before the first.
    pub sessions_that_differ: Option<u64>,
    /// What is counted.
    pub counters: CountersStatus,
    /// What the channel counts, by name.
    pub channel: std::collections::BTreeMap<String, u64>,
}

/// Another member, as this node sees it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Its `jvmRoute`.
    pub name: String,
    /// `joining`, `ready` or `suspect`.
    pub state: &'static str,
    /// The process, in 16 hexadecimal digits.
    pub incarnation: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// By how many milliseconds its wall clock is ahead of this node's, as its last heartbeat said;
    /// behind, if negative. Absent as long as it has not said. Nothing is ordered by it.
    pub clock_ahead_ms: Option<i64>,
    /// What is on its way to it.
    pub link: LinkStatus,
}

/// What is on its way to a member.
///
/// What is queued or unacknowledged is the most that a crash of this node can lose of asynchronous
/// writes: no lost write is older than `oldest_ms`, unless it was shed and is not repaired yet.
/// The counts are of the connections that are open.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Connections to it: more than one in mode `pooled` only.
    pub connections: u64,
    /// Frames that are not written yet. In mode `asynchronous` one stands for all writes of its
    /// session since it was queued.
    pub queued_frames: u64,
    /// The memory that they take, in bytes; `maxQueueBytes` at most, but for one large session.
    pub queued_bytes: u64,
    /// The age of the oldest frame that is not acknowledged, in milliseconds.
    pub oldest_ms: u64,
    /// Frames that are written and not acknowledged.
    pub unacknowledged_frames: u64,
    /// The bytes of their contents.
    pub unacknowledged_bytes: u64,
    /// Whether it is not waited for, until it acknowledges something.
    pub is_slow: bool,
    /// Frames written so far.
    pub written_frames: u64,
    /// Buckets that the member may lack something of, since a write for it was shed or not
    /// acknowledged in time. They are compared when the queue has drained.
    pub marked_buckets: u64,
    /// How often something was written: frames that go out together count once.
    pub writes: u64,
    /// Writes of a session that were joined with one that was still queued.
    pub joined_frames: u64,
    /// Frames that were queued without their contents, since there was no room; those are encoded
    /// anew when their turn comes.
    pub shrunk_frames: u64,
    /// Frames that were dropped, since there was no room; their sessions are marked for repair.
    pub shed_frames: u64,
}

impl LinkStatus {
    /// Adds what is on its way over another connection to the same member.
    pub(crate) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.queued_frames += other.queued_frames;
        self.queued_bytes += other.queued_bytes;
        self.oldest_ms = self.oldest_ms.max(other.oldest_ms);
        self.unacknowledged_frames += other.unacknowledged_frames;
        self.is_slow |= other.is_slow;
        self.unacknowledged_bytes += other.unacknowledged_bytes;
        self.written_frames += other.written_frames;
        self.writes += other.writes;
        self.joined_frames += other.joined_frames;
        self.shrunk_frames += other.shrunk_frames;
        self.shed_frames += other.shed_frames;
    }
}

/// A context on this node.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ContextStatus {
    /// Its name.
    pub name: String,
    /// Whether other members hold copies.
    pub replicated: bool,
    /// Live sessions.
    pub sessions: u64,
    /// Ended sessions that are remembered.
    pub tombstones: u64,
    /// One number for all that is held, in 16 hexadecimal digits: equal on two quiet nodes if
    /// nothing differs.
    pub digest: String,
    /// How the state came here when the node started.
    pub transfer: TransferStatus,
}

/// The transfer of a context's state to a starting node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TransferStatus {
    /// `none`, `running`, `done` or `timed out`.
    pub state: &'static str,
    /// Sessions and tombstones that were fetched.
    pub sessions: u64,
    /// Bytes of names and values in them.
    pub bytes: u64,
    /// How much of the bulk is done.
    pub percent: u8,
    /// Sessions a second, since the beginning.
    pub sessions_per_second: f64,
    /// Seconds since the beginning.
    pub seconds: f64,
    /// Seconds that the rest of the bulk will take at this rate; absent until something is done.
    pub seconds_remaining: Option<f64>,
}

impl Default for TransferStatus {
    fn default() -> Self {
        Self {
            state: "none",
            sessions: 0,
            bytes: 0,
            percent: 0,
            sessions_per_second: 0.0,
            seconds: 0.0,
            seconds_remaining: None,
        }
    }
}
