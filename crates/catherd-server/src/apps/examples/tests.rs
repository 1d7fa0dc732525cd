//! The contract that tools rely on, row by row, and what is not in it.

use catherd::{Cluster, Manager};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::Examples;
use crate::engine::{Application, mount};
use crate::http::Body;

/// A client with a cookie jar, and the application on a node without a cluster.
struct Client {
    application: Box<dyn Application>,
    cookie: Option<String>,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Client {
    fn new() -> Self {
        Self::with(Manager::standard())
    }

    fn with(manager: Manager) -> Self {
        let cluster = Cluster::builder()
            .node_name("node01")
            .start_local()
            .unwrap();
        let context = cluster
            .context("/examples")
            .manager(manager)
            .build()
            .unwrap();
        let router = Examples::new(cluster, true).router();
        let application = mount(tower::Layer::layer(&context.layer(), router));
        Self {
            application,
            cookie: None,
        }
    }

    async fn send(&mut self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        let request = match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        };
        let request = request
            .header(header::HOST, "localhost:8080")
            .body(body.into())
            .unwrap();
        let response: Response<Body> = self.application.answer(request).await;
        let (head, body) = response.into_parts();
        if let Some(set) = head.headers.get(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            let pair = set.split(';').next().unwrap().to_owned();
            self.cookie = if set.contains("Max-Age=0") {
                None
            } else {
                Some(pair)
            };
        }
        let text = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(text.to_vec()).unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), "").await
    }

    async fn put(&mut self, path: &str, body: &str) -> Answer {
        self.send(Request::put(path), body.to_owned()).await
    }

    async fn post(&mut self, path: &str) -> Answer {
        self.send(Request::post(path), "").await
    }

    async fn delete(&mut self, path: &str) -> Answer {
        self.send(Request::delete(path), "").await
    }

    async fn page(&mut self) -> Answer {
        self.send(
            Request::get("/examples").header(header::ACCEPT, "text/html"),
            "",
        )
        .await
    }

    async fn submit(&mut self, path: &str, form: &str) -> Answer {
        let kind = "application/x-www-form-urlencoded";
        let request = Request::post(path).header(header::CONTENT_TYPE, kind);
        let request = request.header(header::ACCEPT, "text/html");
        self.send(
            request.header("sec-fetch-site", "same-origin"),
            form.to_owned(),
        )
        .await
    }
}

const SESSION: &str = "/examples/session";
const IDLE: &str = "/examples/session/max-inactive-interval";

#[tokio::test]
async fn a_get_makes_a_session_and_shows_it() {
    let mut client = Client::new();
    let answer = client.get(SESSION).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    let session = answer.json();
    let names: Vec<_> = session
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
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
    let id = session["id"].as_str().unwrap();
    assert_eq!(
        client.cookie.as_deref(),
        Some(format!("JSESSIONID={id}.node01").as_str())
    );
    assert_eq!(id.len(), 32);
    assert_eq!(session["node"], "node01");
    assert_eq!(session["isNew"], true);
    assert_eq!(session["maxInactiveInterval"], 1800);
    assert_eq!(session["attributes"], json!({}));
    let year_2020_millis = 1_577_836_800_000;
    assert!(session["created"].as_u64().unwrap() > year_2020_millis);
    assert!(session["lastAccessed"].as_u64().unwrap() > year_2020_millis);
    let again = client.get(SESSION).await.json();
    assert_eq!(
        (&again["id"], &again["isNew"]),
        (&session["id"], &json!(false))
    );
}

#[tokio::test]
async fn a_get_without_create_shows_only_what_is_there() {
    let mut client = Client::new();
    let nothing = client.get("/examples/session?create=false").await;
    assert_eq!((nothing.status, client.cookie.as_ref()), (404, None));
    assert_eq!(nothing.json(), json!({"error": "there is no session"}));
    client.get("/examples/session?create=true").await;
    assert_eq!(
        client.get("/examples/session?create=false").await.status,
        200
    );
    assert_eq!(
        client.get("/examples/session?create=perhaps").await.status,
        400
    );
}

