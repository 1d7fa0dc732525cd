//! `Context`: one application of a host.

use std::path::Path;
use std::time::Duration;

use roxmltree::Node;

use super::cluster::ClusterDraft;
use super::diagnostic::{Location, Problems, quoted};
use super::manager::{ManagerConfig, ManagerDraft, ManagerKind};
use super::property::Properties;
use super::reading::Reading;
use super::section::{Given, Section, is_name};
use super::source::Source;
use super::valve::Valves;
use super::web_xml::{WebXml, parse_minutes};
use super::words::{CONTEXT, MANAGER};

/// An application that is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContextConfig {
    /// Where it is: empty, or with a slash before and none behind.
    pub path: String,
    /// What it is.
    pub application: Application,
    /// `display-name` of its `web.xml`.
    pub display_name: Option<String>,
    /// `distributable` of the `Context` or the `web.xml`.
    pub distributable: bool,
    /// Whether its sessions are replicated: it is distributable, its host is in a cluster, and
    /// its manager is not one for this node alone.
    pub replicated: bool,
    /// The settings of its sessions.
    pub manager: ManagerConfig,
    /// How long a session lives without a request, unless the application says otherwise. `None`:
    /// for ever.
    pub session_timeout: Option<Duration>,
    /// The session cookie.
    pub cookie: CookieConfig,
}

/// The applications that this release can run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Application {
    /// `/examples`: a page and an interface for programs to see and change a session.
    Examples,
    /// `/bench`: the contract of the benchmarks.
    Bench,
}

impl Application {
    /// The application that is built in at this path.
    pub fn built_in(path: &str) -> Option<Self> {
        match path {
            "/examples" => Some(Self::Examples),
            "/bench" => Some(Self::Bench),
            _ => None,
        }
    }
}

/// The session cookie of a context.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CookieConfig {
    /// `sessionCookieName`.
    pub name: String,
    /// `sessionCookiePath`; without it the context's path, or `/` for the context at the root.
    pub path: String,
    /// `sessionCookieDomain`.
    pub domain: Option<String>,
    /// `useHttpOnly`: on without the attribute, unlike in Tomcat 5.5, as scripts that can read
    /// the cookie can give it away.
    pub http_only: bool,
}

/// A `Context` that was read, in `server.xml` or a file of its own.
#[derive(Clone, Debug)]
pub(crate) struct ContextDraft {
    pub(crate) at: Location,
    pub(crate) path: Option<Given<String>>,
    pub(crate) doc_base: Option<Given<String>>,
    distributable: Option<bool>,
    session_timeout: Option<Option<Duration>>,
    use_http_only: Option<bool>,
    cookie_name: Option<String>,
    cookie_path: Option<String>,
    cookie_domain: Option<String>,
    manager: Option<ManagerDraft>,
}

impl ContextDraft {
    /// Reads a file with a `Context` as root; nothing if it is not there.
    pub(crate) fn read_file(
        file: &Path,
        properties: &Properties<'_>,
        valves: &mut Valves,
        problems: &mut Problems,
    ) -> Option<Self> {
        let source = Source::read(file, problems)?;
        let document = source.parse(problems)?;
        let root = document.root_element();
        let mut reading = Reading {
            source: &source,
            properties,
            problems,
        };
        if root.tag_name().name() != CONTEXT.name {
            let what = format!("element {} is not Context", quoted(root.tag_name().name()));
            let at = reading.at(root);
            reading.problems.error(&at, what, "begin with <Context>");
            return None;
        }
        Some(Self::read(&mut reading, root, valves))
    }

    /// Reads an element.
    pub(crate) fn read(reading: &mut Reading<'_>, node: Node<'_, '_>, valves: &mut Valves) -> Self {
        let mut manager = None;
        for child in reading.children(&CONTEXT, node) {
            if child.has_tag_name(MANAGER.name) {
                reading.children(&MANAGER, child);
                let raws = reading.raws(MANAGER.name, child);
                manager = ManagerDraft::read(reading.at(child), raws, reading.problems);
            } else {
                valves.read(reading, child, CONTEXT.name);
            }
        }
        let section = reading.section(&CONTEXT, node);
        Self::from_section(&section, manager, reading.problems)
    }

    fn from_section(
        section: &Section,
        manager: Option<ManagerDraft>,
        problems: &mut Problems,
    ) -> Self {
        let timeout = "a number of minutes up to 5256000";
        let cookie_path = "a path that begins with a slash";
        let path = section.parsed("path", CONTEXT_PATH, problems, |text| {
            is_context_path(text).then(|| text.to_owned())
        });
        let session_timeout = section.parsed("sessionTimeout", timeout, problems, parse_minutes);
        let cookie_path = section.parsed("sessionCookiePath", cookie_path, problems, |text| {
            let is_safe = |c: char| c.is_ascii_graphic() && c != ';';
            (text.starts_with('/') && text.chars().all(is_safe)).then(|| text.to_owned())
        });
        Self {
            at: section.at().clone(),
            path,
            doc_base: section
                .text("docBase")
                .map(|given| given.map(str::to_owned)),
            distributable: section.boolean("distributable", problems),
            session_timeout: session_timeout.map(|given| given.value),
            use_http_only: section.boolean("useHttpOnly", problems),
            cookie_name: section.name("sessionCookieName", "_-", problems),
            cookie_path: cookie_path.map(|given| given.value),
            cookie_domain: section.name("sessionCookieDomain", ".-", problems),
            manager,
        }
    }

