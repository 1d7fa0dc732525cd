//! How far the wall clocks of the members are apart.
//!
//! HOW-TO, "Quick Start": all nodes are to have the same time. Here nothing is ordered and nothing
//! expires by a wall clock, so a difference costs no session. It is measured all the same: whoever
//! compares the logs of two nodes, or the times at which sessions were made, wants to know.

use std::time::UNIX_EPOCH;

use super::effect::MemberEvent;
use super::machine::Membership;
use super::pulse::Pulse;
use crate::message::Heartbeat;
use crate::time::Time;
use crate::version::Incarnation;

/// A difference up to this is none: it is what a datagram may take on its way, and more than what
/// synchronized clocks show.
const AGREE_WITHIN_MS: u64 = 2000;

/// The wall clock of a peer, against this node's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// How far it was ahead at the last heartbeat.
    ahead_ms: Option<i64>,
    /// Since when no heartbeat has agreed.
    differs_since: Option<Time>,
    is_told: bool,
}

impl Membership {
    /// How many milliseconds the wall clock of each member in view is ahead of this node's, by its
    /// last heartbeat; behind, if negative.
    pub fn clocks(&self) -> impl Iterator<Item = (Incarnation, i64)> {
        let in_view = self.peers.iter().filter(|(_, peer)| peer.is_in_view);
        in_view.filter_map(|(&incarnation, peer)| Some((incarnation, peer.clock.ahead_ms?)))
    }

    /// This node's wall clock, as heartbeats say it.
    pub(super) fn wall_ms(&self, now: Time) -> Option<i64> {
        let Pulse { at, wall } = self.pulse?;
        let since_1970 = match wall.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis)
            }
        };
        let passed = i64::try_from(now.since(at).as_millis()).unwrap_or(i64::MAX);
        Some(since_1970.saturating_add(passed))
    }

    /// A single heartbeat proves nothing: what waited in a socket while this node was stopped makes
    /// its sender look late. So a difference is told once it has lasted for the drop time.
    pub(super) fn compare_clocks(&mut self, now: Time, heartbeat: &Heartbeat) {
        let (Some(theirs), Some(ours)) = (heartbeat.wall_ms, self.wall_ms(now)) else {
            return;
        };
        let drop_time = self.config.drop_time;
        let Some(peer) = self.peers.get_mut(&heartbeat.incarnation) else {
            return;
        };
        let (clock, ahead_ms) = (&mut peer.clock, theirs.saturating_sub(ours));
        clock.ahead_ms = Some(ahead_ms);
        if ahead_ms.unsigned_abs() <= AGREE_WITHIN_MS {
            (clock.differs_since, clock.is_told) = (None, false);
            return;
        }
        let since = *clock.differs_since.get_or_insert(now);
        if peer.is_in_view && !clock.is_told && now >= since + drop_time {
            clock.is_told = true;
            let who = peer.who.clone();
            self.tell(MemberEvent::ClockDiffers(who, ahead_ms));
        }
    }
}
