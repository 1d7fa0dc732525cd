//! What a commit stamps and sends.

use catherd_core::session::{Content, Entry, Extent, Limit, Property, Rules, Slot, State};

use crate::support::*;

#[test]
fn a_commit_without_changes_sends_nothing() {
    let mut a = Node::with_new_session(A);
    assert!(a.commit_as(Extent::Changes).is_none());
    assert!(a.commit_as(Extent::Entire).is_none(), "nothing to send yet");
    a.write("x", "1");
    assert!(a.commit_as(Extent::Changes).is_none());
}

#[test]
fn the_first_commit_is_whole_and_the_next_names_what_came_before() {
    let mut a = Node::with_new_session(A);
    let first = a.write("x", "1");
    assert!(write_of(&first).is_whole());
    assert_eq!(write_of(&first).seen, vector([(A, 1)]));
    let second = a.write("y", "2");
    assert_eq!(write_of(&second).since, Some(dot(A, 1)));
    assert_eq!(write_of(&second).seen, vector([(A, 2)]));
    assert_eq!(
        write_of(&second).registers.to_vec(),
        [(attribute("y"), register(version(0, 2, A), Some("2")))]
    );
}

#[test]
fn the_first_commit_of_a_copy_that_only_heard_of_writes_sends_all_its_registers() {
    let mut c = Node::empty(C);
    c.merge(&fragment(
        vector([(A, 7)]),
        Some(dot(A, 6)),
        &[("x", version(0, 7, A), Some("seven"))],
    ));
    let sent = c.write("y", "mine");
    assert!(write_of(&sent).is_whole());
    assert_eq!(write_of(&sent).registers.len(), 2, "whole: every register");
    assert_eq!(
        write_of(&sent).seen,
        vector([(C, 8)]),
        "and no claim to more than it has seen"
    );
}

#[test]
fn everything_in_a_commit_has_one_version() {
    let mut a = Node::with_new_session(A);
    a.set("x", "1");
    a.set("y", "2");
    a.state_mut().set_property(Property::MaxInactive, 1_800_000);
    let rules = a.rules;
    a.state_mut()
        .set(Slot::Principal, Some(value("anna")), &rules)
        .unwrap();
    let sent = a.commit();
    let versions: Vec<_> = write_of(&sent)
        .registers
        .into_iter()
        .map(|(_, register)| register.version)
        .collect();
    assert_eq!(versions, [version(0, 1, A); 4]);
}

#[test]
fn a_commit_takes_what_parallel_requests_set() {
    let mut a = Node::with_new_session(A);
    a.set("mine", "1");
    a.set("theirs", "2");
    a.commit();
    assert!(!a.state().is_dirty());
    assert!(a.commit_as(Extent::Changes).is_none());
}

#[test]
fn a_revision_is_above_all_that_was_seen_by_anybody() {
    let mut b = Node::empty(B);
    b.merge(&fragment(
        vector([(A, 3), (C, 41)]),
        None,
        &[("x", version(0, 3, A), Some("old"))],
    ));
    b.write("y", "new");
    assert_eq!(b.version_of("y"), Some(version(0, 42, B)));
}

#[test]
fn a_revision_is_above_registers_whose_gap_is_open() {
    let mut b = Node::empty(B);
    b.merge(&fragment(
        vector([(A, 9)]),
        Some(dot(A, 8)),
        &[("x", version(0, 9, A), Some("nine"))],
    ));
    assert!(b.state().is_behind());
    b.write("x", "ten");
    assert_eq!(b.version_of("x"), Some(version(0, 10, B)));
}

#[test]
fn a_revision_is_above_the_floor_of_dropped_copies() {
    let mut a = Node::with_new_session(A);
    a.by.floor = 100;
    a.write("x", "1");
    assert_eq!(a.version_of("x"), Some(version(0, 101, A)));
    a.write("x", "2");
    assert_eq!(a.version_of("x"), Some(version(0, 102, A)));
}

#[test]
fn the_fence_is_raised_once_for_all_members_declared_gone_since() {
    let mut a = Node::with_new_session(A);
    a.write("x", "1");
    a.by.gone = 3;
    a.write("x", "2");
    assert_eq!(a.version_of("x"), Some(version(1, 2, A)));
    a.write("x", "3");
    assert_eq!(a.version_of("x"), Some(version(1, 3, A)), "once");
    a.by.gone = 4;
    a.write("y", "4");
    assert_eq!(a.version_of("y"), Some(version(2, 4, A)), "and once more");
    assert_eq!(a.version_of("x"), Some(version(1, 3, A)));
}

