//! What a configuration may say: elements, their attributes and children.
//!
//! The tables are in [`words`](super::words). The reader checks files against them, and the
//! reference page docs/configuration.md is made from them.

/// An attribute that is known.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    /// Of one that is read: what there is without it. In words for a person.
    pub(crate) default: &'static str,
    /// What it says, or why it says nothing here.
    pub(crate) meaning: &'static str,
}

/// The part that an attribute has here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// It is read and heeded.
    Used,
    /// Another spelling of the attribute of this name.
    SameAs(&'static str),
    /// It is read and checked; nothing heeds it in this release. A warning.
    NotYet,
    /// There is nothing here that it could set. A warning.
    NoMeaning,
    /// Going on without what it asks for would be unsafe. An error.
    Refused,
}

/// An attribute that is read and heeded.
pub(crate) const fn used(name: &'static str, default: &'static str, meaning: &'static str) -> Word {
    Word {
        name,
        part: Part::Used,
        default,
        meaning,
    }
}

/// An attribute that is read and checked, and that nothing heeds in this release.
pub(crate) const fn not_yet(
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Word {
    Word {
        name,
        part: Part::NotYet,
        default,
        meaning,
    }
}

/// A second spelling.
pub(crate) const fn same(name: &'static str, other: &'static str) -> Word {
    Word {
        name,
        part: Part::SameAs(other),
        default: "",
        meaning: "",
    }
}

/// An attribute that can set nothing here, and why.
pub(crate) const fn idle(name: &'static str, reason: &'static str) -> Word {
    Word {
        name,
        part: Part::NoMeaning,
        default: "",
        meaning: reason,
    }
}

/// An attribute whose wish must not be passed over, and why it cannot be granted. Only the
/// value `harmless` wishes for nothing.
pub(crate) const fn refused(
    name: &'static str,
    harmless: &'static str,
    reason: &'static str,
) -> Word {
    Word {
        name,
        part: Part::Refused,
        default: harmless,
        meaning: reason,
    }
}

/// An element, or an element of certain classes.
#[derive(Debug)]
pub(crate) struct Element {
    /// The name in the file.
    pub(crate) name: &'static str,
    /// Class names without the package. The first is the default. Empty: has no `className`.
    pub(crate) classes: &'static [&'static str],
    pub(crate) attributes: &'static [Word],
    pub(crate) children: &'static [Child],
}

impl Element {
    /// The attribute of this name.
    pub(crate) fn word(&self, name: &str) -> Option<&'static Word> {
        self.attributes.iter().find(|word| word.name == name)
    }
}

/// An element that may be inside another.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
}

/// How often an element may be there, or why it is not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    /// At most once.
    One,
    /// Any number of times.
    Many,
    /// It is skipped with all that it contains, for this reason. A warning.
    Skipped(&'static str),
}

/// A child that is there once at most.
pub(crate) const fn one(name: &'static str) -> Child {
    Child {
        name,
        rule: Rule::One,
    }
}

/// A child that is there any number of times.
pub(crate) const fn many(name: &'static str) -> Child {
    Child {
        name,
        rule: Rule::Many,
    }
}

/// A child that is not looked at, and why.
pub(crate) const fn skipped(name: &'static str, reason: &'static str) -> Child {
    Child {
        name,
        rule: Rule::Skipped(reason),
    }
}

/// The known name that is closest to one that is not known, if one is close.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let name = name.to_ascii_lowercase();
    known
        .map(|word| (distance(&name, &word.to_ascii_lowercase()), word))
        .filter(|&(distance, word)| distance * 3 <= word.len().max(name.len()))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

/// Letters to insert, remove, replace, or swap with their neighbour: in bytes.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 0..from.len() {
        let mut row = vec![i + 1];
        for j in 0..to.len() {
            let replaced = above[j] + usize::from(from[i] != to[j]);
            let mut best = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

/// No known name is nearly as long, and comparing costs the square.
const COMPARED_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["tcpListenPort", "tcpListenAddress", "key"];
        let find = |name| nearest(name, known.into_iter());
        assert_eq!(find("tcplistenport"), Some("tcpListenPort"));
        assert_eq!(find("tcpListenAdress"), Some("tcpListenAddress"));
        assert_eq!(find("kex"), Some("key"));
        assert_eq!(find("kye"), Some("key"));
        assert_eq!(find("xyz"), None);
        assert_eq!(find(&"k".repeat(100_000)), None);
    }
}
