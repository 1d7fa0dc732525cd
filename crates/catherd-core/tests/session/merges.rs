//! Each cell of the table of merges: what is here, and what comes.

use std::time::Duration;

use catherd_core::session::{Content, DigestKey, Entry, Fetched, Fragment, Outcome, Tombstone};

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

/// x = "seven", written by A over six writes that came before.
fn seventh() -> Fragment {
    fragment(
        vector([(A, 7)]),
        Some(dot(A, 6)),
        &[("x", version(0, 7, A), Some("seven"))],
    )
}

fn with_birth_of_another(mut fragment: Fragment) -> Fragment {
    let Content::Write(write) = &mut fragment.content else {
        panic!("only writes have a birth");
    };
    write.birth = other_birth();
    fragment
}

#[test]
fn absent_and_fits_becomes_a_complete_copy() {
    let mut b = Node::empty(B);
    let first = fragment(
        vector([(A, 1)]),
        Some(dot(A, 0)),
        &[("x", version(0, 1, A), Some("one"))],
    );
    assert_eq!(b.merge(&first).outcome, Outcome::Complete);
    assert!(!b.state().is_behind());
    assert_eq!(b.state().seen(), &vector([(A, 1)]));
    assert_eq!(b.read("x").as_deref(), Some("one"));
}

#[test]
fn absent_and_does_not_fit_becomes_behind() {
    let mut b = Node::empty(B);
    assert_eq!(b.merge(&seventh()).outcome, Outcome::Behind);
    assert!(b.state().is_behind());
    assert!(b.state().seen().is_empty());
    assert_eq!(b.read("x").as_deref(), Some("seven"));
}

#[test]
fn absent_takes_a_whole_fragment() {
    let (a, _) = two_nodes();
    let mut c = Node::empty(C);
    assert_eq!(c.merge(&a.whole()).outcome, Outcome::Complete);
    assert_eq!(c.state().registers(), a.state().registers());
    assert_eq!(c.state().seen(), a.state().seen());
}

#[test]
fn absent_and_tombstone_is_ended() {
    let mut b = Node::empty(B);
    assert_eq!(
        b.merge(&tombstone(HOUR, DAY)).outcome,
        Outcome::Complete,
        "an end is acknowledged like a write"
    );
    let Some(Entry::Ended { at, life, .. }) = b.entry else {
        panic!("the key is ended");
    };
    assert_eq!((at, life), (now().ago(HOUR), DAY));
}

#[test]
fn live_and_fits_merges_and_has_seen_more() {
    let (mut a, mut b) = two_nodes();
    let sent = a.write("y", "two");
    assert_eq!(b.merge(&sent).outcome, Outcome::Complete);
    assert_eq!(b.state().seen(), &vector([(A, 2)]));
    assert_eq!(b.state().registers(), a.state().registers());
}

#[test]
fn live_and_does_not_fit_takes_the_registers_and_is_behind() {
    let (mut a, mut b) = two_nodes();
    a.write("lost", "two");
    let third = a.write("x", "three");
    assert_eq!(b.merge(&third).outcome, Outcome::Behind);
    assert!(b.state().is_behind());
    assert_eq!(b.state().seen(), &vector([(A, 1)]), "no claim is made");
    assert_eq!(b.read("x").as_deref(), Some("three"));
    assert_eq!(b.merge(&third).outcome, Outcome::Behind, "still");
}

#[test]
fn a_fragment_needs_what_its_writer_had_of_others_too() {
    let (mut a, mut b) = two_nodes();
    let mut c = Node::empty(C);
    c.merge(&a.whole());
    let lost = c.write("y", "of C");
    a.merge(&lost);
    let next = a.write("z", "of A");
    assert_eq!(b.merge(&next).outcome, Outcome::Behind);
    assert!(b.state().is_behind());
}

