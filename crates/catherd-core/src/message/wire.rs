//! The wire form of the messages: protobuf, derived. Numbers of fields are for ever.
//!
//! Domain types are elsewhere; `codec` converts. The golden files of the tests are the schema.

use bytes::Bytes;
use prost::Message;

use super::hello::HEARD_MAX;
use super::limits::Shape;
use crate::expiry::Inquiry;
use crate::session::Principal as User;
use crate::sync::{Comparison, Marks, Stretch as Asked};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Heartbeat {
    #[prost(string, tag = "1")]
    pub(super) cluster: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(fixed64, tag = "3")]
    pub(super) incarnation: u64,
    #[prost(uint64, tag = "4")]
    pub(super) counter: u64,
    #[prost(string, tag = "5")]
    pub(super) address: String,
    #[prost(string, tag = "6")]
    pub(super) domain: String,
    #[prost(uint32, tag = "7")]
    pub(super) state: u32,
    #[prost(uint32, tag = "8")]
    pub(super) protocol_min: u32,
    #[prost(uint32, tag = "9")]
    pub(super) protocol_max: u32,
    #[prost(fixed64, repeated, packed = "true", tag = "10")]
    pub(super) heard: Vec<u64>,
    #[prost(sfixed64, optional, tag = "11")]
    pub(super) wall_ms: Option<i64>,
}

pub(super) const HEARTBEAT: Shape = Shape {
    nested: &[],
    leaves: &[(1, 64), (2, 64), (5, 64), (6, 64), (10, HEARD_MAX * 8)],
    plain_max: 64,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Hello {
    #[prost(string, tag = "1")]
    pub(super) cluster: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(fixed64, tag = "3")]
    pub(super) incarnation: u64,
    #[prost(string, tag = "4")]
    pub(super) address: String,
    #[prost(string, tag = "5")]
    pub(super) domain: String,
    #[prost(uint32, tag = "6")]
    pub(super) state: u32,
    #[prost(uint32, tag = "7")]
    pub(super) protocol_min: u32,
    #[prost(uint32, tag = "8")]
    pub(super) protocol_max: u32,
    #[prost(bool, tag = "9")]
    pub(super) probe: bool,
    #[prost(fixed64, tag = "10")]
    pub(super) to: u64,
    #[prost(uint64, tag = "11")]
    pub(super) counter_heard: u64,
    #[prost(uint64, tag = "12")]
    pub(super) silence_ms: u64,
    #[prost(fixed64, tag = "13")]
    pub(super) settings: u64,
    #[prost(bool, tag = "16")]
    pub(super) pooled: bool,
}

pub(super) const HELLO: Shape = Shape {
    nested: &[],
    leaves: &[(1, 64), (2, 64), (4, 64), (5, 64)],
    plain_max: 64,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Welcome {
    #[prost(uint32, tag = "1")]
    pub(super) protocol: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(fixed64, tag = "3")]
    pub(super) incarnation: u64,
    #[prost(uint32, tag = "4")]
    pub(super) state: u32,
    #[prost(uint64, tag = "5")]
    pub(super) counter_heard: u64,
    #[prost(uint64, tag = "6")]
    pub(super) silence_ms: u64,
    #[prost(fixed64, tag = "7")]
    pub(super) settings: u64,
    #[prost(fixed64, repeated, packed = "true", tag = "8")]
    pub(super) heard: Vec<u64>,
}

pub(super) const WELCOME: Shape = Shape {
    nested: &[],
    leaves: &[(2, 64), (8, HEARD_MAX * 8)],
    plain_max: 64,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Refused {
    #[prost(uint32, tag = "1")]
    pub(super) reason: u32,
}

pub(super) const REFUSED: Shape = Shape {
    nested: &[],
    leaves: &[],
    plain_max: 64,
};

/// Writer and revision in two packed lists of equal length.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Vector {
    #[prost(fixed64, repeated, packed = "true", tag = "1")]
    pub(super) writers: Vec<u64>,
    #[prost(uint64, repeated, packed = "true", tag = "2")]
    pub(super) revisions: Vec<u64>,
}

/// A vector has at most this many entries on the wire.
pub(super) const VECTOR_MAX: usize = 1024;

pub(super) const VECTOR: Shape = Shape {
    nested: &[],
    leaves: &[(1, VECTOR_MAX * 8), (2, VECTOR_MAX * 10)],
    plain_max: 16,
};

/// A register without a revision has the version that its fragment names; one without a writer,
/// the fragment's. The name is text, and bytes here: the decoder need not copy it.
#[cfg(any(test, doc))]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Register {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) attribute: Option<Bytes>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) property: Option<u32>,
    #[prost(uint32, tag = "3")]
    pub(super) fence: u32,
    #[prost(uint64, tag = "4")]
    pub(super) revision: u64,
    #[prost(fixed64, tag = "5")]
    pub(super) writer: u64,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) value: Option<Bytes>,
}

