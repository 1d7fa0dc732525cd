//! Two processes of one name.

use std::time::Duration;

use super::super::{ConnectFailure, Effect, GoneCause, MemberEvent, Membership};
use super::cluster::{Cluster, FREQUENCY, was_refused};
use super::single::{at, effects, events, heartbeat, hello, incarnation, meet, single, welcome};
use crate::message::Refusal;

fn probes(effects: &[Effect]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Probe { .. }))
        .count()
}

fn is_called(effects: &[Effect], bits: u64) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Connect {
            incarnation: to, ..
        } => *to == incarnation(bits),
        _ => false,
    })
}

fn contended() -> Membership {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    core.handle_heartbeat(at(2), &heartbeat("b", 3, 1));
    assert_eq!(probes(&effects(&mut core)), 1);
    core
}

#[test]
fn a_second_process_of_a_name_is_refused_while_the_first_answers() {
    let mut core = contended();
    core.handle_probe(at(3), incarnation(2), Ok(&welcome("b", 2)));
    let told = events(&mut core);
    let [
        MemberEvent::Trusted(_),
        MemberEvent::NameTaken { holder, refused },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(
        (holder.incarnation, refused.incarnation),
        (incarnation(2), incarnation(3))
    );
    for counter in 2..10 {
        core.handle_heartbeat(at(500 * counter), &heartbeat("b", 2, counter));
        core.handle_heartbeat(at(500 * counter), &heartbeat("b", 3, counter));
        let answer = core.handle_hello(at(500 * counter), &hello("b", 3));
        assert_eq!(answer, Err(Refusal::NameTaken));
    }
    assert_eq!(
        effects(&mut core),
        [],
        "neither called, nor probed for, nor told again"
    );
    assert_eq!(core.view().members.len(), 1);
    assert_eq!(core.counters().heartbeats_of_taken_names, 9);
}

#[test]
fn a_second_process_takes_the_name_when_the_first_has_ended() {
    let mut core = contended();
    core.handle_probe(at(3), incarnation(2), Err(ConnectFailure::Reset));
    let effects = effects(&mut core);
    let is_gone = |effect: &Effect| {
        matches!(
            effect,
            Effect::Event(MemberEvent::Gone(_, GoneCause::NewIncarnation))
        )
    };
    assert!(effects.iter().any(is_gone));
    assert!(is_called(&effects, 3));
    assert_eq!(core.declared_gone(), 0);
    assert_eq!(core.missing().len(), 0);
}

#[test]
fn the_last_heartbeats_of_a_replaced_process_do_not_contend_with_its_successor() {
    let mut core = contended();
    core.handle_probe(at(3), incarnation(2), Err(ConnectFailure::Reset));
    meet(&mut core, at(4), "b", 3);
    core.handle_heartbeat(at(5), &heartbeat("b", 2, 9));
    assert_eq!(effects(&mut core), []);
    assert_eq!(core.counters().heartbeats_of_the_ended, 1);
}

#[test]
fn another_process_at_the_address_of_a_member_has_ended_it() {
    let mut core = contended();
    let refusal = ConnectFailure::Refused(Refusal::OtherIncarnation);
    core.handle_probe(at(3), incarnation(2), Err(refusal));
    assert_eq!(core.view().members, []);
    assert_eq!(core.declared_gone(), 0);
}

#[test]
fn a_hello_of_a_second_process_starts_the_probe_too() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    assert_eq!(
        core.handle_hello(at(2), &hello("b", 3)),
        Err(Refusal::NameTaken)
    );
    assert_eq!(probes(&effects(&mut core)), 1);
}

#[test]
fn a_flood_of_processes_of_one_name_causes_one_probe() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    for bits in 3..1000 {
        core.handle_heartbeat(at(2), &heartbeat("b", bits, 1));
        core.handle_probe(at(2), incarnation(2), Ok(&welcome("b", 2)));
    }
    assert_eq!(core.counters().probes, 1);
}

