//! One membership, fed by hand: what it says and what it answers.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{
    ConnectFailure, Direction, Effect, MemberEvent, Membership, MembershipConfig, Myself,
};
use super::cluster::{FREQUENCY, address};
use crate::message::{Heartbeat, Hello, MemberState, Protocols, Purpose, Refusal, Welcome};
use crate::time::Time;
use crate::version::Incarnation;

pub(super) const MYSELF: Incarnation = Incarnation::from_bits(1);

pub(super) fn single() -> Membership {
    with_config(MembershipConfig::new("test"))
}

pub(super) fn with_config(config: MembershipConfig) -> Membership {
    let myself = Myself {
        name: "me".to_owned(),
        incarnation: MYSELF,
        address: address(1),
        domain: "d".to_owned(),
    };
    let mut core = Membership::new(config, myself, Time::START);
    assert!(matches!(effects(&mut core)[..], [Effect::SendHeartbeat(_)]));
    core
}

pub(super) fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

pub(super) fn incarnation(bits: u64) -> Incarnation {
    Incarnation::from_bits(bits)
}

pub(super) fn effects(core: &mut Membership) -> Vec<Effect> {
    std::iter::from_fn(|| core.poll_effect()).collect()
}

pub(super) fn events(core: &mut Membership) -> Vec<MemberEvent> {
    let events = effects(core).into_iter().filter_map(|effect| match effect {
        Effect::Event(event) => Some(event),
        _ => None,
    });
    events.collect()
}

pub(super) fn place(bits: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], u16::try_from(bits).unwrap()))
}

pub(super) fn heartbeat(name: &str, bits: u64, counter: u64) -> Heartbeat {
    Heartbeat {
        cluster: "test".to_owned(),
        name: name.to_owned(),
        incarnation: incarnation(bits),
        counter,
        address: place(bits),
        domain: "d".to_owned(),
        state: MemberState::Joining,
        protocols: Protocols::OURS,
        heard: Vec::new(),
        wall_ms: None,
    }
}

pub(super) fn hello(name: &str, bits: u64) -> Hello {
    Hello {
        protocols: Protocols::OURS,
        cluster: "test".to_owned(),
        name: name.to_owned(),
        incarnation: incarnation(bits),
        address: place(bits),
        domain: "d".to_owned(),
        state: MemberState::Joining,
        purpose: Purpose::Link,
        to: Some(MYSELF),
        counter_heard: 0,
        silence: Duration::ZERO,
        settings: 0,
    }
}

pub(super) fn welcome(name: &str, bits: u64) -> Welcome {
    Welcome {
        protocol: 1,
        name: name.to_owned(),
        incarnation: incarnation(bits),
        state: MemberState::Joining,
        counter_heard: 0,
        silence: Duration::ZERO,
        settings: 0,
        heard: Vec::new(),
    }
}

/// Makes a member of the view.
pub(super) fn meet(core: &mut Membership, now: Time, name: &str, bits: u64) {
    core.handle_hello(now, &hello(name, bits)).unwrap();
    assert!(core.handle_welcome(now, incarnation(bits), &welcome(name, bits)));
    assert!(core.view().member(incarnation(bits)).is_some());
    effects(core);
}

#[test]
fn the_first_heartbeat_goes_out_at_once_and_then_one_every_frequency() {
    let mut core = single();
    let mut sent = Vec::new();
    for millis in 1..=2000 {
        core.handle_timeout(at(millis));
        for effect in effects(&mut core) {
            if let Effect::SendHeartbeat(heartbeat) = effect {
                sent.push((millis, heartbeat.counter));
            }
        }
    }
    assert_eq!(sent, [(500, 2), (1000, 3), (1500, 4), (2000, 5)]);
}

#[test]
fn a_node_that_slept_sends_one_heartbeat_and_not_all_that_it_missed() {
    let mut core = single();
    core.handle_timeout(at(10_250));
    let beats = |effect: &Effect| matches!(effect, Effect::SendHeartbeat(_));
    assert_eq!(
        effects(&mut core)
            .iter()
            .filter(|effect| beats(effect))
            .count(),
        1
    );
    assert_eq!(core.poll_timeout(), Some(at(10_750)));
}

