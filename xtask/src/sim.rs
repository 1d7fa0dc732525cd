//! Runs the simulator, built for speed.

use crate::steps;

/// What the simulator is told; see `cargo xtask sim -- --help`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Handed on: `--seed N` shows one run, `--seeds N` runs so many, `--mode` names the
    /// replication mode; `--planted NAME` or `--planted all` leaves a rule of the product out and
    /// looks for a seed that finds it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the simulator and hands the arguments on.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let is_planted = |it: &String| it == "--planted" || it.starts_with("--planted=");
    let is_planted = options.arguments.iter().any(is_planted);
    let mut command = steps::cargo(&["run", "--package", "catherd-sim"]);
    if is_planted {
        // A build of its own: no other has anything planted in it.
        command.args(["--features", "planted", "--bin", "catherd-sim-planted"]);
    }
    let status = command
        .args(["--release", "--locked", "--quiet", "--"])
        .args(&options.arguments)
        .status()
        .map_err(|error| format!("cargo cannot run: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(if is_planted {
            "a bug was not found"
        } else {
            "a promise was not kept"
        }
        .to_owned())
    }
}
