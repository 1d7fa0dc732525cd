//! What a flood costs: bounded state, no amplification.

use super::super::machine::UNVERIFIED_MAX;
use super::super::{Effect, MemberEvent, MembershipConfig};
use super::single::{
    at, effects, events, heartbeat, hello, incarnation, meet, single, with_config,
};
use crate::message::Refusal;

#[test]
fn a_flood_of_heartbeats_makes_few_known_and_is_hardly_answered() {
    let mut core = single();
    let (mut answers, mut connects) = (0, 0);
    for bits in 2..10_000 {
        core.handle_heartbeat(at(1), &heartbeat(&format!("n{bits}"), bits, 1));
        for effect in effects(&mut core) {
            match effect {
                Effect::AnswerHeartbeat(_) => answers += 1,
                Effect::Connect { .. } => connects += 1,
                _ => {}
            }
        }
    }
    assert_eq!((answers, connects), (UNVERIFIED_MAX, UNVERIFIED_MAX));
    let known = (2..10_000).filter(|&bits| core.silence(incarnation(bits), at(1)).is_some());
    assert_eq!(known.count(), UNVERIFIED_MAX);
    assert_eq!(
        core.counters().heartbeats_over_cap,
        9998 - UNVERIFIED_MAX as u64
    );
    core.handle_timeout(at(3001));
    assert!((2..10_000).all(|bits| core.silence(incarnation(bits), at(3001)).is_none()));
}

#[test]
fn who_says_hello_takes_the_place_of_one_that_was_only_heard() {
    let mut config = MembershipConfig::new("test");
    config.members_max = 4;
    let mut core = with_config(config);
    for bits in 2..10 {
        core.handle_heartbeat(at(bits), &heartbeat(&format!("n{bits}"), bits, 1));
    }
    core.handle_hello(at(20), &hello("real", 20)).unwrap();
    assert!(core.silence(incarnation(20), at(20)).is_some());
    assert!(
        core.silence(incarnation(2), at(20)).is_none(),
        "the longest silent one"
    );
    assert!(core.silence(incarnation(3), at(20)).is_some());
}

#[test]
fn a_full_cluster_refuses_further_members_and_says_so_once() {
    let mut config = MembershipConfig::new("test");
    config.members_max = 3;
    let mut core = with_config(config);
    meet(&mut core, at(1), "b", 2);
    meet(&mut core, at(1), "c", 3);
    assert_eq!(core.handle_hello(at(2), &hello("d", 4)), Err(Refusal::Full));
    assert_eq!(core.handle_hello(at(3), &hello("d", 4)), Err(Refusal::Full));
    core.handle_heartbeat(at(4), &heartbeat("d", 4, 1));
    let told = events(&mut core);
    assert!(matches!(&told[..], [MemberEvent::Full(who)] if who.name == "d"));
    core.handle_goodbye(at(5), incarnation(2));
    assert!(core.handle_hello(at(6), &hello("d", 4)).is_ok());
}

#[test]
fn what_is_remembered_of_former_members_is_bounded() {
    let mut core = single();
    for bits in 2..5000 {
        meet(&mut core, at(bits), &format!("n{bits}"), bits);
        core.handle_goodbye(at(bits), incarnation(bits));
        effects(&mut core);
    }
    assert!(core.retired.len() <= 1024);
    let again = hello("n4999", 4999);
    assert_eq!(
        core.handle_hello(at(5000), &again),
        Err(Refusal::Leaving),
        "the newest are kept"
    );
}
