//! What a live node does with input that is none: from its network, and from its clients.
//!
//! It counts it, drops it, changes nothing, and keeps serving.
#![forbid(unsafe_code)]

mod stranger;

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::link::Ack;
use catherd_core::message::{
    FrameReader, Heartbeat, Hello, MemberState, Message, Protocols, Refusal,
};
use catherd_core::sync::{Summaries, Summary};
use catherd_core::version::Incarnation;
use catherd_testkit::wait::{self, PATIENCE};
use catherd_testkit::{Client, Farm, Node, Site as _};
use serde_json::json;

use self::stranger::{Connection, Stranger};

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

/// A session that must be there, unchanged, when everything bad has been sent.
struct Witness {
    client: Client,
    digest: String,
    resident: u64,
}

impl Witness {
    fn on(node: &Node) -> Self {
        let mut client = Client::new();
        client.set(node, "user", &json!("Ada"));
        Self {
            client,
            digest: node.digest("/examples"),
            resident: node.resident_bytes(),
        }
    }

    fn assert_unharmed(mut self, node: &Node) {
        assert_eq!(node.digest("/examples"), self.digest, "nothing was applied");
        assert_eq!(node.context("/examples")["sessions"], 1);
        assert_eq!(self.client.session(node).attribute("user"), json!("Ada"));
        assert_eq!(self.client.increment(node, "visits"), 1, "it takes writes");
        let grown = node.resident_bytes().saturating_sub(self.resident);
        assert!(grown < 48 << 20, "its memory grew by {grown} bytes");
    }
}

fn heartbeat(cluster: &str) -> Heartbeat {
    Heartbeat {
        cluster: cluster.to_owned(),
        name: "stranger".to_owned(),
        incarnation: Incarnation::from_bits(0xbad),
        counter: 1,
        address: (Ipv4Addr::LOCALHOST, 9).into(),
        domain: "catalina".to_owned(),
        state: MemberState::Ready,
        protocols: Protocols::OURS,
        heard: Vec::new(),
        wall_ms: None,
    }
}

fn hello(cluster: &str, to: &TcpListener) -> Hello {
    let address = to.local_addr().expect("a bound socket has an address");
    stranger::hello(cluster, "stranger", Incarnation::from_bits(0xbad), address)
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports")
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.tcp_port()));
    let stream = stream.expect("the receiver listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out above zero is valid");
    stream
}

/// Sends until the node does not want more; how it ends is its business.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes));
}

/// Waits until the node has closed the connection; returns what it had said.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => said,
        // It closed without having read everything.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => said,
        Err(error) => panic!("the node did not close the connection: {error}"),
    }
}

fn decoded(said: &[u8]) -> Vec<Message> {
    let (mut buffer, mut messages) = (said.into(), Vec::new());
    while let Some((head, payload)) = FrameReader::new(4096).next(&mut buffer).expect("frames") {
        messages.extend(Message::decode(head.kind, &payload, None, 4096).expect("a message"));
    }
    messages
}

#[test]
fn datagrams_that_are_no_heartbeat_of_this_cluster_are_counted_and_dropped() {
    let farm = farm();
    let (a, b) = farm.pair();
    let witness = Witness::on(&a);
    let group = farm.join_group();
    let good = heartbeat(&farm.cluster_id()).to_datagram(None);
    let oversized = [good.as_slice(), &[0; 4000]].concat();
    let mut flipped = good.clone();
    flipped[10] ^= 1; // Within the place of the MAC, which is zeros without a key.
    let bad: [(&str, &[u8]); 8] = [
        ("a byte", &[0]),
        ("a truncated one", &good[..good.len() - 1]),
        ("only the mark", &good[..4]),
        ("an oversized one", &oversized),
        ("noise", &[0xA5; 1200]),
        (
            "one of another cluster",
            &heartbeat("another").to_datagram(None),
        ),
        ("one of this cluster with a key", &flipped),
        ("text", b"GET / HTTP/1.1\r\n\r\n"),
    ];
    for (what, datagram) in bad {
        let before = a.counter("bad_datagrams");
        group
            .send_to(datagram, farm.group())
            .expect("loopback takes datagrams");
        wait::until_true(what, || a.counter("bad_datagrams") > before);
    }
    // A flood: how much of it arrives is the kernel's choice.
    for number in 0..20_000_u32 {
        let noise = number.to_be_bytes().repeat(1 + number as usize % 250);
        drop(group.send_to(&noise, farm.group()));
    }
    for node in [&a, &b] {
        assert_eq!(
            node.members().len(),
            1,
            "nobody joined, nobody left: {}",
            node.status()
        );
    }
    witness.assert_unharmed(&a);
}

