//! Seeds that everybody runs, the same run twice, and one seed that nobody has run before.

use std::time::SystemTime;

use catherd::Mode;
use catherd_sim::{replay_command, run_seed};

#[test]
fn fixed_seeds_keep_every_promise() {
    for (at, seed) in FIXED.into_iter().enumerate() {
        let mode = MODES[at % MODES.len()];
        run_seed(seed, mode).0.assert_kept();
    }
}

const MODES: [Mode; 4] = [
    Mode::Synchronous,
    Mode::Pooled,
    Mode::Asynchronous,
    Mode::FastAsyncQueue,
];

/// Small clusters, for a debug build; some broke a promise once.
const FIXED: [u64; 7] = [1, 3, 4, 6, 12, 18, 34];

#[test]
fn a_fresh_seed_keeps_every_promise() {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let (seed, mode) = (
        since.as_secs(),
        MODES[since.as_millis() as usize % MODES.len()],
    );
    println!("{}", replay_command(seed, mode));
    run_seed(seed, mode).0.assert_kept();
}

#[test]
fn one_seed_is_one_transcript_to_the_byte() {
    for seed in [2, 3] {
        let (first, second) = (
            run_seed(seed, Mode::Synchronous).1.transcript,
            run_seed(seed, Mode::Synchronous).1.transcript,
        );
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("line {at} differs:\n{}\n{}", first[at], second[at]);
        }
        assert_eq!(first.len(), second.len());
        assert!(first.len() > 100, "something happens");
    }
}
