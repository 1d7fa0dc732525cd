//! The receiving half: frames that a member sends over a connection that it opened.

use std::collections::BTreeMap;
use std::fmt;

use super::ack::{Ack, LISTED_MAX};
use super::frame::ContextId;
use crate::key::Key;
use crate::planted::{Bug, is_planted};
use crate::session::Outcome;

/// Counts the frames of one connection and says what to acknowledge.
///
/// For each frame: [`receive`](Self::receive), merge it into the table, [`applied`](Self::applied).
/// When nothing more can be read, write every acknowledgement that [`poll_ack`](Self::poll_ack)
/// gives: usually one for all that was read. Whoever closes a gap calls
/// [`gap_closed`](Self::gap_closed) and polls again.
#[derive(Debug, Default)]
pub struct Inbox {
    received: u64,
    applied: u64,
    acknowledged: u64,
    /// Frames that were applied to a copy that is behind, by session: at most [`LISTED_MAX`].
    behind: BTreeMap<(ContextId, Key), Vec<u64>>,
    behind_frames: usize,
    /// The list of those that are behind differs from the one last acknowledged.
    is_behind_changed: bool,
    /// Tombstones, twins and missing contexts that were met and not yet told, by number.
    met: BTreeMap<u64, Met>,
}

/// How a frame was applied.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Applied {
    /// The copy is complete: it has this write and every earlier one.
    Complete,
    /// The copy lacks an earlier write.
    Behind,
    /// There is a tombstone under this key; the frame was dropped.
    Ended,
    /// There was another session under this key; the key has ended.
    Twin,
    /// There is no such context here; the frame was dropped.
    Unheld,
}

impl Applied {
    /// How a frame was applied, and at which key, by what became of each of its fragments: it is as
    /// complete as the least complete of them. In a change of id that is the new session, for a
    /// tombstone always goes in. `None` without a fragment.
    pub fn of_frame(fragments: impl IntoIterator<Item = (Key, Outcome)>) -> Option<(Key, Self)> {
        let applied = |(key, outcome)| {
            let applied = match outcome {
                Outcome::Complete | Outcome::Idle => Self::Complete,
                Outcome::Behind if is_planted(Bug::AcknowledgesOverGaps) => Self::Complete,
                Outcome::Behind => Self::Behind,
                Outcome::Ended => Self::Ended,
                Outcome::Twin => Self::Twin,
            };
            (key, applied)
        };
        let all = fragments.into_iter().map(applied);
        all.max_by_key(|(_, applied)| match applied {
            Self::Complete => 0,
            Self::Unheld => 1,
            Self::Ended => 2,
            Self::Twin => 3,
            Self::Behind => 4,
        })
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Met {
    Tombstone,
    Twin,
    Nothing,
}

/// A frame that must not come. The peer's fault, or its misfortune: the connection must be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NumberError {
    /// Numbers come one after another, from 1.
    NotNext {
        /// The number of the frame.
        number: u64,
        /// The number that had to come.
        expected: u64,
    },
    /// [`LISTED_MAX`] frames are behind already.
    ///
    /// A new connection begins with a sync, which closes all gaps at once. To go on without
    /// acknowledging would cost the sender a time-out for each frame, and here the memory to
    /// remember them.
    TooManyBehind,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNext { number, expected } => {
                write!(f, "frame {number} came in place of frame {expected}")
            }
            Self::TooManyBehind => {
                write!(
                    f,
                    "earlier writes are missing for {LISTED_MAX} frames: a sync is needed"
                )
            }
        }
    }
}

impl std::error::Error for NumberError {}

impl Inbox {
    /// Nothing has come yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame of fragments with this number came; it is to be applied now.
    ///
    /// # Errors
    ///
    /// It must not be applied, and the connection must be closed.
    ///
    /// # Panics
    ///
    /// If the frame before was not [`applied`](Self::applied).
    pub fn receive(&mut self, number: u64) -> Result<(), NumberError> {
        assert_eq!(
            self.received, self.applied,
            "frames are applied one after another"
        );
        let expected = self.received + 1;
        if number != expected {
            return Err(NumberError::NotNext { number, expected });
        }
        if self.behind_frames >= LISTED_MAX {
            return Err(NumberError::TooManyBehind);
        }
        self.received = number;
        Ok(())
    }

