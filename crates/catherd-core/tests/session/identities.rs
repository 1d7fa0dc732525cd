//! The end of a session, and its change of key.

use std::time::Duration;

use catherd_core::session::{
    Birth, Changed, Content, Entry, Fragment, Outcome, Property, Slot, State,
};

use crate::support::*;

fn change_id(node: &mut Node, new: &mut Option<Entry>) -> Option<Changed> {
    let birth = Birth {
        incarnation: node.by.incarnation,
        serial: 2,
    };
    Entry::change_id(
        (KEY, &mut node.entry),
        (NEW_KEY, new),
        birth,
        now(),
        &node.by,
        DAY,
        &node.rules,
    )
}

#[test]
fn a_logout_leaves_a_tombstone_and_tells_it() {
    let (mut a, mut b) = two_nodes();
    let end = a.end(DAY).unwrap();
    assert_eq!(end, tombstone(Duration::ZERO, DAY));
    assert!(a.is_ended());
    b.merge(&end);
    assert!(b.is_ended());
    assert!(a.end(DAY).is_none(), "it has ended already");
}

#[test]
fn a_session_that_was_never_committed_leaves_nothing() {
    let mut a = Node::with_new_session(A);
    a.set("x", "1");
    assert!(a.end(DAY).is_none());
    assert!(a.entry.is_none());
}

#[test]
fn a_session_that_was_only_heard_of_leaves_a_tombstone() {
    // All that the fragment had of its writer was overwritten; it names no register.
    let mut b = Node::empty(B);
    b.merge(&fragment(vector([(A, 7), (C, 9)]), Some(dot(A, 6)), &[]));
    assert!(b.state().is_behind());
    assert!(b.end(DAY).is_some());
    assert!(b.is_ended());
}

#[test]
fn an_end_where_nothing_is_tells_nothing() {
    let mut a = Node::empty(A);
    assert!(a.end(DAY).is_none());
    assert!(a.entry.is_none());
}

#[test]
fn a_change_of_id_moves_the_live_values_under_one_version_and_a_new_birth() {
    let (mut a, mut b) = two_nodes();
    a.merge(&b.write("y", "two"));
    a.state_mut().set_property(Property::MaxInactive, 60_000);
    let rules = a.rules;
    a.state_mut()
        .set(Slot::Principal, Some(value("anna")), &rules)
        .unwrap();
    let mut new = None;
    let changed = change_id(&mut a, &mut new).unwrap();
    assert!(a.is_ended());
    let state = new.as_ref().and_then(Entry::live).unwrap();
    assert_eq!(state.registers().len(), 4);
    assert!(
        state
            .registers()
            .iter()
            .all(|(_, register)| register.version == version(0, 1, A)),
        "counting begins anew"
    );
    assert_eq!(state.seen(), &vector([(A, 1)]));
    assert_ne!(state.birth(), birth());
    assert_eq!(state.last_access(), now());
    assert_eq!(state.bytes(), 4 + 4 + 4);
    assert_eq!(
        changed.new,
        Fragment {
            key: NEW_KEY,
            content: Content::Write(state.whole(now()))
        }
    );
    assert_eq!(changed.old, Some(tombstone(Duration::ZERO, DAY)));
}

#[test]
fn a_change_of_id_is_no_access() {
    let (mut a, _) = two_nodes();
    let mut new = None;
    Entry::change_id(
        (KEY, &mut a.entry),
        (NEW_KEY, &mut new),
        other_birth(),
        now() + DAY,
        &a.by,
        DAY,
        &a.rules,
    )
    .unwrap();
    assert_eq!(new.unwrap().live().unwrap().last_access(), now());
}

#[test]
fn a_change_of_id_leaves_removals_behind() {
    let (mut a, _) = two_nodes();
    a.write("y", "two");
    a.write_removal("x");
    a.remove("y");
    a.set("z", "three");
    let mut new = None;
    change_id(&mut a, &mut new).unwrap();
    let state = new.as_ref().and_then(Entry::live).unwrap();
    assert_eq!(
        state.registers(),
        [(attribute("z"), register(version(0, 1, A), Some("three")))]
    );
}

#[test]
fn a_change_of_id_leaves_writes_behind_that_it_had_not_seen() {
    let (mut a, mut b) = two_nodes();
    let late = b.write("x", "by whoever knows the old id");
    let mut new = None;
    let changed = change_id(&mut a, &mut new).unwrap();
    assert_eq!(a.merge(&late).outcome, Outcome::Ended);
    let mut there = None;
    Entry::merge(&mut there, now(), &changed.new, &b.rules);
    b.merge(&changed.old.unwrap());
    assert!(b.is_ended());
    for entry in [&new, &there] {
        let state = entry.as_ref().and_then(Entry::live).unwrap();
        let x = state.value(&attribute("x")).unwrap();
        assert_eq!(x.as_bytes(), b"one");
    }
}

#[test]
fn a_change_of_id_of_a_session_that_was_never_sent_ends_nothing() {
    let mut a = Node::with_new_session(A);
    a.set("x", "1");
    let mut new = None;
    let changed = change_id(&mut a, &mut new).unwrap();
    assert_eq!(changed.old, None);
    assert!(a.entry.is_none());
    assert!(write_of(&changed.new).is_whole());
}

#[test]
fn a_key_that_is_taken_or_ended_is_never_given_out() {
    for taken in [
        Entry::Live(State::new(other_birth(), now())),
        Entry::Ended {
            at: now(),
            life: DAY,
            generation: 0,
        },
    ] {
        let (mut a, _) = two_nodes();
        let mut new = Some(taken);
        assert!(change_id(&mut a, &mut new).is_none());
        assert!(!a.is_ended());
    }
}

#[test]
fn an_ended_session_does_not_change_its_id() {
    let (mut a, _) = two_nodes();
    a.end(DAY);
    let mut new = None;
    assert!(change_id(&mut a, &mut new).is_none());
    assert!(new.is_none());
}

#[test]
fn two_changes_of_one_id_give_two_sessions() {
    let (mut a, mut b) = two_nodes();
    let (mut new_a, mut new_b) = (None, None);
    let by_a = change_id(&mut a, &mut new_a).unwrap();
    let by_b = change_id(&mut b, &mut new_b).unwrap();
    b.merge(&by_a.old.unwrap());
    a.merge(&by_b.old.unwrap());
    assert!(a.is_ended() && b.is_ended());
    assert!(new_a.unwrap().live().is_some() && new_b.unwrap().live().is_some());
}

#[test]
fn a_table_changes_two_keys_in_one_step_and_keeps_its_digests() {
    use catherd_core::session::{DigestKey, Digests};
    use catherd_core::table::{PlainTable, Table};

    let (mut a, _) = two_nodes();
    let table = PlainTable::new(DigestKey::new("test"));
    table.change(KEY, now(), |entry| *entry = a.entry.take());
    let before = table.digests();
    assert_ne!(before, Digests::new());
    let changed = table.change_two((KEY, NEW_KEY), now(), |old, new| {
        let birth = other_birth();
        Entry::change_id(
            (KEY, old),
            (NEW_KEY, new),
            birth,
            now(),
            &a.by,
            DAY,
            &a.rules,
        )
    });
    assert!(changed.is_some());
    assert_eq!(table.keys(), [NEW_KEY, KEY]);
    assert_ne!(table.digests(), before);
    assert_eq!(table.digests(), table.digests_anew(now()));
    table.change(KEY, now(), |entry| *entry = None);
    table.change(NEW_KEY, now(), |entry| *entry = None);
    assert_eq!(table.digests(), Digests::new());
}
