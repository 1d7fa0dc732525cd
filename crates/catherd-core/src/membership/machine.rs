//! The membership of one node: its state, its time, what it shows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::config::{MembershipConfig, Myself};
use super::counters::MembershipCounters;
use super::effect::{Effect, MemberEvent, MemberName};
use super::missing::{Absence, Missing, MissingMember};
use super::names::Namesake;
use super::peer::{Contender, Outgoing, Peer, Retired, RetiredReason};
use super::pulse::{Pulse, Sent};
use super::view::{Member, View};
use crate::message::{HEARD_MAX, MemberState, Refusal};
use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::Incarnation;

/// Who is a member, seen from one node.
///
/// Call [`new`](Self::new), then drain [`poll_effect`](Self::poll_effect); from then on call the
/// `handle_*` method of whatever happens, and [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so, and drain the effects after each. The instants
/// passed must not run backwards. The state is bounded by
/// [`members_max`](MembershipConfig::members_max) and a few constants, the effects by a few per
/// known process and call.
///
/// A half of a link may be several sockets; it is opened and lost as a whole. Effects are
/// carried out in their order.
#[derive(Clone, Debug)]
pub struct Membership {
    pub(super) config: MembershipConfig,
    pub(super) myself: Myself,
    pub(super) state: MemberState,
    pub(super) is_leaving: bool,
    /// The counter of the last heartbeat sent.
    pub(super) counter: u64,
    pub(super) heartbeat_at: Time,
    pub(super) sent: Sent,
    /// When this node ran last.
    pub(super) pulse: Option<Pulse>,
    /// Everybody who is known, the view included.
    ///
    /// A `BTreeMap`, so that what happens to several happens in the same order in every run.
    pub(super) peers: BTreeMap<Incarnation, Peer>,
    /// Those that were known. At most [`RETIRED_MAX`].
    pub(super) retired: BTreeMap<Incarnation, Retired>,
    pub(super) missing: Missing,
    /// Another process with this node's own name.
    pub(super) namesake: Option<Namesake>,
    pub(super) declared_gone: u32,
    pub(super) arrivals: u32,
    pub(super) counters: MembershipCounters,
    pub(super) is_view_stale: bool,
    alone_at: Option<Time>,
    has_company: bool,
    is_full_told: bool,
    view: Arc<View>,
    effects: VecDeque<Effect>,
}

impl Membership {
    /// A membership of this node alone, which joins; a heartbeat is sent at once.
    ///
    /// # Panics
    ///
    /// The frequency is zero.
    pub fn new(config: MembershipConfig, myself: Myself, now: Time) -> Self {
        assert!(
            !config.frequency.is_zero(),
            "heartbeats without a pause between them"
        );
        let state = MemberState::Joining;
        let view = Arc::new(View {
            myself: member(&myself, state),
            members: Vec::new(),
        });
        let mut membership = Self {
            alone_at: Some(now + config.patience()),
            config,
            myself,
            state,
            is_leaving: false,
            counter: 0,
            heartbeat_at: now,
            sent: Sent::default(),
            pulse: None,
            peers: BTreeMap::new(),
            retired: BTreeMap::new(),
            missing: Missing::default(),
            namesake: None,
            declared_gone: 0,
            arrivals: 0,
            counters: MembershipCounters::default(),
            is_view_stale: false,
            has_company: false,
            is_full_told: false,
            view,
            effects: VecDeque::new(),
        };
        membership.send_heartbeat_when_due(now);
        membership
    }

    /// Time has passed. Calling this early or often is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.missing.expire(now, self.config.missing_for);
        self.send_heartbeat_when_due(now);
        self.give_up_connects(now);
        self.give_up_probes(now);
        self.suspect_the_silent(now);
        self.settle(now);
        if self.alone_at.is_some_and(|at| now >= at) {
            self.alone_at = None;
            self.tell(MemberEvent::Alone);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next; it may lie in the
    /// past.
    pub fn poll_timeout(&self) -> Option<Time> {
        let heartbeat = (!self.is_leaving).then_some(self.heartbeat_at);
        let peers = self.peers.values().filter_map(|peer| self.next_of(peer));
        let missing = self.missing.next_expiry(self.config.missing_for);
        let namesake = self.namesake.as_ref().and_then(Namesake::deadline);
        let others = [heartbeat, self.alone_at, missing, namesake];
        peers.chain(others.into_iter().flatten()).min()
    }

    /// The next thing to do, in order; drain it after every `handle_*`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// This node has its state: from now on the members may wait for it.
    pub fn become_ready(&mut self, now: Time) {
        if self.state == MemberState::Ready || self.is_leaving {
            return;
        }
        self.state = MemberState::Ready;
        self.is_view_stale = true;
        for incarnation in self.open_outgoing() {
            self.effects.push_back(Effect::SendReady { incarnation });
        }
        self.settle(now);
    }

    /// This node leaves: it says goodbye, is silent, opens and accepts no connection any more.
    pub fn leave(&mut self, now: Time) {
        if self.is_leaving {
            return;
        }
        self.is_leaving = true;
        self.alone_at = None;
        for incarnation in self.open_outgoing() {
            self.effects.push_back(Effect::SendGoodbye { incarnation });
        }
        self.settle(now);
    }

    /// The operator says that the missing member of this name will not come back. `false` if it
    /// was not missing.
    pub fn forget(&mut self, name: &str) -> bool {
        let Some(forgotten) = self.missing.remove(name) else {
            return false;
        };
        if let Some(retired) = self.retired.get_mut(&forgotten.incarnation) {
            retired.reason = RetiredReason::Forgotten;
        }
        true
    }

    /// Who is a member now.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// How many members this node has declared gone after a failed probe: a commit that finds
    /// another figure than the last one to the same copy raises the fence.
    pub fn declared_gone(&self) -> u32 {
        self.declared_gone
    }

    /// How often a member has come into the view, be it for the first time or again: whoever it is
    /// may have what nobody had before.
    pub fn arrivals(&self) -> u32 {
        self.arrivals
    }

    /// The missing members, by name.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = &MissingMember> {
        self.missing.iter()
    }

