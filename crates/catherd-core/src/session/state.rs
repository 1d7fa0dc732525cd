//! The copy of a session that a node holds.

use std::fmt;
use std::time::Duration;

use super::fragment::{Birth, Write};
use super::value::{Name, Register, Slot, Value};
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::{Dot, Vector, Version};

/// A copy of a live session.
///
/// What the application sets is *dirty* until the commit: it lies over the registers, is read
/// first, and is in no fragment and in no digest. So a merge never undoes what a request has just
/// set, and a request that fails can be forgotten without a trace.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) birth: Birth,
    /// Sorted by slot. Removals stay as registers without a value.
    pub(super) registers: Vec<(Slot, Register)>,
    /// Every write up to here is in the copy, or what replaced it.
    pub(super) seen: Vector,
    /// What fragments that did not fit spoke of. Empty, or not within `seen`.
    pub(super) told: Vector,
    /// Covers every removal that was forgotten, perhaps more: a fragment that starts before it
    /// must be whole.
    pub(super) forgotten: Vector,
    /// How many members this node had declared gone at its last commit to this copy.
    pub(super) tally: u32,
    pub(super) last_access: Time,
    /// When it was created. Copies that differ agree on the earlier: a session only grows older.
    pub(super) created: Time,
    /// Sorted by slot.
    pub(super) dirty: Vec<(Slot, Option<Value>)>,
    /// Bytes of names and values as the application sees them.
    pub(super) bytes: usize,
}

/// What holds for all sessions of a context.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// How many removals a session remembers; older ones are forgotten. 64.
    pub removals_kept: usize,
    /// What names and values of a session may have together, in bytes. 1 MiB.
    pub session_bytes_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            removals_kept: 64,
            session_bytes_max: 1 << 20,
        }
    }
}

impl Rules {
    /// Whether a session could hold this value, were it the only one.
    ///
    /// # Errors
    ///
    /// It is larger than a whole session may be.
    pub fn check(&self, slot: &Slot, value: Option<&Value>) -> Result<(), Limit> {
        let bytes = weight(slot, value);
        if bytes > self.session_bytes_max {
            return Err(Limit::SessionBytes {
                bytes,
                max: self.session_bytes_max,
            });
        }
        Ok(())
    }
}

/// A property of a session that has a meaning here. Others are kept as they came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Property {
    /// When it was created, in milliseconds since 1970 by the creator's wall clock: for people.
    Created,
    /// How long it may be idle, in milliseconds; negative: for ever.
    MaxInactive,
}

impl Property {
    /// The slot of its register.
    pub fn slot(self) -> Slot {
        Slot::Property(match self {
            Self::Created => 0,
            Self::MaxInactive => 1,
        })
    }
}

/// A change that would take a session past a limit; the session is as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Limit {
    /// The session would be larger than its context allows.
    SessionBytes {
        /// What it would have, in bytes.
        bytes: usize,
        /// What it may have, in bytes.
        max: usize,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::SessionBytes { bytes, max } = self;
        write!(
            f,
            "the session would have {bytes} bytes and may have {max}; store less in it, or raise \
             maxSessionBytes"
        )
    }
}

impl std::error::Error for Limit {}

impl State {
    /// A session that nobody else knows of yet; it becomes real with its first commit.
    pub fn new(birth: Birth, now: Time) -> Self {
        Self {
            birth,
            registers: Vec::new(),
            seen: Vector::new(),
            told: Vector::new(),
            forgotten: Vector::new(),
            tally: 0,
            last_access: now,
            created: now,
            dirty: Vec::new(),
            bytes: 0,
        }
    }

    /// Sets or removes (`None`) what is called `slot`; dirty until the commit. Properties do not
    /// count against the size limit.
    ///
    /// # Errors
    ///
    /// The session would be larger than `rules` allow. Nothing was changed.
    pub fn set(&mut self, slot: Slot, value: Option<Value>, rules: &Rules) -> Result<(), Limit> {
        let before = weight(&slot, self.value(&slot));
        let after = weight(&slot, value.as_ref());
        let bytes = self.bytes - before + after;
        if after > before && bytes > rules.session_bytes_max {
            return Err(Limit::SessionBytes {
                bytes,
                max: rules.session_bytes_max,
            });
        }
        self.bytes = bytes;
        self.put_dirty(slot, value);
        Ok(())
    }

    /// Sets a property that has a meaning here; dirty until the commit.
    pub fn set_property(&mut self, property: Property, number: i64) {
        let (slot, value) = (property.slot(), Value::new(&number.to_le_bytes()));
        self.put_dirty(slot, Some(value));
    }

    /// The value of `slot` as the application sees it: what it set, else what is committed.
    pub fn value(&self, slot: &Slot) -> Option<&Value> {
        match find(&self.dirty, slot) {
            Ok(at) => self.dirty[at].1.as_ref(),
            Err(_) => self.register(slot)?.value.as_ref(),
        }
    }

    /// The committed register of `slot`.
    pub fn register(&self, slot: &Slot) -> Option<&Register> {
        find(&self.registers, slot)
            .ok()
            .map(|at| &self.registers[at].1)
    }

    /// All committed registers, removals too, sorted by slot.
    pub fn registers(&self) -> &[(Slot, Register)] {
        &self.registers
    }

