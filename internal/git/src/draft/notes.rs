//! Commits of notes.

use std::collections::BTreeMap;

use bytes::Bytes;
use release_core::Person;

use super::{Draft, DraftError, Edit};
use crate::{
    GitError, ObjectId,
    note::{file, subdirectory},
    signing::Signer,
    tree::{self, Mode},
};

/// How many levels of directories are made; git reads any number. With two, a tree
/// has few entries until there are millions of notes.
const LEVELS: usize = 2;

/// What is left of a commit's name below some directories, and its note.
type Named<'n> = (&'n [u8], Bytes);

impl Draft<'_> {
    /// Sets notes in one commit on top of these, the newest one's id and tree.
    pub(crate) fn commit_notes(
        &mut self,
        (tip, root): (Option<ObjectId>, Option<ObjectId>),
        notes: &BTreeMap<ObjectId, String>,
        committer: &Person,
        time: i64,
        signer: Option<&Signer>,
    ) -> Result<ObjectId, DraftError> {
        let names: Vec<String> = notes.keys().map(ToString::to_string).collect();
        let texts = notes.values().map(|text| Bytes::from(text.clone()));
        let all: Vec<Named<'_>> = names.iter().map(String::as_bytes).zip(texts).collect();
        let root = self.with_notes(root, 0, &all)?;
        let message = match notes.len() {
            1 => "Note on a release\n".to_owned(),
            count => format!("Notes on {count} releases\n"),
        };
        let edit = Edit { message, author: committer.clone(), operations: Vec::new() };
        self.tip = tip;
        self.commit_root(Some(root), &edit, committer, time, None, signer)
    }

    /// The tree with each note where it is, or else below `LEVELS` directories.
    /// Each tree is written once, however many notes it gets.
    fn with_notes(
        &mut self,
        tree: Option<ObjectId>,
        level: usize,
        notes: &[Named<'_>],
    ) -> Result<ObjectId, GitError> {
        let old = self.tree_or_empty(tree)?;
        let mut new = old.to_vec();
        let mut below: BTreeMap<&[u8], Vec<Named<'_>>> = BTreeMap::new();
        for (name, text) in notes {
            if belongs_into(&old, level, name)? {
                let blob = self.write_blob(text, false, name, &old)?;
                new = tree::with_entry(&new, name, Some(blob))?;
            } else {
                let (directory, rest) = name.split_at(2);
                below.entry(directory).or_default().push((rest, text.clone()));
            }
        }
        for (directory, notes) in below {
            let child = self.with_notes(subdirectory(&old, directory)?, level + 1, &notes)?;
            new = tree::with_entry(&new, directory, Some((Mode::Directory, child)))?;
        }
        Ok(self.write_tree(&new, tree.map(|id| (id, &*old))))
    }
}

/// Whether a note is to be in this tree, and not below a directory of it.
fn belongs_into(tree: &[u8], level: usize, name: &[u8]) -> Result<bool, GitError> {
    let is_deep = level >= LEVELS && subdirectory(tree, &name[..2])?.is_none();
    Ok(name.len() == 2 || is_deep || file(tree, name)?.is_some())
}
