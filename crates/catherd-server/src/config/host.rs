//! `Host`: a name that requests ask for, and the applications behind it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roxmltree::Node;

use super::cluster::ClusterDraft;
use super::connector::Ports;
use super::context::{Application, ContextConfig, ContextDraft, is_context_path};
use super::diagnostic::{Location, Problems, quoted};
use super::property::Properties;
use super::reading::Reading;
use super::section::{Given, is_name};
use super::valve::Valves;
use super::web_xml::WebXml;
use super::words::{ALIAS, HOST};

/// A virtual host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostConfig {
    /// `name`, in lower case.
    pub name: String,
    /// `Alias`: other names of it, in lower case.
    pub aliases: Vec<String>,
    /// `appBase`: the directory of its applications.
    pub app_base: PathBuf,
    /// The applications that are served, by path.
    pub contexts: Vec<ContextConfig>,
}

/// A `Host` that was read, before its applications were looked for.
#[derive(Debug)]
pub(crate) struct HostDraft {
    /// The name and the aliases.
    pub(crate) names: Vec<Given<String>>,
    app_base: PathBuf,
    contexts: Vec<ContextDraft>,
}

/// What bears on every host.
pub(crate) struct Surroundings<'a> {
    pub(crate) base: &'a Path,
    pub(crate) engine: &'a str,
    pub(crate) properties: &'a Properties<'a>,
    /// `conf/context.xml`.
    pub(crate) context: Option<ContextDraft>,
    /// `conf/web.xml`.
    pub(crate) web_xml: WebXml,
    pub(crate) cluster: Option<&'a ClusterDraft>,
}

impl HostDraft {
    /// The host of a server that names none.
    pub(crate) fn localhost(base: &Path, at: Location) -> Self {
        let name = Given {
            value: "localhost".to_owned(),
            at,
        };
        Self {
            names: vec![name],
            app_base: base.join(APP_BASE),
            contexts: Vec::new(),
        }
    }

    /// Reads a `Host`. A cluster in it goes to `clusters`.
    pub(crate) fn read(
        reading: &mut Reading<'_>,
        node: Node<'_, '_>,
        base: &Path,
        valves: &mut Valves,
        ports: &mut Ports,
        clusters: &mut Vec<ClusterDraft>,
    ) -> Self {
        let section = reading.section(&HOST, node);
        if section.text("name").is_none() {
            let remedy = r#"set name="localhost", or the name that requests ask for"#;
            reading
                .problems
                .error(section.at(), "Host without name", remedy);
        }
        let name = section.parsed("name", HOST_NAME, reading.problems, parse_host_name);
        let name = name.unwrap_or(Given {
            value: String::new(),
            at: section.at().clone(),
        });
        let app_base = section.text("appBase");
        let directory = base.join(app_base.as_ref().map_or(APP_BASE, |given| given.value));
        if let Some(given) = app_base.filter(|_| !directory.is_dir()) {
            let what = format!("appBase {} is no directory", quoted(given.value));
            reading
                .problems
                .warning(&given.at, what, "make it, or name another");
        }
        let mut draft = Self {
            names: vec![name],
            app_base: directory,
            contexts: Vec::new(),
        };
        for child in reading.children(&HOST, node) {
            match child.tag_name().name() {
                "Context" => {
                    if !child.has_attribute("path") {
                        let at = reading.at(child);
                        let remedy = r#"set path="/examples", or where else it is"#;
                        reading.problems.error(&at, "Context without path", remedy);
                    }
                    draft
                        .contexts
                        .push(ContextDraft::read(reading, child, valves));
                }
                "Cluster" => {
                    let host = Some(draft.names[0].value.as_str());
                    clusters.push(ClusterDraft::read(reading, child, host, valves, ports));
                }
                "Valve" => valves.read(reading, child, HOST.name),
                // The only one left: `children` lets nothing else through.
                _ => draft.read_alias(reading, child),
            }
        }
        draft
    }

