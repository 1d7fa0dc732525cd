//! The end of sessions that nobody uses: whom this node asks, what it answers, what comes of it.
//!
//! Whoever is to decide (see [`Patience`](catherd_core::expiry::Patience)) asks every member in
//! batches, a batch after the other, and all members of a batch side by side. While a member is
//! missing the session ends for the application, and the copy stays, unserved: the member may come
//! back with a use of it.

use std::sync::Arc;
use std::time::Duration;

use catherd_core::expiry::{Beside, Held, Inquiry, Turn, Use, Verdict};
use catherd_core::key::Key;
use catherd_core::link::FrameClass;
use catherd_core::message::Message;
use catherd_core::placement::Placement;
use catherd_core::session::{Entry, State};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::future::join_all;

use super::table::{Look, Slot};
use super::{ContextInner, TOUCH_INTERVAL};
use crate::cluster::{Event, SessionEnd};

/// What the copies that a context keeps for missing members may have together, in bytes of names
/// and values; what comes on top is dropped and counted.
const KEPT_BYTES_MAX: usize = 64 << 20;

impl ContextInner {
    /// Looks at what is due: forgets tombstones past their life, and asks about sessions that
    /// nobody uses here.
    pub(crate) fn sweep(self: &Arc<Self>) {
        let now = self.node.surroundings.now();
        let (mut due, mut is_any_over) = (Vec::new(), false);
        self.table.sweep(now, |key, slot| {
            let turn = self.turn(key, slot, now);
            match turn {
                Turn::Again(at) => Look::Again(at),
                Turn::Never => Look::Never,
                Turn::Forget | Turn::Expire => {
                    let is_live = live(slot).is_some();
                    self.node.counters.sessions_expired.add(is_live.into());
                    if turn == Turn::Expire {
                        self.destroyed(key, SessionEnd::Idle);
                    }
                    Look::Drop
                }
                Turn::Ask => {
                    slot.is_asked_about = true;
                    due.push(key);
                    Look::Again(now + self.manager.access_timeout + 2 * TOUCH_INTERVAL)
                }
                Turn::End => {
                    self.end_past_lifetime(key, slot, now);
                    is_any_over = true;
                    // The table files what has ended.
                    Look::Never
                }
            }
        });
        if is_any_over {
            self.node.flush_links();
        }
        self.forget_tombstones_beyond_the_cap();
        self.tell_of_full_table();
        if !due.is_empty() {
            let context = Arc::clone(self);
            self.node.surroundings.spawn(Box::pin(async move {
                for batch in due.chunks(Inquiry::SESSIONS_MAX) {
                    context.ask_about(batch).await;
                }
            }));
        }
    }

    /// What becomes of an entry that was due.
    fn turn(&self, key: Key, slot: &mut Slot, now: Time) -> Turn {
        let (has_request, is_kept) = (slot.requests > 0, slot.is_kept());
        let Some(entry) = &mut slot.entry else {
            return Turn::Forget;
        };
        let is_replicated = self.manager.is_replicated();
        let mut beside = Beside {
            has_request,
            is_kept,
            is_asked_about: slot.is_asked_about,
            is_shared: false,
            lifetime_end: None,
            tombstone_life: Duration::ZERO,
        };
        if let Some(state) = entry.live_mut() {
            beside.is_shared = is_replicated && state.is_committed();
            beside.lifetime_end = self.lifetime_end(state);
            beside.tombstone_life = self.tombstone_life(state.idle_limit());
            if has_request {
                // A session with a request in it is not idle, here and at the other holders.
                state.touch(now);
                if beside.is_shared {
                    self.node.touch(self.id, key);
                }
            }
        }
        let view = self.node.channel().view();
        let sight = (&*view.who, view.is_any_missing());
        self.patience().turn((&key, entry), now, &beside, sight)
    }

    /// A session that is as old as one may become ends for good, by the one whose turn it is, so
    /// that the application hears of it once.
    fn end_past_lifetime(&self, key: Key, slot: &mut Slot, now: Time) {
        let Some(limit) = live(slot).map(State::idle_limit) else {
            return;
        };
        if !slot.is_kept() {
            self.destroyed(key, SessionEnd::Lifetime);
        }
        slot.receipt = None;
        if let Some(tombstone) = Entry::end(&mut slot.entry, key, now, self.tombstone_life(limit)) {
            // Nobody waits for it: whoever has not heard of it serves the session no more either.
            let _ = self.queue(now, &[tombstone], None, FrameClass::Tombstone);
        }
    }

