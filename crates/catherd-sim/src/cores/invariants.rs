//! What is true of every session in the whole world, and what must hold of every change.
//!
//! Every commit is noted here as it is made. So each change of each copy can be held against all
//! that was ever written, and not only against what its own node knows.

use std::collections::{BTreeMap, HashMap};

use catherd::core::key::Key;
use catherd::core::session::{Birth, Entry, Slot, State, Write};
use catherd::core::time::Time;
use catherd::core::version::{Dot, Incarnation, Version};

use super::node::ByKey;
use crate::history::Process;

/// All that was ever written. Its maps are looked things up in, never iterated.
#[derive(Debug, Default)]
pub(super) struct Truth {
    sessions: HashMap<Key, Session, ByKey>,
    /// Whether copies forget removals after the first: a write that did not know of one that was
    /// forgotten wins over it.
    forgets_removals: bool,
    /// How often something did not hold.
    pub(super) broken: usize,
    /// Tombstones that processes have to fetch: they met them at members.
    pub(super) to_ask: Vec<(Process, Incarnation, Key)>,
}

#[derive(Debug)]
struct Session {
    birth: Birth,
    writes: BTreeMap<(Incarnation, u64), Vec<Written>>,
    removals: Vec<(Slot, Version)>,
    forgets_removals: bool,
}

#[derive(Debug)]
struct Written {
    slot: Slot,
    version: Version,
    hash: Option<u64>,
}

