//! `catherd run`: one node.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::Run;
use super::console::complain;
use crate::config::{self, Diagnostic, Severity};
use crate::log;
use crate::node::{self, Ended};

/// Runs a node until it is told to end.
pub(super) fn run(run: &Run) -> ExitCode {
    let filter = run
        .log
        .clone()
        .or_else(|| std::env::var("CATHERD_LOG").ok());
    if let Err(problem) = log::install(filter.as_deref().unwrap_or("info"), run.log_format) {
        complain(problem);
        return ExitCode::FAILURE;
    }
    let report = config::load(&run.base);
    report.diagnostics.iter().for_each(complain);
    let Some(config) = report.config else {
        return ExitCode::FAILURE;
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("the node cannot start its threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(node::run(&config, run.end_with_stdin));
    // What still runs was given its time, or has been told twice.
    runtime.shutdown_timeout(Duration::ZERO);
    match ended {
        Ok(Ended::Cleanly) => ExitCode::SUCCESS,
        Ok(Ended::AtOnce) => ExitCode::from(130),
        Err(problems) => {
            let file = run.base.join("conf").join("server.xml");
            problems
                .into_iter()
                .map(|problem| about(&file, problem))
                .for_each(complain);
            ExitCode::FAILURE
        }
    }
}

/// What was found to be wrong only when it was tried, in the form of what was found before. It
/// concerns the file as a whole: the default of a word has no place in it.
fn about(file: &Path, message: String) -> Diagnostic {
    let file = file.to_owned();
    Diagnostic {
        file,
        line: 1,
        column: 1,
        severity: Severity::Error,
        message,
    }
}
