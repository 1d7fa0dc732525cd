//! A member that does not keep to the protocol, written by hand over the codec: what it sends out
//! of turn is never applied, and nobody waits for it for ever.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use catherd::core::key::Key;
use catherd::core::link::Ack;
use catherd::core::message::{
    Answer, FrameReader, Hello, MemberState, Message, Protocols, Purpose, Refusal, Welcome,
    encode_fragments, put_fragments_head,
};
use catherd::core::session::{
    Birth, Content, Fragment, Name, Register, Registers, Slot, Value, Write,
};
use catherd::core::sync::{Summaries, Summary};
use catherd::core::version::{Dot, Incarnation, Version};
use catherd::env::Env as _;
use catherd::testing::{Host, Listener, Network, Stream};
use farm::{A, B, Node, attributes};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const C: [u8; 4] = [10, 0, 0, 3];
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A process that says what a test wants it to say. It sends no heartbeats.
struct Stranger {
    host: Host,
    listener: Listener,
    name: &'static str,
    incarnation: Incarnation,
    address: SocketAddr,
    state: MemberState,
}

impl Stranger {
    async fn new(network: &Network, ip: [u8; 4], name: &'static str, bits: u64) -> Self {
        let host = network.host(ip);
        let address = SocketAddr::from((ip, 4001));
        Self {
            listener: host.listen(address).await.unwrap(),
            host,
            name,
            incarnation: Incarnation::from_bits(bits),
            address,
            state: MemberState::Ready,
        }
    }

    /// Opens a connection to a node, and says hello.
    async fn hello(&self, node: SocketAddr) -> Connection {
        let mut connection = Connection::over(self.host.connect(node).await.unwrap());
        let hello = Hello {
            protocols: Protocols::OURS,
            cluster: "one".to_owned(),
            name: self.name.to_owned(),
            incarnation: self.incarnation,
            address: self.address,
            domain: "catalina".to_owned(),
            state: self.state,
            purpose: Purpose::Link,
            to: None,
            counter_heard: 0,
            silence: Duration::ZERO,
            settings: 0,
        };
        connection.say(&Message::Hello(hello)).await;
        connection
    }

    /// The connection that a node opens back, welcomed.
    async fn welcome(&mut self) -> Connection {
        let (stream, _) = self.host.accept(&mut self.listener).await.unwrap();
        let mut connection = Connection::over(stream);
        let hello = connection.next().await;
        assert!(matches!(hello, Some(Message::Hello(_))), "{hello:?}");
        let welcome = Welcome {
            protocol: 1,
            name: self.name.to_owned(),
            incarnation: self.incarnation,
            state: self.state,
            counter_heard: 0,
            silence: Duration::ZERO,
            settings: 0,
            heard: Vec::new(),
        };
        connection.say(&Message::Welcome(welcome)).await;
        connection
    }

    /// Becomes a member of a node: its own connection to it, and the node's.
    async fn join(&mut self, node: SocketAddr) -> (Connection, Connection) {
        let mut to = self.hello(node).await;
        let from = self.welcome().await;
        let welcome = to.next().await;
        assert!(matches!(welcome, Some(Message::Welcome(_))), "{welcome:?}");
        (to, from)
    }
}

/// One connection with a node.
struct Connection {
    stream: Stream,
    buffer: BytesMut,
}

