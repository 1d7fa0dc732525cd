//! P-VIEW: who is dead is in no view for long.

use std::time::Duration;

use catherd::core::version::Incarnation;

use super::world::Shared;
use crate::fault::{Fault, Node, Way};
use crate::history::{Happened, Process};

/// A process has ended: soon nobody has it in view who could look all the time.
pub(super) async fn forget(world: Shared, process: Process, incarnation: Incarnation) {
    let settings = &world.plan.settings;
    let ended = world.now();
    if was_slow(&world, ended) {
        return;
    }
    let within = settings.drop_time + 2 * settings.frequency + SLACK;
    tokio::time::sleep(within).await;
    let looking: Vec<Node> = {
        let slots = world.slots.lock();
        let could_look = |node: &Node| {
            let slot = &slots[*node];
            slot.host.is_some() && !slot.is_stopped && slot.disturbed < ended
        };
        (0..slots.len()).filter(could_look).collect()
    };
    for node in looking {
        let Some(cluster) = world.cluster(node) else {
            continue;
        };
        if cluster.members().member(incarnation).is_some() {
            let what = format!("n{node} has {process} in its view {within:?} after its end");
            world.happened(Happened::Broken("P-VIEW", what));
        }
    }
}

/// Whether a way was slow at any time until then: what the dead had sent may arrive for minutes.
fn was_slow(world: &Shared, by: Duration) -> bool {
    world.plan.schedule.iter().any(|(at, fault)| {
        let is_slow = |way: &Way| way.bytes_per_second.is_some();
        *at <= by && matches!(fault, Fault::OneWay(_, _, way) | Fault::Ways(way) if is_slow(way))
    })
}

/// The way of a message, both ways.
const SLACK: Duration = Duration::from_millis(250);
