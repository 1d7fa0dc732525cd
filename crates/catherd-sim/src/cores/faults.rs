//! Faults, carried out; and how a process starts and ends.

use std::time::Duration;

use catherd::env::Place;

use super::network::{Cut, Item, Role};
use super::node::{Doom, Node};
use super::queue::{ConnId, Event, Side};
use super::sync;
use super::world::{Hands, Me, World};
use crate::fault::{Fault, Node as Number, Way};
use crate::history::{Happened, Process};
use crate::random::Random;

/// A place that is not passed by then is disarmed.
const ARMED_FOR: Duration = Duration::from_secs(20);

pub(super) fn carry_out(hands: &Hands, fault: &Fault) {
    hands.with(|world| world.say(|| format!("-- {fault}")));
    match fault {
        Fault::Start(node) => start(hands, *node),
        Fault::Leave(node) => leave(hands, *node),
        Fault::Mend(but) => {
            hands.with(|world| {
                world.network.set_all(Way::default());
                world.network.join_all();
                world.refile_all();
            });
            for node in 0..hands.with(|world| world.places.len()) {
                if but.contains(&node) {
                    hands.with(|world| {
                        if let Some(process) = world.process_at(node) {
                            world.crash(process);
                        }
                        world.places[node].is_given_up = true;
                    });
                    continue;
                }
                hands.with(|world| {
                    if let Some(node) = &mut world.places[node].node {
                        node.armed.clear();
                    }
                    world.go_on(node);
                });
                start(hands, node);
            }
        }
        Fault::PutBack(node) => {
            let process = hands.with(|world| world.restore(*node));
            process.into_iter().for_each(|it| begin(hands, it));
        }
        other => hands.with(|world| world.carry_out_here(other)),
    }
}

/// Starts a process at a place, if none runs there.
pub(super) fn start(hands: &Hands, node: Number) {
    let process = hands.with(|world| world.start(node));
    process.into_iter().for_each(|it| begin(hands, it));
}

/// What a process does from its beginning to its end.
fn begin(hands: &Hands, process: Process) {
    let me = Me {
        hands: hands.clone(),
        process,
    };
    hands.spawn(Some(process), sync::join_always(me.clone()));
    hands.spawn(Some(process), sync::repair_always(me));
}

/// A process is asked to stop: its ports close, what is running ends, and it says goodbye.
fn leave(hands: &Hands, node: Number) {
    let process = hands.with(|world| {
        let process = world.process_at(node)?;
        let node = world.node(process);
        if node.is_leaving || !node.am_ready() {
            return None;
        }
        (node.is_leaving, node.is_open) = (true, false);
        Some(process)
    });
    let Some(process) = process else { return };
    let me = Me {
        hands: hands.clone(),
        process,
    };
    hands.spawn(Some(process), async move {
        let began = me.act(|world| world.time(process)).await;
        let patience = began + LEAVE_TIME;
        me.act(|world| world.wake_at(process, patience)).await;
        me.until(|world| {
            let is_late = world.time(process) >= patience;
            (world.node(process).requests == 0 || is_late).then_some(())
        })
        .await;
        let patience = me
            .act(|world| {
                let patience = world.time(process) + LEAVE_TIME;
                world.wake_at(process, patience);
                for link in world.node(process).links.values_mut() {
                    link.outbox.hold_nothing_back();
                    link.is_stirred = true;
                }
                patience
            })
            .await;
        me.until(|world| {
            let is_late = world.time(process) >= patience;
            let links = world.node(process).links.values();
            let is_drained = links.into_iter().all(|link| link.outbox.is_drained());
            (is_drained || is_late).then_some(())
        })
        .await;
        let patience = me
            .act(|world| {
                let time = world.time(process);
                world.node(process).membership.leave(time);
                world.carry_out(process);
                world.wake_at(process, time + GOODBYE_TIME);
                time + GOODBYE_TIME
            })
            .await;
        me.until(|world| {
            let is_late = world.time(process) >= patience;
            (world.node(process).links.is_empty() || is_late).then_some(())
        })
        .await;
        me.hands.with(|world| {
            world.say(|| format!("{process} has left"));
            world.crash(process);
        });
    });
}

const LEAVE_TIME: Duration = Duration::from_secs(10);
const GOODBYE_TIME: Duration = Duration::from_secs(1);

impl World {
    fn start(&mut self, place: Number) -> Option<Process> {
        if let Some(process) = self.process_at(place) {
            if !self.node(process).is_leaving {
                return None;
            }
            self.crash(process);
        }
        let process = self.next_process(place);
        let standing = &self.places[place];
        let clock = (standing.drift, standing.wall_ahead);
        let begin = (self.plan.seed, self.now);
        let node = Node::new(process, &self.plan.settings, begin, clock);
        self.processes.insert(node.incarnation, process);
        self.places[place].node = Some(Box::new(node));
        self.happened(Happened::Started(process));
        self.act(process, |_| ());
        self.is_running(process).then_some(process)
    }

