//! `cargo xtask bench`: what replication costs on this machine.
//!
//! One node without a cluster, and two in each replication mode that is asked for, all running all
//! the time; the load goes to one of them at a time, in short windows that take turns, so that a
//! slow phase of the machine slows all alike. Nodes and load share the processors: read the ratios, not the figures.

mod connection;
mod figures;
mod load;

use std::path::PathBuf;
use std::time::Duration;

use catherd_testkit::{Farm, Node, NodeBuilder, Site as _};
use clap::Args;

use crate::say;
use crate::steps::cargo;
use figures::{Cell, Window, table};

/// What is measured, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many connections at once, each with a session of its own
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    /// How many bytes each write carries
    #[arg(long, default_value_t = 1000)]
    size: usize,
    /// How many seconds a window takes
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many windows each cell gets; its figures are medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// In which replication modes two nodes run
    #[arg(long, value_delimiter = ',', default_value = "synchronous", value_parser = Setup::of_mode)]
    modes: Vec<Setup>,
}

/// Two nodes in a replication mode.
#[derive(Clone, Copy, Debug)]
struct Setup {
    mode: &'static str,
    name: &'static str,
}

const SETUPS: [Setup; 4] = [
    Setup {
        mode: "synchronous",
        name: "two nodes",
    },
    Setup {
        mode: "pooled",
        name: "two nodes, pooled",
    },
    Setup {
        mode: "asynchronous",
        name: "two nodes, asynchronous",
    },
    Setup {
        mode: "fastasyncqueue",
        name: "two nodes, fastasyncqueue",
    },
];

impl Setup {
    fn of_mode(mode: &str) -> Result<Self, String> {
        let setup = SETUPS.into_iter().find(|setup| setup.mode == mode);
        setup.ok_or_else(|| format!("one of {}", SETUPS.map(|setup| setup.mode).join(", ")))
    }
}

/// The load that comes before the first window.
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let window = Duration::try_from_secs_f64(options.seconds)
        .ok()
        .filter(|window| !window.is_zero())
        .ok_or("a window takes more than 0 seconds")?;
    if options.connections.contains(&0) || options.connections.is_empty() || options.rounds == 0 {
        return Err("there is at least one connection and one round".to_owned());
    }
    let binary = build()?;
    let configured =
        |builder: NodeBuilder| builder.connector_attributes("maxKeepAliveRequests=\"-1\"");
    let alone = Farm::new(&binary).node("alone").without_cluster();
    let mut setups = vec![("one node", vec![configured(alone).start()])];
    for setup in &options.modes {
        let farm = Farm::new(&binary);
        let two = ["A", "B"].map(|name| {
            let builder = configured(farm.node(name));
            builder.replication_mode(setup.mode).start()
        });
        two[0].wait_for_members(&["B"]);
        two[1].wait_for_members(&["A"]);
        setups.push((setup.name, two.into()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;

    let path = format!("/bench/session?size={}", options.size);
    let load = |nodes: &[Node], connections: usize, window: Duration| -> Result<Window, String> {
        let port = nodes[0].http_port();
        let processor_time = || nodes.iter().map(Node::processor_time).sum::<Duration>();
        let before = processor_time();
        let load = runtime.block_on(load::run(port, &path, connections, window))?;
        Ok(Window::new(load, window, processor_time() - before))
    };
    let most = options.connections.iter().copied().max().unwrap_or(1);
    for (_, nodes) in &setups {
        load(nodes, most, WARM_UP)?;
    }
    let mut cells: Vec<Cell> = Vec::new();
    for &connections in &options.connections {
        let names = setups.iter().map(|(setup, _)| *setup);
        cells.extend(names.map(|setup| Cell::new(setup, connections)));
    }
    for round in 1..=options.rounds {
        say(&format!("round {round} of {}", options.rounds));
        for cell in &mut cells {
            let (_, nodes) = setups
                .iter()
                .find(|(setup, _)| *setup == cell.setup)
                .expect("cells are made of setups");
            cell.windows.push(load(nodes, cell.connections, window)?);
        }
    }
    for (_, nodes) in &setups {
        if let [a, b] = &nodes[..] {
            a.wait_until_equal(b, "/bench");
        }
    }
    say(&table(&cells, options.size));
    Ok(())
}

/// Builds the command as users run it; its path.
fn build() -> Result<PathBuf, String> {
    let arguments = [
        "build",
        "--release",
        "--package",
        "catherd-server",
        "--bin",
        "catherd",
    ];
    let built = cargo(&arguments)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !built.success() {
        return Err(format!("`cargo {}` failed", arguments.join(" ")));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let binary = target.join("release/catherd");
    binary
        .canonicalize()
        .map_err(|error| format!("{}: {error}", binary.display()))
}
