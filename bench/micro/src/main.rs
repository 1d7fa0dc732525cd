//! Prints what single operations take, as a table in Markdown.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use catherd_micro::{Operation, allocated, operations};

/// An odd number: the median is a call that took place.
const CALLS: usize = 4001;

#[expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]
fn main() {
    println!("| operation | payload | ns | allocations | bytes allocated |");
    println!("|---|---:|---:|---:|---:|");
    for size in [1000, 10_000, 100_000] {
        for mut operation in operations(size) {
            let time = time(&mut operation).as_nanos();
            let allocated = allocated((operation.prepare)());
            println!(
                "| {} | {size} | {time} | {} | {} |",
                operation.name, allocated.count, allocated.bytes
            );
        }
    }
}

/// The median of the calls, preparations left out; what interrupts some of them does not show.
/// Reading the clock, some 25 ns, is in it.
fn time(operation: &mut Operation) -> Duration {
    let once = |_| {
        let call = (operation.prepare)();
        let start = Instant::now();
        call();
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..CALLS).map(once).collect();
    times.sort_unstable();
    times[CALLS / 2]
}
