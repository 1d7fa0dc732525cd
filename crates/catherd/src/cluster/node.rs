//! What all parts of a node share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use catherd_core::access::Acquaintances;
use catherd_core::key::Key;
use catherd_core::link::{Applied, ContextId, FrameClass};
use catherd_core::membership::MemberEvent;
use catherd_core::message::{Answers, Message};
use catherd_core::session::{Birth, DigestKey, Fragment};
use catherd_core::sync::{Comparison, Stretch, Summaries};
use catherd_core::version::{Incarnation, Vector};
use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;

use super::builder::Mode;
use super::counters::Counters;
use super::events::{BACKLOG, Event, Events};
use super::repair::Repair;
use super::repeats::{Reason, Repeats};
use crate::channel::{Channel, Delivery};
use crate::context::{ContextError, ContextInner, TOUCH_INTERVAL};
use crate::surroundings::Surroundings;

/// A process in a cluster.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name: the route of its cookies.
    pub(crate) name: String,
    incarnation: AtomicU64,
    pub(crate) mode: Mode,
    /// Whether an answer leaves only when the members have what it says.
    pub(crate) is_confirmed: bool,
    pub(crate) digest_key: DigestKey,
    pub(crate) surroundings: Arc<dyn Surroundings>,
    pub(crate) counters: Counters,
    channel: OnceLock<Arc<dyn Channel>>,
    /// By their [`ContextId`]. Each holds the node, so [`close`](Self::close) breaks the ring.
    contexts: RwLock<Vec<Arc<ContextInner>>>,
    /// Sessions accessed since the last batch of touches.
    touched: Mutex<BTreeSet<(ContextId, Key)>>,
    serial: AtomicU64,
    /// How many requests were in a session and are over.
    pub(crate) requests: AtomicU64,
    repeats: Mutex<Repeats>,
    events: broadcast::Sender<Event>,
    pub(super) repair: Repair,
    /// Whose sessions are being fetched since it named them in a touch.
    pub(super) filling: Mutex<BTreeSet<(Incarnation, ContextId)>>,
    /// Whether a task joins again after a pause.
    pub(super) joins_again: AtomicBool,
    /// Members of which this node has all that they confirmed.
    known: Mutex<Acquaintances>,
}

impl Node {
    pub(super) fn new(
        name: String,
        cluster_id: &str,
        (mode, wait_for_ack): (Mode, bool),
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        Self {
            name,
            incarnation: AtomicU64::new(surroundings.draw_incarnation().bits()),
            mode,
            is_confirmed: mode.is_synchronous() && wait_for_ack,
            digest_key: DigestKey::new(cluster_id),
            surroundings,
            counters: Counters::default(),
            channel: OnceLock::new(),
            contexts: RwLock::default(),
            touched: Mutex::default(),
            serial: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            repeats: Mutex::default(),
            events: broadcast::Sender::new(BACKLOG),
            repair: Repair::default(),
            filling: Mutex::default(),
            joins_again: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }

    /// Joins node and channel, once, at the start.
    pub(super) fn set_channel(&self, channel: Arc<dyn Channel>) {
        assert!(self.channel.set(channel).is_ok(), "a node has one channel");
    }

    pub(crate) fn channel(&self) -> &Arc<dyn Channel> {
        self.channel
            .get()
            .expect("set before the node is handed out")
    }

    pub(crate) fn register(
        self: &Arc<Self>,
        make: impl FnOnce(&Arc<Self>, ContextId) -> ContextInner,
    ) -> Result<Arc<ContextInner>, ContextError> {
        let mut contexts = self.contexts.write();
        let id = ContextId(u32::try_from(contexts.len()).expect("fewer than 2^32 contexts"));
        let context = Arc::new(make(self, id));
        if contexts.iter().any(|other| other.name == context.name) {
            return Err(ContextError::Taken(context.name.clone()));
        }
        contexts.push(Arc::clone(&context));
        Ok(context)
    }

    pub(crate) fn contexts(&self) -> Vec<Arc<ContextInner>> {
        self.contexts.read().clone()
    }

    /// The context with this name, if members may know of its sessions at all.
    fn replicated(&self, context: &str) -> Option<Arc<ContextInner>> {
        let contexts = self.contexts.read();
        contexts
            .iter()
            .find(|candidate| candidate.name == context && candidate.manager.is_replicated())
            .cloned()
    }

    fn numbered(&self, context: ContextId) -> Option<Arc<ContextInner>> {
        self.contexts.read().get(context.0 as usize).cloned()
    }

    /// This process. It changes where a machine was put back in time.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation::from_bits(self.incarnation.load(Ordering::Acquire))
    }

