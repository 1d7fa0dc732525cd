//! The committed registers of a copy, packed.
//!
//! A node holds a hundred thousand sessions for each that it is changing, and a register of its
//! own allocations costs more than most values have bytes. So they lie one behind the other in one
//! block, which a change makes anew, and which whoever reads a value of it shares. Values above
//! [`Registers::PACKED_MAX`] stay outside, shared with whatever sends them, so that making a block
//! anew copies little.
//!
//! A register in the block: a byte of flags; a number, or a name and its length; fence, revision
//! and the 8 bytes of the writer, unless they are those of the register before; of a value here
//! its length, from [`HASHED_MIN`] on its hash of 8 bytes, and its bytes. Numbers and lengths have
//! 7 bits a byte, the lowest first, with the highest bit set of each byte but the last.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::value::{Name, Register, Slot, Value};
use crate::version::{Incarnation, Version};

/// Registers, sorted by slot, each once: of a copy, or of a fragment. Cheap to clone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Registers {
    block: Arc<[u8]>,
    /// The large values, in the order of their registers. In a box, for mostly there is none.
    #[expect(clippy::box_collection, reason = "of most sessions it is one word")]
    large: Option<Box<Vec<Value>>>,
}

/// A register where it lies: in a block, or in a fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) slot: SlotRef<'a>,
    pub(crate) version: Version,
    pub(crate) value: Option<ValueRef<'a>>,
}

/// Registers of a session: few of them take no allocation.
pub(crate) type Few<T> = SmallVec<[T; 8]>;

/// What a register is called. The order is that of [`Slot`]: UTF-8 sorts as its bytes do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum SlotRef<'a> {
    Property(u32),
    Principal,
    Attribute(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueRef<'a> {
    Packed(Packed<'a>),
    Shared(&'a Value),
    /// As it came.
    Raw(&'a [u8]),
}

/// A value that lies in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a> {
    block: &'a Arc<[u8]>,
    from: usize,
    bytes: &'a [u8],
}

impl Packed<'_> {
    /// It lies before the bytes, where it is not made as fast as kept.
    fn hash(self) -> u64 {
        if self.bytes.len() < HASHED_MIN {
            return xxh3_64(self.bytes);
        }
        let kept = self.block[..self.from].last_chunk();
        u64::from_le_bytes(*kept.expect(PACKED))
    }
}

/// A hash of fewer bytes is made when it is needed.
const HASHED_MIN: usize = 17;

/// Why a block can be read.
const PACKED: &str = "it was packed here";
/// Why there is room in a block.
const COUNTED: &str = "its bytes were counted";

const KIND: u8 = 0b11;
const PROPERTY: u8 = 0;
const PRINCIPAL: u8 = 1;
const ATTRIBUTE: u8 = 2;
const HAS_VERSION: u8 = 1 << 2;
const HAS_VALUE: u8 = 1 << 3;
const IS_LARGE: u8 = 1 << 4;

impl Registers {
    /// A larger value is not copied into the block.
    pub(super) const PACKED_MAX: usize = 2048;

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Packs registers that are sorted by slot, each once.
    pub(crate) fn pack(registers: &[Seen<'_>]) -> Self {
        let (mut bytes, mut count_large, mut before) = (0, 0, None);
        for register in registers {
            bytes += register.packed_len(before);
            count_large += usize::from(register.is_large());
            before = Some(register.version);
        }
        // One allocation: it is filled where it is going to be shared.
        let mut block: Arc<[u8]> = std::iter::repeat_n(0, bytes).collect();
        let mut out = Unwritten(Arc::get_mut(&mut block).expect("nobody else has it yet"));
        let mut large = Vec::with_capacity(count_large);
        before = None;
        for register in registers {
            out = register.put(before, out, &mut large);
            before = Some(register.version);
        }
        debug_assert!(out.0.is_empty(), "what was counted is what was put");
        Self {
            block,
            large: (count_large > 0).then(|| Box::new(large)),
        }
    }

    #[inline]
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter {
            block: &self.block,
            unread: Unread(&self.block),
            large: self.large.as_deref().map_or(&[][..], Vec::as_slice).iter(),
            version: None,
        }
    }

    pub(super) fn find(&self, slot: &Slot) -> Option<Seen<'_>> {
        let wanted = SlotRef::of(slot);
        for register in self.iter() {
            match register.slot.cmp(&wanted) {
                Ordering::Less => {}
                Ordering::Equal => return Some(register),
                Ordering::Greater => break,
            }
        }
        None
    }

    /// All of them where they lie, for whoever goes over them more than once.
    pub(super) fn seen(&self) -> Few<Seen<'_>> {
        self.iter().collect()
    }

    /// All of them, each by itself.
    pub fn to_vec(&self) -> Vec<(Slot, Register)> {
        let mut all = Vec::with_capacity(self.iter().count());
        all.extend(self.iter().map(|register| register.to_owned()));
        all
    }
}

