//! Session clustering for Rust web applications: the sessions live in the application's own
//! processes, replicated between them.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use axum::{Extension, Router, routing::get};
//! use catherd::{Attribute, Cluster, Session};
//!
//! const VISITS: Attribute<u64> = Attribute::new("visits");
//!
//! async fn visits(Extension(session): Extension<Session>) -> Result<String, String> {
//!     let visits = session.update(VISITS, |visits| *visits.insert(visits.unwrap_or(0) + 1));
//!     visits.map(|visits| format!("visit {visits}")).map_err(|error| error.to_string())
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().node_name("node01").start().await?;
//! let shop = cluster.context("/shop").max_inactive(Duration::from_secs(1800)).build()?;
//! let app: Router = Router::new().route("/shop", get(visits)).layer(shop.layer());
//! cluster.ready().await; // Members have been met: now the port may open.
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! cluster.shutdown(Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `cluster` | the node: its builder, its handle, events, the snapshot of all figures |
//! | `context` | the sessions of one application: table, replication, serving |
//! | `session` | the session of a request, as a handler sees it |
//! | `layer` | the tower layer |
//! | [`channel`] | how nodes reach each other; a trait, and TCP with multicast |
//! | [`store`] | where sessions are kept beyond the memory of the cluster; a trait |
//! | [`mod@env`] | the door to the world: sockets, clocks, randomness |
//! | [`testing`] | a network in memory and the clock behind it: whole clusters in one process |
#![forbid(unsafe_code)]

pub mod channel;
mod cluster;
mod context;
pub mod env;
#[doc(hidden)]
pub mod fuzzing;
mod layer;
mod session;
pub mod store;
mod surroundings;
pub mod testing;

/// Keys, fragments and messages, for those who implement a channel or a store.
pub use catherd_core as core;
pub use catherd_core::session::{Principal, PrincipalError};
pub use cluster::{
    Cluster, ClusterBuilder, ContextStatus, CountersStatus, Event, Events, LinkStatus,
    MemberStatus, Mode, SessionEnd, StartError, Status, TransferStatus, is_cluster_name,
    is_node_name,
};
pub use context::{
    Context, ContextBuilder, ContextError, Filter, FilterError, Manager, OnTransferTimeout,
    SessionsEnded, Stale,
};
pub use layer::{Degraded, ReplicatedBody, ResponseFuture, SessionLayer, SessionService};
pub use session::{Attribute, AttributeError, Confirmed, FlushError, Session};
