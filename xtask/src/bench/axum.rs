//! axum with tower-sessions: sessions in memory, or in a Redis beside it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use catherd_testkit::debian;

use super::server::{Server, Sign, free_port};
use super::setup::{exists, root, succeed, target};
use crate::steps::cargo;

/// The program of `bench/axum`, and Redis if it has one.
#[derive(Debug)]
pub(super) struct Axum {
    node: Server,
    redis: Option<Server>,
}

impl Axum {
    /// Builds and installs what is missing, and starts it; `store` is `memory` or `redis`.
    pub(super) fn start(work: &Path, store: &str) -> Result<Self, String> {
        let binary = build()?;
        let redis = (store == "redis").then(|| redis(work)).transpose()?;
        let port = free_port()?;
        let mut command = Command::new(binary);
        command.args([store, &port.to_string()]);
        if let Some(redis) = &redis {
            command.arg(redis.port().to_string());
        }
        let log = work.join(format!("axum-{store}.log"));
        let mut node = Server::spawn(&mut command, &log, port)?;
        node.wait_for(Sign::Plain)?;
        Ok(Self { node, redis })
    }

    pub(super) fn port(&self) -> u16 {
        self.node.port()
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        let redis = self.redis.as_ref().map(Server::id);
        redis.into_iter().chain([self.node.id()]).collect()
    }
}

/// Redis that keeps everything in memory and nothing on disk.
fn redis(work: &Path) -> Result<Server, String> {
    // The package redis-server would start a server of its own; the program is in this one, and
    // goes by its name.
    debian::install(&["redis-tools"]);
    let port = free_port()?;
    let mut command = Command::new("/usr/bin/redis-check-rdb");
    command
        .arg0("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(work);
    let mut redis = Server::spawn(&mut command, &work.join("redis.log"), port)?;
    redis.wait_for(Sign::Port)?;
    Ok(redis)
}

/// A workspace of its own: nothing that Catherd depends on comes from there.
fn build() -> Result<PathBuf, String> {
    let compiled = target().join("bench/axum");
    let mut build = cargo(&["build", "--release", "--locked"]);
    let build = build.current_dir(root().join("bench/axum"));
    succeed(build.env("CARGO_TARGET_DIR", &compiled))?;
    exists(&compiled.join("release/axum-peer"))
}
