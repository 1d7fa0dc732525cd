//! Whose the sessions are, and the end of all sessions of a user.
//!
//! Each user has a generation, the number of times that all their sessions were ended. It is kept
//! as a tombstone under a key made from the user's name, and travels, is compared, waited for and
//! forgotten as one. A login takes the generation that its node knows; a session whose principal
//! has a lower one than its user is ended wherever it appears, by every node for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::FrameClass;
use catherd_core::session::{DigestKey, Entry, Fragment, Principal, Slot as Name};
use catherd_core::time::Time;
use futures_util::future::poll_fn;
use parking_lot::Mutex;

use super::table::{Cell, Slot};
use super::{Context, ContextInner, Receipt};
use crate::cluster::SessionEnd;

impl Context {
    /// Ends all sessions of a user, here and on every member: after a password was stolen, or when
    /// somebody wants to be logged out everywhere. Logins from here on live.
    ///
    /// Returns when every member that is ready has ended them, as a logout does. Sessions of the
    /// user that begin on the other side of a split end when it heals.
    ///
    /// ```
    /// # async fn disable(shop: &catherd::Context) {
    /// let ended = shop.end_sessions_of("anna").await;
    /// if !ended.is_confirmed() {
    ///     eprintln!("not known yet to {:?}", ended.pending());
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The sessions end all the same; nobody hears who has answered.
    pub async fn end_sessions_of(&self, user: &str) -> SessionsEnded {
        self.inner.end_sessions_of(user).await
    }
}

/// All sessions of a user have ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a member that did not answer may still serve the user's sessions"]
pub struct SessionsEnded {
    here: u64,
    pending: Vec<String>,
    is_confirmed: bool,
}

impl SessionsEnded {
    /// How many sessions of the user were live on this node.
    pub fn here(&self) -> u64 {
        self.here
    }

    /// Whether no node of the cluster yields any of them again.
    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// The members that have not answered, sorted by name: slow ones, and those that are missing
    /// since a crash or a split. Empty although it is not confirmed, where one was away and is back,
    /// or only another member has met it. They learn it before they are ready again; until then they may
    /// serve their own clients.
    pub fn pending(&self) -> &[String] {
        &self.pending
    }
}

/// Whose the sessions of a context are, and the generations of users.
///
/// Its lock is the last one of all: a session's is held while it is taken, never the other way
/// round.
#[derive(Debug)]
pub(super) struct Users {
    with: DigestKey,
    /// Whether there is a generation at all: mostly there is none, and nothing to look up.
    is_any_raised: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the key of the user.
    generations: BTreeMap<Key, u64>,
    /// The key of the user, that of the session, and the generation of its principal.
    sessions: BTreeMap<(Key, Key), u64>,
}

/// The principal under which a session is filed.
#[derive(Debug)]
pub(super) struct Filed {
    value: Box<[u8]>,
    /// The user and the generation, if the value says so.
    user: Option<(Key, u64)>,
}