    /// The attributes as the application sees them, sorted by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&Name, &Value)> {
        let committed = self.registers.iter().filter_map(|(slot, register)| {
            let clean = find(&self.dirty, slot).is_err();
            clean.then_some((slot, register.value.as_ref()))
        });
        let dirty = self
            .dirty
            .iter()
            .map(|(slot, value)| (slot, value.as_ref()));
        let mut all: Vec<_> = committed
            .chain(dirty)
            .filter_map(|(slot, value)| match slot {
                Slot::Attribute(name) => Some((name, value?)),
                Slot::Property(_) | Slot::Principal => None,
            })
            .collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter()
    }

    /// The number that a property holds.
    pub fn property(&self, property: Property) -> Option<i64> {
        let bytes = self.value(&property.slot())?.as_bytes();
        Some(i64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// How long the session may be idle; `None`: for ever.
    pub fn idle_limit(&self) -> Option<Duration> {
        idle_limit(self.property(Property::MaxInactive))
    }

    /// Whether the copy is idle beyond its limit: then it is served nowhere.
    pub fn is_idle(&self, now: Time) -> bool {
        self.idle_limit()
            .is_some_and(|limit| now.since(self.last_access) >= limit)
    }

    /// When it was last accessed, as far as this node knows.
    pub fn last_access(&self) -> Time {
        self.last_access
    }

    /// It was accessed at `at`; never moves backwards.
    pub fn touch(&mut self, at: Time) {
        self.last_access = self.last_access.max(at);
    }

    /// When it was created, as far as this node knows: not later than its last access.
    pub fn created(&self) -> Time {
        self.created
    }

    /// It existed at `at`: of two ages since the creation the greater counts.
    pub(super) fn existed(&mut self, at: Time) {
        self.created = self.created.min(at);
    }

    /// Where it was born.
    pub fn birth(&self) -> Birth {
        self.birth
    }

    /// Which writes the copy holds.
    pub fn seen(&self) -> &Vector {
        &self.seen
    }

    /// Whether it is known that a write is missing here.
    pub fn is_behind(&self) -> bool {
        !self.told.is_empty()
    }

    /// Whether anything is set that no commit has taken.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether it was ever committed: a session that was not is known to nobody else, and leaves
    /// no tombstone. A copy that so far only heard of writes is of a session that was.
    pub fn is_committed(&self) -> bool {
        !self.holds_nothing() || self.is_behind()
    }

    /// Whether somebody is logged in.
    pub fn has_principal(&self) -> bool {
        self.value(&Slot::Principal).is_some()
    }

    /// Whether the application has stored nothing in it: neither an attribute nor a principal.
    pub fn is_blank(&self) -> bool {
        !self.has_principal() && self.attributes().next().is_none()
    }

    /// Whether at most one process has written it, as far as is known here.
    pub fn has_one_writer(&self) -> bool {
        self.seen.len() <= 1 && !self.is_behind()
    }

    /// Whether there is neither a register in the copy nor a write that it has seen.
    pub(super) fn holds_nothing(&self) -> bool {
        self.seen.is_empty() && self.registers.is_empty()
    }

    /// The highest version in the copy. Its writer is the session's owner.
    pub fn highest(&self) -> Option<Version> {
        self.registers
            .iter()
            .map(|(_, register)| register.version)
            .max()
    }

    /// Bytes of names and values as the application sees them; what the size limit counts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every register, for a node that may have none of them.
    pub fn whole(&self, now: Time) -> Write {
        Write {
            birth: self.birth,
            seen: self.seen.clone(),
            since: None,
            registers: self.registers.clone(),
            age: now.since(self.last_access),
            lived: now.since(self.created),
        }
    }

    /// What has come since `since.writer` had written `since.revision`: all registers that a copy
    /// with everything before does not hold, whoever wrote them. Whole if a removal that belongs
    /// to it has been forgotten, for nothing else would tell of it.
    pub fn since(&self, now: Time, since: Dot) -> Write {
        let before = self.seen.with(since);
        if !self.forgotten.is_within(&before) {
            return self.whole(now);
        }
        let is_left_out = |version: Version| {
            is_planted(Bug::SendsTheLastOfJoined) && Some(version) != self.highest()
        };
        let news = |(_, register): &&(Slot, Register)| {
            !before.covers(register.version.dot()) && !is_left_out(register.version)
        };
        Write {
            birth: self.birth,
            seen: self.seen.clone(),
            since: Some(since),
            registers: self.registers.iter().filter(news).cloned().collect(),
            age: now.since(self.last_access),
            lived: now.since(self.created),
        }
    }

    pub(super) fn weigh(&self) -> usize {
        self.attributes()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum::<usize>()
            + weight(&Slot::Principal, self.value(&Slot::Principal))
    }

    fn put_dirty(&mut self, slot: Slot, value: Option<Value>) {
        match find(&self.dirty, &slot) {
            Ok(at) => self.dirty[at].1 = value,
            Err(at) => self.dirty.insert(at, (slot, value)),
        }
    }
}

/// What a register counts against the size limit, in bytes.
fn weight(slot: &Slot, value: Option<&Value>) -> usize {
    let bytes = value.map_or(0, Value::len);
    match slot {
        Slot::Property(_) => 0,
        Slot::Principal => bytes,
        Slot::Attribute(name) if value.is_some() => name.as_str().len() + bytes,
        Slot::Attribute(_) => 0,
    }
}

/// The idle limit that a number of milliseconds means: negative or missing, for ever.
pub(super) fn idle_limit(millis: Option<i64>) -> Option<Duration> {
    u64::try_from(millis?).ok().map(Duration::from_millis)
}

/// Where `slot` is, or belongs, in a list sorted by slot.
pub(super) fn find<T>(list: &[(Slot, T)], slot: &Slot) -> Result<usize, usize> {
    list.binary_search_by(|(other, _)| other.cmp(slot))
}
