//! The rows: whom to ask next, and when that is enough.

use super::verdict::{Flags, Takeover, Verdict};
use crate::membership::{Member, View};
use crate::planted::{Bug, is_planted};
use crate::session::{Entry, Gap};
use crate::time::Time;
use crate::version::Incarnation;

/// One request for one session, from its cookie until it may be served.
///
/// Call [`step`](Self::step). While it wants members to be asked, ask them side by side, merge
/// what they have, tell each outcome with [`answered`](Self::answered) or
/// [`unanswered`](Self::unanswered), and call it again with what is here and in view by then. No
/// member is asked twice, so it ends.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    policy: Policy,
    route: Option<&'a str>,
    asked: Vec<(Incarnation, Said)>,
    /// Who was not in view when it was looked for.
    gone: Option<Gone>,
}

/// A node that knew best, and is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Gone {
    NodeOfRoute,
    /// With its name, if it was ever in view here.
    Owner(Option<String>),
}

/// What is configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Whether cookies get the route of the node that answers. Only then a route says who has
    /// shown the session last (HOW-TO, "Configuration Example": `JvmRouteBinderValve`).
    pub rewrites_route: bool,
    /// Whether a write is confirmed only when its holders have applied it (`replicationMode`,
    /// `waitForAck`).
    pub is_synchronous: bool,
    /// Whether a request is refused rather than served what may be old (`stale="refuse"`).
    pub refuses_stale: bool,
}

/// What this node sees at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// What it holds under the key.
    pub here: Here,
    /// Itself, and who can be asked.
    pub view: &'a View,
    /// Names of members that were declared gone and have not said goodbye.
    pub missing: &'a [String],
    /// Those of them that only fell silent: their processes may go on elsewhere.
    pub silent: &'a [String],
    /// Whether it ever had the node of the route in its view.
    pub knew_route: bool,
    /// The name of the owner, if that was ever in its view.
    pub owner_name: Option<&'a str>,
}

/// What a node holds under a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Here {
    /// Nothing.
    Absent,
    /// A live copy.
    Live {
        /// A write is known to be missing, and it is not known that nobody has it.
        gap: Option<Gap>,
        /// Whether it is idle beyond its limit, without a request in it: then it is not served,
        /// unless another node used it more recently.
        is_idle: bool,
        /// Whether this incarnation has shown the session to a client.
        was_served: bool,
        /// The writer of the highest version; `None` before the first commit.
        owner: Option<Incarnation>,
    },
    /// A tombstone: there is nothing newer.
    Ended,
}

impl Here {
    /// What this entry is to a request. `arrivals`: how often a member has come into the view of
    /// this node; `has_request`: there is one in the session already; `was_served`: this
    /// incarnation has shown it to a client.
    pub fn of(
        entry: Option<&Entry>,
        now: Time,
        arrivals: u32,
        has_request: bool,
        was_served: bool,
    ) -> Self {
        match entry {
            None => Self::Absent,
            Some(Entry::Ended { .. }) => Self::Ended,
            Some(Entry::Live(state)) => Self::Live {
                gap: state.gap(arrivals),
                is_idle: state.is_idle(now) && !has_request,
                was_served,
                owner: state.highest().map(|version| version.writer),
            },
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Ask, merge, and come back.
    Ask(Ask),
    /// Go on with the request, or refuse it.
    Done(Verdict),
}

/// Members to ask side by side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    /// Whom.
    pub members: Vec<Incarnation>,
    /// The node that is gone: they are to say whether they have known it.
    pub about: Option<String>,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    Nothing,
    Answer {
        /// Whether that incarnation has shown the session to a client.
        has_served: bool,
        knew_gone: bool,
    },
}

/// Whom a request follows to the newest state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Follows<'a> {
    Route(&'a str),
    /// Routes stay as they are: the owner known here is the next best.
    Owner,
    /// The client does not say who has shown it the session.
    Nobody,
}

impl<'a> Access<'a> {
    /// A request whose cookie has this route.
    pub fn new(policy: Policy, route: Option<&'a str>) -> Self {
        Self {
            policy,
            route,
            asked: Vec::new(),
            gone: None,
        }
    }

    /// What to do next. Every member of the last [`Ask`] has been told of.
    pub fn step(&mut self, now: &Moment<'_>) -> Step {
        let members = self.whom_to_ask(now);
        if members.is_empty() {
            return Step::Done(self.verdict(now));
        }
        let unanswered = members.iter().map(|&member| (member, Said::Nothing));
        self.asked.extend(unanswered);
        Step::Ask(Ask {
            members,
            about: self.name_of_gone().map(str::to_owned),
        })
    }

