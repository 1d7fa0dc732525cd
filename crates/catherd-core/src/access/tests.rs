//! One test for each row, then random requests.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{Access, Ask, Flags, Here, Moment, Policy, Step, Takeover, Verdict};
use crate::membership::{Member, View};
use crate::message::MemberState;
use crate::session::Gap;
use crate::version::Incarnation;

const SYNCHRONOUS: Policy = Policy {
    rewrites_route: true,
    is_synchronous: true,
    refuses_stale: false,
};

const GAP: Gap = Gap {
    told_of: 1,
    arrivals: 2,
};

const ASYNCHRONOUS: Policy = Policy {
    is_synchronous: false,
    ..SYNCHRONOUS
};

/// Routes are not rewritten (`JvmRouteBinderValve enabled="false"`).
const FIXED_ROUTES: Policy = Policy {
    rewrites_route: false,
    ..SYNCHRONOUS
};

pub(super) fn node(name: &str) -> Incarnation {
    Incarnation::from_bits(u64::from(name.as_bytes()[0]))
}

pub(super) fn member(name: &str) -> Member {
    Member {
        incarnation: node(name),
        name: name.to_owned(),
        address: SocketAddr::from(([127, 0, 0, 1], 4000)),
        domain: String::new(),
        state: MemberState::Ready,
        is_suspect: false,
    }
}

/// What the node "M" sees.
#[derive(Clone, Debug)]
struct Sight {
    here: Here,
    view: View,
    missing: Vec<String>,
    silent: Vec<String>,
    knew_route: bool,
    owner_name: Option<String>,
}

fn sees(members: &[&str], here: Here) -> Sight {
    Sight {
        here,
        view: View {
            myself: member("M"),
            members: members.iter().map(|name| member(name)).collect(),
        },
        missing: Vec::new(),
        silent: Vec::new(),
        knew_route: true,
        owner_name: None,
    }
}

impl Sight {
    fn missing(mut self, names: &[&str]) -> Self {
        self.missing = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            here: self.here,
            view: &self.view,
            missing: &self.missing,
            silent: &self.silent,
            knew_route: self.knew_route,
            owner_name: self.owner_name.as_deref(),
        }
    }

    fn step(&self, access: &mut Access<'_>) -> Step {
        access.step(&self.moment())
    }
}

fn live(owner: &str, was_served: bool) -> Here {
    Here::Live {
        gap: None,
        is_idle: false,
        was_served,
        owner: Some(node(owner)),
    }
}

fn behind(owner: &str, was_served: bool) -> Here {
    Here::Live {
        gap: Some(GAP),
        is_idle: false,
        was_served,
        owner: Some(node(owner)),
    }
}

fn ask(members: &[&str]) -> Step {
    Step::Ask(Ask {
        members: members.iter().map(|name| node(name)).collect(),
        about: None,
    })
}

fn ask_about(members: &[&str], gone: &str) -> Step {
    Step::Ask(Ask {
        members: members.iter().map(|name| node(name)).collect(),
        about: Some(gone.to_owned()),
    })
}

fn served(is_stale: bool, takeover: Option<bool>) -> Step {
    let takeover = takeover.map(|is_complete| Takeover { is_complete });
    Step::Done(Verdict::Serve(Flags {
        is_stale,
        takeover,
        given_up: None,
    }))
}

/// The same of a copy whose gap everybody was asked for in vain.
fn given_up(takeover: Option<bool>) -> Step {
    Step::Done(Verdict::Serve(Flags {
        is_stale: true,
        takeover: takeover.map(|is_complete| Takeover { is_complete }),
        given_up: Some(GAP),
    }))
}

const AS_IT_IS: (bool, Option<bool>) = (false, None);

fn as_it_is() -> Step {
    served(AS_IT_IS.0, AS_IT_IS.1)
}

#[test]
fn who_comes_home_to_a_complete_copy_waits_for_nobody() {
    // Whoever owns it, and whether that node is in view or not.
    for owner in ["M", "A", "X"] {
        let sight = sees(&["A", "B"], live(owner, true));
        let mut access = Access::new(ASYNCHRONOUS, Some("M"));
        assert_eq!(sight.step(&mut access), as_it_is(), "owned by {owner}");
    }
}

#[test]
fn the_member_that_showed_the_session_last_is_asked_and_nobody_else() {
    let sight = sees(&["A", "B"], live("B", true));
    let mut access = Access::new(ASYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask(&["A"]));
    access.answered(node("A"), true, true);
    assert_eq!(sight.step(&mut access), as_it_is());
}

