//! One pass over the bytes of a message before it is decoded.
//!
//! prost bounds depth but not counts: two megabytes of empty nested messages become sixty-four
//! megabytes of structs. So every message has a shape, and bytes that do not keep to it are
//! refused before anything is allocated.

use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::codec::DecodeError;

/// What the fields of a message may be.
#[derive(Debug)]
pub(super) struct Shape {
    /// Fields that hold messages: number, shape, and how many there may be.
    pub(super) nested: &'static [(u32, &'static Self, usize)],
    /// Fields that hold bytes, text or packed numbers: number, and how long each may be.
    pub(super) leaves: &'static [(u32, usize)],
    /// How many fields there may be besides the nested ones.
    pub(super) plain_max: usize,
}

/// Unknown fields come from a later release and are skipped; they may be this long.
const UNKNOWN_BYTES_MAX: usize = 64 * 1024;

/// Checks `bytes` against `shape`; `budget` counts down over all nested messages.
pub(super) fn check(
    mut bytes: &[u8],
    shape: &Shape,
    budget: &mut usize,
) -> Result<(), DecodeError> {
    let mut plain = 0;
    let mut counts = [0_usize; 4];
    debug_assert!(
        shape.nested.len() <= counts.len(),
        "a counter for each nested field"
    );
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(|_| DecodeError::Malformed)?;
        if let Some(at) = shape
            .nested
            .iter()
            .position(|(nested, ..)| *nested == number)
        {
            let (_, inner, max) = shape.nested[at];
            counts[at] += 1;
            *budget = budget.checked_sub(1).ok_or(DecodeError::TooMany)?;
            if wire != WireType::LengthDelimited || counts[at] > max {
                return Err(DecodeError::TooMany);
            }
            check(take(&mut bytes)?, inner, budget)?;
            continue;
        }
        plain += 1;
        if plain > shape.plain_max {
            return Err(DecodeError::TooMany);
        }
        match wire {
            WireType::LengthDelimited => {
                let known = shape.leaves.iter().find(|(leaf, _)| *leaf == number);
                let max = known.map_or(UNKNOWN_BYTES_MAX, |(_, max)| *max);
                if take(&mut bytes)?.len() > max {
                    return Err(DecodeError::TooLong);
                }
            }
            WireType::Varint => {
                decode_varint(&mut bytes).map_err(|_| DecodeError::Malformed)?;
            }
            WireType::SixtyFourBit => skip(&mut bytes, 8)?,
            WireType::ThirtyTwoBit => skip(&mut bytes, 4)?,
            WireType::StartGroup | WireType::EndGroup => return Err(DecodeError::Malformed),
        }
    }
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = decode_varint(bytes).map_err(|_| DecodeError::Malformed)?;
    let len = usize::try_from(len).map_err(|_| DecodeError::Malformed)?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or(DecodeError::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn skip(bytes: &mut &[u8], len: usize) -> Result<(), DecodeError> {
    *bytes = bytes.get(len..).ok_or(DecodeError::Malformed)?;
    Ok(())
}