#[test]
fn the_missing_fragment_alone_does_not_close_the_gap() {
    let (mut a, mut b) = two_nodes();
    let second = a.write("y", "two");
    let third = a.write("x", "three");
    b.merge(&third);
    assert_eq!(b.merge(&second).outcome, Outcome::Complete);
    assert!(
        b.state().is_behind(),
        "the third is still told of: its registers may have lost to others"
    );
    assert_eq!(b.merge(&third).outcome, Outcome::Complete);
    assert!(!b.state().is_behind());
}

#[test]
fn a_whole_fragment_closes_a_gap() {
    let (mut a, mut b) = two_nodes();
    a.write("lost", "two");
    b.merge(&a.write("x", "three"));
    assert_eq!(b.merge(&a.whole()).outcome, Outcome::Complete);
    assert!(!b.state().is_behind());
    assert_eq!(b.state().seen(), a.state().seen());
    assert_eq!(b.state().registers(), a.state().registers());
}

#[test]
fn a_whole_fragment_that_covers_less_than_was_told_leaves_the_gap_open() {
    let (mut a, mut b) = two_nodes();
    let early = a.whole();
    a.write("lost", "two");
    let third = a.write("x", "three");
    b.merge(&third);
    assert_eq!(b.merge(&early).outcome, Outcome::Complete);
    assert!(b.state().is_behind());
}

#[test]
fn a_write_of_its_own_does_not_hide_a_gap() {
    let (mut a, mut b) = two_nodes();
    a.write("lost", "two");
    b.merge(&a.write("x", "three"));
    b.write("x", "four");
    assert!(b.state().is_behind(), "the register of the gap has gone");
    assert!(b.state().seen().covers(dot(B, 4)));
    assert!(!b.state().seen().covers(dot(A, 3)));
}

#[test]
fn a_register_that_loses_does_not_hide_a_gap() {
    let (mut a, mut b) = two_nodes();
    b.by.gone = 1;
    b.write("x", "of a higher fence");
    a.write("lost", "two");
    b.merge(&a.write("x", "three"));
    assert_eq!(b.read("x").as_deref(), Some("of a higher fence"));
    assert!(b.state().is_behind());
}

#[test]
fn a_fragment_that_came_twice_changes_nothing() {
    let (mut a, mut b) = two_nodes();
    let sent = a.write("x", "two");
    b.merge(&sent);
    let before = (b.state().registers(), b.state().seen().clone());
    let merged = b.merge(&sent);
    assert_eq!(merged.outcome, Outcome::Complete);
    assert_eq!((merged.concurrent, merged.corrupt), (0, 0));
    assert_eq!(before, (b.state().registers(), b.state().seen().clone()));
}

#[test]
fn live_and_whole_drops_what_is_gone_there() {
    let (mut a, mut b) = two_nodes();
    a.rules.removals_kept = 0;
    a.write_removal("x");
    assert!(write_of(&a.whole()).registers.is_empty());
    b.write("mine", "stays");
    b.merge(&a.whole());
    assert_eq!(b.read("x"), None);
    assert_eq!(b.read("mine").as_deref(), Some("stays"));
}

#[test]
fn a_fragment_that_is_not_whole_drops_nothing() {
    let (mut a, mut b) = two_nodes();
    b.merge(&a.write("y", "two"));
    assert_eq!(b.read("x").as_deref(), Some("one"));
}

#[test]
fn live_and_tombstone_is_ended() {
    let (a, mut b) = two_nodes();
    assert_eq!(b.merge(&tombstone(HOUR, DAY)).outcome, Outcome::Complete);
    assert!(b.is_ended());
    assert_eq!(b.merge(&a.whole()).outcome, Outcome::Ended);
    assert!(b.is_ended());
}

#[test]
fn twins_end_the_key_for_thirty_days_whatever_comes() {
    let (a, _) = two_nodes();
    let fits = fragment(
        vector([(B, 1)]),
        Some(dot(B, 0)),
        &[("x", version(0, 1, B), Some("other"))],
    );
    for comes in [fits, seventh(), a.whole()] {
        let (_, mut b) = two_nodes();
        let twin = with_birth_of_another(comes);
        assert_eq!(b.merge(&twin).outcome, Outcome::Twin);
        let Some(Entry::Ended { at, life, .. }) = b.entry else {
            panic!("neither survives");
        };
        assert_eq!((at, life), (now(), 30 * DAY));
        assert_eq!(b.merge(&twin).outcome, Outcome::Ended);
        assert_eq!(b.merge(&a.whole()).outcome, Outcome::Ended);
    }
}

