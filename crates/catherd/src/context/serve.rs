//! What happens before the application sees a session. The decisions are those of
//! [`Access`]; here members are asked, and what they have is merged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use catherd_core::access::{Access, Acquaintances, Here, Moment, Policy, Step, Verdict};
use catherd_core::key::Key;
use catherd_core::message::Answers;
use catherd_core::session::{Entry, State};
use catherd_core::sync::Stretch;
use catherd_core::time::Time;
use catherd_core::version::{Incarnation, Vector};
use futures_util::future::join_all;

use super::table::Slot;
use super::{ContextInner, Current, Stale};
use crate::channel::{Fetch, Fetched, Unanswered, Wanted};
use crate::cluster::Event;
use crate::layer::Degraded;

/// A session that may be shown, or none, and what is weaker about it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) current: Option<Current>,
    pub(crate) degraded: Degraded,
}

/// A member did not answer in time, and the context refuses to show what may be old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unserved;

/// An answer to a fetch is about this long at most, unless its first session is longer.
const ANSWER_BYTES: usize = 1 << 20;

impl ContextInner {
    /// The session under `key` if nobody has to be asked; `None` if somebody has.
    pub(crate) fn serve_at_once(&self, key: Key, route: Option<&str>) -> Option<Served> {
        if !self.manager.is_replicated() {
            return Some(self.serve_what_is_here(key));
        }
        match self.step(&mut Access::new(self.access_policy(), route), key, route) {
            Step::Ask(_) | Step::Done(Verdict::Refuse) => None,
            Step::Done(verdict) => self.finish(key, route, verdict).ok(),
        }
    }

    /// The same, after asking whoever may know better.
    pub(crate) async fn serve(
        self: Arc<Self>,
        key: Key,
        route: Option<String>,
    ) -> Result<Served, Unserved> {
        if !self.manager.is_replicated() {
            return Ok(self.serve_what_is_here(key));
        }
        let route = route.as_deref();
        let mut access = Access::new(self.access_policy(), route);
        loop {
            let ask = match self.step(&mut access, key, route) {
                Step::Ask(ask) => ask,
                Step::Done(verdict) => return self.finish(key, route, verdict),
            };
            let about = ask.about.unwrap_or_default();
            for (member, asked) in self.ask(&ask.members, key, &about).await {
                match asked {
                    Ok(asked) => access.answered(member, asked.has_served, asked.knew_route),
                    Err(Unanswered) => access.unanswered(member),
                }
            }
        }
    }

    fn serve_what_is_here(&self, key: Key) -> Served {
        Served {
            current: self.enter(key),
            degraded: Degraded::default(),
        }
    }

    fn access_policy(&self) -> Policy {
        Policy {
            rewrites_route: self.rewrites_route,
            is_synchronous: self.node.is_confirmed,
            refuses_stale: self.manager.stale == Stale::Refuse,
        }
    }

    fn step(&self, access: &mut Access<'_>, key: Key, route: Option<&str>) -> Step {
        let view = self.node.channel().view();
        let here = self.here(key, view.arrivals);
        let owner_name = match here {
            Here::Live {
                owner: Some(owner), ..
            } if view.member(owner).is_none() => self.node.name_of(owner),
            Here::Live { .. } | Here::Absent | Here::Ended => None,
        };
        access.step(&Moment {
            here,
            view: &view.who,
            missing: &view.missing,
            silent: &view.silent,
            knew_route: route.is_some_and(|route| {
                Acquaintances::is_left_to_others(route, &view) || self.node.has_known(route)
            }),
            owner_name: owner_name.as_deref(),
        })
    }

