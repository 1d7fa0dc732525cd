//! Two real nodes, real requests, and what happens to one of the nodes.
//!
//! HOW-TO, "How it Works": TomcatA and TomcatB.
#![forbid(unsafe_code)]

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use catherd_testkit::{Client, Farm, Node, Site as _, wait};
use serde_json::{Value, json};

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

/// A session made on `node`, with attributes of every kind.
fn session_on(node: &Node) -> (Client, Vec<(&'static str, Value)>) {
    let attributes = vec![
        ("user", json!("Ada Lovelace, née Byron")),
        (
            "cart",
            json!([{"article": 17, "count": 2}, {"article": 4, "count": 1}]),
        ),
        ("total", json!(12.5)),
        ("confirmed", json!(true)),
        ("nothing", json!({})),
    ];
    let mut client = Client::new();
    for (name, value) in &attributes {
        client.set(node, name, value);
    }
    (client, attributes)
}

fn assert_attributes(client: &mut Client, node: &Node, attributes: &[(&str, Value)]) {
    let session = client.session(node);
    for (name, value) in attributes {
        assert_eq!(session.attribute(name), *value, "{name} on {}", node.name());
    }
}

/// What waits for acknowledgements needs no second look: the answer is the proof. The digests are
/// of what each node holds itself, so nothing here asks A on behalf of B.
#[test]
fn b_holds_every_attribute_when_a_has_answered() {
    let farm = farm();
    let (a, b) = farm.pair();
    let (mut client, attributes) = session_on(&a);
    assert_eq!(b.context("/examples")["sessions"], 1);
    assert_eq!(a.digest("/examples"), b.digest("/examples"));
    assert_attributes(&mut client, &b, &attributes);

    client.remove(&a, "cart");
    assert_eq!(a.digest("/examples"), b.digest("/examples"));
    let session = client.session(&b);
    assert_eq!(session.json()["attributes"].get("cart"), None);
    assert_eq!(session.attribute("total"), json!(12.5));
    assert_eq!(session.degraded(), "");
}

#[test]
fn a_killed_node_is_out_of_the_view_within_a_second_and_its_sessions_live_on() {
    let farm = farm();
    // Far beyond what this test waits for: it is the broken connection that tells.
    let slow = Duration::from_secs(60);
    let a = farm.node("A").drop_time(slow).start();
    let b = farm.node("B").drop_time(slow).start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let (mut client, attributes) = session_on(&a);
    let (key, created) = (client.key(), client.session(&a).json()["created"].clone());

    let killed = Instant::now();
    a.begin_to_kill();
    b.wait_for_members(&[]);
    let gone = killed.elapsed();
    println!("A was out of the view of B {gone:?} after SIGKILL");
    // It is milliseconds; a machine that runs many tests at once may stall.
    assert!(gone < Duration::from_secs(2), "{gone:?}");
    assert_eq!(
        b.status()["missing"],
        json!(["A"]),
        "it crashed, and said no goodbye"
    );

    let session = client.session(&b);
    assert_eq!(session.json()["id"], json!(key));
    assert_eq!(session.json()["isNew"], json!(false));
    assert_eq!(session.json()["created"], created);
    assert_eq!(session.json()["node"], json!("B"));
    for (name, value) in &attributes {
        assert_eq!(session.attribute(name), *value, "{name}");
    }
    assert_eq!((client.key(), client.route()), (key, "B".to_owned()));

    let alone = client.set(&b, "user", &json!("Grace"));
    assert!(
        alone.degraded().contains("durability"),
        "one copy is not replicated: {alone:?}"
    );
    assert_eq!(client.session(&b).attribute("user"), json!("Grace"));
}

#[test]
fn a_cookie_with_a_key_that_nobody_knows_gets_a_new_session_under_a_new_key() {
    let farm = farm();
    let (a, b) = farm.pair();
    let chosen = "0123456789ABCDEF0123456789ABCDEF";
    for node in [&a, &b] {
        let mut client = Client::with_cookie(&format!("{chosen}.A"));
        let none = client.get(node, "/examples/session?create=false");
        assert_eq!(none.status(), 404, "{none:?}");
        let session = client.session(node);
        assert_eq!(session.json()["isNew"], json!(true));
        assert_ne!(client.key(), chosen);
        assert_eq!(session.json()["id"], json!(client.key()));
    }
}

#[test]
fn two_requests_at_once_on_two_nodes_lose_nothing_of_one_session() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let rounds = 20;
    for round in 0..rounds {
        let start = Barrier::new(2);
        let write = |node: &Node| {
            let (mut client, start) = (client.clone(), &start);
            let name = format!("{}-{round}", node.name());
            start.wait();
            client.set(node, &name, &json!(round));
        };
        thread::scope(|scope| {
            scope.spawn(|| write(&a));
            scope.spawn(|| write(&b));
        });
    }
    a.wait_until_equal(&b, "/examples");
    for node in [&a, &b] {
        let session = client.session(node);
        for round in 0..rounds {
            for writer in ["A", "B"] {
                let name = format!("{writer}-{round}");
                assert_eq!(
                    session.attribute(&name),
                    json!(round),
                    "{name} on {}",
                    node.name()
                );
            }
        }
        assert_eq!(session.attribute("user"), json!("Ada"));
    }
    assert_eq!((a.counter("alarms"), b.counter("alarms")), (0, 0));
}

