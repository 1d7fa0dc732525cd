//! Messages of every kind: fixed ones for the golden files, random ones for properties.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catherd_core::key::Key;
use catherd_core::link::Ack;
use catherd_core::message::{
    Answer, ClusterKey, DecodeError, FrameKind, FrameReader, Head, Heartbeat, Hello, MemberState,
    Message, Protocols, Purpose, Refusal, Welcome, encode_fragments, put_fragments_head,
};
use catherd_core::session::{
    Birth, Content, Fragment, Name, Register, Registers, Slot, Tombstone, Value, Write,
};
use catherd_core::sync::{Comparison, Stretch, Summaries, Summary};
use catherd_core::version::{Dot, Incarnation, Vector, Version};
use proptest::prelude::*;

pub(crate) const SESSION_BYTES_MAX: usize = 1 << 20;

pub(crate) fn cluster_key() -> ClusterKey {
    ClusterKey::new(b"the key of the golden files")
}

pub(crate) fn incarnation(bits: u64) -> Incarnation {
    Incarnation::from_bits(bits)
}

pub(crate) fn dot(writer: u64, revision: u64) -> Dot {
    Dot {
        writer: incarnation(writer),
        revision,
    }
}

pub(crate) fn attribute(name: &str) -> Slot {
    Slot::Attribute(Name::new(name).expect("tests use short names"))
}

pub(crate) fn register(fence: u32, revision: u64, writer: u64, bytes: Option<&[u8]>) -> Register {
    Register {
        version: Version {
            fence,
            revision,
            writer: incarnation(writer),
        },
        value: bytes.map(Value::new),
    }
}

