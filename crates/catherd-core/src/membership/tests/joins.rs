//! How nodes find each other (HOW-TO, "How it Works" and "Membership").

use std::time::Duration;

use super::super::{MemberEvent, Membership, Met};
use super::cluster::{Cluster, FREQUENCY};
use super::single::{at, heartbeat, hello, incarnation, meet, single, welcome};
use crate::message::{HEARD_MAX, Heartbeat, MemberState, Welcome};
use crate::version::Incarnation;

#[test]
fn a_second_node_and_the_first_are_members_of_each_other_within_milliseconds() {
    let mut cluster = Cluster::new(2);
    cluster.start(0);
    cluster.run_for(FREQUENCY * 10 + FREQUENCY / 3);
    cluster.start(1);
    cluster.run_for(Duration::from_millis(20));
    assert_eq!(cluster.view(0), [cluster.incarnation(1)]);
    assert_eq!(cluster.view(1), [cluster.incarnation(0)]);
    for node in &cluster.nodes {
        let added = |event: &&MemberEvent| matches!(event, MemberEvent::Added(_));
        assert_eq!(node.events.iter().filter(added).count(), 1);
    }
}

#[test]
fn nodes_that_start_in_the_same_instant_find_each_other() {
    let cluster = Cluster::joined(8);
    for index in 0..8 {
        assert_eq!(cluster.view(index).len(), 7);
    }
}

#[test]
fn the_view_is_sorted_by_incarnation() {
    let cluster = Cluster::joined(6);
    assert!(cluster.view(0).is_sorted());
}

#[test]
fn a_node_that_hears_nobody_for_two_heartbeats_says_once_that_it_is_alone() {
    let mut cluster = Cluster::new(2);
    cluster.start(0);
    cluster.run_for(FREQUENCY * 2 - Duration::from_millis(1));
    assert_eq!(cluster.nodes[0].events, []);
    cluster.run_for(FREQUENCY * 20);
    assert_eq!(cluster.nodes[0].events, [MemberEvent::Alone]);
}

#[test]
fn a_node_whose_last_member_has_gone_is_alone_again() {
    let mut cluster = Cluster::joined(2);
    cluster.crash(1);
    cluster.run_for(FREQUENCY * 4);
    assert_eq!(cluster.nodes[0].events.last(), Some(&MemberEvent::Alone));
}

#[test]
fn a_joining_member_is_ready_in_every_view_once_it_says_so() {
    let mut cluster = Cluster::joined(3);
    let state = |cluster: &mut Cluster, at: usize| {
        let incarnation = cluster.incarnation(0);
        cluster.core(at).view().member(incarnation).unwrap().state
    };
    assert_eq!(state(&mut cluster, 1), MemberState::Joining);
    cluster.with(0, |core, now| core.become_ready(now));
    cluster.run_for(Duration::from_millis(5));
    for at in 0..3 {
        assert_eq!(state(&mut cluster, at), MemberState::Ready);
    }
    let is_ready = |event: &MemberEvent| matches!(event, MemberEvent::Ready(_));
    assert_eq!(
        cluster.nodes[1]
            .events
            .iter()
            .filter(|event| is_ready(event))
            .count(),
        1
    );
}

#[test]
fn a_node_that_becomes_ready_while_a_hello_is_under_way_is_ready_for_everybody() {
    let mut cluster = Cluster::new(2);
    cluster.latency = 30;
    cluster.start(0);
    cluster.start(1);
    for _ in 0..100 {
        cluster.run_for(Duration::from_millis(1));
        if cluster.nodes[0]
            .events
            .iter()
            .any(|event| matches!(event, MemberEvent::Heard(_)))
        {
            break;
        }
    }
    assert_eq!(cluster.view(0), []);
    cluster.with(0, |core, now| core.become_ready(now));
    cluster.run_for(FREQUENCY);
    let incarnation = cluster.incarnation(0);
    let state = cluster.core(1).view().member(incarnation).unwrap().state;
    assert_eq!(state, MemberState::Ready);
}

#[test]
fn heartbeats_that_are_lost_delay_a_join_and_no_more() {
    let mut cluster = Cluster::new(3).seeded(7);
    cluster.loss = 700;
    for index in 0..3 {
        cluster.start(index);
    }
    cluster.run_for(FREQUENCY * 40);
    for index in 0..3 {
        assert_eq!(cluster.view(index).len(), 2);
    }
}

/// Welcomed by b, which is ready and hears these.
fn welcomed_by_who_hears(heard: Vec<Incarnation>) -> Membership {
    let mut core = single();
    let b = Welcome {
        state: MemberState::Ready,
        heard,
        ..welcome("b", 2)
    };
    core.handle_hello(at(1), &hello("b", 2)).unwrap();
    assert_eq!(core.met(), Met::NotAll, "b was heard");
    assert!(core.handle_welcome(at(2), incarnation(2), &b));
    core
}

#[test]
fn who_was_welcomed_by_a_ready_member_and_has_met_whom_it_hears_waits_for_nobody() {
    let mut core = welcomed_by_who_hears(vec![incarnation(1), incarnation(3)]);
    assert_eq!(core.met(), Met::AllHeard, "b hears c");
    meet(&mut core, at(3), "c", 3);
    assert_eq!(core.met(), Met::Everybody);
}

#[test]
fn among_those_that_start_nobody_knows_whether_there_are_more() {
    let mut core = single();
    assert_eq!(core.met(), Met::AllHeard, "there is nobody yet");
    meet(&mut core, at(1), "b", 2);
    assert_eq!(core.met(), Met::AllHeard);
}

#[test]
fn who_hears_as_many_as_it_may_name_may_hear_more() {
    let core = welcomed_by_who_hears(vec![incarnation(1); HEARD_MAX]);
    assert_eq!(core.met(), Met::AllHeard);
}

#[test]
fn an_answer_without_a_list_does_not_say_that_its_sender_hears_nobody() {
    let mut core = single();
    meet(&mut core, at(1), "b", 2);
    let hears = |counter, heard: &[u64]| Heartbeat {
        heard: heard.iter().copied().map(incarnation).collect(),
        ..heartbeat("b", 2, counter)
    };
    core.handle_heartbeat(at(2), &hears(1, &[1, 3]));
    assert!(core.is_any_unmet());
    core.handle_heartbeat(at(3), &hears(2, &[]));
    assert!(core.is_any_unmet());
    core.handle_heartbeat(at(4), &hears(3, &[1]));
    assert!(!core.is_any_unmet());
}
