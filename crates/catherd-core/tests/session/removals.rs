//! Removals: what is remembered, and what is not needed any more.

use catherd_core::session::Outcome;

use crate::support::*;

#[test]
fn a_removal_is_a_register_without_bytes() {
    let (mut a, mut b) = two_nodes();
    let sent = a.write_removal("x");
    assert_eq!(
        write_of(&sent).registers.to_vec(),
        [(attribute("x"), register(version(0, 2, A), None))]
    );
    b.merge(&sent);
    assert_eq!(b.read("x"), None);
    assert_eq!(b.version_of("x"), Some(version(0, 2, A)));
}

#[test]
fn a_late_write_loses_to_a_removal_that_is_remembered() {
    let (mut a, mut b) = two_nodes();
    let late = a.write("x", "late");
    let removal = a.write_removal("x");
    b.merge(&removal);
    b.merge(&late);
    assert_eq!(b.read("x"), None);
}

#[test]
fn the_newest_sixty_four_removals_are_kept() {
    let mut a = Node::with_new_session(A);
    for n in 0..70 {
        a.set(&format!("name{n:02}"), "1");
    }
    a.commit();
    for n in 0..70 {
        a.write_removal(&format!("name{n:02}"));
    }
    let kept: Vec<_> = a
        .state()
        .registers()
        .iter()
        .map(|(slot, _)| slot.clone())
        .collect();
    let newest: Vec<_> = (6..70).map(|n| attribute(&format!("name{n:02}"))).collect();
    assert_eq!(kept, newest);
}

#[test]
fn of_removals_in_one_commit_the_lower_names_are_forgotten_first() {
    let mut a = Node::with_new_session(A);
    a.rules.removals_kept = 2;
    for name in ["a", "b", "c", "d"] {
        a.set(name, "1");
    }
    a.commit();
    for name in ["d", "a", "c", "b"] {
        a.remove(name);
    }
    let sent = a.commit();
    assert_eq!(write_of(&sent).registers.len(), 4, "all of them are told");
    assert_eq!(a.version_of("a"), None);
    assert_eq!(a.version_of("b"), None);
    assert!(a.version_of("c").is_some() && a.version_of("d").is_some());
}

#[test]
fn both_sides_forget_the_same_removals() {
    let (mut a, mut b) = two_nodes();
    (a.rules.removals_kept, b.rules.removals_kept) = (1, 1);
    b.merge(&a.write("y", "two"));
    b.merge(&a.write_removal("x"));
    b.merge(&a.write_removal("y"));
    assert_eq!(a.version_of("x"), None);
    assert_eq!(a.state().registers(), b.state().registers());
}

#[test]
fn a_duplicate_of_a_write_whose_removal_was_forgotten_is_ignored() {
    let mut a = Node::with_new_session(A);
    let x = a.write("x", "one");
    let mut b = Node::empty(B);
    b.rules.removals_kept = 0;
    b.merge(&x);
    b.write_removal("x");
    assert_eq!(b.version_of("x"), None, "forgotten at once");
    let merged = b.merge(&x);
    assert_eq!(merged.outcome, Outcome::Complete);
    assert_eq!(b.read("x"), None);
    assert_eq!(b.version_of("x"), None);
}

#[test]
fn a_concurrent_write_survives_a_forgotten_removal_that_had_not_seen_it() {
    let (mut a, mut b) = two_nodes();
    b.rules.removals_kept = 0;
    b.write_removal("x");
    let concurrent = a.write("x", "not seen by the remover");
    b.merge(&concurrent);
    assert_eq!(b.read("x").as_deref(), Some("not seen by the remover"));
}

#[test]
fn what_follows_a_forgotten_removal_is_sent_whole() {
    let (mut a, mut b) = two_nodes();
    a.rules.removals_kept = 0;
    a.write_removal("x");
    a.write("y", "three");
    let write = a.state().since(now(), dot(A, 1));
    assert!(write.is_whole());
    assert!(a.state().since(now(), dot(A, 2)).since.is_some());
    b.merge(&a.whole());
    assert_eq!(b.read("x"), None);
}

#[test]
fn a_removal_that_a_whole_fragment_drops_is_still_told_to_others() {
    // C keeps fewer removals. Its whole copy takes the removal of x away from A, while B has yet
    // to hear of it.
    let (mut a, mut b) = two_nodes();
    let mut c = Node::empty(C);
    c.rules.removals_kept = 0;
    c.merge(&a.whole());
    c.merge(&a.write_removal("x"));
    a.merge(&c.whole());
    assert_eq!(a.version_of("x"), None, "nobody remembers it");
    let write = a.state().since(now(), dot(A, 1));
    b.merge(&catherd_core::session::Fragment {
        key: KEY,
        content: catherd_core::session::Content::Write(write),
    });
    assert_eq!(b.state().seen(), a.state().seen());
    assert_eq!(b.read("x"), None);
}

#[test]
fn set_again_after_its_removal_a_name_lives() {
    let (mut a, mut b) = two_nodes();
    b.merge(&a.write_removal("x"));
    a.merge(&b.write("x", "again"));
    assert_eq!(a.read("x").as_deref(), Some("again"));
    assert_eq!(a.version_of("x"), Some(version(0, 3, B)));
}

#[test]
fn a_forgotten_removal_does_not_stand_in_the_way_of_a_write_above_seen() {
    // Why merge is idempotent only for copies without such writes, where removals are forgotten:
    // the duplicate of a fragment that did not fit brings x back, until the gap is closed.
    let (mut a, _) = two_nodes();
    a.rules.removals_kept = 1;
    let mut c = Node::empty(C);
    c.rules.removals_kept = 1;
    a.write("lost", "two");
    let third = a.write("x", "three");
    c.merge(&third);
    c.merge(&a.write_removal("x"));
    c.write_removal("y");
    assert_eq!(c.version_of("x"), None, "forgotten for the removal of y");
    c.merge(&third);
    assert_eq!(c.read("x").as_deref(), Some("three"));
    assert!(c.state().is_behind());
    c.merge(&a.whole());
    assert_eq!(c.read("x"), None);
    assert!(!c.state().is_behind());
}

#[test]
fn with_one_removal_kept_merge_is_not_associative() {
    // Y removed x, which X still writes; Z's removal of y pushes Y's out. Whoever merges Z into Y
    // first has forgotten the removal of x by the time that X comes.
    let rules = catherd_core::session::Rules {
        removals_kept: 1,
        ..NO_FORGETTING
    };
    let x = fragment(
        vector([(A, 1)]),
        None,
        &[("x", version(0, 1, A), Some("not seen by B"))],
    );
    let y = fragment(vector([(B, 2)]), None, &[("x", version(0, 2, B), None)]);
    let z = fragment(vector([(C, 3)]), None, &[("y", version(0, 3, C), None)]);
    let merge = |order: [&catherd_core::session::Fragment; 3]| {
        let mut node = Node::empty(0xd);
        node.rules = rules;
        for fragment in order {
            node.merge(fragment);
        }
        node.read("x")
    };
    assert_eq!(merge([&x, &y, &z]), None);
    assert_eq!(merge([&z, &y, &x]).as_deref(), Some("not seen by B"));
}
