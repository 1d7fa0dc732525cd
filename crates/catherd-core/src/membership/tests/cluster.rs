//! Several memberships, a network in memory, a clock that is a number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::super::{
    ConnectFailure, Direction, Effect, MemberEvent, Membership, MembershipConfig, Myself,
};
use crate::message::{Heartbeat, Hello, Purpose, Refusal, Welcome};
use crate::time::Time;
use crate::version::Incarnation;

pub(super) const FREQUENCY: Duration = Duration::from_millis(500);
pub(super) const DROP_TIME: Duration = Duration::from_millis(3000);

pub(super) struct Cluster {
    pub(super) now: Time,
    pub(super) nodes: Vec<Node>,
    /// How many of a thousand heartbeats are lost.
    pub(super) loss: u64,
    /// The greatest latency in milliseconds; the least is 1.
    pub(super) latency: u64,
    cuts: BTreeSet<(usize, usize)>,
    wire: BTreeMap<(Time, u64), Delivery>,
    connections: BTreeMap<u64, Connection>,
    serial: u64,
    random: u64,
}

pub(super) struct Node {
    pub(super) core: Option<Membership>,
    pub(super) incarnation: Incarnation,
    pub(super) events: Vec<MemberEvent>,
    name: String,
    is_stopped: bool,
    backlog: Vec<Delivery>,
}

/// A process on a node.
type Process = (usize, Incarnation);

#[derive(Clone)]
enum Delivery {
    Heartbeat {
        to: usize,
        heartbeat: Heartbeat,
    },
    Hello {
        connection: u64,
        hello: Hello,
    },
    Answer {
        connection: u64,
        answer: Result<Welcome, ConnectFailure>,
    },
    Lost {
        connection: u64,
        at: Process,
    },
    Ready {
        connection: u64,
    },
    Goodbye {
        connection: u64,
    },
}

struct Connection {
    from: Process,
    /// Whom the caller expects, and where it calls.
    to: Incarnation,
    at: usize,
    purpose: Purpose,
    is_open_at_caller: bool,
    is_welcome: bool,
    /// The process that said welcome, while it has the connection open.
    called: Option<Incarnation>,
}

