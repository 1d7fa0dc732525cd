//! The channel of a cluster: multicast heartbeats, and a TCP connection each way between any two.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::{Frame, OutboxConfig, Outcome, Ticket as FrameTicket};
use catherd_core::membership::{Membership, MembershipConfig, Met, Myself, Pulse};
use catherd_core::message::{ClusterKey, Message};
use catherd_core::sync::{Comparison, Summaries};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::{mpsc, oneshot, watch};

use super::accept::accept_all;
use super::driver::{Driver, INPUTS_MAX, Input};
use super::heartbeats;
use super::pool::PoolConfig;
use super::shared::{Joining, Shared};
use super::{Channel, Delivery, Fetch, Fetched, Ticket, Unanswered, View};
use crate::cluster::{Event, LinkStatus};
use crate::env::{Env, Group};
use crate::surroundings::Surroundings;

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
    pub(crate) pool: PoolConfig,
    /// Connections whose frames may be applied side by side.
    pub(crate) turns: usize,
    pub(crate) key: Option<ClusterKey>,
}

/// The channel of a cluster.
pub(crate) struct TcpChannel {
    shared: Arc<Shared>,
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
        let (driver, inputs) = mpsc::channel(INPUTS_MAX);
        let (frequency, drop_time) = (config.membership.frequency, config.membership.drop_time);
        let cluster = config.membership.cluster.clone();
        let surroundings: Arc<dyn Surroundings> = Arc::new(env.clone());
        let shared = Arc::new(Shared::new(
            &config,
            (Arc::clone(&delivery), surroundings),
            driver.clone(),
        ));
        let myself = Myself {
            name: config.name,
            incarnation: config.incarnation,
            address,
            domain: config.domain,
        };
        drop(env.spawn(heartbeats::hear(
            env.clone(),
            Arc::clone(&group),
            cluster,
            config.key,
            delivery,
            driver,
        )));
        drop(env.spawn(accept_all(env.clone(), Arc::clone(&shared), listener)));
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
        Ok(Self { shared })
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

fn is_current(shared: &Shared) -> bool {
    shared.stamp.is_current(Pulse {
        at: shared.surroundings.now(),
        wall: shared.surroundings.wall_clock(),
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
        match self.shared.pool_to(to) {
            Some(pool) => pool.push(now, frame),
            None => Ticket {
                link: 0,
                frame: FrameTicket::default(),
            },
        }
    }

    fn flush(&self) {
        while let Some(pool) = self.shared.stirred_pool() {
            pool.flush();
        }
    }

    fn gathers(&self) -> bool {
        self.shared.gathers.load(Ordering::Relaxed)
    }

    fn poll_acknowledged(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.shared.numbered(ticket.link) {
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
        for pool in self.shared.pools() {
            pool.first.tell_frame(frame.clone());
        }
    }

    fn link_status(&self, to: Incarnation) -> LinkStatus {
        self.shared
            .pool_to(to)
            .map_or_else(LinkStatus::default, |pool| pool.status())
    }

    fn clock_ahead_ms(&self, of: Incarnation) -> Option<i64> {
        self.shared.clocks.lock().get(&of).copied()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.shared.counters.lock().clone()
    }

    fn forget(&self, name: &str) {
        let (driver, name) = (self.shared.driver.clone(), name.to_owned());
        self.shared.surroundings.spawn(Box::pin(async move {
            // A driver that has ended misses nobody.
            let _ = driver.send(Input::Forget { name }).await;
        }));
    }

    fn become_ready(&self, pauses: u64) {
        let driver = self.shared.driver.clone();
        self.shared.surroundings.spawn(Box::pin(async move {
            // A driver that has ended has no use for it.
            let _ = driver.send(Input::BecomeReady { pauses }).await;
        }));
    }

    fn is_current(&self) -> bool {
        is_current(&self.shared)
    }

    fn current(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
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
                if is_current(&shared) {
                    return;
                }
            }
        }
        .boxed()
    }

    fn met(&self) -> BoxFuture<'static, ()> {
        let mut met = self.shared.met.subscribe();
        let sleep = Arc::clone(&self.shared.surroundings);
        let Joining { heard_by, met_by } = self.shared.joining();
        async move {
            // The sender lives as long as the channel.
            tokio::select! {
                biased;
                _ = met.wait_for(|met| *met == Met::Everybody) => return,
                () = sleep.sleep_until(heard_by) => {}
            }
            tokio::select! {
                biased;
                _ = met.wait_for(|met| *met >= Met::AllHeard) => {}
                () = sleep.sleep_until(met_by) => {}
            }
        }
        .boxed()
    }

    fn leave(&self, within: Duration) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        let sleep = Arc::clone(&shared.surroundings);
        async move {
            let deadline = sleep.now() + within;
            let pools = shared.pools();
            let links: Vec<_> = pools.iter().flat_map(|pool| pool.links()).collect();
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
