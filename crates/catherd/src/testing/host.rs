//! A simulated host: the environment of one process.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::SystemTime;

use catherd_core::time::Time;
use tokio::task::JoinHandle;

use super::datagrams::Datagrams;
use super::state::{ProcessId, Shared, Turn};
use super::stream::{Listener, Stream};
use crate::env::{Env, Faults, Group, Machine};

/// A process on a host of a [`Network`](super::Network).
///
/// It has one address. Listening at the unspecified address listens at that one.
///
/// The process is what its tasks do, those started with [`spawn`](Env::spawn) by whatever runs in
/// it: a crash ends them all, a pause stops them all where they wait. What the test itself awaits
/// stalls as soon as it comes to something that goes through the environment.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    process: ProcessId,
    faults: Faults,
}

impl Host {
    pub(super) fn start(shared: &Arc<Shared>, ip: IpAddr) -> Self {
        let (process, faults) = shared.with(|state, now| {
            state.start(ip, now, |process| {
                Faults::of(ProcessFaults {
                    shared: Arc::downgrade(shared),
                    process,
                })
            })
        });
        Self {
            shared: Arc::clone(shared),
            process,
            faults,
        }
    }

    /// The address of this host.
    pub fn ip(&self) -> IpAddr {
        self.process.ip
    }
}

impl Env for Host {
    type Stream = Stream;
    type Listener = Listener;
    type Datagrams = Datagrams;

    async fn connect(&self, to: SocketAddr) -> io::Result<Stream> {
        Stream::connect(&self.shared, self.process, to).await
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<Listener> {
        self.shared.running(self.process).await?;
        Listener::open(&self.shared, self.process, at)
    }

    fn local_address(&self, of: &Listener) -> io::Result<SocketAddr> {
        Ok(of.address())
    }

    async fn accept(&self, on: &mut Listener) -> io::Result<(Stream, SocketAddr)> {
        on.accept().await
    }

    async fn multicast(&self, group: &Group) -> io::Result<Datagrams> {
        self.shared.running(self.process).await?;
        Datagrams::join(&self.shared, self.process, group)
    }

    async fn send_datagram(&self, on: &Datagrams, datagram: &[u8]) -> io::Result<()> {
        self.shared.running(self.process).await?;
        on.send(datagram)
    }

    async fn receive_datagram(
        &self,
        on: &Datagrams,
        into: &mut [u8],
    ) -> io::Result<(usize, SocketAddr)> {
        on.receive(into).await
    }

    fn now(&self) -> Time {
        self.shared.with(|state, now| state.time(self.process, now))
    }

    fn wall_clock(&self) -> SystemTime {
        self.shared
            .with(|state, now| state.host(self.process).clock.wall_clock(now))
    }

    async fn sleep_until(&self, at: Time) {
        loop {
            if self.shared.running(self.process).await.is_err() {
                // A process that has ended does nothing more.
                std::future::pending::<()>().await;
            }
            let (left, now) = self
                .shared
                .with(|state, now| (at.since(state.time(self.process, now)), now));
            if left.is_zero() {
                return;
            }
            // A host that was frozen meanwhile is not there yet when this ends, and goes round.
            self.shared.reach(now + left).await;
        }
    }

    fn fill_random(&self, out: &mut [u8]) {
        self.shared
            .with(|state, _| state.host(self.process).random.fill(out));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let id = self.shared.with(|state, _| {
            let id = state.serial();
            if state.turn(self.process) != Turn::Gone {
                state.host(self.process).tasks.insert(id, None);
            }
            id
        });
        self.shared.runtime.spawn(Task {
            shared: Arc::clone(&self.shared),
            process: self.process,
            id,
            future: Some(Box::pin(task)),
        })
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Host({}, process {})",
            self.process.ip, self.process.generation
        )
    }
}

/// A task of a simulated process: it runs while the process does.
struct Task {
    shared: Arc<Shared>,
    process: ProcessId,
    id: u64,
    /// Taken when it has ended, or when the process has.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let turn = this.shared.with(|state, _| {
            let turn = state.turn(this.process);
            if turn != Turn::Gone {
                state
                    .host(this.process)
                    .tasks
                    .insert(this.id, Some(cx.waker().clone()));
            }
            turn
        });
        let Some(future) = &mut this.future else {
            return Poll::Ready(());
        };
        let ended = match turn {
            Turn::Stalled => return Poll::Pending,
            Turn::Gone => true,
            Turn::Running => future.as_mut().poll(cx).is_ready(),
        };
        // The crash may have come from within. Whatever is dropped here finds the host gone.
        if ended || this.shared.with(|state, _| state.turn(this.process)) == Turn::Gone {
            this.future = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.with(|state, _| {
            if state.turn(self.process) != Turn::Gone {
                state.host(self.process).tasks.remove(&self.id);
            }
        });
    }
}

/// What an armed place does to the process that passes it.
struct ProcessFaults {
    shared: Weak<Shared>,
    process: ProcessId,
}

impl Machine for ProcessFaults {
    fn stop(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.alter(|state, _| {
                if state.turn(self.process) != Turn::Gone {
                    state.host(self.process).paused = true;
                }
            });
        }
    }

    fn crash(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.alter(|state, now| state.crash(self.process, now));
        }
    }
}
