//! A target over its corpus and the mutations of it.

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use crate::Target;
use crate::corpus::seeds;
use crate::mutation::Mutator;

/// How far a run goes.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// This many mutations: the same inputs each time.
    Mutations(u64),
    /// As many mutations as fit in this time.
    Time(Duration),
}

/// What a run did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// How many inputs came from the corpus.
    pub seeds: u64,
    /// How many were made from them.
    pub mutations: u64,
}

/// An input that a target did not survive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// A file of the corpus, or the number of a mutation.
    pub origin: String,
    /// The input itself.
    pub input: Vec<u8>,
}

/// Runs a target over its corpus and then over mutations from number `first` on.
///
/// # Errors
///
/// The target panicked; its message is on standard error.
pub fn run(
    (name, target): (&str, Target),
    seed: u64,
    first: u64,
    bound: Bound,
) -> Result<Report, Failure> {
    let begin = Instant::now();
    let seeds = seeds(name);
    let mut report = Report {
        seeds: 0,
        mutations: 0,
    };
    for (name, input) in &seeds {
        survives(target, input, || format!("seed {name}"))?;
        report.seeds += 1;
    }
    let corpus = seeds.into_iter().map(|(_, input)| input).collect();
    let mutator = Mutator::new(seed, corpus);
    let goes_on = |done| match bound {
        Bound::Mutations(mutations) => done < mutations,
        Bound::Time(time) => begin.elapsed() < time,
    };
    while goes_on(report.mutations) {
        let number = first.wrapping_add(report.mutations);
        survives(target, &mutator.input(number), || {
            format!("mutation {number} of seed {seed}")
        })?;
        report.mutations += 1;
    }
    Ok(report)
}

fn survives(target: Target, input: &[u8], origin: impl FnOnce() -> String) -> Result<(), Failure> {
    catch_unwind(|| target(input)).map_err(|_| Failure {
        origin: origin(),
        input: input.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_input() {
        fn refuses_zeros(data: &[u8]) {
            assert!(!data.contains(&0), "a zero");
        }
        let failure = run(("message", refuses_zeros), 1, 0, Bound::Mutations(1000)).unwrap_err();
        assert!(failure.input.contains(&0));
        assert!(!failure.origin.is_empty());
    }

    #[test]
    fn a_run_says_how_much_it_did() {
        let report = run(("message", |_| {}), 1, 0, Bound::Mutations(10)).unwrap();
        assert_eq!(report.mutations, 10);
        assert_eq!(report.seeds, seeds("message").len() as u64);
    }
}
