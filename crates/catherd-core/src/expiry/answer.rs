//! What a member that is asked says of its copy.

use std::time::Duration;

use crate::session::State;
use crate::time::Time;

/// A copy that somebody asks about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    /// How long ago it was accessed, as far as is known here.
    pub age: Duration,
    /// How long it may be idle; `None`: for ever.
    pub limit: Option<Duration>,
    /// Whether a request is in it: then it is not idle.
    pub has_request: bool,
    /// Whether this node asks about it as well, and goes before whoever asks here.
    pub asks_first: bool,
}

impl Held {
    /// What is known of a copy at `now`.
    pub fn of(state: &State, now: Time, has_request: bool, asks_first: bool) -> Self {
        Self {
            age: now.since(state.last_access()),
            limit: state.idle_limit(),
            has_request,
            asks_first,
        }
    }

    /// The age that keeps the session alive; `None` if for all that is known here nobody uses it.
    ///
    /// The asker tells the age that it knows. The younger of the two counts, and it is held against
    /// the limit that is known here: whoever asks may have missed a longer one. So a copy that was
    /// used a moment more recently, and is idle too, keeps nothing alive: a touch looks younger
    /// here by the time that it took to come.
    pub fn answer(&self, asked: Duration) -> Option<Duration> {
        if self.has_request {
            return Some(Duration::ZERO);
        }
        let age = self.age.min(asked);
        let is_alive = self.limit.is_none_or(|limit| age < limit);
        (is_alive || self.asks_first).then_some(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Held = Held {
        age: Duration::from_secs(61),
        limit: Some(Duration::from_secs(60)),
        has_request: false,
        asks_first: false,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_copy_that_was_used_more_recently_is_alive_with_the_younger_age() {
        let used = Held {
            age: seconds(12),
            ..IDLE
        };
        assert_eq!(used.answer(seconds(62)), Some(seconds(12)));
    }

    #[test]
    fn a_copy_that_is_idle_here_too_is_not_alive_for_being_a_little_younger() {
        assert_eq!(IDLE.answer(seconds(62)), None);
    }

    #[test]
    fn a_session_with_a_request_in_it_is_not_idle() {
        let used = Held {
            has_request: true,
            ..IDLE
        };
        assert_eq!(used.answer(seconds(62)), Some(Duration::ZERO));
    }

    #[test]
    fn a_longer_limit_that_the_asker_missed_keeps_the_session_alive() {
        let longer = Held {
            limit: Some(seconds(600)),
            ..IDLE
        };
        assert_eq!(longer.answer(seconds(62)), Some(seconds(61)));
        let endless = Held {
            limit: None,
            ..IDLE
        };
        assert_eq!(endless.answer(seconds(62)), Some(seconds(61)));
    }

    #[test]
    fn what_the_asker_knows_counts_here_too() {
        let longer = Held {
            age: seconds(900),
            limit: Some(seconds(600)),
            ..IDLE
        };
        assert_eq!(longer.answer(seconds(62)), Some(seconds(62)));
    }

    #[test]
    fn of_two_that_ask_at_once_one_stands_back() {
        let first = Held {
            asks_first: true,
            ..IDLE
        };
        assert_eq!(first.answer(seconds(62)), Some(seconds(61)));
    }
}
