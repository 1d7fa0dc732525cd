//! HOW-TO, "How it Works": TomcatA and TomcatB.

use std::time::Duration;

use catherd_testkit::{Client, Farm, Node, Site as _, wait};
use serde_json::json;

use crate::farm;
use crate::wire::{first_message, next_heartbeat};

/// Two nodes that are patient with each other, so that one can be stopped for a while.
fn patient_pair(farm: &Farm) -> (Node, Node) {
    let node = |name| farm.node(name).drop_time(Duration::from_secs(60)).start();
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    (a, b)
}

const A_MOMENT: Duration = Duration::from_millis(300);

/// HOW-TO, "How it Works", 1: "When the Host object is created, a cluster object is associated
/// with it."
#[test]
fn h20_a_cluster_belongs_to_its_host() {
    let farm = farm();
    let (a, b) = farm.pair();
    let in_cluster = a.context("/examples");
    assert_eq!(in_cluster["replicated"], json!(true));
    assert_eq!(b.members(), ["A"]);
    // Without one in its host, a distributable context has nobody to replicate to.
    let builder = farm.node("C");
    let text = format!(
        r#"<Server port="-1"><Service name="Catalina">
<Connector port="{}" address="127.0.0.1"/>
<Engine name="Catalina" defaultHost="localhost" jvmRoute="C"><Host name="localhost">
<Context path="/examples" distributable="true"/>
</Host></Engine></Service></Server>"#,
        builder.http_port(),
    );
    let c = builder.server_xml(&text).start();
    assert_eq!(c.context("/examples")["replicated"], json!(false));
}

/// HOW-TO, "How it Works", 1: "Tomcat will create a DeltaManager for that context".
#[test]
fn h21_a_distributable_context_gets_the_manager_of_the_cluster() {
    let farm = farm();
    let (a, b) = farm.pair();
    for path in ["/examples", "/bench"] {
        assert_eq!(a.context(path)["replicated"], json!(true), "{path}");
    }
    Client::new()
        .get(&a, "/bench/session?size=100")
        .expect_status(200);
    assert_eq!(b.context("/bench")["sessions"], 1);
}

/// HOW-TO, "How it Works", 1: "instead of a StandardManager".
#[test]
fn h22_a_context_that_is_not_distributable_gets_a_standard_manager() {
    let farm = farm();
    let a = farm.node("A").local("/bench").start();
    let b = farm.node("B").local("/bench").start();
    a.wait_for_members(&["B"]);
    let mut client = Client::new();
    client.get(&a, "/bench/session?size=100").expect_status(200);
    assert_eq!(a.context("/bench")["replicated"], json!(false));
    assert_eq!(client.get(&b, "/bench/read").line(), "none");
}

/// HOW-TO, "How it Works", 1: "a membership service (multicast) and a replication service (tcp
/// unicast)".
#[test]
fn h23_a_membership_and_a_replication_service_start() {
    let farm = farm();
    let group = farm.join_group();
    let a = farm.node("A").start();
    let heartbeat = next_heartbeat(&group, &farm, "A");
    assert_eq!(heartbeat.address.port(), a.tcp_port());
    std::net::TcpStream::connect(heartbeat.address).expect("somebody listens there");
}

/// HOW-TO, "How it Works", 2: "The cluster is started and will establish a membership
/// (TomcatA,TomcatB)."
#[test]
fn h24_a_starting_second_node_establishes_the_membership_of_both() {
    let farm = farm();
    let a = farm.node("A").start();
    assert_eq!(a.members(), [""; 0]);
    let b = farm.node("B").start();
    // B is ready, so it knows A already.
    assert_eq!(b.members(), ["A"]);
    a.wait_for_members(&["B"]);
}

/// HOW-TO, "How it Works", 3: "treated exactly the same way as without session replication".
#[test]
fn h30_a_request_is_served_as_without_replication() {
    let farm = farm();
    let (a, _b) = farm.pair();
    let alone = farm.node("C").without_cluster().start();
    let serve = |node: &Node| {
        let mut client = Client::new();
        let mut session = client.set(node, "user", &json!("Ada")).json();
        assert_eq!(session["id"], json!(client.key()));
        for differs in ["id", "node", "created", "lastAccessed"] {
            session[differs] = json!(null);
        }
        session
    };
    assert_eq!(serve(&a), serve(&alone));
}

