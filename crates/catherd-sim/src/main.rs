//! `catherd-sim`: runs seeds of the simulator, or one again.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use catherd::Mode;
use catherd_sim::{Report, campaign, mode_named, replay_command, run_plan};
use clap::Parser;

/// Runs whole clusters in one thread from one seed, and checks what they promise.
#[derive(Debug, Parser)]
#[command(name = "catherd-sim")]
struct Arguments {
    /// Runs this seed and shows everything that happened
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them; by default one that was not run before
    #[arg(long)]
    first: Option<u64>,
    /// The replication mode of the nodes
    #[arg(long, default_value = "synchronous", value_parser = parse_mode)]
    mode: Mode,
}

fn parse_mode(name: &str) -> Result<Mode, String> {
    mode_named(name).ok_or_else(|| format!("there is no mode `{name}`"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => replay(seed, arguments.mode),
        None => {
            let first = arguments.first.unwrap_or_else(fresh);
            run_many(first, arguments.seeds, arguments.mode)
        }
    }
}

/// A seed that the time of day decides.
fn fresh() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs() * 1000)
}

#[expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]
fn replay(seed: u64, mode: Mode) -> ExitCode {
    let plan = catherd_sim::Plan::of(seed, mode);
    println!("{:#?}\n{:#?}", plan.settings, plan.load);
    let (report, _) = run_plan(&plan, true);
    match report.failure {
        None => {
            println!("\nseed {seed}: everything was kept");
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("\nseed {seed}:");
            for violation in failure.violations {
                println!("  {violation}");
            }
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]
fn run_many(first: u64, count: u64, mode: Mode) -> ExitCode {
    println!("{count} seeds from {first} on");
    let (began, mut said) = (Instant::now(), Instant::now());
    let (mut done, mut failed, mut operations) = (0, 0, 0);
    let mut simulated = Duration::ZERO;
    let hangs = |seed| {
        println!("seed {seed} does not end: {}", replay_command(seed, mode));
        // Its thread cannot be ended otherwise.
        std::process::exit(1);
    };
    let report = |report| {
        let Report { seed, failure, .. } = report;
        done += 1;
        operations += report.operations;
        simulated += report.simulated;
        if let Some(failure) = failure {
            failed += 1;
            println!("seed {seed} failed: {}", replay_command(seed, mode));
            for violation in failure.violations.iter().take(5) {
                println!("  {violation}");
            }
        }
        if said.elapsed() > Duration::from_secs(5) || done == count {
            said = Instant::now();
            let hours = simulated.as_secs_f64() / 3600.0;
            let minutes = began.elapsed().as_secs_f64() / 60.0;
            println!(
                "{done} of {count} seeds, {failed} failed, {operations} operations, {hours:.1} \
                 simulated hours, {:.0} a minute",
                hours / minutes
            );
        }
    };
    campaign(first, count, mode, report, hangs);
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
