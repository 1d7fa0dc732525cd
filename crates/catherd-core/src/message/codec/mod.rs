//! Messages to bytes and back.

mod decode;
mod encode;
mod exchange;
mod fragment;
mod greeting;
mod principal;

use std::fmt;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use self::decode::{decode_fragments, decode_whole};
use self::encode::encode_whole;
pub use self::encode::{Answers, encode_fragments};
use self::exchange::{
    from_ack, from_ages, from_buckets, from_fetch, from_keys, from_summaries, from_touch, to_ack,
    to_ages, to_buckets, to_fetch, to_fetch_all, to_keys, to_summaries, to_touch,
};
use self::greeting::{
    address, from_hello, from_refused, from_welcome, incarnation, state, state_number, to_hello,
    to_refused, to_welcome,
};
use super::frame::{FrameKind, put_frame};
use super::hello::{HEARTBEAT_BYTES_MAX, Heartbeat, Hello, Protocols, Refusal, Welcome};
use super::limits::{self, Shape};
use super::mac::{self, ClusterKey, MAC_BYTES};
use super::wire;
use crate::key::Key;
use crate::link::Ack;
use crate::session::{Fetched, Fragment};
use crate::sync::{Comparison, Stretch, Summaries};
use crate::version::Vector;

/// A message of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// The first message of whoever opened the connection.
    Hello(Hello),
    /// The answer to an accepted hello.
    Welcome(Welcome),
    /// The answer to a refused hello.
    Refused(Refusal),
    /// What one commit made: one fragment, or two for a change of id.
    Fragments {
        /// The context's name.
        context: String,
        /// New before old.
        fragments: Vec<Fragment>,
    },
    /// What has been applied.
    Ack(Ack),
    /// Asks for sessions.
    Fetch {
        /// Comes back in the answer.
        question: u64,
        /// The context's name.
        context: String,
        /// The sessions, and which writes of each the asker holds; at most 256.
        wanted: Vec<(Key, Vector)>,
        /// The route of the client's cookie, if its node is gone; else empty.
        route: String,
    },
    /// Asks for everything of some buckets.
    FetchAll {
        /// Comes back in the answer.
        question: u64,
        /// The context's name.
        context: String,
        /// The buckets.
        stretch: Stretch,
    },
    /// Answers a fetch.
    Whole {
        /// That of the fetch.
        question: u64,
        /// The context's name.
        context: String,
        /// One for each session, as far as they fit; the rest is to be asked for again.
        answers: Vec<Answer>,
        /// Whether the member has ever had the node of the route in its view.
        knew_route: bool,
        /// Of buckets that were asked for: whether there is more in them.
        is_cut: bool,
    },
    /// Last accesses, as ages.
    Touch {
        /// The context's name.
        context: String,
        /// At most 16 384 sessions.
        ages: Vec<(Key, Duration)>,
    },
    /// Digests of buckets: asks what differs.
    Buckets {
        /// Comes back in the answer.
        question: u64,
        /// The context's name.
        context: String,
        /// The digests.
        comparison: Comparison,
    },
    /// Answers: what is under the keys of unequal buckets.
    Summaries {
        /// That of the question.
        question: u64,
        /// The context's name.
        context: String,
        /// At most 65 536 sessions.
        summaries: Summaries,
    },
    /// Asks whether anybody uses sessions that are idle.
    Expire {
        /// Comes back in the answer.
        question: u64,
        /// The context's name.
        context: String,
        /// The sessions, and how long ago each was accessed as far as the asker knows; at most
        /// 4096.
        ages: Vec<(Key, Duration)>,
    },
    /// Answers: these are used.
    Used {
        /// That of the question.
        question: u64,
        /// The context's name.
        context: String,
        /// The sessions, and how long ago each was accessed; at most 4096.
        ages: Vec<(Key, Duration)>,
    },
    /// Nobody uses these: they are over.
    Expired {
        /// The context's name.
        context: String,
        /// At most 4096 sessions.
        keys: Vec<Key>,
        /// They ended before their limit, to make room, and nobody was asked: whoever has used one
        /// keeps it. An early end of nothing asks for room: the sender has none, and no session
        /// of its own to end.
        is_early: bool,
    },
    /// The sender has its state: from now on it is waited for.
    Ready,
    /// The sender leaves.
    Goodbye {
        /// Whether all that it had to send has been sent.
        queues_empty: bool,
    },
}

