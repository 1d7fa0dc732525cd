//! The channel of a cluster: multicast heartbeats, and a TCP connection each way between any two.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::{Frame, OutboxConfig, Outcome, Ticket as FrameTicket};
use catherd_core::membership::{Membership, MembershipConfig, MembershipCounters, Myself, Pulse};
use catherd_core::message::{ClusterKey, Message};
use catherd_core::sync::{Comparison, Summaries};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

use super::driver::{Driver, Input, accepted};
use super::heartbeats;
use super::outgoing::Link;
use super::pulse::Stamp;
use super::{Channel, Delivery, Fetch, Fetched, Ticket, Unanswered, View};
use crate::cluster::{Event, LinkStatus};
use crate::env::{Env, Group};

/// What a channel needs to know.
#[derive(Clone, Debug)]
pub(crate) struct TcpConfig {
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) domain: String,
    pub(crate) group: Group,
    /// Addresses to listen at, the first free one of them.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) membership: MembershipConfig,
    pub(crate) outbox: OutboxConfig,
    pub(crate) key: Option<ClusterKey>,
}

/// What the tasks of a channel share.
pub(super) struct Shared {
    pub(super) key: Option<ClusterKey>,
    pub(super) outbox: OutboxConfig,
    pub(super) delivery: Arc<dyn Delivery>,
    pub(super) driver: mpsc::Sender<Input>,
    pub(super) next_link: AtomicU64,
    pub(super) heartbeats_unsent: AtomicU64,
    /// How long opening a connection may take, hello and answer included.
    pub(super) handshake: Duration,
    pub(super) closed: Notify,
    pub(super) stamp: Stamp,
    /// Until when the members are waited for that this node meets when it joins.
    joining: Mutex<Joining>,
    is_closed: AtomicBool,
    links: RwLock<Links>,
    /// How many links there are.
    link_count: watch::Sender<usize>,
    view: watch::Sender<Arc<View>>,
    /// Whether all that has been heard has been met.
    met: watch::Sender<bool>,
    counters: Mutex<BTreeMap<String, u64>>,
    /// How many milliseconds the wall clock of each member is ahead.
    clocks: Mutex<BTreeMap<Incarnation, i64>>,
}

#[derive(Clone, Copy)]
struct Joining {
    /// Who was not heard by then is not there.
    heard_by: Time,
    /// A member that cannot call back is met by nobody; it does not hold up the start for ever.
    met_by: Time,
}

#[derive(Default)]
struct Links {
    by_member: BTreeMap<Incarnation, Arc<Link>>,
    by_number: BTreeMap<u64, Arc<Link>>,
}

impl Shared {
    pub(super) fn link_to(&self, member: Incarnation) -> Option<Arc<Link>> {
        self.links.read().by_member.get(&member).cloned()
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().by_member.values().cloned().collect()
    }

    /// Puts a link in its place, or takes it away; gives back the one that was there.
    pub(super) fn set_link(
        &self,
        member: Incarnation,
        link: Option<Arc<Link>>,
    ) -> Option<Arc<Link>> {
        let mut links = self.links.write();
        let old = links.by_member.remove(&member);
        if let Some(old) = &old {
            links.by_number.remove(&old.number);
        }
        if let Some(link) = link {
            links.by_number.insert(link.number, Arc::clone(&link));
            links.by_member.insert(member, link);
        }
        self.link_count.send_replace(links.by_member.len());
        old
    }

    pub(super) fn take_links(&self) -> Vec<Arc<Link>> {
        let mut links = self.links.write();
        links.by_number.clear();
        self.link_count.send_replace(0);
        std::mem::take(&mut links.by_member).into_values().collect()
    }

    /// This node joins, again: those who answer at all are heard by `heard_by`.
    pub(super) fn join_by(&self, heard_by: Time, drop_time: Duration) {
        *self.joining.lock() = Joining {
            heard_by,
            met_by: heard_by + drop_time,
        };
    }

