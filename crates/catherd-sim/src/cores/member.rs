//! What the membership wants done, and the connections that come of it.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use catherd::core::membership::{
    ConnectFailure, Direction, Effect, GoneCause, MemberEvent, MemberName,
};
use catherd::core::message::{FrameKind, FrameReader, Heartbeat, Hello, Message, Purpose, Welcome};
use catherd::core::time::Time;
use catherd::core::version::Incarnation;
use catherd::env::Place;

use super::network::{Conn, Item, Role};
use super::node::{self, CLUSTER, Doom};
use super::queue::{ACCEPTOR, ConnId, Event, OPENER, Side};
use super::world::World;
use crate::history::{Happened, Process};

/// No frame is longer.
pub(super) const FRAME_MAX: usize = 64 << 20;

/// No session is larger.
pub(super) const SESSION_MAX: usize = 1 << 20;

/// No deadline comes sooner after an event than this.
const GRAIN: Duration = Duration::from_micros(1);

/// Who accepts is known when a call arrives.
const NOBODY: u32 = u32::MAX;

impl World {
    /// Lets a process act: it looks at its pulse first, and does in the end what its cores want.
    pub(super) fn act(&mut self, process: Process, f: impl FnOnce(&mut Self)) {
        let now = self.now;
        let Some(node) = self.running(process) else {
            return;
        };
        if node.pulse_at.replace(now) != Some(now) {
            let pulse = node.clock.pulse(now);
            if node.membership.handle_pulse(pulse) {
                // Those of before are called at once, and name whom they hear. If none of them is
                // left somebody else may have come.
                node.join_again(pulse.at);
                self.carry_out(process);
                let node = self.node(process);
                node.membership_due = node.membership.poll_timeout();
            }
        }
        f(self);
        self.settle(process);
    }

    /// Does what the cores want done, files the next deadline, and ends what came to an armed place.
    pub(super) fn settle(&mut self, process: Process) {
        if !self.is_running(process) {
            return;
        }
        self.carry_out(process);
        if self.pump_all(process) {
            self.carry_out(process);
        }
        self.file_timer(process);
        match self.running(process).and_then(|node| node.doom.take()) {
            Some(Doom::Crash) => self.crash(process),
            Some(Doom::Stop) => {
                self.node(process).is_paused = true;
                self.places[process.node].disturbed = self.now;
            }
            None => {}
        }
    }

    fn file_timer(&mut self, process: Process) {
        let now = self.now;
        let node = self.node(process);
        if !std::mem::take(&mut node.has_only_heard) {
            node.membership_due = node.membership.poll_timeout();
        }
        let mut at = node.house_at;
        for other in node.links_due.into_iter().chain(node.membership_due) {
            at = at.min(other);
        }
        let at = node.clock.global(at).max(now + GRAIN);
        if node.timer_at.is_none_or(|filed| at < filed || filed <= now) {
            node.timer_at = Some(at);
            self.queue.push(at, Event::Timer(process));
        }
    }

    /// Deadlines have passed, perhaps.
    pub(super) fn timer(&mut self, process: Process) {
        if self.look(process).is_some_and(|node| !node.is_stopped()) {
            self.act(process, |world| world.look_at_deadlines(process));
        }
    }

    fn look_at_deadlines(&mut self, process: Process) {
        let (time, now) = (self.time(process), self.now);
        let node = self.node(process);
        if node.timer_at.is_some_and(|at| at <= now) {
            node.timer_at = None;
        }
        if node.membership.poll_timeout().is_some_and(|at| at <= time) {
            node.membership.handle_timeout(time);
            // Who joins waits for what is told by no effect.
            node.is_stirred |= !node.am_ready();
        }
        if node.links_due.is_some_and(|at| at <= time) {
            for link in node.links.values_mut() {
                link.outbox.handle_timeout(time);
                link.is_stirred = true;
            }
            node.ask_links();
        }
        if time >= node.house_at {
            node.house_at = time + node::BATCH;
            node.is_stirred = true;
            self.keep_house(process);
        }
        self.give_up_calls(process, time);
    }

    /// Calls whose answer does not come.
    fn give_up_calls(&mut self, process: Process, time: Time) {
        let calls = &mut self.node(process).calls;
        if calls.iter().all(|(deadline, _)| *deadline > time) {
            return;
        }
        let late: Vec<_> = calls
            .extract_if(.., |(deadline, _)| *deadline <= time)
            .collect();
        for (_, id) in late {
            let conn = self.network.conns.get(&id);
            if conn.is_some_and(|conn| conn.roles[OPENER] == Role::Greeting) {
                self.stir(process);
                self.call_failed(process, id, ConnectFailure::Unreachable);
                self.close(id, OPENER);
            }
        }
    }

