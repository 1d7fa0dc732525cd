//! Many seeds on all processors, and what is left to say about one that failed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use catherd::Mode;
use parking_lot::Mutex;

use crate::check::{Violation, check};
use crate::cores::Cores;
use crate::history::READER;
use crate::nodes::Nodes;
use crate::plan::{Plan, name_of};
use crate::{Engine, Run};

/// A run that broke a promise. As text: all that is needed to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What it ran in, and in which mode.
    pub of: (Kind, Mode),
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What happened, a line each.
    pub transcript: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        f.write_str("...\n")?;
        let tail = self.transcript.len().saturating_sub(40);
        for line in &self.transcript[tail..] {
            writeln!(f, "{line}")?;
        }
        let (seed, (kind, mode)) = (self.seed, self.of);
        let again = replay_command_of(kind, seed, mode);
        writeln!(
            f,
            "\nseed {seed} did not keep its promises; see it again with\n  {again}"
        )
    }
}

/// What is said about a seed that is done.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How much time was simulated.
    pub simulated: Duration,
    /// How many operations clients made, without the reads of everything in the end.
    pub operations: usize,
    /// How often something went wrong; that it was put right is not counted.
    pub faults: usize,
    /// `None` if everything was kept.
    pub failure: Option<Failure>,
}

impl Report {
    /// For a test, which fails where the run did.
    ///
    /// # Panics
    ///
    /// With the [`Failure`] as text, if a promise was broken.
    pub fn assert_kept(&self) {
        if let Some(failure) = &self.failure {
            panic!("{failure}");
        }
    }
}

/// Which engine makes a plan happen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// Whole nodes: [`Nodes`].
    #[default]
    Nodes,
    /// The cores alone: [`Cores`].
    Cores,
}

impl Kind {
    /// The plan of a seed: where runs are cheap it is longer, and less happens a minute.
    pub fn plan(self, seed: u64, mode: Mode) -> Plan {
        match self {
            Self::Nodes => Plan::of(seed, mode),
            Self::Cores => Plan::broad(seed, mode),
        }
    }

    fn run(self, plan: &Plan, shows: bool, is_silent: bool) -> Run {
        match self {
            Self::Nodes => Nodes { shows }.run(plan),
            Self::Cores => Cores { shows, is_silent }.run(plan),
        }
    }
}

/// The command that makes a run happen again.
pub fn replay_command(seed: u64, mode: Mode) -> String {
    replay_command_of(Kind::Nodes, seed, mode)
}

/// The same for a run of either engine.
pub fn replay_command_of(kind: Kind, seed: u64, mode: Mode) -> String {
    let engine = match kind {
        Kind::Nodes => "",
        Kind::Cores => " --engine cores",
    };
    format!(
        "cargo xtask sim --mode {}{engine} --seed {seed}",
        name_of(mode)
    )
}

/// Runs one seed, and reads its history. A panic anywhere in it is a failure.
pub fn run_seed(seed: u64, mode: Mode) -> (Report, Run) {
    run_plan(&Plan::of(seed, mode), false)
}

/// Runs one seed in this engine; what it did is written down only if it failed, or is wanted.
pub fn run_seed_of(kind: Kind, seed: u64, mode: Mode, is_silent: bool) -> (Report, Run) {
    let plan = kind.plan(seed, mode);
    let (report, run) = run_plan_of(kind, &plan, false, is_silent);
    if is_silent && report.failure.is_some() {
        return run_plan_of(kind, &plan, false, false);
    }
    (report, run)
}

/// The same for any plan; `shows` the transcript while it is written, if wanted.
pub fn run_plan(plan: &Plan, shows: bool) -> (Report, Run) {
    run_plan_of(Kind::Nodes, plan, shows, false)
}

/// The same in either engine.
pub fn run_plan_of(kind: Kind, plan: &Plan, shows: bool, is_silent: bool) -> (Report, Run) {
    note_panics();
    PANICS.with_borrow_mut(Vec::clear);
    let run = panic::catch_unwind(AssertUnwindSafe(|| kind.run(plan, shows, is_silent)));
    let panics = PANICS.with_borrow_mut(std::mem::take);
    let panicked = |what: String| Violation {
        promise: "no panic",
        operation: None,
        what,
    };
    let mut violations: Vec<Violation> = panics.into_iter().map(panicked).collect();
    let run = run.unwrap_or_else(|_| Run {
        history: crate::History::default(),
        transcript: vec!["the run did not come to its end".to_owned()],
        simulated: Duration::ZERO,
    });
    violations.extend(check(plan, &run.history));
    let failure = (!violations.is_empty()).then(|| Failure {
        seed: plan.seed,
        of: (kind, plan.settings.mode),
        violations,
        transcript: run.transcript.clone(),
    });
    let operations = run.history.operations.iter();
    let report = Report {
        seed: plan.seed,
        simulated: run.simulated,
        operations: operations.filter(|it| it.client != READER).count(),
        faults: plan.schedule.iter().filter(|(_, it)| it.is_harm()).count(),
        failure,
    };
    (report, run)
}

/// Runs `count` seeds from `first` on, on so many threads; `done` hears of each as it ends, and
/// `hangs` of each that does not.
pub fn campaign(
    (first, count): (u64, u64),
    (kind, mode): (Kind, Mode),
    threads: usize,
    mut done: impl FnMut(Report),
    mut hangs: impl FnMut(u64),
) {
    let next = AtomicU64::new(0);
    let running = Mutex::new(BTreeMap::new());
    let (reports, arrived) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (next, running, reports) = (&next, &running, reports.clone());
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    running.lock().insert(first + at, Instant::now());
                    let (report, _) = run_seed_of(kind, first + at, mode, true);
                    running.lock().remove(&(first + at));
                    // Who started the campaign waits for all reports.
                    let _ = reports.send(report);
                }
            });
        }
        drop(reports);
        loop {
            match arrived.recv_timeout(Duration::from_secs(1)) {
                Ok(report) => done(report),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            for (seed, since) in &mut *running.lock() {
                if since.elapsed() > HANGS_AFTER {
                    *since = Instant::now();
                    hangs(*seed);
                }
            }
        }
    });
}

/// A run takes a second; one that takes this long does not end.
const HANGS_AFTER: Duration = Duration::from_secs(60);

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A task that panics ends without a word to those who do not wait for it; here it is noted.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            usual(info);
        }));
    });
}
