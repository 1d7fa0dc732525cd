//! Tables, and the page that they stand on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::figures::{Cell, Kind, Measure, range};
use super::setup::{ONE_NODE, TOMCAT, root};

/// A table for each kind of load, in Markdown.
pub(super) fn matrix(cells: &[Cell]) -> String {
    let mut text = String::new();
    let mut kind = None;
    for cell in cells {
        if kind != Some(cell.kind) {
            kind = Some(cell.kind);
            put(&mut text, &head(cell.kind));
        }
        put(&mut text, &row(cell, cells));
    }
    text
}

fn head(kind: Kind) -> String {
    let title = match kind {
        Kind::Write(size) => format!("{size} bytes a write"),
        Kind::Plain => "No session touched".to_owned(),
    };
    format!(
        "\n**{title}**\n\n\
         | users | setup | requests/s | range | / one node | / Tomcat | p50 µs | p99 µs \
         | CPU µs/request | / Tomcat |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
}

fn row(cell: &Cell, cells: &[Cell]) -> String {
    let base = |setup: &str| {
        let is_it = |base: &&Cell| {
            base.setup == setup && base.kind == cell.kind && base.users == cell.users
        };
        cells.iter().find(is_it)
    };
    let rate = cell.median(|window| window.rate);
    let processor = cell.median(|window| window.processor);
    let ratio = |value: f64, base: Option<f64>| {
        base.filter(|base| *base > 0.0)
            .map_or_else(String::new, |base| format!("{:.2}", value / base))
    };
    let to_one = ratio(rate, base(ONE_NODE).map(|base| base.median(|it| it.rate)));
    let to_tomcat = ratio(rate, base(TOMCAT).map(|base| base.median(|it| it.rate)));
    let of_tomcat = base(TOMCAT).map(|base| base.median(|it| it.processor));
    let (low, high) = cell.range(|window| window.rate);
    let star = if cell.is_disturbed() { "*" } else { "" };
    format!(
        "| {} | {} | {rate:.0}{star} | {low:.0}–{high:.0} | {to_one} | {to_tomcat} \
         | {:.0} | {:.0} | {processor:.1} | {} |\n",
        cell.users,
        cell.setup,
        cell.median(|window| window.p50),
        cell.median(|window| window.p99),
        ratio(processor, of_tomcat),
    )
}

/// Two revisions side by side: `now` and `before` are pairs of names of setups.
pub(super) fn against(cells: &[Cell], pairs: &[(String, String)]) -> String {
    let mut text = String::from(
        "\n| bytes | users | setup | requests/s, before | now | ratio | p99 µs, before | now \
         | CPU µs, before | now | ratio |\n|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for now in cells {
        let Some((_, before)) = pairs.iter().find(|(name, _)| *name == now.setup) else {
            continue;
        };
        let is_it = |cell: &&Cell| {
            cell.setup == *before && cell.kind == now.kind && cell.users == now.users
        };
        let Some(before) = cells.iter().find(is_it) else {
            continue;
        };
        let both = |of: fn(&super::figures::Window) -> f64| (before.median(of), now.median(of));
        let (rate, p99) = (both(|it| it.rate), both(|it| it.p99));
        let processor = both(|it| it.processor);
        let star = if now.is_disturbed() || before.is_disturbed() {
            "*"
        } else {
            ""
        };
        let bytes = match now.kind {
            Kind::Write(size) => size.to_string(),
            Kind::Plain => "–".to_owned(),
        };
        put(
            &mut text,
            &format!(
                "| {bytes} | {} | {} | {:.0} | {:.0} | {:.2}{star} | {:.0} | {:.0} \
                 | {:.1} | {:.1} | {:.2} |\n",
                now.users,
                now.setup,
                rate.0,
                rate.1,
                rate.1 / rate.0,
                p99.0,
                p99.1,
                processor.0,
                processor.1,
                processor.1 / processor.0,
            ),
        );
    }
    text
}

/// What was measured apart from the matrix.
pub(super) fn measures(measures: &[Measure]) -> String {
    let mut text = String::from("\n| measure | median | range | of |\n|---|---:|---:|---:|\n");
    for measure in measures {
        let (low, high) = range(&measure.values);
        let Measure {
            what, unit, values, ..
        } = measure;
        let star = if measure.is_disturbed { "*" } else { "" };
        let row = format!(
            "| {what} | {:.2} {unit}{star} | {low:.2}–{high:.2} | {} |\n",
            measure.median(),
            values.len()
        );
        put(&mut text, &row);
    }
    text
}

/// The machine, the revision, the day.
pub(super) fn conditions(more: &str) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let revision = said("git", &["rev-parse", "--short=12", "HEAD"]);
    let clean = said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let changed = if clean { "" } else { ", changed" };
    format!(
        "{}, revision {revision}{changed}, {}; {cores} × {model}, Linux {}. {more}\n",
        said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        said("rustc", &["--version"]),
        said("uname", &["-r"]),
    )
}

