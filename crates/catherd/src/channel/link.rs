//! A link: a connection that this node opened to a member.
//!
//! One lock over the queue and the writing half. Whoever queues a frame writes it, from its own
//! task, if the rules of the outbox say so: it takes the writing half out, writes without the lock,
//! puts it back and looks whether there is more by now. So others queue meanwhile, and there is
//! never more than one who writes. What the socket does not take goes to the link's own task, the
//! only one that ever waits to write.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use catherd_core::link::{
    Ack, ControlFull, Frame, Outbox, OutboxEffect, Outcome, Ticket as FrameTicket, ToEncode,
};
use catherd_core::message::{ClusterKey, FrameReader, Message};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite as _};
use tokio::sync::Notify;

use super::answers::{answer, bad, misplaced};
use super::load::{BUSY_AGE, Load};
use super::pool::Pool;
use super::questions::{Questions, Reply};
use super::shared::Shared;
use super::{Delivery, Fetched, Ticket};
use crate::cluster::LinkStatus;
use crate::env::Writer;
use crate::surroundings::Surroundings;

pub(super) struct Link {
    /// By the channel's own count, from 1: a member may have had other links before.
    pub(super) number: u64,
    pub(super) member: Incarnation,
    pub(super) name: String,
    pub(super) questions: Questions,
    pub(super) surroundings: Arc<dyn Surroundings>,
    /// The links to the same member.
    pool: Weak<Pool>,
    /// What they have on their way, where there may be several.
    load: Option<Arc<Load>>,
    key: Option<ClusterKey>,
    delivery: Arc<dyn Delivery>,
    ack_timeout: Duration,
    keep_alive: KeepAlive,
    /// It is wanted also where one link would be enough (`autoConnect`).
    stays: bool,
    /// Something was queued since somebody last wrote.
    is_stirred: AtomicBool,
    /// Whether the last write of a link had more than one frame.
    gathers: Arc<AtomicBool>,
    /// The link is free while at most so many bytes and frames are queued.
    free: (usize, usize),
    /// Something was marked since the link was free.
    has_marks: AtomicBool,
    inner: Mutex<Inner>,
    /// The link's task has something to write, or a deadline to look at.
    stirred: Notify,
    /// Somebody ended the link.
    ended: Notify,
}

struct Inner {
    outbox: Outbox,
    /// `None` while somebody writes, and after a write that failed.
    half: Option<Half>,
    /// The socket took no more: only the link's task writes now.
    blocked: bool,
    /// Nothing is written before what went over another link is settled.
    held: bool,
    closed: bool,
    waiting: Vec<(FrameTicket, Waker)>,
    /// Who waits until everything up to a frame has come to its end.
    passing: Vec<(FrameTicket, Waker)>,
    drained: Vec<Waker>,
    /// So many bytes on their way are in the load of the pool.
    counted: usize,
    /// When something was last queued, and how often so far.
    used_at: Time,
    uses: u64,
}

/// The writing half of the connection.
struct Half {
    writer: Writer,
    /// Taken from the outbox, and not yet by the socket.
    unsent: BytesMut,
}

/// What there is to do for whoever wants to write.
enum Turn {
    /// To write what this half has, and to put it back.
    Write(Half),
    /// To encode entries of the queue, without the lock.
    Encode(Vec<ToEncode>),
    /// Nothing: all is written that may be, or somebody else is at it and will look again.
    Over,
}

/// When a connection that is not needed is closed (`keepAliveTimeout`,
/// `keepAliveMaxRequestCount`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeepAlive {
    /// After so long without a frame.
    pub(crate) idle: Option<Duration>,
    /// After so many frames.
    pub(crate) frames_max: Option<u64>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({} to {} {})", self.number, self.name, self.member)
    }
}

