//! The checker sees what it is there to see: histories written by hand, each with one thing wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use catherd::Mode;
use catherd_sim::{
    Flags, Happened, History, Lag, Number, Operation, Outcome, PRINCIPAL, Plan, Process, READER,
    Ran, Step, Subject, User, Wrote, check,
};

const A: Process = Process {
    node: 0,
    generation: 0,
};
const B: Process = Process {
    node: 1,
    generation: 0,
};

const USER: User = User(1);

/// A history that is told step by step, a second each.
#[derive(Default)]
struct Story(History);

impl Story {
    /// A confirmed request of a client at a node, which found these values and wrote these names.
    fn asks(&mut self, client: usize, at: Process, found: &[(&str, Number)], writes: &[&str]) {
        let number = self.0.operations.len() as Number + 1;
        let of_the_session = [("owner", 7)];
        let found: BTreeMap<String, Vec<Number>> = found
            .iter()
            .chain(&of_the_session)
            .map(|(name, value)| ((*name).to_owned(), vec![*value]))
            .collect();
        let wrote = writes.iter().map(|name| Wrote {
            name: (*name).to_owned(),
            parent: found.get(*name).and_then(|value| value.last().copied()),
            removed: false,
        });
        let operation = Operation {
            number,
            client,
            subject: Subject(7),
            began: Duration::from_secs(number),
            ended: Duration::from_secs(number),
            process: at,
            key: Some("KEY".to_owned()),
            steps: writes
                .iter()
                .map(|name| Step::Write((*name).to_owned()))
                .collect(),
            ran: Some(Ran {
                key: Some("KEY".to_owned()),
                wrote: wrote.collect(),
                found,
                ..Ran::default()
            }),
            outcome: Outcome::Answered {
                flags: Flags::default(),
                copies: vec![A, B],
            },
        };
        self.0.operations.push(operation);
    }

    /// The user logs in, in the session that has this client.
    fn logs_in(&mut self, at: Process) {
        self.asks(1, at, &[], &[PRINCIPAL]);
        self.last().steps = vec![Step::LogInAs(USER)];
    }

    /// Somebody else, in a session of their own, ends all sessions of the user; pending, unless it
    /// was confirmed by all.
    fn ends_all(&mut self, at: Process, is_pending: bool) {
        self.asks(2, at, &[], &[]);
        let end = self.last();
        (end.subject, end.key) = (Subject(8), Some("OTHER".to_owned()));
        end.steps = vec![Step::EndAllOf(USER)];
        end.ran = Some(Ran {
            key: end.key.clone(),
            ended_all_of: Some(USER),
            ..Ran::default()
        });
        if let Outcome::Answered { flags, .. } = &mut end.outcome {
            flags.pending = is_pending;
        }
    }

    /// A client is shown the session, with the user logged in by this operation.
    fn shows(&mut self, client: usize, at: Process, login: Number) {
        self.asks(client, at, &[(PRINCIPAL, login)], &[]);
        if let Some(ran) = &mut self.last().ran {
            ran.user = Some(USER);
        }
    }

    fn last(&mut self) -> &mut Operation {
        self.0.operations.last_mut().expect("something was asked")
    }

    fn happens(&mut self, what: Happened) {
        let now = Duration::from_secs(self.0.operations.len() as u64) + Duration::from_millis(500);
        self.0.events.push((now, what));
    }

    fn broken(&self) -> Vec<&'static str> {
        self.broken_in(Mode::Synchronous)
    }

    fn broken_in(&self, mode: Mode) -> Vec<&'static str> {
        let mut plan = Plan::of(1, mode);
        plan.schedule.clear();
        let found = check(&plan, &self.0);
        let mut promises: Vec<_> = found.iter().map(|violation| violation.promise).collect();
        promises.dedup();
        promises
    }
}

/// Two writes to one register, each of which found the one before.
fn two_writes() -> Story {
    let mut story = Story::default();
    story.asks(1, A, &[], &["r"]);
    story.asks(1, A, &[("r", 1)], &["r"]);
    story
}

