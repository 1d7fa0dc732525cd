//! A link without a socket: what would be written is counted.

use std::time::Duration;

use bytes::BytesMut;
use catherd_core::link::{
    Ack, Confirm, ContextId, Frame, FrameClass, Joining, Outbox, OutboxConfig, Ticket,
};
use catherd_core::time::Time;

use crate::operations::{Copy, encode, key};

/// The sending half of a link, and what it has written.
#[derive(Debug)]
pub struct Link {
    outbox: Outbox,
    out: BytesMut,
    /// How often something was written.
    pub writes: usize,
    /// How many bytes were written.
    pub bytes: usize,
}

/// The frame of a write with a payload of `size` bytes, in session number `session`.
pub fn frame(session: u64, size: usize) -> Frame {
    let fragment = Copy::written(size).write();
    Frame {
        context: ContextId(0),
        key: key(session),
        payload: encode(&fragment),
        since: Some(1),
        class: FrameClass::Fragment,
    }
}

impl Default for Link {
    fn default() -> Self {
        let config = OutboxConfig {
            joining: Joining::Keep,
            confirm: Confirm::Applied,
            queue_bytes_max: 64 << 20,
            queue_frames_max: None,
            ack_timeout: Duration::from_secs(15),
            write_ahead_bytes: 256 << 10,
        };
        Self {
            outbox: Outbox::new(config),
            out: BytesMut::with_capacity(1 << 20),
            writes: 0,
            bytes: 0,
        }
    }
}

impl Link {
    /// A request's own frame, written at once if it may be.
    pub fn send(&mut self, frame: Frame) -> Ticket {
        let ticket = self.outbox.push(Time::START, frame);
        self.write();
        ticket
    }

    /// The peer has applied everything up to this number.
    ///
    /// # Panics
    ///
    /// That cannot be.
    pub fn acknowledge(&mut self, up_to: u64) {
        let ack = Ack {
            up_to,
            ..Ack::default()
        };
        let taken = self.outbox.acknowledged(Time::START, &ack);
        taken.expect("it was written");
        self.write();
    }

    fn write(&mut self) {
        while self.outbox.to_write(Time::START, &mut self.out) {
            self.writes += 1;
            self.bytes += self.out.len();
            self.out.clear();
            self.outbox.written(Time::START);
        }
        while self.outbox.poll().is_some() {}
    }
}