impl Link {
    pub(super) fn new(
        shared: &Shared,
        (member, name): (Incarnation, &str),
        writer: Writer,
        (pool, load): (Weak<Pool>, Option<Arc<Load>>),
        keep_alive: KeepAlive,
    ) -> Self {
        let outbox = Outbox::one_of(shared.outbox, shared.pool.links);
        let share = FREE_SHARE * shared.pool.links;
        Self {
            number: shared.next_link.fetch_add(1, Ordering::Relaxed),
            member,
            name: name.to_owned(),
            questions: Questions::default(),
            surroundings: Arc::clone(&shared.surroundings),
            pool,
            load,
            key: shared.key.clone(),
            delivery: Arc::clone(&shared.delivery),
            ack_timeout: shared.outbox.ack_timeout,
            keep_alive,
            stays: shared.pool.opens_at_once,
            is_stirred: AtomicBool::new(false),
            gathers: Arc::clone(&shared.gathers),
            free: (
                shared.outbox.queue_bytes_max / share,
                shared
                    .outbox
                    .queue_frames_max
                    .map_or(usize::MAX, |max| max / share),
            ),
            has_marks: AtomicBool::new(false),
            inner: Mutex::new(Inner::new(outbox, writer, shared.surroundings.now())),
            stirred: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// Queues a frame; nothing is written yet.
    pub(super) fn push(&self, now: Time, frame: Frame) -> Ticket {
        let mut inner = self.inner.lock();
        inner.used_at = inner.used_at.max(now);
        inner.uses += 1;
        let frame = inner.outbox.push(now, frame);
        self.count(&mut inner, now);
        self.is_stirred.store(true, Ordering::Release);
        Ticket {
            link: self.number,
            frame,
        }
    }

    /// Whether something was queued that nobody has tried to write yet; whoever asks does it.
    pub(super) fn take_stirred(&self) -> bool {
        self.is_stirred.load(Ordering::Acquire) && self.is_stirred.swap(false, Ordering::AcqRel)
    }

    /// Leaves all frames in the queue until [`wait_for`](Self::wait_for) has been called.
    pub(super) fn hold(&self) {
        self.inner.lock().held = true;
    }

    /// Writes only when all that another link to the member has by now has come to its end there:
    /// what went over that one before comes first, even where nobody waits for it any more.
    pub(super) async fn wait_for(&self, other: &Self, last: FrameTicket) {
        std::future::poll_fn(|cx| other.poll_past(last, cx)).await;
        self.inner.lock().held = false;
        self.pump();
    }

    /// The ticket of the last frame that was queued.
    pub(super) fn last_ticket(&self) -> FrameTicket {
        self.inner.lock().outbox.last_ticket()
    }

    /// Whether nothing is queued and everything is acknowledged.
    pub(super) fn is_drained(&self) -> bool {
        self.inner.lock().is_drained()
    }

    /// The member was silent over another link, or answers there again.
    pub(super) fn suspect(&self, is_silent: bool) {
        {
            let outbox = &mut self.inner.lock().outbox;
            if is_silent {
                outbox.suspect();
            } else {
                outbox.relieve();
            }
        }
        self.attend();
        // What was marked here had to wait for the others.
        self.tell_if_free();
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
            let turn = self.inner.lock().next_turn(self.surroundings.now());
            match turn {
                Turn::Write(half) => self.write(half),
                // Without the link's lock: a commit holds its session's lock while it queues.
                Turn::Encode(entries) => {
                    for entry in entries {
                        let payload = self.delivery.encode(entry.context, entry.key, entry.since);
                        self.inner.lock().outbox.fill(entry.ticket, payload);
                    }
                }
                Turn::Over => break,
            }
        }
        self.attend();
        self.tell_if_free();
    }

    /// Writes what the half has, as far as the socket takes it, and puts it back.
    fn write(&self, mut half: Half) {
        let written = half.poll_write(&mut Context::from_waker(Waker::noop()));
        let mut inner = self.inner.lock();
        match written {
            Poll::Ready(Ok(())) => self.written(&mut inner, half),
            Poll::Pending => {
                inner.put_back(half);
                inner.blocked = true;
                self.stirred.notify_one();
                if let Some(load) = &self.load {
                    load.note_busy(self.surroundings.now());
                }
            }
            // The reading half sees the end of the connection as well, and says so.
            Poll::Ready(Err(_)) => {}
        }
    }

    /// All that the half had is written.
    fn written(&self, inner: &mut Inner, half: Half) {
        inner.put_back(half);
        inner.outbox.written(self.surroundings.now());
        self.gathers
            .store(inner.outbox.gathers(), Ordering::Relaxed);
    }

    /// Something was marked over another link, which has ended.
    pub(super) fn repair_when_free(&self) {
        self.has_marks.store(true, Ordering::Release);
        self.tell_if_free();
    }

    /// What was marked is repaired when its bytes are not in the way of others: the queue has
    /// drained to a part of its bound, and the member answers.
    fn tell_if_free(&self) {
        if !self.has_marks.load(Ordering::Acquire) {
            return;
        }
        {
            let inner = self.inner.lock();
            // Whoever writes asks again.
            let Some(half) = &inner.half else { return };
            let snapshot = inner.outbox.snapshot(self.surroundings.now());
            let queued = snapshot.queued_bytes + half.unsent.len();
            let has_drained = queued <= self.free.0 && snapshot.queued_frames <= self.free.1;
            if inner.closed || snapshot.is_suspect || !has_drained {
                return;
            }
        }
        if self.has_marks.swap(false, Ordering::AcqRel) {
            self.delivery.link_free(self.member);
        }
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

    fn poll_past(&self, ticket: FrameTicket, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.outbox.is_past(ticket) {
            return Poll::Ready(());
        }
        inner.passing.push((ticket, cx.waker().clone()));
        Poll::Pending
    }

    /// Resolves when nothing is queued and everything is acknowledged, or the link is closed.
    pub(super) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.closed || inner.is_drained() {
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
            connections: 1,
            queued_frames: snapshot.queued_frames as u64,
            queued_bytes: snapshot.queued_bytes as u64,
            oldest_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            unacknowledged_frames: snapshot.unacknowledged_frames as u64,
            unacknowledged_bytes: snapshot.unacknowledged_bytes as u64,
            is_slow: snapshot.is_suspect,
            written_frames: snapshot.written_frames,
            marked_buckets: 0,
            writes: snapshot.counters.writes,
            joined_frames: snapshot.counters.joined,
            shrunk_frames: snapshot.counters.shrunk,
            shed_frames: snapshot.counters.shed,
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
            self.count(&mut inner, self.surroundings.now());
            inner.half = None;
        }
        self.questions.close();
        self.attend();
        self.ended.notify_one();
    }

    /// The link's task: reads what the member says, writes what the socket did not take at once,
    /// and looks at the deadlines. Ends with the connection.
    pub(super) async fn run(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut buffer: BytesMut,
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
                            self.handle(message)?;
                        }
                    }
                    self.pump();
                    if self.retires() {
                        return Ok(());
                    }
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

