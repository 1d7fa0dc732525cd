//! A process: the cores of one node, and what holds them together.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use catherd::core::access::Acquaintances;
use catherd::core::key::Key;
use catherd::core::link::{Awaited, Outbox, Ticket};
use catherd::core::membership::{Absence, Membership, MembershipConfig, Myself, Pulse, View};
use catherd::core::message::Message;
use catherd::core::session::{Birth, DigestKey, Rules, Tombstone, Writer};
use catherd::core::sync::Schedule;
use catherd::core::table::PlainTable;
use catherd::core::time::Time;
use catherd::core::version::Incarnation;
use catherd::env::Place;

use super::network::Item;
use super::pool::{LinkAt, Pools};
use super::queue::{ConnId, Event, Side};
use crate::fault::Node as Number;
use crate::history::Process;
use crate::plan::Settings;
use crate::random::Random;

/// The cluster's id.
pub(super) const CLUSTER: &str = "sim";

/// The one context.
pub(super) const CONTEXT: &str = "/app";

/// How often touches go out, and what is due is looked at.
pub(super) const BATCH: Duration = Duration::from_secs(1);

/// The cores of one process, and what its shell would keep.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) process: Process,
    pub(super) name: String,
    pub(super) incarnation: Incarnation,
    pub(super) clock: Clock,
    pub(super) membership: Membership,
    pub(super) table: PlainTable,
    pub(super) rules: Rules,
    frequency: Duration,
    drop_time: Duration,
    /// What the shell keeps beside each entry. Never iterated.
    pub(super) sides: HashMap<Key, Beside, ByKey>,
    /// The digests of all entries in one number.
    pub(super) total: u64,
    /// When entries are to be looked at.
    pub(super) filed: BTreeSet<(Time, Key)>,
    /// The first link to each member, and behind it those of mode `pooled`.
    pub(super) links: BTreeMap<LinkAt, Link>,
    pub(super) pools: Pools,
    /// When the membership wants to look at its time, or earlier.
    pub(super) membership_due: Option<Time>,
    /// In this step it has heard a heartbeat, and nothing came of it.
    pub(super) has_only_heard: bool,
    /// When the first of the links wants to look at its time.
    pub(super) links_due: Option<Time>,
    /// Calls that were made, with the time until which each waits for its answer.
    pub(super) calls: Vec<(Time, ConnId)>,
    /// The connections that members opened.
    pub(super) incoming: BTreeMap<Incarnation, ConnId>,
    pub(super) schedule: Schedule,
    pub(super) known: Acquaintances,
    pub(super) touched: BTreeSet<Key>,
    pub(super) filling: BTreeSet<Incarnation>,
    pub(super) random: Random,
    serial: u64,
    pub(super) next_link: u64,
    /// Who was not heard by then is not there; who was and cannot be met is not waited for longer.
    pub(super) joining: (Time, Time),
    pub(super) house_at: Time,
    /// Members whose connection was lost since a transfer last looked.
    pub(super) lost: Vec<Incarnation>,
    /// Members that this node declared gone, and has not heard a hello of since.
    pub(super) gone: BTreeSet<Incarnation>,
    /// When this node last verified everything with a member, on the connection that is open.
    pub(super) verified: BTreeSet<Incarnation>,
    pub(super) armed: Vec<(Place, Doom)>,
    /// What becomes of the process at the end of this step.
    pub(super) doom: Option<Doom>,
    /// The global time for which a timer is filed.
    pub(super) timer_at: Option<Duration>,
    /// The global time at which it looked at its pulse last.
    pub(super) pulse_at: Option<Duration>,
    /// Something happened that a task may wait for.
    pub(super) is_stirred: bool,
    pub(super) is_paused: bool,
    pub(super) is_leaving: bool,
    /// Requests are taken.
    pub(super) is_open: bool,
    /// All sessions of some user were ended.
    pub(super) is_any_raised: bool,
    /// What came to a stopped process, for later.
    pub(super) stalled: VecDeque<Event>,
    /// What a process that stops has written, and its kernel not yet taken.
    pub(super) held: Vec<(ConnId, Side, Item)>,
    pub(super) requests: usize,
    pub(super) sweeps: u32,
    /// The time for which the repair is to look again.
    pub(super) repair_at: Option<Time>,
}