impl Connection {
    fn over(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Sends bytes; a connection that is closed takes none.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    async fn say(&mut self, message: &Message) {
        self.send(&message.to_frame(None)).await;
    }

    /// Sends a frame of fragments under this number.
    async fn fragments(&mut self, number: u64, fragments: &[Fragment]) {
        let payload = encode_fragments("/shop", fragments);
        let mut frame = BytesMut::new();
        put_fragments_head(&mut frame, number, payload.len());
        frame.extend_from_slice(&payload);
        self.send(&frame).await;
    }

    /// What comes next; `None` when the node has closed the connection.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let next = FrameReader::new(FRAME_BYTES_MAX).next(&mut self.buffer);
            if let Some((head, payload)) = next.unwrap() {
                let message = Message::decode(head.kind, &payload, None, 1 << 20);
                return Some(message.unwrap().expect("a kind of this release"));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn is_closed(&mut self) -> bool {
        let closed = async { while self.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(5), closed)
            .await
            .is_ok()
    }

    /// Waits until the frame of this number is said to lack an earlier write.
    async fn behind(&mut self, number: u64) {
        let told = async {
            let is_listed = |ack: &Ack| ack.behind.contains(&number);
            while !matches!(self.next().await, Some(Message::Ack(ack)) if is_listed(&ack)) {}
        };
        tokio::time::timeout(Duration::from_secs(5), told)
            .await
            .unwrap();
    }

    async fn acknowledged(&mut self, number: u64) {
        let acknowledged = async {
            while !matches!(self.next().await, Some(Message::Ack(ack)) if ack.up_to == number) {}
        };
        tokio::time::timeout(Duration::from_secs(5), acknowledged)
            .await
            .unwrap();
    }
}

/// A session whose color is red.
fn red(key: u128, writer: Incarnation) -> Fragment {
    let version = Version {
        fence: 0,
        revision: 1,
        writer,
    };
    let color = Slot::Attribute(Name::new("color").unwrap());
    // A MessagePack string of three characters.
    let value = Some(Value::new(b"\xa3red"));
    let write = Write {
        birth: Birth {
            incarnation: writer,
            serial: u64::try_from(key).unwrap(),
        },
        seen: [Dot {
            writer,
            revision: 1,
        }]
        .into_iter()
        .collect(),
        since: None,
        registers: [(color, Register { version, value })].into_iter().collect(),
        age: Duration::ZERO,
        lived: Duration::ZERO,
    };
    Fragment {
        key: Key::from_bits(key),
        content: Content::Write(write),
    }
}

/// A node that does not ask whether a silent member lives.
async fn patient(network: &Network, ip: [u8; 4], name: &str) -> Node {
    let host = network.host(ip);
    let builder = farm::builder(&host, name, "one").drop_time(Duration::from_secs(600));
    Node::start_as(builder, &host, attributes()).await
}

fn address(ip: [u8; 4]) -> SocketAddr {
    SocketAddr::from((ip, 4001))
}

fn bad_connections(node: &Node) -> u64 {
    node.cluster.status().counters.bad_connections
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_again_or_out_of_turn_is_counted_and_not_applied() {
    let network = Network::new(1);
    let a = patient(&network, A, "A").await;
    a.cluster.ready().await;
    for (bits, number) in (100..).zip([1, 3, 0, u64::MAX]) {
        let name = ["again", "a jump", "none", "the last"][bits as usize - 100];
        let ip = [10, 0, 1, u8::try_from(bits).unwrap()];
        let mut stranger = Stranger::new(&network, ip, name, bits).await;
        let (mut to, _from) = stranger.join(address(A)).await;
        to.fragments(1, &[red(u128::from(bits), stranger.incarnation)])
            .await;
        to.acknowledged(1).await;
        let (digest, bad) = (a.digest(), bad_connections(&a));
        to.fragments(number, &[red(u128::from(bits) * 10, stranger.incarnation)])
            .await;
        assert!(to.is_closed().await, "{name}");
        assert_eq!(
            (a.digest(), bad_connections(&a)),
            (digest, bad + 1),
            "{name}"
        );
    }
    assert_eq!(a.sessions(), 4, "the first frame of each");
    let cookie = format!("{}.A", Key::from_bits(100));
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
}

/// Its last frame was under way when another process took its name.
#[tokio::test(start_paused = true)]
async fn what_a_replaced_process_had_under_way_is_never_applied() {
    let network = Network::new(2);
    let a = patient(&network, A, "A").await;
    a.cluster.ready().await;
    let mut old = Stranger::new(&network, B, "B", 20).await;
    let (mut to, _from) = old.join(address(A)).await;
    to.fragments(1, &[red(1, old.incarnation)]).await;
    to.acknowledged(1).await;
    let digest = a.digest();
    network.hold_one_way(B, A);
    to.fragments(2, &[red(2, old.incarnation)]).await;

    let mut new = Stranger::new(&network, C, "B", 21).await;
    let answer = new.hello(address(A)).await.next().await;
    assert_eq!(answer, Some(Message::Refused(Refusal::NameTaken)));
    // The old one answers no probe, so the node calls the new one.
    let _from = new.welcome().await;
    let mut to_new = new.hello(address(A)).await;
    let answer = to_new.next().await;
    assert!(matches!(answer, Some(Message::Welcome(_))), "{answer:?}");

    network.repair(A, B);
    assert!(to.is_closed().await);
    let refused = || a.cluster.status().channel["hellos_refused"];
    let before = refused();
    let mut again = old.hello(address(A)).await;
    again.fragments(1, &[red(2, old.incarnation)]).await;
    let answer = again.next().await;
    assert_eq!(answer, Some(Message::Refused(Refusal::NameTaken)));
    assert!(again.is_closed().await);
    assert_eq!(refused(), before + 1);
    assert_eq!((a.digest(), a.sessions()), (digest, 1));
    let members = a.cluster.status().members;
    assert_eq!(members[0].incarnation, new.incarnation.to_string());
}

async fn fill(node: &Node, sessions: usize) {
    for _ in 0..sessions {
        let made = node.call("POST", "/shop/color/red", None).await;
        assert_eq!(made.status, StatusCode::OK);
    }
}

/// What a donor says that has sessions of its own under these keys.
fn named(keys: std::ops::Range<u128>, next: Option<u32>) -> Summaries {
    let summary = |key| Summary {
        key: Key::from_bits(key),
        digest: 7,
    };
    Summaries {
        next,
        sessions: keys.map(summary).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_donor_that_dies_in_the_middle_of_a_fragment_leaves_no_half_of_it() {
    let network = Network::new(3);
    let a = patient(&network, A, "A").await;
    a.cluster.ready().await;
    fill(&a, 200).await;
    let mut donor = Stranger::new(&network, C, "D", 30).await;
    let b = patient(&network, B, "B").await;
    let bad = async {
        let (_to, mut from) = donor.join(address(B)).await;
        loop {
            match from.next().await.expect("the node asks") {
                Message::Buckets {
                    question, context, ..
                } => {
                    let summaries = named(1..3, None);
                    let answer = Message::Summaries {
                        question,
                        context,
                        summaries,
                    };
                    from.say(&answer).await;
                }
                Message::Fetch {
                    question, context, ..
                }
                | Message::FetchAll {
                    question, context, ..
                } => {
                    let answer = |key| Answer {
                        key: Key::from_bits(key),
                        same: false,
                        fragment: Some(red(key, donor.incarnation)),
                        served: false,
                    };
                    let whole = Message::Whole {
                        question,
                        context,
                        answers: vec![answer(1), answer(2)],
                        knew_route: false,
                        is_cut: false,
                    };
                    // All of the first session, and the second without its last byte.
                    let frame = whole.to_frame(None);
                    from.send(&frame[..frame.len() - 1]).await;
                    // It is read before the end comes.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    network.crash(C);
                    return;
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), async {
        tokio::join!(bad, b.cluster.ready())
    })
    .await
    .unwrap();
    assert_eq!((b.sessions(), b.digest()), (200, a.digest()));
    assert_eq!(b.cluster.status().contexts[0].transfer.state, "done");
    for key in 1..3 {
        let cookie = format!("{}.D", Key::from_bits(key));
        let read = b.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
}

/// Each of these donors leads nowhere, in its own way.
#[tokio::test(start_paused = true)]
async fn a_donor_that_leads_nowhere_is_not_asked_for_ever() {
    /// Which bucket it says comes next, whether it answers for what it has named, and whether it
    /// says that there is more where it gives nothing.
    type Way = (&'static str, fn(u32) -> Option<u32>, bool, bool);
    let ways: [Way; 4] = [
        ("the same buckets for ever", Some, true, false),
        ("buckets backwards", |_| Some(0), true, false),
        ("sessions that it does not give", |_| None, false, false),
        ("more of nothing", |_| None, false, true),
    ];
    for (seed, (what, next, gives, is_cut)) in (4..).zip(ways) {
        let network = Network::new(seed);
        let a = patient(&network, A, "A").await;
        a.cluster.ready().await;
        fill(&a, 50).await;
        let mut donor = Stranger::new(&network, C, "D", 30).await;
        let b = patient(&network, B, "B").await;
        let mut asked = 0;
        let bad = async {
            let (_to, mut from) = donor.join(address(B)).await;
            loop {
                match from.next().await.expect("the node keeps its connection") {
                    Message::Buckets {
                        question,
                        context,
                        comparison,
                    } => {
                        asked += 1;
                        assert!(asked < 500, "{what}");
                        let summaries = named(1..2, next(comparison.from));
                        let answer = Message::Summaries {
                            question,
                            context,
                            summaries,
                        };
                        from.say(&answer).await;
                    }
                    Message::Fetch {
                        question,
                        context,
                        wanted,
                        ..
                    } => {
                        let unknown = |(key, _)| Answer {
                            key,
                            same: false,
                            fragment: None,
                            served: false,
                        };
                        let wanted = wanted.into_iter().filter(|_| gives);
                        let whole = Message::Whole {
                            question,
                            context,
                            answers: wanted.map(unknown).collect(),
                            knew_route: false,
                            is_cut: false,
                        };
                        from.say(&whole).await;
                    }
                    Message::FetchAll {
                        question, context, ..
                    } => {
                        asked += 1;
                        assert!(asked < 500, "{what}");
                        let whole = Message::Whole {
                            question,
                            context,
                            answers: Vec::new(),
                            knew_route: false,
                            is_cut,
                        };
                        from.say(&whole).await;
                    }
                    _ => {}
                }
            }
        };
        let began = tokio::time::Instant::now();
        tokio::select! {
            () = bad => {}
            () = b.cluster.ready() => {}
        }
        // The donor is a member, so it is verified with; when the time for that is over the node
        // starts without, as its policy is.
        assert!(began.elapsed() < Duration::from_secs(65), "{what}");
        assert_eq!((b.sessions(), b.digest()), (50, a.digest()), "{what}");
        assert!(asked > 0, "{what}");
    }
}

/// The second write of the member reached nobody, and the third came when it had died: what was in
/// between cannot be had any more.
#[tokio::test(start_paused = true)]
async fn what_a_dead_member_alone_had_is_missed_once_and_again_when_somebody_comes() {
    let network = Network::new(7);
    let (host_a, host_b) = (network.host(A), network.host(B));
    let a = Node::start(&host_a, "A", "one", attributes()).await;
    a.cluster.ready().await;
    let mut writer = Stranger::new(&network, C, "C", 70).await;
    let (mut to, _from) = writer.join(address(A)).await;
    to.fragments(1, &[red(1, writer.incarnation)]).await;
    to.acknowledged(1).await;
    let cookie = format!("{}.A", Key::from_bits(1));
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
    assert_eq!(
        read.degraded.as_deref(),
        Some("takeover, stale"),
        "C is silent"
    );

    let mut third = red(1, writer.incarnation);
    let Content::Write(write) = &mut third.content else {
        panic!("red is a write");
    };
    let dot = |revision| Dot {
        writer: writer.incarnation,
        revision,
    };
    (write.since, write.seen) = (Some(dot(2)), [dot(3)].into_iter().collect());
    write.registers = Registers::default();
    to.fragments(2, &[third]).await;
    to.behind(2).await;
    network.crash(C);
    a.sees(&[]).await;

    let degraded = async || {
        let read = a.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.text, "red");
        read.degraded
    };
    assert_eq!(degraded().await.as_deref(), Some("stale"));
    assert_eq!(degraded().await, None, "that was told");
    let b = Node::start(&host_b, "B", "one", attributes()).await;
    b.cluster.ready().await;
    a.sees(&["B"]).await;
    assert_eq!(degraded().await.as_deref(), Some("stale"), "B was asked");
    assert_eq!(degraded().await, None);
}