    fn handle(&self, message: Message) -> io::Result<()> {
        let answered = |question, reply| self.questions.answered(question, reply).map_err(bad);
        match message {
            Message::Ack(ack) => self.acknowledged(&ack)?,
            Message::Whole {
                question,
                answers,
                knew_route,
                is_cut,
                ..
            } => {
                let fetched = Fetched {
                    answers,
                    is_cut,
                    knew_route,
                };
                answered(question, Reply::Fetched(fetched))?;
            }
            Message::Summaries {
                question,
                summaries,
                ..
            } => answered(question, Reply::Summaries(summaries))?,
            Message::Used { question, ages, .. } => answered(question, Reply::Used(ages))?,
            // For a gap that was found in what came over this link.
            fetch @ (Message::Fetch { .. } | Message::FetchAll { .. }) => {
                if let Some(reply) = answer(&*self.delivery, self.member, fetch, &mut Vec::new())? {
                    self.tell_frame(reply);
                }
            }
            // What a member has to say and to ask comes over the connection that it opened.
            _ => return Err(misplaced()),
        }
        Ok(())
    }

    fn acknowledged(&self, ack: &Ack) -> io::Result<()> {
        let now = self.surroundings.now();
        let mut inner = self.inner.lock();
        inner.outbox.acknowledged(now, ack).map_err(bad)?;
        self.count(&mut inner, now);
        Ok(())
    }

