//! Everything of buckets in which the asker has nothing.

use std::collections::VecDeque;
use std::ops::Range;

use catherd_core::key::Key;
use catherd_core::sync::{Bulk, GivenUp, Pace, Stretch};
use catherd_core::table::Table as _;
use proptest::prelude::*;

use crate::tables::{Change, Node, SIZE, config, key, now};

/// Runs a bulk to its end: answers come in any order, have room for so many sessions, and some do
/// not come at all. Gives how many came.
fn run(here: &Node, there: &Node, buckets: Range<u32>, room: usize, fails: &[bool]) -> usize {
    let mut bulk = Bulk::of(&here.table, SIZE, buckets, false);
    let (mut asked, mut fails) = (VecDeque::new(), fails.iter().copied());
    let mut answers = 0;
    loop {
        while let Some(stretch) = bulk.poll() {
            assert!(stretch.is_sane(), "{stretch:?}");
            asked.push_back(stretch);
        }
        let Some(stretch) = asked.pop_back() else {
            return answers;
        };
        if fails.next() == Some(true) && stretch.most > 1 {
            if bulk.handle_failure(stretch).is_err() {
                return answers;
            }
            continue;
        }
        let mut keys = Vec::new();
        let is_cut = stretch.answer(&there.table, |key| {
            let has_room = keys.len() < room;
            keys.extend(has_room.then_some(key));
            has_room
        });
        answers += 1;
        assert!(keys.len() <= stretch.most);
        let last = keys.last().copied();
        bulk.handle_answer(&stretch, (keys.len(), last), is_cut)
            .expect("each answer comes further");
        for key in keys {
            here.fetch(there, key);
        }
    }
}