#[test]
fn another_birth_and_a_tombstone_is_an_end_like_any_other() {
    let mut b = Node::empty(B);
    b.merge(&with_birth_of_another(seventh()));
    assert_eq!(b.merge(&tombstone(HOUR, DAY)).outcome, Outcome::Complete);
    assert!(b.is_ended());
}

#[test]
fn ended_drops_every_write() {
    let (a, _) = two_nodes();
    let fits = fragment(
        vector([(A, 1)]),
        Some(dot(A, 0)),
        &[("x", version(0, 1, A), Some("late"))],
    );
    for comes in [fits, seventh(), a.whole()] {
        let mut b = Node::empty(B);
        b.merge(&tombstone(HOUR, DAY));
        assert_eq!(b.merge(&comes).outcome, Outcome::Ended);
        let Some(Entry::Ended { at, life, .. }) = b.entry else {
            panic!("once ended, always ended");
        };
        assert_eq!((at, life), (now().ago(HOUR), DAY));
    }
}

#[test]
fn of_two_tombstones_the_later_end_and_the_longer_life_count() {
    let early = tombstone(2 * HOUR, 9 * DAY);
    let late = tombstone(HOUR, DAY);
    for order in [[&early, &late], [&late, &early]] {
        let mut b = Node::empty(B);
        for comes in order {
            b.merge(comes);
        }
        let Some(Entry::Ended { at, life, .. }) = b.entry else {
            panic!("the key is ended");
        };
        assert_eq!((at, life), (now().ago(HOUR), 9 * DAY));
    }
}

#[test]
fn the_higher_version_wins_in_either_order() {
    let low = fragment(
        vector([(A, 1)]),
        Some(dot(A, 0)),
        &[("x", version(0, 1, A), Some("low"))],
    );
    let high = fragment(
        vector([(B, 1)]),
        Some(dot(B, 0)),
        &[("x", version(0, 1, B), Some("high"))],
    );
    for order in [[&low, &high], [&high, &low]] {
        let mut c = Node::empty(C);
        assert_eq!(c.merge(order[0]).concurrent, 0);
        assert_eq!(c.merge(order[1]).concurrent, 1, "and it is counted");
        assert_eq!(c.read("x").as_deref(), Some("high"));
        assert_eq!(c.state().seen(), &vector([(A, 1), (B, 1)]));
    }
}

#[test]
fn what_a_fragment_has_beyond_its_own_seen_is_told_of_too() {
    // Sent by B, which is itself behind: it holds A's seventh write without the sixth.
    let of_b = fragment(
        vector([(B, 9)]),
        Some(dot(B, 8)),
        &[("x", version(0, 7, A), Some("seven"))],
    );
    let mut c = Node::empty(C);
    assert_eq!(c.merge(&of_b).outcome, Outcome::Behind);
    c.merge(&fragment(vector([(B, 9)]), None, &[]));
    assert!(c.state().is_behind(), "whatever came before (A, 7)");
    c.merge(&fragment(vector([(A, 7)]), None, &[]));
    assert!(!c.state().is_behind());
}

#[test]
fn a_late_duplicate_is_not_concurrent() {
    let mut a = Node::with_new_session(A);
    let first = a.write("x", "one");
    let mut b = Node::empty(B);
    b.merge(&first);
    b.write("x", "two");
    assert_eq!(b.merge(&first).concurrent, 0);
}

#[test]
fn a_write_over_what_was_seen_is_not_concurrent() {
    let (mut a, mut b) = two_nodes();
    assert_eq!(b.merge(&a.write("x", "two")).concurrent, 0);
    assert_eq!(a.merge(&b.write("x", "three")).concurrent, 0);
    assert_eq!(a.merge(&b.whole()).concurrent, 0);
}

