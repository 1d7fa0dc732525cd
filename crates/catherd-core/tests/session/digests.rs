//! What tells two copies apart, and what does not.

use std::collections::BTreeMap;

use catherd_core::key::Key;
use catherd_core::session::{
    Birth, Content, DigestKey, Extent, Fragment, Name, Property, Rules, Slot, State, Value, Writer,
};

use crate::support::*;

fn digest_of(fragment: &Fragment, with: &DigestKey) -> u64 {
    let mut node = Node::empty(C);
    node.merge(fragment);
    let entry = node.entry.expect("the fragment was taken");
    entry.digest(KEY, now(), with)
}

fn one() -> Fragment {
    let x = ("x", version(0, 1, A), Some("one"));
    fragment(vector([(A, 1)]), None, &[x])
}

/// Nodes of one release after another compare their digests: no release may change one.
#[test]
fn the_digest_of_a_session_is_the_one_that_it_always_was() {
    let birth = Birth {
        incarnation: incarnation(0xa11c_e5ed),
        serial: 5,
    };
    let by = Writer {
        incarnation: birth.incarnation,
        gone: 0,
        floor: 0,
    };
    let rules = Rules::default();
    let mut state = State::new(birth, now());
    state.set_property(Property::Created, 1_700_000_000_000);
    state.set_property(Property::MaxInactive, 1_800_000);
    state.commit(now(), &by, Extent::Changes, &rules);
    for (name, bytes) in [("counter", &[1][..]), ("payload", &[1; 1000])] {
        let slot = Slot::Attribute(Name::new(name).unwrap());
        let set = state.set(slot, Some(Value::new(bytes)), &rules);
        set.unwrap();
    }
    state.commit(now(), &by, Extent::Changes, &rules);
    let key = Key::from_bits(0x78dd_e6e5_fd29_f057_ce73_0181_73b7_20d4);
    let digest = DigestKey::new("bench").session(key, &state);
    assert_eq!(digest, 0xb679_4b53_efbc_0f35);
}

#[test]
fn every_part_of_a_session_is_in_its_digest() {
    let key = DigestKey::new("test");
    let with = |seen, name, version, text| fragment(seen, None, &[(name, version, Some(text))]);
    let mut serial = one();
    let mut incarnation = one();
    if let (Content::Write(serial), Content::Write(incarnation)) =
        (&mut serial.content, &mut incarnation.content)
    {
        serial.birth.serial += 1;
        incarnation.birth.incarnation = other_birth().incarnation;
    }
    let seen = || vector([(A, 1)]);
    let parts = [
        ("as it is", one()),
        ("serial", serial),
        ("incarnation", incarnation),
        (
            "revision seen",
            with(vector([(A, 2)]), "x", version(0, 1, A), "one"),
        ),
        (
            "writer seen",
            with(vector([(B, 1)]), "x", version(0, 1, A), "one"),
        ),
        ("name", with(seen(), "y", version(0, 1, A), "one")),
        ("fence", with(seen(), "x", version(1, 1, A), "one")),
        ("revision", with(seen(), "x", version(0, 2, A), "one")),
        ("writer", with(seen(), "x", version(0, 1, B), "one")),
        ("bytes", with(seen(), "x", version(0, 1, A), "two")),
        ("no register", fragment(seen(), None, &[])),
    ];
    let mut digests = BTreeMap::new();
    for (what, fragment) in &parts {
        if let Some(other) = digests.insert(digest_of(fragment, &key), what) {
            panic!("{what} and {other} have the same digest");
        }
    }
}

#[test]
fn properties_the_principal_and_attributes_are_told_apart() {
    use catherd_core::session::{Slot, Write};

    let key = DigestKey::new("test");
    let slots = [
        Slot::Property(0),
        Slot::Property(1),
        Slot::Principal,
        attribute("x"),
    ];
    let mut digests = BTreeMap::new();
    for slot in slots {
        let write = Write {
            registers: [(slot.clone(), register(version(0, 1, A), Some("one")))]
                .into_iter()
                .collect(),
            ..write_of(&one()).clone()
        };
        let fragment = Fragment {
            key: KEY,
            content: Content::Write(write),
        };
        assert_eq!(digests.insert(digest_of(&fragment, &key), slot), None);
    }
}

#[test]
fn removals_ages_and_what_is_dirty_are_not_in_a_digest() {
    let key = DigestKey::new("test");
    let x = ("x", version(0, 1, A), Some("one"));
    let removal = ("y", version(0, 1, A), None);
    let removed = fragment(vector([(A, 1)]), None, &[x, removal]);
    let mut aged = one();
    if let Content::Write(write) = &mut aged.content {
        (write.age, write.lived) = (DAY, 2 * DAY);
    }
    for fragment in [&removed, &aged] {
        assert_eq!(digest_of(fragment, &key), digest_of(&one(), &key));
    }
    let mut dirty = Node::empty(C);
    dirty.merge(&one());
    dirty.set("x", "two");
    let entry = dirty.entry.expect("it was taken");
    assert_eq!(entry.digest(KEY, now(), &key), digest_of(&one(), &key));
}

#[test]
fn two_clusters_have_different_digests_and_pseudonyms() {
    let (one_key, other_key) = (DigestKey::new("one"), DigestKey::new("other"));
    assert_ne!(digest_of(&one(), &one_key), digest_of(&one(), &other_key));
    assert_ne!(one_key.pseudonym(KEY), other_key.pseudonym(KEY));
    assert_ne!(one_key.pseudonym(KEY), one_key.pseudonym(NEW_KEY));
    assert_ne!(one_key.tombstone(KEY, 0), one_key.pseudonym(KEY));
}
