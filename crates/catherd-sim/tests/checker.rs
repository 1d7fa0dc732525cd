//! The checker sees what it is there to see: histories written by hand, each with one thing wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use catherd::Mode;
use catherd_sim::{
    Flags, Happened, History, Lag, Number, Operation, Outcome, Plan, Process, READER, Ran, Step,
    Subject, Wrote, check,
};

const A: Process = Process {
    node: 0,
    generation: 0,
};
const B: Process = Process {
    node: 1,
    generation: 0,
};

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
