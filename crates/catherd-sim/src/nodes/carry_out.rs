//! Faults, carried out; and how a process starts and ends.

use std::sync::Arc;
use std::time::Duration;

use catherd::core::membership::{GoneCause, MemberEvent, MemberName};
use catherd::env::{Action, Env as _, Place};
use catherd::testing::{Host, Link};
use catherd::{Cluster, Event};
use tower_layer::Layer as _;

use super::application::Application;
use super::views;
use super::world::{Shared, address};
use crate::fault::{Fault, Node, Way};
use crate::history::{Happened, Process};

pub(super) fn carry_out(world: &Shared, fault: &Fault) {
    world.say(&format!("-- {fault}"));
    let network = &world.network;
    match fault {
        Fault::Crash(node) => crash(world, *node),
        Fault::CrashAt(node, place) => arm(world, *node, *place, Action::Crash),
        Fault::StopAt(node, place) => arm(world, *node, *place, Action::Stop),
        Fault::Start(node) => start(world, *node),
        Fault::Leave(node) => leave(world, *node),
        Fault::Pause(node) => {
            network.pause(address(*node));
            world.disturb(*node, true);
        }
        Fault::Resume(node) => {
            network.resume(address(*node));
            world.disturb(*node, false);
        }
        Fault::Freeze(node) => {
            network.freeze(address(*node));
            world.disturb(*node, true);
        }
        Fault::Thaw(node) => {
            network.thaw(address(*node));
            world.disturb(*node, false);
        }
        // A task cannot be saved.
        Fault::Save(_) | Fault::PutBack(_) => {}
        Fault::Part(a, b) => network.partition(address(*a), address(*b)),
        Fault::PartOneWay(from, to) => network.partition_one_way(address(*from), address(*to)),
        Fault::Hold(a, b) => network.hold(address(*a), address(*b)),
        Fault::Join(a, b) => network.repair(address(*a), address(*b)),
        Fault::Reset(a, b) => network.reset_connections(address(*a), address(*b)),
        Fault::Ways(way) => network.set_links(link(way)),
        Fault::OneWay(from, to, way) => network.set_link(address(*from), address(*to), link(way)),
        Fault::Clock(node, by) => set_clock(world, *node, *by),
        Fault::Mend(but) => mend(world, but),
    }
}

/// Starts a process at a place, if none runs there.
pub(super) fn start(world: &Shared, node: Node) {
    let is_leaving = {
        let slots = world.slots.lock();
        if slots[node].host.is_some() && !slots[node].is_leaving {
            return;
        }
        slots[node].host.is_some()
    };
    if is_leaving {
        crash(world, node);
    }
    let host = world.network.host(address(node));
    {
        let mut slots = world.slots.lock();
        let slot = &mut slots[node];
        slot.starts += 1;
        slot.host = Some(host.clone());
        slot.is_leaving = false;
    }
    world.disturb(node, false);
    let process = world.process(node);
    world.happened(Happened::Started(process));
    drop(host.spawn(live(Arc::clone(world), host.clone(), process)));
}

/// What a process does: it starts its node, and opens its ports when it is ready.
async fn live(world: Shared, host: Host, process: Process) {
    let builder = world.builder(process.node, &host);
    let cluster = match builder.start_in(host.clone()).await {
        Ok(cluster) => cluster,
        Err(error) => {
            world.happened(Happened::Broken("P-JOIN", format!("{process}: {error}")));
            return;
        }
    };
    let context = cluster
        .context("/app")
        .manager(world.manager())
        .max_inactive(world.plan.settings.idle_limit)
        .build()
        .expect("the context is as it should be");
    world.known_as(cluster.members().myself.incarnation, process);
    tokio::spawn(listen(Arc::clone(&world), cluster.clone(), process));
    world.slots.lock()[process.node].cluster = Some(cluster.clone());
    cluster.ready().await;
    let service = context.layer().layer(Application(context.clone()));
    world.slots.lock()[process.node].service = Some(service);
}

/// Writes down what happens on a node.
async fn listen(world: Shared, cluster: Cluster, process: Process) {
    let mut events = cluster.events();
    drop(cluster);
    while let Some(event) = events.next().await {
        if !world.is_current(process) {
            return;
        }
        match event {
            Event::Ready => {
                if let Some(cluster) = world.cluster(process.node) {
                    let seen = world.ready_in(&cluster);
                    world.happened(Happened::Ready(process, seen));
                }
            }
            Event::SessionDestroyed { session, why, .. } => {
                let why = match why {
                    catherd::SessionEnd::Invalidated => "invalidated",
                    catherd::SessionEnd::Abandoned => "abandoned",
                    _ => "expired",
                };
                world.happened(Happened::Destroyed(process, session, why));
            }
            Event::Alarm { what, .. } => {
                let what = format!("{process} raises an alarm: {what}");
                world.happened(Happened::Broken("P-NOMIX", what));
            }
            Event::StateTransfer { transfer, .. } => {
                world.say(&format!(
                    "{process}: state transfer {}, {} sessions",
                    transfer.state, transfer.sessions
                ));
            }
            Event::Member(event) => {
                world.say(&format!("{process}: {}", told(&event)));
                let known = |who: &MemberName| world.known(who.incarnation);
                if let MemberEvent::Added(who) | MemberEvent::Reopened(who, _) = &event
                    && let Some(member) = known(who)
                {
                    world.has_linked(process, member);
                }
                let happened = match &event {
                    MemberEvent::Added(who) => known(who).map(|it| Happened::Met(process, it)),
                    MemberEvent::Gone(who, GoneCause::ProbeFailed) => {
                        known(who).map(|it| Happened::Gone(process, it))
                    }
                    _ => None,
                };
                if let Some(happened) = happened {
                    world.happened(happened);
                }
            }
            other => world.say(&format!("{process}: {other:?}")),
        }
    }
}