    /// Whether a member in the view hears or misses a process that this node has not met: what ends
    /// here does not reach it.
    pub fn is_any_unmet(&self) -> bool {
        let is_in_view = |it| self.peers.get(it).is_some_and(|peer| peer.is_in_view);
        let is_done_with = |it| {
            let retired = self.retired.get(it);
            retired.is_some_and(|retired| retired.reason != RetiredReason::Lost)
        };
        let members = self.peers.values().filter(|peer| peer.is_in_view);
        members
            .flat_map(|peer| &peer.hears)
            .any(|it| *it != self.myself.incarnation && !is_in_view(it) && !is_done_with(it))
    }

    /// Who may not hear of an end that goes out now.
    pub fn absence(&self) -> Absence {
        Absence {
            is_any: self.missing.iter().len() > 0 || self.is_any_unmet(),
            declared_gone: self.declared_gone,
        }
    }

    /// Whether the member of this name is missing.
    pub fn is_missing(&self, name: &str) -> bool {
        self.missing.contains(name)
    }

    /// How long ago the process gave its last sign of life; `None` if it is not known.
    pub fn silence(&self, incarnation: Incarnation, now: Time) -> Option<Duration> {
        self.peers
            .get(&incarnation)
            .map(|peer| now.since(peer.alive_at))
    }

    /// Whether this node has said goodbye.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// How far this node has come.
    pub fn state(&self) -> MemberState {
        self.state
    }

    /// How far this node has met the others: a node that starts waits for it.
    pub fn met(&self) -> Met {
        let is_ready = |peer: &Peer| peer.is_in_view && peer.state == MemberState::Ready;
        let tells_all = |peer: &Peer| peer.hears.len() < HEARD_MAX;
        let mut ready = self.peers.values().filter(|peer| is_ready(peer)).peekable();
        if !self.is_settled() {
            Met::NotAll
        } else if ready.peek().is_some() && ready.all(tells_all) && !self.is_any_unmet() {
            Met::Everybody
        } else {
            Met::AllHeard
        }
    }

    /// Whether everybody who was heard is in the view, or cannot be met.
    ///
    /// Who refuses this node because of its name may only not have noticed yet that the process
    /// before it has ended.
    fn is_settled(&self) -> bool {
        let is_decided = |peer: &Peer| match peer.refused {
            Some((Refusal::NameTaken | Refusal::Leaving, _)) => false,
            Some(_) => true,
            None => peer.failures > 2,
        };
        self.peers
            .values()
            .all(|peer| peer.is_in_view || is_decided(peer))
    }