/// HOW-TO, "How it Works", 3: "the ReplicationValve will intercept the request before the response
/// is returned to the user".
#[test]
fn h31_the_response_is_held_back_until_the_session_is_replicated() {
    let farm = farm();
    let (a, b) = patient_pair(&farm);
    let mut client = Client::new();
    client.session(&a);
    b.pause();
    let mut hasty = client.clone().with_timeout(A_MOMENT);
    let path = "/examples/session/attributes/user";
    hasty
        .try_send(&a, "PUT", path, Some("1"))
        .expect_err("nobody has acknowledged");
    // Who has no session waits for nobody.
    let mut nobody = Client::new().with_timeout(Duration::from_secs(5));
    assert_eq!(nobody.get(&a, "/bench/plain").line(), "hello");
    b.resume();
    client.set(&a, "user", &json!(2));
    assert_eq!(client.session(&b).attribute("user"), json!(2));
}

/// HOW-TO, "How it Works", 3: "it uses TCP to replicata the session to TomcatB".
#[test]
fn h32_a_modified_session_is_sent_to_the_other_node() {
    let farm = farm();
    let (a, b) = farm.pair();
    let before = b.counter("fragments_applied");
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    assert!(b.counter("fragments_applied") > before);
    assert_eq!(a.digest("/examples"), b.digest("/examples"));
}

/// HOW-TO, "How it Works", 3: "Once the serialized data has been handed off to the operating
/// systems TCP logic, the request returns to the user": `waitForAck="false"`.
#[test]
fn h33_without_acknowledgement_the_request_returns_when_its_data_is_handed_over() {
    let farm = farm();
    let node = |name| {
        let builder = farm.node(name).drop_time(Duration::from_secs(60));
        builder.sender_attributes("waitForAck=\"false\"").start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut client = Client::new();
    client.session(&a);
    b.pause();
    client.set(&a, "user", &json!("Ada"));
    b.resume();
    a.wait_until_equal(&b, "/examples");
}

/// HOW-TO, "How it Works", 3: "For each request the entire session is replicated":
/// `useDirtyFlag="false"`.
#[test]
fn h34_without_the_dirty_flag_the_entire_session_goes_out_after_each_request() {
    let farm = farm();
    let node = |name| {
        let builder = farm.node(name);
        builder
            .manager_attributes("/bench", "useDirtyFlag=\"false\"")
            .start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    let mut client = Client::new();
    client.get(&a, "/bench/session?size=100").expect_status(200);
    let before = b.counter("fragments_applied");
    client.get(&a, "/bench/read").expect_status(200);
    assert!(
        b.counter("fragments_applied") > before,
        "reading sends it too"
    );
    assert_eq!(a.digest("/bench"), b.digest("/bench"));
}

/// HOW-TO, "How it Works", 3: "to optimize the number of times a session is replicated".
#[test]
fn h35_with_the_dirty_flag_only_what_was_changed_is_sent() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.get(&a, "/bench/session?size=100").expect_status(200);
    let before = b.counter("fragments_applied");
    for _ in 0..10 {
        client.get(&a, "/bench/read").expect_status(200);
    }
    client.get(&a, "/bench/session?size=100").expect_status(200);
    assert_eq!(b.counter("fragments_applied"), before + 1);
}

/// HOW-TO, "How it Works", 4: "TomcatB receives a notification that TomcatA has dropped out of the
/// cluster [and] removes TomcatA from its membership list".
#[test]
fn h36_a_crashed_node_is_removed_and_sent_nothing_more() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    a.kill();
    b.wait_for_members(&[]);
    assert_eq!(
        b.status()["members"],
        json!([]),
        "no member, and so no link"
    );
    // A member that was still sent to would have to be waited for.
    let answer = client
        .with_timeout(Duration::from_secs(5))
        .set(&b, "user", &json!("Grace"));
    assert_eq!(answer.attribute("user"), json!("Grace"));
}

/// HOW-TO, "How it Works", 4: "all the sessions are current".
#[test]
fn h37_after_a_crash_all_sessions_are_current() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for _ in 0..=number {
            client.increment(&a, "visits");
        }
    }
    a.kill();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.session(&b).attribute("visits"), json!(number + 1));
    }
}

/// HOW-TO, "How it Works", 5: "TomcatB will process the request as any other request".
#[test]
fn h38_the_other_node_serves_the_session_as_any_other_request() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let key = client.key();
    a.kill();
    for visit in 1..=3 {
        assert_eq!(client.increment(&b, "visits"), visit);
    }
    client.set(&b, "user", &json!("Grace"));
    assert_eq!(client.key(), key);
    client.change_id(&b);
    assert_eq!(client.session(&b).attribute("user"), json!("Grace"));
    client.invalidate(&b);
    assert_eq!(b.context("/examples")["sessions"], 0);
}