    /// Tells the pool how much is on its way here.
    fn count(&self, inner: &mut Inner, now: Time) {
        let Some(load) = &self.load else { return };
        let bytes = inner.outbox.bytes_under_way();
        load.change(now, std::mem::replace(&mut inner.counted, bytes), bytes);
        if inner.outbox.oldest_age(now) > Some(BUSY_AGE) {
            load.note_busy(now);
        }
    }

    async fn write_and_watch(&self) -> io::Result<()> {
        loop {
            let now = self.surroundings.now();
            let (at, is_blocked) = self.next_look(now);
            tokio::select! {
                biased;
                () = self.stirred.notified() => {}
                written = std::future::poll_fn(|cx| self.poll_unblocked(cx)), if is_blocked => {
                    written?;
                    self.pump();
                }
                () = self.surroundings.sleep_until(at) => {
                    self.inner.lock().outbox.handle_timeout(self.surroundings.now());
                    self.attend();
                    self.tell_if_free();
                }
            }
            if self.retires() {
                return Ok(());
            }
        }
    }

    /// When the link's task looks at its deadlines next, and whether the socket has to take
    /// something first.
    fn next_look(&self, now: Time) -> (Time, bool) {
        let inner = self.inner.lock();
        // A frame that is queued later has a later deadline than this.
        let mut at = now + self.ack_timeout;
        at = at.min(inner.outbox.poll_timeout().unwrap_or(at));
        if let Some(idle) = self.keep_alive.idle {
            // One that is spent and not drained is looked at after the next acknowledgement.
            let spent_at = inner.used_at + idle;
            at = at.min(if spent_at > now { spent_at } else { at });
        }
        (at, inner.blocked)
    }

    /// Whether the connection is not needed any more, and nothing is on its way over it.
    fn retires(&self) -> bool {
        if self.keep_alive == KeepAlive::default() {
            return false;
        }
        let is_spent = {
            let (inner, now) = (self.inner.lock(), self.surroundings.now());
            let KeepAlive { idle, frames_max } = self.keep_alive;
            idle.is_some_and(|idle| now >= inner.used_at + idle || self.is_calm(idle, now))
                || frames_max.is_some_and(|max| inner.uses >= max)
        };
        is_spent && self.pool.upgrade().is_none_or(|pool| pool.retire(self))
    }

    /// Whether one link is enough for the member, and has been for so long.
    fn is_calm(&self, time: Duration, now: Time) -> bool {
        let was_busy = |load: &Arc<Load>| load.was_busy_within(time, now);
        !self.stays && !self.load.as_ref().is_some_and(was_busy)
    }

    /// Writes what the socket did not take at once.
    fn poll_unblocked(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.lock();
        // Nobody else takes the half of a blocked link, except for good.
        let Some(mut half) = inner.half.take() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        drop(inner);
        let written = half.poll_write(cx);
        inner = self.inner.lock();
        match written {
            Poll::Ready(Ok(())) => {
                inner.blocked = false;
                self.written(&mut inner, half);
            }
            Poll::Pending => inner.put_back(half),
            Poll::Ready(Err(_)) => {}
        }
        written
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
                passing,
                drained,
                ..
            } = &mut *inner;
            let mut still = |is_open: bool, waker: &Waker| {
                if !is_open {
                    wake.push(waker.clone());
                }
                is_open
            };
            waiting.retain(|(ticket, waker)| still(outbox.outcome(*ticket).is_none(), waker));
            passing.retain(|(ticket, waker)| still(!outbox.is_past(*ticket), waker));
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
                if let Some(pool) = self.pool.upgrade() {
                    pool.found_silent(self);
                }
            }
            OutboxEffect::Recovered => {
                if let Some(pool) = self.pool.upgrade() {
                    pool.found_answering(self);
                }
            }
            OutboxEffect::Marked {
                context,
                key,
                class,
            } => {
                self.delivery.marked(self.member, context, key, class);
                self.has_marks.store(true, Ordering::Release);
            }
            OutboxEffect::Ended { context, key } => {
                self.delivery.ended_at(self.member, context, key);
            }
        }
    }
}

impl Inner {
    fn new(outbox: Outbox, writer: Writer, now: Time) -> Self {
        Self {
            outbox,
            half: Some(Half {
                writer,
                unsent: BytesMut::new(),
            }),
            blocked: false,
            held: false,
            closed: false,
            waiting: Vec::new(),
            passing: Vec::new(),
            drained: Vec::new(),
            counted: 0,
            used_at: now,
            uses: 0,
        }
    }

