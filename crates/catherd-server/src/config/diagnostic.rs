//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The node does not start with this.
    Error,
    /// The node starts; what was written does not do what it says.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong or without effect, with its place and the remedy.
///
/// Displayed as `FILE:LINE:COLUMN: error|warning: message; remedy`, the form that editors jump
/// by. What concerns a file or directory as a whole is at `1:1`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// The file, below the base directory as it was given to [`load`](super::load).
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Whether the node can start.
    pub severity: Severity,
    /// What is wrong, and after a semicolon what to do about it.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            severity,
            message,
        } = self;
        for c in file.display().to_string().chars() {
            // What a file is called is anybody's text, and this is for terminals.
            if c.is_control() {
                write!(f, "{}", c.escape_default())?
            } else {
                write!(f, "{c}")?
            }
        }
        write!(f, ":{line}:{column}: {severity}: {message}")
    }
}

/// A place in a file. Ordered, so that of two elements in conflict the later can be told.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Location {
    pub(crate) file: Arc<Path>,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Location {
    /// The file as a whole.
    pub(crate) fn whole(file: &Path) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
        }
    }
}

/// All that was found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    has_errors: bool,
}

impl Problems {
    /// Something that the node does not start with.
    pub(crate) fn error(&mut self, at: &Location, what: impl AsRef<str>, remedy: &str) {
        self.has_errors = true;
        self.push(at, Severity::Error, what.as_ref(), remedy);
    }

    /// Something that does not do what it says.
    pub(crate) fn warning(&mut self, at: &Location, what: impl AsRef<str>, remedy: &str) {
        self.push(at, Severity::Warning, what.as_ref(), remedy);
    }

    /// Whether the list is full, so that finding good words for one more is wasted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() > PROBLEMS_MAX
    }

    /// Whether the node can start.
    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Everything found, by position.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.severity).cmp(&(&b.file, b.line, b.column, b.severity))
        });
        // What holds for every context is read for each, and reported once.
        self.found.dedup();
        self.found
    }

    fn push(&mut self, at: &Location, severity: Severity, what: &str, remedy: &str) {
        let message = match self.found.len() {
            ..PROBLEMS_MAX => format!("{what}; {remedy}"),
            PROBLEMS_MAX => "there are more problems than are shown; mend these first".into(),
            _ => return,
        };
        let Location { file, line, column } = at.clone();
        self.found.push(Diagnostic {
            file: file.to_path_buf(),
            line,
            column,
            severity,
            message,
        });
    }
}

/// Some text of a file, safe to print on one line of a terminal.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Nobody reads more than this; a hostile file could make a million.
const PROBLEMS_MAX: usize = 500;

const QUOTED_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_problems_is_bounded_and_says_so() {
        let mut problems = Problems::default();
        for line in 1..10_000 {
            let at = Location {
                file: Path::new("f").into(),
                line,
                column: 1,
            };
            problems.warning(&at, "what", "remedy");
        }
        problems.error(&Location::whole(Path::new("f")), "what", "remedy");
        assert!(problems.is_full() && problems.has_errors());
        let found = problems.into_sorted();
        assert_eq!(found.len(), PROBLEMS_MAX + 1);
        assert_eq!(
            found.last().unwrap().to_string(),
            "f:501:1: warning: there are more problems than are shown; mend these first"
        );
    }

    #[test]
    fn quoted_text_stays_on_one_line_and_is_short() {
        assert_eq!(quoted("a\n\u{1b}[31m"), r#""a\n\u{1b}[31m""#);
        assert_eq!(
            quoted(&"x".repeat(1000)),
            format!("\"{}\"...", "x".repeat(80))
        );
    }
}
