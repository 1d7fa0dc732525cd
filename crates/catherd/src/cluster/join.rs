//! A starting node gets the state of its contexts before it is ready (HOW-TO, "How it Works", 2).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use catherd_core::membership::MemberEvent;
use catherd_core::sync::{Join, Pull};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::future::{join_all, try_join};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::sync::atomic::Ordering;

use super::events::Event;
use super::node::Node;
use super::pull::{BUCKETS, Buckets, Meter};
use super::status::TransferStatus;
use crate::channel::{Unanswered, View};
use crate::context::{ContextInner, OnTransferTimeout};

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

impl Node {
    /// Meets the members, gets their state, and is ready; or leaves.
    pub(super) async fn join(self: &Arc<Self>) {
        let channel = self.channel();
        let mut views = channel.watch();
        loop {
            let pauses = views.borrow_and_update().pauses;
            let is_over = |view: &View| view.is_leaving || view.pauses != pauses;
            let got = async {
                channel.met().await;
                self.transfer_state().await;
            };
            tokio::select! {
                biased;
                // Stopped on the way: what was got by then may be old.
                _ = views.wait_for(|view| is_over(view)) => {}
                () = got => channel.become_ready(pauses),
            }
            // The sender lives as long as the channel.
            let joined = views
                .wait_for(|view| view.am_ready() || is_over(view))
                .await;
            if joined.is_ok_and(|view| view.pauses != pauses && !view.is_leaving) {
                continue;
            }
            return;
        }
    }

    /// Joins again each time that this node was stopped, until it leaves.
    pub(super) async fn join_after_pauses(self: Arc<Self>) {
        let mut views = self.channel().watch();
        loop {
            let stopped = views
                .wait_for(|view| !view.am_ready() || view.is_leaving)
                .await;
            // The sender lives as long as the channel.
            if stopped.map_or(true, |view| view.is_leaving) {
                return;
            }
            self.join().await;
        }
    }

    /// Brings every replicated context up to date, side by side. Returns when each has verified
    /// with every member that has the state, or its time is over and its policy lets it start.
    pub(super) async fn transfer_state(self: &Arc<Self>) {
        let contexts = self.contexts();
        let replicated = contexts
            .iter()
            .filter(|context| context.manager.is_replicated());
        join_all(replicated.map(|context| self.transfer(context))).await;
    }

    async fn transfer(self: &Arc<Self>, context: &Arc<ContextInner>) {
        let began = self.surroundings.now();
        let timeout = context
            .manager
            .state_transfer_timeout
            .map(|timeout| began + timeout);
        let stays_closed =
            context.manager.on_state_transfer_timeout == OnTransferTimeout::StayClosed;
        let (mut join, meter) = (Join::new(BUCKETS), Meter::default());
        let (mut views, mut pulls) = (self.channel().watch(), FuturesUnordered::new());
        let (mut told, mut is_late) = (began, false);
        let mut events = self.events();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            if view.is_leaving {
                return;
            }
            join.handle_donors(donors(&view));
            while let Some(pull) = join.poll() {
                pulls.push(self.pull_part(context, pull, &meter));
            }
            if join.is_verified() {
                break;
            }
            let now = self.surroundings.now();
            if now >= told + PROGRESS_INTERVAL {
                told = now;
                self.tell_progress(context, &join, &meter, began, "running");
                // A donor that failed may only have been slow.
                join.handle_patience();
            }
            if timeout.is_some_and(|timeout| now >= timeout) && !is_late {
                is_late = true;
                self.tell_progress(context, &join, &meter, began, "timed out");
                if !stays_closed {
                    return;
                }
            }
            let wake = match timeout {
                Some(timeout) if !is_late => timeout.min(told + PROGRESS_INTERVAL),
                Some(_) | None => told + PROGRESS_INTERVAL,
            };
            tokio::select! {
                biased;
                // A view that changes and changes back looks as before; the connections do not. What
                // was pulled counts only when it is known what became of the connection.
                Some(event) = events.next() => {
                    if let Event::Member(
                        MemberEvent::Reopened(who, _) | MemberEvent::Gone(who, _),
                    ) = event
                    {
                        join.handle_lost(who.incarnation);
                    }
                }
                Some((pull, is_done)) = pulls.next(), if !pulls.is_empty() => {
                    join.handle_pulled(&pull, is_done);
                }
                // The sender lives as long as the channel.
                _ = views.changed() => {}
                () = self.surroundings.sleep_until(wake) => {}
            }
        }
        self.tell_progress(context, &join, &meter, began, "done");
    }

    async fn pull_part(
        &self,
        context: &Arc<ContextInner>,
        pull: Pull,
        meter: &Meter,
    ) -> (Pull, bool) {
        let Range { start, end } = pull.buckets;
        let pull_half = |half: Range<u32>| async {
            let from = pull.from;
            if !pull.verifies
                && self
                    .pull_everything(context, from, half.clone(), meter)
                    .await?
            {
                return Ok(());
            }
            let buckets = Buckets::Range(half);
            self.pull(context, from, &buckets, false, None, meter).await
        };
        // Two halves: one is compared while the other is fetched.
        let middle = start + (end - start) / 2;
        let pulled: Result<_, Unanswered> =
            try_join(pull_half(start..middle), pull_half(middle..end)).await;
        (pull, pulled.is_ok())
    }

    fn tell_progress(
        &self,
        context: &ContextInner,
        join: &Join,
        meter: &Meter,
        began: Time,
        state: &'static str,
    ) {
        let took = self.surroundings.now().since(began);
        let (sessions, bytes) = (
            meter.sessions.load(Ordering::Relaxed),
            meter.bytes.load(Ordering::Relaxed),
        );
        let (done, seconds) = (join.progress(), took.as_secs_f64());
        let remaining = (done > 0.0).then(|| seconds / done * (1.0 - done));
        let status = TransferStatus {
            state,
            sessions,
            bytes,
            percent: percent(done),
            sessions_per_second: if seconds > 0.0 {
                sessions as f64 / seconds
            } else {
                0.0
            },
            seconds,
            seconds_remaining: remaining,
        };
        *context.transfer.lock() = status.clone();
        self.emit(Event::StateTransfer {
            context: context.name.clone(),
            transfer: status,
        });
    }
}

/// Whole percents, rounded down: 100 is said when all is there.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share between 0 and 1"
)]
fn percent(done: f64) -> u8 {
    (done.clamp(0.0, 1.0) * 100.0) as u8
}

/// Who has the state: the ready members of the domain; all of them, if none is ready.
fn donors(view: &View) -> Vec<Incarnation> {
    let near = || {
        view.members
            .iter()
            .filter(|member| member.domain == view.myself.domain)
    };
    let ready: Vec<_> = near()
        .filter(|member| member.is_ready())
        .map(|member| member.incarnation)
        .collect();
    if ready.is_empty() {
        near().map(|member| member.incarnation).collect()
    } else {
        ready
    }
}
