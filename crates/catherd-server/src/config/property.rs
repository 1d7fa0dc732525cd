//! `${property}` in attribute values.
//!
//! Replaced in each value after the XML was parsed, so what a property holds cannot become
//! markup, and positions stay those of the file.

use std::path::Path;

/// Where the values of properties come from.
pub(crate) struct Properties<'a> {
    base: Option<String>,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a text with properties has no value.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Unresolved {
    /// There is no property of this name.
    Unknown(String),
    /// `${` without `}`.
    Open,
}

impl<'a> Properties<'a> {
    /// `catherd.base`, `catalina.base` and `catalina.home` are the absolute path of `base`; every
    /// other name is asked of `environment`.
    pub(crate) fn new(base: &Path, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let base = std::path::absolute(base).ok();
        let base = base.and_then(|base| base.into_os_string().into_string().ok());
        Self { base, environment }
    }

    /// The text with each property replaced by its value, which is not looked at again.
    pub(crate) fn substitute(&self, text: &str) -> Result<String, Unresolved> {
        let mut rest = text;
        let mut result = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or(Unresolved::Open)?;
            result.push_str(before);
            result.push_str(
                &self
                    .value(name)
                    .ok_or_else(|| Unresolved::Unknown(name.into()))?,
            );
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "catherd.base" | "catalina.base" | "catalina.home" => self.base.clone(),
            name => (self.environment)(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_replaced_once() {
        let environment = |name: &str| (name == "A").then(|| "<${A}>".to_owned());
        let properties = Properties::new(Path::new("/srv/node"), &environment);
        assert_eq!(
            properties.substitute("x${A}y$z${A}"),
            Ok("x<${A}>y$z<${A}>".into())
        );
        assert_eq!(
            properties.substitute("${catalina.base}/w"),
            Ok("/srv/node/w".into())
        );
        assert_eq!(
            properties.substitute("${B}"),
            Err(Unresolved::Unknown("B".into()))
        );
        assert_eq!(properties.substitute("${A"), Err(Unresolved::Open));
        assert_eq!(properties.substitute("100%"), Ok("100%".into()));
    }
}
