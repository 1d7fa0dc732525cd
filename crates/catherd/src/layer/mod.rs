//! The tower layer: finds the session of a request, and replicates it before the response leaves.
//!
//! | file | what it holds |
//! |---|---|
//! | `service` | the layer and its service |
//! | `future` | a request on its way: asking, running, waiting for acknowledgements |
//! | `body` | the response body: what a stream changes goes out before its last frame |
//! | `cookie` | the session cookie, `JSESSIONID=KEY.ROUTE` by default, read and written |
//! | `degraded` | what is weaker than promised, as a header and as a value |

mod body;
mod cookie;
mod degraded;
mod future;
mod service;

pub use body::ReplicatedBody;
pub(crate) use cookie::SessionCookie;
pub use degraded::Degraded;
pub use future::ResponseFuture;
pub use service::{SessionLayer, SessionService};
