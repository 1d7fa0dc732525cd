//! One user: a connection that stays open, with a session of its own.
//!
//! Just enough of HTTP/1.1 for answers with a `Content-Length`: a client that does more takes
//! processor time from the nodes that it measures.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    path: String,
    request: Vec<u8>,
    answer: Vec<u8>,
    counter: u64,
}

impl Connection {
    /// Connects, and makes a session.
    pub(super) async fn open(port: u16, path: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .map_err(said)?;
        stream.set_nodelay(true).map_err(said)?;
        let mut connection = Self {
            stream,
            path: path.to_owned(),
            request: Vec::new(),
            answer: Vec::with_capacity(4096),
            counter: 0,
        };
        connection.prepare(None);
        connection.write_once().await?;
        Ok(connection)
    }

    /// One write of the session, and its acknowledged answer.
    ///
    /// # Errors
    ///
    /// The answer is not 200, or does not count one more than the last: then a write was lost.
    pub(super) async fn write_once(&mut self) -> Result<(), String> {
        self.stream.write_all(&self.request).await.map_err(said)?;
        self.answer.clear();
        let (head_end, length) = loop {
            let read = self.stream.read_buf(&mut self.answer).await.map_err(said)?;
            if read == 0 {
                return Err("the node closed the connection".to_owned());
            }
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (end, length(&self.answer[..end])?);
            }
        };
        while self.answer.len() < head_end + 4 + length {
            if self.stream.read_buf(&mut self.answer).await.map_err(said)? == 0 {
                return Err("the node closed the connection".to_owned());
            }
        }
        let head = String::from_utf8_lossy(&self.answer[..head_end]);
        let body = String::from_utf8_lossy(&self.answer[head_end + 4..]);
        let counter = counter(&head, &body)?;
        if counter != self.counter + 1 {
            return Err(format!(
                "the session counts {counter} after {}",
                self.counter
            ));
        }
        self.counter = counter;
        if let Some(cookie) = cookie(&head) {
            let cookie = cookie.to_owned();
            self.prepare(Some(&cookie));
        }
        Ok(())
    }

    fn prepare(&mut self, cookie: Option<&str>) {
        let cookie = cookie
            .map(|cookie| format!("Cookie: {cookie}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n",
            self.path
        );
        self.request = request.into_bytes();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn said(error: std::io::Error) -> String {
    format!("the connection to the node failed: {error}")
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
}

fn length(head: &[u8]) -> Result<usize, String> {
    let head = String::from_utf8_lossy(head);
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    length.ok_or_else(|| format!("no Content-Length in:\n{head}"))
}

fn cookie(head: &str) -> Option<&str> {
    header(head, "set-cookie")?.split(';').next()
}

fn counter(head: &str, body: &str) -> Result<u64, String> {
    let counter = body
        .strip_prefix("counter=")
        .and_then(|rest| rest.split(' ').next());
    let counter = counter.and_then(|counter| counter.parse().ok());
    match counter {
        Some(counter) if head.starts_with("HTTP/1.1 200 ") => Ok(counter),
        _ => Err(format!("not the answer of /bench:\n{head}\n\n{body}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 19\r\n\
                        set-cookie: JSESSIONID=00FF.a; Path=/bench; HttpOnly";

    #[test]
    fn what_is_needed_of_an_answer_is_found() {
        assert_eq!(length(HEAD.as_bytes()), Ok(19));
        assert_eq!(cookie(HEAD), Some("JSESSIONID=00FF.a"));
        assert_eq!(counter(HEAD, "counter=12 size=10"), Ok(12));
    }

    #[test]
    fn another_answer_is_an_error() {
        assert!(counter("HTTP/1.1 503 Service Unavailable", "counter=12 size=10").is_err());
        assert!(counter(HEAD, "none").is_err());
        assert!(length(b"HTTP/1.1 200 OK").is_err());
    }
}
