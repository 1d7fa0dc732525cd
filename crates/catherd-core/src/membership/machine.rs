//! The state machine of the membership.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::peer::{Outgoing, Peer, Probe};
use super::types::{
    ConnectFailure, Direction, Effect, GoneWhy, MemberEvent, MembershipConfig, Myself, SuspectWhy,
    View,
};
use crate::message::{Heartbeat, Hello, MemberState, Protocols, Purpose, Refusal, Welcome};
use crate::time::Time;
use crate::version::Incarnation;

/// Who is a member, decided from what is heard.
///
/// Tell it what happens with the `handle_*` methods, with time that never goes back; after each
/// call drain [`poll_effect`](Self::poll_effect) and read [`view`](Self::view). Call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so;
/// calling it early or often is harmless.
#[derive(Debug)]
pub struct Membership {
    config: MembershipConfig,
    myself: Myself,
    state: MemberState,
    started: Time,
    /// By incarnation, so that what falls due together is done in the same order in every run.
    peers: BTreeMap<Incarnation, Peer>,
    /// Members that were declared gone and have not said goodbye, by name, and since when.
    missing: BTreeMap<String, Time>,
    /// Processes that have ended, as far as known: their late heartbeats bring nothing back.
    departed: BTreeMap<Incarnation, Time>,
    declared_gone: u32,
    counter: u64,
    next_heartbeat: Time,
    alone_told: bool,
    /// Processes that claim this node's own name, told once each.
    own_rivals: BTreeMap<Incarnation, Time>,
    leaving: bool,
    effects: VecDeque<Effect>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    heartbeats_sent: u64,
    heartbeats_heard: u64,
    heartbeats_own: u64,
    heartbeats_replayed: u64,
    heartbeats_foreign: u64,
    heartbeats_of_rivals: u64,
    processes_beyond_the_cap: u64,
    hellos_welcomed: u64,
    hellos_refused: u64,
    probes_sent: u64,
    probes_failed: u64,
}

