//! Single operations of the core, as a write of `/bench/session` needs them: a counter and a
//! payload, by one writer.
//!
//! `cargo run --release -p catherd-micro` prints how long each takes, and what it allocates. The
//! tests assert the counts: of allocations, of bytes, of frames and writes. They assert no time.
#![forbid(unsafe_code)]

mod operations;
mod outbox;

pub use operations::{Copy, Operation, key, operations};
pub use outbox::{Link, frame};

use allocation_counter::AllocationInfo;

/// What one call of something allocates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allocated {
    /// How often it asked for memory; a block that grows in place counts again.
    pub count: u64,
    /// How many bytes it asked for.
    pub bytes: u64,
}

/// What `call` allocates.
pub fn allocated(call: impl FnOnce()) -> Allocated {
    let AllocationInfo {
        count_total,
        bytes_total,
        ..
    } = allocation_counter::measure(call);
    Allocated {
        count: count_total,
        bytes: bytes_total,
    }
}
