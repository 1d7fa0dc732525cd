//! The task that feeds the membership and does what it says.
//!
//! Everything that is seen of other members comes in here, one thing after another; every decision
//! is the core's. So views change in one place, and each is published before the next input.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use catherd_core::membership::{ConnectFailure, Direction, Effect, Membership, Pulse};
use catherd_core::message::{
    FrameKind, FrameReader, Heartbeat, Hello, MemberState, Message, Purpose, Refusal, Welcome,
};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc, oneshot};

use super::View;
use super::incoming::Incoming;
use super::outgoing::{Link, Peer, PeerSays, bad};
use super::tcp::Shared;
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
    /// A connection that this node opened was welcomed.
    Welcomed {
        expected: Incarnation,
        welcome: Welcome,
        link: Arc<Link>,
        /// How many pauses there had been when the attempt began; so below.
        pauses: u64,
    },
    ConnectFailed {
        member: Incarnation,
        pauses: u64,
        failure: ConnectFailure,
    },
    /// A connection ended; `number` is that of an outgoing one.
    LinkLost {
        member: Incarnation,
        number: Option<u64>,
        close: Option<Arc<Notify>>,
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

pub(super) struct Driver<E: Env> {
    pub(super) env: E,
    pub(super) shared: Arc<Shared>,
    pub(super) membership: Membership,
    pub(super) group: Arc<E::Datagrams>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) incoming: BTreeMap<Incarnation, Vec<Arc<Notify>>>,
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
        loop {
            self.carry_out().await;
            let at = self.membership.poll_timeout();
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
        let had_members = !self.membership.view().members.is_empty();
        if self.membership.handle_pulse(pulse) {
            // Those of before are known and called at once; without any, somebody may have come.
            let patience = if had_members { 0 } else { 2 };
            let heard_by = pulse.at + patience * self.frequency;
            self.shared.join_by(heard_by, self.drop_time);
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.env.now();
        match input {
            Input::Heartbeat { heartbeat, bytes } => {
                self.heard_bytes = bytes;
                self.membership.handle_heartbeat(now, &heartbeat);
            }
            Input::Hello {
                hello,
                close,
                verdict,
            } => {
                let answer = self.membership.handle_hello(now, &hello);
                if answer.is_ok() && hello.purpose == Purpose::Link {
                    self.incoming
                        .entry(hello.incarnation)
                        .or_default()
                        .push(close);
                }
                // The caller may have gone; the reading half notices.
                let _ = verdict.send(answer);
            }
            Input::Welcomed {
                expected,
                welcome,
                link,
                pauses,
            } => {
                if self.is_of_before(pauses) {
                    link.close();
                    return;
                }
                // In its place first: the membership may have something to say over it.
                self.replace_link(expected, Some(link));
                if !self.membership.handle_welcome(now, expected, &welcome) {
                    self.replace_link(expected, None);
                }
            }
            Input::ConnectFailed {
                member,
                pauses,
                failure,
            } => {
                if !self.is_of_before(pauses) {
                    self.membership.handle_connect_failed(now, member, failure);
                }
            }
            Input::LinkLost {
                member,
                number,
                close,
            } => self.link_lost(now, member, number, close),
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
            Input::End { .. } => unreachable!("handled where the loop can end"),
        }
    }

    /// Whether something began before this node was stopped: it says nothing any more.
    fn is_of_before(&self, pauses: u64) -> bool {
        pauses != self.membership.counters().pauses
    }

    /// A connection that was replaced meanwhile says nothing about its successor.
    fn link_lost(
        &mut self,
        now: Time,
        member: Incarnation,
        number: Option<u64>,
        close: Option<Arc<Notify>>,
    ) {
        match (number, close) {
            (Some(number), _) => {
                if self
                    .shared
                    .link_to(member)
                    .is_none_or(|link| link.number != number)
                {
                    return;
                }
                self.replace_link(member, None);
                self.membership
                    .handle_link_lost(now, member, Direction::Outgoing);
            }
            (None, Some(close)) => {
                let Some(open) = self.incoming.get_mut(&member) else {
                    return;
                };
                open.retain(|other| !Arc::ptr_eq(other, &close));
                if open.is_empty() {
                    self.incoming.remove(&member);
                    self.membership
                        .handle_link_lost(now, member, Direction::Incoming);
                }
            }
            (None, None) => {}
        }
    }

    fn replace_link(&self, member: Incarnation, link: Option<Arc<Link>>) {
        if let Some(old) = self.shared.set_link(member, link) {
            old.close();
        }
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
                    self.replace_link(incarnation, None);
                    for close in self.incoming.remove(&incarnation).unwrap_or_default() {
                        close.notify_one();
                    }
                }
                Effect::PutBack => {
                    let now = self.env.now();
                    self.shared
                        .join_by(now + 2 * self.frequency, self.drop_time);
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
        self.shared.publish(view, self.membership.is_settled());
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
        let pauses = self.membership.counters().pauses;
        let (env, shared) = (self.env.clone(), Arc::clone(&self.shared));
        let hello = self
            .membership
            .hello_for(member, Purpose::Link, self.env.now());
        let deadline = self.env.now() + self.shared.handshake;
        drop(self.env.spawn(async move {
            let opened = tokio::select! {
                biased;
                opened = open(&env, &shared, address, &hello) => opened,
                () = env.sleep_until(deadline) => Err(ConnectFailure::Unreachable),
            };
            match opened {
                Ok((stream, buffer, welcome)) => {
                    link_up::<E>(
                        &env,
                        &shared,
                        Up {
                            member,
                            name,
                            stream,
                            buffer,
                            welcome,
                            pauses,
                        },
                    )
                    .await;
                }
                Err(failure) => {
                    let _ = shared
                        .driver
                        .send(Input::ConnectFailed {
                            member,
                            pauses,
                            failure,
                        })
                        .await;
                }
            }
        }));
    }

    /// A question that the process answers: a connection that is merely accepted proves nothing.
    fn probe(&self, member: Incarnation, address: SocketAddr, deadline: Time) {
        let (env, shared) = (self.env.clone(), Arc::clone(&self.shared));
        let pauses = self.membership.counters().pauses;
        let hello = self
            .membership
            .hello_for(member, Purpose::Probe, self.env.now());
        drop(self.env.spawn(async move {
            let outcome = tokio::select! {
                biased;
                opened = open(&env, &shared, address, &hello) => opened.map(|(.., welcome)| welcome),
                // The membership looks at the deadline itself.
                () = env.sleep_until(deadline) => return,
            };
            // A driver that has ended asks nobody any more.
            let _ = shared.driver.send(Input::Probed { member, pauses, outcome }).await;
        }));
    }

    fn end(&mut self) {
        for link in self.shared.take_links() {
            link.close();
        }
        for close in std::mem::take(&mut self.incoming).into_values().flatten() {
            close.notify_one();
        }
        self.membership.leave(self.env.now());
        self.shared.publish(view_of(&self.membership), true);
        self.shared.stamp.leave();
        self.shared.closed.notify_waiters();
    }
}

struct Up<S> {
    member: Incarnation,
    name: String,
    stream: S,
    buffer: BytesMut,
    welcome: Welcome,
    pauses: u64,
}

/// Runs a link that was welcomed to its end.
async fn link_up<E: Env>(env: &E, shared: &Arc<Shared>, up: Up<E::Stream>) {
    let (reader, writer) = tokio::io::split(up.stream);
    let number = shared.next_link.fetch_add(1, Ordering::Relaxed);
    let member = up.member;
    let link = Arc::new(Link::new(
        Peer {
            number,
            member,
            name: up.name,
        },
        Box::new(writer),
        shared.outbox,
        shared.key.clone(),
        Arc::clone(&shared.delivery),
        Arc::new(env.clone()),
    ));
    let welcomed = Input::Welcomed {
        expected: member,
        welcome: up.welcome,
        link: Arc::clone(&link),
        pauses: up.pauses,
    };
    if shared.driver.send(welcomed).await.is_err() {
        return;
    }
    let says = |what| drop(shared.driver.try_send(Input::Says { member, what }));
    let ended = link.run(reader, up.buffer, says).await;
    report(shared, &link.name, ended);
    link.close();
    let lost = Input::LinkLost {
        member,
        number: Some(number),
        close: None,
    };
    let _ = shared.driver.send(lost).await;
}

/// Says hello, and reads the answer.
async fn open<E: Env>(
    env: &E,
    shared: &Shared,
    address: SocketAddr,
    hello: &Hello,
) -> Result<(E::Stream, BytesMut, Welcome), ConnectFailure> {
    let mut stream = env.connect(address).await.map_err(failure)?;
    env.faults().at(Place::BeforeHello).await.map_err(failure)?;
    let frame = Message::Hello(hello.clone()).to_frame(shared.key.as_ref());
    stream.write_all(&frame).await.map_err(failure)?;
    stream.flush().await.map_err(failure)?;
    let mut buffer = BytesMut::new();
    match first_message(&mut stream, &mut buffer, shared).await {
        Ok(Message::Welcome(welcome)) => Ok((stream, buffer, welcome)),
        Ok(Message::Refused(refusal)) => Err(ConnectFailure::Refused(refusal)),
        Ok(_) => Err(ConnectFailure::Unreachable),
        Err(error) => Err(failure(error)),
    }
}

/// A kernel that answers for a process says that the process has ended.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failure(error: io::Error) -> ConnectFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectFailure::Reset,
        _ => ConnectFailure::Unreachable,
    }
}

