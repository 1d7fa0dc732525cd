//! What a node does with an entry when it looks at it.

use std::time::Duration;

use super::Patience;
use crate::key::Key;
use crate::membership::View;
use crate::planted::{Bug, is_planted};
use crate::session::{Entry, State};
use crate::time::Time;

/// What becomes of an entry that was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Nothing yet: look again at this time.
    Again(Time),
    /// Nothing, by itself.
    Never,
    /// It is forgotten: a tombstone past its life, or a copy that was kept for a missing member for
    /// as long as one lives.
    Forget,
    /// It is idle, and nobody else can know of it: it has expired.
    Expire,
    /// It is idle, and this node is the one to ask whether anybody uses it.
    Ask,
    /// It is as old as a session may become, and this node is the one to end it: for good, with a
    /// tombstone. Nobody is asked, for by now it is served nowhere.
    End,
}

/// What a node knows of a session besides its copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Beside {
    /// A request is in it: then it is not idle, and has been touched.
    pub has_request: bool,
    /// It has ended here, and stays unserved for a missing member.
    pub is_kept: bool,
    /// The members are being asked about it.
    pub is_asked_about: bool,
    /// Another node may know of it.
    pub is_shared: bool,
    /// When it is as old as one may become, if there is such an age.
    pub lifetime_end: Option<Time>,
    /// How long its tombstone would live.
    pub tombstone_life: Duration,
}

impl Patience {
    /// What becomes of an entry now. `is_any_missing`: a member was declared gone, and what it
    /// holds may come back.
    pub fn turn(
        &self,
        (key, entry): (&Key, &Entry),
        now: Time,
        beside: &Beside,
        (view, is_any_missing): (&View, bool),
    ) -> Turn {
        if entry.is_over(now) {
            return Turn::Forget;
        }
        let Some(state) = entry.live() else {
            return entry.next_look(now).map_or(Turn::Never, Turn::Again);
        };
        let owner = state.highest().map(|version| version.writer);
        let wait = || self.wait(key, owner, view);
        match beside.lifetime_end {
            Some(end) if end <= now && end + wait() <= now => Turn::End,
            Some(end) if end <= now => self.soon(end + wait(), now),
            Some(end) => self
                .idle_turn(state, now, beside, wait, is_any_missing)
                .by(end),
            None => self.idle_turn(state, now, beside, wait, is_any_missing),
        }
    }

    fn idle_turn(
        &self,
        state: &State,
        now: Time,
        beside: &Beside,
        wait: impl FnOnce() -> Duration,
        is_any_missing: bool,
    ) -> Turn {
        let Some(limit) = state.idle_limit() else {
            return Turn::Never;
        };
        let idle_at = state.last_access() + limit;
        if beside.has_request || idle_at > now {
            return Turn::Again(idle_at.max(now + self.batch));
        }
        if beside.is_kept && is_any_missing {
            return if now >= idle_at + beside.tombstone_life {
                Turn::Forget
            } else {
                Turn::Again(now + self.step())
            };
        }
        let decide_at = idle_at + wait();
        if decide_at > now || beside.is_asked_about {
            return self.soon(decide_at, now);
        }
        if beside.is_shared && !is_planted(Bug::ExpiresWithoutAsking) {
            Turn::Ask
        } else {
            Turn::Expire
        }
    }

    /// Whose turn it is changes with the view: not so much later that it would go unnoticed.
    fn soon(&self, at: Time, now: Time) -> Turn {
        Turn::Again(at.max(now + self.batch).min(now + 2 * self.batch))
    }
}

