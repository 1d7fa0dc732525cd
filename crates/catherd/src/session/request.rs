//! What one request does to its session, from the cookie to the last byte of the response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use catherd_core::key::Key;
use catherd_core::session::{Birth, Entry, State};
use parking_lot::Mutex;

use super::attribute::AttributeError;
use crate::cluster::SessionEnd;
use crate::context::{ContextInner, Current, Receipt};
use crate::layer::Degraded;

/// Shared by the layer and by all clones of the request's `Session`.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) context: Arc<ContextInner>,
    bound: Mutex<Bound>,
    /// Whether this request may have changed anything since the last finish.
    dirty: AtomicBool,
    /// Its path is one of those that never change the session.
    is_filtered: bool,
}

#[derive(Debug, Default)]
struct Bound {
    current: Option<Current>,
    /// The key that the client sent, if it was that of a live session here.
    client_has: Option<Key>,
    /// Made by this request: no client has its key until the response head leaves.
    is_new: bool,
    /// To be ended when the request is complete (HOW-TO, "How it Works", 7).
    invalidated: Vec<Current>,
    /// Where to move the session when the request is complete.
    cycle_to: Option<(Key, Birth)>,
    degraded: Degraded,
    /// A fragment went out, and with it the age of the last access.
    sent: bool,
    /// The head has left: a new session could not reach its client.
    closed: bool,
}

/// What the layer does with the response.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The latest write to the session: the response waits for it.
    pub(crate) write: Option<Receipt>,
    /// Ends of sessions: waited for in every mode.
    pub(crate) ends: Vec<Receipt>,
    /// The key that the client is to have now; `None` for no session.
    pub(crate) key: Option<Key>,
    /// The key that the client sent, if it was that of a live session.
    pub(crate) client_has: Option<Key>,
}

/// What is there of a session when a request is over.
#[derive(Debug)]
struct Held {
    /// The latest write of this node.
    receipt: Option<Receipt>,
    /// Something is set that was not sent: by a neighbour that is under way, or by a request that
    /// is filtered.
    is_dirty: bool,
}

/// A session that ended elsewhere meanwhile is no session any more.
fn held(current: &Current) -> Option<Held> {
    current.cell.slot(|slot| {
        let live = slot.entry.as_ref().and_then(Entry::live);
        let state = live.filter(|state| state.birth() == current.birth)?;
        Some(Held {
            receipt: slot.receipt.clone(),
            is_dirty: state.is_dirty(),
        })
    })
}

impl Request {
    pub(crate) fn new(
        context: Arc<ContextInner>,
        current: Option<Current>,
        degraded: Degraded,
        is_filtered: bool,
    ) -> Self {
        let client_has = current.as_ref().map(|current| current.cell.key);
        let bound = Bound {
            current,
            client_has,
            degraded,
            ..Bound::default()
        };
        Self {
            context,
            bound: Mutex::new(bound),
            dirty: AtomicBool::new(false),
            is_filtered,
        }
    }

    /// Does what the request has asked for: ends, moves, commits. May be called again, for what a
    /// streamed body changes.
    pub(crate) fn finish(&self) -> Finished {
        let finished = self.finish_unwritten();
        self.context.node.flush_links();
        finished
    }

    /// The same, but a commit stays in the queues of the links until they are written.
    pub(crate) fn finish_unwritten(&self) -> Finished {
        let mut bound = self.bound.lock();
        let changed = self.dirty.swap(false, Ordering::Relaxed);
        let mut ends = Vec::new();
        for ended in bound.invalidated.drain(..) {
            ends.extend(self.context.end(&ended, SessionEnd::Invalidated));
            self.context.leave(&ended);
        }
        let cycle_to = bound.cycle_to.take();
        if let Some(current) = bound.current.clone() {
            match cycle_to {
                Some(to) => {
                    if let Some((moved, receipt)) = self.context.change_id(&current, to) {
                        self.context.leave(&current);
                        bound.current = Some(moved);
                        ends.extend(receipt);
                    }
                }
                None if self.commits(changed, bound.is_new) => {
                    bound.sent |= self.context.commit_unwritten(&current);
                }
                None => {}
            }
        }
        let mut held = bound.current.as_ref().and_then(held);
        if let Some(Held { is_dirty: true, .. }) = held
            && !self.is_filtered
            && let Some(current) = bound.current.clone()
        {
            // Somebody else has set something, and the answer may show it.
            bound.sent |= self.context.commit_unwritten(&current);
            held = self::held(&current);
        }
        let key = bound
            .current
            .as_ref()
            .filter(|_| held.is_some())
            .map(|c| c.cell.key);
        Finished {
            write: held.and_then(|held| held.receipt),
            ends,
            key,
            client_has: bound.client_has,
        }
    }

