//! Both ends of a link: the outbox of who opened it, the inbox of who accepted it, and what either
//! answers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use catherd::core::key::Key;
use catherd::core::link::{
    Applied, Confirm, ContextId, Frame, FrameClass, Joining, OutboxConfig, OutboxEffect,
};
use catherd::core::message::{Answer, Message};
use catherd::core::session::{Content, Fragment};
use catherd::core::session::{Entry, State};
use catherd::core::sync::Marks;
use catherd::core::time::Time;
use catherd::core::version::{Incarnation, Vector};
use catherd::env::Place;

use super::network::{Item, Role};
use super::node::{CONTEXT, Link, LinkTicket};
use super::pool::LinkAt;
use super::queue::{ACCEPTOR, ConnId, OPENER};
use super::world::World;
use crate::history::{Lag, Process};

/// The only context's number.
pub(super) const ID: ContextId = ContextId(0);

/// Frames are written although something is unacknowledged once so many bytes wait.
const WRITE_AHEAD_BYTES: usize = 64 * 1024;

/// A queue with at most this part of what it may hold has drained.
const FREE_SHARE: usize = 4;

impl World {
    fn outbox_config(&self) -> OutboxConfig {
        let settings = &self.plan.settings;
        OutboxConfig {
            joining: match settings.mode {
                catherd::Mode::Asynchronous => Joining::Join,
                _ => Joining::Keep,
            },
            confirm: Confirm::Applied,
            queue_bytes_max: settings.queue_bytes_max,
            queue_frames_max: settings.queue_frames_max,
            ack_timeout: settings.ack_timeout,
            write_ahead_bytes: WRITE_AHEAD_BYTES,
        }
    }

    /// A connection that was welcomed becomes the link to a member.
    pub(super) fn place_link(&mut self, process: Process, member: Incarnation, conn: ConnId) {
        self.drop_links(process, member);
        self.insert_link(process, (member, 0), conn);
    }

    pub(super) fn insert_link(&mut self, process: Process, at: LinkAt, conn: ConnId) {
        let (opened, outbox) = (self.now, self.new_outbox(self.outbox_config()));
        let node = self.node(process);
        node.next_link += 1;
        let link = Link {
            number: node.next_link,
            conn,
            opened,
            outbox,
            questions: 0,
            open: BTreeMap::new(),
            has_marks: false,
            unmarked: BTreeSet::new(),
            after: None,
            is_stirred: true,
        };
        node.links.insert(at, link);
    }

    /// All links to a member are closed: what was on its way is marked.
    pub(super) fn drop_links(&mut self, process: Process, member: Incarnation) {
        let all = self.node(process).links_to(member).map(|(at, _)| at);
        // The first one last: where a frame goes meanwhile, it finds a link that is closed.
        for at in all.collect::<Vec<_>>().into_iter().rev() {
            self.remove_link(process, at);
        }
        self.node(process).pools.closed(member);
    }

    /// A link is closed: what was on its way is marked.
    pub(super) fn remove_link(&mut self, process: Process, at: LinkAt) {
        let Some(link) = self.node(process).links.get_mut(&at) else {
            return;
        };
        link.outbox.close();
        let conn = link.conn;
        self.attend(process, at);
        let node = self.node(process);
        node.links.remove(&at);
        node.ask_links();
        self.close(conn, OPENER);
        self.stir(process);
    }

    /// What a process has under way, as it publishes it. Not to members that lack what was marked.
    pub(super) fn lag(&self, process: Process) -> Vec<Lag> {
        let Some(node) = self.look(process) else {
            return Vec::new();
        };
        let time = node.clock.time(self.now);
        let lags = node.view().members.iter().filter_map(|member| {
            let opened = node.links.get(&(member.incarnation, 0))?.opened;
            let to = *self.processes.get(&member.incarnation)?;
            let frames = node.links_to(member.incarnation).map(|(_, link)| {
                let snapshot = link.outbox.snapshot(time);
                snapshot.queued_frames + snapshot.unacknowledged_frames
            });
            let is_whole = member.is_ready() && node.schedule.marked(member.incarnation) == 0;
            is_whole.then_some(Lag {
                member: to,
                since: opened,
                frames: frames.sum(),
            })
        });
        lags.collect()
    }