    /// Does what the membership wants done, in order.
    pub(super) fn carry_out(&mut self, process: Process) {
        while let Some(effect) = self
            .running(process)
            .and_then(|node| node.membership.poll_effect())
        {
            self.node(process).has_only_heard = false;
            match effect {
                Effect::SendHeartbeat(heartbeat) | Effect::AnswerHeartbeat(heartbeat) => {
                    self.multicast(process, heartbeat);
                    // No task waits for that.
                    continue;
                }
                Effect::Connect {
                    incarnation,
                    address,
                    ..
                } => drop(self.dial(process, incarnation, node::at(address), Purpose::Link)),
                Effect::Probe {
                    incarnation,
                    address,
                    ..
                } => drop(self.dial(process, incarnation, node::at(address), Purpose::Probe)),
                Effect::SendReady { incarnation } => {
                    self.tell(process, incarnation, &Message::Ready);
                }
                Effect::SendGoodbye { incarnation } => self.say_goodbye(process, incarnation),
                Effect::Disconnect { incarnation } => self.disconnect(process, incarnation),
                Effect::PutBack => self.put_back(process),
                Effect::Event(event) => self.member_event(process, &event),
                _ => {}
            }
            self.stir(process);
        }
    }

    fn say_goodbye(&mut self, process: Process, member: Incarnation) {
        if self.passes(process, Place::BeforeGoodbye) {
            let queues_empty = true;
            self.tell(process, member, &Message::Goodbye { queues_empty });
            self.pump(process, (member, 0));
        }
    }

    fn multicast(&mut self, process: Process, heartbeat: Heartbeat) {
        if self.node(process).doom.is_some() {
            return;
        }
        let heartbeat = if self.plan.seed.is_multiple_of(4) {
            let datagram = heartbeat.to_datagram(None);
            Heartbeat::from_datagram(&datagram, CLUSTER, None).expect("what was encoded decodes")
        } else {
            heartbeat
        };
        let heartbeat = Rc::new(heartbeat);
        for other in 0..self.places.len() {
            let Some(to) = self.process_at(other).filter(|_| other != process.node) else {
                continue;
            };
            let arrivals = self.network.datagram(self.now, process.node, other);
            for at in arrivals.into_iter().flatten() {
                let event = Event::Datagram(to, Rc::clone(&heartbeat));
                self.queue.push(at, event);
            }
        }
    }

    pub(super) fn hear(&mut self, process: Process, heartbeat: &Heartbeat) {
        let time = self.time(process);
        let node = self.node(process);
        node.membership.handle_heartbeat(time, heartbeat);
        // One that wants nothing done has put off when somebody is silent, and nothing else.
        node.has_only_heard = node.timer_at.is_some();
    }

    /// Opens a connection and says hello over it.
    pub(super) fn dial(
        &mut self,
        process: Process,
        to: Incarnation,
        at: usize,
        purpose: Purpose,
    ) -> ConnId {
        let now = self.now;
        let time = self.time(process);
        let frequency = self.plan.settings.frequency;
        let node = self.node(process);
        let hello = node.membership.hello_for(to, purpose, time);
        let (pauses, deadline) = (node.pauses(), time + 2 * frequency);
        let acceptor = Process {
            node: at,
            generation: NOBODY,
        };
        let conn = Conn::new([process, acceptor], (purpose, to), pauses);
        let id = self.network.open(conn);
        self.node(process).calls.push((deadline, id));
        self.wake_at(process, deadline);
        if self.passes(process, Place::BeforeHello) {
            let frame = Message::Hello(hello).to_frame(None);
            self.put(id, OPENER, Item::Bytes(frame), now);
        }
        id
    }

    /// Sends over a connection, unless whoever sends has come to its end.
    pub(super) fn put(&mut self, id: ConnId, side: Side, item: Item, now: Duration) {
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let from = conn.ends[side];
        match self.running(from).map(|node| (node.doom, &mut node.held)) {
            Some((Some(Doom::Crash), _)) => return,
            Some((Some(Doom::Stop), held)) => return held.push((id, side, item)),
            _ => {}
        }
        if let Some(at) = self.network.send(now, id, side, item) {
            self.queue.push(at, Event::Arrives(id, 1 - side));
        }
    }

