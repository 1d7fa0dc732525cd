//! What this node does to a session, and to whom it tells it.

use std::sync::Arc;
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::{Applied, Awaited, Frame, FrameClass};
use catherd_core::message::encode_fragments;
use catherd_core::session::{
    Birth, Content, Entry, Extent, Fragment, Merged, Outcome, Property, State, Writer,
};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;

use super::room::Crowded;
use super::table::{Cell, Slot};
use super::users::Raised;
use super::{ContextInner, Receipt};
use crate::cluster::{Event, SessionEnd};
use crate::env::Place;

/// A live session that a request is in.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) cell: Arc<Cell>,
    pub(crate) birth: Birth,
}

impl ContextInner {
    /// Makes a session under a key that nobody has; nobody else hears of it before its commit.
    /// `None` if the table is full of sessions that make no room.
    pub(crate) fn create(&self) -> Option<Current> {
        let is_crowded = self.make_room()? == Crowded(true);
        let now = self.node.surroundings.now();
        let birth = self.node.next_birth();
        let mut state = State::new(birth, now);
        state.set_property(Property::Created, self.node.wall_clock_millis());
        let millis = self.max_inactive.map_or(-1, to_millis);
        state.set_property(Property::MaxInactive, millis);
        // A key in the table or among the tombstones is never given out.
        loop {
            let key = self.node.surroundings.draw_key();
            let made = self.table.with(key, now, |cell, slot| {
                if slot.entry.is_some() {
                    return None;
                }
                slot.entry = Some(Entry::Live(state.clone()));
                slot.requests = 1;
                slot.served = true;
                slot.used_once = true;
                slot.is_held_back = is_crowded && self.manager.is_replicated();
                Some(Arc::clone(cell))
            });
            if let Some(cell) = made {
                self.node.counters.sessions_created.add(1);
                return Some(Current { cell, birth });
            }
        }
    }

    /// Commits what is dirty in the session, and sends it to every holder; `true` if there was
    /// anything to send.
    pub(crate) fn commit(&self, current: &Current) -> bool {
        let is_queued = self.commit_unwritten(current);
        if is_queued {
            self.node.flush_links();
        }
        is_queued
    }

    /// The same, but what is queued stays in the queues until somebody writes them.
    ///
    /// A session that has ended meanwhile, or whose key has another session, is not written: what
    /// was set is discarded and counted.
    pub(crate) fn commit_unwritten(&self, current: &Current) -> bool {
        let now = self.node.surroundings.now();
        let extent = if self.manager.use_dirty_flag {
            Extent::Changes
        } else {
            Extent::Entire
        };
        let key = current.cell.key;
        let queued = self.table.within(&current.cell, now, |slot| {
            if is_it(slot, current) && self.end_if_login_is_over((key, slot), None, now) {
                self.node.counters.writes_discarded.add(1);
                return true;
            }
            let state = slot.entry.as_mut().and_then(Entry::live_mut);
            let Some(state) = state.filter(|state| state.birth() == current.birth) else {
                self.node.counters.writes_discarded.add(1);
                return false;
            };
            if slot.is_held_back && state.is_blank() {
                return false;
            }
            slot.is_held_back = false;
            state.touch(now);
            let Some(write) = state.commit(now, &self.writer(), extent, &self.rules()) else {
                return false;
            };
            let since = write.since.map(|since| since.revision);
            let fragment = Fragment {
                key: current.cell.key,
                content: Content::Write(write),
            };
            slot.receipt = self.queue(now, &[fragment], since, FrameClass::Fragment);
            true
        });
        queued == Some(true)
    }

    /// Ends the session here and queues its tombstone for every member; the receipt waits for
    /// them in every mode. `None` if it had ended, or nobody else had heard of it.
    pub(crate) fn end(&self, current: &Current, why: SessionEnd) -> Option<Receipt> {
        let now = self.node.surroundings.now();
        let key = current.cell.key;
        let receipt = self
            .table
            .within(&current.cell, now, |slot| {
                let state = slot.entry.as_ref().and_then(Entry::live)?;
                if state.birth() != current.birth {
                    return None;
                }
                let life = self.tombstone_life(state.idle_limit());
                self.destroyed(key, why);
                let tombstone = Entry::end(&mut slot.entry, key, now, life)?;
                self.queue(now, &[tombstone], None, FrameClass::Tombstone)
            })
            .flatten();
        self.node.flush_links();
        receipt
    }

