//! One rule of the outbox each.

use super::*;
use crate::link::{Ack, AckError, LISTED_MAX};
use crate::message::{FrameKind, FrameReader};

const CONFIG: OutboxConfig = OutboxConfig {
    joining: Joining::Keep,
    confirm: Confirm::Applied,
    queue_bytes_max: 1 << 20,
    queue_frames_max: None,
    ack_timeout: Duration::from_secs(15),
    write_ahead_bytes: 1 << 16,
};

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

fn key(bits: u128) -> Key {
    Key::from_bits(bits)
}

fn fragment(bits: u128, payload: &str) -> Frame {
    Frame {
        context: ContextId(0),
        key: key(bits),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        since: Some(7),
        class: FrameClass::Fragment,
    }
}

fn tombstone(bits: u128) -> Frame {
    let class = FrameClass::Tombstone;
    Frame {
        since: None,
        class,
        ..fragment(bits, "end")
    }
}

fn large(bits: u128, len: usize) -> Frame {
    fragment(bits, &"x".repeat(len))
}

fn up_to(up_to: u64) -> Ack {
    Ack {
        up_to,
        ..Ack::default()
    }
}

/// What one call gives out: numbers and payloads, control frames as number 0.
fn write(outbox: &mut Outbox, now: Time) -> Vec<(u64, String)> {
    let mut out = BytesMut::new();
    let any = outbox.to_write(now, &mut out);
    assert_eq!(any, !out.is_empty());
    let reader = FrameReader::new(1 << 30);
    let mut frames = Vec::new();
    while let Some((head, payload)) = reader.next(&mut out).unwrap() {
        assert_eq!(head.kind == FrameKind::Fragments, head.number > 0);
        frames.push((head.number, String::from_utf8(payload.to_vec()).unwrap()));
    }
    assert!(out.is_empty());
    outbox.written(now);
    frames
}

fn frames(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected
        .iter()
        .map(|(number, payload)| (*number, (*payload).to_owned()))
        .collect()
}

fn effects(outbox: &mut Outbox) -> Vec<OutboxEffect> {
    std::iter::from_fn(|| outbox.poll()).collect()
}

fn marked(bits: u128) -> OutboxEffect {
    marked_as(FrameClass::Fragment, bits)
}

fn marked_as(class: FrameClass, bits: u128) -> OutboxEffect {
    OutboxEffect::Marked {
        context: ContextId(0),
        key: key(bits),
        class,
    }
}

fn control(payload: &str) -> Bytes {
    let mut frame = BytesMut::new();
    crate::message::put_frame(&mut frame, FrameKind::Touch, payload.as_bytes());
    frame.freeze()
}

/// The room that so many entries take whose payloads are `payload_len` long.
fn room(entries: usize, payload_len: usize) -> usize {
    entries * (ENTRY_BYTES + payload_len)
}

// The group commit.

#[test]
fn a_frame_is_written_at_once_if_nothing_is_unacknowledged() {
    let mut outbox = Outbox::new(CONFIG);
    let ticket = outbox.push(at(0), fragment(1, "a"));
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "a")]));
    assert!(outbox.awaits_ack());
    assert_eq!(outbox.outcome(ticket), None);
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(effects(&mut outbox), [OutboxEffect::Settled]);
    assert_eq!(outbox.outcome(ticket), Some(Outcome::Acknowledged));
    assert!(!outbox.awaits_ack());
}

#[test]
fn what_gathers_until_the_acknowledgement_goes_out_in_one_write() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.push(at(0), fragment(2, "b"));
    outbox.push(at(0), fragment(3, "c"));
    assert_eq!(write(&mut outbox, at(0)), []);
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(write(&mut outbox, at(1)), frames(&[(2, "b"), (3, "c")]));
}

#[test]
fn a_node_that_is_about_to_end_writes_all_whatever_is_unacknowledged() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.push(at(0), fragment(2, "b"));
    assert_eq!(write(&mut outbox, at(0)), []);
    outbox.hold_nothing_back();
    assert_eq!(write(&mut outbox, at(0)), frames(&[(2, "b")]));
    outbox.push(at(0), fragment(3, "c"));
    assert_eq!(write(&mut outbox, at(0)), frames(&[(3, "c")]));
}

#[test]
fn enough_bytes_are_written_although_something_is_unacknowledged() {
    let mut outbox = Outbox::new(OutboxConfig {
        write_ahead_bytes: 10,
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.push(at(0), fragment(2, "123456789"));
    assert_eq!(write(&mut outbox, at(0)), []);
    outbox.push(at(0), fragment(3, "0"));
    assert_eq!(
        write(&mut outbox, at(0)),
        frames(&[(2, "123456789"), (3, "0")])
    );
}

#[test]
fn control_frames_go_first_and_are_never_held_back() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    outbox.push_control(control("one")).unwrap();
    assert_eq!(write(&mut outbox, at(0)), frames(&[(0, "one"), (1, "a")]));
    outbox.push(at(0), fragment(2, "b"));
    outbox.push_control(control("two")).unwrap();
    assert_eq!(write(&mut outbox, at(0)), frames(&[(0, "two")]));
}

#[test]
fn control_frames_that_nobody_reads_are_bounded() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: 20,
        ..CONFIG
    });
    outbox
        .push_control(control("longer than the whole bound"))
        .unwrap();
    assert_eq!(outbox.push_control(control("x")), Err(ControlFull));
    write(&mut outbox, at(0));
    outbox.push_control(control("x")).unwrap();
    assert_eq!(outbox.snapshot(at(0)).control_bytes, 4);
}