#[test]
fn an_unknown_incarnation_is_answered_at_once_and_once_and_connected_to() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 1));
    let effects_first = effects(&mut core);
    let [Effect::Event(MemberEvent::Heard(_)), answer, connect] = &effects_first[..] else {
        panic!("{effects_first:?}");
    };
    assert!(matches!(answer, Effect::AnswerHeartbeat(heartbeat) if heartbeat.counter == 2));
    let Effect::Connect {
        incarnation,
        name,
        address,
    } = connect
    else {
        panic!("{connect:?}");
    };
    assert_eq!(
        (*incarnation, name.as_str(), *address),
        (Incarnation::from_bits(2), "b", place(2))
    );
    core.handle_heartbeat(at(2), &heartbeat("b", 2, 2));
    assert_eq!(effects(&mut core), []);
    assert_eq!(core.counters().heartbeats_heard, 2);
}

#[test]
fn an_answer_has_a_list_if_it_is_no_longer_than_that_of_the_heartbeat_that_it_answers() {
    let mut core = single();
    for bits in 2..5 {
        core.handle_heartbeat(at(1), &heartbeat(&format!("n{bits}"), bits, 1));
    }
    effects(&mut core);
    let mut answered = |bits: u64, heard: &[u64]| {
        let mut first = heartbeat(&format!("new{bits}"), bits, 1);
        first.heard = heard.iter().copied().map(incarnation).collect();
        core.handle_heartbeat(at(2), &first);
        let mut effects = effects(&mut core).into_iter();
        let answer = effects.find_map(|effect| match effect {
            Effect::AnswerHeartbeat(answer) => Some(answer),
            _ => None,
        });
        answer.expect("it is answered").heard
    };
    assert_eq!(answered(20, &[97, 98, 99]), [], "it would be longer");
    let all = [2, 3, 4, 20, 21].map(incarnation);
    assert_eq!(answered(21, &[95, 96, 97, 98, 99]), all);
}

#[test]
fn a_heartbeat_says_who_was_heard_within_the_drop_time() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    meet(&mut core, at(1), "c", 3);
    core.handle_heartbeat(at(2), &heartbeat("c", 3, 1));
    core.handle_timeout(at(500));
    let heard = |effects: Vec<Effect>| match &effects[..] {
        [Effect::SendHeartbeat(heartbeat), ..] => heartbeat.heard.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(heard(effects(&mut core)), [incarnation(3)]);
    core.handle_timeout(at(3002));
    assert_eq!(heard(effects(&mut core)), []);
}

#[test]
fn heartbeats_of_others_replayed_or_our_own_change_nothing() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_heartbeat(at(2), &heartbeat("b", 2, 7));
    let mut foreign = heartbeat("c", 3, 1);
    foreign.cluster = "other".to_owned();
    let mut mine = heartbeat("me", 1, 1);
    mine.incarnation = MYSELF;
    for heartbeat in [foreign, mine, heartbeat("b", 2, 7), heartbeat("b", 2, 6)] {
        core.handle_heartbeat(at(1000), &heartbeat);
    }
    assert_eq!(effects(&mut core), []);
    let counters = core.counters();
    assert_eq!(counters.heartbeats_of_another_cluster, 1);
    assert_eq!(counters.heartbeats_own, 1);
    assert_eq!(counters.heartbeats_replayed, 2);
    assert_eq!(
        core.silence(incarnation(2), at(1000)),
        Some(Duration::from_millis(998))
    );
}

#[test]
fn one_half_alone_makes_no_member() {
    let mut core = single();
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    core.handle_heartbeat(at(1), &heartbeat("c", 3, 1));
    assert!(core.handle_welcome(at(2), incarnation(3), &welcome("c", 3)));
    assert_eq!(core.view().members, []);
    assert!(core.handle_welcome(at(3), incarnation(2), &welcome("b", 2)));
    assert_eq!(core.view().members.len(), 1);
    core.handle_hello(at(4), &hello("c", 3)).unwrap();
    assert_eq!(core.view().members.len(), 2);
}