    /// Looks for the applications of the host.
    pub(crate) fn resolve(
        self,
        surroundings: &Surroundings<'_>,
        valves: &mut Valves,
        problems: &mut Problems,
    ) -> HostConfig {
        let mut names = self.names.into_iter().map(|given| given.value);
        let name = names.next().expect("the name is the first");
        let mut found = Found::default();
        found.add_contexts(self.contexts, problems);
        if !name.is_empty() {
            let directory = surroundings
                .base
                .join("conf")
                .join(surroundings.engine)
                .join(&name);
            found.add_context_files(&directory, surroundings.properties, valves, problems);
        }
        found.add_directories(&self.app_base, problems);
        let cluster = surroundings.cluster.filter(|cluster| {
            cluster
                .config
                .host
                .as_ref()
                .is_none_or(|host| *host == name)
        });
        let mut contexts = Vec::new();
        for (path, place) in found.places {
            let Some(application) = place.application(&path, &self.app_base, problems) else {
                continue;
            };
            let web_xml = match &place.directory {
                Some(directory) if place.is_bare => {
                    WebXml::read(&directory.join("WEB-INF/web.xml"), problems)
                }
                _ => WebXml::default(),
            };
            let draft = place.context.unwrap_or_else(|| {
                let directory = place.directory.as_deref().unwrap_or(&self.app_base);
                ContextDraft::empty(Location::whole(directory))
            });
            let draft = match &surroundings.context {
                Some(common) => draft.over(common),
                None => draft,
            };
            let common = &surroundings.web_xml;
            contexts.push(draft.resolve(path, application, &web_xml, common, cluster, problems));
        }
        HostConfig {
            name,
            aliases: names.collect(),
            app_base: self.app_base,
            contexts,
        }
    }

    fn read_alias(&mut self, reading: &mut Reading<'_>, node: Node<'_, '_>) {
        let at = reading.at(node);
        reading.section(&ALIAS, node);
        match node.text().map(str::trim).and_then(parse_host_name) {
            Some(value) => self.names.push(Given { value, at }),
            None => {
                let what = format!("Alias is not {HOST_NAME}");
                reading
                    .problems
                    .error(&at, what, "write it inside: <Alias>name</Alias>");
            }
        }
    }
}

/// The applications of a host, by path.
#[derive(Debug, Default)]
struct Found {
    places: BTreeMap<String, Place>,
}

/// What there is at one path.
#[derive(Debug, Default)]
struct Place {
    context: Option<ContextDraft>,
    directory: Option<PathBuf>,
    /// Whether the directory holds `WEB-INF/` and nothing else.
    is_bare: bool,
}

impl Found {
    /// The `Context` elements of the host.
    fn add_contexts(&mut self, contexts: Vec<ContextDraft>, problems: &mut Problems) {
        for context in contexts {
            // One that is missing or bad has been reported.
            let Some(path) = context.path.clone() else {
                continue;
            };
            let place = self.places.entry(path.value).or_default();
            if place.context.is_some() {
                let what = "a second Context at this path";
                problems.error(&path.at, what, "remove one of them");
            } else {
                place.context = Some(context);
            }
        }
    }

    /// The files of `conf/ENGINE/HOST`: a `Context` each, whose path is the file's name.
    fn add_context_files(
        &mut self,
        directory: &Path,
        properties: &Properties<'_>,
        valves: &mut Valves,
        problems: &mut Problems,
    ) {
        for (name, entry) in entries(directory, problems) {
            let Some(stem) = name.strip_suffix(".xml") else {
                continue;
            };
            let file = entry.path();
            let Some(path) = context_path(stem) else {
                let what = "the name of this file is not the path of a context";
                problems.error(
                    &Location::whole(&file),
                    what,
                    "rename it to something like a#b.xml",
                );
                continue;
            };
            let Some(context) = ContextDraft::read_file(&file, properties, valves, problems) else {
                continue;
            };
            if let Some(given) = context.path.as_ref().filter(|given| given.value != path) {
                let what = format!("the context is at {}, as the file is named", quoted(&path));
                problems.warning(&given.at, what, "remove path");
            }
            let place = self.places.entry(path).or_default();
            if let Some(earlier) = &place.context {
                let what = format!(
                    "a second Context at this path: the first is in {}:{}",
                    earlier.at.file.display(),
                    earlier.at.line
                );
                problems.error(&context.at, what, "remove one of them");
            } else {
                place.context = Some(context);
            }
        }
    }

