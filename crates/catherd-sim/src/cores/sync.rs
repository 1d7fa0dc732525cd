//! Comparing with members and pulling from them: at the start, after a pause, and from then on.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catherd::core::key::Key;
use catherd::core::membership::Met;
use catherd::core::message::Message;
use catherd::core::sync::{
    Bulk, Comparison, Due, GivenUp, Join, Look, Marks, Pull, Scope, Summaries,
};
use catherd::core::version::Incarnation;

use super::link::ID;
use super::node::CONTEXT;
use super::questions;
use super::world::{Me, World};
use crate::history::{Happened, Process};

/// Into how many buckets the tables are folded: as many as nodes do for a few of the seeds, and few
/// for the others, since most of the time of a run would go into digests of nothing.
fn buckets(world: &World) -> u32 {
    if world.plan.seed.is_multiple_of(64) {
        Marks::SIZE
    } else {
        64
    }
}

/// How long a member has for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// One fetch asks for at most so many sessions.
const FETCH_MAX: usize = 256;

/// How often donors that failed are asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// A member did not answer in time, or is not connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered;

#[derive(Clone, Debug)]
enum Buckets {
    Range(Range<u32>),
    Marked(Marks),
}

impl Buckets {
    fn compare(&self, world: &mut World, process: Process, first: u32, mutual: bool) -> Comparison {
        let size = buckets(world);
        let table = &world.node(process).table;
        match self {
            Self::Range(range) => Comparison::of(table, size, first..range.end, mutual),
            Self::Marked(marks) => Comparison::of_marked(table, marks, first, mutual),
        }
    }
}

/// Meets the members, gets their state and is ready, again after each pause; until it leaves.
pub(super) async fn join_always(me: Me) {
    loop {
        me.until(|world| (!world.node(me.process).am_ready()).then_some(()))
            .await;
        join(&me).await;
    }
}

async fn join(me: &Me) {
    let process = me.process;
    let (pauses, heard_by, met_by) = me
        .until(|world| {
            let node = world.node(process);
            Some((node.pauses(), node.joining.0, node.joining.1))
        })
        .await;
    me.act(|world| {
        world.wake_at(process, heard_by);
        world.wake_at(process, met_by);
    })
    .await;
    me.until(|world| {
        let time = world.time(process);
        let node = world.node(process);
        let met = node.membership.met();
        let is_met =
            met == Met::Everybody || (met == Met::AllHeard && time >= heard_by) || time >= met_by;
        (is_met || node.pauses() != pauses).then_some(())
    })
    .await;
    if !transfer(me, pauses).await {
        return;
    }
    me.act(|world| world.become_ready(process, pauses)).await;
    me.until(|world| {
        let node = world.node(process);
        (node.am_ready() || node.pauses() != pauses).then_some(())
    })
    .await;
}

impl World {
    fn become_ready(&mut self, process: Process, pauses: u64) {
        let time = self.time(process);
        let node = self.node(process);
        if node.pauses() != pauses || node.membership.is_leaving() {
            return;
        }
        let unverified: Vec<Incarnation> = node
            .view()
            .members
            .iter()
            .filter(|member| member.is_ready() && !node.verified.contains(&member.incarnation))
            .map(|member| member.incarnation)
            .collect();
        node.membership.become_ready(time);
        node.is_open = true;
        node.known.became_ready(node.membership.view());
        if !unverified.is_empty() {
            let what = format!("{process} is ready without {unverified:?}");
            self.broken("8: who is ready has verified with all", what);
        }
        self.carry_out(process);
        let seen = self.ready_in(process);
        self.happened(Happened::Ready(process, seen));
    }

    /// Who has the state: the ready members; all of them, if none is ready.
    fn donors(&self, process: Process) -> Vec<Incarnation> {
        let node = self.look(process).expect("who asks, runs");
        let members = &node.view().members;
        let ready = members.iter().filter(|member| member.is_ready());
        let ready: Vec<_> = ready.map(|member| member.incarnation).collect();
        if ready.is_empty() {
            members.iter().map(|member| member.incarnation).collect()
        } else {
            ready
        }
    }
}

