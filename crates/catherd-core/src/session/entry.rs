//! What the table holds under a key: a session, or its tombstone.

use std::time::Duration;

use super::commit::{Extent, Writer};
use super::digest::DigestKey;
use super::fragment::{Birth, Content, Fragment, Tombstone, Write};
use super::merge::{Merged, Outcome};
use super::state::{Property, Rules, State, idle_limit};
use crate::key::Key;
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::{Dot, Incarnation, Vector, Version};

/// What the table holds under a key.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A live session.
    Live(State),
    /// A session that has ended, at `at` by this node's clock, remembered for `life`; or, with a
    /// generation, all sessions of a user that are of a lower one.
    Ended {
        /// When.
        at: Time,
        /// How long the end is remembered.
        life: Duration,
        /// 0 for the end of a session; of a user's sessions, how often they were ended.
        generation: u64,
    },
}

/// A change of id: two fragments that travel in one frame, the new session first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed {
    /// The session under its new key, whole.
    pub new: Fragment,
    /// The end of the old key; `None` if nobody else ever heard of it.
    pub old: Option<Fragment>,
}

/// The answer to "give me this session; I hold these writes".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetched {
    /// The asker holds all that is here.
    Same,
    /// What is here.
    Fragment(Fragment),
    /// Nothing is known of the key.
    Unknown,
}

/// The same, where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sought<'a> {
    Same,
    Ended(Tombstone),
    Live(&'a State),
    Unknown,
}

impl Entry {
    /// The one way in for what comes from outside: a member, a store.
    pub fn merge(here: &mut Option<Self>, now: Time, fragment: &Fragment, rules: &Rules) -> Merged {
        match &fragment.content {
            Content::Tombstone(tombstone) => Self::merge_tombstone(here, now, *tombstone),
            Content::Write(write) => Self::merge_write(here, now, write, rules),
        }
    }

    /// Ends the session at this node; the tombstone must go to every member. `None`, and no
    /// tombstone here, if there is no live session or nobody else ever heard of it.
    pub fn end(here: &mut Option<Self>, key: Key, now: Time, life: Duration) -> Option<Fragment> {
        let Some(Self::Live(state)) = here else {
            return None;
        };
        if !state.is_committed() {
            *here = None;
            return None;
        }
        *here = Some(Self::Ended {
            at: now,
            life,
            generation: 0,
        });
        let tombstone = Tombstone {
            age: Duration::ZERO,
            life,
            generation: 0,
        };
        Some(Fragment {
            key,
            content: Content::Tombstone(tombstone),
        })
    }

    /// Ends all sessions of the user under whose key `here` is: raises the generation above the
    /// one here and above `highest`, that of the user's sessions here. What is made must go to
    /// every member, and whoever has it ends the sessions of a lower generation.
    pub fn raise(
        here: &mut Option<Self>,
        user: Key,
        now: Time,
        life: Duration,
        highest: u64,
    ) -> Fragment {
        let raised = Tombstone {
            age: Duration::ZERO,
            life,
            generation: here
                .as_ref()
                .map_or(0, Self::generation)
                .max(highest)
                .saturating_add(1)
                .min(Version::REVISION_MAX),
        };
        Self::merge_tombstone(here, now, raised);
        Fragment {
            key: user,
            content: Content::Tombstone(raised),
        }
    }

    /// Moves a live session to another key, where nothing is: the same live values under one
    /// version and a new birth. What the old key still receives is lost with it, and must be: it
    /// may be an attacker's. `None` if there is no live session, or the new key is taken.
    pub fn change_id(
        old: (Key, &mut Option<Self>),
        new: (Key, &mut Option<Self>),
        birth: Birth,
        now: Time,
        by: &Writer,
        life: Duration,
        rules: &Rules,
    ) -> Option<Changed> {
        let ((old_key, old), (new_key, new)) = (old, new);
        let Some(Self::Live(state)) = old else {
            return None;
        };
        if new.is_some() {
            return None;
        }
        let mut reborn = state.reborn(birth, now);
        let write = reborn.commit(now, by, Extent::Changes, rules)?;
        *new = Some(Self::Live(reborn));
        Some(Changed {
            new: Fragment {
                key: new_key,
                content: Content::Write(write),
            },
            old: Self::end(old, old_key, now, life)
                .filter(|_| !is_planted(Bug::MovesWithoutTombstone)),
        })
    }

