//! Named places in the code at which a test can make a node fail.
//!
//! A crash between a commit and its sending, a stop before an acknowledgement: such moments last
//! microseconds, and no test meets them by waiting. So the code names them, [`Faults::at`] where it
//! can wait and [`Faults::hit`] where it cannot, and a test arms a place.
//!
//! There is no feature to switch on. In production the value is empty, and a place costs the look
//! at a null pointer; in tests it costs one relaxed load until something is armed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

/// A moment in the life of a node that a test can name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Place {
    /// A commit has its version; its fragment is not encoded yet. Under the session's lock.
    BeforeEncode,
    /// The fragment is in the queues of all holders. Under the session's lock.
    Queued,
    /// A received frame is in the table and the digests; nothing was acknowledged yet.
    Applied,
    /// An acknowledgement is about to be written.
    BeforeAck,
    /// A response is complete and waits for acknowledgements.
    ResponseHeld,
    /// A connection is open and the hello is about to be written.
    BeforeHello,
    /// A probe has arrived and is about to be answered.
    BeforeProbeAnswer,
    /// A node that stops is about to say goodbye.
    BeforeGoodbye,
}

/// What happens at an armed place.
pub enum Action {
    /// The place returns an error of kind `Other`.
    Fail,
    /// Whoever comes waits until [`Armed::release`]. Only where the code can wait.
    Wait,
    /// The host stops, as by `SIGSTOP`, until
    /// [`Network::resume`](crate::testing::Network::resume).
    Stop,
    /// The host crashes, as by `SIGKILL`.
    Crash,
    /// The test is called back.
    Call(Box<dyn Fn() + Send + Sync>),
}

impl Action {
    /// [`Action::Call`] without the box.
    pub fn call(f: impl Fn() + Send + Sync + 'static) -> Self {
        Self::Call(Box::new(f))
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "Fail",
            Self::Wait => "Wait",
            Self::Stop => "Stop",
            Self::Crash => "Crash",
            Self::Call(_) => "Call(..)",
        })
    }
}

/// The places of one node. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Board>>);

impl Faults {
    /// Places that nobody can arm: those of production.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Places that can be armed, of a node that no simulated host carries:
    /// [`Action::Stop`] and [`Action::Crash`] have nothing to act on.
    pub fn armable() -> Self {
        Self(Some(Arc::new(Board::new(None))))
    }

    pub(crate) fn of(machine: impl Machine) -> Self {
        Self(Some(Arc::new(Board::new(Some(Box::new(machine))))))
    }

    /// Passes a place in code that can wait. Returns at once unless a test has armed it.
    ///
    /// # Errors
    ///
    /// `Other` if armed with [`Action::Fail`], `ConnectionAborted` with [`Action::Crash`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future has passed the place.
    pub async fn at(&self, place: Place) -> io::Result<()> {
        let Some(order) = self.order(place) else {
            return Ok(());
        };
        if let Action::Wait = order.action {
            let mut open = order.open.subscribe();
            // The sender lives as long as `order`, so this ends only when it is opened.
            let _opened = open.wait_for(|open| *open).await;
            return Ok(());
        }
        let outcome = self.carry_out(&order, place);
        if matches!(order.action, Action::Stop | Action::Crash) {
            // Leaves the task's poll, so that the host can stop it or drop it right here.
            tokio::task::yield_now().await;
        }
        outcome
    }

    /// Passes a place in code that cannot wait, for instance under a lock. A host that is stopped
    /// or crashed here runs on until the task waits next; what it sends meanwhile reaches nobody.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::at).
    ///
    /// # Panics
    ///
    /// If armed with [`Action::Wait`]: a mistake of the test.
    #[inline]
    pub fn hit(&self, place: Place) -> io::Result<()> {
        match self.order(place) {
            None => Ok(()),
            Some(order) => self.carry_out(&order, place),
        }
    }

    /// Arms a place for the next time that it is passed. Several are carried out in turn.
    ///
    /// # Panics
    ///
    /// On [`Faults::none`], which is what production has.
    pub fn arm(&self, place: Place, action: Action) -> Armed {
        self.arm_as(place, action, true)
    }

    /// Arms a place for each time that it is passed, behind whatever was armed there before.
    ///
    /// # Panics
    ///
    /// On [`Faults::none`].
    pub fn arm_always(&self, place: Place, action: Action) -> Armed {
        self.arm_as(place, action, false)
    }

    fn arm_as(&self, place: Place, action: Action, once: bool) -> Armed {
        let board = self
            .0
            .as_ref()
            .expect("only an armable node is armed, and tests have those");
        let order = Arc::new(Order {
            action,
            once,
            hits: watch::Sender::new(0),
            open: watch::Sender::new(false),
        });
        board
            .orders
            .lock()
            .entry(place)
            .or_default()
            .push_back(Arc::clone(&order));
        board.any.store(true, Ordering::Relaxed);
        Armed {
            board: Arc::clone(board),
            place,
            order,
        }
    }

    #[inline]
    fn order(&self, place: Place) -> Option<Arc<Order>> {
        let board = self.0.as_ref()?;
        if board.any.load(Ordering::Relaxed) {
            board.next(place)
        } else {
            None
        }
    }

