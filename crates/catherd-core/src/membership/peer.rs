//! What is known of another process.

use std::net::SocketAddr;
use std::time::Duration;

use super::types::{Member, SuspectWhy};
use crate::message::MemberState;
use crate::time::Time;
use crate::version::Incarnation;

/// Another process, member or not.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) domain: String,
    pub(super) state: MemberState,
    /// The highest heartbeat counter heard; 0 before the first.
    pub(super) counter_heard: u64,
    /// When it last gave a sign of life: a heartbeat, a hello, an answer to a probe.
    pub(super) heard: Time,
    pub(super) outgoing: Outgoing,
    /// When the outgoing connection was last welcomed.
    pub(super) opened: Time,
    pub(super) incoming: bool,
    /// `in_view` only after `outgoing` was open and `incoming` true at once; a connection that
    /// breaks later does not end it.
    pub(super) in_view: bool,
    pub(super) probe: Probe,
    /// Another process that claims the name.
    pub(super) rival: Option<(Incarnation, SocketAddr)>,
    /// How often connecting has failed since it last worked.
    pub(super) failures: u32,
    /// A refusal was told once; it stays until something changes.
    pub(super) refusal_told: bool,
}

/// The connection that this node opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outgoing {
    /// To be opened at this time.
    Closed { retry_at: Time },
    /// Being opened.
    Connecting,
    /// Welcomed.
    Open,
}

/// The question whether the process answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Probe {
    /// Nobody doubts it.
    Unasked,
    /// To be answered by then.
    Asked { by: Time, why: SuspectWhy },
    /// Not answered: gone as soon as those that were asked with it are decided.
    Failed,
}

impl Peer {
    pub(super) fn new(name: &str, address: SocketAddr, domain: &str, now: Time) -> Self {
        Self {
            name: name.to_owned(),
            address,
            domain: domain.to_owned(),
            state: MemberState::Joining,
            counter_heard: 0,
            heard: now,
            outgoing: Outgoing::Closed { retry_at: now },
            opened: now,
            incoming: false,
            in_view: false,
            probe: Probe::Unasked,
            rival: None,
            failures: 0,
            refusal_told: false,
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self.probe, Probe::Asked { .. })
    }

    pub(super) fn silence(&self, now: Time) -> Duration {
        now.since(self.heard)
    }

    pub(super) fn to_member(&self, incarnation: Incarnation) -> Member {
        Member {
            incarnation,
            name: self.name.clone(),
            address: self.address,
            domain: self.domain.clone(),
            state: self.state,
            suspect: self.probe != Probe::Unasked,
        }
    }
}
