//! `cargo xtask bench`: what replication costs on this machine, beside what people use today.
//!
//! | file | what it holds |
//! |---|---|
//! | `connection`, `load` | the users: one keep-alive connection and one session each |
//! | `setup`, `tomcat`, `axum`, `server` | what takes the load |
//! | `processes` | processor time and memory, of what is measured and of what disturbs |
//! | `matrix` | every setup under every load, in windows that take turns |
//! | `transfer`, `life`, `spread` | sessions in bulk; starts and ends; further copies, the wire |
//! | `figures`, `targets`, `report`, `rows` | from windows to medians, tables, and the page |
//!
//! Nodes and load share the processors: read the ratios, not the figures. docs/performance.md says
//! how far to trust them.

mod axum;
mod connection;
mod figures;
mod life;
mod load;
mod matrix;
mod processes;
mod report;
mod rows;
mod server;
mod setup;
mod spread;
mod targets;
mod tomcat;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::say;
use crate::steps::cargo;
use figures::{Cell, Measure};
use matrix::Plan;
use rows::Rows;
use setup::{MEMORY, MODES, ONE_NODE, REDIS, Setup, TOMCAT, TOMCAT_ALONE, two_nodes};

/// What is measured, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// About five minutes: one node, two nodes and Tomcat, 1 kB; so it is without any option
    #[arg(long, conflicts_with_all = ["full", "against"])]
    quick: bool,
    /// Some twenty minutes, for the record: everything, into docs/performance.md and bench/results
    #[arg(long, conflicts_with_all = ["against", "only", "users", "sizes", "modes", "peers"])]
    full: bool,
    /// Compares with another revision, built in a copy of its own
    #[arg(long, value_name = "REV")]
    against: Option<String>,
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
    seconds: f64,
    /// How many windows each cell gets; its figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// What stands beside Catherd
    #[arg(long, value_delimiter = ',', value_enum)]
    peers: Vec<Peer>,
}

/// A part of the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Rates, latencies and processor time by mode, users and size
    Matrix,
    /// State transfer of 100 000 sessions, and their memory
    Transfer,
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
enum Peer {
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

pub(crate) fn run(options: &Options) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return run_optimized();
    }
    let window = Duration::try_from_secs_f64(options.seconds)
        .ok()
        .filter(|window| !window.is_zero())
        .ok_or("a window takes more than 0 seconds")?;
    if options.full {
        report::check_page()?;
    }
    let work = setup::target().join("bench");
    let rows = if options.full {
        setup::root().join("bench/results")
    } else {
        work.clone()
    };
    let rows = Rows::create(&rows)?;
    // Both end in the same place: the other revision is built first, and put aside.
    let before = options
        .against
        .as_deref()
        .map(setup::build_at)
        .transpose()?;
    let mut bench = Bench {
        options,
        window,
        rows,
        binary: setup::build()?,
        work: setup::exists(&work)?,
        measures: Vec::new(),
    };
    match (&options.against, before) {
        (Some(revision), Some(before)) => bench.compare(revision, &before),
        _ => bench.record(),
    }
}

/// A generator that is not optimized takes more from the nodes than the load that it makes.
fn run_optimized() -> Result<(), String> {
    let build = [
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "xtask",
        "--",
    ];
    let mut command = cargo(&build);
    setup::succeed(command.args(std::env::args_os().skip(1)))
}

struct Bench<'a> {
    options: &'a Options,
    window: Duration,
    rows: Rows,
    binary: PathBuf,
    work: PathBuf,
    measures: Vec<Measure>,
}