#[test]
fn what_should_be_is_found_in_order() {
    let mut story = two_writes();
    story.asks(1, B, &[("r", 2)], &[]);
    story.asks(READER, A, &[("r", 2)], &[]);
    assert!(story.broken().is_empty());
}

#[test]
fn an_older_session_is_noticed_unless_the_answer_says_so() {
    let mut story = two_writes();
    story.asks(1, B, &[("r", 1)], &[]);
    assert_eq!(story.broken(), ["P-MONO"]);
    if let Outcome::Answered { flags, .. } = &mut story.last().outcome {
        flags.takeover = true;
    }
    assert!(story.broken().is_empty());
}

#[test]
fn a_session_that_is_not_there_any_more_is_noticed() {
    let mut story = two_writes();
    story.asks(1, B, &[], &[]);
    story.last().ran = Some(Ran::default());
    assert_eq!(story.broken(), ["P-MONO"]);
}

#[test]
fn a_lost_write_is_noticed_while_somebody_lives_who_held_it() {
    let lost = |ends: &[Process]| {
        let mut story = two_writes();
        for process in ends {
            story.happens(Happened::Ended(*process));
        }
        story.asks(READER, A, &[("r", 1)], &[]);
        story
    };
    assert_eq!(lost(&[]).broken(), ["P-DUR-SYNC"]);
    assert_eq!(lost(&[A]).broken(), ["P-DUR-SYNC"]);
    assert!(lost(&[A, B]).broken().is_empty(), "all copies died");
}

#[test]
fn who_got_it_from_a_holder_is_a_holder() {
    let mut story = two_writes();
    let again = Process {
        node: 0,
        generation: 1,
    };
    story.happens(Happened::Ended(A));
    story.happens(Happened::Ready(again, vec![again, B]));
    story.happens(Happened::Ended(B));
    story.asks(READER, again, &[("r", 1)], &[]);
    assert_eq!(story.broken(), ["P-DUR-SYNC"]);
}

#[test]
fn of_two_writes_that_did_not_know_of_each_other_either_may_be_left() {
    for left in [1, 2] {
        let mut story = Story::default();
        story.asks(1, A, &[], &["r"]);
        story.asks(2, B, &[], &["r"]);
        story.asks(READER, A, &[("r", left)], &[]);
        assert!(story.broken().is_empty());
    }
}

#[test]
fn who_was_declared_gone_must_not_win() {
    let mut story = Story::default();
    story.happens(Happened::Gone(B, A));
    story.asks(1, A, &[], &["r"]);
    story.asks(2, B, &[], &["r"]);
    story.asks(READER, B, &[("r", 1)], &[]);
    assert_eq!(story.broken(), ["P-FENCE"]);
}

#[test]
fn a_session_that_comes_back_after_its_logout_is_noticed() {
    let logout = |pending: bool| {
        let mut story = two_writes();
        story.asks(1, A, &[("r", 2)], &[]);
        if let Some(ran) = &mut story.last().ran {
            ran.ended = true;
        }
        if let Outcome::Answered { flags, .. } = &mut story.last().outcome {
            flags.pending = pending;
        }
        story.asks(2, B, &[("r", 2)], &[]);
        story
    };
    assert_eq!(logout(false).broken(), ["P-GONE"]);
    let mut pending = logout(true);
    assert!(pending.broken().is_empty(), "until all is whole again");
    pending.asks(READER, B, &[("r", 2)], &[]);
    assert_eq!(pending.broken(), ["P-GONE"]);
}

#[test]
fn a_value_from_nowhere_and_the_session_of_another_are_noticed() {
    let mut story = two_writes();
    story.asks(2, B, &[("r", 99)], &[]);
    assert_eq!(story.broken(), ["P-NOMIX"]);
    let mut story = two_writes();
    story.asks(2, B, &[("r", 2)], &[]);
    if let Some(ran) = &mut story.last().ran {
        ran.found.insert("owner".to_owned(), vec![8]);
    }
    assert_eq!(story.broken(), ["P-NOMIX"]);
}