/// How a process ends, or stops, at a place that was armed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doom {
    Crash,
    Stop,
}

/// What a shell keeps beside an entry of the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    pub(super) receipt: Option<Receipt>,
    pub(super) served: bool,
    pub(super) requests: u32,
    pub(super) is_asked_about: bool,
    /// How many members were declared gone when this node last wrote it.
    pub(super) gone_when_written: u32,
    /// It has ended here, and stays unserved for a missing member.
    pub(super) is_kept: bool,
    pub(super) filed: Option<Time>,
    /// What the entry adds to the digests.
    pub(super) digest: u64,
}

/// Who has to acknowledge a write, or an end.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) tickets: Vec<(Incarnation, LinkTicket)>,
    pub(super) awaited: Awaited,
    pub(super) absence: Absence,
    /// The key that has ended, if one has, and the generation if it is a user's.
    pub(super) ended: Option<(Key, u64)>,
}

/// A frame of a link of this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LinkTicket {
    pub(super) link: u64,
    pub(super) frame: Ticket,
}

/// A connection that this node opened to a member.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) conn: ConnId,
    /// When it was opened.
    pub(super) opened: Duration,
    pub(super) outbox: Outbox,
    pub(super) questions: u64,
    /// Questions that somebody waits for, and their answers.
    pub(super) open: BTreeMap<u64, Option<Message>>,
    pub(super) has_marks: bool,
    /// Sessions of which a write found no room, and no mark has come yet.
    pub(super) unmarked: BTreeSet<Key>,
    /// It does not write before this frame of the first link has come to its end.
    pub(super) after: Option<Ticket>,
    /// Something happened since it was last written.
    pub(super) is_stirred: bool,
}

/// Keys are random: a map by them needs no better hash.
pub(super) type ByKey = BuildHasherDefault<LowBits>;

/// The low bits of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LowBits(u64);

impl Hasher for LowBits {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = u64::try_from(number & u128::from(u64::MAX)).expect("it is cut to 64 bits");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A clock that may drift, and stand still.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// When it was asked last, and what it showed.
    shown: Cell<(Duration, Time)>,
    started: Duration,
    /// Parts of a million by which it runs faster.
    drift: i64,
    stood: Duration,
    frozen_at: Option<Duration>,
    /// Seconds by which the time of day was set.
    pub(super) wall_ahead: i64,
}

impl Clock {
    fn new(started: Duration, drift: i64, wall_ahead: i64) -> Self {
        Self {
            shown: Cell::new(NEVER),
            started,
            drift,
            stood: Duration::ZERO,
            frozen_at: None,
            wall_ahead,
        }
    }

    /// Whether it ever stood still while other clocks went on.
    pub(super) fn has_stood(&self) -> bool {
        self.is_frozen() || !self.stood.is_zero()
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen_at.is_some()
    }

    pub(super) fn freeze(&mut self, now: Duration) {
        self.shown.set(NEVER);
        self.frozen_at.get_or_insert(now);
    }

    pub(super) fn thaw(&mut self, now: Duration) {
        self.shown.set(NEVER);
        if let Some(at) = self.frozen_at.take() {
            self.stood += now - at;
        }
    }

    pub(super) fn time(&self, now: Duration) -> Time {
        let (asked, shown) = self.shown.get();
        if asked == now {
            return shown;
        }
        let at = self.frozen_at.unwrap_or(now);
        let ran = at.saturating_sub(self.started + self.stood);
        let time = Time::since_start(scale(ran, self.drift, 1_000_000));
        self.shown.set((now, time));
        time
    }

    /// When the clock will show `at`, or a little later.
    pub(super) fn global(&self, at: Time) -> Duration {
        let shown = at.since(Time::START);
        let ran = scale(shown, -self.drift, 1_000_000 + self.drift);
        self.started + self.stood + ran + Duration::from_nanos(2)
    }

