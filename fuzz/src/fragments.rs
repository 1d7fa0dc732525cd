//! Fragments of whatever content: merged, digested, sent on.

use catherd_core::message::Message;
use catherd_core::session::{Content, DigestKey, Entry, Fetched, Fragment, Rules};
use catherd_core::table::{PlainTable, Table as _};
use catherd_core::time::Time;
use catherd_core::version::Vector;

use crate::messages::{SESSION_BYTES_MAX, decode, frames, to_frame};

const REMEMBERS_ALL: Rules = Rules {
    removals_kept: usize::MAX,
    session_bytes_max: SESSION_BYTES_MAX,
};
const FORGETS: Rules = Rules {
    removals_kept: 2,
    session_bytes_max: SESSION_BYTES_MAX,
};

/// A stream of frames; every fragment in it is merged into a table that remembers all removals
/// and into one that does not.
pub fn fragments_then_merge(data: &[u8]) {
    let remembers = PlainTable::new(DigestKey::new("fuzz"));
    let forgets = PlainTable::new(DigestKey::new("fuzz"));
    for fragment in fragments(data) {
        merge(&remembers, &fragment, &REMEMBERS_ALL);
        let once = remembers.digests();
        merge(&remembers, &fragment, &REMEMBERS_ALL);
        assert_eq!(remembers.digests(), once, "a duplicate changes nothing");
        merge(&forgets, &fragment, &FORGETS);
    }
    copies_travel(&remembers);
    copies_travel(&forgets);
}

fn fragments(data: &[u8]) -> Vec<Fragment> {
    let (frames, _) = frames(data, data.len().max(1));
    let mut fragments = Vec::new();
    for (head, payload) in frames {
        match decode(head.kind, &payload) {
            Some(Message::Fragments { fragments: new, .. }) => fragments.extend(new),
            Some(Message::Whole { answers, .. }) => {
                fragments.extend(answers.into_iter().filter_map(|answer| answer.fragment));
            }
            _ => {}
        }
    }
    fragments
}

/// The one instant at which all happens.
fn now() -> Time {
    Time::START
}

fn merge(table: &PlainTable, fragment: &Fragment, rules: &Rules) {
    let key = fragment.key;
    let before = table.entry(key);
    table.change(key, now(), |entry| {
        Entry::merge(entry, now(), fragment, rules)
    });
    assert_eq!(table.digests(), table.digests_anew(now()));
    let after = table.entry(key);
    match (&before, &after) {
        (Some(Entry::Live(before)), Some(Entry::Live(after))) => {
            assert!(before.seen().is_within(after.seen()), "`seen` fell");
            for (slot, register) in before.registers() {
                let version = after.register(&slot).map(|after| after.version);
                assert!(version.is_none_or(|version| version >= register.version));
            }
        }
        (Some(before @ Entry::Ended { .. }), Some(after @ Entry::Ended { .. })) => {
            assert!(
                before.generation() <= after.generation(),
                "a generation fell"
            );
        }
        (Some(Entry::Live(_)), Some(Entry::Ended { .. })) | (None, _) => {}
        (Some(Entry::Ended { .. }), Some(Entry::Live(_))) => panic!("an ended key came back"),
        (Some(_), None) => panic!("a merge removed an entry"),
    }
    if let Some(Entry::Live(state)) = &after {
        let removals = state
            .registers()
            .into_iter()
            .filter(|(_, r)| r.value.is_none());
        assert!(removals.count() <= rules.removals_kept);
    }
}

/// What a table holds can be sent, and makes an equal copy elsewhere.
fn copies_travel(table: &PlainTable) {
    for key in table.keys() {
        let entry = table.entry(key);
        let fetched = Entry::fetch(entry.as_ref(), key, now(), &Vector::new());
        let Fetched::Fragment(sent) = fetched else {
            continue;
        };
        let message = Message::Fragments {
            context: String::new(),
            fragments: vec![sent.clone()],
        };
        let frame = to_frame(&message);
        let (frames, _) = frames(&frame, frame.len());
        let [(head, payload)] = frames.as_slice() else {
            // A session of many merges may be larger than a frame of this target.
            continue;
        };
        assert_eq!(decode(head.kind, payload), Some(message));
        let mut there = None;
        Entry::merge(&mut there, now(), &sent, &REMEMBERS_ALL);
        if let (Content::Write(write), Some(Entry::Live(state))) = (&sent.content, &there) {
            assert_eq!(state.registers(), write.registers.to_vec());
            assert_eq!(state.seen(), &write.seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_has_fragments() {
        for (name, data) in crate::seeds("fragments_then_merge") {
            assert!(!fragments(&data).is_empty(), "{name}");
        }
    }
}
