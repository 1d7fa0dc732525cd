//! What happens before the application sees a session: is the copy here new enough?
//!
//! The route in the cookie names the node that showed this client the session last. A request that
//! arrives elsewhere asks that node first, so that a client never sees an older session than the
//! one it saw. Sticky traffic asks nobody.

use std::sync::Arc;

use catherd_core::key::Key;
use catherd_core::message::Answer;
use catherd_core::session::{Entry, Fetched, State};
use catherd_core::version::{Incarnation, Vector};
use futures_util::future::join_all;

use super::{ContextInner, Current, Stale};
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
    /// The member that the route names.
    RouteOf(Incarnation),
    Everyone,
}

impl ContextInner {
    /// The session under `key` if nobody has to be asked; `None` if somebody has.
    pub(crate) fn serve_at_once(&self, key: Key, route: Option<&str>) -> Option<Served> {
        match self.whom_to_ask(key, route) {
            Ask::Nobody => Some(Served {
                current: self.enter(key),
                degraded: Degraded::default(),
            }),
            Ask::RouteOf(_) | Ask::Everyone => None,
        }
    }

    /// The same, after asking whoever may know better.
    pub(crate) async fn serve(
        self: Arc<Self>,
        key: Key,
        route: Option<String>,
    ) -> Result<Served, Unserved> {
        let mut missed = false;
        match self.whom_to_ask(key, route.as_deref()) {
            Ask::Nobody => {}
            Ask::RouteOf(member) => {
                let knows = self.ask(&[member], key).await;
                missed = knows.missed > 0;
                if knows.missed > 0 || !knows.served || self.is_behind(key) {
                    // The route's node cannot say, or has not shown it: then anybody may know.
                    let others = self.everyone_but(Some(member));
                    missed |= self.ask(&others, key).await.missed > 0;
                }
            }
            Ask::Everyone => missed = self.ask(&self.everyone_but(None), key).await.missed > 0,
        }
        let current = self.enter(key);
        let stale = current.is_some() && (missed || self.is_behind(key));
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
            let (fetched, served, size) = looked.unwrap_or((Fetched::Unknown, false, 0));
            bytes += size;
            if bytes > ANSWER_BYTES && !answers.is_empty() {
                break;
            }
            let same = fetched == Fetched::Same;
            let fragment = match fetched {
                Fetched::Fragment(fragment) => Some(fragment),
                Fetched::Same | Fetched::Unknown => None,
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
        if view.members.is_empty() {
            return Ask::Nobody;
        }
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
            // A route with this node's name that it has not served is that of a node that is gone.
            (_, Some(route)) => view
                .named(route)
                .filter(|member| member.incarnation != self.node.incarnation)
                .map_or(Ask::Everyone, |member| Ask::RouteOf(member.incarnation)),
            (_, None) => Ask::Everyone,
        }
    }

    fn everyone_but(&self, asked: Option<Incarnation>) -> Vec<Incarnation> {
        let view = self.node.channel().view();
        let members = view.members.iter().map(|member| member.incarnation);
        members.filter(|&member| Some(member) != asked).collect()
    }

    /// Asks `members` side by side and merges what they have.
    pub(crate) async fn ask(&self, members: &[Incarnation], key: Key) -> Asked {
        let held = self.seen(key);
        let channel = self.node.channel();
        let deadline = self.node.surroundings.now() + self.manager.access_timeout;
        let asked = members.iter().map(|&member| {
            channel.fetch(
                member,
                self.name.clone(),
                vec![(key, held.clone())],
                deadline,
            )
        });
        let mut result = Asked::default();
        for answers in join_all(asked).await {
            let Ok(answers) = answers else {
                result.missed += 1;
                continue;
            };
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

#[derive(Clone, Copy)]
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
}