#[tokio::test]
async fn every_json_value_is_set_and_shown() {
    let mut client = Client::new();
    let values = [
        json!("text with \u{0} and ä"),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(1.5),
        json!(true),
        json!(null),
        json!([1, "2", [3]]),
        json!({"a": {"b": []}}),
    ];
    for (number, value) in values.iter().enumerate() {
        let path = format!("/examples/session/attributes/a{number}");
        let answer = client.put(&path, &value.to_string()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["attributes"][format!("a{number}")], *value);
    }
    let shown = client.get(SESSION).await.json();
    assert_eq!(shown["attributes"].as_object().unwrap().len(), values.len());
}

#[tokio::test]
async fn names_are_decoded_once() {
    let mut client = Client::new();
    let shown = client
        .put("/examples/session/attributes/a%20b%2541%C3%A4;c", "1")
        .await
        .json();
    assert_eq!(shown["attributes"], json!({"a b%41ä;c": 1}));
    assert_eq!(
        client
            .put("/examples/session/attributes/%ff", "1")
            .await
            .status,
        400
    );
    assert_eq!(
        client
            .put("/examples/session/attributes/", "1")
            .await
            .status,
        404
    );
    assert_eq!(
        client
            .put("/examples/session/attributes/a/b", "1")
            .await
            .status,
        404
    );
    let long = format!("/examples/session/attributes/{}", "a".repeat(1025));
    assert_eq!(client.put(&long, "1").await.status, 400);
}

#[tokio::test]
async fn a_body_that_is_not_json_changes_nothing() {
    let mut client = Client::new();
    for body in [
        "",
        "text",
        "{",
        "1 2",
        "'a'",
        "NaN",
        "\u{0}",
        &"[".repeat(100_000),
    ] {
        for path in ["/examples/session/attributes/a", IDLE] {
            let answer = client.put(path, body).await;
            assert_eq!(
                (answer.status, client.cookie.as_ref()),
                (400, None),
                "{path} {body:.20}"
            );
            assert!(answer.json()["error"].is_string());
        }
    }
    client.put("/examples/session/attributes/a", "1").await;
    assert_eq!(
        client
            .put("/examples/session/attributes/a", "x")
            .await
            .status,
        400
    );
    assert_eq!(
        client.get(SESSION).await.json()["attributes"],
        json!({"a": 1})
    );
}

#[tokio::test]
async fn a_value_beyond_the_limit_is_413_and_leaves_no_trace() {
    let mut client = Client::with(Manager::standard().max_session_bytes(100));
    let large = json!("x".repeat(200)).to_string();
    let answer = client.put("/examples/session/attributes/a", &large).await;
    assert_eq!((answer.status, client.cookie.as_ref()), (413, None));
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("maxSessionBytes")
    );
    client.put("/examples/session/attributes/a", "1").await;
    assert_eq!(
        client
            .put("/examples/session/attributes/b", &large)
            .await
            .status,
        413
    );
    assert_eq!(
        client.get(SESSION).await.json()["attributes"],
        json!({"a": 1})
    );
    let huge = " ".repeat(3 << 20);
    assert_eq!(
        client
            .put("/examples/session/attributes/a", &huge)
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn a_context_that_is_full_of_sessions_in_use_answers_503() {
    let mut client = Client::with(Manager::standard().max_active_sessions(1));
    client.get(SESSION).await;
    client.get(SESSION).await;
    client.cookie = None;
    let answer = client.get(SESSION).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("maxActiveSessions")
    );
}

#[tokio::test]
async fn an_attribute_is_removed() {
    let mut client = Client::new();
    assert_eq!(
        client.delete("/examples/session/attributes/a").await.status,
        404
    );
    client.put("/examples/session/attributes/a", "1").await;
    client.put("/examples/session/attributes/b", "2").await;
    let answer = client.delete("/examples/session/attributes/a").await;
    assert_eq!(
        (answer.status, &answer.json()["attributes"]),
        (200, &json!({"b": 2}))
    );
    assert_eq!(
        client.delete("/examples/session/attributes/a").await.status,
        200
    );
}

