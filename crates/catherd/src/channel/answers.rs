//! What either end of a connection answers, whoever opened it.

use std::io;

use bytes::Bytes;
use catherd_core::message::Message;
use catherd_core::version::Incarnation;

use super::Delivery;

/// What the other side says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PeerSays {
    Ready,
    Goodbye,
}

/// Does what a member's message asks for; the frame that answers it, if one does. What it says of
/// itself is added to `said`.
///
/// # Errors
///
/// The message does not belong on this side of a connection, which must be closed.
pub(super) fn answer(
    delivery: &dyn Delivery,
    member: Incarnation,
    message: Message,
    said: &mut Vec<PeerSays>,
) -> io::Result<Option<Bytes>> {
    let answer = match message {
        Message::Fetch {
            question,
            context,
            wanted,
            route,
        } => {
            return Ok(Some(delivery.answer(question, &context, &wanted, &route)));
        }
        Message::FetchAll {
            question,
            context,
            stretch,
        } => {
            return Ok(Some(delivery.answer_all(question, &context, &stretch)));
        }
        Message::Buckets {
            question,
            context,
            comparison,
        } => {
            let summaries = delivery.compare(member, &context, &comparison);
            Some(Message::Summaries {
                question,
                context,
                summaries,
            })
        }
        Message::Expire {
            question,
            context,
            ages,
        } => {
            let ages = delivery.used(member, &context, &ages);
            Some(Message::Used {
                question,
                context,
                ages,
            })
        }
        Message::Expired {
            context,
            keys,
            is_early,
        } => {
            delivery.expired(&context, &keys, is_early);
            None
        }
        Message::Touch { context, ages } => {
            delivery.touched(member, &context, &ages);
            None
        }
        Message::Ready => {
            say(said, PeerSays::Ready);
            None
        }
        Message::Goodbye { .. } => {
            say(said, PeerSays::Goodbye);
            None
        }
        Message::Hello(_)
        | Message::Welcome(_)
        | Message::Refused(_)
        | Message::Fragments { .. }
        | Message::Ack(_)
        | Message::Whole { .. }
        | Message::Summaries { .. }
        | Message::Used { .. } => return Err(misplaced()),
    };
    // None of them is signed.
    Ok(answer.map(|answer| answer.to_frame(None)))
}

/// Notes what the other side says of itself; to repeat it says no more.
fn say(said: &mut Vec<PeerSays>, what: PeerSays) {
    if said.last() != Some(&what) {
        said.push(what);
    }
}

/// A message that nobody sends over this side of a connection.
pub(super) fn misplaced() -> io::Error {
    bad("a message that does not belong on this side of a connection")
}

/// Bytes that a member must not send.
pub(super) fn bad(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
