//! The matrix: every setup under every load, in windows that take turns, so that a slow phase of
//! the machine slows all alike.

use std::time::{Duration, Instant};

use super::connection::Target;
use super::figures::{Cell, Kind};
use super::load;
use super::rows::Rows;
use super::setup::Setup;
use crate::say;

/// How much of it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What a write carries, in bytes.
    pub(super) sizes: Vec<usize>,
    pub(super) users: Vec<usize>,
    pub(super) rounds: usize,
    pub(super) window: Duration,
    /// How long a setup that is compiled while it runs is warmed up.
    pub(super) warm_up: Duration,
    /// How long it may take with windows that are taken again.
    pub(super) limit: Duration,
    /// The setups that are also asked for what touches no session.
    pub(super) plain: Vec<String>,
}

/// With how many users requests that touch no session are measured.
pub(super) const PLAIN_USERS: usize = 16;

/// Takes every window; those that others disturbed are taken again while there is time, once.
///
/// # Errors
///
/// A node of Catherd failed a request. What a peer fails is said, and its window left out.
pub(super) fn run(setups: &[Setup], plan: &Plan, rows: &mut Rows) -> Result<Vec<Cell>, String> {
    let begin = Instant::now();
    warm_up(setups, plan)?;
    let mut cells = cells(setups, plan);
    for round in 0..plan.rounds * 2 {
        let again = round >= plan.rounds;
        let wanted = |cell: &Cell| !again || cell.clean() < plan.rounds.min(3);
        let open = cells.iter().filter(|cell| wanted(cell)).count();
        if open == 0 || (again && begin.elapsed() > plan.limit) {
            break;
        }
        let why = if again { ", again where disturbed" } else { "" };
        say(&format!("round {}{why}: {open} windows", round + 1));
        // Another one goes first in each round.
        let start = round % setups.len();
        let count = cells.len();
        for at in 0..count {
            let group = at - at % setups.len();
            let cell = &mut cells[(group + (at + start) % setups.len()).min(count - 1)];
            if !wanted(cell) || (again && begin.elapsed() > plan.limit) {
                continue;
            }
            take(cell, setups, plan, rows)?;
        }
    }
    cells.retain(|cell| !cell.windows.is_empty());
    Ok(cells)
}

fn take(cell: &mut Cell, setups: &[Setup], plan: &Plan, rows: &mut Rows) -> Result<(), String> {
    let setup = setups.iter().find(|setup| setup.name == cell.setup);
    let setup = setup.expect("cells are made of setups");
    let target = match cell.kind {
        Kind::Write(size) => Target::write(setup.address(), size),
        Kind::Plain => Target::plain(setup.address()),
    };
    match load::window(&target, cell.users, plan.window, &setup.processes()) {
        Ok(window) => {
            rows.window(cell, &window)?;
            cell.windows.push(window);
            Ok(())
        }
        Err(problem) if setup.as_nodes().is_empty() => {
            say(&format!("{}, {} users: {problem}", cell.setup, cell.users));
            Ok(())
        }
        Err(problem) => Err(format!("{}: {problem}", setup.name)),
    }
}

fn warm_up(setups: &[Setup], plan: &Plan) -> Result<(), String> {
    for setup in setups {
        say(&format!("warming up: {}", setup.name));
        let length = if setup.warms_up() {
            plan.warm_up
        } else {
            Duration::from_secs(1)
        };
        let most = plan.users.iter().copied().max().unwrap_or(1);
        load::window(&Target::write(setup.address(), 1000), most, length, &[])?;
    }
    Ok(())
}

/// Cells of one load lie beside each other.
fn cells(setups: &[Setup], plan: &Plan) -> Vec<Cell> {
    let cell = |setup: &Setup, kind, users| Cell {
        setup: setup.name.clone(),
        kind,
        users,
        windows: Vec::new(),
    };
    let mut cells = Vec::new();
    for &size in &plan.sizes {
        for &users in &plan.users {
            cells.extend(
                setups
                    .iter()
                    .map(|setup| cell(setup, Kind::Write(size), users)),
            );
        }
    }
    let plain = setups
        .iter()
        .filter(|setup| plan.plain.contains(&setup.name));
    cells.extend(plain.map(|setup| cell(setup, Kind::Plain, PLAIN_USERS)));
    cells
}

/// Waits until the copies on two nodes agree; what was found, as a sentence.
pub(super) fn agreement(setup: &Setup) -> Option<String> {
    let [a, b] = setup.as_nodes() else {
        return None;
    };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        if a.digest("/bench") == b.digest("/bench") {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(format!(
        "{}: the copies do not agree after 30 s",
        setup.name
    ))
}
