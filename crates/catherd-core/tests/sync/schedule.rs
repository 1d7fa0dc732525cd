//! Which pair compares what, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::ContextId;
use catherd_core::sync::{Due, Marks, Schedule, Scope};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use proptest::prelude::*;

use crate::tables::config;

const SHOP: ContextId = ContextId(0);
const BLOG: ContextId = ContextId(1);

fn at(seconds: u64) -> Time {
    Time::since_start(Duration::from_secs(seconds))
}

fn member(number: u64) -> Incarnation {
    Incarnation::from_bits(number)
}

fn marks(buckets: &[u32]) -> Marks {
    let keys = buckets.iter().map(|&bucket| Key::from_bits(bucket.into()));
    keys.collect()
}

fn everything(number: u64) -> Due {
    Due {
        with: member(number),
        is_mutual: true,
        scope: Scope::Everything,
    }
}

fn parts(number: u64, is_mutual: bool, of: &[(ContextId, &[u32])]) -> Due {
    let of = of
        .iter()
        .map(|(context, buckets)| (*context, marks(buckets)));
    Due {
        with: member(number),
        is_mutual,
        scope: Scope::Marked(of.collect()),
    }
}

/// A schedule whose first round with members 1 to `count` was at 0 and found nothing.
fn settled(count: u64) -> Schedule {
    let mut schedule = Schedule::new(Duration::from_secs(30));
    schedule.members(at(0), &(1..=count).map(member).collect::<Vec<_>>());
    for _ in 0..count {
        let due = schedule.take_due(at(0)).expect("who is new is due at once");
        assert_eq!(due.scope, Scope::Everything);
        schedule.note(at(0), due, Some(0));
    }
    assert_eq!(schedule.take_due(at(0)), None);
    schedule
}

#[test]
fn with_a_new_member_everything_is_compared_at_once_and_then_every_interval() {
    let mut schedule = Schedule::new(Duration::from_secs(30));
    assert_eq!(schedule.poll_timeout(), None, "nobody is there");
    schedule.members(at(5), &[member(1)]);
    assert_eq!(schedule.poll_timeout(), Some(at(5)));
    assert_eq!(schedule.differing(), None, "not looked yet");
    assert_eq!(schedule.take_due(at(5)), Some(everything(1)));
    schedule.note(at(6), everything(1), Some(0));
    assert_eq!(schedule.differing(), Some(0));
    assert_eq!(schedule.take_due(at(34)), None);
    assert_eq!(schedule.poll_timeout(), Some(at(35)));
    assert_eq!(schedule.take_due(at(35)), Some(everything(1)));
}

#[test]
fn what_was_shed_is_compared_when_the_link_is_free_and_nothing_else_is() {
    let mut schedule = settled(1);
    schedule.mark(member(1), SHOP, &marks(&[7]));
    schedule.mark(member(1), SHOP, &marks(&[7, 9]));
    schedule.mark(member(1), BLOG, &marks(&[4095]));
    assert_eq!(schedule.marked(member(1)), 3);
    assert_eq!(schedule.take_due(at(10)), None, "while it sheds");
    assert_eq!(schedule.poll_timeout(), Some(at(30)));
    schedule.link_free(at(11), member(1));
    assert_eq!(schedule.poll_timeout(), Some(at(11)));
    let due = parts(1, true, &[(SHOP, &[7, 9]), (BLOG, &[4095])]);
    assert_eq!(schedule.take_due(at(11)), Some(due.clone()));
    assert_eq!(schedule.marked(member(1)), 0);
    schedule.note(at(12), due, Some(0));
    assert_eq!(
        schedule.poll_timeout(),
        Some(at(30)),
        "the full round as ever"
    );
}

#[test]
fn a_link_without_marks_that_is_free_has_nothing_to_compare() {
    let mut schedule = settled(1);
    schedule.link_free(at(1), member(1));
    assert_eq!(schedule.take_due(at(1)), None);
    // What is marked afterwards waits for the next time.
    schedule.mark(member(1), SHOP, &marks(&[7]));
    assert_eq!(schedule.take_due(at(2)), None);
}

#[test]
fn a_link_that_never_gets_free_is_repaired_by_the_full_round() {
    let mut schedule = settled(1);
    schedule.mark(member(1), SHOP, &marks(&[7]));
    assert_eq!(schedule.take_due(at(30)), Some(everything(1)));
    assert_eq!(schedule.marked(member(1)), 0);
    schedule.link_free(at(31), member(1));
    assert_eq!(schedule.take_due(at(31)), None, "it was covered");
}

