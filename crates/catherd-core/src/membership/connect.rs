//! Hellos and welcomes: the two halves of a link, opened and lost.

use std::time::Duration;

use super::config::Myself;
use super::effect::{ConnectFailure, Direction, Effect, MemberEvent, SuspectCause};
use super::machine::Membership;
use super::peer::{Contender, Outgoing, Peer, RetiredReason};
use crate::message::{Hello, MemberState, Protocols, Purpose, Refusal, Welcome};
use crate::time::Time;
use crate::version::Incarnation;

impl Membership {
    /// What to say to `to`, on a connection opened for this purpose.
    pub fn hello_for(&self, to: Incarnation, purpose: Purpose, now: Time) -> Hello {
        let Myself {
            name,
            incarnation,
            address,
            domain,
        } = self.myself.clone();
        let (counter_heard, silence) = self.heard_of(to, now);
        Hello {
            protocols: Protocols::OURS,
            cluster: self.config.cluster.clone(),
            name,
            incarnation,
            address,
            domain,
            state: self.state,
            purpose,
            to: Some(to),
            counter_heard,
            silence,
            settings: self.config.settings,
        }
    }

    /// Somebody opened a connection to this node and said this. An
    /// [`Effect::Disconnect`] that follows from it is about the connections of before: carry it
    /// out before this one counts among them.
    ///
    /// # Errors
    ///
    /// The refusal to send before the connection is closed. A probe that is welcome has no other
    /// consequence; its connection is closed after the answer.
    pub fn handle_hello(&mut self, now: Time, hello: &Hello) -> Result<Welcome, Refusal> {
        let answer = self.answer_hello(now, hello);
        match answer {
            Ok(_) => self.counters.hellos_accepted += 1,
            Err(_) => self.counters.hellos_refused += 1,
        }
        self.settle(now);
        answer
    }

    /// The outgoing half to `expected` was opened and answered with this. May be called for each
    /// socket of the half.
    ///
    /// `false`: the connection is of no use and must be closed; that is not reported again.
    #[must_use]
    pub fn handle_welcome(&mut self, now: Time, expected: Incarnation, welcome: &Welcome) -> bool {
        let is_of_use = self.open_outgoing_half(now, expected, welcome);
        self.settle(now);
        is_of_use
    }

    /// The outgoing half could not be opened.
    pub fn handle_connect_failed(
        &mut self,
        now: Time,
        incarnation: Incarnation,
        failure: ConnectFailure,
    ) {
        self.fail_connect(now, incarnation, failure);
        self.settle(now);
    }

    /// A half of the link was reset, closed, or brought what it must not bring: a probe asks at
    /// once whether the process lives.
    pub fn handle_link_lost(&mut self, now: Time, incarnation: Incarnation, half: Direction) {
        let frequency = self.config.frequency;
        if let Some(peer) = self.peers.get_mut(&incarnation) {
            match (half, peer.outgoing) {
                (Direction::Incoming, _) => peer.incoming = false,
                (Direction::Outgoing, Outgoing::Open { since }) => {
                    // A half that does not last is opened again with the pauses of one that
                    // cannot be opened.
                    peer.failures = if now < since + frequency {
                        peer.failures + 1
                    } else {
                        0
                    };
                    let retry_at = now + pause(frequency, peer.failures);
                    peer.outgoing = Outgoing::Closed { retry_at };
                }
                (Direction::Outgoing, Outgoing::Closed { .. } | Outgoing::Connecting { .. }) => {}
            }
            if peer.is_in_view {
                self.probe(now, incarnation, SuspectCause::LinkLost);
            }
        }
        self.settle(now);
    }

    /// Asks for the connects whose time has come. While a probe is under way there are none: it
    /// decides whether there is anybody to connect to.
    pub(super) fn connect_due(&mut self, now: Time) {
        if self.is_leaving {
            return;
        }
        let deadline = now + self.config.patience();
        let is_due =
            |outgoing| matches!(outgoing, Outgoing::Closed { retry_at } if now >= retry_at);
        for incarnation in self.select(|peer| peer.probe.is_none() && is_due(peer.outgoing)) {
            if let Some(peer) = self.peers.get_mut(&incarnation) {
                peer.outgoing = Outgoing::Connecting { deadline };
                let (name, address) = (peer.who.name.clone(), peer.who.address);
                self.counters.connects += 1;
                self.push(Effect::Connect {
                    incarnation,
                    name,
                    address,
                });
            }
        }
    }

    pub(super) fn give_up_connects(&mut self, now: Time) {
        let overdue = self.select(
            |peer| matches!(peer.outgoing, Outgoing::Connecting { deadline } if now >= deadline),
        );
        for incarnation in overdue {
            self.fail_connect(now, incarnation, ConnectFailure::Unreachable);
        }
    }

