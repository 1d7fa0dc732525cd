//! The copy of a session that a node holds.

use std::fmt;
use std::time::Duration;

use super::fragment::{Birth, Said, Write};
use super::registers::{Few, Join, Registers, Seen, SlotRef, ValueRef};
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
    /// What is committed. Removals stay as registers without a value.
    pub(super) registers: Registers,
    /// Every write up to here is in the copy, or what replaced it.
    pub(super) seen: Vector,
    /// What few sessions have, and none for long.
    rare: Option<Box<Rare>>,
    /// How many members this node had declared gone at its last commit to this copy.
    pub(super) tally: u32,
    pub(super) last_access: Time,
    /// When it was created. Copies that differ agree on the earlier: a session only grows older.
    pub(super) created: Time,
    /// Bytes of names and values as the application sees them; what is above 4 GiB, which no
    /// frame could carry, is not counted.
    pub(super) bytes: u32,
}

/// What is mostly empty.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// What fragments that did not fit spoke of. Empty, or not within `seen`.
    told: Vector,
    /// How often `told` has grown.
    told_of: u32,
    /// The gap that nobody could fill.
    given_up: Option<Gap>,
    /// Covers every removal that was forgotten, perhaps more: a fragment that starts before it
    /// must be whole.
    forgotten: Vector,
    /// Sorted by slot.
    dirty: Vec<(Slot, Option<Value>)>,
}

/// A gap in a copy, as a node saw it that set out to fill it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// How often the copy had heard of writes that it lacks.
    pub(crate) told_of: u32,
    /// How often a member had come into the node's view.
    pub(crate) arrivals: u32,
}

