//! The network: ways between places, and the connections over them.
//!
//! Bytes of a connection arrive in order, each as late as its way makes it; where a way is cut they
//! wait, and where a process is stopped they wait in its kernel, which takes so many and no more.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catherd::core::key::Key;
use catherd::core::link::{ContextId, Inbox};
use catherd::core::message::Purpose;
use catherd::core::version::{Incarnation, Vector};

use super::queue::{ConnId, Side};
use crate::fault::{Node, Way};
use crate::history::Process;
use crate::random::Random;

/// The ways between all places, and what is under way.
#[derive(Debug)]
pub(super) struct Network {
    usual: Way,
    special: BTreeMap<(Node, Node), Way>,
    cuts: BTreeMap<(Node, Node), Cut>,
    busy_until: BTreeMap<(Node, Node), Duration>,
    /// Datagrams that wait where a way is held.
    pub(super) conns: BTreeMap<ConnId, Conn>,
    next: ConnId,
    random: Random,
}

/// Why nothing passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// Bytes wait, datagrams are lost.
    Parted,
    /// Everything waits; a datagram that waits for long is as good as lost.
    Held,
}

/// A connection between two processes.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [Process; 2],
    pub(super) purpose: Purpose,
    /// Whom the opener expects.
    pub(super) expected: Incarnation,
    /// How many pauses the opener had had when it called.
    pub(super) pauses: u64,
    pub(super) roles: [Role; 2],
    /// What travels away from each side.
    pub(super) ways: [Pipe; 2],
    /// What each side has read and not taken apart.
    pub(super) buffers: [BytesMut; 2],
    pub(super) inbox: Inbox,
    pub(super) gaps: Gaps,
    /// Frames that were applied and not acknowledged, with what an acknowledgement vouches for.
    pub(super) vouched: VecDeque<(u64, Vec<Vouched>)>,
}

/// A session of a frame, and what was seen with it; `None` for an end.
pub(super) type Vouched = (Key, Option<Vector>);

/// Sessions of which a write is missing, and the question that asks for each.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    pub(super) asked: BTreeMap<(ContextId, Key), u64>,
    pub(super) questions: u64,
}

/// What a connection is to one of its sides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// The hello is out, or awaited.
    Greeting,
    /// Fragments go over it to, or come from, this member.
    Member(Incarnation),
    /// This side has let go of it.
    Closed,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) queue: VecDeque<(Duration, Item)>,
    pub(super) bytes: usize,
    last: Duration,
    /// Its writer waits until there is room.
    pub(super) is_blocked: bool,
}

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Bytes(Bytes),
    /// The other side has closed.
    End,
    /// The other process has ended, or never was.
    Reset,
}