    pub(super) fn pulse(&self, now: Duration) -> Pulse {
        let step = Duration::from_secs(self.wall_ahead.unsigned_abs());
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000) + now;
        Pulse {
            at: self.time(now),
            wall: if self.wall_ahead < 0 {
                wall - step
            } else {
                wall + step
            },
        }
    }
}

/// No clock is asked then.
const NEVER: (Duration, Time) = (Duration::MAX, Time::START);

/// A time and so many parts `of` it more.
fn scale(time: Duration, by: i64, of: i64) -> Duration {
    if by == 0 {
        return time;
    }
    // A run of a year, and a drift of a thousandth, are far from the bounds.
    let nanos = i64::try_from(time.as_nanos()).expect("a run is short");
    let scaled = nanos + nanos / of * by + nanos % of * by / of;
    Duration::from_nanos(u64::try_from(scaled).expect("drift is small"))
}

impl Node {
    pub(super) fn new(
        process: Process,
        settings: &Settings,
        (seed, now): (u64, Duration),
        (drift, wall_ahead): (i64, i64),
    ) -> Self {
        let of = 10_000 + process.node as u64 * 1000 + u64::from(process.generation);
        let mut random = Random::derived(seed, of);
        let incarnation = Incarnation::from_bits(random.draw());
        let clock = Clock::new(now, drift, wall_ahead);
        let (start, frequency) = (clock.time(now), settings.frequency);
        let mut config = MembershipConfig::new(CLUSTER);
        (config.frequency, config.drop_time) = (frequency, settings.drop_time);
        let name = format!("n{}", process.node);
        let myself = Myself {
            name: name.clone(),
            incarnation,
            address: address(process.node),
            domain: String::new(),
        };
        let heard_by = start + 2 * frequency;
        Self {
            process,
            name,
            incarnation,
            clock,
            membership: Membership::new(config, myself, start),
            table: PlainTable::new(DigestKey::new(CLUSTER)),
            rules: Rules {
                removals_kept: if forgets_removals(seed) { 1 } else { 64 },
                ..Rules::default()
            },
            frequency,
            drop_time: settings.drop_time,
            sides: HashMap::default(),
            total: 0,
            filed: BTreeSet::new(),
            links: BTreeMap::new(),
            pools: Pools::default(),
            membership_due: None,
            has_only_heard: false,
            links_due: None,
            calls: Vec::new(),
            incoming: BTreeMap::new(),
            schedule: Schedule::new(settings.repair_interval),
            known: Acquaintances::default(),
            touched: BTreeSet::new(),
            filling: BTreeSet::new(),
            random,
            serial: 0,
            next_link: 0,
            joining: (heard_by, heard_by + settings.drop_time),
            house_at: start + BATCH,
            lost: Vec::new(),
            gone: BTreeSet::new(),
            verified: BTreeSet::new(),
            armed: Vec::new(),
            doom: None,
            timer_at: None,
            pulse_at: None,
            is_stirred: true,
            is_paused: false,
            is_leaving: false,
            is_open: false,
            is_any_raised: false,
            stalled: VecDeque::new(),
            held: Vec::new(),
            requests: 0,
            sweeps: 0,
            repair_at: None,
        }
    }

    /// It joins, again: those who answer at all are heard within two heartbeats.
    pub(super) fn join_again(&mut self, now: Time) {
        let heard_by = now + 2 * self.frequency;
        self.joining = (heard_by, heard_by + self.drop_time);
    }