impl FromIterator<(Slot, Register)> for Registers {
    /// Of several of one slot the last one counts.
    fn from_iter<I: IntoIterator<Item = (Slot, Register)>>(registers: I) -> Self {
        let sorted: BTreeMap<Slot, Register> = registers.into_iter().collect();
        let seen = |(slot, register)| Seen::of(slot, register);
        Self::pack(&sorted.iter().map(seen).collect::<Few<_>>())
    }
}

impl Extend<(Slot, Register)> for Registers {
    fn extend<I: IntoIterator<Item = (Slot, Register)>>(&mut self, registers: I) {
        let new: Self = registers.into_iter().collect();
        let before = std::mem::take(self);
        let all: Few<_> = Join::new(&before.seen(), &new.seen()).put().collect();
        *self = Self::pack(&all);
    }
}

impl IntoIterator for &Registers {
    type Item = (Slot, Register);
    type IntoIter = std::vec::IntoIter<(Slot, Register)>;

    fn into_iter(self) -> Self::IntoIter {
        self.to_vec().into_iter()
    }
}

impl<'a> Seen<'a> {
    pub(super) fn of(slot: &'a Slot, register: &'a Register) -> Self {
        Self {
            slot: SlotRef::of(slot),
            version: register.version,
            value: register.value.as_ref().map(ValueRef::Shared),
        }
    }

    pub(super) fn to_owned(self) -> (Slot, Register) {
        let register = Register {
            version: self.version,
            value: self.value.map(ValueRef::to_value),
        };
        (self.slot.to_slot(), register)
    }

    /// Whether it says that there is nothing any more.
    pub(super) fn is_removal(&self) -> bool {
        self.value.is_none()
    }

    fn is_large(&self) -> bool {
        self.value
            .is_some_and(|value| value.len() > Registers::PACKED_MAX)
    }

    #[inline]
    fn packed_len(&self, before: Option<Version>) -> usize {
        let slot = match self.slot {
            SlotRef::Property(number) => number_len(number.into()),
            SlotRef::Principal => 0,
            SlotRef::Attribute(name) => number_len(name.len() as u64) + name.len(),
        };
        let version = if before == Some(self.version) {
            0
        } else {
            number_len(self.version.fence.into()) + number_len(self.version.revision) + 8
        };
        let value = match self.value {
            Some(value) if !self.is_large() => {
                let len = value.len();
                number_len(len as u64) + len + if len < HASHED_MIN { 0 } else { 8 }
            }
            Some(_) | None => 0,
        };
        1 + slot + version + value
    }

    /// Returns what is still to be written behind it.
    #[inline]
    fn put<'o>(
        &self,
        before: Option<Version>,
        mut out: Unwritten<'o>,
        large: &mut Vec<Value>,
    ) -> Unwritten<'o> {
        let kind = match self.slot {
            SlotRef::Property(_) => PROPERTY,
            SlotRef::Principal => PRINCIPAL,
            SlotRef::Attribute(_) => ATTRIBUTE,
        };
        let has_version = before != Some(self.version);
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        out.array([kind
            | flag(has_version, HAS_VERSION)
            | flag(self.value.is_some(), HAS_VALUE)
            | flag(self.is_large(), IS_LARGE)]);
        match self.slot {
            SlotRef::Property(number) => out.number(number.into()),
            SlotRef::Principal => {}
            SlotRef::Attribute(name) => {
                out.number(name.len() as u64);
                out.bytes(name);
            }
        }
        if has_version {
            out.number(self.version.fence.into());
            out.number(self.version.revision);
            out.array(self.version.writer.bits().to_le_bytes());
        }
        match self.value {
            None => {}
            Some(value) if self.is_large() => large.push(value.to_value()),
            Some(value) => {
                let bytes = value.as_bytes();
                out.number(bytes.len() as u64);
                if bytes.len() >= HASHED_MIN {
                    out.array(value.hash().to_le_bytes());
                }
                out.bytes(bytes);
            }
        }
        out
    }
}

