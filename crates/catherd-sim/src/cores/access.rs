//! Before a session is served: whom a request asks, and what comes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use catherd::core::access::{
    Access, Acquaintances, Here, Moment, Policy, Step as AccessStep, Verdict,
};
use catherd::core::key::Key;
use catherd::core::membership::MissingMember;
use catherd::core::message::Message;
use catherd::core::session::Entry;
use catherd::core::time::Time;
use catherd::core::version::Incarnation;

use super::node::CONTEXT;
use super::questions;
use super::world::{Me, World};
use crate::history::{Flags, Process};

/// Asks whoever may know better; `None` if the request is refused.
pub(super) async fn access(me: &Me, key: Key, route: Option<&str>) -> Option<Flags> {
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
}
