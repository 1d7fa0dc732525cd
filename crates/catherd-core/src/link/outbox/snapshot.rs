//! A link's queue in figures: what could be lost if this process ended now.

use std::time::Duration;

/// An outbox in figures, at an instant.
///
/// What is queued and what is unacknowledged, in frames and bytes, and the age of the oldest of
/// both, are the most that a crash in an asynchronous mode can lose, besides what was shed and
/// marked. A frame of a joined entry stands for several writes of its session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutboxSnapshot {
    /// Frames that are not written yet, tombstones too.
    pub queued_frames: usize,
    /// What they cost: their payloads and [`ENTRY_BYTES`](super::ENTRY_BYTES) each, tombstones
    /// too.
    pub queued_bytes: usize,
    /// The tombstones' part of `queued_bytes`; it has no bound.
    pub tombstone_bytes: usize,
    /// Control frames that are not written yet, in bytes.
    pub control_bytes: usize,
    /// How long ago the oldest frame was pushed that is queued or unacknowledged. A joined entry
    /// is as old as its first write.
    pub oldest: Option<Duration>,
    /// Frames that were given out and are not acknowledged, those that are behind too.
    pub unacknowledged_frames: usize,
    /// Their payloads, in bytes.
    pub unacknowledged_bytes: usize,
    /// Of these, frames whose session lacks an earlier write at the peer.
    pub behind_frames: usize,
    /// Whether nobody waits for the peer, since it did not acknowledge in time.
    pub is_suspect: bool,
    /// From handing bytes to the operating system to their acknowledgement, the last time.
    pub round_trip: Option<Duration>,
    /// The longest that a frame of the last write had waited in the queue.
    pub queued_for: Duration,
    /// Counts since the link was opened.
    pub counters: Counters,
    /// Frames of fragments that were given out since the link was opened: the last number.
    pub written_frames: u64,
}

/// What happened on a link since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Frames that were pushed.
    pub pushed: u64,
    /// Of these, tombstones.
    pub tombstones: u64,
    /// Writes that joined a queued entry.
    pub joined: u64,
    /// Fragments that were taken in without their bytes, for want of room.
    pub shrunk: u64,
    /// Fragments that were dropped for want of room, each with a mark.
    pub shed: u64,
    /// Bytes that were given out, control frames too.
    pub written_bytes: u64,
    /// Calls that gave out bytes.
    pub writes: u64,
    /// Frames that were acknowledged as applied.
    pub acknowledged: u64,
    /// Frames that met a tombstone.
    pub ended: u64,
    /// Frames that met another session under their key.
    pub twins: u64,
    /// Frames whose context the peer does not have.
    pub unheld: u64,
    /// Frames that were not acknowledged in time, each with a mark.
    pub timeouts: u64,
    /// How often the peer became suspect.
    pub suspected: u64,
}