#[test]
fn what_a_member_has_otherwise_is_pulled_at_once_and_asks_nobody_back() {
    let mut schedule = settled(2);
    schedule.pull_from(at(3), member(2), SHOP, &marks(&[1, 2]));
    assert_eq!(
        schedule.take_due(at(3)),
        Some(parts(2, false, &[(SHOP, &[1, 2])]))
    );
    assert_eq!(schedule.take_due(at(3)), None);
    // Together with what was marked it is one comparison.
    schedule.pull_from(at(4), member(2), SHOP, &marks(&[1]));
    schedule.mark(member(2), SHOP, &marks(&[3]));
    schedule.link_free(at(4), member(2));
    assert_eq!(
        schedule.take_due(at(4)),
        Some(parts(2, true, &[(SHOP, &[1, 3])]))
    );
    // Marks whose link is not free stay behind.
    schedule.pull_from(at(5), member(2), SHOP, &marks(&[1]));
    schedule.mark(member(2), SHOP, &marks(&[3]));
    assert_eq!(
        schedule.take_due(at(5)),
        Some(parts(2, false, &[(SHOP, &[1])]))
    );
    assert_eq!(schedule.marked(member(2)), 1);
}

#[test]
fn marks_die_with_the_connection_and_everything_is_compared_on_the_next() {
    let mut schedule = settled(1);
    schedule.mark(member(1), SHOP, &marks(&[7]));
    schedule.pull_from(at(1), member(1), SHOP, &marks(&[8]));
    schedule.reopened(at(1), member(1));
    assert_eq!(schedule.marked(member(1)), 0);
    assert_eq!(schedule.take_due(at(1)), Some(everything(1)));
    assert_eq!(schedule.take_due(at(1)), None);

    schedule.mark(member(1), SHOP, &marks(&[7]));
    schedule.members(at(2), &[]);
    schedule.members(at(3), &[member(1)]);
    assert_eq!(schedule.marked(member(1)), 0);
    assert_eq!(schedule.take_due(at(3)), Some(everything(1)));
}

#[test]
fn what_still_differs_is_looked_at_again_after_a_second() {
    let mut schedule = settled(1);
    schedule.soon(at(10), member(1));
    let due = schedule.take_due(at(10)).unwrap();
    schedule.note(at(12), due, Some(3));
    assert_eq!(schedule.differing(), Some(3));
    assert_eq!(schedule.poll_timeout(), Some(at(13)));
    assert_eq!(schedule.take_due(at(13)), Some(everything(1)));
    schedule.note(at(13), everything(1), Some(0));

    schedule.mark(member(1), SHOP, &marks(&[7]));
    schedule.link_free(at(14), member(1));
    let due = schedule.take_due(at(14)).unwrap();
    schedule.note(at(14), due, Some(2));
    assert_eq!(schedule.differing(), Some(2));
    assert_eq!(schedule.take_due(at(14)), None);
    let again = parts(1, false, &[(SHOP, &[7])]);
    assert_eq!(schedule.take_due(at(15)), Some(again.clone()));
    schedule.note(at(15), again, Some(0));
    assert_eq!(schedule.differing(), Some(0));
}

#[test]
fn who_did_not_answer_is_asked_the_same_later() {
    let mut schedule = settled(1);
    schedule.mark(member(1), SHOP, &marks(&[7]));
    schedule.link_free(at(1), member(1));
    let due = schedule.take_due(at(1)).unwrap();
    schedule.note(at(6), due.clone(), None);
    assert_eq!(schedule.marked(member(1)), 1, "not repaired");
    assert_eq!(schedule.take_due(at(15)), None);
    assert_eq!(schedule.take_due(at(16)), Some(due));

    schedule.pull_from(at(17), member(1), SHOP, &marks(&[8]));
    let due = schedule.take_due(at(17)).unwrap();
    schedule.note(at(18), due.clone(), None);
    assert_eq!(schedule.take_due(at(28)), Some(due));

    let due = schedule.take_due(at(30)).unwrap();
    assert_eq!(due, everything(1));
    schedule.note(at(35), due, None);
    assert_eq!(schedule.take_due(at(45)), Some(everything(1)));
}

#[test]
fn a_pair_that_is_always_due_does_not_keep_the_others_waiting() {
    let mut schedule = settled(2);
    schedule.soon(at(1), member(2));
    schedule.soon(at(2), member(1));
    assert_eq!(schedule.take_due(at(3)), Some(everything(2)));
    schedule.note(at(3), everything(2), Some(1));
    assert_eq!(schedule.take_due(at(4)), Some(everything(1)));
}

