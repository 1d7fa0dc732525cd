//! Commit, encode, decode, merge, digest, table.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use catherd_core::key::Key;
use catherd_core::message::{FrameKind, Message, encode_fragments};
use catherd_core::session::{
    Birth, Content, DigestKey, Entry, Extent, Fragment, Merged, Name, Rules, Slot, State, Value,
    Writer,
};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;

/// A node's copy of one session.
#[derive(Clone, Debug)]
pub struct Copy {
    /// What the table would hold.
    pub entry: Option<Entry>,
    size: usize,
    counter: u8,
    slots: [Slot; 2],
}

const WRITER: Incarnation = Incarnation::from_bits(0xa11c_e5ed);
const SESSION_BYTES_MAX: usize = 1 << 20;

/// A key like those that are drawn at random: spread over all buckets.
pub fn key(number: u64) -> Key {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    Key::from_bits((u128::from(number) + 1).wrapping_mul(ODD))
}

impl Copy {
    /// A session that was written once, with a payload of `size` bytes.
    pub fn written(size: usize) -> Self {
        let birth = Birth {
            incarnation: WRITER,
            serial: 0,
        };
        let slot = |name| Slot::Attribute(Name::new(name).expect("a short name"));
        let mut copy = Self {
            entry: Some(Entry::Live(State::new(birth, now()))),
            size,
            counter: 0,
            slots: [slot("counter"), slot("payload")],
        };
        copy.write();
        copy
    }

    /// A copy elsewhere that holds all that this one holds.
    pub fn replica(&self) -> Self {
        let mut replica = Self {
            entry: None,
            ..self.clone()
        };
        let whole = Fragment {
            key: key(0),
            content: Content::Write(self.live().whole(now())),
        };
        replica.merge(&whole);
        replica
    }

    /// Sets both attributes; dirty until the commit.
    pub fn set(&mut self) {
        self.counter = self.counter.wrapping_add(1);
        let payload = vec![b'a' + self.counter % 26; self.size];
        let [counter, payload_slot] = self.slots.clone();
        let values = [
            (counter, Value::new(&[self.counter])),
            (payload_slot, Value::new(&payload)),
        ];
        for (slot, value) in values {
            let set = self.live_mut().set(slot, Some(value), &Rules::default());
            set.expect("the payload is smaller than a session may be");
        }
    }

    /// The commit of what is dirty.
    pub fn commit(&mut self) -> Fragment {
        let writer = Writer {
            incarnation: WRITER,
            gone: 0,
            floor: 0,
        };
        let rules = Rules::default();
        let write = self
            .live_mut()
            .commit(now(), &writer, Extent::Changes, &rules);
        Fragment {
            key: key(0),
            content: Content::Write(write.expect("something is dirty")),
        }
    }

    /// Both.
    pub fn write(&mut self) -> Fragment {
        self.set();
        self.commit()
    }

    /// Takes in what came from elsewhere.
    pub fn merge(&mut self, fragment: &Fragment) -> Merged {
        Entry::merge(&mut self.entry, now(), fragment, &Rules::default())
    }

    fn live(&self) -> &State {
        self.entry
            .as_ref()
            .and_then(Entry::live)
            .expect("it is live")
    }

    fn live_mut(&mut self) -> &mut State {
        let entry = self.entry.as_mut().and_then(Entry::live_mut);
        entry.expect("it is live")
    }
}

fn now() -> Time {
    Time::since_start(Duration::from_secs(1))
}

/// A fragment as it travels, without the head of its frame.
pub(crate) fn encode(fragment: &Fragment) -> Bytes {
    encode_fragments("/bench", std::slice::from_ref(fragment))
}

/// Something that is measured.
pub struct Operation {
    /// What it does.
    pub name: &'static str,
    /// Prepares one call, so that only what the call does is measured.
    pub prepare: Box<dyn FnMut() -> Box<dyn FnOnce()>>,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All operations, with payloads of `size` bytes.
///
/// What a call leaves behind, dropping it included, is part of the call.
pub fn operations(size: usize) -> Vec<Operation> {
    let mut writer = Copy::written(size);
    let mut dirty = writer.clone();
    let fragment = writer.write();
    let encoded = encode(&fragment);
    let replica = Copy::written(size).replica();
    let digest = DigestKey::new("bench");
    let table = filled(&replica);
    let mut at = 0;
    let both = fragment.clone();
    vec![
        operation("commit of two attributes", move || {
            dirty.set();
            let mut copy = dirty.clone();
            drop(dirty.commit());
            Box::new(move || drop(black_box(copy.commit())))
        }),
        operation("commit and encode", move || {
            writer.set();
            let mut copy = writer.clone();
            drop(writer.commit());
            Box::new(move || drop(black_box(encode(&copy.commit()))))
        }),
        operation("encode", move || {
            let fragment = fragment.clone();
            Box::new(move || drop(black_box(encode(&fragment))))
        }),
        operation("decode", {
            let encoded = encoded.clone();
            move || {
                let encoded = encoded.clone();
                Box::new(move || drop(black_box(decode(&encoded))))
            }
        }),
        operation("merge of a write into a copy", move || {
            let (mut copy, fragment) = (replica.clone(), both.clone());
            Box::new(move || {
                black_box(copy.merge(&fragment));
            })
        }),
        operation("digest of a session", {
            let copy = Copy::written(size);
            move || {
                let copy = copy.clone();
                Box::new(move || {
                    black_box(digest.session(key(0), copy.live()));
                })
            }
        }),
        operation(
            "decode, merge and digest, in a table of 10 000",
            move || {
                at = (at + 7919) % SESSIONS;
                let (encoded, number) = (encoded.clone(), at);
                let table = Rc::clone(&table);
                Box::new(move || {
                    for fragment in decode(&encoded) {
                        let merge = |entry: &mut Option<Entry>| {
                            Entry::merge(entry, now(), &fragment, &Rules::default())
                        };
                        black_box(table.change(key(number), now(), merge));
                    }
                })
            },
        ),
    ]
}

fn operation(
    name: &'static str,
    prepare: impl FnMut() -> Box<dyn FnOnce()> + 'static,
) -> Operation {
    Operation {
        name,
        prepare: Box::new(prepare),
    }
}

const SESSIONS: u64 = 10_000;

/// A table of the core, without locks, in which every session is a copy of this one.
fn filled(copy: &Copy) -> Rc<PlainTable> {
    let table = PlainTable::new(DigestKey::new("bench"));
    for number in 0..SESSIONS {
        table.change(key(number), now(), |entry| entry.clone_from(&copy.entry));
    }
    Rc::new(table)
}

fn decode(payload: &Bytes) -> Vec<Fragment> {
    let decoded = Message::decode(FrameKind::Fragments, payload, None, SESSION_BYTES_MAX);
    match decoded {
        Ok(Some(Message::Fragments { fragments, .. })) => fragments,
        other => panic!("what was encoded is decoded: {other:?}"),
    }
}
