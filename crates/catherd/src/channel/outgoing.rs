//! A link: the connection that this node opened to a member.
//!
//! One lock over the queue and the writing half. Whoever queues a frame writes it, from its own
//! task, if the rules of the outbox say so; the socket is never waited for under the lock. What
//! the socket does not take goes to the link's own task, the only one that ever waits to write.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use catherd_core::key::Key;
use catherd_core::link::{
    Ack, ControlFull, Frame, Outbox, OutboxConfig, OutboxEffect, Outcome, Ticket as FrameTicket,
};
use catherd_core::message::{ClusterKey, FrameReader, Message};
use catherd_core::sync::{Comparison, Summaries};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{Notify, oneshot};

use super::{Delivery, Fetch, Fetched, Unanswered};
use crate::cluster::{Event, LinkStatus};
use crate::surroundings::Surroundings;

pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

pub(super) struct Link {
    /// By the channel's own count, from 1: a member may have had other links before.
    pub(super) number: u64,
    pub(super) member: Incarnation,
    pub(super) name: String,
    key: Option<ClusterKey>,
    delivery: Arc<dyn Delivery>,
    surroundings: Arc<dyn Surroundings>,
    ack_timeout: Duration,
    inner: Mutex<Inner>,
    /// The link's task has something to write, or a deadline to look at.
    stirred: Notify,
    /// Somebody ended the link.
    ended: Notify,
    questions: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
    next_question: AtomicU64,
}

struct Inner {
    outbox: Outbox,
    writer: Writer,
    /// Taken from the outbox, and not yet by the socket.
    unsent: BytesMut,
    /// The socket took no more: only the link's task writes now.
    blocked: bool,
    closed: bool,
    waiting: Vec<(FrameTicket, Waker)>,
    drained: Vec<Waker>,
}

/// The answer to a question.
enum Reply {
    Fetched(Fetched),
    Summaries(Summaries),
    Used(Vec<(Key, Duration)>),
}

/// What the other side says of itself over a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PeerSays {
    Ready,
    Goodbye,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({} to {} {})", self.number, self.name, self.member)
    }
}

/// Whom a link is to.
pub(super) struct Peer {
    pub(super) number: u64,
    pub(super) member: Incarnation,
    pub(super) name: String,
}

impl Link {
    pub(super) fn new(
        peer: Peer,
        writer: Writer,
        config: OutboxConfig,
        key: Option<ClusterKey>,
        delivery: Arc<dyn Delivery>,
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        Self {
            number: peer.number,
            member: peer.member,
            name: peer.name,
            key,
            delivery,
            surroundings,
            ack_timeout: config.ack_timeout,
            inner: Mutex::new(Inner {
                outbox: Outbox::new(config),
                writer,
                unsent: BytesMut::new(),
                blocked: false,
                closed: false,
                waiting: Vec::new(),
                drained: Vec::new(),
            }),
            stirred: Notify::new(),
            ended: Notify::new(),
            questions: Mutex::default(),
            next_question: AtomicU64::new(1),
        }
    }

    /// Queues a frame; nothing is written yet.
    pub(super) fn push(&self, now: Time, frame: Frame) -> FrameTicket {
        self.inner.lock().outbox.push(now, frame)
    }

    /// Queues a message that is not numbered, ahead of all frames, and writes what can be.
    pub(super) fn tell(&self, message: &Message) {
        self.tell_frame(message.to_frame(self.key.as_ref()));
    }

    /// The same for a message that was encoded for several links.
    pub(super) fn tell_frame(&self, frame: Bytes) {
        let queued = self.inner.lock().outbox.push_control(frame);
        match queued {
            Ok(()) => self.pump(),
            // The member does not read: what it misses it gets when it comes back.
            Err(ControlFull) => self.close(),
        }
    }

