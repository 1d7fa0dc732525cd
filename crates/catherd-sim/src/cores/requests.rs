//! A request, from its arrival at a process to its answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use catherd::core::key::Key;
use catherd::core::version::Vector;
use catherd::env::Place;

use super::access::access;
use super::node::Receipt;
use super::sessions::Current;
use super::users::{Raised, login_of};
use super::world::{Me, World};
use crate::history::{Flags, Number, Process, Ran, Step};

/// What a request carries.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) number: Number,
    pub(super) key: Option<Key>,
    pub(super) route: Option<String>,
    /// What the client was shown last.
    pub(super) shown: Option<Shown>,
    pub(super) steps: Vec<Step>,
    pub(super) ran: Rc<RefCell<Option<Ran>>>,
    pub(super) reply: Rc<RefCell<Reply>>,
}

/// What a client was shown of a session.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) seen: Vector,
    /// Who showed it.
    pub(super) by: Process,
    /// Whether the answer said that nobody else held it.
    pub(super) is_held_by_one: bool,
}

/// What client and process say to each other while a request runs.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The answer; `None` in it if the request was refused.
    pub(super) answer: Option<Option<Answer>>,
    /// The client has left.
    pub(super) is_left: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) flags: Flags,
    pub(super) cookie: Option<Option<String>>,
    pub(super) copies: Vec<Process>,
    /// What the client has been shown, and under which key.
    pub(super) shown: Option<(Key, Vector)>,
}

/// A request that has its session.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) current: Option<Current>,
    pub(super) is_new: bool,
    pub(super) invalidated: Vec<Current>,
    /// Of all sessions of users.
    pub(super) ends: Vec<Receipt>,
    pub(super) cycle_to: Option<Current>,
    pub(super) is_dirty: bool,
    sent: bool,
}

/// What is done when the application has run.
#[derive(Debug)]
struct Finished {
    write: Option<Receipt>,
    ends: Vec<Receipt>,
    key: Option<Key>,
    /// What the copy had then: what others write while acknowledgements are waited for is in no
    /// answer.
    seen: Option<Vector>,
}

/// Serves a request, and answers it unless the client has left.
pub(super) async fn serve(me: Me, task: usize, work: Work) {
    let process = me.process;
    let before = me.act(|world| world.begin(process)).await;
    let answer = answer(&me, &work, before).await;
    me.act(|world| {
        let node = world.node(process);
        node.requests = node.requests.saturating_sub(1);
        world.woken.push(task);
        if let Some(answer) = answer {
            work.reply.borrow_mut().answer = Some(answer);
        }
    })
    .await;
}

/// `None` if the client has left.
async fn answer(me: &Me, work: &Work, before: Vec<Process>) -> Option<Option<Answer>> {
    let process = me.process;
    if !is_current_in_time(me).await {
        return Some(None);
    }
    let flags = match work.key {
        None => Flags::default(),
        Some(key) => match access(me, key, work.route.as_deref()).await {
            Some(flags) => flags,
            None => return Some(None),
        },
    };
    let (mut flags, mut bound, client_has) =
        me.act(|world| world.enter(process, work, flags)).await;
    let mut steps = work.steps.iter();
    loop {
        let pause = me
            .act(|world| world.run(process, work, &mut bound, &mut steps))
            .await;
        let Some(pause) = pause else { break };
        me.sleep_until(pause).await;
        if work.reply.borrow().is_left {
            me.act(|world| world.abandon(process, bound)).await;
            return None;
        }
    }
    let finished = me
        .act(|world| {
            let finished = world.finish_request(process, &mut bound);
            world.passes(process, Place::ResponseHeld);
            finished
        })
        .await;
    let degraded = me
        .until(|world| {
            if work.reply.borrow().is_left {
                return Some(None);
            }
            world.degraded(process, &finished).map(Some)
        })
        .await;
    let Some((durability, pending)) = degraded else {
        me.act(|world| world.abandon(process, bound)).await;
        return None;
    };
    (flags.durability, flags.pending) = (durability, pending);
    let answer = me
        .act(|world| {
            let answer = world.respond(process, work, &finished, (flags, client_has, before));
            bound.is_new = false;
            world.abandon(process, bound);
            answer
        })
        .await;
    Some(Some(answer))
}

/// After a pause requests wait until the node has looked what the others did meanwhile.
async fn is_current_in_time(me: &Me) -> bool {
    let process = me.process;
    let deadline = me
        .act(|world| {
            let deadline = world.time(process) + world.plan.settings.access_timeout;
            let node = world.node(process);
            let is_current = node.am_ready() || node.pauses() == 0 || node.is_leaving;
            (!is_current).then(|| {
                world.wake_at(process, deadline);
                deadline
            })
        })
        .await;
    let Some(deadline) = deadline else {
        return true;
    };
    me.until(|world| {
        let time = world.time(process);
        let node = world.node(process);
        match node.am_ready() || node.is_leaving {
            true => Some(true),
            false => (time >= deadline).then_some(false),
        }
    })
    .await
}

impl World {
    fn begin(&mut self, process: Process) -> Vec<Process> {
        self.node(process).requests += 1;
        self.ready_in(process)
    }

