//! Time on a simulated host: that of the runtime, whose clock a test pauses.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use catherd_core::time::Time;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

/// The clock of one process on one host.
#[derive(Debug)]
pub(super) struct HostClock {
    /// What the runtime showed at [`Time::START`].
    origin: Instant,
    /// For how long the host was frozen until now; its clock did not go on then.
    frozen: Duration,
    frozen_since: Option<Instant>,
    /// The time of day at some instant of this clock.
    wall: (SystemTime, Time),
}

impl HostClock {
    pub(super) fn new(now: Instant, wall: SystemTime) -> Self {
        Self {
            origin: now,
            frozen: Duration::ZERO,
            frozen_since: None,
            wall: (wall, Time::START),
        }
    }

    pub(super) fn time(&self, now: Instant) -> Time {
        let until = self.frozen_since.unwrap_or(now);
        let passed = until.saturating_duration_since(self.origin);
        Time::since_start(passed.saturating_sub(self.frozen))
    }

    pub(super) fn wall_clock(&self, now: Instant) -> SystemTime {
        let (wall, at) = self.wall;
        wall + self.time(now).since(at)
    }

    pub(super) fn set_wall_clock(&mut self, now: Instant, wall: SystemTime) {
        self.wall = (wall, self.time(now));
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen_since.is_some()
    }

    pub(super) fn freeze(&mut self, now: Instant) {
        self.frozen_since.get_or_insert(now);
    }

    pub(super) fn thaw(&mut self, now: Instant) {
        if let Some(since) = self.frozen_since.take() {
            self.frozen += now.saturating_duration_since(since);
        }
    }
}

/// A timer that is made when it is first needed, on the runtime of the network.
#[derive(Debug)]
pub(super) struct Timer {
    runtime: Handle,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            sleep: None,
        }
    }

    /// Ready once the runtime shows `at`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| {
            let _inside = self.runtime.enter();
            Box::pin(tokio::time::sleep_until(at))
        });
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}
