//! The laws of merge, for the copies that random histories leave behind.

use catherd_core::key::Key;
use catherd_core::session::{Content, Entry, Fragment, Rules};
use proptest::prelude::*;

use crate::model::*;
use crate::support::*;

const KEEPS_ONE: Rules = Rules {
    removals_kept: 1,
    ..NO_FORGETTING
};

fn merged(into: Option<&Entry>, from: Option<&Entry>, rules: &Rules) -> Option<Entry> {
    let mut into = into.cloned();
    if let Some(fragment) = from.and_then(|from| whole(from, KEY)) {
        Entry::merge(&mut into, now(), &fragment, rules);
    }
    into
}

/// The copies under [`KEY`]; one with nothing to tell is none.
fn copies(cluster: &Cluster) -> Vec<Option<Entry>> {
    cluster
        .sites
        .iter()
        .map(|site| site.table.entry(KEY).filter(|e| whole(e, KEY).is_some()))
        .collect()
}

fn merge_is_commutative(cluster: &Cluster) {
    let copies = copies(cluster);
    for x in &copies {
        for y in &copies {
            let one = merged(x.as_ref(), y.as_ref(), &cluster.rules);
            let other = merged(y.as_ref(), x.as_ref(), &cluster.rules);
            assert_eq!(shown(one.as_ref()), shown(other.as_ref()));
        }
    }
}

fn merge_is_idempotent(cluster: &Cluster) {
    let copies = copies(cluster);
    for x in &copies {
        let itself = merged(x.as_ref(), x.as_ref(), &cluster.rules);
        assert_eq!(shown(itself.as_ref()), shown(x.as_ref()));
        // A removal that is forgotten no longer stands in the way of a write above `seen`: where
        // removals are forgotten, the law is one of copies without such writes.
        let forgets = cluster.rules != NO_FORGETTING;
        for y in copies
            .iter()
            .filter(|y| !forgets || has_seen_all_of_it(y.as_ref()))
        {
            let once = merged(x.as_ref(), y.as_ref(), &cluster.rules);
            let twice = merged(once.as_ref(), y.as_ref(), &cluster.rules);
            assert_eq!(shown(once.as_ref()), shown(twice.as_ref()));
        }
    }
}

fn has_seen_all_of_it(entry: Option<&Entry>) -> bool {
    entry.and_then(Entry::live).is_none_or(|state| {
        let registers = state.registers();
        registers
            .iter()
            .all(|(_, r)| state.seen().covers(r.version.dot()))
    })
}

fn merge_is_associative(cluster: &Cluster) {
    let copies = copies(cluster);
    let rules = &cluster.rules;
    for x in &copies {
        for y in &copies {
            for z in &copies {
                let left = merged(x.as_ref(), y.as_ref(), rules);
                let left = merged(left.as_ref(), z.as_ref(), rules);
                let right = merged(y.as_ref(), z.as_ref(), rules);
                let right = merged(x.as_ref(), right.as_ref(), rules);
                assert_eq!(shown(left.as_ref()), shown(right.as_ref()));
            }
        }
    }
}

fn all_keys(cluster: &Cluster) -> Vec<Key> {
    let keys = cluster.sites.iter().flat_map(|site| site.table.keys());
    let keys: std::collections::BTreeSet<_> = keys.collect();
    keys.into_iter().collect()
}

/// Nobody has a session that the others were never told of, nor a gap.
fn everything_is_equal(cluster: &Cluster) {
    for key in all_keys(cluster) {
        for site in &cluster.sites {
            let entry = site.table.entry(key);
            let state = entry.as_ref().and_then(Entry::live);
            assert!(state.is_none_or(|state| !state.is_behind()), "{key:?}");
        }
    }
    let digests: Vec<_> = cluster.sites.iter().map(|s| s.table.digests()).collect();
    assert!(digests.windows(2).all(|two| two[0] == two[1]));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn merge_has_its_laws_where_nothing_is_forgotten(
        nodes in 2..=4_usize,
        steps in everything(60),
    ) {
        let mut cluster = Cluster::new(nodes, NO_FORGETTING);
        cluster.run(&steps);
        merge_is_commutative(&cluster);
        merge_is_idempotent(&cluster);
        merge_is_associative(&cluster);
    }

    #[test]
    fn merge_stays_commutative_and_idempotent_where_one_removal_is_kept(
        nodes in 2..=4_usize,
        steps in everything(60),
    ) {
        let mut cluster = Cluster::new(nodes, KEEPS_ONE);
        cluster.run(&steps);
        merge_is_commutative(&cluster);
        merge_is_idempotent(&cluster);
    }

    #[test]
    fn copies_are_equal_once_all_gaps_are_closed(
        nodes in 2..=4_usize,
        keeps_all in any::<bool>(),
        steps in everything(80),
    ) {
        let rules = if keeps_all { NO_FORGETTING } else { KEEPS_ONE };
        let mut cluster = Cluster::new(nodes, rules);
        cluster.run(&steps);
        cluster.exchange();
        cluster.exchange();
        everything_is_equal(&cluster);
    }

    #[test]
    fn registers_are_the_same_in_whatever_order_fragments_arrive(
        nodes in 2..=4_usize,
        steps in writes(60),
        seed in any::<u64>(),
    ) {
        let mut cluster = Cluster::new(nodes, NO_FORGETTING);
        cluster.run(&steps);
        let mut order: Vec<&Fragment> = cluster.sent.iter().collect();
        let registers = |order: &[&Fragment]| {
            let mut entry = None;
            for fragment in order {
                Entry::merge(&mut entry, now(), fragment, &cluster.rules);
            }
            entry.and_then(|e| e.live().map(|state| state.registers()))
        };
        let in_order = registers(&order);
        shuffle(&mut order, seed);
        prop_assert_eq!(registers(&order), in_order.clone());
        let twice = [order.as_slice(), order.as_slice()].concat();
        prop_assert_eq!(registers(&twice), in_order);
    }

    #[test]
    fn a_tombstone_ends_a_key_whatever_comes_before_and_after(
        steps in writes(40),
        at in any::<prop::sample::Index>(),
    ) {
        let mut cluster = Cluster::new(3, NO_FORGETTING);
        cluster.run(&steps);
        let mut fragments = cluster.sent.clone();
        fragments.insert(at.index(fragments.len() + 1), tombstone(DAY / 4, DAY));
        let mut entry = None;
        for fragment in &fragments {
            Entry::merge(&mut entry, now(), fragment, &NO_FORGETTING);
        }
        prop_assert_eq!(shown(entry.as_ref()), Shown::Ended);
    }
}

/// Puts `list` into an order that `seed` determines.
fn shuffle<T>(list: &mut [T], mut seed: u64) {
    for at in (1..list.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let with = usize::try_from(seed >> 33).expect("31 bits") % (at + 1);
        list.swap(at, with);
    }
}

#[test]
fn of_twins_and_a_tombstone_the_end_is_certain_and_its_life_is_not() {
    let (a, _) = two_nodes();
    let mut twin = a.whole();
    if let Content::Write(write) = &mut twin.content {
        write.birth = other_birth();
    }
    let end = tombstone(DAY / 4, DAY);
    let life = |order: [&Fragment; 3]| {
        let mut entry = None;
        for fragment in order {
            Entry::merge(&mut entry, now(), fragment, &NO_FORGETTING);
        }
        match entry {
            Some(Entry::Ended { life, .. }) => life,
            other => panic!("all orders end the key: {other:?}"),
        }
    };
    assert_eq!(life([&a.whole(), &twin, &end]), 30 * DAY);
    assert_eq!(life([&end, &a.whole(), &twin]), DAY);
}
