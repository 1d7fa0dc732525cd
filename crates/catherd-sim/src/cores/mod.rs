//! The engine of cores alone: no sockets, no runtime, no shell; an event queue, and a small node
//! that holds the cores together as the shell does.
//!
//! | file | what it holds |
//! |---|---|
//! | `queue` | what is to happen, by time |
//! | `world` | what the parts share, and the tasks that act in it |
//! | `network` | ways between places, connections over them |
//! | `node` | a process: its cores, its clock, what is kept beside an entry |
//! | `member` | what the membership wants done: calls, hellos, ends |
//! | `link` | both ends of a link |
//! | `pool` | several links to a member |
//! | `sessions` | commits, ends, changes of id, merges |
//! | `users` | logins, and the end of all sessions of a user |
//! | `requests` | a request, from its arrival to its answer |
//! | `access` | whom it asks before it sees its session |
//! | `application` | what it does to its session |
//! | `answers` | what must be true of an answer |
//! | `house` | touches, and the end of idle sessions |
//! | `sync` | joining, and the repair that runs on |
//! | `questions` | questions to members |
//! | `clients` | clients and the balancer |
//! | `faults` | faults, carried out |
//! | `invariants` | what must hold of every change of every copy |
//! | `ending` | after the last fault |
//!
//! After every step what it touched is held against what must hold at all times: see
//! [`invariants::Truth`], and the places that call `broken`.

mod access;
mod answers;
mod application;
mod clients;
mod ending;
mod faults;
mod house;
mod invariants;
mod link;
mod member;
mod network;
mod node;
mod pool;
mod questions;
mod queue;
mod requests;
mod sessions;
mod sync;
mod users;
mod world;

use std::time::Duration;

use crate::history::Process;
use crate::plan::Plan;
use crate::{Engine, Run, workload};

use self::queue::{ACCEPTOR, Event};
use self::world::{Hands, Me, Task, World};

/// Runs the cores of every node in one event queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cores {
    /// Whether the transcript is shown while it is written.
    pub shows: bool,
    /// Whether no transcript is written, which takes half the time: for runs by the thousand.
    pub is_silent: bool,
}

impl Engine for Cores {
    fn run(&self, plan: &Plan) -> Run {
        let world = World::new(plan, self.shows || !self.is_silent, self.shows);
        Runner::new(world).run()
    }
}

/// The world, and the tasks that act in it.
struct Runner {
    hands: Hands,
    /// By the place of their process.
    of_processes: Vec<Vec<(Process, Task)>>,
    /// The clients', then the one of the end.
    of_nobody: Vec<Option<Task>>,
}

/// A datagram to a stopped process waits in its kernel, among so many events.
const STALLED_MAX: usize = 1024;

impl Runner {
    fn new(world: World) -> Self {
        let (nodes, plan) = (world.places.len(), world.plan.clone());
        let hands = Hands::new(world);
        let mut runner = Self {
            of_processes: (0..nodes).map(|_| Vec::new()).collect(),
            of_nobody: Vec::new(),
            hands: hands.clone(),
        };
        for client in workload::clients(plan.seed, &plan.load) {
            let (hands, task) = (hands.clone(), runner.of_nobody.len());
            runner.add(async move {
                clients::run(hands.clone(), task, client).await;
                hands.with(|world| world.clients_done += 1);
            });
        }
        let count = runner.of_nobody.len();
        hands.with(|world| world.clients = count);
        runner.add(ending::end(hands.clone(), count, count));
        hands.with(|world| {
            for node in 0..nodes {
                let order = u32::try_from(node).expect("there are eight nodes at most");
                let at = if plan.settings.at_once {
                    Duration::ZERO
                } else {
                    Duration::from_secs(1) * order
                };
                world.queue.push(at, Event::Start(node));
            }
            for (place, (at, _)) in plan.schedule.iter().enumerate() {
                world.queue.push(*at, Event::Fault(place));
            }
            world.queue.push(Duration::ZERO, Event::Health);
            world.queue.push(Duration::ZERO, Event::Bounds);
            world.woken.extend(0..=count);
        });
        runner
    }

    fn add(&mut self, task: impl Future<Output = ()> + 'static) {
        self.of_nobody.push(Some(Task::new(task)));
    }

