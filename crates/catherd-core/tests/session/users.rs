//! Who is logged in, and the generation of a user.

use std::time::Duration;

use catherd_core::session::{
    Content, DigestKey, Entry, Extent, Fetched, Fragment, Outcome, Principal, Slot, Tombstone,
};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::version::{Vector, Version};
use proptest::prelude::*;

use crate::model::{config, shown};
use crate::support::*;

fn anna() -> Principal {
    Principal::new("anna").role("admin").of_generation(2)
}

/// All sessions of the user of [`KEY`] have ended.
fn generation(number: u64, age: Duration, life: Duration) -> Fragment {
    Fragment {
        key: KEY,
        content: Content::Tombstone(Tombstone {
            age,
            life,
            generation: number,
        }),
    }
}

fn raise(entry: &mut Option<Entry>, highest: u64) -> Fragment {
    Entry::raise(entry, KEY, now(), DAY, highest)
}

/// When it ended, how long that is remembered, and of which generation.
fn ended(entry: Option<&Entry>) -> Option<(Duration, Duration, u64)> {
    match entry {
        Some(Entry::Ended {
            at,
            life,
            generation,
        }) => Some((now().since(*at), *life, *generation)),
        Some(Entry::Live(_)) | None => None,
    }
}

fn merged(fragments: &[Fragment]) -> Option<Entry> {
    let mut entry = None;
    for fragment in fragments {
        Entry::merge(&mut entry, now(), fragment, &NO_FORGETTING);
    }
    entry
}

/// The entry as whoever fetches it gets it.
fn whole(entry: Option<&Entry>) -> Vec<Fragment> {
    match Entry::fetch(entry, KEY, now(), &Vector::new()) {
        Fetched::Fragment(fragment) => vec![fragment],
        Fetched::Same | Fetched::Unknown => Vec::new(),
    }
}

fn any_fragments() -> impl Strategy<Value = Vec<Fragment>> {
    let seconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    let any_end = (0..4_u64, seconds(0..900), seconds(1..3))
        .prop_map(|(number, age, days)| generation(number, age, days * 86_400));
    let any_write = (1..4_u64).prop_map(|revision| {
        let x = ("x", version(0, revision, A), Some("one"));
        fragment(vector([(A, revision)]), None, &[x])
    });
    prop::collection::vec(prop_oneof![3 => any_end, 1 => any_write], 0..8)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn generations_ends_and_sessions_merge_to_the_same_in_any_order_once_or_twice(
        (fragments, shuffled) in any_fragments()
            .prop_flat_map(|fragments| (Just(fragments.clone()), Just(fragments).prop_shuffle())),
    ) {
        let in_order = merged(&fragments);
        for other in [&shuffled, &[fragments.clone(), shuffled.clone()].concat()] {
            let other = merged(other);
            prop_assert_eq!(ended(other.as_ref()), ended(in_order.as_ref()));
            prop_assert_eq!(shown(other.as_ref()), shown(in_order.as_ref()));
        }
    }

    #[test]
    fn merge_has_its_laws_with_generations(
        x in any_fragments(),
        y in any_fragments(),
        z in any_fragments(),
    ) {
        let [x, y, z] = [x, y, z].map(|fragments| merged(&fragments));
        let join = |into: Option<&Entry>, from: Option<&Entry>| {
            let mut into = into.cloned();
            for fragment in whole(from) {
                Entry::merge(&mut into, now(), &fragment, &NO_FORGETTING);
            }
            into
        };
        let same = |one: Option<Entry>, other: Option<Entry>| {
            assert_eq!(ended(one.as_ref()), ended(other.as_ref()));
            assert_eq!(shown(one.as_ref()), shown(other.as_ref()));
        };
        let (x, y, z) = (x.as_ref(), y.as_ref(), z.as_ref());
        same(join(x, y), join(y, x));
        same(join(x, x), x.cloned());
        same(join(join(x, y).as_ref(), y), join(x, y));
        same(
            join(join(x, y).as_ref(), z),
            join(x, join(y, z).as_ref()),
        );
    }

    #[test]
    fn every_principal_comes_back_as_it_was(
        user in "[a-zé]{1,40}",
        roles in prop::collection::vec("[a-z]{1,4}", 0..8),
        auth_type in "[A-Z]{0,8}",
        generation in 0..=Version::REVISION_MAX,
    ) {
        let principal = Principal::new(user).auth_type(auth_type).of_generation(generation);
        let principal = roles.iter().fold(principal, |principal, role| principal.role(role));
        let value = principal.to_value().unwrap();
        prop_assert_eq!(Principal::from_value(&value), Ok(principal.clone()));
        for role in &roles {
            prop_assert!(principal.has_role(role));
        }
        prop_assert!(principal.roles().is_sorted());
    }
}

