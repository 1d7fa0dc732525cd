//! The messages that carry sessions, decoded without anything in between.
//!
//! [`wire::Fragments`](super::super::wire::Fragments) and [`wire::Whole`](super::super::wire::Whole)
//! are their definitions, and a test compares what comes of them. The bytes were checked against
//! the shape of their message before ([`limits`](super::super::limits)), so counts and lengths are
//! within their caps. What a register says is read where it lies, and copied once: into the block
//! of its fragment, which a copy that has nothing yet adopts.

use std::time::Duration;

use prost::Message as _;

use super::super::fields::{Field, Fields, varint};
use super::super::wire;
use super::fragment::{dot_left_out, from_key, from_vector, revision_left_out, version};
use super::greeting::incarnation;
use super::{Answer, DecodeError, Message};
use crate::session::{
    Birth, Content, Few, Fragment, Name, Registers, Seen, SlotRef, Tombstone, ValueRef, Write,
};
use crate::version::{Dot, Incarnation, Vector, Version};

/// What one commit made.
pub(super) fn decode_fragments(payload: &[u8]) -> Result<Message, DecodeError> {
    let mut context = "";
    let mut fragments = Vec::with_capacity(count(payload, 2)?);
    let mut fields = Fields(payload);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => context = field.text()?,
            2 => fragments.push(fragment(field.bytes()?)?),
            _ => {}
        }
    }
    if fragments.is_empty() {
        return Err(DecodeError::Malformed);
    }
    Ok(Message::Fragments {
        context: context.to_owned(),
        fragments,
    })
}

/// The answer to a fetch.
pub(super) fn decode_whole(payload: &[u8]) -> Result<Message, DecodeError> {
    let (mut question, mut context) = (0, "");
    let (mut knew_route, mut is_cut) = (false, false);
    let mut answers = Vec::with_capacity(count(payload, 3)?);
    let mut fields = Fields(payload);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => question = field.number()?,
            2 => context = field.text()?,
            3 => answers.push(answer(field.bytes()?)?),
            4 => knew_route = field.number()? != 0,
            5 => is_cut = field.number()? != 0,
            _ => {}
        }
    }
    Ok(Message::Whole {
        question,
        context: context.to_owned(),
        answers,
        knew_route,
        is_cut,
    })
}

/// How many fields with this number there are.
fn count(message: &[u8], wanted: u32) -> Result<usize, DecodeError> {
    let (mut count, mut fields) = (0, Fields(message));
    while let Some((number, _)) = fields.next()? {
        count += usize::from(number == wanted);
    }
    Ok(count)
}

fn answer(message: &[u8]) -> Result<Answer, DecodeError> {
    let (mut key, mut same, mut served): (&[u8], _, _) = (&[], false, false);
    let mut said = None;
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = field.bytes()?,
            2 => same = field.number()? != 0,
            3 => said = Some(fragment(field.bytes()?)?),
            4 => served = field.number()? != 0,
            _ => {}
        }
    }
    let key = from_key(key)?;
    if said.as_ref().is_some_and(|fragment| fragment.key != key) {
        return Err(DecodeError::Malformed);
    }
    Ok(Answer {
        key,
        same,
        fragment: said,
        served,
    })
}

/// What a fragment says before its registers, as it stands there.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) key: &'a [u8],
    pub(super) birth_incarnation: u64,
    pub(super) birth_serial: u64,
    /// Of a tombstone nobody looks at it.
    pub(super) seen: Option<Result<Vector, DecodeError>>,
    pub(super) writer: u64,
    pub(super) since: Option<u64>,
    pub(super) fence: u32,
    pub(super) revision: u64,
    pub(super) age_ms: u64,
    pub(super) life_ms: Option<u64>,
    pub(super) lived_ms: u64,
    pub(super) generation: u64,
}

fn fragment(message: &[u8]) -> Result<Fragment, DecodeError> {
    let (mut head, mut registers) = (Head::default(), Few::new());
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => head.key = field.bytes()?,
            2 => head.birth_incarnation = field.fixed()?,
            3 => head.birth_serial = field.number()?,
            4 => head.seen = Some(vector(field.bytes()?)?),
            5 => head.writer = field.fixed()?,
            6 => head.since = Some(field.number()?),
            7 => head.fence = field.small()?,
            8 => head.revision = field.number()?,
            9 => registers.push(register(field.bytes()?)?),
            10 => head.age_ms = field.number()?,
            11 => head.life_ms = Some(field.number()?),
            12 => head.lived_ms = field.number()?,
            13 => head.generation = field.number()?,
            _ => {}
        }
    }
    made(head, &registers)
}

