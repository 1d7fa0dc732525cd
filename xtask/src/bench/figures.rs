//! From latencies to figures: windows, and cells of windows.

use std::time::Duration;

/// In a clean window others used at most this part of one core.
pub(super) const CLEAN: f64 = 0.15;

/// The figures of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// Answered requests a second.
    pub(super) rate: f64,
    /// Half of them took no longer, in microseconds.
    pub(super) p50: f64,
    /// All but a hundredth of them took no longer, in microseconds.
    pub(super) p99: f64,
    /// Processor time of all nodes a request, in microseconds.
    pub(super) processor: f64,
    /// What others used meanwhile, as a part of one core.
    pub(super) foreign: f64,
    /// How many were answered.
    pub(super) requests: usize,
}

impl Window {
    /// The figures of these latencies, in nanoseconds.
    pub(super) fn new(
        mut nanos: Vec<u64>,
        window: Duration,
        processor_time: Duration,
        foreign: f64,
    ) -> Self {
        nanos.sort_unstable();
        let count = nanos.len().max(1) as f64;
        Self {
            rate: nanos.len() as f64 / window.as_secs_f64(),
            p50: micros_at(&nanos, 0.50),
            p99: micros_at(&nanos, 0.99),
            processor: processor_time.as_secs_f64() * 1e6 / count,
            foreign,
            requests: nanos.len(),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.foreign <= CLEAN
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

/// What a request does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It writes so many bytes into its session.
    Write(usize),
    /// It touches no session.
    Plain,
}

/// All windows of one setup with one kind of load.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) setup: String,
    pub(super) kind: Kind,
    pub(super) users: usize,
    pub(super) windows: Vec<Window>,
}

impl Cell {
    pub(super) fn clean(&self) -> usize {
        self.windows
            .iter()
            .filter(|window| window.is_clean())
            .count()
    }

    /// The windows that count: the clean ones if there are three, otherwise the five that were
    /// disturbed least.
    fn counted(&self) -> Vec<Window> {
        let mut windows = self.windows.clone();
        if self.clean() >= 3 {
            windows.retain(Window::is_clean);
        } else {
            windows.sort_by(|a, b| a.foreign.total_cmp(&b.foreign));
            windows.truncate(5);
        }
        windows
    }

    /// Whether windows count that were disturbed.
    pub(super) fn is_disturbed(&self) -> bool {
        self.counted().iter().any(|window| !window.is_clean())
    }

    /// The median of the windows that count; 0 if there are none.
    pub(super) fn median(&self, of: impl Fn(&Window) -> f64) -> f64 {
        let values = self.counted();
        median(values.iter().map(of).collect())
    }

    /// The lowest and the highest of the windows that count.
    pub(super) fn range(&self, of: impl Fn(&Window) -> f64) -> (f64, f64) {
        range(&self.counted().iter().map(of).collect::<Vec<_>>())
    }
}

/// The value in the middle, the mean of two where there are two; 0 of nothing.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// The lowest and the highest value; zeros of nothing.
pub(super) fn range(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (
        low,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Something measured apart from the matrix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measure {
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) values: Vec<f64>,
    /// Whether others used more than [`CLEAN`] meanwhile.
    pub(super) is_disturbed: bool,
}

impl Measure {
    pub(super) fn new(what: &str, unit: &'static str, values: Vec<f64>) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            values,
            is_disturbed: false,
        }
    }

    pub(super) fn median(&self) -> f64 {
        median(self.values.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(rate: f64, foreign: f64) -> Window {
        Window {
            rate,
            p50: 10.0,
            p99: 20.0,
            processor: 5.0,
            foreign,
            requests: 100,
        }
    }

    fn cell(windows: &[Window]) -> Cell {
        Cell {
            setup: "one node".to_owned(),
            kind: Kind::Plain,
            users: 16,
            windows: windows.to_vec(),
        }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let nanos: Vec<u64> = (1..=100).map(|micros| micros * 1000).rev().collect();
        let (two, one) = (Duration::from_secs(2), Duration::from_millis(1));
        let figures = Window::new(nanos, two, one, 0.1);
        assert_eq!((figures.rate, figures.p50, figures.p99), (50.0, 50.0, 99.0));
        assert_eq!((figures.processor, figures.requests), (10.0, 100));
        let nothing = Window::new(Vec::new(), two, Duration::ZERO, 0.0);
        assert_eq!((nothing.rate, nothing.p50, nothing.p99), (0.0, 0.0, 0.0));
    }

    #[test]
    fn disturbed_windows_do_not_count_where_three_are_clean() {
        let cell = cell(&[
            window(1.0, 0.9),
            window(7.0, 0.0),
            window(8.0, 0.1),
            window(9.0, 0.15),
        ]);
        assert!(!cell.is_disturbed());
        assert_eq!(cell.median(|window| window.rate), 8.0);
        assert_eq!(cell.range(|window| window.rate), (7.0, 9.0));
    }

    #[test]
    fn without_three_clean_ones_the_least_disturbed_count_and_it_shows() {
        let six = [0.9, 0.5, 0.1, 0.6, 0.7, 0.8].map(|foreign| window(foreign, foreign));
        let cell = cell(&six);
        assert!(cell.is_disturbed());
        assert_eq!(cell.range(|window| window.rate), (0.1, 0.8));
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![9.0, 1.0, 5.0, 6.0]), 5.5);
        assert_eq!((median(Vec::new()), range(&[])), (0.0, (0.0, 0.0)));
    }
}
