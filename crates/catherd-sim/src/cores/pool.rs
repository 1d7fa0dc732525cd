//! Several links to a member, in mode `pooled`, by the rules of `docs/link.md`.
//!
//! The first link is opened by the membership and lives as long as the member is met. Each session
//! has a place among the links by its key. A place without a link is opened at its first use, and
//! not only while its member is busy, so that links come and go often; until then the first link
//! stands in, and the new one begins to write when all that the first had by then has come to its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use catherd::Mode;
use catherd::core::key::Key;
use catherd::core::link::{Outbox, OutboxConfig, Outcome};
use catherd::core::message::Purpose;
use catherd::core::time::Time;
use catherd::core::version::Incarnation;

use super::node::{self, Link, LinkTicket, Node};
use super::queue::{ConnId, OPENER};
use super::world::World;
use crate::history::Process;

/// A member, and which of the links to it; 0 for the first.
pub(super) type LinkAt = (Incarnation, usize);

/// A place without a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opening {
    Called(ConnId),
    /// Not before this, since the last attempt failed.
    Failed {
        retry_at: Time,
    },
}

/// What a process keeps of the links behind the first ones.
#[derive(Debug, Default)]
pub(super) struct Pools {
    opening: BTreeMap<LinkAt, Opening>,
    /// The connections that members opened behind their first.
    incoming: BTreeSet<(Incarnation, ConnId)>,
    /// Links over which their members did not acknowledge in time.
    silent: BTreeSet<(Incarnation, usize)>,
    /// Links that were closed with nothing on their way, the latest last: what they acknowledged
    /// stays so.
    retired: VecDeque<(u64, Outbox)>,
    /// What has come of each session that a member writes, over whichever of its connections.
    came: BTreeMap<(Incarnation, Key), Came>,
}

/// Which writes of a session have come from a member.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    up_to: u64,
    /// Those after the first and up to the second were left out when more came: they did not fit
    /// into the queue.
    left_out: (u64, u64),
}

/// How many links a member has: enough for sessions to share one, and to have another.
const LINKS: usize = 3;

/// After an attempt that failed the first link stands in for so long.
const RETRY: Duration = Duration::from_secs(1);

/// So many links that have ended are still asked about their frames.
const RETIRED_MAX: usize = 256;

impl Node {
    /// All links to a member, the first one first.
    pub(super) fn links_to(&self, member: Incarnation) -> impl Iterator<Item = (LinkAt, &Link)> {
        let links = self.links.range((member, 0)..=(member, usize::MAX));
        links.map(|(at, link)| (*at, link))
    }

    /// What has become of a frame.
    pub(super) fn outcome(&self, ticket: LinkTicket) -> Option<Outcome> {
        let is_it = |link: &&Link| link.number == ticket.link;
        if let Some(link) = self.links.values().find(is_it) {
            return link.outbox.outcome(ticket.frame);
        }
        let mut retired = self.pools.retired.iter();
        match retired.find(|(number, _)| *number == ticket.link) {
            Some((_, outbox)) => outbox.outcome(ticket.frame),
            None => Some(Outcome::Gone),
        }
    }

    /// Whether a connection that a member opened is one of those that count.
    pub(super) fn is_incoming(&self, member: Incarnation, id: ConnId) -> bool {
        self.incoming.get(&member) == Some(&id) || self.pools.incoming.contains(&(member, id))
    }

    /// A member is connected behind its first connection.
    pub(super) fn joins_the_pool(&mut self, member: Incarnation, id: ConnId) {
        self.pools.incoming.insert((member, id));
    }

    pub(super) fn leaves_the_pool(&mut self, member: Incarnation, id: ConnId) {
        self.pools.incoming.remove(&(member, id));
    }

    /// The connections of a member behind its first end with that one.
    pub(super) fn take_pooled(&mut self, member: Incarnation) -> Vec<ConnId> {
        let taken = self.pools.incoming.extract_if(.., |(of, _)| *of == member);
        taken.map(|(_, id)| id).collect()
    }
}

impl World {
    /// The links of a member have equal parts of the bounds.
    pub(super) fn new_outbox(&self, config: OutboxConfig) -> Outbox {
        Outbox::one_of(config, self.links_to_each())
    }

    fn links_to_each(&self) -> usize {
        match self.plan.settings.mode {
            Mode::Pooled => LINKS,
            _ => 1,
        }
    }

    /// Over which link the fragments of a session go, opening one if there is none yet.
    pub(super) fn link_of(&mut self, process: Process, member: Incarnation, key: Key) -> LinkAt {
        let links = self.links_to_each() as u128;
        let place = usize::try_from((key.bits() >> 64) % links).expect("there are few");
        let (first, at) = ((member, 0), (member, place));
        let time = self.time(process);
        let node = self.node(process);
        if node.links.contains_key(&at) || !node.links.contains_key(&first) {
            return at;
        }
        let may_open = match node.pools.opening.get(&at) {
            None => true,
            Some(Opening::Failed { retry_at }) => time >= *retry_at,
            Some(Opening::Called(_)) => false,
        };
        let address = node.view().member(member).map(|member| member.address);
        if may_open && let Some(address) = address {
            let id = self.dial(process, member, node::at(address), Purpose::Pooled);
            let opening = &mut self.node(process).pools.opening;
            opening.insert(at, Opening::Called(id));
        }
        first
    }

