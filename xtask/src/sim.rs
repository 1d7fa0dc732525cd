//! Runs the simulator, built for speed.

use crate::steps;

/// What the simulator is told; see `cargo xtask sim -- --help`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Handed on: `--seed N` shows one run, `--seeds N` runs so many, `--mode` names the
    /// replication mode
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the simulator and hands the arguments on.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut command = steps::cargo(&[
        "run",
        "--package",
        "catherd-sim",
        "--release",
        "--locked",
        "--quiet",
        "--",
    ]);
    let status = command
        .args(&options.arguments)
        .status()
        .map_err(|error| format!("cargo cannot run: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("a promise was not kept".to_owned())
    }
}
