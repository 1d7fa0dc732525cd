//! What tools rely on: the applications `/examples` and `/bench`, health, status, the commands.
//!
//! docs/contract.md has the same as a table.
#![forbid(unsafe_code)]

use catherd_testkit::{Client, Farm, Node, Site as _};
use serde_json::{Value, json};

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

fn node(farm: &Farm) -> Node {
    farm.node("node01").start()
}

fn assert_is_key(key: &str) {
    assert_eq!(key.len(), 32, "{key}");
    assert!(key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
}

#[test]
fn a_session_is_made_by_get_and_has_all_its_fields() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    let none = client.get(&node, "/examples/session?create=false");
    assert_eq!(none.status(), 404);
    assert_eq!(none.cookie(), None);

    let answer = client.session(&node);
    assert!(
        answer
            .header("content-type")
            .expect("it has a type")
            .starts_with("application/json")
    );
    let session = answer.json();
    let mut fields: Vec<&String> = session.as_object().expect("an object").keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "attributes",
            "created",
            "id",
            "isNew",
            "lastAccessed",
            "maxInactiveInterval",
            "node"
        ]
    );
    assert_is_key(session["id"].as_str().expect("the id is text"));
    assert_eq!(session["id"], json!(client.key()));
    assert_eq!(client.route(), "node01");
    assert_eq!(session["node"], "node01");
    assert_eq!(session["isNew"], true);
    assert_eq!(session["attributes"], json!({}));
    assert_eq!(
        session["maxInactiveInterval"], 1800,
        "Tomcat's default of 30 minutes"
    );

    let again = client.session(&node).json();
    assert_eq!(again["isNew"], false);
    assert_eq!(
        (&again["id"], &again["created"]),
        (&session["id"], &session["created"])
    );
}

#[test]
fn attributes_are_set_replaced_and_removed() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    let set = client.set(&node, "user", &json!({"name": "Ada", "roles": ["admin"]}));
    assert_eq!(
        set.attribute("user"),
        json!({"name": "Ada", "roles": ["admin"]})
    );
    assert_eq!(
        set.json()["id"],
        json!(client.key()),
        "PUT makes a session if there is none"
    );
    assert_eq!(
        client.set(&node, "user", &json!("Grace")).attribute("user"),
        json!("Grace")
    );
    client.set(&node, "other", &Value::Null);
    client.remove(&node, "user");
    let session = client.session(&node).json();
    let names: Vec<&String> = session["attributes"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(names, ["other"]);
    assert_eq!(session["attributes"]["other"], Value::Null);
}

#[test]
fn increment_starts_at_zero_and_counts() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    let sums: Vec<u64> = (0..3).map(|_| client.increment(&node, "visits")).collect();
    assert_eq!(sums, [1, 2, 3]);
    assert_eq!(client.session(&node).attribute("visits"), json!(3));
    client.set(&node, "visits", &json!(41));
    assert_eq!(client.increment(&node, "visits"), 42);
}

#[test]
fn the_idle_limit_is_a_number_of_seconds() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    client.session(&node);
    let path = "/examples/session/max-inactive-interval";
    let answer = client.send(&node, "PUT", path, Some("90"));
    assert!([200, 204].contains(&answer.status()), "{answer:?}");
    assert_eq!(client.session(&node).json()["maxInactiveInterval"], 90);
    let answer = client.send(&node, "PUT", path, Some("\"soon\""));
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert_eq!(client.session(&node).json()["maxInactiveInterval"], 90);
}

#[test]
fn a_change_of_id_keeps_the_content() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    let nobody = client.send(&node, "POST", "/examples/session/change-id", None);
    assert_eq!(nobody.status(), 404);
    client.set(&node, "user", &json!("Ada"));
    let old = client.clone();
    let changed = client.change_id(&node);
    assert_is_key(&client.key());
    assert_ne!(client.key(), old.key());
    assert_eq!(changed.json()["id"], json!(client.key()));
    assert_eq!(changed.attribute("user"), json!("Ada"));
    assert_eq!(client.session(&node).attribute("user"), json!("Ada"));
    assert_eq!(
        old.clone()
            .get(&node, "/examples/session?create=false")
            .status(),
        404
    );
}

