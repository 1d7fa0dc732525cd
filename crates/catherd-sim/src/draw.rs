//! A schedule of faults from a seed: episodes, each of which is a story with an end.
//!
//! Faults that are drawn one by one rarely line up. An episode is a few that belong together: a
//! donor that dies while it gives, a member that is stopped between a commit and its sending, two
//! nodes that join at once. The marked places of the code are favoured, not left to luck.

use std::time::Duration;

use catherd::env::Place;

use crate::fault::{Fault, Node, Schedule, Way};
use crate::plan::Settings;
use crate::random::Random;

/// Draws the faults of a run.
pub(crate) fn schedule(random: &mut Random, settings: &Settings) -> Schedule {
    draw(random, settings, (3, 6), 8000)
}

/// The same for a longer run, with more time between them.
pub(crate) fn long_schedule(random: &mut Random, settings: &Settings) -> Schedule {
    draw(random, settings, (8, 10), 90_000)
}

fn draw(
    random: &mut Random,
    settings: &Settings,
    (least, more): (usize, usize),
    pause_max: u64,
) -> Schedule {
    let start = if settings.at_once {
        Duration::from_secs(4)
    } else {
        Duration::from_secs(4 + settings.nodes as u64)
    };
    let mut drawing = Drawing {
        nodes: settings.nodes,
        drop_time: settings.drop_time,
        at: start + settings.drop_time,
        pause_max,
        is_long: pause_max > 10_000,
        faults: Vec::new(),
    };
    if random.percent(40) {
        let way = way(random);
        drawing.faults.push((Duration::ZERO, Fault::Ways(way)));
    }
    for _ in 0..least + random.below(more) {
        drawing.episode(random);
    }
    if drawing.is_long && random.percent(3) {
        drawing.is_away_for_an_hour(random);
    }
    let for_good = if settings.nodes > 2 && random.percent(25) {
        vec![random.below(settings.nodes)]
    } else {
        Vec::new()
    };
    let end = drawing.at;
    let mut schedule = drawing.faults;
    schedule.retain(|(at, _)| *at < end);
    schedule.sort_by_key(|(at, _)| *at);
    schedule.push((end, Fault::Mend(for_good)));
    schedule
}

struct Drawing {
    nodes: usize,
    drop_time: Duration,
    /// Where the last episode ended.
    at: Duration,
    /// The longest between two of them, in milliseconds.
    pause_max: u64,
    is_long: bool,
    faults: Schedule,
}

impl Drawing {
    fn push(&mut self, after: Duration, fault: Fault) {
        self.faults.push((self.at + after, fault));
    }

    fn episode(&mut self, random: &mut Random) {
        let node = random.below(self.nodes);
        let other = (node + 1 + random.below(self.nodes - 1)) % self.nodes;
        let length = self.length(random);
        if self.is_long && random.percent(8) {
            return self.is_put_back(random, node, length);
        }
        if self.is_long && random.percent(6) {
            return self.freezes(random, node, length);
        }
        match random.below(16) {
            0 => self.dies(random, node, length),
            1 | 2 => self.dies_at_a_place(random, node, length),
            3 => self.stops_at_a_place(random, node, length),
            4 => self.stops(node, length),
            5 => self.leaves(node, length),
            6 => self.splits(random, length),
            7 => self.is_cut_off(node, length),
            8 => self.hears_one_way(random, node, other, length),
            9 => self.flaps(random, node, other),
            10 => self.is_slow(random, node, length),
            11 => self.loses_its_donor(random, node, other, length),
            12 => self.join_together(random, node, other),
            13 => self.rolls(random),
            14 => self.jumps(random, node),
            _ => self.is_reset_or_held(random, node, other, length),
        }
        // Sometimes the next one begins before this one is over.
        let last = self.faults.last().map_or(self.at, |(at, _)| *at);
        let pause = random.millis(0, self.pause_max);
        self.at = if random.percent(25) {
            self.at + pause
        } else {
            self.at.max(last) + pause
        };
    }

    /// Shorter than the drop time, about as long, or much longer.
    fn length(&self, random: &mut Random) -> Duration {
        let drop_time = u64::try_from(self.drop_time.as_millis()).expect("it is seconds");
        match random.below(3) {
            0 => random.millis(10, drop_time),
            1 => random.millis(drop_time, drop_time * 2),
            _ => random.millis(drop_time * 2, drop_time * 2 + 20_000),
        }
    }

