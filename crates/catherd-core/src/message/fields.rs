//! The fields of messages as they stand in the bytes of a frame.

use prost::encoding::decode_varint;

use super::codec::DecodeError;

/// The fields of a message, one after another.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

/// A field as it stands there.
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

impl<'a> Fields<'a> {
    /// The next field and its number, which is not 0; `None` at the end.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, DecodeError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (key, rest) = varint(self.0)?;
        let key = u32::try_from(key).map_err(|_| DecodeError::Malformed)?;
        let (number, wire_type) = (key >> 3, key & 0b111);
        if number == 0 {
            return Err(DecodeError::Malformed);
        }
        let (field, rest) = match wire_type {
            VARINT => {
                let (number, rest) = varint(rest)?;
                (Field::Varint(number), rest)
            }
            FIXED_64 => {
                let (taken, rest) = rest.split_first_chunk().ok_or(DecodeError::Malformed)?;
                (Field::Fixed64(u64::from_le_bytes(*taken)), rest)
            }
            FIXED_32 => {
                let rest = rest.get(4..).ok_or(DecodeError::Malformed)?;
                (Field::Fixed32, rest)
            }
            LENGTH_DELIMITED => {
                let (len, rest) = varint(rest)?;
                let len = usize::try_from(len).map_err(|_| DecodeError::Malformed)?;
                let (taken, rest) = rest.split_at_checked(len).ok_or(DecodeError::Malformed)?;
                (Field::Bytes(taken), rest)
            }
            // Groups, which no release has.
            _ => return Err(DecodeError::Malformed),
        };
        self.0 = rest;
        Ok(Some((number, field)))
    }
}

impl<'a> Field<'a> {
    pub(super) fn number(self) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(number) => Ok(number),
            Self::Fixed64(_) | Self::Fixed32 | Self::Bytes(_) => Err(DecodeError::Malformed),
        }
    }

    /// A number of 32 bits; of a longer one the low bits, as protobuf has it.
    pub(super) fn small(self) -> Result<u32, DecodeError> {
        let [a, b, c, d, ..] = self.number()?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    pub(super) fn fixed(self) -> Result<u64, DecodeError> {
        match self {
            Self::Fixed64(number) => Ok(number),
            Self::Varint(_) | Self::Fixed32 | Self::Bytes(_) => Err(DecodeError::Malformed),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32 => Err(DecodeError::Malformed),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Malformed)
    }
}

/// The number at the beginning of `bytes`, and what comes behind it.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    match bytes {
        // Most have one byte, and the lengths of values two.
        [byte @ ..0x80, rest @ ..] => Ok(((*byte).into(), rest)),
        [low, high @ ..0x80, rest @ ..] => {
            Ok((u64::from(low & 0x7f) | u64::from(*high) << 7, rest))
        }
        _ => longer(bytes),
    }
}

fn longer(mut bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let number = decode_varint(&mut bytes).map_err(|_| DecodeError::Malformed)?;
    Ok((number, bytes))
}
