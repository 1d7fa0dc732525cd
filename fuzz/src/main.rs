//! Runs the fuzz targets on the stable compiler: over the corpus and its mutations.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use catherd_fuzz::{Bound, Failure, TARGETS, run};

const USAGE: &str = "usage: catherd-fuzz [--target NAME] [--seed N] [--from N] \
                     [--mutations N | --seconds N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(wrong) => {
            let _ = writeln!(io::stderr(), "{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run_all(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Nobody reads any more.
        Err(_) => ExitCode::FAILURE,
    }
}

/// What the command line asks for.
struct Options {
    target: Option<String>,
    seed: u64,
    from: u64,
    bound: Bound,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            target: None,
            seed: 1,
            from: 0,
            bound: Bound::Mutations(20_000),
        };
        let (pairs, rest) = arguments.as_chunks::<2>();
        if let [lonely] = rest {
            return Err(format!("{lonely} needs a value"));
        }
        for [option, value] in pairs {
            let number = || value.parse().map_err(|_| format!("{value} is no number"));
            match option.as_str() {
                "--target" => options.target = Some(value.clone()),
                "--seed" => options.seed = number()?,
                "--from" => options.from = number()?,
                "--mutations" => options.bound = Bound::Mutations(number()?),
                "--seconds" => options.bound = Bound::Time(Duration::from_secs(number()?)),
                _ => return Err(format!("{option} is not known")),
            }
        }
        if let Some(name) = &options.target
            && !TARGETS.iter().any(|(known, _)| known == name)
        {
            return Err(format!("{name} is no target"));
        }
        Ok(options)
    }
}

/// Whether every target survived; says so, and why not, as it goes.
fn run_all(options: &Options) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let is_asked_for = |name: &str| options.target.as_deref().is_none_or(|t| t == name);
    let targets: Vec<_> = TARGETS.iter().filter(|(n, _)| is_asked_for(n)).collect();
    let bound = match options.bound {
        Bound::Time(time) => {
            Bound::Time(time / u32::try_from(targets.len()).expect("a handful of targets"))
        }
        bound @ Bound::Mutations(_) => bound,
    };
    for &&(name, target) in &targets {
        match run((name, target), options.seed, options.from, bound) {
            Ok(report) => writeln!(
                out,
                "{name}: {} seeds and {} mutations of seed {}",
                report.seeds, report.mutations, options.seed
            )?,
            Err(Failure { origin, input }) => {
                writeln!(out, "{name}: {origin} failed; the input:")?;
                for byte in input {
                    write!(out, "{byte:02x}")?;
                }
                writeln!(out)?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}
