//! What happens before the application sees a session: is the copy here new enough?
//!
//! The route in the cookie names the node that showed this client the session last. A request that
//! arrives elsewhere asks that node first, so that a client never sees an older session than the
//! one it saw. Sticky traffic asks nobody.

use std::sync::Arc;

use catherd_core::key::Key;
use catherd_core::message::Answer;
use catherd_core::session::{self, Entry, State};
use catherd_core::version::{Incarnation, Vector};
use futures_util::future::join_all;

use super::{ContextInner, Current, Stale};
use crate::channel::{Fetch, Fetched};
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

/// Whom to ask before the application runs.
#[derive(Debug, Eq, PartialEq)]
enum Ask {
    Nobody,
    /// The member that showed this client the session last, or that owns it.
    Member(Incarnation),
    /// Everyone: the copy here lacks something, or there is no route.
    Everyone,
    /// Everyone, and nobody can tell for the node that showed the session last: it is gone.
    Survivors,
}

impl ContextInner {
    /// The session under `key` if nobody has to be asked; `None` if somebody has.
    pub(crate) fn serve_at_once(&self, key: Key, route: Option<&str>) -> Option<Served> {
        match self.whom_to_ask(key, route) {
            Ask::Nobody => Some(Served {
                current: self.enter(key),
                degraded: Degraded::default(),
            }),
            Ask::Member(_) | Ask::Everyone | Ask::Survivors => None,
        }
    }

    /// The same, after asking whoever may know better.
    pub(crate) async fn serve(
        self: Arc<Self>,
        key: Key,
        route: Option<String>,
    ) -> Result<Served, Unserved> {
        let ask = self.whom_to_ask(key, route.as_deref());
        let mut is_gone = ask == Ask::Survivors;
        let mut asked = Asked::default();
        match ask {
            Ask::Nobody => {}
            Ask::Member(member) => {
                asked = self.ask(&[member], key, "").await;
                // A process that has not shown the session is not the one that the route means.
                is_gone = asked.missed == 0 && !asked.served && route.is_some();
                if asked.missed > 0 || is_gone || self.is_behind(key) {
                    let others = self.everyone_but(Some(member));
                    let route = if is_gone { route.as_deref() } else { None };
                    asked.add(&self.ask(&others, key, route.unwrap_or_default()).await);
                }
            }
            Ask::Everyone | Ask::Survivors => {
                let route = if is_gone { route.as_deref() } else { None };
                let everyone = self.everyone_but(None);
                asked = self.ask(&everyone, key, route.unwrap_or_default()).await;
            }
        }
        let current = self.enter(key);
        // That there is no session is an old answer as well, unless it is known to have ended.
        let may_be_old = current.is_some() || !self.has_ended(key);
        let is_behind = self.is_behind(key);
        let stale = may_be_old && (asked.missed > 0 || is_behind);
        let is_all_known = self.is_all_known(&asked, route.as_deref());
        let takeover = may_be_old && is_gone && !is_all_known;
        if current.is_some() && is_gone {
            self.node.counters.takeovers.add(1);
            self.node.emit(Event::Takeover {
                context: self.name.clone(),
                session: self.node.digest_key.pseudonym(key),
                from: route.clone().unwrap_or_default(),
                is_complete: is_all_known,
            });
        }
        if stale {
            self.node.counters.stale_answers.add(1);
            if self.manager.stale == Stale::Refuse {
                if let Some(current) = current {
                    self.leave(&current);
                }
                return Err(Unserved);
            }
        }
        Ok(Served {
            current,
            degraded: Degraded {
                stale,
                takeover,
                ..Degraded::default()
            },
        })
    }

