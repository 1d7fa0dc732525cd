//! After the last fault: the cluster is whole again within stated bounds.

use std::time::Duration;

use catherd::core::key::Key;
use catherd::core::session::Entry;
use catherd::core::table::Table as _;
use catherd::core::version::Incarnation;

use super::clients::read_everything;
use super::node::Node as Running;
use super::queue::Event;
use super::world::{Hands, World};
use crate::fault::{Fault, Node};
use crate::history::{Happened, Process};

/// Everybody who runs is ready this long after the last fault.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often caps are looked at, and who is equal.
const BOUNDS_EVERY: Duration = Duration::from_secs(1);

/// The end of a run, from the last fault on.
pub(super) async fn end(hands: Hands, task: usize, clients: usize) {
    let faults_end = hands.with(|world| world.plan.faults_end());
    hands.rest(task, faults_end).await;
    all_ready(&hands, task).await;
    hands.rest(task, Duration::from_secs(5)).await;
    hands.with(|world| world.is_over = true);
    while hands.with(|world| world.clients_done < clients) {
        hands.rest(task, Duration::from_millis(500)).await;
    }
    whole(&hands, task).await;
    read_everything(&hands, task).await;
    hands.with(World::gaps_are_given_up);
}

async fn all_ready(hands: &Hands, task: usize) {
    let (within, deadline) = hands.with(|world| {
        let settings = &world.plan.settings;
        let within = READY_WITHIN.max(settings.drop_time + 10 * settings.frequency);
        let within = within + settings.ack_timeout;
        (within, world.now + within)
    });
    loop {
        let (late, now) = hands.with(|world| {
            let wanted = world.wanted();
            let late: Vec<Node> = wanted
                .into_iter()
                .filter(|&node| !world.is_ready(node))
                .collect();
            (late, world.now)
        });
        if late.is_empty() {
            return;
        }
        if now >= deadline {
            let what = format!("{late:?} are not ready {within:?} after the last fault");
            hands.with(|world| world.happened(Happened::Broken("P-JOIN", what)));
            return;
        }
        hands.rest(task, Duration::from_millis(50)).await;
    }
}

/// Waits until all nodes see each other, hold the same, and know that nothing differs.
async fn whole(hands: &Hands, task: usize) {
    let (within, deadline) = hands.with(|world| {
        let settings = &world.plan.settings;
        let within = 10 * settings.frequency + 2 * settings.repair_interval;
        // A way is mended when what it was slow for has arrived.
        let mended = world.now.max(world.network.quiet_at());
        (within, mended + within + settings.drop_time)
    });
    loop {
        let (problem, now) = hands.with(|world| (world.problem(), world.now));
        let Some(problem) = problem else {
            hands.with(|world| {
                let wanted = world.wanted();
                let all = wanted.into_iter().map(|node| world.last_at(node)).collect();
                world.happened(Happened::Whole(all));
            });
            return;
        };
        if now >= deadline {
            let what = format!("after {within:?}: {problem}");
            hands.with(|world| world.happened(Happened::Broken("P-CONV", what)));
            return;
        }
        hands.rest(task, Duration::from_millis(100)).await;
    }
}

impl World {
    fn is_ready(&self, node: Node) -> bool {
        let node = self.places[node].node.as_deref();
        node.is_some_and(|node| node.is_open && node.am_ready())
    }

