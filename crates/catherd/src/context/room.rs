//! Room for a new session where there are as many as may be.
//!
//! Clients that keep no cookie make a session with each request, and come back for none. A flood of
//! them must not shut out those who do. So a session that was made here, was used by that one
//! request only, and in which nobody is logged in, ends for the one that needs its place; those
//! that were used first go first. Nobody is asked, and no tombstone is left: members drop their
//! copies when they hear of it, unless they have used them.
//!
//! What is made while there is no other room is *held back* as long as nothing is stored in it: a
//! session that ends before anybody comes back for it need not travel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use catherd_core::expiry::Inquiry;
use catherd_core::key::Key;
use catherd_core::message::Message;
use catherd_core::session::{Content, Entry, Fragment};
use parking_lot::Mutex;

use super::expiry::live;
use super::replicate::Current;
use super::table::{Cell, Slot};
use super::{ContextInner, SessionTable};
use crate::cluster::{Event, SessionEnd};

/// Who goes first when there is no room, and what has not been told of it yet.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Sessions that were used once, in the order in which that use ended. Some of them have been
    /// used again or ended since. Its lock is the last to be taken.
    used_once: Mutex<VecDeque<Key>>,
    /// Sessions that ended early, and the members do not know.
    untold: Mutex<Vec<Key>>,
    /// How many ended early since the last event.
    ended: AtomicU64,
    /// How many were refused since the last event.
    refused: AtomicU64,
    /// Whether the members were asked for room since then.
    has_asked: AtomicBool,
}

/// Whether a session took the place of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Crowded(pub(super) bool);

impl ContextInner {
    /// Sees to it that a session can be made; `None` if there is no room for it.
    pub(super) fn make_room(&self) -> Option<Crowded> {
        let Some(max) = self.manager.max_active_sessions else {
            return Some(Crowded(false));
        };
        let mut ended = 0;
        // One for the new session, and one more where requests that came at once, or copies of
        // other members' sessions, have gone beyond the limit.
        while ended < 2 && self.table.live() >= max {
            if !self.end_one_early() {
                break;
            }
            ended += 1;
        }
        if ended == 0 && self.table.live() >= max {
            self.node.counters.sessions_refused.add(1);
            self.room.refused.fetch_add(1, Ordering::Relaxed);
            self.ask_for_room();
            return None;
        }
        Some(Crowded(ended > 0))
    }

    /// Asks the members to end some of theirs, at most once a second: those whose copies fill this
    /// table may be of a flood that came to one of them.
    fn ask_for_room(&self) {
        if self.manager.is_replicated() && !self.room.has_asked.swap(true, Ordering::Relaxed) {
            self.tell_of_early_ends(Vec::new());
        }
    }

    /// A member has no room, and no session that makes any.
    fn make_room_elsewhere(&self) {
        let ended = (0..ENDED_FOR_A_MEMBER).take_while(|_| self.end_one_early());
        if ended.count() > 0 {
            self.tell_what_is_untold();
        }
    }

    /// Ends the session that was used once longest ago; `false` if there is none.
    fn end_one_early(&self) -> bool {
        let now = self.node.surroundings.now();
        loop {
            // Whoever is in the queue was put there once, and leaves it here: however many of them
            // were used again, a call looks at one on average.
            let next = self.room.used_once.lock().pop_front();
            let Some(key) = next else { return false };
            let Some(cell) = self.table.find(key) else {
                continue;
            };
            let was_shared = self.table.within(&cell, now, |slot| {
                let state = live(slot).filter(|_| makes_room(slot))?;
                let is_shared = self.manager.is_replicated() && state.is_committed();
                self.destroyed(key, SessionEnd::Early);
                (slot.entry, slot.receipt) = (None, None);
                Some(is_shared)
            });
            let Some(is_shared) = was_shared.flatten() else {
                continue;
            };
            self.node.counters.sessions_ended_early.add(1);
            self.room.ended.fetch_add(1, Ordering::Relaxed);
            if is_shared {
                self.tell_later(key);
            }
            return true;
        }
    }

