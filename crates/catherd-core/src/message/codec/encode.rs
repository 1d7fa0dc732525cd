//! The messages that carry sessions, encoded without anything in between.
//!
//! [`wire::Fragments`](super::super::wire::Fragments) and [`wire::Whole`](super::super::wire::Whole)
//! are their definitions, and a test compares the bytes. What prost would have to be given owns its
//! text and its lists: a write of two attributes took twelve allocations, and takes one.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::super::frame::{FrameKind, HEAD_BYTES_MAX, into_frame};
use super::Answer;
use super::fragment::WriteHead;
use super::greeting::millis;
use crate::key::Key;
use crate::session::{Content, Entry, Fragment, Said, Seen, SlotRef, Sought, Tombstone};
use crate::time::Time;
use crate::version::Vector;

/// The payload of a frame of fragments, encoded once for every link that it goes to.
pub fn encode_fragments(context: &str, fragments: &[Fragment]) -> Bytes {
    let put = |out: &mut dyn Out| {
        text(out, 1, context);
        for fragment in fragments {
            nested(out, 2, &|out| put_fragment(out, fragment));
        }
    };
    let mut bytes = BytesMut::with_capacity(len_of(&put));
    put(&mut bytes);
    bytes.freeze()
}

/// The payload of an answer to a fetch.
pub(super) fn encode_whole(
    question: u64,
    context: &str,
    answers: &[Answer],
    (knew_route, is_cut): (bool, bool),
) -> Vec<u8> {
    let put = |out: &mut dyn Out| {
        number(out, 1, question);
        text(out, 2, context);
        for answer in answers {
            nested(out, 3, &|out| put_answer(out, answer));
        }
        number(out, 4, knew_route.into());
        number(out, 5, is_cut.into());
    };
    let mut bytes = Vec::with_capacity(len_of(&put));
    put(&mut bytes);
    bytes
}

/// Answers to a fetch, encoded one by one from the copies: nothing is made of a session on the way.
///
/// The payload is that of a [`Message::Whole`](super::Message::Whole) with the same answers.
#[derive(Debug)]
pub struct Answers(BytesMut);

impl Answers {
    /// Without an answer yet, and with room for so many bytes of them.
    pub fn new(question: u64, context: &str, room: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES_MAX + context.len() + 16 + room);
        bytes.put_bytes(0, HEAD_BYTES_MAX);
        number(&mut bytes, 1, question);
        text(&mut bytes, 2, context);
        Self(bytes)
    }

    /// Adds what is under a key, for somebody who holds the writes `held`. `served`: this
    /// incarnation has shown the session to a client.
    pub fn add(
        &mut self,
        key: Key,
        (here, served): (Option<&Entry>, bool),
        now: Time,
        held: &Vector,
    ) {
        let sought = Entry::sought(here, now, held);
        let put_content = |out: &mut dyn Out| match sought {
            Sought::Live(state) => put_write(out, &state.said(now)),
            Sought::Ended(tombstone) => put_tombstone(out, tombstone),
            Sought::Same | Sought::Unknown => {}
        };
        nested(&mut self.0, 3, &|out| {
            bytes(out, 1, &key.bits().to_be_bytes());
            number(out, 2, matches!(sought, Sought::Same).into());
            if matches!(sought, Sought::Live(_) | Sought::Ended(_)) {
                nested(out, 3, &|out| {
                    bytes(out, 1, &key.bits().to_be_bytes());
                    put_content(out);
                });
            }
            number(out, 4, served.into());
        });
    }

    /// The frame. `knew_route`, `is_cut`: as in [`Message::Whole`](super::Message::Whole).
    pub fn into_frame(mut self, knew_route: bool, is_cut: bool) -> Bytes {
        number(&mut self.0, 4, knew_route.into());
        number(&mut self.0, 5, is_cut.into());
        into_frame(self.0, FrameKind::Whole)
    }
}

fn put_answer(out: &mut dyn Out, answer: &Answer) {
    bytes(out, 1, &answer.key.bits().to_be_bytes());
    number(out, 2, answer.same.into());
    if let Some(fragment) = &answer.fragment {
        nested(out, 3, &|out| put_fragment(out, fragment));
    }
    number(out, 4, answer.served.into());
}

fn put_fragment(out: &mut dyn Out, fragment: &Fragment) {
    bytes(out, 1, &fragment.key.bits().to_be_bytes());
    match &fragment.content {
        Content::Write(write) => put_write(out, &write.said()),
        Content::Tombstone(tombstone) => put_tombstone(out, *tombstone),
    }
}

