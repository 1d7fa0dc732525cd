//! The story of TomcatA and TomcatB as the HOW-TO tells it, with real nodes and real clients: a
//! node starts, goes and comes again, and has the sessions before anybody can ask it for one.
//!
//! HOW-TO, "How it Works", 2 to 8.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use catherd_testkit::{Client, Farm, Node, Port, Site as _, wait};
use serde_json::{Value, json};

/// A session each; an unoptimized node makes some thousand a second.
const SESSIONS: usize = 10_000;
/// Where the number of sessions is not the point.
const FEW: usize = 500;

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

/// Makes sessions in `/examples` from several clients at once.
fn fill(node: &Node, sessions: usize) {
    let (left, clients) = (AtomicUsize::new(sessions), 8);
    let take = || {
        let minus_one = |left: usize| left.checked_sub(1);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, minus_one)
    };
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::keeping_its_connection();
                while let Ok(number) = take() {
                    client.forget_session();
                    client.set(node, "number", &json!(number));
                }
            });
        }
    });
}

/// What a status says of a context.
fn context<'a>(status: &'a Value, path: &str) -> &'a Value {
    let contexts = status["contexts"].as_array();
    let found = contexts.and_then(|all| all.iter().find(|context| context["name"] == path));
    found.unwrap_or_else(|| panic!("no context {path} in {status}"))
}

fn assert_whole_at_once(first: &Value, other: &Node, sessions: usize) {
    for path in ["/examples", "/bench"] {
        let here = context(first, path);
        assert_eq!(here["digest"], other.digest(path), "{path} in {first}");
        assert_eq!(here["transfer"]["state"], "done", "{path} in {first}");
    }
    let examples = context(first, "/examples");
    assert_eq!(examples["sessions"], json!(sessions), "{first}");
}

/// HOW-TO, "How it Works", 2: "TomcatB asks TomcatA for the current state of all the sessions",
/// for each distributable application, and "before TomcatB starts listening for HTTP requests"
/// has it.
#[test]
fn h25_h26_h28_a_starting_node_has_every_session_when_its_port_answers_for_the_first_time() {
    let farm = farm();
    let a = farm.node("A").start();
    fill(&a, SESSIONS);
    let mut other_application = Client::new();
    other_application.get(&a, "/bench/session?size=10");

    let b = farm.node("B").spawn();
    let first = b.first_status();
    assert_whole_at_once(&first, &a, SESSIONS);
    assert_eq!(context(&first, "/bench")["sessions"], 1);
    let transfer = &context(&first, "/examples")["transfer"];
    assert_eq!(transfer["sessions"], json!(SESSIONS));
    assert_eq!(transfer["percent"], 100);
    println!("{SESSIONS} sessions came to a starting node: {transfer}");
    let read = other_application.get(&b, "/bench/read");
    assert_eq!(read.line(), "counter=1 size=10");
    assert_eq!(b.counter("alarms"), 0);
}

/// A member that has met the others and is not ready is getting its state.
fn wait_until_it_gets_its_state(starting: &Node, from: &Node) {
    let name = starting.name();
    from.wait_until(&format!("{name} gets its state"), |status| {
        let members = status["members"].as_array();
        let is_it = |member: &Value| member["name"] == name && member["state"] == "joining";
        members.is_some_and(|members| members.iter().any(is_it))
    });
}

fn is_open(node: &Node) -> bool {
    Client::new().try_get(node, "/catherd/health/ready").is_ok()
}

/// What A gave is there, and what it did not give any more comes from C.
#[test]
fn a_node_that_is_killed_in_the_middle_of_a_transfer_takes_nothing_with_it() {
    let farm = farm();
    let (a, c) = (farm.node("A").start(), farm.node("C").start());
    a.wait_for_members(&["C"]);
    c.wait_for_members(&["A"]);
    fill(&a, SESSIONS);

    let b = farm.node("B").spawn();
    wait_until_it_gets_its_state(&b, &a);
    a.kill();
    assert!(!is_open(&b), "A was killed too late to be in the middle");
    assert_whole_at_once(&b.first_status(), &c, SESSIONS);
}