    /// Queues a frame for a member; the ticket names no link if there is none.
    pub(super) fn push(
        &mut self,
        process: Process,
        member: Incarnation,
        now: Time,
        frame: Frame,
    ) -> LinkTicket {
        let (frames_max, bytes_max) = (
            self.plan.settings.queue_frames_max,
            self.plan.settings.queue_bytes_max,
        );
        let at = self.link_of(process, member, frame.key);
        let node = self.node(process);
        let Some(link) = node.links.get_mut(&at) else {
            return LinkTicket {
                link: 0,
                frame: catherd::core::link::Ticket::default(),
            };
        };
        let (bytes, key) = (frame.payload.len(), frame.key);
        let shed = link.outbox.snapshot(now).counters.shed;
        let frame = link.outbox.push(now, frame);
        if link.outbox.snapshot(now).counters.shed > shed {
            link.unmarked.insert(key);
        }
        link.is_stirred = true;
        let number = link.number;
        let snapshot = link.outbox.snapshot(now);
        let queued = snapshot.queued_bytes - snapshot.tombstone_bytes;
        // One frame has room however large it is.
        let has_one = snapshot.queued_frames <= 1;
        if queued > bytes_max && !has_one {
            let what = format!("{process} has {queued} bytes queued, the last of {bytes}");
            self.broken("9: queues have their bound", what);
        }
        let tombstones = usize::try_from(snapshot.counters.tombstones).unwrap_or(usize::MAX);
        if frames_max.is_some_and(|max| snapshot.queued_frames > max.max(1) + tombstones) {
            let what = format!("{process} has {} frames queued", snapshot.queued_frames);
            self.broken("9: queues have their bound", what);
        }
        LinkTicket {
            link: number,
            frame,
        }
    }

    /// Queues a message that has no number.
    pub(super) fn tell(&mut self, process: Process, member: Incarnation, message: &Message) {
        let frame = message.to_frame(None);
        let node = self.node(process);
        let Some(link) = node.links.get_mut(&(member, 0)) else {
            return;
        };
        link.is_stirred = true;
        if link.outbox.push_control(frame).is_err() {
            // The member does not read: what it misses it gets when it comes back.
            self.link_failed(process, member);
        }
    }

    fn link_failed(&mut self, process: Process, member: Incarnation) {
        let time = self.time(process);
        self.drop_links(process, member);
        self.node(process).membership.handle_link_lost(
            time,
            member,
            catherd::core::membership::Direction::Outgoing,
        );
    }

    pub(super) fn tell_all(&mut self, process: Process, message: &Message) {
        let firsts = self.node(process).links.keys().filter(|at| at.1 == 0);
        let members: Vec<_> = firsts.map(|at| at.0).collect();
        for member in members {
            self.tell(process, member, message);
        }
    }

    /// Writes to the links with which something was done; whether there was any.
    pub(super) fn pump_all(&mut self, process: Process) -> bool {
        let mut stirred: Vec<LinkAt> = Vec::new();
        for (at, link) in &mut self.node(process).links {
            if std::mem::take(&mut link.is_stirred) {
                stirred.push(*at);
            }
        }
        if stirred.is_empty() {
            return false;
        }
        for at in stirred {
            self.pump(process, at);
        }
        self.node(process).ask_links();
        true
    }

    /// Writes what the rules allow, as far as the kernel takes it.
    pub(super) fn pump(&mut self, process: Process, at: LinkAt) {
        let (time, now) = (self.time(process), self.now);
        while !self.is_held(process, at) {
            let Some(link) = self.node(process).links.get(&at) else {
                return;
            };
            let conn = link.conn;
            if !self.network.has_room(conn, OPENER) {
                break;
            }
            let outbox = &mut self
                .node(process)
                .links
                .get_mut(&at)
                .expect("it was there")
                .outbox;
            let mut out = BytesMut::new();
            let wrote = outbox.to_write(time, &mut out);
            if wrote {
                outbox.written(time);
            }
            let to_encode = outbox.take_joined();
            if wrote {
                self.put(conn, OPENER, Item::Bytes(out.freeze()), now);
            }
            if to_encode.is_empty() {
                if wrote {
                    continue;
                }
                break;
            }
            for entry in to_encode {
                let payload = self.encode_since(process, entry.key, entry.since);
                if let Some(link) = self.node(process).links.get_mut(&at) {
                    link.outbox.fill(entry.ticket, payload);
                }
            }
        }
        self.attend(process, at);
        self.tell_if_free(process, at.0);
    }

