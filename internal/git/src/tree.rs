//! Raw git trees: looking an entry up, and replacing one.
//!
//! A tree is a list of `<octal mode> <name>\0<20 bytes of id>`, sorted by name,
//! where the name of a directory sorts as if it ended in `/`.

use std::cmp::Ordering;

use crate::{GitError, ObjectId};

/// The mode of a tree entry, reduced to what the config repository is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    File,
    Executable,
    Directory,
    /// A symbolic link or a submodule, put there by others and left alone.
    Other,
}

impl Mode {
    fn parse(text: &[u8]) -> Self {
        match text {
            b"40000" | b"040000" => Self::Directory,
            b"100755" => Self::Executable,
            b"120000" | b"160000" => Self::Other,
            _ => Self::File,
        }
    }

    /// The mode as it is written; `Other` is never written.
    fn text(self) -> &'static [u8] {
        match self {
            Self::Directory => b"40000",
            Self::Executable => b"100755",
            Self::File | Self::Other => b"100644",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) mode: Mode,
    pub(crate) id: ObjectId,
    /// Where the entry begins and ends in the tree.
    start: usize,
    end: usize,
}

/// The entries of a raw tree, in its order. A broken tree ends the iteration with an error.
pub(crate) fn entries(raw: &[u8]) -> impl Iterator<Item = Result<RawEntry<'_>, GitError>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        if position >= raw.len() {
            return None;
        }
        let entry = read_entry(raw, position).ok_or(GitError::Broken("tree"));
        position = entry.as_ref().map_or(raw.len(), |entry| entry.end);
        Some(entry)
    })
}

fn read_entry(raw: &[u8], start: usize) -> Option<RawEntry<'_>> {
    let rest = &raw[start..];
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let zero = space + rest[space..].iter().position(|byte| *byte == 0)?;
    let id: [u8; 20] = rest.get(zero + 1..zero + 21)?.try_into().ok()?;
    Some(RawEntry {
        name: &rest[space + 1..zero],
        mode: Mode::parse(&rest[..space]),
        id: ObjectId::from_bytes(id),
        start,
        end: start + zero + 21,
    })
}

pub(crate) fn find<'a>(raw: &'a [u8], name: &[u8]) -> Result<Option<RawEntry<'a>>, GitError> {
    for entry in entries(raw) {
        let entry = entry?;
        if entry.name == name {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// The tree with `name` set to `value`, or without it.
pub(crate) fn with_entry(
    raw: &[u8],
    name: &[u8],
    value: Option<(Mode, ObjectId)>,
) -> Result<Vec<u8>, GitError> {
    let mut new = Vec::with_capacity(raw.len() + name.len() + 28);
    match find(raw, name)? {
        Some(old) => {
            new.extend_from_slice(&raw[..old.start]);
            new.extend_from_slice(&raw[old.end..]);
        }
        None => new.extend_from_slice(raw),
    }
    if let Some((mode, id)) = value {
        let at = insertion_point(&new, name, mode)?;
        new.splice(at..at, encode(name, mode, id));
    }
    Ok(new)
}

/// A tree of these entries; names must be unique.
pub(crate) fn from_entries(mut entries: Vec<(&[u8], Mode, ObjectId)>) -> Vec<u8> {
    entries.sort_by(|a, b| compare(a.0, a.1, b.0, b.1));
    entries.into_iter().flat_map(|(name, mode, id)| encode(name, mode, id)).collect()
}

fn encode(name: &[u8], mode: Mode, id: ObjectId) -> Vec<u8> {
    [mode.text(), b" ", name, b"\0", id.as_bytes()].concat()
}

fn insertion_point(raw: &[u8], name: &[u8], mode: Mode) -> Result<usize, GitError> {
    for entry in entries(raw) {
        let entry = entry?;
        if compare(entry.name, entry.mode, name, mode) == Ordering::Greater {
            return Ok(entry.start);
        }
    }
    Ok(raw.len())
}

fn compare(a: &[u8], a_mode: Mode, b: &[u8], b_mode: Mode) -> Ordering {
    let slash = |mode| if mode == Mode::Directory { &b"/"[..] } else { b"" };
    a.iter().chain(slash(a_mode)).cmp(b.iter().chain(slash(b_mode)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::object::Kind;

    fn id(text: &str) -> ObjectId {
        ObjectId::of(Kind::Blob, text.as_bytes())
    }

    fn names(raw: &[u8]) -> Vec<String> {
        entries(raw).map(|entry| String::from_utf8_lossy(entry.unwrap().name).into_owned()).collect()
    }

    #[test]
    fn directories_sort_as_if_they_ended_in_a_slash() {
        let raw = from_entries(vec![
            (b"a.b", Mode::File, id("1")),
            (b"a", Mode::Directory, id("2")),
            (b"a-b", Mode::File, id("3")),
            (b"a0", Mode::File, id("4")),
        ]);
        assert_eq!(names(&raw), ["a-b", "a.b", "a", "a0"]);
    }

    #[test]
    fn a_file_that_becomes_a_directory_moves_to_its_place() {
        let raw = from_entries(vec![(b"a", Mode::File, id("1")), (b"a.b", Mode::File, id("2"))]);
        let raw = with_entry(&raw, b"a", Some((Mode::Directory, id("3")))).unwrap();
        assert_eq!(names(&raw), ["a.b", "a"]);
    }

    #[test]
    fn the_empty_tree_has_gits_well_known_id() {
        let id = ObjectId::of(Kind::Tree, &from_entries(Vec::new()));
        assert_eq!(id.to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    #[test]
    fn broken_trees_are_errors() {
        for raw in [&b"100644"[..], b"100644 a", b"100644 a\0short"] {
            assert!(find(raw, b"x").is_err());
        }
    }

    proptest! {
        #[test]
        fn setting_entries_one_by_one_equals_building_at_once(names in proptest::collection::btree_set("[a-c.-]{1,4}", 0..20), directories: u32) {
            let mode = |i: usize| if directories >> (i % 32) & 1 == 1 { Mode::Directory } else { Mode::File };
            let all: Vec<_> = names.iter().enumerate().map(|(i, n)| (n.as_bytes(), mode(i), id(n))).collect();
            let mut raw = Vec::new();
            for (name, mode, id) in all.iter().rev() {
                raw = with_entry(&raw, name, Some((*mode, *id))).unwrap();
            }
            prop_assert_eq!(&raw, &from_entries(all.clone()));
            for (name, ..) in all {
                raw = with_entry(&raw, name, None).unwrap();
            }
            prop_assert!(raw.is_empty());
        }
    }
}
