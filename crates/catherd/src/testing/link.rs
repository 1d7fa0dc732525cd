//! What lies between two hosts: delays, losses, cuts. Each direction has its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::random::SplitMix64;

/// The way from one host to another.
///
/// The default is a perfect one: no delay, no loss. Timers of the runtime have a resolution of one
/// millisecond, so delays are rounded up to that.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// How long everything takes at least.
    pub latency: Duration,
    /// How much longer it takes at most; drawn for each write and each datagram. Streams keep their
    /// order, datagrams overtake each other.
    pub jitter: Duration,
    /// The probability, 0 to 1, that a datagram is lost. Streams lose nothing, as TCP does not.
    pub loss: f64,
    /// The probability, 0 to 1, that a datagram that was not lost arrives twice.
    pub duplication: f64,
    /// What the link carries, not 0; `None` for no limit. All streams and datagrams share it.
    pub bytes_per_second: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            bytes_per_second: None,
        }
    }
}

impl Link {
    pub(super) fn check(&self) {
        let Self {
            loss,
            duplication,
            bytes_per_second,
            ..
        } = self;
        assert!((0.0..=1.0).contains(loss), "{loss} is not a probability");
        assert!(
            (0.0..=1.0).contains(duplication),
            "{duplication} is not a probability"
        );
        assert!(
            *bytes_per_second != Some(0),
            "a link that carries nothing is a partition"
        );
    }
}

/// Why nothing passes from one host to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// Streams stall, datagrams are lost.
    Parted,
    /// Streams stall, datagrams wait.
    Held,
}

/// All the ways of a network.
#[derive(Debug)]
pub(super) struct Links {
    usual: Link,
    special: BTreeMap<Way, Link>,
    cuts: BTreeMap<Way, Cut>,
    /// Until when a slow link is occupied by what was already sent.
    busy_until: BTreeMap<Way, Instant>,
    random: SplitMix64,
}

/// From one host to another.
pub(super) type Way = (IpAddr, IpAddr);

/// A slow link carries a write in pieces of this size, so that its first bytes do not arrive
/// with its last: the payload of a packet on Ethernet.
const PIECE: usize = 1_460;

impl Links {
    pub(super) fn new(random: SplitMix64) -> Self {
        Self {
            usual: Link::default(),
            special: BTreeMap::new(),
            cuts: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            random,
        }
    }

    pub(super) fn set_all(&mut self, link: Link) {
        self.special.clear();
        self.busy_until.clear();
        self.usual = link;
    }

    pub(super) fn set(&mut self, way: Way, link: Link) {
        self.busy_until.remove(&way);
        self.special.insert(way, link);
    }

    pub(super) fn cut(&mut self, way: Way, cut: Cut) {
        self.cuts.insert(way, cut);
    }

    /// Opens a way that was cut; whether it was.
    pub(super) fn open(&mut self, way: Way) -> bool {
        self.cuts.remove(&way).is_some()
    }

    pub(super) fn all_cuts(&self) -> Vec<Way> {
        self.cuts.keys().copied().collect()
    }

    pub(super) fn cut_of(&self, way: Way) -> Option<Cut> {
        self.cuts.get(&way).copied()
    }

    pub(super) fn is_cut(&self, way: Way) -> bool {
        self.cuts.contains_key(&way)
    }

    /// The size in which a write of `length` bytes travels.
    pub(super) fn piece(&self, way: Way, length: usize) -> usize {
        match self.link(way).bytes_per_second {
            Some(_) => length.min(PIECE),
            None => length,
        }
    }

    /// When `length` bytes that are sent now arrive.
    pub(super) fn arrival(&mut self, way: Way, now: Instant, length: usize) -> Instant {
        if way.0 == way.1 {
            return now;
        }
        let Link {
            latency,
            jitter,
            bytes_per_second,
            ..
        } = *self.link(way);
        let mut sent = now;
        if let Some(rate) = bytes_per_second {
            let nanos = length as u128 * 1_000_000_000 / u128::from(rate);
            let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            let busy = self.busy_until.entry(way).or_insert(now);
            *busy = now.max(*busy) + takes;
            sent = *busy;
        }
        sent + latency + self.random.up_to(jitter)
    }

    /// When the copies of a datagram of `length` bytes arrive: none, one or two.
    pub(super) fn copies(&mut self, way: Way, now: Instant, length: usize) -> Vec<Instant> {
        let Link {
            loss, duplication, ..
        } = *self.link(way);
        if way.0 != way.1 && self.random.chance(loss) {
            return Vec::new();
        }
        let mut copies = vec![self.arrival(way, now, length)];
        if way.0 != way.1 && self.random.chance(duplication) {
            copies.push(self.arrival(way, now, length));
        }
        copies
    }

    fn link(&self, way: Way) -> &Link {
        self.special.get(&way).unwrap_or(&self.usual)
    }
}
