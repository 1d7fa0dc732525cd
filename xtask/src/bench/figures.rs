//! From latencies to a table.

use std::fmt::Write as _;
use std::time::Duration;

/// The figures of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// Acknowledged requests a second.
    rate: f64,
    /// Half of them took no longer, in microseconds.
    p50: f64,
    /// All but a hundredth of them took no longer, in microseconds.
    p99: f64,
    /// Processor time of all nodes a request, in microseconds.
    processor: f64,
}

impl Window {
    /// The figures of these latencies, in nanoseconds.
    pub(super) fn new(mut nanos: Vec<u64>, window: Duration, processor_time: Duration) -> Self {
        nanos.sort_unstable();
        let count = nanos.len().max(1) as f64;
        Self {
            rate: nanos.len() as f64 / window.as_secs_f64(),
            p50: micros_at(&nanos, 0.50),
            p99: micros_at(&nanos, 0.99),
            processor: processor_time.as_secs_f64() * 1e6 / count,
        }
    }
}

/// The smallest that `part` of the sorted values do not exceed, in microseconds.
fn micros_at(sorted: &[u64], part: f64) -> f64 {
    // The place is below the length, which fits both.
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .map_or(0.0, |nanos| *nanos as f64 / 1000.0)
}

/// All windows of one setup with one number of connections.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) setup: &'static str,
    pub(super) connections: usize,
    pub(super) windows: Vec<Window>,
}

impl Cell {
    pub(super) fn new(setup: &'static str, connections: usize) -> Self {
        Self {
            setup,
            connections,
            windows: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Window) -> f64) -> f64 {
        let sorted = self.sorted(of);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn sorted(&self, of: impl Fn(&Window) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.windows.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// A table in Markdown: medians of the windows, the range of the rates, and the ratio of each
/// setup's rate to that of the first with as many connections.
pub(super) fn table(cells: &[Cell], size: usize) -> String {
    let mut table = format!(
        "\n{size} bytes a write, acknowledged\n\n\
         | connections | setup | requests/s | range | ratio | p50 µs | p99 µs | CPU µs/request |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|\n"
    );
    for cell in cells {
        let base = cells
            .iter()
            .find(|base| base.connections == cell.connections);
        let rate = cell.median(|window| window.rate);
        let base = base.map_or(rate, |base| base.median(|window| window.rate));
        let rates = cell.sorted(|window| window.rate);
        let (low, high) = (rates.first(), rates.last());
        writeln!(
            table,
            "| {} | {} | {rate:.0} | {:.0}–{:.0} | {:.2} | {:.0} | {:.0} | {:.1} |",
            cell.connections,
            cell.setup,
            low.unwrap_or(&0.0),
            high.unwrap_or(&0.0),
            rate / base,
            cell.median(|window| window.p50),
            cell.median(|window| window.p99),
            cell.median(|window| window.processor),
        )
        .expect("a string takes everything");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let nanos: Vec<u64> = (1..=100).map(|micros| micros * 1000).rev().collect();
        let window = Window::new(nanos, Duration::from_secs(2), Duration::from_millis(1));
        assert_eq!(
            window,
            Window {
                rate: 50.0,
                p50: 50.0,
                p99: 99.0,
                processor: 10.0
            }
        );
        let nothing = Window::new(Vec::new(), Duration::from_secs(1), Duration::ZERO);
        assert_eq!((nothing.rate, nothing.p50, nothing.p99), (0.0, 0.0, 0.0));
    }

    #[test]
    fn the_table_has_medians_and_ratios() {
        let window = |rate| Window {
            rate,
            p50: 10.0,
            p99: 20.0,
            processor: 5.0,
        };
        let cells = [
            Cell {
                setup: "one",
                connections: 16,
                windows: [90.0, 500.0, 100.0].map(window).into(),
            },
            Cell {
                setup: "two",
                connections: 16,
                windows: [75.0, 1.0, 80.0].map(window).into(),
            },
        ];
        let table = table(&cells, 10);
        assert!(
            table.contains("| 16 | one | 100 | 90–500 | 1.00 | 10 | 20 | 5.0 |"),
            "{table}"
        );
        assert!(table.contains("| 16 | two | 75 | 1–80 | 0.75 |"), "{table}");
    }
}