impl Membership {
    /// A node that has just started; its first heartbeat is due at once.
    pub fn new(config: MembershipConfig, myself: Myself, now: Time) -> Self {
        Self {
            config,
            myself,
            state: MemberState::Joining,
            started: now,
            peers: BTreeMap::new(),
            missing: BTreeMap::new(),
            departed: BTreeMap::new(),
            declared_gone: 0,
            counter: 0,
            next_heartbeat: now,
            alone_told: false,
            own_rivals: BTreeMap::new(),
            leaving: false,
            effects: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A heartbeat was heard.
    pub fn handle_heartbeat(&mut self, now: Time, heartbeat: &Heartbeat) {
        let incarnation = heartbeat.incarnation;
        if incarnation == self.myself.incarnation {
            self.counters.heartbeats_own += 1;
            return;
        }
        let foreign = heartbeat.cluster != self.config.cluster
            || heartbeat.protocols.common(Protocols::OURS).is_none();
        if foreign || self.leaving || self.departed.contains_key(&incarnation) {
            self.counters.heartbeats_foreign += u64::from(foreign);
            return;
        }
        if heartbeat.name == self.myself.name {
            self.meet_own_rival(now, heartbeat);
            return;
        }
        if !self.peers.contains_key(&incarnation) {
            if self.challenge(now, &heartbeat.name, incarnation, heartbeat.address) {
                self.counters.heartbeats_of_rivals += 1;
                return;
            }
            let peer = Peer::new(&heartbeat.name, heartbeat.address, &heartbeat.domain, now);
            if !self.meet(incarnation, peer) {
                return;
            }
            // Members answer a process that they do not know with a heartbeat at once. It goes to
            // the group, never to an address that somebody merely claims.
            self.send_heartbeat(now);
        }
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        if heartbeat.counter <= peer.counter_heard {
            self.counters.heartbeats_replayed += 1;
            return;
        }
        self.counters.heartbeats_heard += 1;
        peer.counter_heard = heartbeat.counter;
        peer.heard = now;
        peer.address = heartbeat.address;
        if let Probe::Asked {
            why: SuspectWhy::Silent | SuspectWhy::Late,
            ..
        } = peer.probe
        {
            peer.probe = Probe::Unasked;
        }
        if heartbeat.state == MemberState::Ready {
            self.note_ready(incarnation);
        }
        self.connect_what_is_due(now);
    }

    /// Somebody opened a connection and said hello: the answer to give.
    ///
    /// # Errors
    ///
    /// The reason to refuse it with.
    pub fn handle_hello(&mut self, now: Time, hello: &Hello) -> Result<Welcome, Refusal> {
        let judged = self.judge(now, hello);
        match judged {
            Ok(_) => self.counters.hellos_welcomed += 1,
            Err(refusal) => {
                self.counters.hellos_refused += 1;
                self.tell_refusal(hello, refusal);
            }
        }
        let protocol = judged?;
        let incarnation = hello.incarnation;
        let known = self.peers.get(&incarnation);
        let welcome = Welcome {
            protocol,
            name: self.myself.name.clone(),
            incarnation: self.myself.incarnation,
            state: self.state,
            counter_heard: known.map_or(0, |peer| peer.counter_heard),
            silence: known.map_or(Duration::ZERO, |peer| peer.silence(now)),
            settings: self.config.settings,
        };
        if hello.purpose == Purpose::Link {
            if let Some(peer) = self.peers.get_mut(&incarnation) {
                peer.incoming = true;
                peer.heard = now;
                peer.address = hello.address;
            }
            if hello.state == MemberState::Ready {
                self.note_ready(incarnation);
            }
            self.add_if_met(incarnation);
            self.connect_what_is_due(now);
        }
        Ok(welcome)
    }

    /// A connection that this node opened to `expected` was welcomed.
    pub fn handle_welcome(&mut self, now: Time, expected: Option<Incarnation>, welcome: &Welcome) {
        let incarnation = expected.unwrap_or(welcome.incarnation);
        if welcome.incarnation != incarnation {
            self.effects.push_back(Effect::Disconnect { incarnation });
            self.depart(now, incarnation, GoneWhy::NewIncarnation);
            return;
        }
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            self.effects.push_back(Effect::Disconnect { incarnation });
            return;
        };
        peer.outgoing = Outgoing::Open;
        peer.opened = now;
        peer.failures = 0;
        peer.refusal_told = false;
        if welcome.state == MemberState::Ready {
            self.note_ready(incarnation);
        }
        self.add_if_met(incarnation);
    }

    /// A connection that [`Effect::Connect`] asked for could not be opened.
    pub fn handle_connect_failed(
        &mut self,
        now: Time,
        incarnation: Incarnation,
        failure: ConnectFailure,
    ) {
        if failure == ConnectFailure::Refused(Refusal::OtherIncarnation) {
            self.depart(now, incarnation, GoneWhy::NewIncarnation);
            return;
        }
        let wait = match failure {
            ConnectFailure::Unreachable => self.config.frequency,
            ConnectFailure::Refused(_) => self.config.drop_time,
        };
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        peer.failures = peer.failures.saturating_add(1);
        peer.outgoing = Outgoing::Closed {
            retry_at: now + wait,
        };
        if let ConnectFailure::Refused(refusal) = failure
            && !std::mem::replace(&mut peer.refusal_told, true)
        {
            let (name, address) = (peer.name.clone(), peer.address);
            self.event(MemberEvent::Refused {
                name,
                address,
                refusal,
                by_us: false,
            });
        }
    }

    /// A connection ended. That of a crashed process is reset, so the probe starts at once.
    pub fn handle_link_lost(&mut self, now: Time, incarnation: Incarnation, direction: Direction) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        match direction {
            Direction::Outgoing => {
                // Opened again at once, unless it has just been opened: then something is wrong
                // with what goes over it.
                let soonest = peer.opened + self.config.frequency;
                peer.outgoing = Outgoing::Closed {
                    retry_at: soonest.max(now),
                };
            }
            Direction::Incoming => peer.incoming = false,
        }
        // Members that were told goodbye close their connections.
        if peer.in_view && !self.leaving {
            self.suspect(now, incarnation, SuspectWhy::LinkLost);
        }
    }

