//! `catherd status`: asks a node how it and its cluster are.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::fetch;
use super::console::{chain, complain, say, table};

/// Asks the node at `url`, and writes what it says: as it came, or for people.
pub(super) fn status(url: &str, as_json: bool) -> ExitCode {
    let url = format!("{}/catherd/status", url.trim_end_matches('/'));
    let (code, text) = match fetch(&url, Duration::from_secs(10)) {
        Ok(fetched) => fetched,
        Err(error) => {
            complain(chain(&error));
            return ExitCode::FAILURE;
        }
    };
    if code != 200 {
        complain(format_args!(
            "{url} answers {code}: {}",
            printable(text.trim())
        ));
        return ExitCode::FAILURE;
    }
    let Ok(status) = serde_json::from_str::<Value>(&text) else {
        complain(format_args!(
            "{url} is no status of a node; does something else listen there?"
        ));
        return ExitCode::FAILURE;
    };
    say(if as_json {
        text.trim_end().to_owned()
    } else {
        for_people(&status)
    });
    ExitCode::SUCCESS
}

fn for_people(status: &Value) -> String {
    let mut parts = vec![format!(
        "{} is {}",
        cell(&status["node"]),
        cell(&status["state"])
    )];
    let members = rows(
        &status["members"],
        &[
            &["name"],
            &["state"],
            &["address"],
            &["link", "queued_bytes"],
            &["link", "unacknowledged_frames"],
            &["link", "oldest_ms"],
        ],
    );
    if members.is_empty() {
        parts.push("no other members".to_owned());
    } else {
        let heads = [
            "member",
            "state",
            "address",
            "queued bytes",
            "unacknowledged",
            "oldest ms",
        ];
        parts.push(table(&heads, &members));
    }
    let off = clocks_off(&status["members"]);
    if !off.is_empty() {
        parts.push(format!("clocks that differ: {}", off.join(", ")));
    }
    let missing = status["missing"].as_array().map_or(&[][..], Vec::as_slice);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(cell).collect();
        parts.push(format!("gone without a goodbye: {}", names.join(", ")));
    }
    let contexts = rows(
        &status["contexts"],
        &[
            &["name"],
            &["replicated"],
            &["sessions"],
            &["tombstones"],
            &["digest"],
        ],
    );
    if !contexts.is_empty() {
        let heads = ["context", "replicated", "sessions", "tombstones", "digest"];
        parts.push(table(&heads, &contexts));
    }
    parts.join("\n\n")
}

/// Members whose wall clocks are off by more than a node takes for the same time.
fn clocks_off(members: &Value) -> Vec<String> {
    let members = members.as_array().map_or(&[][..], Vec::as_slice);
    let off = members.iter().filter_map(|member| {
        let ahead_ms = member["clock_ahead_ms"].as_i64()?;
        let word = if ahead_ms < 0 { "behind" } else { "ahead" };
        let by_ms = ahead_ms.unsigned_abs();
        (by_ms > 2000).then(|| format!("{} is {} s {word}", cell(&member["name"]), by_ms / 1000))
    });
    off.collect()
}

fn rows(list: &Value, columns: &[&[&str]]) -> Vec<Vec<String>> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let at = |row: &Value, path: &[&str]| {
        cell(
            path.iter()
                .try_fold(row, |value, name| value.get(name))
                .unwrap_or(&Value::Null),
        )
    };
    list.iter()
        .map(|row| columns.iter().map(|path| at(row, path)).collect())
        .collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "(none)".to_owned(),
        Value::String(text) => printable(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => printable(&value.to_string()),
    }
}

/// What another process says must not steer this terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_is_written_for_people() {
        let status = json!({
            "node": "node01",
            "state": "ready",
            "members": [{
                "name": "node02", "state": "ready", "address": "127.0.0.1:4002",
                "clock_ahead_ms": -7_200_400,
                "link": {"queued_bytes": 0, "unacknowledged_frames": 1, "oldest_ms": 2},
            }],
            "missing": ["node03"],
            "contexts": [{
                "name": "/examples", "replicated": true, "sessions": 7, "tombstones": 1,
                "digest": "00ff",
            }],
        });
        assert_eq!(
            for_people(&status),
            "node01 is ready\n\n\
             member  state  address         queued bytes  unacknowledged  oldest ms\n\
             node02  ready  127.0.0.1:4002  0             1               2\n\n\
             clocks that differ: node02 is 7200 s behind\n\n\
             gone without a goodbye: node03\n\n\
             context    replicated  sessions  tombstones  digest\n\
             /examples  yes         7         1           00ff"
        );
    }

    #[test]
    fn what_is_missing_or_strange_is_no_reason_to_fail() {
        let said = for_people(&json!({"node": "a\u{1b}[2J", "members": [{}]}));
        assert!(said.starts_with("a\u{fffd}[2J is -"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}
