//! HOW-TO, "Overview".

use catherd_testkit::{Client, Site as _};
use serde_json::json;

use crate::farm;

/// HOW-TO, "Overview": "Using in-memory-replication, using the SimpleTcpCluster".
#[test]
fn h14_replication_is_in_memory_and_leaves_no_file() {
    let farm = farm();
    let (a, b) = farm.pair();
    Client::new().set(&a, "user", &json!("in memory only"));
    assert_eq!(b.context("/examples")["sessions"], 1);
    for name in ["A", "B"] {
        let mut directories = vec![farm.directory().join(name)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("the base can be listed") {
                let path = entry.expect("the base can be listed").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let bytes = std::fs::read(&path).expect("files of the base can be read");
                    let text = String::from_utf8_lossy(&bytes);
                    assert!(!text.contains("in memory only"), "{}", path.display());
                }
            }
        }
    }
}

/// HOW-TO, "Overview": "an all-to-all replication of session state".
#[test]
fn h15_every_node_holds_every_session() {
    let farm = farm();
    let nodes = ["A", "B", "C"].map(|name| farm.node(name).start());
    nodes[0].wait_for_members(&["B", "C"]);
    nodes[1].wait_for_members(&["A", "C"]);
    nodes[2].wait_for_members(&["A", "B"]);
    for node in &nodes {
        Client::new().set(node, "made-on", &json!(node.name()));
    }
    let digest = nodes[0].digest("/examples");
    for node in &nodes {
        assert_eq!(node.context("/examples")["sessions"], 3);
        assert_eq!(node.digest("/examples"), digest);
    }
}
