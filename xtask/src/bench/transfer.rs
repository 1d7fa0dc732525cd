//! What many sessions cost: their transfer to a starting node, and their memory.

use std::path::Path;
use std::time::{Duration, Instant};

use catherd_testkit::{Farm, Node, Site as _};

use super::connection::Target;
use super::figures::{Measure, median};
use super::load::{self, Background};
use super::processes::resident;
use super::setup::configured;

pub(super) const SESSIONS: usize = 100_000;
const SIZE: usize = 1000;

pub(super) const TIME: &str = "100 000 sessions of 1 kB to a starting node: what they add";
pub(super) const MILLION: &str =
    "a session to a starting node: time, of a million against of 100 000";
pub(super) const OWNER: &str = "memory a session of 1 kB, owner";
pub(super) const REPLICA: &str = "memory a session of 1 kB, replica";
pub(super) const KEPT: &str = "16 users on the donor, during a transfer of 100 000: rate kept";

/// A node that has sessions, and nodes that come to get them.
struct Donor {
    farm: Farm,
    node: Node,
    target: Target,
}

impl Donor {
    fn start(binary: &Path) -> Self {
        let farm = Farm::new(binary);
        let node = configured(farm.node("A")).start();
        let target = Target::write(([127, 0, 0, 1], node.http_port()).into(), SIZE);
        Self { farm, node, target }
    }

    /// Starts another node, and how long that took until it was ready.
    fn join(&self) -> (Node, Duration) {
        let begin = Instant::now();
        let joined = configured(self.farm.node("B")).start();
        (joined, begin.elapsed())
    }

    fn leave(&self, joined: Node) {
        joined.stop();
        drop(joined);
        self.node.wait_for_members(&[]);
    }

    /// How long a start takes that gets all sessions, so often.
    fn joins(&self, rounds: usize) -> Result<Vec<f64>, String> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let (joined, took) = self.join();
            if joined.digest("/bench") != self.node.digest("/bench") {
                return Err("a node was ready without all sessions".to_owned());
            }
            times.push(millis(took));
            self.leave(joined);
        }
        Ok(times)
    }
}

/// State transfer beside the same start without sessions, memory, and what a donor still serves.
pub(super) fn run(binary: &Path, rounds: usize) -> Result<Vec<Measure>, String> {
    let donor = Donor::start(binary);
    let (a, target) = (&donor.node, &donor.target);
    let without = donor.joins(rounds)?;
    let (b, _) = donor.join();
    a.wait_for_members(&["B"]);
    load::create(target, 200)?;
    let before = [a, &b].map(|node| resident(&[node.process_id()]));
    load::create(target, SESSIONS)?;
    a.wait_until_equal(&b, "/bench");
    let after = [a, &b].map(|node| resident(&[node.process_id()]));
    let [owner, replica] =
        [0, 1].map(|at| after[at].saturating_sub(before[at]) as f64 / SESSIONS as f64);
    donor.leave(b);
    let with = donor.joins(rounds)?;
    let base = median(without.clone());
    let added = with.iter().map(|took| took - base).collect();
    let mut kept = Vec::new();
    let mut busy = Vec::new();
    for _ in 0..rounds {
        let load = Background::start(target.clone(), 16);
        std::thread::sleep(Duration::from_millis(500));
        let second = Duration::from_secs(1);
        let (free, ()) = load.rate_during(|| std::thread::sleep(second));
        let (loaded, (b, took)) = load.rate_during(|| donor.join());
        load.stop()?;
        kept.push(loaded / free);
        busy.push(millis(took));
        donor.leave(b);
    }
    Ok(vec![
        Measure::new("start beside a member without sessions", "ms", without),
        Measure::new("start beside a member with 100 000 sessions", "ms", with),
        Measure::new(TIME, "ms", added),
        Measure::new("the same start, 16 users on the donor", "ms", busy),
        Measure::new(KEPT, "", kept),
        Measure::new(OWNER, "bytes", vec![owner]),
        Measure::new(REPLICA, "bytes", vec![replica]),
    ])
}

/// The start of a node beside one with a million sessions, and what a session of them takes against
/// one of 100 000.
pub(super) fn million(binary: &Path) -> Result<Vec<Measure>, String> {
    const MANY: usize = 10 * SESSIONS;
    const ROUNDS: usize = 3;
    let donor = Donor::start(binary);
    load::create(&donor.target, SESSIONS)?;
    let few = median(donor.joins(ROUNDS)?);
    load::create(&donor.target, MANY - SESSIONS)?;
    let many = donor.joins(ROUNDS)?;
    let times = (MANY / SESSIONS) as f64;
    let ratio = many.iter().map(|many| many / times / few).collect();
    Ok(vec![
        Measure::new("start beside a member with a million sessions", "ms", many),
        Measure::new(MILLION, "", ratio),
    ])
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