/// A node with so many sessions.
fn filled(sessions: u32) -> Node {
    let write = |key| Change::Write {
        key,
        name: 0,
        value: 0,
    };
    Node::after(1, &(0..sessions).map(write).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn who_has_nothing_gets_everything(
        changes in prop::collection::vec(Change::strategy(), 0..400),
        room in 1..20_usize,
        fails in prop::collection::vec(any::<bool>(), 0..3),
    ) {
        let (there, here) = (Node::after(1, &changes), Node::new(2));
        let middle = SIZE / 2;
        for half in [0..middle, middle..SIZE] {
            run(&here, &there, half, room, &fails);
        }
        prop_assert_eq!(here.digests(), there.digests());
        prop_assert!(here.holds_all_of(&there));
    }

    /// What is here is left to a comparison, and nothing is lost of it.
    #[test]
    fn who_has_something_gets_the_rest_of_it_by_comparing(
        (theirs, ours) in (
            prop::collection::vec(Change::strategy(), 0..300),
            prop::collection::vec(Change::strategy(), 0..9),
        ),
    ) {
        let (there, here) = (Node::after(1, &theirs), Node::after(2, &ours));
        let is_whole = Bulk::of(&here.table, SIZE, 0..SIZE, true).is_whole();
        prop_assert_eq!(is_whole, here.table.keys().is_empty());
        run(&here, &there, 0..SIZE, 5, &[]);
        here.pull_all(&there);
        prop_assert!(here.holds_all_of(&there));
    }
}

#[test]
fn an_empty_table_takes_one_question() {
    let (here, there) = (Node::new(1), Node::new(2));
    assert_eq!(run(&here, &there, 0..SIZE, 9, &[]), 1);
}

#[test]
fn few_empty_buckets_in_a_row_are_not_asked_for() {
    let here = filled(40);
    let empty = here.digests().iter().filter(|&&digest| digest == 0).count();
    let mut bulk = Bulk::of(&here.table, SIZE, 0..SIZE, true);
    assert!(empty > 20, "{empty} buckets are empty");
    assert_eq!(bulk.poll(), None);
    assert!(!bulk.is_whole());
}

fn ask(bulk: &mut Bulk) -> Stretch {
    bulk.poll().expect("there is something to ask for")
}

#[test]
fn as_many_buckets_are_asked_for_as_an_answer_has_room_for() {
    let mut bulk = Bulk::of(&Node::new(1).table, 4096, 0..4096, true);
    let first = ask(&mut bulk);
    assert_eq!(first.buckets, 0..4096);
    // 256 sessions were in ten buckets and a half.
    let last = Key::from_bits(10);
    bulk.handle_answer(&first, (256, Some(last)), true).unwrap();
    let second = ask(&mut bulk);
    assert_eq!((second.buckets.clone(), second.after), (10..20, Some(last)));
    let third = ask(&mut bulk);
    assert_eq!((third.buckets, third.after), (20..30, None));
    bulk.handle_answer(&second, (100, Some(Key::from_bits(19))), false)
        .unwrap();
    assert_eq!(
        ask(&mut bulk).buckets,
        30..50,
        "there was room for twice as many"
    );
}

#[test]
fn a_member_that_says_there_is_more_and_gives_nothing_is_given_up() {
    let mut bulk = Bulk::of(&Node::new(1).table, 4096, 8..4096, true);
    let asked = ask(&mut bulk);
    assert_eq!(
        bulk.clone().handle_answer(&asked, (0, None), true),
        Err(GivenUp)
    );
    let before = (1, Some(Key::from_bits(7)));
    assert_eq!(
        bulk.clone().handle_answer(&asked, before, true),
        Err(GivenUp)
    );
    let further = (1, Some(Key::from_bits(8)));
    assert_eq!(bulk.handle_answer(&asked, further, true), Ok(()));
    let again = ask(&mut bulk);
    assert_eq!(
        bulk.handle_answer(&again, further, true),
        Err(GivenUp),
        "the same"
    );
}

#[test]
fn less_is_asked_for_after_an_answer_that_did_not_come() {
    let mut pace = Pace::new(true);
    let all = Stretch::SESSIONS_MAX;
    assert!(pace.may_ask(2) && !pace.may_ask(3));
    assert_eq!(pace.failed(all), Ok(()));
    assert_eq!(pace.most(), all / 8);
    assert!(pace.may_ask(0) && !pace.may_ask(1));
    assert_eq!(pace.failed(all), Ok(()), "asked for before");
    assert_eq!(pace.most(), all / 8);
    assert_eq!(pace.failed(all / 8), Ok(()));
    assert_eq!(pace.failed(all / 64), Err(GivenUp));
    pace.answered();
    assert_eq!(pace.most(), all / 32);
    assert_eq!(Pace::new(true).failed(1), Err(GivenUp), "less is nothing");
}

#[test]
fn a_stretch_is_answered_in_the_order_of_buckets_and_keys() {
    let there = filled(100);
    let stretch = |after, most| Stretch {
        size: SIZE,
        buckets: 0..SIZE,
        after,
        most,
    };
    let keys_of = |stretch: Stretch| {
        let mut keys = Vec::new();
        let is_cut = stretch.answer(&there.table, |key| {
            keys.push(key);
            true
        });
        (keys, is_cut)
    };
    let (all, is_cut) = keys_of(stretch(None, 256));
    assert_eq!((all.len(), is_cut), (100, false));
    let place = |key: &Key| (key.bits() % u128::from(SIZE), *key);
    assert!(all.is_sorted_by_key(place));
    let (some, is_cut) = keys_of(stretch(None, 40));
    assert_eq!((&some[..], is_cut), (&all[..40], true));
    let first = u32::try_from(place(&all[0]).0).unwrap();
    let (rest, _) = keys_of(Stretch {
        buckets: first..SIZE,
        ..stretch(all.first().copied(), 256)
    });
    assert_eq!(rest, all[1..]);
    there.table.change(key(0), now(), |entry| *entry = None);
    assert!(!keys_of(stretch(None, 256)).0.contains(&key(0)));
}
