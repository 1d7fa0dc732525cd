//! Heartbeats: sent, heard, answered.

use super::effect::Effect;
use super::machine::Membership;
use super::peer::{Contender, Peer, RetiredReason};
use crate::message::{HEARD_MAX, Heartbeat, Protocols};
use crate::time::Time;
use crate::version::Incarnation;

impl Membership {
    /// A heartbeat came in from the group; its MAC was checked.
    pub fn handle_heartbeat(&mut self, now: Time, heartbeat: &Heartbeat) {
        self.hear(now, heartbeat);
        self.settle(now);
    }

    pub(super) fn send_heartbeat_when_due(&mut self, now: Time) {
        if self.is_leaving || now < self.heartbeat_at {
            return;
        }
        // One, however many were missed: nobody gains by hearing those of the past.
        self.heartbeat_at += self.config.frequency;
        if self.heartbeat_at <= now {
            self.heartbeat_at = now + self.config.frequency;
        }
        let heard = self.heard(now);
        let heartbeat = self.heartbeat(now, heard);
        self.push(Effect::SendHeartbeat(heartbeat));
    }

    fn hear(&mut self, now: Time, heartbeat: &Heartbeat) {
        if heartbeat.cluster != self.config.cluster {
            self.counters.heartbeats_of_another_cluster += 1;
        } else if heartbeat.incarnation == self.myself.incarnation {
            self.counters.heartbeats_own += 1;
        } else if heartbeat.name == self.myself.name {
            self.counters.heartbeats_of_taken_names += 1;
            self.hear_namesake(now, Contender::from_heartbeat(heartbeat, now).who);
        } else if self.peers.contains_key(&heartbeat.incarnation) {
            self.hear_known(now, heartbeat);
        } else {
            self.hear_unknown(now, heartbeat);
        }
    }

    fn hear_known(&mut self, now: Time, heartbeat: &Heartbeat) {
        let Some(peer) = self.peers.get_mut(&heartbeat.incarnation) else {
            return;
        };
        if heartbeat.name != peer.who.name {
            self.counters.heartbeats_of_taken_names += 1;
            return;
        }
        if heartbeat.counter <= peer.counter {
            self.counters.heartbeats_replayed += 1;
            return;
        }
        self.counters.heartbeats_heard += 1;
        peer.counter = heartbeat.counter;
        peer.heard_at = Some(now);
        peer.alive_at = now;
        // An answer may have no list, though its sender hears many.
        if !heartbeat.heard.is_empty() {
            peer.hears.clone_from(&heartbeat.heard);
        }
        if let Some(probe) = &mut peer.probe {
            probe.is_heard_since = true;
        }
        // What a connection said counts more than what a datagram says: on the connection the
        // state comes in order with the fragments, and nobody can be made to call elsewhere.
        if !peer.is_verified {
            peer.who.address = heartbeat.address;
            peer.domain.clone_from(&heartbeat.domain);
            peer.state = heartbeat.state;
        }
        self.compare_clocks(now, heartbeat);
    }

    fn hear_unknown(&mut self, now: Time, heartbeat: &Heartbeat) {
        let retired = self.retired.get(&heartbeat.incarnation).copied();
        if let Some(retired) = retired {
            let has_ended = match retired.reason {
                RetiredReason::Left => true,
                RetiredReason::Replaced => now < retired.at + self.config.drop_time,
                RetiredReason::Lost | RetiredReason::Forgotten => false,
            };
            if has_ended {
                self.counters.heartbeats_of_the_ended += 1;
                return;
            }
            if heartbeat.counter <= retired.counter {
                self.counters.heartbeats_replayed += 1;
                return;
            }
        }
        if self.is_leaving {
            return;
        }
        let newcomer = Contender::from_heartbeat(heartbeat, now);
        if let Some(holder) = self.holder(&heartbeat.name) {
            self.counters.heartbeats_of_taken_names += 1;
            self.contend(now, holder, newcomer);
        } else if !self.learn(now, newcomer) {
            self.counters.heartbeats_over_cap += 1;
        } else {
            self.counters.heartbeats_heard += 1;
            if retired.is_none() {
                self.answer_heartbeat(now, heartbeat);
            }
        }
    }

    /// The newcomer hears of us at once, not with our next heartbeat.
    ///
    /// Once for each that becomes known, and their number is bounded, so a flood is not answered
    /// by a flood. Our list is left out if it is longer than theirs; that the whole datagram is not
    /// longer, the caller sees to, who knows its bytes. So it has no wall clock if theirs has none.
    fn answer_heartbeat(&mut self, now: Time, heartbeat: &Heartbeat) {
        self.counters.heartbeats_answered += 1;
        let mut heard = self.heard(now);
        if heard.len() > heartbeat.heard.len() {
            heard.clear();
        }
        let mut answer = self.heartbeat(now, heard);
        if heartbeat.wall_ms.is_none() {
            answer.wall_ms = None;
        }
        self.push(Effect::AnswerHeartbeat(answer));
    }

    /// Whom this node hears, and whom it misses: as many as a heartbeat may name. A process that
    /// comes now has never met who is missing, and is not to take it for nobody.
    pub(super) fn heard(&self, now: Time) -> Vec<Incarnation> {
        let is_heard = |peer: &Peer| {
            peer.heard_at
                .is_some_and(|heard_at| now < heard_at + self.config.drop_time)
        };
        let heard = self.peers.values().filter(|peer| is_heard(peer));
        let missing = self.missing.iter().map(|missing| missing.incarnation);
        let missing = missing.filter(|it| !self.peers.get(it).is_some_and(is_heard));
        heard
            .map(|peer| peer.who.incarnation)
            .chain(missing)
            .take(HEARD_MAX)
            .collect()
    }

    fn heartbeat(&mut self, now: Time, heard: Vec<Incarnation>) -> Heartbeat {
        self.counter += 1;
        self.counters.heartbeats_sent += 1;
        self.sent.note(self.counter, now);
        Heartbeat {
            cluster: self.config.cluster.clone(),
            name: self.myself.name.clone(),
            incarnation: self.myself.incarnation,
            counter: self.counter,
            address: self.myself.address,
            domain: self.myself.domain.clone(),
            state: self.state,
            protocols: Protocols::OURS,
            heard,
            wall_ms: self.wall_ms(now),
        }
    }
}
