//! Splits and returns.

use std::time::Duration;

use super::super::{Direction, GoneCause, MemberEvent, SuspectCause};
use super::cluster::{Cluster, DROP_TIME, FREQUENCY};

#[test]
fn a_reset_between_living_processes_makes_nobody_gone_and_is_opened_again() {
    let mut cluster = Cluster::joined(2);
    cluster.run_for(FREQUENCY);
    cluster.reset(0, 1);
    cluster.run_for(Duration::from_millis(20));
    for at in [0, 1] {
        assert!(cluster.sees(at, 1 - at));
        assert_eq!(cluster.core(at).declared_gone(), 0);
        let events = &cluster.nodes[at].events;
        let half = [Direction::Outgoing, Direction::Incoming][at];
        assert!(matches!(
            events[0],
            MemberEvent::Suspect(_, SuspectCause::LinkLost)
        ));
        let is_reopened =
            |event: &MemberEvent| matches!(event, MemberEvent::Reopened(_, it) if *it == half);
        assert!(events.iter().any(is_reopened), "{events:?}");
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, MemberEvent::Gone(..)))
        );
        assert!(!cluster.core(at).view().members[0].is_suspect);
    }
}

/// Protocol: a split counts once, however many members are on the other side.
#[test]
fn members_on_the_other_side_of_a_split_are_declared_gone_in_the_same_instant() {
    let mut cluster = Cluster::new(5).seeded(3);
    for index in 0..5 {
        cluster.start(index);
        cluster.run_for(Duration::from_millis(97));
    }
    cluster.run_for(FREQUENCY * 2);
    for one in [0, 1] {
        for other in [2, 3, 4] {
            cluster.cut(one, other);
        }
    }
    let mut figures = vec![Vec::new(); 5];
    for _ in 0..6000 {
        cluster.run_for(Duration::from_millis(1));
        for (index, figures) in figures.iter_mut().enumerate() {
            let figure = cluster.core(index).declared_gone();
            if figures.last() != Some(&figure) {
                figures.push(figure);
            }
        }
    }
    assert_eq!(
        figures,
        [vec![0, 3], vec![0, 3], vec![0, 2], vec![0, 2], vec![0, 2]]
    );
    for index in 0..5 {
        let mates = if index < 2 { 1 } else { 2 };
        assert_eq!(cluster.view(index).len(), mates);
    }
}

#[test]
fn a_split_that_heals_brings_everybody_back_and_nobody_is_missing() {
    let mut cluster = Cluster::joined(4);
    cluster.isolate(3);
    cluster.run_for(DROP_TIME * 2);
    assert_eq!(cluster.view(3), []);
    assert_eq!(cluster.view(0).len(), 2);
    assert!(cluster.core(0).is_missing("d"));
    cluster.heal();
    cluster.run_for(FREQUENCY * 2);
    for index in 0..4 {
        assert_eq!(cluster.view(index).len(), 3);
        assert_eq!(cluster.core(index).missing().len(), 0);
    }
    assert_eq!(
        cluster.core(0).declared_gone(),
        1,
        "what was declared stays counted"
    );
}

#[test]
fn a_cut_shorter_than_the_drop_time_goes_unnoticed() {
    let mut cluster = Cluster::joined(3);
    cluster.isolate(0);
    cluster.run_for(DROP_TIME - FREQUENCY * 2);
    cluster.heal();
    cluster.run_for(DROP_TIME * 2);
    assert!(cluster.nodes.iter().all(|node| node.events.is_empty()));
}

#[test]
fn a_process_that_was_stopped_for_long_comes_back_as_the_same_member() {
    let mut cluster = Cluster::joined(3);
    cluster.stop(2);
    cluster.run_for(DROP_TIME * 3);
    assert!(!cluster.sees(0, 2));
    cluster.resume(2);
    cluster.run_for(DROP_TIME * 2);
    for at in [0, 1] {
        assert!(cluster.sees(at, 2) && cluster.sees(2, at));
        assert!(!cluster.core(at).is_missing("c"));
    }
}

#[test]
fn heartbeats_that_never_arrive_keep_a_member_suspect_now_and_then_and_never_gone() {
    let mut cluster = Cluster::joined(2);
    cluster.loss = 1000;
    cluster.run_for(DROP_TIME * 10);
    for at in [0, 1] {
        assert!(cluster.sees(at, 1 - at));
        let events = &cluster.nodes[at].events;
        let count = |wanted: fn(&MemberEvent) -> bool| events.iter().filter(|e| wanted(e)).count();
        let suspect = count(|event| matches!(event, MemberEvent::Suspect(..)));
        assert!((9..=10).contains(&suspect), "{suspect}");
        assert_eq!(
            count(|event| matches!(event, MemberEvent::Trusted(..))),
            suspect
        );
        assert_eq!(count(|event| matches!(event, MemberEvent::Gone(..))), 0);
    }
}

#[test]
fn where_two_members_do_not_see_each_other_a_third_sees_both() {
    let mut cluster = Cluster::joined(3);
    cluster.cut(0, 1);
    cluster.run_for(DROP_TIME * 3);
    assert!(!cluster.sees(0, 1) && !cluster.sees(1, 0));
    assert!(cluster.sees(2, 0) && cluster.sees(2, 1) && cluster.sees(0, 2) && cluster.sees(1, 2));
    let is_gone =
        |event: &&MemberEvent| matches!(event, MemberEvent::Gone(_, GoneCause::ProbeFailed));
    assert_eq!(cluster.nodes[2].events.iter().filter(is_gone).count(), 0);
}
