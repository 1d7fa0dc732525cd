//! Configuration, view, effects and events of the membership.

use std::net::SocketAddr;
use std::time::Duration;

use crate::message::{Heartbeat, MemberState, Refusal};
use crate::version::Incarnation;

/// What holds for all members alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MembershipConfig {
    /// The cluster's id; members of another are not heard.
    pub cluster: String,
    /// How often a member says that it is there (`mcastFrequency`).
    pub frequency: Duration,
    /// After which silence a member is suspect (`mcastDropTime`); at least twice the frequency.
    pub drop_time: Duration,
    /// How long a member that was declared gone counts as missing.
    pub missing_for: Duration,
    /// How many other processes are known at most, members or not.
    pub members_max: usize,
    /// A digest of the settings that must agree within a cluster.
    pub settings: u64,
}

/// This process, as the others are to know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Myself {
    /// Its name: its `jvmRoute`.
    pub name: String,
    /// The process.
    pub incarnation: Incarnation,
    /// Where its listener is.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
}

/// The members with a hello in both directions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// This process.
    pub myself: Myself,
    /// How far this process has come.
    pub state: MemberState,
    /// The others, sorted by incarnation.
    pub members: Vec<Member>,
}

/// Another member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The process.
    pub incarnation: Incarnation,
    /// Its name.
    pub name: String,
    /// Where its listener is.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// How far it has come.
    pub state: MemberState,
    /// Whether a probe is deciding about it.
    pub suspect: bool,
}

/// Which of the two connections between two members.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The one that this node opened.
    Outgoing,
    /// The one that the member opened.
    Incoming,
}

/// Why a connection to a member could not be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectFailure {
    /// Nobody listens there, or nobody answered in time.
    Unreachable,
    /// The hello was refused.
    Refused(Refusal),
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Send this to the group.
    SendHeartbeat(Heartbeat),
    /// Open a connection, say [`hello_for`](super::Membership::hello_for), and report a welcome or
    /// a failure.
    Connect {
        /// Whom to expect there.
        incarnation: Incarnation,
        /// Its name.
        name: String,
        /// Where.
        address: SocketAddr,
    },
    /// Ask whether the process answers, and report it.
    Probe {
        /// Whom to expect there.
        incarnation: Incarnation,
        /// Where.
        address: SocketAddr,
    },
    /// Close every connection with this process. Nothing that it sent is read from now on.
    Disconnect {
        /// The process.
        incarnation: Incarnation,
    },
    /// Tell people.
    Event(MemberEvent),
}

/// Something happened to a member.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// It is in the view.
    Added {
        /// Its name.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
    /// It has its state.
    Ready {
        /// Its name.
        name: String,
    },
    /// A probe decides.
    Suspect {
        /// Its name.
        name: String,
        /// What made it suspect.
        why: SuspectWhy,
    },
    /// It is out of the view.
    Gone {
        /// Its name.
        name: String,
        /// Why.
        why: GoneWhy,
    },
    /// A hello was refused, here (`by_us`) or there.
    Refused {
        /// The other's name.
        name: String,
        /// Where it listens.
        address: SocketAddr,
        /// Why.
        refusal: Refusal,
        /// Whether it was this node that refused.
        by_us: bool,
    },
    /// Another live process has this name; the one that was there first stays.
    NameTaken {
        /// The name.
        name: String,
        /// Where the second one listens.
        address: SocketAddr,
    },
    /// Nobody was heard for two heartbeats after the start.
    Alone,
}

/// What made a member suspect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SuspectWhy {
    /// No heartbeat for the drop time.
    Silent,
    /// A connection with it broke.
    LinkLost,
    /// Another process has its name.
    Rival,
    /// It is late with a heartbeat, and another member was just found gone.
    Late,
}

/// Why a member is out of the view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GoneWhy {
    /// It did not answer a probe.
    ProbeFailed,
    /// It said goodbye.
    Goodbye,
    /// Another process has taken its place.
    NewIncarnation,
}