#[test]
fn a_half_that_is_lost_before_the_other_opens_makes_no_member() {
    let mut core = single();
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    core.handle_link_lost(at(2), incarnation(2), Direction::Incoming);
    assert!(core.handle_welcome(at(3), incarnation(2), &welcome("b", 2)));
    assert_eq!(core.view().members, []);
}

#[test]
fn a_hello_of_an_unknown_process_makes_it_known_and_it_is_called_back() {
    let mut core = single();
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    let effects = effects(&mut core);
    assert!(matches!(&effects[0], Effect::Event(MemberEvent::Heard(who)) if who.name == "b"));
    assert!(matches!(&effects[1], Effect::Connect { address, .. } if *address == place(2)));
    assert_eq!(effects.len(), 2);
}

#[test]
fn a_probe_only_asks() {
    let mut core = single();
    let mut probe = hello("b", 2);
    probe.purpose = Purpose::Probe;
    let welcome = core.handle_hello(at(1), &probe).unwrap();
    assert_eq!(welcome.incarnation, MYSELF);
    assert_eq!(effects(&mut core), []);
    assert_eq!(core.silence(incarnation(2), at(1)), None);
}

#[test]
fn a_process_that_only_another_member_hears_is_not_met_until_it_is_in_view_or_has_ended() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    assert!(!core.is_any_unmet());
    let hears = |counter, heard: &[u64]| Heartbeat {
        heard: heard.iter().copied().map(incarnation).collect(),
        ..heartbeat("b", 2, counter)
    };
    core.handle_heartbeat(at(2), &hears(1, &[MYSELF.bits(), 3]));
    assert!(core.is_any_unmet(), "it hears 3");
    meet(&mut core, at(3), "c", 3);
    assert!(!core.is_any_unmet());
    core.handle_goodbye(at(4), incarnation(3));
    assert!(
        !core.is_any_unmet(),
        "it has ended, though b heard it not long ago"
    );
    core.handle_heartbeat(at(5), &hears(2, &[MYSELF.bits(), 4]));
    assert!(core.is_any_unmet());
    core.handle_heartbeat(at(6), &hears(3, &[MYSELF.bits()]));
    assert!(!core.is_any_unmet());
}

#[test]
fn one_more_socket_is_welcome_only_beside_an_open_half_of_the_same_process() {
    let mut core = single();
    let pooled = |name, bits| Hello {
        purpose: Purpose::Pooled,
        ..hello(name, bits)
    };
    let refused = Err(Refusal::NotLinked);
    assert_eq!(core.handle_hello(at(1), &pooled("b", 2)).map(drop), refused);
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    assert!(core.handle_hello(at(2), &pooled("b", 2)).is_ok());
    assert_eq!(core.handle_hello(at(2), &pooled("c", 2)).map(drop), refused);
    assert_eq!(core.handle_hello(at(2), &pooled("b", 3)).map(drop), refused);
    core.handle_link_lost(at(3), incarnation(2), Direction::Incoming);
    assert_eq!(core.handle_hello(at(3), &pooled("b", 2)).map(drop), refused);
}

#[test]
fn hellos_are_refused_for_the_reason_that_fits() {
    let mut core = single();
    let changed = |change: fn(&mut Hello)| {
        let mut hello = hello("b", 2);
        change(&mut hello);
        hello
    };
    let cases = [
        (
            changed(|it| it.cluster = "other".to_owned()),
            Refusal::OtherCluster,
        ),
        (changed(|it| it.incarnation = MYSELF), Refusal::Myself),
        (
            changed(|it| it.to = Some(Incarnation::from_bits(9))),
            Refusal::OtherIncarnation,
        ),
        (
            changed(|it| it.protocols = Protocols { min: 7, max: 9 }),
            Refusal::NoCommonProtocol,
        ),
        (changed(|it| it.name = "me".to_owned()), Refusal::NameTaken),
    ];
    for (hello, refusal) in cases {
        assert_eq!(core.handle_hello(at(1), &hello), Err(refusal));
    }
    assert_eq!(core.counters().hellos_refused, 5);
    assert_eq!(
        core.silence(incarnation(2), at(1)),
        None,
        "a refusal makes nobody known"
    );
    assert!(
        core.handle_hello(at(1), &changed(|it| it.to = None))
            .is_ok()
    );
}

