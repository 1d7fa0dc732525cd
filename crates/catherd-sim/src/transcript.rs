//! What people read of a run, the same for every engine.

use crate::history::{Lag, Process};

/// Shows a line while a run goes on.
#[expect(clippy::print_stdout, reason = "somebody asked to see it")]
pub(crate) fn show(line: &str) {
    println!("{line}");
}

/// Processes in a line.
pub(crate) fn list(processes: &[Process]) -> String {
    let all: Vec<String> = processes.iter().map(ToString::to_string).collect();
    all.join(" ")
}

/// What was under way to members, in a line.
pub(crate) fn list_of_lags(lags: &[Lag]) -> String {
    let one = |lag: &Lag| format!("{} to {}", lag.frames, lag.member);
    lags.iter().map(one).collect::<Vec<_>>().join(", ")
}
