//! One stream of what happens on a node: logs, listeners and users are fed from it.

use catherd_core::membership::{GoneCause, MemberEvent};
use tokio::sync::broadcast;

use super::status::TransferStatus;

/// Something happened on this node. Sessions are named by a keyed hash, never by their key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Something about a member: heard, added, ready, suspect, gone.
    Member(MemberEvent),
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
    /// This node leaves, and a member has not acknowledged in time what was meant for it; the other
    /// members may have it.
    Undelivered {
        /// Its name.
        name: String,
        /// How many frames, one or more.
        frames: u64,
    },
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
    /// Sessions that nobody used ended in one batch; each has an event of its own as well.
    SessionsExpired {
        /// The context's name.
        context: String,
        /// How many.
        count: u64,
    },
    /// As many sessions are here as may be (`maxActiveSessions`), and more were to be made; once a
    /// second. What ended early has an event of its own each as well.
    TableFull {
        /// The context's name.
        context: String,
        /// How many ended to make room: used once, and nobody logged in.
        ended: u64,
        /// How many were not made for want of such.
        refused: u64,
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
    /// State comes to this node, which is starting; once a second, and at the end.
    StateTransfer {
        /// The context's name.
        context: String,
        /// How far it is.
        transfer: TransferStatus,
    },
    /// A session whose node is gone is served here from now on.
    Takeover {
        /// The context's name.
        context: String,
        /// The session's keyed hash.
        session: u64,
        /// The route of the client's cookie.
        from: String,
        /// Whether what that node had confirmed is certainly here.
        is_complete: bool,
    },
    /// Sessions that differed were fetched from a member.
    Repaired {
        /// The context's name.
        context: String,
        /// The member's name.
        member: String,
        /// How many.
        sessions: u64,
    },
    /// A member sent a session of a context that is not replicated here. Each is dropped, and the
    /// member is told that there is no copy of it here.
    ContextMissing {
        /// The context's name, as the member says it.
        context: String,
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
    /// All sessions of its user were ended.
    LoggedOut,
    /// Nobody used it for its idle limit.
    Idle,
    /// It was as old as a session may become, however much it was used.
    Lifetime,
    /// It was used once, nobody was logged in, and the table was full.
    Early,
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
    /// Writes the event to the log, with a fixed message and fields; `left_out` is how many lines
    /// like it were not written before.
    pub(super) fn log(&self, node: &str, left_out: u64) {
        use tracing::{debug, error, info, warn};
        match self {
            Self::Member(event) => log_member(event, node, left_out),
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
            Self::Undelivered { name, frames } => {
                warn!(
                    node,
                    member = name,
                    frames,
                    "leaving although a member has not acknowledged all"
                );
            }
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
            Self::SessionsExpired { context, count } => {
                info!(node, context, count, "sessions expired");
            }
            Self::TableFull {
                context,
                ended,
                refused,
            } => warn!(
                node,
                context,
                ended,
                refused,
                left_out = some(left_out),
                "table full (maxActiveSessions); sessions used once make room, or new ones are \
                 refused"
            ),
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
            Self::StateTransfer { context, transfer } => log_transfer(transfer, node, context),
            Self::Takeover {
                context,
                session,
                from,
                is_complete,
            } => {
                let session = format!("{session:016x}");
                info!(
                    node,
                    context, session, from, is_complete, "session taken over"
                );
            }
            Self::Repaired {
                context,
                member,
                sessions,
            } => {
                info!(node, context, member, sessions, "sessions repaired");
            }
            Self::ContextMissing { context } => {
                warn!(
                    node,
                    context,
                    left_out = some(left_out),
                    "a member has a context that this node does not replicate"
                );
            }
            Self::BadConnection { from, why } => {
                warn!(
                    node,
                    from,
                    why,
                    left_out = some(left_out),
                    "connection closed because of what came over it"
                );
            }
        }
    }
}

fn log_member(event: &MemberEvent, node: &str, left_out: u64) {
    use tracing::{debug, error, info, warn};
    let left_out = some(left_out);
    match event {
        MemberEvent::Heard(who) => {
            debug!(node, member = who.name, address = %who.address, "member heard")
        }
        MemberEvent::Added(who) => {
            info!(node, member = who.name, address = %who.address, "member added")
        }
        MemberEvent::Ready(who) => info!(node, member = who.name, "member ready"),
        MemberEvent::Suspect(who, cause) => {
            warn!(node, member = who.name, why = %cause, "member suspect")
        }
        MemberEvent::Trusted(who) => info!(node, member = who.name, "member trusted"),
        MemberEvent::Gone(who, cause @ GoneCause::Goodbye) => {
            info!(node, member = who.name, why = %cause, "member gone")
        }
        MemberEvent::Gone(who, cause) => {
            warn!(node, member = who.name, why = %cause, "member gone")
        }
        MemberEvent::NameTaken { .. } | MemberEvent::OurNameTaken(_) => {
            error!(node, left_out, "{event}");
        }
        MemberEvent::ClockDiffers(who, ahead_ms) => {
            let ahead_seconds = ahead_ms / 1000;
            warn!(node, member = who.name, ahead_seconds, "{event}");
        }
        MemberEvent::Refused(..) | MemberEvent::SettingsDiffer(_) | MemberEvent::Full(_) => {
            warn!(node, left_out, "{event}");
        }
        MemberEvent::PutBack => error!(node, "{event}"),
        MemberEvent::Alone | MemberEvent::Paused(_) => warn!(node, "{event}"),
        _ => info!(node, "{event}"),
    }
}

fn log_transfer(transfer: &TransferStatus, node: &str, context: &str) {
    use tracing::{error, info};
    let TransferStatus {
        state,
        sessions,
        bytes,
        percent,
        sessions_per_second,
        seconds,
        ..
    } = transfer;
    let remaining = transfer.seconds_remaining;
    match *state {
        "timed out" => error!(
            node,
            context,
            sessions,
            bytes,
            percent,
            seconds,
            "no complete state in time (stateTransferTimeout); missing sessions are fetched when \
             they are asked for"
        ),
        "done" => info!(
            node,
            context, sessions, bytes, seconds, sessions_per_second, "state transfer done"
        ),
        _ => info!(
            node,
            context, sessions, bytes, percent, sessions_per_second, remaining, "state transfer"
        ),
    }
}

/// A field that is absent where there is nothing to say.
fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}
