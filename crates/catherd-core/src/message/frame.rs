//! Frames: how messages stand one after another on a connection.
//!
//! A frame is its length (of all that follows), its kind (1 byte) and its payload. The payload of
//! [`FrameKind::Fragments`] begins with the frame's number, which belongs to the connection; the
//! rest is encoded once for all of them.
//!
//! A length has 2 bytes, big-endian; from 32 768 on 4, of which the highest bit is set. So text and
//! the beginning of TLS claim more than a hello may have, and are refused with their first bytes.
//! A number has 7 bits a byte, the lowest first, and the highest bit of each but the last is set.
//! Neither may be longer than it has to be.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a frame holds.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FrameKind {
    /// A hello.
    Hello,
    /// The answer to an accepted hello.
    Welcome,
    /// The answer to a refused hello.
    Refused,
    /// What one commit made; numbered.
    Fragments,
    /// What has been applied.
    Ack,
    /// Asks for sessions.
    Fetch,
    /// Answers a fetch.
    Whole,
    /// Last accesses, as ages.
    Touch,
    /// The sender has its state: from now on it is waited for.
    Ready,
    /// The sender leaves.
    Goodbye,
    /// Digests of buckets: asks what differs.
    Buckets,
    /// Answers: what is under the keys of unequal buckets.
    Summaries,
    /// Asks whether anybody uses sessions that are idle.
    Expire,
    /// Answers: these are used.
    Used,
    /// Nobody uses these: they are over.
    Expired,
    /// A kind of a later release: skipped.
    Unknown(u8),
}

impl FrameKind {
    const KNOWN: [(u8, Self); 15] = [
        (1, Self::Hello),
        (2, Self::Welcome),
        (3, Self::Refused),
        (4, Self::Fragments),
        (5, Self::Ack),
        (6, Self::Fetch),
        (7, Self::Whole),
        (8, Self::Touch),
        (9, Self::Ready),
        (10, Self::Goodbye),
        (11, Self::Buckets),
        (12, Self::Summaries),
        (13, Self::Expire),
        (14, Self::Used),
        (15, Self::Expired),
    ];

    fn from_byte(byte: u8) -> Self {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == byte)
            .map_or(Self::Unknown(byte), |k| k.1)
    }

    fn to_byte(self) -> u8 {
        if let Self::Unknown(byte) = self {
            return byte;
        }
        Self::KNOWN
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or(0, |(byte, _)| *byte)
    }
}

/// The beginning of a frame, without its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// What the frame holds.
    pub kind: FrameKind,
    /// The number of a frame of fragments, from 1; 0 for every other kind.
    pub number: u64,
}

/// Appends a frame of any kind but [`FrameKind::Fragments`].
pub fn put_frame(out: &mut BytesMut, kind: FrameKind, payload: &[u8]) {
    debug_assert_ne!(kind, FrameKind::Fragments, "fragments have a number");
    out.reserve(5 + payload.len());
    put_len(out, 1 + payload.len());
    out.put_u8(kind.to_byte());
    out.put_slice(payload);
}

/// So many bytes are left free where the head of a frame is put before its payload.
pub(super) const HEAD_BYTES_MAX: usize = 5;

/// The frame whose payload stands in `bytes` behind [`HEAD_BYTES_MAX`] bytes for its head.
pub(super) fn into_frame(mut bytes: Vec<u8>, kind: FrameKind) -> Bytes {
    let mut head = BytesMut::with_capacity(HEAD_BYTES_MAX);
    put_len(&mut head, 1 + bytes.len() - HEAD_BYTES_MAX);
    head.put_u8(kind.to_byte());
    let free = HEAD_BYTES_MAX - head.len();
    bytes[free..HEAD_BYTES_MAX].copy_from_slice(&head);
    Bytes::from(bytes).slice(free..)
}

