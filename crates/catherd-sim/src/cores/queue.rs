//! What is to happen, by time: the only order in a run.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use catherd::core::message::Heartbeat;

use crate::fault::Node;
use crate::history::Process;

/// The number of a connection.
pub(super) type ConnId = u64;

/// One side of a connection: the one that opened it, or the other.
pub(super) type Side = usize;

/// Who opened a connection.
pub(super) const OPENER: Side = 0;
/// Who accepted it.
pub(super) const ACCEPTOR: Side = 1;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The fault with this place in the schedule.
    Fault(usize),
    /// A process starts at a place, at the beginning.
    Start(Node),
    /// A datagram arrives.
    Datagram(Process, Rc<Heartbeat>),
    /// Bytes, or the end of them, arrive at a side of a connection.
    Arrives(ConnId, Side),
    /// A process looks at its deadlines.
    Timer(Process),
    /// The same, and its tasks look at theirs.
    Alarm(Process),
    /// A connection is cut off at both ends.
    Cut(ConnId),
    /// A place that was armed at a process is disarmed.
    Disarm(Process),
    /// A task that belongs to no process looks again.
    Wake(usize),
    /// The balancer looks who is healthy.
    Health,
    /// Caps are looked at, and who is equal.
    Bounds,
    /// A process ended so long ago that nobody may have it in view.
    Forgotten(Process, u64),
}

/// Events, the earliest first; of one instant, in the order in which they were filed.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Filed>,
    filed: u64,
}

#[derive(Debug)]
struct Filed {
    /// In nanoseconds.
    at: u64,
    order: u64,
    event: Event,
}

impl Queue {
    pub(super) fn push(&mut self, at: Duration, event: Event) {
        self.filed += 1;
        let order = self.filed;
        let at = at.as_secs() * 1_000_000_000 + u64::from(at.subsec_nanos());
        self.heap.push(Filed { at, order, event });
    }

    pub(super) fn pop(&mut self) -> Option<(Duration, Event)> {
        let filed = self.heap.pop()?;
        Some((Duration::from_nanos(filed.at), filed.event))
    }
}

impl Ord for Filed {
    /// Reversed, since the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Filed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Filed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Filed {}