    /// Enters the session, if there is one, and says what is weaker about it.
    fn finish(&self, key: Key, route: Option<&str>, verdict: Verdict) -> Result<Served, Unserved> {
        let Verdict::Serve(flags) = verdict else {
            self.node.counters.stale_answers.add(1);
            return Err(Unserved);
        };
        let current = self.enter(key);
        if let (Some(current), Some(gap)) = (&current, flags.given_up) {
            current.cell.slot(|slot| {
                if let Some(state) = slot.entry.as_mut().and_then(Entry::live_mut) {
                    state.give_up(gap);
                }
            });
        }
        if flags.is_stale {
            self.node.counters.stale_answers.add(1);
        }
        // That there is no session is an old answer as well, unless it is known to have ended.
        let may_be_old = current.is_some() || !self.has_ended(key);
        let takeover = flags.takeover.filter(|_| may_be_old);
        if current.is_some()
            && let Some(takeover) = takeover
        {
            self.node.counters.takeovers.add(1);
            self.node.emit(Event::Takeover {
                context: self.name.clone(),
                session: self.node.digest_key.pseudonym(key),
                from: route.unwrap_or_default().to_owned(),
                is_complete: takeover.is_complete,
            });
        }
        Ok(Served {
            current,
            degraded: Degraded {
                stale: flags.is_stale,
                takeover: takeover.is_some() && flags.is_takeover_flagged(),
                ..Degraded::default()
            },
        })
    }

    /// What is under `key`.
    fn here(&self, key: Key, arrivals: u32) -> Here {
        let now = self.node.surroundings.now();
        let here = self.table.look(key, |slot| {
            let live = slot.entry.as_ref().and_then(Entry::live);
            if live.is_some_and(|state| self.is_past_lifetime(state, now)) {
                return Here::Ended;
            }
            let has_request = slot.requests > 0;
            Here::of(slot.entry.as_ref(), now, arrivals, has_request, slot.served)
        });
        here.unwrap_or(Here::Absent)
    }

    /// A request is over.
    pub(crate) fn leave(&self, current: &Current) {
        self.node.requests.fetch_add(1, Ordering::Relaxed);
        let now = self.node.surroundings.now();
        let was_used_once = current.cell.slot(|slot| {
            slot.requests = slot.requests.saturating_sub(1);
            if let Some(state) = slot.entry.as_mut().and_then(Entry::live_mut) {
                state.touch(now);
            }
            slot.used_once && slot.requests == 0
        });
        if was_used_once {
            self.note_used_once(current.cell.key);
        }
    }

    /// The session was accessed, and no fragment of this request said so: the holders hear of it
    /// with the next batch.
    pub(crate) fn tell_of_access(&self, current: &Current) {
        if self.manager.is_replicated() && self.is_shared(current.cell.key) {
            self.node.touch(self.id, current.cell.key);
        }
    }

    /// Whether anybody else can know of the session.
    fn is_shared(&self, key: Key) -> bool {
        let shared = |entry: &Entry| entry.live().is_some_and(|state| state.is_committed());
        self.table
            .look(key, |slot| slot.entry.as_ref().is_some_and(shared))
            .unwrap_or(false)
    }

    /// Answers a member that asks for sessions: the first, and as many more as make a message of
    /// sensible size. It asks again for the others.
    pub(crate) fn answer(&self, wanted: &[(Key, Vector)], answers: &mut Answers) {
        let now = self.node.surroundings.now();
        let mut bytes = 0;
        // All are looked up first: so the memory fetches several of them side by side.
        let cells: Vec<_> = wanted
            .iter()
            .map(|(key, _)| self.table.find(*key))
            .collect();
        for ((key, held), cell) in wanted.iter().zip(cells) {
            let looked = cell.and_then(|cell| {
                self.send_if_held_back(&cell);
                cell.look(|slot| {
                    let entry = slot.entry.as_ref();
                    let size = entry.and_then(Entry::live).map_or(0, State::bytes);
                    let is_first = bytes == 0;
                    bytes += size;
                    if bytes > ANSWER_BYTES && !is_first {
                        return false;
                    }
                    answers.add(*key, (entry, slot.served), now, held);
                    true
                })
            });
            match looked {
                Some(true) => {}
                Some(false) => return,
                None => answers.add(*key, (None, false), now, held),
            }
        }
    }

    /// Answers a member that asks for everything of some buckets, as far as it makes a message of
    /// sensible size. Says whether there is more.
    pub(crate) fn answer_all(&self, stretch: &Stretch, answers: &mut Answers) -> bool {
        let (now, nothing) = (self.node.surroundings.now(), Vector::new());
        let mut bytes = 0;
        stretch.answer(&self.table, |key| {
            let taken = self.table.look(key, |slot| {
                let entry = slot.entry.as_ref();
                let size = entry.and_then(Entry::live).map_or(0, State::bytes);
                if bytes > 0 && bytes + size > ANSWER_BYTES {
                    return false;
                }
                bytes += size;
                answers.add(key, (entry, slot.served), now, &nothing);
                true
            });
            // One that is gone meanwhile takes no room.
            taken.unwrap_or(true)
        })
    }