/// Brings the context up to date. `false` if this node was stopped meanwhile.
async fn transfer(me: &Me, pauses: u64) -> bool {
    let process = me.process;
    let size = me.until(|world| Some(buckets(world))).await;
    let mut join = Join::new(size);
    let pulled: Rc<RefCell<Vec<(Pull, bool)>>> = Rc::default();
    let (mut told, mut had) = me
        .act(|world| {
            let node = world.node(process);
            node.lost.clear();
            node.verified.clear();
            (world.time(process), Vec::new())
        })
        .await;
    loop {
        let donors = me.until(|world| Some(world.donors(process))).await;
        join.handle_donors(donors.iter().copied());
        while let Some(pull) = join.poll() {
            let (me, pulled) = (me.clone(), Rc::clone(&pulled));
            me.clone().spawn(async move {
                let is_done = pull_part(&me, &pull).await.is_ok();
                let pull = (pull, is_done);
                me.until(|world| {
                    world.stir(process);
                    Some(())
                })
                .await;
                pulled.borrow_mut().push(pull);
            });
        }
        if join.is_verified() {
            return true;
        }
        had.clone_from(&donors);
        me.act(|world| world.wake_at(process, told + PATIENCE))
            .await;
        let (lost, is_over, is_late) = me
            .until(|world| {
                let time = world.time(process);
                let donors = world.donors(process);
                let node = world.node(process);
                let is_over = node.pauses() != pauses || node.membership.is_leaving();
                let is_late = time >= told + PATIENCE;
                let is_new = !node.lost.is_empty() || !pulled.borrow().is_empty();
                let is_stirred = is_over || is_late || is_new || donors != had;
                is_stirred.then(|| (std::mem::take(&mut node.lost), is_over, is_late))
            })
            .await;
        if is_over {
            return false;
        }
        // What was pulled before a connection was lost is to be verified anew.
        let done = std::mem::take(&mut *pulled.borrow_mut());
        for (pull, is_done) in done {
            join.handle_pulled(&pull, is_done);
            if is_done && pull.verifies && !lost.contains(&pull.from) {
                me.until(|world| Some(world.node(process).verified.insert(pull.from)))
                    .await;
            }
        }
        for member in lost {
            join.handle_lost(member);
        }
        if is_late {
            told = me.until(|world| Some(world.time(process))).await;
            join.handle_patience();
        }
    }
}

async fn pull_part(me: &Me, pull: &Pull) -> Result<(), Unanswered> {
    if !pull.verifies && pull_everything(me, pull.from, pull.buckets.clone()).await? {
        return Ok(());
    }
    let buckets = Buckets::Range(pull.buckets.clone());
    pull_from(me, pull.from, &buckets, false).await?;
    Ok(())
}

/// Gets all that a member has in those of the buckets in which there is nothing here; whether those
/// are all.
async fn pull_everything(
    me: &Me,
    from: Incarnation,
    range: Range<u32>,
) -> Result<bool, Unanswered> {
    let process = me.process;
    let mut bulk = me
        .act(|world| {
            let size = buckets(world);
            Bulk::of(&world.node(process).table, size, range, false)
        })
        .await;
    // As pulls go on side by side, one question of each at a time is enough here.
    while let Some(stretch) = bulk.poll() {
        let deadline = me
            .until(|world| Some(world.time(process) + ANSWER_TIME))
            .await;
        let asked = stretch.clone();
        let message = |question| Message::FetchAll {
            question,
            context: CONTEXT.to_owned(),
            stretch: asked,
        };
        let asked = questions::ask(me, from, deadline, message).await;
        match asked.answer(me).await {
            Some(Message::Whole {
                answers, is_cut, ..
            }) => {
                let last = answers.last().map(|answer| answer.key);
                bulk.handle_answer(&stretch, (answers.len(), last), is_cut)?;
                me.act(|world| {
                    for fragment in answers.into_iter().filter_map(|answer| answer.fragment) {
                        world.apply(process, &[fragment]);
                    }
                })
                .await;
            }
            _ => bulk.handle_failure(stretch)?,
        }
    }
    Ok(bulk.is_whole())
}

impl From<GivenUp> for Unanswered {
    fn from(GivenUp: GivenUp) -> Self {
        Self
    }
}

/// Compares with whoever is due, as long as the process runs.
pub(super) async fn repair_always(me: Me) {
    let process = me.process;
    let mut seen = None;
    loop {
        let due = me
            .until(|world| {
                let time = world.time(process);
                let view = world.node(process).membership.view();
                if !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, view)) {
                    seen = Some(Arc::clone(view));
                    let members = world.members(process);
                    world.node(process).schedule.members(time, &members);
                }
                let node = world.node(process);
                if !node.am_ready() || node.membership.is_leaving() {
                    return None;
                }
                let at = node.schedule.poll_timeout()?;
                if at <= time
                    && let Some(due) = node.schedule.take_due(time)
                {
                    return Some(due);
                }
                if node.repair_at != Some(at) {
                    node.repair_at = Some(at);
                    world.wake_at(process, at);
                }
                None
            })
            .await;
        let differing = compare_with(&me, &due).await.ok();
        me.act(|world| {
            let time = world.time(process);
            world.node(process).schedule.note(time, due, differing);
        })
        .await;
    }
}

