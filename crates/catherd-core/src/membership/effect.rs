//! What membership wants done, and what it tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::message::{Heartbeat, Refusal};
use crate::time::Time;
use crate::version::Incarnation;

/// Something for the caller to do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Send this to the group.
    SendHeartbeat(Heartbeat),
    /// Send this to the group, unless its datagram is longer than the one that was just handled:
    /// a datagram never triggers a larger one. Leaving it out is harmless, a hello is under way.
    AnswerHeartbeat(Heartbeat),
    /// Open the outgoing half to this member: connect, send
    /// [`Membership::hello_for`](super::Membership::hello_for), report
    /// [`handle_welcome`](super::Membership::handle_welcome) or
    /// [`handle_connect_failed`](super::Membership::handle_connect_failed). Whatever an earlier
    /// attempt for the same incarnation still does is given up.
    Connect {
        /// Whom to expect there.
        incarnation: Incarnation,
        /// Its name.
        name: String,
        /// Where its listener is.
        address: SocketAddr,
    },
    /// Ask whether the process answers: connect, hello, answer, over a connection of its own;
    /// then [`handle_probe`](super::Membership::handle_probe). After `deadline` there is nothing
    /// to report any more.
    Probe {
        /// Whom to expect there.
        incarnation: Incarnation,
        /// Where its listener is.
        address: SocketAddr,
        /// When the probe counts as failed.
        deadline: Time,
    },
    /// Close all connections with this incarnation, in both directions, read nothing from them
    /// any more, give up attempts under way, and report none of it.
    Disconnect {
        /// Whose connections.
        incarnation: Incarnation,
    },
    /// Tell this member over the outgoing half that this node is ready. May come twice.
    SendReady {
        /// Whom to tell.
        incarnation: Incarnation,
    },
    /// Tell this member over the outgoing half that this node leaves.
    SendGoodbye {
        /// Whom to tell.
        incarnation: Incarnation,
    },
    /// This node was put back in time, or its clock stood still for more than an hour: empty the
    /// tables, draw a new incarnation, and
    /// [say so](super::Membership::handle_new_incarnation) before anything else happens.
    PutBack,
    /// Tell whoever wants to know.
    Event(MemberEvent),
}

/// A process, as people and the protocol know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberName {
    /// The node's name.
    pub name: String,
    /// The process.
    pub incarnation: Incarnation,
    /// Where its listener is.
    pub address: SocketAddr,
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({} at {})",
            self.name, self.incarnation, self.address
        )
    }
}

/// What happened. The text of [`Display`](fmt::Display) is for logs, with the remedy where there
/// is one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// Somebody unknown was heard, by a heartbeat or a hello.
    Heard(MemberName),
    /// In the view: there was a hello in both directions.
    Added(MemberName),
    /// The member has its state: from now on it is waited for.
    Ready(MemberName),
    /// A member that was ready is joining again.
    Joining(MemberName),
    /// A half of the link to a member in view was opened again: its copies must be compared.
    Reopened(MemberName, Direction),
    /// A probe is under way that will decide.
    Suspect(MemberName, SuspectCause),
    /// A member that was suspect lives.
    Trusted(MemberName),
    /// Out of the view.
    Gone(MemberName, GoneCause),
    /// The other refused our hello. Told once until the reason changes.
    Refused(MemberName, Refusal),
    /// A second living process has the name of a member: it is refused while the first lives.
    NameTaken {
        /// Who has the name and answered a probe.
        holder: MemberName,
        /// Who is refused.
        refused: MemberName,
    },
    /// Another living process has this node's own name.
    OurNameTaken(MemberName),
    /// The settings of this member, which must agree, are not ours.
    SettingsDiffer(MemberName),
    /// The wall clock of this member is so many milliseconds ahead of this node's; behind, if
    /// negative. Told once until they agree again.
    ClockDiffers(MemberName, i64),
    /// As many are known as may be; this one was turned away. Told once until there is room.
    Full(MemberName),
    /// Nobody was heard for two heartbeats.
    Alone,
    /// This node was stopped for so long that the others may have taken it for dead: it joins
    /// again before it serves anybody.
    Paused(Duration),
    /// This node was put back in time, or its clock stood still: it forgets what it holds, and
    /// joins as a new process.
    PutBack,
}

