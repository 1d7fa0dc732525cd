//! `web.xml`: what an application says about its sessions.
//!
//! Everything else in it is the application's matter, and is passed over.

use std::path::Path;
use std::time::Duration;

use roxmltree::Node;

use super::diagnostic::{Location, Problems, quoted};
use super::section::Given;
use super::source::Source;

/// The part of a `web.xml` that concerns sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct WebXml {
    pub(crate) display_name: Option<String>,
    /// Where it says `distributable`, if it does.
    pub(crate) distributable: Option<Location>,
    /// `session-timeout`. `None` inside: never.
    pub(crate) session_timeout: Option<Given<Option<Duration>>>,
}

impl WebXml {
    /// Reads the file; nothing if it is not there.
    pub(crate) fn read(file: &Path, problems: &mut Problems) -> Self {
        let mut web_xml = Self::default();
        let Some(source) = Source::read(file, problems) else {
            return web_xml;
        };
        let Some(document) = source.parse(problems) else {
            return web_xml;
        };
        let root = document.root_element();
        if root.tag_name().name() != "web-app" {
            let at = source.location(root.range().start);
            let what = format!("element {} is not web-app", quoted(root.tag_name().name()));
            problems.error(&at, what, "begin with <web-app>");
            return web_xml;
        }
        for element in root.children().filter(Node::is_element) {
            match element.tag_name().name() {
                "distributable" => {
                    web_xml.distributable = Some(source.location(element.range().start));
                }
                "display-name" => web_xml.display_name = element.text().map(trimmed),
                "session-config" => web_xml.read_session_config(element, &source, problems),
                _ => {}
            }
        }
        web_xml
    }

    fn read_session_config(
        &mut self,
        config: Node<'_, '_>,
        source: &Source,
        problems: &mut Problems,
    ) {
        for element in config.children().filter(Node::is_element) {
            let at = source.location(element.range().start);
            match element.tag_name().name() {
                "session-timeout" => {
                    let text = element.text().map(trimmed).unwrap_or_default();
                    match parse_minutes(&text) {
                        Some(value) => self.session_timeout = Some(Given { value, at }),
                        None => {
                            let expected = "a number of minutes up to 5256000";
                            let what =
                                format!("session-timeout {} is not {expected}", quoted(&text));
                            problems.error(&at, what, "change it; 0: never");
                        }
                    }
                }
                name @ ("cookie-config" | "tracking-mode") => {
                    let what = format!("element {name} has no effect in this release");
                    problems.warning(&at, what, "set sessionCookieName and its kin on Context");
                }
                _ => {}
            }
        }
    }
}

/// Minutes; 0 and less is "never", which is `None` inside.
pub(crate) fn parse_minutes(text: &str) -> Option<Option<Duration>> {
    let minutes: i64 = text
        .parse()
        .ok()
        .filter(|&minutes| minutes <= MINUTES_MAX)?;
    Some(
        u64::try_from(minutes)
            .ok()
            .filter(|&minutes| minutes > 0)
            .map(|minutes| {
                // Ten years in seconds are far from overflowing.
                Duration::from_secs(minutes * 60)
            }),
    )
}

fn trimmed(text: &str) -> String {
    text.trim().to_owned()
}

/// Ten years.
const MINUTES_MAX: i64 = 5_256_000;
