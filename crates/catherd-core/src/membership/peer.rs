//! What is known of another process, member or not.

use std::net::SocketAddr;

use super::clock::Clock;
use super::effect::{MemberName, SuspectCause};
use super::view::Member;
use crate::message::{Heartbeat, Hello, MemberState, Refusal};
use crate::time::Time;
use crate::version::Incarnation;

/// Another process of the cluster: a candidate, until it is in the view.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) who: MemberName,
    pub(super) domain: String,
    pub(super) state: MemberState,
    /// The highest heartbeat counter heard; 0 for none.
    pub(super) counter: u64,
    /// When a heartbeat was heard last.
    pub(super) heard_at: Option<Time>,
    /// What was heard of it before it was lost, and when: what it is told when it comes back, though
    /// its heartbeats have come back before.
    pub(super) before: Option<(u64, Time)>,
    /// Whom it heard, by its last heartbeat.
    pub(super) hears: Vec<Incarnation>,
    /// The last sign of life of any kind; `heard_at <= alive_at`.
    pub(super) alive_at: Time,
    /// It has answered over TCP; before that, any sender of datagrams may have made it up.
    pub(super) is_verified: bool,
    pub(super) outgoing: Outgoing,
    /// How many connects in a row failed.
    pub(super) failures: u32,
    /// Whether the half that it opened is open.
    pub(super) incoming: bool,
    /// `incoming` and `outgoing` were open at once, and it was not gone since.
    pub(super) is_in_view: bool,
    /// It was in the view before this node was stopped, and was not met since.
    pub(super) was_in_view: bool,
    pub(super) probe: Option<Probe>,
    /// Another process that says to have the same name; one at a time.
    pub(super) contender: Option<Contender>,
    /// The last refusal of our hellos, and how often it came in a row.
    pub(super) refused: Option<(Refusal, u32)>,
    pub(super) is_settings_difference_told: bool,
    pub(super) clock: Clock,
}

/// The half that this node opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outgoing {
    Closed { retry_at: Time },
    Connecting { deadline: Time },
    Open { since: Time },
}

/// A question under way, or its bad answer, which waits for those of others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) cause: SuspectCause,
    pub(super) deadline: Time,
    /// A heartbeat came since the question was asked.
    pub(super) is_heard_since: bool,
    pub(super) failed: Option<Failed>,
}

/// A probe that failed; the member is declared gone together with others that fail by `until`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) until: Time,
    /// The kernel or another process answered: the process has ended, not only fallen silent.
    pub(super) has_ended: bool,
}

/// A second process with the name of a peer.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) who: MemberName,
    pub(super) domain: String,
    pub(super) state: MemberState,
    pub(super) counter: u64,
    pub(super) heard_at: Time,
    /// It came over TCP.
    pub(super) is_verified: bool,
    /// The first answered a probe: this one is refused while the first lives.
    pub(super) is_refused: bool,
}

/// What is left of a process that was known: enough to tell an old datagram from a return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retired {
    pub(super) counter: u64,
    pub(super) heard_at: Option<Time>,
    pub(super) at: Time,
    pub(super) reason: RetiredReason,
}

/// Whether a process that was known may come back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RetiredReason {
    /// It could not be reached: it is welcome again.
    Lost,
    /// The same, and the operator says that it will not come back, though others may miss it.
    Forgotten,
    /// A new process has its name: its last datagrams may still be under way.
    Replaced,
    /// It said goodbye: it has ended.
    Left,
}

impl Peer {
    pub(super) fn new(contender: Contender, before: Option<Retired>, now: Time) -> Self {
        let heard_at = (contender.counter > 0).then_some(contender.heard_at);
        let before_counter = before.map_or(0, |before| before.counter);
        Self {
            who: contender.who,
            domain: contender.domain,
            state: contender.state,
            counter: contender.counter.max(before_counter),
            heard_at: heard_at.or(before.and_then(|before| before.heard_at)),
            before: before.and_then(|before| Some((before.counter, before.heard_at?))),
            hears: Vec::new(),
            alive_at: now,
            is_verified: contender.is_verified,
            outgoing: Outgoing::Closed { retry_at: now },
            failures: 0,
            incoming: false,
            is_in_view: false,
            was_in_view: false,
            probe: None,
            contender: None,
            refused: None,
            is_settings_difference_told: false,
            clock: Clock::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.incoming || self.is_outgoing_open()
    }

    pub(super) fn is_outgoing_open(&self) -> bool {
        matches!(self.outgoing, Outgoing::Open { .. })
    }

    /// Whether a probe has failed that waits for others.
    pub(super) fn has_failed(&self) -> bool {
        self.probe.is_some_and(|probe| probe.failed.is_some())
    }

    /// Whether a probe has not been decided.
    pub(super) fn is_probed(&self) -> bool {
        self.probe.is_some_and(|probe| probe.failed.is_none())
    }

    pub(super) fn to_member(&self) -> Member {
        Member {
            incarnation: self.who.incarnation,
            name: self.who.name.clone(),
            address: self.who.address,
            domain: self.domain.clone(),
            state: self.state,
            is_suspect: self.probe.is_some(),
        }
    }
}

impl Contender {
    pub(super) fn from_heartbeat(heartbeat: &Heartbeat, now: Time) -> Self {
        Self {
            who: named(&heartbeat.name, heartbeat.incarnation, heartbeat.address),
            domain: heartbeat.domain.clone(),
            state: heartbeat.state,
            counter: heartbeat.counter,
            heard_at: now,
            is_verified: false,
            is_refused: false,
        }
    }

    pub(super) fn from_hello(hello: &Hello, now: Time) -> Self {
        Self {
            who: named(&hello.name, hello.incarnation, hello.address),
            domain: hello.domain.clone(),
            state: hello.state,
            counter: 0,
            heard_at: now,
            is_verified: true,
            is_refused: false,
        }
    }
}

fn named(name: &str, incarnation: Incarnation, address: SocketAddr) -> MemberName {
    MemberName {
        name: name.to_owned(),
        incarnation,
        address,
    }
}
