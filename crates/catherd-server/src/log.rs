//! Logs: structured lines on standard error, as text or as JSON.

use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// From now on what happens is written to standard error, as far as `filter` lets it pass
/// (`info`, `warn,catherd=debug`, ...).
///
/// # Errors
///
/// The filter is none.
pub(crate) fn install(filter: &str, format: LogFormat) -> Result<(), String> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| {
        format!("`{filter}` is no log filter: {error}; try `info` or `warn,catherd=debug`")
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr);
    // Another subscriber is there already where the command runs inside a test; it may stay.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is a line like any other, so that a log in JSON stays one.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let what = panic
        .payload_as_str()
        .unwrap_or("something that is no text");
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(what, place, "panic");
}