    /// Whether a write is known to be missing under `key`.
    pub(crate) fn is_behind(&self, key: Key) -> bool {
        let behind = |entry: &Entry| entry.live().is_some_and(|state| state.is_behind());
        self.table
            .look(key, |slot| slot.entry.as_ref().is_some_and(behind))
            .unwrap_or(false)
    }

    /// Whether the session is known to have ended.
    pub(crate) fn has_ended(&self, key: Key) -> bool {
        let ended = |entry: &Entry| entry.live().is_none();
        self.table
            .look(key, |slot| slot.entry.as_ref().is_some_and(ended))
            .unwrap_or(false)
    }

    /// The writes of the session that are here, for whoever fetches the others.
    pub(crate) fn seen(&self, key: Key) -> Vector {
        let now = self.node.surroundings.now();
        let held = |slot: &Slot| Entry::held(slot.entry.as_ref(), now);
        self.table.look(key, held).unwrap_or_default()
    }

    /// Asks `members` side by side and merges what they have; with the name of a node that is
    /// gone, also whether they knew it.
    pub(crate) async fn ask(
        &self,
        members: &[Incarnation],
        key: Key,
        about: &str,
    ) -> Vec<(Incarnation, Result<Asked, Unanswered>)> {
        let deadline = self.node.surroundings.now() + self.manager.access_timeout;
        let asked = members.iter().map(|&member| async move {
            let fetched = self.fetch_in_time(member, key, about, deadline).await;
            (member, fetched.map(|fetched| self.take(key, fetched)))
        });
        join_all(asked).await
    }

    /// A connection that broke says nothing yet: the member is back, or out of the view, before
    /// long.
    async fn fetch_in_time(
        &self,
        member: Incarnation,
        key: Key,
        about: &str,
        deadline: Time,
    ) -> Result<Fetched, Unanswered> {
        let (channel, surroundings) = (self.node.channel(), &self.node.surroundings);
        let mut views = channel.watch();
        loop {
            let is_in_view = views.borrow_and_update().member(member).is_some();
            let fetch = Fetch {
                context: self.name.clone(),
                wanted: Wanted::Sessions {
                    held: vec![(key, self.seen(key))],
                    route: about.to_owned(),
                },
            };
            let fetched = channel.fetch(member, fetch, deadline).await;
            if fetched.is_ok() || !is_in_view || surroundings.now() >= deadline {
                return fetched;
            }
            tokio::select! {
                biased;
                // The sender lives as long as the channel.
                _ = views.changed() => {}
                () = surroundings.sleep_until(deadline) => return Err(Unanswered),
            }
        }
    }

    /// Merges what a member has of the session.
    fn take(&self, key: Key, fetched: Fetched) -> Asked {
        let mut has_served = false;
        for answer in fetched
            .answers
            .into_iter()
            .filter(|answer| answer.key == key)
        {
            has_served |= answer.served;
            if let Some(fragment) = answer.fragment {
                self.apply(&[fragment]);
            }
        }
        Asked {
            has_served,
            knew_route: fetched.knew_route,
        }
    }

    /// The live session under `key`, with a request in it; none that is idle beyond its limit, or
    /// as old as one may become.
    fn enter(&self, key: Key) -> Option<Current> {
        let cell = self.table.find(key)?;
        if self.is_over(&cell) {
            return None;
        }
        let now = self.node.surroundings.now();
        let (birth, was_held_back) = cell.slot(|slot| {
            let state = slot.entry.as_mut()?.live_mut()?;
            let is_unused = state.is_idle(now) && slot.requests == 0;
            if is_unused || self.is_past_lifetime(state, now) {
                return None;
            }
            state.touch(now);
            let birth = state.birth();
            slot.requests += 1;
            slot.served = true;
            slot.used_once = false;
            Some((birth, std::mem::take(&mut slot.is_held_back)))
        })?;
        let current = Current { cell, birth };
        if was_held_back {
            self.commit(&current);
        }
        Some(current)
    }
}

/// What a member said of a session, apart from the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether it has shown the session to a client.
    has_served: bool,
    /// Whether it ever had the node of the route in its view.
    knew_route: bool,
}
