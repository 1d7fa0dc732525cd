//! What a node does to its sessions, and to whom it tells it.

use std::time::Duration;

use bytes::Bytes;
use catherd::core::key::Key;
use catherd::core::link::{Awaited, Frame, FrameClass};
use catherd::core::message::encode_fragments;
use catherd::core::session::{Birth, Content, Entry, Extent, Fragment, Outcome, Property, State};
use catherd::core::table::Table as _;
use catherd::core::time::Time;
use catherd::core::version::{Incarnation, Vector, Version};
use catherd::env::Place;

use super::link::ID;
use super::node::{CONTEXT, Receipt, tombstone_life};
use super::users::Raised;
use super::world::World;
use crate::history::{Happened, Process};

/// A live session that a request is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Current {
    pub(super) key: Key,
    pub(super) birth: Birth,
}

/// What is to be known of an entry after a change.
struct After {
    is_live: bool,
    is_idle: bool,
    next_look: Option<Time>,
    generation: u64,
}

impl After {
    fn of(entry: &Entry, now: Time) -> Self {
        let live = entry.live();
        Self {
            is_live: live.is_some(),
            is_idle: live.is_some_and(|state| state.is_idle(now)),
            next_look: entry.next_look(now),
            generation: entry.generation(),
        }
    }
}

impl World {
    /// Changes what is under a key, and asserts what must hold of every change.
    pub(super) fn change<R>(
        &mut self,
        process: Process,
        key: Key,
        f: impl FnOnce(&mut Option<Entry>) -> R,
    ) -> R {
        let time = self.time(process);
        let node = self.node(process);
        let mut before = None;
        let result = node.table.change(key, time, |entry| {
            before.clone_from(entry);
            f(entry)
        });
        self.changed(process, key, before.as_ref());
        result
    }

    /// A request is in a live session: accesses it, or sets something and commits nothing. `None` if
    /// there is no session.
    pub(super) fn touch<R>(
        &mut self,
        process: Process,
        key: Key,
        f: impl FnOnce(&mut State) -> R,
    ) -> Option<R> {
        let mut f = Some(f);
        let mut touch = |state: &mut State| f.take().map(|f| f(state));
        let table = &self.node(process).table;
        if let Some(touched) = table.touch(key, &mut touch) {
            return touched;
        }
        // The first that makes it more than a thing that no digest shows.
        self.change(process, key, |entry| {
            entry.as_mut().and_then(Entry::live_mut).and_then(touch)
        })
    }

    /// What is under a key was `before` until now.
    fn changed(&mut self, process: Process, key: Key, before: Option<&Entry>) {
        let time = self.time(process);
        let Self { truth, places, .. } = self;
        let node = places[process.node].node.as_deref();
        let table = &node.expect("who acts, runs").table;
        let (broken, after) = table.look(key, |after| {
            let broken = truth.changed(key, before, after, time).err();
            (broken, after.map(|after| After::of(after, time)))
        });
        if let Some((invariant, what)) = broken {
            self.broken(invariant, format!("{process}: {key}: {what}"));
        }
        let node = self.node(process);
        let (digest, _) = node.table.summary(key);
        let Some(after) = after else {
            if let Some(beside) = node.sides.remove(&key) {
                node.total ^= beside.digest;
                if let Some(filed) = beside.filed {
                    node.filed.remove(&(filed, key));
                }
            }
            return;
        };
        node.is_any_raised |= after.generation > 0;
        let was_live = before.is_some_and(|entry| entry.live().is_some());
        let beside = node.sides.entry(key).or_default();
        node.total ^= beside.digest ^ digest;
        beside.digest = digest;
        if !after.is_idle {
            beside.is_kept = false;
        }
        if was_live && !after.is_live {
            beside.receipt = None;
        }
        if let Some(at) = after.next_look
            && beside.filed.is_none_or(|filed| at < filed)
        {
            if let Some(filed) = beside.filed.replace(at) {
                node.filed.remove(&(filed, key));
            }
            node.filed.insert((at, key));
        }
    }

    /// Drops what is under a key, without a word to anybody.
    pub(super) fn forget(&mut self, process: Process, key: Key) {
        let time = self.time(process);
        let node = self.node(process);
        node.table.change(key, time, |entry| *entry = None);
        self.changed(process, key, None);
    }