    /// A request is over.
    pub(crate) fn leave(&self, current: &Current) {
        let now = self.node.surroundings.now();
        current.cell.slot(|slot| {
            slot.requests = slot.requests.saturating_sub(1);
            if let Some(state) = slot.entry.as_mut().and_then(Entry::live_mut) {
                state.touch(now);
            }
        });
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
    pub(crate) fn answer(&self, wanted: &[(Key, Vector)]) -> Vec<Answer> {
        let now = self.node.surroundings.now();
        let (mut answers, mut bytes) = (Vec::with_capacity(wanted.len()), 0);
        for (key, held) in wanted {
            let looked = self.table.look(*key, |slot| {
                let size = slot
                    .entry
                    .as_ref()
                    .and_then(Entry::live)
                    .map_or(0, State::bytes);
                (
                    Entry::fetch(slot.entry.as_ref(), *key, now, held),
                    slot.served,
                    size,
                )
            });
            let (fetched, served, size) = looked.unwrap_or((session::Fetched::Unknown, false, 0));
            bytes += size;
            if bytes > ANSWER_BYTES && !answers.is_empty() {
                break;
            }
            let same = fetched == session::Fetched::Same;
            let fragment = match fetched {
                session::Fetched::Fragment(fragment) => Some(fragment),
                session::Fetched::Same | session::Fetched::Unknown => None,
            };
            answers.push(Answer {
                key: *key,
                same,
                fragment,
                served,
            });
        }
        answers
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

    /// Bytes of names and values of a live session; 0 without one.
    pub(crate) fn bytes(&self, key: Key) -> usize {
        let bytes = |entry: &Entry| entry.live().map_or(0, State::bytes);
        self.table
            .look(key, |slot| slot.entry.as_ref().map_or(0, bytes))
            .unwrap_or(0)
    }

    /// The writes of the session that are here, for whoever fetches the others. None for a copy
    /// that is idle: then the answer tells the age as well.
    pub(crate) fn seen(&self, key: Key) -> Vector {
        let now = self.node.surroundings.now();
        let seen = |entry: &Entry| {
            let state = entry.live().filter(|state| !state.is_idle(now))?;
            Some(state.seen().clone())
        };
        self.table
            .look(key, |slot| slot.entry.as_ref().and_then(seen))
            .flatten()
            .unwrap_or_default()
    }

    fn whom_to_ask(&self, key: Key, route: Option<&str>) -> Ask {
        if !self.manager.is_replicated() {
            return Ask::Nobody;
        }
        let view = self.node.channel().view();
        let now = self.node.surroundings.now();
        let here = self.table.look(key, |slot| match &slot.entry {
            Some(Entry::Ended { .. }) => Here::Ended,
            Some(Entry::Live(state)) if !state.is_behind() && !state.is_idle(now) => {
                Here::Complete {
                    served: slot.served,
                }
            }
            Some(Entry::Live(_)) | None => Here::Lacking,
        });
        let here = here.unwrap_or(Here::Lacking);
        match (here, route) {
            (Here::Ended, _) => Ask::Nobody,
            (Here::Complete { served: true }, Some(route)) if route == self.node.name => {
                Ask::Nobody
            }
            // Without routes that follow the client, the owner is the next best to ask.
            (here, Some(_)) if !self.rewrites_route => self.owner_to_ask(key, here),
            // A route with this node's name that it has not served is that of a node that is gone.
            (_, Some(route)) => view
                .named(route)
                .filter(|member| member.incarnation != self.node.incarnation())
                .map_or(Ask::Survivors, |member| Ask::Member(member.incarnation)),
            (_, None) => Ask::Everyone,
        }
    }

    fn owner_to_ask(&self, key: Key, here: Here) -> Ask {
        let owner = self.table.look(key, |slot| {
            let state = slot.entry.as_ref()?.live()?;
            state.highest().map(|version| version.writer)
        });
        let view = self.node.channel().view();
        match owner.flatten() {
            Some(owner) if owner == self.node.incarnation() => match here {
                Here::Complete { .. } => Ask::Nobody,
                Here::Ended | Here::Lacking => Ask::Everyone,
            },
            Some(owner) if view.member(owner).is_some() => Ask::Member(owner),
            Some(_) => Ask::Survivors,
            None => Ask::Everyone,
        }
    }

    /// Whether what a node that is gone had confirmed is certainly here now: in a synchronous mode
    /// it is on one of the others, if all of them are in view, have answered, and had known it. Of
    /// the process that had this node's own name before only the others can tell.
    fn is_all_known(&self, asked: &Asked, route: Option<&str>) -> bool {
        let view = self.node.channel().view();
        let is_known = |route: &str| {
            let is_mine = route == self.node.name && !view.members.is_empty();
            is_mine || self.node.has_known(route)
        };
        self.node.mode.is_synchronous()
            && asked.missed == 0
            && asked.strangers == 0
            && route.is_some_and(is_known)
            && !view.missing.iter().any(|name| Some(name.as_str()) != route)
    }

    fn everyone_but(&self, asked: Option<Incarnation>) -> Vec<Incarnation> {
        let view = self.node.channel().view();
        let members = view.members.iter().map(|member| member.incarnation);
        members.filter(|&member| Some(member) != asked).collect()
    }

    /// Asks `members` side by side and merges what they have; with the route of a node that is
    /// gone, also whether they knew it.
    pub(crate) async fn ask(&self, members: &[Incarnation], key: Key, route: &str) -> Asked {
        let held = self.seen(key);
        let channel = self.node.channel();
        let deadline = self.node.surroundings.now() + self.manager.access_timeout;
        let asked = members.iter().map(|&member| {
            let fetch = Fetch {
                context: self.name.clone(),
                wanted: vec![(key, held.clone())],
                route: route.to_owned(),
            };
            channel.fetch(member, fetch, deadline)
        });
        let mut result = Asked::default();
        for fetched in join_all(asked).await {
            let Ok(Fetched {
                answers,
                knew_route,
            }) = fetched
            else {
                result.missed += 1;
                continue;
            };
            result.strangers += usize::from(!route.is_empty() && !knew_route);
            for answer in answers.into_iter().filter(|answer| answer.key == key) {
                result.served |= answer.served;
                if let Some(fragment) = answer.fragment {
                    self.apply(&[fragment]);
                }
            }
        }
        result
    }

    /// The live session under `key`, with a request in it; none that is idle beyond its limit.
    fn enter(&self, key: Key) -> Option<Current> {
        let cell = self.table.find(key)?;
        let now = self.node.surroundings.now();
        let birth = cell.slot(|slot| {
            let state = slot.entry.as_mut()?.live_mut()?;
            if state.is_idle(now) && slot.requests == 0 {
                return None;
            }
            state.touch(now);
            let birth = state.birth();
            slot.requests += 1;
            slot.served = true;
            Some(birth)
        })?;
        Some(Current { cell, birth })
    }
}

#[derive(Clone, Copy, Debug)]
enum Here {
    Ended,
    Complete { served: bool },
    Lacking,
}

/// What members said of a session.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// How many did not answer.
    missed: usize,
    /// Whether one of them has shown the session to a client.
    served: bool,
    /// How many of them never knew the node of the route.
    strangers: usize,
}

impl Asked {
    fn add(&mut self, other: &Self) {
        self.missed += other.missed;
        self.served |= other.served;
        self.strangers += other.strangers;
    }
}