#[test]
fn one_write_is_bounded_and_the_rest_follows() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: 1 << 30,
        ..CONFIG
    });
    for bits in 0..5 {
        outbox.push(at(0), large(bits, WRITE_BYTES_MAX / 2));
    }
    assert_eq!(write(&mut outbox, at(0)).len(), 2);
    assert_eq!(write(&mut outbox, at(0)).len(), 2);
    assert_eq!(write(&mut outbox, at(0)).len(), 1);
}

#[test]
fn a_peer_that_never_acknowledges_fills_the_queue_and_nothing_else() {
    let config = OutboxConfig {
        write_ahead_bytes: 0,
        queue_bytes_max: room(10, 1),
        ..CONFIG
    };
    let mut outbox = Outbox::new(config);
    for bits in 0..UNACKNOWLEDGED_MAX as u128 {
        outbox.push(at(0), fragment(bits, "a"));
        assert_eq!(write(&mut outbox, at(0)).len(), 1);
    }
    outbox.push(at(0), fragment(1, "b"));
    assert_eq!(write(&mut outbox, at(0)), []);
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(write(&mut outbox, at(1)).len(), 1);
}

// Tombstones.

#[test]
fn a_tombstone_overtakes_the_fragments() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(at(0), fragment(2, "b"));
    outbox.push(at(0), tombstone(3));
    outbox.push(at(0), tombstone(4));
    assert_eq!(
        write(&mut outbox, at(0)),
        frames(&[(1, "end"), (2, "end"), (3, "a"), (4, "b")])
    );
}

#[test]
fn a_tombstone_overtakes_an_entry_without_bytes() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: room(1, 0),
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(at(0), tombstone(2));
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "end")]));
}

#[test]
fn a_tombstone_has_room_in_a_full_queue() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_frames_max: Some(0),
        ..CONFIG
    });
    let shed = outbox.push(at(0), fragment(1, "a"));
    let ended = outbox.push(at(0), tombstone(1));
    assert_eq!(outbox.outcome(shed), Some(Outcome::Unacknowledged));
    assert_eq!(outbox.outcome(ended), None);
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "end")]));
}

#[test]
fn a_tombstone_is_waited_for_even_if_fragments_are_only_written() {
    let mut outbox = Outbox::new(OutboxConfig {
        confirm: Confirm::Written,
        ..CONFIG
    });
    let ended = outbox.push(at(0), tombstone(1));
    let wrote = outbox.push(at(0), fragment(2, "a"));
    write(&mut outbox, at(0));
    assert_eq!(outbox.outcome(wrote), Some(Outcome::Acknowledged));
    assert_eq!(outbox.outcome(ended), None);
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(outbox.outcome(ended), Some(Outcome::Acknowledged));
}

// What is waited for.

#[test]
fn a_fragment_that_need_only_be_written_is_settled_once_it_is_handed_over() {
    let mut outbox = Outbox::new(OutboxConfig {
        confirm: Confirm::Written,
        ..CONFIG
    });
    let first = outbox.push(at(0), fragment(1, "a"));
    let mut out = BytesMut::new();
    assert!(outbox.to_write(at(0), &mut out));
    assert_eq!(outbox.outcome(first), None, "given out, but not taken yet");
    let second = outbox.push(at(0), fragment(2, "b"));
    outbox.written(at(0));
    assert_eq!(outbox.outcome(first), Some(Outcome::Acknowledged));
    assert_eq!(outbox.outcome(second), None, "still queued");
    assert_eq!(effects(&mut outbox), [OutboxEffect::Settled]);
}

#[test]
fn a_fragment_that_was_only_written_is_marked_if_no_acknowledgement_comes() {
    let mut outbox = Outbox::new(OutboxConfig {
        confirm: Confirm::Written,
        ..CONFIG
    });
    let ticket = outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    effects(&mut outbox);
    outbox.handle_timeout(at(15_000));
    assert_eq!(
        effects(&mut outbox),
        [marked(1), OutboxEffect::Suspect, OutboxEffect::Settled]
    );
    assert_eq!(outbox.outcome(ticket), Some(Outcome::Acknowledged));
}

#[test]
fn an_acknowledgement_may_overtake_the_news_that_the_bytes_are_handed_over() {
    let mut outbox = Outbox::new(OutboxConfig {
        confirm: Confirm::Written,
        ..CONFIG
    });
    let tickets: Vec<_> = (0..3)
        .map(|bits| outbox.push(at(0), fragment(bits, "a")))
        .collect();
    let mut out = BytesMut::new();
    outbox.to_write(at(0), &mut out);
    outbox.acknowledged(at(0), &up_to(2)).unwrap();
    outbox.written(at(0));
    for ticket in tickets {
        assert_eq!(outbox.outcome(ticket), Some(Outcome::Acknowledged));
    }
}

// Acknowledgements with exceptions.