impl Cluster {
    /// Nodes that are not started yet; their names are a, b, c, ...
    pub(super) fn new(nodes: usize) -> Self {
        let node = |index: usize| Node {
            core: None,
            incarnation: Incarnation::from_bits(0),
            events: Vec::new(),
            name: char::from(b'a' + u8::try_from(index).unwrap()).to_string(),
            is_stopped: false,
            backlog: Vec::new(),
        };
        Self {
            now: Time::START,
            nodes: (0..nodes).map(node).collect(),
            loss: 0,
            latency: 1,
            cuts: BTreeSet::new(),
            wire: BTreeMap::new(),
            connections: BTreeMap::new(),
            serial: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Nodes that have found each other.
    pub(super) fn joined(nodes: usize) -> Self {
        let mut cluster = Self::new(nodes);
        for index in 0..nodes {
            cluster.start(index);
        }
        cluster.run_for(FREQUENCY);
        for index in 0..nodes {
            assert_eq!(cluster.view(index).len(), nodes - 1);
            cluster.nodes[index].events.clear();
        }
        cluster
    }

    pub(super) fn seeded(mut self, seed: u64) -> Self {
        self.random ^= seed;
        self
    }

    pub(super) fn start(&mut self, index: usize) {
        let name = self.nodes[index].name.clone();
        self.start_as(index, &name);
    }

    pub(super) fn start_as(&mut self, index: usize, name: &str) {
        assert!(self.nodes[index].core.is_none());
        let incarnation = Incarnation::from_bits(self.draw());
        let myself = Myself {
            name: name.to_owned(),
            incarnation,
            address: address(index),
            domain: "d".to_owned(),
        };
        let core = Membership::new(MembershipConfig::new("test"), myself, self.now);
        let node = &mut self.nodes[index];
        node.core = Some(core);
        node.incarnation = incarnation;
        node.is_stopped = false;
        node.events.clear();
        self.drain(index);
    }

    /// `kill -9`: the kernel resets the connections and refuses new ones.
    pub(super) fn crash(&mut self, index: usize) {
        self.nodes[index].core = None;
        self.nodes[index].backlog.clear();
        self.nodes[index].is_stopped = false;
        let process = (index, self.nodes[index].incarnation);
        self.close(process, |_| true);
    }

    /// `SIGSTOP`: the kernel accepts, nobody answers.
    pub(super) fn stop(&mut self, index: usize) {
        self.nodes[index].is_stopped = true;
    }

    /// `SIGCONT`.
    pub(super) fn resume(&mut self, index: usize) {
        self.nodes[index].is_stopped = false;
        for delivery in std::mem::take(&mut self.nodes[index].backlog) {
            self.post(delivery);
        }
    }

    pub(super) fn cut(&mut self, one: usize, other: usize) {
        self.cuts.insert((one.min(other), one.max(other)));
    }

    /// Cuts the node off from all others.
    pub(super) fn isolate(&mut self, index: usize) {
        for other in (0..self.nodes.len()).filter(|&other| other != index) {
            self.cut(index, other);
        }
    }

    /// All cuts are gone, and the kernels find out which connections have only one end.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        let mut lost = Vec::new();
        for (&connection, it) in &self.connections {
            match (it.is_open_at_caller, it.called) {
                (true, None) if it.is_welcome => lost.push((connection, it.from)),
                (false, Some(called)) => lost.push((connection, (it.at, called))),
                _ => {}
            }
        }
        for (connection, at) in lost {
            self.post(Delivery::Lost { connection, at });
        }
    }

    /// All cuts are gone, and no kernel has noticed anything.
    pub(super) fn heal_without_resets(&mut self) {
        self.cuts.clear();
    }

    /// One more node, not started.
    pub(super) fn grow(&mut self) {
        let mut other = Self::new(self.nodes.len() + 1);
        self.nodes.extend(other.nodes.pop());
    }

    /// Resets the connection that `from` opened to `to`.
    pub(super) fn reset(&mut self, from: usize, to: usize) {
        let (caller, called) = (self.process(from), self.process(to));
        let of_both = |it: &Connection| it.from == caller && it.called == Some(called.1);
        let found = self
            .connections
            .iter()
            .filter(|(_, it)| of_both(it) && it.is_welcome);
        let found: Vec<u64> = found.map(|(&connection, _)| connection).collect();
        assert!(!found.is_empty(), "there is no such connection");
        for connection in found {
            self.post(Delivery::Lost {
                connection,
                at: caller,
            });
            self.post(Delivery::Lost {
                connection,
                at: called,
            });
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(at) = self.next_instant().filter(|&at| at <= end) {
            rounds = if at > self.now { 0 } else { rounds + 1 };
            assert!(rounds < 10_000, "time does not pass");
            self.now = self.now.max(at);
            while let Some((&key, _)) = self.wire.range(..=(self.now, u64::MAX)).next() {
                let delivery = self.wire.remove(&key).unwrap();
                self.deliver(delivery);
            }
            for index in 0..self.nodes.len() {
                let now = self.now;
                if let Some(core) = self.running(index)
                    && core.poll_timeout().is_some_and(|at| at <= now)
                {
                    core.handle_timeout(now);
                    assert!(core.poll_timeout().is_none_or(|at| at > now), "{core:#?}");
                    self.drain(index);
                }
            }
        }
        self.now = end;
    }

    pub(super) fn core(&mut self, index: usize) -> &mut Membership {
        self.nodes[index]
            .core
            .as_mut()
            .expect("the node was started")
    }

    /// Does something with a core and carries out what it wants.
    pub(super) fn with(&mut self, index: usize, action: impl FnOnce(&mut Membership, Time)) {
        let now = self.now;
        action(self.core(index), now);
        self.drain(index);
    }

    /// The incarnations in the view of the node, without its own.
    pub(super) fn view(&self, index: usize) -> Vec<Incarnation> {
        let core = self.nodes[index]
            .core
            .as_ref()
            .expect("the node was started");
        core.view()
            .members
            .iter()
            .map(|member| member.incarnation)
            .collect()
    }

    pub(super) fn incarnation(&self, index: usize) -> Incarnation {
        self.nodes[index].incarnation
    }

    pub(super) fn sees(&self, index: usize, other: usize) -> bool {
        self.view(index).contains(&self.incarnation(other))
    }

    pub(super) fn running_nodes(&self) -> Vec<usize> {
        let is_running =
            |&index: &usize| self.nodes[index].core.is_some() && !self.nodes[index].is_stopped;
        (0..self.nodes.len()).filter(is_running).collect()
    }

    pub(super) fn is_started(&self, index: usize) -> bool {
        self.nodes[index].core.is_some()
    }

    pub(super) fn draw(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn process(&self, index: usize) -> Process {
        (index, self.nodes[index].incarnation)
    }

    fn running(&mut self, index: usize) -> Option<&mut Membership> {
        let node = &mut self.nodes[index];
        if node.is_stopped {
            None
        } else {
            node.core.as_mut()
        }
    }

    fn next_instant(&mut self) -> Option<Time> {
        let wire = self.wire.keys().next().map(|&(at, _)| at);
        let timers = self.nodes.iter().filter(|node| !node.is_stopped);
        let timers = timers.filter_map(|node| node.core.as_ref()?.poll_timeout());
        timers.chain(wire).min()
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
    }

    fn post(&mut self, delivery: Delivery) {
        self.serial += 1;
        let latency = 1 + self.draw() % self.latency;
        self.wire.insert(
            (self.now + Duration::from_millis(latency), self.serial),
            delivery,
        );
    }

    fn deliver(&mut self, delivery: Delivery) {
        let to = match &delivery {
            Delivery::Heartbeat { to, .. } => *to,
            Delivery::Lost { at, .. } => at.0,
            Delivery::Hello { connection, .. }
            | Delivery::Ready { connection }
            | Delivery::Goodbye { connection } => self.connections[connection].at,
            Delivery::Answer { connection, .. } => self.connections[connection].from.0,
        };
        if self.nodes[to].is_stopped {
            if !matches!(delivery, Delivery::Heartbeat { .. }) {
                self.nodes[to].backlog.push(delivery);
            }
            return;
        }
        match delivery {
            Delivery::Heartbeat { to, heartbeat } => {
                let now = self.now;
                if let Some(core) = &mut self.nodes[to].core {
                    core.handle_heartbeat(now, &heartbeat);
                }
            }
            Delivery::Hello { connection, hello } => self.say_hello(connection, &hello),
            Delivery::Answer { connection, answer } => self.answer(connection, answer),
            Delivery::Lost { connection, at } => self.lose(connection, at),
            Delivery::Ready { connection } => {
                self.tell(connection, |core, now, from| core.handle_ready(now, from));
            }
            Delivery::Goodbye { connection } => {
                self.tell(connection, |core, now, from| core.handle_goodbye(now, from));
            }
        }
        self.drain(to);
    }

    fn tell(&mut self, connection: u64, action: impl FnOnce(&mut Membership, Time, Incarnation)) {
        let it = &self.connections[&connection];
        let (to, from, called, now) = (it.at, it.from, it.called, self.now);
        let is_there = called == Some(self.incarnation(to)) && !self.is_cut(from.0, to);
        if let Some(core) = self.nodes[to].core.as_mut().filter(|_| is_there) {
            action(core, now, from.1);
        }
    }

    fn say_hello(&mut self, connection: u64, hello: &Hello) {
        let it = &self.connections[&connection];
        let (from, to, purpose) = (it.from, it.at, it.purpose);
        if self.is_cut(from.0, to) || !it.is_open_at_caller {
            return;
        }
        let now = self.now;
        let Some(core) = &mut self.nodes[to].core else {
            self.post(Delivery::Answer {
                connection,
                answer: Err(ConnectFailure::Reset),
            });
            return;
        };
        let answer = core.handle_hello(now, hello);
        let effects: Vec<_> = std::iter::from_fn(|| core.poll_effect()).collect();
        let called = self.process(to);
        // What is closed is what was open before this hello.
        let (closed, others): (Vec<_>, Vec<_>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Disconnect { .. }));
        closed
            .into_iter()
            .for_each(|effect| self.carry_out(to, effect));
        if answer.is_ok() && purpose == Purpose::Link {
            // The caller has given up whatever it opened before.
            for (&other, it) in &mut self.connections {
                if other != connection && it.from == from && it.called == Some(called.1) {
                    it.called = None;
                }
            }
            self.connections.get_mut(&connection).unwrap().called = Some(called.1);
        }
        others
            .into_iter()
            .for_each(|effect| self.carry_out(to, effect));
        let answer = answer.map_err(ConnectFailure::Refused);
        self.post(Delivery::Answer { connection, answer });
    }

    fn answer(&mut self, connection: u64, answer: Result<Welcome, ConnectFailure>) {
        let it = &self.connections[&connection];
        let (from, to, expected, purpose) = (it.from, it.at, it.to, it.purpose);
        if self.is_cut(from.0, to) || !it.is_open_at_caller || self.process(from.0) != from {
            return;
        }
        let now = self.now;
        let Some(core) = &mut self.nodes[from.0].core else {
            return;
        };
        let is_kept = match (purpose, answer) {
            (Purpose::Probe, Ok(welcome)) => {
                core.handle_probe(now, expected, Ok(&welcome));
                false
            }
            (Purpose::Probe, Err(failure)) => {
                core.handle_probe(now, expected, Err(failure));
                false
            }
            (Purpose::Pooled, _) => unreachable!("a membership never asks for one"),
            (Purpose::Link, Ok(welcome)) => core.handle_welcome(now, expected, &welcome),
            (Purpose::Link, Err(failure)) => {
                core.handle_connect_failed(now, expected, failure);
                false
            }
        };
        let it = self.connections.get_mut(&connection).unwrap();
        it.is_welcome = is_kept;
        it.is_open_at_caller = is_kept;
        if let Some(called) = it.called.filter(|_| !is_kept) {
            self.post(Delivery::Lost {
                connection,
                at: (to, called),
            });
        } else if is_kept && it.called.is_none() {
            // The other end was closed while the welcome was under way.
            self.post(Delivery::Lost {
                connection,
                at: from,
            });
        }
    }

    fn lose(&mut self, connection: u64, at: Process) {
        let it = self.connections.get_mut(&connection).unwrap();
        let (from, to, called) = (it.from, it.at, it.called);
        let is_caller = at == from;
        if self.cuts.contains(&(from.0.min(to), from.0.max(to))) {
            return;
        }
        let (half, peer) = if is_caller {
            if !std::mem::take(&mut it.is_open_at_caller) || !it.is_welcome {
                return;
            }
            (Direction::Outgoing, it.to)
        } else {
            if called != Some(at.1) {
                return;
            }
            it.called = None;
            (Direction::Incoming, from.1)
        };
        let now = self.now;
        if self.process(at.0) == at
            && let Some(core) = &mut self.nodes[at.0].core
        {
            core.handle_link_lost(now, peer, half);
        }
    }

    /// The process closes its ends of some connections; the other ends notice.
    fn close(&mut self, process: Process, is_meant: impl Fn(Incarnation) -> bool) {
        let mut lost = Vec::new();
        for (&connection, it) in &mut self.connections {
            if it.from == process && it.is_open_at_caller && is_meant(it.to) {
                it.is_open_at_caller = false;
                lost.extend(it.called.map(|called| (connection, (it.at, called))));
            }
            if it.at == process.0 && it.called == Some(process.1) && is_meant(it.from.1) {
                it.called = None;
                lost.push((connection, it.from));
            }
        }
        for (connection, at) in lost {
            self.post(Delivery::Lost { connection, at });
        }
    }

    fn open(&mut self, index: usize, to: Incarnation, address: SocketAddr, purpose: Purpose) {
        let from = self.process(index);
        let hello = self.nodes[index]
            .core
            .as_ref()
            .unwrap()
            .hello_for(to, purpose, self.now);
        for it in self.connections.values_mut() {
            // A new attempt gives up the earlier one.
            if it.from == from && it.to == to && it.purpose == purpose {
                it.is_open_at_caller = false;
            }
        }
        self.serial += 1;
        let connection = self.serial;
        let it = Connection {
            from,
            to,
            at: usize::from(address.port() - PORT),
            purpose,
            is_open_at_caller: true,
            is_welcome: false,
            called: None,
        };
        self.connections.insert(connection, it);
        self.post(Delivery::Hello { connection, hello });
    }

    fn drain(&mut self, index: usize) {
        while let Some(effect) = self.nodes[index]
            .core
            .as_mut()
            .and_then(Membership::poll_effect)
        {
            self.carry_out(index, effect);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::SendHeartbeat(heartbeat) | Effect::AnswerHeartbeat(heartbeat) => {
                for to in 0..self.nodes.len() {
                    if !self.is_cut(index, to) && self.draw() % 1000 >= self.loss {
                        self.post(Delivery::Heartbeat {
                            to,
                            heartbeat: heartbeat.clone(),
                        });
                    }
                }
            }
            Effect::Connect {
                incarnation,
                address,
                ..
            } => {
                self.open(index, incarnation, address, Purpose::Link);
            }
            Effect::Probe {
                incarnation,
                address,
                deadline,
            } => {
                assert!(deadline > self.now);
                self.open(index, incarnation, address, Purpose::Probe);
            }
            Effect::Disconnect { incarnation } => {
                let process = self.process(index);
                self.close(process, |peer| peer == incarnation);
            }
            Effect::SendReady { incarnation } => {
                let connection = self.outgoing(index, incarnation);
                self.post(Delivery::Ready { connection });
            }
            Effect::SendGoodbye { incarnation } => {
                let connection = self.outgoing(index, incarnation);
                self.post(Delivery::Goodbye { connection });
            }
            Effect::PutBack => {
                let (incarnation, now) = (Incarnation::from_bits(self.draw()), self.now);
                let node = &mut self.nodes[index];
                node.incarnation = incarnation;
                if let Some(core) = &mut node.core {
                    core.handle_new_incarnation(now, incarnation);
                }
            }
            Effect::Event(event) => {
                if let MemberEvent::Added(who) = &event {
                    self.check_both_halves(index, who.incarnation);
                }
                self.nodes[index].events.push(event);
            }
        }
    }

    fn outgoing(&self, index: usize, to: Incarnation) -> u64 {
        let process = self.process(index);
        let found = self.connections.iter().rev().find(|(_, it)| {
            it.from == process && it.to == to && it.is_open_at_caller && it.purpose == Purpose::Link
        });
        *found.expect("the half is open, as the core says").0
    }

    /// The invariant: a hello in both directions before a member is in the view.
    fn check_both_halves(&self, index: usize, member: Incarnation) {
        self.outgoing(index, member);
        let me = self.process(index);
        let is_incoming =
            |it: &Connection| it.at == index && it.called == Some(me.1) && it.from.1 == member;
        assert!(
            self.connections.values().any(is_incoming),
            "no hello came in"
        );
    }
}

pub(super) const PORT: u16 = 4000;

pub(super) fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT + u16::try_from(index).unwrap()))
}

/// Whether a refusal of this kind was told to the node.
pub(super) fn was_refused(node: &Node, refusal: Refusal) -> bool {
    node.events
        .iter()
        .any(|event| matches!(event, MemberEvent::Refused(_, it) if *it == refusal))
}