    fn run(mut self) -> Run {
        self.advance();
        while self.of_nobody.last().is_some_and(Option::is_some) {
            let next = self.hands.with(|world| {
                let (at, event) = world.queue.pop()?;
                world.now = world.now.max(at);
                Some(event)
            });
            let Some(event) = next else { break };
            self.happens(event);
            self.advance();
        }
        self.hands.with(World::finish)
    }

    fn happens(&self, event: Event) {
        match event {
            Event::Fault(place) => {
                let fault = self
                    .hands
                    .with(|world| world.plan.schedule[place].1.clone());
                faults::carry_out(&self.hands, &fault);
            }
            Event::Start(node) => faults::start(&self.hands, node),
            other => self.hands.with(|world| world.happens(other)),
        }
    }

    /// Lets all tasks go on that may.
    fn advance(&mut self) {
        loop {
            self.take_spawned();
            let (stirred, mut woken) = self.hands.with(|world| {
                let mut stirred = Vec::new();
                for standing in &mut world.places {
                    if let Some(node) = standing.node.as_deref_mut()
                        && node.is_stirred
                        && !node.is_stopped()
                    {
                        node.is_stirred = false;
                        stirred.push(node.process);
                    }
                }
                (stirred, std::mem::take(&mut world.woken))
            });
            if stirred.is_empty() && woken.is_empty() {
                return;
            }
            for process in stirred {
                let tasks = &mut self.of_processes[process.node];
                tasks.retain_mut(|(of, task)| *of == process && !task.advance());
            }
            woken.sort_unstable();
            woken.dedup();
            for task in woken {
                let slot = &mut self.of_nobody[task];
                if slot.as_mut().is_some_and(Task::advance) {
                    *slot = None;
                }
            }
        }
    }

    fn take_spawned(&mut self) {
        let (inquiries, fillings, ends) = self.hands.with(|world| {
            (
                std::mem::take(&mut world.inquiries),
                std::mem::take(&mut world.fillings),
                std::mem::take(&mut world.truth.to_ask),
            )
        });
        let me = |process| Me {
            hands: self.hands.clone(),
            process,
        };
        for (process, keys) in inquiries {
            me(process).spawn(house::ask_about(me(process), keys));
        }
        for (process, from, keys) in fillings {
            me(process).spawn(sync::fill(me(process), from, keys));
        }
        for (process, from, key) in ends {
            me(process).spawn(sync::ask_for_end(me(process), from, key));
        }
        for (of, task) in self.hands.take_spawned() {
            let process = of.expect("tasks of nobody are there from the beginning");
            self.hands.with(|world| world.stir(process));
            self.of_processes[process.node].push((process, task));
        }
    }
}

impl World {
    fn happens(&mut self, event: Event) {
        match event {
            Event::Fault(_) | Event::Start(_) => unreachable!("these start tasks"),
            Event::Wake(task) => self.woken.push(task),
            Event::Health => self.look_at_health(),
            Event::Bounds => self.look_at_bounds(),
            Event::Forgotten(process, incarnation) => self.is_forgotten(process, incarnation),
            Event::Cut(id) => self.cut_connection(id),
            Event::Disarm(process) => {
                if let Some(node) = self.running(process) {
                    node.armed.clear();
                }
            }
            Event::Timer(process) => self.timer(process),
            Event::Alarm(process) => {
                self.stir(process);
                self.timer(process);
            }
            Event::Datagram(process, heartbeat) => {
                let Some(node) = self.running(process) else {
                    return;
                };
                if !node.is_stopped() {
                    self.act(process, |world| world.hear(process, &heartbeat));
                } else if node.stalled.len() < STALLED_MAX {
                    node.stalled.push_back(Event::Datagram(process, heartbeat));
                }
            }
            Event::Arrives(id, side) => self.arrives(id, side),
        }
    }

    fn arrives(&mut self, id: u64, side: usize) {
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let (from, to) = (conn.ends[1 - side].node, conn.ends[side].node);
        if self.network.is_cut(from, to) || (side == ACCEPTOR && !self.resolve(id)) {
            return;
        }
        let process = self.network.conns[&id].ends[side];
        match self.running(process) {
            None => self.arrived(id, side),
            Some(node) if node.is_stopped() => {
                node.stalled.push_back(Event::Arrives(id, side));
            }
            Some(_) => self.act(process, |world| world.arrived(id, side)),
        }
    }
}
