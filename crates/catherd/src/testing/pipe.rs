//! One direction of a connection: bytes in order, bounded, on a link that may be cut.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::link::Way;
use super::state::{ProcessId, State, Step, Turn};

/// The number of a pipe; never used twice in a network.
pub(super) type PipeId = u64;

#[derive(Debug)]
pub(super) struct Pipe {
    from: ProcessId,
    to: ProcessId,
    /// The other direction of the same connection.
    twin: PipeId,
    /// Bytes that have arrived and were not read yet.
    arrived: BytesMut,
    /// What is under way, in the order in which it arrives; the instants never fall.
    flying: VecDeque<(Instant, Segment)>,
    /// The bytes of `arrived` and `flying` together; a writer waits at the capacity.
    held: usize,
    /// All that was written has been read, and the writer has ended.
    end_arrived: bool,
    reset_arrived: bool,
    /// The writer has ended or was reset: nothing follows.
    closed: bool,
    writer_gone: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
enum Segment {
    Data(Bytes),
    End,
    Reset,
}

impl Pipe {
    fn new(from: ProcessId, to: ProcessId, twin: PipeId) -> Self {
        Self {
            from,
            to,
            twin,
            arrived: BytesMut::new(),
            flying: VecDeque::new(),
            held: 0,
            end_arrived: false,
            reset_arrived: false,
            closed: false,
            writer_gone: false,
            reader_gone: false,
            reader: None,
            writer: None,
        }
    }

    fn way(&self) -> Way {
        (self.from.ip, self.to.ip)
    }

    /// Takes in what has arrived by now. Not to be called while the way is cut.
    fn absorb(&mut self, now: Instant) {
        while let Some((at, _)) = self.flying.front()
            && *at <= now
        {
            match self.flying.pop_front().expect("it has a front").1 {
                Segment::Data(bytes) => self.arrived.extend_from_slice(&bytes),
                Segment::End => self.end_arrived = true,
                Segment::Reset => self.reset_arrived = true,
            }
        }
    }

    /// When a reset that is under way arrives.
    fn reset_at(&self) -> Option<Instant> {
        let last = self.flying.back()?;
        matches!(last.1, Segment::Reset).then_some(last.0)
    }

    /// Throws away what nobody will read.
    fn discard(&mut self) {
        self.arrived.clear();
        self.flying
            .retain(|(_, segment)| !matches!(segment, Segment::Data(_)));
        self.held = 0;
    }

    fn wake(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
    }
}

impl State {
    /// Makes both directions of a connection: from the first process to the second, and back.
    pub(super) fn connection(&mut self, near: ProcessId, far: ProcessId) -> (PipeId, PipeId) {
        let (out, back) = (self.serial(), self.serial());
        self.pipes.insert(out, Pipe::new(near, far, back));
        self.pipes.insert(back, Pipe::new(far, near, out));
        (out, back)
    }

    /// Reads what has arrived on `id`, as the process at its end.
    pub(super) fn read(
        &mut self,
        process: ProcessId,
        id: PipeId,
        into: &mut ReadBuf<'_>,
        waker: &Waker,
        now: Instant,
    ) -> Step<()> {
        let turn = self.turn(process);
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return Step::Done(Err(crashed()));
        };
        match turn {
            Turn::Gone => return Step::Done(Err(crashed())),
            Turn::Stalled => {
                pipe.reader = Some(waker.clone());
                return Step::Wait(None);
            }
            Turn::Running => {}
        }
        let cut = self.links.is_cut(pipe.way());
        if !cut {
            pipe.absorb(now);
        }
        if !pipe.arrived.is_empty() {
            let length = into.remaining().min(pipe.arrived.len());
            into.put_slice(&pipe.arrived[..length]);
            pipe.arrived.advance(length);
            pipe.held -= length;
            self.woken.extend(pipe.writer.take());
            return Step::Done(Ok(()));
        }
        if pipe.reset_arrived {
            return Step::Done(Err(reset()));
        }
        if pipe.end_arrived {
            return Step::Done(Ok(()));
        }
        pipe.reader = Some(waker.clone());
        let next = pipe.flying.front().map(|(at, _)| *at);
        Step::Wait(if cut { None } else { next })
    }

    /// Writes to `id` as much as it takes, as the process at its beginning.
    pub(super) fn write(
        &mut self,
        process: ProcessId,
        id: PipeId,
        parts: &[io::IoSlice<'_>],
        waker: &Waker,
        now: Instant,
    ) -> Step<usize> {
        let turn = self.turn(process);
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return Step::Done(Err(crashed()));
        };
        match turn {
            Turn::Gone => return Step::Done(Err(crashed())),
            Turn::Stalled => {
                pipe.writer = Some(waker.clone());
                return Step::Wait(None);
            }
            Turn::Running => {}
        }
        if pipe.closed {
            return Step::Done(Err(broken()));
        }
        let (way, twin, reader_gone) = (pipe.way(), pipe.twin, pipe.reader_gone);
        let free = self.stream_capacity.saturating_sub(pipe.held);
        if self.is_reset(twin, now) {
            return Step::Done(Err(broken()));
        }
        if reader_gone && !self.links.is_cut(way) {
            // What is written to a peer that has closed is still taken, and brings the reset.
            self.post(twin, Segment::Reset, now);
        }
        let total = parts.iter().map(|part| part.len()).sum();
        let length = free.min(total);
        if length == 0 && total > 0 {
            let pipe = self.pipes.get_mut(&id).expect("it was there above");
            pipe.writer = Some(waker.clone());
            return Step::Wait(self.reset_coming(twin));
        }
        let mut left = length;
        for part in parts {
            let part = &part[..left.min(part.len())];
            left -= part.len();
            self.post_bytes(id, way, part, now);
        }
        Step::Done(Ok(length))
    }