#[tokio::test]
async fn increment_counts_from_nothing() {
    let mut client = Client::new();
    for value in 1..=3 {
        let answer = client.post("/examples/session/increment/visits").await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"value": value}))
        );
    }
    assert_eq!(
        client.get(SESSION).await.json()["attributes"],
        json!({"visits": 3})
    );
}

#[tokio::test]
async fn increment_leaves_alone_what_is_no_number() {
    let mut client = Client::new();
    client.put("/examples/session/attributes/a", "\"1\"").await;
    let answer = client.post("/examples/session/increment/a").await;
    assert_eq!(answer.status, 409);
    assert_eq!(
        client.get(SESSION).await.json()["attributes"],
        json!({"a": "1"})
    );
}

#[tokio::test]
async fn the_idle_limit_is_in_seconds_and_minus_one_is_for_ever() {
    let mut client = Client::new();
    for (body, shown) in [("60", json!(60)), ("0.5", json!(0.5)), ("-1", json!(-1))] {
        let answer = client.put(IDLE, body).await;
        assert_eq!(
            (answer.status, &answer.json()["maxInactiveInterval"]),
            (200, &shown)
        );
        assert_eq!(
            client.get(SESSION).await.json()["maxInactiveInterval"],
            shown
        );
    }
    for body in ["\"60\"", "null", "[60]", "1e300"] {
        assert_eq!(client.put(IDLE, body).await.status, 400, "{body}");
    }
    assert_eq!(client.get(SESSION).await.json()["maxInactiveInterval"], -1);
}

#[tokio::test]
async fn change_id_keeps_the_content_and_ends_the_old_id() {
    let mut client = Client::new();
    assert_eq!(client.post("/examples/session/change-id").await.status, 404);
    let old = client
        .put("/examples/session/attributes/a", "1")
        .await
        .json();
    let old_cookie = client.cookie.clone();
    let answer = client.post("/examples/session/change-id").await;
    let new = answer.json();
    assert_eq!((answer.status, &new["attributes"]), (200, &json!({"a": 1})));
    assert_ne!(new["id"], old["id"]);
    let shown = client.get("/examples/session?create=false").await.json();
    assert_eq!(
        (&shown["id"], &shown["attributes"]),
        (&new["id"], &json!({"a": 1}))
    );
    client.cookie = old_cookie;
    assert_eq!(
        client.get("/examples/session?create=false").await.status,
        404
    );
}

#[tokio::test]
async fn a_session_that_was_ended_is_gone_and_what_comes_next_is_new() {
    let mut client = Client::new();
    assert_eq!(client.delete(SESSION).await.status, 404);
    let old = client
        .put("/examples/session/attributes/a", "1")
        .await
        .json();
    let old_cookie = client.cookie.clone();
    let answer = client.delete(SESSION).await;
    assert_eq!(
        (answer.status, answer.text.as_str(), client.cookie.as_ref()),
        (204, "", None)
    );
    client.cookie = old_cookie;
    for path in ["/examples/session/attributes/a", SESSION] {
        assert_eq!(client.delete(path).await.status, 404);
    }
    let value = client.post("/examples/session/increment/a").await.json();
    assert_eq!(value, json!({"value": 1}));
    let new = client.get(SESSION).await.json();
    assert_ne!(new["id"], old["id"]);
}

