//! What membership counted.

/// What has happened since the start. Every field only grows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MembershipCounters {
    /// Heartbeats sent, answers included.
    pub heartbeats_sent: u64,
    /// Of those, answers to incarnations that were unknown.
    pub heartbeats_answered: u64,
    /// Heartbeats that counted as a sign of life of somebody.
    pub heartbeats_heard: u64,
    /// Ignored: this node's own, which multicast brings back.
    pub heartbeats_own: u64,
    /// Ignored: of another cluster.
    pub heartbeats_of_another_cluster: u64,
    /// Ignored: the counter was not above the highest heard of the incarnation.
    pub heartbeats_replayed: u64,
    /// Ignored: of an incarnation that has said goodbye or was replaced a moment ago.
    pub heartbeats_of_the_ended: u64,
    /// Ignored: the name belongs to another process.
    pub heartbeats_of_taken_names: u64,
    /// Ignored: from somebody unknown, and as many are known as may be.
    pub heartbeats_over_cap: u64,
    /// Hellos answered with a welcome, probes included.
    pub hellos_accepted: u64,
    /// Hellos refused.
    pub hellos_refused: u64,
    /// Connects asked for.
    pub connects: u64,
    /// Connects that failed, were refused or were not answered in time.
    pub connects_failed: u64,
    /// Probes asked for.
    pub probes: u64,
    /// Probes that failed.
    pub probes_failed: u64,
    /// Times that this node joined again, because it was stopped or put back in time.
    pub pauses: u64,
    /// Goodbyes of somebody who was not connected.
    pub goodbyes_ignored: u64,
}
