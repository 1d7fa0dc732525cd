//! What the parts of a run share, and the tasks that act in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use catherd::core::key::Key;
use catherd::core::session::DigestKey;
use catherd::core::time::Time;
use catherd::core::version::Incarnation;

use super::invariants::Truth;
use super::network::Network;
use super::node::{CLUSTER, Node, forgets_removals};
use super::queue::{Event, Queue};
use crate::Run;
use crate::fault::Node as Number;
use crate::history::{Happened, History, Number as OperationNumber, Operation, Process, Ran};
use crate::plan::Plan;
use crate::random::Random;
use crate::transcript::{list, list_of_lags, show};

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Duration,
    pub(super) queue: Queue,
    pub(super) network: Network,
    pub(super) places: Vec<Standing>,
    pub(super) processes: BTreeMap<Incarnation, Process>,
    pub(super) truth: Truth,
    /// Makes the keys of users.
    pub(super) with: DigestKey,
    /// How much had happened, to the cluster and to clients, when all were found equal last.
    equal_at: (usize, usize),
    pub(super) random: Random,
    pub(super) history: History,
    /// What applications did, by number: a request may go on when its client has left.
    pub(super) ran: BTreeMap<OperationNumber, Rc<RefCell<Option<Ran>>>>,
    pub(super) numbers: OperationNumber,
    /// Tasks of no process that may look again.
    pub(super) woken: Vec<usize>,
    /// Sessions that processes have to ask about, and those they have to fetch.
    pub(super) inquiries: Vec<(Process, Vec<Key>)>,
    pub(super) fillings: Vec<(Process, Incarnation, Vec<Key>)>,
    /// Sessions of which an answer said that what a dead node had confirmed cannot be known.
    pub(super) takeovers_told: BTreeSet<Key>,
    pub(super) is_over: bool,
    pub(super) clients: usize,
    pub(super) clients_done: usize,
    /// Whether what happens is written down for people.
    pub(super) writes: bool,
    shows: bool,
    transcript: Vec<String>,
}

/// A place for a node, and the process that runs there.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) starts: u32,
    pub(super) node: Option<Box<Node>>,
    pub(super) is_healthy: bool,
    /// When it last could not look at the others as usual.
    pub(super) disturbed: Duration,
    pub(super) is_given_up: bool,
    /// What was saved of it, and when.
    pub(super) image: Option<(Duration, Box<Node>)>,
    pub(super) wall_ahead: i64,
    pub(super) drift: i64,
}

impl World {
    pub(super) fn new(plan: &Plan, writes: bool, shows: bool) -> Self {
        let mut random = Random::derived(plan.seed, 4);
        let place = |_| Standing {
            drift: random.pick(&[0, 0, 50, -50, 200, -200]),
            ..Standing::default()
        };
        Self {
            now: Duration::ZERO,
            queue: Queue::default(),
            network: Network::new(plan.seed),
            places: (0..plan.settings.nodes).map(place).collect(),
            processes: BTreeMap::new(),
            truth: Truth::new(forgets_removals(plan.seed)),
            with: DigestKey::new(CLUSTER),
            equal_at: (0, 0),
            random: Random::derived(plan.seed, 5),
            history: History::default(),
            ran: BTreeMap::new(),
            numbers: 0,
            woken: Vec::new(),
            inquiries: Vec::new(),
            fillings: Vec::new(),
            takeovers_told: BTreeSet::new(),
            is_over: false,
            clients: 0,
            clients_done: 0,
            writes,
            shows,
            transcript: Vec::new(),
            plan: plan.clone(),
        }
    }

    /// The process, if it runs still.
    pub(super) fn running(&mut self, process: Process) -> Option<&mut Node> {
        let node = self.places[process.node].node.as_deref_mut()?;
        (node.process == process).then_some(node)
    }

    pub(super) fn is_running(&self, process: Process) -> bool {
        self.look(process).is_some()
    }

