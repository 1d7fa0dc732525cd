//! Which answers decide a probe, and how.

use std::time::Duration;

use super::super::{ConnectFailure, Direction, Effect, GoneCause, MemberEvent, Membership};
use super::single::{at, effects, events, heartbeat, hello, incarnation, meet, single, welcome};
use crate::message::Refusal;

/// A member of the view whose outgoing half was reset at 10 ms.
fn reset() -> Membership {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_link_lost(at(10), incarnation(2), Direction::Outgoing);
    let probe = Effect::Probe {
        incarnation: incarnation(2),
        address: super::single::place(2),
        deadline: at(1010),
    };
    assert!(
        effects(&mut core).contains(&probe),
        "a probe starts at once"
    );
    core
}

/// The same, and its process has ended: what it had sent is read to the end.
fn ended(mut core: Membership, millis: u64) -> Membership {
    core.handle_link_lost(at(millis), incarnation(2), Direction::Incoming);
    core
}

fn gone(core: &mut Membership) -> Vec<GoneCause> {
    let told = events(core).into_iter();
    let gone = told.filter_map(|event| match event {
        MemberEvent::Gone(_, cause) => Some(cause),
        _ => None,
    });
    gone.collect()
}

#[test]
fn a_refused_connect_fails_a_probe_at_once() {
    let mut core = ended(reset(), 10);
    core.handle_probe(at(11), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(gone(&mut core), [GoneCause::ProbeFailed]);
    assert_eq!(core.declared_gone(), 1);
    assert_eq!(core.missing().next().unwrap().since, at(11));
    assert_eq!(core.view().members, []);
}

#[test]
fn what_an_ended_process_had_sent_is_read_before_the_verdict() {
    let mut core = reset();
    core.handle_probe(at(11), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(core.view().members.len(), 1);
    let mut core = ended(core, 12);
    assert_eq!(gone(&mut core), [GoneCause::ProbeFailed]);
}

#[test]
fn a_goodbye_of_an_ended_process_that_is_read_late_is_a_goodbye() {
    let mut core = reset();
    core.handle_probe(at(11), incarnation(2), Err(ConnectFailure::Reset));
    core.handle_goodbye(at(12), incarnation(2));
    assert_eq!(gone(&mut core), [GoneCause::Goodbye]);
    assert_eq!((core.missing().len(), core.declared_gone()), (0, 0));
}

/// As on a machine that has lost its power: nobody ends the connection.
#[test]
fn an_ended_process_whose_connection_does_not_end_is_gone_two_heartbeats_later() {
    let mut core = reset();
    core.handle_probe(at(11), incarnation(2), Err(ConnectFailure::Reset));
    core.handle_timeout(at(1010));
    assert_eq!(core.view().members.len(), 1);
    assert_eq!(core.poll_timeout(), Some(at(1011)));
    effects(&mut core);
    core.handle_timeout(at(1011));
    let disconnect = Effect::Disconnect {
        incarnation: incarnation(2),
    };
    let effects = effects(&mut core);
    let at = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted);
    let is_gone = |effect: &Effect| {
        matches!(
            effect,
            Effect::Event(MemberEvent::Gone(_, GoneCause::ProbeFailed))
        )
    };
    let (disconnect, gone) = (at(&|effect| *effect == disconnect), at(&is_gone));
    assert!(disconnect.is_some() && disconnect < gone, "{effects:?}");
}

#[test]
fn a_probe_that_nobody_answers_fails_after_two_heartbeats() {
    let mut core = reset();
    core.handle_timeout(at(1009));
    assert_eq!(core.view().members.len(), 1);
    core.handle_timeout(at(1010));
    assert_eq!(core.view().members, []);
}

#[test]
fn a_refusal_by_the_process_itself_is_an_answer() {
    for refusal in [
        Refusal::NameTaken,
        Refusal::Full,
        Refusal::Leaving,
        Refusal::NoCommonProtocol,
    ] {
        let mut core = reset();
        core.handle_probe(
            at(11),
            incarnation(2),
            Err(ConnectFailure::Refused(refusal)),
        );
        assert_eq!(core.view().members.len(), 1, "{refusal:?}");
        assert!(!core.view().members[0].is_suspect);
    }
}

#[test]
fn an_answer_of_another_process_is_none() {
    let mut core = ended(reset(), 10);
    core.handle_probe(at(11), incarnation(2), Ok(&welcome("b", 3)));
    assert_eq!(core.view().members, []);
    let mut core = ended(reset(), 10);
    let refusal = ConnectFailure::Refused(Refusal::OtherIncarnation);
    core.handle_probe(at(11), incarnation(2), Err(refusal));
    assert_eq!(core.view().members, []);
    assert_eq!(
        core.declared_gone(),
        1,
        "nobody has shown that it has the same name"
    );
}

#[test]
fn an_answered_probe_opens_the_lost_half_again() {
    let mut core = reset();
    core.handle_probe(at(11), incarnation(2), Ok(&welcome("b", 2)));
    let is_connect = |effect: &Effect| matches!(effect, Effect::Connect { .. });
    assert!(
        !effects(&mut core).iter().any(is_connect),
        "it did not last: with a pause"
    );
    core.handle_timeout(at(42));
    assert!(effects(&mut core).iter().any(is_connect));
    assert!(core.handle_welcome(at(43), incarnation(2), &welcome("b", 2)));
    let told = events(&mut core);
    assert!(matches!(
        told[..],
        [MemberEvent::Reopened(_, Direction::Outgoing)]
    ));
    assert_eq!(core.declared_gone(), 0);
}

#[test]
fn a_half_that_lasted_is_opened_again_at_once() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_heartbeat(at(2000), &heartbeat("b", 2, 1));
    core.handle_link_lost(at(2000), incarnation(2), Direction::Outgoing);
    core.handle_probe(at(2001), incarnation(2), Ok(&welcome("b", 2)));
    let is_connect = |effect: &Effect| matches!(effect, Effect::Connect { .. });
    assert!(effects(&mut core).iter().any(is_connect));
}

