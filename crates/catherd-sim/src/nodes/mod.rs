//! The engine of whole nodes: what users run, on a paused clock and a network in memory.

mod application;
mod carry_out;
mod clients;
mod ending;
mod views;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::history::Happened;
use crate::plan::Plan;
use crate::{Engine, Run, workload};

pub(crate) use self::application::OWNER;
use self::world::World;

/// Runs whole nodes: cores, channel, managers and the tower layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nodes {
    /// Whether the transcript is shown while it is written: for a run that does not end.
    pub shows: bool,
}

impl Engine for Nodes {
    fn run(&self, plan: &Plan) -> Run {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without sockets needs nothing of the system");
        runtime.block_on(run(plan, self.shows))
    }
}

async fn run(plan: &Plan, shows: bool) -> Run {
    let world = Arc::new(World::new(plan, shows));
    let (stop, stopped) = watch::channel(false);
    let clients: Vec<_> = workload::clients(plan.seed, &plan.load)
        .into_iter()
        .map(|client| tokio::spawn(clients::run(Arc::clone(&world), client, stopped.clone())))
        .collect();
    let watching = tokio::spawn(ending::watch_bounds(Arc::clone(&world)));
    let health = tokio::spawn(clients::look_at_health(Arc::clone(&world)));
    let starting = tokio::spawn(start_all(Arc::clone(&world)));
    for (at, fault) in &plan.schedule {
        tokio::time::sleep_until(world.began + *at).await;
        carry_out::carry_out(&world, fault);
    }
    ending::all_ready(&world).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.send_replace(true);
    for client in clients {
        if client.await.is_err() {
            world.happened(Happened::Broken("P-BOUND", "a client panicked".to_owned()));
        }
    }
    ending::whole(&world).await;
    clients::read_everything(&world).await;
    for task in [watching, health, starting] {
        task.abort();
    }
    world.finish()
}

async fn start_all(world: Arc<World>) {
    for node in 0..world.plan.settings.nodes {
        if !world.plan.settings.at_once && node > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        carry_out::start(&world, node);
    }
}
