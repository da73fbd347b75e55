//! Which paths an artifact may contain. The same rules for packing and for reading.

use std::collections::HashSet;

use release_core::{
    Name, NameError,
    artifact::FILE_NAME,
    name::{self, check_component},
};

/// The longest path inside an artifact, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// What is wrong with one entry. Reads on after the entry's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    #[error("has a name that is not UTF-8")]
    NotUtf8,
    #[error("has a path that is longer than {MAX_PATH_BYTES} bytes")]
    PathTooLong,
    #[error("has an absolute path")]
    Absolute,
    #[error("has a path with a drive letter")]
    Drive,
    #[error("has a bad path: a part of it {0}")]
    Part(NameError),
    #[error("is in a directory that cannot be an environment: the name {0}")]
    Environment(NameError),
    #[error("would take the place of the artifact's own {FILE_NAME} in a release")]
    Spec,
    #[error("is there twice")]
    Duplicate,
    #[error("is a file and a directory at once")]
    FileAndDirectory,
    #[error("is a symbolic link or another special file")]
    Special,
    #[error("is encrypted")]
    Encrypted,
    #[error("is compressed by a method other than deflate")]
    Compression,
    #[error("cannot be unpacked: its data is damaged or its size is not what it says")]
    Damaged,
}

/// Checks a path with `/` between its parts and none at its end.
pub(crate) fn check_path(path: &str, is_directory: bool) -> Result<(), EntryProblem> {
    if path.len() > MAX_PATH_BYTES {
        return Err(EntryProblem::PathTooLong);
    }
    if path.starts_with(['/', '\\']) {
        return Err(EntryProblem::Absolute);
    }
    if has_drive_letter(path) {
        return Err(EntryProblem::Drive);
    }
    for part in path.split('/') {
        check_component(part).map_err(EntryProblem::Part)?;
    }
    match path.split_once('/') {
        Some((top, rest)) => {
            check_environment(top)?;
            if rest == FILE_NAME { Err(EntryProblem::Spec) } else { Ok(()) }
        }
        None if is_directory => check_environment(path),
        None => Ok(()),
    }
}

fn check_environment(name: &str) -> Result<(), EntryProblem> {
    Name::new(name).map(drop).map_err(EntryProblem::Environment)
}

fn has_drive_letter(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Checks that each path is there once, and either as a file or as a directory.
/// `entries` are checked paths and whether each is a directory.
pub(crate) fn check_tree<'a>(
    entries: impl Iterator<Item = (&'a str, bool)> + Clone,
) -> Result<(), (String, EntryProblem)> {
    let mut seen = HashSet::new();
    let mut directories = HashSet::new();
    for (path, is_directory) in entries.clone() {
        if !seen.insert((path, is_directory)) {
            return Err((path.to_owned(), EntryProblem::Duplicate));
        }
        directories.extend(path.match_indices('/').map(|(slash, _)| &path[..slash]));
        if is_directory {
            directories.insert(path);
        }
    }
    let mut files = entries.filter(|(_, is_directory)| !is_directory);
    match files.find(|(path, _)| directories.contains(path)) {
        Some((path, _)) => Err((path.to_owned(), EntryProblem::FileAndDirectory)),
        None => Ok(()),
    }
}

/// A hostile name as it may stand in a message: on one line, without control
/// characters, and not endless.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(name::MAX_BYTES).flat_map(char::escape_debug).collect();
    if text.chars().nth(name::MAX_BYTES).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_builds_contain() {
        for path in [
            "artifact.json",
            "message.json",
            "dev/40-deployment.yaml",
            "dev/a b/c.txt",
            "dev/x/artifact.json",
        ] {
            assert_eq!(check_path(path, false), Ok(()), "{path}");
        }
        assert_eq!(check_path("dev", true), Ok(()));
    }

    #[test]
    fn refuses_every_path_that_could_leave_the_release() {
        let long = ["x"; 600].join("/");
        let cases = [
            ("/etc/passwd", EntryProblem::Absolute),
            ("\\\\host\\share", EntryProblem::Absolute),
            ("C:/x", EntryProblem::Drive),
            ("c:x", EntryProblem::Drive),
            ("..", EntryProblem::Part(NameError::Dots)),
            ("dev/../../x", EntryProblem::Part(NameError::Dots)),
            ("./dev/x", EntryProblem::Part(NameError::Dots)),
            ("dev//x", EntryProblem::Part(NameError::Empty)),
            ("", EntryProblem::Part(NameError::Empty)),
            ("dev\\x", EntryProblem::Part(NameError::Separator)),
            ("dev/a\0b", EntryProblem::Part(NameError::Control)),
            ("dev/.git/config", EntryProblem::Part(NameError::Git)),
            ("my env/x", EntryProblem::Environment(NameError::Space)),
            ("dev/artifact.json", EntryProblem::Spec),
            (long.as_str(), EntryProblem::PathTooLong),
        ];
        for (path, problem) in cases {
            assert_eq!(check_path(path, false), Err(problem), "{path:?}");
        }
        assert_eq!(check_path("my env", true), Err(EntryProblem::Environment(NameError::Space)));
    }

    #[test]
    fn a_tree_has_each_path_once_and_as_one_kind() {
        let check = |entries: &[(&str, bool)]| check_tree(entries.iter().copied());
        assert_eq!(check(&[("a", true), ("a/b", false), ("c", false)]), Ok(()));
        let twice = check(&[("a/b", false), ("a/b", false)]);
        assert_eq!(twice, Err(("a/b".to_owned(), EntryProblem::Duplicate)));
        for both in [
            &[("a", false), ("a/b", false)][..],
            &[("a", false), ("a", true)],
            &[("a/b", true), ("a", false)],
        ] {
            assert_eq!(check(both), Err(("a".to_owned(), EntryProblem::FileAndDirectory)), "{both:?}");
        }
    }

    #[test]
    fn a_hostile_name_is_shown_on_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert!(shown(&"x".repeat(1 << 16)).chars().count() == name::MAX_BYTES + 1);
    }
}
