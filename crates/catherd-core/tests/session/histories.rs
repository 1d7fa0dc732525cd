//! The worked histories of `docs/merge.md`.

use catherd_core::session::{Content, Entry, Fragment, Outcome, Property};

use crate::support::*;

#[test]
fn a_gap_that_looks_whole() {
    let mut a = Node::with_new_session(A);
    let mut b = Node::empty(B);
    for n in 1..=5 {
        b.merge(&a.write("counter", &n.to_string()));
    }
    let shed = a.write("a", "6");
    let arrives = a.write("b", "7");
    assert_eq!(write_of(&arrives).since, Some(dot(A, 6)));
    assert_eq!(b.merge(&arrives).outcome, Outcome::Behind);
    assert_eq!(
        b.state().highest(),
        a.state().highest(),
        "by highest version B looks as new as A"
    );
    assert_eq!(b.merge(&a.whole()).outcome, Outcome::Complete);
    assert!(!b.state().is_behind());
    assert_eq!(b.read("a").as_deref(), Some("6"));
    assert_eq!(b.merge(&shed).outcome, Outcome::Complete, "late: no news");
}

#[test]
fn the_cut_off_node_that_takes_over() {
    let mut a = Node::with_new_session(A);
    let (mut b, mut c) = (Node::empty(B), Node::empty(C));
    for n in 1..=5 {
        let sent = a.write("x", &n.to_string());
        b.merge(&sent);
        c.merge(&sent);
    }
    c.by.gone = 2;
    let by_c = [
        c.write("x", "of the cut off side"),
        c.write("y", "only here"),
    ];
    assert_eq!(c.version_of("x"), Some(version(1, 6, C)));
    a.by.gone = 1;
    b.by.gone = 1;
    let mut by_a = Vec::new();
    for n in 0..100 {
        let sent = a.write("x", &format!("of the other side {n}"));
        b.merge(&sent);
        by_a.push(sent);
    }
    assert_eq!(a.version_of("x"), Some(version(1, 105, A)));
    for sent in &by_c {
        a.merge(sent);
        b.merge(sent);
    }
    for sent in &by_a {
        c.merge(sent);
    }
    for node in [&a, &b, &c] {
        assert_eq!(node.read("x").as_deref(), Some("of the other side 99"));
        assert_eq!(node.read("y").as_deref(), Some("only here"));
        assert!(!node.state().is_behind());
        assert_eq!(node.state().registers(), a.state().registers());
        assert_eq!(node.state().seen(), a.state().seen());
    }
}

#[test]
fn stopped_between_the_stamp_and_the_sending() {
    let (mut a, mut b) = two_nodes();
    for n in 0..10 {
        b.merge(&a.write("x", &n.to_string()));
    }
    let unsent = a.write("x", "stamped before the pause");
    b.by.gone = 1;
    let taken_over = b.write("x", "of the new owner");
    assert!(taken_over.content != unsent.content);
    let merged = a.merge(&taken_over);
    assert_eq!(merged.concurrent, 1, "counted");
    b.merge(&a.whole());
    for node in [&a, &b] {
        assert_eq!(node.read("x").as_deref(), Some("of the new owner"));
        assert_eq!(node.state().seen(), &vector([(A, 12), (B, 12)]));
    }
}

#[test]
fn removed_then_late() {
    let mut a = Node::with_new_session(A);
    let mut b = Node::empty(B);
    for n in 1..=4 {
        b.merge(&a.write("counter", &n.to_string()));
    }
    let x = a.write("x", "of revision 5");
    b.merge(&x);
    for n in 0..64 {
        b.set(&format!("n{n}"), "1");
    }
    b.write_removal("x");
    assert!(b.version_of("x").is_some());
    for n in 0..64 {
        b.write_removal(&format!("n{n}"));
    }
    assert_eq!(b.version_of("x"), None, "64 removals later it is forgotten");
    assert!(b.state().seen().covers(dot(A, 5)));
    assert_eq!(b.merge(&x).outcome, Outcome::Complete);
    assert_eq!(b.read("x"), None);
}

#[test]
fn idle_on_one_side_only() {
    let limit = std::time::Duration::from_secs(60);
    let mut a = Node::with_new_session(A);
    a.state_mut().set_property(Property::MaxInactive, 60_000);
    a.set("x", "one");
    let mut b = Node::empty(B);
    b.merge(&a.commit());
    let later = now() + limit * 2;
    b.state_mut().touch(later);
    b.write("y", "of the side that served its client");
    assert!(a.state().is_idle(later));
    let whole = Fragment {
        key: KEY,
        content: Content::Write(b.state().whole(later)),
    };
    Entry::merge(&mut a.entry, later, &whole, &a.rules);
    assert!(!a.state().is_idle(later), "the younger age wins");
    assert_eq!(a.state().registers(), b.state().registers());
}
