//! A node that goes while its clients write: what was acknowledged is on the other one.
//!
//! HOW-TO, "How it Works", 4: "all the sessions are current".
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use catherd_testkit::{Client, Farm, Node, wait};

const CLIENTS: usize = 16;

/// A client, and what was acknowledged to it.
struct Writer {
    client: Client,
    acknowledged: BTreeMap<String, usize>,
}

/// Writes on `a` until it is no more, in sessions of their own, and calls `end` in the middle of
/// it; then returns what each was told.
fn write_until_the_end_of(a: &Node, end: impl FnOnce()) -> Vec<Writer> {
    let (written, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (written, is_over) = (&written, &is_over);
        let writers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(move || {
                    let mut writer = Writer {
                        client: Client::new(),
                        acknowledged: BTreeMap::new(),
                    };
                    for number in 0.. {
                        let name = format!("n{}", number % 10);
                        let path = format!("/examples/session/attributes/{name}");
                        let body = number.to_string();
                        match writer.client.try_send(a, "PUT", &path, Some(&body)) {
                            Ok(answer) if answer.status() == 200 => {
                                writer.acknowledged.insert(name, number);
                                written.fetch_add(1, Ordering::Relaxed);
                            }
                            // A node that stops may say so.
                            Ok(answer) => assert_eq!(answer.status(), 503, "{answer:?}"),
                            Err(_) => {}
                        }
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    writer
                })
            })
            .collect();
        wait::until_true("every client has written", || {
            written.load(Ordering::Relaxed) > CLIENTS * 10
        });
        end();
        is_over.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer panics nowhere"))
            .collect()
    })
}

fn assert_everything_acknowledged_is_on(b: &Node, writers: Vec<Writer>) {
    for mut writer in writers {
        let key = writer.client.key();
        let session = writer.client.session(b);
        assert_eq!(writer.client.key(), key);
        for (name, number) in writer.acknowledged {
            // The write after it may have come through although its answer did not.
            let value = session
                .attribute(&name)
                .as_u64()
                .expect("it was acknowledged");
            let number = number as u64;
            assert!(
                value == number || value == number + 10,
                "{name}: {value} after {number}"
            );
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_a_node_is_killed_under_load() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let (a, b) = farm.pair();
    let writers = write_until_the_end_of(&a, || a.kill());
    b.wait_for_members(&[]);
    assert_everything_acknowledged_is_on(&b, writers);
}

#[test]
fn nothing_acknowledged_is_lost_when_a_node_is_stopped_under_load() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let (a, b) = farm.pair();
    let writers = write_until_the_end_of(&a, || a.stop());
    b.wait_for_members(&[]);
    assert_everything_acknowledged_is_on(&b, writers);
}

/// A client whose connection nobody takes asks the other node. Everything else is a failure.
#[test]
fn no_request_fails_when_a_node_is_stopped_under_load() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let (a, b) = farm.pair();
    let (written_there, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let write = || {
        let (mut client, mut last) = (Client::new(), 0);
        while !is_over.load(Ordering::Relaxed) {
            let path = "/examples/session/attributes/number";
            let body = (last + 1).to_string();
            let answer = match client.try_send(&a, "PUT", path, Some(&body)) {
                Err(error) if was_never_accepted(&error) => {
                    written_there.fetch_add(1, Ordering::Relaxed);
                    client.try_send(&b, "PUT", path, Some(&body))
                }
                answer => answer,
            };
            let answer = answer.unwrap_or_else(|error| panic!("a request failed: {error:?}"));
            assert_eq!(answer.status(), 200, "{answer:?}");
            last += 1;
        }
        let key = client.key();
        let session = client.session(&b);
        assert_eq!(session.attribute("number"), last);
        assert_eq!(client.key(), key);
        last
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(write)).collect();
        let all_have_written = || a.context("/examples")["sessions"] == CLIENTS;
        wait::until_true("every client has written", all_have_written);
        a.stop();
        let before = written_there.load(Ordering::Relaxed);
        wait::until_true("they go on at the other node", || {
            written_there.load(Ordering::Relaxed) > before + CLIENTS * 5
        });
        is_over.store(true, Ordering::Relaxed);
        for writer in writers {
            let last = writer.join().expect("no request fails");
            assert!(last > 0);
        }
    });
}

/// Whoever is connected by the kernel between the last look at a port and its end is reset; that
/// those before are answered is tested with the connector.
fn was_never_accepted(error: &ureq::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
    let ureq::Error::Io(error) = error else {
        return matches!(error, ureq::Error::ConnectionFailed);
    };
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | BrokenPipe
    )
}