#[test]
fn connections_that_do_not_speak_the_protocol_are_counted_and_closed() {
    let farm = farm();
    let (a, _b) = farm.pair();
    let witness = Witness::on(&a);
    let callback = listener();
    let good = Message::Hello(hello(&farm.cluster_id(), &callback)).to_frame(None);
    let mut signed = good.to_vec();
    signed[6] ^= 1; // The MAC, which is zeros without a key.
    let cases: [(&str, Vec<u8>); 6] = [
        ("a header that claims 2 GiB", vec![0xff; 64 * 1024]),
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ),
        ("a frame without a kind", vec![0, 0]),
        (
            "a message before the hello",
            Message::Ready.to_frame(None).to_vec(),
        ),
        ("a hello with a MAC", signed),
        (
            "a hello of 64 kB",
            [&[0, 1, 0, 0, 1][..], &[0; 65_536]].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let before = a.counter("bad_connections");
        let mut stream = connect(&a);
        send(&mut stream, &bytes);
        read_to_end(&mut stream);
        wait::until_true(what, || a.counter("bad_connections") > before);
    }
    for _ in 0..200 {
        let mut stream = connect(&a);
        send(&mut stream, &[0xff; 16 * 1024]);
        read_to_end(&mut stream);
    }
    assert_eq!(a.members(), ["B"]);
    witness.assert_unharmed(&a);
}

#[test]
fn a_hello_that_never_ends_is_given_up() {
    let farm = farm();
    let (a, _b) = farm.pair();
    let witness = Witness::on(&a);
    let callback = listener();
    let hello = Message::Hello(hello(&farm.cluster_id(), &callback)).to_frame(None);
    let mut silent = connect(&a);
    let mut half = connect(&a);
    send(&mut half, &hello[..hello.len() / 2]);
    assert_eq!(decoded(&read_to_end(&mut half)), []);
    assert_eq!(decoded(&read_to_end(&mut silent)), []);
    witness.assert_unharmed(&a);
}

#[test]
fn hellos_of_nobody_who_may_be_a_member_are_refused_with_the_reason_and_counted() {
    let farm = farm();
    let (a, _b) = farm.pair();
    let witness = Witness::on(&a);
    let refused = || {
        a.status()["channel"]["hellos_refused"]
            .as_u64()
            .expect("it is counted")
    };
    let incarnation = |status: &serde_json::Value| {
        let digits = status["incarnation"].as_str().expect("text");
        Incarnation::from_bits(u64::from_str_radix(digits, 16).expect("hexadecimal digits"))
    };
    let myself = incarnation(&a.status());
    let good = Stranger::new(&farm, "stranger", 0xbad).hello();
    let later = Protocols { min: 99, max: 120 };
    let cases = [
        (
            "of another cluster",
            Refusal::OtherCluster,
            Hello {
                cluster: "another".to_owned(),
                ..good.clone()
            },
        ),
        (
            "of a later release",
            Refusal::NoCommonProtocol,
            Hello {
                protocols: later,
                ..good.clone()
            },
        ),
        (
            "of a clone of the node",
            Refusal::Myself,
            Hello {
                name: "A".to_owned(),
                incarnation: myself,
                ..good.clone()
            },
        ),
        (
            "of a second A",
            Refusal::NameTaken,
            Hello {
                name: "A".to_owned(),
                ..good.clone()
            },
        ),
        (
            "of a second B",
            Refusal::NameTaken,
            Hello {
                name: "B".to_owned(),
                ..good.clone()
            },
        ),
        (
            "for another process",
            Refusal::OtherIncarnation,
            Hello {
                to: Some(good.incarnation),
                ..good.clone()
            },
        ),
    ];
    for (what, reason, hello) in cases {
        let before = refused();
        let mut connection = Connection::to(&a);
        connection.say(&Message::Hello(hello));
        assert_eq!(connection.next(), Some(Message::Refused(reason)), "{what}");
        assert_eq!(connection.next(), None, "{what}");
        wait::until_true(what, || refused() > before);
    }
    assert_eq!(a.members(), ["B"]);
    witness.assert_unharmed(&a);
}

