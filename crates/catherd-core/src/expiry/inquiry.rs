//! What the answers of the members come to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::key::Key;
use crate::version::Incarnation;

/// One batch of sessions that every member is asked about.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// Of each session the youngest use that a member told of.
    asked: BTreeMap<Key, Option<Use>>,
    is_complete: bool,
}

/// A member uses the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Use {
    /// How long ago.
    pub age: Duration,
    /// Who said so.
    pub by: Incarnation,
}

/// What becomes of the sessions of a batch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// Somebody uses them: they are alive.
    pub alive: Vec<(Key, Use)>,
    /// Nobody uses them: they are over.
    pub over: Vec<Key>,
    /// Somebody did not answer: ask again later.
    pub unknown: Vec<Key>,
}

impl Inquiry {
    /// At most this many sessions are asked about in one message.
    pub const SESSIONS_MAX: usize = 4096;

    /// Nobody has answered yet.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        Self {
            asked: keys.into_iter().map(|key| (key, None)).collect(),
            is_complete: true,
        }
    }

    /// A member uses these. Sessions that it was not asked about are left out.
    pub fn handle_used(&mut self, by: Incarnation, ages: &[(Key, Duration)]) {
        for &(key, age) in ages {
            if let Some(youngest) = self.asked.get_mut(&key)
                && youngest.is_none_or(|known| age < known.age)
            {
                *youngest = Some(Use { age, by });
            }
        }
    }

    /// A member did not answer, or was not asked: it may use any of them.
    pub fn handle_unanswered(&mut self) {
        self.is_complete = false;
    }

    /// What the answers come to.
    pub fn verdict(self) -> Verdict {
        let mut verdict = Verdict::default();
        for (key, youngest) in self.asked {
            match youngest {
                Some(youngest) => verdict.alive.push((key, youngest)),
                None if self.is_complete => verdict.over.push(key),
                None => verdict.unknown.push(key),
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bits: u128) -> Key {
        Key::from_bits(bits)
    }

    fn member(bits: u64) -> Incarnation {
        Incarnation::from_bits(bits)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn used_by_nobody_is_over_and_used_by_one_is_alive_with_the_youngest_age() {
        let mut inquiry = Inquiry::new([key(1), key(2)]);
        inquiry.handle_used(member(7), &[(key(2), seconds(9))]);
        inquiry.handle_used(member(8), &[(key(2), seconds(3)), (key(99), seconds(1))]);
        inquiry.handle_used(member(9), &[(key(2), seconds(5))]);
        let youngest = Use {
            age: seconds(3),
            by: member(8),
        };
        let expected = Verdict {
            alive: vec![(key(2), youngest)],
            over: vec![key(1)],
            unknown: vec![],
        };
        assert_eq!(inquiry.verdict(), expected);
    }

    #[test]
    fn without_an_answer_nothing_is_over_and_what_is_used_is_alive() {
        let mut inquiry = Inquiry::new([key(1), key(2)]);
        inquiry.handle_used(member(7), &[(key(2), seconds(9))]);
        inquiry.handle_unanswered();
        let verdict = inquiry.verdict();
        assert_eq!((verdict.over, verdict.unknown), (vec![], vec![key(1)]));
        assert_eq!(verdict.alive[0].0, key(2));
    }

    #[test]
    fn who_is_alone_asks_nobody() {
        assert_eq!(Inquiry::new([key(1)]).verdict().over, [key(1)]);
    }
}
