//! The pulse of the node, as requests look at it: one that finds it old waits for the driver.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catherd_core::membership::Pulse;
use catherd_core::time::Time;

/// Stamped by the driver each time it has done something, at least with each heartbeat.
///
/// The two figures are not read at one moment. That can only make a pulse look old that is not, and
/// then the driver is asked, who decides.
#[derive(Debug)]
pub(super) struct Stamp {
    /// Nanoseconds of the node's clock, or one of the constants.
    at: AtomicU64,
    /// How far the wall clock is ahead of that, in nanoseconds.
    ahead: AtomicI64,
    limit: Duration,
}

/// The node is joining again: whatever is here may be old.
const JOINING_AGAIN: u64 = 0;
/// The node leaves: its pulse does not matter any more.
const LEAVING: u64 = u64::MAX;

impl Stamp {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            at: AtomicU64::new(JOINING_AGAIN),
            ahead: AtomicI64::new(0),
            limit,
        }
    }

    pub(super) fn beat(&self, pulse: Pulse) {
        self.ahead.store(ahead(pulse), Ordering::Relaxed);
        self.at.store(nanos(pulse.at), Ordering::Release);
    }

    pub(super) fn join_again(&self) {
        self.at.store(JOINING_AGAIN, Ordering::Release);
    }

    pub(super) fn leave(&self) {
        self.at.store(LEAVING, Ordering::Release);
    }

    /// Whether the node has run all the time up to `now`, and has its state.
    pub(super) fn is_current(&self, now: Pulse) -> bool {
        match self.at.load(Ordering::Acquire) {
            JOINING_AGAIN => false,
            LEAVING => true,
            at => {
                let limit = i64::try_from(self.limit.as_nanos()).unwrap_or(i64::MAX);
                let ahead_before = self.ahead.load(Ordering::Relaxed);
                let by_wall = ahead(now).saturating_sub(ahead_before);
                u128::from(nanos(now.at).saturating_sub(at)) <= self.limit.as_nanos()
                    && by_wall <= limit
            }
        }
    }
}

/// Above [`JOINING_AGAIN`] at any time.
fn nanos(at: Time) -> u64 {
    let nanos = at.since(Time::START).as_nanos();
    u64::try_from(nanos).map_or(LEAVING - 1, |nanos| nanos + 1)
}

fn ahead(pulse: Pulse) -> i64 {
    let wall = |wall: SystemTime| match wall.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    };
    let at = i64::try_from(nanos(pulse.at)).unwrap_or(i64::MAX);
    wall(pulse.wall).saturating_sub(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(at: u64, wall: u64) -> Pulse {
        Pulse {
            at: Time::since_start(Duration::from_secs(at)),
            wall: UNIX_EPOCH + Duration::from_secs(wall),
        }
    }

    #[test]
    fn a_pulse_is_old_by_either_clock_and_a_wall_clock_that_was_set_back_shows_nothing() {
        let stamp = Stamp::new(Duration::from_secs(2));
        assert!(!stamp.is_current(pulse(0, 1000)), "nothing was stamped yet");
        stamp.beat(pulse(10, 1010));
        assert!(stamp.is_current(pulse(12, 1012)));
        assert!(!stamp.is_current(pulse(13, 1013)));
        assert!(
            !stamp.is_current(pulse(10, 1013)),
            "only the wall clock ran"
        );
        assert!(stamp.is_current(pulse(11, 5)));
        stamp.join_again();
        assert!(!stamp.is_current(pulse(10, 1010)));
        stamp.leave();
        assert!(stamp.is_current(pulse(99, 1099)));
    }
}
