//! A network in memory with a clock that jumps: whole clusters in one test, in milliseconds.
//!
//! A [`Network`] has hosts, and each [`Host`] is an [`Env`](crate::env::Env): give one to a node
//! instead of [`System`](crate::env::System), and its sockets, timers, random numbers and tasks are
//! those of the simulation. Nothing is shared between two networks, nor between two clusters on one
//! of them, so tests run side by side and one process holds as many clusters as it likes.
//!
//! # How a test is set up
//!
//! * The runtime has one thread and a paused clock: `#[tokio::test(start_paused = true)]`, with
//!   tokio's feature `test-util` among your dev-dependencies. Time then passes only when every task
//!   waits, and jumps to the next timer: a time-out of a minute costs nothing.
//! * One [`Network`] a test, with a seed. Same seed and same calls, same run, to the byte: print
//!   the seed when a test fails.
//! * One address a node. Two clusters may share the network: give them different cluster ids, or
//!   different multicast groups, as on a real one.
//! * Faults are verbs of the network: [`crash`](Network::crash), [`pause`](Network::pause),
//!   [`partition`](Network::partition), [`hold`](Network::hold), [`set_link`](Network::set_link).
//!   Those of one moment in the code are armed on the host:
//!   [`host.faults().arm(place, action)`](crate::env::Faults::arm).
//! * Wait for states, under a time-out, not for times.
//!
//! Two pairs of nodes on one network, and a crash in one of the pairs:
//!
//! ```
//! use std::io::ErrorKind;
//! use std::net::SocketAddr;
//!
//! use catherd::env::Env;
//! use catherd::testing::Network;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! async fn serve(env: impl Env, at: SocketAddr) {
//!     let mut listener = env.listen(at).await.expect("the port is free");
//!     while let Ok((mut stream, _)) = env.accept(&mut listener).await {
//!         env.spawn(async move {
//!             let (mut reader, mut writer) = tokio::io::split(&mut stream);
//!             let _ended = tokio::io::copy(&mut reader, &mut writer).await;
//!         });
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // In a test: `#[tokio::test(start_paused = true)]`.
//! # tokio::time::pause();
//! let network = Network::new(42);
//! let mut clients = Vec::new();
//! for cluster in 1..=2 {
//!     let server = network.host([10, 0, cluster, 1]);
//!     let at = SocketAddr::new(server.ip(), 4001);
//!     server.spawn(serve(server.clone(), at));
//!     tokio::task::yield_now().await; // It listens.
//!     let client = network.host([10, 0, cluster, 2]);
//!     clients.push(client.connect(at).await.expect("somebody listens"));
//! }
//!
//! network.crash([10, 0, 1, 1]);
//! let mut answer = [0; 5];
//! let error = clients[0].read_exact(&mut answer).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::ConnectionReset);
//!
//! clients[1].write_all(b"hello").await.unwrap();
//! clients[1].read_exact(&mut answer).await.unwrap();
//! assert_eq!(&answer, b"hello");
//! # }
//! ```
//!
//! # What is like the real thing, and what is not
//!
//! One suite of tests runs on both environments. Beyond it: a connection that is cut stalls for as
//! long as the cut lasts, where TCP would give up after a quarter of an hour; buffers are counted
//! in bytes, and an acknowledgement needs no time; there is one address a host and no routing;
//! random numbers can be guessed, which is what a seed is for.

mod clock;
mod datagrams;
mod host;
mod link;
mod network;
mod pipe;
mod random;
mod state;
mod stream;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

pub use self::datagrams::Datagrams;
pub use self::host::Host;
pub use self::link::Link;
pub use self::network::Network;
pub use self::stream::{Listener, Stream};
