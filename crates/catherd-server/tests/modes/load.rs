//! Many users on both nodes at once, then quiet: nothing differs, and what was acknowledged is
//! there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use catherd_testkit::{Answer, Client, Node, Port, Site as _, wait};
use serde_json::Value;

use crate::{MODES, Mode, farm, in_modes, pair};

/// A user of one session, and what was acknowledged.
struct User {
    client: Client,
    at: usize,
    acknowledged: BTreeMap<String, u64>,
}

impl User {
    fn new(at: usize) -> Self {
        Self {
            client: Client::new(),
            at,
            acknowledged: BTreeMap::new(),
        }
    }

    /// One write, on the node where it is, or on the other one if that does not answer.
    fn write(&mut self, sites: &[Port; 2], number: u64) {
        let name = format!("n{}", number % 5);
        let path = format!("/examples/session/attributes/{name}");
        let body = number.to_string();
        let site = &sites[self.at % sites.len()];
        match self.client.try_send(site, "PUT", &path, Some(&body)) {
            // A node that was stopped says so while it joins again, or does not answer at all.
            Ok(answer) if answer.status() == 503 => self.at += 1,
            Ok(answer) => {
                let answer = answer.expect_status(200);
                if answer.degraded().contains("takeover") {
                    self.look_again(site, &answer);
                }
                self.acknowledged.insert(name, number);
            }
            Err(_) => self.at += 1,
        }
    }

    /// It was told that its last changes may be missing: from here on this is what it knows.
    fn look_again(&mut self, site: &Port, answer: &Answer) {
        let Ok(session) = self.client.try_get(site, "/examples/session") else {
            panic!("nobody was killed since: {answer:?}");
        };
        let session = session.json();
        self.acknowledged.retain(|name, number| {
            let there = session["attributes"][name].as_u64();
            *number = there.unwrap_or(0);
            there.is_some()
        });
    }
}

/// So many users write so often on both nodes, while `disturb` does what it likes; it is told how
/// many writes there were.
fn load(
    (a, b): (&mut Node, &mut Node),
    (users, writes): (usize, u64),
    disturb: impl FnOnce(&mut Node, &AtomicUsize),
) -> Vec<User> {
    let sites = [Port(a.http_port()), Port(b.http_port())];
    let written = AtomicUsize::new(0);
    let (sites, written) = (&sites, &written);
    let mut all: Vec<_> = (0..users).map(User::new).collect();
    // Every session is known to both before anything happens to a node.
    for user in &mut all {
        user.write(sites, 0);
    }
    a.wait_until_equal(b, "/examples");
    thread::scope(|scope| {
        for user in &mut all {
            scope.spawn(move || {
                for number in 1..=writes {
                    user.write(sites, number);
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        disturb(b, written);
    });
    all
}

/// Both nodes agree, say so, and have what was acknowledged.
fn assert_whole(a: &Node, b: &Node, users: Vec<User>, mode: Mode) {
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    a.wait_until_equal(b, "/examples");
    for node in [a, b] {
        let differ = |status: &Value| status["sessions_that_differ"] == 0;
        node.wait_until("nothing differs", differ);
        assert_eq!(node.counter("alarms"), 0, "{mode:?}");
    }
    for mut user in users {
        let key = user.client.key();
        let session = user.client.session(b);
        assert_eq!(user.client.key(), key, "{mode:?}: its session was lost");
        for (name, number) in &user.acknowledged {
            let there = session.attribute(name).as_u64();
            // A write whose answer did not come may have come through.
            assert!(
                there >= Some(*number),
                "{mode:?} {name}: {there:?} after {number}"
            );
        }
    }
}

#[test]
fn everything_acknowledged_is_on_both_nodes_after_load_in_every_mode() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let often = r#"repairInterval="1""#;
        let (mut a, mut b) = pair(&farm, mode, |node| node.cluster_attributes(often));
        for (users, writes) in [(16, 20), (64, 6)] {
            let all = load((&mut a, &mut b), (users, writes), |_, _| {});
            assert_whole(&a, &b, all, mode);
        }
    });
}

/// It is stopped for longer than the drop time, is declared gone, and comes back.
#[test]
fn everything_acknowledged_is_there_after_a_node_stood_still_under_load_in_every_mode() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let often = r#"repairInterval="1""#;
        let (mut a, mut b) = pair(&farm, mode, |node| node.cluster_attributes(often));
        let watch = Port(a.http_port());
        let all = load((&mut a, &mut b), (16, 20), |b, written| {
            wait::until_true("clients write", || written.load(Ordering::Relaxed) > 32);
            b.pause();
            wait::until_true("A has given it up", || {
                let status = Client::new().get(&watch, "/catherd/status").json();
                status["members"].as_array().is_some_and(Vec::is_empty)
            });
            b.resume();
        });
        assert_whole(&a, &b, all, mode);
    });
}

#[test]
fn what_was_acknowledged_is_there_while_a_node_is_killed_and_started_in_every_mode() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let often = r#"repairInterval="1""#;
        let (mut a, mut b) = pair(&farm, mode, |node| node.cluster_attributes(often));
        let all = load((&mut a, &mut b), (16, 60), |b, written| {
            for _ in 0..3 {
                let before = written.load(Ordering::Relaxed);
                let goal = (before + 64).min(16 * 55);
                wait::until_true("clients write on", || {
                    written.load(Ordering::Relaxed) >= goal
                });
                b.kill();
                b.start_again();
            }
        });
        assert_whole(&a, &b, all, mode);
    });
}

/// It stands still, is not given up, and has room for next to nothing in its queue: writes are
/// joined and dropped, and all is right in the end.
#[test]
fn everything_acknowledged_is_there_after_a_queue_ran_over_in_every_mode() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let (mut a, mut b) = pair(&farm, mode, |node| {
            let bounds = r#"ackTimeout="300" maxQueueLength="4" maxQueueBytes="65536""#;
            node.drop_time(Duration::from_secs(60))
                .cluster_attributes(r#"repairInterval="1""#)
                .sender_attributes(bounds)
        });
        let watch = Port(a.http_port());
        let all = load((&mut a, &mut b), (16, 20), |b, written| {
            wait::until_true("clients write", || written.load(Ordering::Relaxed) > 16);
            b.pause();
            wait::until_true("the queue is full", || {
                let status = Client::new().get(&watch, "/catherd/status").json();
                let link = &status["members"][0]["link"];
                let figure = |name: &str| link[name].as_u64().expect("a number");
                assert!(figure("queued_frames") <= 25, "{mode:?}: {link}");
                figure("joined_frames") + figure("shed_frames") > 0
            });
            b.resume();
        });
        assert_whole(&a, &b, all, mode);
    });
}