#[test]
fn a_joining_member_is_asked_like_any_other() {
    let mut sight = sees(&["A", "B"], Here::Absent);
    sight.view.members[0].state = MemberState::Joining;
    let mut access = Access::new(SYNCHRONOUS, None);
    assert_eq!(sight.step(&mut access), ask(&["A", "B"]));
}

/// There may be a session that only those know who are out of reach.
#[test]
fn that_there_is_no_session_is_flagged_where_one_may_exist_that_nobody_here_knows() {
    let sight = sees(&[], Here::Absent).missing(&["A", "B"]);
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), served(false, Some(false)));
    let sight = sees(&["B"], Here::Absent).missing(&["A"]);
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask_about(&["B"], "A"));
    access.answered(node("B"), false, true);
    assert_eq!(
        sight.step(&mut access),
        as_it_is(),
        "all that A confirmed is at B"
    );
}

#[test]
fn a_process_that_has_not_shown_the_session_is_not_the_one_that_the_route_means() {
    let sight = sees(&["A", "B"], live("A", false));
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask(&["A"]));
    access.answered(node("A"), false, true);
    assert_eq!(sight.step(&mut access), ask_about(&["B"], "A"));
    access.answered(node("B"), true, true);
    assert_eq!(sight.step(&mut access), served(false, Some(true)));
}

#[test]
fn for_a_node_that_is_gone_everyone_is_asked_once_side_by_side() {
    let sight = sees(&["B", "C"], live("B", true)).missing(&["A"]);
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask_about(&["B", "C"], "A"));
    access.answered(node("B"), true, true);
    access.answered(node("C"), false, true);
    assert_eq!(sight.step(&mut access), served(false, Some(true)));
}

#[test]
fn in_an_asynchronous_mode_a_takeover_is_always_flagged() {
    let sight = sees(&["B"], live("B", true)).missing(&["A"]);
    let mut access = Access::new(ASYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask_about(&["B"], "A"));
    access.answered(node("B"), true, true);
    let step = sight.step(&mut access);
    assert_eq!(step, served(false, Some(false)));
    let Step::Done(Verdict::Serve(flags)) = step else {
        panic!("it is served: {step:?}");
    };
    assert!(flags.is_takeover_flagged());
}

/// It may go on elsewhere, and confirm more to members that this node does not see.
#[test]
fn a_takeover_of_a_node_that_only_fell_silent_is_flagged() {
    let mut sight = sees(&["B"], live("B", true)).missing(&["A"]);
    for (silent, is_complete) in [(vec![], true), (vec!["A".to_owned()], false)] {
        sight.silent = silent;
        let mut access = Access::new(SYNCHRONOUS, Some("A"));
        assert_eq!(sight.step(&mut access), ask_about(&["B"], "A"));
        access.answered(node("B"), true, true);
        assert_eq!(sight.step(&mut access), served(false, Some(is_complete)));
    }
}

#[test]
fn a_takeover_is_flagged_if_another_member_is_missing() {
    let sight = sees(&["B"], live("B", true)).missing(&["A", "C"]);
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask_about(&["B"], "A"));
    access.answered(node("B"), true, true);
    assert_eq!(sight.step(&mut access), served(false, Some(false)));
}

#[test]
fn a_takeover_by_the_only_node_left_is_flagged_if_another_one_died_too() {
    for (missing, is_complete) in [(&["A"] as &[_], true), (&["A", "C"], false)] {
        let sight = sees(&[], live("A", false)).missing(missing);
        let mut access = Access::new(SYNCHRONOUS, Some("A"));
        let step = sight.step(&mut access);
        assert_eq!(step, served(false, Some(is_complete)), "{missing:?}");
    }
}

#[test]
fn a_takeover_is_flagged_if_anybody_never_knew_the_gone_node() {
    let sight = sees(&["B", "C"], live("B", false));
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask_about(&["B", "C"], "A"));
    access.answered(node("B"), true, true);
    access.answered(node("C"), true, false);
    assert_eq!(sight.step(&mut access), served(false, Some(false)));

    let mut sight = sees(&[], live("A", false));
    sight.knew_route = false;
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), served(false, Some(false)));
}

#[test]
fn a_takeover_is_flagged_if_a_member_did_not_answer() {
    let sight = sees(&["B", "C"], live("B", false));
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask_about(&["B", "C"], "A"));
    access.answered(node("B"), true, true);
    access.unanswered(node("C"));
    assert_eq!(sight.step(&mut access), served(true, Some(false)));
}