/// Who was welcome says what no member says, on the connection that the node has opened to it.
#[test]
fn answers_that_no_member_gives_close_the_connection_and_are_counted() {
    let farm = farm();
    // The strangers send no heartbeats.
    let a = farm.node("A").drop_time(Duration::from_secs(60)).start();
    let witness = Witness::on(&a);
    let summaries = |count: u128| {
        let summary = |key| Summary {
            key: Key::from_bits(key),
            digest: 1,
        };
        let summaries = Summaries {
            next: None,
            sessions: (0..count).map(summary).collect(),
        };
        let (question, context) = (1, "/examples".to_owned());
        Message::Summaries {
            question,
            context,
            summaries,
        }
        .to_frame(None)
    };
    let ack = |up_to| Ack {
        up_to,
        ..Ack::default()
    };
    let ended = Ack {
        ended: vec![7],
        ..Ack::default()
    };
    let cases = [
        ("summaries of a million keys", summaries(1_000_000)),
        ("summaries with one key too many", summaries((1 << 16) + 1)),
        (
            "a million keys, and less than it says",
            summaries(1_000_000).slice(..1000),
        ),
        (
            "an ack of what was never sent",
            Message::Ack(ack(1)).to_frame(None),
        ),
        (
            "an ack of everything",
            Message::Ack(ack(u64::MAX)).to_frame(None),
        ),
        (
            "the end of what was never sent",
            Message::Ack(ended).to_frame(None),
        ),
        (
            "a refusal behind the welcome",
            Message::Refused(Refusal::Full).to_frame(None),
        ),
        (
            "a hello",
            Message::Hello(Stranger::new(&farm, "x", 1).hello()).to_frame(None),
        ),
    ];
    for (bits, (what, bytes)) in (0xbad0..).zip(cases) {
        let before = a.counter("bad_connections");
        let stranger = Stranger::new(&farm, &format!("s{bits}"), bits);
        let (_to, mut from) = stranger.join(&a);
        from.send(&bytes);
        from.read_to_the_end();
        wait::until_true(what, || a.counter("bad_connections") > before);
    }
    witness.assert_unharmed(&a);
}

/// A hello opens the door, and no more: what comes behind it is looked at like everything else.
#[test]
fn frames_that_are_none_behind_a_good_hello_close_the_connection() {
    let farm = farm();
    let a = farm.node("A").start();
    let witness = Witness::on(&a);
    let callback = listener();
    let good = Message::Hello(hello(&farm.cluster_id(), &callback)).to_frame(None);
    let fragments = |payload: &[u8]| {
        let len = u16::try_from(2 + payload.len())
            .expect("a short payload")
            .to_be_bytes();
        [&len[..], &[4, 1], payload].concat()
    };
    let behind: [(&str, Vec<u8>); 4] = [
        ("a header that claims 2 GiB", vec![0xff; 1024]),
        ("fragments that are noise", fragments(&[0xA5; 500])),
        (
            "fragments that claim much and are short",
            fragments(&[0x12, 0xff, 0xff, 0xff, 0x7f]),
        ),
        ("a second hello", good.to_vec()),
    ];
    for (what, bytes) in behind {
        let before = a.counter("bad_connections");
        let mut stream = connect(&a);
        send(&mut stream, &good);
        send(&mut stream, &bytes);
        read_to_end(&mut stream);
        wait::until_true(what, || a.counter("bad_connections") > before);
    }
    witness.assert_unharmed(&a);
}

