//! `cargo xtask bench`: what replication costs on this machine, beside what people use today.
//!
//! | file | what it holds |
//! |---|---|
//! | `options` | what the command is told |
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
mod echo;
mod figures;
mod life;
mod load;
mod matrix;
mod options;
mod processes;
mod report;
mod rows;
mod server;
mod setup;
mod spread;
mod targets;
mod tomcat;
mod transfer;

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::say;
use crate::steps::cargo;
use figures::{Cell, Measure};
use matrix::Plan;
pub(crate) use options::Options;
use options::{Part, Peer};
use rows::Rows;
use setup::{MEMORY, ONE_NODE, REDIS, Setup, TOMCAT, TOMCAT_ALONE, two_nodes};

pub(crate) fn run(options: &Options) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return run_optimized();
    }
    let plan = options.plan()?;
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
        plan,
        rows,
        binary: match &options.binary {
            Some(binary) => setup::exists(binary)?,
            None => setup::build()?,
        },
        work: setup::exists(&work)?,
        measures: Vec::new(),
        problems: Vec::new(),
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
    plan: Plan,
    rows: Rows,
    binary: PathBuf,
    work: PathBuf,
    measures: Vec<Measure>,
    /// What went wrong, and does not take the other figures away.
    problems: Vec<String>,
}

impl Bench<'_> {
    /// All parts that are wanted, and one text of them.
    fn record(&mut self) -> Result<(), String> {
        let options = self.options;
        let wants = |part| options.wants(part);
        let rounds = usize::from(options.rounds);
        let (binary, work) = (self.binary.clone(), self.work.clone());
        let mut cells = Vec::new();
        if wants(Part::Matrix) {
            let setups = self.setups(&binary)?;
            cells = matrix::run(&setups, &self.plan, &mut self.rows)?;
            self.problems
                .extend(setups.iter().filter_map(matrix::agreement));
            drop(setups);
            self.measure("a round trip of the machine", || echo::run(rounds))?;
        }
        if wants(Part::Nodes) {
            self.measure("two to eight nodes", || spread::nodes(&binary, 3))?;
        }
        if wants(Part::Transfer) {
            self.measure("state transfer", || transfer::run(&binary, rounds))?;
        }
        if wants(Part::Million) {
            self.measure("a million sessions", || transfer::million(&binary))?;
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
        let text = self.text(&cells, micro.as_deref());
        say(&text);
        if options.full {
            report::write_page(&text)?;
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.problems.join("\n"))
        }
    }

    fn text(&self, cells: &[Cell], micro: Option<&str>) -> String {
        let more = format!(
            "Windows of {} s, {} a cell; `*`: others used more than {:.0} % of a core in windows \
             that count, or while a measure was taken.",
            self.options.seconds,
            self.options.rounds,
            figures::CLEAN * 100.0
        );
        let mut text = report::conditions(&more);
        for problem in &self.problems {
            text += &format!("\n{problem}\n");
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

    /// A part that fails, in whatever way the nodes of tests fail, costs no other.
    fn measure(
        &mut self,
        what: &str,
        take: impl FnOnce() -> Result<Vec<Measure>, String>,
    ) -> Result<(), String> {
        say(&format!("measuring: {what}"));
        let (before, start) = (processes::foreign(), Instant::now());
        let measures = match panic::catch_unwind(AssertUnwindSafe(take)) {
            Ok(Ok(measures)) => measures,
            Ok(Err(problem)) => {
                self.problems.push(format!("{what}: {problem}"));
                return Ok(());
            }
            Err(_) => {
                self.problems.push(format!("{what}: failed, see above"));
                return Ok(());
            }
        };
        let foreign = processes::foreign().saturating_sub(before).as_secs_f64();
        let is_disturbed = foreign > figures::CLEAN * start.elapsed().as_secs_f64();
        for mut measure in measures {
            measure.is_disturbed = is_disturbed;
            self.rows.measure(&measure)?;
            self.measures.push(measure);
        }
        Ok(())
    }

    /// Everything that takes part in the matrix, running.
    fn setups(&self, binary: &Path) -> Result<Vec<Setup>, String> {
        let work = &self.work;
        let mut setups = vec![Setup::one_node(ONE_NODE, binary)];
        for mode in self.options.modes() {
            setups.push(Setup::nodes(&two_nodes(&mode), binary, &mode, 2));
        }
        for peer in self.options.peers() {
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

    /// This revision beside another, nothing else.
    fn compare(&mut self, revision: &str, before: &Path) -> Result<(), String> {
        let mut setups = Vec::new();
        let mut pairs = Vec::new();
        for (binary, at) in [(&*self.binary, ""), (before, ", before")] {
            let name = format!("{ONE_NODE}{at}");
            setups.push(Setup::one_node(&name, binary));
            for mode in self.options.modes() {
                let name = format!("{}{at}", two_nodes(&mode));
                setups.push(Setup::nodes(&name, binary, &mode, 2));
            }
        }
        for setup in &setups[..setups.len() / 2] {
            pairs.push((setup.name.clone(), format!("{}, before", setup.name)));
        }
        let plan = Plan {
            plain: setups.iter().map(|setup| setup.name.clone()).collect(),
            ..self.plan.clone()
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
    let arguments = [
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "catherd-micro",
    ];
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
