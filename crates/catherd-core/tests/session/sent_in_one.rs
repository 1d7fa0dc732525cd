//! What is sent in place of a run of writes that never left.

use catherd_core::session::{Content, Extent, Fragment, Outcome, Rules};
use catherd_core::version::Dot;
use proptest::prelude::*;

use crate::model::*;
use crate::support::*;

const SENDER: usize = 0;
const RECEIVER: usize = 1;
const OTHER: usize = 2;

/// What happens between the first write that waits and the moment when its turn comes.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    /// The sender writes; the receiver is not told.
    Write { name: u8, is_set: bool },
    /// The other node writes; both are told.
    WriteOfOther { name: u8, is_set: bool },
    /// The other node hears what the sender wrote last.
    OtherHears,
    /// The other node sends both all that it has.
    OtherSendsWhole,
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        5 => (0..4_u8, any::<bool>()).prop_map(|(name, is_set)| Meanwhile::Write { name, is_set }),
        3 => (0..4_u8, any::<bool>())
            .prop_map(|(name, is_set)| Meanwhile::WriteOfOther { name, is_set }),
        1 => Just(Meanwhile::OtherHears),
        1 => Just(Meanwhile::OtherSendsWhole),
    ]
}

fn write(cluster: &mut Cluster, node: usize, name: u8, is_set: bool) -> Fragment {
    let step = if is_set {
        Step::Set { node, name }
    } else {
        Step::Remove { node, name }
    };
    cluster.run(&[step]);
    cluster.commit(node, KEY, Extent::Changes);
    cluster.sent.last().expect("something was set").clone()
}

/// The live registers and the vector of a node's copy.
fn live(cluster: &Cluster, node: usize) -> Shown {
    let entry = cluster.sites[node].table.entry(KEY);
    match shown(entry.as_ref()) {
        Shown::Live(birth, mut registers, seen) => {
            registers.retain(|(_, register)| register.value.is_some());
            Shown::Live(birth, registers, seen)
        }
        other => other,
    }
}

fn run(before: &[Step], then: &[Meanwhile], rules: Rules) {
    let mut cluster = Cluster::new(3, rules);
    cluster.run(before);
    cluster.exchange();
    cluster.exchange();
    let writer = cluster.sites[SENDER].by.incarnation;
    let since = Dot {
        writer,
        revision: cluster.seen(SENDER, KEY).revision(writer),
    };
    for step in then {
        match *step {
            Meanwhile::Write { name, is_set } => {
                write(&mut cluster, SENDER, name, is_set);
            }
            Meanwhile::WriteOfOther { name, is_set } => {
                let sent = write(&mut cluster, OTHER, name, is_set);
                cluster.deliver(SENDER, &sent);
                cluster.deliver(RECEIVER, &sent);
            }
            Meanwhile::OtherHears => {
                let whole = cluster.whole(SENDER, KEY).expect("it is committed");
                cluster.deliver(OTHER, &whole);
            }
            Meanwhile::OtherSendsWhole => {
                let whole = cluster.whole(OTHER, KEY).expect("it is committed");
                cluster.deliver(SENDER, &whole);
                cluster.deliver(RECEIVER, &whole);
            }
        }
    }
    let entry = cluster.sites[SENDER].table.entry(KEY);
    let state = entry.as_ref().and_then(|entry| entry.live());
    let write = state.expect("nobody ended it").since(now(), since);
    let fits = write.fits(&cluster.seen(RECEIVER, KEY));
    let fragment = Fragment {
        key: KEY,
        content: Content::Write(write),
    };
    let merged = cluster.deliver(RECEIVER, &fragment);
    if fits {
        assert_eq!(merged.outcome, Outcome::Complete);
    } else {
        assert_eq!(merged.outcome, Outcome::Behind, "it knows that it must ask");
        let whole = cluster.whole(SENDER, KEY).expect("it is committed");
        cluster.deliver(RECEIVER, &whole);
    }
    assert_eq!(live(&cluster, RECEIVER), live(&cluster, SENDER));
    let entry = cluster.sites[RECEIVER].table.entry(KEY);
    let state = entry.as_ref().and_then(|entry| entry.live());
    assert!(!state.expect("nobody ended it").is_behind());
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_copy_with_all_that_came_before_is_equal_to_the_sender(
        before in writes(30),
        then in prop::collection::vec(meanwhile(), 1..30),
    ) {
        run(&before, &then, NO_FORGETTING);
    }

    #[test]
    fn so_it_is_where_removals_are_forgotten(
        before in writes(30),
        then in prop::collection::vec(meanwhile(), 1..30),
        kept in 1..3_usize,
    ) {
        run(&before, &then, Rules { removals_kept: kept, ..NO_FORGETTING });
    }
}

#[test]
fn several_writes_travel_as_one_with_the_highest_version_of_each_name() {
    let (mut a, mut b) = two_nodes();
    b.merge(&a.write("known", "there"));
    a.write("x", "three");
    a.write("y", "four");
    a.write("x", "five");
    let write = a.state().since(now(), dot(A, 2));
    assert_eq!(write.since, Some(dot(A, 2)));
    let names: Vec<_> = write.registers.into_iter().map(|(slot, _)| slot).collect();
    assert_eq!(names, [attribute("x"), attribute("y")]);
    let fragment = Fragment {
        key: KEY,
        content: Content::Write(write),
    };
    assert_eq!(b.merge(&fragment).outcome, Outcome::Complete);
    assert_eq!(b.state().registers(), a.state().registers());
    assert_eq!(b.state().seen(), a.state().seen());
}

#[test]
fn a_run_of_writes_whose_start_the_receiver_lacks_does_not_fit() {
    let (mut a, mut b) = two_nodes();
    a.write("lost", "two");
    a.write("x", "three");
    let fragment = Fragment {
        key: KEY,
        content: Content::Write(a.state().since(now(), dot(A, 2))),
    };
    assert_eq!(b.merge(&fragment).outcome, Outcome::Behind);
}