/// A commit over earlier writes: an attribute, a removal, the principal, a property that this
/// release does not know, and a register of another writer.
pub(crate) fn commit() -> Fragment {
    let write = Write {
        birth: Birth {
            incarnation: incarnation(0x0a0a),
            serial: 3,
        },
        seen: [dot(0x0a0a, 7), dot(0x0b0b, 5)].into_iter().collect(),
        since: Some(dot(0x0a0a, 4)),
        registers: Registers::from_iter([
            (
                Slot::Property(900),
                register(1, 7, 0x0a0a, Some(b"of a later release")),
            ),
            (Slot::Principal, register(1, 7, 0x0a0a, Some(b"anna"))),
            (attribute("cart"), register(1, 7, 0x0a0a, Some(b"3 pears"))),
            (attribute("empty"), register(0, 5, 0x0b0b, Some(b""))),
            (attribute("gone"), register(1, 7, 0x0a0a, None)),
        ]),
        age: Duration::from_millis(1234),
        lived: Duration::ZERO,
    };
    Fragment {
        key: Key::from_bits(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        content: Content::Write(write),
    }
}

/// The write of a session that nobody else has written: what goes without saying is not said.
pub(crate) fn usual() -> Fragment {
    let write = Write {
        birth: Birth {
            incarnation: incarnation(0x0a0a),
            serial: 3,
        },
        seen: [dot(0x0a0a, 7)].into_iter().collect(),
        since: Some(dot(0x0a0a, 6)),
        registers: Registers::from_iter([(
            attribute("cart"),
            register(0, 7, 0x0a0a, Some(b"3 pears")),
        )]),
        age: Duration::ZERO,
        lived: Duration::from_millis(61_000),
    };
    Fragment {
        key: Key::from_bits(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        content: Content::Write(write),
    }
}

/// A new session.
pub(crate) fn whole() -> Fragment {
    let write = Write {
        birth: Birth {
            incarnation: incarnation(0x0a0a),
            serial: 4,
        },
        seen: [dot(0x0a0a, 1)].into_iter().collect(),
        since: None,
        registers: Registers::from_iter([(
            Slot::Property(0),
            register(0, 1, 0x0a0a, Some(&[8, 7, 6, 5, 4, 3, 2, 1])),
        )]),
        age: Duration::ZERO,
        lived: Duration::ZERO,
    };
    Fragment {
        key: Key::from_bits(1),
        content: Content::Write(write),
    }
}

/// The new session a while later, from a sender that says how old it is.
pub(crate) fn aged() -> Fragment {
    let mut aged = whole();
    if let Content::Write(write) = &mut aged.content {
        write.age = Duration::from_millis(250);
        write.lived = Duration::from_secs(8 * 3600);
    }
    aged
}

pub(crate) fn tombstone() -> Fragment {
    Fragment {
        key: Key::from_bits(2),
        content: Content::Tombstone(Tombstone {
            age: Duration::from_millis(5),
            life: Duration::from_secs(24 * 3600),
            generation: 0,
        }),
    }
}

/// All sessions of a user have ended, for the third time.
pub(crate) fn generation() -> Fragment {
    Fragment {
        key: Key::from_bits(3),
        content: Content::Tombstone(Tombstone {
            age: Duration::from_millis(5),
            life: Duration::from_secs(24 * 3600),
            generation: 3,
        }),
    }
}

pub(crate) fn heartbeat() -> Heartbeat {
    Heartbeat {
        cluster: "catherd".to_owned(),
        name: "node1".to_owned(),
        incarnation: incarnation(0x0123_4567_89ab_cdef),
        counter: 42,
        address: address("192.0.2.1:4000"),
        domain: "one".to_owned(),
        state: MemberState::Ready,
        protocols: Protocols { min: 1, max: 3 },
        heard: vec![incarnation(0x0b0b), incarnation(0x0c0c)],
        wall_ms: None,
    }
}

pub(crate) fn heartbeat_with_wall_clock() -> Heartbeat {
    Heartbeat {
        wall_ms: Some(1_234_567_890_123),
        ..heartbeat()
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocols: Protocols { min: 1, max: 3 },
        cluster: "catherd".to_owned(),
        name: "node1".to_owned(),
        incarnation: incarnation(0x0123_4567_89ab_cdef),
        address: address("[2001:db8::1]:4000"),
        domain: "one".to_owned(),
        state: MemberState::Joining,
        purpose: Purpose::Link,
        to: Some(incarnation(0x0b0b)),
        counter_heard: 17,
        silence: Duration::from_millis(250),
        settings: 0xfeed_beef,
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        protocol: 1,
        name: "node2".to_owned(),
        incarnation: incarnation(0x0b0b),
        state: MemberState::Ready,
        counter_heard: 42,
        silence: Duration::from_millis(90),
        settings: 0xfeed_beef,
        heard: vec![incarnation(0x0a0a), incarnation(0x0c0c)],
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal address")
}

/// One of each kind but hellos and welcomes, which are signed.
pub(crate) fn plain_messages() -> Vec<(&'static str, Message)> {
    let context = || "/shop".to_owned();
    vec![
        ("refused", Message::Refused(Refusal::NameTaken)),
        (
            "fragments-commit",
            Message::Fragments {
                context: context(),
                fragments: vec![commit()],
            },
        ),
        (
            "fragments-usual",
            Message::Fragments {
                context: context(),
                fragments: vec![usual()],
            },
        ),
        (
            "fragments-change-of-id",
            Message::Fragments {
                context: context(),
                fragments: vec![whole(), tombstone()],
            },
        ),
        (
            "fragments-generation",
            Message::Fragments {
                context: context(),
                fragments: vec![generation()],
            },
        ),
        (
            "fragments-aged",
            Message::Fragments {
                context: context(),
                fragments: vec![aged()],
            },
        ),
        (
            "ack",
            Message::Ack(Ack {
                up_to: 300,
                behind: vec![298],
                ended: vec![7, 299],
                twins: vec![1],
                unheld: Vec::new(),
            }),
        ),
        (
            "ack-unheld",
            Message::Ack(Ack {
                up_to: 300,
                unheld: vec![7, 300],
                ..Ack::default()
            }),
        ),
        (
            "fetch",
            Message::Fetch {
                question: 9,
                context: context(),
                wanted: vec![
                    (Key::from_bits(1), [dot(0x0a0a, 1)].into_iter().collect()),
                    (Key::from_bits(2), Vector::new()),
                ],
                route: String::new(),
            },
        ),
        (
            "fetch-all",
            Message::FetchAll {
                question: 9,
                context: context(),
                stretch: Stretch {
                    size: 4096,
                    buckets: 0x123..0x140,
                    after: Some(Key::from_bits(0x7123)),
                    most: 32,
                },
            },
        ),
        (
            "whole-cut",
            Message::Whole {
                question: 9,
                context: context(),
                answers: vec![answer(Key::from_bits(2), false, Some(tombstone()), false)],
                knew_route: false,
                is_cut: true,
            },
        ),
        (
            "whole",
            Message::Whole {
                question: 9,
                context: context(),
                answers: vec![
                    answer(Key::from_bits(1), false, Some(whole()), true),
                    answer(Key::from_bits(2), false, Some(tombstone()), false),
                    answer(Key::from_bits(3), true, None, true),
                    answer(Key::from_bits(4), false, None, false),
                ],
                knew_route: false,
                is_cut: false,
            },
        ),
        (
            "touch",
            Message::Touch {
                context: context(),
                ages: vec![
                    (Key::from_bits(1), Duration::ZERO),
                    (Key::from_bits(u128::MAX), Duration::from_millis(61_000)),
                ],
            },
        ),
        (
            "buckets",
            Message::Buckets {
                question: 11,
                context: context(),
                comparison: Comparison {
                    size: 4096,
                    from: 16,
                    digests: vec![0, 0x1122_3344_5566_7788, u64::MAX],
                    only: Vec::new(),
                    is_mutual: true,
                },
            },
        ),
        (
            "buckets-marked",
            Message::Buckets {
                question: 13,
                context: context(),
                comparison: Comparison {
                    size: 4096,
                    from: 16,
                    digests: vec![0, 0x1122_3344_5566_7788, u64::MAX],
                    only: vec![16, 300, 4095],
                    is_mutual: true,
                },
            },
        ),
        (
            "summaries",
            Message::Summaries {
                question: 11,
                context: context(),
                summaries: Summaries {
                    next: Some(18),
                    sessions: vec![
                        Summary {
                            key: Key::from_bits(17),
                            digest: 0x1122_3344_5566_7788,
                        },
                        Summary {
                            key: Key::from_bits(u128::MAX),
                            digest: 1,
                        },
                    ],
                },
            },
        ),
        (
            "expire",
            Message::Expire {
                question: 12,
                context: context(),
                ages: vec![
                    (Key::from_bits(1), Duration::from_secs(1802)),
                    (Key::from_bits(u128::MAX), Duration::from_secs(1803)),
                ],
            },
        ),
        (
            "used",
            Message::Used {
                question: 12,
                context: context(),
                ages: vec![(Key::from_bits(1), Duration::from_millis(250))],
            },
        ),
        (
            "expired",
            Message::Expired {
                context: context(),
                keys: vec![Key::from_bits(2), Key::from_bits(u128::MAX)],
                is_early: false,
            },
        ),
        (
            "expired-early",
            Message::Expired {
                context: context(),
                keys: vec![Key::from_bits(3)],
                is_early: true,
            },
        ),
        ("ready", Message::Ready),
        ("goodbye", Message::Goodbye { queues_empty: true }),
    ]
}

pub(crate) fn signed_messages() -> Vec<(&'static str, Message)> {
    let probe = Hello {
        purpose: Purpose::Probe,
        to: None,
        ..hello()
    };
    let pooled = Hello {
        purpose: Purpose::Pooled,
        ..hello()
    };
    vec![
        ("hello", Message::Hello(hello())),
        ("hello-probe", Message::Hello(probe)),
        ("hello-pooled", Message::Hello(pooled)),
        ("welcome", Message::Welcome(welcome())),
    ]
}

fn answer(key: Key, same: bool, fragment: Option<Fragment>, served: bool) -> Answer {
    Answer {
        key,
        same,
        fragment,
        served,
    }
}

/// The message as a frame; frames of fragments have the number 1.
pub(crate) fn to_frame(message: &Message, key: Option<&ClusterKey>) -> Bytes {
    let Message::Fragments { context, fragments } = message else {
        return message.to_frame(key);
    };
    let payload = encode_fragments(context, fragments);
    let mut frame = BytesMut::new();
    put_fragments_head(&mut frame, 1, payload.len());
    frame.extend_from_slice(&payload);
    frame.freeze()
}

/// The one frame in `bytes`.
pub(crate) fn cut(bytes: &[u8]) -> (Head, Bytes) {
    let mut buffer = BytesMut::from(bytes);
    let frame = FrameReader::new(64 << 20)
        .next(&mut buffer)
        .expect("the bytes are a frame")
        .expect("the frame is all there");
    assert!(buffer.is_empty(), "there is nothing behind it");
    frame
}

pub(crate) fn decode(
    kind: FrameKind,
    payload: &Bytes,
    key: Option<&ClusterKey>,
) -> Result<Option<Message>, DecodeError> {
    Message::decode(kind, payload, key, SESSION_BYTES_MAX)
}

fn any_incarnation() -> impl Strategy<Value = Incarnation> {
    prop_oneof![1..4_u64, any::<u64>()].prop_map(Incarnation::from_bits)
}

fn any_revision() -> impl Strategy<Value = u64> {
    prop_oneof![1..9_u64, 1..=Version::REVISION_MAX]
}

fn any_vector() -> impl Strategy<Value = Vector> {
    prop::collection::vec((any_incarnation(), any_revision()), 0..6).prop_map(|dots| {
        dots.into_iter()
            .map(|(writer, revision)| Dot { writer, revision })
            .collect()
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z/é]{1,20}"]
}

fn any_millis() -> impl Strategy<Value = Duration> {
    prop_oneof![0..9_u64, any::<u64>()].prop_map(Duration::from_millis)
}

fn any_key() -> impl Strategy<Value = Key> {
    any::<u128>().prop_map(Key::from_bits)
}

fn any_slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        any::<u32>().prop_map(Slot::Property),
        Just(Slot::Principal),
        "[a-zé]{1,12}".prop_map(|name| attribute(&name)),
    ]
}

fn any_register() -> impl Strategy<Value = Register> {
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    (
        0..=Version::FENCE_MAX,
        any_revision(),
        any_incarnation(),
        value,
    )
        .prop_map(|(fence, revision, writer, value)| {
            register(fence, revision, writer.bits(), value.as_deref())
        })
}

fn any_write() -> impl Strategy<Value = Content> {
    let registers = prop::collection::btree_map(any_slot(), any_register(), 0..8);
    (
        (any_incarnation(), any::<u64>()),
        any_vector(),
        prop::option::of((any_incarnation(), any_revision(), any_revision())),
        registers,
        (any_millis(), any_millis()),
    )
        .prop_map(|(born, mut seen, since, registers, (age, lived))| {
            let since = since.map(|(writer, one, other)| {
                let revision = one.max(other);
                seen.raise(Dot { writer, revision });
                let revision = one.min(other) - 1;
                Dot { writer, revision }
            });
            Content::Write(Write {
                birth: Birth {
                    incarnation: born.0,
                    serial: born.1,
                },
                seen,
                since,
                registers: registers.into_iter().collect(),
                age,
                lived,
            })
        })
}

pub(crate) fn any_fragment() -> impl Strategy<Value = Fragment> {
    let generation = prop_oneof![Just(0), any_revision()];
    let end = (any_millis(), any_millis(), generation).prop_map(|(age, life, generation)| {
        Content::Tombstone(Tombstone {
            age,
            life,
            generation,
        })
    });
    (any_key(), prop_oneof![4 => any_write(), 1 => end])
        .prop_map(|(key, content)| Fragment { key, content })
}

fn any_state() -> impl Strategy<Value = MemberState> {
    prop_oneof![Just(MemberState::Joining), Just(MemberState::Ready)]
}

fn any_protocols() -> impl Strategy<Value = Protocols> {
    (any::<u32>(), any::<u32>()).prop_map(|(min, max)| Protocols { min, max })
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

pub(crate) fn any_heartbeat() -> impl Strategy<Value = Heartbeat> {
    (
        ("[a-z]{1,64}", "[a-z]{1,64}", "[a-z]{0,64}"),
        any_incarnation(),
        any::<u64>(),
        any_address(),
        any_state(),
        any_protocols(),
        prop::collection::vec(any_incarnation(), 0..=64),
        any::<Option<i64>>(),
    )
        .prop_map(
            |(
                (cluster, name, domain),
                incarnation,
                counter,
                address,
                state,
                protocols,
                heard,
                wall_ms,
            )| {
                Heartbeat {
                    cluster,
                    name,
                    incarnation,
                    counter,
                    address,
                    domain,
                    state,
                    protocols,
                    heard,
                    wall_ms,
                }
            },
        )
}

fn any_hello() -> impl Strategy<Value = Message> {
    (
        any_heartbeat(),
        prop::sample::select(vec![Purpose::Link, Purpose::Pooled, Purpose::Probe]),
        prop::option::of(any_incarnation()),
        any::<u64>(),
        any_millis(),
        any::<u64>(),
    )
        .prop_map(|(says, purpose, to, counter_heard, silence, settings)| {
            Message::Hello(Hello {
                protocols: says.protocols,
                cluster: says.cluster,
                name: says.name,
                incarnation: says.incarnation,
                address: says.address,
                domain: says.domain,
                state: says.state,
                purpose,
                to,
                counter_heard,
                silence,
                settings,
            })
        })
}

fn any_welcome() -> impl Strategy<Value = Message> {
    (
        any_heartbeat(),
        any::<u32>(),
        any::<u64>(),
        any_millis(),
        any::<u64>(),
    )
        .prop_map(|(says, protocol, counter_heard, silence, settings)| {
            Message::Welcome(Welcome {
                protocol,
                name: says.name,
                incarnation: says.incarnation,
                state: says.state,
                counter_heard,
                silence,
                settings,
                heard: says.heard,
            })
        })
}

fn any_answer() -> impl Strategy<Value = Answer> {
    (
        any_key(),
        any::<bool>(),
        prop::option::of(any_fragment()),
        any::<bool>(),
    )
        .prop_map(|(key, same, fragment, served)| {
            let key = fragment.as_ref().map_or(key, |fragment| fragment.key);
            answer(key, same, fragment, served)
        })
}

fn any_ages() -> impl Strategy<Value = Vec<(Key, Duration)>> {
    prop::collection::vec((any_key(), any_millis()), 0..9)
}

fn any_stretch() -> impl Strategy<Value = Stretch> {
    (
        4..=16_u32,
        0..9_u32,
        1..7_u32,
        1..=Stretch::SESSIONS_MAX,
        any::<Option<u64>>(),
    )
        .prop_map(|(size, from, len, most, after)| Stretch {
            size: 1 << size,
            buckets: from..from + len,
            after: after.map(|high| Key::from_bits(u128::from(high) << 16 | u128::from(from))),
            most,
        })
}

fn any_buckets() -> impl Strategy<Value = Message> {
    let digests = prop::collection::vec(any::<u64>(), 0..9);
    (
        any::<u64>(),
        any_text(),
        5..=16_u32,
        0..9_u32,
        digests,
        any::<(bool, bool)>(),
    )
        .prop_map(
            |(question, context, size, from, digests, (is_mutual, is_some))| {
                let step = if size > 5 { 2 } else { 1 };
                let only = (from..).step_by(step).take(digests.len());
                let comparison = Comparison {
                    size: 1 << size,
                    from,
                    only: only.filter(|_| is_some).collect(),
                    digests,
                    is_mutual,
                };
                Message::Buckets {
                    question,
                    context,
                    comparison,
                }
            },
        )
}

fn any_summaries() -> impl Strategy<Value = Message> {
    let summary = (any_key(), 1..=u64::MAX).prop_map(|(key, digest)| Summary { key, digest });
    let next = prop::option::of(0..1_u32 << 16);
    let sessions = prop::collection::vec(summary, 0..9);
    (any::<u64>(), any_text(), next, sessions).prop_map(|(question, context, next, sessions)| {
        Message::Summaries {
            question,
            context,
            summaries: Summaries { next, sessions },
        }
    })
}

pub(crate) fn any_message() -> impl Strategy<Value = Message> {
    let numbers = || prop::collection::vec(any::<u64>(), 0..20);
    let refusals = prop::sample::select(vec![
        Refusal::OtherCluster,
        Refusal::NoCommonProtocol,
        Refusal::NameTaken,
        Refusal::OtherIncarnation,
        Refusal::Myself,
        Refusal::Leaving,
        Refusal::Full,
        Refusal::NotLinked,
        Refusal::Unknown,
    ]);
    prop_oneof![
        any_hello(),
        any_welcome(),
        refusals.prop_map(Message::Refused),
        (any_text(), prop::collection::vec(any_fragment(), 1..=2))
            .prop_map(|(context, fragments)| Message::Fragments { context, fragments }),
        (any::<u64>(), [numbers(), numbers(), numbers(), numbers()]).prop_map(
            |(up_to, [behind, ended, twins, unheld])| Message::Ack(Ack {
                up_to,
                behind,
                ended,
                twins,
                unheld
            })
        ),
        (
            any::<u64>(),
            any_text(),
            prop::collection::vec((any_key(), any_vector()), 0..5)
        )
            .prop_map(|(question, context, wanted)| Message::Fetch {
                question,
                context,
                wanted,
                route: "node01".to_owned(),
            }),
        (
            any::<u64>(),
            any_text(),
            prop::collection::vec(any_answer(), 0..4)
        )
            .prop_map(|(question, context, answers)| Message::Whole {
                question,
                context,
                answers,
                knew_route: true,
                is_cut: question.is_multiple_of(2),
            }),
        (any::<u64>(), any_text(), any_stretch()).prop_map(|(question, context, stretch)| {
            Message::FetchAll {
                question,
                context,
                stretch,
            }
        }),
        (
            any_text(),
            prop::collection::vec((any_key(), any_millis()), 0..9)
        )
            .prop_map(|(context, ages)| Message::Touch { context, ages }),
        any_buckets(),
        any_summaries(),
        (any::<u64>(), any_text(), any_ages()).prop_map(|(question, context, ages)| {
            Message::Expire {
                question,
                context,
                ages,
            }
        }),
        (any::<u64>(), any_text(), any_ages()).prop_map(|(question, context, ages)| {
            Message::Used {
                question,
                context,
                ages,
            }
        }),
        (
            any_text(),
            prop::collection::vec(any_key(), 0..9),
            any::<bool>()
        )
            .prop_map(|(context, keys, is_early)| Message::Expired {
                context,
                keys,
                is_early,
            }),
        Just(Message::Ready),
        any::<bool>().prop_map(|queues_empty| Message::Goodbye { queues_empty }),
    ]
}