    /// All that has come to a live session since its copy had this node's write `since`, for a
    /// queued entry that was joined; the whole of it if `since` is `None`. `None` if it has ended.
    pub fn since(
        here: Option<&Self>,
        key: Key,
        now: Time,
        by: Incarnation,
        since: Option<u64>,
    ) -> Option<Fragment> {
        let state = here?.live()?;
        let write = match since {
            Some(revision) => state.since(
                now,
                Dot {
                    writer: by,
                    revision,
                },
            ),
            None => state.whole(now),
        };
        Some(Fragment {
            key,
            content: Content::Write(write),
        })
    }

    /// The writes that this copy holds, for whoever fetches the others. None for one that is idle:
    /// then the answer tells the age as well.
    pub fn held(here: Option<&Self>, now: Time) -> Vector {
        let live = here.and_then(Self::live);
        let in_use = live.filter(|state| !state.is_idle(now));
        in_use.map(|state| state.seen().clone()).unwrap_or_default()
    }

    /// Answers a fetch from somebody who holds the writes `held`.
    pub fn fetch(here: Option<&Self>, key: Key, now: Time, held: &Vector) -> Fetched {
        let content = match Self::sought(here, now, held) {
            Sought::Unknown => return Fetched::Unknown,
            Sought::Same => return Fetched::Same,
            Sought::Ended(tombstone) => Content::Tombstone(tombstone),
            Sought::Live(state) => Content::Write(state.whole(now)),
        };
        Fetched::Fragment(Fragment { key, content })
    }

