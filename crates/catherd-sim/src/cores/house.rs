//! What a process does every second: touches, and what is due; and the end of idle sessions.

use std::time::Duration;

use catherd::core::expiry::{Beside, Held, Inquiry, Patience, Turn, Use, Verdict};
use catherd::core::key::Key;
use catherd::core::message::Message;
use catherd::core::session::{Entry, State};
use catherd::core::time::Time;
use catherd::core::version::Incarnation;

use super::node::{BATCH, CONTEXT, tombstone_life};
use super::questions;
use super::world::{Me, World};
use crate::history::Process;

/// How much longer each next one waits before it asks.
const TOLERANCE: Duration = Duration::from_secs(10);

/// Digests are computed anew once in so many sweeps.
const ANEW_EVERY: u32 = 64;

impl World {
    pub(super) fn keep_house(&mut self, process: Process) {
        self.send_touches(process);
        self.sweep(process);
        self.check_digests(process);
        self.retire_links(process);
    }

    fn send_touches(&mut self, process: Process) {
        let touched = std::mem::take(&mut self.node(process).touched);
        let age = |&key: &Key| Some((key, self.last_access(process, key)?));
        let ages: Vec<_> = touched.iter().filter_map(age).collect();
        if !ages.is_empty() {
            let context = CONTEXT.to_owned();
            self.tell_all(process, &Message::Touch { context, ages });
        }
    }

    fn check_digests(&mut self, process: Process) {
        let time = self.time(process);
        let node = self.node(process);
        node.sweeps += 1;
        if !node.sweeps.is_multiple_of(ANEW_EVERY) {
            return;
        }
        let is_true = node.table.has_true_digests(time);
        if !is_true || node.table.digests().total() != node.total {
            let what = format!("{process}: the digests kept are not those computed anew");
            self.broken("3: digests are kept", what);
        }
    }

    fn sweep(&mut self, process: Process) {
        let time = self.time(process);
        let mut due = Vec::new();
        let node = self.node(process);
        while let Some(&(at, key)) = node.filed.first().filter(|(at, _)| *at <= time) {
            node.filed.remove(&(at, key));
            due.push(key);
        }
        let mut to_ask = Vec::new();
        for key in due {
            self.node(process).besides(key).filed = None;
            let again = match self.turn(process, key, time) {
                Turn::Again(at) => Some(at),
                Turn::Never => None,
                Turn::Forget => {
                    self.change(process, key, |entry| *entry = None);
                    continue;
                }
                Turn::Expire => {
                    self.destroyed(process, key, "expired");
                    self.change(process, key, |entry| *entry = None);
                    continue;
                }
                Turn::Ask => {
                    self.node(process).besides(key).is_asked_about = true;
                    to_ask.push(key);
                    let access_timeout = self.plan.settings.access_timeout;
                    Some(time + access_timeout + 2 * BATCH)
                }
                Turn::End => unreachable!("sessions have no lifetime here"),
            };
            // What has become idle, or half as old as it becomes, leaves the digests.
            self.change(process, key, |_| ());
            if let Some(at) = again {
                self.file(process, key, at);
            }
        }
        if !to_ask.is_empty() {
            self.inquiries.push((process, to_ask));
        }
    }

    fn file(&mut self, process: Process, key: Key, at: Time) {
        let node = self.node(process);
        let beside = node.sides.entry(key).or_default();
        if let Some(filed) = beside.filed.replace(at) {
            node.filed.remove(&(filed, key));
        }
        node.filed.insert((at, key));
    }

    /// What becomes of an entry that was due.
    fn turn(&mut self, process: Process, key: Key, now: Time) -> Turn {
        if self.node(process).has_request(key) {
            let is_shared = self.change(process, key, |entry| {
                let state = entry.as_mut().and_then(Entry::live_mut)?;
                state.touch(now);
                Some(state.is_committed())
            });
            if is_shared == Some(true) {
                self.node(process).touched.insert(key);
            }
        }
        let node = self.node(process);
        let Some(entry) = node.table.entry(key) else {
            return Turn::Forget;
        };
        let has_request = node.has_request(key);
        let side = node.sides.get(&key).cloned().unwrap_or_default();
        let live = entry.live();
        let beside = Beside {
            has_request,
            is_kept: side.is_kept,
            is_asked_about: side.is_asked_about,
            is_shared: live.is_some_and(State::is_committed),
            lifetime_end: None,
            tombstone_life: tombstone_life(live.and_then(State::idle_limit)),
        };
        let patience = Patience {
            batch: BATCH,
            tolerance: TOLERANCE,
        };
        let sight = (node.view(), node.is_any_missing());
        patience.turn((&key, &entry), now, &beside, sight)
    }

    /// Says which of these sessions are used here, to a member that asks whether they are over.
    pub(super) fn used(
        &mut self,
        process: Process,
        from: Incarnation,
        ages: &[(Key, Duration)],
    ) -> Vec<(Key, Duration)> {
        let time = self.time(process);
        let node = self.node(process);
        let goes_first = node.incarnation < from;
        let used = |&(key, asked): &(Key, Duration)| {
            node.table.look(key, |entry| {
                let Some(state) = entry?.live() else {
                    return Some((key, asked));
                };
                let beside = node.sides.get(&key);
                let asks_first = beside.is_some_and(|it| it.is_asked_about) && goes_first;
                let held = Held::of(state, time, node.has_request(key), asks_first);
                Some((key, held.answer(asked)?))
            })
        };
        ages.iter().filter_map(used).collect()
    }

