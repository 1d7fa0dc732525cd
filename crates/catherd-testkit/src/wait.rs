//! Waiting for a state, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a state is waited for where a test does not say: far more than any takes, since
/// machines that run tests are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks. It bounds how late a state is noticed, and proves nothing.
const PAUSE: Duration = Duration::from_millis(3);

/// Calls `look` until it gives a value, and returns that and how long it took.
///
/// # Panics
///
/// It gave none within `limit`; the message has `what` was waited for, and what `look` saw last.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return (value, start.elapsed()),
            Err(saw) if start.elapsed() > limit => {
                panic!("waited {limit:?} in vain for: {what}; last seen: {saw}")
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Calls `is_so` until it is.
///
/// # Panics
///
/// It was not within [`PATIENCE`].
pub fn until_true(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, PATIENCE, || {
        is_so().then_some(()).ok_or_else(|| "not so".to_owned())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_the_state_is_there() {
        let mut looks = 0;
        let (value, _) = until("three", PATIENCE, || {
            looks += 1;
            if looks == 3 {
                Ok(looks)
            } else {
                Err(looks.to_string())
            }
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "waited 10ms in vain for: never; last seen: nothing")]
    fn it_says_what_it_waited_for() {
        until::<()>("never", Duration::from_millis(10), || {
            Err("nothing".to_owned())
        });
    }
}