    fn dies(&mut self, random: &mut Random, node: Node, length: Duration) {
        if random.percent(50) {
            return self.dies_with_much_unsent(random, node, length);
        }
        self.push(Duration::ZERO, Fault::Crash(node));
        // Sometimes within a heartbeat.
        let away = if random.percent(30) {
            random.millis(0, 400)
        } else {
            length
        };
        self.push(away, Fault::Start(node));
    }

    /// What it had confirmed in an asynchronous mode is lost, and a process of its name is back soon.
    /// What is on its way to others is written; what waits for its acknowledgement dies here.
    fn dies_with_much_unsent(&mut self, random: &mut Random, node: Node, length: Duration) {
        let slow = Way {
            latency: self.drop_time * random.pick(&[0, 1, 2]) / 4,
            bytes_per_second: Some(random.pick(&[500, 2000, 20_000])),
            ..Way::default()
        };
        let dies = random.millis(2000, 8000);
        let again = dies
            + if random.percent(60) {
                random.millis(0, 400)
            } else {
                length
            };
        for other in (0..self.nodes).filter(|&other| other != node) {
            self.push(Duration::ZERO, Fault::OneWay(node, other, slow));
            self.push(dies, Fault::OneWay(node, other, Way::default()));
        }
        self.push(dies, Fault::Crash(node));
        self.push(again, Fault::Start(node));
    }

    fn dies_at_a_place(&mut self, random: &mut Random, node: Node, length: Duration) {
        let place = random.pick(&PLACES);
        self.push(Duration::ZERO, Fault::CrashAt(node, place));
        if place == Place::BeforeGoodbye {
            self.push(Duration::from_millis(10), Fault::Leave(node));
        }
        self.push(Duration::from_secs(3) + length, Fault::Start(node));
    }

    fn stops_at_a_place(&mut self, random: &mut Random, node: Node, length: Duration) {
        // What is committed and not sent is what the fence is for.
        let place = if random.percent(40) {
            Place::Queued
        } else {
            random.pick(&PLACES)
        };
        self.push(Duration::ZERO, Fault::StopAt(node, place));
        self.push(Duration::from_secs(2) + length, Fault::Resume(node));
    }

    fn stops(&mut self, node: Node, length: Duration) {
        self.push(Duration::ZERO, Fault::Pause(node));
        self.push(length, Fault::Resume(node));
    }

    /// A machine is frozen with its clocks. Others are left in peace until it has met somebody.
    fn freezes(&mut self, random: &mut Random, node: Node, length: Duration) {
        self.push(Duration::ZERO, Fault::Freeze(node));
        self.push(length, Fault::Thaw(node));
        self.at += length + self.drop_time + random.millis(8000, 20_000);
    }

    /// Longer than sessions may be idle, and than a clock may be behind unnoticed: what the node holds
    /// has ended long since when it goes on.
    fn is_away_for_an_hour(&mut self, random: &mut Random) {
        let node = random.below(self.nodes);
        let length = random.millis(3_700_000, 5_000_000);
        let (away, back) = if random.percent(50) {
            (Fault::Pause(node), Fault::Resume(node))
        } else {
            (Fault::Freeze(node), Fault::Thaw(node))
        };
        self.push(Duration::ZERO, away);
        self.push(length, back);
        self.at += length + self.drop_time + random.millis(8000, 60_000);
    }

    fn leaves(&mut self, node: Node, length: Duration) {
        self.push(Duration::ZERO, Fault::Leave(node));
        self.push(Duration::from_secs(3) + length, Fault::Start(node));
    }

    fn splits(&mut self, random: &mut Random, length: Duration) {
        let side: Vec<bool> = (0..self.nodes).map(|_| random.percent(50)).collect();
        let mut pairs = Vec::new();
        for a in 0..self.nodes {
            for b in a + 1..self.nodes {
                if side[a] != side[b] {
                    pairs.push((a, b));
                }
            }
        }
        for &(a, b) in &pairs {
            self.push(Duration::ZERO, Fault::Part(a, b));
        }
        // A split may be partial: some pairs find each other before the others.
        for &(a, b) in &pairs {
            let early = random.percent(15);
            let healed = if early { length / 2 } else { length };
            self.push(healed, Fault::Join(a, b));
        }
    }

    fn is_cut_off(&mut self, node: Node, length: Duration) {
        for other in (0..self.nodes).filter(|&other| other != node) {
            self.push(Duration::ZERO, Fault::Part(node, other));
        }
        for other in (0..self.nodes).filter(|&other| other != node) {
            self.push(length, Fault::Join(node, other));
        }
    }

    fn hears_one_way(&mut self, random: &mut Random, a: Node, b: Node, length: Duration) {
        let fault = if random.percent(50) {
            Fault::PartOneWay(a, b)
        } else {
            Fault::Part(a, b)
        };
        self.push(Duration::ZERO, fault);
        self.push(length, Fault::Join(a, b));
    }

