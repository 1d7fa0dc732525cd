//! A connection that a member opened: its frames are applied in order, by one task, and
//! acknowledged once a read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catherd_core::key::Key;
use catherd_core::link::{Applied, ContextId, Inbox};
use catherd_core::message::{FrameKind, FrameReader, Message};
use catherd_core::planted::{Bug, is_planted};
use catherd_core::sync::Marks;
use catherd_core::version::Incarnation;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::answers::{PeerSays, answer, bad};
use super::driver::Input;
use super::link::READ_BYTES;
use super::questions::NeverAsked;
use super::shared::Shared;
use crate::env::{Faults, Place};

pub(super) struct Incoming<S> {
    /// Who opened it.
    pub(super) member: Incarnation,
    pub(super) stream: S,
    /// What was read behind the hello.
    pub(super) buffer: BytesMut,
    pub(super) shared: Arc<Shared>,
    pub(super) faults: Faults,
}

/// Answers are written once there are so many bytes of them, before more questions are looked at:
/// a short question may have a long answer.
const OUT_BYTES_MAX: usize = 256 * 1024;

/// An answer of so many bytes is one of many, for a member that gets its state.
const LONG_ANSWER_BYTES: usize = 64 * 1024;

/// So many times as long as an answer took the clients have the processor then. With once they kept
/// 0.45 of their rate, with three times 0.58, and the transfer took half as long again.
const COURTESY: u32 = 3;

/// Nobody makes way for longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// So many questions are answered in one turn; then others have theirs.
const QUESTIONS_A_TURN: usize = 64;

