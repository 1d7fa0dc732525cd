//! Fragments that wait to be written: bounded, in order, joined and shrunk where that helps.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Joining, OutboxConfig, ToEncode};
use crate::key::Key;
use crate::link::frame::{ContextId, Frame, Ticket};

/// What an entry of the queue costs besides its payload: itself, its ticket's record and its place
/// in two indexes, estimated upwards. So a queue of shrunk entries is bounded as well.
pub const ENTRY_BYTES: usize = 192;

#[derive(Debug)]
pub(super) struct Queue {
    joining: Joining,
    bytes_max: usize,
    frames_max: usize,
    entries: VecDeque<Entry>,
    /// The place of the first entry. Places count for ever, so that they stay true while entries
    /// leave at the front.
    first_place: u64,
    /// The last entry of each session.
    latest: BTreeMap<(ContextId, Key), u64>,
    /// Places of entries that were pushed with their bytes and may be shrunk; some have been, or
    /// have left, since. Ascending.
    shrinkable: VecDeque<u64>,
    /// Entries that still have something to send.
    frames: usize,
    /// [`ENTRY_BYTES`] for each entry and all payloads. At most `bytes_max`, but for one entry
    /// at the front that was encoded because its turn had come.
    bytes: usize,
    /// The payloads alone.
    payload_bytes: usize,
    /// Entries without bytes that nobody encodes yet.
    shrunk: usize,
}

#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    context: ContextId,
    key: Key,
    since: Option<u64>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// As it was pushed.
    Encoded(Bytes),
    /// "This session, from here on": encoded from the copy when its turn comes. The number is a
    /// guess at the length of its payload.
    Shrunk(usize),
    /// Somebody encodes it; it must not be joined, since the copy was perhaps read already.
    Encoding(usize),
    /// Encoded from the copy; not joined either, or a busy session would never be written.
    Filled(Bytes),
    /// There is nothing to send any more.
    Empty,
}

impl Body {
    fn payload_len(&self) -> usize {
        match self {
            Self::Encoded(payload) | Self::Filled(payload) => payload.len(),
            Self::Shrunk(_) | Self::Encoding(_) | Self::Empty => 0,
        }
    }

    fn guess(&self) -> usize {
        match self {
            Self::Encoded(payload) | Self::Filled(payload) => payload.len(),
            Self::Shrunk(guess) | Self::Encoding(guess) => *guess,
            Self::Empty => 0,
        }
    }
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Queued {
    /// It has an entry of its own, with its bytes.
    Whole,
    /// It has an entry of its own, without bytes.
    Shrunk,
    /// It joined the entry of this ticket.
    Joined(Ticket),
    /// There was no room: it was dropped.
    Shed,
}

impl Queue {
    /// The part of the bounds that each of so many connections has.
    pub(super) fn new(config: &OutboxConfig, connections: usize) -> Self {
        let connections = connections.max(1);
        let part = |max: usize, least: usize| {
            let part = max / connections;
            part.max(least.min(max))
        };
        Self {
            joining: config.joining,
            bytes_max: part(config.queue_bytes_max, ENTRY_BYTES),
            frames_max: part(config.queue_frames_max.unwrap_or(usize::MAX), 1),
            entries: VecDeque::new(),
            first_place: 0,
            latest: BTreeMap::new(),
            shrinkable: VecDeque::new(),
            frames: 0,
            bytes: 0,
            payload_bytes: 0,
            shrunk: 0,
        }
    }

    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Takes a fragment in, as whole as there is room for.
    ///
    /// What is queued with its bytes gives them up, the last ones first, so that what is written
    /// next stays ready. The new fragment is the one to be dropped if even that is not enough: an
    /// entry once taken in keeps its place.
    pub(super) fn push(&mut self, ticket: Ticket, frame: Frame) -> Queued {
        let len = frame.payload.len();
        if let Some(at) = self.joinable(frame.context, frame.key) {
            // An entry without bytes will be encoded from a copy that has this write as well.
            let is_shrunk = matches!(self.entries[at].body, Body::Shrunk(_));
            if is_shrunk || self.joining == Joining::Join || !self.has_room(len) {
                return Queued::Joined(self.join(at, frame.since, len));
            }
        }
        if self.has_room(len) {
            let session = (frame.context, frame.key);
            let place = self.append(ticket, session, frame.since, Body::Encoded(frame.payload));
            self.shrinkable.push_back(place);
            return Queued::Whole;
        }
        while self.frames < self.frames_max && !self.has_room(0) && self.shrink_last() {}
        if !self.has_room(0) {
            return Queued::Shed;
        }
        self.append(
            ticket,
            (frame.context, frame.key),
            frame.since,
            Body::Shrunk(len),
        );
        Queued::Shrunk
    }

    /// Entries without bytes whose turn has come: those among the next `budget` bytes. From now on
    /// they are encoded by the caller and not joined.
    pub(super) fn take_shrunk(&mut self, budget: usize) -> Vec<ToEncode> {
        let mut taken = Vec::new();
        let mut ahead = 0;
        for at in 0..self.entries.len() {
            if self.shrunk == 0 || ahead >= budget {
                break;
            }
            let guess = self.entries[at].body.guess();
            ahead += guess;
            if !matches!(self.entries[at].body, Body::Shrunk(_)) {
                continue;
            }
            if at > 0 && self.bytes + guess > self.bytes_max {
                break;
            }
            let entry = &mut self.entries[at];
            entry.body = Body::Encoding(guess);
            self.shrunk -= 1;
            let Entry {
                ticket,
                context,
                key,
                since,
                ..
            } = *entry;
            taken.push(ToEncode {
                ticket,
                context,
                key,
                since,
            });
        }
        taken
    }