impl Bench<'_> {
    /// All parts that are wanted, and one text of them.
    fn record(&mut self) -> Result<(), String> {
        let options = self.options;
        let wants = |part| match options.only.as_slice() {
            [] => options.full || part == Part::Matrix,
            only => only.contains(&part),
        };
        let rounds = usize::from(options.rounds);
        let (binary, work) = (self.binary.clone(), self.work.clone());
        let mut notes = Vec::new();
        let mut cells = Vec::new();
        if wants(Part::Matrix) {
            let setups = self.setups(&binary)?;
            cells = matrix::run(&setups, &self.plan(), &mut self.rows)?;
            notes.extend(setups.iter().filter_map(matrix::agreement));
        }
        if wants(Part::Nodes) {
            self.measure("two to eight nodes", || spread::nodes(&binary, 3))?;
        }
        if wants(Part::Transfer) {
            self.measure("state transfer", || transfer::run(&binary, rounds))?;
        }
        if wants(Part::Wire) {
            self.measure("bytes on the wire", || spread::wire(&binary))?;
        }
        if wants(Part::Failure) {
            self.measure("SIGKILL", || Ok(life::failure(&binary, rounds)))?;
        }
        if wants(Part::Start) {
            self.measure("starts", || Ok(life::start(&binary, rounds)))?;
        }
        if wants(Part::Idle) {
            self.measure("the demo at rest", || life::idle(&binary, &work))?;
        }
        let micro = wants(Part::Micro).then(micro).transpose()?;
        let text = self.text(&cells, &notes, micro.as_deref());
        say(&text);
        if options.full {
            report::write_page(&text)?;
        }
        Ok(())
    }

    fn text(&self, cells: &[Cell], notes: &[String], micro: Option<&str>) -> String {
        let more = format!(
            "Windows of {} s, {} a cell; `*`: others used more than {:.0} % of a core in windows \
             that count.",
            self.options.seconds,
            self.options.rounds,
            figures::CLEAN * 100.0
        );
        let mut text = report::conditions(&more);
        for note in notes {
            text += &format!("\n{note}\n");
        }
        text += "\n### Targets\n\n";
        text += &targets::table(cells, &self.measures);
        if !cells.is_empty() {
            text += "\n### Rates, latencies, processor time\n";
            text += &report::matrix(cells);
        }
        if !self.measures.is_empty() {
            text += "\n### Beside the matrix\n";
            text += &report::measures(&self.measures);
        }
        if let Some(micro) = micro {
            text += "\n### One operation\n\n";
            text += micro;
        }
        text
    }

    fn measure(
        &mut self,
        what: &str,
        take: impl FnOnce() -> Result<Vec<Measure>, String>,
    ) -> Result<(), String> {
        say(&format!("measuring: {what}"));
        for measure in take()? {
            self.rows.measure(&measure)?;
            self.measures.push(measure);
        }
        Ok(())
    }

    /// Everything that takes part in the matrix, running.
    fn setups(&self, binary: &Path) -> Result<Vec<Setup>, String> {
        let work = &self.work;
        let mut setups = vec![Setup::one_node(ONE_NODE, binary)];
        for mode in self.modes() {
            setups.push(Setup::nodes(&two_nodes(&mode), binary, &mode, 2));
        }
        for peer in self.peers() {
            match peer {
                Peer::None => {}
                Peer::Tomcat => setups.push(Setup::tomcat(TOMCAT, work, 2)?),
                Peer::TomcatAlone => setups.push(Setup::tomcat(TOMCAT_ALONE, work, 1)?),
                Peer::Redis => setups.push(Setup::axum(REDIS, work, "redis")?),
                Peer::Memory => setups.push(Setup::axum(MEMORY, work, "memory")?),
            }
        }
        Ok(setups)
    }

    fn modes(&self) -> Vec<String> {
        match (&*self.options.modes, self.options.full) {
            ([], true) => MODES.map(str::to_owned).to_vec(),
            ([], false) => vec!["synchronous".to_owned()],
            (modes, _) => modes.to_vec(),
        }
    }

    fn peers(&self) -> Vec<Peer> {
        match (&*self.options.peers, self.options.full) {
            ([], true) => vec![Peer::Tomcat, Peer::TomcatAlone, Peer::Redis, Peer::Memory],
            ([], false) => vec![Peer::Tomcat],
            (peers, _) => peers.to_vec(),
        }
    }

    fn plan(&self) -> Plan {
        let Options {
            users, sizes, full, ..
        } = self.options;
        let sizes = match (&**sizes, full) {
            ([], true) => vec![1000, 10_000, 100_000],
            ([], false) => vec![1000],
            (sizes, _) => sizes.to_vec(),
        };
        let users = match &**users {
            [] => vec![1, 16, 64],
            users => users.iter().copied().map(usize::from).collect(),
        };
        Plan {
            sizes,
            users,
            rounds: self.options.rounds.into(),
            window: self.window,
            warm_up: Duration::from_secs(if *full { 40 } else { 25 }),
            limit: Duration::from_secs(60 * if *full { 14 } else { 4 }),
            plain: vec![ONE_NODE.to_owned(), two_nodes("synchronous")],
        }
    }

    /// This revision beside another, nothing else.
    fn compare(&mut self, revision: &str, before: &Path) -> Result<(), String> {
        let mut setups = Vec::new();
        let mut pairs = Vec::new();
        for (binary, at) in [(&*self.binary, ""), (before, ", before")] {
            let name = format!("{ONE_NODE}{at}");
            setups.push(Setup::one_node(&name, binary));
            for mode in self.modes() {
                let name = format!("{}{at}", two_nodes(&mode));
                setups.push(Setup::nodes(&name, binary, &mode, 2));
            }
        }
        for setup in &setups[..setups.len() / 2] {
            pairs.push((setup.name.clone(), format!("{}, before", setup.name)));
        }
        let plan = Plan {
            plain: setups.iter().map(|setup| setup.name.clone()).collect(),
            ..self.plan()
        };
        let cells = matrix::run(&setups, &plan, &mut self.rows)?;
        say(&report::conditions(&format!("Before: {revision}.")));
        say(&report::against(&cells, &pairs));
        Ok(())
    }
}

/// The table of the benchmarks of single operations.
fn micro() -> Result<String, String> {
    say("measuring: single operations");
    let arguments = ["run", "--release", "--locked", "--package", "catherd-micro"];
    let output = cargo(&arguments)
        .current_dir(setup::root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err("the benchmarks of single operations failed".to_owned())
    }
}