#[test]
fn of_whom_is_no_member_nothing_is_kept() {
    let mut schedule = settled(1);
    schedule.mark(member(9), SHOP, &marks(&[7]));
    schedule.pull_from(at(1), member(9), SHOP, &marks(&[7]));
    schedule.link_free(at(1), member(9));
    schedule.reopened(at(1), member(9));
    schedule.soon(at(1), member(9));
    schedule.note(at(1), everything(9), Some(5));
    assert_eq!(schedule.take_due(at(1)), None);
    assert_eq!(
        (schedule.marked(member(9)), schedule.differing()),
        (0, Some(0))
    );
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Mark(u32),
    LinkFree,
    Reopened,
    PullFrom(u32),
    Passes(u64),
    Compares(Option<u64>),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..9_u32).prop_map(Event::Mark),
        2 => Just(Event::LinkFree),
        1 => Just(Event::Reopened),
        2 => (0..9_u32).prop_map(Event::PullFrom),
        2 => (0..20_u64).prop_map(Event::Passes),
        6 => prop::option::weighted(0.7, 0..2_u64).prop_map(Event::Compares),
    ]
}

proptest! {
    #![proptest_config(config(512))]

    /// Nothing that was marked is forgotten before the member has been asked to pull it, nothing
    /// else is compared in part, and nothing is due for ever.
    #[test]
    fn every_mark_is_compared_and_nothing_but_marks(
        events in prop::collection::vec(any_event(), 0..60),
    ) {
        let mut schedule = settled(1);
        let mut now = at(0);
        // Buckets that the member, or this node, may lack something of still.
        let (mut lacking, mut to_pull) = (Marks::none(), Marks::none());
        let last = [Event::LinkFree, Event::Passes(60), Event::Compares(Some(0))];
        for event in events.into_iter().chain(last).chain([Event::Compares(Some(0))]) {
            match event {
                Event::Mark(bucket) => {
                    schedule.mark(member(1), SHOP, &marks(&[bucket]));
                    lacking.add_all(&marks(&[bucket]));
                }
                Event::LinkFree => schedule.link_free(now, member(1)),
                Event::Reopened => schedule.reopened(now, member(1)),
                Event::PullFrom(bucket) => {
                    schedule.pull_from(now, member(1), SHOP, &marks(&[bucket]));
                    to_pull.add_all(&marks(&[bucket]));
                }
                Event::Passes(seconds) => now += Duration::from_secs(seconds),
                Event::Compares(outcome) => {
                    let Some(due) = schedule.take_due(now) else {
                        prop_assert!(schedule.poll_timeout() > Some(now));
                        continue;
                    };
                    if let Scope::Marked(of) = &due.scope {
                        prop_assert_eq!(of.keys().collect::<Vec<_>>(), [&SHOP]);
                        let known = |bucket| lacking.contains(bucket) || to_pull.contains(bucket);
                        prop_assert!(of[&SHOP].iter().all(known), "{:?}", due);
                    }
                    let is_answered = outcome.is_some();
                    if is_answered && due.is_mutual {
                        lacking = match &due.scope {
                            Scope::Everything => Marks::none(),
                            Scope::Marked(of) => without(&lacking, &of[&SHOP]),
                        };
                        // What differs still may be looked at again.
                        if due.scope == Scope::Everything {
                            to_pull = Marks::none();
                        }
                    }
                    if let Scope::Marked(of) = &due.scope {
                        to_pull.add_all(&of[&SHOP]);
                    }
                    schedule.note(now, due, outcome);
                }
            }
        }
        prop_assert!(lacking.is_empty(), "{lacking:?} was forgotten");
    }
}

fn without(marks: &Marks, done: &Marks) -> Marks {
    let left = marks.iter().filter(|bucket| !done.contains(*bucket));
    left.map(|bucket| Key::from_bits(bucket.into())).collect()
}

#[test]
fn what_a_schedule_keeps_is_bounded_whatever_is_marked() {
    let mut schedule = settled(1);
    for _ in 0..3 {
        schedule.mark(member(1), SHOP, &Marks::all());
    }
    assert_eq!(schedule.marked(member(1)), 4096);
    schedule.link_free(at(1), member(1));
    let due = schedule.take_due(at(1)).unwrap();
    let expected: BTreeMap<_, _> = [(SHOP, Marks::all())].into();
    assert_eq!(due.scope, Scope::Marked(expected));
}
