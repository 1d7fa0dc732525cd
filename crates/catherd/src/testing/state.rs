//! Everything that a network knows, behind one lock.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use catherd_core::time::Time;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::HostClock;
use super::datagrams::Socket;
use super::link::Links;
use super::pipe::{Pipe, PipeId, crashed};
use super::random::SplitMix64;
use crate::env::{Failed, Faults};

/// What the hosts of one network share.
pub(super) struct Shared {
    pub(super) runtime: Handle,
    state: Mutex<State>,
    /// Told whenever a verb of a fault, or a listener, may have let somebody pass.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(runtime: Handle, seed: u64) -> Self {
        Self {
            runtime,
            state: Mutex::new(State::new(seed)),
            changed: Notify::new(),
        }
    }

    /// What the clock of the runtime shows, whatever thread asks.
    pub(super) fn instant(&self) -> Instant {
        let _inside = self.runtime.enter();
        Instant::now()
    }

    /// Works on the state. Tasks are woken after the lock is released.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut State, Instant) -> R) -> R {
        let now = self.instant();
        let mut state = self.state.lock();
        let result = f(&mut state, now);
        let woken = std::mem::take(&mut state.woken);
        drop(state);
        for waker in woken {
            waker.wake();
        }
        result
    }

    /// Changes what can pass, and lets everybody look again.
    pub(super) fn alter<R>(&self, f: impl FnOnce(&mut State, Instant) -> R) -> R {
        let result = self.with(|state, now| {
            let result = f(state, now);
            state.wake_all();
            result
        });
        self.changed.notify_waiters();
        result
    }

    /// Waits for an instant of the runtime.
    pub(super) async fn reach(&self, at: Instant) {
        let mut timer = super::clock::Timer::new(self.runtime.clone());
        std::future::poll_fn(|cx: &mut Context<'_>| timer.poll(cx, at)).await;
    }

    /// Waits until a process may run.
    ///
    /// # Errors
    ///
    /// `ConnectionAborted` if it has crashed.
    pub(super) async fn running(&self, process: ProcessId) -> io::Result<()> {
        loop {
            let changed = self.changed.notified();
            match self.with(|state, _| state.turn(process)) {
                Turn::Running => return Ok(()),
                Turn::Gone => return Err(crashed()),
                Turn::Stalled => changed.await,
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A process on a host, from its start to its end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ProcessId {
    pub(super) ip: IpAddr,
    /// How many processes the host has had before.
    pub(super) generation: u64,
}

/// Whether a process may do something now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Running,
    /// Its host is paused or frozen.
    Stalled,
    /// It has ended.
    Gone,
}

/// How a step on the state ended.
#[derive(Debug)]
pub(super) enum Step<T> {
    Done(io::Result<T>),
    /// The waker was kept. At this instant, if there is one, it is time to look again.
    Wait(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct State {
    seed: u64,
    serial: u64,
    pub(super) links: Links,
    pub(super) hosts: BTreeMap<IpAddr, HostState>,
    pub(super) pipes: BTreeMap<PipeId, Pipe>,
    pub(super) listeners: BTreeMap<SocketAddr, Listening>,
    pub(super) sockets: BTreeMap<u64, Socket>,
    /// How many bytes a direction of a connection holds before its writer waits.
    pub(super) stream_capacity: usize,
    /// Whom to wake once the lock is released.
    pub(super) woken: Vec<Waker>,
}

/// A host: its present process, and what outlives it.
#[derive(Debug)]
pub(super) struct HostState {
    pub(super) generation: u64,
    pub(super) gone: bool,
    pub(super) paused: bool,
    pub(super) clock: HostClock,
    pub(super) random: SplitMix64,
    pub(super) faults: Faults,
    /// The tasks of the process; whom to wake when it stops, goes on or ends.
    pub(super) tasks: BTreeMap<u64, Option<Waker>>,
    next_port: u16,
}

/// An address at which a process listens.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) process: ProcessId,
    pub(super) backlog: VecDeque<Arrived>,
    pub(super) waker: Option<Waker>,
}

/// A connection that nobody has accepted yet.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) out: PipeId,
    pub(super) back: PipeId,
    pub(super) from: SocketAddr,
}

/// 64 KiB, about what Linux lets a connection begin with.
const STREAM_CAPACITY: usize = 64 * 1024;

/// The first port that is given out for port 0 (RFC 6335, section 6).
const FIRST_FREE_PORT: u16 = 49_152;

/// The time of day at which networks begin: the same in every run.
const WALL_CLOCK: Duration = Duration::from_secs(1_750_000_000);

impl State {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            serial: 0,
            links: Links::new(SplitMix64::derived(seed, &[])),
            hosts: BTreeMap::new(),
            pipes: BTreeMap::new(),
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            stream_capacity: STREAM_CAPACITY,
            woken: Vec::new(),
        }
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The process on a host; a new one, if there is none or if it has crashed.
    pub(super) fn start(
        &mut self,
        ip: IpAddr,
        now: Instant,
        faults: impl FnOnce(ProcessId) -> Faults,
    ) -> (ProcessId, Faults) {
        let (generation, wall) = match self.hosts.get(&ip) {
            Some(host) if !host.gone => {
                return (
                    ProcessId {
                        ip,
                        generation: host.generation,
                    },
                    host.faults.clone(),
                );
            }
            Some(host) => (host.generation + 1, host.clock.wall_clock(now)),
            None => (0, SystemTime::UNIX_EPOCH + WALL_CLOCK),
        };
        let process = ProcessId { ip, generation };
        let [high, low] = halves(ip);
        let faults = faults(process);
        let host = HostState {
            generation,
            gone: false,
            paused: false,
            clock: HostClock::new(now, wall),
            random: SplitMix64::derived(self.seed, &[high, low, generation]),
            faults: faults.clone(),
            tasks: BTreeMap::new(),
            next_port: FIRST_FREE_PORT,
        };
        self.hosts.insert(ip, host);
        (process, faults)
    }

    /// The living process of a host.
    pub(super) fn process_on(&self, ip: IpAddr) -> Option<ProcessId> {
        let host = self.hosts.get(&ip).filter(|host| !host.gone)?;
        Some(ProcessId {
            ip,
            generation: host.generation,
        })
    }

    pub(super) fn turn(&self, process: ProcessId) -> Turn {
        match self.hosts.get(&process.ip) {
            Some(host) if host.generation == process.generation && !host.gone => {
                if host.is_stalled() {
                    Turn::Stalled
                } else {
                    Turn::Running
                }
            }
            _ => Turn::Gone,
        }
    }

    /// The host of a process, even if the process has ended.
    pub(super) fn host(&mut self, process: ProcessId) -> &mut HostState {
        self.hosts
            .get_mut(&process.ip)
            .expect("hosts stay, once they were named")
    }

    /// What the clock of a process shows.
    pub(super) fn time(&self, process: ProcessId, now: Instant) -> Time {
        self.hosts[&process.ip].clock.time(now)
    }

    /// The process of a host ends without a word. Its kernel resets what was open.
    pub(super) fn crash(&mut self, process: ProcessId, now: Instant) {
        if self.turn(process) == Turn::Gone {
            return;
        }
        let host = self.host(process);
        host.gone = true;
        host.clock.thaw(now);
        let dead: Vec<SocketAddr> = self
            .listeners
            .iter()
            .filter(|(_, listening)| listening.process == process)
            .map(|(at, _)| *at)
            .collect();
        for at in dead {
            self.stop_listening(at, process, now);
        }
        self.abandon_pipes(process, now);
        self.sockets.retain(|_, socket| socket.process != process);
    }

    /// Opens an address for a process.
    pub(super) fn listen(&mut self, process: ProcessId, at: SocketAddr) -> io::Result<SocketAddr> {
        let ip = if at.ip().is_unspecified() {
            process.ip
        } else {
            at.ip()
        };
        if ip != process.ip {
            return Err(Failed::because(
                "listen at",
                at,
                io::ErrorKind::AddrNotAvailable.into(),
            ));
        }
        let at = match at.port() {
            0 => SocketAddr::new(ip, self.free_port(process)),
            port => SocketAddr::new(ip, port),
        };
        if self.listeners.contains_key(&at) {
            return Err(Failed::because(
                "listen at",
                at,
                io::ErrorKind::AddrInUse.into(),
            ));
        }
        let listening = Listening {
            process,
            backlog: VecDeque::new(),
            waker: None,
        };
        self.listeners.insert(at, listening);
        Ok(at)
    }

    /// Closes an address, and what nobody has accepted there.
    pub(super) fn stop_listening(&mut self, at: SocketAddr, process: ProcessId, now: Instant) {
        // After a crash the next process of the host may listen there.
        if self
            .listeners
            .get(&at)
            .is_none_or(|listening| listening.process != process)
        {
            return;
        }
        let listening = self.listeners.remove(&at).expect("it was there");
        for arrived in listening.backlog {
            self.close(arrived.out, arrived.back, true, now);
        }
        self.woken.extend(listening.waker);
    }

    pub(super) fn free_port(&mut self, process: ProcessId) -> u16 {
        loop {
            let host = self.host(process);
            let port = host.next_port;
            host.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !self
                .listeners
                .contains_key(&SocketAddr::new(process.ip, port))
            {
                return port;
            }
        }
    }

    /// Wakes everybody who may look again.
    fn wake_all(&mut self) {
        for host in self.hosts.values_mut() {
            self.woken
                .extend(host.tasks.values_mut().filter_map(Option::take));
        }
        for listening in self.listeners.values_mut() {
            self.woken.extend(listening.waker.take());
        }
        for socket in self.sockets.values_mut() {
            self.woken.append(&mut socket.wakers);
        }
        self.wake_pipes();
    }
}

impl HostState {
    pub(super) fn is_stalled(&self) -> bool {
        self.paused || self.clock.is_frozen()
    }
}

fn halves(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}
