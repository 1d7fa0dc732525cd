//! How members leave: crash, stop, goodbye, a new process.

use std::time::Duration;

use super::super::{GoneCause, MemberEvent};
use super::cluster::{Cluster, DROP_TIME, FREQUENCY};
use crate::message::Refusal;

fn gone(cluster: &Cluster, at: usize) -> Vec<GoneCause> {
    let causes = cluster.nodes[at]
        .events
        .iter()
        .filter_map(|event| match event {
            MemberEvent::Gone(_, cause) => Some(*cause),
            _ => None,
        });
    causes.collect()
}

#[test]
fn a_crashed_process_is_gone_within_milliseconds() {
    let mut cluster = Cluster::joined(3);
    cluster.crash(2);
    cluster.run_for(Duration::from_millis(10));
    for at in [0, 1] {
        assert!(!cluster.sees(at, 2));
        assert_eq!(gone(&cluster, at), [GoneCause::ProbeFailed]);
        assert_eq!(cluster.core(at).declared_gone(), 1);
        assert!(cluster.core(at).is_missing("c"));
    }
    assert!(cluster.sees(0, 1) && cluster.sees(1, 0));
}

#[test]
fn a_stopped_process_is_gone_after_the_drop_time_and_a_probe() {
    let mut cluster = Cluster::joined(2);
    cluster.stop(1);
    cluster.run_for(DROP_TIME - FREQUENCY - Duration::from_millis(10));
    assert!(cluster.sees(0, 1));
    assert!(!cluster.core(0).view().members[0].is_suspect);
    cluster.run_for(FREQUENCY + Duration::from_millis(20));
    assert!(
        cluster.core(0).view().members[0].is_suspect,
        "a probe is under way"
    );
    cluster.run_for(FREQUENCY * 2 + Duration::from_millis(10));
    assert_eq!(gone(&cluster, 0), [GoneCause::ProbeFailed]);
    assert_eq!(cluster.core(0).declared_gone(), 1);
}

#[test]
fn a_goodbye_is_not_counted_and_leaves_nobody_missing() {
    let mut cluster = Cluster::joined(3);
    cluster.with(2, |core, now| core.leave(now));
    cluster.run_for(Duration::from_millis(5));
    cluster.crash(2);
    cluster.run_for(DROP_TIME * 2);
    for at in [0, 1] {
        assert_eq!(gone(&cluster, at), [GoneCause::Goodbye]);
        assert_eq!(cluster.core(at).declared_gone(), 0);
        assert_eq!(cluster.core(at).missing().len(), 0);
    }
}

#[test]
fn a_leaving_node_is_silent_and_refuses_whoever_calls() {
    let mut cluster = Cluster::joined(2);
    cluster.with(1, |core, now| core.leave(now));
    let sent = cluster.core(1).counters().heartbeats_sent;
    cluster.run_for(FREQUENCY * 4);
    assert_eq!(cluster.core(1).counters().heartbeats_sent, sent);
    let (hello, now) = {
        let (to, now) = (cluster.incarnation(1), cluster.now);
        (
            cluster
                .core(0)
                .hello_for(to, crate::message::Purpose::Link, now),
            now,
        )
    };
    assert_eq!(
        cluster.core(1).handle_hello(now, &hello),
        Err(Refusal::Leaving)
    );
    assert!(!cluster.sees(0, 1));
}

#[test]
fn a_restarted_process_is_back_at_once_and_nobody_is_missing() {
    let mut cluster = Cluster::joined(3);
    let before = cluster.incarnation(2);
    cluster.crash(2);
    cluster.run_for(Duration::from_millis(50));
    assert!(cluster.core(0).is_missing("c"));
    cluster.start(2);
    cluster.run_for(Duration::from_millis(50));
    for at in [0, 1] {
        assert!(cluster.sees(at, 2));
        assert!(!cluster.view(at).contains(&before));
        assert!(!cluster.core(at).is_missing("c"));
    }
    assert_eq!(cluster.view(2).len(), 2);
}

