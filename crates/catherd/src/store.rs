//! Where sessions are kept beyond the memory of the cluster.

use std::fmt::{self, Debug};
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use catherd_core::key::Key;

/// Keeps whole sessions in files, or in a database.
///
/// A record is a whole fragment: what is read back is merged, so an old record loses to any newer
/// copy and to any tombstone. A store never has to decide which of two is newer, but it must not
/// lose one: a record is saved only over the generation that its writer had read.
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads one session.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or the record is damaged.
    fn load(
        &self,
        context: &str,
        key: &Key,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Writes sessions, each on its own: one that conflicts hinders no other.
    ///
    /// # Errors
    ///
    /// The store cannot be reached; nothing is known of any of the batch.
    fn save(
        &self,
        context: &str,
        batch: &[Record],
    ) -> impl Future<Output = Result<Vec<Saved>, StoreError>> + Send;

    /// Reads sessions in the order of their keys, those behind `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn scan(
        &self,
        context: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// Removes sessions that have been idle for longer than `idle` beyond their own limit; says
    /// how many.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    fn purge(
        &self,
        context: &str,
        idle: Duration,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A session as a store keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The session.
    pub key: Key,
    /// Counts the writes of this record; the next is accepted only by whoever has read it. 0 for
    /// a record that is not stored yet.
    pub generation: u64,
    /// A frame's payload with one whole fragment, or one tombstone.
    pub payload: Bytes,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Saved {
    /// It is stored.
    Stored,
    /// Another writer came first: load, merge, save again.
    Conflict,
}

/// A store that did not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached at present; the same call may work later.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// A record does not decode; others are not concerned.
    Damaged {
        /// Where it is: a file, or a table.
        place: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("the session store cannot be reached"),
            Self::Damaged { place } => write!(f, "a session record in {place} is damaged"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(source) => Some(&**source),
            Self::Damaged { .. } => None,
        }
    }
}
