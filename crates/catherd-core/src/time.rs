//! Instants of one node's own clock.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// An instant of this node's clock, in nanoseconds.
///
/// The clock never jumps and counts suspension. Its origin lies two hundred years before the
/// start of the process, because ages reach behind the start and must not underflow. Instants of
/// two nodes cannot be compared; what crosses the wire is an age.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(NonZeroU64);

impl Time {
    /// The start of the process: two hundred years after the origin.
    pub const START: Self = Self::from_nanos(200 * 365 * 24 * 3600 * 1_000_000_000);

    /// The instant `since_start` after the start of the process.
    pub fn since_start(since_start: Duration) -> Self {
        Self::START + since_start
    }

    /// How long ago `earlier` was; zero if it has not come yet.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos().saturating_sub(earlier.nanos()))
    }

    /// The instant `age` ago, not before the origin.
    pub fn ago(self, age: Duration) -> Self {
        Self::from_nanos(self.nanos().saturating_sub(nanos(age)))
    }

    /// One more is kept, so that "at no time" takes no place beside an instant.
    const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    fn nanos(self) -> u64 {
        self.0.get() - 1
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self >= Self::START {
            write!(f, "+{:?}", self.since(Self::START))
        } else {
            write!(f, "-{:?}", Self::START.since(*self))
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_of_a_century_reaches_behind_the_start() {
        let now = Time::since_start(Duration::from_secs(5));
        let age = Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(now.since(now.ago(age)), age);
        assert_eq!(format!("{now:?}"), "+5s");
    }

    #[test]
    fn absurd_ages_stop_at_the_origin() {
        assert!(Time::START.ago(Duration::MAX) < Time::START);
        assert_eq!(
            Time::START.since(Time::START + Duration::from_secs(1)),
            Duration::ZERO
        );
    }
}