/// What a member holds of a session that was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The session.
    pub key: Key,
    /// Whether the asker holds all that is here.
    pub same: bool,
    /// What is here; `None` if `same`, or if nothing is known of the key.
    pub fragment: Option<Fragment>,
    /// Whether this incarnation has shown the session to a client.
    pub served: bool,
}

impl Answer {
    /// What came of a fetch. `served`: this incarnation has shown the session to a client.
    pub fn of(key: Key, fetched: Fetched, served: bool) -> Self {
        let (same, fragment) = match fetched {
            Fetched::Same => (true, None),
            Fetched::Fragment(fragment) => (false, Some(fragment)),
            Fetched::Unknown => (false, None),
        };
        Self {
            key,
            same,
            fragment,
            served,
        }
    }
}

/// Bytes that are no message. Whoever sent them is closed; nothing was changed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message is longer than its kind may be, or one of its parts is.
    TooLong,
    /// It has more parts than it may have.
    TooMany,
    /// It does not decode.
    Malformed,
    /// It is not of a member: wrong key, or no key where one is needed.
    NotAuthentic,
    /// It is of another cluster, or of something else altogether.
    Foreign,
    /// A fence or a revision that no session reaches. An alarm.
    Insane,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message is longer than its kind may be",
            Self::TooMany => "the message has more parts than it may have",
            Self::Malformed => "the message does not decode",
            Self::NotAuthentic => "the message was not made with the key of this cluster",
            Self::Foreign => "the message is not of this cluster",
            Self::Insane => "the message has a fence or a revision that no session reaches",
        })
    }
}

impl std::error::Error for DecodeError {}

impl Message {
    /// How long the payload of a frame of this kind may be, in bytes, if a session may have
    /// `session_bytes_max`.
    pub fn bytes_max(kind: FrameKind, session_bytes_max: usize) -> usize {
        // Names, versions and the vector come on top of what a session may have; two registers of
        // concurrent writes may take a merged session beyond it.
        let session = session_bytes_max.saturating_mul(4).saturating_add(4 << 20);
        match kind {
            FrameKind::Hello | FrameKind::Welcome => 4096,
            FrameKind::Refused | FrameKind::Ready | FrameKind::Goodbye => 256,
            FrameKind::Ack => 256 * 1024,
            FrameKind::Touch => 512 * 1024,
            FrameKind::Buckets => 600 * 1024,
            FrameKind::Summaries => 2 << 20,
            FrameKind::Expire | FrameKind::Used | FrameKind::Expired => 128 * 1024,
            FrameKind::Fetch => 4 << 20,
            FrameKind::Fragments | FrameKind::Whole => session,
            FrameKind::Unknown(_) => 1 << 20,
        }
    }

