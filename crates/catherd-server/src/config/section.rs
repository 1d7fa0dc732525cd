//! The attributes of one element, checked against the words that it may use.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::diagnostic::{Location, Problems, quoted};
use super::word::{Element, Part, nearest};

/// An attribute as the file has it, properties replaced.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// As it is spelled, with the prefix if it is a property of the `Cluster`.
    pub(crate) spelled: String,
    /// The attribute that is meant: what is behind the prefix.
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) at: Location,
    /// The element that it is written on.
    pub(crate) on: &'static str,
}

/// The attributes of an element that are read: known, and each given once.
#[derive(Debug)]
pub(crate) struct Section {
    element: &'static Element,
    at: Location,
    class: &'static str,
    given: Vec<(&'static str, Raw)>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) at: Location,
}

impl<T> Given<T> {
    /// Something else that was said at the same place.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Given<U> {
        Given {
            value: f(self.value),
            at: self.at,
        }
    }
}

impl Section {
    /// Reports what is unknown, double, or without effect among `raws`, and keeps the rest.
    pub(crate) fn new(
        element: &'static Element,
        at: Location,
        raws: Vec<Raw>,
        problems: &mut Problems,
    ) -> Self {
        let class = element.classes.first().copied().unwrap_or("");
        let mut section = Self {
            element,
            at,
            class,
            given: Vec::new(),
        };
        for raw in raws {
            if raw.name == "className" && !element.classes.is_empty() {
                section.read_class(&raw, problems);
            } else {
                section.read_attribute(raw, problems);
            }
        }
        section
    }

    /// Where the element is.
    pub(crate) fn at(&self) -> &Location {
        &self.at
    }

