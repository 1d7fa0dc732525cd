//! What a live node stands: floods at each of its ports, and what they cost it.
//!
//! What one bad message does is in `bad_input`; here it is how many of them. Memory is the resident
//! memory of the process, and other members and clients go on as before.
#![forbid(unsafe_code)]

mod stranger;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use catherd_core::key::Key;
use catherd_core::message::{Heartbeat, MemberState, Message, Protocols};
use catherd_core::version::{Incarnation, Vector};
use catherd_testkit::wait::{self, PATIENCE};
use catherd_testkit::{Client, Farm, Node, Site as _};
use serde_json::json;

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

/// A session on both nodes of a pair, and the memory of the first before anything bad came.
struct Witness {
    client: Client,
    resident: u64,
}

impl Witness {
    fn of(a: &Node, b: &Node) -> Self {
        let mut client = Client::new();
        client.set(a, "user", &json!("Ada"));
        assert_eq!(client.session(b).attribute("user"), json!("Ada"));
        Self {
            client,
            resident: a.resident_bytes(),
        }
    }

    /// Memory has grown by no more than this, and a write at each node is on the other at once.
    fn assert_unharmed(&mut self, a: &Node, b: &Node, bytes_max: u64) {
        let grown = a.resident_bytes().saturating_sub(self.resident);
        assert!(grown <= bytes_max, "memory grew by {} KiB", grown / 1024);
        for (one, other) in [(a, b), (b, a)] {
            let visits = self.client.increment(one, "visits");
            assert_eq!(
                self.client.session(other).attribute("visits"),
                json!(visits)
            );
            assert_eq!(other.members(), [one.status()["node"].clone()], "none left");
        }
    }
}

fn process(number: u64) -> Incarnation {
    Incarnation::from_bits(0xbad + number)
}

fn heartbeat(cluster: &str, counter: u64) -> Heartbeat {
    Heartbeat {
        cluster: cluster.to_owned(),
        name: "stranger".to_owned(),
        incarnation: process(0),
        counter,
        address: (Ipv4Addr::LOCALHOST, 9).into(),
        domain: "catalina".to_owned(),
        state: MemberState::Ready,
        protocols: Protocols::OURS,
        heard: Vec::new(),
        wall_ms: None,
    }
}

fn hello(cluster: &str, number: u64, to: &TcpListener) -> Message {
    let address = to.local_addr().expect("a bound socket has an address");
    let (name, incarnation) = (format!("stranger{number}"), process(number));
    Message::Hello(stranger::hello(cluster, &name, incarnation, address))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port is open");
    let timeouts = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(Duration::from_secs(1))));
    timeouts.expect("a time-out above zero is valid");
    stream
}

fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => said,
        // It closed without having read everything.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => said,
        Err(error) => panic!("the node did not close the connection: {error}"),
    }
}

/// S-checklist: nothing before the hello costs memory, and idle strangers keep no member out.
#[test]
fn two_thousand_connections_that_say_nothing_keep_no_member_out() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut witness = Witness::of(&a, &b);
    let before = a.counter("bad_connections");
    let mut open: Vec<_> = (0..2000).map(|_| connect(a.tcp_port())).collect();
    // 128 of one address may wait; who has waited longest goes.
    for stream in &mut open[..1000] {
        assert_eq!(read_to_end(stream), b"");
    }
    wait::until_true("it is counted", || {
        a.counter("bad_connections") >= before + 1000
    });
    let c = farm.node("C").start();
    a.wait_for_members(&["B", "C"]);
    c.stop();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    witness.assert_unharmed(&a, &b, 24 << 20);
    assert!(a.counter("log_lines_left_out") >= 900, "the log is bounded");
}

/// A short question has a long answer, and nobody reads it.
#[test]
fn members_that_ask_and_do_not_read_cost_little_each() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut witness = Witness::of(&a, &b);
    let mut large = Client::new();
    large.set(&a, "large", &json!("x".repeat(900_000)));
    witness.resident = a.resident_bytes();
    let callback = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let key: Key = large.key().parse().expect("a cookie begins with a key");
    let question = Message::Fetch {
        question: 1,
        context: "/examples".to_owned(),
        wanted: vec![(key, Vector::new())],
        route: String::new(),
    };
    // 540 GB of answers for each of four; the kernel alone takes a hundred thousand questions in.
    let questions = question.to_frame(None).repeat(600_000);
    let asking: Vec<_> = (0..4)
        .map(|number| {
            let mut stream = connect(a.tcp_port());
            let hello = hello(&farm.cluster_id(), number, &callback).to_frame(None);
            stream.write_all(&hello).expect("a hello is read");
            let asked = stream.write_all(&questions);
            assert!(asked.is_err(), "not all questions are taken in");
            stream
        })
        .collect();
    let grown = a.resident_bytes().saturating_sub(witness.resident);
    assert!(grown < 4 * (6 << 20), "memory grew by {} KiB", grown / 1024);
    drop(asking);
    wait::until_true("the strangers are forgotten", || a.members() == ["B"]);
    witness.assert_unharmed(&a, &b, 48 << 20);
}