    fn flaps(&mut self, random: &mut Random, a: Node, b: Node) {
        let drop_time = u64::try_from(self.drop_time.as_millis()).expect("it is seconds");
        let period = if random.percent(50) {
            Duration::from_secs(1)
        } else {
            random.millis(drop_time / 2, drop_time * 2)
        };
        let mut after = Duration::ZERO;
        for _ in 0..3 + random.below(5) {
            self.push(after, Fault::Part(a, b));
            self.push(after + period, Fault::Join(a, b));
            after += 2 * period;
        }
    }

    fn is_slow(&mut self, random: &mut Random, node: Node, length: Duration) {
        let slow = Way {
            bytes_per_second: Some(random.pick(&[500, 2000, 20_000])),
            ..Way::default()
        };
        for other in (0..self.nodes).filter(|&other| other != node) {
            self.push(Duration::ZERO, Fault::OneWay(other, node, slow));
        }
        for other in (0..self.nodes).filter(|&other| other != node) {
            self.push(length, Fault::OneWay(other, node, Way::default()));
        }
    }

    /// A node starts, and who gives it its state dies in the middle.
    fn loses_its_donor(&mut self, random: &mut Random, node: Node, donor: Node, length: Duration) {
        let slow = Way {
            latency: random.millis(1, 60),
            ..Way::default()
        };
        self.push(Duration::ZERO, Fault::Crash(node));
        self.push(Duration::ZERO, Fault::OneWay(donor, node, slow));
        self.push(length, Fault::Start(node));
        let middle = length + random.millis(0, 1500);
        self.push(middle, Fault::Crash(donor));
        self.push(middle + length, Fault::OneWay(donor, node, Way::default()));
        self.push(middle + length, Fault::Start(donor));
    }

    fn join_together(&mut self, random: &mut Random, a: Node, b: Node) {
        self.push(Duration::ZERO, Fault::Crash(a));
        self.push(random.millis(0, 100), Fault::Crash(b));
        let again = self.length(random);
        self.push(again, Fault::Start(a));
        self.push(again + random.millis(0, 20), Fault::Start(b));
    }

    /// A rolling restart, cleanly or not.
    fn rolls(&mut self, random: &mut Random) {
        let pause = random.millis(3000, 8000);
        let mut after = Duration::ZERO;
        for node in 0..self.nodes {
            if random.percent(70) {
                self.push(after, Fault::Leave(node));
                self.push(after + Duration::from_secs(2), Fault::Start(node));
            } else {
                self.push(after, Fault::Crash(node));
                self.push(after + Duration::from_millis(500), Fault::Start(node));
            }
            after += Duration::from_secs(2) + pause + self.drop_time;
        }
    }

    /// Others are left in peace until it has met somebody: whom nobody tells, cannot know.
    fn is_put_back(&mut self, random: &mut Random, node: Node, length: Duration) {
        let length = length.max(self.drop_time);
        self.push(Duration::ZERO, Fault::Save(node));
        self.push(length, Fault::PutBack(node));
        self.at += length + self.drop_time + random.millis(8000, 20_000);
    }

    fn jumps(&mut self, random: &mut Random, node: Node) {
        let by = random.pick(&[-90_000_000, -7200, -5, 2, 30, 7200, 90_000_000]);
        self.push(Duration::ZERO, Fault::Clock(node, by));
        if random.percent(50) {
            // A clock that drifts, and is put right in small steps.
            for step in 1..5 {
                self.push(Duration::from_secs(step), Fault::Clock(node, 1));
            }
        }
    }

    fn is_reset_or_held(&mut self, random: &mut Random, a: Node, b: Node, length: Duration) {
        if random.percent(40) {
            self.push(Duration::ZERO, Fault::Reset(a, b));
        } else {
            self.push(Duration::ZERO, Fault::Hold(a, b));
            self.push(length, Fault::Join(a, b));
        }
    }
}

fn way(random: &mut Random) -> Way {
    Way {
        latency: random.millis(0, 20),
        jitter: random.millis(0, 20),
        loss: random.pick(&[0, 0, 1, 5, 20]),
        duplication: random.pick(&[0, 5, 20]),
        bytes_per_second: None,
    }
}

const PLACES: [Place; 8] = [
    Place::BeforeEncode,
    Place::Queued,
    Place::Applied,
    Place::BeforeAck,
    Place::ResponseHeld,
    Place::BeforeHello,
    Place::BeforeProbeAnswer,
    Place::BeforeGoodbye,
];