#[test]
fn heartbeats_that_come_back_excuse_a_probe_for_silence_whose_answer_was_lost() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_timeout(at(3001));
    assert!(core.view().members[0].is_suspect);
    core.handle_heartbeat(at(3100), &heartbeat("b", 2, 7));
    core.handle_timeout(at(4001));
    assert_eq!(core.view().members.len(), 1);
    assert!(!core.view().members[0].is_suspect);
}

#[test]
fn heartbeats_do_not_excuse_a_member_whose_listener_is_gone() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_timeout(at(3001));
    core.handle_heartbeat(at(3100), &heartbeat("b", 2, 7));
    core.handle_probe(at(3101), incarnation(2), Err(ConnectFailure::Reset));
    let core = ended(core, 3102);
    assert_eq!(core.view().members, []);
}

#[test]
fn heartbeats_do_not_excuse_a_lost_connection() {
    let mut core = reset();
    core.handle_heartbeat(at(500), &heartbeat("b", 2, 7));
    core.handle_timeout(at(1010));
    assert_eq!(core.view().members, []);
}

#[test]
fn a_failed_probe_asks_everybody_who_is_late_and_waits_for_the_answers() {
    let mut core = single();
    for (name, bits) in [("b", 2), ("c", 3), ("d", 4)] {
        meet(&mut core, at(1), name, bits);
    }
    core.handle_heartbeat(at(1900), &heartbeat("d", 4, 1));
    core.handle_link_lost(at(2000), incarnation(2), Direction::Outgoing);
    let mut core = ended(core, 2000);
    effects(&mut core);
    core.handle_probe(at(2001), incarnation(2), Err(ConnectFailure::Reset));
    let asked: Vec<_> = effects(&mut core)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Probe { incarnation, .. } => Some(incarnation),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [incarnation(3)], "c is late, d is not");
    assert_eq!(core.declared_gone(), 0, "the verdict waits");
    core.handle_probe(at(2500), incarnation(3), Err(ConnectFailure::Unreachable));
    let told = events(&mut core);
    let gone: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            MemberEvent::Gone(who, _) => Some(who.incarnation),
            _ => None,
        })
        .collect();
    assert_eq!(gone, [incarnation(2), incarnation(3)]);
    assert_eq!(core.declared_gone(), 2);
}

#[test]
fn a_late_member_that_answers_stays_and_the_failed_one_is_gone() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    meet(&mut core, at(1), "c", 3);
    core.handle_link_lost(at(2000), incarnation(2), Direction::Incoming);
    core.handle_probe(at(2001), incarnation(2), Err(ConnectFailure::Reset));
    core.handle_probe(at(2002), incarnation(3), Ok(&welcome("c", 3)));
    assert_eq!(core.view().members.len(), 1);
    assert_eq!(core.declared_gone(), 1);
}

/// Members that become suspect meanwhile, one after another, must not put the verdict off.
#[test]
fn a_verdict_waits_for_others_no_longer_than_a_probe_takes() {
    let mut core = single();
    for bits in 2..40 {
        meet(&mut core, at(1), &format!("n{bits}"), bits);
        core.handle_heartbeat(at(1999), &heartbeat(&format!("n{bits}"), bits, 1));
    }
    core.handle_link_lost(at(2000), incarnation(2), Direction::Incoming);
    core.handle_link_lost(at(2000), incarnation(3), Direction::Incoming);
    core.handle_probe(at(2001), incarnation(2), Err(ConnectFailure::Reset));
    for bits in 4..40 {
        core.handle_link_lost(at(2000 + bits * 20), incarnation(bits), Direction::Incoming);
        core.handle_timeout(at(2000 + bits * 20));
        if bits > 4 {
            core.handle_probe(
                at(2000 + bits * 20),
                incarnation(bits - 1),
                Ok(&welcome("x", bits - 1)),
            );
        }
    }
    core.handle_timeout(at(3001));
    assert!(core.view().member(incarnation(2)).is_none());
}