/// HOW-TO, "How it Works", 7: `invalidate` "sends out an "expire" message to TomcatB and TomcatB
/// will invalidate the session as well".
#[test]
fn h40_an_invalidated_session_is_gone_on_the_other_node_when_the_request_is_complete() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    assert_eq!(b.context("/examples")["sessions"], 1);
    let mut late = client.clone();
    client.invalidate(&a);
    assert_eq!(b.context("/examples")["sessions"], 0);
    assert_eq!(late.get(&b, "/examples/session?create=false").status(), 404);
}

/// HOW-TO, "How it Works", 8: "Same scenario as in step 3".
#[test]
fn h41_a_new_session_on_the_second_node_is_like_one_on_the_first() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&b, "user", &json!("Ada"));
    assert_eq!(client.route(), "B");
    assert_eq!(a.context("/examples")["sessions"], 1);
    assert_eq!(a.digest("/examples"), b.digest("/examples"));
    assert_eq!(client.session(&a).attribute("user"), json!("Ada"));
}

/// HOW-TO, "How it Works", 9: "The session S2 expires due to inactivity."
///
/// No other request comes, and none is needed (there, "the invalidet session will not be replicated
/// across until another request comes through the system").
///
/// A session whose limit was taken away again was filed for the same moment, and stays.
#[test]
fn h42_an_idle_session_ends_on_both_nodes_and_h43_no_other_request_is_needed() {
    let farm = farm();
    let (a, b) = farm.pair();
    let limit = |client: &mut Client, seconds: &str| {
        let path = "/examples/session/max-inactive-interval";
        client
            .send(&a, "PUT", path, Some(seconds))
            .expect_status(200);
    };
    let (mut endless, mut short) = (Client::new(), Client::new());
    for client in [&mut endless, &mut short] {
        client.set(&a, "user", &json!("Ada"));
        limit(client, "1");
    }
    limit(&mut endless, "0");
    assert_eq!(b.context("/examples")["sessions"], 2);
    for node in [&a, &b] {
        wait::until_true("one is gone", || node.context("/examples")["sessions"] == 1);
        assert_eq!(
            short.get(node, "/examples/session?create=false").status(),
            404
        );
        assert_eq!(endless.session(node).attribute("user"), json!("Ada"));
    }
    assert_eq!(
        (a.counter("sessions_expired"), b.counter("sessions_expired")),
        (1, 1)
    );
}

/// HOW-TO, "TCP Replication": "the member is added to the cluster ... the sending instance will use
/// the host and port info and establish a TCP socket".
#[test]
fn h48_a_heartbeat_brings_a_connection_to_the_address_in_it() {
    let farm = farm();
    let a = farm.node("A").start();
    let group = farm.join_group();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
    let mut heartbeat = next_heartbeat(&group, &farm, "A");
    let incarnation = heartbeat.incarnation;
    heartbeat.name = "newcomer".to_owned();
    heartbeat.incarnation = catherd_core::version::Incarnation::from_bits(7);
    heartbeat.address = listener
        .local_addr()
        .expect("a bound socket has an address");
    heartbeat.heard.clear();
    group
        .send_to(&heartbeat.to_datagram(None), farm.group())
        .expect("loopback takes datagrams");
    let message = first_message(&listener);
    let catherd_core::message::Message::Hello(hello) = message else {
        panic!("no hello: {message:?}")
    };
    assert_eq!((hello.name.as_str(), hello.incarnation), ("A", incarnation));
    assert_eq!(hello.address.port(), a.tcp_port());
    // A heartbeat alone makes nobody a member: it takes a hello in both directions.
    wait::until_true("A has nobody in its view", || a.members().is_empty());
}

/// HOW-TO, "Distributed locking": "the last request will override the other sessions in the
/// cluster". Here each attribute merges, and nothing is locked.
#[test]
fn h50_simultaneous_requests_override_each_other_by_attribute_and_all_nodes_agree() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.session(&a);
    std::thread::scope(|scope| {
        for node in [&a, &b] {
            let mut client = client.clone();
            scope.spawn(move || {
                for round in 0..20 {
                    client.set(node, "both", &json!([node.name(), round]));
                    client.set(node, node.name(), &json!(round));
                }
            });
        }
    });
    a.wait_until_equal(&b, "/examples");
    let (on_a, on_b) = (client.clone().session(&a), client.session(&b));
    assert_eq!(on_a.json()["attributes"], on_b.json()["attributes"]);
    assert_eq!(
        (on_a.attribute("A"), on_a.attribute("B")),
        (json!(19), json!(19))
    );
    assert_eq!(
        on_a.attribute("both")[1],
        json!(19),
        "the last of one of them"
    );
}
