//! The door through which a node reaches the world: sockets, clocks, randomness, tasks.
//!
//! Everything around the core goes through [`Env`] and through nothing else. So the same code runs
//! in production on [`System`], and in tests on [`testing::Host`](crate::testing::Host), where the
//! network is in memory, the clock jumps to the next timer, and one seed decides every random
//! number. One suite of tests is run on both.
//!
//! The public types of the library are not generic over it: `Env` is chosen where a cluster is
//! started, and is erased there.

mod failed;
mod faults;
mod group;
mod multicast;
mod system;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use catherd_core::time::Time;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

pub(crate) use self::failed::Failed;
pub(crate) use self::faults::Machine;
pub use self::faults::{Action, Armed, Faults, Place};
pub use self::group::Group;
pub use self::system::{MulticastSocket, System};

/// The direction of a connection from which this process reads.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// The direction of a connection to which this process writes.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What a node needs of the world.
///
/// Cheap to clone; all clones are the same process. Errors name what was being done and with whom,
/// keep their [kind](io::Error::kind), and have the cause as their source.
pub trait Env: Clone + Debug + Send + Sync + 'static {
    /// One side of a connection. Bytes arrive in order, or not at all.
    ///
    /// Dropping it closes the connection in order, if everything that arrived was read, and resets
    /// it otherwise, as TCP does.
    type Stream: AsyncRead + AsyncWrite + Debug + Unpin + Send + 'static;
    /// An address at which connections arrive. Dropping it closes the address.
    type Listener: Debug + Send + 'static;
    /// A socket in a multicast group. Dropping it leaves the group.
    type Datagrams: Debug + Send + Sync + 'static;

    /// Opens a connection. Small writes leave at once: Nagle's algorithm is off.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if nobody listens there. A peer that cannot be reached may leave this
    /// waiting for as long as the operating system likes: callers set their own deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The two directions of a connection, for two who do not wait for each other. It is closed
    /// when both are dropped; whether the peer sees the end of one before is up to the environment.
    fn split(&self, stream: Self::Stream) -> (Reader, Writer) {
        let (reader, writer) = tokio::io::split(stream);
        (Box::new(reader), Box::new(writer))
    }

    /// Listens at an address; port 0 takes a free one, which
    /// [`local_address`](Self::local_address) names.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody listens there, `AddrNotAvailable` if it is not an address of this
    /// host. Connections of an earlier process that still linger do not hinder.
    fn listen(
        &self,
        at: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send + '_;

    /// The address of a listener, with its true port.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn local_address(&self, of: &Self::Listener) -> io::Result<SocketAddr>;

    /// The next connection that arrives, with the address of the peer.
    ///
    /// # Errors
    ///
    /// An error concerns one connection or a shortage, never the listener: the caller goes on,
    /// after a moment. Only a simulated host that has crashed says `ConnectionAborted` for ever.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    fn accept<'a>(
        &'a self,
        on: &'a mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send + 'a;

    /// Joins a multicast group, to hear it and to speak to it. What this process sends is heard
    /// here too, by this socket and by others.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the group cannot be (see [`Group`]), `AddrNotAvailable` if the interface
    /// is not one of this host.
    fn multicast<'a>(
        &'a self,
        group: &'a Group,
    ) -> impl Future<Output = io::Result<Self::Datagrams>> + Send + 'a;

    /// Sends one datagram to the group. It may be lost, repeated or overtaken.
    ///
    /// # Errors
    ///
    /// Those of the operating system, for instance that there is no route or that the datagram is
    /// too long (more than 65 507 bytes with IPv4).
    fn send_datagram<'a>(
        &'a self,
        on: &'a Self::Datagrams,
        datagram: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + 'a;

    /// The next datagram: its length and who sent it. What does not fit into `into` is cut off, so
    /// a buffer of one byte more than the longest legal datagram shows that one was longer.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    ///
    /// # Cancel safety
    ///
    /// No datagram is lost when the future is dropped.
    fn receive_datagram<'a>(
        &'a self,
        on: &'a Self::Datagrams,
        into: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'a;

    /// This node's clock. It never jumps, and it counts the time for which the machine slept.
    fn now(&self) -> Time;

    /// The time of day, which people set. It orders nothing.
    fn wall_clock(&self) -> SystemTime;

    /// Waits until the clock shows `at`, to the millisecond, never less. Returns at once if that is
    /// past.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send;

    /// Fills `out` with random bytes; in production with those that nobody can guess.
    fn fill_random(&self, out: &mut [u8]);

    /// Starts a task on the runtime that this environment was given, whoever calls and from
    /// whatever thread. Dropping the handle does not end the task; aborting it does.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()>;

    /// The named places at which a test can make this node fail.
    fn faults(&self) -> &Faults;
}
