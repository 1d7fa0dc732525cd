//! What the tasks of a channel share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use catherd_core::link::OutboxConfig;
use catherd_core::membership::{MembershipCounters, Met};
use catherd_core::message::ClusterKey;
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::accept::Lobby;
use super::driver::Input;
use super::link::Link;
use super::pool::{Pool, PoolConfig};
use super::pulse::Stamp;
use super::tcp::TcpConfig;
use super::{Delivery, View};
use crate::surroundings::Surroundings;

/// What the tasks of a channel share.
pub(super) struct Shared {
    pub(super) key: Option<ClusterKey>,
    pub(super) outbox: OutboxConfig,
    pub(super) pool: PoolConfig,
    pub(super) delivery: Arc<dyn Delivery>,
    pub(super) surroundings: Arc<dyn Surroundings>,
    pub(super) driver: mpsc::Sender<Input>,
    pub(super) next_link: AtomicU64,
    pub(super) heartbeats_unsent: AtomicU64,
    /// How long opening a connection may take, hello and answer included.
    pub(super) handshake: Duration,
    /// Connections that have not said hello yet.
    pub(super) lobby: Lobby,
    /// Connections whose frames may be applied side by side (`tcpThreadCount`).
    pub(super) turns: Semaphore,
    pub(super) closed: Notify,
    pub(super) stamp: Stamp,
    /// Until when the members are waited for that this node meets when it joins.
    joining: Mutex<Joining>,
    pub(super) is_closed: AtomicBool,
    links: RwLock<Links>,
    /// Whether the last write of a link had more than one frame.
    pub(super) gathers: Arc<AtomicBool>,
    /// How many members there is a link to.
    pub(super) link_count: watch::Sender<usize>,
    pub(super) view: watch::Sender<Arc<View>>,
    /// Whether all that has been heard has been met.
    pub(super) met: watch::Sender<Met>,
    pub(super) counters: Mutex<BTreeMap<String, u64>>,
    /// How many milliseconds the wall clock of each member is ahead.
    pub(super) clocks: Mutex<BTreeMap<Incarnation, i64>>,
}

#[derive(Clone, Copy)]
pub(super) struct Joining {
    /// Who was not heard by then is not there.
    pub(super) heard_by: Time,
    /// A member that cannot call back is met by nobody; it does not hold up the start for ever.
    pub(super) met_by: Time,
}

impl Joining {
    /// Members answer the first heartbeat at once; who has heard nobody for two is alone.
    pub(super) fn from(now: Time, frequency: Duration, drop_time: Duration) -> Self {
        let heard_by = now + 2 * frequency;
        Self {
            heard_by,
            met_by: heard_by + drop_time,
        }
    }
}

#[derive(Default)]
struct Links {
    by_member: BTreeMap<Incarnation, Arc<Pool>>,
    by_number: BTreeMap<u64, Arc<Link>>,
    /// Closed since they were not needed, oldest first. They still say what became of their
    /// frames.
    retired: VecDeque<u64>,
}

/// What is known of so many links that were closed unneeded. A frame of one before that counts as
/// gone; an answer may then be flagged needlessly.
const RETIRED_MAX: usize = 256;

impl Shared {
    pub(super) fn new(
        config: &TcpConfig,
        (delivery, surroundings): (Arc<dyn Delivery>, Arc<dyn Surroundings>),
        driver: mpsc::Sender<Input>,
    ) -> Self {
        let now = surroundings.now();
        let (frequency, drop_time) = (config.membership.frequency, config.membership.drop_time);
        let view = View::alone(&config.name, config.incarnation);
        Self {
            key: config.key.clone(),
            outbox: config.outbox,
            pool: config.pool,
            delivery,
            surroundings,
            driver,
            next_link: AtomicU64::new(1),
            heartbeats_unsent: AtomicU64::new(0),
            handshake: 2 * frequency,
            lobby: Lobby::default(),
            turns: Semaphore::new(config.turns),
            closed: Notify::new(),
            stamp: Stamp::new(config.membership.pause_limit()),
            joining: Mutex::new(Joining::from(now, frequency, drop_time)),
            is_closed: AtomicBool::new(false),
            links: RwLock::default(),
            link_count: watch::Sender::new(0),
            view: watch::Sender::new(Arc::new(view)),
            met: watch::Sender::new(Met::NotAll),
            gathers: Arc::default(),
            counters: Mutex::default(),
            clocks: Mutex::default(),
        }
    }

    /// The link for questions, and for all that has no number.
    pub(super) fn link_to(&self, member: Incarnation) -> Option<Arc<Link>> {
        let links = self.links.read();
        links
            .by_member
            .get(&member)
            .map(|pool| Arc::clone(&pool.first))
    }