    /// A session that was used once may make room from now on; called without any session's lock.
    pub(super) fn note_used_once(&self, key: Key) {
        if self.manager.max_active_sessions.is_some() {
            self.room.used_once.lock().push_back(key);
            self.room.tidy(&self.table);
        }
    }

    /// A session that was made here has come back from a member that did not know of its end;
    /// called under its lock.
    pub(super) fn note_return(&self, slot: &mut Slot, fragment: &Fragment) {
        if let Content::Write(write) = &fragment.content
            && write.birth.incarnation == self.node.incarnation()
            && live(slot).is_some()
        {
            slot.used_once = true;
            if self.manager.max_active_sessions.is_some() {
                self.room.used_once.lock().push_back(fragment.key);
            }
        }
    }

    /// A member uses these.
    pub(crate) fn used_elsewhere(&self, keys: &[Key]) {
        for &key in keys {
            self.table.look_mut(key, |slot| slot.used_once = false);
        }
    }

    /// A member asks for a session that nobody else has heard of: its client went there.
    pub(super) fn send_if_held_back(&self, cell: &Arc<Cell>) {
        let birth = cell.slot(|slot| {
            let birth = live(slot)?.birth();
            let was_held_back = std::mem::take(&mut slot.is_held_back);
            slot.used_once &= !was_held_back;
            was_held_back.then_some(birth)
        });
        if let Some(birth) = birth {
            let cell = Arc::clone(cell);
            self.commit(&Current { cell, birth });
        }
    }

    fn tell_later(&self, key: Key) {
        let full = {
            let mut untold = self.room.untold.lock();
            untold.push(key);
            let is_full = untold.len() >= Inquiry::SESSIONS_MAX / 4;
            is_full.then(|| std::mem::take(&mut *untold))
        };
        if let Some(keys) = full {
            self.tell_of_early_ends(keys);
        }
    }

    fn tell_what_is_untold(&self) {
        let untold = std::mem::take(&mut *self.room.untold.lock());
        if !untold.is_empty() {
            self.tell_of_early_ends(untold);
        }
    }

    fn tell_of_early_ends(&self, keys: Vec<Key>) {
        self.node.channel().tell_all(&Message::Expired {
            context: self.name.clone(),
            keys,
            is_early: true,
        });
    }

    /// Tells members and operator what has happened since the last call for want of room; once a
    /// second.
    pub(super) fn tell_of_full_table(&self) {
        self.tell_what_is_untold();
        self.room.has_asked.store(false, Ordering::Relaxed);
        let ended = self.room.ended.swap(0, Ordering::Relaxed);
        let refused = self.room.refused.swap(0, Ordering::Relaxed);
        if ended + refused > 0 {
            self.node.emit(Event::TableFull {
                context: self.name.clone(),
                ended,
                refused,
            });
        }
    }

    /// Sessions ended early at a member, which had asked nobody. Those that were used here live,
    /// and whoever dropped them gets them back. Without a key the member asks for room.
    pub(crate) fn ended_early(&self, keys: &[Key]) {
        if keys.is_empty() {
            self.make_room_elsewhere();
        }
        let now = self.node.surroundings.now();
        for &key in keys {
            let Some(cell) = self.table.find(key) else {
                continue;
            };
            self.table.within(&cell, now, |slot| {
                let Some(state) = live(slot) else { return };
                let is_unused = !slot.served && slot.requests == 0;
                if is_unused && state.has_one_writer() && !state.has_principal() {
                    self.node.counters.sessions_expired.add(1);
                    (slot.entry, slot.receipt) = (None, None);
                } else {
                    self.node.touch(self.id, key);
                }
            });
        }
    }
}

impl Room {
    /// Forgets those that were used again or have ended, if they are many; called without any
    /// session's lock.
    fn tidy(&self, table: &SessionTable) {
        let all = {
            let mut queue = self.used_once.lock();
            // Of a queue that is longer at least half can go.
            if queue.len() <= 2 * table.live() + QUEUE_SLACK {
                return;
            }
            std::mem::take(&mut *queue)
        };
        let is_waiting = |key: &Key| {
            let is_waiting = |slot: &Slot| slot.used_once && live(slot).is_some();
            table.look(*key, is_waiting) == Some(true)
        };
        let waiting = all.into_iter().filter(is_waiting).collect();
        let mut queue = self.used_once.lock();
        let noted_meanwhile = std::mem::replace(&mut *queue, waiting);
        queue.extend(noted_meanwhile);
    }
}

