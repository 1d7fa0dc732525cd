//! Questions to a member, and their answers, which come back over the same connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::message::Message;
use catherd_core::sync::{Comparison, Summaries};
use catherd_core::time::Time;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::link::Link;
use super::{Fetch, Fetched, Unanswered, Wanted};

/// What was asked over a link and is not answered yet.
#[derive(Default)]
pub(super) struct Questions {
    open: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
    asked: AtomicU64,
}

/// The answer to a question.
pub(super) enum Reply {
    Fetched(Fetched),
    Summaries(Summaries),
    Used(Vec<(Key, Duration)>),
}

/// An answer to a question that was not asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NeverAsked;

impl std::fmt::Display for NeverAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an answer to a question that was not asked")
    }
}

impl Questions {
    /// Hands an answer to whoever waits for it; nobody does if it is late.
    ///
    /// # Errors
    ///
    /// It answers nothing that was ever asked.
    pub(super) fn answered(&self, question: u64, reply: Reply) -> Result<(), NeverAsked> {
        if question == 0 || question > self.asked.load(Ordering::Relaxed) {
            return Err(NeverAsked);
        }
        if let Some(asker) = self.open.lock().remove(&question) {
            // Whoever asked may have given up.
            let _ = asker.send(reply);
        }
        Ok(())
    }

    /// Nobody will answer any more.
    pub(super) fn close(&self) {
        self.open.lock().clear();
    }

    fn begin(&self) -> (u64, oneshot::Receiver<Reply>) {
        let question = 1 + self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.open.lock().insert(question, answer);
        (question, answered)
    }
}

impl Link {
    /// Asks the member for sessions.
    pub(super) async fn fetch(
        self: Arc<Self>,
        fetch: Fetch,
        deadline: Time,
    ) -> Result<Fetched, Unanswered> {
        let Fetch { context, wanted } = fetch;
        let ask = |question| match wanted {
            Wanted::Sessions { held, route } => Message::Fetch {
                question,
                context,
                wanted: held,
                route,
            },
            Wanted::Everything(stretch) => Message::FetchAll {
                question,
                context,
                stretch,
            },
        };
        match self.ask(ask, deadline).await? {
            Reply::Fetched(fetched) => Ok(fetched),
            Reply::Summaries(_) | Reply::Used(_) => Err(Unanswered),
        }
    }

    /// Compares digests with the member.
    pub(super) async fn compare(
        self: Arc<Self>,
        context: String,
        comparison: Comparison,
        deadline: Time,
    ) -> Result<Summaries, Unanswered> {
        let ask = |question| Message::Buckets {
            question,
            context,
            comparison,
        };
        match self.ask(ask, deadline).await? {
            Reply::Summaries(summaries) => Ok(summaries),
            Reply::Fetched(_) | Reply::Used(_) => Err(Unanswered),
        }
    }

    /// Asks the member which of these sessions it uses.
    pub(super) async fn expire(
        self: Arc<Self>,
        context: String,
        ages: Vec<(Key, Duration)>,
        deadline: Time,
    ) -> Result<Vec<(Key, Duration)>, Unanswered> {
        let ask = |question| Message::Expire {
            question,
            context,
            ages,
        };
        match self.ask(ask, deadline).await? {
            Reply::Used(ages) => Ok(ages),
            Reply::Fetched(_) | Reply::Summaries(_) => Err(Unanswered),
        }
    }

    async fn ask(
        &self,
        message: impl FnOnce(u64) -> Message,
        deadline: Time,
    ) -> Result<Reply, Unanswered> {
        let (question, answered) = self.questions.begin();
        let _forget = Forget {
            questions: &self.questions,
            question,
        };
        self.tell(&message(question));
        tokio::select! {
            biased;
            reply = answered => reply.map_err(|_| Unanswered),
            () = self.surroundings.sleep_until(deadline) => Err(Unanswered),
        }
    }
}

/// Forgets a question when its asker no longer waits.
struct Forget<'a> {
    questions: &'a Questions,
    question: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.questions.open.lock().remove(&self.question);
    }
}