#[test]
fn a_hello_of_a_member_whose_verdict_waits_is_that_of_a_return() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    meet(&mut core, at(1), "c", 3);
    core.handle_link_lost(at(2000), incarnation(2), Direction::Incoming);
    core.handle_probe(at(2001), incarnation(2), Err(ConnectFailure::Unreachable));
    assert!(
        core.view().member(incarnation(2)).is_some(),
        "waits for the answer of c"
    );
    assert!(!core.handle_welcome(at(2002), incarnation(2), &welcome("b", 2)));
    effects(&mut core);
    core.handle_hello(at(2003), &hello("b", 2)).unwrap();
    assert!(core.view().member(incarnation(2)).is_none());
    assert_eq!(core.declared_gone(), 1);
    assert!(core.handle_welcome(at(2004), incarnation(2), &welcome("b", 2)));
    let told = events(&mut core);
    let position = |wanted: fn(&MemberEvent) -> bool| told.iter().position(wanted).unwrap();
    let gone = position(|event| matches!(event, MemberEvent::Gone(..)));
    assert!(gone < position(|event| matches!(event, MemberEvent::Added(_))));
}

#[test]
fn a_result_that_comes_after_the_deadline_is_ignored() {
    let mut core = reset();
    core.handle_timeout(at(1010));
    effects(&mut core);
    core.handle_probe(at(1011), incarnation(2), Ok(&welcome("b", 2)));
    core.handle_probe(at(1012), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(effects(&mut core), []);
    assert_eq!(core.declared_gone(), 1);
}

#[test]
fn a_connect_to_a_member_that_fails_asks_again_whether_it_lives() {
    let mut core = reset();
    core.handle_probe(at(11), incarnation(2), Ok(&welcome("b", 2)));
    core.handle_timeout(at(42));
    effects(&mut core);
    core.handle_connect_failed(at(43), incarnation(2), ConnectFailure::Reset);
    core.handle_probe(at(44), incarnation(2), Err(ConnectFailure::Reset));
    let core = ended(core, 45);
    assert_eq!(core.view().members, []);
}

#[test]
fn a_goodbye_while_a_probe_is_under_way_is_a_goodbye() {
    let mut core = reset();
    core.handle_goodbye(at(12), incarnation(2));
    let told = events(&mut core);
    assert!(matches!(
        told[..],
        [MemberEvent::Gone(_, GoneCause::Goodbye)]
    ));
    core.handle_probe(at(13), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(core.declared_gone(), 0);
    assert_eq!(
        core.handle_hello(at(14), &hello("b", 2)),
        Err(Refusal::Leaving)
    );
    core.handle_heartbeat(at(15), &heartbeat("b", 2, 9));
    assert_eq!(core.counters().heartbeats_of_the_ended, 1);
    assert_eq!(core.silence(incarnation(2), at(15)), None);
}

#[test]
fn a_candidate_that_fails_a_probe_is_forgotten_and_not_counted() {
    let mut core = single();
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    core.handle_connect_failed(at(2), incarnation(2), ConnectFailure::Unreachable);
    core.handle_timeout(at(0) + Duration::from_millis(3001));
    assert_eq!(core.counters().probes, 1);
    core.handle_probe(at(3002), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(core.silence(incarnation(2), at(3002)), None);
    assert_eq!(core.declared_gone(), 0);
    assert_eq!(core.missing().len(), 0);
}

/// Found by the random histories: a candidate fell silent, was asked, and met before the answer.
#[test]
fn a_candidate_that_is_met_while_a_probe_is_under_way_enters_the_view_as_suspect() {
    let mut core = single();
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    core.handle_connect_failed(at(2), incarnation(2), ConnectFailure::Unreachable);
    core.handle_timeout(at(40));
    core.handle_timeout(at(1100));
    core.handle_timeout(at(2500));
    core.handle_timeout(at(3001));
    assert_eq!(core.counters().probes, 1);
    effects(&mut core);
    assert!(core.handle_welcome(at(3002), incarnation(2), &welcome("b", 2)));
    let told = events(&mut core);
    let [MemberEvent::Added(_), MemberEvent::Suspect(..)] = told[..] else {
        panic!("{told:?}");
    };
    assert!(core.view().members[0].is_suspect);
    core.handle_probe(at(3003), incarnation(2), Ok(&welcome("b", 2)));
    assert!(!core.view().members[0].is_suspect);
}

/// It was heard once more, and is silent since: it is neither heard nor forgotten.
#[test]
fn a_missing_member_is_named_while_it_is_missing_whether_it_is_heard_or_not() {
    let mut core = ended(reset(), 10);
    core.handle_probe(at(11), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(core.heard(at(12)), [incarnation(2)], "it is missing");
    core.handle_heartbeat(at(20), &heartbeat("b", 2, 9));
    assert_eq!(core.heard(at(21)), [incarnation(2)], "it is heard, once");
    assert_eq!(
        core.heard(at(9000)),
        [incarnation(2)],
        "it is missing still"
    );
    assert!(core.forget("b"));
    assert_eq!(core.heard(at(9000)), []);
}