    /// The received frame is in the table and in the digest, or was dropped for good.
    ///
    /// Of a frame with several fragments, the least complete result counts. Any result but
    /// [`Applied::Behind`] also ends what was behind for the same session.
    ///
    /// # Panics
    ///
    /// If it is not the frame that was received last.
    pub fn applied(&mut self, number: u64, context: ContextId, key: Key, applied: Applied) {
        assert_eq!(
            number, self.received,
            "only what was received can be applied"
        );
        assert_eq!(number, self.applied + 1, "a frame is applied once");
        self.applied = number;
        let met = match applied {
            Applied::Behind => {
                self.behind.entry((context, key)).or_default().push(number);
                self.behind_frames += 1;
                self.is_behind_changed = true;
                return;
            }
            Applied::Complete => None,
            Applied::Ended => Some(Met::Tombstone),
            Applied::Twin => Some(Met::Twin),
            Applied::Unheld => Some(Met::Nothing),
        };
        let numbers = self.no_longer_behind(context, key);
        if let Some(met) = met {
            self.met.extend(
                numbers
                    .into_iter()
                    .chain([number])
                    .map(|number| (number, met)),
            );
        }
    }

    /// The copy is complete now: none of its frames is behind.
    ///
    /// Calling this for a session that was not behind is harmless.
    pub fn gap_closed(&mut self, context: ContextId, key: Key) {
        self.no_longer_behind(context, key);
    }

    fn no_longer_behind(&mut self, context: ContextId, key: Key) -> Vec<u64> {
        let numbers = self.behind.remove(&(context, key)).unwrap_or_default();
        self.behind_frames -= numbers.len();
        self.is_behind_changed |= !numbers.is_empty();
        numbers
    }

    /// What is to be acknowledged, if that has changed; call it until `None`.
    ///
    /// One acknowledgement covers everything, unless more than [`LISTED_MAX`] frames met a
    /// tombstone since the last.
    pub fn poll_ack(&mut self) -> Option<Ack> {
        if self.acknowledged == self.applied && !self.is_behind_changed && self.met.is_empty() {
            return None;
        }
        // What is left out lies above the last acknowledgement: at most so many were behind then.
        let left_out = self.met.keys().nth(LISTED_MAX);
        let up_to = left_out.map_or(self.applied, |first| first - 1);
        debug_assert!(
            up_to >= self.acknowledged,
            "acknowledgements never go backwards"
        );
        let covered = |&number: &u64| number <= up_to;
        let mut behind: Vec<u64> = self
            .behind
            .values()
            .flatten()
            .copied()
            .filter(covered)
            .collect();
        behind.sort_unstable();
        let mut ack = Ack {
            up_to,
            behind,
            ..Ack::default()
        };
        while let Some(first) = self.met.first_entry().filter(|met| covered(met.key())) {
            match first.remove_entry() {
                (number, Met::Tombstone) => ack.ended.push(number),
                (number, Met::Twin) => ack.twins.push(number),
                (number, Met::Nothing) => ack.unheld.push(number),
            }
        }
        self.acknowledged = up_to;
        self.is_behind_changed = false;
        Some(ack)
    }

    /// The sessions that lack an earlier write, sorted.
    pub fn behind(&self) -> impl Iterator<Item = (ContextId, Key)> + '_ {
        self.behind.keys().copied()
    }

    /// The state in figures.
    pub fn snapshot(&self) -> InboxSnapshot {
        InboxSnapshot {
            applied_frames: self.applied,
            acknowledged_frames: self.acknowledged,
            behind_frames: self.behind_frames,
            behind_sessions: self.behind.len(),
        }
    }
}

