//! The receiving half of a link: what has been applied, and what is acknowledged.

use std::collections::BTreeMap;
use std::fmt;

use super::{Ack, ContextId};
use crate::key::Key;

/// How a frame went into the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// It is there.
    Complete,
    /// It is there, and something that belongs to it is not.
    Behind,
    /// The session had ended; it was dropped.
    Ended,
    /// There was another session under the key.
    Twin,
}

/// The frames of one connection that a member opened.
///
/// For each frame call [`receive`](Self::receive), apply it, and call [`applied`](Self::applied);
/// after a batch of them send what [`poll_ack`](Self::poll_ack) gives.
#[derive(Debug, Default)]
pub struct Inbox {
    received: u64,
    acknowledged: u64,
    behind: BTreeMap<u64, (ContextId, Key)>,
    ended: Vec<u64>,
    twins: Vec<u64>,
    changed: bool,
}

/// A member that numbers its frames wrongly, or leaves too many gaps: close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NumberError {
    /// Numbers go up one by one.
    OutOfOrder {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        received: u64,
    },
    /// More frames than [`Inbox::BEHIND_MAX`] wait for something that belongs to them.
    TooManyGaps,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder { expected, received } => {
                write!(f, "frame {received} came where frame {expected} had to")
            }
            Self::TooManyGaps => {
                write!(
                    f,
                    "more than {} frames wait for something missing",
                    Inbox::BEHIND_MAX
                )
            }
        }
    }
}

impl std::error::Error for NumberError {}

impl Inbox {
    /// At most this many frames may be behind.
    pub const BEHIND_MAX: usize = 4096;

    /// The inbox of a connection on which nothing has come.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame with this number has come.
    ///
    /// # Errors
    ///
    /// It is not the next one, or too many are behind. Do not apply it; close the connection.
    pub fn receive(&mut self, number: u64) -> Result<(), NumberError> {
        let expected = self.received + 1;
        if number != expected {
            return Err(NumberError::OutOfOrder {
                expected,
                received: number,
            });
        }
        if self.behind.len() >= Self::BEHIND_MAX {
            return Err(NumberError::TooManyGaps);
        }
        self.received = number;
        Ok(())
    }

    /// The frame is in the table and in the digests, or was dropped there.
    pub fn applied(&mut self, number: u64, context: ContextId, key: Key, applied: Applied) {
        debug_assert_eq!(
            number, self.received,
            "frames are applied one after another"
        );
        match applied {
            Applied::Complete => {}
            Applied::Behind => {
                self.behind.insert(number, (context, key));
            }
            Applied::Ended => self.ended.push(number),
            Applied::Twin => self.twins.push(number),
        }
        self.changed = true;
    }

    /// The session lacks nothing any more: its frames are no longer behind.
    pub fn gap_closed(&mut self, context: ContextId, key: Key) {
        let before = self.behind.len();
        self.behind.retain(|_, session| *session != (context, key));
        self.changed |= self.behind.len() != before;
    }

    /// The sessions of which something is missing; one that several frames wait for comes several
    /// times.
    pub fn behind(&self) -> impl Iterator<Item = (ContextId, Key)> + '_ {
        self.behind.values().copied()
    }

    /// What to acknowledge, if anything has changed since the last time.
    pub fn poll_ack(&mut self) -> Option<Ack> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.acknowledged = self.received;
        Some(Ack {
            up_to: self.received,
            behind: self.behind.keys().copied().collect(),
            ended: std::mem::take(&mut self.ended),
            twins: std::mem::take(&mut self.twins),
        })
    }
}