/// Serves a connection that somebody opened: the hello first, and nothing before it.
pub(super) async fn accepted<E: Env>(
    env: E,
    shared: Arc<Shared>,
    mut stream: E::Stream,
    from: SocketAddr,
) {
    let mut buffer = BytesMut::new();
    let deadline = env.now() + HELLO_TIME;
    let first = tokio::select! {
        biased;
        first = first_message(&mut stream, &mut buffer, &shared) => first,
        () = env.sleep_until(deadline) => Err(io::ErrorKind::TimedOut.into()),
    };
    let hello = match first {
        Ok(Message::Hello(hello)) => hello,
        Ok(_) => return report(&shared, &from.to_string(), Err(bad("no hello"))),
        Err(error) => return report(&shared, &from.to_string(), Err(error)),
    };
    let (member, name, purpose) = (hello.incarnation, hello.name.clone(), hello.purpose);
    let close = Arc::new(Notify::new());
    let (verdict, judged) = oneshot::channel();
    let input = Input::Hello {
        hello,
        close: Arc::clone(&close),
        verdict,
    };
    if shared.driver.send(input).await.is_err() {
        return;
    }
    let Ok(verdict) = judged.await else { return };
    let is_welcome = verdict.is_ok();
    let answer = verdict.map_or_else(Message::Refused, Message::Welcome);
    if purpose == Purpose::Probe && env.faults().at(Place::BeforeProbeAnswer).await.is_err() {
        return;
    }
    let frame = answer.to_frame(shared.key.as_ref());
    let sent = match stream.write_all(&frame).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    if !is_welcome || purpose == Purpose::Probe {
        return;
    }
    let ended = match sent {
        Err(error) => Err(error),
        Ok(()) => {
            let incoming = Incoming {
                member,
                stream,
                buffer,
                key: shared.key.clone(),
                delivery: Arc::clone(&shared.delivery),
                faults: env.faults().clone(),
            };
            let says = |what| drop(shared.driver.try_send(Input::Says { member, what }));
            tokio::select! {
                biased;
                () = close.notified() => Ok(()),
                ended = incoming.run(says) => ended,
            }
        }
    };
    report(&shared, &name, ended);
    let _ = shared
        .driver
        .send(Input::LinkLost {
            member,
            number: None,
            close: Some(close),
        })
        .await;
}

