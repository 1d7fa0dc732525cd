//! Configurations with which a node does not start: everything wrong is said at once, with its
//! place and a remedy, before any port opens.
#![forbid(unsafe_code)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use catherd_testkit::{Farm, Finished, NodeBuilder};

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

/// Both commands refuse it with code 1, and say all of these.
fn assert_refused(node: &NodeBuilder, says: &[&str]) {
    for command in ["check", "run"] {
        assert_says(&node.run_to_end(command), says);
    }
}

fn assert_says(finished: &Finished, says: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for part in says {
        assert!(
            finished.stderr.contains(part),
            "no {part:?} in:\n{}",
            finished.stderr
        );
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

#[test]
fn a_file_that_is_no_xml_is_refused_with_its_place() {
    let farm = farm();
    let node = farm
        .node("A")
        .server_xml("<Server port=\"-1\">\n  <Service name=\"Catalina\">\n");
    assert_refused(&node, &["server.xml:"]);
    let node = farm
        .node("A")
        .server_xml("<Server>\n  <Service name=Catalina/>\n</Server>");
    assert_refused(&node, &["server.xml:2:"]);
    let node = farm.node("A").server_xml("");
    assert_refused(&node, &["server.xml:1:1"]);
}

#[test]
fn another_root_than_server_is_refused() {
    let farm = farm();
    assert_refused(
        &farm.node("A").server_xml("<Engine/>"),
        &["server.xml:1:", "Server"],
    );
}

#[test]
fn entities_are_refused_and_a_doctype_is_skipped() {
    let farm = farm();
    let bomb = r#"<!DOCTYPE Server [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<Server port="-1"><Service name="&b;"/></Server>"#;
    assert_refused(&farm.node("A").server_xml(bomb), &["server.xml:1:"]);
    let with_doctype = r#"<!DOCTYPE Server SYSTEM "http://127.0.0.1:9/server.dtd">
<Server port="-1"><Service name="Catalina">
<Engine name="Catalina" defaultHost="localhost" jvmRoute="A"><Host name="localhost"/></Engine>
</Service></Server>"#;
    let finished = farm.node("A").server_xml(with_doctype).check();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let farm = farm();
    // A directory in its place: even root cannot read that.
    let node = farm.node("A");
    fs::create_dir_all(node.base().join("conf/server.xml")).expect("the farm is writable");
    let base = node.base().to_str().expect("temporary paths are UTF-8");
    for command in ["check", "run"] {
        assert_says(&farm.run(&[command, "--base", base]), &["conf/server.xml"]);
    }
}

#[test]
fn a_base_that_is_not_there_is_named() {
    let farm = farm();
    let nowhere = farm.directory().join("nowhere");
    let nowhere = nowhere.to_str().expect("temporary paths are UTF-8");
    for command in ["check", "run"] {
        assert_says(&farm.run(&[command, "--base", nowhere]), &[nowhere]);
    }
}

#[test]
fn what_is_unknown_or_out_of_range_is_listed_all_at_once() {
    let farm = farm();
    let node = farm
        .node("A")
        .cluster_attributes("colour=\"red\"")
        .sender_attributes("ackTimeout=\"soon\"")
        .manager_attributes("/examples", "maxSessionBytes=\"-7\"")
        .host_elements("<Contekst path=\"/x\"/>");
    assert_refused(
        &node,
        &[
            "colour",
            "ackTimeout",
            "soon",
            "maxSessionBytes",
            "Contekst",
        ],
    );
    let places = node
        .check()
        .stderr
        .lines()
        .filter(|line| line.contains("server.xml:"))
        .count();
    assert!(places >= 4, "each with its place:\n{}", node.check().stderr);
}

#[test]
fn a_replication_mode_that_is_none_is_refused_with_those_there_are() {
    let farm = farm();
    let node = farm.node("A").replication_mode("sideways");
    assert_refused(&node, &["sideways", "synchronous", "server.xml:"]);
}

#[test]
fn a_manager_class_that_is_none_is_refused() {
    let farm = farm();
    let text = r#"<Server port="-1"><Service name="Catalina">
<Engine name="Catalina" defaultHost="localhost" jvmRoute="A"><Host name="localhost">
<Cluster className="org.apache.catalina.cluster.tcp.SimpleTcpCluster"
         managerClassName="org.example.NoManager"/>
</Host></Engine></Service></Server>"#;
    assert_refused(
        &farm.node("A").server_xml(text),
        &["NoManager", "server.xml:"],
    );
}

#[test]
fn a_route_that_no_cookie_can_carry_is_refused() {
    let farm = farm();
    assert_refused(&farm.node("A.B;C"), &["jvmRoute", "server.xml:"]);
}

#[test]
fn a_web_xml_that_is_no_xml_is_refused_with_its_place() {
    let farm = farm();
    let node = farm.node("A").without_context("/examples").file(
        "webapps/examples/WEB-INF/web.xml",
        "<web-app>\n<distributable>\n</web-app>",
    );
    assert_refused(&node, &["web.xml:3:"]);
}

#[test]
fn an_http_port_in_use_is_named() {
    let farm = farm();
    let node = farm.node("A");
    let port = node.http_port();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is reserved for A");
    let finished = node.run_to_end("run");
    assert_says(&finished, &[&port.to_string(), "in use", "server.xml:"]);
}

#[test]
fn a_receiver_port_in_use_is_named() {
    let farm = farm();
    let node = farm.node("A");
    let port = node.tcp_port();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is reserved for A");
    assert_says(
        &node.run_to_end("run"),
        &[&port.to_string(), "in use", "tcpListenPort"],
    );
}

/// This release has no encryption between nodes.
#[test]
fn a_node_does_not_talk_beyond_loopback_in_the_clear_unless_told_to() {
    let farm = farm();
    let text = r#"<Server port="-1"><Service name="Catalina">
<Engine name="Catalina" defaultHost="localhost" jvmRoute="A"><Host name="localhost">
<Cluster className="org.apache.catalina.cluster.tcp.SimpleTcpCluster">
  <Receiver className="org.apache.catalina.cluster.tcp.ReplicationListener"
            tcpListenAddress="203.0.113.7" tcpListenPort="4001"/>
  <Sender className="org.apache.catalina.cluster.tcp.ReplicationTransmitter"
          replicationMode="synchronous"/>
</Cluster>
</Host></Engine></Service></Server>"#;
    assert_refused(
        &farm.node("A").server_xml(text),
        &["allowPlaintext", "server.xml:"],
    );
}