    fn answer_hello(&mut self, now: Time, hello: &Hello) -> Result<Welcome, Refusal> {
        let protocol = self.check_hello(hello)?;
        if self.is_put_back(now, hello.counter_heard, hello.silence) {
            // The process that was meant is not there any more.
            return Err(Refusal::OtherIncarnation);
        }
        match hello.purpose {
            Purpose::Link => {
                self.admit(now, hello)?;
                self.open_incoming_half(now, hello);
            }
            Purpose::Pooled => self.check_is_linked(hello)?,
            Purpose::Probe => {}
        }
        let (counter_heard, silence) = self.heard_of(hello.incarnation, now);
        Ok(Welcome {
            protocol,
            name: self.myself.name.clone(),
            incarnation: self.myself.incarnation,
            state: self.state,
            counter_heard,
            silence,
            settings: self.config.settings,
            heard: self.heard(now),
        })
    }

    fn check_hello(&self, hello: &Hello) -> Result<u32, Refusal> {
        if hello.cluster != self.config.cluster {
            return Err(Refusal::OtherCluster);
        }
        if hello.incarnation == self.myself.incarnation {
            return Err(Refusal::Myself);
        }
        // Before all that only the process that was meant may say: who probes takes any other
        // refusal for a sign of life.
        if hello.to.is_some_and(|to| to != self.myself.incarnation) {
            return Err(Refusal::OtherIncarnation);
        }
        if self.is_leaving {
            return Err(Refusal::Leaving);
        }
        Protocols::OURS
            .common(hello.protocols)
            .ok_or(Refusal::NoCommonProtocol)
    }

    /// One more socket belongs to a half that is open, and says nothing of its own.
    fn check_is_linked(&self, hello: &Hello) -> Result<(), Refusal> {
        let is_linked =
            |peer: &Peer| peer.incoming && !peer.has_failed() && peer.who.name == hello.name;
        if self.peers.get(&hello.incarnation).is_some_and(is_linked) {
            Ok(())
        } else {
            Err(Refusal::NotLinked)
        }
    }

    /// Makes sure that the caller is known and may be.
    fn admit(&mut self, now: Time, hello: &Hello) -> Result<(), Refusal> {
        let caller = Contender::from_hello(hello, now);
        if hello.name == self.myself.name {
            self.meet_namesake(now, caller.who);
            return Err(Refusal::NameTaken);
        }
        // Its probe has failed and it waits to be declared gone with others. What it says now
        // belongs to its return, so it goes first.
        let has_failed = |peer: &Peer| peer.is_in_view && peer.has_failed();
        if self.peers.get(&hello.incarnation).is_some_and(has_failed) {
            self.declare_gone(now, hello.incarnation);
        }
        if let Some(peer) = self.peers.get(&hello.incarnation) {
            // A process does not change its name.
            return if peer.who.name == hello.name {
                Ok(())
            } else {
                Err(Refusal::NameTaken)
            };
        }
        let retired = self.retired.get(&hello.incarnation);
        if retired.is_some_and(|retired| retired.reason == RetiredReason::Left) {
            return Err(Refusal::Leaving);
        }
        if let Some(holder) = self.holder(&hello.name) {
            self.contend(now, holder, caller);
            return Err(Refusal::NameTaken);
        }
        if self.learn(now, caller) {
            Ok(())
        } else {
            Err(Refusal::Full)
        }
    }

    fn open_incoming_half(&mut self, now: Time, hello: &Hello) {
        let incarnation = hello.incarnation;
        // The hello and the ready that may follow come on one connection, in order.
        self.set_state(incarnation, hello.state);
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        let is_reopened = peer.is_in_view && !peer.incoming;
        peer.incoming = true;
        peer.is_verified = true;
        peer.alive_at = now;
        self.is_view_stale |= peer.who.address != hello.address || peer.domain != hello.domain;
        peer.who.address = hello.address;
        peer.domain.clone_from(&hello.domain);
        if let Outgoing::Closed { retry_at } = &mut peer.outgoing {
            // It accepts us now, whatever it said before.
            *retry_at = now;
        }
        self.opened(
            incarnation,
            hello.settings,
            is_reopened.then_some(Direction::Incoming),
        );
    }

    fn open_outgoing_half(&mut self, now: Time, expected: Incarnation, welcome: &Welcome) -> bool {
        let Some(peer) = self.peers.get_mut(&expected) else {
            return false;
        };
        if self.is_leaving || peer.has_failed() {
            return false;
        }
        if welcome.incarnation != expected || welcome.name != peer.who.name {
            let failure = ConnectFailure::Refused(Refusal::OtherIncarnation);
            self.fail_connect(now, expected, failure);
            return false;
        }
        if !(Protocols::OURS.min..=Protocols::OURS.max).contains(&welcome.protocol) {
            let failure = ConnectFailure::Refused(Refusal::NoCommonProtocol);
            self.fail_connect(now, expected, failure);
            return false;
        }
        if self.is_put_back(now, welcome.counter_heard, welcome.silence) {
            return false;
        }
        let Some(peer) = self.peers.get_mut(&expected) else {
            return false;
        };
        peer.is_verified = true;
        peer.alive_at = now;
        peer.refused = None;
        peer.hears.clone_from(&welcome.heard);
        let was_open = peer.is_outgoing_open();
        if !was_open {
            peer.outgoing = Outgoing::Open { since: now };
        }
        let is_reopened = peer.is_in_view && !was_open;
        // Never back to joining: the member may have said on its own connection meanwhile that
        // it is ready.
        if welcome.state == MemberState::Ready {
            self.set_state(expected, MemberState::Ready);
        }
        self.opened(
            expected,
            welcome.settings,
            is_reopened.then_some(Direction::Outgoing),
        );
        // Our hello may have been written before we became ready.
        if self.state == MemberState::Ready && !was_open {
            self.push(Effect::SendReady {
                incarnation: expected,
            });
        }
        true
    }

