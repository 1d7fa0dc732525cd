//! Messages to bytes and back.

use std::fmt;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::frame::{FrameKind, put_frame};
use super::hello::{
    HEARTBEAT_BYTES_MAX, Heartbeat, Hello, MemberState, Protocols, Purpose, Refusal, Welcome,
};
use super::limits::{self, Shape};
use super::mac::{self, ClusterKey, MAC_BYTES};
use super::wire;
use crate::key::Key;
use crate::link::Ack;
use crate::session::{Birth, Content, Fragment, Name, Register, Slot, Tombstone, Value, Write};
use crate::sync::{Comparison, Summaries, Summary};
use crate::version::{Dot, Incarnation, Vector, Version};

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

/// The payload of a frame of fragments, encoded once for every link that it goes to.
pub fn encode_fragments(context: &str, fragments: &[Fragment]) -> Bytes {
    let message = wire::Fragments {
        context: context.to_owned(),
        fragments: fragments.iter().map(to_fragment).collect(),
    };
    message.encode_to_vec().into()
}

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
            Self::Whole {
                question,
                context,
                answers,
                knew_route,
            } => (
                FrameKind::Whole,
                to_whole(*question, context, answers, *knew_route).encode_to_vec(),
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
            Self::Expired { context, keys } => {
                let expired = wire::Expired {
                    context: context.clone(),
                    keys: to_keys(keys.iter().copied()),
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
            FrameKind::Fragments => from_fragments(parse(payload, &wire::FRAGMENTS)?)?,
            FrameKind::Ack => Self::Ack(from_ack(parse(payload, &wire::ACK)?)),
            FrameKind::Fetch => from_fetch(parse(payload, &wire::FETCH)?)?,
            FrameKind::Whole => from_whole(parse(payload, &wire::WHOLE)?)?,
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
                let wire::Expired { context, keys } = parse(payload, &wire::EXPIRED)?;
                Self::Expired {
                    context,
                    keys: from_keys(&keys)?,
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
            heard: self
                .heard
                .iter()
                .take(64)
                .map(|heard| heard.bits())
                .collect(),
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
            heard: message
                .heard
                .into_iter()
                .map(incarnation)
                .collect::<Result<_, _>>()?,
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

fn state_number(state: MemberState) -> u32 {
    match state {
        MemberState::Joining => 0,
        MemberState::Ready => 1,
    }
}

fn state(number: u32) -> MemberState {
    if number == 1 {
        MemberState::Ready
    } else {
        MemberState::Joining
    }
}

fn incarnation(bits: u64) -> Result<Incarnation, DecodeError> {
    if bits == 0 {
        Err(DecodeError::Malformed)
    } else {
        Ok(Incarnation::from_bits(bits))
    }
}

fn address(text: &str) -> Result<std::net::SocketAddr, DecodeError> {
    text.parse().map_err(|_| DecodeError::Malformed)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn to_hello(hello: &Hello) -> wire::Hello {
    wire::Hello {
        cluster: hello.cluster.clone(),
        name: hello.name.clone(),
        incarnation: hello.incarnation.bits(),
        address: hello.address.to_string(),
        domain: hello.domain.clone(),
        state: state_number(hello.state),
        protocol_min: hello.protocols.min,
        protocol_max: hello.protocols.max,
        probe: hello.purpose == Purpose::Probe,
        to: hello.to.map_or(0, Incarnation::bits),
        counter_heard: hello.counter_heard,
        silence_ms: millis(hello.silence),
        settings: hello.settings,
    }
}

fn from_hello(hello: wire::Hello) -> Result<Hello, DecodeError> {
    Ok(Hello {
        protocols: Protocols {
            min: hello.protocol_min,
            max: hello.protocol_max,
        },
        cluster: hello.cluster,
        name: hello.name,
        incarnation: incarnation(hello.incarnation)?,
        address: address(&hello.address)?,
        domain: hello.domain,
        state: state(hello.state),
        purpose: if hello.probe {
            Purpose::Probe
        } else {
            Purpose::Link
        },
        to: incarnation(hello.to).ok(),
        counter_heard: hello.counter_heard,
        silence: Duration::from_millis(hello.silence_ms),
        settings: hello.settings,
    })
}

fn to_welcome(welcome: &Welcome) -> wire::Welcome {
    wire::Welcome {
        protocol: welcome.protocol,
        name: welcome.name.clone(),
        incarnation: welcome.incarnation.bits(),
        state: state_number(welcome.state),
        counter_heard: welcome.counter_heard,
        silence_ms: millis(welcome.silence),
        settings: welcome.settings,
    }
}

fn from_welcome(welcome: wire::Welcome) -> Result<Welcome, DecodeError> {
    Ok(Welcome {
        protocol: welcome.protocol,
        name: welcome.name,
        incarnation: incarnation(welcome.incarnation)?,
        state: state(welcome.state),
        counter_heard: welcome.counter_heard,
        silence: Duration::from_millis(welcome.silence_ms),
        settings: welcome.settings,
    })
}

const REFUSALS: [(u32, Refusal); 7] = [
    (1, Refusal::OtherCluster),
    (2, Refusal::NoCommonProtocol),
    (3, Refusal::NameTaken),
    (4, Refusal::OtherIncarnation),
    (5, Refusal::Myself),
    (6, Refusal::Leaving),
    (7, Refusal::Full),
];

fn to_refused(refusal: Refusal) -> wire::Refused {
    let known = REFUSALS.iter().find(|(_, known)| *known == refusal);
    wire::Refused {
        reason: known.map_or(0, |(reason, _)| *reason),
    }
}

fn from_refused(refused: &wire::Refused) -> Refusal {
    let known = REFUSALS
        .iter()
        .find(|(reason, _)| *reason == refused.reason);
    known.map_or(Refusal::Unknown, |(_, refusal)| *refusal)
}

fn to_key(key: Key) -> Bytes {
    Bytes::copy_from_slice(&key.bits().to_be_bytes())
}

fn from_key(bytes: &[u8]) -> Result<Key, DecodeError> {
    let bytes = bytes.try_into().map_err(|_| DecodeError::Malformed)?;
    Ok(Key::from_bits(u128::from_be_bytes(bytes)))
}

fn to_vector(vector: &Vector) -> wire::Vector {
    wire::Vector {
        writers: vector.iter().map(|dot| dot.writer.bits()).collect(),
        revisions: vector.iter().map(|dot| dot.revision).collect(),
    }
}

fn from_vector(vector: Option<&wire::Vector>) -> Result<Vector, DecodeError> {
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

fn to_fragment(fragment: &Fragment) -> wire::Fragment {
    let key = to_key(fragment.key);
    match &fragment.content {
        Content::Tombstone(tombstone) => wire::Fragment {
            key,
            age_ms: millis(tombstone.age),
            life_ms: Some(millis(tombstone.life)),
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
            }
        }
    }
}

/// The version that most registers of a fragment have, and need not repeat: that of its write.
fn named_version(write: &Write) -> Option<Version> {
    let versions = write.registers.iter().map(|(_, register)| register.version);
    match write.since {
        Some(since) => versions
            .filter(|version| version.writer == since.writer)
            .max(),
        None => versions.max(),
    }
}

fn to_register(entry: &(Slot, Register), named: Option<Version>) -> wire::Register {
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

fn from_fragment(fragment: wire::Fragment) -> Result<Fragment, DecodeError> {
    let key = from_key(&fragment.key)?;
    let age = Duration::from_millis(fragment.age_ms);
    if let Some(life_ms) = fragment.life_ms {
        let life = Duration::from_millis(life_ms);
        return Ok(Fragment {
            key,
            content: Content::Tombstone(Tombstone { age, life }),
        });
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
    };
    Ok(Fragment {
        key,
        content: Content::Write(write),
    })
}

fn version(fence: u32, revision: u64, writer: u64) -> Result<Version, DecodeError> {
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

fn from_register(
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

fn from_fragments(message: wire::Fragments) -> Result<Message, DecodeError> {
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

fn to_ack(ack: &Ack) -> wire::Ack {
    wire::Ack {
        up_to: ack.up_to,
        behind: ack.behind.clone(),
        ended: ack.ended.clone(),
        twins: ack.twins.clone(),
    }
}

fn from_ack(ack: wire::Ack) -> Ack {
    Ack {
        up_to: ack.up_to,
        behind: ack.behind,
        ended: ack.ended,
        twins: ack.twins,
    }
}

fn to_fetch(question: u64, context: &str, wanted: &[(Key, Vector)], route: &str) -> wire::Fetch {
    let wanted = wanted
        .iter()
        .map(|(key, held)| wire::Wanted {
            key: to_key(*key),
            held: Some(to_vector(held)),
        })
        .collect();
    wire::Fetch {
        question,
        context: context.to_owned(),
        wanted,
        route: route.to_owned(),
    }
}

fn from_fetch(fetch: wire::Fetch) -> Result<Message, DecodeError> {
    let wanted = fetch
        .wanted
        .iter()
        .map(|wanted| Ok((from_key(&wanted.key)?, from_vector(wanted.held.as_ref())?)))
        .collect::<Result<_, DecodeError>>()?;
    Ok(Message::Fetch {
        question: fetch.question,
        context: fetch.context,
        wanted,
        route: fetch.route,
    })
}

fn to_whole(question: u64, context: &str, answers: &[Answer], knew_route: bool) -> wire::Whole {
    let answers = answers
        .iter()
        .map(|answer| wire::Answer {
            key: to_key(answer.key),
            same: answer.same,
            fragment: answer.fragment.as_ref().map(to_fragment),
            served: answer.served,
        })
        .collect();
    wire::Whole {
        question,
        context: context.to_owned(),
        answers,
        knew_route,
    }
}

fn from_whole(whole: wire::Whole) -> Result<Message, DecodeError> {
    let answers = whole
        .answers
        .into_iter()
        .map(|answer| {
            let key = from_key(&answer.key)?;
            let fragment = answer.fragment.map(from_fragment).transpose()?;
            if fragment
                .as_ref()
                .is_some_and(|fragment| fragment.key != key)
            {
                return Err(DecodeError::Malformed);
            }
            Ok(Answer {
                key,
                same: answer.same,
                fragment,
                served: answer.served,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Message::Whole {
        question: whole.question,
        context: whole.context,
        answers,
        knew_route: whole.knew_route,
    })
}

fn to_touch(context: &str, ages: &[(Key, Duration)]) -> wire::Touch {
    wire::Touch {
        context: context.to_owned(),
        keys: to_keys(ages.iter().map(|(key, _)| *key)),
        ages_ms: ages.iter().map(|(_, age)| millis(*age)).collect(),
    }
}

fn from_touch(touch: wire::Touch) -> Result<Message, DecodeError> {
    Ok(Message::Touch {
        context: touch.context,
        ages: paired(&touch.keys, touch.ages_ms)?,
    })
}

fn to_ages(question: u64, context: &str, ages: &[(Key, Duration)]) -> wire::Ages {
    wire::Ages {
        question,
        context: context.to_owned(),
        keys: to_keys(ages.iter().map(|(key, _)| *key)),
        ages_ms: ages.iter().map(|(_, age)| millis(*age)).collect(),
    }
}

type Ages = (u64, String, Vec<(Key, Duration)>);

fn from_ages(ages: wire::Ages) -> Result<Ages, DecodeError> {
    let paired = paired(&ages.keys, ages.ages_ms)?;
    Ok((ages.question, ages.context, paired))
}

fn to_keys(keys: impl ExactSizeIterator<Item = Key>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(keys.len() * 16);
    for key in keys {
        bytes.put_u128(key.bits());
    }
    bytes.freeze()
}

fn from_keys(bytes: &[u8]) -> Result<Vec<Key>, DecodeError> {
    let (keys, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(DecodeError::Malformed);
    }
    let key = |bytes: &[u8; 16]| Key::from_bits(u128::from_be_bytes(*bytes));
    Ok(keys.iter().map(key).collect())
}

/// Keys, and an age for each.
fn paired(keys: &[u8], ages_ms: Vec<u64>) -> Result<Vec<(Key, Duration)>, DecodeError> {
    let keys = from_keys(keys)?;
    if keys.len() != ages_ms.len() {
        return Err(DecodeError::Malformed);
    }
    let ages = ages_ms.into_iter().map(Duration::from_millis);
    Ok(keys.into_iter().zip(ages).collect())
}

fn to_buckets(question: u64, context: &str, comparison: &Comparison) -> wire::Buckets {
    wire::Buckets {
        question,
        context: context.to_owned(),
        size: comparison.size,
        from: comparison.from,
        digests: comparison.digests.clone(),
        mutual: comparison.is_mutual,
    }
}

fn from_buckets(buckets: wire::Buckets) -> Result<Message, DecodeError> {
    let wire::Buckets {
        question,
        context,
        size,
        from,
        digests,
        mutual,
    } = buckets;
    let comparison = Comparison {
        size,
        from,
        digests,
        is_mutual: mutual,
    };
    if !comparison.is_sane() {
        return Err(DecodeError::Malformed);
    }
    Ok(Message::Buckets {
        question,
        context,
        comparison,
    })
}

fn to_summaries(question: u64, context: &str, summaries: &Summaries) -> wire::Summaries {
    let mut keys = BytesMut::with_capacity(summaries.sessions.len() * 16);
    for summary in &summaries.sessions {
        keys.put_u128(summary.key.bits());
    }
    wire::Summaries {
        question,
        context: context.to_owned(),
        next: summaries.next.map_or(0, |next| next + 1),
        keys: keys.freeze(),
        digests: summaries
            .sessions
            .iter()
            .map(|summary| summary.digest)
            .collect(),
    }
}

fn from_summaries(summaries: wire::Summaries) -> Result<Message, DecodeError> {
    let (keys, rest) = summaries.keys.as_chunks::<16>();
    if !rest.is_empty() || keys.len() != summaries.digests.len() {
        return Err(DecodeError::Malformed);
    }
    let summary = |(key, digest): (&[u8; 16], &u64)| {
        let key = Key::from_bits(u128::from_be_bytes(*key));
        if *digest == 0 {
            Err(DecodeError::Malformed)
        } else {
            Ok(Summary {
                key,
                digest: *digest,
            })
        }
    };
    let sessions = keys
        .iter()
        .zip(&summaries.digests)
        .map(summary)
        .collect::<Result<_, _>>()?;
    Ok(Message::Summaries {
        question: summaries.question,
        context: summaries.context,
        summaries: Summaries {
            next: summaries.next.checked_sub(1),
            sessions,
        },
    })
}