    /// The one that runs at a place from now on.
    fn next_process(&mut self, place: Number) -> Process {
        let standing = &mut self.places[place];
        let process = Process {
            node: place,
            generation: standing.starts,
        };
        standing.starts += 1;
        standing.disturbed = self.now;
        process
    }

    /// The process ends without a word. Its kernel resets what was open.
    pub(super) fn crash(&mut self, process: Process) {
        self.end_process(process, Duration::ZERO);
    }

    /// The process is no more, and who was connected with it hears so after a while.
    fn end_process(&mut self, process: Process, heard_after: Duration) {
        if !self.is_running(process) {
            return;
        }
        let incarnation = self.node(process).incarnation;
        let lag = self.lag(process);
        self.happened(Happened::Lagged(process, lag));
        self.places[process.node].node = None;
        self.places[process.node].is_healthy = false;
        let now = self.now;
        for (id, side) in self.network.of(process) {
            self.reset(id, side, now + heard_after);
        }
        self.happened(Happened::Ended(process));
        let settings = &self.plan.settings;
        let within = settings.drop_time + 2 * settings.frequency + SLACK;
        let event = Event::Forgotten(process, incarnation.bits());
        self.queue.push(now + within, event);
        for task in 0..self.clients {
            self.woken.push(task);
        }
    }

    /// A side of a connection has gone, and its kernel says so. Of the last bytes that it wrote half
    /// may never have left.
    fn reset(&mut self, id: ConnId, side: Side, now: Duration) {
        let is_halved = self.random.percent(50);
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let pipe = &mut conn.ways[side];
        if is_halved && let Some((_, Item::Bytes(bytes))) = pipe.queue.back_mut() {
            let half = bytes.len() / 2;
            pipe.bytes -= bytes.len() - half;
            bytes.truncate(half);
        }
        conn.roles[side] = Role::Closed;
        if conn.roles[1 - side] == Role::Closed {
            self.network.conns.remove(&id);
            return;
        }
        if let Some(at) = self.network.send(now, id, side, Item::Reset) {
            self.queue.push(at, Event::Arrives(id, 1 - side));
        }
    }

    fn carry_out_here(&mut self, fault: &Fault) {
        let now = self.now;
        match fault {
            Fault::Crash(node) => {
                if let Some(process) = self.process_at(*node) {
                    self.crash(process);
                }
            }
            Fault::CrashAt(node, place) => self.arm(*node, *place, Doom::Crash),
            Fault::StopAt(node, place) => self.arm(*node, *place, Doom::Stop),
            Fault::Pause(node) => {
                self.places[*node].disturbed = now;
                if let Some(process) = self.process_at(*node) {
                    self.node(process).is_paused = true;
                }
            }
            Fault::Freeze(node) => {
                self.places[*node].disturbed = now;
                if let Some(process) = self.process_at(*node) {
                    self.node(process).clock.freeze(now);
                }
            }
            Fault::Resume(node) | Fault::Thaw(node) => self.go_on(*node),
            Fault::Part(a, b) => {
                self.network.cut(*a, *b, Cut::Parted);
                self.network.cut(*b, *a, Cut::Parted);
            }
            Fault::PartOneWay(from, to) => self.network.cut(*from, *to, Cut::Parted),
            Fault::Hold(a, b) => {
                self.network.cut(*a, *b, Cut::Held);
                self.network.cut(*b, *a, Cut::Held);
            }
            Fault::Join(a, b) => {
                self.network.join(*a, *b);
                self.refile(*a, *b);
            }
            Fault::Reset(a, b) => {
                for id in self.network.between(*a, *b) {
                    self.queue.push(now, Event::Cut(id));
                }
            }
            Fault::Ways(way) => self.network.set_all(*way),
            Fault::OneWay(from, to, way) => self.network.set(*from, *to, *way),
            Fault::Clock(node, by) => {
                let place = &mut self.places[*node];
                place.disturbed = now;
                place.wall_ahead += by;
                let ahead = place.wall_ahead;
                if let Some(node) = &mut place.node {
                    node.clock.wall_ahead = ahead;
                    node.pulse_at = None;
                }
            }
            Fault::Save(node) => {
                let is_told = self.reaches_all(*node);
                let node = &mut self.places[*node];
                let image = node.node.as_ref().filter(|_| is_told);
                node.image = image.map(|node| (now, Box::new(node.image())));
            }
            Fault::Start(_) | Fault::Leave(_) | Fault::PutBack(_) | Fault::Mend(_) => {
                unreachable!("these start tasks")
            }
        }
    }

