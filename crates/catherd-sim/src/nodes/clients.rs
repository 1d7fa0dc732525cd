//! Clients at work, and the balancer between them and the nodes.

use std::sync::Arc;
use std::time::Duration;

use catherd::Degraded;
use catherd::env::Env as _;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tower::ServiceExt as _;

use super::application::{Unconfirmed, Work};
use super::world::Shared;
use crate::fault::Node;
use crate::history::{Flags, Operation, Outcome, Process, READER, Ran, Step, Subject};
use crate::random::Random;
use crate::workload::{self, Client, Got, Jar};

/// One client, until it is told to stop.
pub(super) async fn run(world: Shared, mut client: Client, mut stopped: watch::Receiver<bool>) {
    let mut random = Random::derived(world.plan.seed, 2000 + client.number as u64);
    loop {
        let (think, wish) = client.wish();
        tokio::select! {
            biased;
            // The sender lives until all clients have ended.
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(think) => {}
        }
        let Some(wish) = wish else { continue };
        let Some(node) = balance(&world, &wish.jar, &mut random) else {
            continue;
        };
        let from = (client.number, &wish.jar, &*wish.steps);
        let got = send(&world, node, from, wish.patience).await;
        client.got(&wish, got);
    }
}

/// Where a balancer sends a request.
fn balance(world: &Shared, jar: &Jar, random: &mut Random) -> Option<Node> {
    let healthy: Vec<Node> = {
        let slots = world.slots.lock();
        (0..slots.len())
            .filter(|&node| slots[node].is_healthy)
            .collect()
    };
    workload::balance(jar, &healthy, world.plan.load.sticky, random)
}

/// Looks who is healthy, every now and then: what the balancer knows is always a little old.
pub(super) async fn look_at_health(world: Shared) {
    loop {
        for slot in &mut *world.slots.lock() {
            let is_ready = slot
                .cluster
                .as_ref()
                .is_some_and(catherd::Cluster::is_ready);
            slot.is_healthy = is_ready && slot.service.is_some() && !slot.is_stopped;
        }
        tokio::time::sleep(world.plan.load.health).await;
    }
}

/// Sends a request to a node, and writes down what came of it.
async fn send(
    world: &Shared,
    node: Node,
    (client, jar, steps): (usize, &Jar, &[Step]),
    patience: Duration,
) -> Got {
    let number = world.number();
    let process = world.process(node);
    let began = world.now();
    let ran = Arc::new(Mutex::new(None));
    let work = Work {
        number,
        steps: steps.to_vec(),
        ran: Arc::clone(&ran),
    };
    let (outcome, cookie) = ask(world, process, jar, work, patience).await;
    let doing = ran;
    let ran = doing.lock().clone();
    let operation = Operation {
        number,
        client,
        subject: jar.subject,
        began,
        ended: world.now(),
        process,
        key: jar.key(),
        steps: steps.to_vec(),
        ran: ran.clone(),
        outcome: outcome.clone(),
    };
    world.operated(operation, doing);
    match outcome {
        Outcome::Answered { .. } => Got::Answer { ran, cookie },
        Outcome::Failed => Got::Failed,
        Outcome::Unknown => Got::Unknown,
    }
}

/// What came back: the status, the flags, the cookie that was set.
struct Answer {
    status: StatusCode,
    flags: Flags,
    cookie: Option<Option<String>>,
    copies: Vec<Process>,
}

async fn ask(
    world: &Shared,
    process: Process,
    jar: &Jar,
    work: Work,
    patience: Duration,
) -> (Outcome, Option<Option<String>>) {
    let Some((host, cluster, service)) = ({
        let mut slots = world.slots.lock();
        let slot = &mut slots[process.node];
        slot.requests += 1;
        let open = slot
            .host
            .clone()
            .zip(slot.cluster.clone())
            .zip(slot.service.clone());
        if open.is_none() {
            slot.requests -= 1;
        }
        open.map(|((host, cluster), service)| (host, cluster, service))
    }) else {
        return (Outcome::Failed, None);
    };
    let mut request = Request::builder().method("POST").uri("/app");
    if let Some(cookie) = &jar.cookie {
        request = request.header(header::COOKIE, format!("JSESSIONID={cookie}"));
    }
    let request = request.body(work).expect("a cookie came in a header");
    let (answered, answer) = oneshot::channel();
    let (leave, left) = oneshot::channel::<()>();
    let of_the_node = Arc::clone(world);
    // In the process: it dies and stops with it.
    drop(host.spawn(async move {
        let before = of_the_node.ready_in(&cluster);
        let serve = async {
            let Ok(response) = service.oneshot(request).await;
            let (head, body) = response.into_parts();
            let body = body.collect().await;
            (head, body.is_ok())
        };
        tokio::select! {
            biased;
            (head, _) = serve => {
                let mut copies = of_the_node.ready_in(&cluster);
                copies.retain(|copy| before.contains(copy));
                let mut flags = Flags::default();
                let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
                if let Some(header) = text(Degraded::HEADER) {
                    flags = Flags::of(header);
                }
                flags.pending |= head.extensions.get::<Unconfirmed>().is_some();
                // The client may have left.
                let _ = answered.send(Answer {
                    status: head.status,
                    flags,
                    cookie: text("set-cookie").map(cookie),
                    copies,
                });
            }
            // A client that leaves takes the request with it.
            _ = left => {}
        }
        let mut slots = of_the_node.slots.lock();
        let slot = &mut slots[process.node];
        if slot.starts == process.generation + 1 {
            slot.requests = slot.requests.saturating_sub(1);
        }
    }));
    let answer = tokio::time::timeout(patience, answer).await;
    drop(leave);
    match answer {
        Ok(Ok(answer)) if answer.status == StatusCode::OK => {
            let Answer { flags, copies, .. } = answer;
            (Outcome::Answered { flags, copies }, answer.cookie)
        }
        Ok(Ok(_)) => (Outcome::Failed, None),
        // It crashed, or the client stopped waiting.
        Ok(Err(_)) | Err(_) => (Outcome::Unknown, None),
    }
}

/// The value of the cookie that was set; `None` if it was taken away.
fn cookie(header: &str) -> Option<String> {
    let value = header.split(';').next()?.strip_prefix("JSESSIONID=")?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// In the end every session that ever was is asked for on every node, by its every key.
pub(super) async fn read_everything(world: &Shared) {
    let mut keys: Vec<(Subject, String)> = world.with_history(|history| {
        let of = |operation: &Operation| {
            let ran: Option<Ran> = operation.ran.clone();
            let ran = ran.unwrap_or_default();
            let keys = [operation.key.clone(), ran.key, ran.moved_to];
            keys.into_iter()
                .flatten()
                .map(|key| (operation.subject, key))
                .collect::<Vec<_>>()
        };
        history.operations.iter().flat_map(of).collect()
    });
    keys.sort_unstable();
    keys.dedup();
    for node in world.wanted() {
        for (subject, key) in &keys {
            let jar = Jar {
                subject: *subject,
                cookie: Some(key.clone()),
            };
            send(world, node, (READER, &jar, &[]), Duration::from_secs(30)).await;
        }
    }
}