    /// Asks all members about one batch, and does what the answers come to.
    async fn ask_about(self: &Arc<Self>, keys: &[Key]) {
        let now = self.node.surroundings.now();
        self.node.counters.expiry_batches.add(1);
        let age = |&key: &Key| {
            let last_access = self
                .table
                .look(key, |slot| Some(slot.entry.as_ref()?.live()?.last_access()));
            Some((key, now.since(last_access??)))
        };
        let ages: Vec<_> = keys.iter().filter_map(age).collect();
        let channel = self.node.channel();
        let members: Vec<Incarnation> = {
            let view = channel.view();
            view.members
                .iter()
                .map(|member| member.incarnation)
                .collect()
        };
        let deadline = now + self.manager.access_timeout;
        let asked = members
            .iter()
            .map(|&member| channel.expire(member, self.name.clone(), ages.clone(), deadline));
        let mut inquiry = Inquiry::new(keys.iter().copied());
        for (&member, answer) in members.iter().zip(join_all(asked).await) {
            match answer {
                Ok(used) => inquiry.handle_used(member, &used),
                Err(_) => inquiry.handle_unanswered(),
            }
        }
        // Who came meanwhile may have used any of them.
        let view = channel.view();
        if view
            .members
            .iter()
            .any(|member| !members.contains(&member.incarnation))
        {
            inquiry.handle_unanswered();
        }
        let Verdict {
            alive,
            over,
            unknown,
        } = inquiry.verdict();
        for key in unknown {
            self.table.look_mut(key, |slot| slot.is_asked_about = false);
        }
        self.keep_alive(&alive);
        self.end_all(&over, view.is_any_missing());
    }

    /// Members use these: they are alive here, and the other holders hear of it.
    fn keep_alive(self: &Arc<Self>, alive: &[(Key, Use)]) {
        for (key, Use { age, by }) in alive {
            self.table
                .look_mut(*key, |slot| slot.is_asked_about = false);
            self.touched(*by, &[(*key, *age)]);
            self.node.touch(self.id, *key);
        }
    }

    /// Nobody uses these: they end here, once, and at the members.
    fn end_all(&self, over: &[Key], is_any_missing: bool) {
        let now = self.node.surroundings.now();
        let (mut ended, mut dropped) = (0, Vec::with_capacity(over.len()));
        for &key in over {
            let Some(cell) = self.table.find(key) else {
                continue;
            };
            self.table.within(&cell, now, |slot| {
                slot.is_asked_about = false;
                if !is_unused(slot, now) {
                    return;
                }
                if !slot.is_kept() {
                    self.destroyed(key, SessionEnd::Idle);
                    ended += 1;
                }
                dropped.push(key);
                self.drop_or_keep(slot, is_any_missing);
            });
        }
        if !dropped.is_empty() {
            self.node.channel().tell_all(&Message::Expired {
                context: self.name.clone(),
                keys: dropped,
                is_early: false,
            });
        }
        if ended > 0 {
            self.node.emit(Event::SessionsExpired {
                context: self.name.clone(),
                count: ended,
            });
        }
    }

    /// Says which of these sessions are used here, and how long ago, to a member that asks whether
    /// they are over.
    ///
    /// One that has ended here is not the asker's to end: its tombstone is on its way there. It is
    /// said to be used at the very age that was asked with, which leaves the asker's copy as idle
    /// as it is. A copy that is idle although it is used is a gap: the asker fetches, and gets the
    /// tombstone.
    pub(crate) fn used(&self, from: Incarnation, ages: &[(Key, Duration)]) -> Vec<(Key, Duration)> {
        let now = self.node.surroundings.now();
        let goes_first = self.node.incarnation() < from;
        let used = |&(key, asked): &(Key, Duration)| {
            let answer = self.table.look(key, |slot| {
                let state = match slot.entry.as_ref()? {
                    Entry::Live(state) => state,
                    Entry::Ended { .. } => return Some(asked),
                };
                let asks_first = slot.is_asked_about && goes_first;
                Held::of(state, now, slot.requests > 0, asks_first).answer(asked)
            });
            Some((key, answer??))
        };
        ages.iter().filter_map(used).collect()
    }