#[test]
fn a_takeover_is_over_when_the_client_comes_with_the_route_of_this_node() {
    let sight = sees(&["B"], live("A", true)).missing(&["A", "C"]);
    let mut access = Access::new(ASYNCHRONOUS, Some("M"));
    assert_eq!(sight.step(&mut access), as_it_is());
    // Behind, it asks whoever may have the rest, and does not take over again.
    let sight = sees(&["B"], behind("A", true)).missing(&["A", "C"]);
    let mut access = Access::new(ASYNCHRONOUS, Some("M"));
    assert!(matches!(sight.step(&mut access), Step::Ask(ask) if ask.members == [node("B")]));
    access.answered(node("B"), false, false);
    assert_eq!(sight.step(&mut access), given_up(None));
}

#[test]
fn a_route_of_this_name_that_this_process_has_not_served_is_that_of_a_node_that_is_gone() {
    let sight = sees(&["B"], live("B", false));
    let mut access = Access::new(ASYNCHRONOUS, Some("M"));
    assert_eq!(sight.step(&mut access), ask_about(&["B"], "M"));
    access.answered(node("B"), false, true);
    assert_eq!(sight.step(&mut access), served(false, Some(false)));
}

#[test]
fn who_lacks_a_write_asks_the_owner_and_then_the_others() {
    let lacks = sees(&["A", "B", "C"], behind("A", true));
    let mut access = Access::new(SYNCHRONOUS, Some("M"));
    assert_eq!(lacks.step(&mut access), ask(&["A"]));
    let mut enough = access.clone();
    enough.answered(node("A"), true, true);
    let has_it = sees(&["A", "B", "C"], live("A", true));
    assert_eq!(has_it.step(&mut enough), as_it_is());

    access.unanswered(node("A"));
    assert_eq!(lacks.step(&mut access), ask(&["B", "C"]));
    access.answered(node("B"), false, false);
    access.answered(node("C"), false, false);
    assert_eq!(lacks.step(&mut access), served(true, None));
}

#[test]
fn a_donor_that_lacks_the_write_as_well_is_not_enough() {
    let lacks = sees(&["A", "B", "C"], behind("B", false));
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(lacks.step(&mut access), ask(&["A"]));
    access.answered(node("A"), true, true);
    assert_eq!(lacks.step(&mut access), ask(&["B"]), "the owner");
    access.answered(node("B"), false, false);
    assert_eq!(lacks.step(&mut access), ask(&["C"]));
}

#[test]
fn a_gap_that_nobody_can_fill_is_flagged_and_not_refused() {
    let policy = Policy {
        refuses_stale: true,
        ..SYNCHRONOUS
    };
    let sight = sees(&["B"], behind("M", true));
    let mut access = Access::new(policy, Some("M"));
    assert_eq!(sight.step(&mut access), ask(&["B"]));
    access.answered(node("B"), false, false);
    assert_eq!(sight.step(&mut access), given_up(None));
}

#[test]
fn a_member_in_view_that_does_not_answer_makes_the_answer_stale_or_refused() {
    for (refuses_stale, last) in [
        (false, served(true, None)),
        (true, Step::Done(Verdict::Refuse)),
    ] {
        let policy = Policy {
            refuses_stale,
            ..SYNCHRONOUS
        };
        for here in [live("A", false), Here::Absent] {
            let sight = sees(&["A", "B"], here);
            let mut access = Access::new(policy, Some("A"));
            assert_eq!(sight.step(&mut access), ask(&["A"]));
            access.unanswered(node("A"));
            assert_eq!(sight.step(&mut access), ask(&["B"]), "the next best");
            access.answered(node("B"), false, false);
            assert_eq!(sight.step(&mut access), last, "{here:?}");
        }
    }
}

#[test]
fn a_member_that_left_the_view_instead_of_answering_is_gone_and_nothing_is_stale() {
    let sight = sees(&["A", "B"], live("A", false));
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    assert_eq!(sight.step(&mut access), ask(&["A"]));
    access.unanswered(node("A"));
    let sight = sees(&["B"], live("A", false)).missing(&["A"]);
    assert_eq!(sight.step(&mut access), ask_about(&["B"], "A"));
    access.answered(node("B"), false, true);
    assert_eq!(sight.step(&mut access), served(false, Some(true)));
}