#[test]
fn a_generation_rises_above_what_is_here_and_what_the_sessions_have() {
    let mut entry = None;
    let first = raise(&mut entry, 0);
    assert_eq!(first, generation(1, Duration::ZERO, DAY));
    assert_eq!(raise(&mut entry, 0), generation(2, Duration::ZERO, DAY));
    assert_eq!(raise(&mut entry, 7), generation(8, Duration::ZERO, DAY));
    let of_bounds = raise(&mut entry, u64::MAX);
    assert_eq!(
        of_bounds,
        generation(Version::REVISION_MAX, Duration::ZERO, DAY)
    );
}

#[test]
fn a_generation_is_remembered_for_the_longest_of_its_lives() {
    let mut entry = None;
    Entry::raise(&mut entry, KEY, now(), 30 * DAY, 0);
    Entry::raise(&mut entry, KEY, now(), DAY, 0);
    assert_eq!(ended(entry.as_ref()), Some((Duration::ZERO, 30 * DAY, 2)));
    let entry = entry.unwrap();
    assert_eq!(entry.next_look(now()), Some(now() + 15 * DAY));
    assert_eq!(
        entry.next_look(now() + 15 * DAY),
        Some(now() + 30 * DAY),
        "half way it leaves the digest"
    );
    assert!(!entry.is_over(now() + 29 * DAY));
    assert!(entry.is_over(now() + 30 * DAY));
}

#[test]
fn a_generation_is_in_the_digest_for_half_its_life_and_every_number_is_another() {
    let with = DigestKey::new("test");
    let digest = |number| {
        let entry = merged(&[generation(number, Duration::ZERO, DAY)]).unwrap();
        assert_eq!(entry.digest(KEY, now() + DAY / 2, &with), 0);
        entry.digest(KEY, now(), &with)
    };
    assert_ne!(digest(0), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn the_end_of_a_session_is_final_and_a_generation_is_not() {
    let table = PlainTable::new(DigestKey::new("test"));
    let merge = |fragment: &Fragment| {
        table.change(KEY, now(), |entry| {
            Entry::merge(entry, now(), fragment, &NO_FORGETTING).outcome
        })
    };
    assert_eq!(merge(&tombstone(Duration::ZERO, DAY)), Outcome::Complete);
    assert!(table.summary(KEY).1, "nobody has to be asked for it");
    assert_eq!(
        merge(&generation(3, Duration::ZERO, DAY)),
        Outcome::Complete
    );
    assert!(!table.summary(KEY).1, "others may have a higher one");
    assert_eq!(table.entry(KEY).unwrap().generation(), 3);
}

/// These numbers are the keys under which generations travel: they are for ever.
#[test]
fn the_key_of_a_user_is_made_from_the_name_and_the_cluster() {
    let with = DigestKey::new("catherd");
    assert_ne!(with.user("anna"), with.user("bert"));
    assert_ne!(with.user("anna"), DigestKey::new("other").user("anna"));
    let text = with.user("anna").to_string();
    assert_eq!(text, "00B54431A137A93566132E1B3229958A");
}

#[test]
fn a_login_is_read_before_its_commit_and_after_it_and_counts_against_the_size() {
    let (mut a, mut b) = two_nodes();
    let value = anna().to_value().unwrap();
    let (before, rules) = (a.state().bytes(), a.rules);
    let set = a
        .state_mut()
        .set(Slot::Principal, Some(value.clone()), &rules);
    assert_eq!(set, Ok(()));
    assert_eq!(a.state().principal(), Some(anna()));
    assert_eq!(a.state().bytes(), before + value.len());
    let login = a.commit_as(Extent::Changes).unwrap();
    b.merge(&login);
    assert_eq!(a.state().principal(), Some(anna()));
    assert_eq!(b.state().principal(), Some(anna()));
}

#[test]
fn whoever_cannot_be_read_is_nobody() {
    let (mut a, _) = two_nodes();
    let rules = a.rules;
    let set = a
        .state_mut()
        .set(Slot::Principal, Some(value("\u{7f}anna")), &rules);
    assert_eq!(set, Ok(()));
    assert_eq!(a.state().principal(), None);
}

#[test]
fn debug_output_tells_neither_the_user_nor_the_roles() {
    let shown = format!("{:?}", anna());
    assert!(
        !shown.contains("anna") && !shown.contains("admin"),
        "{shown}"
    );
}
