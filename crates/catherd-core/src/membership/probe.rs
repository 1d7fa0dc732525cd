//! Probes: a question that the process answers decides whether it is gone.
//!
//! A connect alone proves nothing, since the kernel of a stopped process accepts: the answer to
//! the hello counts.

use super::effect::{ConnectFailure, Effect, GoneCause, MemberEvent, SuspectCause};
use super::machine::Membership;
use super::peer::{Failed, Peer, Probe, RetiredReason};
use crate::message::{Refusal, Welcome};
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::Incarnation;

impl Membership {
    /// What came of a probe. Ignored when no probe of this incarnation is under way.
    pub fn handle_probe(
        &mut self,
        now: Time,
        incarnation: Incarnation,
        outcome: Result<&Welcome, ConnectFailure>,
    ) {
        if self.decide_namesake(now, incarnation, outcome) {
            return;
        }
        if self.peers.get(&incarnation).is_some_and(Peer::is_probed) {
            match outcome {
                Ok(welcome) if welcome.incarnation == incarnation => {
                    self.probe_answered(now, incarnation);
                }
                Ok(_) => self.probe_failed(now, incarnation, true),
                Err(failure) if is_answer(failure) => self.probe_answered(now, incarnation),
                Err(ConnectFailure::Unreachable) => self.probe_failed(now, incarnation, false),
                Err(ConnectFailure::Reset | ConnectFailure::Refused(_)) => {
                    self.probe_failed(now, incarnation, true);
                }
            }
        }
        self.settle(now);
    }

    pub(super) fn give_up_probes(&mut self, now: Time) {
        self.give_up_namesake(now);
        let overdue = self.select(|peer| {
            peer.is_probed() && peer.probe.is_some_and(|probe| now >= probe.deadline)
        });
        for incarnation in overdue {
            self.probe_failed(now, incarnation, false);
        }
    }

    pub(super) fn suspect_the_silent(&mut self, now: Time) {
        let drop_time = self.config.drop_time;
        let silent = self.select(|peer| peer.probe.is_none() && now >= peer.alive_at + drop_time);
        for incarnation in silent {
            let is_worth_asking = self
                .peers
                .get(&incarnation)
                .is_some_and(|peer| peer.is_in_view || peer.is_open());
            if is_worth_asking {
                self.probe(now, incarnation, SuspectCause::Silent);
            } else {
                self.lose_candidate(now, incarnation);
            }
        }
    }

    /// Starts a probe; one that is under way goes on, with the graver cause.
    pub(super) fn probe(&mut self, now: Time, incarnation: Incarnation, cause: SuspectCause) {
        let deadline = now + self.config.patience();
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        if let Some(probe) = &mut peer.probe {
            if cause == SuspectCause::LinkLost {
                probe.cause = cause;
            }
            return;
        }
        peer.probe = Some(Probe {
            cause,
            deadline,
            is_heard_since: false,
            failed: None,
        });
        let (who, is_in_view) = (peer.who.clone(), peer.is_in_view);
        self.counters.probes += 1;
        self.push(Effect::Probe {
            incarnation,
            address: who.address,
            deadline,
        });
        if is_in_view {
            self.is_view_stale = true;
            self.tell(MemberEvent::Suspect(who, cause));
        }
    }

    /// Declares gone whose probes failed, together.
    ///
    /// A split takes several members at once. If each were declared gone by itself, a commit
    /// between two of them would raise the fence twice on one side of the split. So who failed
    /// waits for the probes of the others that are under way, which the failure itself started
    /// where a heartbeat was late, for at most the deadline of one probe.
    ///
    /// As long it waits for the end of what a process that has ended had sent before: its last
    /// writes may be in there, and its goodbye.
    pub(super) fn conclude(&mut self, now: Time) {
        // As nearly always: nobody has failed, and there is nothing to conclude.
        if !self.peers.values().any(Peer::has_failed) {
            return;
        }
        let replaced = self.select(|peer| peer.is_in_view && is_replaced(peer));
        for incarnation in replaced {
            self.declare_gone(now, incarnation);
        }
        let in_view = || self.peers.values().filter(|peer| peer.is_in_view);
        let failed = in_view().filter_map(|peer| peer.probe?.failed);
        let Some(until) = failed.map(|failed| failed.until).min() else {
            return;
        };
        let is_read = |peer: &Peer| peer.incoming && has_ended(peer);
        if now < until && in_view().any(|peer| peer.is_probed() || is_read(peer)) {
            return;
        }
        for incarnation in self.select(|peer| peer.is_in_view && peer.has_failed()) {
            self.declare_gone(now, incarnation);
        }
    }

