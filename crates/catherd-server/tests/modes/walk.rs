//! Without stickiness: a client that is sent from node to node sees what it has seen, in every
//! mode, and what may be older says so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use catherd_testkit::{Answer, Client, Port, Site as _, wait};

use crate::{MODES, Mode, farm, in_modes, pair};

const CLIENTS: usize = 4;

/// A client that goes to the other node with each request, and what it saw last.
struct Walker {
    mode: Mode,
    client: Client,
    at: usize,
    seen: u64,
    flagged: u64,
}

impl Walker {
    fn new(mode: Mode, at: usize) -> Self {
        Self {
            mode,
            client: Client::new(),
            at,
            seen: 0,
            flagged: 0,
        }
    }

    /// Adds one, or reads, on the next node that answers.
    fn step(&mut self, sites: &[Port; 2], writes: bool) {
        let (method, path) = if writes {
            ("POST", "/examples/session/increment/steps")
        } else {
            ("GET", "/examples/session")
        };
        let site = &sites[self.at % sites.len()];
        self.at += 1;
        // A write whose answer did not come may have come through: one more is no older.
        let Ok(answer) = self.client.try_send(site, method, path, None) else {
            return;
        };
        let answer = answer.expect_status(200);
        let found = if writes {
            answer.json()["value"].as_u64().map(|sum| sum - 1)
        } else {
            answer.attribute("steps").as_u64()
        };
        self.check(&answer, found.unwrap_or(0));
        self.seen = found.unwrap_or(0) + u64::from(writes);
    }

    fn check(&mut self, answer: &Answer, found: u64) {
        let is_stale = answer.degraded().contains("stale");
        let is_taken_over = answer.degraded().contains("takeover");
        self.flagged += u64::from(is_stale || is_taken_over);
        // What was acknowledged in a synchronous mode is on the node that lives.
        let may_be_older = is_stale || is_taken_over && !self.mode.is_synchronous();
        let seen = self.seen;
        assert!(
            found >= seen || may_be_older,
            "{:?}: {found} after {seen}: {answer:?}",
            self.mode
        );
    }
}

#[test]
fn no_client_sees_an_older_session_without_a_flag_in_any_mode() {
    in_modes(&MODES, walk);
}

fn walk(mode: Mode) {
    let farm = farm();
    let (mut a, b) = pair(&farm, mode, |node| node);
    let sites = [Port(a.http_port()), Port(b.http_port())];
    let mut walkers: Vec<_> = (0..CLIENTS).map(|at| Walker::new(mode, at)).collect();
    thread::scope(|scope| {
        for walker in &mut walkers {
            scope.spawn(|| {
                for step in 0..40 {
                    walker.step(&sites, step % 2 == 0);
                }
            });
        }
    });
    for walker in &walkers {
        assert_eq!((walker.seen, walker.flagged), (20, 0), "{mode:?}");
    }
    a.wait_until_equal(&b, "/examples");

    let (is_over, steps) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for walker in &mut walkers {
            scope.spawn(|| {
                for step in 0.. {
                    walker.step(&sites, step % 3 == 0);
                    steps.fetch_add(1, Ordering::Relaxed);
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let more_steps = || {
            let before = steps.load(Ordering::Relaxed);
            wait::until_true("clients walk on", || {
                steps.load(Ordering::Relaxed) > before + 10 * CLIENTS
            });
        };
        more_steps();
        a.kill();
        b.wait_for_members(&[]);
        more_steps();
        a.start_again();
        more_steps();
        is_over.store(true, Ordering::Relaxed);
    });
    a.wait_until_equal(&b, "/examples");
}