    /// The bytes of an entry that was taken; whether there was one and it is to be settled, since
    /// there is nothing to send.
    pub(super) fn fill(&mut self, ticket: Ticket, payload: Option<Bytes>) -> bool {
        let Ok(at) = self
            .entries
            .binary_search_by_key(&ticket, |entry| entry.ticket)
        else {
            return false;
        };
        if !matches!(self.entries[at].body, Body::Encoding(_)) {
            return false;
        }
        let Some(payload) = payload else {
            self.entries[at].body = Body::Empty;
            self.frames -= 1;
            self.bytes -= ENTRY_BYTES;
            self.forget_latest(at);
            self.drop_empty();
            return true;
        };
        while self.bytes + payload.len() > self.bytes_max && self.shrink_last() {}
        // Whatever stands at the front must get through, or nothing would.
        if at > 0 && self.bytes + payload.len() > self.bytes_max {
            self.entries[at].body = Body::Shrunk(payload.len());
            self.shrunk += 1;
            return false;
        }
        self.bytes += payload.len();
        self.payload_bytes += payload.len();
        self.entries[at].body = Body::Filled(payload);
        false
    }

    /// The next frame, if its bytes are there.
    pub(super) fn pop(&mut self) -> Option<(Ticket, Bytes)> {
        if !matches!(
            self.entries.front()?.body,
            Body::Encoded(_) | Body::Filled(_)
        ) {
            return None;
        }
        self.forget_latest(0);
        let Entry { ticket, body, .. } = self.entries.pop_front()?;
        let (Body::Encoded(payload) | Body::Filled(payload)) = body else {
            return None;
        };
        self.first_place += 1;
        self.frames -= 1;
        self.bytes -= ENTRY_BYTES + payload.len();
        self.payload_bytes -= payload.len();
        while self
            .shrinkable
            .front()
            .is_some_and(|&place| place < self.first_place)
        {
            self.shrinkable.pop_front();
        }
        self.drop_empty();
        Some((ticket, payload))
    }

    fn has_room(&self, payload_len: usize) -> bool {
        self.frames < self.frames_max && self.bytes + ENTRY_BYTES + payload_len <= self.bytes_max
    }

    /// Where the last entry of the session is, if another write may join it.
    fn joinable(&self, context: ContextId, key: Key) -> Option<usize> {
        let at = self.at(*self.latest.get(&(context, key))?)?;
        matches!(self.entries[at].body, Body::Encoded(_) | Body::Shrunk(_)).then_some(at)
    }

    fn at(&self, place: u64) -> Option<usize> {
        usize::try_from(place.checked_sub(self.first_place)?).ok()
    }

    fn append(
        &mut self,
        ticket: Ticket,
        (context, key): (ContextId, Key),
        since: Option<u64>,
        body: Body,
    ) -> u64 {
        let place = self.first_place + self.entries.len() as u64;
        self.latest.insert((context, key), place);
        self.frames += 1;
        self.bytes += ENTRY_BYTES + body.payload_len();
        self.payload_bytes += body.payload_len();
        self.shrunk += usize::from(matches!(body, Body::Shrunk(_)));
        self.entries.push_back(Entry {
            ticket,
            context,
            key,
            since,
            body,
        });
        place
    }

    /// The entry covers another write of its session, from the first `since` on.
    fn join(&mut self, at: usize, since: Option<u64>, len: usize) -> Ticket {
        self.shrink(at);
        let entry = &mut self.entries[at];
        // A whole session stays whole; a write that had to be sent whole makes the entry so.
        entry.since = entry
            .since
            .zip(since)
            .map(|(first, second)| first.min(second));
        entry.body = Body::Shrunk(entry.body.guess().saturating_add(len));
        entry.ticket
    }

    /// Shrinks the last entry that still can be; whether there was one.
    fn shrink_last(&mut self) -> bool {
        while let Some(place) = self.shrinkable.pop_back() {
            if let Some(at) = self.at(place)
                && self.shrink(at)
            {
                return true;
            }
        }
        false
    }

    /// Takes the bytes from an entry that was pushed with them; whether it had any.
    fn shrink(&mut self, at: usize) -> bool {
        let entry = &mut self.entries[at];
        let Body::Encoded(payload) = &entry.body else {
            return false;
        };
        let len = payload.len();
        entry.body = Body::Shrunk(len);
        self.bytes -= len;
        self.payload_bytes -= len;
        self.shrunk += 1;
        true
    }

    fn forget_latest(&mut self, at: usize) {
        let session = (self.entries[at].context, self.entries[at].key);
        if self.latest.get(&session) == Some(&(self.first_place + at as u64)) {
            self.latest.remove(&session);
        }
    }

    fn drop_empty(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|entry| matches!(entry.body, Body::Empty))
        {
            self.entries.pop_front();
            self.first_place += 1;
        }
    }
}
