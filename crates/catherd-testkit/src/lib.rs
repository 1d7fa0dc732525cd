//! Real nodes for tests: processes of the `catherd` command, on ports and in a cluster of their
//! own, so that tests run side by side.
//!
//! ```no_run
//! use catherd_testkit::{Client, Farm};
//! use serde_json::json;
//!
//! let farm = Farm::new("target/debug/catherd"); // A test gives env!("CARGO_BIN_EXE_catherd").
//! let a = farm.node("A").start();
//! let b = farm.node("B").start();
//! a.wait_for_members(&["B"]);
//!
//! let mut client = Client::new();
//! client.set(&a, "user", &json!("Ada"));
//! a.kill();
//! assert_eq!(client.session(&b).attribute("user"), json!("Ada"));
//! ```
//!
//! Nothing here sleeps in the hope that something has happened: [`wait`] asks for a state until it
//! is there, and fails with what it saw last. Everything panics when it does not succeed, with what
//! the nodes wrote to standard error, since a test has no better use for an error.
//!
//! | module | what it holds |
//! |---|---|
//! | `farm` | the directory, the cluster id and the ports of one test |
//! | `server_xml` | the configuration of a node |
//! | `node` | a running node: signals, status, figures of its process |
//! | `network` | machines with a network between them that can be cut, for a test as root |
//! | `balancer` | a load balancer in front of nodes |
//! | `client` | an HTTP client with one session cookie, that walks from node to node |
//! | [`wait`] | waiting for a state |
//! | [`debian`] | programs that tests need |
#![forbid(unsafe_code)]

mod balancer;
mod client;
pub mod debian;
mod farm;
mod network;
mod node;
mod ports;
mod server_xml;
pub mod wait;

pub use balancer::Balancer;
pub use client::{Answer, Client, Port, Site};
pub use farm::{Farm, NodeBuilder};
pub use network::{Host, Network, Traffic};
pub use node::{Finished, Node};