/// Appends the head of a frame of fragments; the payload of `payload_len` bytes must follow.
pub fn put_fragments_head(out: &mut BytesMut, number: u64, payload_len: usize) {
    out.reserve(5 + NUMBER_BYTES_MAX + payload_len);
    put_len(out, 1 + number_len(number) + payload_len);
    out.put_u8(FrameKind::Fragments.to_byte());
    let mut rest = number;
    while rest > 0x7f {
        out.put_u8(low_bits(rest) | MORE);
        rest >>= 7;
    }
    out.put_u8(low_bits(rest));
}

/// Of the first byte of a length: it has four bytes. Of a byte of a number: others follow.
const MORE: u8 = 0x80;
const SHORT_MAX: usize = 0x7fff;
const NUMBER_BYTES_MAX: usize = 10;

fn put_len(out: &mut BytesMut, len: usize) {
    match u16::try_from(len) {
        Ok(short) if len <= SHORT_MAX => out.put_u16(short),
        Ok(_) | Err(_) => {
            let long = u32::try_from(len).ok().filter(|long| *long < 1 << 31);
            let long = long.expect("frames are capped far below 2 GiB");
            out.put_u32(long | 1 << 31);
        }
    }
}

/// The length at the beginning of `bytes`, and how many bytes it takes itself; `None` if some of
/// them are still to come.
fn len_at(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    if bytes.first().is_none_or(|first| first & MORE == 0) {
        let short = bytes.first_chunk().map(|len| u16::from_be_bytes(*len));
        return Ok(short.map(|len| (usize::from(len), 2)));
    }
    let Some(long) = bytes.first_chunk().map(|len| u32::from_be_bytes(*len)) else {
        return Ok(None);
    };
    let len = usize::try_from(long & !(1 << 31)).unwrap_or(usize::MAX);
    if len <= SHORT_MAX {
        return Err(FrameError::TooShort);
    }
    Ok(Some((len, 4)))
}

fn low_bits(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & !MORE
}