/// HOW-TO, "How it Works", 2: a node that gets no answer times out, and logs it. What it does then
/// is configured.
#[test]
fn h27_a_node_that_does_not_get_its_state_in_time_starts_or_stays_closed() {
    let farm = farm();
    // It is silent, and a member all the same.
    let node = |name: &str| farm.node(name).drop_time(Duration::from_secs(60));
    let a = node("A").start();
    fill(&a, SESSIONS);
    for (name, policy) in [("B", "start"), ("C", "stay-closed")] {
        let timeout = format!(r#"stateTransferTimeout="1" onStateTransferTimeout="{policy}""#);
        let late = node(name)
            .manager_attributes("/examples", &timeout)
            .manager_attributes("/bench", &timeout)
            .spawn();
        wait_until_it_gets_its_state(&late, &a);
        a.pause();
        wait::until_true("it logs that its time is over", || {
            late.log().contains("no complete state in time")
        });
        if policy == "start" {
            let first = late.first_status();
            let examples = context(&first, "/examples");
            assert_eq!(examples["transfer"]["state"], "timed out", "{first}");
            assert!(examples["sessions"].as_u64() < Some(SESSIONS as u64));
            a.resume();
            late.wait_until_equal(&a, "/examples");
        } else {
            assert!(!is_open(&late), "it stays closed");
            a.resume();
            assert_whole_at_once(&late.first_status(), &a, SESSIONS);
        }
        late.stop();
        a.wait_for_members(&[]);
    }
}

/// HOW-TO, "How it Works", 2: more than one node may start.
#[test]
fn two_nodes_that_start_at_once_both_have_everything_when_they_answer() {
    let farm = farm();
    let a = farm.node("A").start();
    fill(&a, FEW);
    let (b, c) = (farm.node("B").spawn(), farm.node("C").spawn());
    for node in [&b, &c] {
        assert_whole_at_once(&node.first_status(), &a, FEW);
    }
    for (node, others) in [(&a, ["B", "C"]), (&b, ["A", "C"]), (&c, ["A", "B"])] {
        node.wait_for_members(&others);
    }
}

/// HOW-TO, "How it Works", 2: all three have heard of nobody before, and none waits for another.
#[test]
fn three_nodes_that_start_at_once_are_one_cluster() {
    let farm = farm();
    let nodes = ["A", "B", "C"].map(|name| farm.node(name).spawn());
    let mut clients = Vec::new();
    for (at, others) in [["B", "C"], ["A", "C"], ["A", "B"]].iter().enumerate() {
        nodes[at].wait_until_ready();
        nodes[at].wait_for_members(others);
    }
    for node in &nodes {
        let mut client = Client::new();
        assert_eq!(client.set(node, "at", &json!(node.name())).degraded(), "");
        clients.push((client, node.name()));
    }
    for node in &nodes {
        assert_eq!(node.digest("/examples"), nodes[0].digest("/examples"));
        for (client, at) in &clients {
            assert_eq!(client.clone().session(node).attribute("at"), json!(at));
        }
        assert_eq!(node.status()["missing"], json!([]));
        assert_eq!(node.counter("alarms"), 0);
    }
}

/// HOW-TO, "How it Works", 4 to 8, in one go.
#[test]
fn h36_to_h41_the_story_of_a_crash_a_return_and_a_logout() {
    let farm = farm();
    let (mut a, mut b) = farm.pair();
    fill(&a, FEW);
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let key = client.key();

    a.kill();
    b.wait_for_members(&[]);
    assert_eq!(client.session(&b).attribute("user"), json!("Ada"));
    assert_eq!(
        (client.key(), client.route()),
        (key.clone(), "B".to_owned())
    );
    client.set(&b, "user", &json!("Grace"));
    let mut made_meanwhile = Client::new();
    made_meanwhile.set(&b, "user", &json!("Edsger"));

    a.spawn_again();
    assert_whole_at_once(&a.first_status(), &b, FEW + 2);
    assert_eq!(client.session(&a).attribute("user"), json!("Grace"));
    let meanwhile = made_meanwhile.session(&a);
    assert_eq!(meanwhile.attribute("user"), json!("Edsger"));

    b.wait_for_members(&["A"]);
    let mut late = client.clone();
    assert_eq!(client.invalidate(&a).degraded(), "");
    let without = "/examples/session?create=false";
    assert_eq!(late.get(&b, without).status(), 404);

    // The end outlives each of the two that know of it, one after the other.
    a.kill();
    b.wait_for_members(&[]);
    a.start_again();
    b.kill();
    a.wait_for_members(&[]);
    b.start_again();
    for node in [&a, &b] {
        assert_eq!(late.clone().get(node, without).status(), 404);
        assert_eq!(node.context("/examples")["sessions"], json!(FEW + 1));
    }
    let again = late.session(&b);
    assert_eq!(again.json()["isNew"], json!(true));
    assert_eq!(again.attribute("user"), Value::Null);
    assert_ne!(late.key(), key);
}

/// Each answer has what the one before it wrote, wherever it was given, while nodes go and come.
#[test]
fn a_client_that_walks_from_node_to_node_never_sees_an_older_session() {
    let farm = farm();
    let mut nodes = ["A", "B", "C"].map(|name| farm.node(name).start());
    let mut client = Client::new();
    let mut steps = 0;
    let mut walk = |nodes: &[&Node]| {
        for round in 0..12 {
            steps += 1;
            let node = nodes[round % nodes.len()];
            assert_eq!(client.increment(node, "steps"), steps, "on {}", node.name());
            let read = nodes[(round + 1) % nodes.len()];
            let seen = client.session(read).attribute("steps");
            assert_eq!(seen, json!(steps), "read on {}", read.name());
        }
    };
    for gone in 0..nodes.len() {
        walk(&nodes.each_ref());
        nodes[gone].kill();
        let left: Vec<_> = (0..nodes.len()).filter(|&at| at != gone).collect();
        walk(&left.iter().map(|&at| &nodes[at]).collect::<Vec<_>>());
        nodes[gone].spawn_again();
        nodes[gone].first_status();
        // The node that came last is asked first.
        let next = (gone + 1) % nodes.len();
        walk(&[&nodes[gone], &nodes[next]]);
    }
}

/// A client, and the last write that was acknowledged to it.
struct Writer {
    client: Client,
    acknowledged: u64,
}

/// Writes growing numbers into one session, on the node that answers, until it is over.
fn write_until(is_over: &AtomicBool, ports: &[Port], written: &AtomicUsize) -> Writer {
    let mut writer = Writer {
        client: Client::new(),
        acknowledged: 0,
    };
    let mut at = 0;
    for number in 1.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let body = number.to_string();
        let port = &ports[at % ports.len()];
        let key = writer.client.cookie().map(|_| writer.client.key());
        let path = "/examples/session/attributes/number";
        match writer.client.try_send(port, "PUT", path, Some(&body)) {
            Ok(answer) if answer.status() == 200 => {
                if let Some(key) = key {
                    assert_eq!(writer.client.key(), key, "its session was lost: {answer:?}");
                }
                writer.acknowledged = number;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => at += 1,
        }
    }
    writer
}

#[test]
fn no_acknowledged_write_is_lost_while_nodes_are_killed_and_started_ten_times() {
    let farm = farm();
    let mut nodes = ["A", "B", "C"].map(|name| farm.node(name).start());
    for (at, others) in [["B", "C"], ["A", "C"], ["A", "B"]].iter().enumerate() {
        nodes[at].wait_for_members(others);
    }
    let ports = nodes.each_ref().map(|node| Port(node.http_port()));
    let (is_over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients = 6;
    // Written once and left alone: nothing brings them back but the transfer of state.
    let mut quiet = Vec::new();
    let writers = thread::scope(|scope| {
        let writers: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| write_until(&is_over, &ports, &written)))
            .collect();
        let more_is_written = || {
            let before = written.load(Ordering::Relaxed);
            wait::until_true("clients write on", || {
                written.load(Ordering::Relaxed) > before + clients * 5
            });
        };
        for round in 0..10 {
            more_is_written();
            let node = &mut nodes[round % 3];
            let mut client = Client::new();
            client.set(node, "round", &json!(round));
            quiet.push(client);
            node.kill();
            more_is_written();
            node.start_again();
        }
        more_is_written();
        is_over.store(true, Ordering::Relaxed);
        let join = |writer: thread::ScopedJoinHandle<'_, Writer>| writer.join();
        let joined: Result<Vec<_>, _> = writers.into_iter().map(join).collect();
        joined.expect("a writer panics nowhere")
    });
    nodes[0].wait_until_equal(&nodes[1], "/examples");
    nodes[0].wait_until_equal(&nodes[2], "/examples");
    for node in &nodes {
        for (round, client) in quiet.iter().enumerate() {
            let session = client.clone().session(node);
            assert_eq!(session.attribute("round"), json!(round), "{}", node.name());
        }
    }
    for mut writer in writers {
        for node in &nodes {
            let number = writer.client.session(node).attribute("number");
            // A write whose answer did not come may have come through.
            assert!(
                number.as_u64() >= Some(writer.acknowledged),
                "{number} on {} after {}",
                node.name(),
                writer.acknowledged
            );
        }
    }
}