/// The old process ends without a reset that anybody receives, and its successor is quicker than
/// the drop time. It refuses the probe of the old one, which so has ended: it does not count.
#[test]
fn a_changed_incarnation_replaces_the_old_one_without_being_counted() {
    let mut cluster = Cluster::joined(2);
    cluster.cut(0, 1);
    cluster.crash(1);
    cluster.run_for(Duration::from_millis(100));
    cluster.heal_without_resets();
    cluster.start(1);
    cluster.run_for(Duration::from_millis(100));
    assert_eq!(gone(&cluster, 0), [GoneCause::NewIncarnation]);
    assert_eq!(cluster.core(0).declared_gone(), 0);
    assert_eq!(cluster.core(0).missing().len(), 0);
    assert!(cluster.sees(0, 1) && cluster.sees(1, 0));
    assert!(
        !super::cluster::was_refused(&cluster.nodes[1], Refusal::NameTaken),
        "no false alarm"
    );
}

/// P-FENCE: the replaced process may be stopped with writes in memory, so it counts.
#[test]
fn a_stopped_process_that_is_replaced_counts_as_declared_gone() {
    let mut cluster = Cluster::joined(2);
    cluster.grow();
    cluster.stop(1);
    cluster.start_as(2, "b");
    cluster.run_for(FREQUENCY * 6);
    assert_eq!(gone(&cluster, 0), [GoneCause::NewIncarnation]);
    assert_eq!(cluster.core(0).declared_gone(), 1);
    assert!(cluster.sees(0, 2) && !cluster.sees(0, 1));
    assert!(!cluster.core(0).is_missing("b"));
}

#[test]
fn a_missing_member_is_missing_until_it_is_forgotten() {
    let mut cluster = Cluster::joined(2);
    cluster.crash(1);
    cluster.run_for(DROP_TIME);
    let missing: Vec<_> = cluster
        .core(0)
        .missing()
        .map(|missing| missing.name.clone())
        .collect();
    assert_eq!(missing, ["b"]);
    assert!(cluster.core(0).forget("b"));
    assert!(!cluster.core(0).forget("b"));
    assert!(!cluster.core(0).is_missing("b"));
}

/// It has never met that one, and nobody would tell it when something ends.
#[test]
fn who_comes_later_knows_of_a_missing_member_by_those_who_miss_it() {
    let mut cluster = Cluster::new(3);
    for index in [0, 1] {
        cluster.start(index);
    }
    cluster.run_for(FREQUENCY * 4);
    cluster.isolate(1);
    cluster.run_for(DROP_TIME * 2);
    assert!(cluster.core(0).is_missing("b"));
    cluster.start(2);
    cluster.run_for(FREQUENCY * 2);
    assert!(cluster.sees(2, 0) && !cluster.sees(2, 1));
    assert_eq!(cluster.core(2).missing().len(), 0, "it never had it");
    assert!(cluster.core(2).is_any_unmet());

    cluster.core(0).forget("b");
    cluster.run_for(FREQUENCY * 2);
    assert!(!cluster.core(2).is_any_unmet(), "nobody misses it");
    cluster.heal();
    cluster.run_for(DROP_TIME);
    assert!(cluster.sees(2, 1));
}

#[test]
fn who_has_forgotten_a_member_does_not_miss_it_for_others() {
    let mut cluster = Cluster::joined(3);
    cluster.crash(2);
    cluster.run_for(DROP_TIME);
    assert!(cluster.core(0).forget("c"));
    cluster.run_for(FREQUENCY * 2);
    assert!(cluster.core(1).is_missing("c"));
    assert!(!cluster.core(0).absence().is_any);
}

#[test]
fn a_missing_member_is_missing_for_an_hour() {
    let mut cluster = Cluster::joined(2);
    cluster.crash(1);
    cluster.run_for(Duration::from_secs(3599));
    assert!(cluster.core(0).is_missing("b"));
    cluster.run_for(Duration::from_secs(2));
    assert!(!cluster.core(0).is_missing("b"));
}