    /// Appends the message as a frame. Hellos and welcomes are signed with `key`.
    ///
    /// # Panics
    ///
    /// For [`Message::Fragments`], whose frames have numbers: see [`encode_fragments`].
    pub fn put(&self, key: Option<&ClusterKey>, out: &mut BytesMut) {
        let (kind, payload) = match self {
            Self::Hello(hello) => (FrameKind::Hello, signed(key, &to_hello(hello))),
            Self::Welcome(welcome) => (FrameKind::Welcome, signed(key, &to_welcome(welcome))),
            Self::Refused(refusal) => (FrameKind::Refused, to_refused(*refusal).encode_to_vec()),
            Self::Fragments { .. } => unreachable!("fragments are numbered by their link"),
            Self::Ack(ack) => (FrameKind::Ack, to_ack(ack).encode_to_vec()),
            Self::Fetch {
                question,
                context,
                wanted,
                route,
            } => (
                FrameKind::Fetch,
                to_fetch(*question, context, wanted, route).encode_to_vec(),
            ),
            Self::FetchAll {
                question,
                context,
                stretch,
            } => (
                FrameKind::Fetch,
                to_fetch_all(*question, context, stretch).encode_to_vec(),
            ),
            Self::Whole {
                question,
                context,
                answers,
                knew_route,
                is_cut,
            } => (
                FrameKind::Whole,
                encode_whole(*question, context, answers, (*knew_route, *is_cut)),
            ),
            Self::Touch { context, ages } => {
                (FrameKind::Touch, to_touch(context, ages).encode_to_vec())
            }
            Self::Buckets {
                question,
                context,
                comparison,
            } => (
                FrameKind::Buckets,
                to_buckets(*question, context, comparison).encode_to_vec(),
            ),
            Self::Summaries {
                question,
                context,
                summaries,
            } => (
                FrameKind::Summaries,
                to_summaries(*question, context, summaries).encode_to_vec(),
            ),
            Self::Expire {
                question,
                context,
                ages,
            } => (
                FrameKind::Expire,
                to_ages(*question, context, ages).encode_to_vec(),
            ),
            Self::Used {
                question,
                context,
                ages,
            } => (
                FrameKind::Used,
                to_ages(*question, context, ages).encode_to_vec(),
            ),
            Self::Expired {
                context,
                keys,
                is_early,
            } => {
                let expired = wire::Expired {
                    context: context.clone(),
                    keys: to_keys(keys.iter().copied()),
                    is_early: *is_early,
                };
                (FrameKind::Expired, expired.encode_to_vec())
            }
            Self::Ready => (FrameKind::Ready, Vec::new()),
            Self::Goodbye { queues_empty } => {
                let goodbye = wire::Goodbye {
                    queues_empty: *queues_empty,
                };
                (FrameKind::Goodbye, goodbye.encode_to_vec())
            }
        };
        put_frame(out, kind, &payload);
    }

    /// The message as a frame of its own.
    pub fn to_frame(&self, key: Option<&ClusterKey>) -> Bytes {
        let mut out = BytesMut::new();
        self.put(key, &mut out);
        out.freeze()
    }

    /// The message in a frame's payload; `None` for kinds of later releases, which are skipped.
    ///
    /// # Errors
    ///
    /// The payload is no message of its kind, or too large for it. Close the connection.
    pub fn decode(
        kind: FrameKind,
        payload: &Bytes,
        key: Option<&ClusterKey>,
        session_bytes_max: usize,
    ) -> Result<Option<Self>, DecodeError> {
        if payload.len() > Self::bytes_max(kind, session_bytes_max) {
            return Err(DecodeError::TooLong);
        }
        Ok(Some(match kind {
            FrameKind::Hello => Self::Hello(from_hello(verified(key, payload, &wire::HELLO)?)?),
            FrameKind::Welcome => {
                Self::Welcome(from_welcome(verified(key, payload, &wire::WELCOME)?)?)
            }
            FrameKind::Refused => Self::Refused(from_refused(&parse(payload, &wire::REFUSED)?)),
            FrameKind::Fragments => {
                check(payload, &wire::FRAGMENTS)?;
                decode_fragments(payload)?
            }
            FrameKind::Ack => Self::Ack(from_ack(parse(payload, &wire::ACK)?)),
            FrameKind::Fetch => from_fetch(parse(payload, &wire::FETCH)?)?,
            FrameKind::Whole => {
                check(payload, &wire::WHOLE)?;
                decode_whole(payload)?
            }
            FrameKind::Touch => from_touch(parse(payload, &wire::TOUCH)?)?,
            FrameKind::Buckets => from_buckets(parse(payload, &wire::BUCKETS)?)?,
            FrameKind::Summaries => from_summaries(parse(payload, &wire::SUMMARIES)?)?,
            FrameKind::Expire => {
                let (question, context, ages) = from_ages(parse(payload, &wire::AGES)?)?;
                Self::Expire {
                    question,
                    context,
                    ages,
                }
            }
            FrameKind::Used => {
                let (question, context, ages) = from_ages(parse(payload, &wire::AGES)?)?;
                Self::Used {
                    question,
                    context,
                    ages,
                }
            }
            FrameKind::Expired => {
                let wire::Expired {
                    context,
                    keys,
                    is_early,
                } = parse(payload, &wire::EXPIRED)?;
                Self::Expired {
                    context,
                    keys: from_keys(&keys)?,
                    is_early,
                }
            }
            FrameKind::Ready => Self::Ready,
            FrameKind::Goodbye => {
                let goodbye: wire::Goodbye = parse(payload, &wire::GOODBYE)?;
                Self::Goodbye {
                    queues_empty: goodbye.queues_empty,
                }
            }
            FrameKind::Unknown(_) => return Ok(None),
        }))
    }
}

