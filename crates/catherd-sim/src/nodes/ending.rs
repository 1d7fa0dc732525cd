//! After the last fault: the cluster is whole again within stated bounds.

use std::time::Duration;

use catherd::Status;
use tokio::time::Instant;

use super::world::Shared;
use crate::fault::Node;
use crate::history::Happened;

/// Everybody who runs is ready this long after the last fault.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Waits until all nodes are ready.
pub(super) async fn all_ready(world: &Shared) {
    let settings = &world.plan.settings;
    // Who starts waits for two heartbeats and at most a drop time; who met it meanwhile may have
    // to find out first that the process before it is gone.
    let within = READY_WITHIN.max(settings.drop_time + 10 * settings.frequency);
    let within = within + settings.ack_timeout;
    let is_ready = |node: Node| {
        let slots = world.slots.lock();
        slots[node].service.is_some()
            && slots[node]
                .cluster
                .as_ref()
                .is_some_and(catherd::Cluster::is_ready)
    };
    let deadline = Instant::now() + within;
    while !world.wanted().into_iter().all(is_ready) {
        if Instant::now() >= deadline {
            let late: Vec<Node> = world
                .wanted()
                .into_iter()
                .filter(|&it| !is_ready(it))
                .collect();
            let what = format!("{late:?} are not ready {within:?} after the last fault");
            world.happened(Happened::Broken("P-JOIN", what));
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until all nodes see each other, hold the same, and know that nothing differs.
pub(super) async fn whole(world: &Shared) {
    let settings = &world.plan.settings;
    let within = 10 * settings.frequency + 2 * settings.repair_interval;
    let deadline = Instant::now() + within + settings.drop_time;
    loop {
        let wanted = world.wanted();
        let Some(problem) = problem(world, &wanted) else {
            let all = wanted.into_iter().map(|node| world.process(node)).collect();
            world.happened(Happened::Whole(all));
            return;
        };
        if Instant::now() >= deadline {
            world.happened(Happened::Broken(
                "P-CONV",
                format!("after {within:?}: {problem}"),
            ));
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What keeps these nodes from being whole.
fn problem(world: &Shared, nodes: &[Node]) -> Option<String> {
    let mut all: Vec<Status> = Vec::new();
    for &node in nodes {
        let Some(cluster) = world.cluster(node) else {
            return Some(format!("n{node} does not run"));
        };
        all.push(cluster.status());
    }
    for status in &all {
        let mut seen: Vec<&str> = status.members.iter().map(|member| &*member.name).collect();
        seen.push(&status.node);
        seen.sort_unstable();
        let names: Vec<String> = nodes.iter().map(|node| format!("n{node}")).collect();
        if seen != names {
            return Some(format!("{} sees {seen:?} of {names:?}", status.node));
        }
        if status.state != "ready" || status.members.iter().any(|member| member.state != "ready") {
            return Some(format!("{} does not see all ready", status.node));
        }
        if nodes.len() > 1 && status.sessions_that_differ != Some(0) {
            let differ = status.sessions_that_differ;
            return Some(format!("on {} {differ:?} sessions differ", status.node));
        }
    }
    let digests: Vec<String> = all.iter().map(digest).collect();
    if digests.iter().any(|digest| *digest != digests[0]) {
        return Some(format!("digests differ: {digests:?}"));
    }
    None
}

fn digest(status: &Status) -> String {
    let of = |context: &catherd::ContextStatus| {
        format!(
            "{} {} {}",
            context.digest, context.sessions, context.tombstones
        )
    };
    status.contexts.iter().map(of).collect()
}

/// Looks at what has a cap, twice a second.
pub(super) async fn watch_bounds(world: Shared) {
    let cap = world.plan.settings.queue_bytes_max as u64;
    loop {
        for node in 0..world.plan.settings.nodes {
            let Some(cluster) = world.cluster(node) else {
                continue;
            };
            for member in cluster.status().members {
                // A tombstone is never shed.
                if member.link.queued_bytes > cap + 64 * 1024 {
                    let bytes = member.link.queued_bytes;
                    let what = format!("n{node} has {bytes} bytes queued for {}", member.name);
                    world.happened(Happened::Broken("P-BOUND", what));
                }
            }
        }
        look_who_is_equal(&world);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Notes when all that run hold the same: then each of them holds all that was confirmed.
fn look_who_is_equal(world: &Shared) {
    let nodes = 0..world.plan.settings.nodes;
    let running = nodes.filter_map(|node| Some((world.process(node), world.cluster(node)?)));
    let (processes, digests): (Vec<_>, Vec<_>) = running
        .map(|(process, cluster)| (process, digest(&cluster.status())))
        .unzip();
    if processes.len() > 1 && digests.iter().all(|digest| *digest == digests[0]) {
        world.are_equal(processes);
    }
}
