//! Frames: how messages stand one after another on a connection.
//!
//! A frame is its length (4 bytes, big-endian, of all that follows), its kind (1 byte) and its
//! payload. The payload of [`FrameKind::Fragments`] begins with the frame's number (8 bytes,
//! big-endian), which belongs to the connection; the rest is encoded once for all of them.

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
    out.put_u32(1 + payload_len(payload));
    out.put_u8(kind.to_byte());
    out.put_slice(payload);
}

/// Appends the head of a frame of fragments; the payload of `payload_len` bytes must follow.
pub fn put_fragments_head(out: &mut BytesMut, number: u64, payload_len: usize) {
    out.reserve(13 + payload_len);
    out.put_u32(9 + u32::try_from(payload_len).expect("frames are capped far below 4 GiB"));
    out.put_u8(FrameKind::Fragments.to_byte());
    out.put_u64(number);
}

fn payload_len(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("frames are capped far below 4 GiB")
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
    /// The frame is too short for its own head.
    TooShort,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "a frame of {len} bytes, more than {max}"),
            Self::TooShort => f.write_str("a frame shorter than its own head"),
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
        let Some(len) = buffer.first_chunk().map(|len| u32::from_be_bytes(*len)) else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > self.max {
            return Err(FrameError::TooLong {
                len: len as u64,
                max: self.max,
            });
        }
        let Some(&kind) = buffer.get(4) else {
            return if len == 0 {
                Err(FrameError::TooShort)
            } else {
                Ok(None)
            };
        };
        let kind = FrameKind::from_byte(kind);
        let head = if kind == FrameKind::Fragments { 9 } else { 1 };
        if len < head {
            return Err(FrameError::TooShort);
        }
        if buffer.len() < 4 + len {
            return Ok(None);
        }
        buffer.advance(5);
        let number = if head == 9 { buffer.get_u64() } else { 0 };
        Ok(Some((
            Head { kind, number },
            buffer.split_to(len - head).freeze(),
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
        for cut in 1..wire.len() {
            let reader = FrameReader::new(64);
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
                len: u64::from(u32::MAX),
                max: 1024
            }
        );
    }

    #[test]
    fn a_frame_too_short_for_its_head_is_refused() {
        let reader = FrameReader::new(1024);
        for wire in [&[0, 0, 0, 0][..], &[0, 0, 0, 4, 4, 0, 0, 0]] {
            assert_eq!(
                reader.next(&mut BytesMut::from(wire)),
                Err(FrameError::TooShort)
            );
        }
    }

    #[test]
    fn every_kind_has_its_own_byte() {
        for byte in 0..=u8::MAX {
            assert_eq!(FrameKind::from_byte(byte).to_byte(), byte);
        }
    }
}