#[test]
fn a_frame_that_is_behind_is_open_until_no_acknowledgement_lists_it() {
    let mut outbox = Outbox::new(CONFIG);
    let gap = outbox.push(at(0), fragment(1, "a"));
    let whole = outbox.push(at(0), fragment(2, "b"));
    write(&mut outbox, at(0));
    outbox
        .acknowledged(
            at(1),
            &Ack {
                behind: vec![1],
                ..up_to(2)
            },
        )
        .unwrap();
    assert_eq!(
        (outbox.outcome(gap), outbox.outcome(whole)),
        (None, Some(Outcome::Acknowledged))
    );
    assert!(!outbox.awaits_ack(), "a gap delays its own session alone");
    let next = outbox.push(at(1), fragment(2, "c"));
    write(&mut outbox, at(1));
    outbox
        .acknowledged(
            at(2),
            &Ack {
                behind: vec![1],
                ..up_to(3)
            },
        )
        .unwrap();
    assert_eq!(
        (outbox.outcome(gap), outbox.outcome(next)),
        (None, Some(Outcome::Acknowledged))
    );
    outbox.acknowledged(at(3), &up_to(3)).unwrap();
    assert_eq!(outbox.outcome(gap), Some(Outcome::Acknowledged));
}

#[test]
fn a_frame_whose_context_the_peer_does_not_have_is_no_copy_and_nothing_to_fetch() {
    let mut outbox = Outbox::new(CONFIG);
    let copied = outbox.push(at(0), fragment(1, "a"));
    let dropped = outbox.push(at(0), fragment(2, "a"));
    write(&mut outbox, at(0));
    let ack = Ack {
        unheld: vec![2],
        ..up_to(2)
    };
    outbox.acknowledged(at(1), &ack).unwrap();
    assert_eq!(outbox.outcome(copied), Some(Outcome::Acknowledged));
    assert_eq!(outbox.outcome(dropped), Some(Outcome::Unheld));
    assert_eq!(effects(&mut outbox), [OutboxEffect::Settled]);
    assert_eq!(outbox.snapshot(at(1)).counters.unheld, 1);
}

#[test]
fn tombstones_and_twins_at_the_peer_are_told_and_to_be_fetched() {
    let mut outbox = Outbox::new(CONFIG);
    let tickets: Vec<_> = (1..=3)
        .map(|bits| outbox.push(at(0), fragment(bits, "a")))
        .collect();
    write(&mut outbox, at(0));
    let ack = Ack {
        ended: vec![1],
        twins: vec![3],
        ..up_to(3)
    };
    outbox.acknowledged(at(1), &ack).unwrap();
    let outcomes: Vec<_> = tickets
        .iter()
        .filter_map(|&it| outbox.outcome(it))
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Ended, Outcome::Acknowledged, Outcome::Twin]
    );
    let ended = |bits| OutboxEffect::Ended {
        context: ContextId(0),
        key: key(bits),
    };
    assert_eq!(
        effects(&mut outbox),
        [ended(1), ended(3), OutboxEffect::Settled]
    );
}

#[test]
fn a_frame_that_was_behind_may_turn_out_to_have_ended() {
    let mut outbox = Outbox::new(CONFIG);
    let ticket = outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox
        .acknowledged(
            at(1),
            &Ack {
                behind: vec![1],
                ..up_to(1)
            },
        )
        .unwrap();
    outbox
        .acknowledged(
            at(2),
            &Ack {
                ended: vec![1],
                ..up_to(1)
            },
        )
        .unwrap();
    assert_eq!(outbox.outcome(ticket), Some(Outcome::Ended));
}

#[test]
fn acknowledgements_that_cannot_be_true_change_nothing() {
    let mut outbox = Outbox::new(CONFIG);
    let tickets: Vec<_> = (1..=4)
        .map(|bits| outbox.push(at(0), fragment(bits, "a")))
        .collect();
    write(&mut outbox, at(0));
    outbox
        .acknowledged(
            at(1),
            &Ack {
                behind: vec![2],
                ..up_to(2)
            },
        )
        .unwrap();
    let too_many: Vec<u64> = (1..=LISTED_MAX as u64 + 1).collect();
    let cases = [
        (up_to(5), AckError::NeverSent { up_to: 5, last: 4 }),
        (
            up_to(1),
            AckError::Backwards {
                up_to: 1,
                before: 2,
            },
        ),
        (
            Ack {
                behind: too_many,
                ..up_to(4)
            },
            AckError::TooLong {
                len: LISTED_MAX + 1,
            },
        ),
        (
            Ack {
                behind: vec![4, 3],
                ..up_to(4)
            },
            AckError::Disordered { number: 3 },
        ),
        (
            Ack {
                ended: vec![3, 3],
                ..up_to(4)
            },
            AckError::Disordered { number: 3 },
        ),
        (
            Ack {
                twins: vec![4],
                ..up_to(3)
            },
            AckError::Disordered { number: 4 },
        ),
        (
            Ack {
                twins: vec![0],
                ..up_to(3)
            },
            AckError::Disordered { number: 0 },
        ),
        (
            Ack {
                behind: vec![3],
                ended: vec![3],
                ..up_to(4)
            },
            AckError::Contradiction { number: 3 },
        ),
        (
            Ack {
                behind: vec![3],
                twins: vec![3],
                ..up_to(4)
            },
            AckError::Contradiction { number: 3 },
        ),
        (
            Ack {
                ended: vec![4],
                twins: vec![4],
                ..up_to(4)
            },
            AckError::Contradiction { number: 4 },
        ),
        (
            Ack {
                behind: vec![1],
                ..up_to(4)
            },
            AckError::Revoked { number: 1 },
        ),
        (
            Ack {
                ended: vec![1],
                ..up_to(4)
            },
            AckError::Revoked { number: 1 },
        ),
    ];
    for (ack, error) in cases {
        assert_eq!(outbox.acknowledged(at(2), &ack), Err(error), "{ack:?}");
        assert!(!error.to_string().is_empty());
        let open: Vec<_> = tickets
            .iter()
            .map(|&it| outbox.outcome(it).is_none())
            .collect();
        assert_eq!(open, [false, true, true, true], "after {ack:?}");
    }
    outbox.acknowledged(at(3), &up_to(4)).unwrap();
    assert!(
        tickets
            .iter()
            .all(|&it| outbox.outcome(it) == Some(Outcome::Acknowledged))
    );
}