#[test]
fn an_ended_session_is_gone_for_its_cookie() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    assert_eq!(
        client
            .send(&node, "DELETE", "/examples/session", None)
            .status(),
        404
    );
    client.set(&node, "user", &json!("Ada"));
    let mut old = client.clone();
    client.invalidate(&node);
    assert_eq!(
        old.clone()
            .get(&node, "/examples/session?create=false")
            .status(),
        404
    );
    assert_eq!(
        old.clone()
            .send(&node, "DELETE", "/examples/session", None)
            .status(),
        404
    );
    let key = old.key();
    assert_eq!(
        old.increment(&node, "visits"),
        1,
        "increment makes a new session"
    );
    assert_ne!(old.key(), key);
}

#[test]
fn of_several_session_cookies_the_first_live_one_counts() {
    let farm = farm();
    let node = node(&farm);
    let (mut first, mut second) = (Client::new(), Client::new());
    first.set(&node, "user", &json!("first"));
    second.set(&node, "user", &json!("second"));
    let dead = "00000000000000000000000000000001.node01";
    let cookie = |client: &Client| client.cookie().expect("it has a session").to_owned();
    let (first, second) = (cookie(&first), cookie(&second));
    for (cookies, expected) in [
        (format!("JSESSIONID={first}; JSESSIONID={second}"), "first"),
        (
            format!("JSESSIONID={second}; other=1; JSESSIONID={first}"),
            "second",
        ),
        (
            format!("JSESSIONID={dead}; JSESSIONID=nonsense; JSESSIONID={second}"),
            "second",
        ),
    ] {
        let mut client = Client::new().with_header("cookie", &cookies);
        assert_eq!(
            client.session(&node).attribute("user"),
            json!(expected),
            "{cookies}"
        );
    }
}

#[test]
fn a_browser_gets_a_page() {
    let farm = farm();
    let node = node(&farm);
    let mut browser = Client::new().with_header("accept", "text/html,application/xhtml+xml");
    let mut page = browser.get(&node, "/examples/");
    if let Some(location) = page.header("location").map(str::to_owned) {
        page = browser.get(&node, &location);
    }
    assert_eq!(page.status(), 200, "{page:?}");
    assert!(
        page.header("content-type")
            .expect("it has a type")
            .starts_with("text/html")
    );
    assert!(
        page.text().contains("<form"),
        "a person can change the session: {}",
        page.text()
    );
}

#[test]
fn bench_counts_and_carries_a_payload() {
    let farm = farm();
    let node = node(&farm);
    let mut client = Client::new();
    let text = |path: &str, client: &mut Client| {
        let answer = client.get(&node, path).expect_status(200);
        let kind = answer
            .header("content-type")
            .expect("it has a type")
            .to_owned();
        assert!(kind.starts_with("text/plain"), "{kind}");
        answer.line().to_owned()
    };
    assert_eq!(text("/bench/plain", &mut client), "hello");
    assert_eq!(text("/bench/read", &mut client), "none");
    assert_eq!(client.cookie(), None, "neither makes a session");
    assert_eq!(
        text("/bench/session?size=1000", &mut client),
        "counter=1 size=1000"
    );
    assert_eq!(
        text("/bench/session?size=10", &mut client),
        "counter=2 size=10"
    );
    assert_eq!(text("/bench/read", &mut client), "counter=2 size=10");
    assert_eq!(text("/bench/read", &mut client), "counter=2 size=10");
    assert_is_key(&client.key());
    assert_eq!(
        text("/bench/session?size=0", &mut client),
        "counter=3 size=0"
    );
}

