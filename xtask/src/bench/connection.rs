//! One user: a connection that stays open, with a session of its own.
//!
//! Just enough of HTTP/1.1 for answers with a `Content-Length`: a client that does more takes
//! processor time from the nodes that it measures.

use std::net::SocketAddr;
use std::str;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is asked for, and of whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// Whether the answer counts the writes of the session.
    pub(super) counts: bool,
}

impl Target {
    /// A write of a session that carries `size` bytes.
    pub(super) fn write(address: SocketAddr, size: usize) -> Self {
        Self {
            address,
            path: format!("/bench/session?size={size}"),
            counts: true,
        }
    }

    /// A request that touches no session.
    pub(super) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            path: "/bench/plain".to_owned(),
            counts: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    target: Target,
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    counter: u64,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, String> {
        let stream = TcpStream::connect(target.address).await.map_err(said)?;
        stream.set_nodelay(true).map_err(said)?;
        let mut connection = Self {
            target: target.clone(),
            stream,
            request: Vec::new(),
            answer: Vec::with_capacity(4096),
            counter: 0,
        };
        connection.forget_session();
        Ok(connection)
    }

    /// The next request is a stranger's.
    pub(super) fn forget_session(&mut self) {
        self.counter = 0;
        self.prepare("");
    }

    /// One request and its answer.
    ///
    /// # Errors
    ///
    /// The answer is not 200, or does not count one more than the last: then a write was lost.
    pub(super) async fn ask(&mut self) -> Result<(), String> {
        self.stream.write_all(&self.request).await.map_err(said)?;
        self.answer.clear();
        let head_len = loop {
            self.read().await?;
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let head = str::from_utf8(&self.answer[..head_len]);
        let head = head.map_err(|_| "the head of an answer is not UTF-8".to_owned())?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("an answer that is not 200:\n{head}"));
        }
        let body_at = head_len + 4;
        let end = body_at + length(head)?;
        let cookie = cookie(head).map(str::to_owned);
        while self.answer.len() < end {
            self.read().await?;
        }
        if let Some(cookie) = cookie {
            self.prepare(&format!("Cookie: {cookie}\r\n"));
        }
        if self.target.counts {
            let counter = counter(&self.answer[body_at..end])?;
            if counter != self.counter + 1 {
                return Err(format!("a session counts {counter} after {}", self.counter));
            }
            self.counter = counter;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.answer).await.map_err(said)? {
            0 => Err("the server closed the connection".to_owned()),
            _ => Ok(()),
        }
    }

    fn prepare(&mut self, cookie: &str) {
        let Target { path, address, .. } = &self.target;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{cookie}\r\n");
        self.request = request.into_bytes();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn said(error: std::io::Error) -> String {
    format!("the connection to the server failed: {error}")
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
}

fn length(head: &str) -> Result<usize, String> {
    let length = header(head, "content-length").and_then(|length| length.parse().ok());
    length.ok_or_else(|| format!("no Content-Length in:\n{head}"))
}

fn cookie(head: &str) -> Option<&str> {
    header(head, "set-cookie")?.split(';').next()
}

fn counter(body: &[u8]) -> Result<u64, String> {
    let text = str::from_utf8(body).unwrap_or_default();
    let counter = text
        .strip_prefix("counter=")
        .and_then(|rest| rest.split(' ').next());
    let counter = counter.and_then(|counter| counter.parse().ok());
    counter.ok_or_else(|| format!("not the answer of /bench/session: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 19\r\n\
                        set-cookie: JSESSIONID=00FF.a; Path=/bench; HttpOnly";

    #[test]
    fn what_is_needed_of_an_answer_is_found() {
        assert_eq!(length(HEAD), Ok(19));
        assert_eq!(cookie(HEAD), Some("JSESSIONID=00FF.a"));
        assert_eq!(counter(b"counter=12 size=10\n"), Ok(12));
    }

    #[test]
    fn another_answer_is_an_error() {
        assert!(counter(b"none").is_err());
        assert!(length("HTTP/1.1 200 OK").is_err());
    }
}
