//! Every target survives its corpus and a fixed number of mutations of it.

use catherd_fuzz::{Bound, TARGETS, run};

const SEED: u64 = 1;

#[test]
fn every_target_survives_its_corpus_and_two_thousand_mutations() {
    for &(name, target) in TARGETS {
        let report = run((name, target), SEED, 0, Bound::Mutations(2000));
        let report = report
            .unwrap_or_else(|failure| panic!("{name}, {}: {:02x?}", failure.origin, failure.input));
        assert_eq!(report.mutations, 2000);
        assert!(report.seeds > 0, "{name} has a corpus");
    }
}