    /// A member has answered, and what it has is merged. `has_served`: that incarnation has shown
    /// the session to a client. `knew_gone`: it ever had the node that it was
    /// [asked about](Ask::about) in its view.
    pub fn answered(&mut self, member: Incarnation, has_served: bool, knew_gone: bool) {
        self.note(
            member,
            Said::Answer {
                has_served,
                knew_gone,
            },
        );
    }

    /// A member has not answered in time, or cannot be reached. The same as to say nothing.
    pub fn unanswered(&mut self, member: Incarnation) {
        self.note(member, Said::Nothing);
    }

    /// The rows, in their order; the first that fits and is not done yet.
    fn whom_to_ask(&mut self, now: &Moment<'_>) -> Vec<Incarnation> {
        let Some(is_complete) = is_complete(now.here) else {
            return Vec::new();
        };
        // This node has shown the session last.
        if is_complete && self.comes_home(now) {
            return Vec::new();
        }
        // Another member in view has.
        if let Some(member) = self.member_of_route(now)
            && !is_planted(Bug::ServesWithoutAsking)
        {
            match self.said(member.incarnation) {
                None => return vec![member.incarnation],
                Some(Said::Answer {
                    has_served: true, ..
                }) if is_complete => return Vec::new(),
                Some(_) => {}
            }
        }
        // Whoever knew best is gone: the others have what is left, each a part of it perhaps.
        self.look_who_is_gone(now);
        if self.gone.is_some() {
            return self.everyone_else(now);
        }
        if is_complete {
            self.whom_to_ask_about_a_complete_copy(now)
        } else {
            self.owner_first(now)
                .unwrap_or_else(|| self.everyone_else(now))
        }
    }

    fn look_who_is_gone(&mut self, now: &Moment<'_>) {
        if self.is_route_gone(now) {
            self.gone = Some(Gone::NodeOfRoute);
        } else if is_owner_gone(now) && self.gone.is_none() {
            self.gone = Some(Gone::Owner(now.owner_name.map(str::to_owned)));
        }
    }

    fn whom_to_ask_about_a_complete_copy(&self, now: &Moment<'_>) -> Vec<Incarnation> {
        let is_somebody_silent = self.silent_in_view(now).next().is_some();
        match self.follows() {
            // The next best to a member that is silent.
            _ if is_somebody_silent => self.everyone_else(now),
            Follows::Route(_) => Vec::new(),
            Follows::Owner if owner(now.here) == Some(now.view.myself.incarnation) => Vec::new(),
            Follows::Owner if owner(now.here).is_some() => {
                self.owner_first(now).unwrap_or_default()
            }
            Follows::Owner | Follows::Nobody => self.everyone_else(now),
        }
    }

    /// The owner, if it is another member and was not asked yet.
    fn owner_first(&self, now: &Moment<'_>) -> Option<Vec<Incarnation>> {
        let owner = owner(now.here)?;
        let is_other = owner != now.view.myself.incarnation && now.view.member(owner).is_some();
        (is_other && self.said(owner).is_none()).then(|| vec![owner])
    }

    fn everyone_else(&self, now: &Moment<'_>) -> Vec<Incarnation> {
        let members = now.view.members.iter().map(|member| member.incarnation);
        members
            .filter(|&member| self.said(member).is_none())
            .collect()
    }

    fn verdict(&self, now: &Moment<'_>) -> Verdict {
        let is_silent = self.silent_in_view(now).next().is_some();
        let (gap, is_idle) = match now.here {
            Here::Ended => return self.serve(false, Flags::default()),
            Here::Absent => (None, true),
            Here::Live { gap, is_idle, .. } => (gap.filter(|_| !is_idle), is_idle),
        };
        let is_complete = self.is_all_here(now);
        let is_taken_over =
            self.gone.is_some() && !self.comes_home(now) && !is_planted(Bug::TakesOverInSilence);
        // That there is no session to be served is an answer as well: it may be an old one, and is
        // no takeover.
        let is_told = !is_idle || !is_complete;
        let takeover = (is_taken_over && is_told).then_some(Takeover { is_complete });
        let flags = Flags {
            is_stale: is_silent || gap.is_some(),
            takeover,
            given_up: gap.filter(|_| !is_silent),
        };
        self.serve(is_silent, flags)
    }

    /// A gap that nobody can fill is no reason to refuse: it may never be filled.
    fn serve(&self, is_silent: bool, flags: Flags) -> Verdict {
        if is_silent && self.policy.refuses_stale {
            return Verdict::Refuse;
        }
        Verdict::Serve(flags)
    }