    /// Does what an outbox asks for.
    fn attend(&mut self, process: Process, at: LinkAt) {
        let (member, _) = at;
        loop {
            let node = self.node(process);
            let Some(link) = node.links.get_mut(&at) else {
                return;
            };
            let Some(effect) = link.outbox.poll() else {
                let unmarked = std::mem::take(&mut link.unmarked);
                if !unmarked.is_empty() {
                    let what = format!("{process}: {unmarked:?} for {member}");
                    self.broken("9: what is shed is marked", what);
                }
                return;
            };
            if let OutboxEffect::Marked { key, .. } = &effect {
                link.unmarked.remove(key);
            }
            node.is_stirred = true;
            match effect {
                OutboxEffect::Settled => {}
                OutboxEffect::Suspect => {
                    self.say(|| format!("{process}: {member} {effect:?}"));
                    self.found_silent(process, at);
                }
                OutboxEffect::Recovered => {
                    self.say(|| format!("{process}: {member} {effect:?}"));
                    self.found_answering(process, at);
                }
                OutboxEffect::Marked { key, class, .. } => {
                    let ended = node.has_ended(key);
                    let buckets = if class == FrameClass::Tombstone && !ended {
                        Marks::all()
                    } else {
                        [key].into_iter().collect()
                    };
                    node.schedule.mark(member, ID, &buckets);
                    if let Some(link) = node.links.get_mut(&(member, 0)) {
                        link.has_marks = true;
                    }
                }
                OutboxEffect::Ended { key, .. } => {
                    if !node.has_ended(key) {
                        self.truth.to_ask.push((process, member, key));
                    }
                }
            }
        }
    }

    /// What was marked is repaired when its bytes are not in the way of others.
    fn tell_if_free(&mut self, process: Process, member: Incarnation) {
        let time = self.time(process);
        let settings = &self.plan.settings;
        let bytes_max = settings.queue_bytes_max / FREE_SHARE;
        let frames_max = settings
            .queue_frames_max
            .map_or(usize::MAX, |max| max / FREE_SHARE);
        let node = self.node(process);
        if node
            .links
            .get(&(member, 0))
            .is_none_or(|link| !link.has_marks)
        {
            return;
        }
        let (mut bytes, mut frames, mut is_suspect) = (0, 0, false);
        for (_, link) in node.links_to(member) {
            let snapshot = link.outbox.snapshot(time);
            bytes += snapshot.queued_bytes;
            frames += snapshot.queued_frames;
            is_suspect |= snapshot.is_suspect;
        }
        let has_drained = bytes <= bytes_max && frames <= frames_max;
        if has_drained && !is_suspect {
            let first = node.links.get_mut(&(member, 0));
            first.expect("it has marks").has_marks = false;
            node.schedule.link_free(time, member);
            node.is_stirred = true;
        }
    }

    pub(super) fn handle_at_opener(
        &mut self,
        process: Process,
        (id, member): (ConnId, Incarnation),
        message: Message,
    ) {
        let time = self.time(process);
        let node = self.node(process);
        let mut links = node.links.range_mut((member, 0)..=(member, usize::MAX));
        let Some((at, link)) = links.find(|(_, link)| link.conn == id) else {
            return;
        };
        match message {
            Message::Ack(ack) => {
                link.is_stirred = true;
                if at.1 == 0 {
                    // The others may have waited for that.
                    links.for_each(|(_, other)| other.is_stirred |= other.after.is_some());
                }
                if let Err(error) = link.outbox.acknowledged(time, &ack) {
                    self.broken(
                        "3: acknowledgements are true",
                        format!("{process}: {error}"),
                    );
                }
            }
            Message::Whole { question, .. }
            | Message::Summaries { question, .. }
            | Message::Used { question, .. } => {
                if let Some(open) = link.open.get_mut(&question) {
                    *open = Some(message);
                }
            }
            other => {
                if let Some(reply) = self.answer(process, member, other) {
                    self.tell(process, member, &reply);
                }
            }
        }
    }