    /// The class that the element names, without its package, or the default.
    pub(crate) fn class(&self) -> &'static str {
        self.class
    }

    /// The text of an attribute.
    pub(crate) fn text(&self, name: &'static str) -> Option<Given<&str>> {
        debug_assert!(
            matches!(
                self.element.word(name).map(|word| word.part),
                Some(Part::Used | Part::NotYet)
            ),
            "{name} is not read on {}",
            self.element.name
        );
        let (_, raw) = self.given.iter().find(|&&(given, _)| given == name)?;
        Some(Given {
            value: &raw.value,
            at: raw.at.clone(),
        })
    }

    /// What `parse` makes of an attribute; where it makes nothing, `expected` is reported.
    pub(crate) fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Given<T>> {
        let Given { value, at } = self.text(name)?;
        let Some(parsed) = parse(value) else {
            let spelled = self.spelled(name);
            let what = format!("{spelled}={} is not {expected}", quoted(value));
            problems.error(&at, what, "change the value");
            return None;
        };
        Some(Given { value: parsed, at })
    }

    /// A whole number.
    pub(crate) fn number<T>(
        &self,
        name: &'static str,
        range: RangeInclusive<T>,
        problems: &mut Problems,
    ) -> Option<Given<T>>
    where
        T: Copy + Display + FromStr + PartialOrd,
    {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.parsed(name, &expected, problems, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// A whole number, or -1 for "no limit", which is `None`.
    pub(crate) fn limit<T>(
        &self,
        name: &'static str,
        range: RangeInclusive<T>,
        problems: &mut Problems,
    ) -> Option<Given<Option<T>>>
    where
        T: Copy + Display + FromStr + PartialOrd,
    {
        let expected = format!("a number from {} to {}, or -1", range.start(), range.end());
        self.parsed(name, &expected, problems, |text| match text {
            "-1" => Some(None),
            text => text
                .parse()
                .ok()
                .filter(|number| range.contains(number))
                .map(Some),
        })
    }

    /// Milliseconds.
    pub(crate) fn millis(
        &self,
        name: &'static str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<Given<Duration>> {
        let given = self.number(name, range, problems)?;
        Some(given.map(Duration::from_millis))
    }

    /// Seconds.
    pub(crate) fn seconds(
        &self,
        name: &'static str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<Given<Duration>> {
        let given = self.number(name, range, problems)?;
        Some(given.map(Duration::from_secs))
    }

    /// `true` or `false`, in any case, as Java reads them; nothing else counts as `false`.
    pub(crate) fn boolean(&self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        let given = self.parsed(name, "true or false", problems, |text| {
            match text.to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            }
        });
        given.map(|given| given.value)
    }

    /// A name of 1 to 64 letters, digits and the characters of `extra`.
    pub(crate) fn name(
        &self,
        name: &'static str,
        extra: &str,
        problems: &mut Problems,
    ) -> Option<String> {
        self.named(name, extra, |text| is_name(text, extra), problems)
    }

    /// The same by a rule that is somebody else's, and is explained in the same way.
    pub(crate) fn named(
        &self,
        name: &'static str,
        extra: &str,
        is_legal: impl FnOnce(&str) -> bool,
        problems: &mut Problems,
    ) -> Option<String> {
        let signs: String = extra.chars().map(|sign| format!(" {sign}")).collect();
        let expected = format!("1 to 64 of A-Z a-z 0-9{signs}");
        let given = self.parsed(name, &expected, problems, |text| {
            is_legal(text).then(|| text.to_owned())
        });
        given.map(|given| given.value)
    }

    /// Reports that two attributes contradict each other, at the later one.
    pub(crate) fn conflict(
        &self,
        names: [&'static str; 2],
        what: &str,
        remedy: &str,
        problems: &mut Problems,
    ) {
        let places = names.map(|name| self.text(name).map(|given| given.at));
        // `None` is less than any place. Both being absent would mean nobody said anything.
        if let Some(at) = places.into_iter().max().flatten() {
            problems.error(&at, what, remedy);
        }
    }

    fn spelled(&self, name: &str) -> &str {
        let raw = self.given.iter().find(|&&(given, _)| given == name);
        raw.map_or("", |(_, raw)| raw.spelled.as_str())
    }

    fn read_class(&mut self, raw: &Raw, problems: &mut Problems) {
        match class_of(&raw.value, self.element.classes.iter().copied()) {
            Some(class) => self.class = class,
            None => {
                let what = format!(
                    "no part of this server is a {} {}",
                    raw.on,
                    quoted(&raw.value)
                );
                let known = self.element.classes.join(", ");
                problems.error(&raw.at, what, &format!("known are {known}"));
            }
        }
    }

    fn read_attribute(&mut self, raw: Raw, problems: &mut Problems) {
        if problems.is_full() {
            return;
        }
        let Raw {
            spelled,
            name,
            value,
            at,
            on,
        } = &raw;
        let Some(word) = self.element.word(name) else {
            let what = format!("attribute {} of {on} is unknown", quoted(spelled));
            let known = self.element.attributes.iter().map(|word| word.name);
            let remedy = match nearest(name, known) {
                Some(word) => {
                    let prefix = spelled.strip_suffix(name.as_str()).unwrap_or("");
                    format!("did you mean {prefix}{word}?")
                }
                None => "remove it".to_owned(),
            };
            problems.error(at, what, &remedy);
            return;
        };
        // Another spelling of a word has its part.
        let word = match word.part {
            Part::SameAs(other) => self.element.word(other).expect("an alias is of a word"),
            _ => word,
        };
        let canonical = match word.part {
            Part::Used => word.name,
            Part::SameAs(_) => unreachable!("an alias is of a word that is none"),
            Part::NotYet => {
                let what = format!("attribute {spelled} of {on} has no effect in this release");
                problems.warning(at, what, "remove it");
                word.name
            }
            Part::NoMeaning => {
                let reason = word.meaning;
                let what = format!("attribute {spelled} of {on} has no meaning here: {reason}");
                problems.warning(at, what, "remove it");
                return;
            }
            Part::Refused => {
                if word.default.is_empty() || !value.eq_ignore_ascii_case(word.default) {
                    let reason = word.meaning;
                    let what = format!("attribute {spelled} of {on} asks in vain: {reason}");
                    problems.error(at, what, "remove it");
                }
                return;
            }
        };
        if let Some((_, earlier)) = self.given.iter().find(|&&(given, _)| given == canonical) {
            let what = format!("{spelled} says again what {} has said", earlier.spelled);
            problems.error(at.max(&earlier.at), what, "remove one of them");
            return;
        }
        self.given.push((canonical, raw));
    }
}

/// The known class that a class name means: alone, or in a package of Tomcat.
pub(crate) fn class_of<'a>(
    name: &str,
    mut known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let (package, class) = name.rsplit_once('.').unwrap_or(("", name));
    let is_ours = package.is_empty() || format!("{package}.").starts_with("org.apache.catalina.");
    known.find(|&known| is_ours && known == class)
}

/// Whether a text is 1 to 64 letters, digits and characters of `extra`, with no dot in front: it
/// may become the name of a directory.
pub(crate) fn is_name(text: &str, extra: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}
