//! The links to one member: one, or several in mode `pooled`.
//!
//! The first link is opened by the membership and lives as long as the member is met; questions,
//! their answers and everything without a number go over it. In mode `pooled` each session has a
//! place among `maxPoolSocketLimit` by its key, and its fragments always take the link of that
//! place. A place without a link is opened when it is used while the member is [busy](Load); until
//! then the first link stands in, and the new one begins to write when all that the first one had
//! by then has come to its end. So the fragments of a session stay in order. All links of a member
//! live and die with the first.
//!
//! Locks: a session's comes before the pool's, and the pool's before a link's and that of the list
//! of links. The pool's is never held while a link is written, for that may encode a session.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::{Frame, Ticket as FrameTicket};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use parking_lot::{Mutex, RwLock};

use super::Ticket;
use super::driver::Input;
use super::link::{KeepAlive, Link};
use super::load::Load;
use super::shared::Shared;
use crate::cluster::{Event, LinkStatus};
use crate::env::Writer;

/// How many links a member gets, and how long those behind the first are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PoolConfig {
    /// `maxPoolSocketLimit` in mode `pooled`, 1 in all others.
    pub(crate) links: usize,
    pub(crate) keep_alive: KeepAlive,
    /// Whether all are opened at once, and not when they are needed (`autoConnect`).
    pub(crate) opens_at_once: bool,
}

pub(super) struct Pool {
    pub(super) member: Incarnation,
    pub(super) first: Arc<Link>,
    shared: Arc<Shared>,
    /// Something was queued since somebody last wrote.
    is_stirred: AtomicBool,
    /// What is on its way over all links, where there may be several.
    load: Option<Arc<Load>>,
    /// Those behind the first; empty once the pool is closed.
    more: RwLock<Vec<Place>>,
    /// Links over which the member did not acknowledge in time.
    silent: Mutex<BTreeSet<u64>>,
}

enum Place {
    /// Not before this instant, since the last attempt failed.
    Closed {
        retry_at: Time,
    },
    Opening,
    /// Taken: fragments go over it.
    Open(Arc<Link>),
}

/// A link that has just taken its place, and what it has to wait for.
pub(super) struct Placed {
    pub(super) link: Arc<Link>,
    pub(super) after: FrameTicket,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({:?})", self.first)
    }
}

impl Pool {
    /// The links to a member whose first one has been welcomed.
    pub(super) fn new(
        shared: &Arc<Shared>,
        member: Incarnation,
        name: &str,
        writer: Writer,
    ) -> Arc<Self> {
        let now = shared.surroundings.now();
        let closed = || Place::Closed { retry_at: now };
        let links = shared.pool.links;
        let places = std::iter::repeat_with(closed).take(links - 1);
        let load = (links > 1).then(|| Arc::new(Load::new(&shared.outbox, links)));
        Arc::new_cyclic(|pool| Self {
            member,
            first: Arc::new(Link::new(
                shared,
                (member, name),
                writer,
                (pool.clone(), load.clone()),
                KeepAlive::default(),
            )),
            shared: Arc::clone(shared),
            is_stirred: AtomicBool::new(false),
            load,
            more: RwLock::new(places.collect()),
            silent: Mutex::default(),
        })
    }

    /// Queues a frame; nothing is written yet.
    pub(super) fn push(&self, now: Time, frame: Frame) -> Ticket {
        let Some(place) = place(frame.key, self.shared.pool.links) else {
            let ticket = self.first.push(now, frame);
            self.is_stirred.store(true, Ordering::Release);
            return ticket;
        };
        let more = self.more.read();
        let (ticket, is_wanted) = match more.get(place) {
            Some(Place::Open(link)) => (link.push(now, frame), false),
            Some(Place::Closed { retry_at }) => {
                let ticket = self.first.push(now, frame);
                (ticket, now >= *retry_at && self.needs_more(now))
            }
            Some(Place::Opening) | None => (self.first.push(now, frame), false),
        };
        drop(more);
        self.is_stirred.store(true, Ordering::Release);
        if is_wanted {
            self.open(place, now);
        }
        ticket
    }

    /// Whether something was queued that nobody has tried to write yet; whoever asks does it.
    pub(super) fn take_stirred(&self) -> bool {
        self.is_stirred.load(Ordering::Acquire) && self.is_stirred.swap(false, Ordering::AcqRel)
    }

    /// Writes what was queued, as far as the sockets take it.
    pub(super) fn flush(&self) {
        if self.first.take_stirred() {
            self.first.pump();
        }
        if self.shared.pool.links > 1 {
            for link in self.stirred_links() {
                link.pump();
            }
        }
    }

    /// Whether a place that is used gets a link of its own.
    fn needs_more(&self, now: Time) -> bool {
        let is_busy = |load: &Arc<Load>| load.was_busy_within(BUSY_FOR, now);
        self.shared.pool.opens_at_once || self.load.as_ref().is_some_and(is_busy)
    }

