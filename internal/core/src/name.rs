//! Names that come from outside and become a path component or an object key.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};

/// The longest name, in bytes: what common file systems allow for one path component.
pub const MAX_BYTES: usize = 255;

/// A service, environment, namespace or artifact id. It is safe as one
/// component of a path in a git repository, in a directory and in an object key.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`]. Reads on after the name of a field: "service: must not be empty".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must not be empty")]
    Empty,
    #[error("must not be longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("must not be '.' or '..'")]
    Dots,
    #[error("must not contain '/' or '\\'")]
    Separator,
    #[error("must not contain control or invisible characters")]
    Control,
    #[error("must not contain white space")]
    Space,
    #[error("must not start with '.git' or be a spelling of it")]
    Git,
}

impl Name {
    pub fn new(value: &str) -> Result<Self, NameError> {
        check_component(value)?;
        // Titles of release commits are read back word by word.
        if value.contains(char::is_whitespace) {
            return Err(NameError::Space);
        }
        Ok(Self(value.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks one path component by the rules of [`Name`], except that white space
/// is fine: file names inside an artifact may have it.
pub fn check_component(value: &str) -> Result<(), NameError> {
    if value.is_empty() {
        return Err(NameError::Empty);
    }
    if value.len() > MAX_BYTES {
        return Err(NameError::TooLong);
    }
    if value == "." || value == ".." {
        return Err(NameError::Dots);
    }
    if value.contains(['/', '\\']) {
        return Err(NameError::Separator);
    }
    if value.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(NameError::Control);
    }
    if is_git_directory(value) {
        return Err(NameError::Git);
    }
    Ok(())
}

/// Characters that some file systems ignore, so that `.g\u{200c}it` is `.git`
/// there (the list of git's own check), and those that reorder text on a screen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `.git…` in any case, and the short name that Windows gives `.git`.
fn is_git_directory(value: &str) -> bool {
    let starts_with =
        |prefix: &str| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts_with(".git") || starts_with("git~")
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, NameError> {
        Self::new(value)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        Self::new(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_services_branches_and_artifacts_are_called() {
        for name in ["api", "Søren's-service", "master-1234567890-abcdef0123", "a.b", "git", "…", "日本"]
        {
            assert_eq!(Name::new(name).map(|n| n.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn refuses_whatever_could_be_read_as_a_path() {
        let too_long = "x".repeat(256);
        let cases = [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("a/b", NameError::Separator),
            ("/etc", NameError::Separator),
            ("../x", NameError::Separator),
            ("a\\b", NameError::Separator),
            ("a\nb", NameError::Control),
            ("a\0", NameError::Control),
            ("a b", NameError::Space),
            ("a\u{7f}", NameError::Control),
            (".g\u{200c}it", NameError::Control),
            (".git", NameError::Git),
            (".GIT", NameError::Git),
            (".gitmodules", NameError::Git),
            ("GIT~1", NameError::Git),
            (too_long.as_str(), NameError::TooLong),
        ];
        for (name, error) in cases {
            assert_eq!(Name::new(name), Err(error), "{name:?}");
        }
        assert!(Name::new(&"x".repeat(255)).is_ok());
    }
}
