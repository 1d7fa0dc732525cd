//! Who is a member: heartbeats, hellos, probes, the view.
//!
//! **A member is in the view after a hello in both directions, and only then; it leaves the view
//! only by a failed probe, a goodbye, or a changed incarnation.** The page of the algorithm is
//! docs/membership.md.
//!
//! HOW-TO, "Membership": members multicast heartbeats, and a node that has not been heard from
//! within a given time frame is considered dead. Here it is only suspect: a probe decides. A lost
//! datagram costs a question instead of a member, and a crash that resets its connections is
//! noticed at once instead of after the drop time.
//!
//! [`Membership`] is a state machine without sockets, tasks or a clock: the caller feeds it what
//! arrives and the time, and drains what it wants done.

mod clock;
mod config;
mod connect;
mod counters;
mod effect;
mod goodbye;
mod heartbeat;
mod machine;
mod missing;
mod names;
mod peer;
mod probe;
mod pulse;
mod view;

#[cfg(test)]
mod tests;

pub use config::{MembershipConfig, Myself};
pub use counters::MembershipCounters;
pub use effect::{
    ConnectFailure, Direction, Effect, GoneCause, MemberEvent, MemberName, SuspectCause,
};
pub use machine::{Membership, Met};
pub use missing::{Absence, MissingMember};
pub use pulse::Pulse;
pub use view::{Member, View};