    fn carry_out(&self, order: &Order, place: Place) -> io::Result<()> {
        let machine = || {
            let board = self.0.as_ref().expect("an order stands on a board");
            board
                .machine
                .as_ref()
                .expect("only a simulated host can be stopped or crashed")
        };
        match &order.action {
            Action::Fail => Err(io::Error::other(format!("fault armed at {place:?}"))),
            Action::Wait => panic!("{place:?} was armed with Wait, but the code cannot wait there"),
            Action::Stop => {
                machine().stop();
                Ok(())
            }
            Action::Crash => {
                machine().crash();
                Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    format!("the host crashed at {place:?}"),
                ))
            }
            Action::Call(f) => {
                f();
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Faults::none()"),
            Some(board) => f
                .debug_tuple("Faults")
                .field(&*board.orders.lock())
                .finish(),
        }
    }
}

/// What a test has armed. Dropping it disarms the place and lets go whoever waits there.
#[must_use = "dropping it disarms the place"]
pub struct Armed {
    board: Arc<Board>,
    place: Place,
    order: Arc<Order>,
}

impl Armed {
    /// Waits until the place was passed, once at least.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn reached(&self) {
        let mut hits = self.order.hits.subscribe();
        // The sender lives as long as `order`, so this ends only when the count rises.
        let _reached = hits.wait_for(|hits| *hits > 0).await;
    }

    /// How often the place was passed.
    pub fn hits(&self) -> u64 {
        *self.order.hits.borrow()
    }

    /// Lets go whoever waits there now; later comers do not wait.
    pub fn release(&self) {
        self.order.open.send_replace(true);
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.board.remove(self.place, &self.order);
        self.release();
    }
}

impl fmt::Debug for Armed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Armed")
            .field("place", &self.place)
            .field("order", &self.order)
            .finish()
    }
}

/// What [`Action::Stop`] and [`Action::Crash`] act on.
pub(crate) trait Machine: Send + Sync + 'static {
    /// Stops the host.
    fn stop(&self);
    /// Crashes the host.
    fn crash(&self);
}

struct Board {
    /// Whether anything at all is armed: the one thing that a place looks at.
    any: AtomicBool,
    orders: Mutex<BTreeMap<Place, VecDeque<Arc<Order>>>>,
    machine: Option<Box<dyn Machine>>,
}

impl Board {
    fn new(machine: Option<Box<dyn Machine>>) -> Self {
        Self {
            any: AtomicBool::new(false),
            orders: Mutex::default(),
            machine,
        }
    }

    #[cold]
    fn next(&self, place: Place) -> Option<Arc<Order>> {
        let order = Arc::clone(self.orders.lock().get(&place)?.front()?);
        if order.once {
            self.remove(place, &order);
        }
        order.hits.send_modify(|hits| *hits += 1);
        Some(order)
    }

    fn remove(&self, place: Place, order: &Arc<Order>) {
        let mut orders = self.orders.lock();
        if let Some(queue) = orders.get_mut(&place) {
            queue.retain(|other| !Arc::ptr_eq(other, order));
            if queue.is_empty() {
                orders.remove(&place);
            }
        }
        self.any.store(!orders.is_empty(), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Order {
    action: Action,
    once: bool,
    hits: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn nothing_happens_where_nothing_is_armed() {
        for faults in [Faults::none(), Faults::armable()] {
            faults.hit(Place::Queued).unwrap();
            faults.at(Place::BeforeAck).now_or_never().unwrap().unwrap();
        }
    }

    #[test]
    fn a_place_fails_once_and_others_do_not() {
        let faults = Faults::armable();
        let armed = faults.arm(Place::Queued, Action::Fail);
        faults.hit(Place::BeforeEncode).unwrap();
        assert_eq!(
            faults.hit(Place::Queued).unwrap_err().kind(),
            io::ErrorKind::Other
        );
        faults.hit(Place::Queued).unwrap();
        assert_eq!(armed.hits(), 1);
    }

    #[test]
    fn armed_for_always_it_fails_until_it_is_disarmed() {
        let faults = Faults::armable();
        let armed = faults.arm_always(Place::Queued, Action::Fail);
        for _ in 0..3 {
            faults.hit(Place::Queued).unwrap_err();
        }
        assert_eq!(armed.hits(), 3);
        drop(armed);
        faults.hit(Place::Queued).unwrap();
    }

    #[test]
    fn whoever_waits_is_seen_and_let_go() {
        let faults = Faults::armable();
        let armed = faults.arm(Place::BeforeAck, Action::Wait);
        assert_eq!(armed.reached().now_or_never(), None);
        let mut waiting = Box::pin(faults.at(Place::BeforeAck));
        assert!(waiting.as_mut().now_or_never().is_none());
        armed.reached().now_or_never().unwrap();
        // Armed for one: the next one passes.
        faults.at(Place::BeforeAck).now_or_never().unwrap().unwrap();
        assert!(waiting.as_mut().now_or_never().is_none());
        armed.release();
        waiting.now_or_never().unwrap().unwrap();
    }

    #[test]
    fn a_forgotten_guard_leaves_nobody_waiting() {
        let faults = Faults::armable();
        let armed = faults.arm_always(Place::BeforeAck, Action::Wait);
        let mut waiting = Box::pin(faults.at(Place::BeforeAck));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(armed);
        waiting.now_or_never().unwrap().unwrap();
        faults.at(Place::BeforeAck).now_or_never().unwrap().unwrap();
    }

    #[test]
    fn the_test_is_called_back() {
        let faults = Faults::armable();
        let called = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&called);
        let _armed = faults.arm(
            Place::Queued,
            Action::call(move || note.store(true, Ordering::Relaxed)),
        );
        faults.hit(Place::Queued).unwrap();
        assert!(called.load(Ordering::Relaxed));
    }
}