#[tokio::test]
async fn the_page_shows_the_session_and_escapes_it() {
    let mut client = Client::new();
    let evil = "<script>alert(\"1\")</script>";
    client
        .put(
            "/examples/session/attributes/%3Cb%3E",
            &json!(evil).to_string(),
        )
        .await;
    let id = client.get(SESSION).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let page = client.page().await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.headers[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    let policy = page.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(policy.contains("default-src 'none'"));
    assert!(page.text.contains("node01"));
    assert!(
        !page.text.contains("<script") && !page.text.contains("<b>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("script") && page.text.contains("alert"));
    // The whole key is the client's secret; a screenshot must not have it.
    assert!(page.text.contains(&id[..8]) && !page.text.contains(&id));
}

#[tokio::test]
async fn programs_get_json_where_browsers_get_the_page() {
    let mut client = Client::new();
    for path in ["/examples", "/examples/"] {
        let answer = client.get(path).await;
        assert_eq!(answer.json(), json!({"session": "/examples/session"}));
        let request = Request::get(path).header(header::ACCEPT, "text/html,*/*;q=0.8");
        assert!(
            client
                .send(request, "")
                .await
                .text
                .starts_with("<!doctype html>")
        );
    }
}

#[tokio::test]
async fn the_forms_of_the_page_change_the_session_and_lead_back() {
    let mut client = Client::new();
    client.page().await;
    for (path, form) in [
        ("/examples/page/set", "name=word&value=hello+there"),
        ("/examples/page/set", "name=number&value=41"),
        ("/examples/page/increment", "name=number"),
        ("/examples/page/set", "name=old&value=1"),
        ("/examples/page/remove", "name=old"),
        ("/examples/page/idle", "seconds=90"),
    ] {
        let answer = client.submit(path, form).await;
        let back = answer.headers.get(header::LOCATION).unwrap();
        assert_eq!(
            (answer.status, back.as_bytes()),
            (303, &b"/examples"[..]),
            "{path}"
        );
    }
    let before = client.get(SESSION).await.json();
    assert_eq!(
        before["attributes"],
        json!({"word": "hello there", "number": 42})
    );
    assert_eq!(before["maxInactiveInterval"], 90);
    assert_eq!(
        client.submit("/examples/page/change-id", "").await.status,
        303
    );
    let after = client.get(SESSION).await.json();
    assert_ne!(after["id"], before["id"]);
    assert_eq!(after["attributes"], before["attributes"]);
    assert_eq!(
        client.submit("/examples/page/invalidate", "").await.status,
        303
    );
    assert_eq!(
        client.get("/examples/session?create=false").await.status,
        404
    );
}

#[tokio::test]
async fn a_form_that_is_wrong_is_shown_on_the_page() {
    let mut client = Client::new();
    client
        .submit("/examples/page/set", "name=word&value=hello")
        .await;
    for (path, form, status) in [
        ("/examples/page/set", "name=&value=1", 400),
        ("/examples/page/set", "value=1", 422),
        ("/examples/page/increment", "name=word", 409),
        ("/examples/page/idle", "seconds=soon", 400),
        ("/examples/page/idle", "seconds=NaN", 400),
    ] {
        let answer = client.submit(path, form).await;
        assert_eq!(answer.status, status, "{path} {form}");
        assert!(answer.text.contains("Nothing was changed"), "{path} {form}");
    }
    assert_eq!(
        client.get(SESSION).await.json()["attributes"],
        json!({"word": "hello"})
    );
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let mut client = Client::new();
    client.put("/examples/session/attributes/a", "1").await;
    for (method, path) in [
        ("POST", "/examples/page/invalidate"),
        ("POST", "/examples/session/increment/a"),
        ("DELETE", SESSION),
    ] {
        for (name, value) in [
            ("origin", "http://localhost:9090"),
            ("sec-fetch-site", "same-site"),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(name, value);
            assert_eq!(
                client.send(request, "").await.status,
                StatusCode::FORBIDDEN.as_u16()
            );
        }
    }
    assert_eq!(
        client.get(SESSION).await.json()["attributes"],
        json!({"a": 1})
    );
}

#[tokio::test]
async fn other_methods_and_paths_are_none() {
    let mut client = Client::new();
    assert_eq!(client.post(SESSION).await.status, 405);
    assert_eq!(client.get("/examples/page/set").await.status, 405);
    assert_eq!(client.get("/examples/other").await.status, 404);
    assert_eq!(client.cookie, None);
}