    /// Moves the session to the key and birth that were drawn for it. `None` if it has ended.
    pub(crate) fn change_id(
        &self,
        current: &Current,
        to: (Key, Birth),
    ) -> Option<(Current, Option<Receipt>)> {
        let now = self.node.surroundings.now();
        let old_key = current.cell.key;
        let moved = self
            .table
            .with_two((old_key, to.0), now, |(_, old), (cell, new)| {
                let state = old.entry.as_ref().and_then(Entry::live)?;
                if state.birth() != current.birth {
                    return None;
                }
                let life = self.tombstone_life(state.idle_limit());
                if self.end_if_login_is_over((old_key, old), Some((to.0, new)), now) {
                    return None;
                }
                let changed = Entry::change_id(
                    (old_key, &mut old.entry),
                    (to.0, &mut new.entry),
                    to.1,
                    now,
                    &self.writer(),
                    life,
                    &self.rules(),
                )?;
                new.served = true;
                new.requests = 1;
                let class = if changed.old.is_some() {
                    FrameClass::Tombstone
                } else {
                    FrameClass::Fragment
                };
                let fragments: Vec<_> = [Some(changed.new), changed.old]
                    .into_iter()
                    .flatten()
                    .collect();
                let receipt = self.queue(now, &fragments, None, class);
                let write = Awaited::of(FrameClass::Fragment, self.node.mode.is_synchronous());
                new.receipt = receipt.as_ref().map(|receipt| receipt.of_a_write(write));
                Some((
                    Current {
                        cell: Arc::clone(cell),
                        birth: to.1,
                    },
                    receipt,
                ))
            });
        self.node.flush_links();
        moved
    }

    /// Merges what a member sent: one fragment, or the two of a change of id in one step. How that
    /// went, and at which key.
    pub(crate) fn apply(&self, fragments: &[Fragment]) -> Option<(Key, Applied)> {
        let now = self.node.surroundings.now();
        let applied = match fragments {
            [new, old] if new.key != old.key => {
                let both =
                    self.table
                        .with_two((new.key, old.key), now, |(_, first), (_, second)| {
                            [self.merge(first, now, new), self.merge(second, now, old)]
                        });
                Applied::of_frame(both)
            }
            _ => Applied::of_frame(fragments.iter().map(|fragment| {
                self.table
                    .with(fragment.key, now, |_, slot| self.merge(slot, now, fragment))
            })),
        };
        // Without a lock, and before it is acknowledged.
        for fragment in fragments.iter().filter(|it| it.is_generation()) {
            self.end_all_of(fragment.key, Raised::There);
        }
        applied
    }

    /// Merges what a member answered, at the time `now`. How many bytes of names and values the
    /// session has then; 0 if it is not live.
    pub(crate) fn take_answer(&self, now: Time, fragment: &Fragment) -> usize {
        let bytes = self.table.with(fragment.key, now, |_, slot| {
            self.merge(slot, now, fragment);
            let live = slot.entry.as_ref().and_then(Entry::live);
            live.map_or(0, State::bytes)
        });
        // Without a lock.
        if fragment.is_generation() {
            self.end_all_of(fragment.key, Raised::There);
        }
        bytes
    }

    /// The payload of a frame with all that has come to the session since this node had written
    /// `since`: for an entry of a queue that was joined.
    pub(crate) fn encode_since(&self, key: Key, since: Option<u64>) -> Option<bytes::Bytes> {
        let now = self.node.surroundings.now();
        let by = self.node.incarnation();
        let since = |slot: &Slot| Entry::since(slot.entry.as_ref(), key, now, by, since);
        let fragment = self.table.look(key, since)??;
        Some(encode_fragments(&self.name, &[fragment]))
    }

    pub(super) fn forget_tombstones_beyond_the_cap(&self) {
        let max = self.manager.max_tombstones;
        let excess = self.table.ended().saturating_sub(max);
        if excess > 0 {
            // Some more than necessary: it takes a look at every entry.
            let now = self.node.surroundings.now();
            let forgotten = self.table.forget_oldest_tombstones(excess + max / 64, now);
            self.node
                .counters
                .tombstones_forgotten
                .add(forgotten as u64);
            self.node.emit(Event::TombstonesForgotten {
                context: self.name.clone(),
                count: forgotten as u64,
            });
        }
    }

    fn writer(&self) -> Writer {
        Writer {
            incarnation: self.node.incarnation(),
            gone: self.node.declared_gone(),
            floor: 0,
        }
    }