#[test]
fn a_hello_carries_the_counter_heard_of_the_other_and_the_time_since() {
    let mut core = single();
    core.handle_heartbeat(at(10), &heartbeat("b", 2, 41));
    core.handle_heartbeat(at(20), &heartbeat("b", 2, 42));
    let hello_now = core.hello_for(incarnation(2), Purpose::Link, at(120));
    assert_eq!(
        (hello_now.counter_heard, hello_now.silence),
        (42, Duration::from_millis(100))
    );
    let welcome = core.handle_hello(at(220), &hello("b", 2)).unwrap();
    assert_eq!(
        (welcome.counter_heard, welcome.silence),
        (42, Duration::from_millis(200))
    );
    let stranger = core.hello_for(incarnation(3), Purpose::Link, at(120));
    assert_eq!(
        (stranger.counter_heard, stranger.silence),
        (0, Duration::ZERO)
    );
}

#[test]
fn the_counter_heard_outlives_the_member() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_heartbeat(at(10), &heartbeat("b", 2, 42));
    for half in [Direction::Outgoing, Direction::Incoming] {
        core.handle_link_lost(at(20), incarnation(2), half);
    }
    core.handle_probe(at(21), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(core.view().members, []);
    let hello_then = core.hello_for(incarnation(2), Purpose::Link, at(1010));
    assert_eq!(
        (hello_then.counter_heard, hello_then.silence),
        (42, Duration::from_secs(1))
    );
    core.handle_heartbeat(at(1020), &heartbeat("b", 2, 42));
    assert_eq!(core.counters().heartbeats_replayed, 1);
    let welcome = core.handle_hello(at(1030), &hello("b", 2)).unwrap();
    assert_eq!(welcome.counter_heard, 42);
}

#[test]
fn a_welcome_of_another_process_is_of_no_use() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 1));
    assert!(!core.handle_welcome(at(2), incarnation(2), &welcome("b", 3)));
    assert!(
        !core.handle_welcome(at(2), incarnation(7), &welcome("x", 7)),
        "nobody asked"
    );
    let mut strange = welcome("c", 4);
    strange.protocol = 99;
    core.handle_heartbeat(at(3), &heartbeat("c", 4, 1));
    assert!(!core.handle_welcome(at(4), incarnation(4), &strange));
    assert_eq!(core.counters().connects_failed, 2);
}

#[test]
fn a_connect_that_is_not_answered_is_tried_again() {
    let mut core = single();
    core.handle_heartbeat(at(0), &heartbeat("b", 2, 1));
    let mut connects = Vec::new();
    for millis in 0..8000 {
        if millis % 500 == 0 {
            core.handle_heartbeat(at(millis), &heartbeat("b", 2, 1 + millis));
        }
        core.handle_timeout(at(millis));
        for effect in effects(&mut core) {
            if matches!(effect, Effect::Connect { .. }) {
                connects.push(millis);
            }
        }
    }
    // Two heartbeats of patience each, and pauses of 1/16, 1/8, 1/4, 1/2 of one.
    assert_eq!(connects, [0, 1032, 2095, 3220, 4470, 5970, 7470]);
}

#[test]
fn pauses_between_failing_connects_do_not_exceed_the_frequency() {
    let mut core = single();
    core.handle_heartbeat(at(0), &heartbeat("b", 2, 1));
    let mut times = Vec::new();
    for millis in 0..5000 {
        if millis % 500 == 0 {
            core.handle_heartbeat(at(millis), &heartbeat("b", 2, 1 + millis));
        }
        core.handle_timeout(at(millis));
        for effect in effects(&mut core) {
            if matches!(effect, Effect::Connect { .. }) {
                times.push(millis);
                core.handle_connect_failed(at(millis), incarnation(2), ConnectFailure::Reset);
            }
        }
    }
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..4], [32, 63, 125, 250]);
    assert!(
        pauses.len() > 10 && pauses[4..].iter().all(|&pause| pause == 500),
        "{pauses:?}"
    );
}

