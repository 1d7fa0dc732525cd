//! Which processes a node has known, so that it can say whether all that they confirmed is here.

use std::collections::BTreeMap;

use crate::membership::View;
use crate::version::Incarnation;

/// The processes that were members while this node was in their view.
///
/// A route is a name, and a process that bears a name today is no proof of what the one before it
/// had confirmed. So it counts whether a process *that is gone by now* was known: a member that
/// was waited for, or whose state this node had, has all that it confirmed.
#[derive(Clone, Debug, Default)]
pub struct Acquaintances {
    by_name: BTreeMap<String, Known>,
    /// The name under which each process was in the view, ready or not.
    names: BTreeMap<Incarnation, String>,
}

/// The processes of one name that were members while this node was ready.
#[derive(Clone, Copy, Debug)]
struct Known {
    last: Incarnation,
    /// Whether there was another before the last.
    has_former: bool,
}

impl Acquaintances {
    /// Names and processes beyond this are taken for unknown: then an answer says "degraded" that
    /// need not.
    pub const MAX: usize = 4096;

    /// A process has come into the view; `am_ready`: this node has its state, and is waited for.
    pub fn met(&mut self, name: &str, incarnation: Incarnation, am_ready: bool) {
        if self.names.len() < Self::MAX {
            self.names.insert(incarnation, name.to_owned());
        }
        if am_ready {
            self.know(name, incarnation);
        }
    }

    /// This node has its state, and with it what all in its view have confirmed.
    pub fn became_ready(&mut self, view: &View) {
        for member in &view.members {
            self.know(&member.name, member.incarnation);
        }
    }

    /// The name of a process that was ever in the view.
    pub fn name_of(&self, incarnation: Incarnation) -> Option<&str> {
        self.names.get(&incarnation).map(String::as_str)
    }

    /// Whether a process of this name was known that is gone by now.
    pub fn has_known(&self, name: &str, view: &View) -> bool {
        let present = view.named(name).map(|member| member.incarnation);
        let is_former = |known: &Known| known.has_former || Some(known.last) != present;
        self.by_name.get(name).is_some_and(is_former)
    }

    /// Whether the node of this route is known to this node as far as it can say: of the process
    /// that had its own name before only the others can tell, if there are any.
    pub fn is_left_to_others(route: &str, view: &View) -> bool {
        route == view.myself.name && !view.members.is_empty()
    }

    fn know(&mut self, name: &str, incarnation: Incarnation) {
        if self.by_name.len() >= Self::MAX && !self.by_name.contains_key(name) {
            return;
        }
        let first = Known {
            last: incarnation,
            has_former: false,
        };
        let known = self.by_name.entry(name.to_owned()).or_insert(first);
        known.has_former |= known.last != incarnation;
        known.last = incarnation;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, node};
    use super::*;

    fn view(members: &[&str]) -> View {
        View {
            myself: member("M"),
            members: members.iter().map(|name| member(name)).collect(),
        }
    }

    #[test]
    fn a_process_that_is_still_in_view_is_not_the_one_that_is_gone() {
        let mut known = Acquaintances::default();
        known.met("A", node("A"), true);
        assert!(!known.has_known("A", &view(&["A"])));
        assert!(known.has_known("A", &view(&[])));
        assert!(!known.has_known("B", &view(&[])));
    }

    #[test]
    fn a_successor_of_the_same_name_makes_the_one_before_it_gone() {
        let mut known = Acquaintances::default();
        known.met("A", node("old A"), true);
        assert!(known.has_known("A", &view(&["A"])));
        known.met("A", node("A"), true);
        assert!(known.has_known("A", &view(&["A"])), "the old one was known");
    }

    #[test]
    fn who_was_met_while_this_node_had_no_state_is_known_from_its_readiness_on() {
        let mut known = Acquaintances::default();
        known.met("A", node("A"), false);
        assert_eq!(known.name_of(node("A")), Some("A"));
        assert!(!known.has_known("A", &view(&[])));
        known.became_ready(&view(&["A"]));
        assert!(known.has_known("A", &view(&[])));
    }

    #[test]
    fn of_the_process_before_this_one_only_others_can_tell() {
        assert!(Acquaintances::is_left_to_others("M", &view(&["A"])));
        assert!(!Acquaintances::is_left_to_others("M", &view(&[])));
        assert!(!Acquaintances::is_left_to_others("A", &view(&["A"])));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Acquaintances::default();
        for number in 0..2 * Acquaintances::MAX as u64 {
            let incarnation = Incarnation::from_bits(number + 1);
            known.met(&number.to_string(), incarnation, true);
        }
        assert_eq!(known.by_name.len(), Acquaintances::MAX);
        assert_eq!(known.names.len(), Acquaintances::MAX);
    }
}
