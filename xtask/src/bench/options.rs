//! What the command is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::matrix::Plan;
use super::setup::{MODES, ONE_NODE, two_nodes};

/// What is measured, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// About five minutes: one node, two nodes and Tomcat, 1 kB; so it is without any option
    #[arg(long, conflicts_with_all = ["full", "against"])]
    quick: bool,
    /// Some twenty minutes, for the record: everything, into docs/performance.md and bench/results
    #[arg(long, conflicts_with_all = ["against", "only", "users", "sizes", "modes", "peers"])]
    pub(super) full: bool,
    /// Compares with another revision, built in a copy of its own, or with a build at this path
    #[arg(long, value_name = "REV or PATH")]
    pub(super) against: Option<String>,
    /// Measures this build of the command instead of building one
    #[arg(long, value_name = "PATH", conflicts_with = "full")]
    pub(super) binary: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// How many users at once, each with a session of its own
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    users: Vec<u16>,
    /// How many bytes a write carries
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// In which replication modes two nodes run
    #[arg(long, value_delimiter = ',', value_parser = MODES)]
    modes: Vec<String>,
    /// How many seconds a window takes
    #[arg(long, default_value_t = 1.0)]
    pub(super) seconds: f64,
    /// How many windows each cell gets; its figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) rounds: u16,
    /// What stands beside Catherd
    #[arg(long, value_delimiter = ',', value_enum)]
    peers: Vec<Peer>,
}

/// A part of the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Part {
    /// Rates, latencies and processor time by mode, users and size
    Matrix,
    /// State transfer of 100 000 sessions, and their memory
    Transfer,
    /// State transfer of a million sessions, against 100 000
    Million,
    /// Bytes on the wire (takes root)
    Wire,
    /// From SIGKILL to gone from every view
    Failure,
    /// From the start of a process to ready
    Start,
    /// The demo at rest
    Idle,
    /// Two to eight nodes
    Nodes,
    /// Merge, commit, encode, decode, digest, table: time and allocations
    Micro,
}

/// What people use today.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Peer {
    /// Nothing
    None,
    /// Two Tomcats that replicate and wait for the acknowledgement
    Tomcat,
    /// One Tomcat without a cluster
    TomcatAlone,
    /// axum and tower-sessions with Redis
    Redis,
    /// axum and tower-sessions in memory
    Memory,
}

impl Options {
    /// Whether a part is to be measured.
    pub(super) fn wants(&self, part: Part) -> bool {
        match self.only.as_slice() {
            [] => self.full || part == Part::Matrix,
            only => only.contains(&part),
        }
    }

    /// In which modes two nodes run.
    pub(super) fn modes(&self) -> Vec<String> {
        match (&*self.modes, self.full) {
            ([], true) => MODES.map(str::to_owned).to_vec(),
            ([], false) => vec!["synchronous".to_owned()],
            (modes, _) => modes.to_vec(),
        }
    }

    /// What stands beside Catherd.
    pub(super) fn peers(&self) -> Vec<Peer> {
        match (&*self.peers, self.full) {
            ([], true) => vec![Peer::Tomcat, Peer::TomcatAlone, Peer::Redis, Peer::Memory],
            ([], false) => vec![Peer::Tomcat],
            (peers, _) => peers.to_vec(),
        }
    }

    /// How much of the matrix.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let Self {
            users, sizes, full, ..
        } = self;
        let sizes = match (&**sizes, full) {
            ([], true) => vec![1000, 10_000, 100_000],
            ([], false) => vec![1000],
            (sizes, _) => sizes.to_vec(),
        };
        let users = match &**users {
            [] => vec![1, 16, 64],
            users => users.iter().copied().map(usize::from).collect(),
        };
        Ok(Plan {
            sizes,
            users,
            rounds: self.rounds.into(),
            window: self.window()?,
            warm_up: Duration::from_secs(if *full { 40 } else { 25 }),
            limit: Duration::from_secs(60 * if *full { 14 } else { 4 }),
            plain: vec![ONE_NODE.to_owned(), two_nodes("synchronous")],
        })
    }

    fn window(&self) -> Result<Duration, String> {
        let window = Duration::try_from_secs_f64(self.seconds).ok();
        window
            .filter(|window| !window.is_zero())
            .ok_or_else(|| "a window takes more than 0 seconds".to_owned())
    }
}