    /// What is in the memory of the process, for a machine that is saved. Its connections are not:
    /// they do not outlive what happens meanwhile. Neither are requests in progress.
    pub(super) fn image(&self) -> Self {
        let mut sides = self.sides.clone();
        #[expect(clippy::iter_over_hash_type, reason = "each is changed alike")]
        for beside in sides.values_mut() {
            (beside.requests, beside.is_asked_about) = (0, false);
        }
        Self {
            process: self.process,
            name: self.name.clone(),
            incarnation: self.incarnation,
            clock: self.clock.clone(),
            membership: self.membership.clone(),
            table: self.table.clone(),
            rules: self.rules,
            frequency: self.frequency,
            drop_time: self.drop_time,
            sides,
            total: self.total,
            filed: self.filed.clone(),
            links: BTreeMap::new(),
            pools: Pools::default(),
            membership_due: None,
            has_only_heard: false,
            links_due: None,
            calls: Vec::new(),
            incoming: BTreeMap::new(),
            schedule: self.schedule.clone(),
            known: self.known.clone(),
            touched: self.touched.clone(),
            filling: BTreeSet::new(),
            random: self.random.clone(),
            serial: self.serial,
            next_link: self.next_link,
            joining: self.joining,
            house_at: self.house_at,
            lost: Vec::new(),
            gone: self.gone.clone(),
            verified: self.verified.clone(),
            armed: Vec::new(),
            doom: None,
            timer_at: None,
            pulse_at: None,
            is_stirred: true,
            is_paused: false,
            is_leaving: false,
            is_open: self.is_open,
            is_any_raised: self.is_any_raised,
            stalled: VecDeque::new(),
            held: Vec::new(),
            requests: 0,
            sweeps: self.sweeps,
            repair_at: None,
        }
    }

    /// The machine goes on at `now` from what was saved at `taken`.
    pub(super) fn put_back(
        &mut self,
        process: Process,
        (taken, now): (Duration, Duration),
        random: Random,
    ) {
        self.process = process;
        self.clock.stood += now - taken;
        self.clock.shown.set(NEVER);
        self.random = random;
    }

    /// Whether it neither runs nor reads.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_paused || self.clock.is_frozen()
    }

    pub(super) fn view(&self) -> &View {
        self.membership.view()
    }

    pub(super) fn am_ready(&self) -> bool {
        self.view().myself.is_ready()
    }

    pub(super) fn pauses(&self) -> u64 {
        self.membership.counters().pauses
    }

    pub(super) fn is_any_missing(&self) -> bool {
        self.membership.missing().len() > 0
    }

    pub(super) fn writer(&self) -> Writer {
        Writer {
            incarnation: self.incarnation,
            gone: self.membership.declared_gone(),
            floor: 0,
        }
    }

    pub(super) fn next_birth(&mut self) -> Birth {
        self.serial += 1;
        Birth {
            incarnation: self.incarnation,
            serial: self.serial,
        }
    }

    pub(super) fn draw_key(&mut self) -> Key {
        let high = u128::from(self.random.draw());
        Key::from_bits((high << 64) | u128::from(self.random.draw()))
    }

    pub(super) fn besides(&mut self, key: Key) -> &mut Beside {
        self.sides.entry(key).or_default()
    }

    pub(super) fn has_ended(&self, key: Key) -> bool {
        self.table
            .look(key, |entry| entry.is_some_and(|it| it.live().is_none()))
    }

    pub(super) fn has_request(&self, key: Key) -> bool {
        self.sides.get(&key).is_some_and(|it| it.requests > 0)
    }

    /// Something was done with the links: when they want to look at their time is asked anew.
    pub(super) fn ask_links(&mut self) {
        let links = self.links.values();
        self.links_due = links.filter_map(|link| link.outbox.poll_timeout()).min();
    }
}

/// Where a node listens.
pub(super) fn address(node: Number) -> SocketAddr {
    let last = u8::try_from(node + 1).expect("there are eight nodes at most");
    SocketAddr::from(([10, 0, 0, last], 4001))
}

/// The place of a node that listens there.
pub(super) fn at(address: SocketAddr) -> Number {
    match address {
        SocketAddr::V4(v4) => usize::from(v4.ip().octets()[3]) - 1,
        SocketAddr::V6(_) => unreachable!("all addresses are of version 4"),
    }
}

/// How long the end of a session is remembered.
pub(super) fn tombstone_life(limit: Option<Duration>) -> Duration {
    Tombstone::life_for(limit)
}

/// Whether copies of this run keep one removal and forget the others.
pub(super) fn forgets_removals(seed: u64) -> bool {
    seed.is_multiple_of(3)
}
