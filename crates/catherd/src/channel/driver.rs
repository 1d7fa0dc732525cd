//! The task that feeds the membership and does what it says.
//!
//! Everything that is seen of other members comes in here, one thing after another; every decision
//! is the core's. So views change in one place, and each is published before the next input.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catherd_core::membership::{
    ConnectFailure, Direction, Effect, Membership, Met, MissingMember, Pulse,
};
use catherd_core::message::{Heartbeat, Hello, MemberState, Message, Purpose, Refusal, Welcome};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use tokio::sync::{Notify, mpsc, oneshot};

use super::View;
use super::answers::PeerSays;
use super::dial::{Call, open_first, open_more, probe};
use super::pool::Pool;
use super::shared::{Joining, Shared};
use crate::cluster::Event;
use crate::env::{Env, Place};

/// What the driver is told.
pub(super) enum Input {
    /// Heard, in a datagram of so many bytes.
    Heartbeat {
        heartbeat: Heartbeat,
        bytes: usize,
    },
    /// Somebody opened a connection; `close` ends it when the member is gone.
    Hello {
        hello: Hello,
        close: Arc<Notify>,
        verdict: oneshot::Sender<Result<Welcome, Refusal>>,
    },
    /// The first link that this node opened to a member was welcomed.
    Welcomed {
        expected: Incarnation,
        welcome: Welcome,
        pool: Arc<Pool>,
        /// How many pauses there had been when the attempt began; so below.
        pauses: u64,
    },
    /// A place of a pool wants its link.
    OpenMore {
        member: Incarnation,
        /// The number of the pool's first link.
        first: u64,
        place: usize,
    },
    ConnectFailed {
        member: Incarnation,
        pauses: u64,
        failure: ConnectFailure,
    },
    /// The first link that this node opened to a member ended.
    LinkLost {
        member: Incarnation,
        first: u64,
    },
    /// A connection that a member opened ended.
    IncomingLost {
        member: Incarnation,
        close: Arc<Notify>,
    },
    Probed {
        member: Incarnation,
        pauses: u64,
        outcome: Result<Welcome, ConnectFailure>,
    },
    Says {
        member: Incarnation,
        what: PeerSays,
    },
    BecomeReady {
        pauses: u64,
    },
    /// A request found the pulse old.
    Look {
        done: oneshot::Sender<()>,
    },
    /// A person says that a missing member will not come back.
    Forget {
        name: String,
    },
    /// Say goodbye, meet nobody, suspect nobody.
    Leave {
        queues_empty: bool,
    },
    /// Close everything.
    End {
        done: oneshot::Sender<()>,
    },
}

/// What ends the connections that a member opened.
#[derive(Default)]
pub(super) struct IncomingLinks {
    first: Option<Arc<Notify>>,
    /// Those that came behind it (`pooled`).
    pooled: Vec<Arc<Notify>>,
}

impl IncomingLinks {
    fn close(&mut self) {
        for close in self.first.take().into_iter().chain(self.pooled.drain(..)) {
            close.notify_one();
        }
    }
}

/// A member may open so many connections behind its first.
const POOLED_MAX: usize = 1024;

/// So many inputs wait for the driver, and so many are looked at before a deadline that has passed:
/// those that had come before it say who is still there.
pub(super) const INPUTS_MAX: usize = 1024;

pub(super) struct Driver<E: Env> {
    pub(super) env: E,
    pub(super) shared: Arc<Shared>,
    pub(super) membership: Membership,
    pub(super) group: Arc<E::Datagrams>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) incoming: BTreeMap<Incarnation, IncomingLinks>,
    /// How long the datagram was that is being handled.
    pub(super) heard_bytes: usize,
    /// Whether all that was queued has been sent, when this node leaves.
    pub(super) queues_empty: bool,
    /// When this task ran last.
    pub(super) pulse: Option<Pulse>,
    pub(super) frequency: Duration,
    pub(super) drop_time: Duration,
}

