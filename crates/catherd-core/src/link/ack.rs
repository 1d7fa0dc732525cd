//! The acknowledgement: cumulative, with exceptions.

use std::fmt;

/// No list of an acknowledgement is longer than this.
///
/// A peer that lacks earlier writes of so many sessions at once needs a sync, not that many
/// fetches.
pub const LISTED_MAX: usize = 4096;

/// Everything up to a number is in the receiver's table and digest, with exceptions.
///
/// Every list is sorted ascending, without repetition, and has at most [`LISTED_MAX`] numbers;
/// none is above `up_to` and none is in two lists.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ack {
    /// The number of the last frame that was applied; 0 for none.
    pub up_to: u64,
    /// Frames of sessions of which an earlier write is missing. Always the full list, so that
    /// absence means that the gap has closed.
    pub behind: Vec<u64>,
    /// Frames that met a tombstone. Each is listed once: when it is first covered, or when it is
    /// no longer behind.
    pub ended: Vec<u64>,
    /// Frames that met another session under their key, listed like `ended`.
    pub twins: Vec<u64>,
    /// Frames of contexts that the receiver does not have, listed like `ended`: dropped, and no copy.
    pub unheld: Vec<u64>,
}

/// An acknowledgement that cannot be true. The peer's fault: the connection must be closed.
///
/// Nothing has changed in the outbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AckError {
    /// It covers a frame that was never written.
    NeverSent {
        /// The number that it covers.
        up_to: u64,
        /// The last number that was written.
        last: u64,
    },
    /// It covers less than one before it.
    Backwards {
        /// The number that it covers.
        up_to: u64,
        /// What was covered before.
        before: u64,
    },
    /// A list is longer than [`LISTED_MAX`].
    TooLong {
        /// Its length.
        len: usize,
    },
    /// A list is not sorted, repeats a number, or names one above `up_to`.
    Disordered {
        /// The number at fault.
        number: u64,
    },
    /// A number is in two lists.
    Contradiction {
        /// The number.
        number: u64,
    },
    /// A list names a frame that was settled for good by an acknowledgement before.
    Revoked {
        /// The number of the frame.
        number: u64,
    },
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an acknowledgement ")?;
        match self {
            Self::NeverSent { up_to, last } => {
                write!(f, "of frame {up_to}, but the last one sent is {last}")
            }
            Self::Backwards { up_to, before } => {
                write!(f, "up to frame {up_to} after one up to {before}")
            }
            Self::TooLong { len } => write!(f, "with a list of {len}, more than {LISTED_MAX}"),
            Self::Disordered { number } => write!(f, "with frame {number} out of order"),
            Self::Contradiction { number } => write!(f, "with frame {number} in two lists"),
            Self::Revoked { number } => write!(f, "that takes back frame {number}"),
        }
    }
}

impl std::error::Error for AckError {}

impl Ack {
    /// Checks all that can be checked without knowing what was acknowledged before.
    pub(super) fn check_lists(&self) -> Result<(), AckError> {
        for list in self.lists() {
            if list.len() > LISTED_MAX {
                return Err(AckError::TooLong { len: list.len() });
            }
            let mut before = 0;
            for &number in list {
                if number <= before || number > self.up_to {
                    return Err(AckError::Disordered { number });
                }
                before = number;
            }
        }
        let twice = |list: &[u64], other: &[u64]| {
            list.iter()
                .copied()
                .find(|number| other.binary_search(number).is_ok())
        };
        let lists = self.lists();
        let pairs = (1..lists.len()).flat_map(|at| (0..at).map(move |before| (at, before)));
        let mut twice = pairs.filter_map(|(at, before)| twice(lists[at], lists[before]));
        match twice.next() {
            Some(number) => Err(AckError::Contradiction { number }),
            None => Ok(()),
        }
    }

    /// The numbers of all lists, list by list.
    pub(super) fn listed(&self) -> impl Iterator<Item = u64> + '_ {
        self.lists().into_iter().flatten().copied()
    }

    fn lists(&self) -> [&Vec<u64>; 4] {
        [&self.behind, &self.ended, &self.twins, &self.unheld]
    }
}