const REGISTER: Shape = Shape {
    nested: &[],
    leaves: &[(1, 1024), (6, usize::MAX)],
    plain_max: 32,
};

/// The value of the register that says who is logged in.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Principal {
    #[prost(string, tag = "1")]
    pub(super) user: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) roles: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) auth_type: String,
    #[prost(uint64, tag = "4")]
    pub(super) generation: u64,
}

pub(super) const PRINCIPAL: Shape = Shape {
    nested: &[],
    leaves: &[
        (1, User::USER_BYTES_MAX),
        (2, User::ROLE_BYTES_MAX),
        (3, User::AUTH_TYPE_BYTES_MAX),
    ],
    plain_max: User::ROLES_MAX + 16,
};

/// A whole fragment has no `since`, a tombstone a life; that of a user has a generation as well.
///
/// What most writes would repeat is left out: the writer if it is that of the birth, the revision
/// if it is the one after `since`, and `seen` if it knows of that write of that writer alone (of
/// nothing, without a revision).
#[cfg(any(test, doc))]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Fragment {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(fixed64, tag = "2")]
    pub(super) birth_incarnation: u64,
    #[prost(uint64, tag = "3")]
    pub(super) birth_serial: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) seen: Option<Vector>,
    /// With fence and revision: the version of registers that do not name theirs.
    #[prost(fixed64, tag = "5")]
    pub(super) writer: u64,
    /// What the writer had written before; without it the fragment is whole.
    #[prost(uint64, optional, tag = "6")]
    pub(super) since: Option<u64>,
    #[prost(uint32, tag = "7")]
    pub(super) fence: u32,
    #[prost(uint64, tag = "8")]
    pub(super) revision: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) registers: Vec<Register>,
    #[prost(uint64, tag = "10")]
    pub(super) age_ms: u64,
    #[prost(uint64, optional, tag = "11")]
    pub(super) life_ms: Option<u64>,
    /// How long ago the session was created; left out by senders that do not know.
    #[prost(uint64, tag = "12")]
    pub(super) lived_ms: u64,
    #[prost(uint64, tag = "13")]
    pub(super) generation: u64,
}

const FRAGMENT: Shape = Shape {
    nested: &[(4, &VECTOR, 1), (9, &REGISTER, 65_536)],
    leaves: &[(1, 16)],
    plain_max: 64,
};

#[cfg(any(test, doc))]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Fragments {
    #[prost(string, tag = "1")]
    pub(super) context: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) fragments: Vec<Fragment>,
}

/// A commit makes one fragment, a change of id two.
pub(super) const FRAGMENTS: Shape = Shape {
    nested: &[(2, &FRAGMENT, 2)],
    leaves: &[(1, 1024)],
    plain_max: 16,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ack {
    #[prost(uint64, tag = "1")]
    pub(super) up_to: u64,
    #[prost(uint64, repeated, packed = "true", tag = "2")]
    pub(super) behind: Vec<u64>,
    #[prost(uint64, repeated, packed = "true", tag = "3")]
    pub(super) ended: Vec<u64>,
    #[prost(uint64, repeated, packed = "true", tag = "4")]
    pub(super) twins: Vec<u64>,
    #[prost(uint64, repeated, packed = "true", tag = "5")]
    pub(super) unheld: Vec<u64>,
}

const ACK_LIST: usize = 8192 * 10;

pub(super) const ACK: Shape = Shape {
    nested: &[],
    leaves: &[(2, ACK_LIST), (3, ACK_LIST), (4, ACK_LIST), (5, ACK_LIST)],
    plain_max: 16,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Wanted {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(super) held: Option<Vector>,
}

const WANTED: Shape = Shape {
    nested: &[(2, &VECTOR, 1)],
    leaves: &[(1, 16)],
    plain_max: 16,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Fetch {
    #[prost(uint64, tag = "1")]
    pub(super) question: u64,
    #[prost(string, tag = "2")]
    pub(super) context: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) wanted: Vec<Wanted>,
    #[prost(string, tag = "4")]
    pub(super) route: String,
    /// Everything of these buckets, and none that is named.
    #[prost(message, optional, tag = "5")]
    pub(super) stretch: Option<Stretch>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stretch {
    #[prost(uint32, tag = "1")]
    pub(super) size: u32,
    #[prost(uint32, tag = "2")]
    pub(super) from: u32,
    #[prost(uint32, tag = "3")]
    pub(super) end: u32,
    /// Empty for none.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) after: Bytes,
    #[prost(uint32, tag = "5")]
    pub(super) most: u32,
}

const STRETCH: Shape = Shape {
    nested: &[],
    leaves: &[(4, 16)],
    plain_max: 16,
};

/// A fetch asks for at most this many sessions.
pub(super) const FETCH_MAX: usize = Asked::SESSIONS_MAX;

pub(super) const FETCH: Shape = Shape {
    nested: &[(3, &WANTED, FETCH_MAX), (5, &STRETCH, 1)],
    leaves: &[(2, 1024), (4, 64)],
    plain_max: 16,
};

/// Without a fragment: the asker holds all of it (`same`), or nothing is known.
#[cfg(any(test, doc))]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bool, tag = "2")]
    pub(super) same: bool,
    #[prost(message, optional, tag = "3")]
    pub(super) fragment: Option<Fragment>,
    #[prost(bool, tag = "4")]
    pub(super) served: bool,
}

const ANSWER: Shape = Shape {
    nested: &[(3, &FRAGMENT, 1)],
    leaves: &[(1, 16)],
    plain_max: 16,
};

#[cfg(any(test, doc))]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Whole {
    #[prost(uint64, tag = "1")]
    pub(super) question: u64,
    #[prost(string, tag = "2")]
    pub(super) context: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) answers: Vec<Answer>,
    #[prost(bool, tag = "4")]
    pub(super) knew_route: bool,
    #[prost(bool, tag = "5")]
    pub(super) is_cut: bool,
}