    /// The same, where it lies.
    pub(crate) fn sought<'a>(here: Option<&'a Self>, now: Time, held: &Vector) -> Sought<'a> {
        match here {
            None => Sought::Unknown,
            Some(Self::Ended {
                at,
                life,
                generation,
            }) => Sought::Ended(Tombstone {
                age: now.since(*at),
                life: *life,
                generation: *generation,
            }),
            // Never committed, or only heard of: a whole fragment of it would pass for a session
            // without attributes.
            Some(Self::Live(state)) if state.holds_nothing() => Sought::Unknown,
            Some(Self::Live(state)) => {
                let held_all = state.seen.is_within(held)
                    && state
                        .registers
                        .iter()
                        .all(|register| held.covers(register.version.dot()));
                if held_all {
                    Sought::Same
                } else {
                    Sought::Live(state)
                }
            }
        }
    }

    /// The live session, if it is one.
    pub fn live(&self) -> Option<&State> {
        match self {
            Self::Live(state) => Some(state),
            Self::Ended { .. } => None,
        }
    }

    /// The live session, if it is one.
    pub fn live_mut(&mut self) -> Option<&mut State> {
        match self {
            Self::Live(state) => Some(state),
            Self::Ended { .. } => None,
        }
    }

    /// How often all sessions of a user were ended, if the key is a user's; else 0.
    pub fn generation(&self) -> u64 {
        match self {
            Self::Live(_) => 0,
            Self::Ended { generation, .. } => *generation,
        }
    }

    /// Whether a session has ended for good: nothing that comes changes that. Not so a user's
    /// generation, which can rise.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Live(_) => false,
            Self::Ended { generation, .. } => {
                *generation == 0 || is_planted(Bug::TakesGenerationsForFinal)
            }
        }
    }

    /// Whether it can be forgotten: a tombstone whose life is over.
    pub fn is_over(&self, now: Time) -> bool {
        match self {
            Self::Live(_) => false,
            Self::Ended { at, life, .. } => now.since(*at) >= *life,
        }
    }

    /// When time alone changes it next; `None` for a session without idle limit, and in the past
    /// for one that is idle. A tombstone leaves the digests half way through its life, on all
    /// nodes at the same time whenever it came to them, and is over at its end.
    pub fn next_look(&self, now: Time) -> Option<Time> {
        match self {
            Self::Live(state) => Some(state.last_access() + state.idle_limit()?),
            Self::Ended { at, life, .. } => {
                let half = *at + *life / 2;
                Some(if half > now { half } else { *at + *life })
            }
        }
    }

    /// How long the session may be idle; `None`: for ever, or it has ended.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.live()?.idle_limit()
    }

    /// What it adds to the digest of its bucket; 0 for what is in no digest.
    pub fn digest(&self, key: Key, now: Time, with: &DigestKey) -> u64 {
        self.digest_at_limit(self.idle_limit(), key, now, with)
    }

    /// The same for whoever has looked up its idle limit.
    pub fn digest_at_limit(
        &self,
        limit: Option<Duration>,
        key: Key,
        now: Time,
        with: &DigestKey,
    ) -> u64 {
        match self {
            Self::Live(state) if !state.is_committed() || state.is_idle_at(limit, now) => 0,
            Self::Live(state) => with.session(key, state),
            Self::Ended {
                at,
                life,
                generation,
            } if now.since(*at) < *life / 2 => with.tombstone(key, *generation),
            Self::Ended { .. } => 0,
        }
    }

    fn merge_tombstone(here: &mut Option<Self>, now: Time, tombstone: Tombstone) -> Merged {
        let (mut at, mut life) = (now.ago(tombstone.age), tombstone.life);
        let mut generation = tombstone.generation;
        if let Some(Self::Ended {
            at: here_at,
            life: here_life,
            generation: here_generation,
        }) = here
        {
            (at, life) = (at.max(*here_at), life.max(*here_life));
            generation = generation.max(*here_generation);
            if is_planted(Bug::KeepsGenerations) {
                generation = *here_generation;
            }
        }
        if is_planted(Bug::ForgetsTombstones) {
            *here = None;
            return Merged::plain(Outcome::Complete);
        }
        *here = Some(Self::Ended {
            at,
            life,
            generation,
        });
        Merged::plain(Outcome::Complete)
    }

    fn merge_write(here: &mut Option<Self>, now: Time, write: &Write, rules: &Rules) -> Merged {
        match here {
            Some(Self::Ended { .. }) => Merged::plain(Outcome::Ended),
            Some(Self::Live(state)) if state.birth != write.birth => {
                *here = Some(Self::Ended {
                    at: now,
                    life: Tombstone::LIFE_UNLIMITED,
                    generation: 0,
                });
                Merged::plain(Outcome::Twin)
            }
            Some(Self::Live(state)) => {
                state.touch(now.ago(write.age));
                state.existed(now.ago(write.lived));
                state.merge(write, rules)
            }
            None if write.is_whole() && is_idle(write) && !is_planted(Bug::TakesIdleCopies) => {
                Merged::plain(Outcome::Idle)
            }
            None => {
                let mut state = State::new(write.birth, now.ago(write.age));
                state.existed(now.ago(write.lived));
                let merged = state.merge(write, rules);
                *here = Some(Self::Live(state));
                merged
            }
        }
    }
}

fn is_idle(write: &Write) -> bool {
    let slot = Property::MaxInactive.slot();
    let limit = write.registers.find(&slot);
    let millis = limit.and_then(|register| {
        let bytes = register.value?.as_bytes();
        Some(i64::from_le_bytes(bytes.try_into().ok()?))
    });
    idle_limit(millis).is_some_and(|limit| write.age >= limit)
}