#[test]
fn floods_of_datagrams_are_dropped_and_no_member_is_taken_for_dead() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut witness = Witness::of(&a, &b);
    let group = farm.join_group();
    let beats = |node: &Node| {
        let sent = &node.status()["channel"]["heartbeats_sent"];
        sent.as_u64().expect("it is counted")
    };
    let before = (beats(&a), beats(&b));
    // A true one to be sent again and again: of B or A, whichever is heard first.
    let mut recorded = [0; 1200];
    let len = group.recv(&mut recorded).expect("the nodes beat");
    let replayed = &recorded[..len];
    let foreign = heartbeat("another", 1).to_datagram(None);
    let huge = heartbeat(&farm.cluster_id(), u64::MAX).to_datagram(None);
    let noise = [0xA5; 1200];
    let end = Instant::now() + Duration::from_secs(4);
    let mut sent = 0_u64;
    while Instant::now() < end || sent < 100_000 {
        for datagram in [replayed, &foreign, &huge, &noise] {
            // How much of it arrives is the kernel's choice.
            drop(group.send_to(datagram, farm.group()));
            sent += 1;
        }
    }
    wait::until_true("it is counted", || {
        a.counter("bad_datagrams") > 1000
            && a.status()["channel"]["heartbeats_replayed"].as_u64() > Some(100)
    });
    for (node, before) in [(&a, before.0), (&b, before.1)] {
        assert!(beats(node) > before, "it went on beating");
        assert!(!node.log().contains("member gone"), "{}", node.log());
    }
    assert!(a.log().lines().count() < 200, "the log is bounded");
    witness.assert_unharmed(&a, &b, 16 << 20);
}

#[test]
fn heads_that_never_end_or_are_too_large_are_refused_while_others_are_served() {
    let farm = farm();
    let a = farm
        .node("A")
        .connector_attributes(r#"connectionTimeout="1000""#)
        .start();
    let b = farm.node("B").start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut witness = Witness::of(&a, &b);
    let mut slow: Vec<_> = (0..500).map(|_| connect(a.http_port())).collect();
    for stream in &mut slow {
        drop(stream.write_all(b"GET /examples HTTP/1.1\r\nHost: a\r\nX: "));
    }
    let lines = |count: usize, line: &str| {
        let head = format!(
            "GET /examples HTTP/1.1\r\nHost: a\r\n{}\r\n",
            line.repeat(count)
        );
        let mut stream = connect(a.http_port());
        drop(stream.write_all(head.as_bytes()));
        String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned()
    };
    for (count, line) in [
        (1, format!("X: {}\r\n", "x".repeat(20_000))),
        (200, "X: x\r\n".to_owned()),
        (
            1000,
            "Cookie: JSESSIONID=0123456789ABCDEF0011223344556677\r\n".to_owned(),
        ),
    ] {
        let answer = lines(count, &line);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    for stream in &mut slow {
        let answer = String::from_utf8_lossy(&read_to_end(stream)).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    witness.assert_unharmed(&a, &b, 24 << 20);
}

/// Each such request asks the node of its route, and then the others. It makes nothing.
#[test]
fn cookies_of_sessions_that_nobody_has_cost_a_question_each_and_leave_nothing() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut witness = Witness::of(&a, &b);
    let requests = 500_u32;
    let (began, used) = (Instant::now(), (a.processor_time(), b.processor_time()));
    for first in (0..requests).step_by(50) {
        // A connection carries a hundred requests.
        let mut stream = connect(a.http_port());
        for number in first..first + 50 {
            // A hundred in all; eight are looked at, and each of them once.
            let cookie = |place: u32| {
                let key = Key::from_bits((u128::from(number) << 64) | u128::from(place % 10));
                format!("JSESSIONID={key}.B; ")
            };
            let cookies: String = (0..100).map(cookie).collect();
            let head = format!("GET /bench/read HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("it is read");
            let mut byte = [0; 16 * 1024];
            let read = stream.read(&mut byte).expect("it is answered");
            assert!(byte[..read].starts_with(b"HTTP/1.1 "), "an answer");
        }
    }
    let spent = (a.processor_time() - used.0, b.processor_time() - used.1);
    println!("{requests} in {:?}; processor: {spent:?}", began.elapsed());
    assert_eq!(a.context("/bench")["sessions"], 0, "none was made");
    witness.assert_unharmed(&a, &b, 24 << 20);
}

/// F39: handles are short, and clients take what they get. The members keep theirs.
#[test]
fn clients_that_take_every_file_handle_leave_the_members_theirs() {
    let farm = farm();
    let few = farm.directory().join("catherd-with-few-handles");
    let script = format!(
        "#!/bin/sh\nulimit -n 160\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_catherd")
    );
    fs::write(&few, script).expect("the farm takes files");
    fs::set_permissions(&few, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let poor = Farm::new(&few);
    let a = poor.node("A").start();
    let b = poor.node("B").start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut witness = Witness::of(&a, &b);
    let mut crowd: Vec<_> = (0..400).map(|_| connect(a.http_port())).collect();
    for stream in &mut crowd {
        drop(stream.write_all(b"GET /catherd/health/live HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    // As many as get in are answered, and stay.
    let mut answer = [0; 12];
    crowd[0].read_exact(&mut answer).expect("it is served");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let c = poor.node("C").start();
    b.wait_for_members(&["A", "C"]);
    let a_is_seen = c.members();
    assert!(a_is_seen.iter().any(|name| name == "A"), "{a_is_seen:?}");
    let mut client = Client::new();
    let written = client.set(&c, "user", &json!("Eve"));
    assert_eq!(written.degraded(), "", "A acknowledges");
    drop(crowd);
    c.stop();
    wait::until_true("clients are served again", || a.members() == ["B"]);
    witness.assert_unharmed(&a, &b, 48 << 20);
}