    /// A half is open: with both, the process is in the view.
    fn opened(&mut self, incarnation: Incarnation, settings: u64, reopened: Option<Direction>) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        let who = peer.who.clone();
        self.missing.replaced(&who.name, incarnation);
        let is_met = !peer.is_in_view && peer.incoming && peer.is_outgoing_open();
        peer.is_in_view |= is_met;
        if is_met {
            (peer.was_in_view, peer.before) = (false, None);
        }
        let is_ready = peer.state == MemberState::Ready;
        let suspect_because = peer.probe.map(|probe| probe.cause);
        let is_told = peer.is_settings_difference_told;
        peer.is_settings_difference_told = settings != self.config.settings;
        if settings != self.config.settings && !is_told {
            self.tell(MemberEvent::SettingsDiffer(who.clone()));
        }
        if let Some(half) = reopened {
            self.tell(MemberEvent::Reopened(who.clone(), half));
        }
        if is_met {
            self.is_view_stale = true;
            self.arrivals += 1;
            self.missing.remove(&who.name);
            self.tell(MemberEvent::Added(who.clone()));
            if is_ready {
                self.tell(MemberEvent::Ready(who.clone()));
            }
            // Asked as a candidate; the answer now decides about a member.
            if let Some(cause) = suspect_because {
                self.tell(MemberEvent::Suspect(who, cause));
            }
        }
    }

    fn fail_connect(&mut self, now: Time, incarnation: Incarnation, failure: ConnectFailure) {
        let (frequency, drop_time) = (self.config.frequency, self.config.drop_time);
        let patience = self.config.patience();
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        if !matches!(peer.outgoing, Outgoing::Connecting { .. }) {
            return;
        }
        self.counters.connects_failed += 1;
        peer.failures += 1;
        let mut retry_at = now + pause(frequency, peer.failures);
        let mut told = None;
        if let ConnectFailure::Refused(refusal) = failure {
            let times = match peer.refused {
                Some((before, times)) if before == refusal => times.saturating_add(1),
                _ => 1,
            };
            peer.refused = Some((refusal, times));
            // After a quick restart the previous process has the name until a probe of it has
            // failed: only a second refusal, after the time of a probe, says that it lives.
            let is_early = refusal == Refusal::NameTaken && times == 1;
            retry_at = now + if is_early { patience } else { drop_time };
            let tell_at = if refusal == Refusal::NameTaken { 2 } else { 1 };
            told = (times == tell_at && refusal != Refusal::Leaving).then_some(refusal);
        }
        peer.outgoing = Outgoing::Closed { retry_at };
        let (who, is_in_view) = (peer.who.clone(), peer.is_in_view);
        let is_known_otherwise = is_in_view || peer.incoming;
        let is_elsewhere = matches!(
            failure,
            ConnectFailure::Refused(Refusal::OtherIncarnation | Refusal::Myself)
        );
        if is_elsewhere && !is_known_otherwise {
            // The process that was heard is not there any more.
            self.drop_candidate(now, incarnation);
            return;
        }
        if let Some(refusal) = told {
            self.tell(MemberEvent::Refused(who, refusal));
        }
        if is_in_view && !super::probe::is_answer(failure) {
            self.probe(now, incarnation, SuspectCause::LinkLost);
        }
    }

    /// The highest heartbeat counter heard of a process, and how long ago.
    fn heard_of(&self, incarnation: Incarnation, now: Time) -> (u64, Duration) {
        let known = self.peers.get(&incarnation).map(|peer| match peer.before {
            Some((counter, heard_at)) => (counter, Some(heard_at)),
            None => (peer.counter, peer.heard_at),
        });
        let retired = self.retired.get(&incarnation);
        let retired = || retired.map(|retired| (retired.counter, retired.heard_at));
        let (counter, heard_at) = known.or_else(retired).unwrap_or((0, None));
        (
            counter,
            heard_at.map_or(Duration::ZERO, |heard_at| now.since(heard_at)),
        )
    }
}

/// How long to wait after so many failures in a row: a sixteenth of the frequency, doubled each
/// time up to the frequency.
fn pause(frequency: Duration, failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        1..=4 => frequency / (16 >> (failures - 1)),
        _ => frequency,
    }
}