    /// A probe that [`Effect::Probe`] asked for was answered, or not.
    pub fn handle_probe(&mut self, now: Time, incarnation: Incarnation, answered: bool) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        if !peer.is_asked() {
            return;
        }
        if !answered {
            self.probe_failed(now, incarnation);
            return;
        }
        peer.probe = Probe::Unasked;
        peer.heard = now;
        if let Some((_, address)) = peer.rival.take() {
            let name = peer.name.clone();
            self.event(MemberEvent::NameTaken { name, address });
        }
        self.settle_failed(now);
        self.connect_what_is_due(now);
    }

    /// A member says that it leaves.
    pub fn handle_goodbye(&mut self, now: Time, incarnation: Incarnation) {
        self.depart(now, incarnation, GoneWhy::Goodbye);
    }

    /// A member says that it has its state.
    pub fn handle_ready(&mut self, _now: Time, incarnation: Incarnation) {
        self.note_ready(incarnation);
    }

    /// This node has its state.
    pub fn become_ready(&mut self, now: Time) {
        if self.state == MemberState::Joining {
            self.state = MemberState::Ready;
            self.send_heartbeat(now);
        }
    }

    /// This node leaves: from now on it says nothing, and meets nobody.
    pub fn leave(&mut self, _now: Time) {
        self.leaving = true;
    }

    /// Whether this node leaves.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// A person says that a member will not come back: it is no longer missing. `false` if it was
    /// not missing.
    pub fn forget(&mut self, name: &str) -> bool {
        self.missing.remove(name).is_some()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        if now >= self.next_heartbeat {
            self.send_heartbeat(now);
        }
        if !self.alone_told && now >= self.started + 2 * self.config.frequency {
            self.alone_told = true;
            if self.peers.is_empty() {
                self.event(MemberEvent::Alone);
            }
        }
        self.missing
            .retain(|_, since| now.since(*since) < self.config.missing_for);
        self.departed
            .retain(|_, since| now.since(*since) < 2 * self.config.drop_time);
        self.own_rivals
            .retain(|_, heard| now.since(*heard) < self.config.drop_time);
        self.look_at_probes_and_silence(now);
        self.connect_what_is_due(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next; `None` when leaving.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.leaving {
            return None;
        }
        let peers = self.peers.values().flat_map(|peer| {
            let probe = match peer.probe {
                Probe::Asked { by, .. } => Some(by),
                Probe::Unasked => Some(peer.heard + self.config.drop_time),
                Probe::Failed => None,
            };
            let retry = match (peer.outgoing, peer.probe) {
                (Outgoing::Closed { retry_at }, Probe::Unasked) => Some(retry_at),
                _ => None,
            };
            [probe, retry].into_iter().flatten()
        });
        peers.chain([self.next_heartbeat]).min()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The members with a hello in both directions.
    pub fn view(&self) -> View {
        let members = self.peers.iter().filter(|(_, peer)| peer.in_view);
        View {
            myself: self.myself.clone(),
            state: self.state,
            members: members
                .map(|(incarnation, peer)| peer.to_member(*incarnation))
                .collect(),
        }
    }

    /// How many members this node has declared gone after a failed probe, so far.
    pub fn declared_gone(&self) -> u32 {
        self.declared_gone
    }

    /// Members that were declared gone and have not said goodbye, and since when; by name.
    pub fn missing(&self) -> impl Iterator<Item = (&str, Time)> {
        self.missing
            .iter()
            .map(|(name, since)| (name.as_str(), *since))
    }

    /// Whether everybody who was heard is in the view, or could not be met.
    pub fn is_settled(&self) -> bool {
        self.peers
            .values()
            .all(|peer| peer.in_view || peer.failures > 0)
    }

    /// What to say to a process on a new connection.
    pub fn hello_for(&self, to: Incarnation, purpose: Purpose, now: Time) -> Hello {
        let peer = self.peers.get(&to);
        Hello {
            protocols: Protocols::OURS,
            cluster: self.config.cluster.clone(),
            name: self.myself.name.clone(),
            incarnation: self.myself.incarnation,
            address: self.myself.address,
            domain: self.myself.domain.clone(),
            state: self.state,
            purpose,
            to: Some(to),
            counter_heard: peer.map_or(0, |peer| peer.counter_heard),
            silence: peer.map_or(Duration::ZERO, |peer| peer.silence(now)),
            settings: self.config.settings,
        }
    }

    /// What was counted since the start, by name.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let counters = &self.counters;
        [
            ("heartbeats_sent", counters.heartbeats_sent),
            ("heartbeats_heard", counters.heartbeats_heard),
            ("heartbeats_own", counters.heartbeats_own),
            ("heartbeats_replayed", counters.heartbeats_replayed),
            ("heartbeats_foreign", counters.heartbeats_foreign),
            ("heartbeats_of_rivals", counters.heartbeats_of_rivals),
            (
                "processes_beyond_the_cap",
                counters.processes_beyond_the_cap,
            ),
            ("hellos_welcomed", counters.hellos_welcomed),
            ("hellos_refused", counters.hellos_refused),
            ("probes_sent", counters.probes_sent),
            ("probes_failed", counters.probes_failed),
            ("members_declared_gone", u64::from(self.declared_gone)),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
    }

    fn judge(&mut self, now: Time, hello: &Hello) -> Result<u32, Refusal> {
        if hello.cluster != self.config.cluster {
            return Err(Refusal::OtherCluster);
        }
        let protocol = hello
            .protocols
            .common(Protocols::OURS)
            .ok_or(Refusal::NoCommonProtocol)?;
        if hello.incarnation == self.myself.incarnation {
            return Err(Refusal::Myself);
        }
        if hello.to.is_some_and(|to| to != self.myself.incarnation) {
            return Err(Refusal::OtherIncarnation);
        }
        if self.leaving {
            return Err(Refusal::Leaving);
        }
        if hello.purpose == Purpose::Probe {
            return Ok(protocol);
        }
        if hello.name == self.myself.name {
            return Err(Refusal::NameTaken);
        }
        if !self.peers.contains_key(&hello.incarnation) {
            if self.challenge(now, &hello.name, hello.incarnation, hello.address) {
                return Err(Refusal::NameTaken);
            }
            self.departed.remove(&hello.incarnation);
            let peer = Peer::new(&hello.name, hello.address, &hello.domain, now);
            if !self.meet(hello.incarnation, peer) {
                return Err(Refusal::Full);
            }
        }
        Ok(protocol)
    }

    /// A process that is not known has the name of one that is: whoever was first stays as long as
    /// it answers. `true` if there is such a one.
    fn challenge(
        &mut self,
        now: Time,
        name: &str,
        rival: Incarnation,
        address: std::net::SocketAddr,
    ) -> bool {
        let holder = self.peers.iter_mut().find(|(_, peer)| peer.name == name);
        let Some((&holder, peer)) = holder else {
            return false;
        };
        peer.rival = Some((rival, address));
        self.suspect(now, holder, SuspectWhy::Rival);
        self.peers.contains_key(&holder)
    }

    fn meet_own_rival(&mut self, now: Time, heartbeat: &Heartbeat) {
        self.counters.heartbeats_of_rivals += 1;
        if self.own_rivals.len() >= self.config.members_max {
            return;
        }
        if self.own_rivals.insert(heartbeat.incarnation, now).is_none() {
            let (name, address) = (heartbeat.name.clone(), heartbeat.address);
            self.event(MemberEvent::NameTaken { name, address });
        }
    }

    fn meet(&mut self, incarnation: Incarnation, peer: Peer) -> bool {
        if self.peers.len() >= self.config.members_max {
            self.counters.processes_beyond_the_cap += 1;
            return false;
        }
        self.peers.insert(incarnation, peer);
        true
    }

    fn note_ready(&mut self, incarnation: Incarnation) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        let before = std::mem::replace(&mut peer.state, MemberState::Ready);
        if before == MemberState::Joining && peer.in_view {
            let name = peer.name.clone();
            self.event(MemberEvent::Ready { name });
        }
    }

    fn add_if_met(&mut self, incarnation: Incarnation) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        if peer.in_view || !peer.incoming || peer.outgoing != Outgoing::Open {
            return;
        }
        peer.in_view = true;
        let (name, address, state) = (peer.name.clone(), peer.address, peer.state);
        self.missing.remove(&name);
        self.event(MemberEvent::Added {
            name: name.clone(),
            address,
        });
        if state == MemberState::Ready {
            self.event(MemberEvent::Ready { name });
        }
    }

    fn suspect(&mut self, now: Time, incarnation: Incarnation, why: SuspectWhy) {
        let by = now + 2 * self.config.frequency;
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        if peer.probe != Probe::Unasked {
            return;
        }
        peer.probe = Probe::Asked { by, why };
        self.counters.probes_sent += 1;
        let (name, address, in_view) = (peer.name.clone(), peer.address, peer.in_view);
        self.effects.push_back(Effect::Probe {
            incarnation,
            address,
        });
        if in_view {
            self.event(MemberEvent::Suspect { name, why });
        }
    }

    /// A failed probe starts one to every member that is late with a heartbeat, and those that
    /// fail are declared gone together: so that a split raises the fence of a session once.
    fn probe_failed(&mut self, now: Time, incarnation: Incarnation) {
        let Some(peer) = self.peers.get_mut(&incarnation) else {
            return;
        };
        peer.probe = Probe::Failed;
        self.counters.probes_failed += 1;
        let late = 2 * self.config.frequency;
        let late: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.in_view && peer.silence(now) > late)
            .map(|(incarnation, _)| *incarnation)
            .collect();
        for incarnation in late {
            self.suspect(now, incarnation, SuspectWhy::Late);
        }
        self.settle_failed(now);
    }

    fn settle_failed(&mut self, now: Time) {
        // Whoever was asked for being late is decided within two heartbeats.
        let is_late = |peer: &Peer| {
            matches!(
                peer.probe,
                Probe::Asked {
                    why: SuspectWhy::Silent | SuspectWhy::Late,
                    ..
                }
            )
        };
        if self.peers.values().any(is_late) {
            return;
        }
        let failed: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.probe == Probe::Failed)
            .map(|(incarnation, peer)| {
                let replaced = peer.rival.is_some();
                (
                    *incarnation,
                    if replaced {
                        GoneWhy::NewIncarnation
                    } else {
                        GoneWhy::ProbeFailed
                    },
                )
            })
            .collect();
        for (incarnation, why) in failed {
            self.depart(now, incarnation, why);
        }
    }

    fn depart(&mut self, now: Time, incarnation: Incarnation, why: GoneWhy) {
        let Some(peer) = self.peers.remove(&incarnation) else {
            return;
        };
        self.effects.push_back(Effect::Disconnect { incarnation });
        match why {
            GoneWhy::ProbeFailed if peer.in_view => {
                self.declared_gone = self.declared_gone.saturating_add(1);
                self.missing.insert(peer.name.clone(), now);
            }
            GoneWhy::ProbeFailed => {}
            GoneWhy::Goodbye | GoneWhy::NewIncarnation => {
                self.missing.remove(&peer.name);
                if self.departed.len() < self.config.members_max {
                    self.departed.insert(incarnation, now);
                }
            }
        }
        if peer.in_view {
            self.event(MemberEvent::Gone {
                name: peer.name,
                why,
            });
        }
    }

    fn look_at_probes_and_silence(&mut self, now: Time) {
        let (mut overdue, mut silent, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        for (&incarnation, peer) in &self.peers {
            match peer.probe {
                Probe::Asked { by, .. } if by <= now => overdue.push(incarnation),
                Probe::Unasked if peer.silence(now) >= self.config.drop_time => {
                    if peer.in_view {
                        silent.push(incarnation);
                    } else {
                        forgotten.push(incarnation);
                    }
                }
                Probe::Asked { .. } | Probe::Unasked | Probe::Failed => {}
            }
        }
        for incarnation in forgotten {
            self.depart(now, incarnation, GoneWhy::ProbeFailed);
        }
        for incarnation in silent {
            self.suspect(now, incarnation, SuspectWhy::Silent);
        }
        for incarnation in overdue {
            self.probe_failed(now, incarnation);
        }
    }

    fn connect_what_is_due(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        for (&incarnation, peer) in &mut self.peers {
            let Outgoing::Closed { retry_at } = peer.outgoing else {
                continue;
            };
            // While a probe is out, it decides whether there is anybody to connect to.
            if retry_at <= now && peer.probe == Probe::Unasked {
                peer.outgoing = Outgoing::Connecting;
                let (name, address) = (peer.name.clone(), peer.address);
                self.effects.push_back(Effect::Connect {
                    incarnation,
                    name,
                    address,
                });
            }
        }
    }

    fn send_heartbeat(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        self.counter += 1;
        self.counters.heartbeats_sent += 1;
        self.next_heartbeat = now + self.config.frequency;
        self.effects.push_back(Effect::SendHeartbeat(Heartbeat {
            cluster: self.config.cluster.clone(),
            name: self.myself.name.clone(),
            incarnation: self.myself.incarnation,
            counter: self.counter,
            address: self.myself.address,
            domain: self.myself.domain.clone(),
            state: self.state,
            protocols: Protocols::OURS,
            heard: self.peers.keys().copied().take(64).collect(),
        }));
    }

    fn tell_refusal(&mut self, hello: &Hello, refusal: Refusal) {
        // What a stranger says of itself is told, as often as it connects: connections are capped.
        let (name, address) = (hello.name.clone(), hello.address);
        self.event(MemberEvent::Refused {
            name,
            address,
            refusal,
            by_us: true,
        });
    }

    fn event(&mut self, event: MemberEvent) {
        self.effects.push_back(Effect::Event(event));
    }
}
