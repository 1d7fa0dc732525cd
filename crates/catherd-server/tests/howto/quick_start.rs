//! HOW-TO, "Quick Start".

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use catherd_testkit::{Balancer, Client, Farm, Site as _, debian, wait};
use serde_json::json;

use crate::farm;

/// HOW-TO, "Quick Start": the `Cluster` element.
#[test]
fn h2_clustering_is_switched_on_by_the_cluster_element() {
    let farm = farm();
    let (a, b) = farm.pair();
    let c = farm.node("C").without_cluster().start();
    let mut client = Client::new();
    client.set(&c, "user", &json!("Ada"));
    assert_eq!(c.context("/examples")["replicated"], json!(false));
    assert_eq!(c.status()["members"], json!([]));
    assert_eq!(a.members(), ["B"]);
    assert_eq!(b.context("/examples")["sessions"], 0);
    assert_eq!(b.context("/examples")["replicated"], json!(true));
}

/// HOW-TO, "Quick Start": the `ReplicationValve` element.
///
/// A distributable context replicates without it, too: there is no use for one that does not. That
/// it is missing is said.
#[test]
fn h3_replication_needs_no_valve_and_its_absence_is_a_warning() {
    let farm = farm();
    let with = farm.node("A");
    assert!(
        !with.check().stderr.contains("ReplicationValve"),
        "{:?}",
        with.check()
    );
    let without = farm.node("B").without_valve();
    let checked = without.check();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("ReplicationValve"), "{checked:?}");

    let (a, b) = (with.start(), without.start());
    a.wait_for_members(&["B"]);
    assert!(b.log().contains("ReplicationValve"), "{}", b.log());
    Client::new().set(&b, "user", &json!("Ada"));
    assert_eq!(a.context("/examples")["sessions"], 1);
}

/// HOW-TO, "Quick Start": `tcpListenPort` is unique for each instance on a machine.
#[test]
fn h4_instances_differ_in_tcp_listen_port_and_a_taken_one_is_a_clear_error() {
    let farm = farm();
    let a = farm.node("A").start();
    let second = farm.node("B").receiver_port(a.tcp_port());
    let finished = second.run_to_end("run");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let says = ["tcpListenPort", &a.tcp_port().to_string()];
    assert!(
        says.iter().all(|part| finished.stderr.contains(part)),
        "{finished:?}"
    );
    let different = farm.node("B").start();
    different.wait_for_members(&["A"]);
}

