//! Wall clocks that differ.

use std::time::{Duration, UNIX_EPOCH};

use super::super::{Effect, MemberEvent, Membership, MembershipConfig, Pulse};
use super::single::{at, effects, events, heartbeat, incarnation, meet, single, with_config};
use crate::message::Heartbeat;

/// Two hours.
const APART_MS: i64 = 7_200_000;

fn wall_ms(millis: u64) -> i64 {
    1_000_000_000_000 + i64::try_from(millis).unwrap()
}

fn run(core: &mut Membership, millis: u64) {
    let wall = UNIX_EPOCH + Duration::from_millis(wall_ms(millis).unsigned_abs());
    core.handle_pulse(Pulse {
        at: at(millis),
        wall,
    });
}

/// What `b` says at so many milliseconds, if its clock is ahead by this.
fn says(millis: u64, ahead_ms: i64) -> Heartbeat {
    let mut heartbeat = heartbeat("b", 2, millis);
    heartbeat.wall_ms = Some(wall_ms(millis) + ahead_ms);
    heartbeat
}

/// `b` is a member, and beats every half second between these instants; what is told of it.
fn hear(core: &mut Membership, millis: std::ops::Range<u64>, ahead_ms: i64) -> Vec<MemberEvent> {
    for now in millis.step_by(500) {
        run(core, now);
        core.handle_heartbeat(at(now), &says(now, ahead_ms));
    }
    events(core)
}

fn member() -> Membership {
    let mut core = single();
    run(&mut core, 1);
    meet(&mut core, at(1), "b", 2);
    core
}

fn ahead(core: &Membership) -> Vec<i64> {
    core.clocks().map(|(_, ahead)| ahead).collect()
}

#[test]
fn a_clock_that_differs_for_the_drop_time_is_told_once_until_it_agrees_again() {
    for apart in [APART_MS, -APART_MS] {
        let mut core = member();
        assert_eq!(
            hear(&mut core, 500..3500, apart),
            [],
            "not yet for that long"
        );
        let told = hear(&mut core, 3500..60_000, apart);
        let [MemberEvent::ClockDiffers(who, by)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!((who.incarnation, *by), (incarnation(2), apart));
        assert_eq!(ahead(&core), [apart]);
        assert_eq!(hear(&mut core, 60_000..61_000, 0), [], "it was set");
        assert_eq!(ahead(&core), [0]);
        assert_eq!(hear(&mut core, 61_000..70_000, apart).len(), 1);
    }
}

#[test]
fn clocks_that_differ_by_two_seconds_agree() {
    let mut core = member();
    assert_eq!(hear(&mut core, 500..60_000, 2000), []);
    assert_eq!(hear(&mut core, 60_000..120_000, -2000), []);
    assert_eq!(hear(&mut core, 120_000..180_000, 2001).len(), 1);
}

/// A node that was stopped for less than a pause finds the heartbeats of that time in its socket.
#[test]
fn heartbeats_that_waited_in_a_socket_are_no_difference() {
    let mut config = MembershipConfig::new("test");
    config.drop_time = Duration::from_secs(60);
    let mut core = with_config(config);
    run(&mut core, 1);
    meet(&mut core, at(1), "b", 2);
    let sent = (500..20_000).step_by(500);
    for (waited, sent) in sent.enumerate() {
        let now = 20_000 + waited as u64;
        run(&mut core, now);
        core.handle_heartbeat(at(now), &says(sent, 0));
    }
    assert_eq!(events(&mut core), []);
}

#[test]
fn who_does_not_say_its_clock_and_who_is_no_member_is_not_judged() {
    let mut core = member();
    for now in (500..60_000).step_by(500) {
        run(&mut core, now);
        core.handle_heartbeat(at(now), &heartbeat("b", 2, now));
        let mut stranger = heartbeat("c", 3, now);
        stranger.wall_ms = Some(i64::MIN);
        core.handle_heartbeat(at(now), &stranger);
    }
    let told = events(&mut core);
    assert!(matches!(&told[..], [MemberEvent::Heard(_)]), "{told:?}");
    assert_eq!(ahead(&core), [0; 0]);
}

#[test]
fn a_clock_beyond_all_reason_is_a_difference_like_any_other() {
    for theirs in [i64::MIN, i64::MAX] {
        let mut core = member();
        for now in (500..10_000).step_by(500) {
            run(&mut core, now);
            let mut says = heartbeat("b", 2, now);
            says.wall_ms = Some(theirs);
            core.handle_heartbeat(at(now), &says);
        }
        let told = events(&mut core);
        let [differs @ MemberEvent::ClockDiffers(_, by)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(by.signum(), theirs.signum());
        let word = if theirs < 0 { "behind" } else { "ahead of" };
        assert!(differs.to_string().contains(word), "{differs}");
    }
}

/// An answer is never larger than what it answers, and a wall clock takes room.
#[test]
fn a_heartbeat_without_a_wall_clock_is_answered_without_one() {
    let mut core = single();
    run(&mut core, 1);
    core.handle_heartbeat(at(1), &heartbeat("c", 3, 1));
    core.handle_heartbeat(at(1), &says(1, 0));
    let answers = effects(&mut core)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::AnswerHeartbeat(answer) => Some(answer.wall_ms),
            _ => None,
        });
    assert_eq!(answers.collect::<Vec<_>>(), [None, Some(wall_ms(1))]);
}
