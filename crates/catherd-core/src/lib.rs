//! What is true in a Catherd cluster, without input or output.
//!
//! A session is a value that merges. This crate has that value, the rules by which its copies
//! find together, and the state machines that decide what is sent to whom and who is a member.
//! Nothing here opens a socket, starts a task, reads a clock or draws a random number: data and
//! the time go in, effects come out, and the same code runs in production and in simulations.
//!
//! | module | what it holds |
//! |---|---|
//! | [`time`] | instants of a node's own clock |
//! | [`key`] | the key of a session |
//! | [`version`] | incarnations, versions, dots, vectors |
//! | [`session`] | a copy of a session: registers, commit, fragments, merge, tombstones, digests |
//! | [`table`] | what a node holds under its keys, seen from a state machine |
//! | [`sync`] | how two nodes find what differs, and how a starting one gets everything |
//! | [`access`] | whom a node asks before it serves a session, and what it says of the answer |
//! | [`expiry`] | when a session that nobody uses ends, and who decides it |
//! | [`placement`] | which members hold a copy |
//! | [`planted`] | rules that a test build can leave out |
//! | [`membership`] | who is a member: heartbeats, hellos, probes, the view |
//! | [`link`] | one connection: the outbox that sends and the inbox that applies |
//! | [`message`] | what travels between nodes, its encoding and its caps |
#![forbid(unsafe_code)]

pub mod access;
pub mod expiry;
pub mod key;
pub mod link;
pub mod membership;
pub mod message;
pub mod placement;
pub mod planted;
pub mod session;
pub mod sync;
pub mod table;
pub mod time;
pub mod version;
