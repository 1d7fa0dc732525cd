//! What a crash may take: in the asynchronous modes what the status said was under way, in the
//! others nothing that was acknowledged, and never a logout.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use catherd_testkit::{Client, Node, wait};
use serde_json::{Value, json};

use crate::{MODES, Mode, farm, in_modes, pair};

const ASYNCHRONOUS: [Mode; 2] = [Mode::Asynchronous, Mode::FastAsyncQueue];

/// A write that was acknowledged to a client.
struct Written {
    client: Client,
    name: String,
    at: Instant,
}

/// The figure of a link in a status.
fn figure(status: &Value, name: &str) -> u64 {
    let value = status["members"][0]["link"][name].as_u64();
    value.unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// HOW-TO, "Cluster Configuration": an asynchronous request returns before the data is replicated.
#[test]
fn a_crash_loses_no_more_than_was_queued_by_the_last_status() {
    in_modes(&ASYNCHRONOUS, |mode| {
        let farm = farm();
        let patient = Duration::from_secs(60);
        let (a, b) = pair(&farm, mode, |node| node.drop_time(patient));
        let mut clients: Vec<_> = (0..10).map(|_| Client::new()).collect();
        for client in &mut clients {
            client.set(&a, "base", &json!(0));
        }
        a.wait_until_equal(&b, "/examples");
        b.pause();
        let mut written = Vec::new();
        for round in 0..10 {
            for client in &mut clients {
                let name = format!("n{round}");
                let answer = client.set(&a, &name, &json!(round));
                assert_eq!(answer.degraded(), "", "{mode:?}");
                let (client, at) = (client.clone(), Instant::now());
                written.push(Written { client, name, at });
            }
        }
        let status = a.status();
        let said_at = Instant::now();
        a.kill();
        b.resume();
        b.wait_for_members(&[]);
        let lost: Vec<_> = written
            .into_iter()
            .filter_map(|mut write| {
                let session = write.client.session(&b);
                (session.attribute(&write.name) == Value::Null).then_some(write)
            })
            .collect();
        assert!(!lost.is_empty(), "{mode:?}: it is about losses");
        let frames = figure(&status, "queued_frames") + figure(&status, "unacknowledged_frames");
        // A frame of `asynchronous` stands for all writes of its session.
        let lost_frames = match mode {
            Mode::Asynchronous => {
                let keys = lost.iter().map(|write| write.client.key());
                keys.collect::<std::collections::BTreeSet<_>>().len()
            }
            _ => lost.len(),
        };
        assert!(
            lost_frames as u64 <= frames,
            "{mode:?}: {lost_frames} of {status}"
        );
        let oldest = Duration::from_millis(figure(&status, "oldest_ms") + 1);
        for write in &lost {
            assert!(said_at - write.at <= oldest, "{mode:?}: {status}");
        }
        assert!(figure(&status, "queued_bytes") > 0, "{mode:?}");
    });
}

/// A client, and the last number that was acknowledged to it.
struct Writer {
    client: Client,
    acknowledged: u64,
}

/// Eight clients write on `a` until it is killed by `end`; then what each was told.
fn write_until_killed(a: &Node, end: impl FnOnce()) -> Vec<Writer> {
    let (written, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let write = || {
        let mut writer = Writer {
            client: Client::new(),
            acknowledged: 0,
        };
        for number in 1.. {
            let path = "/examples/session/attributes/number";
            let body = number.to_string();
            match writer.client.try_send(a, "PUT", path, Some(&body)) {
                Ok(answer) if answer.status() == 200 => writer.acknowledged = number,
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => {}
            }
            written.fetch_add(1, Ordering::Relaxed);
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
        writer
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|_| scope.spawn(write)).collect();
        wait::until_true("every client has written", || {
            written.load(Ordering::Relaxed) > 80
        });
        end();
        is_over.store(true, Ordering::Relaxed);
        let joined = writers.into_iter().map(|writer| writer.join());
        joined
            .map(|writer| writer.expect("a writer panics nowhere"))
            .collect()
    })
}

/// In every mode, with the queue full of other writes; and what the crash took of those.
#[test]
fn a_logout_survives_a_crash_under_load_right_after_its_answer() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let (a, b) = pair(&farm, mode, |node| node);
        let mut client = Client::new();
        client.set(&a, "user", &json!("Ada"));
        let mut late = client.clone();
        let writers = write_until_killed(&a, || {
            assert_eq!(client.invalidate(&a).degraded(), "", "{mode:?}");
            a.kill();
        });
        let without = "/examples/session?create=false";
        assert_eq!(late.get(&b, without).status(), 404, "{mode:?}");
        b.wait_for_members(&[]);
        let mut lost = 0;
        for mut writer in writers {
            let there = writer.client.session(&b);
            let number = there.attribute("number").as_u64().unwrap_or(0);
            lost += writer.acknowledged.saturating_sub(number);
        }
        println!("{mode:?}: a crash took {lost} writes of 8 clients");
        if mode.is_synchronous() {
            assert_eq!(lost, 0, "{mode:?}: what was acknowledged is there");
        }
    });
}

/// A node that is stopped sends what it has queued.
#[test]
fn a_node_that_is_stopped_loses_nothing_in_any_mode() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let (a, b) = pair(&farm, mode, |node| node);
        let mut clients: Vec<_> = (0..50).map(|_| Client::new()).collect();
        for round in 0..4 {
            for client in &mut clients {
                client.set(&a, "round", &json!(round));
            }
        }
        a.stop();
        b.wait_for_members(&[]);
        for mut client in clients {
            let there = client.session(&b);
            assert_eq!(there.attribute("round"), json!(3), "{mode:?}");
        }
    });
}
