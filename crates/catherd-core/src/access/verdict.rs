//! What comes of a request for a session.

use crate::session::Gap;

/// How a request goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// With what is here now, be it a session or none.
    Serve(Flags),
    /// Not at all: a member may have newer data, has not said so in time, and the context refuses
    /// to show what may be old.
    Refuse,
}

/// What is weaker about an answer than it could be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// There may be newer data: a member in view did not answer in time, or a write is known to be
    /// missing and nobody who answered has it.
    pub is_stale: bool,
    /// Every member in view was asked for what is missing, and nobody has it. It is to be
    /// [noted on the copy](crate::session::State::give_up): the next request need not ask, and its
    /// answer is no staler than any.
    pub given_up: Option<Gap>,
    /// This node goes on with the session of a node that is gone. `None` as well once the client
    /// comes with this node's route, and where no session is served.
    pub takeover: Option<Takeover>,
}

/// This node goes on with the session of a node that is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Takeover {
    /// Whether all that the gone node had confirmed is certainly here.
    pub is_complete: bool,
}

impl Flags {
    /// Whether writes of a node that is gone may be missing, and the answer says so.
    pub fn is_takeover_flagged(self) -> bool {
        self.takeover.is_some_and(|takeover| !takeover.is_complete)
    }
}
