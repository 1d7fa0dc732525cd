//! The simulator finds bugs: each rule that is left out breaks a promise in the seed that the table
//! of `docs/simulator.md` names, and in the same seed everything is kept with the rule.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use catherd_sim::planted::{self, DOCS, Planted, Recorded};

#[test]
fn every_planted_bug_is_found_by_the_seed_that_is_recorded() {
    let docs = std::fs::read_to_string(DOCS).unwrap();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let problems: Vec<String> = thread::scope(|scope| {
        let work = || {
            let mut problems = Vec::new();
            while let Some(planted) = planted::all().get(next.fetch_add(1, Ordering::Relaxed)) {
                problems.extend(problem(&docs, planted));
            }
            problems
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let problems = threads.into_iter().flat_map(|it| it.join().unwrap());
        problems.collect()
    });
    assert!(
        problems.is_empty(),
        "{}\nRecord them anew with\n  cargo xtask sim --planted all --record",
        problems.join("\n")
    );
}

fn problem(docs: &str, planted: &Planted) -> Option<String> {
    let name = planted.name;
    let Some(Recorded { seed, promise }) = planted::recorded(docs, planted) else {
        return Some(format!("`{name}` has no row in docs/simulator.md"));
    };
    match planted.violations(seed) {
        None => Some(format!("seed {seed} keeps everything with `{name}`")),
        Some(found) if found.iter().all(|it| it.promise != promise) => Some(format!(
            "seed {seed} does not break \"{promise}\" with `{name}`, but {}",
            found[0]
        )),
        Some(_) if !planted.is_kept_without(seed) => {
            Some(format!("seed {seed} fails without `{name}` as well"))
        }
        Some(_) => None,
    }
}

#[test]
fn every_bug_has_a_name_of_its_own_and_is_left_out_once() {
    let names: BTreeSet<_> = planted::all().iter().map(|it| it.name).collect();
    let bugs: BTreeSet<_> = planted::all()
        .iter()
        .map(|it| format!("{:?}", it.bug))
        .collect();
    assert_eq!(names.len(), planted::all().len());
    assert_eq!(bugs.len(), planted::all().len());
    assert!(names.len() >= 15);
}