/// A kernel takes so many bytes that nobody reads.
const CAPACITY: usize = 64 * 1024;

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            usual: Way::default(),
            special: BTreeMap::new(),
            cuts: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            conns: BTreeMap::new(),
            next: 0,
            random: Random::derived(seed, 3),
        }
    }

    pub(super) fn set_all(&mut self, way: Way) {
        self.special.clear();
        self.busy_until.clear();
        self.usual = way;
    }

    pub(super) fn set(&mut self, from: Node, to: Node, way: Way) {
        self.busy_until.remove(&(from, to));
        self.special.insert((from, to), way);
    }

    pub(super) fn cut(&mut self, from: Node, to: Node, cut: Cut) {
        self.cuts.insert((from, to), cut);
    }

    pub(super) fn join(&mut self, a: Node, b: Node) {
        self.cuts.remove(&(a, b));
        self.cuts.remove(&(b, a));
    }

    pub(super) fn join_all(&mut self) {
        self.cuts.clear();
    }

    pub(super) fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cuts.contains_key(&(from, to))
    }

    /// When all that is under way has arrived.
    pub(super) fn quiet_at(&self) -> Duration {
        let ways = self.conns.values().flat_map(|conn| &conn.ways);
        let under_way = ways.filter(|way| !way.queue.is_empty());
        under_way.map(|way| way.last).max().unwrap_or_default()
    }

    fn way(&self, from: Node, to: Node) -> Way {
        self.special.get(&(from, to)).copied().unwrap_or(self.usual)
    }

    /// When what is sent now arrives. Nothing takes no time at all: so causes come before effects.
    fn arrival(&mut self, now: Duration, from: Node, to: Node, bytes: usize) -> Duration {
        let way = self.way(from, to);
        let mut at = now + way.latency + LEAST;
        if !way.jitter.is_zero() {
            let jitter = u64::try_from(way.jitter.as_micros()).expect("it is milliseconds");
            at += Duration::from_micros(self.random.draw() % (jitter + 1));
        }
        if let Some(rate) = way.bytes_per_second {
            let busy = self.busy_until.entry((from, to)).or_insert(now);
            let nanos = bytes as u64 * 1_000_000_000 / rate.max(1);
            *busy = (*busy).max(now) + Duration::from_nanos(nanos);
            at = at.max(*busy + way.latency);
        }
        at
    }

    /// When a datagram arrives: never, once or twice.
    pub(super) fn datagram(
        &mut self,
        now: Duration,
        from: Node,
        to: Node,
    ) -> [Option<Duration>; 2] {
        let way = self.way(from, to);
        if self.is_cut(from, to) || self.random.percent(u64::from(way.loss)) {
            return [None, None];
        }
        let first = Some(self.arrival(now, from, to, 200));
        let twice = self.random.percent(u64::from(way.duplication));
        [first, twice.then(|| self.arrival(now, from, to, 200))]
    }

    pub(super) fn open(&mut self, conn: Conn) -> ConnId {
        self.next += 1;
        self.conns.insert(self.next, conn);
        self.next
    }

    /// Sends from a side of a connection; when it arrives.
    pub(super) fn send(
        &mut self,
        now: Duration,
        id: ConnId,
        side: Side,
        item: Item,
    ) -> Option<Duration> {
        let conn = self.conns.get(&id)?;
        let (from, to) = (conn.ends[side].node, conn.ends[1 - side].node);
        let bytes = match &item {
            Item::Bytes(bytes) => bytes.len(),
            Item::End | Item::Reset => 0,
        };
        let at = self.arrival(now, from, to, bytes);
        let pipe = &mut self.conns.get_mut(&id)?.ways[side];
        let at = at.max(pipe.last);
        pipe.last = at;
        pipe.bytes += bytes;
        pipe.queue.push_back((at, item));
        Some(at)
    }

    /// Whether the kernel takes more from this side; if not, the side is told when it does.
    pub(super) fn has_room(&mut self, id: ConnId, side: Side) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else {
            return true;
        };
        let pipe = &mut conn.ways[side];
        pipe.is_blocked = pipe.bytes >= CAPACITY;
        !pipe.is_blocked
    }

    /// The connections with something on its way between two places, in order.
    pub(super) fn between(&self, a: Node, b: Node) -> Vec<ConnId> {
        let ends = |conn: &Conn| (conn.ends[0].node, conn.ends[1].node);
        let is_it = |conn: &Conn| ends(conn) == (a, b) || ends(conn) == (b, a);
        let conns = self.conns.iter();
        conns
            .filter(|(_, conn)| is_it(conn))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The connections that have this process at one of their ends.
    pub(super) fn of(&self, process: Process) -> Vec<(ConnId, Side)> {
        let side = |conn: &Conn| conn.ends.iter().position(|end| *end == process);
        let conns = self.conns.iter();
        conns
            .filter_map(|(id, conn)| Some((*id, side(conn)?)))
            .collect()
    }
}

impl Conn {
    pub(super) fn new(
        ends: [Process; 2],
        (purpose, expected): (Purpose, Incarnation),
        pauses: u64,
    ) -> Self {
        Self {
            ends,
            purpose,
            expected,
            pauses,
            roles: [Role::Greeting; 2],
            ways: [Pipe::default(), Pipe::default()],
            buffers: [BytesMut::new(), BytesMut::new()],
            inbox: Inbox::new(),
            gaps: Gaps::default(),
            vouched: VecDeque::new(),
        }
    }
}

/// The shortest that anything takes.
const LEAST: Duration = Duration::from_micros(20);