fn number_len(number: u64) -> usize {
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// The number at the beginning of `bytes`, and how many bytes it takes; `None` for none.
fn number_at(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = 1 + bytes.iter().position(|byte| byte & MORE == 0)?;
    let digits = bytes[..len].iter().rev();
    let number = digits.fold(0_u128, |number, byte| {
        number << 7 | u128::from(byte & !MORE)
    });
    let number = u64::try_from(number).ok()?;
    (len <= NUMBER_BYTES_MAX && number_len(number) == len).then_some((number, len))
}

/// A connection's bytes are not frames: it must be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FrameError {
    /// The header asks for more than the cap.
    TooLong {
        /// What it asks for, in bytes.
        len: u64,
        /// The cap, in bytes.
        max: usize,
    },
    /// The frame is too short for its own head, or its length has more bytes than it needs.
    TooShort,
    /// A frame of fragments begins with no number.
    NoNumber,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "a frame of {len} bytes, more than {max}"),
            Self::TooShort => f.write_str("a frame shorter than its own head"),
            Self::NoNumber => f.write_str("a frame of fragments without a number"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Cuts a connection's bytes into frames.
///
/// Nothing is allocated for a length that a header merely claims: the caller's buffer grows by
/// what has arrived, and [`next`](Self::next) refuses a claim above the cap as soon as it is read.
#[derive(Clone, Copy, Debug)]
pub struct FrameReader {
    max: usize,
}

impl FrameReader {
    /// Accepts frames of up to `max` bytes behind their length field.
    pub fn new(max: usize) -> Self {
        Self { max }
    }

    /// Takes the next whole frame out of `buffer`; `None` if more bytes must come first.
    ///
    /// # Errors
    ///
    /// The bytes are not frames, or one is larger than the cap. Nothing was taken.
    pub fn next(&self, buffer: &mut BytesMut) -> Result<Option<(Head, Bytes)>, FrameError> {
        let Some((len, before)) = len_at(buffer)? else {
            return Ok(None);
        };
        if len > self.max {
            return Err(FrameError::TooLong {
                len: len as u64,
                max: self.max,
            });
        }
        if len == 0 {
            return Err(FrameError::TooShort);
        }
        if buffer.len() < before + len {
            return Ok(None);
        }
        let kind = FrameKind::from_byte(buffer[before]);
        let (number, number_len) = if kind == FrameKind::Fragments {
            number_at(&buffer[before + 1..before + len]).ok_or(FrameError::NoNumber)?
        } else {
            (0, 0)
        };
        buffer.advance(before + 1 + number_len);
        Ok(Some((
            Head { kind, number },
            buffer.split_to(len - 1 - number_len).freeze(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_however_the_bytes_are_cut() {
        let mut wire = BytesMut::new();
        put_frame(&mut wire, FrameKind::Ready, b"");
        put_fragments_head(&mut wire, 7, 3);
        wire.put_slice(b"abc");
        put_frame(&mut wire, FrameKind::Unknown(200), b"later");
        put_fragments_head(&mut wire, u64::MAX, 40_000);
        wire.put_bytes(7, 40_000);
        for cut in (1..40).chain([wire.len()]) {
            let reader = FrameReader::new(64_000);
            let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
            for part in wire.chunks(cut) {
                buffer.put_slice(part);
                while let Some(frame) = reader.next(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            assert!(buffer.is_empty());
            let head = |kind, number| Head { kind, number };
            assert_eq!(
                frames,
                [
                    (head(FrameKind::Ready, 0), Bytes::new()),
                    (head(FrameKind::Fragments, 7), Bytes::from_static(b"abc")),
                    (
                        head(FrameKind::Unknown(200), 0),
                        Bytes::from_static(b"later")
                    ),
                    (
                        head(FrameKind::Fragments, u64::MAX),
                        Bytes::from(vec![7; 40_000])
                    ),
                ]
            );
        }
    }

    #[test]
    fn a_claim_above_the_cap_is_refused_before_its_bytes_come() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        let error = FrameReader::new(1024).next(&mut buffer).unwrap_err();
        assert_eq!(
            error,
            FrameError::TooLong {
                len: u64::from(u32::MAX >> 1),
                max: 1024
            }
        );
    }

    #[test]
    fn a_frame_too_short_for_its_head_is_refused() {
        let reader = FrameReader::new(1024);
        for wire in [&[0, 0][..], &[0x80, 0, 0, 0], &[0x80, 0, 0x7f, 0xff]] {
            assert_eq!(
                reader.next(&mut BytesMut::from(wire)),
                Err(FrameError::TooShort)
            );
        }
    }

    #[test]
    fn fragments_without_a_number_or_with_a_stretched_one_are_refused() {
        let reader = FrameReader::new(1024);
        let endless = [&[0, 12, 4][..], &[0xff; 11]].concat();
        for wire in [
            &[0, 1, 4][..],
            &[0, 2, 4, 0x80],
            &[0, 3, 4, 0x80, 0],
            &endless,
        ] {
            assert_eq!(
                reader.next(&mut BytesMut::from(wire)),
                Err(FrameError::NoNumber)
            );
        }
    }

    #[test]
    fn a_stranger_is_refused_with_its_first_bytes() {
        let reader = FrameReader::new(4097);
        for wire in [&b"GET /"[..], b"SS", &[0x16, 0x03, 0x01]] {
            let refused = reader.next(&mut BytesMut::from(wire));
            assert!(matches!(refused, Err(FrameError::TooLong { .. })));
        }
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        for bits in 0..64 {
            for number in [(1_u64 << bits) - 1, 1 << bits, u64::MAX >> bits] {
                let mut wire = BytesMut::new();
                put_fragments_head(&mut wire, number, 0);
                let (head, payload) = FrameReader::new(64).next(&mut wire).unwrap().unwrap();
                assert_eq!((head.number, payload.len(), wire.len()), (number, 0, 0));
            }
        }
    }

    #[test]
    fn every_kind_has_its_own_byte() {
        for byte in 0..=u8::MAX {
            assert_eq!(FrameKind::from_byte(byte).to_byte(), byte);
        }
    }
}