    pub(super) fn publish(&self, view: View, met: bool) {
        if !met {
            // Before the view: whoever sees that this node joins again must not take what was met
            // before for what is to be met.
            self.met.send_replace(false);
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

/// The channel of a cluster.
pub(crate) struct TcpChannel {
    shared: Arc<Shared>,
    sleep: Arc<dyn crate::surroundings::Surroundings>,
}

impl fmt::Debug for TcpChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpChannel")
            .field("view", &self.shared.view.borrow())
            .finish_non_exhaustive()
    }
}

impl TcpChannel {
    /// Listens, joins the group, and starts to beat.
    ///
    /// # Errors
    ///
    /// No address could be listened at, or the group could not be joined.
    pub(crate) async fn start<E: Env>(
        env: E,
        config: TcpConfig,
        delivery: Arc<dyn Delivery>,
    ) -> io::Result<Self> {
        let (listener, address) = listen(&env, &config.listen).await?;
        let group = Arc::new(env.multicast(&config.group).await?);
        let now = env.now();
        let (driver, inputs) = mpsc::channel(1024);
        let (frequency, drop_time) = (config.membership.frequency, config.membership.drop_time);
        let cluster = config.membership.cluster.clone();
        let myself = Myself {
            name: config.name,
            incarnation: config.incarnation,
            address,
            domain: config.domain,
        };
        let connections = 16 + 8 * config.membership.members_max;
        let shared = Arc::new(Shared {
            key: config.key.clone(),
            outbox: config.outbox,
            delivery: Arc::clone(&delivery),
            driver: driver.clone(),
            next_link: AtomicU64::new(1),
            heartbeats_unsent: AtomicU64::new(0),
            handshake: 2 * frequency,
            closed: Notify::new(),
            stamp: Stamp::new(config.membership.pause_limit()),
            // Members answer the first heartbeat at once; who has heard nobody for two is alone.
            joining: Mutex::new(Joining {
                heard_by: now + 2 * frequency,
                met_by: now + 2 * frequency + drop_time,
            }),
            is_closed: AtomicBool::new(false),
            links: RwLock::default(),
            link_count: watch::Sender::new(0),
            view: watch::Sender::new(Arc::new(View::alone(&myself.name, myself.incarnation))),
            met: watch::Sender::new(false),
            counters: Mutex::default(),
            clocks: Mutex::default(),
        });
        drop(env.spawn(heartbeats::hear(
            env.clone(),
            Arc::clone(&group),
            cluster,
            config.key,
            delivery,
            driver,
        )));
        drop(env.spawn(accept_all(
            env.clone(),
            Arc::clone(&shared),
            listener,
            connections,
        )));
        let membership = Membership::new(config.membership, myself, now);
        let run = Driver {
            env: env.clone(),
            shared: Arc::clone(&shared),
            membership,
            group,
            inputs,
            incoming: BTreeMap::new(),
            heard_bytes: 0,
            queues_empty: false,
            pulse: None,
            frequency,
            drop_time,
        };
        drop(env.spawn(run.run()));
        Ok(Self {
            shared,
            sleep: Arc::new(env),
        })
    }
}

/// The first address of the range that is free.
async fn listen<E: Env>(env: &E, at: &[SocketAddr]) -> io::Result<(E::Listener, SocketAddr)> {
    let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen at");
    for &address in at {
        match env.listen(address).await {
            Ok(listener) => {
                let address = env.local_address(&listener)?;
                return Ok((listener, address));
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Takes connections until the channel is left, a bounded number of them at a time.
async fn accept_all<E: Env>(
    env: E,
    shared: Arc<Shared>,
    mut listener: E::Listener,
    connections: usize,
) {
    let places = Arc::new(Semaphore::new(connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let arrived = tokio::select! {
            biased;
            () = shared.closed.notified() => return,
            arrived = env.accept(&mut listener) => arrived,
        };
        let Ok((stream, from)) = arrived else {
            env.sleep_until(env.now() + Duration::from_millis(100))
                .await;
            continue;
        };
        let serve = accepted(env.clone(), Arc::clone(&shared), stream, from);
        drop(env.spawn(async move {
            serve.await;
            drop(place);
        }));
    }
}

fn is_current(shared: &Shared, clock: &dyn crate::surroundings::Surroundings) -> bool {
    shared.stamp.is_current(Pulse {
        at: clock.now(),
        wall: clock.wall_clock(),
    })
}

/// Members have this long to read a goodbye.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

impl Channel for TcpChannel {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.subscribe()
    }

    fn send(&self, now: Time, to: Incarnation, frame: Frame) -> Ticket {
        match self.shared.links.read().by_member.get(&to) {
            Some(link) => Ticket {
                link: link.number,
                frame: link.push(now, frame),
            },
            None => Ticket {
                link: 0,
                frame: FrameTicket::default(),
            },
        }
    }

    fn flush(&self) {
        for link in self.shared.links.read().by_member.values() {
            link.pump();
        }
    }

    fn poll_acknowledged(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.shared.links.read().by_number.get(&ticket.link) {
            Some(link) => link.poll_acknowledged(ticket.frame, cx),
            None => Poll::Ready(Outcome::Gone),
        }
    }

    fn fetch(
        &self,
        from: Incarnation,
        fetch: Fetch,
        deadline: Time,
    ) -> BoxFuture<'static, Result<Fetched, Unanswered>> {
        match self.shared.link_to(from) {
            Some(link) => link.fetch(fetch, deadline).boxed(),
            None => ready(Err(Unanswered)).boxed(),
        }
    }

    fn compare(
        &self,
        with: Incarnation,
        context: String,
        comparison: Comparison,
        deadline: Time,
    ) -> BoxFuture<'static, Result<Summaries, Unanswered>> {
        match self.shared.link_to(with) {
            Some(link) => link.compare(context, comparison, deadline).boxed(),
            None => ready(Err(Unanswered)).boxed(),
        }
    }

    fn expire(
        &self,
        at: Incarnation,
        context: String,
        ages: Vec<(Key, Duration)>,
        deadline: Time,
    ) -> BoxFuture<'static, Result<Vec<(Key, Duration)>, Unanswered>> {
        match self.shared.link_to(at) {
            Some(link) => link.expire(context, ages, deadline).boxed(),
            None => ready(Err(Unanswered)).boxed(),
        }
    }

    fn tell_all(&self, message: &Message) {
        let frame = message.to_frame(self.shared.key.as_ref());
        for link in self.shared.links() {
            link.tell_frame(frame.clone());
        }
    }

    fn link_status(&self, to: Incarnation) -> LinkStatus {
        self.shared
            .link_to(to)
            .map_or_else(LinkStatus::default, |link| link.status())
    }

    fn clock_ahead_ms(&self, of: Incarnation) -> Option<i64> {
        self.shared.clocks.lock().get(&of).copied()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.shared.counters.lock().clone()
    }

    fn forget(&self, name: &str) {
        let (driver, name) = (self.shared.driver.clone(), name.to_owned());
        self.sleep.spawn(Box::pin(async move {
            // A driver that has ended misses nobody.
            let _ = driver.send(Input::Forget { name }).await;
        }));
    }

    fn become_ready(&self, pauses: u64) {
        let driver = self.shared.driver.clone();
        self.sleep.spawn(Box::pin(async move {
            // A driver that has ended has no use for it.
            let _ = driver.send(Input::BecomeReady { pauses }).await;
        }));
    }

    fn is_current(&self) -> bool {
        is_current(&self.shared, &*self.sleep)
    }

    fn current(&self) -> BoxFuture<'static, ()> {
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.sleep));
        async move {
            let mut views = shared.view.subscribe();
            loop {
                let (done, looked) = oneshot::channel();
                // A driver that has ended looks at nothing any more: the node leaves.
                if shared.driver.send(Input::Look { done }).await.is_err() || looked.await.is_err()
                {
                    return;
                }
                let may_serve =
                    |view: &View| view.pauses == 0 || view.am_ready() || view.is_leaving;
                // The sender lives as long as the channel.
                let _ = views.wait_for(|view| may_serve(view)).await;
                if is_current(&shared, &*clock) {
                    return;
                }
            }
        }
        .boxed()
    }

    fn met(&self) -> BoxFuture<'static, ()> {
        let (mut met, sleep) = (self.shared.met.subscribe(), Arc::clone(&self.sleep));
        let Joining { heard_by, met_by } = *self.shared.joining.lock();
        async move {
            sleep.sleep_until(heard_by).await;
            tokio::select! {
                biased;
                // The sender lives as long as the channel.
                _ = met.wait_for(|met| *met) => {}
                () = sleep.sleep_until(met_by) => {}
            }
        }
        .boxed()
    }

    fn leave(&self, within: Duration) -> BoxFuture<'static, ()> {
        let (shared, sleep) = (Arc::clone(&self.shared), Arc::clone(&self.sleep));
        async move {
            let deadline = sleep.now() + within;
            let links = shared.links();
            for link in &links {
                link.hold_nothing_back();
            }
            let drained = async {
                for link in &links {
                    std::future::poll_fn(|cx| link.poll_drained(cx)).await;
                }
                true
            };
            let queues_empty = tokio::select! {
                biased;
                drained = drained => drained,
                () = sleep.sleep_until(deadline) => false,
            };
            for link in &links {
                let LinkStatus {
                    queued_frames,
                    unacknowledged_frames,
                    ..
                } = link.status();
                let frames = queued_frames + unacknowledged_frames;
                if frames > 0 {
                    let name = link.name.clone();
                    let event = Event::Undelivered { name, frames };
                    shared.delivery.happened(event);
                }
            }
            // A driver that has ended has closed everything.
            let _ = shared.driver.send(Input::Leave { queues_empty }).await;
            // Who has read the goodbye closes its connections. A socket that is closed here while
            // something is still unread would take the goodbye with it.
            let mut link_count = shared.link_count.subscribe();
            tokio::select! {
                biased;
                _ = link_count.wait_for(|count| *count == 0) => {}
                () = sleep.sleep_until(sleep.now() + GOODBYE_TIME) => {}
            }
            shared.is_closed.store(true, Ordering::Relaxed);
            let (done, left) = oneshot::channel();
            if shared.driver.send(Input::End { done }).await.is_ok() {
                // A driver that ended without saying so has nothing left to close.
                let _ = left.await;
            }
        }
        .boxed()
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Relaxed)
    }
}