impl Users {
    pub(super) fn new(with: DigestKey) -> Self {
        Self {
            with,
            is_any_raised: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    /// Notes what is under a key after a change: whose session, or which generation. `filed` is
    /// what was noted before.
    pub(super) fn note(&self, key: Key, entry: Option<&Entry>, filed: &mut Option<Box<Filed>>) {
        let live = entry.and_then(Entry::live);
        let value = live.and_then(|state| state.committed(&Name::Principal));
        self.file(key, value, filed);
    }

    /// Notes the generation under the key of a user; 0 if there is none any more.
    pub(super) fn note_generation(&self, user: Key, generation: u64) {
        let mut inner = self.inner.lock();
        if generation > 0 {
            inner.generations.insert(user, generation);
        } else {
            inner.generations.remove(&user);
        }
        self.is_any_raised
            .store(!inner.generations.is_empty(), Ordering::Relaxed);
    }

    /// Files the session under the user whose principal `value` is.
    fn file(&self, key: Key, value: Option<&[u8]>, filed: &mut Option<Box<Filed>>) {
        if filed.as_ref().map(|filed| &*filed.value) == value {
            return;
        }
        let before = filed.as_ref().and_then(|filed| filed.user);
        let user = value
            .and_then(|value| Principal::from_bytes(value).ok())
            .map(|principal| (self.with.user(principal.user()), principal.generation()));
        if before != user {
            let mut inner = self.inner.lock();
            if let Some((user, _)) = before {
                inner.sessions.remove(&(user, key));
            }
            if let Some((user, generation)) = user {
                inner.sessions.insert((user, key), generation);
            }
        }
        *filed = value.map(|value| {
            let value = value.into();
            Box::new(Filed { value, user })
        });
    }

    /// Whether the session is of a lower generation than its user.
    ///
    /// Whoever asks has filed the session, and who raises a generation notes it before looking at
    /// what is filed: one of the two sees the other.
    fn is_over(&self, filed: Option<&Filed>) -> bool {
        let Some((user, generation)) = filed.and_then(|filed| filed.user) else {
            return false;
        };
        self.generation(user) > generation
    }

    /// The same for what was set since the last commit.
    fn is_login_over(&self, slot: &Slot) -> bool {
        if !self.is_any_raised.load(Ordering::Relaxed) {
            return false;
        }
        let live = slot.entry.as_ref().and_then(Entry::live);
        let dirty = live.filter(|state| state.is_dirty());
        dirty
            .and_then(|state| state.principal())
            .is_some_and(|it| self.generation(self.with.user(it.user())) > it.generation())
    }

    fn generation(&self, user: Key) -> u64 {
        if !self.is_any_raised.load(Ordering::Relaxed) {
            return 0;
        }
        let inner = self.inner.lock();
        inner.generations.get(&user).copied().unwrap_or(0)
    }

    /// The sessions of a user, each with the generation of its principal.
    fn sessions(&self, user: Key) -> Vec<(Key, u64)> {
        let inner = self.inner.lock();
        let of_user = inner.sessions.range((user, Key::MIN)..=(user, Key::MAX));
        of_user
            .map(|(&(_, key), &generation)| (key, generation))
            .collect()
    }
}

impl ContextInner {
    /// The generation that a login of this user takes.
    pub(crate) fn generation_of(&self, user: &str) -> u64 {
        self.table
            .users()
            .generation(self.node.digest_key.user(user))
    }

    pub(crate) async fn end_sessions_of(&self, user: &str) -> SessionsEnded {
        let (receipt, here) = self.raise(self.node.digest_key.user(user));
        let channel = self.node.channel();
        let view = channel.view();
        let Some(receipt) = receipt else {
            // Nobody else has any of them.
            return SessionsEnded {
                here,
                pending: Vec::new(),
                is_confirmed: true,
            };
        };
        let missed = poll_fn(|cx| receipt.poll_missed(&**channel, cx)).await;
        let name = |member| Some(view.member(member)?.name.clone());
        let silent = missed.into_iter().filter_map(name);
        let now = channel.view();
        let missing = now.missing.iter().cloned();
        let pending: BTreeSet<String> = missing.chain(silent).collect();
        SessionsEnded {
            here,
            // Of a process that only another member has met there is no name here.
            is_confirmed: pending.is_empty() && !receipt.is_pending(&now),
            pending: pending.into_iter().collect(),
        }
    }

    /// Raises the generation of a user, tells every member, and ends what is here: how many.
    fn raise(&self, user: Key) -> (Option<Receipt>, u64) {
        let now = self.node.surroundings.now();
        let users = self.table.users();
        let life = self.life_of_a_raise(&users.sessions(user));
        let receipt = self.table.with(user, now, |_, slot| {
            // Above sessions, too, whose generation has been forgotten since they began.
            let sessions = users.sessions(user);
            let highest = sessions.iter().map(|&(_, generation)| generation).max();
            let raised = Entry::raise(&mut slot.entry, user, now, life, highest.unwrap_or(0));
            self.queue(now, &[raised], None, FrameClass::Tombstone)
        });
        self.node.flush_links();
        (receipt, self.end_all_of(user, Raised::Here))
    }

    /// As long as that of the longest of the tombstones that it makes.
    fn life_of_a_raise(&self, sessions: &[(Key, u64)]) -> Duration {
        let life_of = |&(key, _): &(Key, u64)| {
            let limit = |slot: &Slot| Some(slot.entry.as_ref()?.live()?.idle_limit());
            let limit = self.table.look(key, limit)??;
            Some(self.tombstone_life(limit))
        };
        let longest = sessions.iter().filter_map(life_of).max();
        longest
            .unwrap_or_default()
            .max(self.tombstone_life(self.max_inactive))
    }

    /// Ends the sessions of a user whose generation has risen: how many.
    pub(super) fn end_all_of(&self, user: Key, raised: Raised) -> u64 {
        let now = self.node.surroundings.now();
        let mut ended = 0;
        for (key, _) in self.table.users().sessions(user) {
            let Some(cell) = self.table.find(key) else {
                continue;
            };
            let is_over = self
                .table
                .within(&cell, now, |slot| self.end_if_over(key, slot, now, raised));
            ended += u64::from(is_over == Some(true));
        }
        ended
    }

    /// Ends a session of a lower generation than its user; under its lock, after whatever has come
    /// to it. Nobody is told: every node does it for itself.
    pub(super) fn end_if_over(&self, key: Key, slot: &mut Slot, now: Time, raised: Raised) -> bool {
        let users = self.table.users();
        users.note(key, slot.entry.as_ref(), &mut slot.filed_under);
        let is_over = users.is_over(slot.filed_under.as_deref());
        if is_over {
            self.end_over(key, slot, now, raised);
        }
        is_over
    }

    /// The same for a request that comes to the session, or is in it.
    pub(super) fn is_over(&self, cell: &Arc<Cell>) -> bool {
        let users = self.table.users();
        // A login that no commit has taken yet is not filed.
        let is_over = cell
            .slot(|slot| users.is_over(slot.filed_under.as_deref()) || users.is_login_over(slot));
        if !is_over {
            return false;
        }
        let now = self.node.surroundings.now();
        self.table.within(cell, now, |slot| {
            let _ = self.end_if_over(cell.key, slot, now, Raised::There)
                || self.end_if_login_is_over((cell.key, slot), None, now);
        });
        self.node.flush_links();
        true
    }

    /// Ends a session that is about to be written with a login of a lower generation, under `key`,
    /// whose slot has `filed_under`. Others may have it without that login: its tombstone goes to
    /// every member.
    pub(super) fn end_if_login_is_over(
        &self,
        (old_key, old): (Key, &mut Slot),
        to: Option<(Key, &mut Slot)>,
        now: Time,
    ) -> bool {
        let users = self.table.users();
        let value = old.entry.as_ref().and_then(Entry::live);
        let value = value.and_then(|state| state.read(&Name::Principal));
        let (key, filed_under) = match to {
            Some((key, new)) => (key, &mut new.filed_under),
            None => (old_key, &mut old.filed_under),
        };
        users.file(key, value, filed_under);
        if !users.is_over(filed_under.as_deref()) {
            return false;
        }
        if let Some(tombstone) = self.end_over(old_key, old, now, Raised::Here) {
            // Nobody waits: who ended the user's sessions has waited for those that had begun.
            self.queue(now, &[tombstone], None, FrameClass::Tombstone);
        }
        true
    }

    /// The application hears of it once, from the owner; where it is not in view, from the node
    /// that ended the user's sessions.
    fn end_over(&self, key: Key, slot: &mut Slot, now: Time, raised: Raised) -> Option<Fragment> {
        let state = slot.entry.as_ref().and_then(Entry::live)?;
        let owner = state.highest().map(|version| version.writer);
        let is_ours = owner.is_none_or(|owner| {
            let is_gone = || self.node.channel().view().member(owner).is_none();
            owner == self.node.incarnation() || (raised == Raised::Here && is_gone())
        });
        let life = self.tombstone_life(state.idle_limit());
        self.node.counters.sessions_logged_out.add(1);
        // Of one that is kept unserved it has heard.
        if is_ours && !slot.is_kept() {
            self.destroyed(key, SessionEnd::LoggedOut);
        }
        slot.receipt = None;
        Entry::end(&mut slot.entry, key, now, life)
    }
}

/// Where all sessions of a user were ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Raised {
    Here,
    There,
}