#[test]
fn equal_versions_with_different_bytes_are_counted_and_the_greater_hash_wins() {
    let one = register(version(0, 1, A), Some("one"));
    let two = register(version(0, 1, A), Some("two"));
    let hash = |r: &catherd_core::session::Register| r.value.as_ref().map(|value| value.hash());
    let winner = if hash(&one) > hash(&two) {
        "one"
    } else {
        "two"
    };
    for texts in [["one", "two"], ["two", "one"]] {
        let mut b = Node::empty(B);
        let with = |text| fragment(vector([(A, 1)]), None, &[("x", version(0, 1, A), text)]);
        b.merge(&with(Some(texts[0])));
        assert_eq!(b.merge(&with(Some(texts[1]))).corrupt, 1);
        assert_eq!(b.read("x").as_deref(), Some(winner));
        assert_eq!(b.merge(&with(Some(winner))).corrupt, 0);
        b.merge(&with(None));
        assert_eq!(b.read("x").as_deref(), Some(winner), "a value beats none");
    }
}

#[test]
fn a_merge_moves_the_last_access_forward_only() {
    let (a, mut b) = two_nodes();
    let mut old = a.whole();
    let Content::Write(write) = &mut old.content else {
        panic!("a live session is sent as a write");
    };
    write.age = HOUR;
    b.merge(&old);
    assert_eq!(b.state().last_access(), now());
    let mut c = Node::empty(C);
    c.merge(&old);
    assert_eq!(c.state().last_access(), now().ago(HOUR));
    c.merge(&a.whole());
    assert_eq!(c.state().last_access(), now());
}

#[test]
fn an_idle_whole_fragment_is_taken_only_where_there_is_a_copy() {
    let mut a = Node::with_new_session(A);
    let minute = Duration::from_secs(60);
    a.state_mut()
        .set_property(catherd_core::session::Property::MaxInactive, 60_000);
    a.write("x", "one");
    let aged = |age| {
        let mut whole = a.whole();
        let Content::Write(write) = &mut whole.content else {
            panic!("a live session is sent as a write");
        };
        write.age = age;
        whole
    };
    let mut b = Node::empty(B);
    assert_eq!(b.merge(&aged(minute)).outcome, Outcome::Idle);
    assert!(b.entry.is_none());
    let younger = minute.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(b.merge(&aged(younger)).outcome, Outcome::Complete);
    a.write("x", "two");
    let later = {
        let mut whole = a.whole();
        if let Content::Write(write) = &mut whole.content {
            write.age = minute;
        }
        whole
    };
    assert_eq!(b.merge(&later).outcome, Outcome::Complete);
    assert_eq!(b.read("x").as_deref(), Some("two"));
}

#[test]
fn an_idle_fragment_that_is_not_whole_is_taken_where_nothing_is() {
    let mut a = Node::with_new_session(A);
    a.write("x", "one");
    a.state_mut()
        .set_property(catherd_core::session::Property::MaxInactive, 60_000);
    let mut sent = a.commit();
    if let Content::Write(write) = &mut sent.content {
        write.age = HOUR;
    }
    let mut b = Node::empty(B);
    assert_eq!(b.merge(&sent).outcome, Outcome::Behind);
    assert!(b.state().is_idle(now()), "taken, and served to nobody");
}

#[test]
fn a_fetch_is_answered_by_same_if_the_asker_holds_all_that_is_here() {
    let (a, b) = two_nodes();
    let held = b.state().seen().clone();
    assert_eq!(
        Entry::fetch(a.entry.as_ref(), KEY, now(), &held),
        Fetched::Same
    );
    let more = vector([(A, 9), (C, 9)]);
    assert_eq!(
        Entry::fetch(a.entry.as_ref(), KEY, now(), &more),
        Fetched::Same
    );
}