/// The fragment that says this, if there can be one.
pub(super) fn made(head: Head<'_>, registers: &[Register<'_>]) -> Result<Fragment, DecodeError> {
    let key = from_key(head.key)?;
    if head.generation > Version::REVISION_MAX {
        return Err(DecodeError::Insane);
    }
    let age = Duration::from_millis(head.age_ms);
    let content = match head.life_ms {
        Some(life_ms) => Content::Tombstone(Tombstone {
            age,
            life: Duration::from_millis(life_ms),
            generation: head.generation,
        }),
        None => Content::Write(write(head, age, registers)?),
    };
    Ok(Fragment { key, content })
}

fn write(head: Head<'_>, age: Duration, registers: &[Register<'_>]) -> Result<Write, DecodeError> {
    // A session that lives is of no generation; its principal is.
    if head.generation > 0 {
        return Err(DecodeError::Malformed);
    }
    let birth = Birth {
        incarnation: incarnation(head.birth_incarnation)?,
        serial: head.birth_serial,
    };
    let writer = match head.writer {
        0 => birth.incarnation,
        bits => incarnation(bits)?,
    };
    let revision = match head.revision {
        0 => revision_left_out(head.since),
        said => said,
    };
    let named = (revision != 0)
        .then(|| version(head.fence, revision, writer))
        .transpose()?;
    let seen = match head.seen {
        Some(seen) => seen?,
        None => Vector::of(dot_left_out(writer, revision)),
    };
    let since = head.since.map(|revision| Dot { writer, revision });
    if since.is_some_and(|since| since.revision > Version::REVISION_MAX) {
        return Err(DecodeError::Insane);
    }
    // A writer's copy holds what the writer wrote, and that is not less than before.
    if since.is_some_and(|since| since.revision.max(1) > seen.revision(since.writer)) {
        return Err(DecodeError::Malformed);
    }
    Ok(Write {
        birth,
        seen,
        since,
        registers: packed(registers, writer, named)?,
        age,
        lived: Duration::from_millis(head.lived_ms),
    })
}

/// The registers in one block, sorted.
fn packed(
    registers: &[Register<'_>],
    writer: Incarnation,
    named: Option<Version>,
) -> Result<Registers, DecodeError> {
    let mut seen = Few::new();
    for register in registers {
        seen.push(register.seen(writer, named)?);
    }
    // Mostly they come as they lie in the sender's block.
    if !seen.is_sorted_by(|one, next| one.slot < next.slot) {
        seen.sort_unstable_by_key(|register| register.slot);
        if seen.windows(2).any(|two| two[0].slot == two[1].slot) {
            return Err(DecodeError::Malformed);
        }
    }
    Ok(Registers::pack(&seen))
}

/// What a register says, where it lies.
#[derive(Clone, Copy, Default)]
pub(super) struct Register<'a> {
    pub(super) attribute: Option<&'a [u8]>,
    pub(super) property: Option<u32>,
    pub(super) fence: u32,
    pub(super) revision: u64,
    pub(super) writer: u64,
    pub(super) value: Option<&'a [u8]>,
}

fn register(message: &[u8]) -> Result<Register<'_>, DecodeError> {
    let mut register = Register::default();
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => register.attribute = Some(field.bytes()?),
            2 => register.property = Some(field.small()?),
            3 => register.fence = field.small()?,
            4 => register.revision = field.number()?,
            5 => register.writer = field.fixed()?,
            6 => register.value = Some(field.bytes()?),
            _ => {}
        }
    }
    Ok(register)
}

