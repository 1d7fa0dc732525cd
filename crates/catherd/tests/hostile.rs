//! A member that misbehaves: what it sends is refused or bounded, and the others notice nothing.
//!
//! Here the member is a few lines that speak the protocol and mean harm. It is in the view of a
//! node like any other, for a stranger does not come so far: the node hears nothing before a hello.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use catherd::core::key::Key;
use catherd::core::link::Ack;
use catherd::core::message::{
    Answer, FrameKind, FrameReader, Heartbeat, Hello, MemberState, Message, Protocols, Purpose,
    Refusal, Welcome, encode_fragments, put_fragments_head, put_frame,
};
use catherd::core::session::{
    Birth, Content, Extent, Fragment, Name, Register, Registers, Rules, Slot, State, Value, Write,
    Writer,
};
use catherd::core::sync::{Comparison, Summaries};
use catherd::core::time::Time;
use catherd::core::version::{Incarnation, Vector, Version};
use catherd::env::{Env as _, Group};
use catherd::testing::{Host, Listener, Network, Stream};
use catherd::{Event, Events, Manager};
use farm::{A, B, Node, attributes, builder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// The address of the member that misbehaves.
const P: [u8; 4] = [10, 0, 0, 9];
const FRAME_BYTES_MAX: usize = 32 << 20;
const SESSION_BYTES_MAX: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

fn incarnation() -> Incarnation {
    Incarnation::from_bits(0xbad)
}

fn address() -> SocketAddr {
    SocketAddr::from((P, 4001))
}

fn hello(name: &str, bits: u64, purpose: Purpose) -> Hello {
    Hello {
        protocols: Protocols::OURS,
        cluster: "one".to_owned(),
        name: name.to_owned(),
        incarnation: Incarnation::from_bits(bits),
        address: address(),
        domain: "catalina".to_owned(),
        // Nobody waits for it.
        state: MemberState::Joining,
        purpose,
        to: None,
        counter_heard: 0,
        silence: Duration::ZERO,
        settings: 0,
    }
}

/// One side of a connection, message by message.
struct Wire {
    stream: Stream,
    buffer: BytesMut,
}

impl Wire {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    async fn open(host: &Host, to: [u8; 4]) -> Self {
        Self::new(host.connect((to, 4001).into()).await.unwrap())
    }

    /// Sends as far as the other side wants it.
    async fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
        drop(self.stream.flush().await);
    }

    async fn say(&mut self, message: &Message) {
        self.send(&message.to_frame(None)).await;
    }

    /// The next message; `None` when the connection has ended.
    async fn hear(&mut self) -> Option<Message> {
        let frames = FrameReader::new(FRAME_BYTES_MAX);
        loop {
            while let Some((head, payload)) = frames.next(&mut self.buffer).unwrap() {
                let message = Message::decode(head.kind, &payload, None, SESSION_BYTES_MAX);
                if let Some(message) = message.unwrap() {
                    return Some(message);
                }
            }
            let read = self.stream.read_buf(&mut self.buffer);
            match timeout(PATIENCE, read).await.expect("it closes or answers") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next message that is not of this kind of chatter: touches, fragments, questions.
    async fn hear_answer(&mut self) -> Option<Message> {
        loop {
            match self.hear().await? {
                Message::Touch { .. } | Message::Fragments { .. } | Message::Buckets { .. } => {}
                message => return Some(message),
            }
        }
    }

    async fn is_closed(&mut self) {
        while self.hear().await.is_some() {}
    }
}

/// A member of the view of a node.
struct Peer {
    host: Host,
    /// That the member opened.
    out: Wire,
    /// That the node opened.
    back: Wire,
    _listener: Listener,
}

impl Peer {
    async fn join(network: &Network, node: &Node) -> Self {
        let host = network.host(P);
        let mut listener = host.listen(address()).await.unwrap();
        let mut out = Wire::open(&host, A).await;
        out.say(&Message::Hello(hello("P", 0xbad, Purpose::Link)))
            .await;
        let welcome = out.hear().await;
        assert!(matches!(welcome, Some(Message::Welcome(_))), "{welcome:?}");
        let mut back = Wire::new(host.accept(&mut listener).await.unwrap().0);
        let called = back.hear().await;
        assert!(matches!(called, Some(Message::Hello(_))), "{called:?}");
        back.say(&Message::Welcome(Welcome {
            protocol: 1,
            name: "P".to_owned(),
            incarnation: incarnation(),
            state: MemberState::Joining,
            counter_heard: 0,
            silence: Duration::ZERO,
            settings: 0,
            heard: Vec::new(),
        }))
        .await;
        host.spawn(beat(host.clone()));
        let sees = |view: &catherd::channel::View| view.named("P").is_some();
        let waited = node.cluster.wait_for_members(sees);
        timeout(PATIENCE, waited).await.expect("it is in the view");
        Self {
            host,
            out,
            back,
            _listener: listener,
        }
    }

    async fn send_fragment(&mut self, number: u64, context: &str, fragments: &[Fragment]) {
        let payload = encode_fragments(context, fragments);
        let mut frame = BytesMut::new();
        put_fragments_head(&mut frame, number, payload.len());
        frame.extend_from_slice(&payload);
        self.out.send(&frame).await;
    }
}

/// Heartbeats, so that only what a test does ends the membership.
async fn beat(host: Host) {
    let group = host
        .multicast(&Group::new([228, 0, 0, 4].into(), 45564))
        .await
        .unwrap();
    for counter in 1.. {
        let heartbeat = Heartbeat {
            cluster: "one".to_owned(),
            name: "P".to_owned(),
            incarnation: incarnation(),
            counter,
            address: address(),
            domain: "catalina".to_owned(),
            state: MemberState::Joining,
            protocols: Protocols::OURS,
            heard: Vec::new(),
            wall_ms: None,
        };
        let datagram = heartbeat.to_datagram(None);
        if host.send_datagram(&group, &datagram).await.is_err() {
            return;
        }
        host.sleep_until(host.now() + Duration::from_millis(500))
            .await;
    }
}

/// Two nodes with a session on both, and a member of the first that means harm.
struct Scene {
    network: Network,
    a: Node,
    b: Node,
    peer: Peer,
    events: Events,
    cookie: String,
    digest: String,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let network = Network::new(seed);
        let (host_a, host_b) = (network.host(A), network.host(B));
        let a = Node::start(&host_a, "A", "one", attributes()).await;
        let b = Node::start(&host_b, "B", "one", attributes()).await;
        tokio::join!(a.cluster.ready(), b.cluster.ready());
        a.sees(&["B"]).await;
        b.sees(&["A"]).await;
        let answer = a.call("POST", "/shop/user/Ada", None).await;
        assert_eq!(answer.degraded, None);
        let peer = Peer::join(&network, &a).await;
        Self {
            network,
            events: a.cluster.events(),
            digest: a.digest(),
            cookie: answer.cookie.unwrap(),
            a,
            b,
            peer,
        }
    }

    /// Waits until a connection was closed because of what came over it; why.
    async fn closed_because(&mut self) -> String {
        let closed = async {
            loop {
                if let Some(Event::BadConnection { from, why }) = self.events.next().await {
                    assert_eq!(from, "P");
                    return why;
                }
            }
        };
        timeout(PATIENCE, closed).await.expect("it is said")
    }

    /// Nothing was applied, and what the others do goes on as before.
    async fn assert_unharmed(&self, what: &str) {
        assert_eq!(self.a.digest(), self.digest, "{what}: nothing was applied");
        let read = self.b.call("GET", "/shop/user", Some(&self.cookie)).await;
        assert_eq!(read.text, "Ada", "{what}");
        let path = "/shop/user/Eve";
        let written = self.a.call("POST", path, Some(&self.cookie)).await;
        assert_eq!(written.degraded, None, "{what}: B acknowledges");
        assert_eq!(self.a.digest(), self.b.digest(), "{what}");
        let view = self.a.cluster.members();
        assert!(view.named("B").is_some(), "{what}: B is a member");
    }
}

fn key(number: u128) -> Key {
    Key::from_bits(0xbad << 64 | number)
}

/// A session with `count` attributes, as its writer sends it whole.
fn session(count: usize) -> Write {
    let birth = Birth {
        incarnation: incarnation(),
        serial: 1,
    };
    let mut state = State::new(birth, Time::START);
    let rules = Rules {
        removals_kept: 16,
        session_bytes_max: SESSION_BYTES_MAX,
    };
    for number in 0..count {
        let name = Name::new(&format!("n{number}")).unwrap();
        let value = Some(Value::new(b"v"));
        state.set(Slot::Attribute(name), value, &rules).unwrap();
    }
    let by = Writer {
        incarnation: incarnation(),
        gone: 0,
        floor: 0,
    };
    state
        .commit(Time::START, &by, Extent::Entire, &rules)
        .expect("it is dirty")
}

fn fragment(key: Key, write: Write) -> Fragment {
    Fragment {
        key,
        content: Content::Write(write),
    }
}

/// What a session of one attribute would be with this version.
fn with_version(version: Version) -> Fragment {
    let mut write = session(1);
    let registers = write.registers.into_iter();
    write.registers = registers
        .map(|(slot, register)| {
            (
                slot,
                Register {
                    version,
                    ..register
                },
            )
        })
        .collect();
    fragment(key(1), write)
}

/// A frame of fragments around any bytes.
fn fragments_frame(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    put_fragments_head(&mut frame, number, payload.len());
    frame.extend_from_slice(payload);
    frame.to_vec()
}

fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    put_frame(&mut frame, kind, payload);
    frame.to_vec()
}