    fn merge(&self, slot: &mut Slot, now: Time, fragment: &Fragment) -> (Key, Outcome) {
        let was_absent = slot.entry.is_none();
        let was_live = slot
            .entry
            .as_ref()
            .is_some_and(|entry| entry.live().is_some());
        if was_absent && self.comes_too_late(fragment) {
            return (fragment.key, Outcome::Idle);
        }
        let Merged {
            mut outcome,
            concurrent,
            corrupt,
        } = Entry::merge(&mut slot.entry, now, fragment, &self.rules());
        let counters = &self.node.counters;
        counters.fragments_applied.add(1);
        if self.end_if_over(fragment.key, slot, now, Raised::There) {
            outcome = Outcome::Ended;
        }
        if outcome == Outcome::Ended {
            counters.writes_discarded.add(1);
        }
        if outcome == Outcome::Behind {
            counters.gaps.add(1);
        }
        if concurrent > 0 {
            counters.conflicts.add(u64::from(concurrent));
            self.node.emit(Event::Conflict {
                context: self.name.clone(),
                session: self.node.digest_key.pseudonym(fragment.key),
                registers: concurrent,
            });
        }
        if corrupt > 0 || outcome == Outcome::Twin {
            counters.alarms.add(1);
            self.node.emit(Event::Alarm {
                context: self.name.clone(),
                session: self.node.digest_key.pseudonym(fragment.key),
                what: if corrupt > 0 {
                    "one version with two values: a bug, or memory that fails"
                } else {
                    "two sessions under one key: both were ended"
                },
            });
        }
        let is_live = slot
            .entry
            .as_ref()
            .is_some_and(|entry| entry.live().is_some());
        if was_live && !is_live {
            slot.receipt = None;
        }
        if was_absent {
            self.note_return(slot, fragment);
        }
        self.note_revival(slot, now);
        (fragment.key, outcome)
    }

    /// Whether a fragment is of a session that is older than one may become: where there is no
    /// copy, none is made of it.
    fn comes_too_late(&self, fragment: &Fragment) -> bool {
        match (&fragment.content, self.manager.max_lifetime) {
            (Content::Write(write), Some(lifetime)) => write.lived.max(write.age) >= lifetime,
            (Content::Write(_) | Content::Tombstone(_), _) => false,
        }
    }

    /// Encodes once, and gives the same bytes to the link of each who must have them: a fragment
    /// to the holders, a tombstone to every member.
    pub(super) fn queue(
        &self,
        now: Time,
        fragments: &[Fragment],
        since: Option<u64>,
        class: FrameClass,
    ) -> Option<Receipt> {
        if !self.manager.is_replicated() {
            return None;
        }
        let key = fragments.first()?.key;
        let view = self.node.channel().view();
        let awaited = Awaited::of(class, self.node.mode.is_synchronous());
        let mut holders: Vec<Incarnation> = Vec::with_capacity(view.members.len());
        match class {
            FrameClass::Tombstone => holders.extend(view.members.iter().map(|m| m.incarnation)),
            FrameClass::Fragment => view.holders(self.placement(), key, &mut holders),
        }
        if holders.is_empty() {
            return Some(Receipt::new(Vec::new(), awaited, &view));
        }
        // Places without a wait: what they are armed with acts on the whole node.
        let faults = self.node.surroundings.faults();
        let _ = faults.hit(Place::BeforeEncode);
        let payload = encode_fragments(&self.name, fragments);
        let tickets = holders.iter().filter_map(|&holder| {
            let frame = Frame {
                context: self.id,
                key,
                payload: payload.clone(),
                since,
                class,
            };
            let ticket = self.node.channel().send(now, holder, frame);
            let is_awaited = awaited.waits_for(view.is_ready(holder));
            is_awaited.then_some((holder, ticket))
        });
        let tickets: Vec<_> = tickets.collect();
        let _ = faults.hit(Place::Queued);
        Some(Receipt::new(tickets, awaited, &view))
    }

    pub(super) fn destroyed(&self, key: Key, why: SessionEnd) {
        self.node.counters.sessions_ended.add(1);
        self.node.emit(Event::SessionDestroyed {
            context: self.name.clone(),
            session: self.node.digest_key.pseudonym(key),
            why,
        });
    }
}

/// Whether the session is still there that a request is in.
fn is_it(slot: &Slot, current: &Current) -> bool {
    let live = slot.entry.as_ref().and_then(Entry::live);
    live.is_some_and(|state| state.birth() == current.birth)
}

pub(crate) fn to_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
