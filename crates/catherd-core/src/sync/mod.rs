//! How two nodes find what differs, and how a starting node gets everything.
//!
//! One mechanism serves the start of a node, the end of a split, and the repair that runs on: the
//! node that may lack something **pulls**. It sends the digests of its buckets, gets the keys of
//! those that are unequal, and fetches the sessions that differ, whole. What it gets is merged, so
//! pulling twice, or too much, costs time and nothing else. What the other side lacks is for the
//! other side to pull.
//!
//! A node that has pulled from a member after the connection with it was opened holds all that
//! the member held then; what came later came over the connection. It has *verified* with it.
//!
//! | file | what it holds |
//! |---|---|
//! | `bulk` | everything of buckets in which there is nothing here |
//! | `compare` | digests against digests: what differs |
//! | `join` | who is pulled from, in which order, and when that is enough |
//! | `marks` | a set of buckets |
//! | `schedule` | when which pair compares what, from then on |
//!
//! The rules are in `docs/sync.md`.

mod bulk;
mod compare;
mod join;
mod marks;
mod schedule;

pub use bulk::{Bulk, GivenUp, Pace, Stretch};
pub use compare::{Comparison, Look, Summaries, Summary};
pub use join::{Join, Pull};
pub use marks::Marks;
pub use schedule::{Due, Schedule, Scope};
