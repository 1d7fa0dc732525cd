//! The four replication modes with real nodes: each keeps the whole promise of a cluster, and
//! differs in what a crash may take.
//!
//! HOW-TO, "Cluster Configuration". What a peer must be held for is tested on the network in
//! memory, in `crates/catherd/tests/modes.rs`.
#![forbid(unsafe_code)]

mod crash;
mod load;
mod story;
mod walk;

use std::thread;

use catherd_testkit::{Farm, Node, NodeBuilder};

/// A value of `replicationMode`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Synchronous,
    Pooled,
    Asynchronous,
    FastAsyncQueue,
}

const MODES: [Mode; 4] = [
    Mode::Synchronous,
    Mode::Pooled,
    Mode::Asynchronous,
    Mode::FastAsyncQueue,
];

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Pooled => "pooled",
            Self::Asynchronous => "asynchronous",
            Self::FastAsyncQueue => "fastasyncqueue",
        }
    }

    fn is_synchronous(self) -> bool {
        matches!(self, Self::Synchronous | Self::Pooled)
    }
}

/// Checks all modes side by side, each with nodes of its own: most of the time is waiting.
fn in_modes(modes: &[Mode], check: impl Fn(Mode) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        let running: Vec<_> = modes
            .iter()
            .map(|&mode| (mode, scope.spawn(move || check(mode))))
            .collect();
        let failed: Vec<_> = running
            .into_iter()
            .filter_map(|(mode, running)| running.join().err().map(|_| mode))
            .collect();
        assert!(failed.is_empty(), "what failed in {failed:?} stands above");
    });
}

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

/// The nodes A and B, which have met.
fn pair(farm: &Farm, mode: Mode, set: impl Fn(NodeBuilder) -> NodeBuilder) -> (Node, Node) {
    let start = |name| set(farm.node(name).replication_mode(mode.word())).start();
    let (a, b) = (start("A"), start("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    (a, b)
}
