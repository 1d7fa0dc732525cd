//! What a node reads besides its members: requests, attributes, its own files.

use std::fs;
use std::path::Path;

use catherd::Filter;
use catherd_server::config::load_with;
use tempfile::TempDir;

/// The `Cookie` header of a request.
pub fn cookies(data: &[u8]) {
    catherd::fuzzing::cookies(data);
}

/// Path and host of a request, each on a line.
pub fn request_head(data: &[u8]) {
    catherd_server::fuzzing::head(data);
}

/// The bytes of an attribute, which members may send and the application decodes: into JSON, as
/// `/examples` does, and into nothing.
pub fn attribute(data: &[u8]) {
    let value: Option<serde_json::Value> = catherd::fuzzing::attribute(data);
    if let Some(value) = value {
        // Deep values must not only be read, but shown.
        assert!(!value.to_string().is_empty());
    }
    let _: Option<Vec<(String, u64)>> = catherd::fuzzing::attribute(data);
}

/// A pattern of the filter, and behind the first line paths for it.
pub fn path_filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let pattern = lines.next().unwrap_or_default();
    let Ok(filter) = Filter::new([pattern]) else {
        return;
    };
    assert_eq!(filter.patterns().collect::<Vec<_>>(), [pattern]);
    for path in lines {
        assert_eq!(filter.matches(path), filter.clone().matches(path));
    }
}

/// A `conf/server.xml`.
pub fn server_xml(data: &[u8]) {
    let base = TempDir::new().expect("temporary files can be made");
    put(base.path(), "conf/server.xml", data);
    load(base.path());
}

/// A `web.xml` of an application.
pub fn web_xml(data: &[u8]) {
    let base = TempDir::new().expect("temporary files can be made");
    put(base.path(), "webapps/shop/WEB-INF/web.xml", data);
    load(base.path());
}

fn put(base: &Path, path: &str, data: &[u8]) {
    let file = base.join(path);
    let directory = file.parent().expect("it is within the base");
    fs::create_dir_all(directory).expect("temporary directories can be made");
    fs::write(file, data).expect("temporary files can be written");
}

/// Either there is a configuration, or something says why not, and can be shown.
fn load(base: &Path) {
    let report = load_with(base, &|_| None);
    let said: Vec<_> = report.diagnostics.iter().map(ToString::to_string).collect();
    assert!(report.config.is_some() || !said.is_empty());
    assert!(said.iter().all(|line| !line.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_a_file_is_a_configuration() {
        for (target, path) in [
            ("server_xml", "conf/server.xml"),
            ("web_xml", "webapps/shop/WEB-INF/web.xml"),
        ] {
            for (name, data) in crate::seeds(target) {
                let base = TempDir::new().expect("temporary files can be made");
                put(base.path(), path, &data);
                let report = load_with(base.path(), &|_| None);
                assert!(report.config.is_some(), "{name}: {:?}", report.diagnostics);
            }
        }
    }

    /// On the stack of a thread that serves requests, which is 2 MiB, as that of a test is.
    #[test]
    fn an_attribute_that_is_nested_without_end_is_refused() {
        for opening in [
            &[0x91][..],
            &[0x81, 0xa1, b'k'],
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
        ] {
            let deep = opening.repeat(1_000_000);
            let value: Option<serde_json::Value> = catherd::fuzzing::attribute(&deep);
            assert_eq!(value, None);
        }
        attribute(&[&[0x91; 1000][..], &[0xc0]].concat());
    }

    #[test]
    fn every_seed_of_an_attribute_decodes() {
        for (name, data) in crate::seeds("attribute") {
            let value: Option<serde_json::Value> = catherd::fuzzing::attribute(&data);
            assert!(value.is_some(), "{name}");
        }
    }
}
