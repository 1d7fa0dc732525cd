//! A connection as a process sees it, and the address at which connections arrive.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::clock::Timer;
use super::pipe::{PipeId, crashed};
use super::state::{Arrived, ProcessId, Shared, State, Step, Turn};
use crate::env::Failed;

/// One side of a simulated connection.
pub struct Stream {
    shared: Arc<Shared>,
    process: ProcessId,
    /// The pipe that this side writes to.
    out: PipeId,
    /// The pipe that this side reads from.
    back: PipeId,
    near: SocketAddr,
    far: SocketAddr,
    read_timer: Timer,
    write_timer: Timer,
}

impl Stream {
    /// Opens a connection: the way there, somebody who listens, the way back.
    pub(super) async fn connect(
        shared: &Arc<Shared>,
        process: ProcessId,
        to: SocketAddr,
    ) -> io::Result<Self> {
        shared.running(process).await?;
        let ip = if to.ip().is_unspecified() {
            process.ip
        } else {
            to.ip()
        };
        let to = SocketAddr::new(ip, to.port());
        let there = shared.with(|state, now| state.links.arrival((process.ip, ip), now, 0));
        shared.reach(there).await;
        let (connected, answered) = loop {
            let changed = shared.changed.notified();
            match shared.with(|state, now| state.knock(process, to, now)) {
                Knock::NoAnswer => changed.await,
                Knock::Unreachable => {
                    return Err(refused(io::ErrorKind::HostUnreachable, to));
                }
                Knock::Refused(answered) => {
                    shared.reach(answered).await;
                    return Err(refused(io::ErrorKind::ConnectionRefused, to));
                }
                Knock::Open {
                    out,
                    back,
                    near,
                    answered,
                } => {
                    break (Self::new(shared, process, (out, back), near, to), answered);
                }
            }
        };
        shared.reach(answered).await;
        shared.running(process).await?;
        Ok(connected)
    }

    fn new(
        shared: &Arc<Shared>,
        process: ProcessId,
        (out, back): (PipeId, PipeId),
        near: SocketAddr,
        far: SocketAddr,
    ) -> Self {
        let timer = || Timer::new(shared.runtime.clone());
        Self {
            shared: Arc::clone(shared),
            process,
            out,
            back,
            near,
            far,
            read_timer: timer(),
            write_timer: timer(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let step = this
                .shared
                .with(|state, now| state.read(this.process, this.back, into, cx.waker(), now));
            match step {
                Step::Done(result) => return Poll::Ready(result),
                Step::Wait(None) => return Poll::Pending,
                Step::Wait(Some(at)) => ready!(this.read_timer.poll(cx, at)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let step = this
                .shared
                .with(|state, now| state.write(this.process, this.out, parts, cx.waker(), now));
            match step {
                Step::Done(result) => return Poll::Ready(result),
                Step::Wait(None) => return Poll::Pending,
                Step::Wait(Some(at)) => ready!(this.write_timer.poll(cx, at)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared
            .with(|state, now| state.shut_down(self.process, self.out, now));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared
            .with(|state, now| state.close(self.out, self.back, false, now));
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} -> {})", self.near, self.far)
    }
}

/// An address at which a simulated process listens.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    process: ProcessId,
    at: SocketAddr,
}

impl Listener {
    pub(super) fn open(
        shared: &Arc<Shared>,
        process: ProcessId,
        at: SocketAddr,
    ) -> io::Result<Self> {
        let at = shared.with(|state, _| state.listen(process, at))?;
        Ok(Self {
            shared: Arc::clone(shared),
            process,
            at,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.at
    }

    pub(super) async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let (arrived, was_full) = poll_fn(|cx| {
            let step = self
                .shared
                .with(|state, _| state.accept(self.process, self.at, cx.waker()));
            match step {
                Step::Done(result) => Poll::Ready(result),
                Step::Wait(_) => Poll::Pending,
            }
        })
        .await?;
        if was_full {
            self.shared.changed.notify_waiters();
        }
        let Arrived { out, back, from } = arrived;
        Ok((
            Stream::new(&self.shared, self.process, (out, back), self.at, from),
            from,
        ))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared
            .with(|state, now| state.stop_listening(self.at, self.process, now));
    }
}

fn refused(kind: io::ErrorKind, to: SocketAddr) -> io::Error {
    Failed::because("connect to", to, kind.into())
}

/// Connections that wait to be accepted. Beyond this, who connects gets no answer, as on Linux.
const BACKLOG: usize = 128;

/// What a connection that is being opened finds at the other end.
enum Knock {
    /// A cut, or a full backlog: try again when something changes.
    NoAnswer,
    /// There is no such host.
    Unreachable,
    /// Nobody listens; known here at this instant.
    Refused(Instant),
    Open {
        out: PipeId,
        back: PipeId,
        near: SocketAddr,
        answered: Instant,
    },
}

impl State {
    fn knock(&mut self, process: ProcessId, to: SocketAddr, now: Instant) -> Knock {
        let there = (process.ip, to.ip());
        let back = (there.1, there.0);
        if self.turn(process) == Turn::Gone || !self.hosts.contains_key(&to.ip()) {
            return Knock::Unreachable;
        }
        if self.links.is_cut(there) || self.links.is_cut(back) {
            return Knock::NoAnswer;
        }
        let answered = self.links.arrival(back, now, 0);
        let Some(listening) = self.listeners.get(&to) else {
            return Knock::Refused(answered);
        };
        if listening.backlog.len() >= BACKLOG {
            return Knock::NoAnswer;
        }
        let far = listening.process;
        let near = SocketAddr::new(process.ip, self.free_port(process));
        let (out, back) = self.connection(process, far);
        let listening = self.listeners.get_mut(&to).expect("it listened above");
        listening.backlog.push_back(Arrived {
            out: back,
            back: out,
            from: near,
        });
        self.woken.extend(listening.waker.take());
        Knock::Open {
            out,
            back,
            near,
            answered,
        }
    }

    /// The next connection, and whether the backlog was full until now.
    fn accept(
        &mut self,
        process: ProcessId,
        at: SocketAddr,
        waker: &Waker,
    ) -> Step<(Arrived, bool)> {
        let turn = self.turn(process);
        if turn == Turn::Gone {
            return Step::Done(Err(crashed()));
        }
        let listening = self
            .listeners
            .get_mut(&at)
            .expect("removed at the drop or a crash");
        let was_full = listening.backlog.len() >= BACKLOG;
        if turn == Turn::Running
            && let Some(arrived) = listening.backlog.pop_front()
        {
            return Step::Done(Ok((arrived, was_full)));
        }
        listening.waker = Some(waker.clone());
        Step::Wait(None)
    }
}
