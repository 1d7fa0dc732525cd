//! One link: a connection that a node opened to a member.
//!
//! Frames of fragments go out, numbered from 1 as they are written; acknowledgements come back.
//! The acknowledgement is the clock: nothing that is gathered meanwhile is written until it comes,
//! and then all of it is written at once. So one user gets the shortest path there is, and many
//! get one write and one acknowledgement for many requests, without a timer.
//!
//! | file | what it holds |
//! |---|---|
//! | `outbox` | the sending half: queue, bound, numbers, deadlines |
//! | `ledger` | what became of each frame, for those who wait |
//! | `inbox` | the receiving half: what has been applied, and what is acknowledged |
//!
//! The rules are in `docs/link.md`.

mod inbox;
mod ledger;
mod outbox;

use bytes::Bytes;

pub use inbox::{Applied, Inbox, NumberError};
pub use ledger::{Outcome, Ticket};
pub use outbox::{
    AckError, Confirm, Joining, Outbox, OutboxConfig, OutboxEffect, OutboxSnapshot, ToEncode,
};

use crate::key::Key;

/// Which of a node's contexts; a number of that node alone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContextId(pub u32);

/// What one commit made, encoded once for every link that it goes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// The context.
    pub context: ContextId,
    /// The session; of a change of id, the new one.
    pub key: Key,
    /// The encoded fragments, without the head of the frame.
    pub payload: Bytes,
    /// What this node had written to the session before; `None` for a whole session.
    pub since: Option<u64>,
    /// What it is, and so how it may be treated.
    pub class: FrameClass,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameClass {
    /// A write: may be joined with others, and shed.
    Fragment,
    /// The end of a session, or of its key: goes ahead of writes, is never shed, and is waited for
    /// until it is applied, in every mode.
    Tombstone,
}

/// What has been applied of the frames of a connection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ack {
    /// Everything up to this number is in the table and in the digests, but those behind.
    pub up_to: u64,
    /// Those whose session lacks a write that is being fetched: always all of them, so that one
    /// which is no longer listed has been completed.
    pub behind: Vec<u64>,
    /// Those that met a tombstone, since the last acknowledgement.
    pub ended: Vec<u64>,
    /// Those that met another session under their key, since the last acknowledgement.
    pub twins: Vec<u64>,
}