/// With `tcpListenMaxPort` it need not be written: each instance takes the next one that is free,
/// and tells the others.
#[test]
fn h4_a_taken_port_is_passed_over_up_to_tcp_listen_max_port() {
    let farm = farm();
    let b = farm.node("B");
    let (first, last) = (b.tcp_port(), b.tcp_port() + 20);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it is reserved for B");
    let a = farm.node("A").start();
    let b = b
        .receiver_attributes(&format!(r#"tcpListenMaxPort="{last}""#))
        .start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let address = a.status()["members"][0]["address"].clone();
    let address: SocketAddr = address.as_str().expect("text").parse().expect("an address");
    assert!((first + 1..=last).contains(&address.port()), "{address}");
    let mut client = Client::new();
    assert_eq!(client.set(&a, "user", &json!("Ada")).degraded(), "");
    assert_eq!(client.session(&b).attribute("user"), json!("Ada"));
    drop(taken);

    // None is left: that is said, with all that were tried.
    let c = farm.node("C").receiver_port(address.port());
    let taken = format!(r#"tcpListenMaxPort="{}""#, address.port());
    let finished = c.receiver_attributes(&taken).run_to_end("run");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("tcpListenPort"), "{finished:?}");
}

/// HOW-TO, "Quick Start": `<distributable/>` in `web.xml`.
#[test]
fn h5_distributable_in_web_xml_makes_a_context_replicate() {
    let farm = farm();
    let node = |name: &str| {
        farm.node(name)
            .without_context("/examples")
            .file(
                "webapps/examples/WEB-INF/web.xml",
                "<web-app><distributable/></web-app>",
            )
            .start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    Client::new().set(&a, "user", &json!("Ada"));
    assert_eq!(b.context("/examples")["sessions"], 1);
}

/// HOW-TO, "Quick Start": `<Context distributable="true"/>`.
#[test]
fn h6_distributable_on_context_does_the_same() {
    let farm = farm();
    let (a, b) = farm.pair();
    Client::new().set(&a, "user", &json!("Ada"));
    assert_eq!(b.context("/examples")["sessions"], 1);
}

/// HOW-TO, "Quick Start": what is needed "to run session replication".
#[test]
fn h7_a_context_without_either_is_local() {
    let farm = farm();
    let a = farm.node("A").undecided("/examples").start();
    let b = farm.node("B").undecided("/examples").start();
    a.wait_for_members(&["B"]);
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    // Something replicated behind it: when that is there, the other would be, too.
    Client::new().get(&a, "/bench/session?size=1");
    assert_eq!(b.context("/bench")["sessions"], 1);
    assert_eq!(b.context("/examples")["sessions"], 0);
    assert_eq!(a.context("/examples")["replicated"], json!(false));
}

/// HOW-TO, "Quick Start": `<Engine name="Catalina" jvmRoute="node01">`.
#[test]
fn h8_jvm_route_names_the_node_and_ends_the_session_id() {
    let farm = farm();
    let node = farm.node("node01").start();
    let mut client = Client::new();
    let session = client.session(&node);
    assert_eq!(node.status()["node"], "node01");
    assert_eq!(session.json()["node"], "node01");
    let cookie = session.cookie().expect("a new session gives a cookie");
    assert_eq!(cookie, format!("{}.node01", client.key()));
}

/// HOW-TO, "Quick Start": "Make sure that your loadbalancer is configured for sticky session mode."
#[test]
fn h10_sessions_stick_behind_haproxy_and_survive_their_node() {
    debian::install(&["haproxy"]);
    let farm = farm();
    let config = include_str!("../../../../docs/balancer/haproxy.cfg");
    sticks_and_survives(&farm, |nodes| {
        farm.balancer("/usr/sbin/haproxy", &["-db", "-f", "CONFIG"], |port| {
            on_ports(config, port, nodes)
        })
    });
}

/// HOW-TO, "Quick Start": "Load balancing can be achieved through many techniques".
#[test]
fn h10_sessions_stick_behind_nginx_and_survive_their_node() {
    debian::install(&["nginx-light"]);
    let farm = farm();
    let config = include_str!("../../../../docs/balancer/nginx.conf");
    let prefix = farm
        .directory()
        .to_str()
        .expect("temporary paths are UTF-8")
        .to_owned();
    sticks_and_survives(&farm, |nodes| {
        let arguments = ["-e", "stderr", "-p", &prefix, "-c", "CONFIG"];
        farm.balancer("/usr/sbin/nginx", &arguments, |port| {
            on_ports(config, port, nodes)
        })
    });
}

/// The balancer's documented configuration, on the ports of this test.
fn on_ports(config: &str, port: u16, nodes: [u16; 2]) -> String {
    let moved = [(":80\n", port, "\n"), (":80;", port, ";")]
        .iter()
        .fold(config.to_owned(), |config, (from, to, end)| {
            config.replace(from, &format!(":{to}{end}"))
        });
    let [first, second] = nodes;
    moved
        .replace(":8080", &format!(":{first}"))
        .replace(":8081", &format!(":{second}"))
}

fn sticks_and_survives(farm: &Farm, start: impl FnOnce([u16; 2]) -> Balancer) {
    let nodes = [farm.node("node01").start(), farm.node("node02").start()];
    nodes[0].wait_for_members(&["node02"]);
    nodes[1].wait_for_members(&["node01"]);
    let balancer = start([nodes[0].http_port(), nodes[1].http_port()]);
    wait::until_true("the balancer serves", || {
        let answer = Client::new().try_get(&balancer, "/catherd/health/live");
        answer.is_ok_and(|answer| answer.status() == 200)
    });

    let mut clients: Vec<Client> = (0..4).map(|_| Client::new()).collect();
    for client in &mut clients {
        client.set(&balancer, "user", &json!("Ada"));
        let home = client.route();
        for visit in 1..=5 {
            assert_eq!(client.increment(&balancer, "visits"), visit);
            assert_eq!(client.session(&balancer).json()["node"], json!(home));
        }
    }
    let [first, second] = nodes;
    first.kill();
    for client in &mut clients {
        let (key, route) = (client.key(), client.route());
        let session = client.session(&balancer);
        assert_eq!(
            session.json()["node"],
            "node02",
            "its session was on {route}"
        );
        assert_eq!(session.attribute("user"), json!("Ada"));
        assert_eq!(session.attribute("visits"), json!(5));
        assert_eq!((client.key(), client.route()), (key, "node02".to_owned()));
        assert_eq!(client.increment(&balancer, "visits"), 6);
    }
    drop(second);
}

/// HOW-TO, "Quick Start": "your session state is tracked by a cookie, so your URL must look the
/// same from the out side otherwise, a new session will be created".
#[test]
fn h11_the_cookie_is_for_its_context_and_another_path_has_another_session() {
    let farm = farm();
    let node = farm.node("A").start();
    let mut client = Client::new();
    let answer = client.session(&node);
    let header = answer
        .header("set-cookie")
        .expect("a new session gives a cookie")
        .to_owned();
    assert!(header.starts_with("JSESSIONID="), "{header}");
    assert!(
        header.split("; ").any(|part| part == "Path=/examples"),
        "{header}"
    );
    // A browser does not send that cookie to another path. Even if it did:
    let elsewhere = client.get(&node, "/bench/read");
    assert_eq!(elsewhere.line(), "none");
    let mut nobody = Client::new();
    assert_eq!(nobody.session(&node).json()["isNew"], json!(true));
    assert_ne!(nobody.key(), answer.json()["id"].as_str().expect("text"));
}
