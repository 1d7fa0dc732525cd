//! Every single value, in files: tables are made of them and can be made anew.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::figures::{Cell, Kind, Measure, Window};

/// `windows.tsv` and `measures.tsv` of one run, written as it goes.
#[derive(Debug)]
pub(super) struct Rows {
    windows: File,
    measures: File,
}

impl Rows {
    /// Files in `directory`, with what was there before gone.
    pub(super) fn create(directory: &Path) -> Result<Self, String> {
        let said = |error: std::io::Error| format!("{}: {error}", directory.display());
        fs::create_dir_all(directory).map_err(said)?;
        let mut rows = Self {
            windows: File::create(directory.join("windows.tsv")).map_err(said)?,
            measures: File::create(directory.join("measures.tsv")).map_err(said)?,
        };
        let columns = "setup\tbytes\tusers\trequests\trequests_per_second\tp50_micros\tp99_micros\
                       \tcpu_micros_per_request\tforeign_cores";
        writeln!(rows.windows, "{columns}").map_err(said)?;
        writeln!(rows.measures, "measure\tunit\tvalue").map_err(said)?;
        Ok(rows)
    }

    pub(super) fn window(&mut self, cell: &Cell, window: &Window) -> Result<(), String> {
        let Cell { setup, users, .. } = cell;
        let Window {
            rate,
            p50,
            p99,
            processor,
            foreign,
            requests,
        } = window;
        let bytes = match cell.kind {
            Kind::Write(size) => size.to_string(),
            Kind::Plain => "plain".to_owned(),
        };
        let written = writeln!(
            self.windows,
            "{setup}\t{bytes}\t{users}\t{requests}\t{rate:.0}\t{p50:.1}\t{p99:.1}\t{processor:.2}\
             \t{foreign:.3}"
        );
        written.map_err(|error| format!("a row cannot be written: {error}"))
    }

    pub(super) fn measure(&mut self, measure: &Measure) -> Result<(), String> {
        for value in &measure.values {
            let written = writeln!(
                self.measures,
                "{}\t{}\t{value:.3}",
                measure.what, measure.unit
            );
            written.map_err(|error| format!("a row cannot be written: {error}"))?;
        }
        Ok(())
    }
}