impl<'a> SlotRef<'a> {
    pub(super) fn of(slot: &'a Slot) -> Self {
        match slot {
            Slot::Property(number) => Self::Property(*number),
            Slot::Principal => Self::Principal,
            Slot::Attribute(name) => Self::Attribute(name.as_str().as_bytes()),
        }
    }

    pub(super) fn to_slot(self) -> Slot {
        match (self, self.name()) {
            (_, Some(name)) => Slot::Attribute(name),
            (Self::Property(number), None) => Slot::Property(number),
            (Self::Principal | Self::Attribute(_), None) => Slot::Principal,
        }
    }

    /// The name of an attribute.
    pub(super) fn name(self) -> Option<Name> {
        let Self::Attribute(name) = self else {
            return None;
        };
        let text = str::from_utf8(name).ok().and_then(Name::new);
        Some(text.expect("only names are packed"))
    }
}

impl<'a> ValueRef<'a> {
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Packed(packed) => packed.bytes,
            Self::Shared(value) => value.as_bytes(),
            Self::Raw(bytes) => bytes,
        }
    }

    pub(crate) fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.bytes.len(),
            Self::Shared(value) => value.len(),
            Self::Raw(bytes) => bytes.len(),
        }
    }

    pub(super) fn hash(self) -> u64 {
        match self {
            Self::Packed(packed) => packed.hash(),
            Self::Shared(value) => value.hash(),
            Self::Raw(bytes) => xxh3_64(bytes),
        }
    }

    /// Shares the bytes once more.
    pub(super) fn to_value(self) -> Value {
        match self {
            Self::Packed(Packed { block, from, bytes }) => {
                Value::within(block, from, bytes.len(), self.hash())
            }
            Self::Shared(value) => value.clone(),
            Self::Raw(bytes) => Value::new(bytes),
        }
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// In a byte of a number: others follow.
const MORE: u8 = 0x80;

#[inline]
fn number_len(number: u64) -> usize {
    match number {
        ..0x80 => 1,
        0x80.. => (u64::BITS - number.leading_zeros()).div_ceil(7) as usize,
    }
}

/// What of a block is still to be written.
struct Unwritten<'o>(&'o mut [u8]);

impl Unwritten<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let free = self.0.split_off_mut(..bytes.len());
        free.expect(COUNTED).copy_from_slice(bytes);
    }

    #[inline]
    fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes(&bytes);
    }

    #[inline]
    fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest > 0x7f {
            let [low, ..] = rest.to_le_bytes();
            self.array([low | MORE]);
            rest >>= 7;
        }
        let [low, ..] = rest.to_le_bytes();
        self.array([low]);
    }
}

/// What of a block nobody has read yet.
#[derive(Clone, Copy, Debug)]
struct Unread<'a>(&'a [u8]);

impl<'a> Unread<'a> {
    #[inline]
    fn take(&mut self, len: usize) -> &'a [u8] {
        self.0.split_off(..len).expect(PACKED)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect(PACKED);
        self.0 = rest;
        *taken
    }

    #[inline]
    fn number(&mut self) -> u64 {
        let [first] = self.array();
        // Most have one byte.
        if first & MORE == 0 {
            return first.into();
        }
        let (number, rest) = self.longer(first);
        *self = rest;
        number
    }

    /// A number of several bytes, and what comes behind it.
    fn longer(mut self, first: u8) -> (u64, Self) {
        let (mut number, mut shift) = (u64::from(first & !MORE), 7);
        loop {
            let [byte] = self.array();
            number |= u64::from(byte & !MORE) << shift;
            if byte & MORE == 0 {
                return (number, self);
            }
            shift += 7;
        }
    }

    /// A number that was one of 32 bits when it was packed.
    #[inline]
    fn small(&mut self) -> u32 {
        u32::try_from(self.number()).expect(PACKED)
    }
}

