//! Multicast: who is in a group, and what is under way to it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::clock::Timer;
use super::link::{Cut, Way};
use super::pipe::crashed;
use super::state::{ProcessId, Shared, State, Step, Turn};
use crate::env::{Failed, Group};

/// A socket of a simulated host in a multicast group.
#[derive(Debug)]
pub struct Datagrams {
    shared: Arc<Shared>,
    process: ProcessId,
    id: u64,
    group: SocketAddr,
    ttl: Option<u32>,
}

impl Datagrams {
    pub(super) fn join(
        shared: &Arc<Shared>,
        process: ProcessId,
        group: &Group,
    ) -> io::Result<Self> {
        let address = group.socket_address();
        group
            .check()
            .map_err(|error| Failed::because("join group", address, error))?;
        if group
            .chosen_interface()
            .is_some_and(|interface| interface != process.ip)
        {
            return Err(Failed::because(
                "join group",
                address,
                io::ErrorKind::AddrNotAvailable.into(),
            ));
        }
        let id = shared.with(|state, _| {
            let id = state.serial();
            state.sockets.insert(id, Socket::new(process, address));
            id
        });
        Ok(Self {
            shared: Arc::clone(shared),
            process,
            id,
            group: address,
            ttl: group.ttl,
        })
    }

    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        if datagram.len() > LONGEST {
            return Err(Failed::because(
                "send to group",
                self.group,
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        self.shared.with(|state, now| {
            if state.turn(self.process) == Turn::Gone {
                return Err(crashed());
            }
            let from = SocketAddr::new(self.process.ip, self.group.port());
            let stays = self.ttl == Some(0);
            state.cast(
                self.group,
                from,
                stays,
                &Bytes::copy_from_slice(datagram),
                now,
            );
            Ok(())
        })
    }

    pub(super) async fn receive(&self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut timer = Timer::new(self.shared.runtime.clone());
        poll_fn(|cx| {
            loop {
                let step = self
                    .shared
                    .with(|state, now| state.take_datagram(self, cx.waker(), now));
                match step {
                    Step::Done(Ok((from, datagram))) => {
                        let length = datagram.len().min(into.len());
                        into[..length].copy_from_slice(&datagram[..length]);
                        return Poll::Ready(Ok((length, from)));
                    }
                    Step::Done(Err(error)) => return Poll::Ready(Err(error)),
                    Step::Wait(None) => return Poll::Pending,
                    Step::Wait(Some(at)) => std::task::ready!(timer.poll(cx, at)),
                }
            }
        })
        .await
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.shared.with(|state, _| state.sockets.remove(&self.id));
    }
}

/// The longest datagram of UDP over IPv4.
const LONGEST: usize = 65_507;

/// How many datagrams wait in a socket; more are lost, as in a kernel.
const QUEUE_LEN_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) process: ProcessId,
    group: SocketAddr,
    /// By arrival; those that arrive together in the order in which they were sent.
    queue: BTreeMap<(Instant, u64), Datagram>,
    /// What is held back, in the order in which it was sent.
    held: Vec<Datagram>,
    pub(super) wakers: Vec<Waker>,
}

#[derive(Clone, Debug)]
struct Datagram {
    from: SocketAddr,
    bytes: Bytes,
}

impl Socket {
    fn new(process: ProcessId, group: SocketAddr) -> Self {
        Self {
            process,
            group,
            queue: BTreeMap::new(),
            held: Vec::new(),
            wakers: Vec::new(),
        }
    }
}

impl State {
    fn cast(
        &mut self,
        group: SocketAddr,
        from: SocketAddr,
        stays: bool,
        bytes: &Bytes,
        now: Instant,
    ) {
        let ids: Vec<u64> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.group == group)
            .filter(|(_, socket)| !stays || socket.process.ip == from.ip())
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let way = (from.ip(), self.sockets[&id].process.ip);
            let datagram = Datagram {
                from,
                bytes: bytes.clone(),
            };
            match self.links.cut_of(way) {
                Some(Cut::Parted) => {}
                Some(Cut::Held) => {
                    let socket = self.sockets.get_mut(&id).expect("it is in the list");
                    if socket.held.len() < QUEUE_LEN_MAX {
                        socket.held.push(datagram);
                    }
                }
                None => self.deliver(id, way, &datagram, now),
            }
        }
    }

    fn deliver(&mut self, id: u64, way: Way, datagram: &Datagram, now: Instant) {
        for at in self.links.copies(way, now, datagram.bytes.len()) {
            let serial = self.serial();
            let socket = self.sockets.get_mut(&id).expect("it is in the list");
            if socket.queue.len() < QUEUE_LEN_MAX {
                socket.queue.insert((at, serial), datagram.clone());
                self.woken.append(&mut socket.wakers);
            }
        }
    }

    fn take_datagram(
        &mut self,
        on: &Datagrams,
        waker: &Waker,
        now: Instant,
    ) -> Step<(SocketAddr, Bytes)> {
        let turn = self.turn(on.process);
        if turn == Turn::Gone {
            return Step::Done(Err(crashed()));
        }
        let socket = self
            .sockets
            .get_mut(&on.id)
            .expect("it is removed at the drop or a crash");
        let next = socket.queue.keys().next().map(|(at, _)| *at);
        if turn == Turn::Running && next.is_some_and(|at| at <= now) {
            let (_, datagram) = socket.queue.pop_first().expect("it has a first");
            return Step::Done(Ok((datagram.from, datagram.bytes)));
        }
        if !socket.wakers.iter().any(|known| known.will_wake(waker)) {
            socket.wakers.push(waker.clone());
        }
        Step::Wait(if turn == Turn::Running { next } else { None })
    }

    /// A way was parted: what was under way on it is lost.
    pub(super) fn lose_datagrams(&mut self, way: Way, now: Instant) {
        for socket in self
            .sockets
            .values_mut()
            .filter(|socket| socket.process.ip == way.1)
        {
            socket
                .queue
                .retain(|(at, _), datagram| *at <= now || datagram.from.ip() != way.0);
            socket.held.retain(|datagram| datagram.from.ip() != way.0);
        }
    }

    /// A way was opened again: what was held sets out now.
    pub(super) fn resume_datagrams(&mut self, way: Way, now: Instant) {
        let ids: Vec<u64> = self.sockets.keys().copied().collect();
        for id in ids {
            let socket = self
                .sockets
                .get_mut(&id)
                .expect("nothing was removed since");
            if socket.process.ip != way.1 {
                continue;
            }
            let (go, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut socket.held)
                .into_iter()
                .partition(|datagram| datagram.from.ip() == way.0);
            socket.held = stay;
            for datagram in go {
                self.deliver(id, way, &datagram, now);
            }
        }
    }
}
