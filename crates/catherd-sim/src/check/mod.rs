//! The promises, each read against a history. Nothing here knows how the history came about.

mod durable;
mod expire;
mod fence;
mod gone;
mod lag;
mod lineage;
mod mono;
mod nomix;
mod survival;
mod users;

use std::fmt;

use crate::history::{Happened, History, Number};
use crate::plan::Plan;

use self::lineage::Lineages;
use self::survival::Survival;

/// A promise that was not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which one.
    pub promise: &'static str,
    /// The operation that shows it, if it is one.
    pub operation: Option<Number>,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)?;
        match self.operation {
            Some(number) => write!(f, " (operation #{number})"),
            None => Ok(()),
        }
    }
}

/// Reads a history against everything that is promised. Empty if all was kept.
pub fn check(plan: &Plan, history: &History) -> Vec<Violation> {
    let survival = Survival::of(history);
    let mut lineages = Lineages::of(history);
    users::note_ends(history, &survival, &mut lineages);
    let mut found = Vec::new();
    for (at, event) in &history.events {
        if let Happened::Broken(promise, what) = event {
            found.push(Violation {
                promise,
                operation: None,
                what: format!("at {:.3} s: {what}", at.as_secs_f64()),
            });
        }
    }
    nomix::check(history, &lineages, &mut found);
    mono::check(plan, history, &lineages, &survival, &mut found);
    gone::check(history, &survival, &mut found);
    users::check(history, &survival, &mut found);
    durable::check(plan, history, (&lineages, &survival), &mut found);
    lag::check(plan, history, (&lineages, &survival), &mut found);
    fence::check(history, (&lineages, &survival), &mut found);
    expire::check(plan, history, &lineages, &mut found);
    found
}