    fn next_turn(&mut self, now: Time) -> Turn {
        // Where nothing can be written no entry's turn has come: it may still be joined.
        if self.closed || self.blocked || self.held {
            return Turn::Over;
        }
        let Some(mut half) = self.half.take() else {
            return Turn::Over;
        };
        // It had been written to the end, or the link were blocked.
        if self.outbox.to_write(now, &mut half.unsent) {
            return Turn::Write(half);
        }
        self.half = Some(half);
        let entries = self.outbox.take_joined();
        if entries.is_empty() {
            Turn::Over
        } else {
            Turn::Encode(entries)
        }
    }

    /// Of a link that was closed meanwhile the half goes, and the connection with it.
    fn put_back(&mut self, half: Half) {
        if !self.closed {
            self.half = Some(half);
        }
    }

    fn is_drained(&self) -> bool {
        let is_written = |half: &Half| half.unsent.is_empty();
        self.outbox.is_drained() && self.half.as_ref().is_some_and(is_written)
    }
}

impl Half {
    /// Writes until there is nothing left, or the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.writer).poll_write(cx, &self.unsent) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => self.unsent.advance(taken),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A queue with at most this part of what it may hold has drained.
const FREE_SHARE: usize = 4;

/// The room for one read.
pub(super) const READ_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use catherd_core::key::Key;
    use catherd_core::link::{Confirm, ContextId, FrameClass, Joining, OutboxConfig};

    use super::*;

    fn link() -> Inner {
        let outbox = Outbox::new(OutboxConfig {
            joining: Joining::Keep,
            confirm: Confirm::Applied,
            queue_bytes_max: 1 << 20,
            queue_frames_max: None,
            ack_timeout: Duration::from_secs(15),
            write_ahead_bytes: 1 << 20,
        });
        Inner::new(outbox, Box::new(tokio::io::sink()), Time::START)
    }

    fn push(link: &mut Inner, payload: &'static str) {
        let frame = Frame {
            context: ContextId(1),
            key: Key::from_bits(1),
            payload: Bytes::from_static(payload.as_bytes()),
            since: None,
            class: FrameClass::Fragment,
        };
        link.outbox.push(Time::START, frame);
    }

    /// The half, and the last bytes of what is to be written.
    fn to_write(link: &mut Inner, end: &str) -> Half {
        let Turn::Write(half) = link.next_turn(Time::START) else {
            panic!("there is something to write, and nobody is at it");
        };
        assert!(half.unsent.ends_with(end.as_bytes()), "{:?}", half.unsent);
        half
    }

    fn is_over(link: &mut Inner) -> bool {
        matches!(link.next_turn(Time::START), Turn::Over)
    }

    #[test]
    fn what_is_queued_while_somebody_writes_is_written_by_the_same() {
        let mut link = link();
        push(&mut link, "one");
        let mut half = to_write(&mut link, "one");
        push(&mut link, "two");
        let up_to = |up_to| Ack {
            up_to,
            ..Ack::default()
        };
        // The peer may be faster than the one who writes.
        link.outbox.acknowledged(Time::START, &up_to(1)).unwrap();
        assert!(is_over(&mut link), "there is never a second one who writes");
        assert!(!link.is_drained());
        half.unsent.clear();
        link.put_back(half);
        link.outbox.written(Time::START);
        let mut half = to_write(&mut link, "two");
        half.unsent.clear();
        link.put_back(half);
        assert!(is_over(&mut link) && !link.is_drained(), "unacknowledged");
        link.outbox.acknowledged(Time::START, &up_to(2)).unwrap();
        assert!(is_over(&mut link) && link.is_drained());
    }

    #[test]
    fn a_link_that_is_closed_while_somebody_writes_writes_no_more() {
        let mut link = link();
        push(&mut link, "one");
        let half = to_write(&mut link, "one");
        link.closed = true;
        link.put_back(half);
        assert!(link.half.is_none() && is_over(&mut link));
    }
}