pub(super) const WHOLE: Shape = Shape {
    nested: &[(3, &ANSWER, FETCH_MAX)],
    leaves: &[(2, 1024)],
    plain_max: 16,
};

/// Keys of 16 bytes one after another, and an age for each.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Touch {
    #[prost(string, tag = "1")]
    pub(super) context: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) keys: Bytes,
    #[prost(uint64, repeated, packed = "true", tag = "3")]
    pub(super) ages_ms: Vec<u64>,
}

/// A batch of touches has at most this many sessions.
pub(super) const TOUCH_MAX: usize = 16_384;

pub(super) const TOUCH: Shape = Shape {
    nested: &[],
    leaves: &[(1, 1024), (2, TOUCH_MAX * 16), (3, TOUCH_MAX * 10)],
    plain_max: 16,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Buckets {
    #[prost(uint64, tag = "1")]
    pub(super) question: u64,
    #[prost(string, tag = "2")]
    pub(super) context: String,
    #[prost(uint32, tag = "3")]
    pub(super) size: u32,
    #[prost(uint32, tag = "4")]
    pub(super) from: u32,
    #[prost(fixed64, repeated, packed = "true", tag = "5")]
    pub(super) digests: Vec<u64>,
    #[prost(bool, tag = "6")]
    pub(super) mutual: bool,
    /// Which buckets the digests are of; empty if they follow one another.
    #[prost(uint32, repeated, packed = "true", tag = "7")]
    pub(super) only: Vec<u32>,
}

const ONLY_MAX: usize = Marks::SIZE as usize;

pub(super) const BUCKETS: Shape = Shape {
    nested: &[],
    leaves: &[(2, 1024), (5, 8 << 16), (7, ONLY_MAX * 2)],
    plain_max: 16,
};

/// Keys of 16 bytes one after another, and a digest for each. `next` is one more than the bucket.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Summaries {
    #[prost(uint64, tag = "1")]
    pub(super) question: u64,
    #[prost(string, tag = "2")]
    pub(super) context: String,
    #[prost(uint32, tag = "3")]
    pub(super) next: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) keys: Bytes,
    #[prost(fixed64, repeated, packed = "true", tag = "5")]
    pub(super) digests: Vec<u64>,
}

/// An answer names at most this many sessions.
pub(super) const SUMMARIES_MAX: usize = Comparison::ANSWER_MAX;

pub(super) const SUMMARIES: Shape = Shape {
    nested: &[],
    leaves: &[(2, 1024), (4, SUMMARIES_MAX * 16), (5, SUMMARIES_MAX * 8)],
    plain_max: 16,
};

/// An expire, or the answer to it: keys of 16 bytes one after another, and an age for each.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Ages {
    #[prost(uint64, tag = "1")]
    pub(super) question: u64,
    #[prost(string, tag = "2")]
    pub(super) context: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) keys: Bytes,
    #[prost(uint64, repeated, packed = "true", tag = "4")]
    pub(super) ages_ms: Vec<u64>,
}

const EXPIRE_MAX: usize = Inquiry::SESSIONS_MAX;

pub(super) const AGES: Shape = Shape {
    nested: &[],
    leaves: &[(2, 1024), (3, EXPIRE_MAX * 16), (4, EXPIRE_MAX * 10)],
    plain_max: 16,
};

/// Keys of 16 bytes one after another.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Expired {
    #[prost(string, tag = "1")]
    pub(super) context: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) keys: Bytes,
    #[prost(bool, tag = "3")]
    pub(super) is_early: bool,
}

pub(super) const EXPIRED: Shape = Shape {
    nested: &[],
    leaves: &[(1, 1024), (2, EXPIRE_MAX * 16)],
    plain_max: 16,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Goodbye {
    #[prost(bool, tag = "1")]
    pub(super) queues_empty: bool,
}

pub(super) const GOODBYE: Shape = Shape {
    nested: &[],
    leaves: &[],
    plain_max: 16,
};
