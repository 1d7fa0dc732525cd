//! What counts as a session that differs.

use proptest::prelude::*;

use crate::tables::{Change, KEYS, Node, config};

/// What happens to a session that differs between two looks at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meanwhile {
    Nothing,
    WrittenHere,
    WrittenThere,
    EndedHere,
    EndedThere,
    Repaired,
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        Just(Meanwhile::Nothing),
        Just(Meanwhile::WrittenHere),
        Just(Meanwhile::WrittenThere),
        Just(Meanwhile::EndedHere),
        Just(Meanwhile::EndedThere),
        Just(Meanwhile::Repaired),
    ]
}

fn write(key: u32, value: u16) -> Change {
    Change::Write {
        key,
        name: 0,
        value,
    }
}

proptest! {
    #![proptest_config(config(128))]

    /// What changed between the looks is in use, and its fragments are under way.
    #[test]
    fn only_what_differs_as_it_did_before_is_counted(
        events in prop::collection::btree_map(0..KEYS, meanwhile(), 0..60),
    ) {
        let (here, there) = (Node::new(1), Node::new(2));
        for key in events.keys() {
            let both = here.make(write(*key, 1)).expect("a write is told");
            there.merge(&both);
            there.make(write(*key, 2));
        }
        let look = || {
            let buckets = 0..crate::tables::SIZE;
            let size = crate::tables::SIZE;
            let comparison =
                catherd_core::sync::Comparison::of(&here.table, size, buckets, false);
            let summaries = comparison.answer(&there.table);
            catherd_core::sync::Look::at(&summaries, &here.table)
        };
        let before = look();
        prop_assert_eq!(before.still_differing(&before), events.len() as u64);
        for (&key, event) in &events {
            match event {
                Meanwhile::Nothing => {}
                Meanwhile::WrittenHere => drop(here.make(write(key, 3))),
                Meanwhile::WrittenThere => drop(there.make(write(key, 3))),
                Meanwhile::EndedHere => drop(here.make(Change::End { key })),
                Meanwhile::EndedThere => drop(there.make(Change::End { key })),
                Meanwhile::Repaired => {
                    let newer = there.make(write(key, 4)).expect("a write is told");
                    here.merge(&newer);
                    // The write before it is fetched, since this one came without it.
                    here.pull(&there, bucket_of(key));
                }
            }
        }
        let unchanged = |event: &&Meanwhile| **event == Meanwhile::Nothing;
        let expected = events.values().filter(unchanged).count() as u64;
        // A repair of one session takes its bucket with it.
        let repaired: Vec<_> = events
            .iter()
            .filter(|(_, event)| **event == Meanwhile::Repaired)
            .map(|(key, _)| bucket_of(*key))
            .collect();
        let taken_along = events
            .iter()
            .filter(|(key, event)| unchanged(event) && repaired.contains(&bucket_of(**key)))
            .count() as u64;
        prop_assert_eq!(look().still_differing(&before), expected - taken_along);
    }
}

#[test]
fn two_equal_tables_have_nothing_to_look_at() {
    let (here, there) = (Node::new(1), Node::new(2));
    there.make(write(1, 1));
    assert!(!here.pull_all(&there).is_empty());
    assert!(here.pull_all(&there).is_empty());
}

fn bucket_of(number: u32) -> std::ops::Range<u32> {
    let size = crate::tables::SIZE as usize;
    let catherd_core::session::Bucket(bucket) =
        catherd_core::session::Bucket::of(crate::tables::key(number), size);
    bucket..bucket + 1
}
