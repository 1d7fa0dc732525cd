//! The door to the world, without its type: what the parts behind the public types call.

use std::fmt::Debug;
use std::time::SystemTime;

use catherd_core::key::Key;
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use futures_util::future::BoxFuture;

use crate::env::{Env, Faults};

/// An [`Env`] whose sockets nobody needs: neither `Cluster` nor `Session` is generic.
pub(crate) trait Surroundings: Debug + Send + Sync {
    fn now(&self) -> Time;
    fn wall_clock(&self) -> SystemTime;
    fn fill_random(&self, out: &mut [u8]);
    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()>;
    fn spawn(&self, task: BoxFuture<'static, ()>);
    fn faults(&self) -> &Faults;
}

impl<E: Env> Surroundings for E {
    fn now(&self) -> Time {
        Env::now(self)
    }

    fn wall_clock(&self) -> SystemTime {
        Env::wall_clock(self)
    }

    fn fill_random(&self, out: &mut [u8]) {
        Env::fill_random(self, out);
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        let env = self.clone();
        Box::pin(async move { Env::sleep_until(&env, at).await })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(Env::spawn(self, task));
    }

    fn faults(&self) -> &Faults {
        Env::faults(self)
    }
}

impl dyn Surroundings {
    /// 128 random bits. A zero would look like a missing key to a reader of logs; it never comes.
    pub(crate) fn draw_key(&self) -> Key {
        let mut bits = [0; 16];
        self.fill_random(&mut bits);
        Key::from_bits(u128::from_be_bytes(bits))
    }

    pub(crate) fn draw_incarnation(&self) -> Incarnation {
        let mut bits = [0; 8];
        self.fill_random(&mut bits);
        Incarnation::from_bits(u64::from_be_bytes(bits))
    }
}
