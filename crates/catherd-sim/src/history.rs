//! What clients did and saw: all that the checker reads.
//!
//! Every value that is ever written is the number of the operation that wrote it, so a value says
//! where it comes from. A register holds one number; a list holds the numbers of all that were
//! appended to it, the last one last. What an operation found under a name when it wrote is its
//! *parent*: an order that needs no clock.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::fault::Node;
use crate::user::User;

/// The number of an operation; they count from 1, in the order in which they began.
pub type Number = u64;

/// The number of the client that reads everything in the end, when the cluster is whole.
pub const READER: usize = usize::MAX;

/// A process, from its start to its end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Process {
    /// Where it runs.
    pub node: Node,
    /// How many processes ran there before.
    pub generation: u32,
}

/// A session in the mind of a client, whatever keys it has over time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Subject(pub u64);

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By number.
    pub operations: Vec<Operation>,
    /// In the order in which they happened.
    pub events: Vec<(Duration, Happened)>,
}

impl History {
    /// The operation with this number; `None` if there is none yet.
    pub fn operation(&self, number: Number) -> Option<&Operation> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.operations.get(at)
    }
}

/// What happened to the cluster, as the promises need to know it.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A process began.
    Started(Process),
    /// A process became ready, and then saw these ready.
    Ready(Process, Vec<Process>),
    /// A process ended, by whatever cause.
    Ended(Process),
    /// These processes were ready, and equal, and nothing differed.
    Whole(Vec<Process>),
    /// The first process declared the second gone, for a probe failed.
    Gone(Process, Process),
    /// The first process has the second in its view.
    Met(Process, Process),
    /// What the process had under way to members when it ended.
    Lagged(Process, Vec<Lag>),
    /// A session was destroyed on a node: the keyed hash of its key, and why.
    Destroyed(Process, u64, &'static str),
    /// What the engine saw itself does not keep a promise.
    Broken(&'static str, String),
}

/// What was under way to a member, as a node publishes it: the most that an end of the node at this
/// moment may lose of writes that nobody waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    /// To whom.
    pub member: Process,
    /// Since when all that was written went there over the link that is open.
    pub since: Duration,
    /// Frames that it had not acknowledged, written or not. One may stand for several writes of one
    /// session.
    pub frames: usize,
}

/// A request of a client, and what became of it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its number.
    pub number: Number,
    /// Who asked.
    pub client: usize,
    /// In which session.
    pub subject: Subject,
    /// When the request left.
    pub began: Duration,
    /// When the answer came, or the client stopped waiting.
    pub ended: Duration,
    /// Where it went.
    pub process: Process,
    /// The key in the cookie that was sent.
    pub key: Option<String>,
    /// What the application was to do.
    pub steps: Vec<Step>,
    /// What the application did, whether the client heard of it or not.
    pub ran: Option<Ran>,
    /// What the client knows.
    pub outcome: Outcome,
}

/// What an application is asked to do in a session. All but [`Step::Create`] do nothing if there is
/// none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Begin a session, and write whose it is.
    Create(Subject),
    /// Begin one that ends when it was idle for so long.
    CreateIdle(Subject, Duration),
    /// Put the number of the operation under a name.
    Write(String),
    /// Append it to the list under a name.
    Append(String),
    /// Remove a name.
    Remove(String),
    /// Give the session another key.
    Login,
    /// Say that this user is logged in, from the number of the operation on.
    LogInAs(User),
    /// End the session.
    Logout,
    /// End all sessions of a user, whoever's this one is.
    EndAllOf(User),
    /// Take some time.
    Wait(Duration),
}

/// What the application saw and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// The key of the session that it found or began; `None` if there was none.
    pub key: Option<String>,
    /// What was in it, before this operation wrote; a login under [`PRINCIPAL`](crate::PRINCIPAL).
    pub found: BTreeMap<String, Vec<Number>>,
    /// Who was logged in, before this operation logged anybody in.
    pub user: Option<User>,
    /// What it wrote.
    pub wrote: Vec<Wrote>,
    /// The key that the session got.
    pub moved_to: Option<String>,
    /// Whether it ended the session.
    pub ended: bool,
    /// Whose sessions it ended, all of them.
    pub ended_all_of: Option<User>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrote {
    /// The name.
    pub name: String,
    /// The last number under the name when it was written.
    pub parent: Option<Number>,
    /// Whether the name was removed.
    pub removed: bool,
}

/// What a client knows of its request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// An answer came.
    Answered {
        /// What it says is weaker than promised.
        flags: Flags,
        /// Who was to have acknowledged: ready in the view of the node all the time.
        copies: Vec<Process>,
    },
    /// It was not done: refused, or nobody there.
    Failed,
    /// It may have been done.
    Unknown,
}

/// The words of `Catherd-Degraded`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// Fewer copies than configured.
    pub durability: bool,
    /// The end of a session is not known everywhere.
    pub pending: bool,
    /// What a node that is gone had promised cannot be known.
    pub takeover: bool,
    /// A member did not say whether it has newer data.
    pub stale: bool,
}

impl Flags {
    /// Reads the header.
    pub fn of(header: &str) -> Self {
        let has = |word| header.split(", ").any(|it| it == word);
        Self {
            durability: has("durability"),
            pending: has("pending"),
            takeover: has("takeover"),
            stale: has("stale"),
        }
    }
}

impl Operation {
    /// What the answer said, if there was one.
    pub fn answer(&self) -> Option<(Flags, &[Process])> {
        match &self.outcome {
            Outcome::Answered { flags, copies } => Some((*flags, copies)),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.{}", self.node, self.generation)
    }
}

/// One line, for people.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            client,
            subject,
            process,
            ..
        } = self;
        write!(f, "#{number} c{client} s{} at {process}", subject.0)?;
        if let Some(key) = &self.key {
            write!(f, " [{}]", short(key))?;
        }
        write!(f, " {:?}", self.steps)?;
        match &self.ran {
            None => f.write_str(" did not run")?,
            Some(ran) => write!(f, " {ran}")?,
        }
        match &self.outcome {
            Outcome::Answered { flags, copies } => {
                f.write_str(" => ok on")?;
                for copy in copies {
                    write!(f, " {copy}")?;
                }
                let flags = [
                    (flags.durability, "durability"),
                    (flags.pending, "pending"),
                    (flags.takeover, "takeover"),
                    (flags.stale, "stale"),
                ];
                for (_, word) in flags.iter().filter(|(is_set, _)| *is_set) {
                    write!(f, " !{word}")?;
                }
                Ok(())
            }
            Outcome::Failed => f.write_str(" => failed"),
            Outcome::Unknown => f.write_str(" => unknown"),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(key) = &self.key else {
            return f.write_str("found no session");
        };
        write!(f, "found [{}] {{", short(key))?;
        for (at, (name, value)) in self.found.iter().enumerate() {
            let comma = if at > 0 { " " } else { "" };
            write!(f, "{comma}{name}:{}", value.last().unwrap_or(&0))?;
            if value.len() > 1 {
                write!(f, "({})", value.len())?;
            }
        }
        f.write_str("}")?;
        if let Some(to) = &self.moved_to {
            write!(f, " moved to [{}]", short(to))?;
        }
        if self.ended {
            f.write_str(" ended")?;
        }
        if let Some(User(number)) = self.ended_all_of {
            write!(f, " ended all of user{number}")?;
        }
        Ok(())
    }
}

/// The first digits of a key tell it from the others of a run.
pub(crate) fn short(key: &str) -> &str {
    key.get(..6).unwrap_or(key)
}
