//! How old a session is: an age that travels, and of two ages the greater.

use std::time::Duration;

use catherd_core::session::{Birth, Content, Entry, Extent, Fragment};
use catherd_core::time::Time;
use proptest::prelude::*;

use crate::support::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A whole fragment of a session that was used, and made, so long ago.
fn aged(age: u64, lived: u64) -> Fragment {
    let x = ("x", version(0, 1, A), Some("1"));
    let mut fragment = fragment(vector([(A, 1)]), None, &[x]);
    let Content::Write(write) = &mut fragment.content else {
        unreachable!("it was made a write");
    };
    (write.age, write.lived) = (seconds(age), seconds(lived));
    fragment
}

fn lived(node: &Node, now: Time) -> Duration {
    now.since(node.state().created())
}

#[test]
fn every_fragment_says_how_old_the_session_is() {
    let mut a = Node::with_new_session(A);
    a.set("x", "1");
    let (by, rules) = (a.by, a.rules);
    let later = now() + seconds(60);
    let first = a.state_mut().commit(later, &by, Extent::Changes, &rules);
    assert_eq!(first.unwrap().lived, seconds(60), "the first, whole");
    a.set("x", "2");
    let later = now() + seconds(90);
    let second = a.state_mut().commit(later, &by, Extent::Changes, &rules);
    let second = second.unwrap();
    assert!(!second.is_whole());
    assert_eq!(second.lived, seconds(90), "a commit over it");
    assert_eq!(a.state().whole(later).lived, seconds(90), "a copy");
    let since = a.state().since(later, dot(A, 1));
    assert_eq!(since.lived, seconds(90), "what a queue sends");
}

#[test]
fn a_use_makes_a_session_no_younger() {
    let mut b = Node::empty(B);
    b.merge(&aged(5, 3600));
    b.state_mut().touch(now());
    assert_eq!(lived(&b, now()), seconds(3600));
    b.merge(&aged(0, 1800));
    assert_eq!(lived(&b, now()), seconds(3600));
}

#[test]
fn a_session_is_at_least_as_old_as_its_last_use() {
    let mut b = Node::empty(B);
    b.merge(&aged(40, 0));
    assert_eq!(lived(&b, now()), seconds(40));
}

#[test]
fn a_change_of_id_keeps_the_age_of_what_the_session_holds() {
    let mut a = Node::empty(A);
    a.merge(&aged(5, 3600));
    let birth = Birth {
        incarnation: incarnation(A),
        serial: 2,
    };
    let mut new = None;
    let changed = Entry::change_id(
        (KEY, &mut a.entry),
        (NEW_KEY, &mut new),
        birth,
        now(),
        &a.by,
        DAY,
        &a.rules,
    );
    assert_eq!(write_of(&changed.unwrap().new).lived, seconds(3600));
    let state = new.as_ref().and_then(Entry::live).unwrap();
    assert_eq!(now().since(state.created()), seconds(3600));
}

#[test]
fn an_absurd_age_stops_at_the_origin_of_time() {
    let mut b = Node::empty(B);
    b.merge(&aged(0, 60));
    let mut absurd = aged(0, 0);
    let Content::Write(write) = &mut absurd.content else {
        unreachable!("it was made a write");
    };
    write.lived = Duration::MAX;
    b.merge(&absurd);
    assert_eq!(b.state().created(), Time::START.ago(Duration::MAX));
}

proptest! {
    /// Whatever comes, in whatever order, however late and however often: the copy is as old as
    /// the oldest of it said, and never grows younger.
    #[test]
    fn of_all_ages_that_came_the_greatest_counts(
        sent in prop::collection::vec((0..100_u64, 0..10_000_u64, 0..30_u64), 1..12),
        order in any::<prop::sample::Index>(),
    ) {
        let mut at = now();
        let mut b = Node::empty(B);
        let mut created = Vec::new();
        for &(age, old, pause) in &sent {
            at += seconds(pause);
            let rules = b.rules;
            let before = b.entry.as_ref().and_then(Entry::live).map(|state| state.created());
            Entry::merge(&mut b.entry, at, &aged(age, old), &rules);
            created.push(at.ago(seconds(age.max(old))));
            prop_assert_eq!(b.state().created(), *created.iter().min().unwrap());
            prop_assert!(before.is_none_or(|before| b.state().created() <= before));
        }
        // Another order, all at once: the same ages give the same age.
        let mut turned: Vec<_> = created.iter().map(|created| at.since(*created)).collect();
        turned.rotate_left(order.index(sent.len()));
        let mut c = Node::empty(C);
        for old in turned.iter().chain(&turned) {
            let rules = c.rules;
            let mut fragment = aged(0, 0);
            if let Content::Write(write) = &mut fragment.content {
                write.lived = *old;
            }
            Entry::merge(&mut c.entry, at, &fragment, &rules);
        }
        prop_assert_eq!(c.state().created(), b.state().created());
    }
}
