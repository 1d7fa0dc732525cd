//! A request, from its arrival at a process to its answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use catherd::core::access::{
    Access, Acquaintances, Here, Moment, Policy, Step as AccessStep, Verdict,
};
use catherd::core::key::Key;
use catherd::core::link::Outcome;
use catherd::core::membership::MissingMember;
use catherd::core::message::Message;
use catherd::core::session::{Entry, Name, Property, Slot, State, Value};
use catherd::core::time::Time;
use catherd::core::version::{Incarnation, Vector};
use catherd::env::Place;

use super::node::{CONTEXT, Node, Receipt};
use super::questions;
use super::sessions::Current;
use super::users::{Raised, login_of};
use super::world::{Me, World};
use crate::history::{Flags, Number, Process, Ran, Step, Wrote};
use crate::nodes::OWNER;
use crate::user::PRINCIPAL;

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
struct Bound {
    current: Option<Current>,
    is_new: bool,
    invalidated: Vec<Current>,
    /// Of all sessions of users.
    ends: Vec<Receipt>,
    cycle_to: Option<Current>,
    is_dirty: bool,
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

/// Asks whoever may know better; `None` if the request is refused.
async fn access(me: &Me, key: Key, route: Option<&str>) -> Option<Flags> {
    let process = me.process;
    let policy = me
        .until(|world| {
            Some(Policy {
                rewrites_route: true,
                is_synchronous: world.plan.settings.mode.is_synchronous(),
                refuses_stale: false,
            })
        })
        .await;
    let mut access = Access::new(policy, route);
    loop {
        let step = me
            .act(|world| world.access_step(process, &mut access, key, route))
            .await;
        let ask = match step {
            AccessStep::Ask(ask) => ask,
            AccessStep::Done(Verdict::Refuse) => return None,
            AccessStep::Done(Verdict::Serve(flags)) => {
                if let Some(gap) = flags.given_up {
                    me.act(|world| {
                        world.touch(process, key, |state| state.give_up(gap));
                    })
                    .await;
                }
                return Some(Flags {
                    stale: flags.is_stale,
                    takeover: flags.is_takeover_flagged(),
                    ..Flags::default()
                });
            }
        };
        let about = ask.about.unwrap_or_default();
        let deadline = me
            .act(|world| {
                let deadline = world.time(process) + world.plan.settings.access_timeout;
                world.wake_at(process, deadline);
                deadline
            })
            .await;
        let answered: Rc<RefCell<BTreeMap<Incarnation, Option<Said>>>> = Rc::default();
        for &member in &ask.members {
            let (me, about, answered) = (me.clone(), about.clone(), Rc::clone(&answered));
            me.clone().spawn(async move {
                let said = fetch_in_time(&me, member, (key, about), deadline).await;
                answered.borrow_mut().insert(member, said);
                me.act(|world| world.stir(process)).await;
            });
        }
        me.until(|_| (answered.borrow().len() == ask.members.len()).then_some(()))
            .await;
        for (&member, said) in &*answered.borrow() {
            match *said {
                Some((has_served, knew)) => access.answered(member, has_served, knew),
                None => access.unanswered(member),
            }
        }
    }
}

/// Whether a member has served the session, and whether it knew the node that is gone.
type Said = (bool, bool);

/// A connection that broke says nothing yet: the member is back, or out of the view, before long.
async fn fetch_in_time(
    me: &Me,
    member: Incarnation,
    (key, about): (Key, String),
    deadline: Time,
) -> Option<Said> {
    let process = me.process;
    loop {
        let (held, is_in_view, members) = me
            .act(|world| {
                let members = world.members(process);
                (world.seen(process, key), members.contains(&member), members)
            })
            .await;
        let route = about.clone();
        let message = |question| Message::Fetch {
            question,
            context: CONTEXT.to_owned(),
            wanted: vec![(key, held)],
            route,
        };
        let asked = questions::ask(me, member, deadline, message).await;
        if let Some(Message::Whole {
            answers,
            knew_route,
            ..
        }) = asked.answer(me).await
        {
            let mut has_served = false;
            me.act(|world| {
                for answer in answers.into_iter().filter(|answer| answer.key == key) {
                    has_served |= answer.served;
                    if let Some(fragment) = answer.fragment {
                        world.apply(process, &[fragment]);
                    }
                }
            })
            .await;
            return Some((has_served, knew_route));
        }
        let is_late = me
            .until(|world| Some(world.time(process) >= deadline))
            .await;
        if !is_in_view || is_late {
            return None;
        }
        let is_late = me
            .until(|world| {
                let has_link = world.node(process).links.contains_key(&(member, 0));
                let is_late = world.time(process) >= deadline;
                let is_other = world.members(process) != members || has_link;
                (is_late || is_other).then_some(is_late)
            })
            .await;
        if is_late {
            return None;
        }
    }
}

impl World {
    fn begin(&mut self, process: Process) -> Vec<Process> {
        self.node(process).requests += 1;
        self.ready_in(process)
    }

