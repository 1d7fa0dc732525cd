//! One pass over the bytes of a message before it is decoded.
//!
//! prost bounds depth but not counts: two megabytes of empty nested messages become sixty-four
//! megabytes of structs. So every message has a shape, and bytes that do not keep to it are
//! refused before anything is allocated.

use super::codec::DecodeError;
use super::fields::{Field, Fields};

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
pub(super) fn check(bytes: &[u8], shape: &Shape, budget: &mut usize) -> Result<(), DecodeError> {
    let mut plain = 0;
    let mut counts = [0_usize; 4];
    debug_assert!(
        shape.nested.len() <= counts.len(),
        "a counter for each nested field"
    );
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        let mut nested = shape.nested.iter().zip(&mut counts);
        if let Some(((_, inner, max), count)) = nested.find(|((nested, ..), _)| *nested == number) {
            *count += 1;
            *budget = budget.checked_sub(1).ok_or(DecodeError::TooMany)?;
            match field {
                Field::Bytes(bytes) if *count <= *max => check(bytes, inner, budget)?,
                Field::Bytes(_) | Field::Varint(_) | Field::Fixed64(_) | Field::Fixed32 => {
                    return Err(DecodeError::TooMany);
                }
            }
            continue;
        }
        plain += 1;
        if plain > shape.plain_max {
            return Err(DecodeError::TooMany);
        }
        if let Field::Bytes(bytes) = field {
            let known = shape.leaves.iter().find(|(leaf, _)| *leaf == number);
            if bytes.len() > known.map_or(UNKNOWN_BYTES_MAX, |(_, max)| *max) {
                return Err(DecodeError::TooLong);
            }
        }
    }
    Ok(())
}