// Joining.

#[test]
fn a_second_write_joins_the_queued_one_and_both_are_settled_together() {
    let mut outbox = Outbox::new(OutboxConfig {
        joining: Joining::Join,
        ..CONFIG
    });
    outbox.push(at(0), fragment(9, "first"));
    write(&mut outbox, at(0));
    let one = outbox.push(
        at(0),
        Frame {
            since: Some(4),
            ..fragment(1, "a")
        },
    );
    outbox.push(at(0), fragment(2, "b"));
    let two = outbox.push(
        at(0),
        Frame {
            since: Some(5),
            ..fragment(1, "c")
        },
    );
    assert_eq!(outbox.take_joined(), [], "its turn has not come");
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(
        write(&mut outbox, at(1)),
        [],
        "what comes next has no bytes yet"
    );
    let [entry] = outbox.take_joined()[..] else {
        panic!("one entry was joined")
    };
    assert_eq!((entry.key, entry.since), (key(1), Some(4)));
    outbox.fill(entry.ticket, Some(Bytes::from_static(b"both")));
    assert_eq!(write(&mut outbox, at(1)), frames(&[(2, "both"), (3, "b")]));
    assert_eq!((outbox.outcome(one), outbox.outcome(two)), (None, None));
    outbox.acknowledged(at(2), &up_to(2)).unwrap();
    assert_eq!(outbox.outcome(one), Some(Outcome::Acknowledged));
    assert_eq!(outbox.outcome(two), Some(Outcome::Acknowledged));
}

#[test]
fn a_joined_entry_is_whole_if_one_of_its_writes_was() {
    for (first, second) in [(None, Some(5)), (Some(4), None)] {
        let mut outbox = Outbox::new(OutboxConfig {
            joining: Joining::Join,
            ..CONFIG
        });
        outbox.push(
            at(0),
            Frame {
                since: first,
                ..fragment(1, "a")
            },
        );
        outbox.push(
            at(0),
            Frame {
                since: second,
                ..fragment(1, "b")
            },
        );
        assert_eq!(outbox.take_joined()[0].since, None);
    }
}

#[test]
fn an_entry_that_is_being_encoded_is_not_joined_any_more() {
    let mut outbox = Outbox::new(OutboxConfig {
        joining: Joining::Join,
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(at(0), fragment(1, "b"));
    let entry = outbox.take_joined()[0];
    let late = outbox.push(
        at(0),
        Frame {
            since: Some(9),
            ..fragment(1, "c")
        },
    );
    assert_ne!(late, entry.ticket);
    outbox.fill(entry.ticket, Some(Bytes::from_static(b"ab")));
    let later = outbox.push(
        at(0),
        Frame {
            since: Some(10),
            ..fragment(1, "d")
        },
    );
    assert_eq!(later, late, "nor once it is encoded; what came after it is");
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "ab")]));
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(outbox.take_joined()[0].since, Some(9));
}

#[test]
fn the_same_key_of_another_context_does_not_join() {
    let mut outbox = Outbox::new(OutboxConfig {
        joining: Joining::Join,
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(
        at(0),
        Frame {
            context: ContextId(1),
            ..fragment(1, "b")
        },
    );
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "a"), (2, "b")]));
}

#[test]
fn writes_of_one_session_keep_their_frames_where_joining_is_off() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(at(0), fragment(1, "b"));
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "a"), (2, "b")]));
}

#[test]
fn an_entry_with_nothing_left_to_send_counts_as_acknowledged() {
    let mut outbox = Outbox::new(OutboxConfig {
        joining: Joining::Join,
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    let ticket = outbox.push(at(0), fragment(1, "b"));
    outbox.push(at(0), fragment(2, "c"));
    let entry = outbox.take_joined()[0];
    outbox.fill(entry.ticket, None);
    assert_eq!(outbox.outcome(ticket), Some(Outcome::Acknowledged));
    assert_eq!(effects(&mut outbox), [OutboxEffect::Settled]);
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "c")]));
    outbox.fill(entry.ticket, Some(Bytes::from_static(b"late")));
    assert_eq!(outbox.snapshot(at(0)).queued_bytes, 0);
}

// The bound.