async fn first_message<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    shared: &Shared,
) -> io::Result<Message> {
    let frames = FrameReader::new(Message::bytes_max(FrameKind::Hello, 0) + 1);
    loop {
        if let Some((head, payload)) = frames.next(buffer).map_err(bad)? {
            let message = Message::decode(head.kind, &payload, shared.key.as_ref(), 0);
            return message.map_err(bad)?.ok_or_else(|| bad("no hello"));
        }
        buffer.reserve(4096);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Bytes that nobody may send are said and counted; a connection that merely ends is not.
fn report(shared: &Shared, from: &str, ended: io::Result<()>) {
    if let Err(error) = ended
        && error.kind() == io::ErrorKind::InvalidData
    {
        let (from, why) = (from.to_owned(), error.to_string());
        shared.delivery.happened(Event::BadConnection { from, why });
    }
}

fn view_of(membership: &Membership) -> View {
    View {
        who: Arc::clone(membership.view()),
        missing: membership
            .missing()
            .map(|missing| missing.name.clone())
            .collect(),
        declared_gone: membership.declared_gone(),
        pauses: membership.counters().pauses,
        is_leaving: membership.is_leaving(),
    }
}

/// Who connects has this long for its hello.
const HELLO_TIME: Duration = Duration::from_secs(5);
