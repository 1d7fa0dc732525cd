//! What a member says of itself over its link: ready, goodbye.

use super::effect::{GoneCause, MemberEvent};
use super::machine::Membership;
use super::peer::{Peer, RetiredReason};
use crate::message::MemberState;
use crate::time::Time;
use crate::version::Incarnation;

impl Membership {
    /// A member says that it has its state.
    pub fn handle_ready(&mut self, now: Time, incarnation: Incarnation) {
        self.set_state(incarnation, MemberState::Ready);
        self.settle(now);
    }

    /// A member says that it leaves and has nothing left to send.
    ///
    /// It is gone, and nobody waits for it to come back. Ignored when it has no connection with
    /// this node, since then it cannot have said so.
    pub fn handle_goodbye(&mut self, now: Time, incarnation: Incarnation) {
        let Some(peer) = self.peers.get(&incarnation).filter(|peer| peer.is_open()) else {
            self.counters.goodbyes_ignored += 1;
            return;
        };
        self.missing.remove(&peer.who.name);
        if peer.is_in_view {
            self.gone(now, incarnation, GoneCause::Goodbye);
        } else if let Some(peer) = self.remove(now, incarnation, RetiredReason::Left) {
            self.succeed(now, peer.contender);
        }
        self.settle(now);
    }

    pub(super) fn set_state(&mut self, incarnation: Incarnation, state: MemberState) {
        let known = self.peers.get_mut(&incarnation);
        let Some(peer) = known.filter(|peer| peer.state != state && !Peer::has_failed(peer)) else {
            return;
        };
        peer.state = state;
        if peer.is_in_view {
            self.is_view_stale = true;
            let who = peer.who.clone();
            self.tell(match state {
                MemberState::Joining => MemberEvent::Joining(who),
                MemberState::Ready => MemberEvent::Ready(who),
            });
        }
    }
}