fn told(event: &MemberEvent) -> String {
    let text = format!("{event:?}");
    text.chars().take(160).collect()
}

pub(super) fn crash(world: &Shared, node: Node) {
    let process = world.process(node);
    if let Some(cluster) = world.cluster(node).filter(|_| world.is_current(process)) {
        let lag = world.lag(process, &cluster);
        world.happened(Happened::Lagged(process, lag));
    }
    world.network.crash(address(node));
    ended(world, process);
}

/// A process has ended: nobody holds on to it.
fn ended(world: &Shared, process: Process) {
    if !world.is_current(process) {
        return;
    }
    let gone = {
        let mut slots = world.slots.lock();
        let slot = &mut slots[process.node];
        (slot.is_stopped, slot.is_healthy, slot.requests) = (false, false, 0);
        (slot.host.take(), slot.cluster.take(), slot.service.take())
    };
    if let Some(cluster) = &gone.1 {
        let incarnation = cluster.members().myself.incarnation;
        tokio::spawn(views::forget(Arc::clone(world), process, incarnation));
    }
    drop(gone);
    world.happened(Happened::Ended(process));
}

fn leave(world: &Shared, node: Node) {
    let (host, cluster) = {
        let mut slots = world.slots.lock();
        let slot = &mut slots[node];
        if slot.is_leaving {
            return;
        }
        let (Some(host), Some(cluster)) = (slot.host.clone(), slot.cluster.clone()) else {
            return;
        };
        // The ports close first, and what is running ends.
        (slot.is_leaving, slot.service) = (true, None);
        (host, cluster)
    };
    let (process, world) = (world.process(node), Arc::clone(world));
    drop(host.spawn(async move {
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while world.slots.lock()[node].requests > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.shutdown(Duration::from_secs(10)).await;
        if world.is_current(process) {
            world.say(&format!("{process} has left"));
            world.network.crash(address(node));
            ended(&world, process);
        }
    }));
}

/// Arms a place, for a while.
fn arm(world: &Shared, node: Node, place: Place, action: Action) {
    let Some(host) = world.slots.lock()[node].host.clone() else {
        return;
    };
    let is_crash = matches!(action, Action::Crash);
    let armed = host.faults().arm(place, action);
    let (process, world) = (world.process(node), Arc::clone(world));
    let left = world.plan.faults_end().saturating_sub(world.now());
    let armed_for = ARMED_FOR.min(left.saturating_sub(Duration::from_millis(1)));
    tokio::spawn(async move {
        let reached = tokio::time::timeout(armed_for, armed.reached()).await;
        if reached.is_err() || !world.is_current(process) {
            return;
        }
        world.say(&format!("-- {process} has come to {place:?}"));
        if is_crash {
            ended(&world, process);
        } else {
            world.disturb(node, true);
        }
    });
}

/// A place that is not passed by then is disarmed; and so it is when everything is mended.
const ARMED_FOR: Duration = Duration::from_secs(20);

fn set_clock(world: &Shared, node: Node, by: i64) {
    let Some(host) = world.slots.lock()[node].host.clone() else {
        return;
    };
    let (now, step) = (host.wall_clock(), Duration::from_secs(by.unsigned_abs()));
    let to = if by < 0 { now - step } else { now + step };
    world.network.set_wall_clock(address(node), to);
    world.disturb(node, false);
}

fn mend(world: &Shared, but: &[Node]) {
    world.network.set_links(Link::default());
    // What is under way keeps the time of the way on which it left, which may be minutes; what was
    // held sets out anew.
    for a in 0..world.plan.settings.nodes {
        for b in a + 1..world.plan.settings.nodes {
            world.network.hold(address(a), address(b));
        }
    }
    world.network.repair_all();
    for node in 0..world.plan.settings.nodes {
        if but.contains(&node) {
            crash(world, node);
            world.slots.lock()[node].is_given_up = true;
            continue;
        }
        world.network.resume(address(node));
        world.network.thaw(address(node));
        if world.slots.lock()[node].is_stopped {
            world.disturb(node, false);
        }
        start(world, node);
    }
}

fn link(way: &Way) -> Link {
    Link {
        latency: way.latency,
        jitter: way.jitter,
        loss: f64::from(way.loss) / 100.0,
        duplication: f64::from(way.duplication) / 100.0,
        bytes_per_second: way.bytes_per_second,
    }
}
