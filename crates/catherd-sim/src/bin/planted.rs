//! `catherd-sim-planted`: leaves rules out of the product, and looks for a seed that finds it.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use catherd_sim::planted::{self, DOCS, Found, HEAD, Planted, Recorded};
use clap::Parser;

/// Leaves rules out of the product, one at a time, and looks for a seed that finds it.
#[derive(Debug, Parser)]
#[command(name = "catherd-sim-planted")]
struct Arguments {
    /// Which one: its name in `docs/simulator.md`, or `all`
    #[arg(long, default_value = "all")]
    planted: String,
    /// Runs this seed with it and shows everything that happened
    #[arg(long, conflicts_with_all = ["seeds", "first", "record"])]
    seed: Option<u64>,
    /// How many seeds to run at most
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many threads, each with a rule of its own; by default as many as there are processors
    #[arg(long)]
    threads: Option<usize>,
    /// Writes the table of `docs/simulator.md` anew
    #[arg(long, conflicts_with = "first")]
    record: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(&problem);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let wanted: Vec<&Planted> = if arguments.planted == "all" {
        planted::all().iter().collect()
    } else {
        let found = planted::named(&arguments.planted);
        vec![found.ok_or_else(|| format!("there is no bug `{}`", arguments.planted))?]
    };
    match (arguments.seed, &wanted[..]) {
        (Some(seed), [planted]) => replay(planted, seed),
        (Some(_), _) => Err("a seed is shown with one bug at a time".to_owned()),
        (None, _) => find(arguments, &wanted),
    }
}

fn replay(planted: &Planted, seed: u64) -> Result<(), String> {
    let Some(failure) = planted::replay(planted, seed).failure else {
        return Err(format!("\nseed {seed}: everything was kept"));
    };
    say(&format!("\nseed {seed} with `{}`:", planted.name));
    for violation in failure.violations {
        say(&format!("  {violation}"));
    }
    Ok(())
}

fn find(arguments: &Arguments, wanted: &[&'static Planted]) -> Result<(), String> {
    let (mut rows, mut missed) = (vec![String::new(); wanted.len()], Vec::new());
    for (at, found, took) in find_all(arguments, wanted) {
        let planted = wanted[at];
        let seconds = took.as_secs_f64();
        let Some(Found {
            seed,
            seeds,
            failing_without,
            violations,
        }) = found
        else {
            missed.push(planted.name);
            say(&format!("`{}` is not found, {seconds:.1} s", planted.name));
            continue;
        };
        let promise = violations[0].promise.to_owned();
        say(&format!(
            "`{}`: seed {seed}, {seeds} seeds, {seconds:.1} s, {}",
            planted.name, violations[0]
        ));
        if failing_without > 0 {
            say(&format!(
                "  and {failing_without} seeds that fail without it"
            ));
        }
        rows[at] = planted.row(&Recorded { seed, promise });
    }
    if !missed.is_empty() {
        return Err(format!("not found: {}", missed.join(", ")));
    }
    say(&format!("\n{HEAD}{}", rows.join("\n")));
    if arguments.record {
        let failed = |error| format!("`{DOCS}`: {error}");
        let docs = std::fs::read_to_string(DOCS).map_err(failed)?;
        let docs = planted::recorded_anew(&docs, &rows).ok_or("there is no table")?;
        std::fs::write(DOCS, docs).map_err(failed)?;
    }
    Ok(())
}

/// What was found of each, as it is found, and how long that took.
fn find_all(
    arguments: &Arguments,
    wanted: &[&'static Planted],
) -> impl Iterator<Item = (usize, Option<Found>, Duration)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(threads);
    let next = std::sync::Arc::new(AtomicUsize::new(0));
    let (found, arrived) = mpsc::channel();
    for _ in 0..threads {
        let (next, found, wanted) = (next.clone(), found.clone(), wanted.to_vec());
        let (first, seeds) = (arguments.first, arguments.seeds);
        thread::spawn(move || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(planted) = wanted.get(at) else {
                    return;
                };
                let began = Instant::now();
                let seed = planted::find(planted, first, seeds);
                // Who started this waits for all of them.
                let _ = found.send((at, seed, began.elapsed()));
            }
        });
    }
    arrived.into_iter()
}

#[expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]
fn say(text: &str) {
    println!("{text}");
}
