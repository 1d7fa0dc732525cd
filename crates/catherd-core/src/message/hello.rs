//! What nodes say of themselves: heartbeats, hellos and their answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::version::Incarnation;

/// A heartbeat datagram is at most this long, so that it fits any path unfragmented.
pub const HEARTBEAT_BYTES_MAX: usize = 1200;

/// A heartbeat or a welcome names at most so many whom its sender hears.
pub const HEARD_MAX: usize = 64;

/// The versions of the protocol that a node speaks, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Protocols {
    /// The lowest.
    pub min: u32,
    /// The highest.
    pub max: u32,
}

impl Protocols {
    /// What this release speaks.
    pub const OURS: Self = Self { min: 1, max: 1 };

    /// The highest version that both speak.
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min && highest >= other.min).then_some(highest)
    }
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum MemberState {
    /// It has not its state yet: it gets fragments, and nobody waits for it.
    #[default]
    Joining,
    /// It has its state; writers wait for its acknowledgements.
    Ready,
}

/// "I am here": one datagram to the group, every `mcastFrequency`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heartbeat {
    /// The cluster's id; members of another are not heard.
    pub cluster: String,
    /// The node's name: its `jvmRoute`.
    pub name: String,
    /// The process.
    pub incarnation: Incarnation,
    /// Counts the heartbeats of the incarnation, from 1.
    pub counter: u64,
    /// Where its TCP listener is.
    pub address: SocketAddr,
    /// Its domain (`mcastClusterDomain`).
    pub domain: String,
    /// How far it has come.
    pub state: MemberState,
    /// What it speaks.
    pub protocols: Protocols,
    /// Whom it hears or misses: at most [`HEARD_MAX`]; from one who hears as many there
    /// may be more. In an answer to a heartbeat it may be empty all the same.
    pub heard: Vec<Incarnation>,
    /// Its wall clock, in milliseconds since the beginning of 1970 (UTC); `None` if it does not
    /// say. Nothing is ordered by it.
    pub wall_ms: Option<i64>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// It carries fragments to the member that was called.
    Link,
    /// It is one more socket of a link that is open (HOW-TO, "Cluster Configuration": `pooled`).
    Pooled,
    /// It asks only whether the process answers.
    Probe,
}

/// The first message of every connection, from whoever opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// What the caller speaks.
    pub protocols: Protocols,
    /// The cluster's id.
    pub cluster: String,
    /// The caller's name.
    pub name: String,
    /// The caller's process.
    pub incarnation: Incarnation,
    /// Where the caller's own listener is, to be called back.
    pub address: SocketAddr,
    /// The caller's domain.
    pub domain: String,
    /// How far the caller has come.
    pub state: MemberState,
    /// What the connection is for.
    pub purpose: Purpose,
    /// Whom the caller expects here, if it knows.
    pub to: Option<Incarnation>,
    /// The highest heartbeat counter that the caller heard of `to`; 0 for none.
    pub counter_heard: u64,
    /// How long ago the caller heard `to`.
    pub silence: Duration,
    /// A digest of the settings that must agree within a cluster.
    pub settings: u64,
}

/// The answer to a hello that was accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Welcome {
    /// The version that this connection speaks: the highest that both can.
    pub protocol: u32,
    /// The name of the node that answers.
    pub name: String,
    /// Its process.
    pub incarnation: Incarnation,
    /// How far it has come.
    pub state: MemberState,
    /// The highest heartbeat counter that it heard of the caller; 0 for none.
    pub counter_heard: u64,
    /// How long ago it heard the caller.
    pub silence: Duration,
    /// A digest of the settings that must agree within a cluster.
    pub settings: u64,
    /// Whom it hears or misses: as in a [`Heartbeat`].
    pub heard: Vec<Incarnation>,
}

/// Why a hello was not accepted.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller is of another cluster, or has another key.
    OtherCluster,
    /// There is no version of the protocol that both speak.
    NoCommonProtocol,
    /// Another live process has this name: routes must be unique.
    NameTaken,
    /// The caller expected another process here.
    OtherIncarnation,
    /// The caller has the incarnation of the node that it called.
    Myself,
    /// The node is leaving.
    Leaving,
    /// The node has as many members as it can hold.
    Full,
    /// One more socket of a link that is not open, or has as many as it can have.
    NotLinked,
    /// A reason that this release does not know.
    Unknown,
}
