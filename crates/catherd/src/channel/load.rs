//! How much is on its way to a member, over all links of its pool: whether one would be enough.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catherd_core::link::OutboxConfig;
use catherd_core::time::Time;
use parking_lot::Mutex;

/// What the links of a pool have on their way together.
///
/// One link gathers better than several: its writes, reads and acknowledgements carry more frames
/// each. Several are of use where one blocks, and so links behind the first are opened when the
/// member is busy, and closed when it has not been for long.
#[derive(Debug)]
pub(super) struct Load {
    bytes: AtomicUsize,
    busy_bytes: usize,
    busy_at: Mutex<Option<Time>>,
}

impl Load {
    /// For a pool of so many links.
    pub(super) fn new(outbox: &OutboxConfig, links: usize) -> Self {
        // Long before the part of the bounds is full that one link has.
        let part = outbox.queue_bytes_max / links.max(1) / 2;
        Self {
            bytes: AtomicUsize::new(0),
            busy_bytes: BUSY_BYTES.min(part),
            busy_at: Mutex::default(),
        }
    }

    /// A link has so many bytes on its way, after so many.
    pub(super) fn change(&self, now: Time, before: usize, after: usize) {
        let bytes = if after >= before {
            let more = after - before;
            self.bytes.fetch_add(more, Ordering::Relaxed) + more
        } else {
            let less = before - after;
            self.bytes.fetch_sub(less, Ordering::Relaxed) - less
        };
        if bytes >= self.busy_bytes {
            self.note_busy(now);
        }
    }

    /// A socket took no more, or there is as much on its way as one link does not carry well.
    pub(super) fn note_busy(&self, now: Time) {
        let mut busy_at = self.busy_at.lock();
        *busy_at = busy_at.max(Some(now));
    }

    /// Whether the member has been busy within this time.
    pub(super) fn was_busy_within(&self, time: Duration, now: Time) -> bool {
        let busy_at = *self.busy_at.lock();
        busy_at.is_some_and(|at| now < at + time)
    }
}

/// So much on its way makes a member busy: two milliseconds of a gigabit, and what some hundred
/// users who write a kilobyte at once never reach.
const BUSY_BYTES: usize = 256 * 1024;

/// So long on its way makes a member busy as well: whoever writes next has to wait for what takes
/// so long already.
pub(super) const BUSY_AGE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use catherd_core::link::{Confirm, Joining};

    use super::*;

    fn at(millis: u64) -> Time {
        Time::since_start(Duration::from_millis(millis))
    }

    fn load(queue_bytes_max: usize, links: usize) -> Load {
        let outbox = OutboxConfig {
            joining: Joining::Keep,
            confirm: Confirm::Applied,
            queue_bytes_max,
            queue_frames_max: None,
            ack_timeout: Duration::from_secs(15),
            write_ahead_bytes: 1 << 16,
        };
        Load::new(&outbox, links)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_member_is_busy_while_much_is_on_its_way_over_all_links_together() {
        let load = load(64 << 20, 25);
        load.change(at(0), 0, BUSY_BYTES / 2);
        assert!(!load.was_busy_within(SECOND, at(0)));
        load.change(at(1), 0, BUSY_BYTES / 2);
        assert!(load.was_busy_within(SECOND, at(1)));
        load.change(at(2), BUSY_BYTES / 2, 0);
        assert!(load.was_busy_within(SECOND, at(1_000)), "it was");
        assert!(!load.was_busy_within(SECOND, at(1_001)));
    }

    #[test]
    fn a_socket_that_takes_no_more_makes_it_busy() {
        let load = load(64 << 20, 25);
        load.note_busy(at(5));
        load.note_busy(at(4));
        assert!(load.was_busy_within(SECOND, at(1_004)), "clocks come late");
        assert!(!load.was_busy_within(SECOND, at(1_005)));
    }

    #[test]
    fn short_queues_are_busy_before_they_are_full() {
        let load = load(80_000, 4);
        load.change(at(0), 0, 10_000);
        assert!(load.was_busy_within(SECOND, at(0)));
    }
}
