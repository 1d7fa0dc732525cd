//! What is pushed into an outbox, and what becomes of it.

use std::fmt;

use bytes::Bytes;

use crate::key::Key;

/// Which of the node's contexts; local to a node, never on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContextId(pub u32);

/// A frame of fragments on its way to a member: what one commit made.
#[derive(Clone, Eq, PartialEq)]
pub struct Frame {
    /// The context of the session.
    pub context: ContextId,
    /// The session. Of a change of id, the key that is to be repaired if the frame is lost.
    pub key: Key,
    /// The encoded fragments, without the frame's head, which belongs to the connection.
    pub payload: Bytes,
    /// The writer's revision before the fragment; `None` for a whole session.
    pub since: Option<u64>,
    /// How the frame is treated in the queue.
    pub class: FrameClass,
}

/// How a frame is treated in the queue.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FrameClass {
    /// A write: keeps its place, may shrink, be joined or be dropped with a mark.
    Fragment,
    /// A logout or a change of id: goes ahead of the fragments, is never dropped, and is settled
    /// in every mode only when it is applied.
    Tombstone,
}

/// The length of the payload in place of it: debug output ends in logs.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("context", &self.context)
            .field("key", &self.key)
            .field("payload_len", &self.payload.len())
            .field("since", &self.since)
            .field("class", &self.class)
            .finish()
    }
}

/// Names a frame of one outbox, in the order in which the frames were pushed.
///
/// A push that joins a queued frame gets that frame's ticket, since the two are settled together.
/// The default names no frame.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub(super) u64);

/// What has become of a frame. Whoever waits for the frame waits no longer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// As it was asked to be: applied by the peer, or with
    /// [`Confirm::Written`](super::Confirm::Written) handed to the operating system.
    Acknowledged,
    /// The peer holds a tombstone under this key and dropped the frame.
    Ended,
    /// The peer held another session under this key: there, the key has ended.
    Twin,
    /// The peer does not have the context and dropped the frame: there is no copy there, and none to
    /// wait for.
    Unheld,
    /// Not known to be at the peer: no acknowledgement in time, a suspect peer, or dropped. It may
    /// become one of the others when a late acknowledgement comes.
    Unacknowledged,
    /// The link was closed first.
    Gone,
}
