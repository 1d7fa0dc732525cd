//! `catherd-sim`: runs seeds of the simulator, or one again.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use catherd::Mode;
use catherd_sim::{Kind, Report, campaign, mode_named, replay_command_of, run_plan_of};
use clap::Parser;
use mimalloc::MiMalloc;

/// A run makes and forgets small things by the million.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    /// What runs: whole `nodes`, or the `cores` alone, which is a hundred times faster
    #[arg(long, default_value = "nodes", value_parser = parse_engine)]
    engine: Kind,
    /// How many threads; by default as many as there are processors
    #[arg(long)]
    threads: Option<usize>,
}

fn parse_engine(name: &str) -> Result<Kind, String> {
    match name {
        "nodes" => Ok(Kind::Nodes),
        "cores" => Ok(Kind::Cores),
        _ => Err(format!("there is no engine `{name}`")),
    }
}

fn parse_mode(name: &str) -> Result<Mode, String> {
    mode_named(name).ok_or_else(|| format!("there is no mode `{name}`"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => replay(seed, arguments.engine, arguments.mode),
        None => {
            let first = arguments.first.unwrap_or_else(fresh);
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = arguments.threads.unwrap_or(threads);
            run_many(
                (first, arguments.seeds),
                (arguments.engine, arguments.mode),
                threads,
            )
        }
    }
}

/// A seed that the time of day decides.
fn fresh() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs() * 1000)
}

#[expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]
fn replay(seed: u64, kind: Kind, mode: Mode) -> ExitCode {
    let plan = kind.plan(seed, mode);
    println!("{:#?}\n{:#?}", plan.settings, plan.load);
    let (report, _) = run_plan_of(kind, &plan, true, false);
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
fn run_many((first, count): (u64, u64), (kind, mode): (Kind, Mode), threads: usize) -> ExitCode {
    println!("{count} seeds from {first} on");
    let (began, mut said) = (Instant::now(), Instant::now());
    let (mut done, mut failed, mut operations, mut faults) = (0, 0, 0, 0);
    let mut simulated = Duration::ZERO;
    let hangs = |seed| {
        println!(
            "seed {seed} does not end: {}",
            replay_command_of(kind, seed, mode)
        );
        // Its thread cannot be ended otherwise.
        std::process::exit(1);
    };
    let report = |report| {
        let Report { seed, failure, .. } = report;
        done += 1;
        operations += report.operations;
        faults += report.faults;
        simulated += report.simulated;
        if let Some(failure) = failure {
            failed += 1;
            println!(
                "seed {seed} failed: {}",
                replay_command_of(kind, seed, mode)
            );
            for violation in failure.violations.iter().take(5) {
                println!("  {violation}");
            }
        }
        if said.elapsed() > Duration::from_secs(5) || done == count {
            said = Instant::now();
            let hours = simulated.as_secs_f64() / 3600.0;
            let minutes = began.elapsed().as_secs_f64() / 60.0;
            println!(
                "{done} of {count} seeds, {failed} failed, {operations} operations, {faults} \
                 faults, {hours:.1} simulated hours, {:.1} a minute",
                hours / minutes
            );
        }
    };
    campaign((first, count), (kind, mode), threads, report, hangs);
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