    pub(crate) fn next_birth(&self) -> Birth {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Birth {
            incarnation: self.incarnation(),
            serial,
        }
    }

    pub(crate) fn wall_clock_millis(&self) -> i64 {
        let since = self.surroundings.wall_clock().duration_since(UNIX_EPOCH);
        crate::context::to_millis(since.unwrap_or(Duration::ZERO))
    }

    pub(crate) fn declared_gone(&self) -> u32 {
        self.channel().view().declared_gone
    }

    /// Compares with every member soon: what comes back to life here may differ there.
    pub(crate) fn compare_soon(&self) {
        let now = self.surroundings.now();
        for member in &self.channel().view().members {
            self.repair.soon(member.incarnation, now);
        }
    }

    /// Writes what commits have queued; called without any session's lock.
    pub(crate) fn flush_links(&self) {
        self.channel().flush();
    }

    /// The session was accessed: the holders hear of it with the next batch.
    pub(crate) fn touch(&self, context: ContextId, key: Key) {
        self.touched.lock().insert((context, key));
    }

    pub(crate) fn emit(&self, event: Event) {
        let left_out = match Reason::of(&event) {
            Some(reason) => self.repeats.lock().admit(reason, self.surroundings.now()),
            None => Some(0),
        };
        match left_out {
            Some(left_out) => event.log(&self.name, left_out),
            None => self.counters.log_lines_left_out.add(1),
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    pub(super) fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    /// The name of a process that was ever in the view.
    pub(crate) fn name_of(&self, incarnation: Incarnation) -> Option<String> {
        self.known.lock().name_of(incarnation).map(str::to_owned)
    }

    /// Whether this node has what a process of this name had confirmed that is gone by now.
    pub(crate) fn has_known(&self, name: &str) -> bool {
        let view = self.channel().view();
        self.known.lock().has_known(name, &view)
    }

    /// Whether members wait for this node; not before it has a channel.
    fn is_ready(&self) -> bool {
        let channel = self.channel.get();
        channel.is_some_and(|channel| channel.view().am_ready())
    }

    /// Sends touches and drops what is over, once a second, until the channel is closed.
    pub(super) async fn keep_house(self: Arc<Self>) {
        while !self.channel().is_closed() {
            let next = self.surroundings.now() + TOUCH_INTERVAL;
            self.surroundings.sleep_until(next).await;
            self.send_touches();
            for context in self.contexts() {
                context.sweep();
            }
        }
    }

    pub(super) fn send_touches(&self) {
        let touched = std::mem::take(&mut *self.touched.lock());
        let now = self.surroundings.now();
        for context in self.contexts() {
            let of_it = touched.range((context.id, Key::MIN)..=(context.id, Key::MAX));
            let ages: Vec<_> = of_it
                .filter_map(|(_, key)| {
                    let last = context.table.look(*key, |slot| {
                        Some(slot.entry.as_ref()?.live()?.last_access())
                    });
                    Some((*key, now.since(last??)))
                })
                .collect();
            for batch in ages.chunks(TOUCHES_MAX) {
                let message = Message::Touch {
                    context: context.name.clone(),
                    ages: batch.to_vec(),
                };
                self.channel().tell_all(&message);
            }
        }
    }

    /// Lets go of the contexts, which hold the node.
    pub(super) fn close(&self) {
        self.contexts.write().clear();
    }
}

/// A batch of touches has at most this many sessions.
const TOUCHES_MAX: usize = 16_000;

/// Room for an answer to one key, in bytes: a frame has it before its length is known, and grows
/// beyond it.
const ANSWER_ROOM: usize = 1280;

/// What the channel hands to the sessions.
impl Delivery for Node {
    fn apply(&self, context: &str, fragments: &[Fragment]) -> Option<(ContextId, Key, Applied)> {
        let Some(context) = self.replicated(context) else {
            self.counters.unknown_context.add(1);
            self.emit(Event::ContextMissing {
                context: context.to_owned(),
            });
            return None;
        };
        let (key, applied) = context.apply(fragments)?;
        Some((context.id, key, applied))
    }

    fn wanted(&self, context: ContextId, key: Key) -> Option<(String, Vector)> {
        let context = self.numbered(context)?;
        context
            .is_behind(key)
            .then(|| (context.name.clone(), context.seen(key)))
    }

    fn answer(&self, question: u64, context: &str, wanted: &[(Key, Vector)], route: &str) -> Bytes {
        let room = ANSWER_ROOM * wanted.len();
        let mut answers = Answers::new(question, context, room);
        if let Some(context) = self.replicated(context) {
            context.answer(wanted, &mut answers);
        }
        answers.into_frame(self.has_known(route), false)
    }

    fn answer_all(&self, question: u64, context: &str, stretch: &Stretch) -> Bytes {
        let room = ANSWER_ROOM * stretch.most;
        let mut answers = Answers::new(question, context, room);
        let is_cut = self
            .replicated(context)
            .is_some_and(|context| context.answer_all(stretch, &mut answers));
        answers.into_frame(false, is_cut)
    }

    fn compare(&self, from: Incarnation, context: &str, comparison: &Comparison) -> Summaries {
        let Some(context) = self.replicated(context) else {
            return Summaries::default();
        };
        let summaries = comparison.answer(&context.table);
        if comparison.is_mutual {
            let unequal = comparison.unequal(&context.table);
            if !unequal.is_empty() {
                let now = self.surroundings.now();
                self.repair.pull_from(from, now, context.id, &unequal);
            }
        }
        summaries
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn touched(&self, at: Incarnation, context: &str, ages: &[(Key, Duration)]) {
        if let Some(context) = self.replicated(context) {
            context.touched(at, ages);
        }
    }

    fn used(
        &self,
        from: Incarnation,
        context: &str,
        ages: &[(Key, Duration)],
    ) -> Vec<(Key, Duration)> {
        self.replicated(context)
            .map_or_else(Vec::new, |context| context.used(from, ages))
    }

    fn expired(&self, context: &str, keys: &[Key], is_early: bool) {
        match self.replicated(context) {
            Some(context) if is_early => context.ended_early(keys),
            Some(context) => context.expired(keys),
            None => {}
        }
    }

    fn encode(&self, context: ContextId, key: Key, since: Option<u64>) -> Option<Bytes> {
        self.numbered(context)?.encode_since(key, since)
    }

    fn marked(&self, at: Incarnation, context: ContextId, key: Key, class: FrameClass) {
        if let Some(context) = self.numbered(context) {
            self.mark(at, &context, key, class == FrameClass::Tombstone);
        }
    }

    fn link_free(&self, to: Incarnation) {
        self.repair.link_free(to, self.surroundings.now());
    }

    fn ended_at(&self, member: Incarnation, context: ContextId, key: Key) {
        // Its own end may have overtaken its writes in the queue: then there is nothing to learn.
        if let Some(context) = self.numbered(context)
            && !context.has_ended(key)
        {
            self.surroundings.spawn(Box::pin(async move {
                context.ask(&[member], key, "").await;
            }));
        }
    }

    fn put_back(&self) -> Incarnation {
        let incarnation = self.surroundings.draw_incarnation();
        // First, so that what is made from here on is that of the new process.
        self.incarnation
            .store(incarnation.bits(), Ordering::Release);
        self.touched.lock().clear();
        let now = self.surroundings.now();
        for context in self.contexts() {
            context.table.clear(now);
        }
        incarnation
    }

    fn bad_datagram(&self) {
        self.counters.bad_datagrams.add(1);
    }

    fn happened(&self, event: Event) {
        match &event {
            // What was on the old connection may be lost.
            Event::Member(MemberEvent::Reopened(who, _)) => {
                self.repair
                    .reopened(who.incarnation, self.surroundings.now());
            }
            Event::Member(MemberEvent::Added(who)) => {
                let am_ready = self.is_ready();
                self.known.lock().met(&who.name, who.incarnation, am_ready);
            }
            Event::Ready => self.known.lock().became_ready(&self.channel().view()),
            _ => {}
        }
        if matches!(event, Event::BadConnection { .. }) {
            self.counters.bad_connections.add(1);
        }
        self.emit(event);
    }

    fn session_bytes_max(&self) -> usize {
        let contexts = self.contexts.read();
        contexts
            .iter()
            .map(|context| context.manager.session_bytes_max)
            .max()
            .unwrap_or(1 << 20)
    }
}