#[test]
fn after_a_logout_on_a_the_cookie_is_worth_nothing_on_b() {
    let farm = farm();
    let (a, b) = farm.pair();
    let (mut client, _) = session_on(&a);
    let old = client.cookie().expect("it has a session").to_owned();
    let old_key = client.key();
    let logout = client.invalidate(&a);
    assert_eq!(logout.degraded(), "");
    assert_eq!(b.context("/examples")["sessions"], 0);
    for node in [&b, &a] {
        let mut late = Client::with_cookie(&old);
        assert_eq!(
            late.get(node, "/examples/session?create=false").status(),
            404
        );
        assert_eq!(
            late.send(node, "DELETE", "/examples/session", None)
                .status(),
            404
        );
        let change_id = late.send(node, "POST", "/examples/session/change-id", None);
        assert_eq!(change_id.status(), 404);
        let mut late = Client::with_cookie(&old);
        let session = late.session(node);
        assert_ne!(late.key(), old_key);
        assert_eq!(session.json()["attributes"], json!({}));
        let mut late = Client::with_cookie(&old);
        late.set(node, "user", &json!("late"));
        assert_ne!(late.key(), old_key);
    }
}

#[test]
fn a_context_that_is_not_distributable_stays_on_its_node() {
    let farm = farm();
    let a = farm.node("A").local("/bench").start();
    let b = farm.node("B").local("/bench").start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut local = Client::new();
    assert_eq!(
        local.get(&a, "/bench/session?size=10").line(),
        "counter=1 size=10"
    );
    // A replicated write behind it: when that is there, the other would be, too.
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    assert_eq!(b.context("/examples")["sessions"], 1);

    assert_eq!(a.context("/bench")["sessions"], 1);
    assert_eq!(b.context("/bench")["sessions"], 0);
    for node in [&a, &b] {
        assert_eq!(node.context("/bench")["replicated"], json!(false));
        assert_eq!(node.context("/examples")["replicated"], json!(true));
    }
    assert_eq!(b.counter("unknown_context"), 0, "nothing of it was sent");
    assert_eq!(local.clone().get(&b, "/bench/read").line(), "none");
    assert_eq!(local.get(&a, "/bench/read").line(), "counter=1 size=10");
}

#[test]
fn after_a_change_of_id_on_a_the_old_cookie_is_dead_on_b_and_the_new_one_works() {
    let farm = farm();
    let (a, b) = farm.pair();
    let (mut client, attributes) = session_on(&a);
    let (old, old_key) = (
        client.cookie().expect("it has a session").to_owned(),
        client.key(),
    );
    let changed = client.change_id(&a);
    assert_ne!(client.key(), old_key);
    assert_eq!(changed.json()["id"], json!(client.key()));
    assert_eq!(a.digest("/examples"), b.digest("/examples"));
    for node in [&b, &a] {
        let mut late = Client::with_cookie(&old);
        assert_eq!(
            late.get(node, "/examples/session?create=false").status(),
            404
        );
        assert_attributes(&mut client, node, &attributes);
    }
    assert_eq!(b.context("/examples")["sessions"], 1);
}

#[test]
fn a_node_that_is_stopped_says_goodbye_and_ends_well() {
    let farm = farm();
    let b = farm.node("B").start();
    for stop in [Node::stop, Node::interrupt] {
        let a = farm.node("A").start();
        b.wait_for_members(&["A"]);
        let (mut client, attributes) = session_on(&a);
        stop(&a);
        b.wait_for_members(&[]);
        assert_eq!(b.status()["missing"], json!([]));
        assert_attributes(&mut client, &b, &attributes);
    }
}

#[test]
fn thirty_two_clients_on_both_nodes_lose_no_write() {
    const SESSIONS: usize = 8;
    const CLIENTS: usize = 32;
    const WRITES: usize = 12;
    let farm = farm();
    let (a, b) = farm.pair();
    let sessions: Vec<Client> = (0..SESSIONS)
        .map(|_| {
            let mut client = Client::new();
            client.session(&a);
            client
        })
        .collect();
    // Four clients share a session, and each walks between the nodes.
    let write = |client: usize| {
        let mut browser = sessions[client % SESSIONS].clone();
        for number in 0..WRITES {
            let node = if (client + number).is_multiple_of(2) {
                &a
            } else {
                &b
            };
            browser.set(
                node,
                &format!("c{client}-{number}"),
                &json!([client, number]),
            );
            if number % 3 == 2 {
                let own = browser.session(node);
                assert_eq!(own.attribute(&format!("c{client}-0")), json!([client, 0]));
            }
        }
    };
    thread::scope(|scope| {
        let write = &write;
        for client in 0..CLIENTS {
            scope.spawn(move || write(client));
        }
    });
    a.wait_until_equal(&b, "/examples");
    for client in 0..CLIENTS {
        for node in [&a, &b] {
            let session = sessions[client % SESSIONS].clone().session(node);
            for number in 0..WRITES {
                let name = format!("c{client}-{number}");
                let value = session.attribute(&name);
                assert_eq!(value, json!([client, number]), "{name} on {}", node.name());
            }
        }
    }
    assert_eq!((a.counter("alarms"), b.counter("alarms")), (0, 0));
}

/// A stands and waits for B when its client leaves: what other requests on A have already seen
/// must not be lost with that client.
#[test]
fn the_write_of_a_client_that_has_left_is_replicated() {
    let farm = farm();
    let patient = Duration::from_secs(60);
    let a = farm.node("A").drop_time(patient).start();
    let b = farm.node("B").drop_time(patient).start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut client = Client::new();
    client.session(&a);
    b.pause();
    // The limit is the client's: it breaks the connection in the middle of the request.
    let mut hasty = client.clone().with_timeout(Duration::from_millis(300));
    let answer = hasty.try_send(&a, "PUT", "/examples/session/attributes/late", Some("1"));
    answer.expect_err("nobody acknowledges while B stands still");
    b.resume();
    a.wait_until_equal(&b, "/examples");
    wait::until_true("B has the write", || {
        client.clone().session(&b).attribute("late") == 1
    });
}
