//! A base directory of a test.

use std::fs;
use std::path::Path;

use catherd_server::config::{Report, ServerConfig, Severity, load_with};
use tempfile::TempDir;

/// A base directory that is gone after the test.
pub(crate) struct Base {
    directory: TempDir,
}

impl Base {
    pub(crate) fn empty() -> Self {
        Self {
            directory: TempDir::new().expect("room for a test"),
        }
    }

    pub(crate) fn with_server_xml(text: impl AsRef<[u8]>) -> Self {
        Self::empty().with("conf/server.xml", text)
    }

    /// With this in the `Engine` of a `server.xml` that is fine.
    pub(crate) fn with_engine(inside: &str) -> Self {
        Self::with_server_xml(format!(
            "<Server><Service><Engine jvmRoute=\"node1\">\n{inside}\n</Engine></Service></Server>"
        ))
    }

    pub(crate) fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        let file = self.path().join(file);
        fs::create_dir_all(file.parent().expect("below the base")).expect("room for a test");
        fs::write(file, text).expect("room for a test");
        self
    }

    pub(crate) fn with_directory(self, directory: &str) -> Self {
        fs::create_dir_all(self.path().join(directory)).expect("room for a test");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The report, with one property: `KEY`. It has a configuration unless something is an error.
    pub(crate) fn load(&self) -> Report {
        let report = load_with(self.path(), &|name| {
            (name == "KEY").then(|| "0123456789abcdef".to_owned())
        });
        let mut found = report.diagnostics.iter();
        let has_errors = found.any(|it| it.severity == Severity::Error);
        assert_eq!(report.config.is_none(), has_errors);
        report
    }

    /// The configuration; fails if there is an error.
    pub(crate) fn config(&self) -> ServerConfig {
        let report = self.load();
        report
            .config
            .unwrap_or_else(|| panic!("{:#?}", report.diagnostics))
    }

    /// All diagnostics as they are printed, without the base directory.
    pub(crate) fn lines(&self) -> Vec<String> {
        let prefix = format!("{}/", self.path().display());
        let diagnostics = self.load().diagnostics;
        diagnostics
            .iter()
            .map(|it| it.to_string().replace(&prefix, ""))
            .collect()
    }
}