    pub(super) fn look(&self, process: Process) -> Option<&Node> {
        let node = self.places[process.node].node.as_deref()?;
        (node.process == process).then_some(node)
    }

    /// A process that acts at present.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub(super) fn node(&mut self, process: Process) -> &mut Node {
        self.running(process).expect("who acts, runs")
    }

    /// The process that runs at a place.
    pub(super) fn process_at(&self, node: Number) -> Option<Process> {
        Some(self.places[node].node.as_ref()?.process)
    }

    /// What the clock of a process shows.
    pub(super) fn time(&self, process: Process) -> Time {
        let node = self.look(process).expect("who asks, runs");
        node.clock.time(self.now)
    }

    /// Lets a process look again when its clock shows `at`.
    pub(super) fn wake_at(&mut self, process: Process, at: Time) {
        if let Some(node) = self.look(process) {
            let at = node.clock.global(at).max(self.now);
            self.queue.push(at, Event::Alarm(process));
        }
    }

    pub(super) fn stir(&mut self, process: Process) {
        if let Some(node) = self.running(process) {
            node.is_stirred = true;
        }
    }

    /// Writes a line, if anybody is to read it.
    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if !self.writes {
            return;
        }
        let (seconds, micros) = (self.now.as_secs(), self.now.subsec_micros());
        let line = format!("{seconds:>6}.{micros:06} {}", text());
        if self.shows {
            show(&line);
        }
        self.transcript.push(line);
    }

    pub(super) fn happened(&mut self, what: Happened) {
        self.say(|| match &what {
            Happened::Started(process) => format!("{process} is started"),
            Happened::Ready(process, seen) => format!("{process} is ready, with {}", list(seen)),
            Happened::Ended(process) => format!("{process} has ended"),
            Happened::Lagged(process, lags) => {
                format!("{process} has under way: {}", list_of_lags(lags))
            }
            Happened::Whole(all) => format!("whole: {}", list(all)),
            Happened::Destroyed(process, session, why) => {
                format!("{process} destroys {session:016x}: {why}")
            }
            Happened::Gone(by, who) => format!("{by} declares {who} gone"),
            Happened::Met(by, who) => format!("{by} has {who} in its view"),
            Happened::Broken(promise, what) => format!("BROKEN {promise}: {what}"),
        });
        let at = self.now;
        self.history.events.push((at, what));
    }

    /// What is asserted all the time does not hold.
    pub(super) fn broken(&mut self, what: &'static str, how: String) {
        const ENOUGH: usize = 20;
        self.truth.broken += 1;
        if self.truth.broken <= ENOUGH {
            self.happened(Happened::Broken(what, how));
        }
    }

    /// The processes that run hold the same; not worth a line each time, and nothing new where
    /// nothing has happened since.
    pub(super) fn are_equal(&mut self, all: impl FnOnce(&Self) -> Vec<Process>) {
        let History { operations, events } = &self.history;
        if self.equal_at == (operations.len(), events.len()) {
            return;
        }
        let all = all(self);
        let (at, History { operations, events }) = (self.now, &mut self.history);
        events.push((at, Happened::Whole(all)));
        self.equal_at = (operations.len(), events.len());
    }

    pub(super) fn operated(&mut self, operation: Operation, ran: Rc<RefCell<Option<Ran>>>) {
        self.ran.insert(operation.number, ran);
        let took = operation.ended - operation.began;
        self.say(|| format!("{operation} after {took:?}"));
        self.history.operations.push(operation);
    }

    /// The processes that are ready in the view of a node, itself among them.
    pub(super) fn ready_in(&self, process: Process) -> Vec<Process> {
        let Some(node) = self.look(process) else {
            return Vec::new();
        };
        let view = node.view();
        let ready = view
            .everyone()
            .filter(|member| member.is_ready() || member.incarnation == view.myself.incarnation);
        let processes = ready.filter_map(|member| self.processes.get(&member.incarnation));
        // Whoever has ended may be in the view for a moment more.
        let mut ready: Vec<_> = processes
            .copied()
            .filter(|it| self.is_running(*it))
            .collect();
        ready.sort_unstable();
        ready
    }

    /// Nodes that are to be whole in the end.
    pub(super) fn wanted(&self) -> Vec<Number> {
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| !place.is_given_up)
            .map(|(node, _)| node)
            .collect()
    }

    pub(super) fn finish(&mut self) -> Run {
        let mut history = std::mem::take(&mut self.history);
        history.operations.sort_by_key(|operation| operation.number);
        for operation in &mut history.operations {
            if let Some(ran) = self.ran.remove(&operation.number) {
                operation.ran = ran.borrow_mut().take();
            }
        }
        Run {
            history,
            transcript: std::mem::take(&mut self.transcript),
            simulated: self.now,
        }
    }
}

