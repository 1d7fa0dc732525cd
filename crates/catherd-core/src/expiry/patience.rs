//! Who asks whether a session is over, and how long after its limit.

use std::time::Duration;

use crate::key::Key;
use crate::membership::View;
use crate::placement::ranking;
use crate::version::Incarnation;

/// How long the nodes wait beyond a session's idle limit.
///
/// The members stand in a line: the owner, if it is in the view, then the others by their rank for
/// the key. Each asks a tolerance after the one before it, so that a session whose first in line
/// is gone, or has no copy, still ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// How often last accesses travel.
    pub batch: Duration,
    /// How much longer each next one waits: `expireTolerance`.
    pub tolerance: Duration,
}

impl Patience {
    /// How long after the limit this node asks, if the session is still here.
    ///
    /// The owner asks two batches after the limit, for touches may be under way. A session without
    /// owner was never committed: nobody else knows of it.
    pub fn wait(&self, key: &Key, owner: Option<Incarnation>, view: &View) -> Duration {
        let myself = view.myself.incarnation;
        let Some(owner) = owner.filter(|&owner| owner != myself) else {
            return 2 * self.batch;
        };
        let mut line = Vec::new();
        ranking(key, view, &mut line);
        let is_owner_here = line.contains(&owner);
        let others = line.iter().filter(|&&member| member != owner);
        let before = others.take_while(|&&member| member != myself).count();
        let place = before + 1 + usize::from(is_owner_here);
        self.step() * u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// How long each next one in the line waits more: the tolerance, and never so little that two
    /// ask at once.
    pub fn step(&self) -> Duration {
        self.tolerance.max(2 * self.batch)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::membership::Member;
    use crate::message::MemberState;

    pub(in super::super) const PATIENCE: Patience = Patience {
        batch: Duration::from_secs(1),
        tolerance: Duration::from_secs(10),
    };

    fn member(number: u64) -> Member {
        Member {
            incarnation: Incarnation::from_bits(number),
            name: format!("node{number}"),
            address: ([127, 0, 0, 1], 4000).into(),
            domain: "d".to_owned(),
            state: MemberState::Ready,
            is_suspect: false,
        }
    }

    /// What the first of `numbers` sees.
    pub(in super::super) fn view(numbers: &[u64]) -> View {
        View {
            myself: member(numbers[0]),
            members: numbers[1..].iter().map(|&other| member(other)).collect(),
        }
    }

    /// What each of `numbers` waits for, if all see each other.
    fn waits(numbers: &[u64], owner: u64, patience: Patience) -> Vec<u64> {
        let wait = |&myself: &u64| {
            let others = numbers.iter().copied().filter(|&other| other != myself);
            let view = view(&std::iter::once(myself).chain(others).collect::<Vec<_>>());
            let owner = Some(Incarnation::from_bits(owner));
            patience.wait(&Key::from_bits(7), owner, &view).as_secs()
        };
        numbers.iter().map(wait).collect()
    }

    #[test]
    fn the_owner_asks_two_batches_after_the_limit_and_the_others_much_later() {
        let mut waits = waits(&[1, 2, 3], 2, PATIENCE);
        assert_eq!(waits.remove(1), 2);
        waits.sort_unstable();
        assert_eq!(waits, [20, 30]);
    }

    #[test]
    fn without_the_owner_exactly_one_asks_after_the_tolerance() {
        let mut waits = waits(&[1, 2, 3], 9, PATIENCE);
        waits.sort_unstable();
        assert_eq!(waits, [10, 20, 30]);
    }

    #[test]
    fn without_a_tolerance_no_two_ask_in_one_batch() {
        let patience = Patience {
            tolerance: Duration::ZERO,
            ..PATIENCE
        };
        let mut waits = waits(&[1, 2, 3], 2, patience);
        waits.sort_unstable();
        assert_eq!(waits, [2, 4, 6]);
    }

    #[test]
    fn a_session_that_was_never_committed_is_its_makers() {
        let view = View {
            myself: member(1),
            members: vec![member(2)],
        };
        let wait = PATIENCE.wait(&Key::from_bits(7), None, &view);
        assert_eq!(wait, Duration::from_secs(2));
    }
}