    /// A context of which nothing was said, at the place that made it exist.
    pub(crate) fn empty(at: Location) -> Self {
        Self {
            at,
            path: None,
            doc_base: None,
            distributable: None,
            session_timeout: None,
            use_http_only: None,
            cookie_name: None,
            cookie_path: None,
            cookie_domain: None,
            manager: None,
        }
    }

    /// What this says, and where it says nothing what `below` says for all contexts.
    pub(crate) fn over(self, below: &Self) -> Self {
        let below = below.clone();
        Self {
            distributable: self.distributable.or(below.distributable),
            session_timeout: self.session_timeout.or(below.session_timeout),
            use_http_only: self.use_http_only.or(below.use_http_only),
            cookie_name: self.cookie_name.or(below.cookie_name),
            cookie_path: self.cookie_path.or(below.cookie_path),
            cookie_domain: self.cookie_domain.or(below.cookie_domain),
            manager: self.manager.or(below.manager),
            ..self
        }
    }

    /// The context at `path`, once everything is known that bears on it: its own `web.xml`, the
    /// `web.xml` for all, and the cluster of its host.
    pub(crate) fn resolve(
        self,
        path: String,
        application: Application,
        web_xml: &WebXml,
        common: &WebXml,
        cluster: Option<&ClusterDraft>,
        problems: &mut Problems,
    ) -> ContextConfig {
        let in_context = (self.distributable == Some(true)).then_some(&self.at);
        let in_web_xml = web_xml
            .distributable
            .as_ref()
            .or(common.distributable.as_ref());
        let distributable = in_context.or(in_web_xml);
        let explicit = self.manager.is_some();
        let manager = match (self.manager, cluster) {
            // What is said nearest to the context counts.
            (Some(manager), _) => Some(manager),
            (None, Some(cluster)) if distributable.is_some() => cluster.manager.clone(),
            (None, _) => None,
        };
        let kind = manager
            .as_ref()
            .map_or(ManagerKind::Standard, |manager| manager.config.kind);
        let shown = quoted(&path);
        match (distributable, cluster, &manager) {
            (Some(at), None, _) => {
                let what = format!(
                    "context {shown} is distributable, but its host is in no Cluster: its sessions \
                     stay on this node"
                );
                problems.warning(at, what, "add a Cluster to the Engine");
            }
            (Some(_), Some(_), Some(manager)) if kind == ManagerKind::Standard => {
                let what = format!(
                    "context {shown} is distributable, but with a StandardManager its sessions \
                     stay on this node"
                );
                problems.warning(&manager.at, what, "use DeltaManager");
            }
            (None, _, Some(manager)) if explicit && kind == ManagerKind::Delta => {
                let what =
                    format!("context {shown} is not distributable: its sessions stay on this node");
                problems.warning(&manager.at, what, r#"set distributable="true" on Context"#);
            }
            _ => {}
        }
        let interval = manager
            .as_ref()
            .and_then(|manager| manager.max_inactive_interval.as_ref());
        let nearer = match (&web_xml.session_timeout, self.session_timeout) {
            (Some(given), _) => Some(("session-timeout of its web.xml", given.value)),
            (None, Some(timeout)) => Some(("sessionTimeout of its Context", timeout)),
            (None, None) => None,
        };
        if let (Some((what, _)), Some(given)) = (nearer, interval) {
            let what = format!("maxInactiveInterval has no effect on {shown}: {what} counts");
            problems.warning(&given.at, what, "remove one of them");
        }
        let common_timeout = common.session_timeout.as_ref();
        let session_timeout = nearer
            .map(|(_, timeout)| timeout)
            .or(interval.map(|given| given.value))
            .or(common_timeout.map(|given| given.value))
            .unwrap_or(Some(SESSION_TIMEOUT));
        let root = || {
            if path.is_empty() {
                "/".to_owned()
            } else {
                path.clone()
            }
        };
        ContextConfig {
            application,
            display_name: web_xml.display_name.clone(),
            distributable: distributable.is_some(),
            replicated: distributable.is_some() && cluster.is_some() && kind == ManagerKind::Delta,
            manager: manager.map(|manager| manager.config).unwrap_or_default(),
            session_timeout,
            cookie: CookieConfig {
                name: self.cookie_name.unwrap_or_else(|| "JSESSIONID".to_owned()),
                path: self.cookie_path.unwrap_or_else(root),
                domain: self.cookie_domain,
                http_only: self.use_http_only.unwrap_or(true),
            },
            path,
        }
    }
}

/// Whether a text is the path of a context: empty, or segments that are names, each behind a
/// slash. So it never becomes something else when it is part of a file name or a cookie.
pub(crate) fn is_context_path(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix('/').is_some_and(|rest| {
            rest.split('/')
                .all(|segment| is_name(segment, "._~-") && !segment.starts_with('.'))
        })
}

const CONTEXT_PATH: &str = r#"the path of a context, such as "/shop", or "" for the root"#;

/// As in Tomcat's `web.xml` for all applications.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30 * 60);