    /// Declares a member gone whose probe failed.
    pub(super) fn declare_gone(&mut self, now: Time, incarnation: Incarnation) {
        let Some(peer) = self.peers.get(&incarnation) else {
            return;
        };
        debug_assert!(
            peer.is_in_view && peer.has_failed(),
            "only a failed probe does this"
        );
        let is_contended = peer
            .contender
            .as_ref()
            .is_some_and(|other| !other.is_refused);
        // Of a process that has ended nothing can come, so its successor makes up for it. One
        // that merely did not answer may be stopped and hold writes: it counts.
        if !is_replaced(peer) {
            self.declared_gone = self.declared_gone.saturating_add(1);
        }
        if is_contended {
            self.gone(now, incarnation, GoneCause::NewIncarnation);
        } else {
            let has_ended = has_ended(peer);
            self.missing
                .insert(&peer.who.name, incarnation, now, has_ended);
            self.gone(now, incarnation, GoneCause::ProbeFailed);
        }
    }

    /// Takes a member out of the view.
    pub(super) fn gone(&mut self, now: Time, incarnation: Incarnation, cause: GoneCause) {
        let reason = match cause {
            GoneCause::ProbeFailed => RetiredReason::Lost,
            GoneCause::Goodbye => RetiredReason::Left,
            GoneCause::NewIncarnation => RetiredReason::Replaced,
        };
        if let Some(peer) = self.remove(now, incarnation, reason) {
            self.tell(MemberEvent::Gone(peer.who, cause));
            self.succeed(now, peer.contender);
        }
    }

    pub(super) fn select(&self, is_wanted: impl Fn(&Peer) -> bool) -> Vec<Incarnation> {
        let wanted = self.peers.values().filter(|peer| is_wanted(peer));
        wanted.map(|peer| peer.who.incarnation).collect()
    }

    fn probe_answered(&mut self, now: Time, incarnation: Incarnation) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        peer.probe = None;
        peer.alive_at = now;
        if peer.is_in_view {
            self.is_view_stale = true;
            let who = peer.who.clone();
            self.tell(MemberEvent::Trusted(who));
        }
        self.refuse_contender(incarnation);
    }

    fn probe_failed(&mut self, now: Time, incarnation: Incarnation, has_ended: bool) {
        let until = now + self.config.patience();
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        let Some(probe) = &mut peer.probe else {
            return;
        };
        // Heartbeats came back while the answer was lost: the reason for the question is gone.
        // After a lost connection only an answer counts, or a member that hears but cannot be
        // reached would stay.
        let is_heard = probe.is_heard_since && probe.cause != SuspectCause::LinkLost;
        if (!has_ended && is_heard) || is_planted(Bug::NeverForgetsTheDead) {
            self.probe_answered(now, incarnation);
            return;
        }
        probe.failed = Some(Failed { until, has_ended });
        self.counters.probes_failed += 1;
        if !peer.is_in_view {
            if has_ended {
                self.drop_candidate(now, incarnation);
            } else {
                self.lose_candidate(now, incarnation);
            }
            return;
        }
        let late_after = self.config.patience();
        let late = self.select(|peer| {
            peer.is_in_view && peer.probe.is_none() && now > peer.alive_at + late_after
        });
        for incarnation in late {
            self.probe(now, incarnation, SuspectCause::Late);
        }
    }
}

/// Whether a failed connect shows that the process which was meant lives and answers: it, and no
/// other, has refused.
pub(super) fn is_answer(failure: ConnectFailure) -> bool {
    match failure {
        ConnectFailure::Reset | ConnectFailure::Unreachable => false,
        ConnectFailure::Refused(refusal) => !matches!(
            refusal,
            Refusal::OtherCluster | Refusal::OtherIncarnation | Refusal::Myself
        ),
    }
}

fn has_ended(peer: &Peer) -> bool {
    let failed = peer.probe.and_then(|probe| probe.failed);
    failed.is_some_and(|it| it.has_ended)
}

/// Whether the process has ended and another has its name already.
fn is_replaced(peer: &Peer) -> bool {
    has_ended(peer)
        && peer
            .contender
            .as_ref()
            .is_some_and(|other| !other.is_refused)
}
