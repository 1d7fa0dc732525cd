//! `catherd check`: what is wrong with a configuration, and what in it has no effect.

use std::path::Path;
use std::process::ExitCode;

use super::console::complain;
use crate::config;

/// Reads the configuration below `base` and says what there is to say about it; success if a node
/// could start with it.
pub(super) fn check(base: &Path) -> ExitCode {
    let report = config::load(base);
    report.diagnostics.iter().for_each(complain);
    match report.config {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}