async fn compare_with(me: &Me, due: &Due) -> Result<u64, Unanswered> {
    let size = me.until(|world| Some(buckets(world))).await;
    let buckets = match &due.scope {
        Scope::Everything => Buckets::Range(0..size),
        Scope::Marked(marked) => match marked.get(&ID) {
            Some(marks) => Buckets::Marked(marks.clone()),
            None => return Ok(0),
        },
    };
    let look = pull_from(me, due.with, &buckets, due.is_mutual).await?;
    if look.is_empty() {
        return Ok(0);
    }
    let again = Buckets::Marked(look.buckets());
    let comparison = me
        .act(|world| again.compare(world, me.process, 0, false))
        .await;
    let summaries = compare_at(me, due.with, comparison).await?;
    let now = me
        .until(|world| Some(Look::at(&summaries, &world.node(me.process).table)))
        .await;
    Ok(now.still_differing(&look))
}

/// Compares buckets with a member, and fetches and merges what differs. Gives what differed.
async fn pull_from(
    me: &Me,
    from: Incarnation,
    buckets: &Buckets,
    is_mutual: bool,
) -> Result<Look, Unanswered> {
    let process = me.process;
    let mut look = Look::default();
    let mut first = match buckets {
        Buckets::Range(range) => range.start,
        Buckets::Marked(_) => 0,
    };
    loop {
        let comparison = me
            .act(|world| buckets.compare(world, process, first, is_mutual))
            .await;
        let end = comparison.buckets().end;
        let summaries = compare_at(me, from, comparison).await?;
        let (at, wanted) = me
            .until(|world| {
                let table = &world.node(process).table;
                Some((Look::at(&summaries, table), summaries.wanted(table)))
            })
            .await;
        look.add(at);
        fetch_all(me, from, wanted).await?;
        match summaries.next {
            Some(next) if next > first && next < end => first = next,
            Some(_) => return Err(Unanswered),
            None => return Ok(look),
        }
    }
}

async fn compare_at(
    me: &Me,
    at: Incarnation,
    comparison: Comparison,
) -> Result<Summaries, Unanswered> {
    let deadline = me
        .until(|world| Some(world.time(me.process) + ANSWER_TIME))
        .await;
    let message = |question| Message::Buckets {
        question,
        context: CONTEXT.to_owned(),
        comparison,
    };
    let asked = questions::ask(me, at, deadline, message).await;
    match asked.answer(me).await {
        Some(Message::Summaries { summaries, .. }) => Ok(summaries),
        _ => Err(Unanswered),
    }
}

async fn fetch_all(me: &Me, from: Incarnation, mut keys: Vec<Key>) -> Result<(), Unanswered> {
    let process = me.process;
    while !keys.is_empty() {
        let batch = keys[..keys.len().min(FETCH_MAX)].to_vec();
        let count = batch.len();
        let (wanted, deadline) = me
            .act(move |world| {
                let wanted = batch.iter().map(|&key| (key, world.seen(process, key)));
                let wanted: Vec<_> = wanted.collect();
                (wanted, world.time(process) + ANSWER_TIME)
            })
            .await;
        let message = |question| Message::Fetch {
            question,
            context: CONTEXT.to_owned(),
            wanted,
            route: String::new(),
        };
        let asked = questions::ask(me, from, deadline, message).await;
        let Some(Message::Whole { answers, .. }) = asked.answer(me).await else {
            return Err(Unanswered);
        };
        if answers.is_empty() {
            return Err(Unanswered);
        }
        let answered = answers.len().min(count);
        me.act(|world| {
            for fragment in answers.into_iter().filter_map(|answer| answer.fragment) {
                world.apply(process, &[fragment]);
            }
        })
        .await;
        keys.drain(..answered);
    }
    Ok(())
}

/// Fetches sessions that a member has named in a touch and this node lacks.
pub(super) async fn fill(me: Me, from: Incarnation, keys: Vec<Key>) {
    // Without an answer the next touch, or the repair, finds the same gap.
    let _ = fetch_all(&me, from, keys).await;
    me.act(|world| world.node(me.process).filling.remove(&from))
        .await;
}

/// Fetches a session that is known to have ended at a member.
pub(super) async fn ask_for_end(me: Me, from: Incarnation, key: Key) {
    // Without an answer the repair finds it.
    let _ = fetch_all(&me, from, vec![key]).await;
}