impl<'a> Register<'a> {
    /// The register that says this, if there can be one: of one slot, and of a version that there
    /// can be.
    fn seen(&self, writer: Incarnation, named: Option<Version>) -> Result<Seen<'a>, DecodeError> {
        let slot = match (self.attribute, self.property) {
            (Some(name), None) if str::from_utf8(name).is_ok_and(Name::is_one) => {
                SlotRef::Attribute(name)
            }
            (Some(_), _) => return Err(DecodeError::Malformed),
            (None, Some(number)) => SlotRef::Property(number),
            (None, None) => SlotRef::Principal,
        };
        let writer = match self.writer {
            0 => writer,
            bits => Incarnation::from_bits(bits),
        };
        let version = match self.revision {
            0 => named.ok_or(DecodeError::Malformed)?,
            revision => version(self.fence, revision, writer)?,
        };
        Ok(Seen {
            slot,
            version,
            value: self.value.map(ValueRef::Raw),
        })
    }
}

/// What a vector says. The outer error is of bytes that are no vector at all.
fn vector(message: &[u8]) -> Result<Result<Vector, DecodeError>, DecodeError> {
    if let Some((writer, revision)) = only_dot(message)? {
        return Ok(single(writer, revision));
    }
    let vector = wire::Vector::decode(message).map_err(|_| DecodeError::Malformed)?;
    Ok(from_vector(Some(&vector)))
}

fn single(writer: u64, revision: u64) -> Result<Vector, DecodeError> {
    if revision > Version::REVISION_MAX {
        return Err(DecodeError::Insane);
    }
    let writer = incarnation(writer)?;
    Ok(Vector::of(Dot { writer, revision }))
}