#[test]
fn past_the_bound_a_fragment_is_queued_without_its_bytes() {
    let config = OutboxConfig {
        queue_bytes_max: room(2, 100) + room(1, 0),
        ..CONFIG
    };
    let mut outbox = Outbox::new(config);
    outbox.push(at(0), large(1, 100));
    outbox.push(at(0), large(2, 100));
    let ticket = outbox.push(
        at(0),
        Frame {
            since: Some(3),
            ..large(3, 100)
        },
    );
    assert_eq!(outbox.outcome(ticket), None);
    assert_eq!(outbox.snapshot(at(0)).counters.shrunk, 1);
    assert_eq!(write(&mut outbox, at(0)).len(), 2);
    outbox.acknowledged(at(1), &up_to(2)).unwrap();
    let entry = outbox.take_joined()[0];
    assert_eq!((entry.ticket, entry.since), (ticket, Some(3)));
}

#[test]
fn past_the_bound_the_last_entries_give_up_their_bytes_first() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: room(2, 200),
        ..CONFIG
    });
    outbox.push(at(0), large(1, 200));
    outbox.push(at(0), large(2, 200));
    outbox.push(at(0), large(3, 200));
    assert_eq!(
        write(&mut outbox, at(0)).len(),
        1,
        "the first one is ready still"
    );
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    let keys: Vec<_> = outbox.take_joined().iter().map(|entry| entry.key).collect();
    assert_eq!(keys, [key(2), key(3)]);
}

#[test]
fn past_the_bound_a_write_joins_its_session_in_every_mode() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_frames_max: Some(1),
        ..CONFIG
    });
    let one = outbox.push(
        at(0),
        Frame {
            since: Some(1),
            ..fragment(1, "a")
        },
    );
    let two = outbox.push(
        at(0),
        Frame {
            since: Some(2),
            ..fragment(1, "b")
        },
    );
    assert_eq!(one, two);
    assert_eq!(outbox.take_joined()[0].since, Some(1));
}

#[test]
fn what_has_no_room_at_all_is_dropped_with_a_mark() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: room(1, 10),
        ..CONFIG
    });
    let kept = outbox.push(at(0), large(1, 10));
    let shed = outbox.push(at(0), large(2, 10));
    assert_eq!(outbox.outcome(kept), None);
    assert_eq!(outbox.outcome(shed), Some(Outcome::Unacknowledged));
    assert_eq!(effects(&mut outbox), [marked(2)]);
    let snapshot = outbox.snapshot(at(0));
    assert_eq!((snapshot.counters.shed, snapshot.queued_frames), (1, 1));
}

#[test]
fn an_entry_that_is_encoded_larger_than_the_bound_still_gets_through() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: room(2, 0),
        ..CONFIG
    });
    outbox.push(at(0), large(1, 500));
    outbox.push(at(0), large(2, 500));
    for number in 1..=2 {
        let entries = outbox.take_joined();
        let keys: Vec<_> = entries.iter().map(|entry| entry.key).collect();
        assert_eq!(keys, [key(number.into())], "one after another");
        outbox.fill(entries[0].ticket, Some(Bytes::from(vec![b'y'; 500])));
        assert_eq!(outbox.take_joined(), [], "nobody spins");
        assert_eq!(write(&mut outbox, at(0)).len(), 1);
        outbox.acknowledged(at(0), &up_to(number)).unwrap();
    }
}

#[test]
fn an_entry_that_is_larger_than_guessed_waits_for_its_turn() {
    let mut outbox = Outbox::new(OutboxConfig {
        joining: Joining::Join,
        queue_bytes_max: room(2, 100),
        ..CONFIG
    });
    for bits in [1, 2, 1, 2] {
        outbox.push(at(0), large(bits, 10));
    }
    let [first, second] = outbox.take_joined()[..] else {
        panic!("two entries were joined")
    };
    outbox.fill(first.ticket, Some(Bytes::from(vec![b'y'; 150])));
    outbox.fill(second.ticket, Some(Bytes::from(vec![b'z'; 150])));
    assert_eq!(outbox.take_joined(), [], "nobody spins");
    assert_eq!(write(&mut outbox, at(0)), [(1, "y".repeat(150))]);
    outbox.acknowledged(at(0), &up_to(1)).unwrap();
    assert_eq!(outbox.take_joined(), [second]);
    outbox.fill(second.ticket, Some(Bytes::from(vec![b'z'; 150])));
    assert_eq!(write(&mut outbox, at(0)), [(2, "z".repeat(150))]);
}

// Deadlines and suspicion.

#[test]
fn a_silent_peer_becomes_suspect_at_the_deadline_and_not_before() {
    let mut outbox = Outbox::new(CONFIG);
    assert_eq!(outbox.poll_timeout(), None);
    let first = outbox.push(at(0), fragment(1, "a"));
    let second = outbox.push(at(100), fragment(2, "b"));
    let third = outbox.push(at(200), fragment(3, "c"));
    write(&mut outbox, at(200));
    assert_eq!(outbox.poll_timeout(), Some(at(15_000)));
    outbox.handle_timeout(at(14_999));
    assert_eq!(effects(&mut outbox), []);
    outbox.handle_timeout(at(15_100));
    assert_eq!(
        effects(&mut outbox),
        [
            marked(1),
            OutboxEffect::Suspect,
            marked(2),
            OutboxEffect::Settled
        ]
    );
    assert_eq!(outbox.outcome(first), Some(Outcome::Unacknowledged));
    assert_eq!(outbox.outcome(second), Some(Outcome::Unacknowledged));
    assert_eq!(outbox.outcome(third), None, "it waits for its own deadline");
    assert_eq!(outbox.poll_timeout(), Some(at(15_200)));
    outbox.handle_timeout(at(15_200));
    assert_eq!(
        effects(&mut outbox),
        [marked(3), OutboxEffect::Settled],
        "suspect already"
    );
    assert_eq!(outbox.poll_timeout(), None);
}

