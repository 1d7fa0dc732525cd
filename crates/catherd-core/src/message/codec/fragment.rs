//! Fragments of sessions: keys, vectors, registers.

use std::time::Duration;

use bytes::Bytes;

use super::super::wire;
use super::greeting::{incarnation, millis};
use super::{DecodeError, Message};
use crate::key::Key;
use crate::session::{Birth, Content, Fragment, Name, Register, Slot, Tombstone, Value, Write};
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

pub(super) fn to_fragment(fragment: &Fragment) -> wire::Fragment {
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
            let named = named_version(write);
            wire::Fragment {
                key,
                birth_incarnation: write.birth.incarnation.bits(),
                birth_serial: write.birth.serial,
                seen: Some(to_vector(&write.seen)),
                writer: write
                    .since
                    .map(|since| since.writer)
                    .or(named.map(|version| version.writer))
                    .map_or(0, Incarnation::bits),
                since: write.since.map(|since| since.revision),
                fence: named.map_or(0, |version| version.fence),
                revision: named.map_or(0, |version| version.revision),
                registers: write
                    .registers
                    .iter()
                    .map(|r| to_register(r, named))
                    .collect(),
                age_ms: millis(write.age),
                life_ms: None,
                generation: 0,
                lived_ms: millis(write.lived),
            }
        }
    }
}

/// The version that most registers of a fragment have, and need not repeat: that of its write.
pub(super) fn named_version(write: &Write) -> Option<Version> {
    let versions = write.registers.iter().map(|(_, register)| register.version);
    match write.since {
        Some(since) => versions
            .filter(|version| version.writer == since.writer)
            .max(),
        None => versions.max(),
    }
}

pub(super) fn to_register(entry: &(Slot, Register), named: Option<Version>) -> wire::Register {
    let (slot, Register { version, value }) = entry;
    let mut register = wire::Register::default();
    match slot {
        Slot::Property(number) => register.property = Some(*number),
        Slot::Principal => {}
        Slot::Attribute(name) => register.attribute = Some(name.as_str().to_owned()),
    }
    if named != Some(*version) {
        register.fence = version.fence;
        register.revision = version.revision;
        register.writer = version.writer.bits();
    }
    register.value = value
        .as_ref()
        .map(|value| Bytes::from_owner(value.to_shared()));
    register
}

pub(super) fn from_fragment(fragment: wire::Fragment) -> Result<Fragment, DecodeError> {
    let key = from_key(&fragment.key)?;
    let age = Duration::from_millis(fragment.age_ms);
    let generation = fragment.generation;
    if generation > Version::REVISION_MAX {
        return Err(DecodeError::Insane);
    }
    if let Some(life_ms) = fragment.life_ms {
        let life = Duration::from_millis(life_ms);
        return Ok(Fragment {
            key,
            content: Content::Tombstone(Tombstone {
                age,
                life,
                generation,
            }),
        });
    }
    // A session that lives is of no generation; its principal is.
    if generation > 0 {
        return Err(DecodeError::Malformed);
    }
    let named = (fragment.revision != 0)
        .then(|| version(fragment.fence, fragment.revision, fragment.writer))
        .transpose()?;
    // Empty for a copy that so far only heard of writes: such a one is whole.
    let seen = from_vector(fragment.seen.as_ref())?;
    let since = fragment
        .since
        .map(|revision| {
            Ok(Dot {
                writer: incarnation(fragment.writer)?,
                revision,
            })
        })
        .transpose()?;
    if since.is_some_and(|since| since.revision > Version::REVISION_MAX) {
        return Err(DecodeError::Insane);
    }
    // A writer's copy holds what the writer wrote, and that is not less than before.
    if since.is_some_and(|since| since.revision.max(1) > seen.revision(since.writer)) {
        return Err(DecodeError::Malformed);
    }
    let mut registers = fragment
        .registers
        .into_iter()
        .map(|register| from_register(register, named))
        .collect::<Result<Vec<_>, _>>()?;
    registers.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if registers.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(DecodeError::Malformed);
    }
    let birth = Birth {
        incarnation: incarnation(fragment.birth_incarnation)?,
        serial: fragment.birth_serial,
    };
    let write = Write {
        birth,
        seen,
        since,
        registers,
        age,
        lived: Duration::from_millis(fragment.lived_ms),
    };
    Ok(Fragment {
        key,
        content: Content::Write(write),
    })
}

pub(super) fn version(fence: u32, revision: u64, writer: u64) -> Result<Version, DecodeError> {
    let version = Version {
        fence,
        revision,
        writer: incarnation(writer)?,
    };
    if version.is_sane() {
        Ok(version)
    } else {
        Err(DecodeError::Insane)
    }
}

pub(super) fn from_register(
    register: wire::Register,
    named: Option<Version>,
) -> Result<(Slot, Register), DecodeError> {
    let slot = match (register.attribute, register.property) {
        (Some(name), None) => Slot::Attribute(Name::new(&name).ok_or(DecodeError::Malformed)?),
        (None, Some(number)) => Slot::Property(number),
        (None, None) => Slot::Principal,
        (Some(_), Some(_)) => return Err(DecodeError::Malformed),
    };
    let version = if register.revision == 0 {
        named.ok_or(DecodeError::Malformed)?
    } else {
        version(register.fence, register.revision, register.writer)?
    };
    Ok((
        slot,
        Register {
            version,
            value: register.value.map(|bytes| Value::new(&bytes)),
        },
    ))
}

pub(super) fn from_fragments(message: wire::Fragments) -> Result<Message, DecodeError> {
    if message.fragments.is_empty() {
        return Err(DecodeError::Malformed);
    }
    let fragments = message
        .fragments
        .into_iter()
        .map(from_fragment)
        .collect::<Result<_, _>>()?;
    Ok(Message::Fragments {
        context: message.context,
        fragments,
    })
}