fn whole(question: u64, fragments: Vec<Fragment>) -> Message {
    let answer = |fragment: Fragment| Answer {
        key: fragment.key,
        same: false,
        fragment: Some(fragment),
        served: false,
    };
    Message::Whole {
        question,
        context: "/shop".to_owned(),
        answers: fragments.into_iter().map(answer).collect(),
        knew_route: false,
        is_cut: false,
    }
}

/// The first bytes of a gzip stream: nothing on the wire is compressed, so they mean nothing.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];

/// Over the connection that the member opened.
#[tokio::test(start_paused = true)]
async fn what_a_member_must_not_send_closes_its_connection_and_changes_nothing() {
    let sane = Version {
        fence: 0,
        revision: 1,
        writer: incarnation(),
    };
    let ours = encode_fragments("/shop", &[fragment(key(1), session(1))]);
    let insane = |version| encode_fragments("/shop", &[with_version(version)]);
    let fence = insane(Version {
        fence: Version::FENCE_MAX + 1,
        ..sane
    });
    let revision = insane(Version {
        revision: Version::REVISION_MAX + 1,
        ..sane
    });
    let good = Message::Hello(hello("P", 0xbad, Purpose::Link)).to_frame(None);
    // A group within a group within a group: protobuf's way to nest without a length.
    let nested = [0x0b; 100_000];
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("4 GiB by the header", vec![0xff; 64], "bytes, more than"),
        (
            "frame 0",
            fragments_frame(0, &ours),
            "frame 0 came in place",
        ),
        ("a jump", fragments_frame(2, &ours), "frame 2 came in place"),
        (
            "fence 2^24",
            fragments_frame(1, &fence),
            "no session reaches",
        ),
        (
            "revision 2^56",
            fragments_frame(1, &revision),
            "no session reaches",
        ),
        ("gzip", fragments_frame(1, &GZIP.repeat(1000)), "not decode"),
        ("groups", fragments_frame(1, &nested), "not decode"),
        ("a second hello", good.to_vec(), "does not belong"),
        (
            "an acknowledgement of nothing",
            Message::Ack(Ack::default()).to_frame(None).to_vec(),
            "does not belong",
        ),
        (
            "an answer to nothing",
            whole(1, vec![fragment(key(1), session(1))])
                .to_frame(None)
                .to_vec(),
            "not asked",
        ),
        (
            "an answer of ten million entries",
            frame(FrameKind::Whole, &[0x1a, 0].repeat(10_000_000)),
            "bytes, more than",
        ),
        (
            "an answer of two million entries",
            frame(FrameKind::Whole, &[0x1a, 0].repeat(2_000_000)),
            "more parts",
        ),
    ];
    for (seed, (what, bytes, reason)) in (1..).zip(cases) {
        let mut scene = Scene::new(seed).await;
        let before = scene.a.cluster.status().counters.bad_connections;
        scene.peer.out.send(&bytes).await;
        let why = scene.closed_because().await;
        assert!(why.contains(reason), "{what}: {why}");
        scene.peer.out.is_closed().await;
        let after = scene.a.cluster.status().counters.bad_connections;
        assert_eq!(after, before + 1, "{what}: it is counted");
        scene.assert_unharmed(what).await;
    }
}

