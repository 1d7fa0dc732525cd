//! When a session that nobody uses ends, and who decides it.
//!
//! A copy that is idle beyond its limit is served nowhere; that takes no decision. Dropping it,
//! and telling the application once, does: one node asks all members whether somebody has used
//! the session since, and only if nobody has is it over.
//!
//! | file | what it holds |
//! |---|---|
//! | `patience` | who asks, and how long after the limit |
//! | `turn` | what becomes of an entry that is looked at |
//! | `answer` | what a member that is asked says of its copy |
//! | `inquiry` | what the answers come to |
//!
//! The rules are in `docs/expiry.md`.

mod answer;
mod inquiry;
mod patience;
mod turn;

pub use answer::Held;
pub use inquiry::{Inquiry, Use, Verdict};
pub use patience::Patience;
pub use turn::{Beside, Turn};