    fn access_step(
        &mut self,
        process: Process,
        access: &mut Access<'_>,
        key: Key,
        route: Option<&str>,
    ) -> AccessStep {
        let time = self.time(process);
        let node = self.node(process);
        let was_served = node.sides.get(&key).is_some_and(|beside| beside.served);
        let has_request = node.has_request(key);
        let arrivals = node.membership.arrivals();
        let here = |entry: Option<&Entry>| Here::of(entry, time, arrivals, has_request, was_served);
        let here = node.table.look(key, here);
        let view = node.view();
        let owner_name = match here {
            Here::Live {
                owner: Some(owner), ..
            } if view.member(owner).is_none() => node.known.name_of(owner),
            Here::Live { .. } | Here::Absent | Here::Ended => None,
        };
        let names = |is_wanted: fn(&MissingMember) -> bool| -> Vec<String> {
            let wanted = node.membership.missing().filter(|it| is_wanted(it));
            wanted.map(|missing| missing.name.clone()).collect()
        };
        let missing = names(|_| true);
        let silent = names(|missing| !missing.has_ended);
        let knew_route = route.is_some_and(|route| {
            Acquaintances::is_left_to_others(route, view) || node.known.has_known(route, view)
        });
        access.step(&Moment {
            here,
            view,
            missing: &missing,
            silent: &silent,
            knew_route,
            owner_name,
        })
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

    /// What a client is shown covers what it was shown before, or the answer says so.
    fn check_shown(&mut self, process: Process, key: Key, work: &Work, flags: Flags) {
        let Some(Shown {
            seen: shown,
            by,
            is_held_by_one,
        }) = &work.shown
        else {
            return;
        };
        let is_held = !is_held_by_one || *by == process;
        if flags.takeover {
            self.takeovers_told.insert(key);
        }
        let is_excused = (self.takeovers_told.contains(&key) || self.is_namesake_known(key, *by))
            && self.may_be_lost(key, shown);
        if flags.stale || flags.takeover || !is_held || is_excused {
            return;
        }
        let seen = self.live(process, key, |state| state.seen().clone());
        if !seen.is_some_and(|seen| shown.is_within(&seen)) {
            let what = format!(
                "{process}, request #{}: a client that had seen {shown:?} is shown less",
                work.number
            );
            self.broken("7: nobody is shown less than before", what);
        }
    }

    /// Whether a later process of the same name has shown the session: a route is a name, so nothing
    /// tells the cookies of its clients from those of the one before.
    fn is_namesake_known(&self, key: Key, by: Process) -> bool {
        let node = self.places[by.node].node.as_deref();
        node.is_some_and(|node| {
            node.process != by && node.sides.get(&key).is_some_and(|beside| beside.served)
        })
    }

    /// What was confirmed may be lost where nobody waits for copies, or where all died that had it. Of
    /// several clients of a session the first one that comes after it is told.
    fn may_be_lost(&self, key: Key, shown: &Vector) -> bool {
        let may_lose = !self.plan.settings.mode.is_synchronous();
        let has_it = |entry: Option<&Entry>| {
            let live = entry.and_then(Entry::live);
            live.is_some_and(|state| shown.is_within(state.seen()))
        };
        let mut running = self.places.iter().filter_map(|it| it.node.as_deref());
        may_lose || !running.any(|node| node.table.look(key, has_it))
    }

    fn contents(&self, process: Process, key: Key) -> BTreeMap<String, Vec<Number>> {
        let read = |state: &State| {
            let attributes = state.attributes();
            let login = login_of(state).map(|(_, number)| (PRINCIPAL.to_owned(), vec![number]));
            attributes
                .map(|(name, value)| (name.as_str().to_owned(), numbers(&value)))
                .chain(login)
                .collect()
        };
        self.live(process, key, read).unwrap_or_default()
    }

    /// Takes steps until one takes time: until when.
    fn run(
        &mut self,
        process: Process,
        work: &Work,
        bound: &mut Bound,
        steps: &mut std::slice::Iter<'_, Step>,
    ) -> Option<Time> {
        for step in steps {
            let has_session = |world: &Self, bound: &Bound| {
                bound
                    .current
                    .is_some_and(|current| world.exists(process, current))
            };
            let is_keyed = work
                .ran
                .borrow()
                .as_ref()
                .is_some_and(|ran| ran.key.is_some());
            match step {
                Step::Wait(time) => return Some(self.time(process) + *time),
                Step::Create(subject) if !is_keyed => {
                    self.begin_session(process, work, bound, subject.0, None);
                }
                Step::CreateIdle(subject, limit) if !is_keyed => {
                    self.begin_session(process, work, bound, subject.0, Some(*limit));
                }
                _ if !is_keyed || !has_session(self, bound) => return None,
                Step::Create(_) | Step::CreateIdle(..) => {}
                Step::Write(name) => {
                    self.write(process, work, bound, name, |_| Some(vec![work.number]));
                }
                Step::Append(name) => self.write(process, work, bound, name, |list| {
                    let mut list = list.unwrap_or_default();
                    list.push(work.number);
                    Some(list)
                }),
                Step::Remove(name) => self.write(process, work, bound, name, |_| None),
                Step::Login => {
                    let node = self.node(process);
                    let (key, birth) = (node.draw_key(), node.next_birth());
                    bound.cycle_to = Some(Current { key, birth });
                    bound.is_dirty = true;
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.moved_to = Some(key.to_string());
                    }
                }
                Step::LogInAs(user) => {
                    let current = bound.current.expect("there is a session");
                    let parent = self.log_in(process, current, (*user, work.number));
                    bound.is_dirty = true;
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.wrote.push(Wrote {
                            name: PRINCIPAL.to_owned(),
                            parent,
                            removed: false,
                        });
                    }
                }
                Step::EndAllOf(user) => {
                    bound.ends.push(self.end_sessions_of(process, *user));
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.ended_all_of = Some(*user);
                        ran.ended = !has_session(self, bound);
                    }
                }
                Step::Logout => {
                    bound.invalidated.extend(bound.current.take());
                    (bound.cycle_to, bound.is_new, bound.is_dirty) = (None, false, true);
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.ended = true;
                    }
                    return None;
                }
            }
        }
        None
    }

    fn begin_session(
        &mut self,
        process: Process,
        work: &Work,
        bound: &mut Bound,
        subject: u64,
        limit: Option<Duration>,
    ) {
        let current = self.create(process);
        let rules = self.node(process).rules;
        let owner = value(&[subject]);
        self.set(process, current, |state| {
            let set = state.set(slot(OWNER), Some(owner), &rules);
            set.expect("it is small");
            if let Some(limit) = limit {
                let millis = i64::try_from(limit.as_millis()).expect("a limit is short");
                state.set_property(Property::MaxInactive, millis);
            }
        });
        (bound.current, bound.is_new, bound.is_dirty) = (Some(current), true, true);
        if let Some(ran) = &mut *work.ran.borrow_mut() {
            ran.key = Some(current.key.to_string());
        }
    }

    fn write(
        &mut self,
        process: Process,
        work: &Work,
        bound: &mut Bound,
        name: &str,
        new: impl FnOnce(Option<Vec<Number>>) -> Option<Vec<Number>>,
    ) {
        let current = bound.current.expect("there is a session");
        let old = self
            .live(process, current.key, |state| {
                state.value(&slot(name)).as_ref().map(numbers)
            })
            .flatten();
        let parent = old.as_ref().and_then(|old| old.last().copied());
        let new = new(old);
        let removed = new.is_none();
        if removed && parent.is_none() {
            return;
        }
        let rules = self.node(process).rules;
        let new = new.map(|new| value(&new));
        self.set(process, current, |state| {
            state
                .set(slot(name), new, &rules)
                .expect("it is small enough");
        });
        bound.is_dirty = true;
        if let Some(ran) = &mut *work.ran.borrow_mut() {
            ran.wrote.push(Wrote {
                name: name.to_owned(),
                parent,
                removed,
            });
        }
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

    /// Who has acknowledged holds what was written, unless it has ended since.
    fn check_copies(&mut self, process: Process, key: Key, receipt: &Receipt) {
        let Some(me) = self.look(process) else { return };
        let writer = me.incarnation;
        let Some(written) = self.live(process, key, |state| state.seen().revision(writer)) else {
            return;
        };
        let mut lacking = Vec::new();
        for (holder, ticket) in &receipt.tickets {
            let outcome = me.outcome(*ticket);
            let there = self.processes.get(holder).and_then(|it| self.look(*it));
            // A machine that was put back has lost it, and will hear so.
            let is_it = |it: &&Node| it.incarnation == *holder && !it.clock.has_stood();
            let Some(there) = there.filter(is_it) else {
                continue;
            };
            if outcome != Some(Outcome::Acknowledged) {
                continue;
            }
            // A request beside this one may have committed more, which nobody waits for here.
            let held = there.table.look(key, |entry| match entry {
                Some(Entry::Live(state)) => state.seen().revision(writer),
                Some(Entry::Ended { .. }) => u64::MAX,
                None => 0,
            });
            let is_last = me
                .sides
                .get(&key)
                .and_then(|beside| beside.receipt.as_ref())
                .is_some_and(|last| last.tickets == receipt.tickets);
            if held < written && is_last {
                lacking.push((*holder, held));
            }
        }
        let is_idle = !self.is_shown(process, key);
        if !lacking.is_empty() && !is_idle {
            let what = format!("{process}: {key} up to {written} is not at {lacking:?}");
            self.broken("5: what is confirmed is held", what);
        }
    }

    /// An end that is not said to be pending is known to all that it went to.
    fn check_ended(&mut self, process: Process, receipt: &Receipt) {
        let Some((key, generation)) = receipt.ended else {
            return;
        };
        let is_unaware = |holder: &Incarnation| {
            let there = self.processes.get(holder).and_then(|it| self.look(*it));
            // A machine that was put back has lost it, and will hear so.
            let is_it = |it: &&Node| it.incarnation == *holder && !it.clock.has_stood();
            let entry = there.filter(is_it).map(|it| it.table.entry(key));
            let is_it = |it: &Entry| it.live().is_none() && it.generation() >= generation;
            entry.is_some_and(|entry| !entry.as_ref().is_some_and(is_it))
        };
        let holders = receipt.tickets.iter().map(|(holder, _)| *holder);
        let unaware: Vec<_> = holders.clone().filter(is_unaware).collect();
        if generation > 0 {
            let of = holders.filter_map(|holder| self.processes.get(&holder).copied());
            let of: Vec<Process> = of.collect();
            self.check_none_is_over(process, &of);
        }
        if !unaware.is_empty() {
            let what = format!("{process}: the end of {key} is not known to {unaware:?}");
            self.broken("5: what is confirmed is held", what);
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

fn slot(name: &str) -> Slot {
    Slot::Attribute(Name::new(name).expect("names are short"))
}

fn value(numbers: &[Number]) -> Value {
    let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    Value::new(&bytes)
}

fn numbers(value: &Value) -> Vec<Number> {
    let (chunks, _) = value.as_bytes().as_chunks::<8>();
    chunks
        .iter()
        .map(|chunk| u64::from_le_bytes(*chunk))
        .collect()
}