#[test]
fn nobody_waits_for_a_suspect_peer_but_everything_is_still_sent() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.handle_timeout(at(15_000));
    assert!(outbox.is_suspect());
    let excused = outbox.push(at(15_001), fragment(2, "b"));
    let ended = outbox.push(at(15_001), tombstone(3));
    assert_eq!(outbox.outcome(excused), Some(Outcome::Unacknowledged));
    assert_eq!(outbox.outcome(ended), None, "a tombstone is waited for");
    outbox.acknowledged(at(15_002), &up_to(1)).unwrap();
    assert_eq!(
        write(&mut outbox, at(15_002)),
        frames(&[(2, "end"), (3, "b")])
    );
    outbox.acknowledged(at(15_003), &up_to(3)).unwrap();
    assert_eq!(
        outbox.outcome(excused),
        Some(Outcome::Acknowledged),
        "the truth came late"
    );
}

#[test]
fn a_write_that_joins_is_not_waited_for_either_while_the_peer_is_suspect() {
    let mut outbox = Outbox::new(OutboxConfig {
        joining: Joining::Join,
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    let queued = outbox.push(at(14_000), fragment(2, "b"));
    outbox.handle_timeout(at(15_000));
    assert_eq!(outbox.outcome(queued), None);
    let joined = outbox.push(at(15_001), fragment(2, "c"));
    assert_eq!(outbox.outcome(joined), Some(Outcome::Unacknowledged));
}

#[test]
fn what_is_pushed_to_a_suspect_peer_is_marked_at_its_own_deadline() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.handle_timeout(at(15_000));
    outbox.push(at(16_000), fragment(2, "b"));
    effects(&mut outbox);
    assert_eq!(outbox.poll_timeout(), Some(at(31_000)));
    outbox.handle_timeout(at(31_000));
    assert_eq!(effects(&mut outbox), [marked(2), OutboxEffect::Settled]);
}

#[test]
fn a_suspect_peer_recovers_when_it_acknowledges_and_nothing_is_overdue() {
    let mut outbox = Outbox::new(OutboxConfig {
        write_ahead_bytes: 0,
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(at(0), fragment(2, "b"));
    write(&mut outbox, at(0));
    outbox.push(at(10_000), fragment(3, "c"));
    write(&mut outbox, at(10_000));
    outbox.handle_timeout(at(15_000));
    effects(&mut outbox);
    outbox.acknowledged(at(15_001), &up_to(1)).unwrap();
    assert!(
        outbox.is_suspect(),
        "it is too slow: the second frame is overdue"
    );
    outbox.acknowledged(at(15_002), &up_to(2)).unwrap();
    assert_eq!(
        effects(&mut outbox),
        [OutboxEffect::Recovered, OutboxEffect::Settled]
    );
    let ticket = outbox.push(at(15_003), fragment(4, "d"));
    assert_eq!(outbox.outcome(ticket), None, "it is waited for again");
}

#[test]
fn a_suspect_peer_recovers_too_when_the_last_overdue_frame_need_not_be_sent() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_bytes_max: room(1, 0),
        ..CONFIG
    });
    outbox.push(at(0), fragment(1, "a"));
    outbox.push(at(0), tombstone(2));
    write(&mut outbox, at(0));
    outbox.handle_timeout(at(15_000));
    outbox.acknowledged(at(15_001), &up_to(1)).unwrap();
    assert!(outbox.is_suspect());
    let entry = outbox.take_joined()[0];
    outbox.fill(entry.ticket, None);
    assert!(!outbox.is_suspect());
}

#[test]
fn a_peer_found_suspect_over_another_connection_is_not_waited_for_here_either() {
    let mut outbox = Outbox::new(CONFIG);
    let waiting = outbox.push(at(0), fragment(1, "a"));
    let ended = outbox.push(at(0), tombstone(2));
    outbox.suspect();
    assert_eq!(effects(&mut outbox), [OutboxEffect::Settled]);
    assert_eq!(outbox.outcome(waiting), Some(Outcome::Unacknowledged));
    assert_eq!(outbox.outcome(ended), None, "a tombstone is waited for");
    let later = outbox.push(at(1), fragment(3, "c"));
    assert_eq!(outbox.outcome(later), Some(Outcome::Unacknowledged));
    outbox.handle_timeout(at(15_000));
    assert_eq!(
        effects(&mut outbox),
        [
            marked(1),
            OutboxEffect::Suspect,
            marked_as(FrameClass::Tombstone, 2),
            OutboxEffect::Settled
        ],
        "marked at its deadline, and said to be silent here too"
    );
}

