//! A connection that a member opened: its frames are applied in order, by one task, and
//! acknowledged once a read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use catherd_core::key::Key;
use catherd_core::link::{Applied, ContextId, Inbox};
use catherd_core::message::{ClusterKey, FrameReader, Message};
use catherd_core::version::Incarnation;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Delivery;
use super::outgoing::{PeerSays, READ_BYTES, bad};
use crate::env::{Faults, Place};

pub(super) struct Incoming<S> {
    /// Who opened it.
    pub(super) member: Incarnation,
    pub(super) stream: S,
    /// What was read behind the hello.
    pub(super) buffer: BytesMut,
    pub(super) key: Option<ClusterKey>,
    pub(super) delivery: Arc<dyn Delivery>,
    pub(super) faults: Faults,
}

/// Sessions of which a write is missing here, and the question that asks for each.
#[derive(Default)]
struct Gaps {
    asked: BTreeMap<(ContextId, Key), u64>,
    next_question: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Incoming<S> {
    /// Serves the connection to its end.
    pub(super) async fn run(mut self, mut says: impl FnMut(PeerSays)) -> io::Result<()> {
        let max = self.delivery.session_bytes_max();
        let frames =
            FrameReader::new(Message::bytes_max(catherd_core::message::FrameKind::Whole, max) + 16);
        let (mut inbox, mut gaps, mut out) = (Inbox::new(), Gaps::default(), BytesMut::new());
        loop {
            let mut applied = false;
            while let Some((head, payload)) = frames.next(&mut self.buffer).map_err(bad)? {
                let message = Message::decode(head.kind, &payload, self.key.as_ref(), max);
                match message.map_err(bad)? {
                    Some(Message::Fragments { context, fragments }) => {
                        inbox.receive(head.number).map_err(bad)?;
                        let results = self.delivery.apply(&context, &fragments);
                        self.note(head.number, &results, &mut inbox, &mut gaps, &mut out);
                        applied = true;
                    }
                    Some(message) => self.handle(message, &mut gaps, &mut out, &mut says)?,
                    None => {}
                }
            }
            if applied {
                self.faults.at(Place::Applied).await?;
            }
            self.close_gaps(&mut inbox, &mut gaps);
            if let Some(ack) = inbox.poll_ack() {
                self.faults.at(Place::BeforeAck).await?;
                Message::Ack(ack).put(None, &mut out);
            }
            if !out.is_empty() {
                // Who has ended needs no answer; what it sent before is read to its end anyway.
                if self.stream.write_all(&out).await.is_ok() {
                    let _ = self.stream.flush().await;
                }
                out.clear();
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Tells the inbox how a frame went, and asks for what is missing.
    fn note(
        &self,
        number: u64,
        results: &[(ContextId, Key, Applied)],
        inbox: &mut Inbox,
        gaps: &mut Gaps,
        out: &mut BytesMut,
    ) {
        // A frame is as complete as the least complete of its fragments. In a change of id that
        // is the new session: a tombstone always goes in.
        let weight = |applied: Applied| match applied {
            Applied::Complete => 0,
            Applied::Ended => 1,
            Applied::Twin => 2,
            Applied::Behind => 3,
        };
        let worst = results
            .iter()
            .max_by_key(|(_, _, applied)| weight(*applied));
        let (context, key, applied) =
            worst
                .copied()
                .unwrap_or((ContextId(u32::MAX), Key::MIN, Applied::Complete));
        inbox.applied(number, context, key, applied);
        if applied == Applied::Behind {
            self.ask(context, key, gaps, out);
        }
    }

    fn ask(&self, context: ContextId, key: Key, gaps: &mut Gaps, out: &mut BytesMut) {
        if gaps.asked.contains_key(&(context, key)) {
            return;
        }
        let Some((name, held)) = self.delivery.wanted(context, key) else {
            return;
        };
        gaps.next_question += 1;
        let question = gaps.next_question;
        gaps.asked.insert((context, key), question);
        Message::Fetch {
            question,
            context: name,
            wanted: vec![(key, held)],
            route: String::new(),
        }
        .put(None, out);
    }

    /// The gap of a session may be closed by its answer, or by what came another way.
    fn close_gaps(&self, inbox: &mut Inbox, gaps: &mut Gaps) {
        let closed: Vec<_> = inbox
            .behind()
            .filter(|&(context, key)| self.delivery.wanted(context, key).is_none())
            .collect();
        for (context, key) in closed {
            inbox.gap_closed(context, key);
            gaps.asked.remove(&(context, key));
        }
    }

    fn handle(
        &self,
        message: Message,
        gaps: &mut Gaps,
        out: &mut BytesMut,
        says: &mut impl FnMut(PeerSays),
    ) -> io::Result<()> {
        match message {
            Message::Whole {
                question,
                context,
                answers,
                ..
            } => {
                if !gaps.asked.values().any(|&asked| asked == question) {
                    return Err(bad("an answer to a question that was not asked"));
                }
                // The answer may still be behind: then the next frame of the session asks again.
                gaps.asked.retain(|_, asked| *asked != question);
                for fragment in answers.into_iter().filter_map(|answer| answer.fragment) {
                    self.delivery.apply(&context, &[fragment]);
                }
            }
            Message::Fetch {
                question,
                context,
                wanted,
                route,
            } => {
                let answers = self.delivery.answer(&context, &wanted);
                let knew_route = self.delivery.knew(&route);
                Message::Whole {
                    question,
                    context,
                    answers,
                    knew_route,
                }
                .put(None, out);
            }
            Message::Buckets {
                question,
                context,
                comparison,
            } => {
                let summaries = self.delivery.compare(self.member, &context, &comparison);
                Message::Summaries {
                    question,
                    context,
                    summaries,
                }
                .put(None, out);
            }
            Message::Expire {
                question,
                context,
                ages,
            } => {
                let ages = self.delivery.used(self.member, &context, &ages);
                Message::Used {
                    question,
                    context,
                    ages,
                }
                .put(None, out);
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
            | Message::Ack(_)
            | Message::Summaries { .. }
            | Message::Used { .. }
            | Message::Fragments { .. } => {
                return Err(bad("a message that does not belong on this side of a link"));
            }
        }
        Ok(())
    }
}
