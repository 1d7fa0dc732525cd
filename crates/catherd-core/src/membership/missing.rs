//! Members that were declared gone after a failed probe and have not been explained since.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::planted::{Bug, is_planted};
use crate::time::Time;
use crate::version::Incarnation;

/// A member that failed a probe: what it holds may come back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingMember {
    /// Its name.
    pub name: String,
    /// The process that failed the probe.
    pub incarnation: Incarnation,
    /// When it was declared gone.
    pub since: Time,
    /// A kernel or another process answered for it: the process has ended. One that merely fell
    /// silent may go on elsewhere.
    pub has_ended: bool,
}

/// Who may not hear of an end that goes out at this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Absence {
    /// Whether a member is missing, or one in the view hears or misses a process that this node has
    /// not met.
    pub is_any: bool,
    /// How many members were declared gone after a failed probe by then.
    pub declared_gone: u32,
}

impl Absence {
    /// Whether an end that went out at this moment may be unknown to a process `now`: one that was
    /// absent then, is absent now, or was meanwhile. Who came back learns of it in its sync, and
    /// serves until then.
    pub fn is_pending(self, now: Self) -> bool {
        if is_planted(Bug::ForgetsTheMissing) {
            return false;
        }
        self.is_any || now.is_any || self.declared_gone != now.declared_gone
    }
}

/// The missing members, by name. At most [`MISSING_MAX`]; beyond it the longest missing goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing(BTreeMap<String, MissingMember>);

impl Missing {
    pub(super) fn insert(
        &mut self,
        name: &str,
        incarnation: Incarnation,
        since: Time,
        has_ended: bool,
    ) {
        if self.0.len() >= MISSING_MAX && !self.0.contains_key(name) {
            let longest = self.0.values().min_by_key(|missing| missing.since);
            if let Some(name) = longest.map(|missing| missing.name.clone()) {
                self.0.remove(&name);
            }
        }
        let missing = MissingMember {
            name: name.to_owned(),
            incarnation,
            since,
            has_ended,
        };
        self.0.insert(name.to_owned(), missing);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<MissingMember> {
        self.0.remove(name)
    }

    /// A process of this name is known to live: a new incarnation ends the absence of the old.
    pub(super) fn replaced(&mut self, name: &str, by: Incarnation) {
        if self
            .0
            .get(name)
            .is_some_and(|missing| missing.incarnation != by)
        {
            self.0.remove(name);
        }
    }

    pub(super) fn expire(&mut self, now: Time, missing_for: Duration) {
        self.0
            .retain(|_, missing| now < missing.since + missing_for);
    }

    pub(super) fn next_expiry(&self, missing_for: Duration) -> Option<Time> {
        self.0
            .values()
            .map(|missing| missing.since + missing_for)
            .min()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &MissingMember> {
        self.0.values()
    }
}

/// Far above any cluster: only a flood of short-lived members gets here.
const MISSING_MAX: usize = 4096;
