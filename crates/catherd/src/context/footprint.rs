//! What a session of 1 kB keeps of the memory, counted: on any machine the same.

use std::hint::black_box;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use catherd_core::key::Key;
use catherd_core::session::{
    Birth, Content, DigestKey, Entry, Extent, Fragment, Name, Property, Rules, Slot, State, Value,
    Writer,
};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;

use super::table::SessionTable;

const SESSIONS: u64 = 10_000;
const PAYLOAD: usize = 1003;
/// What an allocator adds to a block: its own word, and up to the next multiple of 16.
const BESIDE_A_BLOCK: u64 = 16;
const WRITER: Incarnation = Incarnation::from_bits(0xa11c_e5ed);
const LIMIT_MILLIS: i64 = 1_800_000;

/// What `fill` leaves in a new table, a session.
fn kept(fill: impl FnOnce(&SessionTable)) -> (u64, u64) {
    let table = SessionTable::new(DigestKey::new("test"), None);
    let left = measure(|| fill(&table));
    assert_eq!(table.live(), usize::try_from(SESSIONS).unwrap());
    black_box(&table);
    let AllocationInfo {
        count_current,
        bytes_current,
        ..
    } = left;
    let each = |all: i64| u64::try_from(all).unwrap().div_ceil(SESSIONS);
    let blocks = each(count_current);
    (each(bytes_current) + blocks * BESIDE_A_BLOCK, blocks)
}

fn key(number: u64) -> Key {
    Key::from_bits((u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn now() -> Time {
    Time::since_start(Duration::from_secs(1))
}

/// A session with two properties, a counter and a payload, set as a request does.
fn set(state: &mut State, counter: u8) {
    let slot = |name| Slot::Attribute(Name::new(name).unwrap());
    let values = [
        ("counter", vec![counter]),
        ("payload", vec![counter; PAYLOAD]),
    ];
    for (name, value) in values {
        let value = Some(Value::new(&value));
        state.set(slot(name), value, &Rules::default()).unwrap();
    }
}

fn commit(state: &mut State) -> Fragment {
    let by = Writer {
        incarnation: WRITER,
        gone: 0,
        floor: 0,
    };
    let write = state.commit(now(), &by, Extent::Changes, &Rules::default());
    Fragment {
        key: key(0),
        content: Content::Write(write.expect("something is dirty")),
    }
}

fn new(number: u64) -> State {
    let birth = Birth {
        incarnation: WRITER,
        serial: number,
    };
    let mut state = State::new(birth, now());
    state.set_property(Property::Created, 1_700_000_000_000);
    state.set_property(Property::MaxInactive, LIMIT_MILLIS);
    state
}

#[test]
fn an_owner_keeps_at_most_1400_bytes_of_a_session_of_1_kb() {
    let (bytes, blocks) = kept(|table| {
        for number in 0..SESSIONS {
            table.with(key(number), now(), |_, slot| {
                slot.entry = Some(Entry::Live(new(number)));
            });
            for counter in 1..=2 {
                table.with(key(number), now(), |_, slot| {
                    let state = slot.entry.as_mut().and_then(Entry::live_mut).unwrap();
                    set(state, counter);
                    drop(commit(state));
                });
            }
        }
    });
    assert!(
        bytes <= 1400 && blocks <= 3,
        "{bytes} bytes in {blocks} blocks"
    );
}

#[test]
fn a_replica_keeps_at_most_1400_bytes_of_a_session_of_1_kb() {
    let (bytes, blocks) = kept(|table| {
        for number in 0..SESSIONS {
            let mut owner = new(number);
            for counter in 1..=2 {
                set(&mut owner, counter);
                let fragment = Fragment {
                    key: key(number),
                    ..commit(&mut owner)
                };
                table.with(key(number), now(), |_, slot| {
                    Entry::merge(&mut slot.entry, now(), &fragment, &Rules::default());
                });
            }
        }
    });
    assert!(
        bytes <= 1400 && blocks <= 3,
        "{bytes} bytes in {blocks} blocks"
    );
}

/// Of a session whose bytes are few the rest counts.
#[test]
fn a_cell_has_at_most_200_bytes() {
    let bytes = size_of::<super::table::Cell>();
    assert!(bytes + 16 <= 200, "{bytes} bytes and two counts");
}
