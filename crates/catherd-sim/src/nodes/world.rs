//! What the parts of a run share: the network, who runs where, and what is written down.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use catherd::core::version::Incarnation;
use catherd::testing::{Host, Network};
use catherd::{Cluster, ClusterBuilder, Manager, SessionService};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::application::Application;
use crate::Run;
use crate::fault::Node;
use crate::history::{Happened, History, Lag, Number, Operation, Process, Ran};
use crate::plan::Plan;
use crate::transcript::{list, list_of_lags, show};

pub(super) struct World {
    pub(super) plan: Plan,
    shows: bool,
    pub(super) network: Network,
    pub(super) began: Instant,
    pub(super) slots: Mutex<Vec<Slot>>,
    processes: Mutex<BTreeMap<Incarnation, Process>>,
    /// Since when the link from one process to another is open.
    linked: Mutex<BTreeMap<(Process, Process), Duration>>,
    history: Mutex<History>,
    transcript: Mutex<Vec<String>>,
    numbers: Mutex<Number>,
    /// What applications did, by number: a request may go on when its client has left.
    ran: Mutex<BTreeMap<Number, Doing>>,
}

pub(super) type Doing = Arc<Mutex<Option<Ran>>>;

/// A place for a node, and the process that runs there.
#[derive(Default)]
pub(super) struct Slot {
    /// How many processes were started here.
    pub(super) starts: u32,
    pub(super) host: Option<Host>,
    pub(super) cluster: Option<Cluster>,
    /// Set when the ports open.
    pub(super) service: Option<SessionService<Application>>,
    pub(super) is_stopped: bool,
    pub(super) is_leaving: bool,
    /// What the balancer thinks.
    pub(super) is_healthy: bool,
    /// Requests that are being answered.
    pub(super) requests: usize,
    /// When it last could not look at the others as usual: it started, was stopped, went on.
    pub(super) disturbed: Duration,
    /// Gone for good.
    pub(super) is_given_up: bool,
}

