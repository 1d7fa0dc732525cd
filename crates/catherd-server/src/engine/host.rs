//! Hosts by name, contexts by the longest prefix of a path.

use super::Application;

/// A virtual host: its names, and the contexts on it.
#[derive(Debug)]
pub(crate) struct Host {
    names: Vec<Box<str>>,
    /// Longest path first, so that the first that fits is the longest.
    contexts: Vec<(Box<str>, Box<dyn Application>)>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            names: vec![name.into()],
            contexts: Vec::new(),
        }
    }

    /// Another name of the host.
    #[must_use]
    pub(crate) fn alias(mut self, name: &str) -> Self {
        self.names.push(name.into());
        self
    }

    /// Puts an application at `path`: empty for the root, or beginning with a slash.
    #[must_use]
    pub(crate) fn with(mut self, path: &str, application: Box<dyn Application>) -> Self {
        let at = self
            .contexts
            .partition_point(|(other, _)| other.len() >= path.len());
        self.contexts.insert(at, (path.into(), application));
        self
    }

    /// The application that a path belongs to.
    pub(crate) fn context(&self, path: &str) -> Option<&dyn Application> {
        let covers = |context: &str| {
            let rest = path.strip_prefix(context);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let found = self.contexts.iter().find(|(context, _)| covers(context));
        found.map(|(_, application)| &**application)
    }

    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The hosts of an engine; there is at least one.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<Host>,
    default: usize,
}

impl Hosts {
    /// # Panics
    ///
    /// No host is called `default`: the configuration has been checked for that.
    pub(crate) fn new(hosts: Vec<Host>, default: &str) -> Self {
        let default = hosts.iter().position(|host| host.is_called(default));
        Self {
            hosts,
            default: default.expect("the configuration names one of its hosts"),
        }
    }

    /// The host of this name, or the one for all others.
    pub(crate) fn find(&self, name: &str) -> &Host {
        let named = self.hosts.iter().find(|host| host.is_called(name));
        named.unwrap_or(&self.hosts[self.default])
    }
}