#[test]
fn our_own_name_is_taken_only_by_a_process_that_lives() {
    let mut core = single();
    // The last heartbeat of this node's own previous process.
    core.handle_heartbeat(at(1), &heartbeat("me", 2, 9));
    assert_eq!(probes(&effects(&mut core)), 1);
    core.handle_probe(at(2), incarnation(2), Err(ConnectFailure::Reset));
    assert_eq!(events(&mut core), []);
    // And a process that answers.
    core.handle_heartbeat(at(5000), &heartbeat("me", 3, 1));
    let refusal = ConnectFailure::Refused(Refusal::NameTaken);
    core.handle_probe(at(5001), incarnation(3), Err(refusal));
    let told = events(&mut core);
    let [MemberEvent::OurNameTaken(who)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(who.incarnation, incarnation(3));
    for counter in 2..100 {
        core.handle_heartbeat(at(5000 + 500 * counter), &heartbeat("me", 3, counter));
    }
    assert_eq!(effects(&mut core), [], "told once");
    assert_eq!(core.view().members, []);
}

#[test]
fn a_namesake_that_does_not_answer_is_given_up_and_asked_again_later() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("me", 2, 1));
    assert_eq!(probes(&effects(&mut core)), 1);
    core.handle_timeout(at(1001));
    core.handle_heartbeat(at(2000), &heartbeat("me", 2, 2));
    assert_eq!(probes(&effects(&mut core)), 0);
    core.handle_heartbeat(at(3001), &heartbeat("me", 2, 3));
    assert_eq!(probes(&effects(&mut core)), 1);
}

/// F9: the alarm comes within three heartbeats, on all nodes.
#[test]
fn of_two_nodes_with_one_name_the_second_gets_no_member_and_everybody_says_so() {
    let mut cluster = Cluster::joined(2);
    cluster.grow();
    cluster.start_as(2, "b");
    cluster.run_for(FREQUENCY * 3);
    let told = |cluster: &Cluster, at: usize, wanted: fn(&MemberEvent) -> bool| {
        cluster.nodes[at]
            .events
            .iter()
            .filter(|event| wanted(event))
            .count()
    };
    assert_eq!(
        told(&cluster, 0, |event| matches!(
            event,
            MemberEvent::NameTaken { .. }
        )),
        1
    );
    assert_eq!(
        told(&cluster, 1, |event| matches!(
            event,
            MemberEvent::OurNameTaken(_)
        )),
        1
    );
    assert_eq!(
        told(&cluster, 2, |event| matches!(
            event,
            MemberEvent::OurNameTaken(_)
        )),
        1
    );
    cluster.run_for(FREQUENCY * 20);
    assert!(was_refused(&cluster.nodes[2], Refusal::NameTaken));
    assert_eq!(cluster.view(2), []);
    assert!(cluster.sees(0, 1) && cluster.sees(1, 0));
    assert_eq!(
        cluster.core(0).declared_gone() + cluster.core(1).declared_gone(),
        0
    );
}

#[test]
fn the_second_process_of_a_name_becomes_a_member_when_the_first_has_gone() {
    let mut cluster = Cluster::joined(2);
    cluster.grow();
    cluster.start_as(2, "b");
    cluster.run_for(FREQUENCY * 4);
    cluster.crash(1);
    cluster.run_for(Duration::from_millis(50));
    assert!(cluster.sees(0, 2) && cluster.sees(2, 0));
    assert!(
        !cluster.core(0).is_missing("b"),
        "a new incarnation of its name ends the absence"
    );
}

/// Anybody can make up a heartbeat with the name of a node that is about to start.
#[test]
fn a_name_that_was_only_heard_is_free_when_nobody_answers_for_it() {
    let mut core = single();
    core.handle_heartbeat(at(1), &heartbeat("b", 2, 1));
    assert_eq!(
        core.handle_hello(at(2), &hello("b", 3)),
        Err(Refusal::NameTaken)
    );
    core.handle_probe(at(3), incarnation(2), Err(ConnectFailure::Reset));
    assert!(is_called(&effects(&mut core), 3));
    assert!(core.handle_hello(at(4), &hello("b", 3)).is_ok());
}