    /// What keeps the cluster from being whole.
    fn problem(&self) -> Option<String> {
        let wanted = self.wanted();
        let mut total = None;
        for &place in &wanted {
            let Some(node) = self.places[place].node.as_deref() else {
                return Some(format!("n{place} does not run"));
            };
            let mut seen: Vec<&str> = node.view().everyone().map(|it| &*it.name).collect();
            seen.sort_unstable();
            let names: Vec<String> = wanted.iter().map(|node| format!("n{node}")).collect();
            if seen != names {
                return Some(format!("{} sees {seen:?} of {names:?}", node.name));
            }
            if !node.view().everyone().all(|member| member.is_ready()) {
                return Some(format!("{} does not see all ready", node.name));
            }
            if wanted.len() > 1 && node.schedule.differing() != Some(0) {
                let differ = node.schedule.differing();
                return Some(format!("on {} {differ:?} sessions differ", node.name));
            }
            if !node.table.has_true_digests(node.clock.time(self.now)) {
                return Some(format!("{} keeps digests that are not so", node.name));
            }
            // What is idle is served nowhere, and goes when its time has come here.
            let is_held = |key: &&Key| node.table.summary(**key).0 != 0;
            let count = node.table.keys().iter().filter(is_held).count();
            let digests = (node.table.digests().total(), count);
            if *total.get_or_insert(digests) != digests {
                let first = total.unwrap_or_default();
                return Some(format!("{} has {digests:?} of {first:?}", node.name));
            }
        }
        None
    }

    /// A copy may have heard of a write that died with its writer. Who reads it is told once: by now
    /// every session has been read at every node.
    fn gaps_are_given_up(&mut self) {
        let mut left = Vec::new();
        for node in self.running_nodes() {
            let (now, arrivals) = (node.clock.time(self.now), node.membership.arrivals());
            let has_gap = |entry: Option<&Entry>| {
                let live = entry.and_then(Entry::live);
                live.is_some_and(|state| !state.is_idle(now) && state.gap(arrivals).is_some())
            };
            let keys = node.table.keys().into_iter();
            let open = keys.filter(|key| node.table.look(*key, has_gap));
            left.extend(
                open.map(|key| format!("{} looks still for what lacks in {key}", node.name)),
            );
        }
        for what in left {
            self.happened(Happened::Broken("P-CONV", what));
        }
    }

    /// Notes when all that run hold the same: then each of them holds all that was confirmed.
    pub(super) fn look_at_bounds(&mut self) {
        let first = self.running_nodes().next().map(|node| node.total);
        let is_equal = self.running_nodes().all(|node| Some(node.total) == first);
        if is_equal && self.running_nodes().count() > 1 {
            self.are_equal(|world| world.running_nodes().map(|node| node.process).collect());
        }
        let at = self.now + BOUNDS_EVERY;
        self.queue.push(at, Event::Bounds);
    }

    fn running_nodes(&self) -> impl Iterator<Item = &Running> {
        self.places.iter().filter_map(|it| it.node.as_deref())
    }

    /// Whether ways from this place were slow shortly before: what the dead had sent arrives later.
    fn was_slow(&self, place: Node, before: Duration) -> bool {
        let since = before.saturating_sub(Duration::from_secs(60));
        let from_here = |fault: &Fault| match fault {
            Fault::OneWay(from, _, way) => *from == place && way.bytes_per_second.is_some(),
            _ => false,
        };
        let mut schedule = self.plan.schedule.iter();
        schedule.any(|(at, fault)| (since..=before).contains(at) && from_here(fault))
    }

    /// A process ended so long ago that nobody has it in view who could look all the time.
    pub(super) fn is_forgotten(&mut self, process: Process, incarnation: u64) {
        let incarnation = Incarnation::from_bits(incarnation);
        let mut running = self.places.iter().filter_map(|it| it.node.as_deref());
        if running.any(|node| node.incarnation == incarnation) {
            // Its machine was put back in time, and nobody has told it yet.
            return;
        }
        let settings = &self.plan.settings;
        let within = settings.drop_time + 2 * settings.frequency + Duration::from_millis(250);
        let ended = self.now.saturating_sub(within);
        if self.was_slow(process.node, ended) {
            return;
        }
        let mut found = Vec::new();
        for (place, standing) in self.places.iter().enumerate() {
            let Some(node) = standing.node.as_deref() else {
                continue;
            };
            let could_look = !node.is_stopped() && standing.disturbed < ended;
            if could_look && node.view().member(incarnation).is_some() {
                found.push(place);
            }
        }
        for place in found {
            let what = format!("n{place} has {process} in its view {within:?} after its end");
            self.happened(Happened::Broken("P-VIEW", what));
        }
    }
}