fn put_write<'a>(out: &mut dyn Out, write: &Said<'a, impl Iterator<Item = Seen<'a>> + Clone>) {
    let head = WriteHead::of(write);
    fixed(out, 2, write.birth.incarnation.bits());
    number(out, 3, write.birth.serial);
    if let Some(seen) = head.seen {
        nested(out, 4, &|out| put_vector(out, seen));
    }
    fixed(out, 5, head.writer);
    if let Some(since) = write.since {
        said(out, 6, since.revision);
    }
    number(out, 7, head.fence.into());
    number(out, 8, head.revision);
    for register in write.registers.clone() {
        nested(out, 9, &|out| put_register(out, register, &head));
    }
    number(out, 10, millis(write.age));
    number(out, 12, millis(write.lived));
}

fn put_tombstone(out: &mut dyn Out, tombstone: Tombstone) {
    number(out, 10, millis(tombstone.age));
    said(out, 11, millis(tombstone.life));
    number(out, 13, tombstone.generation);
}

fn put_vector(out: &mut dyn Out, vector: &Vector) {
    if vector.is_empty() {
        return;
    }
    nested(out, 1, &|out| {
        for dot in vector.iter() {
            out.slice(&dot.writer.bits().to_le_bytes());
        }
    });
    nested(out, 2, &|out| {
        for dot in vector.iter() {
            out.varint(dot.revision);
        }
    });
}

fn put_register(out: &mut dyn Out, register: Seen<'_>, head: &WriteHead<'_>) {
    match register.slot {
        SlotRef::Attribute(name) => bytes(out, 1, name),
        SlotRef::Property(property) => said(out, 2, property.into()),
        SlotRef::Principal => {}
    }
    let (fence, revision, writer) = head.version(register.version);
    number(out, 3, fence.into());
    number(out, 4, revision);
    fixed(out, 5, writer);
    if let Some(value) = register.value {
        bytes(out, 6, value.as_bytes());
    }
}

/// Where the bytes go: into a frame, or nowhere, to be counted.
trait Out {
    fn slice(&mut self, bytes: &[u8]);
    fn varint(&mut self, number: u64);
    /// Puts a length, and what has that length.
    fn sized(&mut self, put: &dyn Fn(&mut dyn Out));
}

impl<B: BufMut> Out for B {
    fn slice(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }

    fn varint(&mut self, number: u64) {
        encode_varint(number, self);
    }

    fn sized(&mut self, put: &dyn Fn(&mut dyn Out)) {
        self.varint(len_of(put) as u64);
        put(self);
    }
}

struct Count(usize);

impl Out for Count {
    fn slice(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, number: u64) {
        self.0 += encoded_len_varint(number);
    }

    /// Whoever counts needs the length behind what it is the length of: goes over it once.
    fn sized(&mut self, put: &dyn Fn(&mut dyn Out)) {
        let before = self.0;
        put(self);
        self.varint((self.0 - before) as u64);
    }
}

fn len_of(put: &dyn Fn(&mut dyn Out)) -> usize {
    let mut count = Count(0);
    put(&mut count);
    count.0
}

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

fn key(out: &mut dyn Out, tag: u32, wire_type: u32) {
    out.varint((tag << 3 | wire_type).into());
}

/// A number that is left out if it is 0.
fn number(out: &mut dyn Out, tag: u32, number: u64) {
    if number != 0 {
        said(out, tag, number);
    }
}

/// A number that stands there even if it is 0.
fn said(out: &mut dyn Out, tag: u32, number: u64) {
    key(out, tag, VARINT);
    out.varint(number);
}

/// Eight bytes that are left out if they are 0.
fn fixed(out: &mut dyn Out, tag: u32, number: u64) {
    if number != 0 {
        key(out, tag, FIXED_64);
        out.slice(&number.to_le_bytes());
    }
}

/// Text that is left out if it is empty.
fn text(out: &mut dyn Out, tag: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, tag, text.as_bytes());
    }
}

/// Bytes that stand there even if there are none.
fn bytes(out: &mut dyn Out, tag: u32, bytes: &[u8]) {
    key(out, tag, LENGTH_DELIMITED);
    out.varint(bytes.len() as u64);
    out.slice(bytes);
}

/// What is in it is gone over once more for each level that it is in, to be counted.
fn nested(out: &mut dyn Out, tag: u32, put: &dyn Fn(&mut dyn Out)) {
    key(out, tag, LENGTH_DELIMITED);
    out.sized(put);
}

/// Fragments and answers of all kinds.
#[cfg(test)]
pub(super) mod samples {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::Answer;
    use crate::key::Key;
    use crate::session::{Birth, Content, Fragment, Name, Register, Slot, Tombstone, Value, Write};
    use crate::version::{Dot, Incarnation, Version};

    fn incarnation() -> impl Strategy<Value = Incarnation> {
        (1..=3_u64).prop_map(|few| Incarnation::from_bits(few * 0x0101_0101_0101_0101))
    }

