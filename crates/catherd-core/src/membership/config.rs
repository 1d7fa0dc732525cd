//! What a membership is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use crate::version::Incarnation;

/// How a node finds its members and how long it waits for them.
///
/// All nodes of a cluster should have the same; `settings` lets them notice when they have not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MembershipConfig {
    /// The cluster's id (`clusterId`). Nodes of another id are neither heard nor answered.
    pub cluster: String,
    /// The time between two heartbeats (`mcastFrequency`; HOW-TO, "Membership"). Short notices a
    /// dead node sooner, long sends less. 500 ms is sensible; it must not be zero. Two of these
    /// are the deadline of a probe and of a connect, so it must be above the round trip.
    pub frequency: Duration,
    /// The silence after which a member is suspect (`mcastDropTime`; HOW-TO, "Membership"). At
    /// least three times `frequency`, or single lost datagrams lead to probes. 3 s is sensible.
    pub drop_time: Duration,
    /// How long a member that was declared gone after a failed probe counts as missing
    /// (`missingFor`).
    pub missing_for: Duration,
    /// How many members the view may have, this node included; at least 1. Further nodes are
    /// refused with [`Refusal::Full`](crate::message::Refusal::Full).
    pub members_max: usize,
    /// A digest of the settings that must agree within a cluster. A member with another is
    /// reported, not refused.
    pub settings: u64,
}

impl MembershipConfig {
    /// The defaults of the HOW-TO, "Membership", for the cluster `cluster`.
    pub fn new(cluster: impl Into<String>) -> Self {
        Self {
            cluster: cluster.into(),
            frequency: Duration::from_millis(500),
            drop_time: Duration::from_millis(3000),
            missing_for: Duration::from_secs(3600),
            members_max: 256,
            settings: 0,
        }
    }

    /// A node that did not run for longer has to look at what the others did meanwhile: the drop
    /// time less two heartbeats, and two heartbeats at least. Before that nobody has taken its
    /// silence for an end, since a probe comes after the drop time.
    pub fn pause_limit(&self) -> Duration {
        let patience = self.patience();
        self.drop_time.saturating_sub(patience).max(patience)
    }

    /// The deadline of a probe and of a connect: two heartbeats.
    pub(super) fn patience(&self) -> Duration {
        self.frequency * 2
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Myself {
    /// The node's name: its `jvmRoute`. Unique in the cluster.
    pub name: String,
    /// This process.
    pub incarnation: Incarnation,
    /// Where the node's TCP listener can be reached by the others.
    pub address: SocketAddr,
    /// The node's domain (`mcastClusterDomain`): copies of sessions stay within it.
    pub domain: String,
}
