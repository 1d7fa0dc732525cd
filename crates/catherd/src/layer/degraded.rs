//! What is weaker than promised about an answer.

use http::HeaderValue;

/// What is weaker than promised about the session of a request.
///
/// In the extensions of every request, with what is known before the application runs; in full, it
/// is the response header `Catherd-Degraded`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Degraded {
    /// Fewer members hold the latest write than the mode promises.
    pub durability: bool,
    /// A logout, or a change of id, is not known to every member yet.
    pub pending: bool,
    /// The session was taken over from a node that is gone, and what that node had promised
    /// cannot be known.
    pub takeover: bool,
    /// A member did not say in time whether it has newer data.
    pub stale: bool,
}

impl Degraded {
    /// The name of the header.
    pub const HEADER: &'static str = "catherd-degraded";

    /// Whether all is as promised.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The value of the header; `None` if all is as promised.
    pub(crate) fn to_header(self) -> Option<HeaderValue> {
        let words: Vec<&str> = [
            (self.durability, "durability"),
            (self.pending, "pending"),
            (self.takeover, "takeover"),
            (self.stale, "stale"),
        ]
        .into_iter()
        .filter_map(|(is_set, word)| is_set.then_some(word))
        .collect();
        if words.is_empty() {
            return None;
        }
        HeaderValue::from_str(&words.join(", ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_lists_what_is_weaker() {
        assert_eq!(Degraded::default().to_header(), None);
        let degraded = Degraded {
            pending: true,
            stale: true,
            ..Degraded::default()
        };
        assert_eq!(degraded.to_header().unwrap(), "pending, stale");
    }
}