/// The first bytes of every heartbeat: not of anybody else's datagrams.
const HEARTBEAT_MARK: &[u8; 4] = b"CHB1";

impl Heartbeat {
    /// The datagram: a mark, the MAC, the message.
    pub fn to_datagram(&self, key: Option<&ClusterKey>) -> Vec<u8> {
        let message = wire::Heartbeat {
            cluster: self.cluster.clone(),
            name: self.name.clone(),
            incarnation: self.incarnation.bits(),
            counter: self.counter,
            address: self.address.to_string(),
            domain: self.domain.clone(),
            state: state_number(self.state),
            protocol_min: self.protocols.min,
            protocol_max: self.protocols.max,
            heard: greeting::to_heard(&self.heard),
            wall_ms: self.wall_ms,
        };
        let payload = signed(key, &message);
        debug_assert!(payload.len() + 4 <= HEARTBEAT_BYTES_MAX, "names are capped");
        [HEARTBEAT_MARK, payload.as_slice()].concat()
    }

    /// The heartbeat in a datagram of the cluster with the id `cluster`.
    ///
    /// # Errors
    ///
    /// It is none, of another cluster, or not signed with `key`: drop and count it.
    pub fn from_datagram(
        datagram: &[u8],
        cluster: &str,
        key: Option<&ClusterKey>,
    ) -> Result<Self, DecodeError> {
        if datagram.len() > HEARTBEAT_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        let signed = datagram
            .strip_prefix(HEARTBEAT_MARK)
            .ok_or(DecodeError::Foreign)?;
        let message: wire::Heartbeat = verified(key, signed, &wire::HEARTBEAT)?;
        if message.cluster != cluster {
            return Err(DecodeError::Foreign);
        }
        Ok(Self {
            cluster: message.cluster,
            name: message.name,
            incarnation: incarnation(message.incarnation)?,
            counter: message.counter,
            address: address(&message.address)?,
            domain: message.domain,
            state: state(message.state),
            protocols: Protocols {
                min: message.protocol_min,
                max: message.protocol_max,
            },
            heard: greeting::from_heard(message.heard)?,
            wall_ms: message.wall_ms,
        })
    }
}

fn signed(key: Option<&ClusterKey>, message: &impl prost::Message) -> Vec<u8> {
    let payload = message.encode_to_vec();
    let mut signed = Vec::with_capacity(MAC_BYTES + payload.len());
    signed.put_slice(&mac::sign(key, &payload));
    signed.put_slice(&payload);
    signed
}

fn verified<M: prost::Message + Default>(
    key: Option<&ClusterKey>,
    signed: &[u8],
    shape: &Shape,
) -> Result<M, DecodeError> {
    let (mac, payload) = signed.split_first_chunk().ok_or(DecodeError::Malformed)?;
    if !mac::verify(key, payload, mac) {
        return Err(DecodeError::NotAuthentic);
    }
    check(payload, shape)?;
    M::decode(payload).map_err(|_| DecodeError::Malformed)
}

/// Decodes from `Bytes`, so that values are slices of the payload and are copied once, when kept.
fn parse<M: prost::Message + Default>(payload: &Bytes, shape: &Shape) -> Result<M, DecodeError> {
    check(payload, shape)?;
    M::decode(payload.clone()).map_err(|_| DecodeError::Malformed)
}

/// Nested messages of all levels together: their structs take at most some ten megabytes.
const NESTED_MAX: usize = 66_000;

fn check(payload: &[u8], shape: &Shape) -> Result<(), DecodeError> {
    limits::check(payload, shape, &mut NESTED_MAX.clone())
}