#[test]
fn a_merge_does_not_settle_the_tally() {
    let (mut a, mut b) = two_nodes();
    b.by.gone = 1;
    b.merge(&a.write("x", "two"));
    b.write("x", "three");
    assert_eq!(b.version_of("x"), Some(version(1, 3, B)));
}

#[test]
fn the_fence_goes_on_from_the_highest_in_the_copy() {
    let (mut a, mut b) = two_nodes();
    b.by.gone = 1;
    a.merge(&b.write("y", "theirs"));
    a.write("x", "mine");
    assert_eq!(a.version_of("x"), Some(version(1, 3, A)), "taken over");
    a.by.gone = 1;
    a.write("x", "mine again");
    assert_eq!(a.version_of("x"), Some(version(2, 4, A)), "raised");
}

#[test]
fn a_commit_that_stamps_nothing_does_not_use_up_the_fence() {
    let mut a = Node::with_new_session(A);
    a.write("x", "1");
    a.by.gone = 1;
    a.set("x", "1");
    a.commit_as(Extent::Entire);
    a.write("x", "2");
    assert_eq!(a.version_of("x"), Some(version(1, 2, A)));
}

#[test]
fn the_entire_session_goes_out_with_the_versions_of_unchanged_bytes() {
    let (mut a, mut b) = two_nodes();
    let sent = b.write("y", "theirs");
    a.merge(&sent);
    a.set("x", "one");
    a.set("y", "theirs");
    a.set("z", "new");
    let sent = a.commit_as(Extent::Entire).unwrap();
    assert!(write_of(&sent).is_whole());
    assert_eq!(write_of(&sent).registers.len(), 3);
    assert_eq!(a.version_of("x"), Some(version(0, 1, A)));
    assert_eq!(a.version_of("y"), Some(version(0, 2, B)));
    assert_eq!(a.version_of("z"), Some(version(0, 3, A)));
}

#[test]
fn the_entire_session_does_not_undo_a_write_that_it_has_not_seen() {
    let (mut a, mut b) = two_nodes();
    let theirs = b.write("x", "theirs");
    a.set("x", "one");
    let mine = a.commit_as(Extent::Entire).unwrap();
    a.merge(&theirs);
    b.merge(&mine);
    for node in [&a, &b] {
        assert_eq!(node.read("x").as_deref(), Some("theirs"));
    }
}

#[test]
fn the_entire_session_goes_out_even_if_nothing_was_set() {
    let (mut a, _) = two_nodes();
    let sent = a.commit_as(Extent::Entire).unwrap();
    assert_eq!(write_of(&sent).seen, vector([(A, 1)]), "no dot was used");
    assert_eq!(sent, a.whole());
}

#[test]
fn the_removal_of_what_is_not_there_is_no_change_of_the_entire_session() {
    let (mut a, _) = two_nodes();
    a.remove("nothing");
    a.commit_as(Extent::Entire).unwrap();
    assert_eq!(a.version_of("nothing"), None);
    assert!(!a.state().is_dirty());
}

#[test]
fn what_is_dirty_is_read_first_and_is_in_no_fragment() {
    let (mut a, _) = two_nodes();
    a.set("x", "dirty");
    a.set("y", "dirty");
    a.remove("x");
    assert_eq!(a.read("x"), None);
    assert_eq!(a.read("y").as_deref(), Some("dirty"));
    let names: Vec<_> = a
        .state()
        .attributes()
        .map(|(name, _)| name.as_str().to_owned())
        .collect();
    assert_eq!(names, ["y"]);
    let whole = a.whole();
    assert_eq!(write_of(&whole).registers.len(), 1);
    assert_eq!(
        write_of(&whole).registers.to_vec()[0].1,
        register(version(0, 1, A), Some("one"))
    );
}

#[test]
fn a_merge_does_not_touch_what_is_dirty() {
    let (mut a, mut b) = two_nodes();
    b.set("x", "dirty");
    b.merge(&a.write("x", "two"));
    assert_eq!(b.read("x").as_deref(), Some("dirty"));
    b.state_mut().discard();
    assert_eq!(b.read("x").as_deref(), Some("two"));
    b.remove("x");
    b.merge(&a.write("x", "three"));
    assert_eq!(b.read("x"), None);
    b.commit();
    assert_eq!(b.version_of("x"), Some(version(0, 4, B)));
}

#[test]
fn a_session_past_its_limit_is_as_it_was() {
    let mut a = Node::with_new_session(A);
    a.rules.session_bytes_max = 10;
    a.set("name", "123456");
    let rules = a.rules;
    let refused = a
        .state_mut()
        .set(attribute("n"), Some(value("")), &rules)
        .unwrap_err();
    assert_eq!(refused, Limit::SessionBytes { bytes: 11, max: 10 });
    assert_eq!(a.state().bytes(), 10);
    assert_eq!(a.read("n"), None);
    let refused = a
        .state_mut()
        .set(attribute("name"), Some(value("1234567")), &rules);
    assert!(refused.is_err());
    assert_eq!(a.read("name").as_deref(), Some("123456"));
}

