//! Fragments of sessions: keys, vectors, registers.

use bytes::Bytes;

use super::super::wire;
use super::DecodeError;
use super::greeting::incarnation;
use crate::key::Key;
use crate::session::Said;
use crate::version::{Dot, Incarnation, Vector, Version};

pub(super) fn to_key(key: Key) -> Bytes {
    Bytes::copy_from_slice(&key.bits().to_be_bytes())
}

pub(super) fn from_key(bytes: &[u8]) -> Result<Key, DecodeError> {
    let bytes = bytes.try_into().map_err(|_| DecodeError::Malformed)?;
    Ok(Key::from_bits(u128::from_be_bytes(bytes)))
}

pub(super) fn to_vector(vector: &Vector) -> wire::Vector {
    wire::Vector {
        writers: vector.iter().map(|dot| dot.writer.bits()).collect(),
        revisions: vector.iter().map(|dot| dot.revision).collect(),
    }
}

pub(super) fn from_vector(vector: Option<&wire::Vector>) -> Result<Vector, DecodeError> {
    let Some(vector) = vector else {
        return Ok(Vector::new());
    };
    if vector.writers.len() != vector.revisions.len() || vector.writers.len() > wire::VECTOR_MAX {
        return Err(DecodeError::Malformed);
    }
    let dot = |(writer, revision): (&u64, &u64)| {
        if *revision > Version::REVISION_MAX {
            return Err(DecodeError::Insane);
        }
        Ok(Dot {
            writer: incarnation(*writer)?,
            revision: *revision,
        })
    };
    vector
        .writers
        .iter()
        .zip(&vector.revisions)
        .map(dot)
        .collect()
}

/// What is said of a write before its registers, as it stands on the wire: what goes without saying
/// is 0, or `None`.
#[derive(Debug)]
pub(super) struct WriteHead<'a> {
    /// The version that most registers have, and need not repeat: that of the write.
    named: Option<Version>,
    named_writer: Incarnation,
    pub(super) writer: u64,
    pub(super) fence: u32,
    pub(super) revision: u64,
    pub(super) seen: Option<&'a Vector>,
}

impl<'a> WriteHead<'a> {
    pub(super) fn of(write: &Said<'a>) -> Self {
        let versions = write.registers.clone().map(|register| register.version);
        let named = match write.since {
            Some(since) => versions
                .filter(|version| version.writer == since.writer)
                .max(),
            None => versions.max(),
        };
        let birth = write.birth.incarnation;
        let since = write.since.map(|since| since.writer);
        let named_writer = since.or(named.map(|named| named.writer)).unwrap_or(birth);
        let left_out = revision_left_out(write.since.map(|since| since.revision));
        let revision = named.map_or(0, |version| version.revision);
        let said = if revision == left_out { 0 } else { revision };
        let meant = if said == 0 { left_out } else { said };
        let is_meant = write.seen.is_only(dot_left_out(named_writer, meant));
        Self {
            named,
            named_writer,
            writer: if named_writer == birth {
                0
            } else {
                named_writer.bits()
            },
            fence: named.map_or(0, |version| version.fence),
            revision: said,
            seen: (!is_meant).then_some(write.seen),
        }
    }

    /// The version of a register of the write: fence, revision, writer.
    pub(super) fn version(&self, version: Version) -> (u32, u64, u64) {
        if self.named == Some(version) {
            return (0, 0, 0);
        }
        let writer = if version.writer == self.named_writer {
            0
        } else {
            version.writer.bits()
        };
        (version.fence, version.revision, writer)
    }
}

/// The revision of a write that does not say it: the one after `since`; 0 for none.
pub(super) fn revision_left_out(since: Option<u64>) -> u64 {
    since
        .filter(|since| *since < Version::REVISION_MAX)
        .map_or(0, |since| since + 1)
}

/// All that a write has seen that does not say it: itself.
pub(super) fn dot_left_out(writer: Incarnation, revision: u64) -> Dot {
    Dot { writer, revision }
}

