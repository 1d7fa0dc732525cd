//! `filter` of the `ReplicationValve`: requests that never change the session.

use std::fmt;

use percent_encoding::percent_decode_str;
use regex::{RegexSet, RegexSetBuilder};

/// Paths whose requests are known not to change the session (HOW-TO, "Cluster Configuration":
/// `ReplicationValve`).
///
/// Nothing is sent after such a request. It saves little here, since a request that changed
/// nothing sends nothing anyway. If its application changed the session all the same, the change
/// goes out with the next request that is not filtered; until then it is on this node alone. A
/// session that is made, ended or gets a new id by such a request is told of at once.
#[derive(Clone, Debug)]
pub struct Filter {
    patterns: RegexSet,
}

/// The memory that a pattern may take when it is compiled, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

impl Filter {
    /// Of regular expressions in the syntax of the `regex` crate, which knows neither
    /// back-references nor looking around. Each must match an entire path, without its query,
    /// percent-decoded; the path is the one that the layer sees, in the server that with the
    /// context's.
    ///
    /// ```
    /// use catherd::Filter;
    ///
    /// let filter = Filter::new([r".*\.gif", r".*\.css"])?;
    /// assert!(filter.matches("/shop/logo.gif"));
    /// assert!(!filter.matches("/shop/logo.gif/buy"));
    /// # Ok::<(), catherd::FilterError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A pattern is none, or too large.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, FilterError> {
        let whole = |pattern: P| format!("^(?s:{})$", pattern.as_ref());
        let patterns: Vec<_> = patterns.into_iter().map(whole).collect();
        let compiled = RegexSetBuilder::new(patterns)
            .size_limit(COMPILED_BYTES_MAX)
            .build();
        match compiled {
            Ok(patterns) => Ok(Self { patterns }),
            Err(error) => Err(FilterError(error.to_string())),
        }
    }

    /// Whether a request for this path is filtered.
    pub fn matches(&self, path: &str) -> bool {
        let path = percent_decode_str(path).decode_utf8_lossy();
        self.patterns.is_match(&path)
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let whole = self.patterns.patterns().iter();
        whole.filter_map(|whole| whole.strip_prefix("^(?s:")?.strip_suffix(")$"))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.patterns.patterns() == other.patterns.patterns()
    }
}

impl Eq for Filter {}

/// A pattern is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a pattern of the filter is no regular expression: {}",
            self.0
        )
    }
}

impl std::error::Error for FilterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_entire_decoded_path() {
        let filter = Filter::new([r".*\.html", "/a b"]).unwrap();
        assert!(filter.matches("/shop/index.html"));
        assert!(filter.matches("/a%20b"));
        assert!(filter.matches("/x%2Ehtml"), "the decoded path counts");
        assert!(!filter.matches("/shop/index.html;x"));
        assert!(!filter.matches("/shop/a b"));
        assert_eq!(filter.patterns().collect::<Vec<_>>(), [r".*\.html", "/a b"]);
    }

    #[test]
    fn alternatives_are_those_of_their_pattern() {
        let filter = Filter::new(["/a|/b"]).unwrap();
        assert!(filter.matches("/a") && filter.matches("/b"));
        assert!(!filter.matches("/ax") && !filter.matches("/x/b"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        for bad in ["(", "a{1000}{1000}", "(?=x)", r"(a)\1"] {
            assert!(Filter::new([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_without_patterns_matches_nothing() {
        assert!(!Filter::new(Vec::<String>::new()).unwrap().matches("/"));
    }
}