    /// What has happened so far.
    pub fn counters(&self) -> &MembershipCounters {
        &self.counters
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(super) fn tell(&mut self, event: MemberEvent) {
        self.effects.push_back(Effect::Event(event));
    }

    /// Does what has become due; the end of every `handle_*`.
    pub(super) fn settle(&mut self, now: Time) {
        self.conclude(now);
        self.connect_due(now);
        if self.is_view_stale {
            self.is_view_stale = false;
            let members = self.peers.values().filter(|peer| peer.is_in_view);
            self.view = Arc::new(View {
                myself: member(&self.myself, self.state),
                members: members.map(Peer::to_member).collect(),
            });
        }
        if !self.peers.is_empty() {
            self.has_company = true;
            self.alone_at = None;
        } else if self.has_company && !self.is_leaving {
            self.has_company = false;
            self.alone_at = Some(now + self.config.patience());
        }
        if self.has_room() {
            self.is_full_told = false;
        }
    }

    /// Whoever has this name.
    pub(super) fn holder(&self, name: &str) -> Option<Incarnation> {
        self.peers
            .values()
            .find(|peer| peer.who.name == name)
            .map(|peer| peer.who.incarnation)
    }

    /// Makes a process known, if there is room.
    ///
    /// Who was only heard may fill a few places and never the last; who has opened a connection
    /// takes the place of one that was only heard.
    pub(super) fn learn(&mut self, now: Time, newcomer: Contender) -> bool {
        let unverified = || self.peers.values().filter(|peer| !peer.is_verified);
        if newcomer.is_verified {
            if !self.has_room()
                && let Some(oldest) = unverified().min_by_key(|peer| peer.alive_at)
            {
                let oldest = oldest.who.incarnation;
                self.drop_candidate(now, oldest);
            }
        } else if unverified().count() >= UNVERIFIED_MAX {
            return false;
        }
        if !self.has_room() {
            if !self.is_full_told {
                self.is_full_told = true;
                self.tell(MemberEvent::Full(newcomer.who));
            }
            return false;
        }
        let incarnation = newcomer.who.incarnation;
        self.tell(MemberEvent::Heard(newcomer.who.clone()));
        let before = self.retired.remove(&incarnation);
        self.peers
            .insert(incarnation, Peer::new(newcomer, before, now));
        true
    }

    /// Forgets a process that is not in the view.
    pub(super) fn drop_candidate(&mut self, now: Time, incarnation: Incarnation) {
        let Some(peer) = self.remove(now, incarnation, RetiredReason::Lost) else {
            return;
        };
        debug_assert!(!peer.is_in_view, "a member is declared gone, not dropped");
        self.succeed(now, peer.contender);
    }

    /// Takes a process out, with its connections.
    pub(super) fn remove(
        &mut self,
        now: Time,
        incarnation: Incarnation,
        reason: RetiredReason,
    ) -> Option<Peer> {
        let peer = self.peers.remove(&incarnation)?;
        self.is_view_stale |= peer.is_in_view;
        let is_connected = peer.is_open() || matches!(peer.outgoing, Outgoing::Connecting { .. });
        if is_connected && !is_planted(Bug::ReadsTheGone) {
            self.push(Effect::Disconnect { incarnation });
        }
        // Of those that were only heard nothing is kept: anybody could have made them up.
        if peer.is_verified {
            if self.retired.len() >= RETIRED_MAX {
                let oldest = self.retired.iter().min_by_key(|(_, retired)| retired.at);
                if let Some(oldest) = oldest.map(|(&oldest, _)| oldest) {
                    self.retired.remove(&oldest);
                }
            }
            let Peer {
                counter, heard_at, ..
            } = peer;
            self.retired.insert(
                incarnation,
                Retired {
                    counter,
                    heard_at,
                    at: now,
                    reason,
                },
            );
        }
        Some(peer)
    }

    fn has_room(&self) -> bool {
        self.peers.len() + 1 < self.config.members_max
    }

    fn open_outgoing(&self) -> Vec<Incarnation> {
        let open = self.peers.values().filter(|peer| peer.is_outgoing_open());
        open.map(|peer| peer.who.incarnation).collect()
    }

    fn next_of(&self, peer: &Peer) -> Option<Time> {
        if let Some(probe) = peer.probe {
            let probe_at = probe.failed.map_or(probe.deadline, |failed| failed.until);
            return Some(match peer.outgoing {
                Outgoing::Connecting { deadline } => probe_at.min(deadline),
                Outgoing::Closed { .. } | Outgoing::Open { .. } => probe_at,
            });
        }
        let silent_at = peer.alive_at + self.config.drop_time;
        Some(match peer.outgoing {
            Outgoing::Connecting { deadline } => silent_at.min(deadline),
            Outgoing::Closed { retry_at } if !self.is_leaving => silent_at.min(retry_at),
            Outgoing::Closed { .. } | Outgoing::Open { .. } => silent_at,
        })
    }
}

/// How far a node has met the others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Met {
    /// Not everybody who was heard.
    NotAll,
    /// Everybody who was heard, or they cannot be met. More may be heard until each had the time
    /// for a heartbeat.
    AllHeard,
    /// A ready member is among them, and whomever it and the others hear was met: there is nobody
    /// to wait for.
    Everybody,
}

impl From<&Myself> for MemberName {
    fn from(myself: &Myself) -> Self {
        let Myself {
            name,
            incarnation,
            address,
            ..
        } = myself;
        Self {
            name: name.clone(),
            incarnation: *incarnation,
            address: *address,
        }
    }
}

fn member(myself: &Myself, state: MemberState) -> Member {
    Member {
        incarnation: myself.incarnation,
        name: myself.name.clone(),
        address: myself.address,
        domain: myself.domain.clone(),
        state,
        is_suspect: false,
    }
}

/// How many processes are known that were only heard and never answered: a flood of forged
/// heartbeats gets no further, and causes no more than this many connects at once. More nodes
/// than this starting in the same instant find each other with the next heartbeats.
pub(super) const UNVERIFIED_MAX: usize = 64;

/// How many are remembered that were known once; the counter in a hello comes from here when a
/// member returns.
const RETIRED_MAX: usize = 1024;
