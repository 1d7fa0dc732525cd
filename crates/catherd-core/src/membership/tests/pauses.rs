//! A node that was stopped, and one that was put back in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::{Effect, GoneCause, MemberEvent, Membership, Met, Pulse};
use super::single::{at, effects, events, heartbeat, hello, incarnation, meet, single, welcome};
use crate::message::{MemberState, Refusal};

fn wall(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
}

fn pulse(millis: u64) -> Pulse {
    Pulse {
        at: at(millis),
        wall: wall(millis),
    }
}

/// Ready, with the member b.
fn ready() -> Membership {
    let mut core = single();
    assert!(!core.handle_pulse(pulse(0)));
    meet(&mut core, at(1), "b", 2);
    core.become_ready(at(2));
    effects(&mut core);
    core
}

#[test]
fn whoever_was_stopped_closes_every_link_and_joins_again() {
    let mut core = ready();
    assert!(core.handle_pulse(pulse(9000)));
    assert_eq!(core.state(), MemberState::Joining);
    assert!(core.view().members.is_empty());
    assert_eq!(core.met(), Met::NotAll, "b is to be met");
    let done = effects(&mut core);
    let [
        Effect::Event(MemberEvent::Paused(pause)),
        Effect::Disconnect { .. },
        Effect::Connect {
            incarnation: called,
            ..
        },
    ] = &done[..]
    else {
        panic!("{done:?}");
    };
    assert_eq!((*pause, *called), (Duration::from_secs(9), incarnation(2)));
    core.handle_timeout(at(9000));
    assert_eq!(core.counters().probes, 0, "the silence was its own");
    assert_eq!((core.declared_gone(), core.missing().len()), (0, 0));

    core.handle_hello(at(9010), &hello("b", 2)).unwrap();
    assert!(core.handle_welcome(at(9011), incarnation(2), &welcome("b", 2)));
    assert_eq!(core.view().members.len(), 1);
    assert_eq!((core.declared_gone(), core.missing().len()), (0, 0));
    assert_eq!(core.counters().pauses, 1);
}

#[test]
fn up_to_the_drop_time_less_two_heartbeats_nothing_happens() {
    let mut core = ready();
    assert!(!core.handle_pulse(pulse(2000)));
    assert!(!core.handle_pulse(pulse(4000)));
    assert_eq!(
        (core.state(), effects(&mut core)),
        (MemberState::Ready, vec![])
    );
    assert!(core.handle_pulse(pulse(6001)));
}

#[test]
fn a_wall_clock_that_ran_further_is_a_pause_and_one_that_was_set_back_is_none() {
    let mut core = ready();
    let mut step = |millis, wall_millis| {
        core.handle_pulse(Pulse {
            at: at(millis),
            wall: wall(wall_millis),
        })
    };
    assert!(!step(100, 2100));
    assert!(step(200, 4201));
    assert!(!step(300, 0));
    assert!(!step(400, 100));
}

#[test]
fn a_member_that_cannot_be_met_after_a_pause_is_gone_a_drop_time_later_and_counts() {
    let mut core = ready();
    core.handle_pulse(pulse(9000));
    effects(&mut core);
    core.handle_timeout(at(11_999));
    assert_eq!(core.declared_gone(), 0);
    core.handle_timeout(at(12_000));
    assert_eq!(core.declared_gone(), 1);
    assert!(core.is_missing("b"));
    let is_gone =
        |event: &MemberEvent| matches!(event, MemberEvent::Gone(_, GoneCause::ProbeFailed));
    assert!(events(&mut core).iter().any(is_gone));
}

#[test]
fn who_was_only_heard_before_the_pause_is_forgotten_without_a_word() {
    let mut core = single();
    core.handle_pulse(pulse(0));
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 1));
    core.handle_pulse(pulse(9000));
    core.handle_timeout(at(12_000));
    assert_eq!((core.declared_gone(), core.missing().len()), (0, 0));
}

#[test]
fn a_member_that_has_heard_more_than_was_said_shows_that_this_node_was_put_back() {
    let mut core = ready();
    let mut told = hello("b", 2);
    told.counter_heard = 1;
    assert!(
        core.handle_hello(at(10), &told).is_ok(),
        "that much was said"
    );
    effects(&mut core);
    told.counter_heard = 2;
    assert_eq!(
        core.handle_hello(at(10), &told),
        Err(Refusal::OtherIncarnation)
    );
    assert_eq!(core.state(), MemberState::Joining);
    let done = effects(&mut core);
    assert!(done.contains(&Effect::PutBack), "{done:?}");

    core.handle_new_incarnation(at(11), incarnation(7));
    assert_eq!(core.view().myself.incarnation, incarnation(7));
    let sent = effects(&mut core);
    let is_new = |effect: &Effect| {
        matches!(effect, Effect::SendHeartbeat(sent)
            if sent.incarnation == incarnation(7) && sent.counter == 1)
    };
    assert!(sent.iter().any(is_new), "{sent:?}");
}

#[test]
fn a_silence_that_the_own_clock_does_not_show_means_that_it_stood_still() {
    const HOUR: Duration = Duration::from_secs(3600);
    let told = |millis: u64, silence: Duration| {
        let mut core = ready();
        effects(&mut core);
        let mut welcomed = welcome("b", 2);
        (welcomed.counter_heard, welcomed.silence) = (1, silence);
        let is_of_use = core.handle_welcome(at(millis), incarnation(2), &welcomed);
        let is_put_back = effects(&mut core).contains(&Effect::PutBack);
        assert_eq!(is_of_use, !is_put_back);
        is_put_back
    };
    assert!(!told(1000, HOUR));
    assert!(told(1000, HOUR + Duration::from_secs(2)));
    // A split of three hours, during which this clock ran.
    assert!(!told(3 * 3_600_000, 3 * HOUR));
}

/// Its heartbeats may come before its hello: they do not hide how long it was silent.
#[test]
fn who_comes_back_is_told_of_the_silence_before() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 5));
    meet(&mut core, at(2), "b", 2);
    core.handle_link_lost(at(10), incarnation(2), super::super::Direction::Incoming);
    core.handle_probe(
        at(10),
        incarnation(2),
        Err(super::super::ConnectFailure::Unreachable),
    );
    assert!(core.view().members.is_empty());
    core.handle_heartbeat(at(7_200_001), &heartbeat("b", 2, 6));
    let answer = core.handle_hello(at(7_200_101), &hello("b", 2)).unwrap();
    assert_eq!(answer.counter_heard, 5);
    assert_eq!(answer.silence, Duration::from_millis(7_200_100));
}