#[test]
fn a_fetch_is_answered_by_the_whole_session_if_the_asker_lacks_a_write() {
    let (mut a, b) = two_nodes();
    a.write("y", "two");
    assert_eq!(
        Entry::fetch(a.entry.as_ref(), KEY, now(), b.state().seen()),
        Fetched::Fragment(a.whole())
    );
}

#[test]
fn a_fetch_counts_registers_that_the_donor_has_beyond_what_it_has_seen() {
    let (mut a, mut b) = two_nodes();
    let held = b.state().seen().clone();
    a.write("lost", "two");
    b.merge(&a.write("x", "three"));
    assert_eq!(b.state().seen(), &held);
    assert_eq!(
        Entry::fetch(b.entry.as_ref(), KEY, now(), &held),
        Fetched::Fragment(b.whole()),
        "a client may have been shown x"
    );
}

#[test]
fn a_fetch_of_an_ended_or_unknown_key_is_answered_so() {
    let (mut a, _) = two_nodes();
    a.end(DAY);
    assert_eq!(
        Entry::fetch(a.entry.as_ref(), KEY, now() + HOUR, &vector([(A, 9)])),
        Fetched::Fragment(tombstone(HOUR, DAY))
    );
    assert_eq!(
        Entry::fetch(None, KEY, now(), &vector([])),
        Fetched::Unknown
    );
}

#[test]
fn a_copy_that_only_heard_of_writes_does_not_pass_for_an_empty_session() {
    let mut b = Node::empty(B);
    b.merge(&fragment(vector([(A, 7), (C, 9)]), Some(dot(A, 6)), &[]));
    assert!(b.state().is_behind());
    assert_eq!(
        Entry::fetch(b.entry.as_ref(), KEY, now(), &vector([])),
        Fetched::Unknown
    );
}

#[test]
fn a_tombstone_is_in_the_digest_for_half_its_life_and_over_at_its_end() {
    let key = DigestKey::new("test");
    let mut b = Node::empty(B);
    b.merge(&tombstone(Duration::ZERO, DAY));
    let entry = b.entry.unwrap();
    let nearly = Duration::from_millis(1);
    assert_ne!(
        entry.digest(KEY, now() + (DAY / 2).saturating_sub(nearly), &key),
        0
    );
    assert_eq!(entry.digest(KEY, now() + DAY / 2, &key), 0);
    assert!(!entry.is_over(now() + DAY.saturating_sub(nearly)));
    assert!(entry.is_over(now() + DAY));
}

#[test]
fn a_tombstone_lives_twice_the_idle_limit_and_at_least_a_day() {
    assert_eq!(Tombstone::life_for(Some(HOUR)), DAY);
    assert_eq!(Tombstone::life_for(Some(12 * HOUR)), DAY);
    assert_eq!(Tombstone::life_for(Some(13 * HOUR)), 26 * HOUR);
    assert_eq!(Tombstone::life_for(None), 30 * DAY);
    assert!(Tombstone::life_for(Some(Duration::MAX)) > 10_000 * DAY);
}

#[test]
fn a_gap_that_was_given_up_is_sought_again_after_news_and_after_arrivals() {
    let (mut a, mut b) = two_nodes();
    assert_eq!(b.state().gap(0), None, "nothing is missing");
    a.write("lost", "two");
    let third = a.write("x", "three");
    b.merge(&third);
    let gap = b.state().gap(0).expect("the second is missing");
    b.state_mut().give_up(gap);
    assert!(b.state().is_behind(), "it is missing still");
    assert_eq!(b.state().gap(0), None);
    b.merge(&third);
    assert_eq!(b.state().gap(0), None, "that was known");
    assert!(b.state().gap(1).is_some(), "a member came into view");

    b.merge(&a.write("x", "four"));
    let news = b.state().gap(0).expect("the fourth is missing too");
    b.state_mut().give_up(gap);
    assert_eq!(b.state().gap(0), Some(news), "that was about less");
    b.merge(&a.whole());
    assert_eq!(b.state().gap(1), None, "somebody had it");
    b.state_mut().give_up(news);
    assert_eq!(b.state().seen(), a.state().seen());
}
