//! What is measured: nodes of Catherd, and what people use today.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use catherd_testkit::{Farm, Node, NodeBuilder, Site as _};

use super::axum::Axum;
use super::tomcat::Tomcat;
use crate::steps::cargo;

/// Something that takes the load, while it runs.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) name: String,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Catherd(Vec<Node>),
    Tomcat(Tomcat),
    Axum(Axum),
}

/// The setup that every ratio of one node refers to.
pub(super) const ONE_NODE: &str = "one node";
/// The four modes of the HOW-TO, and the names of two nodes in them.
pub(super) const MODES: [&str; 4] = ["synchronous", "pooled", "asynchronous", "fastasyncqueue"];
pub(super) const TOMCAT: &str = "Tomcat 10.1, two nodes, acknowledged";
pub(super) const TOMCAT_ALONE: &str = "Tomcat 10.1, one node";
pub(super) const REDIS: &str = "axum, tower-sessions, Redis";
pub(super) const MEMORY: &str = "axum, tower-sessions, memory";

/// The name of two nodes in a mode.
pub(super) fn two_nodes(mode: &str) -> String {
    format!("two nodes, {mode}")
}

impl Setup {
    /// A node without a cluster.
    pub(super) fn one_node(name: &str, binary: &Path) -> Self {
        let node = configured(Farm::new(binary).node("alone")).without_cluster();
        Self {
            name: name.to_owned(),
            running: Running::Catherd(vec![node.start()]),
        }
    }

    /// So many nodes, everybody a copy.
    pub(super) fn nodes(name: &str, binary: &Path, mode: &str, count: usize) -> Self {
        let farm = Farm::new(binary);
        let nodes = (0..count).map(|number| {
            let builder = configured(farm.node(&route(number)));
            builder.replication_mode(mode).start()
        });
        let nodes: Vec<Node> = nodes.collect();
        for (at, node) in nodes.iter().enumerate() {
            let others = (0..count).filter(|other| *other != at).map(route);
            let others: Vec<String> = others.collect();
            node.wait_for_members(&others.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Self {
            name: name.to_owned(),
            running: Running::Catherd(nodes),
        }
    }

    pub(super) fn tomcat(name: &str, work: &Path, nodes: usize) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            running: Running::Tomcat(Tomcat::start(work, nodes)?),
        })
    }

    pub(super) fn axum(name: &str, work: &Path, store: &str) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            running: Running::Axum(Axum::start(work, store)?),
        })
    }

    /// Where the load goes.
    pub(super) fn address(&self) -> SocketAddr {
        let port = match &self.running {
            Running::Catherd(nodes) => nodes[0].http_port(),
            Running::Tomcat(tomcat) => tomcat.port(),
            Running::Axum(axum) => axum.port(),
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Every process whose time counts.
    pub(super) fn processes(&self) -> Vec<u32> {
        match &self.running {
            Running::Catherd(nodes) => nodes.iter().map(Node::process_id).collect(),
            Running::Tomcat(tomcat) => tomcat.processes(),
            Running::Axum(axum) => axum.processes(),
        }
    }

    /// Whether it is compiled while it runs, and slow until it is.
    pub(super) fn warms_up(&self) -> bool {
        matches!(self.running, Running::Tomcat(_))
    }

    /// The nodes, if they are Catherd's.
    pub(super) fn as_nodes(&self) -> &[Node] {
        match &self.running {
            Running::Catherd(nodes) => nodes,
            Running::Tomcat(_) | Running::Axum(_) => &[],
        }
    }
}

/// Names in the order of the alphabet, as views are sorted.
pub(super) fn route(number: usize) -> String {
    format!("node{number:02}")
}

/// The generator's connections stay open.
pub(super) fn configured(builder: NodeBuilder) -> NodeBuilder {
    builder.connector_attributes("maxKeepAliveRequests=\"-1\"")
}

/// The project's directory.
pub(super) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .parent()
        .expect("this package lies in the workspace");
    root.to_owned()
}

/// Where compiled things go.
pub(super) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds the command as users run it; its path.
pub(super) fn build() -> Result<PathBuf, String> {
    succeed(cargo(&BUILD).current_dir(root()))?;
    exists(&target().join("release/catherd"))
}

/// Builds the command as it is at a revision, in a copy of its own; its path. What is the path of a
/// file is a build already.
pub(super) fn build_at(revision: &str) -> Result<PathBuf, String> {
    if Path::new(revision).is_file() {
        return exists(Path::new(revision));
    }
    let resolve = ["rev-parse", "--verify", "--end-of-options"];
    let mut git = Command::new("git");
    let git = git.current_dir(root()).args(resolve);
    let output = git.arg(format!("{revision}^{{commit}}")).output();
    let output = output.map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        return Err(format!("there is no revision {revision}"));
    }
    let commit = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let place = target().join("bench/against");
    let binary = place.join(format!("catherd-{commit}"));
    if binary.exists() {
        return exists(&binary);
    }
    let copy = place.join(&commit);
    let mut git = Command::new("git");
    let git = git
        .current_dir(root())
        .args(["worktree", "add", "--force", "--detach"]);
    succeed(git.arg(&copy).arg(&commit))?;
    // In the directory where this revision is compiled too: what both depend on is there already.
    let compiled = exists(&target())?;
    let mut build = cargo(&BUILD);
    let built = succeed(build.current_dir(&copy).env("CARGO_TARGET_DIR", &compiled));
    let mut git = Command::new("git");
    let git = git
        .current_dir(root())
        .args(["worktree", "remove", "--force"]);
    succeed(git.arg(&copy))?;
    built?;
    let copied = std::fs::copy(compiled.join("release/catherd"), &binary);
    copied.map_err(|error| format!("{}: {error}", binary.display()))?;
    exists(&binary)
}

const BUILD: [&str; 7] = [
    "build",
    "--release",
    "--locked",
    "--package",
    "catherd-server",
    "--bin",
    "catherd",
];

/// Runs a command that has to succeed.
pub(super) fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status();
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed"))
    }
}

pub(super) fn exists(path: &Path) -> Result<PathBuf, String> {
    let found = path.canonicalize();
    found.map_err(|error| format!("{}: {error}", path.display()))
}