#[test]
fn a_peer_that_answers_over_another_connection_is_waited_for_once_nothing_is_overdue_here() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.suspect();
    outbox.relieve();
    assert!(!outbox.is_suspect(), "nothing was under way");
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.handle_timeout(at(15_000));
    outbox.relieve();
    assert!(outbox.is_suspect(), "one frame is overdue");
    outbox.acknowledged(at(15_001), &up_to(1)).unwrap();
    assert!(!outbox.is_suspect());
}

#[test]
fn an_outbox_is_drained_when_all_that_was_pushed_is_acknowledged() {
    let mut outbox = Outbox::new(CONFIG);
    assert!(outbox.is_drained());
    assert_eq!(outbox.last_ticket(), Ticket::default());
    let ticket = outbox.push(at(0), fragment(1, "a"));
    assert_eq!(outbox.last_ticket(), ticket);
    assert!(!outbox.is_drained(), "queued");
    write(&mut outbox, at(0));
    assert!(!outbox.is_drained(), "unacknowledged");
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert!(outbox.is_drained());
    outbox.push(at(2), tombstone(2));
    assert!(!outbox.is_drained(), "a tombstone is queued");
}

#[test]
fn an_acknowledgement_of_nothing_new_does_not_recover_the_peer() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.handle_timeout(at(15_000));
    outbox.acknowledged(at(15_001), &up_to(0)).unwrap();
    assert!(outbox.is_suspect());
}

#[test]
fn a_gap_past_its_deadline_is_marked_and_the_peer_is_not_suspect() {
    let mut outbox = Outbox::new(CONFIG);
    let ticket = outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox
        .acknowledged(
            at(1),
            &Ack {
                behind: vec![1],
                ..up_to(1)
            },
        )
        .unwrap();
    effects(&mut outbox);
    outbox.handle_timeout(at(15_000));
    assert_eq!(effects(&mut outbox), [marked(1), OutboxEffect::Settled]);
    assert_eq!(outbox.outcome(ticket), Some(Outcome::Unacknowledged));
    assert!(!outbox.is_suspect(), "it answers");
    outbox.acknowledged(at(16_000), &up_to(1)).unwrap();
    assert_eq!(outbox.outcome(ticket), Some(Outcome::Acknowledged));
}

#[test]
fn clocks_read_in_one_order_and_used_in_another_do_not_upset_deadlines() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(7), fragment(1, "a"));
    outbox.push(at(5), fragment(2, "b"));
    outbox.handle_timeout(at(15_006));
    assert_eq!(effects(&mut outbox), []);
    outbox.handle_timeout(at(15_007));
    assert_eq!(
        effects(&mut outbox),
        [
            marked(1),
            OutboxEffect::Suspect,
            marked(2),
            OutboxEffect::Settled
        ]
    );
}

// The end, and what is remembered.

#[test]
fn closing_marks_whatever_was_queued_or_unacknowledged() {
    let mut outbox = Outbox::new(CONFIG);
    let done = outbox.push(at(0), fragment(1, "a"));
    let gap = outbox.push(at(0), fragment(2, "b"));
    let written = outbox.push(at(0), fragment(3, "c"));
    write(&mut outbox, at(0));
    outbox
        .acknowledged(
            at(1),
            &Ack {
                behind: vec![2],
                ..up_to(2)
            },
        )
        .unwrap();
    let queued = outbox.push(at(1), fragment(4, "d"));
    let ended = outbox.push(at(1), tombstone(5));
    effects(&mut outbox);
    outbox.close();
    outbox.close();
    let mut expected: Vec<_> = (2..=4).map(marked).collect();
    expected.push(marked_as(FrameClass::Tombstone, 5));
    expected.push(OutboxEffect::Settled);
    assert_eq!(effects(&mut outbox), expected);
    assert_eq!(outbox.outcome(done), Some(Outcome::Acknowledged));
    for lost in [gap, written, queued, ended] {
        assert_eq!(outbox.outcome(lost), Some(Outcome::Gone));
    }
    assert_eq!(outbox.poll_timeout(), None);
    outbox.handle_timeout(at(60_000));
    outbox.acknowledged(at(60_000), &up_to(9)).unwrap();
    outbox.push_control(control("late")).unwrap();
    assert_eq!(write(&mut outbox, at(60_000)), []);
    assert_eq!(effects(&mut outbox), []);
}

#[test]
fn what_is_pushed_into_a_closed_link_is_gone_and_marked() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.close();
    effects(&mut outbox);
    for frame in [fragment(1, "a"), tombstone(1)] {
        let class = frame.class;
        let ticket = outbox.push(at(0), frame);
        assert_eq!(outbox.outcome(ticket), Some(Outcome::Gone));
        assert_eq!(effects(&mut outbox), [marked_as(class, 1)]);
    }
    assert_eq!(outbox.snapshot(at(0)).queued_bytes, 0);
}

#[test]
fn a_ticket_of_no_frame_is_gone() {
    let mut outbox = Outbox::new(CONFIG);
    assert_eq!(outbox.outcome(Ticket::default()), Some(Outcome::Gone));
    let other = Outbox::new(CONFIG).push(at(0), fragment(1, "a"));
    assert_eq!(outbox.outcome(other), Some(Outcome::Gone));
    assert_eq!(outbox.push(at(0), fragment(1, "a")), other);
}