    /// A call for a place was welcomed; `false` if there is no use for it any more.
    pub(super) fn place_more(&mut self, process: Process, id: ConnId) -> bool {
        let node = self.node(process);
        let mut opening = node.pools.opening.iter();
        let Some((&at, _)) = opening.find(|(_, it)| **it == Opening::Called(id)) else {
            return false;
        };
        node.pools.opening.remove(&at);
        let Some(first) = node.links.get(&(at.0, 0)) else {
            return false;
        };
        // Whatever comes later goes over the new link.
        let after = first.outbox.last_ticket();
        self.insert_link(process, at, id);
        let node = self.node(process);
        let is_silent = node.pools.is_silent(at.0);
        let link = node.links.get_mut(&at).expect("it was put there");
        link.after = Some(after);
        if is_silent {
            link.outbox.suspect();
        }
        true
    }

    /// A call for a place failed.
    pub(super) fn place_failed(&mut self, process: Process, id: ConnId) {
        let retry_at = self.time(process) + RETRY;
        for opening in self.node(process).pools.opening.values_mut() {
            if *opening == Opening::Called(id) {
                *opening = Opening::Failed { retry_at };
            }
        }
    }

    /// A link behind the first broke: what was on its way is marked, and the first stands in.
    pub(super) fn lost_more(&mut self, process: Process, at: LinkAt) {
        let retry_at = self.time(process) + RETRY;
        self.remove_link(process, at);
        let node = self.node(process);
        node.pools.opening.insert(at, Opening::Failed { retry_at });
        self.is_silent_without(process, at);
    }

    /// Whether a link has to wait for what went over the first one before it was there.
    pub(super) fn is_held(&mut self, process: Process, at: LinkAt) -> bool {
        let links = &mut self.node(process).links;
        let Some(after) = links.get(&at).and_then(|link| link.after) else {
            return false;
        };
        let is_past = links
            .get(&(at.0, 0))
            .is_none_or(|first| first.outbox.is_past(after));
        if is_past && let Some(link) = links.get_mut(&at) {
            link.after = None;
        }
        !is_past
    }

    /// Links that have nothing on their way are closed now and then.
    pub(super) fn retire_links(&mut self, process: Process) {
        if self.links_to_each() == 1 {
            return;
        }
        let node = self.node(process);
        let links = node.links.iter();
        let is_idle = |(at, link): &(&LinkAt, &Link)| {
            at.1 > 0 && link.after.is_none() && link.outbox.is_drained()
        };
        let idle: Vec<LinkAt> = links.filter(is_idle).map(|(at, _)| *at).collect();
        for at in idle {
            if !self.node(process).random.percent(RETIRED_PERCENT) {
                continue;
            }
            let node = self.node(process);
            let Some(link) = node.links.remove(&at) else {
                continue;
            };
            let Link {
                conn,
                number,
                outbox,
                ..
            } = link;
            node.pools.retired.push_back((number, outbox));
            if node.pools.retired.len() > RETIRED_MAX {
                node.pools.retired.pop_front();
            }
            node.ask_links();
            self.close(conn, OPENER);
            self.is_silent_without(process, at);
        }
    }

    /// A member did not acknowledge in time over this link: it is waited for over none.
    pub(super) fn found_silent(&mut self, process: Process, at: LinkAt) {
        self.node(process).pools.silent.insert(at);
        self.tell_others(process, at, true);
    }

    /// The member answers over this link, with nothing overdue. It is waited for once that is so for
    /// all of them.
    pub(super) fn found_answering(&mut self, process: Process, at: LinkAt) {
        if self.is_silent_without(process, at)
            && let Some(link) = self.node(process).links.get_mut(&at)
        {
            link.outbox.suspect();
        }
    }

    /// This link is not silent, or is no more; whether the member still is.
    fn is_silent_without(&mut self, process: Process, at: LinkAt) -> bool {
        let pools = &mut self.node(process).pools;
        let was_silent = pools.silent.remove(&at);
        let is_silent = pools.is_silent(at.0);
        if was_silent && !is_silent {
            self.tell_others(process, at, false);
        }
        is_silent
    }

    fn tell_others(&mut self, process: Process, at: LinkAt, is_silent: bool) {
        for (other, link) in &mut self.node(process).links {
            if other.0 != at.0 || *other == at {
                continue;
            }
            link.is_stirred = true;
            if is_silent {
                link.outbox.suspect();
            } else {
                link.outbox.relieve();
            }
        }
    }
}

impl Pools {
    fn is_silent(&self, member: Incarnation) -> bool {
        self.silent.iter().any(|(silent, _)| *silent == member)
    }

    /// Writes of a member have come, after `since` and up to `revision`; up to which one others had
    /// come, if these were left out then: over however many links they come, those of a session
    /// come in order, and what was left out does not come later. (What stands in a queue without
    /// bytes tells of all that was written since: others may tell of a part of it again.)
    pub(super) fn overtaken(
        &mut self,
        (member, key): (Incarnation, Key),
        since: Option<u64>,
        revision: u64,
    ) -> Option<u64> {
        let came = self.came.entry((member, key)).or_default();
        let (after, until) = came.left_out;
        let is_overtaken = revision > after && revision <= until;
        let before = came.up_to;
        match since {
            Some(since) if since > before => came.left_out = (before, since),
            Some(_) => {}
            None => came.left_out = (0, 0),
        }
        came.up_to = before.max(revision);
        is_overtaken.then_some(before)
    }

    /// A member begins anew, over a new first connection.
    pub(super) fn begins_anew(&mut self, member: Incarnation) {
        self.came.retain(|(of, _), _| *of != member);
    }

    /// All links to a member have been closed.
    pub(super) fn closed(&mut self, member: Incarnation) {
        self.opening.retain(|(of, _), _| *of != member);
        self.silent.retain(|(of, _)| *of != member);
    }
}

/// A link that could be closed is, so many times of a hundred that it is looked at.
const RETIRED_PERCENT: u64 = 3;