    /// A member has asked everybody, and nobody uses these: they have ended there.
    pub(crate) fn expired(&self, keys: &[Key]) {
        let now = self.node.surroundings.now();
        let is_any_missing = self.node.channel().view().is_any_missing();
        for &key in keys {
            let Some(cell) = self.table.find(key) else {
                continue;
            };
            self.table.within(&cell, now, |slot| {
                if is_unused(slot, now) {
                    self.drop_or_keep(slot, is_any_missing);
                } else if slot
                    .entry
                    .as_ref()
                    .is_some_and(|entry| entry.live().is_some())
                {
                    // It was used after the answer: whoever dropped it gets it back.
                    self.node.touch(self.id, key);
                }
            });
        }
    }

    /// Moves the last access of sessions to where a member says it was. A session that is not
    /// here, or idle all the same, is a gap: it is fetched from there.
    pub(crate) fn touched(self: &Arc<Self>, at: Incarnation, ages: &[(Key, Duration)]) {
        let now = self.node.surroundings.now();
        let gaps: Vec<Key> = ages
            .iter()
            .filter(|(key, age)| self.touch(*key, now, *age) == Touched::Gap)
            .map(|(key, _)| *key)
            .collect();
        let view = self.node.channel().view();
        let is_near = view
            .member(at)
            .is_some_and(|member| member.domain == view.myself.domain);
        // A node without its state gets it from the transfer.
        if !gaps.is_empty()
            && is_near
            && view.am_ready()
            && self.manager.placement() == Placement::Everyone
        {
            self.node.fill_gaps(Arc::clone(self), at, gaps);
        }
    }

    fn touch(&self, key: Key, now: Time, age: Duration) -> Touched {
        let Some(cell) = self.table.find(key) else {
            return Touched::Gap;
        };
        // Most copies are not idle: then neither the digest changes nor anything else.
        let is_done = cell.slot(|slot| {
            slot.used_once = false;
            match slot.entry.as_mut().map(Entry::live_mut) {
                Some(Some(state)) if state.is_idle(now) => false,
                Some(Some(state)) => {
                    state.touch(now.ago(age));
                    true
                }
                Some(None) | None => true,
            }
        });
        if is_done {
            return Touched::Done;
        }
        let touched = self.table.within(&cell, now, |slot| {
            let Some(state) = slot.entry.as_mut().and_then(Entry::live_mut) else {
                return Touched::Done;
            };
            state.touch(now.ago(age));
            let is_idle = state.is_idle(now);
            self.note_revival(slot, now);
            if is_idle { Touched::Gap } else { Touched::Done }
        });
        touched.unwrap_or(Touched::Gap)
    }

    /// Counts a copy that was kept unserved and is in use again; called before its lock is left.
    pub(super) fn note_revival(&self, slot: &Slot, now: Time) {
        if slot.is_kept() && live(slot).is_some_and(|state| !state.is_idle(now)) {
            self.node.counters.sessions_revived.add(1);
            // Both sides may have written to it.
            self.node.compare_soon();
        }
    }

    /// The session has ended: nothing is left of it here, unless a member is missing that may have
    /// used it.
    fn drop_or_keep(&self, slot: &mut Slot, is_any_missing: bool) {
        let bytes = live(slot).map_or(0, State::bytes);
        if is_any_missing && self.table.keep(slot, bytes, KEPT_BYTES_MAX) {
            return;
        }
        if is_any_missing {
            self.node.counters.kept_copies_dropped.add(1);
        }
        self.node.counters.sessions_expired.add(1);
        slot.receipt = None;
        slot.entry = None;
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Touched {
    Done,
    Gap,
}

pub(super) fn live(slot: &Slot) -> Option<&State> {
    slot.entry.as_ref()?.live()
}

/// Whether there is a live session that is idle beyond its limit.
fn is_unused(slot: &Slot, now: Time) -> bool {
    slot.requests == 0 && live(slot).is_some_and(|state| state.is_idle(now))
}
