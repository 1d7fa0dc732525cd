//! The story of TomcatA and TomcatB in each mode: a crash, a takeover, a return, a logout.

use catherd_testkit::{Client, Node};
use serde_json::{Value, json};

use crate::{MODES, Mode, farm, in_modes, pair};

const FEW: usize = 50;
const WITHOUT: &str = "/examples/session?create=false";

/// HOW-TO, "How it Works", 4 to 8.
#[test]
fn h36_to_h41_the_story_of_a_crash_a_return_and_a_logout_in_every_mode() {
    in_modes(&MODES, |mode| {
        let farm = farm();
        let (mut a, b) = pair(&farm, mode, |node| node);
        let mut client = Client::new();
        client.set(&a, "user", &json!("Ada"));
        for number in 0..FEW {
            Client::new().set(&a, "number", &json!(number));
        }
        // An asynchronous mode promises it for soon.
        if !mode.is_synchronous() {
            a.wait_until_equal(&b, "/examples");
        }

        a.kill();
        b.wait_for_members(&[]);
        let key = client.key();
        let taken_over = client.session(&b);
        assert_eq!(taken_over.attribute("user"), json!("Ada"), "{mode:?}");
        // What A had queued cannot be known where nobody waited for it.
        let flag = if mode.is_synchronous() {
            ""
        } else {
            "takeover"
        };
        assert_eq!(taken_over.degraded(), flag, "{mode:?}");
        assert_eq!((client.key(), client.route()), (key, "B".to_owned()));
        let alone = client.set(&b, "user", &json!("Grace"));
        let flag = if mode.is_synchronous() {
            "durability"
        } else {
            ""
        };
        assert_eq!(alone.degraded(), flag, "{mode:?}");
        let mut made_meanwhile = Client::new();
        made_meanwhile.set(&b, "user", &json!("Edsger"));

        a.spawn_again();
        assert_whole_at_once(&a.first_status(), &b, mode);
        b.wait_for_members(&["A"]);
        let back = client.session(&a);
        assert_eq!(back.attribute("user"), json!("Grace"), "{mode:?}");
        assert_eq!(back.degraded(), "", "{mode:?}");
        let meanwhile = made_meanwhile.session(&a);
        assert_eq!(meanwhile.attribute("user"), json!("Edsger"), "{mode:?}");

        // A logout is no asynchronous matter: the node may die right behind its answer.
        let mut late = client.clone();
        assert_eq!(client.invalidate(&a).degraded(), "", "{mode:?}");
        a.kill();
        assert_eq!(late.get(&b, WITHOUT).status(), 404, "{mode:?}");
        b.wait_for_members(&[]);
        a.start_again();
        for node in [&a, &b] {
            assert_eq!(late.clone().get(node, WITHOUT).status(), 404, "{mode:?}");
            let sessions = &node.context("/examples")["sessions"];
            assert_eq!(*sessions, json!(FEW + 1), "{mode:?}");
        }
        let again = late.session(&b);
        assert_eq!(again.json()["isNew"], json!(true), "{mode:?}");
        assert_eq!(again.attribute("user"), Value::Null, "{mode:?}");
    });
}

fn assert_whole_at_once(first: &Value, other: &Node, mode: Mode) {
    let contexts = first["contexts"].as_array().expect("a list");
    let examples = contexts.iter().find(|it| it["name"] == "/examples");
    let examples = examples.expect("the context is there");
    assert_eq!(examples["digest"], other.digest("/examples"), "{mode:?}");
    assert_eq!(examples["sessions"], json!(FEW + 2), "{mode:?}");
}
