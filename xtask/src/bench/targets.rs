//! What was promised, and what was reached.

use std::fmt::Write as _;

use super::figures::{Cell, Kind, Measure, Window};
use super::matrix::PLAIN_USERS;
use super::setup::{ONE_NODE, TOMCAT, two_nodes};
use super::{life, spread, transfer};

/// A figure that has a bound.
#[derive(Debug)]
struct Target {
    what: String,
    bound: Bound,
    unit: &'static str,
    /// `None`: not measured in this run.
    reached: Option<Reached>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Debug)]
struct Reached {
    value: f64,
    note: String,
    is_disturbed: bool,
}

/// Targets and what was reached side by side, in Markdown; those that were not measured are left
/// out.
pub(super) fn table(cells: &[Cell], measures: &[Measure]) -> String {
    let mut text = String::from("| what | target | reached | |\n|---|---:|---:|---|\n");
    let targets = of_cells(cells).into_iter().chain(of_measures(measures));
    for target in targets {
        let Some(reached) = target.reached else {
            continue;
        };
        let (sign, bound) = match target.bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        let is_met = match target.bound {
            Bound::AtLeast(bound) => reached.value >= bound,
            Bound::AtMost(bound) => reached.value <= bound,
        };
        let unit = target.unit;
        let value = precise(reached.value);
        let star = if reached.is_disturbed { "*" } else { "" };
        let note = reached.note;
        let verdict = if is_met { "met" } else { "**missed**" };
        let bound = precise(bound);
        writeln!(
            text,
            "| {} | {sign} {bound}{unit} | {value}{unit}{star}{note} | {verdict} |",
            target.what
        )
        .expect("a string takes everything");
    }
    text
}