/// Seen from this node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// The half that this node opened: it carries what this node sends.
    Outgoing,
    /// The half that the other opened.
    Incoming,
}

/// Why a member is suspect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SuspectCause {
    /// No heartbeat for the drop time.
    Silent,
    /// A connection was reset, closed, could not be opened, or brought what it must not bring.
    LinkLost,
    /// It is late with a heartbeat while another's probe failed.
    Late,
    /// Another process says that it has the same name.
    NameContended,
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GoneCause {
    /// It did not answer a probe. From now on it is missing.
    ProbeFailed,
    /// It said so.
    Goodbye,
    /// A new process has its name, and it answered no probe.
    NewIncarnation,
}

/// Why a connect or a probe came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The host answers, the process does not: refused by the kernel, or reset.
    Reset,
    /// No way there, closed without an answer to the hello, or anything else.
    Unreachable,
    /// The process answered the hello with a refusal.
    Refused(Refusal),
}

impl fmt::Display for MemberEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard(who) => write!(f, "heard of {who}"),
            Self::Added(who) => write!(f, "member {who}"),
            Self::Ready(who) => write!(f, "member {who} is ready"),
            Self::Joining(who) => write!(f, "member {who} is joining again"),
            Self::Reopened(who, Direction::Outgoing) => write!(f, "link to {who} opened again"),
            Self::Reopened(who, Direction::Incoming) => write!(f, "link from {who} opened again"),
            Self::Suspect(who, cause) => write!(f, "member {who} is suspect: {cause}"),
            Self::Trusted(who) => write!(f, "member {who} lives"),
            Self::Gone(who, cause) => write!(f, "member {who} is gone: {cause}"),
            Self::Refused(who, refusal) => {
                write!(f, "{who} refuses this node: {}", remedy(*refusal))
            }
            Self::NameTaken { holder, refused } => write!(
                f,
                "{refused} is refused, its name belongs to {holder}, which lives: give one of \
                 them another jvmRoute"
            ),
            Self::OurNameTaken(who) => write!(
                f,
                "{who} has this node's name: give one of the two another jvmRoute and restart it"
            ),
            Self::SettingsDiffer(who) => write!(
                f,
                "the settings of {who} differ from this node's where they must agree: compare \
                 the Cluster elements of both"
            ),
            Self::ClockDiffers(who, ahead_ms) => write!(
                f,
                "the clock of {who} is {} s {} this node's: sessions do not depend on it, times \
                 in logs do; make sure that all nodes have the same time",
                ahead_ms.unsigned_abs() / 1000,
                if *ahead_ms < 0 { "behind" } else { "ahead of" },
            ),
            Self::Full(who) => {
                write!(
                    f,
                    "{who} is turned away, there are as many members as may be"
                )
            }
            Self::Alone => f.write_str(
                "alone: no other member was heard for two heartbeats; if there should be some, \
                 multicast may be blocked between the hosts",
            ),
            Self::Paused(pause) => write!(
                f,
                "this node was stopped for {pause:.1?}, or its wall clock was set: it joins again"
            ),
            Self::PutBack => f.write_str(
                "this node was put back in time, or its clock stood still: it forgets its \
                 sessions and joins as a new process",
            ),
        }
    }
}

impl fmt::Display for SuspectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "no heartbeat for the drop time",
            Self::LinkLost => "a connection was lost",
            Self::Late => "late with a heartbeat while another member failed",
            Self::NameContended => "another process has its name",
        })
    }
}

impl fmt::Display for GoneCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProbeFailed => "it did not answer a probe",
            Self::Goodbye => "it said goodbye",
            Self::NewIncarnation => "a new process has its name",
        })
    }
}

/// What a refusal means for the operator of the node that was refused.
fn remedy(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::OtherCluster => "it has another clusterId or key",
        Refusal::NoCommonProtocol => "no common protocol version; upgrade the older of the two",
        Refusal::NameTaken => {
            "another living process has this node's name; give one of the two another jvmRoute"
        }
        Refusal::OtherIncarnation => "another process is at that address by now",
        Refusal::Myself => "the address is this node's own",
        Refusal::Leaving => "it is leaving",
        Refusal::Full => "it has as many members as may be",
        Refusal::NotLinked => "it has no open link to add a connection to",
        Refusal::Unknown => "for a reason that this release does not know",
    }
}
