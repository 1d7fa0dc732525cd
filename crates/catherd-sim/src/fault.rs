//! What can go wrong, and when: plain data, the same for every engine.

use std::fmt;
use std::time::Duration;

use catherd::env::Place;

/// The number of a node: its place in the cluster, whatever process runs there.
pub type Node = usize;

/// One thing that goes wrong, or is put right.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process ends without a word.
    Crash(Node),
    /// The process ends when it next comes to this place.
    CrashAt(Node, Place),
    /// The process is stopped when it next comes to this place, until [`Fault::Resume`].
    StopAt(Node, Place),
    /// A new process starts, if none runs.
    Start(Node),
    /// The process is asked to stop, and says goodbye.
    Leave(Node),
    /// The process neither runs nor reads nor writes; its clocks go on.
    Pause(Node),
    /// A paused process goes on.
    Resume(Node),
    /// The machine stands still with its clocks, as one that is saved and restored.
    Freeze(Node),
    /// A frozen machine goes on; for it no time has passed.
    Thaw(Node),
    /// The machine is saved, with all that is in its memory. Only the engine of cores does this.
    Save(Node),
    /// The machine is put back to what was saved: it has forgotten what came since, and its time of
    /// day goes on. Not while it is cut off from anybody, for nobody could tell it.
    PutBack(Node),
    /// Nothing passes between two nodes: streams stall, datagrams are lost.
    Part(Node, Node),
    /// Nothing passes from the first to the second.
    PartOneWay(Node, Node),
    /// Everything between two nodes waits.
    Hold(Node, Node),
    /// Both directions are open again.
    Join(Node, Node),
    /// All connections between two nodes are reset.
    Reset(Node, Node),
    /// All ways between nodes are like this from now on.
    Ways(Way),
    /// One way is like this from now on.
    OneWay(Node, Node, Way),
    /// The time of day on a node jumps by so many seconds.
    Clock(Node, i64),
    /// The network is whole and perfect, and every process runs but those on these nodes, which are
    /// gone for good. The last fault of every schedule.
    Mend(Vec<Node>),
}

impl Fault {
    /// Whether something goes wrong with it, and is not put right or prepared.
    pub fn is_harm(&self) -> bool {
        match self {
            Self::Crash(_)
            | Self::CrashAt(..)
            | Self::StopAt(..)
            | Self::Leave(_)
            | Self::Pause(_)
            | Self::Freeze(_)
            | Self::PutBack(_)
            | Self::Part(..)
            | Self::PartOneWay(..)
            | Self::Hold(..)
            | Self::Reset(..)
            | Self::Clock(..) => true,
            Self::Ways(way) | Self::OneWay(_, _, way) => *way != Way::default(),
            Self::Start(_)
            | Self::Resume(_)
            | Self::Thaw(_)
            | Self::Save(_)
            | Self::Join(..)
            | Self::Mend(_) => false,
        }
    }
}

/// What a way between two nodes is like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Way {
    /// How long everything takes at least.
    pub latency: Duration,
    /// How much longer it takes at most.
    pub jitter: Duration,
    /// Datagrams that are lost, of a hundred.
    pub loss: u32,
    /// Datagrams that arrive twice, of a hundred of the others.
    pub duplication: u32,
    /// What it carries; `None` for no limit.
    pub bytes_per_second: Option<u64>,
}

/// Faults with their times since the beginning of the run, in order.
pub type Schedule = Vec<(Duration, Fault)>;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(node) => write!(f, "n{node} crashes"),
            Self::CrashAt(node, place) => write!(f, "n{node} is to crash at {place:?}"),
            Self::StopAt(node, place) => write!(f, "n{node} is to stop at {place:?}"),
            Self::Start(node) => write!(f, "n{node} starts"),
            Self::Leave(node) => write!(f, "n{node} is asked to leave"),
            Self::Pause(node) => write!(f, "n{node} is paused"),
            Self::Resume(node) => write!(f, "n{node} goes on"),
            Self::Freeze(node) => write!(f, "n{node} is frozen, with its clocks"),
            Self::Thaw(node) => write!(f, "n{node} thaws"),
            Self::Save(node) => write!(f, "n{node} is saved"),
            Self::PutBack(node) => write!(f, "n{node} is put back in time"),
            Self::Part(a, b) => write!(f, "n{a} and n{b} are parted"),
            Self::PartOneWay(from, to) => write!(f, "nothing passes from n{from} to n{to}"),
            Self::Hold(a, b) => write!(f, "what passes between n{a} and n{b} is held"),
            Self::Join(a, b) => write!(f, "n{a} and n{b} are joined again"),
            Self::Reset(a, b) => write!(f, "connections between n{a} and n{b} are reset"),
            Self::Ways(way) => write!(f, "all ways: {way}"),
            Self::OneWay(from, to, way) => write!(f, "the way from n{from} to n{to}: {way}"),
            Self::Clock(node, by) => write!(f, "the time of day on n{node} jumps by {by} s"),
            Self::Mend(but) if but.is_empty() => f.write_str("everything is mended"),
            Self::Mend(but) => write!(f, "everything is mended but the nodes {but:?}"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            latency,
            jitter,
            loss,
            duplication,
            bytes_per_second,
        } = self;
        write!(
            f,
            "{latency:?} + {jitter:?}, {loss} % lost, {duplication} % doubled"
        )?;
        match bytes_per_second {
            Some(rate) => write!(f, ", {rate} bytes/s"),
            None => Ok(()),
        }
    }
}
