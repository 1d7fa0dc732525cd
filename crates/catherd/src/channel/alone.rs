//! The channel of a node without a cluster: there is nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::{Frame, Outcome, Ticket as FrameTicket};
use catherd_core::message::{MemberState, Message};
use catherd_core::sync::{Comparison, Summaries};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::watch;

use super::{Channel, Fetch, Fetched, Ticket, Unanswered, View};
use crate::cluster::LinkStatus;

#[derive(Debug)]
pub(crate) struct Alone {
    view: watch::Sender<Arc<View>>,
    closed: AtomicBool,
}

impl Alone {
    pub(crate) fn new(view: View) -> Self {
        Self {
            view: watch::Sender::new(Arc::new(view)),
            closed: AtomicBool::new(false),
        }
    }
}

impl Channel for Alone {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    fn send(&self, _now: Time, _to: Incarnation, _frame: Frame) -> Ticket {
        Ticket {
            link: 0,
            frame: FrameTicket::default(),
        }
    }

    fn flush(&self) {}

    fn poll_acknowledged(&self, _ticket: Ticket, _cx: &mut Context<'_>) -> Poll<Outcome> {
        Poll::Ready(Outcome::Gone)
    }

    fn fetch(
        &self,
        _from: Incarnation,
        _fetch: Fetch,
        _deadline: Time,
    ) -> BoxFuture<'static, Result<Fetched, Unanswered>> {
        ready(Err(Unanswered)).boxed()
    }

    fn compare(
        &self,
        _with: Incarnation,
        _context: String,
        _comparison: Comparison,
        _deadline: Time,
    ) -> BoxFuture<'static, Result<Summaries, Unanswered>> {
        ready(Err(Unanswered)).boxed()
    }

    fn expire(
        &self,
        _at: Incarnation,
        _context: String,
        _ages: Vec<(Key, Duration)>,
        _deadline: Time,
    ) -> BoxFuture<'static, Result<Vec<(Key, Duration)>, Unanswered>> {
        ready(Err(Unanswered)).boxed()
    }

    fn tell_all(&self, _message: &Message) {}

    fn link_status(&self, _to: Incarnation) -> LinkStatus {
        LinkStatus::default()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    fn forget(&self, _name: &str) {}

    fn become_ready(&self, _pauses: u64) {
        self.view.send_modify(|view| {
            let who = &mut Arc::make_mut(view).who;
            Arc::make_mut(who).myself.state = MemberState::Ready;
        });
    }

    fn met(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    fn leave(&self, _within: Duration) -> BoxFuture<'static, ()> {
        self.closed.store(true, Ordering::Relaxed);
        ready(()).boxed()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}
