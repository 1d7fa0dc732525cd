//! The ends and beginnings of nodes, and their rest.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use catherd_testkit::{Farm, Node};

use super::figures::Measure;
use super::load;
use super::processes::{children, resident};
use super::server::{Server, Sign, free_row};
use super::setup::configured;
use super::transfer::millis;

pub(super) const GONE: &str = "SIGKILL to gone from both other views, above the end of the process";
pub(super) const BESIDE: &str = "process start to ready, beside a member (mcastFrequency 100)";
pub(super) const ALONE: &str = "process start to ready, alone (mcastFrequency 100)";
pub(super) const IDLE: &str = "three idle nodes of the demo: processor time";
pub(super) const IDLE_MEMORY: &str = "three idle nodes of the demo: memory of the largest";

/// Kills one of three, and looks at the views of the others.
///
/// The kernel closes the connections of a process when it has freed its memory; nobody can know
/// earlier.
pub(super) fn failure(binary: &Path, rounds: usize) -> Vec<Measure> {
    let farm = Farm::new(binary);
    let start = |name: &str| configured(farm.node(name)).start();
    let (a, b) = (start("A"), start("B"));
    let (mut gone, mut above) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let c = start("C");
        a.wait_for_members(&["B", "C"]);
        b.wait_for_members(&["A", "C"]);
        let begin = Instant::now();
        c.begin_to_kill();
        while c.exit_status().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        let ended = begin.elapsed();
        let is_gone = |node: &Node| !node.members().iter().any(|member| member == "C");
        // Both are asked in turn: the later of the two counts.
        while !(is_gone(&a) && is_gone(&b)) {
            std::thread::sleep(Duration::from_micros(200));
        }
        let noticed = begin.elapsed();
        gone.push(millis(noticed));
        above.push(millis(noticed.saturating_sub(ended)));
    }
    vec![
        Measure::new("SIGKILL to gone from both other views", "ms", gone),
        Measure::new(GONE, "ms", above),
    ]
}

/// From the start of the process to the first 200 of `/catherd/health/ready`.
pub(super) fn start(binary: &Path, rounds: usize) -> Vec<Measure> {
    let timed = |farm: &Farm, name: &str| {
        let builder = configured(farm.node(name));
        let begin = Instant::now();
        let node = builder.start();
        (millis(begin.elapsed()), node)
    };
    let alone = (0..rounds).map(|_| timed(&Farm::new(binary), "A").0);
    let alone = alone.collect();
    let farm = Farm::new(binary);
    let (_, a) = timed(&farm, "A");
    let beside = (0..rounds).map(|_| {
        let (took, b) = timed(&farm, "B");
        b.stop();
        a.wait_for_members(&[]);
        took
    });
    let beside = beside.collect();
    vec![
        Measure::new(BESIDE, "ms", beside),
        Measure::new(ALONE, "ms", alone),
    ]
}

/// The demo with three nodes and no request.
pub(super) fn idle(binary: &Path, work: &Path) -> Result<Vec<Measure>, String> {
    const REST: Duration = Duration::from_secs(10);
    let port = free_row(3)?;
    let mut command = Command::new(binary);
    command.args(["demo", "--nodes", "3", "--port", &port.to_string()]);
    let mut demo = Server::spawn(&mut command, &work.join("demo.log"), port)?;
    demo.wait_for(Sign::Plain)?;
    let nodes = children(demo.id());
    if nodes.len() != 3 {
        return Err(format!("a demo of three has {} nodes", nodes.len()));
    }
    // What they do at their start ends.
    std::thread::sleep(Duration::from_secs(3));
    let used = load::idle(&nodes, REST) * 100.0;
    let largest = nodes.iter().map(|id| resident(&[*id])).max();
    let largest = largest.unwrap_or_default() as f64 / 1e6;
    Ok(vec![
        Measure::new(IDLE, "% of a core", vec![used]),
        Measure::new(IDLE_MEMORY, "MB", vec![largest]),
    ])
}
