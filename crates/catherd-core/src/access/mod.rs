//! What happens before a request sees its session: is the copy here new enough?
//!
//! The route in the cookie names the node that showed this client the session last. A request that
//! arrives elsewhere asks that node first, so that a client never sees an older session than the
//! one it saw. Sticky traffic asks nobody.
//!
//! The first row that fits says whom to ask; after the answers it is looked up again:
//!
//! | the request arrives where … | is asked |
//! |---|---|
//! | the copy is complete, the route is this node's, and it has served the session | nobody |
//! | the route names another member in view | that member |
//! | the node of the route, or the owner, is not in view | every member, once, side by side |
//! | the copy is behind, idle or absent | the owner, then the other members |
//!
//! A member that the route names and that has not served the session is another process than the
//! route means: the node of the route counts as gone.
//!
//! | the answer is flagged | when |
//! |---|---|
//! | `stale` | an asked member in view has not answered, or a write is known to be missing |
//! | `takeover` | the node of the route, or the owner, is gone, and may have confirmed more |
//!
//! A takeover is flagged until a request comes with this node's route. The rules are in
//! `docs/access.md`.
//!
//! | file | what it holds |
//! |---|---|
//! | `machine` | the rows |
//! | `acquaintances` | which processes were known |
//! | `verdict` | what comes of them |

mod acquaintances;
mod machine;
#[cfg(test)]
mod tests;
mod verdict;

pub use acquaintances::Acquaintances;
pub use machine::{Access, Ask, Here, Moment, Policy, Step};
pub use verdict::{Flags, Takeover, Verdict};