#[test]
fn an_idle_copy_is_served_only_if_somebody_used_it_more_recently() {
    let idle = |was_served| Here::Live {
        gap: None,
        is_idle: true,
        was_served,
        owner: Some(node("A")),
    };
    let sight = sees(&["A", "B"], idle(true));
    let mut access = Access::new(SYNCHRONOUS, Some("M"));
    assert_eq!(sight.step(&mut access), ask(&["A"]), "the owner first");
    access.answered(node("A"), true, true);
    let used = sees(&["A", "B"], live("A", true));
    assert_eq!(used.step(&mut access.clone()), as_it_is());
    assert_eq!(sight.step(&mut access), ask(&["B"]));
    access.answered(node("B"), true, true);
    assert_eq!(sight.step(&mut access), as_it_is(), "nothing is shown");
}

#[test]
fn of_what_has_ended_nobody_has_more() {
    for route in [None, Some("M"), Some("A"), Some("X")] {
        let sight = sees(&["A", "B"], Here::Ended).missing(&["X"]);
        let mut access = Access::new(ASYNCHRONOUS, route);
        assert_eq!(sight.step(&mut access), as_it_is());
    }
    // Nor is anybody else asked once an answer was a tombstone.
    let mut access = Access::new(SYNCHRONOUS, Some("A"));
    let before = sees(&["A", "B"], live("A", false));
    assert_eq!(before.step(&mut access), ask(&["A"]));
    access.answered(node("A"), false, true);
    let after = sees(&["A", "B"], Here::Ended);
    assert_eq!(after.step(&mut access), as_it_is());
}

#[test]
fn without_routes_that_follow_the_client_the_owner_is_asked() {
    let sight = sees(&["A", "B"], live("A", true));
    let mut access = Access::new(FIXED_ROUTES, Some("M"));
    assert_eq!(sight.step(&mut access), ask(&["A"]));
    access.answered(node("A"), false, false);
    assert_eq!(sight.step(&mut access), as_it_is());

    let own = sees(&["A", "B"], live("M", true));
    let mut access = Access::new(FIXED_ROUTES, Some("A"));
    assert_eq!(own.step(&mut access), as_it_is(), "this node owns it");
}

#[test]
fn an_owner_that_is_gone_is_taken_over_from_by_name() {
    for (owner_name, is_complete) in [(Some("X"), true), (None, false)] {
        let mut sight = sees(&["B"], live("X", true)).missing(&["X"]);
        if owner_name.is_none() {
            sight.missing.clear();
        }
        sight.owner_name = owner_name.map(str::to_owned);
        let mut access = Access::new(FIXED_ROUTES, Some("A"));
        let step = sight.step(&mut access);
        assert_eq!(
            step,
            owner_name.map_or(ask(&["B"]), |name| ask_about(&["B"], name))
        );
        access.answered(node("B"), false, true);
        assert_eq!(sight.step(&mut access), served(false, Some(is_complete)));
    }
}

#[test]
fn a_cookie_without_a_route_names_nobody_so_everyone_is_asked() {
    for here in [live("A", true), live("M", true), Here::Absent] {
        let sight = sees(&["A", "B"], here);
        let mut access = Access::new(SYNCHRONOUS, None);
        assert_eq!(sight.step(&mut access), ask(&["A", "B"]), "{here:?}");
        access.answered(node("A"), false, false);
        access.answered(node("B"), false, false);
        assert_eq!(sight.step(&mut access), as_it_is());
    }
}

/// What a member does with a question.
#[derive(Clone, Copy, Debug)]
enum Reaction {
    Answers {
        has_served: bool,
        knew_gone: bool,
        then: Here,
    },
    IsSilent,
    Leaves,
}