    pub(super) fn handle_at_acceptor(
        &mut self,
        process: Process,
        (id, member): (ConnId, Incarnation),
        number: u64,
        message: Message,
    ) {
        match message {
            Message::Fragments { fragments, .. } => {
                self.apply_frame(process, (id, member), number, &fragments);
            }
            Message::Whole {
                question, answers, ..
            } => {
                let conn = self.network.conns.get_mut(&id).expect("it is read");
                conn.gaps.asked.retain(|_, asked| *asked != question);
                for fragment in answers.into_iter().filter_map(|answer| answer.fragment) {
                    self.apply(process, &[fragment]);
                }
            }
            other => {
                if let Some(reply) = self.answer(process, member, other) {
                    let now = self.now;
                    self.put(id, ACCEPTOR, Item::Bytes(reply.to_frame(None)), now);
                }
            }
        }
    }

    fn apply_frame(
        &mut self,
        process: Process,
        (id, member): (ConnId, Incarnation),
        number: u64,
        fragments: &[Fragment],
    ) {
        let node = self.node(process);
        if node.gone.contains(&member) || !node.is_incoming(member, id) {
            let what = format!("{process} reads of {member}, which is gone");
            self.broken("6: nothing after a member was declared gone", what);
        }
        let conn = self.network.conns.get_mut(&id).expect("it is read");
        if let Err(error) = conn.inbox.receive(number) {
            self.broken("3: frames are numbered", format!("{process}: {error}"));
            return;
        }
        // What was under way over a link that broke may come late; its buckets are marked.
        let is_held = conn.roles[OPENER] != Role::Closed;
        for fragment in fragments.iter().filter(|_| is_held) {
            if let Content::Write(write) = &fragment.content {
                let (key, revision) = (fragment.key, write.seen.revision(member));
                let pools = &mut self.node(process).pools;
                let since = write.since.map(|since| since.revision);
                if let Some(before) = pools.overtaken((member, key), since, revision) {
                    let what = format!("{process}: {key}: {revision} of {member} after {before}");
                    self.broken("3: writes of a session stay in order", what);
                }
            }
        }
        let outcomes = self.apply(process, fragments);
        let (key, applied) = Applied::of_frame(outcomes).expect("a frame has a fragment");
        let vouched = fragments.iter().map(|fragment| match &fragment.content {
            Content::Write(write) => (fragment.key, Some(write.seen.clone())),
            Content::Tombstone(_) => (fragment.key, None),
        });
        let conn = self.network.conns.get_mut(&id).expect("it is read");
        conn.vouched.push_back((number, vouched.collect()));
        conn.inbox.applied(number, ID, key, applied);
        if applied == Applied::Behind {
            self.ask_for_gap(process, id, key);
        }
    }

    fn ask_for_gap(&mut self, process: Process, id: ConnId, key: Key) {
        let (held, now) = (self.seen(process, key), self.now);
        let is_behind = self.is_behind(process, key);
        let conn = self.network.conns.get_mut(&id).expect("it is read");
        if !is_behind || conn.gaps.asked.contains_key(&(ID, key)) {
            return;
        }
        conn.gaps.questions += 1;
        let question = conn.gaps.questions;
        conn.gaps.asked.insert((ID, key), question);
        let fetch = Message::Fetch {
            question,
            context: CONTEXT.to_owned(),
            wanted: vec![(key, held)],
            route: String::new(),
        };
        self.put(id, ACCEPTOR, Item::Bytes(fetch.to_frame(None)), now);
    }

    /// The end of a read: what was applied is acknowledged, as far as no gap is open.
    pub(super) fn acknowledge(&mut self, process: Process, id: ConnId, is_applied: bool) {
        let now = self.now;
        if is_applied && !self.passes(process, Place::Applied) {
            return;
        }
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let behind: Vec<_> = conn.inbox.behind().collect();
        for (context, key) in behind {
            if !self.is_behind(process, key) {
                let conn = self.network.conns.get_mut(&id).expect("it is read");
                conn.inbox.gap_closed(context, key);
                conn.gaps.asked.remove(&(context, key));
            }
        }
        loop {
            let conn = self.network.conns.get_mut(&id).expect("it is read");
            let Some(ack) = conn.inbox.poll_ack() else {
                return;
            };
            let mut due = Vec::new();
            let dropped = |number: &u64| {
                [&ack.ended, &ack.twins, &ack.unheld]
                    .iter()
                    .any(|list| list.binary_search(number).is_ok())
            };
            conn.vouched.retain(|(number, vouched)| {
                let is_behind = ack.behind.binary_search(number).is_ok();
                if *number > ack.up_to || is_behind {
                    return true;
                }
                if !dropped(number) {
                    due.extend(vouched.iter().cloned());
                }
                false
            });
            for (key, seen) in due {
                self.check_vouched(process, key, seen.as_ref());
            }
            if !self.passes(process, Place::BeforeAck) {
                return;
            }
            self.put(
                id,
                ACCEPTOR,
                Item::Bytes(Message::Ack(ack).to_frame(None)),
                now,
            );
        }
    }