    /// Reads what is under a key.
    pub(super) fn live<R>(
        &self,
        process: Process,
        key: Key,
        f: impl FnOnce(&State) -> R,
    ) -> Option<R> {
        let table = &self.look(process)?.table;
        table.look(key, |entry| entry?.live().map(f))
    }

    /// Makes a session under a key that nobody has.
    pub(super) fn create(&mut self, process: Process) -> Current {
        let time = self.time(process);
        let limit = self.plan.settings.idle_limit;
        let node = self.node(process);
        let (key, birth) = (node.draw_key(), node.next_birth());
        let mut state = State::new(birth, time);
        state.set_property(Property::Created, 0);
        let millis = i64::try_from(limit.as_millis()).expect("a limit is short");
        state.set_property(Property::MaxInactive, millis);
        self.truth.born(key, birth);
        self.change(process, key, |entry| *entry = Some(Entry::Live(state)));
        let beside = self.node(process).besides(key);
        (beside.requests, beside.served) = (1, true);
        Current { key, birth }
    }

    /// Sets something in a session, uncommitted. `false` if the session is no more.
    pub(super) fn set(
        &mut self,
        process: Process,
        current: Current,
        f: impl FnOnce(&mut State),
    ) -> bool {
        let set = self.touch(process, current.key, |state| {
            let is_it = state.birth() == current.birth;
            is_it.then(|| f(state)).is_some()
        });
        set == Some(true)
    }

    /// Whether the session of a request is there still.
    pub(super) fn exists(&self, process: Process, current: Current) -> bool {
        self.live(process, current.key, State::birth) == Some(current.birth)
    }

    /// Whether anything is set that no commit has taken.
    pub(super) fn is_dirty(&self, process: Process, current: Current) -> bool {
        self.exists(process, current)
            && self.live(process, current.key, State::is_dirty) == Some(true)
    }

    /// Commits what is dirty, and queues it for every holder. `true` if anything was sent.
    pub(super) fn commit(&mut self, process: Process, current: Current) -> bool {
        if self.exists(process, current) && self.end_if_login_is_over(process, current.key) {
            return true;
        }
        let time = self.time(process);
        let extent = if self.plan.settings.use_dirty_flag {
            Extent::Changes
        } else {
            Extent::Entire
        };
        let node = self.node(process);
        let (writer, rules) = (node.writer(), node.rules);
        let mut before = None;
        let write = node.table.change(current.key, time, |entry| {
            before.clone_from(entry);
            let state = entry.as_mut()?.live_mut()?;
            if state.birth() != current.birth {
                return None;
            }
            state.touch(time);
            state.commit(time, &writer, extent, &rules)
        });
        // What is written is true before the copy is held against the truth.
        if let Some(write) = &write {
            self.wrote(process, current.key, writer.incarnation, write);
            let before = before.as_ref().and_then(Entry::live);
            let before = before.expect("what was committed was there");
            self.committed((process, current.key), before, writer.gone);
        }
        self.changed(process, current.key, before.as_ref());
        let Some(write) = write else {
            return false;
        };
        let since = write.since.map(|since| since.revision);
        let fragment = Fragment {
            key: current.key,
            content: Content::Write(write),
        };
        let receipt = self.queue_fragments(process, &[fragment], since, FrameClass::Fragment);
        self.node(process).besides(current.key).receipt = Some(receipt);
        true
    }

    /// A copy was `before` until a commit.
    fn committed(&mut self, (process, key): (Process, Key), before: &State, gone: u32) {
        let Self { truth, places, .. } = self;
        let node = places[process.node].node.as_deref();
        let table = &node.expect("who acts, runs").table;
        let after = table.look(key, |after| {
            let after = after.and_then(Entry::live)?;
            truth.removed(key, before, after);
            after.highest()
        });
        if after != before.highest() {
            let fence = |version: Option<Version>| version.map_or(0, |version| version.fence);
            let fences = [before.highest(), after].map(fence);
            self.check_fence(process, key, gone, fences);
        }
    }

    /// Who has declared somebody gone since it wrote the session last writes over all that one may
    /// still hold, as far as it goes by the fence.
    fn check_fence(&mut self, process: Process, key: Key, gone: u32, [before, after]: [u32; 2]) {
        let beside = self.node(process).besides(key);
        let when_written = std::mem::replace(&mut beside.gone_when_written, gone);
        if when_written != gone && after <= before {
            let what = format!("{process}: {key}: fence {after}, and {gone} were declared gone");
            self.broken("P-FENCE", what);
        }
    }

