//! The real thing: sockets, clocks and randomness of the operating system.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use catherd_core::time::Time;
use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Env, Failed, Faults, Group, Reader, Writer, multicast};

/// The environment of production.
///
/// It holds the runtime on which everything happens. Whoever calls may live elsewhere, as the
/// workers of some web servers do, each with a runtime of one thread that ends when it likes:
/// tasks, sockets and timers made here belong to the runtime given.
///
/// Not for a runtime whose clock is paused: the clock here is that of the machine.
#[derive(Clone, Debug)]
pub struct System {
    runtime: Handle,
    /// What the clock of the machine showed at [`Time::START`].
    origin: Duration,
    faults: Faults,
}

impl System {
    /// The environment on `runtime`, which must have its I/O and its time enabled.
    /// [`now`](Env::now) begins here at [`Time::START`].
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            origin: since_boot(),
            faults: Faults::none(),
        }
    }

    /// The environment on the runtime of the caller.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// The same with places that can be armed, for tests on real sockets. In production there are
    /// none.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    fn within<F: Future>(&self, future: F) -> Within<F> {
        Within {
            runtime: self.runtime.clone(),
            future,
        }
    }
}

impl Env for System {
    type Stream = TcpStream;
    type Listener = TcpListener;
    type Datagrams = MulticastSocket;

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let connecting = async {
            let socket = socket_for(to)?;
            socket.set_nodelay(true)?;
            socket.connect(to).await
        };
        self.within(connecting)
            .await
            .map_err(|error| Failed::because("connect to", to, error))
    }

    /// Reading and writing share no lock: a request that writes is not to wait while the task of the
    /// link reads.
    fn split(&self, stream: TcpStream) -> (Reader, Writer) {
        let (reader, writer) = stream.into_split();
        (Box::new(reader), Box::new(writer))
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let listening = async {
            let socket = socket_for(at)?;
            socket.set_reuseaddr(true)?;
            socket.bind(at)?;
            socket.listen(BACKLOG)
        };
        self.within(listening)
            .await
            .map_err(|error| Failed::because("listen at", at, error))
    }

    fn local_address(&self, of: &TcpListener) -> io::Result<SocketAddr> {
        of.local_addr()
    }

    async fn accept(&self, on: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let accepting = async {
            let (stream, from) = on.accept().await?;
            stream.set_nodelay(true)?;
            Ok((stream, from))
        };
        match self.within(accepting).await {
            Ok(accepted) => Ok(accepted),
            Err(error) => Err(match on.local_addr() {
                Ok(at) => Failed::because("accept at", at, error),
                Err(_) => error,
            }),
        }
    }

    async fn multicast(&self, group: &Group) -> io::Result<MulticastSocket> {
        let joining = async {
            let (socket, at) = multicast::join(group)?;
            Ok(MulticastSocket {
                socket: UdpSocket::from_std(socket)?,
                group: at,
            })
        };
        let result = self.within(joining).await;
        result.map_err(|error| Failed::because("join group", group.socket_address(), error))
    }

    async fn send_datagram(&self, on: &MulticastSocket, datagram: &[u8]) -> io::Result<()> {
        match on.socket.send_to(datagram, on.group).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Failed::because("send to group", on.group, error)),
        }
    }

    async fn receive_datagram(
        &self,
        on: &MulticastSocket,
        into: &mut [u8],
    ) -> io::Result<(usize, SocketAddr)> {
        let received = on.socket.recv_from(into).await;
        received.map_err(|error| Failed::because("receive from group", on.group, error))
    }

    fn now(&self) -> Time {
        Time::since_start(since_boot().saturating_sub(self.origin))
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep_until(&self, at: Time) {
        // The timers of the runtime do not count the time for which the machine slept, so after
        // that they come late. They never come early: where they were, this waits again.
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            self.within(async { tokio::time::sleep(left).await }).await;
        }
    }

    fn fill_random(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system has random numbers once it is up");
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }
}

/// A socket of the operating system in a multicast group.
#[derive(Debug)]
pub struct MulticastSocket {
    socket: UdpSocket,
    /// Where to send; with the number of the interface, if the group is one of IPv6.
    group: SocketAddr,
}

/// Connections that the kernel keeps until they are accepted; it takes the lower of this and its
/// own limit.
const BACKLOG: u32 = 1024;

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}

/// A clock that goes on while the machine sleeps. `Instant` stands still then on Linux, and a node
/// that was suspended would take old sessions for fresh ones.
fn since_boot() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // Elsewhere there is no such clock, or (on macOS) this is the one that counts.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let shown = clock_gettime(CLOCK);
    Duration::try_from(shown).expect("a clock that began at boot is not negative")
}

pin_project! {
    /// Polls a future inside a runtime, so that what it makes belongs to that one.
    struct Within<F> {
        runtime: Handle,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _inside = this.runtime.enter();
        this.future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn an_error_names_the_operation_and_the_address_and_keeps_its_kind() {
        let at: SocketAddr = "203.0.113.7:4001".parse().unwrap();
        let error = System::current().listen(at).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(error.to_string(), "cannot listen at 203.0.113.7:4001");
        assert!(error.get_ref().and_then(|failed| failed.source()).is_some());
    }

    #[tokio::test]
    async fn nagle_is_off_on_both_sides() {
        let system = System::current();
        let mut listener = system.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = system.local_address(&listener).unwrap();
        let (near, far) = tokio::join!(system.connect(at), system.accept(&mut listener));
        assert!(near.unwrap().nodelay().unwrap());
        assert!(far.unwrap().0.nodelay().unwrap());
    }

    #[tokio::test]
    async fn whoever_calls_from_outside_any_runtime_is_served_by_the_one_given() {
        let system = System::current();
        let (tell, told) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            let soon = system.now() + Duration::from_millis(5);
            let nobody = "127.0.0.1:1".parse().unwrap();
            let inside = system.clone();
            system.spawn(async move {
                inside.sleep_until(soon).await;
                let refused = inside.connect(nobody).await.is_err();
                tell.send(refused && inside.now() >= soon).unwrap();
            });
            // Made by a thread without a runtime; polled by an executor that is none either.
            let listening = system.listen("127.0.0.1:0".parse().unwrap());
            futures_util::FutureExt::now_or_never(listening)
                .unwrap()
                .unwrap();
        });
        assert!(told.await.unwrap());
    }

    #[tokio::test]
    async fn the_clock_begins_at_the_start_and_does_not_go_back() {
        let system = System::current();
        let mut last = Time::START;
        for _ in 0..1000 {
            let now = system.now();
            assert!(now >= last);
            last = now;
        }
    }
}