    /// Enters the session, if there is one that can be shown.
    fn enter(
        &mut self,
        process: Process,
        work: &Work,
        mut flags: Flags,
    ) -> (Flags, Bound, Option<Key>) {
        let time = self.time(process);
        let mut bound = Bound::default();
        if let Some(key) = work.key {
            let is_over = self.end_if_over(process, key, Raised::There)
                || self.end_if_login_is_over(process, key);
            if !is_over && self.is_shown(process, key) {
                let birth = self.touch(process, key, |state| {
                    state.touch(time);
                    state.birth()
                });
                let birth = birth.expect("it can be shown");
                self.check_shown(process, key, work, flags);
                let beside = self.node(process).besides(key);
                beside.requests += 1;
                beside.served = true;
                bound.current = Some(Current { key, birth });
            } else {
                flags.takeover &= !self.node(process).has_ended(key);
            }
        }
        let key = bound.current.map(|current| current.key);
        *work.ran.borrow_mut() = Some(Ran {
            key: key.map(|key| key.to_string()),
            found: key.map_or_else(BTreeMap::new, |key| self.contents(process, key)),
            user: key.and_then(|key| self.live(process, key, login_of)?.map(|(user, _)| user)),
            ..Ran::default()
        });
        (flags, bound, key)
    }

    /// Does what the request has asked for: ends, moves, commits.
    fn finish_request(&mut self, process: Process, bound: &mut Bound) -> Finished {
        let changed = std::mem::take(&mut bound.is_dirty);
        let use_dirty_flag = self.plan.settings.use_dirty_flag;
        let mut ends = std::mem::take(&mut bound.ends);
        for ended in std::mem::take(&mut bound.invalidated) {
            ends.extend(self.end(process, ended, "invalidated"));
            self.leave_session(process, ended);
        }
        let cycle_to = bound.cycle_to.take();
        if let Some(current) = bound.current {
            match cycle_to {
                Some(to) => {
                    if let Some(receipt) = self.change_id(process, current, to) {
                        self.leave_session(process, current);
                        bound.current = Some(to);
                        ends.push(receipt);
                    }
                }
                // What a neighbour has set that is under way may be shown by the answer.
                None if changed || !use_dirty_flag || self.is_dirty(process, current) => {
                    bound.sent |= self.commit(process, current);
                }
                None => {}
            }
        }
        let current = bound
            .current
            .filter(|current| self.exists(process, *current));
        let write = current.and_then(|current| {
            let beside = self.node(process).sides.get(&current.key)?;
            beside.receipt.clone()
        });
        Finished {
            write,
            ends,
            key: current.map(|current| current.key),
            seen: current
                .and_then(|current| self.live(process, current.key, |state| state.seen().clone())),
        }
    }

    /// Whether the answer has to say that it is not durable, or pending; `None` while somebody has
    /// to be waited for.
    fn degraded(&self, process: Process, finished: &Finished) -> Option<(bool, bool)> {
        let (mut durability, mut pending) = (false, false);
        if let Some(write) = &finished.write {
            durability = !self.is_confirmed(process, write)?;
        }
        let node = self.look(process)?;
        for end in &finished.ends {
            let confirmed = self.is_confirmed(process, end)?;
            pending |= !confirmed || end.absence.is_pending(node.membership.absence());
        }
        Some((durability, pending))
    }

    /// Whether all who had to have acknowledged; `None` while that is not known.
    fn is_confirmed(&self, process: Process, receipt: &Receipt) -> Option<bool> {
        let node = self.look(process)?;
        let tickets = receipt.tickets.iter();
        let outcomes = tickets.map(|(_, ticket)| node.outcome(*ticket));
        receipt.awaited.is_confirmed(outcomes)
    }

    fn respond(
        &mut self,
        process: Process,
        work: &Work,
        finished: &Finished,
        (flags, client_has, before): (Flags, Option<Key>, Vec<Process>),
    ) -> Answer {
        let name = self.node(process).name.clone();
        let cookie = match finished.key {
            Some(key) => {
                let has_route = work.route.as_deref() == Some(&name);
                let has_it = work.key == Some(key) && client_has.is_some() && has_route;
                (!has_it).then(|| Some(format!("{key}.{name}")))
            }
            None => client_has.map(|_| None),
        };
        let mut copies = self.ready_in(process);
        copies.retain(|copy| before.contains(copy));
        let is_end = !finished.ends.is_empty();
        if !self.plan.settings.mode.is_synchronous() && !is_end {
            // Nothing more is promised of a write that nobody was waited for.
            copies = vec![process];
        }
        let shown = finished.key.zip(finished.seen.clone());
        if let Some(write) = &finished.write
            && !flags.durability
            && let Some(key) = finished.key
        {
            self.check_copies(process, key, write);
        }
        if !flags.pending {
            for end in &finished.ends {
                self.check_ended(process, end);
            }
        }
        Answer {
            flags,
            cookie,
            copies,
            shown,
        }
    }

    /// The request is over, its answer given or not.
    fn abandon(&mut self, process: Process, mut bound: Bound) {
        if bound.is_new
            && let Some(current) = bound.current.take()
        {
            self.end(process, current, "abandoned");
            return;
        }
        if bound.is_dirty {
            self.finish_request(process, &mut bound);
        }
        if let Some(current) = bound.current {
            if !bound.sent {
                self.tell_of_access(process, current.key);
            }
            self.leave_session(process, current);
        }
    }
}