    fn wrote(
        &mut self,
        process: Process,
        key: Key,
        writer: Incarnation,
        write: &catherd::core::session::Write,
    ) {
        if let Err(what) = self.truth.wrote(key, writer, write) {
            self.broken("1: a dot names one write", format!("{process}: {what}"));
        }
    }

    /// Ends the session here and queues its tombstone for every member.
    pub(super) fn end(
        &mut self,
        process: Process,
        current: Current,
        why: &'static str,
    ) -> Option<Receipt> {
        let time = self.time(process);
        let key = current.key;
        let (was_it, tombstone) = self.change(process, key, |entry| {
            let state = entry.as_ref().and_then(Entry::live);
            let Some(state) = state.filter(|state| state.birth() == current.birth) else {
                return (false, None);
            };
            let life = tombstone_life(state.idle_limit());
            (true, Entry::end(entry, key, time, life))
        });
        if was_it {
            self.destroyed(process, key, why);
        }
        let fragments = [tombstone?];
        Some(self.queue_fragments(process, &fragments, None, FrameClass::Tombstone))
    }

    /// Moves the session to the key and birth that were drawn for it.
    pub(super) fn change_id(
        &mut self,
        process: Process,
        current: Current,
        to: Current,
    ) -> Option<Receipt> {
        if self.exists(process, current) && self.end_if_login_is_over(process, current.key) {
            return None;
        }
        let time = self.time(process);
        let is_synchronous = self.plan.settings.mode.is_synchronous();
        let node = self.node(process);
        let (writer, rules) = (node.writer(), node.rules);
        let keys = (current.key, to.key);
        let mut before = (None, None);
        let changed = node.table.change_two(keys, time, |old, new| {
            before = (old.clone(), new.clone());
            let state = old.as_ref().and_then(Entry::live)?;
            if state.birth() != current.birth {
                return None;
            }
            let life = tombstone_life(state.idle_limit());
            Entry::change_id(
                (keys.0, old),
                (keys.1, new),
                to.birth,
                time,
                &writer,
                life,
                &rules,
            )
        })?;
        self.truth.born(to.key, to.birth);
        if let Content::Write(write) = &changed.new.content {
            self.wrote(process, to.key, writer.incarnation, write);
        }
        self.changed(process, keys.1, before.1.as_ref());
        self.changed(process, keys.0, before.0.as_ref());
        let class = if changed.old.is_some() {
            FrameClass::Tombstone
        } else {
            FrameClass::Fragment
        };
        let fragments: Vec<_> = [Some(changed.new), changed.old]
            .into_iter()
            .flatten()
            .collect();
        let receipt = self.queue_fragments(process, &fragments, None, class);
        let beside = self.node(process).besides(to.key);
        (beside.served, beside.requests) = (true, 1);
        beside.gone_when_written = writer.gone;
        beside.receipt = Some(Receipt {
            awaited: Awaited::of(FrameClass::Fragment, is_synchronous),
            ..receipt.clone()
        });
        Some(receipt)
    }

    /// Merges what a member sent: one fragment, or the two of a change of id in one step.
    pub(super) fn apply(
        &mut self,
        process: Process,
        fragments: &[Fragment],
    ) -> Vec<(Key, Outcome)> {
        // New before old. In between nobody looks.
        let mut outcomes = Vec::with_capacity(fragments.len());
        for fragment in fragments {
            self.check_fragment(process, fragment);
            let (time, rules) = (self.time(process), self.node(process).rules);
            let merged = self.change(process, fragment.key, |entry| {
                Entry::merge(entry, time, fragment, &rules)
            });
            if merged.corrupt > 0 || merged.outcome == Outcome::Twin {
                let what = format!("{process}: {:?} {merged:?}", fragment.key);
                self.broken("1: one dot, one value; one birth a key", what);
            }
            let is_over = self.end_if_over(process, fragment.key, Raised::There);
            let outcome = if is_over {
                Outcome::Ended
            } else {
                merged.outcome
            };
            self.note_revival(process, fragment.key);
            outcomes.push((fragment.key, outcome));
        }
        for fragment in fragments.iter().filter(|it| it.is_generation()) {
            self.end_all_of(process, fragment.key, Raised::There);
        }
        outcomes
    }