/// Goes over a block.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    block: &'a Arc<[u8]>,
    unread: Unread<'a>,
    large: std::slice::Iter<'a, Value>,
    /// Of the register before.
    version: Option<Version>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Seen<'a>;

    #[inline]
    fn next(&mut self) -> Option<Seen<'a>> {
        if self.unread.0.is_empty() {
            return None;
        }
        // By itself while it is read from: so it is in registers of the processor.
        let mut unread = self.unread;
        let [flags] = unread.array();
        let slot = match flags & KIND {
            PROPERTY => SlotRef::Property(unread.small()),
            PRINCIPAL => SlotRef::Principal,
            _ => {
                let len = unread.small() as usize;
                SlotRef::Attribute(unread.take(len))
            }
        };
        if flags & HAS_VERSION != 0 {
            self.version = Some(Version {
                fence: unread.small(),
                revision: unread.number(),
                writer: Incarnation::from_bits(u64::from_le_bytes(unread.array())),
            });
        }
        let value = if flags & HAS_VALUE == 0 {
            None
        } else if flags & IS_LARGE != 0 {
            self.large.next().map(ValueRef::Shared)
        } else {
            let len = unread.small() as usize;
            if len >= HASHED_MIN {
                unread.take(size_of::<u64>());
            }
            let from = self.block.len() - unread.0.len();
            Some(ValueRef::Packed(Packed {
                block: self.block,
                from,
                bytes: unread.take(len),
            }))
        };
        self.unread = unread;
        Some(Seen {
            slot,
            version: self.version.expect("the first register has its version"),
            value,
        })
    }
}

/// Goes over two sorted lists of registers side by side.
#[derive(Clone, Debug)]
pub(super) struct Join<'s, 'a> {
    a: &'s [Seen<'a>],
    b: &'s [Seen<'a>],
}

impl<'s, 'a> Join<'s, 'a> {
    pub(super) fn new(a: &'s [Seen<'a>], b: &'s [Seen<'a>]) -> Self {
        Self { a, b }
    }

    /// What comes of putting the second list over the first.
    pub(super) fn put(self) -> impl Iterator<Item = Seen<'a>> {
        self.filter_map(|(here, new)| new.or(here).copied())
    }
}

impl<'s, 'a> Iterator for Join<'s, 'a> {
    type Item = (Option<&'s Seen<'a>>, Option<&'s Seen<'a>>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.a.first(), self.b.first()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.slot.cmp(&b.slot),
        };
        let from_a = self.a.split_off(..usize::from(order.is_le()))?;
        let from_b = self.b.split_off(..usize::from(order.is_ge()))?;
        Some((from_a.first(), from_b.first()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        let mut packed = Registers::default();
        let revisions = (0..56).flat_map(|bits| [1_u64 << bits, (1 << bits) + 77]);
        let all: Vec<_> = (0_u32..)
            .zip(revisions)
            .map(|(number, revision)| {
                let slot = Slot::Property(number.wrapping_mul(76_543_217) >> (number % 32));
                (slot, register(revision, Some(number as usize)))
            })
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect();
        packed.extend(all.clone());
        assert_eq!(packed.to_vec(), all);
    }

    fn register(revision: u64, len: Option<usize>) -> Register {
        Register {
            version: Version {
                fence: 3,
                revision,
                writer: Incarnation::from_bits(9),
            },
            value: len.map(|len| Value::new(&vec![7; len])),
        }
    }

    fn named(name: &str) -> Slot {
        Slot::Attribute(Name::new(name).unwrap())
    }

    #[test]
    fn what_was_packed_comes_out_as_it_was() {
        let max = Registers::PACKED_MAX;
        let all = [
            (Slot::Property(0), register(1, Some(8))),
            (Slot::Property(70_000), register(1, Some(0))),
            (Slot::Principal, register(2, None)),
            (named("a"), register(2, Some(max))),
            (named("b"), register(2, Some(max + 1))),
            (named("ba"), register(5, Some(16))),
            (named("\u{fffd}"), register(5, Some(17))),
            (named("\u{10000}"), register(2, Some(100_000))),
        ];
        let mut packed = Registers::default();
        packed.extend(all.clone());
        assert_eq!(packed.to_vec(), all);
        for (slot, register) in &all {
            let found = packed.find(slot).expect("it was packed");
            assert_eq!(found.to_owned(), (slot.clone(), register.clone()));
            let hash = register.value.as_ref().map(Value::hash);
            assert_eq!(found.value.map(ValueRef::hash), hash);
        }
        assert!(packed.find(&named("aa")).is_none());
        assert!(packed.find(&named("\u{10001}")).is_none());
    }

    #[test]
    fn what_is_put_in_replaces_what_was_there() {
        let mut packed = Registers::default();
        packed.extend([
            (named("a"), register(1, Some(5000))),
            (named("c"), register(1, Some(6000))),
        ]);
        packed.extend([
            (named("b"), register(2, Some(7000))),
            (named("c"), register(2, Some(1))),
        ]);
        let expected = [
            (named("a"), register(1, Some(5000))),
            (named("b"), register(2, Some(7000))),
            (named("c"), register(2, Some(1))),
        ];
        assert_eq!(packed.to_vec(), expected);
    }
}
