//! `catherd members`: who is a member, who is missing, and that somebody will not come back.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::{delete, fetch};
use super::console::{chain, complain, say, table};

/// Writes a line for each member, and for each that is missing.
pub(super) fn list(url: &str) -> ExitCode {
    let url = format!("{}/catherd/status", url.trim_end_matches('/'));
    let status = match fetch(&url, PATIENCE) {
        Ok((200, text)) => serde_json::from_str::<Value>(&text).ok(),
        Ok((code, text)) => {
            complain(format_args!("{url} answers {code}: {}", text.trim()));
            return ExitCode::FAILURE;
        }
        Err(error) => {
            complain(chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let Some(status) = status else {
        complain(format_args!(
            "{url} is no status of a node; does something else listen there?"
        ));
        return ExitCode::FAILURE;
    };
    say(table(&["member", "state", "address"], &rows(&status)));
    ExitCode::SUCCESS
}

/// Says that a missing member will not come back.
pub(super) fn forget(url: &str, name: &str) -> ExitCode {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(legal) {
        complain(format_args!(
            "`{name}` is no name of a node: see `catherd members list`"
        ));
        return ExitCode::FAILURE;
    }
    match delete(
        &format!("{}/catherd/members/{name}", url.trim_end_matches('/')),
        PATIENCE,
    ) {
        Ok((204, _)) => {
            say(format!(
                "{name} is no longer missing at {url}; say so to the other nodes as well"
            ));
            ExitCode::SUCCESS
        }
        Ok((code, text)) => {
            complain(format_args!("{url} answers {code}: {}", text.trim()));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The node that is asked, the members it sees, and those that it misses.
fn rows(status: &Value) -> Vec<Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let mut rows = vec![vec![
        text(&status["node"]),
        text(&status["state"]),
        "this node".to_owned(),
    ]];
    for member in list("members") {
        rows.push(vec![
            text(&member["name"]),
            text(&member["state"]),
            text(&member["address"]),
        ]);
    }
    for name in list("missing") {
        rows.push(vec![text(&name), "missing".to_owned(), "-".to_owned()]);
    }
    rows
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_those_that_are_missed_are_listed() {
        let status = serde_json::json!({
            "node": "A", "state": "ready",
            "members": [{"name": "B", "state": "suspect", "address": "127.0.0.1:4001"}],
            "missing": ["C"],
        });
        let names = |column: usize| {
            rows(&status)
                .into_iter()
                .map(move |row| row[column].clone())
        };
        assert_eq!(names(0).collect::<Vec<_>>(), ["A", "B", "C"]);
        assert_eq!(
            names(1).collect::<Vec<_>>(),
            ["ready", "suspect", "missing"]
        );
    }
}
