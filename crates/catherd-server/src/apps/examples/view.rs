//! The session as programs see it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use catherd::Session;
use serde::Serialize;
use serde_json::{Number, Value};

/// The JSON of a session. Tools rely on the names and on their meaning.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    /// The key, without a route.
    id: String,
    /// Which node answered.
    node: String,
    is_new: bool,
    /// In milliseconds since 1970; `null` where the session does not say.
    created: Option<u64>,
    /// In milliseconds since 1970.
    last_accessed: Option<u64>,
    /// In seconds; -1 for ever.
    max_inactive_interval: Number,
    attributes: BTreeMap<String, Value>,
}

impl View {
    /// The session as it is now; `None` if there is none.
    pub(super) fn of(session: &Session, node: &str) -> Option<Self> {
        Some(Self {
            id: session.id()?,
            node: node.to_owned(),
            is_new: session.is_new(),
            created: session.created().map(millis),
            last_accessed: session.last_accessed().map(millis),
            max_inactive_interval: idle_seconds(session),
            attributes: attributes(session).collect(),
        })
    }
}

/// How many seconds the session may be idle; -1 for ever.
pub(super) fn idle_seconds(session: &Session) -> Number {
    let Some(limit) = session.max_inactive_interval() else {
        return Number::from(-1);
    };
    if limit.subsec_nanos() == 0 {
        return Number::from(limit.as_secs());
    }
    Number::from_f64(limit.as_secs_f64()).expect("durations are finite")
}

/// The attributes, sorted by name. What another application has put there and is no JSON is
/// `null`.
pub(super) fn attributes(session: &Session) -> impl Iterator<Item = (String, Value)> {
    session.attribute_names().into_iter().map(|name| {
        let value = session.get::<Value>(name.clone()).ok().flatten();
        (name, value.unwrap_or_default())
    })
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