/// Sessions of which a write is missing here, and the question that asks for each.
#[derive(Default)]
struct Gaps {
    asked: BTreeMap<(ContextId, Key), u64>,
    next_question: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Incoming<S> {
    /// Serves the connection to its end.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let session_bytes_max = self.shared.delivery.session_bytes_max();
        let frame_bytes_max = Message::bytes_max(FrameKind::Whole, session_bytes_max) + 16;
        let frames = FrameReader::new(frame_bytes_max);
        let (mut inbox, mut gaps, mut out) = (Inbox::new(), Gaps::default(), BytesMut::new());
        let (mut said, mut courtesy) = (Vec::new(), Courtesy::default());
        let mut late: Vec<(String, Vec<_>)> = Vec::new();
        loop {
            for (context, fragments) in late.drain(..) {
                self.shared.delivery.apply(&context, &fragments);
            }
            // Nobody closes the turns.
            let turn = self.shared.turns.acquire().await.ok();
            let began = self.shared.surroundings.now();
            let (mut applied, mut is_done, mut questions) = (false, false, 0);
            while out.len() < OUT_BYTES_MAX && questions < QUESTIONS_A_TURN {
                let Some((head, payload)) = frames.next(&mut self.buffer).map_err(bad)? else {
                    is_done = true;
                    break;
                };
                let key = self.shared.key.as_ref();
                let message = Message::decode(head.kind, &payload, key, session_bytes_max);
                match message.map_err(bad)? {
                    Some(Message::Fragments { context, fragments }) => {
                        inbox.receive(head.number).map_err(bad)?;
                        if is_planted(Bug::AcknowledgesBeforeMerging) {
                            let nowhere = (ContextId(u32::MAX), Key::MIN);
                            inbox.applied(head.number, nowhere.0, nowhere.1, Applied::Complete);
                            late.push((context, fragments));
                            applied = true;
                            continue;
                        }
                        let how = self.shared.delivery.apply(&context, &fragments);
                        self.note(head.number, how, &mut inbox, &mut gaps, &mut out);
                        applied = true;
                    }
                    Some(message) => {
                        questions += questions_in(&message);
                        self.handle(message, &mut gaps, &mut out, &mut said)?;
                    }
                    None => {}
                }
            }
            drop(turn);
            if applied {
                self.faults.at(Place::Applied).await?;
            }
            self.close_gaps(&mut inbox, &mut gaps);
            if let Some(ack) = inbox.poll_ack() {
                self.faults.at(Place::BeforeAck).await?;
                Message::Ack(ack).put(None, &mut out);
            }
            let is_long = out.len() >= LONG_ANSWER_BYTES;
            if !out.is_empty() {
                // Who has ended needs no answer; what it sent before is read to its end anyway.
                if self.stream.write_all(&out).await.is_ok() {
                    let _ = self.stream.flush().await;
                }
                out.clear();
            }
            for what in said.drain(..) {
                let member = self.member;
                // A driver that has ended listens to nobody.
                let _ = self.shared.driver.send(Input::Says { member, what }).await;
            }
            if is_long {
                let (now, served) = (
                    self.shared.surroundings.now(),
                    self.shared.delivery.requests(),
                );
                let pause = courtesy.pause(served, now.since(began));
                self.shared.surroundings.sleep_until(now + pause).await;
            }
            if !is_done {
                // Else one who always has more to ask would keep this thread.
                tokio::task::yield_now().await;
                continue;
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
        applied: Option<(ContextId, Key, Applied)>,
        inbox: &mut Inbox,
        gaps: &mut Gaps,
        out: &mut BytesMut,
    ) {
        // Of a context that is not here there is nothing to say.
        let nothing = (ContextId(u32::MAX), Key::MIN, Applied::Unheld);
        let (context, key, applied) = applied.unwrap_or(nothing);
        inbox.applied(number, context, key, applied);
        if applied == Applied::Behind {
            self.ask(context, key, gaps, out);
        }
    }

    fn ask(&self, context: ContextId, key: Key, gaps: &mut Gaps, out: &mut BytesMut) {
        if gaps.asked.contains_key(&(context, key)) {
            return;
        }
        let Some((name, held)) = self.shared.delivery.wanted(context, key) else {
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
            .filter(|&(context, key)| self.shared.delivery.wanted(context, key).is_none())
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
        said: &mut Vec<PeerSays>,
    ) -> io::Result<()> {
        match message {
            Message::Whole {
                question,
                context,
                answers,
                ..
            } => {
                // A gap may have closed another way before its answer comes.
                if question == 0 || question > gaps.next_question {
                    return Err(bad(NeverAsked));
                }
                // The answer may still be behind: then the next frame of the session asks again.
                gaps.asked.retain(|_, asked| *asked != question);
                for fragment in answers.into_iter().filter_map(|answer| answer.fragment) {
                    self.shared.delivery.apply(&context, &[fragment]);
                }
            }
            other => {
                if let Some(reply) = answer(&*self.shared.delivery, self.member, other, said)? {
                    append(out, reply);
                }
            }
        }
        Ok(())
    }
}

/// Where clients have come since the last long answer, they have the processor for three times as
/// long as this one took. A member that gets its state has time.
#[derive(Debug, Default)]
struct Courtesy {
    /// How many requests the node had served by the last long answer.
    served: u64,
}

impl Courtesy {
    /// How long to make way after a long answer that `took` so long.
    fn pause(&mut self, served: u64, took: Duration) -> Duration {
        let has_clients = std::mem::replace(&mut self.served, served) != served;
        if has_clients {
            (COURTESY * took).min(PAUSE_MAX)
        } else {
            Duration::ZERO
        }
    }
}

/// Mostly an answer is the only one, and a long one is not copied then.
fn append(out: &mut BytesMut, reply: Bytes) {
    if !out.is_empty() {
        out.extend_from_slice(&reply);
        return;
    }
    match reply.try_into_mut() {
        Ok(reply) => *out = reply,
        Err(shared) => out.extend_from_slice(&shared),
    }
}

/// How many questions a message counts for. To compare is to look at the whole table, as is to ask
/// for a bucket of a table that is folded into few: that takes a turn of its own.
fn questions_in(message: &Message) -> usize {
    match message {
        Message::Fetch { .. }
        | Message::Touch { .. }
        | Message::Expire { .. }
        | Message::Expired { .. } => 1,
        Message::FetchAll { stretch, .. } if stretch.size >= Marks::SIZE => 1,
        Message::Buckets { .. } | Message::FetchAll { .. } => QUESTIONS_A_TURN,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_makes_way_for_clients_and_for_nobody_else() {
        let (mut courtesy, took) = (Courtesy::default(), Duration::from_millis(3));
        assert_eq!(courtesy.pause(0, took), Duration::ZERO, "nobody ever came");
        assert_eq!(courtesy.pause(7, took), 3 * took);
        assert_eq!(courtesy.pause(7, took), Duration::ZERO, "nobody since");
        assert_eq!(courtesy.pause(8, Duration::from_secs(1)), PAUSE_MAX);
    }
}
