//! Whether this node was stopped, and whether it was put back in time.
//!
//! HOW-TO, "Membership": who is not heard for the drop time is considered dead. A node that was
//! itself stopped that long was considered dead by the others, and must not go on as if nothing
//! had happened: its sessions may have been written elsewhere since.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::effect::{Effect, MemberEvent};
use super::machine::Membership;
use super::peer::{Outgoing, Peer, RetiredReason};
use crate::message::MemberState;
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::Incarnation;

/// A moment at which this node ran, by both of its clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pulse {
    /// By the node's clock, which counts suspension.
    pub at: Time,
    /// By the time of day, which goes on where a machine is saved and restored.
    pub wall: SystemTime,
}

impl Pulse {
    /// How long this node was stopped between `self` and `later`, if that was for longer than
    /// `limit`.
    ///
    /// The node's clock says so, or the wall clock that ran that much further. One that was set
    /// forward looks the same: that costs a needless sync. One that was set back shows nothing.
    pub fn pause_until(self, later: Self, limit: Duration) -> Option<Duration> {
        let passed = later.at.since(self.at);
        let by_wall = later.wall.duration_since(self.wall).unwrap_or_default();
        let is_paused = passed > limit || by_wall.saturating_sub(passed) > limit;
        is_paused.then_some(passed.max(by_wall))
    }
}

impl Membership {
    /// This node runs. Call it before everything else that happens is handled, so that a node
    /// which was stopped notices it before it judges others.
    ///
    /// After a pause every link counts as lost: this node joins again, and the processes that were
    /// known are called again. None of them is declared gone for what happened meanwhile; one that
    /// cannot be met from now on is, a drop time later. `true` if there was a pause.
    pub fn handle_pulse(&mut self, pulse: Pulse) -> bool {
        let before = self.pulse.replace(pulse);
        if self.is_leaving || is_planted(Bug::SleepsThroughPauses) {
            return false;
        }
        let limit = self.config.pause_limit();
        let pause = before.and_then(|before| before.pause_until(pulse, limit));
        let Some(pause) = pause else {
            return false;
        };
        self.tell(MemberEvent::Paused(pause));
        self.lose_all_links(pulse.at);
        self.settle(pulse.at);
        true
    }

    /// The answer to [`Effect::PutBack`]: the tables are empty, and this is the new process.
    pub fn handle_new_incarnation(&mut self, now: Time, incarnation: Incarnation) {
        self.myself.incarnation = incarnation;
        self.counter = 0;
        self.sent = Sent::default();
        self.heartbeat_at = now;
        self.is_view_stale = true;
        self.send_heartbeat_when_due(now);
        self.settle(now);
    }

    /// Whether a member has heard of this incarnation what it has not done yet, or remembers it
    /// from longer ago than its own clock shows: then it was put back in time or frozen. It does
    /// not go on as the process that the others know.
    pub(super) fn is_put_back(&mut self, now: Time, heard: u64, silence: Duration) -> bool {
        if self.is_leaving || heard == 0 || is_planted(Bug::KeepsItsIncarnation) {
            return false;
        }
        let is_frozen = || {
            let sent_at = self.sent.at(heard);
            sent_at.is_some_and(|sent_at| silence > now.since(sent_at) + FROZEN_FOR)
        };
        if heard <= self.counter && !is_frozen() {
            return false;
        }
        self.tell(MemberEvent::PutBack);
        self.lose_all_links(now);
        self.push(Effect::PutBack);
        true
    }

    /// Somebody who was a member before a pause and cannot be met since is gone after all; others
    /// are merely forgotten.
    pub(super) fn lose_candidate(&mut self, now: Time, incarnation: Incarnation) {
        let was_member = |peer: &&Peer| peer.was_in_view;
        let Some(peer) = self.peers.get(&incarnation).filter(was_member) else {
            return self.drop_candidate(now, incarnation);
        };
        self.declared_gone = self.declared_gone.saturating_add(1);
        self.missing.insert(&peer.who.name, incarnation, now, false);
        if let Some(peer) = self.remove(now, incarnation, RetiredReason::Lost) {
            self.tell(MemberEvent::Gone(
                peer.who,
                super::effect::GoneCause::ProbeFailed,
            ));
            self.succeed(now, peer.contender);
        }
    }

    fn lose_all_links(&mut self, now: Time) {
        self.counters.pauses += 1;
        self.state = MemberState::Joining;
        self.is_view_stale = true;
        for incarnation in self.select(|_| true) {
            let Some(peer) = self.peers.get_mut(&incarnation) else {
                continue;
            };
            let is_connected =
                peer.is_open() || matches!(peer.outgoing, Outgoing::Connecting { .. });
            peer.was_in_view |= peer.is_in_view;
            (peer.is_in_view, peer.incoming) = (false, false);
            (peer.probe, peer.refused, peer.failures) = (None, None, 0);
            peer.outgoing = Outgoing::Closed { retry_at: now };
            // That nothing was heard of it says nothing about it.
            peer.alive_at = now;
            if is_connected {
                self.push(Effect::Disconnect { incarnation });
            }
        }
    }
}

/// When heartbeats were sent: every [`Sent::APART`] one is noted, so that what a member remembers
/// can be compared with this node's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(VecDeque<(u64, Time)>);

impl Sent {
    const APART: Duration = Duration::from_secs(600);
    /// Two days; what is older is not judged.
    const MAX: usize = 288;

    pub(super) fn note(&mut self, counter: u64, now: Time) {
        if self.0.back().is_some_and(|(_, at)| now < *at + Self::APART) {
            return;
        }
        if self.0.len() >= Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back((counter, now));
    }

    /// When this heartbeat was sent, or up to [`Self::APART`] before.
    fn at(&self, counter: u64) -> Option<Time> {
        let noted = self.0.iter().rev();
        let (_, at) = noted.copied().find(|(noted, _)| *noted <= counter)?;
        Some(at)
    }
}

/// A clock that is behind by less is harmless: the ages that are wrong by it are well within the
/// life of a tombstone.
const FROZEN_FOR: Duration = Duration::from_secs(3600);
