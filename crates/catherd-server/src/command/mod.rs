//! The `catherd` command.
mod client;
mod console;
mod demo;
mod status;

use std::process::ExitCode;

/// Runs.
pub fn main() -> ExitCode { ExitCode::SUCCESS }
