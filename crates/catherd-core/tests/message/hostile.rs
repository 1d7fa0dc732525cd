//! Bytes that nobody of good will sends: refused, before anything is allocated for them.

use bytes::{BufMut as _, Bytes, BytesMut};
use catherd_core::message::{
    ClusterKey, DecodeError, FrameKind, FrameReader, Heartbeat, Message, put_frame,
};
use catherd_core::session::Content;

use crate::samples::*;

/// Protobuf by hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw(Vec<u8>);

impl Raw {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn varint(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    pub(crate) fn number(self, field: u64, number: u64) -> Self {
        self.varint(field << 3).varint(number)
    }

    pub(crate) fn fixed(mut self, field: u64, number: u64) -> Self {
        self = self.varint(field << 3 | 1);
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self = self.varint(field << 3 | 2).varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    pub(crate) fn times(self, count: usize, f: impl Fn(Self) -> Self) -> Self {
        (0..count).fold(self, |raw, _| f(raw))
    }

    pub(crate) fn payload(&self) -> Bytes {
        self.0.clone().into()
    }
}

/// `seen` = {A: `revision`}.
fn vector(revision: u64) -> Raw {
    Raw::new()
        .bytes(1, &0xa_u64.to_le_bytes())
        .bytes(2, &Raw::new().varint(revision).0)
}

/// A whole fragment without registers; what is wrong comes on top.
fn fragment() -> Raw {
    Raw::new()
        .bytes(1, &[7; 16])
        .fixed(2, 0xa)
        .number(3, 1)
        .message(4, &vector(5))
        .fixed(5, 0xa)
        .number(8, 5)
}

fn register(name: &str) -> Raw {
    Raw::new().bytes(1, name.as_bytes()).bytes(6, b"value")
}

fn fragments(fragment: &Raw) -> Bytes {
    Raw::new().bytes(1, b"/shop").message(2, fragment).payload()
}

/// So many digests of named buckets of a table of 4096.
fn buckets(named: &[u64], digests: usize) -> Raw {
    let numbers = named
        .iter()
        .fold(Raw::new(), |raw, &bucket| raw.varint(bucket));
    Raw::new()
        .number(3, 4096)
        .number(4, named[0])
        .bytes(5, &vec![7; 8 * digests])
        .bytes(7, &numbers.0)
}

fn refusal(kind: FrameKind, payload: &Bytes) -> Option<DecodeError> {
    decode(kind, payload, None).err()
}

#[test]
fn the_fragment_that_the_table_spoils_is_sound() {
    let sound = fragment().message(9, &register("x")).message(
        9,
        &Raw::new().number(3, 1).number(4, 3).fixed(5, 0xb), // the removed principal
    );
    assert_eq!(refusal(FrameKind::Fragments, &fragments(&sound)), None);
}

#[test]
fn spoiled_fragments_are_refused() {
    use DecodeError::{Insane, Malformed, TooLong, TooMany};

    let without_key = Raw::new().fixed(2, 0xa).message(4, &vector(5));
    let table: Vec<(&str, Raw, DecodeError)> = vec![
        ("no key", without_key, Malformed),
        (
            "a key of 15 bytes",
            fragment().bytes(1, &[7; 15]),
            Malformed,
        ),
        ("a key of 17 bytes", fragment().bytes(1, &[7; 17]), TooLong),
        ("no birth", fragment().fixed(2, 0), Malformed),
        (
            "a session that lives, with a generation",
            fragment().number(13, 1),
            Malformed,
        ),
        (
            "a generation above its bound",
            Raw::new()
                .bytes(1, &[7; 16])
                .number(11, 5)
                .number(13, (1 << 56) + 1),
            Insane,
        ),
        ("two vectors", fragment().message(4, &vector(5)), TooMany),
        (
            "a fence above its bound",
            fragment().number(7, (1 << 24) + 1),
            Insane,
        ),
        (
            "a fence above its bound in a register",
            fragment().message(
                9,
                &register("x")
                    .number(3, (1 << 24) + 1)
                    .number(4, 1)
                    .fixed(5, 0xb),
            ),
            Insane,
        ),
        (
            "a revision above its bound",
            fragment().number(8, (1 << 56) + 1),
            Insane,
        ),
        (
            "a revision above its bound in a register",
            fragment().message(9, &register("x").number(4, (1 << 56) + 1).fixed(5, 0xb)),
            Insane,
        ),
        (
            "since above its bound",
            fragment().number(6, (1 << 56) + 1),
            Insane,
        ),
        ("since above seen", fragment().number(6, 6), Malformed),
        (
            "since of a writer whose write is not seen",
            fragment().fixed(5, 0xb).number(6, 0),
            Malformed,
        ),
        (
            "since and a write after it of another writer than it has seen",
            fragment().fixed(5, 0xb).number(6, 4).number(8, 0),
            Malformed,
        ),
        (
            "since at its bound, and no revision after it",
            Raw::new()
                .bytes(1, &[7; 16])
                .fixed(2, 0xa)
                .number(6, 1 << 56)
                .message(9, &register("x")),
            Malformed,
        ),
        (
            "a birth without an incarnation and a writer",
            Raw::new().bytes(1, &[7; 16]).fixed(5, 0xa).number(8, 1),
            Malformed,
        ),
        (
            "a register without any version",
            fragment().number(8, 0).message(9, &register("x")),
            Malformed,
        ),
        (
            "a name twice",
            fragment()
                .message(9, &register("x"))
                .message(9, &register("y"))
                .message(9, &register("x").number(4, 3).fixed(5, 0xb)),
            Malformed,
        ),
        (
            "the principal twice",
            fragment().message(9, &Raw::new()).message(9, &Raw::new()),
            Malformed,
        ),
        (
            "an attribute that is a property",
            fragment().message(9, &register("x").number(2, 7)),
            Malformed,
        ),
        (
            "an attribute without a name",
            fragment().message(9, &register("")),
            Malformed,
        ),
        (
            "a name of 1025 bytes",
            fragment().message(9, &register(&"n".repeat(1025))),
            TooLong,
        ),
        (
            "a name that is not text",
            fragment().message(9, &Raw::new().bytes(1, &[0xff])),
            Malformed,
        ),
        (
            "an unknown field longer than 64 KiB",
            fragment().bytes(99, &vec![0; 65_537]),
            TooLong,
        ),
        (
            "a hundred unknown fields",
            fragment().times(100, |raw| raw.number(99, 1)),
            TooMany,
        ),
        (
            "a group",
            Raw::new().varint(99 << 3 | 3).varint(99 << 3 | 4),
            Malformed,
        ),
        ("field zero", Raw::new().varint(0).varint(0), Malformed),
        (
            "a wire type of 7",
            Raw::new().varint(99 << 3 | 7),
            Malformed,
        ),
        (
            "a number that does not end",
            Raw::new().varint(3 << 3).times(11, |mut raw| {
                raw.0.push(0xff);
                raw
            }),
            Malformed,
        ),
        (
            "a length beyond the end",
            Raw::new().varint(1 << 3 | 2).varint(u64::MAX),
            Malformed,
        ),
        (
            "a number where a message is due",
            fragment().number(9, 1),
            TooMany,
        ),
        (
            "text where a number is due",
            fragment().bytes(8, b"five"),
            Malformed,
        ),
    ];
    for (what, spoiled, error) in table {
        assert_eq!(
            refusal(FrameKind::Fragments, &fragments(&spoiled)),
            Some(error),
            "{what}"
        );
    }
}

#[test]
fn spoiled_vectors_are_refused_wherever_they_stand() {
    use DecodeError::{Insane, Malformed, TooLong};

    let writers = |count: usize| vec![7; count * 8];
    let table = [
        ("a revision above its bound", vector((1 << 56) + 1), Insane),
        (
            "a writer of zero",
            Raw::new().bytes(1, &[0; 8]).bytes(2, &[1]),
            Malformed,
        ),
        (
            "more writers than revisions",
            Raw::new().bytes(1, &writers(2)).bytes(2, &[1]),
            Malformed,
        ),
        (
            "more revisions than writers",
            Raw::new().bytes(1, &writers(1)).bytes(2, &[1, 1]),
            Malformed,
        ),
        (
            "half a writer",
            Raw::new().bytes(1, &[7; 12]).bytes(2, &[1]),
            Malformed,
        ),
        (
            "1025 writers",
            Raw::new().bytes(1, &writers(1025)).bytes(2, &[1; 1025]),
            TooLong,
        ),
        (
            "1025 writers in two lists",
            Raw::new()
                .bytes(1, &writers(1000))
                .bytes(1, &writers(25))
                .bytes(2, &[1; 1025]),
            Malformed,
        ),
    ];
    for (what, spoiled, error) in table {
        let sent = Raw::new()
            .bytes(1, &[7; 16])
            .fixed(2, 0xa)
            .message(4, &spoiled);
        let wanted = Raw::new().bytes(1, &[7; 16]).message(2, &spoiled);
        for (kind, payload) in [
            (FrameKind::Fragments, fragments(&sent)),
            (FrameKind::Fetch, Raw::new().message(3, &wanted).payload()),
        ] {
            assert_eq!(refusal(kind, &payload), Some(error), "{what}, {kind:?}");
        }
    }
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    use DecodeError::{Malformed, TooLong, TooMany};

    let million = 1_000_000;
    let empty = |field: u64| Raw::new().times(million, |raw| raw.bytes(field, &[]));
    let table: Vec<(&str, FrameKind, Raw, DecodeError)> = vec![
        (
            "a million empty fragments",
            FrameKind::Fragments,
            empty(2),
            TooMany,
        ),
        (
            "three fragments",
            FrameKind::Fragments,
            Raw::new().times(3, |raw| raw.message(2, &fragment())),
            TooMany,
        ),
        (
            "no fragments",
            FrameKind::Fragments,
            Raw::new().bytes(1, b"/shop"),
            Malformed,
        ),
        (
            "a million empty registers",
            FrameKind::Fragments,
            Raw::new().message(2, &empty(9)),
            TooMany,
        ),
        (
            "65 000 registers in each of two fragments",
            FrameKind::Fragments,
            Raw::new().times(2, |raw| {
                raw.message(2, &Raw::new().times(65_000, |raw| raw.bytes(9, &[])))
            }),
            TooMany,
        ),
        (
            "a million empty wishes",
            FrameKind::Fetch,
            empty(3),
            TooMany,
        ),
        (
            "257 wishes",
            FrameKind::Fetch,
            Raw::new().times(257, |raw| raw.message(3, &Raw::new().bytes(1, &[7; 16]))),
            TooMany,
        ),
        (
            "a million empty answers",
            FrameKind::Whole,
            empty(3),
            TooMany,
        ),
        (
            "an answer of a million registers",
            FrameKind::Whole,
            Raw::new().message(3, &Raw::new().message(3, &empty(9))),
            TooMany,
        ),
        (
            "an answer with another key than its fragment",
            FrameKind::Whole,
            Raw::new().message(3, &Raw::new().bytes(1, &[8; 16]).message(3, &fragment())),
            Malformed,
        ),
        (
            "a packed list of 100 000 frames behind",
            FrameKind::Ack,
            Raw::new().bytes(2, &vec![1; 100_000]),
            TooLong,
        ),
        (
            "100 frames behind, each in a field of its own",
            FrameKind::Ack,
            Raw::new().times(100, |raw| raw.number(2, 1)),
            TooMany,
        ),
        (
            "16 385 touches",
            FrameKind::Touch,
            Raw::new()
                .bytes(2, &vec![7; 16_385 * 16])
                .bytes(3, &[1; 16_385]),
            TooLong,
        ),
        (
            "more ages than keys",
            FrameKind::Touch,
            Raw::new().bytes(2, &[7; 16]).bytes(3, &[1, 1]),
            Malformed,
        ),
        (
            "a touch of half a key",
            FrameKind::Touch,
            Raw::new().bytes(2, &[7; 24]).bytes(3, &[1]),
            Malformed,
        ),
        (
            "an expire with more keys than ages",
            FrameKind::Expire,
            Raw::new().bytes(3, &[7; 32]).bytes(4, &[1]),
            Malformed,
        ),
        (
            "an expire of half a key",
            FrameKind::Expire,
            Raw::new().bytes(3, &[7; 24]).bytes(4, &[1]),
            Malformed,
        ),
        (
            "an expire of 4097 sessions",
            FrameKind::Expire,
            Raw::new().bytes(3, &[7; 16 * 4097]).bytes(4, &[1; 4097]),
            TooLong,
        ),
        (
            "4097 used sessions",
            FrameKind::Used,
            Raw::new().bytes(3, &[7; 16 * 4097]).bytes(4, &[1; 4097]),
            TooLong,
        ),
        (
            "4097 expired sessions in two lists",
            FrameKind::Expired,
            Raw::new().bytes(2, &[7; 16]).bytes(2, &[7; 16 * 4097]),
            TooLong,
        ),
        (
            "half an expired session",
            FrameKind::Expired,
            Raw::new().bytes(2, &[7; 8]),
            Malformed,
        ),
        (
            "buckets of a table whose size is no power of two",
            FrameKind::Buckets,
            Raw::new().number(3, 4095).bytes(5, &[7; 8]),
            Malformed,
        ),
        (
            "buckets beyond the end of the table",
            FrameKind::Buckets,
            Raw::new().number(3, 4096).number(4, 4096).bytes(5, &[7; 8]),
            Malformed,
        ),
        (
            "buckets that are named, and one digest too few",
            FrameKind::Buckets,
            buckets(&[7, 8], 1),
            Malformed,
        ),
        (
            "named buckets that do not ascend",
            FrameKind::Buckets,
            buckets(&[7, 7], 2),
            Malformed,
        ),
        (
            "named buckets of which the first is another",
            FrameKind::Buckets,
            buckets(&[7, 8], 2).number(4, 6),
            Malformed,
        ),
        (
            "a named bucket beyond the end of the table",
            FrameKind::Buckets,
            buckets(&[7, 4096], 2),
            Malformed,
        ),
        (
            "more named buckets than there are",
            FrameKind::Buckets,
            Raw::new().number(3, 1 << 16).bytes(7, &[1; 8193]),
            TooLong,
        ),
        (
            "a summary without a digest",
            FrameKind::Summaries,
            Raw::new().bytes(4, &[7; 16]),
            Malformed,
        ),
        (
            "a summary whose digest is that of nothing",
            FrameKind::Summaries,
            Raw::new().bytes(4, &[7; 16]).bytes(5, &[0; 8]),
            Malformed,
        ),
        (
            "a context of 1025 bytes",
            FrameKind::Touch,
            Raw::new().bytes(1, &[b'c'; 1025]),
            TooLong,
        ),
        (
            "a goodbye of 257 bytes",
            FrameKind::Goodbye,
            Raw::new().bytes(99, &[0; 254]),
            TooLong,
        ),
        (
            "a wish for a key of 15 bytes",
            FrameKind::Fetch,
            Raw::new().message(3, &Raw::new().bytes(1, &[7; 15])),
            Malformed,
        ),
    ];
    for (what, kind, raw, error) in table {
        assert_eq!(refusal(kind, &raw.payload()), Some(error), "{what}");
    }
}

#[test]
fn a_fetch_of_everything_in_buckets_that_there_are_not_is_refused() {
    let all = |size, from, end, most| {
        let buckets = Raw::new().number(1, size).number(2, from).number(3, end);
        buckets.number(5, most)
    };
    let fetch = |raw: &Raw| refusal(FrameKind::Fetch, &Raw::new().message(5, raw).payload());
    assert_eq!(fetch(&all(4096, 0, 7, 1).bytes(4, &[0; 16])), None);
    for (what, raw) in [
        ("no bucket", all(4096, 7, 7, 1)),
        ("a table that nobody folds so", all(4095, 0, 7, 1)),
        ("beyond the table", all(4096, 0, 4097, 1)),
        ("none of it", all(4096, 0, 7, 0)),
        ("all in one answer", all(4096, 0, 7, 257)),
        (
            "after a key of another bucket",
            all(4096, 7, 9, 1).bytes(4, &[0; 16]),
        ),
        (
            "after a key of 15 bytes",
            all(4096, 0, 9, 1).bytes(4, &[0; 15]),
        ),
    ] {
        assert_eq!(fetch(&raw), Some(DecodeError::Malformed), "{what}");
    }
    let row = all(4096, 0, 7, 1);
    let twice = Raw::new().message(5, &row).message(5, &row).payload();
    assert_eq!(
        refusal(FrameKind::Fetch, &twice),
        Some(DecodeError::TooMany)
    );
}

#[test]
fn each_kind_has_a_length_that_it_may_not_exceed() {
    for kind in kinds() {
        let max = Message::bytes_max(kind, 1000);
        let payload = Bytes::from(vec![0; max + 1]);
        assert_eq!(
            Message::decode(kind, &payload, None, 1000),
            Err(DecodeError::TooLong),
            "{kind:?}"
        );
    }
}

fn kinds() -> Vec<FrameKind> {
    vec![
        FrameKind::Hello,
        FrameKind::Welcome,
        FrameKind::Refused,
        FrameKind::Fragments,
        FrameKind::Ack,
        FrameKind::Fetch,
        FrameKind::Whole,
        FrameKind::Touch,
        FrameKind::Buckets,
        FrameKind::Summaries,
        FrameKind::Expire,
        FrameKind::Used,
        FrameKind::Expired,
        FrameKind::Ready,
        FrameKind::Goodbye,
        FrameKind::Unknown(77),
    ]
}

#[test]
fn kinds_of_later_releases_are_skipped() {
    let mut stream = BytesMut::new();
    put_frame(&mut stream, FrameKind::Unknown(77), b"whatever it means");
    stream.extend_from_slice(&Message::Ready.to_frame(None));
    let reader = FrameReader::new(1024);
    let mut decoded = Vec::new();
    while let Some((head, payload)) = reader.next(&mut stream).unwrap() {
        decoded.push(decode(head.kind, &payload, None).unwrap());
    }
    assert_eq!(decoded, [None, Some(Message::Ready)]);
}

#[test]
fn fields_of_later_releases_are_skipped() {
    for (name, message) in plain_messages() {
        let (head, payload) = cut(&to_frame(&message, None));
        let mut longer = Raw(payload.to_vec());
        longer = longer.number(1000, 7).bytes(1001, b"new").fixed(1002, 7);
        assert_eq!(
            decode(head.kind, &longer.payload(), None),
            Ok(Some(message)),
            "{name}"
        );
    }
}

#[test]
fn fields_of_later_releases_are_skipped_within_fragments_and_registers() {
    let register = register("x").number(1000, 7).bytes(1001, b"new");
    let with = fragment().bytes(1001, b"new").message(9, &register);
    let Ok(Some(Message::Fragments { fragments, .. })) =
        decode(FrameKind::Fragments, &fragments(&with), None)
    else {
        panic!("it decodes");
    };
    let Content::Write(write) = &fragments[0].content else {
        panic!("it is a write");
    };
    assert_eq!(write.registers.len(), 1);
}

#[test]
fn a_refusal_of_a_later_release_has_a_reason_that_is_not_known() {
    let payload = Raw::new().number(1, 99).payload();
    assert_eq!(
        decode(FrameKind::Refused, &payload, None),
        Ok(Some(Message::Refused(
            catherd_core::message::Refusal::Unknown
        )))
    );
}

#[test]
fn no_truncated_message_does_any_harm() {
    for (_, message) in plain_messages().into_iter().chain(signed_messages()) {
        let (head, payload) = cut(&to_frame(&message, None));
        for len in 0..payload.len() {
            let decoded = decode(head.kind, &payload.slice(..len), None);
            assert_ne!(decoded, Ok(Some(message.clone())), "{len} bytes of it");
        }
    }
}

#[test]
fn a_truncated_frame_is_waited_for() {
    for (_, message) in plain_messages().into_iter().chain(signed_messages()) {
        let frame = to_frame(&message, None);
        for len in 0..frame.len() {
            let mut buffer = BytesMut::from(&frame[..len]);
            let next = FrameReader::new(1 << 20).next(&mut buffer);
            assert_eq!(next, Ok(None));
            assert_eq!(buffer.len(), len, "nothing was taken");
        }
    }
}

#[test]
fn no_flipped_bit_does_any_harm() {
    for (_, message) in plain_messages().into_iter().chain(signed_messages()) {
        let (_, payload) = cut(&to_frame(&message, None));
        for kind in kinds() {
            for (at, bit) in (0..payload.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut spoiled = payload.to_vec();
                spoiled[at] ^= 1 << bit;
                let decoded = decode(kind, &spoiled.into(), None);
                if let Ok(Some(decoded)) = decoded {
                    let (head, payload) = cut(&to_frame(&decoded, None));
                    assert_eq!(decode(head.kind, &payload, None), Ok(Some(decoded)));
                }
            }
        }
    }
}

#[test]
fn no_flipped_bit_passes_a_signature() {
    let key = cluster_key();
    for (_, message) in signed_messages() {
        let (head, payload) = cut(&message.to_frame(Some(&key)));
        for (at, bit) in (0..payload.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut spoiled = payload.to_vec();
            spoiled[at] ^= 1 << bit;
            assert_eq!(
                decode(head.kind, &spoiled.into(), Some(&key)),
                Err(DecodeError::NotAuthentic)
            );
        }
    }
    let datagram = heartbeat().to_datagram(Some(&key));
    for at in 4..datagram.len() {
        let mut spoiled = datagram.clone();
        spoiled[at] ^= 0x40;
        assert_eq!(
            Heartbeat::from_datagram(&spoiled, "catherd", Some(&key)),
            Err(DecodeError::NotAuthentic)
        );
    }
}

#[test]
fn who_has_another_key_or_none_is_not_heard() {
    let (ours, theirs) = (cluster_key(), ClusterKey::new(b"of somebody else"));
    let table = [
        (Some(&ours), Some(&theirs)),
        (Some(&ours), None),
        (None, Some(&ours)),
    ];
    for (reader, writer) in table {
        let datagram = heartbeat().to_datagram(writer);
        assert_eq!(
            Heartbeat::from_datagram(&datagram, "catherd", reader),
            Err(DecodeError::NotAuthentic)
        );
        for (_, message) in signed_messages() {
            let (head, payload) = cut(&message.to_frame(writer));
            assert_eq!(
                decode(head.kind, &payload, reader),
                Err(DecodeError::NotAuthentic)
            );
        }
    }
}

#[test]
fn a_signed_message_shorter_than_its_signature_is_refused() {
    for kind in [FrameKind::Hello, FrameKind::Welcome] {
        assert_eq!(
            refusal(kind, &Bytes::from_static(&[0; 15])),
            Some(DecodeError::Malformed)
        );
    }
    assert_eq!(
        Heartbeat::from_datagram(b"CHB1 too short", "catherd", None),
        Err(DecodeError::Malformed)
    );
}

#[test]
fn hellos_without_a_process_or_an_address_are_refused() {
    let sound = Raw::new().fixed(3, 7).bytes(4, b"192.0.2.1:4000");
    let table = [
        ("sound", sound.clone(), None),
        (
            "no incarnation",
            sound.clone().fixed(3, 0),
            Some(DecodeError::Malformed),
        ),
        (
            "a name for an address",
            sound.clone().bytes(4, b"node1:4000"),
            Some(DecodeError::Malformed),
        ),
        (
            "a long name",
            sound.clone().bytes(2, &[b'n'; 65]),
            Some(DecodeError::TooLong),
        ),
        (
            "a long cluster",
            sound.bytes(1, &[b'n'; 65]),
            Some(DecodeError::TooLong),
        ),
    ];
    for (what, raw, error) in table {
        let signed = [&[0; 16], raw.0.as_slice()].concat();
        assert_eq!(refusal(FrameKind::Hello, &signed.into()), error, "{what}");
    }
}

/// A heartbeat of no key with these fields.
fn datagram(raw: &Raw) -> Vec<u8> {
    let mut datagram = BytesMut::from(&b"CHB1"[..]);
    datagram.put_bytes(0, 16);
    datagram.put_slice(&raw.0);
    datagram.to_vec()
}

#[test]
fn spoiled_heartbeats_are_refused() {
    use DecodeError::{Foreign, Malformed, TooLong};

    let sound = Raw::new()
        .bytes(1, b"catherd")
        .bytes(2, b"node1")
        .fixed(3, 7)
        .bytes(5, b"192.0.2.1:4000");
    let table = [
        ("sound", sound.clone(), None),
        (
            "another cluster",
            sound.clone().bytes(1, b"other"),
            Some(Foreign),
        ),
        ("no incarnation", sound.clone().fixed(3, 0), Some(Malformed)),
        ("no address", sound.clone().bytes(5, b""), Some(Malformed)),
        (
            "one heard of zero",
            sound.clone().bytes(10, &[0; 8]),
            Some(Malformed),
        ),
        (
            "65 heard",
            sound.clone().bytes(10, &[7; 65 * 8]),
            Some(TooLong),
        ),
        (
            "a long name",
            sound.clone().bytes(2, &[b'n'; 65]),
            Some(TooLong),
        ),
        (
            "a wall clock beyond all reason",
            sound.clone().fixed(11, i64::MIN.cast_unsigned()),
            None,
        ),
        (
            "a wall clock that is no number of eight bytes",
            sound.clone().number(11, 5),
            Some(Malformed),
        ),
        (
            "a wall clock that is text",
            sound.clone().bytes(11, b"noon"),
            Some(Malformed),
        ),
    ];
    for (what, raw, error) in table {
        let decoded = Heartbeat::from_datagram(&datagram(&raw), "catherd", None);
        assert_eq!(decoded.err(), error, "{what}");
    }
    let mut long = sound.bytes(99, &[]);
    let missing = 1200 - datagram(&long).len();
    long = Raw(long.0[..long.0.len() - 1].to_vec()).varint(missing as u64 - 1);
    long.0.extend(vec![0; missing - 1]);
    let longest = datagram(&long);
    assert_eq!(longest.len(), 1200);
    assert!(Heartbeat::from_datagram(&longest, "catherd", None).is_ok());
    let longer = [longest, vec![0]].concat();
    assert_eq!(
        Heartbeat::from_datagram(&longer, "catherd", None),
        Err(TooLong)
    );
}

#[test]
fn datagrams_of_other_programs_are_not_heartbeats() {
    for foreign in [&b""[..], b"CHB", b"CHB2", b"M-SEARCH * HTTP/1.1\r\n"] {
        assert_eq!(
            Heartbeat::from_datagram(foreign, "catherd", None),
            Err(DecodeError::Foreign)
        );
    }
}

#[test]
fn no_truncated_heartbeat_does_any_harm() {
    let datagram = heartbeat().to_datagram(None);
    for len in 0..datagram.len() {
        let decoded = Heartbeat::from_datagram(&datagram[..len], "catherd", None);
        assert_ne!(decoded, Ok(heartbeat()));
    }
}