static NOTHING: Vector = Vector::new();

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
        let bytes = weight(slot, value.map(Value::len));
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
            registers: Registers::default(),
            seen: Vector::new(),
            rare: None,
            tally: 0,
            last_access: now,
            created: now,
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
        let before = weight(&slot, self.find(&slot).map(ValueRef::len));
        let after = weight(&slot, value.as_ref().map(Value::len));
        let bytes = self.bytes().saturating_sub(before) + after;
        if after > before && bytes > rules.session_bytes_max {
            return Err(Limit::SessionBytes {
                bytes,
                max: rules.session_bytes_max,
            });
        }
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.put_dirty(slot, value);
        Ok(())
    }

    /// Sets a property that has a meaning here; dirty until the commit.
    pub fn set_property(&mut self, property: Property, number: i64) {
        let (slot, value) = (property.slot(), Value::new(&number.to_le_bytes()));
        self.put_dirty(slot, Some(value));
    }

    /// The value of `slot` as the application sees it: what it set, else what is committed.
    pub fn value(&self, slot: &Slot) -> Option<Value> {
        self.find(slot).map(ValueRef::to_value)
    }

    /// The committed register of `slot`.
    pub fn register(&self, slot: &Slot) -> Option<Register> {
        self.registers
            .find(slot)
            .map(|register| register.to_owned().1)
    }

    /// The same value, where it lies.
    pub(super) fn find(&self, slot: &Slot) -> Option<ValueRef<'_>> {
        match find(self.dirty(), slot) {
            Ok(at) => self.dirty()[at].1.as_ref().map(ValueRef::Shared),
            Err(_) => self.registers.find(slot)?.value,
        }
    }

    /// All committed registers, removals too, sorted by slot.
    pub fn registers(&self) -> Vec<(Slot, Register)> {
        self.registers.to_vec()
    }

    /// The version of the committed register of `slot`.
    pub fn version(&self, slot: &Slot) -> Option<Version> {
        self.registers.find(slot).map(|register| register.version)
    }

    /// The committed registers of `other` that are older here, or not here at all.
    pub fn lacks(&self, other: &Self) -> Vec<(Slot, Register)> {
        let (there, here) = (other.registers.seen(), self.registers.seen());
        let lacked = Join::new(&there, &here).filter_map(|(there, here)| {
            let is_here = |there: &Seen<'_>| here.is_some_and(|here| here.version >= there.version);
            there.filter(|there| !is_here(there))
        });
        lacked.copied().map(Seen::to_owned).collect()
    }

    /// The bytes of the value of `slot` as the application sees it.
    pub fn read(&self, slot: &Slot) -> Option<&[u8]> {
        self.find(slot).map(ValueRef::as_bytes)
    }

    /// The bytes of the committed value of `slot`.
    pub fn committed(&self, slot: &Slot) -> Option<&[u8]> {
        self.registers.find(slot)?.value.map(ValueRef::as_bytes)
    }

    /// The names of the attributes as the application sees them, sorted.
    pub fn names(&self) -> Vec<Name> {
        let mut names: Vec<_> = self.present().filter_map(|(slot, _)| slot.name()).collect();
        names.sort_unstable();
        names
    }

    /// The attributes as the application sees them, sorted by name.
    pub fn attributes(&self) -> impl Iterator<Item = (Name, Value)> {
        let attribute =
            |(slot, value): (SlotRef<'_>, ValueRef<'_>)| Some((slot.name()?, value.to_value()));
        let mut all: Vec<_> = self.present().filter_map(attribute).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all.into_iter()
    }

    /// What has a value as the application sees it: what is committed, then what is dirty.
    pub(super) fn present(&self) -> impl Iterator<Item = (SlotRef<'_>, ValueRef<'_>)> {
        self.over(self.registers.iter())
    }

    /// The same if these were the committed registers.
    fn over<'a>(
        &'a self,
        committed: impl Iterator<Item = Seen<'a>>,
    ) -> impl Iterator<Item = (SlotRef<'a>, ValueRef<'a>)> {
        let dirty = self.dirty();
        let is_clean = |slot: SlotRef<'_>| {
            dirty
                .binary_search_by(|(other, _)| SlotRef::of(other).cmp(&slot))
                .is_err()
        };
        let committed = committed
            .filter(move |register| is_clean(register.slot))
            .filter_map(|register| Some((register.slot, register.value?)));
        let dirty = dirty.iter().filter_map(|(slot, value)| {
            Some((SlotRef::of(slot), ValueRef::Shared(value.as_ref()?)))
        });
        committed.chain(dirty)
    }

    /// The number that a property holds.
    pub fn property(&self, property: Property) -> Option<i64> {
        self.read(&property.slot()).and_then(number)
    }

    /// How long the session may be idle; `None`: for ever.
    pub fn idle_limit(&self) -> Option<Duration> {
        idle_limit(self.property(Property::MaxInactive))
    }

    /// The same of what is committed alone.
    pub fn committed_idle_limit(&self) -> Option<Duration> {
        idle_limit(
            self.committed(&Property::MaxInactive.slot())
                .and_then(number),
        )
    }

    /// Whether the copy is idle beyond its limit: then it is served nowhere.
    pub fn is_idle(&self, now: Time) -> bool {
        self.is_idle_at(self.idle_limit(), now)
    }

    /// The same for whoever has looked up its limit.
    pub fn is_idle_at(&self, limit: Option<Duration>, now: Time) -> bool {
        limit.is_some_and(|limit| now.since(self.last_access) >= limit)
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
        !self.told().is_empty()
    }

    /// The gap that is worth an inquiry: a write is known to be missing here, and it has not been
    /// [given up](Self::give_up) since the node last heard of one, or since a member last came into
    /// its view. `arrivals`: how often that has happened so far.
    pub fn gap(&self, arrivals: u32) -> Option<Gap> {
        let rare = self.rare.as_ref().filter(|_| self.is_behind())?;
        let gap = Gap {
            told_of: rare.told_of,
            arrivals,
        };
        (rare.given_up != Some(gap)).then_some(gap)
    }

    /// Every member that was in view has been asked, and nobody has what is missing: it went with
    /// whoever had it. The copy stays behind, and counts as none where copies are counted.
    pub fn give_up(&mut self, gap: Gap) {
        if let Some(rare) = self.rare.as_mut().filter(|rare| !rare.told.is_empty()) {
            rare.given_up = Some(gap);
        }
    }

    /// Whether anything is set that no commit has taken.
    pub fn is_dirty(&self) -> bool {
        !self.dirty().is_empty()
    }

    /// Whether it was ever committed: a session that was not is known to nobody else, and leaves
    /// no tombstone. A copy that so far only heard of writes is of a session that was.
    pub fn is_committed(&self) -> bool {
        !self.holds_nothing() || self.is_behind()
    }

    /// Whether somebody is logged in.
    pub fn has_principal(&self) -> bool {
        self.find(&Slot::Principal).is_some()
    }

    /// Whether the application has stored nothing in it: neither an attribute nor a principal.
    pub fn is_blank(&self) -> bool {
        let of_the_node = |slot| matches!(slot, SlotRef::Property(_));
        self.present().all(|(slot, _)| of_the_node(slot))
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
        self.registers.iter().map(|register| register.version).max()
    }

    /// Bytes of names and values as the application sees them; what the size limit counts.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Every register, for a node that may have none of them.
    pub fn whole(&self, now: Time) -> Write {
        let Said { age, lived, .. } = self.said(now);
        Write {
            birth: self.birth,
            seen: self.seen.clone(),
            since: None,
            registers: self.registers.clone(),
            age,
            lived,
        }
    }

    /// The same, where it lies.
    pub(crate) fn said(&self, now: Time) -> Said<'_> {
        Said {
            birth: self.birth,
            seen: &self.seen,
            since: None,
            registers: self.registers.iter(),
            age: now.since(self.last_access),
            lived: now.since(self.created),
        }
    }

    /// What has come since `since.writer` had written `since.revision`: all registers that a copy
    /// with everything before does not hold, whoever wrote them. Whole if a removal that belongs
    /// to it has been forgotten, for nothing else would tell of it.
    pub fn since(&self, now: Time, since: Dot) -> Write {
        let before = self.seen.with(since);
        if !self.forgotten().is_within(&before) {
            return self.whole(now);
        }
        let is_left_out = |version: Version| {
            is_planted(Bug::SendsTheLastOfJoined) && Some(version) != self.highest()
        };
        let news = self.registers.iter().filter(|register| {
            !before.covers(register.version.dot()) && !is_left_out(register.version)
        });
        Write {
            birth: self.birth,
            seen: self.seen.clone(),
            since: Some(since),
            registers: Registers::pack(&news.collect::<Few<_>>()),
            age: now.since(self.last_access),
            lived: now.since(self.created),
        }
    }

    /// What fragments that did not fit spoke of.
    pub(super) fn told(&self) -> &Vector {
        self.rare.as_ref().map_or(&NOTHING, |rare| &rare.told)
    }

    /// A fragment that does not fit speaks of writes that are missing here.
    pub(super) fn hear_of(&mut self, write: &Write) {
        let rare = self.rare.get_or_insert_default();
        let before = rare.told.clone();
        rare.told.merge(&write.seen);
        for register in write.registers.iter() {
            rare.told.raise(register.version.dot());
        }
        rare.told_of += u32::from(rare.told != before);
    }

    /// Covers every removal that was forgotten.
    pub(super) fn forgotten(&self) -> &Vector {
        self.rare.as_ref().map_or(&NOTHING, |rare| &rare.forgotten)
    }

    pub(super) fn forgotten_mut(&mut self) -> &mut Vector {
        &mut self.rare.get_or_insert_default().forgotten
    }

    /// Nothing is missing but what was forgotten.
    pub(super) fn tell_nothing(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.told = Vector::new();
            rare.given_up = None;
        }
        self.tidy();
    }

    /// The box goes when there is nothing in it.
    fn tidy(&mut self) {
        self.rare = self.rare.take().filter(|rare| {
            !(rare.told.is_empty() && rare.forgotten.is_empty() && rare.dirty.is_empty())
        });
    }

    /// Counts again what names and values have.
    pub(super) fn weigh(&mut self) {
        self.bytes = self.weight_over(self.registers.iter());
    }

    /// What names and values have if these are the committed registers.
    pub(super) fn weight_over<'a>(&'a self, committed: impl Iterator<Item = Seen<'a>>) -> u32 {
        let weight = |(slot, value): (SlotRef<'_>, ValueRef<'_>)| match slot {
            SlotRef::Property(_) => 0,
            SlotRef::Principal => value.len(),
            SlotRef::Attribute(name) => name.len() + value.len(),
        };
        let bytes: usize = self.over(committed).map(weight).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// What is set and not committed, sorted by slot.
    pub(super) fn dirty(&self) -> &[(Slot, Option<Value>)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.dirty)
    }

    pub(super) fn take_dirty(&mut self) -> Vec<(Slot, Option<Value>)> {
        let rare = self.rare.as_mut();
        let dirty = rare.map_or_else(Vec::new, |rare| std::mem::take(&mut rare.dirty));
        self.tidy();
        dirty
    }

    pub(super) fn put_dirty(&mut self, slot: Slot, value: Option<Value>) {
        let dirty = &mut self.rare.get_or_insert_default().dirty;
        match find(dirty, &slot) {
            Ok(at) => dirty[at].1 = value,
            Err(at) => dirty.insert(at, (slot, value)),
        }
    }
}

/// What a register counts against the size limit, in bytes, with a value of so many.
fn weight(slot: &Slot, value: Option<usize>) -> usize {
    let bytes = value.unwrap_or(0);
    match slot {
        Slot::Property(_) => 0,
        Slot::Principal => bytes,
        Slot::Attribute(name) if value.is_some() => name.as_str().len() + bytes,
        Slot::Attribute(_) => 0,
    }
}

/// The number that the bytes of a property hold.
fn number(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

/// The idle limit that a number of milliseconds means: negative or missing, for ever.
pub(super) fn idle_limit(millis: Option<i64>) -> Option<Duration> {
    u64::try_from(millis?).ok().map(Duration::from_millis)
}

/// Where `slot` is, or belongs, in a list sorted by slot.
pub(super) fn find<T>(list: &[(Slot, T)], slot: &Slot) -> Result<usize, usize> {
    list.binary_search_by(|(other, _)| other.cmp(slot))
}
