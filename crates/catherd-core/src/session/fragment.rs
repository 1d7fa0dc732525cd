//! What travels: a piece of a session that can be merged, or its end.

use std::time::Duration;

use super::registers::{Iter, Registers};
use crate::key::Key;
use crate::version::{Dot, Incarnation, Vector};

/// Where a session was born: tells two sessions under one key apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Birth {
    /// Who created it.
    pub incarnation: Incarnation,
    /// The how manieth session of that incarnation it is.
    pub serial: u64,
}

/// A mergeable piece of one session, or its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fragment {
    /// The session.
    pub key: Key,
    /// What is said of it.
    pub content: Content,
}

impl Fragment {
    /// Whether it ends all sessions of a user.
    pub fn is_generation(&self) -> bool {
        matches!(self.content, Content::Tombstone(it) if it.generation > 0)
    }
}

/// What a fragment says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// Registers of a live session.
    Write(Write),
    /// The session has ended, or all sessions of a user have.
    Tombstone(Tombstone),
}

/// Registers of a session, and what a copy must hold to be complete with them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// Must be that of the copy.
    pub birth: Birth,
    /// What the sender's copy held after the write.
    pub seen: Vector,
    /// The writer, and its entry of `seen` before the write; `None` for a **whole** fragment,
    /// which has every register, removals too.
    pub since: Option<Dot>,
    /// What was written.
    pub registers: Registers,
    /// How long ago the session was last accessed.
    pub age: Duration,
    /// How long ago the session was created; not less than `age`, and taken for that where a
    /// sender says less.
    pub lived: Duration,
}

/// What a write says, where it lies: in a fragment, or in the copy of which it is.
#[derive(Clone, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) birth: Birth,
    pub(crate) seen: &'a Vector,
    pub(crate) since: Option<Dot>,
    pub(crate) registers: Iter<'a>,
    pub(crate) age: Duration,
    pub(crate) lived: Duration,
}

impl Write {
    /// The same, where it lies.
    pub(crate) fn said(&self) -> Said<'_> {
        Said {
            birth: self.birth,
            seen: &self.seen,
            since: self.since,
            registers: self.registers.iter(),
            age: self.age,
            lived: self.lived,
        }
    }

    /// Whether a copy that holds `seen` is complete once it has this fragment: it has then all
    /// that the writer had before.
    pub fn fits(&self, seen: &Vector) -> bool {
        let Some(since) = self.since else { return true };
        self.seen.iter().all(|dot| {
            let before = if dot.writer == since.writer {
                since
            } else {
                dot
            };
            seen.covers(before)
        })
    }

    /// Whether it has every register.
    pub fn is_whole(&self) -> bool {
        self.since.is_none()
    }
}

/// The end of a session, kept in its place so that nothing late brings it back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tombstone {
    /// How long ago it ended.
    pub age: Duration,
    /// How long the end is remembered.
    pub life: Duration,
    /// 0 for the end of a session. Otherwise the key is that of a user
    /// ([`DigestKey::user`](super::DigestKey::user)), and every session of the user whose
    /// [`Principal`](super::Principal) has a lower generation has ended.
    pub generation: u64,
}

impl Tombstone {
    /// The shortest life: one day.
    pub const LIFE_MIN: Duration = Duration::from_secs(24 * 3600);
    /// The life where the session had no idle limit, and of a key that two sessions claimed:
    /// thirty days.
    pub const LIFE_UNLIMITED: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Twice the idle limit, at least a day: by then every copy that nobody used is idle beyond
    /// its limit and is served nowhere, so that neither agreement nor clocks are needed to forget.
    pub fn life_for(idle_limit: Option<Duration>) -> Duration {
        idle_limit.map_or(Self::LIFE_UNLIMITED, |limit| {
            limit
                .saturating_mul(2)
                .clamp(Self::LIFE_MIN, Duration::from_secs(u64::MAX / 4))
        })
    }
}
