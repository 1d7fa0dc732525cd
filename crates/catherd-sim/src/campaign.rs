//! Many seeds on all processors, and what is left to say about one that failed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use catherd::Mode;
use parking_lot::Mutex;

use crate::check::{Violation, check};
use crate::nodes::Nodes;
use crate::plan::{Plan, name_of};
use crate::{Engine, Run};

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What happened, a line each.
    pub transcript: Vec<String>,
}

/// What is said about a seed that is done.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How much time was simulated.
    pub simulated: Duration,
    /// How many operations clients made.
    pub operations: usize,
    /// `None` if everything was kept.
    pub failure: Option<Failure>,
}

/// The command that makes a run happen again.
pub fn replay_command(seed: u64, mode: Mode) -> String {
    format!("cargo xtask sim --mode {} --seed {seed}", name_of(mode))
}

/// Runs one seed, and reads its history. A panic anywhere in it is a failure.
pub fn run_seed(seed: u64, mode: Mode) -> (Report, Run) {
    run_plan(&Plan::of(seed, mode), false)
}

/// The same for any plan; `shows` the transcript while it is written, if wanted.
pub fn run_plan(plan: &Plan, shows: bool) -> (Report, Run) {
    note_panics();
    PANICS.with_borrow_mut(Vec::clear);
    let run = panic::catch_unwind(AssertUnwindSafe(|| Nodes { shows }.run(plan)));
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
        violations,
        transcript: run.transcript.clone(),
    });
    let report = Report {
        seed: plan.seed,
        simulated: run.simulated,
        operations: run.history.operations.len(),
        failure,
    };
    (report, run)
}

/// Runs `count` seeds from `first` on, on as many threads as there are processors; `done` hears of
/// each as it ends, and `hangs` of each that
/// does not.
pub fn campaign(
    first: u64,
    count: u64,
    mode: Mode,
    mut done: impl FnMut(Report),
    mut hangs: impl FnMut(u64),
) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
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
                    let (report, _) = run_seed(first + at, mode);
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