/// An inbox in figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InboxSnapshot {
    /// Frames that were applied.
    pub applied_frames: u64,
    /// Of these, the number up to which an acknowledgement was given out.
    pub acknowledged_frames: u64,
    /// Frames whose session lacks an earlier write.
    pub behind_frames: usize,
    /// The sessions of these frames.
    pub behind_sessions: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: ContextId = ContextId(0);

    fn key(bits: u128) -> Key {
        Key::from_bits(bits)
    }

    fn take(inbox: &mut Inbox, number: u64, bits: u128, applied: Applied) {
        inbox.receive(number).unwrap();
        inbox.applied(number, CONTEXT, key(bits), applied);
    }

    fn up_to(up_to: u64) -> Ack {
        Ack {
            up_to,
            ..Ack::default()
        }
    }

    #[test]
    fn one_acknowledgement_covers_all_that_was_applied() {
        let mut inbox = Inbox::new();
        assert_eq!(inbox.poll_ack(), None);
        for number in 1..=3 {
            take(&mut inbox, number, number.into(), Applied::Complete);
        }
        assert_eq!(inbox.poll_ack(), Some(up_to(3)));
        assert_eq!(inbox.poll_ack(), None);
    }

    #[test]
    fn numbers_come_one_after_another_from_one() {
        let mut inbox = Inbox::new();
        for number in [0, 2, u64::MAX] {
            let error = NumberError::NotNext {
                number,
                expected: 1,
            };
            assert_eq!(inbox.receive(number), Err(error));
        }
        take(&mut inbox, 1, 1, Applied::Complete);
        let error = NumberError::NotNext {
            number: 1,
            expected: 2,
        };
        assert_eq!(inbox.receive(1), Err(error));
        assert_eq!(error.to_string(), "frame 1 came in place of frame 2");
    }

    #[test]
    fn every_acknowledgement_lists_all_that_is_behind() {
        let mut inbox = Inbox::new();
        take(&mut inbox, 1, 7, Applied::Behind);
        take(&mut inbox, 2, 3, Applied::Behind);
        take(&mut inbox, 3, 7, Applied::Behind);
        assert_eq!(
            inbox.poll_ack(),
            Some(Ack {
                behind: vec![1, 2, 3],
                ..up_to(3)
            })
        );
        take(&mut inbox, 4, 9, Applied::Complete);
        assert_eq!(
            inbox.poll_ack(),
            Some(Ack {
                behind: vec![1, 2, 3],
                ..up_to(4)
            })
        );
        assert_eq!(
            inbox.behind().collect::<Vec<_>>(),
            [(CONTEXT, key(3)), (CONTEXT, key(7))]
        );
        inbox.gap_closed(CONTEXT, key(7));
        assert_eq!(
            inbox.poll_ack(),
            Some(Ack {
                behind: vec![2],
                ..up_to(4)
            })
        );
        inbox.gap_closed(CONTEXT, key(7));
        assert_eq!(inbox.poll_ack(), None, "nothing has changed");
    }

    #[test]
    fn a_frame_that_completes_the_copy_closes_the_gap() {
        let mut inbox = Inbox::new();
        take(&mut inbox, 1, 7, Applied::Behind);
        take(&mut inbox, 2, 7, Applied::Complete);
        assert_eq!(inbox.poll_ack(), Some(up_to(2)));
        assert_eq!(inbox.behind().count(), 0);
    }

    #[test]
    fn what_was_behind_ends_with_its_session() {
        let mut inbox = Inbox::new();
        take(&mut inbox, 1, 7, Applied::Behind);
        assert_eq!(
            inbox.poll_ack(),
            Some(Ack {
                behind: vec![1],
                ..up_to(1)
            })
        );
        take(&mut inbox, 2, 7, Applied::Ended);
        take(&mut inbox, 3, 8, Applied::Twin);
        let ack = Ack {
            ended: vec![1, 2],
            twins: vec![3],
            ..up_to(3)
        };
        assert_eq!(inbox.poll_ack(), Some(ack));
        take(&mut inbox, 4, 9, Applied::Complete);
        assert_eq!(inbox.poll_ack(), Some(up_to(4)), "each is told once");
    }

    #[test]
    fn a_frame_for_a_context_that_is_not_here_is_told_once_and_is_no_copy() {
        let mut inbox = Inbox::new();
        take(&mut inbox, 1, 7, Applied::Complete);
        take(&mut inbox, 2, 8, Applied::Unheld);
        let ack = Ack {
            unheld: vec![2],
            ..up_to(2)
        };
        assert_eq!(inbox.poll_ack(), Some(ack));
        take(&mut inbox, 3, 7, Applied::Complete);
        assert_eq!(inbox.poll_ack(), Some(up_to(3)));
    }

    #[test]
    fn an_acknowledgement_of_many_ends_comes_in_parts() {
        let mut inbox = Inbox::new();
        let max = LISTED_MAX as u64;
        take(&mut inbox, 1, 1, Applied::Behind);
        assert_eq!(
            inbox.poll_ack(),
            Some(Ack {
                behind: vec![1],
                ..up_to(1)
            })
        );
        take(&mut inbox, 2, 1, Applied::Ended);
        for number in 3..=max + 2 {
            take(&mut inbox, number, number.into(), Applied::Ended);
        }
        let ack = inbox.poll_ack().unwrap();
        assert_eq!((ack.up_to, ack.ended.len()), (max, LISTED_MAX));
        assert_eq!(
            inbox.poll_ack(),
            Some(Ack {
                ended: vec![max + 1, max + 2],
                ..up_to(max + 2)
            })
        );
        assert_eq!(inbox.poll_ack(), None);
    }

    #[test]
    fn too_many_gaps_end_the_connection() {
        let mut inbox = Inbox::new();
        let max = LISTED_MAX as u64;
        for number in 1..=max {
            take(&mut inbox, number, number.into(), Applied::Behind);
        }
        assert_eq!(inbox.receive(max + 1), Err(NumberError::TooManyBehind));
        inbox.gap_closed(CONTEXT, key(5));
        assert_eq!(inbox.receive(max + 1), Ok(()));
        assert_eq!(inbox.poll_ack().unwrap().behind.len(), LISTED_MAX - 1);
    }

    #[test]
    #[should_panic(expected = "one after another")]
    fn a_frame_is_applied_before_the_next_is_received() {
        let mut inbox = Inbox::new();
        inbox.receive(1).unwrap();
        let _ = inbox.receive(2);
    }
}