    /// Whether what the gone node had confirmed is certainly here: in a synchronous mode it is on
    /// one of the others, if all of them are in view, have answered, and had known that node.
    ///
    /// In an asynchronous mode nobody knows what was in its queues.
    fn is_all_here(&self, now: &Moment<'_>) -> bool {
        let Some(gone) = self.name_of_gone() else {
            return false;
        };
        // An owner has a name only if it was in view here.
        let knew_gone = self.gone != Some(Gone::NodeOfRoute) || now.knew_route;
        let has_told = |member: &Member| match self.said(member.incarnation) {
            // It bears the name, so it was asked before the node was known to be gone.
            Some(Said::Answer { .. }) if member.name == gone => true,
            Some(Said::Answer { knew_gone, .. }) => knew_gone,
            Some(Said::Nothing) | None => false,
        };
        self.policy.is_synchronous
            && knew_gone
            && now.missing.iter().all(|missing| missing == gone)
            // It may confirm more to others, whom this node does not see.
            && now.silent.iter().all(|silent| silent != gone)
            && now.view.members.iter().all(has_told)
    }

    fn name_of_gone(&self) -> Option<&str> {
        match self.gone.as_ref()? {
            Gone::NodeOfRoute => self.followed_route(),
            Gone::Owner(name) => name.as_deref(),
        }
    }

    /// Whether this incarnation has shown the session last to this client.
    fn comes_home(&self, now: &Moment<'_>) -> bool {
        self.followed_route() == Some(&now.view.myself.name) && was_served(now.here)
    }

    /// Another member in view that the route names.
    fn member_of_route<'v>(&self, now: &Moment<'v>) -> Option<&'v Member> {
        let route = self.followed_route()?;
        now.view.members.iter().find(|member| member.name == route)
    }

    /// Whether the process that the route means is gone: nobody of the name is in view, or whoever
    /// has it has not shown the session to anybody.
    fn is_route_gone(&self, now: &Moment<'_>) -> bool {
        let Some(route) = self.followed_route() else {
            return false;
        };
        if route == now.view.myself.name {
            return !was_served(now.here);
        }
        let Some(member) = self.member_of_route(now) else {
            return true;
        };
        if is_planted(Bug::TrustsNamesakes) {
            return false;
        }
        let said = self.said(member.incarnation);
        matches!(
            said,
            Some(Said::Answer {
                has_served: false,
                ..
            })
        )
    }

    fn follows(&self) -> Follows<'a> {
        match (self.policy.rewrites_route, self.route) {
            (false, _) => Follows::Owner,
            (true, Some(route)) => Follows::Route(route),
            (true, None) => Follows::Nobody,
        }
    }

    fn followed_route(&self) -> Option<&'a str> {
        match self.follows() {
            Follows::Route(route) => Some(route),
            Follows::Owner | Follows::Nobody => None,
        }
    }

    /// Members that were asked, have not answered, and are in view still.
    fn silent_in_view<'s>(
        &'s self,
        now: &'s Moment<'_>,
    ) -> impl Iterator<Item = Incarnation> + use<'s, 'a> {
        self.asked
            .iter()
            .filter(|(member, said)| *said == Said::Nothing && now.view.member(*member).is_some())
            .map(|(member, _)| *member)
    }

    fn said(&self, member: Incarnation) -> Option<Said> {
        let asked = self.asked.iter().find(|(asked, _)| *asked == member);
        asked.map(|(_, said)| *said)
    }

    fn note(&mut self, member: Incarnation, said: Said) {
        if let Some(asked) = self.asked.iter_mut().find(|(asked, _)| *asked == member) {
            asked.1 = said;
        }
    }
}

/// Whether the copy can be served as it is; `None` for what has ended, of which nobody has more.
///
/// An idle copy may lack the touches that are under way.
fn is_complete(here: Here) -> Option<bool> {
    match here {
        Here::Absent => Some(false),
        Here::Live { gap, is_idle, .. } => Some(gap.is_none() && !is_idle),
        Here::Ended => None,
    }
}

fn was_served(here: Here) -> bool {
    matches!(
        here,
        Here::Live {
            was_served: true,
            ..
        }
    )
}

fn owner(here: Here) -> Option<Incarnation> {
    match here {
        Here::Live { owner, .. } => owner,
        Here::Absent | Here::Ended => None,
    }
}

fn is_owner_gone(now: &Moment<'_>) -> bool {
    owner(now.here).is_some_and(|owner| now.view.member(owner).is_none())
}
