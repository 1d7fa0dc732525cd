//! One stream of what happens on a node: logs, listeners and users are fed from it.

use std::net::SocketAddr;

use tokio::sync::broadcast;

/// Something happened on this node. Sessions are named by a keyed hash, never by their key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A member is in the view: a hello went in both directions.
    MemberAdded {
        /// Its name.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
    /// A member has its state, and is waited for.
    MemberReady {
        /// Its name.
        name: String,
    },
    /// A member is silent, or its connection broke; a probe decides.
    MemberSuspect {
        /// Its name.
        name: String,
        /// What made it suspect.
        why: String,
    },
    /// A member is out of the view.
    MemberGone {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A member did not acknowledge in time; it is not waited for until it does.
    MemberSlow {
        /// Its name.
        name: String,
    },
    /// A slow member acknowledges again.
    MemberRecovered {
        /// Its name.
        name: String,
    },
    /// A hello was refused, here or there.
    HelloRefused {
        /// The other's name, as far as known.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// Why, and what to do.
        why: String,
    },
    /// Another live process has the name of a member, or of this node.
    NameTaken {
        /// The name.
        name: String,
        /// Where the other one is.
        address: SocketAddr,
    },
    /// No other member was heard.
    Alone,
    /// This node has its state and is waited for.
    Ready,
    /// A session ended here.
    SessionDestroyed {
        /// The context's name.
        context: String,
        /// The session's keyed hash.
        session: u64,
        /// Why.
        why: SessionEnd,
    },
    /// Two nodes wrote the same registers without knowing of each other.
    Conflict {
        /// The context's name.
        context: String,
        /// The session's keyed hash.
        session: u64,
        /// How many registers.
        registers: u32,
    },
    /// Something that should never happen, and what it was.
    Alarm {
        /// The context's name.
        context: String,
        /// The session's keyed hash.
        session: u64,
        /// What happened.
        what: &'static str,
    },
    /// There were more tombstones than `maxTombstones`; the oldest were forgotten.
    TombstonesForgotten {
        /// The context's name.
        context: String,
        /// How many.
        count: u64,
    },
    /// A connection was closed because of what came over it.
    BadConnection {
        /// Who is at its other end.
        from: String,
        /// What came.
        why: String,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The application ended it.
    Invalidated,
    /// Nobody used it for its idle limit.
    Idle,
    /// The request that made it did not come to its end: no client has its key.
    Abandoned,
}

/// The stream of events of a node, from the moment of the call on.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    pub(super) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` when the node has stopped. Who reads too slowly misses the oldest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// How many events a slow reader may be behind before it misses the oldest.
pub(super) const BACKLOG: usize = 1024;

impl Event {
    /// Writes the event to the log, with a fixed message and fields.
    pub(super) fn log(&self, node: &str) {
        use tracing::{debug, error, info, warn};
        match self {
            Self::MemberAdded { name, address } => {
                info!(node, member = name, %address, "member added");
            }
            Self::MemberReady { name } => info!(node, member = name, "member ready"),
            Self::MemberSuspect { name, why } => {
                warn!(node, member = name, why, "member suspect");
            }
            Self::MemberGone { name, why } => warn!(node, member = name, why, "member gone"),
            Self::MemberSlow { name } => {
                warn!(
                    node,
                    member = name,
                    "member does not acknowledge; not waited for"
                );
            }
            Self::MemberRecovered { name } => {
                info!(node, member = name, "member acknowledges again");
            }
            Self::HelloRefused { name, address, why } => {
                warn!(node, member = name, %address, why, "hello refused");
            }
            Self::NameTaken { name, address } => error!(
                node,
                member = name,
                %address,
                "two live nodes have one name; give each its own jvmRoute"
            ),
            Self::Alone => warn!(node, "no other member heard"),
            Self::Ready => info!(node, "ready"),
            Self::SessionDestroyed {
                context,
                session,
                why,
            } => {
                debug!(
                    node,
                    context,
                    session = format!("{session:016x}"),
                    ?why,
                    "session ended"
                );
            }
            Self::Conflict {
                context,
                session,
                registers,
            } => info!(
                node,
                context,
                session = format!("{session:016x}"),
                registers,
                "concurrent writes; the higher version won"
            ),
            Self::Alarm {
                context,
                session,
                what,
            } => {
                error!(
                    node,
                    context,
                    session = format!("{session:016x}"),
                    what,
                    "alarm"
                );
            }
            Self::TombstonesForgotten { context, count } => {
                warn!(
                    node,
                    context, count, "tombstones forgotten; raise maxTombstones"
                );
            }
            Self::BadConnection { from, why } => {
                warn!(
                    node,
                    from, why, "connection closed because of what came over it"
                );
            }
        }
    }
}