fn any_here() -> impl Strategy<Value = Here> {
    let owner = prop::option::of(prop::sample::select(vec!["A", "B", "C", "M", "X"]));
    prop_oneof![
        1 => Just(Here::Absent),
        1 => Just(Here::Ended),
        6 => (any::<bool>(), prop::bool::weighted(0.2), any::<bool>(), owner).prop_map(
            |(is_behind, is_idle, was_served, owner)| Here::Live {
                gap: is_behind.then_some(GAP),
                is_idle,
                was_served,
                owner: owner.map(node),
            }
        ),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    any::<(bool, bool, bool)>().prop_map(|(rewrites_route, is_synchronous, refuses_stale)| Policy {
        rewrites_route,
        is_synchronous,
        refuses_stale,
    })
}

fn any_reaction() -> impl Strategy<Value = Reaction> {
    prop_oneof![
        4 => (any::<bool>(), any::<bool>(), any_here()).prop_map(|(has_served, knew_gone, then)| {
            Reaction::Answers { has_served, knew_gone, then }
        }),
        1 => Just(Reaction::IsSilent),
        1 => Just(Reaction::Leaves),
    ]
}

fn any_sight() -> impl Strategy<Value = Sight> {
    let members = prop::sample::subsequence(vec!["A", "B", "C"], 0..=3);
    let missing = prop::sample::subsequence(vec!["X", "Y"], 0..=2);
    let owner_name = prop::option::of(Just("X".to_owned()));
    (members, missing, any_here(), any::<bool>(), owner_name).prop_map(
        |(members, missing, here, knew_route, owner_name)| Sight {
            knew_route,
            owner_name,
            ..sees(&members, here).missing(&missing)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2048,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// For whatever members do: it ends, asks nobody twice, and says what it must.
    #[test]
    fn every_request_ends_and_says_what_is_weaker(
        policy in any_policy(),
        route in prop::option::of(prop::sample::select(vec!["A", "B", "M", "X"])),
        mut sight in any_sight(),
        reactions in prop::collection::vec(any_reaction(), 3),
    ) {
        let mut access = Access::new(policy, route);
        let (mut reactions, mut asked) = (reactions.into_iter(), Vec::new());
        let (mut silent, mut showed_last, mut has_asked_gone) = (Vec::new(), false, false);
        let verdict = loop {
            let ask = match sight.step(&mut access) {
                Step::Done(verdict) => break verdict,
                Step::Ask(ask) => ask,
            };
            prop_assert!(!ask.members.is_empty());
            has_asked_gone |= ask.about.is_some();
            for member in ask.members {
                prop_assert!(!asked.contains(&member), "asked twice");
                prop_assert!(member != sight.view.myself.incarnation);
                asked.push(member);
                match reactions.next().expect("three members are asked once each at most") {
                    Reaction::Answers { has_served, knew_gone, then } => {
                        access.answered(member, has_served, knew_gone);
                        sight.here = then;
                        showed_last |= has_served && route.map(node) == Some(member);
                    }
                    Reaction::IsSilent => {
                        access.unanswered(member);
                        silent.push(member);
                    }
                    Reaction::Leaves => {
                        access.unanswered(member);
                        sight.view.members.retain(|other| other.incarnation != member);
                    }
                }
            }
        };
        silent.retain(|member| sight.view.member(*member).is_some());
        let is_ended = sight.here == Here::Ended;
        let Verdict::Serve(flags) = verdict else {
            prop_assert!(policy.refuses_stale && !silent.is_empty() && !is_ended);
            return Ok(());
        };
        if is_ended {
            prop_assert_eq!(flags, Flags::default());
            return Ok(());
        }
        prop_assert!(flags.is_stale || silent.is_empty(), "a silent member is said");
        prop_assert!(!policy.refuses_stale || silent.is_empty(), "or the request refused");
        let Here::Live { gap, is_idle, was_served, .. } = sight.here else {
            // Nothing is served, and that may be an old answer.
            let is_complete = flags.takeover.is_some_and(|takeover| takeover.is_complete);
            prop_assert!(!is_complete, "nothing is taken over");
            return Ok(());
        };
        prop_assert!(flags.is_stale || gap.is_none() || is_idle, "a gap is said");
        // It is given up when everybody has been asked, and not before.
        let was_asked = |member: &Member| asked.contains(&member.incarnation);
        prop_assert_eq!(
            flags.given_up,
            gap.filter(|_| !is_idle && silent.is_empty()),
        );
        prop_assert!(flags.given_up.is_none() || sight.view.members.iter().all(was_asked));
        if flags.takeover.is_some_and(|takeover| takeover.is_complete) {
            prop_assert!(policy.is_synchronous && silent.is_empty());
            prop_assert!(sight.view.members.iter().all(|m| asked.contains(&m.incarnation)));
        }
        // An older session than the client saw is never shown without a word.
        let is_plain = flags == Flags::default() && !is_idle;
        if policy.rewrites_route && is_plain && let Some(route) = route {
            let comes_home = route == "M" && was_served;
            prop_assert!(comes_home || showed_last, "route {route}: {sight:?}");
        }
        prop_assert!(!has_asked_gone || flags.takeover.is_some() || is_idle || was_served);
    }
}
