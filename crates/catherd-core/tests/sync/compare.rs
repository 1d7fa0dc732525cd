//! Comparisons and what they ask for.

use std::collections::BTreeSet;

use catherd_core::key::Key;
use catherd_core::session::Bucket;
use catherd_core::sync::{Comparison, Marks};
use proptest::prelude::*;

use crate::tables::{Change, KEYS, Node, SIZE, config, key, now};

fn changes(len: usize) -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(Change::strategy(), 0..len)
}

/// Two nodes that had the same once, and went on apart.
fn apart() -> impl Strategy<Value = (Node, Node)> {
    (changes(100), changes(60), changes(60)).prop_map(|(both, first, second)| {
        let (a, b) = (Node::after(1, &both), Node::new(2));
        b.pull_all(&a);
        for change in first {
            a.make(change);
        }
        for change in second {
            b.make(change);
        }
        (a, b)
    })
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn two_tables_that_pull_from_each_other_end_equal((a, b) in apart(), a_is_first: bool) {
        let (first, second) = if a_is_first { (&a, &b) } else { (&b, &a) };
        first.pull_all(second);
        second.pull_all(first);
        prop_assert_eq!(a.digests(), b.digests());
        prop_assert_eq!(a.table.keys(), b.table.keys());
        prop_assert_eq!(a.table.digests(), a.table.digests_anew(now()));
        let again = Comparison::of(&a.table, SIZE, 0..SIZE, false);
        prop_assert!(!again.is_unequal(&b.table));
        prop_assert_eq!(again.answer(&b.table).sessions, vec![]);
    }

    /// Pulling is one-way: it gives the asker what the other side holds, and the other side nothing.
    #[test]
    fn who_has_pulled_holds_all_that_the_other_one_held((a, b) in apart()) {
        let before = b.digests();
        a.pull_all(&b);
        prop_assert!(a.holds_all_of(&b));
        prop_assert_eq!(b.digests(), before);
    }

    #[test]
    fn a_range_that_is_cut_is_pulled_as_if_it_were_whole(
        (a, b) in apart(),
        cuts in prop::collection::btree_set(1..SIZE, 0..8),
    ) {
        let ends = cuts.into_iter().chain([SIZE]);
        let mut wanted = Vec::new();
        let mut start = 0;
        for end in ends {
            let comparison = Comparison::of(&a.table, SIZE, start..end, false);
            wanted.extend(comparison.answer(&b.table).wanted(&a.table));
            start = end;
        }
        let whole = Comparison::of(&a.table, SIZE, 0..SIZE, false);
        prop_assert_eq!(wanted, whole.answer(&b.table).wanted(&a.table));
    }

    /// What is marked is compared, and nothing beside it.
    #[test]
    fn marked_buckets_are_compared_as_in_a_comparison_of_all(
        (a, b) in apart(),
        marked in prop::collection::btree_set(0..KEYS, 0..40),
        from in 0..Marks::SIZE,
    ) {
        let marks: Marks = marked.into_iter().map(key).collect();
        let some = Comparison::of_marked(&a.table, &marks, 0, true);
        prop_assert!(some.is_sane());
        prop_assert_eq!(some.digests.len(), marks.len());
        let all = Comparison::of(&a.table, Marks::SIZE, 0..Marks::SIZE, true);
        let is_marked = |bucket: &u32| marks.contains(*bucket);
        let unequal: Vec<_> = all.unequal(&b.table).iter().filter(is_marked).collect();
        prop_assert_eq!(some.unequal(&b.table).iter().collect::<Vec<_>>(), unequal);
        let bucket = |key: &Key| Bucket::of(*key, Marks::SIZE as usize).0;
        let of_all = all.answer(&b.table).wanted(&a.table);
        let expected: Vec<_> = of_all.into_iter().filter(|key| is_marked(&bucket(key))).collect();
        prop_assert_eq!(some.answer(&b.table).wanted(&a.table), expected);
        let rest = Comparison::of_marked(&a.table, &marks, from, true);
        prop_assert!(rest.is_sane());
        prop_assert!(rest.only.iter().eq(some.only.iter().filter(|&&bucket| bucket >= from)));
    }

    /// A logout beats everything, whoever hears of it first, and never comes undone.
    #[test]
    fn an_end_reaches_everybody_in_whatever_order_they_pull(
        histories in prop::array::uniform3(changes(60)),
        pulls in prop::collection::vec((0..3_usize, 0..3_usize), 0..12),
    ) {
        let nodes = [1, 2, 3].map(|number| Node::after(number, &histories[number as usize - 1]));
        let ended: BTreeSet<_> = (0..KEYS)
            .map(key)
            .filter(|key| nodes.iter().any(|node| node.has_ended(*key)))
            .collect();
        let everybody = (0..3).flat_map(|from| [(0, from), (1, from), (2, from)]);
        // The second time around, everybody has what anybody had.
        let rounds = everybody.clone().chain(everybody);
        for (to, from) in pulls.into_iter().chain(rounds) {
            let before: Vec<_> = ended.iter().map(|key| nodes[to].has_ended(*key)).collect();
            nodes[to].pull_all(&nodes[from]);
            for (key, had_ended) in ended.iter().zip(before) {
                prop_assert!(nodes[to].has_ended(*key) || !had_ended, "{key:?} is back");
            }
        }
        for node in &nodes {
            prop_assert_eq!(node.digests(), nodes[0].digests());
            for key in &ended {
                prop_assert!(node.has_ended(*key));
            }
        }
    }
}

/// More than one answer names: it goes on at a whole bucket, and nothing is left out or said twice.
#[test]
fn an_answer_that_is_full_says_where_to_go_on() {
    let (full, empty) = (Node::new(1), Node::new(2));
    let sessions = u32::try_from(Comparison::SESSIONS_MAX).expect("a small number") * 5 / 2;
    for key in 0..sessions {
        full.make(Change::Write {
            key,
            name: 0,
            value: 1,
        });
    }
    let (mut first, mut answers, mut named) = (0, 0, Vec::new());
    loop {
        let comparison = Comparison::of(&empty.table, SIZE, first..SIZE, false);
        let summaries = comparison.answer(&full.table);
        answers += 1;
        named.extend(summaries.sessions.iter().map(|summary| summary.key));
        let Some(next) = summaries.next else { break };
        assert!(summaries.sessions.len() >= Comparison::SESSIONS_MAX);
        assert!(next > first && next < SIZE);
        first = next;
    }
    assert_eq!(answers, 3);
    let count = named.len();
    let distinct: BTreeSet<_> = named.into_iter().collect();
    assert_eq!((count, distinct.len()), (sessions as usize, count));
    empty.pull_all(&full);
    assert_eq!(empty.digests(), full.digests());
}

/// Eight bytes that claim a table of one bucket must not be answered with all sessions there are.
#[test]
fn a_table_folded_into_one_bucket_is_answered_with_a_bounded_list() {
    let full = Node::new(1);
    let sessions = u32::try_from(Comparison::ANSWER_MAX).expect("a small number") + 1000;
    for key in 0..sessions {
        full.make(Change::Write {
            key,
            name: 0,
            value: 1,
        });
    }
    let folded = Comparison {
        size: 1,
        from: 0,
        digests: vec![7],
        is_mutual: false,
        only: Vec::new(),
    };
    assert!(folded.is_sane());
    let summaries = folded.answer(&full.table);
    assert!(summaries.sessions.len() <= Comparison::ANSWER_MAX);
    assert!(summaries.sessions.len() >= Comparison::SESSIONS_MAX);
}
