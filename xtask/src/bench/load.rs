//! Many users at once, each waiting for an answer before the next request.
//!
//! All of them in one thread: a generator that wakes its own threads takes more from the nodes
//! than it does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};

use super::connection::{Connection, Target};
use super::figures::Window;
use super::processes::{self, Look};

/// After the connections are open and the sessions made, before a window begins.
const SETTLE: Duration = Duration::from_millis(200);

/// One window of load on `target`; processor time is that of `processes` together.
///
/// # Errors
///
/// A request failed, or a write was lost.
pub(super) fn window(
    target: &Target,
    users: usize,
    length: Duration,
    processes: &[u32],
) -> Result<Window, String> {
    let runtime = runtime()?;
    LocalSet::new().block_on(&runtime, async {
        let phase = Rc::new(Cell::new(Phase::Before));
        let mut running = start(target, users, &phase).await?;
        tokio::time::sleep(SETTLE).await;
        let before = Look::at(processes);
        let start = Instant::now();
        phase.set(Phase::Within);
        tokio::time::sleep(length).await;
        phase.set(Phase::After);
        let took = start.elapsed();
        let used = Look::at(processes).since(&before);
        let mut nanos = Vec::new();
        while let Some(user) = running.join_next().await {
            nanos.extend(user.map_err(|error| format!("a user ended: {error}"))??);
        }
        let foreign = used.foreign.as_secs_f64() / took.as_secs_f64();
        Ok(Window::new(nanos, took, used.theirs, foreign))
    })
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Before,
    Within,
    After,
}

type Users = JoinSet<Result<Vec<u64>, String>>;

/// Each gives the latencies of the requests that began and ended within, in nanoseconds.
async fn start(target: &Target, users: usize, phase: &Rc<Cell<Phase>>) -> Result<Users, String> {
    let mut running = JoinSet::new();
    for _ in 0..users {
        let mut user = Connection::open(target).await?;
        let phase = Rc::clone(phase);
        running.spawn_local(async move {
            let mut took = Vec::new();
            loop {
                let (began_in, start) = (phase.get(), Instant::now());
                if began_in == Phase::After {
                    return Ok(took);
                }
                user.ask().await?;
                if began_in == Phase::Within && phase.get() == Phase::Within {
                    let nanos = start.elapsed().as_nanos();
                    took.push(u64::try_from(nanos).unwrap_or(u64::MAX));
                }
            }
        });
    }
    Ok(running)
}

/// Makes `count` sessions at `target`.
pub(super) fn create(target: &Target, count: usize) -> Result<(), String> {
    const USERS: usize = 16;
    let runtime = runtime()?;
    LocalSet::new().block_on(&runtime, async {
        let left = Rc::new(Cell::new(count));
        let mut running = JoinSet::new();
        for _ in 0..USERS {
            let mut user = Connection::open(target).await?;
            let left = Rc::clone(&left);
            running.spawn_local(async move {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    user.forget_session();
                    user.ask().await?;
                }
                Ok::<_, String>(())
            });
        }
        while let Some(user) = running.join_next().await {
            user.map_err(|error| format!("a user ended: {error}"))??;
        }
        Ok(())
    })
}

/// Load that goes on beside something else that is measured.
#[derive(Debug)]
pub(super) struct Background {
    answered: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<(), String>>,
}

impl Background {
    /// Begins; the users come one after another.
    pub(super) fn start(target: Target, users: usize) -> Self {
        let (answered, ends) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, end) = (Arc::clone(&answered), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            LocalSet::new().block_on(&runtime()?, async move {
                let mut running = JoinSet::new();
                for _ in 0..users {
                    let mut user = Connection::open(&target).await?;
                    let (count, end) = (Arc::clone(&count), Arc::clone(&end));
                    running.spawn_local(async move {
                        while !end.load(Ordering::Relaxed) {
                            user.ask().await?;
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok::<_, String>(())
                    });
                }
                while let Some(user) = running.join_next().await {
                    user.map_err(|error| format!("a user ended: {error}"))??;
                }
                Ok(())
            })
        });
        Self {
            answered,
            ends,
            thread,
        }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests a second while `what` runs, and what it gives.
    pub(super) fn rate_during<T>(&self, what: impl FnOnce() -> T) -> (f64, T) {
        let (before, start) = (self.answered(), Instant::now());
        let done = what();
        let answered = self.answered() - before;
        (answered as f64 / start.elapsed().as_secs_f64(), done)
    }

    /// Ends it; how many requests were answered in all.
    pub(super) fn stop(self) -> Result<u64, String> {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| "the load panicked".to_owned())??;
        Ok(self.answered.load(Ordering::Relaxed))
    }
}

/// Processor time of processes while `length` passes, as a part of one core.
pub(super) fn idle(processes: &[u32], length: Duration) -> f64 {
    let before = processes::used_exactly(processes);
    let start = Instant::now();
    std::thread::sleep(length);
    let used = processes::used_exactly(processes).saturating_sub(before);
    used.as_secs_f64() / start.elapsed().as_secs_f64()
}

fn runtime() -> Result<Runtime, String> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("no runtime: {error}"))
}