/// Who holds the world.
#[derive(Clone, Debug)]
pub(super) struct Hands {
    world: Rc<RefCell<World>>,
    spawned: Rc<RefCell<Vec<Spawned>>>,
}

/// A task, and the process that it ends with.
pub(super) type Spawned = (Option<Process>, Task);

/// A task; what it waits for is looked at whenever its process was stirred.
pub(super) struct Task(Pin<Box<dyn Future<Output = ()>>>);

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

impl Task {
    pub(super) fn new(task: impl Future<Output = ()> + 'static) -> Self {
        Self(Box::pin(task))
    }

    /// Goes on as far as it can; whether it has ended.
    pub(super) fn advance(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.0.as_mut().poll(&mut context).is_ready()
    }
}

impl Hands {
    pub(super) fn new(world: World) -> Self {
        Self {
            world: Rc::new(RefCell::new(world)),
            spawned: Rc::default(),
        }
    }

    /// Acts.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        f(&mut self.world.borrow_mut())
    }

    /// Starts a task of a process, which ends with it, or one of nobody.
    pub(super) fn spawn(&self, of: Option<Process>, task: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push((of, Task::new(task)));
    }

    pub(super) fn take_spawned(&self) -> Vec<Spawned> {
        std::mem::take(&mut *self.spawned.borrow_mut())
    }

    /// Waits until `f` gives something.
    pub(super) async fn until<R>(&self, mut f: impl FnMut(&mut World) -> Option<R>) -> R {
        poll_fn(|_| match self.with(&mut f) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits, as a task of no process with this number.
    pub(super) async fn rest(&self, task: usize, time: Duration) {
        let at = self.with(|world| {
            let at = world.now + time;
            world.queue.push(at, Event::Wake(task));
            at
        });
        self.until(|world| (world.now >= at).then_some(())).await;
    }
}

/// A task of a process. Where the process has ended or is stopped, the task stands still.
#[derive(Clone, Debug)]
pub(super) struct Me {
    pub(super) hands: Hands,
    pub(super) process: Process,
}

impl Me {
    /// Acts, and does what comes of it.
    pub(super) async fn act<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        let mut f = Some(f);
        self.until(|world| {
            let f = f.take()?;
            let mut result = None;
            world.act(self.process, |world| result = Some(f(world)));
            result
        })
        .await
    }

    /// Waits until `f` gives something.
    pub(super) async fn until<R>(&self, mut f: impl FnMut(&mut World) -> Option<R>) -> R {
        self.hands
            .until(|world| {
                let is_stopped = world.look(self.process).is_none_or(Node::is_stopped);
                if is_stopped { None } else { f(world) }
            })
            .await
    }

    /// Waits until the clock of the process shows this.
    pub(super) async fn sleep_until(&self, at: Time) {
        let mut is_filed = false;
        self.until(|world| {
            if !is_filed {
                is_filed = true;
                world.wake_at(self.process, at);
            }
            (world.time(self.process) >= at).then_some(())
        })
        .await;
    }

    /// Starts another task of the process.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.hands.spawn(Some(self.process), task);
    }
}