/// A member that accepts every connection and closes it at once must not be called in a loop.
#[test]
fn a_link_that_does_not_last_is_opened_with_growing_pauses() {
    let mut core = single();
    meet(&mut core, at(0), "b", 2);
    let mut connects = 0;
    for millis in 1..3000 {
        core.handle_timeout(at(millis));
        core.handle_link_lost(at(millis), incarnation(2), Direction::Outgoing);
        for effect in effects(&mut core) {
            match effect {
                Effect::Probe { .. } => {
                    core.handle_probe(at(millis), incarnation(2), Ok(&welcome("b", 2)));
                }
                Effect::Connect { .. } => {
                    connects += 1;
                    assert!(core.handle_welcome(at(millis), incarnation(2), &welcome("b", 2)));
                }
                _ => {}
            }
        }
    }
    assert!((5..=12).contains(&connects), "{connects}");
    assert_eq!(core.view().members.len(), 1);
}

#[test]
fn a_refusal_is_told_once_and_asked_again_after_the_drop_time() {
    let mut core = single();
    let mut told = Vec::new();
    let mut connects = Vec::new();
    for millis in 0..10_000 {
        if millis % 500 == 0 {
            core.handle_heartbeat(at(millis), &heartbeat("b", 2, 1 + millis));
        }
        core.handle_timeout(at(millis));
        for effect in effects(&mut core) {
            match effect {
                Effect::Connect { incarnation, .. } => {
                    connects.push(millis);
                    let refusal = ConnectFailure::Refused(Refusal::OtherCluster);
                    core.handle_connect_failed(at(millis), incarnation, refusal);
                }
                Effect::Event(MemberEvent::Refused(_, refusal)) => told.push((millis, refusal)),
                _ => {}
            }
        }
    }
    told.extend(
        events(&mut core)
            .into_iter()
            .filter_map(|event| match event {
                MemberEvent::Refused(_, refusal) => Some((10_000, refusal)),
                _ => None,
            }),
    );
    assert_eq!(connects, [0, 3000, 6000, 9000]);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1, Refusal::OtherCluster);
}

/// After a quick restart the name is the previous process's until a probe of that has failed.
#[test]
fn a_name_that_is_taken_is_told_only_after_the_time_of_a_probe() {
    let mut core = single();
    let (mut connects, mut told) = (Vec::new(), Vec::new());
    for millis in 0..9000 {
        if millis % 500 == 0 {
            core.handle_heartbeat(at(millis), &heartbeat("b", 2, 1 + millis));
        }
        core.handle_timeout(at(millis));
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::Connect { incarnation, .. } => {
                    connects.push(millis);
                    let refusal = ConnectFailure::Refused(Refusal::NameTaken);
                    core.handle_connect_failed(at(millis), incarnation, refusal);
                }
                Effect::Event(MemberEvent::Refused(..)) => told.push(millis),
                _ => {}
            }
        }
    }
    assert_eq!(connects, [0, 1000, 4000, 7000]);
    assert_eq!(told, [1000]);
}

#[test]
fn whoever_has_a_hello_accepted_is_called_at_once_whatever_it_refused_before() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 1));
    let refusal = ConnectFailure::Refused(Refusal::NameTaken);
    core.handle_connect_failed(at(2), incarnation(2), refusal);
    effects(&mut core);
    core.handle_hello(at(3), &hello("b", 2)).unwrap();
    assert!(matches!(effects(&mut core)[..], [Effect::Connect { .. }]));
}