#[test]
fn outcomes_that_must_be_forgotten_count_as_unacknowledged() {
    let mut outbox = Outbox::new(OutboxConfig {
        queue_frames_max: Some(1),
        ..CONFIG
    });
    let old = outbox.push(at(0), fragment(0, "a"));
    write(&mut outbox, at(0));
    outbox.acknowledged(at(0), &up_to(1)).unwrap();
    let waits = outbox.push(at(0), fragment(1, "b"));
    let mut shed = Vec::new();
    for bits in 0..tickets::EXCEPTIONS_MAX as u128 {
        shed.push(outbox.push(at(0), fragment(bits + 2, "c")));
    }
    assert_eq!(outbox.outcome(old), Some(Outcome::Acknowledged));
    shed.push(outbox.push(at(0), fragment(2, "c")));
    assert_eq!(
        outbox.outcome(old),
        Some(Outcome::Unacknowledged),
        "cautiously"
    );
    assert_eq!(
        outbox.outcome(waits),
        None,
        "a frame under way is never forgotten"
    );
    assert!(
        shed.iter()
            .all(|&it| outbox.outcome(it) == Some(Outcome::Unacknowledged))
    );
}

#[test]
fn the_snapshot_tells_what_a_crash_would_lose() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(30));
    outbox.push(at(100), fragment(2, "12345"));
    outbox.push(at(200), tombstone(3));
    let snapshot = outbox.snapshot(at(1_000));
    assert_eq!(snapshot.queued_frames, 2);
    assert_eq!(snapshot.queued_bytes, room(1, 5) + room(1, 3));
    assert_eq!(snapshot.tombstone_bytes, room(1, 3));
    // The first frame may not have left this machine either.
    assert_eq!(snapshot.oldest, Some(Duration::from_millis(1_000)));
    assert_eq!(
        (snapshot.unacknowledged_frames, snapshot.written_frames),
        (1, 1)
    );
    assert_eq!(snapshot.unacknowledged_bytes, 1);
    assert_eq!(snapshot.queued_for, Duration::from_millis(30));
    assert_eq!(snapshot.round_trip, None);
    outbox.acknowledged(at(1_030), &up_to(1)).unwrap();
    let snapshot = outbox.snapshot(at(1_030));
    assert_eq!(snapshot.round_trip, Some(Duration::from_millis(1_000)));
    assert_eq!(snapshot.oldest, Some(Duration::from_millis(930)));
    assert_eq!(
        (
            snapshot.unacknowledged_frames,
            snapshot.unacknowledged_bytes
        ),
        (0, 0)
    );
}

#[test]
fn connections_to_one_peer_share_the_bounds_of_its_queue() {
    let config = OutboxConfig {
        queue_bytes_max: 4 * room(2, 10),
        queue_frames_max: Some(12),
        ..CONFIG
    };
    let mut outbox = Outbox::one_of(config, 4);
    for key in 1..=5 {
        outbox.push(at(0), large(key, 10));
    }
    let snapshot = outbox.snapshot(at(0));
    assert_eq!((snapshot.queued_frames, snapshot.counters.shed), (2, 3));
    assert!(snapshot.queued_bytes <= room(2, 10), "{snapshot:?}");

    // However small the part is, a frame gets through.
    let mut outbox = Outbox::one_of(config, 1_000);
    outbox.push(at(0), large(1, 10));
    let entry = outbox.take_joined()[0];
    outbox.fill(entry.ticket, Some(Bytes::from_static(b"whole")));
    assert_eq!(write(&mut outbox, at(0)), frames(&[(1, "whole")]));
}

#[test]
fn what_is_overdue_here_is_said_of_a_peer_that_was_found_suspect_elsewhere() {
    let mut outbox = Outbox::new(CONFIG);
    outbox.push(at(0), fragment(1, "a"));
    write(&mut outbox, at(0));
    outbox.suspect();
    effects(&mut outbox);
    let overdue = outbox.poll_timeout().unwrap();
    outbox.handle_timeout(overdue);
    assert!(effects(&mut outbox).contains(&OutboxEffect::Suspect));
    // Elsewhere it answers again; here it does not.
    outbox.relieve();
    assert!(outbox.is_suspect());
    outbox.acknowledged(overdue, &up_to(1)).unwrap();
    assert!(effects(&mut outbox).contains(&OutboxEffect::Recovered));
    assert!(!outbox.is_suspect());
}

#[test]
fn frames_are_past_when_they_are_acknowledged_and_not_when_they_are_settled() {
    let mut outbox = Outbox::new(OutboxConfig {
        confirm: Confirm::Written,
        ..CONFIG
    });
    assert!(outbox.is_past(outbox.last_ticket()));
    let first = outbox.push(at(0), fragment(1, "a"));
    let second = outbox.push(at(0), tombstone(2));
    write(&mut outbox, at(0));
    assert_eq!(outbox.outcome(first), Some(Outcome::Acknowledged));
    // The tombstone went out first, and has the first number.
    outbox.acknowledged(at(1), &up_to(1)).unwrap();
    assert_eq!(outbox.outcome(second), Some(Outcome::Acknowledged));
    assert!(!outbox.is_past(second), "the fragment is on its way");
    outbox.acknowledged(at(2), &up_to(2)).unwrap();
    assert!(outbox.is_past(second));
    let third = outbox.push(at(3), fragment(3, "c"));
    outbox.close();
    assert!(outbox.is_past(third), "nothing comes any more");
}