pub(super) fn version(
    fence: u32,
    revision: u64,
    writer: Incarnation,
) -> Result<Version, DecodeError> {
    let version = Version {
        fence,
        revision,
        writer,
    };
    if version.is_sane() {
        Ok(version)
    } else {
        Err(DecodeError::Insane)
    }
}

/// By the definition of the messages: what encoding and decoding by hand are compared with.
#[cfg(test)]
pub(super) mod defined {
    use super::super::Message;
    use super::super::decode::{Head, Register, made};
    use super::super::greeting::millis;
    use super::*;
    use crate::session::{Content, Fragment, Seen, SlotRef, ValueRef};

    /// What [`encode_fragments`](super::encode_fragments) is compared with.
    pub(in super::super) fn to_fragment(fragment: &Fragment) -> wire::Fragment {
        let key = to_key(fragment.key);
        match &fragment.content {
            Content::Tombstone(tombstone) => wire::Fragment {
                key,
                age_ms: millis(tombstone.age),
                life_ms: Some(millis(tombstone.life)),
                generation: tombstone.generation,
                ..wire::Fragment::default()
            },
            Content::Write(write) => {
                let head = WriteHead::of(&write.said());
                wire::Fragment {
                    key,
                    birth_incarnation: write.birth.incarnation.bits(),
                    birth_serial: write.birth.serial,
                    seen: head.seen.map(to_vector),
                    writer: head.writer,
                    since: write.since.map(|since| since.revision),
                    fence: head.fence,
                    revision: head.revision,
                    registers: write
                        .registers
                        .iter()
                        .map(|register| to_register(register, &head))
                        .collect(),
                    age_ms: millis(write.age),
                    life_ms: None,
                    generation: 0,
                    lived_ms: millis(write.lived),
                }
            }
        }
    }

    fn to_register(said: Seen<'_>, head: &WriteHead<'_>) -> wire::Register {
        let mut register = wire::Register::default();
        match said.slot {
            SlotRef::Property(number) => register.property = Some(number),
            SlotRef::Principal => {}
            SlotRef::Attribute(name) => register.attribute = Some(Bytes::copy_from_slice(name)),
        }
        (register.fence, register.revision, register.writer) = head.version(said.version);
        let value = said.value.map(ValueRef::as_bytes);
        register.value = value.map(Bytes::copy_from_slice);
        register
    }

    /// What [`decode`](super::super::decode) is compared with: read by the definition, and held
    /// against the same rules.
    pub(in super::super) fn from_fragment(
        fragment: &wire::Fragment,
    ) -> Result<Fragment, DecodeError> {
        let head = Head {
            key: &fragment.key,
            birth_incarnation: fragment.birth_incarnation,
            birth_serial: fragment.birth_serial,
            seen: fragment.seen.as_ref().map(|seen| from_vector(Some(seen))),
            writer: fragment.writer,
            since: fragment.since,
            fence: fragment.fence,
            revision: fragment.revision,
            age_ms: fragment.age_ms,
            life_ms: fragment.life_ms,
            lived_ms: fragment.lived_ms,
            generation: fragment.generation,
        };
        let registers = fragment.registers.iter().map(|register| Register {
            attribute: register.attribute.as_deref(),
            property: register.property,
            fence: register.fence,
            revision: register.revision,
            writer: register.writer,
            value: register.value.as_deref(),
        });
        made(head, &registers.collect::<Vec<_>>())
    }

    pub(in super::super) fn from_fragments(
        message: wire::Fragments,
    ) -> Result<Message, DecodeError> {
        if message.fragments.is_empty() {
            return Err(DecodeError::Malformed);
        }
        let fragments = message
            .fragments
            .iter()
            .map(from_fragment)
            .collect::<Result<_, _>>()?;
        Ok(Message::Fragments {
            context: message.context,
            fragments,
        })
    }
}
