//! How the nodes of a cluster reach each other.
//!
//! | file | what it holds |
//! |---|---|
//! | `alone` | the channel of a node without a cluster |
//! | `tcp` | the channel of a cluster: its start, its end, and what is asked of it |
//! | `shared` | what its tasks share: the links to each member, the view |
//! | `driver` | the task that feeds the membership and does what it says |
//! | `heartbeats` | datagrams to and from the group |
//! | `pulse` | whether this node ran all the time, for requests to look at |
//! | `dial` | connections that this node opens |
//! | `accept` | connections that others open, up to their hello |
//! | `pool` | the links to one member |
//! | `load` | how much is on its way over them |
//! | `link` | a connection to a member: its queue, its acknowledgements |
//! | `questions` | what a member is asked over a link |
//! | `incoming` | a connection from a member: frames are applied and acknowledged |
//! | `answers` | what both ends answer |

mod accept;
mod alone;
mod answers;
mod dial;
mod driver;
mod heartbeats;
mod incoming;
mod link;
mod load;
mod pool;
mod pulse;
mod questions;
mod shared;
mod tcp;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use catherd_core::key::Key;
use catherd_core::link::{Applied, ContextId, Frame, FrameClass};
use catherd_core::membership::{self, Absence, Member};
use catherd_core::message::{Answer, MemberState, Message};
use catherd_core::placement::Placement;
use catherd_core::session::Fragment;
use catherd_core::sync::{Comparison, Stretch, Summaries};
use catherd_core::time::Time;
use catherd_core::version::{Incarnation, Vector};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub(crate) use alone::Alone;
pub use catherd_core::link::Outcome;
pub(crate) use link::KeepAlive;
pub(crate) use pool::PoolConfig;
pub(crate) use tcp::{TcpChannel, TcpConfig};

use crate::cluster::{Event, LinkStatus};

/// Carries fragments to members, and says who they are.
///
/// The product's own is TCP with multicast membership; others may speak the protocol of another
/// system (see [`ClusterBuilder::start_over`](crate::ClusterBuilder::start_over)). Nothing here
/// waits: what waits is polled, or is a future.
pub trait Channel: Debug + Send + Sync + 'static {
    /// The members at present.
    fn view(&self) -> Arc<View>;

    /// The members, and every change of them.
    fn watch(&self) -> watch::Receiver<Arc<View>>;

    /// Queues a frame for a member; keeps the order. Called under a session's lock.
    fn send(&self, now: Time, to: Incarnation, frame: Frame) -> Ticket;

    /// Hands what is queued to the operating system, as far as it goes. Called without any
    /// session's lock.
    fn flush(&self);

    /// What has become of a frame; wakes the task when that is settled.
    fn poll_acknowledged(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Outcome>;

    /// Asks a member for sessions.
    fn fetch(
        &self,
        from: Incarnation,
        fetch: Fetch,
        deadline: Time,
    ) -> BoxFuture<'static, Result<Fetched, Unanswered>>;

    /// Compares digests with a member: what is there under the keys of unequal buckets.
    fn compare(
        &self,
        with: Incarnation,
        context: String,
        comparison: Comparison,
        deadline: Time,
    ) -> BoxFuture<'static, Result<Summaries, Unanswered>>;

    /// Asks a member whether it uses sessions that are idle here: those that it uses.
    fn expire(
        &self,
        at: Incarnation,
        context: String,
        ages: Vec<(Key, Duration)>,
        deadline: Time,
    ) -> BoxFuture<'static, Result<Vec<(Key, Duration)>, Unanswered>>;

    /// Whether what is queued at about the same time comes to more than a frame, so that it is worth
    /// a moment to gather it before it is written.
    fn gathers(&self) -> bool {
        false
    }

    /// Sends a message that is not numbered to every member.
    fn tell_all(&self, message: &Message);

    /// What is on its way to a member.
    fn link_status(&self, to: Incarnation) -> LinkStatus;

    /// How many milliseconds the wall clock of a member is ahead of this node's; behind, if
    /// negative. `None` as long as it has not said.
    fn clock_ahead_ms(&self, _of: Incarnation) -> Option<i64> {
        None
    }

    /// What the channel counts, by name.
    fn counters(&self) -> std::collections::BTreeMap<String, u64>;

    /// A member that is missing will not come back.
    fn forget(&self, name: &str);

    /// This node has its state: from now on it is waited for. Without effect if it was stopped
    /// since `pauses` was the figure of its [`View`]: then it has to get its state again.
    fn become_ready(&self, pauses: u64);

    /// Whether this node has run all the time and has its state, so that requests need not wait.
    /// One that was never ready lets them through.
    fn is_current(&self) -> bool {
        true
    }

    /// Waits until that is so.
    fn current(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Waits until all that could be met at the start, or since a pause, has been met.
    fn met(&self) -> BoxFuture<'static, ()>;

    /// Empties the queues, for at most so long, says goodbye, and closes.
    fn leave(&self, within: Duration) -> BoxFuture<'static, ()>;

    /// Whether the channel has been left.
    fn is_closed(&self) -> bool;
}

/// What a channel hands to the sessions. Called from the tasks of the channel; never waits.
pub trait Delivery: Debug + Send + Sync + 'static {
    /// Merges the fragments of one frame, in one step; how that went, and at which key. `None` if
    /// the context is not here, and nothing was merged.
    fn apply(&self, context: &str, fragments: &[Fragment]) -> Option<(ContextId, Key, Applied)>;

    /// What is needed to fetch a session of which a write is missing here; `None` if none is.
    fn wanted(&self, context: ContextId, key: Key) -> Option<(String, Vector)>;

    /// The frame that answers a fetch: what is here of the sessions, and whether the node with the
    /// name `route` was ever in the view.
    fn answer(&self, question: u64, context: &str, wanted: &[(Key, Vector)], route: &str) -> Bytes;

    /// The frame that answers a fetch of everything in some buckets.
    fn answer_all(&self, question: u64, context: &str, stretch: &Stretch) -> Bytes;

    /// Answers a member that compares digests.
    fn compare(&self, from: Incarnation, context: &str, comparison: &Comparison) -> Summaries;

    /// How many requests this node has served so far: whether it has clients.
    fn requests(&self) -> u64 {
        0
    }

    /// Sessions were accessed at a member.
    fn touched(&self, at: Incarnation, context: &str, ages: &[(Key, Duration)]);

    /// Answers a member that asks whether sessions are used: those that are.
    fn used(
        &self,
        from: Incarnation,
        context: &str,
        ages: &[(Key, Duration)],
    ) -> Vec<(Key, Duration)>;

    /// Nobody uses these sessions: they are over; early ones ended to make room.
    fn expired(&self, context: &str, keys: &[Key], is_early: bool);

    /// The payload of a frame with all that has come to a session since a revision of this node.
    fn encode(&self, context: ContextId, key: Key, since: Option<u64>) -> Option<Bytes>;

    /// A member may lack something of this session: it needs repair there.
    fn marked(&self, at: Incarnation, context: ContextId, key: Key, class: FrameClass);

    /// After something was marked: the queue to this member has drained.
    fn link_free(&self, to: Incarnation);

    /// A write met a tombstone at this member: the session has ended, and not here yet.
    fn ended_at(&self, member: Incarnation, context: ContextId, key: Key);

    /// This node was put back in time: empties every table. The incarnation from now on.
    fn put_back(&self) -> Incarnation;

    /// A datagram was no heartbeat of this cluster.
    fn bad_datagram(&self);

    /// Something happened.
    fn happened(&self, event: Event);

    /// The largest session that a context allows, in bytes.
    fn session_bytes_max(&self) -> usize;
}