    pub(super) fn pool_to(&self, member: Incarnation) -> Option<Arc<Pool>> {
        self.links.read().by_member.get(&member).cloned()
    }

    pub(super) fn numbered(&self, link: u64) -> Option<Arc<Link>> {
        self.links.read().by_number.get(&link).cloned()
    }

    pub(super) fn pools(&self) -> Vec<Arc<Pool>> {
        self.links.read().by_member.values().cloned().collect()
    }

    /// The links to a member for which something was queued that nobody has tried to write yet.
    /// Whoever asks does it.
    pub(super) fn stirred_pool(&self) -> Option<Arc<Pool>> {
        let links = self.links.read();
        let mut pools = links.by_member.values();
        pools.find(|pool| pool.take_stirred()).cloned()
    }

    /// Puts the links to a member in their place, or takes them away and closes them.
    pub(super) fn set_pool(&self, member: Incarnation, pool: Option<Arc<Pool>>) {
        let old = {
            let mut links = self.links.write();
            let old = links.by_member.remove(&member);
            if let Some(pool) = pool {
                links
                    .by_number
                    .insert(pool.first.number, Arc::clone(&pool.first));
                links.by_member.insert(member, pool);
            }
            self.link_count.send_replace(links.by_member.len());
            old
        };
        if let Some(old) = old {
            self.close(&old);
        }
    }

    pub(super) fn take_pools(&self) {
        let pools = std::mem::take(&mut self.links.write().by_member);
        self.link_count.send_replace(0);
        for pool in pools.values() {
            self.close(pool);
        }
    }

    /// A link behind the first has taken its place.
    pub(super) fn add(&self, link: &Arc<Link>) {
        let mut links = self.links.write();
        links.by_number.insert(link.number, Arc::clone(link));
    }

    /// A link behind the first has left its place with nothing on its way.
    pub(super) fn retire(&self, link: u64) {
        let mut links = self.links.write();
        links.retired.push_back(link);
        if links.retired.len() > RETIRED_MAX
            && let Some(oldest) = links.retired.pop_front()
        {
            links.by_number.remove(&oldest);
        }
    }

    /// A link behind the first has ended.
    pub(super) fn remove(&self, link: u64) {
        self.links.write().by_number.remove(&link);
    }

    fn close(&self, pool: &Pool) {
        let closed = pool.close();
        let mut links = self.links.write();
        for link in closed {
            links.by_number.remove(&link.number);
        }
    }

    pub(super) fn joining(&self) -> Joining {
        *self.joining.lock()
    }

    /// This node joins, again.
    pub(super) fn join(&self, joining: Joining) {
        *self.joining.lock() = joining;
    }

    pub(super) fn publish(&self, view: View, met: Met) {
        if met == Met::NotAll {
            // Before the view: whoever sees that this node joins again must not take what was met
            // before for what is to be met.
            self.met.send_replace(met);
        }
        self.view.send_if_modified(|published| {
            let changed = **published != view;
            if changed {
                *published = Arc::new(view);
            }
            changed
        });
        self.met
            .send_if_modified(|published| std::mem::replace(published, met) != met);
    }

    pub(super) fn note_clocks(&self, clocks: impl Iterator<Item = (Incarnation, i64)>) {
        *self.clocks.lock() = clocks.collect();
    }

    pub(super) fn count(&self, counters: &MembershipCounters) {
        let unsent = self.heartbeats_unsent.load(Ordering::Relaxed);
        let figures = [
            ("heartbeats_sent", counters.heartbeats_sent),
            ("heartbeats_unsent", unsent),
            ("heartbeats_answered", counters.heartbeats_answered),
            ("heartbeats_heard", counters.heartbeats_heard),
            ("heartbeats_own", counters.heartbeats_own),
            ("heartbeats_replayed", counters.heartbeats_replayed),
            ("heartbeats_of_the_ended", counters.heartbeats_of_the_ended),
            (
                "heartbeats_of_taken_names",
                counters.heartbeats_of_taken_names,
            ),
            ("heartbeats_over_cap", counters.heartbeats_over_cap),
            ("hellos_accepted", counters.hellos_accepted),
            ("hellos_refused", counters.hellos_refused),
            ("connects", counters.connects),
            ("connects_failed", counters.connects_failed),
            ("probes", counters.probes),
            ("probes_failed", counters.probes_failed),
            ("goodbyes_ignored", counters.goodbyes_ignored),
            ("pauses", counters.pauses),
        ];
        let figures = figures
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count));
        *self.counters.lock() = figures.collect();
    }
}
