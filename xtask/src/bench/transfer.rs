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

/// State transfer beside the same start without sessions, memory, and what a donor still serves.
pub(super) fn run(binary: &Path, rounds: usize) -> Result<Vec<Measure>, String> {
    let farm = Farm::new(binary);
    let a = configured(farm.node("A")).start();
    let target = Target::write(([127, 0, 0, 1], a.http_port()).into(), SIZE);
    let join = || {
        let begin = Instant::now();
        let b = configured(farm.node("B")).start();
        (b, begin.elapsed())
    };
    let leave = |b: Node| {
        b.stop();
        a.wait_for_members(&[]);
    };
    let mut without = Vec::new();
    for _ in 0..rounds {
        let (b, took) = join();
        without.push(millis(took));
        leave(b);
    }
    let (b, _) = join();
    a.wait_for_members(&["B"]);
    load::create(&target, 200)?;
    let before = [&a, &b].map(|node| resident(&[node.process_id()]));
    load::create(&target, SESSIONS)?;
    a.wait_until_equal(&b, "/bench");
    let after = [&a, &b].map(|node| resident(&[node.process_id()]));
    let [owner, replica] =
        [0, 1].map(|at| after[at].saturating_sub(before[at]) as f64 / SESSIONS as f64);
    leave(b);
    let mut with = Vec::new();
    for _ in 0..rounds {
        let (b, took) = join();
        if b.digest("/bench") != a.digest("/bench") {
            return Err("a node was ready without all sessions".to_owned());
        }
        with.push(millis(took));
        leave(b);
    }
    let base = median(without.clone());
    let added = with.iter().map(|took| took - base).collect();
    let mut kept = Vec::new();
    let mut busy = Vec::new();
    for _ in 0..rounds {
        let load = Background::start(target.clone(), 16);
        std::thread::sleep(Duration::from_millis(500));
        let second = Duration::from_secs(1);
        let (free, ()) = load.rate_during(|| std::thread::sleep(second));
        let (loaded, (b, took)) = load.rate_during(join);
        load.stop()?;
        kept.push(loaded / free);
        busy.push(millis(took));
        leave(b);
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
    let farm = Farm::new(binary);
    let a = configured(farm.node("A")).start();
    let target = Target::write(([127, 0, 0, 1], a.http_port()).into(), SIZE);
    let join = || {
        let begin = Instant::now();
        let b = configured(farm.node("B")).start();
        let took = millis(begin.elapsed());
        let is_whole = b.digest("/bench") == a.digest("/bench");
        b.stop();
        a.wait_for_members(&[]);
        if is_whole {
            Ok(took)
        } else {
            Err("a node was ready without all sessions".to_owned())
        }
    };
    let joins = || (0..ROUNDS).map(|_| join()).collect::<Result<Vec<_>, _>>();
    load::create(&target, SESSIONS)?;
    let few = median(joins()?);
    load::create(&target, MANY - SESSIONS)?;
    let many = joins()?;
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