impl<E: Env> Driver<E> {
    pub(super) async fn run(mut self) {
        self.look();
        let mut past_a_deadline = 0;
        loop {
            self.carry_out().await;
            let at = self.membership.poll_timeout();
            let is_due = at.is_some_and(|at| at <= self.env.now());
            past_a_deadline = if is_due { past_a_deadline + 1 } else { 0 };
            if past_a_deadline > INPUTS_MAX {
                // Whoever floods this node must not keep it from beating.
                past_a_deadline = 0;
                self.look();
                self.membership.handle_timeout(self.env.now());
                continue;
            }
            let env = self.env.clone();
            let timeout = async move {
                match at {
                    Some(at) => env.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                input = self.inputs.recv() => match input {
                    Some(Input::End { done }) => {
                        self.end();
                        // Whoever asked may have stopped waiting.
                        let _ = done.send(());
                        return;
                    }
                    Some(Input::Hello {
                        hello,
                        close,
                        verdict,
                    }) => {
                        self.look();
                        self.hear_hello(&hello, close, verdict).await;
                    }
                    Some(input) => {
                        self.look();
                        self.handle(input);
                    }
                    None => return self.end(),
                },
                () = timeout => {
                    self.look();
                    self.membership.handle_timeout(self.env.now());
                }
            }
        }
    }

    /// Looks at the pulse before anything else is looked at: whoever was stopped has no say about
    /// the others.
    fn look(&mut self) {
        let pulse = Pulse {
            at: self.env.now(),
            wall: self.env.wall_clock(),
        };
        self.pulse = Some(pulse);
        if self.membership.handle_pulse(pulse) {
            // Those of before are called at once, and name whom they hear. If none of them is left
            // somebody else may have come.
            self.join_from(pulse.at);
        }
    }

    fn join_from(&self, now: Time) {
        let joining = Joining::from(now, self.frequency, self.drop_time);
        self.shared.join(joining);
    }

    fn handle(&mut self, input: Input) {
        let now = self.env.now();
        match input {
            Input::Heartbeat { heartbeat, bytes } => {
                self.heard_bytes = bytes;
                self.membership.handle_heartbeat(now, &heartbeat);
            }
            Input::Welcomed {
                expected,
                welcome,
                pool,
                pauses,
            } => {
                if self.is_of_before(pauses) {
                    pool.close();
                    return;
                }
                // In its place first: the membership may have something to say over it.
                self.shared.set_pool(expected, Some(Arc::clone(&pool)));
                if self.membership.handle_welcome(now, expected, &welcome) {
                    pool.open_at_once(now);
                } else {
                    self.shared.set_pool(expected, None);
                }
            }
            Input::OpenMore {
                member,
                first,
                place,
            } => self.open_more(member, first, place),
            Input::ConnectFailed {
                member,
                pauses,
                failure,
            } => {
                if !self.is_of_before(pauses) {
                    self.membership.handle_connect_failed(now, member, failure);
                }
            }
            Input::LinkLost { member, first } => {
                if self.link_lost(member, first) {
                    self.membership
                        .handle_link_lost(now, member, Direction::Outgoing);
                }
            }
            Input::IncomingLost { member, close } => {
                if self.incoming_lost(member, &close) {
                    self.membership
                        .handle_link_lost(now, member, Direction::Incoming);
                }
            }
            Input::Probed {
                member,
                pauses,
                outcome,
            } => {
                if !self.is_of_before(pauses) {
                    let outcome = outcome.as_ref().map_err(|&failure| failure);
                    self.membership.handle_probe(now, member, outcome);
                }
            }
            Input::Says {
                member,
                what: PeerSays::Ready,
            } => {
                self.membership.handle_ready(now, member);
            }
            Input::Says {
                member,
                what: PeerSays::Goodbye,
            } => {
                self.membership.handle_goodbye(now, member);
            }
            Input::Forget { name } => drop(self.membership.forget(&name)),
            Input::BecomeReady { pauses } => {
                if !self.is_of_before(pauses) {
                    self.membership.become_ready(now);
                    self.shared.delivery.happened(Event::Ready);
                }
            }
            Input::Look { done } => {
                self.publish();
                // The request may have ended.
                let _ = done.send(());
            }
            Input::Leave { queues_empty } => {
                self.queues_empty = queues_empty;
                self.membership.leave(now);
            }
            Input::Hello { .. } | Input::End { .. } => {
                unreachable!("handled where the loop can wait and end")
            }
        }
    }

    /// Whether something began before this node was stopped: it says nothing any more.
    fn is_of_before(&self, pauses: u64) -> bool {
        pauses != self.membership.counters().pauses
    }

    /// A link that was replaced meanwhile says nothing about its successor.
    fn link_lost(&self, member: Incarnation, first: u64) -> bool {
        let is_it = self
            .shared
            .link_to(member)
            .is_some_and(|link| link.number == first);
        if is_it {
            self.shared.set_pool(member, None);
        }
        is_it
    }

    /// Somebody opened a connection. What follows from the hello for the connections of before is
    /// done first, or it would end this one as well.
    async fn hear_hello(
        &mut self,
        hello: &Hello,
        close: Arc<Notify>,
        verdict: oneshot::Sender<Result<Welcome, Refusal>>,
    ) {
        let mut answer = self.membership.handle_hello(self.env.now(), hello);
        self.carry_out().await;
        let pooled = |incoming: &IncomingLinks| incoming.pooled.len();
        let count = self.incoming.get(&hello.incarnation).map_or(0, pooled);
        if hello.purpose == Purpose::Pooled && count >= POOLED_MAX {
            answer = Err(Refusal::NotLinked);
        }
        if answer.is_ok() && hello.purpose != Purpose::Probe {
            self.welcome(hello, close);
        }
        // The caller may have gone; the reading half notices.
        let _ = verdict.send(answer);
    }

    /// Somebody was welcomed: the connection counts from here on.
    fn welcome(&mut self, hello: &Hello, close: Arc<Notify>) {
        let incoming = self.incoming.entry(hello.incarnation).or_default();
        if hello.purpose == Purpose::Pooled {
            incoming.pooled.push(close);
            return;
        }
        // It would not have called again if it still held the one before.
        incoming.close();
        incoming.first = Some(close);
    }

    /// Whether the connection was the one that the membership knows of.
    fn incoming_lost(&mut self, member: Incarnation, close: &Arc<Notify>) -> bool {
        let Some(incoming) = self.incoming.get_mut(&member) else {
            return false;
        };
        incoming.pooled.retain(|other| !Arc::ptr_eq(other, close));
        let is_it = |first: &Arc<Notify>| Arc::ptr_eq(first, close);
        if !incoming.first.as_ref().is_some_and(is_it) {
            return false;
        }
        if let Some(mut incoming) = self.incoming.remove(&member) {
            incoming.close();
        }
        true
    }

    /// Does what the membership wants done, until it wants nothing, then publishes the view.
    async fn carry_out(&mut self) {
        while let Some(effect) = self.membership.poll_effect() {
            match effect {
                Effect::SendHeartbeat(heartbeat) => {
                    let datagram = heartbeat.to_datagram(self.shared.key.as_ref());
                    self.send(&datagram).await;
                }
                Effect::AnswerHeartbeat(heartbeat) => {
                    // A datagram never triggers a larger one.
                    let datagram = heartbeat.to_datagram(self.shared.key.as_ref());
                    if datagram.len() <= self.heard_bytes {
                        self.send(&datagram).await;
                    }
                }
                Effect::Connect {
                    incarnation,
                    name,
                    address,
                } => {
                    self.connect(incarnation, name, address);
                }
                Effect::Probe {
                    incarnation,
                    address,
                    deadline,
                } => {
                    self.probe(incarnation, address, deadline);
                }
                Effect::SendReady { incarnation } => self.tell(incarnation, &Message::Ready),
                // A test that makes this fail wants a node that leaves without a word.
                Effect::SendGoodbye { incarnation }
                    if self.env.faults().at(Place::BeforeGoodbye).await.is_ok() =>
                {
                    let queues_empty = self.queues_empty;
                    self.tell(incarnation, &Message::Goodbye { queues_empty });
                }
                Effect::Disconnect { incarnation } => {
                    // The view first: nobody is to queue for a link that is about to close.
                    self.publish();
                    self.shared.set_pool(incarnation, None);
                    self.incoming
                        .remove(&incarnation)
                        .unwrap_or_default()
                        .close();
                }
                Effect::PutBack => {
                    let now = self.env.now();
                    self.join_from(now);
                    let incarnation = self.shared.delivery.put_back();
                    self.membership.handle_new_incarnation(now, incarnation);
                }
                Effect::Event(event) => self.shared.delivery.happened(Event::Member(event)),
                // An effect of a later core, which this shell does not know how to carry out.
                _ => {}
            }
        }
        self.publish();
    }

    async fn send(&self, datagram: &[u8]) {
        if self.env.send_datagram(&self.group, datagram).await.is_err() {
            self.shared
                .heartbeats_unsent
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell(&self, member: Incarnation, message: &Message) {
        if let Some(link) = self.shared.link_to(member) {
            link.tell(message);
        }
    }

    fn publish(&self) {
        let view = view_of(&self.membership);
        self.shared.publish(view, self.membership.met());
        self.shared.count(self.membership.counters());
        self.shared.note_clocks(self.membership.clocks());
        // Behind the view: a request that goes on by this stamp sees the view that belongs to it.
        let has_joined =
            self.membership.state() == MemberState::Ready || self.membership.counters().pauses == 0;
        match self.pulse {
            _ if self.membership.is_leaving() => self.shared.stamp.leave(),
            Some(pulse) if has_joined => self.shared.stamp.beat(pulse),
            _ => self.shared.stamp.join_again(),
        }
    }

    fn connect(&self, member: Incarnation, name: String, address: SocketAddr) {
        let call = self.call(member, name, address, Purpose::Link);
        let (env, shared) = (self.env.clone(), Arc::clone(&self.shared));
        drop(self.env.spawn(open_first(env, shared, call)));
    }

    fn probe(&self, member: Incarnation, address: SocketAddr, deadline: Time) {
        let call = self.call(member, String::new(), address, Purpose::Probe);
        let (env, shared) = (self.env.clone(), Arc::clone(&self.shared));
        drop(self.env.spawn(probe(env, shared, call, deadline)));
    }

    /// One more link to a member of the view, unless its pool was closed meanwhile.
    fn open_more(&self, member: Incarnation, first: u64, place: usize) {
        let pool = self.shared.pool_to(member);
        let Some(pool) = pool.filter(|pool| pool.first.number == first) else {
            return;
        };
        let Some(who) = self.membership.view().member(member) else {
            return pool.failed(place, self.env.now());
        };
        let call = self.call(member, who.name.clone(), who.address, Purpose::Pooled);
        let (env, shared) = (self.env.clone(), Arc::clone(&self.shared));
        drop(self.env.spawn(open_more(env, shared, call, (pool, place))));
    }

    fn call(
        &self,
        member: Incarnation,
        name: String,
        address: SocketAddr,
        purpose: Purpose,
    ) -> Call {
        Call {
            member,
            name,
            address,
            hello: self.membership.hello_for(member, purpose, self.env.now()),
            pauses: self.membership.counters().pauses,
        }
    }

    fn end(&mut self) {
        self.shared.take_pools();
        for incoming in self.incoming.values_mut() {
            incoming.close();
        }
        self.membership.leave(self.env.now());
        self.shared
            .publish(view_of(&self.membership), Met::Everybody);
        self.shared.stamp.leave();
        self.shared.closed.notify_waiters();
    }
}

fn view_of(membership: &Membership) -> View {
    let names = |is_wanted: fn(&MissingMember) -> bool| {
        let wanted = membership.missing().filter(|missing| is_wanted(missing));
        wanted.map(|missing| missing.name.clone()).collect()
    };
    View {
        who: Arc::clone(membership.view()),
        missing: names(|_| true),
        silent: names(|missing| !missing.has_ended),
        is_any_unmet: membership.is_any_unmet(),
        declared_gone: membership.declared_gone(),
        arrivals: membership.arrivals(),
        pauses: membership.counters().pauses,
        is_leaving: membership.is_leaving(),
    }
}
