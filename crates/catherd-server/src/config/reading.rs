//! One pass over one file.

use roxmltree::Node;

use super::diagnostic::{Location, Problems, quoted};
use super::property::{Properties, Unresolved};
use super::section::{Raw, Section};
use super::source::Source;
use super::word::{Element, Rule, nearest};
use super::words;

/// What every reader of an element needs.
pub(crate) struct Reading<'a> {
    pub(crate) source: &'a Source,
    pub(crate) properties: &'a Properties<'a>,
    pub(crate) problems: &'a mut Problems,
}

impl Reading<'_> {
    /// Where an element begins.
    pub(crate) fn at(&self, node: Node<'_, '_>) -> Location {
        self.source.location(node.range().start)
    }

    /// The attributes of an element, checked.
    pub(crate) fn section(&mut self, element: &'static Element, node: Node<'_, '_>) -> Section {
        let raws = self.raws(element.name, node);
        Section::new(element, self.at(node), raws, self.problems)
    }

    /// The attributes of an element as they are, properties replaced. Those whose property is
    /// unknown are reported and left out.
    pub(crate) fn raws(&mut self, on: &'static str, node: Node<'_, '_>) -> Vec<Raw> {
        let mut raws = Vec::new();
        for attribute in node.attributes() {
            let at = self.source.location(attribute.range().start);
            let name = match attribute.namespace() {
                None => attribute.name().to_owned(),
                // What belongs to another vocabulary is unknown here, whatever its local name.
                Some(namespace) => format!("{{{namespace}}}{}", attribute.name()),
            };
            match self.properties.substitute(attribute.value()) {
                Ok(value) => raws.push(Raw {
                    spelled: name.clone(),
                    name,
                    value,
                    at,
                    on,
                }),
                Err(Unresolved::Unknown(property)) => {
                    let what = format!("property {} is unknown", quoted(&property));
                    let remedy = "set an environment variable of this name, or write the value";
                    self.problems.error(&at, what, remedy);
                }
                Err(Unresolved::Open) => {
                    self.problems
                        .error(&at, "${ without }", "close the name of the property");
                }
            }
        }
        raws
    }

    /// The children that are to be read. Reports what is unknown, double or skipped.
    pub(crate) fn children<'d, 'i>(
        &mut self,
        element: &'static Element,
        node: Node<'d, 'i>,
    ) -> Vec<Node<'d, 'i>> {
        let mut read: Vec<Node<'d, 'i>> = Vec::new();
        for child in node.children() {
            if child.is_text() && child.text().is_some_and(|text| !text.trim().is_empty()) {
                let offset = child.range().start;
                let blank = child
                    .text()
                    .map_or(0, |text| text.len() - text.trim_start().len());
                let at = self.source.location(offset + blank);
                let what = format!("text inside of {}", element.name);
                self.problems
                    .error(&at, what, "remove it or make it a comment");
            }
            if !child.is_element() || self.problems.is_full() {
                continue;
            }
            let name = child.tag_name().name();
            let at = self.at(child);
            match element
                .children
                .iter()
                .find(|known| known.name == name)
                .map(|known| known.rule)
            {
                Some(Rule::Many) => read.push(child),
                Some(Rule::One) => {
                    if read.iter().any(|earlier| earlier.tag_name().name() == name) {
                        let what = format!("a second {name} in {}", element.name);
                        self.problems.error(&at, what, "remove one of them");
                    } else {
                        read.push(child);
                    }
                }
                Some(Rule::Skipped(reason)) => {
                    let what = format!("element {name} has no part here: {reason}");
                    self.problems.warning(&at, what, "remove it");
                }
                None => self.unknown_child(element, name, &at),
            }
        }
        read
    }

    fn unknown_child(&mut self, element: &'static Element, name: &str, at: &Location) {
        let what = match words::is_element(name) {
            true => format!("element {name} does not belong into {}", element.name),
            false => format!("element {} of {} is unknown", quoted(name), element.name),
        };
        let known = || element.children.iter().map(|child| child.name);
        let remedy = match nearest(name, known()) {
            Some(word) => format!("did you mean {word}?"),
            None if element.children.is_empty() => "remove it".to_owned(),
            None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
        };
        self.problems.error(at, what, &remedy);
    }
}