    /// A machine is put back to what was saved of it, as a process of its own for whoever reads the
    /// history: what it knew since is lost.
    fn restore(&mut self, place: Number) -> Option<Process> {
        let is_told = self.reaches_all(place);
        let before = self.process_at(place)?;
        let (taken, mut node) = self.places[place].image.take().filter(|_| is_told)?;
        let is_it = self.node(before).incarnation == node.incarnation;
        if !is_it || self.node(before).is_stopped() {
            return None;
        }
        let is_healthy = self.places[place].is_healthy;
        // Its connections are of another time: who sends something over one is told so.
        let heard_after = self.random.millis(0, 3000);
        self.end_process(before, heard_after);
        let process = self.next_process(place);
        // It is back in the same moment: nobody sees from outside that it was away.
        self.places[place].is_healthy = is_healthy;
        let random = Random::derived(self.plan.seed, 50_000 + self.random.draw() % 10_000);
        node.put_back(process, (taken, self.now), random);
        self.processes.insert(node.incarnation, process);
        self.places[place].node = Some(node);
        self.happened(Happened::Started(process));
        self.act(process, |_| ());
        self.is_running(process).then_some(process)
    }

    /// Whether all others that run hear a place, and somebody does: whoever is put back learns it
    /// from those who have heard of it since, and cannot if it was cut off all the time.
    fn reaches_all(&self, place: Number) -> bool {
        let others = (0..self.places.len()).filter(|&other| other != place);
        let is_reached = |other: Number| {
            let node = self.places[other].node.as_deref();
            let is_cut = self.network.is_cut(place, other) || self.network.is_cut(other, place);
            node.is_none_or(|node| !node.is_stopped()) && !is_cut
        };
        let runs = |other: Number| self.places[other].node.is_some();
        others.clone().all(is_reached) && others.clone().any(runs)
    }

    /// Both ends of a connection are reset.
    pub(super) fn cut_connection(&mut self, id: ConnId) {
        for side in [0, 1] {
            let Some(conn) = self.network.conns.get_mut(&id) else {
                return;
            };
            let process = conn.ends[side];
            conn.ways[1 - side].queue.clear();
            conn.ways[1 - side].bytes = 0;
            if conn.roles[side] == Role::Closed {
                continue;
            }
            let at = self.now;
            let conn = self.network.conns.get_mut(&id).expect("it was there");
            conn.ways[1 - side].queue.push_back((at, Item::Reset));
            self.queue.push(at, Event::Arrives(id, side));
            self.stir(process);
        }
    }

    fn arm(&mut self, node: Number, place: Place, doom: Doom) {
        let Some(process) = self.process_at(node) else {
            return;
        };
        self.node(process).armed.push((place, doom));
        self.queue
            .push(self.now + ARMED_FOR, Event::Disarm(process));
    }

    /// A process that was stopped goes on with what came meanwhile.
    pub(super) fn go_on(&mut self, place: Number) {
        let now = self.now;
        let Some(process) = self.process_at(place) else {
            return;
        };
        let node = self.node(process);
        if !node.is_stopped() {
            return;
        }
        node.is_paused = false;
        node.clock.thaw(now);
        node.is_stirred = true;
        node.pulse_at = None;
        for link in node.links.values_mut() {
            link.is_stirred = true;
        }
        node.timer_at = None;
        let stalled = std::mem::take(&mut node.stalled);
        let held = std::mem::take(&mut node.held);
        self.places[place].disturbed = now;
        for (id, side, item) in held {
            self.put(id, side, item, now);
        }
        self.queue.push(now, Event::Timer(process));
        for event in stalled {
            self.queue.push(now, event);
        }
    }

    /// What waited because a way was cut arrives.
    fn refile(&mut self, a: Number, b: Number) {
        for id in self.network.between(a, b) {
            self.refile_conn(id);
        }
    }

    fn refile_all(&mut self) {
        let all: Vec<ConnId> = self.network.conns.keys().copied().collect();
        for id in all {
            self.refile_conn(id);
        }
    }

    fn refile_conn(&mut self, id: ConnId) {
        let now = self.now;
        for side in [0, 1] {
            let pipe = &self.network.conns[&id].ways[side];
            if let Some((at, _)) = pipe.queue.front() {
                let at = (*at).max(now);
                self.queue.push(at, Event::Arrives(id, 1 - side));
            }
        }
    }
}

/// The way of a message, both ways.
const SLACK: Duration = Duration::from_millis(250);
