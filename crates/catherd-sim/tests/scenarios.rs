//! Scenarios written down: what went wrong once, and what has to be seen at work.

use std::time::Duration;

use catherd::Mode;
use catherd::env::Place;
use catherd_sim::{Fault, History, Load, Plan, Schedule, Settings, run_plan};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A run of `nodes` nodes with these faults, the last of which is followed by the mending.
fn plan(seed: u64, nodes: usize, faults: &[(f64, Fault)]) -> Plan {
    let mut schedule: Schedule = faults
        .iter()
        .map(|(at, fault)| (seconds(*at), fault.clone()))
        .collect();
    let last = schedule.last().map_or(seconds(20.0), |(at, _)| *at);
    schedule.push((last + seconds(5.0), Fault::Mend(Vec::new())));
    Plan {
        seed,
        settings: Settings::usual(nodes, Mode::Synchronous),
        load: Load::usual(),
        schedule,
    }
}

/// Runs it, and fails with what happened if a promise was broken.
fn keeps(plan: &Plan) -> History {
    let (report, run) = run_plan(plan, false);
    if let Some(failure) = report.failure {
        let violations: Vec<String> = failure.violations.iter().map(ToString::to_string).collect();
        panic!("{}\n\n{}", run.transcript.join("\n"), violations.join("\n"));
    }
    assert!(run.history.operations.len() > 100, "clients were at work");
    run.history
}

/// Walkers: nobody goes where the cookie says.
fn without_stickiness(mut plan: Plan) -> Plan {
    plan.load.sticky = 0;
    plan
}

#[test]
fn f1_a_node_that_dies_at_any_step_of_a_write_loses_nothing_confirmed() {
    let places = [
        Place::BeforeEncode,
        Place::Queued,
        Place::Applied,
        Place::BeforeAck,
        Place::ResponseHeld,
    ];
    for (seed, place) in (1..).zip(places) {
        let faults = [
            (10.0, Fault::CrashAt(0, place)),
            (20.0, Fault::Start(0)),
            (26.0, Fault::CrashAt(1, place)),
        ];
        keeps(&plan(seed, 2, &faults));
    }
}

#[test]
fn f8_a_node_that_starts_again_within_a_heartbeat_is_another_process() {
    let faults = [
        (10.0, Fault::Crash(0)),
        (10.1, Fault::Start(0)),
        (16.0, Fault::Crash(1)),
        (16.2, Fault::Start(1)),
    ];
    keeps(&plan(2, 3, &faults));
}

#[test]
fn f6_all_nodes_that_start_in_one_instant_are_one_cluster() {
    let mut plan = plan(3, 5, &[]);
    plan.settings.at_once = true;
    keeps(&plan);
}

#[test]
fn f12_a_split_in_halves_heals_with_the_writes_of_both() {
    let mut faults = Vec::new();
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        faults.push((10.0, Fault::Part(a, b)));
    }
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        faults.push((30.0, Fault::Join(a, b)));
    }
    keeps(&without_stickiness(plan(4, 4, &faults)));
}

/// A node that is cut off alone serves what it has, and says that it may be old.
#[test]
fn f13_who_is_cut_off_alone_never_shows_an_old_session_silently() {
    let faults = [
        (10.0, Fault::Part(0, 2)),
        (10.0, Fault::Part(1, 2)),
        (25.0, Fault::Join(0, 2)),
        (25.0, Fault::Join(1, 2)),
    ];
    keeps(&without_stickiness(plan(5, 3, &faults)));
}

#[test]
fn f14_who_is_heard_in_one_direction_only_is_no_member() {
    let faults = [(10.0, Fault::PartOneWay(0, 1)), (25.0, Fault::Join(0, 1))];
    keeps(&without_stickiness(plan(6, 3, &faults)));
}

#[test]
fn f16_two_nodes_that_flap_are_whole_afterwards() {
    let mut faults = Vec::new();
    for second in 0..10_u32 {
        let at = f64::from(10 + 2 * second);
        faults.push((at, Fault::Part(0, 1)));
        faults.push((at + 1.0, Fault::Join(0, 1)));
    }
    keeps(&without_stickiness(plan(7, 3, &faults)));
}

#[test]
fn f32_a_node_that_was_stopped_in_the_middle_does_no_harm() {
    for (seed, place) in (8..).zip([Place::Queued, Place::BeforeAck, Place::ResponseHeld]) {
        let faults = [(10.0, Fault::StopAt(0, place)), (22.0, Fault::Resume(0))];
        keeps(&without_stickiness(plan(seed, 3, &faults)));
    }
}

#[test]
fn f43_a_donor_that_dies_while_it_gives_is_replaced() {
    let faults = [
        (12.0, Fault::Crash(2)),
        (18.0, Fault::Start(2)),
        (18.2, Fault::Crash(0)),
        (26.0, Fault::Start(0)),
    ];
    keeps(&plan(11, 3, &faults));
}

#[test]
fn f48_two_nodes_that_join_at_once_both_get_everything() {
    let faults = [
        (12.0, Fault::Crash(1)),
        (12.0, Fault::Crash(2)),
        (20.0, Fault::Start(1)),
        (20.0, Fault::Start(2)),
        (24.0, Fault::Crash(0)),
    ];
    keeps(&plan(12, 3, &faults));
}

/// Whatever killed them all took everything with it, and the answers say so.
#[test]
fn a_cluster_that_was_killed_as_a_whole_says_that_sessions_may_be_missing() {
    let faults = [
        (12.0, Fault::Crash(0)),
        (12.0, Fault::Crash(1)),
        (13.0, Fault::Start(0)),
        (13.0, Fault::Start(1)),
    ];
    keeps(&plan(13, 2, &faults));
}

/// Members that hold an idle session with two ages differ until it is swept; two that asked each
/// other to look did so again and again without a pause.
#[test]
fn members_that_still_differ_do_not_ask_each_other_without_a_pause() {
    let mut plan = plan(
        14,
        3,
        &[(12.0, Fault::Part(0, 1)), (50.0, Fault::Join(0, 1))],
    );
    plan.load.idlers = 6;
    plan.settings.queue_frames_max = Some(1);
    keeps(&plan);
}

#[test]
fn the_time_of_day_decides_nothing() {
    let faults = [
        (10.0, Fault::Clock(0, 7200)),
        (14.0, Fault::Clock(1, -90_000_000)),
    ];
    keeps(&plan(15, 3, &faults));
}