    fn check_fragment(&mut self, process: Process, fragment: &Fragment) {
        if let Content::Write(write) = &fragment.content
            && let Err(what) = self.truth.came(fragment.key, write)
        {
            self.broken("1: a dot names one write", format!("{process}: {what}"));
        }
    }

    /// A copy that was kept unserved is in use again: both sides may have written to it.
    pub(super) fn note_revival(&mut self, process: Process, key: Key) {
        let time = self.time(process);
        let is_in_use = self.live(process, key, |state| !state.is_idle(time));
        let node = self.node(process);
        let is_kept = node.sides.get(&key).is_some_and(|it| it.is_kept);
        if is_kept && is_in_use == Some(true) {
            let members: Vec<_> = node.view().members.iter().map(|m| m.incarnation).collect();
            for member in members {
                node.schedule.soon(time, member);
            }
        }
    }

    /// The payload of a frame with all that has come since this node had written `since`.
    pub(super) fn encode_since(
        &self,
        process: Process,
        key: Key,
        since: Option<u64>,
    ) -> Option<Bytes> {
        let (time, node) = (self.time(process), self.look(process)?);
        let writer = node.incarnation;
        let fragment = node
            .table
            .look(key, |entry| Entry::since(entry, key, time, writer, since))?;
        Some(encode_fragments(CONTEXT, &[fragment]))
    }

    /// Encodes once, and gives the same bytes to the link of each who must have them.
    pub(super) fn queue_fragments(
        &mut self,
        process: Process,
        fragments: &[Fragment],
        since: Option<u64>,
        class: FrameClass,
    ) -> Receipt {
        let time = self.time(process);
        let is_synchronous = self.plan.settings.mode.is_synchronous();
        let node = self.node(process);
        let absence = node.membership.absence();
        let holders: Vec<(Incarnation, bool)> = node
            .view()
            .members
            .iter()
            .map(|member| (member.incarnation, member.is_ready()))
            .collect();
        let awaited = Awaited::of(class, is_synchronous);
        let mut tickets = Vec::new();
        if !holders.is_empty() {
            self.passes(process, Place::BeforeEncode);
            let payload = encode_fragments(CONTEXT, fragments);
            for (holder, is_ready) in holders {
                let frame = Frame {
                    context: ID,
                    key: fragments[0].key,
                    payload: payload.clone(),
                    since,
                    class,
                };
                let ticket = self.push(process, holder, time, frame);
                if awaited.waits_for(is_ready) {
                    tickets.push((holder, ticket));
                }
            }
            self.passes(process, Place::Queued);
        }
        let ended = fragments
            .iter()
            .find_map(|fragment| match fragment.content {
                Content::Tombstone(end) => Some((fragment.key, end.generation)),
                Content::Write(_) => None,
            });
        Receipt {
            tickets,
            awaited,
            absence,
            ended,
        }
    }

    pub(super) fn destroyed(&mut self, process: Process, key: Key, why: &'static str) {
        let pseudonym = catherd::core::session::DigestKey::new(super::node::CLUSTER).pseudonym(key);
        self.happened(Happened::Destroyed(process, pseudonym, why));
    }

    /// The writes of a session that are here, for whoever fetches the others.
    pub(super) fn seen(&self, process: Process, key: Key) -> Vector {
        let time = self.time(process);
        match self.look(process) {
            Some(node) => node.table.look(key, |entry| Entry::held(entry, time)),
            None => Vector::new(),
        }
    }

    /// A request is over.
    pub(super) fn leave_session(&mut self, process: Process, current: Current) {
        let time = self.time(process);
        let node = self.node(process);
        if let Some(beside) = node.sides.get_mut(&current.key) {
            beside.requests = beside.requests.saturating_sub(1);
        }
        self.touch(process, current.key, |state| state.touch(time));
    }

    /// The holders hear with the next batch that a session was accessed.
    pub(super) fn tell_of_access(&mut self, process: Process, key: Key) {
        if self.live(process, key, State::is_committed) == Some(true) {
            self.node(process).touched.insert(key);
        }
    }

    /// How long the limit of a session is.
    pub(super) fn last_access(&self, process: Process, key: Key) -> Option<Duration> {
        let time = self.time(process);
        self.live(process, key, |state| time.since(state.last_access()))
    }
}