    /// Something has come to a side of a connection, over a way that is open, to who is not stopped.
    pub(super) fn arrived(&mut self, id: ConnId, side: Side) {
        let now = self.now;
        loop {
            let Some(conn) = self.network.conns.get_mut(&id) else {
                return;
            };
            let pipe = &mut conn.ways[1 - side];
            let is_due = pipe.queue.front().is_some_and(|(at, _)| *at <= now);
            let Some((_, item)) = is_due.then(|| pipe.queue.pop_front()).flatten() else {
                break;
            };
            let (process, is_closed) = (conn.ends[side], conn.roles[side] == Role::Closed);
            match item {
                Item::Bytes(bytes) => {
                    pipe.bytes -= bytes.len();
                    let writer = conn.ends[1 - side];
                    if std::mem::take(&mut pipe.is_blocked) {
                        self.has_room_again(writer, id);
                    }
                    let conn = self.network.conns.get_mut(&id).expect("it was there");
                    if !is_closed {
                        let buffer = &mut conn.buffers[side];
                        if buffer.is_empty() {
                            *buffer = BytesMut::from(bytes);
                        } else {
                            buffer.extend_from_slice(&bytes);
                        }
                        self.read(process, id, side);
                    }
                }
                Item::End | Item::Reset => {
                    let is_reset = matches!(item, Item::Reset);
                    if !is_closed {
                        self.lost(process, id, side, is_reset);
                        self.close(id, side);
                    }
                    self.network.conns.remove(&id);
                    return;
                }
            }
        }
    }

    /// The kernel takes more of what a process writes to a connection.
    fn has_room_again(&mut self, writer: Process, id: ConnId) {
        let now = self.now;
        if let Some(node) = self.running(writer) {
            let links = node.links.values_mut();
            for link in links.filter(|link| link.conn == id) {
                link.is_stirred = true;
            }
            self.queue.push(now, Event::Timer(writer));
        }
    }

    /// Takes apart what was read.
    fn read(&mut self, process: Process, id: ConnId, side: Side) {
        let mut buffer = {
            let conn = self.network.conns.get_mut(&id).expect("it is read");
            std::mem::take(&mut conn.buffers[side])
        };
        let reader = FrameReader::new(FRAME_MAX);
        let mut is_applied = false;
        while let Some((head, payload)) = reader.next(&mut buffer).expect("members send frames") {
            let decoded = Message::decode(head.kind, &payload, None, SESSION_MAX);
            let message = decoded.expect("members send what decodes");
            let message = message.expect("members send what is known");
            is_applied |= head.kind == FrameKind::Fragments;
            self.handle(process, (id, side), head.number, message);
            let is_over = |conn: &Conn| conn.roles[side] == Role::Closed;
            if self.network.conns.get(&id).is_none_or(is_over) || !self.is_running(process) {
                return;
            }
        }
        if let Some(conn) = self.network.conns.get_mut(&id) {
            conn.buffers[side] = if buffer.is_empty() {
                BytesMut::new()
            } else {
                buffer
            };
        }
        if side == ACCEPTOR {
            self.acknowledge(process, id, is_applied);
        }
    }

    fn handle(
        &mut self,
        process: Process,
        (id, side): (ConnId, Side),
        number: u64,
        message: Message,
    ) {
        let role = self.network.conns[&id].roles[side];
        match (role, side, message) {
            (Role::Greeting, ACCEPTOR, Message::Hello(hello)) => self.greet(process, id, &hello),
            (Role::Greeting, OPENER, Message::Welcome(welcome)) => {
                self.welcomed(process, id, &welcome);
            }
            (Role::Greeting, OPENER, Message::Refused(refusal)) => {
                self.call_failed(process, id, ConnectFailure::Refused(refusal));
                self.close(id, OPENER);
            }
            (Role::Member(member), OPENER, message) => {
                self.stir(process);
                self.handle_at_opener(process, (id, member), message);
            }
            (Role::Member(member), ACCEPTOR, message) => {
                self.stir(process);
                self.handle_at_acceptor(process, (id, member), number, message);
            }
            (role, side, message) => {
                let what = format!("{process}: {message:?} as {role:?} at side {side}");
                self.broken("6: nothing before a hello", what);
            }
        }
    }