    /// Whether there is something of its own to send.
    fn commits(&self, changed: bool, is_new: bool) -> bool {
        if self.is_filtered {
            return is_new;
        }
        changed || !self.context.manager.use_dirty_flag
    }

    /// All who have to have acknowledged the write that the response waited for.
    pub(crate) fn confirmed(&self, write: &Receipt) {
        if let Some(current) = &self.bound.lock().current {
            current.cell.slot(|slot| slot.confirmed(write));
        }
    }

    /// The head has left: the client has the key of the session.
    pub(crate) fn head_left(&self) {
        let mut bound = self.bound.lock();
        bound.is_new = false;
        bound.closed = true;
    }

    /// Whether something may have changed since the last finish.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    pub(crate) fn degraded(&self) -> Degraded {
        self.bound.lock().degraded
    }

    /// Reads the session, if there is one.
    pub(super) fn read<R>(&self, f: impl FnOnce(&State) -> R) -> Option<R> {
        let current = self.bound.lock().current.clone()?;
        current.cell.slot(|slot| {
            let state = slot.entry.as_ref()?.live()?;
            (state.birth() == current.birth).then(|| f(state))
        })
    }

    /// Changes the session; `None` if there is none, or it has ended.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> Option<R> {
        let current = self.bound.lock().current.clone()?;
        let result = current.cell.slot(|slot| {
            let state = slot.entry.as_mut()?.live_mut()?;
            (state.birth() == current.birth).then(|| f(state))
        })?;
        self.dirty.store(true, Ordering::Relaxed);
        Some(result)
    }

    /// Makes sure that there is a live session.
    pub(super) fn ensure(&self) -> Result<(), AttributeError> {
        let mut bound = self.bound.lock();
        if let Some(current) = &bound.current {
            let live = current.cell.slot(|slot| {
                let state = slot.entry.as_ref().and_then(Entry::live);
                state.is_some_and(|state| state.birth() == current.birth)
            });
            if live {
                return Ok(());
            }
            // It ended while the request was in it: what is set now goes to a new session.
            let ended = bound.current.take();
            ended.iter().for_each(|ended| self.context.leave(ended));
        }
        if bound.closed {
            return Err(AttributeError::TooLate);
        }
        bound.current = Some(self.context.create().ok_or(AttributeError::TableFull)?);
        bound.is_new = true;
        self.dirty.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn is_new(&self) -> bool {
        self.bound.lock().is_new
    }

    /// The key that the session has, or will have when the request is complete.
    pub(super) fn key(&self) -> Option<Key> {
        let bound = self.bound.lock();
        let current = bound.current.as_ref()?;
        Some(bound.cycle_to.map_or(current.cell.key, |(key, _)| key))
    }

    /// From here on the request has no session; it ends when the request is complete.
    pub(super) fn invalidate(&self) -> bool {
        let mut bound = self.bound.lock();
        let Some(current) = bound.current.take() else {
            return false;
        };
        bound.invalidated.push(current);
        (bound.cycle_to, bound.is_new) = (None, false);
        self.dirty.store(true, Ordering::Relaxed);
        true
    }

    /// The session gets a new key when the request is complete.
    pub(super) fn cycle_id(&self) -> bool {
        let mut bound = self.bound.lock();
        if bound.current.is_none() || bound.closed {
            return false;
        }
        let node = &self.context.node;
        bound.cycle_to = Some((node.surroundings.draw_key(), node.next_birth()));
        self.dirty.store(true, Ordering::Relaxed);
        true
    }
}

/// A client that leaves, a panic, a time-out: what the handler wrote is visible to other requests
/// by now, so it goes out, without anybody waiting for it. A session whose key no client has is
/// forgotten.
impl Drop for Request {
    fn drop(&mut self) {
        let unreachable = self.bound.get_mut().is_new;
        if unreachable && let Some(current) = self.bound.get_mut().current.take() {
            self.context.end(&current, SessionEnd::Abandoned);
            return;
        }
        if self.is_dirty() {
            self.finish();
        }
        let bound = self.bound.get_mut();
        if let Some(current) = &bound.current {
            if !bound.sent {
                self.context.tell_of_access(current);
            }
            self.context.leave(current);
        }
    }
}