#[test]
fn an_element_that_a_list_lost_is_noticed() {
    let mut story = Story::default();
    story.asks(1, A, &[], &["list"]);
    story.asks(1, A, &[("list", 1)], &["list"]);
    story.asks(2, B, &[], &[]);
    if let Some(ran) = &mut story.last().ran {
        // The second was appended to the first, and the first is not there.
        ran.found.insert("list".to_owned(), vec![5, 2]);
    }
    assert_eq!(story.broken(), ["P-NOMIX"]);
}

#[test]
fn a_node_that_nobody_waits_for_loses_no_more_than_it_had_under_way() {
    let lost = |frames: usize, since: u64| {
        let mut story = two_writes();
        let lag = Lag {
            member: B,
            since: Duration::from_secs(since),
            frames,
        };
        story.happens(Happened::Lagged(A, vec![lag]));
        story.happens(Happened::Ended(A));
        story.asks(READER, B, &[("r", 1)], &[]);
        story
    };
    assert_eq!(lost(0, 0).broken_in(Mode::Asynchronous), ["P-DUR-ASYNC"]);
    let under_way = lost(1, 0).broken_in(Mode::FastAsyncQueue);
    assert!(under_way.is_empty(), "the write was under way");
    let before = lost(0, 3).broken_in(Mode::Asynchronous);
    assert!(before.is_empty(), "it was written before the link was open");
    let mut dead = lost(0, 0);
    dead.0
        .events
        .push((Duration::from_millis(2600), Happened::Ended(B)));
    let both = dead.broken_in(Mode::Asynchronous);
    assert!(both.is_empty(), "who had it is dead as well");
}

#[test]
fn a_user_who_is_logged_in_after_the_end_of_all_their_sessions_is_noticed() {
    for (is_pending, broken) in [(false, &["P-GONE"][..]), (true, &[])] {
        let mut story = Story::default();
        story.logs_in(A);
        story.ends_all(A, is_pending);
        story.shows(1, B, 1);
        assert_eq!(story.broken(), broken, "pending: until all is whole again");
        story.shows(READER, B, 1);
        assert_eq!(story.broken(), ["P-GONE"]);
    }
}

#[test]
fn a_login_after_the_end_of_all_before_it_must_live() {
    let gone_after = |copies: Vec<Process>| {
        let mut story = Story::default();
        story.ends_all(A, false);
        if let Outcome::Answered { copies: of, .. } = &mut story.last().outcome {
            *of = copies;
        }
        story.logs_in(B);
        story.shows(1, B, 2);
        assert!(story.broken().is_empty());
        story.asks(1, B, &[], &[]);
        story.last().ran = Some(Ran::default());
        story.broken()
    };
    assert_eq!(gone_after(vec![A, B]), ["P-MONO"]);
    let unknown = gone_after(vec![A]);
    assert!(unknown.is_empty(), "who logged it in did not know");
}

#[test]
fn two_ends_on_two_sides_of_a_split_may_count_as_one() {
    let mut split = Story::default();
    split.ends_all(A, true);
    split.logs_in(A);
    let mut heard = Story(split.0.clone());
    heard.happens(Happened::Whole(vec![A, B]));
    for story in [&mut split, &mut heard] {
        story.ends_all(B, false);
        story.shows(1, A, 2);
    }
    assert!(split.broken().is_empty(), "they led to the same number");
    assert_eq!(heard.broken(), ["P-GONE"]);
}

#[test]
fn a_session_that_shows_another_user_than_logged_in_is_noticed() {
    let mut story = Story::default();
    story.logs_in(A);
    story.shows(1, A, 1);
    if let Some(ran) = &mut story.last().ran {
        ran.user = Some(User(2));
    }
    assert_eq!(story.broken(), ["P-NOMIX"]);
}
