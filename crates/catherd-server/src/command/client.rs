//! A small HTTP client for what nodes say of themselves.

use std::fmt;
use std::time::Duration;

/// Gets a page; its status and its text. Waits for at most `patience`.
pub(super) fn fetch(url: &str, patience: Duration) -> Result<(u16, String), FetchError> {
    finish(url, agent(patience).get(url).call())
}

/// Asks for something to be removed; the status and the text of the answer.
pub(super) fn delete(url: &str, patience: Duration) -> Result<(u16, String), FetchError> {
    finish(url, agent(patience).delete(url).call())
}

/// Follows no redirect and asks no proxy: what is meant is the node at this address.
fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build()
        .into()
}

fn finish(
    url: &str,
    answered: Result<http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, String), FetchError> {
    let failed = |source| FetchError {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let mut response = answered.map_err(failed)?;
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(TEXT_MAX)
        .read_to_string();
    Ok((status, text.map_err(failed)?))
}

/// A status with 256 members and thousands of contexts is far smaller.
const TEXT_MAX: u64 = 16 << 20;

/// A page that could not be had.
#[derive(Debug)]
pub(super) struct FetchError {
    url: String,
    source: Box<ureq::Error>,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be had; is a node running there?", self.url)
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