const BEGIN: &str = "<!-- begin of the figures: `cargo xtask bench --full` writes them -->";
const END: &str = "<!-- end of the figures -->";

/// Puts the figures between the two markers of docs/performance.md.
pub(super) fn write_page(figures: &str) -> Result<(), String> {
    let path = root().join("docs/performance.md");
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let page = fs::read_to_string(&path).map_err(said)?;
    let page = replaced(&page, figures)
        .ok_or_else(|| format!("{} has no place for figures", path.display()))?;
    fs::write(&path, page).map_err(said)
}

fn replaced(page: &str, figures: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let figures = figures.trim();
    Some(format!("{before}{BEGIN}\n\n{figures}\n\n{END}{after}"))
}

/// Whether the page of the project has its place for figures.
pub(super) fn check_page() -> Result<(), String> {
    let path = Path::new("docs/performance.md");
    let page = fs::read_to_string(root().join(path)).unwrap_or_default();
    match replaced(&page, "") {
        Some(_) => Ok(()),
        None => Err(format!("{} has no place for figures", path.display())),
    }
}

fn put(text: &mut String, more: &str) {
    text.write_str(more).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::super::figures::Window;
    use super::*;

    fn cell(setup: &str, rates: &[f64], foreign: f64) -> Cell {
        let window = |rate: &f64| Window {
            rate: *rate,
            p50: 10.0,
            p99: 20.0,
            processor: 5.0,
            foreign,
            requests: 1,
        };
        Cell {
            setup: setup.to_owned(),
            kind: Kind::Write(10),
            users: 16,
            windows: rates.iter().map(window).collect(),
        }
    }

    #[test]
    fn the_table_has_medians_ranges_and_ratios_and_marks_what_was_disturbed() {
        let cells = [
            cell(ONE_NODE, &[90.0, 500.0, 100.0], 0.0),
            cell("two nodes, pooled", &[75.0, 1.0, 80.0], 0.5),
            cell(TOMCAT, &[25.0, 25.0, 25.0], 0.0),
        ];
        let table = matrix(&cells);
        for row in [
            "| 16 | one node | 100 | 90–500 | 1.00 | 4.00 | 10 | 20 | 5.0 | 1.00 |",
            "| 16 | two nodes, pooled | 75* | 1–80 | 0.75 | 3.00 | 10 | 20 | 5.0 | 1.00 |",
        ] {
            assert!(table.contains(row), "{table}");
        }
    }

    #[test]
    fn revisions_stand_side_by_side() {
        let cells = [
            cell("now", &[110.0; 3], 0.0),
            cell("then", &[100.0; 3], 0.0),
        ];
        let table = against(&cells, &[("now".to_owned(), "then".to_owned())]);
        assert!(
            table.contains("| 10 | 16 | now | 100 | 110 | 1.10 |"),
            "{table}"
        );
    }

    #[test]
    fn figures_take_the_place_of_older_ones_and_the_page_around_them_stays() {
        let page = format!("# Title\n{BEGIN}\nold\n{END}\nend\n");
        let page = replaced(&page, "new\n").unwrap();
        assert_eq!(page, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nend\n"));
        assert_eq!(replaced("# Title", "new"), None);
    }

    #[test]
    fn the_page_of_the_project_has_a_place_for_figures() {
        assert_eq!(check_page(), Ok(()));
    }
}
