//! All that a run is decided by: the settings, the load and the faults, from one seed.

use std::time::Duration;

use catherd::Mode;

use crate::draw;
use crate::fault::Schedule;
use crate::random::Random;

/// A run before it happens. Equal plans give equal runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything that is random is derived from.
    pub seed: u64,
    /// How the nodes are configured, all of them alike.
    pub settings: Settings,
    /// What clients do.
    pub load: Load,
    /// What goes wrong. Ends with [`Fault::Mend`](crate::Fault::Mend).
    pub schedule: Schedule,
}

/// How the nodes are configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many there are, 2 to 8.
    pub nodes: usize,
    /// When a request returns.
    pub mode: Mode,
    /// `mcastFrequency`.
    pub frequency: Duration,
    /// `mcastDropTime`.
    pub drop_time: Duration,
    /// How long a member is waited for.
    pub ack_timeout: Duration,
    /// How long a request asks others for a newer copy.
    pub access_timeout: Duration,
    /// How often members compare what they hold.
    pub repair_interval: Duration,
    /// How many frames may wait for one member.
    pub queue_frames_max: Option<usize>,
    /// How many bytes may wait for one member.
    pub queue_bytes_max: usize,
    /// `useDirtyFlag`.
    pub use_dirty_flag: bool,
    /// How long a session may be idle that is not there to test that.
    pub idle_limit: Duration,
    /// Whether all nodes start in the same instant, or one after the other.
    pub at_once: bool,
}

/// What clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Clients with sessions of their own.
    pub alone: usize,
    /// Groups of three clients that share a session.
    pub groups: usize,
    /// Clients that leave a session idle, to see when it ends.
    pub idlers: usize,
    /// Requests, of a hundred, that go to the node of the cookie's route, if it is thought healthy.
    pub sticky: u64,
    /// How long a client waits for an answer.
    pub patience: Duration,
    /// How often the balancer looks who is healthy.
    pub health: Duration,
    /// The longest that a client thinks between two requests; at least as often as once a second.
    pub think: Duration,
}

impl Plan {
    /// The run of this seed, in this mode.
    pub fn of(seed: u64, mode: Mode) -> Self {
        let mut random = Random::derived(seed, 1);
        let settings = Settings::drawn(&mut random, mode);
        let load = Load::drawn(&mut random);
        let schedule = draw::schedule(&mut Random::derived(seed, 2), &settings);
        Self {
            seed,
            settings,
            load,
            schedule,
        }
    }

    /// The run of this seed where runs are cheap: some minutes long, with more episodes, and clients
    /// that ask about once a second together.
    pub fn broad(seed: u64, mode: Mode) -> Self {
        let mut plan = Self::of(seed, mode);
        let mut random = Random::derived(seed, 6);
        plan.settings.make_cheaper(&mut random);
        let clients = plan.load.alone + 3 * plan.load.groups;
        let think = Duration::from_millis(1850) * u32::try_from(clients).unwrap_or(1);
        let load = Load {
            think: think.max(plan.load.think),
            ..plan.load
        };
        let schedule = draw::long_schedule(&mut random, &plan.settings);
        Self {
            load,
            schedule,
            ..plan
        }
    }

    /// When the last fault is over.
    pub fn faults_end(&self) -> Duration {
        self.schedule.last().map_or(Duration::ZERO, |(at, _)| *at)
    }
}

impl Settings {
    /// The defaults of a node, for this many.
    pub fn usual(nodes: usize, mode: Mode) -> Self {
        Self {
            nodes,
            mode,
            frequency: Duration::from_millis(500),
            drop_time: Duration::from_secs(3),
            ack_timeout: Duration::from_secs(15),
            access_timeout: Duration::from_secs(1),
            repair_interval: Duration::from_secs(30),
            queue_frames_max: None,
            queue_bytes_max: 64 << 20,
            use_dirty_flag: true,
            idle_limit: Duration::from_secs(1800),
            at_once: false,
        }
    }

    /// An hour of eight nodes costs ten of three and shows little more, and so do five nodes with ten
    /// heartbeats a second each: mostly there are fewer.
    fn make_cheaper(&mut self, random: &mut Random) {
        const USUAL: Duration = Duration::from_millis(500);
        if self.nodes > 5 && random.percent(75) {
            self.nodes = random.pick(&[2, 3, 3, 4]);
        }
        if self.nodes > 3 && self.frequency < USUAL && random.percent(75) {
            let heartbeats = self.drop_time.as_millis() / self.frequency.as_millis();
            self.drop_time = USUAL * u32::try_from(heartbeats).expect("it is below ten");
            self.frequency = USUAL;
        }
    }

    fn drawn(random: &mut Random, mode: Mode) -> Self {
        let nodes = random.pick(&[2, 2, 3, 3, 3, 4, 5, 5, 8]);
        let usual = Self::usual(nodes, mode);
        let frequency = random.pick(&[100, 200, 500, 500, 1000]);
        let drop_time = frequency * random.pick(&[3, 5, 6, 8]);
        Self {
            frequency: Duration::from_millis(frequency),
            drop_time: Duration::from_millis(drop_time),
            ack_timeout: random.millis(500, 15_000),
            access_timeout: random.millis(300, 2000),
            repair_interval: Duration::from_secs(random.pick(&[5, 10, 30])),
            queue_frames_max: random.pick(&[None, None, Some(1), Some(3), Some(20)]),
            queue_bytes_max: random.pick(&[64 << 20, 64 << 20, 4096]),
            use_dirty_flag: random.percent(80),
            at_once: random.percent(40),
            ..usual
        }
    }
}

impl Load {
    /// A moderate load, as scenarios have it.
    pub fn usual() -> Self {
        Self {
            alone: 3,
            groups: 1,
            idlers: 0,
            sticky: 90,
            patience: Duration::from_secs(20),
            health: Duration::from_millis(500),
            think: Duration::from_millis(600),
        }
    }

    fn drawn(random: &mut Random) -> Self {
        Self {
            alone: 1 + random.below(4),
            groups: random.below(3),
            idlers: random.below(3),
            sticky: random.pick(&[100, 95, 80, 0]),
            patience: random.millis(2000, 25_000),
            health: random.millis(100, 2000),
            think: random.millis(50, 1000),
        }
    }
}

/// The modes by their names in the HOW-TO.
const MODES: [(&str, Mode); 4] = [
    ("synchronous", Mode::Synchronous),
    ("pooled", Mode::Pooled),
    ("asynchronous", Mode::Asynchronous),
    ("fastasyncqueue", Mode::FastAsyncQueue),
];

/// The mode of this name (HOW-TO, "Cluster Configuration": `replicationMode`).
pub fn mode_named(name: &str) -> Option<Mode> {
    let found = MODES.iter().find(|(known, _)| *known == name);
    found.map(|(_, mode)| *mode)
}

/// The name of a mode.
///
/// # Panics
///
/// If the simulator does not know it.
pub fn name_of(mode: Mode) -> &'static str {
    let found = MODES.iter().find(|(_, known)| *known == mode);
    found.expect("every mode has its name here").0
}