impl World {
    pub(super) fn new(plan: &Plan, shows: bool) -> Self {
        Self {
            plan: plan.clone(),
            shows,
            network: Network::new(plan.seed),
            began: Instant::now(),
            slots: Mutex::new((0..plan.settings.nodes).map(|_| Slot::default()).collect()),
            processes: Mutex::default(),
            linked: Mutex::default(),
            history: Mutex::default(),
            transcript: Mutex::default(),
            numbers: Mutex::default(),
            ran: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn number(&self) -> Number {
        let mut numbers = self.numbers.lock();
        *numbers += 1;
        *numbers
    }

    pub(super) fn say(&self, text: &str) {
        let now = self.now();
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        let line = format!("{seconds:>6}.{micros:06} {text}");
        if self.shows {
            show(&line);
        }
        self.transcript.lock().push(line);
    }

    pub(super) fn happened(&self, what: Happened) {
        match &what {
            Happened::Started(process) => self.say(&format!("{process} is started")),
            Happened::Ready(process, seen) => {
                self.say(&format!("{process} is ready, with {}", list(seen)));
            }
            Happened::Ended(process) => self.say(&format!("{process} has ended")),
            // The event of the node is in the transcript.
            Happened::Gone(..) | Happened::Met(..) => {}
            Happened::Lagged(process, lags) => {
                let lags = list_of_lags(lags);
                self.say(&format!("{process} has under way: {lags}"));
            }
            Happened::Whole(all) => self.say(&format!("whole: {}", list(all))),
            Happened::Destroyed(process, session, why) => {
                self.say(&format!("{process} destroys {session:016x}: {why}"));
            }
            Happened::Broken(promise, what) => self.say(&format!("BROKEN {promise}: {what}")),
        }
        let now = self.now();
        self.history.lock().events.push((now, what));
    }

    /// The processes that run hold the same at this moment; not worth a line each time.
    pub(super) fn are_equal(&self, all: Vec<Process>) {
        let now = self.now();
        self.history.lock().events.push((now, Happened::Whole(all)));
    }

    /// Notes that a node cannot look at the others as usual, and whether it can do nothing at all.
    pub(super) fn disturb(&self, node: Node, is_stopped: bool) {
        let now = self.now();
        let slot = &mut self.slots.lock()[node];
        (slot.disturbed, slot.is_stopped) = (now, is_stopped);
    }

    pub(super) fn operated(&self, operation: Operation, ran: Doing) {
        self.ran.lock().insert(operation.number, ran);
        let took = operation.ended - operation.began;
        self.say(&format!("{operation} after {took:?}"));
        self.history.lock().operations.push(operation);
    }

    pub(super) fn with_history<R>(&self, f: impl FnOnce(&History) -> R) -> R {
        f(&self.history.lock())
    }

    pub(super) fn finish(&self) -> Run {
        let mut history = std::mem::take(&mut *self.history.lock());
        history.operations.sort_by_key(|operation| operation.number);
        let mut ran = self.ran.lock();
        for operation in &mut history.operations {
            operation.ran = ran
                .remove(&operation.number)
                .and_then(|ran| ran.lock().take());
        }
        Run {
            history,
            transcript: std::mem::take(&mut *self.transcript.lock()),
            simulated: self.now(),
        }
    }

    /// The process that runs at a place, or ran there last.
    pub(super) fn process(&self, node: Node) -> Process {
        let starts = self.slots.lock()[node].starts;
        Process {
            node,
            generation: starts.saturating_sub(1),
        }
    }

    /// Whether this process still runs.
    pub(super) fn is_current(&self, process: Process) -> bool {
        let slots = self.slots.lock();
        let slot = &slots[process.node];
        slot.host.is_some() && slot.starts == process.generation + 1
    }

    pub(super) fn cluster(&self, node: Node) -> Option<Cluster> {
        self.slots.lock()[node].cluster.clone()
    }

    /// Notes under which incarnation a process is known.
    pub(super) fn known_as(&self, incarnation: Incarnation, process: Process) {
        self.processes.lock().insert(incarnation, process);
    }

    /// Notes that the link of a process to a member was opened, anew perhaps.
    pub(super) fn has_linked(&self, process: Process, member: Process) {
        self.linked.lock().insert((process, member), self.now());
    }

    /// What a process has under way, as it publishes it. Not to members that lack what was marked.
    pub(super) fn lag(&self, process: Process, cluster: &Cluster) -> Vec<Lag> {
        let linked = self.linked.lock();
        let members = cluster.status().members.into_iter();
        let lags = members.filter_map(|member| {
            let bits = u64::from_str_radix(&member.incarnation, 16).ok()?;
            let to = self.known(Incarnation::from_bits(bits))?;
            let link = member.link;
            let frames = link.queued_frames + link.unacknowledged_frames;
            let is_whole = member.state == "ready" && link.marked_buckets == 0;
            is_whole.then_some(Lag {
                member: to,
                since: *linked.get(&(process, to))?,
                frames: usize::try_from(frames).unwrap_or(usize::MAX),
            })
        });
        lags.collect()
    }

    pub(super) fn known(&self, incarnation: Incarnation) -> Option<Process> {
        self.processes.lock().get(&incarnation).copied()
    }

    /// The processes that are ready in the view of a node, itself among them.
    pub(super) fn ready_in(&self, cluster: &Cluster) -> Vec<Process> {
        let view = cluster.members();
        let ready = view
            .everyone()
            .filter(|member| member.is_ready() || member.incarnation == view.myself.incarnation);
        let mut ready: Vec<_> = ready
            .filter_map(|member| self.known(member.incarnation))
            .collect();
        ready.sort_unstable();
        ready
    }

    pub(super) fn builder(&self, node: Node, host: &Host) -> ClusterBuilder {
        let settings = &self.plan.settings;
        let builder = Cluster::builder()
            .node_name(&format!("n{node}"))
            .cluster_id("sim")
            .multicast_interface(Some(host.ip()))
            .listen([SocketAddr::new(host.ip(), 4001)])
            .allow_plaintext(true)
            .replication_mode(settings.mode)
            .frequency(settings.frequency)
            .drop_time(settings.drop_time)
            .ack_timeout(settings.ack_timeout)
            .repair_interval(settings.repair_interval)
            // In mode `pooled` every other run has all its links from the start.
            .auto_connect(self.plan.seed.is_multiple_of(2))
            .max_queue_bytes(settings.queue_bytes_max);
        match settings.queue_frames_max {
            Some(frames) => builder.max_queue_length(frames),
            None => builder,
        }
    }

    pub(super) fn manager(&self) -> Manager {
        let settings = &self.plan.settings;
        Manager::delta()
            .use_dirty_flag(settings.use_dirty_flag)
            .access_timeout(settings.access_timeout)
    }

    /// Nodes that are to be whole in the end.
    pub(super) fn wanted(&self) -> Vec<Node> {
        let slots = self.slots.lock();
        let wanted = slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| !slot.is_given_up);
        wanted.map(|(node, _)| node).collect()
    }
}

pub(super) fn address(node: Node) -> IpAddr {
    let last = u8::try_from(node + 1).expect("there are eight nodes at most");
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

pub(super) type Shared = Arc<World>;
