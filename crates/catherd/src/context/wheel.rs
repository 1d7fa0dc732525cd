//! When to look at which session again: a lazy wheel with a slot a second.
//!
//! A touch only stores a time in the session. When the second comes for which a session is filed,
//! it is looked at, and filed again for the second at which its limit would be reached now. So a
//! touch costs nothing here, and a session in use is looked at once an idle limit.

use std::collections::BTreeMap;
use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::time::Time;

#[derive(Debug, Default)]
pub(crate) struct Wheel {
    slots: BTreeMap<u64, Vec<Key>>,
}

impl Wheel {
    /// Files `key` for the second that begins at `at` or after.
    pub(crate) fn file(&mut self, at: Time, key: Key) {
        let second = second(at + Duration::from_nanos(999_999_999));
        let keys = self.slots.entry(second).or_default();
        if keys.len() == keys.capacity() {
            // They stay until their second has come: by an eighth, where a list would double.
            keys.reserve_exact((keys.len() / 8).max(4));
        }
        keys.push(key);
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Time) -> Vec<Key> {
        let later = self.slots.split_off(&(second(now) + 1));
        std::mem::replace(&mut self.slots, later)
            .into_values()
            .flatten()
            .collect()
    }
}

fn second(time: Time) -> u64 {
    time.since(Time::START.ago(Duration::MAX)).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_due_when_its_second_has_come_and_only_once() {
        let mut wheel = Wheel::default();
        let at = |millis| Time::since_start(Duration::from_millis(millis));
        wheel.file(at(1500), Key::from_bits(1));
        wheel.file(at(9000), Key::from_bits(2));
        assert_eq!(wheel.due(at(1400)), []);
        assert_eq!(wheel.due(at(2000)), [Key::from_bits(1)]);
        assert_eq!(wheel.due(at(3000)), []);
        assert_eq!(wheel.due(at(60_000)), [Key::from_bits(2)]);
    }
}
