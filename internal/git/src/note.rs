//! Notes on commits, where and as `git notes --ref=rollouts` keeps them: a tree of
//! files that are named after the commits, below directories of two digits each,
//! as many levels of them as whoever wrote the note found right.

use crate::{
    GitError, ObjectId,
    store::Objects,
    tree::{self, Mode},
};

/// The reference whose newest commit has the notes.
pub(crate) const NOTES: &str = "refs/notes/rollouts";

/// Something to note on a commit.
pub struct Note {
    pub commit: ObjectId,
    /// Says what the note is to be. May run several times, on a newer text.
    pub plan: Box<NotePlanner>,
}

/// Pure: makes of a note's present text, if there is one, its new one; `None` when nothing is to be done.
pub type NotePlanner = dyn Fn(Option<&str>) -> Option<String> + Send;

/// What became of a note. It is on the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    Written,
    /// Nothing had to be done.
    Unchanged,
}

/// The note of a commit, of those below `root`. What is not UTF-8 in it is replaced.
pub(crate) fn read(
    objects: &dyn Objects,
    root: Option<ObjectId>,
    commit: ObjectId,
) -> Result<Option<String>, GitError> {
    let name = commit.to_string();
    let mut name = name.as_bytes();
    let mut directory = root;
    while let Some(id) = directory {
        let raw = objects.tree(id)?;
        if let Some(note) = file(&raw, name)? {
            return objects.blob(note).map(|text| Some(String::from_utf8_lossy(&text).into_owned()));
        }
        let Some((first, rest)) = name.split_at_checked(2) else { break };
        directory = subdirectory(&raw, first)?;
        name = rest;
    }
    Ok(None)
}

/// The file of this name in a tree.
pub(crate) fn file(raw: &[u8], name: &[u8]) -> Result<Option<ObjectId>, GitError> {
    let entry = tree::find(raw, name)?;
    Ok(entry.filter(|entry| matches!(entry.mode, Mode::File | Mode::Executable)).map(|entry| entry.id))
}

/// The directory of this name in a tree.
pub(crate) fn subdirectory(raw: &[u8], name: &[u8]) -> Result<Option<ObjectId>, GitError> {
    let entry = tree::find(raw, name)?;
    Ok(entry.filter(|entry| entry.mode == Mode::Directory).map(|entry| entry.id))
}