    /// Somebody says hello. What follows from it for the connections of before is done first.
    fn greet(&mut self, process: Process, id: ConnId, hello: &Hello) {
        let (time, now) = (self.time(process), self.now);
        let node = self.node(process);
        let done = node.membership.counters().heartbeats_sent;
        let answer = node.membership.handle_hello(time, hello);
        if answer.is_ok() && hello.counter_heard > done {
            let what = format!("{process} goes on, and {} has heard more of it", hello.name);
            self.broken("6: who was put back joins as new", what);
        }
        self.carry_out(process);
        if hello.purpose == Purpose::Probe && !self.passes(process, Place::BeforeProbeAnswer) {
            return;
        }
        let (frame, is_kept) = match answer {
            Ok(welcome) => (
                Message::Welcome(welcome).to_frame(None),
                hello.purpose != Purpose::Probe,
            ),
            Err(refusal) => (Message::Refused(refusal).to_frame(None), false),
        };
        self.put(id, ACCEPTOR, Item::Bytes(frame), now);
        if !is_kept {
            return self.close(id, ACCEPTOR);
        }
        let node = self.node(process);
        let mut before = Vec::new();
        if hello.purpose == Purpose::Pooled {
            node.joins_the_pool(hello.incarnation, id);
        } else {
            node.gone.remove(&hello.incarnation);
            node.pools.begins_anew(hello.incarnation);
            before = node.take_pooled(hello.incarnation);
            before.extend(node.incoming.insert(hello.incarnation, id));
        }
        if let Some(conn) = self.network.conns.get_mut(&id) {
            conn.roles[ACCEPTOR] = Role::Member(hello.incarnation);
        }
        // It would not have called again if it still held those before.
        for before in before {
            self.close(before, ACCEPTOR);
        }
    }

    fn welcomed(&mut self, process: Process, id: ConnId, welcome: &Welcome) {
        let time = self.time(process);
        let conn = self.network.conns.get_mut(&id).expect("it is read");
        let (expected, purpose, pauses) = (conn.expected, conn.purpose, conn.pauses);
        let node = self.node(process);
        let is_of_before = pauses != node.pauses();
        if purpose == Purpose::Probe || is_of_before {
            if !is_of_before {
                node.membership.handle_probe(time, expected, Ok(welcome));
            }
            return self.close(id, OPENER);
        }
        if purpose == Purpose::Pooled {
            if !self.place_more(process, id) {
                return self.close(id, OPENER);
            }
            let conn = self.network.conns.get_mut(&id).expect("it is read");
            conn.roles[OPENER] = Role::Member(expected);
            return;
        }
        // In its place first: the membership may have something to say over it.
        self.network.conns.get_mut(&id).expect("it is read").roles[OPENER] = Role::Member(expected);
        self.place_link(process, expected, id);
        let is_of_use = self
            .node(process)
            .membership
            .handle_welcome(time, expected, welcome);
        if !is_of_use {
            self.drop_links(process, expected);
        }
    }

    fn call_failed(&mut self, process: Process, id: ConnId, failure: ConnectFailure) {
        let time = self.time(process);
        let conn = &self.network.conns[&id];
        let (expected, purpose, pauses) = (conn.expected, conn.purpose, conn.pauses);
        if purpose == Purpose::Pooled {
            return self.place_failed(process, id);
        }
        let membership = &mut self.node(process).membership;
        if pauses != membership.counters().pauses {
            return;
        }
        if purpose == Purpose::Probe {
            membership.handle_probe(time, expected, Err(failure));
        } else {
            membership.handle_connect_failed(time, expected, failure);
        }
    }

    /// A connection has ended, seen from one of its sides.
    fn lost(&mut self, process: Process, id: ConnId, side: Side, is_reset: bool) {
        let time = self.time(process);
        self.stir(process);
        match (self.network.conns[&id].roles[side], side) {
            (Role::Greeting, OPENER) => {
                let failure = if is_reset {
                    ConnectFailure::Reset
                } else {
                    ConnectFailure::Unreachable
                };
                self.call_failed(process, id, failure);
            }
            (Role::Member(member), OPENER) => {
                let mut links = self.node(process).links_to(member);
                let place = links.find(|(_, link)| link.conn == id).map(|(at, _)| at.1);
                drop(links);
                if let Some(place @ 1..) = place {
                    self.lost_more(process, (member, place));
                } else if place.is_some() {
                    self.drop_links(process, member);
                    self.node(process).membership.handle_link_lost(
                        time,
                        member,
                        Direction::Outgoing,
                    );
                }
            }
            (Role::Member(member), ACCEPTOR) => {
                let node = self.node(process);
                node.leaves_the_pool(member, id);
                if node.incoming.get(&member) == Some(&id) {
                    node.incoming.remove(&member);
                    let pooled = node.take_pooled(member);
                    node.membership
                        .handle_link_lost(time, member, Direction::Incoming);
                    for id in pooled {
                        self.close(id, ACCEPTOR);
                    }
                }
            }
            _ => {}
        }
    }

    /// A side lets go of a connection.
    pub(super) fn close(&mut self, id: ConnId, side: Side) {
        let now = self.now;
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        if conn.roles[side] == Role::Closed {
            return;
        }
        conn.roles[side] = Role::Closed;
        conn.buffers[side].clear();
        if conn.roles[1 - side] == Role::Closed {
            self.network.conns.remove(&id);
            return;
        }
        self.put(id, side, Item::End, now);
    }

