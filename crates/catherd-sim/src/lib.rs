//! The simulator: whole clusters in one thread, from one seed.
//!
//! A run is decided by a [`Plan`]: settings, load and faults, drawn from a seed or written as code.
//! An [`Engine`] makes it happen and gives back what clients did and saw; [`check`] reads that
//! against what the cluster promises. Neither the plan nor the checker knows the engine.
//!
//! | module | what it holds |
//! |---|---|
//! | `plan`, `draw`, `fault` | what is to happen: plain data, and how a seed draws it |
//! | `workload` | what a client asks for next, and what it keeps of the answer |
//! | `history` | what happened, as clients and the engine saw it |
//! | `user` | who logs in, and how a session says by which request |
//! | `check` | the promises, each against a history |
//! | `nodes` | the engine of whole nodes: real ones on a paused clock and a network in memory |
//! | `cores` | the engine of cores alone: an event queue, and assertions after every step |
//! | `transcript` | what people read of a run |
//! | `campaign` | many seeds on all processors |
//! | `planted` | rules that are left out, to see whether a seed finds it; a feature |
//!
//! ```
//! use catherd::Mode;
//! use catherd_sim::{Engine as _, Nodes, Plan, check};
//!
//! let mut plan = Plan::of(1, Mode::Synchronous);
//! plan.schedule.drain(..plan.schedule.len() - 1);
//! plan.schedule[0].0 = std::time::Duration::from_secs(20);
//! let run = Nodes::default().run(&plan);
//! assert_eq!(check(&plan, &run.history), []);
//! ```
#![forbid(unsafe_code)]

mod campaign;
mod check;
mod cores;
mod draw;
mod fault;
mod history;
mod nodes;
mod plan;
#[cfg(feature = "planted")]
pub mod planted;
mod random;
mod transcript;
mod user;
mod workload;

pub use campaign::{
    Failure, Kind, Report, campaign, replay_command, replay_command_of, run_plan, run_plan_of,
    run_seed, run_seed_of,
};
pub use check::{Violation, check};
pub use cores::Cores;
pub use fault::{Fault, Node, Schedule, Way};
pub use history::{
    Flags, Happened, History, Lag, Number, Operation, Outcome, Process, READER, Ran, Step, Subject,
    Wrote,
};
pub use nodes::Nodes;
pub use plan::{Load, Plan, Settings, mode_named, name_of};
pub use random::Random;
pub use user::{PRINCIPAL, User};

/// What makes a plan happen.
pub trait Engine {
    /// Runs a plan from its beginning to its end. Equal plans give equal runs, to the byte.
    fn run(&self, plan: &Plan) -> Run;
}

/// A plan that has happened.
#[derive(Clone, Debug)]
pub struct Run {
    /// What clients did and saw.
    pub history: History,
    /// What happened, a line each, with the simulated time in seconds.
    pub transcript: Vec<String>,
    /// How much time was simulated.
    pub simulated: std::time::Duration,
}
