//! Random crashes, restarts, stops, splits and losses: after quiet all living nodes agree.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{MemberEvent, SuspectCause};
use super::cluster::{Cluster, DROP_TIME};

const NODES: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Crash(usize),
    Start(usize),
    Stop(usize),
    Resume(usize),
    Leave(usize),
    Cut(usize, usize),
    Isolate(usize),
    Heal,
    Lose(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        node().prop_map(Step::Crash),
        node().prop_map(Step::Start),
        node().prop_map(Step::Stop),
        node().prop_map(Step::Resume),
        node().prop_map(Step::Leave),
        (node(), node()).prop_map(|(one, other)| Step::Cut(one, other)),
        node().prop_map(Step::Isolate),
        Just(Step::Heal),
        (0..900_u64).prop_map(Step::Lose),
        (0..5000_u64).prop_map(Step::Wait),
        (0..50_u64).prop_map(Step::Wait),
    ]
}

fn carry_out(cluster: &mut Cluster, step: &Step) {
    match *step {
        Step::Crash(index) => cluster.crash(index),
        Step::Start(index) if !cluster.is_started(index) => cluster.start(index),
        Step::Stop(index) if cluster.is_started(index) => cluster.stop(index),
        Step::Resume(index) => cluster.resume(index),
        Step::Leave(index) if cluster.running_nodes().contains(&index) => {
            cluster.with(index, |core, now| core.leave(now));
            cluster.run_for(Duration::from_millis(50));
            cluster.crash(index);
        }
        Step::Cut(one, other) if one != other => cluster.cut(one, other),
        Step::Isolate(index) => cluster.isolate(index),
        Step::Heal => cluster.heal(),
        Step::Lose(loss) => cluster.loss = loss,
        Step::Wait(millis) => cluster.run_for(Duration::from_millis(millis)),
        Step::Start(_) | Step::Stop(_) | Step::Leave(_) | Step::Cut(..) => {}
    }
}

/// A member leaves the view only after a probe or a goodbye, and enters it once at a time.
fn check_story(events: &[MemberEvent]) {
    let mut in_view = std::collections::BTreeSet::new();
    let mut suspect = std::collections::BTreeMap::<_, SuspectCause>::new();
    for event in events {
        match event {
            MemberEvent::Added(who) => assert!(in_view.insert(who.incarnation), "{events:?}"),
            MemberEvent::Suspect(who, cause) => {
                suspect.insert(who.incarnation, *cause);
            }
            MemberEvent::Trusted(who) => {
                suspect.remove(&who.incarnation);
            }
            MemberEvent::Gone(who, cause) => {
                assert!(in_view.remove(&who.incarnation), "{events:?}");
                let was_suspect = suspect.remove(&who.incarnation).is_some();
                let is_goodbye = *cause == super::super::GoneCause::Goodbye;
                assert!(was_suspect || is_goodbye, "{events:?}");
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn after_quiet_all_living_nodes_have_equal_views(
        seed in any::<u64>(),
        latency in 1..40_u64,
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut cluster = Cluster::new(NODES).seeded(seed);
        cluster.latency = latency;
        for index in 0..NODES {
            cluster.start(index);
        }
        for step in &steps {
            carry_out(&mut cluster, step);
            for index in cluster.running_nodes() {
                check_story(&cluster.nodes[index].events);
            }
        }
        cluster.heal();
        cluster.loss = 0;
        for index in 0..NODES {
            cluster.resume(index);
        }
        cluster.run_for(DROP_TIME * 8);
        let living = cluster.running_nodes();
        for &index in &living {
            let mut expected: Vec<_> = living
                .iter()
                .filter(|&&other| other != index)
                .map(|&other| cluster.incarnation(other))
                .collect();
            expected.sort();
            prop_assert_eq!(cluster.view(index), expected, "node {}", index);
            check_story(&cluster.nodes[index].events);
            prop_assert!(cluster.core(index).view().members.iter().all(|it| !it.is_suspect));
            for &other in &living {
                let name = char::from(b'a' + u8::try_from(other).unwrap()).to_string();
                prop_assert!(!cluster.core(index).is_missing(&name));
            }
        }
    }

    #[test]
    fn the_same_seed_tells_the_same_story(seed in any::<u64>()) {
        let story = || {
            let mut cluster = Cluster::new(4).seeded(seed);
            cluster.latency = 20;
            cluster.loss = 200;
            for index in 0..4 {
                cluster.start(index);
            }
            cluster.run_for(Duration::from_secs(5));
            cluster.crash(1);
            cluster.isolate(2);
            cluster.run_for(Duration::from_secs(5));
            cluster.heal();
            cluster.run_for(Duration::from_secs(5));
            cluster.nodes.iter().map(|node| node.events.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(story(), story());
    }
}