/// What a member is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// The context's name.
    pub context: String,
    /// What is wanted.
    pub wanted: Wanted,
}

/// Which sessions are wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// These.
    Sessions {
        /// Their keys, and which writes of each are here; at most 256.
        held: Vec<(Key, Vector)>,
        /// The route of the client's cookie, if its node is gone; else empty.
        route: String,
    },
    /// Everything of these buckets.
    Everything(Stretch),
}

/// What a member answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// One for each session, in the order of the question, as far as they fit.
    pub answers: Vec<Answer>,
    /// Of everything of some buckets: whether there is more.
    pub is_cut: bool,
    /// Whether it ever had the node of the route in its view.
    pub knew_route: bool,
}

/// Names a frame that was sent to a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    /// The connection, by the channel's own count; 0 for none.
    pub link: u64,
    /// The frame, by the link's own count.
    pub frame: catherd_core::link::Ticket,
}

/// Who is a member, as this node sees it, and what goes with that.
///
/// Dereferences to the view of the membership: `view.members`, `view.named("A")`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// This node, and those with a hello in both directions.
    pub who: Arc<membership::View>,
    /// Names of members that were declared gone and have not said goodbye.
    pub missing: Vec<String>,
    /// Those of them that fell silent: nobody answered for them, so that their processes may go on
    /// elsewhere.
    pub silent: Vec<String>,
    /// Whether a member hears a process that this node has not met.
    pub is_any_unmet: bool,
    /// How many members this node has declared gone after a failed probe, so far.
    pub declared_gone: u32,
    /// How often a member has come into the view.
    pub arrivals: u32,
    /// How often this node had to join again because it was stopped or put back in time.
    pub pauses: u64,
    /// Whether this node is leaving.
    pub is_leaving: bool,
}

impl Deref for View {
    type Target = membership::View;

    fn deref(&self) -> &membership::View {
        &self.who
    }
}

impl View {
    /// The view of a node that has met nobody.
    pub fn alone(name: &str, incarnation: Incarnation) -> Self {
        let myself = Member {
            incarnation,
            name: name.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            domain: String::new(),
            state: MemberState::Joining,
            is_suspect: false,
        };
        Self {
            who: Arc::new(membership::View {
                myself,
                members: Vec::new(),
            }),
            missing: Vec::new(),
            silent: Vec::new(),
            is_any_unmet: false,
            declared_gone: 0,
            arrivals: 0,
            pauses: 0,
            is_leaving: false,
        }
    }

    /// Whether writers wait for this member.
    pub fn is_ready(&self, incarnation: Incarnation) -> bool {
        self.member(incarnation).is_some_and(Member::is_ready)
    }

    /// Whether this node has its state.
    pub fn am_ready(&self) -> bool {
        self.myself.is_ready()
    }

    /// Appends the others that hold a session of this node.
    pub fn holders(&self, placement: Placement, key: Key, out: &mut Vec<Incarnation>) {
        let myself = self.myself.incarnation;
        placement.holders(&key, myself, &self.who, out);
        out.retain(|&holder| holder != myself);
    }

    /// Who may not hear of an end that goes out now.
    pub fn absence(&self) -> Absence {
        Absence {
            is_any: self.is_any_missing() || self.is_any_unmet,
            declared_gone: self.declared_gone,
        }
    }

    /// Whether a member was declared gone and has not said goodbye.
    pub fn is_any_missing(&self) -> bool {
        !self.missing.is_empty()
    }
}

/// A member did not answer in time, or is not connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unanswered;

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the member did not answer in time")
    }
}

impl std::error::Error for Unanswered {}
