//! Who is a member: heartbeats, hellos, probes, the view.
//!
//! In the view after a hello in both directions, and only then; out of it only by a failed probe,
//! a goodbye, or a changed incarnation. HOW-TO, "Membership": a node that has not been heard from
//! within a given time frame is considered dead. Here it is only suspect, and a probe decides.
//!
//! | file | what it holds |
//! |---|---|
//! | `types` | configuration, view, effects, events |
//! | `peer` | what is known of another process |
//! | `machine` | the state machine: what comes in, what is to be done |
//!
//! The rules are in `docs/membership.md`.

mod machine;
mod peer;
mod types;

pub use machine::Membership;
pub use types::{
    ConnectFailure, Direction, Effect, GoneWhy, Member, MemberEvent, MembershipConfig, Myself,
    SuspectWhy, View,
};