impl Turn {
    /// The same, with a look at `end` at the latest.
    fn by(self, end: Time) -> Self {
        match self {
            Self::Again(at) => Self::Again(at.min(end)),
            Self::Never => Self::Again(end),
            Self::Forget | Self::Expire | Self::Ask | Self::End => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::patience::tests::{PATIENCE, view};
    use super::*;
    use crate::session::{Birth, Property};
    use crate::version::Incarnation;

    const LIMIT: Duration = Duration::from_secs(60);
    const LIFE: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Time {
        Time::since_start(Duration::from_secs(seconds))
    }

    /// Used at 0, by whom nobody knows: its owner is this node.
    fn session(limit: Option<Duration>) -> Entry {
        let birth = Birth {
            incarnation: Incarnation::from_bits(1),
            serial: 0,
        };
        let mut state = State::new(birth, at(0));
        let millis = limit.map_or(-1, |limit| i64::try_from(limit.as_millis()).unwrap());
        state.set_property(Property::MaxInactive, millis);
        Entry::Live(state)
    }

    fn shared() -> Beside {
        Beside {
            has_request: false,
            is_kept: false,
            is_asked_about: false,
            is_shared: true,
            lifetime_end: None,
            tombstone_life: LIFE,
        }
    }

    fn turn(entry: &Entry, now: Time, beside: Beside, is_any_missing: bool) -> Turn {
        let (key, view) = (Key::from_bits(7), view(&[1, 2]));
        PATIENCE.turn((&key, entry), now, &beside, (&view, is_any_missing))
    }

    #[test]
    fn an_idle_session_is_asked_about_two_batches_after_its_limit() {
        let entry = session(Some(LIMIT));
        assert_eq!(turn(&entry, at(10), shared(), false), Turn::Again(at(60)));
        assert_eq!(turn(&entry, at(60), shared(), false), Turn::Again(at(62)));
        assert_eq!(turn(&entry, at(62), shared(), false), Turn::Ask);
        let asked = Beside {
            is_asked_about: true,
            ..shared()
        };
        assert_eq!(turn(&entry, at(62), asked, false), Turn::Again(at(63)));
        let alone = Beside {
            is_shared: false,
            ..shared()
        };
        assert_eq!(turn(&entry, at(62), alone, false), Turn::Expire);
        let busy = Beside {
            has_request: true,
            ..shared()
        };
        assert_eq!(turn(&entry, at(62), busy, false), Turn::Again(at(63)));
    }

    #[test]
    fn a_session_without_limit_is_left_alone() {
        assert_eq!(
            turn(&session(None), at(1_000_000), shared(), false),
            Turn::Never
        );
    }

    #[test]
    fn a_copy_that_is_kept_stays_while_somebody_is_missing_and_as_long_as_a_tombstone() {
        let entry = session(Some(LIMIT));
        let kept = Beside {
            is_kept: true,
            ..shared()
        };
        assert_eq!(turn(&entry, at(100), kept, true), Turn::Again(at(110)));
        assert_eq!(turn(&entry, at(60 + 3600), kept, true), Turn::Forget);
        assert_eq!(
            turn(&entry, at(100), kept, false),
            Turn::Ask,
            "nobody is missing"
        );
    }

    #[test]
    fn past_its_lifetime_a_session_ends_though_it_is_used() {
        let old = Beside {
            has_request: true,
            lifetime_end: Some(at(30)),
            ..shared()
        };
        for limit in [Some(LIMIT), None] {
            let entry = session(limit);
            assert_eq!(
                turn(&entry, at(10), old, false),
                Turn::Again(at(30)),
                "{limit:?}"
            );
            assert_eq!(turn(&entry, at(30), old, false), Turn::Again(at(32)));
            assert_eq!(turn(&entry, at(32), old, false), Turn::End);
        }
    }

    #[test]
    fn a_tombstone_is_forgotten_after_its_life() {
        let mut entry = Some(session(Some(LIMIT)));
        let tombstone = crate::session::Tombstone {
            age: Duration::ZERO,
            life: LIFE,
            generation: 0,
        };
        let fragment = crate::session::Fragment {
            key: Key::from_bits(7),
            content: crate::session::Content::Tombstone(tombstone),
        };
        Entry::merge(
            &mut entry,
            at(0),
            &fragment,
            &crate::session::Rules::default(),
        );
        let entry = entry.expect("it has ended");
        assert!(matches!(
            turn(&entry, at(1), shared(), false),
            Turn::Again(_)
        ));
        assert_eq!(turn(&entry, at(3600), shared(), false), Turn::Forget);
    }
}
