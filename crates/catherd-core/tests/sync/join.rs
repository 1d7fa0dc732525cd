//! A starting node among members that write, come and go.

use std::collections::BTreeSet;

use catherd_core::sync::{Join, Pull};
use proptest::prelude::*;

use crate::tables::{Change, Node, SIZE, config};

const DONORS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A member writes; the starting node hears of it if there is a connection.
    Change(usize, Change),
    Come(usize),
    Leave(usize),
    /// One of the pulls that are under way comes to its end.
    Finish(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let donor = 0..DONORS;
    prop_oneof![
        6 => (donor.clone(), Change::strategy()).prop_map(|(at, change)| Event::Change(at, change)),
        2 => donor.clone().prop_map(Event::Come),
        1 => donor.prop_map(Event::Leave),
        8 => (any::<usize>(), prop::bool::weighted(0.9))
            .prop_map(|(which, is_done)| Event::Finish(which, is_done)),
    ]
}

/// The starting node and the members.
struct Course {
    join: Join,
    starting: Node,
    donors: [Node; DONORS],
    present: BTreeSet<usize>,
    open: Vec<Pull>,
}

impl Course {
    fn new() -> Self {
        Self {
            join: Join::new(SIZE),
            starting: Node::new(9),
            donors: [1, 2, 3].map(Node::new),
            present: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Change(at, change) => {
                let told = self.donors[at].make(change);
                if let Some(fragment) = told.filter(|_| self.present.contains(&at)) {
                    self.starting.merge(&fragment);
                }
            }
            Event::Come(at) => {
                self.present.insert(at);
                self.tell_donors();
            }
            Event::Leave(at) => {
                self.present.remove(&at);
                self.tell_donors();
                let member = self.donors[at].incarnation;
                let (lost, open) = self.open.drain(..).partition(|pull| pull.from == member);
                self.open = open;
                let lost: Vec<Pull> = lost;
                for pull in lost {
                    self.join.handle_pulled(&pull, false);
                }
            }
            Event::Finish(which, is_done) => {
                if !self.open.is_empty() {
                    let pull = self.open.remove(which % self.open.len());
                    self.finish(&pull, is_done);
                }
            }
        }
        self.begin_pulls();
        self.check();
    }

    fn tell_donors(&mut self) {
        let present = self.present.iter();
        let donors: Vec<_> = present.map(|&at| self.donors[at].incarnation).collect();
        self.join.handle_donors(donors);
    }

    fn finish(&mut self, pull: &Pull, is_done: bool) {
        if is_done {
            let mut donors = self.donors.iter();
            let donor = donors.find(|donor| donor.incarnation == pull.from);
            let donor = donor.expect("pulls are from donors");
            self.starting.pull(donor, pull.buckets.clone());
        }
        self.join.handle_pulled(pull, is_done);
    }

    fn begin_pulls(&mut self) {
        while let Some(pull) = self.join.poll() {
            let is_busy = self.open.iter().any(|open| open.from == pull.from);
            assert!(!is_busy, "one pull a donor");
            let present = self.present.iter();
            let mut members = present.map(|&at| self.donors[at].incarnation);
            assert!(members.any(|member| member == pull.from), "of who is there");
            self.open.push(pull);
        }
    }

    /// The point of it all: who is verified holds all that each donor holds.
    fn check(&self) {
        assert!((0.0..=1.0).contains(&self.join.progress()));
        if self.join.is_verified() {
            for &at in &self.present {
                assert!(self.starting.holds_all_of(&self.donors[at]), "donor {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_node_that_has_verified_holds_all_that_every_donor_holds(
        events in prop::collection::vec(event(), 0..150),
        last in prop::collection::btree_set(0..DONORS, 1..=DONORS),
    ) {
        let mut course = Course::new();
        for event in events {
            course.step(event);
        }
        // Whatever went wrong, donors that come anew and do not fail are enough.
        for at in 0..DONORS {
            course.step(Event::Leave(at));
        }
        for &at in &last {
            course.step(Event::Come(at));
        }
        let mut pulls = 0;
        while !course.open.is_empty() {
            course.step(Event::Finish(0, true));
            pulls += 1;
            prop_assert!(pulls <= Join::PARTS as usize + DONORS, "it ends");
        }
        prop_assert!(course.join.is_verified());
        prop_assert!((course.join.progress() - 1.0).abs() < f64::EPSILON);
    }
}