    /// An acknowledgement is about to say that this is here.
    fn check_vouched(&mut self, process: Process, key: Key, seen: Option<&Vector>) {
        let table = &self.node(process).table;
        let is_true = table.look(key, |entry| match (entry, seen) {
            (Some(Entry::Live(state)), Some(seen)) => seen.is_within(state.seen()),
            // Idle beyond its limit, by now: it is served nowhere.
            (None, _) | (Some(Entry::Ended { .. }), _) => true,
            (Some(Entry::Live(_)), None) => false,
        });
        if !is_true {
            let entry = table.entry(key);
            let what = format!("{process}: {key:?} {seen:?} is not within {entry:?}");
            self.broken("3: acknowledgements are true", what);
        }
    }

    /// Answers what a member asks, over whatever connection.
    fn answer(
        &mut self,
        process: Process,
        member: Incarnation,
        message: Message,
    ) -> Option<Message> {
        let time = self.time(process);
        match message {
            Message::Fetch {
                question,
                context,
                wanted,
                route,
            } => {
                let answers = wanted
                    .iter()
                    .map(|(key, held)| self.fetched(process, *key, held))
                    .collect();
                let node = self.node(process);
                let knew_route = node.known.has_known(&route, node.membership.view());
                Some(Message::Whole {
                    question,
                    context,
                    answers,
                    knew_route,
                    is_cut: false,
                })
            }
            Message::FetchAll {
                question,
                context,
                stretch,
            } => {
                let mut keys = Vec::new();
                let is_cut = stretch.answer(&self.node(process).table, |key| {
                    keys.push(key);
                    true
                });
                let answers = keys
                    .into_iter()
                    .map(|key| self.fetched(process, key, &Vector::new()))
                    .collect();
                Some(Message::Whole {
                    question,
                    context,
                    answers,
                    knew_route: false,
                    is_cut,
                })
            }
            Message::Buckets {
                question,
                context,
                comparison,
            } => {
                let node = self.node(process);
                let summaries = comparison.answer(&node.table);
                if comparison.is_mutual {
                    let unequal = comparison.unequal(&node.table);
                    if !unequal.is_empty() {
                        node.schedule.pull_from(time, member, ID, &unequal);
                    }
                }
                Some(Message::Summaries {
                    question,
                    context,
                    summaries,
                })
            }
            Message::Expire {
                question,
                context,
                ages,
            } => {
                let ages = self.used(process, member, &ages);
                Some(Message::Used {
                    question,
                    context,
                    ages,
                })
            }
            Message::Expired { keys, .. } => {
                self.expired(process, &keys);
                None
            }
            Message::Touch { ages, .. } => {
                self.touched(process, member, &ages);
                None
            }
            Message::Ready => {
                self.node(process).membership.handle_ready(time, member);
                self.carry_out(process);
                None
            }
            Message::Goodbye { .. } => {
                self.node(process).membership.handle_goodbye(time, member);
                self.carry_out(process);
                None
            }
            other => {
                self.broken("6: messages are in their place", format!("{other:?}"));
                None
            }
        }
    }

    fn fetched(&mut self, process: Process, key: Key, held: &Vector) -> Answer {
        let time = self.time(process);
        let node = self.node(process);
        let served = node.sides.get(&key).is_some_and(|it| it.served);
        let fetched = |entry: Option<&Entry>| Entry::fetch(entry, key, time, held);
        Answer::of(key, node.table.look(key, fetched), served)
    }

    /// Whether a write is known to be missing under a key.
    pub(super) fn is_behind(&self, process: Process, key: Key) -> bool {
        self.live(process, key, State::is_behind) == Some(true)
    }
}