fn precise(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

type Figure = fn(&Window) -> f64;

const RATE: Figure = |window| window.rate;
const PROCESSOR: Figure = |window| window.processor;
const P50: Figure = |window| window.p50;
const P99: Figure = |window| window.p99;

fn of_cells(cells: &[Cell]) -> Vec<Target> {
    let find = |setup: &str, kind, users| {
        let is_it = |cell: &&Cell| cell.setup == setup && cell.kind == kind && cell.users == users;
        cells.iter().find(is_it)
    };
    let modes = |names: &[&'static str]| -> Vec<&'static str> { names.to_vec() };
    let acknowledged = modes(&["synchronous", "pooled"]);
    let mut targets = Vec::new();
    // Of several modes, the better one counts and is named.
    let mut put = |what: &str,
                   modes: &[&'static str],
                   bound: Bound,
                   unit: &'static str,
                   (kind, users): (Kind, usize),
                   base: &str,
                   of: &dyn Fn(&Cell, &Cell) -> f64| {
        let base = find(base, kind, users);
        let each = modes.iter().filter_map(|mode| {
            let (cell, base) = (find(&two_nodes(mode), kind, users)?, base?);
            Some(Reached {
                value: of(cell, base),
                note: if modes.len() > 1 {
                    format!(" ({mode})")
                } else {
                    String::new()
                },
                is_disturbed: cell.is_disturbed() || base.is_disturbed(),
            })
        });
        let better = |a: &Reached, b: &Reached| match bound {
            Bound::AtLeast(_) => a.value.total_cmp(&b.value),
            Bound::AtMost(_) => b.value.total_cmp(&a.value),
        };
        let load = match kind {
            Kind::Write(size) => format!("{} kB, {users} users", size / 1000),
            Kind::Plain => format!("{users} users"),
        };
        targets.push(Target {
            what: format!("{what}, {load}").replace(" 1 users", " one user"),
            bound,
            unit,
            reached: each.max_by(better),
        });
    };
    let ratio = |of: Figure| move |cell: &Cell, base: &Cell| cell.median(of) / base.median(of);
    let one = Kind::Write(1000);
    for (users, rate, processor) in [(16, 3.0, 0.28), (64, 4.0, 0.20)] {
        let load = (one, users);
        let what = "acknowledged, rate against Tomcat's";
        let bound = Bound::AtLeast(rate);
        put(what, &acknowledged, bound, "", load, TOMCAT, &ratio(RATE));
        let what = "acknowledged, processor time a request against Tomcat's";
        let bound = Bound::AtMost(processor);
        put(
            what,
            &acknowledged,
            bound,
            "",
            load,
            TOMCAT,
            &ratio(PROCESSOR),
        );
        let of = |cell: &Cell, base: &Cell| cell.median(P99) / base.median(P50);
        let what = "acknowledged, p99 against Tomcat's p50";
        put(
            what,
            &acknowledged,
            Bound::AtMost(1.0),
            "",
            load,
            TOMCAT,
            &of,
        );
    }
    for (size, users, rate) in [(10_000, 16, 3.0), (100_000, 16, 4.0), (100_000, 1, 3.5)] {
        let load = (Kind::Write(size), users);
        let what = "acknowledged, rate against Tomcat's";
        let bound = Bound::AtLeast(rate);
        put(what, &acknowledged, bound, "", load, TOMCAT, &ratio(RATE));
    }
    let queue = modes(&["fastasyncqueue"]);
    for (users, waits, queued) in [(16, 0.60, 0.85), (64, 0.75, 0.95)] {
        let load = (one, users);
        let what = "acknowledged, rate against one node's";
        let bound = Bound::AtLeast(waits);
        put(what, &acknowledged, bound, "", load, ONE_NODE, &ratio(RATE));
        let what = "fastasyncqueue, rate against one node's";
        let bound = Bound::AtLeast(queued);
        put(what, &queue, bound, "", load, ONE_NODE, &ratio(RATE));
    }
    let added = |cell: &Cell, base: &Cell| cell.median(P50) - base.median(P50);
    let what = "acknowledged, p50 above one node's";
    let bound = Bound::AtMost(25.0);
    put(
        what,
        &acknowledged,
        bound,
        " µs",
        (one, 1),
        ONE_NODE,
        &added,
    );
    let plain = (Kind::Plain, PLAIN_USERS);
    let what = "no session touched, processor time against a node without cluster";
    let bound = Bound::AtMost(1.05);
    let synchronous = modes(&["synchronous"]);
    put(
        what,
        &synchronous,
        bound,
        "",
        plain,
        ONE_NODE,
        &ratio(PROCESSOR),
    );
    targets
}

fn of_measures(measures: &[Measure]) -> Vec<Target> {
    let find = |what: &str| measures.iter().find(|measure| measure.what == what);
    let target = |what: &str, bound, unit| Target {
        what: what.to_owned(),
        bound,
        unit,
        reached: find(what).map(|measure| of(measure.median(), measure.is_disturbed)),
    };
    let mut targets = vec![
        target(transfer::TIME, Bound::AtMost(600.0), " ms"),
        target(transfer::KEPT, Bound::AtLeast(0.5), ""),
        target(transfer::MILLION, Bound::AtMost(1.2), ""),
        target(transfer::OWNER, Bound::AtMost(1400.0), " bytes"),
        target(transfer::REPLICA, Bound::AtMost(1400.0), " bytes"),
    ];
    for (users, bytes) in [(1, 1200.0), (16, 1120.0), (64, 1120.0)] {
        let what = spread::on_the_wire(users);
        targets.push(target(&what, Bound::AtMost(bytes), " bytes"));
    }
    targets.extend([
        target(life::GONE, Bound::AtMost(20.0), " ms"),
        target(life::BESIDE, Bound::AtMost(150.0), " ms"),
        target(life::ALONE, Bound::AtMost(250.0), " ms"),
        target(life::IDLE, Bound::AtMost(1.0), " % of a core"),
        target(life::IDLE_MEMORY, Bound::AtMost(15.0), " MB"),
    ]);
    let (two, eight) = (find(&spread::per_peer(2)), find(&spread::per_peer(8)));
    let reached = two
        .zip(eight)
        .map(|(two, eight)| of(eight.median() / two.median(), eight.is_disturbed));
    targets.push(Target {
        what: "processor time a write and peer above one node, 8 nodes against 2".to_owned(),
        bound: Bound::AtMost(1.1),
        unit: "",
        reached,
    });
    targets
}

fn of(value: f64, is_disturbed: bool) -> Reached {
    Reached {
        value,
        note: String::new(),
        is_disturbed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(setup: &str, rate: f64, p50: f64, p99: f64, processor: f64) -> Cell {
        let window = Window {
            rate,
            p50,
            p99,
            processor,
            foreign: 0.0,
            requests: 1,
        };
        Cell {
            setup: setup.to_owned(),
            kind: Kind::Write(1000),
            users: 16,
            windows: vec![window; 3],
        }
    }

    #[test]
    fn the_better_of_two_modes_counts_and_is_named() {
        let cells = [
            cell(TOMCAT, 100.0, 50.0, 90.0, 80.0),
            cell(&two_nodes("synchronous"), 250.0, 20.0, 60.0, 8.0),
            cell(&two_nodes("pooled"), 400.0, 20.0, 40.0, 16.0),
        ];
        let table = table(&cells, &[]);
        for line in [
            "| acknowledged, rate against Tomcat's, 1 kB, 16 users | ≥ 3.00 | 4.00 (pooled) | met |",
            "a request against Tomcat's, 1 kB, 16 users | ≤ 0.28 | 0.10 (synchronous) | met |",
            "p99 against Tomcat's p50, 1 kB, 16 users | ≤ 1.00 | 0.80 (pooled) | met |",
        ] {
            assert!(table.contains(line), "{table}");
        }
        assert!(
            !table.contains("one node"),
            "that was not measured: {table}"
        );
    }

    #[test]
    fn what_is_missed_is_said() {
        let measures = [
            Measure::new(transfer::TIME, "ms", vec![700.0, 601.0, 500.0]),
            Measure::new(&spread::per_peer(2), "µs", vec![10.0]),
            Measure::new(&spread::per_peer(8), "µs", vec![11.0]),
        ];
        let table = table(&[], &measures);
        assert!(
            table.contains("| ≤ 600 ms | 601 ms | **missed** |"),
            "{table}"
        );
        assert!(
            table.contains("8 nodes against 2 | ≤ 1.10 | 1.10 | met |"),
            "{table}"
        );
    }
}