/// How many sessions make room for a member that asks for it.
const ENDED_FOR_A_MEMBER: usize = 64;

/// Short queues are not worth a look at each of their sessions.
const QUEUE_SLACK: usize = 1024;

/// Whether a session may end for another that needs its place.
fn makes_room(slot: &Slot) -> bool {
    let is_free = slot.used_once && slot.requests == 0 && !slot.is_kept();
    is_free
        && slot
            .entry
            .as_ref()
            .and_then(Entry::live)
            .is_some_and(|state| state.has_one_writer() && !state.has_principal())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use catherd_core::session::{Rules, Slot as Name, Value};

    use super::*;
    use crate::testing::Network;
    use crate::{Cluster, Manager};

    /// A node whose context may have `max` sessions.
    async fn context(max: usize) -> (Cluster, Arc<ContextInner>) {
        let host = Network::new(1).host([10, 0, 0, 1]);
        let cluster = Cluster::builder()
            .node_name("A")
            .listen([SocketAddr::new(host.ip(), 4001)])
            .multicast_interface(Some(host.ip()))
            .allow_plaintext(true)
            .start_in(host.clone())
            .await
            .expect("the network has nobody else");
        let manager = Manager::delta().max_active_sessions(max);
        let context = cluster.context("/shop").manager(manager).build();
        (cluster, context.expect("the first context").inner)
    }

    /// A request that makes a session; `None` if it was refused.
    fn use_once(context: &ContextInner) -> Option<Current> {
        let current = context.create()?;
        context.commit(&current);
        context.leave(&current);
        Some(current)
    }

    fn is_here(context: &ContextInner, current: &Current) -> bool {
        context
            .table
            .look(current.cell.key, |slot| live(slot).is_some())
            == Some(true)
    }

    #[tokio::test(start_paused = true)]
    async fn where_somebody_is_logged_in_no_room_is_made() {
        let (_cluster, context) = context(2).await;
        let current = context.create().expect("the table is empty");
        current.cell.slot(|slot| {
            let state = slot.entry.as_mut().and_then(Entry::live_mut);
            let state = state.expect("it was made just now");
            let anna = Some(Value::new(b"anna"));
            let set = state.set(Name::Principal, anna, &Rules::default());
            set.expect("a name is short");
        });
        context.commit(&current);
        context.leave(&current);
        for _ in 0..10 {
            use_once(&context).expect("the other one makes room");
        }
        assert!(is_here(&context, &current));
    }

    #[tokio::test(start_paused = true)]
    async fn while_its_request_is_in_it_a_session_makes_no_room() {
        let (_cluster, context) = context(1).await;
        let current = context.create().expect("the table is empty");
        context.commit(&current);
        assert!(use_once(&context).is_none());
        context.leave(&current);
        assert!(use_once(&context).is_some());
        assert!(!is_here(&context, &current));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_were_used_again_or_have_ended_are_forgotten() {
        let (_cluster, context) = context(10).await;
        for _ in 0..10 * QUEUE_SLACK {
            let current = use_once(&context).expect("the table is never full");
            context.end(&current, SessionEnd::Invalidated);
            let waiting = context.room.used_once.lock().len();
            assert!(waiting <= QUEUE_SLACK + 2, "{waiting}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_keep_their_order_when_others_are_forgotten() {
        let (_cluster, context) = context(4).await;
        let first: Vec<_> = (0..3).filter_map(|_| use_once(&context)).collect();
        for _ in 0..2 * QUEUE_SLACK {
            let current = use_once(&context).expect("there is room for one");
            context.end(&current, SessionEnd::Invalidated);
        }
        let last = use_once(&context).expect("there is room for one");
        for old in &first {
            assert!(is_here(&context, old));
            use_once(&context).expect("the oldest makes room");
            assert!(!is_here(&context, old));
        }
        assert!(is_here(&context, &last));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let counters = context.node.counters.status();
        assert_eq!(counters.sessions_ended_early, 3);
    }
}
