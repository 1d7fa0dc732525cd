//! `catherd demo`: a cluster on this machine, and what to try with it.
//!
//! Every node is a process of its own, since what is to be seen is that one can be killed. They
//! are children in process groups of their own, so that Ctrl-C reaches them through the parent
//! alone; and they end when their standard input does, so that none outlives it, however it ends.
//!
//! | file | what it holds |
//! |---|---|
//! | `place` | the directory of the demo: a base for each node |
//! | `child` | a node: its process, its readiness, its end |
//! | `guide` | what to try, with commands to paste |

mod child;
mod guide;
mod place;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::{join_all, select_all, try_join_all};
use tokio::time::timeout;

use self::child::Child;
use self::place::Place;
use super::console::{chain, complain, say};
use crate::http::Held;
use crate::node::Signals;

/// How many nodes a demo has at most: as many as there are ports for members by default.
pub(super) const NODES_MAX: u16 = 20;

/// Runs `nodes` nodes with HTTP ports from `port` up, until a signal.
pub(super) fn demo(nodes: u16, port: u16) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("the demo cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(nodes, port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            problems.iter().for_each(complain);
            ExitCode::FAILURE
        }
    }
}

async fn run(nodes: u16, port: u16) -> Result<(), Vec<String>> {
    let ports = check_ports(nodes, port)?;
    let one = |error: &dyn std::error::Error| vec![chain(error)];
    let mut signals = Signals::listen().map_err(|error| one(&error))?;
    let place = Place::make(&ports).map_err(|error| one(&error))?;
    let mut children = Vec::new();
    for base in place.bases() {
        children.push(Child::start(base).map_err(|error| one(&error))?);
    }
    say(format_args!(
        "Starting {nodes} nodes; their logs are in {} ...",
        place.path().display()
    ));
    let all_ready = try_join_all(children.iter_mut().map(|child| child.ready(nodes - 1)));
    let started = tokio::select! {
        started = timeout(START_PATIENCE, all_ready) => started.unwrap_or_else(|_| {
            Err(format!(
                "the nodes did not find each other within {} seconds; multicast over the loopback \
                 interface may be off here: see the logs in {}",
                START_PATIENCE.as_secs(),
                place.keep().display()
            ))
        }),
        _ = signals.next() => {
            end(children, &mut signals).await;
            return Ok(());
        }
    };
    if let Err(problem) = started {
        end(children, &mut signals).await;
        return Err(vec![problem]);
    }
    say(guide::text(&children, &place));
    watch(&mut children, &mut signals).await;
    say("Ending all nodes ...");
    end(children, &mut signals).await;
    Ok(())
}

/// How long all nodes may take to find each other.
const START_PATIENCE: Duration = Duration::from_secs(30);

fn check_ports(nodes: u16, port: u16) -> Result<Vec<u16>, Vec<String>> {
    let Some(end) = port.checked_add(nodes) else {
        return Err(vec![format!("there are no {nodes} ports from {port} up")]);
    };
    let held: Vec<_> = (port..end)
        .map(|port| Held::hold(([127, 0, 0, 1], port).into()))
        .collect();
    let mut taken: Vec<String> = held
        .iter()
        .filter_map(|held| held.as_ref().err().map(|error| chain(error)))
        .collect();
    if taken.is_empty() {
        return Ok((port..end).collect());
    }
    taken.push(format!(
        "or begin at another port: catherd demo --port {}",
        end.max(9080)
    ));
    Err(taken)
}

/// Says which nodes end, until a signal comes or none is left.
async fn watch(children: &mut [Child], signals: &mut Signals) {
    loop {
        let running: Vec<_> = children
            .iter_mut()
            .filter(|child| child.is_running())
            .collect();
        if running.is_empty() {
            say("No node is left.");
            return;
        }
        let ended = select_all(running.into_iter().map(|child| Box::pin(child.ended())));
        tokio::select! {
            (said, _, _) = ended => say(said),
            _ = signals.next() => return,
        }
    }
}

/// Lets all nodes leave; a signal more kills those that have not.
async fn end(children: Vec<Child>, signals: &mut Signals) {
    tokio::select! {
        _ = join_all(children.into_iter().map(Child::end)) => {}
        _ = signals.next() => {}
    }
}
