//! Bytes from a socket: whatever they are, nothing panics, and what decodes encodes to the same.

use bytes::{BufMut as _, Bytes, BytesMut};
use catherd_core::message::{
    FrameError, FrameKind, FrameReader, Head, Heartbeat, Message, encode_fragments,
    put_fragments_head,
};
use catherd_core::session::{Principal, Value};

/// What a session may have in the targets, in bytes.
pub(crate) const SESSION_BYTES_MAX: usize = 1 << 16;
const FRAME_BYTES_MAX: usize = 1 << 18;

/// A datagram of a cluster without key.
pub fn heartbeat(data: &[u8]) {
    let Ok(heartbeat) = Heartbeat::from_datagram(data, "catherd", None) else {
        return;
    };
    let again = Heartbeat::from_datagram(&heartbeat.to_datagram(None), "catherd", None);
    assert_eq!(again, Ok(heartbeat));
}

/// The bytes of a connection. The frames are the same however the bytes are cut on their way; the
/// first byte says how.
pub fn frame_stream(data: &[u8]) {
    let Some((&step, stream)) = data.split_first() else {
        return;
    };
    let at_once = frames(stream, stream.len().max(1));
    let in_parts = frames(stream, usize::from(step).max(1));
    assert_eq!(at_once, in_parts);
    for (head, payload) in at_once.0 {
        comes_back(head.kind, &payload);
    }
}

/// The payload of a frame; the first byte is its kind.
pub fn message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else {
        return;
    };
    comes_back(kind_of(kind), &Bytes::copy_from_slice(payload));
}

/// The value of the register that says who is logged in.
pub fn principal(data: &[u8]) {
    let Ok(principal) = Principal::from_value(&Value::new(data)) else {
        return;
    };
    let value = principal.to_value();
    let value = value.expect("what decodes is what a session can keep");
    assert_eq!(Principal::from_value(&value), Ok(principal));
}

/// The frames in `stream`, which arrives `step` bytes at a time, and what ended it.
pub(crate) fn frames(stream: &[u8], step: usize) -> (Vec<(Head, Bytes)>, Option<FrameError>) {
    let reader = FrameReader::new(FRAME_BYTES_MAX);
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for part in stream.chunks(step) {
        buffer.put_slice(part);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// The message as a frame of its own.
pub(crate) fn to_frame(message: &Message) -> Bytes {
    let Message::Fragments { context, fragments } = message else {
        return message.to_frame(None);
    };
    let payload = encode_fragments(context, fragments);
    let mut frame = BytesMut::new();
    put_fragments_head(&mut frame, 1, payload.len());
    frame.put_slice(&payload);
    frame.freeze()
}

pub(crate) fn decode(kind: FrameKind, payload: &Bytes) -> Option<Message> {
    Message::decode(kind, payload, None, SESSION_BYTES_MAX)
        .ok()
        .flatten()
}

fn comes_back(kind: FrameKind, payload: &Bytes) {
    let Some(message) = decode(kind, payload) else {
        return;
    };
    let frame = to_frame(&message);
    let (frames, _) = frames(&frame, frame.len());
    let [(head, payload)] = frames.as_slice() else {
        panic!("a message is one frame, not {}", frames.len());
    };
    assert_eq!(decode(head.kind, payload), Some(message));
}

/// The kind that a byte stands for, as a reader of frames says.
fn kind_of(byte: u8) -> FrameKind {
    let frame = [0, 2, byte, 0];
    let next = FrameReader::new(FRAME_BYTES_MAX).next(&mut BytesMut::from(&frame[..]));
    let (head, _) = next
        .expect("a frame of two bytes has room for any head")
        .expect("it is all there");
    head.kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_a_message_decodes() {
        for (name, data) in crate::seeds("message") {
            let payload = Bytes::copy_from_slice(&data[1..]);
            assert!(decode(kind_of(data[0]), &payload).is_some(), "{name}");
        }
    }

    #[test]
    fn every_seed_of_a_heartbeat_decodes() {
        for (name, data) in crate::seeds("heartbeat") {
            let decoded = Heartbeat::from_datagram(&data, "catherd", None);
            assert!(decoded.is_ok(), "{name}: {decoded:?}");
        }
    }

    #[test]
    fn every_seed_of_a_principal_decodes() {
        for (name, data) in crate::seeds("principal") {
            let decoded = Principal::from_value(&Value::new(&data));
            assert!(decoded.is_ok(), "{name}: {decoded:?}");
        }
    }

    #[test]
    fn every_seed_of_a_stream_is_frames_that_decode() {
        for (name, data) in crate::seeds("frame_stream") {
            let (frames, error) = frames(&data[1..], 3);
            assert_eq!(error, None, "{name}");
            assert!(!frames.is_empty(), "{name}");
            for (head, payload) in frames {
                assert!(decode(head.kind, &payload).is_some(), "{name}");
            }
        }
    }
}