    pub(in super::super) fn dot() -> impl Strategy<Value = Dot> {
        let revision = prop_oneof![0..4_u64, 120..140_u64, Just(Version::REVISION_MAX)];
        (incarnation(), revision).prop_map(|(writer, revision)| Dot { writer, revision })
    }

    fn register() -> impl Strategy<Value = (Slot, Register)> {
        let slot = prop_oneof![
            Just(Slot::Principal),
            (0..200_u32).prop_map(Slot::Property),
            "[a-zé]{1,9}".prop_map(|name| Slot::Attribute(Name::new(&name).expect("short"))),
        ];
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        (slot, 0..3_u32, dot(), value).prop_map(|(slot, fence, dot, value)| {
            let version = Version {
                fence,
                revision: dot.revision.max(1),
                writer: dot.writer,
            };
            let value = value.map(|bytes| Value::new(&bytes));
            (slot, Register { version, value })
        })
    }

    fn millis() -> impl Strategy<Value = Duration> {
        prop_oneof![Just(0), 0..300_u64, any::<u64>()].prop_map(Duration::from_millis)
    }

    fn write() -> impl Strategy<Value = Content> {
        (
            (incarnation(), 0..300_u64),
            proptest::collection::vec(dot(), 0..3),
            proptest::option::of(dot()),
            proptest::collection::vec(register(), 0..5),
            millis(),
            millis(),
        )
            .prop_map(
                |((incarnation, serial), seen, since, registers, age, lived)| {
                    let birth = Birth {
                        incarnation,
                        serial,
                    };
                    Content::Write(Write {
                        birth,
                        seen: seen.into_iter().collect(),
                        since,
                        registers: registers.into_iter().collect(),
                        age,
                        lived,
                    })
                },
            )
    }

    fn tombstone() -> impl Strategy<Value = Content> {
        (millis(), millis(), 0..3_u64).prop_map(|(age, life, generation)| {
            Content::Tombstone(Tombstone {
                age,
                life,
                generation,
            })
        })
    }

    pub(in super::super) fn fragment() -> impl Strategy<Value = Fragment> {
        let content = prop_oneof![write(), tombstone()];
        (any::<u128>(), content).prop_map(|(bits, content)| Fragment {
            key: Key::from_bits(bits),
            content,
        })
    }

    pub(in super::super) fn answer() -> impl Strategy<Value = Answer> {
        let flags = (any::<bool>(), any::<bool>());
        (any::<u128>(), proptest::option::of(fragment()), flags).prop_map(
            |(bits, fragment, (same, served))| Answer {
                key: Key::from_bits(bits),
                same,
                fragment,
                served,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::super::super::wire;
    use super::super::Message;
    use super::super::exchange::to_whole;
    use super::super::fragment::defined::to_fragment;
    use super::samples::{answer, dot, fragment};
    use super::*;
    use crate::session::Rules;

    proptest! {
        #[test]
        fn answers_from_copies_are_those_that_were_made_first(
            sessions in proptest::collection::vec((fragment(), any::<bool>()), 0..4),
            held in proptest::collection::vec(dot(), 0..3),
            (knew_route, is_cut) in any::<(bool, bool)>(),
        ) {
            let (now, held) = (Time::START, held.into_iter().collect());
            let mut answers = Answers::new(7, "/shop", 0);
            let mut made = Vec::new();
            for (fragment, served) in sessions {
                let mut here = None;
                Entry::merge(&mut here, now, &fragment, &Rules::default());
                answers.add(fragment.key, (here.as_ref(), served), now, &held);
                let fetched = Entry::fetch(here.as_ref(), fragment.key, now, &held);
                made.push(Answer::of(fragment.key, fetched, served));
            }
            let whole = Message::Whole {
                question: 7,
                context: "/shop".to_owned(),
                answers: made,
                knew_route,
                is_cut,
            };
            prop_assert_eq!(answers.into_frame(knew_route, is_cut), whole.to_frame(None));
        }

        #[test]
        fn the_bytes_are_those_of_the_definition(
            context in "/?[a-z]{0,9}",
            fragments in proptest::collection::vec(fragment(), 0..3),
        ) {
            let defined = wire::Fragments {
                context: context.clone(),
                fragments: fragments.iter().map(to_fragment).collect(),
            };
            prop_assert_eq!(encode_fragments(&context, &fragments), defined.encode_to_vec());
        }

        #[test]
        fn the_bytes_of_an_answer_are_those_of_the_definition(
            question in 0..300_u64,
            answers in proptest::collection::vec(answer(), 0..3),
            said in any::<(bool, bool)>(),
        ) {
            let defined = to_whole(question, "/shop", &answers, said);
            let encoded = encode_whole(question, "/shop", &answers, said);
            prop_assert_eq!(encoded, defined.encode_to_vec());
        }
    }
}