/// What is written while two get their state reaches both of them, by one way or the other.
#[test]
fn two_nodes_that_join_at_once_beside_one_under_load_miss_nothing() {
    let farm = farm();
    let a = farm.node("A").start();
    fill(&a, FEW);
    let ports = [Port(a.http_port())];
    let (is_over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients = 6;
    let (nodes, writers) = thread::scope(|scope| {
        let writers: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| write_until(&is_over, &ports, &written)))
            .collect();
        let more_is_written = || {
            let before = written.load(Ordering::Relaxed);
            wait::until_true("clients write on", || {
                written.load(Ordering::Relaxed) > before + clients * 5
            });
        };
        more_is_written();
        let nodes = ["B", "C"].map(|name| farm.node(name).spawn());
        for node in &nodes {
            let first = node.first_status();
            let examples = context(&first, "/examples");
            assert_eq!(examples["transfer"]["state"], "done", "{first}");
            assert_eq!(examples["sessions"], json!(FEW + clients), "{first}");
        }
        more_is_written();
        is_over.store(true, Ordering::Relaxed);
        let join = |writer: thread::ScopedJoinHandle<'_, Writer>| writer.join();
        let joined: Result<Vec<_>, _> = writers.into_iter().map(join).collect();
        (nodes, joined.expect("a writer panics nowhere"))
    });
    a.wait_for_members(&["B", "C"]);
    for node in &nodes {
        a.wait_until_equal(node, "/examples");
        for writer in &writers {
            let session = writer.client.clone().session(node);
            assert_eq!(session.attribute("number"), json!(writer.acknowledged));
        }
        node.wait_until("nothing differs", |status| {
            status["sessions_that_differ"] == json!(0)
        });
    }
}