    /// The directories of `appBase`.
    fn add_directories(&mut self, app_base: &Path, problems: &mut Problems) {
        for (name, entry) in entries(app_base, problems) {
            let directory = entry.path();
            let at = Location::whole(&directory);
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if name.ends_with(".war") {
                let what = "archives are not deployed in this release";
                problems.warning(&at, what, "remove it");
            } else if kind.is_symlink() {
                problems.warning(
                    &at,
                    "a link is not followed",
                    "put a directory in its place",
                );
            } else if kind.is_dir() && !name.starts_with('.') {
                let Some(path) = context_path(&name) else {
                    let what = "the name of this directory is not the path of a context";
                    problems.warning(&at, what, "rename it");
                    continue;
                };
                let place = self.places.entry(path).or_default();
                place.is_bare = is_bare(&directory, problems);
                place.directory = Some(directory);
            }
        }
    }
}

impl Place {
    /// The application at this place. `None`: it is none that can run, which was reported.
    fn application(
        &self,
        path: &str,
        app_base: &Path,
        problems: &mut Problems,
    ) -> Option<Application> {
        let built_in = Application::built_in(path);
        let doc_base = self
            .context
            .as_ref()
            .and_then(|context| context.doc_base.as_ref());
        let is_asked_for = self.context.is_some() && doc_base.is_none();
        let names_directory = doc_base
            .is_none_or(|given| self.directory.as_deref() == Some(&app_base.join(&given.value)));
        let is_served = built_in.is_some()
            && (is_asked_for || (self.directory.is_some() && self.is_bare && names_directory));
        let directory = self
            .directory
            .as_deref()
            .filter(|_| !(is_served && self.is_bare));
        match (directory, &self.context) {
            (Some(directory), _) => {
                let at = Location::whole(directory);
                let what = "this release cannot run the application in this directory";
                problems.warning(&at, what, REMEDY);
            }
            (None, Some(context)) if !is_served => {
                let at = doc_base.map_or(&context.at, |given| &given.at);
                let what = format!(
                    "this release cannot run the application at {}",
                    quoted(path)
                );
                problems.warning(at, what, REMEDY);
            }
            (None, _) => {}
        }
        built_in.filter(|_| is_served)
    }
}

/// What is in a directory, by name. One that is not there is empty.
fn entries(directory: &Path, problems: &mut Problems) -> Vec<(String, fs::DirEntry)> {
    let outcome = fs::read_dir(directory).and_then(|entries| entries.collect::<io::Result<_>>());
    let entries: Vec<fs::DirEntry> = match outcome {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let what = format!("cannot be read: {error}");
            problems.error(
                &Location::whole(directory),
                what,
                "make it a readable directory",
            );
            Vec::new()
        }
    };
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut entries: Vec<_> = entries
        .into_iter()
        .map(|entry| (name(&entry), entry))
        .collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

/// Whether a directory holds `WEB-INF/` and nothing else.
fn is_bare(directory: &Path, problems: &mut Problems) -> bool {
    let entries = entries(directory, problems);
    let is_web_inf = |(name, entry): &(String, fs::DirEntry)| {
        name == "WEB-INF" && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    !entries.is_empty() && entries.iter().all(is_web_inf)
}

/// The path of the context that a file or directory is named after: `ROOT`, `shop`, `a#b`.
fn context_path(name: &str) -> Option<String> {
    let path = match name {
        "ROOT" => String::new(),
        name => format!("/{}", name.replace('#', "/")),
    };
    is_context_path(&path).then_some(path)
}

/// Names of hosts differ by case for nobody.
fn parse_host_name(text: &str) -> Option<String> {
    is_name(text, ".-").then(|| text.to_ascii_lowercase())
}

const APP_BASE: &str = "webapps";
const HOST_NAME: &str = "the name of a host: 1 to 64 of A-Z a-z 0-9 . -";
const REMEDY: &str = "remove it; what can run is /examples and /bench, which are built in";
