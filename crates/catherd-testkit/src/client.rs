//! An HTTP client that walks from node to node with its session.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

/// What answers HTTP requests: a node, or a balancer in front of nodes.
pub trait Site {
    /// What a failed test calls it.
    fn name(&self) -> &str;
    /// The address of its HTTP; 127.0.0.1 if it does not say.
    fn http_address(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }
    /// The port of its HTTP.
    fn http_port(&self) -> u16;
    /// What it has written to standard error.
    fn log(&self) -> String;
}

/// Where a node answers on 127.0.0.1, while the node itself may be killed and started.
#[derive(Clone, Copy, Debug)]
pub struct Port(pub u16);

impl Site for Port {
    fn name(&self) -> &'static str {
        "a node"
    }

    fn http_port(&self) -> u16 {
        self.0
    }

    fn log(&self) -> String {
        String::new()
    }
}

/// A browser of one session: it keeps the cookie `JSESSIONID`, whichever node gave it.
///
/// Every request has a connection of its own, so that none is left over from a node that has died;
/// but for a client [that keeps it](Client::keeping_its_connection).
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    cookie: Option<String>,
    headers: Vec<(String, String)>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client without a session.
    pub fn new() -> Self {
        Self {
            agent: agent(Duration::from_secs(30), 0),
            cookie: None,
            headers: Vec::new(),
        }
    }

    /// A client that keeps its connection from one request to the next, for many requests to a
    /// node that stays.
    pub fn keeping_its_connection() -> Self {
        Self {
            agent: agent(Duration::from_secs(30), 1),
            ..Self::new()
        }
    }

    /// The same client, but one that gives up an answer after `timeout`, and breaks its connection;
    /// 30 seconds if not said.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.agent = agent(timeout, 0);
        self
    }

    /// A client with this value of the cookie.
    pub fn with_cookie(value: &str) -> Self {
        let mut client = Self::new();
        client.cookie = Some(value.to_owned());
        client
    }

    /// Throws its cookie away: the next request is a stranger's.
    pub fn forget_session(&mut self) {
        self.cookie = None;
    }

    /// The same client, but one that sends this header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of its cookie: `KEY.ROUTE`.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// The key in its cookie.
    ///
    /// # Panics
    ///
    /// It has no cookie.
    pub fn key(&self) -> String {
        self.split().0
    }

    /// The route in its cookie.
    ///
    /// # Panics
    ///
    /// It has no cookie.
    pub fn route(&self) -> String {
        self.split().1
    }

    /// A `GET`.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn get(&mut self, site: &impl Site, path: &str) -> Answer {
        self.send(site, "GET", path, None)
    }

    /// A `GET` that may be without an answer.
    ///
    /// # Errors
    ///
    /// There was no whole answer.
    pub fn try_get(&mut self, site: &impl Site, path: &str) -> Result<Answer, ureq::Error> {
        self.try_send(site, "GET", path, None)
    }

    /// A request, with a JSON body if there is one.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn send(
        &mut self,
        site: &impl Site,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Answer {
        let answer = self.try_send(site, method, path, body);
        answer.unwrap_or_else(|error| {
            panic!(
                "{method} {path} on {}: {error}\n{}",
                site.name(),
                site.log()
            )
        })
    }

    /// A request that may be without an answer.
    ///
    /// # Errors
    ///
    /// There was no whole answer.
    ///
    /// # Panics
    ///
    /// `method` or `path` cannot stand in a request.
    pub fn try_send(
        &mut self,
        site: &impl Site,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!(
            "http://{}:{}{path}",
            site.http_address(),
            site.http_port()
        ));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("JSESSIONID={cookie}"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let bad = "methods and paths of tests are valid";
        let mut response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body).expect(bad))?
            }
            None => self.agent.run(request.body(()).expect(bad))?,
        };
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.body_mut().read_to_string()?,
        };
        if let Some(given) = answer.cookie() {
            self.cookie = (!given.is_empty()).then_some(given);
        }
        Ok(answer)
    }

    /// `GET /examples/session`: the session's JSON; makes one if there is none.
    ///
    /// # Panics
    ///
    /// The answer is not 200.
    pub fn session(&mut self, site: &impl Site) -> Answer {
        self.get(site, "/examples/session").expect_status(200)
    }

    /// Sets an attribute in `/examples`.
    ///
    /// # Panics
    ///
    /// The answer is not 200.
    pub fn set(&mut self, site: &impl Site, name: &str, value: &Value) -> Answer {
        let path = format!("/examples/session/attributes/{name}");
        self.send(site, "PUT", &path, Some(&value.to_string()))
            .expect_status(200)
    }

    /// Removes an attribute in `/examples`.
    ///
    /// # Panics
    ///
    /// The answer is neither 200 nor 204.
    pub fn remove(&mut self, site: &impl Site, name: &str) -> Answer {
        let answer = self.send(
            site,
            "DELETE",
            &format!("/examples/session/attributes/{name}"),
            None,
        );
        assert!([200, 204].contains(&answer.status()), "{answer:?}");
        answer
    }

    /// Adds 1 to an attribute in `/examples`; gives the sum.
    ///
    /// # Panics
    ///
    /// The answer is not 200 with a number.
    pub fn increment(&mut self, site: &impl Site, name: &str) -> u64 {
        let path = format!("/examples/session/increment/{name}");
        let answer = self.send(site, "POST", &path, None).expect_status(200);
        answer.json()["value"]
            .as_u64()
            .unwrap_or_else(|| panic!("no number in {answer:?}"))
    }

    /// Gives the session in `/examples` a new id.
    ///
    /// # Panics
    ///
    /// The answer is not 200.
    pub fn change_id(&mut self, site: &impl Site) -> Answer {
        self.send(site, "POST", "/examples/session/change-id", None)
            .expect_status(200)
    }

    /// Ends the session in `/examples`.
    ///
    /// # Panics
    ///
    /// The answer is not 204.
    pub fn invalidate(&mut self, site: &impl Site) -> Answer {
        self.send(site, "DELETE", "/examples/session", None)
            .expect_status(204)
    }

    fn split(&self) -> (String, String) {
        let cookie = self.cookie.as_deref().expect("the client has a cookie");
        let (key, route) = cookie.split_once('.').unwrap_or((cookie, ""));
        (key.to_owned(), route.to_owned())
    }
}

fn agent(timeout: Duration, idle_connections: usize) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(idle_connections)
        .timeout_global(Some(timeout))
        .build();
    config.new_agent()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Its body, as text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its body, as one line of text.
    pub fn line(&self) -> &str {
        self.text.trim_end()
    }

    /// Its body, as JSON.
    ///
    /// # Panics
    ///
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {self:?}"))
    }

    /// An attribute in the JSON of a session; null if it has none of this name.
    ///
    /// # Panics
    ///
    /// The body is no JSON.
    pub fn attribute(&self, name: &str) -> Value {
        self.json()["attributes"][name].clone()
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the node said is weaker than promised; nothing if all is well.
    pub fn degraded(&self) -> &str {
        self.header("catherd-degraded").unwrap_or_default()
    }

    /// The value of `JSESSIONID` that it sets; empty if it takes the cookie away.
    pub fn cookie(&self) -> Option<String> {
        let headers = self.headers.get_all("set-cookie").iter();
        headers
            .filter_map(|header| header.to_str().ok())
            .find_map(|header| {
                let (value, _) = header.strip_prefix("JSESSIONID=")?.split_once(';')?;
                Some(value.to_owned())
            })
    }

    /// The same answer, if it has this status.
    ///
    /// # Panics
    ///
    /// It has another.
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}
