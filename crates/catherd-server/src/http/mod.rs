//! The HTTP side of a node: from a connection to a request that the engine may see.
//!
//! | file | what it holds |
//! |---|---|
//! | `listen` | where a connector listens: an address that is held first and opened when ready |
//! | `connector` | accepting connections, serving them, and letting them end |
//! | `handles` | how many connections there may be, by the file handles of the process |
//! | `idle` | whether a request runs on a connection |
//! | `stream` | a connection whose client must take its answer in time |
//! | `body` | a request body that must come in time |
//! | `gate` | heads and paths that are refused before anything looks at them |
//! | `answer` | the answers that the server itself gives |

pub(crate) mod answer;
mod body;
mod connector;
mod gate;
mod handles;
mod idle;
mod listen;
mod stream;

pub(crate) use connector::{Connector, Limits, Stopping};
pub(crate) use gate::{Refused, refuse};
pub(crate) use handles::within as connections_within;
pub(crate) use listen::{Held, HoldError};

/// The body of requests and answers, whatever makes them.
pub(crate) type Body = axum::body::Body;
