//! Three nodes in one thread, from one seed: their tables, the links between them, and a network
//! that loses, repeats and reorders.
//!
//! A session's frames take either of two connections to each member, so that they overtake each
//! other; connections break and take with them what is on its way; short queues shed; frames are
//! applied again later. A gap is fetched, and acknowledged only when it is closed. When all is
//! quiet, what was marked is repaired, and then all tables must be equal. A failure names its seed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod network;
mod node;

use std::collections::BTreeMap;

use catherd_core::key::Key;
use catherd_core::session::{Entry, Name, Slot};
use catherd_core::version::Dot;

use network::Bed;

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

fn run(seed: u64, steps: usize) -> Bed {
    let mut random = Random(seed);
    let mut bed = Bed::new(&mut random);
    for _ in 0..steps {
        bed.step(&mut random);
    }
    bed.quiet();
    bed
}

/// The simulator's first four invariants, as far as tables show them, and convergence.
fn check(seed: u64, bed: &Bed) {
    let first = bed.nodes[0].table.digests();
    for node in &bed.nodes {
        let now = bed.now;
        assert_eq!(
            node.table.digests(),
            node.table.digests_anew(now),
            "seed {seed}: digests kept"
        );
        assert_eq!(node.table.digests(), first, "seed {seed}: equal at the end");
    }
    // A dot names one set of bytes, on all nodes, for ever.
    let mut bytes: BTreeMap<(Key, Dot, Slot), Option<u64>> = BTreeMap::new();
    for (key, dot, slot, hash) in &bed.written {
        let before = bytes.insert((*key, *dot, slot.clone()), *hash);
        assert!(
            before.is_none_or(|before| before == *hash),
            "seed {seed}: one dot, two values"
        );
    }
    for node in &bed.nodes {
        for key in node.table.keys() {
            let Some(Entry::Live(state)) = node.table.entry(key) else {
                continue;
            };
            assert!(!state.is_behind(), "seed {seed}: a gap is left");
            for (slot, register) in state.registers() {
                let hash = register.value.as_ref().map(|value| value.hash());
                let written = bytes.get(&(key, register.version.dot(), slot.clone()));
                assert_eq!(
                    written,
                    Some(&hash),
                    "seed {seed}: a value that nobody wrote"
                );
            }
        }
    }
    // Node, sender and frame of what was acknowledged and not held.
    assert_eq!(
        bed.acknowledged_too_early,
        [],
        "seed {seed}: acknowledged too early"
    );
}

#[test]
fn three_nodes_are_equal_when_all_is_quiet() {
    for seed in 0..300 {
        check(seed, &run(seed, 400));
    }
}

#[test]
fn the_bed_makes_what_it_is_for() {
    let bed = run(7, 2000);
    let seen = &bed.seen;
    assert!(seen.gaps > 0, "gaps are fetched: {seen:?}");
    assert!(
        seen.breaks > 0 && seen.repeats > 0 && seen.shed > 0,
        "{seen:?}"
    );
    assert!(
        seen.ends > 0 && seen.changes > 0 && seen.discarded > 0,
        "{seen:?}"
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (one, two) = (run(11, 500), run(11, 500));
    assert_eq!(one.seen, two.seen);
    assert_eq!(one.nodes[0].table.digests(), two.nodes[0].table.digests());
}

pub(crate) fn slot(number: usize) -> Slot {
    Slot::Attribute(Name::new(["a", "b", "c", "d"][number % 4]).unwrap())
}
