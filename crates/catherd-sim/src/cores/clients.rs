//! Clients at work, and the balancer between them and the processes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use catherd::core::key::Key;

use super::queue::Event;
use super::requests::{self, Reply, Shown, Work};
use super::world::{Hands, Me, World};
use crate::fault::Node;
use crate::history::{Operation, Outcome, Process, READER, Step, Subject};
use crate::random::Random;
use crate::workload::{self, Client, Got, Jar};

/// What a client was shown last under each key.
type ShownLast = BTreeMap<Key, Shown>;

/// One client, until all is over.
pub(super) async fn run(hands: Hands, task: usize, mut client: Client) {
    let seed = hands.with(|world| world.plan.seed);
    let mut random = Random::derived(seed, 2000 + client.number as u64);
    let mut shown = ShownLast::new();
    loop {
        let (think, wish) = client.wish();
        hands.rest(task, think).await;
        if hands.with(|world| world.is_over) {
            return;
        }
        let Some(wish) = wish else { continue };
        let process = hands.with(|world| {
            let node = world.balance(&wish.jar, &mut random)?;
            world.process_at(node).or(Some(world.last_at(node)))
        });
        let Some(process) = process else { continue };
        let from = (client.number, &wish.jar, &*wish.steps);
        let got = send(&hands, task, process, from, wish.patience, &mut shown).await;
        client.got(&wish, got);
    }
}

impl World {
    /// Where a balancer sends a request.
    fn balance(&self, jar: &Jar, random: &mut Random) -> Option<Node> {
        let places = self.places.iter().enumerate();
        let healthy: Vec<Node> = places
            .filter(|(_, place)| place.is_healthy)
            .map(|(node, _)| node)
            .collect();
        workload::balance(jar, &healthy, self.plan.load.sticky, random)
    }

    /// The process that ran at a place last.
    pub(super) fn last_at(&self, node: Node) -> Process {
        Process {
            node,
            generation: self.places[node].starts.saturating_sub(1),
        }
    }

    /// The balancer looks who is healthy: what it knows is always a little old.
    pub(super) fn look_at_health(&mut self) {
        for place in &mut self.places {
            let node = place.node.as_deref();
            place.is_healthy =
                node.is_some_and(|it| it.is_open && it.am_ready() && !it.is_stopped());
        }
        let at = self.now + self.plan.load.health;
        self.queue.push(at, Event::Health);
    }
}

/// Sends a request to a process, and writes down what came of it.
async fn send(
    hands: &Hands,
    task: usize,
    process: Process,
    (client, jar, steps): (usize, &Jar, &[Step]),
    patience: Duration,
    shown: &mut ShownLast,
) -> Got {
    let key: Option<Key> = jar.key().and_then(|key| key.parse().ok());
    let reply: Rc<RefCell<Reply>> = Rc::default();
    let ran = Rc::default();
    let (number, began) = hands.with(|world| {
        world.numbers += 1;
        (world.numbers, world.now)
    });
    let work = Work {
        number,
        key,
        route: jar.route().map(str::to_owned),
        shown: key.and_then(|key| shown.get(&key).cloned()),
        steps: steps.to_vec(),
        ran: Rc::clone(&ran),
        reply: Rc::clone(&reply),
    };
    let is_taken = hands.with(|world| world.look(process).is_some_and(|node| node.is_open));
    let answer = if is_taken {
        let me = Me {
            hands: hands.clone(),
            process,
        };
        hands.spawn(Some(process), requests::serve(me, task, work));
        let deadline = hands.with(|world| {
            let deadline = world.now + patience;
            world.queue.push(deadline, Event::Wake(task));
            deadline
        });
        hands
            .until(|world| {
                let answer = reply.borrow().answer.clone();
                let is_late = world.now >= deadline || !world.is_running(process);
                (answer.is_some() || is_late).then_some(answer)
            })
            .await
    } else {
        Some(None)
    };
    reply.borrow_mut().is_left = true;
    let outcome = match &answer {
        Some(Some(answer)) => Outcome::Answered {
            flags: answer.flags,
            copies: answer.copies.clone(),
        },
        Some(None) => Outcome::Failed,
        None => Outcome::Unknown,
    };
    let did = ran.borrow().clone();
    let operation = hands.with(|world| {
        world.stir(process);
        world.queue.push(world.now, Event::Timer(process));
        Operation {
            number,
            client,
            subject: jar.subject,
            began,
            ended: world.now,
            process,
            key: jar.key(),
            steps: steps.to_vec(),
            ran: did.clone(),
            outcome,
        }
    });
    hands.with(|world| world.operated(operation, ran));
    match answer {
        Some(Some(answer)) => {
            if let Some((key, seen)) = answer.shown {
                let last = Shown {
                    seen,
                    by: process,
                    is_held_by_one: answer.flags.durability,
                };
                shown.insert(key, last);
            } else if let Some(key) = key {
                // Whoever is shown the session again has the cookie from somebody else.
                shown.remove(&key);
            }
            // Who comes with a cookie that was taken from it brings an old route: nothing is
            // promised to that one.
            let has_key = |cookie: &str, key: Key| cookie.starts_with(&key.to_string());
            if let (Some(key), Some(cookie)) = (key, &answer.cookie)
                && !cookie.as_deref().is_some_and(|it| has_key(it, key))
            {
                shown.remove(&key);
            }
            Got::Answer {
                ran: did,
                cookie: answer.cookie,
            }
        }
        Some(None) => Got::Failed,
        None => Got::Unknown,
    }
}

/// In the end every session that ever was is asked for on every node, by its every key.
pub(super) async fn read_everything(hands: &Hands, task: usize) {
    let (keys, nodes) = hands.with(|world| {
        let of = |operation: &Operation| {
            let ran = operation.ran.clone().unwrap_or_default();
            let keys = [operation.key.clone(), ran.key, ran.moved_to];
            let subject = operation.subject;
            keys.into_iter().flatten().map(move |key| (subject, key))
        };
        let operations = world.history.operations.iter();
        let mut keys: Vec<(Subject, String)> = operations.flat_map(of).collect();
        keys.sort_unstable();
        keys.dedup();
        (keys, world.wanted())
    });
    for node in nodes {
        for (subject, key) in &keys {
            let jar = Jar {
                subject: *subject,
                cookie: Some(key.clone()),
            };
            let process = hands.with(|world| world.last_at(node));
            let patience = Duration::from_secs(30);
            let from = (READER, &jar, &[][..]);
            send(hands, task, process, from, patience, &mut ShownLast::new()).await;
        }
    }
}