#[test]
fn a_body_that_is_not_json_changes_nothing() {
    let farm = farm();
    let a = farm.node("A").start();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let path = "/examples/session/attributes/user";
    let deep = "[".repeat(100_000);
    for body in ["", "{", "Ada", "{'user': 1}", "1 2", "\u{0}", deep.as_str()] {
        let answer = client.send(&a, "PUT", path, Some(body));
        let shown = body.get(..20).unwrap_or(body);
        assert_eq!(answer.status(), 400, "{shown:?}: {answer:?}");
        assert_eq!(
            client.session(&a).attribute("user"),
            json!("Ada"),
            "{shown:?}"
        );
    }
    let mut nobody = Client::new();
    assert_eq!(nobody.send(&a, "PUT", path, Some("{")).status(), 400);
    assert_eq!(nobody.cookie(), None, "no session was made for it");
    assert_eq!(a.context("/examples")["sessions"], 1);
}

#[test]
fn a_body_that_breaks_off_changes_nothing() {
    let farm = farm();
    let a = farm.node("A").start();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let digest = a.digest("/examples");
    let head = format!(
        "PUT /examples/session/attributes/user HTTP/1.1\r\nHost: a\r\n\
         Cookie: JSESSIONID={}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n1",
        client.cookie().expect("it has a session"),
    );
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, a.http_port())).expect("it serves");
    stream
        .write_all(head.as_bytes())
        .expect("loopback takes bytes");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("an open connection can be shut down");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out above zero is valid");
    let answer = String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(a.digest("/examples"), digest);
    assert_eq!(client.session(&a).attribute("user"), json!("Ada"));
}

#[test]
fn a_session_past_its_size_limit_keeps_what_it_had_and_the_client_is_told() {
    let farm = farm();
    let small = r#"maxSessionBytes="4000""#;
    let a = farm
        .node("A")
        .manager_attributes("/examples", small)
        .start();
    let b = farm
        .node("B")
        .manager_attributes("/examples", small)
        .start();
    a.wait_for_members(&["B"]);
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    client.set(&a, "first", &json!("x".repeat(2000)));
    for (name, size) in [("second", 2500), ("user", 5000)] {
        let path = format!("/examples/session/attributes/{name}");
        let body = json!("y".repeat(size)).to_string();
        let answer = client.send(&a, "PUT", &path, Some(&body));
        assert!(answer.status() >= 400, "{answer:?}");
        assert!(!answer.text().is_empty(), "it says why");
    }
    a.wait_until_equal(&b, "/examples");
    for node in [&a, &b] {
        let session = client.session(node);
        assert_eq!(session.attribute("user"), json!("Ada"));
        assert_eq!(session.attribute("first"), json!("x".repeat(2000)));
        assert_eq!(session.json()["attributes"].get("second"), None);
    }
    client.remove(&a, "first");
    client.set(&a, "second", &json!("y".repeat(2500)));
}

#[test]
fn a_name_that_no_attribute_can_have_is_an_error() {
    let farm = farm();
    let a = farm.node("A").start();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let digest = a.digest("/examples");
    let path = format!("/examples/session/attributes/{}", "n".repeat(3000));
    let answer = client.send(&a, "PUT", &path, Some("1"));
    assert!((400..500).contains(&answer.status()), "{answer:?}");
    assert_eq!(a.digest("/examples"), digest);
    client.set(
        &a,
        "name with spaces".replace(' ', "%20").as_str(),
        &json!(1),
    );
    assert_eq!(client.session(&a).attribute("name with spaces"), json!(1));
}
