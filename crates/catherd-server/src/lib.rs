//! The `catherd` server: from a `server.xml` to a running node of a cluster.
//!
//! ```text
//! command ──> node ──┬──> config     what server.xml says
//!                    ├──> http       connectors: from a connection to a request
//!                    └──> engine     engine, host, context: from a request to its application
//!                           └──> apps
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `command` | `run`, `demo`, `check`, `status` |
//! | [`config`] | `server.xml`, read and checked |
//! | `node` | a node from its start to its end |
//! | `http` | connectors, and what they let in |
//! | `engine` | hosts, contexts, and what every node answers itself |
//! | `apps` | the applications that are built in |
//! | `log` | structured lines on standard error |
//!
//! Sessions, members and replication are not here: they are the library's.
#![forbid(unsafe_code)]

mod apps;
mod command;
pub mod config;
mod engine;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod log;
mod node;

pub use command::main;

const _: () = assert!(
    !catherd::core::planted::CAN_BE_PLANTED,
    "a server in which rules can be left out is not built: the feature `planted` is for the simulator"
);
