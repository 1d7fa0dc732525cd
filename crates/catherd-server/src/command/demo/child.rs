//! A node of the demo: its process, its readiness, its end.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{ChildStdin, Command};
use tokio::time::timeout;

use super::super::client::fetch;
use super::place::Base;

/// A node in a process of its own.
#[derive(Debug)]
pub(super) struct Child {
    base: Base,
    id: u32,
    process: tokio::process::Child,
    /// Its end is the node's: it reads until there is nobody at this end of the pipe.
    stdin: Option<ChildStdin>,
    is_running: bool,
}

impl Child {
    /// Starts the node.
    pub(super) fn start(base: &Base) -> Result<Self, ChildError> {
        let start = || {
            let log = File::create(base.log())?;
            let mut process = Command::new(std::env::current_exe()?)
                .args(["run", "--end-with-stdin", "--base"])
                .arg(&base.path)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log)
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            let stdin = process.stdin.take();
            let id = process.id().expect("nobody has waited for it");
            Ok(Self {
                base: base.clone(),
                id,
                process,
                stdin,
                is_running: true,
            })
        };
        start().map_err(|source| ChildError {
            name: base.name.clone(),
            source,
        })
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Waits until the node serves and knows `others` ready members.
    pub(super) async fn ready(&mut self, others: u16) -> Result<(), String> {
        let url = format!("{}/catherd/status", self.base.url());
        loop {
            let asked = url.clone();
            let answered = tokio::task::spawn_blocking(move || fetch(&asked, PATIENCE).ok());
            if answered
                .await
                .ok()
                .flatten()
                .is_some_and(|(_, text)| knows(&text, others))
            {
                return Ok(());
            }
            if let Ok(ended) = timeout(Duration::from_millis(100), self.process.wait()).await {
                self.is_running = false;
                let log = std::fs::read_to_string(self.base.log()).unwrap_or_default();
                let lines: Vec<_> = log.lines().rev().take(10).collect();
                let last: Vec<_> = lines.into_iter().rev().collect();
                let how = how(ended);
                return Err(format!(
                    "{} {how}; it said:\n{}",
                    self.base.name,
                    last.join("\n")
                ));
            }
        }
    }

    /// Waits until the process has ended; what to say of it.
    pub(super) async fn ended(&mut self) -> String {
        let ended = self.process.wait().await;
        self.is_running = false;
        format!("{} {}.", self.base.name, how(ended))
    }

    /// Lets the node leave the cluster; ends it if it does not.
    pub(super) async fn end(mut self) {
        drop(self.stdin.take());
        if timeout(END_PATIENCE, self.process.wait()).await.is_err() {
            // It is gone, or will be when this process is.
            let _ = self.process.kill().await;
        }
    }
}

/// How long a node may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node takes at most twice ten seconds to leave.
const END_PATIENCE: Duration = Duration::from_secs(22);

fn knows(status: &str, others: u16) -> bool {
    let Ok(status) = serde_json::from_str::<Value>(status) else {
        return false;
    };
    let members = status["members"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = members
        .iter()
        .filter(|member| member["state"] == "ready")
        .count();
    status["state"] == "ready" && ready == usize::from(others)
}

fn how(ended: io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("has ended with code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "has ended".to_owned(),
        },
        Err(error) => format!("is lost: {error}"),
    }
}

/// A node could not be started.
#[derive(Debug)]
pub(super) struct ChildError {
    name: String,
    source: io::Error,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be started", self.name)
    }
}

impl std::error::Error for ChildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_ready_when_it_knows_all_others_as_ready() {
        let status = |state: &str, members: &[&str]| {
            let members: Vec<_> = members
                .iter()
                .map(|state| json!({"state": state}))
                .collect();
            json!({"state": state, "members": members}).to_string()
        };
        assert!(knows(&status("ready", &["ready", "ready"]), 2));
        assert!(!knows(&status("ready", &["ready", "joining"]), 2));
        assert!(!knows(&status("ready", &["ready"]), 2));
        assert!(!knows(&status("joining", &["ready", "ready"]), 2));
        assert!(!knows("404 Not Found", 0));
    }
}
