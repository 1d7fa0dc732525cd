//! The session that a request is in, as the application sees it.

mod attribute;
mod handle;
mod request;

pub(crate) use attribute::decode;
pub use attribute::{Attribute, AttributeError};
pub use handle::{Confirmed, FlushError, Session};
pub(crate) use request::{Finished, Request};