    fn is_unused(&self, process: Process, key: Key) -> bool {
        let time = self.time(process);
        let has_request = self.look(process).is_some_and(|node| node.has_request(key));
        !has_request && self.live(process, key, |state| state.is_idle(time)) == Some(true)
    }

    /// A member has asked everybody, and nobody uses these: they have ended there.
    pub(super) fn expired(&mut self, process: Process, keys: &[Key]) {
        let is_any_missing = self.node(process).is_any_missing();
        for &key in keys {
            if self.is_unused(process, key) {
                self.drop_or_keep(process, key, is_any_missing);
            } else if self.live(process, key, |_| ()).is_some() {
                // It was used after the answer: whoever dropped it gets it back.
                self.node(process).touched.insert(key);
            }
        }
    }

    fn drop_or_keep(&mut self, process: Process, key: Key, is_any_missing: bool) {
        if is_any_missing {
            self.node(process).besides(key).is_kept = true;
        } else {
            self.change(process, key, |entry| *entry = None);
        }
    }

    /// Moves the last access of sessions to where a member says it was. A session that is not here,
    /// or idle all the same, is a gap: it is fetched from there.
    pub(super) fn touched(&mut self, process: Process, at: Incarnation, ages: &[(Key, Duration)]) {
        let time = self.time(process);
        let mut gaps = Vec::new();
        for &(key, age) in ages {
            let table = &self.node(process).table;
            let is_gap = table.look(key, |entry| entry.is_none())
                || self.change(process, key, |entry| {
                    let Some(state) = entry.as_mut().and_then(Entry::live_mut) else {
                        return false;
                    };
                    state.touch(time.ago(age));
                    state.is_idle(time)
                });
            if is_gap {
                gaps.push(key);
            } else {
                self.note_revival(process, key);
            }
        }
        let node = self.node(process);
        let is_in_view = node.view().member(at).is_some();
        if !gaps.is_empty() && is_in_view && node.am_ready() && node.filling.insert(at) {
            self.fillings.push((process, at, gaps));
        }
    }
}

/// Asks all members about one batch, and does what the answers come to.
pub(super) async fn ask_about(me: Me, keys: Vec<Key>) {
    let process = me.process;
    let about = keys.clone();
    let (ages, members, deadline) = me
        .act(move |world| {
            let age = |&key: &Key| Some((key, world.last_access(process, key)?));
            let ages: Vec<_> = about.iter().filter_map(age).collect();
            let deadline = world.time(process) + world.plan.settings.access_timeout;
            (ages, world.members(process), deadline)
        })
        .await;
    let mut asked = Vec::new();
    for &member in &members {
        let ages = ages.clone();
        let message = |question| Message::Expire {
            question,
            context: CONTEXT.to_owned(),
            ages,
        };
        asked.push((member, questions::ask(&me, member, deadline, message).await));
    }
    let mut inquiry = Inquiry::new(keys);
    for (member, asked) in asked {
        match asked.answer(&me).await {
            Some(Message::Used { ages, .. }) => inquiry.handle_used(member, &ages),
            _ => inquiry.handle_unanswered(),
        }
    }
    me.act(move |world| {
        // Who came meanwhile may have used any of them.
        if world
            .members(process)
            .iter()
            .any(|it| !members.contains(it))
        {
            inquiry.handle_unanswered();
        }
        world.conclude(process, inquiry.verdict());
    })
    .await;
}

impl World {
    /// The members in the view of a process.
    pub(super) fn members(&self, process: Process) -> Vec<Incarnation> {
        let node = self.look(process).expect("who asks, runs");
        let members = node.view().members.iter();
        members.map(|member| member.incarnation).collect()
    }

    fn conclude(&mut self, process: Process, verdict: Verdict) {
        let Verdict {
            alive,
            over,
            unknown,
        } = verdict;
        for key in unknown {
            if let Some(beside) = self.node(process).sides.get_mut(&key) {
                beside.is_asked_about = false;
            }
        }
        for (key, Use { age, by }) in alive {
            if let Some(beside) = self.node(process).sides.get_mut(&key) {
                beside.is_asked_about = false;
            }
            self.touched(process, by, &[(key, age)]);
            self.node(process).touched.insert(key);
        }
        let is_any_missing = self.node(process).is_any_missing();
        let mut dropped = Vec::new();
        for key in over {
            if let Some(beside) = self.node(process).sides.get_mut(&key) {
                beside.is_asked_about = false;
            }
            if !self.is_unused(process, key) {
                continue;
            }
            let is_kept = self.node(process).besides(key).is_kept;
            if !is_kept {
                self.destroyed(process, key, "expired");
            }
            dropped.push(key);
            self.drop_or_keep(process, key, is_any_missing);
        }
        if !dropped.is_empty() {
            let message = Message::Expired {
                context: CONTEXT.to_owned(),
                keys: dropped,
                is_early: false,
            };
            self.tell_all(process, &message);
        }
    }

    /// Whether anything is under a key that a client could be shown.
    pub(super) fn is_shown(&self, process: Process, key: Key) -> bool {
        let time = self.time(process);
        let has_request = self.look(process).is_some_and(|node| node.has_request(key));
        let is_used = |state: &State| !state.is_idle(time) || has_request;
        self.live(process, key, is_used) == Some(true)
    }
}