/// Writer and revision of a vector that has one of each, as most have, written as this release
/// writes them.
fn only_dot(message: &[u8]) -> Result<Option<(u64, u64)>, DecodeError> {
    let mut fields = Fields(message);
    let (first, second, third) = (fields.next()?, fields.next()?, fields.next()?);
    let (Some((1, Field::Bytes(writers))), Some((2, Field::Bytes(revisions))), None) =
        (first, second, third)
    else {
        return Ok(None);
    };
    let writer = writers.try_into().map(u64::from_le_bytes);
    let (Ok(writer), Ok((revision, rest))) = (writer, varint(revisions)) else {
        return Ok(None);
    };
    Ok(rest.is_empty().then_some((writer, revision)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::limits;
    use super::super::encode::samples::{answer, fragment};
    use super::super::exchange::{from_whole, to_whole};
    use super::super::fragment::defined::{from_fragments, to_fragment};
    use super::super::{NESTED_MAX, Shape};
    use super::*;

    /// What the definition makes of it, after the same check.
    fn defined<M: prost::Message + Default>(
        payload: &[u8],
        shape: &Shape,
        from: fn(M) -> Result<Message, DecodeError>,
    ) -> Option<Result<Message, DecodeError>> {
        limits::check(payload, shape, &mut NESTED_MAX.clone()).ok()?;
        let parsed = M::decode(payload).map_err(|_| DecodeError::Malformed);
        Some(parsed.and_then(from))
    }

    fn assert_as_defined(payload: &[u8]) -> Result<(), TestCaseError> {
        let both = [
            (
                defined(payload, &wire::FRAGMENTS, from_fragments),
                decode_fragments(payload),
            ),
            (
                defined(payload, &wire::WHOLE, from_whole),
                decode_whole(payload),
            ),
        ];
        for (defined, decoded) in both {
            // What has several faults may be refused for any of them.
            if let Some(defined) = defined {
                prop_assert_eq!(decoded.ok(), defined.ok());
            }
        }
        Ok(())
    }

    /// A field that no release has, of each kind that is skipped.
    fn unknown() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(vec![0xf8, 0x01, 0x96, 0x01]),
            Just(vec![0xf9, 0x01, 1, 2, 3, 4, 5, 6, 7, 8]),
            Just(vec![0xfa, 0x01, 2, 7, 7]),
            Just(vec![0xfd, 0x01, 1, 2, 3, 4]),
        ]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_as_defined(
            context in "/?[a-zé]{0,9}",
            fragments in proptest::collection::vec(fragment(), 0..3),
            answers in proptest::collection::vec(answer(), 0..3),
            question in 0..300_u64,
            said in any::<(bool, bool)>(),
            unknown in unknown(),
        ) {
            let message = wire::Fragments {
                context: context.clone(),
                fragments: fragments.iter().map(to_fragment).collect(),
            };
            let whole = to_whole(question, &context, &answers, said);
            for encoded in [message.encode_to_vec(), whole.encode_to_vec()] {
                assert_as_defined(&encoded)?;
                assert_as_defined(&[&encoded[..], &unknown].concat())?;
                assert_as_defined(&[unknown.clone(), encoded].concat())?;
            }
        }

        #[test]
        fn what_was_changed_on_its_way_is_decoded_as_defined(
            fragments in proptest::collection::vec(fragment(), 1..3),
            answers in proptest::collection::vec(answer(), 1..3),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let message = wire::Fragments {
                context: "/shop".to_owned(),
                fragments: fragments.iter().map(to_fragment).collect(),
            };
            let whole = to_whole(7, "/shop", &answers, (true, true));
            for mut encoded in [message.encode_to_vec(), whole.encode_to_vec()] {
                assert_as_defined(&encoded[..cut.index(encoded.len())])?;
                for (at, byte) in &changes {
                    let at = at.index(encoded.len());
                    encoded[at] = *byte;
                    assert_as_defined(&encoded)?;
                }
            }
        }

        /// Fields in another order, several times, and lists that are not packed.
        #[test]
        fn what_others_may_write_is_decoded_as_defined(
            parts in proptest::collection::vec(part(), 0..12),
            registers in proptest::collection::vec(register_parts(), 0..12),
        ) {
            let registers = registers.into_iter().map(|parts| nested(9, &parts.concat()));
            let mut fields: Vec<_> = parts.into_iter().chain(registers).collect();
            // Of a vector there is one.
            let mut vectors = 0;
            fields.retain(|field| {
                vectors += usize::from(field[0] == 4 << 3 | 2);
                field[0] != 4 << 3 | 2 || vectors == 1
            });
            fields.sort_by_key(|field| field.len() % 5);
            let fragment = fields.concat();
            assert_as_defined(&nested(2, &fragment))?;
            let answer = [nested(1, &[7; 16]), nested(3, &fragment)].concat();
            assert_as_defined(&nested(3, &answer))?;
        }
    }

    fn nested(number: u8, message: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        prost::encoding::encode_varint(message.len() as u64, &mut field);
        field.extend_from_slice(message);
        field
    }

    fn number(number: u8, value: u64) -> Vec<u8> {
        let mut field = vec![number << 3];
        prost::encoding::encode_varint(value, &mut field);
        field
    }

    fn fixed(number: u8, value: u64) -> Vec<u8> {
        [vec![number << 3 | 1], value.to_le_bytes().to_vec()].concat()
    }

    fn any_number() -> impl Strategy<Value = u64> {
        prop_oneof![0..3_u64, 1..200_u64, any::<u64>()]
    }

    fn part() -> impl Strategy<Value = Vec<u8>> {
        let key = prop_oneof![Just(vec![7; 16]), Just(vec![7; 15])];
        prop_oneof![
            key.prop_map(|key| nested(1, &key)),
            any_number().prop_map(|value| fixed(2, value)),
            (
                prop_oneof![Just(3_u8), Just(6), Just(7), Just(8), Just(10), Just(12)],
                any_number()
            )
                .prop_map(|(at, value)| number(at, value)),
            (prop_oneof![Just(11_u8), Just(13)], any_number())
                .prop_map(|(at, value)| number(at, value)),
            any_number().prop_map(|value| fixed(5, value)),
            vector_parts().prop_map(|parts| nested(4, &parts.concat())),
        ]
    }

    fn vector_parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let writer = (1..3_u64).prop_map(|writer| fixed(1, writer));
        let writers = Just(nested(1, &2_u64.to_le_bytes()));
        let revision = any_number().prop_map(|revision| number(2, revision));
        let revisions = proptest::collection::vec(0..127_u8, 0..3);
        let revisions = revisions.prop_map(|revisions| nested(2, &revisions));
        proptest::collection::vec(prop_oneof![writer, writers, revision, revisions], 0..4)
    }

    fn register_parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let name = "[a-c]{0,2}".prop_map(|name| nested(1, name.as_bytes()));
        let broken = Just(nested(1, &[0xff]));
        let property = any_number().prop_map(|value| number(2, value));
        let version = (3..5_u8, any_number()).prop_map(|(at, value)| number(at, value));
        let writer = (0..3_u64).prop_map(|writer| fixed(5, writer));
        let value = Just(nested(6, &[1; 20]));
        let part = prop_oneof![3 => name, 1 => broken, 3 => property, 3 => version, 1 => writer, 3 => value];
        proptest::collection::vec(part, 0..4)
    }
}