    /// Writes all that is queued, as far as the socket takes it, whatever is acknowledged.
    pub(super) fn hold_nothing_back(&self) {
        self.inner.lock().outbox.hold_nothing_back();
        self.pump();
    }

    /// Writes what the rules allow, as far as the socket takes it.
    pub(super) fn pump(&self) {
        loop {
            let to_encode = {
                let mut inner = self.inner.lock();
                if inner.closed {
                    return;
                }
                if !inner.blocked && self.write(&mut inner, &mut noop_context()).is_pending() {
                    inner.blocked = true;
                    self.stirred.notify_one();
                }
                inner.outbox.take_joined()
            };
            if to_encode.is_empty() {
                break;
            }
            // Without the link's lock: a commit holds its session's lock while it queues.
            for entry in to_encode {
                let payload = self.delivery.encode(entry.context, entry.key, entry.since);
                self.inner.lock().outbox.fill(entry.ticket, payload);
            }
        }
        self.attend();
    }

    /// What has become of a frame.
    pub(super) fn poll_acknowledged(
        &self,
        ticket: FrameTicket,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome> {
        let mut inner = self.inner.lock();
        if let Some(outcome) = inner.outbox.outcome(ticket) {
            return Poll::Ready(outcome);
        }
        let waits =
            |(other, waker): &(FrameTicket, Waker)| *other == ticket && waker.will_wake(cx.waker());
        if !inner.waiting.iter().any(waits) {
            inner.waiting.push((ticket, cx.waker().clone()));
        }
        Poll::Pending
    }

    /// Asks the member for sessions.
    pub(super) async fn fetch(
        self: Arc<Self>,
        fetch: Fetch,
        deadline: Time,
    ) -> Result<Fetched, Unanswered> {
        let Fetch {
            context,
            wanted,
            route,
        } = fetch;
        let ask = |question| Message::Fetch {
            question,
            context,
            wanted,
            route,
        };
        match self.ask(ask, deadline).await? {
            Reply::Fetched(fetched) => Ok(fetched),
            Reply::Summaries(_) | Reply::Used(_) => Err(Unanswered),
        }
    }

    /// Compares digests with the member.
    pub(super) async fn compare(
        self: Arc<Self>,
        context: String,
        comparison: Comparison,
        deadline: Time,
    ) -> Result<Summaries, Unanswered> {
        let ask = |question| Message::Buckets {
            question,
            context,
            comparison,
        };
        match self.ask(ask, deadline).await? {
            Reply::Summaries(summaries) => Ok(summaries),
            Reply::Fetched(_) | Reply::Used(_) => Err(Unanswered),
        }
    }

    /// Asks the member which of these sessions it uses.
    pub(super) async fn expire(
        self: Arc<Self>,
        context: String,
        ages: Vec<(Key, Duration)>,
        deadline: Time,
    ) -> Result<Vec<(Key, Duration)>, Unanswered> {
        let ask = |question| Message::Expire {
            question,
            context,
            ages,
        };
        match self.ask(ask, deadline).await? {
            Reply::Used(ages) => Ok(ages),
            Reply::Fetched(_) | Reply::Summaries(_) => Err(Unanswered),
        }
    }

    async fn ask(
        &self,
        message: impl FnOnce(u64) -> Message,
        deadline: Time,
    ) -> Result<Reply, Unanswered> {
        let question = self.next_question.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.questions.lock().insert(question, answer);
        let _forget = Forget {
            link: self,
            question,
        };
        self.tell(&message(question));
        tokio::select! {
            biased;
            reply = answered => reply.map_err(|_| Unanswered),
            () = self.surroundings.sleep_until(deadline) => Err(Unanswered),
        }
    }

    fn answered(&self, question: u64, reply: Reply) {
        if let Some(asker) = self.questions.lock().remove(&question) {
            // Whoever asked may have given up.
            let _ = asker.send(reply);
        }
    }

    /// Resolves when nothing is queued and everything is acknowledged, or the link is closed.
    pub(super) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        let now = self.surroundings.now();
        let snapshot = inner.outbox.snapshot(now);
        let left = snapshot.queued_frames + snapshot.unacknowledged_frames;
        if inner.closed || (left == 0 && inner.unsent.is_empty()) {
            return Poll::Ready(());
        }
        inner.drained.push(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn status(&self) -> LinkStatus {
        let inner = self.inner.lock();
        let snapshot = inner.outbox.snapshot(self.surroundings.now());
        let oldest = snapshot.oldest.unwrap_or(Duration::ZERO);
        LinkStatus {
            queued_frames: snapshot.queued_frames as u64,
            queued_bytes: (snapshot.queued_bytes + inner.unsent.len()) as u64,
            oldest_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            unacknowledged_frames: snapshot.unacknowledged_frames as u64,
            is_slow: snapshot.is_suspect,
            written_frames: snapshot.written_frames,
        }
    }

    /// Nothing is sent any more, and nobody waits any longer: what was on its way is marked.
    pub(super) fn close(&self) {
        {
            let mut inner = self.inner.lock();
            if inner.closed {
                return;
            }
            inner.closed = true;
            inner.outbox.close();
            inner.writer = Box::new(tokio::io::sink());
            inner.unsent.clear();
        }
        self.questions.lock().clear();
        self.attend();
        self.ended.notify_one();
    }

    /// The link's task: reads what the member says, writes what the socket did not take at once,
    /// and looks at the deadlines. Ends with the connection.
    pub(super) async fn run(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut buffer: BytesMut,
        mut says: impl FnMut(PeerSays),
    ) -> io::Result<()> {
        let frames = FrameReader::new(self.frame_bytes_max());
        tokio::select! {
            biased;
            () = self.ended.notified() => Ok(()),
            result = async {
                loop {
                    while let Some((head, payload)) = frames.next(&mut buffer).map_err(bad)? {
                        let max = self.delivery.session_bytes_max();
                        let message = Message::decode(head.kind, &payload, self.key.as_ref(), max);
                        if let Some(message) = message.map_err(bad)? {
                            self.handle(message, &mut says)?;
                        }
                    }
                    self.pump();
                    buffer.reserve(READ_BYTES);
                    if reader.read_buf(&mut buffer).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            } => result,
            result = self.write_and_watch() => result,
        }
    }

    fn frame_bytes_max(&self) -> usize {
        let max = self.delivery.session_bytes_max();
        Message::bytes_max(catherd_core::message::FrameKind::Whole, max) + 16
    }

    fn handle(&self, message: Message, says: &mut impl FnMut(PeerSays)) -> io::Result<()> {
        match message {
            Message::Ack(ack) => self.acknowledged(&ack)?,
            Message::Whole {
                question,
                answers,
                knew_route,
                ..
            } => {
                self.answered(
                    question,
                    Reply::Fetched(Fetched {
                        answers,
                        knew_route,
                    }),
                );
            }
            Message::Summaries {
                question,
                summaries,
                ..
            } => {
                self.answered(question, Reply::Summaries(summaries));
            }
            Message::Buckets {
                question,
                context,
                comparison,
            } => {
                let summaries = self.delivery.compare(self.member, &context, &comparison);
                self.tell(&Message::Summaries {
                    question,
                    context,
                    summaries,
                });
            }
            Message::Fetch {
                question,
                context,
                wanted,
                route,
            } => {
                let answers = self.delivery.answer(&context, &wanted);
                let knew_route = self.delivery.knew(&route);
                self.tell(&Message::Whole {
                    question,
                    context,
                    answers,
                    knew_route,
                });
            }
            Message::Used { question, ages, .. } => {
                self.answered(question, Reply::Used(ages));
            }
            Message::Expire {
                question,
                context,
                ages,
            } => {
                let ages = self.delivery.used(self.member, &context, &ages);
                self.tell(&Message::Used {
                    question,
                    context,
                    ages,
                });
            }
            Message::Expired { context, keys } => self.delivery.expired(&context, &keys),
            Message::Touch { context, ages } => {
                self.delivery.touched(self.member, &context, &ages);
            }
            Message::Ready => says(PeerSays::Ready),
            Message::Goodbye { .. } => says(PeerSays::Goodbye),
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Refused(_)
            | Message::Fragments { .. } => {
                return Err(bad("a message that does not belong on this side of a link"));
            }
        }
        Ok(())
    }

    fn acknowledged(&self, ack: &Ack) -> io::Result<()> {
        let now = self.surroundings.now();
        self.inner.lock().outbox.acknowledged(now, ack).map_err(bad)
    }

    async fn write_and_watch(&self) -> io::Result<()> {
        loop {
            let now = self.surroundings.now();
            let timeout = self.inner.lock().outbox.poll_timeout();
            // A frame that is queued later has a later deadline than this.
            let at = timeout
                .unwrap_or(now + self.ack_timeout)
                .min(now + self.ack_timeout);
            tokio::select! {
                biased;
                () = self.stirred.notified() => {
                    std::future::poll_fn(|cx| self.poll_unblocked(cx)).await?;
                    self.pump();
                }
                () = self.surroundings.sleep_until(at) => {
                    self.inner.lock().outbox.handle_timeout(self.surroundings.now());
                    self.attend();
                }
            }
        }
    }

    fn poll_unblocked(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = self.write(&mut inner, cx);
        if written.is_ready() {
            inner.blocked = false;
        }
        written
    }

    /// Writes until there is nothing left, or the socket takes no more.
    fn write(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let now = self.surroundings.now();
            if inner.unsent.is_empty() && !inner.outbox.to_write(now, &mut inner.unsent) {
                return Poll::Ready(Ok(()));
            }
            while !inner.unsent.is_empty() {
                let Inner { writer, unsent, .. } = inner;
                match Pin::new(writer).poll_write(cx, unsent) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(taken)) => unsent.advance(taken),
                    // The reading half sees the end of the connection as well, and says so.
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            inner.outbox.written(now);
        }
    }

    /// Does what the outbox asks for, and wakes whoever waits for what is settled.
    fn attend(&self) {
        let (mut effects, mut wake) = (Vec::new(), Vec::new());
        {
            let mut inner = self.inner.lock();
            while let Some(effect) = inner.outbox.poll() {
                effects.push(effect);
            }
            if effects.is_empty() && inner.drained.is_empty() {
                return;
            }
            let Inner {
                outbox,
                waiting,
                drained,
                ..
            } = &mut *inner;
            waiting.retain(|(ticket, waker)| {
                let open = outbox.outcome(*ticket).is_none();
                if !open {
                    wake.push(waker.clone());
                }
                open
            });
            wake.append(drained);
        }
        wake.into_iter().for_each(Waker::wake);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&self, effect: OutboxEffect) {
        match effect {
            OutboxEffect::Settled => {}
            OutboxEffect::Suspect => {
                self.delivery.happened(Event::MemberSlow {
                    name: self.name.clone(),
                });
            }
            OutboxEffect::Recovered => {
                self.delivery.happened(Event::MemberRecovered {
                    name: self.name.clone(),
                });
            }
            OutboxEffect::Marked { context, key } => {
                self.delivery.marked(self.member, context, key);
            }
            OutboxEffect::Ended { context, key } => {
                self.delivery.ended_at(self.member, context, key);
            }
        }
    }
}

/// Forgets a question when its asker no longer waits.
struct Forget<'a> {
    link: &'a Link,
    question: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.questions.lock().remove(&self.question);
    }
}

fn noop_context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Bytes that a member must not send.
pub(super) fn bad(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// The room for one read.
pub(super) const READ_BYTES: usize = 32 * 1024;