#[test]
fn a_candidate_that_falls_silent_is_forgotten() {
    let mut core = single();
    core.handle_heartbeat(at(0), &heartbeat("b", 2, 1));
    for millis in 1..3000 {
        core.handle_timeout(at(millis));
    }
    effects(&mut core);
    assert!(core.silence(incarnation(2), at(2999)).is_some());
    core.handle_timeout(at(3000));
    assert_eq!(core.silence(incarnation(2), at(3000)), None);
    let disconnect = Effect::Disconnect {
        incarnation: incarnation(2),
    };
    assert!(
        effects(&mut core).contains(&disconnect),
        "the connect under way is given up"
    );
}

#[test]
fn settings_that_differ_are_told_once_and_refuse_nobody() {
    let mut core = single();
    let mut strange = hello("b", 2);
    strange.settings = 77;
    core.handle_hello(at(1), &strange).unwrap();
    let mut answer = welcome("b", 2);
    answer.settings = 77;
    assert!(core.handle_welcome(at(2), incarnation(2), &answer));
    let differ = |event: &MemberEvent| matches!(event, MemberEvent::SettingsDiffer(_));
    assert_eq!(
        events(&mut core)
            .iter()
            .filter(|event| differ(event))
            .count(),
        1
    );
    assert_eq!(core.view().members.len(), 1);
}

#[test]
fn a_member_may_go_back_to_joining_only_with_a_hello() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_ready(at(2), incarnation(2));
    let state = |core: &Membership| core.view().members[0].state;
    assert_eq!(state(&core), MemberState::Ready);
    // The welcome was written before the member became ready and overtaken by that.
    assert!(core.handle_welcome(at(3), incarnation(2), &welcome("b", 2)));
    core.handle_heartbeat(at(3), &heartbeat("b", 2, 5));
    assert_eq!(state(&core), MemberState::Ready);
    core.handle_hello(at(4), &hello("b", 2)).unwrap();
    assert_eq!(state(&core), MemberState::Joining);
}

#[test]
fn who_welcomes_us_after_we_became_ready_is_told_so() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 1));
    let said = core.hello_for(incarnation(2), Purpose::Link, at(1));
    assert_eq!(said.state, MemberState::Joining);
    core.become_ready(at(2));
    effects(&mut core);
    assert!(core.handle_welcome(at(3), incarnation(2), &welcome("b", 2)));
    let ready = Effect::SendReady {
        incarnation: incarnation(2),
    };
    assert_eq!(effects(&mut core), [ready]);
}

#[test]
fn ready_of_somebody_unknown_is_ignored() {
    let mut core = single();
    core.handle_ready(at(1), incarnation(2));
    core.handle_link_lost(at(1), incarnation(2), Direction::Incoming);
    core.handle_connect_failed(at(1), incarnation(2), ConnectFailure::Unreachable);
    core.handle_probe(at(1), incarnation(2), Err(ConnectFailure::Reset));
    core.handle_goodbye(at(1), incarnation(2));
    assert_eq!(effects(&mut core), []);
    assert_eq!(core.counters().goodbyes_ignored, 1);
    assert_eq!(core.declared_gone(), 0);
}

#[test]
fn a_snapshot_of_the_view_does_not_change() {
    let mut core = single();
    let before = core.view().clone();
    meet(&mut core, at(1), "b", 2);
    assert_eq!(before.members, []);
    assert_eq!(core.view().named("b").unwrap().incarnation, incarnation(2));
    assert_eq!(core.view().member(MYSELF).unwrap().name, "me");
    assert_eq!(core.view().everyone().count(), 2);
}

#[test]
fn what_happens_is_told_with_its_remedy() {
    let mut core = single();
    core.handle_hello(at(1), &hello("me", 2)).unwrap_err();
    let text = events(&mut core)[0].to_string();
    assert_eq!(
        text,
        "me (0000000000000002 at 10.0.0.1:2) has this node's name: give one of the two another \
         jvmRoute and restart it"
    );
    core.handle_timeout(at(0) + FREQUENCY * 2);
    assert!(
        events(&mut core)
            .iter()
            .any(|event| event.to_string().contains("multicast"))
    );
}
