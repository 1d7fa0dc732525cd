//! What travels between nodes: the messages, their encoding, and the caps that bad input meets.
//!
//! The types here are plain values; their wire form is private to the codec, so that either can
//! change without the other. Every decoder checks lengths, counts and depth before it allocates.

mod codec;
mod fields;
mod frame;
mod hello;
mod limits;
mod mac;
mod wire;

pub use codec::{Answer, Answers, DecodeError, Message, encode_fragments};
pub use frame::{FrameError, FrameKind, FrameReader, Head, put_fragments_head, put_frame};
pub use hello::{
    HEARD_MAX, HEARTBEAT_BYTES_MAX, Heartbeat, Hello, MemberState, Protocols, Purpose, Refusal,
    Welcome,
};
pub use mac::ClusterKey;