    /// Every link that is open, the first one first.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        let mut links = vec![Arc::clone(&self.first)];
        links.append(&mut self.more_links());
        links
    }

    /// Opens every place, if that is wanted before their first use.
    pub(super) fn open_at_once(&self, now: Time) {
        if self.shared.pool.opens_at_once {
            (0..self.shared.pool.links - 1).for_each(|place| self.open(place, now));
        }
    }

    /// A link for this place was welcomed. `None` if there is no use for it any more.
    pub(super) fn opened(self: &Arc<Self>, place: usize, writer: Writer) -> Option<Placed> {
        let mut more = self.more.write();
        let opened = more.get_mut(place)?;
        if !matches!(opened, Place::Opening) {
            return None;
        }
        let link = Arc::new(Link::new(
            &self.shared,
            (self.member, &self.first.name),
            writer,
            (Arc::downgrade(self), self.load.clone()),
            self.shared.pool.keep_alive,
        ));
        link.hold();
        // Before anybody can queue: whoever asks for a frame of a link that is not known takes it
        // for gone.
        self.shared.add(&link);
        *opened = Place::Open(Arc::clone(&link));
        // Nobody queues meanwhile: whatever comes later goes over the new link.
        let after = self.first.last_ticket();
        drop(more);
        if !self.silent.lock().is_empty() {
            link.suspect(true);
        }
        Some(Placed { link, after })
    }

    /// The place has no link, and one is not to be opened at once again.
    pub(super) fn failed(&self, place: usize, now: Time) {
        let mut more = self.more.write();
        if let Some(opening) = more.get_mut(place) {
            *opening = Place::Closed {
                retry_at: now + RETRY,
            };
        }
    }

    /// A link behind the first broke.
    pub(super) fn lost(&self, link: &Link, now: Time) {
        let mut more = self.more.write();
        let is_it = |place: &&mut Place| {
            place
                .link()
                .is_some_and(|other| other.number == link.number)
        };
        if let Some(place) = more.iter_mut().find(is_it) {
            *place = Place::Closed {
                retry_at: now + RETRY,
            };
        }
        drop(more);
        self.is_silent_without(link);
    }

    /// Takes a link out of its place if nothing is on its way over it; whether it did.
    pub(super) fn retire(&self, link: &Link) -> bool {
        let now = self.shared.surroundings.now();
        let mut more = self.more.write();
        let is_it = |place: &&mut Place| {
            place
                .link()
                .is_some_and(|other| other.number == link.number)
        };
        let Some(place) = more.iter_mut().find(is_it) else {
            return true;
        };
        let is_drained = link.is_drained();
        if is_drained {
            *place = Place::Closed { retry_at: now };
        }
        is_drained
    }

    /// Closes all links: the member is gone, or has a new first one.
    pub(super) fn close(&self) -> Vec<Arc<Link>> {
        let mut links = vec![Arc::clone(&self.first)];
        let places = std::mem::take(&mut *self.more.write());
        links.extend(places.into_iter().filter_map(Place::into_link));
        for link in &links {
            link.close();
        }
        links
    }

    /// The member did not acknowledge in time over this link: it is waited for over none.
    pub(super) fn found_silent(&self, at: &Link) {
        let is_first = {
            let mut silent = self.silent.lock();
            silent.insert(at.number) && silent.len() == 1
        };
        if is_first {
            self.shared.delivery.happened(Event::MemberSlow {
                name: at.name.clone(),
            });
        }
        self.tell_others(at, true);
    }

    /// The member answers over this link, with nothing overdue. It is waited for once that is so
    /// for all of them: a large session may keep one link silent for long, and every other one
    /// would cost somebody the time-out again.
    pub(super) fn found_answering(&self, at: &Link) {
        if self.is_silent_without(at) {
            at.suspect(true);
        }
    }

    /// This link is not silent, or is no more; whether the member still is.
    fn is_silent_without(&self, link: &Link) -> bool {
        let (was_silent, is_silent) = {
            let mut silent = self.silent.lock();
            (silent.remove(&link.number), !silent.is_empty())
        };
        if was_silent && !is_silent {
            self.shared.delivery.happened(Event::MemberRecovered {
                name: link.name.clone(),
            });
            self.tell_others(link, false);
        }
        is_silent
    }

    /// All links as one.
    pub(super) fn status(&self) -> LinkStatus {
        let mut status = LinkStatus::default();
        for link in self.links() {
            status.add(&link.status());
        }
        status
    }

    fn tell_others(&self, at: &Link, is_silent: bool) {
        for link in self.links() {
            if link.number != at.number {
                link.suspect(is_silent);
            }
        }
    }

    fn stirred_links(&self) -> Vec<Arc<Link>> {
        let more = self.more.read();
        let stirred = |link: &&Arc<Link>| link.take_stirred();
        more.iter()
            .filter_map(Place::link)
            .filter(stirred)
            .cloned()
            .collect()
    }

    fn more_links(&self) -> Vec<Arc<Link>> {
        let more = self.more.read();
        more.iter().filter_map(Place::link).cloned().collect()
    }

    fn open(&self, place: usize, now: Time) {
        let mut more = self.more.write();
        let Some(closed) = more.get_mut(place) else {
            return;
        };
        if !matches!(closed, Place::Closed { retry_at } if now >= *retry_at) {
            return;
        }
        let input = Input::OpenMore {
            member: self.member,
            first: self.first.number,
            place,
        };
        // A driver that has no time now is asked again later.
        *closed = match self.shared.driver.try_send(input) {
            Ok(()) => Place::Opening,
            Err(_) => Place::Closed {
                retry_at: now + RETRY,
            },
        };
    }
}

impl Place {
    fn link(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Open(link) => Some(link),
            Self::Opening | Self::Closed { .. } => None,
        }
    }

    fn into_link(self) -> Option<Arc<Link>> {
        match self {
            Self::Open(link) => Some(link),
            Self::Opening | Self::Closed { .. } => None,
        }
    }
}

/// Where a session's link is, behind the first; `None` for the first.
///
/// By the high bits of the key: buckets go by the low ones.
fn place(key: Key, links: usize) -> Option<usize> {
    if links == 1 {
        return None;
    }
    let high = (key.bits() >> 64) as u64;
    let place = high % links as u64;
    usize::try_from(place).ok()?.checked_sub(1)
}

/// So long after it was busy a member still gets links that it has not.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// After an attempt that failed the first link stands in for so long.
const RETRY: Duration = Duration::from_secs(1);
