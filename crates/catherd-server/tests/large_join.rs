//! A node that joins where there is much to get.
//!
//! HOW-TO, "How it Works", 2: "TomcatB asks TomcatA for the current state of all the sessions".
#![forbid(unsafe_code)]

mod stranger;

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use catherd_core::key::Key;
use catherd_core::message::{Message, encode_fragments, put_fragments_head};
use catherd_core::session::{Birth, Content, Fragment, Name, Register, Slot, Value, Write};
use catherd_core::version::{Dot, Incarnation, Version};
use catherd_testkit::{Client, Farm, Node, Site as _, wait};
use serde_json::{Value as Json, json};

use self::stranger::{Connection, Stranger};

const SESSIONS: u64 = 100_000;
const SIZE: u16 = 1000;

/// An unoptimized node takes some ten seconds for all of them, on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(180);

/// Spread over all buckets, as keys are.
fn key(number: u64) -> Key {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    Key::from_bits((u128::from(number) + 1).wrapping_mul(ODD))
}

/// The payload of a frame with a session as `/bench` makes it at its first request. An unoptimized
/// test encodes it once, and then writes other keys and values over those of the first.
struct Template {
    payload: Vec<u8>,
    key_at: usize,
    text_at: usize,
}

impl Template {
    fn of(writer: Incarnation) -> Self {
        let key = key(u64::MAX);
        let text = "x".repeat(usize::from(SIZE));
        let payload = encode_fragments("/bench", &[session(key, &text, writer)]).to_vec();
        let find = |bytes: &[u8]| {
            let mut windows = payload.windows(bytes.len());
            windows
                .position(|window| window == bytes)
                .expect("it is in there")
        };
        Self {
            key_at: find(&key.bits().to_be_bytes()),
            text_at: find(text.as_bytes()),
            payload,
        }
    }

    fn number(&mut self, number: u64) -> &[u8] {
        let key = key(number).bits().to_be_bytes();
        self.payload[self.key_at..][..key.len()].copy_from_slice(&key);
        let digits = format!("{number:08}");
        self.payload[self.text_at..][..digits.len()].copy_from_slice(digits.as_bytes());
        &self.payload
    }
}

fn session(key: Key, text: &str, writer: Incarnation) -> Fragment {
    let register = |name: &str, value: &[u8]| {
        let version = Version {
            fence: 0,
            revision: 1,
            writer,
        };
        let value = Some(Value::new(value));
        let slot = Slot::Attribute(Name::new(name).expect("a short name"));
        (slot, Register { version, value })
    };
    // MessagePack: a small number, and a string with its length in two bytes.
    let payload = [&[0xda][..], &SIZE.to_be_bytes(), text.as_bytes()].concat();
    let write = Write {
        birth: Birth {
            incarnation: writer,
            serial: 0,
        },
        seen: [Dot {
            writer,
            revision: 1,
        }]
        .into_iter()
        .collect(),
        since: None,
        registers: [register("counter", &[1]), register("payload", &payload)]
            .into_iter()
            .collect(),
        age: Duration::ZERO,
        lived: Duration::ZERO,
    };
    Fragment {
        key,
        content: Content::Write(write),
    }
}

/// Requests would take minutes to make so many: a member sends them as if they were its own, and
/// leaves.
fn fill(farm: &Farm, node: &Node) {
    let stranger = Stranger::new(farm, "many", 0xaaaa);
    let (mut to, _from) = stranger.join(node);
    let mut writer = to.stream.try_clone().expect("a socket can be shared");
    let mut template = Template::of(stranger.incarnation);
    thread::scope(|scope| {
        scope.spawn(|| wait_for_acknowledgement(&mut to));
        let mut frames = BytesMut::new();
        for number in 0..SESSIONS {
            let payload = template.number(number);
            put_fragments_head(&mut frames, number + 1, payload.len());
            frames.extend_from_slice(payload);
            if frames.len() > 256 * 1024 || number + 1 == SESSIONS {
                writer.write_all(&frames).expect("the node takes all");
                frames.clear();
            }
        }
    });
    let goodbye = Message::Goodbye { queues_empty: true };
    to.say(&goodbye);
    node.wait_for_members(&[]);
}

fn wait_for_acknowledgement(connection: &mut Connection) {
    loop {
        match connection.next() {
            Some(Message::Ack(ack)) if ack.up_to == SESSIONS => return,
            Some(_) => {}
            None => panic!("the node has closed the connection"),
        }
    }
}

fn bench(status: &Json) -> &Json {
    let contexts = status["contexts"].as_array().map_or(&[][..], Vec::as_slice);
    let found = contexts.iter().find(|context| context["name"] == "/bench");
    found.unwrap_or_else(|| panic!("no /bench in {status}"))
}

#[test]
fn a_hundred_thousand_sessions_are_there_when_a_starting_node_answers_for_the_first_time() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    // What has so much to do may be silent for a while.
    let node = |name: &str| farm.node(name).drop_time(Duration::from_secs(60));
    let a = node("A").start();
    let began = Instant::now();
    fill(&farm, &a);
    let (took, worked) = (began.elapsed(), a.processor_time());
    println!("{SESSIONS} sessions made in {took:?}, of which A worked {worked:?}");
    assert_eq!(a.context("/bench")["sessions"], json!(SESSIONS));

    let b = node("B")
        .manager_attributes("/bench", r#"stateTransferTimeout="-1""#)
        .spawn();
    let mut client = Client::new();
    let (first, _) = wait::until("B answers", PATIENCE, || {
        let answer = client.try_get(&b, "/catherd/status");
        answer.map_err(|error| error.to_string())
    });
    let first = first.expect_status(200).json();
    let (here, transfer) = (bench(&first), &bench(&first)["transfer"]);
    println!("{transfer}");
    assert_eq!(here["sessions"], json!(SESSIONS));
    assert_eq!(here["digest"], json!(a.digest("/bench")));
    assert_eq!(transfer["state"], "done");
    assert_eq!(transfer["sessions"], json!(SESSIONS));
    assert!(
        transfer["bytes"].as_u64() > Some(SESSIONS * u64::from(SIZE)),
        "{transfer}"
    );

    // It has said every second how far it was.
    let log = b.log();
    let said = log
        .lines()
        .filter(|line| line.contains("sessions_per_second"));
    let seconds = transfer["seconds"].as_f64().expect("a number");
    assert!(
        said.count() as f64 >= (seconds / 2.0).floor().max(1.0),
        "{log}"
    );

    for node in [&a, &b] {
        node.wait_until("nothing differs", |status| {
            status["sessions_that_differ"] == json!(0)
        });
        assert_eq!(node.counter("alarms"), 0);
        for number in [0, SESSIONS / 2, SESSIONS - 1] {
            let cookie = format!("{}.{}", key(number), node.name());
            let read = Client::with_cookie(&cookie).get(node, "/bench/read");
            assert_eq!(read.line(), format!("counter=1 size={SIZE}"));
        }
    }
}
