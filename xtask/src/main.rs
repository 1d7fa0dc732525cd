//! Developer commands: `cargo xtask test`, `cargo xtask fix`, `cargo xtask bench`,
//! `cargo xtask sim`.
//!
//! `test` passes everything that must pass, and writes nothing; `fix` writes.
#![forbid(unsafe_code)]

mod bench;
mod sim;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Commands for working on Catherd.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Passes all tests: format, lints, documentation, tests, a bounded run of the fuzz targets
    Test,
    /// Formats, and applies what lints suggest
    Fix,
    /// Measures what replication costs, beside Tomcat and others: `--quick`, `--full`,
    /// `--against REV`
    Bench(bench::Options),
    /// Runs whole clusters in one thread from one seed: `sim --seeds 100`, `sim --seed 7`
    Sim(sim::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Test => steps::run(&steps::test()),
        Command::Fix => steps::run(&steps::fix()),
        Command::Bench(options) => bench::run(&options),
        Command::Sim(options) => sim::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a command speaks to whoever runs it")]
fn complain(problem: &str) {
    eprintln!("\nerror: {problem}");
}

#[expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]
fn say(text: &str) {
    println!("{text}");
}