/// Which invariant does not hold, and how.
type Broken = (&'static str, String);

impl Truth {
    pub(super) fn new(forgets_removals: bool) -> Self {
        Self {
            forgets_removals,
            ..Self::default()
        }
    }

    /// A session begins under a key that is drawn once.
    pub(super) fn born(&mut self, key: Key, birth: Birth) {
        let session = Session {
            birth,
            writes: BTreeMap::new(),
            removals: Vec::new(),
            forgets_removals: self.forgets_removals,
        };
        let before = self.sessions.insert(key, session);
        assert!(before.is_none(), "keys are drawn once");
    }

    /// A commit has made this.
    pub(super) fn wrote(
        &mut self,
        key: Key,
        writer: Incarnation,
        write: &Write,
    ) -> Result<(), String> {
        let session = self.sessions.get_mut(&key).ok_or("a key nobody drew")?;
        let revision = write.seen.revision(writer);
        let dot = Dot { writer, revision };
        let of_dot = write
            .registers
            .into_iter()
            .filter(|(_, register)| register.version.dot() == dot);
        let written: Vec<Written> = of_dot
            .map(|(slot, register)| Written {
                slot: slot.clone(),
                version: register.version,
                hash: register.value.as_ref().map(|value| value.hash()),
            })
            .collect();
        if let Some(before) = session.writes.get(&(writer, revision)) {
            // The entire session goes out although nothing was changed.
            let is_same = written
                .iter()
                .all(|new| before.iter().any(|old| old.is(new)));
            return if is_same {
                Ok(())
            } else {
                Err(format!("{dot:?} was used twice under {key}"))
            };
        }
        for new in written.iter().filter(|new| new.hash.is_none()) {
            session.removals.push((new.slot.clone(), new.version));
        }
        session.writes.insert((writer, revision), written);
        Ok(())
    }

    /// A commit made `after` of a copy that had these registers. What it removed need not be in what
    /// it sends: the entire session has those removals alone that are kept.
    pub(super) fn removed(&mut self, key: Key, before: &State, after: &State) {
        let (Some(session), Some(version)) = (self.sessions.get_mut(&key), after.highest()) else {
            return;
        };
        let older_or_gone = after.lacks(before).into_iter();
        let gone = older_or_gone.filter(|(slot, _)| after.version(slot).is_none());
        session
            .removals
            .extend(gone.map(|(slot, _)| (slot, version)));
    }

    /// A fragment has come: it says what was written.
    pub(super) fn came(&self, key: Key, write: &Write) -> Result<(), String> {
        let session = self.sessions.get(&key).ok_or("a key nobody drew")?;
        for (slot, register) in &write.registers {
            let Version {
                writer, revision, ..
            } = register.version;
            let new = Written {
                slot: slot.clone(),
                version: register.version,
                hash: register.value.as_ref().map(|value| value.hash()),
            };
            let of_dot = session.writes.get(&(writer, revision));
            if !of_dot.is_some_and(|of_dot| of_dot.iter().any(|old| old.is(&new))) {
                return Err(format!("{key}: nobody wrote {new:?}"));
            }
        }
        Ok(())
    }

    /// A copy was this and is that now.
    pub(super) fn changed(
        &self,
        key: Key,
        before: Option<&Entry>,
        after: Option<&Entry>,
        now: Time,
    ) -> Result<(), Broken> {
        let Some(session) = self.sessions.get(&key) else {
            // A user's, or of nobody.
            return generation_is_not_less(before, after, now);
        };
        match (before, after) {
            (Some(Entry::Ended { .. }), Some(Entry::Live(_))) => {
                Err((FOUR, "it lives, and had ended".to_owned()))
            }
            (Some(ended @ Entry::Ended { .. }), None) if !ended.is_over(now) => {
                Err((FOUR, "its tombstone is gone before its time".to_owned()))
            }
            (_, None | Some(Entry::Ended { .. })) => Ok(()),
            (before, Some(Entry::Live(after))) => {
                if after.birth() != session.birth {
                    return Err(("6: one birth a key", format!("{:?}", after.birth())));
                }
                if before.is_none() && after.is_idle(now) {
                    return Err((IDLE, format!("last accessed {:?}", after.last_access())));
                }
                let before = before.and_then(Entry::live);
                if let Some(before) = before {
                    session.is_not_less(before, after)?;
                }
                session.is_seen_true(before, after)
            }
        }
    }
}

/// How often all sessions of a user were ended is known until it may be forgotten.
fn generation_is_not_less(
    before: Option<&Entry>,
    after: Option<&Entry>,
    now: Time,
) -> Result<(), Broken> {
    let generation = |entry: Option<&Entry>| entry.map_or(0, Entry::generation);
    let (was, is) = (generation(before), generation(after));
    if is >= was || before.is_some_and(|before| before.is_over(now)) {
        return Ok(());
    }
    Err((FOUR, format!("the generation {was} of a user became {is}")))
}

impl Session {
    /// Nothing that a copy had is lost to it.
    fn is_not_less(&self, before: &State, after: &State) -> Result<(), Broken> {
        if !before.seen().is_within(after.seen()) {
            let what = format!("{:?} became {:?}", before.seen(), after.seen());
            return Err(("3: what was seen stays seen", what));
        }
        for (slot, new) in before.lacks(after) {
            if before.version(&slot).is_none() && before.seen().covers(new.version.dot()) {
                let what = format!("{slot:?} of {:?} is back", new.version);
                return Err(("2: what was removed stays removed", what));
            }
        }
        for (slot, old) in after.lacks(before) {
            match after.version(&slot) {
                Some(new) => {
                    let what = format!("{slot:?}: {:?} became {new:?}", old.version);
                    return Err(("1: versions never fall", what));
                }
                None if old.value.is_some() && !self.was_removed(&slot, old.version, after) => {
                    let what = format!("{slot:?} of {:?} is gone, unremoved", old.version);
                    return Err((TWO, what));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Each write that the copy says it has seen is in it, or what replaced it.
    fn is_seen_true(&self, before: Option<&State>, after: &State) -> Result<(), Broken> {
        for Dot { writer, revision } in after.seen().iter() {
            let from = before.map_or(0, |before| before.seen().revision(writer));
            if from >= revision {
                continue;
            }
            if !self.writes.contains_key(&(writer, revision)) {
                return Err((TWO, format!("{writer} never wrote {revision}")));
            }
            let news = self.writes.range((writer, from + 1)..=(writer, revision));
            for written in news.flat_map(|(_, written)| written) {
                let may_be_forgotten = self.forgets_removals && written.hash.is_none();
                let was_removed = || self.was_removed(&written.slot, written.version, after);
                let is_here = match after.version(&written.slot) {
                    // One that was forgotten gives way to a write that did not know of it.
                    Some(version) => {
                        version >= written.version
                            || may_be_forgotten
                            || (self.forgets_removals && was_removed())
                    }
                    None => written.hash.is_none() || was_removed(),
                };
                if !is_here {
                    return Err((TWO, format!("{written:?} is not there")));
                }
            }
        }
        Ok(())
    }

    /// Whether the copy knows of a removal that replaced this.
    fn was_removed(&self, slot: &Slot, version: Version, by: &State) -> bool {
        let mut removals = self.removals.iter();
        removals.any(|(other, removal)| {
            // One that came above what was seen takes effect at once, and may be forgotten at once.
            let is_known = self.forgets_removals || by.seen().covers(removal.dot());
            other == slot && *removal > version && is_known
        })
    }
}

impl Written {
    fn is(&self, other: &Self) -> bool {
        (&self.slot, self.version, self.hash) == (&other.slot, other.version, other.hash)
    }
}

const TWO: &str = "2: what is said to be seen is there";
const IDLE: &str = "4: an idle copy is not taken";
const FOUR: &str = "4: what has ended stays ended";
