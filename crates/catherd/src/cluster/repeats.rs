//! What strangers do again and again is in the log once a minute.
//!
//! Whoever reaches a node's ports can send what is refused as often as the network lets it through,
//! and a full disk would stop more than a log. The stream of events has all of it.

use std::time::Duration;

use catherd_core::membership::MemberEvent;
use catherd_core::message::Refusal;
use catherd_core::time::Time;

use super::events::Event;

/// Why a line is written that a stranger can cause.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    BadConnection(String),
    ContextMissing,
    Refused(Refusal),
    NameTaken,
    OurNameTaken,
    SettingsDiffer,
    Full,
    TableFull(String),
}

impl Reason {
    /// The reason of an event; `None` if no stranger can cause it.
    pub(super) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::BadConnection { why, .. } => Some(Self::BadConnection(why.clone())),
            Event::ContextMissing { .. } => Some(Self::ContextMissing),
            Event::Member(MemberEvent::Refused(_, refusal)) => Some(Self::Refused(*refusal)),
            Event::Member(MemberEvent::NameTaken { .. }) => Some(Self::NameTaken),
            Event::Member(MemberEvent::OurNameTaken(_)) => Some(Self::OurNameTaken),
            Event::Member(MemberEvent::SettingsDiffer(_)) => Some(Self::SettingsDiffer),
            Event::Member(MemberEvent::Full(_)) => Some(Self::Full),
            Event::TableFull { context, .. } => Some(Self::TableFull(context.clone())),
            _ => None,
        }
    }
}

/// The reasons of the last minute.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    recent: Vec<Recent>,
}

#[derive(Debug)]
struct Recent {
    reason: Reason,
    written: Time,
    /// Lines that were left out since then.
    left_out: u64,
}

impl Repeats {
    /// Whether a line for `reason` is written now: then how many were left out before it.
    pub(super) fn admit(&mut self, reason: Reason, now: Time) -> Option<u64> {
        if let Some(recent) = self.recent.iter_mut().find(|it| it.reason == reason) {
            if now.since(recent.written) < INTERVAL {
                recent.left_out += 1;
                return None;
            }
            recent.written = now;
            return Some(std::mem::take(&mut recent.left_out));
        }
        if self.recent.len() >= REASONS_MAX {
            self.recent.retain(|it| now.since(it.written) < INTERVAL);
        }
        // Somebody who finds ever new ways to be refused is no news either.
        if self.recent.len() >= REASONS_MAX {
            return None;
        }
        self.recent.push(Recent {
            reason,
            written: now,
            left_out: 0,
        });
        Some(0)
    }
}

const INTERVAL: Duration = Duration::from_secs(60);

/// There are fewer kinds of damage than this.
const REASONS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{Mode, Node};
    use crate::testing::Network;

    fn bytes(why: &str) -> Reason {
        Reason::BadConnection(why.to_owned())
    }

    #[test]
    fn the_same_reason_is_said_once_a_minute_and_the_next_line_counts() {
        let mut repeats = Repeats::default();
        let start = Time::START;
        assert_eq!(repeats.admit(bytes("no hello"), start), Some(0));
        let just_before = start + (INTERVAL - Duration::from_nanos(1));
        for now in [start, just_before] {
            assert_eq!(repeats.admit(bytes("no hello"), now), None);
        }
        assert_eq!(repeats.admit(Reason::NameTaken, just_before), Some(0));
        assert_eq!(repeats.admit(bytes("no hello"), start + INTERVAL), Some(2));
        assert_eq!(repeats.admit(bytes("no hello"), start + INTERVAL), None);
    }

    #[test]
    fn ever_new_reasons_are_bounded_until_the_old_ones_are_over() {
        let mut repeats = Repeats::default();
        let written = |repeats: &mut Repeats, now| {
            let lines =
                (0..1000).filter_map(|n| repeats.admit(bytes(&format!("{now:?} {n}")), now));
            lines.count()
        };
        assert_eq!(written(&mut repeats, Time::START), REASONS_MAX);
        assert_eq!(written(&mut repeats, Time::START + INTERVAL), REASONS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_in_the_log_is_counted_and_in_the_stream() {
        let host = Network::new(1).host([10, 0, 0, 1]);
        let node = Node::new(
            "A".to_owned(),
            "one",
            (Mode::Synchronous, true),
            Arc::new(host),
        );
        let mut events = node.events();
        let event = Event::BadConnection {
            from: "10.0.0.9:4000".to_owned(),
            why: "no hello".to_owned(),
        };
        for _ in 0..3 {
            node.emit(event.clone());
        }
        assert_eq!(node.counters.status().log_lines_left_out, 2);
        for _ in 0..3 {
            assert_eq!(events.next().await, Some(event.clone()));
        }
        tokio::time::advance(INTERVAL).await;
        node.emit(event);
        assert_eq!(node.counters.status().log_lines_left_out, 2);
    }
}
