//! The HOW-TO, statement by statement, on real processes: a test for each, named after its number.
//!
//! docs/howto.md lists all statements, and where those that are not here are tested.
#![forbid(unsafe_code)]

mod cluster_configuration;
mod how_it_works;
mod membership;
mod overview;
mod quick_start;
mod wire;

use catherd_testkit::Farm;

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}