    /// The writer of `id` ends in order.
    pub(super) fn shut_down(&mut self, process: ProcessId, id: PipeId, now: Instant) {
        if self.turn(process) != Turn::Gone {
            self.post(id, Segment::End, now);
        }
    }

    /// One side lets go of its connection: it wrote to `out` and read from `back`. With `abort`
    /// the peer sees a reset in any case.
    pub(super) fn close(&mut self, out: PipeId, back: PipeId, abort: bool, now: Instant) {
        let mut unread = abort;
        if let Some(pipe) = self.pipes.get_mut(&back) {
            unread |= pipe.held > 0;
            pipe.reader_gone = true;
            pipe.discard();
            self.woken.extend(pipe.writer.take());
        }
        if let Some(pipe) = self.pipes.get(&out)
            && !pipe.writer_gone
        {
            // RFC 1122, 4.2.2.13: closing with data unread resets.
            self.post(out, if unread { Segment::Reset } else { Segment::End }, now);
            if let Some(pipe) = self.pipes.get_mut(&out) {
                pipe.writer_gone = true;
            }
        }
        self.bury();
    }

    /// A process has ended: its connections are reset, behind what it had sent.
    pub(super) fn abandon_pipes(&mut self, process: ProcessId, now: Instant) {
        let ids: Vec<PipeId> = self.pipes.keys().copied().collect();
        for id in ids {
            let pipe = self.pipes.get_mut(&id).expect("nothing was removed since");
            if pipe.to == process {
                pipe.reader_gone = true;
                pipe.discard();
            }
            if pipe.from == process && !pipe.writer_gone {
                pipe.writer_gone = true;
                self.post(id, Segment::Reset, now);
            }
        }
        self.bury();
    }

    /// Resets the connections between two hosts, on both sides at once.
    pub(super) fn reset_pipes(&mut self, way: Way) {
        for pipe in self.pipes.values_mut() {
            if pipe.way() == way || pipe.way() == (way.1, way.0) {
                pipe.discard();
                pipe.flying.clear();
                pipe.closed = true;
                pipe.reset_arrived = true;
                pipe.wake(&mut self.woken);
            }
        }
    }

    /// A way is about to be cut: what has arrived stays readable.
    pub(super) fn settle_pipes(&mut self, way: Way, now: Instant) {
        for pipe in self.pipes.values_mut().filter(|pipe| pipe.way() == way) {
            pipe.absorb(now);
        }
    }

    /// A way was opened again: what was held sets out now.
    pub(super) fn resume_pipes(&mut self, way: Way, now: Instant) {
        let ids: Vec<PipeId> = self
            .pipes
            .iter()
            .filter(|(_, pipe)| pipe.way() == way)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let pipe = self.pipes.get_mut(&id).expect("nothing was removed since");
            if pipe.reader_gone && pipe.held > 0 {
                // What was written to a peer that has closed meanwhile brings a reset.
                pipe.discard();
                let twin = pipe.twin;
                self.post(twin, Segment::Reset, now);
                continue;
            }
            let mut last = now;
            for (at, segment) in &mut pipe.flying {
                let length = match segment {
                    Segment::Data(bytes) => bytes.len(),
                    Segment::End | Segment::Reset => 0,
                };
                last = last.max(self.links.arrival(way, now, length));
                *at = last;
            }
        }
    }

    pub(super) fn wake_pipes(&mut self) {
        for pipe in self.pipes.values_mut() {
            pipe.wake(&mut self.woken);
        }
    }

    /// Whether a reset has arrived on `id`.
    fn is_reset(&self, id: PipeId, now: Instant) -> bool {
        self.pipes.get(&id).is_some_and(|pipe| pipe.reset_arrived)
            || self.reset_coming(id).is_some_and(|at| at <= now)
    }

    /// When the reset that is under way on `id` arrives; unknown while its way is cut.
    fn reset_coming(&self, id: PipeId) -> Option<Instant> {
        let pipe = self.pipes.get(&id)?;
        if self.links.is_cut(pipe.way()) {
            None
        } else {
            pipe.reset_at()
        }
    }

    fn post_bytes(&mut self, id: PipeId, way: Way, bytes: &[u8], now: Instant) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.links.piece(way, rest.len()));
            self.post(id, Segment::Data(Bytes::copy_from_slice(piece)), now);
            rest = after;
        }
    }

    /// Sends a segment behind all others. Nothing follows an end or a reset.
    fn post(&mut self, id: PipeId, segment: Segment, now: Instant) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let is_reset = matches!(segment, Segment::Reset);
        if (pipe.closed && !is_reset) || pipe.reset_arrived || pipe.reset_at().is_some() {
            return;
        }
        let length = match &segment {
            Segment::Data(bytes) => bytes.len(),
            Segment::End | Segment::Reset => 0,
        };
        let mut at = self.links.arrival(pipe.way(), now, length);
        if let Some((last, _)) = pipe.flying.back() {
            at = at.max(*last);
        }
        pipe.closed |= !matches!(segment, Segment::Data(_));
        pipe.held += length;
        pipe.flying.push_back((at, segment));
        self.woken.extend(pipe.reader.take());
        let twin = pipe.twin;
        // A writer that waits for room on the other direction has to notice, too.
        if is_reset && let Some(twin) = self.pipes.get_mut(&twin) {
            self.woken.extend(twin.writer.take());
        }
    }

    /// Forgets the pipes that nobody holds any more.
    fn bury(&mut self) {
        self.pipes
            .retain(|_, pipe| !(pipe.writer_gone && pipe.reader_gone));
    }
}

pub(super) fn crashed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "this host has crashed")
}

fn reset() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "connection reset by the peer",
    )
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection is closed")
}
