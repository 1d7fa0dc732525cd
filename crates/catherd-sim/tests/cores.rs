//! The cores alone: seeds that everybody runs, the same run twice, and one that nobody has run.

use std::time::SystemTime;

use catherd::Mode;
use catherd_sim::{Kind, run_seed_of};

#[test]
fn fixed_seeds_keep_every_promise() {
    for (seed, mode) in FIXED {
        run_seed_of(Kind::Cores, seed, mode, true).0.assert_kept();
    }
}

/// What a debug build runs in a third of the time that tests may take.
const FIXED: [(u64, Mode); 4] = [
    (1, Mode::Synchronous),
    (1, Mode::Asynchronous),
    (2, Mode::FastAsyncQueue),
    // A machine that is put back in time finds another process where its only member was.
    (18_001_697, Mode::Synchronous),
];

#[test]
fn a_fresh_seed_keeps_every_promise() {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mode = Mode::Synchronous;
    let (report, _) = run_seed_of(Kind::Cores, since.as_secs(), mode, true);
    report.assert_kept();
}

#[test]
fn one_seed_is_one_transcript_to_the_byte() {
    let run = || {
        run_seed_of(Kind::Cores, 5, Mode::Synchronous, false)
            .1
            .transcript
    };
    let (first, second) = (run(), run());
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    if let Some(at) = differs {
        panic!("line {at} differs:\n{}\n{}", first[at], second[at]);
    }
    assert_eq!(first.len(), second.len());
    assert!(first.len() > 100, "something happens");
}
