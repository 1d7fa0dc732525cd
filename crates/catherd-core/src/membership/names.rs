//! Two processes of one name: the second is refused while the first answers a probe.
//!
//! The route in a session's cookie is a name, so two living processes must not share one.

use super::effect::{ConnectFailure, Effect, MemberEvent, MemberName, SuspectCause};
use super::machine::Membership;
use super::peer::Contender;
use crate::message::Welcome;
use crate::time::Time;
use crate::version::Incarnation;

/// A process with this node's own name; one at a time.
#[derive(Clone, Debug)]
pub(super) struct Namesake {
    who: MemberName,
    heard_at: Time,
    /// A datagram may be the last word of this node's own previous process: it is asked first.
    probe_deadline: Option<Time>,
    is_told: bool,
}

impl Namesake {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.probe_deadline
    }
}

impl Membership {
    /// `contender` says to have the name of `holder`: a probe of the holder decides.
    ///
    /// One contender is remembered for each holder, and probed for once, so that a flood of them
    /// causes one probe in a drop time.
    pub(super) fn contend(&mut self, now: Time, holder: Incarnation, contender: Contender) {
        let drop_time = self.config.drop_time;
        let Some(peer) = self.peers.get_mut(&holder) else {
            return;
        };
        match &mut peer.contender {
            Some(known) if known.who.incarnation == contender.who.incarnation => {
                known.heard_at = now;
                known.counter = known.counter.max(contender.counter);
                known.is_verified |= contender.is_verified;
                return;
            }
            Some(known) if now < known.heard_at + drop_time => return,
            slot => *slot = Some(contender),
        }
        if peer.probe.is_none() {
            self.probe(now, holder, SuspectCause::NameContended);
        }
    }

    /// `holder` has answered: who contends with it is refused from now on.
    pub(super) fn refuse_contender(&mut self, holder: Incarnation) {
        let Some(peer) = self.peers.get_mut(&holder) else {
            return;
        };
        if let Some(contender) = &mut peer.contender
            && !contender.is_refused
        {
            contender.is_refused = true;
            let (holder, refused) = (peer.who.clone(), contender.who.clone());
            self.tell(MemberEvent::NameTaken { holder, refused });
        }
    }

    /// The name is free: who contended for it becomes known.
    pub(super) fn succeed(&mut self, now: Time, contender: Option<Contender>) {
        let Some(contender) = contender else {
            return;
        };
        if !self.is_leaving && now < contender.heard_at + self.config.drop_time {
            self.learn(now, contender);
        }
    }

    /// A heartbeat with this node's own name.
    pub(super) fn hear_namesake(&mut self, now: Time, who: MemberName) {
        let drop_time = self.config.drop_time;
        match &mut self.namesake {
            Some(known) if known.who.incarnation == who.incarnation => {
                let is_due = known.probe_deadline.is_none() && now >= known.heard_at + drop_time;
                if known.is_told || !is_due {
                    if known.is_told {
                        known.heard_at = now;
                    }
                    return;
                }
            }
            Some(known) if now < known.heard_at + drop_time => return,
            _ => {}
        }
        let deadline = now + self.config.patience();
        self.counters.probes += 1;
        self.push(Effect::Probe {
            incarnation: who.incarnation,
            address: who.address,
            deadline,
        });
        let probe_deadline = Some(deadline);
        self.namesake = Some(Namesake {
            who,
            heard_at: now,
            probe_deadline,
            is_told: false,
        });
    }

    /// A process with this node's own name has opened a connection: it lives.
    pub(super) fn meet_namesake(&mut self, now: Time, who: MemberName) {
        let is_told = self
            .namesake
            .as_ref()
            .is_some_and(|known| known.who.incarnation == who.incarnation && known.is_told);
        let told = Namesake {
            who: who.clone(),
            heard_at: now,
            probe_deadline: None,
            is_told: true,
        };
        self.namesake = Some(told);
        if !is_told {
            self.tell(MemberEvent::OurNameTaken(who));
        }
    }

    /// Whether the probe was that of the namesake.
    pub(super) fn decide_namesake(
        &mut self,
        now: Time,
        incarnation: Incarnation,
        outcome: Result<&Welcome, ConnectFailure>,
    ) -> bool {
        let Some(known) = &mut self.namesake else {
            return false;
        };
        if known.who.incarnation != incarnation || known.probe_deadline.take().is_none() {
            return false;
        }
        // It has our name, so it refuses our hellos; whoever refuses, lives.
        let lives = match outcome {
            Ok(welcome) => welcome.incarnation == incarnation,
            Err(failure) => super::probe::is_answer(failure),
        };
        if lives {
            let who = known.who.clone();
            self.meet_namesake(now, who);
        } else {
            self.counters.probes_failed += 1;
        }
        true
    }

    pub(super) fn give_up_namesake(&mut self, now: Time) {
        let Some(known) = &mut self.namesake else {
            return;
        };
        if known.probe_deadline.is_some_and(|deadline| now >= deadline) {
            known.probe_deadline = None;
            self.counters.probes_failed += 1;
        }
    }
}
