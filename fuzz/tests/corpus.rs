//! Every target survives its corpus and a fixed number of mutations of it.

use catherd_fuzz::{Bound, TARGETS, run};

const SEED: u64 = 1;

/// Targets that write files or compile patterns, and take milliseconds for each input.
const SLOW: [&str; 3] = ["path_filter", "server_xml", "web_xml"];

#[test]
fn every_target_survives_its_corpus_and_many_mutations() {
    for &(name, target) in TARGETS {
        let mutations = if SLOW.contains(&name) { 200 } else { 2000 };
        let report = run((name, target), SEED, 0, Bound::Mutations(mutations));
        let report = report
            .unwrap_or_else(|failure| panic!("{name}, {}: {:02x?}", failure.origin, failure.input));
        assert_eq!(report.mutations, mutations);
        assert!(report.seeds > 0, "{name} has a corpus");
    }
}