#[test]
fn a_session_past_its_limit_may_shrink() {
    let (mut a, mut b) = two_nodes();
    b.merge(&a.write("large", "0123456789"));
    b.rules.session_bytes_max = 8;
    b.set("large", "012345678");
    b.remove("large");
    assert_eq!(b.state().bytes(), "x".len() + "one".len());
}

#[test]
fn the_size_follows_merges_commits_and_discards() {
    let (mut a, mut b) = two_nodes();
    assert_eq!((a.state().bytes(), b.state().bytes()), (4, 4));
    b.set("y", "22");
    assert_eq!(b.state().bytes(), 7);
    b.merge(&a.write("z", "333"));
    assert_eq!(b.state().bytes(), 11);
    b.state_mut().discard();
    assert_eq!(b.state().bytes(), 8);
    b.write_removal("z");
    assert_eq!(b.state().bytes(), 4);
}

#[test]
fn properties_weigh_nothing_however_they_are_set() {
    let mut a = Node::with_new_session(A);
    a.rules.session_bytes_max = 0;
    let rules = a.rules;
    a.state_mut().set_property(Property::Created, 7);
    assert_eq!(a.state().property(Property::Created), Some(7));
    let slot = Property::Created.slot();
    a.state_mut().set(slot.clone(), None, &rules).unwrap();
    assert_eq!(a.state().bytes(), 0);
    a.state_mut()
        .set(slot, Some(value("of another kind")), &rules)
        .unwrap();
    assert_eq!(a.state().bytes(), 0);
    assert_eq!(a.state().property(Property::Created), None);
}

#[test]
fn an_ended_or_absent_entry_offers_no_state_to_commit_to() {
    let (mut a, _) = two_nodes();
    a.end(DAY);
    assert!(a.entry.as_mut().unwrap().live_mut().is_none());
    assert!(a.entry.as_ref().unwrap().live().is_none());
    assert!(Node::empty(B).entry.is_none());
}

#[test]
fn an_idle_copy_says_so_and_is_in_no_digest() {
    let limit = std::time::Duration::from_secs(60);
    let key = catherd_core::session::DigestKey::new("test");
    let mut a = Node::with_new_session(A);
    a.state_mut().set_property(Property::MaxInactive, 60_000);
    a.commit();
    assert!(!a.state().is_idle(now()));
    assert!(a.state().is_idle(now() + limit));
    let entry = a.entry.as_ref().unwrap();
    assert_ne!(entry.digest(KEY, now(), &key), 0);
    assert_eq!(entry.digest(KEY, now() + limit, &key), 0);
}

#[test]
fn a_session_without_a_limit_is_never_idle() {
    let mut a = Node::with_new_session(A);
    assert!(!a.state().is_idle(now() + DAY * 10_000));
    a.state_mut().set_property(Property::MaxInactive, -1);
    assert!(!a.state().is_idle(now() + DAY * 10_000));
    a.state_mut().set_property(Property::MaxInactive, 0);
    assert!(a.state().is_idle(now()));
}

#[test]
fn an_access_never_moves_backwards() {
    let mut state = State::new(birth(), now());
    state.touch(now().ago(DAY));
    assert_eq!(state.last_access(), now());
    state.touch(now() + DAY);
    assert_eq!(state.last_access(), now() + DAY);
}

#[test]
fn an_uncommitted_session_is_in_no_digest_and_answers_no_fetch() {
    let key = catherd_core::session::DigestKey::new("test");
    let mut a = Node::with_new_session(A);
    a.set("x", "1");
    let entry = a.entry.as_ref().unwrap();
    assert_eq!(entry.digest(KEY, now(), &key), 0);
    assert_eq!(
        Entry::fetch(Some(entry), KEY, now(), &vector([])),
        catherd_core::session::Fetched::Unknown
    );
}

#[test]
fn rules_have_the_defaults_of_the_documentation() {
    assert_eq!(
        Rules::default(),
        Rules {
            removals_kept: 64,
            session_bytes_max: 1 << 20
        }
    );
}

#[test]
fn a_first_fragment_makes_an_equal_copy() {
    let (a, b) = two_nodes();
    let Content::Write(_) = a.whole().content else {
        panic!("a live session is sent as a write");
    };
    assert_eq!(a.state().registers(), b.state().registers());
    assert_eq!(a.state().seen(), b.state().seen());
    assert_eq!(a.state().birth(), b.state().birth());
}