#[test]
fn the_applications_are_served_only_where_they_are_asked_for() {
    let farm = farm();
    let node = farm.node("node01").without_context("/examples").start();
    assert_eq!(node.get("/examples/session").status(), 404);
    assert_eq!(node.get("/bench/plain").status(), 200);
    // A directory of its name with nothing but WEB-INF asks for it, too.
    let node = farm
        .node("node02")
        .without_context("/examples")
        .file(
            "webapps/examples/WEB-INF/web.xml",
            "<web-app><distributable/></web-app>",
        )
        .start();
    assert_eq!(node.get("/examples/session").status(), 200);
}

#[test]
fn health_is_on_every_server() {
    let farm = farm();
    let node = node(&farm);
    for path in ["/catherd/health/live", "/catherd/health/ready"] {
        let answer = node.get(path);
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(answer.json().is_object(), "{answer:?}");
    }
    assert_eq!(node.get("/catherd/health/other").status(), 404);
}

#[test]
fn status_names_the_node_its_members_and_its_contexts() {
    let farm = farm();
    let (a, b) = farm.pair();
    let status = a.status();
    assert_eq!(status["node"], "A");
    assert_eq!(status["members"][0]["name"], b.name());
    assert_eq!(status["members"][0]["state"], "ready");
    assert_eq!(a.context("/examples")["sessions"], 0);

    let command = farm.run(&["status", "--url", &a.url(""), "--json"]);
    assert_eq!(command.code, Some(0), "{command:?}");
    let printed: Value = serde_json::from_str(&command.stdout).expect("it prints JSON");
    assert_eq!(
        (&printed["node"], &printed["members"][0]["name"]),
        (&json!("A"), &json!("B"))
    );

    let command = farm.run(&["status", "--url", &a.url("")]);
    assert_eq!(command.code, Some(0), "{command:?}");
    for word in ["A", "B", "ready", "/examples"] {
        assert!(
            command.stdout.contains(word),
            "no {word} in {}",
            command.stdout
        );
    }
}

#[test]
fn status_of_a_node_that_is_not_there_is_an_error() {
    let farm = farm();
    let port = farm.node("nobody").http_port();
    let command = farm.run(&["status", "--url", &format!("http://127.0.0.1:{port}")]);
    assert_eq!(command.code, Some(1), "{command:?}");
    assert!(command.stderr.contains(&port.to_string()), "{command:?}");
}

#[test]
fn check_is_content_with_a_good_configuration_and_with_none() {
    let farm = farm();
    let good = farm.node("node01").check();
    assert_eq!(good.code, Some(0), "{good:?}");
    let empty = tempfile::TempDir::new().expect("temporary files can be made");
    let base = empty.path().to_str().expect("temporary paths are UTF-8");
    let none = farm.run(&["check", "--base", base]);
    assert_eq!(
        none.code,
        Some(0),
        "an empty directory is a valid installation: {none:?}"
    );
}

#[test]
fn check_names_file_line_and_column_of_everything_that_is_wrong() {
    let farm = farm();
    let wrong = r#"<Server port="-1">
  <Service name="Catalina">
    <Connector port="80x80"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="node01" colour="red">
      <Host name="localhost" appBase="webapps"/>
    </Engine>
    <Enjine/>
  </Service>
</Server>"#;
    let node = farm.node("node01").server_xml(wrong);
    for command in ["check", "run"] {
        let finished = node.run_to_end(command);
        assert_eq!(finished.code, Some(1), "{command}: {finished:?}");
        for place in ["server.xml:3:", "server.xml:4:", "server.xml:7:"] {
            assert!(
                finished.stderr.contains(place),
                "{command}: no {place} in {finished:?}"
            );
        }
    }
}

#[test]
fn the_configuration_in_the_readme_is_a_good_one() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme
        .split_once("```xml\n")
        .expect("the README has a server.xml");
    let (xml, _) = rest.split_once("```").expect("it ends");
    let checked = farm().node("node01").server_xml(xml).check();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.stderr, "", "and nothing in it is without effect");
}