/// Over the connection that the node opened, where a member acknowledges and answers.
#[tokio::test(start_paused = true)]
async fn answers_that_cannot_be_close_the_connection_and_change_nothing() {
    let injected = || fragment(key(1), session(1));
    let cases: Vec<(&str, Vec<Message>, &str)> = vec![
        (
            "an acknowledgement of what was never sent",
            vec![Message::Ack(Ack {
                up_to: 1000,
                ..Ack::default()
            })],
            "but the last one sent is",
        ),
        (
            "a session that nobody asked for",
            vec![whole(77, vec![injected()])],
            "not asked",
        ),
        (
            "digests that nobody asked for",
            vec![Message::Summaries {
                question: u64::MAX,
                context: "/shop".to_owned(),
                summaries: Summaries::default(),
            }],
            "not asked",
        ),
        (
            "uses that nobody asked for",
            vec![Message::Used {
                question: 0,
                context: "/shop".to_owned(),
                ages: vec![(key(1), Duration::ZERO)],
            }],
            "not asked",
        ),
        (
            "what belongs on the other connection",
            vec![Message::Ready],
            "does not belong",
        ),
    ];
    for (seed, (what, messages, reason)) in (101..).zip(cases) {
        let mut scene = Scene::new(seed).await;
        for message in &messages {
            scene.peer.back.say(message).await;
        }
        let why = scene.closed_because().await;
        assert!(why.contains(reason), "{what}: {why}");
        scene.peer.back.is_closed().await;
        scene.assert_unharmed(what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_number_that_repeats_is_not_applied_again() {
    let mut scene = Scene::new(201).await;
    let sent = [fragment(key(1), session(1))];
    scene.peer.send_fragment(1, "/shop", &sent).await;
    let ack = scene.peer.out.hear_answer().await;
    assert!(matches!(ack, Some(Message::Ack(Ack { up_to: 1, .. }))));
    let applied = scene.a.cluster.status().counters.fragments_applied;
    scene.peer.send_fragment(1, "/shop", &sent).await;
    let why = scene.closed_because().await;
    assert!(why.contains("frame 1 came in place of frame 2"), "{why}");
    let counters = scene.a.cluster.status().counters;
    assert_eq!(counters.fragments_applied, applied);
}

/// Nothing on the wire is compressed. A frame of a kind that says so is one of a later release:
/// it is skipped as it came, and nothing is unpacked.
#[tokio::test(start_paused = true)]
async fn frames_of_unknown_kinds_are_skipped_however_many_there_are() {
    let mut scene = Scene::new(202).await;
    let compressed = frame(FrameKind::Unknown(200), &GZIP).repeat(200_000);
    scene.peer.out.send(&compressed).await;
    scene
        .peer
        .back
        .send(&compressed[..compressed.len() / 4])
        .await;
    let sent = [fragment(key(1), session(1))];
    scene.peer.send_fragment(1, "/shop", &sent).await;
    let ack = scene.peer.out.hear_answer().await;
    let expected = Ack {
        up_to: 1,
        ..Ack::default()
    };
    assert_eq!(ack, Some(Message::Ack(expected)), "it still listens");
    assert_eq!(scene.a.cluster.status().counters.bad_connections, 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_ready_and_leaves_without_end_keeps_nobody_else_from_being_heard() {
    let mut scene = Scene::new(203).await;
    let ready = Message::Ready.to_frame(None).repeat(200_000);
    let goodbye = Message::Goodbye { queues_empty: true };
    scene.peer.out.send(&ready).await;
    // Who is ready is waited for, here at A alone: B has not met it.
    let path = "/shop/user/Eve";
    let cookie = scene.cookie.clone();
    let written = scene.b.call("POST", path, Some(&cookie)).await;
    assert_eq!(written.degraded, None, "A acknowledges");
    let goodbyes = goodbye.to_frame(None).repeat(100_000);
    scene.peer.out.send(&goodbyes).await;
    scene.peer.out.is_closed().await;
    let gone = scene
        .a
        .cluster
        .wait_for_members(|view| view.named("P").is_none());
    timeout(PATIENCE, gone).await.expect("it has left");
    scene.digest = scene.a.digest();
    let view = scene.a.cluster.members();
    assert!(view.named("B").is_some_and(|b| !b.is_suspect));
}

/// A short question has a long answer. Who does not read is not answered any further.
#[tokio::test(start_paused = true)]
async fn questions_without_end_whose_answers_nobody_reads_stop_being_taken() {
    let mut scene = Scene::new(204).await;
    let long = "x".repeat(60_000);
    let path = format!("/shop/long/{long}");
    let cookie = scene.cookie.clone();
    scene.a.call("POST", &path, Some(&cookie)).await;
    scene.digest = scene.a.digest();
    let key: Key = cookie.split('.').next().unwrap().parse().unwrap();
    let question = Message::Fetch {
        question: 1,
        context: "/shop".to_owned(),
        wanted: vec![(key, Vector::new())],
        route: String::new(),
    };
    let questions = question.to_frame(None).repeat(100_000);
    let mut taken = 0;
    for part in questions.chunks(4096) {
        let sent = scene.peer.out.stream.write_all(part);
        if timeout(Duration::from_secs(1), sent).await.is_err() {
            break;
        }
        taken += part.len();
    }
    assert!(taken < questions.len() / 4, "{taken} bytes were taken");
    scene.assert_unharmed("questions").await;
}

/// The same over the connection that the node opened: there it must not wait, so it closes.
#[tokio::test(start_paused = true)]
async fn a_member_that_asks_over_the_other_connection_and_does_not_read_is_closed() {
    let mut scene = Scene::new(205).await;
    let key: Key = scene.cookie.split('.').next().unwrap().parse().unwrap();
    let path = format!("/shop/long/{}", "x".repeat(60_000));
    let cookie = scene.cookie.clone();
    scene.a.call("POST", &path, Some(&cookie)).await;
    scene.digest = scene.a.digest();
    let question = Message::Fetch {
        question: 1,
        context: "/shop".to_owned(),
        wanted: vec![(key, Vector::new())],
        route: String::new(),
    };
    let questions = question.to_frame(None).repeat(10_000);
    let sent = timeout(PATIENCE, scene.peer.back.stream.write_all(&questions)).await;
    assert!(
        matches!(sent, Ok(Err(_))),
        "it was closed, and not buffered without bound: {sent:?}"
    );
    scene.assert_unharmed("questions").await;
}

/// Each unknown session of a touch is a gap that is fetched: one list at a time.
#[tokio::test(start_paused = true)]
async fn touches_of_unknown_sessions_without_end_ask_for_one_list_at_a_time() {
    let mut scene = Scene::new(206).await;
    for batch in 0..24_u128 {
        let ages = (0..16_384).map(|n| (key(batch << 32 | n), Duration::ZERO));
        let touch = Message::Touch {
            context: "/shop".to_owned(),
            ages: ages.collect(),
        };
        scene.peer.out.say(&touch).await;
    }
    // Taken only when all before it have been looked at.
    scene
        .peer
        .send_fragment(1, "/shop", &[fragment(key(1), session(1))])
        .await;
    let ack = scene.peer.out.hear_answer().await;
    assert!(matches!(ack, Some(Message::Ack(_))), "{ack:?}");
    // One more each time that the one before was not answered.
    let mut asked = Vec::new();
    while let Ok(Some(message)) =
        timeout(Duration::from_secs(2), scene.peer.back.hear_answer()).await
    {
        if let Message::Fetch { wanted, .. } = message {
            assert_eq!(wanted.len(), 256);
            asked.push(wanted);
        }
    }
    assert!((1..4).contains(&asked.len()), "{} were asked", asked.len());
    let left = scene.a.cluster.status().counters.gaps_left;
    assert!(left > 20 * 16_384, "{left}");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_of_sessions_that_nobody_knows_ends_nothing() {
    let mut scene = Scene::new(207).await;
    for batch in 0..30_u128 {
        let keys = (0..4096).map(|n| key(batch << 32 | n));
        let expire = Message::Expire {
            question: 1,
            context: "/shop".to_owned(),
            ages: keys.clone().map(|key| (key, Duration::ZERO)).collect(),
        };
        scene.peer.out.say(&expire).await;
        let Some(Message::Used { ages, .. }) = scene.peer.out.hear_answer().await else {
            panic!("an expire is answered");
        };
        assert_eq!(ages, [], "none of them is used");
        let expired = Message::Expired {
            context: "/shop".to_owned(),
            keys: keys.collect(),
            is_early: false,
        };
        scene.peer.out.say(&expired).await;
    }
    scene.assert_unharmed("expiry").await;
}

#[tokio::test(start_paused = true)]
async fn a_comparison_of_another_size_is_answered_and_one_that_does_not_fit_closes() {
    let mut scene = Scene::new(208).await;
    let buckets = |size, from, digests| Message::Buckets {
        question: 1,
        context: "/shop".to_owned(),
        comparison: Comparison {
            size,
            from,
            digests,
            is_mutual: false,
            only: Vec::new(),
        },
    };
    scene.peer.out.say(&buckets(1, 0, vec![7])).await;
    let answer = scene.peer.out.hear_answer().await;
    let Some(Message::Summaries { summaries, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(summaries.sessions.len(), 1);
    scene.peer.out.say(&buckets(4096, 4095, vec![7, 7])).await;
    let why = scene.closed_because().await;
    assert!(why.contains("not decode"), "{why}");
    scene.assert_unharmed("buckets").await;
}

/// The answer of a gap may come when the gap has closed already: that is nobody's fault.
#[tokio::test(start_paused = true)]
async fn an_answer_whose_gap_has_closed_meanwhile_does_no_harm() {
    let mut scene = Scene::new(209).await;
    let complete = session(1);
    let mut behind = complete.clone();
    let writer = incarnation();
    behind.since = Some(catherd::core::version::Dot {
        writer,
        revision: 1,
    });
    scene
        .peer
        .send_fragment(1, "/shop", &[fragment(key(1), behind)])
        .await;
    let mut asked = None;
    while asked.is_none() {
        if let Message::Fetch { question, .. } = scene.peer.out.hear().await.unwrap() {
            asked = Some(question);
        }
    }
    let whole_one = fragment(key(1), complete);
    scene
        .peer
        .send_fragment(2, "/shop", std::slice::from_ref(&whole_one))
        .await;
    loop {
        match scene.peer.out.hear().await.unwrap() {
            Message::Ack(ack) if ack.up_to == 2 && ack.behind.is_empty() => break,
            _ => {}
        }
    }
    scene
        .peer
        .out
        .say(&whole(asked.unwrap(), vec![whole_one.clone()]))
        .await;
    scene.peer.send_fragment(3, "/shop", &[whole_one]).await;
    let ack = scene.peer.out.hear_answer().await;
    let expected = Ack {
        up_to: 3,
        ..Ack::default()
    };
    assert_eq!(ack, Some(Message::Ack(expected)));
    assert_eq!(scene.a.cluster.status().counters.bad_connections, 0);
}

/// A fragment for a context that is not here is no copy, and its writer learns that.
#[tokio::test(start_paused = true)]
async fn a_member_without_the_context_is_no_copy_and_says_so() {
    let network = Network::new(210);
    let (host_a, host_b) = (network.host(A), network.host(B));
    let a = Node::start(&host_a, "A", "one", attributes()).await;
    let b = builder(&host_b, "B", "one");
    let b = b.start_in(host_b.clone()).await.unwrap();
    let local = b.context("/shop").manager(Manager::standard()).build();
    let local = local.unwrap();
    tokio::join!(a.cluster.ready(), b.ready());
    a.sees(&["B"]).await;
    let written = a.call("POST", "/shop/user/Ada", None).await;
    assert_eq!(
        written.degraded.as_deref(),
        Some("durability"),
        "nobody else holds it"
    );
    let status = b.status();
    assert_eq!(status.counters.unknown_context, 1);
    assert_eq!(
        status.contexts[0].sessions, 0,
        "a local context stays local"
    );
    // To end a session there is nothing to wait for at who never had it.
    let ended = a.call("POST", "/shop/end", written.cookie.as_deref()).await;
    assert_eq!(ended.degraded, None);
    drop(local);
}

#[tokio::test(start_paused = true)]
async fn three_hundred_strangers_fill_the_view_and_no_more() {
    let network = Network::new(211);
    let (a, b) = farm::two_with(&network, attributes).await;
    let host = network.host(P);
    let _listener = host.listen(address()).await.unwrap();
    let (mut welcomed, mut full, mut open) = (0, 0, Vec::new());
    for number in 0..300_u64 {
        let mut wire = Wire::open(&host, A).await;
        let name = format!("stranger{number}");
        let hello = hello(&name, 0xbad + number, Purpose::Link);
        wire.say(&Message::Hello(hello)).await;
        match wire.hear().await {
            Some(Message::Welcome(_)) => welcomed += 1,
            Some(Message::Refused(Refusal::Full)) => full += 1,
            other => panic!("{other:?}"),
        }
        open.push(wire);
    }
    assert_eq!((welcomed, full), (254, 46), "256 with A and B");
    let written = a.call("POST", "/shop/user/Ada", None).await;
    assert_eq!(written.degraded, None);
    a.sees(&["B"]).await;
    b.sees(&["A"]).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_hellos_of_one_member_the_last_first_link_stays() {
    let mut scene = Scene::new(212).await;
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut wire = Wire::open(&scene.peer.host, A).await;
        wire.say(&Message::Hello(hello("P", 0xbad, Purpose::Link)))
            .await;
        let welcome = wire.hear().await;
        assert!(matches!(welcome, Some(Message::Welcome(_))), "{welcome:?}");
        open.push(wire);
    }
    scene.peer.out.is_closed().await;
    let mut last = open.pop().unwrap();
    for wire in &mut open {
        wire.is_closed().await;
    }
    last.say(&Message::Expire {
        question: 7,
        context: "/shop".to_owned(),
        ages: Vec::new(),
    })
    .await;
    let answer = last.hear_answer().await;
    assert!(matches!(answer, Some(Message::Used { question: 7, .. })));
    scene.assert_unharmed("hellos").await;
}

#[tokio::test(start_paused = true)]
async fn of_the_links_of_a_pool_a_member_has_as_many_as_it_may() {
    let mut scene = Scene::new(213).await;
    let mut open = Vec::new();
    for number in 0..1100 {
        let mut wire = Wire::open(&scene.peer.host, A).await;
        wire.say(&Message::Hello(hello("P", 0xbad, Purpose::Pooled)))
            .await;
        match wire.hear().await {
            Some(Message::Welcome(_)) => open.push(wire),
            Some(Message::Refused(Refusal::NotLinked)) => {}
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(open.len(), 1024);
    // They live and die with the first.
    scene.peer.out.send(&[0xff; 64]).await;
    scene.closed_because().await;
    for wire in &mut open {
        wire.is_closed().await;
    }
    scene.assert_unharmed("pooled").await;
}

/// Ten thousand attributes are within the limits: they cost what they weigh.
#[tokio::test(start_paused = true)]
async fn a_session_of_ten_thousand_attributes_is_taken_and_one_beyond_the_limit_is_not() {
    let mut scene = Scene::new(214).await;
    let large = [fragment(key(1), session(10_000))];
    scene.peer.send_fragment(1, "/shop", &large).await;
    let ack = scene.peer.out.hear_answer().await;
    assert!(matches!(ack, Some(Message::Ack(Ack { up_to: 1, .. }))));
    assert_eq!(scene.a.cluster.status().contexts[0].sessions, 2);
    let mut named = session(1);
    named.registers = Registers::default();
    let payload = encode_fragments("/shop", &[fragment(key(2), named)]);
    // A name of 1 MB, appended as one more attribute of the fragment: field 9, its field 1.
    let name = vec![b'n'; 1 << 20];
    let register = message(9, &message(1, &name));
    let fragment_field = message(2, &register);
    let frame = fragments_frame(2, &[&payload[..], &fragment_field[..]].concat());
    scene.peer.out.send(&frame).await;
    let why = scene.closed_because().await;
    assert!(why.contains("longer than its kind"), "{why}");
    assert_eq!(scene.a.cluster.status().contexts[0].sessions, 2);
}

/// A field of protobuf that holds bytes.
fn message(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap());
    out.extend_from_slice(bytes);
    out
}

/// A connection whose other end is silently gone: it ends with the membership.
#[tokio::test(start_paused = true)]
async fn connections_that_hang_half_open_end_with_their_member() {
    let mut scene = Scene::new(215).await;
    scene.network.isolate(P);
    let gone = scene
        .a
        .cluster
        .wait_for_members(|view| view.named("P").is_none());
    timeout(PATIENCE, gone).await.expect("its probe fails");
    scene.assert_unharmed("half open").await;
    scene.network.repair_all();
    scene.peer.out.is_closed().await;
    scene.peer.back.is_closed().await;
}
