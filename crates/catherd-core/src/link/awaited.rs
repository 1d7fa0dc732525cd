//! Whom a writer waits for, and when what it wrote is confirmed.

use super::frame::{FrameClass, Outcome};
use crate::planted::{Bug, is_planted};

/// What has to be so of a frame before the answer leaves without a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Awaited {
    /// Nothing: a write in an asynchronous mode.
    Nothing,
    /// Another member has the write, and none that is waited for was silent.
    Copy,
    /// Every member knows of the end: a logout or a change of id, in every mode.
    Everyone,
}

impl Awaited {
    /// Of a frame of this class, in a synchronous or an asynchronous mode (HOW-TO, "Replication
    /// modes").
    pub fn of(class: FrameClass, is_synchronous: bool) -> Self {
        match (class, is_synchronous) {
            (FrameClass::Tombstone, _) => Self::Everyone,
            (FrameClass::Fragment, true) => Self::Copy,
            (FrameClass::Fragment, false) => Self::Nothing,
        }
    }

    /// Whether a member that got the frame has to acknowledge it.
    ///
    /// A joining member gets every fragment and is not waited for; but what it has got it may
    /// serve, if it is cut off now, and so it has to know of every end.
    pub fn waits_for(self, is_ready: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Copy => is_ready,
            Self::Everyone => true,
        }
    }

    /// Whether this outcome at a member keeps the frame from being confirmed.
    ///
    /// Of a write it counts that somebody else has it. Of an end it does not: who is cut off from
    /// this node may still serve the session. A member that does not have the context can serve
    /// nothing of it.
    pub fn is_missed(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Acknowledged | Outcome::Ended | Outcome::Twin | Outcome::Unheld => false,
            Outcome::Unacknowledged => true,
            Outcome::Gone => self == Self::Everyone && !is_planted(Bug::CountsTheGoneAsTold),
        }
    }

    /// Whether the frame is confirmed, by its outcome at each member that is waited for; `None`
    /// while one is open (`None`). Looks at all of them, so that a caller may note who waits.
    pub fn is_confirmed(self, outcomes: impl IntoIterator<Item = Option<Outcome>>) -> Option<bool> {
        let (mut has_copy, mut is_missed, mut is_open) = (false, false, false);
        for outcome in outcomes {
            match outcome {
                None => is_open = true,
                Some(outcome) => {
                    is_missed |= self.is_missed(outcome);
                    has_copy |= matches!(
                        outcome,
                        Outcome::Acknowledged | Outcome::Ended | Outcome::Twin
                    );
                }
            }
        }
        match self {
            Self::Nothing => Some(true),
            _ if is_open => None,
            Self::Copy => Some(has_copy && !is_missed),
            Self::Everyone => Some(!is_missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Awaited; 3] = [Awaited::Nothing, Awaited::Copy, Awaited::Everyone];

    #[test]
    fn a_write_is_confirmed_by_one_copy_if_nobody_was_silent() {
        let confirmed =
            |outcomes: &[Outcome]| Awaited::Copy.is_confirmed(outcomes.iter().copied().map(Some));
        assert_eq!(confirmed(&[Outcome::Acknowledged]), Some(true));
        assert_eq!(
            confirmed(&[Outcome::Acknowledged, Outcome::Gone]),
            Some(true)
        );
        assert_eq!(confirmed(&[Outcome::Ended, Outcome::Unheld]), Some(true));
        assert_eq!(
            confirmed(&[Outcome::Acknowledged, Outcome::Unacknowledged]),
            Some(false)
        );
        for nobody in [&[][..], &[Outcome::Gone], &[Outcome::Unheld]] {
            assert_eq!(
                confirmed(nobody),
                Some(false),
                "{nobody:?}: one copy is not two"
            );
        }
    }

    #[test]
    fn an_end_is_confirmed_when_nobody_can_serve_the_session() {
        let confirmed = |outcomes: &[Outcome]| {
            Awaited::Everyone.is_confirmed(outcomes.iter().copied().map(Some))
        };
        assert_eq!(confirmed(&[]), Some(true), "there is nobody");
        assert_eq!(
            confirmed(&[Outcome::Acknowledged, Outcome::Unheld]),
            Some(true)
        );
        for missed in [Outcome::Gone, Outcome::Unacknowledged] {
            assert_eq!(confirmed(&[Outcome::Acknowledged, missed]), Some(false));
        }
    }

    #[test]
    fn while_an_outcome_is_open_only_who_waits_for_nothing_goes_on() {
        for awaited in ALL {
            let mut looked_at = 0;
            let outcomes = [None, Some(Outcome::Acknowledged)];
            let confirmed = awaited.is_confirmed(outcomes.into_iter().inspect(|_| looked_at += 1));
            assert_eq!(confirmed, (awaited == Awaited::Nothing).then_some(true));
            assert_eq!(looked_at, 2);
        }
    }

    #[test]
    fn a_joining_member_is_waited_for_with_ends_alone() {
        assert_eq!(ALL.map(|it| it.waits_for(false)), [false, false, true]);
        assert_eq!(ALL.map(|it| it.waits_for(true)), [false, true, true]);
        let of = |class| [true, false].map(|is_synchronous| Awaited::of(class, is_synchronous));
        assert_eq!(of(FrameClass::Tombstone), [Awaited::Everyone; 2]);
        assert_eq!(of(FrameClass::Fragment), [Awaited::Copy, Awaited::Nothing]);
    }
}
