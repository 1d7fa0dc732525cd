//! One link: a connection that a node opened to a member.
//!
//! Frames of fragments and control frames go out, acknowledgements and control frames come back.
//! The [`Outbox`] is the sending half, the [`Inbox`] the receiving one. Neither has a socket, a
//! clock, a task or a waker: bytes, the time and acknowledgements go in; bytes to write, outcomes
//! and effects come out.
//!
//! The acknowledgement is the clock ("group commit"): a frame is written at once if nothing is
//! unacknowledged, otherwise with all that gathers until the next acknowledgement. So one user
//! gets the shortest path, and many share one write, one read and one acknowledgement.
//!
//! HOW-TO, "Replication modes" names what a request waits for; `docs/link.md` has the
//! algorithm and its invariant.

mod ack;
mod awaited;
mod frame;
mod inbox;
mod outbox;
#[cfg(test)]
mod properties;

pub use ack::{Ack, AckError, LISTED_MAX};
pub use awaited::Awaited;
pub use frame::{ContextId, Frame, FrameClass, Outcome, Ticket};
pub use inbox::{Applied, Inbox, InboxSnapshot, NumberError};
pub use outbox::{
    Confirm, ControlFull, Counters, ENTRY_BYTES, Joining, Outbox, OutboxConfig, OutboxEffect,
    OutboxSnapshot, ToEncode, UNACKNOWLEDGED_MAX, WRITE_BYTES_MAX,
};