    /// Everything between this node and a member is closed, and calls under way are given up.
    fn disconnect(&mut self, process: Process, member: Incarnation) {
        self.node(process).verified.remove(&member);
        self.drop_links(process, member);
        let node = self.node(process);
        let mut incoming = node.take_pooled(member);
        incoming.extend(node.incoming.remove(&member));
        for id in incoming {
            self.close(id, ACCEPTOR);
        }
        let is_call = |conn: &Conn| {
            conn.ends[OPENER] == process
                && conn.expected == member
                && conn.roles[OPENER] == Role::Greeting
                && conn.purpose != Purpose::Probe
        };
        let conns = self.network.conns.iter();
        let calls: Vec<ConnId> = conns
            .filter(|(_, conn)| is_call(conn))
            .map(|(id, _)| *id)
            .collect();
        for id in calls {
            self.close(id, OPENER);
        }
    }

    fn put_back(&mut self, process: Process) {
        let time = self.time(process);
        let node = self.node(process);
        node.join_again(time);
        // No two processes draw the same.
        let incarnation = loop {
            let drawn = Incarnation::from_bits(self.node(process).random.draw());
            if !self.processes.contains_key(&drawn) {
                break drawn;
            }
        };
        let node = self.node(process);
        node.incarnation = incarnation;
        node.touched.clear();
        for key in node.table.keys() {
            self.forget(process, key);
        }
        self.processes.insert(incarnation, process);
        // What it held is lost, as with its end.
        self.happened(Happened::Ended(process));
        self.node(process)
            .membership
            .handle_new_incarnation(time, incarnation);
    }

    fn member_event(&mut self, process: Process, event: &MemberEvent) {
        self.say(|| {
            let text: String = format!("{event:?}").chars().take(160).collect();
            format!("{process}: {text}")
        });
        let known = |who: &MemberName| self.processes.get(&who.incarnation).copied();
        let happened = match event {
            MemberEvent::Added(who) => known(who).map(|it| Happened::Met(process, it)),
            MemberEvent::Gone(who, GoneCause::ProbeFailed) => {
                known(who).map(|it| Happened::Gone(process, it))
            }
            _ => None,
        };
        if let Some(happened) = happened {
            self.happened(happened);
        }
        let time = self.time(process);
        let node = self.node(process);
        match event {
            MemberEvent::Added(who) => {
                let am_ready = node.am_ready();
                node.known.met(&who.name, who.incarnation, am_ready);
            }
            MemberEvent::Reopened(who, _) => {
                node.schedule.reopened(time, who.incarnation);
                node.verified.remove(&who.incarnation);
                node.lost.push(who.incarnation);
            }
            MemberEvent::Gone(who, cause) => {
                node.lost.push(who.incarnation);
                node.verified.remove(&who.incarnation);
                if *cause == GoneCause::ProbeFailed {
                    node.gone.insert(who.incarnation);
                }
            }
            _ => {}
        }
    }

    /// Whoever has been called where nobody runs is told so by the kernel.
    pub(super) fn resolve(&mut self, id: ConnId) -> bool {
        let now = self.now;
        let Some(conn) = self.network.conns.get(&id) else {
            return false;
        };
        if conn.ends[ACCEPTOR].generation != NOBODY {
            return true;
        }
        if conn.roles[ACCEPTOR] == Role::Closed {
            return false;
        }
        let place = conn.ends[ACCEPTOR].node;
        let accepts = |process: &Process| self.look(*process).is_some();
        let acceptor = self.process_at(place).filter(accepts);
        let conn = self.network.conns.get_mut(&id).expect("it was there");
        if let Some(acceptor) = acceptor {
            conn.ends[ACCEPTOR] = acceptor;
            return true;
        }
        conn.roles[ACCEPTOR] = Role::Closed;
        if let Some(at) = self.network.send(now, id, ACCEPTOR, Item::Reset) {
            self.queue.push(at, Event::Arrives(id, OPENER));
        }
        false
    }

    /// Passes a place in the code; `false` if whoever came there has come to its end.
    pub(super) fn passes(&mut self, process: Process, place: Place) -> bool {
        let node = self.node(process);
        let Some(at) = node.armed.iter().position(|(armed, _)| *armed == place) else {
            return node.doom != Some(Doom::Crash);
        };
        let (_, doom) = node.armed.remove(at);
        node.doom.get_or_insert(doom);
        self.say(|| format!("-- {process} has come to {place:?}"));
        doom != Doom::Crash
    }
}
